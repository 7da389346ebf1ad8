"""Memory's values as Redis keeps them, and back. What is newer than this version, or broken, is never guessed at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from steprouter.memory.outcomes import Counters, Tally
from steprouter.memory.recall import Missing
from steprouter.memory.session import Decided, Session, SessionUpdate, Shape, Warm

from .query import decoded
from .schema import VERSION

Pairs = Mapping[bytes, bytes]

WARM_FIELD = b"warm:"
"""Before a model's name: the field of the prefix it has cached."""

READ = 4096
"""Values remembered by the text they were read from: of a session's sixteen steps fifteen were read before, and of a
kind's tallies all but one. Reading all of them anew would take as long as half the round trip."""

DECIDED_FIELDS = tuple(field.name for field in fields(Decided))


def pairs(reply: Any) -> Pairs:
    """A hash as a mapping: RESP3 brings one, RESP2 a flat list."""
    if isinstance(reply, dict):
        return reply
    flat = list(reply)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def newer(version: bytes | None) -> Missing | None:
    """Why a record of this version is not read; None if it is."""
    if version is None or not version.isdigit() or int(version) <= VERSION:
        return None
    return Missing(reason=f"written by a newer steprouter (schema {int(version)}; this one reads {VERSION})")


def decided_text(decided: Decided) -> str:
    """A step of a session as JSON, the same text for the same step: the sorted set knows it again."""
    return json.dumps({name: value for name, value in asdict(decided).items() if value not in (None, (), [])})


@lru_cache(maxsize=READ)
def read_decided(text: bytes) -> Decided | None:
    """A step of a session; None if it is broken. Fields of a newer writer are left out."""
    try:
        kept = json.loads(text)
        known = {name: kept[name] for name in DECIDED_FIELDS if name in kept}
        route = known.get("route")
        known["route"] = route if isinstance(route, str) else None
        decided: Any = Decided(**{**known, "calls": tuple(known.get("calls", ()))})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    # Steps are sorted by these, and compared with times.
    is_sound = isinstance(decided.step_id, str) and all(
        isinstance(at, int | float) for at in (decided.at, decided.until)
    )
    return decided if is_sound else None


def warm_text(warm: Warm) -> str:
    """A cached prefix as text."""
    return f"{warm.digest} {warm.messages} {warm.tokens} {warm.until!r}"


@lru_cache(maxsize=READ)
def read_warm(text: bytes) -> Warm:
    """A cached prefix.

    Raises:
        ValueError: It is none.
    """
    digest, messages, tokens, until = text.decode("ascii").split(" ")
    return Warm(digest=digest, messages=int(messages), tokens=int(tokens), until=float(until))


def read_session(kept: Pairs, recent: Iterable[bytes]) -> Session | Missing:
    """A session from its hash and its recent steps, newest first; an empty hash is a new session."""
    if (missing := newer(kept.get(b"v"))) is not None:
        return missing
    if not kept:
        return Session()
    try:
        return Session(
            steps=int(kept[b"steps"]),
            incumbent=text_of(kept.get(b"incumbent")),
            errors=int(kept.get(b"errors", 0)),
            escalation=int(kept.get(b"escalation", 0)),
            spent_usd=float(kept.get(b"spent_usd", 0)),
            reference_usd=float(kept.get(b"reference_usd", 0)),
            unpriced=int(kept.get(b"unpriced", 0)),
            warm=read_warms(kept),
            recent=tuple(one for text in recent if (one := read_decided(text)) is not None),
            shape=Shape(
                input_tokens=float(kept.get(b"input_tokens", 0)),
                output_tokens=float(kept.get(b"output_tokens", 0)),
                seconds=float(kept.get(b"seconds", 0)),
            ),
            updated_at=float(kept.get(b"updated_at", 0)),
        )
    except (KeyError, ValueError):
        return Missing(reason="the session's record is broken")


def read_warms(kept: Pairs) -> dict[str, Warm]:
    """The cached prefixes by model."""
    return {
        text_of(name.removeprefix(WARM_FIELD)) or "": read_warm(text)
        for name, text in kept.items()
        if name.startswith(WARM_FIELD)
    }


def text_of(raw: bytes | None) -> str | None:
    """Text that came in as any Python string; lone surrogates go through."""
    return None if raw is None else raw.decode("utf-8", "surrogatepass")


def raw(text: str) -> bytes:
    """Text for Redis; lone surrogates are valid in a Python string and in JSON, hence in names."""
    return text.encode("utf-8", "surrogatepass")


TALLY_FIELDS = tuple(field.name for field in fields(Tally))
"""In the order in which the scripts write them; a newer version may only add some behind, as `faded` was."""


def read_counters(kind: Pairs, node: Pairs | None) -> Counters:
    """Tallies by model; a broken one counts as none."""
    return Counters(kind=read_tallies(kind), node={} if node is None else read_tallies(node))


def read_tallies(kept: Pairs) -> dict[str, Tally]:
    """The tallies of one hash."""
    found: dict[str, Tally] = {}
    for model, text in kept.items():
        tally = read_tally(text)
        if tally is not None and model.isascii():
            found[model_of(model)] = tally
    return found


@lru_cache(maxsize=READ)
def model_of(tag: bytes) -> str:
    """A model's name from how an index and the tallies hold it; one too long to be held stays a digest.

    Raises:
        ValueError: It is none.
    """
    code = tag.decode("ascii")
    return code if (name := decoded(code)) is None else name


@lru_cache(maxsize=READ)
def read_tally(text: bytes) -> Tally | None:
    """A tally from its numbers, the version first; None if it is newer or broken."""
    version, *numbers = text.split(b" ")
    if newer(version) is not None:
        return None
    try:
        s, f, labels, at, seen, out, seconds, first, usd, faded = map(float, [*numbers, b"0"][: len(TALLY_FIELDS)])
        return Tally(
            successes=s,
            failures=f,
            labels=int(labels),
            at=at,
            seen=int(seen),
            output_tokens=out,
            seconds=seconds,
            first_token_seconds=first,
            usd=usd,
            faded=faded,
        )
    except (ValueError, OverflowError):  # no numbers, or infinite ones
        return None


def update_arguments(update: SessionUpdate) -> list[str | bytes]:
    """What an update is for the session script, in its order."""
    decided, warm = update.decided, update.warm
    return [
        repr(decided.at),
        raw(decided_text(decided)),
        "" if decided.usd is None else repr(decided.usd),
        str(update.errors),
        "1" if update.escalated else "0",
        raw(decided.model or ""),
        "" if warm is None else warm_text(warm),
        "" if warm is None else repr(warm.until),
        str(update.input_tokens),
        str(update.output_tokens),
        repr(update.seconds),
        "" if update.reference_usd is None else repr(update.reference_usd),
    ]
