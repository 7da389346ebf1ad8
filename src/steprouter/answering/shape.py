"""Shapes a stream of pieces for the consumer: whole words of text go on live, tool calls are held until they are whole.

Why hold tool calls: LangChain parses partial arguments leniently, so a call cut in the middle of
`{"path": "/home/bob/old` becomes a valid call on the wrong path, and agents execute it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from ..models.cost import Usage
from .answer import Answer, Delta, ToolCall, ToolPiece
from .failures import Phase
from .seam_reading import Joined, Unjoinable
from .seam_words import Words

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

    def start(self, *, watched: bool, now: Callable[[], float]) -> Shaper:
        """A shaper for one attempt; where nobody watches (`invoke`) everything is held, so all may be escalated.

        Args:
            watched: Whether the pieces go to a consumer.
            now: Gives seconds on a clock that only goes forward.
        """
        return Shaper(self.held(watched=watched))

    def held(self, *, watched: bool) -> Hold:
        """What is kept back."""
        return self.hold if watched else Hold.EVERYTHING


class Shaper:
    """Takes the pieces of one attempt in order, gives those to show, and remembers all of it.

    Text is shown up to the last whole word, so that an answer that breaks off can be gone on with from there.

    Mutable, because it sees every token; it lives for one attempt and does no I/O.

    Attributes:
        fresh: Text that the last piece made whole, shown or not.
        is_over: Whether nothing more is wanted of the model.
        was_shown: Whether the consumer has seen text of an earlier attempt at the same message.
    """

    __slots__ = (
        "block", "calls", "details", "finish", "fresh", "held", "hold", "is_over", "open_call", "parts", "said",
        "shown_parts", "usage", "was_shown", "whole_parts", "words",
    )  # fmt: skip

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.parts: list[str] = []
        self.whole_parts: list[str] = []
        self.shown_parts: list[str] = []
        self.was_shown = False
        self.words = Words()
        self.fresh = ""
        self.is_over = False
        self.block: Mapping[str, Any] | None = None
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
        self.fresh = ""
        if text:
            self.parts.append(text)
        if finish is not None:
            self.finish = finish
        if usage is not None:
            self.usage = usage
        if details:
            self.details.update(details)
        if not (text or tools or blocks or extra):
            return None if finish is None else self.last()
        self.said = True
        if tools:
            self.take(tools)
        if self.hold is Hold.EVERYTHING:
            self.held.append(delta)
            self.make_whole(text, is_call=bool(tools))
            return None
        if not (tools or blocks or extra or self.open_call):
            whole = self.make_whole(text)
            return self.show(Delta(whole)) if whole else None
        return self.split(delta)

    def make_whole(self, text: str, *, is_call: bool = False) -> str:
        """What `text` makes whole. White space alone is nothing, so that an empty answer stays unshown."""
        if self.open_call:
            return ""
        whole = self.words.feed(text)
        if is_call:
            self.open_call = True
            whole += self.words.rest()
        if not self.whole_parts and whole and not whole.strip():
            self.words.held = whole + self.words.held
            return ""
        if whole:
            self.whole_parts.append(whole)
            self.fresh = whole
        return whole

    def show(self, piece: Delta) -> Delta:
        """What is shown for a piece, with what waited for it."""
        if self.held:
            waiting, self.held = self.held, []
            piece = joined([*waiting, piece])
        self.shown_parts.append(piece.text)
        return piece

    def last(self) -> Delta | None:
        """What may be shown of the last word, the model having finished."""
        if self.hold is Hold.EVERYTHING or self.open_call or (rest := self.rest()) is None:
            return None
        return self.show(rest)

    def split(self, delta: Delta) -> Delta | None:
        """Parts what may be shown from what is held; once a call is open, all that follows waits behind it."""
        if self.open_call:
            self.held.append(delta)
            return None
        if delta.tools or any(is_tool_block(block) for block in delta.blocks):
            # The text before a call is over. What comes in one piece with the call stays with it.
            rest = self.rest()
            shown = self.show(rest) if rest is not None else None
            self.open_call = True
            self.held += [self.in_block(space)] if (space := self.words.rest()) else []
            self.held.append(delta)
            return shown
        if delta.blocks:
            return self.split_blocks(delta)
        whole = self.make_whole(delta.text)
        self.held.append(delta._replace(text=""))
        return self.show(Delta(whole)) if whole else None

    def split_blocks(self, delta: Delta) -> Delta | None:
        """As `split`, for content in blocks: a block of plain text is shown word by word, others as they come."""
        block = delta.blocks[0]
        if len(delta.blocks) == 1 and block.get("type") == "text" and not delta.extra:
            if self.block is not None and block.get("index") != self.block["index"]:
                self.held += [rest] if (rest := self.rest()) is not None else []
            self.block = {"type": "text", "index": block.get("index")}
            whole = self.make_whole(delta.text)
            piece = Delta(whole, blocks=({**block, "text": whole},))
            if whole:
                return self.show(piece)
            if block.keys() - {"type", "text", "index"}:
                self.held.append(piece)  # what else it says is shown with the next word
            return None
        rest = self.rest()
        self.held += [rest] if rest is not None else []
        if delta.text:
            self.whole_parts.append(delta.text)
            self.fresh += delta.text
        if not self.whole_parts:
            self.held.append(delta)
            return None
        return self.show(delta)

    def rest(self) -> Delta | None:
        """The word that is held, once it is known to be whole; None if there is none."""
        rest = self.words.rest()
        if not rest or not (self.whole_parts or rest.strip()):
            self.words.held = rest
            return None
        self.whole_parts.append(rest)
        self.fresh += rest
        return self.in_block(rest)

    def in_block(self, text: str) -> Delta:
        """Text as a piece in the shape of what was shown last."""
        return Delta(text) if self.block is None else Delta(text, blocks=(self.block_of(text),))

    def block_of(self, text: str) -> dict[str, Any]:
        """A block of plain text that goes on with the one before."""
        return {key: value for key, value in {**(self.block or {}), "text": text}.items() if value is not None}

    def take(self, pieces: tuple[ToolPiece, ...]) -> None:
        """Sorts fragments by the call they belong to."""
        for piece in pieces:
            self.calls.setdefault(piece.index, []).append(piece)

    @property
    def spoken(self) -> str:
        """All plain text that this attempt said, shown or not."""
        return "".join(self.parts)

    @property
    def shown(self) -> str:
        """Text of this attempt that the consumer has seen."""
        return "".join(self.shown_parts)

    @property
    def whole(self) -> str:
        """All text of the message up to the last whole word, of earlier attempts too."""
        return "".join(self.whole_parts)

    @property
    def fragment(self) -> str:
        """What was said after that and may go on; empty where a call follows it."""
        return self.words.held

    @property
    def has_shown(self) -> bool:
        """Whether a consumer has seen any text of the message, of earlier attempts too."""
        return self.was_shown or bool(self.shown_parts)

    @property
    def join(self) -> Joined | Unjoinable | None:
        """How it was joined to what an earlier attempt had said; None where there was nothing to join."""
        return None

    @property
    def phase(self) -> Phase:
        """How far the answer has come."""
        if self.calls:
            return Phase.IN_TOOL_CALL
        return Phase.IN_TEXT if self.parts else Phase.BEFORE_FIRST_TOKEN

    def answer(self) -> Answer:
        """What was said, as one value."""
        held = self.held
        if self.hold is not Hold.EVERYTHING and self.words.held:
            held = [*held, self.in_block(self.words.held)]
        return Answer(
            text=self.spoken,
            tool_calls=tuple(whole_call(pieces) for pieces in self.calls.values()),
            finish=self.finish,
            usage=self.usage,
            unshown=in_one_shape(held),
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


def joined(deltas: list[Delta]) -> Delta:
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
