"""What a recall asks for, by section: the commands that bring it, and the value that their replies make.

All of it is pure, and shared by the sync and the async way. A section whose replies did not come, or are not what
they should be, is `Missing` with the reason; the others are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis

from steprouter.answering.budgets import Budget
from steprouter.caching.orders import Lookup
from steprouter.memory.journal import JournalPlace
from steprouter.memory.recall import Missing
from steprouter.memory.session import RECENT
from steprouter.step.step import Step

from ..live.journal_cipher import Cipher
from ..live.journal_records import read_entries
from ..live.ledger_orders import Counter, counters
from .learned_records import CALIBRATION, LEDGER, PACE, SHIFT, VERIFIER, drift_field, read_learned
from .pipeline import Command
from .records import newer, pairs, read_counters, read_session
from .schema import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is to be recalled.

    Attributes:
        places: The tenant's keys.
        step: The step that begins.
        vector: Its text as float32 bytes; None if it was not embedded.
        models: Names of the router's models.
        lookup: Which cached answers are looked for; None looks for none.
        journal: Where the call's journal is; None looks for none.
    """

    places: Places
    step: Step
    vector: bytes | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    lookup: Lookup | None = None
    journal: JournalPlace | None = None


class Section(Protocol):
    """One part of what is known when a step begins.

    Promises:
        - `commands` is empty where the section has nothing to ask, and it is then left out;
        - `parse` gets one reply for each command, none of them an error, and gives the value or `Missing`;
        - neither does any I/O.
    """

    @property
    def name(self) -> str:
        """What `Recalled.section` calls it."""
        ...

    def commands(self, query: Query) -> Sequence[Command]:
        """What to ask."""
        ...

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """What the replies say."""
        ...


class SessionSection:
    """The thread's session; nothing outside a thread."""

    name = "session"

    def commands(self, query: Query) -> Sequence[Command]:
        """The session and its recent steps, newest first."""
        thread = query.step.place.thread
        if thread is None:
            return ()
        session, recent = query.places.session(thread)
        return ("HGETALL", session), ("ZREVRANGE", recent, 0, RECENT - 1)

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """A `Session`."""
        return read_session(pairs(replies[0]), replies[1])


class CountersSection:
    """The tallies of the step's kind, and of the kind at its node."""

    name = "counters"

    def commands(self, query: Query) -> Sequence[Command]:
        """One hash, or two."""
        kind, node = str(query.step.kind), query.step.place.node
        of_kind: Command = ("HGETALL", query.places.counters(kind))
        return (of_kind,) if node is None else (of_kind, ("HGETALL", query.places.counters(kind, node)))

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """`Counters`."""
        return read_counters(pairs(replies[0]), pairs(replies[1]) if len(replies) > 1 else None)


class LearnedSection:
    """What else the tenant's steps have taught, as far as it concerns the step: its kind, its node, the models."""

    name = "learned"

    def fields(self, query: Query) -> list[str]:
        """The parts that are asked for."""
        kind = str(query.step.kind)
        mine = (LEDGER, VERIFIER + kind, SHIFT + kind, CALIBRATION + kind, query.places.pace(query.step.place.node))
        return [*mine, *map(drift_field, query.models)]

    def commands(self, query: Query) -> Sequence[Command]:
        """Some fields of one hash, so that a reply is small however many nodes and models there are."""
        return (("HMGET", query.places.learned(), *self.fields(query)),)

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """`Learned`."""
        fields = zip(self.fields(query), replies[0], strict=True)
        node = query.step.place.node
        nodes = {} if node is None else {query.places.pace(node).removeprefix(PACE): node}
        return read_learned({name.encode(): text for name, text in fields if text is not None}, nodes=nodes)


