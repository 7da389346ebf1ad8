"""Turns what a step said into LangChain messages: live chunks, the last chunk, the whole message, the error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils._merge import merge_dicts, merge_lists

from .answering.answer import Answer, Delta, ToolCall
from .answering.attempt import Attempt
from .answering.failures import FailureKind
from .answering.shape import is_tool_block
from .errors import (
    AllModelsFailed,
    AnswerBroken,
    BudgetExceeded,
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    ModelUnavailable,
)
from .flow import Outcome
from .tracing.record import Trace

GATEWAY_METADATA = "lc_gateway_metadata"
"""Where LangChain's tracers look for the model that really answered; without it a failover is traced under the
name of the first candidate. Not a public name (langchain_core.utils._gateway), so a rename costs only this."""

NOT_ARGUMENTS = "arguments are not a JSON object"

FINISH_WORDS = {"end_turn": "stop", "completed": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
"""Providers' finish reasons in the words most consumers compare with; the provider's own is kept in the trace."""


def live_chunk(delta: Delta, shape: str | None = None) -> ChatGenerationChunk:
    """A piece that is shown while the answer is written; `shape` is the provider whose content blocks it holds."""
    if not delta.blocks and not delta.extra:
        # Nearly every piece; fields that are left out need not be checked.
        return ChatGenerationChunk(message=AIMessageChunk(content=delta.text))
    # A piece may hold several that waited; LangChain merges blocks of one index across chunks, not inside one.
    content: Any = merge_lists([], list(delta.blocks)) if delta.blocks else delta.text
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=content,
            additional_kwargs=dict(delta.extra or {}),
            response_metadata=shaped(shape if delta.blocks else None),
        ),
    )


def shaped(shape: str | None) -> dict[str, Any]:
    """What tells LangChain how to read content blocks; without it they become `non_standard` in v1 content."""
    return {"model_provider": shape} if shape else {}


def closing_chunks(
    outcome: Outcome, trace: Trace, provider: Mapping[str, Any], *, shape: str | None = None
) -> Iterator[ChatGenerationChunk]:
    """What was held back, then the one chunk that carries usage and metadata.

    Args:
        outcome: The ended step; it must have an answer.
        trace: Its trace.
        provider: Provider and model name as tracers know them.
        shape: The provider in whose shape content blocks were shown already; None if none were.
    """
    answer = answer_of(outcome)
    content, extra = content_of(answer)
    metadata = response_metadata(answer, trace, provider)
    if shape is not None:
        metadata["model_provider"] = shape  # chunks are merged, and two different texts would be joined
    elif isinstance(content, list):
        shape = str(metadata["model_provider"])
    if content or extra or answer.tool_calls:
        places = block_places(content) if shape is not None else None
        chunks = [spoken_call(index, call, trace, places) for index, call in enumerate(answer.tool_calls)]
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content=content,
                additional_kwargs=extra,
                tool_call_chunks=chunks,
                response_metadata=shaped(shape if isinstance(content, list) else None),
            )
        )
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=[] if shape is not None else "",
            response_metadata=metadata,
            usage_metadata=answer.usage.to_langchain() if answer.usage else None,
            chunk_position="last",
        ),
        generation_info=gateway(metadata),
    )


def whole_message(outcome: Outcome, trace: Trace, provider: Mapping[str, Any]) -> AIMessage:
    """The answer as one message."""
    answer = answer_of(outcome)
    content, extra = content_of(answer)
    metadata = response_metadata(answer, trace, provider)
    return AIMessage(
        content=content,
        additional_kwargs=extra,
        response_metadata=metadata,
        tool_calls=[
            tool_call(name=call.name, args=dict(call.args), id=id_of(index, call, trace))
            for index, call in enumerate(answer.tool_calls)
            if call.args is not None
        ],
        invalid_tool_calls=[
            invalid_tool_call(name=call.name, args=call.raw, id=id_of(index, call, trace), error=NOT_ARGUMENTS)
            for index, call in enumerate(answer.tool_calls)
            if call.args is None
        ],
        usage_metadata=answer.usage.to_langchain() if answer.usage else None,
    )


def answer_of(outcome: Outcome) -> Answer:
    """The answer of a step that has one."""
    if outcome.answered_by is None or outcome.answered_by.answer is None:
        raise TypeError(f"step {outcome.step.id} has no answer")
    return outcome.answered_by.answer


def content_of(answer: Answer) -> tuple[Any, dict[str, Any]]:
    """What of an answer is still to be shown: content and additional keyword arguments.

    Providers repeat tool calls as content blocks, from which LangChain makes calls too. Those of broken calls
    are therefore left out: they would come back to life with no arguments.
    """
    content, extra = merged(answer.unshown)
    if not isinstance(content, list) or all(call.args is not None for call in answer.tool_calls):
        return content, extra
    whole = {call.id for call in answer.tool_calls if call.args is not None}
    return [b for b in content if not is_tool_block(b) or block_call(b) in whole], extra


def merged(pieces: Sequence[Delta]) -> tuple[Any, dict[str, Any]]:
    """Content and additional keyword arguments of several pieces: text, or content blocks where there are any."""
    extra: dict[str, Any] = {}
    for piece in pieces:
        if piece.extra:
            extra = merge_dicts(extra, dict(piece.extra))
    if not any(piece.blocks for piece in pieces):
        return "".join(piece.text for piece in pieces), extra
    blocks: list[Any] = []
    for piece in pieces:
        plain = [{"type": "text", "text": piece.text}] if piece.text else []
        blocks = merge_lists(blocks, list(piece.blocks) or plain) or []
    return [finished_block(block) for block in blocks], extra


def finished_block(block: Any) -> Any:
    """A content block without what only belongs to a stream."""
    if isinstance(block, Mapping) and is_tool_block(block) and "partial_json" in block:
        try:
            return {
                **{k: v for k, v in block.items() if k != "partial_json"},
                "input": json.loads(block["partial_json"]),
            }
        except ValueError:
            return block
    return block


def id_of(index: int, call: ToolCall, trace: Trace) -> str:
    """The id of a call; made up where the provider gave none, since a tool's result must name its call."""
    return call.id or f"call_{trace.step_id}_{index}"


