"""Opens calls: the pieces of an answer, as long as its step has time, and what of their errors is nobody's failure."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from .answering.answer import Delta
from .errors import ConfigError
from .providers.deadline import awithin, within
from .providers.wire import Wire
from .taking import Take


class Opener:
    """Opens calls.

    Args:
        wires: How to reach each model, by name.
    """

    def __init__(self, wires: Mapping[str, Wire]) -> None:
        self.wires = wires

    def open(self, take: Take) -> Generator[Delta, None, None]:
        """The pieces of a call."""
        command, bookmark = take.command, take.bookmark
        wire: Any = self.wires[command.model]
        if bookmark is None:
            pieces = wire.stream(command.ask, command.timeouts)
        elif command.cursor is None:
            pieces = wire.stream(command.ask, command.timeouts, bookmark)
        else:
            pieces = wire.resume(command.cursor, command.timeouts, bookmark)
        total = command.timeouts.total
        return pieces if total is None else within(pieces, total, command.model)

    def aopen(self, take: Take) -> AsyncGenerator[Delta, None]:
        """As `open`, without blocking the event loop."""
        command, bookmark = take.command, take.bookmark
        wire: Any = self.wires[command.model]
        if bookmark is None:
            pieces = wire.astream(command.ask, command.timeouts)
        elif command.cursor is None:
            pieces = wire.astream(command.ask, command.timeouts, bookmark)
        else:
            pieces = wire.aresume(command.cursor, command.timeouts, bookmark)
        total = command.timeouts.total
        return pieces if total is None else awithin(pieces, total, command.model)


def passing_errors() -> tuple[type[Exception], ...]:
    """Errors that are no failure of a model: the caller's mistakes, and LangGraph's control flow.

    A graph has imported LangGraph by itself; outside one its import would double the time ours takes.
    """
    graph = sys.modules.get("langgraph.errors")
    return (ConfigError,) if graph is None else (ConfigError, graph.GraphBubbleUp)
