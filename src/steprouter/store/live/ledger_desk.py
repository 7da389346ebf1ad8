"""What one process knows of its calls and their money: what is set aside, what waits to be settled, its shares.

All of it is in memory, safe between threads, and quick; `ledger` takes it to the store.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from steprouter.answering.budgets import nano_usd
from steprouter.answering.claims import Claim, Grant, Granted, Refused

from .ledger_local import UNITS, How, LocalBook
from .ledger_orders import Counter, Order, Reply, amount, near, read_reply, refusal_of
from .ledger_scripts import LEASE_SECONDS, OPEN_SECONDS
from .ledger_shares import Seen

SEEN = 4096
"""Counters of which this process remembers what it last knew; some hundred bytes each."""

BATCH = 256
"""Settlements in one round trip: a few milliseconds of the server's time."""

LONGEST_CALL_SECONDS = 3600.0
"""How long a call is taken to be under way that nobody settles: a flow that was dropped must not hold its place."""


@dataclass(slots=True)
class Held:
    """What is set aside for a call.

    Attributes:
        orders: What was asked of each slot.
        at: When, Unix time in seconds.
        renewed_at: When it was last said that the call is under way.
        is_away: Whether it was granted while the store was away, which may know nothing of it.
    """

    orders: tuple[Order, ...]
    at: float
    renewed_at: float
    is_away: bool = False


@dataclass(slots=True)
class Settlement:
    """What the store has yet to be told of a call.

    Attributes:
        reservation: The call.
        order: What one slot was asked.
        how: What became of it.
        usd: What it cost, in billionths of a USD; None leaves what was claimed.
        tokens: The tokens it took; None leaves what was claimed.
        at: When it was set aside, Unix time in seconds.
        is_again: Whether it was sent and nobody knows whether it came.
    """

    reservation: str
    order: Order
    how: How
    usd: int | None
    tokens: int | None
    at: float
    is_again: bool = False


