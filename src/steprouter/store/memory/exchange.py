"""Takes a tenant's outcomes, tallies and lessons out to a file, and takes a file in; both in pieces.

What a file does to tallies: a model's tallies at a kind are taken over whole where the tenant has none of it (or the
very same), with all they counted of steps that have expired since, and its outcomes are put beside them. Where the
tenant has counts of its own, the file's outcomes are counted in as if they ended now, exactly as far as they go, and
the file's tally is left. Either way an outcome that is there already changes nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from steprouter.errors import ConfigError
from steprouter.memory.face import Exported, Format, Loaded
from steprouter.memory.labels import RANK, Source
from steprouter.memory.lessons import LESSON_TTL_SECONDS
from steprouter.memory.outcomes import OUTCOME_TTL_SECONDS, Tally

from ..connect import Connection
from ..keys import Keys
from .exchange_lessons import lesson_fields
from .files import read_file, write_file
from .leaving import Leaving, leaving_lines
from .lines import EndLine, Header, LessonLine, OutcomeLine, TallyLine
from .pipeline import Command
from .records import TALLY_FIELDS, read_tally
from .schema import VERSION, Places, Space
from .scripts import OUTCOME
from .survey import CHUNK, asked
from .write import DIGESTS, LOADING, NOTHING_TAUGHT

KEEP = f"""
-- KEYS outcome, order; ARGV last change, digest, seconds to live; then fields
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], {OUTCOME_TTL_SECONDS})
return 1
"""
"""Keeps an outcome that its tallies have counted already, or a lesson."""


def header_of(keys: Keys, space: Space, tenant: str, now: float) -> Header:
    """What stands above a tenant's export."""
    return Header(
        schema_version=VERSION,
        embedder=space.identity,
        dimension=space.dimension,
        exported_at=now,
        key=keys.digest("export", keys.tenant_tag(tenant)),
    )


def export(
    connection: Connection, keys: Keys, space: Space, tenant: str, *, path: Path, form: Format, now: float
) -> Exported:
    """Write a tenant's outcomes and tallies to a file.

    Raises:
        ConfigError: The file cannot be written.
        StoreError: The store is away.
    """
    leaving = Leaving()
    lines = leaving_lines(connection, keys, space, tenant, leaving)
    write_file(path, form, header_of(keys, space, tenant, now), lines)
    return Exported(
        path=path,
        format=form,
        outcomes=leaving.outcomes,
        tallies=leaving.tallies,
        lessons=leaving.lessons,
        without_vector=leaving.without_vector,
        left_out=leaving.left_out,
    )


@dataclass(slots=True)
class Arriving:
    """A file on its way in.

    Attributes:
        header: What it says of itself.
        is_ours: Whether its digests mean here what they meant there.
        has_space: Whether its vectors are of the space in use.
        tallies: Its tallies.
        taken: Kinds and models whose tallies are taken over whole.
        loaded: What has come in so far.
    """

    header: Header
    is_ours: bool
    has_space: bool
    tallies: list[TallyLine] = field(default_factory=list)
    taken: set[tuple[str, str]] = field(default_factory=set)
    loaded: Loaded = field(default_factory=Loaded)


def load(
    connection: Connection, keys: Keys, space: Space, tenant: str, *, path: Path, form: Format, now: float
) -> Loaded:
    """Take over a file: read and checked whole before anything of it is written.

    Raises:
        ConfigError: The file cannot be read, or a line is wrong.
        StoreError: The store is away.
    """
    arriving = examine(keys, space, tenant, path, form)
    places = Places(keys=keys, tenant=tenant)
    take_tallies(connection, places, arriving)
    for chunk in chunked(line for line in read_file(path, form) if isinstance(line, OutcomeLine | LessonLine)):
        keep(connection, places, space, arriving, [line for line in chunk if isinstance(line, OutcomeLine)], now)
        keep_lessons(connection, places, space, arriving, [line for line in chunk if isinstance(line, LessonLine)], now)
    return arriving.loaded


