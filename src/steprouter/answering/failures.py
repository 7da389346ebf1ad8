"""What went wrong with an attempt, as one value, whatever library or provider said it."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
        retry_after_seconds: What a Retry-After header asked for.
        classes: Names of the error's class and its ancestors, the nearest first.
    """

    status: int | None = None
    code: str | None = None
    text: str = ""
    retry_after_seconds: float | None = None
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
    error: Exception | None = field(default=None, compare=False, repr=False)

    @property
    def is_callers(self) -> bool:
        """Whether the request itself is at fault, so that no other model would take it."""
        return self.kind is FailureKind.BAD_REQUEST

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind not in LASTING

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
    }
)
"""Failures that the same request would meet again."""

HIDDEN_IN_400: tuple[tuple[str, FailureKind], ...] = (
    (
        (
            r"context[_ ](length|window|limit|size)|exceed_context|maximum context|(prompt|input) is too long|"
            r"too many (input )?tokens|string_above_max_length|maximum prompt length|input token count"
        ),
        FailureKind.CONTEXT_OVERFLOW,
    ),
    ("content_filter|content_policy|responsible_ai|content management policy", FailureKind.CONTENT_FILTERED),
    ("api_key_invalid|api key not valid", FailureKind.AUTH),
)
"""What a 400 may be in truth; Google answers a wrong key with one."""

CODES: tuple[tuple[str, FailureKind], ...] = (
    *HIDDEN_IN_400,
    ("rate_limit|too many requests|quota|resource_exhausted", FailureKind.RATE_LIMITED),
    ("overloaded|slow_down", FailureKind.OVERLOADED),
    ("invalid_api_key|authentication|permission|unauthori[sz]ed|forbidden|incorrect api key", FailureKind.AUTH),
    ("model_not_found|not_found_error", FailureKind.NOT_FOUND),
    ("server_error|internal_error|api_error|service_unavailable", FailureKind.UNAVAILABLE),
    ("invalid_request|invalid_prompt|bad_request", FailureKind.BAD_REQUEST),
)
"""What providers write in codes and texts, the more telling first. Collected from the OpenAI, Anthropic, Gemini
and llama.cpp error references; a mid-stream error often has no status, so its words are all there is."""

STATUSES: dict[int, FailureKind] = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.UNAVAILABLE,
    409: FailureKind.UNAVAILABLE,
    413: FailureKind.CONTEXT_OVERFLOW,
    422: FailureKind.BAD_REQUEST,
    425: FailureKind.UNAVAILABLE,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}

CLASSES: tuple[tuple[str, FailureKind], ...] = (
    ("ContextOverflowError", FailureKind.CONTEXT_OVERFLOW),
    ("ModelRateLimitError", FailureKind.RATE_LIMITED),
    ("ModelAuthenticationError", FailureKind.AUTH),
    ("ModelPermissionDeniedError", FailureKind.AUTH),
    ("ModelNotFoundError", FailureKind.NOT_FOUND),
    ("ModelInvalidRequestError", FailureKind.BAD_REQUEST),
    ("ContentFilterFinishReasonError", FailureKind.CONTENT_FILTERED),
    ("LengthFinishReasonError", FailureKind.TRUNCATED),
)
"""LangChain's own classes (`langchain_core.exceptions`), for models that raise them without a status, and the two
that OpenAI's library raises instead of a finish reason."""

TIMEOUT_CLASSES = frozenset(
    {
        "TimeoutError",
        "TimeoutException",
        "APITimeoutError",
        "ModelTimeoutError",
        "ReadTimeout",
        "StreamChunkTimeoutError",
    }
)
CONNECT_CLASSES = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "gaierror", "SSLError"})
CONNECTION_CLASSES = frozenset(
    {
        "TransportError",
        "ConnectionError",
        "APIConnectionError",
        "ModelConnectionError",
        "ProtocolError",
        "OSError",
    }
)


def classify(seen: Seen, phase: Phase, *, model: str, error: Exception | None = None) -> Failure:
    """The failure that `seen` is, `phase` being how far the answer had come."""
    return Failure(
        kind=read_kind(seen, phase),
        phase=phase,
        model=model,
        status=seen.status,
        code=seen.code,
        text=seen.text,
        retry_after_seconds=seen.retry_after_seconds,
        error=error,
    )


def read_kind(seen: Seen, phase: Phase) -> FailureKind:
    """What `seen` means. A status outside 400–599 says nothing: errors inside a stream come with a 200."""
    status = seen.status if seen.status is not None and 400 <= seen.status <= 599 else None
    said = f"{seen.code or ''} {seen.text}"
    if status is not None:
        # A 400 may hide another kind in its words; any other status is what it says whatever its text quotes.
        plain = STATUSES.get(status, FailureKind.UNAVAILABLE if status >= 500 else FailureKind.BAD_REQUEST)
        hidden = read_words(said, HIDDEN_IN_400) if plain is FailureKind.BAD_REQUEST else None
        return hidden or plain
    named = next((kind for name, kind in CLASSES if name in seen.classes), None)
    if named is not None:
        return named
    classes = set(seen.classes)
    if classes & CONNECT_CLASSES:
        return FailureKind.UNAVAILABLE
    if classes & TIMEOUT_CLASSES:
        return FailureKind.TIMEOUT_FIRST_TOKEN if phase is Phase.BEFORE_FIRST_TOKEN else FailureKind.STALLED
    if classes & CONNECTION_CLASSES:
        return FailureKind.UNAVAILABLE if phase is Phase.BEFORE_FIRST_TOKEN else FailureKind.BROKEN_STREAM
    return read_words(said, CODES) or (FailureKind.UNAVAILABLE if "ModelAPIError" in classes else FailureKind.UNKNOWN)


def read_words(said: str, table: Sequence[tuple[str, FailureKind]]) -> FailureKind | None:
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
