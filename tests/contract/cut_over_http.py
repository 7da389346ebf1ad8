"""A provider that answers over HTTP, cut anywhere, and what a consumer of a router over it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

from cut_answers import ANSWERS, Said
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_openai import ChatOpenAI

from steprouter import ModelCard, Policy, Price, Resumption, StepRouter, Tier
from steprouter.errors import AnswerBroken
from steprouter.models.card import Abilities
from steprouter.testing import (
    CutAtByte,
    ErrorEvent,
    Fault,
    FrozenClock,
    Reply,
    Request,
    SimulatedProvider,
    continuing,
    say,
)
from steprouter.testing.exchange import WIRES
from steprouter.testing.faults import End
from steprouter.testing.speech import speak
from steprouter.testing.wire import Answer
from steprouter.tracing.record import AttemptRecord, Trace

PREFILL = Abilities(prefill=True, prefill_with_tools=True)
PLAIN = Abilities(prefill=False)
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "x", "parameters": {"type": "object"}}}
    for name in ("weather", "move")
]
FORMAT = {"type": "object", "properties": {}, "title": "Any"}
LAST = {"Connection": "close"}
"""No connection is kept past its answer, so that a thousand routers leave none behind."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A way to reach a model, and how an answer goes on there.

    Attributes:
        path: Where it is asked.
        rungs: How an answer may go on.
        card: Arguments of its card, from the provider and the model's name.
        takes_format: Whether a format of the answer can be asked for.
    """

    path: str
    rungs: frozenset[str]
    card: Callable[[SimulatedProvider, str], dict[str, Any]]
    takes_format: bool = True


def own(provider: SimulatedProvider, name: str) -> dict[str, Any]:
    return {"model": name, "base_url": provider.url, "abilities": PREFILL}


def own_responses(provider: SimulatedProvider, name: str) -> dict[str, Any]:
    return {"model": name, "base_url": provider.url, "api": "responses", "abilities": PLAIN}


def in_the_background(provider: SimulatedProvider, name: str) -> dict[str, Any]:
    return {**own_responses(provider, name), "settings": {"background": True}}


@cache
def client(kind: type[Any], url: str, name: str) -> Any:
    """Made once: a client of LangChain's reads certificates for some 20 ms."""
    return kind(base_url=url, api_key="x", model=name, max_retries=0)


def integrated_chat(provider: SimulatedProvider, name: str) -> dict[str, Any]:
    return {"model": client(ChatOpenAI, provider.url, name), "abilities": PREFILL}


def integrated_messages(provider: SimulatedProvider, name: str) -> dict[str, Any]:
    return {"model": client(ChatAnthropic, provider.root_url, name), "abilities": PREFILL}


CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"

