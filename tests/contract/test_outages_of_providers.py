"""Providers are down, budgets used up, limits reached: what a router still sends, and what it spends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from outage_processes import Crew, patient
from outage_routers import (
    Colour,
    answers,
    calls_at_most,
    card,
    failed,
    routed,
)

from steprouter import BudgetExceeded, ModelCard, Policy, StepKind, Tier
from steprouter.answering.breaker import HARD_FAILURES, OPEN_JITTER, OPEN_SECONDS
from steprouter.answering.budgets import Budget
from steprouter.answering.remaining import SPREAD_SECONDS
from steprouter.errors import ModelUnavailable
from steprouter.models.limits import Limits
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.testing import (
    FrozenClock,
    Reply,
    Request,
    SimulatedProvider,
    Usage,
    fail,
    say,
)

LONGEST_OPEN_SECONDS = OPEN_SECONDS * (1 + OPEN_JITTER)


@pytest.fixture
def healthy() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"healthy": say("Well.")}) as provider:
        yield provider


@pytest.fixture
def dead() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"dead": say("Nobody hears this.")}) as provider:
        provider.down()
        yield provider


# A dead provider


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_dead_provider_is_asked_five_times_and_then_once_when_a_probe_is_due(
    colour: Colour, dead: SimulatedProvider, healthy: SimulatedProvider
) -> None:
    clock = FrozenClock()
    with routed(card("dead", dead.url), card("healthy", healthy.url, usd=2), clock=clock) as router:
        assert answers(router, 50, colour) == ["Well."] * 50
        assert len(dead.rejections) == HARD_FAILURES == 5
        clock.advance(LONGEST_OPEN_SECONDS)
        assert answers(router, 50, colour) == ["Well."] * 50
        assert len(dead.rejections) == HARD_FAILURES + 1
        assert len(healthy.requests) == 100


def test_a_provider_that_is_up_again_is_asked_again_after_two_probes(
    dead: SimulatedProvider, healthy: SimulatedProvider
) -> None:
    clock = FrozenClock()
    with routed(card("dead", dead.url), card("healthy", healthy.url, usd=2), clock=clock) as router:
        answers(router, 10)
        dead.up()
        assert answers(router, 1) == ["Well."]  # nobody asks before it is due
        clock.advance(LONGEST_OPEN_SECONDS)
        assert answers(router, 5) == ["Nobody hears this."] * 5
        assert [trace.attempts[0].is_probe for trace in router.traces.list()[-5:]] == [True, True, False, False, False]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = acquire(tmp_path_factory.mktemp("store") / "data")
    yield server
    server.release()


@pytest.fixture(scope="module")
def crew(server: EmbeddedServer) -> Iterator[Crew]:
    """Processes that name their keys as this one does, and as no others do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPROUTER_KEY", secrets.token_hex())
        crew = Crew(server.url)
        yield crew
        crew.close()


PROCESSES = 8


def test_of_eight_processes_that_meet_a_due_probe_exactly_one_makes_it(crew: Crew) -> None:
    """The probe lasts until all other processes have asked the healthy provider."""
    others_answered = Event()

    def dying(request: Request) -> Reply:
        assert request.call <= HARD_FAILURES or others_answered.wait(30)
        return fail(503)

    def well(request: Request) -> Reply:
        if request.call >= HARD_FAILURES + PROCESSES - 1:
            others_answered.set()
        return say("Well.")

    clock = FrozenClock()
    with SimulatedProvider({"dead": dying, "healthy": well}) as provider:
        cards = [card("dead", provider.url), card("healthy", provider.url, usd=2)]
        with routed(*cards, clock=clock, store=crew.store) as router:
            assert answers(patient(router), HARD_FAILURES) == ["Well."] * HARD_FAILURES
        due = clock.now() + LONGEST_OPEN_SECONDS
        told = crew.all_do("probe", PROCESSES, url=provider.url, now=due)
        assert len(provider.requests_to("dead")) == HARD_FAILURES + 1
    steps = [step for steps in told for step in steps]
    assert [model for model, _ in steps] == ["healthy"] * len(steps)
    assert [probes for _, probes in steps if probes] == [["dead"]]


# Retry storms

STORM_STEPS, STORM_SECONDS = 1000, 60.0


@pytest.mark.parametrize("models", [1, 2, 3])
def test_a_thousand_steps_in_a_minute_make_no_more_calls_than_trips_and_probes(models: int) -> None:
    clock, names = FrozenClock(), [f"m{number}" for number in range(models)]
    with SimulatedProvider(dict.fromkeys(names, fail(503))) as provider:
        cards = [card(name, provider.url) for name in names]
        with routed(*cards, clock=clock, policy=Policy(patience_seconds=0)) as router:
            for _ in range(STORM_STEPS):
                failed(router)
                clock.advance(STORM_SECONDS / STORM_STEPS)
        assert clock.slept == ()
        counts = {name: len(provider.requests_to(name)) for name in names}
        assert all(HARD_FAILURES < count <= calls_at_most(STORM_SECONDS) == 7 for count in counts.values()), counts


