"""What a router keeps of its steps, and how it comes into the store: off the path, in batches, again if need be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .answering.budgets import Budget
from .caching.policy import AnswerCache
from .clock import Clock
from .memory.policy import MemoryPolicy
from .memory.remember import Remembrance
from .memory.traces import StoredTrace, TraceKeeper
from .shelving import NOTHING, Shelved
from .store import Connection, open_traces
from .store.cache.shelf import Shelf as Answers
from .store.live.gate import Gate
from .store.memory.recollection import Recollection
from .tracing.archive import store_trace
from .tracing.record import CacheRecord, Trace

log = logging.getLogger("steprouter")

RENEWAL_SECONDS = 20.0
"""How often what is under way is told to the store, where money or calls at once are limited: a third of a lease."""

TRACES_WAITING = 1000
"""Traces that may wait for a store that is away; some 5 kB each."""

RECOVERY_SECONDS = 2.0
"""What closing waits for a store that was there and does not answer: a busy machine holds it up for a moment, and the
guard probes it at least every 1.5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What a router keeps, and where.

    Attributes:
        store: Where traces and memory are; may hold a password.
        tenant: Whose data all steps are; None lets each run say, in its configuration.
        tracing: Whether traces are kept.
        memory: What is remembered, and how.
        budgets: What may be spent.
        answers: What may be given again; None keeps no answers.
    """

    store: str = field(default="embedded", repr=False)
    tenant: str | None = None
    tracing: bool = True
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    budgets: tuple[Budget, ...] = ()
    answers: AnswerCache | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What an ended step leaves.

    Attributes:
        trace: Its story; None where none is kept.
        remembrance: What memory keeps of it; None where nothing is remembered.
        shelved: What the answer cache is told of it.
        look: Gives what was asked, for an estimate of what an answer cache would serve; None where there is one.
    """

    trace: Trace | None = None
    remembrance: Remembrance | None = None
    shelved: Shelved = NOTHING
    look: Callable[[], CacheRecord] | None = None

    @property
    def story(self) -> Trace | None:
        """The trace, with what was asked."""
        if self.trace is None or self.look is None:
            return self.trace
        return self.trace.model_copy(update={"cached": self.look()})


class Shelf:
    """Where ended steps go, opened by its first use.

    Apart from the engine, because the sink's thread holds it: an engine that nobody uses must be free to go.

    Args:
        connection: The store.
        memory: Where what is remembered goes; None where nothing is.
        gate: Shares the health of deployments, and what was spent.
        clock: Time.
    """

    def __init__(self, connection: Connection, memory: Recollection | None, gate: Gate, clock: Clock) -> None:
        self.connection = connection
        self.memory = memory
        self.gate = gate
        self.clock = clock
        self.lock = threading.Lock()
        self.opened: TraceKeeper | None = None
        self.waiting: list[StoredTrace] = []
        self.writing = threading.Lock()

    def keeper(self) -> TraceKeeper:
        """What keeps the traces."""
        with self.lock:
            if self.opened is None:
                self.opened = open_traces(self.connection)
            return self.opened

    def write(self, batch: Sequence[Settled]) -> None:
        """Keep a batch: money and health first, then memory, which later steps wait for; then the stories.

        What the store does not take waits for the next batch.
        """
        self.gate.write(self.clock.now())
        remembrances = [one.remembrance for one in batch if one.remembrance is not None]
        if self.memory is not None and (remembrances or self.memory.is_behind):
            self.memory.write(remembrances, self.clock.now())
        if self.memory is not None and self.memory.shelf is not None:
            self.write_answers(self.memory.shelf, [one.shelved for one in batch if one.shelved is not NOTHING])
        self.write_traces([store_trace(trace) for one in batch if (trace := one.story) is not None])

    def write_answers(self, answers: Answers, batch: Sequence[Shelved]) -> None:
        """Keep answers, what was learnt of them, and what they saved; what the store does not take is lost."""
        now = self.clock.now()
        if kept := [one.kept for one in batch if one.kept is not None]:
            answers.keep(kept, now)
        for one in batch:
            if one.released is not None:
                answers.release(*one.released)
        if observed := [seen for one in batch for seen in one.observed]:
            answers.observe(observed)
        if counted := [one.counted for one in batch if one.counted is not None]:
            answers.count(counted, now)

    def write_traces(self, traces: Sequence[StoredTrace]) -> None:
        """Keep traces, those that wait first; the oldest are lost where too many wait."""
        with self.writing:
            self.waiting += traces
            if not self.waiting:
                return
            self.waiting = self.waiting[self.keeper().write(self.waiting) :]
            if surplus := self.waiting[:-TRACES_WAITING]:
                log.warning("%d traces were lost: %s", len(surplus), self.connection.degraded or "not kept")
                self.waiting = self.waiting[-TRACES_WAITING:]

    @property
    def is_written(self) -> bool:
        """Whether nothing waits for a store that is away."""
        return not self.waiting and not (self.memory is not None and self.memory.is_behind)

    def close(self) -> None:
        """Write what waits; a store that is away for a moment, as a busy machine has it, is waited for."""
        if not self.is_written and self.connection.recovers(RECOVERY_SECONDS):
            self.write(())
        if self.waiting:
            log.warning("%d traces were lost: %s", len(self.waiting), self.connection.degraded or "not kept")
            self.waiting = []
