"""From a move to the call that carries it out, and from what came back to the attempt that the next move looks at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .answering.answer import Answer
from .answering.attempt import Attempt
from .answering.budgets import worst_case
from .answering.check import problems
from .answering.claims import Claim, Granted
from .answering.content import redacted
from .answering.continuing import continued
from .answering.cursor import Cursor
from .answering.effort import barred_efforts, sent_for, unsupported, with_effort
from .answering.example import with_example
from .answering.failures import Failure, FailureKind, Phase, cancelled
from .answering.handover import repaired, unable
from .answering.hedge import Hedge, Target, hedge_after
from .answering.moves import Try
from .answering.patience import Timeouts, patience
from .answering.progress import Progress, Situation
from .answering.prompt_cache import cached
from .answering.remaining import is_objection, upward
from .answering.resume import (
    Able,
    Break,
    Continuation,
    Resumed,
    Rung,
    Salvage,
    finished,
    is_complete,
    refused_prefill,
    tokens_left,
)
from .answering.resuming import Resuming
from .answering.seam import Joined, Unjoinable
from .answering.shape import Hold, Shaping
from .answering.speaker import Speaker, speaker_of, thinks
from .caching.policy import AnswerCache
from .caching.scope import heat_of
from .commands import Call
from .memory.journal import JournalEntry
from .memory.lessons import Lessons
from .memory.recall import Recalled
from .memory.session import Session
from .models.card import ModelCard
from .models.cost import Usage
from .models.tokens import estimate_tokens
from .routing.decide import conditions_of
from .routing.decision import Decision
from .routing.efforts import expected_tokens
from .routing.policy import Policy
from .routing.predict import Predictor
from .step.ask import Ask
from .step.step import Step

LEAST_SECONDS = 0.001
"""Of a call that is made: waits are chosen to end before the deadline, but for what their sum is rounded by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a router was set up with, as far as a step needs it.

    Attributes:
        cards: The models.
        policy: What the user asks.
        lessons: What the user asks of lessons; None keeps and shows none.
        environ: The environment, which may redirect models that are named by a string.
        predictor: What foretells who is sufficient; None asks the step-kind table.
        answers: What the user asks of the answer cache; None where there is none.
        digest: Gives texts a name that nobody else can make; None where there is no answer cache.
        heat: The temperature that models take where a step sets none; None where that is not known.
        speakers: Each model as the reader of a history, by name.
    """

    cards: tuple[ModelCard, ...]
    policy: Policy
    lessons: Lessons | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    predictor: Predictor | None = field(default=None, repr=False)
    answers: AnswerCache | None = None
    digest: Callable[..., str] | None = field(default=None, repr=False)
    heat: float | None = field(init=False, default=None)
    speakers: dict[str, Speaker] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names: dict[str, set[str]] = {}
        for card in self.cards:
            names.setdefault(card.deployment, {card.deployment}).add(card.name)
        speakers = {c.name: speaker_of(c, self.environ, also=names[c.deployment] - {c.name}) for c in self.cards}
        object.__setattr__(self, "speakers", speakers)
        if self.answers is not None:
            object.__setattr__(self, "heat", heat_of(self.cards))

    def card(self, model: str) -> ModelCard:
        """The card of a model."""
        return next(card for card in self.cards if card.name == model)

    def barred(self, ask: Ask) -> dict[str, str]:
        """Which models cannot take this history, and why."""
        claudes = [card for card in self.cards if self.speakers[card.name].is_claude]
        thinking = [card.name for card in claudes if thinks(card, ask.settings)]
        told = {name: unable(ask.messages, self.speakers[name], thinking=True) for name in thinking}
        unfit = {name: why for name, why in told.items() if why is not None}
        return barred_efforts(self.cards, self.speakers, ask) | unfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call that is about to be made.

    Attributes:
        call: The call.
        claim: What it may use.
        move: Why it is made.
        repairs: What was changed in the history, in words.
        effort: What is sent for the model's effort.
    """

    call: Call
    claim: Claim
    move: Try
    repairs: tuple[str, ...] = ()
    effort: Mapping[str, Any] = field(default_factory=dict, repr=False)


