"""Each fault as the real clients of each format meet it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from format_clients import FORMATS, STREAMED, WHOLE, ask, client, heard_until, heard_until_error
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from steprouter.testing import (
    BrokenArguments,
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Garbage,
    HangUp,
    HugeChunk,
    InvalidUtf8,
    Reply,
    Request,
    SimulatedProvider,
    Slow,
    SplitUtf8,
    Stall,
    Usage,
    WrongTool,
    call,
    fail,
    say,
)

every_format = pytest.mark.parametrize("wire", FORMATS)
every_way = pytest.mark.parametrize("way", [*WHOLE, *STREAMED])
streamed_ways = pytest.mark.parametrize("way", STREAMED)
whole_ways = pytest.mark.parametrize("way", WHOLE)


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": say("Hello to you")}, api_key="x") as provider:
        yield provider


@tool
def search(query: str) -> str:
    """Look something up."""
    return query


class Fact(BaseModel):
    """Something known."""

    subject: str
    certain: bool


def finish_of(answer: AIMessage) -> Any:
    """Why the answer ended, wherever its format says so."""
    told = answer.response_metadata
    incomplete = told.get("incomplete_details") or {}
    return told.get("finish_reason") or told.get("stop_reason") or incomplete.get("reason") or told.get("status")


@every_format
@every_way
async def test_text_and_usage_arrive_in_every_format(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("Grüße, 世界", usage=Usage(input_tokens=10, output_tokens=3, cached_tokens=8)))
    answer = await ask(client(wire, provider), way)
    assert answer.text == "Grüße, 世界"
    assert finish_of(answer) in ("stop", "completed", "end_turn")
    assert answer.usage_metadata is not None
    used = {name: answer.usage_metadata[name] for name in ("input_tokens", "output_tokens", "total_tokens")}
    assert used == {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    assert answer.usage_metadata["input_token_details"]["cache_read"] == 8
    assert provider.requests[-1].format == wire


@every_format
@every_way
async def test_several_tool_calls_arrive_in_every_format(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", call("search", query="cats").calling("search", query="dogs"))
    answer = await ask(client(wire, provider).bind_tools([search]), way)
    assert [(made["name"], made["args"]) for made in answer.tool_calls] == [
        ("search", {"query": "cats"}),
        ("search", {"query": "dogs"}),
    ]
    assert len({made["id"] for made in answer.tool_calls}) == 2
    request = provider.requests[-1]
    assert [tool["function"]["name"] for tool in request.tools] == ["search"]


@every_format
async def test_a_script_reads_the_same_history_in_every_format(provider: SimulatedProvider, wire: str) -> None:
    made = {"name": "search", "args": {"query": "cats"}, "id": "call_1"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage("Find cats."),
        AIMessage("Let me look.", tool_calls=[made]),
        ToolMessage("found", tool_call_id="call_1"),
        HumanMessage(
            [{"type": "text", "text": "And this?"}, {"type": "image", "base64": "AA==", "mime_type": "image/png"}]
        ),
    ]
    await ask(client(wire, provider).bind_tools([search], tool_choice="search"), "ainvoke", history)
    request = provider.requests[-1]
    assert [message["role"] for message in request.messages] == ["system", "user", "assistant", "tool", "user"]
    assert request.messages[2]["tool_calls"][0]["function"]["arguments"] == '{"query": "cats"}'
    assert (request.messages[3]["tool_call_id"], request.messages[3]["content"]) == ("call_1", "found")
    assert (request.prompt, request.image_count) == ("And this?", 1)
    assert request.tool_choice == {"type": "function", "function": {"name": "search"}}


@every_format
async def test_structured_output_comes_through_a_tool(provider: SimulatedProvider, wire: str) -> None:
    provider.play("small", call("Fact", subject="cats", certain=True))
    model = client(wire, provider).with_structured_output(Fact, method="function_calling")
    assert await model.ainvoke("Hello") == Fact(subject="cats", certain=True)


@every_format
@every_way
async def test_a_status_and_its_retry_after_reach_the_client(provider: SimulatedProvider, wire: str, way: str) -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    provider.play(
        "small",
        [fail(503), fail(429, retry_after_seconds=2), fail(429, retry_after=moment), fail(529, retry_after="soon")],
    )
    met = []
    for _ in range(4):
        with pytest.raises(Exception, match="Error code") as caught:
            await ask(client(wire, provider), way)
        error: Any = caught.value
        met.append((error.status_code, error.response.headers.get("retry-after")))
    assert met == [(503, None), (429, "2"), (429, "Thu, 01 Jan 2026 12:00:00 GMT"), (529, "soon")]


@every_format
async def test_a_prompt_too_long_is_told_in_the_formats_own_way(provider: SimulatedProvider, wire: str) -> None:
    provider.play("small", fail(400, code="context_length_exceeded"))
    with pytest.raises((ContextOverflowError, ModelInvalidRequestError)) as caught:
        await ask(client(wire, provider), "invoke")
    error: Any = caught.value
    code = "context_length_exceeded"
    assert isinstance(error, ContextOverflowError) if wire == "messages" else error.code == code


@every_format
@every_way
@pytest.mark.parametrize("how", ["drop", "reset"])
async def test_a_connection_that_ends_at_once_is_a_connection_error(
    provider: SimulatedProvider, wire: str, way: str, how: Any
) -> None:
    provider.play("small", say("").failing(HangUp(how=how)))
    with pytest.raises(ModelConnectionError):
        await ask(client(wire, provider), way)


@every_format
@streamed_ways
async def test_a_clean_end_without_finish_is_told_by_what_is_missing(
    provider: SimulatedProvider, wire: str, way: str
) -> None:
    provider.play("small", say("one two three").failing(Cut(after_chunks=2)))
    answer = await ask(client(wire, provider), way)
    assert (answer.text, finish_of(answer), answer.usage_metadata) == ("one two", None, None)


@every_format
@streamed_ways
async def test_a_reset_amid_the_stream_comes_after_the_words_before_it(
    provider: SimulatedProvider, wire: str, way: str
) -> None:
    provider.play("small", say("one two three").failing(Cut(after_chunks=2, how="reset")))
    text, error = await heard_until_error(client(wire, provider), way)
    assert (text, error is None) == ("one two", False)


@every_format
@whole_ways
async def test_a_whole_answer_may_break_off_at_a_byte(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two three").failing(CutAtByte(at_byte=40)))
    with pytest.raises(ModelConnectionError):
        await ask(client(wire, provider), way)


@every_format
@streamed_ways
async def test_a_stall_lasts_until_the_client_goes_away(provider: SimulatedProvider, wire: str, way: str) -> None:
    before = len(provider.abandoned)
    provider.play("small", say("one two three").failing(Stall(after_chunks=2)))
    assert await heard_until(client(wire, provider), way, "one two") == "one two"
    assert await asyncio.to_thread(provider.wait_abandoned, before + 1)  # the loop must run for a client to leave


@every_format
@every_way
async def test_a_provider_that_says_nothing_is_timed_out(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two three").failing(Stall()))
    with pytest.raises(ModelTimeoutError):
        await ask(client(wire, provider, timeout=0.1), way)


@every_format
@streamed_ways
@pytest.mark.parametrize("shape", ["error", "failed"])
async def test_an_error_event_raises_amid_the_stream(
    provider: SimulatedProvider, wire: str, way: str, shape: Any
) -> None:
    provider.play("small", say("one two three").failing(ErrorEvent(after_chunks=2, message="Dear me", shape=shape)))
    text, error = await heard_until_error(client(wire, provider), way)
    assert text == "one two"
    assert "Dear me" in str(error)


@every_format
@whole_ways
@pytest.mark.parametrize(("code", "status"), [("server_error", 500), ("overloaded", 529), ("rate_limit_exceeded", 429)])
async def test_without_a_stream_an_error_event_is_an_http_error(
    provider: SimulatedProvider, wire: str, way: str, code: str, status: int
) -> None:
    provider.play("small", say("one").failing(ErrorEvent(code=code)))
    with pytest.raises(Exception, match=f"Error code: {status}"):
        await ask(client(wire, provider), way)


@every_format
@streamed_ways
async def test_garbage_between_chunks_breaks_the_stream(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two three").failing(Garbage(after_chunks=2)))
    text, error = await heard_until_error(client(wire, provider), way)
    assert (text, type(error).__name__) == ("one two", "JSONDecodeError")


@every_format
@every_way
async def test_a_byte_that_is_no_utf8_is_an_error_or_a_replacement(
    provider: SimulatedProvider, wire: str, way: str
) -> None:
    """The clients decide; what matters is that the byte arrives."""
    provider.play("small", say("one two three").failing(InvalidUtf8(chunk=1)))
    try:
        answer = await ask(client(wire, provider), way)
    except (UnicodeDecodeError, ValueError):
        return
    assert "\ufffd" in answer.text


@every_format
@every_way
async def test_split_characters_are_read_as_they_were_said(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("Grüße 世界 🎉 plain").failing(SplitUtf8()))
    answer = await ask(client(wire, provider), way)
    assert answer.text == "Grüße 世界 🎉 plain"


@every_format
@every_way
async def test_a_huge_chunk_is_read_to_its_end(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("word ").failing(HugeChunk(characters=500_000)))
    answer = await ask(client(wire, provider), way)
    assert answer.text == "word " * 100_000


@every_format
@every_way
async def test_a_filtered_prompt_is_a_400(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one").failing(ContentFilter()))
    with pytest.raises(Exception, match=r"Error code: 400.*filter"):
        await ask(client(wire, provider), way)


@every_format
@every_way
async def test_a_filtered_answer_ends_with_the_formats_reason(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two three").failing(ContentFilter(after_chunks=1)))
    answer = await ask(client(wire, provider), way)
    assert answer.text == "one"
    assert finish_of(answer) == ("refusal" if wire == "messages" else "content_filter")


@every_format
@every_way
@pytest.mark.parametrize("reply", [say("I need no tool."), call("search", query="x")])
async def test_a_wrong_tool_is_called_though_it_was_not_offered(
    provider: SimulatedProvider, wire: str, way: str, reply: Reply
) -> None:
    provider.play("small", reply.failing(WrongTool(name="delete_everything")))
    answer = await ask(client(wire, provider).bind_tools([search]), way)
    assert [made["name"] for made in answer.tool_calls] == ["delete_everything"]


@pytest.mark.parametrize("wire", ["chat", "responses"])
@whole_ways
async def test_broken_arguments_are_an_invalid_call(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", call("search", query="x").failing(BrokenArguments()))
    answer = await ask(client(wire, provider).bind_tools([search]), way)
    assert [made["args"] for made in answer.invalid_tool_calls] == ['{"query": "x"']


@every_format
@streamed_ways
async def test_broken_arguments_stream_as_they_are(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", call("search", query="x").failing(BrokenArguments()))
    answer: Any = await ask(client(wire, provider).bind_tools([search]), way)
    assert "".join(part["args"] for part in answer.tool_call_chunks) == '{"query": "x"'


@whole_ways
async def test_broken_arguments_of_a_whole_message_are_wrapped(provider: SimulatedProvider, way: str) -> None:
    """Messages has objects where the others have text, so there is no other way to send them."""
    provider.play("small", call("search", query="x").failing(BrokenArguments()))
    answer = await ask(client("messages", provider).bind_tools([search]), way)
    assert answer.tool_calls[0]["args"] == {"INVALID_JSON": '{"query": "x"'}


@every_format
@streamed_ways
async def test_a_duplicate_chunk_doubles_its_words(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two three").failing(Duplicate(chunk=1)))
    answer = await ask(client(wire, provider), way)
    assert answer.text == "one two two three"


@every_format
@every_way
async def test_a_slow_answer_is_an_answer_nevertheless(provider: SimulatedProvider, wire: str, way: str) -> None:
    provider.play("small", say("one two").failing(Slow(first_token_seconds=0.01, seconds_per_chunk=0.01)))
    assert (await ask(client(wire, provider), way)).text == "one two"


@every_format
async def test_the_wrong_key_is_refused_in_every_format(wire: str) -> None:
    with SimulatedProvider({"small": say("one")}, api_key="right") as provider:
        with pytest.raises(Exception, match="Error code: 401"):
            await ask(client(wire, provider), "invoke")
        assert provider.requests == ()


@every_format
async def test_a_wrong_tool_that_is_offered_is_the_scripts_mistake(provider: SimulatedProvider, wire: str) -> None:
    def confused(request: Request) -> Reply:
        return say("x").failing(WrongTool(name="search"))

    provider.play("small", confused)
    with pytest.raises(Exception, match="must name a tool that is not offered"):
        await ask(client(wire, provider).bind_tools([search]), "invoke")
