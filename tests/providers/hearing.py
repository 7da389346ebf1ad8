"""How tests listen to a wire: in a thread's way and in an event loop's way, with the same outcome."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from steprouter.answering.answer import Delta
from steprouter.models.card import ModelCard
from steprouter.providers.wire import Timeouts, Wire
from steprouter.step.ask import Ask

ASK = Ask(messages=(HumanMessage("Hello?"),))

both_ways = pytest.mark.parametrize("way", ["sync", "async"])


def card(base_url: str, **fields: object) -> ModelCard:
    return ModelCard(**{"name": "m", "model": "m", "base_url": base_url, **fields})  # type: ignore[arg-type]  # of tests


async def heard(wire: Wire, way: str, ask: Ask = ASK, timeouts: Timeouts | None = None) -> list[Delta]:
    """All pieces of an answer; the wire is closed afterwards, as unclosed connections are warnings."""
    pieces: list[Delta] = []
    await hear_into(pieces, wire, way, ask, timeouts)
    return pieces


async def hear_into(
    pieces: list[Delta], wire: Wire, way: str, ask: Ask = ASK, timeouts: Timeouts | None = None
) -> None:
    limits = timeouts or Timeouts(connect=5, first_token=5, idle=5)
    try:
        if way == "sync":
            pieces.extend(wire.stream(ask, limits))
        else:
            async for piece in wire.astream(ask, limits):
                pieces.append(piece)  # noqa: PERF401  # pieces before an error must be kept
    finally:
        wire.close()
        await wire.aclose()


def text(pieces: list[Delta]) -> str:
    return "".join(piece.text for piece in pieces)


def finishes(pieces: list[Delta]) -> list[str]:
    return [piece.finish for piece in pieces if piece.finish is not None]


def calls(pieces: list[Delta]) -> dict[int, tuple[str | None, str | None, str]]:
    """Id, name and arguments of each call, by index."""
    found: dict[int, tuple[str | None, str | None, str]] = {}
    for piece in (tool for delta in pieces for tool in delta.tools):
        call_id, name, args = found.get(piece.index, (None, None, ""))
        found[piece.index] = (call_id or piece.id, name or piece.name, args + piece.args)
    return found
