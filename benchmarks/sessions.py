"""A simulation of agents' sessions with prompt caches: recorded step shapes, drawn sufficiency, counted tokens.

    python benchmarks/sessions.py --data FOLDER [--seeds N] [--sessions N] [--json FILE]

FOLDER holds `tau/{episodes,messages,steps}.parquet` and `tau/policies.json`: recorded agents of tau-bench and
tau2-bench (github.com/sierra-research, MIT). The data are for measuring and stay outside.

What is real: the conversations, hence kinds and lengths of steps; prices of the catalogue; the router, which reads
each step, recalls, decides, escalates and remembers with the product's own code and `Policy()` as shipped.

What is simulated: who would have answered a step well. The weakest tier that suffices is drawn once for each step from
the published shares of its kind (`PUBLISHED`, frozen), the same draw for every policy; a stronger tier suffices
wherever a weaker one does, the strongest always. A conversation goes on as recorded whoever answers. Every model counts
tokens alike and answers at the recorded length. A human takes a minute to reply, on average, so caches go cold now and
then. A check refuses wrong answers and right ones at stated rates; both calls are paid.

Money is counted token by token (`session_bills.py`), apart from the router's own arithmetic.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from session_bills import Provider, cheapest, plan_difference
from session_shapes import KEY, Session, Shape, load

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.moves import Accept, Try, next_move
from steprouter.answering.progress import Progress, Situation
from steprouter.memory.labels import Source, label
from steprouter.memory.local import LocalMemory
from steprouter.memory.neighbours import nearest
from steprouter.memory.recall import Recalled
from steprouter.memory.remember import Ended, remember
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.models.catalogue import complete, for_card, made_on
from steprouter.routing.contend import warm_tokens
from steprouter.routing.decide import decide
from steprouter.routing.plan_cost import Ahead, Speaker
from steprouter.routing.policy import KIND_TIERS, Policy
from steprouter.step.step import Place, Step, StepKind

PUBLISHED = {
    "function calls": (239, 8, 1, 0),
    "agent tasks": (41, 3, 3, 1),
    "answers from documents": (183, 8, 1, 1),
    "summaries": (132, 10, 3, 0),
    "code repair": (94, 33, 41, 168),
}
"""Steps by the cheapest tier that suffices (low, mid, mid_high, high), by downgrading one step at a time and running
the rest: BFCL, PinchBench, mtRAG, QMSum and SWE-bench in TwinRouterBench, arXiv 2605.18859."""

OF_KIND: Mapping[StepKind, str] = {
    StepKind.TOOL_CALL: "function calls",
    StepKind.EXTRACT: "function calls",
    StepKind.CLASSIFY: "function calls",
    StepKind.READ_RESULT: "agent tasks",
    StepKind.RECOVER: "agent tasks",
    StepKind.CHAT: "answers from documents",
    StepKind.ANSWER: "answers from documents",
    StepKind.SUMMARIZE: "summaries",
    StepKind.HOUSEKEEPING: "summaries",
    StepKind.PLAN: "code repair",
    StepKind.REFLECT: "code repair",
    StepKind.CODE: "code repair",
}
"""Whose figures stand for a kind; the hardest for what nobody has measured."""

MODELS: Mapping[str, tuple[str, ...]] = {
    "Anthropic": ("anthropic:claude-haiku-5-5", "anthropic:claude-sonnet-5-5", "anthropic:claude-opus-5-5"),
    "OpenAI": ("openai:gpt-6-luna", "openai:gpt-6.1-terra", "openai:gpt-6.1-sol"),
    "Google": ("google_genai:gemini-3.1-flash-lite", "google_genai:gemini-3.8-flash", "google_genai:gemini-4-argon"),
    "mixed": ("mistralai:mistral-small-2603", "deepseek:deepseek-v4-pro", "anthropic:claude-opus-5-5"),
}
"""Small, middle and large, the last being the reference: three families, and one across providers."""

REPLY_SECONDS = 60.0
APART_SECONDS = 600.0
BEGINS = 1_800_000_000.0
TOO_DEAR = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """A simulated check of answers."""

    detection: float = 0.0
    false_alarm: float = 0.0


NO_CHECK, CHECK = Checks(), Checks(detection=0.7, false_alarm=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What chance brings to one session, the same for every policy.

    Attributes:
        needs: (steps,), how hard each step is, 0 to 1.
        coins: (steps, models), what a check of each model's answer falls by.
        times: (steps,), when each step starts, in seconds from the session's beginning.
    """

    needs: npt.NDArray[np.float64]
    coins: npt.NDArray[np.float64]
    times: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of a step: the models asked in order, whether the given answer is right, what all cost in USD."""

    asked: tuple[str, ...]
    right: bool
    usd: float


Told = list[Answered]
"""A session's steps."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed: sessions in an order, what chance brings to each, and the models."""

    cards: tuple[ModelCard, ...]
    sessions: tuple[Session, ...]
    draws: tuple[Draw, ...]

    @cached_property
    def names(self) -> list[str]:
        """The models, the weakest first."""
        return [card.name for card in self.cards]

    def is_right(self, shape: Shape, draw: Draw, number: int, model: str) -> bool:
        """Whether a model answers a step well."""
        return bool(draw.needs[number] < sufficient_share(shape.step.kind, self.cards[self.names.index(model)]))

    def is_refused(self, draw: Draw, number: int, model: str, checks: Checks, *, right: bool) -> bool:
        """Whether a check refuses a model's answer."""
        coin = draw.coins[number, self.names.index(model)]
        return bool(coin < (checks.false_alarm if right else checks.detection))

    def providers(self) -> dict[str, Provider]:
        """The models' providers as a session finds them."""
        return {card.name: Provider(price=price_of(card)) for card in self.cards}


