"""Embedding as a step can afford it: a slow embedder off the path of others, a stuck or broken one is a miss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cached_property
from typing import TYPE_CHECKING

from ..memory.recall import Missing
from .embedder import Embedder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.float32]
    Vectors = npt.NDArray[np.float32]

log = logging.getLogger("steprouter.embedding")

EMBED_SECONDS = 0.5
"""What a step waits for a slow embedder: a hosted one takes 0.1–0.3 s, and no routing is worth a second."""

AT_ONCE = 4
"""Texts embedded side by side by a slow embedder; stuck ones hold no more threads than this."""

NO_TEXT = Missing(reason="there is no text to embed", degraded=False)


class TimedEmbedder:
    """An embedder that gives a vector in time or says why not.

    Args:
        embedder: Whose `blocks` says whether it needs a thread.
        seconds: How long a blocking one may take.
    """

    def __init__(self, embedder: Embedder, *, seconds: float = EMBED_SECONDS) -> None:
        self.embedder = embedder
        self.seconds = seconds

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Where a blocking embedder works."""
        return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="steprouter-embed")

    def embed(self, text: str) -> Vector | Missing:
        """The text's vector, or why there is none."""
        if not text.strip():
            return NO_TEXT
        if not self.embedder.blocks:
            return embed_guarded(self.embedder, text)
        future = self.threads.submit(embed_guarded, self.embedder, text)
        try:
            return future.result(self.seconds)
        except FutureTimeout:
            return self.late(future)

    async def aembed(self, text: str) -> Vector | Missing:
        """As `embed`, without blocking the event loop."""
        if not self.embedder.blocks or not text.strip():
            return self.embed(text)
        future = self.threads.submit(embed_guarded, self.embedder, text)
        try:
            async with asyncio.timeout(self.seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return self.late(future)

    def embed_all(self, texts: Sequence[str]) -> Vectors | Missing:
        """A row for each of some texts, or why there are none. Takes as long as it takes, so never in a step."""
        return embed_guarded(self.embedder, texts)

    def late(self, future: Future[Vector | Missing]) -> Missing:
        """Gives up on a text; one that has not begun never will."""
        future.cancel()
        return Missing(reason=f"{self.embedder.identity} took longer than {self.seconds:g} s")


def embed_guarded(embedder: Embedder, text: str | Sequence[str]) -> Vector | Missing:
    """A broad guard: a broken embedder is a miss, as a broken cache is."""
    try:
        return embedder.embed(text) if isinstance(text, str) else embedder.embed_many(text)
    except Exception as error:
        log.exception("%s could not be embedded", "a step" if isinstance(text, str) else "examples")
        return Missing(reason=f"{embedder.identity} failed: {type(error).__name__}")
