"""What an embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how alike two texts are.

    Promises:
        - A vector is float32, of `dimension` numbers, and of unit length, for every text, the empty one too.
        - The same text gets the same vector each time, alone or among others.
        - `embed_many` gives one row a text, in their order, and no row for no texts.
        - Two embedders with one `identity` give vectors that may be compared; it names the model, its version
          and the dimension, so an index that notes it knows when it has to be built anew.
        - `blocks` tells truly whether a call may wait for something or compute for long.
        - Making an embedder reads nothing and connects to nothing; the first `embed` may.
    """

    @property
    def identity(self) -> str:
        """Model, version and dimension."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def blocks(self) -> bool:
        """True if a call may take longer than a few milliseconds, so that an event loop must run it in a thread."""
        ...

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, (dimension,)."""
        ...

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts, (n, dimension)."""
        ...
