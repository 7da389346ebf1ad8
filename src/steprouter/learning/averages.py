"""How long answers are and how long they take, by kind and model."""

from __future__ import annotations

import numpy as np

from .table import Floats, Table, totals

STRENGTH = 5.0
"""Answers that a model's mean over all kinds weighs in its mean at one: lengths of a kind spread about as much as
they differ between kinds, so a handful settles it."""


def averages(table: Table, values: Floats) -> Floats:
    """Means of a column, (kinds, models), each drawn to the model's over all kinds; NaN where there is no row.

    Args:
        table: The rows.
        values: (n,) of each row, NaN where unknown.
    """
    size = (len(table.kinds), len(table.models))
    there = ~np.isnan(values)
    cells = (table.kind * size[1] + table.model)[there]
    sums = totals(cells, values[there], size)
    rows = totals(cells, np.ones(len(cells)), size)
    overall = sums.sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
    return np.where(rows > 0, (sums + STRENGTH * overall) / (rows + STRENGTH), np.nan)
