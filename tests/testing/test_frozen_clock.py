"""Time that passes only when told to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from steprouter.testing import FrozenClock


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = FrozenClock()
    assert datetime.fromtimestamp(clock.now(), UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert (clock.now(), clock.monotonic()) == (clock.now(), 0.0)
    clock.advance(90)
    assert datetime.fromtimestamp(clock.now(), UTC) == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 90.0


async def test_sleeping_takes_no_time_but_is_remembered() -> None:
    clock = FrozenClock(start_seconds=1000.0)
    clock.sleep(1.5)
    await clock.asleep(2.5)
    clock.advance(10)
    assert clock.slept == (1.5, 2.5)
    assert clock.now() == 1014.0


def test_time_never_goes_backwards_on_this_clock() -> None:
    clock = FrozenClock()
    with pytest.raises(ValueError, match="0 seconds or more, got -1"):
        clock.sleep(-1)
    assert (clock.monotonic(), clock.slept) == (0.0, ())


def test_threads_may_sleep_at_once_and_no_second_is_lost() -> None:
    clock = FrozenClock()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(clock.sleep, [0.5] * 400))
    assert (clock.monotonic(), len(clock.slept)) == (200.0, 400)
