"""Which outcomes may go when there are too many: those that tell least beside the ones that stay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .neighbours import ROWS, WIDTH, Row, stacked
from .outcomes import HALF_LIFE_SECONDS

OUTCOMES_PER_KIND = 2 * ROWS
"""Per tenant and kind: twice what a process looks at, since labels of old outcomes, outcomes that were not embedded
and those of another embedder take places too. Some 15 MB in Redis at 256 dimensions; comparing all pairs takes
0.2 s and grows with the square."""

AWAITED_SECONDS = 3600.0
"""An outcome younger than this counts in full: its label may be on the way, and what is dropped gets none."""

VERDICTS = (1 / 3, 2 / 3)
"""Bounds of the scores that are nearly the same: wrong, between, right."""

BLOCK = 256
"""Rows compared with all others at once: 10 MB at 10 000 rows."""


def least_informative(rows: Sequence[Row], keep: int, now: float) -> tuple[str, ...]:
    """Names of the rows to drop so that `keep` are left, what tells least first.

    A row's value is `w / (1 + M)`. `w` is its label's confidence times its decay: what it weighs, in observations.
    `M` is what rows of the same model and nearly the same score weigh that are worth more, each by the kernel
    on cosine with which neighbours are weighed. So a thousandth success of a kind tells a thousandth of the first,
    a label by mere absence of complaint a tenth of a person's, and a failure among successes keeps its value however
    many successes there are: it alone can change the estimate. What has no vector is compared as if all were alike.

    Args:
        rows: Each name once.
        keep: How many are to be left.
        now: Unix time in seconds.

    Returns:
        The same for the same rows in whatever order, up to rounding.

    Raises:
        ValueError: Two vectors have different dimensions.
    """
    if len(rows) <= keep:
        return ()
    ordered = sorted(rows, key=lambda row: (-worth(row, now), -row.changed, row.id))
    groups: dict[tuple[str, int, bool], list[int]] = {}
    for place, row in enumerate(ordered):
        groups.setdefault((row.model, verdict(row.score), row.vector is None), []).append(place)
    values = np.array([worth(row, now) for row in ordered])
    for places in groups.values():
        values[places] /= 1 + covered([ordered[place] for place in places], values[places])
    least_first = np.lexsort((-np.arange(len(ordered)), values))
    return tuple(ordered[place].id for place in least_first[: len(rows) - max(keep, 0)])


def worth(row: Row, now: float) -> float:
    """What a row weighs by itself, in observations."""
    age = max(0.0, now - row.at)
    return (1.0 if age < AWAITED_SECONDS else row.weight) * math.exp2(-age / HALF_LIFE_SECONDS)


def verdict(score: float) -> int:
    """Which of the nearly equal scores it is."""
    return sum(score >= bound for bound in VERDICTS)


def covered(rows: Sequence[Row], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What the rows before each one weigh where it is, (n,), in observations.

    Args:
        rows: All with a vector or none, falling in weight.
        weights: (n,) What they weigh by themselves.
    """
    first = rows[0].vector
    if first is None:
        return np.cumsum(weights) - weights
    vectors, light = stacked(rows, len(first)), weights.astype(np.float32)
    mass = np.zeros(len(rows))
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        alike = vectors[start:stop] @ vectors[:stop].T
        alike -= 1
        alike /= WIDTH
        np.minimum(alike, 0, out=alike)
        np.exp(alike, out=alike)
        # Of its own block, only those before a row count.
        alike[:, start:] = np.tril(alike[:, start:], -1)
        mass[start:stop] = alike @ light[:stop]
    return mass
