"""Which route a step's vector is nearest to. Pure; needs NumPy, so it is imported where there are routes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from ..memory.neighbours import products
from .routes import ROUTE_MARGIN, SHOWN_SCORES, Route, RouteMatch, RouteScore

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

TOP = 3
"""Examples that `top3` looks at."""

NOT_NEAR = -1.0
"""The score of a route that redisvl would not find: the least that a cosine can be."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouteTable:
    """The routes in force, and their examples as vectors.

    Attributes:
        routes: The routes, in the order of `starts`.
        vectors: (examples, dimension) float32, unit length, those of one route after each other.
        starts: (routes,) where each route's examples begin.
        version: A short text that is another one for other routes or examples.
        special: Rows of the routes whose score is not the most similar example.
    """

    routes: tuple[Route, ...]
    vectors: Floats = field(repr=False)
    starts: npt.NDArray[np.intp] = field(repr=False)
    version: str = ""
    special: tuple[int, ...] = ()

    def route(self, name: str | None) -> Route | None:
        """The route of this name, if it is in force."""
        return next((route for route in self.routes if route.name == name), None)

    def end(self, row: int) -> int:
        """Where a route's examples end."""
        return int(self.starts[row + 1]) if row + 1 < len(self.routes) else len(self.vectors)


def table_of(routes: Sequence[Route], vectors: Mapping[str, Floats]) -> RouteTable | None:
    """The table of routes whose examples were embedded; None if there is none.

    Args:
        routes: The routes.
        vectors: (examples, dimension) of each route, by name; a route that has none is left out.
    """
    kept = [route for route in routes if route.name in vectors and len(vectors[route.name])]
    if not kept:
        return None
    sizes = [len(vectors[route.name]) for route in kept]
    told = repr([(route.name, route.digest) for route in kept])
    return RouteTable(
        routes=tuple(kept),
        vectors=np.ascontiguousarray(np.concatenate([vectors[route.name] for route in kept]), dtype=np.float32),
        starts=np.cumsum([0, *sizes[:-1]]).astype(np.intp),
        version=sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        special=tuple(row for row, route in enumerate(kept) if route.aggregation != "max"),
    )


def match(
    table: RouteTable, vector: Floats, previous: str | None = None, *, margin: float = ROUTE_MARGIN
) -> RouteMatch:
    """The route that a step takes: the one with the best score among those that reach their threshold.

    Args:
        table: The routes.
        vector: The step's text, unit length.
        previous: The route that the thread took last; it is held while it is within `margin` of the best and of its
            own threshold, so that a paraphrase does not leave it.
        margin: That, in cosine similarity.
    """
    scores, routes = score(table, vector), table.routes
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    told = tuple(
        RouteScore(name=routes[row].name, score=scores[row], threshold=routes[row].threshold)
        for row in best[:SHOWN_SCORES]
    )
    taken = next((row for row in best if scores[row] >= routes[row].threshold), None)
    held = None if previous is None else next((row for row in best if routes[row].name == previous), None)
    if held is not None and held != taken:
        rival = scores[best[0] if taken is None else taken]
        if scores[held] >= max(routes[held].threshold, rival) - margin:
            return RouteMatch(route=routes[held], score=scores[held], scores=told, how="held")
    if taken is None:
        return RouteMatch(scores=told)
    return RouteMatch(route=routes[taken], score=scores[taken], scores=told, how="nearest")


def score(table: RouteTable, vector: Floats) -> list[float]:
    """How like each route's examples a text is."""
    alike = products(table.vectors, vector)
    scores: list[float] = np.maximum.reduceat(alike, table.starts).tolist()
    if table.special:
        widest = min(route.threshold for route in table.routes)
        for row in table.special:
            scores[row] = aggregated(alike[table.starts[row] : table.end(row)], table.routes[row], widest)
    return scores


def aggregated(alike: Floats, route: Route, widest: float) -> float:
    """One score of the similarities to a route's examples.

    Args:
        alike: The similarities.
        route: Whose.
        widest: The lowest threshold of all routes, which is how far redisvl looks.
    """
    if route.aggregation == "top3":
        few = alike if len(alike) <= TOP else np.partition(alike, -TOP)[-TOP:]
        return float(few.mean())
    if route.aggregation == "mean":
        return float(alike.mean())
    near = alike[alike >= widest]
    if not len(near):
        return NOT_NEAR
    return float(near.mean()) if route.aggregation == "avg" else float(1 - (1 - near).sum())
