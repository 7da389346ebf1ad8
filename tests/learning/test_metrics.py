"""The measures, on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.learning.metrics import (
    aiq,
    briers,
    chance,
    curve,
    equal_quality_cost,
    log_losses,
    oracle,
    ranks,
    reliability,
)

WEAK = np.array([0.0, 0.0, 1.0, 1.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])
"""The strong model is needed on two of four."""


def test_a_perfect_score_recovers_the_gap_with_the_questions_that_need_it():
    drawn = curve(np.array([4.0, 3.0, 2.0, 1.0]), WEAK, STRONG)
    assert drawn.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert drawn.recovered.tolist() == [0, 0.5, 1, 1, 1]
    assert (drawn.cpt(0.5), drawn.cpt(0.8), drawn.pgr(0.5)) == pytest.approx((0.25, 0.4, 1.0))
    assert drawn.apgr == pytest.approx(0.75)


def test_a_score_that_is_exactly_wrong_recovers_nothing_until_the_end():
    drawn = curve(np.array([1.0, 2.0, 3.0, 4.0]), WEAK, STRONG)
    assert (drawn.cpt(0.5), drawn.apgr) == pytest.approx((0.75, 0.25))


def test_equal_scores_count_as_drawn_in_every_order():
    """RouteLLM's random router has .500 and half the calls for half the gap."""
    drawn = chance(WEAK, STRONG)
    assert (drawn.cpt(0.5), drawn.cpt(0.8), drawn.apgr) == pytest.approx((0.5, 0.8, 0.5))


def test_the_threshold_is_the_first_crossing_where_a_curve_falls_later():
    weak, strong = np.array([0.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 1.0])
    drawn = curve(np.array([4.0, 3.0, 2.0, 1.0]), weak, strong)
    assert drawn.recovered.tolist() == [0, 0.5, 0, 0.5, 1]
    assert drawn.cpt(0.5) == pytest.approx(0.25)


def test_the_oracle_avoids_questions_on_which_the_weak_model_is_better():
    weak, strong = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0])
    assert oracle(weak, strong).recovered.max() == pytest.approx(2.0)


def test_a_strong_model_that_is_no_better_has_no_gap_to_recover():
    with pytest.raises(ValueError, match="strong model must be better"):
        _ = chance(STRONG, WEAK).apgr


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="as many and finite"):
        curve(np.array([np.nan, 1, 1, 1]), WEAK, STRONG)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_no_score_is_better_than_the_oracle(rows):
    scores, weak, strong = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    mine, best = curve(scores, weak, strong), oracle(weak, strong)
    assert mine.qualities[-1] == pytest.approx(best.qualities[-1])
    if best.gap > 0:
        assert mine.apgr <= best.apgr + 1e-9


def test_ranks_of_one_fold_do_not_depend_on_another_folds_level():
    found = ranks(np.array([0.1, 0.2, 10.1, 10.2]), np.array([0, 0, 1, 1]))
    assert found.tolist() == [0.25, 0.75, 0.25, 0.75]


def test_cost_at_equal_quality_is_a_share_of_always_asking_the_strong_model():
    drawn = curve(np.array([4.0, 3.0, 2.0, 1.0]), WEAK, STRONG)
    assert equal_quality_cost(drawn, 1.0, 10.0) == pytest.approx((0.5 * 1 + 0.5 * 10) / 10)


def test_aiq_is_the_mean_height_of_the_rising_hull():
    """The middle point lies under the line and the last is worse than the one before, which the hull ignores."""
    costs, qualities = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 0.1, 1.0, 0.5])
    assert aiq(costs, qualities) == pytest.approx((1.0 * 2 / 2 + 1.0 * 2) / 4)


def test_aiq_of_settings_of_one_cost_is_refused():
    with pytest.raises(ValueError, match="differ in cost"):
        aiq(np.array([1.0, 1.0]), np.array([0.0, 1.0]))


def test_losses_are_those_of_the_textbook_and_finite_where_a_guess_was_certain():
    assert log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.5])).tolist() == pytest.approx([np.log(2)] * 2)
    assert log_losses(np.array([1.0]), np.array([0.0]))[0] == pytest.approx(-np.log(1e-6))
    assert briers(np.array([1.0, 0.0]), np.array([0.75, 0.5])).tolist() == pytest.approx([0.0625, 0.25])


def test_calibration_error_is_the_mean_distance_of_promise_and_outcome():
    guesses = np.array([0.2] * 10 + [0.8] * 10)
    successes = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 6 + [0.0] * 4)
    found = reliability(successes, guesses)
    assert found.guessed.tolist() == pytest.approx([0.2, 0.8])
    assert found.happened.tolist() == pytest.approx([0.2, 0.6])
    assert found.ece == pytest.approx(0.1)
