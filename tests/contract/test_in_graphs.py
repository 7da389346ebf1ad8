"""The router in real graphs: agents, middleware, sub-graphs, fan-out; who runs what, and what is told."""

from __future__ import annotations

import asyncio
import contextvars
import operator
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables.config import ContextThreadPoolExecutor, RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel, SecretStr

from steprouter import (
    Abilities,
    AllModelsFailed,
    AnswerBroken,
    ModelCard,
    Policy,
    Price,
    Resumption,
    Rule,
    StepRouter,
    Tier,
)
from steprouter.testing import ScriptedChatModel, SimulatedProvider, call, fail, obliging, say

V3_IS_BETA = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
REACT_IS_OLD = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
TIERS = (Tier.LOW, Tier.MID, Tier.HIGH)

PATH = "/home/bob/old/cache"
CUTS = ("close", "reset")


def card(place: int, script: Any, **fields: Any) -> ModelCard:
    model = ScriptedChatModel(script, model_name=f"m{place}")
    price = Price(input=place + 1, output=place + 1)
    return ModelCard(name=f"m{place}", model=model, tier=TIERS[place], price=price, **fields)


def router_over(*scripts: Any, **fields: Any) -> StepRouter:
    """A router over models `m0`, `m1` …, each dearer and stronger than the one before."""
    return StepRouter([card(i, script) for i, script in enumerate(scripts)], store="memory", **fields)


class Files:
    """A tool that deletes, and what it was told to delete."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

        @tool
        def delete_files(path: str) -> str:
            """Delete all files below a path."""
            self.deleted.append(path)
            return f"deleted {path}"

        self.tool = delete_files


@pytest.fixture
def files() -> Files:
    return Files()


@tool
def weather(city: str) -> str:
    """Weather in a city."""
    return f"rain in {city}"


class City(BaseModel):
    """A city and its country."""

    name: str
    country: str


OSLO = City(name="Oslo", country="Norway")


def ask(text: str = "hi") -> Any:
    return {"messages": [HumanMessage(text)]}


def outcomes(router: StepRouter) -> list[list[str]]:
    """Per step, how each attempt went: the failure's kind, or `ok`."""
    return [[a.failure.kind if a.failure else "ok" for a in trace.attempts] for trace in router.traces.list()]


# A stream that breaks inside a tool call: the tool never runs with half its arguments


@pytest.mark.parametrize("how", CUTS)
def test_a_tool_never_runs_with_arguments_that_were_cut(how, files):
    right = call("delete_files", path=PATH)
    router = router_over([right.cut(after_chunks=3, how=how), say("done")], [right])
    agent = create_agent(router, tools=[files.tool])
    list(agent.stream(ask(), stream_mode="messages"))
    assert files.deleted == [PATH]
    assert outcomes(router) == [["truncated" if how == "close" else "broken_stream", "ok"], ["ok"]]


@pytest.mark.parametrize("how", CUTS)
@V3_IS_BETA
def test_a_tool_never_runs_with_arguments_that_were_cut_in_the_v3_protocol(how, files):
    right = call("delete_files", path=PATH)
    router = router_over([right.cut(after_chunks=3, how=how), say("done")], [right])
    stream: Any = create_agent(router, tools=[files.tool]).stream_events(ask(), version="v3")
    assert stream.output["messages"][-1].text == "done"
    assert files.deleted == [PATH]


@pytest.mark.parametrize("how", ["close", "drop", "reset"])
async def test_a_tool_never_runs_with_arguments_that_a_server_cut(how, files):
    right = call("delete_files", path=PATH)
    with SimulatedProvider({"a": [right.cut(after_chunks=3, how=how), say("done")], "b": [right]}) as provider:
        models = [
            ModelCard(name=n, model=n, base_url=provider.url, tier=t, price=Price(input=t.rank, output=1))
            for n, t in (("a", Tier.LOW), ("b", Tier.HIGH))
        ]
        async_router = StepRouter(models, store="memory")
        agent = create_agent(async_router, tools=[files.tool])
        assert [c async for c in agent.astream(ask(), stream_mode="messages")]
        await async_router.aclose()
    assert files.deleted == [PATH]


