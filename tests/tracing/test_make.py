"""The trace of a step: figures and reasons, no content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.check import problems
from steprouter.answering.claims import Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.progress import Progress
from steprouter.memory.recall import Recalled
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.models.cost import Usage, cost_usd
from steprouter.routing.decide import decide
from steprouter.routing.decision import Candidate, Decision
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Needs, Place, Step, StepKind
from steprouter.tracing.archive import store_trace
from steprouter.tracing.make import answering_seconds, make_trace
from steprouter.tracing.record import AttemptRecord, CandidateRecord, FailureRecord, PassedRecord

PRICES = {"small": Price(input=1, output=2), "large": Price(input=5, output=25), "unpriced": None}
STEP = Step(
    id="s-1",
    kind=StepKind.TOOL_CALL,
    kind_from="tools are bound",
    place=Place(thread="t-1", node="agent", graph_step=3, task="task", tenant="acme"),
    needs=Needs(input_tokens=900),
    started_at=1_000.0,
)
SMALL = Candidate(model="small", tier=Tier.LOW, kept=True, reason="cheapest", expected_usd=0.001)
LARGE = Candidate(model="large", tier=Tier.HIGH, kept=False, reason="cannot call tools")
DECISION = Decision(candidates=(SMALL, LARGE), reason="small: cheapest", rule="r", reference="large")
USAGE = Usage(input_tokens=1_000, output_tokens=100)


def answered(model, usage=USAGE, **fields):
    return Attempt(model=model, answer=Answer(text="Hi", finish="stop"), usage=usage, **fields)


def failed(model, usage=USAGE, **fields):
    failure = Failure(
        kind=FailureKind.BROKEN_STREAM, phase=Phase.IN_TEXT, model=model, status=200, code="x", text="cut"
    )
    return Attempt(model=model, failure=failure, usage=usage, **fields)


def traced(*attempts, decision=DECISION, seconds=1.0, **fields):
    given = attempts[-1] if attempts and attempts[-1].answer else None
    fields = {"answered_by": given, "outcome": "sufficient", "prices": PRICES, **fields}
    return make_trace(STEP, decision, Progress(events=tuple(attempts)), seconds=seconds, **fields)


def test_a_trace_says_where_what_and_why():
    trace = traced(answered("small"), degraded=("store: away",))
    assert (trace.step_id, trace.started_at, trace.tenant, trace.thread) == ("s-1", 1_000.0, "acme", "t-1")
    assert (trace.node, trace.graph_step, trace.task) == ("agent", 3, "task")
    assert (trace.kind, trace.kind_from, trace.input_tokens) == ("tool_call", "tools are bound", 900)
    assert (trace.model, trace.outcome, trace.reason, trace.rule) == ("small", "sufficient", "small: cheapest", "r")
    assert trace.degraded == ("store: away",)
    assert trace.candidates == (
        CandidateRecord(model="small", tier="low", kept=True, reason="cheapest", expected_usd=0.001),
        CandidateRecord(model="large", tier="high", kept=False, reason="cannot call tools"),
    )


def test_an_attempt_is_kept_as_figures_and_reasons():
    usage = Usage(input_tokens=1_000, output_tokens=100, cache_read_tokens=600, cache_write_tokens=200, estimated=True)
    times = {"began_seconds": 0.1, "seconds": 0.5, "first_token_seconds": 0.2}
    attempt = answered("small", usage, why="cheapest", problems=("cut off",), shown="Hi", **times)
    assert traced(attempt).attempts == (
        AttemptRecord(
            model="small",
            why="cheapest",
            **times,
            input_tokens=1_000,
            output_tokens=100,
            cache_read_tokens=600,
            cache_write_tokens=200,
            estimated=True,
            cost_usd=cost_usd(usage, PRICES["small"]),
            finish="stop",
            problems=("cut off",),
            shown_characters=2,
        ),
    )


def test_a_failure_is_kept_with_its_kind_phase_status_code_and_words():
    record = traced(failed("small")).attempts[0]
    assert record.failure == FailureRecord(kind="broken_stream", phase="in_text", status=200, code="x", text="cut")
    assert record.finish is None


@pytest.mark.parametrize(
    ("attempts", "cost", "reference", "saved"),
    [
        ([answered("small")], 0.0012, 0.0075, 0.0063),
        ([answered("large")], 0.0075, 0.0075, 0.0),
        ([failed("small"), answered("large")], 0.0087, 0.0075, -0.0012),
        ([failed("small", Usage()), answered("large")], 0.0075, 0.0075, 0.0),
        ([answered("small"), answered("large")], 0.0087, 0.0075, -0.0012),
        ([failed("small")], 0.0012, None, None),
        ([answered("unpriced")], None, 0.0075, None),
        ([failed("unpriced"), answered("small")], None, 0.0075, None),
        ([answered("gone")], None, 0.0075, None),
        ([], 0.0, None, None),
    ],
)
def test_all_attempts_are_billed_and_the_saving_has_its_honest_sign(attempts, cost, reference, saved):
    trace = traced(*attempts)
    assert trace.cost_usd == pytest.approx(cost)
    assert trace.reference_cost_usd == pytest.approx(reference)
    assert trace.saved_usd == pytest.approx(saved)


@pytest.mark.parametrize("reference", [None, "unpriced", "gone"])
def test_nothing_is_said_to_be_saved_against_a_reference_of_unknown_price(reference):
    decision = Decision(candidates=(SMALL,), reason="…", reference=reference)
    trace = traced(answered("small"), decision=decision)
    assert (trace.reference_cost_usd, trace.saved_usd) == (None, None)


@pytest.mark.parametrize(("seconds", "router"), [(1.0, 0.2), (0.8, 0.0), (0.7, 0.0)])
def test_the_routers_own_time_is_what_no_attempt_took_and_never_negative(seconds, router):
    trace = traced(failed("small", seconds=0.3), answered("large", seconds=0.5, began_seconds=0.3), seconds=seconds)
    assert trace.router_seconds == pytest.approx(router)


def test_the_answer_is_the_last_finished_attempt_of_the_model_that_answered():
    trace = traced(failed("small"), answered("large"))
    assert trace.answer == trace.attempts[1]
    assert traced(failed("small")).answer is None
    assert (trace.input_tokens_billed, trace.output_tokens_billed) == (2_000, 200)


SECRET = "4111-1111"
PARAMETERS = {"type": "object", "properties": {"pin": {"type": "integer"}}, "additionalProperties": {"type": "null"}}


def step_full_of_secrets():
    """A call with a secret wherever a call can hold one."""
    call = {"name": "pay", "args": {"pin": SECRET}, "id": SECRET}
    conversation = (
        HumanMessage([{"type": "text", "text": SECRET}], name=SECRET),
        AIMessage(SECRET, tool_calls=[call], response_metadata={"steprouter": {"model": SECRET}}),
        ToolMessage(SECRET, tool_call_id=SECRET, status="error", artifact=SECRET),
    )
    tools = Toolset.of([{"name": "pay", "description": SECRET, "parameters": PARAMETERS}])
    ask = Ask(messages=conversation, tools=tools, stop=(SECRET,), settings={"user": SECRET})
    place = Place(thread="t", user=SECRET, tags=frozenset({SECRET}), metadata={"a": SECRET, SECRET: 1})
    return ask, read_step(ask, place, step_id="s", started_at=0.0)


def answer_full_of_secrets():
    """An answer with three broken calls and a secret in each."""
    said = [{"pin": SECRET}, {SECRET: 1}, None]
    calls = tuple(ToolCall(id=SECRET, name="pay", args=args, raw=SECRET) for args in said)
    return Answer(text=SECRET, tool_calls=calls, finish="stop", details={"id": SECRET})


def test_nothing_of_a_conversation_or_an_answer_is_in_a_trace():
    (ask, step), answer = step_full_of_secrets(), answer_full_of_secrets()
    card = ModelCard(name="small", model="openai:s", settings={"a": SECRET}, tags=frozenset({SECRET}))
    decision = decide(step, [card], Policy(), Recalled())
    attempt = Attempt(model="small", answer=answer, shown=SECRET, problems=problems(answer, ask))
    assert len(attempt.problems) == 3
    trace = make_trace(
        step, decision, Progress(events=(attempt,)), answered_by=attempt, outcome="…", prices=PRICES, seconds=1.0
    )
    assert SECRET not in trace.model_dump_json()
    assert SECRET.encode() not in store_trace(trace).payload


def raced(*attempts, waited=0.0, seconds):
    progress = Progress(events=tuple(attempts), waited_seconds=waited)
    return make_trace(
        STEP, DECISION, progress, answered_by=None, outcome="exhausted", prices=PRICES, seconds=seconds
    ).router_seconds


def test_calls_that_ran_at_once_and_waits_are_not_the_routers_time():
    first, second = failed("small", began_seconds=0.1, seconds=3.0), answered("large", began_seconds=1.1, seconds=1.5)
    assert raced(first, second, seconds=3.3) == pytest.approx(0.3)
    after = failed("small", began_seconds=5.0, seconds=1.0)
    assert raced(first, second, after, waited=1.5, seconds=6.2) == pytest.approx(0.7)


SECONDS = st.floats(0, 100)
RUNS = st.lists(st.tuples(SECONDS, SECONDS), max_size=5)


@given(RUNS, SECONDS, SECONDS)
def test_the_routers_time_is_never_negative_and_never_more_than_the_steps(runs, waited, seconds):
    attempts = [failed("small", began_seconds=began, seconds=lasted) for began, lasted in runs]
    assert 0.0 <= raced(*attempts, waited=waited, seconds=seconds) <= seconds


@given(RUNS)
def test_the_time_models_were_heard_is_the_time_that_any_of_them_was(runs):
    attempts = [failed("small", began_seconds=began, seconds=lasted) for began, lasted in runs]
    heard = answering_seconds(attempts)
    assert heard == pytest.approx(answering_seconds(attempts[::-1]))
    longest = max((lasted for _, lasted in runs), default=0.0)
    assert longest - 1e-9 <= heard <= sum(lasted for _, lasted in runs) + 1e-9


def test_who_could_not_be_asked_is_in_the_trace_with_when_and_why():
    spent = Refused(by="budget", name="daily", why="budget 'daily' is used up")
    progress = Progress(elapsed_seconds=0.5).after_refusal("large", spent)
    trace = make_trace(STEP, DECISION, progress, answered_by=None, outcome="exhausted", prices=PRICES, seconds=1.0)
    assert trace.passed == (PassedRecord(model="large", by="budget", why="budget 'daily' is used up", at_seconds=0.5),)
