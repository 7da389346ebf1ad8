"""Which journal a call finds when a real graph is resumed, tried again, or sent elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from journal_graphs import THREAD, WORDS, Broken, Speaker, State, agent
from journal_pages import PATIENT_SECONDS
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from steprouter.store import connect
from steprouter.store.embedded import EmbeddedServer

WHOLE, HALF = "".join(WORDS), "".join(WORDS[:2])


@pytest.fixture
def url(server: EmbeddedServer) -> str:
    connection = connect(server.url)
    connection.call(lambda client: client.flushdb(), deadline_seconds=PATIENT_SECONDS)
    connection.close()
    return server.url


@pytest.fixture
def process(url: str) -> Iterator[Any]:
    """Makes speakers, each of a process of its own as far as the store can tell."""
    made: list[Speaker] = []

    def start() -> Speaker:
        made.append(Speaker(connect(url, deadline_seconds=PATIENT_SECONDS)))
        return made[-1]

    yield start
    for speaker in made:
        speaker.journal.close()
        speaker.connection.close()


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield InMemorySaver()
    else:
        with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints")) as one:
            yield one


def breaks_in(graph: Any, speaker: Speaker, given: Any, config: Any = THREAD, **how: Any) -> None:
    speaker.breaks = lambda prompt: True
    with pytest.raises(Broken):
        graph.invoke(given, config, **how)
    speaker.breaks = lambda prompt: False


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_graph_resumed_after_an_error_goes_on(process: Any, saver: Any, durability: str) -> None:
    first, second = process(), process()
    breaks_in(agent(first).compile(checkpointer=saver), first, {"said": ["hi"]}, durability=durability)
    assert agent(second).compile(checkpointer=saver).invoke(None, THREAD)["said"][-1] == WHOLE
    assert (first.found, second.found) == ([None], [HALF])


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_graph_resumed_after_its_process_was_killed_goes_on(
    process: Any, url: str, tmp_path: Path, durability: str
) -> None:
    program = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("journal_graphs.py"))]
    dead = subprocess.run([*program, str(tmp_path), url, durability], check=False)
    assert dead.returncode == -signal.SIGKILL
    second = process()
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints")) as saver:
        assert agent(second).compile(checkpointer=saver).invoke(None, THREAD)["said"] == ["hi", "result", WHOLE]
    assert second.found == [HALF]


def test_new_ids_of_tasks_do_not_matter_after_a_crash(process: Any) -> None:
    """The last checkpoint was lost with the process, as may be where checkpoints are written in the background."""
    first, second, saver = process(), process(), InMemorySaver()

    def crash() -> None:
        raise KeyboardInterrupt  # leaves nothing in order

    first.end, first.breaks = crash, lambda prompt: True
    with pytest.raises(KeyboardInterrupt):
        agent(first).compile(checkpointer=saver).invoke({"said": ["hi"]}, THREAD, durability="sync")
    lost = next(iter(saver.list(THREAD))).config["configurable"]["checkpoint_id"]
    del saver.storage["t-1"][""][lost]
    assert agent(second).compile(checkpointer=saver).invoke(None, THREAD)["said"][-1] == WHOLE
    assert second.found == [HALF]
    assert second.tasks != first.tasks


def test_time_travel_begins_anew(process: Any, saver: Any) -> None:
    first, second = process(), process()
    breaks_in(agent(first).compile(checkpointer=saver), first, {"said": ["hi"]})
    graph = agent(second).compile(checkpointer=saver)
    for step in graph.get_state_history(THREAD):
        if step.next:
            graph.invoke(None, step.config)
    assert second.found == [None] * len(second.found)
    assert len(second.found) >= 2


@pytest.mark.parametrize("text", ["another", "hi"])
def test_new_input_begins_anew(process: Any, saver: Any, text: str) -> None:
    first, second = process(), process()
    breaks_in(agent(first).compile(checkpointer=saver), first, {"said": ["hi"]})
    agent(second).compile(checkpointer=saver).invoke({"said": [text]}, THREAD)
    assert second.found == [None]


def test_a_node_under_a_retry_policy_goes_on_in_the_same_process(process: Any) -> None:
    speaker, tries = process(), iter([True, False])
    speaker.breaks = lambda prompt: next(tries)
    graph = StateGraph(State)
    policy = RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=Broken)
    graph.add_node("model", lambda state: {"said": [speaker("hi")]}, retry_policy=policy)
    graph.add_edge(START, "model")
    made: Any = graph.compile(checkpointer=InMemorySaver())
    made.invoke({"said": []}, THREAD)
    assert speaker.found == [None, HALF]


def test_a_node_that_fails_after_its_answer_asks_anew(process: Any) -> None:
    speaker, tries = process(), iter([True, False])

    def model(state: State) -> State:
        said = speaker("hi")
        if next(tries):
            raise Broken
        return {"said": [said]}

    graph = StateGraph(State)
    graph.add_node("model", model, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=Broken))
    graph.add_edge(START, "model")
    made: Any = graph.compile(checkpointer=InMemorySaver())
    made.invoke({"said": []}, THREAD)
    assert speaker.found == [None, None]


def test_a_node_that_asks_the_same_twice_goes_on_with_what_broke(process: Any, saver: Any) -> None:
    def build(speaker: Speaker) -> Any:
        graph = StateGraph(State)
        graph.add_node("model", lambda state: {"said": [speaker("same"), speaker("same")]})
        graph.add_edge(START, "model")
        return graph.compile(checkpointer=saver)

    first, second, tries = process(), process(), iter([False, True])
    first.breaks = lambda prompt: next(tries)
    with pytest.raises(Broken):
        build(first).invoke({"said": []}, THREAD)
    assert build(second).invoke(None, THREAD)["said"] == [WHOLE, WHOLE]
    assert (first.found, second.found) == ([None, None], [HALF, None])


@pytest.mark.parametrize("is_same_prompt", [True, False])
def test_each_task_of_a_fan_out_finds_its_own(process: Any, saver: Any, *, is_same_prompt: bool) -> None:
    def build(speaker: Speaker) -> Any:
        graph = StateGraph(State)
        graph.add_node("worker", lambda state: {"said": [speaker("same" if is_same_prompt else state["said"][0])]})
        graph.add_conditional_edges(START, lambda state: [Send("worker", {"said": [str(n)]}) for n in range(3)])
        return graph.compile(checkpointer=saver)

    first, second = process(), process()
    breaks_in(build(first), first, {"said": []})
    begun = len(first.found)
    assert build(second).invoke(None, THREAD)["said"] == [WHOLE] * 3
    assert sorted(second.found, key=str) == [None] * (3 - begun) + [HALF] * begun


def test_a_node_of_a_sub_graph_goes_on(process: Any, saver: Any) -> None:
    def build(speaker: Speaker) -> Any:
        graph = StateGraph(State)
        graph.add_node("before", lambda state: {"said": ["before"]})
        graph.add_node("inner", agent(speaker).compile())
        graph.add_edge(START, "before")
        graph.add_edge("before", "inner")
        return graph.compile(checkpointer=saver)

    first, second = process(), process()
    breaks_in(build(first), first, {"said": ["hi"]})
    assert build(second).invoke(None, THREAD)["said"][-1] == WHOLE
    assert second.found == [HALF]


def test_a_node_that_is_interrupted_after_its_answer_asks_anew(process: Any, saver: Any) -> None:
    speaker = process()

    def model(state: State) -> State:
        said = speaker("hi")
        interrupt("go on?")
        return {"said": [said]}

    graph = StateGraph(State)
    graph.add_node("model", model)
    graph.add_edge(START, "model")
    made: Any = graph.compile(checkpointer=saver)
    made.invoke({"said": []}, THREAD)
    made.invoke(Command(resume="yes"), THREAD)
    assert speaker.found == [None, None]


def test_without_a_store_a_process_goes_on_from_what_it_left() -> None:
    speaker, saver = Speaker(connect("memory")), InMemorySaver()
    graph = agent(speaker).compile(checkpointer=saver)
    breaks_in(graph, speaker, {"said": ["hi"]})
    assert graph.invoke(None, THREAD)["said"][-1] == WHOLE
    graph.invoke({"said": ["again"]}, THREAD)
    assert speaker.found == [None, HALF, None]
