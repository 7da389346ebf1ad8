"""How long a decision takes that looks at everything, beside one call of redisvl's `SemanticRouter`.

A step of a thread, eight models that are all able, health, a session with warm prompts, counts and 4 096 remembered
outcomes, of which the 48 nearest of each model are asked, and twenty routes with twenty examples each. The call is over
the same routes, to a server in the same machine; nothing else is opened and nothing is sent out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import redis
from measure import Spread, in_turns, timed

from steprouter.answering.breaker import Breaker, Observation, Sign, observed
from steprouter.answering.health import Conditions, Health
from steprouter.memory.learned import Learned, Ledger
from steprouter.memory.neighbours import ROWS, Neighbourhood, Row, empty, nearest
from steprouter.memory.outcomes import Counters, Tally
from steprouter.memory.recall import Recalled
from steprouter.memory.session import Decided, Session, Shape, Warm
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.decide import decide
from steprouter.routing.decision import Decision
from steprouter.routing.policy import Policy
from steprouter.routing.route_match import RouteTable, match, table_of
from steprouter.routing.routes import Route
from steprouter.step.step import Evidence, Needs, Place, Step, StepKind, Trail
from steprouter.store.embedded import acquire

Floats = npt.NDArray[np.float32]

NOW = 1_800_000_000.0
DIMENSION = 256
ROUTES = EXAMPLES = 20
MODELS = tuple(f"model-{number}" for number in range(8))
TIERS = (Tier.LOW, Tier.LOW, Tier.MID, Tier.MID, Tier.MID_HIGH, Tier.MID_HIGH, Tier.HIGH, Tier.HIGH)
THREADS = 300


@dataclass(frozen=True, kw_only=True)
class Case:
    """A step to be decided, and all that is known.

    Attributes:
        vector: The step's text.
        table: The routes.
        rows: Remembered outcomes of the step's kind.
        sections: What else was recalled.
    """

    step: Step
    cards: tuple[ModelCard, ...]
    policy: Policy
    vector: Floats
    table: RouteTable
    rows: Neighbourhood
    sections: dict[str, Any]

    def recalled(self) -> Recalled:
        """What is known, the nearest outcomes looked for anew."""
        return Recalled(sections={**self.sections, "neighbours": nearest(self.rows, self.vector)})

    def decision(self, known: Recalled | None = None) -> Decision:
        """The route, and who answers; the nearest outcomes too, where nothing is known yet."""
        known = known or self.recalled()
        return decide(self.step, self.cards, self.policy, known, route=match(self.table, self.vector, "route-3"))


def directions(count: int, centres: int, seed: int) -> Floats:
    """Unit vectors around centres in turn, as texts lie; two of one centre have a cosine of 0.8."""
    drawn = np.random.default_rng(seed)
    middles = np.random.default_rng(7).standard_normal((centres, DIMENSION))
    vectors = middles[np.arange(count) % centres] + 0.5 * drawn.standard_normal((count, DIMENSION))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    return unit


def case() -> Case:
    """The step and all that is known of it."""
    chance = np.random.default_rng(5)
    cards = tuple(
        ModelCard(
            name=name,
            model=f"openai:{name}",
            tier=tier,
            price=Price(input=0.2 * 2**number, output=2**number, cache_read=0.02 * 2**number),
            window_tokens=128_000,
        )
        for number, (name, tier) in enumerate(zip(MODELS, TIERS, strict=True))
    )
    vectors = directions(ROWS, 200, seed=3)
    rows = [
        Row(
            id=f"step-{number}",
            model=MODELS[number % len(MODELS)],
            thread=f"thread-{number % THREADS}",
            at=NOW - 600.0 * number,
            changed=NOW - 600.0 * number,
            score=float(chance.random() < 0.8 + 0.02 * (number % len(MODELS))),
            weight=0.6,
            vector=vectors[number],
        )
        for number in range(ROWS)
    ]
    routes = [
        Route(name=f"route-{number}", examples=tuple(f"{number} {one}" for one in range(EXAMPLES)), quality_loss=0.05)
        for number in range(ROUTES)
    ]
    examples = directions(ROUTES * EXAMPLES, ROUTES, seed=4)
    table = table_of(routes, {route.name: examples[number::ROUTES] for number, route in enumerate(routes)})
    assert table is not None
    prefixes = tuple(f"{number:024x}" for number in range(12))
    return Case(
        step=Step(
            id="now",
            kind=StepKind.ANSWER,
            place=Place(tenant="acme", thread="t", node="agent", graph_step=3, task="task"),
            needs=Needs(tools=True, input_tokens=4_000),
            evidence=Evidence(turns=3, last_role="human", last_model="model-2"),
            trail=Trail(prefixes=prefixes),
            started_at=NOW,
        ),
        cards=cards,
        policy=Policy(routes=tuple(routes)),
        vector=directions(4, ROUTES, seed=9)[3],
        table=table,
        rows=empty(DIMENSION).with_rows(rows),
        sections=sections(prefixes),
    )


def sections(prefixes: tuple[str, ...]) -> dict[str, Any]:
    """What was recalled beside the outcomes: each model is well, was counted, and two have seen the prompt."""
    breaker = Breaker()
    for number in range(200):
        breaker = observed(breaker, Observation(sign=Sign.SUCCESS, first_token_seconds=0.4), NOW - 200 + number, 0.5)
    counts = {
        name: Tally(successes=60 + 4 * n, failures=40 - 4 * n, labels=120, at=NOW - 60, seen=120, output_tokens=200 + n,
                    seconds=1.5, first_token_seconds=0.4, usd=0.001)
        for n, name in enumerate(MODELS)
    }  # fmt: skip
    warm = {
        name: Warm(digest=prefixes[8], messages=9, tokens=3_600, until=NOW + 200) for name in ("model-2", "model-6")
    }
    recent = tuple(Decided(step_id=f"s{n}", at=NOW - 10 * n, kind="answer", route="route-3") for n in range(16))
    return {
        "health": Conditions(deployments={name: Health(breaker=breaker, latency_seconds=0.4) for name in MODELS}),
        "session": Session(steps=16, incumbent="model-2", warm=warm, recent=recent, shape=Shape(seconds=2.0)),
        "counters": Counters(kind=counts, node=counts),
        "learned": Learned(ledger=Ledger(decisions=900, charged=1.0)),
    }


@contextmanager
def served(table: RouteTable) -> Iterator[Any]:
    """The router of redisvl with its own defaults over the same routes, on a server of its own."""
    # redisvl ships no types.
    from redisvl.extensions.router import Route as Stored  # type: ignore[import-untyped]
    from redisvl.extensions.router import SemanticRouter
    from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]

    examples = [example for route in table.routes for example in route.examples]
    known = dict(zip(examples, table.vectors.tolist(), strict=True))
    any_one = known[examples[0]]  # what its vectorizer is tried with
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as folder:
        server = acquire(Path(folder), grace_seconds=0.0)
        client = redis.Redis.from_url(server.url)
        try:
            yield SemanticRouter(
                name="bench",
                routes=[Stored(name=route.name, references=list(route.examples)) for route in table.routes],
                vectorizer=CustomVectorizer(embed=lambda text, **_: known.get(text, any_one)),
                redis_client=client,
            )
        finally:
            client.close()
            server.release()


DECISION, AT_HAND = "neighbours, route and decision", "route and decision"
CALL = "redisvl: one SemanticRouter call"
WANTED = 0.6
"""Of redisvl's call, at the median."""