def situation_of(step: Step, ask: Ask, decision: Decision, setting: Setting, recalled: Recalled) -> Situation:
    """What the moves of a step rest on."""
    session = recalled.section("session")
    ranks = {candidate.model: candidate.tier.rank for candidate in decision.candidates}
    return Situation(
        step=step,
        decision=decision,
        policy=setting.policy,
        windows={card.name: card.window_tokens for card in setting.cards},
        warm=session.warm if isinstance(session, Session) else {},
        conditions=conditions_of(recalled),
        able={card.name: able_of(card, ask, ranks.get(card.name, 0)) for card in setting.cards},
        efforts={card.name: card.effort for card in setting.cards if card.effort is not None},
    )


def able_of(card: ModelCard, ask: Ask, rank: int) -> Able:
    """How a model can go on with an answer."""
    return Able(
        model=card.name,
        rank=rank,
        prefill=card.abilities.prefill,
        prefill_with_tools=card.abilities.prefill_with_tools,
        thinks=thinks(card, ask.settings),
    )


def prepare(
    move: Try, ask: Ask, situation: Situation, setting: Setting, progress: Progress, *, is_hedge: bool = False
) -> Prepared:
    """The call that a move asks for: on a copy of what is asked, as this model can take it."""
    step, card = situation.step, setting.card(move.model)
    candidate, speaker = situation.decision.candidate(move.model), setting.speakers[move.model]
    example = candidate.example if candidate.example is not None and candidate.example.shown else None
    sent = with_effort(ask if example is None else with_example(ask, example.lesson), card)
    if move.redacted:
        sent, _ = redacted(sent)
    going = move.continuation
    if going is not None:
        sent = continued(sent, going.salvage, going.rung)
    history = repaired(sent.messages, speaker)
    if history.messages is not sent.messages:
        sent = replace(sent, messages=history.messages)
    if setting.policy.prompt_caching:
        sent = cached(sent, speaker, key=step.cache_key, tokens=step.needs.input_tokens)
    added = candidate.lesson_tokens
    if going is not None and going.rung is not Rung.CURSOR:
        added += estimate_tokens(going.salvage.shown)
    # A second call beside another has a name of its own: what comes after the two has the next number.
    reservation = f"{step.id}-{len(progress.events) + 1}{'-hedge' if is_hedge else ''}"
    tokens, usd = worst_case(
        step.needs,
        card.price,
        expected_output_tokens=expected_tokens(card, step.kind),
        added_tokens=added,
    )
    return Prepared(
        call=Call(
            id=reservation,
            model=move.model,
            why=move.why,
            ask=sent,
            shaping=shaping_for(ask, setting.policy, going),
            timeouts=timeouts_of(card, ask, situation, progress),
            added_tokens=added,
            goes_on=going is not None,
            is_structured=ask.tools.response_format is not None,
            cursor=going.salvage.cursor if going is not None and going.rung is Rung.CURSOR else None,
            billed=going.billed if going is not None and going.rung is Rung.CURSOR else Usage(),
        ),
        claim=Claim(
            reservation=reservation,
            model=move.model,
            tokens=tokens,
            usd=usd,
            is_retry=move.change == "retry" and bool(progress.tried(move.model)),
            is_hedge=is_hedge,
            ignores_budgets=move.ignores_budget,
            deployment=card.deployment,
        ),
        move=move,
        repairs=history.changes,
        effort=sent_for(card, ask.settings),
    )


