"""The embedder that needs no model: the sum of a text's wordpieces in a table, at unit length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .table import DIMENSION, HERE, VERSION, Table, load
from .unit import unit
from .wordpiece import WordPiece

CHARACTERS_READ = 2048
"""Of a text, its first so many: about 500 wordpieces, twice what the teacher reads, so time is bounded."""


class StaticEmbedder:
    """Vectors from the table in this package, or from another that `scripts/distil_embedding.py` made.

    Word order does not count, nor does case. The table is read at the first use, not before, and once a process;
    processes share its pages. Threads may share an embedder.

    Args:
        folder: Where the table lies.
        name: What tells vectors of this table from those of another.
    """

    dimension = DIMENSION
    blocks = False

    def __init__(self, folder: Path = HERE, *, name: str = f"steprouter-static-{VERSION}") -> None:
        self.folder = folder
        self.identity = f"{name}/{DIMENSION}"
        self.opened: tuple[WordPiece, Table] | None = None

    def embed(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of one text, (256,) float32, unit length; a text without words gets `unit.NOWHERE`'s."""
        wordpiece, table = self.opened or self.open()
        rows = np.array(wordpiece.ids(text[:CHARACTERS_READ]), dtype=np.intp)
        # `take` is a third quicker than indexing.
        return unit(table.scales.take(rows) @ table.vectors.take(rows, axis=0).astype(np.float32))

    def embed_many(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts in their order, (n, 256); one by one, so that each equals `embed`'s to the bit."""
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed(text)
        return vectors

    def open(self) -> tuple[WordPiece, Table]:
        """The tokenizer and the table, kept for the next text."""
        self.opened = opened(self.folder)
        return self.opened


@cache
def opened(folder: Path) -> tuple[WordPiece, Table]:
    """A folder's tokenizer and table, once a process.

    Threads that race for the first use may read it more than once, to the same effect; a lock instead could be
    left held in a forked process.
    """
    table = load(folder)
    return WordPiece(table.pieces), table
