"""Other people's embedders under our promises: LangChain's `Embeddings` and redisvl's vectorizers.

Nothing of theirs is imported; an object with the right methods will do. They may call a server and block while
they do. What they raise is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from steprouter.errors import ConfigError

from .unit import unit

Vector = Sequence[float]

UNNAMED = "custom"
"""What redisvl's `CustomVectorizer` calls its model, whatever function is inside."""


class Embeddings(Protocol):
    """The part of `langchain_core.embeddings.Embeddings` that is used."""

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text that asks."""
        ...


class Vectorizer(Protocol):
    """The part of `redisvl.utils.vectorize.BaseVectorizer` that is used."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def dims(self) -> int | None:
        """Numbers in a vector."""
        ...

    # Positional, as redisvl has renamed its parameters before.
    def embed(self, content: str, /) -> Vector:
        """The vector of one text."""
        ...

    def embed_many(self, contents: list[str], /) -> Sequence[Vector]:
        """The vectors of texts."""
        ...


class LangChainEmbedder:
    """Any LangChain `Embeddings`, at unit length.

    Every text is embedded as a query, because we compare steps with steps: models that embed a document
    otherwise than a query would put one text in two places.

    Args:
        embeddings: What LangChain's `init_embeddings` or a class such as `OpenAIEmbeddings` gives.
        model: The model's name and version, which LangChain's interface does not tell; part of the identity.
        dimension: Numbers in a vector; stated, as asking the model would cost a call.
    """

    blocks = True

    def __init__(self, embeddings: Embeddings, *, model: str, dimension: int) -> None:
        self.embeddings = embeddings
        self.dimension = dimension
        self.identity = f"langchain:{model}/{dimension}"

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, (dimension,) float32, unit length."""
        (vector,) = self.embed_many([text])
        return np.asarray(vector, dtype=np.float32)

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts, (n, dimension); one call a text, as LangChain has none for many queries."""
        return embed_worded(self, texts, lambda worded: [self.embeddings.embed_query(text) for text in worded])


class VectorizerEmbedder:
    """Any redisvl vectorizer, at unit length.

    Args:
        vectorizer: Knows its `model` and `dims`; must return numbers, not buffers, which is its default.
        model: The model's name and version, part of the identity; default the vectorizer's `model`.

    Raises:
        ConfigError: The vectorizer does not tell its model or dimension.
    """

    blocks = True

    def __init__(self, vectorizer: Vectorizer, *, model: str | None = None) -> None:
        if not vectorizer.dims:
            raise ConfigError(f"a vectorizer must know its dims, got {vectorizer.dims!r}; set dims when making it")
        named = model or vectorizer.model
        if named == UNNAMED:
            raise ConfigError(
                f"a vectorizer must tell its model, got {named!r}, which is every custom one's; "
                "wrap it: VectorizerEmbedder(vectorizer, model=...)"
            )
        self.vectorizer = vectorizer
        self.dimension = vectorizer.dims
        self.identity = f"redisvl:{named}/{vectorizer.dims}"

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, (dimension,) float32, unit length."""
        (vector,) = embed_worded(self, [text], lambda worded: [self.vectorizer.embed(one) for one in worded])
        return np.asarray(vector, dtype=np.float32)

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts, (n, dimension), in as many calls as the vectorizer makes of them."""
        return embed_worded(self, texts, self.vectorizer.embed_many)


class Named(Protocol):
    """What a complaint about vectors tells."""

    identity: str
    dimension: int


def embed_worded(
    embedder: Named, texts: Sequence[str], embed: Callable[[list[str]], Sequence[Vector]]
) -> npt.NDArray[np.float32]:
    """Vectors of all texts, of which only those with words are sent: redisvl and most servers refuse the others."""
    zero = np.zeros(embedder.dimension, dtype=np.float32)
    rows = [row for row, text in enumerate(texts) if text.strip()]
    vectors = np.array([unit(zero)] * len(texts), dtype=np.float32).reshape(-1, embedder.dimension)
    if rows:
        given = embed([texts[row] for row in rows])
        if len(given) != len(rows):
            raise ConfigError(
                f"{embedder.identity!r} must give a vector for each text, gave {len(given)} for {len(rows)}"
            )
        for row, vector in zip(rows, given, strict=True):
            vectors[row] = unit(checked(vector, embedder))
    return vectors


def checked(vector: Vector, embedder: Named) -> npt.NDArray[np.float32]:
    """A foreign vector as an array, if it is what was announced."""
    numbers = np.asarray(vector, dtype=np.float32)
    if numbers.shape != (embedder.dimension,):
        raise ConfigError(
            f"{embedder.identity!r} must give {embedder.dimension} numbers, gave shape {numbers.shape}; "
            "state the model's own dimension"
        )
    if not np.isfinite(numbers).all():
        raise ConfigError(f"{embedder.identity!r} must give finite numbers, gave NaN or infinity; check the model")
    return numbers
