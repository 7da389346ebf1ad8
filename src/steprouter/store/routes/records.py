"""A stored router as values: redisvl's `SemanticRouter` schema, and what it means to a step. Nothing asks a server.

A router called `support` is an index `support` over hashes `support:<route>:<SHA-256 of the text>` with the fields
`reference_id`, `route_name`, `reference` and `vector`, and a JSON document `support:route_config` with the routes,
their thresholds and how distances are aggregated (redisvl 0.27.2 to 0.28). What redisvl cannot say of a route, because
it aggregates all alike, stands in the route's metadata under `steprouter`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from steprouter.routing.route_match import RouteTable, table_of
from steprouter.routing.routes import MOST_EXAMPLES, MOST_ROUTES, NAME, Aggregation, Route
from steprouter.step.text import STEP_TEXT_CHARACTERS

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

OURS = "steprouter"
"""Where metadata says what redisvl has no word for."""

TO_REDISVL: Mapping[str, str] = {"max": "min", "avg": "avg", "sum": "sum"}
"""How redisvl calls ways of aggregating, of distances instead of similarities; it has no others."""

FROM_REDISVL: Mapping[str, Aggregation] = {"min": "max", "avg": "avg", "sum": "sum"}

UNNAMED = "custom"
"""What redisvl's `CustomVectorizer` calls its model, whatever function is inside."""

PLACES = 6
"""Decimals of a threshold: 1 - 0.7 shall be 0.3."""

LEAST = 1e-6
"""The smallest distance that these tell from 0."""

SAME = 1e-3
"""How far numbers of two vectors of one text may differ: half precision has three digits."""

SIZES: Mapping[str, str] = {"FLOAT32": "<f4", "FLOAT64": "<f8", "FLOAT16": "<f2", "BFLOAT16": "<u2"}
"""How numbers lie in a vector of each type that redisvl writes."""


def config_key(name: str) -> str:
    """Where a router's routes and thresholds are."""
    return f"{name}:route_config"


def distance_of(threshold: float) -> float:
    """The largest cosine distance, from a least similarity; redisvl refuses 0."""
    return max(round(1 - threshold, PLACES), LEAST)


def threshold_of(distance: float) -> float:
    """The least similarity, from a largest cosine distance."""
    return min(max(round(1 - distance, PLACES), -1.0), 1 - LEAST)


