"""Unit length, for every vector that leaves this package."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

NOWHERE = -1
"""The axis a vector without direction is put on. Cosine needs some direction (Redis gives NaN for a zero vector);
in the static table the last axis is the least principal component, to which no text comes near."""


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A vector at unit length; one of length zero becomes the last axis."""
    length = math.sqrt(float(vector @ vector))
    if length > 0:
        return vector / np.float32(length)
    axis = np.zeros_like(vector)
    axis[NOWHERE] = 1
    return axis
