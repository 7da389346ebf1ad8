"""What went wrong with an attempt, as one value, whatever library or provider said it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class FailureKind(StrEnum):
    """What a failure means for the router."""

    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"  # noqa: S105  # a token of an answer, not a password
    STALLED = "stalled"
    TRUNCATED = "truncated"
    BROKEN_STREAM = "broken_stream"
    CONTEXT_OVERFLOW = "context_overflow"
    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONTENT_FILTERED = "content_filtered"
    REFUSED = "refused"
    INVALID_OUTPUT = "invalid_output"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """How far an answer had come when it broke off."""

    BEFORE_FIRST_TOKEN = "before_first_token"  # noqa: S105  # a token of an answer, not a password
    IN_TEXT = "in_text"
    IN_TOOL_CALL = "in_tool_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a wire saw of a failure: facts, no judgement, no secrets.

    Attributes:
        status: HTTP status, where there was one; 200 when the error came inside a stream.
        code: The provider's error code or type (`context_length_exceeded`, `overloaded_error`, …).
        text: What the provider or library said; shortened, keys masked.
        retry_after_seconds: How long the provider asked to wait.
        retry_at: When it asked to come back, where it named a date without saying what time it has; Unix seconds.
        should_retry: What an `x-should-retry` header said.
        classes: Names of the error's class and its ancestors, the nearest first.
    """

    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_seconds: float | None = None
    retry_at: float | None = None
    should_retry: bool | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt gave no answer.

    Attributes:
        kind: What it means for the router.
        phase: How far the answer had come.
        model: The model that was asked.
        provider: Who runs it, where known.
        status: HTTP status, where there was one.
        code: The provider's own code.
        text: What was said about it; shortened, keys masked.
        retry_after_seconds: What the provider asked to wait.
        should_retry: What the provider itself said about asking again; None where it said nothing.
        error: The error itself, for chaining; never stored.
    """

    kind: FailureKind
    phase: Phase
    model: str
    provider: str | None = None
    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_seconds: float | None = None
    should_retry: bool | None = None
    error: Exception | None = field(default=None, compare=False, repr=False)

    @property
    def is_callers(self) -> bool:
        """Whether the request itself is at fault, so that no other model would take it."""
        return self.kind is FailureKind.BAD_REQUEST

    @property
    def is_lasting_for_deployment(self) -> bool:
        """Whether this deployment refuses everybody until somebody changes a key, a name, an address or a bill."""
        return self.kind in OUT_OF_ORDER

    @property
    def is_unpaid(self) -> bool:
        """Whether money is what is missing: that can be mended without any change of the configuration."""
        return self.kind is FailureKind.AUTH and (
            self.status == 402 or read_words(f"{self.code or ''} {self.text}", MONEY) is not None
        )

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether another model may be asked the same without asking a policy first."""
        return self.kind not in STAYS

    @property
    def may_pass(self) -> bool:
        """Whether the same request to the same model may succeed later; the provider's own word counts most."""
        return self.kind not in LASTING if self.should_retry is None else self.should_retry

    def __str__(self) -> str:
        status = f" {self.status}" if self.status else ""
        said = f": {self.text}" if self.text else ""
        return f"{self.model} {self.kind}{status} ({self.phase}){said}"


LASTING = frozenset(
    {
        FailureKind.AUTH,
        FailureKind.BAD_REQUEST,
        FailureKind.CONTENT_FILTERED,
        FailureKind.CONTEXT_OVERFLOW,
        FailureKind.NOT_FOUND,
        FailureKind.REFUSED,
        FailureKind.UNSUPPORTED,
    }
)
"""Failures that the same request would meet again."""

LONGEST_DELAY_SECONDS = 366 * 86_400.0
"""A longer delay is cut to this: it means never either way, and any clock and store can hold it."""

OUT_OF_ORDER = frozenset({FailureKind.AUTH, FailureKind.NOT_FOUND})
"""Failures of a deployment as it is configured, whatever it is asked."""

