"""Minimises a smooth function by L-BFGS (Liu and Nocedal 1989), in a page, so that training needs NumPy only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Sloped = Callable[[Floats], tuple[float, Floats]]
"""Gives a function's value and gradient."""

REMEMBERED = 8
"""Steps whose curvature is kept; 3 to 20 are usual (Nocedal and Wright, "Numerical Optimization", 7.2)."""

STEPS = 60
GAINED = 1e-6
"""A step that gains less, as a share of the value, is the last."""

HALVINGS = 25
DESCENT = 1e-4
"""Armijo's: a step has to gain so much of what the slope promises."""


def minimise(function: Sloped, start: Floats, *, steps: int = STEPS, gained: float = GAINED) -> Floats:
    """Where a smooth convex function is smallest, near enough.

    Args:
        function: Gives value and gradient.
        start: (n,).
        steps: At most.
        gained: When to stop; see `GAINED`.
    """
    place = start
    value, slope = function(place)
    kept: deque[tuple[Floats, Floats]] = deque(maxlen=REMEMBERED)
    for _ in range(steps):
        direction = descent(slope, kept)
        promised = float(slope @ direction)
        length = 1.0
        for _ in range(HALVINGS):
            there = place + length * direction
            new_value, new_slope = function(there)
            if new_value <= value + DESCENT * length * promised:
                break
            length /= 2
        else:
            return place
        moved, turned = there - place, new_slope - slope
        if moved @ turned > 0:
            kept.append((moved, turned))
        is_flat = value - new_value <= gained * max(1.0, abs(value))
        place, value, slope = there, new_value, new_slope
        if is_flat:
            return place
    return place


def descent(slope: Floats, kept: deque[tuple[Floats, Floats]]) -> Floats:
    """Where to go: the slope turned by what is known of the curvature (two-loop recursion)."""
    direction = -slope
    if not kept:
        return direction / max(1.0, float(np.linalg.norm(slope)))
    shares = []
    for moved, turned in reversed(kept):
        share = float(moved @ direction) / float(moved @ turned)
        shares.append(share)
        direction = direction - share * turned
    moved, turned = kept[-1]
    direction = direction * (float(moved @ turned) / float(turned @ turned))
    for (moved, turned), share in zip(kept, reversed(shares), strict=True):
        direction = direction + (share - float(turned @ direction) / float(moved @ turned)) * moved
    return direction
