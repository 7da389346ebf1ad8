"""Semantic routes: what a user states about steps whose words are like these examples.

Values only, without NumPy; `route_match` compares vectors, `route_effects` applies what matched to a decision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, get_args

from ..errors import ConfigError
from ..models.card import ModelCard, Tier
from ..step.step import StepKind
from ..step.text import STEP_TEXT_CHARACTERS
from .rules import Names, names, refuse_unknown

THRESHOLD = 0.7
"""Cosine similarity from which a step is like a route's examples. Of 0.2 to 0.9 it gives the best F1 with the embedder
of this package, for 20 intents with 20 examples each among many others (CLINC150 0.75, BANKING77 0.68:
`benchmarks/routes.py`); other embedders need others, which `steprouter calibrate` finds."""

ROUTE_MARGIN = 0.05
"""How much better another route must be for a thread to leave the one it is on."""

MOST_EXAMPLES = 500
"""Of one route. Ten to twenty do; comparing 10 000 takes a third of a millisecond at each step."""

MOST_ROUTES = 200

NAME = re.compile(r"[\w](?:[\w .-]{0,62}[\w.-])?")
"""What redisvl can hold: it puts names into keys parted by colons, into tags parted by commas, and unescaped between
single quotes into a filter."""

LONGEST_ROUTER_NAME = 200

OUR_KEYS = "sr:"
"""How all keys of this library begin."""

SHOWN_SCORES = 3
"""Routes whose score a decision tells."""

Aggregation = Literal["max", "top3", "mean", "avg", "sum"]
"""How the similarities to a route's examples become its score.

