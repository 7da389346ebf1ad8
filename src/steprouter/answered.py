"""Answers given again: what a step looks for before anybody is asked, and what it leaves for others.

Like the step's own flow this yields commands and performs none of them. A hit skips routing and the call; what it
would have cost is saved, not spent. Nothing of the session changes by it: no model has seen its prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from langchain_core.messages import ToolMessage

from .answering.agreement import Agreement, agreement, is_comparable
from .answering.attempt import Attempt
from .answering.draws import draw
from .answering.progress import Progress
from .caching.entry import Cached, Entry
from .caching.lookup import Doubt, Hit, Miss, look_up
from .caching.orders import Lookup, Observed
from .caching.policy import AnswerCache
from .caching.scope import Scope, Uncached, name_of_result, scope_of
from .caching.use import Used
from .calling import Setting
from .commands import AtHand, AwaitFilled, Considered, Flow, Outcome, Replay, Settle
from .memory.recall import NOT_KEPT, Missing, Recalled, Vector
from .routing.contend import tier_floor
from .routing.decide import reference_card
from .routing.decision import Decision
from .step.ask import Ask
from .step.step import Step

NOTHING_RECALLED = Recalled()

WAIT_SECONDS = 20.0
"""How long a step waits for the answer that another is just getting to its very question: most calls are shorter."""


def asked_of(step: Step, ask: Ask, setting: Setting) -> Scope | Uncached | None:
    """What is looked for in the cache, or why nothing is; None where there is no cache."""
    cache = setting.answers
    if cache is None or setting.digest is None:
        return None
    if setting.policy.mode != "route":
        return Uncached(reasons=(f"{setting.policy.mode} mode asks the reference",))
    floor = floor_of(step, setting)
    return scope_of(step, ask, cache, digest=setting.digest, floor=floor, heat=setting.heat)


def would_ask(step: Step, ask: Ask, digest: Callable[..., str], setting: Setting) -> Scope | Uncached:
    """What a cache would look for that minds neither temperature nor tools: the most that may be had."""
    cache = AnswerCache(max_temperature=None, read_only=[*step.tool_names, *results_of(ask)])
    return scope_of(step, ask, cache, digest=digest, floor=floor_of(step, setting))


def results_of(ask: Ask) -> set[str]:
    """The tools whose results stand in the history."""
    return {name_of_result(ask.messages, one) for one in ask.messages if isinstance(one, ToolMessage)}


def floor_of(step: Step, setting: Setting) -> str:
    """What is asked of who answers, as a text: under another policy an answer is another one."""
    pinned = step.place.metadata.get("steprouter_model")
    loss = setting.policy.loss_for(step.kind)
    return f"{tier_floor(step, setting.policy)}|{loss!r}|{pinned if isinstance(pinned, str) else ''}"


def question_of(asked: Scope | Uncached | None, cache: AnswerCache | None) -> str | None:
    """The text whose vector an answer is looked for by; None where it is not, or where a service embeds it."""
    if cache is None or cache.langcache is not None:
        return None
    return asked.text if isinstance(asked, Scope) and asked.semantic is not None else None


def lookup_of(step: Step, asked: Scope | Uncached | None, vector: Vector | Missing) -> Lookup | None:
    """What the store is asked for; None where nothing is looked for."""
    if not isinstance(asked, Scope):
        return None
    return Lookup(exact=asked.exact, semantic=asked.semantic, vector=vector, text=asked.text, holder=step.id)


def at_hand(step: Step, asked: Scope | Uncached | None, cache: AnswerCache | None) -> Flow[Used | None]:
    """The answer to this very question, if this process has it."""
    if not isinstance(asked, Scope) or cache is None or not cache.exact:
        return None
    entry: Entry | None = yield AtHand(step=step, exact=asked.exact)
    return None if entry is None else Used(asked=asked, found=exactly(entry), epoch=entry.epoch)


def looked(
    step: Step, asked: Scope | Uncached | None, recalled: Recalled, setting: Setting, vector: Vector | Missing
) -> Flow[Used | None]:
    """What of the recalled answers may be given; who is just getting this very answer is waited for."""
    cache = setting.answers
    if asked is None or cache is None:
        return None
    if isinstance(asked, Uncached):
        return Used(asked=asked)
    cached = recalled.section("cache")
    if not isinstance(cached, Cached):
        return Used(asked=asked, found=Miss(reasons=(reason_of(cached),)))
    found = look_up(asked, cached, cache, now=step.started_at, draw=draw(step.id, "audit"))
    if isinstance(found, Hit) or cached.filled_by is None:
        is_filler = not isinstance(found, Hit)
        return Used(asked=asked, found=found, epoch=cached.epoch, is_filler=is_filler, vector=vector)
    entry: Entry | None = yield AwaitFilled(step=step, exact=asked.exact, seconds=patience(step))
    if entry is not None:
        found = exactly(entry)
    return Used(asked=asked, found=found, epoch=cached.epoch, is_filler=entry is None, vector=vector)


def reason_of(cached: object) -> str:
    """Why the store said nothing of the cache."""
    if isinstance(cached, Missing) and cached is not NOT_KEPT:
        return cached.reason
    return "the store could not be asked"


def patience(step: Step) -> float:
    """How long somebody else's answer is waited for: half of the time there is."""
    left = step.place.deadline_seconds
    return WAIT_SECONDS if left is None else min(WAIT_SECONDS, left / 2)


