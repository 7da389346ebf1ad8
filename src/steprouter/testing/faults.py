"""What can go wrong with an answer, as small values a reply carries in its `fault` field.

Instead of an answer:
    Rejection        an HTTP error, with or without Retry-After
    HangUp           the connection ends before anything was answered
    Raise            any exception, before or amid the answer (in-process models only)
The answer ends early:
    Cut              it breaks off after some chunks: cleanly, by FIN or by RST
    CutAtByte        it breaks off at a byte of the HTTP body, amid a line or a character
    Stall            it stops and nothing follows, until the client gives up
    ErrorEvent       an error event comes inside the stream, in the format's own shape
    ContentFilter    a filter refuses the prompt, or stops the answer
The answer is damaged on its way:
    Garbage          bytes that belong to no answer come between two chunks
    InvalidUtf8      a chunk holds bytes that are no UTF-8
    Duplicate        a chunk comes twice, as behind an at-least-once proxy
The model is at fault:
    WrongTool        it calls a tool that was not offered
    BrokenArguments  the arguments of its calls are not valid JSON
Nothing is wrong, and clients must cope:
    Slow             it takes its time, really
    SplitUtf8        characters arrive in two halves
    HugeChunk        all the text comes in one huge chunk

A chunk is one piece of content: some words, the name of a called tool, or part of its arguments. The opening
of a stream (role, `response.created`, `message_start`) is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Literal, get_args

End = Literal["close", "drop", "reset"]
"""How an answer ends early: `close` is a clean end of the HTTP body, as if all had been said; `drop` is a
TCP FIN inside the body; `reset` is a TCP RST."""

CODES = MappingProxyType(
    {400: "invalid_value", 401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
)
TYPES = MappingProxyType({401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"})
MESSAGES = MappingProxyType(
    {
        "content_filter": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy. Please modify your prompt and retry.",
        "context_length_exceeded": "This model's maximum context length is 8192 tokens. "
        "Please reduce the length of the messages.",
        "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
        "invalid_api_key": "Incorrect API key provided.",
        "model_not_found": "The model does not exist or you do not have access to it.",
        "rate_limit_exceeded": "Rate limit reached for requests. Please try again later.",
    }
)


def check_count(name: str, value: object, way_out: str, lowest: int = 0) -> None:
    """Refuse what is not a whole number from `lowest` on.

    Raises:
        ValueError: It is not; says the rule, the value and the way out.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"{name} must be {lowest} or more, got {value!r}; {way_out}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ValueError: It is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}; choose one of them")


BEFORE_FIRST = "0 is before the first chunk"


