"""The wire to OpenAI's Responses, over real sockets, in threads and in event loops."""

import asyncio
import json
import os
import threading
from typing import Any

import pytest
from dialects import named, response, responses_end, responses_text
from hearing import ASK, both_ways, calls, finishes, hear_into, heard, text
from hearing import card as any_card
from langchain_core.messages import AIMessage
from langchain_core.utils._merge import merge_lists
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from raw_server import DONE, Act, RawServer, head, rejection

from steprouter.answering.answer import Delta
from steprouter.answering.failures import FailureKind, Phase, classify
from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard
from steprouter.models.cost import Usage
from steprouter.providers import open_wire
from steprouter.providers.refusals import BrokenOff, HttpRefusal, NoFirstToken, Stalled, Unreachable
from steprouter.providers.responses import ResponsesWire
from steprouter.providers.wire import Timeouts
from steprouter.step.ask import Ask, Toolset
from steprouter.testing import (
    BrokenArguments,
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Fault,
    Garbage,
    HangUp,
    HugeChunk,
    InvalidUtf8,
    Rejection,
    Reply,
    SimulatedProvider,
    Slow,
    SplitUtf8,
    Stall,
    WrongTool,
    call,
    fail,
    say,
)

SHORT = Timeouts(connect=5, first_token=0.15, idle=5)
SHORT_PAUSE = Timeouts(connect=5, first_token=5, idle=0.15)
NUMBERED_END = responses_end().replace(b'"sequence_number": 99', b'"sequence_number": 4')


def card(base_url: str, **fields: Any) -> ModelCard:
    return any_card(base_url, **{"api": "responses", **fields})


def blocks(pieces: list[Delta]) -> list[dict[str, Any]]:
    """The content blocks as LangChain puts them together."""
    return merge_lists([], [block for piece in pieces for block in piece.blocks]) or []


def stream_of(word: str) -> bytes:
    return responses_text(word) + NUMBERED_END


@both_ways
async def test_an_answer_comes_piece_by_piece_in_text_and_blocks_with_finish_and_usage(way: str) -> None:
    with SimulatedProvider({"m": say("Good day, all.")}) as provider:
        pieces = await heard(ResponsesWire(card(provider.url)), way)
    assert [piece.text for piece in pieces if piece.text] == ["Good", " day,", " all."]
    assert (finishes(pieces), text(pieces), blocks(pieces)[0]["text"]) == (["stop"], "Good day, all.", "Good day, all.")
    assert [piece.usage for piece in pieces if piece.usage] == [Usage(input_tokens=6, output_tokens=4)]


@both_ways
async def test_parallel_calls_come_under_numbers_of_their_own_and_end_as_tool_calls(way: str) -> None:
    script = call("search", query="x y z").calling("clock", '{"zone": "U')
    with SimulatedProvider({"m": script}) as provider:
        pieces = await heard(ResponsesWire(card(provider.url)), way)
    said = [(name, args) for _, name, args in calls(pieces).values()]
    assert said == [("search", '{"query": "x y z"}'), ("clock", '{"zone": "U')]
    assert finishes(pieces) == ["tool_calls"]
    assert [block["arguments"] for block in blocks(pieces)] == [args for _, args in said]


async def test_details_keep_request_id_model_and_response_but_no_cookies() -> None:
    kept = {"x-request-id": "r1", "x-ratelimit-remaining-requests": "9"}
    answer = stream_of("x").replace(head(), head(**{**kept, "set-cookie": "a=b"}))
    with RawServer([answer]) as server:
        pieces = await heard(ResponsesWire(card(server.url)), "sync")
    named_so = {"model_provider": "openai", "model_name": "gpt-x", "response_id": "resp_1"}
    assert pieces[0].details == {**named_so, "headers": kept}


REPLIES = {
    "text": say("Good day, all."),
    "one tool": call("search", query="x"),
    "text, thoughts and two tools": say("I look.", reasoning="Hm, well.").calling("search", query="x").calling("clock"),
    "cut at its limit": say("one two", finish_reason="length"),
}


@pytest.mark.parametrize("said", REPLIES.values(), ids=REPLIES.keys())
async def test_answers_are_the_same_as_langchains_own_model_gives_from_this_server(said: Reply) -> None:
    with SimulatedProvider({"m": said}) as provider:
        pieces = await heard(ResponsesWire(card(provider.url)), "async")
        provider.play("m", said)
        theirs = ChatOpenAI(
            base_url=provider.url, api_key=SecretStr("x"), model="m", max_retries=0, use_responses_api=True
        )
        message: Any = None
        for chunk in theirs.stream("Hello?"):
            message = chunk if message is None else message + chunk
    ours: list[Any] = [{key: value for key, value in block.items() if value != []} for block in blocks(pieces)]
    given = [{key: value for key, value in block.items() if value != []} for block in message.content]
    assert ours == given
    assert AIMessage(content=ours).text == message.text == text(pieces)
    assert [name for _, name, _ in calls(pieces).values()] == [one["name"] for one in message.tool_calls]
    usage = next(piece.usage for piece in pieces if piece.usage)
    assert usage.to_langchain()["total_tokens"] == message.usage_metadata["total_tokens"]


