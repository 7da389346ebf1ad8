"""From the body of a Messages request to a `Request`, refusing what Anthropic's API refuses.

Blocks become messages in the shapes of OpenAI's Chat Completions, so that scripts need not know the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .admission import Rejected, parsed, reject
from .request import Headers, Request

READ = frozenset(
    {
        "max_tokens",
        "messages",
        "model",
        "output_config",
        "output_format",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "tool_choice",
        "tools",
    }
)
"""Fields that become attributes of `Request`; what else is said of the output is among its `extra` too."""

PASSED = frozenset(
    {
        "cache_control",
        "container",
        "context_management",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "service_tier",
        "speed",
        "thinking",
        "top_k",
        "top_p",
        "user_profile_id",
    }
)
"""Fields that are its `extra`; any other is refused."""

BLOCKS: Mapping[str, tuple[str, ...]] = {
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
}
"""Which blocks the messages of each role may have."""

FIELDS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"text", "cache_control", "citations"}),
    "image": frozenset({"source", "cache_control"}),
    "document": frozenset({"source", "cache_control", "citations", "context", "title"}),
    "tool_use": frozenset({"id", "name", "input", "cache_control", "caller"}),
    "tool_result": frozenset({"tool_use_id", "content", "is_error", "cache_control"}),
    "thinking": frozenset({"thinking", "signature"}),
    "redacted_thinking": frozenset({"data"}),
}
"""Which fields a block may have beside its type."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
LEAST_BUDGET_TOKENS = 1024

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")


def refuse(said: str) -> Rejected:
    """A 400 in this API's way, where the field at fault stands at the head of the message."""
    return reject(said)


def read_messages_request(raw: bytes, headers: Mapping[str, str]) -> Request:
    """The request a body holds.

    Raises:
        Rejected: The body is not what Anthropic's API would accept.
    """
    headers = Headers(headers)
    if "anthropic-version" not in headers:
        raise refuse("anthropic-version: header is required")
    body = parsed(raw)
    check_fields(body)
    system = read_system(body.get("system"))
    said = read_conversation(body["messages"])
    check_output(body.get("output_config"))
    check_thinking(body)
    tools = read_tools(body.get("tools") or [])
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return Request(
        model=body["model"],
        messages=(*system, *said),
        tools=tools,
        tool_choice=read_choice(body.get("tool_choice"), tools),
        response_format=read_format(wanted),
        stream=bool(body.get("stream")),
        include_usage=True,
        max_tokens=body["max_tokens"],
        temperature=body.get("temperature"),
        stop=tuple(body.get("stop_sequences") or ()),
        headers=headers,
        extra={name: value for name, value in body.items() if name in PASSED or name == "output_config"},
        format="messages",
    )


def check_fields(body: Mapping[str, Any]) -> None:
    """Refuse missing, foreign and ill-typed fields."""
    for name in ("max_tokens", "messages", "model"):
        if body.get(name) is None:
            raise refuse(f"{name}: Field required")
    for name in body:
        if name not in READ and name not in PASSED:
            raise refuse(f"{name}: Extra inputs are not permitted")
    if not isinstance(body["model"], str) or not body["model"]:
        raise refuse("model: String should have at least 1 character")
    limit = body["max_tokens"]
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise refuse("max_tokens: Input should be greater than or equal to 1")
    if not isinstance(body["messages"], list):
        raise refuse("messages: Input should be a valid list")
    if not body["messages"]:
        raise refuse("messages: at least one message is required")
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            raise refuse(f"{name}: range: 0..1")
    stop = body.get("stop_sequences") or []
    if not isinstance(stop, list) or not all(isinstance(text, str) and text.strip() for text in stop):
        raise refuse("stop_sequences: each stop sequence must contain non-whitespace")


def check_output(config: Any) -> None:
    """Refuse what is unknown about the output; which efforts a model takes is for its script to say."""
    for name in config or ():
        if name not in ("effort", "format", "task_budget"):
            raise refuse(f"output_config.{name}: Extra inputs are not permitted")
    effort = (config or {}).get("effort")
    if effort is not None and effort not in EFFORTS:
        raise refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")


