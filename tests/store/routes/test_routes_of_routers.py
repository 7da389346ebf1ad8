"""Routes as a router's steps meet them: at hand from the first step, never waited for, the same for all tenants."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from typing import Any

import pytest
from kept_routes import BILLING, BUGS, CODE, EMBEDDER, MONEY, client_of, examples, followed, route, settle, taken
from langchain_core.runnables import RunnableConfig
from redis import Redis
from redisvl.extensions.router import SemanticRouter  # type: ignore[import-untyped]
from redisvl.extensions.router.schema import Route as TheirRoute  # type: ignore[import-untyped]
from redisvl.utils.vectorize import OpenAITextVectorizer  # type: ignore[import-untyped]
from store_processes import Eventually

from steprouter import MemoryPolicy, ModelCard, Policy, StepRouter, Tier, Trace
from steprouter.embedding import VectorizerEmbedder
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.routes.edit import semantic_router
from steprouter.testing import ScriptedChatModel, obliging

REFUND, BUG = "Refund please", "There is a bug in the Python function"


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Redis]:
    with client_of(server.url) as found:
        found.flushall()
        yield found
        found.flushall()


def router(
    store: str = "memory", *, memory: MemoryPolicy | None = None, tenant: str | None = None, **policy: Any
) -> StepRouter:
    cards = [
        ModelCard(name=name, model=ScriptedChatModel(obliging), tier=tier)
        for name, tier in (("small", Tier.LOW), ("large", Tier.HIGH))
    ]
    given = {"routes": (BILLING, route("bugs", *CODE, threshold=0.35, models="large")), **policy}
    return StepRouter(cards, policy=Policy(**given), store=store, tenant=tenant, memory_policy=memory)


def asked(of: StepRouter, text: str, **place: Any) -> Trace:
    """The trace of a step."""
    answer = of.invoke(text, RunnableConfig(configurable=place))
    trace = of.traces.get(answer.response_metadata["steprouter"]["step_id"])
    assert trace is not None
    return trace


def test_the_first_step_of_a_process_takes_its_route() -> None:
    made = router()
    found = [(trace.route, trace.model) for trace in (asked(made, REFUND), asked(made, BUG))]
    assert found == [("billing", "small"), ("bugs", "large")]
    assert asked(made, REFUND).degraded == ()


async def test_the_first_step_of_an_event_loop_takes_its_route() -> None:
    made = router()
    answer = await made.ainvoke(BUG)
    trace = made.traces.get(answer.response_metadata["steprouter"]["step_id"])
    assert trace is not None
    assert (trace.route, trace.model) == ("bugs", "large")


def test_routes_work_where_nothing_is_remembered() -> None:
    assert asked(router(memory=MemoryPolicy(on=False)), REFUND).route == "billing"


def test_a_router_follows_what_redisvl_changes_and_stops_with_it(
    server: EmbeddedServer, client: Redis, eventually: Eventually
) -> None:
    made = router(server.url, routes_in="support")
    assert asked(made, REFUND).route == "billing"
    routes = made.engine.routes
    assert routes is not None
    eventually(lambda: routes.seen is not None)
    semantic_router("support", EMBEDDER, redis_client=client).remove_route("billing")
    eventually(lambda: "billing" not in examples(routes), seconds=1.0)
    assert asked(made, REFUND).route is None
    thread = routes.thread
    assert thread is not None
    made.close()
    assert not thread.is_alive()


def test_all_tenants_of_a_deployment_have_the_same_routes(server: EmbeddedServer, client: Redis) -> None:
    made, other = (router(server.url, tenant=tenant) for tenant in ("acme", "evil"))
    assert {asked(one, REFUND, thread_id="t").route for one in (made, other)} == {"billing"}
    routes = made.engine.routes
    assert routes is not None
    settle(routes)
    kept = [key.decode() for key in client.scan_iter("*route*")]
    assert kept
    assert all(key.startswith("sr:{d}:routes:") for key in kept)
    assert made.memory.forget(tenant="acme").erased
    settle(routes)
    assert sorted(examples(routes)) == ["billing", "bugs"]
    made.close()
    other.close()


def test_a_stored_router_that_is_not_there_is_said_in_the_trace(server: EmbeddedServer, client: Redis) -> None:
    made = router(server.url, routes=(route("billing"),), routes_in="nobody")
    assert asked(made, REFUND).route is None
    routes = made.engine.routes
    assert routes is not None
    routes.look_now()
    assert asked(made, REFUND).degraded == ("routes: there is no stored router 'nobody'",)
    made.close()


def test_a_stored_router_needs_a_store_and_that_is_said_in_the_trace(eventually: Eventually) -> None:
    made = router(routes=(route("billing"),), routes_in="support")
    said = "routes: the stored router 'support' needs a Redis, and the store is memory"
    eventually(lambda: asked(made, REFUND).degraded == (said,))


class Hosted:
    """An embedder at the other end of a line, which answers many texts only when it is let."""

    identity, dimension, blocks = "hosted/256", 256, True

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.fails = 0
        self.embedded: list[str] = []

    def embed(self, text: str) -> Any:
        return EMBEDDER.embed(text)

    def embed_many(self, texts: Sequence[str]) -> Any:
        assert self.may_answer.wait(20)
        if self.fails:
            self.fails -= 1
            raise OSError("the line is dead")
        self.embedded += texts
        return EMBEDDER.embed_many(texts)


def test_a_slow_embedder_holds_no_step_up(eventually: Eventually) -> None:
    slow = Hosted()
    made = router(memory=MemoryPolicy(embedder=slow))
    assert asked(made, REFUND).route is None
    slow.may_answer.set()
    eventually(lambda: asked(made, REFUND).route == "billing")
    made.close()


def test_an_embedder_that_fails_is_asked_again_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    broken = Hosted()
    broken.may_answer.set()
    broken.fails = 1
    ours = followed(connect("memory"), BILLING, embedder=broken)
    pause = ours.look_now()
    assert ours.degraded == "the examples could not be embedded: hosted/256 failed: OSError"
    assert pause is not None
    assert 1 < pause <= 2
    ours.try_at = 0.0
    assert ours.look_now() is None
    assert (ours.degraded, taken(ours, REFUND)) == (None, "billing")


def test_what_is_stored_is_not_embedded_again(server: EmbeddedServer, client: Redis) -> None:
    """A second process of a deployment with a hosted embedder pays for the example that is new."""
    connection = connect(server.url, deadline_seconds=2.0)
    first, second = Hosted(), Hosted()
    first.may_answer.set()
    second.may_answer.set()
    settle(followed(connection, BILLING, embedder=first))
    settle(followed(connection, route("billing", *MONEY, "My card was debited"), embedder=second))
    assert (first.embedded, second.embedded) == ([*MONEY], ["My card was debited"])
    third = Hosted()
    settle(followed(connection, BILLING, BUGS, named="support", embedder=first))
    settle(followed(connection, BILLING, BUGS, named="support", embedder=third))
    assert third.embedded == []
    connection.close()


def test_a_forked_child_follows_for_itself(server: EmbeddedServer, client: Redis, eventually: Eventually) -> None:
    connection = connect(server.url, deadline_seconds=2.0)
    ours = followed(connection, BILLING, named="support")
    assert ours.table() is not None
    eventually(lambda: ours.seen is not None)
    child = os.fork()
    if child == 0:
        try:
            assert ours.table() is not None
            eventually(lambda: "weather" in examples(ours), seconds=15.0)
            os._exit(0)
        finally:
            os._exit(1)
    semantic_router("support", EMBEDDER, redis_client=client).add_route(TheirRoute(name="weather", references=["Rain"]))
    assert os.waitpid(child, 0)[1] == 0
    ours.close()
    connection.close()


def test_routes_that_nobody_uses_any_more_end_their_thread(eventually: Eventually) -> None:
    ours = followed(connect("unix:///nowhere/s"), BILLING)
    ours.table()
    thread = ours.thread
    assert thread is not None
    del ours
    eventually(lambda: not thread.is_alive())


def test_in_memory_nothing_is_followed_and_no_thread_stays(eventually: Eventually) -> None:
    ours = followed(connect("memory"), BILLING)
    assert ours.table() is not None
    thread = ours.thread
    assert thread is not None
    eventually(lambda: not thread.is_alive())
    assert ours.table() is not None
    assert ours.thread is thread


class Embeddings(BaseHTTPRequestHandler):
    """What a hosted embedding model answers."""

    def do_POST(self) -> None:  # http.server's name
        asked = loads(self.rfile.read(int(self.headers["content-length"])))
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        vectors = EMBEDDER.embed_many(texts).tolist()
        rows = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        body = dumps({"object": "list", "data": rows, "model": asked["model"], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An embedding model on the loopback, found by the environment."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Embeddings) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{serving.server_port}")
        yield
        serving.shutdown()


def test_the_example_of_changing_routes_runs_as_it_is_printed(
    server: EmbeddedServer, client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "routes.md").read_text()
    connection = connect(server.url, deadline_seconds=2.0)
    ours = settle(followed(connection, BILLING, route("code", *CODE), named="support"))
    names: dict[str, Any] = {}
    exec(page.split("```py\n")[1].split("```")[0].replace("redis://localhost:6379", str(server.url)), names)
    ours.look_now()
    assert sorted(examples(ours)) == ["billing", "weather"]
    assert capsys.readouterr().out == "billing\n"
    names["client"].close()
    connection.close()


def test_redisvl_opens_what_one_of_its_own_vectorizers_embedded(
    server: EmbeddedServer, client: Redis, hosted: None
) -> None:
    connection: Connection = connect(server.url, deadline_seconds=2.0)
    embedder = VectorizerEmbedder(OpenAITextVectorizer(model="text-embedding-3-small"))
    ours = settle(followed(connection, BILLING, BUGS, named="support", embedder=embedder))
    theirs = SemanticRouter.from_existing("support", redis_client=client)
    assert [theirs(text).name for text in (REFUND, BUG)] == ["billing", "bugs"]
    theirs.add_route_references("billing", "My card was debited")
    ours.look_now()
    assert examples(ours)["billing"] == (*MONEY, "My card was debited")
    assert ours.degraded is None
    connection.close()
