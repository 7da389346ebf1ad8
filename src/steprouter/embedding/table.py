"""The table of the static embedder on disk: a row of int8 and a scale for each wordpiece, and the wordpieces.

Three files beside this module, made by `scripts/distil_embedding.py` and read with numpy only. A piece's row is
its place in the vocabulary; [UNK] is row 0 and the rest are BERT's ids from 999 on less 998, as the ids below are
markers and blanks that no text gives.

The vectors are distilled from all-MiniLM-L6-v2 (Apache-2.0); the wordpieces are those of BERT's uncased vocabulary
(Google, Apache-2.0). The texts they were fitted to, with licences, are listed in `docs/embedding.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

VERSION = 1
"""Rises with each change of a table or of the tokenizer, as vectors of two versions must never be compared."""

DIMENSION = 256
HERE = Path(__file__).parent
VECTORS, SCALES, PIECES = "vectors.npy", "scales.npy", "pieces.txt"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table:
    """A vector for each wordpiece: row r stands for `vectors[r] * scales[r]`.

    Attributes:
        vectors: (pieces, 256) int8, of which each row reaches 127 somewhere.
        scales: (pieces,) float32; the lengths say how much a piece weighs beside others.
        pieces: Each wordpiece and its row.
    """

    vectors: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    pieces: dict[str, int]


def quantised(vectors: npt.NDArray[np.float32], pieces: dict[str, int]) -> Table:
    """A table of float rows in a quarter of the room: each row rounded on its own scale."""
    scales = np.maximum(np.abs(vectors).max(axis=1), np.finfo(np.float32).tiny) / 127
    rounded = np.rint(vectors / scales[:, None]).astype(np.int8)
    return Table(vectors=rounded, scales=scales.astype(np.float32), pieces=pieces)


def save(table: Table, folder: Path = HERE) -> None:
    """Write a table for `load`."""
    np.save(folder / VECTORS, table.vectors, allow_pickle=False)
    np.save(folder / SCALES, table.scales, allow_pickle=False)
    ordered = sorted(table.pieces, key=table.pieces.__getitem__)
    (folder / PIECES).write_text("".join(f"{piece}\n" for piece in ordered), encoding="utf-8", newline="\n")


def load(folder: Path = HERE) -> Table:
    """The table in a folder; its vectors stay on disk until used, and processes share their pages."""
    # As plain arrays: numpy's memmap class costs three times as much on every look-up.
    vectors = np.asarray(np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))
    lines = (folder / PIECES).read_text(encoding="utf-8").split("\n")[:-1]
    return Table(
        vectors=vectors,
        scales=np.load(folder / SCALES, allow_pickle=False),
        pieces={piece: row for row, piece in enumerate(lines)},
    )
