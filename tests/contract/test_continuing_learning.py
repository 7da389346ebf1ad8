"""What one process has learnt, another goes on with as if it had never stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steprouter.store.embedded import EmbeddedServer, acquire

STEPS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    held = acquire(tmp_path_factory.mktemp("learning"), grace_seconds=0.0)
    yield held
    held.release()


def decided(server: EmbeddedServer, tenant: str, first: int, last: int) -> list[Any]:
    """What a process of its own decides at these steps."""
    program = str(Path(__file__).with_name("learning_worker.py"))
    done = subprocess.run(
        [sys.executable, program, server.url, tenant, str(first), str(last)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_steps_that_two_processes_share_are_decided_as_by_one(server: EmbeddedServer) -> None:
    whole = decided(server, "one", 0, STEPS)
    parts = [*decided(server, "two", 0, 25), *decided(server, "two", 25, 41), *decided(server, "two", 41, STEPS)]
    assert [step[:2] for step in parts] == [step[:2] for step in whole]
    assert parts == whole
    assert {step[1] for step in whole} > {"small"}  # something was learnt on the way
