"""What a failure means, whatever library or provider said it."""

import anthropic
import httpx
import openai
import pytest
from langchain_core import exceptions as langchain_errors

from steprouter.answering.failures import (
    LASTING,
    STATUSES,
    Failure,
    FailureKind,
    Phase,
    Seen,
    cancelled,
    classify,
    truncated,
)

BEFORE, IN_TEXT = Phase.BEFORE_FIRST_TOKEN, Phase.IN_TEXT
K = FailureKind


def kind(phase=BEFORE, **seen):
    return classify(Seen(**seen), phase, model="m").kind


def ancestors(error):
    return tuple(c.__name__ for c in error.__mro__)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, K.BAD_REQUEST),
        (401, K.AUTH),
        (402, K.AUTH),
        (403, K.AUTH),
        (404, K.NOT_FOUND),
        (408, K.UNAVAILABLE),
        (413, K.CONTEXT_OVERFLOW),
        (418, K.BAD_REQUEST),
        (422, K.BAD_REQUEST),
        (429, K.RATE_LIMITED),
        (500, K.UNAVAILABLE),
        (502, K.UNAVAILABLE),
        (503, K.UNAVAILABLE),
        (504, K.UNAVAILABLE),
        (529, K.OVERLOADED),
        (599, K.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("phase", Phase)
def test_a_status_says_what_it_says_in_any_phase(status, meaning, phase):
    assert kind(phase, status=status, classes=("APIStatusError",)) is meaning


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        ("context_length_exceeded", "", K.CONTEXT_OVERFLOW),
        ("invalid_request_error", "This model's maximum context length is 8192 tokens.", K.CONTEXT_OVERFLOW),
        ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", K.CONTEXT_OVERFLOW),
        (None, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", K.CONTEXT_OVERFLOW),
        ("exceed_context_size_error", "the request exceeds the available context size", K.CONTEXT_OVERFLOW),
        (
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens",
            K.CONTEXT_OVERFLOW,
        ),
        ("content_filter", "The response was filtered", K.CONTENT_FILTERED),
        (None, "triggering Azure OpenAI's content management policy", K.CONTENT_FILTERED),
        ("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", K.AUTH),
        ("invalid_request_error", "messages.1: tool_use ids were found without tool_result", K.BAD_REQUEST),
        ("invalid_value", "permission must be one of …", K.BAD_REQUEST),
        ("rate_limit_exceeded", "", K.BAD_REQUEST),
    ],
)
def test_a_400_may_be_an_overflow_a_filter_or_a_wrong_key_in_truth(code, text, meaning):
    assert kind(status=400, code=code, text=text) is meaning


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_any_other_status_is_what_it_says_whatever_its_text_quotes(status):
    told = kind(status=status, text="prompt is too long; content_filter; invalid_api_key")
    assert told is STATUSES.get(status, K.UNAVAILABLE)


