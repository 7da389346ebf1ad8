"""Which embedder is meant by what a user hands in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from steprouter.errors import ConfigError

from .adapters import LangChainEmbedder, VectorizerEmbedder
from .embedder import Embedder
from .static import StaticEmbedder

OURS = ("identity", "dimension", "blocks", "embed", "embed_many")
LANGCHAIN = ("embed_query", "embed_documents")
REDISVL = ("model", "dims", "embed", "embed_many")


def embedder_of(given: Any) -> Embedder:
    """An embedder, from anything that can be made one.

    Args:
        given: `None` for the table in this package, an `Embedder`, LangChain `Embeddings` that tell their model and
            dimension, or a redisvl vectorizer. Known by their methods, so neither library is imported.

    Raises:
        ConfigError: It is nothing of these, or does not tell what an embedder's identity needs.
    """
    if given is None:
        return StaticEmbedder()
    # A class has the methods of its instances, but cannot embed.
    if not isinstance(given, type):
        if not lacking(given, OURS):
            ours: Embedder = given
            return ours
        if not lacking(given, LANGCHAIN):
            return from_langchain(given)
        if not lacking(given, REDISVL):
            return VectorizerEmbedder(given)
    raise ConfigError(
        "an embedder must be an Embedder, LangChain Embeddings or a redisvl vectorizer, "
        f"got {described(given)}; leave it out for the one in the package"
    )


def from_langchain(embeddings: Any) -> LangChainEmbedder:
    """LangChain's embedder under our promises, if it tells what it is.

    Raises:
        ConfigError: It does not.
    """
    model = next((one for one in found(embeddings, "model", "model_name") if isinstance(one, str) and one), None)
    dimension = next((one for one in found(embeddings, "dimensions", "size") if isinstance(one, int) and one > 0), None)
    if model is None or dimension is None:
        untold = " and ".join(name for name, one in (("model", model), ("dimension", dimension)) if one is None)
        raise ConfigError(
            f"LangChain Embeddings must tell their model and dimension, {type(embeddings).__name__!r} does not tell "
            f"its {untold}; wrap it: LangChainEmbedder(embeddings, model={model or '...'!r}, "
            f"dimension={dimension or '...'})"
        )
    return LangChainEmbedder(embeddings, model=model, dimension=dimension)


def found(given: object, *names: str) -> Iterable[object]:
    """The attributes that are there."""
    return (getattr(given, name) for name in names if hasattr(given, name))


def lacking(given: object, names: Iterable[str]) -> list[str]:
    """The attributes that are not there."""
    return [name for name in names if not hasattr(given, name)]


def described(given: object) -> str:
    """What a complaint calls it, and what it lacks to be an `Embedder`."""
    if isinstance(given, type):
        return f"the class {given.__name__!r}, not an instance"
    return f"{type(given).__name__!r}, which lacks {', '.join(lacking(given, OURS))}"
