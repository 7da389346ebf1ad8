"""Steps that ended, remembered, and what is recalled of them then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import count
from typing import Any

import numpy as np

from steprouter.memory.labels import Label, Source, label
from steprouter.memory.neighbours import evidence, nearest
from steprouter.memory.outcomes import Remembered
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, Missing
from steprouter.store.memory.recollection import Recollection, bytes_of

NOW = 1_800_000_000.0
SERIAL = count()


class Directions:
    """Embeds a text as a direction that its digest chooses."""

    identity = "directions/8"
    dimension = 8
    blocks = False

    def embed(self, text: str) -> Any:
        vector = np.frombuffer(sha256(text.encode()).digest()[:8], np.uint8).astype(np.float32) - 127.5
        return vector / np.linalg.norm(vector)


EMBEDDER = Directions()


def keys() -> Keys:
    return Keys(secret=b"k" * 32)


def recollection(connection: Connection, find_keys: Callable[[], Keys] = keys) -> Recollection:
    return Recollection(connection, find_keys, EMBEDDER, models=("small", "large"))


def seen_by_another(memory: Recollection) -> Recollection:
    """What another worker has: the same store; memory that is one process's has no other."""
    return memory if memory.is_local else recollection(memory.connection)


def tenant() -> str:
    return f"tenant {next(SERIAL)}"


def step(whose: str, thread: str | None = "t", node: str | None = "agent") -> Step:
    return Step(id="now", kind=StepKind.CHAT, place=Place(tenant=whose, thread=thread, node=node))


def ended(
    whose: str,
    number: int,
    *,
    model: str = "small",
    score: float = 1.0,
    source: Source = Source.NO_COMPLAINT,
    thread: str = "t",
    labels: Sequence[Label] = (),
    escalated: bool = False,
) -> Remembrance:
    """What a step leaves that a model answered, a second after the one before it."""
    name, at = f"step-{number}", NOW + number
    outcome = Remembered(
        id=name,
        kind="chat",
        node="agent",
        model=model,
        at=at,
        vector=bytes_of(EMBEDDER.embed(name)),
        label=label(name, source, score, at),
        thread=thread,
        usage=Usage(input_tokens=100, output_tokens=number + 1),
        usd=0.25,
        seconds=0.5,
    )
    decided = Decided(step_id=name, at=at, kind="chat", model=model, usd=0.25)
    update = SessionUpdate(decided=decided, reference_usd=number / 8, escalated=escalated, output_tokens=number + 1)
    return Remembrance(tenant=whose, thread=thread, session=update, outcomes=(outcome,), labels=tuple(labels))


def keep(memory: Recollection, *batch: Remembrance, now: float = NOW + 100) -> None:
    """Remembers and writes, as a step and the sink do."""
    for one in batch:
        memory.remember(one, now)
    memory.write(batch, now)


def session_of(memory: Recollection, whose: str) -> Any:
    return memory.recall(step(whose), Missing(reason="not embedded")).section("session")


def tallies_of(memory: Recollection, whose: str) -> Any:
    """The tallies as numbers, of the kind and of the node."""
    counters = memory.recall(step(whose), Missing(reason="not embedded")).section("counters")
    return {
        part: {model: asdict(tally) for model, tally in getattr(counters, part).items()} for part in ("kind", "node")
    }


def evidence_of(memory: Recollection, whose: str, text: str) -> Any:
    """What the neighbours of a text say of each model."""
    if memory.is_local:
        here: Any = memory.local.neighbourhood(whose, "chat", EMBEDDER.dimension)
    else:
        here = memory.redis().snapshots.refresh_now(whose, "chat")
    assert not isinstance(here, Missing), here
    return evidence(nearest(here, EMBEDDER.embed(text)), NOW + 100, {})
