"""The decision: which models to try for a step, in which order, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..memory.lessons import Example
from ..models.card import Tier
from .consultation import Consultation
from .routes import RouteScore
from .sufficiency import Fate, Weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model as a decision saw it.

    Attributes:
        model: Name of the model's card.
        tier: Its strength.
        kept: Whether it may be tried.
        reason: Why it stands where it stands, or why it was refused.
        is_spare: Whether it is able and allowed though it is not to be tried: too dear near the end of a budget, or its
            circuit is open. The fallback of a budget may be it.
        expected_usd: Expected cost of the step on this model, a shown example included; None where its price is
            unknown.
        example: A lesson that was at hand for this model, shown or withheld; None if there was none.
        weighed: Its odds and costs as the choice weighed them; None where it could not be chosen.
        fate: Why it was chosen or not; None where it could not be.
    """

    model: str
    tier: Tier
    kept: bool
    reason: str
    is_spare: bool = False
    expected_usd: float | None = None
    example: Example | None = field(default=None, repr=False)
    weighed: Weighed | None = field(default=None, repr=False)
    fate: Fate | None = None

    @property
    def lesson_tokens(self) -> int:
        """Prompt tokens that the example adds; 0 where none is shown."""
        return self.example.lesson.tokens if self.example is not None and self.example.shown else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The models to try for a step, in order.

    Attributes:
        candidates: Every model of the router, those to try first and in the order to try them.
        reason: Why the first one is first, in words.
        rule: Name of the rule that matched, if any.
        reference: The model whose cost the saving is counted against.
        target: The chance of success that was sufficient; None where nothing was weighed.
        charge: What the regret ledger is charged for it, in wrong answers.
        step_id: The step, by which what became of it can be reported; empty where it was not asked for as advice.
        propensity: Probability with which this order was chosen; 1 where nothing was drawn.
        route: Name of the semantic route that the step took, if any.
        route_scores: The semantic routes it is most like, the best first, three at most.
        answered_by: The model whose earlier answer is given again, where nobody is asked.
        tie_break: What came of asking a model for the route; None where nothing was left open, or nobody is asked.
    """

    candidates: tuple[Candidate, ...]
    reason: str
    rule: str | None = None
    reference: str | None = None
    target: float | None = None
    charge: float = 0.0
    step_id: str = ""
    propensity: float = 1.0
    route: str | None = None
    route_scores: tuple[RouteScore, ...] = ()
    tie_break: Consultation | None = None
    answered_by: str | None = None

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The candidates to try, in order; empty only where nobody is asked."""
        return tuple(c for c in self.candidates if c.kept)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models to try, in order; empty only where nobody is asked."""
        return tuple(c.model for c in self.candidates if c.kept)

    @property
    def examples(self) -> Mapping[str, Example]:
        """The examples that were at hand, by model."""
        return {c.model: c.example for c in self.candidates if c.example is not None}

    @property
    def expected(self) -> Mapping[str, float]:
        """With which probability each model was expected to answer well by itself, where it was weighed."""
        return {c.model: c.weighed.odds.success for c in self.candidates if c.weighed is not None}

    def candidate(self, model: str) -> Candidate:
        """What the decision says of `model`."""
        return next(c for c in self.candidates if c.model == model)
