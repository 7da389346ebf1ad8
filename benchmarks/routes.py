"""How good semantic routes are, and what they cost, beside redisvl's `SemanticRouter`.

    python benchmarks/routes.py [--data FOLDER] [--seeds N] [--rounds N] [--json FILE]

`--data` names a folder with CLINC150 and BANKING77 as parquet files with the columns text and intent (needs `pyarrow`);
without it only speed is measured. For each seed 20 intents are drawn as routes with 20 examples each; 20 more texts of
each and 400 of other intents, out-of-scope ones among them, are labels to calibrate with, and up to 30 more of each and
1 200 others are what all are judged by. Starts the embedded Redis server in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from route_speed import served, speed, told

from steprouter.embedding import StaticEmbedder
from steprouter.learning.route_calibration import Label, calibrated, distinct
from steprouter.routing.route_match import RouteTable, match, table_of
from steprouter.routing.routes import Route
from steprouter.step.step import StepKind

Floats = npt.NDArray[np.float32]

SETS = ("clinc150", "banking77")
NONE = "oos"
"""The intent of CLINC150's texts that have none."""

ROUTES = EXAMPLES = LABELS = 20
TESTS = 30
OTHER_LABELS, OTHER_TESTS = 400, 1200

MARGINS = (0.0, 0.05, 0.1)
RUNS, RUN = 400, 5
"""Threads in which so many texts in a row are of one intent, and which then go on with another."""

EMBEDDER = StaticEmbedder()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one seed gives.

    Attributes:
        routes: With the default threshold.
        labels: To calibrate with.
        tests: To judge by; none of them is an example or a label.
    """

    routes: tuple[Route, ...]
    labels: tuple[Label, ...]
    tests: tuple[Label, ...]

    def table(self, thresholds: Mapping[str, float] | None = None) -> RouteTable:
        """The routes, with other thresholds if there are."""
        routes = [with_threshold(route, (thresholds or {}).get(route.name)) for route in self.routes]
        found = table_of(routes, {route.name: EMBEDDER.embed_many(route.examples) for route in routes})
        assert found is not None
        return found


def with_threshold(route: Route, threshold: float | None) -> Route:
    """The route, with another threshold if there is one."""
    if threshold is None:
        return route
    return Route(name=route.name, examples=route.examples, kind=route.kind, threshold=threshold)


def drawn(texts: Mapping[str, Sequence[str]], seed: int) -> Drawn:
    """Routes and texts by lot."""
    chance = np.random.default_rng(seed)
    named = [intent for intent in sorted(texts) if intent != NONE]
    chosen = sorted(chance.permutation(named)[:ROUTES].tolist())
    routes, labels, tests = list[Route](), list[Label](), list[Label]()
    for number, intent in enumerate(chosen):
        mine = chance.permutation(np.array(texts[intent], dtype=object)).tolist()
        name = f"route {number}"
        routes.append(Route(name=name, examples=tuple(mine[:EXAMPLES]), kind=StepKind.CHAT))
        rest = [Label(text=text, route=name, where=intent) for text in mine[EXAMPLES:]]
        labels += rest[:LABELS]
        tests += rest[LABELS : LABELS + TESTS]
    others = [
        Label(text=text, route=None, where=intent)
        for intent in sorted(texts)
        if intent not in chosen
        for text in texts[intent]
    ]
    lot = chance.permutation(len(others))[: OTHER_LABELS + OTHER_TESTS]
    labels += [others[place] for place in lot[:OTHER_LABELS]]
    tests += [others[place] for place in lot[OTHER_LABELS:]]
    return Drawn(routes=tuple(routes), labels=tuple(distinct(labels)), tests=tuple(tests))


def read(folder: Path, name: str) -> dict[str, list[str]]:
    """The texts of a set by intent, each once."""
    import pyarrow.parquet

    found = next(folder.rglob(f"{name}.parquet"), None)
    if found is None:
        raise SystemExit(f"there is no {name}.parquet in {folder}")
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for row in pyarrow.parquet.read_table(found, columns=["text", "intent"]).to_pylist():
        texts[row["intent"]][row["text"]] = None
    return {intent: list(said) for intent, said in texts.items()}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good decisions are; the measures of `Figures`, as numbers."""

    precision: float
    recall: float
    f1: float


def judged(tests: Sequence[Label], took: Sequence[str | None]) -> Quality:
    """How good it is that these texts take these routes."""
    right = sum(one.route is not None and one.route == name for one, name in zip(tests, took, strict=True))
    taken, meant = sum(name is not None for name in took), sum(one.route is not None for one in tests)
    return Quality(precision=right / max(taken, 1), recall=right / meant, f1=2 * right / (taken + meant))


def ways(here: Drawn) -> Iterator[tuple[str, Quality]]:
    """All there are to route, judged by the same texts."""
    tests, vectors = here.tests, EMBEDDER.embed_many([one.text for one in here.tests])

    def ours(thresholds: Mapping[str, float] | None = None) -> Quality:
        table = here.table(thresholds)
        return judged(tests, [match(table, vector).name for vector in vectors])

    yield "steprouter, as it comes (0.7)", ours()
    for name, precision in (("calibrated for F1", None), ("calibrated for precision 0.9", 0.9)):
        yield f"steprouter, {name}", ours(thresholds_of(here, precision))
    with served(here.table()) as router:
        took = [router(vector=vector.tolist()).name for vector in vectors]
        yield "redisvl, as it comes (0.5, avg)", judged(tests, took)


