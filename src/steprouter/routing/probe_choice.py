"""Chooses which model a step is probed with, if it is. No I/O, no clock; chance is drawn from the step's id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..answering.agreement import is_comparable
from ..answering.attempt import Attempt
from ..answering.breaker_state import State
from ..answering.draws import draw
from ..answering.health import Conditions
from ..answering.progress import Progress
from ..models.card import ModelCard
from ..step.step import Step
from .availability import availability
from .contend import is_recovering
from .decision import Candidate, Decision
from .policy import Policy
from .probes import Probes
from .sufficiency import Fate


def probed(
    step: Step,
    decision: Decision,
    progress: Progress,
    answered_by: Attempt | None,
    *,
    policy: Policy,
    cards: Sequence[ModelCard],
    conditions: Conditions,
) -> Candidate | None:
    """The model that a step is probed with: of those that may be, the one about which least is known; None for none.

    A step is probed where the reference answered it at once, so that there is something to compare with, and nothing
    speaks against it: not at critical kinds, not while an error is mended, not between a call and its result where they
    are bound to one model's thoughts, and not once a budget is past its threshold.

    Args:
        step: The step.
        decision: Which models were to be tried.
        progress: What was tried.
        answered_by: The attempt whose answer was given.
        policy: What the user asks.
        cards: The models.
        conditions: The health of all deployments.
    """
    probes = policy.probes
    if probes is None or draw(step.id, "probe") >= probes.share:
        return None
    of_reference = family(decision.reference, cards)
    if answered_by is None or answered_by.model not in of_reference or not is_plain(progress, answered_by):
        return None
    if is_sensitive(step, policy, conditions):
        return None
    if probes.judge is None and (answered_by.answer is None or not is_comparable(answered_by.answer, step)):
        return None
    most = decision.candidate(answered_by.model).expected_usd
    names = well(
        [card for card in cards if card.name not in of_reference and probes.allows(card)], conditions, step.started_at
    )
    found = [one for one in decision.kept if one.model in names and is_cheap(one, most, probes)]
    return min(found, key=lambda one: (known_of(one), one.expected_usd or 0.0, one.model), default=None)


def is_plain(progress: Progress, answered_by: Attempt) -> bool:
    """Whether the first model that was asked answered, and no check found fault with it."""
    is_first = progress.left is None and len(progress.events) == 1
    return is_first and answered_by.is_sufficient and not answered_by.is_given_without_a_call


def is_sensitive(step: Step, policy: Policy, conditions: Conditions) -> bool:
    """Whether a step is none to experiment at."""
    held = step.evidence.holds_thoughts or is_recovering(step)
    return held or step.kind in policy.critical or bool(conditions.near)


def family(model: str | None, cards: Sequence[ModelCard]) -> frozenset[str]:
    """The names of all deployments of a model, its own among them."""
    root = next((card.deployment_of or card.name for card in cards if card.name == model), model)
    return frozenset(card.name for card in cards if (card.deployment_of or card.name) == root)


def well(cards: Iterable[ModelCard], conditions: Conditions, now: float) -> frozenset[str]:
    """Names of those that can be asked at once: a circuit that is open is not for probes to close."""
    able = [card for card in cards if conditions.of(card.name).breaker.state is State.CLOSED]
    trouble = availability(able, conditions, now)
    return frozenset(card.name for card in able if card.name not in trouble.out and card.name not in trouble.late)


def is_cheap(candidate: Candidate, most: float | None, probes: Probes) -> bool:
    """Whether a probe would cost little enough, and could lead to its model being used."""
    usd = candidate.expected_usd
    if usd is None or candidate.fate is Fate.BELOW:
        return False
    return usd <= probes.usd and (most is None or usd < most)


def known_of(candidate: Candidate) -> float:
    """How much is known of a model at steps like this one, in outcomes."""
    return 0.0 if candidate.weighed is None else candidate.weighed.odds.mass
