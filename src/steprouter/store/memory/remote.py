"""Memory in Redis: recalled in one round trip, written in batches off the path."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from steprouter.caching.orders import Lookup
from steprouter.memory.episodes import Share, odds
from steprouter.memory.journal import place_of
from steprouter.memory.labels import Label, Source
from steprouter.memory.learned import FROZEN_DECISIONS, Learned
from steprouter.memory.lessons import Lessons
from steprouter.memory.local import row_of, trim
from steprouter.memory.neighbours import Row
from steprouter.memory.outcomes import Counters
from steprouter.memory.recall import Missing
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import RECENT, Session, SessionUpdate, caught_up
from steprouter.step.step import Step

from ..connect import Connection
from ..keys import Keys
from .index import Indexes
from .lessons import RedisLessons
from .patient import answers
from .pipeline import Replies, acarry_out, carry_out
from .query import names_no_index
from .records import model_of, newer, pairs, read_tallies
from .schema import Places, Space
from .sections import REMEMBERED, Query, Section, Trip, plan, read
from .snapshots import Snapshots
from .upkeep import Upkeep
from .write import is_hopeless, write_each, write_labels

log = logging.getLogger("steprouter.store")

SESSIONS = 4096
"""Sessions of which this process remembers what it last knew, for when the store is away; 4 kB each."""

COUNTED = 1024
"""Kinds and nodes of tenants of which it remembers the tallies; some hundred bytes each."""

TENANTS = 256
"""Tenants of which it remembers what else they taught; at most 20 kB each."""

WAITING = 10_000
"""Ended steps that may wait for a store that is away; some 3 kB each."""

BATCH = 64
"""Of them in one round trip: some milliseconds of the server's time."""

