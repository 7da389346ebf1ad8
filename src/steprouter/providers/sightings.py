"""Facts in an error, whichever library raised it. No provider's package is imported for that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..answering.failures import Seen
from .masking import shown
from .refusals import code_and_text, code_in, retry_after_seconds, retry_delay, text_in

LONGEST_CHAIN = 8
"""Errors in a chain that are looked at; real ones have two or three."""

CODE_FIRST = re.compile(r"^([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\s*:\s+(.*)", re.DOTALL)
"""`code: message`, as langchain-openai writes the errors of a Responses stream into a plain ValueError."""

CODE_INSIDE = re.compile(r"""\bcode=['"]([A-Za-z0-9_.-]+)['"]""")
"""`ResponseError(code='server_error', …)`, its other way."""

LIBRARY_ROOTS = frozenset({"object", "BaseException", "Generic", "Protocol"})


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
    delay = first(delay_of(one) for one in chain)
    text = first(text_of(one) for one in chain) or type(error).__name__
    if code is None and status is None:
        code = code_in_text(text)
    return Seen(
        status=status,
        code=shown(code, secrets, limit=100) if code else None,
        text=shown(text, secrets),
        retry_after_seconds=delay,
        classes=class_names(chain),
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the nearest first."""
    met: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in met and len(met) < LONGEST_CHAIN:
        met.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def first(values: Iterable[Any]) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status an error names, in any of the usual attributes."""
    response = getattr(error, "response", None)
    own = [getattr(error, name, None) for name in ("status_code", "status", "http_status", "code")]
    for value in (*own, getattr(response, "status_code", None)):
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value)
    return None


def code_of(error: BaseException) -> str | None:
    """The provider's code or error type; a body is asked first, being the provider's own word."""
    if isinstance(body := getattr(error, "body", None) or getattr(error, "details", None), Mapping | list):
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
    if isinstance(body := getattr(error, "body", None), Mapping | list):
        _, text = code_and_text(body)
        if not text and isinstance(body, Mapping):
            text = text_in(body.get("message"))
        if text:
            return text
    for name in ("text", "message"):
        value = getattr(error, name, None)
        if isinstance(value, str) and value:
            return value
    return str(error) or None


def code_in_text(text: str) -> str | None:
    """A code that stands at the beginning of a text, or in a printed error object."""
    if found := CODE_FIRST.match(text):
        return found[1]
    found = CODE_INSIDE.search(text)
    return found[1] if found else None


def delay_of(error: BaseException) -> float | None:
    """What the server asked to wait, from an attribute, from the response's headers, or from its body."""
    own = getattr(error, "retry_after_seconds", None)
    if isinstance(own, int | float) and own >= 0:
        return float(own)
    for headers in (
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "headers", None),
    ):
        if isinstance(headers, Mapping):
            lower = {str(name).lower(): str(value) for name, value in headers.items()}
            if (delay := retry_after_seconds(lower)) is not None:
                return delay
    # Google's SDK keeps the body under `details`, and the delay in it.
    body = getattr(error, "details", None)
    return retry_delay(json.dumps(body, default=str)) if isinstance(body, Mapping | list) else None


def class_names(chain: Iterable[BaseException]) -> tuple[str, ...]:
    """Names of the classes and their ancestors, those of the error itself before those of its causes."""
    names: dict[str, None] = {}
    for error in chain:
        for ancestor in type(error).__mro__:
            if ancestor.__name__ not in LIBRARY_ROOTS:
                names.setdefault(ancestor.__name__)
    return tuple(names)
