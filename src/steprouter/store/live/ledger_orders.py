"""What is to be set aside before a call, for each slot of keys, and how the answers read. All of it is pure.

Where what is spent is kept (ids as digests, see `Keys`):

    sr:{t:…}:budget-<per>-<period>[:<id>]  hash  usd (in billionths), tokens, and the share each worker holds
    sr:{d}:budget-all-<period>             hash  the same for all tenants
    sr:{t:…}:budget-claim:<call>           hash  what is set aside for a call; a day, once it is settled an hour
    sr:{d}:claim:<call>                    hash  the same in the deployment's slot
    sr:{d}:rate:<model>                    hash  when the deployment's buckets are full again
    sr:{d}:calls:<model>                   zset  calls under way, by the end of their lease

What is spent of a period is one number, whatever budgets look at it: a limit that is changed forgets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from steprouter.answering.budgets import Budget, Per, Period, Unit, nano_usd, span
from steprouter.answering.claims import Claim, Refused
from steprouter.models.limits import Limits
from steprouter.step.step import Step

from ..keys import Keys
from ..memory.schema import DAY_SECONDS, Places

GRACE_SECONDS = 2 * DAY_SECONDS
"""How long what was spent is kept after its period, for calls that end late and for a look back."""

KEPT_SECONDS: Mapping[Per, int] = {
    "step": DAY_SECONDS,
    "thread": 90 * DAY_SECONDS,
    "user": 400 * DAY_SECONDS,
    "tenant": 400 * DAY_SECONDS,
    "all": 400 * DAY_SECONDS,
}
"""How long what was spent in no period is kept after the last spending: a thread as long as its outcomes are
remembered, the others for a year and a month."""

NO_LIMITS = Limits()

BUSY_SECONDS = 1.0
"""When to ask again where too many calls are under way: nobody knows when one ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What is spent on one of those a budget is for, in one period.

    Attributes:
        key: Where it is kept.
        keep_seconds: For how long.
        ends_at: When the period ends, Unix time in seconds; None is never.
        usd: The budget that limits the money; None if none does.
        tokens: The budget that limits the tokens; None if none does.
    """

    key: str
    keep_seconds: int
    ends_at: float | None = None
    usd: Budget | None = None
    tokens: Budget | None = None

    def budget(self, unit: Unit) -> Budget | None:
        """The budget that limits a unit."""
        return self.usd if unit == "usd" else self.tokens

    def limit(self, unit: Unit) -> int | None:
        """The limit of a unit; None where there is none."""
        budget = self.budget(unit)
        return None if budget is None else budget.limit(unit)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that look at it."""
        found = [budget for budget in (self.usd, self.tokens) if budget is not None]
        return tuple(found[:1] if len(set(map(id, found))) == 1 else found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one slot is to set aside for a call, all of it or nothing.

    Attributes:
        record: Where it is noted; the same record sets nothing aside twice.
        model: The model about to be called.
        ignores_budgets: Whether no budget holds it up.
        usd: Money in billionths of a USD.
        tokens: Tokens.
        counters: What it is spent on.
        limits: The deployment's limits.
        rate: Where its buckets are.
        calls: Where its calls under way are.
    """

    record: str
    model: str
    usd: int
    tokens: int
    ignores_budgets: bool = False
    counters: tuple[Counter, ...] = ()
    limits: Limits = NO_LIMITS
    rate: str = ""
    calls: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, as the scripts take them; the record stands for what there is none of."""
        limits = (self.rate or self.record, self.calls or self.record)
        return self.record, *limits, *(counter.key for counter in self.counters)

    def limit(self, counter: Counter, unit: Unit) -> int | None:
        """The limit of a counter for this call; None where there is none, as for a budget's fallback."""
        budget = counter.budget(unit)
        is_free = self.ignores_budgets or (budget is not None and budget.fallback == self.model)
        return None if is_free else counter.limit(unit)

    @property
    def member(self) -> str:
        """What the call is called among those under way."""
        return self.record.rpartition(":")[2]


def counter_key(keys: Keys, budget: tuple[Per, Period | None], step: Step, now: float) -> str:
    """Where what is spent in the period of `now` is kept."""
    per, label = budget[0], f"{budget[0]}-{span(budget[1], now).label}"
    place, places = step.place, Places(keys=keys, tenant=step.place.tenant)
    if per == "all":
        return keys.deployment(f"budget-{label}")
    if per == "user":
        return places.budget(label, place.user or "")
    if per == "thread" and place.thread is not None:
        return places.budget(label, place.thread)
    if per == "tenant":
        return places.budget(label)
    # Names of steps are met once: they need not be remembered as the others are.
    return f"{places.budget(label)}:{keys.id_tag(place.tenant, step.id)}"


def counters(keys: Keys, budgets: Sequence[Budget], step: Step, now: float) -> list[Counter]:
    """What is spent by a step, one for each of those that the budgets are for and each period."""

    def kind(budget: Budget) -> tuple[Per, str]:
        return budget.per, budget.period or ""

    found = []
    for _, some in groupby(sorted(budgets, key=kind), kind):
        same = list(some)
        one, ends_at = same[0], span(same[0].period, now).ends_at
        keep = KEPT_SECONDS[one.per] if ends_at is None else int(ends_at - now) + GRACE_SECONDS
        limiting = {unit: next((b for b in same if unit in b.units), None) for unit in ("usd", "tokens")}
        key = counter_key(keys, (one.per, one.period), step, now)
        found.append(
            Counter(key=key, keep_seconds=keep, ends_at=ends_at, usd=limiting["usd"], tokens=limiting["tokens"])
        )
    return found


def orders(
    keys: Keys, budgets: Sequence[Budget], limits: Limits | None, step: Step, claim: Claim, now: float
) -> tuple[Order, ...]:
    """What each slot is to set aside: the tenant's first, then the deployment's; those that need nothing are left out.

    Args:
        keys: Names the keys.
        budgets: All budgets.
        limits: The model's.
        step: Which step calls.
        claim: What the call may use.
        now: Unix time in seconds.
    """
    tenant, call = step.place.tenant, keys.id_tag(step.place.tenant, claim.reservation)
    found, usd = counters(keys, budgets, step, now), nano_usd(claim.usd or 0.0)
    shared = tuple(one for one in found if one.key.startswith("sr:{d}"))
    own = tuple(one for one in found if one not in shared)
    made = []
    if own:
        record = f"{Places(keys=keys, tenant=tenant).budget('claim')}:{call}"
        made.append(
            Order(
                record=record,
                model=claim.model,
                usd=usd,
                tokens=claim.tokens,
                ignores_budgets=claim.ignores_budgets,
                counters=own,
            )
        )
    if shared or (limits is not None and limits.is_set):
        made.append(
            Order(
                record=f"{keys.deployment('claim')}:{call}",
                model=claim.model,
                usd=usd,
                tokens=claim.tokens,
                ignores_budgets=claim.ignores_budgets,
                counters=shared,
                limits=limits or NO_LIMITS,
                rate=keys.deployment("rate", claim.deployment or claim.model),
                calls=keys.deployment("calls", claim.deployment or claim.model),
            )
        )
    return tuple(made)


def unpriced(budgets: Sequence[Budget], claim: Claim) -> Refused | None:
    """Why a call of unknown price may not be made: it would count as nothing."""
    if claim.usd is not None or claim.ignores_budgets:
        return None
    limiting = (budget for budget in budgets if budget.usd is not None and budget.fallback != claim.model)
    budget = next(limiting, None)
    if budget is None:
        return None
    why = (
        f"the price of {claim.model!r} is unknown, and budget {budget.name!r} counts USD; "
        "give ModelCard(price=…), or make it the budget's fallback"
    )
    return Refused(by="budget", name=budget.name, why=why, fallback=budget.fallback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a script says of a counter: what is spent, and what this worker's share holds.

    Attributes:
        usd: In billionths of a USD.
        tokens: Tokens.
        own_usd: What is left of this worker's share, in billionths of a USD.
        own_tokens: The same in tokens.
        share: Which share that is: the Unix time in seconds at which it ends; 0 if there is none.
    """

    usd: int = 0
    tokens: int = 0
    own_usd: int = 0
    own_tokens: int = 0
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a slot answered.

    Attributes:
        said: `granted`; `budget`, `requests`, `tokens` or `calls` by what refused; `settled` if the call has ended
            already; `unreadable` if a newer version wrote what is there, or somebody else.
        spent: What is spent with it, for each counter, where it was granted.
        counter: Which counter refused.
        unit: Which of its units.
        number: What is spent of it already; or when the bucket has room.
    """

    said: Literal["granted", "budget", "requests", "tokens", "calls", "settled", "unreadable"]
    spent: tuple[Spent, ...] = ()
    counter: int = 0
    unit: Unit = "usd"
    number: float = 0.0


def read_reply(words: Sequence[bytes]) -> Reply:
    """The answer of the script that reserves."""
    said, *rest = (word.decode() for word in words)
    try:
        if said == "granted":
            return Reply(said="granted", spent=tuple(read_spent(rest[n : n + 5]) for n in range(0, len(rest), 5)))
        if said == "budget":
            unit: Unit = "usd" if rest[1] == "usd" else "tokens"
            return Reply(said="budget", counter=int(rest[0]), unit=unit, number=float(rest[2]))
        if said in ("requests", "tokens", "calls"):
            return Reply(said=said, number=float(rest[0]))  # type: ignore[arg-type] # one of three words
    except ValueError:
        return Reply(said="unreadable")
    return Reply(said="settled" if said == "settled" else "unreadable")


def read_spent(words: Sequence[str]) -> Spent:
    """What a script says of one counter."""
    usd, tokens, own_usd, own_tokens = map(int, words[:4])
    return Spent(usd=usd, tokens=tokens, own_usd=own_usd, own_tokens=own_tokens, share=float(words[4]))


def refusal_of(order: Order, reply: Reply, now: float) -> Refused:
    """What a slot's refusal means."""
    if reply.said == "budget":
        return over_budget(order, order.counters[reply.counter], reply.unit, int(reply.number))
    if reply.said == "settled":
        why = "this call was settled already; each call needs a reservation of its own"
        return Refused(by="limit", name=order.model, why=why)
    if reply.said == "calls":
        why = f"{order.limits.concurrency} calls of {order.model!r} are under way, as many as may be"
        return Refused(by="limit", name=order.model, why=why, until=now + BUSY_SECONDS)
    requests = reply.said == "requests"
    limit = order.limits.requests_per_minute if requests else order.limits.tokens_per_minute
    what = "requests" if requests else "tokens"
    if not requests and order.tokens > (limit or 0):
        why = f"the call may take {order.tokens} tokens, more than the {limit} a minute that {order.model!r} is given"
        return Refused(by="limit", name=order.model, why=why)
    why = f"{order.model!r} was given its {limit} {what} a minute"
    return Refused(by="limit", name=order.model, why=why, until=reply.number)


def over_budget(order: Order, counter: Counter, unit: Unit, spent: int) -> Refused:
    """The refusal of a budget."""
    budget = counter.budget(unit)
    assert budget is not None
    claimed, limit = (order.usd if unit == "usd" else order.tokens), budget.limit(unit) or 0
    why = (
        f"budget {budget.name!r}: {amount(spent, unit)} of {amount(limit, unit)} are spent or set aside, "
        f"and the call may take {amount(claimed, unit)}"
    )
    # What does not even fit an empty budget fits none of the next period either.
    until = counter.ends_at if claimed <= limit else None
    return Refused(by="budget", name=budget.name, why=why, until=until, fallback=budget.fallback)


def amount(number: int, unit: Unit) -> str:
    """An amount for people."""
    return f"{number} tokens" if unit == "tokens" else f"{number / 1e9:.6f} USD"


def near(counter: Counter, spent: Spent) -> list[str]:
    """Names of the counter's budgets that are past their thresholds."""
    return [budget.name for budget in counter.budgets if budget.share(spent.usd, spent.tokens) >= budget.cheaper_at]
