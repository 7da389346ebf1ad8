"""Answers found by meaning through LangCache: what our own search promises holds, whatever the service does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from typer.testing import CliRunner

from steprouter import ConfigError, MemoryPolicy, ModelCard, Price, StepRouter
from steprouter.caching import AnswerCache, LangCacheService
from steprouter.caching.bound import pool_of
from steprouter.cli import app
from steprouter.config import load
from steprouter.store.embedded import EmbeddedServer
from steprouter.testing import FrozenClock, ScriptedChatModel, refused_url, say

pytest.importorskip("langcache")

from langcache_service import ATTRIBUTES, CACHE, KEY, LangCacheDouble, running

from steprouter.memory.recall import Missing
from steprouter.store.cache.langcache_wire import Asked, LangCacheWire, Leave

ITALY, ITALY_TOO, ROME = (
    "What is the capital of Italy?",
    "what is the capital of  ITALY",
    "Which city is Italy's capital?",
)
FRANCE = "What is the capital of France?"


PATIENT_SECONDS = 20.0
"""What our own store is waited for: a busy machine is not what is tested."""


class Bench:
    """A router with an answer cache behind which a service stands, and how often its model was asked."""

    def __init__(self, service: LangCacheService, store: str = "memory", cache: Any = None, **given: Any) -> None:
        self.model = ScriptedChatModel(say("Rome."), model_name="small")
        self.clock = FrozenClock()
        self.router = StepRouter(
            [ModelCard(name="small", model=self.model, price=Price(input=1, output=2))],
            answer_cache=AnswerCache(langcache=service, **(cache or {})),
            temperature=0,
            store=store,
            clock=self.clock,
            **given,
        )
        self.engine: Any = self.router.engine
        settings = self.engine.connection.settings
        self.engine.connection.settings = lambda: replace(settings(), deadline_seconds=PATIENT_SECONDS)
        if store != "memory":
            self.engine.connection.open()
        self.search.wire.leave.clock = lambda: 100.0

    @property
    def search(self) -> Any:
        return self.engine.memory.shelf.search()

    def messages(self, text: str) -> list[Any]:
        return [SystemMessage("Be brief."), HumanMessage(text)]

    def ask(self, text: str, **place: Any) -> Any:
        tags = place.pop("tags", [])
        self.answer = self.router.invoke(self.messages(text), {"configurable": place, "tags": tags})
        return self.settled(place)

    async def aask(self, text: str, **place: Any) -> Any:
        self.answer = await self.router.ainvoke(self.messages(text), {"configurable": place})
        return self.settled(place)

    def settled(self, place: Any) -> Any:
        """The trace of the step, once its answer is kept."""
        self.engine.background.wait()
        self.engine.sink.flush()
        step = self.answer.response_metadata["steprouter"]["step_id"]
        trace = self.router.traces.of(place.get("tenant", "default")).get(step)
        assert trace is not None
        return trace


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not this machine's own."""
    monkeypatch.setenv("STEPROUTER_KEY", "of these tests alone")


@pytest.fixture
def service() -> Iterator[tuple[LangCacheDouble, LangCacheService]]:
    with running() as both:
        yield both


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory"
    server: EmbeddedServer = request.getfixturevalue("server")
    return server.url


@pytest.fixture
def bench(service: tuple[LangCacheDouble, LangCacheService], store: str) -> Iterator[Bench]:
    """A bench that leaves nothing in the server, which others use too."""
    made = Bench(service[1], store)
    yield made
    made.router.memory.forget(tenant="default")
    made.router.close()


@pytest.fixture
def double(service: tuple[LangCacheDouble, LangCacheService]) -> LangCacheDouble:
    return service[0]


def test_a_question_in_other_letters_is_found_by_the_service_and_answered_from_our_store(bench, double):
    assert bench.ask(ITALY).cache == "miss"
    trace = bench.ask(ITALY_TOO)
    assert (trace.cache, trace.cached.layer, bench.answer.text) == ("hit", "semantic", "Rome.")
    assert len(bench.model.calls) == 1
    (kept,) = double.kept.values()
    vectors = double.embedder.embed(kept.prompt), double.embedder.embed(ITALY_TOO)
    assert trace.cached.similarity == pytest.approx((1 + float(vectors[0] @ vectors[1])) / 2)
    assert kept.response == f"steprouter answer 1 {trace.cached.entry}"


async def test_the_same_holds_where_nothing_may_block(bench):
    assert (await bench.aask(ITALY)).cache == "miss"
    assert (await bench.aask(ITALY_TOO)).cached.layer == "semantic"
    assert (await bench.aask(FRANCE)).cache == "miss"