def timeouts_of(card: ModelCard, ask: Ask, situation: Situation, progress: Progress) -> Timeouts:
    """How long each phase of a call may take, so that the step ends in time and another model still has some."""
    left, is_last = situation.seconds_left(progress), len(progress.attempts) + 1 >= situation.policy.max_attempts
    has_other = left is not None and not is_last and any(c.model != card.name for c in upward(situation, progress))
    return patience(
        situation.conditions.of(card.name).breaker,
        reasoning=bool(card.abilities.reasoning) or thinks(card, ask.settings),
        seconds_left=None if left is None else max(left, LEAST_SECONDS),
        has_other=has_other,
    )


def shaping_for(ask: Ask, policy: Policy, going: Continuation | None) -> Shaping:
    """What the consumer may see of an answer before it is checked, and how that joins what it has seen."""
    whole = ask.tools.response_format is not None and not policy.stream_structured
    hold = Hold.EVERYTHING if whole else Hold.TOOL_CALLS
    if going is None:
        return Shaping(hold=hold)
    return Resuming(hold=hold, ask=ask, salvage=going.salvage, rung=going.rung)


def judged(attempt: Attempt, prepared: Prepared, ask: Ask, policy: Policy, *, is_probe: bool) -> Attempt:
    """An attempt with what the checks say of its answer, and with how it came about."""
    attempt = mended(unsupported(attempt, prepared.effort), ask)
    if prepared.move.redacted and attempt.answer is not None and (marker := marker_in(attempt.answer)) is not None:
        # A tool that is called with a marker instead of an address would do something nobody asked for.
        attempt = replace(attempt, answer=None, failure=unusable(attempt, marker))
    found = () if attempt.answer is None else problems(attempt.answer, ask)
    asks_again = policy.content_filter.reaction == "redact_and_retry" and is_objection(attempt)
    return replace(
        attempt,
        problems=found,
        waited_seconds=prepared.move.after_seconds,
        repairs=prepared.repairs,
        redacted=prepared.move.redacted,
        redactable=asks_again and not prepared.move.redacted and bool(redacted(prepared.call.ask)[1]),
        is_probe=is_probe,
        resumed=None if prepared.move.continuation is None else resumed(attempt, prepared.move.continuation),
    )


def mended(attempt: Attempt, ask: Ask) -> Attempt:
    """An attempt that broke off when all had come that makes an answer, as one that answered."""
    salvage, failure = attempt.salvage, attempt.failure
    if salvage is None or failure is None:
        return attempt
    if not is_complete(Break(salvage=salvage, failure=failure, tokens_left=tokens_left(ask, salvage))):
        return attempt
    answer = finished(salvage)
    said = answer.text + "".join(call.name + call.raw for call in answer.tool_calls)
    usage = replace(
        attempt.usage, output_tokens=max(attempt.usage.output_tokens, estimate_tokens(said)), estimated=True
    )
    return replace(attempt, answer=replace(answer, usage=usage), failure=None, kept=failure)


def resumed(attempt: Attempt, going: Continuation) -> Resumed:
    """What came of a continuation."""
    salvage, failure = attempt.salvage, attempt.failure
    failed = None
    if failure is not None and (salvage is None or len(salvage.shown) <= len(going.salvage.shown)):
        failed = f"it failed: {failure.kind}"
        if isinstance(attempt.join, Unjoinable):
            failed = attempt.join.why
        elif going.rung is Rung.PREFILL and refused_prefill(failure):
            failed = "it refused a partial turn"
    return Resumed(
        left=going.left,
        model=going.model,
        rung=going.rung,
        at_char=len(going.salvage.shown),
        failed=failed,
        join=attempt.join if isinstance(attempt.join, Joined) else None,
        skipped=going.skipped,
    )


