"""The answer cache between processes, and a store that loses everything amid a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from steprouter import ModelCard, Price, StepRouter
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.testing import SimulatedProvider, say

WORKER = Path(__file__).with_name("cache_processes.py")
PROCESSES = 16
SLOW = say("Rome.").slowly(first_token_seconds=1.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    held = acquire(tmp_path_factory.mktemp("answers"), grace_seconds=0.0)
    yield held
    held.release()


def test_sixteen_processes_that_ask_the_same_new_question_make_one_call(server: EmbeddedServer) -> None:
    with SimulatedProvider({"m": SLOW}) as provider:
        words = [sys.executable, str(WORKER), provider.url, server.url, str(PROCESSES)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ}, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        calls = len(provider.requests)
    told = Counter(line.strip() for line in done.stdout.splitlines())
    assert told == {"Rome.|miss": 1, "Rome.|hit": PROCESSES - 1}
    assert calls == 1


def test_a_store_that_loses_everything_is_a_miss_and_then_heals(server: EmbeddedServer) -> None:
    with SimulatedProvider({"m": say("Rome.")}) as provider:
        card = ModelCard(name="m", model="m", base_url=provider.url, price=Price(input=1, output=1))
        router = StepRouter([card], store=server.url, temperature=0, answer_cache=True, tenant="flushed")

        def ask() -> Any:
            answer = router.invoke([HumanMessage("What is the capital of Italy?")])
            for _ in range(20):
                router.engine.sink.flush()
                if router.engine.shelf.is_written:
                    break
            return answer.response_metadata["steprouter"]["cache"]

        assert [ask(), ask()] == ["miss", "hit"]
        router.engine.connection.call(lambda client: client.flushall(), deadline_seconds=5.0)
        router.engine.memory.shelf.pocket.forget("flushed")  # what this process has at hand it would give for 2 s more
        assert [ask(), ask()] == ["miss", "hit"]
        router.close()
