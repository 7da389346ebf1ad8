"""Looks after memory off the path: indexes that are complete, and kinds that do not grow without end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from .compact import compact, due
from .index import Building, Indexes, IndexSpec, outcomes_index
from .patient import answers
from .schema import Places, Space

log = logging.getLogger("steprouter.store")

ENSURE_SECONDS = 5.0
"""How often indexes are looked at: how soon one is made anew on a server that came back empty."""

GROW_SECONDS = 60.0
"""How often their size is."""

COUNT_EVERY = 256
"""Outcomes of a kind after which this process counts those of all: a fortieth of what is kept of a kind."""


class Upkeep:
    """What has to be done now and then; called by the thread that writes, and costs it a comparison when it is not due.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Where vectors live.
        indexes: What is known of the indexes.
        specs: The indexes to keep.
    """

    def __init__(
        self, connection: Connection, keys: Keys, space: Space, indexes: Indexes, specs: Sequence[IndexSpec] = ()
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.indexes = indexes
        self.specs = tuple(specs) or (outcomes_index(space),)
        self.ensure_at: float | None = None
        self.grow_at = 0.0
        self.written: dict[tuple[str, str], int] = {}
        self.refused: set[str] = set()

    def run(self, written: Iterable[tuple[str, str]], now: float) -> None:
        """Do what is due.

        Args:
            written: Tenant and kind of each outcome that was just written.
            now: Unix time in seconds.
        """
        for place in written:
            self.written[place] = self.written.get(place, 0) + 1
            if self.written[place] >= COUNT_EVERY:
                self.written[place] = 0
                self.tidy(*place, now)
        if self.ensure_at is None:
            # Not beside a process's first steps: making an index loads redisvl, a quarter of a second.
            self.ensure_at = now + ENSURE_SECONDS
        if now >= self.ensure_at:
            self.ensure_at = now + ENSURE_SECONDS
            for spec in self.specs:
                self.ensure(spec, now)

    def ensure(self, spec: IndexSpec, now: float) -> None:
        """See that an index is there, and of the right sort."""
        try:
            self.indexes.ensure(spec)
            if now >= self.grow_at:
                state = self.indexes.grow(spec)
                self.grow_at = now + (ENSURE_SECONDS if isinstance(state, Building) else GROW_SECONDS)
        except StoreError as error:
            if spec.alias not in self.refused:
                self.refused.add(spec.alias)
                log.warning("memory is not searched: %s", error)

    def tidy(self, tenant: str, kind: str, now: float) -> None:
        """Drop what tells least, if a kind has grown too large."""
        size = answers(self.connection, ("ZCARD", Places(keys=self.keys, tenant=tenant).outcomes(kind)))
        if isinstance(size, Missing) or not due(int(size[0])):
            return
        done = compact(self.connection, self.keys, self.space, tenant, kind, now=now)
        log.info("outcomes of kind %s compacted: %s", kind, done)
