"""Faults byte by byte, seen by a plain HTTP client and by plain sockets."""

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from steprouter.testing import (
    UNRESOLVABLE_URL,
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Garbage,
    InvalidUtf8,
    Reply,
    SimulatedProvider,
    SplitUtf8,
    Stall,
    call,
    fail,
    refused_url,
    say,
)

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
HELLO = [{"role": "user", "content": "Hello"}]

# One client for all tests, as each loads certificates anew; connections are not kept, so tests share none.
PLAIN = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))

every_format = pytest.mark.parametrize("wire", list(PATHS))


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": say("one two three")}) as provider:
        yield provider


def asked(wire: str, **fields: Any) -> dict[str, Any]:
    """What a minimal request needs: its body and headers."""
    body = {
        "chat": {"messages": HELLO},
        "responses": {"input": "Hello"},
        "messages": {"messages": HELLO, "max_tokens": 99},
    }
    headers = {"anthropic-version": "2023-06-01"} if wire == "messages" else {}
    return {"json": {"model": "small", **body[wire], **fields}, "headers": headers}


def post(provider: SimulatedProvider, wire: str, **fields: Any) -> httpx.Response:
    return PLAIN.post(provider.root_url + PATHS[wire], **asked(wire, **fields))


def received(provider: SimulatedProvider, wire: str, **fields: Any) -> bytes:
    """The bytes that came before the answer ended, however it did."""
    heard = b""
    try:
        with PLAIN.stream("POST", provider.root_url + PATHS[wire], **asked(wire, **fields)) as response:
            for part in response.iter_raw():
                heard += part
    except httpx.TransportError:
        pass
    return heard


def events(response: httpx.Response) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    return [json.loads(text) for text in data if text != "[DONE]"]


FULL = say("Let me look.", reasoning="Hm, cats").calling("search", query="cats").calling("clock")


def test_every_responses_event_is_as_the_sdk_knows_it_and_numbered_in_order(provider: SimulatedProvider) -> None:
    provider.play("small", FULL)
    told = events(post(provider, "responses", stream=True))
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    assert [adapter.validate_python(event).type for event in told] == [event["type"] for event in told]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    whole = post(provider, "responses").json()
    assert Response.model_validate(whole).output_text == "Let me look."
    kinds = [(item["type"], item.get("arguments")) for item in told[-1]["response"]["output"]]
    assert kinds == [
        ("reasoning", None),
        ("message", None),
        ("function_call", '{"query": "cats"}'),
        ("function_call", "{}"),
    ]
    assert kinds == [(item["type"], item.get("arguments")) for item in whole["output"]]


def test_every_messages_event_is_as_the_sdk_knows_it_and_blocks_are_closed(provider: SimulatedProvider) -> None:
    provider.play("small", FULL)
    response = post(provider, "messages", stream=True)
    told = [event for event in events(response) if event["type"] != "ping"]
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    assert [adapter.validate_python(event).type for event in told] == [event["type"] for event in told]
    opened = [event["index"] for event in told if event["type"] == "content_block_start"]
    closed = [event["index"] for event in told if event["type"] == "content_block_stop"]
    assert opened == closed == [0, 1, 2, 3]
    assert "event: ping" in response.text
    whole = Message.model_validate(post(provider, "messages").json())
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert whole.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("wire", "limit"), [("responses", {"max_output_tokens": 16}), ("messages", {"max_tokens": 16})]
)
def test_the_token_limit_ends_an_answer_in_the_formats_words(
    provider: SimulatedProvider, wire: str, limit: dict[str, int]
) -> None:
    provider.play("small", say("word " * 50))
    whole = post(provider, wire, **limit).json()
    told = whole["incomplete_details"]["reason"] if wire == "responses" else whole["stop_reason"]
    assert told == ("max_output_tokens" if wire == "responses" else "max_tokens")


def test_a_stop_sequence_is_named_where_the_format_names_it(provider: SimulatedProvider) -> None:
    whole = post(provider, "messages", stop_sequences=["three", "two"]).json()
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "two")
    assert whole["content"][0]["text"] == "one "


def test_each_format_has_its_own_error_body(provider: SimulatedProvider) -> None:
    provider.play("small", fail(429))
    chat, responses, messages = (post(provider, wire) for wire in PATHS)
    assert chat.json() == responses.json()
    assert chat.json()["error"]["code"] == "rate_limit_exceeded"
    error = messages.json()
    assert (error["type"], error["error"]["type"]) == ("error", "rate_limit_error")
    assert error["request_id"] == messages.headers["request-id"]
    assert chat.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("status", "type"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (500, "api_error"), (529, "overloaded_error")],
)
def test_messages_names_errors_by_its_own_types(provider: SimulatedProvider, status: int, type: str) -> None:  # noqa: A002
    provider.play("small", fail(status))
    assert post(provider, "messages").json()["error"]["type"] == type


