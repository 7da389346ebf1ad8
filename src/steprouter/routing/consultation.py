"""What came of asking a model which route a step takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models.cost import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultation:
    """Words left open which route a step takes, and a model was to say it.

    Attributes:
        between: The routes it was to choose between, the nearest first.
        route: The one it chose; None if it chose none of them, or nothing came of asking.
        model: Whom was asked; None if nobody was.
        why: Why the words alone decided; empty where the model's answer counts.
        is_broken: Whether a model should have answered and did not.
        is_known: Whether the same had been asked before, so that nobody was asked again.
        usage: Tokens to pay for.
        usd: What they cost; None where that is not known.
        began_seconds: When it was asked, counted from the beginning of the step.
        seconds: How long it took.
    """

    between: tuple[str, ...]
    route: str | None = None
    model: str | None = None
    why: str = ""
    is_broken: bool = False
    is_known: bool = False
    usage: Usage = field(default_factory=Usage)
    usd: float | None = 0.0
    began_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether the model's answer decides."""
        return not self.why

    @property
    def ended_seconds(self) -> float:
        """When the answer had come, counted from the beginning of the step; 0 where nobody was asked."""
        return self.began_seconds + self.seconds

    @property
    def facts(self) -> Mapping[str, Any]:
        """The same for whoever listens."""
        asked = {"between": list(self.between), "route": self.route, "model": self.model, "why": self.why}
        return {**asked, "known": self.is_known, "usd": self.usd, "seconds": self.seconds}
