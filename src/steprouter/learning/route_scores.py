"""How like the examples of each route many texts are, as a decision would score them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..routing.route_match import NOT_NEAR, TOP, RouteTable, table_of
from ..routing.routes import Route

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Taken = npt.NDArray[np.int64]
"""(n,) of each text the place of a route; `NO_ROUTE` for none."""

NO_ROUTE = -1

AT_ONCE = 512
"""Texts compared at once: with 10 000 examples 20 MB of similarities."""


def said(text: str) -> str:
    """A text as far as two that differ only in case and blanks are the same."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Texts against routes.

    Attributes:
        table: The routes and their examples.
        fixed: (n, routes) scores, where they do not depend on thresholds; else None.
        alike: (n, examples) similarities where they do; else None.
    """

    table: RouteTable
    fixed: Scores | None = field(default=None, repr=False)
    alike: Vectors | None = field(default=None, repr=False)

    def at(self, widest: float) -> Scores:
        """(n, routes) the scores, while `widest` is the lowest threshold of all routes."""
        if self.fixed is not None:
            return self.fixed
        assert self.alike is not None
        return scores_of(self.alike, self.table, widest)

    def only(self, rows: npt.NDArray[np.int64]) -> Scored:
        """Some of the texts."""
        return Scored(
            table=self.table,
            fixed=None if self.fixed is None else self.fixed[rows],
            alike=None if self.alike is None else self.alike[rows],
        )


def scored(routes: Sequence[Route], examples: Mapping[str, Vectors], texts: Sequence[str], vectors: Vectors) -> Scored:
    """Texts against routes. A text that is an example itself is not compared with itself.

    Args:
        routes: The routes.
        examples: (k, dimension) vectors of each route's examples, by its name.
        texts: What was said.
        vectors: (n, dimension) the same as vectors.

    Raises:
        ConfigError: There are no routes, or one has no examples.
    """
    for route in routes:
        if not route.examples or len(examples[route.name]) != len(route.examples):
            raise ConfigError(f"route {route.name!r} must have examples, or nothing can be like it")
    table = table_of(routes, examples)
    if table is None:
        raise ConfigError("there must be routes to find thresholds for, there are none")
    places: dict[str, list[int]] = {}
    for place, example in enumerate(example for route in routes for example in route.examples):
        places.setdefault(said(example), []).append(place)

    def alike(start: int) -> Vectors:
        found: Vectors = vectors[start : start + AT_ONCE] @ table.vectors.T
        for row, text in enumerate(texts[start : start + AT_ONCE]):
            found[row, places.get(said(text), [])] = np.nan
        return found

    parts = (alike(start) for start in range(0, len(texts), AT_ONCE))
    if any(route.aggregation in ("avg", "sum") for route in routes):
        return Scored(table=table, alike=np.concatenate(list(parts)))
    return Scored(table=table, fixed=np.concatenate([scores_of(part, table, 0.0) for part in parts]))


def scores_of(alike: Vectors, table: RouteTable, widest: float) -> Scores:
    """The scores of texts with all routes, (n, routes); as `route_match.score` has them for one text.

    Args:
        alike: (n, examples) their similarities; not a number where an example does not count.
        table: The routes.
        widest: The lowest threshold of all routes.
    """
    columns = [
        one_score(alike[:, table.starts[place] : table.end(place)], route, widest)
        for place, route in enumerate(table.routes)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def one_score(alike: Vectors, route: Route, widest: float) -> npt.NDArray[Any]:
    """The scores of texts with one route, (n,)."""
    counts = ~np.isnan(alike)
    if route.aggregation == "max":
        best: Vectors = np.where(counts, alike, NOT_NEAR).max(axis=1)
        return best
    if route.aggregation == "top3":
        falling = -np.sort(np.where(counts, -alike, np.inf), axis=1)[:, :TOP]
        counts, alike = np.isfinite(falling), falling
    elif route.aggregation != "mean":
        counts = counts & (alike >= widest)
    many = counts.sum(axis=1)
    summed = np.where(counts, alike, 0).sum(axis=1)
    # Of `sum` the distances are added up: what is left of 1 after all of them.
    found = 1 - (many - summed) if route.aggregation == "sum" else summed / np.maximum(many, 1)
    return np.where(many, found, NOT_NEAR)


def taken(scores: Scores, thresholds: npt.NDArray[np.float64]) -> Taken:
    """Which route each text takes: the best of those that it reaches."""
    return best_of(reaching(scores, thresholds))


def reaching(scores: Scores, thresholds: npt.NDArray[np.float64]) -> Scores:
    """The scores that reach their thresholds; minus infinity elsewhere."""
    return np.where(scores >= thresholds, scores, -np.inf)


def best_of(reached: Scores) -> Taken:
    """The best route of each text among those that are reached; the first of equally good ones."""
    best = reached.argmax(axis=1)
    found: Taken = np.where(np.isneginf(reached[np.arange(len(best)), best]), NO_ROUTE, best)
    return found