def block_places(content: Any) -> dict[str, int]:
    """The places of content blocks that repeat a tool call, by the call's id."""
    blocks = [block for block in content if isinstance(block, Mapping) and is_tool_block(block)]
    named = {block_call(block): block.get("index") for block in blocks}
    return {call: place for call, place in named.items() if call and isinstance(place, int)}


def block_call(block: Mapping[str, Any]) -> str | None:
    """The id of the call that a content block repeats: OpenAI's Responses keep the block's own id in `id`."""
    return block.get("call_id") or block.get("id")


def spoken_call(index: int, call: ToolCall, trace: Trace, places: Mapping[str, int] | None = None) -> Any:
    """A tool call as a chunk.

    Calls are numbered, but for answers in content blocks: there a call has the number of its block or none,
    because v1 content merges calls with whatever block has the same number.

    LangChain completes broken JSON in chunks by guessing, and agents run the guess. Arguments that are not a JSON
    object therefore begin with a bracket that closes nothing, which neither its guessing nor its strict parser
    takes for arguments: the call becomes an `invalid_tool_call` and nothing is executed.
    """
    args = call.raw or "{}" if call.args is not None else f"]{call.raw}"
    place = index if places is None else places.get(call.id or "")
    return tool_call_chunk(name=call.name, args=args, id=id_of(index, call, trace), index=place)


def response_metadata(answer: Answer, trace: Trace, provider: Mapping[str, Any]) -> dict[str, Any]:
    """The one metadata record of an answer."""
    details = {key: value for key, value in answer.details.items() if value is not None}
    return {
        **provider,
        **details,
        "finish_reason": FINISH_WORDS.get(answer.finish or "", answer.finish),
        "steprouter": summary(trace),
    }


