"""Writes what ended steps leave in memory, a batch in one round trip; writing it again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from itertools import chain, islice
from typing import Any, TypeGuard

from steprouter.memory.labels import Label, Source
from steprouter.memory.outcomes import Remembered
from steprouter.memory.recall import Missing
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import SessionUpdate

from ..connect import Connection
from ..keys import Keys
from .patient import answers, ask, refusal
from .pipeline import Command
from .query import coded
from .records import update_arguments
from .schema import VERSION, Places, Space
from .scripts import LABEL, OUTCOME, SESSION


def digest_of(script: str) -> str:
    """What Redis calls a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


DIGESTS = {script: digest_of(script) for script in (SESSION, OUTCOME, LABEL)}

LOADING: tuple[Command, ...] = tuple(("SCRIPT", "LOAD", script) for script in (SESSION, OUTCOME, LABEL))
"""Sent before each batch: a restarted or flushed server has forgotten them, and they take less than 0.1 ms."""


NOTHING_TAUGHT = ("", "", "", "", "")
"""For the script of outcomes: an attempt whose answer was not given, of a version that nobody names."""

HOPELESS = ("WRONGTYPE", "user_script")
"""How refusals begin that another attempt would meet again: something else lies at the key, or makes no sense. The
others (out of memory, read only, loading, no permission …) pass when the server is well again."""


def write(connection: Connection, keys: Keys, space: Space, batch: Sequence[Remembrance], now: float) -> Missing | None:
    """Keep a batch; why it was not (wholly) kept, or None.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Where the vectors live.
        batch: What to keep; what was kept before is not counted twice.
        now: Unix time in seconds.
    """
    replies = write_each(connection, keys, space, batch, now)
    return replies if isinstance(replies, Missing) else refusal(replies)


def write_each(
    connection: Connection, keys: Keys, space: Space, batch: Sequence[Remembrance], now: float
) -> Missing | list[Exception | None]:
    """As `write`; gives for each of the batch what the server refused it with, None where it was kept."""
    commands = [remembrance_commands(keys, space, one, now) for one in batch]
    if not any(commands):
        return [None] * len(batch)
    replies = ask(connection, [*LOADING, *chain.from_iterable(commands)])
    if isinstance(replies, Missing):
        return replies
    left = iter(replies[len(LOADING) :])
    return [next(filter(is_error, list(islice(left, len(mine)))), None) for mine in commands]


def is_error(reply: Any) -> TypeGuard[Exception]:
    """Whether the server refused."""
    return isinstance(reply, Exception)


def is_hopeless(refused: Exception) -> bool:
    """Whether another attempt would be refused as well."""
    return str(refused).startswith(HOPELESS)


def write_labels(
    connection: Connection,
    keys: Keys,
    tenant: str,
    labels: Sequence[Label],
    now: float,
    *,
    by_digest: bool = False,
) -> Missing | list[int]:
    """Label outcomes of one tenant; `by_digest` says that the labels name records, not steps.

    Returns:
        For each label 1 if it was taken, 0 if a better one is there, 2 if it waits for its outcome, -1 if a newer
        version wrote the outcome; or why nothing is known.
    """
    places = Places(keys=keys, tenant=tenant)
    command = share_command if by_digest else label_command
    commands = [*LOADING, *(command(places, one, now) for one in labels)]
    replies = answers(connection, *commands)
    return replies if isinstance(replies, Missing) else [int(reply) for reply in replies[len(LOADING) :]]


def remembrance_commands(keys: Keys, space: Space, one: Remembrance, now: float) -> list[Command]:
    """What keeps one ended step."""
    places = Places(keys=keys, tenant=one.tenant)
    commands = [outcome_command(places, space, outcome, now) for outcome in one.outcomes]
    if one.session is not None and one.thread is not None:
        commands.append(session_command(places, one.thread, one.user, one.session))
    commands += [label_command(places, label, now) for label in one.labels]
    return commands


def session_command(places: Places, thread: str, user: str | None, update: SessionUpdate) -> Command:
    """What adds a step to its session."""
    owner = "" if user is None else places.keys.id_tag(places.tenant, user)
    return ("EVALSHA", DIGESTS[SESSION], 2, *places.session(thread), *update_arguments(update), owner)


