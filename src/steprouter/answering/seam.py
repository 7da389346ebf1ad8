"""The seam between what was shown of a broken answer and what goes on from it.

What was shown is a fact. A continuation may say some of it again, start over, excuse itself first, or leave out the
white space in between; the seam gives only what is new. Where two readings are possible it says so instead of guessing.
"""

from __future__ import annotations

from dataclasses import replace

from .seam_reading import Before, Joined, Promise, Unjoinable, preamble, read
from .seam_stops import Marks, Straddle
from .seam_words import Words

__all__ = ["Joined", "Promise", "Seam", "Unjoinable"]

LONGEST_WAIT_SECONDS = 0.4
"""So long the beginning of a continuation is held back while it says nothing again; after a break a reader has waited
longer for it than that."""

LONGEST_WAIT_CHARS = 200
"""And so much of it: longer than any preamble, and enough to tell a new beginning from a continuation."""


class Seam:
    """Takes the text of one continuation in order and gives what may be shown of it.

    Mutable, because it sees every piece; it lives for one continuation, and time is passed in.

    Args:
        shown: All text the consumer has seen.
        fragment: What the broken attempt said after it, seen by nobody: the beginning of what is expected next.
        promise: What the model was told.
        fence: The line that opened the block of code in which `shown` ends; None where it ends in none.
        stop: Stop sequences.

    Attributes:
        join: How the two are joined; None while that is not known.
        new_parts: What it has given to show.
    """

    __slots__ = (
        "before", "began_seconds", "fragment_before", "heard", "is_begun", "join", "marks", "new_parts",
        "preamble_chars", "seen_space", "shown_before", "straddle", "words",
    )  # fmt: skip

    def __init__(
        self, shown: str, fragment: str, promise: Promise, *, fence: str | None = None, stop: tuple[str, ...] = ()
    ) -> None:
        told = shown if promise is Promise.EXACT else sendable(shown)
        self.shown_before = shown
        self.fragment_before = fragment
        self.seen_space = shown[len(told) :]
        self.before = Before(
            text=told,
            # A character that was cut in two is said whole the next time.
            expected=self.seen_space + fragment.rstrip("\ufffd"),
            start=told.lstrip(),
            is_in_code=fence is not None,
            promise=promise,
        )
        self.heard = ""
        self.began_seconds: float | None = None
        self.is_begun = False
        self.preamble_chars = 0
        self.join: Joined | Unjoinable | None = None
        self.new_parts: list[str] = []
        self.straddle = Straddle(shown, stop)
        self.marks = Marks(shown if promise is Promise.ASKED else None)
        self.words = Words()
        if promise is Promise.EXACT:
            self.words.held = fragment  # what is replayed begins after all that was received

    @property
    def shown(self) -> str:
        """All that the consumer has seen, the text before included."""
        return self.shown_before + "".join(self.new_parts)

    @property
    def fragment(self) -> str:
        """What was said after `shown` and seen by nobody, for the next continuation to be joined by."""
        return self.words.held if isinstance(self.join, Joined) else self.fragment_before

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence that begins in what was shown, or a mark of ours, has ended the answer."""
        return self.straddle.stopped or self.marks.stopped

    def feed(self, text: str, at_seconds: float) -> str:
        """What may be shown now; empty if nothing may.

        Args:
            text: The next piece.
            at_seconds: When it came, on any clock that goes forward.
        """
        text = self.marks.feed(text, is_joined=self.join is not None)
        if self.join is None:
            self.heard += text
            text = self.settle(at_seconds, is_end=False)
        return "" if isinstance(self.join, Unjoinable) else self.give(self.words.feed(self.straddle.feed(text)))

    def rest(self) -> str:
        """What is left to show once the continuation is over, or is followed by a tool call; not after it broke."""
        text = self.marks.rest()
        if self.join is None:
            self.heard += text
            text = self.settle(0.0, is_end=True)
        if isinstance(self.join, Unjoinable):
            return ""
        last = self.straddle.feed(text) + self.straddle.rest()
        return self.give(self.words.feed(last) + self.words.rest())

    def settle(self, at_seconds: float, *, is_end: bool) -> str:
        """Decide how the two are joined, and give what is new so far; empty while more is needed."""
        if self.began_seconds is None:
            self.began_seconds = at_seconds
        is_late = is_end or self.is_late(at_seconds)
        if not self.is_begun:
            while chars := preamble(self.heard, self.before, is_late=is_late):
                # The clock starts again: what follows is still to be heard.
                self.heard, self.began_seconds = self.heard[chars:], at_seconds
                self.preamble_chars += chars
                is_late = is_end
            if chars is None:
                return ""
            self.is_begun = bool(self.heard.strip()) or is_late
        raw = self.heard.lstrip() if self.preamble_chars else self.heard
        found = read(raw, self.before, is_late=is_late, is_end=is_end)
        if found is None:
            return ""
        self.heard = ""
        if isinstance(found, Unjoinable):
            self.join = found
            return ""
        # The consumer has seen the white space that the model was not told of.
        seen, new = self.seen_space, found.text
        new = new[len(seen) :] if new.startswith(seen) else new.lstrip()
        self.join = replace(found, text=new, preamble_chars=self.preamble_chars)
        return new

    def is_late(self, at_seconds: float) -> bool:
        """Whether the beginning has been held back for long enough."""
        began = at_seconds if self.began_seconds is None else self.began_seconds
        return at_seconds - began >= LONGEST_WAIT_SECONDS or len(self.heard) >= LONGEST_WAIT_CHARS

    def give(self, text: str) -> str:
        """Remember what is shown."""
        if text:
            self.new_parts.append(text)
        return text


def sendable(shown: str) -> str:
    """What of a text a partial turn may hold: no white space at its end, which Anthropic answers with a 400."""
    return shown.rstrip()
