"""How good a choice between two models is, and how good probabilities are.

The measures of a choice are those of RouteLLM (Ong et al. 2024, arXiv 2406.18665, section 3): with r the mean quality
of the answers and c the share of questions that the strong model gets,

    PGR(c)  = (r(c) − r(weak)) / (r(strong) − r(weak))      performance gap recovered
    APGR    = ∫ PGR(c) dc over 0 ≤ c ≤ 1                    the average; ½ for chance
    CPT(x)  = the smallest c with PGR(c) ≥ x                call-performance threshold

Theirs are read at ten thresholds, ours at every question, so figures differ in the third digit. AIQ is RouterBench's
(Hu et al. 2024, arXiv 2403.12031). Nothing here draws lots: equal scores count as drawn in every order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
"""Of a calibration curve, each with as many rows."""

SMALLEST = 1e-6
"""A probability is kept so far from 0 and 1 before its logarithm is taken."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What routing gives at each share of questions that the strong model gets.

    Attributes:
        shares: (k,) rising from 0 to 1; between two of them the strong model gets some of the equally scored, by lot.
        qualities: (k,) mean quality of the answers.
    """

    shares: Floats
    qualities: Floats

    @property
    def gap(self) -> float:
        """The strong model's quality less the weak one's."""
        return float(self.qualities[-1] - self.qualities[0])

    @property
    def recovered(self) -> Floats:
        """PGR at each share, (k,).

        Raises:
            ValueError: The strong model is no better.
        """
        if self.gap <= 0:
            raise ValueError(f"the strong model must be better than the weak one, its lead is {self.gap:.4f}")
        found: Floats = (self.qualities - self.qualities[0]) / self.gap
        return found

    def pgr(self, share: float) -> float:
        """PGR where the strong model gets this share of the questions."""
        return float(np.interp(share, self.shares, self.recovered))

    @property
    def apgr(self) -> float:
        """The area under PGR."""
        return area(self.recovered, self.shares)

    def cpt(self, recovered: float) -> float:
        """The smallest share that recovers so much of the gap, for instance .5 for CPT(50 %)."""
        there = self.recovered
        place = int(np.argmax(there >= recovered))
        if place == 0:
            return float(self.shares[0])
        part = (recovered - there[place - 1]) / (there[place] - there[place - 1])
        return float(self.shares[place - 1] + part * (self.shares[place] - self.shares[place - 1]))


def curve(scores: Floats, weak: Floats, strong: Floats) -> Curve:
    """The curve of a score by which the strong model gets questions, the highest first.

    Args:
        scores: (n,).
        weak: (n,) quality of the weak model's answers.
        strong: (n,) the same of the strong model's.

    Raises:
        ValueError: The lengths differ, there is no question, or a score is no number.
    """
    if not len(scores) == len(weak) == len(strong) or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(
            f"scores and qualities must be as many and finite, got {len(scores)}, {len(weak)}, {len(strong)}"
        )
    order = np.argsort(-scores, kind="stable")
    gains = np.concatenate(([0.0], np.cumsum((strong - weak)[order])))
    ends = np.append(np.flatnonzero(np.diff(scores[order])) + 1, len(scores))
    places = np.concatenate(([0], ends))
    return Curve(shares=places / len(scores), qualities=(weak.sum() + gains[places]) / len(scores))


def ranks(scores: Floats, folds: npt.NDArray[np.int64]) -> Floats:
    """The share of its fold that each score exceeds, equals counting half, (n,).

    Scores of different folds come from different rows: each fold's mean is that of the others, so that ranking all of
    them together ranks the folds, and backwards.
    """
    found = np.empty(len(scores))
    for fold in np.unique(folds):
        mine = folds == fold
        here = scores[mine]
        ordered = np.sort(here)
        below = np.searchsorted(ordered, here, side="left") + np.searchsorted(ordered, here, side="right")
        found[mine] = below / (2 * len(here))
    return found


def oracle(weak: Floats, strong: Floats) -> Curve:
    """The best there is: questions by what the strong model gains on them."""
    return curve(strong - weak, weak, strong)


def chance(weak: Floats, strong: Floats) -> Curve:
    """The strong model by lot: a straight line."""
    return curve(np.zeros(len(weak)), weak, strong)


def aiq(costs: Floats, qualities: Floats) -> float:
    """Average improvement in quality: the mean height of the non-decreasing convex hull over the range of costs.

    Args:
        costs: (k,) mean cost of each setting of a router.
        qualities: (k,) mean quality at it.

    Raises:
        ValueError: All cost the same.
    """
    low, high = float(costs.min()), float(costs.max())
    if high <= low:
        raise ValueError(f"settings must differ in cost, all cost {low!r}")
    xs, ys = hull(costs, qualities)
    return area(ys, xs) / (high - low)


def area(heights: Floats, places: Floats) -> float:
    """By the trapezoid rule; NumPy's own has another name in each of the versions we allow."""
    return float((heights[1:] + heights[:-1]) @ np.diff(places)) / 2


