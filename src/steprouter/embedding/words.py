"""What a step's words bring: their vector, and the semantic routes that they may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..commands import Embedded
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

    def embed(self, text: str) -> Embedded:
        """The text's vector, or why there is none, and the routes."""
        return Embedded(vector=self.embedder.embed(text), routes=self.table())

    async def aembed(self, text: str) -> Embedded:
        """As `embed`, without blocking the event loop."""
        return Embedded(vector=await self.embedder.aembed(text), routes=self.table())

    def table(self) -> RouteTable | None:
        """The routes in force; None where there are none, or they are not ready yet."""
        return None if self.routes is None else self.routes()
