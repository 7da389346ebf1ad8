"""Searches by vector in words of the server, and its answers as values. Pure: nothing here asks a server.

A TAG field cannot hold every text: the server cuts values at the separator, at a NUL and after 4096 bytes, trims
white space, and matches some letters outside ASCII with nothing (search 2.10, tried with each). So what stands in
one is `coded`: readable names are their own code, digests and step kinds too, and different texts have different ones.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from .index import IndexSpec

AS_THEY_ARE = ":/@+"
"""Common in names of models and harmless in a tag, as are letters, digits and `_.-~`."""

LONGEST_TAG = 1024
"""Characters of a code; the server would take 4096 and cut the rest."""

EMPTY = "%"
"""The code of the empty text, which a TAG field would not index. No other code ends in `%`."""

LONG = "%:"
"""How the codes begin that are digests; a percent sign before anything but two digits is in no other code."""

DISTANCE = "distance"
"""The field under which the server gives a hit's distance."""

TENANTS = frozenset({"tenant", "drawer"})
"""Fields that say whose a record is; the second says more besides (`cache.records.drawer`)."""

FIELD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A record that was found.

    Attributes:
        key: Its key.
        distance: Cosine distance from the vector that was asked for, 0 to 2.
        fields: Those of the asked fields that it has.
    """

    key: str
    distance: float
    fields: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search brought.

    Attributes:
        total: How many records the server counted; more than there are hits if some had expired.
        hits: The nearest first.
        warning: Why the server may have left out some, in its words. One asked with RESP2 never says.
    """

    total: int
    hits: tuple[Hit, ...] = ()
    warning: str | None = None

    @property
    def complete(self) -> bool:
        """Whether a record that is not here is not among the nearest."""
        return self.warning is None


@lru_cache(maxsize=1024)
def coded(value: str) -> str:
    """The text as it stands in a TAG field.

    Percent-encoded UTF-8 of anything but ASCII letters, digits and `_.-~:/@+`; the digest of what becomes too long.
    """
    code = quote(value, safe=AS_THEY_ARE, errors="surrogatepass") or EMPTY
    if len(code) <= LONGEST_TAG:
        return code
    return LONG + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def decoded(tag: str) -> str | None:
    """The text of a code; `None` of one that is only a digest."""
    if tag.startswith(LONG):
        return None
    return "" if tag == EMPTY else unquote(tag, errors="surrogatepass")


