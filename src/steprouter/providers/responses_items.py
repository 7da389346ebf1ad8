"""The events of a Responses stream as pieces of an answer.

Content comes in blocks of the shape that LangChain calls `responses/v1`: text, thoughts and calls in the order they
were said, each under its item's id, so that the next step can send them back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..answering.answer import Delta, ToolPiece
from ..models.cost import Usage
from .refusals import BrokenOff
from .responses_input import OUTPUT_ITEMS

PARTS_APART = 1000
"""A block is numbered as its item, and the second part of an item this much higher. LangChain counts blocks instead;
a stream that is taken up in the middle has nothing to count from."""

FINISHES: Mapping[str | None, str] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why a response is incomplete, in the words of Chat Completions."""

CALLS = frozenset({"function_call", "custom_tool_call"})

Event = Mapping[str, Any]


class ResponsePieces:
    """Turns events into pieces, one each at most.

    Openings of items give nothing, so that the first piece is the first thing said. Finish and usage come with the
    event that ends the response.

    Args:
        where: Name of the model, for messages.
        details: Metadata that is known already.
        is_resumed: Whether the stream was taken up in the middle, so that what came before is not known.

    Attributes:
        said: A piece with content has been given.
        has_ended: The event that ends the response has come.
        response_id: The provider's name for the response; None while it is unknown.
        unsaid: Pieces that should have come before the end of the response, and did not.
    """

    def __init__(self, where: str, *, details: Mapping[str, Any] | None = None, is_resumed: bool = False) -> None:
        self.said = False
        self.has_ended = False
        self.response_id: str | None = None
        self.unsaid: list[Delta] = []
        self._where = where
        self._is_resumed = is_resumed
        self._details: dict[str, Any] | None = {"model_provider": "openai", **(details or {})}
        self._logprobs: list[Any] = []
        self._pins: dict[str, int] = {}
        self._openings: dict[int, dict[str, Any]] = {}
        self._open_calls: dict[int, bool] = {}
        self._has_called = False
        self._has_refused = False
        self._readers: Mapping[str, Callable[[Event], Delta | None]] = {
            "response.output_text.delta": self.text,
            "response.function_call_arguments.delta": self.arguments,
            "response.created": self.created,
            "response.output_item.added": self.item_added,
            "response.output_item.done": self.item_done,
            "response.output_text.annotation.added": self.annotation,
            "response.output_text.done": self.text_done,
            "response.function_call_arguments.done": self.arguments_done,
            "response.reasoning_summary_text.delta": self.summary,
            "response.reasoning_text.delta": self.thought,
            "response.refusal.delta": self.refusal,
            "response.refusal.done": self.refusal_done,
            "response.completed": self.ended,
            "response.incomplete": self.ended,
            "response.cancelled": self.cancelled,
        }

    def piece(self, event: Event) -> Delta | None:
        """What one event says; None if nothing, or if its kind is unknown."""
        read = self._readers.get(event["type"])
        return read(event) if read is not None else None

    def text(self, event: Event) -> Delta | None:
        """Text that was said."""
        text, index = event["delta"], self.place(event)
        if event.get("logprobs"):
            self._logprobs += event["logprobs"]
        if not text:
            return None
        self.said = True
        block = {"type": "text", "text": text, "index": index}
        if self._openings and (opening := self._openings.pop(index, None)):
            block = {**opening, **block}
        details = self.take_details() if self._details is not None else None
        return Delta(text, (), (block,), None, None, details)

    def place(self, event: Event) -> int:
        """The number of the block an event belongs to.

        An item keeps the place it was first seen at: after hosted tools, later events may name another.
        """
        output = event.get("output_index") or 0
        if (item := event.get("item_id")) is not None:
            output = self._pins.setdefault(item, output)
        return output + PARTS_APART * part if (part := event.get("content_index")) else output

    def block(self, block: dict[str, Any], **fields: Any) -> Delta:
        """A piece with a block, its item's opening included if that has not been given."""
        self.said = True
        opening = self._openings.pop(block["index"], None)
        if opening:
            block = {**opening, **block}
        return Delta(blocks=(block,), details=self.take_details(), **fields)

    def created(self, event: Event) -> None:
        """The response has a name."""
        response = event["response"]
        self.response_id = response.get("id")
        if self._details is not None:
            self._details.update(named(response))

    def item_added(self, event: Event) -> Delta | None:
        """An item begins; only a call says something by that."""
        item = event["item"]
        index = self.place({**event, "item_id": item.get("id")})
        match item.get("type"):
            case "function_call":
                return self.call(item, index)
            case "reasoning":
                sealed = ("encrypted_content", "status")  # the seal is complete only at the end
                self._openings[index] = {k: v for k, v in item.items() if v is not None and k not in sealed}
            case "message" if item.get("phase"):
                self._openings[index] = {"phase": item["phase"]}
        return None

    def item_done(self, event: Event) -> Delta | None:
        """An item is complete."""
        item = event["item"]
        kind = item.get("type")
        index = self.place({**event, "item_id": item.get("id")})
        if kind == "function_call":
            return self.call(item, index) if self.is_unheard(index) else self.late(item, index)
        if kind == "reasoning":
            return self.thought_done(item, index)
        if kind not in OUTPUT_ITEMS:
            return None
        block = {**{key: value for key, value in item.items() if value is not None}, "index": index}
        if kind != "custom_tool_call":
            return self.block(block)
        self._has_called = True
        args = json.dumps({"__arg1": item.get("input")}, ensure_ascii=False)  # as LangChain's custom tools are called
        return self.block(block, tools=(ToolPiece(index, item.get("call_id"), item.get("name"), args),))

    def is_unheard(self, index: int) -> bool:
        """Whether nothing was said of a call that is complete; in a stream taken up again there is no telling."""
        return index not in self._open_calls and not self._is_resumed

    def call(self, item: Event, index: int) -> Delta:
        """A call begins, or comes whole."""
        args = item.get("arguments") or ""
        self._has_called, self._open_calls[index] = True, bool(args)
        names = {key: item[key] for key in ("name", "call_id", "id", "namespace") if item.get(key) is not None}
        block = {"type": "function_call", **names, "arguments": args, "index": index}
        return self.block(block, tools=(ToolPiece(index, item.get("call_id"), item.get("name"), args),))

    def late(self, item: Event, index: int) -> Delta | None:
        """Arguments that come only with the end of their call."""
        args = item.get("arguments")
        return self.more_arguments(args, index) if args and self._open_calls.get(index) is False else None

    def arguments(self, event: Event) -> Delta | None:
        """More of a call's arguments."""
        return self.more_arguments(event["delta"], self.place(event)) if event["delta"] else None

    def more_arguments(self, args: str, index: int) -> Delta:
        """Arguments of the call at a place."""
        self._has_called, self._open_calls[index] = True, True
        block = {"type": "function_call", "arguments": args, "index": index}
        return self.block(block, tools=(ToolPiece(index, None, None, args),))

    def arguments_done(self, event: Event) -> Delta | None:
        """A call's arguments are complete."""
        return self.late(event, self.place(event))

    def summary(self, event: Event) -> Delta:
        """Part of the summary of a thought."""
        part = {"index": event.get("summary_index") or 0, "type": "summary_text", "text": event["delta"]}
        return self.block({"type": "reasoning", "summary": [part], "index": self.place(event)})

    def thought(self, event: Event) -> Delta:
        """Part of a thought itself, which open models show."""
        part = {"index": event.get("content_index") or 0, "type": "reasoning_text", "text": event["delta"]}
        index = self.place({**event, "content_index": 0})
        return self.block({"type": "reasoning", "content": [part], "index": index})

    def thought_done(self, item: Event, index: int) -> Delta | None:
        """A thought is complete: its seal, and all of it where nothing was said of it."""
        if self._openings.pop(index, None) is not None:
            kept = {key: value for key, value in item.items() if value is not None and key != "status"}
            return self.block({**kept, "index": index})
        if not (sealed := item.get("encrypted_content")):
            return None
        block = {"type": "reasoning", "id": item.get("id"), "summary": [], "encrypted_content": sealed}
        return self.block({**block, "index": index})

    def annotation(self, event: Event) -> Delta:
        """A citation in the text; its `index` has another name, as LangChain merges blocks by that one."""
        given = event["annotation"]
        note = {("file_index" if key == "index" else key): value for key, value in given.items() if value is not None}
        return self.block({"type": "text", "annotations": [note], "index": self.place(event)})

    def text_done(self, event: Event) -> Delta | None:
        """A text is complete: its message has a name."""
        if not event.get("item_id"):
            return None
        return self.block({"type": "text", "text": "", "id": event["item_id"], "index": self.place(event)})

    def refusal(self, event: Event) -> Delta | None:
        """Part of what the model says instead of an answer."""
        self.said = self._has_refused = True
        return Delta(details=self.take_details(), extra={"refusal": event["delta"]})

    def refusal_done(self, event: Event) -> Delta:
        """The model would not answer."""
        extra = None if self._has_refused or self._is_resumed else {"refusal": event["refusal"]}
        self._has_refused = True
        return self.block({"type": "refusal", "refusal": event["refusal"], "index": self.place(event)}, extra=extra)

    def ended(self, event: Event) -> Delta:
        """The answer is over: why, and what it took."""
        response = event["response"]
        output = response.get("output") or ()
        reason = (response.get("incomplete_details") or {}).get("reason")
        is_complete = event.get("type") != "response.incomplete" and response.get("status") != "incomplete"
        has_called = self._has_called or any(item.get("type") in CALLS for item in output)
        finish = ("tool_calls" if has_called else "stop") if is_complete else FINISHES.get(reason, reason)
        self.response_id = response.get("id") or self.response_id
        details = {**(self.take_details() or {}), **named(response)}
        if self._logprobs:
            details["logprobs"] = {"content": self._logprobs}
        if not self.said and not self._is_resumed:  # some gateways make a stream of nothing but its end
            self.unsaid = list(self.spoken(response))
        self.has_ended = True
        usage = usage_of(response["usage"]) if isinstance(response.get("usage"), dict) else None
        return Delta(finish=finish or "incomplete", usage=usage, details=details)

    def spoken(self, response: Event) -> Iterator[Delta]:
        """The pieces of a response that came whole."""
        for index, item in enumerate(response.get("output") or ()):
            at = {"output_index": index, "item_id": item.get("id")}
            pieces = [self.item_added({**at, "item": item})]
            if item.get("type") == "message":
                for part, said in enumerate(item.get("content") or ()):
                    pieces += self.whole_part(said, {**at, "content_index": part})
            pieces.append(self.item_done({**at, "item": item}))
            yield from (piece for piece in pieces if piece is not None)

    def whole_part(self, part: Event, at: Event) -> list[Delta | None]:
        """The pieces of a message's part that came whole."""
        if part.get("type") == "refusal":
            return [self.refusal_done({**at, "refusal": part.get("refusal")})]
        notes = part.get("annotations") or ()
        return [
            self.text({**at, "delta": part.get("text"), "logprobs": part.get("logprobs")}),
            *(self.annotation({**at, "annotation": note}) for note in notes),
            self.text_done(at),
        ]

    def cancelled(self, event: Event) -> None:
        """Somebody else ended the response.

        Raises:
            BrokenOff: Always.
        """
        raise BrokenOff(f"{self._where}: the response was cancelled")

    def take_details(self) -> dict[str, Any] | None:
        """The answer's metadata, once."""
        details, self._details = self._details, None
        return details


def named(response: Event) -> dict[str, Any]:
    """What a response says of itself."""
    keys = {"model": "model_name", "id": "response_id", "service_tier": "service_tier"}
    return {name: response[key] for key, name in keys.items() if isinstance(response.get(key), str)}


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """The usage of a response as ours."""
    prompt = usage.get("input_tokens_details") or {}
    answer = usage.get("output_tokens_details") or {}
    return Usage.from_langchain(
        {
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "input_token_details": {
                "cache_read": prompt.get("cached_tokens"),
                "cache_creation": prompt.get("cache_write_tokens"),
            },
            "output_token_details": {"reasoning": answer.get("reasoning_tokens")},
        }
    )
