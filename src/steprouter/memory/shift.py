"""Whether the texts of a kind of step have become of another sort than before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUCKETS = 16
"""The eight fixed random directions and their opposites: a text falls to the one it is nearest to (cross-polytope
hashing, arXiv 1509.02897). With the built-in embedder banking questions spread over them with 3.6 bits of 4."""

BLOCK = 64
"""Texts compared at once with those before: four a bucket, about the least for a chi-square test."""

REFERENCE = 512
"""Texts they are compared with, at most; beyond it the older half counts half."""

CRITICAL = 37.697
"""Chi-square, 15 degrees of freedom, one in a thousand. Drawn from 14 sets of intents (CLINC150, its domains,
Banking77, HWU64) 0.2 % of blocks of the same texts rang; another domain did in 80 to 100 % of the first blocks, a
neighbouring one or half a block of another in 10 to 80 %, and a part of what was known before in less."""

NOTHING = (0,) * BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What the texts of a kind of step are about, as counts, and whether that has just changed.

    Of a session only the first text of a kind counts, since the others resemble it. Counts are whole numbers, so that
    they are the same in whatever order texts come within a block.

    Attributes:
        before: Texts known before, by bucket.
        recent: Texts of the block that is filling, by bucket.
        ringing: Whether the last whole block was of another sort than those before it.
        at: When the last alarm was, Unix time in seconds; 0 if there was none.
    """

    before: tuple[int, ...] = NOTHING
    recent: tuple[int, ...] = NOTHING
    ringing: bool = False
    at: float = 0.0

    def after(self, bucket: int, at: float) -> Shift:
        """With one more text; a block that is whole is compared, and begins the next."""
        recent = tuple(count + (place == bucket) for place, count in enumerate(self.recent))
        if sum(recent) < BLOCK:
            return Shift(before=self.before, recent=recent, ringing=self.ringing, at=self.at)
        if sum(self.before) and differ(self.before, recent):
            return Shift(before=recent, ringing=True, at=at)
        halves = 2 if sum(self.before) + BLOCK > REFERENCE else 1
        before = tuple(old // halves + new for old, new in zip(self.before, recent, strict=True))
        return Shift(before=before, at=self.at)


def differ(before: Sequence[int], recent: Sequence[int]) -> bool:
    """Whether two counts are hardly of the same sort of texts, by the chi-square test of homogeneity."""
    old, new = sum(before), sum(recent)
    terms = ((new * b - old * r) ** 2 / (b + r) for b, r in zip(before, recent, strict=True) if b + r)
    return sum(terms) / (old * new) > CRITICAL


def bucket_of(vector: bytes) -> int:
    """Which bucket a text falls into, by its vector as float32 bytes; 0 to 15."""
    import numpy as np

    numbers = np.frombuffer(vector, dtype="<f4")
    along = directions(len(numbers)) @ numbers
    nearest = int(np.argmax(np.abs(along)))
    return 2 * nearest + int(along[nearest] > 0)


@lru_cache(maxsize=8)
def directions(dimension: int) -> npt.NDArray[np.float32]:
    """The directions, (8, dimension), the same in every process: signs by SHAKE-256."""
    import numpy as np

    count = BUCKETS // 2 * dimension
    drawn = shake_256(b"steprouter directions of texts").digest(-(-count // 8))
    bits = np.unpackbits(np.frombuffer(drawn, dtype=np.uint8))[:count]
    return (bits.reshape(-1, dimension).astype(np.float32) * 2 - 1) / np.float32(dimension**0.5)
