from __future__ import annotations

from dataclasses import replace

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.memory.labels import Source
from steprouter.memory.recall import Recalled
from steprouter.memory.remember import Ended, Remembrance, remember
from steprouter.memory.session import Decided, Session
from steprouter.models.card import Price
from steprouter.models.cost import Usage
from steprouter.step.ask import Ask
from steprouter.step.read import read_step
from steprouter.step.step import Place, Step

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