def sufficient_share(kind: StepKind, card: ModelCard) -> float:
    """The published share of steps of a kind for which a model's tier suffices."""
    counts = PUBLISHED[OF_KIND[kind]]
    assert card.tier is not None
    return 1.0 if card.tier is Tier.HIGH else sum(counts[: card.tier.rank + 1]) / sum(counts)


def price_of(card: ModelCard) -> Price:
    """The catalogue's price."""
    assert card.price is not None
    return card.price


def cards_of(models: Sequence[str]) -> tuple[ModelCard, ...]:
    """The cards of models, completed from the catalogue."""
    bare = [ModelCard(name=model.partition(":")[2], model=model) for model in models]
    return tuple(complete(card, for_card(card)) for card in bare)


def world(folder: Path, models: Sequence[str], count: int, seed: int) -> World:
    """Sessions drawn for a seed, in a drawn order."""
    rng, known = np.random.default_rng(seed), load(folder)
    chosen = tuple(known[number] for number in rng.permutation(len(known))[:count])
    return World(cards=cards_of(models), sessions=chosen, draws=tuple(draw(one, rng, len(models)) for one in chosen))


def draw(session: Session, rng: np.random.Generator, models: int) -> Draw:
    """What chance brings to a session."""
    steps = len(session.shapes)
    replies = rng.exponential(REPLY_SECONDS, steps) * [shape.follows_human for shape in session.shapes]
    lasted = np.array([0.0, *(shape.seconds for shape in session.shapes[:-1])])
    times = np.cumsum(lasted + replies)
    return Draw(needs=rng.random(steps), coins=rng.random((steps, models)), times=times)


