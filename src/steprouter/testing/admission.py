"""From the body of a Chat Completions request to a `Request`, refusing what OpenAI's API refuses.

Wordings follow that API where they are known, its odd spelling included: clients match on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..models.effort import LEVELS
from .faults import Rejection
from .request import Headers, Request

PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
    "function": ("text",),
}
"""Which content parts each role may have."""

READ = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
    }
)
"""Fields that become attributes of `Request`; the others are its `extra`."""

MESSAGE_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LONGEST_CALL_ID = 40


class Rejected(Exception):
    """A request is not admitted; carries the answer to give."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


def reject(message: str, param: str | None = None, code: str | None = None) -> Rejected:
    """A 400 that blames one field."""
    return Rejected(Rejection(status=400, message=message, type="invalid_request_error", param=param, code=code))


def parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object a body holds.

    Raises:
        Rejected: The body holds something else.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise reject("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise reject("The JSON body of your request must be an object.")
    return body


def read_request(raw: bytes, headers: Mapping[str, str]) -> Request:
    """The request a body holds.

    Raises:
        Rejected: The body is not what OpenAI's API would accept.
    """
    body = parsed(raw)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise reject("you must provide a model parameter")
    check_messages(body.get("messages"))
    check_tools(body)
    check_response_format(body)
    check_numbers(body)
    check_effort(body.get("reasoning_effort"), "reasoning_effort")
    limit = body.get("max_completion_tokens")
    return Request(
        model=body["model"],
        messages=tuple(body["messages"]),
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
        response_format=body.get("response_format"),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        max_tokens=limit if limit is not None else body.get("max_tokens"),
        temperature=body.get("temperature"),
        stop=stop_sequences(body.get("stop")),
        seed=body.get("seed"),
        n=body.get("n") or 1,
        headers=Headers(headers),
        extra={name: value for name, value in body.items() if name not in READ},
    )


def check_effort(effort: Any, at: str) -> None:
    """Refuse a level of thought that no model has; which of them a model takes is for its script to say."""
    if effort is not None and effort not in LEVELS:
        said = f"Invalid value: {effort!r}. Supported values are: {', '.join(map(repr, LEVELS))}."
        raise reject(said, at, "invalid_value")


def stop_sequences(stop: Any) -> tuple[str, ...]:
    """The texts in `stop`, which may be one text, up to four, or nothing."""
    texts = [stop] if isinstance(stop, str) else (stop or [])
    if not isinstance(texts, list) or len(texts) > 4 or not all(isinstance(text, str) for text in texts):
        raise reject(f"Invalid 'stop': expected a string or up to 4 strings, but got {stop!r}.", "stop")
    return tuple(texts)


def check_messages(messages: Any) -> None:
    """Refuse unknown roles, missing content, foreign parts, and calls that do not match their results."""
    if not isinstance(messages, list):
        raise reject("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not messages:
        raise reject(
            "Invalid 'messages': empty array. Expected an array with minimum length 1.",
            "messages",
            "empty_array",
        )
    for index, message in enumerate(messages):
        check_message(message, f"messages[{index}]")
    check_pairs(messages)


def check_message(message: Any, at: str) -> None:
    """Refuse one malformed message."""
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or role not in PARTS:
        raise reject(
            f"Invalid value: {role!r}. Supported values are: {', '.join(map(repr, PARTS))}.",
            f"{at}.role",
            "invalid_value",
        )
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and MESSAGE_NAME.fullmatch(name)):
        raise reject(
            f"Invalid '{at}.name': string does not match pattern. "
            r"Expected a string that matches the pattern '^[^\s<|\\/>]+$'.",
            f"{at}.name",
            "invalid_value",
        )
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            check_part(part, role, f"{at}.content[{index}]")
    elif not isinstance(content, str) and not (
        content is None and role == "assistant" and (message.get("tool_calls") or message.get("refusal"))
    ):
        found = "null" if content is None else type(content).__name__
        raise reject(f"Invalid value for 'content': expected a string, got {found}.", f"{at}.content", "invalid_type")
    for index, call in enumerate(message.get("tool_calls") or ()):
        check_call(call, f"{at}.tool_calls[{index}]")


def check_part(part: Any, role: str, at: str) -> None:
    """Refuse a content part the role may not have, or a field the part may not have."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in PARTS[role]:
        raise reject(
            f"Invalid value: {kind!r}. Supported values are: {', '.join(map(repr, PARTS[role]))}.",
            f"{at}.type",
            "invalid_value",
        )
    if kind not in part:
        raise reject(f"Missing required parameter: '{at}.{kind}'.", at, "missing_required_parameter")
    for name in part.keys() - {"type", kind}:
        raise reject(f"Unknown parameter: '{at}.{name}'.", f"{at}.{name}", "unknown_parameter")


def check_call(call: Any, at: str) -> None:
    """Refuse a malformed tool call; its arguments need not be valid JSON, only text."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type") != "function" or not function.get("name"):
        raise reject(f"Missing required parameter: '{at}.function.name'.", at, "missing_required_parameter")
    if not isinstance(function.get("arguments"), str):
        raise reject(
            f"Invalid type for '{at}.function.arguments': expected a string.",
            f"{at}.function.arguments",
            "invalid_type",
        )
    name = call.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_CALL_ID:
        raise reject(
            f"Invalid '{at}.id': expected a string with maximum length {LONGEST_CALL_ID}, got {name!r}.",
            f"{at}.id",
            "string_above_max_length",
        )


