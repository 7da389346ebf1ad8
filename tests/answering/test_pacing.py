"""Asking again: how long to wait, how often, how many at once, and when not to wait at all."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.pacing import (
    APART_SECONDS,
    ATTEMPTS,
    LONGEST_WAIT_SECONDS,
    MOST_BACKOFF_SECONDS,
    MOST_RETRIES,
    WAIT_JITTER,
    WINDOW_SECONDS,
    Next,
    Pace,
    RetryBudget,
    WaitFor,
    after_429,
    backoff_seconds,
)

NOW = 1_800_000_000.0
DRAWS = st.floats(0, 1)

# Backoff


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 8), (10**9, 8)])
def test_the_longest_backoff_doubles_from_half_a_second_to_eight(attempt, seconds):
    assert backoff_seconds(attempt, 1.0) == seconds


@given(st.integers(-5, 10**12), DRAWS)
def test_a_backoff_is_anything_from_nothing_to_its_bound(attempt, draw):
    assert 0 <= backoff_seconds(attempt, draw) <= MOST_BACKOFF_SECONDS


# The budget of retries


def test_a_new_budget_allows_some_retries_and_then_none():
    budget, retries = RetryBudget(at=NOW), 0
    while (left := budget.spent(NOW)) is not None:
        budget, retries = left, retries + 1
    assert retries == MOST_RETRIES


def test_ten_requests_or_one_second_earn_a_retry():
    empty = RetryBudget(tokens=0.0, at=NOW)
    assert empty.spent(NOW + 0.9) is None
    assert empty.spent(NOW + 1) == RetryBudget(tokens=0.0, at=NOW + 1)
    earned = empty
    for _ in range(10):
        earned = earned.earned(NOW)
    assert earned.tokens == pytest.approx(1)


@given(st.lists(st.tuples(st.sampled_from(["earned", "spent"]), st.floats(-100, 100)), max_size=60))
def test_a_budget_is_never_overdrawn_nor_saved_up_without_bound(events):
    budget, now = RetryBudget(at=NOW), NOW
    for what, seconds in events:
        now += seconds
        budget = getattr(budget, what)(now) or budget
        assert 0 <= budget.tokens <= MOST_RETRIES


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.5)), max_size=200))
def test_retries_stay_below_a_tenth_of_requests_and_one_per_second_and_the_savings(events):
    budget, now, requests, retries = RetryBudget(at=NOW), NOW, 0, 0
    for is_retry, seconds in events:
        now += seconds
        left = budget.spent(now) if is_retry else budget.earned(now)
        retries += is_retry and left is not None
        requests += not is_retry
        budget = left or budget
    assert retries <= MOST_RETRIES + 0.1 * requests + (now - NOW) + 1e-6


# How many calls at once


def test_nothing_is_limited_before_the_first_refusal():
    assert Pace().allows(10**6)
    assert Pace().sped(50, NOW).limit is None


def test_the_first_refusal_limits_to_less_than_what_was_in_flight():
    slowed = Pace().slowed(10, NOW)
    assert slowed == Pace(limit=7.0, began=NOW, slowed_at=NOW)
    assert slowed.allows(6)
    assert not slowed.allows(7)


def test_refusals_of_calls_that_were_on_their_way_count_once():
    slowed = Pace().slowed(10, NOW)
    assert slowed.slowed(9, NOW + APART_SECONDS / 2) == slowed
    assert slowed.slowed(7, NOW + APART_SECONDS).limit == pytest.approx(4.9)


def test_a_refusal_below_the_limit_slows_from_what_was_in_flight():
    assert Pace(limit=100.0).slowed(10, NOW).limit == pytest.approx(7)


def test_a_window_that_used_the_limit_allows_one_call_more():
    pace = Pace(limit=5.0, began=NOW).sped(5, NOW + 1).sped(1, NOW + WINDOW_SECONDS)
    assert pace == Pace(limit=6.0, began=NOW + WINDOW_SECONDS)


def test_a_window_that_did_not_use_the_limit_allows_no_more():
    assert Pace(limit=5.0, began=NOW).sped(4, NOW + WINDOW_SECONDS).limit == 5.0


def test_within_a_window_the_limit_stays_as_it_is():
    assert Pace(limit=5.0, began=NOW).sped(5, NOW + 9).limit == 5.0


def test_a_clock_that_steps_back_starts_the_window_anew_and_hinders_no_slowing():
    pace = Pace(limit=5.0, began=NOW, slowed_at=NOW)
    assert pace.sped(5, NOW - 100) == Pace(limit=5.0, began=NOW - 100, slowed_at=NOW)
    assert pace.slowed(5, NOW - 100).limit == pytest.approx(3.5)


@given(st.lists(st.tuples(st.sampled_from(["slowed", "sped"]), st.integers(0, 100), st.floats(-50, 50))))
def test_one_call_may_always_be_made(events):
    pace, now = Pace(), NOW
    for what, in_flight, seconds in events:
        now += seconds
        pace = getattr(pace, what)(in_flight, now)
        assert pace.allows(0)
        assert pace.limit is None or pace.limit >= 1


# A refusal for too many requests

WARM = {"prefix_tokens": 50_000, "cache_seconds_left": 200.0}


@pytest.mark.parametrize(
    ("asked", "facts", "move"),
    [
        # A short wait that fits the deadline is worth keeping the model.
        (2.0, {}, WaitFor(seconds=2.0, why="it is soon")),
        (2.0, {"deadline_seconds_left": 3.0}, WaitFor(seconds=2.0, why="it is soon")),
        (2.0, {"deadline_seconds_left": 2.0}, Next(why="2.0 s are too long for the deadline (2.0 s)")),
        # A large warm prompt is worth a longer one, as long as it stays warm.
        (30.0, WARM, WaitFor(seconds=30.0, why="50000 tokens stay cached")),
        (30.0, WARM | {"cache_seconds_left": 29.0}, Next(why="30.0 s are too long for the prompt cache (29.0 s)")),
        (30.0, WARM | {"deadline_seconds_left": 20.0}, Next(why="30.0 s are too long for the deadline (20.0 s)")),
        (61.0, WARM, Next(why="61.0 s are too long for the longest wait (60.0 s)")),
        # A small or cold one is not.
        (30.0, {}, Next(why="30.0 s are too long for what a small or cold prompt is worth (8.0 s)")),
        (
            30.0,
            WARM | {"prefix_tokens": 20_000},
            Next(why="30.0 s are too long for what a small or cold prompt is worth (8.0 s)"),
        ),
        (
            30.0,
            WARM | {"cache_seconds_left": 0.0},
            Next(why="30.0 s are too long for what a small or cold prompt is worth (8.0 s)"),
        ),
        # Where nothing else is left only the deadline counts.
        (30.0, {"has_other": False}, WaitFor(seconds=30.0, why="nothing else is left")),
        (
            30.0,
            WARM | {"has_other": False, "cache_seconds_left": 1.0},
            WaitFor(seconds=30.0, why="nothing else is left"),
        ),
        (
            30.0,
            {"has_other": False, "deadline_seconds_left": 9.0},
            Next(why="30.0 s are too long for the deadline (9.0 s)"),
        ),
        # Who does not say how long is asked again only where nothing else is left.
        (None, {}, Next(why="not said how long to wait")),
        (-1.0, {}, Next(why="not said how long to wait")),
        (math.nan, WARM, Next(why="not said how long to wait")),
        (math.inf, WARM, Next(why="inf s are too long for the longest wait (60.0 s)")),
        (1e308, {"has_other": False}, Next(why=f"{1e308:.1f} s are too long for the longest wait (60.0 s)")),
        (None, {"has_other": False, "draw": 1.0}, WaitFor(seconds=0.5, why="nothing else is left")),
        (None, {"has_other": False, "draw": 1.0, "attempt": 2}, WaitFor(seconds=1.0, why="nothing else is left")),
        # Nobody is asked for ever.
        (0.0, {"attempt": ATTEMPTS}, Next(why="asked 3 times already")),
        # Zero seconds are at least a backoff.
        (0.0, {"draw": 1.0}, WaitFor(seconds=0.5, why="it is soon")),
    ],
)
def test_a_refused_call_waits_where_it_fits_and_else_goes_on(asked, facts, move):
    assert after_429(asked, **{"deadline_seconds_left": None, "draw": 0.0, **facts}) == move


FACTS = st.fixed_dictionaries(
    {
        "deadline_seconds_left": st.none() | st.floats(-10, 1e6),
        "prefix_tokens": st.integers(0, 10**6),
        "cache_seconds_left": st.none() | st.floats(-10, 4000),
        "attempt": st.integers(1, 5),
        "has_other": st.booleans(),
        "draw": DRAWS,
    }
)


@given(st.none() | st.floats() | st.floats(0, 90), FACTS)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_any_bound(asked, facts):
    move = after_429(asked, **facts)
    if isinstance(move, Next):
        return
    least = asked if asked is not None and asked >= 0 else 0.0
    assert least <= move.seconds < LONGEST_WAIT_SECONDS
    assert move.seconds <= max(least * (1 + WAIT_JITTER), MOST_BACKOFF_SECONDS)
    assert facts["deadline_seconds_left"] is None or move.seconds < facts["deadline_seconds_left"]
    is_kept = facts["prefix_tokens"] > 20_000 and (facts["cache_seconds_left"] or 0) > 0
    assert not (facts["has_other"] and is_kept) or move.seconds < facts["cache_seconds_left"]
