"""The numbers a step is seen as: its vector, its words, and its shape, on scales that suit one penalty.

Words are what a text says in particular, the vector is what it is about: on MMLU words alone give APGR .693, the
vector alone .655, both .696. All of it comes from texts that strangers may have written, so each block has a bounded
length, and a prediction is kept within what was seen in training (`routing.trained`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..routing.marks import PLACES, SHAPE, read, standardised
from .table import Items, Vectors

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

VECTOR_SCALE = 0.3
"""Of the vector beside the words, which have length 1. At 1, APGR on MMLU falls from .696 to .683 and on GSM8K from
.614 to .600, as 256 directions that all texts share are easily overfitted."""

SHAPE_SCALE = 0.6
"""Of the shape, by the square root of its numbers."""

ALWAYS = 3.0
"""A number that is the same for all steps: what every model gets or loses, hardly penalised."""

SEEN = 2
"""Steps that have to fall on a place before it counts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What was read of each step, before anything is fitted.

    Attributes:
        vectors: (n, d); None where vectors are not known or not wanted.
        starts: (n + 1,) where each step's places begin; None where texts are not known.
        places: All places, step by step.
        counts: The weight of each, 1 + ln of how often.
        shapes: (n, s); None where texts are not known.
    """

    vectors: Vectors | None
    starts: Places | None
    places: Places
    counts: npt.NDArray[np.float32]
    shapes: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        several = self.shapes if self.shapes is not None else self.vectors
        return 0 if several is None else len(several)

    def without(self, *, vector: bool = False, words: bool = False, shape: bool = False) -> Seen:
        """The same with blocks left out."""
        return Seen(
            vectors=None if vector else self.vectors,
            starts=None if words else self.starts,
            places=self.places,
            counts=self.counts,
            shapes=None if shape else self.shapes,
        )


def seen(items: Items) -> Seen:
    """Reads texts and vectors of steps."""
    if items.texts is None:
        nothing = np.empty(0, dtype=np.float32)
        return Seen(vectors=items.vectors, starts=None, places=nothing.astype(np.intp), counts=nothing, shapes=None)
    every = [read(text) for text in items.texts]
    return Seen(
        vectors=items.vectors,
        starts=np.concatenate(([0], np.cumsum([len(one[0]) for one in every]))).astype(np.intp),
        places=np.concatenate([one[0] for one in every]),
        counts=np.concatenate([one[1] for one in every]),
        shapes=np.stack([one[2] for one in every]),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scales:
    """How what is read becomes features; fitted to the steps that are learnt from.

    Attributes:
        rarity: (places,) weight of each place, 0 where too few steps fall; None without words.
        vector_mean: (d,); None without vectors.
        shape_mean: (s,); None without shape.
        shape_width: (s,) what a standard deviation is.
    """

    rarity: npt.NDArray[np.float32] | None
    vector_mean: npt.NDArray[np.float32] | None
    shape_mean: npt.NDArray[np.float32] | None
    shape_width: npt.NDArray[np.float32] | None


def scales_of(read: Seen, chosen: Places) -> Scales:
    """The scales of some steps; a place's weight is 1 + ln((1 + n) / (1 + steps that fall on it)).

    Args:
        read: All steps.
        chosen: Places of those that are learnt from.
    """
    rarity = mean = middle = width = None
    if read.starts is not None:
        is_chosen = np.zeros(len(read), dtype=bool)
        is_chosen[chosen] = True
        falls = np.bincount(read.places[np.repeat(is_chosen, np.diff(read.starts))], minlength=PLACES)
        rarity = np.where(falls >= SEEN, 1 + np.log((1 + len(chosen)) / (1 + falls)), 0.0).astype(np.float32)
    if read.vectors is not None:
        mean = read.vectors[chosen].mean(axis=0)
    if read.shapes is not None:
        middle, width = read.shapes[chosen].mean(axis=0), read.shapes[chosen].std(axis=0)
        width = np.where(width > 1e-6, width, 1.0).astype(np.float32)
    return Scales(rarity=rarity, vector_mean=mean, shape_mean=middle, shape_width=width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """The features of steps: a sparse block of words and a dense one of everything else.

    Weights for them are columns of (`width`, k): first a row for each place of a word that counts, then the dense
    ones: vector, shape, and what is always there.

    Attributes:
        rows: (nnz,) the step of each sparse feature.
        places: (nnz,) its place, as a place in `used`.
        values: (nnz,) its value.
        dense: (n, e).
        used: The places that count, rising; empty without words.
    """

    rows: Places
    places: Places
    values: Floats
    dense: npt.NDArray[np.float32]
    used: Places

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def words(self) -> int:
        """How many weights the words have."""
        return len(self.used)

    @property
    def width(self) -> int:
        """How many features there are."""
        return self.words + int(self.dense.shape[1])

    def of(self, chosen: Places) -> Design:
        """The features of some steps, in their order; each at most once."""
        there = np.full(len(self), -1, dtype=np.intp)
        there[chosen] = np.arange(len(chosen))
        rows = there.take(self.rows)
        mine = rows >= 0
        return Design(
            rows=rows[mine],
            places=self.places[mine],
            values=self.values[mine],
            dense=self.dense[chosen],
            used=self.used,
        )

    def scores(self, weights: Floats) -> Floats:
        """The sum of features by weights, (n,), for weights (`width`,)."""
        found: Floats = (self.dense @ weights[self.words :].astype(np.float32)).astype(np.float64)
        if self.words:
            found += np.bincount(self.rows, self.values * weights.take(self.places), minlength=len(self))
        return found

    def slope(self, errors: Floats) -> Floats:
        """How the scores' errors, (n,), change with each weight, (`width`,)."""
        dense = errors.astype(np.float32) @ self.dense
        if not self.words:
            return dense.astype(np.float64)
        words = np.bincount(self.places, self.values * errors.take(self.rows), minlength=self.words)
        return np.concatenate((words, dense))


def design(read: Seen, scales: Scales) -> Design:
    """The features of all steps by the scales of some."""
    count = len(read)
    rows, places, values = np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float64)
    used = np.empty(0, np.intp)
    if read.starts is not None and scales.rarity is not None:
        rows = np.repeat(np.arange(count), np.diff(read.starts))
        places, values = read.places, (read.counts * scales.rarity.take(read.places)).astype(np.float64)
        lengths = np.sqrt(np.bincount(rows, values**2, minlength=count))
        values = values / np.maximum(lengths, 1e-9).take(rows)
        counts = values > 0
        used = np.flatnonzero(scales.rarity)
        rows, places, values = rows[counts], np.searchsorted(used, places[counts]), values[counts]
    return Design(
        rows=rows,
        places=places,
        values=values,
        dense=np.concatenate(dense_of(read, scales), axis=1),
        used=used,
    )


def dense_of(read: Seen, scales: Scales) -> Sequence[npt.NDArray[np.float32]]:
    """The dense blocks of all steps."""
    blocks = []
    if read.vectors is not None and scales.vector_mean is not None:
        blocks.append(np.float32(VECTOR_SCALE) * (read.vectors - scales.vector_mean))
    if read.shapes is not None and scales.shape_mean is not None and scales.shape_width is not None:
        counts = standardised(read.shapes, scales.shape_mean, scales.shape_width)
        blocks.append(np.float32(SHAPE_SCALE / len(SHAPE) ** 0.5) * counts)
    return [*blocks, np.full((len(read), 1), ALWAYS, dtype=np.float32)]
