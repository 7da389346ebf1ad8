"""What a failure means, whatever library or provider said it."""

import asyncio
import importlib
import inspect
import json
import re
import ssl
import typing

import anthropic
import httpx
import httpx2
import openai
import pytest
import requests
from langchain_core import exceptions as langchain_errors
from langgraph import errors as graph_errors

from steprouter.answering.failures import (
    LASTING,
    LONGEST_DELAY_SECONDS,
    OUT_OF_ORDER,
    STATUSES,
    STAYS,
    Failure,
    FailureKind,
    Phase,
    Seen,
    cancelled,
    classify,
    truncated,
)
from steprouter.drive import passing_errors
from steprouter.providers.refusals import NoFirstToken
from steprouter.providers.sightings import seen as sighted

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
        (301, K.NOT_FOUND),
        (404, K.NOT_FOUND),
        (405, K.NOT_FOUND),
        (407, K.AUTH),
        (408, K.UNAVAILABLE),
        (409, K.UNAVAILABLE),
        (410, K.NOT_FOUND),
        (413, K.CONTEXT_OVERFLOW),
        (418, K.BAD_REQUEST),
        (422, K.BAD_REQUEST),
        (424, K.UNAVAILABLE),
        (425, K.UNAVAILABLE),
        (451, K.AUTH),
        (498, K.OVERLOADED),
        (499, K.UNAVAILABLE),
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