def check_thinking(body: Mapping[str, Any]) -> None:
    """Refuse thoughts that are ill-configured, or that do not go with what else is asked."""
    thinking = body.get("thinking")
    if thinking is None:
        return
    mode = thinking.get("type") if isinstance(thinking, dict) else None
    if mode not in ("adaptive", "disabled", "enabled"):
        raise refuse(
            f"thinking: Input tag '{mode}' found using 'type' does not match any of the expected tags: "
            "'adaptive', 'disabled', 'enabled'"
        )
    if mode != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if budget is None:
        raise refuse("thinking.enabled.budget_tokens: Field required")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < LEAST_BUDGET_TOKENS:
        raise refuse(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET_TOKENS}")
    if budget >= body["max_tokens"]:
        raise refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("temperature") not in (None, 1):
        raise refuse("`temperature` may only be set to 1 when thinking is enabled.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")
    check_loop(body["messages"])


def check_loop(messages: list[dict[str, Any]]) -> None:
    """Refuse to think amid a loop of tools that was begun without thoughts."""
    begun = None
    for index, message in reversed(list(enumerate(messages))):
        kinds = [block.get("type") for block in blocks_of(message) if isinstance(block, dict)]
        if message["role"] == "assistant":
            begun = (index, kinds[0] if kinds else None)
        elif "tool_result" not in kinds:
            break
    if begun is not None and messages[-1]["role"] == "user" and begun[1] not in ("thinking", "redacted_thinking"):
        raise refuse(
            f"messages.{begun[0]}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{begun[1]}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block "
            "(preceeding the lastmost set of `tool_use` and `tool_result` blocks)."  # codespell:ignore preceeding
        )


def read_system(system: Any) -> list[dict[str, Any]]:
    """The system prompt as a message, if there is one."""
    if system is None or system == "":
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    blocks = [read_block(block, ("text",), f"system.{index}") for index, block in enumerate(system)]
    return [{"role": "system", "content": "\n".join(block["text"] for block in blocks)}]


