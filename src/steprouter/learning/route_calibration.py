"""Thresholds of routes from labelled texts, and what they are worth on texts they were not found on.

Three ways are tried: to leave the thresholds as they are, to find one for all routes, or one for each. Whichever does
best on texts that were held out is taken, the simpler of equally good ones. That choice is made within each part of the
texts anew for the figures that are told, so they are of texts that had no say in anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..routing.routes import Route
from .route_scores import NO_ROUTE, Scored, Taken, Vectors, said, scored, taken
from .route_thresholds import LEAST_LABELS, Aim, Counts, Thresholds, found_thresholds

WAYS = ("as they are", "one for all", "one for each")
"""The simplest first."""

FOLDS = 5
"""Parts the texts are divided into; each is held out once."""

FEW_LABELS = 10
"""Labelled texts of a route below which its figures say little: with 10 of 10 right, 7 in 10 may be."""

SHOWN_CONFUSIONS = 8

Z = 1.96
"""Intervals hold with 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Which route a text should take.

    Attributes:
        text: What was said.
        route: Its name; None for none.
        where: File and row, for complaints.
    """

    text: str
    route: str | None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a whole, both counted.

    Attributes:
        part: How many.
        whole: Of how many.
    """

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the true share is with 95 % certainty (Wilson 1927)."""
        n = self.whole
        if not n:
            return 0.0, 1.0
        share = self.part / n
        middle, width = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        scale = 1 + Z * Z / n
        return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How good decisions are.

    Attributes:
        precision: Of the texts that take a route, those that should take this one.
        recall: Of the texts that should take a route, those that take it.
    """

    precision: Share
    recall: Share

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where nothing is right."""
        return 2 * self.precision.part / max(self.precision.whole + self.recall.whole, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFound:
    """A route and its threshold.

    Attributes:
        name: The route.
        now: Its threshold so far.
        found: The one that was found.
        labels: Texts that should take it.
        figures: Of texts that were held out.
    """

    name: str
    now: float
    found: float
    labels: int
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Texts that should take a route and would take another, of those that were held out.

    Attributes:
        meant: The route they should take; None for none.
        took: The one they would take; None for none.
        times: How many.
        text: One of them.
    """

    meant: str | None
    took: str | None
    times: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What came of it.

    Attributes:
        routes: The routes in their order.
        way: Which way was taken.
        texts: How many texts there were; of each text once.
        without_route: How many of them should take no route.
        before: With the thresholds as they are.
        after: With those that were found, on texts that were held out.
        confusions: The most frequent ones.
        warnings: What the figures should be read with.
    """

    routes: tuple[RouteFound, ...]
    way: str
    texts: int
    without_route: int
    before: Figures
    after: Figures
    confusions: tuple[Confusion, ...]
    warnings: tuple[str, ...]

    @property
    def changed(self) -> Mapping[str, float]:
        """The thresholds that differ from those of now, by route."""
        return {route.name: route.found for route in self.routes if route.found != route.now}


def calibrated(
    routes: Sequence[Route],
    examples: Mapping[str, Vectors],
    labels: Sequence[Label],
    vectors: Vectors,
    *,
    precision: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Thresholds for labelled texts.

    Args:
        routes: The routes.
        examples: (k, dimension) vectors of each route's examples, by its name.
        labels: The texts; one that is an example itself is compared with the others only.
        vectors: (n, dimension) the texts as vectors, unit length.
        precision: How many of the texts that take a route should be right; None is for the best F1.
        seed: Of the lot by which texts are held out.

    Raises:
        ConfigError: The labels do not suffice, or name a route that is not there.
    """
    if precision is not None and not 0 < precision < 1:
        raise ConfigError(f"precision must be more than 0 and less than 1, got {precision!r}; 0.95 is usual")
    meant = meant_by(labels, [route.name for route in routes])
    here, aim = scored(routes, examples, [label.text for label in labels], vectors), Aim(precision=precision)
    rows = np.arange(len(labels))
    before = taken_by(here, rows, np.array([route.threshold for route in routes]))
    after = held_out(here, meant, aim, seed)
    way = best_way(here, rows, meant, aim, seed)
    found = found_thresholds(here, rows, meant, aim, way)
    names = [route.name for route in routes]
    before_told, after_told = figures_of(meant, before), figures_of(meant, after)
    by_route = tuple(
        RouteFound(
            name=route.name,
            now=route.threshold,
            found=float(found[place]),
            labels=int((meant == place).sum()),
            figures=figures_of(meant, after, place),
        )
        for place, route in enumerate(routes)
    )
    return Calibration(
        routes=by_route,
        way=way,
        texts=len(labels),
        without_route=int((meant == NO_ROUTE).sum()),
        before=before_told,
        after=after_told,
        confusions=confusions(labels, meant, after, names),
        warnings=(*no_better(before_told, after_told, precision), *warnings(by_route, labels, precision)),
    )


def distinct(labels: Sequence[Label]) -> list[Label]:
    """Each text once: one that comes twice would be on both sides of a test.

    Raises:
        ConfigError: A text is labelled with two routes.
    """
    first: dict[str, Label] = {}
    for label in labels:
        other = first.setdefault(said(label.text), label)
        if other.route != label.route:
            raise ConfigError(
                f"{label.where}: a text must have one label, this one has {label.route!r} here and {other.route!r} in "
                f"{other.where}; keep one"
            )
    return list(first.values())


