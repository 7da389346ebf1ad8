"""Spreads the verdict on a whole episode over its steps, by the noisy-AND rule.

The model: an episode succeeds when the task is solvable at all and no step fails it, so
P(success) = p0 · Π p_i. A success says that every step was good enough. A failure blames each step by how
likely it failed given that something did: r_i = (1 − p_i) / (1 − p0 · Π p_j). Asking a model which step was at
fault does worse: 14 % of steps named rightly at best (arXiv 2505.00212).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from .labels import CONFIDENCE, RANK, Label, Source
from .outcomes import Tally

SOLVABLE = 0.9
"""Share of tasks that a run with the strongest model alone solves, where nothing is known; it keeps impossible
tasks from being blamed on cheap steps."""

UNSURE = 1e-3
"""A step's odds stay this far from certainty, or a single sure step would make blame undefined."""


UNPROVEN = 0.8
UNPROVEN_MASS = 2.0
"""Odds of a model that nothing is known of, between the priors of the weakest and the strongest tier, and how many
observations they count as: one label alone makes nothing certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A step of an episode as blame sees it.

    Attributes:
        step_id: The step.
        success: Probability that the model used there answers such a step well, 0 to 1.
        label: What is known of it already.
    """

    step_id: str
    success: float
    label: Label | None = None

    @property
    def is_settled(self) -> bool:
        """Whether a label of its own outranks any share of an episode."""
        return self.label is not None and self.label.rank > RANK[Source.EPISODE]

    @property
    def odds(self) -> float:
        """Probability that the step was good: its own label where there is one, else the model's."""
        known = self.label.score if self.is_settled and self.label is not None else self.success
        return min(max(known, UNSURE), 1 - UNSURE)


def spread(
    score: float, steps: Sequence[Share], *, at: float, confidence: float | None = None, solvable: float = SOLVABLE
) -> tuple[Label, ...]:
    """Labels for those steps of an episode that have none of their own.

    Args:
        score: How good the episode was, 0 to 1; between them success and failure count in proportion.
        steps: All its steps.
        at: When the verdict was given.
        confidence: How much a step's share weighs; default is the usual one of an episode.
        solvable: P(success) if every step had been answered perfectly.
    """
    weight = CONFIDENCE[Source.EPISODE] if confidence is None else confidence
    failed = 1 - solvable * prod(step.odds for step in steps)
    labels = []
    for step in steps:
        if not step.is_settled:
            blame = (1 - step.odds) / failed
            good = score + (1 - score) * (1 - blame)
            labels.append(Label(step_id=step.step_id, source=Source.EPISODE, score=good, at=at, confidence=weight))
    return tuple(labels)


def odds(tally: Tally | None, now: float) -> float:
    """Probability that a model answers a step of a kind well, from its counts there."""
    successes, failures = tally.masses(now) if tally is not None else (0.0, 0.0)
    return (successes + UNPROVEN_MASS * UNPROVEN) / (successes + failures + UNPROVEN_MASS)
