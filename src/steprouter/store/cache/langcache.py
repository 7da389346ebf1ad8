"""Answers found by meaning through Redis LangCache, and given from our own store.

The service is told what a question says, with secrets and personal data replaced, and the name of the answer, which is
a digest. What it finds is a pointer: the answer, what is known of it and whether it is still there are read from our
own store, in one trip more. So nothing is given that was removed, found wrong or is another tenant's, whatever the
service says, and no answer leaves our store.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from steprouter.caching.entry import Cached, Near
from steprouter.caching.langcache import LangCacheService
from steprouter.caching.orders import Kept, Lookup
from steprouter.memory.recall import Missing, Recalled
from steprouter.redaction import redact
from steprouter.step.step import Step

from .langcache_wire import Asked, Found, LangCacheWire, Told
from .named import Known

log = logging.getLogger("steprouter.store")

LEAST_LIKENESS = 0.5
"""What the service is to find at least: what facets and evidence say decides, and the scope has few questions. In the
service's measure, (1 + cosine) / 2, it is that of texts which have nothing to do with each other."""

CANDIDATES = 8
"""Pointers asked for: some of the likest may point at what has gone meanwhile."""

LONGEST_CHARS = 1024
"""Of a question: what the service takes (its OpenAPI description)."""

DEAD_KEPT = 1000
"""Pointers to nothing that wait to be removed."""

POINTER = "steprouter answer 1 "
"""How what we keep there as the response begins: which answer is meant follows."""


class Shelves(Protocol):
    """Our own store of answers."""

    def known(self, tenant: str, ids: Collection[str]) -> Known | Missing:
        """The answers of these names."""
        ...

    async def aknown(self, tenant: str, ids: Collection[str]) -> Known | Missing:
        """As `known`, without blocking the event loop."""
        ...