@V3_IS_BETA
async def test_a_tool_never_runs_with_arguments_that_were_cut_in_the_async_v3_protocol(files):
    right = call("delete_files", path=PATH)
    router = router_over([right.cut(after_chunks=3), say("done")], [right])
    stream: Any = await create_agent(router, tools=[files.tool]).astream_events(ask(), version="v3")
    assert (await stream.output())["messages"][-1].text == "done"
    assert files.deleted == [PATH]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("how", ["close", "drop", "reset"])
async def test_a_tool_never_runs_with_arguments_that_were_cut_under_langchains_openai_model(how, asynchronous, files):
    """ChatOpenAI itself says nothing about a stream that ended politely in the middle."""
    right = call("delete_files", path=PATH)
    with SimulatedProvider({"a": [right.cut(after_chunks=3, how=how), say("done")], "b": [right]}) as provider:
        models = [
            ModelCard(name=n, tier=t, model=ChatOpenAI(model=n, base_url=provider.url, api_key=SecretStr("key")))
            for n, t in (("a", Tier.LOW), ("b", Tier.HIGH))
        ]
        agent = create_agent(StepRouter(models, store="memory"), tools=[files.tool])
        if asynchronous:
            assert [c async for c in agent.astream(ask(), stream_mode="messages")]
        else:
            assert list(agent.stream(ask(), stream_mode="messages"))
    assert files.deleted == [PATH]


@pytest.mark.parametrize("how", CUTS)
def test_a_tool_call_cut_after_text_was_shown_runs_nothing_where_nobody_goes_on(how, files):
    cut = say("I will clean up.").calling("delete_files", path=PATH).cut(after_chunks=7, how=how)
    router = router_over([cut], [say("unused")], policy=Policy(resume=Resumption(resumes=0)))
    with pytest.raises(AnswerBroken) as broken:
        list(create_agent(router, tools=[files.tool]).stream(ask(), stream_mode="messages"))
    assert broken.value.partial == "I will clean up."
    assert files.deleted == []


BROKEN_ARGUMENTS = '{"path": "/home/bob'


