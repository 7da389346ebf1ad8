"""Doubles for tests of anything that talks to models: no network beyond loopback, no keys, no chance.

    SimulatedProvider   a real HTTP server that speaks OpenAI's Chat Completions
    ScriptedChatModel   a LangChain chat model, in process
    FrozenClock         time that passes only when told to

Both models speak one vocabulary: `say("text")`, `call("tool", x=1)`, `fail(503)`, or a full `Reply`. A list
of replies is used up in order, a single reply answers for ever, a callable decides; `obliging` is one that
behaves like a small, willing model.
"""

from __future__ import annotations

from .clock import Clock, FrozenClock
from .faults import Cut, Fault, HangUp, Raise, Rejection, SimulatedError
from .obliging import obliging
from .provider import SimulatedProvider
from .reply import Reply, ToolCall, Usage, call, fail, say
from .request import Headers, Request
from .script import Script, ScriptExhausted
from .scripted import ScriptedChatModel

__all__ = [
    "Clock",
    "Cut",
    "Fault",
    "FrozenClock",
    "HangUp",
    "Headers",
    "Raise",
    "Rejection",
    "Reply",
    "Request",
    "Script",
    "ScriptExhausted",
    "ScriptedChatModel",
    "SimulatedError",
    "SimulatedProvider",
    "ToolCall",
    "Usage",
    "call",
    "fail",
    "obliging",
    "say",
]