def thresholds_of(here: Drawn, precision: float | None) -> dict[str, float]:
    """What calibrating finds with the labels."""
    examples = {route.name: EMBEDDER.embed_many(route.examples) for route in here.routes}
    vectors = EMBEDDER.embed_many([label.text for label in here.labels])
    found = calibrated(here.routes, examples, here.labels, vectors, precision=precision)
    return {route.name: route.found for route in found.routes}


# Threads


@dataclass(frozen=True, kw_only=True)
class Held:
    """What holding a thread on its route gives.

    Attributes:
        right: Steps that take the route they should, or none where they should take none.
        restless: Steps that take another route than the one before them though both are of one intent.
        late: First steps of another intent that still take the route of the last one.
    """

    right: float
    restless: float
    late: float


def threads(here: Drawn, table: RouteTable, margin: float, seed: int) -> Held:
    """Threads that say the same in other words for a while, and then something else."""
    chance = np.random.default_rng(seed)
    by_route: dict[str | None, list[Floats]] = defaultdict(list)
    for one, vector in zip(here.tests, EMBEDDER.embed_many([one.text for one in here.tests]), strict=True):
        by_route[one.route].append(vector)
    names = sorted(by_route, key=str)
    right = restless = repeats = late = steps = 0
    previous: str | None = None
    last_meant: str | None = None
    for _ in range(RUNS):
        meant = names[int(chance.integers(len(names)))]
        before: str | None = None
        for place in range(RUN):
            took = match(
                table, by_route[meant][int(chance.integers(len(by_route[meant])))], previous, margin=margin
            ).name
            steps += 1
            right += took == meant
            if place == 0:
                late += took is not None and took == last_meant and last_meant != meant
            else:
                repeats += 1
                restless += took != before
            before, previous = took, took or previous
        last_meant = meant
    return Held(right=right / steps, restless=restless / repeats, late=late / RUNS)


# Printing


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{fmean(values):.3f} ± {stdev(values) if len(values) > 1 else 0.0:.3f}"


def quality(folder: Path, seeds: int) -> dict[str, dict[str, list[Quality]]]:
    """Prints how good all ways are on each set."""
    found: dict[str, dict[str, list[Quality]]] = {}
    for name in SETS:
        texts, of_way = read(folder, name), defaultdict[str, list[Quality]](list)
        for seed in range(seeds):
            for way, one in ways(drawn(texts, seed)):
                of_way[way].append(one)
        print(f"\n{name}, {ROUTES} routes × {EXAMPLES} examples, {seeds} seeds")
        print(f"  {'':34} {'precision':>15} {'recall':>15} {'F1':>15}")
        for way, all_of_it in of_way.items():
            told = [spread([getattr(one, figure) for one in all_of_it]) for figure in ("precision", "recall", "f1")]
            print(f"  {way:34} " + " ".join(f"{one:>15}" for one in told))
        found[name] = dict(of_way)
    return found


def holding(folder: Path, seeds: int) -> dict[str, dict[str, list[Held]]]:
    """Prints what `route_margin` gives and costs on each set, with calibrated thresholds."""
    found: dict[str, dict[str, list[Held]]] = {}
    for name in SETS:
        texts, of_margin = read(folder, name), defaultdict[str, list[Held]](list)
        for seed in range(seeds):
            here = drawn(texts, seed)
            tables = {"as it comes": here.table(), "calibrated": here.table(thresholds_of(here, None))}
            for way, table in tables.items():
                for margin in MARGINS:
                    of_margin[f"{way}, margin {margin:.2f}"].append(threads(here, table, margin, seed))
        print(f"\n{name}, threads with {RUN} texts of one intent after each other")
        print(f"  {'':34} {'right':>15} {'restless':>15} {'late':>15}")
        for way, all_of_it in of_margin.items():
            told = [spread([getattr(one, figure) for one in all_of_it]) for figure in ("right", "restless", "late")]
            print(f"  {way:34} " + " ".join(f"{one:>15}" for one in told))
        found[name] = dict(of_margin)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with clinc150.parquet and banking77.parquet")
    parser.add_argument("--seeds", type=int, default=5, help="draws of routes (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=2000, help="measurements of speed (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    figures: dict[str, object] = {}
    if given.rounds:
        measured = speed(given.rounds)
        print(told(measured))
        figures["speed"] = {name: asdict(one) for name, one in measured.items()}
    if given.data:
        for name, measure in (("quality", quality), ("threads", holding)):
            found: Mapping[str, Mapping[str, Sequence[object]]] = measure(given.data, given.seeds)
            figures[name] = {
                data: {way: [vars(one) for one in all_of_it] for way, all_of_it in of_way.items()}
                for data, of_way in found.items()
            }
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