def hull(costs: Floats, qualities: Floats) -> tuple[Floats, Floats]:
    """The corners of the non-decreasing upper convex hull, from the lowest cost to the highest."""
    order = np.lexsort((qualities, costs))
    points: list[tuple[float, float]] = []
    best = -np.inf
    for x, y in zip(costs[order], qualities[order], strict=True):
        best = max(best, float(y))
        point = (float(x), best)
        if points and points[-1][0] == point[0]:
            points.pop()
        while len(points) > 1 and is_below(points[-2], points[-1], point):
            points.pop()
        points.append(point)
    xs, ys = zip(*points, strict=True)
    return np.array(xs), np.array(ys)


def is_below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle lies on or under the line from left to right."""
    lead = (middle[0] - left[0]) * (right[1] - left[1]) - (middle[1] - left[1]) * (right[0] - left[0])
    return lead >= 0


def equal_quality_cost(drawn: Curve, weak_usd: float, strong_usd: float, *, recovered: float = 1.0) -> float:
    """What a question costs at the strong model's quality, as a share of always asking the strong model.

    Args:
        drawn: The curve of the router.
        weak_usd: Mean cost of the weak model's answers.
        strong_usd: The same of the strong model's.
        recovered: How much of the gap is asked for; 1 for equal quality.
    """
    share = drawn.cpt(recovered)
    return ((1 - share) * weak_usd + share * strong_usd) / strong_usd


def log_losses(successes: Floats, guesses: Floats) -> Floats:
    """Of each row, in nats, (n,); a success between 0 and 1 counts as a part of each."""
    sure = np.clip(guesses, SMALLEST, 1 - SMALLEST)
    losses: Floats = -(successes * np.log(sure) + (1 - successes) * np.log1p(-sure))
    return losses


def briers(successes: Floats, guesses: Floats) -> Floats:
    """Of each row, (n,)."""
    losses: Floats = np.square(successes - guesses)
    return losses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reliability:
    """A calibration curve.

    Attributes:
        guessed: (b,) mean probability in each bin, rising.
        happened: (b,) share of success in it.
        rows: (b,) how many rows, weighted.
    """

    guessed: Floats
    happened: Floats
    rows: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by rows."""
        return float(self.rows @ np.abs(self.guessed - self.happened) / self.rows.sum())


def reliability(successes: Floats, guesses: Floats, weights: Floats | None = None, *, bins: int = BINS) -> Reliability:
    """The calibration curve, in bins of as many rows; equal guesses stay together.

    Args:
        successes: (n,) 0 to 1.
        guesses: (n,) probabilities.
        weights: (n,) of the rows; None for 1 each.
        bins: How many at most.
    """
    mass = np.ones(len(guesses)) if weights is None else weights
    order = np.argsort(guesses, kind="stable")
    sorted_guesses = guesses[order]
    cuts = sorted_guesses[(np.arange(1, bins) * len(guesses)) // bins]
    starts = np.unique(np.concatenate(([0], np.searchsorted(sorted_guesses, cuts, side="left"))))
    rows = np.add.reduceat(mass[order], starts)
    full = rows > 0
    totals = np.where(full, rows, 1.0)
    guessed = np.add.reduceat((mass * guesses)[order], starts) / totals
    happened = np.add.reduceat((mass * successes)[order], starts) / totals
    return Reliability(guessed=guessed[full], happened=happened[full], rows=rows[full])