@pytest.mark.parametrize("models", [1, 2, 3])
def test_steps_that_wait_for_an_outage_to_end_make_no_more_calls_in_their_time(models: int) -> None:
    clock, names = FrozenClock(), [f"m{number}" for number in range(models)]
    with SimulatedProvider(dict.fromkeys(names, fail(503))) as provider:
        with routed(*[card(name, provider.url) for name in names], clock=clock) as router:
            for _ in range(STORM_STEPS):
                failed(router)
                clock.advance(STORM_SECONDS / STORM_STEPS)
        assert clock.monotonic() > STORM_SECONDS  # they did wait
        counts = {name: len(provider.requests_to(name)) for name in names}
        most = calls_at_most(clock.monotonic())
        assert all(HARD_FAILURES < count <= most for count in counts.values()), (counts, most)


def test_a_step_that_finds_every_circuit_open_says_so_and_calls_nobody() -> None:
    with SimulatedProvider({"m": fail(503)}) as provider:
        with routed(card("m", provider.url), policy=Policy(patience_seconds=0)) as router:
            for _ in range(HARD_FAILURES):
                failed(router)
            error = failed(router)
        assert len(provider.requests) == HARD_FAILURES
    assert [type(one) for one in error.exceptions] == [ModelUnavailable]
    assert "m is open (failures)" in str(error)
    assert error.is_retryable


# Budgets


@pytest.mark.parametrize("max_tokens", [100, None], ids=["limited answers", "answers of any length"])
def test_32_workers_in_4_processes_spend_no_more_than_the_budget_and_what_calls_in_flight_overrun(
    max_tokens: int | None, crew: Crew
) -> None:
    """A token costs a millionth of a USD. A call is in flight until the store knows what it took."""
    limit, asked = 25_000 if max_tokens else 100_000, 5

    def said(request: Request) -> int:
        draw = request.call * 7919 % 100
        return 1 + draw if max_tokens else 8 * draw

    def speaking(request: Request) -> Reply:
        return say("Well.", usage=Usage(input_tokens=asked, output_tokens=said(request)))

    with SimulatedProvider({"m": speaking}) as provider:
        what = {"url": provider.url, "usd": limit * 1e-6, "max_tokens": max_tokens, "tenant": secrets.token_hex(4)}
        told = crew.all_do("spend", 4, now=FrozenClock().now(), **what)
        spent = sum(asked + said(request) for request in provider.requests)
    assert all(told)  # each process got its part
    calls = [call for calls in told for call in calls]
    assert spent == sum(call["took"] for call in calls)
    last = max(call["asked_at"] for call in calls)
    in_flight = [call for call in calls if call["ended_at"] >= last]
    assert len(in_flight) <= 32
    beyond = sum(max(0, call["took"] - call["reserved"]) for call in in_flight)
    assert max_tokens is None or beyond == 0
    assert 0.7 * limit < spent <= limit + beyond


def hundred_tokens(text: str) -> Reply:
    """An answer of a hundred tokens with its prompt."""
    return say(text, usage=Usage(input_tokens=5, output_tokens=95))


@pytest.fixture
def pair() -> Iterator[SimulatedProvider]:
    """A weak model and a strong one; chats go to the strong one by `STRONG_CHATS`."""
    with SimulatedProvider({"weak": hundred_tokens("Hm."), "strong": hundred_tokens("Well.")}) as provider:
        yield provider


STRONG_CHATS = Policy(kinds={StepKind.CHAT: Tier.HIGH})


def weak_and_strong(pair: SimulatedProvider) -> list[ModelCard]:
    return [card("weak", pair.url), card("strong", pair.url, usd=10, tier=Tier.HIGH)]


def test_past_the_threshold_of_a_budget_a_cheaper_model_answers_and_the_trace_says_why(pair: SimulatedProvider) -> None:
    """A strong answer costs 0.001 USD, so that five of them are half the budget."""
    budget = Budget(usd=0.01, cheaper_at=0.5, name="ours")
    with routed(*weak_and_strong(pair), policy=STRONG_CHATS, budget=budget) as router:
        assert answers(router, 8) == ["Well."] * 5 + ["Hm."] * 3
        strong = next(one for one in router.traces.list()[-1].candidates if one.model == "strong")
    assert not strong.kept
    assert strong.reason == "budget 'ours' is past its threshold: only models cheaper than strong"


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_budget_that_is_used_up_stops_all_calls_until_its_period_ends(
    colour: Colour, pair: SimulatedProvider
) -> None:
    clock, budget = FrozenClock(), Budget(tokens=500, period="day", name="ours")
    with routed(card("weak", pair.url), clock=clock, budget=budget) as router:
        answers(router, 3, colour, max_tokens=95)
        with pytest.raises(BudgetExceeded, match="budget 'ours': 400 tokens of 500 tokens are spent") as refused:
            answers(router, 3, colour, max_tokens=95)
        assert refused.value.budget == "ours"
        assert [trace.outcome for trace in router.traces.list()] == ["sufficient"] * 4 + ["budget"]
        assert len(pair.requests) == 4
        assert clock.slept == ()  # tomorrow is no matter of patience
        clock.advance(24 * 3600)
        assert answers(router, 1, colour) == ["Hm."]


