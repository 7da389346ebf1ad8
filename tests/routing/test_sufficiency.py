"""The cheapest sufficient model: what is chosen, what is tried, what is charged, and what can never happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.routing.odds import PRIOR_STRENGTH, Odds, Prior, odds
from steprouter.routing.sufficiency import (
    LEAST_MASS,
    STARTING_DECISIONS,
    UNPROVEN_SHARE,
    WINDOW,
    Checks,
    Contender,
    Fate,
    Stakes,
    allowance,
    choose,
)


def counted(successes: float, failures: float, prior: float = 0.8) -> Odds:
    return odds(Prior(success=prior), kind=(successes, failures))


def contender(model: str, usd: float | None, record: Odds, **fields: Any) -> Contender:
    return Contender(model=model, usd=usd, odds=record, **fields)


GOOD, FAIR, POOR = counted(400, 8), counted(388, 20), counted(60, 40)
REFERENCE = contender("big", 1.0, GOOD, rank=3)
STAKES = Stakes(reference="big", allowance=0.15)


def chosen(*others: Contender, stakes: Stakes = STAKES) -> str:
    return choose([REFERENCE, *others], stakes).model


# What is chosen


def test_a_cheaper_model_that_is_as_good_is_chosen():
    assert chosen(contender("small", 0.1, GOOD)) == "small"


def test_a_model_that_is_clearly_worse_is_not_chosen_however_cheap():
    choice = choose([REFERENCE, contender("small", 0.0, POOR)], STAKES)
    assert (choice.model, choice.fates["small"]) == ("big", Fate.WEAK)


def test_of_two_sufficient_models_a_little_more_money_is_paid_for_the_better_one():
    worse, better = contender("worse", 0.05, FAIR), contender("better", 0.08, GOOD)
    assert chosen(worse, better) == "better"


def test_what_a_wrong_answer_costs_the_user_decides_how_much_is_paid_for_quality():
    worse = contender("worse", 0.05, FAIR)
    assert chosen(worse, stakes=replace(STAKES, value_of_failure_usd=0.0)) == "worse"
    assert chosen(worse, stakes=replace(STAKES, value_of_failure_usd=1000.0)) == "big"


def test_the_allowed_loss_is_relative_to_the_reference_and_not_to_perfection():
    weak_reference = contender("big", 1.0, counted(60, 40))
    stakes = replace(STAKES, quality_loss=0.03)
    assert choose([weak_reference, contender("small", 0.1, counted(620, 380))], stakes).model == "small"


def test_a_check_that_catches_wrong_answers_makes_a_weak_model_sufficient():
    weak = contender("small", 0.02, counted(80, 20))
    assert chosen(weak) == "big"
    choice = choose([REFERENCE, weak], replace(STAKES, checks=Checks(detection=0.9, false_alarm=0.05)))
    row = choice.weighed["small"]
    p, e = row.odds.success, (1 - row.odds.success) * 0.9 + row.odds.success * 0.05
    assert choice.model == "small"
    assert row.escalation == pytest.approx(e)
    assert row.success == pytest.approx(p * 0.95 + e * GOOD.success)
    assert row.usd == pytest.approx(0.02 + e * 1.0)


def test_a_check_that_cries_wolf_makes_a_cheap_model_dear():
    noisy = replace(STAKES, checks=Checks(detection=0.5, false_alarm=0.98))
    assert chosen(contender("small", 0.1, GOOD), stakes=noisy) == "big"


def test_a_model_too_slow_for_the_deadline_is_left_out_unless_all_are():
    slow, stakes = contender("small", 0.1, GOOD, seconds=9.0), replace(STAKES, seconds_left=5.0)
    quick = replace(REFERENCE, seconds=2.0)
    choice = choose([quick, slow], stakes)
    assert (choice.model, choice.fates["small"]) == ("big", Fate.SLOW)
    assert choose([replace(quick, seconds=8.0), slow], stakes).model == "small"


def test_the_time_of_an_escalation_counts_against_the_deadline():
    checks = Checks(detection=0.9, false_alarm=0.5)
    small, big = contender("small", 0.01, GOOD, seconds=2.0), replace(REFERENCE, seconds=4.0)
    assert choose([big, small], replace(STAKES, checks=checks, seconds_left=4.0)).fates["small"] == Fate.SLOW


# What the session is on


def test_a_session_stays_where_it_is_unless_a_switch_saves_more_than_the_margin():
    here, there = contender("here", 0.100, GOOD), contender("there", 0.097, GOOD)
    on_it = replace(STAKES, incumbent="here")
    choice = choose([REFERENCE, here, there], on_it)
    assert (choice.model, choice.stays) == ("here", True)
    assert chosen(here, replace(there, usd=0.05), stakes=on_it) == "there"


def test_a_lock_keeps_the_session_on_its_model_at_any_price_as_long_as_it_is_sufficient():
    locked = replace(STAKES, incumbent="here", is_locked=True)
    cheap = contender("cheap", 0.001, GOOD)
    assert chosen(contender("here", 0.9, GOOD), cheap, stakes=locked) == "here"
    assert chosen(contender("here", 0.9, POOR), cheap, stakes=locked) == "cheap"


@pytest.mark.parametrize("fate", [Fate.LATE, Fate.FROZEN, Fate.WEAKER, Fate.BELOW])
def test_who_may_not_be_first_is_not_and_says_why(fate):
    choice = choose([REFERENCE, contender("small", 0.1, GOOD, barred=fate)], STAKES)
    assert (choice.model, choice.fates["small"]) == ("big", fate)


def test_a_reference_that_is_only_busy_is_asked_where_nobody_else_can_be_relied_on():
    busy = replace(REFERENCE, barred=Fate.LATE)
    assert choose([busy, contender("small", 0.1, counted(0, 0, prior=0.7))], STAKES).model == "big"
    assert choose([busy, contender("small", 0.1, GOOD)], STAKES).model == "small"


# What is not proven


UNPROVEN = contender("small", 0.1, counted(10, 0))


def test_an_unproven_model_is_tried_where_the_ledger_allows_its_worst_loss_and_is_charged_its_expected_one():
    choice = choose([REFERENCE, UNPROVEN], STAKES)
    row = choice.weighed["small"]
    assert (choice.model, choice.is_trial) == ("small", True)
    assert choice.charge == pytest.approx(GOOD.success - row.success)
    refused = choose([REFERENCE, UNPROVEN], replace(STAKES, allowance=0.01))
    assert (refused.model, refused.charge, refused.fates["small"]) == ("big", 0.0, Fate.UNPROVEN)


def test_nothing_unproven_is_tried_where_a_step_cannot_be_taken_back():
    assert chosen(UNPROVEN, stakes=replace(STAKES, is_irreversible=True, allowance=10.0)) == "big"


def test_a_model_nobody_has_tried_is_tried_though_its_prior_is_bad_once_the_ledger_allows():
    unknown = contender("new", 0.1, counted(0, 0, prior=0.5))
    assert chosen(unknown, stakes=replace(STAKES, allowance=0.2)) == "big"
    assert chosen(unknown, stakes=replace(STAKES, allowance=0.9)) == "new"


def test_no_trial_is_made_that_nothing_would_be_learnt_from():
    unknown = contender("new", 0.1, counted(0, 0, prior=0.5))
    assert chosen(unknown, stakes=replace(STAKES, allowance=0.9, is_labelled=False)) == "big"
    fresh = replace(REFERENCE, odds=counted(1, 0, prior=0.98))
    assert choose([fresh, unknown], replace(STAKES, allowance=0.9)).model == "big"


def test_what_the_table_vouches_for_needs_no_ledger_until_it_has_a_record():
    vouched = contender("small", 0.1, odds(Prior(success=0.97, strength=24)), is_vouched=True)
    nothing_left = replace(STAKES, allowance=0.0, quality_loss=0.01)
    assert chosen(vouched, stakes=nothing_left) == "small"
    recorded = replace(vouched, odds=odds(Prior(success=0.97, strength=24), kind=(LEAST_MASS, 0)))
    assert choose([REFERENCE, recorded], nothing_left).model == "big"


def test_three_failures_of_a_vouched_model_end_its_use_and_its_fading_record_brings_it_back():
    def small(failures: float) -> Contender:
        return contender("small", 0.05, odds(Prior(success=0.97, strength=24), kind=(0, failures)), is_vouched=True)

    big = contender("big", 1.0, odds(Prior(success=0.98, strength=24)))
    assert [choose([big, small(n)], STAKES).model for n in (0, 1, 2, 3)] == ["small", "small", "small", "big"]
    days = {n: choose([big, small(3 * 0.5 ** (n / 14))], STAKES).model for n in (1, 14)}
    assert days == {1: "big", 14: "small"}


@pytest.mark.parametrize(
    ("decisions", "earned"), [(0, STARTING_DECISIONS), (3, STARTING_DECISIONS), (100, 100), (10_000, WINDOW)]
)
def test_the_ledger_earns_an_allowance_with_every_decision_up_to_its_window(decisions, earned):
    assert allowance(decisions, 0.0, 0.03) == pytest.approx(UNPROVEN_SHARE * 0.03 * earned)
    assert allowance(decisions, 1000.0, 0.03) == 0


# What can never happen


RECORDS = st.tuples(st.floats(0, 300), st.floats(0, 300), st.floats(0.05, 0.98))
PRICES = st.none() | st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 20.0])
CHECKS = st.tuples(st.floats(0, 1), st.floats(0, 0.3)).map(lambda c: Checks(detection=c[0], false_alarm=c[1]))
STAKED = st.builds(
    Stakes,
    reference=st.just("m0"),
    quality_loss=st.floats(0, 0.2),
    value_of_failure_usd=st.none() | st.floats(0, 100),
    checks=CHECKS,
    allowance=st.floats(0, 5),
    is_irreversible=st.booleans(),
    is_labelled=st.booleans(),
)


@st.composite
def fleets(draw: Any) -> Any:
    return draw(st.lists(st.tuples(PRICES, RECORDS), min_size=1, max_size=8))


def contenders_of(fleet: Any) -> list[Contender]:
    return [
        contender(f"m{n}", usd, odds(Prior(success=prior), kind=(good, bad)))
        for n, (usd, (good, bad, prior)) in enumerate(fleet)
    ]


def rank(contenders: list[Contender], stakes: Stakes, model: str) -> tuple[bool, bool, float]:
    """Where a model stands: first or not, sufficient or not, at which price."""
    choice = choose(contenders, stakes)
    row = choice.weighed[model]
    return (choice.model != model, not choice.is_sufficient(model), row.price_usd)


@settings(max_examples=150)
@given(fleets(), STAKED, st.data())
def test_a_lower_price_never_lowers_a_models_rank(fleet, stakes, data):
    index = data.draw(st.integers(0, len(fleet) - 1))
    before = contenders_of(fleet)
    usd = before[index].usd
    cheaper = data.draw(st.floats(0, 30.0 if usd is None else usd))
    after = [*before[:index], replace(before[index], usd=cheaper), *before[index + 1 :]]
    model = before[index].model
    assert rank(after, stakes, model)[:2] <= rank(before, stakes, model)[:2]


@settings(max_examples=150)
@given(fleets(), STAKED, st.data())
def test_a_failure_turned_into_a_success_never_lowers_a_models_rank(fleet, stakes, data):
    index = data.draw(st.integers(0, len(fleet) - 1))
    usd, (good, bad, prior) = fleet[index]
    turned = data.draw(st.floats(0, min(1.0, bad)))
    after = [*fleet[:index], (usd, (good + turned, bad - turned, prior)), *fleet[index + 1 :]]
    model = f"m{index}"
    assert rank(contenders_of(after), stakes, model)[:2] <= rank(contenders_of(fleet), stakes, model)[:2]


@settings(max_examples=150)
@given(fleets(), STAKED)
def test_every_contender_is_told_one_fate_and_only_one_is_chosen(fleet, stakes):
    contenders = contenders_of(fleet)
    choice = choose(contenders, stakes)
    fates = choice.fates
    assert fates.keys() == choice.weighed.keys()
    assert fates.keys() == {c.model for c in contenders}
    assert [model for model, fate in fates.items() if fate is Fate.CHOSEN] == [choice.model]
    assert choice.charge >= 0
    assert all(0 <= row.success <= 1 and row.loss >= 0 for row in choice.weighed.values())


@settings(max_examples=100)
@given(fleets(), STAKED)
def test_what_is_charged_is_never_more_than_the_ledger_allowed(fleet, stakes):
    assert choose(contenders_of(fleet), stakes).charge <= stakes.allowance + 1e-9


# The odds


def test_outcomes_replace_a_prior_by_their_weight():
    found = odds(Prior(success=0.5), kind=(PRIOR_STRENGTH, 0))
    assert (found.success, found.mass) == (pytest.approx(0.75), PRIOR_STRENGTH)


def test_a_new_node_begins_with_what_its_kind_knows_and_ends_with_its_own():
    kind = (270.0, 30.0)
    assert odds(Prior(success=0.5), kind=kind, node=(0, 0)).success == pytest.approx(0.89, abs=0.01)
    own = odds(Prior(success=0.5), kind=(270, 130), node=(0, 100))
    assert own.success < 0.25


def test_an_outcome_at_the_node_is_not_counted_twice():
    here = odds(Prior(success=0.97, strength=20), kind=(0, 1), node=(0, 1))
    assert here.success == pytest.approx(0.97 * 20 / 21)


def test_neighbours_have_the_last_word_over_any_number_of_counts():
    assert odds(Prior(success=0.9), kind=(9_000, 1_000), near=(0, 40)).success == pytest.approx(0.45, abs=0.01)


@given(st.floats(0.01, 0.99), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 48), st.floats(0, 48))
def test_odds_are_a_probability_with_a_deviation_that_fits_it(prior, good, bad, near_good, near_bad):
    found = odds(Prior(success=prior), kind=(good, bad), near=(near_good, near_bad))
    assert 0 <= found.success <= 1
    assert 0 <= found.sd <= 0.5