STAYS = frozenset({FailureKind.BAD_REQUEST, FailureKind.CANCELLED, FailureKind.CONTENT_FILTERED, FailureKind.REFUSED})
"""Failures that are not another model's business, or only if a policy says so."""

Words = tuple[tuple[str, FailureKind], ...]

MONEY: Words = (
    (
        (
            r"insufficient[_ ](quota|balance|credit|fund)|credit[_ ]balance|spend(ing)?[_ ]limit|arrearage|"
            r"billing_(error|hard_limit|not_active)|exceeded_current_quota|reached your specified api usage limits|"
            r"credits (are|have been) (depleted|exhausted|used up)|\blimit: 0\b"
        ),
        FailureKind.AUTH,
    ),
)
"""Money or a plan is missing, so no waiting helps: what 402 says, but many say it with a 429 (OpenAI, Moonshot), 400
(Anthropic, DashScope) or 403. Never "check your plan and billing details" alone: Google says so of every rate limit,
and means it only where the limit is 0."""

OVERFLOW: Words = (
    (
        (
            r"context[_ ]?(length|window|limit|size)|exceed_context|maximum context|(prompt|input) is too long|"
            r"too many (input )?tokens|maximum (prompt|model) length|input token count|input tokens exceed|"
            r"reduce the length of the|inputs?` tokens \+|string_above_max_length.{0,40}(messages|input)"
        ),
        FailureKind.CONTEXT_OVERFLOW,
    ),
)
"""How servers say that the prompt is too long: OpenAI, Anthropic, Gemini, Bedrock, Mistral, xAI, Groq, vLLM, SGLang,
TGI, llama.cpp."""

FILTERED: Words = (
    (
        (
            r"content[_ ]?filter|content[_ ]policy|responsible_?ai|content management policy|usage (policy|guidelines)|"
            r"data_?inspection_?failed|content exists risk|moderation|safety system|safety_check"
        ),
        FailureKind.CONTENT_FILTERED,
    ),
)
"""How servers say that somebody looked at the content and objected: Azure, OpenAI, Anthropic, DashScope, DeepSeek,
OpenRouter and xAI (the last two with a 403)."""

KEYS: Words = (
    (
        (
            r"api_key_invalid|api key (not valid|not found|expired|invalid)|(incorrect|invalid)[_ ]api[_ ]key|"
            r"organization_(on_hold|type_not_supported)|cmek_key|(location|country) is not supported|"
            r"free tier is not available|key_creator_not_member"
        ),
        FailureKind.AUTH,
    ),
    (r"model[_ ](not[_ ](found|exist)|decommissioned|deprecated)|invalid[_ ]model\b", FailureKind.NOT_FOUND),
)
"""A wrong key or model that a 400 hides: Google and xAI say so of keys, Groq, Mistral and DeepSeek of models."""

OWN_OBJECT = (
    r"\b(file|resp|msg|thread|container|cntr|conv|skill|vs|rs|fc)[-_][a-z0-9]{6,}|\bfiles/|cachedcontent|"
    r"\b(file|thread|user_profile)_(expired|not_)|user_profile_|linked_organization_"
)
"""Something that only the caller could have named, such as an uploaded file or a profile that pays: that it is missing
says nothing of the deployment, which would otherwise be out for everybody because of one stale id."""

TOO_MUCH_AT_ONCE = r"request too large for"
"""OpenAI and Groq refuse so what is larger than a whole minute's tokens: it would be again in an hour."""

HIDDEN: Mapping[int, Words] = {
    400: (
        *MONEY,
        *OVERFLOW,
        *FILTERED,
        *KEYS,
        ("throttling", FailureKind.RATE_LIMITED),
        ("request_body_timeout", FailureKind.UNAVAILABLE),
    ),
    402: ((OWN_OBJECT, FailureKind.BAD_REQUEST),),
    403: (
        *MONEY,
        *FILTERED,
        (OWN_OBJECT, FailureKind.BAD_REQUEST),
        (
            r"quota[_ ]?exceeded|exceeded .{0,40}quota|call volume quota|rate[_ ]?limit|throttl",
            FailureKind.RATE_LIMITED,
        ),
    ),
    404: ((OWN_OBJECT, FailureKind.BAD_REQUEST),),
    429: (*MONEY, (TOO_MUCH_AT_ONCE, FailureKind.CONTEXT_OVERFLOW)),
}
"""What a status may be in truth, by its words; any other status is what it says, whatever its text quotes. What is
the caller's mistake is read as a 400."""

