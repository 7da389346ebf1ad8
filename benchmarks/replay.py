"""Replays real outcomes of four models through the deciding code and memory of the router, with bandit feedback.

    python benchmarks/replay.py --data FOLDER [--seeds N] [--pairs N] [--json FILE]

FOLDER holds `paretobandit/prompts.parquet` (prompt, source, id) and `rewards.parquet` (id, model, reward, cost_usd)
from github.com/ParetoBandit/ParetoBandit, Apache-2.0. An answer is sufficient from a reward of 0.8 on. Prompts come in
runs of up to 20 of one source, in an order drawn for each seed; the source is the node of the graph. Only what was
asked is known afterwards. Everything but the models is the product's: embedder, memory, learning, decision.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.embedding.default import DefaultEmbedder
from steprouter.memory.labels import Source, label
from steprouter.memory.local import LocalMemory
from steprouter.memory.neighbours import nearest
from steprouter.memory.recall import Recalled
from steprouter.memory.remember import Ended, remember
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.models.cost import Usage
from steprouter.models.tokens import estimate_tokens
from steprouter.routing.decide import decide
from steprouter.routing.odds import Prior
from steprouter.routing.policy import Policy
from steprouter.routing.predict import Foretold
from steprouter.step.step import Needs, Place, Step, StepKind

SUFFICIENT = 0.8
LLAMA, MISTRAL, FLASH, PRO = range(4)
NAMES = (
    "meta-llama/llama-3.1-8b-instruct",
    "mistralai/mistral-large-2512",
    "google/gemini-2.5-flash",
    "google/gemini-2.5-pro",
)
CARDS = tuple(
    ModelCard(name=name, model=f"x:{name}", base_url="http://127.0.0.1:1/v1", tier=tier, price=price)
    for name, tier, price in (
        (NAMES[LLAMA], Tier.LOW, Price(input=0.02, output=0.05)),
        (NAMES[MISTRAL], Tier.MID, Price(input=0.5, output=1.5)),
        (NAMES[FLASH], Tier.MID, Price(input=0.3, output=2.5)),
        (NAMES[PRO], Tier.HIGH, Price(input=1.25, output=10)),
    )
)
BEGINS = 1_800_000_000.0
KEY = b"replay"

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What was asked, and how each model answered.

    Attributes:
        vectors: (n, d) float32, unit length.
        nodes: (n,), the sources.
        tokens: (n,), estimated lengths of the prompts.
        right: (n, 4), whether an answer is sufficient.
        usd: (n, 4), what it cost.
    """

    vectors: npt.NDArray[np.float32]
    nodes: Sequence[str]
    tokens: Sequence[int]
    right: Bools
    usd: Floats

    def __len__(self) -> int:
        return len(self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """A simulated check of answers other than the reference's."""

    detection: float = 0.0
    false_alarm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A model that loses part of its right answers from a step on, and nobody says so."""

    model: int
    at: int
    share: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run is made with."""

    checks: Checks = field(default_factory=Checks)
    regression: Regression | None = None
    prior: float | None = None
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a run: for each step whether it went well, what it cost, and which model was first."""

    right: Bools
    usd: Floats
    first: npt.NDArray[np.int64]


@cache
def load(folder: Path) -> Items:
    """The prompts with their outcomes."""
    prompts = pq.read_table(folder / "paretobandit" / "prompts.parquet").to_pydict()
    rewards = pq.read_table(folder / "paretobandit" / "rewards.parquet").to_pydict()
    row = {name: number for number, name in enumerate(prompts["id"])}
    right, usd = np.zeros((len(row), 4), dtype=bool), np.zeros((len(row), 4))
    for one, model, reward, cost in zip(
        rewards["id"], rewards["model"], rewards["reward"], rewards["cost_usd"], strict=True
    ):
        place = (row[one], NAMES.index(model))
        right[place], usd[place] = reward >= SUFFICIENT, cost
    embedder = DefaultEmbedder()
    return Items(
        vectors=np.stack([embedder.embed(text) for text in prompts["prompt"]]),
        nodes=prompts["source"],
        tokens=[estimate_tokens(text) for text in prompts["prompt"]],
        right=right,
        usd=usd,
    )


def order_of(items: Items, seed: int) -> list[int]:
    """The items in runs of up to 20 of one node, as agents make them."""
    rng = Random(seed)
    shuffled = list(range(len(items)))
    rng.shuffle(shuffled)
    by_node: dict[str, list[int]] = {}
    for item in shuffled:
        by_node.setdefault(items.nodes[item], []).append(item)
    runs = []
    for left in by_node.values():
        while left:
            length = rng.randint(1, 20)
            runs.append(left[:length])
            left = left[length:]
    rng.shuffle(runs)
    return [item for run in runs for item in run]


def step_of(items: Items, item: int, number: int) -> Step:
    """An item as a step."""
    return Step(
        id=f"step-{number:05}",
        kind=StepKind.ANSWER,
        place=Place(node=items.nodes[item]),
        needs=Needs(input_tokens=items.tokens[item]),
        started_at=BEGINS + number,
    )


def attempt_of(items: Items, item: int, model: int, right: bool, *, refused: bool = False) -> Attempt:
    """What calling a model for an item came to; its answer's length is what its price makes of its cost."""
    price = CARDS[model].price
    assert price is not None
    spent = items.usd[item, model] * 1e6 - items.tokens[item] * price.input
    usage = Usage(input_tokens=items.tokens[item], output_tokens=max(1, round(spent / price.output)))
    text = "right" if right else f"wrong as {NAMES[model]} is"
    return Attempt(
        model=NAMES[model],
        answer=Answer(text=text, finish="stop", usage=usage),
        usage=usage,
        problems=("refused by the check",) if refused else (),
    )


class Replay:
    """The product over a stream of items; `memory` may be one that was filled before."""

    def __init__(self, items: Items, setup: Setup, seed: int, memory: LocalMemory | None = None) -> None:
        self.items, self.setup = items, setup
        self.memory = memory or LocalMemory()
        self.coins = np.random.default_rng(seed).random((len(items), 2))
        wrong = setup.prior
        self.foretold = Foretold(priors={} if wrong is None else {name: Prior(success=wrong) for name in NAMES})
        self.prices = {card.name: card.price for card in CARDS}

    def is_right(self, item: int, model: int, number: int) -> bool:
        """Whether a model's answer is right now."""
        worse = self.setup.regression
        if worse is not None and model == worse.model and number >= worse.at and self.coins[item, 1] < worse.share:
            return False
        return bool(self.items.right[item, model])

    def step(self, item: int, number: int) -> tuple[bool, float, int]:
        """One step: decided, answered, labelled and remembered."""
        items, memory, now = self.items, self.memory, BEGINS + number
        step, vector = step_of(items, item, number), items.vectors[item]
        known = memory.neighbourhood("default", str(step.kind), len(vector))
        recalled = Recalled(
            sections={
                "counters": memory.counters(step),
                "learned": memory.learned("default"),
                "neighbours": nearest(known, vector),
            }
        )
        decision = decide(step, CARDS, self.setup.policy, recalled, foretold=self.foretold)
        first = NAMES.index(decision.models[0])
        right, checks = self.is_right(item, first, number), self.setup.checks
        refusal = checks.false_alarm if right else checks.detection
        refused = first != PRO and bool(self.coins[item, 0] < refusal)
        attempts = [attempt_of(items, item, first, right, refused=refused)]
        usd = items.usd[item, first]
        if refused:
            right, usd = self.is_right(item, PRO, number), usd + items.usd[item, PRO]
            attempts.append(attempt_of(items, item, PRO, right))
        ended = Ended(
            step=step,
            attempts=tuple(attempts),
            answered_by=attempts[-1],
            vector=vector.astype("<f4").tobytes(),
            recalled=recalled,
            expected=decision.expected,
            charge=decision.charge,
        )
        memory.remember(remember(ended, self.prices, KEY), now)
        memory.label("default", label(step.id, Source.FEEDBACK, float(right), now), now)
        return right, usd, first


def run(items: Items, setup: Setup, seed: int) -> Run:
    """One run over all items."""
    replay = Replay(items, setup, seed)
    steps = [replay.step(item, number) for number, item in enumerate(order_of(items, seed))]
    right, usd, first = zip(*steps, strict=True)
    return Run(right=np.array(right), usd=np.array(usd), first=np.array(first))


# Baselines


def fixed(items: Items, model: int, checks: Checks, seed: int) -> tuple[float, float]:
    """Always one model, and the reference where the check refuses it: success and USD."""
    right, usd = items.right[:, model].copy(), items.usd[:, model].copy()
    coin = np.random.default_rng(seed).random(len(items))
    refused = coin < np.where(right, checks.false_alarm, checks.detection)
    if model != PRO:
        right[refused] = items.right[refused, PRO]
        usd[refused] += items.usd[refused, PRO]
    return float(right.mean()), float(usd.sum())


def table(items: Items, seed: int, loss: float = 0.03) -> tuple[float, float]:
    """For each node the cheapest model within `loss` of the reference, seen on one half and used on the other."""
    half = np.random.default_rng(seed).random(len(items)) < 0.5
    nodes = np.array(items.nodes)
    right, usd = np.zeros(len(items)), np.zeros(len(items))
    for seen in (half, ~half):
        for node in set(items.nodes):
            rows, used = seen & (nodes == node), ~seen & (nodes == node)
            means = items.right[rows].mean(0) if rows.any() else items.right[seen].mean(0)
            model = next(m for m in range(4) if m == PRO or means[m] >= means[PRO] - loss)
            right[used], usd[used] = items.right[used, model], items.usd[used, model]
    return float(right.mean()), float(usd.sum())


def mixed(items: Items, share: float, seed: int) -> tuple[float, float]:
    """The reference in a drawn share of the steps, the best fixed model otherwise."""
    strong = np.random.default_rng(seed).random(len(items)) < share
    models = np.where(strong, PRO, FLASH)
    rows = np.arange(len(items))
    return float(items.right[rows, models].mean()), float(items.usd[rows, models].sum())


def oracle(items: Items) -> tuple[float, float]:
    """The cheapest model that answers right, where one does; no router can know it."""
    rows = np.arange(len(items))
    usd = np.where(items.right, items.usd, np.inf)
    models = np.where(items.right.any(1), usd.argmin(1), LLAMA)
    return float(items.right.any(1).mean()), float(items.usd[rows, models].sum())


# Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the report: sufficiency less the reference's, and cost as part of the reference's, mean and sd.

    Attributes:
        name: Who decided.
        sufficiency: Less the reference's.
        worst: The same in the order in which it was lowest.
        cost: As part of the reference's.
        strong: Share of the steps at which the reference was asked first.
    """

    name: str
    sufficiency: tuple[float, float]
    worst: float
    cost: tuple[float, float]
    strong: float | None = None


def line(name: str, found: Sequence[tuple[float, float]], items: Items, strong: float | None = None) -> Line:
    """The line of several runs: success and USD of each."""
    gains = [right - items.right[:, PRO].mean() for right, _ in found]
    costs = [usd / items.usd[:, PRO].sum() for _, usd in found]
    return Line(name=name, sufficiency=spread(gains), worst=float(min(gains)), cost=spread(costs), strong=strong)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def one(folder: Path, setup: Setup, seed: int) -> Run:
    """A run in a process of its own."""
    return run(load(folder), setup, seed)


def routed(pool: ProcessPoolExecutor, folder: Path, name: str, setup: Setup, seeds: Sequence[int]) -> Line:
    """The product's line."""
    runs = list(pool.map(partial(one, folder, setup), seeds))
    found = [(float(r.right.mean()), float(r.usd.sum())) for r in runs]
    strong = float(np.mean([(r.first == PRO).mean() for r in runs]))
    return line(name, found, load(folder), strong)


def dip(pool: ProcessPoolExecutor, folder: Path, setup: Setup, model: int, pairs: int) -> Mapping[str, float]:
    """What a silent regression costs in the 1 000 steps after it: paired runs, with minus without."""
    at = len(load(folder)) // 2 - 250
    worse = Setup(checks=setup.checks, policy=setup.policy, regression=Regression(model=model, at=at))
    seeds = range(100, 100 + pairs)
    with_it = list(pool.map(partial(one, folder, worse), seeds))
    without = list(pool.map(partial(one, folder, setup), seeds))
    lost = [
        float(b.right[at : at + 1000].mean() - a.right[at : at + 1000].mean())
        for a, b in zip(with_it, without, strict=True)
    ]
    mean, sd = spread(lost)
    return {"mean": mean, "upper95": mean + 1.645 * sd / len(lost) ** 0.5, "pairs": len(lost)}


def markdown(lines: Sequence[Line]) -> str:
    """The report as a table."""
    names = ("policy", "sufficiency − reference", "worst order", "cost / reference", "reference first")
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    rows = (
        f"| {one.name} | {one.sufficiency[0]:+.4f} ± {one.sufficiency[1]:.4f} | {one.worst:+.4f} | "
        f"{one.cost[0]:.3f} ± {one.cost[1]:.3f} | {'' if one.strong is None else f'{one.strong:.0%}'} |"
        for one in lines
    )
    return head + "\n".join(rows)


def main() -> None:
    """Run all and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--pairs", type=int, default=30)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    items, checked = load(given.data), Checks(detection=0.7, false_alarm=0.05)
    seeds = range(given.seeds)
    found: dict[str, Any] = {"items": len(items)}
    with ProcessPoolExecutor(2) as pool:
        product: Callable[[str, Setup], Line] = lambda name, setup: routed(pool, given.data, name, setup, seeds)  # noqa: E731
        lines = [
            product("StepRouter", Setup()),
            product("StepRouter, check .7/.05", Setup(checks=checked)),
            product("StepRouter, all priors .5", Setup(prior=0.5)),
            product("StepRouter, all priors .9", Setup(prior=0.9)),
        ]
        dips = (
            {NAMES[model]: dip(pool, given.data, Setup(), model, given.pairs) for model in (MISTRAL, FLASH)}
            if given.pairs
            else {}
        )
    lines += [line(f"always {NAMES[m]}", [fixed(items, m, Checks(), 0)], items) for m in (PRO, FLASH, MISTRAL, LLAMA)]
    lines += [
        line(f"cascade {NAMES[m]} → reference, check .7/.05", [fixed(items, m, checked, s) for s in seeds], items)
        for m in (FLASH, MISTRAL, LLAMA)
    ]
    strong = lines[0].strong or 0.0
    lines += [
        line("table by node, split halves", [table(items, s) for s in seeds], items),
        line("random at StepRouter's share", [mixed(items, strong, s) for s in seeds], items, strong),
        line("oracle", [oracle(items)], items),
    ]
    print(f"{len(items)} prompts, {given.seeds} orders\n\n{markdown(lines)}\n")
    for model, lost in dips.items():
        print(
            f"{model} loses 40 %: {lost['mean']:+.4f} in the 1 000 steps after, at most {lost['upper95']:+.4f} (95 %)"
        )
    if given.json:
        found |= {"lines": [asdict(one) for one in lines], "dips": dips}
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
