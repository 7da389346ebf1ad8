"""The answers that this process has at hand: given without asking anybody, while it is known that they still hold."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from steprouter.caching.entry import Entry

from .turn import Turn

TRUST_SECONDS = 2.0
"""How long the state of a tenant's answers is believed after it was seen: so soon is a removal followed everywhere."""

LARGEST_ENTRIES = 2048
LARGEST_BYTES = 16 * 1024 * 1024

ENTRY_BYTES = 2048
"""What an answer takes besides its texts, about."""

TENANTS = 4096
"""Tenants of which the state is remembered, those seen last; some hundred bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a tenant's answers as it was seen.

    Attributes:
        epoch: Answers of another are not there.
        revision: Grows when answers are removed or found wrong.
        seen_at: When at the latest, Unix time in seconds.
    """

    epoch: int
    revision: int
    seen_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An answer at hand.

    Attributes:
        entry: It.
        revision: Of the tenant's answers when it was there.
        size_bytes: What it takes, about.
    """

    entry: Entry
    revision: int
    size_bytes: int


class Pocket:
    """Answers to very questions, those used last. Safe in threads and after a fork; asks nobody.

    Args:
        largest_entries: How many at most.
        largest_bytes: What they may take together, about.
    """

    def __init__(self, largest_entries: int = LARGEST_ENTRIES, largest_bytes: int = LARGEST_BYTES) -> None:
        self.largest_entries = largest_entries
        self.largest_bytes = largest_bytes
        self.held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self.states: OrderedDict[str, State] = OrderedDict()
        self.size_bytes = 0
        self.turn = Turn()

    def at_hand(self, tenant: str, exact: str, now: float) -> Entry | None:
        """The answer to a very question, if it is known that it still holds."""
        with self.turn.lock:
            held, state = self.held.get((tenant, exact)), self.states.get(tenant)
            if held is None or state is None or not 0 <= now - state.seen_at <= TRUST_SECONDS:
                return None
            entry = held.entry
            if held.revision > state.revision:  # what was seen of the tenant is older than the answer
                return None
            if held.revision < state.revision or entry.epoch != state.epoch or entry.expires_at <= now:
                self.pop(tenant, exact)
                return None
            self.held.move_to_end((tenant, exact))
            return entry

    def saw(self, tenant: str, epoch: int, revision: int, at: float) -> None:
        """Note the state of a tenant's answers; an older sight than the last is passed over."""
        with self.turn.lock:
            known = self.states.get(tenant)
            if known is not None and known.seen_at > at:
                return
            self.states[tenant] = State(epoch=epoch, revision=revision, seen_at=at)
            self.states.move_to_end(tenant)
            while len(self.states) > TENANTS:
                self.states.popitem(last=False)

    def known_epoch(self, tenant: str) -> int:
        """The epoch of a tenant's answers as it was last seen, at whatever time; 0 if it never was."""
        state = self.states.get(tenant)
        return 0 if state is None else state.epoch

    def put(self, tenant: str, entry: Entry, revision: int) -> None:
        """Have an answer at hand.

        Args:
            tenant: Whose it is.
            entry: It.
            revision: Of the tenant's answers at a moment when it was there.
        """
        known = self.held.get((tenant, entry.id))
        if known is not None and known.revision == revision and known.entry is entry:
            return
        size = ENTRY_BYTES + 2 * (len(entry.text) + len(entry.answer.text))
        size += 2 * sum(len(call.raw) for call in entry.answer.tool_calls)
        with self.turn.lock:
            self.pop(tenant, entry.id)
            self.held[(tenant, entry.id)] = Held(entry=entry, revision=revision, size_bytes=size)
            self.size_bytes += size
            while self.held and (len(self.held) > self.largest_entries or self.size_bytes > self.largest_bytes):
                self.pop(*next(iter(self.held)))

    def drop(self, tenant: str, exact: str) -> None:
        """Have an answer at hand no longer."""
        with self.turn.lock:
            self.pop(tenant, exact)

    def forget(self, tenant: str) -> None:
        """Have nothing of a tenant at hand any more, and know nothing of it."""
        with self.turn.lock:
            self.states.pop(tenant, None)
            for whose, exact in [name for name in self.held if name[0] == tenant]:
                self.pop(whose, exact)

    def pop(self, tenant: str, exact: str) -> None:
        """Let go of an answer; the caller holds the lock."""
        held = self.held.pop((tenant, exact), None)
        if held is not None:
            self.size_bytes -= held.size_bytes
