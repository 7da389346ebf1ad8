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

SHARE_OF_DEADLINE = 0.5
"""Of the time left, what a first token is waited for at most while another model could be asked (ours): the one that
takes over then has as long as the one that said nothing."""

SURELY_LATE = 2.0
"""Times the usual 95th percentile after which silence tells of ill health, even where it is not waited out (ours): with
the spread above one answer in 240 is so late, and three in a row, which open a breaker, once in 13 million."""

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
        is_cut: Whether a first token is waited for so briefly, for another model to have time, that its absence says
            nothing.

    Raises:
        ConfigError: A time is not more than 0, or is not finite.
    """

    connect: float = CONNECT_SECONDS
    first_token: float = MOST_FIRST_TOKEN_SECONDS
    idle: float = IDLE_SECONDS
    total: float | None = None
    is_cut: bool = False

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "total"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                allowed = "or None for as long as it takes, " if name == "total" else ""
                raise ConfigError(f"{name} must be seconds, more than 0 and finite, {allowed}got {seconds!r}")

    @property
    def is_short(self) -> bool:
        """Whether a pause is taken for a stall so soon that it says nothing about the health of the deployment."""
        return self.idle < IDLE_SECONDS

    @property
    def is_rushed(self) -> bool:
        """Whether the end of the step, or the time left for another model, comes before a first token could be late.

        A call that is then ended without one says nothing about the health of its deployment.
        """
        return self.is_cut or (self.total is not None and self.total <= self.first_token)


def late_seconds(breaker: Breaker) -> float | None:
    """The time to first token that 95 of 100 answers stay below, about; None while too little is known.

    It is reckoned from the mean over the last thousand answers, which all processes share. A percentile proper would
    need them one by one.
    """
    if breaker.answers < USUAL_CALLS or breaker.usual_seconds <= 0:
        return None
    return LATE_FACTOR * breaker.usual_seconds


def patience(breaker: Breaker, *, reasoning: bool, seconds_left: float | None, has_other: bool = False) -> Timeouts:
    """How long to wait for a call of this deployment.

    Args:
        breaker: What is known of the deployment; while that is too little, the longest time is waited.
        reasoning: Whether the model thinks before it answers.
        seconds_left: Until the step's deadline, more than 0; None if it has none. No phase may last longer.
        has_other: Whether another model could still be asked; it is left its share of the time, but for what this
            one is known to need.

    Raises:
        ConfigError: Nothing is left, or it is no time: then no call is to be made.
    """
    if seconds_left is not None and not seconds_left > 0:
        raise ConfigError(f"seconds_left must be more than 0, or None for no deadline, got {seconds_left!r}")
    most = MOST_REASONING_SECONDS if reasoning else MOST_FIRST_TOKEN_SECONDS
    late = late_seconds(breaker)
    first_token = most if late is None else min(most, max(LEAST_FIRST_TOKEN_SECONDS, PATIENCE_FACTOR * late))
    left = math.inf if seconds_left is None else seconds_left
    share = max(SHARE_OF_DEADLINE * left, late or 0.0) if has_other else left
    is_telling = late is not None and share >= SURELY_LATE * late
    is_cut = share < min(first_token, left) and not is_telling
    return Timeouts(
        connect=min(CONNECT_SECONDS, left, share),
        first_token=min(first_token, left, share),
        idle=min(REASONING_IDLE_SECONDS if reasoning else IDLE_SECONDS, left, share),
        total=None if left == math.inf else left,
        is_cut=is_cut,
    )
