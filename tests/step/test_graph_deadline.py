"""Until when a graph has use for an answer, as real LangGraph graphs have it."""

from datetime import timedelta
from operator import add
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, TimeoutPolicy

from steprouter import ModelCard, StepRouter
from steprouter.engine import surroundings
from steprouter.models.card import Tier
from steprouter.step.graph_deadline import deadline_seconds
from steprouter.testing import SimulatedProvider, Stall, say

NAMED = {"configurable": {"steprouter_deadline_seconds": 3}}


class State(TypedDict):
    left: Annotated[list[Any], add]


def left_now(config: Any = None) -> float | None:
    """What a router called here and now would be told."""
    import time

    return surroundings(config, None, time.time())[0].deadline_seconds


async def node(state: State) -> State:
    return {"left": [left_now()]}


def graph_of(inner: Any = node, **settings: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("agent", inner, **settings)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    return graph.compile()


async def left_in(graph: Any, config: Any = None) -> float | None:
    (left,) = (await graph.ainvoke({"left": []}, config))["left"]
    return left  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "timeout",
    [5, 5.0, timedelta(seconds=5), TimeoutPolicy(run_timeout=5), TimeoutPolicy(run_timeout=5, idle_timeout=2)],
)
async def test_the_timeout_of_a_node_is_the_deadline_of_its_steps(timeout: Any) -> None:
    left = await left_in(graph_of(timeout=timeout))
    assert left is not None
    assert 0 < left <= 5.0


@pytest.mark.parametrize("timeout", [None, TimeoutPolicy(idle_timeout=5)])
async def test_a_node_without_a_limit_of_its_run_sets_no_deadline(timeout: Any) -> None:
    assert await left_in(graph_of(timeout=timeout)) is None


async def test_what_a_node_has_used_up_is_not_left_to_a_step() -> None:
    async def late(state: State) -> State:
        import time

        place, _ = surroundings(None, None, time.time() + 4.0)
        return {"left": [place.deadline_seconds]}

    left = await left_in(graph_of(late, timeout=5))
    assert left is not None
    assert 0 < left <= 1.0


async def test_the_limit_of_a_node_around_a_graph_holds_for_its_nodes() -> None:
    left = await left_in(graph_of(graph_of(), timeout=5))
    assert left is not None
    assert 0 < left <= 5.0


@pytest.mark.parametrize(("outer", "inner"), [(5, 60), (60, 5)])
async def test_of_graphs_in_graphs_the_shortest_limit_holds(outer: float, inner: float) -> None:
    left = await left_in(graph_of(graph_of(timeout=inner), timeout=outer))
    assert left is not None
    assert 0 < left <= 5.0


async def test_a_graph_that_a_node_calls_by_itself_has_the_nodes_limit_too() -> None:
    inside = graph_of()

    async def calls(state: State) -> State:
        return {"left": (await inside.ainvoke({"left": []}))["left"]}

    left = await left_in(graph_of(calls, timeout=5))
    assert left is not None
    assert 0 < left <= 5.0


async def test_a_node_that_is_tried_again_has_its_whole_time_again() -> None:
    tries = []

    async def flaky(state: State) -> State:
        tries.append(left_now())
        if len(tries) == 1:
            raise ConnectionError("once")
        return {"left": tries[-1:]}

    retry = RetryPolicy(initial_interval=0.0, jitter=False, max_attempts=2)
    left = await left_in(graph_of(flaky, timeout=5, retry_policy=retry))
    assert len(tries) == 2
    assert left == 5.0


async def test_a_task_of_the_functional_api_has_its_limit() -> None:
    @task(timeout=5)
    async def work() -> float | None:
        return left_now()

    @entrypoint()
    async def flow(_: int) -> float | None:
        return await work()

    left = await flow.ainvoke(1)
    assert left is not None
    assert 0 < left <= 5.0  # type: ignore[operator]


def test_a_sync_node_has_no_limit_but_the_one_it_names() -> None:
    def sync(state: State) -> State:
        return {"left": [left_now()]}

    assert graph_of(sync).invoke({"left": []})["left"] == [None]
    assert graph_of(sync).invoke({"left": []}, NAMED)["left"] == [3.0]


async def test_a_run_names_a_limit_of_its_own_and_the_shorter_one_holds() -> None:
    assert await left_in(graph_of(), NAMED) == 3.0
    left = await left_in(graph_of(timeout=1), NAMED)
    assert left is not None
    assert 0 < left <= 1.0


def test_outside_a_graph_only_a_named_limit_counts() -> None:
    assert left_now() is None
    assert left_now({"metadata": {"steprouter_deadline_seconds": 7}}) == 7.0


GARBAGE = ["soon", None, True, 0, -3, float("nan"), float("inf"), 10**400, [], {}, object()]


@pytest.mark.parametrize("given", GARBAGE, ids=lambda given: str(given)[:12])
def test_what_is_no_time_names_no_limit(given: object) -> None:
    assert deadline_seconds({"steprouter_deadline_seconds": given}, None, None, 0.0) is None


class Odd:
    """Has every attribute, none of which is what it should be."""

    def __getattr__(self, name: str) -> Any:
        return Odd()

    def __call__(self, *args: Any) -> Any:
        return Odd()


@pytest.mark.parametrize("call", [None, 7, "text", print, lambda: None, Odd(), SimpleNamespace()])
def test_anything_else_at_langgraphs_private_place_ends_the_search(call: Any) -> None:
    running = SimpleNamespace(node_attempt=1, node_first_attempt_time=0.0)
    assert deadline_seconds({}, {"__pregel_call": call}, running, 0.0) is None


async def test_a_slow_model_is_left_in_time_for_another_to_answer_within_the_node() -> None:
    scripts = {"slow": [say("too late").failing(Stall())], "quick": [say("in time")]}
    with SimulatedProvider(scripts) as provider:
        cards = [
            ModelCard(name=name, base_url=provider.url, model=name, tier=tier)
            for name, tier in (("slow", Tier.LOW), ("quick", Tier.HIGH))
        ]
        router = StepRouter(cards, store="memory")

        async def asks(state: State) -> State:
            answer = await router.ainvoke("Hello")
            return {"left": [answer.text]}

        assert await left_in(graph_of(asks, timeout=4)) == "in time"
        await router.aclose()
