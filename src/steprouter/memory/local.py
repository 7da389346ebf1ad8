"""Memory in this process, by the same rules as in Redis: all there is without a server, gone with the process."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from ..step.step import Step
from .labels import Label, replaces
from .learned import Learned, Noted, corrected, gained, noted, of_version
from .outcomes import Counted, Counters, Remembered, Tally, average, count
from .recall import NOT_KEPT, Missing
from .remember import Remembrance
from .session import Session, advance

if TYPE_CHECKING:
    from .neighbours import Neighbourhood, Row

K = TypeVar("K")
V = TypeVar("V")

THREADS = 4096
"""Sessions kept, those used last; 4 kB each."""

SHELVES = 256
"""Pairs of tenant and kind kept, those used last."""

PER_SHELF = 4096
"""Outcomes kept of each, the newest: as many as a neighbourhood has rows."""

TENANTS = 256
"""Tenants of which is kept what else they taught, those used last."""

PENDING = 1024
"""Labels that wait for their outcome."""


@dataclass(slots=True)
class Kept:
    """An outcome with what its tallies counted of it, and what was learnt from it besides."""

    outcome: Remembered
    kind: Counted
    node: Counted | None
    note: Noted
    sides: dict[str, Counted] = field(default_factory=dict)


@dataclass(slots=True)
class Shelf:
    """One tenant's outcomes of one kind, in the order they came, and their tallies by node; None is the whole kind."""

    kept: dict[str, Kept] = field(default_factory=dict)
    tallies: dict[str | None, dict[str, Tally]] = field(default_factory=dict)
    effect: dict[str, Tally] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    neighbourhood: Neighbourhood | None = None


