"""Doubles for tests of anything that talks to models: no network beyond loopback, no keys, no chance.

    SimulatedProvider   a real HTTP server that speaks OpenAI's Chat Completions and Responses, and Anthropic's
                        Messages
    ScriptedChatModel   a LangChain chat model, in process
    FaultPlan           decides which requests meet which fault
    FrozenClock         time that passes only when told to

Both models speak one vocabulary: `say("text")`, `call("tool", x=1)`, `fail(503)`, or a full `Reply`. A list
of replies is used up in order, a single reply answers for ever, a callable decides; `obliging` is one that
behaves like a small, willing model. What can go wrong is a small value in a reply, see
`steprouter.testing.faults`: `say("one two").failing(Stall(after_chunks=1))`.

A model that goes on with what it began, from a partial turn or when asked to in words, is
`continuing("The whole answer.", [Cut(after_chunks=1)])`: its first answer breaks off after one chunk.

A chaos test has two providers, of which one goes wrong by a plan, and asks that nobody notices:

    plan = FaultPlan.seeded(7, {HangUp(): 0.1, Cut(after_chunks=2): 0.1, Rejection(status=503): 0.2})
    healthy = SimulatedProvider({"large": say("All is well.")})
    with SimulatedProvider({"small": say("All is well.")}, faults=plan) as ill, healthy:
        router = StepRouter(models=[
            ModelCard(name="small", model="small", base_url=ill.url),
            ModelCard(name="large", model="large", base_url=healthy.url),
        ], store="memory")
        assert {router.invoke("How are you?").text for _ in range(50)} == {"All is well."}
        assert ill.faults_met  # the test did test something
"""

from __future__ import annotations

from .clock import Clock, FrozenClock
from .continuing import Continuing, continuing
from .faults import (
    BrokenArguments,
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Fault,
    Garbage,
    HangUp,
    HugeChunk,
    InvalidUtf8,
    Raise,
    Rejection,
    Slow,
    SplitUtf8,
    Stall,
    WrongTool,
)
from .obliging import obliging
from .plan import FaultPlan
from .provider import UNRESOLVABLE_URL, SimulatedProvider, refused_url
from .raised import SimulatedError, SimulatedStreamError
from .reply import Reply, ToolCall, Usage, call, fail, say
from .request import Headers, Request
from .script import Script, ScriptExhausted
from .scripted import ScriptedChatModel

__all__ = [
    "UNRESOLVABLE_URL",
    "BrokenArguments",
    "Clock",
    "ContentFilter",
    "Continuing",
    "Cut",
    "CutAtByte",
    "Duplicate",
    "ErrorEvent",
    "Fault",
    "FaultPlan",
    "FrozenClock",
    "Garbage",
    "HangUp",
    "Headers",
    "HugeChunk",
    "InvalidUtf8",
    "Raise",
    "Rejection",
    "Reply",
    "Request",
    "Script",
    "ScriptExhausted",
    "ScriptedChatModel",
    "SimulatedError",
    "SimulatedProvider",
    "SimulatedStreamError",
    "Slow",
    "SplitUtf8",
    "Stall",
    "ToolCall",
    "Usage",
    "WrongTool",
    "call",
    "continuing",
    "fail",
    "obliging",
    "refused_url",
    "say",
]