CODES: Words = (
    *MONEY,
    *OVERFLOW,
    *FILTERED,
    *KEYS,
    (r"request_too_large", FailureKind.CONTEXT_OVERFLOW),
    (r"rate_?limit|too[_ ]?many[_ ]?requests|quota|resource_?exhausted|throttl", FailureKind.RATE_LIMITED),
    (r"overloaded|slow_down|high demand", FailureKind.OVERLOADED),
    (
        (
            r"authentication_?error|unauthenticated|resolve authentication|missing credentials|invalid_grant|"
            r"permission_?(error|denied)|unauthori[sz]ed|forbidden|access_?denied|expired_?token|service_disabled"
        ),
        FailureKind.AUTH,
    ),
    (r"(vector_store|upstream)_timeout|unavailable|server_?error|internal[_ ]?(error|server)", FailureKind.UNAVAILABLE),
    (r"not_?found_?error|\bnot_found\b|resource_?not_?found", FailureKind.NOT_FOUND),
    (r"^internal |deadline_?exceeded|timeout_error|\baborted\b|data_loss|api_error", FailureKind.UNAVAILABLE),
    (r"response resp\S+ failed|missing 'choices'|null value for .choices|model_?error", FailureKind.UNAVAILABLE),
    (r"no generation chunks|no generations found in stream", FailureKind.TRUNCATED),
    (
        (
            r"invalid_?(request|prompt|argument|image|base64)|bad_?request|failed_precondition|out_of_range|"
            r"validation_?(error|exception)|^(image|empty|unsupported)_|surrogates not allowed|not json serializable"
        ),
        FailureKind.BAD_REQUEST,
    ),
)
"""What providers write in codes and texts, the more telling first. Collected from the OpenAI, Anthropic, Gemini,
Bedrock and llama.cpp error references; a mid-stream error often has no status, so its words are all there is."""

UNSENT: Words = ((r"illegal header|in header value|'(ascii|latin-1)' codec can't encode", FailureKind.AUTH),)
"""A request that could not even be written, because a header cannot be: nearly always the key."""

STATUSES: Mapping[int, FailureKind] = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    405: FailureKind.NOT_FOUND,
    407: FailureKind.AUTH,
    408: FailureKind.UNAVAILABLE,
    409: FailureKind.UNAVAILABLE,
    410: FailureKind.NOT_FOUND,
    413: FailureKind.CONTEXT_OVERFLOW,
    421: FailureKind.UNAVAILABLE,
    422: FailureKind.BAD_REQUEST,
    423: FailureKind.UNAVAILABLE,
    424: FailureKind.UNAVAILABLE,
    425: FailureKind.UNAVAILABLE,
    429: FailureKind.RATE_LIMITED,
    444: FailureKind.UNAVAILABLE,
    451: FailureKind.AUTH,
    460: FailureKind.UNAVAILABLE,
    498: FailureKind.OVERLOADED,
    499: FailureKind.UNAVAILABLE,
    529: FailureKind.OVERLOADED,
}
"""Beyond the standard's: 424 is a failed model behind Bedrock or TGI, 444, 460 and 499 are proxies that hung up, 498
is Groq and 529 Anthropic without capacity. Of others, 3xx is a wrong address, 4xx the caller's, 5xx the server's."""

