"""Outcomes of a kind in bulk, read without the search module and off the path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from steprouter.memory.neighbours import Row
from steprouter.memory.recall import Missing

from ..connect import Connection
from .patient import answers
from .records import model_of
from .schema import VERSION, Places, Space

CHUNK = 32
"""Records per round trip. Packing and parsing them holds Python's lock while steps run beside it: with 32 a ping
beside it takes 0.8 ms at the 99th percentile, with 64 1.5 ms, with 256 3.3 ms; the whole is no slower for it."""

PRUNE = """
local dead = {}
for i, id in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[i + 1]) == 0 then dead[#dead + 1] = id end
end
if #dead == 0 then return 0 end
return redis.call('ZREM', KEYS[1], unpack(dead))
"""
"""KEYS the sorted set and the records, ARGV their names: takes out those whose record is no more, and no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Records as they were found.

    Attributes:
        rows: The good ones, also those without a vector of the space.
        gone: Names of those that have expired or were evicted.
        newer: Names of those that a newer version wrote.
        broken: Names of those that make no sense.
    """

    rows: tuple[Row, ...] = ()
    gone: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def ranked(reply: Any) -> dict[str, float]:
    """Members with their scores: RESP3 brings pairs, RESP2 a flat list."""
    if reply and not isinstance(reply[0], list | tuple):
        reply = zip(reply[::2], reply[1::2], strict=True)
    return {bytes(member).decode("ascii", "replace"): float(score) for member, score in reply}


def read_rows(connection: Connection, places: Places, space: Space, changes: Mapping[str, float]) -> Read | Missing:
    """The records of these names, in small round trips.

    Args:
        connection: The store.
        places: The tenant's keys.
        space: Whose vectors are wanted.
        changes: When each changed last, by name.
    """
    fields = ("v", "model", "thread", "at", "score", "weight", space.field)
    names, rows = list(changes), []
    sorts: dict[str, list[str]] = {"gone": [], "newer": [], "broken": []}
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        replies = answers(
            connection, *(("HMGET", places.outcome_of(name), *fields) for name in chunk), besides="WRONGTYPE"
        )
        if isinstance(replies, Missing):
            return replies
        for name, values in zip(chunk, replies, strict=True):
            read = read_row(name, changes[name], values, space.dimension)
            if isinstance(read, Row):
                rows.append(read)
            else:
                sorts[read].append(name)
    return Read(rows=tuple(rows), **{sort: tuple(found) for sort, found in sorts.items()})


def read_row(name: str, changed: float, values: Any, dimension: int) -> Row | str:
    """A record's row; or that it is gone, newer or broken."""
    if isinstance(values, Exception):
        return "broken"
    version, model, thread, at, score, weight, vector = values
    if all(value is None for value in values):
        return "gone"
    try:
        if int(version) > VERSION:
            return "newer"
        row = Row(
            id=name,
            model=model_of(model),
            thread=None if thread is None else thread.decode("utf-8", "surrogatepass"),
            at=float(at),
            changed=changed,
            score=float(score),
            weight=float(weight),
            vector=None if vector is None else np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False),
        )
    except (TypeError, ValueError, AttributeError):  # of another type, not a number, or not there
        return "broken"
    return row if is_sound(row, dimension) else "broken"


def is_sound(row: Row, dimension: int) -> bool:
    """Whether a row's numbers are what they should be; NaN is nowhere between two bounds."""
    if not (isfinite(row.at) and 0 <= row.score <= 1 and 0 <= row.weight <= 1):
        return False
    if row.vector is None:
        return True
    return row.vector.shape == (dimension,) and abs(float(row.vector @ row.vector) - 1) < 0.01


def prune(connection: Connection, places: Places, kind: str, names: Sequence[str]) -> int | Missing:
    """Takes names out of a kind's outcomes whose records are no more; how many it took."""
    taken = 0
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        keys = [places.outcomes(kind), *map(places.outcome_of, chunk)]
        replies = answers(connection, ("EVAL", PRUNE, len(keys), *keys, *chunk))
        if isinstance(replies, Missing):
            return replies
        taken += int(replies[0])
    return taken
