"""From a move to the call that carries it out, and from what came back to what the next move looks at."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import Breaker
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.health import Conditions, Health
from steprouter.answering.hedge import HedgeBudget
from steprouter.answering.moves import Try
from steprouter.answering.progress import Progress, Situation
from steprouter.calling import Setting, hedged, judged, prepare
from steprouter.memory.lessons import Example, Lesson
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.content_filter import ContentFilter
from steprouter.routing.decision import Candidate, Decision
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask, Toolset
from steprouter.step.step import Needs, Place, Step, StepKind

NAMES = ("small", "middle", "large")
CARDS = tuple(
    ModelCard(name=name, model=name, base_url="http://x", tier=tier, price=Price(input=n, output=n))
    for n, (name, tier) in enumerate(zip(NAMES, (Tier.LOW, Tier.MID, Tier.HIGH), strict=True), start=1)
)
ASK = Ask(messages=(HumanMessage("Write to jane.doe@example.com that it is done."),))
STEP = Step(id="step", kind=StepKind.CHAT, needs=Needs(input_tokens=1_000), started_at=1_000.0)
KNOWN = Breaker(answers=100, usual_seconds=0.5, recent_seconds=0.5, answered_at=1_000.0)
EARNED = Conditions(deployments={name: Health(breaker=KNOWN) for name in NAMES}, hedges=HedgeBudget(calls=50))
REDACTING = ContentFilter(reaction="redact_and_retry")


def case(*, deadline=None, example=None, conditions=EARNED, **policy):
    """A setting and a situation in it."""
    setting = Setting(cards=CARDS, policy=Policy(**policy))
    kept = tuple(
        Candidate(model=c.name, tier=c.tier, kept=True, reason="…", expected_usd=float(n), example=example)
        for n, c in enumerate(CARDS)
    )
    step = replace(STEP, place=Place(deadline_seconds=deadline))
    decision = Decision(candidates=kept, reason="…")
    return setting, Situation(step=step, decision=decision, policy=setting.policy, conditions=conditions)


def prepared(move=None, progress=None, ask=ASK, **told):
    setting, situation = case(**told)
    return prepare(move or Try(model="small", why="…"), ask, situation, setting, progress or Progress())


def failed(model, kind=FailureKind.UNAVAILABLE, **told):
    return Attempt(model=model, failure=Failure(kind=kind, phase=Phase.BEFORE_FIRST_TOKEN, model=model), **told)


def test_the_claim_and_the_call_have_one_name():
    one = prepared()
    assert one.claim.reservation == one.call.id == "step-1"
    assert (one.claim.model, one.claim.is_retry, one.claim.is_hedge) == ("small", False, False)


EVENTS = st.lists(st.sampled_from(["failed", "refused", "raced", "lone", "hedge refused"]), max_size=8)


@given(EVENTS)
def test_no_two_calls_of_a_step_have_the_same_name(events):
    setting, situation = case(hedge=True, max_attempts=99)
    progress, names = Progress(), []
    for event in events:
        first = prepare(Try(model="small", why="…"), ASK, situation, setting, progress)
        names.append(first.claim.reservation)
        also = hedged(first, Granted(), ASK, situation, setting, progress) if event != "refused" else None
        names += [] if also is None else [also[0].claim.reservation]
        match event:
            case "refused":
                refused = Refused(by="limit", name="small", why="…")
                progress = progress.after_refusal("small", refused)
            case "raced" if also is not None:
                progress = progress.after_calls(failed("small"), failed(also[0].call.model))
            case "lone" if also is not None:
                progress = progress.after_calls(failed("small"), unused=(also[0].claim.reservation,))
            case _:
                progress = progress.after_calls(failed("small"))
    assert len(names) == len(set(names))


def test_only_a_model_that_was_really_asked_is_asked_again():
    passed = Progress().after_refusal("small", Refused(by="breaker", name="small", why="…", until=1_005.0))
    move = Try(model="small", why="…", change="retry", after_seconds=5.0)
    assert not prepared(move, passed).claim.is_retry
    assert prepared(move, Progress().after_calls(failed("small"))).claim.is_retry


def test_a_shown_example_is_part_of_what_is_said_and_of_what_is_set_aside():
    lesson = Lesson(id="l", kind="chat", task="How?", result="So.", tokens=300)
    shown = Example(lesson=lesson, shown=True, propensity=0.9)
    plain, taught = prepared(), prepared(example=shown)
    assert taught.call.added_tokens == 300
    assert taught.claim.tokens - plain.claim.tokens == 345  # with the margin of an estimate
    assert taught.claim.usd > plain.claim.usd
    assert "So." in taught.call.ask.messages[0].content
    withheld = prepared(example=replace(shown, shown=False))
    assert withheld.call.ask.messages == plain.call.ask.messages


def test_a_redacted_call_says_nothing_personal_and_leaves_the_callers_messages_alone():
    one = prepared(Try(model="small", why="…", redacted=True))
    assert one.call.ask.messages[0].content == "Write to <email-1> that it is done."
    assert "jane.doe" in ASK.messages[0].content


def test_a_call_without_a_deadline_waits_as_long_as_its_model_usually_needs():
    timeouts = prepared().call.timeouts
    assert (timeouts.total, timeouts.first_token, timeouts.is_rushed) == (None, 10.0, False)


def test_no_phase_of_a_call_goes_past_the_deadline_and_another_model_is_left_its_share():
    timeouts = prepared(deadline=5.0).call.timeouts
    assert (timeouts.total, timeouts.first_token, timeouts.connect) == (5.0, 2.5, 2.5)
    assert not timeouts.is_rushed  # it is known to be quick, so that its silence tells
    later = Progress().after_calls(failed("small", seconds=2.5))
    second = prepared(Try(model="middle", why="…"), later, deadline=5.0).call.timeouts
    assert (second.total, second.first_token) == (2.5, 1.25)
    last = Progress().after_calls(failed("small"), failed("middle", seconds=3.0))
    third = prepared(Try(model="large", why="…"), last, deadline=5.0).call.timeouts
    assert (third.total, third.first_token) == (2.0, 2.0)


def test_the_last_call_that_a_step_may_make_has_all_the_time_that_is_left():
    assert prepared(deadline=5.0, max_attempts=1).call.timeouts.first_token == 5.0


@pytest.mark.parametrize(("usual", "is_rushed"), [(None, True), (0.9, True), (0.5, False)])
def test_silence_that_is_cut_short_counts_only_against_a_model_that_is_known_to_be_quicker(usual, is_rushed):
    breaker = Breaker() if usual is None else replace(KNOWN, usual_seconds=usual)
    conditions = Conditions(deployments={"small": Health(breaker=breaker)})
    assert prepared(deadline=5.0, conditions=conditions).call.timeouts.is_rushed is is_rushed


def test_a_model_that_is_known_to_need_long_is_given_it():
    slow = Conditions(deployments={"small": Health(breaker=replace(KNOWN, usual_seconds=1.6))})
    assert prepared(deadline=5.0, conditions=slow).call.timeouts.first_token == 4.0


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_call_is_never_prepared_without_any_time(elapsed, deadline):
    late = Progress(elapsed_seconds=elapsed)
    assert prepared(progress=late, deadline=deadline).call.timeouts.total > 0


def answered(model="small", *, text="", calls=(), finish="stop"):
    return Attempt(model=model, answer=Answer(text=text, tool_calls=calls, finish=finish))


def weather(city, raw=None):
    return ToolCall(id="c", name="weather", args={"city": city}, raw=raw or f'{{"city": "{city}"}}')


TOOLED = replace(
    ASK, tools=Toolset.of([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
)


def judge(attempt, *, redacted=False, policy=None, ask=TOOLED):
    one = prepared(Try(model="small", why="…", redacted=redacted, after_seconds=1.5), ask=ask)
    return judged(attempt, one, ask, policy or Policy(content_filter=REDACTING), is_probe=False)


@pytest.mark.parametrize("raw", [None, '{"city": "\\u003cemail-1\\u003e"}'])
def test_a_tool_is_never_called_with_a_marker_of_what_was_replaced(raw):
    made = judge(answered(calls=(weather("<email-1>", raw),)), redacted=True)
    assert made.answer is None
    assert (made.failure.kind, made.failure.phase) == (FailureKind.INVALID_OUTPUT, Phase.IN_TOOL_CALL)
    assert "<email-1>" in made.failure.text


def test_a_marker_that_the_caller_wrote_is_none_of_ours():
    made = judge(answered(calls=(weather("<email-1>"),)), redacted=False)
    assert made.is_sufficient


def test_an_answer_to_redacted_words_is_checked_as_any_other():
    made = judge(answered(calls=(ToolCall(id="c", name="nobody", args={}, raw="{}"),)), redacted=True)
    assert made.problems == ("unknown tool 'nobody'",)
    assert (made.redacted, made.waited_seconds) == (True, 1.5)


@pytest.mark.parametrize(
    "attempt",
    [
        failed("small", FailureKind.CONTENT_FILTERED),
        failed("small", FailureKind.REFUSED),
        answered(finish="content_filter"),
        answered(text="I cannot.", finish="refusal"),
    ],
)
def test_what_was_refused_on_content_says_whether_it_can_be_asked_again_redacted(attempt):
    assert judge(attempt).redactable
    assert not judge(attempt, redacted=True).redactable
    assert not judge(attempt, policy=Policy()).redactable
    assert not judge(attempt, ask=Ask(messages=(SystemMessage("Be kind."), HumanMessage("Hello.")))).redactable


def test_nothing_is_searched_for_personal_data_where_nobody_asks_for_it():
    assert not judge(failed("small")).redactable
    assert not judge(answered(text="Hi")).redactable


def second(progress=None, move=None, grant=None, conditions=EARNED, **policy):
    setting, situation = case(conditions=conditions, **{"hedge": True, **policy})
    first = prepare(move or Try(model="small", why="…"), ASK, situation, setting, progress or Progress())
    found = hedged(first, grant or Granted(), ASK, situation, setting, progress or Progress())
    return None if found is None else found[0].call.model


def test_a_second_call_goes_to_the_cheapest_model_that_is_left_and_as_strong():
    assert second() == "middle"
    assert second(Progress().after_calls(failed("middle"))) == "large"
    assert second(move=Try(model="large", why="…")) is None


def test_no_second_call_is_made_where_it_would_be_one_too_many():
    assert second(Progress().after_calls(failed("large")), max_attempts=3) == "middle"
    assert second(Progress().after_calls(failed("large")), max_attempts=2) is None
    assert second(max_attempts=1) is None


def test_no_second_call_is_made_for_a_probe_a_fallback_or_redacted_words():
    assert second(grant=Granted(is_probe=True)) is None
    assert second(move=Try(model="small", why="…", ignores_budget=True)) is None
    assert second(move=Try(model="small", why="…", redacted=True)) is None


def test_a_second_call_goes_to_nobody_that_the_first_may_not_be_followed_by():
    filtered = Progress().after_calls(failed("large", FailureKind.CONTENT_FILTERED))
    rerouting = ContentFilter(reaction="reroute", models=("small",))
    assert second(filtered, content_filter=rerouting) is None
    spent = Refused(by="budget", name="daily", why="…")
    assert second(Progress().after_refusal("middle", spent)) is None