def speed(rounds: int) -> dict[str, Spread]:
    """How long each takes, in turns."""
    here = case()
    known, route = here.recalled(), match(here.table, here.vector, "route-3")
    assert here.decision() == decide(here.step, here.cards, here.policy, known, route=route)
    assert len(known.section("neighbours")) == len(here.cards) == len(here.decision().models)
    with served(here.table) as router:
        asked = here.vector.tolist()
        assert router(vector=asked).name == match(here.table, here.vector).name
        taken = in_turns(
            {
                DECISION: timed(here.decision),
                CALL: timed(lambda: router(vector=asked)),
                AT_HAND: timed(lambda: here.decision(known)),
                "  the nearest of 4 096 outcomes": timed(here.recalled),
                "  the route of 20 × 20": timed(lambda: match(here.table, here.vector, "route-3")),
                "  decide(), 8 models": timed(lambda: decide(here.step, here.cards, here.policy, known, route=route)),
            },
            rounds,
            warm_up=50,
        )
    return {name: Spread.of(seconds) for name, seconds in taken.items()}


def told(found: dict[str, Spread]) -> str:
    """The figures as a table, in microseconds."""
    lines = [f"  {'microseconds':34} {'p10':>7} {'p50':>7} {'p99':>7}"]
    for name, one in found.items():
        lines.append(f"  {name:34} {1e6 * one.p10:7.0f} {1e6 * one.p50:7.0f} {1e6 * one.p99:7.0f}")
    for name in (DECISION, AT_HAND):
        p50, p99 = found[name].p50 / found[CALL].p50, found[name].p99 / found[CALL].p99
        lines.append(f"  {name}: p50 {p50:.2f} × redisvl's call (at most {WANTED} is wanted), p99 {p99:.2f} ×")
    return "\n".join(lines)


if __name__ == "__main__":
    print(told(speed(2000)))
