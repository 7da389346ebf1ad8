"""Lessons: solved steps that a weaker model is shown as an example; who is shown which, and what makes one.

How a lesson is taken from a step is in `drafts`, how it is looked up in `books`, whether it helps in `effect`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from ..errors import ConfigError
from ..models.card import Tier
from ..step.step import Step, StepKind
from .labels import Label, Source

KINDS = (StepKind.TOOL_CALL, StepKind.EXTRACT, StepKind.CLASSIFY, StepKind.ANSWER)
"""Kinds whose answer one earlier task and its solution can show; a plan or a patch is longer than an example may be."""

VERIFYING = frozenset({Source.FEEDBACK, Source.JUDGE, Source.TOOL})
"""Sources that say of this very answer that it was right. A passed check says that it might be, and an episode's
share or the absence of a complaint says next to nothing: what is wrong would then be taught."""

RIGHT = 0.9
"""Score from which a verifying label makes a lesson; below it takes one back."""

WRONG = 0.5
"""Score below which any label takes a lesson back."""

UNVERIFIED_SECONDS = 24 * 3600
"""How long what was solved waits for its verdict: as long as a thread that is silent is remembered."""

LESSON_TTL_SECONDS = 90 * 24 * 3600
"""As for outcomes: prompts and tools of an agent seldom stay the same for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a user asks of lessons.

    Attributes:
        tokens: How long an example may be at most, its frame included (estimated).
        kinds: Kinds of steps that lessons are taken from and shown in.
        per_kind: How many are kept for each tenant and kind; the least useful go first.
        holdout: Share of the steps with a lesson at hand that are not shown it, to compare with, 0 to 1.
        similarity: Cosine from which a lesson's task is similar enough.
        per_user: Show a user only lessons from steps of the same user, and where the user is not known, only those
            from such steps. Names of people are not recognised as personal, so others are shown them by choice only.
        models: Names of the models that may be shown lessons; empty means all.
    """

    tokens: int = 400
    kinds: tuple[StepKind, ...] = KINDS
    per_kind: int = 500
    holdout: float = 0.2
    similarity: float = 0.75
    per_user: bool = True
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(known_kind(kind) for kind in self.kinds))
        object.__setattr__(self, "models", tuple(self.models))
        if self.tokens < 100:
            raise ConfigError(f"tokens of a lesson must be 100 or more, its frame alone takes 46, got {self.tokens!r}")
        if self.per_kind < 1:
            raise ConfigError(f"per_kind must be 1 or more, got {self.per_kind!r}")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"holdout must be between 0 and 1, or nothing could be compared, got {self.holdout!r}")
        if not 0 < self.similarity <= 1:
            raise ConfigError(f"similarity must be a cosine above 0 and up to 1, got {self.similarity!r}")


def known_kind(kind: str) -> StepKind:
    """A kind by its value.

    Raises:
        ConfigError: There is no such kind.
    """
    try:
        return StepKind(kind)
    except ValueError:
        raise ConfigError(f"unknown kind {kind!r}; kinds are {[str(k) for k in StepKind]!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A solved step as it is kept and shown; redacted.

    Attributes:
        id: Names it: `delete` takes it, and traces say it.
        kind: What the step was.
        node: The graph node that called, by any name that stays the same; None outside a graph.
        task: What was to be done.
        approach: The tool calls that were made, or the fields of the JSON that was answered; empty for plain text.
        result: The beginning of what the tools gave, or of the answer.
        tools: Names of the tools that were called.
        json: Whether the answer had to keep to a schema.
        model: Which model solved it.
        tier: How strong that model was.
        rule: The rule the step was under; the lesson is shown under the same one only, so that what a rule keeps
            on some models does not reach others.
        at: When the step started, Unix time in seconds.
        thread: The conversation, by any name that stays the same; None if there was none.
        user: On whose behalf, likewise.
        verified: The source of the label that made it a lesson; None while it waits for one.
        tokens: Estimated length of the example made of it.
        vector: (dimension,) float32 bytes of the task, unit length.
    """

    id: str
    kind: str
    node: str | None = None
    task: str
    approach: str = ""
    result: str = ""
    tools: tuple[str, ...] = ()
    json: bool = False
    model: str = ""
    tier: Tier = Tier.MID
    rule: str | None = None
    at: float = 0.0
    thread: str | None = None
    user: str | None = None
    verified: Source | None = None
    tokens: int = 0
    vector: bytes = field(default=b"", repr=False)


def judged(label: Label | None) -> bool | None:
    """Whether a label makes a lesson of a step (True) or takes one back (False); None if it does neither."""
    if label is None:
        return None
    if label.source in VERIFYING:
        return label.score >= RIGHT
    return False if label.score < WRONG else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A lesson that fits a step and a candidate.

    Attributes:
        lesson: The lesson.
        shown: Whether the model is shown it; withheld otherwise, to have something to compare with.
        propensity: Probability with which it was shown or withheld, as it was.
    """

    lesson: Lesson
    shown: bool
    propensity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """Lessons that resemble a step, for those models that are weaker than the one that solved them.

    Attributes:
        lessons: Nearest first.
        policy: What the user asks of lessons.
    """

    lessons: tuple[Lesson, ...]
    policy: Lessons

    def example(self, step: Step, model: str, tier: Tier, rule: str | None) -> Example | None:
        """What the model may be shown; the same for the same step, since what is withheld is drawn from its id."""
        if self.policy.models and model not in self.policy.models:
            return None
        fitting = (one for one in self.lessons if one.tier.rank > tier.rank and one.rule == rule)
        lesson = next(fitting, None)
        if lesson is None:
            return None
        withheld = drawn(step.id) < self.policy.holdout
        return Example(
            lesson=lesson,
            shown=not withheld,
            propensity=self.policy.holdout if withheld else 1 - self.policy.holdout,
        )


def drawn(step_id: str) -> float:
    """A number from 0 to 1 that a step's id stands for."""
    digest = sha256(f"lesson\0{step_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
