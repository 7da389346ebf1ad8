"""A tenant's tallies, outcomes and lessons on their way to a file, read from the store in pieces."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..connect import Connection
from ..keys import Keys
from .exchange_lessons import leaving_lessons
from .lines import LessonLine, OutcomeLine, TallyLine
from .pipeline import Command
from .records import TALLY_FIELDS, newer, pairs, read_tally
from .schema import Places, Space
from .survey import CHUNK, Named, asked, tenant_keys

TOLD = ("v", "kind", "node", "model", "thread", "user", "at", "score", "weight", "source", "labelled_at", "number",
        "number_node", "seconds", "first_token_seconds", "input_tokens", "output_tokens", "usd", "lesson")  # fmt: skip
"""Fields of an outcome that are exported."""

TEXTS = ("kind", "node", "model", "thread", "user", "source")
COUNTS = ("number", "number_node", "input_tokens", "output_tokens")


@dataclass(slots=True)
class Leaving:
    """What is on its way out."""

    tallies: int = 0
    outcomes: int = 0
    lessons: int = 0
    without_vector: int = 0
    left_out: int = 0


def leaving_lines(
    connection: Connection, keys: Keys, space: Space, tenant: str, leaving: Leaving
) -> Iterator[TallyLine | OutcomeLine | LessonLine]:
    """The tallies, the outcomes in the order in which their labels were counted, which rebuilds tallies, the lessons.

    Of all outcomes only the names are held at once: some hundred bytes each.
    """
    tallies: dict[bytes, Named] = {}
    found: set[tuple[str, int, str]] = set()
    lessons: set[str] = set()
    for chunk in tenant_keys(connection, keys, tenant):
        tallies |= {one.key: one for one in chunk if one.label == "counters"}
        lessons |= {one.id for one in chunk if one.label == "lesson"}
        outcomes = [one for one in chunk if one.label == "outcome"]
        known = asked(connection, [("HMGET", one.key, "kind", "number") for one in outcomes], besides="WRONGTYPE")
        for one, reply in zip(outcomes, known, strict=True):
            kind, number = (None, None) if isinstance(reply, Exception) else reply
            found.add(
                (
                    (kind or b"").decode("ascii", "replace"),
                    int(number) if number is not None and number.isdigit() else 0,
                    one.id,
                )
            )
    for one in tallies.values():
        yield from leaving_tallies(connection, one, leaving)
    ordered, places = sorted(found), Places(keys=keys, tenant=tenant)
    for first in range(0, len(ordered), CHUNK):
        yield from leaving_outcomes(connection, places, space, ordered[first : first + CHUNK], leaving)
    names = sorted(lessons)
    for first in range(0, len(names), CHUNK):
        for line in leaving_lessons(connection, places, space, names[first : first + CHUNK]):
            leaving.lessons += 1
            yield line


def leaving_tallies(connection: Connection, one: Named, leaving: Leaving) -> Iterator[TallyLine]:
    """The tallies of a kind, or of a kind at a node."""
    for model, text in pairs(asked(connection, [("HGETALL", one.key)])[0]).items():
        tally = read_tally(text)
        numbers = {} if tally is None else {name: getattr(tally, name) for name in TALLY_FIELDS}
        try:
            line = TallyLine(kind=one.kind, node=one.id or None, model=model.decode("ascii", "replace"), **numbers)
        except ValueError:  # newer, or broken
            leaving.left_out += 1
            continue
        leaving.tallies += 1
        yield line


def leaving_outcomes(
    connection: Connection, places: Places, space: Space, names: Sequence[tuple[str, int, str]], leaving: Leaving
) -> Iterator[OutcomeLine]:
    """The outcomes of these kinds and digests."""
    commands: list[Command] = []
    for kind, _, digest in names:
        order = places.outcomes(kind) if kind.isidentifier() else places.outcomes("chat")
        commands += [("HMGET", places.outcome_of(digest), *TOLD, space.field), ("ZSCORE", order, digest)]
    replies = asked(connection, commands, besides="WRONGTYPE")
    for (_, _, digest), row, changed in zip(names, replies[::2], replies[1::2], strict=True):
        line = None if isinstance(row, Exception) else outcome_line(digest, row, changed)
        if line is None:
            leaving.left_out += 1
            continue
        leaving.outcomes += 1
        leaving.without_vector += line.vector is None
        yield line


def outcome_line(digest: str, row: Sequence[bytes | None], changed: float | None) -> OutcomeLine | None:
    """An outcome as a line; None if it has expired, is broken, or a newer version wrote it."""
    kept = {name: value.decode("ascii", "replace") for name, value in zip(TOLD, row, strict=False) if value is not None}
    version, vector = row[0], row[-1]
    if version is None or newer(version) is not None:
        return None
    try:
        fields: dict[str, Any] = {name: float(text) for name, text in kept.items() if name not in (*TEXTS, "v")}
        fields |= {name: kept[name] for name in TEXTS if name in kept}
        fields |= {name: int(float(kept[name])) for name in COUNTS if name in kept}
        fields["lesson"] = None if "lesson" not in kept else kept["lesson"] == "1"
        fields["changed"] = float(changed or kept["labelled_at"])
        fields["vector"] = None if vector is None else base64.b64encode(vector).decode()
        return OutcomeLine(record=digest, **fields)
    except (ValueError, KeyError, OverflowError):
        return None
