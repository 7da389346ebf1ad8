"""Facts in errors: statuses, codes, delays, and nothing secret."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.failures import LONGEST_DELAY_SECONDS, Phase, Seen, classify
from steprouter.providers.masking import mask, shown
from steprouter.providers.refusals import (
    code_and_text,
    kept_headers,
    refusal_of,
    retry_after_seconds,
    retry_at,
    should_retry,
    told,
)
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
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "-0"}, None),
        ({"retry-after": " +7 "}, 7.0),
        ({"retry-after": ".5"}, 0.5),
        ({"retry-after": "9" * 400}, LONGEST_DELAY_SECONDS),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Tuesday, 01-Dec-26 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Tue Dec  1 12:00:30 2026", "date": NOON}, 30.0),
        ({"retry-after": LATER, "date": "Tue Dec  1 12:00:00 2026"}, 30.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": NOON}, LONGEST_DELAY_SECONDS),
        ({"retry-after": LATER, "date": "today"}, None),
        ({}, None),
    ],
)
def test_a_delay_is_read_in_seconds_milliseconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


DATES = st.integers(978_307_200, 2_840_140_800).map(lambda at: datetime.fromtimestamp(at, UTC))  # 2001 to 2060
FORMS = [
    lambda at: format_datetime(at, usegmt=True),
    lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    lambda at: at.strftime("%a %b %e %H:%M:%S %Y"),
]


@given(DATES, st.sampled_from(FORMS))
def test_a_date_without_the_servers_time_is_kept_as_the_moment_it_is(at: datetime, form: Any) -> None:
    assert retry_at({"retry-after": form(at)}) == at.timestamp()


@given(DATES, DATES, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_two_dates_of_any_forms_are_as_far_apart_as_they_are(
    until: datetime, now: datetime, one: Any, two: Any
) -> None:
    headers = {"retry-after": one(until), "date": two(now)}
    apart = (until - now).total_seconds()
    assert retry_after_seconds(headers) == min(max(0.0, apart), LONGEST_DELAY_SECONDS)
    assert retry_at(headers) is None


HEADER = st.one_of(
    st.text(max_size=40),
    st.floats().map(str),
    st.integers().map(str),
    st.lists(st.sampled_from(["Sun,", "06", "Nov", "1994", "0001", "08:49:37", "GMT", "+9999", "-", " "])).map(
        " ".join
    ),
)


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", "x-should-retry"]), HEADER))
def test_whatever_stands_in_the_headers_a_delay_is_sane_or_none(headers: dict[str, str]) -> None:
    delay, at = retry_after_seconds(headers), retry_at(headers)
    assert delay is None or 0.0 <= delay <= LONGEST_DELAY_SECONDS
    assert delay is None or at is None
    assert should_retry(headers) in (True, False, None)


@pytest.mark.parametrize(("said", "meaning"), [("true", True), ("False ", False), ("maybe", None), ("", None)])
def test_what_the_server_says_about_asking_again_is_read(said: str, meaning: bool | None) -> None:
    assert should_retry({"x-should-retry": said}) is meaning


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached. Please try again in 20s. Visit …", 20.0),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3.5s", 3723.5),
        ("Please try again in 250ms.", 0.25),
        ("Please retry in 34.07s.", 34.07),
        ("Please retry after 6 seconds.", 6.0),
        ("try again in 2 minutes", 120.0),
        ("try again in 2 months", None),
        ("try again later", None),
        ("try again in a few seconds", None),
    ],
)
def test_a_delay_that_only_the_text_asks_for_is_read(text: str, seconds: float | None) -> None:
    assert seen(ValueError(f"rate_limit_exceeded: {text}")).retry_after_seconds == seconds


def limited(**headers: str) -> openai.RateLimitError:
    request = httpx2.Request("POST", "https://api.example/v1")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(429, request=request, headers=named)
    return openai.RateLimitError("Please try again in 9s", response=response, body=None)


def test_headers_count_more_than_the_text_and_a_date_waits_for_the_time_of_the_router() -> None:
    assert seen(limited(retry_after="2")).retry_after_seconds == 2.0
    assert seen(limited()).retry_after_seconds == 9.0
    found = seen(limited(retry_after=LATER, x_should_retry="false"))
    assert (found.retry_after_seconds, found.should_retry) == (None, False)
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
    failure = classify(found, Phase.BEFORE_FIRST_TOKEN, model="m", now=noon)
    assert (failure.retry_after_seconds, failure.may_pass) == (30.0, False)


def test_a_refusal_on_our_own_wire_keeps_what_its_headers_ask_for() -> None:
    found = seen(refusal_of("m", 429, {"retry-after": LATER, "x-should-retry": "true"}, b"slow"))
    assert (found.retry_at, found.should_retry) == (datetime(2026, 12, 1, 12, 0, 30, tzinfo=UTC).timestamp(), True)


@pytest.mark.parametrize(
    ("own", "seconds"), [(float("nan"), None), (-1, None), (True, None), (float("inf"), LONGEST_DELAY_SECONDS)]
)
def test_a_delay_that_an_error_names_itself_is_checked_too(own: Any, seconds: float | None) -> None:
    assert seen(Rejected(retry_after_seconds=own)).retry_after_seconds == seconds


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
        (
            {"error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "spend_limit"}}},
            ("spend_limit", "m"),
        ),
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


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://host.example/v1/models?key=0123456789&alt=sse failed", "0123456789"),
        ("GET wss://host.example/v1#token=0123456789", "0123456789"),
        ("header ' padded-key-1234'", " padded-key-1234\n"),
        ("redirected to /v1/a%2Fb%2Bc1234", "a/b+c1234"),
    ],
)
def test_a_key_is_found_in_an_address_and_in_any_of_its_forms(text: str, secret: str) -> None:
    words = told(text, [secret])
    assert not any(part in words for part in ("0123456789", "padded", "b%2Bc"))
    assert "host.example" in words or "host" not in text


def test_aws_errors_are_read_from_the_dictionary_they_carry() -> None:
    response = {
        "Error": {"Code": "ThrottlingException", "Message": "Too many requests"},
        "ResponseMetadata": {"HTTPStatusCode": 429},
    }
    found = seen(Rejected(response=response, message="An error occurred"))
    assert (found.status, found.code, found.text) == (429, "ThrottlingException", "Too many requests")


def test_a_status_that_only_the_text_has_is_found() -> None:
    assert seen(RuntimeError("Error code: 503 - upstream")).status == 503
    assert seen(RuntimeError("gave up after 500 tries")).status is None


def test_an_error_that_cannot_be_printed_is_told_by_its_class() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise TypeError

    assert seen(Unprintable()).text == "Unprintable"


def test_a_group_of_one_error_is_that_error() -> None:
    assert seen(ExceptionGroup("tasks", [Rejected(status_code=503)])).status == 503
    assert seen(ExceptionGroup("tasks", [Rejected(status_code=503), Rejected(status_code=401)])).status is None
