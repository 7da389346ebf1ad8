"""From the body of a Responses request to a `Request`, refusing what OpenAI's API refuses.

Items become messages in the shapes of Chat Completions, so that scripts need not know the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .admission import TOOL_NAME, Rejected, check_effort, parsed, reject
from .request import Headers, Request

READ = frozenset(
    {"input", "max_output_tokens", "model", "stream", "temperature", "tool_choice", "tools", "instructions", "text"}
)
"""Fields that become attributes of `Request`; the others are its `extra`, and so are two that answers repeat."""

REPEATED = ("instructions", "text")

MOVED = MappingProxyType(
    {
        "functions": "tools",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "reasoning_effort": "reasoning.effort",
        "response_format": "text.format",
    }
)
"""Fields of Chat Completions that have another name here."""

UNKNOWN = frozenset({"frequency_penalty", "logit_bias", "logprobs", "n", "presence_penalty", "seed", "stop"})
"""Fields of Chat Completions that do not exist here."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("input_text",),
    "developer": ("input_text",),
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "assistant": ("output_text", "refusal"),
}
"""Which content parts the messages of each role may have."""

ID_PREFIXES = MappingProxyType({"message": "msg", "function_call": "fc", "reasoning": "rs"})
LONGEST_CALL_ID = 64
LEAST_OUTPUT_TOKENS = 16


def read_responses_request(raw: bytes, headers: Mapping[str, str]) -> Request:
    """The request a body holds.

    Raises:
        Rejected: The body is not what OpenAI's API would accept.
    """
    body = parsed(raw)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise reject("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    check_names(body)
    check_numbers(body)
    check_effort((body.get("reasoning") or {}).get("effort"), "reasoning.effort")
    messages = read_input(body.get("input"))
    if body.get("instructions"):
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    tools = read_tools(body.get("tools") or [])
    return Request(
        model=body["model"],
        messages=tuple(messages),
        tools=tools,
        tool_choice=read_choice(body.get("tool_choice"), tools),
        response_format=read_format((body.get("text") or {}).get("format")),
        stream=bool(body.get("stream")),
        include_usage=True,
        max_tokens=body.get("max_output_tokens"),
        temperature=body.get("temperature"),
        headers=Headers(headers),
        extra={name: value for name, value in body.items() if name not in READ or name in REPEATED},
        format="responses",
    )


def check_names(body: Mapping[str, Any]) -> None:
    """Refuse fields of Chat Completions, and conversations kept by the server, of which there are none here."""
    for name in body:
        if name in MOVED:
            moved = f"In the Responses API, this parameter has moved to '{MOVED[name]}'."
            raise reject(f"Unsupported parameter: '{name}'. {moved}", name, "unsupported_parameter")
        if name in UNKNOWN:
            raise reject(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if body.get("background") and body.get("store") is False:
        raise reject("Background responses must be stored: 'store' cannot be false.", "store", "invalid_value")
    if previous := body.get("previous_response_id"):
        raise reject(
            f"Previous response with id '{previous}' not found.", "previous_response_id", "previous_response_not_found"
        )


def check_numbers(body: Mapping[str, Any]) -> None:
    """Refuse settings out of range."""
    limit = body.get("max_output_tokens")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < LEAST_OUTPUT_TOKENS):
        raise reject(
            "Invalid 'max_output_tokens': integer below minimum value. "
            f"Expected a value >= {LEAST_OUTPUT_TOKENS}, but got {limit!r} instead.",
            "max_output_tokens",
            "integer_below_min_value",
        )
    for name, highest in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest
        ):
            raise reject(
                f"Invalid '{name}': expected a number from 0 to {highest}, but got {value!r} instead.",
                name,
                "invalid_value",
            )


def read_input(given: Any) -> list[dict[str, Any]]:
    """The input as messages: a text is one user message."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise reject(
            'One of "input" or "previous_response_id" or "prompt" or "conversation_id" must be provided.',
            "input",
            "missing_required_parameter",
        )
    check_pairs(given)
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(given):
        read_item(item, f"input[{index}]", messages)
    return messages


def read_item(item: Any, at: str, messages: list[dict[str, Any]]) -> None:
    """Add one item to the messages: calls to the assistant's message before them; reasoning to none."""
    kind = item.get("type", "message") if isinstance(item, dict) else None
    check_id(item, kind, at)
    match kind:
        case "message":
            messages.append(read_message(item, at))
        case "function_call":
            caller = messages[-1] if messages and messages[-1]["role"] == "assistant" else None
            if caller is None:
                caller = {"role": "assistant", "content": None}
                messages.append(caller)
            caller.setdefault("tool_calls", []).append(read_call(item, at))
        case "function_call_output":
            content = item.get("output")
            if not isinstance(content, str):
                content = [read_part(part, PARTS["user"], f"{at}.output[{n}]") for n, part in enumerate(content or ())]
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        case "reasoning":
            pass
        case _:
            raise invalid_value(kind, ("message", "function_call", "function_call_output", "reasoning"), f"{at}.type")


