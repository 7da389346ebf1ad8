"""Memory for people, whichever store there is: sees to it that it is open, and asks the store or this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from steprouter.errors import ConfigError, StoreError
from steprouter.memory.face import Exported, Forgotten, Format, Loaded, Overview, Remembering
from steprouter.memory.local import LocalMemory
from steprouter.memory.recall import Missing
from steprouter.memory.session import RECENT, Session
from steprouter.memory.traces import TraceKeeper
from steprouter.step.step import StepKind

from ..connect import Connection
from ..traces import MemoryTraces
from .overview import overview, overview_here
from .recollection import Recollection
from .records import pairs, read_session
from .schema import Places
from .survey import asked

if TYPE_CHECKING:
    from .remote import RedisMemory

HERE_ONLY = "the memory of a process is seen by it alone and cannot be {}; give the router a store that lasts"


class Custody:
    """Keeps memory for people; see `MemoryKeeper` for what it promises.

    Args:
        recollection: What remembers.
        traces: Gives what keeps the traces, which are erased with the rest.
        now: Unix time in seconds.
    """

    def __init__(self, recollection: Recollection, traces: Callable[[], TraceKeeper], now: Callable[[], float]) -> None:
        self.recollection = recollection
        self.traces = traces
        self.now = now

    @property
    def connection(self) -> Connection:
        """The store."""
        return self.recollection.connection

    def remote(self) -> RedisMemory | None:
        """Memory in the store; None where this process's is all there is.

        Raises:
            StoreError: The store is away, or its names cannot be made.
        """
        facts = self.connection.open()
        if isinstance(facts, Missing):
            raise StoreError(f"memory cannot be reached: {facts.reason}")
        if facts.place == "memory":
            return None
        if self.recollection.keys is None:
            refused = self.recollection.refused
            raise StoreError(f"what is kept cannot be named: {refused.reason if refused else 'no key'}")
        return self.recollection.redis()

    def search(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        """The `k` most similar remembered steps, the most similar first."""
        from .search import search, search_here

        remote, vector = self.remote(), self.recollection.embedder.embed(text)
        if remote is None:
            return search_here(self.recollection.local, tenant, vector, kind, k)
        return search(remote, tenant, vector, kind, k)

    async def asearch(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        """As `search`, without blocking the event loop."""
        return await asyncio.to_thread(self.search, tenant, text, kind, k)

    def session(self, tenant: str, thread: str) -> Session:
        """What is remembered of a thread; a new session where nothing is."""
        remote, local = self.remote(), self.recollection.local
        if remote is None:
            with local.alone:
                return local.sessions.get((tenant, thread), Session())
        kept, recent = Places(keys=remote.keys, tenant=tenant).session(thread)
        commands = [("HGETALL", kept), ("ZRANGE", recent, 0, RECENT - 1, "REV")]
        told, steps = asked(self.connection, commands)
        session = read_session(pairs(told), steps)
        if isinstance(session, Missing):
            raise StoreError(f"the session of thread {thread!r} cannot be read: {session.reason}")
        return session

    def overview(self, tenant: str) -> Overview:
        """How much is remembered, and of what."""
        remote, space = self.remote(), self.recollection.space
        if remote is not None:
            return overview(self.connection, remote.keys, space, tenant, self.now())
        traces = sum(map(len, self.traces_here(tenant).values()))
        return overview_here(self.recollection.local, space, tenant, self.now(), traces=traces)

    def traces_here(self, tenant: str) -> dict[str, list[str]]:
        """Step ids of the traces in this process, by thread."""
        keeper = self.traces()
        if not isinstance(keeper, MemoryTraces):
            return {}
        with keeper.lock:
            return {thread: list(steps) for thread, steps in keeper.kept.get(tenant, {}).items()}

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> Forgotten:
        """Erase a tenant, or a thread and a user of it."""
        remote = self.remote()
        if remote is None:
            return self.forget_here(tenant, thread, user)
        from .forget import drop_here, erase_part, erase_tenant, whom

        meant = None if thread is None and user is None else whom(remote.keys, tenant, thread=thread, user=user)
        with remote.writing:
            # First and last: if the store is away what waits must not be written later, and after it was
            # asked it is known which threads are a user's.
            drop_here(remote, tenant, meant)
            if meant is None:
                told = erase_tenant(self.connection, remote.keys, tenant)
            else:
                told, meant = erase_part(self.connection, remote.keys, tenant, meant)
            drop_here(remote, tenant, meant)
        remote.snapshots.forget(tenant)
        if remote.lessons is not None:
            remote.lessons.forget(tenant)
        if self.recollection.shelf is not None:
            self.recollection.shelf.forget(tenant, thread=thread, user=user)
        return told

    def forget_here(self, tenant: str, thread: str | None, user: str | None) -> Forgotten:
        """Erase what this process remembers."""
        local, before = self.recollection.local, Counter(self.overview(tenant).records)
        with local.alone:
            outcomes = [kept.outcome for shelf in local.of_tenant(tenant) for kept in shelf.kept.values()]
        threads = {one.thread for one in outcomes if user is not None and one.user == user and one.thread is not None}
        theirs = {one.id for one in outcomes if one.thread in threads and one.user not in (None, user)}
        mine = {one.id for one in outcomes if user is not None and one.user == user}
        self.drop_traces(tenant, thread, threads, mine, theirs, whole=thread is None and user is None)
        local.forget(tenant, thread=thread, user=user)
        drop_beside(local, tenant, threads, whole=thread is None and user is None)
        if self.recollection.lessons is not None:
            before["lessons"] += self.recollection.local_lessons.forget(tenant, thread=thread, user=user)
        if self.recollection.shelf is not None:
            before["cache_entries"] += self.recollection.shelf.forget(tenant, thread=thread, user=user)
        before.subtract(self.overview(tenant).records)
        return Forgotten(erased={sort: count for sort, count in sorted(before.items()) if count > 0})

    def drop_traces(
        self, tenant: str, thread: str | None, threads: set[str], mine: set[str], theirs: set[str], *, whole: bool
    ) -> None:
        """Drop traces of this process: all, or a thread's and those in a user's threads that are not another's."""
        keeper = self.traces()
        if not isinstance(keeper, MemoryTraces):
            return
        with keeper.lock:
            kept = keeper.kept.get(tenant, {})
            for name, steps in list(kept.items()):
                for step in list(steps):
                    if whole or name == thread or step in mine or (name in threads and step not in theirs):
                        del steps[step]
                if not steps:
                    del kept[name]

    def export(self, tenant: str, path: Path, form: Format) -> Exported:
        """Write outcomes and tallies to a file."""
        from .exchange import export

        remote = self.remote()
        if remote is None:
            raise ConfigError(HERE_ONLY.format("exported"))
        return export(self.connection, remote.keys, remote.space, tenant, path=path, form=form, now=self.now())

    def load(self, tenant: str, path: Path, form: Format) -> Loaded:
        """Take over what a file holds."""
        from .exchange import load

        remote = self.remote()
        if remote is None:
            raise ConfigError(HERE_ONLY.format("filled from a file"))
        done = load(self.connection, remote.keys, remote.space, tenant, path=path, form=form, now=self.now())
        remote.snapshots.forget(tenant)
        return done


def drop_beside(local: LocalMemory, tenant: str, threads: Collection[str], *, whole: bool) -> None:
    """Drop what `LocalMemory.forget` leaves: a tenant's labels that wait, and what names nobody in a user's threads."""
    with local.alone:
        for place in [place for place in local.pending if whole and place[0] == tenant]:
            del local.pending[place]
        for shelf in local.of_tenant(tenant):
            kept = shelf.kept.items()
            gone = {name for name, one in kept if one.outcome.user is None and one.outcome.thread in threads}
            for name in gone:
                del shelf.kept[name]
                shelf.rows.pop(name, None)
            if gone and shelf.neighbourhood is not None:
                shelf.neighbourhood = shelf.neighbourhood.with_rows((), without=gone)
