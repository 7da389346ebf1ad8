"""What goes over the wire, seen by a plain HTTP client."""

import json
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import httpx
import pytest

from steprouter.testing import (
    HangUp,
    Reply,
    Request,
    SimulatedProvider,
    ToolCall,
    Usage,
    call,
    fail,
    say,
)

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": say("Hello to you too")}) as provider:
        yield provider


def post(provider: SimulatedProvider, **body: Any) -> httpx.Response:
    body = {"model": "small", "messages": HELLO, **body}
    return httpx.post(f"{provider.url}/chat/completions", json=body)


def answer(provider: SimulatedProvider, **body: Any) -> dict[str, Any]:
    choice: dict[str, Any] = post(provider, **body).json()["choices"][0]
    return {"finish_reason": choice["finish_reason"], **choice["message"]}


def events(response: httpx.Response) -> list[Any]:
    data = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def deltas(response: httpx.Response) -> list[dict[str, Any]]:
    chunks = [event for event in events(response) if event != "[DONE]"]
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def listen(provider: SimulatedProvider, heard: list[str]) -> None:
    body = {"model": "small", "messages": HELLO, "stream": True}
    with httpx.stream("POST", f"{provider.url}/chat/completions", json=body) as response:
        for line in filter(None, response.iter_lines()):
            heard.append(line)  # noqa: PERF402  # what came before an error must be kept


def test_an_answer_comes_with_finish_reason_and_usage(provider: SimulatedProvider) -> None:
    body = post(provider).json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "Hello to you too"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == 6  # 4 for the message, 2 for five letters
    assert body["usage"]["completion_tokens"] == 4
    assert body["usage"]["total_tokens"] == 10


def test_a_stream_opens_with_the_role_and_ends_with_done(provider: SimulatedProvider) -> None:
    response = post(provider, stream=True)
    assert deltas(response) == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " to"},
        {"content": " you"},
        {"content": " too"},
        {},
    ]
    assert events(response)[-2]["choices"][0]["finish_reason"] == "stop"
    assert events(response)[-1] == "[DONE]"


def test_usage_is_the_last_chunk_of_a_stream_only_when_asked_for(provider: SimulatedProvider) -> None:
    provider.play("small", say("Hi", usage=Usage(input_tokens=9, output_tokens=5, cached_tokens=8)))
    silent = events(post(provider, stream=True))
    *others, last, done = events(post(provider, stream=True, stream_options={"include_usage": True}))
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 8
    assert {chunk["usage"] for chunk in others} == {None}
    assert all("usage" not in chunk for chunk in silent[:-1])


def test_parallel_tool_calls_stream_as_a_name_and_then_fragments(provider: SimulatedProvider) -> None:
    provider.play("small", call("search", query="cats").calling("clock"))
    response = post(provider, stream=True)
    calls = [delta["tool_calls"][0] for delta in deltas(response) if "tool_calls" in delta]
    assert [(part["index"], part.get("type")) for part in calls if "id" in part] == [
        (0, "function"),
        (1, "function"),
    ]
    first = [part["function"]["arguments"] for part in calls if part["index"] == 0]
    assert first == ["", '{"query"', ': "cats"', "}"]
    assert events(response)[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_tool_calls_of_a_whole_answer_carry_ids_that_differ(provider: SimulatedProvider) -> None:
    provider.play("small", call("search", query="cats").calling("search", query="dogs"))
    said = answer(provider)
    assert said["content"] is None
    assert [made["function"]["arguments"] for made in said["tool_calls"]] == [
        '{"query": "cats"}',
        '{"query": "dogs"}',
    ]
    assert len({made["id"] for made in said["tool_calls"]}) == 2


def test_arguments_that_are_not_json_go_out_as_they_are(provider: SimulatedProvider) -> None:
    provider.play("small", [call("search", '{"query": "ca'), Reply(tool_calls=(ToolCall(name="x", id="7"),))])
    assert answer(provider)["tool_calls"][0]["function"]["arguments"] == '{"query": "ca'
    assert answer(provider)["tool_calls"][0]["id"] == "7"


def test_reasoning_comes_before_the_text_and_is_billed(provider: SimulatedProvider) -> None:
    provider.play("small", say("Four.", reasoning="Two and two"))
    response = post(provider, stream=True, stream_options={"include_usage": True})
    kinds = [next(iter(delta), "end") for delta in deltas(response)]
    assert kinds == ["role", "reasoning_content", "reasoning_content", "reasoning_content", "content", "end"]
    assert events(response)[-2]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
    assert answer(provider)["reasoning_content"] == "Two and two"


def test_the_first_stop_sequence_ends_the_answer_before_it(provider: SimulatedProvider) -> None:
    said = answer(provider, stop=["too", "you"])
    assert (said["content"], said["finish_reason"]) == ("Hello to ", "stop")


def test_the_token_limit_ends_the_answer_with_reason_length(provider: SimulatedProvider) -> None:
    said = answer(provider, max_tokens=2)
    assert (said["content"], said["finish_reason"]) == ("Hello to", "length")
    assert answer(provider, max_completion_tokens=4)["finish_reason"] == "stop"


def test_the_token_limit_may_leave_half_the_arguments_of_a_call(provider: SimulatedProvider) -> None:
    provider.play("small", call("search", query="a long one").calling("clock"))
    said = answer(provider, max_tokens=3)
    assert [made["function"]["arguments"] for made in said["tool_calls"]] == ['{"query": "a']
    assert said["finish_reason"] == "length"


def test_several_choices_are_all_given_and_all_billed(provider: SimulatedProvider) -> None:
    whole = post(provider, n=3).json()
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] == 12
    streamed = events(post(provider, n=3, stream=True))[:-1]
    assert {chunk["choices"][0]["index"] for chunk in streamed} == {0, 1, 2}


