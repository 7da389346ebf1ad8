"""What a step's words bring: their vector, and the semantic routes that they may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..commands import Embedded
from ..memory.recall import NOT_KEPT, Missing, Vector
from .timed import TimedEmbedder

if TYPE_CHECKING:
    from ..routing.route_match import RouteTable


class Words:
    """Answers what a driver asks of a step's text.

    Args:
        embedder: Gives the vector in time, or says why not.
        routes: The routes in force, as they are known now; it neither waits nor asks the store. None where there are
            no routes.
    """

    def __init__(self, embedder: TimedEmbedder, routes: Callable[[], RouteTable | None] | None = None) -> None:
        self.embedder = embedder
        self.routes = routes

    def embed(self, text: str, question: str | None = None) -> Embedded:
        """The vectors of the text and of a question, or why there are none, and the routes."""
        vector = self.embedder.embed(text)
        asked: Vector | Missing = NOT_KEPT
        if question is not None:
            asked = vector if question == text else self.embedder.embed(question)
        return Embedded(vector=vector, question=asked, routes=self.table())

    async def aembed(self, text: str, question: str | None = None) -> Embedded:
        """As `embed`, without blocking the event loop."""
        vector = await self.embedder.aembed(text)
        asked: Vector | Missing = NOT_KEPT
        if question is not None:
            asked = vector if question == text else await self.embedder.aembed(question)
        return Embedded(vector=vector, question=asked, routes=self.table())

    def table(self) -> RouteTable | None:
        """The routes in force; None where there are none, or they are not ready yet."""
        return None if self.routes is None else self.routes()