@every_format
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", ["close", "drop", "reset"])
def test_a_cut_at_a_byte_sends_exactly_the_bytes_before_it(
    provider: SimulatedProvider, wire: str, stream: bool, how: Any
) -> None:
    """Answers of one reply differ in ids only, which are of one length, so every place can be compared."""
    reply = say("Grüße 世界")
    provider.play("small", reply)
    length = len(received(provider, wire, stream=stream))
    for at_byte in (0, 1, length // 3, length // 2, length - 1):
        provider.play("small", reply.failing(CutAtByte(at_byte=at_byte, how=how)))
        assert len(received(provider, wire, stream=stream)) == at_byte


def test_a_cut_may_halve_a_character(provider: SimulatedProvider) -> None:
    provider.play("small", say("界"))
    at = received(provider, "chat", stream=True).index("界".encode()) + 2
    provider.play("small", say("界").failing(CutAtByte(at_byte=at, how="close")))
    with pytest.raises(UnicodeDecodeError):
        received(provider, "chat", stream=True).decode()


@every_format
@pytest.mark.parametrize("stream", [True, False])
def test_a_byte_that_is_no_utf8_arrives_as_it_is(provider: SimulatedProvider, wire: str, stream: bool) -> None:
    provider.play("small", say("one two").failing(InvalidUtf8(chunk=1)))
    heard = received(provider, wire, stream=stream)
    assert b" t\xffwo" in heard
    assert b"\xee\x83\xbf" not in heard  # what stood for it inside the provider


@every_format
@pytest.mark.parametrize("stream", [True, False])
def test_garbage_stands_between_the_chunks(provider: SimulatedProvider, wire: str, stream: bool) -> None:
    provider.play("small", say("one two").failing(Garbage(after_chunks=1, data=b"\x00\x9f?")))
    before, _, after = received(provider, wire, stream=stream).partition(b"\x00\x9f?")
    assert before
    assert after


@every_format
def test_split_characters_come_in_two_http_chunks(provider: SimulatedProvider, wire: str) -> None:
    provider.play("small", say("世界").failing(SplitUtf8()))
    parts = []
    with PLAIN.stream("POST", provider.root_url + PATHS[wire], **asked(wire, stream=True)) as response:
        parts = list(response.iter_raw())
    assert any(part.endswith("世".encode()[:1]) for part in parts)
    assert "世界".encode() in b"".join(parts)


@every_format
def test_a_duplicate_is_the_same_event_byte_for_byte(provider: SimulatedProvider, wire: str) -> None:
    provider.play("small", say("one two").failing(Duplicate(chunk=0)))
    sent = received(provider, wire, stream=True).split(b"\n\n")
    (again,) = [event for event in set(sent) if event and sent.count(event) == 2]
    assert b"one" in again


def test_an_error_event_has_the_formats_own_shape(provider: SimulatedProvider) -> None:
    provider.play("small", say("one two").failing(ErrorEvent(after_chunks=1, code="overloaded")))
    last = {wire: events(post(provider, wire, stream=True))[-1] for wire in PATHS}
    assert last["chat"]["error"]["code"] == "overloaded"
    assert (last["responses"]["type"], last["responses"]["code"]) == ("error", "overloaded")
    assert last["responses"]["sequence_number"] == 5
    assert last["messages"]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    provider.play("small", say("one two").failing(ErrorEvent(shape="failed")))
    failed = events(post(provider, "responses", stream=True))[-1]
    assert (failed["type"], failed["response"]["error"]["code"]) == ("response.failed", "server_error")


def test_a_filtered_response_is_incomplete_with_its_reason(provider: SimulatedProvider) -> None:
    provider.play("small", say("one two").failing(ContentFilter(after_chunks=1)))
    last = events(post(provider, "responses", stream=True))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["response"]["output"][0]["content"][0]["text"] == "one"


@every_format
@pytest.mark.parametrize("fault", [Stall(), Stall(after_chunks=1)])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_a_stalled_answer_is_counted(
    provider: SimulatedProvider, wire: str, fault: Stall, stream: bool
) -> None:
    provider.play("small", say("one two").failing(fault))
    sent = httpx.Request("POST", provider.root_url + PATHS[wire], **asked(wire, stream=stream))
    head = "\r\n".join(f"{name}: {value}" for name, value in sent.headers.items())
    with socket.create_connection((sent.url.host, sent.url.port or 80)) as connection:
        connection.sendall(f"POST {sent.url.path} HTTP/1.1\r\n{head}\r\n\r\n".encode() + sent.read())
        if stream and fault.after_chunks:
            heard = b""
            while b"one" not in heard:
                heard += connection.recv(4096)
    assert provider.wait_abandoned(1)
    assert provider.abandoned == provider.requests


def test_closing_the_provider_ends_a_stall_and_counts_nobody(provider: SimulatedProvider) -> None:
    provider.play("small", say("one").failing(Stall(after_chunks=1)))
    with PLAIN.stream("POST", provider.root_url + PATHS["chat"], **asked("chat", stream=True)) as response:
        lines = response.iter_lines()
        while '"one"' not in next(lines):
            pass
        provider.close()
        with pytest.raises(httpx.TransportError):
            list(lines)
    assert provider.abandoned == ()


def test_connections_are_counted_as_they_open_and_close(provider: SimulatedProvider) -> None:
    with httpx.Client(base_url=provider.root_url) as client:
        for _ in range(3):
            client.post(PATHS["chat"], **asked("chat"))
        assert (provider.connections_opened, provider.connections_open) == (1, 1)
    post(provider, "chat")
    assert provider.connections_opened == 2
    assert provider.wait_no_connections()


def test_an_outage_answers_everything_and_moves_no_script_on(provider: SimulatedProvider) -> None:
    provider.play("small", [say("one")])
    provider.down(status=502, retry_after_seconds=3)
    answers = [post(provider, wire) for wire in PATHS]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(502, "3")] * 3
    assert httpx.get(f"{provider.url}/models").status_code == 502
    assert len(provider.rejections) == 3
    provider.up()
    assert post(provider, "chat").status_code == 200
    assert len(provider.requests) == 1


