"""Routers over simulated providers, as the tests of outages need them, and what they can be asked afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from steprouter import ModelCard, Price, StepKind, StepRouter, Tier
from steprouter.answering.breaker import HARD_FAILURES, MOST_OPEN_SECONDS, OPEN_JITTER, OPEN_SECONDS
from steprouter.answering.budgets import Budget
from steprouter.clock import Clock
from steprouter.errors import AllModelsFailed
from steprouter.step.step import Place, Step
from steprouter.testing import FrozenClock, SimulatedProvider

Colour = Literal["sync", "async"]
Method = Literal["ainvoke", "astream"]


def card(name: str, url: str, *, usd: float = 1.0, tier: Tier = Tier.LOW, **more: Any) -> ModelCard:
    """A model at an address where it has the same name, at `usd` per million tokens."""
    price = Price(input=usd, output=usd)
    return ModelCard(name=name, model=name, base_url=url, tier=tier, price=price, **more)


class EndlessWait(FrozenClock):
    """A clock on which no wait of an async step ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_on = asyncio.Event()

    async def asleep(self, seconds: float, /) -> None:
        """Wait until the step is cancelled."""
        self.is_waited_on.set()
        await asyncio.Event().wait()


@contextmanager
def routed(*cards: ModelCard, clock: Clock | None = None, **more: Any) -> Iterator[StepRouter]:
    """A router that is closed at the end; by a clock that stands still, if none is given."""
    router = StepRouter(cards, store=more.pop("store", "memory"), clock=clock or FrozenClock(), **more)
    try:
        yield router
    finally:
        router.close()


def answers(router: StepRouter, count: int, colour: Colour = "sync", **asked: Any) -> list[str]:
    """What so many steps are answered, one after another."""
    if colour == "sync":
        return [router.invoke("How are you?", **asked).text for _ in range(count)]

    async def all_of_them() -> list[str]:
        try:
            return [(await router.ainvoke("How are you?", **asked)).text for _ in range(count)]
        finally:
            await router.aclose()

    return asyncio.run(all_of_them())


def streamed(router: StepRouter, colour: Colour) -> str:
    """All that the consumer of a stream is shown."""
    if colour == "sync":
        return "".join(chunk.text for chunk in router.stream("How are you?"))

    async def heard() -> str:
        try:
            return "".join([chunk.text async for chunk in router.astream("How are you?")])
        finally:
            await router.aclose()

    return asyncio.run(heard())


def failed(router: StepRouter) -> AllModelsFailed:
    """How a step fails for which no model is left."""
    try:
        answer = router.invoke("How are you?")
    except AllModelsFailed as error:
        return error
    raise AssertionError(f"nobody should have answered, got {answer.text!r}")


async def cancelled(router: StepRouter, method: Method, until: Coroutine[Any, Any, object]) -> None:
    """Ask for a step and cancel it once `until` has come true."""

    async def ask() -> None:
        if method == "ainvoke":
            await router.ainvoke("How are you?")
        else:
            async for _ in router.astream("How are you?"):
                pass

    step = asyncio.create_task(ask())
    await asyncio.wait_for(until, 30)
    step.cancel()
    try:
        await step
    except asyncio.CancelledError:
        await router.aclose()
        return
    raise AssertionError("the step should have been cancelled")


async def reached(provider: SimulatedProvider, requests: int) -> None:
    """Wait until a provider has had so many requests."""
    while len(provider.requests) < requests:
        await asyncio.sleep(0.005)


def set_aside(router: StepRouter) -> list[str]:
    """Calls that money is set aside for."""
    ledger = router.engine.gate.ledger
    assert ledger is not None
    return sorted(ledger.desk().held)


def spent_tokens(router: StepRouter, budget: Budget) -> int:
    """What of a router's tenant's budget is spent or set aside."""
    ledger, now = router.engine.gate.ledger, router.engine.clock.now()
    assert ledger is not None
    step = Step(id="another", kind=StepKind.CHAT, place=Place(), started_at=now)
    return round(ledger.shares(step, now)[budget.name] * (budget.tokens or 0))


def in_flight(router: StepRouter) -> dict[str, int]:
    """Calls under way, by model."""
    engine = router.engine
    return {name: one.in_flight for name, one in engine.gate.health.health(engine.clock.now()).items()}


def calls_at_most(seconds: float) -> int:
    """Calls that a model may get which never answers: those that trip its breaker, and the probes that are due."""
    probes, due = 0, 0.0
    while (due := due + min(MOST_OPEN_SECONDS, OPEN_SECONDS * 2**probes) * (1 - OPEN_JITTER)) <= seconds:
        probes += 1
    return HARD_FAILURES + probes
