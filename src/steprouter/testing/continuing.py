"""A script of a model that can go on with an answer of which it is shown the beginning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock

from .faults import Fault, Rejection
from .reply import Reply, say
from .request import Request, text_of

QUOTE = "<quote>"
"""What the router's request to go on in words quotes the end of the answer in."""

PREFILL_REFUSED = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)
"""What Anthropic says of Claude from 4.6 on."""


@dataclass(slots=True)
class Continuing:
    """Answers the same to everybody, and goes on from a partial turn or when asked to in words.

    A beginning that is none of its answer is a mistake of whoever sends it: the server then answers 500.

    Attributes:
        reply: The whole answer.
        faults: What the first request meets, the second, and so on; None and all further ones meet nothing.
        refuses_prefill: Whether a partial turn is answered with Anthropic's 400.
        preamble: What it says first when asked in words to go on.
        repeats_characters: How much of the end it says again then.
        starts_over: Whether it begins anew then.
        instead: What it says then in place of the rest; empty goes on.
        continuations: How it was asked to go on, in order: `prefill` or `instruction`, and from which character.
    """

    reply: Reply
    faults: tuple[Fault | None, ...] = ()
    refuses_prefill: bool = False
    preamble: str = ""
    repeats_characters: int = 0
    starts_over: bool = False
    instead: str = ""
    continuations: list[tuple[str, int]] = field(default_factory=list)
    requests: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)

    def __call__(self, request: Request) -> Reply:
        """The reply to one request."""
        with self.lock:
            fault = self.faults[self.requests] if self.requests < len(self.faults) else None
            self.requests += 1
        reply = self.reply if fault is None else self.reply.failing(fault)
        last, said = request.last, text_of(request.last)
        if last.get("role") == "assistant" and not last.get("tool_calls"):
            if self.refuses_prefill:
                return Reply(fault=Rejection(status=400, message=PREFILL_REFUSED))
            return self.going_on("prefill", reply, said)
        if last.get("role") == "user" and QUOTE in said and len(request.messages) > 1:
            return self.going_on("instruction", reply, text_of(request.messages[-2]))
        return reply

    def going_on(self, how: str, reply: Reply, said: str) -> Reply:
        """The rest of the answer after what was said of it."""
        if not reply.text.startswith(said):
            raise AssertionError(f"a model was asked to go on with what it has not said: {said!r}")
        with self.lock:
            self.continuations.append((how, len(said)))
        if how == "prefill":
            return replace(reply, text=reply.text[len(said) :], reasoning="")
        if self.instead:
            return replace(reply, text=self.instead, reasoning="")
        again = 0 if self.starts_over else len(said) - min(self.repeats_characters, len(said))
        rest = reply.text[again:]
        # Asked in words, a model begins a turn of its own: without white space, and perhaps with a preamble.
        return replace(reply, text=f"{self.preamble}{rest.lstrip()}", reasoning="")


def continuing(answer: str | Reply, faults: Iterable[Fault | None] = (), /, **how: object) -> Continuing:
    """A script that goes on: `continuing("one two three", [Cut(after_chunks=1)])`; `how` are fields of `Continuing`."""
    reply = say(answer) if isinstance(answer, str) else answer
    return Continuing(reply, tuple(faults), **how)  # type: ignore[arg-type]  # checked by the dataclass