def summary(trace: Trace) -> dict[str, Any]:
    """What a caller reads of a step without opening its trace."""
    given = trace.answer
    return {
        "step_id": trace.step_id,
        "kind": trace.kind,
        "model": trace.model,
        "reason": trace.reason if given is None or given is trace.attempts[0] else given.why,
        "attempts": len(trace.attempts),
        "outcome": trace.outcome,
        "problems": list(given.problems) if given else [],
        "cache": trace.cache,
        "cost_usd": trace.cost_usd,
        "reference_cost_usd": trace.reference_cost_usd,
        "saved_usd": trace.saved_usd,
        "seconds": trace.seconds,
        "resumed": [
            {"from": one.left, "to": one.model, "rung": one.rung, "at_char": one.at_char, "certain": one.is_certain}
            for one in trace.resumed
        ],
        "degraded": list(trace.degraded),
    }


def gateway(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What tells LangChain's tracers which model answered."""
    named = {"model": metadata.get("model_name"), "provider": metadata.get("model_provider")}
    return {GATEWAY_METADATA: {key: value for key, value in named.items() if value}}


def error_of(outcome: Outcome, trace: Trace) -> Exception:
    """The error of a step without an answer."""
    why = outcome.gave_up.why if outcome.gave_up else "exhausted"
    failed = [attempt for attempt in outcome.attempts if attempt.failure is not None and not attempt.lost_race]
    if why == "bad_request":
        # The caller's mistake keeps its own class: code written for the plain model goes on working.
        error = own_error(failed[-1])
        others = "no other model was tried, " if len(failed) == 1 else ""
        error.add_note(f"step {trace.step_id}: {others}the request itself was refused")
        return error
    if why == "broken":
        # What broke it off, not what came of going on.
        first = outcome.progress.standing or failed[-1]
        partial = outcome.progress.shown
        broken = AnswerBroken(f"the answer broke off: {first.failure}", partial=partial, trace=trace)
        broken.__cause__ = own_error(first)
        for vain in (attempt.resumed for attempt in failed if attempt.resumed is not None and attempt.is_vain):
            broken.add_note(f"{vain.model} could not go on by {vain.rung}: {vain.failed}")
        return broken
    passed = outcome.progress.passed
    if why == "budget":
        refused = next(one.refused for one in reversed(passed) if one.refused.by == "budget")
        return BudgetExceeded(f"step {trace.step_id}: {refused.why}", budget=refused.name, trace=trace)
    return group_of(why, outcome, trace)


GROUPS: Mapping[str, tuple[type[AllModelsFailed], str]] = {
    "content_filtered": (ContentFiltered, "was refused on content"),
    "deadline": (DeadlineExceeded, "was not answered within its time"),
}
"""Endings that have an error of their own, and how it begins."""


def group_of(why: str, outcome: Outcome, trace: Trace) -> AllModelsFailed:
    """One error for each model that was tried or could not be asked."""
    tried = [attempt for attempt in outcome.attempts if not attempt.lost_race]
    failures = [attempt.failure for attempt in tried if attempt.failure is not None]
    # Why somebody could not be asked matters only while that is the last word on him.
    passed = {one.model: one.refused for one in outcome.progress.passed}
    unasked = [f"{model} could not be asked: {refused.why}" for model, refused in passed.items()]
    errors = [*(own_error(attempt) for attempt in tried), *(ModelUnavailable(text) for text in unasked)]
    told = "; ".join([*(str(failure) for failure in failures), *unasked])
    group, begins = GROUPS.get(why, (AllModelsFailed, "failed with all models"))
    if failures and all(failure.kind is FailureKind.CONTEXT_OVERFLOW for failure in failures):
        group = ContextTooLong
    is_retryable = why != "content_filtered" and (bool(unasked) or any(failure.may_pass for failure in failures))
    return group(
        f"step {trace.step_id} {begins} ({told})",
        errors or [RuntimeError(why)],
        trace=trace,
        is_retryable=is_retryable,
    )


def own_error(attempt: Attempt) -> Exception:
    """The error an attempt failed with, as the wire raised it."""
    failure = attempt.failure
    if failure is None:
        return RuntimeError(f"{attempt.model}: {attempt.problems[0] if attempt.problems else 'no answer'}")
    return failure.error if failure.error is not None else RuntimeError(str(failure))
