"""What a scripted model says: replies, and short ways to write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from .faults import Cut, End, Fault, Raise, Rejection, check_count

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the model asks for.

    Attributes:
        name: The tool's name; it need not be bound, since models invent tools too.
        args: Arguments as a mapping, or as raw text to script arguments that are not valid JSON.
        id: Empty means one is made up that no other call has.
    """

    name: str
    args: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""

    @property
    def arguments(self) -> str:
        """The arguments as the text that goes over the wire."""
        if isinstance(self.args, str):
            return self.args
        return json.dumps(dict(self.args), ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens an answer is billed for.

    Attributes:
        input_tokens: Prompt tokens, cached ones included.
        output_tokens: Completion tokens, reasoning included.
        cached_tokens: Part of the input that a prompt cache served.
        reasoning_tokens: Part of the output that was reasoning.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __post_init__(self) -> None:
        for part, whole in (("cached_tokens", "input_tokens"), ("reasoning_tokens", "output_tokens")):
            if not 0 <= getattr(self, part) <= getattr(self, whole):
                raise ValueError(
                    f"{part} must be part of {whole}, from 0 to {getattr(self, whole)!r}, got {getattr(self, part)!r}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a scripted model, and what goes wrong with it.

    The request still counts: its stop sequences and its token limit shorten what is said.

    Attributes:
        text: What is said.
        tool_calls: Calls asked for after the text, in parallel.
        reasoning: Thoughts before the text; in Chat Completions `reasoning_content`, as DeepSeek and vLLM send
            it, in Responses a reasoning item with a summary, in Messages a thinking block.
        finish_reason: None means `tool_calls` where there are some, else `stop`.
        usage: None means an estimate from the lengths of prompt and answer, 4 characters a token.
        chunk_words: Words in each streamed chunk; tool arguments come in pieces of 8 characters.
        chunk_characters: Characters of each streamed chunk of text in turn, over and over; empty goes by words.
        first_token_seconds: Real waiting before the first chunk, or before an error.
        seconds_per_chunk: Real waiting before each further chunk.
        headers: Extra response headers.
        fault: What goes wrong, see `steprouter.testing.faults`; None means nothing.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    chunk_words: int = 1
    chunk_characters: tuple[int, ...] = ()
    first_token_seconds: float = 0.0
    seconds_per_chunk: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tool_calls", tuple(self.tool_calls))
        check_count("chunk_words", self.chunk_words, "1 is word by word", lowest=1)
        for characters in self.chunk_characters:
            check_count("chunk_characters", characters, "1 is letter by letter", lowest=1)
        for name in ("first_token_seconds", "seconds_per_chunk"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)!r}; 0 is at once")

    def calling(self, name: str, raw: str | None = None, /, **args: Any) -> Reply:
        """This reply with one more tool call; `raw` scripts arguments as they are, valid JSON or not."""
        made = ToolCall(name=name, args=args if raw is None else raw)
        return replace(self, tool_calls=(*self.tool_calls, made))

    def slowly(self, *, first_token_seconds: float = 0.0, seconds_per_chunk: float = 0.0) -> Reply:
        """This reply, taking its time."""
        return replace(self, first_token_seconds=first_token_seconds, seconds_per_chunk=seconds_per_chunk)

    def failing(self, fault: Fault) -> Reply:
        """This reply with a fault: `say("one two").failing(Stall(after_chunks=1))`."""
        return replace(self, fault=fault)

    def cut(self, *, after_chunks: int, how: End = "close") -> Reply:
        """This reply, breaking off after some chunks; see `Cut`."""
        return replace(self, fault=Cut(after_chunks=after_chunks, how=how))

    def raising(self, error: Exception, *, after_chunks: int = 0) -> Reply:
        """This reply, ending in an exception; for in-process models."""
        return replace(self, fault=Raise(error=error, after_chunks=after_chunks))


def say(text: str, **fields: Any) -> Reply:
    """A reply in words; `fields` are further fields of `Reply`."""
    return Reply(text=text, **fields)


def call(name: str, raw: str | None = None, /, **args: Any) -> Reply:
    """A reply that calls a tool: `call("search", query="x")`, or raw as in `call("search", '{"query": "x')`.

    More calls in the same reply: `call("search", query="x").calling("clock")`.
    """
    return Reply().calling(name, raw, **args)


def fail(
    status: int,
    message: str = "",
    *,
    code: str | None = None,
    retry_after_seconds: float | None = None,
    retry_after: datetime | str | None = None,
    raw_body: str | None = None,
) -> Reply:
    """A reply that is an HTTP error: `fail(503)`, `fail(429, retry_after_seconds=2)`.

    `fail(400, code="context_length_exceeded")` is a prompt that is too long.
    """
    return Reply(
        fault=Rejection(
            status=status,
            message=message,
            code=code,
            retry_after_seconds=retry_after_seconds,
            retry_after=retry_after,
            raw_body=raw_body,
        )
    )
