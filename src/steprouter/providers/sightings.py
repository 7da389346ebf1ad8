"""Facts in an error, whichever library raised it. No provider's package is imported for that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..answering.failures import Seen, sane_seconds
from .refusals import (
    code_and_text,
    code_in,
    retry_after_seconds,
    retry_at,
    retry_delay,
    should_retry,
    text_in,
    told,
)

LONGEST_CHAIN = 8
"""Errors in a chain that are looked at; real ones have two or three."""

CODE_FIRST = re.compile(r"^([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\s*:\s+(.*)", re.DOTALL)
"""`code: message`, as langchain-openai writes the errors of a Responses stream into a plain ValueError."""

CODE_INSIDE = re.compile(r"""\bcode=['"]([A-Za-z0-9_.-]+)['"]""")
"""`ResponseError(code='server_error', …)`, its other way."""

STATUS_INSIDE = re.compile(r"\b(?:http|status|error)(?:[ _-]?code)?[ :=]{1,3}([45][0-9]{2})\b", re.IGNORECASE)
"""`Error code: 503`, where a library kept the status in the text only."""

LENGTH = r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|seconds?|minutes?|hours?)(?![a-z])"
ASKED_TO_WAIT = re.compile(rf"\b(?:try again|retry) (?:in|after) ((?:{LENGTH} ?)+)", re.IGNORECASE)
"""OpenAI ("Please try again in 6m0s"), Gemini ("Please retry in 34.07s") and Azure ("Please retry after 6 seconds"),
whose errors inside a stream have no headers."""

SECONDS_IN = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

LONGEST_TEXT = 10_000
"""Characters of a text that are read; only the first few hundred are ever shown."""

NOT_TELLING = frozenset({"object", "BaseException", "Generic", "Protocol"})


def seen(error: BaseException, secrets: Iterable[str] = ()) -> Seen:
    """The facts in `error` and, where it says little itself, in the errors that caused it.

    Args:
        error: What was raised.
        secrets: Keys that may be quoted in its text.
    """
    secrets = tuple(secrets)
    chain = list(causes(error))
    status = first(status_of(one) for one in chain)
    code = first(code_of(one) for one in chain)
    text = (first(text_of(one) for one in chain) or type(error).__name__)[:LONGEST_TEXT]
    if code is None and status is None:
        code = code_in_text(text)
        status = status_in_text(text) if code is None else None
    delay = first(delay_of(one) for one in chain)
    date = first(retry_at(headers_of(one)) for one in chain) if delay is None else None
    return Seen(
        status=status,
        code=told(code, secrets, limit=100) if code else None,
        text=told(text, secrets),
        retry_after_seconds=delay_in_text(text) if delay is None and date is None else delay,
        retry_at=date,
        should_retry=first(should_retry(headers_of(one)) for one in chain),
        classes=class_names(chain),
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the nearest first; a group of one is its member's.

    What merely was being handled at the time does not count: a router called from an `except` block of its user's
    would take the user's error for the model's.
    """
    met: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in met and len(met) < LONGEST_CHAIN:
        met.add(id(current))
        yield current
        alone = (
            current.exceptions[0] if isinstance(current, BaseExceptionGroup) and len(current.exceptions) == 1 else None
        )
        current = alone or current.__cause__


def first(values: Iterable[Any]) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error names, in any of the usual attributes."""
    response = getattr(error, "response", None)
    own = [getattr(error, name, None) for name in ("status_code", "status", "http_status", "code")]
    if isinstance(response, Mapping):  # AWS' libraries
        metadata = response.get("ResponseMetadata")
        own.append(metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None)
    for value in (*own, getattr(response, "status_code", None)):
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value)
    return None


def body_of(error: BaseException) -> Any:
    """The body of the response as the library kept it; some raise `ValueError(body)`."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and isinstance(aws := response.get("Error"), Mapping):
        return {"code": aws.get("Code"), "message": aws.get("Message")}
    candidates = (getattr(error, "body", None), getattr(error, "details", None), *error.args[:1])
    return next((one for one in candidates if isinstance(one, Mapping | list)), None)


def code_of(error: BaseException) -> str | None:
    """The provider's code or error type; a body is asked first, being the provider's own word."""
    if (body := body_of(error)) is not None:
        inner, _ = code_and_text(body)
        # The OpenAI SDK takes the `error` object out of the body, others leave it in.
        inner = inner or (code_in(body) if isinstance(body, Mapping) and "error" not in body else None)
        if inner:
            return inner
    for name in ("code", "type", "status"):
        value = getattr(error, name, None)
        if isinstance(value, str) and value and not value.isdigit():
            return value
    return None


def text_of(error: BaseException) -> str | None:
    """What the provider or the library said."""
    if (body := body_of(error)) is not None:
        _, text = code_and_text(body)
        if not text and isinstance(body, Mapping):
            text = text_in(body.get("message"))
        if text:
            return text
    for name in ("text", "message"):
        value = getattr(error, name, None)
        if isinstance(value, str) and value:
            return value
    with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # its own `__str__` is broken
        return str(error) or None
    return None


def code_in_text(text: str) -> str | None:
    """A code that stands at the beginning of a text, or in a printed error object."""
    if found := CODE_FIRST.match(text):
        return found[1]
    found = CODE_INSIDE.search(text)
    return found[1] if found else None


def status_in_text(text: str) -> int | None:
    """A status that is only written into a text."""
    found = STATUS_INSIDE.search(text)
    return int(found[1]) if found else None


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers of the response, as far as the error knows them, under lower-case names."""
    for headers in (
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "headers", None),
    ):
        if isinstance(headers, Mapping):
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def delay_of(error: BaseException) -> float | None:
    """What the server asked to wait, from an attribute, from the response's headers, or from its body."""
    own = getattr(error, "retry_after_seconds", None)
    if isinstance(own, int | float) and not isinstance(own, bool) and own >= 0:
        return sane_seconds(float(own))
    if (delay := retry_after_seconds(headers_of(error))) is not None:
        return delay
    body = body_of(error)
    return retry_delay(json.dumps(body, default=str)) if body is not None else None


def delay_in_text(text: str) -> float | None:
    """What a text asks to wait, in seconds."""
    found = ASKED_TO_WAIT.search(text)
    if found is None:
        return None
    lengths = re.findall(LENGTH, found[1].lower())
    return sane_seconds(sum(float(count) * SECONDS_IN[unit if unit == "ms" else unit[0]] for count, unit in lengths))


def class_names(chain: Iterable[BaseException]) -> tuple[str, ...]:
    """Names of the classes and their ancestors, those of the error itself before those of its causes."""
    names: dict[str, None] = {}
    for error in chain:
        for ancestor in type(error).__mro__:
            if ancestor.__name__ not in NOT_TELLING:
                names.setdefault(ancestor.__name__)
    return tuple(names)
