"""Processes of eight threads that spend a budget until it is refused, and one that dies before it settles.

Reads commands from its input, a line each (`how url tenant tokens`), and answers with a line of JSON. It forks for
each, because to import everything takes a process longer than to spend its part.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

from ledger_desks import NOW, claim, ledger, step

from steprouter.answering.budgets import Budget
from steprouter.answering.claims import Granted
from steprouter.store import connect
from steprouter.store.live.ledger import Ledger

PROCESSES, THREADS = 4, 8
PATIENT_SECONDS = 20.0

MOST_CALLS = 500
"""Of a thread; a budget that refuses nothing must not be spent for ever."""


def open_ledger(url: str, tokens: int) -> Ledger:
    return ledger(connect(url, deadline_seconds=PATIENT_SECONDS), Budget(usd=tokens * 1e-6))


def spend(book: Ledger, tenant: str, overruns: bool, seed: int, calls: list[dict[str, Any]]) -> None:
    """Makes calls of random cost until one is refused."""
    chance, whose = random.Random(seed), step(tenant)
    while len(calls) < MOST_CALLS:
        reserved = chance.randint(50, 150)
        actual = chance.randint(1, 300 if overruns and chance.random() < 0.3 else reserved)
        one = claim(reserved, reserved * 1e-6, name=f"{tenant}/{seed}/{len(calls)}")
        asked_at = time.monotonic()
        if not isinstance(book.reserve(whose, one, NOW), Granted):
            return
        call: dict[str, Any] = {"reserved": reserved, "actual": actual, "asked_at": asked_at}
        calls.append(call)
        time.sleep(chance.random() * 0.002)  # the call
        book.settle(one.reservation, tokens=actual, usd=actual * 1e-6, now=NOW)
        assert book.write(NOW) is None
        call["settled_at"] = time.monotonic()


def run(url: str, tenant: str, tokens: int, overruns: bool) -> list[dict[str, Any]]:
    """What the calls of all threads took."""
    book = open_ledger(url, tokens)
    mine: list[list[dict[str, Any]]] = [[] for _ in range(THREADS)]
    threads = [
        threading.Thread(target=spend, args=(book, tenant, overruns, os.getpid() * THREADS + n, mine[n]))
        for n in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close(NOW)
    return [call for calls in mine for call in calls]


def die(url: str, tenant: str, tokens: int) -> None:
    """Sets five calls aside, settles two of them, and dies."""
    book, whose = open_ledger(url, tokens), step(tenant)
    claims = [claim(10, 10e-6, name=f"{tenant}/{n}") for n in range(5)]
    for one in claims:
        assert isinstance(book.reserve(whose, one, NOW), Granted)
    for one in claims[:2]:
        book.settle(one.reservation, tokens=3, usd=3e-6, now=NOW)
    assert book.write(NOW) is None
    book.settle(claims[2].reservation, tokens=3, usd=3e-6, now=NOW)  # noted, but never written
    os.kill(os.getpid(), signal.SIGKILL)


def fork(how: str, url: str, tenant: str, tokens: int) -> tuple[int, int]:
    """A process at work: its number, and where it writes what it did."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    if how == "die":
        die(url, tenant, tokens)
    with os.fdopen(writing, "w") as out:
        json.dump(run(url, tenant, tokens, overruns=how == "overruns"), out)
    os._exit(0)


def carry_out(how: str, url: str, tenant: str, tokens: int) -> list[Any]:
    """For each process the calls it made, or how it ended."""
    children, told = [fork(how, url, tenant, tokens) for _ in range(1 if how == "die" else PROCESSES)], []
    for child, reading in children:
        with os.fdopen(reading) as said:
            text = said.read()
        _, status = os.waitpid(child, 0)
        told.append(json.loads(text) if text else os.waitstatus_to_exitcode(status))
    return told


if __name__ == "__main__":
    for line in sys.stdin:
        how, url, tenant, tokens = line.split()
        print(json.dumps(carry_out(how, url, tenant, int(tokens))), flush=True)
