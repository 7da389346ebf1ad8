"""What a step costs while one of its models' providers is down: as much as if that model were not there.

    python benchmarks/failures.py [--rounds N] [--json FILE]

Two routers, one with a dead provider whose circuit is open and a healthy one, the other with the healthy one only,
take steps by turns. Each request goes over HTTP on this machine; nothing is sent out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from contest import AGENT_STEP, PIECES, STORES, Colour, tools
from measure import Spread, Timed, atimed, in_turns, timed
from overhead import CALL_METHODS, machine, micros, printed, private_store
from stand_ins import instant_server

from steprouter import ModelCard, Price, StepRouter
from steprouter.answering.breaker import HARD_FAILURES, State
from steprouter.clock import SystemClock
from steprouter.testing import SimulatedProvider, say
from steprouter.testing.clock import START_SECONDS

COLUMNS = ("StepRouter does", "store", "ratio", "95 % from", "to", "with it p10", "p50", "p99", "without p50")
MOST = 1.05
"""What the ratio is to stay below."""

RESAMPLINGS = 2000
"""Bootstrap: enough that the bounds do not move in their third figure."""

INTRODUCTION = """\
What a dead provider costs once its circuit is open
===================================================

{machine}

An agent's step: 4 messages, 8 tools, an answer of {pieces} pieces, from a server on this machine. One router has that
server's model and a cheaper one whose provider answers 503, the other has the first only. The dead provider was asked
{trips} times before, which opened its circuit; while it is open nobody asks it.

  ratio        Median time of a step with the dead provider among the candidates, divided by the median without.
               It is to be at most {most}; 95 of 100 resamplings of the rounds lie between the two figures beside it.
  with, without  The times themselves, in microseconds: a quiet moment, the median and a bad one."""


class OneMoment(SystemClock):
    """Durations are real and the time of day stands still, so that the circuit stays open."""

    def now(self) -> float:
        """Always the same."""
        return START_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Steps with a dead provider among the candidates, and without.

    Attributes:
        ratio: Of the medians.
        low: 95 of 100 resamplings of the rounds have a ratio from this on,
        high: up to this.
        beside: With the dead provider.
        alone: Without.
    """

    ratio: float
    low: float
    high: float
    beside: Spread
    alone: Spread


def compared(beside: Sequence[float], alone: Sequence[float]) -> Comparison:
    """What the times of the same rounds say."""
    one, other = np.array(beside), np.array(alone)
    drawn = np.random.default_rng(1).integers(len(one), size=(RESAMPLINGS, len(one)))
    ratios = np.median(one[drawn], axis=1) / np.median(other[drawn], axis=1)
    low, high = (float(value) for value in np.percentile(ratios, (2.5, 97.5)))
    ratio = float(np.median(one) / np.median(other))
    return Comparison(ratio=ratio, low=low, high=high, beside=Spread.of(beside), alone=Spread.of(alone))


class Outage:
    """A dead provider, a healthy one, and routers over them.

    Args:
        dead: The dead one.
        url: Of the healthy one.
        runner: The event loop of all that is async.
        stack: Closes what was opened.
    """

    def __init__(self, dead: SimulatedProvider, url: str, runner: asyncio.Runner, stack: ExitStack) -> None:
        self.dead = dead
        self.url = url
        self.runner = runner
        self.stack = stack
        self.tools = tools(8)

    def router(self, store: str, *, beside: bool) -> StepRouter:
        """A router with the healthy model, and the dead one `beside` it, whose circuit is open."""
        cards = [card("healthy", self.url, 1.0)]
        router = StepRouter(
            [card("dead", self.dead.url, 0.5), *cards] if beside else cards, store=store, clock=OneMoment()
        )
        self.stack.callback(lambda: self.runner.run(router.aclose()))
        router.engine.connection.open()
        if beside:
            self.trip(router)
        return router

    def trip(self, router: StepRouter) -> None:
        """Open the dead one's circuit, unless another router has: those with one store share it."""
        engine = router.engine
        for _ in range(HARD_FAILURES):
            router.invoke(list(AGENT_STEP))
        assert engine.sink.flush()
        assert engine.gate.health.health(engine.clock.now())["dead"].breaker.state is State.OPEN

    def measured(self, colour: Colour, store: str, rounds: int) -> Comparison:
        """Steps of both routers, by turns."""
        both = {name: self.router(store, beside=name == "beside") for name in ("beside", "alone")}
        asked = len(self.dead.rejections)

        def rest() -> None:
            for router in both.values():
                router.traces.written()

        took = in_turns({name: self.step(colour, router) for name, router in both.items()}, rounds, between=rest)
        assert len(self.dead.rejections) == asked  # nobody asked it
        return compared(took["beside"], took["alone"])

    def step(self, colour: Colour, router: StepRouter) -> Timed:
        """A whole step."""
        bound = router.bind_tools(self.tools)
        if colour == "sync":
            return timed(lambda: bound.invoke(list(AGENT_STEP)))
        return atimed(self.runner, lambda: bound.ainvoke(list(AGENT_STEP)))


def card(name: str, url: str, usd: float) -> ModelCard:
    """A model of a server."""
    return ModelCard(name=name, model=f"pieces-{PIECES}", base_url=url, price=Price(input=usd, output=usd))


def row(method: str, store: str, found: Comparison) -> tuple[str, ...]:
    """A comparison as a line of the table."""
    ratios = (f"{value:.3f}" for value in (found.ratio, found.low, found.high))
    beside, alone = found.beside, found.alone
    return (method, store, *ratios, *map(micros, (beside.p10, beside.p50, beside.p99, alone.p50)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="how often each step is timed (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures, in seconds, to this file")
    given = parser.parse_args()
    rounds = max(20, given.rounds)
    print(INTRODUCTION.format(machine=machine(rounds), pieces=PIECES, trips=HARD_FAILURES, most=MOST))
    dead = SimulatedProvider({f"pieces-{PIECES}": say("Nobody hears this.")})
    with private_store(), instant_server() as url, dead, asyncio.Runner() as runner, ExitStack() as stack:
        dead.down()
        outage = Outage(dead, url, runner, stack)
        found = {
            (method, store): outage.measured(colour, store, rounds)
            for method, colour in CALL_METHODS.items()
            for store in STORES
        }
    printed("A step, in microseconds", COLUMNS, [row(method, store, one) for (method, store), one in found.items()])
    if given.json:
        told = {f"{method}, {store}": asdict(one) for (method, store), one in found.items()}
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    if worst := [name for name, one in found.items() if one.low > MOST]:
        raise SystemExit(f"a dead provider costs more than a factor of {MOST}: {worst}")


if __name__ == "__main__":
    main()
