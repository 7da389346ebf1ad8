"""Hedging: short answers without tools, when the first is late, at most one call in fifty."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.breaker import USUAL_CALLS, Breaker, Observation, Sign, State, observed
from steprouter.answering.hedge import (
    CALLS_PER_HEDGE,
    MOST_HEDGES,
    Hedge,
    HedgeBudget,
    NoHedge,
    Target,
    hedge_after,
)
from steprouter.answering.patience import LATE_FACTOR

NOW = 1_800_000_000.0
USUAL = Breaker(answers=USUAL_CALLS, usual_seconds=2.0)
FULL = HedgeBudget(calls=CALLS_PER_HEDGE)
OTHERS = (Target(model="dear", breaker=Breaker(), usd=0.2), Target(model="cheap", breaker=Breaker(), usd=0.1))
CHEAP = Hedge(model="cheap", after_seconds=2.0 * LATE_FACTOR)


def asked(first=USUAL, others=OTHERS, budget=FULL, **facts):
    """Whether a short call without tools is hedged, but for what is said otherwise."""
    return hedge_after(first, others, budget, **{"now": NOW, "has_tools": False, "max_tokens": 256, **facts})


def gray():
    """A deployment that is slower than usual, and closed."""
    breaker = Breaker()
    for seconds in [1.0] * 500 + [60.0] * 5:
        breaker = observed(breaker, Observation(sign=Sign.SUCCESS, first_token_seconds=seconds), NOW, 0.5)
    return breaker


def test_a_short_answer_is_asked_for_twice_once_the_first_token_is_late():
    assert asked() == CHEAP


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"has_tools": True}, "the answer may call tools"),
        ({"max_tokens": 257}, "the answer may have more than 256 tokens"),
        ({"max_tokens": None}, "the answer may have more than 256 tokens"),
        ({"max_tokens": None, "expected_tokens": 300.0}, "the answer may have more than 256 tokens"),
        ({"first": replace(USUAL, state=State.HALF_OPEN)}, "the call is a probe"),
        ({"first": replace(USUAL, state=State.OPEN)}, "the call is a probe"),
        ({"first": Breaker()}, "not known yet what is late"),
        ({"seconds_left": 5.0}, "only 5.0 s are left"),
        ({"others": ()}, "no other deployment is healthy and has room"),
        ({"budget": HedgeBudget(calls=CALLS_PER_HEDGE - 1)}, "the budget of hedges is used up"),
    ],
)
def test_a_call_that_is_not_hedged_says_why(facts, why):
    assert asked(**facts) == NoHedge(why=why)


def test_answers_that_are_short_as_a_rule_are_hedged_under_a_generous_limit():
    assert asked(max_tokens=4096, expected_tokens=80.0) == CHEAP


def test_nobody_is_asked_second_before_a_second_is_over():
    assert asked(replace(USUAL, usual_seconds=0.01)) == Hedge(model="cheap", after_seconds=1.0)


@pytest.mark.parametrize(
    "cheap",
    [
        replace(OTHERS[1], has_room=False),
        replace(OTHERS[1], usd=None),
        replace(OTHERS[1], breaker=Breaker(state=State.OPEN, open_until=NOW - 1)),
        replace(OTHERS[1], breaker=Breaker(state=State.HALF_OPEN)),
        replace(OTHERS[1], breaker=gray()),
    ],
)
def test_the_cheapest_is_passed_over_if_it_is_full_unwell_or_of_unknown_price(cheap):
    assert asked(others=(OTHERS[0], cheap)) == replace(CHEAP, model="dear")


def test_equally_cheap_ones_are_asked_in_the_order_given():
    others = tuple(Target(model=name, breaker=Breaker()) for name in "xy")
    assert asked(others=others) == replace(CHEAP, model="x")


# The budget


def test_fifty_calls_earn_a_hedge_and_a_new_budget_has_none():
    budget = HedgeBudget()
    for _ in range(CALLS_PER_HEDGE - 1):
        budget = budget.earned()
    assert budget.spent() is None
    assert budget.earned().spent() == HedgeBudget()


def test_a_planned_hedge_that_was_not_needed_is_given_back():
    spent = FULL.spent()
    assert spent is not None
    assert spent.returned() == FULL
    assert HedgeBudget(calls=MOST_HEDGES * CALLS_PER_HEDGE).returned().calls == MOST_HEDGES * CALLS_PER_HEDGE


@given(st.lists(st.sampled_from(["call", "plan", "made", "not needed"]), max_size=600))
def test_hedges_are_never_more_than_two_percent_of_the_calls(events):
    budget, calls, planned, made = HedgeBudget(), 0, 0, 0
    for event in events:
        if event == "call":
            budget, calls = budget.earned(), calls + 1
        elif event == "plan" and (left := budget.spent()) is not None:
            budget, planned = left, planned + 1
        elif event == "made" and planned:
            planned, made = planned - 1, made + 1
        elif event == "not needed" and planned:
            budget, planned = budget.returned(), planned - 1
        assert made <= 0.02 * calls
        assert 0 <= budget.calls <= MOST_HEDGES * CALLS_PER_HEDGE


def test_a_quiet_day_saves_up_no_more_than_five_hedges():
    budget, hedges = HedgeBudget(), 0
    for _ in range(10_000):
        budget = budget.earned()
    while (left := budget.spent()) is not None:
        budget, hedges = left, hedges + 1
    assert hedges == MOST_HEDGES
