"""What a recall asks the cache for: the answer to the very question, and answers to questions like it.

Two sections, so that a search which is refused or late costs only what it would have brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steprouter.caching.entry import Cached, Entry, Near, Tally
from steprouter.memory.recall import Missing

from ..live.journal_cipher import Cipher
from ..memory.index import Indexes, IndexSpec
from ..memory.pipeline import Command
from ..memory.query import Hit, knn, parse
from ..memory.schema import Places
from ..memory.sections import Query
from .records import drawer, read_entry, read_pools, tally_of
from .scripts import TEXTS, look_command

CANDIDATES = 4
"""Cached answers that are brought: the nearest may have been found wrong, or say another number."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the store has of a very question.

    Attributes:
        exact: The answer; None where there is none.
        pools: What is known of all answers of the tenant.
        epoch: Of the tenant's answers.
        revision: Of the tenant's answers when it was looked at.
        holder: Who is getting the answer, the asker included; None where nobody is.
    """

    exact: Entry | None
    pools: dict[str, Tally]
    epoch: int
    revision: int
    holder: str | None

    def cached(self, holder: str, near: tuple[Near, ...] = ()) -> Cached:
        """The same, for whoever asked."""
        filled_by = None if self.holder == holder else self.holder
        return Cached(exact=self.exact, near=near, pools=self.pools, epoch=self.epoch, filled_by=filled_by)


class CacheSection:
    """The answer to the very question; where there is none, whoever asks first is to get it.

    Args:
        lease_seconds: How long others take it to be under way.
        cipher: Opens answers; None where no key is set.
    """

    name = "cache"

    def __init__(self, lease_seconds: float, cipher: Cipher | None) -> None:
        self.lease_seconds = lease_seconds
        self.cipher = cipher
        self.is_known = False

    def commands(self, query: Query) -> Sequence[Command]:
        """One script, by its digest once the server has answered it."""
        if query.lookup is None:
            return ()
        now, known, self.is_known = query.step.started_at, self.is_known, False
        return (look_command(query.places, query.lookup, now, self.lease_seconds, is_known=known),)

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """`Looked`."""
        assert query.lookup is not None
        self.is_known = True
        return read_look(replies[0], query.lookup.exact, query.places, self.cipher)


def read_look(reply: Any, exact: str, places: Places, cipher: Cipher | None) -> Looked | Missing:
    """What the script says that looks for a very question."""
    epoch, revision, lease, pools, kept = reply
    if not (epoch.isdigit() and revision.isdigit()):
        return Missing(reason="something else lies where the state of the cache is kept")
    entry = read_entry(dict(zip(TEXTS, kept, strict=True)), exact, places, cipher) if kept else None
    holder = lease.partition(b" ")[2].decode("utf-8", "replace") or None if lease else None
    return Looked(entry, read_pools(pools), int(epoch), int(revision), holder)


class NearSection:
    """Answers to the questions of the step's scope that are likest.

    Args:
        spec: The index of cached answers.
        indexes: Which indexes see every record.
        known_epoch: The epoch of a tenant's answers as this process last saw it; 0 if it never has.
        cipher: Opens answers; None where no key is set.
    """

    name = "near"

    def __init__(
        self, spec: IndexSpec, indexes: Indexes, known_epoch: Callable[[str], int], cipher: Cipher | None
    ) -> None:
        self.spec = spec
        self.indexes = indexes
        self.known_epoch = known_epoch
        self.cipher = cipher
        self.fields = (*(TEXTS[:-1] if cipher is None else TEXTS[-1:]), "tally", "refuted")

    def commands(self, query: Query) -> Sequence[Command]:
        """One search, once the index is complete: before, a miss would mean nothing."""
        lookup = query.lookup
        if lookup is None or lookup.semantic is None or isinstance(lookup.vector, Missing):
            return ()
        if not self.indexes.ready(self.spec.alias):
            return ()
        vector = lookup.vector.astype("<f4", copy=False).tobytes()
        places, epoch = query.places, self.known_epoch(query.places.tenant)
        where = {"tenant": places.keys.tenant_tag(places.tenant), "scope": lookup.semantic}
        if epoch:  # so that no answer of before the cache was emptied stands before one that is there
            where = {"drawer": drawer(places, lookup.semantic, epoch)}
        return (knn(self.spec, vector, k=CANDIDATES, where=where, fields=self.fields),)

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """Each as `Near`, the likest first; what is not of the tenant and the scope is not there."""
        lookup, places = query.lookup, query.places
        assert lookup is not None
        prefix, found = places.answer("x")[:-1], list[Near]()
        for hit in parse(replies[0]).hits:
            one = self.near(hit, prefix, places)
            if one is not None and one.entry.scope == lookup.semantic:
                found.append(one)
        return tuple(found)

    def near(self, hit: Hit, prefix: str, places: Places) -> Near | None:
        """An answer that was found; None if it cannot be read, or is of another tenant."""
        name = hit.key.removeprefix(prefix)
        if not (name.isascii() and name.isalnum()):
            return None
        parts: Mapping[str, bytes | None] = hit.fields
        if parts.get("refuted") is not None:
            return None
        entry = read_entry(parts, name, places, self.cipher)
        try:
            return None if entry is None else Near(entry=entry, similarity=1 - hit.distance, tally=tally_of(parts))
        except (TypeError, ValueError):
            return None
