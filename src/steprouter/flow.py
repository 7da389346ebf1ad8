"""The order of a step: read this file and you know the product.

A step is embedded and recalled, a decision is made, models are called until an answer is sufficient or nothing
is left, and what happened is settled. `run_step` performs none of it: it yields commands and receives replies,
never waits and never does I/O. `drive` carries the commands out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from .answering.attempt import Attempt
from .answering.check import problems
from .answering.example import with_example
from .answering.progress import Accept, GiveUp, Try, next_move
from .answering.shape import Hold, Shaping
from .memory.drafts import Material, glean
from .memory.lessons import Lessons
from .memory.recall import NOT_KEPT, Missing, Recalled, Vector
from .models.card import ModelCard
from .routing.decide import decide
from .routing.decision import Decision
from .routing.policy import Policy
from .step.ask import Ask
from .step.step import Step
from .step.text import step_text

R = TypeVar("R")

EventName = Literal[
    "decision", "attempt_failed", "failover", "resumed", "escalated", "cache_hit", "budget", "breaker_open",
    "drift", "degraded",
]  # fmt: skip


class Command(Generic[R]):
    """Something only the driver can do; `R` is the type of its reply."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(Command["Vector | Missing"]):
    """Turn the step's text into a vector."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(Command[Recalled]):
    """Bring what is known, in one round trip."""

    step: Step
    vector: Vector | Missing = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve(Command["Mapping[str, Any] | Missing"]):
    """Set money, rate or a lease aside before a call; what is not settled expires by itself.

    Attributes:
        step: For which step.
        model: The model about to be called.
        claims: What to set aside, by the name of the limit.
    """

    step: Step
    model: str
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Command[Attempt]):
    """Call one model and stream what it says through the shaping.

    Attributes:
        model: Which one.
        why: Why it is tried now.
        ask: What to say to it.
        shaping: What the consumer may see before the answer is checked.
        lesson_tokens: What an example in it adds to the step's own prompt.
    """

    model: str
    why: str
    ask: Ask = field(repr=False)
    shaping: Shaping = field(default_factory=Shaping)
    lesson_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(Command[tuple[Attempt, ...]]):
    """Call a second model if the first has said nothing after a while; the first to speak answers (hedging).

    Attributes:
        calls: The calls in order.
        after_seconds: How long to wait before each further one.
    """

    calls: tuple[Call, ...]
    after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Command[None]):
    """Let time pass, because a provider asked for it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Command[None]):
    """Tell whoever listens that something happened; costs nothing when nobody does."""

    event: EventName
    facts: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Command[None]):
    """Hand what happened to memory and trace, off the path. The flow's last word."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn(Command[None]):
    """Run another flow in the background (probes, audits, judges); the step does not wait for it."""

    flow: Flow[Any] = field(repr=False)
    why: str


Flow = Generator[Command[Any], Any, R]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step.

    Attributes:
        step: The step.
        decision: Which models were to be tried, and why.
        attempts: What was tried, in order.
        answered_by: The attempt whose answer was given; None if there is none.
        gave_up: Why there is no answer; None if there is one.
        recalled: What was known when the step began.
        vector: The step's text as a vector, or why there is none.
        material: What there is to learn from it; None where lessons are not kept.
    """

    step: Step
    decision: Decision
    attempts: tuple[Attempt, ...]
    answered_by: Attempt | None = None
    gave_up: GiveUp | None = None
    recalled: Recalled = field(default_factory=Recalled, repr=False)
    vector: Vector | Missing = field(default=NOT_KEPT, repr=False)
    material: Material | None = field(default=None, repr=False)

    @property
    def degraded(self) -> tuple[str, ...]:
        """What was broken on the way, in words."""
        return self.recalled.degraded


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a router was set up with, as far as the flow needs it.

    Attributes:
        cards: The models.
        policy: What the user asks.
        lessons: What the user asks of lessons; None keeps and shows none.
    """

    cards: tuple[ModelCard, ...]
    policy: Policy
    lessons: Lessons | None = None


def perform(command: Command[R]) -> Flow[R]:
    """Yield `command` and give its reply, typed."""
    reply: R = yield command
    return reply


def run_step(step: Step, ask: Ask, setting: Setting) -> Flow[Outcome]:
    """The way of one step, from what is asked to what came of it.

    The `decision` note divides it: everything before is done before LangChain's run begins, so that the run
    can name the model; everything after happens inside the run.
    """
    vector = yield from perform(Embed(text=step_text(ask.messages)))
    recalled = yield from perform(Recall(step=step, vector=vector))
    decision = decide(step, setting.cards, setting.policy, recalled)
    yield from tell_decision(decision, recalled)
    attempts, ending = yield from answer(ask, decision, setting.policy)
    given, lessons = ending.attempt if isinstance(ending, Accept) else None, setting.lessons
    outcome = Outcome(
        step=step,
        decision=decision,
        attempts=attempts,
        answered_by=given,
        gave_up=ending if isinstance(ending, GiveUp) else None,
        recalled=recalled,
        vector=vector,
        material=None if lessons is None else glean(step, ask, decision, given, setting.cards, lessons),
    )
    yield from perform(Settle(outcome=outcome))
    return outcome


def tell_decision(decision: Decision, recalled: Recalled) -> Flow[None]:
    """Say what was decided, and what was missing for it."""
    if recalled.degraded:
        yield from perform(Note(event="degraded", facts={"parts": recalled.degraded}))
    facts = {"models": decision.models, "reason": decision.reason, "rule": decision.rule}
    yield from perform(Note(event="decision", facts=facts, decision=decision))


def answer(ask: Ask, decision: Decision, policy: Policy) -> Flow[tuple[tuple[Attempt, ...], Accept | GiveUp]]:
    """Call models until one answer is accepted or nothing is left to try."""
    attempts: tuple[Attempt, ...] = ()
    while isinstance(move := next_move(decision, attempts, policy), Try):
        if attempts:
            yield from tell_change(attempts[-1], move)
        attempt = yield from perform(call_for(move, ask, decision, policy))
        if attempt.answer is not None:
            attempt = replace(attempt, problems=problems(attempt.answer, ask))
        attempts = (*attempts, attempt)
    return attempts, move


def call_for(move: Try, ask: Ask, decision: Decision, policy: Policy) -> Call:
    """The call of a model: what is asked, on a copy with an example if it is to be shown one."""
    candidate, shaping = decision.candidate(move.model), shaping_for(ask, policy)
    if candidate.example is None or not candidate.example.shown:
        return Call(model=move.model, why=move.why, ask=ask, shaping=shaping)
    taught, tokens = with_example(ask, candidate.example.lesson), candidate.lesson_tokens
    return Call(model=move.model, why=move.why, ask=taught, shaping=shaping, lesson_tokens=tokens)


def shaping_for(ask: Ask, policy: Policy) -> Shaping:
    """What the consumer may see of an answer before it is checked."""
    whole = ask.tools.response_format is not None and not policy.stream_structured
    return Shaping(hold=Hold.EVERYTHING if whole else Hold.TOOL_CALLS)


def tell_change(last: Attempt, move: Try) -> Flow[None]:
    """Say why the next model is tried: the last one failed, or its answer was not sufficient."""
    facts = {"from": last.model, "to": move.model, "why": move.why}
    if last.failure is not None:
        failed = {"model": last.model, "kind": str(last.failure.kind), "phase": str(last.failure.phase)}
        yield from perform(Note(event="attempt_failed", facts=failed))
        yield from perform(Note(event="failover", facts=facts))
    else:
        yield from perform(Note(event="escalated", facts={**facts, "problems": last.problems}))
