"""The small share of a budget that a worker holds, for when the store is away, and what it last knew of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from steprouter.answering.budgets import Unit

from .ledger_orders import Counter, Spent
from .ledger_scripts import is_stopped

SHARE_SECONDS = 300.0
"""How long a share may be spent after the store was last reached; it is renewed after half of it."""

SHARE_GRACE_SECONDS = 600.0
"""How much longer the store keeps it for its worker, who has yet to tell what it spent."""


def nothing() -> dict[Unit, int]:
    """No money and no tokens."""
    return {"usd": 0, "tokens": 0}


@dataclass(slots=True)
class Seen:
    """What a worker knows of a counter. Money is in billionths of a USD, times are Unix times in seconds.

    Attributes:
        counter: The counter.
        spent: What is spent, as far as the worker knows.
        share: What its share holds.
        share_ends: When the store forgets the share; which share it is. 0 if there is none.
        used: What of it is used by calls that the store does not know.
        asked_ends: When the share would end that the store was asked for; 0 if it was not.
        asked_most: What of that share other calls have left, while its answer is awaited.
        touched_at: When it was last looked at.
    """

    counter: Counter
    spent: dict[Unit, int] = field(default_factory=nothing)
    share: dict[Unit, int] = field(default_factory=nothing)
    share_ends: float = 0.0
    used: dict[Unit, int] = field(default_factory=nothing)
    asked_ends: float = 0.0
    asked_most: dict[Unit, int] | None = None
    touched_at: float = 0.0

    def look(self, counter: Counter, spent: Spent, now: float) -> None:
        """Take note of what the store says. A share only shrinks, so that answers may come in any order."""
        self.counter, self.touched_at = counter, now
        self.spent = {"usd": spent.usd, "tokens": spent.tokens}
        own: dict[Unit, int] = {"usd": spent.own_usd, "tokens": spent.own_tokens}
        if spent.share and spent.share == self.asked_ends:
            self.asked_most = lower(own, self.asked_most or own)
        elif spent.share == self.share_ends:
            self.share = lower(own, self.share)

    def shrink(self, usd: int, tokens: int) -> None:
        """Take from the share what a call may have taken whose answer was lost."""
        taken: dict[Unit, int] = {"usd": usd, "tokens": tokens}
        self.share = {unit: max(0, has - taken[unit]) for unit, has in self.share.items()}
        self.asked_most = nothing()

    def use(self, usd: int, tokens: int) -> None:
        """Use the share, or free what was used."""
        self.used = {"usd": self.used["usd"] + usd, "tokens": self.used["tokens"] + tokens}

    def spend(self, usd: int, tokens: int) -> None:
        """Add what the store is about to be told."""
        self.spent = {"usd": self.spent["usd"] + usd, "tokens": self.spent["tokens"] + tokens}

    def room(self, unit: Unit, limit: int, now: float) -> int:
        """What this worker may spend while the store is away."""
        budget = self.counter.budget(unit)
        # A step is of one process, which knows all that is spent on it.
        if budget is not None and budget.per != "step" and budget.on_store_loss == "stop":
            is_held = self.share_ends - SHARE_GRACE_SECONDS > now
            return (self.share[unit] if is_held else 0) - self.used[unit]
        return limit - self.spent[unit] - self.used[unit]

    def is_over(self, now: float) -> bool:
        """Whether nobody will ask for it again."""
        ends_at = self.counter.ends_at
        is_past = (ends_at is not None and ends_at < now) or now - self.touched_at > 2 * SHARE_SECONDS
        return is_past and not any(self.used.values())

    def is_due(self, now: float) -> bool:
        """Whether its share is to be renewed."""
        steps = any(budget.per == "step" for budget in self.counter.budgets)
        held = any(is_stopped(self.counter, unit) for unit in ("usd", "tokens"))
        left = self.share_ends - SHARE_GRACE_SECONDS - now
        return held and not steps and left < SHARE_SECONDS / 2 and now - self.touched_at < SHARE_SECONDS

    def ask(self, now: float) -> float:
        """Begin to ask for a share; when it would end. Until there is an answer nobody knows what the old one holds."""
        self.asked_ends, self.asked_most = now + SHARE_SECONDS + SHARE_GRACE_SECONDS, None
        self.share, self.share_ends = nothing(), 0.0
        return self.asked_ends

    def given(self, usd: int, tokens: int) -> None:
        """Take the share that was given."""
        own: dict[Unit, int] = {"usd": usd, "tokens": tokens}
        self.share = own if self.asked_most is None else lower(own, self.asked_most)
        self.share_ends, self.asked_ends, self.asked_most = self.asked_ends, 0.0, None


def lower(one: dict[Unit, int], other: dict[Unit, int]) -> dict[Unit, int]:
    """The lower of both, by unit."""
    return {unit: min(number, other[unit]) for unit, number in one.items()}