def test_the_very_question_costs_no_trip_to_the_service(bench, double):
    bench.ask(ITALY)
    bench.engine.memory.shelf.pocket.forget("default")
    before = double.searches
    assert bench.ask(ITALY).cached.layer == "exact"
    assert double.searches == before


@pytest.mark.parametrize(
    "other",
    [
        FRANCE,
        "What is not the capital of Italy?",
        "What was the capital of Italy?",
        "What is the capital of Italy in 1870?",
    ],
)
def test_likeness_alone_is_never_enough(bench, double, other):
    bench.ask(ITALY)
    trace = bench.ask(other)
    assert (trace.cache, len(bench.model.calls)) == ("miss", 2)
    assert "but another" in trace.cached.missed[0]


def test_what_reads_alike_must_prove_itself_on_the_scale_of_the_service(service):
    bench = Bench(service[1])
    bench.ask("Which novel should I read?")
    trace = bench.ask("What novel should I read?")
    assert trace.cache == "miss"
    assert trace.cached.pool == pool_of("a", bench_entry("b"), trace.cached.similarity, service[1].scale)
    assert trace.cached.pool.endswith(f", says {service[1].scale}")
    assert trace.cached.pool != pool_of("a", bench_entry("b"), trace.cached.similarity)
    bench.router.close()


def bench_entry(text: str) -> Any:
    from cached_answers import entry

    return entry("x", 1, text=text)


def test_tenants_never_meet_even_if_the_service_filters_nothing(bench, double):
    bench.ask(ITALY, tenant="a")
    double.is_filtering = False
    assert bench.ask(ITALY_TOO, tenant="b").cache == "miss"
    assert bench.ask(ITALY_TOO, user_id="ann", tenant="a").cache == "miss"
    assert bench.ask("what is THE capital of Italy", tenant="a").cache == "hit"
    assert not bench.search.dead
    bench.router.memory.forget(tenant="a")
    bench.router.memory.forget(tenant="b")


def test_an_answer_lives_as_long_there_as_here(bench, double):
    bench.ask(ITALY)
    assert [one.ttl_millis for one in double.kept.values()] == [24 * 3_600_000]
    bench.clock.sleep(24 * 3600)
    assert bench.ask(ITALY_TOO).cache == "miss"


@pytest.mark.parametrize("what", [{}, {"tag": "geo"}, {"model": "small"}, {"node": None}])
def test_what_is_removed_is_not_found_any_more(bench, double, what):
    bench.ask(ITALY, tags=["geo"])
    removed = {name: value for name, value in what.items() if value is not None}
    assert bench.router.answers.invalidate(**removed) == 1
    assert len(double.kept) == (
        "model" in removed
    )  # a service takes five attributes: what points there points at nothing
    assert bench.ask(ITALY_TOO).cache == "miss"


def test_a_pointer_to_nothing_is_removed_once_it_was_met(bench, double):
    bench.ask(ITALY)
    bench.router.answers.invalidate(model="small")
    (dead,) = double.kept
    bench.ask(ITALY_TOO)
    assert dead not in double.kept
    assert len(double.kept) == 1


def test_a_question_that_is_asked_again_after_its_answer_was_removed_is_found_again(bench):
    bench.ask(ITALY)
    bench.router.answers.invalidate(model="small")
    assert [bench.ask(text).cache for text in (ITALY, ITALY_TOO)] == ["miss", "hit"]


@pytest.mark.parametrize("whom", [{"user": "ann"}, {"thread": "t1"}, {}])
def test_who_is_forgotten_is_forgotten_by_the_service(bench, double, whom):
    bench.ask(ITALY, user_id="ann", thread_id="t1", tenant="shop")
    bench.ask(ITALY, user_id="bob", thread_id="t2", tenant="shop")
    assert len(double.kept) == 2
    bench.router.memory.forget(tenant="shop", **whom)
    assert len(double.kept) == (1 if whom else 0)
    bench.router.memory.forget(tenant="shop")


def test_an_answer_that_was_found_wrong_is_given_to_nobody(bench):
    bench.ask(ITALY)
    wrong = bench.ask(ITALY_TOO)
    bench.router.feedback(wrong.step_id, 0.0)
    bench.engine.sink.flush()
    assert bench.ask("WHAT is the capital of Italy?").cache == "miss"


