"""Shadow probes: what is run beside a step that has its answer, to learn what a cheaper model would have said.

Nobody sees the answer, no tool is called, and nothing of the step, its session or its graph changes: what is left is
an outcome of the probed model in memory, and a trace of its own. Like the step's own flow this one yields commands
and performs none of them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from math import isfinite

from .answering.agreement import WORTH, Agreement, Probed, agreement, is_comparable
from .answering.answer import Answer
from .answering.attempt import Attempt
from .answering.claims import Granted
from .answering.failures import FailureKind
from .answering.moves import Try
from .answering.progress import Progress
from .calling import Setting, judged, prepare, situation_of
from .commands import Flow, Outcome, Reserve, Settle, Spawn
from .routing.decide import conditions_of
from .routing.decision import Candidate, Decision
from .routing.probe_choice import probed
from .routing.probes import Judge
from .step.ask import Ask
from .step.step import Step

log = logging.getLogger("steprouter")

PROBE_SECONDS = 120.0
"""How long a probe may take. Nobody waits for it; but what hangs keeps others from being made."""

SUFFIX = "-probe"
"""Behind the id of a step: the id of its probe, in traces, in memory and of what is set aside for it."""


def probe_for(outcome: Outcome, ask: Ask, setting: Setting) -> Spawn | None:
    """The probe of an ended step; None where it is not probed."""
    given = outcome.answered_by
    if setting.policy.probes is None or given is None or given.answer is None:
        return None
    found = probed(
        outcome.step,
        outcome.decision,
        outcome.progress,
        given,
        policy=setting.policy,
        cards=setting.cards,
        conditions=conditions_of(outcome.recalled),
    )
    if found is None:
        return None
    step = step_of(outcome.step)
    return Spawn(step=step, flow=run_probe(step, found, outcome, given.answer, ask, setting), why="probe")


def step_of(step: Step) -> Step:
    """A step as its probe sees it: with a name and a deadline of its own, and without a journal."""
    place = replace(step.place, deadline_seconds=PROBE_SECONDS)
    return replace(step, id=f"{step.id}{SUFFIX}", place=place, prompt=None)


def run_probe(
    step: Step, candidate: Candidate, outcome: Outcome, given: Answer, ask: Ask, setting: Setting
) -> Flow[None]:
    """Ask a model what a step asked, compare, and settle; where the call is not granted there is no probe.

    Args:
        step: The step, as its probe sees it.
        candidate: The model, as the decision saw it.
        outcome: What came of the step.
        given: The answer that was given.
        ask: What was asked.
        setting: What the router was set up with.
    """
    # A prefix that is written into a provider's cache costs more, and no later step is likely to read it.
    policy = replace(setting.policy, prompt_caching=False, deadline_seconds=None)
    setting = replace(setting, policy=policy)
    decision = decision_for(candidate, outcome.decision)
    situation = situation_of(step, ask, decision, setting, outcome.recalled)
    prepared = prepare(Try(model=candidate.model, why=decision.reason), ask, situation, setting, Progress())
    grant = yield Reserve(step=step, claim=prepared.claim)
    if not isinstance(grant, Granted):
        return
    attempt = judged((yield prepared.call), prepared, ask, policy, is_probe=grant.is_probe)
    judge = None if policy.probes is None else policy.probes.judge
    left = Outcome(
        step=step,
        decision=decision,
        progress=Progress().after_calls(attempt),
        answered_by=None if attempt.answer is None else attempt,
        recalled=outcome.recalled,
        vector=outcome.vector,
        probe=compared(attempt, given, outcome.step, ask, judge),
    )
    yield Settle(outcome=left)


def decision_for(candidate: Candidate, decision: Decision) -> Decision:
    """The decision to probe a model, whom no lesson is shown: their worth is measured where answers are given."""
    why = f"probed beside {decision.reference}: of the cheaper models the one about which least is known"
    alone = replace(candidate, kept=True, reason=why, example=None)
    return replace(decision, candidates=(alone,), reason=why, charge=0.0, tie_break=None)


def compared(attempt: Attempt, given: Answer, step: Step, ask: Ask, judge: Judge | None) -> Probed:
    """What came of a probe, beside the answer that was given."""
    if attempt.answer is None:
        kind = None if attempt.failure is None else attempt.failure.kind
        return Probed(of=step.id, said="cancelled" if kind is FailureKind.CANCELLED else "failed")
    if attempt.problems:
        return Probed(of=step.id, said="insufficient", score=0.0)
    found = agreement(given, attempt.answer, step)
    if found is not Agreement.SAME and judge is not None:
        score = judgement(judge, ask, given, attempt.answer)
        if score is not None:
            return Probed(of=step.id, said="judged", score=score)
    if found is Agreement.SAME or is_comparable(given, step):
        return Probed(of=step.id, said=str(found), score=WORTH[found])
    return Probed(of=step.id, said="not judged")


def judgement(judge: Judge, ask: Ask, given: Answer, other: Answer) -> float | None:
    """What a user's judge says; None where it says nothing, or nothing that can be used."""
    try:
        score: object = judge(ask, given, other)
    except Exception as error:  # a user's own function; what it says may hold what was asked
        log.warning("the judge of probes failed: %s", type(error).__name__)
        return None
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or not (isfinite(score) and 0 <= score <= 1):
        log.warning(
            "the judge of probes must say a number from 0 to 1, or None; it said another %s", type(score).__name__
        )
        return None
    return float(score)
