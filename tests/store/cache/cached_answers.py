"""Answers that are kept to be given again, in both stores."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from steprouter.answering.answer import Answer, ToolCall
from steprouter.caching.entry import Cached, Entry
from steprouter.caching.facets import facets_of
from steprouter.caching.orders import Kept, Lookup
from steprouter.memory.recall import Missing
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys
from steprouter.store.cache.shelf import Shelf
from steprouter.store.live.journal_cipher import Cipher
from steprouter.store.memory.index import Ready, cache_index
from steprouter.store.memory.recollection import Recollection, bytes_of

KEYS = Keys(secret=b"k" * 32)
NOW = 1_800_000_000.0
SCOPE = "scope1"
MEMORY = Missing(reason="not embedded")
SERIAL = count()


class Directions:
    """Embeds `east 10` as the direction ten degrees north of east."""

    identity = "directions/2"
    dimension = 2
    blocks = False

    def embed(self, text: str) -> Any:
        angle = np.radians(float(text.rpartition(" ")[2]))
        return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def tenant() -> str:
    return f"tenant {next(SERIAL)}"


def recollection(
    connection: Connection, *, lease_seconds: float = 30.0, cipher: Cipher | None = None
) -> tuple[Recollection, Shelf]:
    """Memory of one process with its cache."""
    found = Recollection(connection, lambda: KEYS, Directions(), models=("small",), cipher=cipher, answers=True)
    found.shelf = Shelf(found, lease_seconds=lease_seconds)
    return found, found.shelf


def entry(exact: str, epoch: int, **other: Any) -> Entry:
    text = "How many members has it?"
    fields: dict[str, Any] = {
        "scope": SCOPE,
        "text": text,
        "facets": facets_of(text),
        "answer": Answer(
            text="27 ☂",
            tool_calls=(ToolCall(id="c", name="read", args={"page": 1}, raw='{"page": 1}'),),
            finish="stop",
            details={"model_name": "small-1"},
        ),
        "usage": Usage(input_tokens=9, output_tokens=2),
        "usd": 0.25,
        "seconds": 1.5,
        "model": "small",
        "kind": "answer",
        "node": "agent",
        "step_id": "s1",
        "tags": frozenset({"prices", "ä,b"}),
        "created_at": NOW,
        "expires_at": NOW + 3600,
    }
    return Entry(id=exact, epoch=epoch, **{**fields, **other})


def step(whose: str, at: float = NOW) -> Step:
    return Step(id="now", kind=StepKind.ANSWER, place=Place(tenant=whose, node="agent"), started_at=at)


def ask(
    memory: Recollection,
    whose: str,
    exact: str,
    *,
    holder: str = "me",
    towards: float | None = None,
    scope: str = SCOPE,
    at: float = NOW,
    fill: bool = True,
) -> Cached:
    """What a step is told that asks a question, in a direction in degrees."""
    vector = MEMORY if towards is None else Directions().embed(f"east {towards}")
    semantic = None if towards is None else scope
    lookup = Lookup(exact=exact, semantic=semantic, vector=vector, holder=holder, fill=fill)
    cached = memory.recall(step(whose, at), vector, lookup).section("cache")
    assert isinstance(cached, Cached), cached
    return cached


def keep(
    memory: Recollection,
    whose: str,
    exact: str,
    *,
    holder: str = "me",
    towards: float | None = None,
    epoch: int | None = None,
    at: float = NOW,
    kept: dict[str, Any] | None = None,
    **other: Any,
) -> Entry:
    """Ask a question, get the answer and keep it."""
    asked = ask(memory, whose, exact, holder=holder, at=at).epoch if epoch is None else epoch
    one = entry(exact, asked, **other)
    vector = None if towards is None else bytes_of(Directions().embed(f"east {towards}"))
    assert memory.shelf is not None
    memory.shelf.keep([Kept(tenant=whose, entry=one, vector=vector, holder=holder, **(kept or {}))], at)
    return one


def make_index(memory: Recollection) -> None:
    """Wait until the server can be asked for answers by meaning."""
    if memory.is_local:
        return
    assert memory.shelf is not None
    while not isinstance(memory.shelf.indexes.ensure(cache_index(memory.space)), Ready):
        pass
