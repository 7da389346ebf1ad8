"""Routes in a space of words: a text's vector says which of ten words are in it, so similarities can be read off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steprouter.routing.route_match import RouteTable, table_of
from steprouter.routing.routes import Route

WORDS = ("refund", "invoice", "card", "poem", "story", "rhyme", "python", "bug", "hello", "thanks")


class Words:
    """Embeds a text as the words in it, unit length; one without any of them points nowhere near."""

    identity = "words/11"
    dimension = len(WORDS) + 1
    blocks = False

    def embed(self, text: str) -> Any:
        found = np.array([*(text.lower().split().count(word) for word in WORDS), 0], np.float32)
        if not found.any():
            found[-1] = 1
        return found / np.linalg.norm(found)

    def embed_many(self, texts: Sequence[str]) -> Any:
        return np.array([self.embed(text) for text in texts], np.float32).reshape(-1, self.dimension)


EMBEDDER = Words()


def route(name: str, *examples: str, **fields: Any) -> Route:
    return Route(name=name, examples=examples, **{"models": "small", **fields})


BILLING = route("billing", "refund card", "invoice", threshold=0.7)
POETRY = route("poetry", "poem", "story rhyme", threshold=0.7, kind="chat", models=None)


def table(*routes: Route) -> RouteTable:
    wanted = routes or (BILLING, POETRY)
    found = table_of(wanted, {one.name: EMBEDDER.embed_many(one.examples) for one in wanted})
    assert found is not None
    return found
