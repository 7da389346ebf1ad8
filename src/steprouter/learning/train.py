"""Trains a predictor: holds a contest, and fits the winner to all rows if it beats the step-kind table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np

from ..errors import ConfigError
from ..routing.trained import Curve, TrainedPredictor
from .averages import averages
from .calibration import isotonic, platt, worth
from .card import Bin, Card, ContenderLine
from .contenders import FURTHEST, Contender, TableOnly, means_of
from .contest import FOLDS, HeldOut, Verdict, folds_of, hold_out, judged
from .factors import Factors
from .features import Seen, seen
from .forms import form_of
from .knn import Nearest
from .logistic import Logistic
from .metrics import Reliability, briers, curve, equal_quality_cost, log_losses, ranks, reliability
from .preferences import preference_loss, with_preferences
from .table import Floats, Numbers, Table, Vectors, totals

FEWEST_GROUPS = 50
"""Texts below which nothing can be held out that would say anything."""

FEWEST_ROWS = 10.0
"""Rows of a model at a kind of step, weighted, below which there is no prior for it."""

MARGIN = 0.01
"""Of the held-out probabilities of a model, the share at either end that bounds later ones."""


class Embeds(Protocol):
    """What training needs of an embedder; `embedding.Embedder` has it."""

    @property
    def identity(self) -> str:
        """Model, version and dimension."""
        ...

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts, (n, d)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a contender did on held-out rows.

    Attributes:
        name: Its name.
        setting: How strongly it held back, most of the time.
        log_loss: Mean, in nats.
        brier: Mean squared error.
        ece: Expected calibration error.
        apgr: Of routing between the pair of models; None where they share too few steps.
        cpt50: Share of calls to the strong model that recovers half the gap.
        cpt80: The same for four fifths.
        equal_quality_cost: Cost at the strong model's quality, as a share of always asking it; None without costs.
        preference_loss: Log loss of who is preferred; None without pairs.
        leads: Lead on the table in log loss and its lower bound, the same in Brier score; None for the table.
    """

    name: str
    setting: float
    log_loss: float
    brier: float
    ece: float
    apgr: float | None = None
    cpt50: float | None = None
    cpt80: float | None = None
    equal_quality_cost: float | None = None
    preference_loss: float | None = None
    leads: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """What came of training.

    Attributes:
        predictor: To be saved or used.
        standings: The table's first, then the contenders', the simplest first.
        winner: Name of the one that won.
        why: In words.
        enabled: Whether the predictor gives priors.
        pair: The weak and the strong model that APGR is of; None where no two share enough steps.
        reliability: The winner's calibration curve on held-out rows.
        steps: How many steps were learnt from.
    """

    predictor: TrainedPredictor
    standings: tuple[Standing, ...]
    winner: str
    why: str
    enabled: bool
    pair: tuple[str, str] | None
    reliability: Reliability
    steps: int