@pytest.mark.parametrize(
    ("status", "code", "text", "meaning"),
    [
        # Too long, in the words of each server.
        (400, None, "Input tokens exceed the configured limit of 272000 tokens.", K.CONTEXT_OVERFLOW),
        (
            400,
            "BadRequestError",
            "The decoder prompt is longer than the maximum model length of 8192",
            K.CONTEXT_OVERFLOW,
        ),
        (
            400,
            None,
            "The input (9000 tokens) is longer than the model's context length (8192 tokens)",
            K.CONTEXT_OVERFLOW,
        ),
        (422, "validation", "`inputs` tokens + `max_new_tokens` must be <= 4096", K.CONTEXT_OVERFLOW),
        (413, "request_too_large", "Request exceeds the maximum allowed number of bytes", K.CONTEXT_OVERFLOW),
        (429, "rate_limit_exceeded", "Request too large for gpt-4o on tokens per min (TPM)", K.CONTEXT_OVERFLOW),
        (400, "string_above_max_length", "Invalid 'messages[1].content': string too long", K.CONTEXT_OVERFLOW),
        (400, "string_above_max_length", "Invalid 'tools[0].function.description': too long", K.BAD_REQUEST),
        # Somebody looked at the content.
        (400, "invalid_request_error", "Output blocked by content filtering policy", K.CONTENT_FILTERED),
        (400, "invalid_prompt", "Your prompt was flagged as violating our usage policy", K.CONTENT_FILTERED),
        (400, None, '{"innererror": {"code": "ResponsibleAIPolicyViolation"}}', K.CONTENT_FILTERED),
        (403, None, "Your chosen model requires moderation and your input was flagged", K.CONTENT_FILTERED),
        (403, None, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", K.CONTENT_FILTERED),
        # Money: no waiting helps, and no other request would be taken either.
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing", K.AUTH),
        (429, "exceeded_current_quota_error", "Your account is suspended", K.AUTH),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: free_tier_requests, limit: 0, model: x", K.AUTH),
        (429, "contract_spend_limit_reached", "", K.AUTH),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", K.AUTH),
        (400, None, "You have reached your specified API usage limits. You will regain access on …", K.AUTH),
        (402, None, "Insufficient Balance", K.AUTH),
        # The same words of Google's are an ordinary limit.
        (
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing",
            K.RATE_LIMITED,
        ),
        (429, "rate_limit_error", "would exceed your organization's rate limit of 40,000 input tokens", K.RATE_LIMITED),
        (403, "rateLimitExceeded", "", K.RATE_LIMITED),
        (403, None, "Out of call volume quota. Quota will be replenished in 01:23:45.", K.RATE_LIMITED),
        (400, "ThrottlingException", "Too many requests", K.RATE_LIMITED),
        # Keys and models that a 400 or 403 hides.
        (400, None, "Incorrect API key provided: xa***. Obtain one at console.x.ai", K.AUTH),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", K.AUTH),
        (403, "PERMISSION_DENIED", "The API requires a quota project, which is not set by default", K.AUTH),
        (400, None, "Model Not Exist", K.NOT_FOUND),
        (400, "model_decommissioned", "The model `x` has been decommissioned", K.NOT_FOUND),
        # A model, or the whole address; and what only the caller could have named.
        (404, "model_not_found", "The model `gpt-9` does not exist", K.NOT_FOUND),
        (404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta", K.NOT_FOUND),
        (404, None, "404 page not found", K.NOT_FOUND),
        (404, "not_found_error", "File Not Found", K.NOT_FOUND),
        (404, "not_found_error", "File not found: file_011CNha8iCJcU1wXNR6q4V8w", K.BAD_REQUEST),
        (404, "file_expired", "", K.BAD_REQUEST),
        (404, None, "Previous response with id 'resp_0123456789' not found.", K.BAD_REQUEST),
        (403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)", K.BAD_REQUEST),
        # What handover repairs explain stays the caller's.
        (400, None, "This model does not support assistant message prefill.", K.BAD_REQUEST),
        (400, None, "Expected last role User or Tool (or Assistant with prefix True)", K.BAD_REQUEST),
        (400, None, "max_tokens: 99999 > 64000, the maximum allowed number of output tokens", K.BAD_REQUEST),
        (400, "INVALID_ARGUMENT", "Please ensure that function call turn comes after a user turn", K.BAD_REQUEST),
        # Google's own, and what comes in the code only.
        (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", K.UNAVAILABLE),
        (504, "DEADLINE_EXCEEDED", "", K.UNAVAILABLE),
        (200, "502", "Provider disconnected", K.UNAVAILABLE),
        (None, "429", "slow down", K.RATE_LIMITED),
    ],
)
def test_the_words_of_a_refusal_tell_apart_what_its_status_does_not(status, code, text, meaning):
    assert kind(status=status, code=code, text=text) is meaning


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
        (Seen(code="DEADLINE_EXCEEDED"), K.UNAVAILABLE),
        (Seen(code="INTERNAL", text=""), K.UNAVAILABLE),
        (Seen(code="INVALID_ARGUMENT"), K.BAD_REQUEST),
        (Seen(code="BadRequestError", text="no"), K.BAD_REQUEST),
        (Seen(code="image_file_not_found"), K.BAD_REQUEST),
        (Seen(code="vector_store_timeout"), K.UNAVAILABLE),
        (Seen(code="insufficient_quota"), K.AUTH),
        (Seen(text="Response resp_1 failed.", classes=("ValueError",)), K.UNAVAILABLE),
        (Seen(text="No generation chunks were returned", classes=("ValueError",)), K.TRUNCATED),
        (Seen(text="Could not resolve authentication method.", classes=("TypeError",)), K.AUTH),
        (Seen(text="'utf-8' codec can't encode character: surrogates not allowed"), K.BAD_REQUEST),
        (Seen(text="'ascii' codec can't encode character", classes=("UnicodeEncodeError",)), K.AUTH),
        (Seen(text="Illegal header value b'x'", classes=("LocalProtocolError", "TransportError")), K.AUTH),
        (Seen(text="An error occurred during streaming", classes=("APIError",)), K.UNAVAILABLE),
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
    assert failure.is_lasting_for_deployment is (one in OUT_OF_ORDER)
    assert failure.may_go_elsewhere is (one not in STAYS)


@pytest.mark.parametrize("one", FailureKind)
@pytest.mark.parametrize("word", [True, False])
def test_what_the_provider_says_about_asking_again_counts_more_than_the_kind(one, word):
    assert Failure(kind=one, phase=BEFORE, model="m", should_retry=word).may_pass is word


@pytest.mark.parametrize(
    ("seen", "unpaid"),
    [
        (Seen(status=402), True),
        (Seen(status=429, code="insufficient_quota"), True),
        (Seen(status=400, text="Your credit balance is too low"), True),
        (Seen(status=401, code="invalid_api_key"), False),
        (Seen(status=429, code="rate_limit_exceeded"), False),
    ],
)
def test_missing_money_lasts_like_a_wrong_key_and_can_be_told_from_it(seen, unpaid):
    failure = classify(seen, BEFORE, model="m")
    assert failure.is_unpaid is unpaid
    assert failure.is_lasting_for_deployment is (seen.code != "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("at", "now", "seconds"),
    [(130.0, 100.0, 30.0), (130.0, 200.0, 0.0), (130.0, None, None), (1e12, 0.0, LONGEST_DELAY_SECONDS)],
)
def test_a_date_without_the_servers_own_time_is_measured_against_the_time_passed_in(at, now, seconds):
    failure = classify(Seen(status=429, retry_at=at), BEFORE, model="m", now=now)
    assert failure.retry_after_seconds == seconds


def test_a_delay_that_the_server_counted_itself_needs_no_clock():
    failure = classify(Seen(retry_after_seconds=3.0, retry_at=1.0), BEFORE, model="m", now=100.0)
    assert failure.retry_after_seconds == 3.0


# Every class that a call could raise, in every library at hand: before the first token, and amid the answer.

GONE, SLOW = (K.UNAVAILABLE, K.BROKEN_STREAM), (K.TIMEOUT_FIRST_TOKEN, K.STALLED)
TRANSPORT = {
    K.UNAVAILABLE: "ConnectError ConnectTimeout PoolTimeout ProxyError",
    GONE: "CloseError NetworkError ReadError WriteError LocalProtocolError ProtocolError RemoteProtocolError "
    "RequestError TransportError DecodingError StreamClosed SSEError ConnectionNotAvailable",
    SLOW: "ReadTimeout WriteTimeout TimeoutException",
    K.NOT_FOUND: "InvalidURL TooManyRedirects UnsupportedProtocol",
    K.AUTH: "HTTPStatusError",  # with the 401 that it is made with here
    # Mistakes in our own use of the library, and nothing a request brings about.
    K.UNKNOWN: "CookieConflict HTTPError RequestNotRead ResponseNotRead StreamConsumed StreamError",
}
SDK = {
    GONE: "APIConnectionError APIResponseValidationError WebSocketConnectionClosedError",
    SLOW: "APITimeoutError",
    K.UNAVAILABLE: "APIError APIStatusError ConflictError InternalServerError APIWebhookValidationError "
    "ClientClosedRequestError GatewayTimeoutError HTTPNotImplementedError RequestTimeoutError RetryableError "
    "ServiceUnavailableError CMEKContextUnavailableError CMEKKeyUnreachableError BetaRequestBodyTimeoutError "
    "ConcurrentMembershipChangeError SkillReadBlockedUndecryptableError",
    K.OVERLOADED: "OverloadedError CompactionUnavailableError",
    K.RATE_LIMITED: "RateLimitError RampLimitExceededError",
    K.AUTH: "AuthenticationError OAuthError PermissionDeniedError PaymentRequiredError SubjectTokenProviderError "
    "CredentialsError IdentityTokenFileError WorkloadIdentityError CMEKKeyDisabledError CMEKKeyNetworkBlockedError "
    "ClaudeCodeKeyCreatorNotMemberError ContractSpendLimitReachedError EnforcedSpendLimitReachedError "
    "OrganizationOnHoldError OrganizationTypeNotSupportedError SandboxEgressRestrictedError",
    K.NOT_FOUND: "NotFoundError RBACRoleNotFoundError",
    K.CONTEXT_OVERFLOW: "ContentTooLargeError RequestBodyTooLargeAfterDecodingError",
    K.CONTENT_FILTERED: "ContentFilterFinishReasonError",
    K.TRUNCATED: "LengthFinishReasonError",
    K.BAD_REQUEST: "BadRequestError UnprocessableEntityError PreconditionFailedError RequestHeaderFieldsTooLargeError "
    "ClaudeCodeVersionTooOldError LinkedOrganizationBillingUnavailableError LinkedOrganizationSpendLimitReachedError "
    "ParentOrganizationRequiredError RequestBodyEncodingInvalidError RequestBodyEncodingUnsupportedError "
    "AvailableToolsLimitExceededError BetaOrganizationNotEnrolledInBetaError BetaUnsupportedCharsetError "
    "CompactionBlockAmbiguousError CompactionBlockMisplacedError CompactionContentMismatchError "
    "CompactionIncompleteTurnError CompactionNothingToSummarizeError CompactionSignatureInvalidError "
    "CompactionTooManyToolReferencesError CompactionToolChangesMismatchError FileExpiredError "
    "FileNotDownloadableError ImageDimensionsTooLargeError OrgMemberLimitExceededError StorageQuotaExceededError "
    "ThreadAlreadyContinuedError ThreadContinueInFlightError ThreadFingerprintMismatchError ThreadNotFoundError "
    "ThreadUnsupportedRequestError ToolNameConflictError ToolReferenceUnresolvedError "
    "UserProfileBillingNotAuthorizedError UserProfileNotBillableError UserProfileNotFoundError "
    "UserProfileRequiredError",
    # Bases that say nothing, webhooks, and a queue of this process.
    K.UNKNOWN: "AnthropicError OpenAIError InvalidWebhookSignatureError WebSocketQueueFullError",
}
INTEGRATION = {
    K.CONTEXT_OVERFLOW: "ContextOverflowError OpenAIAPIContextOverflowError OpenAIContextOverflowError "
    "AnthropicContextOverflowError GoogleContextOverflowError",
    K.UNAVAILABLE: "ModelAPIError OpenAIAPIError AnthropicAPIError GoogleAPIError APIError ServerError",
    K.OVERLOADED: "AnthropicOverloadedError",
    K.AUTH: "ModelAuthenticationError ModelPermissionDeniedError OpenAIAuthenticationError "
    "OpenAIPermissionDeniedError AnthropicAuthenticationError AnthropicPermissionDeniedError "
    "GoogleAuthenticationError GooglePermissionDeniedError",
    K.BAD_REQUEST: "ClientError ModelInvalidRequestError OpenAIInvalidRequestError AnthropicInvalidRequestError "
    "GoogleInvalidRequestError",
    K.NOT_FOUND: "ModelNotFoundError OpenAIModelNotFoundError AnthropicModelNotFoundError GoogleModelNotFoundError",
    K.RATE_LIMITED: "ModelRateLimitError OpenAIRateLimitError AnthropicRateLimitError GoogleRateLimitError",
    GONE: "ModelConnectionError OpenAIConnectionError AnthropicConnectionError UnknownApiResponseError "
    "ContinuationInterruptedError",
    SLOW: "ModelTimeoutError OpenAITimeoutError AnthropicTimeoutError StreamChunkTimeoutError NodeTimeoutError",
    K.REFUSED: "OpenAIRefusalError",
    K.INVALID_OUTPUT: "OutputParserException",
    K.UNKNOWN: "LangChainException ModelError TracerException ChatGoogleGenerativeAIError GoogleGenerativeAIError "
    "FunctionInvocationError UnknownFunctionCallArgumentError UnsupportedFunctionError "
    # A graph inside a candidate that went wrong by itself.
    "EmptyChannelError EmptyInputError GraphRecursionError InvalidUpdateError NodeCancelledError TaskNotFound "
    "UnknownInterruptError",
}
PYTHON = {
    GONE: "OSError BlockingIOError BrokenPipeError ChildProcessError ConnectionAbortedError ConnectionError "
    "ConnectionResetError EOFError FileExistsError FileNotFoundError InterruptedError IsADirectoryError "
    "NotADirectoryError PermissionError ProcessLookupError UnicodeDecodeError SSLEOFError SSLError SSLSyscallError "
    "SSLWantReadError SSLWantWriteError SSLZeroReturnError IncompleteReadError LimitOverrunError JSONDecodeError "
    "BadStatusLine CannotSendHeader CannotSendRequest HTTPException ImproperConnectionState IncompleteRead "
    "LineTooLong NotConnected RemoteDisconnected ResponseNotReady UnimplementedFileMode UnknownProtocol "
    "UnknownTransferEncoding",
    SLOW: "TimeoutError",
    K.UNAVAILABLE: "ConnectionRefusedError SSLCertVerificationError gaierror herror",
    K.NOT_FOUND: "InvalidURL",
    K.CANCELLED: "CancelledError",
    # Mistakes in somebody's code.
    K.UNKNOWN: "Exception ArithmeticError AssertionError AttributeError BufferError ExceptionGroup "
    "FloatingPointError ImportError IndentationError IndexError KeyError LookupError MemoryError ModuleNotFoundError "
    "NameError NotImplementedError OverflowError PythonFinalizationError RecursionError ReferenceError RuntimeError "
    "StopAsyncIteration StopIteration SyntaxError SystemError TabError TypeError UnboundLocalError "
    "UnicodeEncodeError UnicodeError UnicodeTranslateError ValueError ZeroDivisionError BrokenBarrierError "
    "InvalidStateError QueueEmpty QueueFull QueueShutDown SendfileNotAvailableError BrokenExecutor",
}
REQUESTS = {
    GONE: "ChunkedEncodingError ConnectionError ContentDecodingError HTTPError InvalidHeader InvalidJSONError "
    "JSONDecodeError RequestException RetryError SSLError StreamConsumedError URLRequired UnrewindableBodyError",
    K.UNAVAILABLE: "ConnectTimeout ProxyError",
    SLOW: "ReadTimeout Timeout",
    K.NOT_FOUND: "InvalidProxyURL InvalidSchema InvalidURL MissingSchema TooManyRedirects",
}
PLACES = {
    **dict.fromkeys(("httpx", "httpx2", "httpcore", "httpcore2", "h11"), TRANSPORT),
    **dict.fromkeys(("openai", "openai._exceptions", "anthropic", "anthropic._exceptions", "anthropic.types"), SDK),
    "langchain_core.exceptions": INTEGRATION,
    "langchain_openai.chat_models.base": INTEGRATION,
    "langchain_openai.chat_models._client_utils": INTEGRATION,
    "langchain_anthropic.chat_models": INTEGRATION,
    "google.genai.errors": INTEGRATION,
    "langchain_google_genai.chat_models": INTEGRATION,
    "langgraph.errors": INTEGRATION,
    "requests.exceptions": REQUESTS,
    **dict.fromkeys(("builtins", "ssl", "socket", "asyncio", "http.client", "json", "concurrent.futures"), PYTHON),
}
ABSTRACT = {"h11": "ProtocolError"}
"""Classes that their library lets nobody make."""

POST = httpx2.Request("POST", "https://api.example/v1")
CUT_SHORT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": ""}}],
}
HOW_TO_MAKE = {
    "APIConnectionError": lambda make: make(request=POST),
    "APITimeoutError": lambda make: make(POST),
    "APIResponseValidationError": lambda make: make(httpx2.Response(200, request=POST), None),
    "OAuthError": lambda make: make(response=httpx2.Response(401, request=POST), body=None),
    "HTTPStatusError": lambda make: make(
        "said",
        request=httpx.Request("POST", "https://api.example/v1"),
        response=httpx.Response(401, request=httpx.Request("POST", "https://api.example/v1")),
    ),
    "LengthFinishReasonError": lambda make: make(completion=openai.types.chat.ChatCompletion.model_validate(CUT_SHORT)),
    "ContentFilterFinishReasonError": lambda make: make(),
    "WebSocketConnectionClosedError": lambda make: make("said", unsent_messages=[]),
    "StreamChunkTimeoutError": lambda make: make(3.0),
    "NodeTimeoutError": lambda make: make("node", 3.0, kind="run", run_timeout=2.0),
    "UnknownInterruptError": lambda make: make("said", reason="empty_map"),
    "UnicodeDecodeError": lambda make: make("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "UnicodeEncodeError": lambda make: make("utf-8", "x", 0, 1, "said"),
    "UnicodeTranslateError": lambda make: make("x", 0, 1, "said"),
    "ExceptionGroup": lambda make: make("said", [ValueError("one"), ValueError("two")]),
    "IncompleteReadError": lambda make: make(b"", 3),
    "IncompleteRead": lambda make: make(b""),
    "LimitOverrunError": lambda make: make("said", 0),
    "JSONDecodeError": lambda make: make("said", "doc", 0),
}


def raised_by(place):
    """The public error classes of a module, the library's own only, under the names they were given."""
    module = importlib.import_module(place)
    library = {"socket": "socket", "ssl": "ssl"}.get(place, place.split(".")[0])
    for name, one in sorted(vars(module).items()):
        if not inspect.isclass(one) or not issubclass(one, Exception) or issubclass(one, Warning):
            continue
        own = one.__module__.split(".")[0] == library or one.__module__ == f"_{library}"
        if own and name == one.__name__ and not name.startswith("_") and name != ABSTRACT.get(place):
            yield one


def meanings(table):
    return {
        name: one if isinstance(one, tuple) else (one, one) for one, names in table.items() for name in names.split()
    }


def made(one):
    """A real instance, as its library makes it from a real response."""
    if one.__name__ in HOW_TO_MAKE:
        return HOW_TO_MAKE[one.__name__](one)
    if issubclass(one, openai.APIConnectionError | anthropic.APIConnectionError):
        return one(POST) if issubclass(one, openai.APITimeoutError | anthropic.APITimeoutError) else one(request=POST)
    if issubclass(one, openai.APIStatusError | anthropic.APIStatusError):
        status = getattr(one, "status_code", 500)
        cause = typing.get_args(inspect.get_annotations(one).get("error_code"))
        detail = {"error_code": cause[0]} if cause and cause[0] is not None and isinstance(cause[0], str) else {}
        body = {"type": "error", "error": {"type": "said", "message": "said", "details": detail}}
        return one("said", response=httpx2.Response(status, request=POST), body=body)
    if issubclass(one, openai.APIError | anthropic.APIError):
        return one("said", POST, body=None)
    if one.__module__.startswith(("google", "langchain_google")) and hasattr(one, "raise_error"):
        status = 400 if "ClientError" in ancestors(one) else 503
        return one(status, {"error": {"code": status, "message": "said"}})
    takes = inspect.signature(one).parameters if one.__module__.startswith("httpx") else {"message": None}
    return one("said") if takes else one()


@pytest.mark.parametrize("place", PLACES)
def test_every_error_class_of_every_library_means_what_the_table_says(place):
    pytest.importorskip(place)
    known = meanings(PLACES[place])
    control_flow = graph_errors.GraphBubbleUp
    classes = [one for one in raised_by(place) if not issubclass(one, control_flow)]
    new = [one.__name__ for one in classes if one.__name__ not in known]
    assert not new, f"{place} has error classes without a verdict in this table: {', '.join(new)}"
    found = {one.__name__: tuple(read(made(one), phase) for phase in (BEFORE, IN_TEXT)) for one in classes}
    assert found == {name: known[name] for name in found}
    assert found, f"{place} has no error classes any more"


def read(error, phase):
    return classify(sighted(error), phase, model="m", error=error).kind


@pytest.mark.parametrize("one", [c for c in raised_by("langgraph.errors") if issubclass(c, graph_errors.GraphBubbleUp)])
def test_control_flow_of_a_graph_is_never_taken_for_a_failure(one):
    assert issubclass(one, passing_errors())


@pytest.mark.parametrize("one", [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit])
def test_a_callers_cancellation_is_no_exception_that_could_be_taken_for_a_failure(one):
    assert not issubclass(one, Exception)


# What the libraries leave unclassified in the middle of a stream.


def plain_openai(body):
    return openai.APIError("An error occurred during streaming", POST, body=body)


def anthropic_in_stream(body):
    return anthropic.APIStatusError("said", response=httpx2.Response(200, request=POST), body=body)


def raised_from(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (plain_openai({"message": "m", "type": "server_error", "code": None}), K.UNAVAILABLE),
        (plain_openai({"message": "m", "type": "tokens", "code": "rate_limit_exceeded"}), K.RATE_LIMITED),
        (plain_openai({"message": "m", "code": 502}), K.UNAVAILABLE),
        (plain_openai({"message": "m", "type": "BadRequestError", "code": 400}), K.BAD_REQUEST),
        (plain_openai("something new"), K.UNAVAILABLE),
        (anthropic_in_stream({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}), K.OVERLOADED),
        (anthropic_in_stream({"type": "error", "error": {"type": "api_error", "message": "m"}}), K.UNAVAILABLE),
        (anthropic_in_stream({"type": "error", "error": {"type": "something_new", "message": "m"}}), K.UNAVAILABLE),
        (anthropic_in_stream(None), K.UNAVAILABLE),
        (ValueError("server_error: The server had an error"), K.UNAVAILABLE),
        (ValueError("rate_limit_exceeded: Rate limit reached for gpt"), K.RATE_LIMITED),
        (ValueError("ResponseError(code='invalid_prompt', message='flagged by our usage policy')"), K.CONTENT_FILTERED),
        (ValueError("code='server_error' message='x'"), K.UNAVAILABLE),
        (ValueError({"message": "m", "code": 429}), K.RATE_LIMITED),
        (KeyError("Response missing 'choices' key: dict_keys(['error'])"), K.UNAVAILABLE),
        (RuntimeError("Error code: 503 - upstream"), K.UNAVAILABLE),
        (httpx2.RemoteProtocolError("peer closed connection without sending complete message body"), K.BROKEN_STREAM),
        (httpx2.ReadTimeout("timed out"), K.STALLED),
        (json.JSONDecodeError("Expecting value", "data: {", 0), K.BROKEN_STREAM),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), K.BROKEN_STREAM),
        (raised_from(httpx2.ReadError("bad record"), ssl.SSLError("bad record mac")), K.BROKEN_STREAM),
        (raised_from(openai.APITimeoutError(POST), httpx2.ConnectTimeout("slow")), K.UNAVAILABLE),
        (ExceptionGroup("tasks", [httpx2.ReadError("")]), K.BROKEN_STREAM),
        (asyncio.IncompleteReadError(b"", 4), K.BROKEN_STREAM),
    ],
)
def test_what_libraries_leave_unclassified_in_a_stream_is_known_all_the_same(error, meaning):
    assert read(error, IN_TEXT) is meaning