CLASSES: Mapping[str, FailureKind] = {
    "ContextOverflowError": FailureKind.CONTEXT_OVERFLOW,
    "ModelRateLimitError": FailureKind.RATE_LIMITED,
    "ModelAuthenticationError": FailureKind.AUTH,
    "ModelPermissionDeniedError": FailureKind.AUTH,
    "ModelNotFoundError": FailureKind.NOT_FOUND,
    "ModelInvalidRequestError": FailureKind.BAD_REQUEST,
    # OpenAI's library and LangChain's integration of it, instead of a finish reason.
    "ContentFilterFinishReasonError": FailureKind.CONTENT_FILTERED,
    "LengthFinishReasonError": FailureKind.TRUNCATED,
    "OpenAIRefusalError": FailureKind.REFUSED,
    "OpenAIModerationError": FailureKind.CONTENT_FILTERED,
    "OutputParserException": FailureKind.INVALID_OUTPUT,
    "SSRFBlockedError": FailureKind.BAD_REQUEST,
    # Keys that are fetched, not given.
    "CredentialsError": FailureKind.AUTH,
    "DefaultCredentialsError": FailureKind.AUTH,
    "EphemeralTokenAPIKeyError": FailureKind.AUTH,
    "MutuallyExclusiveAuthError": FailureKind.AUTH,
    "NoCredentialsError": FailureKind.AUTH,
    "SubjectTokenProviderError": FailureKind.AUTH,
    "WorkloadIdentityError": FailureKind.AUTH,
    # An address that cannot be asked.
    "InvalidSchema": FailureKind.NOT_FOUND,
    "InvalidURL": FailureKind.NOT_FOUND,
    "MissingSchema": FailureKind.NOT_FOUND,
    "TooManyRedirects": FailureKind.NOT_FOUND,
    "UnsupportedProtocol": FailureKind.NOT_FOUND,
    # A router as a candidate of a router.
    "ContextTooLong": FailureKind.CONTEXT_OVERFLOW,
    "AllModelsFailed": FailureKind.UNAVAILABLE,
    "BudgetExceeded": FailureKind.RATE_LIMITED,
    # `concurrent.futures` has one that is an ordinary Exception.
}
"""Classes that say what is wrong where no status does. `ModelAPIError` is not here: the words say more."""

CONNECT_CLASSES = frozenset(
    {
        "ClientConnectorError", "ConnectError", "ConnectTimeout", "ConnectTimeoutError", "ConnectionFailed",
        "ConnectionRefusedError", "EndpointConnectionError", "NameResolutionError", "NewConnectionError",
        "PoolTimeout", "ProxyError", "SSLCertVerificationError", "gaierror", "herror",
    }
)  # fmt: skip
"""No connection came about, so nobody was reached."""

TIMEOUT_CLASSES = frozenset(
    {
        "APITimeoutError", "ModelTimeoutError", "NodeTimeoutError", "ReadTimeout", "ReadTimeoutError",
        "Timeout", "TimeoutError", "TimeoutException",
    }
)  # fmt: skip

BROKEN_CLASSES = frozenset(
    {
        "APIConnectionError", "APIResponseValidationError", "AnswerBroken", "BrokenResourceError",
        "ClientConnectionError", "ClientPayloadError", "ClosedResourceError", "ConnectionClosed", "ConnectionError",
        "ConnectionNotAvailable", "ContinuationInterruptedError", "EOFError", "EndOfStream", "H2Error",
        "HTTPClientError", "HTTPException", "IncompleteRead", "JSONDecodeError", "LimitOverrunError",
        "ModelConnectionError", "NetworkError", "NoResponseError", "OSError", "ProtocolError", "RequestError",
        "ResponseValidationError", "StreamClosed", "TransportError", "UnicodeDecodeError",
        "UnknownApiResponseError", "ValidationError", "WebSocketConnectionClosedError",
    }
)  # fmt: skip
"""The connection broke, or what came over it made no sense."""

SERVER_CLASSES = frozenset({"APIError", "GenAiError", "ModelAPIError", "RetryableError"})
"""The server reported an error, and none of its words is known: a stream that says so has no status."""


