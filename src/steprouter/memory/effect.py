"""What lessons do: steps that were shown one beside steps that were not, and which are dropped for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .lessons import Lesson, Lessons
from .outcomes import HALF_LIFE_SECONDS, WITH, WITHOUT, Tally

MEASURED_MASS = 30.0
"""Observations on either side before a kind is judged. Lessons that lose 0.2 of 0.7 are then switched off 3 times in 4,
those that lose 0.3 19 times in 20, those that change nothing once in 5 (simulated); whether they help shows later."""

PATIENT_MASS = 200.0
"""Observations on either side after which lessons must have helped, since they cost tokens every time."""

DOUBTED_MASS = 5.0
"""Observations of one lesson before it is judged by itself."""

LIKELY, UNLIKELY = 0.8, 0.2
"""Probabilities that showing lessons is better: from the one on it helps, below the other it harms."""


class Verdict(StrEnum):
    """What showing lessons does to a kind of step."""

    HELPING = "helping"
    UNPROVEN = "unproven"
    USELESS = "useless"
    """After long trial not better than without: they only cost."""
    HARMFUL = "harmful"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What lessons did at one kind of step: labels of steps that had one at hand.

    Attributes:
        shown: Counts where it was shown.
        withheld: Counts where it was not.
        lessons: Counts by the lesson that was shown.
    """

    shown: Tally = field(default_factory=Tally)
    withheld: Tally = field(default_factory=Tally)
    lessons: Mapping[str, Tally] = field(default_factory=dict)

    def verdict(self, now: float) -> Verdict:
        """Whether lessons help; what was switched off is tried again once its counts have decayed."""
        mass = min(sum(self.shown.masses(now)), sum(self.withheld.masses(now)))
        if mass < MEASURED_MASS:
            return Verdict.UNPROVEN
        better = probability_better(self.shown, self.withheld, now)
        if better < UNLIKELY:
            return Verdict.HARMFUL
        if better >= LIKELY:
            return Verdict.HELPING
        return Verdict.USELESS if mass >= PATIENT_MASS else Verdict.UNPROVEN

    def is_doubted(self, lesson_id: str, now: float) -> bool:
        """Whether this lesson by itself is clearly worse than none, so that it is to be deleted."""
        own = self.lessons.get(lesson_id, Tally())
        if sum(own.masses(now)) < DOUBTED_MASS or sum(self.withheld.masses(now)) < DOUBTED_MASS:
            return False
        return probability_better(own, self.withheld, now) < UNLIKELY / 2

    def usefulness(self, lesson: Lesson, now: float) -> float:
        """What tells which lessons go first where there are too many: success when shown, and newness."""
        successes, failures = self.lessons.get(lesson.id, Tally()).masses(now)
        return (1 + successes) / (2 + successes + failures) * math.exp2(-max(0.0, now - lesson.at) / HALF_LIFE_SECONDS)


def superfluous(lessons: Sequence[Lesson], effect: Effect, policy: Lessons, now: float) -> frozenset[str]:
    """Names of the verified lessons to delete: those that do worse than none, and the least useful beyond the cap."""
    doubted = {one.id for one in lessons if effect.is_doubted(one.id, now)}
    left = [one for one in lessons if one.id not in doubted]
    ordered = sorted(left, key=lambda one: (-effect.usefulness(one, now), one.id))
    return frozenset(doubted.union(one.id for one in ordered[policy.per_kind :]))


def effect_of(tallies: Mapping[str, Tally]) -> Effect:
    """The effect from tallies by side and lesson."""
    lessons = {name: tally for name, tally in tallies.items() if name not in (WITH, WITHOUT)}
    return Effect(shown=tallies.get(WITH, Tally()), withheld=tallies.get(WITHOUT, Tally()), lessons=lessons)


def probability_better(one: Tally, other: Tally, now: float) -> float:
    """Probability that the first succeeds more often than the second.

    Both rates are Beta(1 + successes, 1 + failures); their difference is taken to be normal, which is off by at most
    0.05 where a side has five observations and by 0.01 where both have thirty (simulated).
    """
    (mean, variance), (other_mean, other_variance) = beta(*one.masses(now)), beta(*other.masses(now))
    return (1 + math.erf((mean - other_mean) / math.sqrt(2 * (variance + other_variance)))) / 2


def beta(successes: float, failures: float) -> tuple[float, float]:
    """Mean and variance of Beta(1 + successes, 1 + failures)."""
    a, b = 1 + successes, 1 + failures
    return a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
