"""Which request meets which fault, and what no fault or plan may be."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from steprouter.testing import (
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    FaultPlan,
    FrozenClock,
    Garbage,
    HangUp,
    HugeChunk,
    InvalidUtf8,
    Rejection,
    Request,
    SimulatedProvider,
    Slow,
    Stall,
    WrongTool,
    fail,
    say,
)

DOWN, BUSY = Rejection(status=503), Rejection(status=429)
SMALL, LARGE = (Request(model=name, messages=({"role": "user", "content": "Hello"},)) for name in ("small", "large"))


def met(plan: FaultPlan, count: int, request: Request = SMALL) -> list[Any]:
    return [plan.decide(number, request) for number in range(1, count + 1)]


def test_every_nth_request_meets_the_fault() -> None:
    assert met(FaultPlan.every(3, DOWN), 7) == [None, None, DOWN, None, None, DOWN, None]


def test_a_sequence_is_met_in_order_and_then_no_more() -> None:
    assert met(FaultPlan.sequence([DOWN, None, BUSY]), 5) == [DOWN, None, BUSY, None, None]


def test_chance_repeats_itself_for_the_same_seed_and_keeps_to_its_odds() -> None:
    odds = {DOWN: 0.2, BUSY: 0.1}
    first = met(FaultPlan.seeded(7, odds), 1000)
    assert first == met(FaultPlan.seeded(7, odds), 1000)
    assert first != met(FaultPlan.seeded(8, odds), 1000)
    assert (first.count(DOWN), first.count(BUSY)) == (pytest.approx(200, abs=50), pytest.approx(100, abs=40))
    assert met(FaultPlan.seeded(7, {DOWN: 1}), 3) == [DOWN] * 3


def test_an_outage_lasts_from_its_first_to_its_last_request() -> None:
    assert met(FaultPlan.outage_of_requests(2, 3, BUSY), 4) == [None, BUSY, BUSY, None]
    assert met(FaultPlan.outage_of_requests(1, 1), 1) == [DOWN]


def test_an_outage_lasts_as_long_as_its_clock_says() -> None:
    clock = FrozenClock()
    plan = FaultPlan.outage_of_seconds(10, 20, clock=clock.monotonic, fault=HangUp())
    seen = []
    for _ in range(3):
        seen += met(plan, 1)
        clock.advance(10)
    assert seen == [None, HangUp(), None]


def test_of_joined_plans_the_first_that_has_a_fault_decides() -> None:
    plan = FaultPlan.every(2, DOWN) | FaultPlan.every(3, BUSY)
    assert met(plan, 6) == [None, DOWN, BUSY, DOWN, None, DOWN]
    assert plan.faults == (DOWN, BUSY)


def test_a_plan_may_reach_some_models_only() -> None:
    plan = FaultPlan.every(1, DOWN).only_to("large")
    assert (met(plan, 1), met(plan, 1, LARGE)) == ([None], [DOWN])


def test_the_provider_lays_the_plans_faults_over_its_scripts_and_tells_which() -> None:
    def status(model: str) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return httpx.post(f"{provider.url}/chat/completions", json=body).status_code

    scripts = {"small": say("one"), "large": [fail(500), say("two"), say("three")]}
    with SimulatedProvider(scripts, faults=FaultPlan.every(2, BUSY)) as provider:
        assert [status(name) for name in ("small", "large", "large", "small", "large")] == [200, 429, 200, 429, 200]
        assert provider.faults_met == (BUSY, BUSY)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FaultPlan.every(0, DOWN), "nth must be 1 or more, got 0; 1 is every request"),
        (lambda: FaultPlan.every(True, DOWN), "nth must be 1 or more, got True"),
        (lambda: FaultPlan.seeded(1, {DOWN: 1.5}), "from 0 to 1, got 1.5"),
        (lambda: FaultPlan.seeded(1, {DOWN: 0.7, BUSY: 0.7}), "1 together at most, got 1.4"),
        (lambda: FaultPlan.outage_of_requests(0, 3), "first must be 1 or more, got 0"),
        (lambda: FaultPlan.outage_of_requests(3, 2), "last must be 3 or more, got 2"),
        (lambda: FaultPlan.outage_of_seconds(5, 5, clock=FrozenClock().now), "end must be after start"),
        (lambda: FaultPlan.every(1, DOWN).only_to(), "must name a model"),
        (lambda: CutAtByte(at_byte=-1), "at_byte must be 0 or more, got -1"),
        (lambda: Cut(after_chunks=1, how="crash"), "how must be one of 'close', 'drop', 'reset', got 'crash'"),  # type: ignore[arg-type]
        (lambda: HangUp(how="close"), "how must be one of 'drop', 'reset', got 'close'"),  # type: ignore[arg-type]
        (lambda: Stall(after_chunks=-1), "after_chunks must be 0 or more, got -1; None is before the status line"),
        (lambda: ErrorEvent(after_chunks=-1), "after_chunks must be 0 or more"),
        (lambda: ErrorEvent(shape="odd"), "shape must be one of 'error', 'failed', got 'odd'"),  # type: ignore[arg-type]
        (lambda: ContentFilter(after_chunks=-1), "None refuses the prompt"),
        (lambda: Garbage(data=b""), "data must not be empty"),
        (lambda: InvalidUtf8(chunk=-1), "chunk must be 0 or more, got -1"),
        (lambda: Duplicate(chunk=1.5), "chunk must be 0 or more, got 1.5"),  # type: ignore[arg-type]
        (lambda: WrongTool(name=""), "name must not be empty"),
        (lambda: Slow(first_token_seconds=-1), "first_token_seconds must be 0 or more, got -1"),
        (lambda: HugeChunk(characters=0), "characters must be 1 or more, got 0"),
        (lambda: fail(429, retry_after_seconds=-1), "retry_after_seconds must be 0 or more, got -1"),
        (lambda: fail(429, retry_after_seconds=1, retry_after="2"), "must be given once"),
        (lambda: fail(429, retry_after=datetime(2026, 1, 1)), "must know its time zone"),  # noqa: DTZ001
        (lambda: fail(429, retry_after="1\r\nx: y"), "must be printable ASCII"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_when_written(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
