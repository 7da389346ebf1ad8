"""The gate of every call: what it refuses, what it counts, and what it gives back when a call is not made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from health_cases import NOW, answered, failed, trip

from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import State
from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Claim, Granted, Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.hedge import CALLS_PER_HEDGE
from steprouter.answering.pacing import MOST_RETRIES, Pace
from steprouter.answering.remaining import LEFT_ALONE_SECONDS
from steprouter.memory.recall import Missing, Recalled
from steprouter.models.card import Price
from steprouter.models.cost import Usage
from steprouter.models.limits import Limits
from steprouter.step.step import Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.live.board import UNSAID_LIMIT_SECONDS
from steprouter.store.live.gate import Gate
from steprouter.store.live.ledger import Ledger
from steprouter.store.live.shared_health import SharedHealth

KEYS = Keys(secret=b"k" * 32)
STEP = Step(id="s1", kind=StepKind.CHAT, started_at=NOW)
PRICES = {"small": Price(input=1.0, output=1.0), "large": Price(input=10.0, output=10.0)}
DAILY = Budget(usd=1.0, period="day", name="daily")
FULL = 0.999
"""Budgets are for what a call costs; a claim of this much leaves room for no other."""


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = connect("memory")
    yield connection
    connection.close()


def gate_of(connection: Connection, *budgets: Budget, limits: dict[str, Limits] | None = None) -> Gate:
    ledger = Ledger(connection, lambda: KEYS, budgets=budgets, limits=limits) if budgets or limits else None
    return Gate(SharedHealth(connection, lambda: KEYS, dict.fromkeys(PRICES, "settings")), ledger, PRICES)


def claim(name: str, usd: float = 0.01, **told: Any) -> Claim:
    return Claim(reservation=name, model="small", tokens=10, usd=usd, **told)


def limited(name: str, retry_after: float | None) -> Attempt:
    told = Failure(
        kind=FailureKind.RATE_LIMITED,
        phase=Phase.BEFORE_FIRST_TOKEN,
        model="small",
        retry_after_seconds=retry_after,
    )
    return Attempt(id=name, model="small", failure=told)


def test_a_healthy_model_is_granted_and_a_refused_key_lets_nobody_in(connection: Connection) -> None:
    gate = gate_of(connection)
    assert gate.reserve(STEP, claim("a"), NOW) == Granted()
    gate.began("small", "a", NOW)
    gate.ended(replace(failed(FailureKind.AUTH, status=401), id="a"), NOW)
    assert gate.reserve(STEP, claim("b"), NOW) == Refused(
        by="breaker", name="small", why="out until its configuration changes: auth 401"
    )


def test_a_limit_is_refused_until_it_is_over_and_no_longer(connection: Connection) -> None:
    gate = gate_of(connection)
    for name, retry_after, seconds in (("a", 7.0, 7.0), ("b", None, UNSAID_LIMIT_SECONDS)):
        at = NOW + 100 * (name == "b")
        gate.began("small", name, at)
        gate.ended(limited(name, retry_after), at)
        refused = gate.reserve(STEP, claim(f"{name}-1"), at)
        assert isinstance(refused, Refused)
        assert (refused.by, refused.until) == ("limit", at + seconds)
        assert isinstance(gate.reserve(STEP, claim(f"{name}-2"), at + seconds), Granted)


def test_a_step_waits_after_a_limit_at_least_as_long_as_the_gate_refuses_the_model() -> None:
    assert LEFT_ALONE_SECONDS >= UNSAID_LIMIT_SECONDS


def test_a_full_pace_is_refused_with_a_moment_to_look_again(connection: Connection) -> None:
    gate = gate_of(connection)
    gate.health.board.deployments["small"].pace = Pace(limit=1.0)
    gate.began("small", "a", NOW)
    refused = gate.reserve(STEP, claim("b"), NOW)
    assert isinstance(refused, Refused)
    assert (refused.by, refused.until) == ("limit", NOW + 0.5)
    gate.ended(replace(answered(), id="a"), NOW)
    assert isinstance(gate.reserve(STEP, claim("c"), NOW), Granted)


def test_a_process_may_retry_as_often_as_its_budget_of_retries_allows(connection: Connection) -> None:
    gate = gate_of(connection)
    granted = [gate.reserve(STEP, claim(f"r{n}", is_retry=True), NOW) for n in range(int(MOST_RETRIES) + 2)]
    assert sum(isinstance(one, Granted) for one in granted) == MOST_RETRIES
    last = granted[-1]
    assert isinstance(last, Refused)
    assert (last.by, last.until) == ("limit", None)


@pytest.mark.parametrize("by", ["ledger", "breaker"])
def test_a_retry_that_is_refused_elsewhere_costs_no_retry(connection: Connection, by: str) -> None:
    gate = gate_of(connection, DAILY)
    if by == "breaker":
        trip(gate.health.board)
    else:
        assert isinstance(gate.reserve(STEP, claim("all", FULL), NOW), Granted)
    for n in range(30):
        refused = gate.reserve(STEP, claim(f"r{n}", 0.5, is_retry=True), NOW)
        assert isinstance(refused, Refused)
        assert refused.by == ("breaker" if by == "breaker" else "budget")
    assert gate.conditions(STEP, Recalled(), NOW).retries == MOST_RETRIES


def test_only_calls_that_are_made_earn_second_calls_and_each_is_earned_once(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert isinstance(gate.reserve(STEP, claim("all", FULL), NOW), Granted)
    for n in range(2 * CALLS_PER_HEDGE):
        assert isinstance(gate.reserve(STEP, claim(f"n{n}", 0.5), NOW), Refused)
    assert gate.hedges.calls == 1
    gate.ledger = None
    for n in range(CALLS_PER_HEDGE):
        gate.reserve(STEP, claim(f"m{n}"), NOW)
    assert isinstance(gate.reserve(STEP, claim("h1", is_hedge=True), NOW), Granted)
    assert isinstance(gate.reserve(STEP, claim("h2", is_hedge=True), NOW), Refused)


def test_a_second_call_that_was_not_needed_gives_back_its_turn_and_its_money(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert gate.ledger is not None
    for n in range(CALLS_PER_HEDGE):
        gate.reserve(STEP, claim(f"m{n}", 0.0), NOW)
    assert isinstance(gate.reserve(STEP, claim("h", 0.9, is_hedge=True), NOW), Granted)
    assert gate.hedges.spent() is None
    gate.settle((), ("h",), NOW)
    assert gate.hedges.spent() is not None
    assert gate.ledger.shares(STEP, NOW)["daily"] == 0.0


def probed(gate: Gate) -> float:
    """When a breaker that has just opened may be probed."""
    trip(gate.health.board)
    return gate.health.health(NOW)["small"].breaker.open_until


def test_the_lease_of_a_probe_that_cannot_be_paid_is_given_back(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert isinstance(gate.reserve(STEP, claim("all", FULL), NOW), Granted)
    due = probed(gate)
    refused = gate.reserve(STEP, claim("probe", 0.5), due)
    assert isinstance(refused, Refused)
    assert refused.by == "budget"
    assert gate.reserve(STEP, claim("cheap", 0.0), due) == Granted(is_probe=True, near=("daily",))


def test_the_lease_of_a_second_call_that_was_not_needed_is_given_back(connection: Connection) -> None:
    gate = gate_of(connection)
    due = probed(gate)
    for n in range(CALLS_PER_HEDGE):
        gate.reserve(STEP, Claim(reservation=f"m{n}", model="large"), due)
    assert gate.reserve(STEP, claim("h", is_hedge=True), due) == Granted(is_probe=True)
    assert isinstance(gate.reserve(STEP, claim("other"), due), Refused)
    gate.settle((), ("h",), due)
    assert gate.reserve(STEP, claim("another"), due) == Granted(is_probe=True)


class SlowLedger(Ledger):
    """A ledger whose store has not answered yet."""

    async def areserve(self, step: Step, claim: Claim, now: float) -> Granted | Refused:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")


async def test_a_caller_that_goes_away_while_money_is_set_aside_leaves_neither_lease_nor_retry(
    connection: Connection,
) -> None:
    gate = gate_of(connection)
    gate.ledger = SlowLedger(connection, lambda: KEYS, budgets=[DAILY])
    due = probed(gate)
    asking = asyncio.ensure_future(gate.areserve(STEP, claim("gone", is_retry=True), due))
    await asyncio.sleep(0)
    assert gate.health.health(due)["small"].breaker.state is State.HALF_OPEN
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gate.ledger = None
    assert gate.conditions(STEP, Recalled(), due).retries == MOST_RETRIES
    assert await gate.areserve(STEP, claim("next"), due) == Granted(is_probe=True)


async def test_the_async_way_grants_and_refuses_alike(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert isinstance(await gate.areserve(STEP, claim("a", FULL), NOW), Granted)
    assert isinstance(await gate.areserve(STEP, claim("b", 0.5), NOW), Refused)
    gate.settle((Attempt(id="a", model="small", usage=Usage(input_tokens=1)),), (), NOW)
    assert isinstance(await gate.areserve(STEP, claim("c", 0.5), NOW), Granted)


def test_a_call_that_ended_twice_counts_once(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert gate.ledger is not None
    gate.reserve(STEP, claim("a", 0.5), NOW)
    gate.began("small", "a", NOW)
    ended = replace(failed(), id="a", usage=Usage(input_tokens=100_000))
    assert gate.ended(ended, NOW) is None
    gate.settle((ended,), (), NOW)
    gate.settle((ended,), (), NOW)
    health = gate.health.health(NOW)["small"]
    assert (health.in_flight, health.breaker.failures) == (0, 1)
    assert gate.ledger.shares(STEP, NOW)["daily"] == pytest.approx(0.1)


def test_the_failure_that_opens_a_circuit_is_told_why_and_the_next_is_not(connection: Connection) -> None:
    gate = gate_of(connection)
    for n in range(6):
        gate.began("small", f"f{n}", NOW)
    told = [gate.ended(replace(failed(), id=f"f{n}"), NOW) for n in range(6)]
    assert told == [None, None, None, None, "failures", None]


def test_conditions_name_the_budgets_that_are_past_their_threshold(connection: Connection) -> None:
    gate = gate_of(connection, DAILY)
    assert gate.conditions(STEP, Recalled(), NOW).near == ()
    gate.reserve(STEP, claim("a", 0.85), NOW)
    assert gate.conditions(STEP, Recalled(), NOW).near == ("daily",)
    recalled = Recalled(sections={"budget": {"daily": 0.1}, "health": Missing(reason="no answer")})
    assert gate.conditions(STEP, recalled, NOW).near == ()


def test_conditions_are_the_same_object_s_health_until_something_changes(connection: Connection) -> None:
    gate = gate_of(connection)
    one, other = (gate.conditions(STEP, Recalled(), NOW + n).deployments for n in (0, 1))
    assert one is other
    gate.began("small", "a", NOW)
    assert gate.conditions(STEP, Recalled(), NOW + 2).deployments["small"].in_flight == 1


def test_a_limit_of_calls_at_once_is_freed_when_a_call_is_settled(connection: Connection) -> None:
    gate = gate_of(connection, limits={"small": Limits(concurrency=1)})
    assert isinstance(gate.reserve(STEP, claim("a"), NOW), Granted)
    refused = gate.reserve(STEP, claim("b"), NOW)
    assert isinstance(refused, Refused)
    assert refused.until is not None
    gate.settle((Attempt(id="a", model="small"),), (), NOW)
    assert isinstance(gate.reserve(STEP, claim("c"), NOW), Granted)


def test_a_call_without_usage_of_an_unknown_model_settles_what_was_claimed(connection: Connection) -> None:
    gate = gate_of(connection, Budget(tokens=1000, name="tokens"))
    assert gate.ledger is not None
    unknown = Claim(reservation="u", model="unpriced", tokens=500, usd=None)
    assert isinstance(gate.reserve(STEP, unknown, NOW), Granted)
    gate.settle((Attempt(id="u", model="unpriced", usage=Usage(input_tokens=100)),), (), NOW)
    assert gate.ledger.shares(STEP, NOW)["tokens"] == pytest.approx(0.1)


def of_efforts(connection: Connection) -> Gate:
    deployments = {"small@low": "small", "small@high": "small"}
    return Gate(SharedHealth(connection, lambda: KEYS, dict.fromkeys(PRICES, "settings")), None, PRICES, deployments)


def test_efforts_of_one_model_are_as_well_as_their_deployment(connection: Connection) -> None:
    gate = of_efforts(connection)
    gate.began("small@low", "a", NOW)
    assert gate.seen(NOW)["small@high"].in_flight == 1
    gate.ended(replace(failed(FailureKind.AUTH, status=401), id="a", model="small@low"), NOW)
    refused = gate.reserve(STEP, replace(claim("b"), model="small@high"), NOW)
    assert isinstance(refused, Refused)
    assert refused.why == "out until its configuration changes: auth 401"
    gate.readmit("small@high", NOW)
    assert isinstance(gate.reserve(STEP, replace(claim("c"), model="small@low"), NOW), Granted)


def test_an_effort_that_is_refused_is_out_alone_until_it_or_its_model_is_let_in_again(connection: Connection) -> None:
    gate = of_efforts(connection)
    for name in ("small@low", "small"):
        one = replace(failed(FailureKind.UNSUPPORTED, status=400), id=f"a {name}", model="small@low")
        gate.began("small@low", one.id, NOW)
        gate.settle((one,), (), NOW)
        seen = gate.seen(NOW)
        assert str(seen["small@low"].out).startswith("its effort is refused")
        assert (seen["small@high"].out, seen["small"].out) == (None, None)
        assert isinstance(gate.reserve(STEP, replace(claim(f"b {name}"), model="small@low"), NOW), Refused)
        assert isinstance(gate.reserve(STEP, replace(claim(f"c {name}"), model="small@high"), NOW), Granted)
        gate.readmit(name, NOW)
        assert gate.seen(NOW)["small@low"].out is None
