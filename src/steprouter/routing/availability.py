"""Which of the able models may be asked now, and what their health adds to their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..answering.breaker import Breaker, State, due_at, is_due, penalty
from ..answering.breaker_window import SLOW_FACTOR, SLOW_SECONDS
from ..answering.health import WELL, Conditions
from ..models.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What stands in the way of models, by name.

    Attributes:
        out: Why a model is out until its configuration changes.
        shut: When a model whose circuit breaker is open may be probed, Unix time in seconds.
        why_shut: The same in words.
        late: Why a model is better not asked just now.
        penalties: What to multiply a model's cost with, above 1.
    """

    out: Mapping[str, str] = field(default_factory=dict)
    shut: Mapping[str, float] = field(default_factory=dict)
    why_shut: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, str] = field(default_factory=dict)
    penalties: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_clear(self) -> bool:
        """Whether nothing stands in anybody's way."""
        return not (self.out or self.shut or self.late or self.penalties)

    def trouble(self, model: str) -> str | None:
        """Why a model is not where its price alone would put it, in words; None if nothing is wrong with it."""
        told = self.out.get(model) or self.why_shut.get(model) or self.late.get(model)
        if told is None and model in self.penalties:
            return f"counted as {self.penalties[model]:.1f}× dearer, because it slows down or stalls"
        return told


ALL_WELL = Availability()


def availability(cards: Sequence[ModelCard], conditions: Conditions, now: float) -> Availability:
    """What stands in the way of `cards` at `now`, Unix time in seconds."""
    out: dict[str, str] = {}
    shut: dict[str, float] = {}
    why_shut: dict[str, str] = {}
    late: dict[str, str] = {}
    penalties: dict[str, float] = {}
    for card in cards:
        name, health = card.name, conditions.deployments.get(card.name, WELL)
        if health is WELL:
            continue
        breaker = health.breaker
        if health.out is not None:
            out[name] = f"out until its configuration changes, or router.readmit({name!r}): {health.out}"
        elif breaker.state is not State.CLOSED and not is_due(breaker, now):
            shut[name] = due_at(breaker)
            why_shut[name] = shut_for(breaker.state, shut[name] - now, breaker.why)
        elif health.limited_until > now:
            late[name] = f"asked to be left alone for {health.limited_until - now:.0f} s more"
        elif not health.pace.allows(health.in_flight):
            late[name] = f"{health.in_flight} calls are under way, as many as it took before it refused"
        if may_be_gray(breaker) and (factor := penalty(breaker, now)) > 1:
            penalties[name] = factor
    if not (out or shut or late or penalties):
        return ALL_WELL
    return Availability(out=out, shut=shut, why_shut=why_shut, late=late, penalties=penalties)


def may_be_gray(breaker: Breaker) -> bool:
    """Whether there is any sign of gray failure, so that its penalty is worth reckoning; most have none."""
    if breaker.recent_seconds > SLOW_SECONDS and breaker.recent_seconds > SLOW_FACTOR * breaker.usual_seconds:
        return True
    for bucket in breaker.buckets:  # noqa: SIM110 - `any` takes three times as long, at every step for every model
        if bucket.stalls or bucket.invalid:
            return True
    return False


def shut_for(state: State, seconds: float, why: str) -> str:
    """A breaker that lets nobody through, in words."""
    if state is State.HALF_OPEN:
        return f"circuit open ({why}) and just being probed"
    return f"circuit open for {seconds:.0f} s more ({why})"
