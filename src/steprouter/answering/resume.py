"""What is left of an answer that broke off, and how it may be gone on with: the commit protocol and the ladder.

What was shown is a fact that no later attempt may contradict. Complete tool calls are kept, since whoever asked may
run them; an open one is never shown and is asked for again. JSON goes on only where the whole can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ..models.cost import Usage
from ..models.tokens import estimate_tokens
from ..routing.resumption import Resumption
from ..step.ask import Ask
from .answer import Answer, Delta, ToolCall, ToolPiece
from .check import REFUSED_FINISHES
from .cursor import Cursor
from .failures import Failure, FailureKind
from .seam_reading import Joined
from .shape import Shaper, whole_call

NOT_RESUMED = frozenset({FailureKind.CONTENT_FILTERED, FailureKind.REFUSED, FailureKind.CANCELLED})
"""A refusal is an answer, and who has gone away wants none. Going on would be a way around the filter."""

PREFILL_REFUSED = re.compile(
    r"prefill|must end with a user|(last|final) message.{0,40}(user|role|assistant)|"
    r"assistant.{0,40}(last|final) message|continue_final_message|conversation must end|partial mode|"
    r"expected last role|ending with a model turn|2 or more assistant",
    re.IGNORECASE,
)
"""How servers refuse a partial turn: Anthropic from Claude 4.6 on (litellm#27967), Bedrock, Mistral, vLLM, llama.cpp
with templates that think."""


class State(StrEnum):
    """How far a broken answer had come."""

    NOTHING = "nothing"
    REASONING = "reasoning"
    TEXT = "text"
    TEXT_AND_OPEN_CALL = "text_and_open_call"
    OPEN_CALL = "open_call"
    COMPLETE_CALLS = "complete_calls"
    STRUCTURED = "structured"
    FINISHED = "finished"


class Rung(StrEnum):
    """A way to go on, the surest first."""

    CURSOR = "cursor"  # the provider itself replays what follows (OpenAI's Responses in the background)
    PREFILL = "prefill"  # a partial assistant turn
    INSTRUCTION = "instruction"  # a user turn that asks for the rest
    RESTART = "restart"  # the same ask again, as nothing was shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What is left of a broken answer.

    Attributes:
        shown: All text up to the last whole word, of earlier attempts too.
        fragment: What was said after it; it may still turn out otherwise.
        calls: Complete tool calls, in order.
        open_call: Name of the first call that was cut; empty where it had none yet, None where none was cut.
        finish: Why the model stopped, where it had said so.
        is_structured: Whether the text is JSON because a format was asked for.
        has_thought: Whether anything was said that is neither text nor call.
        seen: Whether a consumer has seen `shown`, so that it cannot be said otherwise.
        is_left: Whether a process said it that has ended since. Who reads on is told so, and may be told anew.
        block: The shape of the text, where it came in content blocks.
        cursor: Where its provider replays it, if it does.
        shaper: What heard it; a replay is heard by the same.
    """

    shown: str = ""
    fragment: str = ""
    calls: tuple[ToolCall, ...] = ()
    open_call: str | None = None
    finish: str | None = None
    is_structured: bool = False
    has_thought: bool = False
    seen: bool = True
    is_left: bool = False
    block: Mapping[str, Any] | None = field(default=None, repr=False)
    cursor: Cursor | None = None
    shaper: Shaper | None = field(default=None, repr=False, compare=False)

    @property
    def state(self) -> State:
        """How far it had come."""
        if self.finish is not None:
            return State.FINISHED
        if self.calls:
            return State.COMPLETE_CALLS
        if self.open_call is not None:
            return State.TEXT_AND_OPEN_CALL if self.shown else State.OPEN_CALL
        if self.shown or self.fragment.strip():
            return State.STRUCTURED if self.is_structured else State.TEXT
        return State.REASONING if self.has_thought else State.NOTHING


def salvaged(
    shaper: Shaper, *, is_structured: bool = False, watched: bool = True, cursor: Cursor | None = None
) -> Salvage:
    """What is left of an attempt that broke.

    Args:
        shaper: What the attempt was heard by.
        is_structured: Whether a response format was asked for.
        watched: Whether its pieces went to a consumer.
        cursor: How far its provider's own record of it was taken.
    """
    heard = [whole_call(shaper.calls[index]) for index in sorted(shaper.calls)]
    # `{}` is whole; no arguments at all may be the beginning of some, unless the model said that it was done.
    whole = [call for call in heard if call.name and call.args is not None and (call.raw or shaper.finish)]
    cut = [call for call in heard if call not in whole]
    return Salvage(
        shown=shaper.whole,
        fragment="" if heard else shaper.fragment,  # text after a call is no continuation of the text before it
        calls=tuple(whole),
        open_call=cut[0].name if cut else None,
        finish=shaper.finish,
        is_structured=is_structured,
        has_thought=shaper.said and not shaper.parts and not heard,
        seen=watched and shaper.has_shown,
        block=shaper.block,
        cursor=cursor,
        shaper=shaper if cursor is not None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Able:
    """What a model can do to go on.

    Attributes:
        model: Its name.
        rank: How strong it is (`Tier.rank`).
        prefill: Whether it is declared to go on from a partial turn; None is unknown and is not tried.
        prefill_with_tools: Whether it still calls tools then; elsewhere it goes on in prose (litellm#31067).
        prefill_refused: Whether it was learnt that it does not, whatever is declared.
        thinks: Whether it is set to think first, which rules out a partial turn.
        barred: Why it cannot be asked now; None if it can.
    """

    model: str
    rank: int = 0
    prefill: bool | None = None
    prefill_with_tools: bool | None = None
    prefill_refused: bool = False
    thinks: bool = False
    barred: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Go on like this.

    Attributes:
        rung: How.
        model: With which model.
    """

    rung: Rung
    model: str

    @property
    def is_restart(self) -> bool:
        """Whether it is no way on, but a new beginning."""
        return self.rung is Rung.RESTART


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A way that is not gone, and why."""

    rung: Rung
    model: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A continuation that is to be made.

    Attributes:
        rung: How the model is asked.
        model: Which one.
        left: The model that broke off.
        salvage: What there is to go on from.
        skipped: The ways before it, and why not.
        billed: What was taken as billed for the broken attempt; a provider that replays bills the whole once.
    """

    rung: Rung
    model: str
    left: str
    salvage: Salvage
    skipped: tuple[Skipped, ...] = ()
    billed: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A continuation that was tried; for the trace and the next choice.

    Attributes:
        left: The model that broke.
        model: The model that went on.
        rung: How it was asked.
        at_char: How much text had been shown.
        failed: Why nothing came of it (a 400 for a partial turn, a seam with two readings); None if something did.
        join: How the text was joined; None where it never came to that.
        skipped: The ways before it, and why not.
    """

    left: str
    model: str
    rung: Rung
    at_char: int
    failed: str | None = None
    join: Joined | None = None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """How to go on.

    Attributes:
        way: The first way that is open; None where the error must carry what was shown.
        skipped: The ways before it, and why not.
    """

    way: Way | None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """An answer that broke, and what was tried since.

    Attributes:
        salvage: What is left of it.
        failure: Why it broke; the first failure, whatever came of going on.
        has_tools: Whether the answer may call tools.
        tokens_left: What the caller's limit leaves of the answer; None is no limit.
        resumed: Continuations before, in order.
    """

    salvage: Salvage
    failure: Failure
    has_tools: bool = False
    tokens_left: int | None = None
    resumed: tuple[Resumed, ...] = field(default=())


def ladder(broken: Break, able: Sequence[Able], policy: Resumption) -> Ladder:
    """The first open way on, and why those before it are closed.

    Args:
        broken: What happened.
        able: Models that may go on: the one that broke first, then others in the order they were decided on.
        policy: What the user allows.
    """
    skipped: list[Skipped] = []
    for each in able:
        for found in rungs(broken, each, able[0], policy):
            if isinstance(found, Way):
                return Ladder(way=found, skipped=tuple(skipped))
            skipped.append(found)
    return Ladder(way=None, skipped=tuple(skipped))


def rungs(broken: Break, able: Able, first: Able, policy: Resumption) -> tuple[Way | Skipped, ...]:
    """Each way on with one model, in order: open, or closed for a reason."""
    closed = refusal(broken) or unavailable(broken, able, first, policy)
    found: list[Way | Skipped] = []
    for rung in Rung:
        why = closed or obstacle(broken, able, first, rung, policy)
        way = Way(rung=rung, model=able.model)
        found.append(way if why is None else Skipped(rung=rung, model=able.model, why=why))
    return tuple(found)


def refusal(broken: Break) -> str | None:
    """Why an answer is not gone on with by anybody."""
    if broken.failure.kind is FailureKind.CANCELLED:
        return "nobody waits for it"
    if broken.failure.kind in NOT_RESUMED or broken.salvage.finish in REFUSED_FINISHES:
        return "a refused answer is never resumed"
    return None


def is_complete(broken: Break) -> bool:
    """Whether what is there makes an answer, so that nobody needs to be asked for more.

    It had finished, has whole calls, or is as long as it may be. Of several calls an open one is asked for again once
    the others have been made.
    """
    if refusal(broken) is not None:
        return False
    salvage = broken.salvage
    is_full = broken.tokens_left is not None and broken.tokens_left <= 0 and bool(salvage.shown)
    if salvage.state is State.FINISHED:
        return salvage.open_call is None
    return is_full or salvage.state is State.COMPLETE_CALLS


def unavailable(broken: Break, able: Able, first: Able, policy: Resumption) -> str | None:
    """Why a model is not asked to go on in any way."""
    if able.barred is not None:
        return able.barred
    if not broken.salvage.shown:
        return None
    if not broken.salvage.seen and able.model != first.model:
        return "nobody saw what was said; another model begins anew"
    taken = [one for one in broken.resumed if one.failed is None]
    if len(taken) >= policy.resumes:
        return f"it was resumed {len(taken)} times already"
    if able.model == first.model:
        if broken.failure.kind is FailureKind.CONTEXT_OVERFLOW:
            return "its window is full"
        return None
    if able.rank < first.rank:
        return "it is weaker than the model that broke"
    hopped = {one.model for one in taken if one.model != one.left}
    if len(hopped) >= policy.hops:
        return f"another model took over {len(hopped)} times already"
    return None


def obstacle(broken: Break, able: Able, first: Able, rung: Rung, policy: Resumption) -> str | None:
    """Why one way on is closed with a model that may be asked; None if it is open."""
    salvage = broken.salvage
    if rung is Rung.RESTART:
        return f"{len(salvage.shown)} characters were shown" if salvage.seen and not salvage.is_left else None
    failed = [one.failed for one in broken.resumed if (one.model, one.rung) == (able.model, rung) and one.failed]
    if failed:
        return failed[-1]
    if rung is Rung.CURSOR:
        if able.model != first.model:
            return "only the call that broke can be replayed"
        return None if salvage.cursor is not None else "its provider keeps no stream to come back to"
    if not salvage.shown:
        return "there is no text to go on from"
    if salvage.is_structured and not salvage.seen:
        return "JSON that nobody saw is asked for anew"
    if broken.failure.kind is FailureKind.STALLED and not salvage.seen and able.model == first.model:
        return "it fell silent, and nobody saw what it had said"
    return no_prefill(broken, able) if rung is Rung.PREFILL else no_instruction(broken, policy)


def no_instruction(broken: Break, policy: Resumption) -> str | None:
    """Why no model is asked in words to go on; None if it is."""
    if not policy.instruction:
        return "the policy asks no model in words to go on"
    if not broken.salvage.seen:
        return "nobody saw what was said; it is asked anew"
    # Measured 2026-11: 0 to 1 of 15 JSON answers went on well when asked in words, 13 to 15 from a partial turn.
    return "JSON is gone on with from a partial turn only" if broken.salvage.is_structured else None


def no_prefill(broken: Break, able: Able) -> str | None:
    """Why a model is given no partial turn; None if it is."""
    if able.prefill_refused:
        return "it refused a partial turn before"
    if not able.prefill:
        return "it is not declared to go on from a partial turn"
    if able.thinks:
        return "a model that thinks cannot go on from a partial turn"
    if broken.has_tools and not able.prefill_with_tools:
        return "with tools bound it may go on in prose instead of calling one"
    return None


def refused_prefill(failure: Failure) -> bool:
    """Whether a failure says that a model takes no partial turn at all: worth remembering, never worth raising."""
    return failure.kind is FailureKind.BAD_REQUEST and PREFILL_REFUSED.search(failure.text) is not None


def finished(salvage: Salvage) -> Answer:
    """The answer that is there, where it is complete."""
    pieces = tuple(ToolPiece(index, one.id, one.name, one.raw) for index, one in enumerate(salvage.calls))
    is_seen = salvage.seen and not salvage.is_left
    unshown = Delta(text=salvage.fragment if is_seen else salvage.shown + salvage.fragment, tools=pieces)
    return Answer(
        text=salvage.shown + salvage.fragment,
        tool_calls=salvage.calls,
        finish=salvage.finish or ("tool_calls" if salvage.calls else "length"),
        unshown=(unshown,) if unshown.text or pieces else (),
    )


def tokens_left(ask: Ask, salvage: Salvage) -> int | None:
    """What the caller's limit leaves of the answer, about; None where there is no limit."""
    limit = ask.output_limit
    return None if limit is None else limit - estimate_tokens(salvage.shown)


def usage_of_all(before: Salvage, joined: Joined, usage: Usage) -> Usage:
    """What the whole message took: the prompt of the call that ended it, and all that was shown, once.

    Args:
        before: What there was before the continuation.
        joined: How it was joined.
        usage: What the continuation's provider reports; echoes and preambles in it were paid for, and are not shown.
    """
    shown = estimate_tokens(before.shown)
    again = estimate_tokens(before.shown[-joined.dropped_chars :]) if joined.dropped_chars else 0
    new = max(usage.reasoning_tokens, usage.output_tokens - again)
    return replace(usage, output_tokens=shown + new, estimated=True)
