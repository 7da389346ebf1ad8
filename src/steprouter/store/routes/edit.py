"""A stored router for people: redisvl's own `SemanticRouter`, with a steprouter embedder as its vectorizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from steprouter.errors import StoreError

from .records import config_key

if TYPE_CHECKING:
    from redis import Redis
    from redisvl.extensions.router import SemanticRouter  # type: ignore[import-untyped] # redisvl ships no types


class EmbedsText(Protocol):
    """The part of an embedder that is used."""

    @property
    def identity(self) -> str:
        """Model, version and dimension."""
        ...

    def embed(self, text: str) -> Any:
        """The vector of one text."""
        ...


def semantic_router(name: str, embedder: EmbedsText, *, redis_client: Redis) -> SemanticRouter:
    """A stored router as redisvl's `SemanticRouter`, to be asked and changed with redisvl's methods.

    `SemanticRouter.from_existing` does the same for vectorizers of redisvl; it cannot make others.

    Args:
        name: The router's.
        embedder: What made its vectors, such as `steprouter.embedding.StaticEmbedder()`.
        redis_client: A sync client; `StepRouter.redis_url` says where the server is.

    Raises:
        StoreError: There is none of this name.
        redis.RedisError: The server does not answer.
    """
    from redisvl.extensions.router import SemanticRouter
    from redisvl.extensions.router.schema import Route, RoutingConfig  # type: ignore[import-untyped] # as above
    from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped] # as above

    said = redis_client.json().get(config_key(name))
    if not isinstance(said, dict):
        raise StoreError(f"there is no stored router {name!r}; a router whose policy says routes_in={name!r} writes it")
    vectorizer = CustomVectorizer(embed=lambda text: embedder.embed(text).tolist())
    vectorizer.model = embedder.identity  # else the document, which opening it writes, would no longer tell
    return SemanticRouter(
        name=name,
        routes=[Route(**one) for one in said["routes"]],
        vectorizer=vectorizer,
        routing_config=RoutingConfig(**said["routing_config"]),
        redis_client=redis_client,
    )
