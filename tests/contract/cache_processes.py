"""Many processes that ask one new question at once: `python cache_processes.py URL STORE PROCESSES`.

Each is a fork of this one, made before any router is, and prints what it was answered, and how.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from typing import Any

from steprouter import ModelCard, Price, StepRouter
from steprouter.testing import Clock  # noqa: F401 # imported before the forks, as all else is

FORK: Any = get_context("fork")


def ask(url: str, store: str, ready: Any, said: Any) -> None:
    """Ask in this process, once all are there."""
    os.environ["STEPROUTER_KEY"] = "a key that all processes share"
    card = ModelCard(name="m", model="m", base_url=url, price=Price(input=1, output=1))
    router = StepRouter([card], store=store, temperature=0, answer_cache=True, tenant="acme")
    router.recommend("A step before, so that the store is open and the vectors are loaded.")
    ready.wait()
    answer = router.invoke("What is the capital of Italy?")
    said.put((answer.text, answer.response_metadata["steprouter"]["cache"]))
    router.close()


def main() -> None:
    """Start the processes and print what they say."""
    url, store, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ready, said = FORK.Barrier(processes), FORK.Queue()
    started = [FORK.Process(target=ask, args=(url, store, ready, said)) for _ in range(processes)]
    for one in started:
        one.start()
    for _ in started:
        print(*said.get(timeout=60), sep="|", flush=True)
    for one in started:
        one.join(60)


if __name__ == "__main__":
    main()