def test_a_url_that_refuses_does_so_for_certain() -> None:
    with refused_url() as url, pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_host_that_does_not_exist_has_no_address() -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(UNRESOLVABLE_URL)


def test_https_to_a_plain_port_fails_in_the_handshake(provider: SimulatedProvider) -> None:
    with pytest.raises(httpx.ConnectError, match="SSL"):
        httpx.get(f"{provider.tls_url}/models")
    assert post(provider, "chat").status_code == 200


def test_a_tls_server_without_certificate_fails_in_the_handshake() -> None:
    with SimulatedProvider({"small": say("x")}, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as provider:
        assert provider.url == provider.tls_url
        with pytest.raises(httpx.ConnectError, match="SSL"):
            httpx.get(f"{provider.url}/models")
        assert provider.wait_no_connections()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_self_signed_certificate_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    faults = [
        say("one"),
        say("one").failing(Stall(after_chunks=1)),
        say("one").failing(Cut(after_chunks=1, how="reset")),
    ]
    with SimulatedProvider({"small": faults}, tls=served) as provider:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"{provider.url}/models")
        with httpx.Client(verify=trusting, base_url=provider.root_url) as client:
            assert client.post(PATHS["chat"], **asked("chat")).status_code == 200
            with client.stream("POST", PATHS["chat"], **asked("chat", stream=True)) as response:
                lines = response.iter_lines()
                while '"one"' not in next(lines):
                    pass
            assert provider.wait_abandoned(1)
            with pytest.raises(httpx.TransportError):
                client.post(PATHS["chat"], **asked("chat", stream=True))


def test_a_call_is_cut_amid_its_arguments_in_every_format(provider: SimulatedProvider) -> None:
    provider.play("small", call("search", query="a long question").failing(Cut(after_chunks=2)))
    told = {wire: events(post(provider, wire, stream=True)) for wire in PATHS}
    assert told["chat"][-1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"query"'
    assert told["responses"][-1]["delta"] == '{"query"'
    assert told["messages"][-1]["delta"] == {"type": "input_json_delta", "partial_json": '{"query"'}


def test_headers_of_a_reply_come_with_every_kind_of_answer(provider: SimulatedProvider) -> None:
    provider.play("small", Reply(text="x", headers={"x-ratelimit-remaining-requests": "0"}))
    for wire in PATHS:
        assert post(provider, wire).headers["x-ratelimit-remaining-requests"] == "0"
