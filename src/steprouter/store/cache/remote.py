"""Answers in Redis: written off the path in batches, removed and counted."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from steprouter.caching.orders import CacheStats, Counted, Kept, Lookup, Observed
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from ..live.journal_cipher import Cipher
from ..memory.index import Indexes, cache_index
from ..memory.patient import PATIENT_SECONDS, ask
from ..memory.pipeline import Command, Replies, acarry_out, carry_out
from ..memory.query import coded
from ..memory.records import pairs
from ..memory.schema import Places, Space
from ..memory.survey import asked
from ..memory.upkeep import Upkeep
from ..memory.write import is_hopeless
from .local import parts_of, stats_of, summed
from .pocket import Pocket
from .records import fields_of, read_pools
from .scripts import (
    EMPTY,
    KEEP,
    count_command,
    floor_command,
    look_command,
    observe_command,
    release_command,
    remove_command,
)
from .sections import Looked, read_look

log = logging.getLogger("steprouter.store")

BATCH = 64
"""Answers in one round trip: some milliseconds of the server's time."""

UNSAID = 1000
"""Observations of wrong answers that may wait for a store that is away."""

REMOVED_AT_ONCE = 500
"""Answers that one script looks at: a millisecond of the server's time."""

FIELDS = {"tag": "tags", "model": "model", "node": "node"}
"""The field of a record that says what it can be removed by."""


