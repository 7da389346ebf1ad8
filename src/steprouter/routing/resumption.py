"""What a user allows of going on with answers that broke off."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """How far an answer is gone on with whose stream broke after part of it was shown.

    Attributes:
        resumes: Continuations of one answer at most; 0 goes on with none, and a break is an error with the part.
        hops: Of these on another model than the one that broke at most.
        instruction: Whether a model that takes no partial turn is asked in words to go on. Off, because small models
            do it badly: measured, four in five or fewer of such joins were clean (docs/resumption.md).
        journal: Whether what a stream has said is kept while it lasts, in a thread of a graph, so that the graph can
            go on with it after its process died.
        keep_when_left: Whether it is kept too when whoever listened goes away; else nothing of it is.

    Raises:
        ConfigError: A number is below 0.
    """

    resumes: int = 2
    hops: int = 1
    instruction: bool = False
    journal: bool = True
    keep_when_left: bool = False

    def __post_init__(self) -> None:
        for name in ("resumes", "hops"):
            if (number := getattr(self, name)) < 0 or isinstance(number, bool) or not isinstance(number, int):
                raise ConfigError(f"{name} must be a whole number, 0 or more, got {number!r}")
