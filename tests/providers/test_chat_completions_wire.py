"""The wire to OpenAI-compatible servers, over real sockets, in threads and in event loops."""

import asyncio
import gzip
import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hearing import ASK, both_ways, calls, card, finishes, hear_into, heard, text
from pydantic import SecretStr
from raw_server import DONE, Act, RawServer, event, finish_event, head, rejection, text_event

from steprouter.answering.answer import Delta
from steprouter.errors import ConfigError
from steprouter.models.cost import Usage
from steprouter.providers.chat_completions import ChatCompletionsWire
from steprouter.providers.refusals import BrokenOff, HttpRefusal, NoFirstToken, Stalled, StreamRefusal, Unreachable
from steprouter.providers.wire import Timeouts
from steprouter.step.ask import Ask
from steprouter.testing import SimulatedProvider, call, fail, say

SHORT = Timeouts(connect=5, first_token=0.15, idle=5)
SHORT_PAUSE = Timeouts(connect=5, first_token=5, idle=0.15)


@both_ways
async def test_an_answer_comes_piece_by_piece_with_finish_and_usage(way: str) -> None:
    with SimulatedProvider({"m": say("Good day, all.")}) as provider:
        pieces = await heard(ChatCompletionsWire(card(provider.url)), way)
    assert [piece.text for piece in pieces] == ["Good", " day,", " all.", "", ""]
    assert finishes(pieces) == ["stop"]
    assert [piece.usage is not None for piece in pieces] == [False] * 4 + [True]


@both_ways
async def test_tool_calls_come_with_the_index_of_their_call(way: str) -> None:
    script = call("search", query="x y z").calling("clock", '{"zone": "U')
    with SimulatedProvider({"m": script}) as provider:
        pieces = await heard(ChatCompletionsWire(card(provider.url)), way)
    named = {index: (name, args) for index, (_, name, args) in calls(pieces).items()}
    assert named == {0: ("search", '{"query": "x y z"}'), 1: ("clock", '{"zone": "U')}


@both_ways
async def test_details_keep_request_id_and_rate_limits_but_no_cookies(way: str) -> None:
    kept = {"x-request-id": "r1", "x-ratelimit-remaining-requests": "9"}
    answer = [head(**{**kept, "set-cookie": "a=b"}) + text_event("x") + finish_event() + DONE]
    with RawServer(answer) as server:
        pieces = await heard(ChatCompletionsWire(card(server.url)), way)
    assert pieces[0].details == {"model_provider": "openai_compatible", "headers": kept}