def knn(
    spec: IndexSpec,
    vector: bytes,
    *,
    k: int,
    where: Mapping[str, str | Sequence[str]],
    at_least: Mapping[str, float] | None = None,
    fields: Sequence[str] = (),
    ef_runtime: int | None = None,
) -> tuple[str | bytes | int, ...]:
    """The command that finds the nearest records, for a pipeline's `execute_command`.

    Args:
        spec: The index, asked under its alias.
        vector: What they shall be near: little-endian float32, unit length.
        k: How many at most. Expired records may still be among them, so ask for a few more than are needed.
        where: For each TAG field the value it must have, in clear, or several of which one suffices; one of
            `TENANTS` always among them: a search never crosses tenants.
        at_least: For each NUMERIC field the least it may be.
        fields: What to bring of each record.
        ef_runtime: How many candidates an HNSW index looks at; any other index answers it with an error, and which
            one stands behind the alias may change, so leave it to the index unless you made it.

    Raises:
        ValueError: A field is not of the index, the tenant or a value is missing, or the vector is of another length.
    """
    if not TENANTS & where.keys():
        raise ValueError(f"a search needs the tenant in where, got {sorted(where)}")
    if k < 1 or len(vector) != 4 * spec.dimension:
        raise ValueError(f"k must be at least 1 and the vector {4 * spec.dimension} bytes, got {k} and {len(vector)}")
    bounds = at_least or {}
    wanted = tuple((name, one if isinstance(one, str) else tuple(one)) for name, one in where.items())
    query = sentence(spec, wanted, tuple(bounds), int(k), ef_runtime)
    numbers = [part for name, bound in bounds.items() for part in (name, finite(name, bound))]
    return (
        "FT.SEARCH", spec.alias, query,
        "PARAMS", 2 + len(numbers), "vector", vector, *numbers,
        "SORTBY", DISTANCE, "ASC",
        "RETURN", 1 + len(fields), DISTANCE, *map(checked, fields),
        "LIMIT", 0, int(k),  # without it the server gives ten
        "DIALECT", 2,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def sentence(
    spec: IndexSpec,
    where: tuple[tuple[str, str | tuple[str, ...]], ...],
    bounded: tuple[str, ...],
    k: int,
    ef_runtime: int | None,
) -> str:
    """The query in the server's words; what changes with each step, vector and bounds, stands in its parameters.

    Raises:
        ValueError: A field is not one of the index's, or no value is given for it.
    """
    clauses = [*tag_clauses(spec, where), *number_clauses(spec, bounded)]
    effort = "" if ef_runtime is None else f" EF_RUNTIME {int(ef_runtime)}"
    return f"({' '.join(clauses)})=>[KNN {k} @{spec.searched} $vector{effort} AS {DISTANCE}]"


def tag_clauses(spec: IndexSpec, where: Sequence[tuple[str, str | tuple[str, ...]]]) -> Iterator[str]:
    """What the TAG fields must hold.

    Raises:
        ValueError: A field is not one of the index's, or no value is given for it.
    """
    for name, wanted in where:
        values = [wanted] if isinstance(wanted, str) else list(wanted)
        if name not in spec.tags or not values:
            raise ValueError(f"where takes {', '.join(spec.tags)} with a value each, got {name!r}: {wanted!r}")
        yield f"@{name}:{{{'|'.join(escaped(coded(value)) for value in values)}}}"


def number_clauses(spec: IndexSpec, bounded: Sequence[str]) -> Iterator[str]:
    """How large the NUMERIC fields must be, as parameters of their names.

    Raises:
        ValueError: A field is not one of the index's.
    """
    for name in bounded:
        if name not in spec.numbers:
            raise ValueError(f"at_least takes {', '.join(spec.numbers)} with a finite number, got {name!r}")
        yield f"@{name}:[${name} +inf]"


def finite(name: str, bound: float) -> str:
    """A bound as the server reads it.

    Raises:
        ValueError: It is not a number.
    """
    if not math.isfinite(bound):
        raise ValueError(f"at_least takes a finite number for {name!r}, got {bound!r}")
    return repr(float(bound))


def escaped(tag: str) -> str:
    """A tag for a query: whatever is neither letter nor digit has a backslash before it."""
    return re.sub(r"([^A-Za-z0-9])", r"\\\1", tag)


@lru_cache(maxsize=256)
def checked(name: str) -> str:
    """The name of a field, if it is one.

    Raises:
        ValueError: It is not.
    """
    if not FIELD.fullmatch(name):
        raise ValueError(f"a field's name must be lower-case letters, digits or _, got {name!r}")
    return name


def parse(reply: Any) -> Found:
    """The server's answer to `knn`, spoken in RESP3 or RESP2; what has expired meanwhile is left out.

    Raises:
        ValueError: It is no such answer.
    """
    if isinstance(reply, Mapping):
        said = named(reply)
        pairs = [tuple(one.values())[:2] if tuple(one) == AS_SENT else as_named(one) for one in said["results"]]
        warnings = [text(one) for one in said.get("warning") or ()]
        return Found(total=int(said["total_results"]), hits=hits(pairs), warning="; ".join(warnings) or None)
    if isinstance(reply, Sequence) and len(reply) % 2 == 1 and isinstance(reply[0], int):
        pairs = list(zip(reply[1::2], reply[2::2], strict=True))
        return Found(total=reply[0], hits=hits(pairs))
    raise ValueError(f"a search must answer with a map or a list of an odd length, got {type(reply).__name__}")


AS_SENT = (b"id", b"extra_attributes", b"values")
"""What a hit consists of, in the order in which servers with RESP3 send it."""


def as_named(hit: Mapping[Any, Any]) -> tuple[Any, Any]:
    """Key and fields of a hit, in whatever order and whether or not the client has decoded it."""
    said = named(hit)
    return said["id"], said.get("extra_attributes")


def hits(pairs: Sequence[tuple[Any, Any]]) -> tuple[Hit, ...]:
    """The records among keys and fields that are still there and have a distance."""
    found = []
    for key, fields in pairs:
        given = named(fields or {})
        distance = float(given.pop(DISTANCE, "nan"))
        if math.isfinite(distance):
            # The server computes in single precision: an equal vector may come out a little below 0.
            found.append(Hit(key=text(key), distance=max(0.0, distance), fields=given))
    return tuple(found)


def named(fields: Any) -> dict[str, Any]:
    """Names and values, which RESP3 gives as a map and RESP2 as a flat list."""
    pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
    return {word(name): value for name, value in pairs}


@lru_cache(maxsize=256)
def word(said: bytes | str) -> str:
    """The name of a field, of which there are few."""
    return text(said)


def text(said: Any) -> str:
    """A word of the server, whether or not the client has decoded it."""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def names_no_index(error: object) -> bool:
    """Whether the server refused because the index is not there (any more), as after a FLUSHALL."""
    said = str(error).lower()
    return any(words in said for words in ("no such index", "unknown index", "index not found"))
