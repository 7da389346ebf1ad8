"""The embedder of a router that was given none: importing and making it brings neither NumPy nor the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .static import StaticEmbedder


class DefaultEmbedder:
    """`StaticEmbedder`, made when it is first asked for anything."""

    blocks = False

    @cached_property
    def inner(self) -> StaticEmbedder:
        """The embedder."""
        from .static import StaticEmbedder

        return StaticEmbedder()

    @property
    def identity(self) -> str:
        """Model, version and dimension."""
        return self.inner.identity

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self.inner.dimension

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, unit length."""
        return self.inner.embed(text)

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts in their order."""
        return self.inner.embed_many(texts)
