"""The answer cache as a router sees it, whether the store is Redis or this process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

from steprouter.caching.entry import Cached, Entry
from steprouter.caching.langcache import LangCacheService
from steprouter.caching.orders import CacheStats, Counted, Kept, Lookup, Observed
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from ..memory.index import Indexes, cache_index
from ..memory.schema import Space
from .local import LocalAnswers
from .pocket import LARGEST_BYTES, LARGEST_ENTRIES, Pocket

if TYPE_CHECKING:
    from steprouter.memory.recall import Vector

    from ..live.journal_cipher import Cipher
    from ..memory.sections import Section
    from .langcache import LangCacheSearch
    from .named import Known
    from .remote import RedisAnswers
    from .sections import Looked

LEASE_SECONDS = 30.0
"""How long others take an answer to be under way: longer than most calls, and as long as a process that died is
waited for by those who have the time."""

FIRST_POLL_SECONDS = 0.005
LAST_POLL_SECONDS = 0.1
"""How often it is looked whether the answer has come that another is getting. A look is some 0.1 ms of the server's
time: a thousand who wait take a tenth of it."""

POLL_GROWTH = 1.5


class Home(Protocol):
    """Where memory is, as far as the cache must know."""

    @property
    def connection(self) -> Connection:
        """The store."""
        ...

    @property
    def keys(self) -> Keys | None:
        """What names the keys; None where there is no secret to make them with."""
        ...

    @property
    def space(self) -> Space:
        """Where vectors live; the first look may load an embedder."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether this process is all there is."""
        ...

    @property
    def cipher(self) -> Cipher | None:
        """Seals and opens answers; None where no key is set."""
        ...

    def digest(self, *parts: str) -> str:
        """A name for the parts that nobody can make without the secret."""
        ...


