"""The scripts on the server and the rules in Python give the same answers, whatever comes in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_desks import KEYS, NOW, fresh, step

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Claim
from steprouter.models.limits import Limits
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.ledger_local import LocalBook
from steprouter.store.live.ledger_orders import Order, orders, read_reply
from steprouter.store.live.ledger_scripts import LOADING, reserve_command, settle_command
from steprouter.store.memory.patient import answers

BUDGETS = (
    Budget(usd=0.01, period="hour"),
    Budget(tokens=5000, period="hour", fallback="small"),
    Budget(usd=0.02, per="user"),
    Budget(tokens=9000, per="thread"),
    Budget(usd=0.001, tokens=3000, per="step"),
)
LIMITS = Limits(requests_per_minute=7, tokens_per_minute=6000, concurrency=3)


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url)
    answers(connection, *LOADING)
    yield connection
    connection.close()


calls = st.tuples(
    st.just("reserve"),
    st.integers(0, 9),
    st.integers(0, 2500),
    st.integers(0, 2_000_000),
    st.sampled_from(["small", "large"]),
)
ends = st.tuples(
    st.sampled_from(["settle", "release", "charge"]),
    st.integers(0, 9),
    st.none() | st.integers(0, 4000),
    st.none() | st.integers(0, 3_000_000),
)
passing = st.tuples(st.just("pass"), st.floats(0, 50))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(calls, calls, ends, passing), max_size=30))
def test_the_server_reserves_and_settles_as_the_rules_say(connection: Connection, moves: list[tuple[Any, ...]]) -> None:
    book, whose, now = LocalBook(), step(fresh(), user="u", thread="t"), NOW
    model, made = fresh("model"), dict[int, tuple[tuple[Order, ...], float]]()
    for move in moves:
        if move[0] == "pass":
            now += move[1]
        elif move[0] == "reserve":
            _, number, tokens, nano, name = move
            if number not in made:
                claim = Claim(reservation=f"{whose.place.tenant}/{number}", model=name, tokens=tokens, usd=nano / 1e9)
                asked = orders(KEYS, BUDGETS, None, whose, claim, now)
                made[number] = asked + limits_of(f"{model} {name}", claim, now), now
            for order in made[number][0]:
                for _ in range(2):  # the second time nothing is set aside
                    given = answers(connection, reserve_command(order, "worker", lambda key: (0, 0), now))
                    assert isinstance(given, list)
                    assert read_reply(given[0]) == book.reserve(order, now)
        elif move[1] in made:
            how, number, tokens, nano = move
            usual = (0, 0) if how == "release" else (tokens, nano)
            for order in made[number][0]:
                words = (order, how, usual[1], usual[0], now)
                given = answers(connection, settle_command(*words, reserved_at=made[number][1], is_again=False))
                assert given == [int(book.settle(*words, reserved_at=made[number][1]))]


def limits_of(model: str, claim: Claim, now: float) -> tuple[Order, ...]:
    """The deployment's order; a tenant of its own stands for the deployment."""
    alone = Claim(reservation=claim.reservation, model=model, tokens=claim.tokens, usd=claim.usd)
    return orders(KEYS, (), LIMITS, step("any"), alone, now)


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    book, limits = LocalBook(), Limits(requests_per_minute=6)

    def reserve(now: float) -> Any:
        claim = Claim(reservation=fresh("call"), model="m")
        return book.reserve(orders(KEYS, (), limits, step("t"), claim, now)[0], now)

    assert [reserve(NOW).said for _ in range(7)] == ["granted"] * 6 + ["requests"]
    assert reserve(NOW).number == pytest.approx(NOW + 10.0)
    assert [reserve(NOW + 10.0).said for _ in range(2)] == ["granted", "requests"]
    assert [reserve(NOW + 300.0).said for _ in range(7)] == ["granted"] * 6 + ["requests"]