PER_SESSION = RECENT // 2
"""Of one session in one round trip. If the reply is lost they are written again, and a session knows only its recent
steps again; the other half is for what another worker writes in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What this process has added that the store may not have yet.

    Attributes:
        updates: To the step's session.
        charges: To the tenant's ledger. One that is just being written may be counted twice by one recall, which
            makes that decision more careful.
    """

    updates: tuple[SessionUpdate, ...] = ()
    charges: tuple[float, ...] = ()


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
        lessons: What the user asks of lessons; None keeps none.
        indexes: What is known of the indexes, where others need to know it too.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        space: Space,
        *,
        models: Sequence[str] = (),
        sections: Sequence[Section] = REMEMBERED,
        lessons: Lessons | None = None,
        indexes: Indexes | None = None,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.models = tuple(models)
        self.sections = tuple(sections)
        self.snapshots = Snapshots(connection, keys, space)
        self.lessons = None if lessons is None else RedisLessons(connection, keys, space, lessons)
        self.indexes = indexes or Indexes(connection)
        self.upkeep = Upkeep(connection, keys, space, self.indexes)
        self.lock = Lock()
        self.known: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self.counted: OrderedDict[tuple[str, str, str | None], Counters] = OrderedDict()
        self.unseen: dict[tuple[str, str], tuple[SessionUpdate, ...]] = {}
        self.taught: OrderedDict[str, Learned] = OrderedDict()
        self.charges: dict[str, dict[int, float]] = {}
        self.writing = Lock()
        self.waiting: list[Remembrance] = []
        self.waited_at = 0.0
        self.refused: Missing | None = None
        self.lost = 0

    def recall(self, step: Step, vector: bytes | None, lookup: Lookup | None = None) -> dict[str, Any]:
        """The sections, in one round trip."""
        trip, unseen, replies = self.trip(step, vector, lookup), self.unseen_of(step), Replies()
        done = self.connection.call(partial(carry_out, commands=trip.commands, replies=replies))
        return self.made(trip, unseen, replies, done if isinstance(done, Missing) else None)

    async def arecall(self, step: Step, vector: bytes | None, lookup: Lookup | None = None) -> dict[str, Any]:
        """As `recall`, without blocking the event loop."""
        trip, unseen, replies = self.trip(step, vector, lookup), self.unseen_of(step), Replies()
        done = await self.connection.acall(partial(acarry_out, commands=trip.commands, replies=replies))
        return self.made(trip, unseen, replies, done if isinstance(done, Missing) else None)

    def trip(self, step: Step, vector: bytes | None, lookup: Lookup | None = None) -> Trip:
        """What is to be asked."""
        places = Places(keys=self.keys, tenant=step.place.tenant)
        journal = None if step.prompt is None else place_of(step.place, step.prompt)
        query = Query(places=places, step=step, vector=vector, models=self.models, lookup=lookup, journal=journal)
        return plan(query, self.sections)

    def unseen_of(self, step: Step) -> Unseen:
        """Steps of this process that the store may not have yet; taken before it is asked, so that none is missed."""
        tenant = step.place.tenant
        with self.lock:
            updates = self.unseen.get((tenant, step.place.thread or ""), ())
            return Unseen(updates=updates, charges=tuple(self.charges.get(tenant, {}).values()))

    def made(self, trip: Trip, unseen: Unseen, replies: Replies, missing: Missing | None) -> dict[str, Any]:
        """The sections, from what came and what this process knows itself."""
        step, found = trip.query.step, read(trip, replies, missing)
        for alias in lost_indexes(trip, replies):
            self.indexes.lost(alias)
        if missing is not None:
            # Said once for all that did not come.
            found = {name: one for name, one in found.items() if one is not missing}
            found["store"] = missing
        elif self.refused is not None:
            found["store"] = self.refused
        with self.lock:
            self.complete_session(step, found, unseen.updates)
            self.complete_counters(step, found)
            self.complete_learned(step.place.tenant, found, unseen.charges)
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

    def complete_learned(self, tenant: str, found: dict[str, Any], charges: tuple[float, ...]) -> None:
        """Add to what was taught what the store has not seen, or give what was last known; alarms reach the tallies."""
        learned, known = found.get("learned"), self.taught.get(tenant)
        if isinstance(learned, Learned):
            if known is not None:
                tell_alarms(known, learned)
            learned = learned.caught_up(charges)
            known = found["learned"] = self.taught[tenant] = learned if known is None else known.joined(learned)
            trim(self.taught, tenant, TENANTS)
        elif known is not None:
            found["learned"] = known
        if known is not None and isinstance(counters := found.get("counters"), Counters):
            found["counters"] = known.counted(counters)

    def remember(self, one: Remembrance) -> None:
        """Know at once what an ended step left; `write` keeps it."""
        if (gain := one.gain) is not None:
            with self.lock:
                self.charges.setdefault(one.tenant, {})[id(gain)] = gain.charge
                self.taught[one.tenant] = self.taught.get(one.tenant, Learned()).caught_up((gain.charge,))
                trim(self.taught, one.tenant, TENANTS)
        if one.session is None or one.thread is None:
            return
        place = (one.tenant, one.thread)
        with self.lock:
            self.unseen[place] = (*self.unseen.get(place, ()), one.session)
            self.known[place] = caught_up(self.known.get(place, Session()), (one.session,))
            trim(self.known, place, SESSIONS)

    def write(self, batch: Sequence[Remembrance], now: float) -> Missing | None:
        """Keep ended steps, with those that could not be kept before; why they still are not, or None."""
        with self.writing:
            self.waiting += batch
            self.waited_at = now
            self.shed()
            while self.waiting:
                some = together(self.waiting)
                refusals = write_each(self.connection, self.keys, self.space, some, now)
                if isinstance(refusals, Missing):
                    return refusals
                self.refused = self.settle(some, refusals, now)
                if self.refused is not None:
                    return self.refused
            return None

    def shed(self) -> None:
        """Give up the oldest of what waits where it is too much."""
        if (surplus := self.waiting[:-WAITING]) and not self.lost:
            log.warning("more than %d steps wait for the store; the oldest are not remembered", WAITING)
        self.lost += len(surplus)
        self.waiting = self.waiting[-WAITING:]
        self.seen(surplus)

    def settle(self, some: Sequence[Remembrance], refusals: Sequence[Exception | None], now: float) -> Missing | None:
        """Take note of what became of the first that waited; why some go on waiting, or None."""
        told = list(zip(some, refusals, strict=True))
        kept = [one for one, refused in told if refused is None]
        hopeless = [(one, refused) for one, refused in told if refused is not None and is_hopeless(refused)]
        still = [(one, refused) for one, refused in told if refused is not None and not is_hopeless(refused)]
        if hopeless:
            log.warning("%d steps are not remembered: the store refused: %s", len(hopeless), hopeless[0][1])
            self.lost += len(hopeless)
        self.waiting = [*(one for one, _ in still), *self.waiting[len(some) :]]
        self.seen([*kept, *(one for one, _ in hopeless)])
        self.show(kept, now)
        if self.lessons is not None:
            self.lessons.write(kept, now)
        return Missing(reason=f"the store refused: {still[0][1]}") if still else None

    def seen(self, batch: Sequence[Remembrance]) -> None:
        """Take note of what the store has now, or never will have."""
        updates = {id(one.session) for one in batch}
        with self.lock:
            for place in {(one.tenant, one.thread or "") for one in batch}:
                left = tuple(update for update in self.unseen.pop(place, ()) if id(update) not in updates)
                if left:
                    self.unseen[place] = left
            for one in batch:
                self.uncharge(one)

    def uncharge(self, one: Remembrance) -> None:
        """Drop the charge of a step that the store has now, or never will have; the caller holds the lock."""
        charges = self.charges.get(one.tenant)
        if charges is None or one.gain is None:
            return
        charges.pop(id(one.gain), None)
        if not charges:
            del self.charges[one.tenant]

    def show(self, batch: Sequence[Remembrance], now: float) -> None:
        """Let the neighbourhoods of this process have what was just written."""
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
        fields = ("v", "model", "kind", "source", "score", "weight", "labelled_at")
        kept = answers(self.connection, *(("HMGET", places.outcome_of(one), *fields) for one in digests))
        if isinstance(kept, Missing):
            return kept
        rows = {
            one: read for one, row in zip(digests, kept, strict=True) if (read := read_verdict(one, row)) is not None
        }
        kinds = sorted({kind for _, kind, _ in rows.values()})
        tallies = answers(self.connection, *(("HGETALL", places.counters(kind)) for kind in kinds))
        if isinstance(tallies, Missing):
            return tallies
        known = {kind: read_tallies(pairs(reply)) for kind, reply in zip(kinds, tallies, strict=True)}
        return [
            Share(step_id=one, success=odds(known[kind].get(model), now), label=label)
            for one, (model, kind, label) in rows.items()
        ]

    def close(self) -> None:
        """Try once more to write what waits, and end the reading in the background."""
        if self.waiting and (missing := self.write((), self.waited_at)) is not None:
            log.warning("%d steps are not remembered: %s", len(self.waiting), missing.reason)
        self.snapshots.close()