def chunked(lines: Iterable[OutcomeLine | LessonLine]) -> Iterator[list[OutcomeLine | LessonLine]]:
    """The lines in pieces of a round trip."""
    left = iter(lines)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def examine(keys: Keys, space: Space, tenant: str, path: Path, form: Format) -> Arriving:
    """Read a file once and check it; its outcomes are not held.

    Raises:
        ConfigError: It cannot be read, a line is wrong, or it was cut off.
    """
    name, arriving, end, number = repr(str(path)), None, None, 0
    counts = {OutcomeLine: 0, LessonLine: 0}
    for number, line in enumerate(read_file(path, form), start=1):
        if end is not None:
            raise ConfigError(f"{name} line {number}: nothing may come after the end; export the memory anew")
        if isinstance(line, Header):
            is_ours = line.key == header_of(keys, space, tenant, 0.0).key
            has_space = (line.embedder, line.dimension) == (space.identity, space.dimension)
            arriving = Arriving(header=line, is_ours=is_ours, has_space=has_space)
        elif isinstance(line, EndLine):
            end = line
        elif arriving is not None and isinstance(line, TallyLine):
            arriving.tallies.append(line)
        elif arriving is not None and isinstance(line, OutcomeLine | LessonLine):
            counts[type(line)] += 1
            check_vector(f"{name} line {number}", line, arriving.header)
    if arriving is None:
        raise ConfigError(f"{name} must be an exported memory, and it is empty")
    if end is None or (end.tallies, end.outcomes, end.lessons) != (len(arriving.tallies), *counts.values()):
        raise ConfigError(f"{name} must be whole, and it was cut off after line {number}; export the memory anew")
    arriving.loaded = Loaded(is_anonymous=not arriving.is_ours)
    return arriving


def check_vector(where: str, line: OutcomeLine | LessonLine, header: Header) -> None:
    """Complain about a vector of another length than the header says.

    Raises:
        ConfigError: It is.
    """
    if line.vector is not None and len(base64.b64decode(line.vector)) != 4 * header.dimension:
        size = len(base64.b64decode(line.vector)) / 4
        raise ConfigError(
            f"{where}: vector: must have {header.dimension} numbers, got {size:g}; export the memory anew"
        )


def take_tallies(connection: Connection, places: Places, arriving: Arriving) -> None:
    """Take over the tallies of kinds and models that the tenant has none of."""
    whole = [line for line in arriving.tallies if line.node is None]
    commands = [("HGET", places.counters(line.kind), line.model) for line in whole]
    for line, text in zip(whole, asked(connection, commands), strict=True):
        if text is None or read_tally(text) == tally_of(line):
            arriving.taken.add((line.kind, line.model))
    mine = [
        line
        for line in arriving.tallies
        if (line.kind, line.model) in arriving.taken and (line.node is None or arriving.is_ours)
    ]
    new = asked(connection, [("HSETNX", counters_of(places, line), line.model, text_of(line)) for line in mine])
    arriving.loaded = replace(arriving.loaded, tallies=sum(new))


def counters_of(places: Places, line: TallyLine | OutcomeLine) -> str:
    """Where the tallies of a line's kind are, or of its node."""
    whole = places.counters(line.kind)
    return whole if line.node is None else f"{whole}:{line.node}"


def tally_of(line: TallyLine) -> Tally:
    """The tally that a line holds."""
    return Tally(**{name: getattr(line, name) for name in TALLY_FIELDS})


def text_of(line: TallyLine) -> str:
    """The tally that a line holds as the scripts write it."""
    return " ".join([str(VERSION), *(format(getattr(line, name), ".17g") for name in TALLY_FIELDS)])


def keep(
    connection: Connection,
    places: Places,
    space: Space,
    arriving: Arriving,
    lines: Sequence[OutcomeLine],
    now: float,
) -> None:
    """Keep some outcomes of a file, in one round trip."""
    fitting = [suited(line, arriving) for line in lines]
    fresh = [line for line in fitting if line.at + OUTCOME_TTL_SECONDS > now]
    commands = [
        kept_command(places, space, line, now)
        if (line.kind, line.model) in arriving.taken
        else counted_command(places, space, line, now)
        for line in fresh
    ]
    # With each round trip anew, as in `write`: a restarted server has forgotten its scripts.
    done = asked(connection, [*LOADING, *commands])[len(LOADING) :] if commands else []
    arriving.loaded = replace(
        arriving.loaded,
        outcomes=arriving.loaded.outcomes + sum(done),
        known=arriving.loaded.known + done.count(0),
        expired=arriving.loaded.expired + len(fitting) - len(fresh),
        without_vector=arriving.loaded.without_vector
        + sum(line.vector is not None and not arriving.has_space for line in lines),
    )


