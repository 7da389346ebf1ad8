"""Who takes part: routers over both kinds of candidate and both stores, and the other ways to the same answer."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.runnables import RunnableBinding, RunnableConfig
from measure import Timed, aper_piece, atimed, in_turns, per_piece, timed
from pydantic import SecretStr
from stand_ins import InstantModel, bare_astream, bare_stream

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.tracing.archive import store_trace

Colour = Literal["sync", "async"]

PIECES = 20
"""Pieces of an answer where whole calls are timed: a short answer, or a tool call with its arguments."""

LONG = 300
"""Pieces of an answer where the cost of one piece is timed."""

STORES = ("memory", "embedded")

AGENT_STEP = (
    SystemMessage("You work at a bank's support desk. Use the tools; say what you did. Be brief and be polite."),
    HumanMessage("I cannot find my card since this morning, and there is a charge I do not know. What now?"),
    AIMessage(content="", tool_calls=[{"name": "look_up_3", "args": {"query": "4821", "limit": 5}, "id": "call_1"}]),
    ToolMessage('[{"day": "2026-11-19", "payee": "Harbour Books", "eur": -23.5}]', tool_call_id="call_1"),
)
"""What an agent sends in the middle of its work."""


def tools(count: int) -> list[dict[str, Any]]:
    """Function tools of ordinary size."""
    properties = {
        "query": {"type": "string", "description": "What to look for: a name, a number or part of a text."},
        "limit": {"type": "integer", "description": "How many results at most.", "minimum": 1, "maximum": 50},
        "since": {"type": "string", "description": "Only what happened on or after this day, as YYYY-MM-DD."},
    }
    parameters = {"type": "object", "properties": properties, "required": ["query"]}
    words = "Look things up in register {} of the desk and give the best matches."
    named = [(f"look_up_{number}", words.format(number)) for number in range(count)]
    return [
        {"type": "function", "function": {"name": name, "description": described, "parameters": parameters}}
        for name, described in named
    ]


class Contest:
    """What takes part in one run of the benchmark.

    Args:
        url: The instant server.
        runner: The event loop of all that is async.
        stack: Closes what was opened.
    """

    def __init__(self, url: str, runner: asyncio.Runner, stack: ExitStack) -> None:
        self.url = url
        self.runner = runner
        self.stack = stack
        self.messages: list[BaseMessage] = list(AGENT_STEP)
        self.tools = tools(8)
        self.playing: list[StepRouter] = []
        self.client = stack.enter_context(httpx.Client(trust_env=False))
        self.async_client = httpx.AsyncClient(trust_env=False)
        stack.callback(lambda: runner.run(self.async_client.aclose()))

    # Who

    def router(self, store: str, pieces: int, *, http: bool) -> StepRouter:
        """A router with two candidates, of which the cheaper one answers."""
        cards = [self.card("small", Tier.LOW, 0.1, pieces, http=http), self.card("large", Tier.HIGH, 5, 1, http=http)]
        router = StepRouter(cards, store=store)
        router.engine.connection.open()
        self.stack.callback(lambda: self.runner.run(router.aclose()))
        self.playing.append(router)
        return router

    def rest(self) -> None:
        """Wait until all traces are written, so that nobody's are written on another's time."""
        for router in self.playing:
            router.traces.written()

    def turns(self, contenders: Mapping[str, Timed], rounds: int) -> dict[str, list[float]]:
        """The seconds of each contender, with a rest between them."""
        took = in_turns(contenders, rounds, between=self.rest)
        self.playing.clear()
        return took

    def card(self, name: str, tier: Tier, usd: float, pieces: int, *, http: bool) -> ModelCard:
        """A candidate, in this process or over HTTP."""
        price = Price(input=usd, output=4 * usd)
        if http:
            return ModelCard(name=name, model=f"pieces-{pieces}", base_url=self.url, tier=tier, price=price)
        return ModelCard(name=name, model=InstantModel(pieces=pieces), tier=tier, price=price)

    def routers(self, pieces: int, *, http: bool) -> dict[str, BaseChatModel]:
        """A router for each store."""
        return {store: self.router(store, pieces, http=http) for store in STORES}

    def chat_openai(self, pieces: int) -> dict[str, BaseChatModel]:
        """LangChain's own client of the same server, if it is installed."""
        if importlib.util.find_spec("langchain_openai") is None:
            return {}
        from langchain_openai import ChatOpenAI

        name, key = f"pieces-{pieces}", SecretStr("none")
        model = ChatOpenAI(model=name, base_url=self.url, api_key=key, stream_usage=True, max_retries=0)
        return {"ChatOpenAI": model}

    def body(self, pieces: int) -> dict[str, Any]:
        """The request that the routers send, for the barest client."""
        return {
            "model": f"pieces-{pieces}",
            "messages": convert_to_openai_messages(self.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": self.tools,
        }

    # What: a whole call, one piece of a stream, a decision

    def calls(self, colour: Colour, rounds: int, *, http: bool) -> dict[str, list[float]]:
        """Whole calls of everyone, by name."""
        models = {"instant model": InstantModel(pieces=PIECES)} | self.routers(PIECES, http=http)
        models |= self.chat_openai(PIECES) if http else {}
        contenders = {name: self.call(colour, model) for name, model in models.items()}
        if http:
            contenders["bare httpx"] = self.bare_call(colour)
        return with_floor(self.turns(contenders, rounds))

    def call(self, colour: Colour, model: BaseChatModel) -> Timed:
        """`invoke` or `ainvoke` with tools bound."""
        bound = model.bind_tools(self.tools)
        if colour == "sync":
            return timed(lambda: bound.invoke(self.messages))
        return atimed(self.runner, lambda: bound.ainvoke(self.messages))

    def bare_call(self, colour: Colour) -> Timed:
        """The same answer by httpx alone, heard to its end."""
        body = self.body(PIECES)

        async def heard() -> None:
            async for _ in bare_astream(self.async_client, self.url, body):
                pass

        if colour == "sync":
            return timed(lambda: list(bare_stream(self.client, self.url, body)))
        return atimed(self.runner, heard)

    def pieces(self, colour: Colour, rounds: int, *, http: bool) -> dict[str, list[float]]:
        """One piece of a stream of everyone, by name."""
        models = {"instant model": InstantModel(pieces=LONG)} | self.routers(LONG, http=http)
        models |= self.chat_openai(LONG) if http else {}
        contenders = {name: self.piece(colour, model) for name, model in models.items()}
        if http:
            contenders["bare httpx"] = self.bare_piece(colour)
        return with_floor(self.turns(contenders, rounds))

    def piece(self, colour: Colour, model: BaseChatModel) -> Timed:
        """`stream` or `astream` with tools bound."""
        bound = model.bind_tools(self.tools)
        if colour == "sync":
            return per_piece(lambda: bound.stream(self.messages))
        return aper_piece(self.runner, lambda: bound.astream(self.messages))

    def bare_piece(self, colour: Colour) -> Timed:
        """The same pieces by httpx alone."""
        body = self.body(LONG)
        if colour == "sync":
            return per_piece(lambda: bare_stream(self.client, self.url, body))
        return aper_piece(self.runner, lambda: bare_astream(self.async_client, self.url, body))

    def decisions(self, rounds: int) -> dict[str, list[float]]:
        """The time from the call to the decision, nobody being called; by what is asked."""
        router = self.router("embedded", 1, http=False)
        question: list[BaseMessage] = [HumanMessage("What is the capital of Norway?")]
        history = [AGENT_STEP[0], *AGENT_STEP[1:] * 20]
        asked = {
            "a question, no tools": (question, 0),
            "an agent's step: 4 messages, 8 tools": (self.messages, 8),
            "a long one: 61 messages, 30 tools": (history, 30),
        }
        return self.turns({what: deciding(router, *given) for what, given in asked.items()}, rounds)

    def traces(self, rounds: int) -> dict[str, list[float]]:
        """The time to write one trace, which a thread of its own does after the call; by store."""
        return self.turns({store: self.writing(store) for store in STORES}, rounds)

    def writing(self, store: str) -> Timed:
        """Writing the trace of an agent's step."""
        router = self.router(store, PIECES, http=False)
        step_id = router.bind_tools(self.tools).invoke(self.messages).response_metadata["steprouter"]["step_id"]
        trace = router.traces.get(step_id)
        assert trace is not None
        return timed(lambda: router.engine.shelf.write_traces([store_trace(trace)]))


def with_floor(took: dict[str, list[float]]) -> dict[str, list[float]]:
    """The times, and with them what any chat model over HTTP has to pay: httpx and LangChain, round by round."""
    if "bare httpx" in took:
        pairs = zip(took["bare httpx"], took["instant model"], strict=True)
        took["httpx + LangChain"] = [one + other for one, other in pairs]
    return took


def deciding(router: StepRouter, messages: list[BaseMessage], tool_count: int) -> Timed:
    """Bringing a step of a thread to its decision, what is remembered recalled, and letting it go."""
    binding = router.bind_tools(tools(tool_count))
    assert isinstance(binding, RunnableBinding)
    kwargs = binding.kwargs if tool_count else {}
    thread = RunnableConfig(configurable={"thread_id": "t"})
    return timed(lambda: router.engine.begin(*router.read_call(messages, None, kwargs, thread)).close())
