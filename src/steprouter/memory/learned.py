"""What was learnt of deciding itself: the regret ledger, drift, how good checks are, how long sessions last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FADING = 0.998
"""What is left of a ledger's charges after each further decision: it looks 500 decisions back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What trials of unproven models were expected to lose.

    Attributes:
        decisions: How many decisions it has seen.
        charged: Expected losses, in wrong answers, faded with every decision since.
    """

    decisions: float = 0.0
    charged: float = 0.0

    def after(self, charge: float) -> Ledger:
        """The ledger with one more decision."""
        return Ledger(decisions=self.decisions + 1, charged=self.charged * FADING + charge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was learnt of deciding for one tenant.

    Attributes:
        ledger: Of trials.
    """

    ledger: Ledger = field(default_factory=Ledger)
    drift: Mapping[str, object] = field(default_factory=dict)

    def is_frozen(self, model: str) -> bool:
        """Whether a model got worse of late and is left alone."""
        return False

    def rates(self, kind: str) -> tuple[float, float]:
        """Detection and false alarm of the checks of a kind."""
        return (0.0, 0.0)

    def remaining_steps(self, node: str | None, done: int) -> float:
        """How many steps a session still has, this one included."""
        return 8.0
