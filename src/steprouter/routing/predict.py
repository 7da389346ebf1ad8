"""What a predictor promises: what to think of each model at a step before an outcome of it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..memory.recall import Missing, Vector
from ..step.step import Step
from .odds import Prior

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STRONGEST = 12.0
"""Observations that a prediction weighs at most: twice a guess by tier; a dozen outcomes of one's own outvote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an answer of a model to a kind of step takes.

    Attributes:
        output_tokens: Average length; None if unknown.
        seconds: Average time; None if unknown.
    """

    output_tokens: float | None = None
    seconds: float | None = None


def expect_nothing(model: str) -> Expected:
    """Nothing is known of a model."""
    return EXPECTED_NOTHING


EXPECTED_NOTHING = Expected()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What a predictor says of the models at one step.

    Attributes:
        priors: What to think of each model it knows.
        expects: What an answer of a model takes, by its name; knows nothing of any by default.
    """

    priors: Mapping[str, Prior] = field(default_factory=dict)
    expects: Callable[[str], Expected] = field(default=expect_nothing, repr=False)


@runtime_checkable
class Predictor(Protocol):
    """Gives priors for the models at a step.

    Promises:
        - `priors` names only models it knows at this kind of step; for the others the step-kind table counts.
        - A prior's strength is above 0 and at most `STRONGEST`.
        - The same step gets the same priors each time; nothing is read, sent or waited for.
        - It takes less than a millisecond, however long the text is.
        - Without what it needs (a vector, a text) it says nothing rather than guess.
    """

    @property
    def embedder(self) -> str | None:
        """Identity of the embedder whose vectors it takes; None if it takes none."""
        ...

    def priors(self, kind: str, vector: npt.NDArray[np.float32] | None, text: str) -> Mapping[str, Prior]:
        """What to think of each model it knows.

        Args:
            kind: What the step is, by the value of its `StepKind`.
            vector: The step's text as a vector of unit length, (d,); None where it was not embedded.
            text: The step's text, as it was embedded.
        """
        ...

    def usual(self, kind: str) -> Mapping[str, float]:
        """The mean of its priors' success at a kind of step, by model.

        What a step's own prior differs by from this is what its text tells; counts of outcomes know the mean better,
        but nothing of the text.
        """
        ...

    def expected(self, kind: str, model: str) -> Expected:
        """Length and time of an answer; all None where it does not know the model at this kind of step."""
        ...


NOTHING_FORETOLD = Foretold()


def foretell(predictor: Predictor | None, step: Step, vector: Vector | Missing, text: str) -> Foretold:
    """What a predictor says of a step; nothing where there is none.

    Args:
        predictor: Who is asked.
        step: The step.
        vector: Its text as a vector, or why there is none.
        text: The text that was embedded.
    """
    if predictor is None:
        return NOTHING_FORETOLD
    kind = str(step.kind)
    known = None if isinstance(vector, Missing) else vector
    return Foretold(priors=predictor.priors(kind, known, text), expects=partial(predictor.expected, kind))
