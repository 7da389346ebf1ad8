from __future__ import annotations

from dataclasses import replace

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.memory.labels import Source
from steprouter.memory.learned import Learned
from steprouter.memory.recall import Recalled
from steprouter.memory.remember import Ended, Remembrance, remember
from steprouter.memory.session import Decided, Session
from steprouter.memory.verifier import answered, prior
from steprouter.models.card import Price
from steprouter.models.cost import Usage
from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, Step, StepKind

KEY, NOW = b"key", 1_800_000_000.0
PRICES = {"small": Price(input=1.0, output=1.0), "large": Price(input=10.0, output=10.0)}
HI, QUESTION = HumanMessage("Where is my order?"), HumanMessage("Where is order 17?")


def step_of(*messages, task: str | None = "now", at: float = NOW, thread: str | None = "t") -> Step:
    place = Place(thread=thread, node="agent", task=task)
    return read_step(Ask(messages=tuple(messages)), place, step_id="now", started_at=at, key=KEY)


def ours(step_id: str, *calls: str) -> AIMessage:
    """A message that a router of ours wrote."""
    tool_calls = [{"name": name, "args": {}, "id": name} for name in calls]
    metadata = {"steprouter": {"step_id": step_id, "model": "small"}}
    return AIMessage("" if calls else "Answer", tool_calls=tool_calls, response_metadata=metadata)


def result(status: str = "success") -> ToolMessage:
    return ToolMessage("…", tool_call_id="look", status=status)


def said(text: str = "ok", *, model: str = "small", problems: tuple[str, ...] = (), calls=()) -> Attempt:
    answer = Answer(text=text, tool_calls=tuple(calls), finish="stop")
    return Attempt(model=model, answer=answer, problems=problems, usage=Usage(input_tokens=100, output_tokens=10))


def left_by(step: Step, *attempts: Attempt, session: Session | None = None) -> Remembrance:
    given = next((one for one in attempts if one.is_sufficient), None)
    recalled = Recalled(sections={} if session is None else {"session": session})
    return remember(Ended(step=step, attempts=attempts, answered_by=given, recalled=recalled), PRICES, KEY)


def before(step: Step, *, task: str | None = "earlier", until: float = NOW - 1) -> Session:
    """A session whose last step was this one, ended before now."""
    decided = left_by(step, said()).session.decided
    return Session(recent=(replace(decided, step_id="earlier", at=NOW - 2, until=until, task=task),))


def test_an_answer_leaves_an_outcome_under_its_steps_name():
    (outcome,) = left_by(step_of(HI), said()).outcomes
    assert (outcome.id, outcome.model, outcome.given, outcome.label.source) == (
        "now",
        "small",
        True,
        Source.NO_COMPLAINT,
    )


def test_an_insufficient_answer_is_a_failure_of_its_model_and_the_given_one_comes_first():
    given, refused = left_by(step_of(HI), said(problems=("empty answer",)), said(model="large")).outcomes
    assert (given.id, given.model) == ("now", "large")
    assert (refused.id, refused.model, refused.label.score, refused.given) == ("now#0", "small", 0.0, False)


def test_a_provider_that_failed_says_nothing_of_its_models_judgement():
    failure = Failure(kind=FailureKind.UNAVAILABLE, phase=Phase.BEFORE_FIRST_TOKEN, model="small", text="down")
    (only,) = left_by(step_of(HI), Attempt(model="small", failure=failure), said(model="large")).outcomes
    assert only.model == "large"


def test_a_tool_call_that_passed_its_checks_is_worth_more_than_mere_words():
    (outcome,) = left_by(step_of(HI), said("", calls=[ToolCall(id="1", name="look", args={}, raw="{}")])).outcomes
    assert outcome.label.source is Source.PASSED_CHECK


def test_the_session_learns_what_every_attempt_cost_and_which_prefix_is_warm():
    update = left_by(step_of(HI), said(problems=("empty answer",)), said(model="large")).session
    assert (update.escalated, update.decided.model) == (True, "large")
    assert round(update.decided.usd, 8) == 0.00121
    assert (update.warm.messages, update.warm.tokens, update.warm.until) == (1, 100, NOW + 300)


def test_outside_a_thread_there_is_no_session_and_nothing_is_digested():
    step = step_of(HI, thread=None)
    assert (left_by(step, said()).session, step.trail.prefixes) == (None, ())