def train(
    table: Table,
    *,
    embedder: Embeds | str | None = None,
    seed: int = 0,
    folds: Numbers | None = None,
    entrants: Sequence[Contender] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train a predictor.

    Args:
        table: Outcomes, and preferences if there are any.
        embedder: Makes the vectors of texts where the table has none, or names whose vectors the table has. None
            leaves vectors out.
        seed: Of folds and draws; the same seed gives the same predictor.
        folds: (items,) which fold each step is in; None deals out the groups by lot.
        entrants: Who takes part besides the table, the simplest first; None for all that can.
        tell: Is told what is being done.

    Raises:
        ConfigError: There is too little to learn from, or vectors without the name of their embedder.
    """
    table, identity = embedded(with_preferences(table), embedder, tell)
    refuse_little(table)
    read = seen(table.items)
    split = folds_of(table.items.groups, seed, FOLDS) if folds is None else folds
    told = []
    taking_part = (TableOnly(), *(contenders(read, seed) if entrants is None else entrants))
    for contender in taking_part:
        tell(f"{contender.name}: learning on {len(np.unique(split))} parts")
        told.append(hold_out(contender, read, table, split, seed))
    verdict = judged(table, told, seed)
    winner = next(one for one in told if one.name == verdict.winner)
    pair = pair_of(table)
    predictor = fitted(read, table, taking_part[told.index(winner)], winner, identity)
    return Training(
        predictor=predictor,
        standings=tuple(standing(table, one, verdict, pair, split) for one in told),
        winner=verdict.winner,
        why=verdict.why,
        enabled=predictor.enabled,
        pair=None if pair is None else (table.models[pair[0]], table.models[pair[1]]),
        reliability=reliability(table.success, winner.chances[table.item, table.model], table.weight),
        steps=len(np.unique(table.item)),
    )


def carded(
    training: Training,
    table: Table,
    *,
    source: str,
    made_at: float,
    seed: int = 0,
    licence: str = "",
    first_at: float | None = None,
    last_at: float | None = None,
) -> Card:
    """The data card of what was trained; see `Card` for the fields.

    Args:
        training: What `train` gave.
        table: What it was given.
        source: Where the table is from; of a path only the name is kept.
        made_at: Unix time in seconds.
        seed: What `train` was given.
        licence: A note.
        first_at: When the first outcome was.
        last_at: When the last was.
    """
    curve = training.reliability
    bins = zip(curve.guessed.tolist(), curve.happened.tolist(), curve.rows.tolist(), strict=True)
    return Card(
        made_at=made_at,
        source=PurePath(source).name,
        licence=licence,
        seed=seed,
        first_at=first_at,
        last_at=last_at,
        winner=training.winner,
        why=training.why,
        pair=None if training.pair is None else list(training.pair),
        contenders=[ContenderLine(**listed(one)) for one in training.standings],
        calibration=[Bin(guessed=guessed, happened=happened, rows=rows) for guessed, happened, rows in bins],
        rows=len(table),
        pairs=len(table.pairs),
        steps=training.steps,
        kinds=counted(table.kinds, table.kind),
        models=counted(table.models, table.model),
    )


def listed(one: Standing) -> dict[str, Any]:
    """A standing as the card has it."""
    return {**asdict(one), "leads": None if one.leads is None else list(one.leads)}


def counted(names: Sequence[str], places: Numbers) -> dict[str, int]:
    """How many rows each name has."""
    return dict(zip(names, np.bincount(places, minlength=len(names)).tolist(), strict=True))


def embedded(table: Table, embedder: Embeds | str | None, tell: Callable[[str], None]) -> tuple[Table, str | None]:
    """The table with vectors, and whose they are.

    Raises:
        ConfigError: The table has vectors and nobody says whose.
    """
    if table.items.vectors is not None:
        if not isinstance(embedder, str):
            raise ConfigError(
                "embedder must name whose vectors the table has (the identity of an Embedder), got "
                f"{type(embedder).__name__}; leave the column out to have texts embedded"
            )
        return table, embedder
    if embedder is None or isinstance(embedder, str) or table.items.texts is None:
        return table, None
    tell(f"embedding {len(table.items)} texts")
    vectors = np.asarray(embedder.embed_many(table.items.texts), dtype=np.float32)
    return replace(table, items=replace(table.items, vectors=vectors)), embedder.identity


def refuse_little(table: Table) -> None:
    """Refuses a table that nothing can be learnt from.

    Raises:
        ConfigError: There are too few different texts.
    """
    groups = len(np.unique(table.items.groups[table.item]))
    if groups < FEWEST_GROUPS or table.weight.sum() < FEWEST_GROUPS:
        raise ConfigError(
            f"a table must have at least {FEWEST_GROUPS} different texts or groups, got {groups} (rows weigh "
            f"{table.weight.sum():.0f}); let the router gather more outcomes first"
        )


def contenders(read: Seen, seed: int) -> tuple[Contender, ...]:
    """Who can take part besides the table, the simplest first."""
    has_vectors, has_words = read.vectors is not None, read.starts is not None
    parts: list[Contender] = []
    if has_vectors:
        parts += [Nearest(), Factors(seed=seed)]
    if has_vectors or has_words:
        parts.append(Logistic())
    return tuple(parts)


def pair_of(table: Table) -> tuple[int, int] | None:
    """The weak and the strong model: the best of all, and of the worse ones the cheapest, or the worst if unknown."""
    means = means_of(table)
    rows = means.rows.sum(axis=0)
    success = (means.success * means.rows).sum(axis=0) / np.maximum(rows, 1e-9)
    strong = int(np.argmax(np.where(rows > 0, success, -1)))
    others = [model for model in range(len(rows)) if success[model] < success[strong] and rows[model] > 0]
    costs = mean_costs(table)
    others = [model for model in others if len(shared(table, model, strong)[0]) >= FEWEST_GROUPS]
    if not others:
        return None
    known = [model for model in others if not np.isnan(costs[model])]
    weak = min(known, key=lambda model: costs[model]) if known else min(others, key=lambda model: success[model])
    weak_quality, strong_quality = (quality.mean() for quality in shared(table, weak, strong)[1:])
    return (weak, strong) if strong_quality > weak_quality else None


def mean_costs(table: Table) -> Floats:
    """Mean cost of an answer of each model, NaN where unknown."""
    there = ~np.isnan(table.usd)
    count = np.bincount(table.model[there], minlength=len(table.models))
    total = np.bincount(table.model[there], table.usd[there], minlength=len(table.models))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def shared(table: Table, weak: int, strong: int) -> tuple[Numbers, Floats, Floats]:
    """The steps that both models answered, and the mean success of each there."""
    found = []
    for model in (weak, strong):
        mine = table.model == model
        rows = np.bincount(table.item[mine], minlength=len(table.items))
        good = np.bincount(table.item[mine], table.success[mine], minlength=len(table.items))
        found.append((rows, good))
    both = np.flatnonzero((found[0][0] > 0) & (found[1][0] > 0))
    weak_quality, strong_quality = ((good / np.maximum(rows, 1))[both] for rows, good in found)
    return both, weak_quality, strong_quality


def standing(table: Table, one: HeldOut, verdict: Verdict, pair: tuple[int, int] | None, folds: Numbers) -> Standing:
    """How a contender did."""
    guesses = one.chances[table.item, table.model]
    mass = table.weight.sum()
    leads = verdict.gains.get(one.name)
    return Standing(
        name=one.name,
        setting=one.setting,
        log_loss=float(table.weight @ log_losses(table.success, guesses) / mass),
        brier=float(table.weight @ briers(table.success, guesses) / mass),
        ece=reliability(table.success, guesses, table.weight).ece,
        preference_loss=preference_loss(table, one.logits[table.pairs[:, 0]]) if len(table.pairs) else None,
        leads=None if leads is None else (leads[0].mean, leads[0].low, leads[1].mean, leads[1].low),
        **({} if pair is None else routed(table, one, pair, folds)),
    )


def routed(table: Table, one: HeldOut, pair: tuple[int, int], folds: Numbers) -> Mapping[str, float | None]:
    """What routing between two models by a contender's probabilities gives."""
    weak, strong = pair
    both, weak_quality, strong_quality = shared(table, weak, strong)
    scores = ranks(one.chances[both, strong] - one.chances[both, weak], folds[both])
    drawn = curve(scores, weak_quality, strong_quality)
    costs = mean_costs(table)
    has_costs = not np.isnan(costs[[weak, strong]]).any() and costs[strong] > 0
    return {
        "apgr": drawn.apgr,
        "cpt50": drawn.cpt(0.5),
        "cpt80": drawn.cpt(0.8),
        "equal_quality_cost": equal_quality_cost(drawn, costs[weak], costs[strong]) if has_costs else None,
    }


def fitted(read: Seen, table: Table, contender: Contender, told: HeldOut, identity: str | None) -> TrainedPredictor:
    """The winner, learnt from all rows and calibrated on what it said of held-out ones."""
    chances = told.chances[table.item, table.model]
    means = means_of(table)
    form = None
    calibration = Curve()
    if not isinstance(contender, TableOnly):
        form = form_of(contender.fit(read, table, told.setting))
        fit = isotonic if told.is_isotonic else platt
        calibration = fit(told.logits[table.item, table.model], table.success, table.weight)
    of_model = [chances[table.model == model] for model in range(len(table.models))]
    bounds = [np.quantile(one, [MARGIN, 1 - MARGIN]) if len(one) else np.array([0.0, 1.0]) for one in of_model]
    cells = table.kind * len(table.models) + table.model
    return TrainedPredictor(
        kinds={kind: place for place, kind in enumerate(table.kinds)},
        models=table.models,
        embedder=identity if form is not None and form.dimension is not None else None,
        form=form,
        curve=calibration,
        known=means.rows >= FEWEST_ROWS,
        means=totals(cells, table.weight * chances, means.rows.shape) / np.maximum(means.rows, 1e-9),
        low=np.array([low for low, _ in bounds]).clip(FURTHEST, 1 - FURTHEST),
        high=np.array([high for _, high in bounds]).clip(FURTHEST, 1 - FURTHEST),
        strength=worth(table.success, chances, table.weight, cells),
        output_tokens=averages(table, table.output_tokens),
        seconds=averages(table, table.seconds),
    )
