"""What goes out as OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from .chat_wire import refusal
from .faults import ErrorEvent
from .reply import Usage
from .responses_admission import read_responses_request
from .speech import Piece
from .wire import PROXY_PAGE, Answer, BlockKind, Group, Wire, bearer, block_of, event

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, for each finish reason that makes it so."""

Status = Literal["in_progress", "completed", "incomplete"]


def whole(answer: Answer) -> dict[str, Any]:
    """The response in one object."""
    reason = INCOMPLETE.get(answer.speech.finish_reason)
    status: Status = "incomplete" if reason else "completed"
    output = [item(answer, block, status) for block in answer.blocks]
    return {
        **envelope(answer, status),
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage_json(answer.speech.usage),
    }


def envelope(answer: Answer, status: str) -> dict[str, Any]:
    """A response without output, which is what a stream opens with."""
    request = answer.request
    extra = request.extra
    return {
        "id": answer.named("resp_"),
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": bool(extra.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": extra.get("instructions"),
        "max_output_tokens": request.max_tokens,
        "metadata": extra.get("metadata") or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": extra.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(extra.get("reasoning") or {})},
        "service_tier": "default",
        "store": extra.get("store", True),
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": extra.get("text") or {"format": {"type": "text"}},
        "tool_choice": named_choice(request.tool_choice),
        "tools": [{"strict": True, "type": "function", **tool["function"]} for tool in request.tools],
        "top_p": extra.get("top_p", 1.0),
        "truncation": extra.get("truncation", "disabled"),
        "usage": None,
        "user": extra.get("user"),
    }


def named_choice(choice: Any) -> Any:
    """A tool choice as this format writes it."""
    if isinstance(choice, str) or choice is None:
        return choice or "auto"
    return {"type": "function", **choice["function"]}


def item_id(answer: Answer, block: tuple[BlockKind, int]) -> str:
    """The id of an output item."""
    kind, index = block
    return answer.named({"reasoning": "rs_", "text": "msg_", "call": "fc_"}[kind], f"{kind}{index}")


def item(answer: Answer, block: tuple[BlockKind, int], status: Status) -> dict[str, Any]:
    """An output item; empty while it is in progress."""
    kind, index = block
    said = answer.speech
    begun = status == "in_progress"
    match kind:
        case "reasoning":
            summary = [] if begun else [{"type": "summary_text", "text": said.reasoning}]
            return {"id": item_id(answer, block), "type": "reasoning", "summary": summary}
        case "text":
            content = [] if begun else [text_part(said.text)]
            fields = {"type": "message", "status": status, "role": "assistant", "content": content}
            return {"id": item_id(answer, block), **fields}
        case "call":
            call = said.tool_calls[index]
            arguments = "" if begun else call.arguments
            fields = {"type": "function_call", "status": status, "arguments": arguments, "call_id": call.id}
            return {"id": item_id(answer, block), **fields, "name": call.name}


def text_part(text: str) -> dict[str, Any]:
    """The one content part of a message item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage in this format's names."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


class Narrator:
    """Tells an answer event by event: numbers the events, opens and closes items as their pieces come."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._blocks = answer.blocks
        self._open: tuple[BlockKind, int] | None = None
        self._number = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        """The next event."""
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event(value, kind)

    def opening(self) -> Group:
        """The two events that say the response has begun."""
        begun = envelope(self._answer, "in_progress")
        return [self.event("response.created", response=begun), self.event("response.in_progress", response=begun)]

    def piece(self, piece: Piece) -> Group:
        """One piece, after what ends the item before it and begins its own."""
        block = block_of(piece)
        turned = self.turn_to(block)
        at = self.place(block)
        match piece.kind:
            case "reasoning":
                said = [self.event("response.reasoning_summary_text.delta", **at, summary_index=0, delta=piece.text)]
            case "text":
                said = [self.event("response.output_text.delta", **at, content_index=0, delta=piece.text, logprobs=[])]
            case "call":
                said = []
            case "arguments":
                said = [self.event("response.function_call_arguments.delta", **at, delta=piece.text)]
        return turned + said

    def closing(self) -> Group:
        """The end of the last item and of the response."""
        ended = self.turn_to(None)
        response = whole(self._answer)
        return [*ended, self.event(f"response.{response['status']}", response=response)]

    def turn_to(self, block: tuple[BlockKind, int] | None) -> Group:
        """The events that end the open item and begin another, unless that one is open already."""
        if block == self._open:
            return []
        ended = self.end(self._open) if self._open else []
        self._open = block
        return ended + (self.begin(block) if block else [])

    def place(self, block: tuple[BlockKind, int]) -> dict[str, Any]:
        """Where an item stands."""
        return {"item_id": item_id(self._answer, block), "output_index": self._blocks.index(block)}

    def begin(self, block: tuple[BlockKind, int]) -> Group:
        """An item appears."""
        at = self.place(block)
        empty = item(self._answer, block, "in_progress")
        added = [self.event("response.output_item.added", output_index=at["output_index"], item=empty)]
        match block[0]:
            case "reasoning":
                part = {"type": "summary_text", "text": ""}
                added.append(self.event("response.reasoning_summary_part.added", **at, summary_index=0, part=part))
            case "text":
                added.append(self.event("response.content_part.added", **at, content_index=0, part=text_part("")))
        return added

    def end(self, block: tuple[BlockKind, int]) -> Group:
        """An item is complete, or as complete as it gets."""
        at, said = self.place(block), self._answer.speech
        cut_short = said.finish_reason in INCOMPLETE and block == self._blocks[-1]
        whole_item = item(self._answer, block, "incomplete" if cut_short else "completed")
        match block[0]:
            case "reasoning":
                part = {"type": "summary_text", "text": said.reasoning}
                done = [
                    self.event("response.reasoning_summary_text.done", **at, summary_index=0, text=said.reasoning),
                    self.event("response.reasoning_summary_part.done", **at, summary_index=0, part=part),
                ]
            case "text":
                text, part = said.text, text_part(said.text)
                done = [
                    self.event("response.output_text.done", **at, content_index=0, text=text, logprobs=[]),
                    self.event("response.content_part.done", **at, content_index=0, part=part),
                ]
            case "call":
                call = said.tool_calls[block[1]]
                named = {"name": call.name, "arguments": call.arguments}
                done = [self.event("response.function_call_arguments.done", **at, **named)]
        return [*done, self.event("response.output_item.done", output_index=at["output_index"], item=whole_item)]


def stream(answer: Answer) -> Iterator[Group]:
    """The answer as typed events with sequence numbers."""
    narrator = Narrator(answer)
    yield narrator.opening()
    for piece in answer.speech.pieces:
        yield narrator.piece(piece)
    yield narrator.closing()


def error(answer: Answer, fault: ErrorEvent, number: int) -> bytes:
    """An error inside a stream: an `error` event, or the response as failed."""
    if fault.shape == "failed":
        failed = {**envelope(answer, "failed"), "error": {"code": fault.code, "message": fault.text}}
        value = {"type": "response.failed", "sequence_number": number, "response": failed}
        return event(value, "response.failed")
    said = {"code": fault.code, "message": fault.text, "param": None}
    return event({"type": "error", "sequence_number": number, **said}, "error")


RESPONSES = Wire(
    format="responses",
    path="/v1/responses",
    id_header="x-request-id",
    key=bearer,
    read=read_responses_request,
    refusal=refusal,
    whole=whole,
    stream=stream,
    error=error,
    garbage=event(PROXY_PAGE, "response.output_text.delta"),
)
