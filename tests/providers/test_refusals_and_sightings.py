"""Facts in errors: statuses, codes, delays, and nothing secret."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from steprouter.answering.failures import Seen
from steprouter.providers.masking import mask, shown
from steprouter.providers.refusals import code_and_text, kept_headers, refusal_of, retry_after_seconds
from steprouter.providers.sightings import seen

NOON = "Tue, 01 Dec 2026 12:00:00 GMT"
LATER = "Tue, 01 Dec 2026 12:00:30 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": LATER, "date": NOON}, 30.0),
        ({"retry-after": NOON, "date": LATER}, 0.0),
        ({"retry-after": LATER}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon", "date": NOON}, None),
        ({}, None),
    ],
)
def test_a_delay_is_read_in_seconds_milliseconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_googles_delay_is_read_from_the_body() -> None:
    details = [{"@type": "…RetryInfo", "retryDelay": "17s"}]
    body = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": details}}]
    refusal = refusal_of("m", 429, {}, json.dumps(body).encode())
    assert (refusal.code, refusal.text, refusal.retry_after_seconds) == ("RESOURCE_EXHAUSTED", "quota", 17.0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ("c", "m")),
        ({"error": {"message": "m", "type": "t", "code": None}}, ("t", "m")),
        ({"error": {"message": "m", "code": 400}}, ("400", "m")),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, ("overloaded_error", "m")),
        ({"error": "m"}, (None, "m")),
        ({"object": "error", "message": "m", "type": "BadRequestError"}, ("BadRequestError", "m")),
        ({"detail": [{"msg": "m"}]}, (None, '[{"msg": "m"}]')),
        ([], (None, "")),
        (None, (None, "")),
    ],
)
def test_error_bodies_are_read_in_every_usual_shape(body: Any, expected: tuple[str | None, str]) -> None:
    assert code_and_text(body) == expected


def test_a_body_that_is_no_json_is_kept_as_text_and_cut() -> None:
    refusal = refusal_of("m", 502, {}, b"<html>" + b"x" * 9000)
    assert (refusal.status, refusal.code, len(refusal.text)) == (502, None, 500)


def test_only_rate_limits_and_request_ids_are_kept_of_headers() -> None:
    headers = {"X-RateLimit-Reset-Tokens": "6m", "set-cookie": "a", "authorization": "b", "Request-Id": "r"}
    assert kept_headers(headers) == {"x-ratelimit-reset-tokens": "6m", "request-id": "r"}


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcDEF123 given",
        "Authorization: Bearer abc.def-ghi",
        "AIzaSyA1234567890abcdefghij0",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
        "https://me:word@host/x",
        '{"api_key": "0123456789"}',
        "gsk_abcdef123456",
    ],
)
def test_what_has_the_shape_of_a_key_is_masked(text: str) -> None:
    masked = mask(text)
    assert "***" in masked
    assert not any(part in masked for part in ("abcDEF", "abc.def", "AIza", "AKIA", "eyJ", "word", "0123", "gsk_a"))


def test_ordinary_words_are_not_taken_for_keys() -> None:
    text = "The task-based token limit of 8192 tokens was passed; ask for less."
    assert mask(text, ["x", ""]) == text


def test_a_configured_key_is_masked_before_the_text_is_cut() -> None:
    assert shown("a" * 490 + "my-own-key-0123456789", ["my-own-key-0123456789"]) == "a" * 490 + "***"


class Rejected(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__(fields.pop("message", "Error code: 400"))
        vars(self).update(fields)


def test_an_sdk_error_gives_status_code_text_and_delay() -> None:
    response = SimpleNamespace(status_code=429, headers={"Retry-After": "3"})
    body = {"message": "Slow down", "type": "tokens", "code": "rate_limit_exceeded"}
    expected = Seen(
        status=429,
        code="rate_limit_exceeded",
        text="Slow down",
        retry_after_seconds=3.0,
        classes=("Rejected", "Exception"),
    )
    assert seen(Rejected(status_code=429, body=body, response=response)) == expected


def test_an_anthropic_error_inside_a_stream_keeps_its_code_under_status_200() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    found = seen(Rejected(status_code=200, body=body))
    assert (found.status, found.code, found.text) == (200, "overloaded_error", "Overloaded")


def test_the_delay_in_a_body_that_googles_sdk_keeps_is_found() -> None:
    details = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "1.5s"}]}}
    found = seen(Rejected(code=429, status="RESOURCE_EXHAUSTED", details=details, message="m"))
    assert (found.status, found.code, found.retry_after_seconds) == (429, "RESOURCE_EXHAUSTED", 1.5)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("rate_limit_exceeded: Slow down", "rate_limit_exceeded"),
        ("ResponseError(code='server_error', message='x')", "server_error"),
        ("No code: here", None),
    ],
)
def test_a_code_written_into_the_text_is_found(text: str, code: str | None) -> None:
    assert seen(ValueError(text)).code == code


def test_the_cause_of_an_error_is_asked_where_it_says_nothing_itself() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = Rejected(status_code=503, body={"error": {"type": "busy", "message": "m"}})
    found = seen(error)
    assert (found.status, found.code, found.text) == (503, "busy", "wrapped")
    assert found.classes == ("RuntimeError", "Exception", "Rejected")


def test_a_circle_of_causes_comes_to_an_end() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert seen(one).text == "one"


def test_keys_in_an_errors_text_are_masked() -> None:
    assert seen(ValueError("Incorrect API key: my-private-key"), ["my-private-key"]).text == "Incorrect API key: ***"