def test_the_results_of_tools_label_the_step_that_called_them():
    step = step_of(HI, ours("caller", "look", "see"), result(), result("error"))
    (one,) = left_by(step, said()).labels
    assert (one.step_id, one.source, one.score) == ("caller", Source.TOOL, 0.5)


def test_where_the_message_does_not_say_who_called_the_session_does():
    step = step_of(HI, AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "look"}]), result("error"))
    session = Session(recent=(Decided(step_id="caller", at=NOW - 1, kind="chat", calls=("digest",)),))
    (one,) = left_by(step, said(), session=session).labels
    assert (one.step_id, one.score) == ("caller", 0.0)


def test_the_same_prompt_again_says_that_its_answer_was_not_taken():
    (one,) = left_by(step_of(HI), said(), session=before(step_of(HI))).labels
    assert (one.step_id, one.source, one.score) == ("earlier", Source.RETRY, 0.0)


def test_a_question_put_otherwise_says_the_same_of_the_first_one():
    asked, edited = step_of(HI, ours("first"), HI), step_of(HI, ours("first"), QUESTION)
    (one,) = left_by(edited, said(), session=before(asked)).labels
    assert one.step_id == "earlier"


def test_another_question_after_the_same_examples_takes_nothing_back():
    examples = (SystemMessage("Answer like this."), HumanMessage("2+2?"), AIMessage("4"))
    session = before(step_of(*examples, HI))
    assert left_by(step_of(*examples, QUESTION), said(), session=session).labels == ()


def test_a_task_that_runs_again_and_branches_side_by_side_are_no_complaint():
    assert left_by(step_of(HI), said(), session=before(step_of(HI), task="now")).labels == ()
    assert left_by(step_of(HI), said(), session=before(step_of(HI), until=NOW + 1)).labels == ()


def test_nothing_of_what_was_said_is_in_what_is_remembered():
    secret = "the launch code is 0000"
    left = left_by(step_of(HumanMessage(secret), ours("a"), HumanMessage(secret)), said(secret))
    assert secret not in repr(left)


def test_what_checks_let_pass_counts_as_a_success_as_far_as_they_find_what_is_wrong():
    """Of calls a schema refuses 42 % of the wrong ones, as long as nothing else is known; of mere words nothing."""
    call = ToolCall(id="c1", name="look", args={}, raw="{}")
    words, called = left_by(step_of(HI), said()), left_by(step_with_tools(), said("", calls=(call,)))
    assert round(called.outcomes[0].label.confidence, 2) == 0.42
    assert (words.outcomes[0].label.source, words.outcomes[0].label.confidence) == (Source.NO_COMPLAINT, 0.1)


def test_where_nobody_says_anything_refusals_and_passes_together_tell_how_often_a_model_is_right():
    """Checks that find 70 % of wrong answers and refuse 5 % of right ones, over an answerer who is right in 85 %."""
    success, detection, false_alarm, answers = 0.85, 0.7, 0.05, 400
    refused = (1 - success) * detection + success * false_alarm
    checks, right, wrong, owed = prior("tool_call"), 0.0, 0.0, 0.0
    for _ in range(answers):
        owed += refused
        is_refused, owed = owed >= 1, owed % 1
        learned = Learned(verifiers={"tool_call": checks})
        step, answer = step_with_tools(), said("?", problems=("broken",) if is_refused else ())
        ended = Ended(step=step, attempts=(answer,), answered_by=None, recalled=Recalled(sections={"learned": learned}))
        told = remember(replace(ended, expected={"small": success}), PRICES, KEY).outcomes[0].label
        right, wrong = right + told.confidence * told.score, wrong + told.confidence * (1 - told.score)
        checks = answered(checks, told, refused=is_refused, again=False)
    assert abs(right / (right + wrong) - success) < 0.05


def test_refusals_tell_of_drift_only_where_answers_that_pass_tell_of_it_too():
    refused = said("?", problems=("cut short",))
    expected = {
        step.kind: remember(
            Ended(step=step, attempts=(refused,), answered_by=None, recalled=Recalled(), expected={"small": 0.9}),
            PRICES,
            KEY,
        )
        .outcomes[0]
        .expected
        for step in (step_of(HI), step_with_tools())
    }
    assert expected == {StepKind.CHAT: None, StepKind.TOOL_CALL: 0.9}


def step_with_tools() -> Step:
    """A step at which tools are bound."""
    schema = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    ask = Ask(messages=(QUESTION,), tools=Toolset.of([schema]))
    return read_step(ask, Place(thread="t", node="agent"), step_id="now", started_at=NOW, key=KEY)
