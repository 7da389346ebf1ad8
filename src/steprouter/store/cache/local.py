"""Answers in this process, by the same rules as in Redis: all there is without a server, gone with the process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from steprouter.caching.bound import observed
from steprouter.caching.entry import Cached, Entry, Near, Tally
from steprouter.caching.orders import CacheStats, Counted, Kept, Lookup, Observed
from steprouter.memory.local import trim

from .turn import Turn

if TYPE_CHECKING:
    from steprouter.memory.recall import Vector

TENANTS = 256
"""Tenants kept, those used last."""

PER_TENANT = 4096
"""Answers kept of each; beyond that those go that would expire first."""

CANDIDATES = 4
"""Answers to other questions that are given at most, as from Redis."""


@dataclass(slots=True)
class Lease:
    """Who is getting an answer, until when (monotonic), and the tenant's revision when it began."""

    holder: str
    until: float
    revision: int


@dataclass(slots=True)
class Shelved:
    """An answer with its vector, what is known of it, whose it is, and whether it was wrong for its very question."""

    entry: Entry
    vector: Vector | None
    tally: Tally
    thread: str | None
    user: str | None
    size_bytes: int
    is_refuted: bool = False


@dataclass(slots=True)
class Drawer:
    """One tenant's answers."""

    epoch: int = 1
    revision: int = 0
    kept: dict[str, Shelved] = field(default_factory=dict)
    pools: dict[str, Tally] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    floors: dict[tuple[str, str], int] = field(default_factory=dict)
    counts: Counted | None = None

    def serves(self, exact: str, now: float) -> Entry | None:
        """The answer to a very question, unless it has expired or was found wrong."""
        one = self.kept.get(exact)
        return None if one is None or one.entry.expires_at <= now or one.is_refuted else one.entry


class LocalAnswers:
    """The answers of this process. Safe in threads and after a fork.

    Args:
        lease_seconds: How long others take an answer to be under way.
    """

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.turn = Turn()
        self.drawers: OrderedDict[str, Drawer] = OrderedDict()

    def drawer(self, tenant: str) -> Drawer:
        """A tenant's answers; the caller holds the lock."""
        found = self.drawers.setdefault(tenant, Drawer())
        trim(self.drawers, tenant, TENANTS)
        return found

    def at_hand(self, tenant: str, exact: str, now: float) -> Entry | None:
        """The answer to a very question."""
        with self.turn.lock:
            return self.drawer(tenant).serves(exact, now)

    def known(self, tenant: str, ids: Iterable[str]) -> dict[str, tuple[Entry, Tally] | None]:
        """The answers of these names with what is known of each; None for one that is not there."""
        with self.turn.lock:
            kept = self.drawer(tenant).kept
            return {name: None if (one := kept.get(name)) is None else (one.entry, one.tally) for name in ids}

    def look(self, tenant: str, lookup: Lookup, vector: Vector | None, now: float) -> Cached:
        """What is kept of a question; whoever asks first is to get what is not."""
        with self.turn.lock:
            drawer = self.drawer(tenant)
            entry = drawer.serves(lookup.exact, now)
            lease = None if entry is not None else self.lease(drawer, lookup)
            near = () if vector is None or not lookup.semantic else nearest(drawer, lookup.semantic, vector, now)
            return Cached(
                exact=entry,
                near=tuple(one for one in near if entry is None or one.entry.id != entry.id),
                pools=dict(drawer.pools),
                epoch=drawer.epoch,
                filled_by=None if lease is None or lease.holder == lookup.holder else lease.holder,
            )

    def lease(self, drawer: Drawer, lookup: Lookup) -> Lease | None:
        """Who is getting an answer; the asker, if nobody is and it would."""
        now = time.monotonic()
        known = drawer.leases.get(lookup.exact)
        if known is not None and known.until > now:
            return known
        if not lookup.fill:
            return None
        drawer.leases = {exact: one for exact, one in drawer.leases.items() if one.until > now}
        taken = Lease(lookup.holder, now + self.lease_seconds, drawer.revision)
        return drawer.leases.setdefault(lookup.exact, taken)

    def keep(self, batch: Sequence[Kept], now: float) -> None:
        """Keep answers, and give the leases back."""
        with self.turn.lock:
            for one in batch:
                self.keep_one(one, now)

    def keep_one(self, one: Kept, now: float) -> None:
        """Keep an answer, unless what it belongs to was removed while it was being got."""
        import numpy as np

        drawer, entry = self.drawer(one.tenant), one.entry
        lease = drawer.leases.get(entry.id)
        asked = 0 if lease is None or lease.holder != one.holder else lease.revision
        give_back(drawer, entry.id, one.holder)
        removed = max((drawer.floors.get(part, 0) for part in parts_of(entry)), default=0)
        if entry.epoch != drawer.epoch or removed > asked or entry.expires_at <= now:
            return
        vector = None if one.vector is None or not entry.scope else np.frombuffer(one.vector, dtype=np.float32)
        size = len(entry.text) + len(entry.answer.text) + len(one.vector or b"")
        kept = replace(entry, answer=replace(entry.answer, unshown=()))
        known = drawer.kept.get(entry.id)
        tally = Tally() if known is None else known.tally  # for what it was mistaken it is still mistaken
        drawer.kept[entry.id] = Shelved(kept, vector, tally, one.thread, one.user, size)
        if len(drawer.kept) > PER_TENANT:
            drawer.kept = {exact: it for exact, it in drawer.kept.items() if it.entry.expires_at > now}
        while len(drawer.kept) > PER_TENANT:
            del drawer.kept[min(drawer.kept, key=lambda exact: drawer.kept[exact].entry.expires_at)]

    def release(self, tenant: str, exact: str, holder: str) -> None:
        """Give a lease back."""
        with self.turn.lock:
            give_back(self.drawer(tenant), exact, holder)

    def observe(self, batch: Sequence[Observed]) -> None:
        """Add to the tallies."""
        with self.turn.lock:
            for one in batch:
                drawer = self.drawer(one.tenant)
                if (shelved := drawer.kept.get(one.entry_id)) is not None:
                    shelved.tally = shelved.tally if one.pool is None else added(shelved.tally, one)
                    shelved.is_refuted = shelved.is_refuted or one.refutes
                if one.pool is not None:
                    known = drawer.pools.get(one.pool, Tally())
                    drawer.pools[one.pool] = observed(known, right=one.right, wrong=one.wrong)
                drawer.revision += one.wrong > 0

    def count(self, batch: Sequence[Counted]) -> None:
        """Add to what the answers have saved."""
        with self.turn.lock:
            for one in batch:
                drawer = self.drawer(one.tenant)
                drawer.counts = one if drawer.counts is None else summed([drawer.counts, one])[one.tenant]

    def invalidate(self, tenant: str, parts: Mapping[str, str]) -> int:
        """Remove answers that have all these parts, all answers where none is named; how many."""
        with self.turn.lock:
            drawer = self.drawer(tenant)
            drawer.revision += 1
            if not parts:
                drawer.epoch += 1
            drawer.floors.update(dict.fromkeys(parts.items(), drawer.revision))
            before = len(drawer.kept)
            wanted = set(parts.items())
            drawer.kept = {
                exact: one for exact, one in drawer.kept.items() if not parts or not wanted <= set(parts_of(one.entry))
            }
            if not parts:
                drawer.kept = {}
            return before - len(drawer.kept)

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> int:
        """Forget a tenant's answers, or those given in a thread or to a user; how many."""
        with self.turn.lock:
            drawer = self.drawer(tenant)
            before = len(drawer.kept)
            if thread is None and user is None:
                # Not a new drawer: what is being got meanwhile is of an epoch that must not come again.
                self.drawers[tenant] = Drawer(epoch=drawer.epoch + 1)
                return before
            drawer.kept = {
                exact: one
                for exact, one in drawer.kept.items()
                if (thread is None or one.thread != thread) and (user is None or one.user != user)
            }
            return before - len(drawer.kept)

    def stats(self, tenant: str) -> CacheStats:
        """What there is and what it has saved."""
        with self.turn.lock:
            drawer = self.drawer(tenant)
            size = sum(one.size_bytes for one in drawer.kept.values())
            return stats_of(len(drawer.kept), size, dict(drawer.pools), drawer.counts or Counted(tenant=tenant))


