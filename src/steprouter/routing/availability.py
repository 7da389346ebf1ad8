"""Which of the able models may be asked now, and what their health adds to their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..answering.breaker import State, due_at, is_due, penalty
from ..answering.health import Conditions
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


def availability(cards: Sequence[ModelCard], conditions: Conditions, now: float) -> Availability:
    """What stands in the way of `cards` at `now`, Unix time in seconds."""
    out: dict[str, str] = {}
    shut: dict[str, float] = {}
    why_shut: dict[str, str] = {}
    late: dict[str, str] = {}
    penalties: dict[str, float] = {}
    for card in cards:
        health = conditions.deployments.get(card.name)
        if health is None:
            continue
        if health.out is not None:
            out[card.name] = f"out until its configuration changes, or router.readmit({card.name!r}): {health.out}"
        elif health.breaker.state is not State.CLOSED and not is_due(health.breaker, now):
            shut[card.name] = due_at(health.breaker)
            seconds = shut[card.name] - now
            why_shut[card.name] = f"circuit {health.breaker.state} for {seconds:.0f} s more ({health.breaker.why})"
        elif health.limited_until > now:
            late[card.name] = f"asked to be left alone for {health.limited_until - now:.0f} s more"
        elif not health.pace.allows(health.in_flight):
            late[card.name] = f"{health.in_flight} calls are under way, as many as it took before it refused"
        if (factor := penalty(health.breaker, now)) > 1:
            penalties[card.name] = factor
    return Availability(out=out, shut=shut, why_shut=why_shut, late=late, penalties=penalties)
