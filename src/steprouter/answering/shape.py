"""Shapes a stream of pieces for the consumer: text goes on live, tool calls are held until they are whole.

Why hold tool calls: LangChain parses partial arguments leniently, so a call cut in the middle of
`{"path": "/home/bob/old` becomes a valid call on the wrong path, and agents execute it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from ..models.cost import Usage
from .answer import Answer, Delta, ToolCall, ToolPiece
from .failures import Phase

TOOL_BLOCK_TYPES = frozenset(
    {"tool_use", "input_json_delta", "tool_call", "tool_call_chunk", "function_call", "invalid_tool_call"}
)
"""Content blocks that are part of a tool call in some provider's own shape; held like the call itself."""


class Hold(StrEnum):
    """What is kept from the consumer until the answer has been checked."""

    TOOL_CALLS = "tool_calls"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How the pieces of one attempt are shaped.

    Attributes:
        hold: What is kept back at least.
    """

    hold: Hold = Hold.TOOL_CALLS

    def start(self, *, watched: bool) -> Shaper:
        """A shaper for one attempt; where nobody watches (`invoke`) everything is held, so all may be escalated."""
        return Shaper(self.hold if watched else Hold.EVERYTHING)


class Shaper:
    """Takes the pieces of one attempt in order, gives those to show, and remembers all of it.

    Mutable, because it sees every token; it lives for one attempt and does no I/O.
    """

    __slots__ = (
        "calls", "details", "finish", "held", "hold", "open_call", "parts", "said", "shown_parts", "usage",
    )  # fmt: skip

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.parts: list[str] = []
        self.shown_parts: list[str] = []
        self.held: list[Delta] = []
        self.calls: dict[int, list[ToolPiece]] = {}
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.details: dict[str, Any] = {}
        self.said = False
        self.open_call = False

    def feed(self, delta: Delta) -> Delta | None:
        """The part of `delta` that may be shown now; None if nothing may."""
        text, tools, blocks, finish, usage, details, extra = delta
        if text:
            self.parts.append(text)
        if finish is not None:
            self.finish = finish
        if usage is not None:
            self.usage = usage
        if details:
            self.details.update(details)
        if not (text or tools or blocks or extra):
            return None
        self.said = True
        if tools:
            self.take(tools)
        if self.hold is Hold.EVERYTHING:
            self.held.append(delta)
            return None
        if not (tools or blocks or extra or self.held):
            return self.show_text(text, delta)
        return self.split(delta)

    def show_text(self, text: str, delta: Delta) -> Delta | None:
        """Plain text goes on at once, but for leading white space: an empty answer must stay unshown."""
        if not self.shown_parts and not text.strip():
            self.held.append(delta)
            return None
        self.shown_parts.append(text)
        return Delta(text)

    def split(self, delta: Delta) -> Delta | None:
        """Parts what may be shown from what is held; once a call is open, all that follows waits behind it."""
        calls = bool(delta.tools) or any(is_tool_block(block) for block in delta.blocks)
        self.open_call = self.open_call or calls
        if self.open_call or delta.extra or not (delta.text.strip() or self.shown_parts):
            self.held.append(delta)
            return None
        waiting, self.held = self.held, []
        shown = join([*waiting, delta])
        self.shown_parts.append(shown.text)
        return shown

    def take(self, pieces: tuple[ToolPiece, ...]) -> None:
        """Sorts fragments by the call they belong to."""
        for piece in pieces:
            self.calls.setdefault(piece.index, []).append(piece)

    @property
    def shown(self) -> str:
        """Text the consumer has seen."""
        return "".join(self.shown_parts)

    @property
    def phase(self) -> Phase:
        """How far the answer has come."""
        if self.calls:
            return Phase.IN_TOOL_CALL
        return Phase.IN_TEXT if self.parts else Phase.BEFORE_FIRST_TOKEN

    def answer(self) -> Answer:
        """What was said, as one value."""
        return Answer(
            text="".join(self.parts),
            tool_calls=tuple(whole_call(pieces) for pieces in self.calls.values()),
            finish=self.finish,
            usage=self.usage,
            unshown=in_one_shape(self.held),
            details=self.details,
        )


def is_tool_block(block: Mapping[str, Any]) -> bool:
    """Whether a content block is part of a tool call."""
    return block.get("type") in TOOL_BLOCK_TYPES


def whole_call(pieces: list[ToolPiece]) -> ToolCall:
    """One call from its fragments; `args` only if they are strictly a JSON object."""
    raw = "".join(piece.args for piece in pieces)
    return ToolCall(
        id=next((piece.id for piece in pieces if piece.id), None),
        name=next((piece.name for piece in pieces if piece.name), ""),
        args=strict_object(raw),
        raw=raw,
    )


def strict_object(raw: str) -> Mapping[str, Any] | None:
    """`raw` as a JSON object; None if it is anything else. No arguments at all is an empty object."""
    try:
        value = json.loads(raw or "{}", parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def refuse_constant(name: str) -> None:
    """Raise for `NaN` and `Infinity`, which Python reads and no provider takes back."""
    raise ValueError(f"{name} is not JSON")


def join(deltas: list[Delta]) -> Delta:
    """Several pieces as one, in order."""
    if len(deltas) == 1:
        return deltas[0]
    deltas = list(in_one_shape(deltas))
    return Delta(
        text="".join(d.text for d in deltas),
        tools=tuple(piece for d in deltas for piece in d.tools),
        blocks=tuple(block for d in deltas for block in d.blocks),
        extra=all_extra(deltas),
    )


def in_one_shape(deltas: Sequence[Delta]) -> tuple[Delta, ...]:
    """The pieces with all text in blocks if any of them has blocks, so that whoever reads blocks misses none.

    A wire that speaks in blocks may still send text without one: some models think in blocks and answer in text.
    """
    if not any(delta.blocks for delta in deltas):
        return tuple(deltas)
    shaped: list[Delta] = []
    for is_plain, run in groupby(deltas, lambda delta: bool(delta.text) and not delta.blocks):
        pieces = list(run)
        if is_plain:
            text = "".join(piece.text for piece in pieces)
            tools = tuple(call for piece in pieces for call in piece.tools)
            pieces = [Delta(text, tools, ({"type": "text", "text": text},), extra=all_extra(pieces))]
        shaped += pieces
    return tuple(shaped)


def all_extra(deltas: Sequence[Delta]) -> dict[str, Any] | None:
    """The additional keyword arguments of several pieces; None where they have none.

    Texts and lists go on from piece to piece (DeepSeek's `reasoning_content` comes so), the rest is replaced.
    """
    extra: dict[str, Any] = {}
    for delta in deltas:
        for key, value in (delta.extra or {}).items():
            before = extra.get(key)
            goes_on = isinstance(value, str | list) and type(before) is type(value)
            extra[key] = before + value if goes_on else value
    return extra or None
