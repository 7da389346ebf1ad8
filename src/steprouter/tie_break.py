"""From routes that words leave open to the question whom they mean, and from its answer to the route that is taken.

Nobody is asked unless `Policy(tie_break=…)` says so, the words leave it open, and somebody's answer could depend on it.
What can go wrong costs the step its answer from the model and nothing else: the words alone decide then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .answering.attempt import Attempt
from .answering.breaker import State
from .answering.budgets import worst_case
from .answering.claims import Claim, Refused
from .answering.effort import with_effort
from .answering.patience import CONNECT_SECONDS, SHARE_OF_DEADLINE, Timeouts
from .answering.speaker import thinks
from .calling import LEAST_SECONDS, Setting
from .commands import Call, Consult, Embedded, Heard
from .memory.recall import Missing, Recalled
from .models.card import ModelCard
from .models.cost import cost_usd
from .routing.availability import availability
from .routing.consultation import Consultation
from .routing.decide import conditions_of, refusal, seconds_left
from .routing.decision import Decision
from .routing.filters import lacks
from .routing.policy import Policy
from .routing.route_effects import settled
from .routing.routes import RouteMatch, TieBreak, contested, decided_by_model
from .routing.rule_order import first_match
from .routing.rules import names
from .routing.tie_question import Question, question
from .step.ask import Ask
from .step.step import Needs, Step
from .step.text import step_text

if TYPE_CHECKING:
    from .routing.route_match import RouteTable

ANSWER_TOKENS = 16
"""Of the longest answer: one letter takes one to three, and OpenAI's Responses API refuses a smaller limit."""

THINKING_TOKENS = 512
"""The same for a model that thinks before it answers: so much is usual for a question this easy (ours)."""

WHY = "the words leave open which route the step takes"

TOLD_MODELS = 5
"""Models of which a trace says why they were not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A step whose words leave its route open.

    Attributes:
        step: The step, as it was read.
        match: What the words say.
        table: The routes in force.
        question: What a model is asked.
        tie: How far asking may go.
    """

    step: Step
    match: RouteMatch
    table: RouteTable
    question: Question
    tie: TieBreak

    def unasked(self, why: str, *, is_broken: bool = False) -> Consultation:
        """Nobody was asked."""
        return Consultation(between=self.question.between, why=why, is_broken=is_broken)

    def outcomes(self) -> Iterator[Step]:
        """The step as each answer would have it: a route may settle its kind."""
        yield settled(self.step, self.match)
        yield self.step
        for name in self.question.between:
            yield settled(self.step, decided_by_model(self.match, self.table.route(name)))


def left_open(
    step: Step, ask: Ask, match: RouteMatch | None, embedded: Embedded, setting: Setting, recalled: Recalled
) -> Open | None:
    """What a model is to be asked; None where there is nothing to ask.

    Args:
        step: The step, as it was read.
        ask: What is asked of models.
        match: What the words say.
        embedded: The step's text as a vector, and the routes in force.
        setting: What the router was set up with.
        recalled: What is known.
    """
    tie, policy, table = setting.policy.tie_break, setting.policy, embedded.routes
    if tie is None or match is None or table is None or policy.mode != "route":
        return None
    near = contested(match, tie)
    if not near or sum(1 for _ in answerers(settled(step, match), ask, setting, recalled)) < 2:
        return None
    between, text = [one.name for one in near], step_text(ask.messages)
    asked = question(between, text, embedded.vector, table, step.place.tenant)
    return Open(step=step, match=match, table=table, question=asked, tie=tie)


