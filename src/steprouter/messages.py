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
from .errors import AllModelsFailed, AnswerBroken, ContextTooLong
from .flow import Outcome
from .tracing.record import Trace

GATEWAY_METADATA = "lc_gateway_metadata"
"""Where LangChain's tracers look for the model that really answered; without it a failover is traced under the
name of the first candidate. Not a public name (langchain_core.utils._gateway), so a rename costs only this."""

FINISH_WORDS = {"end_turn": "stop", "completed": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
"""Providers' finish reasons in the words most consumers compare with; the provider's own is kept in the trace."""


def live_chunk(delta: Delta) -> ChatGenerationChunk:
    """A piece that is shown while the answer is written."""
    content: Any = list(delta.blocks) if delta.blocks else delta.text
    return ChatGenerationChunk(
        message=AIMessageChunk(content=content, additional_kwargs=dict(delta.extra or {})),
    )


def closing_chunks(
    outcome: Outcome, trace: Trace, provider: Mapping[str, Any], *, blocks: bool
) -> Iterator[ChatGenerationChunk]:
    """What was held back, then the one chunk that carries usage and metadata.

    Args:
        outcome: The ended step; it must have an answer.
        trace: Its trace.
        provider: Provider and model name as tracers know them.
        blocks: Whether content blocks were shown already, which fixes the shape of the content.
    """
    answer = answer_of(outcome)
    content, extra = merged(answer.unshown)
    blocks = blocks or isinstance(content, list)
    if content or extra or answer.tool_calls:
        chunks = [spoken_call(index, call) for index, call in enumerate(answer.tool_calls)]
        yield ChatGenerationChunk(
            message=AIMessageChunk(content=content, additional_kwargs=extra, tool_call_chunks=chunks)
        )
    metadata = response_metadata(answer, trace, provider)
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=[] if blocks else "",
            response_metadata=metadata,
            usage_metadata=answer.usage.to_langchain() if answer.usage else None,
            chunk_position="last",
        ),
        generation_info=gateway(metadata),
    )


def whole_message(outcome: Outcome, trace: Trace, provider: Mapping[str, Any]) -> AIMessage:
    """The answer as one message."""
    answer = answer_of(outcome)
    content, extra = merged(answer.unshown)
    metadata = response_metadata(answer, trace, provider)
    return AIMessage(
        content=content,
        additional_kwargs=extra,
        response_metadata=metadata,
        tool_calls=[
            tool_call(name=call.name, args=dict(call.args), id=call.id)
            for call in answer.tool_calls
            if call.args is not None
        ],
        invalid_tool_calls=[
            invalid_tool_call(name=call.name, args=call.raw, id=call.id, error="arguments are not a JSON object")
            for call in answer.tool_calls
            if call.args is None
        ],
        usage_metadata=answer.usage.to_langchain() if answer.usage else None,
    )


def answer_of(outcome: Outcome) -> Answer:
    """The answer of a step that has one."""
    if outcome.answered_by is None or outcome.answered_by.answer is None:
        raise TypeError(f"step {outcome.step.id} has no answer")
    return outcome.answered_by.answer


def merged(pieces: Sequence[Delta]) -> tuple[Any, dict[str, Any]]:
    """Content and additional keyword arguments of several pieces: text, or content blocks where there are any."""
    extra: dict[str, Any] = {}
    for piece in pieces:
        if piece.extra:
            extra = merge_dicts(extra, dict(piece.extra))
    blocks: list[Any] = []
    for piece in pieces:
        blocks = merge_lists(blocks, list(piece.blocks)) or []
    if not blocks:
        return "".join(piece.text for piece in pieces), extra
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


def spoken_call(index: int, call: ToolCall) -> Any:
    """A tool call as a chunk.

    LangChain completes broken JSON in chunks by guessing, and agents run the guess. Arguments that are not a JSON
    object are therefore sent as a JSON string, which it cannot mistake for arguments: the call becomes an
    `invalid_tool_call` and nothing is executed.
    """
    args = call.raw or "{}" if call.args is not None else json.dumps(call.raw)
    return tool_call_chunk(name=call.name, args=args, id=call.id, index=index)


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
    return {
        "step_id": trace.step_id,
        "kind": trace.kind,
        "model": trace.model,
        "reason": trace.attempts[-1].why if len(trace.attempts) > 1 else trace.reason,
        "attempts": len(trace.attempts),
        "outcome": trace.outcome,
        "problems": list(trace.answer.problems) if trace.answer else [],
        "cache": trace.cache,
        "cost_usd": trace.cost_usd,
        "reference_cost_usd": trace.reference_cost_usd,
        "saved_usd": trace.saved_usd,
        "seconds": trace.seconds,
        "resumed": list(trace.resumed),
        "degraded": list(trace.degraded),
    }


def gateway(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What tells LangChain's tracers which model answered."""
    named = {"model": metadata.get("model_name"), "provider": metadata.get("model_provider")}
    return {GATEWAY_METADATA: {key: value for key, value in named.items() if value}}


def error_of(outcome: Outcome, trace: Trace) -> Exception:
    """The error of a step without an answer."""
    failed = [attempt for attempt in outcome.attempts if attempt.failure is not None]
    last = failed[-1]
    why = outcome.gave_up.why if outcome.gave_up else "exhausted"
    if why == "bad_request":
        # The caller's mistake keeps its own class: code written for the plain model goes on working.
        error = own_error(last)
        error.add_note(f"step {trace.step_id}: no other model was tried, the request itself was refused")
        return error
    if why == "broken":
        broken = AnswerBroken(f"the answer broke off: {last.failure}", partial=last.shown, trace=trace)
        broken.__cause__ = own_error(last)
        return broken
    errors = [own_error(attempt) for attempt in failed]
    failures = [attempt.failure for attempt in failed if attempt.failure is not None]
    told = "; ".join(str(failure) for failure in failures)
    group = ContextTooLong if all(f.kind is FailureKind.CONTEXT_OVERFLOW for f in failures) else AllModelsFailed
    return group(
        f"all models failed for step {trace.step_id} ({told})",
        errors,
        trace=trace,
        is_retryable=any(f.may_pass for f in failures),
    )


def own_error(attempt: Attempt) -> Exception:
    """The error an attempt failed with, as the wire raised it."""
    failure = attempt.failure
    return failure.error if failure is not None and failure.error is not None else RuntimeError(str(failure))
