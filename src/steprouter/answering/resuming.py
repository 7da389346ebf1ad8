"""Shapes the pieces of an attempt that goes on with an answer, so that the consumer sees one answer without a seam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..step.ask import Ask
from .answer import Answer, Delta
from .continuing import seam_for
from .resume import Rung, Salvage, usage_of_all
from .seam import Joined, Seam, Unjoinable
from .shape import Hold, Shaper, Shaping, in_one_shape, is_tool_block


@dataclass(frozen=True, slots=True, kw_only=True)
class Resuming(Shaping):
    """How the pieces of a continuation are shaped.

    Attributes:
        ask: What was asked first.
        salvage: What there is to go on from.
        rung: How the model was asked to.
    """

    ask: Ask = field(repr=False)
    salvage: Salvage
    rung: Rung

    def start(self, *, watched: bool, now: Callable[[], float]) -> Shaper:
        """As of `Shaping`."""
        hold, salvage = self.held(watched=watched), self.salvage
        if self.rung is not Rung.CURSOR:
            return JoiningShaper(hold, salvage, seam_for(self.ask, salvage, self.rung), now)
        if salvage.shaper is None:  # an ended process heard it; all of it is replayed
            return Shaper(hold)
        return onward(salvage.shaper)


def onward(shaper: Shaper) -> Shaper:
    """The same shaper for a replay of what follows: an answer is one however often its connection breaks."""
    shaper.was_shown = shaper.has_shown
    shaper.shown_parts = []
    shaper.usage = shaper.finish = None
    return shaper


class JoiningShaper(Shaper):
    """Takes the pieces of a continuation, gives what is new of its text, and holds its tool calls.

    Thoughts are dropped: they are signed by whoever thought them, for an answer of his own.

    Args:
        hold: What is kept from the consumer until the answer has been checked.
        salvage: What there is to go on from.
        seam: Joins the two.
        now: Gives seconds on a clock that only goes forward.
    """

    __slots__ = ("before", "lead", "now", "seam", "tail")

    def __init__(self, hold: Hold, salvage: Salvage, seam: Seam, now: Callable[[], float]) -> None:
        super().__init__(hold)
        self.before = salvage
        self.seam = seam
        self.now = now
        # Nobody here has seen what an ended process said, or what was said to nobody.
        self.was_shown = salvage.seen and not salvage.is_left
        self.lead = "" if self.was_shown else salvage.shown
        self.tail = ""
        self.block = salvage.block

    def feed(self, delta: Delta) -> Delta | None:
        """The part of `delta` that may be shown now; None if nothing may."""
        text, tools, blocks, finish, usage, details, _ = delta
        self.fresh = ""
        if text:
            self.parts.append(text)
        if finish is not None:
            self.finish = finish
        if usage is not None:
            self.usage = usage
        if details:
            self.details.update(details)
        calls = tuple(block for block in blocks if is_tool_block(block))
        self.said = self.said or bool(text or tools or calls)
        new = ""
        if tools or calls:
            new = self.begin_calls()
            self.take(tools)
            self.held.append(Delta(tools=tools, blocks=calls))
        elif text and self.open_call:
            self.held.append(self.in_block(text))
        elif text:
            new = self.seam.feed(text, self.now())
        if self.seam.stopped:
            self.finish = self.finish or "stop"
        self.is_over = self.seam.stopped or self.join_failed
        return self.give(new) if new else None

    def begin_calls(self) -> str:
        """What of the text is left to show when the first call opens."""
        if self.open_call:
            return ""
        self.open_call = True
        return self.seam.rest()

    def give(self, new: str) -> Delta | None:
        """Text that may be shown, after what an ended process had said."""
        self.fresh = new
        piece = self.in_block(self.lead + new)
        self.lead = ""
        if self.hold is Hold.EVERYTHING:
            self.tail += piece.text
            return None
        self.shown_parts.append(piece.text)
        return piece

    @property
    def join_failed(self) -> bool:
        """Whether it was found that the two cannot be joined."""
        return isinstance(self.seam.join, Unjoinable)

    @property
    def whole(self) -> str:
        """All text of the message up to the last whole word, of earlier attempts too."""
        return self.seam.shown

    @property
    def fragment(self) -> str:
        """What was said after that and may go on."""
        return self.seam.fragment

    @property
    def join(self) -> Joined | Unjoinable | None:
        """How the two were joined."""
        return self.seam.join

    def answer(self) -> Answer:
        """What was said, as one value: the whole message, from its first word."""
        self.tail += self.seam.rest()
        unseen = self.lead + self.tail
        text = [self.in_block(unseen)] if unseen else []
        after = "".join(piece.text for piece in self.held)
        own = super().answer()
        usage = own.usage
        if usage is not None and isinstance(self.seam.join, Joined):
            usage = usage_of_all(self.before, self.seam.join, usage)
        unshown: list[Any] = [*text, *self.held]
        return replace(own, text=self.seam.shown + after, usage=usage, unshown=in_one_shape(unshown))
