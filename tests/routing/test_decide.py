"""Which models answer a step, in which order, and why."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.errors import NoAbleModel
from steprouter.memory.calibration import Calibration
from steprouter.memory.learned import Learned, Ledger
from steprouter.memory.neighbours import Near, Nearest
from steprouter.memory.outcomes import Counters, Tally
from steprouter.memory.recall import NOT_KEPT, Recalled
from steprouter.memory.session import Session
from steprouter.memory.shift import Shift
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.routing.contend import Knowledge, expected_usd, speaker
from steprouter.routing.decide import decide
from steprouter.routing.odds import Prior
from steprouter.routing.policy import Policy
from steprouter.routing.predict import Expected, foretell
from steprouter.routing.rules import Rule
from steprouter.step.step import Evidence, Needs, Place, Step, StepKind


def card(name, tier, usd, **fields):
    price = None if usd is None else Price(input=usd, output=usd)
    return ModelCard(name=name, model=f"openai:{name}", tier=tier, price=price, **fields)


LOW, MID, HIGH = card("low", Tier.LOW, 1), card("mid", Tier.MID, 4), card("high", Tier.HIGH, 20)
UNPRICED = card("unpriced", Tier.HIGH, None)
CARDS = (HIGH, UNPRICED, LOW, MID)
STEP = Step(id="s", kind=StepKind.TOOL_CALL, needs=Needs(tools=True, input_tokens=1_000))


def decided(step=STEP, cards=CARDS, **policy):
    return decide(step, cards, Policy(**policy), Recalled())


def of(kind, **fields):
    return replace(STEP, kind=kind, **fields)


@pytest.mark.parametrize(
    ("step", "models"),
    [
        (of(StepKind.TOOL_CALL), ("low", "mid", "high", "unpriced")),
        (of(StepKind.ANSWER), ("mid", "high", "unpriced", "low")),
        (of(StepKind.PLAN), ("high", "unpriced", "mid", "low")),
    ],
)
def test_the_cheapest_sufficient_comes_first_and_the_weaker_last_the_strongest_of_them_first(step, models):
    assert decided(step).models == models


def test_an_unknown_price_is_never_first_among_the_sufficient():
    free = card("free", Tier.HIGH, 0)
    dear = card("dear", Tier.HIGH, 100_000)
    assert decided(of(StepKind.PLAN), (UNPRICED, dear, free)).models == ("free", "dear", "unpriced")


def test_an_unknown_price_is_first_only_where_no_priced_model_is_sufficient():
    assert decided(of(StepKind.PLAN), (LOW, UNPRICED)).models == ("unpriced", "low")


def test_a_model_of_unknown_tier_counts_as_mid():
    unknown = card("unknown", None, 1)
    assert decided(of(StepKind.ANSWER), (HIGH, unknown)).models == ("unknown", "high")
    assert decided(of(StepKind.PLAN), (HIGH, unknown)).models == ("high", "unknown")


def test_of_equally_weak_models_the_cheaper_is_the_nearer_resort():
    dear = card("dear", Tier.LOW, 2)
    assert decided(of(StepKind.PLAN), (dear, LOW, HIGH)).models == ("high", "low", "dear")


@pytest.mark.parametrize(
    ("errors", "first"), [(0, "low"), (1, "low"), (2, "mid"), (3, "high"), (4, "high"), (100, "high")]
)
def test_recovery_moves_up_a_tier_with_each_round_that_failed_after_the_first(errors, first):
    failing = of(StepKind.RECOVER, evidence=Evidence(last_role="tool", consecutive_errors=errors))
    assert decided(failing).models[0] == first


def test_the_users_own_tier_for_a_kind_wins_over_the_table():
    assert decided(of(StepKind.PLAN), kinds={"plan": "low"}).models[0] == "low"


def test_each_candidate_says_why_it_stands_where_it_stands():
    said = {c.model: c.reason for c in decided(of(StepKind.ANSWER)).candidates}
    assert said == {
        "mid": "cheapest of tier mid or above, which answer needs (~$0.005200)",
        "high": "5.0× the cost of mid",
        "unpriced": "price unknown, so never first",
        "low": "last resort: tier low is below mid for answer",
    }


@pytest.mark.parametrize(
    ("usd", "other", "reason"),
    [
        (0, 1, "~$0.001080, dearer than first"),
        (2, 3, "1.5× the cost of first"),
    ],
)
def test_a_dearer_candidate_says_how_much_dearer_it_is(usd, other, reason):
    decision = decided(cards=(card("first", Tier.LOW, usd), card("second", Tier.MID, other)))
    assert decision.candidate("second").reason == reason


@pytest.mark.parametrize("usd", [0, 2])
def test_of_models_that_cost_the_same_the_stronger_comes_first(usd):
    decision = decided(cards=(card("weak", Tier.LOW, usd), card("strong", Tier.MID, usd)))
    assert decision.models == ("strong", "weak")
    assert decision.candidate("weak").reason == "costs as much as strong"


def test_the_decision_gives_its_reason_in_a_sentence():
    rule = Rule(name="cheap", models="low")
    assert decided(rules=(rule,)).reason == (
        "rule 'cheap'; low: cheapest of tier low or above, which tool_call needs (~$0.001080) (the only able model)"
    )


def test_a_model_that_is_not_able_or_not_allowed_is_listed_last_and_says_why():
    blind = replace(LOW, abilities=Abilities(tools=False))
    decision = decided(cards=(blind, MID, HIGH), rules=(Rule(name="eu", models=["low", "mid"]),))
    assert decision.models == ("mid",)
    assert [(c.model, c.kept, c.reason) for c in decision.candidates[1:]] == [
        ("low", False, "cannot call tools"),
        ("high", False, "not allowed by rule 'eu': not one of its models"),
    ]


def test_the_first_rule_that_matches_counts_and_no_other():
    rules = (
        Rule(name="plans", kind="plan", models="high"),
        Rule(name="calls", kind="tool_call", models="mid"),
        Rule(name="all", models="low"),
    )
    decision = decided(rules=rules)
    assert (decision.rule, decision.models) == ("calls", ("mid",))
    assert decided(of(StepKind.CHAT), rules=rules).rule == "all"
    assert decided(of(StepKind.CHAT), rules=rules[:2]).rule is None


@pytest.mark.parametrize(
    ("cards", "reference", "expected"),
    [
        (CARDS, None, "high"),
        (CARDS, "mid", "mid"),
        ((LOW, MID), None, "mid"),
        ((LOW, replace(MID, abilities=Abilities(tools=False))), "mid", "low"),
        ((card("a", Tier.HIGH, 1), card("b", Tier.HIGH, 2)), None, "b"),
    ],
)
def test_the_reference_is_the_stated_model_if_able_else_the_strongest(cards, reference, expected):
    assert decided(cards=cards, reference=reference).reference == expected


def test_observe_mode_answers_with_the_reference_and_says_what_routing_would_have_done():
    observed = decided(mode="observe")
    assert observed.models == ("high", "low", "mid", "unpriced")
    assert observed.candidates[0].reason == (
        "observe mode: the reference answers; routed would be low: "
        "cheapest of tier low or above, which tool_call needs (~$0.001080)"
    )
    assert observed.candidates[1:] == tuple(c for c in decided().candidates if c.model != "high")


def test_a_model_the_caller_asks_for_is_the_only_one():
    pinned = replace(STEP, place=Place(metadata={"steprouter_model": "high"}))
    decision = decided(pinned)
    assert decision.models == ("high",)
    assert decision.candidate("low").reason == "the caller asked for 'high'"


def test_a_pinned_model_that_is_no_text_is_not_a_pin():
    odd = replace(STEP, place=Place(metadata={"steprouter_model": 7}))
    assert decided(odd).models == decided().models


def test_no_able_model_says_what_each_one_lacks():
    cards = (replace(LOW, abilities=Abilities(tools=False)), replace(HIGH, window_tokens=1_000))
    with pytest.raises(NoAbleModel) as error:
        decided(cards=cards)
    assert str(error.value) == (
        "no model can take this tool_call step (low: cannot call tools; "
        "high: window 1000 < 1406 tokens (prompt ~1000, answer 256)); add a model, or widen the rule"
    )


@pytest.mark.parametrize(("limit", "usd"), [(None, 0.00108), (40, 0.00104), (10_000, 0.00108), (0, 0.00108)])
def test_the_expected_cost_counts_the_prompt_and_the_usual_answer_within_the_limit(limit, usd):
    step = replace(STEP, needs=Needs(input_tokens=1_000, output_tokens=limit))
    assert expected_usd(speaker(LOW, step, Knowledge()), step) == pytest.approx(usd)


PRICES = st.none() | st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e5])
TIERS = st.none() | st.sampled_from(Tier)
FLEETS = st.lists(st.tuples(TIERS, PRICES), min_size=1, max_size=6).map(
    lambda fleet: [card(f"m{i}", tier, usd) for i, (tier, usd) in enumerate(fleet)]
)
STEPS = st.sampled_from(StepKind).map(of)


@settings(max_examples=60)
@given(STEPS, FLEETS, st.data())
def test_every_model_stands_in_the_decision_exactly_once(step, fleet, data):
    fleet = [replace(c, abilities=Abilities(tools=data.draw(st.sampled_from([None, True, False])))) for c in fleet] + [
        HIGH
    ]
    decision = decided(step, fleet, mode=data.draw(st.sampled_from(["route", "observe"])))
    assert sorted(c.model for c in decision.candidates) == sorted(c.name for c in fleet)
    assert decision.models == tuple(c.model for c in decision.candidates[: len(decision.models)])
    assert decision.reference in decision.models


@settings(max_examples=60)
@given(STEPS, FLEETS, st.data())
def test_a_lower_price_never_lowers_a_models_rank(step, fleet, data):
    index = data.draw(st.integers(0, len(fleet) - 1))
    before = fleet[index]
    usd = data.draw(st.floats(0, before.price.input if before.price else 1e5))
    cheaper = [*fleet[:index], card(before.name, before.tier, usd), *fleet[index + 1 :]]
    ranks = [decided(step, cards).models.index(before.name) for cards in (fleet, cheaper)]
    assert ranks[1] <= ranks[0]


@settings(max_examples=60)
@given(STEPS, FLEETS, st.data())
def test_the_order_does_not_depend_on_the_order_of_the_cards_but_for_full_ties(step, fleet, data):
    shuffled = data.draw(st.permutations(fleet))
    known = {c.name: (c.tier or Tier.MID, c.price) for c in fleet}
    orders = [[known[name] for name in decided(step, cards).models] for cards in (fleet, shuffled)]
    assert orders[0] == orders[1]


def test_between_a_call_and_its_result_the_session_stays_with_whoever_holds_the_thoughts():
    held = Evidence(last_role="tool", last_model="high", holds_thoughts=True)
    assert decided(of(StepKind.READ_RESULT, evidence=held)).models[0] == "high"
    assert decided(of(StepKind.READ_RESULT, evidence=replace(held, holds_thoughts=False))).models[0] == "low"


def test_nobody_steps_down_amid_a_recovery():
    failing = Evidence(last_role="tool", last_model="mid", consecutive_errors=1)
    decision = decided(of(StepKind.RECOVER, evidence=failing))
    assert decision.models[0] == "mid"
    assert decision.candidate("low").reason == "last resort: weaker than the model that is recovering from an error"


@pytest.mark.parametrize(("escalation", "first"), [(2, "low"), (3, "high")])
def test_a_session_that_was_escalated_again_and_again_begins_with_the_reference(escalation, first):
    known = Recalled(sections={"session": Session(escalation=escalation)})
    assert decide(STEP, (HIGH, LOW, MID), Policy(), known).models[0] == first


class Seer:
    """Foretells the same of every step."""

    embedder = None

    def __init__(self, **success):
        self.success = success

    def priors(self, kind, vector, text):
        return {model: Prior(success=p, strength=12) for model, p in self.success.items()}

    def expected(self, kind, model):
        return Expected(output_tokens=10 if model == "low" else None)


def foreseen(kind, ringing=False, **success):
    told = foretell(Seer(**success), of(kind), NOT_KEPT, "text")
    shifts = {str(kind): Shift(ringing=True)} if ringing else {}
    ledger = Ledger(decisions=500)
    return decide(
        of(kind), CARDS, Policy(), Recalled(sections={"learned": Learned(ledger=ledger, shifts=shifts)}), foretold=told
    )


def test_what_a_predictor_says_takes_the_place_of_the_table():
    assert foreseen(StepKind.PLAN, low=0.97).models[0] == "low"
    assert foreseen(StepKind.TOOL_CALL, low=0.3, mid=0.3).models[0] == "high"


def test_a_prediction_weighs_less_while_texts_are_of_another_sort():
    calm, ringing = (
        foreseen(StepKind.PLAN, ringing, low=0.9).candidate("low").weighed.odds for ringing in (False, True)
    )
    assert calm.success == ringing.success == pytest.approx(0.9)
    assert ringing.sd > 1.5 * calm.sd


def test_only_counts_are_believed_where_chances_were_far_off():
    rows = 40
    near = Near(
        cosines=np.ones(rows, np.float32),
        scores=np.zeros(rows),
        weights=np.ones(rows),
        at=np.full(rows, of(StepKind.PLAN).started_at),
        sessions=np.arange(rows),
    )
    near = Nearest(rows=near, models=("low",), ends=(rows,))
    for error, nearest in ((0.05, True), (0.2, False)):
        learned = Learned(ledger=Ledger(decisions=500), calibrations={"plan": Calibration(error=error)})
        known = Recalled(sections={"learned": learned, "neighbours": near})
        found = decide(of(StepKind.PLAN), CARDS, Policy(), known).candidate("low").weighed.odds
        alone = decide(of(StepKind.PLAN), CARDS, Policy(), Recalled(sections={"learned": learned}))
        assert (found != alone.candidate("low").weighed.odds) == nearest


def test_the_length_that_was_foretold_is_in_the_price_until_the_models_own_is_known():
    decision = foreseen(StepKind.PLAN, low=0.9)
    assert decision.candidate("low").expected_usd == pytest.approx((1_000 + 10) / 1e6)


def test_a_rule_may_set_what_its_steps_may_lose():
    known = Recalled(sections={"counters": Counters(kind={"low": Tally(successes=70, failures=22, labels=92, at=0.0)})})
    lax = Policy(rules=(Rule(name="drafts", kind="tool_call", quality_loss=0.2),))
    assert decide(STEP, (HIGH, LOW), Policy(), known).models[0] == "high"
    assert decide(STEP, (HIGH, LOW), lax, known).models[0] == "low"