def test_the_provider_remembers_what_it_was_asked(provider: SimulatedProvider) -> None:
    post(provider, temperature=0.5, stop="END", seed=7, top_p=0.9)
    (request,) = provider.requests
    assert (request.model, request.prompt, request.call) == ("small", "Hello", 1)
    assert (request.temperature, request.stop, request.seed) == (0.5, ("END",), 7)
    assert request.extra == {"top_p": 0.9}
    assert provider.requests_to("large") == ()


def test_a_key_can_be_read_from_a_request_but_is_never_printed(provider: SimulatedProvider) -> None:
    headers = {"Authorization": "Bearer secret-words"}
    httpx.post(f"{provider.url}/chat/completions", json={"model": "small", "messages": HELLO}, headers=headers)
    (request,) = provider.requests
    assert request.headers["AUTHORIZATION"] == "Bearer secret-words"
    assert "secret-words" not in repr(request)


def test_a_script_may_decide_from_the_request(provider: SimulatedProvider) -> None:
    def echo(request: Request) -> Reply:
        return say(f"{request.call}: {request.prompt}")

    provider.play("echo", echo)
    assert answer(provider, model="echo")["content"] == "1: Hello"
    assert answer(provider, model="echo")["content"] == "2: Hello"


def test_a_list_is_used_up_in_order_and_a_call_too_many_is_refused(provider: SimulatedProvider) -> None:
    provider.play("small", [fail(503), say("ok")])
    assert [post(provider).status_code for _ in range(3)] == [503, 200, 400]
    error = post(provider).json()["error"]
    assert error["code"] == "script_exhausted"
    assert "got call 4 with 2 replies" in error["message"]


def test_an_endless_iterable_answers_for_ever(provider: SimulatedProvider) -> None:
    provider.play("small", chain([fail(500)], repeat(say("ok"))))
    assert [post(provider).status_code for _ in range(4)] == [500, 200, 200, 200]


def test_a_mistake_in_a_script_reaches_the_client_with_its_reason(provider: SimulatedProvider) -> None:
    provider.play("small", lambda request: say(str(request.extra["absent"])))
    error = post(provider).json()["error"]
    assert (error["code"], error["message"]) == ("script_failed", "The script raised KeyError('absent')")