class Desk:
    """The money of one process."""

    def __init__(self) -> None:
        self.worker = secrets.token_hex(8)
        self.lock = Lock()
        self.writing = Lock()
        self.book = LocalBook()
        self.held: dict[str, Held] = {}
        self.waiting: list[Settlement] = []
        self.seen: OrderedDict[str, Seen] = OrderedDict()

    def used(self, key: str) -> tuple[int, int]:
        """What is used of this worker's share of a counter; for the scripts."""
        seen = self.seen.get(key)
        return (0, 0) if seen is None else (seen.used["usd"], seen.used["tokens"])

    def known(self, reservation: str) -> Grant | None:
        """What a call was told that asks again; None if it is to be asked anew.

        A release that waits because the reply was lost is withdrawn: the same name is granted what it was granted.
        """
        with self.lock:
            if reservation in self.held:
                return Granted()
            mine = [one for one in self.waiting if one.reservation == reservation]
            if any(one.is_again or one.how != "release" for one in mine):
                why = "this call was settled already; each call needs a reservation of its own"
                return Refused(by="limit", name=mine[0].order.model, why=why)
            self.waiting = [one for one in self.waiting if one.reservation != reservation]
            return None

    def reserve(self, claim: Claim, orders: Sequence[Order], now: float) -> Grant:
        """Set aside in this process, which has no store."""
        with self.lock:
            granted = list[Reply]()
            for position, order in enumerate(orders):
                reply = self.book.reserve(order, now)
                if reply.said != "granted":
                    for done in orders[:position]:
                        self.book.settle(done, "release", 0, 0, now, reserved_at=now)
                    return refusal_of(order, reply, now)
                granted.append(reply)
            self.held[claim.reservation] = Held(orders=tuple(orders), at=now, renewed_at=now)
            return Granted(near=self.near(orders, granted))

    def answered(self, claim: Claim, orders: Sequence[Order], answers: Sequence[Any], now: float) -> Grant | None:
        """What the store's answers mean; None if it did not answer, so that nobody knows what is set aside."""
        replies = [read_reply(one) for one in answers if not isinstance(one, Exception)]
        with self.lock:
            if len(replies) < len(orders) or any(reply.said == "unreadable" for reply in replies):
                return None
            for order, reply in zip(orders, replies, strict=True):
                if reply.said == "granted":
                    self.look(order, reply, now)
            for order, reply in zip(orders, replies, strict=True):
                if reply.said != "granted":
                    granted = [o for o, r in zip(orders, replies, strict=True) if r.said == "granted"]
                    self.waiting += [released(claim.reservation, one, now) for one in granted]
                    return refusal_of(order, reply, now)
            self.held[claim.reservation] = Held(orders=tuple(orders), at=now, renewed_at=now)
            return Granted(near=self.near(orders, replies))

    def lose(self, reservation: str, orders: Iterable[Order], now: float) -> None:
        """Take note of a reservation that may have been made or not: it is given back as soon as it can be."""
        with self.lock:
            for order in orders:
                for counter in order.counters:
                    if (seen := self.seen.get(counter.key)) is not None:
                        seen.shrink(order.usd, order.tokens)
                self.waiting.append(released(reservation, order, now))

    def look(self, order: Order, reply: Reply, now: float) -> None:
        """Remember what is spent, and what is left of the shares."""
        for counter, spent in zip(order.counters, reply.spent, strict=True):
            seen = self.seen.get(counter.key)
            if seen is None:
                seen = self.seen[counter.key] = Seen(counter=counter)
            seen.look(counter, spent, now)
            self.seen.move_to_end(counter.key)
        while len(self.seen) > SEEN and not any(next(iter(self.seen.values())).used.values()):
            self.seen.popitem(last=False)

    def near(self, orders: Sequence[Order], replies: Sequence[Reply]) -> tuple[str, ...]:
        """Names of the budgets that are past their thresholds."""
        pairs = zip(orders, replies, strict=True)
        return tuple(
            name
            for order, reply in pairs
            for counter, spent in zip(order.counters, reply.spent, strict=True)
            for name in near(counter, spent)
        )

    def reserve_away(self, claim: Claim, orders: Sequence[Order], why: str, now: float) -> Grant:
        """Set aside while the store is away: from this worker's shares, and within the limits as it alone knows.

        The store may have set the same aside without our knowing; the settlement finds it there, or charges in full.
        """
        with self.lock:
            counted = [(order, counter) for order in orders for counter in order.counters]
            for order, counter in counted:
                if (refused := self.beyond(order, counter, why, now)) is not None:
                    return refused
            for order in orders:
                reply = self.book.reserve(replace(order, counters=()), now)
                if reply.said != "granted":
                    return refusal_of(order, reply, now)
            for order, counter in counted:
                self.use(counter, order.usd, order.tokens)
            self.held[claim.reservation] = Held(orders=tuple(orders), at=now, renewed_at=now, is_away=True)
            return Granted()

    def beyond(self, order: Order, counter: Counter, why: str, now: float) -> Refused | None:
        """Why a counter does not allow a call while the store is away."""
        seen = self.seen.get(counter.key) or Seen(counter=counter)
        for unit in UNITS:
            budget, limit = counter.budget(unit), order.limit(counter, unit)
            if budget is None or limit is None:
                continue
            wanted = order.usd if unit == "usd" else order.tokens
            room = seen.room(unit, limit, now)
            if wanted > room:
                has = f"{amount(max(0, room), unit)} of it are left to this worker"
                said = f"budget {budget.name!r}: {has} while the store is away, and the call may take "
                reason = f"{said}{amount(wanted, unit)} ({why})"
                return Refused(by="budget", name=budget.name, why=reason, fallback=budget.fallback)
        return None

    def settle(
        self, reservation: str, how: How, usd: float | None, tokens: int | None, now: float, *, is_local: bool
    ) -> bool:
        """Note what a call took; whether anything was set aside for it that is not settled yet."""
        with self.lock:
            held = self.held.pop(reservation, None)
            if held is None:
                return False
            spent = None if usd is None else nano_usd(usd)
            for order in held.orders:
                if is_local:
                    self.book.settle(order, how, spent, tokens, now, reserved_at=held.at)
                elif held.is_away:
                    self.settle_away(reservation, order, how, spent, tokens, now, held.at)
                else:
                    self.adjust(order, spent, tokens)
                    self.waiting.append(Settlement(reservation, order, how, spent, tokens, held.at))
            return True

    def settle_away(
        self, reservation: str, order: Order, how: How, usd: int | None, tokens: int | None, now: float, at: float
    ) -> None:
        """Note what a call took of which the store knows nothing; the share goes on covering it until it does."""
        self.book.settle(replace(order, counters=()), how, usd, tokens, now, reserved_at=at)
        usd, tokens = order.usd if usd is None else usd, order.tokens if tokens is None else tokens
        for counter in order.counters:
            self.use(counter, usd - order.usd, tokens - order.tokens)
        self.waiting.append(Settlement(reservation, order, "charge", usd, tokens, at))

    def adjust(self, order: Order, usd: int | None, tokens: int | None) -> None:
        """Know at once what a settled call took."""
        for counter in order.counters:
            if (seen := self.seen.get(counter.key)) is not None:
                more_usd = 0 if usd is None else usd - order.usd
                seen.spend(more_usd, 0 if tokens is None else tokens - order.tokens)

    def batch(self, reservation: str | None = None) -> list[Settlement]:
        """What waits the longest; or what waits of one call."""
        with self.lock:
            mine = (one for one in self.waiting if reservation is None or one.reservation == reservation)
            return [one for one, _ in zip(mine, range(BATCH), strict=False)]

    def sent(self, some: Sequence[Settlement]) -> None:
        """Take note that nobody will know whether these came, unless there is an answer."""
        with self.lock:
            for one in some:
                one.is_again = True

    def written(self, some: Sequence[Settlement], answers: Sequence[Any]) -> list[Exception]:
        """Take note of the store's answers; gives the refusals, which go on waiting."""
        refusals = list[Exception]()
        with self.lock:
            done = set[int]()
            for one, answer in zip(some, answers, strict=True):
                if isinstance(answer, Exception):
                    one.is_again = False  # a script that is refused has done nothing
                    refusals.append(answer)
                else:
                    done.add(id(one))
                    self.cover(one)
            self.waiting = [one for one in self.waiting if id(one) not in done]
        return refusals

    def drop(self, some: Sequence[Settlement]) -> None:
        """Give up what the store will never take."""
        with self.lock:
            gone = set(map(id, some))
            self.waiting = [one for one in self.waiting if id(one) not in gone]

    def cover(self, one: Settlement) -> None:
        """Free the part of the shares that a charge took, now that the store has it."""
        if one.how != "charge":
            return
        for counter in one.order.counters:
            self.use(counter, -(one.usd or 0), -(one.tokens or 0))

    def use(self, counter: Counter, usd: int, tokens: int) -> None:
        """Use a share, or free what was used of it."""
        self.seen.setdefault(counter.key, Seen(counter=counter)).use(usd, tokens)

    def due_leases(self, now: float) -> list[Order]:
        """Calls under way that are to be told so again, in a third of their leases; forgets what nobody settled."""
        with self.lock:
            self.held = {name: held for name, held in self.held.items() if now - held.at < OPEN_SECONDS}
            calls = (held for held in self.held.values() if now - held.at < LONGEST_CALL_SECONDS)
            due = [held for held in calls if now - held.renewed_at > LEASE_SECONDS / 3]
            for held in due:
                held.renewed_at = now
            return [order for held in due for order in held.orders if order.limits.concurrency is not None]

    def due_shares(self, now: float) -> list[Seen]:
        """Counters whose share is to be renewed; those whose time is over are forgotten."""
        with self.lock:
            for key in [key for key, seen in self.seen.items() if seen.is_over(now)]:
                del self.seen[key]
            return [seen for seen in self.seen.values() if seen.is_due(now)]


def released(reservation: str, order: Order, now: float) -> Settlement:
    """What gives back what was set aside."""
    return Settlement(reservation, order, "release", 0, 0, now)
