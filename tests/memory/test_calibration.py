"""Chances that turn out wrong are noticed, and then only what was counted is believed."""

from __future__ import annotations

import random

import pytest

from steprouter.memory.calibration import BLOCK, MOST_ERROR, Calibration
from steprouter.memory.learned import SHIFTED, Learned


def after(chance, of_expected, verdicts=BLOCK, seed=0):
    """Verdicts on answers of which `chance` are right, where a draw from `of_expected` was expected."""
    rng, calibration = random.Random(seed), Calibration()
    for _ in range(verdicts):
        expected = rng.choice(of_expected)
        calibration = calibration.after(expected, float(rng.random() < (expected if chance is None else chance)))
    return calibration


def test_nothing_is_said_before_a_whole_block():
    assert after(0.1, [0.9], BLOCK - 1).error == 0
    assert after(0.1, [0.9], BLOCK).error == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_chances_that_come_true_are_believed(seed):
    assert not after(None, [0.15, 0.35, 0.55, 0.75, 0.95], seed=seed).is_off


@pytest.mark.parametrize("expected", [0.0, 0.5, 1.0])
def test_chances_that_are_far_off_are_not(expected):
    assert after(0.75, [expected]).error == pytest.approx(abs(expected - 0.75), abs=0.1)
    assert after(0.75, [expected]).is_off


def test_errors_of_two_tenths_do_not_make_up_for_each_other():
    calibration = Calibration()
    for number in range(BLOCK):
        too_low = number % 2
        calibration = calibration.after(0.2 if too_low else 0.8, 0.5)
    assert calibration.error == pytest.approx(0.3)


def test_a_better_block_restores_trust():
    calibration = after(0.2, [0.9])
    for number in range(BLOCK):
        calibration = calibration.after(0.9, float(number % 10 != 0))
    assert not calibration.is_off
    assert calibration.verdicts == 0


def test_predictors_weigh_less_at_the_kind_whose_chances_were_off_and_at_no_other():
    learned = Learned(calibrations={"plan": Calibration(error=MOST_ERROR + 0.01)})
    assert (learned.weight("plan"), learned.weight("chat")) == (SHIFTED, 1.0)
