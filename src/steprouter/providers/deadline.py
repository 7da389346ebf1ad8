"""Limits on the time of a stream from outside, whatever it watches over by itself.

A wire's own limits restart with each piece: an answer that trickles never passes them. `within` and `awithin` end a
stream at one moment, and cost 0.1 µs a piece in a thread and 0.8 µs in a task. `in_thread` bounds each wait of a
stream that blocks as long as it likes; it costs 15 µs of processor time a piece and shows each 20 µs later, the
price of waking one thread from another, so it is only for models whose own timeout cannot be set. (Measured with
Python 3.11 on two cores.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from contextvars import copy_context
from enum import Enum, auto
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from ..answering.answer import Delta
from .refusals import NoFirstToken, Stalled, WireError
from .wire import Timeouts

T = TypeVar("T")

READ_AHEAD = 8
"""Pieces a thread may read before they are taken: enough that a quick model does not wait for the consumer's
thread at each of them, few enough that a model whose consumer left is soon closed."""


class OutOfTime(WireError, TimeoutError):
    """The attempt had used up its time and was ended.

    Classified as `timeout_first_token` before the first piece and as `stalled` after it.
    """


def within(pieces: Generator[Delta, None, None], seconds: float, where: str) -> Generator[Delta, None, None]:
    """The pieces, as long as the attempt has time; to be used in a thread.

    The clock is read between pieces, because nothing interrupts a thread that waits for one: a wire that does not
    bound its own waits can pass the limit by one of them. An answer that was finished in time stays an answer.

    Args:
        pieces: What a wire's `stream` gives; closed at the end.
        seconds: How long all of it may take, from now; at 0 or less nothing is asked.
        where: Whose answer it is, for the message.

    Raises:
        OutOfTime: The time is up, and the model has not finished.
    """
    now = time.monotonic
    until, is_finished = now() + seconds, False
    with closing(pieces):
        while now() < until:
            piece = next(pieces, None)
            if piece is None:
                return
            is_finished = is_finished or piece.finish is not None
            yield piece
    if not is_finished:
        raise out_of_time(seconds, where)


async def awithin(pieces: AsyncGenerator[Delta, None], seconds: float, where: str) -> AsyncGenerator[Delta, None]:
    """As `within`, in a task, which is interrupted when the time is up."""
    alarm, is_finished = Alarm(seconds), False
    try:
        async with aclosing(pieces):
            while not alarm.has_rung:
                with alarm:
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                is_finished = is_finished or piece.finish is not None
                yield piece
    except Interrupted as error:
        if not is_finished:
            raise out_of_time(seconds, where) from error
    else:
        if not is_finished:
            raise out_of_time(seconds, where)
    finally:
        alarm.stop()


def out_of_time(seconds: float, where: str) -> OutOfTime:
    """The error, in words."""
    return OutOfTime(f"{where} had {max(0.0, seconds):g} s in all and had not finished by then")


class Interrupted(Exception):  # never leaves this module
    """A wait for a piece was ended by the alarm."""


class Alarm:
    """Rings once, and interrupts the wait that is under way then.

    `asyncio.timeout_at` does this for one wait and sets a timer for each; an `async with` around the whole stream
    would interrupt its consumer too, who runs in the same task between two pieces. Like there, a task that is
    cancelled from outside at the same moment stays cancelled.

    Args:
        seconds: When to ring, from now.
    """

    __slots__ = ("_before", "_has_cancelled", "_task", "_timer", "has_rung")

    def __init__(self, seconds: float) -> None:
        self.has_rung = seconds <= 0
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._has_cancelled = False
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring)

    def _ring(self) -> None:
        self.has_rung = True
        if self._task is not None:
            self._has_cancelled = self._task.cancel()

    def stop(self) -> None:
        """Ring no more."""
        self._timer.cancel()

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task()
        self._before = task.cancelling() if task is not None else 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if not self._has_cancelled or task is None:
            return
        self._has_cancelled = False
        if task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise Interrupted from error


def in_thread(open_: Callable[[], Iterator[T]], timeouts: Timeouts, where: str) -> Generator[T, None, None]:
    """The items of a stream that may block for ever, each of them in time.

    A thread reads the stream. One that is blocked when its time is up, or when the consumer goes away, cannot be
    interrupted: it is left behind, and closes the stream when something comes.

    Args:
        open_: Opens the stream; called in the thread, in the caller's context.
        timeouts: How long to wait for the first item, and for each further one.
        where: Whose answer it is, for the message.

    Raises:
        NoFirstToken: The first item did not come in time.
        Stalled: A further one did not come in time.
        BaseException: What the stream raised.
    """
    reader = Reader(open_)
    Thread(target=copy_context().run, args=(reader.run,), name=f"steprouter reader: {where}", daemon=True).start()
    try:
        came = reader.next(timeouts.first_token)
        if came is TOO_LATE:
            raise NoFirstToken(f"{where} said nothing within {timeouts.first_token:g} s")
        while isinstance(came, Came):
            yield came.item
            came = reader.next(timeouts.idle)
        if came is TOO_LATE:
            raise Stalled(f"{where} paused for more than {timeouts.idle:g} s amid its answer")
    finally:
        reader.stop()


class Sign(Enum):
    """What a reader has to say besides items."""

    ENDED = auto()
    TOO_LATE = auto()


ENDED, TOO_LATE = Sign.ENDED, Sign.TOO_LATE


class Came(NamedTuple, Generic[T]):
    """An item of a stream."""

    item: T


class Reader(Generic[T]):
    """Reads a stream in a thread, a few items ahead of whoever takes them."""

    def __init__(self, open_: Callable[[], Iterator[T]]) -> None:
        self._open = open_
        self._read: SimpleQueue[Came[T] | Sign | BaseException] = SimpleQueue()
        self._room = Semaphore(READ_AHEAD)
        self._is_stopped = False

    def run(self) -> None:
        """The thread's whole life."""
        try:
            items = self._open()
            try:
                self._pass_on(items)
            finally:
                if isinstance(items, Generator):
                    items.close()
        except BaseException as error:  # raised again where the items are taken
            self._read.put(error)
        else:
            self._read.put(ENDED)

    def _pass_on(self, items: Iterator[T]) -> None:
        for item in items:
            self._room.acquire()
            if self._is_stopped:
                return
            self._read.put(Came(item))

    def next(self, seconds: float) -> Came[T] | Sign:
        """What comes within `seconds`.

        Raises:
            BaseException: What the stream raised.
        """
        try:
            came = self._read.get(timeout=seconds)
        except Empty:
            return TOO_LATE
        if isinstance(came, BaseException):
            raise came
        self._room.release()
        return came

    def stop(self) -> None:
        """Take no more: the thread closes the stream as soon as it is not blocked in it."""
        self._is_stopped = True
        self._room.release()
