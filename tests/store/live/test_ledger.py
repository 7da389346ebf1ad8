"""What a ledger grants, refuses and settles, in Redis and in a process's own memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_desks import NOW, claim, fresh, ledger, spent, step

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Granted, Refused
from steprouter.models.limits import Limits
from steprouter.step.step import Step
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.ledger_scripts import LEASE_SECONDS
from steprouter.store.memory.patient import ask
from steprouter.store.memory.schema import Places
from steprouter.store.memory.sections import BudgetSection, Query, plan, read

DAY = Budget(usd=1.0, period="day", name="daily")
DAY_END = 1_800_057_600.0
HOSTILE = ["*", "a:b}{d}", "\ud800", "x" * 10_000, "' .. redis.call('FLUSHALL') .. '", "\0\r\nFLUSHALL\r\n"]


@pytest.fixture(params=["redis", "memory"])
def connection(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Connection]:
    """Each store; every test has tenants and models of its own."""
    connection = connect(server.url if request.param == "redis" else "memory", deadline_seconds=5.0)
    yield connection
    connection.close()


@pytest.fixture
def redis(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    yield connection
    connection.close()


def test_what_is_set_aside_counts_as_spent_until_it_is_settled(connection: Connection) -> None:
    book, whose, first = ledger(connection, DAY), step(fresh()), claim(usd=0.6)
    assert book.reserve(whose, first, NOW) == Granted()
    refused = book.reserve(whose, claim(usd=0.5), NOW)
    why = "budget 'daily': 0.600000 USD of 1.000000 USD are spent or set aside, and the call may take 0.500000 USD"
    assert refused == Refused(by="budget", name="daily", why=why, until=DAY_END)
    assert book.settle(first.reservation, tokens=10, usd=0.5, now=NOW)
    assert book.write(NOW) is None
    assert book.reserve(whose, claim(usd=0.5), NOW) == Granted(near=("daily",))


def test_the_same_claim_and_the_same_settlement_count_once(connection: Connection) -> None:
    book, whose, one = ledger(connection, DAY), step(fresh()), claim(usd=0.6)
    assert [book.reserve(whose, one, NOW) for _ in range(3)] == [Granted()] * 3
    settled = [book.settle(one.reservation, tokens=1, usd=0.7, now=NOW) for _ in range(3)]
    assert settled == [True, False, False]
    book.write(NOW)
    assert book.shares(whose, NOW) == pytest.approx({"daily": 0.7})


def test_a_call_under_a_settled_name_is_refused_because_nobody_would_pay_it(connection: Connection) -> None:
    book, whose, one = ledger(connection, DAY), step(fresh()), claim(usd=0.1)
    book.reserve(whose, one, NOW)
    book.settle(one.reservation, tokens=1, usd=0.1, now=NOW)
    for _ in range(2):
        refused = book.reserve(whose, one, NOW)
        assert isinstance(refused, Refused)
        assert refused.why == "this call was settled already; each call needs a reservation of its own"
        book.write(NOW)


def test_a_call_that_was_not_made_gives_everything_back(connection: Connection) -> None:
    model = fresh("model")
    limits = {model: Limits(requests_per_minute=1, tokens_per_minute=10, concurrency=1)}
    book, whose = ledger(connection, DAY, limits=limits), step(fresh())
    for _ in range(3):
        one = claim(10, 1.0, model=model)
        assert book.reserve(whose, one, NOW) == Granted(near=("daily",))
        assert book.release(one.reservation, NOW)
        book.write(NOW)


def test_the_past_threshold_names_its_budget_and_the_fallback_answers_beyond_the_limit(connection: Connection) -> None:
    budget = Budget(tokens=100, per="user", name="mine", cheaper_at=0.5, fallback="tiny")
    book, whose = ledger(connection, budget), step(fresh(), user="u")
    assert book.reserve(whose, claim(49), NOW) == Granted()
    assert book.reserve(whose, claim(1), NOW) == Granted(near=("mine",))
    refused = book.reserve(whose, claim(60), NOW)
    assert isinstance(refused, Refused)
    assert (refused.fallback, refused.until) == ("tiny", None)
    assert book.reserve(whose, claim(60, None, model="tiny"), NOW) == Granted(near=("mine",))
    assert book.shares(whose, NOW) == {"mine": pytest.approx(1.1)}


def test_an_unknown_price_is_refused_under_a_budget_in_usd(connection: Connection) -> None:
    refused = ledger(connection, DAY).reserve(step(fresh()), claim(5, None, model="odd"), NOW)
    assert isinstance(refused, Refused)
    assert "the price of 'odd' is unknown, and budget 'daily' counts USD; give ModelCard(price=…)" in refused.why
    assert ledger(connection, Budget(tokens=9)).reserve(step(fresh()), claim(5, None), NOW) == Granted()


def test_a_claim_beyond_the_whole_budget_is_told_no_time_to_wait_for(connection: Connection) -> None:
    refused = ledger(connection, DAY).reserve(step(fresh()), claim(usd=1.5), NOW)
    assert isinstance(refused, Refused)
    assert refused.until is None


SCOPES: list[tuple[Budget, Step, Step, bool]] = [
    (Budget(tokens=1, per="tenant"), step("t", user="a"), step("t", user="b"), True),
    (Budget(tokens=1, per="tenant"), step("t"), step("other"), False),
    (Budget(tokens=1, per="user"), step("t", user="a", thread="1"), step("t", user="a", thread="2"), True),
    (Budget(tokens=1, per="user"), step("t", user="a"), step("other", user="a"), False),
    (Budget(tokens=1, per="user"), step("t"), step("t"), True),
    (Budget(tokens=1, per="thread"), step("t", thread="1", id="x"), step("t", thread="1", id="y"), True),
    (Budget(tokens=1, per="thread"), step("t", id="x"), step("t", id="y"), False),
    (Budget(tokens=1, per="step"), step("t", id="x"), step("t", id="x"), True),
    (Budget(tokens=1, per="step"), step("t", id="x"), step("t", id="y"), False),
]


@pytest.mark.parametrize(("budget", "one", "other", "share"), SCOPES)
def test_a_budget_is_shared_by_those_it_is_for(budget: Budget, one: Step, other: Step, share: bool) -> None:
    book = ledger(connect("memory"), budget)
    assert book.reserve(one, claim(1), NOW) == Granted(near=(budget.name,))
    assert isinstance(book.reserve(other, claim(1), NOW), Refused) == share


def test_a_budget_for_all_is_shared_by_all_tenants(redis: Connection) -> None:
    budget, when = Budget(tokens=100, per="all", period="hour"), NOW + 7 * 86_400
    assert isinstance(ledger(redis, budget).reserve(step(fresh()), claim(60), when), Granted)
    assert isinstance(ledger(redis, budget).reserve(step(fresh()), claim(60), when), Refused)


def test_what_one_slot_grants_is_given_back_when_the_other_refuses(redis: Connection) -> None:
    model = fresh("model")
    book, whose = ledger(redis, DAY, limits={model: Limits(concurrency=1)}), step(fresh())
    assert book.reserve(whose, claim(5, 0.1, model=model), NOW) == Granted()
    refused = book.reserve(whose, claim(5, 0.1, model=model), NOW)
    assert isinstance(refused, Refused)
    assert (refused.by, refused.name, refused.until) == ("limit", model, NOW + 1.0)
    assert spent(redis, DAY, whose) == (100_000_000, 5)


async def test_the_async_way_gives_the_same_grants_and_gives_back_as_well(redis: Connection) -> None:
    model = fresh("model")
    book, whose = ledger(redis, DAY, limits={model: Limits(concurrency=1)}), step(fresh())
    assert await book.areserve(whose, claim(5, 0.1, model=model), NOW) == Granted()
    assert isinstance(await book.areserve(whose, claim(5, 0.1, model=model), NOW), Refused)
    assert isinstance(await book.areserve(whose, claim(5, 2.0), NOW), Refused)
    assert spent(redis, DAY, whose) == (100_000_000, 5)
    await redis.aclose()


def test_a_call_that_ends_after_its_period_is_settled_in_it(connection: Connection) -> None:
    book, whose, late = ledger(connection, DAY), step(fresh()), claim(usd=0.9)
    assert book.reserve(whose, late, DAY_END - 1.0) == Granted(near=("daily",))
    assert book.reserve(whose, claim(usd=0.5), DAY_END + 1.0) == Granted()
    book.settle(late.reservation, tokens=0, usd=0.2, now=DAY_END + 60.0)
    book.write(DAY_END + 60.0)
    assert book.shares(whose, DAY_END + 60.0) == {"daily": pytest.approx(0.5)}
    if book.is_local:
        assert book.shares(whose, DAY_END - 1.0) == {"daily": pytest.approx(0.2)}
    else:
        assert spent(connection, DAY, whose, DAY_END - 1.0) == (200_000_000, 0)


def test_a_changed_limit_forgets_nothing_of_what_was_spent(redis: Connection) -> None:
    whose = step(fresh())
    ledger(redis, DAY).reserve(whose, claim(usd=0.9), NOW)
    higher = Budget(usd=1.2, period="day", name="raised")
    assert isinstance(ledger(redis, higher).reserve(whose, claim(usd=0.4), NOW), Refused)
    assert ledger(redis, higher).reserve(whose, claim(usd=0.3), NOW) == Granted(near=("raised",))


def test_tokens_a_minute_are_put_right_when_the_call_has_ended(connection: Connection) -> None:
    model = fresh("model")
    book, whose, one = (
        ledger(connection, limits={model: Limits(tokens_per_minute=600)}),
        step("t"),
        claim(600, model=model),
    )
    assert book.reserve(whose, one, NOW) == Granted()
    refused = book.reserve(whose, claim(100, model=model), NOW)
    assert isinstance(refused, Refused)
    assert refused.until == pytest.approx(NOW + 10.0)
    book.settle(one.reservation, tokens=1200, usd=None, now=NOW)
    book.write(NOW)
    refused = book.reserve(whose, claim(100, model=model), NOW)
    assert isinstance(refused, Refused)
    assert refused.until == pytest.approx(NOW + 70.0)
    assert book.reserve(whose, claim(100, model=model), NOW + 70.0) == Granted()


def test_a_claim_of_more_than_a_minute_of_tokens_is_never_let_through(connection: Connection) -> None:
    model = fresh("model")
    book = ledger(connection, limits={model: Limits(tokens_per_minute=600)})
    refused = book.reserve(step("t"), claim(601, model=model), NOW)
    assert isinstance(refused, Refused)
    assert refused.until is None
    assert "the call may take 601 tokens, more than the 600 a minute" in refused.why


def test_calls_at_once_are_limited_and_a_lease_that_nobody_renews_ends(connection: Connection) -> None:
    model = fresh("model")
    book, whose, one = ledger(connection, limits={model: Limits(concurrency=1)}), step("t"), claim(model=model)
    assert book.reserve(whose, one, NOW) == Granted()
    half = NOW + LEASE_SECONDS / 2
    book.write(half)
    later = half + LEASE_SECONDS - 1.0
    assert isinstance(book.reserve(whose, claim(model=model), later), Refused)
    assert book.reserve(whose, claim(model=model), later + 2.0) == Granted()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_are_only_ever_digests(redis: Connection, name: str) -> None:
    budgets = [Budget(tokens=5, per=per) for per in ("step", "thread", "user", "tenant")]
    whose = step(fresh() + name, id=name, user=name, thread=name)
    book = ledger(redis, *budgets, limits={name: Limits(concurrency=9)})
    one = claim(3, model=name, name=f"{fresh()}{name}")
    assert isinstance(book.reserve(whose, one, NOW), Granted)
    assert isinstance(book.reserve(whose, claim(3), NOW), Refused)
    book.settle(one.reservation, tokens=1, usd=None, now=NOW)
    assert book.write(NOW) is None
    assert [spent(redis, budget, whose) for budget in budgets] == [(0, 1)] * 4


def test_every_key_ends_by_itself(redis: Connection) -> None:
    name = fresh()
    book = ledger(
        redis, DAY, Budget(tokens=10**6, per="user"), limits={name: Limits(concurrency=9, tokens_per_minute=9)}
    )
    for n in range(2):
        one = claim(n, 0.1, model=name)
        book.reserve(step(name), one, NOW)
    book.settle(one.reservation, tokens=9, usd=0.2, now=NOW)
    book.write(NOW)
    ttls = redis.call(
        lambda client: [
            client.ttl(key) for key in client.scan_iter("sr:*") if b"claim" in key or b"budget" in key or b"{d}" in key
        ]
    )
    assert isinstance(ttls, list)
    assert len(ttls) > 6
    assert min(ttls) > 0


def test_a_recall_brings_how_much_of_each_budget_is_used_up(redis: Connection) -> None:
    budgets = (DAY, Budget(tokens=100, per="thread", name="talk"))
    book, whose = ledger(redis, *budgets), step(fresh(), thread="t", at=NOW)
    query = Query(places=Places(keys=book.local_keys, tenant=whose.place.tenant), step=whose)
    trip = plan(query, [BudgetSection(budgets)])

    def recalled() -> object:
        replies = ask(redis, trip.commands)
        assert isinstance(replies, list)
        return read(trip, replies, None)["budget"]

    assert recalled() == {"daily": 0.0, "talk": 0.0}
    book.reserve(whose, claim(25, 0.5), NOW)
    assert recalled() == book.shares(whose, NOW) == {"daily": 0.5, "talk": 0.25}
