"""How long to wait for each phase of a call, learnt from how long its deployment usually takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from .breaker_state import Breaker
from .breaker_window import USUAL_CALLS

CONNECT_SECONDS = 5.0
"""A connection stands after two or three round trips; a lost SYN is sent again after 1 and 3 s (RFC 6298)."""

LATE_FACTOR = 2.5
"""The 95th percentile of the time to first token as a multiple of its mean (ours). Such times are about log-normal,
with a spread (sigma) that here is taken to be 0.7; for no spread at all is the multiple more than 3.9."""

PATIENCE_FACTOR = 3.0
"""Times the usual 95th percentile that a first token is waited for (ours): as slow as that is broken."""

LEAST_FIRST_TOKEN_SECONDS, MOST_FIRST_TOKEN_SECONDS, MOST_REASONING_SECONDS = 10.0, 60.0, 180.0
"""Bounds of that wait (ours): a long prompt alone may take 10 s; a model that thinks may be silent for minutes."""

IDLE_SECONDS, REASONING_IDLE_SECONDS = 30.0, 120.0
"""Between two pieces (ours): providers send a sign of life about every 10 to 15 s, but not all while they think."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase of a call may last, in seconds.

    Attributes:
        connect: Until the connection stands.
        first_token: From sending the request to the first piece of the answer.
        idle: Between two pieces.
        total: From the beginning to the end of the call; None is as long as it takes.

    Raises:
        ConfigError: A time is not more than 0, or is not finite.
    """

    connect: float = CONNECT_SECONDS
    first_token: float = MOST_FIRST_TOKEN_SECONDS
    idle: float = IDLE_SECONDS
    total: float | None = None

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "total"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                allowed = "or None for as long as it takes, " if name == "total" else ""
                raise ConfigError(f"{name} must be seconds, more than 0 and finite, {allowed}got {seconds!r}")

    @property
    def is_rushed(self) -> bool:
        """Whether the end of the step comes before a first token could be late.

        A call that is then ended without one says nothing about the health of its deployment.
        """
        return self.total is not None and self.total <= self.first_token


def late_seconds(breaker: Breaker) -> float | None:
    """The time to first token that 95 of 100 answers stay below, about; None while too little is known.

    It is reckoned from the mean over the last thousand answers, which all processes share. A percentile proper would
    need them one by one.
    """
    if breaker.answers < USUAL_CALLS or breaker.usual_seconds <= 0:
        return None
    return LATE_FACTOR * breaker.usual_seconds


def patience(breaker: Breaker, *, reasoning: bool, seconds_left: float | None) -> Timeouts:
    """How long to wait for a call of this deployment.

    Args:
        breaker: What is known of the deployment; while that is too little, the longest time is waited.
        reasoning: Whether the model thinks before it answers.
        seconds_left: Until the step's deadline, more than 0; None if it has none. No phase may last longer.

    Raises:
        ConfigError: Nothing is left, or it is no time: then no call is to be made.
    """
    if seconds_left is not None and not seconds_left > 0:
        raise ConfigError(f"seconds_left must be more than 0, or None for no deadline, got {seconds_left!r}")
    most = MOST_REASONING_SECONDS if reasoning else MOST_FIRST_TOKEN_SECONDS
    late = late_seconds(breaker)
    first_token = most if late is None else min(most, max(LEAST_FIRST_TOKEN_SECONDS, PATIENCE_FACTOR * late))
    left = math.inf if seconds_left is None else seconds_left
    return Timeouts(
        connect=min(CONNECT_SECONDS, left),
        first_token=min(first_token, left),
        idle=min(REASONING_IDLE_SECONDS if reasoning else IDLE_SECONDS, left),
        total=None if left == math.inf else left,
    )
