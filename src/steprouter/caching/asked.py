"""What a model is asked, as texts that are the same in every process and differ wherever the question differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from ..step.ask import Ask

COPIES = frozenset({"tool_calls", "function_call", "__openai_function_call_ids__"})
"""Additional arguments of a message that repeat its calls, with ids."""

DRAWN = frozenset({"id", "index", "call_id"})
"""What providers number the blocks of an answer by; another number makes no other question."""


def written(value: object) -> str:
    """A value as JSON, the same for the same value whatever the order of its keys.

    Raises:
        TypeError: It is not made of what JSON knows, and bytes; another object's text may say where in memory it lies,
            and two that differ may then look the same.
        ValueError: It holds itself.
        RecursionError: It is nested too deeply.
    """
    return json.dumps(value, separators=(",", ":"), sort_keys=True, default=from_bytes)


def from_bytes(value: object) -> list[str]:
    """Bytes as JSON.

    Raises:
        TypeError: The value is something else.
    """
    if isinstance(value, bytes | bytearray):
        return ["bytes", value.hex()]
    raise TypeError(f"{type(value).__name__} is not JSON")


def conditions(ask: Ask) -> str:
    """All that is asked besides messages: tools, which must be called, format, stops, settings.

    Raises:
        TypeError, ValueError, RecursionError: As `written`.
    """
    tools = ask.tools
    return written(
        [
            sorted(map(written, tools.schemas)),
            None if tools.choice is None else [tools.choice.mode, tools.choice.name],
            form_of(tools.response_format),
            dict(tools.options),
            list(ask.stop),
            dict(ask.settings),
        ]
    )


def form_of(wanted: Any) -> Any:
    """A response format; of a class its name and, where it has one, its schema."""
    if not isinstance(wanted, type):
        return wanted
    schema_of = getattr(wanted, "model_json_schema", None)
    return [wanted.__module__, wanted.__qualname__, schema_of() if callable(schema_of) else None]


def said(messages: Sequence[BaseMessage]) -> list[Any]:
    """What messages say to a model: not their ids, and those of tool calls only by their order."""
    numbers: dict[str | None, int] = {}
    calls = 0
    found: list[Any] = []
    for message in messages:
        one: list[Any] = [message.type, message.name, content_of(message), extras_of(message)]
        if isinstance(message, ChatMessage):
            one.append(message.role)
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                # Some providers number the calls of each turn anew, so an id is that of the last call that bore it.
                numbers[call["id"]] = calls
                one.append([calls, call["name"], call["args"]])
                calls += 1
            one.append([[call["name"], call["args"]] for call in message.invalid_tool_calls])
        elif isinstance(message, ToolMessage):
            one += [numbers.get(message.tool_call_id, message.tool_call_id), message.status]
        found.append(one)
    return found


def content_of(message: BaseMessage) -> Any:
    """The content of a message; of a model's own blocks without the ids its provider gave them."""
    if not isinstance(message, AIMessage) or isinstance(message.content, str):
        return message.content
    return [bare(block) if isinstance(block, Mapping) else block for block in message.content]


def bare(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block without what it is numbered by."""
    return {name: value for name, value in block.items() if name not in DRAWN}


def extras_of(message: BaseMessage) -> dict[str, Any]:
    """What else integrations send of a message: thoughts, refusals, marks of providers."""
    return {name: value for name, value in message.additional_kwargs.items() if name not in COPIES}
