"""The router across processes, threads and event loops: forks, loops one after another, and a quiet exit."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from itertools import repeat
from typing import Any

import pytest

from steprouter import ModelCard, StepRouter
from steprouter.testing import SimulatedProvider, say

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def provider():
    with SimulatedProvider({"m": repeat(say("ok"))}) as server:
        yield server


def served(provider: SimulatedProvider) -> StepRouter:
    return StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")


def in_a_child(work: Callable[[], bool]) -> bool:
    """Whether `work` holds in a forked child, which must end by itself."""
    child = os.fork()
    if child == 0:
        held = False
        try:
            held = work()
        finally:
            os._exit(0 if held else 1)
    return os.waitpid(child, 0)[1] == 0


def answers_and_traces(router: StepRouter) -> bool:
    """Whether the router answers and keeps the trace of it."""
    step = router.invoke("hi").response_metadata["steprouter"]["step_id"]
    return router.traces.get(step) is not None


def answers_async(router: StepRouter) -> bool:
    async def once() -> str:
        try:
            return (await router.ainvoke("hi")).text
        finally:
            await router.aclose()

    return asyncio.run(once()) == "ok"


@pytest.mark.parametrize("use", [answers_and_traces, answers_async])
def test_a_router_that_was_used_goes_on_in_a_forked_child_and_in_its_parent(use, provider):
    router = served(provider)
    assert use(router)
    assert in_a_child(lambda: use(router))
    assert use(router)
    router.close()


def test_a_child_forked_amid_a_stream_does_not_touch_its_parents_connection(provider):
    provider.play("m", [say("one two three"), say("child"), say("after")])
    router = served(provider)
    stream = router.stream("hi")
    said = next(stream).text
    assert in_a_child(lambda: router.invoke("hi").text == "child")
    assert said + "".join(chunk.text for chunk in stream) == "one two three"
    assert router.invoke("hi").text == "after"
    router.close()


def work_in_pool(number: int) -> str:
    """Uses the router that the pool's processes inherited."""
    return INHERITED["router"].invoke(f"number {number}").text


INHERITED: dict[str, StepRouter] = {}


def test_a_pool_of_forked_processes_shares_an_inherited_router(provider):
    INHERITED["router"] = router = served(provider)
    assert router.invoke("hi").text == "ok"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(work_in_pool, range(4)) == ["ok"] * 4
        pool.close()
        pool.join()
    router.close()


def test_an_event_loop_inside_a_forked_child_gets_connections_of_its_own(provider):
    router = served(provider)
    assert answers_async(router)
    assert in_a_child(lambda: answers_async(router) and answers_and_traces(router))
    router.close()


QUIET = """
import asyncio, atexit, os, sys, threading, warnings
import steprouter

assert threading.active_count() == 1
assert not [m for m in sys.modules if m.startswith(("langchain", "langgraph", "redis"))]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # LangChain's own imports warn
    from steprouter import ModelCard, StepRouter
    from steprouter.testing import SimulatedProvider, say

files = set(os.listdir("/proc/self/fd"))
routers = [StepRouter([ModelCard(name="m", model="m", base_url="http://127.0.0.1:9/v1")], store="memory")]
assert threading.active_count() == 1 and set(os.listdir("/proc/self/fd")) == files

def used(url):
    router = StepRouter([ModelCard(name="m", model="m", base_url=url)], store="memory")
    router.invoke("hi")
    router.close()
    stream = router.stream("hi")
    next(stream)
    stream.close()
    router.close()
    assert len(router.traces.list()) == 2

async def aused(url):
    asyncio.get_running_loop().slow_callback_duration = 60
    router = StepRouter([ModelCard(name="m", model="m", base_url=url)], store="memory")
    await router.ainvoke("hi")
    stream = router.astream("hi")
    await anext(stream)
    await stream.aclose()
    await router.aclose()

# Left open: what waits to be written is written at exit, and nothing hangs. Registered before the router, which
# registers its own end, so it runs after that.
atexit.register(lambda: print(len(routers[1].engine.shelf.keeper().steps("default", "(no thread)", 9)), "written"))
with SimulatedProvider({"m": say("ok ok ok")}) as provider:
    used(provider.url)
    asyncio.run(aused(provider.url))
    routers.append(StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory"))
    routers[1].invoke("hi")
    [wire.close() for wire in routers[1].engine.driver.wires.values()]
"""


def test_a_process_begins_and_ends_quietly_and_writes_what_waits():
    """Import and construction start nothing; closed routers leave no warning; an open one ends with its process."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 written\n", "")


def test_a_router_nobody_holds_any_more_is_collected_with_its_connections(provider):
    router: Any = served(provider)
    router.invoke("hi")
    router.close()
    engine = weakref.ref(router.engine)
    del router
    gc.collect()
    assert engine() is None