def tell_alarms(known: Learned, learned: Learned) -> None:
    """Log which models have begun to do worse than was expected of them."""
    for model, drift in learned.drift.items():
        if drift.alarms > (known.drift[model].alarms if model in known.drift else drift.alarms):
            log.warning(
                "model %r does worse than was expected of it: for %d decisions it is not used unproven, and what it "
                "did before counts little",
                model,
                FROZEN_DECISIONS,
            )


def lost_indexes(trip: Trip, replies: Replies) -> list[str]:
    """Aliases of the indexes that the server says it does not have: it was flushed, or came back empty."""
    answered = zip(trip.commands, replies, strict=False)
    return [str(command[1]) for command, reply in answered if isinstance(reply, Exception) and names_no_index(reply)]


def read_verdict(digest: str, row: Sequence[bytes | None]) -> tuple[str, str, Label] | None:
    """Model, kind and label of an outcome; None where it has expired, is broken, or a newer version wrote it."""
    version, model, kind, source, score, weight, labelled_at = row
    if model is None or kind is None or source is None or newer(version) is not None:
        return None
    try:
        label = Label(
            step_id=digest,
            source=Source(source.decode()),
            score=float(score or 0),
            at=float(labelled_at or 0),
            confidence=float(weight or 0),
        )
        return model_of(model), kind.decode(), label
    except ValueError:
        return None


def together(waiting: Sequence[Remembrance]) -> list[Remembrance]:
    """The first of those that wait, as many as may be written in one round trip."""
    some: list[Remembrance] = []
    updates: Counter[tuple[str, str | None]] = Counter()
    for one in waiting[:BATCH]:
        place = (one.tenant, one.thread)
        updates[place] += one.session is not None
        if updates[place] > PER_SESSION:
            break
        some.append(one)
    return some