async def test_cached_and_reasoning_tokens_are_counted_apart() -> None:
    details = {"input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 4}}
    last = named(
        "response.completed", response=response("completed", usage={"input_tokens": 5, "output_tokens": 6, **details})
    )
    with RawServer([responses_text("x") + last]) as server:
        pieces = await heard(ResponsesWire(card(server.url)), "sync")
    assert pieces[-1].usage == Usage(input_tokens=5, output_tokens=6, cache_read_tokens=3, reasoning_tokens=4)


@both_ways
async def test_an_answer_ends_before_a_stop_sequence_and_the_connection_with_it(way: str) -> None:
    ask = Ask(messages=ASK.messages, stop=("\nObservation:",))
    script = say("Act: look\nObserva tion\nObservation: sunny")
    with SimulatedProvider({"m": script}) as provider:
        pieces = await heard(ResponsesWire(card(provider.url)), way, ask)
        assert "stop" not in provider.requests[0].extra
    assert (text(pieces), finishes(pieces)) == ("Act: look\nObserva tion", ["stop"])
    assert blocks(pieces)[0]["text"] == "Act: look\nObserva tion"


@both_ways
async def test_an_http_error_carries_status_code_text_and_delay(way: str) -> None:
    with SimulatedProvider({"m": fail(429, "Slow down.", retry_after_seconds=2)}) as provider:
        wire = ResponsesWire(card(provider.url))
        with pytest.raises(HttpRefusal) as caught:
            await heard(wire, way)
    seen = wire.saw(caught.value)
    assert (seen.status, seen.code, seen.text, seen.retry_after_seconds) == (
        429,
        "rate_limit_exceeded",
        "Slow down.",
        2,
    )


FAILING: list[tuple[Fault, FailureKind, str]] = [
    (Rejection(status=503), FailureKind.UNAVAILABLE, ""),
    (Rejection(status=529), FailureKind.OVERLOADED, ""),
    (Rejection(status=401), FailureKind.AUTH, ""),
    (Rejection(status=404), FailureKind.NOT_FOUND, ""),
    (Rejection(status=429), FailureKind.RATE_LIMITED, ""),
    (Rejection(status=400, code="context_length_exceeded"), FailureKind.CONTEXT_OVERFLOW, ""),
    (Rejection(status=502, raw_body="<html>Bad Gateway</html>"), FailureKind.UNAVAILABLE, ""),
    (HangUp(), FailureKind.UNAVAILABLE, ""),
    (HangUp(how="reset"), FailureKind.UNAVAILABLE, ""),
    (Cut(after_chunks=2, how="drop"), FailureKind.BROKEN_STREAM, "one two"),
    (Cut(after_chunks=2, how="reset"), FailureKind.BROKEN_STREAM, "one two"),
    (CutAtByte(at_byte=10), FailureKind.UNAVAILABLE, ""),
    (Stall(), FailureKind.TIMEOUT_FIRST_TOKEN, ""),
    (Stall(after_chunks=0), FailureKind.TIMEOUT_FIRST_TOKEN, ""),
    (Stall(after_chunks=1), FailureKind.STALLED, "one"),
    (ErrorEvent(after_chunks=1), FailureKind.UNAVAILABLE, "one"),
    (ErrorEvent(after_chunks=1, shape="failed"), FailureKind.UNAVAILABLE, "one"),
    (ErrorEvent(code="rate_limit_exceeded"), FailureKind.RATE_LIMITED, ""),
    (ErrorEvent(code="rate_limit_exceeded", shape="failed"), FailureKind.RATE_LIMITED, ""),
    (ErrorEvent(code="overloaded"), FailureKind.OVERLOADED, ""),
    (ContentFilter(), FailureKind.CONTENT_FILTERED, ""),
    (Garbage(after_chunks=1), FailureKind.BROKEN_STREAM, "one"),
]


@both_ways
@pytest.mark.parametrize(("fault", "kind", "before"), FAILING, ids=[str(fault) for fault, _, _ in FAILING])
async def test_each_fault_is_known_for_what_it_is_after_what_was_said(
    way: str, fault: Fault, kind: FailureKind, before: str
) -> None:
    limits = Timeouts(connect=5, first_token=0.2, idle=0.2) if isinstance(fault, Stall) else None
    pieces: list[Delta] = []
    with SimulatedProvider({"m": say("one two three").failing(fault)}) as provider:
        wire = ResponsesWire(card(provider.url))
        with pytest.raises(Exception) as caught:
            await hear_into(pieces, wire, way, timeouts=limits)
    phase = Phase.IN_TEXT if before else Phase.BEFORE_FIRST_TOKEN
    assert (classify(wire.saw(caught.value), phase, model="m").kind, text(pieces)) == (kind, before)


UNHARMED: list[tuple[Fault, str, list[str]]] = [
    (Cut(after_chunks=2), "one two", []),
    (ContentFilter(after_chunks=1), "one", ["content_filter"]),
    (Duplicate(chunk=1), "one two thrée", ["stop"]),
    (Garbage(after_chunks=1, data=b": " + b"x" * 100_000 + b"\n\n"), "one two thrée", ["stop"]),
    (InvalidUtf8(chunk=0), "\ufffd two thrée", ["stop"]),
    (Slow(first_token_seconds=0.01, seconds_per_chunk=0.01), "one two thrée", ["stop"]),
    (SplitUtf8(), "one two thrée", ["stop"]),
]


@both_ways
@pytest.mark.parametrize(("fault", "said", "finish"), UNHARMED, ids=[type(fault).__name__ for fault, _, _ in UNHARMED])
async def test_a_fault_that_breaks_nothing_leaves_what_was_said(
    way: str, fault: Fault, said: str, finish: list[str]
) -> None:
    with SimulatedProvider({"m": say("one two thrée").failing(fault)}) as provider:
        pieces = await heard(ResponsesWire(card(provider.url)), way)
    assert finishes(pieces) == finish
    assert text(pieces) == said or isinstance(fault, InvalidUtf8)


async def test_a_huge_chunk_and_wrong_calls_come_as_they_are() -> None:
    with SimulatedProvider(
        {"m": [say("x").failing(HugeChunk()), call("f", a=1).failing(BrokenArguments())]}
    ) as provider:
        assert len(text(await heard(ResponsesWire(card(provider.url)), "sync"))) == 2_000_000
        assert [args for _, _, args in calls(await heard(ResponsesWire(card(provider.url)), "sync")).values()] == [
            '{"a": 1'
        ]
        provider.play("m", say("x").failing(WrongTool()))
        pieces = await heard(ResponsesWire(card(provider.url)), "sync")
    assert [name for _, name, _ in calls(pieces).values()] == ["tool_that_was_not_offered"]


@both_ways
async def test_a_refused_connection_is_told_apart_from_a_broken_one(way: str) -> None:
    with SimulatedProvider({}) as provider:
        gone = provider.url
    with pytest.raises(Unreachable):
        await heard(ResponsesWire(card(gone)), way)


@both_ways
async def test_signs_of_life_and_openings_do_not_count_as_an_answer(way: str) -> None:
    alive = named("keepalive", sequence_number=3)
    pings: list[Act] = [act for _ in range(40) for act in (b": ping\n\n" + alive, 0.02)]
    unsaid: list[Act] = [responses_text(), *pings]
    begun: list[Act] = [responses_text("x"), *pings]
    with RawServer(unsaid) as before, RawServer(begun) as amid:
        with pytest.raises(NoFirstToken):
            await heard(ResponsesWire(card(before.url)), way, timeouts=SHORT)
        with pytest.raises(Stalled):
            await heard(ResponsesWire(card(amid.url)), way, timeouts=SHORT_PAUSE)


@both_ways
async def test_a_finished_answer_is_kept_when_the_connection_breaks_after_it(way: str) -> None:
    with RawServer([stream_of("x"), 0.05, "reset"]) as server:
        pieces = await heard(ResponsesWire(card(server.url)), way)
    assert (text(pieces), finishes(pieces)) == ("x", ["stop"])


@both_ways
async def test_a_connection_is_used_again_after_the_end_of_a_response(way: str) -> None:
    body = stream_of("x").removeprefix(head())
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    with RawServer([chunked, 0.02, b"0\r\n\r\n"]) as server:
        wire = ResponsesWire(card(server.url))
        for _ in range(3):
            if way == "sync":
                list(wire.stream(ASK, Timeouts()))
            else:
                [piece async for piece in wire.astream(ASK, Timeouts())]
        await wire.aclose()
        assert (len(server.requests), server.connections) == (3, 1)


async def test_closing_the_iterator_early_closes_the_connection() -> None:
    with RawServer([responses_text("x"), "hold"]) as server, RawServer([responses_text("x"), "hold"]) as other:
        wire, awaited = ResponsesWire(card(server.url)), ResponsesWire(card(other.url))
        pieces, their = wire.stream(ASK, Timeouts()), awaited.astream(ASK, Timeouts())
        assert (next(pieces).text, (await anext(their)).text) == ("x", "x")
        pieces.close()
        await their.aclose()
        assert await asyncio.to_thread(server.gone.wait, 5)
        assert await asyncio.to_thread(other.gone.wait, 5)
        wire.close()
        await awaited.aclose()


async def test_a_cancelled_task_closes_its_connection_at_once() -> None:
    with RawServer([responses_text("x"), "hold"]) as server:
        wire = ResponsesWire(card(server.url))
        pieces: list[Delta] = []
        task = asyncio.create_task(hear_into(pieces, wire, "async"))
        while not pieces:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, 5)