@both_ways
async def test_an_http_error_carries_status_code_text_and_delay(way: str) -> None:
    with SimulatedProvider({"m": fail(429, "Slow down.", retry_after_seconds=2)}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        with pytest.raises(HttpRefusal) as caught:
            await heard(wire, way)
    seen = wire.saw(caught.value)
    assert (seen.status, seen.code, seen.text) == (429, "rate_limit_exceeded", "Slow down.")
    assert (seen.retry_after_seconds, seen.classes[0]) == (2.0, "HttpRefusal")


@both_ways
async def test_an_error_inside_a_stream_is_raised_after_what_was_said(way: str) -> None:
    error = event({"error": {"message": "overloaded", "code": "overloaded_error"}})
    pieces: list[Delta] = []
    with RawServer([head() + text_event("x") + error]) as server:
        wire = ChatCompletionsWire(card(server.url))
        with pytest.raises(StreamRefusal) as caught:
            await hear_into(pieces, wire, way)
    assert (text(pieces), wire.saw(caught.value).status, wire.saw(caught.value).code) == ("x", 200, "overloaded_error")


@both_ways
async def test_a_clean_end_without_a_finish_reason_is_not_mended(way: str) -> None:
    with SimulatedProvider({"m": say("one two three").cut(after_chunks=2)}) as provider:
        pieces = await heard(ChatCompletionsWire(card(provider.url)), way)
    assert (text(pieces), finishes(pieces)) == ("one two", [])


@both_ways
@pytest.mark.parametrize("how", ["drop", "reset"])
async def test_a_connection_that_ends_amid_the_answer_breaks_it_off(way: str, how: Any) -> None:
    pieces: list[Delta] = []
    with SimulatedProvider({"m": say("one two three").cut(after_chunks=2, how=how)}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        with pytest.raises(BrokenOff) as caught:
            await hear_into(pieces, wire, way)
    assert (text(pieces), wire.saw(caught.value).classes[0]) == ("one two", "BrokenOff")


@both_ways
async def test_a_refused_connection_is_told_apart_from_a_broken_one(way: str) -> None:
    with SimulatedProvider({}) as provider:
        gone = provider.url
    with pytest.raises(Unreachable):
        await heard(ChatCompletionsWire(card(gone)), way)


@both_ways
async def test_silence_before_the_first_piece_is_told_from_silence_amid_the_answer(way: str) -> None:
    with RawServer(["hold"]) as silent, RawServer([head() + text_event("x"), "hold"]) as halting:
        with pytest.raises(NoFirstToken):
            await heard(ChatCompletionsWire(card(silent.url)), way, timeouts=SHORT)
        with pytest.raises(Stalled):
            await heard(ChatCompletionsWire(card(halting.url)), way, timeouts=SHORT_PAUSE)


@both_ways
async def test_keep_alive_comments_do_not_count_as_an_answer(way: str) -> None:
    pings: list[Act] = [act for _ in range(40) for act in (b": ping\n\n", 0.02)]
    unsaid: list[Act] = [head(), *pings]
    begun: list[Act] = [head() + text_event("x"), *pings]
    with RawServer(unsaid) as before, RawServer(begun) as amid:
        with pytest.raises(NoFirstToken):
            await heard(ChatCompletionsWire(card(before.url)), way, timeouts=SHORT)
        with pytest.raises(Stalled):
            await heard(ChatCompletionsWire(card(amid.url)), way, timeouts=SHORT_PAUSE)


@both_ways
async def test_a_first_token_may_take_longer_than_a_pause_and_the_other_way_round(way: str) -> None:
    late: list[Act] = [head(), 0.3, text_event("x") + finish_event() + DONE]
    paused: list[Act] = [head() + text_event("x"), 0.8, finish_event() + DONE]
    with RawServer(late) as slow, RawServer(paused) as halting:
        patient_first = Timeouts(first_token=5, idle=0.1)
        assert finishes(await heard(ChatCompletionsWire(card(slow.url)), way, timeouts=patient_first)) == ["stop"]
        patient_later = Timeouts(first_token=0.6, idle=5)
        assert finishes(await heard(ChatCompletionsWire(card(halting.url)), way, timeouts=patient_later)) == ["stop"]


async def test_the_time_a_slow_consumer_takes_is_not_the_models() -> None:
    with RawServer([head() + text_event("x"), text_event("y") + finish_event() + DONE]) as server:
        wire = ChatCompletionsWire(card(server.url))
        pieces = wire.stream(ASK, SHORT_PAUSE)
        said = [next(pieces)]
        await asyncio.sleep(0.3)
        said += pieces
        wire.close()
    assert text(said) == "xy"


@both_ways
async def test_a_finished_answer_is_kept_when_the_connection_breaks_after_it(way: str) -> None:
    with RawServer([head() + text_event("x") + finish_event(), 0.05, "reset"]) as server:
        pieces = await heard(ChatCompletionsWire(card(server.url)), way)
    assert (text(pieces), finishes(pieces)) == ("x", ["stop"])


@both_ways
async def test_a_connection_is_used_again_after_the_end_mark(way: str) -> None:
    body = text_event("x") + finish_event() + DONE
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    with RawServer([chunked, 0.02, b"0\r\n\r\n"]) as server:
        wire = ChatCompletionsWire(card(server.url))
        limits = Timeouts()
        for _ in range(3):
            if way == "sync":
                list(wire.stream(ASK, limits))
            else:
                [piece async for piece in wire.astream(ASK, limits)]
        await wire.aclose()
        assert (len(server.requests), server.connections) == (3, 1)


@both_ways
async def test_a_request_that_met_a_closed_connection_goes_out_on_a_new_one(way: str) -> None:
    body = text_event("x") + finish_event() + DONE
    kept = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with RawServer([kept], ["reset"], [head() + body], ["reset"]) as server:
        wire = ChatCompletionsWire(card(server.url))
        texts = []
        for _ in range(2):
            heard = wire.stream(ASK, Timeouts()) if way == "sync" else wire.astream(ASK, Timeouts())
            texts.append(text(list(heard) if isinstance(heard, Iterator) else [piece async for piece in heard]))
        with pytest.raises(BrokenOff):
            await hear_into([], wire, way)
        assert (texts, len(server.requests)) == (["x", "x"], 4)


async def test_closing_the_iterator_early_closes_the_connection() -> None:
    with RawServer([head() + text_event("x"), "hold"]) as server:
        wire = ChatCompletionsWire(card(server.url))
        pieces = wire.stream(ASK, Timeouts())
        assert next(pieces).text == "x"
        pieces.close()  # type: ignore[attr-defined]  # a generator, as promised
        assert await asyncio.to_thread(server.gone.wait, 5)
        wire.close()


async def test_closing_the_async_iterator_early_closes_the_connection() -> None:
    with RawServer([head() + text_event("x"), "hold"]) as server:
        wire = ChatCompletionsWire(card(server.url))
        pieces = wire.astream(ASK, Timeouts())
        assert (await anext(pieces)).text == "x"
        await pieces.aclose()  # type: ignore[attr-defined]  # a generator, as promised
        assert await asyncio.to_thread(server.gone.wait, 5)
        await wire.aclose()


async def test_a_cancelled_task_closes_its_connection_at_once() -> None:
    with RawServer([head() + text_event("x"), "hold"]) as server:
        wire = ChatCompletionsWire(card(server.url))
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
    choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
    with RawServer([head(content_type="application/json") + body]) as server:
        pieces = await heard(ChatCompletionsWire(card(server.url)), way)
    assert (text(pieces), finishes(pieces)) == ("Hi", ["stop"])
    assert pieces[-1].usage == Usage(input_tokens=1, output_tokens=2)


@both_ways
async def test_a_page_in_place_of_a_stream_breaks_the_answer_off(way: str) -> None:
    page = [head(content_type="text/html") + b"<html>data: hello</html>"]
    with RawServer(page) as server, pytest.raises(BrokenOff):
        await heard(ChatCompletionsWire(card(server.url)), way)


@both_ways
async def test_a_stream_that_is_labelled_as_json_is_read_as_a_stream(way: str) -> None:
    with RawServer([head(content_type="application/json") + text_event("x") + finish_event() + DONE]) as server:
        assert text(await heard(ChatCompletionsWire(card(server.url)), way)) == "x"


@both_ways
async def test_a_compressed_stream_is_unpacked_although_none_was_asked_for(way: str) -> None:
    packed = gzip.compress(text_event("Hi") + finish_event() + DONE)
    with RawServer([head(content_encoding="gzip") + packed]) as server:
        pieces = await heard(ChatCompletionsWire(card(server.url)), way)
    assert (text(pieces), b"accept-encoding: identity" in server.requests[0][0].lower()) == ("Hi", True)


@both_ways
async def test_a_redirect_is_refused_so_that_the_key_stays_here(way: str) -> None:
    moved = rejection("307 Temporary Redirect", b"", location="http://127.0.0.1:1/v1")
    with RawServer(moved) as server, pytest.raises(HttpRefusal, match="base_url") as caught:
        await heard(ChatCompletionsWire(card(server.url)), way)
    assert caught.value.status == 307


@both_ways
async def test_the_status_of_an_error_survives_a_body_that_never_comes(way: str) -> None:
    stuck = b"HTTP/1.1 503 Unavailable\r\ncontent-length: 99\r\n\r\n"
    with RawServer([stuck, "hold"]) as server, pytest.raises(HttpRefusal) as caught:
        await heard(ChatCompletionsWire(card(server.url)), way, timeouts=SHORT)
    assert caught.value.status == 503


@both_ways
async def test_the_key_is_sent_in_its_header_and_shown_nowhere(way: str) -> None:
    key = "sk-very-secret-key"
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}}).encode()
    with RawServer(rejection("401 Unauthorized", body, www_authenticate=key)) as server:
        wire = ChatCompletionsWire(card(server.url, api_key=SecretStr(key)))
        with pytest.raises(HttpRefusal) as caught:
            await heard(wire, way)
        head_sent, body_sent = server.requests[0]
    assert f"authorization: Bearer {key}".encode() in head_sent
    shown = f"{wire!r} {caught.value!r} {vars(caught.value)} {wire.saw(caught.value)}"
    assert key.encode() not in body_sent
    assert key not in shown