`max` is the most similar example (redisvl's `min`), `top3` the mean of the three most similar, `mean` that of all.
`avg` and `sum` are counted as redisvl counts them: only examples within the widest threshold of all routes, and of
`sum` the distances are added up, so that few far ones beat many near ones.
"""

How = Literal["nearest", "held", "carried", "tie_break", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Steps whose words are like these examples are of this kind, or for these models, or may lose so much.

    Attributes:
        name: What traces call it: letters, digits, spaces, `_`, `-` and `.`, 64 at most.
        examples: What a user might say, as they would say it; 500 at most, each of at most 2 000 characters. They may
            be left out where a stored router has them (`Policy.routes_in`).
        threshold: Cosine similarity from which a step takes the route, -1 to below 1; 0.3 to 0.8 make sense. redisvl
            counts distances, 0 to 2: its `distance_threshold` is 1 less this.
        aggregation: How the similarities to the examples become one score.
        kind: Settles the step's kind where structure left it open.
        models: Names or tags of the only models that may answer.
        tier: The weakest tier that may answer.
        quality_loss: What such a step may lose on the reference's chance of success, instead of the policy's.

    Raises:
        ConfigError: Something in it is out of range or unknown.
    """

    name: str
    examples: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    aggregation: Aggregation = "max"
    kind: StepKind | None = None
    models: Names = None
    tier: Tier | None = None
    quality_loss: float | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"a route's name must be 1 to 64 letters, digits, spaces, '_', '-' or '.', got {self.name!r}"
            )
        who = f"route {self.name!r}"
        given: object = self.examples
        if not isinstance(given, list | tuple):
            raise ConfigError(f"{who}: examples must be a list of texts, got {type(given).__name__}")
        object.__setattr__(self, "examples", tuple(given))
        object.__setattr__(self, "models", names(self.models))
        check_examples(who, self.examples)
        if not -1 <= self.threshold < 1:
            raise ConfigError(
                f"{who}: threshold must be from -1 to below 1 (cosine similarity), got {self.threshold!r}"
            )
        refuse_other(who, "aggregation", self.aggregation, get_args(Aggregation))
        if self.quality_loss is not None and not 0 <= self.quality_loss <= 1:
            raise ConfigError(f"{who}: quality_loss must be between 0 and 1, got {self.quality_loss!r}")
        refuse_other(who, "kind", self.kind, tuple(StepKind))
        refuse_other(who, "tier", self.tier, tuple(Tier))
        object.__setattr__(self, "kind", StepKind(self.kind) if self.kind is not None else None)
        object.__setattr__(self, "tier", Tier(self.tier) if self.tier is not None else None)

    @property
    def narrows(self) -> bool:
        """Whether it says who may answer."""
        return bool(self.models) or self.tier is not None

    @property
    def has_effect(self) -> bool:
        """Whether it changes anything about a step that takes it."""
        return self.narrows or self.kind is not None or self.quality_loss is not None

    @property
    def digest(self) -> str:
        """A short text that is the same for the same way of matching; effects do not count."""
        told = repr((self.examples, self.threshold, self.aggregation))
        return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def allows(self, card: ModelCard) -> bool:
        """Whether the route lets `card` answer."""
        wanted = names(self.models)
        named = not wanted or card.name in wanted or not card.tags.isdisjoint(wanted)
        return named and (self.tier is None or (card.tier or Tier.MID).rank >= self.tier.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class TieBreak:
    """Asks a model which route a step takes where its words alone leave that open.

    Attributes:
        seconds: How long the question may take.
        usd: What one may cost at most; a model whose price is unknown is never asked.
        below: How far below its threshold a route may be and still be asked about.
        between: How close two routes must be for the choice between them to be asked.
        models: Names or tags of the models that may be asked, cheapest first; None means all. Rules bind them too.

    Raises:
        ConfigError: Something in it is out of range.
    """

    seconds: float = 2.0
    usd: float = 0.001
    below: float = 0.1
    between: float = 0.03
    models: Names = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", names(self.models))
        if not 0 < self.seconds <= 30:
            raise ConfigError(f"tie_break: seconds must be more than 0 and at most 30, got {self.seconds!r}")
        if not 0 <= self.usd < float("inf"):
            raise ConfigError(f"tie_break: usd must be 0 or more, got {self.usd!r}")
        for name, value in (("below", self.below), ("between", self.between)):
            if not 0 <= value <= 1:
                raise ConfigError(f"tie_break: {name} must be between 0 and 1 (cosine similarity), got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteScore:
    """How like a route's examples a step is.

    Attributes:
        name: The route.
        score: Similarity, as the route aggregates it.
        threshold: What it takes.
    """

    name: str
    score: float
    threshold: float

    @property
    def over(self) -> float:
        """How far above its threshold it is; below 0 where it does not reach it."""
        return self.score - self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    """What the routes say of a step.

    Attributes:
        route: The route that it takes; None if it takes none.
        score: Its score; None where it was carried over from the step before.
        scores: The best routes, the best first.
        how: Whether the best was taken (`nearest`), the thread's last one held against a slightly better one, the last
            one carried over to a step that goes on with what tools gave, or a model asked.
    """

    route: Route | None = None
    score: float | None = None
    scores: tuple[RouteScore, ...] = ()
    how: How = "none"

    @property
    def name(self) -> str | None:
        """The route's name."""
        return None if self.route is None else self.route.name

    @property
    def told(self) -> str:
        """The route in words, for reasons."""
        if self.route is None:
            return ""
        figures = {
            "nearest": f" ({self.score or 0.0:.2f})",
            "held": f" (held at {self.score or 0.0:.2f})",
            "carried": " (of the question it answers)",
            "tie_break": " (a model was asked)",
        }
        return f"route {self.route.name!r}{figures.get(self.how, '')}"


def refuse_other(who: str, what: str, given: str | None, known: Sequence[str]) -> None:
    """Raise for a word that is none of the known ones."""
    if given is not None and given not in known:
        raise ConfigError(f"{who}: {what} must be one of {[str(one) for one in known]!r}, got {given!r}")


def check_examples(who: str, examples: Sequence[object]) -> None:
    """Raise where examples cannot be used.

    Raises:
        ConfigError: There are too many, or one is no text, blank or too long.
    """
    if len(examples) > MOST_EXAMPLES:
        raise ConfigError(f"{who} must have at most {MOST_EXAMPLES} examples, got {len(examples)}; choose unlike ones")
    for example in examples:
        if not isinstance(example, str) or not example.strip():
            raise ConfigError(f"{who}: an example must be text with words, got {example!r}")
        if len(example) > STEP_TEXT_CHARACTERS:
            raise ConfigError(
                f"{who}: an example must have at most {STEP_TEXT_CHARACTERS} characters, of which no more are read of "
                f"a step either, got {len(example)}"
            )


def check_routes(routes: Sequence[Route], *, has_store: bool = False) -> None:
    """Raise where routes contradict each other or say nothing.

    Args:
        routes: The routes.
        has_store: Whether a stored router may have the examples.

    Raises:
        ConfigError: There are too many, two share a name or an example, one has none or would change nothing.
    """
    if len(routes) > MOST_ROUTES:
        raise ConfigError(f"there may be {MOST_ROUTES} routes at most, got {len(routes)}")
    seen, said = set[str](), dict[str, str]()
    for route in routes:
        if route.name in seen:
            raise ConfigError(f"route names must be unique, got {route.name!r} twice")
        seen.add(route.name)
        if not route.has_effect:
            raise ConfigError(
                f"route {route.name!r} must say `kind`, `models`, `tier` or `quality_loss`; it would change nothing"
            )
        if not route.examples and not has_store:
            raise ConfigError(f"route {route.name!r} must have examples; write what users say, ten or more")
        for example in route.examples:
            other = said.setdefault(" ".join(example.casefold().split()), route.name)
            if other != route.name:
                raise ConfigError(
                    f"the example {example!r} stands in the routes {other!r} and {route.name!r}, between which it "
                    "cannot tell; keep one"
                )


def check_router_name(name: str) -> None:
    """Raise where a stored router cannot be called so.

    An index takes in every key that begins with its name, and redisvl's `delete` deletes them.

    Raises:
        ConfigError: It is blank, too long, not to be read, or its keys would be among those of this library.
    """
    if not name.strip() or len(name) > LONGEST_ROUTER_NAME or not name.isprintable():
        raise ConfigError(
            f"routes_in must name a stored router, 1 to {LONGEST_ROUTER_NAME} characters that can be read, "
            f"got {name[:80]!r}; leave it out"
        )
    if name.startswith(OUR_KEYS) or OUR_KEYS.startswith(name):
        raise ConfigError(f"routes_in must not begin as the keys of this library do ({OUR_KEYS!r}), got {name!r}")


def check_route_models(route: Route, cards: Sequence[ModelCard]) -> None:
    """Raise where a route names models that are not there, or allows none.

    Raises:
        ConfigError: It does.
    """
    known = {card.name for card in cards} | {tag for card in cards for tag in card.tags}
    refuse_unknown(f"route {route.name!r}", "model", names(route.models), known)
    if not any(route.allows(card) for card in cards):
        raise ConfigError(f"route {route.name!r} allows none of the models {sorted(c.name for c in cards)!r}")


def carried(route: Route | None) -> RouteMatch:
    """The route of a question, for a step that goes on with what tools gave."""
    return RouteMatch() if route is None else RouteMatch(route=route, how="carried")


def contested(match: RouteMatch, tie: TieBreak) -> tuple[RouteScore, ...]:
    """The routes between which a model may be asked: none where the words leave nothing open."""
    if match.how not in ("nearest", "none") or not match.scores:
        return ()
    best = match.scores[0].score
    near = tuple(one for one in match.scores if one.over >= -tie.below and best - one.score <= tie.between)
    if match.route is None:
        return near
    # Beside a route that is taken only one that might be taken as well leaves anything open.
    return near if sum(one.over >= 0 for one in near) > 1 else ()


def decided_by_model(match: RouteMatch, route: Route | None) -> RouteMatch:
    """What the routes say once a model was asked."""
    score = None if route is None else next((one.score for one in match.scores if one.name == route.name), None)
    return replace(match, route=route, score=score, how="tie_break")
