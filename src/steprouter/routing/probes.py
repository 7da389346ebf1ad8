"""What a user allows of shadow probes: answers of cheaper models that nobody sees, asked for to learn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite

from ..answering.answer import Answer
from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask
from .rules import Names, names, refuse_unknown

Judge = Callable[[Ask, Answer, Answer], float | None]
"""Says how good an answer is beside the one that was given: what was asked, the answer given, the other one. From 0,
useless, to 1, as good or better; None where it cannot tell. Called in a thread of its own, so it may take its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Shadow probes: after a step that the reference answered, a cheaper model is asked the same, unseen.

    Each sends what was asked to another provider and costs money, so that without this value there are none. Rules,
    regions and abilities hold for them as for any answer.

    Attributes:
        share: Of the steps that might be probed, how many are, 0 to 1.
        usd: What a probe may be expected to cost at most, in USD.
        models: Names or tags of the models that may be probed; None allows all.
        judge: Compares two answers that can not be compared word by word; without one only tool calls, JSON, and the
            short answers of `classify` and `extract` steps are probed, because of others nothing would be learnt.

    Raises:
        ConfigError: A share or a sum is out of range, or the judge cannot be called.
    """

    share: float = 0.05
    usd: float = 0.01
    models: Names = None
    judge: Judge | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 <= self.share <= 1:
            raise ConfigError(f"share of probes must be between 0 and 1, got {self.share!r}; 0.05 is one step in 20")
        if isinstance(self.usd, bool) or not (self.usd >= 0 and isfinite(self.usd)):
            raise ConfigError(f"usd of a probe must be 0 or more, and finite, got {self.usd!r}")
        if self.judge is not None and not callable(self.judge):
            raise ConfigError(
                f"judge of probes must be a function of what was asked and two answers, got {type(self.judge).__name__}"
            )
        if self.models is not None:
            object.__setattr__(self, "models", tuple(sorted(names(self.models))))

    def check(self, cards: Sequence[ModelCard]) -> None:
        """Raise where it names a model or tag that is not there.

        Raises:
            ConfigError: It does.
        """
        known = {name for card in cards for name in (*card.names, *card.tags)}
        refuse_unknown("probes", "model", names(self.models), known)

    def allows(self, card: ModelCard) -> bool:
        """Whether a model may be probed."""
        wanted = names(self.models)
        return not wanted or card.name in wanted or not card.tags.isdisjoint(wanted)
