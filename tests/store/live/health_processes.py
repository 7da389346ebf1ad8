"""Eight processes that share the health of deployments, and do the same at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FORKS = """
import json, multiprocessing, sys
sys.path.insert(0, sys.argv[1])
from health_cases import NOW, answered, made
from steprouter.store import Keys, connect
from steprouter.store.live import health_trips
from steprouter.store.live.shared_health import SharedHealth

url, deed, count, now, models = *sys.argv[2:4], int(sys.argv[4]), float(sys.argv[5]), json.loads(sys.argv[6])
context = multiprocessing.get_context("fork")
together, told = context.Barrier(count), context.Queue()

def work(number):
    connection = connect(url, deadline_seconds=20.0)
    health = SharedHealth(connection, lambda: Keys(secret=b"k" * 32), dict.fromkeys(models, "settings"))
    assert health.refresh(health.board, NOW) is None
    together.wait()
    if deed == "admit":
        told.put({model: type(health.admit(model, f"{number} {model}", now)).__name__ for model in models})
        return
    for call in range(10):
        for model in models:
            made(health, answered(model), now, name=f"{number} {model} {call}")
        health.write(now)
    while health.write(now) is not None:
        pass
    told.put(health.board.unshared())

workers = [context.Process(target=work, args=(number,)) for number in range(count)]
for worker in workers:
    worker.start()
print(json.dumps([told.get(timeout=60) for _ in workers]))
for worker in workers:
    worker.join()
"""
"""One that imports and eight copies of it: their imports would take longer than all else."""


def all_do(deed: str, url: str, models: Sequence[str], *, now: float, count: int = 8) -> list[Any]:
    """Lets processes with connections of their own ask for a lease of each model, or make and share ten calls of each.

    Args:
        deed: `admit` or `call`.
        url: The store.
        models: The router's models.
        now: Unix time in seconds.
        count: How many processes.

    Returns:
        What each was told: the sort of grant by model, or how much of what it knows is not shared.
    """
    here = str(Path(__file__).parent)
    words = [here, url, deed, str(count), repr(now), json.dumps(list(models))]
    done = subprocess.run(
        [sys.executable, "-c", FORKS, *words], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))