# The product


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run of the router is made with.

    Attributes:
        checks: How good the simulated check is.
        told: Whether somebody says of every step whether it was right.
        policy: What the user asks.
    """

    checks: Checks = NO_CHECK
    told: bool = False
    policy: Policy = field(default_factory=Policy)


class Routed:
    """The product over all sessions of a world, learning as it goes."""

    def __init__(self, world: World, setup: Setup) -> None:
        self.world, self.setup = world, setup
        self.memory, self.now = LocalMemory(), BEGINS
        self.prices = {card.name: card.price for card in world.cards}
        self.known, self.believed = 0, 0

    def run(self) -> list[Told]:
        """All sessions, one after the other."""
        return [self.session(*pair) for pair in zip(self.world.sessions, self.world.draws, strict=True)]

    def session(self, session: Session, draw: Draw) -> Told:
        """One session."""
        began, providers, told = self.now, self.world.providers(), []
        for number, shape in enumerate(session.shapes):
            self.now = began + float(draw.times[number])
            step = replace(
                shape.step,
                id=f"{session.name}#{number:03}",
                place=Place(thread=session.name, node="agent"),
                started_at=self.now,
            )
            told.append(self.step(step, shape, draw, number, providers))
        self.now += APART_SECONDS
        return told

    def step(self, step: Step, shape: Shape, draw: Draw, number: int, providers: Mapping[str, Provider]) -> Answered:
        """One step: recalled, decided, answered, checked, escalated, remembered."""
        memory, policy = self.memory, self.setup.policy
        near = memory.neighbourhood("default", str(step.kind), len(shape.vector))
        session = memory.session(step)
        sections = {
            "session": session,
            "counters": memory.counters(step),
            "learned": memory.learned("default"),
            "neighbours": nearest(near, shape.vector),
        }
        recalled = Recalled(sections=sections)
        decision = decide(step, self.world.cards, policy, recalled)
        self.compare(step, recalled, providers)
        situation, progress, usd = Situation(step=step, decision=decision, policy=policy), Progress(), 0.0
        while isinstance(move := next_move(situation, progress), Try):
            cost, usage = providers[move.model].bill(shape.prompt_tokens, shape.output_tokens, step.started_at)
            usd += cost
            right = self.world.is_right(shape, draw, number, move.model)
            refused = self.world.is_refused(draw, number, move.model, self.setup.checks, right=right)
            attempt = Attempt(
                model=move.model,
                answer=replace(shape.answer if right else wrong(shape.answer, move.model), usage=usage),
                usage=usage,
                problems=("refused by the check",) if refused else (),
                seconds=shape.seconds,
            )
            progress = progress.after_calls(attempt)
        assert isinstance(move, Accept)
        right = self.world.is_right(shape, draw, number, move.attempt.model)
        ended = Ended(
            step=step,
            attempts=progress.attempts,
            answered_by=move.attempt,
            vector=shape.vector.astype("<f4").tobytes(),
            recalled=recalled,
            seconds=shape.seconds,
            expected=decision.expected,
            charge=decision.charge,
            reference=decision.reference,
        )
        memory.remember(remember(ended, self.prices, KEY), self.now)
        if self.setup.told:
            memory.label("default", label(step.id, Source.FEEDBACK, float(right), self.now), self.now)
        return Answered(asked=tuple(one.model for one in progress.attempts), right=right, usd=usd)

    def compare(self, step: Step, recalled: Recalled, providers: Mapping[str, Provider]) -> None:
        """Count how often the router knows how much of a prompt a provider has cached."""
        session = recalled.section("session")
        for card in self.world.cards:
            provider = providers[card.name]
            cached = len(provider.cached) if step.started_at < provider.until else 0
            self.known += cached == warm_tokens(card, step, session)
            self.believed += 1


def wrong(answer: Answer, model: str) -> Answer:
    """A wrong answer in place of a recorded one: words where words were said, the same tools otherwise called."""
    if not answer.tool_calls:
        return Answer(text=f"wrong as {model} is", finish="stop")
    calls = tuple(
        ToolCall(id=call.id, name=call.name, args={"wrong": model}, raw=json.dumps({"wrong": model}))
        for call in answer.tool_calls
    )
    return Answer(tool_calls=calls, finish="tool_calls")


# Baselines

Chain = Callable[[Shape, float], Sequence[str]]
"""Whom a policy asks at a step, in order, the next where a check refuses the last; it may draw by a number."""


def follow(world: World, chain: Chain, checks: Checks) -> list[Told]:
    """A policy that knows nothing of the session."""
    told = []
    rng = np.random.default_rng(0)
    for session, draw in zip(world.sessions, world.draws, strict=True):
        providers, steps = world.providers(), []
        for number, shape in enumerate(session.shapes):
            asked: list[str] = []
            usd, right = 0.0, False
            for model in chain(shape, rng.random()):
                asked.append(model)
                usd += providers[model].bill(shape.prompt_tokens, shape.output_tokens, draw.times[number])[0]
                right = world.is_right(shape, draw, number, model)
                if not world.is_refused(draw, number, model, checks, right=right):
                    break
            steps.append(Answered(asked=tuple(asked), right=right, usd=usd))
        told.append(steps)
    return told


def by_table(world: World) -> Chain:
    """The step-type table: the first model of the tier that a kind usually needs, then the reference."""
    reference = world.names[-1]

    def chain(shape: Shape, _: float) -> Sequence[str]:
        floor = KIND_TIERS[shape.step.kind]
        first = next(card.name for card in world.cards if card.tier is not None and card.tier.rank >= floor.rank)
        return (first,) if first == reference else (first, reference)

    return chain


def at_random(world: World, share: float) -> Chain:
    """The reference at a share of the steps, the cheapest and then the reference at the others."""
    return lambda _, drawn: world.names[-1:] if drawn < share else (world.names[0], world.names[-1])


def oracle(world: World) -> list[Told]:
    """The least that all sessions can cost if every step is answered well."""
    told = []
    prices = [price_of(card) for card in world.cards]
    for session, draw in zip(world.sessions, world.draws, strict=True):
        usd, path = cheapest(
            prices,
            [shape.prompt_tokens for shape in session.shapes],
            [shape.output_tokens for shape in session.shapes],
            draw.times.tolist(),
            [
                [world.is_right(shape, draw, number, name) for name in world.names]
                for number, shape in enumerate(session.shapes)
            ],
        )
        steps = [Answered(asked=(world.names[model],), right=True, usd=0.0) for model in path]
        told.append([replace(steps[0], usd=usd), *steps[1:]])
    return told


# Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a policy came to over the sessions of one seed.

    Attributes:
        cost: USD as part of the reference's, all sessions together.
        mean_cost: The mean of that part over sessions.
        dearest: The largest of those parts.
        too_dear: Share of the sessions above `TOO_DEAR`.
        sufficiency: Share of right answers, less the reference's.
        switches: Steps per session that another model answered than the one before.
        escalations: Calls per session after the first of a step.
        reference: Share of steps at which the reference was asked first.
    """

    cost: float
    mean_cost: float
    dearest: float
    too_dear: float
    sufficiency: float
    switches: float
    escalations: float
    reference: float


