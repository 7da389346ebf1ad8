"""Where a response that goes on without its listener can be taken up again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from ..answering.answer import Delta
from ..answering.cursor import Cursor
from ..step.ask import Ask
from .wire import Timeouts, Wire

__all__ = ["Bookmark", "Cursor", "ResumableWire"]


class Bookmark:
    """Says at any time how far an answer was taken; made by whoever listens, and moved by the wire.

    It is handed in and not said in the pieces, because there is one piece for each token, and because the place must
    be known however a call ends: by an error, without a finish, or because its listener left. It moves right before
    a piece is given, so it is never ahead of what was taken and never behind it.

    Attributes:
        cursor: The place; None while the response has no name, and for good where its provider does not keep it.
        start: The place before anything was taken, from where all of it is replayed; None as `cursor`.
    """

    __slots__ = ("cursor", "start")

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.start: Cursor | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cursor!r})"


class ResumableWire(Wire, Protocol):
    """A wire to a model whose provider may go on with an answer while nobody listens.

    Promises:
        - A call that cannot be taken up again leaves its bookmark empty.
        - `resume` gives what follows the cursor, once: nothing of it is said twice and nothing is left out.
        - `cancel` may be called twice, and for an answer that has ended.
    """

    @property
    def keeps_answers(self) -> bool:
        """Whether calls are kept by the provider, so that their bookmarks are moved."""
        ...

    def stream(self, ask: Ask, timeouts: Timeouts, bookmark: Bookmark | None = None) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece."""
        ...

    def astream(self, ask: Ask, timeouts: Timeouts, bookmark: Bookmark | None = None) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        ...

    def resume(
        self, cursor: Cursor, timeouts: Timeouts, bookmark: Bookmark | None = None
    ) -> Generator[Delta, None, None]:
        """Give what follows a cursor, waiting for what is not yet said."""
        ...

    def aresume(
        self, cursor: Cursor, timeouts: Timeouts, bookmark: Bookmark | None = None
    ) -> AsyncGenerator[Delta, None]:
        """As `resume`, without blocking the event loop."""
        ...

    def cancel(self, cursor: Cursor, timeouts: Timeouts) -> None:
        """Have the model stop."""
        ...

    async def acancel(self, cursor: Cursor, timeouts: Timeouts) -> None:
        """As `cancel`, without blocking the event loop."""
        ...