class LangCacheSearch:
    """What one process asks the service and tells it; never raises.

    Args:
        service: It.
        shelves: Our own store, which has the last word.
        digest: A name for parts that nobody can make without the deployment's secret.
    """

    def __init__(self, service: LangCacheService, shelves: Shelves, digest: Callable[..., str]) -> None:
        self.service = service
        self.shelves = shelves
        self.digest = digest
        self.wire = LangCacheWire(service)
        self.dead: deque[str] = deque(maxlen=DEAD_KEPT)

    def complete(self, step: Step, lookup: Lookup, recalled: Recalled) -> Recalled:
        """What a recall brought, with the answers to questions like the step's, or why none can be found."""
        cached = recalled.section("cache")
        if not isinstance(cached, Cached):
            return recalled
        return joined(recalled, cached, self.search(step.place.tenant, lookup, cached, step.started_at))

    async def acomplete(self, step: Step, lookup: Lookup, recalled: Recalled) -> Recalled:
        """As `complete`, without blocking the event loop."""
        cached = recalled.section("cache")
        if not isinstance(cached, Cached):
            return recalled
        return joined(recalled, cached, await self.asearch(step.place.tenant, lookup, cached, step.started_at))

    def search(self, tenant: str, lookup: Lookup, cached: Cached, now: float) -> tuple[Near, ...] | Missing:
        """The answers to questions like one, the likest first, or why none can be found."""
        wanted = self.wanted(tenant, lookup, cached)
        if wanted is None:
            return ()
        found = self.wire.search(wanted)
        if isinstance(found, Missing):
            return found
        named = pointed(found)
        known = self.shelves.known(tenant, named) if named else {}
        return known if isinstance(known, Missing) else self.near(wanted, lookup, cached, named, known, now)

    async def asearch(self, tenant: str, lookup: Lookup, cached: Cached, now: float) -> tuple[Near, ...] | Missing:
        """As `search`, without blocking the event loop."""
        wanted = self.wanted(tenant, lookup, cached)
        if wanted is None:
            return ()
        found = await self.wire.asearch(wanted)
        if isinstance(found, Missing):
            return found
        named = pointed(found)
        known = await self.shelves.aknown(tenant, named) if named else {}
        return known if isinstance(known, Missing) else self.near(wanted, lookup, cached, named, known, now)

    def wanted(self, tenant: str, lookup: Lookup, cached: Cached) -> Asked | None:
        """What the service is asked; None where it is not: meaning is not compared, or the very question is known."""
        if lookup.semantic is None or cached.exact is not None:
            return None
        text = tellable(lookup.text)
        if text is None:
            return None
        drawer = self.drawer(tenant, lookup.semantic, cached.epoch)
        return Asked(text=text, attributes=drawer, least=LEAST_LIKENESS, most=CANDIDATES)

    def near(
        self, wanted: Asked, lookup: Lookup, cached: Cached, named: Mapping[str, Found], known: Known, now: float
    ) -> tuple[Near, ...]:
        """What was found and is ours; what points at nothing is to be removed."""
        kept: list[Near] = []
        for name, one in named.items():
            there = known.get(name)
            if there is None:
                # One of other attributes, if the service brought such, is not ours to remove.
                if name in known and wanted.attributes.items() <= one.attributes.items():
                    self.dead.append(one.id)
                continue
            entry, tally = there
            is_ours = entry.scope == lookup.semantic and entry.epoch == cached.epoch and entry.id != lookup.exact
            if is_ours and entry.expires_at > now:
                kept.append(Near(entry=entry, similarity=one.similarity, scale=self.service.scale, tally=tally))
        return tuple(sorted(kept, key=lambda one: -one.similarity))

    def keep(self, batch: Sequence[Kept], now: float) -> None:
        """Tell the service of answers that may be found by meaning, and of pointers that may go; off the path."""
        told = [
            Told(
                text=text,
                response=POINTER + one.entry.id,
                attributes=self.attributes(one),
                seconds=one.entry.expires_at - now,
            )
            for one in batch
            if one.entry.scope and one.entry.expires_at > now and (text := tellable(one.entry.text)) is not None
        ]
        gone = [self.dead.popleft() for _ in range(len(self.dead))]
        # Removed first: a question that is told again may have the name it had.
        failed = [one for one in (*self.wire.delete_all(gone), *self.wire.set_all(told)) if one is not None]
        if failed:  # that the service fails is said once, when it begins
            log.debug("LangCache was not told of %d answers: %s", len(failed), failed[0].reason)

    def invalidate(self, tenant: str, tag: str | None) -> None:
        """Remove what points at answers that were removed: all of a tenant's, or those of runs with one tag.

        Others point at nothing from now on, and go when they are met or expire.
        """
        self.forget(tenant, None, None) if tag is None else self.remove(self.part(tenant, "tag", tag))

    def forget(self, tenant: str, thread: str | None, user: str | None) -> None:
        """Remove the questions of a tenant, or those of a thread and of a user."""
        if thread is None and user is None:
            self.remove({"tenant": self.digest("langcache", "tenant", tenant)})
        for what, name in (("thread", thread), ("user", user)):
            if name is not None:
                self.remove(self.part(tenant, what, name))

    def remove(self, attributes: Mapping[str, str]) -> None:
        """Remove all that has these attributes."""
        if (failed := self.wire.delete(attributes)) is not None:
            log.warning("questions that were removed stay in LangCache until they expire: %s", failed.reason)

    def drawer(self, tenant: str, scope: str, epoch: int) -> dict[str, str]:
        """What a question must have in common with those it is compared to."""
        return {
            "tenant": self.digest("langcache", "tenant", tenant),
            "scope": self.digest("langcache", "scope", tenant, scope, str(epoch)),
        }

    def part(self, tenant: str, what: str, name: str) -> dict[str, str]:
        """What is removed with a part of a tenant's answers; no more names than five may be had of a service."""
        mine = self.digest("langcache", "tenant", tenant)
        return {"tenant": mine, what: self.digest("langcache", what, tenant, name)}

    def attributes(self, kept: Kept) -> dict[str, str]:
        """What a question is found and removed by; each name has one value, so of several tags none is said."""
        entry, tenant = kept.entry, kept.tenant
        tag = next(iter(entry.tags)) if len(entry.tags) == 1 else None
        found = self.drawer(tenant, entry.scope, entry.epoch)
        for what, name in (("user", kept.user), ("thread", kept.thread), ("tag", tag)):
            found |= {} if name is None else self.part(tenant, what, name)
        return found

    def close(self) -> None:
        """Give connections back."""
        self.wire.close()


def joined(recalled: Recalled, cached: Cached, found: tuple[Near, ...] | Missing) -> Recalled:
    """What a recall brought, with what was found besides."""
    added = {"langcache": found} if isinstance(found, Missing) else {"cache": replace(cached, near=found)}
    return Recalled(sections={**recalled.sections, **added})


def tellable(text: str) -> str | None:
    """A question as the service may be told it; None if it may not: it is too long for the service, or no text."""
    if not text.strip() or len(text) > LONGEST_CHARS:
        return None
    told = redact(text).text
    try:
        told.encode()
    except UnicodeEncodeError:
        return None
    return told if len(told) <= LONGEST_CHARS else None


def pointed(found: Sequence[Found]) -> dict[str, Found]:
    """The answers that are pointed at, by name; what is not ours, or of a newer version, is not there."""
    named: dict[str, Found] = {}
    for one in found:
        name = one.response.removeprefix(POINTER)
        if name != one.response and name.isascii() and name.isalnum() and len(name) <= 64 and name not in named:
            named[name] = one
    return named
