"""The gate that every call goes through: circuit, rate limit, pace and retries of this process, money and quotas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import State
from steprouter.answering.claims import Claim, Grant, Granted, Refused
from steprouter.answering.failures import FailureKind
from steprouter.answering.health import WELL, Conditions, Health
from steprouter.answering.hedge import HedgeBudget
from steprouter.answering.pacing import MOST_RETRIES, RetryBudget
from steprouter.answering.resume import Rung, refused_prefill
from steprouter.memory.recall import Missing, Recalled
from steprouter.models.card import Price
from steprouter.models.cost import cost_usd
from steprouter.step.step import Step

from .shared_health import SharedHealth

if TYPE_CHECKING:
    from .ledger import Ledger

PACED_SECONDS = 0.5
"""When a call that was held back by the pace looks again, if the deployment's own time to first token is not known."""


class Gate:
    """Knows how the deployments are, grants calls, and is told how they went; never raises in a step.

    Args:
        health: The deployments.
        ledger: Budgets and limits; None where there are none.
        prices: Of each model by name; None is unknown.
        deployments: Which deployment each model is an effort of, by name; the others are deployments themselves.
    """

    def __init__(
        self,
        health: SharedHealth,
        ledger: Ledger | None,
        prices: Mapping[str, Price | None],
        deployments: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.health = health
        self.deployments = dict(deployments)
        self.ledger = ledger
        self.prices = dict(prices)
        self.lock = Lock()
        self.retries = RetryBudget()
        self.hedges = HedgeBudget()
        self.no_prefill: set[str] = set()
        self.unsupported: dict[str, str] = {}

    def deployment(self, model: str) -> str:
        """What a model shares with itself at other efforts."""
        return self.deployments.get(model, model)

    def seen(self, now: float) -> Mapping[str, Health]:
        """The health of every model by name: that of its deployment, unless its own effort was refused."""
        known = self.health.health(now)
        if not self.deployments:
            return known
        seen = {**known, **{model: known.get(base, WELL) for model, base in self.deployments.items()}}
        return seen | {model: replace(seen[model], out=why) for model, why in self.unsupported.items()}

    def readmit(self, model: str, now: float) -> None:
        """Let a model in again that was out; its deployment with all its efforts, or only an effort that was refused.

        Raises:
            ConfigError: There is no such model.
            StoreError: The store is away; in this process it is in again.
        """
        if self.unsupported.pop(model, None) is not None:
            return
        for one in [one for one, base in self.deployments.items() if base == model]:
            self.unsupported.pop(one, None)
        self.health.readmit(self.deployment(model), now)

    def conditions(self, step: Step, recalled: Recalled, now: float) -> Conditions:
        """What is known of all deployments and of the step's budgets, what a recall brought included."""
        self.health.take(recalled.section("health"), now)
        with self.lock:
            retries, hedges = self.retries.refilled(now).tokens, self.hedges
        near = () if self.ledger is None else self.near(self.ledger, step, recalled.section("budget"), now)
        return Conditions(
            deployments=self.seen(now),
            retries=retries,
            hedges=hedges,
            near=near,
            no_prefill=frozenset(self.no_prefill),
        )

    def near(self, ledger: Ledger, step: Step, shared: Any, now: float) -> tuple[str, ...]:
        """Names of the step's budgets that are past their threshold."""
        if not ledger.budgets:
            return ()
        shares = shared if isinstance(shared, Mapping) else ledger.shares(step, now)
        return tuple(one.name for one in ledger.budgets if shares.get(one.name, 0.0) >= one.cheaper_at)

    def reserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """Whether a call may be made; what it may use is set aside."""
        refused = self.refusal(claim, now)
        if refused is not None:
            return refused
        found: Grant | None = None
        is_probe = False
        try:
            found = self.health.admit(self.deployment(claim.model), claim.reservation, now)
            if isinstance(found, Granted) and self.ledger is not None:
                is_probe, found = found.is_probe, None
                found = with_probe(self.ledger.reserve(step, claim, now), is_probe=is_probe)
            return found
        finally:
            self.conclude(claim, found, now, is_probe=is_probe)

    async def areserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """As `reserve`, without blocking the event loop."""
        refused = self.refusal(claim, now)
        if refused is not None:
            return refused
        found: Grant | None = None
        is_probe = False
        try:
            found = await self.health.aadmit(self.deployment(claim.model), claim.reservation, now)
            if isinstance(found, Granted) and self.ledger is not None:
                is_probe, found = found.is_probe, None
                found = with_probe(await self.ledger.areserve(step, claim, now), is_probe=is_probe)
            return found
        finally:
            self.conclude(claim, found, now, is_probe=is_probe)

    def conclude(self, claim: Claim, found: Grant | None, now: float, *, is_probe: bool) -> None:
        """Put right what was spent on a call that may not be made, or whose caller went away meanwhile.

        Args:
            claim: The call.
            found: What was said about it; None if the caller did not wait for that.
            now: Unix time in seconds.
            is_probe: Whether it was given the lease of a probe before the ledger was asked.
        """
        if isinstance(found, Granted):
            if not claim.is_retry and not claim.is_hedge:
                with self.lock:
                    self.retries, self.hedges = self.retries.earned(now), self.hedges.earned()
            return
        self.unspend(claim)
        if is_probe:
            self.health.ended(claim.reservation, Attempt(model=self.deployment(claim.model)), now)

    def refusal(self, claim: Claim, now: float) -> Refused | None:
        """What this process itself has against a call."""
        health = self.seen(now).get(claim.model, WELL)
        if health.out is not None:
            return Refused(by="breaker", name=claim.model, why=f"out until its configuration changes: {health.out}")
        if health.limited_until > now:
            why = f"{claim.model} asked to be left alone for {health.limited_until - now:.1f} s"
            return Refused(by="limit", name=claim.model, why=why, until=health.limited_until)
        if not health.pace.allows(health.in_flight):
            why = f"{health.in_flight} calls of {claim.model} are under way, as many as it took before it refused"
            return Refused(by="limit", name=claim.model, why=why, until=now + (health.latency_seconds or PACED_SECONDS))
        return self.spend(claim, now)

    def spend(self, claim: Claim, now: float) -> Refused | None:
        """Count a retry or a second call, and refuse one too many; before anybody else is asked, so that none race."""
        with self.lock:
            if claim.is_retry:
                left = self.retries.spent(now)
                if left is None:
                    return Refused(by="limit", name=claim.model, why="this process retries too much already")
                self.retries = left
            elif claim.is_hedge:
                kept = self.hedges.spent()
                if kept is None:
                    return Refused(by="limit", name=claim.model, why="this process makes too many second calls already")
                self.hedges = kept
        return None

    def unspend(self, claim: Claim) -> None:
        """Give back what `spend` counted for a call that was not made."""
        with self.lock:
            if claim.is_retry:
                self.retries = replace(self.retries, tokens=min(MOST_RETRIES, self.retries.tokens + 1))
            elif claim.is_hedge:
                self.hedges = self.hedges.returned()

    def began(self, model: str, attempt: str, now: float) -> None:
        """A call is under way."""
        self.health.began(self.deployment(model), attempt, now)

    def ended(self, attempt: Attempt, now: float) -> str | None:
        """A call has ended; why its circuit opened with that, if it did. Told twice it counts once."""
        if attempt.failure is not None:
            self.pay(attempt, now)  # what it did not use may be what the next call needs
        deployment = self.deployment(attempt.model)
        before = self.health.health(now).get(deployment, WELL).breaker.state
        self.health.ended(attempt.id, attempt, now)
        after = self.health.health(now).get(deployment, WELL).breaker
        return after.why if after.state is State.OPEN and before is not State.OPEN else None

    def pay(self, attempt: Attempt, now: float) -> None:
        """Note what a call really used; said twice, it counts once."""
        if self.ledger is not None:
            usage = attempt.usage
            usd = cost_usd(usage, self.prices.get(attempt.model))
            self.ledger.settle(attempt.id, tokens=usage.input_tokens + usage.output_tokens, usd=usd, now=now)

    def settle(self, attempts: tuple[Attempt, ...], unused: tuple[str, ...], now: float) -> None:
        """Note what the calls of a step really used; never lost, and written by `write`.

        Args:
            attempts: The calls.
            unused: Reservations of second calls that were not made.
            now: Unix time in seconds.
        """
        for attempt in attempts:
            self.ended(attempt, now)
            self.pay(attempt, now)
            is_prefill = attempt.resumed is not None and attempt.resumed.rung is Rung.PREFILL
            if is_prefill and attempt.failure is not None and refused_prefill(attempt.failure):
                here = self.deployment(attempt.model)
                self.no_prefill |= {attempt.model, *(m for m, base in self.deployments.items() if base == here)}
            if attempt.failure is not None and attempt.failure.kind is FailureKind.UNSUPPORTED:
                self.unsupported[attempt.model] = f"its effort is refused: {attempt.failure.text[:160]}"
        for reservation in unused:
            self.release(reservation, now)

    def release(self, reservation: str, now: float) -> None:
        """Give back all that a second call holds which was planned and not needed."""
        self.health.ended(reservation, Attempt(model=""), now)
        with self.lock:
            self.hedges = self.hedges.returned()
        if self.ledger is not None:
            self.ledger.release(reservation, now)

    def close(self, now: float) -> None:
        """Write what waits, and give back what this process holds."""
        if self.ledger is not None:
            self.ledger.close(now)

    def write(self, now: float) -> Missing | None:
        """Share what this process has seen and spent; off the path. Why some of it waits, or None."""
        waits = self.health.write(now)
        return (self.ledger.write(now) if self.ledger is not None else None) or waits


def with_probe(granted: Grant, *, is_probe: bool) -> Grant:
    """What circuit and ledger say together."""
    return replace(granted, is_probe=is_probe) if isinstance(granted, Granted) else granted