def test_the_service_is_told_no_secret_and_no_answer_and_no_name(bench, double):
    bench.ask("Is ann@example.org with key sk-proj-Zx81kQp0LmN4vB7yTg2HdR5w on the list?", tenant="shop", user_id="ann")
    sent = repr([(one.prompt, one.response, one.attributes) for one in double.kept.values()])
    assert "<email-1>" in sent
    for hidden in ("ann", "sk-proj", "shop", "Rome", "small"):
        assert hidden not in sent
    assert bench.ask("Is bob@example.org with key sk-proj-Zx81kQp0LmN4vB7yTg2HdR5w on the list?").cache == "miss"
    bench.router.memory.forget(tenant="shop")


def test_only_what_is_compared_by_meaning_is_told(service):
    bench = Bench(service[1], cache={"nodes": ["desk"]})
    bench.ask(ITALY)
    bench.ask("What is the weather today?")
    bench.ask("x" * 2000)
    assert service[0].requests == []
    bench.router.close()


# A service that is broken


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (401, "LangCache answered 401; see its api_key"),
        (403, "LangCache answered 403; see its api_key"),
        (404, "LangCache answered 404; see its server_url and cache_id"),
        (400, "LangCache answered 400; it must have the attributes tenant, scope, user, thread and tag"),
        (424, "LangCache answered 424"),
        (429, "LangCache answered 429"),
        (500, "LangCache answered 500"),
        (503, "LangCache answered 503"),
        ("garbage", "LangCache answered what cannot be understood"),
    ],
)
async def test_a_service_that_refuses_costs_a_hit_and_is_left_alone(service, fault, said, caplog):
    double, named = service
    bench = Bench(named)
    bench.ask(ITALY)
    double.fault = fault
    trace = bench.ask(ITALY_TOO)
    assert (trace.cache, bench.answer.text, trace.degraded) == ("miss", "Rome.", (f"langcache: {said}",))
    asked = len(double.requests)
    assert (await bench.aask("WHAT is the capital of Italy?")).degraded == (f"langcache: {said}",)
    assert len(double.requests) == asked
    assert (KEY in caplog.text, "refused {" in caplog.text) == (False, False)
    double.fault = None
    bench.search.wire.leave.answered()
    assert bench.ask("what is the capital of Italy").cache == "hit"
    bench.router.close()


async def test_a_service_that_is_silent_costs_its_deadline_once(service):
    double, named = service
    bench = Bench(replace(named, timeout_seconds=0.5))
    double.fault = "silence"
    trace = await bench.aask(ITALY)
    assert (trace.cache, trace.degraded) == ("miss", ("langcache: LangCache took longer than 0.5 s",))
    asked = double.searches
    assert bench.ask(ITALY_TOO).degraded == trace.degraded
    assert double.searches == asked
    double.speak()
    bench.router.close()


def test_a_service_that_is_away_is_a_miss():
    with refused_url() as url:
        bench = Bench(LangCacheService(server_url=url, cache_id=CACHE, api_key=KEY))
        trace = bench.ask(ITALY)
        assert trace.degraded == ("langcache: LangCache does not answer: ConnectError",)
        assert bench.answer.text == "Rome."
        bench.router.close()


@pytest.mark.parametrize(
    "response", ["Paris.", "", "steprouter answer 1 ../x", "steprouter answer 2 {}", "steprouter answer 1 abc"]
)
def test_a_service_that_makes_things_up_gives_nothing(bench, double, response):
    entry = bench.ask(ITALY).cached.entry
    (one,) = double.kept.values()
    one.response = response.format(entry)
    assert bench.ask(ITALY_TOO).cache == "miss"


def test_an_answer_to_another_question_is_not_given_because_the_service_says_so(bench, double):
    bench.ask(FRANCE)
    bench.ask(ITALY)
    (italy,) = (one.response for one in double.kept.values() if one.prompt == ITALY)
    for one in double.kept.values():
        one.response = italy
    assert bench.ask("what is the capital of france").cache == "miss"


async def test_where_our_own_store_does_not_answer_nothing_is_given(bench, monkeypatch):
    bench.ask(ITALY)
    gone = Missing(reason="store degraded: it is away")

    async def aknown(*_: Any) -> Missing:
        return gone

    monkeypatch.setattr(bench.engine.memory.shelf, "known", lambda *_: gone)
    monkeypatch.setattr(bench.engine.memory.shelf, "aknown", aknown)
    for trace in (bench.ask(ITALY_TOO), await bench.aask("what is the capital of Italy")):
        assert (trace.cache, trace.degraded) == ("miss", ("langcache: store degraded: it is away",))


