"""Writes down what a stream says while it says it, so that whoever asks the same again can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .answering.cursor import Cursor
from .answering.shape import Shaper, whole_call
from .commands import Call
from .memory.journal import Began, JournalEntry, JournalPlace, Line, Stood
from .memory.recall import Missing
from .providers.responses_cursor import Bookmark


class Pen(Protocol):
    """Writes the journal of one answer; never waits and never raises."""

    def note(self, line: Line) -> None:
        """Add a line."""
        ...

    def finish(self) -> None:
        """There is to be no journal any more."""
        ...

    def leave(self, now: float, *, keep: bool) -> None:
        """The answer is left unfinished; it is kept for whoever asks again, or not."""
        ...


class Journals(Protocol):
    """Keeps journals of unfinished answers; never raises in a step."""

    def match(
        self, place: JournalPlace, found: Sequence[JournalEntry] | Missing | None, now: float
    ) -> JournalEntry | Missing | None:
        """The journal that a call may go on from, or why it cannot be read; takes no time."""
        ...

    def open(self, place: JournalPlace, now: float) -> Pen:
        """A pen for an answer that begins; takes no time."""
        ...

    def claim(self, place: JournalPlace, entry: JournalEntry, now: float) -> Pen | None:
        """A pen that goes on with a journal; None if somebody else has it."""
        ...

    async def aclaim(self, place: JournalPlace, entry: JournalEntry, now: float) -> Pen | None:
        """As `claim`, without blocking the event loop."""
        ...


class Scribe:
    """Notes what one attempt says, from its first whole word on: an attempt that says nothing leaves no line.

    Args:
        pen: Writes it.
        command: The call.
        watched: Whether a consumer sees it.
        origin: The attempt before, where this is a replay of the same answer.
    """

    __slots__ = ("calls", "command", "is_begun", "pen", "start", "watched")

    def __init__(self, pen: Pen, command: Call, *, watched: bool, origin: Scribe | None) -> None:
        self.pen = pen
        self.command = command
        self.watched = watched
        self.start: Cursor | None = origin.start if origin is not None and command.cursor is not None else None
        self.is_begun = False
        self.calls: set[int] = set()

    def hear(self, shaper: Shaper, bookmark: Bookmark | None) -> None:
        """Note what the last piece made whole: text, or calls before the one that goes on."""
        if not self.is_begun:
            self.begin(bookmark)
        if shaper.fresh:
            self.pen.note(shaper.fresh)
        if len(shaper.calls) > len(self.calls) + 1:
            for index in sorted(shaper.calls.keys() - self.calls)[:-1]:
                self.calls.add(index)
                if (call := whole_call(shaper.calls[index])).name and call.args is not None:
                    self.pen.note(call)

    def begin(self, bookmark: Bookmark | None) -> None:
        """Note who speaks, and how one could go on with it."""
        self.is_begun = True
        command = self.command
        if bookmark is not None and bookmark.start is not None and not command.goes_on:
            self.start = bookmark.start
        facts: dict[str, Any] = {"seen": self.watched}
        if self.start is not None:
            facts["cursor"] = [self.start.response_id, self.start.after]
        self.pen.note(Began(command.model, command.id, command.goes_on))
        self.pen.note(Stood(facts))