REACHED: Mapping[str, Reached] = {
    "own chat": Reached(path=CHAT, rungs=frozenset({"prefill"}), card=own),
    "ChatOpenAI": Reached(path=CHAT, rungs=frozenset({"prefill"}), card=integrated_chat),
    "ChatAnthropic": Reached(path=MESSAGES, rungs=frozenset({"prefill"}), card=integrated_messages, takes_format=False),
    "asked in words": Reached(path=RESPONSES, rungs=frozenset({"instruction"}), card=own_responses),
    "by cursor": Reached(path=RESPONSES, rungs=frozenset({"cursor", "instruction"}), card=in_the_background),
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What came of a cut.

    Attributes:
        chunks: What a consumer was shown, chunk by chunk.
        trace: The step's trace.
        broken: The error, where nothing could be gone on with.
        requests: What the provider was asked.
    """

    chunks: list[AIMessageChunk]
    trace: Trace
    broken: AnswerBroken | None
    requests: tuple[Request, ...] = field(repr=False)

    @property
    def text(self) -> str:
        """All text, joined."""
        return "".join(str(chunk.text) for chunk in self.chunks)

    @property
    def message(self) -> AIMessageChunk:
        """The chunks as one message, as LangChain adds them up."""
        return add_ai_message_chunks(*self.chunks)

    @property
    def resumed(self) -> list[dict[str, Any]]:
        """How the answer was gone on with, as its message says."""
        found: list[dict[str, Any]] = self.message.response_metadata["steprouter"]["resumed"]
        return found


def router_over(cards: list[ModelCard], **policy: Any) -> StepRouter:
    """A router with a clock of its own and nothing remembered, which asks in words too."""
    allowed = {"resume": Resumption(instruction=True), **policy}
    return StepRouter(cards, policy=Policy(**allowed), store="memory", clock=FrozenClock())


def card_of(wire: str, provider: SimulatedProvider, name: str, tier: Tier = Tier.LOW, usd: float = 1) -> ModelCard:
    return ModelCard(name=name, tier=tier, price=Price(input=usd, output=usd), **REACHED[wire].card(provider, name))


def reply_of(said: Said) -> Reply:
    """An answer as the scripted model gives it."""
    reply = say(said.text, chunk_characters=said.sizes, headers=LAST)
    for name, raw in said.calls:
        reply = reply.calling(name, raw)
    return reply


def play(provider: SimulatedProvider, wire: str, said: Said, faults: tuple[Fault, ...]) -> Shown:
    """A step whose first answers meet these faults."""
    provider.play("small", continuing(reply_of(said), faults))
    provider.play("large", continuing(reply_of(said)))
    cards = [card_of(wire, provider, "small"), card_of(wire, provider, "large", Tier.HIGH, 9)]
    router, before = router_over(cards, stream_structured=True), len(provider.requests)
    asked: dict[str, Any] = {"response_format": FORMAT} if said.is_json else {}
    asked |= {"tools": TOOLS} if said.calls else {}
    chunks: list[AIMessageChunk] = []
    broken = None
    try:
        chunks += router.stream("hi", **asked)
    except AnswerBroken as error:
        broken = error
    (trace,) = router.traces.list()
    router.close()
    return Shown(chunks=chunks, trace=trace, broken=broken, requests=provider.requests[before:])


def events(path: str, said: Said) -> list[bytes]:
    """The events of an answer's stream."""
    request = Request(model="small", messages=({"role": "user", "content": "hi"},), stream=True, include_usage=True)
    answer = Answer(created=0, request=request, speech=speak(reply_of(said), request))
    return [event for group in WIRES[path].stream(answer) for event in group]


@cache
def length(path: str, answer: int) -> int:
    """Bytes of an answer's stream."""
    return sum(map(len, events(path, ANSWERS[answer])))


def cut(random: Random, path: str, answer: int) -> Fault:
    """One way to break an answer off."""
    ends: tuple[End, ...] = ("close", "drop", "reset")
    how = random.choice((*ends, None))
    if how is None:
        said = ANSWERS[answer]
        pieces = len(speak(reply_of(said), Request(model="small", messages=())).pieces)
        return ErrorEvent(after_chunks=random.randrange(pieces + 1))
    return CutAtByte(at_byte=random.randrange(length(path, answer)), how=how)


def cuts(wire: str, number: int, seed: int) -> list[tuple[int, tuple[Fault, ...]]]:
    """Some cuts: which answer, and what its first streams meet; every fourth continuation is cut as well."""
    random, reached = Random(f"{wire} {seed}"), REACHED[wire]
    answers = [at for at, said in enumerate(ANSWERS) if reached.takes_format or not said.is_json]
    found = []
    for _ in range(number):
        answer = random.choice(answers)
        faults = [cut(random, reached.path, answer)]
        if random.random() < 0.25:
            faults.append(cut(random, reached.path, answer))
        found.append((answer, tuple(faults)))
    return found


def was_heard(attempt: AttemptRecord) -> bool:
    """Whether a model said anything in an attempt."""
    return attempt.failure is None or attempt.failure.phase != "before_first_token" or attempt.shown_characters > 0


def is_same_but_for_seams(text: str, whole: str, seams: list[int]) -> bool:
    """Whether two texts are the same, white space at the places aside where one was joined.

    Models that are asked in words begin their turn without white space; where nobody heard what came between two
    words, nothing tells whether there was some.
    """
    parts = [text[start:end] for start, end in pairwise([0, *seams, len(text)])]
    ends = [part.lstrip() if at else part for at, part in enumerate(parts)]
    ends = [part.rstrip() if at < len(ends) - 1 else part for at, part in enumerate(ends)]
    return re.fullmatch(r"\s*".join(map(re.escape, ends)), whole) is not None


def is_other_reading(text: str, whole: str, seams: list[int]) -> bool:
    """Whether what a model said was taken for the end said again, where the text repeats itself."""
    missing = len(whole) - len(text)
    return missing > 0 and any(
        text[:at] + whole[at : at + missing] + text[at:] == whole
        and text[:at].endswith(whole[at : at + missing].strip())
        for at in seams
    )


def calls_of(message: AIMessageChunk) -> list[tuple[str, Any]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


def whole_calls(said: Said) -> list[tuple[str, Any]]:
    return [(name, json.loads(raw)) for name, raw in said.calls]
