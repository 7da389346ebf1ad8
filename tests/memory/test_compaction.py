"""Which outcomes go when there are too many: those that tell least beside the ones that stay."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.memory.compaction import AWAITED_SECONDS, BLOCK, covered, least_informative, worth
from steprouter.memory.neighbours import WIDTH, Row
from steprouter.memory.outcomes import HALF_LIFE_SECONDS

NOW = 1_000_000_000.0
LONG_AGO = NOW - 2 * AWAITED_SECONDS
LONE = 4
"""A direction that has nothing to do with that of 1."""


def direction(seed: int, dimension: int = 8) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def row(name, *, model="small", at=LONG_AGO, score=1.0, weight=0.1, seed=0) -> Row:
    vector = None if seed is None else direction(seed)
    return Row(id=name, model=model, at=at, changed=at, score=score, weight=weight, vector=vector)


def test_nothing_is_dropped_as_long_as_there_is_room():
    rows = [row("a"), row("b")]
    assert least_informative(rows, 2, NOW) == ()
    assert least_informative([], 0, NOW) == ()
    assert set(least_informative(rows, 0, NOW)) == {"a", "b"}


def test_another_success_without_complaint_goes_before_what_a_person_judged():
    same = [row(f"plain-{i}") for i in range(20)]
    dropped = least_informative([*same, row("judged", weight=1.0)], 3, NOW)
    assert "judged" not in dropped
    assert len(dropped) == 18


def test_a_failure_outlives_the_many_successes_around_it():
    rows = [*(row(f"good-{i}", weight=0.3) for i in range(50)), row("bad", score=0.0, weight=0.3)]
    assert "bad" not in least_informative(rows, 5, NOW)
    assert "bad" not in least_informative(rows, 2, NOW)


def test_a_lone_weak_label_outlives_the_hundredth_stronger_one_of_a_crowd():
    rows = [*(row(f"crowd-{i}", weight=0.6, seed=1) for i in range(100)), row("lone", weight=0.1, seed=LONE)]
    assert "lone" not in least_informative(rows, 50, NOW)


def test_outcomes_of_another_model_do_not_make_one_superfluous():
    rows = [*(row(f"small-{i}") for i in range(10)), row("large", model="large")]
    assert "large" not in least_informative(rows, 2, NOW)


def test_of_equals_the_one_that_changed_longest_ago_goes():
    rows = [row(f"{age}", at=LONG_AGO - age) for age in range(5)]
    assert least_informative(rows, 4, NOW) == ("4",)


def test_an_outcome_whose_label_may_be_on_the_way_counts_in_full():
    assert worth(row("new", at=NOW), NOW) == 1.0
    assert worth(row("old", at=NOW - HALF_LIFE_SECONDS), NOW) == pytest.approx(0.05)
    crowd = [row(f"old-{i}", weight=0.3) for i in range(20)]
    assert "new" not in least_informative([*crowd, row("new", at=NOW - 60)], 5, NOW)


def test_outcomes_without_vector_are_taken_to_be_alike_and_go_first():
    rows = [*(row(f"seen-{i}", seed=i) for i in range(20)), *(row(f"blind-{i}", seed=None) for i in range(20))]
    dropped = least_informative(rows, 30, NOW)
    assert sum(name.startswith("blind") for name in dropped) >= 9


@given(st.integers(0, 1000), st.integers(0, 40))
def test_the_same_outcomes_go_in_whatever_order_they_come(seed, keep):
    chance = random.Random(seed)
    rows = [
        row(f"{i}", score=chance.choice([0.0, 1.0]), weight=chance.choice([0.1, 0.6]), seed=chance.choice([None, 1, 2]))
        for i in range(40)
    ]
    dropped = least_informative(rows, keep, NOW)
    assert len(dropped) == 40 - keep
    assert dropped == least_informative(chance.sample(rows, len(rows)), keep, NOW)


def test_blocks_together_give_what_one_plain_sum_gives():
    count = BLOCK + 70
    rows = [row(f"{i}", seed=i) for i in range(count)]
    weights = np.random.default_rng(0).uniform(0, 1, count)
    vectors = np.stack([direction(i) for i in range(count)]).astype(np.float64)
    kernel = np.tril(np.exp(np.minimum(0, vectors @ vectors.T - 1) / WIDTH), -1)
    assert covered(rows, weights) == pytest.approx(kernel @ weights, rel=1e-4, abs=1e-6)
