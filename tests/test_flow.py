"""The order of a step, as commands and replies: no loop, no server, no clock."""

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import Breaker
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.health import Conditions, Health
from steprouter.answering.hedge import HedgeBudget
from steprouter.answering.shape import Hold
from steprouter.flow import Call, Embed, Embedded, Note, Outcome, Race, Recall, Reserve, Setting, Settle, Wait, run_step
from steprouter.memory.learned import Drift, Learned, Ledger
from steprouter.memory.recall import Missing, Recalled
from steprouter.memory.session import Session
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask, Toolset
from steprouter.step.step import Place, Step, StepKind

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
                reply = Embedded()
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


def test_a_thread_is_told_once_that_a_model_has_drifted():
    rang_at = 1_000.0
    learned = Learned(drift={"small": Drift(frozen_until=60, alarms=1, at=rang_at)}, ledger=Ledger(decisions=3))
    told = {}
    for last_step_at in (0.0, rang_at - 1, rang_at + 1):
        known = Recalled(sections={"learned": learned, "session": Session(updated_at=last_step_at)})
        commands, _ = drive([said("large", {"city": "Oslo"})], recalled=known)
        told[last_step_at] = [c.facts for c in commands if isinstance(c, Note) and c.event == "drift"]
    assert told == {0.0: [{"models": ("small",)}], rang_at - 1: [{"models": ("small",)}], rang_at + 1: []}


def test_a_step_outside_a_thread_is_not_told_of_drift_each_time():
    learned = Learned(drift={"small": Drift(frozen_until=60, alarms=1, at=1.0)}, ledger=Ledger(decisions=3))
    commands, _ = drive([said("large", {"city": "Oslo"})], recalled=Recalled(sections={"learned": learned}))
    assert "drift" not in {c.event for c in commands if isinstance(c, Note)}


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
        for reply in (None, Embedded(), Recalled(), None):
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


def step_through(setting, answer, step=STEP, ask=ASK, conditions=None, *, waits=True):
    """All commands of a flow and its outcome; `answer` replies to reservations and calls."""
    flow, commands, reply = run_step(step, ask, setting), [], None
    recalled = Recalled(sections={} if conditions is None else {"health": conditions})
    while True:
        try:
            commands.append(flow.send(reply))
        except StopIteration as end:
            return commands, end.value
        match commands[-1]:
            case Embed():
                reply = Embedded()
            case Recall():
                reply = recalled
            case Wait():
                reply = waits
            case Reserve() | Call() | Race():
                reply = answer(commands[-1])
            case _:
                reply = None


def test_a_step_that_has_no_time_left_ends_without_a_call_and_without_an_error_of_ours():
    late = replace(STEP, place=Place(deadline_seconds=0.0))
    commands, outcome = step_through(SETTING, lambda _: Granted(), late)
    assert outcome.gave_up.why == "deadline"
    assert not any(isinstance(c, Reserve | Call) for c in commands)


KNOWN = Health(breaker=Breaker(answers=100, usual_seconds=0.5, recent_seconds=0.5))
EARNED = Conditions(deployments={"small": KNOWN, "large": KNOWN}, hedges=HedgeBudget(calls=50))
PLAIN = Ask(messages=(HumanMessage("Weather in Oslo?"),))
CHAT = Step(id="step-1", kind=StepKind.CHAT)
THIRD = replace(LARGE, name="third", price=Price(input=9, output=99))
HEDGING = Setting(cards=(LARGE, SMALL, THIRD), policy=Policy(hedge=True, patience_seconds=0, max_attempts=2))


def spoken(call, **fields):
    return Attempt(id=call.id, model=call.model, answer=Answer(text="Rain.", finish="stop"), **fields)


def broken(call, **fields):
    failure = Failure(kind=FailureKind.UNAVAILABLE, phase=Phase.BEFORE_FIRST_TOKEN, model=call.model)
    return Attempt(id=call.id, model=call.model, failure=failure, **fields)


def race_with(attempts, setting=HEDGING):
    """A flow whose race brings what `attempts` makes of its two calls."""

    def answer(command):
        match command:
            case Race():
                return attempts(*command.calls)
            case Reserve():
                return Granted()
            case _:
                return spoken(command)

    return step_through(setting, answer, CHAT, PLAIN, EARNED)


