"""A stop sequence that begins in what was shown and ends in what follows: no provider sees both halves."""

from __future__ import annotations


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
