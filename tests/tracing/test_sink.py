"""Traces off the path: a bounded queue and one thread."""

import gc
import logging
import queue
import subprocess
import sys
import threading

import pytest

from steprouter.tracing.record import Trace
from steprouter.tracing.sink import BATCH, Sink


def trace(number=0):
    return Trace(step_id=f"s-{number}", started_at=0.0, kind="chat", outcome="sufficient")


class Kept:
    """Keeps what is written, batch by batch; waits at the gate, if it is shut."""

    def __init__(self):
        self.batches = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, traces):
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append([t.step_id for t in traces])

    @property
    def names(self):
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def kept():
    kept = Kept()
    yield kept
    kept.gate.set()


def stuck(kept, **kwargs):
    """A sink whose thread is at work on a first trace and does not come back before the gate opens."""
    kept.gate.clear()
    sink = Sink(kept, **kwargs)
    sink.put(trace(0))
    assert kept.entered.wait(10)
    return sink


def test_what_was_put_is_written_in_order_before_flush_returns(kept):
    sink = Sink(kept)
    for number in range(3):
        sink.put(trace(number))
    assert sink.flush()
    assert kept.names == ["s-0", "s-1", "s-2"]
    sink.close()


def test_what_gathers_while_a_batch_is_written_is_written_in_batches(kept):
    sink = stuck(kept)
    for number in range(1, 101):
        sink.put(trace(number))
    kept.gate.set()
    sink.close()
    assert [len(batch) for batch in kept.batches] == [1, BATCH, 100 - BATCH]
    assert kept.names == [f"s-{number}" for number in range(101)]


def test_a_full_queue_loses_the_newest_and_counts_them(kept, caplog):
    sink = stuck(kept, capacity=2)
    for number in range(1, 5):
        sink.put(trace(number))
    kept.gate.set()
    sink.close()
    assert (kept.names, sink.dropped) == (["s-0", "s-1", "s-2"], 2)
    assert [record.getMessage() for record in caplog.records] == ["2 steps were dropped because the queue was full"]


def test_flush_says_when_writing_takes_longer_than_it_may(kept):
    sink = stuck(kept)
    assert not sink.flush(timeout_seconds=0.01)
    kept.gate.set()
    assert sink.flush()
    sink.close()


def test_a_sink_that_took_nothing_has_no_thread_and_nothing_to_flush_or_close(kept):
    sink = Sink(kept)
    assert sink.flush()
    sink.close()
    assert sink.thread is None


def test_a_broken_writer_is_one_log_line_and_the_next_batch_is_written(kept, caplog):
    failures = [OSError("the disk is full")]

    def write(traces):
        if failures:
            raise failures.pop()
        kept(traces)

    sink = Sink(write)
    sink.put(trace(1))
    sink.flush()
    sink.put(trace(2))
    sink.close()
    assert kept.names == ["s-2"]
    logged = [(r.name, r.levelno, r.getMessage()) for r in caplog.records]
    assert logged == [("steprouter.tracing", logging.ERROR, "1 steps could not be written")]


def test_closing_writes_what_waits_and_ends_the_thread(kept):
    sink = stuck(kept)
    thread = sink.thread
    sink.put(trace(1))
    threading.Timer(0.05, kept.gate.set).start()
    sink.close()
    assert (kept.names, thread.is_alive()) == (["s-0", "s-1"], False)


def test_closing_does_not_wait_for_ever_though_the_queue_is_full(kept, caplog):
    sink = stuck(kept, capacity=1)
    thread = sink.thread
    sink.put(trace(1))
    sink.close(timeout_seconds=0.01)
    assert "were not written in time" in caplog.text
    kept.gate.set()
    thread.join(10)
    assert kept.names == ["s-0", "s-1"]


def test_a_closed_sink_that_is_used_again_starts_a_new_thread(kept):
    sink = Sink(kept)
    for number in range(3):
        sink.put(trace(number))
        sink.close()
        sink.close()
    assert kept.names == ["s-0", "s-1", "s-2"]


def test_nothing_is_lost_when_many_threads_put_while_another_closes(kept):
    sink = Sink(kept)
    many = [threading.Thread(target=lambda: [sink.put(trace(n)) for n in range(200)]) for _ in range(4)]
    for thread in many:
        thread.start()
    while any(thread.is_alive() for thread in many):
        sink.close()
    sink.close()
    assert (len(kept.names), sink.dropped) == (800, 0)


def test_the_thread_writes_what_waits_and_ends_when_the_sink_is_collected(kept):
    sink = stuck(kept)
    thread = sink.thread
    sink.put(trace(1))
    del sink
    gc.collect()
    kept.gate.set()
    thread.join(10)
    assert (kept.names, thread.is_alive()) == (["s-0", "s-1"], False)


HEAD = """
import atexit, os, sys, time
from steprouter.tracing.record import Trace
from steprouter.tracing.sink import Sink
def trace(name): return Trace(step_id=name, started_at=0, kind="chat", outcome="x")
def write(traces): os.write(1, "".join(f"{t.step_id} " for t in traces).encode())
"""


def told(script):
    """What a fresh interpreter writes; nothing may go to its standard error."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEAD + script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stderr == ""
    return run.stdout.split()


def test_what_waits_is_written_when_the_interpreter_ends():
    assert told("sink = Sink(write); sink.put(trace('a')); sink.put(trace('b'))") == ["a", "b"]


def test_a_trace_put_while_the_interpreter_ends_raises_nothing():
    assert told("atexit.register(lambda: sink.put(trace('late'))); sink = Sink(write); sink.put(trace('a'))")[0] == "a"


def test_a_forked_process_writes_its_own_traces_and_not_its_parents():
    script = """
gate = os.pipe()
def write(traces):
    if os.getpid() == parent: os.read(gate[0], 1)
    os.write(1, "".join(f"{t.step_id} " for t in traces).encode())
parent, sink = os.getpid(), Sink(write)
sink.put(trace("first"))
while sink.waiting.qsize(): time.sleep(0.001)
sink.put(trace("parent"))
sink.lock.acquire()  # as if another thread were amid a put
if (child := os.fork()) == 0:
    sink.put(trace("own"))
    os._exit(0 if sink.flush() else 1)
sink.lock.release()
print(os.waitpid(child, 0)[1], end=" ", flush=True)
os.write(gate[1], b"go")
sink.close()
"""
    assert told(script) == ["own", "0", "first", "parent"]


def test_a_sink_with_a_tick_calls_its_writer_though_nothing_comes():
    calls: queue.SimpleQueue[int] = queue.SimpleQueue()
    sink: Sink[int] = Sink(lambda batch: calls.put(len(batch)), tick_seconds=0.01)
    sink.wake()
    assert [calls.get(timeout=10) for _ in range(3)] == [0, 0, 0]
    sink.close()