def figures(told: Sequence[Told], always: Sequence[Told], reference: str) -> Figures:
    """The figures of a policy beside those of the reference."""
    usd, most = (np.array([sum(step.usd for step in one) for one in each]) for each in (told, always))
    parts = usd / most
    steps = [step for one in told for step in one]
    right = [np.mean([step.right for one in each for step in one]) for each in (told, always)]
    return Figures(
        cost=float(usd.sum() / most.sum()),
        mean_cost=float(parts.mean()),
        dearest=float(parts.max()),
        too_dear=float((parts > TOO_DEAR).mean()),
        sufficiency=float(right[0] - right[1]),
        switches=fmean(sum(a.asked[-1] != b.asked[-1] for a, b in pairwise(one)) for one in told),
        escalations=fmean(sum(len(step.asked) - 1 for step in one) for one in told),
        reference=fmean(step.asked[0] == reference for step in steps),
    )


LIMITED = Policy(session_overrun=TOO_DEAR - 1)

SETUPS: Mapping[str, Setup] = {
    "StepRouter, no check": Setup(),
    "StepRouter, check": Setup(checks=CHECK),
    "StepRouter, no check, verdicts told": Setup(told=True),
    "StepRouter, check, verdicts told": Setup(checks=CHECK, told=True),
    "StepRouter, check, limit": Setup(checks=CHECK, policy=LIMITED),
    "StepRouter, check, verdicts told, limit": Setup(checks=CHECK, told=True, policy=LIMITED),
    "StepRouter, no check, verdicts told, limit": Setup(told=True, policy=LIMITED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """All policies over the sessions of one seed.

    Attributes:
        figures: By name.
        known: Share of prompts of which the router knew how much was cached, by setup.
        difference: The largest part by which a plan's cost differs from a count of its tokens.
    """

    figures: Mapping[str, Figures]
    known: Mapping[str, float]
    difference: float


def one(folder: Path, models: Sequence[str], count: int, seed: int) -> Seed:
    """One seed, in a process of its own."""
    here = world(folder, models, count, seed)
    small, middle, large = here.names
    always = follow(here, lambda *_: (large,), NO_CHECK)
    found, known = {}, {}
    for name, setup in SETUPS.items():
        routed = Routed(here, setup)
        found[name] = figures(routed.run(), always, large)
        known[name] = routed.known / routed.believed
    told = {
        f"always {large} (reference)": always,
        f"always {middle}": follow(here, lambda *_: (middle,), NO_CHECK),
        f"always {small}": follow(here, lambda *_: (small,), NO_CHECK),
        "step-type table, no check": follow(here, by_table(here), NO_CHECK),
        "step-type table, check": follow(here, by_table(here), CHECK),
        f"cascade {small} → {middle}, check": follow(here, lambda *_: (small, middle), CHECK),
        f"cascade {small} → {large}, check": follow(here, lambda *_: (small, large), CHECK),
        f"cascade {middle} → {large}, check": follow(here, lambda *_: (middle, large), CHECK),
    }
    for name, checks in (("no check", NO_CHECK), ("check", CHECK)):
        share = found[f"StepRouter, {name}"].reference
        told[f"random at StepRouter's share, {name}"] = follow(here, at_random(here, share), checks)
    told["oracle"] = oracle(here)
    found |= {name: figures(one, always, large) for name, one in told.items()}
    return Seed(figures=found, known=known, difference=plan_differences(here, seed))


def plan_differences(world: World, seed: int, count: int = 200) -> float:
    """The largest part by which the router's plan costs differ from a count, at steps and models drawn by chance."""
    rng, largest = np.random.default_rng(seed), 0.0
    for _ in range(count):
        session = world.sessions[rng.integers(len(world.sessions))]
        number = int(rng.integers(len(session.shapes)))
        shape = session.shapes[number]
        warm = [0, *(before.prompt_tokens for before in session.shapes[:number])]
        speaker, incumbent = (
            Speaker(
                price=price_of(world.cards[place]),
                warm_tokens=warm[rng.integers(len(warm))],
                output_tokens=shape.output_tokens,
            )
            for place in rng.permutation(len(world.cards))[:2]
        )
        ahead = Ahead(
            prompt_tokens=shape.prompt_tokens,
            growth_tokens=shape.prompt_tokens - warm[-1] if number else shape.output_tokens,
            steps=len(session.shapes) - number,
            cools=bool(rng.random() < 0.5),
        )
        largest = max(largest, plan_difference(speaker, incumbent, ahead))
    return largest


def spread(values: Sequence[float], form: str = ".3f", sign: str = "") -> str:
    """Mean and standard deviation over seeds."""
    return f"{fmean(values):{sign}{form}} ± {stdev(values) if len(values) > 1 else 0.0:{form}}"


def priced(card: ModelCard) -> str:
    """A model with its prices."""
    price = price_of(card)
    usd = (price.input, price.cache_read, price.cache_write or price.input, price.output)
    return f"{card.name} ({card.tier}) {'/'.join(str(one) for one in usd)}"


def markdown(seeds: Sequence[Seed]) -> str:
    """The report as a table; mean ± sd over seeds, and of the dearest session the dearest of all in brackets."""
    head = (
        "| policy | cost / reference | dearest session | sessions > 1.1 × | sufficiency − reference "
        "| switches / session | escalations / session | reference first |\n|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for name in seeds[0].figures:
        values: Callable[[str], list[float]] = lambda what, name=name: [getattr(s.figures[name], what) for s in seeds]  # type: ignore[misc] # noqa: E731
        dearest = values("dearest")
        rows.append(
            f"| {name} | {spread(values('cost'))} | {spread(dearest, '.2f')} (≤ {max(dearest):.2f}) | "
            f"{fmean(values('too_dear')):.1%} | {spread(values('sufficiency'), '.4f', '+')} | "
            f"{spread(values('switches'), '.2f')} | {spread(values('escalations'), '.2f')} | "
            f"{fmean(values('reference')):.0%} |"
        )
    return head + "\n".join(rows)


def main() -> None:
    """Run all and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--sessions", type=int, default=200, help="drawn for each seed")
    arguments.add_argument("--models", choices=tuple(MODELS), action="append", help="only these families")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    found: dict[str, Any] = {}
    print(f"SIMULATION: {given.seeds} seeds of {given.sessions} recorded sessions; sufficiency is drawn, not measured.")
    with ProcessPoolExecutor(2) as pool:
        for family in given.models or MODELS:
            seeds = list(pool.map(partial(one, given.data, MODELS[family], given.sessions), range(given.seeds)))
            prices = "; ".join(priced(card) for card in cards_of(MODELS[family]))
            print(f"\n### {family}\n\nUSD per million tokens in/cached/written/out on {made_on()}: {prices}\n")
            print(markdown(seeds))
            known = "; ".join(f"{name} {fmean(s.known[name] for s in seeds):.1%}" for name in SETUPS)
            print(f"\nThe router knew how much of a prompt was cached: {known}")
            print(f"Plan costs differ from a count token by token by at most {max(s.difference for s in seeds):.1e}")
            found[family] = [asdict(seed) for seed in seeds]
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
