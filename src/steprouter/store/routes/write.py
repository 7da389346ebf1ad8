"""Writes what a policy says of routes into the store, in the schema that redisvl has for it.

redisvl says how index, references and document look. What it does not do is used from here: its router's constructor
fails where two processes make one router at once, and leaves references that a policy no longer has; so the commands
are sent by us, the document with the last of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steprouter.memory.recall import Missing
from steprouter.routing.routes import Route

from ..connect import Connection
from ..memory.index import create
from .records import config_key, redisvl_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from redis import Redis
    from redisvl.schema import IndexSchema  # type: ignore[import-untyped] # redisvl ships no types

    Floats = npt.NDArray[np.float32]

WRITING_SECONDS = 5.0
"""For all of it; 1000 references take 0.1 s."""

LEASE_SECONDS = 10
"""How long a process that writes may be silent before another does."""

TOGETHER = 500
"""References written in one go."""

BUSY = Missing(reason="another process is writing it", degraded=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Everything that is to be written, in redisvl's words.

    Attributes:
        name: The router's.
        schema: Its index.
        references: The fields of each reference, by key.
        document: Its routes and thresholds.
    """

    name: str
    schema: IndexSchema
    references: Mapping[str, dict[Any, Any]]
    document: Mapping[str, Any]


def script(name: str, routes: Sequence[Route], vectors: Mapping[str, Floats], vectorizer: Mapping[str, str]) -> Script:
    """What is to be written of routes; loads redisvl, a quarter of a second of work and more on a busy machine.

    Args:
        name: The router's.
        routes: With their examples.
        vectors: Of the examples, by route.
        vectorizer: Which of redisvl's vectorizers made them, `type` and `model`.
    """
    from redisvl.extensions.router.schema import (  # type: ignore[import-untyped] # redisvl ships no types
        DistanceAggregationMethod,
        RoutingConfig,
        SemanticRouterIndexSchema,
    )
    from redisvl.extensions.router.schema import Route as TheirRoute
    from redisvl.redis.utils import hashify  # type: ignore[import-untyped] # redisvl ships no types
    from redisvl.utils.utils import model_to_dict  # type: ignore[import-untyped] # redisvl ships no types

    usual, said = redisvl_words(routes)
    dimension = int(vectors[routes[0].name].shape[1])
    references = {}
    for route in routes:
        for example, vector in zip(route.examples, vectors[route.name], strict=True):
            digest = hashify(example)
            fields = {"reference_id": digest, "route_name": route.name, "reference": example}
            references[f"{name}:{route.name}:{digest}"] = {**fields, "vector": vector.astype("<f4").tobytes()}
    return Script(
        name=name,
        schema=SemanticRouterIndexSchema.from_params(name, dimension, "float32"),
        references=references,
        document={
            "name": name,
            "routes": [model_to_dict(TheirRoute(**one)) for one in said],
            "vectorizer": dict(vectorizer),
            "routing_config": model_to_dict(RoutingConfig(aggregation_method=DistanceAggregationMethod(usual))),
        },
    )


def write(connection: Connection, wanted: Script, lease: str, *, before: Collection[str] = ()) -> Missing | None:
    """Write a router; None once it is written.

    Args:
        connection: The store.
        wanted: What is to be there.
        lease: The key under which one process at a time does this.
        before: The keys of references that were there.
    """
    stale = [key for key in before if key not in wanted.references]
    token = secrets.token_hex(8)

    def alone(client: Redis) -> Missing | None:
        if not client.set(lease, token, nx=True, ex=LEASE_SECONDS):
            return BUSY
        try:
            put(client, wanted, stale)
        finally:
            client.delete(lease)
        return None

    return connection.call(alone, deadline_seconds=WRITING_SECONDS)


def put(client: Redis, wanted: Script, stale: Sequence[str]) -> None:
    """Send it: readers see the routes as they were until the document changes with the last references."""
    create(client, wanted.schema)
    parts = list(batches(wanted.references))
    for number, part in enumerate(parts, 1):
        with client.pipeline(transaction=True) as pipe:
            for key, fields in part:
                pipe.hset(key, mapping=fields)
            if number == len(parts):
                if stale:
                    pipe.unlink(*stale)
                pipe.json().set(config_key(wanted.name), ".", dict(wanted.document))
            pipe.execute()


def batches(references: Mapping[str, dict[Any, Any]]) -> Iterator[Sequence[tuple[str, dict[Any, Any]]]]:
    """The references, some at a time."""
    pairs = list(references.items())
    for start in range(0, len(pairs), TOGETHER):
        yield pairs[start : start + TOGETHER]