def test_after_a_failure_one_tries_the_service_and_others_wait_for_that():
    now = [100.0]
    leave = Leave(0.5, lambda: now[0])
    assert leave.barred() is None
    leave.failed(Missing(reason="down"))
    assert leave.barred() == Missing(reason="down")
    now[0] += 5
    assert leave.barred() is None
    assert leave.barred() is not None
    leave.failed(Missing(reason="down"), pause_seconds=3600)
    now[0] += 59
    assert leave.barred() is not None
    now[0] += 1
    assert leave.barred() is None
    leave.answered()
    assert (leave.barred(), leave.barred()) == (None, None)


def test_a_service_that_asks_for_a_pause_gets_it(service):
    double, named = service
    wire = LangCacheWire(named)
    wire.leave.clock = lambda: 100.0
    double.fault, double.retry_after = 429, "30"
    asked = Asked(text="Hi", attributes={}, least=0.5, most=1)
    assert wire.search(asked) == Missing(reason="LangCache answered 429")
    assert wire.leave.until == 130
    wire.close()


# How it is named


def test_the_key_is_in_no_repr_and_in_no_error():
    service = LangCacheService(server_url="https://host.example", cache_id="c", api_key=KEY)
    assert KEY not in repr(service) + repr(AnswerCache(langcache=service)) + str(service.api_key)
    with pytest.raises(ConfigError) as error:
        LangCacheService(server_url="https://host.example", cache_id="c", api_key=f"{KEY}\n")
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_url": "http://host.example"},
        {"server_url": "host.example"},
        {"server_url": "https://ann:pw@host.example"},
        {"cache_id": ""},
        {"cache_id": "a/b"},
        {"api_key": ""},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": 11},
    ],
)
def test_a_service_that_cannot_be_is_refused(wrong):
    given: Any = {"server_url": "https://host.example", "cache_id": "c", "api_key": "k"}
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LangCacheService(**{**given, **wrong})


def test_a_service_without_meaning_is_refused():
    service = LangCacheService(server_url="https://host.example", cache_id="c", api_key="k")
    with pytest.raises(ConfigError, match="semantic is off"):
        AnswerCache(langcache=service, semantic=False)


def test_without_its_client_a_router_cannot_be_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "langcache", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'steprouter[langcache]'")):
        Bench(LangCacheService(server_url="https://host.example", cache_id="c", api_key="k"))


FILE = """
models: [{name: small, model: gpt-5-nano, api_key: "a key"}]
answer_cache:
  langcache: {server_url: "https://host.example", cache_id: c, api_key: "${LANGCACHE_API_KEY}"}
"""


def test_a_file_names_the_service_and_its_key_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LANGCACHE_API_KEY", KEY)
    path = tmp_path / "steprouter.yaml"
    path.write_text(FILE)
    made = load(path).answers
    assert made.langcache == LangCacheService(server_url="https://host.example", cache_id="c", api_key=KEY)
    assert KEY not in repr(made)
    path.write_text(FILE.replace("https", "ftp"))
    with pytest.raises(ConfigError, match="server_url") as error:
        load(path)
    assert KEY not in str(error.value)


def test_the_attributes_a_service_must_have_are_those_it_is_told(bench, double):
    bench.ask(ITALY, user_id="ann", thread_id="t", tags=["geo"])
    (kept,) = double.kept.values()
    assert set(kept.attributes) == set(ATTRIBUTES)
    assert all(value.isascii() and value.isalnum() for value in kept.attributes.values())


def test_the_command_line_tells_the_service_what_is_removed(service, server, tmp_path, monkeypatch):
    double, named = service
    path = tmp_path / "steprouter.yaml"
    path.write_text(
        f"store: {server.url}\ntenant: cli\nanswer_cache:\n  langcache:\n    server_url: {named.server_url}\n"
        f"    cache_id: {CACHE}\n    api_key: ${{LANGCACHE_API_KEY}}\n"
    )
    monkeypatch.setenv("LANGCACHE_API_KEY", KEY)
    bench = Bench(named, server.url)
    for words in (["cache", "invalidate", "--tag", "geo"], ["memory", "forget", "--user", "ann", "--yes"]):
        bench.ask(ITALY, tenant="cli", user_id="ann", tags=["geo"])
        assert len(double.kept) == 1
        done = CliRunner().invoke(app, [*words, "--config", str(path)])
        assert done.exit_code == 0, done.output
        assert double.kept == {}
        bench.clock.sleep(5)  # as long as this process may believe that nothing was removed
    bench.router.close()


def test_answers_that_are_sealed_are_found_too(service, server):
    bench = Bench(service[1], server.url, memory_policy=MemoryPolicy(journal_key="a key of 16 chars"))
    bench.ask(ITALY, tenant="sealed")
    assert bench.ask(ITALY_TOO, tenant="sealed").cache == "hit"
    bench.router.memory.forget(tenant="sealed")
    bench.router.close()
