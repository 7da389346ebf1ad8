"""The in-process model: what arrives, what is recorded, how it fails."""

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool

from steprouter.testing import (
    FrozenClock,
    HangUp,
    Reply,
    ScriptedChatModel,
    SimulatedError,
    Usage,
    call,
    fail,
    say,
)


@tool
def search(query: str) -> str:
    """Look something up."""
    return query


def gather(heard: list[AIMessageChunk], model: ScriptedChatModel) -> None:
    for chunk in model.stream("Hello"):
        heard.append(chunk)  # noqa: PERF402  # what came before an error must be kept


def test_chunks_arrive_word_by_word_and_the_last_tells_the_rest() -> None:
    usage = Usage(input_tokens=10, output_tokens=3, cached_tokens=8, reasoning_tokens=1)
    model = ScriptedChatModel(say("one two", usage=usage), model_name="small")
    opening, *words, last = model.stream("Hello")
    assert [chunk.content for chunk in (opening, *words)] == ["", "one", " two"]
    assert (last.content, last.chunk_position) == ("", "last")
    assert last.response_metadata == {
        "model_name": "small",
        "model_provider": "scripted",
        "finish_reason": "stop",
    }
    assert last.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 3,
        "total_tokens": 13,
        "input_token_details": {"cache_read": 8},
        "output_token_details": {"reasoning": 1},
    }


async def test_all_four_ways_of_asking_give_the_same_answer() -> None:
    model = ScriptedChatModel(say("Let me look.").calling("search", query="cats"))
    streamed = AIMessageChunk(content="")
    for chunk in model.stream("Hello"):
        streamed += chunk
    astreamed = AIMessageChunk(content="")
    async for chunk in model.astream("Hello"):
        astreamed += chunk
    answers = [model.invoke("Hello"), await model.ainvoke("Hello"), streamed, astreamed]
    assert {answer.text for answer in answers} == {"Let me look."}
    assert [answer.tool_calls[0]["args"] for answer in answers] == [{"query": "cats"}] * 4
    assert [answer.response_metadata["finish_reason"] for answer in answers] == ["tool_calls"] * 4


@pytest.mark.parametrize("raw", ['{"query": "ca', "[]", "cats"])
async def test_broken_arguments_in_a_whole_answer_are_an_invalid_call(raw: str) -> None:
    model = ScriptedChatModel(call("search", raw))
    for answer in (model.invoke("Hello"), await model.ainvoke("Hello")):
        assert answer.tool_calls == []
        assert [made["args"] for made in answer.invalid_tool_calls] == [raw]


def test_broken_arguments_in_a_stream_are_guessed_by_langchain() -> None:
    """The trap that a router must not fall into, kept here to see that it can be set."""
    merged = AIMessageChunk(content="")
    for chunk in ScriptedChatModel(call("delete", path="/home/bob/old").cut(after_chunks=3)).stream("Hello"):
        merged += chunk
    assert [made["args"] for made in merged.tool_calls] == [{"path": "/home/"}]


def test_reasoning_shows_as_a_block_of_its_own() -> None:
    answer = ScriptedChatModel(say("Four.", reasoning="Two and two")).invoke("2 + 2?")
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
    assert answer.content == "Four."


def test_every_call_is_recorded_in_openai_shapes() -> None:
    model = ScriptedChatModel([call("search", query="x"), say("Found.")], temperature=0.2)
    bound = model.bind_tools([search], tool_choice="any")
    first = bound.invoke("Look up x")
    result = ToolMessage("it is y", tool_call_id=first.tool_calls[0]["id"] or "")
    bound.invoke([HumanMessage("Look up x"), first, result], stop=["END"])
    assert [request.call for request in model.calls] == [1, 2]
    asked = model.calls[1]
    assert [message["role"] for message in asked.messages] == ["user", "assistant", "tool"]
    assert asked.tools[0]["function"]["name"] == "search"
    assert (asked.tool_choice, asked.stop, asked.temperature) == ("required", ("END",), 0.2)


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ("auto", "auto"),
        ("any", "required"),
        (True, "required"),
        ("none", "none"),
        ("search", {"type": "function", "function": {"name": "search"}}),
    ],
)
def test_any_tool_choice_is_bound_as_openai_writes_it(given: Any, bound: Any) -> None:
    binding = ScriptedChatModel(say("x")).bind_tools([search], tool_choice=given)
    assert isinstance(binding, RunnableBinding)
    assert binding.kwargs["tool_choice"] == bound
    assert binding.kwargs["tools"][0]["type"] == "function"


async def test_a_rejection_is_raised_with_status_code_and_headers() -> None:
    model = ScriptedChatModel(fail(429, retry_after_seconds=3))
    with pytest.raises(SimulatedError, match="429 - Rate limit") as raised:
        await model.ainvoke("Hello")
    assert (raised.value.status_code, raised.value.code) == (429, "rate_limit_exceeded")
    assert raised.value.response.headers == {"retry-after": "3"}
    assert raised.value.body["type"] == "rate_limit_error"


@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_given_exception_is_raised_after_so_many_chunks(after: int) -> None:
    error = ValueError("broken")
    model = ScriptedChatModel(say("one two three").raising(error, after_chunks=after))
    heard: list[AIMessageChunk] = []
    with pytest.raises(ValueError, match="broken") as raised:
        gather(heard, model)
    assert raised.value is error
    assert len([chunk for chunk in heard if chunk.text]) == min(after, 3)
    with pytest.raises(ValueError, match="broken"):
        model.invoke("Hello")


def test_a_cut_stream_just_ends_without_reason_and_usage() -> None:
    chunks = list(ScriptedChatModel(say("one two three").cut(after_chunks=2)).stream("Hello"))
    assert "".join(chunk.text for chunk in chunks) == "one two"
    assert all(not chunk.response_metadata and not chunk.usage_metadata for chunk in chunks)


@pytest.mark.parametrize("reply", [say("one two").cut(after_chunks=1, how="reset"), Reply(fault=HangUp())])
def test_a_broken_connection_is_an_os_error_in_process(reply: Reply) -> None:
    with pytest.raises(ConnectionResetError):
        list(ScriptedChatModel(reply).stream("Hello"))


async def test_slow_replies_wait_on_the_clock_they_are_given() -> None:
    clock = FrozenClock()
    slow = say("one two three").slowly(first_token_seconds=2.0, seconds_per_chunk=0.5)
    model = ScriptedChatModel(slow, clock=clock)
    model.invoke("Hello")
    async for _ in model.astream("Hello"):
        pass
    assert clock.slept == (2.0, 0.5, 0.5, 2.0, 0.5, 0.5)


def test_profile_and_name_are_what_others_read_from_a_model() -> None:
    model = ScriptedChatModel(say("x"), model_name="small", profile={"max_input_tokens": 8192})
    assert (model.profile or {})["max_input_tokens"] == 8192
    params = model._get_ls_params()
    assert (params["ls_provider"], params["ls_model_name"]) == ("scripted", "small")
    assert model.invoke("Hello", model="other").response_metadata["model_name"] == "other"


def test_limits_of_the_model_shorten_its_answers() -> None:
    model = ScriptedChatModel(say("one two three four"), max_tokens=2)
    assert model.invoke("Hello").response_metadata["finish_reason"] == "length"
    assert model.invoke("Hello", max_tokens=50).text == "one two three four"
    assert ScriptedChatModel(say("one two"), stop=["two"]).invoke("Hello").text == "one "
