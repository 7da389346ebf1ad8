"""Which of the answers that a recall brought may be given again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .bound import error_bound, pool_of
from .entry import Cached, Entry, Near, Tally
from .facets import disagreements
from .policy import AnswerCache
from .scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An answer that is given again.

    Attributes:
        entry: It.
        layer: Whether its question is the same to the letter, or means the same.
        similarity: How like the questions are, as the cosine of their vectors.
        bound: What share of such answers may be wrong, at the confidence that the user asks.
        pool: The pool of like evidence; None for the very question.
        audited: Whether it is found out in the background whether it was right.
    """

    entry: Entry
    layer: Literal["exact", "semantic"]
    similarity: float = 1.0
    bound: float = 0.0
    pool: str | None = None
    audited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An answer that agrees in all that can be seen, and is not sure enough yet; what is asked now may tell.

    Attributes:
        entry: It.
        similarity: How like the questions are.
        bound: What share of such answers may be wrong.
        pool: The pool of like evidence.
    """

    entry: Entry
    similarity: float
    bound: float
    pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """No answer may be given again.

    Attributes:
        reasons: Why, in words, without what was asked.
    """

    reasons: tuple[str, ...] = ()


def look_up(scope: Scope, cached: Cached, cache: AnswerCache, *, now: float, draw: float) -> Hit | Doubt | Miss:
    """The answer that may be given again; of several the surest.

    Args:
        scope: What is looked for.
        cached: What the store brought.
        cache: What the user allows.
        now: Unix time in seconds.
        draw: A number from 0 to 1, drawn for the step, that decides whether a hit is audited.
    """
    exact = cached.exact
    if cache.exact and exact is not None and exact.id == scope.exact and is_alive(exact, cached, now):
        return Hit(entry=exact, layer="exact")
    if scope.semantic is None:
        return Miss(reasons=("the same was not asked before", scope.why_not))
    near = [one for one in cached.near if one.entry.scope == scope.semantic and is_alive(one.entry, cached, now)]
    if not near:
        return Miss(reasons=("nothing like it was asked before",))
    sure: list[tuple[float, float, Near, str]] = []
    differences: list[str] = []
    for one in near:
        if differs := disagreements(scope.facets, one.entry.facets):
            differences.append(f"alike by {one.similarity:.2f}, but another: {', '.join(differs)}")
            continue
        pool = pool_of(scope.text, one.entry, one.similarity)
        tally = cached.pools.get(pool, Tally())
        bound = error_bound(pool, tally, one.tally, confidence=cache.confidence)
        sure.append((bound, -one.similarity, one, pool))
    if not sure:
        return Miss(reasons=tuple(differences))
    bound, _, best, pool = min(sure, key=lambda one: one[:2])
    if bound > cache.max_error:
        return Doubt(entry=best.entry, similarity=best.similarity, bound=bound, pool=pool)
    is_audited = draw < cache.audit_share
    return Hit(
        entry=best.entry, layer="semantic", similarity=best.similarity, bound=bound, pool=pool, audited=is_audited
    )


def is_alive(entry: Entry, cached: Cached, now: float) -> bool:
    """Whether an answer has neither expired nor been removed."""
    return entry.expires_at > now and entry.epoch == cached.epoch
