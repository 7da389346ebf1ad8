"""The store is lost, frozen or never there: the agent's messages are the same, and no step waits for it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from redis import Redis

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.memory.recall import Missing
from steprouter.step.step import Place, Step, StepKind
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.testing import ScriptedChatModel, call, say


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"{city}: sunny"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = acquire(tmp_path / "data")
    yield server
    server.release()


def router(store: str) -> StepRouter:
    script = [call("weather", city="Oslo"), say("Sunny.")] * 4
    card = ModelCard(name="m", model=ScriptedChatModel(script), tier=Tier.LOW, price=Price(input=1, output=2))
    return StepRouter([card], store=store)


def ask(agent: Any, thread: str = "t") -> list[str]:
    config: Any = {"configurable": {"thread_id": thread}}
    done = agent.invoke({"messages": [("user", "Weather in Oslo?")]}, config)
    return [f"{m.type}: {m.text}" for m in done["messages"]]


HEALTHY = ["human: Weather in Oslo?", "ai: ", "tool: Oslo: sunny", "ai: Sunny."]


def pid_of(url: str) -> int:
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_traces_are_kept_in_redis_and_read_by_another_router(server: EmbeddedServer) -> None:
    first, second = router(server.url), router(server.url)
    assert ask(create_agent(first, [weather])) == HEALTHY
    first.close()
    assert [t.kind for t in second.traces.list("t")] == ["tool_call", "read_result"]
    second.close()


@pytest.mark.parametrize("lost", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_an_agent_does_not_notice_that_redis_is_gone(server: EmbeddedServer, lost: signal.Signals) -> None:
    using = router(server.url)
    agent = create_agent(using, [weather])
    assert ask(agent) == HEALTHY
    assert using.traces.list("t")
    pid = pid_of(server.url)
    os.kill(pid, lost)
    try:
        assert ask(agent) == HEALTHY
        using.engine.sink.flush()
        assert ask(agent) == HEALTHY
        assert using.engine.connection.degraded is not None
    finally:
        if lost is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        using.close()


def test_a_url_that_nobody_answers_is_named_in_the_trace_and_costs_the_agent_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        using = router(f"redis://:geheim-pw@127.0.0.1:{taken.getsockname()[1]}/0")
        agent = create_agent(using, [weather])
        assert ask(agent) == HEALTHY
        using.engine.sink.flush()
        told = using.invoke("Weather in Oslo?").response_metadata["steprouter"]["degraded"]
        assert told
        assert "geheim" not in str(told)
        using.close()


def test_steps_taken_while_redis_is_frozen_are_kept_when_it_goes_on(server: EmbeddedServer) -> None:
    using = router(server.url)
    agent = create_agent(using, [weather])
    pid = pid_of(server.url)
    ask(agent)
    assert using.engine.sink.flush()
    os.kill(pid, signal.SIGSTOP)
    try:
        ask(agent, thread="u")
        assert using.engine.sink.flush()
        assert not using.engine.shelf.is_written
    finally:
        os.kill(pid, signal.SIGCONT)
    using.close()
    again = router(server.url)
    assert len(again.traces.list("u")) == 2
    step = Step(id="s", kind=StepKind.CHAT, place=Place(thread="u"))
    assert again.engine.memory is not None
    assert again.engine.memory.recall(step, Missing(reason="no text")).section("session").steps == 2
    again.close()
