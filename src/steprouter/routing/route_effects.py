"""What a matched route changes about a step: its kind where structure left it open, and who may answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..memory.recall import Missing, Recalled, Vector
from ..memory.session import Session
from ..models.card import ModelCard
from ..step.step import Step
from .policy import Policy
from .routes import RouteMatch, carried

if TYPE_CHECKING:
    from .route_match import RouteTable


def routed(
    step: Step, vector: Vector | Missing, table: RouteTable | None, policy: Policy, recalled: Recalled | None = None
) -> RouteMatch | None:
    """The route that a step takes; None where there are no routes, or its text could not be embedded.

    A step that goes on with what tools gave stays on the route of its question: what a web page or a file says must
    not choose who answers.

    Args:
        step: The step.
        vector: Its text.
        table: The routes in force.
        policy: Says how firmly a thread stays on its route.
        recalled: What is known of the thread; None before it was recalled.
    """
    if table is None:
        return None
    previous = None if recalled is None else last_route(recalled)
    if step.evidence.last_role == "tool":
        return carried(table.route(previous))
    if isinstance(vector, Missing):
        return None
    from .route_match import match  # brings NumPy, which whoever made the table has

    return match(table, vector, previous, margin=policy.route_margin)


def last_route(recalled: Recalled) -> str | None:
    """The route that the thread took last; steps that took none do not count."""
    session = recalled.section("session")
    recent = session.recent if isinstance(session, Session) else ()
    return next((decided.route for decided in recent if decided.route is not None), None)


def settled(step: Step, match: RouteMatch | None) -> Step:
    """The step with the kind that its route settles, where structure left it open."""
    route = None if match is None else match.route
    if match is None or route is None or route.kind is None or not step.kind_open:
        return step
    return replace(step, kind=route.kind, kind_from=match.told, kind_open=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """Who may answer beside a route.

    Attributes:
        refused: Models that the route does not allow, and why.
        quality_loss: What the step may lose; None leaves it to the policy.
        told: The route in words, ahead of a decision's reason; empty where there is none.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    quality_loss: float | None = None
    told: str = ""


def narrowed_by_route(able: Sequence[ModelCard], match: RouteMatch | None) -> Narrowed:
    """Who of the able models the route leaves: all, where it would leave none.

    Rules come first: `able` are the models that a rule that matched allows, so both must allow a model. Where no model
    is allowed by both, the rule counts and the route does not.
    """
    route = None if match is None else match.route
    if match is None or route is None:
        return Narrowed()
    if not route.narrows:
        return Narrowed(quality_loss=route.quality_loss, told=f"{match.told}; ")
    refused = {card.name: f"not allowed by route {route.name!r}" for card in able if not route.allows(card)}
    if len(refused) == len(able):
        told = f"{match.told} ignored: it allows none of the able models; "
        return Narrowed(quality_loss=route.quality_loss, told=told)
    return Narrowed(refused=refused, quality_loss=route.quality_loss, told=f"{match.told}; ")
