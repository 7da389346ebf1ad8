"""What a wire to a model promises, and what it saw when it failed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..answering.patience import Timeouts
from ..step.ask import Ask

__all__ = ["Timeouts", "Wire"]


class Wire(Protocol):
    """A way to one model.

    Promises:
        - Pieces come as the model says them; nothing a server may have taken is sent again.
        - A stream that ended without a finish reason ends without a `finish` piece; it is not mended here.
        - Tool-call fragments come with the index of their call; argument text comes as it was said.
        - At most one piece carries `finish` and at most one carries `usage`.
        - Closing the iterator closes the connection; the model stops generating where the server allows it.
        - Whatever goes wrong is raised as it is; `saw` turns that error into facts, without secrets.
    """

    def stream(self, ask: Ask, timeouts: Timeouts) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece."""
        ...

    def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        ...

    def saw(self, error: Exception) -> Seen:
        """The facts in an error this wire raised: status, code, text, retry-after."""
        ...

    def close(self) -> None:
        """Give connections back; a closed wire opens new ones when it is used again."""
        ...

    async def aclose(self) -> None:
        """As `close`, for the connections of the running event loop."""
        ...
