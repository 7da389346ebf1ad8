"""What can go wrong on a wire of our own, as errors that carry facts.

WireError
├── Unreachable     no connection: refused, no such host, TLS, or too slow (ConnectionError)
├── NoFirstToken    connected, but nothing was said in time (TimeoutError)
├── Stalled         nothing more was said in time (TimeoutError)
├── BrokenOff       the connection ended, or stopped making sense, before the answer did (ConnectionError)
└── HttpRefusal     the server answered with an error
    └── StreamRefusal   it did so inside a stream that began well
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from ..answering.failures import sane_seconds
from ..errors import StepRouterError
from .masking import shown

KEPT_HEADERS = (
    "x-ratelimit-", "anthropic-ratelimit-", "retry-after", "x-should-retry", "x-request-id", "request-id",
)  # fmt: skip
"""Prefixes of the response headers that are kept as data; none of them can hold a secret."""

COUNT = re.compile(r"\s*\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*")
"""A count of seconds (RFC 9110, 10.2.3) or, as many servers send, a fraction of them; `float` would take `nan` too."""

QUERY = re.compile(r"""(\b(?:https?|wss?)://[^\s?#'"<>]+)[?#][^\s'"<>)]*""", re.IGNORECASE)
"""An address with a query, which is where some providers' keys are (`?key=…`)."""

RETRY_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')
"""Google's `RetryInfo`, which comes in the body instead of a header."""


class WireError(StepRouterError):
    """A call on one of our own wires failed; nothing in it is secret."""


class Unreachable(WireError, ConnectionError):
    """No connection came about: refused, unknown host, failed TLS, or not in time."""


class NoFirstToken(WireError, TimeoutError):
    """The request was sent and nothing was said in time."""


class Stalled(WireError, TimeoutError):
    """The answer had begun, and nothing more was said in time."""


class BrokenOff(WireError, ConnectionError):
    """The connection ended, or what came stopped making sense, before the answer was finished."""


class HttpRefusal(WireError):
    """The server answered with an error.

    Attributes:
        status: HTTP status.
        code: The server's code, else its error type, such as `context_length_exceeded`.
        text: The server's message; shortened, keys masked.
        retry_after_seconds: What the server asked for; None where it did not say.
        headers: Rate limits and request id, lower-case names.
    """

    def __init__(
        self,
        where: str,
        *,
        status: int,
        code: str | None = None,
        text: str = "",
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        named = f" ({code})" if code else ""
        super().__init__(f"{where} answered {status}{named}: {text}")
        self.status = status
        self.code = code
        self.text = text
        self.retry_after_seconds = retry_after_seconds
        self.headers = dict(headers or {})


class StreamRefusal(HttpRefusal):
    """The server reported an error inside a stream that began with status 200."""


def refusal_of(
    where: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str] = ()
) -> HttpRefusal:
    """The error in a response that is not an answer.

    Args:
        where: Name of the model, for the message.
        status: HTTP status.
        headers: Response headers, looked up by lower-case names.
        body: As much of the body as was read.
        secrets: Keys that were sent.
    """
    said = body.decode("utf-8", "replace")
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        value = None
    code, text = code_and_text(value)
    delay = retry_after_seconds(headers)
    return HttpRefusal(
        where,
        status=status,
        code=told(code, secrets, limit=100) if code else None,
        text=told(text or said.strip(), secrets),
        retry_after_seconds=retry_delay(said) if delay is None else delay,
        headers=kept_headers(headers),
    )


def stream_refusal(where: str, error: object, secrets: Iterable[str] = ()) -> StreamRefusal:
    """The error in an event that a stream sent in place of an answer."""
    code, text = code_and_text({"error": error})
    text = text or (error if isinstance(error, str) else json.dumps(error, default=str))
    return StreamRefusal(
        where,
        status=200,
        code=told(code, secrets, limit=100) if code else None,
        text=told(text, secrets),
    )


def told(text: str, secrets: Iterable[str] = (), *, limit: int = 500) -> str:
    """What a provider or library said, without keys and at most `limit` characters long.

    A key is looked for as it is, as it stands in an address, and without the white space that made it unusable.
    """
    plain = {secret.strip() for secret in secrets}
    forms = plain | {quote(secret, safe="") for secret in plain} | {repr(secret)[1:-1] for secret in secrets}
    return shown(QUERY.sub(r"\1", text[: limit * 20]), [form for form in forms if form], limit=limit)


def code_and_text(body: Any) -> tuple[str | None, str]:
    """Code and message in an error body of any of the usual shapes.

    OpenAI: `{"error": {"message", "type", "code"}}`. Google sends that in a list, Ollama `{"error": "text"}`,
    FastAPI servers `{"detail": …}`, Mistral and old vLLM the fields without `error` around them.
    """
    match body:
        case [first, *_]:
            return code_and_text(first)
        case {"error": {"error": inner}}:
            return code_and_text({"error": inner})
        case {"error": str(text)}:
            return None, text
        case {"error": {} as fields} | ({"message": _} as fields):
            return code_in(fields), text_in(fields.get("message"))
        case {"detail": detail}:
            return None, text_in(detail)
    return None, ""


def code_in(fields: Mapping[str, Any]) -> str | None:
    """The most telling name of an error.

    Anthropic's `error_code`, else `code` unless it only repeats the HTTP status, else `type`.
    """
    details = fields.get("details")
    exact = details.get("error_code") if isinstance(details, Mapping) else None
    named = [exact, *(fields.get(key) for key in ("code", "type", "status"))]
    words = [name for name in named if isinstance(name, str) and name and not name.isdigit()]
    if words:
        return words[0]
    return next((str(name) for name in named if isinstance(name, int | str) and name), None)


def text_in(message: Any) -> str:
    """A message as text; FastAPI sends lists and objects."""
    if message is None:
        return ""
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, default=str)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What the server asked for, in seconds from now; None if it did not say or it cannot be told.

    A date is measured against the response's own `Date`, because the two clocks may differ; without one see
    `retry_at`.
    """
    exact = seconds_in(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    given = headers.get("retry-after")
    plain = seconds_in(given)
    if plain is not None or not given:
        return plain
    until, now = date_in(given), date_in(headers.get("date"))
    return sane_seconds((until - now).total_seconds()) if until and now else None


def retry_at(headers: Mapping[str, str]) -> float | None:
    """When the server asked to come back, in Unix seconds, where it named a date but not its own time."""
    if retry_after_seconds(headers) is not None:
        return None
    until = date_in(headers.get("retry-after"))
    return until.timestamp() if until else None


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What the server says about asking again: OpenAI's and Anthropic's libraries obey this header."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def retry_delay(body: str) -> float | None:
    """The delay that Google writes into the JSON of an error, in seconds; None where there is none."""
    found = RETRY_DELAY.search(body)
    return sane_seconds(float(found[1])) if found else None


def seconds_in(text: str | None) -> float | None:
    """A count of 0 or more; None for anything else, so that a broken header asks for nothing."""
    found = COUNT.fullmatch(text or "")
    return sane_seconds(float(found[1])) if found else None


def date_in(text: str | None) -> datetime | None:
    """An HTTP date in any of its three forms (RFC 9110, 5.6.7); one without a zone is UTC."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Rate limits and request id out of response headers, under lower-case names."""
    return {
        name.lower(): told(value, limit=200) for name, value in headers.items() if name.lower().startswith(KEPT_HEADERS)
    }
