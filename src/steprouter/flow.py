"""The order of a step: read this file and you know the product.

A step is embedded and recalled, a decision is made, models are called until an answer is sufficient or nothing
is left, and what happened is settled. `run_step` performs none of it: it yields commands and receives replies,
never waits and never does I/O. `drive` carries the commands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .answered import answered_before, asked_of, at_hand, given_again, looked, lookup_of, question_of, with_learnt
from .answering.attempt import Attempt
from .answering.claims import Granted, Refused
from .answering.moves import Accept, GiveUp, Move, Try, next_move
from .answering.progress import Passed, Progress, Situation
from .answering.resume import Continuation
from .auditing import recheck_for
from .caching.lookup import Hit
from .caching.scope import Scope, Uncached
from .calling import Prepared, Setting, gone, hedged, judged, prepare, recovered, situation_of
from .commands import (
    Call,
    Command,
    Considered,
    Consult,
    Embed,
    Embedded,
    Flow,
    Heard,
    Note,
    Outcome,
    Precedent,
    R,
    Race,
    Recall,
    Release,
    Reserve,
    Settle,
    Spawn,
    TakeOver,
    Wait,
)
from .errors import NoAbleModel
from .memory.drafts import glean
from .memory.journal import JournalEntry
from .memory.learned import Learned
from .memory.recall import Missing, Recalled
from .memory.session import Session
from .probing import probe_for
from .routing.consultation import Consultation
from .routing.decide import decide
from .routing.decision import Decision
from .routing.predict import foretell
from .routing.route_effects import routed, settled
from .step.ask import Ask
from .step.step import Step
from .step.text import step_text
from .tie_break import (
    Open,
    answered,
    hurried,
    inquiry,
    left_open,
    recognised,
    refused,
    taken,
    with_breakage,
    with_consultation,
)

__all__ = [
    "Call", "Command", "Considered", "Consult", "Embed", "Embedded", "Flow", "Heard", "Note", "Outcome", "Precedent",
    "Race", "Recall", "Reserve", "Setting", "Settle", "Spawn", "TakeOver", "Wait", "consider", "run_step",
]  # fmt: skip


def perform(command: Command[R]) -> Flow[R]:
    """Yield `command` and give its reply, typed."""
    reply: R = yield command
    return reply


def run_step(step: Step, ask: Ask, setting: Setting) -> Flow[Outcome]:
    """The way of one step, from what is asked to what came of it.

    The `decision` note divides it: everything before is done before LangChain's run begins, so that the run
    can name the model; everything after happens inside the run.
    """
    asked = asked_of(step, ask, setting)
    try:
        considered = yield from consider(step, ask, setting, asked)
    except NoAbleModel:
        if isinstance(asked, Scope):  # nobody need wait for an answer that will not come
            yield from perform(Release(step=step, exact=asked.exact))
        raise
    step, decision, recalled, used = considered.step, considered.decision, considered.recalled, considered.used
    if used is not None and isinstance(used.found, Hit):
        yield from tell_hit(used.found, decision)
        outcome = yield from given_again(considered, used, used.found)
        if (audit := recheck_for(outcome, ask, setting)) is not None:
            yield from perform(audit)
        return outcome
    yield from tell_decision(decision, recalled)
    left = yield from take_over(step, ask, recalled)
    tie = decision.tie_break
    begun = Progress(left=left, elapsed_seconds=0.0 if tie is None else tie.ended_seconds)
    progress, ending = yield from answer(ask, situation_of(step, ask, decision, setting, recalled), setting, begun)
    given, lessons = ending.attempt if isinstance(ending, Accept) else None, setting.lessons
    outcome = Outcome(
        step=step,
        decision=decision,
        progress=progress,
        answered_by=given,
        gave_up=ending if isinstance(ending, GiveUp) else None,
        recalled=recalled,
        vector=considered.vector,
        used=used,
        ask=ask,
        material=None if lessons is None else glean(step, ask, decision, given, setting.cards, lessons),
    )
    outcome = with_learnt(outcome)
    yield from perform(Settle(outcome=outcome, leaves_journal=leaves_journal(outcome, setting)))
    for spawned in (probe_for(outcome, ask, setting), recheck_for(outcome, ask, setting)):
        if spawned is not None:
            yield from perform(spawned)
    return outcome


def consider(step: Step, ask: Ask, setting: Setting, asked_for: Scope | Uncached | None = None) -> Flow[Considered]:
    """A step up to its decision: embedded, its kind settled by a route where it is open, recalled, decided.

    An answer that may be given again ends it: nobody is to be asked.

    What is recalled is of one kind. Where the thread's last route is held against the one the words alone would take,
    and makes it a step of another kind, what is known of that kind is recalled instead. So it is where the words leave
    the route open and a model that is asked settles another kind.
    """
    if (used := (yield from at_hand(step, asked_for, setting.answers))) is not None:
        return answered_before(step, ask, used, setting)
    text = step_text(ask.messages)
    embedded = yield from perform(Embed(text=text, question=question_of(asked_for, setting.answers)))
    vector, read = embedded.vector, step
    step = settled(read, routed(read, vector, embedded.routes, setting.policy))
    lookup = lookup_of(step, asked_for, embedded.question)
    recalled = yield from perform(Recall(step=step, vector=vector, lookup=lookup))
    used = yield from looked(step, asked_for, recalled, setting, embedded.question)
    if used is not None and isinstance(used.found, Hit):
        return answered_before(step, ask, used, setting, vector, recalled)
    route = routed(read, vector, embedded.routes, setting.policy, recalled)
    asked: Consultation | None = None
    if (opened := left_open(read, ask, route, embedded, setting, recalled)) is not None:
        asked = yield from consult(opened, setting, recalled)
        route = taken(opened, asked)
    if (held := settled(read, route)).kind is not step.kind:
        recalled = yield from perform(Recall(step=held, vector=vector))
    foretold = foretell(setting.predictor, held, vector, text)
    decision = decide(
        hurried(held, setting.policy, asked),
        setting.cards,
        setting.policy,
        recalled,
        barred=setting.barred(ask),
        foretold=foretold,
        route=route,
    )
    known = with_breakage(recalled, asked)
    told = with_consultation(decision, asked)
    return Considered(step=held, ask=ask, vector=vector, recalled=known, decision=told, used=used)


def consult(opened: Open, setting: Setting, recalled: Recalled) -> Flow[Consultation]:
    """Ask a model which route a step takes, unless it is known what it would say, or nobody may be asked."""
    known = yield from perform(Precedent(key=opened.question.key))
    if isinstance(known, Missing):
        return opened.unasked(known.reason, is_broken=True)
    if isinstance(known, Heard):
        return recognised(opened, known)
    asked = inquiry(opened, setting, recalled)
    if isinstance(asked, str):
        return opened.unasked(asked)
    grant = yield from perform(Reserve(step=opened.step, claim=asked.claim))
    if not isinstance(grant, Granted):
        return opened.unasked(refused(grant))
    return answered(opened, asked, (yield from perform(replace(asked.consult, is_probe=grant.is_probe))))


def take_over(step: Step, ask: Ask, recalled: Recalled) -> Flow[Attempt | None]:
    """What a process that ended has left of this very answer, if nobody else goes on with it."""
    entry = recalled.section("journal")
    if not isinstance(entry, JournalEntry) or not (yield from perform(TakeOver(step=step, entry=entry))):
        return None
    return recovered(entry, ask, step)


def leaves_journal(outcome: Outcome, setting: Setting) -> bool:
    """Whether what was said of an unfinished answer is kept for whoever asks the same again."""
    if outcome.gave_up is None:
        return False
    if outcome.gave_up.why == "cancelled":
        return setting.policy.resume.keep_when_left
    # What an ended process left is not lost because nobody could go on with it now.
    return outcome.gave_up.why == "broken" or outcome.progress.left is not None


def answer(
    ask: Ask, situation: Situation, setting: Setting, progress: Progress
) -> Flow[tuple[Progress, Accept | GiveUp]]:
    """Call models until one answer is accepted or nothing is left to try."""
    while isinstance(move := next_move(situation, progress), Try):
        yield from tell_move(progress, move)
        if move.after_seconds:
            if not (yield from perform(Wait(seconds=move.after_seconds))):
                return progress, GiveUp(why="cancelled")
            progress = progress.after_wait(move.after_seconds)
        prepared = prepare(move, ask, situation, setting, progress)
        grant = yield from perform(Reserve(step=situation.step, claim=prepared.claim))
        if isinstance(grant, Granted):
            progress = yield from call(prepared, grant, ask, situation, setting, progress)
        elif isinstance(grant, Refused):
            progress = progress.after_refusal(move.model, grant)
        else:
            progress = progress.after_calls(gone(prepared))
    yield from tell_move(progress, move)
    if isinstance(move, Accept) and move.attempt is not progress.left and move.attempt not in progress.events:
        progress = progress.after_calls(move.attempt)  # the user's own message
    return progress, move


def call(
    prepared: Prepared, grant: Granted, ask: Ask, situation: Situation, setting: Setting, progress: Progress
) -> Flow[Progress]:
    """Call a model; a second one too, if this one is slow to begin and the policy wants it."""
    if grant.near:
        yield from perform(Note(event="budget", facts={"near": grant.near, "model": prepared.call.model}))
    policy, is_retry = setting.policy, prepared.claim.is_retry
    if (hedge := hedged(prepared, grant, ask, situation, setting, progress)) is not None:
        second, after_seconds = hedge
        also = yield from perform(Reserve(step=situation.step, claim=second.claim))
        if isinstance(also, Granted):
            raced = yield from perform(Race(calls=(prepared.call, second.call), after_seconds=after_seconds))
            whose = {prepared.call.id: (prepared, grant), second.call.id: (second, also)}
            made = [judged(one, whose[one.id][0], ask, policy, is_probe=whose[one.id][1].is_probe) for one in raced]
            return progress.after_calls(*made, is_retry=is_retry, unused=unused(raced, second))
    one = yield from perform(prepared.call)
    return progress.after_calls(judged(one, prepared, ask, policy, is_probe=grant.is_probe), is_retry=is_retry)


def unused(raced: Sequence[Attempt], second: Prepared) -> tuple[str, ...]:
    """What was set aside for a second call that was not started."""
    return () if any(one.id == second.call.id for one in raced) else (second.claim.reservation,)


def tell_decision(decision: Decision, recalled: Recalled) -> Flow[None]:
    """Say what was decided, and what was missing for it."""
    if recalled.degraded:
        yield from perform(Note(event="degraded", facts={"parts": recalled.degraded}))
    if drifted := newly_drifted(recalled):
        yield from perform(Note(event="drift", facts={"models": drifted}))
    facts: dict[str, Any] = {
        "models": decision.models,
        "reason": decision.reason,
        "rule": decision.rule,
        "route": decision.route,
    }
    if decision.tie_break is not None:
        facts["tie_break"] = decision.tie_break.facts
    yield from perform(Note(event="decision", facts=facts, decision=decision))


def newly_drifted(recalled: Recalled) -> tuple[str, ...]:
    """Models that have become worse than expected, of which the thread has not been told."""
    session, learned = recalled.section("session"), recalled.section("learned")
    if not isinstance(session, Session) or not isinstance(learned, Learned):
        return ()
    return learned.frozen_since(session.updated_at)


def tell_hit(hit: Hit, decision: Decision) -> Flow[None]:
    """Say that nobody is asked, because the answer is known."""
    facts = {"layer": hit.layer, "model": hit.entry.model, "reason": decision.reason, "saved_usd": hit.entry.usd}
    yield from perform(Note(event="cache_hit", facts=facts, decision=decision))


def tell_move(progress: Progress, move: Move) -> Flow[None]:
    """Say what became of the last attempt, and what comes next."""
    yield from tell_left(progress, move)
    if not progress.events:
        return
    last = progress.events[-1]
    onward = {"to": move.model, "why": move.why} if isinstance(move, Try) else {}
    following = {"next": move.model, "wait_seconds": move.after_seconds} if isinstance(move, Try) else {"next": None}
    if isinstance(last, Passed):
        if last.refused.by == "budget":
            facts = {"name": last.refused.name, "why": last.refused.why, "model": last.model}
            yield from perform(Note(event="budget", facts=facts))
    elif last.failure is not None:
        failed = {"model": last.model, "kind": str(last.failure.kind), "phase": str(last.failure.phase)}
        yield from perform(Note(event="attempt_failed", facts={**failed, "status": last.failure.status, **following}))
    if isinstance(move, Try) and move.continuation is not None:
        yield from perform(Note(event="resumed", facts=resumption(move.continuation)))
    elif isinstance(move, Try) and move.model != last.model:
        if isinstance(last, Passed) or last.failure is not None:
            yield from perform(Note(event="failover", facts={"from": last.model, **onward}))
        else:
            yield from perform(Note(event="escalated", facts={"from": last.model, **onward, "problems": last.problems}))


def tell_left(progress: Progress, move: Move) -> Flow[None]:
    """Say that an answer goes on which an ended process began: its text replaces whatever a consumer has of it."""
    left = progress.left
    if progress.events or left is None or left.salvage is None:
        return
    facts = {"from": left.model, "to": left.model, "rung": "finish", "at_char": len(left.salvage.shown)}
    if isinstance(move, Try) and move.continuation is not None:
        facts = resumption(move.continuation)
    elif not isinstance(move, Accept):
        return
    yield from perform(Note(event="resumed", facts={**facts, "text": left.salvage.shown}))


def resumption(going: Continuation) -> dict[str, object]:
    """Where an answer goes on, and how, for whoever listens."""
    skipped = [{"rung": str(one.rung), "model": one.model, "why": one.why} for one in going.skipped]
    return {
        "from": going.left,
        "to": going.model,
        "rung": str(going.rung),
        "at_char": len(going.salvage.shown),
        "skipped": skipped,
    }