def check_pairs(messages: list[dict[str, Any]]) -> None:
    """Refuse results without a call, and calls without a result before the next other message."""
    open_calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if open_calls.pop(message.get("tool_call_id") or "", None) is None:
                raise reject(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",  # codespell:ignore preceeding
                    f"messages.[{index}].role",
                )
            continue
        check_answered(open_calls)
        open_calls = {call["id"]: f"messages.[{index}]" for call in message.get("tool_calls") or ()}
    check_answered(open_calls)


def check_answered(open_calls: Mapping[str, str]) -> None:
    """Refuse if any call is still open."""
    if open_calls:
        raise reject(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(open_calls)}",
            next(iter(open_calls.values())),
        )


def check_tools(body: Mapping[str, Any]) -> None:
    """Refuse malformed tools, and a choice among tools that are not there."""
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name) or tool.get("type") != "function":
            raise reject(
                f"Invalid 'tools[{index}].function.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                f"tools[{index}].function.name",
                "invalid_value",
            )
        names.append(name)
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not names:
        raise reject(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            "tool_choice",
        )
    if choice not in ("none", "auto", "required"):
        wanted = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else choice
        if not isinstance(choice, dict) or wanted not in names:
            raise reject(f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice")


def check_response_format(body: Mapping[str, Any]) -> None:
    """Refuse an unknown format, a schema without a name, and JSON mode without the word JSON."""
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise reject(
            f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
            "response_format.type",
            "invalid_value",
        )
    if kind == "json_schema":
        given = wanted.get("json_schema")
        for name in ("name", "schema"):
            if not isinstance(given, dict) or not given.get(name):
                at = f"response_format.json_schema.{name}"
                raise reject(f"Missing required parameter: '{at}'.", at, "missing_required_parameter")
    if kind == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise reject(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )


def check_numbers(body: Mapping[str, Any]) -> None:
    """Refuse settings out of range, and stream options without a stream."""
    for name, lowest, highest, kinds in (
        ("temperature", 0, 2, (int, float)),
        ("top_p", 0, 1, (int, float)),
        ("n", 1, 128, (int,)),
        ("max_tokens", 1, 10**7, (int,)),
        ("max_completion_tokens", 1, 10**7, (int,)),
    ):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kinds) or not lowest <= value <= highest:
            raise reject(
                f"Invalid '{name}': expected a number from {lowest} to {highest}, but got {value!r} instead.",
                name,
                "invalid_value",
            )
    if body.get("stream_options") and not body.get("stream"):
        raise reject("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
