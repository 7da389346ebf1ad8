"""Neighbourhoods in process, read from the store in the background: giving one is a look into a dictionary."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from steprouter.memory.neighbours import ROWS, Neighbourhood, Row, empty
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import DEFAULT_TENANT, Keys
from .patient import answers
from .rows import Read, prune, ranked, read_rows
from .schema import Places, Space

log = logging.getLogger("steprouter.store")

REFRESH_SECONDS = 5.0
"""A neighbourhood older than this is refreshed when it is next asked for; what this process adds is there at once."""

WHOLE_SECONDS = 60.0
"""How often all names are compared: finds changes dated by a clock that runs behind, and costs 3 ms."""

OVERLAP_SECONDS = 2.0
"""How far before the last seen change a refresh looks again: writers' clocks differ, and their writes take time."""

OWN_SECONDS = 30.0
"""How long a row of this process stays without having been seen in the store, where its write may be waiting."""

MAX_BYTES = 64 * 2**20
"""For all neighbourhoods of a process: some 12 full ones of 256 dimensions, or thousands of small ones."""

LOADING = Missing(reason="neighbours are being loaded", degraded=False)

Name = tuple[str, str]
"""A tenant in clear and a kind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What a process holds of one tenant and kind.

    Attributes:
        neighbourhood: The rows.
        missing: What to say while there is nothing; None once the store was read.
        due_at: When to look at the store again, on the clock of `Snapshots`.
        whole_at: When to compare all names again.
        known: When each record of the store's window changed last, by name.
        size: How many names the store had.
        own: Rows of this process that were not yet seen in the store, by name: change, and when they were added.
    """

    neighbourhood: Neighbourhood
    missing: Missing | None = LOADING
    due_at: float = -inf
    whole_at: float = -inf
    known: Mapping[str, float] = field(default_factory=dict)
    size: int = 0
    own: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def shown(self) -> Neighbourhood | Missing:
        """The rows, if there are any or the store was read."""
        return self.missing if self.missing is not None and not len(self.neighbourhood) else self.neighbourhood

    @property
    def nbytes(self) -> int:
        """Memory, roughly."""
        return 1024 + self.neighbourhood.nbytes + 100 * len(self.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What is otherwise in the store than it was known.

    Attributes:
        changes: When records that are new or changed did so, by name.
        vanished: Names that are no longer in the window.
        known: All names of the window, as in `Held`.
        size: How many names the store has.
        is_whole: Whether all names were compared.
    """

    changes: Mapping[str, float]
    vanished: frozenset[str]
    known: Mapping[str, float]
    size: int
    is_whole: bool


def look(connection: Connection, key: str, held: Held, *, whole: bool) -> Looked | Missing:
    """What has changed in a kind's outcomes since they were looked at.

    The latest changes are enough as long as the number of names is as expected. If it is not, something was
    erased, or written with an old date, and all names are compared.
    """
    known = held.known
    if not whole:
        since = max(known.values(), default=-inf) - OVERLAP_SECONDS
        replies = answers(connection, ("ZRANGEBYSCORE", key, since, "+inf", "WITHSCORES"), ("ZCARD", key))
        if isinstance(replies, Missing):
            return replies
        late, size = ranked(replies[0]), int(replies[1])
        if size == held.size + len(late.keys() - known.keys()):
            changes = {name: changed for name, changed in late.items() if known.get(name) != changed}
            return Looked(
                changes=changes,
                vanished=frozenset(),
                known={**known, **changes},
                size=size,
                is_whole=False,
            )
    replies = answers(connection, ("ZREVRANGE", key, 0, ROWS - 1, "WITHSCORES"), ("ZCARD", key))
    if isinstance(replies, Missing):
        return replies
    window = ranked(replies[0])
    return Looked(
        changes={name: changed for name, changed in window.items() if known.get(name) != changed},
        vanished=frozenset(known.keys() - window.keys()),
        known=window,
        size=int(replies[1]),
        is_whole=True,
    )


def updated(held: Held, looked: Looked, rows: Sequence[Row], now: float) -> Held:
    """What is held, with what the store said; a row of this process stays until the store can have it."""

    def is_awaited(name: str, changed: float, added_at: float) -> bool:
        return looked.known.get(name, -inf) < changed and now - added_at < OWN_SECONDS

    own = {name: told for name, told in held.own.items() if is_awaited(name, *told)}
    # Never arrived: what the store has, if anything, is read again.
    lost = {name for name, (changed, _) in held.own.items() - own.items() if looked.known.get(name, -inf) < changed}
    return replace(
        held,
        neighbourhood=held.neighbourhood.with_rows(
            [row for row in rows if row.id not in own],
            without=(looked.vanished | looked.changes.keys() | lost) - own.keys(),
        ),
        missing=None,
        known={name: changed for name, changed in looked.known.items() if name not in lost},
        size=looked.size,
        own=own,
    )


class Snapshots:
    """The neighbourhoods that this process uses, the longest unused given up first.

    Safe in threads and after a fork. The thread that reads starts when it is first needed and ends with the
    object. What is there goes on being used while the store is away.

    Args:
        connection: The store, with or without search.
        keys: Names the keys.
        space: Whose vectors are compared; records of others are left out.
        refresh_seconds: How old a neighbourhood may be before it is refreshed at its next use.
        max_bytes: Memory of all together; one stays however large it is.
        clock: Seconds that only rise.

    Attributes:
        newer: Records that were skipped because a newer version wrote them.
        broken: Records that were skipped because they make no sense.
        nbytes: Memory of what is held, roughly.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        space: Space,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.refresh_seconds = refresh_seconds
        self.max_bytes = max_bytes
        self.clock = clock
        self.held: dict[Name, Held] = {}
        self.nbytes = 0
        self.newer = 0
        self.broken = 0
        self.nothing = empty(space.dimension)
        self.begin()

    def begin(self) -> None:
        """New locks and no thread, in this process; what is held stays."""
        # Steps wait for the first, which is held for a look into the dictionary; a change takes milliseconds.
        self.lock, self.changing = threading.Lock(), threading.Lock()
        self.process = os.getpid()
        self.rest()

    def rest(self) -> None:
        """No thread, and nothing asked for."""
        self.asked: set[Name] = set()
        self.waiting: queue.SimpleQueue[Name | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def named(self, tenant: str | None, kind: str) -> Name:
        """What is meant, in this process."""
        if self.process != os.getpid():
            self.begin()  # a fork copies neither the thread nor a lock that can be trusted
        return tenant or DEFAULT_TENANT, kind

    def get(self, tenant: str | None, kind: str) -> Neighbourhood | Missing:
        """What is there now; asks for more if it is old. Neither waits nor raises."""
        name = self.named(tenant, kind)
        with self.lock:
            held = self.held.pop(name, None)
            if held is None:
                held = Held(neighbourhood=self.nothing)
                self.nbytes += held.nbytes
            self.held[name] = held  # moved to the end: used last
            if self.clock() >= held.due_at and name not in self.asked and self.has_thread():
                self.asked.add(name)
                self.waiting.put(name)
        return held.shown

    def add(self, tenant: str | None, kind: str, *rows: Row) -> None:
        """Shows rows of this process at once, before they come back from the store. Off the path: some 2 ms.

        Args:
            tenant: Whose.
            kind: Of which kind of step.
            rows: Their `changed` is the time with which they are written, or the store's are taken for others.

        Raises:
            ValueError: A vector has another dimension than the space.
        """
        name = self.named(tenant, kind)
        now = self.clock()
        with self.changing:
            held = self.current(name)
            # The store may have been quicker, and then knows better.
            new = [row for row in rows if row.vector is not None and held.known.get(row.id, -inf) < row.changed]
            own = {**held.own, **{row.id: (row.changed, now) for row in new}}
            self.keep(name, replace(held, neighbourhood=held.neighbourhood.with_rows(new), own=own))

    def refresh_now(self, tenant: str | None, kind: str) -> Neighbourhood | Missing:
        """Reads the store in the calling thread; what there is then."""
        name = self.named(tenant, kind)
        try:
            with self.changing:
                before = self.current(name)
                self.keep(name, before)
            self.refresh(name, before)
        finally:
            with self.lock:
                self.asked.discard(name)
        with self.changing:
            return self.current(name).shown

    def refresh(self, name: Name, before: Held) -> None:
        """Brings what is held up to date with the store, or notes why not."""
        began_at = self.clock()
        found = self.fetch(name, before, whole=before.missing is not None or began_at >= before.whole_at)
        with self.changing:
            held = self.current(name)
            if held.known is not before.known:
                return  # forgotten, or refreshed by another: what was found is of yesterday
            due_at = began_at + self.refresh_seconds
            if isinstance(found, Missing):
                self.keep(name, replace(held, due_at=due_at, missing=held.missing and found))
                return
            looked, read = found
            self.count(read)
            whole_at = began_at + WHOLE_SECONDS if looked.is_whole else held.whole_at
            new = updated(held, looked, read.rows, began_at)
            self.keep(name, replace(new, due_at=due_at, whole_at=whole_at))

    def fetch(self, name: Name, held: Held, *, whole: bool) -> tuple[Looked, Read] | Missing:
        """What is new in the store; takes names out of it whose records have expired."""
        places, kind = Places(keys=self.keys, tenant=name[0]), name[1]
        looked = look(self.connection, places.outcomes(kind), held, whole=whole)
        if isinstance(looked, Missing):
            return looked
        read = read_rows(self.connection, places, self.space, looked.changes)
        if isinstance(read, Missing) or not read.gone:
            return read if isinstance(read, Missing) else (looked, read)
        taken = prune(self.connection, places, kind, read.gone)
        if isinstance(taken, Missing):
            return looked, read
        gone = set(read.gone)
        known = {one: changed for one, changed in looked.known.items() if one not in gone}
        return replace(looked, known=known, size=looked.size - taken), read

    def count(self, read: Read) -> None:
        """Notes what could not be used."""
        if read.newer and not self.newer:
            log.warning("outcomes of a newer steprouter are not used: %d of them so far", len(read.newer))
        self.newer += len(read.newer)
        self.broken += len(read.broken)

    def forget(self, tenant: str | None) -> None:
        """Drops all of a tenant at once, also what is just being read; what is left in the store is read anew."""
        wanted, _ = self.named(tenant, "")
        with self.changing, self.lock:
            for name in [name for name in self.held if name[0] == wanted]:
                self.nbytes -= self.held.pop(name).nbytes

    def current(self, name: Name) -> Held:
        """What is held; something new if nothing is."""
        with self.lock:
            return self.held.get(name) or Held(neighbourhood=self.nothing)

    def keep(self, name: Name, new: Held) -> None:
        """Puts `new` in its place, and gives up the longest unused where it gets too much."""
        with self.lock:
            old = self.held.get(name)
            self.held[name] = new
            self.nbytes += new.nbytes - (old.nbytes if old else 0)
            while self.nbytes > self.max_bytes and len(self.held) > 1:
                longest_unused = next(other for other in self.held if other != name)
                self.nbytes -= self.held.pop(longest_unused).nbytes

    def has_thread(self) -> bool:
        """Whether someone reads what is asked for; starts the thread where there is none."""
        if self.thread is None or not self.thread.is_alive():
            thread = threading.Thread(
                target=run, args=(self.waiting, weakref.ref(self)), name="steprouter-neighbours", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is on its way out, or the system has no thread left
                return False
            self.thread = thread
            weakref.finalize(self, self.waiting.put, None).atexit = False
        return True

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Ends the thread; neighbourhoods that are used again start a new one."""
        if self.process != os.getpid():
            return
        with self.lock:
            thread, waiting = self.thread, self.waiting
            self.rest()
        if thread is not None:
            waiting.put(None)
            thread.join(timeout_seconds)


def run(waiting: queue.SimpleQueue[Name | None], owner: weakref.ref[Snapshots]) -> None:
    """Reads what is asked for until told to stop. Holds no reference in between, so that an unused owner can go."""
    while (name := waiting.get()) is not None:
        snapshots = owner()
        if snapshots is None:
            return
        snapshots.refresh_now(*name)
        del snapshots
