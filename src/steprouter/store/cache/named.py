"""Answers by their names, with what is known of them: what somebody else found is read from our own store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from steprouter.caching.entry import Entry, Tally
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from ..live.journal_cipher import Cipher
from ..memory.pipeline import Command, Replies, acarry_out, carry_out
from ..memory.schema import Places
from .records import read_entry, tally_of
from .scripts import TEXTS

FIELDS = (*TEXTS, "tally")

Known = Mapping[str, tuple[Entry, Tally] | None]
"""Answers by name with what is known of them; None for one that is not there."""


def read_named(
    connection: Connection, keys: Keys, cipher: Cipher | None, tenant: str, ids: Collection[str]
) -> Known | Missing:
    """A tenant's answers of these names, from Redis in one round trip."""
    places, replies = Places(keys=keys, tenant=tenant), Replies()
    done = connection.call(partial(carry_out, commands=commands(places, ids), replies=replies))
    return done if isinstance(done, Missing) else read(places, cipher, ids, replies)


async def aread_named(
    connection: Connection, keys: Keys, cipher: Cipher | None, tenant: str, ids: Collection[str]
) -> Known | Missing:
    """As `read_named`, without blocking the event loop."""
    places, replies = Places(keys=keys, tenant=tenant), Replies()
    done = await connection.acall(partial(acarry_out, commands=commands(places, ids), replies=replies))
    return done if isinstance(done, Missing) else read(places, cipher, ids, replies)


def commands(places: Places, ids: Collection[str]) -> list[Command]:
    """What reads them."""
    return [("HMGET", places.answer(one), *FIELDS) for one in ids]


def read(places: Places, cipher: Cipher | None, ids: Collection[str], replies: Sequence[Any]) -> Known | Missing:
    """What was read; one that is broken or newer is left out, as it is there and cannot be given."""
    found: dict[str, tuple[Entry, Tally] | None] = {}
    for name, reply in zip(ids, replies, strict=True):
        if isinstance(reply, Exception):
            return Missing(reason=f"the store refused: {reply}")
        parts = dict(zip(FIELDS, reply, strict=True))
        if all(value is None for value in reply):
            found[name] = None
        elif (entry := read_entry(parts, name, places, cipher)) is not None:
            try:
                found[name] = entry, tally_of(parts)
            except (TypeError, ValueError):
                continue
    return found