def read_conversation(messages: list[Any]) -> list[dict[str, Any]]:
    """The messages, checked, in the shapes of Chat Completions."""
    for index, message in enumerate(messages):
        check_message(message, f"messages.{index}", is_last=index == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise refuse('messages: first message must use the "user" role')
    check_pairs(messages)
    return [said for index, message in enumerate(messages) for said in read_message(message, f"messages.{index}")]


def check_message(message: Any, at: str, *, is_last: bool) -> None:
    """Refuse unknown roles and empty content."""
    role = message.get("role") if isinstance(message, dict) else None
    if role == "system":
        raise refuse(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    if role not in BLOCKS:
        raise refuse(f"{at}.role: Input should be 'user' or 'assistant'")
    content = message.get("content")
    if not isinstance(content, str | list):
        raise refuse(f"{at}.content: Field required")
    if not content and not (is_last and role == "assistant"):
        raise refuse(f"{at}: all messages must have non-empty content except for the optional final assistant message")
    text = content if isinstance(content, str) else last_text(content)
    if is_last and role == "assistant" and text != text.rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")


def last_text(content: list[Any]) -> str:
    """The text of the last block, if it is one of text."""
    last = content[-1] if content else None
    return str(last.get("text", "")) if isinstance(last, dict) and last.get("type") == "text" else ""


def blocks_of(message: Mapping[str, Any]) -> list[Any]:
    """The blocks of a message; a text is one."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check_pairs(messages: list[dict[str, Any]]) -> None:
    """Refuse calls without results in the next turn, and results without a call in the turn before."""
    open_calls: list[str] = []
    caller = 0
    for index, message in enumerate(messages):
        blocks = [block for block in blocks_of(message) if isinstance(block, dict)]
        if message["role"] == "assistant":
            # Messages of one role in a row are one turn, so calls may gather.
            open_calls += [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
            caller = index
            continue
        for place, block in enumerate(blocks):
            if block.get("type") != "tool_result":
                check_answered(open_calls, caller)
            elif block.get("tool_use_id") in open_calls:
                open_calls.remove(block["tool_use_id"])
            else:
                raise refuse(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block.get('tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use` "
                    "block in the previous message."
                )
    check_answered(open_calls, caller)


def check_answered(open_calls: list[str], caller: int) -> None:
    """Refuse if any call is still open."""
    if open_calls:
        raise refuse(
            f"messages.{caller}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def read_message(message: Mapping[str, Any], at: str) -> list[dict[str, Any]]:
    """A message as messages: results stand on their own there."""
    allowed = BLOCKS[message["role"]]
    blocks = [read_block(block, allowed, f"{at}.content.{n}") for n, block in enumerate(blocks_of(message))]
    parts = [block for block in blocks if "role" not in block and block["type"] not in ("function", "thinking")]
    # One text needs no list: scripts then read the same content as in Chat Completions.
    alone = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts or None
    if message["role"] == "assistant":
        calls = [block for block in blocks if block.get("type") == "function"]
        said = {"role": "assistant", "content": alone}
        return [{**said, "tool_calls": calls}] if calls else [{**said, "content": alone or ""}]
    results = [block for block in blocks if "role" in block]
    return [*results, {"role": "user", "content": alone}] if parts else results


def read_block(block: Any, allowed: tuple[str, ...], at: str) -> dict[str, Any]:
    """A block as a content part, a call, or a tool message."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise refuse(f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}")
    for name in block.keys() - FIELDS[kind] - {"type"}:
        raise refuse(f"{at}.{kind}.{name}: Extra inputs are not permitted")
    match kind:
        case "text":
            if not required(block, "text", at):
                raise refuse("messages: text content blocks must be non-empty")
            return {"type": "text", "text": block["text"]}
        case "image":
            source = required(block, "source", at)
            url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
            return {"type": "image_url", "image_url": {"url": url}}
        case "document":
            return {"type": "file", "file": {"source": required(block, "source", at)}}
        case "tool_use":
            return read_call(block, at)
        case "tool_result":
            return read_result(block, at)
        case _:
            required(block, "signature" if kind == "thinking" else "data", at)
            return {"type": "thinking"}


def required(block: Mapping[str, Any], name: str, at: str) -> Any:
    """A field of a block that must be there."""
    if block.get(name) is None:
        raise refuse(f"{at}.{block['type']}.{name}: Field required")
    return block[name]


def read_call(block: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A call in the shape of Chat Completions."""
    if not TOOL_ID.fullmatch(str(required(block, "id", at))):
        raise refuse(f"{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(required(block, "input", at), dict):
        raise refuse(f"{at}.tool_use.input: Input should be a valid dictionary")
    function = {"name": required(block, "name", at), "arguments": json.dumps(block["input"], ensure_ascii=False)}
    return {"id": block["id"], "type": "function", "function": function}


def read_result(block: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A tool result as a tool message."""
    content = block.get("content") or ""
    if not isinstance(content, str):
        content = [
            read_block(part, ("text", "image", "document"), f"{at}.tool_result.content.{index}")
            for index, part in enumerate(content)
        ]
    return {"role": "tool", "tool_call_id": required(block, "tool_use_id", at), "content": content}


def read_tools(tools: list[Any]) -> tuple[dict[str, Any], ...]:
    """Tools in the shape of Chat Completions; only custom ones, as there is nothing here that could search the web."""
    read = []
    for index, tool in enumerate(tools):
        kind = tool.get("type") or "custom" if isinstance(tool, dict) else None
        if kind != "custom":
            raise refuse(f"tools.{index}: Input tag '{kind}' found using 'type' does not match any of: 'custom'")
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise refuse(f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not isinstance(schema, dict):
            raise refuse(f"tools.{index}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise refuse(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
        function = {"name": name, "description": tool.get("description") or "", "parameters": schema}
        read.append({"type": "function", "function": function})
    return tuple(read)


def read_choice(choice: Any, tools: tuple[dict[str, Any], ...]) -> Any:
    """A tool choice in the shape of Chat Completions."""
    if choice is None:
        return None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("auto", "any", "tool") and not tools:
        raise refuse("tool_choice: may only be specified while providing tools")
    match kind:
        case "auto" | "none":
            return kind
        case "any":
            return "required"
        case "tool":
            wanted = choice.get("name")
            if wanted not in [tool["function"]["name"] for tool in tools]:
                raise refuse(f"Tool '{wanted}' not found in provided tools")
            return {"type": "function", "function": {"name": wanted}}
        case _:
            raise refuse(
                f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'auto', 'any', 'tool', 'none'"
            )


def read_format(wanted: Any) -> dict[str, Any] | None:
    """An output format in the shape of a response format."""
    if wanted is None:
        return None
    if (
        not isinstance(wanted, dict)
        or wanted.get("type") != "json_schema"
        or not isinstance(wanted.get("schema"), dict)
    ):
        raise refuse("output_config.format: Input should be an object with type 'json_schema' and a schema")
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": wanted["schema"]}}