@pytest.mark.parametrize("mode", ["values", "messages"])
def test_broken_arguments_from_every_model_are_never_executed(mode, files):
    router = router_over([call("delete_files", BROKEN_ARGUMENTS)], [call("delete_files", BROKEN_ARGUMENTS)])
    agent = create_agent(router, tools=[files.tool], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    list(agent.stream(ask(), config, stream_mode=mode))
    last = agent.get_state(config).values["messages"][-1]
    assert (last.tool_calls, [c["name"] for c in last.invalid_tool_calls]) == ([], ["delete_files"])
    assert files.deleted == []


@V3_IS_BETA
def test_broken_arguments_from_every_model_are_never_executed_in_the_v3_protocol(files):
    router = router_over([call("delete_files", BROKEN_ARGUMENTS)], [call("delete_files", BROKEN_ARGUMENTS)])
    stream: Any = create_agent(router, tools=[files.tool]).stream_events(ask(), version="v3")
    last = stream.output["messages"][-1]
    assert (last.tool_calls, [c["name"] for c in last.invalid_tool_calls]) == ([], ["delete_files"])
    assert files.deleted == []


def test_parallel_calls_of_one_answer_all_run_once(files):
    both = call("delete_files", path="/a").calling("delete_files", path="/b")
    router = router_over([both, say("done")])
    list(create_agent(router, tools=[files.tool]).stream(ask(), stream_mode="messages"))
    assert sorted(files.deleted) == ["/a", "/b"]


def test_one_broken_call_among_parallel_ones_leaves_the_others_whole(files):
    both = call("delete_files", path="/a").calling("delete_files", BROKEN_ARGUMENTS)
    router = router_over([both, say("done")])
    list(create_agent(router, tools=[files.tool]).stream(ask(), stream_mode="messages"))
    assert files.deleted == ["/a"]


# Agents


def test_an_agent_of_several_steps_uses_the_cheapest_model_and_tells_the_kinds():
    router = router_over([call("weather", city="Oslo"), call("weather", city="Rome"), say("Rain.")], obliging)
    state = create_agent(router, tools=[weather]).invoke(ask("Weather in Oslo and Rome?"))
    assert state["messages"][-1].text == "Rain."
    assert [(t.kind, t.model) for t in router.traces.list()] == [
        ("tool_call", "m0"),
        ("read_result", "m0"),
        ("read_result", "m0"),
    ]


async def test_an_async_agent_fails_over_in_every_step():
    router = router_over(repeat(fail(503)), [call("weather", city="Oslo"), say("Rain.")])
    state = await create_agent(router, tools=[weather]).ainvoke(ask("Weather in Oslo?"))
    assert state["messages"][-1].text == "Rain."
    assert outcomes(router) == [["unavailable", "ok"]] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_tool_strategy_gives_a_structured_response(asynchronous):
    agent = create_agent(router_over([call("City", **OSLO.model_dump())]), response_format=ToolStrategy(City))
    state = await agent.ainvoke(ask()) if asynchronous else agent.invoke(ask())
    assert state["structured_response"] == OSLO


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_provider_strategy_gives_a_structured_response(asynchronous):
    router = router_over([say(OSLO.model_dump_json())])
    agent = create_agent(router, tools=[weather], response_format=ProviderStrategy(City))
    state = await agent.ainvoke(ask()) if asynchronous else agent.invoke(ask())
    model: Any = router.cards[0].model
    assert state["structured_response"] == OSLO
    assert model.calls[0].response_format["type"] == "json_schema"


def test_a_wrong_structured_answer_is_escalated_before_the_agent_sees_it():
    router = router_over([say('{"name": "Oslo"}')], [say(OSLO.model_dump_json())])
    agent = create_agent(router, tools=[], response_format=ProviderStrategy(City))
    parts: Any = list(agent.stream(ask(), stream_mode=["messages", "values"]))
    shown = "".join(part[0].text for mode, part in parts if mode == "messages")
    assert (shown, parts[-1][1]["structured_response"]) == (OSLO.model_dump_json(), OSLO)


def test_the_profile_lets_an_agent_choose_the_providers_own_structured_output():
    able = Abilities(json_schema=True)
    router = StepRouter([card(0, [say(OSLO.model_dump_json())], abilities=able)], store="memory")
    assert router.profile == {"structured_output": True}
    assert create_agent(router, tools=[], response_format=City).invoke(ask())["structured_response"] == OSLO


def test_one_model_without_structured_output_makes_an_agent_use_tools():
    scripts: Any = repeat(call("City", **OSLO.model_dump()))
    models = [card(i, scripts, abilities=Abilities(json_schema=i == 1)) for i in range(2)]
    router = StepRouter(models, store="memory")
    assert router.profile == {"structured_output": False}
    assert create_agent(router, tools=[], response_format=City).invoke(ask())["structured_response"] == OSLO


@REACT_IS_OLD
def test_create_react_agent_takes_the_router_bound_and_unbound():
    for bind in (lambda r: r, lambda r: r.bind_tools([weather])):
        router = router_over([call("weather", city="Oslo"), say("Rain.")])
        agent = create_react_agent(bind(router), [weather])
        assert agent.invoke(ask())["messages"][-1].text == "Rain."


@REACT_IS_OLD
def test_create_react_agent_takes_a_response_format():
    router = router_over([say("Oslo."), call("City", **OSLO.model_dump())])
    assert create_react_agent(router, [], response_format=City).invoke(ask())["structured_response"] == OSLO


def test_a_node_may_ask_for_structured_output():
    router = router_over([call("City", **OSLO.model_dump())])

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(router.with_structured_output(City).invoke(state["messages"])))]}

    graph = StateGraph(MessagesState).add_node("extract", node).add_edge(START, "extract").compile()
    assert graph.invoke(ask())["messages"][-1].text == str(OSLO)
    assert router.traces.list()[0].kind == "extract"


