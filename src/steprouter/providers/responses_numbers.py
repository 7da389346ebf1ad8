"""Whether the events of a Responses stream came once each and all of them, by their numbers."""

from __future__ import annotations


class EventNumbers:
    """Follows the numbers of a stream's events.

    Numbers are believed as long as they make sense. Some gateways say 0 for events they make up themselves
    (litellm#28899) or do not count at all; there an event that has another's number is taken as it is.

    Args:
        after: Number of the last event that was taken before this stream; None for a stream from the beginning.

    Attributes:
        first: Number of the first event taken; None while there is none.
        last: Number of the last event taken; None while there is none, or where numbers are not believed.
    """

    __slots__ = ("_after", "_alive", "_is_counting", "_is_proven", "_seen", "first", "last")

    def __init__(self, after: int | None = None) -> None:
        self.first: int | None = None
        self.last = after
        self._after = after
        self._alive = -1
        self._seen: dict[int, int] = {}
        self._is_counting = True
        self._is_proven = after is not None

    def is_new(self, number: object, event: bytes) -> bool:
        """Take the next event; whether it did not come before.

        Raises:
            LookupError: Events before it are missing.
        """
        if not self._is_counting or not isinstance(number, int):
            return True
        last = self.last
        if last is not None and number != last + 1:
            if number <= last:
                return self.is_other(number, event)
            if number > self._alive + 1:
                if self._is_proven:
                    raise LookupError(f"event {number} came after event {last}")
                self.give_up()
                return True
        self._is_proven = self._is_proven or last is not None
        self.first = number if self.first is None else self.first
        self.last = number
        self._seen[number] = hash(event)
        return True

    def is_other(self, number: int, event: bytes) -> bool:
        """Whether an event with a number that was there already is another one, so that numbers mean nothing."""
        if (self._after is not None and number <= self._after) or self._seen.get(number) == hash(event):
            return False
        self.give_up()
        return True

    def alive(self, number: object) -> None:
        """Take a sign of life, of which it is not known whether it has a number to itself."""
        if isinstance(number, int):
            self._alive = max(self._alive, number)

    def give_up(self) -> None:
        """Believe no number of this stream any more."""
        self._is_counting = False
        self.last = None