def classify(
    seen: Seen, phase: Phase, *, model: str, error: Exception | None = None, now: float | None = None
) -> Failure:
    """The failure that `seen` is.

    Args:
        seen: What the wire saw.
        phase: How far the answer had come.
        model: Who was asked.
        error: What was raised.
        now: Unix seconds, to measure a date against that came without the server's own time; without it such a
            date asks for nothing.
    """
    delay = seen.retry_after_seconds
    if delay is None and seen.retry_at is not None and now is not None:
        delay = sane_seconds(seen.retry_at - now)
    return Failure(
        kind=read_kind(seen, phase),
        phase=phase,
        model=model,
        status=seen.status,
        code=seen.code,
        text=seen.text,
        retry_after_seconds=delay,
        should_retry=seen.should_retry,
        error=error,
    )


def sane_seconds(seconds: float) -> float:
    """A delay that is neither over before it begins nor longer than anyone can wait."""
    return min(max(0.0, seconds), LONGEST_DELAY_SECONDS)


def read_kind(seen: Seen, phase: Phase) -> FailureKind:
    """What `seen` means: a status says most, then classes, then words."""
    said = f"{seen.code or ''} {seen.text}".lstrip()
    status = telling_status(seen)
    if status is not None:
        return read_status(status, said, seen.classes)
    known = read_words(said, UNSENT) or read_classes(seen.classes, phase) or read_words(said, CODES)
    if known is not None:
        return known
    return FailureKind.UNKNOWN if SERVER_CLASSES.isdisjoint(seen.classes) else FailureKind.UNAVAILABLE


def telling_status(seen: Seen) -> int | None:
    """The status that says something; errors inside a stream come with a 200, and may have theirs as their code."""
    if seen.status is not None and 300 <= seen.status <= 599:
        return seen.status
    code = seen.code or ""
    return int(code) if re.fullmatch(r"[45][0-9]{2}", code) else None


def read_status(status: int, said: str, classes: Sequence[str]) -> FailureKind:
    """What a status means, in view of what was said with it."""
    if status < 400:
        return FailureKind.NOT_FOUND
    plain = STATUSES.get(status, FailureKind.UNAVAILABLE if status >= 500 else FailureKind.BAD_REQUEST)
    if plain is not FailureKind.BAD_REQUEST:
        return read_words(said, HIDDEN.get(status, ())) or plain
    # LangChain's integrations know further ways to say that a prompt is too long.
    return read_words(said, HIDDEN[400]) or (
        FailureKind.CONTEXT_OVERFLOW if "ContextOverflowError" in classes else plain
    )


def read_classes(classes: Sequence[str], phase: Phase) -> FailureKind | None:
    """What the classes of an error and of its causes mean: a connection that never was is one whatever came of it."""
    named = next((CLASSES[name] for name in classes if name in CLASSES), None)
    if named is not None:
        return named
    if not CONNECT_CLASSES.isdisjoint(classes):
        return FailureKind.UNAVAILABLE
    before = phase is Phase.BEFORE_FIRST_TOKEN
    if not TIMEOUT_CLASSES.isdisjoint(classes):
        return FailureKind.TIMEOUT_FIRST_TOKEN if before else FailureKind.STALLED
    if not BROKEN_CLASSES.isdisjoint(classes):
        return FailureKind.UNAVAILABLE if before else FailureKind.BROKEN_STREAM
    # Last: asyncio ends what takes too long by cancelling it, so a time-out has such a cause too.
    return FailureKind.CANCELLED if "CancelledError" in classes else None


def read_words(said: str, table: Words) -> FailureKind | None:
    """The first kind of `table` that a provider's code or text names."""
    lowered = said.lower()
    return next((kind for pattern, kind in table if re.search(pattern, lowered)), None)


def truncated(phase: Phase, *, model: str) -> Failure:
    """The failure of a stream that ended without saying why: never an answer, however polite the ending."""
    return Failure(
        kind=FailureKind.TRUNCATED, phase=phase, model=model, text="the stream ended without a finish reason"
    )


def cancelled(phase: Phase, *, model: str) -> Failure:
    """The failure of an attempt whose consumer went away."""
    return Failure(kind=FailureKind.CANCELLED, phase=phase, model=model, text="the consumer went away")
