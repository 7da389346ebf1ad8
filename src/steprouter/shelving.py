"""What an ended step leaves in the answer cache: its answer, what was learnt of others, and what was saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .answering.answer import Answer
from .caching.entry import Entry
from .caching.lookup import Hit
from .caching.orders import Counted, Kept, Observed
from .caching.policy import AnswerCache
from .caching.scope import Scope, worth_keeping
from .commands import Outcome
from .memory.recall import Missing
from .models.card import Price
from .models.cost import cost_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """What the cache is told of a step.

    Attributes:
        kept: Its answer, where that may be given again.
        released: Tenant, question and step, where others waited for an answer that is not kept.
        observed: What was learnt of answers.
        counted: What the step got from the cache.
        why_not: Why its answer is not kept, in words.
    """

    kept: Kept | None = None
    released: tuple[str, str, str] | None = None
    observed: tuple[Observed, ...] = ()
    counted: Counted | None = None
    why_not: tuple[str, ...] = ()


NOTHING = Shelved()


def shelved(outcome: Outcome, cache: AnswerCache, prices: Mapping[str, Price | None], now: float) -> Shelved:
    """What the cache is told of an ended step.

    Args:
        outcome: What came of the step.
        cache: What the user asks of the cache.
        prices: By model.
        now: Unix time in seconds.
    """
    used = outcome.used
    if used is None or not isinstance(used.asked, Scope):
        return Shelved(observed=outcome.observed) if outcome.observed else NOTHING
    step, tenant = outcome.step, outcome.step.place.tenant
    if isinstance(used.found, Hit):
        # Found by meaning: whoever waits for the answer to the very question is not to wait any longer.
        waited_for = (tenant, used.asked.exact, step.id) if used.found.layer == "semantic" else None
        return Shelved(released=waited_for, observed=outcome.observed, counted=counted(outcome, used.found))
    why_not = refusals(outcome, cache)
    kept = None if why_not else kept_of(outcome, used.asked, cache, prices, now)
    released = (tenant, used.asked.exact, step.id) if kept is None and used.is_filler else None
    return Shelved(
        kept=kept,
        released=released,
        observed=outcome.observed,
        counted=Counted(tenant=tenant, misses=1),
        why_not=why_not,
    )


def counted(outcome: Outcome, hit: Hit) -> Counted:
    """What a hit saved."""
    return Counted(
        tenant=outcome.step.place.tenant,
        exact=int(hit.layer == "exact"),
        semantic=int(hit.layer == "semantic"),
        saved_usd=hit.entry.usd or 0.0,
        saved_seconds=hit.entry.seconds,
    )


def refusals(outcome: Outcome, cache: AnswerCache) -> tuple[str, ...]:
    """Why the answer of a step is not kept, in words; empty where it is."""
    used, given = outcome.used, outcome.answered_by
    if used is None or used.epoch is None:
        return ("the store could not be asked",)
    if given is None or given.answer is None:
        return ("there is no answer",)
    return worth_keeping(given)


def kept_of(outcome: Outcome, asked: Scope, cache: AnswerCache, prices: Mapping[str, Price | None], now: float) -> Kept:
    """The answer of a step as it is kept."""
    step, given, used = outcome.step, outcome.answered_by, outcome.used
    assert given is not None
    assert given.answer is not None
    assert used is not None
    vector = used.vector
    is_embedded = cache.langcache is not None or not isinstance(vector, Missing)
    is_compared = asked.semantic is not None and is_embedded
    place = step.place
    entry = Entry(
        id=asked.exact,
        scope=(asked.semantic or "") if is_compared else "",
        text=asked.text if is_compared else "",
        facets=asked.facets if is_compared else None,
        answer=bare(given.answer),
        usage=given.usage,
        usd=total([cost_usd(one.usage, prices.get(one.model)) for one in outcome.progress.made]),
        seconds=given.began_seconds + given.seconds,
        model=given.model,
        kind=str(step.kind),
        node=place.node,
        step_id=step.id,
        tags=place.tags,
        created_at=now,
        expires_at=now + cache.ttl_for(step.kind),
        epoch=used.epoch or 0,
    )
    stored = None if isinstance(vector, Missing) or not is_compared else vector.astype("<f4", copy=False).tobytes()
    return Kept(tenant=place.tenant, entry=entry, vector=stored, holder=step.id, thread=place.thread, user=place.user)


def bare(answer: Answer) -> Answer:
    """Text, calls and finish: no details that name a provider's call or key."""
    return replace(answer, unshown=(), details={}, usage=None)


def total(costs: Sequence[float | None]) -> float | None:
    """The sum; None if any is unknown."""
    known = [usd for usd in costs if usd is not None]
    return sum(known) if len(known) == len(costs) else None
