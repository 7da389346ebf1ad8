"""What is left of an answer that broke off, and how it may be gone on with.

What was shown is a fact that no later attempt may contradict. Complete tool calls are kept, since whoever asked may
run them; an open one is never shown and is asked for again. JSON goes on only where the whole can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ..models.cost import Usage
from ..models.tokens import estimate_tokens
from ..step.ask import Ask
from .answer import Answer, Delta, ToolCall, ToolPiece
from .check import REFUSED_FINISHES
from .failures import Failure, FailureKind
from .seam import Seam
from .seam_reading import Joined
from .shape import Shaper, whole_call

NOT_RESUMED = frozenset({FailureKind.CONTENT_FILTERED, FailureKind.REFUSED, FailureKind.CANCELLED})
"""A refusal is an answer, and who has gone away wants none. Going on would be a way around the filter."""

PREFILL_REFUSED = re.compile(
    r"prefill|must end with a user|(last|final) message.{0,40}(user|role|assistant)|"
    r"assistant.{0,40}(last|final) message|continue_final_message|conversation must end|partial mode",
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

    FINISH = "finish"  # what is there makes the answer; nobody is asked
    CURSOR = "cursor"  # the provider itself replays what follows (OpenAI's Responses in the background)
    PREFILL = "prefill"  # a partial assistant turn
    INSTRUCTION = "instruction"  # a user turn that asks for the rest
    RESTART = "restart"  # the same ask again, as nothing was shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What is left of a broken answer.

    Attributes:
        shown: All text the consumer has seen, of earlier attempts too.
        fragment: What was said after it and not shown; it may still turn out otherwise.
        calls: Complete tool calls, in order.
        open_call: Name of the first call that was cut; empty where it had none yet, None where none was cut.
        finish: Why the model stopped, where it had said so.
        is_structured: Whether the text is JSON because a format was asked for.
        has_thought: Whether anything was said that is neither text nor call.
    """

    shown: str = ""
    fragment: str = ""
    calls: tuple[ToolCall, ...] = ()
    open_call: str | None = None
    finish: str | None = None
    is_structured: bool = False
    has_thought: bool = False

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


def salvaged(shaper: Shaper, *, is_structured: bool = False, seam: Seam | None = None) -> Salvage:
    """What is left of an attempt that broke.

    Args:
        shaper: What the attempt was heard by.
        is_structured: Whether a response format was asked for.
        seam: What joined its text to an earlier attempt's, if it went on from one.
    """
    heard = [whole_call(shaper.calls[index]) for index in sorted(shaper.calls)]
    # `{}` is whole; no arguments at all may be the beginning of some, unless the model said that it was done.
    whole = [call for call in heard if call.name and call.args is not None and (call.raw or shaper.finish)]
    cut = [call for call in heard if call not in whole]
    shown = shaper.shown if seam is None else seam.shown
    fragment = "".join(shaper.parts)[len(shown) :] if seam is None else seam.fragment
    return Salvage(
        shown=shown,
        fragment="" if heard else fragment,  # text after a call is no continuation of the text before it
        calls=tuple(whole),
        open_call=cut[0].name if cut else None,
        finish=shaper.finish,
        is_structured=is_structured,
        has_thought=shaper.said and not shaper.parts and not heard,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Able:
    """What a model can do to go on.

    Attributes:
        model: Its name.
        rank: How strong it is (`Tier.rank`).
        cursor: Whether its provider keeps what it generates and can replay it.
        prefill: Whether it is declared to go on from a partial turn; None is unknown and is not tried.
        prefill_with_tools: Whether it still calls tools then; elsewhere it goes on in prose (litellm#31067).
        prefill_refused: Whether it was learnt that it does not, whatever is declared.
        thinks: Whether it is set to think first, which rules out a partial turn.
        barred: Why it cannot be asked now; None if it can.
    """

    model: str
    rank: int = 0
    cursor: bool = False
    prefill: bool | None = None
    prefill_with_tools: bool | None = None
    prefill_refused: bool = False
    thinks: bool = False
    barred: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What a user allows.

    Attributes:
        resumes: Continuations of one answer at most.
        hops: Of these on another model than the one that broke at most.
    """

    resumes: int = 2
    hops: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Go on like this.

    Attributes:
        rung: How.
        model: With which model; of no meaning for `finish`.
    """

    rung: Rung
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A way that is not gone, and why."""

    rung: Rung
    model: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A continuation that was tried; for the trace and the next choice.

    Attributes:
        left: The model that broke.
        model: The model that went on.
        rung: How it was asked.
        at_char: How much text had been shown.
        failed: Why nothing came of it (a 400 for a partial turn, a seam with two readings); None if something did.
    """

    left: str
    model: str
    rung: Rung
    at_char: int
    failed: str | None = None


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
    closed = refusal(broken)
    if closed is None and (able.model == first.model and is_complete(broken)):
        return (Way(rung=Rung.FINISH, model=able.model),)
    closed = closed or unavailable(broken, able, first, policy)
    found: list[Way | Skipped] = []
    for rung in (Rung.CURSOR, Rung.PREFILL, Rung.INSTRUCTION, Rung.RESTART):
        why = closed or obstacle(broken, able, first, rung)
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
    """Whether what is there makes an answer: it had finished, has whole calls, or is as long as it may be."""
    is_full = broken.tokens_left is not None and broken.tokens_left <= 0 and bool(broken.salvage.shown)
    return is_full or broken.salvage.state in (State.FINISHED, State.COMPLETE_CALLS)


def unavailable(broken: Break, able: Able, first: Able, policy: Resumption) -> str | None:
    """Why a model is not asked to go on in any way."""
    if able.barred is not None:
        return able.barred
    if not broken.salvage.shown:
        return None
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


def obstacle(broken: Break, able: Able, first: Able, rung: Rung) -> str | None:
    """Why one way on is closed with a model that may be asked; None if it is open."""
    salvage = broken.salvage
    if rung is Rung.RESTART:
        return f"{len(salvage.shown)} characters were shown" if salvage.shown else None
    if not salvage.shown:
        return "nothing was shown"
    failed = [one.failed for one in broken.resumed if (one.model, one.rung) == (able.model, rung) and one.failed]
    if failed:
        return failed[-1]
    if rung is Rung.CURSOR:
        if able.model != first.model or broken.resumed:
            return "only the call that broke can be replayed"
        return None if able.cursor else "its provider keeps no stream to come back to"
    if rung is Rung.INSTRUCTION:
        # Measured 2026-11: 0 to 1 of 15 JSON answers went on well when asked in words, 13 to 15 from a partial turn.
        return "JSON is gone on with from a partial turn only" if salvage.is_structured else None
    return no_prefill(broken, able)


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
    """The answer that is there: for `Rung.FINISH`."""
    pieces = tuple(ToolPiece(index, one.id, one.name, one.raw) for index, one in enumerate(salvage.calls))
    unshown = Delta(text=salvage.fragment, tools=pieces)
    return Answer(
        text=salvage.shown + salvage.fragment,
        tool_calls=salvage.calls,
        finish=salvage.finish or ("tool_calls" if salvage.calls else "length"),
        unshown=(unshown,) if salvage.fragment or pieces else (),
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
