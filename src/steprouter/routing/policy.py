"""The policy: what a user asks of the router, in one frozen value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ..errors import ConfigError
from ..models.card import ModelCard, Tier
from ..step.step import StepKind
from .content_filter import ContentFilter
from .predict import Predictor
from .probes import Probes
from .resumption import Resumption
from .routes import ROUTE_MARGIN, Route, TieBreak, check_route_models, check_router_name, check_routes
from .rule_order import check_rules
from .rules import Rule, names, refuse_unknown
from .sufficiency import QUALITY_LOSS

KIND_TIERS: Mapping[StepKind, Tier] = {
    StepKind.PLAN: Tier.HIGH,
    StepKind.TOOL_CALL: Tier.LOW,
    StepKind.READ_RESULT: Tier.LOW,
    StepKind.RECOVER: Tier.LOW,
    StepKind.EXTRACT: Tier.LOW,
    StepKind.CLASSIFY: Tier.LOW,
    StepKind.SUMMARIZE: Tier.LOW,
    StepKind.CODE: Tier.HIGH,
    StepKind.REFLECT: Tier.HIGH,
    StepKind.ANSWER: Tier.MID,
    StepKind.CHAT: Tier.LOW,
    StepKind.HOUSEKEEPING: Tier.LOW,
}
"""Weakest tier that is usually sufficient for a kind.

