"""A trained predictor at work: arithmetic on a handful of arrays, 0.1 ms a step with eight models.

Training, files and what they hold are `learning`'s. The module needs NumPy when it is imported, so what starts
without a predictor imports it late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..memory.neighbours import WIDTH, products
from .marks import read, standardised, weighted
from .odds import Prior
from .predict import Expected

Floats = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]


class Form(Protocol):
    """What was learnt, in the shape in which it is asked."""

    @property
    def dimension(self) -> int | None:
        """Numbers of the vectors it takes; None if it takes none."""
        ...

    def logits(self, kind: int, vector: Floats | None, text: str) -> Exact | None:
        """Log odds of each model, (models,), before calibration; None where it cannot say.

        Args:
            kind: Place of the kind.
            vector: (d,) unit length; None where the step was not embedded.
            text: The step's text.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearForm:
    """Log odds of the step-kind table and a sum over words, vector and shape, through `rank` hidden numbers.

    Attributes:
        base: (kinds, models) log odds of the table.
        always: (rank,) what every step has.
        models: (rank, models) how each model weighs the hidden numbers.
        words: (places, rank); None if words are not looked at.
        rarity: (places,) weights of the places; there if `words` is.
        vector: (d, rank); None if the vector is not looked at.
        shape: (s, rank); None if the shape is not looked at.
        shape_mean: (s,); there if `shape` is.
        shape_width: (s,); there if `shape` is.
    """

    base: Floats
    always: Floats
    models: Floats
    words: Floats | None = None
    rarity: Floats | None = None
    vector: Floats | None = None
    shape: Floats | None = None
    shape_mean: Floats | None = None
    shape_width: Floats | None = None

    @property
    def dimension(self) -> int | None:
        """Numbers of the vectors it takes."""
        return None if self.vector is None else len(self.vector)

    def logits(self, kind: int, vector: Floats | None, text: str) -> Exact | None:
        """Log odds of each model; None where the vector or the text that it needs is not there."""
        hidden = self.always
        if self.vector is not None:
            if vector is None:
                return None
            hidden = hidden + vector @ self.vector
        if self.words is not None or self.shape is not None:
            if not text.strip():
                return None
            places, counts, shape = read(text)
            if self.words is not None and self.rarity is not None:
                hidden = hidden + weighted(places, counts, self.rarity) @ self.words.take(places, axis=0)
            if self.shape is not None and self.shape_mean is not None and self.shape_width is not None:
                hidden = hidden + standardised(shape, self.shape_mean, self.shape_width) @ self.shape
        odds: Exact = (self.base[kind] + hidden @ self.models).astype(np.float64)
        return odds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearestForm:
    """Success among the nearest steps of the same kind, and the table's mean as `strength` more.

    Attributes:
        vectors: (n, d) unit length, the steps of one kind after the other.
        starts: (kinds + 1,) where each kind's begin.
        good: (n, models) successes, in observations.
        mass: (n, models) observations.
        base: (kinds, models) means of the table.
        strength: Observations that the mean weighs.
        neighbours: How many nearest steps are asked.
        furthest: How near to 0 and 1 a mean may come.
    """

    vectors: Floats
    starts: npt.NDArray[np.int64]
    good: Floats
    mass: Floats
    base: Floats
    strength: float
    neighbours: int
    furthest: float

    @property
    def dimension(self) -> int | None:
        """Numbers of the vectors it takes."""
        return int(self.vectors.shape[1])

    def logits(self, kind: int, vector: Floats | None, text: str) -> Exact | None:
        """Log odds of each model; None where the step was not embedded."""
        if vector is None:
            return None
        first, end = int(self.starts[kind]), int(self.starts[kind + 1])
        cosines = products(self.vectors[first:end], vector)
        rows = np.arange(len(cosines))
        if len(rows) > self.neighbours:
            rows = cosines.argpartition(-self.neighbours)[-self.neighbours :]
        weights = np.exp(-np.maximum(0.0, 1.0 - cosines.take(rows)) / np.float32(WIDTH))
        good = self.strength * self.base[kind] + weights @ self.good[first:end].take(rows, axis=0)
        mass = self.strength + weights @ self.mass[first:end].take(rows, axis=0)
        means = (good / mass).astype(np.float64).clip(self.furthest, 1 - self.furthest)
        odds: Exact = np.log(means) - np.log1p(-means)
        return odds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """How log odds become calibrated ones: a straight line, or the corners of a rising one.

    Attributes:
        slope: Of the straight line.
        intercept: Of the straight line.
        scores: (k,) rising; empty for a straight line.
        logits: (k,) calibrated log odds there.
    """

    slope: float = 1.0
    intercept: float = 0.0
    scores: Exact = field(default_factory=lambda: np.empty(0))
    logits: Exact = field(default_factory=lambda: np.empty(0))

    def __call__(self, logits: Exact) -> Exact:
        """Calibrated log odds."""
        if not len(self.scores):
            return self.slope * logits + self.intercept
        found: Exact = np.interp(logits, self.scores, self.logits)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedPredictor:
    """A `Predictor` that `steprouter train` made.

    A prediction stays within what was predicted on held-out rows of the model, so that no text, however it is
    written, makes a model look better or worse than any step that was measured.

    Attributes:
        kinds: Place of each kind of step.
        models: Names, in the order of all arrays.
        embedder: Identity of the embedder whose vectors it takes; None if it takes none.
        form: What was learnt; None if the step-kind table was as good, and then there are no priors.
        curve: From log odds to calibrated ones.
        known: (kinds, models) whether enough rows of the model at the kind were learnt from.
        means: (kinds, models) mean of the probabilities on held-out rows; 0 where there was none.
        low: (models,) lowest probability.
        high: (models,) highest.
        strength: What a prior weighs, in observations.
        output_tokens: (kinds, models) average length of an answer, NaN where unknown.
        seconds: (kinds, models) average time, NaN where unknown.
    """

    kinds: Mapping[str, int]
    models: tuple[str, ...]
    embedder: str | None
    form: Form | None
    curve: Curve
    known: npt.NDArray[np.bool_]
    means: Exact
    low: Exact
    high: Exact
    strength: float
    output_tokens: Exact
    seconds: Exact

    @property
    def enabled(self) -> bool:
        """Whether it gives priors; lengths and times it gives anyway."""
        return self.form is not None

    @property
    def dimension(self) -> int | None:
        """Numbers of the vectors it takes; None if it takes none."""
        return None if self.form is None else self.form.dimension

    def __repr__(self) -> str:
        what = "priors" if self.enabled else "lengths and times"
        return f"TrainedPredictor({what} of {', '.join(self.models)})"

    def priors(self, kind: str, vector: Floats | None, text: str) -> Mapping[str, Prior]:
        """What to think of each model it knows at this kind of step; nothing where it cannot say."""
        place = self.kinds.get(kind)
        if place is None or self.form is None:
            return {}
        if self.dimension is not None and vector is not None and vector.shape != (self.dimension,):
            return {}
        logits = self.form.logits(place, vector, text)
        if logits is None:
            return {}
        chances = (0.5 + 0.5 * np.tanh(0.5 * self.curve(logits))).clip(self.low, self.high).tolist()
        known = self.known[place].tolist()
        return {
            model: Prior(success=chance, strength=self.strength)
            for model, chance, is_known in zip(self.models, chances, known, strict=True)
            if is_known
        }

    def usual(self, kind: str) -> Mapping[str, float]:
        """The mean of the priors' success at a kind of step, by model; nothing where there are no priors."""
        place = self.kinds.get(kind)
        if place is None or self.form is None:
            return {}
        rows = zip(self.models, self.means[place].tolist(), self.known[place].tolist(), strict=True)
        return {model: mean for model, mean, is_known in rows if is_known}

    def expected(self, kind: str, model: str) -> Expected:
        """Length and time of an answer of a model."""
        place = self.kinds.get(kind)
        if place is None or model not in self.models:
            return Expected()
        column = self.models.index(model)
        tokens, seconds = float(self.output_tokens[place, column]), float(self.seconds[place, column])
        return Expected(
            output_tokens=None if math.isnan(tokens) else tokens, seconds=None if math.isnan(seconds) else seconds
        )
