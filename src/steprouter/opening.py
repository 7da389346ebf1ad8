"""Opens calls: the pieces of an answer, as long as its step has time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from .answering.answer import Delta
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
