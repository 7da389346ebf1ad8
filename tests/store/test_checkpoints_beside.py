"""LangGraph's own Redis checkpointer and store, on the server that routing memory uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import redis
from langgraph.graph import END, START, MessagesState, StateGraph

from steprouter import ModelCard, StepRouter
from steprouter.step.step import Place, Step, StepKind
from steprouter.store.embedded import EmbeddedServer
from steprouter.testing import ScriptedChatModel, say

with warnings.catch_warnings():
    # These packages warn about themselves.
    warnings.simplefilter("ignore", DeprecationWarning)
    from langgraph.checkpoint.redis import RedisSaver
    from langgraph.checkpoint.redis.aio import AsyncRedisSaver
    from langgraph.store.redis import RedisStore
    from langgraph.store.redis.aio import AsyncRedisStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

THREAD: Any = {"configurable": {"thread_id": "t"}}
REDISVL = tuple(map(int, version("redisvl").split(".")[:2]))


@pytest.fixture
def url(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("STEPROUTER_KEY", "a key for tests only")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    yield server.url


@pytest.fixture
def router(url: str) -> Iterator[StepRouter]:
    model = ScriptedChatModel([say("one"), say("two"), say("three")], model_name="small")
    router = StepRouter([ModelCard(name="small", model=model)], store=url)
    yield router
    router.close()


def agent(router: StepRouter) -> Any:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: {"messages": [router.invoke(state["messages"])]})
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    return graph


async def answer(router: StepRouter, state: MessagesState) -> dict[str, Any]:
    return {"messages": [await router.ainvoke(state["messages"])]}


def steps(router: StepRouter) -> int:
    """How many steps the session of the thread has."""
    router.engine.sink.flush()
    step = Step(id="s", kind=StepKind.CHAT, place=Place(thread="t"))
    return int(router.engine.memory.recall(step, router.engine.embedder.embed("x")).section("session").steps)


def test_the_url_of_the_store_is_there_for_other_clients(url: str, router: StepRouter):
    assert router.redis_url() == url
    assert StepRouter([ModelCard(name="m", model=ScriptedChatModel([]))], store="memory").redis_url() is None


def test_checkpoints_and_sessions_live_side_by_side(url: str, router: StepRouter):
    with RedisSaver.from_conn_string(url) as saver:
        saver.setup()
        app = agent(router).compile(checkpointer=saver)
        app.invoke({"messages": [("user", "hi")]}, THREAD)
        said = app.invoke({"messages": [("user", "again")]}, THREAD)["messages"]
        assert [m.content for m in said] == ["hi", "one", "again", "two"]
        assert steps(router) == 2
        saver.delete_thread("t")
    assert steps(router) == 2


async def test_checkpoints_by_the_async_saver_do_the_same(url: str, router: StepRouter):
    async with AsyncRedisSaver.from_conn_string(url) as saver:
        await saver.asetup()
        graph: Any = StateGraph(MessagesState)

        async def node(state: MessagesState) -> dict[str, Any]:
            return await answer(router, state)

        graph.add_node("agent", node)
        graph.add_edge(START, "agent")
        graph.add_edge("agent", END)
        app = graph.compile(checkpointer=saver)
        await app.ainvoke({"messages": [("user", "hi")]}, THREAD)
        said = (await app.ainvoke({"messages": [("user", "again")]}, THREAD))["messages"]
    assert [m.content for m in said] == ["hi", "one", "again", "two"]
    assert steps(router) == 2


def test_what_a_store_keeps_is_found_beside_routing_memory(url: str, router: StepRouter):
    """With namespaces of one part: of longer ones search 2.10 finds nothing by key, whoever uses the server."""
    router.invoke("hi", THREAD)
    with RedisStore.from_conn_string(url) as store:
        store.setup()
        store.put(("preferences",), "bob", {"tone": "brief"})
        assert store.get(("preferences",), "bob").value == {"tone": "brief"}
        assert [item.key for item in store.search(("preferences",))] == ["bob"]
    assert steps(router) == 1


@pytest.mark.skipif(REDISVL < (0, 28), reason="redisvl 0.27 takes the client it is given")
async def test_the_async_store_refuses_to_start_with_this_redisvl(url: str):
    """Says when the note about it in the documentation may go."""
    with pytest.raises(TypeError, match="requires a sync Redis client"):
        async with AsyncRedisStore.from_conn_string(url):
            pass


def test_no_key_of_ours_looks_like_one_of_theirs(url: str, router: StepRouter):
    router.invoke("hi", THREAD)
    steps(router)
    with redis.Redis.from_url(url) as client:
        assert {key.split(b":")[0] for key in client.keys("*")} == {b"sr"}
