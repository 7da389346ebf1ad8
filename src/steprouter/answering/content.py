"""What may be said again after a content filter objected: the same conversation without what points at people.

Redaction here is a copy for one further call, not a promise that nothing personal leaves: thoughts that a provider
signed are left as they are, since it refuses changed ones and has them anyway; pictures, sounds and files are not
looked into; names of people have no pattern (see `steprouter.redaction`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, FunctionMessage, ToolMessage

from ..models.tokens import compact_json
from ..step.ask import Ask
from .handover_blocks import CALL_COPIES, THOUGHTS

Change = Callable[[Any], Any]

ARGUMENTS = frozenset({"args", "arguments", "input", "partial_json"})
"""Where calls have their arguments: as JSON, or as a text that is JSON."""

SPOKEN_EXTRAS = CALL_COPIES | {"reasoning_content", "refusal"}
"""Additional arguments that integrations send back as words; the others are ids, signatures and formats."""

SEALS = frozenset({"signature", "encrypted_content", "data"})
"""What makes a thought its provider's own: changed, or without it, it is refused."""

UNTOUCHED = SEALS | {
    "type", "id", "index", "name", "role", "status", "extras", "cache_control", "cachePoint",
    "tool_use_id", "tool_call_id", "call_id", "item_id", "file_id", "container_id", "encrypted_index",
    "thought_signature", "url", "image_url", "base64", "file_data", "mime_type", "media_type",
}  # fmt: skip
"""Keys of blocks that hold no prose. A random id or a picture in base64 looks like a secret, and an address must stay
the one it is."""

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


def redacted(ask: Ask) -> tuple[Ask, tuple[str, ...]]:
    """A copy of what is asked with markers such as `<email-1>` instead of personal data and secrets.

    The same value has the same marker in the whole conversation, system messages, calls and results included; an
    answer to the copy speaks of markers. Ids, names of tools and signatures stay, arguments stay JSON, and the
    caller's messages are not changed. Messages without a finding are the very same objects.

    Returns:
        The copy, and the kinds of what was replaced, sorted. Where nothing was, the very same ask and no kinds:
        asking again would be blind and must not be done.
    """
    # Imported by the first objection: the patterns take longer to compile than most modules take to import.
    from ..redaction import redact_value
    from ..redaction.kinds import PLACEHOLDER

    spoken: list[Any] = []

    def heard(value: Any) -> Any:
        spoken.append(plain(value))
        return value

    for message in ask.messages:
        changed(message, heard)
    clean = redact_value(spoken)
    before, after = (Counter(m["kind"] for m in PLACEHOLDER.finditer(compact_json(one))) for one in (spoken, clean))
    kinds = tuple(sorted(after - before))
    if not kinds:
        return ask, ()
    # Both walks meet the same values in the same order.
    replacements = iter(clean)
    messages = tuple(changed(message, lambda value: restored(value, next(replacements))) for message in ask.messages)
    return replace(ask, messages=messages), kinds


def changed(message: BaseMessage, change: Change) -> BaseMessage:
    """A copy with `change` applied to all that is said in a message; the very same message if that is nothing."""
    new: dict[str, Any] = {"content": prose(message.content, change)}
    if isinstance(message, AIMessage):
        new["tool_calls"] = prose(message.tool_calls, change)
        new["invalid_tool_calls"] = prose(message.invalid_tool_calls, change)
    if isinstance(message, AIMessageChunk):
        new["tool_call_chunks"] = prose(message.tool_call_chunks, change)
    new["additional_kwargs"] = {
        key: prose(value, change, key) if key in SPOKEN_EXTRAS else value
        for key, value in message.additional_kwargs.items()
    }
    if message.name and not isinstance(message, ToolMessage | FunctionMessage):
        name = change(message.name)
        new["name"] = name if name == message.name else NOT_IN_NAMES.sub("_", name).strip("_")
    update = {key: value for key, value in new.items() if value != getattr(message, key)}
    return message.model_copy(update=update) if update else message


def prose(value: Any, change: Change, key: str = "") -> Any:
    """A copy of a block, or of what is in one, with `change` applied to its words.

    Args:
        value: Content, a block, or something in a block.
        change: What to do with a text, or with a call's arguments.
        key: What the value is called in its block.
    """
    if key in ARGUMENTS:
        return arguments(value, change)
    match value:
        case str():
            return change(value)
        case list():
            return [prose(item, change) for item in value]
        case Mapping() if is_sealed(value):
            return value
        case Mapping():
            # Anthropic's text documents call their text `data`.
            untouched = UNTOUCHED - {"data"} if value.get("type") == "text" else UNTOUCHED
            return {name: item if name in untouched else prose(item, change, name) for name, item in value.items()}
        case _:
            return value


def is_sealed(block: Mapping[str, Any]) -> bool:
    """Whether a block is a thought that its provider signed or encrypted."""
    return block.get("type") in THOUGHTS and any(block.get(seal) for seal in SEALS)


def arguments(value: Any, change: Change) -> Any:
    """The arguments of a call, changed as JSON; a text that is no JSON is changed as a text."""
    if not isinstance(value, str):
        return value if value is None else change(value)
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict | list):
        return change(value)
    new = change(read)
    return value if new == read else compact_json(new)


def plain(value: Any) -> Any:
    """A copy that JSON can express; what it cannot express is nothing."""
    match value:
        case str() | bool() | int() | float() | None:
            return value
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return None


def restored(old: Any, new: Any) -> Any:
    """What `plain` made of `old` and was redacted since, with all that no JSON can express put back."""
    match old:
        case Mapping():
            return {key: restored(old[was], new[key]) for was, key in zip(old, new, strict=True)}
        case list() | tuple():
            return [restored(was, item) for was, item in zip(old, new, strict=True)]
        case str():
            return new
        case _:
            return old
