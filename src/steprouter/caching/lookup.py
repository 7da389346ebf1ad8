"""Which of the answers that a recall brought may be given again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .bound import error_bound, is_silenced, pool_of
from .entry import Cached, Entry, Near, Tally
from .facets import disagreements
from .policy import AnswerCache
from .scope import Scope
from .wording import is_slight


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
    told = [(one, objection(scope, one)) for one in near]
    known = [judged(scope, one, cached, cache) for one, reason in told if not reason]
    if not known:
        return Miss(reasons=tuple(dict.fromkeys(reason for _, reason in told)))
    best = min(known, key=lambda doubt: (doubt.bound, -doubt.similarity))
    if not best.bound <= cache.max_error:
        return best
    return Hit(
        entry=best.entry,
        layer="semantic",
        similarity=best.similarity,
        bound=best.bound,
        pool=best.pool,
        audited=draw < cache.audit_share,
    )


def objection(scope: Scope, one: Near) -> str:
    """Why an answer to something like it is none to this, in words and without what was asked; empty if nothing tells.

    An answer that was found wrong before is looked at no more: that it is wrong again would say nothing new.
    """
    if is_silenced(one.tally):
        return f"alike by {one.similarity:.2f}, but its answer was found wrong"
    differing = disagreements(scope.facets, one.entry.facets)
    if differing:
        return f"alike by {one.similarity:.2f}, but another: {', '.join(differing)}"
    slight = is_slight(scope.text, one.entry.text)
    return f"alike by {one.similarity:.2f}, but little is said besides courtesies" if slight else ""


def judged(scope: Scope, one: Near, cached: Cached, cache: AnswerCache) -> Doubt:
    """How sure an answer is to a question that says the same."""
    pool = pool_of(scope.text, one.entry, one.similarity, one.scale)
    bound = error_bound(pool, cached.pools.get(pool, Tally()), one.tally, confidence=cache.confidence)
    return Doubt(entry=one.entry, similarity=one.similarity, bound=bound, pool=pool)


def is_alive(entry: Entry, cached: Cached, now: float) -> bool:
    """Whether an answer has neither expired nor been removed."""
    return entry.expires_at > now and entry.epoch == cached.epoch
