"""Session memory: what is remembered of one thread, and how an ended step changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..step.step import Step

RECENT = 16
"""Decisions a session remembers: more than any loop that repetition detection looks for, 3 kB in Redis."""

SESSION_TTL_SECONDS = 24 * 3600
"""A thread that has been silent for a day has lost every prompt cache and begins anew; sliding."""

SMOOTHING = 0.2
"""Weight of the newest step in the averages of a session: half of it is the last three steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """A prompt prefix that a model's provider probably still caches.

    Attributes:
        digest: Keyed digest of the messages.
        messages: How many messages it covers.
        tokens: How long it is.
        until: When it expires, Unix time in seconds.
    """

    digest: str
    messages: int
    tokens: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One step of a session, as later steps of it may need it.

    Attributes:
        step_id: The step.
        at: When it started, Unix time in seconds.
        until: When it ended.
        kind: What it was.
        model: The model that answered; None if none did.
        node: Keyed digest of the graph node that called, if any.
        task: The node's execution; the same again when a checkpoint is resumed.
        sufficient: Whether the answer passed its checks.
        calls: Keyed digests of the tool calls it made, arguments included.
        asked: Keyed digest of all messages of the prompt.
        before: Keyed digest of the messages before the last human one, if a model had spoken among them.
        usd: What it cost; None if unknown.
        route: The semantic route that it took; None if it took none.
    """

    step_id: str
    at: float
    until: float = 0.0
    kind: str
    model: str | None = None
    node: str | None = None
    task: str | None = None
    sufficient: bool = True
    calls: tuple[str, ...] = ()
    asked: str | None = None
    before: str | None = None
    usd: float | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What steps of a session look like, as exponentially weighted averages.

    Attributes:
        input_tokens: Prompt.
        output_tokens: Answer.
        seconds: Whole step.
    """

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What is remembered of one thread.

    Attributes:
        steps: How many steps it has had.
        incumbent: The model that answered last.
        errors: Failed rounds of tool calls at its end.
        escalation: Steps whose first answer was not sufficient, less those since whose was; never below 0.
        spent_usd: All steps whose cost is known, together.
        reference_usd: What the reference would have cost at the steps whose cost is known, had it answered all.
        unpriced: Steps whose cost is not known.
        warm: Prompt prefixes that are probably cached, by model.
        recent: The last steps, newest first.
        shape: Averages over its steps.
        updated_at: When the newest of its steps started, Unix time in seconds; 0 if there was none.
    """

    steps: int = 0
    incumbent: str | None = None
    errors: int = 0
    escalation: int = 0
    spent_usd: float = 0.0
    reference_usd: float = 0.0
    unpriced: int = 0
    warm: Mapping[str, Warm] = field(default_factory=dict)
    recent: tuple[Decided, ...] = ()
    shape: Shape = field(default_factory=Shape)
    updated_at: float = 0.0

    def shared_tokens(self, step: Step) -> int:
        """How much of the step's prompt a provider would still cache that had answered all of the session's steps."""
        alive = (one for one in self.warm.values() if one.until > step.started_at)
        known = (one.tokens for one in alive if step.trail.begins_with(one.digest, one.messages))
        return min(max(known, default=0), step.needs.input_tokens)

    def called(self, signature: str) -> int:
        """How many of the recent steps made the tool call with this digest."""
        return sum(signature in decided.calls for decided in self.recent)

    def knows(self, step_id: str) -> bool:
        """Whether the step is among the recent ones."""
        return any(decided.step_id == step_id for decided in self.recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdate:
    """What one ended step adds to its session.

    Attributes:
        decided: The step.
        errors: Failed rounds of tool calls at the end of its prompt.
        reference_usd: What the reference would have cost; None if that, or what the step cost, is not known.
        escalated: Whether an answer was not sufficient and a stronger model was asked.
        warm: The prefix its answering model has now cached; None if no model answered.
        input_tokens: Prompt of the answering attempt.
        output_tokens: Answer of the answering attempt.
        seconds: Whole step.
    """

    decided: Decided
    errors: int = 0
    reference_usd: float | None = None
    escalated: bool = False
    warm: Warm | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


def advance(session: Session, update: SessionUpdate) -> Session:
    """The session after a step; the same update a second time changes nothing.

    Updates of two workers may come in any order: sums are the same in each; what only the newest step knows
    (incumbent, errors) is taken from the step that started last; averages depend slightly on the order.
    """
    decided = update.decided
    if session.knows(decided.step_id):
        return session
    is_newest = decided.at >= session.updated_at
    return Session(
        steps=session.steps + 1,
        incumbent=decided.model if is_newest and decided.model is not None else session.incumbent,
        errors=update.errors if is_newest else session.errors,
        escalation=session.escalation + 1 if update.escalated else max(0, session.escalation - 1),
        spent_usd=session.spent_usd + (decided.usd or 0.0),
        reference_usd=session.reference_usd + (update.reference_usd or 0.0),
        unpriced=session.unpriced + (decided.usd is None),
        warm=warmed(session.warm, decided.model, update.warm),
        recent=tuple(sorted((decided, *session.recent), key=lambda d: (d.at, d.step_id), reverse=True)[:RECENT]),
        shape=shaped(session, update),
        updated_at=max(session.updated_at, decided.at),
    )


def warmed(known: Mapping[str, Warm], model: str | None, new: Warm | None) -> Mapping[str, Warm]:
    """The warm prefixes with a new one, unless the model's known one will last longer."""
    if model is None or new is None or (model in known and known[model].until > new.until):
        return known
    return {**known, model: new}


def shaped(session: Session, update: SessionUpdate) -> Shape:
    """The averages with one more step; the first step is its own average."""
    weight = SMOOTHING if session.steps else 1.0
    shape = session.shape
    return Shape(
        input_tokens=shape.input_tokens + weight * (update.input_tokens - shape.input_tokens),
        output_tokens=shape.output_tokens + weight * (update.output_tokens - shape.output_tokens),
        seconds=shape.seconds + weight * (update.seconds - shape.seconds),
    )


def caught_up(session: Session, updates: tuple[SessionUpdate, ...]) -> Session:
    """The session with updates that its store may or may not have seen."""
    for update in updates:
        session = advance(session, update)
    return session


def without_expired(session: Session, now: float) -> Session:
    """The session with only those prefixes that are still warm at `now`."""
    return replace(session, warm={model: warm for model, warm in session.warm.items() if warm.until > now})