def default_type(status: int) -> str:
    """The error family OpenAI's API gives for a status."""
    return TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def default_message(status: int, code: str | None) -> str:
    """What OpenAI's API says about a code."""
    return MESSAGES.get(code or "", f"The server answered {status}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An HTTP error in place of an answer, with the body the asked API would send.

    What is left empty is filled in as OpenAI's API fills it for `status` and `code`; Anthropic's format has
    its own families and words for what was left empty.

    Attributes:
        status: HTTP status, 400 to 599.
        message: For humans; clients show it.
        type: Error family, such as `invalid_request_error`.
        param: The request field at fault.
        code: Machine-readable reason, such as `context_length_exceeded`; not in Anthropic's format.
        retry_after_seconds: Sent as `Retry-After`; None sends no such header.
        retry_after: The same header as a moment (sent as HTTP-date) or as any text, to script nonsense.
        raw_body: Sent instead of the JSON error, as a proxy's HTML page would be.
    """

    status: int
    message: str = ""
    type: str = ""
    param: str | None = None
    code: str | None = None
    retry_after_seconds: float | None = None
    retry_after: datetime | str | None = None
    raw_body: str | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"status must be an HTTP error, 400 to 599, got {self.status!r}; say() makes an answer")
        self._check_retry_after()
        if self.code is None and not self.type:
            object.__setattr__(self, "code", CODES.get(self.status))
        object.__setattr__(self, "type", self.type or default_type(self.status))
        object.__setattr__(self, "message", self.message or default_message(self.status, self.code))

    def _check_retry_after(self) -> None:
        seconds, moment = self.retry_after_seconds, self.retry_after
        if seconds is not None and moment is not None:
            raise ValueError(
                f"Retry-After must be given once, got retry_after_seconds={seconds!r} and retry_after={moment!r}; "
                "leave one out"
            )
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise ValueError(
                f"retry_after_seconds must be 0 or more, got {seconds!r}; for nonsense write retry_after='text'"
            )
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError(f"retry_after must know its time zone, got {moment!r}; write tzinfo=UTC")
        if isinstance(moment, str) and not (moment.isprintable() and moment.isascii()):
            raise ValueError(f"retry_after must be printable ASCII, as a header is, got {moment!r}; use other nonsense")

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's JSON error object, `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """Response headers the rejection brings along."""
        match self.retry_after:
            case datetime() as moment:
                return {"retry-after": format_datetime(moment.astimezone(UTC), usegmt=True)}
            case str() as text:
                return {"retry-after": text}
        return {} if self.retry_after_seconds is None else {"retry-after": f"{self.retry_after_seconds:g}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """The connection ends after the request was read and before anything was answered.

    Attributes:
        how: `drop` (FIN) or `reset` (RST).
    """

    how: Literal["drop", "reset"] = "drop"

    def __post_init__(self) -> None:
        check_choice("how", self.how, ("drop", "reset"))


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
        check_count("after_chunks", self.after_chunks, BEFORE_FIRST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The answer breaks off, without finish reason and without its closing event.

    Attributes:
        after_chunks: Chunks with content that still arrive. A number at or above the chunks there are cuts
            after the last word.
        how: See `End`. An answer that is not streamed cannot end cleanly early, so there `close` acts
            as `drop`. In process, `close` and `drop` end the stream and `reset` raises.
    """

    after_chunks: int
    how: End = "close"

    def __post_init__(self) -> None:
        check_count("after_chunks", self.after_chunks, BEFORE_FIRST)
        check_choice("how", self.how, get_args(End))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAtByte:
    """The answer breaks off at a byte, wherever that is: amid a line, a JSON text, a character.

    Attributes:
        at_byte: Bytes of the HTTP body that still arrive, HTTP's own framing not counted. A number at or
            above the body's length lets all of it arrive: then `close` harms nothing.
        how: See `End`; `close` acts as `drop` where the answer is not streamed.
    """

    at_byte: int
    how: End = "reset"

    def __post_init__(self) -> None:
        check_count("at_byte", self.at_byte, "0 is before the first byte of the body")
        check_choice("how", self.how, get_args(End))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The answer stops and the connection stays open, until the client goes away or the provider closes.

    Attributes:
        after_chunks: Chunks with content that come first, after the opening of the stream; None answers
            nothing at all, not even a status. An answer that is not streamed never begins.
    """

    after_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.after_chunks is not None:
            check_count("after_chunks", self.after_chunks, "None is before the status line")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """The stream reports an error of its own, with status 200 long sent, and ends.

    An answer that is not streamed becomes the HTTP error for the same code.

    Attributes:
        after_chunks: Chunks with content that come first.
        code: Machine-readable reason; `server_error`, `rate_limit_exceeded` and `overloaded` are put into
            each format's words, any other goes out as it is.
        message: For humans; empty is what the API says.
        shape: In the Responses format, an `error` event or a `response.failed`; no difference elsewhere.
    """

    after_chunks: int = 0
    code: str = "server_error"
    message: str = ""
    shape: Literal["error", "failed"] = "error"

    def __post_init__(self) -> None:
        check_count("after_chunks", self.after_chunks, BEFORE_FIRST)
        check_choice("shape", self.shape, ("error", "failed"))

    @property
    def text(self) -> str:
        """What is said: the message, or the API's words for the code."""
        return self.message or MESSAGES.get(self.code, "The server had an error while processing your request.")

    @property
    def status(self) -> int:
        """HTTP status of the same error outside a stream."""
        return {"rate_limit_exceeded": 429, "rate_limit_error": 429, "overloaded": 529, "overloaded_error": 529}.get(
            self.code, 500
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFilter:
    """A content filter steps in.

    Attributes:
        after_chunks: None refuses the prompt with a 400. A number lets that many chunks pass and ends the
            answer as filtered: `finish_reason: content_filter` in Chat Completions, `response.incomplete`
            with reason `content_filter` in Responses, `stop_reason: refusal` in Messages.
    """

    after_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.after_chunks is not None:
            check_count("after_chunks", self.after_chunks, "None refuses the prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    r"""Bytes that belong to no answer; the answer goes on behind them.

    Attributes:
        after_chunks: Chunks with content that come first. In an answer that is not streamed the bytes
            stand at about that part of the body.
        data: What comes; None is an event of the format whose data is a proxy's HTML page. A comment line
            longer than any limit is `b": " + b"x" * 10_000_000 + b"\n\n"`, and harmless by the standard.
    """

    after_chunks: int = 0
    data: bytes | None = None

    def __post_init__(self) -> None:
        check_count("after_chunks", self.after_chunks, BEFORE_FIRST)
        if self.data == b"":
            raise ValueError("data must not be empty, got b''; None sends an event that is not JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidUtf8:
    """One chunk holds a byte that no UTF-8 text holds (0xFF), inside its text or arguments.

    Attributes:
        chunk: Which, from 0; past the last it is the last. An answer without content is unharmed.
    """

    chunk: int = 0

    def __post_init__(self) -> None:
        check_count("chunk", self.chunk, "0 is the first chunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """One event comes twice, byte for byte. An answer that is not streamed is unharmed.

    Attributes:
        chunk: Which, from 0; past the last it is the last.
    """

    chunk: int = 0

    def __post_init__(self) -> None:
        check_count("chunk", self.chunk, "0 is the first chunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongTool:
    """The model calls a tool that was not offered: each of its calls, or one where it would call none.

    Attributes:
        name: What it calls; a request that does offer this tool answers 400 `script_failed`.
    """

    name: str = "tool_that_was_not_offered"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty, got ''; leave it out for a made-up tool")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenArguments:
    """The arguments of every call lack their last character, though the answer ends as if all were well.

    An answer without calls is unharmed.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The answer takes its time, for real; in process by the model's clock.

    Attributes:
        first_token_seconds: Waiting before the first chunk.
        seconds_per_chunk: Waiting before each further chunk.
    """

    first_token_seconds: float = 0.0
    seconds_per_chunk: float = 0.0

    def __post_init__(self) -> None:
        for name in ("first_token_seconds", "seconds_per_chunk"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)!r}; Stall() never goes on")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitUtf8:
    """A healthy answer whose events arrive in two halves.

    Each is split inside its first character of several bytes, or in the middle where there is none. The
    halves are HTTP chunks and TCP segments of their own.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeChunk:
    """A healthy answer whose text is stretched, by repetition, and comes as one chunk on one line.

    The request's token limit does not shorten it, and usage stays that of the reply as written.

    Attributes:
        characters: Length of the text.
    """

    characters: int = 2_000_000

    def __post_init__(self) -> None:
        check_count("characters", self.characters, "1 is the shortest text", lowest=1)


Fault = (
    Rejection
    | HangUp
    | Raise
    | Cut
    | CutAtByte
    | Stall
    | ErrorEvent
    | ContentFilter
    | Garbage
    | InvalidUtf8
    | Duplicate
    | WrongTool
    | BrokenArguments
    | Slow
    | SplitUtf8
    | HugeChunk
)
