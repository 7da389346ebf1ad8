"""What was learnt, in the shape in which a router asks it: scales folded into weights, steps sorted by kind."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..routing.marks import PLACES
from ..routing.trained import Form, LinearForm, NearestForm
from .contenders import FURTHEST, Fitted
from .features import ALWAYS, SHAPE_SCALE, VECTOR_SCALE
from .knn import NEIGHBOURS, Neighbours
from .logistic import Linear


def form_of(fitted: Fitted) -> Form:
    """The form of a contender that has learnt.

    Raises:
        ConfigError: It has none.
    """
    if isinstance(fitted, Linear):
        return linear_form(fitted)
    if isinstance(fitted, Neighbours):
        return nearest_form(fitted)
    raise ConfigError(f"a predictor must be linear or of nearest steps to be kept, got {type(fitted).__name__}")


def linear_form(fitted: Linear) -> LinearForm:
    """Weights that take the vector as it is and counts in standard deviations."""
    scales, weights = fitted.scales, fitted.weights.astype(np.float32)
    used, rest = fitted.features.used, weights[fitted.features.words :]
    words = None
    if scales.rarity is not None:
        words = np.zeros((PLACES, weights.shape[1]), dtype=np.float32)
        words[used] = weights[: len(used)]
    always = np.float32(ALWAYS) * rest[-1]
    vector = shape = None
    if scales.vector_mean is not None:
        vector, rest = np.float32(VECTOR_SCALE) * rest[: len(scales.vector_mean)], rest[len(scales.vector_mean) :]
        always = always - scales.vector_mean @ vector
    if scales.shape_mean is not None:
        shape = np.float32(SHAPE_SCALE / len(scales.shape_mean) ** 0.5) * rest[: len(scales.shape_mean)]
    return LinearForm(
        base=fitted.means.logits.astype(np.float32),
        always=always,
        models=fitted.models.astype(np.float32),
        words=words,
        rarity=scales.rarity,
        vector=vector,
        shape=shape,
        shape_mean=scales.shape_mean,
        shape_width=scales.shape_width,
    )


def nearest_form(fitted: Neighbours) -> NearestForm:
    """The steps that are kept, those of a kind side by side."""
    kinds = fitted.kinds[fitted.steps]
    order = np.argsort(kinds, kind="stable")
    count = len(fitted.means.success)
    return NearestForm(
        vectors=np.ascontiguousarray(fitted.vectors[fitted.steps[order]], dtype=np.float32),
        starts=np.concatenate(([0], np.cumsum(np.bincount(kinds, minlength=count)))).astype(np.int64),
        good=fitted.good[order].astype(np.float32),
        mass=fitted.mass[order].astype(np.float32),
        base=fitted.means.success.astype(np.float32),
        strength=fitted.strength,
        neighbours=NEIGHBOURS,
        furthest=FURTHEST,
    )
