"""The search indexes of memory: what they cover, how they are made, kept complete and made larger.

A search asks an alias, `sr:outcomes:<version>:<space>`; the index behind it is called `<alias>:<algorithm>`. So the
algorithm can change while searches go on: the new index is filled beside the old one over the same records, then the
alias is moved. Indexes are only ever dropped without their documents.

Version and embedding space are part of the names, so processes of two releases, or with two embedders, work on one
server side by side, each with its own index. After an upgrade the first process makes the new index, which takes in the
records that are there and fit; the old one stays for processes that still ask it, empties as its records expire, and
`FT.DROPINDEX <name>` (without `DD`) removes it. An index that is not what its name promises is refused, never searched.

An index sees what was there before it only after a while, and a search says nothing of what it could not see yet: that
is why `Indexes.ready` stands before every search. A server that is flushed, or comes back empty, loses its indexes:
a search then fails with "no such index", `Indexes.lost` notes it, and the next `ensure` makes them anew.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from steprouter.memory.recall import Missing

from .probe import IndexFacts, ask, has_svs, look, refuse_other, tolerant
from .query import text
from .schema import OUTCOME_PREFIX, VERSION, Space

if TYPE_CHECKING:
    from redis import Redis
    from redisvl.schema import IndexSchema  # type: ignore[import-untyped] # redisvl ships no types

    from ..connect import Connection

Algorithm = Literal["flat", "hnsw", "svs-vamana"]

ALGORITHMS: tuple[Algorithm, ...] = ("flat", "hnsw", "svs-vamana")

GRAPH: dict[Algorithm, dict[str, int]] = {
    "flat": {},
    # Building with 200, Redis' default, takes about twice the time (657 records a second against 1220 to 1785 at 384
    # dimensions). Searching with 64 finds 0.998 of the ten nearest among 50 000 where 10, the default, finds 0.79; it
    # is set here because a search that names it fails while a flat index is behind the alias.
    "hnsw": {"m": 16, "ef_construction": 100, "ef_runtime": 64},
    "svs-vamana": {},
}
"""What each algorithm is built with, in redisvl's words."""

GROW_ABOVE = 50_000
"""Documents above which a graph is searched. Without a filter it is faster from some thousands on, but every search of
ours has one, and then the server passes the graph by while there are few. Tenth percentile in ms, flat and HNSW, 256
dimensions, a filter that all pass: 0.9 and 1.1 at 12 000, 1.3 and 1.9 at 20 000, 2.0 and 2.6 at 30 000, 2.6 and 0.7 at
50 000; one that a hundredth passes: 0.2 and 0.2 everywhere (search 2.10.5, 2 cores). Besides, a server that starts
builds its graphs anew."""

SHRINK_SHARE = 0.5
"""Of `grow_above`, below which a flat index does again: expiry and new records must not make it swing."""

LEASE_SECONDS = 60
"""How long a process that grows an index may be silent before another goes on with it."""