class HealthSection:
    """The shared health of every model, by name.

    Args:
        settings: A digest of each model's settings, by name; with others it is another deployment.
    """

    name = "health"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = settings or {}

    def commands(self, query: Query) -> Sequence[Command]:
        """All records at once: keys of a deployment are of one slot."""
        keys = [query.places.health(model, self.settings.get(model, "")) for model in query.models]
        return (("MGET", *keys),) if keys else ()

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """Texts of records by model, unread; models of which nothing is kept are left out."""
        return {model: text for model, text in zip(query.models, replies[0], strict=True) if text is not None}


class BudgetSection:
    """How much of the step's budgets is used up, what is set aside for calls under way included.

    Args:
        budgets: All budgets of the router.
    """

    name = "budget"

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self.budgets = tuple(budgets)
        self.last: tuple[Step | None, list[Counter]] = (None, [])

    def counters(self, query: Query) -> list[Counter]:
        """Where it is kept."""
        step, found = self.last
        if step is not query.step:
            found = counters(query.places.keys, self.budgets, query.step, query.step.started_at)
            self.last = (query.step, found)
        return found

    def commands(self, query: Query) -> Sequence[Command]:
        """Three fields of each counter."""
        return tuple(("HMGET", counter.key, "v", "usd", "tokens") for counter in self.counters(query))

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """Shares by the names of budgets, 0 to 1 and beyond."""
        found: dict[str, float] = {}
        for counter, (version, usd, tokens) in zip(self.counters(query), replies, strict=True):
            if (missing := newer(version)) is not None:
                return missing
            if not (usd or b"0").isdigit() or not (tokens or b"0").isdigit():
                return Missing(reason="something else lies where budgets are kept")
            found |= {one.name: one.share(int(usd or 0), int(tokens or 0)) for one in counter.budgets}
        return found


class JournalSection:
    """What interrupted runs of this very call had said.

    Args:
        cipher: Opens what was encrypted; None where no key is set.
    """

    name = "journal"

    def __init__(self, cipher: Cipher | None = None) -> None:
        self.cipher = cipher

    def commands(self, query: Query) -> Sequence[Command]:
        """The hash of the call's place; nothing outside a graph."""
        place = query.journal
        return () if place is None else (("HGETALL", query.places.journal(place.name)),)

    def parse(self, query: Query, replies: Sequence[Any]) -> Any:
        """The `JournalEntry` of each."""
        assert query.journal is not None
        key, tenant = query.places.journal(query.journal.name), query.places.tenant
        return read_entries(pairs(replies[0]), key, tenant, self.cipher)


REMEMBERED: tuple[Section, ...] = (SessionSection(), CountersSection(), LearnedSection())
"""What every router with a store recalls."""

LIVE: tuple[Section, ...] = (HealthSection(), BudgetSection(), JournalSection())
"""What is recalled by those who keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One round trip: the commands of all sections, and which section each belongs to.

    Attributes:
        query: What is to be recalled.
        sections: Sections that ask something, each with its number of commands.
        commands: All commands in order.
    """

    query: Query
    sections: tuple[tuple[Section, int], ...]
    commands: tuple[Command, ...]


def plan(query: Query, sections: Sequence[Section]) -> Trip:
    """The trip that brings the sections."""
    asked = [(section, tuple(section.commands(query))) for section in sections]
    return Trip(
        query=query,
        sections=tuple((section, len(commands)) for section, commands in asked if commands),
        commands=tuple(command for _, commands in asked for command in commands),
    )


def read(trip: Trip, replies: Sequence[Any], missing: Missing | None) -> dict[str, Any]:
    """The sections that the replies make.

    Args:
        trip: What was asked.
        replies: What was answered in time.
        missing: Why there are no more replies; None if all came.
    """
    found: dict[str, Any] = {}
    start = 0
    for section, size in trip.sections:
        mine = replies[start : start + size]
        start += size
        found[section.name] = value(section, trip.query, mine) if len(mine) == size else missing
    return found


def value(section: Section, query: Query, replies: Sequence[Any]) -> Any:
    """The value of one section, or why there is none."""
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            return Missing(reason=f"the store refused: {reply}")
    return section.parse(query, replies)
