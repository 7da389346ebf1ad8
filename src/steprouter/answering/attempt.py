"""An attempt: one call of one model for a step, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..models.cost import Usage
from .answer import Answer
from .failures import Failure
from .resume import Resumed, Salvage
from .seam import Joined, Unjoinable


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of one model, finished or not.

    Attributes:
        id: Names it, unique for ever; what was set aside for it is settled under this name.
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
        waited_seconds: What was waited before it.
        repairs: What was changed in the history that others wrote, in words.
        redacted: Whether personal data and secrets were replaced in what was asked.
        redactable: Whether there were any to replace.
        is_probe: Whether it decides over an open circuit breaker.
        cut_short: Whether the step's own deadline ended it, which says nothing of its deployment.
        is_message: Whether it is the user's own message in place of an answer, which says nothing of the model.
        is_cached: Whether it is an answer of an earlier step, given again without a call.
        lost_race: Whether another call answered first, and this one was ended.
        salvage: What is left of an answer that broke off; None where it did not.
        kept: What broke it off when all that makes an answer had come; None where it did not.
        resumed: Which answer it went on with, and how; None where it began one.
        join: How its text was joined to what was there; None where it never came to that.
    """

    id: str = ""
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
    waited_seconds: float = 0.0
    repairs: tuple[str, ...] = ()
    redacted: bool = False
    redactable: bool = False
    is_probe: bool = False
    cut_short: bool = False
    is_message: bool = False
    is_cached: bool = False
    lost_race: bool = False
    salvage: Salvage | None = field(default=None, repr=False)
    kept: Failure | None = None
    resumed: Resumed | None = None
    join: Joined | Unjoinable | None = field(default=None, repr=False)

    @property
    def is_sufficient(self) -> bool:
        """Whether it gave an answer that no check found fault with."""
        return self.answer is not None and not self.problems

    @property
    def is_given_without_a_call(self) -> bool:
        """Whether nobody was asked for it, so that it says nothing of its model."""
        return self.is_message or self.is_cached

    @property
    def is_vain(self) -> bool:
        """Whether it was to go on with an answer, and nothing came of it."""
        return self.resumed is not None and self.resumed.failed is not None
