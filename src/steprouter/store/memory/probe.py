"""What a server says of its search: whether there is one, how an index is built and how far it is, and more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing

from .query import named, names_no_index, text

if TYPE_CHECKING:
    from redis import Redis

    from ..connect import Connection
    from .index import IndexSpec

R = TypeVar("R")

PATIENT_SECONDS = 1.0
"""For a call off the step's path: `FT.CREATE` takes 2–4 ms, but any command up to 85 while a graph is being built."""

NO_SEARCH = Missing(reason="the server has no search", degraded=False)

PROBE = "sr:probe:svs"
"""An index that exists for a moment. One name for all: a process that dies in between leaves one at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFacts:
    """An index as the server describes it.

    Attributes:
        name: Its real name, also if it was asked for under an alias.
        kind: What it indexes: `HASH` or `JSON`.
        prefixes: How the keys begin that it takes in.
        fields: By name, what each is: `type`, for vectors `algorithm`, `dim`, `data_type` and `distance_metric`, and
            an entry for each flag.
        documents: How many it has taken in, those without a vector included.
        share: How much of what was there before it has been looked at, 0 to 1.
        is_indexing: Whether it is still looking.
    """

    name: str
    kind: str
    prefixes: tuple[str, ...]
    fields: Mapping[str, Mapping[str, str]]
    documents: int
    share: float
    is_indexing: bool

    @property
    def is_complete(self) -> bool:
        """Whether a search sees every document; before, it leaves some out and does not say so."""
        return self.share >= 1.0 and not self.is_indexing


def ask(connection: Connection, use: Callable[[Redis], R]) -> R | Missing:
    """What a use gives, patiently; `Missing` too where the server has no search."""
    from redis.exceptions import ResponseError

    def searching(client: Redis) -> R | Missing:
        try:
            return use(client)
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                return NO_SEARCH
            raise

    return connection.call(searching, deadline_seconds=PATIENT_SECONDS)


def tolerant(client: Redis, *words: Any) -> None:
    """Sends a command that another process may have sent a moment before."""
    from redis.exceptions import ResponseError

    try:
        client.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py leaves it open
    except ResponseError as error:
        if "already exists" not in str(error).lower() and not names_no_index(error):
            raise


def look(client: Redis, name: str) -> IndexFacts | None:
    """The index of this name or alias; `None` if there is none.

    Raises:
        redis.RedisError: The server is away, has no search or does not let us ask.
    """
    from redis.exceptions import ResponseError

    try:
        return read_facts(client.execute_command("FT.INFO", name))  # type: ignore[no-untyped-call] # redis-py leaves it open
    except ResponseError as error:
        if names_no_index(error):
            return None
        raise


def read_facts(reply: Any) -> IndexFacts:
    """Reads the answer to `FT.INFO`, spoken in RESP3 or RESP2."""
    said = named(reply)
    definition = named(said["index_definition"])
    described = [describe(one) for one in said["attributes"]]
    return IndexFacts(
        name=text(said["index_name"]),
        kind=text(definition["key_type"]),
        prefixes=tuple(text(prefix) for prefix in definition["prefixes"]),
        fields={one["identifier"]: one for one in described},
        documents=int(float(said["num_docs"])),
        share=float(said["percent_indexed"]),
        is_indexing=bool(int(said["indexing"])),
    )


def describe(attribute: Any) -> dict[str, str]:
    """One field: RESP3 gives a map with a list of flags, RESP2 a list of pairs in which flags stand alone."""
    if isinstance(attribute, Mapping):
        pairs = {text(name): value for name, value in attribute.items()}
        flags = [text(flag) for flag in pairs.pop("flags", ())]
        return {name: text(value) for name, value in pairs.items()} | dict.fromkeys(flags, "")
    words = [text(word) for word in attribute]
    alone = {"CASESENSITIVE", "SORTABLE", "UNF", "INDEXEMPTY", "INDEXMISSING", "NOINDEX", "WITHSUFFIXTRIE"}
    paired = [word for word in words if word not in alone]
    return dict(zip(paired[::2], paired[1::2], strict=False)) | {word: "" for word in words if word in alone}


def has_svs(client: Redis) -> bool:
    """Whether the server really builds SVS-VAMANA indexes.

    Its version does not tell: Redis 8.2.3 with search 2.10.5 passes redisvl's check and then refuses. So an index over
    keys that nobody has is made and dropped; `SKIPINITIALSCAN` keeps the server from walking through its keys for it.

    Raises:
        redis.RedisError: The server is away or does not let us ask.
    """
    from redis.exceptions import ResponseError

    vector = ("VECTOR", "SVS-VAMANA", 6, "TYPE", "FLOAT32", "DIM", 4, "DISTANCE_METRIC", "COSINE")
    try:
        client.execute_command(  # type: ignore[no-untyped-call] # redis-py leaves it open
            *(
                "FT.CREATE",
                PROBE,
                "ON",
                "HASH",
                "PREFIX",
                1,
                f"{PROBE}:",
                "SKIPINITIALSCAN",
                "SCHEMA",
                "vector",
                *vector,
            )
        )
    except ResponseError as error:
        if "already exists" not in str(error).lower():  # else one was left, or another process asks the same
            return False
    try:
        client.execute_command("FT.DROPINDEX", PROBE)  # type: ignore[no-untyped-call] # redis-py leaves it open
    except ResponseError as error:
        if not names_no_index(error):
            raise
    return True


def refuse_other(spec: IndexSpec, facts: IndexFacts) -> None:
    """Refuses an index that is not what its name promises, as another program could have made it.

    Raises:
        StoreError: It is such a one.
    """
    for what, wanted, got in comparison(spec, facts):
        if wanted != got:
            raise StoreError(
                f"{what} of the index behind {spec.alias!r} must be {wanted!r}, got {got!r}; remove it with "
                f"FT.DROPINDEX {facts.name!r}, which leaves the records, and it is made anew, or use another Redis"
            )


def comparison(spec: IndexSpec, facts: IndexFacts) -> Iterator[tuple[str, object, object]]:
    """What matters to a search, what it must be and what it is. Further fields do no harm."""
    yield "the name", facts.name if facts.name in spec.names else spec.names[0], facts.name
    yield "the kind of keys", "HASH", facts.kind
    yield "the prefixes", (spec.prefix,), facts.prefixes
    for kind, names in (("TAG", spec.tags), ("NUMERIC", spec.numbers), ("VECTOR", (spec.vector,))):
        for name in names:
            yield f"the type of {name}", kind, facts.fields.get(name, {}).get("type")
    for name in spec.tags:
        yield f"the case sensitivity of {name}", True, "CASESENSITIVE" in facts.fields[name]
    vector = facts.fields[spec.vector]
    for name, wanted in (("data_type", "FLOAT32"), ("dim", str(spec.dimension)), ("distance_metric", "COSINE")):
        yield f"{name} of {spec.vector}", wanted, vector.get(name, wanted)  # search before 2.6 does not tell