def stats_of(entries: int, size_bytes: int, pools: Mapping[str, Tally], counts: Counted) -> CacheStats:
    """What is told of a cache."""
    return CacheStats(
        entries=entries,
        size_bytes=size_bytes,
        pools=pools,
        exact=counts.exact,
        semantic=counts.semantic,
        misses=counts.misses,
        saved_usd=counts.saved_usd,
        saved_seconds=counts.saved_seconds,
    )


def give_back(drawer: Drawer, exact: str, holder: str) -> None:
    """Give a lease back, if it is this one's."""
    lease = drawer.leases.get(exact)
    if lease is not None and lease.holder == holder:
        del drawer.leases[exact]


def parts_of(entry: Entry) -> list[tuple[str, str]]:
    """What an answer can be removed by: its tags, its model, its node."""
    node = [] if entry.node is None else [("node", entry.node)]
    return [*(("tag", tag) for tag in sorted(entry.tags)), ("model", entry.model), *node]


def added(tally: Tally, one: Observed) -> Tally:
    """A tally with an observation more."""
    return Tally(right=tally.right + one.right, wrong=tally.wrong + one.wrong)


def summed(batch: Iterable[Counted]) -> dict[str, Counted]:
    """What was counted, by tenant."""
    sums: dict[str, Counted] = {}
    for one in batch:
        known = sums.get(one.tenant, Counted(tenant=one.tenant))
        sums[one.tenant] = Counted(
            tenant=one.tenant,
            exact=known.exact + one.exact,
            semantic=known.semantic + one.semantic,
            misses=known.misses + one.misses,
            saved_usd=known.saved_usd + one.saved_usd,
            saved_seconds=known.saved_seconds + one.saved_seconds,
        )
    return sums


def nearest(drawer: Drawer, scope: str, vector: Vector, now: float) -> tuple[Near, ...]:
    """The answers of a scope whose questions are likest, the likest first."""
    import numpy as np

    here = [
        one
        for one in drawer.kept.values()
        if one.entry.scope == scope and one.vector is not None and one.entry.expires_at > now and not one.is_refuted
    ]
    same = [one for one in here if one.vector is not None and one.vector.shape == vector.shape]
    if not same:
        return ()
    cosines = np.stack([one.vector for one in same if one.vector is not None]) @ vector
    order = np.argsort(-cosines, kind="stable")[:CANDIDATES]
    return tuple(
        Near(entry=same[at].entry, similarity=min(1.0, float(cosines[at])), tally=same[at].tally) for at in order
    )
