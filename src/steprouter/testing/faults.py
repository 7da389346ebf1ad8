"""What can go wrong with an answer, as small values a reply carries in its `fault` field.

Rejection   an HTTP error instead of an answer
HangUp      the connection ends before anything was answered
Cut         the answer breaks off after some chunks
Raise       any exception, before or amid the answer (in-process models only)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

End = Literal["close", "drop", "reset"]
"""How an answer ends early: `close` is a clean end of the HTTP body, as if all had been said; `drop` is a
TCP FIN inside the body; `reset` is a TCP RST."""

CODES = MappingProxyType(
    {400: "invalid_value", 401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
)
TYPES = MappingProxyType({401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"})
MESSAGES = MappingProxyType(
    {
        "context_length_exceeded": "This model's maximum context length is 8192 tokens. "
        "Please reduce the length of the messages.",
        "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
        "invalid_api_key": "Incorrect API key provided.",
        "model_not_found": "The model does not exist or you do not have access to it.",
        "rate_limit_exceeded": "Rate limit reached for requests. Please try again later.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An HTTP error in place of an answer, with the body OpenAI's API would send.

    What is left empty is filled in as that API fills it for `status` and `code`.

    Attributes:
        status: HTTP status, 400 to 599.
        message: For humans; clients show it.
        type: Error family, such as `invalid_request_error`.
        param: The request field at fault.
        code: Machine-readable reason, such as `context_length_exceeded`.
        retry_after_seconds: Sent as `Retry-After`; None sends no such header.
        raw_body: Sent instead of the JSON error, as a proxy's HTML page would be.
    """

    status: int
    message: str = ""
    type: str = ""
    param: str | None = None
    code: str | None = None
    retry_after_seconds: float | None = None
    raw_body: str | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"status must be an HTTP error, 400 to 599, got {self.status!r}")
        if self.code is None and not self.type:
            object.__setattr__(self, "code", CODES.get(self.status))
        family = "invalid_request_error" if self.status < 500 else "server_error"
        object.__setattr__(self, "type", self.type or TYPES.get(self.status, family))
        said = MESSAGES.get(self.code or "", f"The server answered {self.status}.")
        object.__setattr__(self, "message", self.message or said)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON error object, `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """Response headers the rejection brings along."""
        if self.retry_after_seconds is None:
            return {}
        return {"retry-after": f"{self.retry_after_seconds:g}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """The connection ends after the request was read and before anything was answered.

    Attributes:
        how: `drop` (FIN) or `reset` (RST).
    """

    how: Literal["drop", "reset"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The answer breaks off, without finish reason and without `[DONE]`.

    Attributes:
        after_chunks: Chunks with content that still arrive; the opening chunk with the role is not
            counted. A number at or above the chunks there are cuts after the last word.
        how: See `End`. An answer that is not streamed cannot end cleanly early, so there `close` acts
            as `drop`. In process, `close` and `drop` end the stream and `reset` raises.
    """

    after_chunks: int
    how: End = "close"

    def __post_init__(self) -> None:
        if self.after_chunks < 0:
            raise ValueError(f"after_chunks must be 0 or more, got {self.after_chunks!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """An exception out of an in-process model; a server has no way to raise inside its client.

    Attributes:
        error: What is raised, as it is.
        after_chunks: Chunks with content that come first; 0 fails before the first token.
    """

    error: Exception = field(compare=False)
    after_chunks: int = 0

    def __post_init__(self) -> None:
        if self.after_chunks < 0:
            raise ValueError(f"after_chunks must be 0 or more, got {self.after_chunks!r}")


Fault = Rejection | HangUp | Cut | Raise


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """The part of an HTTP response that SDK errors are asked for.

    Attributes:
        status_code: HTTP status.
        headers: Names in lower case, `retry-after` among them where one was scripted.
    """

    status_code: int
    headers: Mapping[str, str]


class SimulatedError(Exception):
    """What an in-process model raises for a `Rejection`, with the attributes of OpenAI's SDK errors.

    Attributes:
        status_code: HTTP status.
        code: Machine-readable reason, such as `context_length_exceeded`.
        body: The inner error object.
        response: Status and headers.
    """

    def __init__(self, rejection: Rejection, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"Error code: {rejection.status} - {rejection.message}")
        self.status_code = rejection.status
        self.code = rejection.code
        self.body: dict[str, Any] = rejection.body["error"]
        self.response = SimulatedResponse(
            status_code=rejection.status, headers={**rejection.headers, **(headers or {})}
        )