@both_ways
async def test_an_answer_in_one_json_body_is_taken_although_a_stream_was_asked_for(way: str) -> None:
    said = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}
    asked = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    usage = {"input_tokens": 1, "output_tokens": 2}
    body = json.dumps(response("completed", output=[said, asked], usage=usage)).encode()
    with RawServer([head(content_type="application/json") + body]) as server:
        pieces = await heard(ResponsesWire(card(server.url)), way)
    assert (text(pieces), finishes(pieces), calls(pieces)) == ("Hi", ["tool_calls"], {1: ("c", "f", "{}")})
    assert pieces[-1].usage == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", json.dumps(response("in_progress")).encode()])
async def test_what_is_no_answer_in_place_of_a_stream_breaks_it_off(body: bytes) -> None:
    with RawServer([head(content_type="application/json") + body]) as server, pytest.raises(BrokenOff):
        await heard(ResponsesWire(card(server.url)), "sync")


@both_ways
async def test_the_key_is_sent_in_its_header_and_shown_nowhere(way: str) -> None:
    key = "sk-very-secret-key"
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}).encode()
    with RawServer(rejection("401 Unauthorized", body)) as server:
        wire = ResponsesWire(card(server.url, api_key=SecretStr(key)))
        with pytest.raises(HttpRefusal) as caught:
            await heard(wire, way)
        assert f"authorization: Bearer {key}".encode() in server.requests[0][0]
    assert key not in f"{wire!r} {caught.value!r} {vars(caught.value)} {wire.saw(caught.value)}"


