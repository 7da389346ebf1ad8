"""What a call would use, and whether it may: money, tokens, requests, and the lease of a probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is to be set aside before one call.

    Attributes:
        reservation: Names this call, unique for ever; the same name claims nothing twice.
        model: The model about to be called.
        tokens: Tokens of the prompt and of the longest answer that is expected.
        usd: What they cost at most; None where the price is unknown.
        is_probe: Whether its breaker is to be probed, which only one call at a time may.
        is_retry: Whether the same model is asked again.
        is_hedge: Whether it is a second call beside one that is slow to begin.
        ignores_budgets: Whether it may be made although a budget is used up, as a budget's fallback may.
        deployment: What the model shares with itself at other efforts, limits in particular; empty is the model.
    """

    reservation: str
    model: str
    tokens: int = 0
    usd: float | None = None
    is_probe: bool = False
    is_retry: bool = False
    is_hedge: bool = False
    ignores_budgets: bool = False
    deployment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The call may be made.

    Attributes:
        is_probe: Whether its breaker is decided by it.
        near: Names of the budgets that are past their threshold with it.
    """

    is_probe: bool = False
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call may not be made; nothing was set aside.

    Attributes:
        by: What stands in the way.
        name: Of the budget; the model otherwise.
        why: In words.
        until: From when on it may be asked again, Unix time in seconds; None if that is not known.
        fallback: The model that may answer in spite of a budget; None if none may.
    """

    by: Literal["budget", "limit", "breaker"]
    name: str
    why: str
    until: float | None = None
    fallback: str | None = None


Grant = Granted | Refused