def wanted(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Routes as they can be stored: each example once, as text that UTF-8 can say; those without any left out."""
    kept = [
        replace(route, examples=tuple(dict.fromkeys(one.encode("utf-8", "replace").decode() for one in route.examples)))
        for route in routes
    ]
    return tuple(route for route in kept if route.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a router's JSON document says.

    Attributes:
        routes: Its routes, their examples as listed there.
        model: The embedding model that made its vectors; None where that is not told.
        skipped: Names of routes that cannot be used.
    """

    routes: tuple[Route, ...]
    model: str | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A reference as the store has it: its key, whose it is, its text and its vector."""

    key: str
    route: str
    text: str
    vector: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A stored router.

    Attributes:
        routes: Its routes with the examples that have a vector; without effects, which the store does not know.
        vectors: (examples, dimension) float32 of each, unit length, by name.
        keys: The keys of its references.
        skipped: Names of routes that cannot be used.
    """

    routes: tuple[Route, ...]
    vectors: Mapping[str, Floats]
    keys: frozenset[str] = frozenset()
    skipped: tuple[str, ...] = ()

    def known(self) -> dict[str, Floats]:
        """The vector of each text."""
        pairs = [zip(route.examples, self.vectors[route.name], strict=True) for route in self.routes]
        return {text: vector for one in pairs for text, vector in one}

    def says(self, routes: Sequence[Route], vectors: Mapping[str, Floats]) -> bool:
        """Whether it says the same as these routes, whatever their effects."""
        mine = {route.name: route for route in self.routes}
        return mine.keys() == {route.name for route in routes} and all(
            same(mine[route.name], self.vectors[route.name], route, vectors[route.name]) for route in routes
        )

    def table(self, effects: Iterable[Route]) -> RouteTable | None:
        """What steps look at; None where no route has an example.

        Args:
            effects: What the policy says of routes, by their names; others are matched all the same, and do nothing.
        """
        stated = {route.name: route for route in effects}
        routes = [
            replace(
                stated.get(route.name) or route,
                examples=tuple(one[:STEP_TEXT_CHARACTERS] for one in route.examples if one.strip())[:MOST_EXAMPLES],
                threshold=route.threshold,
                aggregation=route.aggregation,
            )
            for route in self.routes
        ]
        return table_of(routes, self.vectors)


def same(one: Route, its: Floats, other: Route, theirs: Floats) -> bool:
    """Whether two routes match alike."""
    if one.aggregation != other.aggregation or abs(one.threshold - other.threshold) > LEAST:
        return False
    rows = {text: row for row, text in enumerate(one.examples)}
    if rows.keys() != set(other.examples):
        return False
    return bool(np.allclose(its[[rows[text] for text in other.examples]], theirs, atol=SAME))


def read_config(text: bytes | str) -> Config:
    """Reads a router's JSON document; routes in it that make no sense are skipped.

    Raises:
        ValueError: It is no such document.
    """
    said = json.loads(text)
    if not isinstance(said, dict) or not isinstance(said.get("routes"), list):
        raise ValueError("it has no list of routes")
    usual = of_config(said.get("routing_config"))
    routes, skipped = list[Route](), list[str]()
    for one in said["routes"]:
        route = read_route(one, usual)
        if route is None or len(routes) >= MOST_ROUTES:
            skipped.append(str(one.get("name") if isinstance(one, dict) else one)[:80])
        else:
            routes.append(route)
    made = said.get("vectorizer")
    model = made.get("model") if isinstance(made, dict) else None
    return Config(
        routes=tuple({route.name: route for route in routes}.values()),
        model=model if isinstance(model, str) and model != UNNAMED else None,
        skipped=tuple(skipped),
    )


def of_config(said: object) -> Aggregation:
    """How a router aggregates; redisvl's own default is the average."""
    word = said.get("aggregation_method") if isinstance(said, dict) else None
    return FROM_REDISVL.get(word if isinstance(word, str) else "", "avg")


def read_route(said: object, usual: Aggregation) -> Route | None:
    """A route of the JSON document; None where it makes no sense."""
    if not isinstance(said, dict):
        return None
    name, distance, listed = said.get("name"), said.get("distance_threshold", 0.5), said.get("references", [])
    if not isinstance(name, str) or not NAME.fullmatch(name) or not isinstance(distance, int | float):
        return None
    if not 0 < distance <= 2 or not isinstance(listed, list):
        return None
    metadata = said.get("metadata")
    ours = metadata.get(OURS) if isinstance(metadata, dict) else None
    word = ours.get("aggregation") if isinstance(ours, dict) else None
    aggregation = cast("Aggregation", word) if word in get_args(Aggregation) else usual
    route = Route(name=name, threshold=threshold_of(distance), aggregation=aggregation)
    return with_texts(route, [one for one in listed if isinstance(one, str)])


def with_texts(route: Route, texts: Iterable[str]) -> Route:
    """The route with texts of the store, which may be more and longer than what a policy may say."""
    # Past the checks of what people write: these are read, and shown shortened.
    other = replace(route)
    object.__setattr__(other, "examples", tuple(texts))
    return other


def assembled(name: str, config: Config, rows: Iterable[Row], dimension: int, datatype: str) -> Stored:
    """A router from what the store has; references that no route lists count too, as they do for redisvl.

    Args:
        name: The router's.
        config: What its JSON document says.
        rows: Its references. An index takes in whatever begins with its name, `support-eu:…` too.
        dimension: Numbers in a vector.
        datatype: Their type, as the server calls it.
    """
    found: dict[str, dict[str, Row]] = {route.name: {} for route in config.routes}
    size = np.dtype(SIZES[datatype]).itemsize * dimension
    for row in rows:
        if row.route in found and row.key.startswith(f"{name}:{row.route}:") and len(row.vector) == size:
            found[row.route].setdefault(row.text, row)
    routes, vectors = [], {}
    for route in config.routes:
        mine = found[route.name]
        order = [*(text for text in dict.fromkeys(route.examples) if text in mine), *(mine.keys() - {*route.examples})]
        numbers = unit_rows(b"".join(mine[text].vector for text in order), dimension, datatype)
        sound = cast("list[bool]", np.isfinite(numbers).all(axis=1).tolist())
        if any(sound):
            routes.append(with_texts(route, [text for text, is_sound in zip(order, sound, strict=True) if is_sound]))
            vectors[route.name] = np.ascontiguousarray(numbers[sound])
    keys = frozenset(row.key for one in found.values() for row in one.values())
    return Stored(routes=tuple(routes), vectors=vectors, keys=keys, skipped=config.skipped)


def unit_rows(said: bytes, dimension: int, datatype: str) -> Floats:
    """Vectors at unit length, one a row; one without direction is not a number."""
    numbers = np.frombuffer(said, dtype=SIZES[datatype]).reshape(-1, dimension)
    if datatype == "BFLOAT16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(all="ignore"):
        floats = numbers.astype(np.float64)
        lengths = np.linalg.norm(floats, axis=1, keepdims=True)
        return cast("Floats", (floats / np.where(lengths > 0, lengths, np.nan)).astype(np.float32))


def suits(model: str | None, identity: str) -> bool:
    """Whether vectors of a model may be compared with those of an embedder; where no model is told, they may."""
    if model is None or model == identity:
        return True
    named = model.rpartition("/")[2]
    return not named.isdigit() and named.casefold() in identity.casefold()


def metadata_of(route: Route, usual: str) -> dict[str, Any]:
    """What redisvl has no word for."""
    return {} if TO_REDISVL.get(route.aggregation) == usual else {OURS: {"aggregation": route.aggregation}}


def redisvl_words(routes: Sequence[Route]) -> tuple[str, list[dict[str, Any]]]:
    """How redisvl says routes: one way of aggregating for all, and each route.

    What it cannot say stands in a route's metadata; a redisvl router then goes by the nearest example.
    """
    ways = {route.aggregation for route in routes}
    usual = TO_REDISVL.get(next(iter(ways)), "min") if len(ways) == 1 else "min"
    return usual, [
        {
            "name": route.name,
            "references": list(route.examples),
            "metadata": metadata_of(route, usual),
            "distance_threshold": distance_of(route.threshold),
        }
        for route in routes
    ]
