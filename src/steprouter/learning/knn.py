"""The nearest recorded steps: how a model did on what resembles the step, on top of the step-kind table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..memory.neighbours import ROWS, WIDTH
from .contenders import FURTHEST, Means, logit, means_of
from .features import Places, Seen
from .table import Floats, Table, Vectors, totals

STRENGTHS = (100.0, 30.0, 10.0, 3.0)
"""Tried in turn: observations that the table weighs beside the neighbours."""

NEIGHBOURS = 100
"""More than memory asks: 100 foretell better than 10 on every set of arXiv 2505.12601."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Success among the nearest steps, weighted as memory weighs them, and the table's mean as so many more."""

    name: str = "knn"
    settings: Sequence[float] = STRENGTHS

    def fit(self, read: Seen, table: Table, setting: float) -> Neighbours:
        """Keeps the steps, of more than `ROWS` an even selection.

        Raises:
            ValueError: There are no vectors.
        """
        if read.vectors is None:
            raise ValueError("nearest steps need vectors")
        steps, mine = np.unique(table.item, return_inverse=True)
        size = (len(steps), len(table.models))
        cells = mine * size[1] + table.model
        mass = totals(cells, table.weight, size)
        good = totals(cells, table.weight * table.success, size)
        kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), ROWS)).astype(np.intp))
        return Neighbours(
            read.vectors, table.items.kinds, steps[kept], good[kept], mass[kept], means_of(table), setting
        )


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Steps to compare with.

    Attributes:
        vectors: (n, d) of all steps.
        kinds: (n,) kinds of all steps.
        steps: (k,) places of those that are kept.
        good: (k, models) success of each model there, in observations.
        mass: (k, models) observations.
        means: The step-kind table.
        strength: Observations that the table weighs.
    """

    vectors: Vectors
    kinds: npt.NDArray[np.int64]
    steps: Places
    good: Floats
    mass: Floats
    means: Means
    strength: float

    def logits(self, chosen: Places) -> Floats:
        """Log odds of each model at some steps."""
        found = np.empty((len(chosen), self.mass.shape[1]))
        known = self.vectors[self.steps]
        count = min(NEIGHBOURS, len(known))
        for start in range(0, len(chosen), 256):
            here = chosen[start : start + 256]
            cosines = self.vectors[here] @ known.T
            # A step of another kind is no neighbour, however it reads.
            cosines[self.kinds[here][:, None] != self.kinds[self.steps]] = -np.inf
            places = np.argpartition(cosines, -count, axis=1)[:, -count:]
            near = np.take_along_axis(cosines, places, axis=1).astype(np.float64)
            weights = np.exp(-np.maximum(0.0, 1.0 - near) / WIDTH)
            base = self.means.success[self.kinds[here]]
            good = self.strength * base + np.einsum("nk,nkm->nm", weights, self.good[places])
            mass = self.strength + np.einsum("nk,nkm->nm", weights, self.mass[places])
            found[start : start + 256] = logit(np.clip(good / mass, FURTHEST, 1 - FURTHEST))
        return found
