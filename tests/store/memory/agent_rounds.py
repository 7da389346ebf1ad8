"""An agent whose two models answer alike, called in each of the ways there are, and what it says then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from broken_store import BreakableServer
from langchain.agents import create_agent
from langchain_core.tools import tool

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.store.memory.schema import Places
from steprouter.testing import ScriptedChatModel


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"{city}: sunny"


def open_router(store: str) -> StepRouter:
    """A router between two models that answer alike."""
    cards = [
        ModelCard(name=name, model=ScriptedChatModel(model_name=name), tier=tier, price=Price(input=1, output=price))
        for name, tier, price in (("small", Tier.LOW, 1), ("large", Tier.HIGH, 9))
    ]
    return StepRouter(cards, store=store)


def settled(router: StepRouter) -> None:
    """Waits until all that ended was written, or could not be."""
    assert router.engine.sink.flush(20.0)


def said(messages: list[Any]) -> list[Any]:
    """What messages say, without what names them."""
    return [(m.type, m.text, [(c["name"], c["args"]) for c in getattr(m, "tool_calls", ())]) for m in messages]


def by_invoke(agent: Any, prompt: Any, config: Any) -> list[Any]:
    return said(agent.invoke(prompt, config)["messages"])


def by_ainvoke(agent: Any, prompt: Any, config: Any) -> list[Any]:
    async def ask() -> Any:
        done = await agent.ainvoke(prompt, config)
        assert len(asyncio.all_tasks()) == 1  # this one
        return done

    return said(asyncio.run(ask())["messages"])


def streamed(pieces: list[Any]) -> list[Any]:
    """The text as it was shown, and the messages at the end."""
    shown = "".join(
        piece.text for mode, (piece, *_) in (p for p in pieces if p[0] == "messages") if piece.type != "tool"
    )
    return [shown, said([piece for mode, piece in pieces if mode == "values"][-1]["messages"])]


def by_stream(agent: Any, prompt: Any, config: Any) -> list[Any]:
    return streamed(list(agent.stream(prompt, config, stream_mode=["messages", "values"])))


def by_astream(agent: Any, prompt: Any, config: Any) -> list[Any]:
    async def collect() -> list[Any]:
        pieces = [piece async for piece in agent.astream(prompt, config, stream_mode=["messages", "values"])]
        assert len(asyncio.all_tasks()) == 1  # this one
        return pieces

    return streamed(asyncio.run(collect()))


MODES: tuple[Callable[[Any, Any, Any], list[Any]], ...] = (by_invoke, by_ainvoke, by_stream, by_astream)


def round_of(router: StepRouter) -> list[Any]:
    """What an agent says in each of the ways to call it, each with a thread of its own; two steps each."""
    agent = create_agent(router, [weather])
    prompt = {"messages": [("user", "The weather of Oslo?")]}
    found = []
    for mode in MODES:
        found.append(mode(agent, prompt, {"configurable": {"thread_id": mode.__name__}}))
        settled(router)
    return found


def complaints(router: StepRouter) -> list[str]:
    """What a step says was broken, of a thread of its own."""
    told: list[str] = router.invoke("Hello", {"configurable": {"thread_id": "asked"}}).response_metadata["steprouter"][
        "degraded"
    ]
    settled(router)
    return told


def steps_kept(router: StepRouter, server: BreakableServer) -> list[int]:
    """How many steps the store has of each thread."""
    assert router.engine.memory is not None
    keys = router.engine.memory.keys
    assert keys is not None
    places = Places(keys=keys, tenant="default")
    return [int(server.client.hget(places.session(mode.__name__)[0], "steps") or 0) for mode in MODES]
