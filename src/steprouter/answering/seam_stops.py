"""What ends a continuation: a stop sequence of which no provider sees both halves, a mark that it only handed back."""

from __future__ import annotations

import re

MARK = re.compile(r"</? ?quote>")
"""What the quoted end stands between in the turn that asks for the rest."""

PART_OF_MARK = re.compile(r"<(?:/? ?(?:q(?:u(?:o(?:te?)?)?)?)?)?\Z")
QUOTING = re.compile(r"\s*(?:[^\n]{0,80}[:\uff1a]\s*)?<?quote>\s*")
"""How a model begins that hands back the end it was given: "It ended with: <quote>"."""

LONGEST_BEGINNING = 120


class Straddle:
    """Lets the text of a continuation through until a stop sequence lies across its beginning.

    What was shown of the sequence stays, as nothing that was shown is taken back.

    Attributes:
        stopped: Whether one was found; nothing goes through after that.
    """

    __slots__ = ("held", "stop", "stopped", "tail")

    def __init__(self, shown: str, stop: tuple[str, ...]) -> None:
        longest = max(map(len, stop), default=0)
        self.stop = stop
        self.tail = shown[-(longest - 1) :] if longest > 1 else ""
        self.held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What may go through; empty while a sequence may still be completed."""
        if self.stopped:
            return ""
        if not self.tail:
            return text
        self.held += text
        may_come = False
        for stop in self.stop:
            for length in range(1, min(len(stop) - 1, len(self.tail)) + 1):
                if self.tail.endswith(stop[:length]):
                    self.stopped = self.stopped or self.held.startswith(stop[length:])
                    may_come = may_come or stop[length:].startswith(self.held)
        if self.stopped:
            self.held = ""
            return ""
        return "" if may_come else self.rest()

    def rest(self) -> str:
        """What was held, once no sequence lies across."""
        held, self.held, self.tail = self.held, "", ""
        return "" if self.stopped else held


class Marks:
    """Lets the text of a continuation through up to the marks of a quotation, which no answer needs.

    A model that hands back what was quoted to it has nothing more to say once it closes it, or opens it anew.

    Args:
        shown: What was shown; where it speaks of such marks itself, all goes through. None where nothing was quoted.

    Attributes:
        stopped: Whether one was found; nothing goes through after that.
    """

    __slots__ = ("begun", "held", "is_free", "stopped")

    def __init__(self, shown: str | None) -> None:
        self.is_free = shown is None or "quote>" in shown
        self.begun = ""
        self.held = ""
        self.stopped = False

    def feed(self, text: str, *, is_joined: bool) -> str:
        """What may go through; the mark that opens a quotation at the beginning may, before anything was shown."""
        if self.is_free or self.stopped:
            return text if self.is_free else ""
        text, self.held, at = self.held + text, "", 0
        while (found := MARK.search(text, at)) is not None:
            at = found.end()
            if is_joined or QUOTING.fullmatch(self.begun + text[:at]) is None:
                self.stopped = True
                return text[: found.start()]
        if (part := PART_OF_MARK.search(text, at)) is not None:
            text, self.held = text[: part.start()], part[0]
        self.begun = (self.begun + text)[:LONGEST_BEGINNING]
        return text

    def rest(self) -> str:
        """What was held, once it cannot become a mark."""
        held, self.held = self.held, ""
        return held