def keep_lessons(
    connection: Connection, places: Places, space: Space, arriving: Arriving, lines: Sequence[LessonLine], now: float
) -> None:
    """Keep some lessons of a file. One of a node or user that means nothing here would be shown to others, or never."""
    fitting = [line for line in lines if arriving.is_ours or (line.node is None and line.user is None)]
    fresh = [line for line in fitting if arriving.has_space and line.at + LESSON_TTL_SECONDS > now]
    commands: list[Command] = []
    for line in fresh:
        one = line if arriving.is_ours else line.model_copy(update={"thread": None})
        left = max(1, min(LESSON_TTL_SECONDS, int(one.at + LESSON_TTL_SECONDS - now)))
        fields = [part for pair in lesson_fields(places, space, one).items() for part in pair]
        keys = (places.lesson_of(one.record), places.lessons(one.kind))
        commands.append(("EVAL", KEEP, 2, *keys, repr(one.changed), one.record, left, *fields))
    new = sum(asked(connection, commands))
    arriving.loaded = replace(
        arriving.loaded,
        lessons=arriving.loaded.lessons + new,
        lessons_left_out=arriving.loaded.lessons_left_out + len(lines) - len(fresh),
    )


def suited(line: OutcomeLine, arriving: Arriving) -> OutcomeLine:
    """The line with what makes sense here: digests of another deployment or tenant name nobody."""
    left: dict[str, None] = {} if arriving.has_space else {"vector": None}
    if not arriving.is_ours:
        left |= dict.fromkeys(("node", "number_node", "thread", "user"))
    return line.model_copy(update=left) if left else line


def kept_command(places: Places, space: Space, line: OutcomeLine, now: float) -> Command:
    """What keeps an outcome that the tallies have counted."""
    left = max(1, min(OUTCOME_TTL_SECONDS, int(line.at + OUTCOME_TTL_SECONDS - now)))
    order, counters = places.outcomes(line.kind), places.counters(line.kind)
    beside: dict[str, str | bytes] = {"number": str(line.number), "counters": counters, "order": order}
    if line.node is not None:
        beside |= {"counters_node": counters_of(places, line), "number_node": str(line.number_node or line.number)}
    names = ("rank", "labelled_at", "score", "weight", "source")
    beside |= dict(zip(names, label_of(line), strict=True))
    fields = [part for pair in (fields_of(places, space, line) | beside).items() for part in pair]
    return ("EVAL", KEEP, 2, places.outcome_of(line.record), order, repr(line.changed), line.record, left, *fields)


def counted_command(places: Places, space: Space, line: OutcomeLine, now: float) -> Command:
    """What keeps an outcome and counts it."""
    order, pending = places.outcomes(line.kind), f"{places.keys.tenant(places.tenant, 'labels')}:{line.record}"
    taken = (line.output_tokens, line.seconds, line.first_token_seconds, line.usd)
    fields = [part for pair in fields_of(places, space, line).items() for part in pair]
    return (
        "EVALSHA", DIGESTS[OUTCOME], 7, places.outcome_of(line.record), order, places.counters(line.kind), pending,
        order, counters_of(places, line), places.learned(), repr(now), line.record,
        *("" if one is None else repr(one) for one in taken), *label_of(line), *NOTHING_TAUGHT, *fields,
    )  # fmt: skip


def label_of(line: OutcomeLine) -> tuple[str, ...]:
    """A line's label as the scripts take it; its rank is this version's, not the file's."""
    rank = RANK[Source(line.source)]
    return str(rank), repr(line.labelled_at), repr(line.score), repr(line.weight), line.source


def fields_of(places: Places, space: Space, line: OutcomeLine) -> dict[str, str | bytes]:
    """The fields of an outcome's hash but its label."""
    fields: dict[str, str | bytes | None] = {
        "v": str(VERSION),
        "tenant": places.keys.tenant_tag(places.tenant),
        "kind": line.kind,
        "node": line.node,
        "model": line.model,
        "thread": line.thread,
        "user": line.user,
        "at": repr(line.at),
        "seconds": repr(line.seconds),
        "first_token_seconds": None if line.first_token_seconds is None else repr(line.first_token_seconds),
        "input_tokens": str(line.input_tokens),
        "output_tokens": str(line.output_tokens),
        "usd": None if line.usd is None else repr(line.usd),
        "lesson": None if line.lesson is None else str(int(line.lesson)),
        "space": None if line.vector is None else space.tag,
        space.field: None if line.vector is None else base64.b64decode(line.vector),
    }
    return {name: value for name, value in fields.items() if value is not None}