def check_id(item: Any, kind: Any, at: str) -> None:
    """Refuse an id that this API cannot have given."""
    prefix = ID_PREFIXES.get(kind) if isinstance(kind, str) else None
    given = item.get("id") if isinstance(item, dict) else None
    if prefix and given is not None and not (isinstance(given, str) and given.startswith(prefix)):
        raise reject(
            f"Invalid '{at}.id': {given!r}. Expected an ID that begins with '{prefix}'.", f"{at}.id", "invalid_value"
        )


def read_message(item: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A message item as a message."""
    role = item.get("role")
    if not isinstance(role, str) or role not in PARTS:
        raise invalid_value(role, tuple(PARTS), f"{at}.role")
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list):
        raise reject(f"Missing required parameter: '{at}.content'.", f"{at}.content", "missing_required_parameter")
    parts = [read_part(part, PARTS[role], f"{at}.content[{index}]") for index, part in enumerate(content)]
    # One text needs no list: scripts then read the same content as in Chat Completions.
    alone = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    return {"role": role, "content": alone}


def read_part(part: Any, allowed: tuple[str, ...], at: str) -> dict[str, Any]:
    """A content part in the shape of Chat Completions."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in allowed:
        raise invalid_value(kind, allowed, f"{at}.type")
    match kind:
        case "input_text" | "output_text":
            if not isinstance(part.get("text"), str):
                raise reject(f"Missing required parameter: '{at}.text'.", f"{at}.text", "missing_required_parameter")
            return {"type": "text", "text": part["text"]}
        case "refusal":
            return {"type": "refusal", "refusal": part.get("refusal")}
        case "input_image":
            return {"type": "image_url", "image_url": {"url": part.get("image_url") or part.get("file_id")}}
        case _:
            return {"type": kind.removeprefix("input_"), **{k: v for k, v in part.items() if k != "type"}}


def read_call(item: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A function call in the shape of Chat Completions."""
    for name in ("name", "arguments"):
        if not isinstance(item.get(name), str):
            raise reject(f"Missing required parameter: '{at}.{name}'.", f"{at}.{name}", "missing_required_parameter")
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def check_pairs(items: list[Any]) -> None:
    """Refuse calls without a result, results without a call, and call ids that are too long or none at all."""
    calls: dict[str, str] = {}
    results: set[str] = set()
    for index, item in enumerate(items):
        kind = item.get("type") if isinstance(item, dict) else None
        if kind not in ("function_call", "function_call_output"):
            continue
        given = item.get("call_id")
        if not isinstance(given, str) or not 0 < len(given) <= LONGEST_CALL_ID:
            raise reject(
                f"Invalid 'input[{index}].call_id': expected a string with maximum length {LONGEST_CALL_ID}, "
                f"got {given!r}.",
                f"input[{index}].call_id",
                "string_above_max_length",
            )
        if kind == "function_call":
            calls[given] = f"input[{index}]"
        elif given in calls:
            results.add(given)
        else:
            raise reject(f"No tool call found for function call output with call_id {given}.", "input")
    if open_calls := [call for call in calls if call not in results]:
        raise reject(f"No tool output found for function call {open_calls[0]}.", "input")


def read_tools(tools: list[Any]) -> tuple[dict[str, Any], ...]:
    """Tools in the shape of Chat Completions; only functions, as there is nothing here that could search the web."""
    read = []
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            raise invalid_value(kind, ("function",), f"tools[{index}].type")
        name = tool.get("name")
        if name is None:
            at = f"tools[{index}].name"
            raise reject(f"Missing required parameter: '{at}'.", at, "missing_required_parameter")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise reject(
                f"Invalid 'tools[{index}].name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                f"tools[{index}].name",
                "invalid_value",
            )
        read.append({"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}})
    return tuple(read)


def read_choice(choice: Any, tools: tuple[dict[str, Any], ...]) -> Any:
    """A tool choice in the shape of Chat Completions."""
    if choice is None or choice in ("none", "auto"):
        return choice if tools else None
    wanted = choice.get("name") if isinstance(choice, dict) else None
    if choice == "required" and tools:
        return choice
    if wanted is None or wanted not in [tool["function"]["name"] for tool in tools]:
        raise reject(f"Tool choice '{wanted or choice}' not found in 'tools' parameter.", "tool_choice")
    return {"type": "function", "function": {"name": wanted}}


def read_format(wanted: Any) -> dict[str, Any] | None:
    """A text format in the shape of a response format."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise invalid_value(kind, ("json_object", "json_schema", "text"), "text.format.type")
    for name in ("name", "schema"):
        if not wanted.get(name):
            at = f"text.format.{name}"
            raise reject(f"Missing required parameter: '{at}'.", at, "missing_required_parameter")
    return {"type": "json_schema", "json_schema": {key: value for key, value in wanted.items() if key != "type"}}


def invalid_value(got: Any, supported: tuple[str, ...], at: str) -> Rejected:
    """A 400 that names what would have been accepted."""
    return reject(
        f"Invalid value: {got!r}. Supported values are: {', '.join(map(repr, supported))}.", at, "invalid_value"
    )
