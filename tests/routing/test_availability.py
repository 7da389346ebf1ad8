"""What the health of deployments, budgets and load do to a decision, and how it is told."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.breaker import Breaker, Bucket, State
from steprouter.answering.breaker_window import penalty
from steprouter.answering.health import Conditions, Health
from steprouter.answering.pacing import Pace
from steprouter.errors import NoAbleModel
from steprouter.memory.recall import Recalled
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.routing.availability import ALL_WELL, availability, may_be_gray
from steprouter.routing.decide import decide
from steprouter.routing.policy import Policy
from steprouter.routing.rules import Rule
from steprouter.step.step import Needs, Place, Step, StepKind

NOW = 1_800_000_000.0
SHUT = Health(breaker=Breaker(state=State.OPEN, why="failures", open_until=NOW + 12))
LATER = Health(breaker=Breaker(state=State.OPEN, why="timeouts", open_until=NOW + 40))
DUE = Health(breaker=Breaker(state=State.OPEN, why="failures", open_until=NOW - 1))
PROBED = Health(breaker=Breaker(state=State.HALF_OPEN, why="failures", holder="x", probe_until=NOW + 9))
OUT = Health(out="auth 401")
LIMITED = Health(limited_until=NOW + 8)
BUSY = Health(pace=Pace(limit=2.0), in_flight=2)
SLOW = Health(breaker=Breaker(answers=100, usual_seconds=1.0, recent_seconds=6.0, answered_at=NOW))


def card(name, tier, usd, **fields):
    price = None if usd is None else Price(input=usd, output=usd)
    return ModelCard(name=name, model=f"openai:{name}", tier=tier, price=price, **fields)


LOW, MID, HIGH = card("low", Tier.LOW, 1), card("mid", Tier.MID, 4), card("high", Tier.HIGH, 20)
UNPRICED = card("unpriced", Tier.HIGH, None)
CARDS = (HIGH, LOW, MID)
STEP = Step(id="s", kind=StepKind.TOOL_CALL, needs=Needs(tools=True, input_tokens=1_000), started_at=NOW)


def decided(health=(), cards=CARDS, step=STEP, near=(), **policy):
    conditions = Conditions(deployments=dict(health), near=near)
    return decide(step, cards, Policy(**policy), Recalled(sections={"health": conditions}))


def reasons(decision):
    return {c.model: c.reason for c in decision.candidates}


def test_models_of_which_nothing_is_known_are_all_well():
    assert availability(CARDS, Conditions(), NOW) is ALL_WELL
    healthy = Health(breaker=Breaker(answers=50, usual_seconds=0.5, buckets=(Bucket(index=int(NOW // 30), calls=50),)))
    assert availability(CARDS, Conditions(deployments={"low": healthy}), NOW) is ALL_WELL


def test_an_open_circuit_leaves_a_model_out_while_another_is_at_hand_and_both_say_so():
    decision = decided({"low": SHUT})
    assert decision.models == ("mid", "high")
    assert decision.reason == (
        "mid: cheapest of tier low or above that is at hand, which tool_call needs (~$0.004320); "
        "low would come first, but: circuit open for 12 s more (failures)"
    )
    assert reasons(decision)["low"] == "circuit open for 12 s more (failures)"


def test_a_circuit_that_is_due_for_a_probe_keeps_its_place():
    assert decided({"low": DUE}).models == ("low", "mid", "high")


def test_a_circuit_that_somebody_else_is_probing_is_left_out():
    decision = decided({"low": PROBED})
    assert decision.models == ("mid", "high")
    assert reasons(decision)["low"] == "circuit open (failures) and just being probed"


def test_with_every_circuit_open_the_one_due_soonest_comes_first():
    decision = decided({"low": LATER, "mid": LATER, "high": SHUT})
    assert decision.models == ("high", "low", "mid")
    assert "no circuit is due sooner: circuit open for 12 s more (failures)" in decision.reason
    assert "low would come first, but: circuit open for 40 s more (timeouts)" in decision.reason


def test_a_model_that_is_out_is_refused_however_the_others_are():
    assert decided({"low": OUT, "mid": SHUT}).models == ("high",)
    assert decided({"low": OUT, "mid": SHUT, "high": SHUT}).models == ("mid", "high")
    assert reasons(decided({"low": OUT}))["low"] == (
        "out until its configuration changes, or router.readmit('low'): auth 401"
    )


def test_with_every_model_out_the_error_says_what_would_let_one_in():
    with pytest.raises(NoAbleModel, match=r"router\.readmit\('low'\): auth 401"):
        decided({"low": OUT}, cards=(LOW,))


def test_a_model_the_caller_asks_for_is_waited_for_when_its_circuit_is_open_and_refused_when_it_is_out():
    pinned = replace(STEP, place=Place(metadata={"steprouter_model": "low"}))
    decision = decided({"low": SHUT}, step=pinned)
    assert decision.models == ("low",)
    assert "no circuit is due sooner: circuit open for 12 s more (failures)" in decision.reason
    with pytest.raises(NoAbleModel, match="the caller asked for 'low'"):
        decided({"low": OUT}, step=pinned)


def test_a_rule_holds_though_all_that_it_allows_are_shut():
    rule = Rule(name="eu", models=["low"])
    assert decided({"low": SHUT}, rules=(rule,)).models == ("low",)


@pytest.mark.parametrize(
    ("health", "why"),
    [
        (LIMITED, "asked to be left alone for 8 s more"),
        (BUSY, "2 calls are under way, as many as it took before it refused"),
    ],
)
def test_a_busy_model_comes_after_those_at_hand_and_both_say_so(health, why):
    decision = decided({"low": health})
    assert decision.models == ("mid", "high", "low")
    assert reasons(decision)["low"] == f"0.2× the cost of mid; {why}"
    assert decision.reason.endswith(f"low would come first, but: {why}")


def test_a_busy_sufficient_model_comes_before_an_idle_weaker_one():
    decision = decided({"high": LIMITED}, step=replace(STEP, kind=StepKind.PLAN))
    assert decision.models == ("high", "mid", "low")


def test_a_slow_model_counts_as_dearer_and_loses_its_place_to_one_that_is_not():
    near_in_price = card("near", Tier.LOW, 1.5)
    decision = decided({"low": SLOW}, cards=(LOW, near_in_price))
    assert decision.models == ("near", "low")
    assert decision.reason.endswith(
        "low would come first, but: counted as 2.0× dearer, because it slows down or stalls"
    )
    assert decided({"low": SLOW}).models[0] == "low"


@pytest.mark.parametrize("usd", [0, None])
def test_of_models_without_a_price_the_one_that_slows_down_comes_second(usd):
    a, b = card("a", Tier.LOW, usd), card("b", Tier.LOW, usd)
    assert decided({"a": SLOW}, cards=(a, b)).models == ("b", "a")


def test_observe_mode_answers_with_another_model_while_the_circuit_of_the_reference_is_open():
    decision = decided({"high": SHUT}, mode="observe")
    assert decision.models == ("low", "mid")
    assert decision.reason.startswith(
        "low: observe mode, but the reference high cannot be asked: circuit open for 12 s more (failures); cheapest"
    )
    assert decided(dict.fromkeys(("low", "mid", "high"), SHUT), mode="observe").models[0] == "high"


def test_observe_mode_answers_with_the_reference_though_a_budget_is_nearly_used_up():
    assert decided(mode="observe", near=("daily",)).models[0] == "high"


def test_past_a_budgets_threshold_only_models_cheaper_than_the_reference_are_asked():
    decision = decided(step=replace(STEP, kind=StepKind.PLAN), near=("daily",))
    assert decision.models == ("mid", "low")
    assert reasons(decision)["high"] == "budget 'daily' is past its threshold: only models cheaper than high"
    assert decision.candidate("high").is_spare


def test_past_a_budgets_threshold_an_unknown_price_is_not_preferred():
    plan = replace(STEP, kind=StepKind.PLAN)
    assert decided(cards=(UNPRICED, LOW), step=plan, near=("daily",), reference="unpriced").models == ("low",)
    assert "unpriced" not in decided(cards=(*CARDS, UNPRICED), step=plan, near=("daily",)).models


@pytest.mark.parametrize("only", [LOW, UNPRICED])
def test_past_a_budgets_threshold_the_only_model_is_still_asked(only):
    assert decided(cards=(only,), near=("daily",)).models == (only.name,)


def test_past_a_budgets_threshold_an_open_circuit_of_the_cheap_ones_stops_no_step():
    decision = decided({"low": SHUT, "mid": SHUT}, near=("daily",))
    assert decision.models == ("high",)


def test_what_is_not_able_or_not_allowed_is_nobodys_spare():
    blind = replace(LOW, abilities=Abilities(tools=False))
    decision = decided({"mid": OUT}, cards=(blind, MID, HIGH))
    assert not any(c.is_spare for c in decision.candidates)
    assert decided({"mid": SHUT}).candidate("mid").is_spare


EAST, WEST = (card(name, Tier.LOW, 1, deployment_of="gpt") for name in ("east", "west"))


def firsts(health=(), cards=(EAST, WEST, HIGH), steps=4_000):
    return Counter(decided(health, cards, replace(STEP, id=f"step {n}")).models[0] for n in range(steps))


def test_equal_deployments_share_the_steps_evenly():
    counted, expected = firsts(), 2_000
    chi_squared = sum((counted[name] - expected) ** 2 / expected for name in ("east", "west"))
    assert chi_squared < 10.8  # 1 degree of freedom, p = 0.001; the steps' names are fixed, so it is certain


def test_the_same_step_is_always_given_the_same_deployment():
    assert decided(cards=(EAST, WEST)).models == decided(cards=(EAST, WEST)).models


def test_a_deployment_that_is_busier_or_slower_comes_second():
    assert firsts({"east": Health(in_flight=3)}, steps=50) == {"west": 50}
    slow, quick = Health(latency_seconds=2.0), Health(latency_seconds=0.4)
    assert firsts({"east": slow, "west": quick}, steps=50) == {"west": 50}
    heavy = replace(EAST, weight=4.0)
    busy = {"east": Health(in_flight=2), "west": Health(in_flight=1)}
    assert firsts(busy, cards=(heavy, WEST), steps=50) == {"east": 50}


def test_a_deployment_that_is_shut_or_out_takes_no_steps():
    for health in (SHUT, OUT):
        assert firsts({"east": health}, steps=50) == {"west": 50}


def test_deployments_of_different_prices_are_ordered_by_price():
    dear = replace(WEST, price=Price(input=2, output=2))
    assert firsts(cards=(EAST, dear), steps=50) == {"east": 50}


def test_balancing_changes_neither_who_is_kept_nor_the_propensity():
    orders = {decided(cards=(EAST, WEST, HIGH), step=replace(STEP, id=str(n))).models for n in range(20)}
    assert orders == {("east", "west", "high"), ("west", "east", "high")}
    assert decided(cards=(EAST, WEST, HIGH)).propensity == 1.0


STATES = st.sampled_from([Health(), SHUT, LATER, DUE, PROBED, OUT, LIMITED, BUSY, SLOW])
FLEETS = st.lists(
    st.tuples(st.none() | st.sampled_from(Tier), st.none() | st.sampled_from([0.0, 1.0, 3.0]), STATES, st.booleans()),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200)
@given(FLEETS, st.sampled_from(StepKind), st.sampled_from([(), ("daily",)]), st.sampled_from(["route", "observe"]))
def test_whatever_the_health_every_model_stands_once_and_one_is_kept_unless_all_are_out(fleet, kind, near, mode):
    cards = [
        card(f"m{n}", tier, usd, deployment_of="one" if is_peer else None)
        for n, (tier, usd, _, is_peer) in enumerate(fleet)
    ]
    health = {f"m{n}": one[2] for n, one in enumerate(fleet)}
    if all(one is OUT for one in health.values()):
        with pytest.raises(NoAbleModel):
            decided(health, cards, near=near, mode=mode)
        return
    decision = decided(health, cards, replace(STEP, kind=kind), near=near, mode=mode)
    assert sorted(c.model for c in decision.candidates) == sorted(health)
    assert decision.kept
    assert not any(health[m] is OUT for m in decision.models)
    shut = [m for m in decision.models if health[m] in (SHUT, LATER, PROBED)]
    assert len(shut) in (0, len(decision.kept))


BREAKERS = st.builds(
    Breaker,
    answers=st.sampled_from([0, 19, 20, 500]),
    usual_seconds=st.sampled_from([0.0, 0.2, 1.0, 4.0]),
    recent_seconds=st.sampled_from([0.0, 0.5, 1.5, 30.0]),
    usual_invalid=st.sampled_from([0.0, 0.3]),
    answered_at=st.sampled_from([NOW, NOW - 5_000]),
    buckets=st.lists(
        st.builds(
            Bucket,
            index=st.sampled_from([int(NOW // 30) - n for n in range(12)]),
            calls=st.integers(1, 20),
            stalls=st.sampled_from([0, 0, 3]),
            invalid=st.sampled_from([0, 0, 3]),
        ),
        max_size=4,
    ).map(tuple),
)


@given(BREAKERS)
def test_no_penalty_is_missed_where_nothing_looks_gray(breaker):
    assert may_be_gray(breaker) or penalty(breaker, NOW) == 1.0