From the published per-step labels of TwinRouterBench (arXiv 2605.18859): outside code repair 94 % of steps
need only the lowest tier (BFCL 96 %, meeting summaries 91 %, retrieval answers 95 %), in code repair half need
the top one. Plans, code and judgements fail late and expensively, so they start high."""

RECOVER_PATIENCE = 1
"""Failed rounds after which recovery moves up a tier: the second in a row, not the first (arXiv 2604.23530)."""

OUTPUT_TOKENS: Mapping[StepKind, int] = {
    StepKind.PLAN: 500,
    StepKind.TOOL_CALL: 80,
    StepKind.READ_RESULT: 110,
    StepKind.RECOVER: 110,
    StepKind.EXTRACT: 120,
    StepKind.CLASSIFY: 30,
    StepKind.SUMMARIZE: 300,
    StepKind.CODE: 500,
    StepKind.REFLECT: 250,
    StepKind.ANSWER: 300,
    StepKind.CHAT: 200,
    StepKind.HOUSEKEEPING: 60,
}
"""Expected tokens of an answer, until a model's own average is known. Tool steps: median of 8 461 tau2 steps
(50-110 out); the others are round guesses of the same order, used only to compare costs."""

E = TypeVar("E", StepKind, Tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a user asks of the router.

    Attributes:
        rules: Stated preferences, the first match counts.
        kinds: Weakest tier for a kind, over the built-in table.
        nodes: What kind of step each node of the graph makes; also the list of nodes that rules may name.
        quality_loss: What a step may lose on the reference's chance of success, on average, 0 to 1.
        quality_losses: The same for single kinds.
        value_of_failure_usd: What a wrong answer costs you, in USD; None derives it from `quality_loss`.
        session_overrun: How much more than with the reference alone a session may cost, as a share of that, whatever
            becomes of its answers: with 0.1 a model is not tried that, if it were refused, would bring the session
            above 1.1 times the reference's cost so far. Failovers and models without a price are not bounded. None
            sets no limit, which saves more on average.
        critical: Kinds of step at which nothing unproven is tried.
        reference: The model savings are counted against and `observe` uses; None takes the strongest.
        mode: `route`, or `observe` to decide and record but always answer with the reference.
        max_attempts: Calls of models for one step at most, escalations included.
        escalate: Ask a stronger model when a finished answer fails a check and nothing was shown yet.
        stream_structured: Show answers that must keep to a schema while they are written. Off, because
            what was shown cannot be escalated.
        content_filter: What happens when a provider's content filter, or a model, will not answer.
        deadline_seconds: How long a step may take in all; a shorter limit of the graph wins. None sets none.
        patience_seconds: How long a step may wait in all, because a provider asked for it or nobody may be asked
            yet; 20 s outlast the first time that a circuit breaker is open.
        hedge: Ask a second model when the first is slower than usual to begin with a short, tool-free answer; the
            first to begin answers. At most 2 % of the calls.
        prompt_caching: Mark prompts for the providers' prompt caches (Anthropic), and name the thread to them by a
            digest (OpenAI).
        predictor: What foretells who is sufficient before an outcome is known: the path of a file that `steprouter
            train` wrote, or any `Predictor`. None asks the step-kind table.
        resume: How answers are gone on with whose stream broke after part of them was shown.
        routes: What is asked of steps whose words are like given examples.
        route_margin: How much better another route must be for a thread to leave the one it is on, in cosine
            similarity.
        routes_in: Name of a redisvl `SemanticRouter` that holds the routes, where they may be changed while routers
            run; None takes a name of our own.
        tie_break: Asks a model where words alone do not settle the route; None asks nobody.
        probes: Which steps a cheaper model is asked too after the reference answered, unseen, to learn from it. None
            asks nobody: each sends what was asked to another provider.
    """

    rules: tuple[Rule, ...] = ()
    kinds: Mapping[StepKind, Tier] = field(default_factory=dict)
    nodes: Mapping[str, StepKind | None] = field(default_factory=dict)
    quality_loss: float = QUALITY_LOSS
    quality_losses: Mapping[StepKind, float] = field(default_factory=dict)
    value_of_failure_usd: float | None = None
    session_overrun: float | None = None
    critical: Collection[StepKind] = frozenset()
    reference: str | None = None
    mode: Literal["route", "observe"] = "route"
    max_attempts: int = 4
    escalate: bool = True
    stream_structured: bool = False
    content_filter: ContentFilter = field(default_factory=ContentFilter)
    deadline_seconds: float | None = None
    patience_seconds: float = 20.0
    hedge: bool = False
    prompt_caching: bool = True
    resume: Resumption = field(default_factory=Resumption)
    predictor: str | Predictor | None = None
    routes: tuple[Route, ...] = ()
    route_margin: float = ROUTE_MARGIN
    routes_in: str | None = None
    tie_break: TieBreak | None = None
    probes: Probes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        object.__setattr__(self, "kinds", {read(StepKind, k): read(Tier, t) for k, t in self.kinds.items()})
        losses = {read(StepKind, kind): loss for kind, loss in self.quality_losses.items()}
        object.__setattr__(self, "quality_losses", losses)
        object.__setattr__(self, "critical", frozenset(read(StepKind, kind) for kind in self.critical))
        for name, loss in (
            ("quality_loss", self.quality_loss),
            *((f"quality_losses[{k}]", v) for k, v in losses.items()),
        ):
            if not 0 <= loss <= 1:
                raise ConfigError(
                    f"{name} must be between 0 and 1, got {loss!r}; 0.03 lets 3 steps in 100 go wrong more"
                )
        if self.value_of_failure_usd is not None and not 0 <= self.value_of_failure_usd < float("inf"):
            raise ConfigError(f"value_of_failure_usd must be 0 or more, or None, got {self.value_of_failure_usd!r}")
        if self.session_overrun is not None and not 0 <= self.session_overrun < float("inf"):
            raise ConfigError(
                f"session_overrun must be 0 or more, or None, got {self.session_overrun!r}; 0.1 allows a session "
                "1.1 times what its reference would have cost"
            )
        nodes = {node: None if k is None else read(StepKind, k) for node, k in self.nodes.items()}
        object.__setattr__(self, "nodes", nodes)
        if not isinstance(self.content_filter, ContentFilter):
            raise ConfigError(
                f"content_filter must be a ContentFilter, got {self.content_filter!r}; write ContentFilter(reaction=…)"
            )
        if not isinstance(self.resume, Resumption):
            raise ConfigError(f"resume must be a Resumption, got {self.resume!r}; write Resumption(resumes=…)")
        object.__setattr__(self, "routes", tuple(self.routes))
        if self.routes_in is not None:
            check_router_name(self.routes_in)
        check_routes(self.routes, has_store=self.routes_in is not None)
        if self.tie_break is not None and not isinstance(self.tie_break, TieBreak):
            raise ConfigError(f"tie_break must be a TieBreak, got {self.tie_break!r}; write TieBreak(seconds=…)")
        if not 0 <= self.route_margin <= 1:
            raise ConfigError(f"route_margin must be between 0 and 1, got {self.route_margin!r}")
        if self.probes is not None and not isinstance(self.probes, Probes):
            raise ConfigError(f"probes must be a Probes, or None, got {self.probes!r}; write Probes(share=…)")
        if self.mode not in ("route", "observe"):
            raise ConfigError(f"mode must be 'route' or 'observe', got {self.mode!r}")
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts must be 1 or more, got {self.max_attempts!r}")
        if self.deadline_seconds is not None and not 0 < self.deadline_seconds < float("inf"):
            raise ConfigError(f"deadline_seconds must be more than 0, or None, got {self.deadline_seconds!r}")
        if not 0 <= self.patience_seconds < float("inf"):
            raise ConfigError(f"patience_seconds must be 0 or more, got {self.patience_seconds!r}")

    def check(self, cards: Sequence[ModelCard]) -> None:
        """Raise where the policy names what is not there.

        Raises:
            ConfigError: A rule or the reference names an unknown model, or a rule an unlisted node.
        """
        check_rules(self.rules, cards, self.nodes.keys())
        for route in self.routes:
            check_route_models(route, cards)
        if self.tie_break is not None:
            known = {card.name for card in cards} | {tag for card in cards for tag in card.tags}
            refuse_unknown("tie_break", "model", names(self.tie_break.models), known)
        self.content_filter.check({card.name for card in cards})
        if self.probes is not None:
            self.probes.check(cards)
        if self.reference is not None:
            refuse_unknown("reference", "model", {self.reference}, {card.name for card in cards})

    def tier_for(self, kind: StepKind) -> Tier:
        """The weakest tier that is taken to be sufficient for `kind`."""
        return self.kinds.get(kind, KIND_TIERS[kind])

    def loss_for(self, kind: StepKind) -> float:
        """What a step of `kind` may lose on the reference's chance of success, on average."""
        return self.quality_losses.get(kind, self.quality_loss)

    @property
    def node_kinds(self) -> dict[str, StepKind]:
        """The nodes whose kind is stated."""
        return {node: kind for node, kind in self.nodes.items() if kind is not None}


def read(enum: type[E], value: str) -> E:
    """`value` as a member of `enum`, or a `ConfigError` that lists the members."""
    try:
        return enum(value)
    except ValueError:
        what = "kind" if enum is StepKind else "tier"
        raise ConfigError(f"unknown {what} {value!r}; {what}s are {[str(m) for m in enum]!r}") from None
