"""What a user wants when a provider's content filter, or a model, will not answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ConfigError

Reaction = Literal["raise", "redact_and_retry", "reroute", "fallback_message"]


def names_of(given: str | Collection[str]) -> tuple[str, ...]:
    """One name or several, in order."""
    return (given,) if isinstance(given, str) else tuple(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFilter:
    """The reaction to a refusal on content. None of them sends the same words to the same filter again.

    Attributes:
        reaction: `raise` ends the step with an error (a refusal in a model's own words is given as the answer it
            is); `redact_and_retry` asks once more with personal data and secrets replaced, if there were any, else
            it is as `raise`; `reroute` asks the named models; `fallback_message` answers with the message.
        models: Names of the models for `reroute`, the first to try first.
        message: The answer for `fallback_message`.
    """

    reaction: Reaction = "raise"
    models: tuple[str, ...] = ()
    message: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", names_of(self.models))
        if self.reaction not in get_args(Reaction):
            raise ConfigError(
                f"the reaction to a content filter must be one of {list(get_args(Reaction))!r}, got {self.reaction!r}"
            )
        if bool(self.models) != (self.reaction == "reroute"):
            raise ConfigError(
                "models go with reaction='reroute' and it needs them, "
                f"got reaction={self.reaction!r} and models={list(self.models)!r}"
            )
        if bool(self.message) != (self.reaction == "fallback_message"):
            raise ConfigError(
                "a message goes with reaction='fallback_message' and it needs one, "
                f"got reaction={self.reaction!r} and message={self.message!r}"
            )

    def check(self, known: Collection[str]) -> None:
        """Raise where it names a model that is not there.

        Raises:
            ConfigError: It does.
        """
        unknown = [name for name in self.models if name not in known]
        if unknown:
            raise ConfigError(
                f"the content filter's reroute names unknown models {unknown!r}; known are {sorted(known)!r}"
            )
