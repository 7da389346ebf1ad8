"""A Chat Completions stream, from bytes to pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..answering.answer import Delta, ToolPiece
from ..models.cost import Usage
from .call_places import CallPlaces
from .refusals import BrokenOff, WireError, stream_refusal
from .server_events import EventReader, LineTooLong, is_utf8

REASONING_KEYS = ("reasoning_content", "reasoning")
"""Where thoughts come: DeepSeek, vLLM, llama.cpp and xAI say the first, OpenRouter and Groq the second."""

loads = json.JSONDecoder().decode  # `json.loads` looks at its options and at the encoding on every call


class CompletionReader:
    """Takes the bytes of one response in any cuts and gives pieces of the answer.

    Details come with the first piece, the usage with the piece that `close` gives. Role-only openings, empty
    deltas and keep-alive comments give nothing, so that the first piece is the first thing said.

    Attributes:
        said: A piece with content has been given.
        finished: The finish reason has come; what may still follow is usage.
        done: `[DONE]` has come; nothing else counts.
        broken: What broke the stream; None while nothing has.
    """

    def __init__(
        self,
        where: str,
        *,
        provider: str,
        details: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self.said = False
        self.finished = False
        self.done = False
        self.broken: WireError | None = None
        self._where = where
        self._secrets = tuple(secrets)
        self._events = EventReader()
        self._places = CallPlaces()
        self._usage: Usage | None = None
        self._logprobs: list[Any] = []
        self._details: dict[str, Any] | None = {"model_provider": provider, **(details or {})}

    def feed(self, data: bytes) -> list[Delta]:
        """The pieces that `data` completes; if the stream breaks after some of them, `go_on` says so.

        Raises:
            StreamRefusal: The server reported an error in the stream.
            BrokenOff: What came is no stream of chat completion chunks.
        """
        try:
            events = self._events.feed(data)
        except LineTooLong as error:
            raise BrokenOff(f"{self._where}: {error}") from error
        pieces: list[Delta] = []
        try:
            for event in events:
                try:
                    chunk = loads(event.decode())
                except (ValueError, RecursionError):
                    pieces += self.unusual(event)
                else:
                    if (piece := self.piece(chunk)) is not None:
                        pieces.append(piece)
                if self.done:
                    break
        except WireError as error:
            self.broken = error
        except (AttributeError, TypeError) as error:  # a list where an object belongs, and the like
            self.broken = BrokenOff(f"{self._where} sent an event that is no chat completion chunk")
            self.broken.__cause__ = error
        if not pieces:
            self.go_on()
        return pieces

    def go_on(self) -> None:
        """Raise what broke the stream, once the pieces before it were taken; a finished answer does not break.

        Raises:
            StreamRefusal: The server reported an error in the stream.
            BrokenOff: What came is no stream of chat completion chunks.
        """
        if self.broken is not None and not self.finished:
            raise self.broken

    def whole(self, body: bytes) -> list[Delta]:
        """The pieces of an answer that came in one JSON body although a stream was asked for."""
        try:
            chunk = loads(body.decode("utf-8", "replace").strip())
        except (ValueError, RecursionError) as error:
            raise BrokenOff(f"{self._where} answered with neither a stream nor JSON") from error
        piece = self.intact(self.piece(chunk), body)
        return [piece] if piece is not None else []

    def close(self) -> list[Delta]:
        """The last pieces, once the response has ended: an event left open, then usage and details."""
        self.go_on()
        pieces: list[Delta] = []
        event = None if self.done else self._events.end()
        if event is not None:
            with suppress(BrokenOff):  # a torn event says nothing; that the finish is missing does
                pieces += self.unusual(event)
        details = self._details if self._details is not None else {}
        if self._logprobs:
            details["logprobs"] = {"content": self._logprobs}
        if self._usage is not None or (details and (self.finished or self.said)):
            pieces.append(Delta("", (), (), None, self._usage, details or None))
            self._details = {}
        return pieces

    def unusual(self, event: bytes) -> list[Delta]:
        """The pieces of an event that is not one JSON value."""
        text = event.decode("utf-8", "replace").strip()
        if text == "[DONE]":
            self.done = True
            return []
        if not text or self.finished:
            return []
        pieces = []
        # Servers that end an event with one line break instead of two run their events together.
        for line in text.splitlines():
            if line.strip() == "[DONE]":
                self.done = True
                break
            try:
                piece = self.piece(loads(line))
            except (ValueError, RecursionError) as error:
                if text.startswith('{"error":'):  # an event named `error` whose data is plain text
                    said = text.removeprefix('{"error":').removesuffix("}")
                    raise stream_refusal(self._where, said, self._secrets) from None
                raise BrokenOff(f"{self._where} sent an event that is not JSON") from error
            if (piece := self.intact(piece, event)) is not None:
                pieces.append(piece)
        return pieces

    def intact(self, piece: Delta | None, data: bytes) -> Delta | None:
        """The piece, unless it is of a tool call and bytes of it are lost.

        Raises:
            BrokenOff: They are.
        """
        if piece is not None and piece.tools and not is_utf8(data):
            raise BrokenOff(f"{self._where} sent a tool call that is not UTF-8")
        return piece

    def piece(self, chunk: Any) -> Delta | None:
        """What one chunk says; None if nothing."""
        try:
            choices = chunk["choices"]
            choice = choices[0] if choices else None
        except (KeyError, TypeError, IndexError):
            self.note(chunk)
            return None
        if chunk.get("usage"):
            self.count(chunk["usage"])
        if choice is None:
            return None
        if choice.get("index"):
            return None  # further choices were not asked for
        delta = choice.get("delta") or choice.get("message") or {}
        finish = choice.get("finish_reason") or None
        if finish is not None:
            finish, self.finished = (None if self.finished else str(finish)), True
        if choice.get("logprobs"):
            self.keep_logprobs(choice["logprobs"])
        content = delta.get("content")
        tools: tuple[ToolPiece, ...] = ()
        extra = None
        # Most deltas are a content alone, or with the role; looking for more would cost as much as reading them.
        if "content" not in delta or len(delta) > 1 + ("role" in delta):
            tools, extra = self.beyond_text(delta)
        if content.__class__ is not str:
            content, extra = text_and_thoughts(content, extra)
        if not (content or tools or extra or finish):
            return None
        self.said = True
        if self._details:
            return Delta(content, tools, (), finish, None, self.take_details(chunk), extra)
        return Delta(content, tools, (), finish, None, None, extra)

    def beyond_text(self, delta: Mapping[str, Any]) -> tuple[tuple[ToolPiece, ...], dict[str, Any] | None]:
        """Tool calls, thoughts and a refusal in a delta that holds more than text."""
        tools: tuple[ToolPiece, ...] = ()
        if calls := delta.get("tool_calls"):
            tools = tuple([self.tool_piece(call) for call in calls if isinstance(call, dict)])
        elif isinstance(call := delta.get("function_call"), dict):  # the form before tool calls
            tools = (self.tool_piece({"index": 0, "function": call}),)
        extra: dict[str, Any] = {}
        for key in REASONING_KEYS:
            if isinstance(thought := delta.get(key), str) and thought:
                extra["reasoning_content"] = thought
                break
        if delta.get("refusal"):
            extra["refusal"] = delta["refusal"]
        return tools, extra or None

    def tool_piece(self, call: Mapping[str, Any]) -> ToolPiece:
        """A fragment of a tool call."""
        function = call.get("function") or {}
        args = function.get("arguments")
        if args is None:
            args = ""
        elif not isinstance(args, str):
            args = json.dumps(args, ensure_ascii=False)  # some servers send the object itself
        call_id = call.get("id") or None
        index = self._places.place(call.get("index"), call_id)
        return ToolPiece(index, call_id, function.get("name") or None, args)

    def note(self, chunk: Any) -> None:
        """Take in a chunk without choices: an error, a ping, or usage on its own."""
        if not isinstance(chunk, dict):
            raise BrokenOff(f"{self._where} sent an event that is no chat completion chunk")
        if chunk.get("error"):
            raise stream_refusal(self._where, chunk["error"], self._secrets)
        if chunk.get("object") == "error":
            raise stream_refusal(self._where, chunk, self._secrets)
        if chunk.get("usage"):
            self.count(chunk["usage"])

    def count(self, usage: Mapping[str, Any]) -> None:
        """Keep the usage; of several (vLLM and xAI send running totals) the last one counts."""
        if isinstance(usage, dict):
            self._usage = usage_of(usage)

    def keep_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        """Add to the log probabilities of the answer."""
        if isinstance(logprobs, dict) and isinstance(content := logprobs.get("content"), list):
            self._logprobs += content

    def take_details(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """The answer's metadata, once."""
        details, self._details = self._details or {}, None
        named = {
            "model": "model_name",
            "system_fingerprint": "system_fingerprint",
            "service_tier": "service_tier",
        }
        for key, name in named.items():
            if isinstance(value := chunk.get(key), str) and value:
                details[name] = value
        return details


def text_and_thoughts(content: Any, extra: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """Text and thoughts of a content that is no string: missing, or Mistral's list of blocks."""
    if not isinstance(content, list):
        return "", extra
    blocks = [block for block in content if isinstance(block, dict)]
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    thoughts = ""
    for block in blocks:
        if block.get("type") == "thinking":
            said = block.get("thinking")
            parts = said if isinstance(said, list) else [{"text": said}]
            thoughts += "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))
    if thoughts:
        extra = {**(extra or {}), "reasoning_content": thoughts}
    return text, extra


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """OpenAI's usage object as ours; DeepSeek names its cache hits in a field of its own."""
    prompt = usage.get("prompt_tokens_details") or {}
    answer = usage.get("completion_tokens_details") or {}
    read = prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")
    return Usage.from_langchain(
        {
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
            "input_token_details": {"cache_read": read, "cache_creation": prompt.get("cache_write_tokens")},
            "output_token_details": {"reasoning": answer.get("reasoning_tokens")},
        }
    )
