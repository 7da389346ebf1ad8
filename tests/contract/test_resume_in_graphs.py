"""An answer that broke off in a graph is gone on with when its node runs again, and never by anything else."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from pydantic import SecretStr

from steprouter import Abilities, AllModelsFailed, AnswerBroken, MemoryPolicy, ModelCard, Policy, Resumption, StepRouter
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.testing import Continuing, Cut, Rejection, SimulatedProvider, continuing, say

with warnings.catch_warnings():
    # The package warns about itself.
    warnings.simplefilter("ignore", DeprecationWarning)
    from langgraph.checkpoint.redis import RedisSaver

TEXT = " ".join(f"word{number}" for number in range(40)) + "."
HALF = " ".join(f"word{number}" for number in range(19))
"""What is shown of it where it breaks after 20 words: the last one might have gone on."""
THREAD: Any = {"configurable": {"thread_id": "t-1"}}
ALONE = Policy(max_attempts=1)
"""A break ends the step, as if the connection and all other models were gone."""


class State(TypedDict, total=False):
    asked: list[str]
    said: Annotated[list[str], operator.add]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    held = acquire(tmp_path_factory.mktemp("redis"), grace_seconds=0.0)
    yield held
    held.release()


@pytest.fixture
def model() -> Continuing:
    return continuing(TEXT, [Cut(after_chunks=20)])


@pytest.fixture
def url(model: Continuing) -> Iterator[str]:
    with SimulatedProvider({"m": model}) as provider:
        yield provider.url


def router_at(url: str, policy: Policy = ALONE, **fields: Any) -> StepRouter:
    card = ModelCard(name="m", model="m", base_url=url, abilities=Abilities(prefill=True))
    return StepRouter([card], policy=policy, **{"store": "memory", **fields})


def speaking(router: StepRouter) -> Any:
    """A node that says what the model answers, while it answers."""

    def speak(state: State) -> State:
        return {"said": ["".join(chunk.text for chunk in router.stream(state["asked"][-1]))]}

    return speak


def graph_of(router: StepRouter, saver: Any = None, **node: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("speak", speaking(router), **node)
    graph.add_edge(START, "speak")
    return graph.compile(checkpointer=saver or InMemorySaver())


@contextmanager
def checkpointer(kind: str, server: EmbeddedServer, folder: Path) -> Iterator[Any]:
    """Where a graph keeps how far it has come."""
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "sqlite":
        with SqliteSaver.from_conn_string(str(folder / "checkpoints")) as sqlite:
            yield sqlite
    else:
        with RedisSaver.from_conn_string(server.url) as redis:
            redis.setup()
            yield redis


def ask(words: str = "Tell me.") -> State:
    return {"asked": [words]}


def test_a_node_that_is_retried_goes_on_where_it_broke(url: str, model: Continuing) -> None:
    policy = RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=AnswerBroken)
    router = router_at(url)
    parts = list(graph_of(router, retry_policy=policy).stream(ask(), THREAD, stream_mode=["custom", "values"]))
    assert parts[-1][1]["said"] == [TEXT]
    assert model.continuations == [("prefill", len(HALF))]
    (told,) = [part for mode, part in parts if mode == "custom" and part["event"] == "resumed"]
    assert (told["rung"], told["at_char"], told["text"]) == ("prefill", len(HALF), HALF)
    trace = router.traces.list()[-1]
    assert [attempt.is_earlier for attempt in trace.attempts] == [True, False]
    assert all(attempt.output_tokens for attempt in trace.attempts)
    router.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_a_graph_that_is_resumed_goes_on_where_it_broke(
    kind: str, url: str, model: Continuing, server: EmbeddedServer, tmp_path: Path
) -> None:
    with checkpointer(kind, server, tmp_path) as saver:
        graph = graph_of(router_at(url), saver)
        with pytest.raises(AnswerBroken) as broken:
            graph.invoke(ask(), THREAD)
        assert broken.value.partial == HALF
        assert graph.invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == [("prefill", len(HALF))]


def test_what_could_not_be_gone_on_with_now_is_gone_on_with_later(url: str, model: Continuing) -> None:
    model.faults = (Cut(after_chunks=20), Rejection(status=503))
    graph = graph_of(router_at(url))
    with pytest.raises(AnswerBroken):
        graph.invoke(ask(), THREAD)
    with pytest.raises(AllModelsFailed):
        graph.invoke(None, THREAD)
    assert graph.invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations[-1] == ("prefill", len(HALF))


def test_another_process_goes_on_through_the_store(url: str, model: Continuing, server: EmbeddedServer) -> None:
    saver, first = InMemorySaver(), router_at(url, store=server.url, tenant="one")
    with pytest.raises(AnswerBroken):
        graph_of(first, saver).invoke(ask(), THREAD)
    assert first.engine.journal is not None
    assert first.engine.journal.flush()
    second = router_at(url, store=server.url, tenant="one")
    assert graph_of(second, saver).invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == [("prefill", len(HALF))]
    for router in (first, second):
        router.close()


def test_another_tenant_never_does(url: str, model: Continuing, server: EmbeddedServer) -> None:
    saver, first = InMemorySaver(), router_at(url, store=server.url, tenant="two")
    with pytest.raises(AnswerBroken):
        graph_of(first, saver).invoke(ask(), THREAD)
    second = router_at(url, store=server.url, tenant="three")
    assert graph_of(second, saver).invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == []
    for router in (first, second):
        router.close()


@pytest.mark.parametrize("is_same", [True, False])
def test_a_journal_is_encrypted_where_a_key_is_set_and_opened_by_it_alone(
    is_same: bool, url: str, model: Continuing, server: EmbeddedServer
) -> None:
    def keyed(key: str) -> StepRouter:
        memory = MemoryPolicy(journal_key=SecretStr(key))
        return router_at(url, store=server.url, tenant="four", memory_policy=memory)

    saver, first, second = InMemorySaver(), keyed("k" * 32), keyed("k" * 32 if is_same else "x" * 32)
    first.engine.connection.call(lambda client: client.flushdb(), deadline_seconds=20.0)
    with pytest.raises(AnswerBroken):
        graph_of(first, saver).invoke(ask(), THREAD)
    assert first.engine.journal is not None
    assert first.engine.journal.flush()
    kept = first.engine.connection.call(
        lambda client: [client.hgetall(key) for key in client.scan_iter("sr:*journal*")], deadline_seconds=20.0
    )
    assert "word1" not in str(kept)
    assert "k" * 32 not in repr(first) + repr(first.engine.kept)
    assert graph_of(second, saver).invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == ([("prefill", len(HALF))] if is_same else [])
    for router in (first, second):
        router.close()


def test_a_new_question_never_goes_on_with_an_old_answer(url: str, model: Continuing) -> None:
    graph = graph_of(router_at(url))
    with pytest.raises(AnswerBroken):
        graph.invoke(ask(), THREAD)
    assert graph.invoke(ask("Something else."), THREAD)["said"] == [TEXT]
    assert model.continuations == []


def test_time_travel_never_does(url: str, model: Continuing) -> None:
    graph = graph_of(router_at(url))
    with pytest.raises(AnswerBroken):
        graph.invoke(ask(), THREAD)
    (before,) = [one for one in graph.get_state_history(THREAD) if one.next == ("__start__",)]
    assert graph.invoke(None, before.config)["said"] == [TEXT]
    assert model.continuations == []


def test_a_node_that_fails_after_its_answer_asks_anew(url: str, model: Continuing) -> None:
    router, model.faults = router_at(url), ()

    def speak(state: State) -> State:
        said = router.invoke(state["asked"][-1]).text
        interrupt("may I?")
        return {"said": [said]}

    graph = StateGraph(State)
    graph.add_node("speak", speak)
    graph.add_edge(START, "speak")
    made: Any = graph.compile(checkpointer=InMemorySaver())
    made.invoke(ask(), THREAD)
    assert made.invoke(Command(resume=True), THREAD)["said"] == [TEXT]
    assert (model.requests, model.continuations) == (2, [])


def test_branches_go_on_with_their_own_answers(url: str) -> None:
    def script(request: Any) -> Any:
        said = str(request.last["content"])
        topic = request.prompt
        whole = " ".join(f"{topic}{number}" for number in range(40)) + "."
        if request.last["role"] == "assistant":
            assert whole.startswith(said)
            return say(whole[len(said) :])
        return say(whole).cut(after_chunks=20)

    with SimulatedProvider({"m": script}) as provider:
        router = router_at(provider.url)

        def branch(state: Any) -> State:
            return {"said": ["".join(chunk.text for chunk in router.stream(state["topic"]))]}

        graph = StateGraph(State)
        graph.add_node("branch", branch)
        graph.add_conditional_edges(START, lambda state: [Send("branch", {"topic": t}) for t in state["asked"]])
        made: Any = graph.compile(checkpointer=InMemorySaver())
        with pytest.raises(AnswerBroken):
            made.invoke({"asked": ["a", "b", "c"]}, THREAD)
        said = made.invoke(None, THREAD)["said"]
        continued = [request for request in provider.requests if request.last["role"] == "assistant"]
        router.close()
    assert said == [" ".join(f"{topic}{number}" for number in range(40)) + "." for topic in "abc"]
    assert len(continued) >= 1


def test_a_graph_inside_another_goes_on_too(url: str, model: Continuing) -> None:
    inner = StateGraph(State)
    inner.add_node("speak", speaking(router_at(url)))
    inner.add_edge(START, "speak")
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    made: Any = outer.compile(checkpointer=InMemorySaver())
    with pytest.raises(AnswerBroken):
        made.invoke(ask(), THREAD)
    assert made.invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == [("prefill", len(HALF))]


@pytest.mark.parametrize("keep", [False, True])
def test_a_consumer_that_leaves_leaves_a_journal_only_if_asked_to(keep: bool, url: str, model: Continuing) -> None:
    router, model.faults = router_at(url, Policy(resume=Resumption(keep_when_left=keep))), ()
    given: list[str] = []

    def speak(state: State) -> State:
        stream = router.stream(state["asked"][-1])
        if not given:
            given.append("".join(next(stream).text for _ in range(5)))
            stream.close()  # type: ignore[attr-defined]  # a generator
            raise ConnectionError("the reader is gone")
        return {"said": ["".join(chunk.text for chunk in stream)]}

    graph = StateGraph(State)
    graph.add_node("speak", speak)
    graph.add_edge(START, "speak")
    made: Any = graph.compile(checkpointer=InMemorySaver())
    with pytest.raises(ConnectionError):
        made.invoke(ask(), THREAD)
    assert made.invoke(None, THREAD)["said"] == [TEXT]
    assert model.continuations == ([("prefill", len(given[0]))] if keep else [])


def test_outside_a_graph_nothing_is_kept(url: str, model: Continuing) -> None:
    router = router_at(url)
    with pytest.raises(AnswerBroken):
        list(router.stream("Tell me."))
    assert router.engine.journal is None
    assert router.invoke("Tell me.").text == TEXT
    assert model.continuations == []