def test_the_fallback_of_a_used_up_budget_answers_whatever_it_costs(pair: SimulatedProvider) -> None:
    budget = Budget(usd=0.002, cheaper_at=1.0, fallback="weak")
    with routed(*weak_and_strong(pair), policy=STRONG_CHATS, budget=budget) as router:
        assert answers(router, 30, max_tokens=95) == ["Well."] + ["Hm."] * 29
        trace = router.traces.list()[1]
    assert ([one.model for one in trace.passed], trace.model, trace.outcome) == (["strong"], "weak", "sufficient")
    assert trace.attempts[0].why.endswith("the fallback answers")


@pytest.mark.parametrize("store", ["memory", "shared"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_what_a_failed_call_did_not_use_is_there_for_the_next_model(
    colour: Colour, store: str, pair: SimulatedProvider, server: EmbeddedServer
) -> None:
    """The budget has room for one call at a time, and the first model refuses each."""
    cards = [card("down", f"{pair.url}/nothing"), card("weak", pair.url, usd=1.01)]
    url = "memory" if store == "memory" else server.url
    budget = Budget(tokens=160, per="thread", cheaper_at=1.0)
    with routed(*cards, store=url, budget=budget, policy=Policy(patience_seconds=0)) as router:
        config = {"configurable": {"thread_id": f"t-{colour}-{secrets.token_hex(4)}"}}
        assert answers(router, 1, colour, max_tokens=95, config=config) == ["Hm."]


# Limits of a deployment


def test_the_second_model_takes_the_requests_that_the_first_may_not(healthy: SimulatedProvider) -> None:
    clock = FrozenClock()
    with SimulatedProvider({"limited": say("First.")}) as provider:
        limited = card("limited", provider.url, limits=Limits(requests_per_minute=2))
        with routed(limited, card("healthy", healthy.url, usd=2), clock=clock) as router:
            assert answers(router, 4) == ["First.", "First.", "Well.", "Well."]
            clock.advance(30)  # half a minute fills half of the bucket
            assert answers(router, 2) == ["First.", "Well."]
        assert clock.slept == ()


def test_the_second_model_takes_the_tokens_that_the_first_may_not(
    pair: SimulatedProvider, healthy: SimulatedProvider
) -> None:
    limited = card("weak", pair.url, limits=Limits(tokens_per_minute=300))
    with routed(limited, card("healthy", healthy.url, usd=2)) as router:
        assert answers(router, 4, max_tokens=95) == ["Hm.", "Hm.", "Well.", "Well."]


def test_the_second_model_takes_the_calls_at_once_that_the_first_may_not(healthy: SimulatedProvider) -> None:
    reached, free = Event(), Event()

    def slow(request: Request) -> Reply:
        reached.set()
        assert free.wait(30)
        return say("First.")

    with SimulatedProvider({"limited": slow}) as provider, ThreadPoolExecutor(1) as pool:
        limited = card("limited", provider.url, limits=Limits(concurrency=1))
        with routed(limited, card("healthy", healthy.url, usd=2)) as router:
            first = pool.submit(answers, router, 1)
            assert reached.wait(30)
            assert answers(router, 2) == ["Well."] * 2
            free.set()
            assert first.result(30) == ["First."]
            assert answers(router, 1) == ["First."]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_step_waits_for_its_turn_where_no_other_model_is_left(colour: Colour, healthy: SimulatedProvider) -> None:
    clock = FrozenClock()
    with routed(card("healthy", healthy.url, limits=Limits(requests_per_minute=6)), clock=clock) as router:
        assert answers(router, 6, colour) == ["Well."] * 6
        assert list(clock.slept) == []
        assert answers(router, 1, colour) == ["Well."]
        (slept,) = clock.slept
        assert 10 <= slept <= 10 + SPREAD_SECONDS
        assert router.traces.list()[-1].attempts[0].waited_seconds == slept


def test_a_step_whose_turn_comes_too_late_says_which_limit_holds_it_up(healthy: SimulatedProvider) -> None:
    limited = card("healthy", healthy.url, limits=Limits(requests_per_minute=1))
    with routed(limited, policy=Policy(patience_seconds=0)) as router:
        answers(router, 1)
        error = failed(router)
    assert str(error.exceptions[0]) == "healthy could not be asked: 'healthy' was given its 1 requests a minute"
    assert (len(healthy.requests), error.is_retryable) == (1, True)