def meant_by(labels: Sequence[Label], names: Sequence[str]) -> Taken:
    """The place of the route that each text should take.

    Raises:
        ConfigError: A label names an unknown route, there are no labels, or all are the same.
    """
    if not labels:
        raise ConfigError("there must be labelled texts, there are none")
    places = {name: place for place, name in enumerate(names)}
    for label in labels:
        if label.route is not None and label.route not in places:
            raise ConfigError(f"{label.where}: unknown route {label.route!r}; routes are {list(names)!r}")
    meant = np.array([NO_ROUTE if label.route is None else places[label.route] for label in labels], dtype=np.int64)
    if len(np.unique(meant)) < 2:
        which = "without a route" if labels[0].route is None else f"of route {labels[0].route!r}"
        raise ConfigError(
            f"labels must tell at least two things apart, all {len(labels)} texts are {which}; add texts of other "
            "routes, and such as should take none"
        )
    return meant


def taken_by(here: Scored, rows: Counts, thresholds: Thresholds) -> Taken:
    """Which route each of some texts takes."""
    return taken(here.at(float(thresholds.min()))[rows], thresholds)


def folds_of(meant: Taken, seed: int) -> Counts:
    """A part for each text, (n,), so that each route is in all parts as evenly as can be."""
    chance, found, next_part = np.random.default_rng(seed), np.empty(len(meant), dtype=np.int64), 0
    parts = min(FOLDS, len(meant))
    for route in np.unique(meant):
        mine = chance.permutation(np.flatnonzero(meant == route))
        found[mine] = (next_part + np.arange(len(mine))) % parts
        next_part += len(mine)
    return found


def held_out(here: Scored, meant: Taken, aim: Aim, seed: int, way: str | None = None) -> Taken:
    """What each text takes with thresholds, and a way to find them, of the texts in other parts."""
    folds, found = folds_of(meant, seed), np.empty(len(meant), dtype=np.int64)
    for fold in np.unique(folds):
        others, mine = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        chosen = way or best_way(here, others, meant, aim, seed)
        found[mine] = taken_by(here, mine, found_thresholds(here, others, meant, aim, chosen))
    return found


def best_way(here: Scored, rows: Counts, meant: Taken, aim: Aim, seed: int) -> str:
    """The way that does best on held-out parts of some texts."""
    part, labels = here.only(rows), meant[rows]

    def value(way: str) -> float:
        took = held_out(part, labels, aim, seed, way)
        is_taken, all_meant = took != NO_ROUTE, int((labels != NO_ROUTE).sum())
        return float(aim.value(int((is_taken & (took == labels)).sum()), int(is_taken.sum()), all_meant))

    return max(WAYS, key=value)


def figures_of(meant: Taken, took: Taken, route: int | None = None) -> Figures:
    """How good decisions are: all of them, or those of one route."""
    is_taken, is_meant = took != NO_ROUTE, meant != NO_ROUTE
    if route is not None:
        is_taken, is_meant = took == route, meant == route
    right = int((is_taken & (took == meant)).sum())
    return Figures(
        precision=Share(part=right, whole=int(is_taken.sum())), recall=Share(part=right, whole=int(is_meant.sum()))
    )


def confusions(
    labels: Sequence[Label], meant: Taken, took: npt.NDArray[np.int64], names: Sequence[str]
) -> tuple[Confusion, ...]:
    """What is taken for what most often."""
    wrong = [row for row in range(len(labels)) if meant[row] != took[row]]
    counted = Counter((int(meant[row]), int(took[row])) for row in wrong)
    texts = {(int(meant[row]), int(took[row])): labels[row].text for row in reversed(wrong)}

    def name(place: int) -> str | None:
        return None if place == NO_ROUTE else names[place]

    return tuple(
        Confusion(meant=name(pair[0]), took=name(pair[1]), times=times, text=texts[pair])
        for pair, times in counted.most_common(SHOWN_CONFUSIONS)
    )


def no_better(before: Figures, after: Figures, precision: float | None) -> list[str]:
    """That the thresholds as they are do as well, if they do."""
    if after == before or precision is not None or after.f1 > before.f1:
        return []
    told = f"on held-out texts F1 is {after.f1:.3f}, and {before.f1:.3f} with the thresholds as they are"
    return [f"{told}: keep those, or label more texts"]


def warnings(routes: Sequence[RouteFound], labels: Sequence[Label], precision: float | None) -> list[str]:
    """What the figures should be read with."""
    found = []
    if all(label.route is not None for label in labels):
        found.append(
            "no text is labelled with no route, so nothing speaks for high thresholds: add texts that should take none"
        )
    for route in routes:
        few = f"route {route.name!r} has {route.labels} labelled texts"
        if route.labels < LEAST_LABELS:
            found.append(f"{few}, too few for a threshold of its own; add {FEW_LABELS} or more")
        elif route.labels < FEW_LABELS:
            found.append(f"{few}, so its figures say little; {FEW_LABELS} or more do")
        reached = route.figures.precision.value
        if precision is not None and reached is not None and reached < precision and route.labels >= LEAST_LABELS:
            found.append(f"route {route.name!r} is right in {reached:.0%} of held-out texts, less than {precision:.0%}")
    return found
