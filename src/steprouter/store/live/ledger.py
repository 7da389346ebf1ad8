"""The ledger: money, tokens, requests and calls at once, set aside before a call and put right after it.

What is set aside counts as spent until it is settled, so a crash charges too much and never too little. A lost reply
charges nothing twice: reservations and settlements have names.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import redis
import redis.asyncio

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Claim, Grant, Granted, Refused
from steprouter.errors import ConfigError
from steprouter.memory.recall import Missing
from steprouter.models.limits import Limits
from steprouter.step.step import Step

from ..connect import Connection
from ..keys import Keys
from ..memory.patient import ask
from ..memory.pipeline import Command, Replies, acarry_out, carry_out
from .ledger_desk import Desk, Settlement
from .ledger_orders import Order, counters, orders, unpriced
from .ledger_scripts import LOADING, lease_command, reserve_command, settle_command, share_command
from .ledger_shares import Seen

log = logging.getLogger("steprouter.store")

HOPELESS = ("WRONGTYPE", "user_script", "value is not an integer", "hash value is not an integer")
"""How refusals begin that another attempt would meet again: something of others lies at the key."""

MOST_AHEAD = 16
"""Settlements that go before a reservation: some 0.5 ms at most, which a step waits for."""

RENEWAL_SECONDS = 20.0
"""How often `write` is to be called at least while calls are under way, so that their leases last."""


@dataclass(slots=True)
class Trip:
    """A round trip on the path of a step.

    Attributes:
        commands: What is sent.
        replies: What came in time.
        is_sent: Whether anything may have reached the store.
    """

    commands: Sequence[Command]
    replies: Replies = field(default_factory=list)
    is_sent: bool = False

    def carry_out(self, client: redis.Redis) -> Replies:
        """Send it and wait for the replies."""
        self.is_sent = True
        return carry_out(client, self.commands, self.replies)

    async def acarry_out(self, client: redis.asyncio.Redis) -> Replies:
        """As `carry_out`, without blocking the event loop."""
        self.is_sent = True
        return await acarry_out(client, self.commands, self.replies)

    def without(self, first: int) -> Trip:
        """The trip without its first replies."""
        return replace(self, replies=self.replies[first:])

    @property
    def is_forgotten(self) -> bool:
        """Whether the server does not know the scripts."""
        return any(isinstance(reply, redis.exceptions.NoScriptError) for reply in self.replies)


class Ledger:
    """What may be spent, shared by all processes of a store.

    Args:
        connection: The store.
        keys: Gives what names the keys; called when first needed, as it may read a file.
        budgets: What may be spent; checked by `check_budgets`.
        limits: What each model may be asked, by its name.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Callable[[], Keys],
        *,
        budgets: Sequence[Budget] = (),
        limits: Mapping[str, Limits] | None = None,
    ) -> None:
        self.connection = connection
        self.find_keys = keys
        self.budgets = tuple(budgets)
        self.limits = {name: one for name, one in (limits or {}).items() if one.is_set}
        self.desks: dict[int, Desk] = {}
        self.is_behind = False

    @cached_property
    def keys(self) -> Keys | None:
        """What names the keys; None where the deployment's secret can be neither read nor made."""
        try:
            return self.find_keys()
        except ConfigError as error:
            log.warning("budgets and limits hold in this process only: %s", error)
            return None

    @property
    def local_keys(self) -> Keys:
        """What names the keys, or what will do for this process alone."""
        return self.keys or Keys(secret=b"of this process only")

    @property
    def is_local(self) -> bool:
        """Whether this process is all there is: by choice, for want of a server, or of a secret."""
        facts = self.connection.facts
        in_memory = self.connection.target.kind == "memory" or (facts is not None and facts.place == "memory")
        return in_memory or self.keys is None

    def concerns(self, model: str) -> bool:
        """Whether anything is to be set aside for a call of the model."""
        return bool(self.budgets) or model in self.limits

    @property
    def is_busy(self) -> bool:
        """Whether `write` has something to do, now or soon."""
        desk = self.desk()
        return bool(desk.waiting or desk.held)

    def desk(self) -> Desk:
        """This process's: what a parent holds, the parent settles."""
        # setdefault: of two threads that come first at once, both take the same one.
        return self.desks.get(os.getpid()) or self.desks.setdefault(os.getpid(), Desk())

    def reserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """Set aside what a call may use, or say why it may not be made; never raises.

        One round trip; none without budgets and limits. The same claim again sets nothing aside twice.
        """
        begun = self.begin(step, claim, now)
        if not isinstance(begun, tuple):
            return begun
        ahead = self.ahead()
        trip = self.told(ahead, self.trip([*settling(ahead, now), *self.asking(begun, now)]))
        if trip.is_forgotten:
            trip = self.trip(self.asking(begun, now), LOADING)
        grant = self.answered(claim, begun, trip, now)
        if given_back := self.to_give_back(claim, begun, trip):
            self.finish(given_back, self.trip(settling(given_back, now), LOADING).replies)
        return grant

    async def areserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """As `reserve`, without blocking the event loop."""
        begun = self.begin(step, claim, now)
        if not isinstance(begun, tuple):
            return begun
        try:
            ahead = self.ahead()
            trip = self.told(ahead, await self.atrip([*settling(ahead, now), *self.asking(begun, now)]))
            if trip.is_forgotten:
                trip = await self.atrip(self.asking(begun, now), LOADING)
        except asyncio.CancelledError:
            self.desk().lose(claim.reservation, begun, now)
            raise
        grant = self.answered(claim, begun, trip, now)
        if given_back := self.to_give_back(claim, begun, trip):
            self.finish(given_back, (await self.atrip(settling(given_back, now), LOADING)).replies)
        return grant

    def begin(self, step: Step, claim: Claim, now: float) -> Grant | tuple[Order, ...]:
        """What the slots are to be asked, or what is known without asking them."""
        if (refused := unpriced(self.budgets, claim)) is not None:
            return refused
        known = self.desk().known(claim.reservation)
        if known is not None:
            return known
        mine = orders(self.local_keys, self.budgets, self.limits.get(claim.model), step, claim, now)
        if not mine:
            return Granted()
        return self.desk().reserve(claim, mine, now) if self.is_local else mine

    def ahead(self) -> list[Settlement]:
        """What this process has settled and the store does not know yet: told before a reservation, in the same trip.

        A step that fails over, or begins after another, must not be refused for money that came back.
        """
        some = [one for one in self.desk().batch() if one.how != "charge"][:MOST_AHEAD]
        self.desk().sent(some)
        return some

    def told(self, ahead: Sequence[Settlement], trip: Trip) -> Trip:
        """The trip without what was sent ahead, once note is taken of the answers to that."""
        if ahead:
            self.finish(ahead, trip.replies[: len(ahead)])
        return trip.without(len(ahead))

    def asking(self, mine: Sequence[Order], now: float) -> list[Command]:
        """What sets the orders aside."""
        desk = self.desk()
        return [reserve_command(order, desk.worker, desk.used, now) for order in mine]

    def answered(self, claim: Claim, mine: Sequence[Order], trip: Trip, now: float) -> Grant:
        """What the store's answers mean, or what this process allows without them."""
        desk = self.desk()
        if self.is_local:  # asked again: the call may have found out
            return desk.reserve(claim, mine, now)
        grant = desk.answered(claim, mine, trip.replies, now)
        if grant is not None:
            return grant
        grant = desk.reserve_away(claim, mine, self.connection.degraded or "the store did not answer", now)
        if isinstance(grant, Refused) and trip.is_sent:
            desk.lose(claim.reservation, mine, now)
        return grant

    def to_give_back(self, claim: Claim, mine: Sequence[Order], trip: Trip) -> list[Settlement]:
        """What one slot granted and the other's refusal made useless; it may be what another call waits for.

        Where a reply was lost it is left to `write`: the store is away, and the claim may come again.
        """
        if self.is_local or len(trip.replies) < len(mine) or any(isinstance(one, Exception) for one in trip.replies):
            return []
        given_back = self.desk().batch(claim.reservation)
        self.desk().sent(given_back)
        return given_back

    def trip(self, commands: Sequence[Command], before: Sequence[Command] = ()) -> Trip:
        """A round trip; the replies to what is sent before are left out."""
        trip = Trip(commands=[*before, *commands])
        self.connection.call(trip.carry_out)
        return trip.without(len(before))

    async def atrip(self, commands: Sequence[Command], before: Sequence[Command] = ()) -> Trip:
        """As `trip`, without blocking the event loop."""
        trip = Trip(commands=[*before, *commands])
        await self.connection.acall(trip.acarry_out)
        return trip.without(len(before))

    def settle(self, reservation: str, *, tokens: int | None, usd: float | None, now: float) -> bool:
        """Note what a call took; takes no time. `write` tells the store.

        Args:
            reservation: The call.
            tokens: Tokens of prompt and answer; None leaves what was claimed.
            usd: What they cost; None leaves what was claimed.
            now: Unix time in seconds.

        Returns:
            Whether anything was set aside for it that was not settled yet.
        """
        return self.desk().settle(reservation, "settle", usd, tokens, now, is_local=self.is_local)

    def release(self, reservation: str, now: float) -> bool:
        """Give back what was set aside for a call that was not made; else as `settle`."""
        return self.desk().settle(reservation, "release", 0.0, 0, now, is_local=self.is_local)

    def write(self, now: float) -> Missing | None:
        """Tell the store what calls took, off the path; why it does not take it, or None.

        What it does not take waits, however long. To be called when steps have ended, and every `RENEWAL_SECONDS`
        while `is_busy`: it also says which calls are still under way, and renews this worker's shares.
        """
        desk = self.desk()
        with desk.writing:
            if self.is_local:
                due = desk.due_leases(now)
                with desk.lock:
                    desk.book.renew(due, now)
                return None
            refused = self.write_all(desk, now)
        if refused is not None and not self.is_behind:
            log.warning("what calls took waits to be settled: %s", refused.reason)
        self.is_behind = refused is not None
        return refused

    def write_all(self, desk: Desk, now: float) -> Missing | None:
        """Tell the store all that waits, batch by batch."""
        if (reason := self.connection.degraded) is not None:
            return Missing(reason=reason)
        some, leases, shares = desk.batch(), desk.due_leases(now), desk.due_shares(now)
        while some or leases or shares:
            refused = self.write_some(desk, some, leases, shares, now)
            if refused is not None:
                return refused
            some, leases, shares = desk.batch(), [], []
        return None

    def write_some(
        self, desk: Desk, some: Sequence[Settlement], leases: Sequence[Order], shares: Sequence[Seen], now: float
    ) -> Missing | None:
        """Tell the store a batch, in one round trip."""
        with desk.lock:
            sharing = [
                share_command(one.counter, desk.worker, one.ask(now), desk.used(one.counter.key), now) for one in shares
            ]
        commands = [*LOADING, *settling(some, now), *(lease_command(order, now) for order in leases), *sharing]
        desk.sent(some)
        replies = ask(self.connection, commands)
        if isinstance(replies, Missing):
            return replies
        given = replies[len(commands) - len(shares) :]
        with desk.lock:
            for one, share in zip(shares, given, strict=True):
                if not isinstance(share, Exception):
                    one.given(int(share[0]), int(share[1]))
        return self.finish(some, replies[len(LOADING) :])

    def finish(self, some: Sequence[Settlement], replies: Replies) -> Missing | None:
        """Take note of what the store answered to settlements; why it refused some, or None."""
        answers = replies[: len(some)]
        if len(answers) < len(some):
            return Missing(reason="the store did not answer")
        desk = self.desk()
        refusals = desk.written(some, answers)
        hopeless = [one for one, answer in zip(some, answers, strict=True) if is_hopeless(answer)]
        if hopeless:
            log.warning(
                "%d calls cannot be settled and stay as claimed: something else lies at their keys", len(hopeless)
            )
            desk.drop(hopeless)
        still = [refused for refused in refusals if not is_hopeless(refused)]
        return Missing(reason=f"the store refused: {still[0]}") if still else None

    def shares(self, step: Step, now: float) -> dict[str, float]:
        """How much of each budget of a step is used up, 0 to 1 and beyond, as far as this process knows."""
        desk, found = self.desk(), dict[str, float]()
        for counter in counters(self.local_keys, self.budgets, step, now):
            with desk.lock:
                if self.is_local:
                    spent = desk.book.spent(counter.key, now)
                    usd, tokens = spent.usd, spent.tokens
                else:
                    seen = desk.seen.get(counter.key) or Seen(counter=counter)
                    usd, tokens = (seen.spent[unit] + seen.used[unit] for unit in ("usd", "tokens"))
            found.update({budget.name: budget.share(usd, tokens) for budget in counter.budgets})
        return found

    def close(self, now: float) -> None:
        """Write what waits and give this worker's shares back."""
        self.write(now)
        if self.is_local:
            return  # what is spent is known here only, and a router that was closed may be used again
        desk = self.desks.pop(os.getpid(), None)
        if desk is None:
            return
        if desk.waiting:
            log.warning("%d calls could not be settled and stay charged as claimed", len(desk.waiting))
        if self.connection.degraded is not None:
            return
        held = [one.counter for one in desk.seen.values() if one.share_ends]
        if held:
            ask(self.connection, [*LOADING, *(share_command(one, desk.worker, None, (0, 0), now) for one in held)])


def settling(some: Sequence[Settlement], now: float) -> list[Command]:
    """What settles."""
    return [
        settle_command(one.order, one.how, one.usd, one.tokens, now, reserved_at=one.at, is_again=one.is_again)
        for one in some
    ]


def is_hopeless(answer: Any) -> bool:
    """Whether another attempt would be refused as well."""
    return isinstance(answer, Exception) and str(answer).startswith(HOPELESS)
