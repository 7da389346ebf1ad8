"""Lost replies charge nothing twice, and a store that is away allows what is safe, or what the user said."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from ledger_desks import NOW, claim, fresh, ledger, spent, step

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Granted, Refused
from steprouter.models.limits import Limits
from steprouter.store import Connection, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.embedded.find import find
from steprouter.store.live.ledger_shares import SHARE_SECONDS

WIDE = Budget(usd=1000.0, tokens=10**9)


class Losing:
    """A connection that loses a share of the replies, or a part of them, after the server has done its work."""

    def __init__(self, connection: Connection, share: float) -> None:
        self.inner = connection
        self.share = share
        self.chance = random.Random(7)
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def call(self, use: Any, *, deadline_seconds: float | None = None) -> Any:
        done = self.inner.call(use, deadline_seconds=5.0)
        if self.chance.random() >= self.share:
            return done
        self.lost += 1
        replies = use.keywords["replies"] if isinstance(use, partial) else use.__self__.replies
        del replies[self.chance.randrange(len(replies)) :]
        return Missing(reason="store degraded: the reply was lost")


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    yield connection
    connection.close()


def losing(connection: Connection, share: float) -> Connection:
    return cast("Connection", Losing(connection, share))


def test_10_000_settlements_with_lost_replies_charge_exactly_once(connection: Connection) -> None:
    book, whose, chance, total = ledger(connection, WIDE), step(fresh()), random.Random(3), 0
    claims = [claim(100, 100e-6) for _ in range(10_000)]
    for one in claims:
        assert isinstance(book.reserve(whose, one, NOW), Granted)
    lossy = book.connection = losing(connection, 0.2)
    for one in claims:
        actual = chance.randint(0, 200)
        total += actual
        for _ in range(2):  # told twice, too
            book.settle(one.reservation, tokens=actual, usd=actual * 1e-6, now=NOW)
        if chance.random() < 0.15:
            book.write(NOW)
    while book.is_busy:
        book.write(NOW)
    assert cast("Losing", lossy).lost > 200
    assert spent(connection, WIDE, whose) == (total * 1000, total)


def test_a_claim_whose_reply_was_lost_is_granted_the_same_when_it_is_asked_again(connection: Connection) -> None:
    whose = step(fresh())
    book = ledger(losing(connection, 0.5), WIDE)
    for n in range(100):
        one = claim(10, 10e-6)
        while not isinstance(book.reserve(whose, one, NOW), Granted):
            pass
        assert spent(connection, WIDE, whose) == ((n + 1) * 10_000, (n + 1) * 10)


def test_a_claim_whose_reply_was_lost_and_that_nobody_asks_again_is_given_back(connection: Connection) -> None:
    whose = step(fresh())
    book = ledger(losing(connection, 1.0), WIDE)
    refused = book.reserve(whose, claim(10, 10e-6), NOW)
    assert isinstance(refused, Refused)
    assert "while the store is away" in refused.why
    assert spent(connection, WIDE, whose) == (10_000, 10)
    book.connection = connection
    assert book.write(NOW) is None
    assert spent(connection, WIDE, whose) == (0, 0)


def test_a_settlement_whose_claim_the_store_has_forgotten_is_charged_in_full(connection: Connection) -> None:
    book, whose, one = ledger(connection, WIDE), step(fresh()), claim(10, 10e-6)
    book.reserve(whose, one, NOW)
    (order,) = book.desk().held[one.reservation].orders
    connection.call(lambda client: client.delete(*order.keys))
    book.settle(one.reservation, tokens=7, usd=7e-6, now=NOW)
    book.write(NOW)
    assert spent(connection, WIDE, whose) == (7_000, 7)


async def test_a_step_that_is_cancelled_while_it_reserves_gives_back_what_it_may_have_got(
    connection: Connection,
) -> None:
    class Hanging(Losing):
        async def acall(self, use: Any, *, deadline_seconds: float | None = None) -> Any:
            await self.inner.acall(use, deadline_seconds=5.0)
            reached.set()
            await asyncio.Event().wait()

    reached, whose = asyncio.Event(), step(fresh())
    ledger(connection, WIDE).reserve(whose, claim(), NOW)  # the server knows the scripts
    book = ledger(cast("Connection", Hanging(connection, 0.0)), WIDE)
    waiting = asyncio.create_task(book.areserve(whose, claim(10, 10e-6), NOW))
    await reached.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert spent(connection, WIDE, whose) == (10_000, 10)
    assert book.write(NOW) is None
    assert spent(connection, WIDE, whose) == (0, 0)
    await connection.aclose()


def test_what_a_newer_version_wrote_is_not_touched(connection: Connection) -> None:
    book, whose = ledger(connection, WIDE), step(fresh())
    book.reserve(whose, claim(10, 10e-6), NOW)
    key = next(iter(book.desk().seen))
    connection.call(lambda client: client.hset(key, "v", 99))
    assert isinstance(book.reserve(whose, claim(10, 10e-6), NOW), Refused)
    book.write(NOW)
    assert spent(connection, WIDE, whose) == (10_000, 10)


class Stoppable:
    """A server that a test ends and starts again on its data."""

    def __init__(self, folder: Path) -> None:
        found = find()
        assert found is not None
        self.program, self.folder = found.program, folder
        self.url = f"unix://{folder}/s"
        self.start()

    def start(self) -> None:
        words = [self.program, "--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)]
        self.process = subprocess.Popen([*words, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def stoppable(tmp_path: Path) -> Iterator[Stoppable]:
    server = Stoppable(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def away(stoppable: Stoppable, eventually: Callable[..., None]) -> Iterator[Connection]:
    connection = connect(stoppable.url, deadline_seconds=5.0)
    connection.open()
    eventually(lambda: connection.degraded is None)
    yield connection
    connection.close()


def test_without_the_store_only_the_share_may_be_spent_and_is_charged_when_it_is_back(
    stoppable: Stoppable, away: Connection, eventually: Callable[..., None]
) -> None:
    budget = Budget(tokens=10_000, name="hard")
    book, whose, before, held = ledger(away, budget), step(fresh()), claim(10), claim(60)
    assert book.reserve(whose, before, NOW) == Granted()
    assert book.write(NOW) is None  # takes a share: a hundredth
    stoppable.stop()
    assert book.reserve(whose, held, NOW) == Granted()
    refused = book.reserve(whose, claim(60), NOW)
    assert isinstance(refused, Refused)
    left = "budget 'hard': 40 tokens of it are left to this worker while the store is away"
    assert refused.why.startswith(f"{left}, and the call may take 60 tokens")
    unmade = claim(40)
    assert book.reserve(whose, unmade, NOW) == Granted()
    book.release(unmade.reservation, NOW)
    book.settle(held.reservation, tokens=50, usd=None, now=NOW)
    book.settle(before.reservation, tokens=7, usd=None, now=NOW)
    assert isinstance(book.write(NOW), Missing)
    stoppable.start()
    eventually(lambda: away.degraded is None)
    eventually(lambda: book.write(NOW) is None)
    assert spent(away, budget, whose) == (0, 57)


def test_a_share_that_was_not_renewed_for_long_may_not_be_spent(stoppable: Stoppable, away: Connection) -> None:
    book, whose = ledger(away, Budget(tokens=10_000)), step(fresh())
    book.reserve(whose, claim(1), NOW)
    book.write(NOW)
    stoppable.stop()
    assert isinstance(book.reserve(whose, claim(1), NOW + SHARE_SECONDS + 1.0), Refused)


def test_a_budget_that_continues_goes_by_what_this_worker_knows(stoppable: Stoppable, away: Connection) -> None:
    budget = Budget(tokens=100, on_store_loss="continue")
    book, whose = ledger(away, budget), step(fresh())
    assert book.reserve(whose, claim(40), NOW) == Granted()
    stoppable.stop()
    assert book.reserve(whose, claim(60), NOW) == Granted()
    assert isinstance(book.reserve(whose, claim(1), NOW), Refused)


def test_limits_hold_for_this_worker_while_the_store_is_away(stoppable: Stoppable, away: Connection) -> None:
    book, whose = ledger(away, limits={"small": Limits(concurrency=1)}), step(fresh())
    stoppable.stop()
    one = claim()
    assert book.reserve(whose, one, NOW) == Granted()
    assert isinstance(book.reserve(whose, claim(), NOW), Refused)
    book.settle(one.reservation, tokens=0, usd=0.0, now=NOW)
    assert book.reserve(whose, claim(), NOW) == Granted()


def test_shares_of_others_are_held_back_and_the_own_one_is_not(connection: Connection) -> None:
    budget, whose = Budget(tokens=1000), step(fresh())
    mine, other = ledger(connection, budget), ledger(connection, budget)
    for book in (mine, other):
        book.reserve(whose, claim(1), NOW)
        book.write(NOW)
    assert isinstance(mine.reserve(whose, claim(989), NOW), Refused)
    assert isinstance(mine.reserve(whose, claim(988), NOW), Granted)
    other.close(NOW)
    assert isinstance(mine.reserve(whose, claim(10), NOW), Granted)
    assert spent(connection, budget, whose) == (0, 1000)
