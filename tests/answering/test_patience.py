"""How long a call is waited for: what its deployment usually takes, within bounds, and never past the deadline."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.breaker import USUAL_CALLS, Breaker
from steprouter.answering.patience import (
    LATE_FACTOR,
    PATIENCE_FACTOR,
    Timeouts,
    late_seconds,
    patience,
)
from steprouter.errors import ConfigError


def known(usual, answers=USUAL_CALLS):
    """A deployment that usually takes so many seconds to its first token."""
    return Breaker(answers=answers, usual_seconds=usual)


def test_without_anything_known_a_call_has_five_sixty_and_thirty_seconds():
    plain = Timeouts(connect=5.0, first_token=60.0, idle=30.0, total=None)
    assert Timeouts() == plain == patience(Breaker(), reasoning=False, seconds_left=None)


def test_a_model_that_thinks_is_given_longer():
    longer = Timeouts(connect=5.0, first_token=180.0, idle=120.0, total=None)
    assert patience(Breaker(), reasoning=True, seconds_left=None) == longer


@pytest.mark.parametrize(
    ("usual", "reasoning", "seconds"),
    [
        (0.4, False, 10.0),
        (2.0, False, 15.0),
        (4.0, False, 30.0),
        (30.0, False, 60.0),
        (2.0, True, 15.0),
        (20.0, True, 150.0),
        (99.0, True, 180.0),
    ],
)
def test_a_first_token_is_waited_for_three_times_as_long_as_it_is_late(usual, reasoning, seconds):
    assert patience(known(usual), reasoning=reasoning, seconds_left=None).first_token == pytest.approx(seconds)


def test_late_is_known_after_twenty_answers():
    assert late_seconds(known(2.0)) == 2.0 * LATE_FACTOR
    assert late_seconds(known(2.0, answers=USUAL_CALLS - 1)) is None
    assert late_seconds(known(0.0)) is None


def test_late_is_the_percentile_of_a_log_normal_spread():
    """Its 95th percentile over its mean is exp(1.645 s - s²/2); the largest of all spreads has it at s = 1.645."""
    of_spread = [math.exp(1.645 * s / 100 - (s / 100) ** 2 / 2) for s in range(400)]
    assert of_spread[70] == pytest.approx(LATE_FACTOR, rel=0.02)
    assert max(of_spread) == pytest.approx(3.87, rel=0.01)
    assert max(of_spread) < LATE_FACTOR * PATIENCE_FACTOR


def test_no_phase_lasts_longer_than_what_is_left_of_the_step():
    assert patience(known(4.0), reasoning=False, seconds_left=3.0) == Timeouts(
        connect=3.0, first_token=3.0, idle=3.0, total=3.0
    )
    assert patience(known(4.0), reasoning=False, seconds_left=20.0) == Timeouts(
        connect=5.0, first_token=20.0, idle=20.0, total=20.0
    )


def test_a_call_is_rushed_if_the_step_ends_before_a_first_token_is_late():
    assert patience(known(4.0), reasoning=False, seconds_left=20.0).is_rushed
    assert not patience(known(4.0), reasoning=False, seconds_left=31.0).is_rushed
    assert not Timeouts().is_rushed


@given(st.floats(0, 1e6), st.integers(0, 1000), st.booleans(), st.none() | st.floats(0, 1e9, exclude_min=True))
def test_all_times_are_within_their_bounds_and_the_deadline(usual, answers, reasoning, left):
    found = patience(known(usual, answers), reasoning=reasoning, seconds_left=left)
    assert found.total == left
    bound = math.inf if left is None else left
    assert min(10.0, bound) <= found.first_token <= min(180.0 if reasoning else 60.0, bound)
    assert found.connect == min(5.0, bound)
    assert found.idle == min(120.0 if reasoning else 30.0, bound)


def test_an_endless_deadline_is_none():
    assert patience(Breaker(), reasoning=False, seconds_left=math.inf).total is None


@pytest.mark.parametrize("left", [0.0, -1.0, math.nan])
def test_with_nothing_left_no_call_can_be_made(left):
    with pytest.raises(ConfigError, match="seconds_left must be more than 0"):
        patience(Breaker(), reasoning=False, seconds_left=left)


@pytest.mark.parametrize("field", ["connect", "first_token", "idle", "total"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(field, seconds):
    with pytest.raises(ConfigError, match=f"{field} must be seconds, more than 0 and finite"):
        Timeouts(**{field: seconds})