def test_a_key_with_a_line_break_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="line break") as caught:
        ChatCompletionsWire(card("http://127.0.0.1:1/v1", api_key=SecretStr("sk-secret\n")))
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://", "http://user:pass@host/v1", "http://[::1", "http://host:x/v1"])
def test_an_address_that_cannot_be_used_is_refused_at_once(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        ChatCompletionsWire(card(base_url))


@pytest.mark.parametrize("header", [{"bad name": "x"}, {"Content-Length": "7"}, {"x": "a\r\nb: c"}, {"x": "é"}])
def test_headers_that_http_does_not_allow_are_refused_at_once(header: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="header"):
        ChatCompletionsWire(card("http://h/v1", headers={name: SecretStr(value) for name, value in header.items()}))


@pytest.mark.parametrize(
    ("path", "requested"),
    [
        ("", "/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/openai?api-version=1", "/openai/chat/completions?api-version=1"),
    ],
)
async def test_the_path_is_joined_to_whatever_base_was_given(path: str, requested: str) -> None:
    with RawServer([head() + DONE]) as server:
        await heard(ChatCompletionsWire(card(server.origin + path, model="../../x?y")), "sync")
        assert server.requests[0][0].split()[1] == requested.encode()
        assert server.bodies[0]["model"] == "../../x?y"


async def test_headers_of_the_card_and_of_the_call_are_sent() -> None:
    ask = Ask(messages=ASK.messages, settings={"extra_headers": {"X-Call": "1"}})
    with RawServer([head() + DONE]) as server:
        await heard(ChatCompletionsWire(card(server.url, headers={"X-Card": SecretStr("2")})), "sync", ask)
        sent = server.requests[0][0].lower()
    assert (b"x-call: 1" in sent, b"x-card: 2" in sent, b"authorization" in sent) == (True, True, False)


def test_many_threads_share_one_wire() -> None:
    texts: list[str] = []
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        threads = [
            threading.Thread(target=lambda: texts.append(text(list(wire.stream(ASK, Timeouts()))))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wire.close()
    assert texts == ["Good day."] * 8


def test_each_event_loop_has_connections_of_its_own() -> None:
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        texts = [text(asyncio.run(heard(wire, "async"))) for _ in range(3)]
    assert texts == ["Good day."] * 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        assert text(list(wire.stream(ASK, Timeouts()))) == "Good day."
        child = os.fork()
        if child == 0:
            os._exit(0 if text(list(wire.stream(ASK, Timeouts()))) == "Good day." else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert text(list(wire.stream(ASK, Timeouts()))) == "Good day."
        wire.close()


def test_a_closed_wire_opens_new_connections_when_used_again() -> None:
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = ChatCompletionsWire(card(provider.url))
        for _ in range(2):
            assert text(list(wire.stream(ASK, Timeouts()))) == "Good day."
            wire.close()