# Middleware


def test_a_summary_made_by_middleware_is_a_step_of_its_own_kind():
    router = router_over(repeat(say("short")))
    middleware = SummarizationMiddleware(router, trigger=("messages", 4), keep=("messages", 1))
    history = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage("e")]
    create_agent(router, tools=[], middleware=[middleware]).invoke({"messages": history})  # type: ignore[call-overload]  # a plain dict
    assert [t.kind for t in router.traces.list()] == ["summarize", "chat"]


def test_a_tool_selection_made_by_middleware_is_housekeeping():
    router = router_over([call("ToolSelectionResponse", tools=["weather"]), say("ok")])
    agent = create_agent(router, tools=[weather], middleware=[LLMToolSelectorMiddleware()])
    agent.invoke(ask())
    assert router.traces.list()[0].kind == "housekeeping"


def test_fallback_middleware_takes_over_when_the_router_has_nothing_left():
    router, spare = router_over([fail(503)]), ScriptedChatModel([say("spare")])
    agent = create_agent(router, tools=[], middleware=[ModelFallbackMiddleware(spare)])
    assert agent.invoke(ask())["messages"][-1].text == "spare"


@pytest.mark.parametrize(("status", "calls"), [(503, 2), (401, 1)])
def test_retry_middleware_trusts_what_the_router_says_of_retrying(status, calls):
    router = router_over([fail(status), say("ok")])
    again = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, jitter=False)
    with suppress(AllModelsFailed):
        create_agent(router, tools=[], middleware=[again]).invoke(ask())
    model: Any = router.cards[0].model
    assert len(model.calls) == calls


