"""Whether a history needs no repair, which is so for most calls and must cost next to nothing.

One pass that makes nothing and gives up at the first doubt: what it lets pass, a repair would leave as it is; what
it does not may still turn out to need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from .handover_blocks import FOREIGN_MARKS, LOSES_NAMES, NATIVE_EXTRAS, NO_MARKS, NOT_IN_NAMES, TAKES_LATE_SYSTEM
from .handover_ids import legal_ids
from .speaker import Speaker, is_own

TEXT_KEYS = frozenset({"type", "text"})
SPOKEN = frozenset({"refusal", "audio"})


def is_fit(messages: Sequence[BaseMessage], to: Speaker) -> bool:
    """Whether `to` surely takes the messages as they are; False also where only a repair can tell."""
    family = to.family
    marks = FOREIGN_MARKS.get(family, NO_MARKS)
    late_system = to.late_system is not False and family in TAKES_LATE_SYSTEM
    taken: set[str] = set()
    waiting: set[str] = set()
    is_begun = False
    last: type[BaseMessage] | None = None
    for message in messages:
        content = message.content
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return False
            waiting.remove(message.tool_call_id)
            last = ToolMessage
        elif waiting:
            return False
        elif isinstance(message, AIMessage):
            # Two in a row may have to be merged.
            if last is AIMessage or not says_something(message):
                return False
            calls = message.tool_calls
            if is_own(message, to):
                waiting = {call["id"] or "" for call in calls}
                if not isinstance(content, str) and not is_usual(content, waiting):
                    return False
            elif is_portable(message):
                legal = legal_ids(to)
                for call in calls:
                    id_ = call["id"] or ""
                    if id_ in taken or id_ in waiting or not legal.fullmatch(id_):
                        return False
                    waiting.add(id_)
            else:
                return False
            taken |= waiting
            last = AIMessage
            is_begun = True
        elif isinstance(message, SystemMessage):
            if is_begun and not late_system:
                return False
            last = SystemMessage
        else:
            if isinstance(message, HumanMessage) and not isinstance(content, str) and holds_results(content):
                return False
            last = HumanMessage
            is_begun = True
        if message.name and family not in LOSES_NAMES and is_odd(message.name):
            return False
        if not isinstance(content, str) and holds_marks(content, marks):
            return False
    return not waiting


def says_something(message: AIMessage) -> bool:
    """Whether a model's message surely is not empty, and has no broken calls."""
    if message.invalid_tool_calls:
        return False
    content = message.content
    if message.tool_calls or isinstance(content, str):
        return bool(message.tool_calls) or bool(str(content).strip())
    texts = (block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text")
    return any(isinstance(text, str) and text.strip() for text in texts)


def is_portable(message: AIMessage) -> bool:
    """Whether a stranger's message surely has nothing native in it."""
    content, extras, metadata = message.content, message.additional_kwargs, message.response_metadata
    if isinstance(content, str):
        if not content and not extras.keys().isdisjoint(SPOKEN):
            return False
    elif not content or not all(isinstance(b, dict) and b.keys() == TEXT_KEYS and b["type"] == "text" for b in content):
        return False
    return extras.keys().isdisjoint(NATIVE_EXTRAS) and not str(metadata.get("id") or "").startswith("resp_")


def is_usual(content: Sequence[Any], ids: set[str]) -> bool:
    """Whether a model's own content calls nothing besides its tool calls."""
    for block in content:
        if isinstance(block, dict) and block.get("call_id", "") not in ids and "call_id" in block:
            return False
    return True


def holds_results(content: Sequence[Any]) -> bool:
    """Whether Anthropic's tool results are inside a content."""
    return any(isinstance(block, dict) and block.get("type") == "tool_result" for block in content)


def holds_marks(content: Sequence[Any], marks: frozenset[str]) -> bool:
    """Whether a content has marks for a prompt cache of another provider."""
    return any(isinstance(block, dict) and not marks.isdisjoint(block) for block in content)


def is_odd(name: str) -> bool:
    """Whether a name is one that some providers refuse."""
    return len(name) > 64 or NOT_IN_NAMES.search(name) is not None
