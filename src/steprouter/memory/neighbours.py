"""The nearest outcomes: rows of one tenant and kind in columns, and what they say of each model at a vector.

Kept in process, because 48 neighbours with five fields over the wire cost 1.5–2.6 ms and here a tenth of one.
The module needs NumPy when it is imported, so what starts without memory imports it late.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .outcomes import HALF_LIFE_SECONDS

S = TypeVar("S", bound=np.generic)

ROWS = 4096
"""Rows of a neighbourhood: 4 MB at 256 dimensions, whose products take 0.07 ms."""

NEIGHBOURS = 48
"""Nearest rows of each model that are asked. With `WIDTH` the setting under which the estimate was replayed."""

WIDTH = 0.15
"""Of the kernel on cosine: a row at cosine .85 weighs 1/e of one at the very spot."""

SESSION_CAP = 3.0
"""What the rows of one session weigh together at most: a loop of a hundred like steps is not a hundred opinions."""

NO_THREAD = 0
"""The code of rows outside any session, which are not capped."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """What an outcome says to later steps that resemble it.

    Attributes:
        id: Names the record; a row of the same name takes its place.
        model: Which model answered.
        thread: The session, by any name that stays the same; None if there was none.
        at: When the step started, Unix time in seconds.
        changed: When the record was made or labelled last, Unix time in seconds.
        score: The label, 0 to 1.
        weight: The label's confidence, 0 to 1.
        vector: (d,) float32, unit length; None where the step was not embedded (in this space).
    """

    id: str
    model: str
    thread: str | None = None
    at: float
    changed: float
    score: float
    weight: float
    vector: npt.NDArray[np.float32] | None = field(default=None, repr=False)


def thread_code(thread: str | None) -> int:
    """A session as a number of 63 bits; `NO_THREAD` for none."""
    if thread is None:
        return NO_THREAD
    digest = sha256(thread.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbourhood:
    """The outcomes of one tenant and kind that have a vector, the one that changed last first.

    Attributes:
        vectors: (n, d) float32, contiguous, each of unit length.
        codes: (n,) int32, the place of the row's model in `models`.
        scores: (n,) float64, labels, 0 to 1.
        weights: (n,) float64, their confidence.
        at: (n,) float64, starts of the steps, Unix time in seconds.
        changed: (n,) float64, last changes, Unix time in seconds, falling.
        threads: (n,) int64, `thread_code` of the session.
        ids: Names of the records.
        models: Names of the models that have rows.
        by_model: (n,) the rows of the first of `models`, rising, then those of the next; derived.
        ends: Where in `by_model` those of each model end; derived.
        facts: (n, 3) float64, scores, weights and starts side by side, which one look-up brings; derived.
        sessions: (n,) small numbers of the sessions of one model each, `NO_THREAD` for none; derived.
    """

    vectors: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    at: npt.NDArray[np.float64]
    changed: npt.NDArray[np.float64]
    threads: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    models: tuple[str, ...]
    by_model: npt.NDArray[np.intp] = field(init=False)
    ends: tuple[int, ...] = field(init=False)
    facts: npt.NDArray[np.float64] = field(init=False)
    sessions: npt.NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_model", np.argsort(self.codes, kind="stable"))
        sizes = np.bincount(self.codes, minlength=len(self.models))
        object.__setattr__(self, "ends", tuple(np.cumsum(sizes).tolist()))
        object.__setattr__(self, "facts", np.column_stack((self.scores, self.weights, self.at)))
        object.__setattr__(self, "sessions", numbered(self.codes, self.threads))

    def __repr__(self) -> str:
        return f"Neighbourhood({len(self)} rows of {', '.join(self.models) or 'no model'})"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Memory, roughly: the columns, and 100 bytes for a name."""
        numbers = 2 * self.facts.nbytes + self.changed.nbytes + self.threads.nbytes
        rows = self.codes.nbytes + self.by_model.nbytes + self.sessions.nbytes
        return self.vectors.nbytes + numbers + rows + 100 * len(self)

    def with_rows(self, changed: Sequence[Row], *, without: Collection[str] = (), limit: int = ROWS) -> Neighbourhood:
        """The neighbourhood with rows added or replaced, less others; takes 1–3 ms at 4 096 rows of 256 numbers.

        Args:
            changed: Of two of one name the later counts; those without vector are left out.
            without: Names of rows to leave out, unless they are in `changed`.
            limit: Beyond it the rows whose change is longest ago go.

        Raises:
            ValueError: A vector has another dimension.
        """
        fresh = list({row.id: row for row in changed if row.vector is not None}.values())
        if not fresh and not without and len(self) <= limit:
            return self
        gone = {row.id for row in fresh}.union(without)
        kept = np.array([one not in gone for one in self.ids], dtype=bool)
        names = {name: code for code, name in enumerate(dict.fromkeys((*self.models, *(row.model for row in fresh))))}
        when = np.concatenate([column(fresh, "changed", np.float64), self.changed[kept]])
        order = np.argsort(-when, kind="stable")[:limit]

        def merged(new: npt.NDArray[S], old: npt.NDArray[S]) -> npt.NDArray[S]:
            return np.concatenate([new, old[kept]])[order]

        codes = merged(np.array([names[row.model] for row in fresh], dtype=np.int32), self.codes)
        used, places = np.unique(codes, return_inverse=True)
        ids = [row.id for row in fresh] + [one for one in self.ids if one not in gone]
        models = tuple(names)
        return Neighbourhood(
            vectors=merged(stacked(fresh, self.vectors.shape[1]), self.vectors),
            codes=places.astype(np.int32),
            scores=merged(column(fresh, "score", np.float64), self.scores),
            weights=merged(column(fresh, "weight", np.float64), self.weights),
            at=merged(column(fresh, "at", np.float64), self.at),
            changed=when[order],
            threads=merged(np.array([thread_code(row.thread) for row in fresh], dtype=np.int64), self.threads),
            ids=tuple(ids[row] for row in order),
            models=tuple(models[code] for code in used),
        )