def exactly(entry: Entry) -> Hit:
    """An answer to the very question."""
    return Hit(entry=entry, layer="exact")


def answered_before(
    step: Step,
    ask: Ask,
    used: Used,
    setting: Setting,
    vector: Vector | Missing = NOT_KEPT,
    recalled: Recalled = NOTHING_RECALLED,
) -> Considered:
    """A step that is decided by that its answer is known."""
    assert isinstance(used.found, Hit)
    reference = reference_card(setting.cards, setting.policy).name
    model = used.found.entry.model
    decision = Decision(candidates=(), reason=reason_for(used.found, step), reference=reference, answered_by=model)
    return Considered(step=step, ask=ask, vector=vector, recalled=recalled, decision=decision, used=used)


def reason_for(hit: Hit, step: Step) -> str:
    """Why nobody is asked, in words."""
    entry, age = hit.entry, ago(step.started_at - hit.entry.created_at)
    if hit.layer == "exact":
        return f"asked before, {age}: {entry.model} answered then"
    return (
        f"much the same was asked {age}, and {entry.model} answered then: alike by {hit.similarity:.3f}, "
        f"wrong in at most {hit.bound:.1%}"
    )


def ago(seconds: float) -> str:
    """How long ago, for people."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def given_again(considered: Considered, used: Used, hit: Hit) -> Flow[Outcome]:
    """The answer given again, and settled."""
    attempt: Attempt = yield Replay(hit=hit)
    outcome = Outcome(
        step=considered.step,
        decision=considered.decision,
        progress=Progress().after_calls(attempt),
        answered_by=attempt,
        recalled=considered.recalled,
        vector=considered.vector,
        used=used,
    )
    yield Settle(outcome=outcome)
    return outcome


def learnt(outcome: Outcome) -> tuple[Observed, ...]:
    """What the answer of a step says of the stored one that it might have been given, where that needs no judge."""
    used, given = outcome.used, outcome.answered_by
    if used is None or not isinstance(used.found, Doubt) or given is None or given.answer is None:
        return ()
    if not given.is_sufficient or given.is_given_without_a_call:
        return ()
    right = same(used.found.entry, given, outcome.step)
    return () if right is None else (observed(outcome.step, used.found, right),)


def same(entry: Entry, given: Attempt, step: Step) -> float | None:
    """Whether a stored answer says what a fresh one says: 1, 0, or None where only a judge could tell."""
    if given.answer is None:
        return None
    if agreement(given.answer, entry.answer, step) is Agreement.SAME:
        return 1.0
    return 0.0 if is_comparable(given.answer, step) else None


def observed(step: Step, found: Hit | Doubt, right: float, weight: float = 1.0) -> Observed:
    """What is learnt of an answer."""
    return Observed(
        tenant=step.place.tenant,
        entry_id=found.entry.id,
        pool=found.pool,
        right=weight * right,
        wrong=weight * (1 - right),
    )


def with_learnt(outcome: Outcome) -> Outcome:
    """An outcome with what it says of a stored answer."""
    found = learnt(outcome)
    return replace(outcome, observed=found) if found else outcome
