"""Which steps are probed, and with which model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import Breaker
from steprouter.answering.breaker_state import State
from steprouter.answering.claims import Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.health import Conditions, Health
from steprouter.answering.progress import Progress
from steprouter.errors import ConfigError
from steprouter.memory.learned import Drift, Learned, Ledger
from steprouter.memory.outcomes import Counters, Tally
from steprouter.memory.recall import Recalled
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.decide import decide
from steprouter.routing.policy import Policy
from steprouter.routing.probe_choice import probed
from steprouter.routing.probes import Probes
from steprouter.routing.rules import Rule
from steprouter.step.step import Evidence, Needs, Place, Step, StepKind


def card(name, tier, usd, **fields):
    price = None if usd is None else Price(input=usd, output=usd)
    return ModelCard(name=name, model=f"openai:{name}", tier=tier, price=price, **fields)


LOW, MID = card("low", Tier.LOW, 1, tags=frozenset({"inside"})), card("mid", Tier.MID, 4)
HIGH = card("high", Tier.HIGH, 20)
CARDS = (HIGH, LOW, MID, card("unpriced", Tier.LOW, None))
STEP = Step(id="s", kind=StepKind.CLASSIFY, needs=Needs(input_tokens=1_000), started_at=1_800_000_000.0)
ANSWER = Attempt(model="high", answer=Answer(text="Billing", finish="stop"))
ALWAYS = Probes(share=1, usd=1)


def choice(step=STEP, *, answered=ANSWER, progress=None, recalled=None, conditions=None, cards=CARDS, **policy):
    """The model that is probed after the reference answered; by default all may be."""
    policy = Policy(**{"mode": "observe", "probes": ALWAYS, **policy})
    decision = decide(step, cards, policy, recalled or Recalled())
    found = probed(
        step,
        decision,
        progress or Progress().after_calls(answered),
        answered,
        policy=policy,
        cards=cards,
        conditions=conditions or Conditions(),
    )
    return None if found is None else found.model


def known(**masses):
    """Counters of the step's kind, with so many successes each."""
    tallies = {name: Tally(successes=mass, at=STEP.started_at) for name, mass in masses.items()}
    return Recalled(sections={"counters": Counters(kind=tallies)})


def test_without_a_word_of_the_user_nothing_is_probed():
    assert choice(probes=None) is None


def test_of_models_about_which_the_same_is_known_the_cheaper_is_probed():
    assert choice() == "low"


def test_the_model_about_which_least_is_known_is_probed():
    assert choice(recalled=known(low=5, mid=2)) == "mid"
    assert choice(recalled=known(low=5, mid=8)) == "low"


def test_the_share_is_drawn_from_the_steps_name_so_that_a_replay_probes_the_same():
    steps = [replace(STEP, id=f"step {n}") for n in range(400)]
    probed_steps = [step.id for step in steps if choice(step, probes=Probes(share=0.1, usd=1))]
    assert 20 <= len(probed_steps) <= 60
    assert probed_steps == [step.id for step in steps if choice(step, probes=Probes(share=0.1, usd=1))]
    assert not any(choice(step, probes=Probes(share=0)) for step in steps)


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("an answer of another model", {"answered": replace(ANSWER, model="mid")}),
        ("an answer that a check found fault with", {"answered": replace(ANSWER, problems=("cut off",))}),
        ("the user's own message", {"answered": replace(ANSWER, is_message=True)}),
        ("no answer", {"answered": None, "progress": Progress()}),
        ("an answer that is prose", {"answered": replace(ANSWER, answer=Answer(text="Well, " * 40))}),
        ("a critical kind", {"critical": ["classify"]}),
        ("a recovery", {"step": replace(STEP, kind=StepKind.RECOVER)}),
        ("a step after an error", {"step": replace(STEP, evidence=Evidence(consecutive_errors=1))}),
        ("thoughts that bind", {"step": replace(STEP, evidence=Evidence(holds_thoughts=True))}),
        ("a budget past its threshold", {"conditions": Conditions(near=("usd per day",))}),
    ],
)
def test_a_step_with_this_is_not_probed(what, given):
    assert choice(**given) is None