def test_an_error_that_merely_was_being_handled_is_not_taken_for_the_models():
    error = ValueError("a bug")
    error.__context__ = openai.RateLimitError("slow", response=httpx2.Response(429, request=POST), body=None)
    assert read(error, BEFORE) is K.UNKNOWN


KEY = "Zx81-private/key+0123456789"
ADDRESS = f"https://api.example/v1?key={KEY}"


@pytest.mark.parametrize(
    "error",
    [
        httpx.HTTPStatusError(
            f"Client error '401' for url '{ADDRESS}'",
            request=httpx.Request("POST", ADDRESS),
            response=httpx.Response(401),
        ),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}\\n'"),
        httpx2.ConnectError(f"cannot connect to {ADDRESS}"),
        openai.AuthenticationError(
            "said",
            response=httpx2.Response(401, request=httpx2.Request("POST", ADDRESS, headers={"authorization": KEY})),
            body={"message": f"Incorrect API key provided: {KEY}", "code": f"bad_{KEY}"},
        ),
        anthropic.AuthenticationError(
            f"invalid x-api-key: {KEY}",
            response=httpx2.Response(401, request=POST, headers={"x-api-key": KEY, "retry-after": KEY}),
            body=None,
        ),
        requests.exceptions.InvalidHeader(f"Invalid leading whitespace in header value: ' {KEY}'"),
        ValueError(f"invalid_api_key: {KEY}"),
        ValueError({"message": KEY, "code": KEY}),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("known", [True, False])
def test_no_key_gets_into_what_is_told_of_a_failure(error, known):
    """A configured key never; a stranger's where it stands in an address or under its label."""
    found = sighted(error, [KEY + "\n"] if known else [])
    failure = classify(found, BEFORE, model="m", error=error)
    told = f"{failure} {failure!r} {found!r} {failure.text} {failure.code}"
    labelled = re.search(r"[?]key=|api-key:|Bearer", str(error))
    if known or labelled:
        assert KEY not in told
        assert "private" not in told


def test_googles_errors_are_read_with_what_their_integration_left_of_them():
    errors = pytest.importorskip("google.genai.errors")
    body = {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": f"Quota exceeded for {ADDRESS}",
            "details": [{"@type": "…RetryInfo", "retryDelay": "17.5s"}],
        }
    }
    wrapped = raised_from(RuntimeError("Error calling model 'gemini'"), errors.ClientError(429, body))
    failure = classify(sighted(wrapped), BEFORE, model="m")
    assert (failure.kind, failure.status, failure.code) == (K.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED")
    assert (failure.retry_after_seconds, KEY in repr(failure)) == (17.5, False)


@pytest.mark.parametrize(
    ("phase", "kind"), [(Phase.BEFORE_FIRST_TOKEN, "timeout_first_token"), (Phase.IN_TEXT, "stalled")]
)
def test_a_time_out_that_asyncio_made_by_cancelling_is_a_time_out(phase: Phase, kind: str) -> None:
    late, timer = NoFirstToken("model 'm' said nothing within 1 s"), TimeoutError()
    timer.__cause__, late.__cause__ = asyncio.CancelledError(), timer
    assert classify(sighted(late), phase, model="m", error=late).kind == kind
