"""The errors a caller may meet, and whose fault they are.

    StepRouterError
    ├── ConfigError         the caller's mistake, raised before anything is sent
    │   └── NoAbleModel     no candidate can take this step; says what each lacks
    ├── AllModelsFailed     every candidate was tried or could not be asked (an ExceptionGroup; carries .trace)
    │   ├── ContextTooLong      every model refused the prompt as too long
    │   ├── ContentFiltered     a content filter refused, and the policy knows no other way
    │   └── DeadlineExceeded    the step's time was up
    ├── AnswerBroken        an answer broke off after part of it was shown (carries .partial)
    ├── BudgetExceeded      a limit the user set would be passed
    ├── ModelUnavailable    a model could not be asked: circuit open, rate limit used up; met inside a group
    ├── WireError           a model could not be reached or broke off (providers.refusals); met inside a group
    └── StoreError          an explicit call on the store failed; a step never raises it

`AllModelsFailed` and `AnswerBroken` are LangChain `ModelError`s too, with a truthful `is_retryable`, so that
retry middleware treats them as it treats a provider's own errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from langchain_core.exceptions import ContextOverflowError, ModelError, ModelTimeoutError


class StepTrace(Protocol):
    """The part of a trace that an error promises to carry."""

    @property
    def step_id(self) -> str:
        """Identifies the step in `steprouter show --step`."""
        ...


class StepRouterError(Exception):
    """Any error of this library."""


class ConfigError(StepRouterError, ValueError):
    """A setting or argument is wrong; nothing was sent and nothing was spent."""


class NoAbleModel(ConfigError):
    """No candidate can take the step at all; the message says what each one lacks."""


class BudgetExceeded(StepRouterError):
    """A limit set by the user would be passed by the next call.

    Attributes:
        budget: The name of the budget.
        trace: What happened, step by step.
    """

    def __init__(self, message: str, *, budget: str = "", trace: StepTrace | None = None) -> None:
        super().__init__(message)
        self.budget = budget
        self.trace = trace


class ModelUnavailable(StepRouterError):
    """A model could not be asked: its circuit is open, its rate limit is used up, or its configuration is refused."""


class StoreError(StepRouterError):
    """An explicit call on the store failed; a step itself never raises this."""


class AnswerBroken(StepRouterError, ModelError):
    """An answer broke off after part of it had been shown.

    Attributes:
        partial: The text that was shown.
        trace: What happened, step by step.
    """

    is_retryable = True

    def __init__(self, message: str, *, partial: str = "", trace: StepTrace | None = None) -> None:
        super().__init__(message)
        self.partial = partial
        self.trace = trace


class AllModelsFailed(ExceptionGroup[Exception], StepRouterError, ModelError):
    """Every model in the decision was tried and failed; the group holds one error for each attempt.

    Attributes:
        trace: What happened, step by step.
        is_retryable: True when at least one failure may pass by itself.
    """

    trace: StepTrace | None
    is_retryable: bool

    def __new__(
        cls,
        message: str,
        errors: Sequence[Exception],
        *,
        trace: StepTrace | None = None,
        is_retryable: bool = True,
    ) -> AllModelsFailed:
        """Group `errors`, which must not be empty, under one message."""
        group = super().__new__(cls, message, errors)
        group.trace, group.is_retryable = trace, is_retryable
        return group

    def __init__(self, message: str, errors: Sequence[Exception], **_: object) -> None:
        super().__init__(message, errors)

    def derive(self, errors: Sequence[Exception], /) -> AllModelsFailed:  # type: ignore[override]  # stays ours
        """Keep the trace when `except*` or `split` takes the group apart."""
        return type(self)(self.message, errors, trace=self.trace, is_retryable=self.is_retryable)


class ContextTooLong(AllModelsFailed, ContextOverflowError):
    """Every model refused the prompt as too long; summarisation middleware answers it by trimming."""


class ContentFiltered(AllModelsFailed):
    """A content filter, or a model, would not answer; `Policy.content_filter` says what else could be done."""


class DeadlineExceeded(AllModelsFailed, ModelTimeoutError):
    """The step's time was up before there was an answer."""
