"""An attempt: one call of one model for a step, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..models.cost import Usage
from .answer import Answer
from .failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of one model, finished or not.

    Attributes:
        model: The model's name.
        why: Why this model was tried now.
        answer: What was said in full; None if the attempt failed.
        failure: What went wrong; None if the attempt finished.
        shown: Text the consumer saw of it.
        problems: What the checks found wrong with the answer.
        usage: Tokens to pay for; estimated where the provider did not say.
        began_seconds: When it began, counted from the beginning of the step.
        seconds: How long it took.
        first_token_seconds: Time to the first piece (TTFT), counted from its own beginning.
    """

    model: str
    why: str = ""
    answer: Answer | None = None
    failure: Failure | None = None
    shown: str = ""
    problems: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    began_seconds: float = 0.0
    seconds: float = 0.0
    first_token_seconds: float | None = None

    @property
    def is_sufficient(self) -> bool:
        """Whether it gave an answer that no check found fault with."""
        return self.answer is not None and not self.problems
