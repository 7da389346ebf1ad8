"""Memory in Redis: recalled in one round trip, written in batches off the path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any

from steprouter.memory.episodes import Share, odds
from steprouter.memory.labels import Label, Source
from steprouter.memory.local import row_of, trim
from steprouter.memory.neighbours import Row
from steprouter.memory.outcomes import Counters
from steprouter.memory.recall import Missing
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Session, SessionUpdate, caught_up
from steprouter.step.step import Step

from ..connect import Connection
from ..keys import Keys
from .index import Indexes
from .patient import answers
from .pipeline import Replies, acarry_out, carry_out
from .query import names_no_index
from .records import model_of, pairs, read_tallies
from .schema import Places, Space
from .sections import REMEMBERED, Query, Section, Trip, plan, read
from .snapshots import Snapshots
from .upkeep import Upkeep
from .write import write, write_labels

SESSIONS = 4096
"""Sessions of which this process remembers what it last knew, for when the store is away; 4 kB each."""

COUNTED = 1024
"""Kinds and nodes of tenants of which it remembers the tallies; some hundred bytes each."""

WAITING = 10_000
"""Ended steps that may wait for a store that is away; some 3 kB each."""


class RedisMemory:
    """Memory that processes and hosts share.

    What this process itself added is known to it at once, before the store has it; what it last knew serves while
    the store is away.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Where vectors live.
        models: Names of the router's models.
        sections: What a recall asks for.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        space: Space,
        *,
        models: Sequence[str] = (),
        sections: Sequence[Section] = REMEMBERED,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.models = tuple(models)
        self.sections = tuple(sections)
        self.snapshots = Snapshots(connection, keys, space)
        self.indexes = Indexes(connection)
        self.upkeep = Upkeep(connection, keys, space, self.indexes)
        self.lock = Lock()
        self.known: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self.counted: OrderedDict[tuple[str, str, str | None], Counters] = OrderedDict()
        self.unseen: dict[tuple[str, str], tuple[SessionUpdate, ...]] = {}
        self.waiting: list[Remembrance] = []
        self.lost = 0

    def recall(self, step: Step, vector: bytes | None) -> dict[str, Any]:
        """The sections, in one round trip."""
        trip, unseen, replies = self.trip(step, vector), self.unseen_of(step), Replies()
        done = self.connection.call(partial(carry_out, commands=trip.commands, replies=replies))
        return self.made(trip, unseen, replies, done if isinstance(done, Missing) else None)

    async def arecall(self, step: Step, vector: bytes | None) -> dict[str, Any]:
        """As `recall`, without blocking the event loop."""
        trip, unseen, replies = self.trip(step, vector), self.unseen_of(step), Replies()
        done = await self.connection.acall(partial(acarry_out, commands=trip.commands, replies=replies))
        return self.made(trip, unseen, replies, done if isinstance(done, Missing) else None)

    def trip(self, step: Step, vector: bytes | None) -> Trip:
        """What is to be asked."""
        places = Places(keys=self.keys, tenant=step.place.tenant)
        return plan(Query(places=places, step=step, vector=vector, models=self.models), self.sections)

    def unseen_of(self, step: Step) -> tuple[SessionUpdate, ...]:
        """Steps of this process that the store may not have yet; taken before it is asked, so that none is missed."""
        return self.unseen.get((step.place.tenant, step.place.thread or ""), ())

    def made(
        self, trip: Trip, unseen: tuple[SessionUpdate, ...], replies: Replies, missing: Missing | None
    ) -> dict[str, Any]:
        """The sections, from what came and what this process knows itself."""
        step, found = trip.query.step, read(trip, replies, missing)
        for alias in lost_indexes(trip, replies):
            self.indexes.lost(alias)
        if missing is not None:
            # Said once for all that did not come.
            found = {name: one for name, one in found.items() if one is not missing}
            found["store"] = missing
        with self.lock:
            self.complete_session(step, found, unseen)
            self.complete_counters(step, found)
        return found

    def complete_session(self, step: Step, found: dict[str, Any], unseen: tuple[SessionUpdate, ...]) -> None:
        """Add to the session what the store has not seen, or give what was last known of it."""
        if step.place.thread is None:
            return
        place, session = (step.place.tenant, step.place.thread), found.get("session")
        if isinstance(session, Session):
            found["session"] = self.known[place] = caught_up(session, unseen)
            trim(self.known, place, SESSIONS)
        elif session is None and place in self.known:
            found["session"] = self.known[place]

    def complete_counters(self, step: Step, found: dict[str, Any]) -> None:
        """Note the tallies, or give those that were last known."""
        place, counters = (step.place.tenant, str(step.kind), step.place.node), found.get("counters")
        if isinstance(counters, Counters):
            self.counted[place] = counters
            trim(self.counted, place, COUNTED)
        elif counters is None and place in self.counted:
            found["counters"] = self.counted[place]

    def remember(self, one: Remembrance) -> None:
        """Know at once what an ended step left; `write` keeps it."""
        if one.session is None or one.thread is None:
            return
        place = (one.tenant, one.thread)
        with self.lock:
            self.unseen[place] = (*self.unseen.get(place, ()), one.session)
            self.known[place] = caught_up(self.known.get(place, Session()), (one.session,))
            trim(self.known, place, SESSIONS)

    def write(self, batch: Sequence[Remembrance], now: float) -> Missing | None:
        """Keep ended steps, with those that could not be kept before; why they still are not, or None."""
        self.waiting += batch
        self.lost += max(0, len(self.waiting) - WAITING)
        self.waiting = self.waiting[-WAITING:]
        while self.waiting:
            some = self.waiting[:64]
            missing = write(self.connection, self.keys, self.space, some, now)
            if missing is not None:
                return missing
            self.waiting = self.waiting[len(some) :]
            self.written(some, now)
        return None

    def written(self, batch: Sequence[Remembrance], now: float) -> None:
        """Take note of what the store has now."""
        with self.lock:
            for one in batch:
                if one.session is not None and one.thread is not None:
                    place = (one.tenant, one.thread)
                    left = tuple(update for update in self.unseen.get(place, ()) if update is not one.session)
                    if left:
                        self.unseen[place] = left
                    else:
                        self.unseen.pop(place, None)
        rows: dict[tuple[str, str], list[Row]] = {}
        for one in batch:
            places = Places(keys=self.keys, tenant=one.tenant)
            for outcome in one.outcomes:
                known = rows.setdefault((one.tenant, outcome.kind), [])
                if outcome.vector is not None:
                    known.append(row_of(outcome, now, name=places.outcome(outcome.id).rpartition(":")[2]))
        for (tenant, kind), new in rows.items():
            self.snapshots.add(tenant, kind, *new)
        self.upkeep.run([(one.tenant, outcome.kind) for one in batch for outcome in one.outcomes], now)

    def label(
        self, tenant: str, labels: Sequence[Label], now: float, *, by_digest: bool = False
    ) -> Missing | list[int]:
        """Label outcomes; arguments and results as of `write_labels`."""
        return write_labels(self.connection, self.keys, tenant, labels, now, by_digest=by_digest)

    def knows(self, tenant: str, record: str) -> bool | Missing:
        """Whether an outcome is kept."""
        key = Places(keys=self.keys, tenant=tenant).outcome(record)
        replies = answers(self.connection, ("EXISTS", key))
        return replies if isinstance(replies, Missing) else bool(replies[0])

    def episode(self, tenant: str, thread: str, now: float) -> Missing | list[Share]:
        """The given answers of a thread, oldest first, with what is known of each; steps are named by digest."""
        places = Places(keys=self.keys, tenant=tenant)
        names = answers(self.connection, ("ZRANGE", places.episode(thread), 0, -1))
        if isinstance(names, Missing):
            return names
        digests = [name.decode() for name in names[0]]
        fields = ("model", "kind", "source", "score", "weight", "labelled_at")
        kept = answers(self.connection, *(("HMGET", places.outcome_of(one), *fields) for one in digests))
        if isinstance(kept, Missing):
            return kept
        kinds = sorted({row[1].decode() for row in kept if row[1] is not None})
        tallies = answers(self.connection, *(("HGETALL", places.counters(kind)) for kind in kinds))
        if isinstance(tallies, Missing):
            return tallies
        known = {kind: read_tallies(pairs(reply)) for kind, reply in zip(kinds, tallies, strict=True)}
        return [share(one, row, known, now) for one, row in zip(digests, kept, strict=True) if row[0] is not None]

    def close(self) -> None:
        """End the reading in the background."""
        self.snapshots.close()


def lost_indexes(trip: Trip, replies: Replies) -> list[str]:
    """Aliases of the indexes that the server says it does not have: it was flushed, or came back empty."""
    answered = zip(trip.commands, replies, strict=False)
    return [str(command[1]) for command, reply in answered if isinstance(reply, Exception) and names_no_index(reply)]


def share(digest: str, row: Sequence[bytes | None], tallies: dict[str, Any], now: float) -> Share:
    """A step of an episode, from its record and the tallies of its kind."""
    model, kind, source, score, weight, labelled_at = row
    assert model is not None
    assert kind is not None
    assert source is not None
    return Share(
        step_id=digest,
        success=odds(tallies[kind.decode()].get(model_of(model)), now),
        label=Label(
            step_id=digest,
            source=Source(source.decode()),
            score=float(score or 0),
            at=float(labelled_at or 0),
            confidence=float(weight or 0),
        ),
    )
