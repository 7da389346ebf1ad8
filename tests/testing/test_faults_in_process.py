"""The faults a model in process can play, and the ones it refuses."""

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from steprouter.testing import (
    BrokenArguments,
    ContentFilter,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    FaultPlan,
    FrozenClock,
    Garbage,
    HugeChunk,
    InvalidUtf8,
    Rejection,
    ScriptedChatModel,
    SimulatedError,
    SimulatedStreamError,
    Slow,
    SplitUtf8,
    Stall,
    WrongTool,
    call,
    say,
)


def words(model: ScriptedChatModel) -> list[str]:
    return [chunk.text for chunk in model.stream("Hello") if chunk.text]


def test_an_error_event_raises_after_its_chunks_without_a_status() -> None:
    model = ScriptedChatModel(say("one two").failing(ErrorEvent(after_chunks=1, code="overloaded", message="Busy")))
    heard: list[AIMessageChunk] = []
    with pytest.raises(SimulatedStreamError, match="Busy") as caught:
        heard.extend(model.stream("Hello"))
    assert (caught.value.code, hasattr(caught.value, "status_code")) == ("overloaded", False)


def test_without_a_stream_an_error_event_has_a_status() -> None:
    model = ScriptedChatModel(say("one two").failing(ErrorEvent(code="overloaded")))
    with pytest.raises(SimulatedError) as caught:
        model.invoke("Hello")
    assert caught.value.status_code == 529


def test_a_filter_refuses_the_prompt_or_stops_the_answer() -> None:
    model = ScriptedChatModel([say("one two").failing(ContentFilter(after_chunks=1)), say("").failing(ContentFilter())])
    answer = model.invoke("Hello")
    assert (answer.text, answer.response_metadata["finish_reason"]) == ("one", "content_filter")
    with pytest.raises(SimulatedError) as caught:
        model.invoke("Hello")
    assert (caught.value.status_code, caught.value.code) == (400, "content_filter")


def test_tools_are_wrong_and_arguments_broken_as_on_a_wire() -> None:
    model = ScriptedChatModel([say("x").failing(WrongTool()), call("search", query="x").failing(BrokenArguments())])
    assert [made["name"] for made in model.invoke("Hello").tool_calls] == ["tool_that_was_not_offered"]
    assert [made["args"] for made in model.invoke("Hello").invalid_tool_calls] == ['{"query": "x"']


def test_chunks_may_be_doubled_huge_or_slow() -> None:
    clock = FrozenClock()
    slow = Slow(first_token_seconds=3, seconds_per_chunk=1)
    replies = [say("one two").failing(fault) for fault in (Duplicate(chunk=9), HugeChunk(characters=20), slow)]
    model = ScriptedChatModel(replies, clock=clock)
    assert [words(model) for _ in replies] == [["one", " two", " two"], ["one twoone twoone tw"], ["one", " two"]]
    assert clock.slept == (3, 1)


def test_a_plan_counts_the_models_own_calls() -> None:
    model = ScriptedChatModel(say("one"), faults=FaultPlan.every(2, Rejection(status=503)))
    assert model.invoke("Hello").text == "one"
    with pytest.raises(SimulatedError):
        model.invoke("Hello")


@pytest.mark.parametrize(
    "fault",
    [CutAtByte(at_byte=1), Stall(), Garbage(), InvalidUtf8(), SplitUtf8()],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_that_needs_a_wire_is_refused_at_construction(fault: Any) -> None:
    reply = say("one").failing(fault)
    for given in ({"script": reply}, {"script": [say("x"), reply]}, {"faults": FaultPlan.every(2, fault)}):
        with pytest.raises(ValueError, match=f"need no wire, got {type(fault).__name__}"):
            ScriptedChatModel(**given)
    with pytest.raises(ValueError, match="need no wire"):
        ScriptedChatModel(lambda request: reply).invoke("Hello")
