"""What the store has of a router: whether that has changed, which is asked often, and all of it, which is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steprouter.memory.recall import Missing
from steprouter.routing.routes import MOST_EXAMPLES, MOST_ROUTES

from ..connect import Connection
from ..memory.patient import answers, ask
from ..memory.probe import describe
from ..memory.query import as_named, named, names_no_index, text
from .records import SIZES, Row, Stored, assembled, config_key, read_config, suits

PAGE = 1000
"""References read in one round trip: a megabyte at 256 dimensions."""

DIGEST = "local said = redis.call('JSON.GET', KEYS[1], '.') return said and redis.sha1hex(said) or ''"
"""Tells whether the document is as it was without sending it."""

NO_SEARCH = Missing(reason="the server has no search or no JSON module, so each process keeps its own")

CHANGED = Missing(reason="it changed while it was read", degraded=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What tells whether a router is as it was.

    Attributes:
        config: A digest of its document; empty where there is none.
        index: Of its index, how many references it has and the number of the newest, which rises with each change of
            one; empty where there is none.
        documents: How many references.
        is_complete: Whether the index sees all of them.
        vector: How its vectors are made: `type`, `dim` and `data_type`.
    """

    config: str = ""
    index: str = ""
    documents: int = 0
    is_complete: bool = True
    vector: tuple[tuple[str, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether both parts are there."""
        return bool(self.config and self.index)

    @property
    def is_absent(self) -> bool:
        """Whether neither is."""
        return not self.config and not self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A router that cannot be used, and why."""

    reason: str


def look(connection: Connection, name: str) -> Mark | Missing:
    """How a router is marked now; one round trip."""
    replies = ask(connection, [("EVAL", DIGEST, 1, config_key(name)), ("FT.INFO", name)])
    if isinstance(replies, Missing):
        return replies
    for reply in replies:
        if isinstance(reply, Exception) and not names_no_index(reply):
            is_unknown = "unknown" in str(reply).lower() and "command" in str(reply).lower()
            return NO_SEARCH if is_unknown else Missing(reason=f"the store refused: {reply}")
    config, facts = text(replies[0]), replies[1]
    return Mark(config=config) if isinstance(facts, Exception) else marked(config, named(facts))


def marked(config: str, said: Mapping[str, Any]) -> Mark:
    """The mark of a router whose index is there."""
    described = [describe(one) for one in said["attributes"]]
    vector = next((one for one in described if one["identifier"] == "vector"), {})
    documents = int(float(said["num_docs"]))
    return Mark(
        config=config,
        index=f"{documents} {text(said.get('max_doc_id', ''))}",
        documents=documents,
        is_complete=float(said["percent_indexed"]) >= 1.0 and not bool(int(said["indexing"])),
        vector=tuple((part, vector.get(part, "")) for part in ("type", "dim", "data_type")),
    )


def fetch(connection: Connection, name: str, mark: Mark, identity: str, dimension: int) -> Stored | Unfit | Missing:
    """All of a router, or why it is of no use to an embedder.

    Args:
        connection: The store.
        name: The router's.
        mark: As it was just marked.
        identity: The embedder's.
        dimension: Numbers in its vectors.
    """
    vector = dict(mark.vector)
    if vector["type"] != "VECTOR" or vector["data_type"] not in SIZES:
        return Unfit(reason=f"the index {name!r} is none of redisvl's SemanticRouter")
    if vector["dim"] != str(dimension):
        return Unfit(reason=unlike(name, f"vectors of {vector['dim']} numbers", identity))
    if mark.documents > MOST_ROUTES * MOST_EXAMPLES:
        return Unfit(reason=f"the stored router {name!r} has {mark.documents} references, which are too many")
    said = answers(connection, ("JSON.GET", config_key(name), "."))
    if isinstance(said, Missing):
        return said
    try:
        config = read_config(said[0] or "")
    except ValueError as error:
        return Unfit(reason=f"the document {config_key(name)!r} is none of redisvl's SemanticRouter: {error}")
    if not suits(config.model, identity):
        return Unfit(reason=unlike(name, f"vectors of {config.model}", identity))
    rows = read_rows(connection, name, mark.documents)
    return rows if isinstance(rows, Missing) else assembled(name, config, rows, dimension, vector["data_type"])


def unlike(name: str, theirs: str, identity: str) -> str:
    """What is said where vectors cannot be compared."""
    return (
        f"the stored router {name!r} has {theirs}, the router embeds with {identity}; "
        "give MemoryPolicy the embedder that made them"
    )


def read_rows(connection: Connection, name: str, count: int) -> Sequence[Row] | Missing:
    """Every reference of a router."""
    found: dict[str, Row] = {}
    for offset in range(0, count, PAGE):
        wanted = ("RETURN", 3, "route_name", "reference", "vector", "LIMIT", offset, PAGE, "DIALECT", 2)
        replies = answers(connection, ("FT.SEARCH", name, "*", *wanted))
        if isinstance(replies, Missing):
            return replies
        found |= {row.key: row for row in rows_of(replies[0])}
    # Fewer also come where the server gave up half-way, which only some of its answers tell.
    return list(found.values()) if len(found) == count else CHANGED


def rows_of(reply: Any) -> Iterator[Row]:
    """The references in an answer, spoken in RESP3 or RESP2; one that has just gone has no fields."""
    if isinstance(reply, Mapping):
        pairs = [as_named(one) for one in named(reply)["results"]]
    else:
        pairs = list(zip(reply[1::2], reply[2::2], strict=True))
    for key, said in pairs:
        fields = named(said or {})
        yield Row(
            key=text(key),
            route=text(fields.get("route_name", "")),
            text=text(fields.get("reference", "")),
            vector=bytes(fields.get("vector", b"")),
        )