@pytest.mark.parametrize(
    ("seen", "meaning"),
    [
        (Seen(status=200, code="overloaded_error", text="Overloaded"), K.OVERLOADED),
        (Seen(status=200, code="api_error", text="Internal server error"), K.UNAVAILABLE),
        (
            Seen(code="server_error", text="server_error: The server had an error", classes=("ValueError",)),
            K.UNAVAILABLE,
        ),
        (Seen(code="rate_limit_exceeded", classes=("APIError",)), K.RATE_LIMITED),
        (Seen(text="Error 429: Too Many Requests"), K.RATE_LIMITED),
        (Seen(text="RESOURCE_EXHAUSTED"), K.RATE_LIMITED),
        (Seen(code="context_length_exceeded"), K.CONTEXT_OVERFLOW),
        (Seen(text="Incorrect API key provided"), K.AUTH),
        (Seen(code="model_not_found"), K.NOT_FOUND),
        (Seen(code="invalid_request_error"), K.BAD_REQUEST),
        (Seen(text="list index out of range", classes=("IndexError", "Exception")), K.UNKNOWN),
        (Seen(), K.UNKNOWN),
        (Seen(status=0), K.UNKNOWN),
    ],
)
def test_an_error_inside_a_stream_is_known_by_its_words(seen, meaning):
    assert classify(seen, IN_TEXT, model="m").kind is meaning


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (TimeoutError, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (httpx.ReadTimeout, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (httpx.WriteTimeout, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (openai.APITimeoutError, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (anthropic.APITimeoutError, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (langchain_errors.ModelTimeoutError, K.TIMEOUT_FIRST_TOKEN, K.STALLED),
        (httpx.ConnectTimeout, K.UNAVAILABLE, K.UNAVAILABLE),
        (httpx.ConnectError, K.UNAVAILABLE, K.UNAVAILABLE),
        (httpx.PoolTimeout, K.UNAVAILABLE, K.UNAVAILABLE),
        (httpx.RemoteProtocolError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (httpx.ReadError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (ConnectionResetError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (BrokenPipeError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (openai.APIConnectionError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (langchain_errors.ModelConnectionError, K.UNAVAILABLE, K.BROKEN_STREAM),
        (langchain_errors.ContextOverflowError, K.CONTEXT_OVERFLOW, K.CONTEXT_OVERFLOW),
        (langchain_errors.ModelRateLimitError, K.RATE_LIMITED, K.RATE_LIMITED),
        (langchain_errors.ModelAuthenticationError, K.AUTH, K.AUTH),
        (langchain_errors.ModelPermissionDeniedError, K.AUTH, K.AUTH),
        (langchain_errors.ModelNotFoundError, K.NOT_FOUND, K.NOT_FOUND),
        (langchain_errors.ModelInvalidRequestError, K.BAD_REQUEST, K.BAD_REQUEST),
        (langchain_errors.ModelAPIError, K.UNAVAILABLE, K.UNAVAILABLE),
        (RuntimeError, K.UNKNOWN, K.UNKNOWN),
    ],
)
def test_a_class_of_errors_means_the_same_in_every_library(error, before, after):
    assert kind(BEFORE, classes=ancestors(error)) is before
    assert kind(IN_TEXT, classes=ancestors(error)) is after
    assert kind(Phase.IN_TOOL_CALL, classes=ancestors(error)) is after


def test_every_error_of_langchains_taxonomy_is_known():
    taxonomy = langchain_errors.ModelError.__subclasses__()
    ours = [error for error in taxonomy if error.__module__ == langchain_errors.__name__]
    assert len(ours) >= 8
    assert K.UNKNOWN not in {kind(classes=ancestors(error)) for error in ours}


def test_the_words_of_an_overloaded_provider_are_closer_than_its_general_class():
    assert kind(code="overloaded_error", classes=("ModelAPIError",)) is K.OVERLOADED


def test_a_failure_keeps_what_was_seen_and_the_error_itself_out_of_comparison():
    seen = Seen(status=429, code="rate_limit", text="slow down", retry_after_seconds=3.0, classes=("E",))
    failure = classify(seen, BEFORE, model="m", error=ValueError("x"))
    assert failure == Failure(
        kind=K.RATE_LIMITED,
        phase=BEFORE,
        model="m",
        status=429,
        code="rate_limit",
        text="slow down",
        retry_after_seconds=3.0,
    )
    assert "ValueError" not in repr(failure)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (classify(Seen(status=503, text="busy"), BEFORE, model="m"), "m unavailable 503 (before_first_token): busy"),
        (truncated(IN_TEXT, model="m"), "m truncated (in_text): the stream ended without a finish reason"),
        (cancelled(IN_TEXT, model="m"), "m cancelled (in_text): the consumer went away"),
        (Failure(kind=K.UNKNOWN, phase=BEFORE, model="m"), "m unknown (before_first_token)"),
    ],
)
def test_a_failure_tells_in_a_line_who_failed_how_and_when(failure, words):
    assert str(failure) == words


@pytest.mark.parametrize("one", FailureKind)
def test_a_failure_may_pass_unless_the_same_request_would_meet_it_again(one):
    failure = Failure(kind=one, phase=BEFORE, model="m")
    assert failure.may_pass is (one not in LASTING)
    assert failure.is_callers is (one is K.BAD_REQUEST)