@pytest.mark.parametrize(
    ("path", "requested"),
    [
        ("", "/responses"),
        ("/v1/", "/v1/responses"),
        ("/v1/responses", "/v1/responses"),
        ("/openai?api-version=1", "/openai/responses?api-version=1"),
    ],
)
async def test_the_path_is_joined_to_whatever_base_was_given(path: str, requested: str) -> None:
    with RawServer([stream_of("x") + DONE]) as server:
        await heard(ResponsesWire(card(server.origin + path)), "sync")
        assert server.requests[0][0].split()[1] == requested.encode()


def test_many_threads_share_one_wire() -> None:
    texts: list[str] = []
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ResponsesWire(card(provider.url))
        threads = [
            threading.Thread(target=lambda: texts.append(text(list(wire.stream(ASK, Timeouts()))))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wire.close()
    assert texts == ["Good day."] * 8


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ResponsesWire(card(provider.url))
        assert text(list(wire.stream(ASK, Timeouts()))) == "Good day."
        child = os.fork()
        if child == 0:
            os._exit(0 if text(list(wire.stream(ASK, Timeouts()))) == "Good day." else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert text(list(wire.stream(ASK, Timeouts()))) == "Good day."
        wire.close()


async def test_a_structured_answer_and_its_tools_reach_the_model_as_this_api_has_them() -> None:
    schema = {"title": "Point", "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    ask = Ask(messages=ASK.messages, tools=Toolset.of([schema], response_format=schema, tool_choice="Point"))
    with SimulatedProvider({"m": say('{"x": 1}')}) as provider:
        assert text(await heard(ResponsesWire(card(provider.url)), "sync", ask)) == '{"x": 1}'
        request = provider.requests[0]
    assert request.response_format is not None
    assert request.response_format["json_schema"]["name"] == "Point"
    assert request.tool_choice == {"type": "function", "function": {"name": "Point"}}


def test_a_card_says_by_its_api_which_wire_reaches_its_model() -> None:
    assert isinstance(open_wire(card("http://h/v1")), ResponsesWire)
    assert not isinstance(open_wire(any_card("http://h/v1")), ResponsesWire)


def test_a_card_that_cannot_be_asked_in_this_api_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="base_url"):
        ModelCard(name="m", model="openai:m", api="responses")
    with pytest.raises(ConfigError, match="native"):
        card("http://h/v1", tools="prompt")
    with pytest.raises(ConfigError, match="chat_completions or responses"):
        card("http://h/v1", api="assistants")
    with pytest.raises(ConfigError, match="seed"):
        ResponsesWire(card("http://h/v1", settings={"seed": 1}))
    with pytest.raises(ConfigError, match="store"):
        ResponsesWire(card("http://h/v1", settings={"background": True, "store": False}))