def label_command(places: Places, label: Label, now: float) -> Command:
    """What labels an outcome, or lets the label wait for it."""
    outcome = places.outcome(label.step_id)
    digest = outcome.rpartition(":")[2]
    return ("EVALSHA", DIGESTS[LABEL], 2, outcome, places.pending(label.step_id), repr(now), digest, *told(label))


def share_command(places: Places, label: Label, now: float) -> Command:
    """What labels an outcome whose digest the label names."""
    outcome, digest = places.outcome_of(label.step_id), label.step_id
    return ("EVALSHA", DIGESTS[LABEL], 2, outcome, places.pending(digest), repr(now), digest, *told(label))


def told(label: Label) -> tuple[str, ...]:
    """A label as the scripts take it."""
    return str(label.rank), repr(label.at), repr(float(label.score)), repr(float(label.confidence)), str(label.source)


def outcome_command(places: Places, space: Space, outcome: Remembered, now: float) -> Command:
    """What keeps an outcome and counts it."""
    key, order = places.outcome(outcome.id), places.outcomes(outcome.kind)
    counters = places.counters(outcome.kind)
    node = counters if outcome.node is None else places.counters(outcome.kind, outcome.node)
    # An episode is judged by what was given; what a check had found out did it no harm.
    episode = places.episode(outcome.thread) if outcome.thread is not None and outcome.given else order
    taken = (outcome.usage.output_tokens, outcome.seconds, outcome.first_token_seconds, outcome.usd)
    effect = [places.effect(outcome.kind)] if outcome.sides else []
    return (
        "EVALSHA", DIGESTS[OUTCOME], 7 + len(effect), key, order, counters, places.pending(outcome.id), episode, node,
        places.learned(), *effect,
        repr(now), key.rpartition(":")[2], *("" if one is None else repr(one) for one in taken),
        *told(outcome.label), *taught(places, outcome), *fields_of(places, space, outcome),
    )  # fmt: skip


def taught(places: Places, outcome: Remembered) -> tuple[str, ...]:
    """What a step teaches, as the script takes it."""
    version = "" if outcome.version is None else str(outcome.version)
    gain = outcome.gain
    if gain is None:
        return (*NOTHING_TAUGHT[:-1], version)
    begins = "" if gain.begins is None else str(int(gain.begins))
    bucket = "" if gain.bucket is None else str(gain.bucket)
    return repr(float(gain.charge)), places.pace(gain.node), begins, bucket, version


def fields_of(places: Places, space: Space, outcome: Remembered) -> list[str | bytes]:
    """The fields of an outcome's hash but its label, flat."""
    tag = places.keys.id_tag
    fields: dict[str, str | bytes | None] = {
        "v": str(VERSION),
        "tenant": places.keys.tenant_tag(places.tenant),
        "kind": outcome.kind,
        "node": None if outcome.node is None else tag(places.tenant, outcome.node),
        "model": coded(outcome.model),
        "thread": None if outcome.thread is None else tag(places.tenant, outcome.thread),
        "user": None if outcome.user is None else tag(places.tenant, outcome.user),
        "at": repr(outcome.at),
        "seconds": repr(outcome.seconds),
        "first_token_seconds": None if outcome.first_token_seconds is None else repr(outcome.first_token_seconds),
        "input_tokens": str(outcome.usage.input_tokens),
        "output_tokens": str(outcome.usage.output_tokens),
        "usd": None if outcome.usd is None else repr(outcome.usd),
        "lesson": None if outcome.lesson is None else str(int(outcome.lesson)),
        "example": outcome.example,
        "refused": str(int(outcome.label.source is Source.FAILED_CHECK)),
        "again": "1" if outcome.again else None,
        "expected": None if outcome.expected is None else repr(float(outcome.expected)),
        "charge": None if outcome.gain is None else repr(float(outcome.gain.charge)),
        "space": None if outcome.vector is None else space.tag,
        space.field: outcome.vector,
    }
    return [part for name, value in fields.items() if value is not None for part in (name, value)]