def answerers(step: Step, ask: Ask, setting: Setting, recalled: Recalled) -> Iterator[str]:
    """Who may answer the step, its route apart. Where that is one model, no route changes it."""
    rule, barred = first_match(setting.policy.rules, step), setting.barred(ask)
    out = availability(setting.cards, conditions_of(recalled), step.started_at).out
    return (card.name for card in setting.cards if refusal(card, step, rule, {**barred, **out}) is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A question that is about to be put to a model.

    Attributes:
        consult: The call.
        claim: What it may use.
        card: The model.
    """

    consult: Consult
    claim: Claim
    card: ModelCard


def inquiry(opened: Open, setting: Setting, recalled: Recalled) -> Inquiry | str:
    """The call of the cheapest model that may be asked, at its least effort, or why there is none."""
    step, tie = opened.step, opened.tie
    objections, priced = dict[str, str](), list[tuple[float, int, ModelCard]]()
    for card, why in judges(opened, setting, recalled):
        tokens, usd = worst_case(needs(opened, card), card.price, expected_output_tokens=ANSWER_TOKENS)
        if why is None and usd is None:
            why = "its price is not known"
        elif why is None and usd is not None and usd > tie.usd:
            why = f"it may cost ${usd:.6f}, more than ${tie.usd:g}"
        if why is None and usd is not None:
            priced.append((usd, tokens, card))
        elif why is not None:
            objections[card.name] = why
    if not priced:
        return f"no model may be asked ({told(objections)})"
    usd, tokens, card = min(priced, key=lambda one: (one[0], 0 if one[2].effort is None else one[2].effort.above))
    id_ = f"{step.id}-tie"
    call = Call(
        id=id_,
        model=card.name,
        why=WHY,
        ask=question_to(card, opened),
        timeouts=timeouts(step, tie, setting.policy),
        added_tokens=opened.question.tokens,
    )
    claim = Claim(reservation=id_, model=card.name, tokens=tokens, usd=usd, deployment=card.deployment)
    return Inquiry(consult=Consult(call=call, key=opened.question.key), claim=claim, card=card)


def judges(opened: Open, setting: Setting, recalled: Recalled) -> Iterator[tuple[ModelCard, str | None]]:
    """The models that the tie-break names, each with what stands against asking it.

    A rule on personal data or regions binds this call as it binds the step's own, whichever route is taken in the end.
    """
    steps = {one.kind: one for one in opened.outcomes()}.values()
    rules = {rule.name: rule for step in steps if (rule := first_match(setting.policy.rules, step)) is not None}
    conditions, wanted = conditions_of(recalled), names(opened.tie.models)
    now = availability(setting.cards, conditions, opened.step.started_at)
    for card in setting.cards:
        if wanted and card.name not in wanted and card.tags.isdisjoint(wanted):
            continue
        barred = [f"rule {name!r}: {why}" for name, rule in rules.items() if (why := rule.objection(card)) is not None]
        # A question that may be left unasked is no probe of a circuit.
        shut = conditions.of(card.name).breaker.state is not State.CLOSED
        trouble = now.out.get(card.name) or now.late.get(card.name) or ("its circuit is open" if shut else None)
        thought = "it is told to think at length" if thinks(card) else None
        yield card, next(iter(barred), None) or trouble or thought or lacks(card, needs(opened, card))


def needs(opened: Open, card: ModelCard) -> Needs:
    """What a model must be able to do to be asked."""
    return Needs(input_tokens=opened.question.tokens, output_tokens=output_tokens(card))


def output_tokens(card: ModelCard) -> int:
    """The longest answer of a model."""
    return THINKING_TOKENS if card.abilities.reasoning else ANSWER_TOKENS


def question_to(card: ModelCard, opened: Open) -> Ask:
    """The question as a model is asked it. One that thinks has its own mind about temperature and refuses another."""
    limit = {"max_tokens": output_tokens(card)}
    settings = limit if card.abilities.reasoning else {**limit, "temperature": 0}
    return with_effort(Ask(messages=opened.question.messages, settings=settings), card)


def timeouts(step: Step, tie: TieBreak, policy: Policy) -> Timeouts:
    """How long asking may take: at most half of what the step has, so that whoever answers it has as long."""
    left = seconds_left(step, policy)
    seconds = tie.seconds if left is None else max(LEAST_SECONDS, min(tie.seconds, SHARE_OF_DEADLINE * left))
    return Timeouts(connect=min(CONNECT_SECONDS, seconds), first_token=seconds, idle=seconds, total=seconds)


def told(objections: Mapping[str, str]) -> str:
    """Why models are not asked."""
    shown = [f"{name}: {why}" for name, why in list(objections.items())[:TOLD_MODELS]]
    return "; ".join([*shown, *(["…"] if len(objections) > TOLD_MODELS else [])])


def recognised(opened: Open, heard: Heard) -> Consultation:
    """What an answer that was given to the same question before says."""
    known = Consultation(between=opened.question.between, model=heard.model, is_known=True)
    return judged_route(opened, heard.said, known)


def answered(opened: Open, asked: Inquiry, attempt: Attempt) -> Consultation:
    """What the answer of a model says, and what it took."""
    spent = Consultation(
        between=opened.question.between,
        model=attempt.model,
        usage=attempt.usage,
        usd=cost_usd(attempt.usage, asked.card.price),
        began_seconds=attempt.began_seconds,
        seconds=attempt.seconds,
    )
    if attempt.answer is None or not attempt.answer.text.strip():
        return replace(spent, why=failure_told(asked.consult.call, attempt), is_broken=True)
    return judged_route(opened, attempt.answer.text, spent)


def failure_told(call: Call, attempt: Attempt) -> str:
    """Why a model that was asked did not answer, in words."""
    if attempt.answer is not None:
        return f"{attempt.model} said nothing ({attempt.answer.finish})"
    if attempt.cut_short and call.timeouts.total is not None:
        return f"{attempt.model} did not answer within {call.timeouts.total:g} s"
    return f"{attempt.model} failed: {attempt.failure}"


def judged_route(opened: Open, said: str, spent: Consultation) -> Consultation:
    """What an answer says. One that names none of the choices says nothing: its text may be a stranger's."""
    choice = opened.question.choice(said)
    if choice is None:
        return replace(spent, why=f"{spent.model} named none of the choices")
    return replace(spent, route=choice or None)


def refused(grant: Refused | None) -> str:
    """Why a model may not be asked now."""
    return "nobody waits for an answer" if grant is None else grant.why


def taken(opened: Open, consultation: Consultation) -> RouteMatch:
    """The route that the step takes."""
    if not consultation.counts:
        return opened.match
    return decided_by_model(opened.match, opened.table.route(consultation.route))


def with_consultation(decision: Decision, consultation: Consultation | None) -> Decision:
    """The decision with what came of asking, and why if that was nothing."""
    if consultation is None:
        return decision
    left = "" if consultation.counts else f"; its words alone chose the route: {consultation.why}"
    return replace(decision, reason=f"{decision.reason}{left}", tie_break=consultation)


def hurried(step: Step, policy: Policy, consultation: Consultation | None) -> Step:
    """The step with the time that asking took off its deadline, for who is weighed against what is left."""
    left = seconds_left(step, policy)
    if consultation is None or left is None or not consultation.ended_seconds:
        return step
    spare = max(LEAST_SECONDS, left - consultation.ended_seconds)
    return replace(step, place=replace(step.place, deadline_seconds=spare))


def with_breakage(recalled: Recalled, consultation: Consultation | None) -> Recalled:
    """What is known, with a model that should have answered and did not among what is broken."""
    if consultation is None or not consultation.is_broken:
        return recalled
    broken = Missing(reason=consultation.why)
    return Recalled(sections={**recalled.sections, "tie_break": broken})
