"""What a reply comes to for one request: shortened by its limits, cut into pieces, counted in tokens."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import cycle
from typing import Literal

from .reply import FinishReason, Reply, ToolCall, Usage
from .request import Request, text_of

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text (help article "What are tokens and how to count them?")."""

MESSAGE_TOKENS = 4
"""Roughly what role and separators of a message add in OpenAI's chat format."""

IMAGE_TOKENS = 85
"""What OpenAI bills for a low-detail image (vision guide)."""

ARGUMENT_CHARACTERS = 8
"""Small enough that even short arguments come in several pieces, as clients must cope with that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One chunk's worth of an answer.

    Attributes:
        kind: `call` opens a tool call, `arguments` carries part of its arguments.
        text: The words, or the tool's name for `call`.
        index: Which tool call, from 0.
        id: The tool call's id, for `call`.
    """

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    index: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """An answer as it goes out.

    Attributes:
        reasoning: Thoughts.
        text: Words.
        tool_calls: Calls, each with an id; `args` is text.
        finish_reason: Why it ended.
        usage: What it is billed as, for one choice.
        pieces: The same in chunks.
        stop_sequence: The stop sequence that ended it, if one did.
    """

    reasoning: str
    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: Usage
    pieces: tuple[Piece, ...]
    stop_sequence: str | None = None


def speak(reply: Reply, request: Request) -> Speech:
    """Apply the request's stop sequences and token limit to a reply and cut it into pieces."""
    reply, stopped_by = until_stop(named(reply, request), request.stop)
    finish = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    if request.max_tokens is not None and output_tokens(reply) > request.max_tokens:
        reply, finish = shortened(reply, request.max_tokens * CHARACTERS_PER_TOKEN), "length"
    return Speech(
        reasoning=reply.reasoning,
        text=reply.text,
        tool_calls=reply.tool_calls,
        finish_reason=finish,
        usage=reply.usage or estimated_usage(reply, request),
        pieces=pieces(reply),
        stop_sequence=None if finish == "length" else stopped_by,
    )


def respoken(speech: Speech, pieces: tuple[Piece, ...]) -> Speech:
    """The speech that consists of these pieces, made from its own."""
    calls = tuple(
        replace(
            speech.tool_calls[piece.index],
            args="".join(part.text for part in pieces if part.kind == "arguments" and part.index == piece.index),
        )
        for piece in pieces
        if piece.kind == "call"
    )
    return replace(
        speech,
        reasoning="".join(piece.text for piece in pieces if piece.kind == "reasoning"),
        text="".join(piece.text for piece in pieces if piece.kind == "text"),
        tool_calls=calls,
        pieces=pieces,
    )


def named(reply: Reply, request: Request) -> Reply:
    """The reply with an id on every tool call, and the arguments as text."""
    prefix = "toolu_" if request.format == "messages" else "call_"
    calls = (
        replace(call, args=call.arguments, id=call.id or prefix + identity(request, index))
        for index, call in enumerate(reply.tool_calls)
    )
    return replace(reply, tool_calls=tuple(calls))


def identity(request: Request, part: int | str) -> str:
    """24 hexadecimal digits that no other part of an answer has, here or in another answer."""
    # Derived, not random, so that a run can be repeated; the history's length keeps ids apart
    # when two deployments of one model answer in the same conversation.
    seed = f"{request.model}/{request.call}/{len(request.messages)}/{part}"
    return sha256(seed.encode()).hexdigest()[:24]


def until_stop(reply: Reply, stop: tuple[str, ...]) -> tuple[Reply, str | None]:
    """The reply up to the first stop sequence in its text, and that sequence; what comes later is not said."""
    ends = [(end, text) for text in stop if text and (end := reply.text.find(text)) >= 0]
    if not ends:
        return reply, None
    end, stopped_by = min(ends)
    return replace(reply, text=reply.text[:end], tool_calls=(), finish_reason="stop"), stopped_by


def shortened(reply: Reply, characters: int) -> Reply:
    """The first characters of a reply; a tool call may be left with half its arguments, as in life."""
    reasoning = reply.reasoning[:characters]
    characters -= len(reasoning)
    text = reply.text[:characters]
    characters -= len(text)
    calls = []
    for call in reply.tool_calls:
        if characters <= 0:
            break
        calls.append(replace(call, args=call.arguments[:characters]))
        characters -= len(call.arguments)
    return replace(reply, reasoning=reasoning, text=text, tool_calls=tuple(calls))


def pieces(reply: Reply) -> tuple[Piece, ...]:
    """The reply in the chunks in which it is streamed."""
    cut = [Piece(kind="reasoning", text=words) for words in in_words(reply.reasoning, reply.chunk_words)]
    said = in_sizes(reply.text, reply.chunk_characters) or in_words(reply.text, reply.chunk_words)
    cut += [Piece(kind="text", text=part) for part in said]
    for index, call in enumerate(reply.tool_calls):
        cut.append(Piece(kind="call", text=call.name, index=index, id=call.id))
        parts = re.findall(rf"(?s).{{1,{ARGUMENT_CHARACTERS}}}", call.arguments)
        cut += [Piece(kind="arguments", text=part, index=index) for part in parts]
    return tuple(cut)


def in_words(text: str, words: int) -> list[str]:
    """The text in runs of that many words; joined they are the text again."""
    found = re.findall(r"\s*\S+|\s+$", text)
    return ["".join(found[start : start + words]) for start in range(0, len(found), words)]


def in_sizes(text: str, sizes: tuple[int, ...]) -> list[str]:
    """The text in pieces of so many characters in turn; none where there are no sizes."""
    found: list[str] = []
    turns = cycle(sizes)
    while sizes and text:
        size = next(turns)
        found.append(text[:size])
        text = text[size:]
    return found


def tokens_in(text: str) -> int:
    """An estimate, at 4 characters a token, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def output_tokens(reply: Reply) -> int:
    """Estimated tokens of all that is said."""
    calls = sum(tokens_in(call.name) + tokens_in(call.arguments) for call in reply.tool_calls)
    return tokens_in(reply.reasoning) + tokens_in(reply.text) + calls


def estimated_usage(reply: Reply, request: Request) -> Usage:
    """Usage from lengths: prompt, tools and images against all that is said."""
    messages = sum(
        MESSAGE_TOKENS + tokens_in(text_of(message)) + tokens_in(as_json(message.get("tool_calls")))
        for message in request.messages
    )
    asked = messages + tokens_in(as_json(request.tools)) + IMAGE_TOKENS * request.image_count
    return Usage(
        input_tokens=asked,
        output_tokens=output_tokens(reply),
        reasoning_tokens=tokens_in(reply.reasoning),
    )


def as_json(value: object) -> str:
    """JSON text of something that counts towards the prompt; empty for nothing."""
    return json.dumps(value, ensure_ascii=False, default=str) if value else ""
