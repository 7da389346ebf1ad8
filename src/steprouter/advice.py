"""Decisions given to callers who make the call themselves, kept until they report what came of it."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import replace

from langchain_core.messages import AIMessage

from .answering.answer import Answer, ToolCall
from .answering.attempt import Attempt
from .answering.check import problems
from .answering.progress import Progress
from .commands import Considered, Outcome
from .errors import ConfigError
from .models.cost import Usage
from .models.tokens import estimate_tokens

REMEMBERED = 1024
"""Decisions that wait for a report; with the prompts they hold, some megabytes."""


class Advice:
    """Decisions that were given and not reported on yet. Safe in threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: OrderedDict[str, Considered] = OrderedDict()

    def give(self, considered: Considered) -> Considered:
        """Keep a decision until it is reported on; the oldest are forgotten where too many wait."""
        named = replace(considered, decision=replace(considered.decision, step_id=considered.step.id))
        with self.lock:
            self.waiting[named.step.id] = named
            while len(self.waiting) > REMEMBERED:
                self.waiting.popitem(last=False)
        return named

    def take(self, step_id: str, model: str) -> Considered:
        """The decision that is reported on, which is not reported on again.

        Raises:
            ConfigError: It is not known here, or `model` was none of its candidates.
        """
        with self.lock:
            known = self.waiting.get(step_id)
            if known is None:
                raise ConfigError(
                    f"step_id must be of a decision that this router recommended and that was not reported on yet, "
                    f"got {step_id!r}; the last {REMEMBERED} are known, and only to the process that gave them"
                )
            if model not in {candidate.model for candidate in known.decision.candidates}:
                names = [candidate.model for candidate in known.decision.candidates]
                raise ConfigError(f"model must be a candidate of the decision, one of {names!r}, got {model!r}")
            return self.waiting.pop(step_id)


def reported(considered: Considered, model: str, message: AIMessage | str, seconds: float) -> Outcome:
    """What a caller's own call came to, checked as an answer of the router's own would have been."""
    answer = answer_in(message)
    usage = answer.usage or Usage(
        input_tokens=considered.step.needs.input_tokens,
        output_tokens=estimate_tokens(answer.text) + sum(estimate_tokens(call.raw) for call in answer.tool_calls),
        estimated=True,
    )
    attempt = Attempt(
        id=considered.step.id,
        model=model,
        why="called by whoever asked for advice",
        answer=answer,
        problems=problems(answer, considered.ask),
        usage=usage,
        seconds=seconds,
        shown=answer.text,
    )
    return Outcome(
        step=considered.step,
        decision=considered.decision,
        progress=Progress().after_calls(attempt),
        answered_by=attempt,
        recalled=considered.recalled,
        vector=considered.vector,
    )


def answer_in(message: AIMessage | str) -> Answer:
    """A message as an answer; one that does not say why it ended is taken to be whole."""
    if isinstance(message, str):
        return Answer(text=message, finish="stop")
    calls = tuple(
        ToolCall(id=call["id"], name=call["name"], args=call["args"], raw=json.dumps(call["args"], default=str))
        for call in message.tool_calls
    )
    broken = tuple(
        ToolCall(id=call["id"], name=call["name"] or "", args=None, raw=call["args"] or "")
        for call in message.invalid_tool_calls
    )
    found = message.response_metadata
    finish = found.get("finish_reason") or found.get("stop_reason") or ("tool_calls" if calls else "stop")
    usage = None if message.usage_metadata is None else Usage.from_langchain(message.usage_metadata)
    return Answer(text=str(message.text), tool_calls=(*calls, *broken), finish=str(finish), usage=usage)