class Shelf:
    """The answers that may be given again; one for each router. Never raises in a step.

    Args:
        home: Where memory is.
        lease_seconds: How long others take an answer to be under way.
        largest_entries: Answers that this process has at hand, at most.
        largest_bytes: What they may take, about.
        langcache: The service that finds questions by meaning; None leaves that to the store.
    """

    def __init__(
        self,
        home: Home,
        *,
        lease_seconds: float = LEASE_SECONDS,
        largest_entries: int = LARGEST_ENTRIES,
        largest_bytes: int = LARGEST_BYTES,
        langcache: LangCacheService | None = None,
    ) -> None:
        self.home = home
        self.lease_seconds = lease_seconds
        self.local = LocalAnswers(lease_seconds)
        self.pocket = Pocket(largest_entries, largest_bytes)
        self.remotes: dict[int, RedisAnswers] = {}
        self.langcache = langcache
        self.searches: dict[int, LangCacheSearch] = {}
        self.search()

    @cached_property
    def indexes(self) -> Indexes:
        """What is known of the indexes; memory shares it."""
        return Indexes(self.home.connection)

    def redis(self) -> RedisAnswers:
        """This process's way to the answers in Redis."""
        remote = self.remotes.get(os.getpid())
        if remote is None:
            from .remote import RedisAnswers

            home = self.home
            assert home.keys is not None
            remote = RedisAnswers(
                home.connection, home.keys, home.space, self.indexes, self.pocket, home.cipher, self.lease_seconds
            )
            # setdefault: of two threads that come first at once, both take the same one.
            remote = self.remotes.setdefault(os.getpid(), remote)
        return remote

    def search(self) -> LangCacheSearch | None:
        """This process's way to the service that finds questions by meaning; None where the store does."""
        if self.langcache is None:
            return None
        search = self.searches.get(os.getpid())
        if search is None:
            from .langcache import LangCacheSearch

            made = LangCacheSearch(self.langcache, self, self.home.digest)
            search = self.searches.setdefault(os.getpid(), made)  # as in `redis`
        return search

    def known(self, tenant: str, ids: Collection[str]) -> Known | Missing:
        """A tenant's answers of these names, with what is known of each."""
        if self.home.is_local:
            return self.local.known(tenant, ids)
        from .named import read_named  # brings the client library

        remote = self.redis()
        return read_named(remote.connection, remote.keys, remote.cipher, tenant, ids)

    async def aknown(self, tenant: str, ids: Collection[str]) -> Known | Missing:
        """As `known`, without blocking the event loop."""
        if self.home.is_local:
            return self.local.known(tenant, ids)
        from .named import aread_named  # brings the client library

        remote = self.redis()
        return await aread_named(remote.connection, remote.keys, remote.cipher, tenant, ids)

    def sections(self) -> list[Section]:
        """What a recall asks for; the search last, so that it holds up nothing else."""
        from .sections import CacheSection, NearSection  # brings the client library

        cipher = self.home.cipher
        near = NearSection(cache_index(self.home.space), self.indexes, self.pocket.known_epoch, cipher)
        return [CacheSection(self.lease_seconds, cipher), near]

    def at_hand(self, tenant: str, exact: str, now: float) -> Entry | None:
        """The answer to a very question, if this process has it and knows that it still holds; asks nobody.

        Args:
            tenant: Whose it is.
            exact: The digest of the question.
            now: When the step began, Unix time in seconds.
        """
        if self.home.is_local:
            return self.local.at_hand(tenant, exact, now)
        return self.pocket.at_hand(tenant, exact, now)

    def look(self, tenant: str, lookup: Lookup, vector: Vector | Missing, now: float) -> Cached:
        """As a recall brings it, where this process is all there is."""
        return self.local.look(tenant, lookup, None if isinstance(vector, Missing) else vector, now)

    def joined(self, tenant: str, lookup: Lookup, found: dict[str, Any], now: float) -> Cached | Missing | None:
        """What a recall brought, of its sections `cache` and `near`; the second is taken out. None if nothing came.

        Args:
            tenant: Whose it is.
            lookup: What was asked.
            found: All sections.
            now: When the step began, Unix time in seconds; the store was asked after that.
        """
        near, looked = found.pop("near", ()), found.get("cache")
        if looked is None or isinstance(looked, Missing):
            return looked
        self.pocket.saw(tenant, looked.epoch, looked.revision, now)
        self.took(tenant, looked)
        if isinstance(near, Missing) or near is None:
            near = ()
        exact = None if looked.exact is None else looked.exact.id
        alive = (one for one in near if one.entry.epoch == looked.epoch and one.entry.expires_at > now)
        return cast("Looked", looked).cached(lookup.holder, tuple(one for one in alive if one.entry.id != exact))

    def took(self, tenant: str, looked: Looked) -> None:
        """Have at hand what was found of a very question."""
        if looked.exact is not None:
            self.pocket.put(tenant, looked.exact, looked.revision)

    def wait_filled(self, tenant: str, exact: str, holder: str, seconds: float, now: float = 0.0) -> Entry | None:
        """The answer that another is getting, once it is there.

        Args:
            tenant: Whose it is.
            exact: The digest of the question.
            holder: Who waits; it is to get the answer itself if the other gives up.
            seconds: How long at most.
            now: When the step began; an answer that had expired then is none.

        Returns:
            None if the other gave up or died, and `holder` is to get the answer now, or if the time is over or the
            store is away, and it had better.
        """
        lookup = Lookup(exact=exact, holder=holder)
        for pause in pauses(seconds):
            time.sleep(pause)
            looked = self.look_again(tenant, lookup, now)
            if looked is not None and (looked.exact is not None or looked.filled_by is None):
                return looked.exact
            if looked is None and self.is_away:
                return None
        return None

    async def await_filled(
        self, tenant: str, exact: str, holder: str, seconds: float, now: float = 0.0
    ) -> Entry | None:
        """As `wait_filled`, without blocking the event loop."""
        lookup = Lookup(exact=exact, holder=holder)
        for pause in pauses(seconds):
            await asyncio.sleep(pause)
            looked = await self.alook_again(tenant, lookup, now)
            if looked is not None and (looked.exact is not None or looked.filled_by is None):
                return looked.exact
            if looked is None and self.is_away:
                return None
        return None

    @property
    def is_away(self) -> bool:
        """Whether the store cannot be asked now."""
        return not self.home.is_local and self.home.connection.degraded is not None

    def look_again(self, tenant: str, lookup: Lookup, now: float) -> Cached | None:
        """What there is of a very question; None if that cannot be found out now."""
        if self.home.is_local:
            return self.local.look(tenant, lookup, None, now)
        looked = self.redis().look(tenant, lookup, now)
        if isinstance(looked, Missing):
            return None
        self.took(tenant, looked)
        return looked.cached(lookup.holder)

    async def alook_again(self, tenant: str, lookup: Lookup, now: float) -> Cached | None:
        """As `look_again`, without blocking the event loop."""
        if self.home.is_local:
            return self.local.look(tenant, lookup, None, now)
        looked = await self.redis().alook(tenant, lookup, now)
        if isinstance(looked, Missing):
            return None
        self.took(tenant, looked)
        return looked.cached(lookup.holder)

    def keep(self, batch: Sequence[Kept], now: float) -> None:
        """Keep answers and give their leases back; off the path.

        An answer is not kept if what it belongs to was removed while it was being got.

        Args:
            batch: The answers.
            now: Unix time in seconds.
        """
        if self.home.is_local:
            self.local.keep(batch, now)
        else:
            self.redis().keep(batch, now)
        if (search := self.search()) is not None:
            search.keep(batch, now)

    def release(self, tenant: str, exact: str, holder: str) -> None:
        """Give up getting an answer, so that another may; off the path."""
        if self.home.is_local:
            self.local.release(tenant, exact, holder)
        else:
            self.redis().release(tenant, exact, holder)

    def observe(self, batch: Sequence[Observed]) -> None:
        """Add what was found out about answers to what is known of them and of their pools; off the path.

        An answer that was found wrong for its very question is given to nobody any more who asks that: here at once, in
        other processes within 2 s. One that was found wrong by meaning is given to none but those who ask its question.
        """
        if self.home.is_local:
            self.local.observe(batch)
            return
        for one in batch:
            if one.refutes:
                self.pocket.drop(one.tenant, one.entry_id)
        self.redis().observe(batch)

    def count(self, batch: Sequence[Counted], now: float) -> None:
        """Add to what the answers have saved; off the path."""
        if self.home.is_local:
            self.local.count(batch)
        else:
            self.redis().count(batch, now)

    def invalidate(
        self, tenant: str, *, tag: str | None = None, model: str | None = None, node: str | None = None
    ) -> int:
        """Remove the answers that have this tag, are of this model and of this node; all, where none is named.

        Other processes give none of them any more after 2 s. An answer that is being got and has one of the named
        parts is not kept.

        Returns:
            How many there were.

        Raises:
            StoreError: The store is away.
        """
        parts = {what: name for what, name in (("tag", tag), ("model", model), ("node", node)) if name is not None}
        try:
            if self.home.is_local:
                return self.local.invalidate(tenant, parts)
            return self.redis().invalidate(tenant, parts)
        finally:
            self.pocket.forget(tenant)
            if (search := self.search()) is not None and parts.keys() <= {"tag"}:
                search.invalidate(tenant, tag)

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> int:
        """Let go of what this process has of a tenant, or of a thread or user of it.

        Returns:
            How many answers there were that are nowhere else.
        """
        self.pocket.forget(tenant)
        if (search := self.search()) is not None:
            search.forget(tenant, thread, user)
        return self.local.forget(tenant, thread=thread, user=user)

    def close(self) -> None:
        """Give connections back; the next use opens them anew."""
        search = self.searches.pop(os.getpid(), None)
        if search is not None:
            search.close()

    def stats(self, tenant: str) -> CacheStats:
        """What is kept of a tenant and what it has done.

        Raises:
            StoreError: The store is away.
        """
        return self.local.stats(tenant) if self.home.is_local else self.redis().stats(tenant)


def pauses(seconds: float) -> Iterator[float]:
    """How long to sleep before each look, until so many seconds are over; there is a look at the very end."""
    ends_at, pause = time.monotonic() + seconds, FIRST_POLL_SECONDS
    while (left := ends_at - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(POLL_GROWTH * pause, LAST_POLL_SECONDS)