class LocalMemory:
    """Sessions, outcomes and tallies of this process. Safe in threads and after a fork."""

    def __init__(self) -> None:
        self.begin()
        self.sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self.shelves: OrderedDict[tuple[str, str], Shelf] = OrderedDict()
        self.pending: OrderedDict[tuple[str, str], Label] = OrderedDict()
        self.taught: OrderedDict[str, Learned] = OrderedDict()

    def begin(self) -> None:
        """A new lock, in this process."""
        self.lock = threading.Lock()
        self.process = os.getpid()

    @property
    def alone(self) -> threading.Lock:
        """What only one thread holds."""
        if self.process != os.getpid():
            self.begin()  # a fork may have copied a lock that a thread held which it did not copy
        return self.lock

    def session(self, step: Step) -> Session | Missing:
        """The session of the step's thread; a new one where nothing is known."""
        thread = step.place.thread
        if thread is None:
            return NOT_KEPT
        with self.alone:
            return self.sessions.get((step.place.tenant, thread), Session())

    def counters(self, step: Step) -> Counters:
        """The tallies of the step's kind and node."""
        with self.alone:
            shelf = self.shelves.get((step.place.tenant, str(step.kind)))
            if shelf is None:
                return Counters()
            node = step.place.node
            of_node = {} if node is None else dict(shelf.tallies.get(node, {}))
            counters = Counters(kind=dict(shelf.tallies.get(None, {})), node=of_node)
            return self.taught.get(step.place.tenant, Learned()).counted(counters)

    def learned(self, tenant: str) -> Learned:
        """What else the tenant's steps have taught."""
        with self.alone:
            return self.taught.get(tenant, Learned())

    def neighbourhood(self, tenant: str, kind: str, dimension: int) -> Neighbourhood:
        """The tenant's outcomes of a kind that have a vector."""
        from .neighbours import empty

        with self.alone:
            shelf = self.shelves.get((tenant, kind))
            if shelf is None:
                return empty(dimension)
            known = shelf.neighbourhood
            if known is None or known.vectors.shape[1] != dimension:
                known = empty(dimension)
            if shelf.rows or shelf.neighbourhood is None:
                shelf.neighbourhood = known = known.with_rows(list(shelf.rows.values()))
                shelf.rows = {}
            return known

    def remember(self, one: Remembrance, now: float) -> None:
        """Keep what an ended step left; a second time changes nothing."""
        with self.alone:
            for outcome in one.outcomes:
                self.keep(one.tenant, outcome, now)
            if one.session is not None and one.thread is not None:
                place = (one.tenant, one.thread)
                self.sessions[place] = advance(self.sessions.get(place, Session()), one.session)
                trim(self.sessions, place, THREADS)
            for label in one.labels:
                self.relabel(one.tenant, label, now)

    def label(self, tenant: str, label: Label, now: float) -> int:
        """Label an outcome: 1 if it was taken, 0 if a better label is there, 2 if it waits for its outcome."""
        with self.alone:
            return self.relabel(tenant, label, now)

    def keep(self, tenant: str, outcome: Remembered, now: float) -> None:
        """Keep and count one outcome."""
        place = (tenant, outcome.kind)
        shelf = self.shelves.setdefault(place, Shelf())
        trim(self.shelves, place, SHELVES)
        if outcome.id in shelf.kept:
            return
        learned = of_version(self.taught.get(tenant, Learned()), outcome.model, outcome.version, now)
        faded = learned.faded(outcome.model)
        if outcome.gain is not None:
            learned = gained(learned, outcome.gain)
        learned, note = noted(learned, outcome, now)
        self.teach(tenant, learned)
        shelf.kept[outcome.id] = Kept(
            outcome=outcome,
            kind=self.counted(shelf, None, outcome, now, faded),
            node=None if outcome.node is None else self.counted(shelf, outcome.node, outcome, now, faded),
            note=note,
            sides=count_sides(shelf, outcome, outcome.label, {}, now),
        )
        self.show(shelf, outcome, now)
        if len(shelf.kept) > PER_SHELF:
            del shelf.kept[next(iter(shelf.kept))]
        late = self.pending.pop((tenant, outcome.id), None)
        if late is not None:
            self.relabel(tenant, late, now)

    def teach(self, tenant: str, learned: Learned) -> None:
        """Keep what else a tenant's steps have taught."""
        self.taught[tenant] = learned
        trim(self.taught, tenant, TENANTS)

    def counted(self, shelf: Shelf, node: str | None, outcome: Remembered, now: float, faded: float) -> Counted:
        """Count an outcome in one tally."""
        tallies = shelf.tallies.setdefault(node, {})
        known = tallies.get(outcome.model, Tally())
        tally, counted = count(known, outcome.label, at=outcome.at, now=now, faded=faded)
        tallies[outcome.model] = average(tally, outcome)
        return counted

    def relabel(self, tenant: str, label: Label, now: float) -> int:
        """Label an outcome, or let the label wait."""
        for shelf in self.of_tenant(tenant):
            kept = shelf.kept.get(label.step_id)
            if kept is None:
                continue
            if not replaces(label, kept.outcome.label):
                return 0
            learned = self.taught.get(tenant, Learned())
            faded = learned.faded(kept.outcome.model)
            kept.kind = self.recounted(shelf, None, kept.outcome, label, kept.kind, now, faded)
            if kept.node is not None:
                kept.node = self.recounted(shelf, kept.outcome.node, kept.outcome, label, kept.node, now, faded)
            learned, kept.note = corrected(learned, kept.outcome, label, kept.note, now)
            self.teach(tenant, learned)
            kept.sides = count_sides(shelf, kept.outcome, label, kept.sides, now)
            kept.outcome = replace(kept.outcome, label=label)
            self.show(shelf, kept.outcome, now)
            return 1
        place = (tenant, label.step_id)
        waiting = self.pending.get(place)
        if waiting is not None and not replaces(label, waiting):
            return 0
        self.pending[place] = label
        trim(self.pending, place, PENDING)
        return 2

    def recounted(
        self, shelf: Shelf, node: str | None, outcome: Remembered, label: Label, old: Counted, now: float, faded: float
    ) -> Counted:
        """Put a label in the place of the one that a tally has counted."""
        tallies = shelf.tallies[node]
        known = tallies[outcome.model]
        tallies[outcome.model], counted = count(known, label, at=outcome.at, now=now, old=old, faded=faded)
        return counted

    def of_tenant(self, tenant: str) -> Iterator[Shelf]:
        """The tenant's shelves."""
        return (shelf for (whose, _), shelf in self.shelves.items() if whose == tenant)

    def show(self, shelf: Shelf, outcome: Remembered, now: float) -> None:
        """Let the next reader of the neighbourhood find the outcome."""
        if outcome.vector is not None:
            shelf.rows[outcome.id] = row_of(outcome, now)

    def label_of(self, tenant: str, step_id: str) -> Label | None:
        """The verdict on a step so far."""
        with self.alone:
            found = (shelf.kept[step_id] for shelf in self.of_tenant(tenant) if step_id in shelf.kept)
            return next((kept.outcome.label for kept in found), None)

    def effect(self, tenant: str, kind: str) -> dict[str, Tally]:
        """What lessons did at a kind of step: a tally for each side, and for each lesson that was shown."""
        with self.alone:
            shelf = self.shelves.get((tenant, kind))
            return {} if shelf is None else dict(shelf.effect)

    def episode(self, tenant: str, thread: str) -> list[tuple[Remembered, Counters]]:
        """The outcomes of a thread, oldest first, each with the tallies of its kind."""
        with self.alone:
            found = [
                (kept.outcome, Counters(kind=dict(shelf.tallies.get(None, {}))))
                for shelf in self.of_tenant(tenant)
                for kept in shelf.kept.values()
                if kept.outcome.thread == thread
            ]
        return sorted(found, key=lambda pair: pair[0].at)

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> int:
        """Forget a tenant, or what belongs to one thread or user of it; the number of records."""
        with self.alone:
            before = len(self.sessions) + sum(len(shelf.kept) for shelf in self.shelves.values())
            if thread is None and user is None:
                self.sessions = OrderedDict((k, v) for k, v in self.sessions.items() if k[0] != tenant)
                self.shelves = OrderedDict((k, v) for k, v in self.shelves.items() if k[0] != tenant)
                self.taught.pop(tenant, None)
            else:
                self.forget_some(tenant, thread, user)
            return before - len(self.sessions) - sum(len(shelf.kept) for shelf in self.shelves.values())

    def forget_some(self, tenant: str, thread: str | None, user: str | None) -> None:
        """Forget a thread's or user's outcomes, and the sessions of the threads they belong to."""
        threads = {thread} if thread is not None else set()
        for shelf in self.of_tenant(tenant):
            gone = {
                name: kept.outcome
                for name, kept in shelf.kept.items()
                if (thread is not None and kept.outcome.thread == thread)
                or (user is not None and kept.outcome.user == user)
            }
            threads |= {outcome.thread for outcome in gone.values() if outcome.thread is not None}
            for name in gone:
                del shelf.kept[name]
                shelf.rows.pop(name, None)
            if gone and shelf.neighbourhood is not None:
                shelf.neighbourhood = shelf.neighbourhood.with_rows((), without=gone.keys())
        for one in threads:
            self.sessions.pop((tenant, one), None)


def count_sides(
    shelf: Shelf, outcome: Remembered, label: Label, old: dict[str, Counted], now: float
) -> dict[str, Counted]:
    """Count a label in the tallies of the lessons' effect, in place of what was counted before."""
    counted = {}
    for side in outcome.sides:
        known = shelf.effect.get(side, Tally())
        shelf.effect[side], counted[side] = count(known, label, at=outcome.at, now=now, old=old.get(side))
    return counted


def row_of(outcome: Remembered, now: float, *, name: str | None = None) -> Row:
    """An outcome as a neighbour; it must have a vector. `name` is what the record is called where it is kept."""
    import numpy as np

    from .neighbours import Row

    assert outcome.vector is not None
    return Row(
        id=name or outcome.id,
        model=outcome.model,
        thread=outcome.thread,
        at=outcome.at,
        changed=now,
        score=outcome.label.score,
        weight=outcome.label.confidence,
        vector=np.frombuffer(outcome.vector, dtype=np.float32),
    )


def trim(kept: OrderedDict[K, V], newest: K, limit: int) -> None:
    """Mark an entry as used last, and drop the ones unused for longest beyond the limit."""
    kept.move_to_end(newest)
    while len(kept) > limit:
        kept.popitem(last=False)
