"""Gives answers again: carries out what a flow commands of the answer cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from .answering.answer import Delta, ToolPiece
from .answering.attempt import Attempt
from .caching.entry import Entry
from .commands import AtHand, AwaitFilled, Command, Release, Replay
from .models.cost import Usage

PIECE = re.compile(r"\s*\S{1,40}\s?|\s+")
"""A word with the space after it, as models stream; what is longer than forty characters comes in several."""


class Answers(Protocol):
    """What keeps answers to be given again; never raises in a step."""

    def at_hand(self, tenant: str, exact: str, now: float) -> Entry | None:
        """The answer to a very question, if this process has it; takes no time."""
        ...

    def wait_filled(self, tenant: str, exact: str, holder: str, seconds: float, now: float) -> Entry | None:
        """The answer that somebody else is getting, once it is there; None if it does not come."""
        ...

    async def await_filled(self, tenant: str, exact: str, holder: str, seconds: float, now: float) -> Entry | None:
        """As `wait_filled`, without blocking the event loop."""
        ...

    def release(self, tenant: str, exact: str, holder: str) -> None:
        """Let others get an answer that this step will not get."""
        ...


class Cabinet:
    """Carries out the commands of a flow that concern cached answers.

    Args:
        answers: What keeps them; None where there is no cache.
    """

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers = answers

    def perform(self, command: Command[Any]) -> Entry | None:
        """Carry out a command."""
        answers = self.answers
        if answers is None:
            return None
        match command:
            case AwaitFilled(step=step, exact=exact, seconds=seconds):
                return answers.wait_filled(step.place.tenant, exact, step.id, seconds, step.started_at)
            case _:
                return self.reply(command)

    async def aperform(self, command: Command[Any]) -> Entry | None:
        """As `perform`, without blocking the event loop."""
        answers = self.answers
        if answers is None:
            return None
        match command:
            case AwaitFilled(step=step, exact=exact, seconds=seconds):
                return await answers.await_filled(step.place.tenant, exact, step.id, seconds, step.started_at)
            case _:
                return self.reply(command)

    def reply(self, command: Command[Any]) -> Entry | None:
        """Carry out a command that takes no time; nobody waits any more where it would."""
        answers = self.answers
        match command:
            case AtHand(step=step, exact=exact) if answers is not None:
                return answers.at_hand(step.place.tenant, exact, step.started_at)
            case Release(step=step, exact=exact) if answers is not None:
                answers.release(step.place.tenant, exact, step.id)
        return None


OF_THE_CACHE = (AtHand, AwaitFilled, Release)


def pieces_of(replay: Replay) -> Iterator[Delta]:
    """The text of a cached answer in pieces, as a model would stream it; its calls come whole, at the end."""
    return (Delta(piece) for piece in PIECE.findall(replay.hit.entry.answer.text))


def given(replay: Replay, *, shown: bool) -> Attempt:
    """The attempt that stands for a cached answer; it uses no tokens.

    Args:
        replay: What is given.
        shown: Whether the consumer has seen its text.
    """
    hit = replay.hit
    stored = hit.entry.answer
    unshown = [] if shown or not stored.text else [Delta(stored.text)]
    calls = tuple(ToolPiece(n, call.id, call.name, call.raw) for n, call in enumerate(stored.tool_calls))
    answer = replace(stored, usage=Usage(), unshown=(*unshown, *([Delta(tools=calls)] if calls else [])))
    return Attempt(
        id=f"{hit.entry.id}-again",
        model=hit.entry.model,
        why=f"given again: {hit.layer} hit",
        answer=answer,
        shown=stored.text if shown else "",
        is_cached=True,
    )
