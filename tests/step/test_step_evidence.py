"""What earlier steps left in a conversation."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.step.ask import Ask
from steprouter.step.read import read_evidence, read_step
from steprouter.step.step import Evidence, Place, Verdict
from steprouter.step.text import STEP_TEXT_CHARACTERS

HI = HumanMessage("Hi")
OK = ToolMessage("ok", tool_call_id="1")
BAD = ToolMessage("no such file", tool_call_id="1", status="error")


def called(*args_of_calls, name="f"):
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"} for args in args_of_calls])


CALL = called({})


def test_an_empty_conversation_leaves_no_evidence():
    assert read_evidence([]) == Evidence()


def test_evidence_counts_turns_and_the_results_since_the_last_of_them():
    messages = [SystemMessage("s"), HI, called({"a": 1}), OK, OK, HI, called({"a": 2}), OK]
    expected = Evidence(turns=2, last_role="tool", tool_results=1, verdict=Verdict(step_id=None, good=1.0))
    assert read_evidence(messages) == expected


@pytest.mark.parametrize(
    ("messages", "errors"),
    [
        ([HI, CALL, OK], 0),
        ([HI, CALL, BAD], 1),
        ([HI, CALL, BAD, CALL, BAD], 2),
        ([HI, CALL, BAD, AIMessage("hm"), CALL, BAD], 2),
        ([HI, CALL, BAD, CALL, OK], 0),
        ([HI, CALL, BAD, CALL, OK, CALL, BAD], 1),
        ([HI, called({}, {}), BAD, BAD], 1),
        ([HI, called({}, {}), OK, BAD], 0),
        ([HI, CALL, BAD, HI, CALL, BAD], 1),
        ([BAD], 1),
        ([HI, CALL, BAD, AIMessage("I give up")], 1),
    ],
)
def test_errors_in_a_row_are_rounds_at_the_end_in_which_every_result_failed(messages, errors):
    assert read_evidence(messages).consecutive_errors == errors


@pytest.mark.parametrize(
    ("messages", "repeated"),
    [
        ([HI, called({"a": 1}), OK], False),
        ([HI, called({"a": 1}), OK, called({"a": 2}), OK], False),
        ([HI, called({"a": 1}), OK, called({"a": 1}), OK], True),
        ([HI, called({"a": 1, "b": 2}), OK, called({"b": 2, "a": 1}), OK], True),
        ([HI, called({"a": 1}), OK, called({"a": 2}), OK, called({"a": 1}), OK], True),
        ([HI, called({"a": 1}), OK, called({"a": 1}, name="g"), OK], False),
        ([HI, called({"a": 1}), OK, called({"a": 2}, {"a": 1}), OK, OK], True),
        ([HI, called({"a": 1}, {"a": 1}), OK, OK], False),
        ([HI, called({"a": 1}), OK, HI, called({"a": 1}), OK], False),
    ],
)
def test_a_call_is_repeated_when_an_earlier_round_since_the_last_turn_made_it(messages, repeated):
    assert read_evidence(messages).repeated_call is repeated


@pytest.mark.parametrize("args", [{"a": {1: "x", "b": "y"}}, {"a": {(1, 2): "x"}}, {"a": {1, 2}}, {"a": "\ud800"}])
def test_arguments_that_json_cannot_hold_are_compared_all_the_same(args):
    assert read_evidence([HI, called(args), OK, called(args), OK]).repeated_call
    assert not read_evidence([HI, called({"a": 1}), OK, called(args), OK]).repeated_call


@pytest.mark.parametrize(
    ("metadata", "model"),
    [({"steprouter": {"model": "small"}}, "small"), ({"steprouter": "odd"}, None), ({"model_name": "x"}, None)],
)
def test_the_last_model_is_the_one_a_router_wrote_on_the_last_ai_message(metadata, model):
    messages = [AIMessage("a", response_metadata={"steprouter": {"model": "older"}}), HI]
    assert read_evidence([*messages, AIMessage("b", response_metadata=metadata), OK]).last_model == model


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([SystemMessage("be kind"), HumanMessage("Weather?"), CALL, OK], "Weather?"),
        ([SystemMessage("be kind")], "be kind"),
        ([HumanMessage([{"type": "text", "text": "See: "}, {"type": "image", "url": "http://x"}])], "See: "),
        ([HumanMessage("x" * 10_000_000)], "x" * STEP_TEXT_CHARACTERS),
        ([HumanMessage("\ud800")], "\ud800"),
        ([], ""),
    ],
)
def test_the_text_of_a_step_is_the_beginning_of_what_a_human_said_last(messages, text):
    step = read_step(Ask(messages=tuple(messages)), Place(), step_id="s", started_at=1.0)
    assert step.text == text


SIGNED = {"type": "thinking", "thinking": "Which town?", "signature": "EuYB…"}
CALLED = {"name": "weather", "args": {"city": "Bern"}, "id": "c1"}
RESULT = ToolMessage("sunny", tool_call_id="c1")


@pytest.mark.parametrize(
    ("turn", "after", "holds"),
    [
        (AIMessage([SIGNED], tool_calls=[CALLED]), [RESULT], True),
        (AIMessage([{"type": "reasoning", "id": "rs_1"}], tool_calls=[CALLED]), [RESULT], True),
        (
            AIMessage("", additional_kwargs={"__gemini_function_call_thought_signatures__": {}}, tool_calls=[CALLED]),
            [RESULT],
            True,
        ),
        (AIMessage("", tool_calls=[CALLED]), [RESULT], False),
        (AIMessage([SIGNED], tool_calls=[CALLED]), [RESULT, HumanMessage("and in Basel?")], False),
        (AIMessage([SIGNED, {"type": "text", "text": "Sunny."}]), [], False),
    ],
)
def test_a_turn_with_thoughts_is_held_while_its_tools_results_are_answered(turn, after, holds):
    messages = [HumanMessage("weather?"), turn, *after]
    assert read_evidence(messages).holds_thoughts is holds
