"""What runs beside the steps: bounded, in an empty context, and gone when its router is."""

from __future__ import annotations

import gc
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Event, Thread
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from steprouter.answering.answer import Delta
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Seen
from steprouter.answering.progress import Progress
from steprouter.background import Background
from steprouter.commands import Call, Flow, Outcome, Settle, Spawn
from steprouter.drive import Driver
from steprouter.models.cost import Usage
from steprouter.routing.decision import Decision
from steprouter.step.ask import Ask
from steprouter.step.step import Needs, Step, StepKind
from steprouter.testing import FrozenClock

ASK = Ask(messages=(HumanMessage("hi"),))
STEP = Step(id="step-1-probe", kind=StepKind.CHAT, needs=Needs(input_tokens=12))
WHERE: ContextVar[str] = ContextVar("where", default="nowhere")


class Wire:
    """A wire that says two pieces and does something in between."""

    def __init__(self, between: Callable[[], object] = lambda: None) -> None:
        self.between = between
        self.began = 0

    def stream(self, ask: Ask, timeouts: Any) -> Iterator[Delta]:
        self.began += 1
        yield Delta("Hello")
        self.between()
        yield Delta(" you")
        yield Delta(finish="stop", usage=Usage(input_tokens=7, output_tokens=2))

    def saw(self, error: Exception) -> Seen:
        return Seen(text=str(error))


class Bench:
    """A background over one wire, and what was settled."""

    def __init__(self, wire: Wire, **given: Any) -> None:
        self.settled: list[Attempt] = []
        driver: Any = Driver(
            {"small": wire},  # type: ignore[dict-item]
            clock=FrozenClock(),
            settle=lambda run, outcome: self.settled.extend(outcome.attempts),
        )
        self.background = Background(driver, **given)

    def spawn(self, flow: Flow[None] | None = None) -> None:
        self.background.spawn(Spawn(step=STEP, flow=flow or call_and_settle(), why="probe"))


def call_and_settle() -> Flow[None]:
    attempt = yield Call(id="c-1", model="small", why="probe", ask=ASK)
    decision = Decision(candidates=(), reason="probe")
    yield Settle(outcome=Outcome(step=STEP, decision=decision, progress=Progress().after_calls(attempt)))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_flow_runs_to_its_end_while_whoever_gave_it_goes_on():
    gate = Event()
    bench = Bench(Wire(lambda: gate.wait(10)))
    bench.spawn()
    assert bench.settled == []
    gate.set()
    assert bench.background.wait()
    assert [attempt.answer.text for attempt in bench.settled] == ["Hello you"]


def test_nothing_of_the_callers_context_is_there():
    seen: list[str] = []
    bench = Bench(Wire(lambda: seen.append(WHERE.get())))
    WHERE.set("in a graph")
    bench.spawn()
    assert bench.background.wait()
    assert seen == ["nowhere"]


def test_no_thread_is_there_before_the_first_flow():
    assert Bench(Wire()).background.work is None


def test_what_does_not_fit_is_dropped_and_counted():
    gate, wire = Event(), Wire()
    wire.between = lambda: gate.wait(10)
    bench = Bench(wire, capacity=1)
    bench.spawn()
    until(lambda: wire.began == 1)
    bench.spawn()
    until(lambda: wire.began == 2)
    bench.spawn()
    dropped = call_and_settle()
    bench.spawn(dropped)
    assert bench.background.dropped == 1
    assert dropped.gi_frame is None
    gate.set()
    assert bench.background.wait()
    assert len(bench.settled) == 3


def test_a_flow_that_fails_is_a_log_line_without_what_it_said_and_the_next_one_runs(caplog):
    def broken() -> Flow[None]:
        raise ValueError("a prompt")
        yield

    bench = Bench(Wire())
    bench.spawn(broken())
    bench.spawn()
    assert bench.background.wait()
    assert [record.message for record in caplog.records] == ["a probe was given up: ValueError"]
    assert len(bench.settled) == 1


def test_closing_drops_what_waits_and_ends_what_runs_at_its_next_piece_which_is_paid_for():
    gate, wire = Event(), Wire()
    wire.between = lambda: gate.wait(10)
    bench = Bench(wire)
    for _ in range(5):
        bench.spawn()
    until(lambda: wire.began == 2)
    work: Any = bench.background.work
    closing = Thread(target=bench.background.close, args=(10,))
    closing.start()
    until(lambda: work.is_left)
    gate.set()
    closing.join(10)
    assert [(attempt.failure.kind, attempt.usage.input_tokens) for attempt in bench.settled] == [("cancelled", 12)] * 2
    assert (wire.began, bench.background.dropped, work.unfinished) == (2, 3, 0)


def test_a_call_that_does_not_end_in_time_is_left_and_nothing_is_kept_of_it(caplog):
    gate, wire = Event(), Wire()
    wire.between = lambda: gate.wait(10)
    bench = Bench(wire)
    bench.spawn()
    until(lambda: wire.began == 1)
    work: Any = bench.background.work
    bench.background.close(0)
    gate.set()
    assert work.wait(10)
    assert bench.settled == []
    assert "1 calls in the background did not end in time" in caplog.text


def test_a_call_that_was_granted_when_the_router_closed_is_not_made_but_settled():
    bench, granted, go = Bench(wire := Wire()), Event(), Event()

    def held() -> Flow[None]:
        granted.set()
        go.wait(10)
        yield from call_and_settle()

    bench.spawn(held())
    assert granted.wait(10)
    work: Any = bench.background.work
    closing = Thread(target=bench.background.close, args=(10,))
    closing.start()
    until(lambda: work.is_left)
    go.set()
    closing.join(10)
    assert [(attempt.failure.kind, attempt.usage) for attempt in bench.settled] == [("cancelled", Usage())]
    assert wire.began == 0


def test_what_comes_after_closing_begins_anew():
    bench = Bench(Wire())
    bench.spawn()
    assert bench.background.wait()
    bench.background.close()
    bench.spawn()
    assert bench.background.wait()
    assert len(bench.settled) == 2


def test_threads_end_with_whoever_started_them():
    bench = Bench(Wire())
    bench.spawn()
    assert bench.background.wait()
    gone, threads = weakref.ref(bench.background), bench.background.work.threads
    del bench
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_runs_its_own_flows_and_not_its_parents():
    gate = Event()
    bench = Bench(wire := Wire(lambda: gate.wait(10)))
    bench.spawn()
    until(lambda: wire.began == 1)
    bench.background.lock.acquire()  # as if another thread were amid it
    if (child := os.fork()) == 0:
        wire.between = lambda: None
        bench.spawn()
        ended = bench.background.wait(10)
        os._exit(0 if ended and len(bench.settled) == 1 else 1)
    bench.background.lock.release()
    assert os.waitpid(child, 0)[1] == 0
    gate.set()
    assert bench.background.wait()
    assert len(bench.settled) == 1
