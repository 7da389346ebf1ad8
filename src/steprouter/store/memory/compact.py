"""Keeps the outcomes of a kind below a cap: those that tell least go. Off the path, one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from steprouter.memory.compaction import OUTCOMES_PER_KIND, least_informative
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from .patient import answers, ask
from .rows import CHUNK, Read, prune, ranked, read_rows
from .schema import Places, Space

DROP = """
local dropped = 0
for i = 2, #KEYS do
  local name, changed = ARGV[2 * i - 3], ARGV[2 * i - 2]
  local at = redis.call('ZSCORE', KEYS[1], name)
  if at and tonumber(at) == tonumber(changed) then
    redis.call('UNLINK', KEYS[i])
    redis.call('ZREM', KEYS[1], name)
    dropped = dropped + 1
  end
end
return dropped
"""
"""KEYS the sorted set and the records, ARGV name and last change of each: deletes those not changed since."""

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

LEASE_SECONDS = 60.0
"""A compaction takes a few seconds; who died at it is replaced after this."""

FILL = 0.9
"""Of the cap, what is left: so compaction runs once in some hundred outcomes."""

WINDOW = 4
"""Times the cap: what one run looks at. Were there more, the next run sees to them."""

BUSY = Missing(reason="another process is compacting", degraded=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did.

    Attributes:
        before: Names there were.
        dropped: Outcomes it deleted, the broken among them.
        pruned: Names it took out whose records had expired.
        broken: Outcomes that made no sense.
        newer: Outcomes of a newer version, which it left alone.
    """

    before: int
    dropped: int = 0
    pruned: int = 0
    broken: int = 0
    newer: int = 0


def due(size: int, cap: int = OUTCOMES_PER_KIND) -> bool:
    """Whether a kind with so many outcomes should be compacted."""
    return size > cap


def compact(
    connection: Connection,
    keys: Keys,
    space: Space,
    tenant: str,
    kind: str,
    *,
    cap: int = OUTCOMES_PER_KIND,
    now: float,
) -> Compacted | Missing:
    """Drops the least informative outcomes of a kind where there are more than `cap`; one process at a time.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Whose vectors tell which outcomes are alike.
        tenant: Whose outcomes.
        kind: Of which kind of step.
        cap: How many there may be; a tenth less is left.
        now: Unix time in seconds.

    Returns:
        What was done; or why nothing was, or not all of it.
    """
    places = Places(keys=keys, tenant=tenant)
    lease, token = keys.tenant(tenant, f"compacting-{kind}"), secrets.token_hex()
    taken = answers(connection, ("SET", lease, token, "NX", "PX", int(LEASE_SECONDS * 1000)))
    if isinstance(taken, Missing):
        return taken
    if taken[0] is None:
        return BUSY
    try:
        return compact_alone(connection, places, space, kind, cap=cap, now=now)
    finally:
        ask(connection, [("EVAL", RELEASE, 1, lease, token)])


def compact_alone(
    connection: Connection, places: Places, space: Space, kind: str, *, cap: int, now: float
) -> Compacted | Missing:
    """As `compact`, with the lease in hand."""
    key = places.outcomes(kind)
    replies = answers(connection, ("ZCARD", key))
    if isinstance(replies, Missing) or not due(int(replies[0]), cap):
        return replies if isinstance(replies, Missing) else Compacted(before=int(replies[0]))
    before = int(replies[0])
    replies = answers(connection, ("ZREVRANGE", key, 0, WINDOW * cap - 1, "WITHSCORES"))
    if isinstance(replies, Missing):
        return replies
    changes = ranked(replies[0])
    read = read_rows(connection, places, space, changes)
    if isinstance(read, Missing):
        return read
    pruned = prune(connection, places, kind, read.gone)
    if isinstance(pruned, Missing):
        return pruned
    doomed = {name: changes[name] for name in superfluous(read, cap, now)}
    dropped = drop(connection, places, kind, doomed)
    if isinstance(dropped, Missing):
        return dropped
    return Compacted(before=before, dropped=dropped, pruned=pruned, broken=len(read.broken), newer=len(read.newer))


def superfluous(read: Read, cap: int, now: float) -> list[str]:
    """Names of the records to drop: broken ones, what lies far beyond the cap by age, then what tells least."""
    young, old = read.rows[: 2 * cap], read.rows[2 * cap :]
    keep = max(0, int(FILL * cap) - len(read.newer))
    return [*read.broken, *(row.id for row in old), *least_informative(young, keep, now)]


def drop(connection: Connection, places: Places, kind: str, doomed: Mapping[str, float]) -> int | Missing:
    """Deletes outcomes unless they were labelled in the meantime; how many it deleted.

    Args:
        connection: The store.
        places: The tenant's keys.
        kind: Of which kind of step.
        doomed: When each was seen to have changed last, by name.
    """
    dropped, names = 0, list(doomed)
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        keys = [places.outcomes(kind), *map(places.outcome_of, chunk)]
        told = [part for name in chunk for part in (name, repr(doomed[name]))]
        replies = answers(connection, ("EVAL", DROP, len(keys), *keys, *told))
        if isinstance(replies, Missing):
            return replies
        dropped += int(replies[0])
    return dropped