def test_the_first_call_of_a_race_answers_though_the_second_failed_while_it_was_slow():
    more = replace(HEDGING, policy=Policy(hedge=True))
    commands, outcome = race_with(lambda one, two: (spoken(one, shown="Rain."), broken(two)), more)
    assert outcome.answered_by.model == "small"
    assert not any(isinstance(c, Call) for c in commands)


def test_a_race_in_which_both_failed_ends_with_both_told():
    _, outcome = race_with(lambda one, two: (broken(one), broken(two)))
    assert [a.model for a in outcome.attempts] == ["small", "large"]
    assert outcome.gave_up.why == "exhausted"


def test_a_second_call_that_was_not_started_leaves_its_name_to_nobody_else():
    def answer(command):
        match command:
            case Race(calls=(one, _)):
                return (broken(one),)
            case Reserve():
                return Granted()
            case _:
                return spoken(command)

    commands, outcome = step_through(replace(HEDGING, policy=Policy(hedge=True)), answer, CHAT, PLAIN, EARNED)
    names = [c.claim.reservation for c in commands if isinstance(c, Reserve)]
    assert len(names) == len(set(names))
    assert outcome.progress.unused == tuple(name for name in names if name not in {a.id for a in outcome.attempts})


REFUSALS = st.builds(
    lambda by, until, fallback: (
        lambda model: Refused(by=by, name="daily", why="…", until=until, fallback=fallback if by == "budget" else None)
    ),
    st.sampled_from(["budget", "limit", "breaker"]),
    st.sampled_from([None, 0.0, 3.0, 900.0]),
    st.sampled_from([None, "m0", "m3", "m6"]),
)
GRANTS = st.one_of(st.just(lambda _: Granted()), st.just(lambda _: Granted(is_probe=True)), REFUSALS)
FLEET = tuple(replace(LARGE, name=f"m{i}", tier=tier) for i, tier in enumerate([*Tier, *Tier]))


def in_turn(makers):
    """Gives one after the other, and begins anew."""
    turn = itertools.cycle(makers)
    return lambda model: next(turn)(model)


@settings(max_examples=300)
@given(
    st.lists(ATTEMPTS, min_size=1, max_size=6),
    st.lists(GRANTS, min_size=1, max_size=4),
    st.integers(1, 6),
    st.booleans(),
)
def test_whatever_happens_a_step_is_settled_once_after_few_calls_with_names_of_their_own(makers, grants, limit, plain):
    setting = Setting(cards=FLEET, policy=Policy(max_attempts=limit, hedge=True))
    conditions = Conditions(deployments={c.name: KNOWN for c in FLEET}, hedges=HedgeBudget(calls=500))
    attempt, grant = in_turn(makers), in_turn(grants)

    made = []

    def said_by(*calls):
        """One attempt for each call; of two at once one at most has shown anything."""
        attempts = [replace(attempt(call.model), id=call.id) for call in calls]
        attempts[1:] = [broken(call) for call in calls[1:]]
        made.extend(attempts)
        return tuple(attempts)

    def answer(command):
        match command:
            case Race():
                return said_by(*command.calls[: len(made) % 2 + 1])
            case Reserve():
                return grant(command.claim.model)
            case _:
                return said_by(command)[0]

    commands, outcome = step_through(setting, answer, CHAT, PLAIN if plain else ASK, conditions)
    assert len(made) <= limit
    assert len(commands) < 1_000
    names = [c.claim.reservation for c in commands if isinstance(c, Reserve)]
    assert len(names) == len(set(names))
    assert sum(c.seconds for c in commands if isinstance(c, Wait)) <= 20.0
    assert [type(c) for c in commands].count(Settle) == 1
    assert isinstance(commands[-1], Settle)
    assert (outcome.answered_by is None) != (outcome.gave_up is None)
    assert not any(a.shown for a in outcome.attempts[:-1])


def test_a_consumer_that_goes_away_in_a_wait_is_told_to_nobody_and_settled():
    waiting = Refused(by="breaker", name="small", why="…", until=5.0)

    def answer(command):
        return waiting if isinstance(command, Reserve) else None

    commands, outcome = step_through(Setting(cards=(SMALL,), policy=Policy()), answer, waits=False)
    assert outcome.gave_up.why == "cancelled"
    assert [type(c) for c in commands[-2:]] == [Wait, Settle]