def test_a_human_in_the_loop_approves_a_call_and_the_agent_goes_on(files):
    router = router_over([call("delete_files", path=PATH), say("done")])
    gate = HumanInTheLoopMiddleware(interrupt_on={"delete_files": True})
    agent = create_agent(router, tools=[files.tool], middleware=[gate], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert agent.invoke(ask(), config)["__interrupt__"]
    assert files.deleted == []
    state = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert (files.deleted, state["messages"][-1].text) == ([PATH], "done")


def test_messages_survive_a_checkpointer_on_disk(tmp_path):
    router = router_over([call("weather", city="Oslo"), say("Rain.")])
    config: Any = {"configurable": {"thread_id": "t"}}
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        agent = create_agent(router, tools=[weather], checkpointer=saver)
        said = agent.invoke(ask(), config)["messages"]
        kept = agent.get_state(config).values["messages"]
    assert kept == said
    assert kept[1].response_metadata["steprouter"]["model"] == "m0"


# Other shapes of graphs


class Work(TypedDict):
    topics: list[str]
    done: Annotated[list[str], operator.add]


def test_a_fan_out_of_sends_makes_one_step_for_each_task():
    router = router_over(repeat(say("ok")))

    def fan(state: Work) -> list[Send]:
        return [Send("write", topic) for topic in state["topics"]]

    def write(topic: str) -> dict[str, Any]:
        return {"done": [f"{topic} {router.invoke(topic).text}"]}

    graph: Any = StateGraph(Work)
    graph = graph.add_node("write", write).add_conditional_edges(START, fan, ["write"]).compile()
    assert sorted(graph.invoke({"topics": ["a", "b", "c"], "done": []})["done"]) == ["a ok", "b ok", "c ok"]
    traces = router.traces.list()
    assert (len({t.task for t in traces}), {t.node for t in traces}) == (3, {"write"})


def test_a_step_in_a_sub_graph_is_told_with_its_thread_and_its_own_node():
    router = router_over(repeat(say("ok")))
    inner = create_agent(router, tools=[], name="inner")
    graph = StateGraph(MessagesState).add_node("team", inner).add_edge(START, "team").compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    parts: Any = graph.stream(ask(), config, stream_mode="messages", subgraphs=True)
    assert "".join(chunk.text for _, (chunk, _) in parts if isinstance(chunk, AIMessageChunk)) == "ok"
    assert [(t.thread, t.node) for t in router.traces.list()] == [("t", "model")]


def test_the_functional_api_runs_steps_with_thread_and_task():
    router = router_over(repeat(say("ok")))

    @task
    def write(topic: str) -> str:
        return router.invoke(topic).text

    @entrypoint(checkpointer=InMemorySaver())
    def work(topics: list[str]) -> list[str]:
        return [future.result() for future in [write(topic) for topic in topics]]

    assert work.invoke(["a", "b"], {"configurable": {"thread_id": "t"}}) == ["ok", "ok"]
    assert {(t.thread, t.node) for t in router.traces.list()} == {("t", "write")}


# Where a step happens


class Seen(TypedDict, total=False):
    text: str


async def run_node(node: Any, config: Any, *, asynchronous: bool) -> None:
    graph: Any = StateGraph(Seen).add_node("work", node).add_edge(START, "work").add_edge("work", END).compile()
    await (graph.ainvoke({}, config) if asynchronous else asyncio.to_thread(graph.invoke, {}, config))


def ways_of_calling(router: StepRouter) -> dict[str, Any]:
    """Nodes that call the router in every way that keeps the context."""

    def plain(state: Seen) -> Seen:
        return {"text": router.invoke("hi").text}

    async def awaited(state: Seen) -> Seen:
        return {"text": (await router.ainvoke("hi")).text}

    async def to_thread(state: Seen) -> Seen:
        return {"text": (await asyncio.to_thread(router.invoke, "hi")).text}

    async def as_task(state: Seen) -> Seen:
        return {"text": (await asyncio.create_task(router.ainvoke("hi"))).text}

    def pooled(state: Seen) -> Seen:
        with ContextThreadPoolExecutor() as pool:
            return {"text": pool.submit(router.invoke, "hi").result().text}

    def copied(state: Seen) -> Seen:
        with ThreadPoolExecutor() as pool:
            return {"text": pool.submit(contextvars.copy_context().run, router.invoke, "hi").result().text}

    def batched(state: Seen) -> Seen:
        return {"text": router.batch(["hi"])[0].text}

    return {f.__name__: f for f in (plain, awaited, to_thread, as_task, pooled, copied, batched)}


@pytest.mark.parametrize("way", ["plain", "awaited", "to_thread", "as_task", "pooled", "copied", "batched"])
async def test_a_trace_says_in_which_thread_node_and_task_a_step_was_made(way):
    router = router_over(repeat(say("ok")))
    node = ways_of_calling(router)[way]
    config = {"configurable": {"thread_id": "t"}}
    await run_node(node, config, asynchronous=way in ("awaited", "to_thread", "as_task"))
    trace = router.traces.list("t")[0]
    assert (trace.thread, trace.node, trace.graph_step) == ("t", "work", 1)
    assert trace.task is not None


async def test_a_thread_without_context_still_answers_and_takes_a_config_given_to_it():
    router = router_over(repeat(say("ok")))

    def bare(state: Seen, config: Any) -> Seen:
        thread = threading.Thread(target=router.invoke, args=("hi",))
        handed = threading.Thread(target=router.invoke, args=("hi", config))
        for one in (thread, handed):
            one.start()
            one.join()
        return {}

    bare.__annotations__["config"] = RunnableConfig  # LangGraph looks for the type itself, not for its name
    await run_node(bare, {"configurable": {"thread_id": "t"}}, asynchronous=False)
    lost, kept = [router.traces.list(name)[0] for name in ("(no thread)", "t")]
    assert (lost.thread, lost.node) == (None, None)
    assert (kept.thread, kept.node) == ("t", "work")


def test_tenant_and_user_come_from_the_runs_configuration():
    router = router_over(repeat(say("ok")))
    agent = create_agent(router, tools=[])
    agent.invoke(ask(), {"configurable": {"thread_id": "t", "tenant": "acme", "user_id": "u"}})
    assert router.traces.list() == []
    assert [line.thread for line in router.engine.shelf.keeper().threads("acme", 9)] == ["t"]


def test_the_routers_own_tenant_wins_over_the_runs():
    router = router_over(repeat(say("ok")), tenant="blue")
    create_agent(router, tools=[]).invoke(ask(), {"configurable": {"tenant": "acme"}})
    assert [t.tenant for t in router.traces.list()] == ["blue"]


def test_tags_of_a_call_are_seen_by_rules():
    policy = Policy(rules=(Rule(name="careful", tag="legal", models="m1"),))
    router = router_over(repeat(say("small")), repeat(say("large")), policy=policy)
    assert router.with_config(tags=["legal"]).invoke("hi").text == "large"
    assert router.invoke("hi").text == "small"


# What is told while it happens


def events(router: StepRouter, tools: Any = ()) -> list[Any]:
    told = create_agent(router, tools=list(tools)).stream(ask(), stream_mode="custom")
    return [(e["event"], e.get("from"), e.get("to")) for e in told if e["type"] == "steprouter"]


def test_a_failover_is_told_through_the_custom_stream():
    assert events(router_over([fail(503)], [say("ok")])) == [
        ("decision", None, None),
        ("attempt_failed", None, None),
        ("failover", "m0", "m1"),
    ]


def test_an_escalation_is_told_through_the_custom_stream(files):
    wrong, right = call("delete_files", place=PATH), call("delete_files", path=PATH)
    told = events(router_over([wrong, say("done")], [right]), [files.tool])
    assert told == [("decision", None, None), ("escalated", "m0", "m1"), ("decision", None, None)]
    assert files.deleted == [PATH]


async def test_an_async_graph_tells_the_same_events():
    router = router_over([fail(503)], [say("ok")])
    told = [e async for e in create_agent(router, tools=[]).astream(ask(), stream_mode="custom")]
    assert [e["event"] for e in told] == ["decision", "attempt_failed", "failover"]


def test_a_router_that_does_not_stream_decides_and_tells_once():
    router = router_over([say("ok")], disable_streaming=True)

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": list(router.stream(state["messages"]))}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    told = list(graph.stream(ask(), stream_mode="custom"))
    assert [e["event"] for e in told] == ["decision"]


# Errors, interrupts, cancellation


def test_all_models_failing_ends_the_run_with_an_error_that_carries_the_trace():
    router = router_over([fail(503)], [fail(500)])
    with pytest.raises(AllModelsFailed) as failed:
        create_agent(router, tools=[]).invoke(ask())
    assert failed.value.trace == router.traces.list()[0].model_copy(update={"cached": None})


def test_an_interrupt_inside_a_candidate_passes_through_and_the_node_resumes():
    class Asking(BaseChatModel):
        """A candidate that asks a human, as a tool-like model may."""

        @property
        def _llm_type(self) -> str:
            return "asking"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            from langchain_core.outputs import ChatGeneration

            return ChatResult(generations=[ChatGeneration(message=AIMessage(interrupt("who?")))])

    router = StepRouter([ModelCard(name="asking", model=Asking())], store="memory")
    agent = create_agent(router, tools=[], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert agent.invoke(ask(), config)["__interrupt__"][0].value == "who?"
    assert agent.invoke(Command(resume="Bob"), config)["messages"][-1].text == "Bob"
    assert [t.outcome for t in router.traces.list("t")] == ["cancelled", "sufficient"]


@V3_IS_BETA
def test_a_v3_run_that_is_aborted_leaves_one_cancelled_trace():
    router = router_over([say("one two three")])
    stream: Any = create_agent(router, tools=[]).stream_events(ask(), version="v3")
    for message in stream.messages:
        assert next(iter(message.text))
        stream.abort()
        break
    assert len(router.traces.list()) == 1


def test_a_graph_stream_that_is_closed_early_leaves_one_trace():
    router = router_over([say("one two three").slowly(seconds_per_chunk=0.2)])
    stream: Any = create_agent(router, tools=[]).stream(ask(), stream_mode="messages")
    next(stream)
    stream.close()
    assert len(router.traces.list()) == 1


async def test_a_cancelled_graph_leaves_one_trace_with_what_was_spent():
    router = router_over([say("one two three").slowly(seconds_per_chunk=5)])
    graph = create_agent(router, tools=[])

    async def first_token() -> None:
        async for _ in graph.astream(ask(), stream_mode="messages"):
            running.cancel()

    running = asyncio.create_task(first_token())
    with pytest.raises(asyncio.CancelledError):
        await running
    (trace,) = router.traces.list()
    assert (trace.outcome, trace.attempts[0].output_tokens > 0) == ("cancelled", True)


# Answers in content blocks


class Blocks(BaseChatModel):
    """A candidate that speaks in content blocks, as ChatAnthropic does."""

    chunks: list[Any]

    @property
    def _llm_type(self) -> str:
        return "blocks"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind()

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for chunk in self.chunks:
            message = chunk.model_copy(deep=True)
            message.response_metadata["model_provider"] = "anthropic"
            yield ChatGenerationChunk(message=message)


def fragment(args: str, **named: Any) -> list[Any]:
    return [{"type": "tool_call_chunk", "index": 2, "id": None, "name": None, "args": args, **named}]


def thinking_then_calling(*arguments: str) -> list[AIMessageChunk]:
    """The chunks of a Claude that thinks, says something and calls a tool with these pieces of arguments."""
    tool_use = {"type": "tool_use", "id": "t1", "name": "delete_files", "input": {}, "index": 2}
    pieces = [
        AIMessageChunk(
            content=[{"type": "input_json_delta", "partial_json": part, "index": 2}], tool_call_chunks=fragment(part)
        )
        for part in arguments
    ]
    return [
        AIMessageChunk(content=[{"type": "thinking", "thinking": "Let me ", "index": 0}]),
        AIMessageChunk(content=[{"type": "thinking", "thinking": "see.", "index": 0}]),
        AIMessageChunk(content=[{"type": "thinking", "signature": "SIG", "index": 0}]),
        AIMessageChunk(content=[{"type": "text", "text": "Cleaning ", "index": 1}]),
        AIMessageChunk(content=[{"type": "text", "text": "up.", "index": 1}]),
        AIMessageChunk(content=[tool_use], tool_call_chunks=fragment("", id="t1", name="delete_files")),
        *pieces,
        AIMessageChunk(content=[], response_metadata={"stop_reason": "tool_use"}, chunk_position="last"),
    ]


NATIVE = [
    {"type": "thinking", "thinking": "Let me see.", "signature": "SIG", "index": 0},
    {"type": "text", "text": "Cleaning up.", "index": 1},
    {"type": "tool_use", "id": "t1", "name": "delete_files", "input": {"path": "/a"}, "index": 2},
]
WHOLE = ('{"path":', ' "/a"}')
HALF = ('{"path":', ' "/a')


def blocks_router(arguments: tuple[str, ...], **fields: Any) -> StepRouter:
    model = Blocks(chunks=thinking_then_calling(*arguments))
    return StepRouter([ModelCard(name="blocks", model=model)], store="memory", **fields)


def added(chunks: Any) -> Any:
    first, *rest = chunks
    for chunk in rest:
        first = first + chunk
    return first


def test_content_blocks_come_whole_whether_streamed_or_not(files):
    model = blocks_router(WHOLE).bind_tools([files.tool])
    whole, streamed = model.invoke("x"), added(model.stream("x"))
    assert whole.content == streamed.content == NATIVE
    assert whole.tool_calls == streamed.tool_calls
    assert streamed.response_metadata["model_provider"] == "anthropic"


def test_streamed_content_blocks_become_v1_blocks(files):
    streamed = added(blocks_router(WHOLE, output_version="v1").bind_tools([files.tool]).stream("x"))
    assert [block["type"] for block in streamed.content] == ["reasoning", "text", "tool_call"]
    assert streamed.content[0]["extras"] == {"signature": "SIG"}


@V3_IS_BETA
def test_content_blocks_become_v1_blocks_in_the_v3_protocol(files):
    stream: Any = blocks_router(WHOLE).bind_tools([files.tool]).stream_events("x", version="v3")
    assert [block["type"] for block in stream.output.content] == ["reasoning", "text", "tool_call"]
    assert stream.output.tool_calls[0]["args"] == {"path": "/a"}


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_broken_call_is_not_revived_from_its_content_block(version, files):
    model = blocks_router(HALF, output_version=version).bind_tools([files.tool])
    for message in (model.invoke("x"), added(model.stream("x"))):
        assert message.tool_calls == []
        assert "tool_call" not in [block["type"] for block in message.content_blocks]
        assert len(message.invalid_tool_calls) == 1


@V3_IS_BETA
def test_a_broken_call_in_blocks_is_never_executed_in_the_v3_protocol(files):
    stream: Any = create_agent(blocks_router(HALF), tools=[files.tool]).stream_events(ask(), version="v3")
    assert stream.output["messages"][-1].tool_calls == []
    assert files.deleted == []


def test_history_in_content_blocks_is_taken_by_the_next_model(files):
    blocks = ModelCard(name="blocks", model=Blocks(chunks=thinking_then_calling(*WHOLE)), tier=Tier.LOW)
    with SimulatedProvider({"next": [say("done")]}) as provider:
        other = ModelCard(name="next", model="next", base_url=provider.url, tier=Tier.LOW)
        router = StepRouter([blocks, other], store="memory")
        said = router.bind_tools([files.tool]).invoke("clean", model="blocks")
        history = [HumanMessage("clean"), said, ToolMessage("deleted", tool_call_id="t1")]
        assert router.bind_tools([files.tool]).invoke(history, model="next").text == "done"
        assistant = provider.requests[0].messages[1]
    assert assistant["tool_calls"][0]["id"] == "t1"
    assert "SIG" not in repr(assistant)


def test_calls_that_share_an_index_but_not_an_id_stay_apart(files):
    """Some servers number every call 0; merged by index, two calls would become one with garbage for arguments."""
    parts = [
        fragment('{"path": ', index=0, id="c1", name="delete_files"),
        fragment('"/a"}', index=0),
        fragment('{"path": "/b"}', index=0, id="c2", name="delete_files"),
    ]
    chunks = [AIMessageChunk(content="", tool_call_chunks=part) for part in parts]
    last = AIMessageChunk(content="", response_metadata={"finish_reason": "tool_calls"}, chunk_position="last")
    model = Blocks(chunks=[*chunks, last])
    router = StepRouter([ModelCard(name="b", model=model)], store="memory").bind_tools([files.tool])
    for message in (router.invoke("x"), added(router.stream("x"))):
        assert [(c["id"], c["args"]["path"]) for c in message.tool_calls] == [("c1", "/a"), ("c2", "/b")]


def test_a_call_without_an_id_gets_one_that_its_result_can_name(files):
    calling = fragment('{"path": "/a"}', name="delete_files")
    finished = {"finish_reason": "tool_calls"}
    chunk = AIMessageChunk(content="", tool_call_chunks=calling, response_metadata=finished)
    models = [ModelCard(name="b", model=Blocks(chunks=[chunk])), card(0, [say("done")])]
    router = StepRouter(models, store="memory")
    said = router.bind_tools([files.tool]).invoke("x", model="b")
    assert (said.tool_calls[0]["id"] or "").startswith("call_")