def test_a_step_that_was_failed_over_escalated_or_held_back_is_not_probed():
    failure = Failure(kind=FailureKind.UNAVAILABLE, phase=Phase.BEFORE_FIRST_TOKEN, model="low")
    failed, weak = Attempt(model="low", failure=failure), Attempt(model="low", answer=Answer(), problems=("empty",))
    for before in (failed, weak):
        assert choice(progress=Progress().after_calls(before).after_calls(ANSWER)) is None
    refused = Refused(by="limit", name="low", why="busy")
    assert choice(progress=Progress().after_refusal("low", refused).after_calls(ANSWER)) is None


def test_the_rest_of_an_answer_that_another_process_began_is_not_probed():
    assert choice(progress=Progress(left=ANSWER).after_calls(ANSWER)) is None


def test_with_a_judge_prose_is_probed_too():
    prose = replace(ANSWER, answer=Answer(text="Well, " * 40))
    assert choice(answered=prose, probes=Probes(share=1, usd=1, judge=lambda ask, given, other: None)) == "low"


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        (Probes(share=1, usd=1, models="mid"), "mid"),
        (Probes(share=1, usd=1, models=["inside"]), "low"),
        (Probes(share=1, usd=0.0011), "low"),
        (Probes(share=1, usd=0.0001), None),
    ],
)
def test_only_models_that_the_user_names_and_can_afford_are_probed(probes, expected):
    assert choice(recalled=known(low=1), probes=probes) == expected


def test_what_costs_as_much_as_the_reference_is_not_probed():
    assert choice(cards=(HIGH, card("dear", Tier.LOW, 20))) is None
    twin = card("twin", Tier.HIGH, 10, deployment_of="high")
    assert choice(cards=(HIGH, twin)) is None


def test_rules_and_regions_hold_for_probes():
    rule = Rule(name="here", models=["high", "mid"])
    assert choice(rules=[rule]) == "mid"
    pinned = replace(STEP, place=Place(metadata={"steprouter_model": "high"}))
    assert choice(pinned) is None


def test_a_tier_that_the_user_asks_for_is_not_probed_from_below():
    assert choice(kinds={"classify": "mid"}) == "mid"


@pytest.mark.parametrize(
    "health",
    [
        Health(breaker=Breaker(state=State.OPEN)),
        Health(breaker=Breaker(state=State.HALF_OPEN)),
        Health(out="its key was refused"),
        Health(limited_until=STEP.started_at + 5),
    ],
)
def test_a_model_that_cannot_be_asked_now_is_not_probed(health):
    conditions = Conditions(deployments={"low": health})
    assert choice(conditions=conditions, recalled=Recalled(sections={"health": conditions})) == "mid"


def test_a_model_that_got_worse_may_be_probed_which_is_how_it_comes_back():
    frozen = Learned(ledger=Ledger(decisions=10), drift={"low": Drift(frozen_until=50, alarms=1)})
    recalled = Recalled(sections={"learned": frozen})
    assert decide(STEP, CARDS, Policy(), recalled).candidate("low").fate == "frozen"
    assert choice(recalled=recalled) == "low"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.5}, "share of probes must be between 0 and 1, got 1.5"),
        ({"share": True}, "share of probes must be between 0 and 1"),
        ({"usd": -1}, "usd of a probe must be 0 or more"),
        ({"usd": float("nan")}, "usd of a probe must be 0 or more"),
        ({"judge": "gpt"}, "judge of probes must be a function"),
    ],
)
def test_probes_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Probes(**given)


def test_a_policy_refuses_what_is_no_probes_and_models_that_are_not_there():
    with pytest.raises(ConfigError, match=r"probes must be a Probes, or None, got 0\.1"):
        Policy(probes=0.1)
    with pytest.raises(ConfigError, match=r"probes names the unknown model 'lwo'; did you mean 'low'"):
        Policy(probes=Probes(models="lwo")).check(CARDS)


def test_a_judge_is_not_in_what_a_policy_shows_of_itself():
    assert "lambda" not in repr(Policy(probes=Probes(judge=lambda ask, given, other: 1.0)))
