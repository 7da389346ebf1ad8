"""How much is remembered of a tenant, and of what: counted over its keys, in pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from steprouter.memory.face import Overview, Standing
from steprouter.memory.local import LocalMemory
from steprouter.memory.outcomes import Tally

from ..connect import Connection
from ..keys import DEFAULT_TENANT, Keys
from .records import newer, pairs, read_tallies
from .schema import Space
from .survey import Named, asked, tenant_keys


@dataclass(slots=True)
class Counting:
    """What was counted so far."""

    records: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    spaces: Counter[str] = field(default_factory=Counter)
    standings: list[Standing] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    newer: int = 0

    def told(self, tenant: str, space: Space) -> Overview:
        """The sums."""
        ordered = sorted(self.standings, key=lambda one: (one.kind, -one.labels, one.model))
        return Overview(
            tenant=tenant,
            records=dict(sorted(self.records.items())),
            outcomes=dict(sorted(self.outcomes.items())),
            standings=tuple(ordered),
            spaces=dict(sorted(self.spaces.items())),
            space=space.tag,
            embedder=space.identity,
            newer=self.newer,
            oldest=min(self.times, default=None),
            newest=max(self.times, default=None),
        )

    def saw(self, at: float) -> None:
        """Take note of a time; only the first and the last are kept."""
        if not isfinite(at):
            return
        self.times = [min([at, *self.times]), max([at, *self.times])]


def overview(connection: Connection, keys: Keys, space: Space, tenant: str, now: float) -> Overview:
    """What a store remembers of a tenant.

    Raises:
        StoreError: The store is away.
    """
    counting, seen = Counting(), set[bytes]()
    for found in tenant_keys(connection, keys, tenant):
        fresh = [one for one in found if one.key not in seen]
        seen.update(one.key for one in fresh)
        counting.records.update(one.sort for one in fresh)
        count_outcomes(connection, counting, [one for one in fresh if one.label == "outcome"])
        count_tallies(connection, counting, [one for one in fresh if one.label == "counters" and not one.ids], now)
        rest = [one for one in fresh if one.label in ("session", "lesson", "cache", "journal")]
        versions = asked(connection, [("HGET", one.key, "v") for one in rest], besides="WRONGTYPE")
        counting.newer += sum(isinstance(v, bytes) and newer(v) is not None for v in versions)
    return counting.told(tenant or DEFAULT_TENANT, space)


def count_outcomes(connection: Connection, counting: Counting, found: Sequence[Named]) -> None:
    """Count outcomes by kind and space."""
    commands = [("HMGET", one.key, "v", "kind", "space", "at") for one in found]
    for reply in asked(connection, commands, besides="WRONGTYPE"):
        if isinstance(reply, Exception):
            continue
        version, kind, space, at = reply
        if newer(version) is not None:
            counting.newer += 1
            continue
        counting.outcomes[(kind or b"unknown").decode("ascii", "replace")] += 1
        counting.spaces[(space or b"").decode("ascii", "replace")] += 1
        try:
            counting.saw(float(at))
        except (TypeError, ValueError):  # broken: it is counted, and has no date
            continue


def count_tallies(connection: Connection, counting: Counting, found: Sequence[Named], now: float) -> None:
    """Read how the models stand at each kind."""
    replies = asked(connection, [("HGETALL", one.key) for one in found], besides="WRONGTYPE")
    for one, reply in zip(found, replies, strict=True):
        if isinstance(reply, Exception):
            continue
        kept = pairs(reply)
        counting.newer += sum(newer(text.partition(b" ")[0]) is not None for text in kept.values())
        counting.standings += [standing(one.kind, model, tally, now) for model, tally in read_tallies(kept).items()]


def standing(kind: str, model: str, tally: Tally, now: float) -> Standing:
    """How a model stands, by its tally."""
    successes, failures = tally.masses(now)
    return Standing(
        kind=kind,
        model=model,
        labels=tally.labels,
        success=successes / (successes + failures) if successes + failures > 0 else None,
        usd=tally.usd,
        seconds=tally.seconds,
    )


def overview_here(local: LocalMemory, space: Space, tenant: str, now: float, *, traces: int) -> Overview:
    """What this process remembers of a tenant; `traces` is how many traces it keeps of it."""
    counting = Counting()
    with local.alone:
        shelves = {kind: shelf for (whose, kind), shelf in local.shelves.items() if whose == tenant}
        outcomes = [kept.outcome for shelf in shelves.values() for kept in shelf.kept.values()]
        counts = {
            "sessions": sum(whose == tenant for whose, _ in local.sessions),
            "outcomes": len(outcomes),
            "tallies": sum(len(shelf.tallies) for shelf in shelves.values()),
            "pending_labels": sum(whose == tenant for whose, _ in local.pending),
            "traces": traces,
        }
        for kind, shelf in shelves.items():
            tallies = shelf.tallies.get(None, {})
            counting.standings += [standing(kind, model, tally, now) for model, tally in tallies.items()]
    counting.records.update({sort: count for sort, count in counts.items() if count})
    counting.outcomes.update(one.kind for one in outcomes)
    counting.spaces.update("" if one.vector is None else space.tag for one in outcomes)
    for one in outcomes:
        counting.saw(one.at)
    return counting.told(tenant, space)
