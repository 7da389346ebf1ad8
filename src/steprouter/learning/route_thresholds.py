"""Finds thresholds of routes for labelled texts: one for all routes, or one for each.

A threshold only matters between two neighbouring scores, so all there are can be tried: one scan of the sorted scores
gives what every threshold of a route would do while the others stay. Routes are scanned in turn until none changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .route_scores import NO_ROUTE, Scored, Scores, Taken, best_of, reaching

Thresholds = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

LEAST_LABELS = 5
"""A route with fewer labelled texts gets the threshold that is best for all routes."""

ROUNDS = 10
"""Times that all routes are scanned at most; two or three are usual."""

BEYOND = 0.02
"""How far beyond the outermost score a threshold is put that is to let all of them, or none, through."""

MOST = 0.9999
"""A threshold is below 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What thresholds are to achieve.

    Attributes:
        precision: How many of the texts that take a route are to be labelled with it, 0 to 1, while as many as can be
            take one; None is for the best F1, the harmonic mean of precision and recall.
    """

    precision: float | None = None

    def value(self, right: Counts | int, all_taken: Counts | int, meant: int) -> npt.NDArray[np.float64]:
        """How good results are; higher is better.

        Args:
            right: Texts that take the route that they are labelled with.
            all_taken: Texts that take any route.
            meant: Texts that are labelled with one.
        """
        hits, takes = np.asarray(right, dtype=np.float64), np.asarray(all_taken, dtype=np.float64)
        if self.precision is None:
            return 2 * hits / np.maximum(takes + meant, 1)
        reached = hits / np.maximum(takes, 1)
        # As long as precision is short of the aim nothing else counts; an answer too many lowers what is reached.
        return np.where(reached >= self.precision, 1 + hits / max(meant, 1), hits / (takes + 1))


def found_thresholds(scored: Scored, rows: Counts, meant: Taken, aim: Aim, way: str) -> Thresholds:
    """Thresholds for texts.

    Args:
        scored: Texts against routes.
        rows: Which of them are to be learnt from.
        meant: (n,) what each text is labelled with.
        aim: What is wanted.
        way: `as they are`, `one for all` or `one for each`.
    """
    given = np.array([route.threshold for route in scored.table.routes])
    if way == "as they are":
        return given
    found = given
    for _ in range(ROUNDS):
        # What some scores are depends on the lowest threshold.
        scores = scored.at(float(found.min()))[rows]
        common = np.full(len(given), common_threshold(scores, meant[rows], aim))
        better = common if way == "one for all" else each_threshold(scores, meant[rows], aim, common)
        if scored.fixed is not None or better.min() == found.min():
            return better
        found = better
    return found


def common_threshold(scores: Scores, meant: Taken, aim: Aim) -> float:
    """The best threshold that all routes share."""
    places = np.arange(len(scores))
    best = scores.argmax(axis=1)
    highest = scores[places, best]
    order = np.argsort(-highest, kind="stable")
    order = order[highest[order] >= 0]
    right, takes = from_none(best[order] == meant[order]), np.arange(len(order) + 1)
    return best_cut(highest[order], aim.value(right, takes, labelled(meant)), MOST)


def each_threshold(scores: Scores, meant: Taken, aim: Aim, start: Thresholds) -> Thresholds:
    """The best threshold of each route that has labels enough; the others keep theirs."""
    found, reached = start.copy(), reaching(scores, start)
    able = [route for route in range(scores.shape[1]) if (meant == route).sum() >= LEAST_LABELS]
    for _ in range(ROUNDS):
        before = found.copy()
        for route in able:
            reached[:, route] = -np.inf
            found[route] = scanned(scores[:, route], reached, meant, aim, route, float(found[route]))
            reached[:, route] = np.where(scores[:, route] >= found[route], scores[:, route], -np.inf)
        if np.array_equal(before, found):
            break
    return found


def scanned(mine: Scores, others: Scores, meant: Taken, aim: Aim, route: int, now: float) -> float:
    """The best threshold of one route while the others stay.

    Args:
        mine: (n,) scores with the route.
        others: (n, routes) scores with the others that are reached; minus infinity elsewhere.
        meant: (n,) what each text is labelled with.
        aim: What is wanted.
        route: Which route it is.
        now: Its threshold so far.
    """
    rival, theirs = best_of(others), others.max(axis=1)
    wins = np.flatnonzero((mine >= 0) & ((mine > theirs) | ((mine == theirs) & (route < rival))))
    order = wins[np.argsort(-mine[wins], kind="stable")]
    is_own = from_none(meant[order] == route)
    if aim.precision is not None:
        # Each route is to be as precise as was wished: among all a good one would hide a bad one.
        values = aim.value(is_own, np.arange(len(order) + 1), int((meant == route).sum()))
        return best_cut(mine[order], values, now)
    was_right, was_taken = (rival == meant) & (rival != NO_ROUTE), rival != NO_ROUTE
    right = was_right.sum() + is_own - from_none(was_right[order])
    values = aim.value(right, was_taken.sum() + from_none(~was_taken[order]), labelled(meant))
    return best_cut(mine[order], values, now)


def from_none(counted: npt.NDArray[np.bool_]) -> Counts:
    """(k + 1,) how many there are among none of them, among the first, among the first two and so on."""
    return np.concatenate(([0], np.cumsum(counted)))


def labelled(meant: Taken) -> int:
    """How many texts are labelled with a route."""
    return int((meant != NO_ROUTE).sum())


def best_cut(falling: Scores, values: npt.NDArray[np.float64], now: float) -> float:
    """The threshold at the best place in sorted scores; of equally good ones that next to the one now.

    Args:
        falling: (k,) scores, falling.
        values: (k + 1,) how good it is to let none of them through, the first, the first two, …
        now: The threshold now.
    """
    # Equal scores are let through together.
    apart = np.concatenate(([True], falling[:-1] > falling[1:], [True])) if len(falling) else np.array([True])
    best = np.flatnonzero(apart & (values >= values[apart].max() - 1e-12))
    return min((cut(falling, int(place), now) for place in best), key=lambda one: abs(one - now))


def cut(falling: Scores, place: int, now: float) -> float:
    """The threshold that lets so many sorted scores through."""
    if not len(falling):
        return now
    if not place:
        return min(MOST, float(falling[0]) + BEYOND)
    return between(float(falling[place]) if place < len(falling) else None, float(falling[place - 1]))


def between(low: float | None, high: float) -> float:
    """A short number above `low` and not above `high`; without `low` a little below `high`."""
    under = max(0.0, high - 2 * BEYOND) if low is None else max(0.0, float(low))
    middle = min((under + float(high)) / 2, MOST)
    short = (round(middle, digits) for digits in range(2, 7))
    return next((one for one in short if under < one <= min(high, MOST)), middle)
