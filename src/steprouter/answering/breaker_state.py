"""What a circuit breaker is made of: its state, what an attempt says to it, and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .attempt import Attempt
from .check import is_refused
from .failures import FailureKind


class State(StrEnum):
    """Whether a deployment is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Sign(StrEnum):
    """What an attempt says about the health of its deployment. Stalled and invalid are soft: a cost before an error."""

    SUCCESS = "success"
    HARD = "hard"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    INVALID = "invalid"
    NOTHING = "nothing"


SIGNS: Mapping[FailureKind, Sign] = {
    FailureKind.UNAVAILABLE: Sign.HARD,
    FailureKind.OVERLOADED: Sign.HARD,
    FailureKind.BROKEN_STREAM: Sign.HARD,
    FailureKind.UNKNOWN: Sign.HARD,
    FailureKind.TIMEOUT_FIRST_TOKEN: Sign.TIMEOUT,
    FailureKind.STALLED: Sign.STALLED,
    FailureKind.TRUNCATED: Sign.STALLED,
    FailureKind.INVALID_OUTPUT: Sign.INVALID,
    FailureKind.RATE_LIMITED: Sign.NOTHING,
    FailureKind.CONTEXT_OVERFLOW: Sign.NOTHING,
    FailureKind.BAD_REQUEST: Sign.NOTHING,
    FailureKind.UNSUPPORTED: Sign.NOTHING,
    FailureKind.AUTH: Sign.NOTHING,
    FailureKind.NOT_FOUND: Sign.NOTHING,
    FailureKind.CONTENT_FILTERED: Sign.NOTHING,
    FailureKind.REFUSED: Sign.NOTHING,
    FailureKind.CANCELLED: Sign.NOTHING,
}
"""Nothing is what the request, the key or the consumer is to blame for, and a full quota, which pacing answers."""

ANSWERED = frozenset({Sign.SUCCESS, Sign.INVALID})
"""Signs of a deployment that works, whatever the answer is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one attempt says.

    Attributes:
        sign: How it went.
        first_token_seconds: Time to first token (TTFT); None if nothing came or it was not measured.
        holder: Who made it, as told to `admitted`; only the holder of the lease ends a probe.
    """

    sign: Sign
    first_token_seconds: float | None = None
    holder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Counts of half a minute.

    Attributes:
        index: Unix time divided by `BUCKET_SECONDS`.
        calls: Attempts that say something.
        errors: Of these, without an answer.
        stalls: Of these, begun and not finished.
        invalid: Answers that checks found fault with.
    """

    index: int
    calls: int = 0
    errors: int = 0
    stalls: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The health of one deployment. Times are Unix times in seconds, 0 is never.

    Attributes:
        state: Whether it is asked. An open one whose time is up stays so until someone is admitted.
        why: What opened it last: `failures`, `timeouts`, `rate`, `gray` or `probe`.
        failures: Attempts without an answer in a row.
        timeouts: Of these, without a first token in time.
        opened: How often it opened with less than `MOST_OPEN_SECONDS` between.
        open_until: When it may be probed.
        closed_at: When it closed.
        probed: Probes in a row that succeeded.
        holder: Who probes it; empty if nobody does.
        probe_until: When that lease ends.
        answers: Answers so far, which the averages rest on.
        recent_seconds: Time to first token of the last few answers; 0 is unknown.
        usual_seconds: The same over a thousand.
        usual_invalid: Share of invalid answers over a thousand: the model's skill, which is no failing of health.
        answered_at: When the last answer came.
        buckets: The window, oldest first.
    """

    state: State = State.CLOSED
    why: str = ""
    failures: int = 0
    timeouts: int = 0
    opened: int = 0
    open_until: float = 0.0
    closed_at: float = 0.0
    probed: int = 0
    holder: str = ""
    probe_until: float = 0.0
    answers: int = 0
    recent_seconds: float = 0.0
    usual_seconds: float = 0.0
    usual_invalid: float = 0.0
    answered_at: float = 0.0
    buckets: tuple[Bucket, ...] = ()


def sign_of(attempt: Attempt, holder: str = "") -> Observation:
    """What an attempt says; `holder` is who made it. One without answer and failure has not ended and says nothing."""
    if attempt.failure is not None:
        sign = Sign.NOTHING if attempt.cut_short else SIGNS[attempt.failure.kind]
    elif attempt.answer is None or is_refused(attempt.answer):
        sign = Sign.NOTHING if attempt.answer is None else Sign.SUCCESS
    else:
        sign = Sign.INVALID if attempt.problems else Sign.SUCCESS
    return Observation(sign=sign, first_token_seconds=attempt.first_token_seconds, holder=holder)
