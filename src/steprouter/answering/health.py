"""What is known of a deployment when a step begins: whether it may be asked, and what asking it costs in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .breaker import Breaker
from .hedge import HedgeBudget
from .pacing import Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One deployment, as this process sees it: what all processes share, and its own calls on top.

    Attributes:
        breaker: Its circuit breaker.
        out: Why it is out until its configuration changes (a refused key, an unknown model); None if it is not.
        limited_until: Not to be asked before, because it refused for too many requests; Unix time, 0 is never.
        pace: How many calls this process may make at once.
        in_flight: Calls this process has under way.
        latency_seconds: Peak EWMA of its time to first token; None while nothing is known.
    """

    breaker: Breaker = field(default_factory=Breaker)
    out: str | None = None
    limited_until: float = 0.0
    pace: Pace = field(default_factory=Pace)
    in_flight: int = 0
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is known of all deployments when a step begins.

    Attributes:
        deployments: By the model's name; what is not here is well.
        retries: How many retries of the same model this process may make now.
        hedges: What is left for second calls.
        near: Names of the step's budgets that are past their threshold.
        no_prefill: Names of models that were seen to refuse a partial turn.
    """

    deployments: Mapping[str, Health] = field(default_factory=dict)
    retries: float = 1.0
    hedges: HedgeBudget = field(default_factory=HedgeBudget)
    near: tuple[str, ...] = ()
    no_prefill: frozenset[str] = frozenset()

    def of(self, model: str) -> Health:
        """The health of one deployment."""
        return self.deployments.get(model, WELL)


WELL = Health()
"""A deployment of which nothing is known."""
