"""Faults of what is said, put into the reply or its speech, so that every format says the same."""

from __future__ import annotations

from dataclasses import replace

from .faults import (
    BrokenArguments,
    ContentFilter,
    ErrorEvent,
    HugeChunk,
    InvalidUtf8,
    Rejection,
    Slow,
    WrongTool,
)
from .reply import Reply, ToolCall
from .request import Request
from .speech import Piece, Speech, respoken

NO_UTF8 = "\ue0ff"
"""Stands for a byte that is no UTF-8 until the body is made of bytes; a private-use character nobody writes."""


def rewritten(reply: Reply, request: Request) -> Reply:
    """The reply as its fault has it, for faults that are known before anything is said.

    Raises:
        ValueError: A `WrongTool` names a tool that the request does offer.
    """
    match reply.fault:
        case Slow(first_token_seconds=first, seconds_per_chunk=each):
            return replace(reply, first_token_seconds=first, seconds_per_chunk=each)
        case WrongTool(name=name):
            return miscalling(reply, request, name)
        case BrokenArguments():
            calls = (replace(call, args=call.arguments[:-1]) for call in reply.tool_calls)
            return replace(reply, tool_calls=tuple(calls))
        case ContentFilter(after_chunks=None):
            return replace(reply, fault=Rejection(status=400, param="prompt", code="content_filter"))
        case ErrorEvent() as fault if not request.stream:
            said = Rejection(status=fault.status, message=fault.message, type="", code=fault.code)
            return replace(reply, fault=said)
        case _:
            return reply


def miscalling(reply: Reply, request: Request, name: str) -> Reply:
    """The reply with that tool in place of its own; one without calls makes one, and says nothing else."""
    if name in [tool["function"]["name"] for tool in request.tools]:
        raise ValueError(f"WrongTool must name a tool that is not offered, got {name!r}; choose another name")
    calls = tuple(replace(call, name=name) for call in reply.tool_calls)
    if calls:
        return replace(reply, tool_calls=calls)
    return replace(reply, text="", tool_calls=(ToolCall(name=name),), finish_reason=None)


def afflicted(speech: Speech, reply: Reply) -> Speech:
    """The speech as the reply's fault has it, for faults that strike at chunks."""
    match reply.fault:
        case ContentFilter(after_chunks=int(count)):
            return replace(respoken(speech, speech.pieces[:count]), finish_reason="content_filter", stop_sequence=None)
        case InvalidUtf8(chunk=number) if speech.pieces:
            return respoken(speech, spoilt(speech.pieces, number))
        case HugeChunk(characters=characters):
            return stretched(speech, characters)
        case _:
            return speech


def spoilt(pieces: tuple[Piece, ...], number: int) -> tuple[Piece, ...]:
    """The pieces with a bad byte in one of them; a tool's name is left alone, so the next piece has it then."""
    spoken = [index for index, piece in enumerate(pieces) if piece.kind != "call"]
    if not spoken:
        return pieces
    at = next((index for index in spoken if index >= number), spoken[-1])
    half = len(pieces[at].text) // 2
    bad = replace(pieces[at], text=pieces[at].text[:half] + NO_UTF8 + pieces[at].text[half:])
    return (*pieces[:at], bad, *pieces[at + 1 :])


def stretched(speech: Speech, characters: int) -> Speech:
    """The speech with a text of that many characters in one piece."""
    text = speech.text or "x"
    long = (text * (characters // len(text) + 1))[:characters]
    others = [piece for piece in speech.pieces if piece.kind != "text"]
    reasoning = [piece for piece in others if piece.kind == "reasoning"]
    calls = [piece for piece in others if piece.kind != "reasoning"]
    return replace(speech, text=long, pieces=(*reasoning, Piece(kind="text", text=long), *calls))
