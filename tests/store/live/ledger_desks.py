"""Steps, claims and ledgers as the tests of the ledger need them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Claim
from steprouter.models.limits import Limits
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, Missing
from steprouter.store.live.ledger import Ledger
from steprouter.store.live.ledger_orders import counters

KEYS = Keys(secret=b"k" * 32)
NOW = 1_800_000_000.0
SERIAL = count()


def ledger(connection: Connection, *budgets: Budget, limits: Mapping[str, Limits] | None = None) -> Ledger:
    return Ledger(connection, lambda: KEYS, budgets=budgets, limits=limits)


def step(tenant: str, **place: Any) -> Step:
    name, at = place.pop("id", "s"), place.pop("at", 0.0)
    return Step(id=name, kind=StepKind.CHAT, place=Place(tenant=tenant, **place), started_at=at)


def claim(tokens: int = 0, usd: float | None = 0.0, *, model: str = "small", name: str | None = None) -> Claim:
    return Claim(reservation=name or f"call-{next(SERIAL)}", model=model, tokens=tokens, usd=usd)


def fresh(what: str = "tenant") -> str:
    return f"{what} {next(SERIAL)}"


def spent(connection: Connection, budget: Budget, whose: Step, now: float = NOW) -> tuple[int, int] | None:
    """What the store says is spent: billionths of a USD, and tokens."""
    key = counters(KEYS, [budget], whose, now)[0].key
    found = connection.call(lambda client: client.hmget(key, "usd", "tokens"), deadline_seconds=5.0)
    assert not isinstance(found, Missing), found.reason
    return None if found[0] is None else (int(found[0]), int(found[1]))
