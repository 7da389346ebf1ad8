from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from steprouter.embedding.timed import AT_ONCE, TimedEmbedder
from steprouter.memory.recall import Missing

UNIT = np.array([1.0, 0.0], dtype=np.float32)


class Slow:
    """Embeds when it is let, or fails, and notes in which thread."""

    identity, dimension = "slow/2", 2

    def __init__(self, *, blocks: bool = True, fails: bool = False) -> None:
        self.blocks = blocks
        self.fails = fails
        self.let = threading.Event()
        self.let.set()
        self.threads: list[str] = []

    def embed(self, text):
        self.threads.append(threading.current_thread().name)
        self.let.wait(10)
        if self.fails:
            raise OSError("the server is away")
        return UNIT

    def embed_many(self, texts):
        return np.stack([UNIT for _ in texts])


async def embedded(embedder: TimedEmbedder, text: str, *, asynchronous: bool):
    return await embedder.aembed(text) if asynchronous else embedder.embed(text)


colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@colours
async def test_a_quick_embedder_is_asked_where_the_step_is(asynchronous):
    quick = Slow(blocks=False)
    assert (await embedded(TimedEmbedder(quick), "x", asynchronous=asynchronous) == UNIT).all()
    assert quick.threads == [threading.current_thread().name]


@colours
async def test_a_slow_embedder_is_asked_in_a_thread_of_its_own(asynchronous):
    slow = Slow()
    assert (await embedded(TimedEmbedder(slow), "x", asynchronous=asynchronous) == UNIT).all()
    assert slow.threads[0].startswith("steprouter-embed")


@colours
async def test_an_embedder_that_takes_too_long_is_a_miss(asynchronous):
    slow = Slow()
    slow.let.clear()
    missing = await embedded(TimedEmbedder(slow, seconds=0.01), "x", asynchronous=asynchronous)
    slow.let.set()
    assert missing == Missing(reason="slow/2 took longer than 0.01 s")


@colours
@pytest.mark.parametrize("blocks", [False, True])
async def test_a_broken_embedder_is_a_miss_and_a_log_line(asynchronous, blocks, caplog):
    embedder = TimedEmbedder(Slow(fails=True, blocks=blocks))
    assert await embedded(embedder, "x", asynchronous=asynchronous) == Missing(reason="slow/2 failed: OSError")
    assert [record.message for record in caplog.records] == ["a step could not be embedded"]


@colours
async def test_nothing_but_blanks_is_not_embedded_and_nothing_is_broken(asynchronous):
    slow = Slow()
    missing = await embedded(TimedEmbedder(slow), " \n", asynchronous=asynchronous)
    assert (missing.degraded, slow.threads) == (False, [])


async def test_the_event_loop_goes_on_while_a_slow_embedder_works():
    slow = Slow()
    slow.let.clear()
    waiting = asyncio.create_task(TimedEmbedder(slow, seconds=10).aembed("x"))
    while not slow.threads:
        await asyncio.sleep(0)
    slow.let.set()
    assert (await waiting == UNIT).all()


def test_a_stuck_embedder_holds_no_more_threads_than_a_few():
    slow = Slow()
    slow.let.clear()
    embedder = TimedEmbedder(slow, seconds=0.001)
    for _ in range(3 * AT_ONCE):
        embedder.embed("x")
    assert len(slow.threads) == AT_ONCE
    slow.let.set()
