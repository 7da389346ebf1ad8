"""How sure an answer found by meaning must be, and what makes it so."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import entry

from steprouter.caching.bound import (
    ENTRY_MASS,
    MOST_MASS,
    SAME_WORDS,
    beta_quantile,
    beta_share,
    error_bound,
    is_silenced,
    observed,
    pool_of,
)
from steprouter.caching.entry import Tally

LOOSE = pool_of("How can I oil a chain?", entry("What is the way to oil a chain?"), 0.95)
weights = st.floats(0, 5_000)
tallies = st.builds(Tally, right=weights, wrong=weights)


def bound(right=0.0, wrong=0.0, *, pool=LOOSE, own=None, confidence=0.95):
    return error_bound(pool, Tally(right=right, wrong=wrong), own, confidence=confidence)


@pytest.mark.parametrize("n", [1, 3, 20, 300])
@pytest.mark.parametrize("x", [0.001, 0.01, 0.2, 0.5, 0.9])
def test_the_distribution_is_that_of_the_binomial(n, x):
    for k in {1, n // 2 + 1, n}:
        tail = sum(comb(n, i) * x**i * (1 - x) ** (n - i) for i in range(k, n + 1))
        assert beta_share(x, k, n - k + 1) == pytest.approx(tail, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("share", "a", "b", "x"),
    [
        # Of textbooks: upper limits of Clopper and Pearson, at 95 % and one side.
        (0.95, 1, 10, 0.258866),
        (0.95, 1, 300, 0.009936),
        (0.95, 2, 9, 0.394163),
        (0.95, 6, 95, 0.102253),
        (0.5, 3, 3, 0.5),
        (0.95, 0.5, 0.5, 0.993844),
    ],
)
def test_the_quantiles_are_those_of_tables(share, a, b, x):
    assert beta_quantile(share, a, b) == pytest.approx(x, abs=2e-6)


@given(st.floats(0.5, 0.999), st.floats(0.5, 3_000), st.floats(0.5, 3_000))
def test_a_quantile_has_its_share_below_it(share, a, b):
    assert beta_share(beta_quantile(share, a, b), a, b) == pytest.approx(share, abs=1e-3)


def test_a_pool_of_which_nothing_is_known_needs_three_hundred_right_answers_for_one_percent():
    assert bound(right=297) > 0.01
    assert bound(right=299) < 0.01


def test_one_wrong_answer_costs_such_a_pool_170_right_ones():
    assert bound(right=465, wrong=1) > 0.01
    assert bound(right=475, wrong=1) < 0.01


def test_the_same_words_are_trusted_from_the_start_until_the_second_wrong_answer():
    assert bound(pool=SAME_WORDS) == pytest.approx(0.006, abs=0.0005)
    assert bound(wrong=1, pool=SAME_WORDS) < 0.01
    assert bound(wrong=2, pool=SAME_WORDS) > 0.01
    assert bound(right=110, wrong=2, pool=SAME_WORDS) > 0.01
    assert bound(right=140, wrong=2, pool=SAME_WORDS) < 0.01


def test_more_confidence_asks_for_more():
    assert bound(right=299, confidence=0.99) > 0.01
    assert bound(right=100, confidence=0.5) < 0.01


def test_one_wrong_answer_of_its_own_silences_an_answer_in_the_best_of_pools():
    assert bound(right=10_000, own=Tally(right=500, wrong=1)) == 1.0
    assert bound(right=10_000, pool=SAME_WORDS, own=Tally(right=500, wrong=0.9)) == 1.0
    assert is_silenced(Tally(wrong=0.9))


def test_its_own_right_answers_make_an_answer_surer_than_its_pool():
    assert bound(right=60, own=Tally()) == bound(right=60)
    assert bound(right=60, own=Tally(right=4 * ENTRY_MASS)) == pytest.approx(bound(right=60) / 5)


def test_in_a_pool_that_is_wrong_once_in_twenty_an_answer_is_given_only_after_dozens_of_its_own():
    assert bound(right=950, wrong=50, own=Tally(right=24)) > 0.01
    assert bound(right=950, wrong=50, own=Tally(right=36)) < 0.01


def test_without_any_pool_an_answer_has_to_earn_it_all():
    assert bound(own=Tally(right=300)) > 0.01


@given(tallies, tallies, st.sampled_from([LOOSE, SAME_WORDS]), st.floats(0.5, 0.99))
def test_a_bound_is_a_share(pool, own, name, confidence):
    assert 0 < error_bound(name, pool, own, confidence=confidence) <= 1


@given(tallies, st.floats(0, 0.49), weights, weights, st.sampled_from([LOOSE, SAME_WORDS]))
def test_evidence_of_wrong_answers_never_lowers_a_bound_and_of_right_ones_never_raises_it(
    pool, wrong, right, more, name
):
    def at(pool, own):
        return error_bound(name, pool, own, confidence=0.95)

    own = Tally(right=right, wrong=wrong)
    known = at(pool, own)
    slack = 1e-8  # of the bisection
    assert at(Tally(right=pool.right + more, wrong=pool.wrong), own) <= known + slack
    assert at(Tally(right=pool.right, wrong=pool.wrong + more), own) >= known - slack
    assert at(pool, Tally(right=right + more, wrong=wrong)) <= known + slack
    assert at(pool, Tally(right=right, wrong=wrong + more)) >= known - slack


@given(tallies, st.floats(0, 1), st.floats(0, 1))
def test_the_oldest_evidence_gives_way_to_new(tally, right, wrong):
    after = observed(tally, right=right, wrong=wrong)
    assert after.right + after.wrong <= max(MOST_MASS, 2) + 1e-6
    assert after.right >= right
    assert after.wrong >= wrong


def test_less_than_the_most_is_but_added():
    assert observed(Tally(right=5, wrong=1), right=0.9) == Tally(right=5.9, wrong=1)


def test_a_pool_that_was_right_ten_thousand_times_is_no_longer_trusted_after_a_few_dozen_that_were_often_wrong():
    pool = Tally()
    for _ in range(10_000):
        pool = observed(pool, right=1)
    assert error_bound(LOOSE, pool, confidence=0.95) < 0.004
    for number in range(60):
        pool = observed(pool, wrong=1) if number % 10 == 0 else observed(pool, right=1)
    assert error_bound(LOOSE, pool, confidence=0.95) > 0.01


SAME = [
    ("How do I oil a chain?", "how do i oil a chain"),
    ("How do I oil a chain?", "  How do I  oil a chain ??"),
    ("How do I oil a chain?", "Hello! How do I oil a chain, please?"),
    ("How do I oil a chain?", "Can you tell me how do I oil a chain? Thanks!"),
    ("Is 5 mg enough?", "is 5 mg enough"),
]
OTHER = [
    ("How do I oil a chain?", "How can I oil a chain?"),
    ("How do I buy a chain?", "How do I purchase a chain?"),
    ("What are the fees?", "What is the fee?"),
    ('How do I spell "please"?', "How do I spell?"),
    ("日本 の 首都 は", "日本 の 首都"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_case_marks_spaces_and_courtesies_leave_the_words_the_same(a, b):
    assert pool_of(a, entry(b), 0.5) == pool_of(b, entry(a), 0.5) == SAME_WORDS


@pytest.mark.parametrize(("a", "b"), OTHER)
def test_other_words_however_alike_are_in_another_pool(a, b):
    assert pool_of(a, entry(b), 1.0) != SAME_WORDS


def test_pools_of_questions_that_read_the_same_go_by_how_like_they_are():
    pools = [
        pool_of("How can I oil a chain?", entry("How to oil a chain"), like) for like in (1.0, 0.98, 0.95, 0.9, 0.7)
    ]
    assert pools[0] == pools[1] != pools[2] == pools[3] != pools[4]
    assert len(set(pools)) == 3


def test_a_likeness_that_is_no_number_is_in_the_last_pool():
    told = "How can I oil a chain?"
    assert pool_of(told, entry("How to oil a chain"), float("nan")) == pool_of(told, entry("How to oil a chain"), 0.1)
