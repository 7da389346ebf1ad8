"""Routes, a policy's way into a store, and redisvl's own way to the same router."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redisvl.extensions.router import SemanticRouter  # type: ignore[import-untyped]
from redisvl.extensions.router.schema import Route as TheirRoute  # type: ignore[import-untyped]
from redisvl.extensions.router.schema import RoutingConfig  # type: ignore[import-untyped]
from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]

from steprouter.embedding import StaticEmbedder
from steprouter.embedding.timed import TimedEmbedder
from steprouter.routing.route_match import match
from steprouter.routing.routes import Route
from steprouter.store import Connection, Keys
from steprouter.store.routes.follow import Routes

EMBEDDER = StaticEmbedder()
KEYS = Keys(secret=b"a secret of the deployment")

MONEY = ("I want my money back", "Please refund my order", "Why was I charged twice?")
CODE = ("My function raises an exception", "Fix this Python bug", "The unit test fails")
TEXTS = (
    "I was charged twice for my order, give me the money back",
    "There is a bug in the Python function",
    "Why does the test fail with an exception?",
    "Refund please",
    "What a lovely morning",
    "How tall is the Eiffel Tower?",
)


def route(name: str, *examples: str, **fields: Any) -> Route:
    return Route(name=name, examples=examples, **{"models": "small", "threshold": 0.4, **fields})


BILLING, BUGS = route("billing", *MONEY), route("bugs", *CODE, threshold=0.35)


def followed(
    connection: Connection, *routes: Route, named: str | None = None, embedder: Any = EMBEDDER, **settings: Any
) -> Routes:
    """Routes that write without waiting, and are looked at only where a test says so (`look_now`) or asks often."""
    given = {"write_after_seconds": 0.0, **settings}
    return Routes(routes, named, connection, lambda: KEYS, TimedEmbedder(embedder), **given)


def settle(routes: Routes) -> Routes:
    """Look until there is nothing more to do: written, seen by the server's index, read back and found as wanted."""
    deadline = time.monotonic() + 10
    looks = 0
    while looks < 3 or routes.seen is None or not routes.is_asserted:
        assert time.monotonic() < deadline, f"the routes did not settle: {routes.troubles}"
        routes.look_now()
        looks += 1
        time.sleep(0.001)
    return routes


def taken(routes: Routes, text: str) -> str | None:
    """The route that a text takes."""
    assert routes.at_hand is not None
    return match(routes.at_hand, EMBEDDER.embed(text)).name


def examples(routes: Routes) -> dict[str, tuple[str, ...]]:
    """The examples at hand."""
    return {} if routes.at_hand is None else {one.name: one.examples for one in routes.at_hand.routes}


def vectorizer() -> CustomVectorizer:
    """The embedder as redisvl takes one."""
    return CustomVectorizer(embed=lambda text: EMBEDDER.embed(text).tolist())


def their_router(client: Redis, name: str, routes: Sequence[TheirRoute], *, way: str = "min") -> SemanticRouter:
    """A router that somebody makes with redisvl."""
    config = RoutingConfig(aggregation_method=way)
    return SemanticRouter(
        name=name, routes=list(routes), vectorizer=vectorizer(), routing_config=config, redis_client=client
    )


@contextmanager
def client_of(url: str) -> Iterator[Redis]:
    """Another client, as another process has it."""
    client = Redis.from_url(url)
    yield client
    client.close()