def test_a_rate_limit_says_when_to_come_back(provider: SimulatedProvider) -> None:
    provider.play("small", fail(429, retry_after_seconds=2))
    response = post(provider)
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.json()["error"] == {
        "message": "Rate limit reached for requests. Please try again later.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }


def test_a_proxys_error_page_is_sent_as_it_is(provider: SimulatedProvider) -> None:
    provider.play("small", fail(502, raw_body="<html>Bad Gateway</html>"))
    response = post(provider)
    assert (response.status_code, response.text) == (502, "<html>Bad Gateway</html>")


def test_a_clean_cut_ends_the_body_without_finish_reason_and_done(provider: SimulatedProvider) -> None:
    provider.play("small", say("one two three").cut(after_chunks=2))
    response = post(provider, stream=True)
    assert deltas(response)[1:] == [{"content": "one"}, {"content": " two"}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in events(response)] == [None, None, None]


@pytest.mark.parametrize(("how", "error"), [("drop", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
def test_a_broken_connection_is_felt_after_the_words_before_it(
    provider: SimulatedProvider, how: Any, error: type[Exception]
) -> None:
    provider.play("small", say("one two three").cut(after_chunks=2, how=how))
    heard: list[str] = []
    with pytest.raises(error):
        listen(provider, heard)
    assert ["content" in line for line in heard] == [True, True, True]


@pytest.mark.parametrize("how", ["drop", "reset"])
def test_a_connection_may_end_before_anything_is_answered(provider: SimulatedProvider, how: Any) -> None:
    provider.play("small", Reply(fault=HangUp(how=how)))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        post(provider)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("how", ["close", "drop", "reset"])
def test_a_whole_answer_cannot_be_cut_cleanly(provider: SimulatedProvider, how: Any) -> None:
    provider.play("small", say("one two three").cut(after_chunks=1, how=how))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        post(provider)


def test_an_exception_cannot_cross_the_wire_and_says_so(provider: SimulatedProvider) -> None:
    provider.play("small", say("one").raising(ValueError("no")))
    assert "in-process models" in post(provider).json()["error"]["message"]


def test_a_slow_answer_is_ended_by_closing_the_provider(provider: SimulatedProvider) -> None:
    provider.play("small", say("one two").slowly(seconds_per_chunk=60))
    body = {"model": "small", "messages": HELLO, "stream": True}
    with httpx.stream("POST", f"{provider.url}/chat/completions", json=body) as response:
        lines = response.iter_lines()
        while '"one"' not in next(lines):
            pass
        provider.close()
        with pytest.raises(httpx.TransportError):
            list(lines)


def test_a_closed_provider_refuses_and_comes_back_on_its_port(provider: SimulatedProvider) -> None:
    before = provider.url
    provider.close()
    with pytest.raises(httpx.ConnectError):
        post(provider)
    provider.start()
    assert provider.url == before
    assert post(provider).status_code == 200


def test_a_connection_is_kept_for_the_next_request(provider: SimulatedProvider) -> None:
    provider.play("small", [say("one").cut(after_chunks=0), fail(503), say("ok")])
    with httpx.Client() as client:
        streams = []
        for _ in range(3):
            body = {"model": "small", "messages": HELLO, "stream": True}
            response = client.post(f"{provider.url}/chat/completions", json=body)
            streams.append(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(streams)) == 1


def test_models_and_health_are_listed_for_whoever_asks(provider: SimulatedProvider) -> None:
    provider.play("large", say("x"))
    listed = httpx.get(f"{provider.url}/models").json()
    assert [model["id"] for model in listed["data"]] == ["small", "large"]
    assert httpx.get(provider.url.replace("/v1", "/health")).json() == {"status": "ok"}
    assert httpx.get(f"{provider.url}/nothing").status_code == 404


def test_a_wrong_key_and_an_unknown_model_reach_no_model() -> None:
    with SimulatedProvider({"small": say("x")}, api_key="right") as provider:
        url, body = f"{provider.url}/chat/completions", {"model": "huge", "messages": HELLO}
        wrong = httpx.post(url, json=body, headers={"Authorization": "Bearer wrong"})
        unknown = httpx.post(url, json=body, headers={"Authorization": "Bearer right"})
        assert (wrong.status_code, unknown.status_code) == (401, 404)
        assert [rejection.code for rejection in provider.rejections] == ["invalid_api_key", "model_not_found"]
        assert provider.requests == ()


def test_the_address_is_unknown_until_the_provider_listens() -> None:
    provider = SimulatedProvider({})
    with pytest.raises(RuntimeError, match="use `with` or start"):
        _ = provider.url
    with provider, pytest.raises(RuntimeError, match="close\\(\\) first"):
        provider.start()
    provider.close()
