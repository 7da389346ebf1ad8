"""What providers bill for an attempt, failed and abandoned ones included.

From the providers' pricing pages and a study of token bills (2026). Where a provider does not say, what it has
probably done is taken as billed: the prompt once a model may have read it, and what was heard of the answer.
"""

from __future__ import annotations

from ..models.cost import Usage
from .failures import Failure, FailureKind, Phase

GOOGLE = frozenset({"google_genai", "google_vertexai", "google_anthropic_vertex", "anthropic_vertex", "vertexai"})
"""Google bills no request that was answered with a status other than 200."""

AZURE = frozenset({"azure", "azure_openai", "azure_ai"})
"""Azure bills what a model has processed, also where it then answers 400 for its content filter, or 408."""

ANTHROPIC = frozenset({"anthropic"})
"""A refusal of Claude's is free if it comes before any output."""

NEVER_READ = frozenset(
    {
        FailureKind.AUTH,
        FailureKind.BAD_REQUEST,
        FailureKind.CONTENT_FILTERED,
        FailureKind.CONTEXT_OVERFLOW,
        FailureKind.NOT_FOUND,
        FailureKind.OVERLOADED,
        FailureKind.RATE_LIMITED,
        FailureKind.UNAVAILABLE,
        FailureKind.UNSUPPORTED,
    }
)
"""Failures before the first token, without a status, that say that no model has read the prompt."""


def billed_usage(
    provider: str | None, failure: Failure | None, seen: Usage | None, *, asked_tokens: int, spoken_tokens: int
) -> Usage:
    """The tokens to pay for.

    Args:
        provider: Who runs the model, as LangChain calls it; None where unknown.
        failure: What went wrong; None if the attempt finished.
        seen: What the provider reported; None if nothing was.
        asked_tokens: Estimated size of the prompt.
        spoken_tokens: Estimated size of what was heard of the answer.
    """
    if failure is not None and is_free(provider, failure, spoken_tokens):
        return Usage()
    return seen or Usage(input_tokens=asked_tokens, output_tokens=spoken_tokens, estimated=True)


def is_free(provider: str | None, failure: Failure, spoken_tokens: int) -> bool:
    """Whether nothing is billed for a failed attempt."""
    if spoken_tokens or failure.phase is not Phase.BEFORE_FIRST_TOKEN:
        return False
    refused_over_http = failure.status is not None and failure.status >= 400
    if provider in AZURE and (failure.status == 408 or failure.kind is FailureKind.CONTENT_FILTERED):
        return False
    if provider in ANTHROPIC and failure.kind in (FailureKind.REFUSED, FailureKind.CONTENT_FILTERED):
        return True
    if provider in GOOGLE and failure.status is not None:
        return failure.status != 200
    return refused_over_http or (failure.status is None and failure.kind in NEVER_READ)
