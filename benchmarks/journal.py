"""What the journal of an unfinished answer adds to each piece of a stream.

    python benchmarks/journal.py [--rounds N] [--pieces N]

A node of a graph streams an answer from a model in this process, over the embedded Redis server. The same is done
without a journal, by turns, so that both meet the same moments of the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.graph import START, StateGraph
from measure import Spread

from steprouter import ModelCard, Policy, Resumption, StepRouter
from steprouter.store.embedded import acquire


class State(TypedDict):
    """Nothing needs to be remembered here."""

    said: int


class Speaker(BaseChatModel):
    """Says as many words as it is told to, as fast as it can be heard."""

    pieces: int

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("it only streams")

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number in range(self.pieces):
            yield ChatGenerationChunk(message=AIMessageChunk(content=f" word{number % 10}"))
        done = AIMessageChunk(content="", response_metadata={"finish_reason": "stop"}, chunk_position="last")
        yield ChatGenerationChunk(message=done)


def timed(router: StepRouter, took: list[float]) -> Any:
    """A node that streams an answer and notes how long its pieces took, from the first on."""

    def node(state: State) -> State:
        stream = router.stream("Tell me.")
        next(stream)
        began = time.perf_counter()
        said = sum(1 for _ in stream)
        took.append(time.perf_counter() - began)
        return {"said": said}

    return node


def graph_of(router: StepRouter, took: list[float]) -> Any:
    """A graph of one node."""
    graph = StateGraph(State)
    graph.add_node("speak", timed(router, took))
    graph.add_edge(START, "speak")
    return graph.compile()


def main() -> None:
    """Measure and print."""
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--rounds", type=int, default=300)
    read.add_argument("--pieces", type=int, default=400)
    asked = read.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = acquire(Path(folder), grace_seconds=0.0)
        took: dict[bool, list[float]] = {True: [], False: []}
        routers = {
            kept: StepRouter(
                [ModelCard(name="m", model=Speaker(pieces=asked.pieces))],
                store=server.url,
                policy=Policy(resume=Resumption(journal=kept)),
            )
            for kept in took
        }
        graphs = {kept: graph_of(routers[kept], took[kept]) for kept in took}
        for number in range(asked.rounds + 2):
            for kept in (True, False) if number % 2 else (False, True):
                graphs[kept].invoke({"said": 0}, {"configurable": {"thread_id": f"{number}-{kept}"}})
        spreads = {kept: Spread.of([one / asked.pieces for one in seconds[2:]]) for kept, seconds in took.items()}
        for kept, name in ((True, "with a journal"), (False, "without")):
            quiet, middle = 1e6 * spreads[kept].p10, 1e6 * spreads[kept].p50
            print(f"{name:15} {quiet:7.2f} µs a piece in a quiet moment (p10), {middle:7.2f} µs in the median")
        for quantile in ("p10", "p50"):
            ratio = getattr(spreads[True], quantile) / getattr(spreads[False], quantile)
            print(f"ratio of {quantile}    {ratio:.3f}")
        for router in routers.values():
            router.close()
        server.release()


if __name__ == "__main__":
    main()