def recovered(entry: JournalEntry, ask: Ask, step: Step) -> Attempt:
    """What a process that ended had said of this answer, as the attempt it was."""
    segment = entry.segments[-1]
    failure = Failure(
        kind=FailureKind.BROKEN_STREAM,
        phase=Phase.IN_TOOL_CALL if entry.calls else Phase.IN_TEXT,
        model=segment.model,
        text="the process that answered has ended",
    )
    spoken = entry.text + "".join(call.name + call.raw for call in entry.calls)
    usage = Usage(input_tokens=step.needs.input_tokens, output_tokens=estimate_tokens(spoken), estimated=True)
    left = Attempt(
        id=segment.attempt,
        model=segment.model,
        why="by a process that has ended",
        failure=failure,
        usage=usage,
        salvage=Salvage(
            shown=entry.text,
            calls=entry.calls,
            is_structured=ask.tools.response_format is not None,
            seen=bool(entry.facts.get("seen")),
            is_left=True,
            cursor=cursor_of(entry.facts.get("cursor")),
        ),
    )
    left = mended(left, ask)
    return left if left.answer is None else replace(left, problems=problems(left.answer, ask))


def cursor_of(kept: object) -> Cursor | None:
    """Where a provider replays an answer, as a journal keeps it; None where it says nothing of that."""
    match kept:
        case [str(response_id), int(after)] if response_id and after >= 0:
            return Cursor(response_id=response_id, after=after)
    return None


def marker_in(answer: Answer) -> str | None:
    """A marker of replaced data in the arguments of a call; None if there is none."""
    from .redaction.kinds import PLACEHOLDER

    # What was read is looked at too: in the text of a call `<` may be written as an escape.
    texts = (f"{call.raw} {json.dumps(call.args, ensure_ascii=False, default=str)}" for call in answer.tool_calls)
    found = (PLACEHOLDER.search(text) for text in texts)
    return next((match[0] for match in found if match is not None), None)


def unusable(attempt: Attempt, marker: str) -> Failure:
    """The failure of an answer whose calls cannot be made."""
    return Failure(
        kind=FailureKind.INVALID_OUTPUT,
        phase=Phase.IN_TOOL_CALL,
        model=attempt.model,
        text=f"a call has {marker} among its arguments, which stands for data that was replaced",
    )


def gone(prepared: Prepared) -> Attempt:
    """The attempt that was not made, because nobody waits for an answer any more."""
    failure = cancelled(Phase.BEFORE_FIRST_TOKEN, model=prepared.call.model)
    return Attempt(id=prepared.call.id, model=prepared.call.model, why=prepared.call.why, failure=failure)


def hedged(
    first: Prepared, grant: Granted, ask: Ask, situation: Situation, setting: Setting, progress: Progress
) -> tuple[Prepared, float] | None:
    """A second call, and after how many seconds to make it if the first has said nothing; None where none is wanted."""
    step, conditions, move = situation.step, situation.conditions, first.move
    if not setting.policy.hedge or grant.is_probe or move.ignores_budget or move.redacted or move.continuation:
        return None
    if len(progress.attempts) + 2 > setting.policy.max_attempts:
        return None
    here = situation.deployment(move.model)
    others = [other for other in upward(situation, progress) if situation.deployment(other.model) != here]
    rank = situation.decision.candidate(first.call.model).tier.rank
    targets = [
        Target(
            model=other.model,
            breaker=(health := conditions.of(other.model)).breaker,
            usd=other.expected_usd,
            has_room=health.pace.allows(health.in_flight),
        )
        for other in others
        if other.tier.rank >= rank
    ]
    hedge = hedge_after(
        conditions.of(first.call.model).breaker,
        targets,
        conditions.hedges,
        now=step.started_at + progress.elapsed_seconds,
        has_tools=step.needs.tools,
        max_tokens=step.needs.output_tokens,
        expected_tokens=expected_tokens(setting.card(first.call.model), step.kind),
        seconds_left=situation.seconds_left(progress),
    )
    if not isinstance(hedge, Hedge):
        return None
    why = f"{first.call.model} was slow to begin"
    second = prepare(Try(model=hedge.model, why=why), ask, situation, setting, progress, is_hedge=True)
    return second, hedge.after_seconds
