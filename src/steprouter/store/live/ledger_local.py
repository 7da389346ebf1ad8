"""The ledger of one process: for routers without a store, and for the limits while the store is away.

It follows the rules of the scripts in `ledger_scripts` to the letter, with the same answers; the tests hold both to
the same results. Nothing here is shared, so no worker holds shares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from steprouter.answering.budgets import Unit

from .ledger_orders import Order, Reply, Spent
from .ledger_scripts import LEASE_SECONDS, MINUTE, OPEN_SECONDS, SETTLED_SECONDS, TOLERANCE_SECONDS, keep_of

How = Literal["settle", "release", "charge"]
"""What became of what was set aside: it was used, it was not even begun, or there was nothing."""

SWEEP = 1024
"""Reservations after which what is out of date is thrown away."""

UNITS: tuple[Unit, ...] = ("usd", "tokens")


@dataclass(slots=True)
class Kept:
    """What is known of a call.

    Attributes:
        ends_at: Until when it is kept, Unix time in seconds.
        is_open: Whether it is yet to be settled.
        usd: What was set aside, in billionths of a USD.
        tokens: The same in tokens.
    """

    ends_at: float
    is_open: bool
    usd: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Sum:
    """What is spent of a counter; until when it is kept."""

    ends_at: float
    usd: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Gates:
    """A deployment's limits as they stand: when its buckets are full again, and the calls under way by their end."""

    full: dict[Literal["requests", "tokens"], float] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)


class LocalBook:
    """What is set aside and spent, in this process. Not safe between threads: its owner holds a lock."""

    def __init__(self) -> None:
        self.records: dict[str, Kept] = {}
        self.sums: dict[str, Sum] = {}
        self.gates: dict[str, Gates] = {}
        self.until_sweep = SWEEP

    def reserve(self, order: Order, now: float) -> Reply:
        """Set everything aside that is ordered, or nothing."""
        self.sweep(now)
        kept = self.record(order.record, now)
        if kept is not None and not kept.is_open:
            return Reply(said="settled")
        if kept is None:
            refused = self.over(order, now) or self.gated(order, now)
            if refused is not None:
                return refused
            self.records[order.record] = Kept(
                ends_at=now + OPEN_SECONDS, is_open=True, usd=order.usd, tokens=order.tokens
            )
        for counter in order.counters:
            one = self.sum(counter.key, now) or Sum(ends_at=0.0)
            self.sums[counter.key] = one
            one.ends_at = now + counter.keep_seconds
            if kept is None:
                one.usd, one.tokens = one.usd + order.usd, one.tokens + order.tokens
        spent = tuple(self.spent(counter.key, now) for counter in order.counters)
        return Reply(said="granted", spent=spent)

    def over(self, order: Order, now: float) -> Reply | None:
        """The counter that the call would take past its limit."""
        for position, counter in enumerate(order.counters):
            spent = self.spent(counter.key, now)
            for unit in UNITS:
                limit, has, more = order.limit(counter, unit), getattr(spent, unit), getattr(order, unit)
                if limit is not None and has + more > limit:
                    return Reply(said="budget", counter=position, unit=unit, number=float(has))
        return None

    def gated(self, order: Order, now: float) -> Reply | None:
        """The limit that the call would pass; else the call is let through."""
        gates, limits = self.gates.setdefault(order.rate, Gates()), order.limits
        full = dict[Literal["requests", "tokens"], float]()
        if limits.requests_per_minute is not None:
            full["requests"] = filled(gates, "requests", now) + 1 * MINUTE / limits.requests_per_minute
        if limits.tokens_per_minute is not None:
            full["tokens"] = filled(gates, "tokens", now) + order.tokens * MINUTE / limits.tokens_per_minute
        for name, at in full.items():
            if at - now > MINUTE + TOLERANCE_SECONDS:
                return Reply(said=name, number=at - MINUTE)
        if limits.concurrency is not None:
            gates.leases = {call: ends for call, ends in gates.leases.items() if ends > now}
            if len(gates.leases) >= limits.concurrency:
                return Reply(said="calls", number=now)
            gates.leases[order.member] = now + LEASE_SECONDS
        gates.full.update(full)
        return None

    def settle(
        self, order: Order, how: How, usd: int | None, tokens: int | None, now: float, *, reserved_at: float
    ) -> bool:
        """Put right what was set aside; whether this is the first time. None leaves an amount as it was claimed."""
        kept = self.record(order.record, now)
        if kept is not None and not kept.is_open:
            return False
        held = kept or Kept(ends_at=0.0, is_open=False)
        usd, tokens = held.usd if usd is None else usd, held.tokens if tokens is None else tokens
        for counter in order.counters:
            keep, one = keep_of(counter, max(0.0, now - reserved_at)), self.sum(counter.key, now)
            if one is not None:
                one.usd, one.tokens = one.usd + usd - held.usd, one.tokens + tokens - held.tokens
            elif keep >= 1:
                one = self.sums[counter.key] = Sum(ends_at=0.0, usd=usd, tokens=tokens)
            if one is not None and keep >= 1:
                one.ends_at = now + int(keep)
        returned = -1 if how == "release" and kept is not None else 0
        self.true_up(order, returned, tokens - held.tokens, now)
        kept_for = OPEN_SECONDS if how == "charge" else SETTLED_SECONDS
        self.records[order.record] = Kept(ends_at=now + kept_for, is_open=False)
        return True

    def true_up(self, order: Order, requests: int, tokens: int, now: float) -> None:
        """Take from the buckets what was used beyond the claim, or put back what was not."""
        gates, limits = self.gates.setdefault(order.rate, Gates()), order.limits
        gates.leases.pop(order.member, None)
        changes: tuple[tuple[Literal["requests", "tokens"], int | None, int], ...] = (
            ("requests", limits.requests_per_minute, requests),
            ("tokens", limits.tokens_per_minute, tokens),
        )
        for name, per_minute, more in changes:
            if per_minute is None or not more or (more < 0 and name not in gates.full):
                continue
            full = filled(gates, name, now) if more > 0 else gates.full[name]
            gates.full[name] = full + more * MINUTE / per_minute

    def record(self, key: str, now: float) -> Kept | None:
        """What is known of a call, if it is still kept."""
        kept = self.records.get(key)
        return kept if kept is not None and kept.ends_at > now else None

    def sum(self, key: str, now: float) -> Sum | None:
        """What is spent of a counter, if it is still kept."""
        one = self.sums.get(key)
        return one if one is not None and one.ends_at > now else None

    def spent(self, key: str, now: float) -> Spent:
        """What is spent of a counter."""
        one = self.sum(key, now)
        return Spent() if one is None else Spent(usd=one.usd, tokens=one.tokens)

    def renew(self, orders: Iterable[Order], now: float) -> None:
        """Say that these calls are still under way."""
        for order in orders:
            gates = self.gates.get(order.rate)
            if gates is not None and order.member in gates.leases:
                gates.leases[order.member] = now + LEASE_SECONDS

    def sweep(self, now: float) -> None:
        """Throw away what is out of date, once in a while."""
        self.until_sweep -= 1
        if self.until_sweep > 0:
            return
        self.until_sweep = max(SWEEP, len(self.records))
        self.records = {key: kept for key, kept in self.records.items() if kept.ends_at > now}
        self.sums = {key: one for key, one in self.sums.items() if one.ends_at > now}


def filled(gates: Gates, name: Literal["requests", "tokens"], now: float) -> float:
    """When a bucket is full again; now, if it is."""
    return max(gates.full.get(name, 0.0), now)
