"""Places, journals, and a look at what is kept, as the tests of the journal need them."""

from __future__ import annotations

from itertools import count
from typing import Any

from steprouter.memory.journal import JournalEntry, JournalPlace
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, Missing
from steprouter.store.live.journal import Journal
from steprouter.store.live.journal_cipher import Cipher
from steprouter.store.memory.schema import Places
from steprouter.store.memory.sections import JournalSection, Query, plan, read

KEYS = Keys(secret=b"k" * 32)
NOW = 1_800_000_000.0
SERIAL = count()
PATIENT_SECONDS = 20.0


def place(name: str | None = None, **other: Any) -> JournalPlace:
    """A place of its own, unless it is named."""
    known: dict[str, Any] = {"tenant": "acme", "thread": "t-1", "user": "jane", "task": "task-1"}
    return JournalPlace(**{**known, "name": name or f"place {next(SERIAL)}", **other})


def journal(connection: Connection, cipher: Cipher | None = None) -> Journal:
    return Journal(connection, lambda: KEYS, cipher=cipher)


def brought(connection: Connection, where: JournalPlace, cipher: Cipher | None = None) -> Any:
    """What a recall brings of a place."""
    step = Step(id="s", kind=StepKind.CHAT, place=Place(tenant=where.tenant))
    query = Query(places=Places(keys=KEYS, tenant=where.tenant), step=step, journal=where)
    trip = plan(query, [JournalSection(cipher)])
    replies = connection.call(
        lambda client: [client.execute_command(*command) for command in trip.commands],
        deadline_seconds=PATIENT_SECONDS,
    )
    return read(trip, [], replies)["journal"] if isinstance(replies, Missing) else read(trip, replies, None)["journal"]


def text_in(connection: Connection, where: JournalPlace) -> str | None:
    """The text of the only journal in a place; None if there is none."""
    entries: tuple[JournalEntry, ...] = brought(connection, where)
    assert len(entries) <= 1
    return entries[0].text if entries else None


def key_of(where: JournalPlace) -> str:
    return Places(keys=KEYS, tenant=where.tenant).journal(where.name)