NO_INDEX = Missing(reason="there is no index yet", degraded=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """What an index is to cover.

    Attributes:
        alias: The name under which it is searched.
        prefix: How the keys of its records begin.
        tags: Its TAG fields; what stands in them is `query.coded`.
        numbers: Its NUMERIC fields.
        sorted_by: Those of them by which hits can be sorted.
        vector: The field that holds the vector, float32, searched by cosine distance.
        vector_as: What a search calls it; None calls it by its name.
        dimension: Numbers in a vector.
        algorithm: How it begins.
        grow_above: From how many documents on it is to be a graph.
    """

    alias: str
    prefix: str
    tags: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    sorted_by: tuple[str, ...] = ()
    vector: str
    vector_as: str | None = None
    dimension: int
    algorithm: Algorithm = "flat"
    grow_above: int = GROW_ABOVE

    def name(self, algorithm: Algorithm) -> str:
        """The index of this algorithm behind the alias."""
        return f"{self.alias}:{algorithm.partition('-')[0]}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the index behind the alias may have."""
        return tuple(self.name(algorithm) for algorithm in ALGORITHMS)

    def schema(self, algorithm: Algorithm | None = None) -> IndexSchema:
        """The same for redisvl, which is loaded here (0.8 s): `SearchIndex(spec.schema(), redis_client=…)`."""
        from redisvl.schema import IndexSchema

        vector = {"dims": self.dimension, "distance_metric": "cosine", "datatype": "float32"}
        chosen = algorithm or self.algorithm
        schema = IndexSchema.from_dict(
            {
                "index": {"name": self.name(chosen), "prefix": self.prefix, "storage_type": "hash"},
                "fields": [
                    *({"name": name, "type": "tag", "attrs": {"case_sensitive": True}} for name in self.tags),
                    *(
                        {"name": name, "type": "numeric", "attrs": {"sortable": name in self.sorted_by}}
                        for name in self.numbers
                    ),
                    {"name": self.searched, "type": "vector", "attrs": vector | {"algorithm": chosen} | GRAPH[chosen]},
                ],
            }
        )
        if self.vector_as is not None:
            # redisvl lets go of a path that is given with a hash, and writes it as it should be if it is there.
            schema.fields[self.searched].path = self.vector
        return schema

    @property
    def searched(self) -> str:
        """What a search calls the vector."""
        return self.vector_as or self.vector


def outcomes_index(space: Space) -> IndexSpec:
    """What became of attempts, of all tenants."""
    return IndexSpec(
        alias=space.index,
        prefix=OUTCOME_PREFIX,
        tags=("tenant", "kind", "node", "model", "thread", "user", "source", "space"),
        numbers=("at", "score", "weight", "labelled_at"),
        sorted_by=("at",),
        vector=space.field,
        dimension=space.dimension,
    )


def lessons_index(space: Space) -> IndexSpec:
    """Solved steps worth showing, of all tenants."""
    return IndexSpec(
        alias=f"sr:lessons:{VERSION}:{space.tag}",
        prefix="sr:lesson:",
        tags=("tenant", "kind", "user", "model"),
        numbers=("at",),
        vector=space.field,
        dimension=space.dimension,
    )


def cache_index(space: Space) -> IndexSpec:
    """Answers that may be given again, of all tenants; redisvl's `SemanticCache` can read it."""
    return IndexSpec(
        alias=f"sr:cache:{VERSION}:{space.tag}",
        prefix="sr:cache:",
        tags=("tenant", "scope", "drawer", "kind", "model"),
        numbers=("expires_at",),
        vector=space.field,
        vector_as="prompt_vector",
        dimension=space.dimension,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An index that sees every record.

    Attributes:
        algorithm: How it searches now.
        documents: How many records it has taken in.
    """

    algorithm: Algorithm
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """An index that does not see every record yet, or a larger one that is being made beside it; ask again.

    Attributes:
        share: How far it is, 0 to 1.
    """

    share: float


State = Ready | Building | Missing


class Indexes:
    """The indexes as one process knows them. Safe in threads; only `ensure` and `grow` ask the server."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.complete: set[str] = set()
        self.token = secrets.token_hex(8)

    def ready(self, alias: str) -> bool:
        """Whether a search would see every record, as far as is known; asks nobody.

        A server that restarts may look through its records again: call `ensure` every few seconds to learn of it.
        """
        return alias in self.complete

    def lost(self, alias: str) -> None:
        """Notes that a search was answered with "no such index" (`query.names_no_index`)."""
        self.complete.discard(alias)

    def ensure(self, spec: IndexSpec) -> State:
        """As the function `ensure`, and keeps what it learns for `ready`.

        Raises:
            StoreError: The name is taken by an index of another form.
        """
        state: State = NO_INDEX
        try:
            state = ensure(self.connection, spec)
        finally:
            if isinstance(state, Ready):
                self.complete.add(spec.alias)
            else:
                self.complete.discard(spec.alias)
        return state

    def grow(self, spec: IndexSpec) -> State:
        """As the function `grow`.

        Raises:
            StoreError: The name is taken by an index of another form.
        """
        return grow(self.connection, spec, holder=f"{self.token}-{os.getpid()}")


def ensure(connection: Connection, spec: IndexSpec) -> State:
    """Makes the index if it is not there, and says how far it is. Off the step's path, as often as you like.

    Raises:
        StoreError: The name is taken by an index of another form.
    """
    found = ask(connection, lambda client: look(client, spec.alias))
    if found is None:
        schema = spec.schema()  # before the deadline begins: it may load redisvl
        found = ask(connection, lambda client: begin(client, spec, schema))
    return state_of(spec, found)


def grow(connection: Connection, spec: IndexSpec, *, holder: str) -> State:
    """Changes the algorithm if the number of records calls for it; call again while it gives `Building`.

    Searches see every record all the while. It is `Building` for all processes, but only the one that holds the
    lease does something; if it falls silent, another goes on.

    Args:
        connection: The store.
        spec: The index; there should be one (`ensure`).
        holder: Who asks, different in each process.

    Raises:
        StoreError: The name is taken by an index of another form.
    """
    step = ask(connection, lambda client: next_step(client, spec, holder))
    if not isinstance(step, str):
        return step
    schema = spec.schema(step)
    made = ask(connection, lambda client: create(client, schema))
    return made if isinstance(made, Missing) else Building(share=0.0)


def begin(client: Redis, spec: IndexSpec, schema: IndexSchema) -> IndexFacts | None:
    """Makes the index and gives it its alias, unless others have meanwhile; what then stands behind the alias."""
    create(client, schema)
    made = look(client, schema.index.name)
    if made is not None:
        refuse_other(spec, made)
        tolerant(client, "FT.ALIASADD", spec.alias, made.name)
    return look(client, spec.alias)


def create(client: Redis, schema: IndexSchema) -> None:
    """Makes an index, unless it is there; the server fills it in the background."""
    prefixes = [schema.index.prefix] if isinstance(schema.index.prefix, str) else schema.index.prefix
    words = [word for described in schema.redis_fields for word in described.redis_args()]
    tolerant(
        client,
        *("FT.CREATE", schema.index.name, "ON", "HASH", "PREFIX", len(prefixes), *prefixes, "SCHEMA", *words),
    )


def state_of(spec: IndexSpec, found: IndexFacts | Missing | None) -> State:
    """What an index means for a search.

    Raises:
        StoreError: It is not the one that is meant.
    """
    if found is None:
        return NO_INDEX
    if isinstance(found, Missing):
        return found
    refuse_other(spec, found)
    if not found.is_complete:
        return Building(share=found.share)
    return Ready(algorithm=algorithm_of(spec, found), documents=found.documents)


def next_step(client: Redis, spec: IndexSpec, holder: str) -> State | Algorithm:
    """Goes on with the change of the algorithm; gives the state, or the algorithm of an index to begin.

    Raises:
        StoreError: A name is taken by an index of another form.
    """
    current = look(client, spec.alias)
    state = state_of(spec, current)
    if current is None or not isinstance(state, Ready):
        return state
    beside = [facts for name in spec.names if name != current.name and (facts := look(client, name)) is not None]
    is_due = is_outgrown(spec, state)
    if not is_due and not beside:
        return state
    if not has_lease(client, spec, holder):
        return Building(share=max((facts.share for facts in beside), default=0.0)) if is_due else state
    if not is_due:  # records went away while it was built, or a process died between moving and dropping
        drop(client, beside)
        return state
    successors = [facts for facts in beside if is_flat(spec, facts) is not is_flat(spec, current)]
    if not successors:
        return ("svs-vamana" if has_svs(client) else "hnsw") if is_flat(spec, current) else "flat"
    state = state_of(spec, successors[0])
    if isinstance(state, Ready):
        client.execute_command("FT.ALIASUPDATE", spec.alias, successors[0].name)  # type: ignore[no-untyped-call] # redis-py leaves it open
        drop(client, [current, *(facts for facts in beside if facts is not successors[0])])
    return state


def is_outgrown(spec: IndexSpec, state: Ready) -> bool:
    """Whether another algorithm would serve so many records better."""
    if state.algorithm == "flat":
        return state.documents > spec.grow_above
    return state.documents < SHRINK_SHARE * spec.grow_above


def has_lease(client: Redis, spec: IndexSpec, holder: str) -> bool:
    """Whether this holder alone may change the index; holds on to the lease if it has it."""
    key = f"sr:{{d}}:index-growth:{spec.alias}"
    if client.set(key, holder, nx=True, ex=LEASE_SECONDS):
        return True
    if text(client.get(key)) != holder:
        return False
    # If it has just run out, this lengthens another's by a little; two who grow at once do the same, only twice.
    client.expire(key, LEASE_SECONDS)
    return True


def drop(client: Redis, indexes: Iterable[IndexFacts]) -> None:
    """Drops indexes and leaves their records."""
    for facts in indexes:
        tolerant(client, "FT.DROPINDEX", facts.name)


def algorithm_of(spec: IndexSpec, facts: IndexFacts) -> Algorithm:
    """How an index of ours searches."""
    return next(algorithm for algorithm in ALGORITHMS if facts.name == spec.name(algorithm))


def is_flat(spec: IndexSpec, facts: IndexFacts) -> bool:
    """Whether an index of ours compares with every vector."""
    return algorithm_of(spec, facts) == "flat"
