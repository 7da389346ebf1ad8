"""Processes that spend one budget together, and one that dies."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_desks import spent, step

from steprouter.answering.budgets import Budget
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer

LIMIT = 120_000
"""In millionths of a USD: some 1 500 calls."""

Carry = Callable[[str, str], list[Any]]


@pytest.fixture(scope="module")
def carry_out(server: EmbeddedServer) -> Iterator[Carry]:
    """Lets processes spend a tenant's budget in one way, and gives what each did."""
    program = str(Path(__file__).with_name("ledger_worker.py"))
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        asking, telling = worker.stdin, worker.stdout
        assert asking is not None
        assert telling is not None

        def carry_out(how: str, tenant: str) -> list[Any]:
            asking.write(f"{how} {server.url} {tenant} {LIMIT}\n")
            asking.flush()
            told: list[Any] = json.loads(telling.readline())
            return told

        yield carry_out
        asking.close()


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    yield connection
    connection.close()


def test_32_workers_in_4_processes_with_limited_answers_never_spend_more_than_the_budget(
    carry_out: Carry, connection: Connection
) -> None:
    tenant = secrets.token_hex(4)
    told = carry_out("limited", tenant)
    assert all(told)  # each process got its part
    total = sum(call["actual"] for calls in told for call in calls)
    assert 0.9 * LIMIT < total <= LIMIT
    assert spent(connection, Budget(usd=1.0), step(tenant)) == (total * 1000, total)


def test_32_workers_overspend_at_most_by_what_calls_in_flight_cost_beyond_their_claims(
    carry_out: Carry, connection: Connection
) -> None:
    tenant = secrets.token_hex(4)
    calls = [call for calls in carry_out("overruns", tenant) for call in calls]
    total, last = sum(call["actual"] for call in calls), max(call["asked_at"] for call in calls)
    in_flight = [call for call in calls if call["settled_at"] >= last]
    assert len(in_flight) <= 32
    beyond = sum(max(0, call["actual"] - call["reserved"]) for call in in_flight)
    assert 0.9 * LIMIT < total <= LIMIT + beyond
    assert spent(connection, Budget(usd=1.0), step(tenant)) == (total * 1000, total)


def test_a_process_that_dies_before_it_settles_stays_charged_with_what_it_claimed(
    carry_out: Carry, connection: Connection
) -> None:
    tenant = secrets.token_hex(4)
    assert carry_out("die", tenant) == [-9]
    assert spent(connection, Budget(usd=1.0), step(tenant)) == (2 * 3_000 + 3 * 10_000, 2 * 3 + 3 * 10)