class RedisAnswers:
    """The answers that processes share. Nothing here is called on the path of a step but `look` and `alook`.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Where vectors live.
        indexes: What is known of the indexes.
        pocket: What this process has at hand.
        cipher: Seals and opens answers; None where no key is set.
        lease_seconds: How long others take an answer to be under way.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        space: Space,
        indexes: Indexes,
        pocket: Pocket,
        cipher: Cipher | None,
        lease_seconds: float,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.pocket = pocket
        self.cipher = cipher
        self.lease_seconds = lease_seconds
        self.upkeep = Upkeep(connection, keys, space, indexes, (cache_index(space),))
        self.unsaid: list[Observed] = []

    def places(self, tenant: str) -> Places:
        """The keys of a tenant."""
        return Places(keys=self.keys, tenant=tenant)

    def look(self, tenant: str, lookup: Lookup, now: float) -> Looked | Missing:
        """What is kept of a very question, asked with patience by who waits for it."""
        places, replies = self.places(tenant), Replies()
        use = partial(carry_out, commands=[self.look_command(places, lookup, now)], replies=replies)
        done = self.connection.call(use, deadline_seconds=PATIENT_SECONDS)
        return done if isinstance(done, Missing) else self.looked(places, lookup, replies)

    async def alook(self, tenant: str, lookup: Lookup, now: float) -> Looked | Missing:
        """As `look`, without blocking the event loop."""
        places, replies = self.places(tenant), Replies()
        use = partial(acarry_out, commands=[self.look_command(places, lookup, now)], replies=replies)
        done = await self.connection.acall(use, deadline_seconds=PATIENT_SECONDS)
        return done if isinstance(done, Missing) else self.looked(places, lookup, replies)

    def look_command(self, places: Places, lookup: Lookup, now: float) -> Command:
        """What looks for a very question."""
        return look_command(places, lookup, now, self.lease_seconds)

    def looked(self, places: Places, lookup: Lookup, replies: Replies) -> Looked | Missing:
        """What was found."""
        if isinstance(replies[0], Exception):
            return Missing(reason=f"the store refused: {replies[0]}")
        return read_look(replies[0], lookup.exact, places, self.cipher)

    def keep(self, batch: Sequence[Kept], now: float) -> None:
        """Write answers and give their leases back; what cannot be written is lost."""
        for first in range(0, len(batch), BATCH):
            self.keep_some(batch[first : first + BATCH], now)
        self.upkeep.run((), now)

    def keep_some(self, batch: Sequence[Kept], now: float) -> None:
        """As `keep`, in one round trip."""
        commands = [self.keep_command(one, now) for one in batch]
        replies = ask(self.connection, commands) if commands else []
        if isinstance(replies, Missing):
            log.warning("%d answers are not kept to be given again: %s", len(batch), replies.reason)
            return
        for one, reply in zip(batch, replies, strict=True):
            if isinstance(reply, Exception):
                log.warning("an answer is not kept to be given again: the store refused: %s", reply)
            elif isinstance(reply, int) and reply > 0 and one.entry.expires_at > now:
                self.pocket.put(one.tenant, one.entry, reply - 1)

    def keep_command(self, one: Kept, now: float) -> Command:
        """What writes an answer, or gives only the lease back where it cannot be written."""
        entry, places = one.entry, self.places(one.tenant)
        seconds = math.ceil(entry.expires_at - now)
        try:
            fields = fields_of(places, self.space, one, self.cipher) if seconds > 0 else []
        except (TypeError, ValueError) as error:
            log.warning("an answer is not kept to be given again: %s", error)
            fields = []
        if not fields:
            return release_command(places, entry.id, one.holder)
        floors = [places.cached_floor(*part) for part in parts_of(entry)]
        keys = [places.answer(entry.id), places.cached("state"), places.filling(entry.id), places.cached("ids")]
        return (
            "EVAL", KEEP, len(keys) + len(floors), *keys, *floors,
            one.holder, str(entry.epoch), seconds, entry.id, repr(entry.expires_at), repr(now), *fields,
        )  # fmt: skip

    def release(self, tenant: str, exact: str, holder: str) -> None:
        """Give a lease back; one that cannot be given back ends by itself."""
        ask(self.connection, [release_command(self.places(tenant), exact, holder)])

    def observe(self, batch: Sequence[Observed]) -> None:
        """Add observations; those of wrong answers wait for a store that is away, and may then be counted twice."""
        batch, self.unsaid = [*self.unsaid, *batch], []
        for first in range(0, len(batch), BATCH):
            some = batch[first : first + BATCH]
            done = ask(self.connection, [observe_command(self.places(one.tenant), one) for one in some])
            if isinstance(done, Missing):
                self.wait(batch[first:], done.reason)
                return
            told = zip(some, done, strict=True)
            refused = [(one, said) for one, said in told if isinstance(said, Exception) and not is_hopeless(said)]
            if refused:
                self.wait([one for one, _ in refused], f"the store refused: {refused[0][1]}")

    def wait(self, batch: Sequence[Observed], why: str) -> None:
        """Let those of wrong answers wait; the others would only make the cache bolder."""
        log.warning("%d observations of cached answers are not counted: %s", len(batch), why)
        self.unsaid = [*self.unsaid, *(one for one in batch if one.wrong > 0)][-UNSAID:]

    def count(self, batch: Sequence[Counted], now: float) -> None:
        """Add to the counts; what cannot be added is lost."""
        sums = summed(batch)
        if sums:
            ask(self.connection, [count_command(self.places(tenant), one) for tenant, one in sums.items()])
        self.upkeep.run((), now)

    def invalidate(self, tenant: str, parts: Mapping[str, str]) -> int:
        """Remove answers that have all these parts, all answers where none is named; how many.

        Raises:
            StoreError: The store is away.
        """
        places = self.places(tenant)
        ids = places.cached("ids")
        first = floor_command(places, parts) if parts else ("EVAL", EMPTY, 2, places.cached("state"), ids)
        known = asked(self.connection, [("ZRANGE", ids, 0, -1), first])[0]
        names = [one.decode("ascii") for one in known if one.isalnum()]
        conditions = [(FIELDS[what], self.tag(tenant, what, name)) for what, name in parts.items()]
        commands = [
            remove_command(places, names[at : at + REMOVED_AT_ONCE], conditions)
            for at in range(0, len(names), REMOVED_AT_ONCE)
        ]
        gone = sum(map(int, asked(self.connection, commands)))
        if parts:  # again: what was read of a record before it went must not be at hand after
            asked(self.connection, [first])
        return gone

    def tag(self, tenant: str, what: str, name: str) -> str:
        """How a part stands in a record."""
        return coded(name) if what == "model" else self.keys.id_tag(tenant, name)

    def stats(self, tenant: str) -> CacheStats:
        """What there is and what it has saved.

        Raises:
            StoreError: The store is away.
        """
        places = self.places(tenant)
        wanted: list[Command] = [
            ("ZRANGE", places.cached("ids"), 0, -1),
            ("HGETALL", places.cached("pools")),
            ("HGETALL", places.cached("counts")),
        ]
        ids, pools, counts = asked(self.connection, wanted)
        sizes = asked(
            self.connection, [("HGET", places.answer(one.decode("ascii")), "size") for one in ids if one.isalnum()]
        )
        there = [int(size) for size in sizes if size is not None and size.isdigit()]
        return stats_of(len(there), sum(there), read_pools(flat(pools)), read_counts(tenant, pairs(counts)))


def flat(reply: Any) -> list[bytes]:
    """A hash as names and values in turns, as RESP2 brings it and a script passes it on."""
    return [part for pair in pairs(reply).items() for part in pair]


def read_counts(tenant: str, kept: Mapping[bytes, bytes]) -> Counted:
    """What was counted of a tenant; what cannot be read counts as nothing."""

    def number(name: bytes) -> float:
        try:
            found = float(kept.get(name, b"0"))
        except ValueError:
            return 0.0
        return found if math.isfinite(found) else 0.0

    return Counted(
        tenant=tenant,
        exact=int(number(b"exact")),
        semantic=int(number(b"semantic")),
        misses=int(number(b"misses")),
        saved_usd=number(b"saved_usd"),
        saved_seconds=number(b"saved_seconds"),
    )
