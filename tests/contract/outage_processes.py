"""Processes with routers of their own on one store: eight that meet a due probe, and four that spend one budget.

A program that reads what they are to do, a line of JSON each, and prints what each was told. It imports once, and they
are its copies: their imports would take longer than all else.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

from outage_routers import card

from steprouter import ModelCard, Price, StepKind, StepRouter
from steprouter.answering.budgets import Budget, worst_case
from steprouter.errors import BudgetExceeded
from steprouter.routing.policy import OUTPUT_TOKENS
from steprouter.step.step import Needs
from steprouter.testing import FrozenClock, ScriptedChatModel, say

PATIENT_SECONDS = 20.0
STEPS, THREADS = 3, 8


def patient(router: StepRouter) -> StepRouter:
    """The router with a store that may take its time: a machine that is busy with tests is no outage of Redis."""
    connection = router.engine.connection
    settings = connection.settings
    connection.settings = lambda: replace(settings(), deadline_seconds=PATIENT_SECONDS)
    return router


def probing(together: Any, *, store: str, url: str, now: float) -> list[Any]:
    """Makes steps when all others do; which models answered, and which calls were probes."""
    cards = [card("dead", url), card("healthy", url, usd=2)]
    router = patient(StepRouter(cards, store=store, clock=FrozenClock(now)))
    together.wait()
    steps = [router.invoke("How are you?").response_metadata["steprouter"]["step_id"] for _ in range(STEPS)]
    found = [trace for step in steps if (trace := router.traces.get(step)) is not None]
    router.close()
    return [[trace.model, [one.model for one in trace.attempts if one.is_probe]] for trace in found]


def spending(
    together: Any, *, store: str, url: str, now: float, usd: float, max_tokens: int | None, tenant: str
) -> list[Any]:
    """Makes steps in eight threads until the budget is used up; what each call was for, when, and what it took."""
    budget = Budget(usd=usd, per="tenant", period="day")
    router = patient(StepRouter([card("m", url)], store=store, tenant=tenant, budget=budget, clock=FrozenClock(now)))
    calls: list[dict[str, Any]] = []

    def spend() -> None:
        limit: dict[str, Any] = {} if max_tokens is None else {"max_tokens": max_tokens}
        while True:
            asked_at = time.monotonic()
            try:
                answer = router.invoke("How are you?", **limit)
            except BudgetExceeded:
                return
            assert router.engine.sink.flush(PATIENT_SECONDS)  # only then is it settled, and no longer in flight
            trace = router.traces.get(answer.response_metadata["steprouter"]["step_id"])
            assert trace is not None
            needs = Needs(input_tokens=trace.input_tokens, output_tokens=max_tokens)
            most = OUTPUT_TOKENS[StepKind(trace.kind)]
            reserved, _ = worst_case(needs, None, expected_output_tokens=most)
            took = sum(one.input_tokens + one.output_tokens for one in trace.attempts)
            times = {"asked_at": asked_at, "ended_at": time.monotonic()}
            calls.append({**times, "reserved": reserved, "took": took})

    threads = [Thread(target=spend) for _ in range(THREADS)]
    together.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    router.close()
    return calls


DEEDS: dict[str, Callable[..., list[Any]]] = {"probe": probing, "spend": spending}


class Crew:
    """The program, waiting for what is to be done."""

    def __init__(self, store: str) -> None:
        self.store = store
        words = [sys.executable, __file__, store]
        self.program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def all_do(self, deed: str, count: int, **what: Any) -> list[Any]:
        """What each of so many processes was told that did the same at the same moment."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps([deed, count, {"store": self.store, **what}]) + "\n")
        self.program.stdin.flush()
        return list(json.loads(self.program.stdout.readline()))

    def close(self) -> None:
        """Let the program end."""
        self.program.communicate(timeout=30)


def import_all(store: str) -> None:
    """Takes a step with all there is, so that what is imported only then is imported before the processes part."""
    answering = ModelCard(name="answering", model=ScriptedChatModel(say("Well.")), price=Price(input=0, output=0))
    unused = card("unused", "http://127.0.0.1:9/v1")
    router = patient(StepRouter([answering, unused], store=store, tenant="another", budget=Budget(usd=1)))
    router.invoke("How are you?")
    router.close()


def forked(deed: str, count: int, what: dict[str, Any]) -> list[Any]:
    """What each copy of this process was told."""
    context = multiprocessing.get_context("fork")
    together, told = context.Barrier(count), context.Queue()
    act = DEEDS[deed]
    workers = [context.Process(target=lambda: told.put(act(together, **what))) for _ in range(count)]
    for worker in workers:
        worker.start()
    heard = [told.get(timeout=40) for _ in workers]
    for worker in workers:
        worker.join()
    return heard


if __name__ == "__main__":
    import_all(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(forked(*json.loads(line))), flush=True)
