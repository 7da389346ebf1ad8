"""What going on with an answer must never do: bill unnoticed, trust it unchecked, or depend on the store."""

from __future__ import annotations

import os
import signal
from typing import Any, TypedDict

import pytest
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from steprouter import Abilities, AnswerBroken, ModelCard, Policy, Price, StepRouter, Tier
from steprouter.store.embedded import acquire
from steprouter.testing import Continuing, Cut, SimulatedProvider, call, continuing, say
from steprouter.testing.request import Request

TEXT = " ".join(f"word{number}" for number in range(40)) + "."
KEPT: dict[str, Any] = {"api": "responses", "settings": {"background": True}}
PREFILL = Abilities(prefill=True, prefill_with_tools=True)


class State(TypedDict):
    said: list[str]


def card(name: str, url: str, tier: Tier = Tier.LOW, **fields: Any) -> ModelCard:
    price = Price(input=1 + tier.rank, output=1 + tier.rank)
    return ModelCard(name=name, model=name, base_url=url, tier=tier, price=price, **{"abilities": PREFILL, **fields})


# Answers that their provider keeps


def test_an_answer_that_its_reader_leaves_is_ended_at_its_provider() -> None:
    with SimulatedProvider({"m": say(TEXT).slowly(seconds_per_chunk=0.01)}) as provider:
        router = StepRouter([card("m", provider.url, abilities=Abilities(), **KEPT)], store="memory")
        stream = router.stream("Tell me.")
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # a generator
        router.close()
        assert len(provider.cancelled) == 1


async def test_and_one_whose_task_is_cancelled_too() -> None:
    with SimulatedProvider({"m": say(TEXT).slowly(seconds_per_chunk=0.01)}) as provider:
        router = StepRouter([card("m", provider.url, abilities=Abilities(), **KEPT)], store="memory")
        stream = router.astream("Tell me.")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # a generator
        await router.aclose()
        assert len(provider.cancelled) == 1


def test_an_answer_that_was_given_is_not_ended_and_a_replay_bills_it_once() -> None:
    with SimulatedProvider({"m": [say(TEXT).cut(after_chunks=20, how="drop")]}) as provider:
        router = StepRouter([card("m", provider.url, abilities=Abilities(), **KEPT)], store="memory")
        chunks = list(router.stream("Tell me."))
        (trace,) = router.traces.list()
        router.close()
        assert provider.cancelled == ()
    assert "".join(chunk.text for chunk in chunks) == TEXT
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert trace.output_tokens_billed == usage["output_tokens"]
    assert [one.rung for one in trace.resumed] == ["cursor"]


def test_an_answer_that_is_kept_no_longer_is_an_error_with_what_was_shown_and_its_model_is_well() -> None:
    slow = say(TEXT).slowly(seconds_per_chunk=0.01)
    with SimulatedProvider({"m": [slow.cut(after_chunks=20, how="drop"), say(TEXT)]}) as provider:
        router = StepRouter([card("m", provider.url, abilities=Abilities(), **KEPT)], store="memory")
        shown: list[str] = []

        def read() -> None:
            for chunk in router.stream("Tell me."):
                shown.append(chunk.text)
                provider.expire_responses()

        with pytest.raises(AnswerBroken) as broken:
            read()
        assert broken.value.partial == "".join(shown)
        assert "connection" in str(broken.value)  # what broke it off, not what came of going on
        (trace,) = router.traces.list()
        assert [one.resumed.failed for one in trace.attempts if one.resumed] == ["it failed: bad_request"]
        assert router.invoke("Tell me.").text == TEXT
        router.close()


# What goes on is checked as any answer


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


def test_json_that_went_on_badly_is_not_sufficient_and_where_nobody_saw_it_another_model_is_asked() -> None:
    def badly(request: Request) -> Any:
        if request.last["role"] == "assistant":
            return say(' "Oslo", "days": "many"}')
        return say('{"city": "Oslo", "days": 3}').cut(after_chunks=2)

    with SimulatedProvider({"low": badly, "high": say('{"city": "Oslo", "days": 3}')}) as provider:
        cards = [card("low", provider.url), card("high", provider.url, Tier.HIGH)]
        shown = StepRouter(cards, store="memory", policy=Policy(stream_structured=True))
        bound: Any = shown.bind(response_format=Place)
        chunks = list(bound.stream("Where?"))
        assert "".join(chunk.text for chunk in chunks) == '{"city": "Oslo", "days": "many"}'
        assert chunks[-1].response_metadata["steprouter"]["outcome"] == "insufficient"
        unseen = StepRouter(cards, store="memory")
        bound = unseen.bind(response_format=Place)
        assert "".join(chunk.text for chunk in bound.stream("Where?")) == '{"city": "Oslo", "days": 3}'
        assert unseen.traces.list()[-1].model == "high"
        for router in (shown, unseen):
            router.close()


@tool
def weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"Rain in {city}."


def test_a_call_that_went_on_badly_is_escalated_where_nobody_saw_the_text() -> None:
    def badly(request: Request) -> Any:
        if request.last["role"] == "assistant":
            return say(" it up.").calling("weather", city="Oslo", days="many")
        return say("Let me look it up.").calling("weather", city="Oslo", days=3).cut(after_chunks=4)

    with SimulatedProvider({"low": badly, "high": call("weather", city="Oslo", days=3)}) as provider:
        cards = [card("low", provider.url), card("high", provider.url, Tier.HIGH)]
        router = StepRouter(cards, store="memory")
        answer = router.bind_tools([weather]).invoke("How is the weather?")
        (trace,) = router.traces.list()
        router.close()
    assert [one["args"] for one in answer.tool_calls] == [{"city": "Oslo", "days": 3}]
    assert [(one.model, bool(one.problems)) for one in trace.attempts] == [
        ("low", False), ("low", True), ("high", False)
    ]  # fmt: skip


# The store


@pytest.mark.parametrize("lost", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "dead"])
def test_a_store_that_is_lost_amid_a_stream_changes_nothing_the_consumer_sees(
    lost: signal.Signals, tmp_path: Any
) -> None:
    model: Continuing = continuing(say(TEXT), [Cut(after_chunks=20), None, Cut(after_chunks=20)])
    shown: dict[str, list[str]] = {"well": [], "lost": []}
    server = acquire(tmp_path / "redis", grace_seconds=0.0)
    with SimulatedProvider({"m": model}) as provider:
        router = StepRouter([card("m", provider.url)], store=server.url)

        def node(state: State) -> State:
            name = state["said"][0]
            for number, chunk in enumerate(router.stream("Tell me.")):
                shown[name].append(chunk.text)
                if name == "lost" and number == 10:
                    os.kill(server.facts.pid, lost)
            return {"said": ["done"]}

        graph = StateGraph(State)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        made: Any = graph.compile()
        try:
            for name in shown:
                made.invoke({"said": [name]}, {"configurable": {"thread_id": name}})
        finally:
            if lost is signal.SIGSTOP:
                os.kill(server.facts.pid, signal.SIGCONT)
            router.close()
            server.release()
    assert shown["lost"] == shown["well"]
    assert "".join(shown["lost"]) == TEXT
