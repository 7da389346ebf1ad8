"""Budgets: what may be spent, on whom and in which time, and the most that a call may cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Literal, get_args

from ..errors import ConfigError
from ..models.card import Price
from ..step.step import Needs

Per = Literal["step", "thread", "user", "tenant", "all"]
Period = Literal["hour", "day", "week", "month"]
Unit = Literal["usd", "tokens"]

INPUT_MARGIN = 1.15
"""Token counts are estimates; a prompt is taken to be this much longer, as for a model's window."""

NANO = 1_000_000_000
"""Money is counted in whole billionths of a USD: a token of the cheapest models costs some twenty of them."""

MOST_USD, MOST_TOKENS = 8e6, 2**52
"""The largest budgets: Redis' scripts compare numbers up to 2⁵³ exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent at most. What calls under way may still cost counts as spent.

    Attributes:
        usd: Money; None does not limit it.
        tokens: Tokens of prompts and answers; None does not limit them.
        per: Whom it is for, each one by itself. `all` are all tenants of a deployment together; steps without a
            user are one user of their tenant, and a step outside a thread is a thread of its own.
        period: The UTC calendar period after which it begins anew; weeks begin on Monday. None never does.
        name: What traces and errors call it; by default what it is, such as `usd per user and day`.
        cheaper_at: The share of it, above 0 to 1, from which on only cheaper models are asked.
        fallback: The model that may answer when it is used up, whatever that costs; None lets none.
        on_store_loss: What happens while the store that the processes share is away: `stop` lets each spend the small
            share it holds, `continue` lets each go by what it last knew.
    """

    usd: float | None = None
    tokens: int | None = None
    per: Per = "tenant"
    period: Period | None = None
    name: str = ""
    cheaper_at: float = 0.8
    fallback: str | None = None
    on_store_loss: Literal["stop", "continue"] = "stop"

    def __post_init__(self) -> None:
        check_amounts(self)
        for name, value, known in (
            ("per", self.per, get_args(Per)),
            ("period", self.period, (*get_args(Period), None)),
            ("on_store_loss", self.on_store_loss, ("stop", "continue")),
        ):
            if value not in known:
                raise ConfigError(f"a budget's {name} must be one of {list(known)!r}, got {value!r}")
        if self.per == "step" and self.period is not None:
            raise ConfigError(f"a budget per step has no period, got {self.period!r}; leave it out")
        if not 0 < self.cheaper_at <= 1:
            raise ConfigError(f"cheaper_at must be above 0 and at most 1 (a share), got {self.cheaper_at!r}")
        if not self.name:
            object.__setattr__(self, "name", title(self))

    @property
    def units(self) -> tuple[Unit, ...]:
        """What it limits."""
        usd: tuple[Unit, ...] = () if self.usd is None else ("usd",)
        return usd if self.tokens is None else (*usd, "tokens")

    def limit(self, unit: Unit) -> int | None:
        """The limit in billionths of a USD, or in tokens; None where there is none."""
        return self.tokens if unit == "tokens" else None if self.usd is None else nano_usd(self.usd)

    def share(self, usd: int, tokens: int) -> float:
        """How much of it is used up, 0 to 1 and beyond.

        Args:
            usd: What was spent, in billionths of a USD.
            tokens: The tokens that were spent.
        """
        spent = {"usd": usd, "tokens": tokens}
        return max(spent[unit] / (self.limit(unit) or 1) for unit in self.units)


def check_amounts(budget: Budget) -> None:
    """Raise where a budget limits nothing, or to nothing."""
    if budget.usd is None and budget.tokens is None:
        raise ConfigError("a budget must limit usd, tokens or both, got neither; give Budget(usd=…)")
    usd, tokens = budget.usd, budget.tokens
    if usd is not None and not (1 / NANO <= usd <= MOST_USD):
        raise ConfigError(f"a budget's usd must be above 0 and at most {MOST_USD:,.0f}, got {usd!r}")
    if tokens is not None and (type(tokens) is not int or tokens <= 0):
        raise ConfigError(f"a budget's tokens must be a whole number above 0, got {tokens!r}")
    if tokens is not None and tokens > MOST_TOKENS:
        raise ConfigError(f"a budget's tokens must be at most {MOST_TOKENS}, got {tokens!r}; leave it out for no limit")


def title(budget: Budget) -> str:
    """What a budget without a name is called."""
    whom = "for all" if budget.per == "all" else f"per {budget.per}"
    return f"{' and '.join(budget.units)} {whom}" + (f" and {budget.period}" if budget.period else "")


def nano_usd(usd: float) -> int:
    """Money in whole billionths of a USD, rounded up.

    What a product of floats is off by is no fraction to be rounded up.
    """
    return math.ceil(round(usd * NANO, 3)) if math.isfinite(usd) else 0


def check_budgets(budgets: Sequence[Budget], models: Collection[str]) -> None:
    """Raise where budgets contradict each other or name what is not there.

    Args:
        budgets: All budgets of a router.
        models: Names of its models.

    Raises:
        ConfigError: Two limit the same, two have one name, or a fallback is no model.
    """
    for one, other in combinations(budgets, 2):
        both = set(one.units) & set(other.units)
        if (one.per, one.period) == (other.per, other.period) and both:
            raise ConfigError(
                f"budgets {one.name!r} and {other.name!r} both limit {' and '.join(sorted(both))} "
                f"per {one.per} and {one.period or 'for ever'}; keep the lower one, or give one another period"
            )
        if one.name == other.name:
            raise ConfigError(f"budgets must have names of their own, got {one.name!r} twice; give one another name")
    for budget in budgets:
        if budget.fallback is not None and budget.fallback not in models:
            raise ConfigError(
                f"fallback of budget {budget.name!r} must be one of the models {sorted(models)!r}, "
                f"got {budget.fallback!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The period that a moment lies in.

    Attributes:
        label: Names it in keys: letters, digits and `-`.
        ends_at: When the next one begins, Unix time in seconds; None is never.
    """

    label: str
    ends_at: float | None


def span(period: Period | None, now: float) -> Span:
    """The UTC calendar period that `now` lies in."""
    if period is None:
        return Span(label="ever", ends_at=None)
    at = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return Span(label=f"hour-{at:%Y%m%d%H}", ends_at=(at + timedelta(hours=1)).timestamp())
    day = at.replace(hour=0)
    if period == "day":
        return Span(label=f"day-{day:%Y%m%d}", ends_at=(day + timedelta(days=1)).timestamp())
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return Span(label=f"week-{monday:%Y%m%d}", ends_at=(monday + timedelta(days=7)).timestamp())
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Span(label=f"month-{first:%Y%m}", ends_at=following.timestamp())


def worst_case(
    needs: Needs, price: Price | None, *, expected_output_tokens: int, added_tokens: int = 0
) -> tuple[int, float | None]:
    """The most tokens and USD that a call is expected to take; the USD are None where the price is unknown.

    The prompt is taken at its dearest, as if all of it were written into a prompt cache. It is an upper bound of the
    answer only where the caller limited it; an answer that may be of any length is taken to be as long as expected.

    Args:
        needs: What the step needs.
        price: The model's.
        expected_output_tokens: Tokens of the answer where the caller set no limit.
        added_tokens: What an example adds to the prompt.
    """
    asked = math.ceil((needs.input_tokens + added_tokens) * INPUT_MARGIN)
    spoken = expected_output_tokens if needs.output_tokens is None else needs.output_tokens
    if price is None:
        return asked + spoken, None
    dearest = max(price.input, price.cache_write or 0.0, price.cache_read or 0.0)
    return asked + spoken, (asked * dearest + spoken * price.output) / 1e6
