"""Providers are full or slow: what a step waits for, which call answers first, and what cancelling it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat
from threading import Event, current_thread

import pytest
from outage_routers import (
    Colour,
    EndlessWait,
    Method,
    answers,
    cancelled,
    card,
    failed,
    in_flight,
    reached,
    routed,
    set_aside,
    spent_tokens,
    streamed,
)

from steprouter import ModelCard, Policy, Price, Tier
from steprouter.answering.budgets import Budget
from steprouter.answering.hedge import CALLS_PER_HEDGE
from steprouter.clock import SystemClock
from steprouter.testing import (
    FrozenClock,
    Reply,
    Request,
    ScriptedChatModel,
    SimulatedProvider,
    Stall,
    fail,
    say,
)

FREE = Price(input=0, output=0)


@pytest.fixture
def healthy() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"healthy": say("Well.")}) as provider:
        yield provider


# Refusals for too many requests


IN_SIX_SECONDS = "a date"


def asking_for(retry_after: str | None) -> Iterator[Reply]:
    """A model that refuses once, with this Retry-After; a date is reckoned when it is asked, and its answer dated."""
    is_date = retry_after is IN_SIX_SECONDS
    yield fail(429, retry_after=datetime.now(UTC) + timedelta(seconds=6) if is_date else retry_after)
    yield from repeat(say("First."))


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(
    ("retry_after", "shortest", "longest"), [("3", 3.0, 3.6), ("0.25", 0.25, 1.5), (IN_SIX_SECONDS, 2.0, 7.2)]
)
def test_a_short_retry_after_is_waited_for_on_the_same_model(
    retry_after: str, shortest: float, longest: float, colour: Colour, healthy: SimulatedProvider
) -> None:
    """At most a fifth longer than was asked, so that not all come back at once."""
    clock = FrozenClock()
    with (
        SimulatedProvider({"busy": asking_for(retry_after)}) as provider,
        routed(card("busy", provider.url), card("healthy", healthy.url, usd=2), clock=clock) as router,
    ):
        assert answers(router, 1, colour) == ["First."]
        (slept,) = clock.slept
        assert shortest <= slept <= longest
        assert [one.waited_seconds for one in router.traces.list()[0].attempts] == [0, slept]


@pytest.mark.parametrize("retry_after", ["30", "soon", "-5", "1e9", "Mon, 99 Foo 2026 99:99:99 GMT", None])
def test_a_long_or_unreadable_retry_after_is_answered_by_the_next_model_at_once(
    retry_after: str | None, healthy: SimulatedProvider
) -> None:
    clock = FrozenClock()
    with (
        SimulatedProvider({"busy": asking_for(retry_after)}) as provider,
        routed(card("busy", provider.url), card("healthy", healthy.url, usd=2), clock=clock) as router,
    ):
        assert answers(router, 1) == ["Well."]
        assert clock.slept == ()


@pytest.mark.parametrize(("retry_after", "longest"), [("12", 14.4), ("soon", 1.5), ("0", 1.5)])
def test_the_only_model_is_waited_for_as_long_as_it_asked(retry_after: str, longest: float) -> None:
    clock = FrozenClock()
    with (
        SimulatedProvider({"busy": asking_for(retry_after)}) as provider,
        routed(card("busy", provider.url), clock=clock) as router,
    ):
        assert answers(router, 1) == ["First."]
        assert len(provider.requests) == 2
    assert 0 < sum(clock.slept) <= longest
    assert len(clock.slept) == 1


def test_a_date_from_a_library_that_says_no_more_is_measured_by_the_routers_own_clock(
    healthy: SimulatedProvider,
) -> None:
    clock = FrozenClock()
    until = datetime.fromtimestamp(clock.now() + 5, UTC)
    busy = ScriptedChatModel([fail(429, retry_after=until), say("First.")])
    cards = [ModelCard(name="busy", model=busy, tier=Tier.LOW, price=FREE), card("healthy", healthy.url)]
    with routed(*cards, clock=clock) as router:
        assert answers(router, 1) == ["First."]
    assert [5 <= slept <= 6 for slept in clock.slept] == [True]


def test_a_model_that_asked_to_be_left_alone_is_left_alone_by_the_next_steps(healthy: SimulatedProvider) -> None:
    clock = FrozenClock()
    with (
        SimulatedProvider({"busy": asking_for("30")}) as provider,
        routed(card("busy", provider.url), card("healthy", healthy.url, usd=2), clock=clock) as router,
    ):
        assert answers(router, 10) == ["Well."] * 10
        assert len(provider.requests) == 1
        clock.advance(30)
        assert answers(router, 1) == ["First."]


def test_a_retry_after_beyond_the_patience_of_a_step_fails_at_once() -> None:
    clock = FrozenClock()
    with (
        SimulatedProvider({"busy": asking_for("30")}) as provider,
        routed(card("busy", provider.url), clock=clock) as router,
    ):
        error = failed(router)
    assert (clock.slept, error.is_retryable) == ((), True)


# Steps that are cancelled

MONTH = Budget(tokens=100_000, period="month")


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_a_step_that_is_cancelled_while_it_waits_leaves_one_trace_and_nothing_set_aside(method: Method) -> None:
    clock = EndlessWait()
    with (
        SimulatedProvider({"busy": asking_for("3")}) as provider,
        routed(card("busy", provider.url), clock=clock, budget=MONTH) as router,
    ):
        await cancelled(router, method, clock.is_waited_on.wait())
        (trace,) = router.traces.list()
        assert trace.outcome == "cancelled"
        assert [one.failure and one.failure.status for one in trace.attempts] == [429]
        assert (set_aside(router), in_flight(router)) == ([], {"busy": 0})
        assert spent_tokens(router, MONTH) == 0  # nobody bills a refusal


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_a_step_that_is_cancelled_amid_a_call_leaves_one_trace_and_pays_for_the_prompt(method: Method) -> None:
    script = [fail(503), say("Never said.").failing(Stall(after_chunks=0))]
    with (
        SimulatedProvider({"ill": script[0], "stalled": script[1]}) as provider,
        routed(card("ill", provider.url), card("stalled", provider.url, usd=2), budget=MONTH) as router,
    ):
        await cancelled(router, method, reached(provider, 2))
        (trace,) = router.traces.list()
        assert trace.outcome == "cancelled"
        assert [one.failure and one.failure.kind for one in trace.attempts] == ["unavailable", "cancelled"]
        assert (set_aside(router), in_flight(router)) == ([], {"ill": 0, "stalled": 0})
        assert spent_tokens(router, MONTH) == trace.attempts[1].input_tokens > 0
        assert await asyncio.to_thread(provider.wait_abandoned)


# Hedging

HEDGING = Policy(hedge=True)
FIRST, SECOND = "First.", "Second."


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_second_model_answers_when_the_first_is_slow_to_begin(colour: Colour) -> None:
    """The clock is real: how late a first token is, is measured. Fifty answers earn a hedge."""
    answered = [say(FIRST)] * CALLS_PER_HEDGE
    script = [*answered, say("Too late.").failing(Stall(after_chunks=0)), say(FIRST)]
    with (
        SimulatedProvider({"first": script, "second": say(SECOND)}) as provider,
        routed(*both(provider), clock=SystemClock(), policy=HEDGING, budget=MONTH) as router,
    ):
        assert answers(router, CALLS_PER_HEDGE, colour) == [FIRST] * CALLS_PER_HEDGE
        assert streamed(router, colour) == SECOND
        assert answers(router, 1, colour) == [FIRST]
        *_, raced, last = router.traces.list()
        assert [(one.model, one.lost_race) for one in raced.attempts] == [("first", True), ("second", False)]
        assert (raced.model, raced.outcome, len(last.attempts)) == ("second", "sufficient", 1)
        lost = raced.attempts[0]
        assert (lost.input_tokens > 0, lost.output_tokens, lost.estimated) == (True, 0, True)
        assert (set_aside(router), in_flight(router)) == ([], {"first": 0, "second": 0})
        billed = [one for trace in router.traces.list() for one in trace.attempts]
        assert spent_tokens(router, MONTH) == sum(one.input_tokens + one.output_tokens for one in billed)
        if colour == "async":  # a thread that waits for a socket ends with it
            assert provider.wait_abandoned()


def both(provider: SimulatedProvider) -> list[ModelCard]:
    return [card("first", provider.url), card("second", provider.url, usd=2)]


def test_a_second_call_that_was_planned_and_not_needed_costs_nothing_and_is_left_for_a_later_step() -> None:
    """The 51st step may race, and its first model is quick; the 52nd needs it."""
    quick = [say(FIRST)] * (CALLS_PER_HEDGE + 1)
    slow = say("Too late.").slowly(first_token_seconds=5)
    with (
        SimulatedProvider({"first": [*quick, slow], "second": say(SECOND)}) as provider,
        routed(*both(provider), clock=SystemClock(), policy=HEDGING, budget=MONTH) as router,
    ):
        assert answers(router, len(quick) + 1) == [FIRST] * len(quick) + [SECOND]
        assert len(provider.requests_to("second")) == 1
        assert set_aside(router) == []


def test_of_a_thousand_steps_whose_model_is_late_whenever_it_is_raced_2_percent_are_asked_twice() -> None:
    clock, is_over = FrozenClock(), Event()

    def first(request: Request) -> Reply:
        if current_thread().name.startswith("steprouter race"):
            assert is_over.wait(30)
        return say(FIRST).slowly(first_token_seconds=0.01)  # by the frozen clock

    slow, quick = ScriptedChatModel(first, clock=clock), ScriptedChatModel(say(SECOND))
    cards = [
        ModelCard(name=name, model=model, tier=Tier.LOW, price=Price(input=usd, output=usd))
        for name, model, usd in (("first", slow, 1), ("second", quick, 2))
    ]
    with routed(*cards, clock=clock, policy=HEDGING) as router, ThreadPoolExecutor(20) as pool:
        said = list(pool.map(lambda _: str(router.invoke("How are you?").text), range(1000)))
        is_over.set()
    assert 15 <= said.count(SECOND) == len(quick.calls) <= 1000 / CALLS_PER_HEDGE == 20
    assert said.count(FIRST) == 1000 - said.count(SECOND)
