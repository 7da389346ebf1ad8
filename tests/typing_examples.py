"""The public interface as type checkers see it. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from steprouter import (
    Abilities,
    AllModelsFailed,
    AnswerBroken,
    ConfigError,
    Decision,
    ModelCard,
    Policy,
    Price,
    Rule,
    StepKind,
    StepRouter,
    StepRouterError,
    Tier,
    Trace,
)
from steprouter.testing import FrozenClock, Request, ScriptedChatModel, SimulatedProvider, call, fail, say


class City(BaseModel):
    """A city."""

    name: str


@tool
def weather(city: str) -> str:
    """Weather in a city."""
    return city


def every_way_to_name_a_model() -> StepRouter:
    return StepRouter(
        [
            "openai:gpt-5.6-luna",
            ScriptedChatModel(),
            ModelCard(
                name="local",
                model="qwen",
                base_url="http://127.0.0.1:8080/v1",
                api_key=SecretStr("key"),
                tier=Tier.LOW,
                price=Price(input=0, output=0),
                abilities=Abilities(tools=True),
                tools="json_schema",
                tags=frozenset({"eu"}),
            ),
        ],
        policy=Policy(
            rules=(Rule(name="private", tag="pii", models={"local"}), Rule(name="hard", kind="plan", tier=Tier.HIGH)),
            kinds={StepKind.ANSWER: Tier.LOW},
            nodes={"writer": StepKind.ANSWER, "other": None},
            mode="observe",
        ),
        store="memory",
        tenant="acme",
        tracing=False,
        temperature=0.2,
        disable_streaming="tool_calling",
    )


def a_router_is_a_chat_model(router: StepRouter) -> BaseChatModel:
    return router


def from_a_file() -> None:
    assert_type(StepRouter.from_file("steprouter.yaml"), StepRouter)


def invoking(router: StepRouter) -> None:
    assert_type(router.invoke("hi"), AIMessage)
    assert_type(router.invoke([HumanMessage("hi")], {"tags": ["a"]}, stop=["x"], model="local"), AIMessage)
    assert_type(router.stream("hi"), Iterator[AIMessageChunk])
    assert_type(router.batch(["a", "b"]), list[AIMessage])


async def awaiting(router: StepRouter) -> None:
    assert_type(await router.ainvoke("hi"), AIMessage)
    assert_type(router.astream("hi"), AsyncIterator[AIMessageChunk])
    assert_type(await router.abatch(["a", "b"]), list[AIMessage])
    await router.aclose()


def streaming_events(router: StepRouter) -> None:
    assert_type(router.stream_events("hi", version="v3"), ChatModelStream)


async def streaming_events_async(router: StepRouter) -> None:
    assert_type(await router.astream_events("hi", version="v3"), AsyncChatModelStream)


def binding(router: StepRouter) -> None:
    assert_type(router.bind_tools([weather], tool_choice="any"), Runnable[LanguageModelInput, AIMessage])
    assert_type(router.with_structured_output(City), Runnable[LanguageModelInput, dict[str, Any] | BaseModel])


def asking_about_it(router: StepRouter) -> None:
    decision = router.recommend("hi", tools=[weather], temperature=0.1)
    assert_type(decision, Decision)
    assert_type(decision.models, tuple[str, ...])
    assert_type(router.cards, tuple[ModelCard, ...])
    assert_type(router.traces.list("t-1"), list[Trace])
    assert_type(router.traces.get("step"), Trace | None)
    router.feedback("step", 0.5, reason="half right")
    router.close()


def catching(router: StepRouter) -> str:
    try:
        return router.invoke("hi").text
    except AllModelsFailed as failed:
        assert_type(failed.exceptions, tuple[Exception | ExceptionGroup[Exception], ...])
        return failed.trace.step_id if failed.trace else ""
    except AnswerBroken as broken:
        return broken.partial
    except (ConfigError, StepRouterError) as error:
        return str(error)


def what_is_wrong_is_seen_by_the_checker(router: StepRouter) -> None:
    StepRouter([3])  # type: ignore[list-item]  # no model
    StepRouter([], budget=1.0)  # type: ignore[arg-type]  # reserved
    StepRouter([], policy={"mode": "observe"})  # type: ignore[arg-type]  # a Policy, not a mapping
    Policy(mode="guess")  # type: ignore[arg-type]  # no such mode
    ModelCard(model="openai:gpt-x")  # type: ignore[call-arg]  # a card has a name
    router.feedback(1, 0.5)  # type: ignore[arg-type]  # step ids are text


def doubles() -> None:
    def answer(request: Request) -> Any:
        return say(request.prompt) if request.tools else fail(503)

    with SimulatedProvider({"m": answer, "n": [call("weather", city="Oslo")]}) as provider:
        assert_type(provider.url, str)
        assert_type(provider.requests, tuple[Request, ...])
    assert_type(FrozenClock().now(), float)
    assert_type(ScriptedChatModel([say("a")]).calls, tuple[Request, ...])
