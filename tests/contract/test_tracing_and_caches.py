"""One model run for each routed call: tokens once, usage once, one trace; and LangChain's caches and wrappers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer

from steprouter import AllModelsFailed, ModelCard, Policy, Price, StepRouter, Tier
from steprouter.testing import ScriptedChatModel, SimulatedProvider, Usage, call, fail, say

ANSWER = say("three small words", usage=Usage(input_tokens=10, output_tokens=3))
V3_IS_BETA = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


@tool
def weather(city: str) -> str:
    """Weather in a city."""
    return f"rain in {city}"


def card(name: str, script: Any, tier: Tier = Tier.LOW, usd: float = 1, **fields: Any) -> ModelCard:
    model = ScriptedChatModel(script, model_name=name, **fields)
    return ModelCard(name=name, model=model, tier=tier, price=Price(input=usd, output=usd))


def router_over(*scripts: Any, **fields: Any) -> StepRouter:
    """A router over models `m0`, `m1` …, each dearer and stronger than the one before."""
    tiers = (Tier.LOW, Tier.MID, Tier.HIGH)
    cards = [card(f"m{i}", script, tiers[i], i + 1) for i, script in enumerate(scripts)]
    return StepRouter(cards, store="memory", **fields)


class Runs(BaseTracer):
    """Keeps every finished run."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        pass

    def _end_trace(self, run: Any) -> None:
        super()._end_trace(run)
        self.all.append(run)

    @property
    def models(self) -> list[Any]:
        return [run for run in self.all if run.run_type in ("llm", "chat_model")]


class Starts(BaseCallbackHandler):
    """Keeps what each model run started with."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.all.append({**kwargs, "metadata": dict(kwargs["metadata"])})  # tracers write into it later


HI: Any = {"messages": "hi"}


# One of everything, as with a plain model


def arrangements() -> list[Any]:
    """A plain model and routers over it; the second router's first model is down."""
    return [
        ScriptedChatModel(repeat(ANSWER)),
        router_over(repeat(ANSWER)),
        router_over(repeat(fail(503)), repeat(ANSWER)),
    ]


def test_an_agents_step_is_one_model_run_with_its_tokens_and_usage_once():
    seen = []
    for model in arrangements():
        starts, usage = Starts(), UsageMetadataCallbackHandler()
        agent = create_agent(model, tools=[])
        shown: Any = list(agent.stream(HI, {"callbacks": [starts, usage]}, stream_mode="messages"))
        tokens = sum(u["total_tokens"] for u in usage.usage_metadata.values())
        seen.append((len(starts.all), "".join(c.text for c, _ in shown), len({c.id for c, _ in shown}), tokens))
    assert seen == [(1, "three small words", 1, 13)] * 3


async def test_an_agents_async_step_is_one_model_run_with_its_tokens_and_usage_once():
    seen = []
    for model in arrangements():
        starts, usage = Starts(), UsageMetadataCallbackHandler()
        agent = create_agent(model, tools=[])
        config: Any = {"callbacks": [starts, usage]}
        shown: list[Any] = [c async for c, _ in agent.astream(HI, config, stream_mode="messages")]
        tokens = sum(u["total_tokens"] for u in usage.usage_metadata.values())
        seen.append((len(starts.all), "".join(c.text for c in shown), len({c.id for c in shown}), tokens))
    assert seen == [(1, "three small words", 1, 13)] * 3


async def test_astream_events_tell_each_token_of_an_agents_step_once():
    seen = []
    for model in arrangements():
        events = [e async for e in create_agent(model, tools=[]).astream_events(HI, version="v2")]
        told = [e["event"] for e in events if "chat_model" in e["event"]]
        text = "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream")
        seen.append((told.count("on_chat_model_start"), told.count("on_chat_model_end"), text))
    assert seen == [(1, 1, "three small words")] * 3


@V3_IS_BETA
def test_the_v3_protocol_tells_each_token_of_an_agents_step_once():
    seen = []
    for model in arrangements():
        starts, usage = Starts(), UsageMetadataCallbackHandler()
        config: Any = {"callbacks": [starts, usage]}
        stream: Any = create_agent(model, tools=[]).stream_events(HI, config, version="v3")
        text = ["".join(message.text) for message in stream.messages]
        seen.append((len(starts.all), text, sum(u["total_tokens"] for u in usage.usage_metadata.values())))
    assert seen == [(1, ["three small words"], 13)] * 3