def column(rows: Sequence[Row], name: str, kind: type[S]) -> npt.NDArray[S]:
    """One attribute of all rows."""
    return np.array([getattr(row, name) for row in rows], dtype=kind)


def stacked(rows: Sequence[Row], dimension: int) -> npt.NDArray[np.float32]:
    """The vectors of rows that all have one, (n, d).

    Raises:
        ValueError: One has another dimension.
    """
    vectors = np.empty((len(rows), dimension), dtype=np.float32)
    for place, row in enumerate(rows):
        if row.vector is None or row.vector.shape != (dimension,):
            raise ValueError(f"a row's vector must have {dimension} numbers, {row!r} has not")
        vectors[place] = row.vector
    return vectors


def empty(dimension: int) -> Neighbourhood:
    """A neighbourhood without rows."""
    nothing = np.empty(0, dtype=np.float64)
    return Neighbourhood(
        vectors=np.empty((0, dimension), dtype=np.float32),
        codes=np.empty(0, dtype=np.int32),
        scores=nothing,
        weights=nothing,
        at=nothing,
        changed=nothing,
        threads=np.empty(0, dtype=np.int64),
        ids=(),
        models=(),
    )


def numbered(codes: npt.NDArray[np.int32], threads: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Each model's sessions numbered from 1 on, across all models; `NO_THREAD` stays."""
    _, of_any = np.unique(threads, return_inverse=True)
    _, of_each = np.unique(of_any * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    numbers: npt.NDArray[np.intp] = np.where(threads == NO_THREAD, NO_THREAD, of_each + 1)
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Near:
    """Rows that are near to a vector, in no order.

    Attributes:
        cosines: (k,) float32, -1 to 1.
        scores: (k,) float64, labels, 0 to 1.
        weights: (k,) float64, their confidence.
        at: (k,) float64, starts of the steps, Unix time in seconds.
        sessions: (k,) small numbers, the same for rows of one model in one session; `NO_THREAD` for none.
    """

    cosines: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    at: npt.NDArray[np.float64]
    sessions: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.cosines)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest(Mapping[str, Near]):
    """The nearest rows of each model, all in one table, as to weigh them together takes a fraction of the time.

    Attributes:
        rows: Those of the first of `models`, then those of the next.
        models: Names of the models; each has rows.
        ends: Where in `rows` those of each model end.
    """

    rows: Near
    models: tuple[str, ...]
    ends: tuple[int, ...]

    def __getitem__(self, model: str) -> Near:
        if model not in self.models:
            raise KeyError(model)
        place = self.models.index(model)
        mine = slice(self.starts[place], self.ends[place])
        here = self.rows
        return Near(
            cosines=here.cosines[mine],
            scores=here.scores[mine],
            weights=here.weights[mine],
            at=here.at[mine],
            sessions=here.sessions[mine],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where in `rows` those of each model begin."""
        return (0, *self.ends[:-1])


def products(vectors: npt.NDArray[np.float32], vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The dot product of each row with a vector, (n,), computed in this thread alone.

    Raises:
        ValueError: The vector has another dimension.
    """
    # Another type would make NumPy convert all rows at every call.
    one = np.asarray(vector, dtype=np.float32)
    # Row by row on purpose. As one product, OpenBLAS shares it among threads: 0.03 ms instead of 0.07 on an idle
    # machine, but 12 ms at the 99th percentile on a busy one, where it waits for a thread that has no core. In blocks,
    # which it does not share, it reads several rows at once, and takes twice as long where they come from memory.
    found: npt.NDArray[np.float32] = np.matmul(vectors[:, None, :], one)
    return found.reshape(-1)


def nearest(neighbourhood: Neighbourhood, vector: npt.NDArray[np.floating], *, k: int = NEIGHBOURS) -> Nearest:
    """For each model that has rows, its `k` nearest ones; 0.1 ms at 4 096 rows, 256 numbers and five models.

    Raises:
        ValueError: The vector has another dimension.
    """
    here = neighbourhood
    alike = products(here.vectors, vector).take(here.by_model)
    places = best(alike, here.ends, k)
    rows = here.by_model.take(places)
    facts = here.facts.take(rows, axis=0)
    near = Near(
        cosines=alike.take(places),
        scores=facts[:, 0],
        weights=facts[:, 1],
        at=facts[:, 2],
        sessions=here.sessions.take(rows),
    )
    sizes = (min(k, end - start) for start, end in pairwise((0, *here.ends)))
    return Nearest(rows=near, models=here.models, ends=tuple(accumulate(sizes)))


def best(alike: npt.NDArray[np.float32], ends: Sequence[int], k: int) -> npt.NDArray[np.intp]:
    """Places of the `k` largest numbers of each group, or of all where it has no more; group after group."""
    parted, least, sizes, start = alike.copy(), list[float](), list[int](), 0
    for end in ends:
        group, size = parted[start:end], end - start
        start = end
        sizes.append(size)
        if size > k:
            group.partition(size - k)
            least.append(group[size - k])
        else:
            least.append(-math.inf)
    found = np.flatnonzero(alike >= np.repeat(np.array(least, dtype=np.float32), sizes))
    return found if len(found) == sum(min(k, size) for size in sizes) else just(k, alike, ends)


def just(k: int, alike: npt.NDArray[np.float32], ends: Sequence[int]) -> npt.NDArray[np.intp]:
    """As `best` where several are as large as the `k`-th, of which some are left out; takes twice as long."""
    groups = ((start, alike[start:end]) for start, end in pairwise((0, *ends)))
    return np.concatenate([start + group.argpartition(-min(k, len(group)))[-k:] for start, group in groups])


def masses(near: Near, now: float, older: npt.NDArray[np.float64] | float = 0.0) -> npt.NDArray[np.float64]:
    """What each row weighs, (k,), in observations: near, new and sure ones most, a session at most `SESSION_CAP`.

    w_i = exp((cos_i − 1) / `WIDTH`) · 2^(−age_i / `HALF_LIFE_SECONDS`) · confidence_i.

    Args:
        near: Rows.
        now: Unix time in seconds.
        older: By how many seconds rows count as older than they are.
    """
    ages = np.maximum(0.0, now - near.at) + older
    # A cosine may come out above 1 by a rounding error.
    nearness = np.minimum(0.0, (near.cosines - 1.0) / WIDTH)
    weights: npt.NDArray[np.float64] = near.weights * np.exp(nearness - ages * (math.log(2) / HALF_LIFE_SECONDS))
    together = np.bincount(near.sessions, weights)
    together[:1] = 0.0  # of `NO_THREAD`, which has no cap
    shares = together.take(near.sessions)
    too_much = np.flatnonzero(shares > SESSION_CAP)
    weights[too_much] *= SESSION_CAP / shares[too_much]
    return weights


def evidence(near: Nearest, now: float, aged: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """What neighbours add to the successes and failures of each model, in observations.

    Args:
        near: The neighbours.
        now: Unix time in seconds.
        aged: Of models that changed, before when their rows count as older, Unix time in seconds, and by how many
            half-lives.
    """
    if not near.models:
        return {}
    rows, starts = near.rows, np.array(near.starts)
    weights = masses(rows, now, older(near, aged) if aged else 0.0)
    right = weights * rows.scores
    successes = np.add.reduceat(right, starts).tolist()
    failures = np.add.reduceat(weights - right, starts).tolist()
    return dict(zip(near.models, zip(successes, failures, strict=True), strict=True))


def older(near: Nearest, aged: Mapping[str, tuple[float, float]]) -> npt.NDArray[np.float64]:
    """By how many seconds rows count as older than they are, (k,), because their models changed after them."""
    changes = np.array([aged.get(model, (0.0, 0.0)) for model in near.models])
    before, half_lives = np.repeat(changes, np.diff(near.ends, prepend=0), axis=0).T
    seconds: npt.NDArray[np.float64] = (near.rows.at < before) * half_lives * HALF_LIFE_SECONDS
    return seconds
