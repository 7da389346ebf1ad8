"""Which call a fragment belongs to, for providers that number their calls well, badly or not at all."""

from __future__ import annotations


class CallPlaces:
    """Gives every fragment of a tool call the index of its call, counted from 0 in order of appearance.

    A known id belongs to its call whatever index it comes with. An id that is new opens a call, also where a
    server says index 0 for every call. Without an id the provider's index decides, and without either the
    fragment goes on with the last call.
    """

    __slots__ = ("_by_given", "_by_id", "_ids", "_last")

    def __init__(self) -> None:
        self._by_id: dict[str, int] = {}
        self._by_given: dict[int | str, int] = {}
        self._ids: list[str | None] = []
        self._last = -1

    def place(self, given: int | str | None, call_id: str | None) -> int:
        """The index for a fragment that came with the provider's index `given` and the id `call_id`."""
        if call_id:
            index = self._by_id.get(call_id)
            if index is None:
                index = self.named(given, call_id)
        elif given is not None:
            index = self._by_given.get(given)
            if index is None:
                index = self.open(None)
        else:
            index = self._last if self._last >= 0 else self.open(None)
        if given is not None:
            self._by_given[given] = index
        self._last = index
        return index

    def named(self, given: int | str | None, call_id: str) -> int:
        """The index for an id not seen before."""
        # A call that began without an id may be given one by a later fragment of the same index.
        begun = self._by_given.get(given) if given is not None else None
        if begun is not None and self._ids[begun] is None:
            self._ids[begun] = call_id
            self._by_id[call_id] = begun
            return begun
        return self.open(call_id)

    def open(self, call_id: str | None) -> int:
        """The index for a new call."""
        index = len(self._ids)
        self._ids.append(call_id)
        if call_id:
            self._by_id[call_id] = index
        return index
