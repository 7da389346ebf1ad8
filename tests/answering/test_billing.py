"""Failed and abandoned attempts are billed as providers do; where they do not say, what was probably processed."""

from __future__ import annotations

from typing import Any

import pytest

from steprouter.answering.billing import billed_usage
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.models.cost import Usage

ASKED, SPOKEN = 100, 7
FREE, PROMPT = Usage(), Usage(input_tokens=ASKED, estimated=True)
HEARD = Usage(input_tokens=ASKED, output_tokens=SPOKEN, estimated=True)
EARLY, LATE = Phase.BEFORE_FIRST_TOKEN, Phase.IN_TEXT
K = FailureKind

TABLE = [
    # provider, kind, status, phase, billed
    (None, K.UNAVAILABLE, None, EARLY, FREE),  # connection refused
    ("openai", K.RATE_LIMITED, 429, EARLY, FREE),
    ("openai", K.UNAVAILABLE, 503, EARLY, FREE),
    ("openai", K.BAD_REQUEST, 400, EARLY, FREE),
    ("openai", K.TIMEOUT_FIRST_TOKEN, None, EARLY, PROMPT),  # it may still be at work
    ("openai", K.CANCELLED, None, EARLY, PROMPT),
    ("openai", K.TRUNCATED, None, EARLY, PROMPT),
    ("openai", K.CANCELLED, None, LATE, HEARD),
    ("openai", K.BROKEN_STREAM, None, LATE, HEARD),
    ("google_genai", K.UNAVAILABLE, 503, EARLY, FREE),
    ("google_vertexai", K.CONTENT_FILTERED, 400, EARLY, FREE),
    ("google_genai", K.CONTENT_FILTERED, 200, EARLY, PROMPT),
    ("azure", K.CONTENT_FILTERED, 400, EARLY, PROMPT),
    ("azure_openai", K.UNAVAILABLE, 408, EARLY, PROMPT),
    ("azure", K.UNAVAILABLE, 500, EARLY, FREE),
    ("anthropic", K.REFUSED, 200, EARLY, FREE),
    ("anthropic", K.REFUSED, 200, LATE, HEARD),
    ("anthropic", K.OVERLOADED, 200, EARLY, PROMPT),  # inside a stream
    ("anthropic", K.OVERLOADED, 529, EARLY, FREE),
]


@pytest.mark.parametrize(("provider", "kind", "status", "phase", "billed"), TABLE)
def test_a_failed_attempt_is_billed_as_its_provider_does(
    provider: str | None, kind: FailureKind, status: int | None, phase: Phase, billed: Any
) -> None:
    failure = Failure(kind=kind, phase=phase, model="m", status=status)
    spoken = SPOKEN if phase is LATE else 0
    assert billed_usage(provider, failure, None, asked_tokens=ASKED, spoken_tokens=spoken) == billed


def test_what_the_provider_reported_is_billed_also_after_a_break() -> None:
    seen, broken = Usage(input_tokens=90, output_tokens=3), Failure(kind=K.BROKEN_STREAM, phase=LATE, model="m")
    for failure in (None, broken):
        assert billed_usage("openai", failure, seen, asked_tokens=ASKED, spoken_tokens=SPOKEN) == seen


def test_a_finished_answer_without_a_report_is_estimated() -> None:
    assert billed_usage(None, None, None, asked_tokens=ASKED, spoken_tokens=SPOKEN) == HEARD
