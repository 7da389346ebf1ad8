"""Limits from outside: a stream is ended when its time is up, and its consumer's own time is nobody's business."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from contextvars import ContextVar
from typing import Any

import pytest

from steprouter.answering.answer import Delta
from steprouter.answering.failures import Phase, classify
from steprouter.providers.deadline import READ_AHEAD, OutOfTime, awithin, in_thread, within
from steprouter.providers.refusals import NoFirstToken, Stalled
from steprouter.providers.sightings import seen
from steprouter.providers.wire import Timeouts

HELLO, DONE = Delta("Hello"), Delta(finish="stop")
LONG_SECONDS, MOMENT_SECONDS = 3600.0, 0.02
PATIENCE_SECONDS = 30.0
AT_ONCE = Timeouts(first_token=1e-6, idle=1e-6)
PATIENT = Timeouts(first_token=PATIENCE_SECONDS, idle=PATIENCE_SECONDS)
USER: ContextVar[str] = ContextVar("USER", default="nobody")


class Stream:
    """Gives pieces, and then nothing until it is closed."""

    def __init__(self, *pieces: Delta, is_endless: bool = False) -> None:
        self.pieces = pieces
        self.is_endless = is_endless
        self.is_closed = False

    def sync(self) -> Iterator[Delta]:
        try:
            yield from self.pieces
            while self.is_endless:
                yield HELLO
        finally:
            self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[Delta]:
        try:
            for piece in self.pieces:
                yield piece
            if self.is_endless:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True

    def bounded(self, seconds: float) -> Any:
        return within(self.sync(), seconds, "model 'm'")  # type: ignore[arg-type]

    def abounded(self, seconds: float) -> Any:
        return awithin(self.asynchronous(), seconds, "model 'm'")  # type: ignore[arg-type]


# The whole of an attempt


def test_an_answer_within_its_time_comes_whole():
    stream = Stream(HELLO, DONE)
    assert list(stream.bounded(LONG_SECONDS)) == [HELLO, DONE]
    assert stream.is_closed


async def test_an_answer_within_its_time_comes_whole_in_a_task():
    stream = Stream(HELLO, DONE)
    assert [piece async for piece in stream.abounded(LONG_SECONDS)] == [HELLO, DONE]
    assert stream.is_closed


def test_an_answer_that_never_ends_is_ended_in_a_thread():
    stream = Stream(is_endless=True)
    with pytest.raises(OutOfTime, match=r"model 'm' had 0\.02 s in all"):
        assert all(piece == HELLO for piece in stream.bounded(MOMENT_SECONDS))
    assert stream.is_closed


async def test_a_wait_for_a_piece_is_interrupted_in_a_task():
    stream = Stream(HELLO, is_endless=True)
    pieces = stream.abounded(MOMENT_SECONDS)
    assert await anext(pieces) == HELLO
    with pytest.raises(OutOfTime, match=r"model 'm' had 0\.02 s in all"):
        await anext(pieces)
    assert stream.is_closed
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_an_attempt_without_time_asks_for_nothing():
    with pytest.raises(OutOfTime):
        list(Stream(HELLO).bounded(0.0))


async def test_an_attempt_without_time_asks_for_nothing_in_a_task():
    with pytest.raises(OutOfTime):
        [piece async for piece in Stream(HELLO).abounded(-1.0)]


async def test_an_answer_that_was_finished_in_time_stays_an_answer():
    stream = Stream(HELLO, DONE, is_endless=True)
    assert [piece async for piece in stream.abounded(MOMENT_SECONDS)] == [HELLO, DONE]


async def test_the_consumer_is_not_interrupted_between_two_pieces():
    async with aclosing(Stream(HELLO, DONE).abounded(MOMENT_SECONDS)) as pieces:
        assert await anext(pieces) == HELLO
        await asyncio.sleep(2 * MOMENT_SECONDS)
        with pytest.raises(OutOfTime):
            await anext(pieces)


async def test_a_task_that_is_cancelled_from_outside_stays_cancelled():
    stream = Stream(is_endless=True)

    async def consume() -> None:
        async for _ in stream.abounded(LONG_SECONDS):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.is_closed


@pytest.mark.parametrize(
    ("phase", "kind"), [(Phase.BEFORE_FIRST_TOKEN, "timeout_first_token"), (Phase.IN_TEXT, "stalled")]
)
def test_running_out_of_time_is_classified_as_a_timeout(phase, kind):
    assert classify(seen(OutOfTime("late")), phase, model="m").kind == kind


# Streams that may block for ever


@pytest.fixture(autouse=True)
def no_reader_stays() -> Iterator[None]:
    """Every test leaves as many threads as it found, once its streams are released."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("steprouter reader"):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def test_items_come_in_order_through_a_reading_thread():
    items = list(range(5 * READ_AHEAD))
    assert list(in_thread(lambda: iter(items), PATIENT, "model 'm'")) == items


def test_what_a_stream_raises_is_raised_where_its_items_are_taken():
    def stream() -> Iterator[int]:
        yield 1
        raise ConnectionResetError("gone")

    pieces = in_thread(stream, PATIENT, "model 'm'")
    assert next(pieces) == 1
    with pytest.raises(ConnectionResetError, match="gone"):
        next(pieces)


def test_a_stream_that_says_nothing_is_left_behind_and_closed_when_it_wakes():
    gate, closed = threading.Event(), threading.Event()

    def stream() -> Iterator[int]:
        try:
            gate.wait(PATIENCE_SECONDS)
            yield from range(100)
        finally:
            closed.set()

    with pytest.raises(NoFirstToken, match="model 'm' said nothing within 1e-06 s"):
        next(in_thread(stream, AT_ONCE, "model 'm'"))
    gate.set()
    assert closed.wait(PATIENCE_SECONDS)


def test_a_stream_that_stalls_is_left_behind():
    gate = threading.Event()

    def stream() -> Iterator[int]:
        yield 1
        gate.wait(PATIENCE_SECONDS)

    pieces = in_thread(stream, Timeouts(first_token=PATIENCE_SECONDS, idle=1e-6), "model 'm'")
    assert next(pieces) == 1
    with pytest.raises(Stalled, match="paused for more than 1e-06 s"):
        next(pieces)
    gate.set()


def test_a_stream_is_read_only_a_little_ahead_and_closed_when_its_consumer_leaves():
    taken: list[int] = []
    closed = threading.Event()

    def stream() -> Iterator[int]:
        try:
            for number in range(10 * READ_AHEAD):
                taken.append(number)
                yield number
        finally:
            closed.set()

    with closing(in_thread(stream, PATIENT, "model 'm'")) as pieces:
        assert next(pieces) == 0
    assert closed.wait(PATIENCE_SECONDS)
    assert len(taken) <= READ_AHEAD + 3


def test_a_reading_thread_sees_the_context_of_its_consumer():
    token = USER.set("ann")
    try:
        assert list(in_thread(lambda: iter([USER.get()]), PATIENT, "model 'm'")) == ["ann"]
    finally:
        USER.reset(token)
