"""What an answer cache would have served, from what traces say of the questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

TOLD = 8
"""Reasons that are listed, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A recorded step, as an estimate looks at it.

    Attributes:
        at: When, Unix time in seconds.
        question: The digest of the whole question; None where its answer may not be given again.
        alike: The digest of what all questions share that say the same in other words, as far as words tell; None
            where meaning is not compared.
        lasts_seconds: How long its answer would be kept.
        is_kept: Whether its answer is worth keeping.
        usd: What it cost; None where that is not known.
        seconds: How long it took.
        why_not: Why its answer may not be given again, in words.
    """

    at: float
    question: str | None = None
    alike: str | None = None
    lasts_seconds: float = 0.0
    is_kept: bool = True
    usd: float | None = None
    seconds: float = 0.0
    why_not: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a cache would have served of recorded steps.

    Attributes:
        steps: All of them.
        askable: Those whose answer may be given again.
        exact: Repeats to the letter.
        alike: Repeats in other words, as far as words tell, that are none to the letter.
        exact_usd, alike_usd: What these had cost, as far as that is known.
        exact_seconds, alike_seconds: How long these took.
        why_not: Why others may not be answered from a cache, with how often, the most frequent first.
    """

    steps: int = 0
    askable: int = 0
    exact: int = 0
    alike: int = 0
    exact_usd: float = 0.0
    alike_usd: float = 0.0
    exact_seconds: float = 0.0
    alike_seconds: float = 0.0
    why_not: tuple[tuple[str, int], ...] = field(default=())

    @property
    def exact_share(self) -> float:
        """Of all steps."""
        return self.exact / self.steps if self.steps else 0.0

    @property
    def alike_share(self) -> float:
        """Of all steps."""
        return self.alike / self.steps if self.steps else 0.0


def estimated(steps: Iterable[Asked]) -> Estimate:
    """What a cache that was empty at first would have served of `steps`, taken in the order of their times."""
    until: dict[str, float] = {}
    alike_until: dict[str, float] = {}
    total = askable = 0
    counts = {True: [0, 0.0, 0.0], False: [0, 0.0, 0.0]}
    why: Counter[str] = Counter()
    for step in sorted(steps, key=lambda one: one.at):
        total += 1
        if step.question is None:
            why.update(step.why_not)
            continue
        askable += 1
        is_exact = until.get(step.question, 0.0) > step.at
        if is_exact or (step.alike is not None and alike_until.get(step.alike, 0.0) > step.at):
            count = counts[is_exact]
            count[0], count[1], count[2] = count[0] + 1, count[1] + (step.usd or 0.0), count[2] + step.seconds
        elif step.is_kept:
            until[step.question] = step.at + step.lasts_seconds
            if step.alike is not None:
                alike_until[step.alike] = step.at + step.lasts_seconds
    exact, alike = counts[True], counts[False]
    return Estimate(
        steps=total,
        askable=askable,
        exact=int(exact[0]),
        alike=int(alike[0]),
        exact_usd=exact[1],
        alike_usd=alike[1],
        exact_seconds=exact[2],
        alike_seconds=alike[2],
        why_not=tuple(why.most_common(TOLD)),
    )
