"""The remembered steps that resemble a vector.

By the server's index where it has one that sees every record, else by comparing with the newest of each kind here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from steprouter.errors import StoreError
from steprouter.memory.face import Remembering
from steprouter.memory.local import LocalMemory
from steprouter.memory.outcomes import Remembered
from steprouter.memory.recall import Missing
from steprouter.step.step import StepKind

from .index import Ready, outcomes_index
from .patient import answers
from .query import knn, parse
from .records import model_of, newer
from .remote import RedisMemory
from .schema import Places
from .survey import asked

if TYPE_CHECKING:
    from steprouter.memory.recall import Vector

SPARE = 8
"""Hits more than asked for: some may have expired, or be of a newer version."""

FIELDS = ("v", "kind", "model", "score", "weight", "source", "at", "usd", "seconds")


def search(remote: RedisMemory, tenant: str, vector: Vector, kind: StepKind | None, k: int) -> list[Remembering]:
    """The `k` outcomes in the store that resemble a vector most, the most similar first.

    Raises:
        StoreError: The store is away.
    """
    near = by_index(remote, tenant, vector, kind, k + SPARE)
    if near is None:
        near = by_snapshots(remote, tenant, vector, kind, k + SPARE)
    places = Places(keys=remote.keys, tenant=tenant)
    rows = asked(remote.connection, [("HMGET", places.outcome_of(name), *FIELDS) for name in near], besides="WRONGTYPE")
    found = (read(name, near[name], row) for name, row in zip(near, rows, strict=True))
    return [one for one in found if one is not None][:k]


def by_index(
    remote: RedisMemory, tenant: str, vector: Vector, kind: StepKind | None, k: int
) -> dict[str, float] | None:
    """Names and cosines as the server's index has them; None where it has none, or one that does not see all."""
    facts = remote.connection.facts
    if facts is None or not facts.has_search:
        return None
    spec = outcomes_index(remote.space)
    try:
        if not isinstance(remote.indexes.ensure(spec), Ready):
            return None
    except StoreError:  # the name is taken by an index of another form
        return None
    where = {"tenant": remote.keys.tenant_tag(tenant), **({} if kind is None else {"kind": str(kind)})}
    replies = answers(remote.connection, knn(spec, vector.astype("<f4", copy=False).tobytes(), k=k, where=where))
    if isinstance(replies, Missing):
        return None
    found = parse(replies[0])
    return {hit.key.rpartition(":")[2]: 1 - hit.distance for hit in found.hits} if found.complete else None


def by_snapshots(remote: RedisMemory, tenant: str, vector: Vector, kind: StepKind | None, k: int) -> dict[str, float]:
    """Names and cosines of the newest outcomes of each kind, read now.

    Raises:
        StoreError: The store is away.
    """
    near: dict[str, float] = {}
    for one in StepKind if kind is None else (kind,):
        here = remote.snapshots.refresh_now(tenant, one)
        if isinstance(here, Missing):
            raise StoreError(f"memory cannot be searched: {here.reason}")
        near = best({**near, **cosines(here.ids, here.vectors, vector)}, k)
    return near


def cosines(ids: Sequence[str], vectors: Vector, vector: Vector) -> dict[str, float]:
    """How near each row is."""
    from steprouter.memory.neighbours import products

    if not ids:
        return {}
    return dict(zip(ids, map(float, products(vectors, vector)), strict=True))


def best(near: Mapping[str, float], k: int) -> dict[str, float]:
    """The nearest `k`, the nearest first."""
    return dict(sorted(near.items(), key=lambda pair: -pair[1])[:k])


def read(name: str, cosine: float, row: object) -> Remembering | None:
    """A record for people; None if it has expired, is broken, or a newer version wrote it."""
    if not isinstance(row, Sequence) or any(row[place] is None for place in (1, 2, 3, 6)) or newer(row[0]) is not None:
        return None
    _, kind, model, score, weight, source, at, usd, seconds = row
    try:
        return Remembering(
            record=name,
            kind=kind.decode(),
            model=model_of(model),
            score=float(score),
            weight=float(weight or 0),
            source=(source or b"").decode(),
            at=float(at),
            similarity=min(1.0, cosine),
            usd=None if usd is None else float(usd),
            seconds=float(seconds or 0),
        )
    except ValueError:
        return None


def search_here(local: LocalMemory, tenant: str, vector: Vector, kind: StepKind | None, k: int) -> list[Remembering]:
    """As `search`, among what this process remembers."""
    near: dict[str, float] = {}
    for one in StepKind if kind is None else (kind,):
        here = local.neighbourhood(tenant, one, vector.shape[0])
        near = best({**near, **cosines(here.ids, here.vectors, vector)}, k)
    with local.alone:
        kept: Iterable[Remembered] = [
            one.outcome for shelf in local.of_tenant(tenant) for name, one in shelf.kept.items() if name in near
        ]
    found = [of_outcome(outcome, near[outcome.id]) for outcome in kept]
    return sorted(found, key=lambda one: -one.similarity)


def of_outcome(outcome: Remembered, cosine: float) -> Remembering:
    """An outcome of this process for people."""
    return Remembering(
        record=outcome.id,
        kind=outcome.kind,
        model=outcome.model,
        score=outcome.label.score,
        weight=outcome.label.confidence,
        source=str(outcome.label.source),
        at=outcome.at,
        similarity=min(1.0, cosine),
        usd=outcome.usd,
        seconds=outcome.seconds,
    )
