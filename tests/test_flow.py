"""The order of a step, as commands and replies: no loop, no server, no clock."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Granted
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.shape import Hold
from steprouter.flow import Call, Embed, Note, Outcome, Recall, Reserve, Setting, Settle, Wait, run_step
from steprouter.memory.recall import NOT_KEPT, Missing, Recalled
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask, Toolset
from steprouter.step.step import Step, StepKind

SMALL = ModelCard(name="small", model="s", base_url="http://s", tier=Tier.LOW, price=Price(input=1, output=2))
LARGE = ModelCard(name="large", model="l", base_url="http://l", tier=Tier.HIGH, price=Price(input=5, output=25))
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASK = Ask(messages=(HumanMessage("Weather in Oslo?"),), tools=Toolset.of([WEATHER]))
STEP = Step(id="step-1", kind=StepKind.TOOL_CALL, text="Weather in Oslo?")
SETTING = Setting(cards=(LARGE, SMALL), policy=Policy())
IMPATIENT = Setting(cards=(LARGE, SMALL), policy=Policy(patience_seconds=0))


def said(model, args, *, shown="", finish="tool_calls"):
    raw = "{" if args is None else '{"city": "Oslo"}'
    call = ToolCall(id="c1", name="weather", args=args, raw=raw)
    return Attempt(model=model, shown=shown, answer=Answer(tool_calls=(call,), finish=finish))


def failed(model, kind=FailureKind.UNAVAILABLE, *, shown="", phase=Phase.BEFORE_FIRST_TOKEN):
    return Attempt(model=model, shown=shown, failure=Failure(kind=kind, phase=phase, model=model))


def drive(replies, setting=SETTING, recalled=None):
    """Commands of a flow that gets these attempts, and its outcome."""
    flow, replies, commands, reply = run_step(STEP, ASK, setting), list(replies), [], None
    while True:
        try:
            commands.append(flow.send(reply))
        except StopIteration as end:
            return commands, end.value
        match commands[-1]:
            case Embed():
                reply = NOT_KEPT
            case Recall():
                reply = recalled or Recalled()
            case Reserve():
                reply = Granted()
            case Wait():
                reply = True
            case Call():
                reply = replies.pop(0)
            case _:
                reply = None


def test_a_step_is_embedded_recalled_decided_called_and_settled_in_this_order():
    commands, outcome = drive([said("small", {"city": "Oslo"})])
    assert [type(c) for c in commands] == [Embed, Recall, Note, Reserve, Call, Settle]
    assert commands[0] == Embed(text="Weather in Oslo?")
    assert commands[3].claim.model == commands[4].model == "small"
    assert commands[-1] == Settle(outcome=outcome)


def test_the_decision_is_told_before_anything_is_called():
    commands, outcome = drive([said("small", {"city": "Oslo"})])
    told = commands[2]
    assert isinstance(told, Note)
    assert (told.event, told.decision) == ("decision", outcome.decision)


def test_a_model_that_fails_before_its_first_token_is_followed_by_the_next():
    commands, outcome = drive([failed("small"), said("large", {"city": "Oslo"})])
    assert [c.model for c in commands if isinstance(c, Call)] == ["small", "large"]
    assert [c.event for c in commands if isinstance(c, Note)] == ["decision", "attempt_failed", "failover"]
    assert outcome.answered_by == outcome.attempts[1]


def test_an_answer_that_fails_a_check_is_escalated_to_a_stronger_model():
    commands, outcome = drive([said("small", {"town": "Oslo"}), said("large", {"city": "Oslo"})])
    assert [c.event for c in commands if isinstance(c, Note)] == ["decision", "escalated"]
    assert outcome.attempts[0].problems == ("arguments of 'weather': the object breaks 'city' is a required property",)
    assert outcome.answered_by.model == "large"


def test_nothing_is_escalated_once_something_was_shown():
    _, outcome = drive([said("small", {"town": "Oslo"}, shown="Let me look.")])
    assert [a.model for a in outcome.attempts] == ["small"]
    assert not outcome.answered_by.is_sufficient


def test_a_stream_that_breaks_after_text_was_shown_ends_the_step_with_what_was_said():
    broken = failed("small", FailureKind.BROKEN_STREAM, shown="The weather", phase=Phase.IN_TEXT)
    _, outcome = drive([broken])
    assert (outcome.answered_by, outcome.gave_up.why) == (None, "broken")


def test_an_insufficient_answer_is_better_than_none_when_the_stronger_model_is_down():
    _, outcome = drive([said("small", None), failed("large")])
    assert outcome.answered_by.model == "small"
    assert outcome.answered_by.problems == ("arguments of 'weather' are not a JSON object",)


def test_the_callers_own_mistake_is_not_taken_to_another_model():
    _, outcome = drive([failed("small", FailureKind.BAD_REQUEST)])
    assert (len(outcome.attempts), outcome.gave_up.why) == (1, "bad_request")


def test_every_model_failing_leaves_an_outcome_with_every_attempt():
    _, outcome = drive([failed("small"), failed("large", FailureKind.RATE_LIMITED)], IMPATIENT)
    assert isinstance(outcome, Outcome)
    assert [a.failure.kind for a in outcome.attempts] == ["unavailable", "rate_limited"]
    assert outcome.gave_up.why == "exhausted"


def test_a_broken_store_is_told_and_changes_nothing_else():
    broken = Recalled(sections={"store": Missing(reason="no answer within 50 ms")})
    commands, outcome = drive([said("small", {"city": "Oslo"})], recalled=broken)
    assert [c.event for c in commands if isinstance(c, Note)] == ["degraded", "decision"]
    assert outcome.degraded == ("store: no answer within 50 ms",)
    assert outcome.answered_by.model == "small"


def test_max_attempts_bounds_the_calls_of_a_step():
    one = replace(SETTING, policy=Policy(max_attempts=1))
    _, outcome = drive([failed("small")], one)
    assert [a.model for a in outcome.attempts] == ["small"]


def test_an_answer_of_a_schema_is_held_back_whole_unless_the_policy_streams_it():
    formatted = Ask(messages=ASK.messages, tools=Toolset.of([], response_format={"type": "object"}))
    for policy, hold in ((Policy(), Hold.EVERYTHING), (Policy(stream_structured=True), Hold.TOOL_CALLS)):
        flow = run_step(STEP, formatted, Setting(cards=(SMALL,), policy=policy))
        for reply in (None, NOT_KEPT, Recalled(), None):
            flow.send(reply)
        assert flow.send(Granted()).shaping.hold is hold


ATTEMPTS = st.builds(
    lambda kind, shown: (
        lambda model: (
            said(model, {"city": "Oslo"} if kind == "good" else {"town": 1}, shown=shown)
            if kind in ("good", "bad")
            else failed(model, FailureKind(kind), shown=shown)
        )
    ),
    st.sampled_from(["good", "bad", *FailureKind]),
    st.sampled_from(["", "Some text"]),
)


@given(st.lists(ATTEMPTS, min_size=6, max_size=6), st.integers(1, 6))
def test_whatever_happens_no_model_is_tried_twice_and_the_step_is_settled_once(makers, limit):
    """The replies name the model that was called, as a driver's would."""
    cards = tuple(replace(LARGE, name=f"m{i}", tier=tier) for i, tier in enumerate([*Tier, *Tier]))
    setting = Setting(cards=cards, policy=Policy(max_attempts=limit))
    flow, commands, reply, makers = run_step(STEP, ASK, setting), [], None, list(makers)
    while True:
        try:
            commands.append(flow.send(reply))
        except StopIteration as end:
            outcome = end.value
            break
        command = commands[-1]
        reply = makers.pop(0)(command.model) if isinstance(command, Call) else NOT_KEPT
        reply = Recalled() if isinstance(command, Recall) else reply
    called = [c.model for c in commands if isinstance(c, Call)]
    assert len(called) == len(set(called)) <= limit
    assert sum(isinstance(c, Settle) for c in commands) == 1
    assert (outcome.answered_by is None) != (outcome.gave_up is None)
    shown = [a for a in outcome.attempts[:-1] if a.shown]
    assert not shown