def test_a_streamed_step_has_no_more_chunks_than_the_plain_models_own():
    plain, router, _ = arrangements()
    # The plain double opens with an empty chunk, as providers do; that one says nothing and is not passed on.
    assert len(list(plain.stream("hi"))) - 1 == len(list(router.stream("hi"))) == 4


LANGSMITH_SCRIPT = """
from langchain.agents import create_agent
from langchain_core.tracers.langchain import wait_for_all_tracers
from steprouter import ModelCard, StepRouter
from steprouter.testing import ScriptedChatModel, fail, say

plain = ScriptedChatModel(say("three small words"), model_name="good")
router = StepRouter(
    [ModelCard(name="a", model=ScriptedChatModel(fail(503), model_name="bad")), ModelCard(name="b", model=plain)],
    store="memory",
)
for name, model in (("plain", plain), ("routed", router)):
    for _ in create_agent(model, tools=[], name=name).stream({"messages": "hi"}, stream_mode="messages"):
        pass
wait_for_all_tracers()
"""


class LangSmith(BaseHTTPRequestHandler):
    """Takes runs as LangSmith does and keeps the bodies."""

    def do_GET(self) -> None:
        self.answer(b"{}")

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)  # type: ignore[attr-defined]  # set by the test
        self.answer(b"{}")

    def answer(self, body: bytes) -> None:
        self.send_response(202)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def runs_posted() -> list[dict[str, Any]]:
    """The runs that a traced process posts to LangSmith."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), LangSmith)
    bodies: list[bytes] = []
    server.bodies = bodies  # type: ignore[attr-defined]  # read by the handler
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    tracing = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "LANGSMITH_API_KEY": "not-a-key",
        "LANGSMITH_DISABLE_RUN_COMPRESSION": "true",
    }
    script = [sys.executable, "-c", LANGSMITH_SCRIPT]
    subprocess.run(script, env={**os.environ, **tracing}, check=True, timeout=50, capture_output=True)
    server.shutdown()
    server.server_close()
    posted = re.findall(rb'name="post\.[0-9a-f-]{36}".*?\r\n\r\n(\{.*?\})\r\n--', b"".join(bodies), re.DOTALL)
    return [json.loads(run) for run in posted]


def test_langsmith_gets_the_same_runs_from_a_router_as_from_a_plain_model():
    runs = runs_posted()
    roots = {run["name"]: run["trace_id"] for run in runs if run["id"] == run["trace_id"]}
    types = {n: sorted(r["run_type"] for r in runs if r["trace_id"] == trace) for n, trace in roots.items()}
    assert types["plain"] == types["routed"]
    assert types["routed"].count("llm") == 1


# What a trace says


def test_a_trace_names_the_decided_model_before_the_run_and_the_real_one_after_a_failover():
    router, starts, runs = router_over([fail(503)], [ANSWER]), Starts(), Runs()
    router.invoke("hi", {"callbacks": [starts, runs]})
    begun, ended = starts.all[0]["metadata"], runs.models[0].extra["metadata"]
    assert (begun["ls_model_name"], begun["ls_provider"]) == ("m0", "scripted")
    assert (ended["ls_model_name"], ended["ls_provider"]) == ("m1", "scripted")


def test_a_streamed_trace_names_the_real_model_after_a_failover_too():
    router, runs = router_over([fail(503)], [ANSWER]), Runs()
    list(router.stream("hi", {"callbacks": [runs]}))
    assert runs.models[0].extra["metadata"]["ls_model_name"] == "m1"


@V3_IS_BETA
def test_a_v3_trace_names_the_real_model_too():
    router, runs = router_over([fail(503)], [ANSWER]), Runs()
    assert router.stream_events("hi", {"callbacks": [runs]}, version="v3").output.text == "three small words"
    assert runs.models[0].extra["metadata"]["ls_model_name"] == "m1"


@pytest.mark.parametrize("how", ["invoke", "stream", "v3"])
@V3_IS_BETA
def test_no_private_argument_is_seen_by_tracers(how):
    router, starts, runs = router_over(repeat(ANSWER)), Starts(), Runs()
    config: Any = {"callbacks": [starts, runs]}
    bound = router.bind_tools([weather])
    if how == "v3":
        stream: Any = bound.stream_events("hi", config, version="v3")
        assert stream.output
    else:
        list(bound.stream("hi", config)) if how == "stream" else bound.invoke("hi", config)
    told = repr(starts.all) + repr(runs.models[0].extra) + repr(runs.models[0].inputs)
    assert "weather" in told
    assert "steprouter_" not in told


def test_no_private_argument_reaches_a_candidate_or_its_server():
    with SimulatedProvider({"m": repeat(ANSWER)}) as provider:
        model = ScriptedChatModel(repeat(ANSWER))
        served = ModelCard(name="served", model="m", base_url=provider.url)
        for one in (served, ModelCard(name="own", model=model)):
            StepRouter([one], store="memory").bind_tools([weather]).invoke("hi")
        bodies = repr(provider.requests[0].extra) + repr(model.calls[0].extra)
    assert "steprouter" not in bodies


def test_a_step_that_fails_is_one_failed_model_run():
    runs = Runs()
    with pytest.raises(AllModelsFailed):
        router_over([fail(503)], [fail(500)]).invoke("hi", {"callbacks": [runs]})
    assert [bool(run.error) for run in runs.models] == [True]


def test_callbacks_tags_and_metadata_of_the_router_reach_its_runs():
    starts = Starts()
    router = router_over(repeat(ANSWER), callbacks=[starts], tags=["of router"], metadata={"team": "blue"})
    router.with_config(tags=["of call"]).invoke("hi")
    assert set(starts.all[0]["tags"]) == {"of router", "of call"}
    assert starts.all[0]["metadata"]["team"] == "blue"


# LangChain's cache


def test_the_second_identical_call_is_answered_by_langchains_cache():
    router = router_over([ANSWER], cache=InMemoryCache())
    first, second = router.invoke("hi"), router.invoke("hi")
    assert second.content == first.content
    assert len(router.traces.list()) == 1


async def test_langchains_cache_also_answers_async_calls_with_tools_bound():
    router = router_over([call("weather", city="Oslo")], cache=InMemoryCache())
    answers = [await router.bind_tools([weather]).ainvoke("hi") for _ in range(2)]
    assert answers[1].tool_calls == answers[0].tool_calls


def test_langchains_cache_answers_a_step_that_an_agent_streams():
    router = router_over([ANSWER], cache=InMemoryCache())
    agent: Any = create_agent(router, tools=[weather])
    shown = ["".join(c.text for c, _ in agent.stream(HI, stream_mode="messages")) for _ in range(2)]
    assert shown == ["three small words"] * 2


def test_a_cached_tool_call_is_not_given_to_a_call_without_tools():
    router = router_over([call("weather", city="Oslo"), ANSWER], cache=InMemoryCache())
    router.bind_tools([weather]).invoke("hi")
    assert router.invoke("hi").text == "three small words"


@pytest.mark.parametrize(
    "other",
    [{"temperature": 1.0}, {"max_tokens": 7}, {"stop": ["x"]}, {"tenant": "acme"}],
    ids=lambda setting: next(iter(setting)),
)
def test_routers_with_other_settings_do_not_share_cached_answers(other):
    cache = InMemoryCache()
    router_over([say("old")], cache=cache).invoke("hi")
    assert router_over([say("new")], cache=cache, **other).invoke("hi").text == "new"


def test_routers_over_models_with_other_settings_do_not_share_cached_answers():
    cache = InMemoryCache()
    for temperature, text in ((0.0, "cold"), (1.0, "hot")):
        models = [card("m", [say(text)], temperature=temperature)]
        assert StepRouter(models, store="memory", cache=cache).invoke("hi").text == text


def test_routers_over_two_servers_with_models_of_one_name_do_not_share_cached_answers():
    cache = InMemoryCache()
    with SimulatedProvider({"m": [say("here")]}) as here, SimulatedProvider({"m": [say("there")]}) as there:
        for server, text in ((here, "here"), (there, "there")):
            models = [ModelCard(name="m", model="m", base_url=server.url)]
            assert StepRouter(models, store="memory", cache=cache).invoke("hi").text == text


def test_a_models_key_is_in_no_cache_key_and_no_trace():
    settings = {"api_key": "sk-very-secret-0001", "temperature": 0.1}
    router = StepRouter([ModelCard(name="m", model="openai:gpt-x", settings=settings)], store="memory")
    told = router._get_llm_string() + repr(router._get_invocation_params())
    assert "very-secret" not in told


# Limits, retries, fallbacks, configurable fields


class Counting(InMemoryRateLimiter):
    """Lets everything through and counts."""

    def __init__(self) -> None:
        super().__init__(requests_per_second=1e9, max_bucket_size=1e9)
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True


async def test_the_routers_limiter_counts_steps_and_a_models_limiter_counts_calls():
    of_router, of_first, of_second = Counting(), Counting(), Counting()
    models = [
        card("m0", repeat(fail(503)), Tier.LOW, 1, rate_limiter=of_first),
        card("m1", repeat(ANSWER), Tier.MID, 2, rate_limiter=of_second),
    ]
    router = StepRouter(models, store="memory", rate_limiter=of_router)
    router.invoke("hi")
    await router.ainvoke("hi")
    list(router.stream("hi"))
    assert [c async for c in router.astream("hi")]
    assert (of_router.asked, of_first.asked, of_second.asked) == (4, 4, 4)


def test_with_retry_begins_a_step_anew():
    router = router_over([fail(503), ANSWER], policy=Policy(patience_seconds=0))
    assert router.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke("hi").content
    assert [trace.outcome for trace in router.traces.list()] == ["exhausted", "sufficient"]


def test_fallbacks_are_kept_when_tools_are_bound_after_them():
    spare = ScriptedChatModel([call("weather", city="Oslo")])
    chain: Any = router_over([fail(503)]).with_fallbacks([spare])
    assert chain.bind_tools([weather]).invoke("hi").tool_calls[0]["args"] == {"city": "Oslo"}
    assert len(spare.calls) == 1


def test_configurable_fields_change_a_call_and_keep_engine_and_connections():
    router = router_over(repeat(ANSWER))
    chain: Any = router.configurable_fields(temperature=ConfigurableField(id="temperature"))
    config: Any = {"configurable": {"temperature": 0.7}}
    chain.invoke("hi", config)
    rebuilt, _ = chain.prepare(config)
    model: Any = router.cards[0].model
    assert model.calls[0].temperature == 0.7
    assert rebuilt.engine is router.engine


def test_a_router_rebuilt_by_configurable_fields_still_streams_inside_a_graph():
    router = router_over(repeat(ANSWER))
    chain: Any = router.configurable_fields(temperature=ConfigurableField(id="temperature"))
    rebuilt, _ = chain.prepare({"configurable": {"temperature": 0.7}})
    agent = create_agent(rebuilt, tools=[])
    assert len(list(agent.stream(HI, stream_mode="messages"))) == 4


def test_configurable_alternatives_choose_between_a_router_and_a_plain_model():
    chain: Any = router_over(repeat(ANSWER)).configurable_alternatives(
        ConfigurableField(id="model"), default_key="router", plain=ScriptedChatModel(say("plain"))
    )
    assert chain.invoke("hi").text == "three small words"
    assert chain.invoke("hi", {"configurable": {"model": "plain"}}).text == "plain"


# The ways around `invoke` and `stream`


def test_generate_answers_every_prompt_as_a_step_of_its_own():
    router = router_over(repeat(ANSWER))
    result = router.generate([[m] for m in prompts("a", "b")], metadata={"thread_id": "t", "tenant": "acme"})
    assert [g[0].text for g in result.generations] == ["three small words"] * 2
    assert [t.thread for t in traces_of(router, "acme")] == ["t", "t"]


async def test_agenerate_answers_every_prompt_as_a_step_of_its_own():
    router = router_over(repeat(ANSWER))
    result = await router.agenerate([[m] for m in prompts("a", "b")], tags=["x"])
    assert [g[0].text for g in result.generations] == ["three small words"] * 2
    assert len(router.traces.list()) == 2


@V3_IS_BETA
async def test_v3_events_of_the_router_itself_keep_the_callers_thread_and_tenant():
    router = router_over(repeat(ANSWER))
    config: Any = {"configurable": {"thread_id": "t", "tenant": "acme"}}
    assert router.stream_events("hi", config, version="v3").output.text == "three small words"
    stream = await router.astream_events("hi", config, version="v3")
    assert (await stream.output).text == "three small words"
    assert [t.thread for t in traces_of(router, "acme")] == ["t", "t"]


def prompts(*texts: str) -> list[HumanMessage]:
    return [HumanMessage(text) for text in texts]


def traces_of(router: StepRouter, tenant: str) -> list[Any]:
    """The traces of a tenant that a run named."""
    from steprouter.tracing.archive import Traces

    return Traces(router.engine.shelf.keeper, tenant=tenant, flush=router.engine.sink.flush).list()


def test_every_chunk_of_a_step_has_the_runs_own_message_id():
    router, runs = router_over(repeat(ANSWER)), Runs()
    shown: list[AIMessageChunk] = list(router.stream("hi", {"callbacks": [runs]}))
    assert {c.id for c in shown} == {f"lc_run--{runs.models[0].id}"}
