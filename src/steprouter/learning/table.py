"""The outcomes to learn from, in columns: whose answer to which text, at what kind of step, was how good."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

MOST_MODELS, MOST_KINDS = 256, 64
MOST_ROWS = 2_000_000
"""Beyond it training would take hours and gigabytes; a sample teaches as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answer of one model.

    Attributes:
        kind: What the step was, by the value of its `StepKind`.
        model: Who answered.
        success: How good the answer was, 0 to 1.
        text: The step's text; None where only its vector is known.
        vector: The step's text as a vector of unit length.
        weight: How sure the success is, 0 to 1.
        group: Rows of a group are never on both sides of a test; None makes each text its own. A text in two groups
            is two steps.
        usd: What the answer cost; None if unknown.
        output_tokens: Its length; None if unknown.
        seconds: How long it took; None if unknown.
    """

    kind: str
    model: str
    success: float
    text: str | None = None
    vector: Vectors | None = field(default=None, repr=False)
    weight: float = 1.0
    group: str | None = None
    usd: float | None = None
    output_tokens: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Which of two models answered a text better.

    Attributes:
        kind: What the step was.
        first: A model.
        second: Another.
        first_won: 1 if the first was better, 0 if the second was, ½ for a tie.
        text: The step's text.
        vector: The step's text as a vector of unit length.
    """

    kind: str
    first: str
    second: str
    first_won: float
    text: str | None = None
    vector: Vectors | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """The steps that were answered, each once.

    Attributes:
        texts: Of each; None if texts are not known.
        vectors: (n, d) float32, unit length; None if vectors are not known.
        kinds: (n,) place of the kind in the table's `kinds`.
        groups: (n,) number of the group.
    """

    texts: tuple[str, ...] | None
    vectors: Vectors | None
    kinds: Numbers
    groups: Numbers

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Outcomes in columns.

    Attributes:
        items: What was answered.
        kinds: Names.
        models: Names.
        item: (n,) place of the row's step in `items`.
        model: (n,) place of its model in `models`.
        success: (n,) 0 to 1.
        weight: (n,) 0 to 1.
        usd: (n,) NaN where unknown.
        output_tokens: (n,) NaN where unknown.
        seconds: (n,) NaN where unknown.
        pairs: (p, 3) places of the step, the first model and the second.
        first_won: (p,) 1, ½ or 0.
    """

    items: Items
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    item: Numbers
    model: Numbers
    success: Floats
    weight: Floats
    usd: Floats
    output_tokens: Floats
    seconds: Floats
    pairs: Numbers
    first_won: Floats

    def __len__(self) -> int:
        return len(self.item)

    @property
    def kind(self) -> Numbers:
        """(n,) place of each row's kind."""
        return self.items.kinds[self.item]

    def of_items(self, chosen: npt.NDArray[np.bool_]) -> Table:
        """The rows and pairs of some steps; places stay as they are.

        Args:
            chosen: (items,) which.
        """
        rows, pairs = chosen[self.item], chosen[self.pairs[:, 0]]
        return Table(
            items=self.items,
            kinds=self.kinds,
            models=self.models,
            item=self.item[rows],
            model=self.model[rows],
            success=self.success[rows],
            weight=self.weight[rows],
            usd=self.usd[rows],
            output_tokens=self.output_tokens[rows],
            seconds=self.seconds[rows],
            pairs=self.pairs[pairs],
            first_won=self.first_won[pairs],
        )


def table_of(rows: Iterable[Row], pairs: Iterable[Pair] = ()) -> Table:
    """The table of rows and pairs.

    Raises:
        ConfigError: There are none or too many, texts or vectors are there for some only, or vectors differ in length.
    """
    rows, pairs = list(rows), list(pairs)
    if not rows or len(rows) + len(pairs) > MOST_ROWS:
        raise ConfigError(f"a table must have 1 to {MOST_ROWS} rows, got {len(rows) + len(pairs)}; take a sample")
    steps: dict[Hashable, int] = {}
    firsts: list[Row | Pair] = []

    def place(one: Row | Pair) -> int:
        group = one.group if isinstance(one, Row) else None
        key = (one.kind, group, one.text if one.text is not None else named(one.vector))
        if key not in steps:
            steps[key] = len(steps)
            firsts.append(one)
        return steps[key]

    item = np.array([place(row) for row in rows], dtype=np.int64)
    pair_item = [place(pair) for pair in pairs]
    kinds = numbered((one.kind for one in firsts), "kinds", MOST_KINDS)
    answered = (row.model for row in rows)
    models = numbered((*answered, *(m for pair in pairs for m in (pair.first, pair.second))), "models", MOST_MODELS)
    groups: dict[str, int] = {}
    return Table(
        items=Items(
            texts=texts_of(firsts),
            vectors=vectors_of(firsts),
            kinds=np.array([kinds[one.kind] for one in firsts], dtype=np.int64),
            groups=np.array([groups.setdefault(group_of(one), len(groups)) for one in firsts], dtype=np.int64),
        ),
        kinds=tuple(kinds),
        models=tuple(models),
        item=item,
        model=np.array([models[row.model] for row in rows], dtype=np.int64),
        success=np.array([row.success for row in rows], dtype=np.float64),
        weight=np.array([row.weight for row in rows], dtype=np.float64),
        usd=known(rows, lambda row: row.usd),
        output_tokens=known(rows, lambda row: row.output_tokens),
        seconds=known(rows, lambda row: row.seconds),
        pairs=np.array(
            [(p, models[one.first], models[one.second]) for p, one in zip(pair_item, pairs, strict=True)],
            dtype=np.int64,
        ).reshape(-1, 3),
        first_won=np.array([pair.first_won for pair in pairs], dtype=np.float64),
    )


def numbered(names: Iterable[str], what: str, most: int) -> dict[str, int]:
    """A place for each name, in alphabetical order, so that the order of rows does not matter.

    Raises:
        ConfigError: There are too many.
    """
    found = sorted(set(names))
    if len(found) > most:
        raise ConfigError(f"a table must have at most {most} {what}, got {len(found)}; is another column meant?")
    return {name: place for place, name in enumerate(found)}


def named(vector: Vectors | None) -> bytes:
    """What tells a step without text from others."""
    return b"" if vector is None else sha256(vector.tobytes()).digest()


def group_of(one: Row | Pair) -> str:
    """The group: the one named, or else the text whatever its case and spaces."""
    if isinstance(one, Row) and one.group is not None:
        return f"group {one.group}"
    return f"text {' '.join(one.text.casefold().split())}" if one.text is not None else f"vector {named(one.vector)!r}"


def texts_of(items: Sequence[Row | Pair]) -> tuple[str, ...] | None:
    """All texts; None if there are none.

    Raises:
        ConfigError: Some are missing.
    """
    texts = [one.text for one in items if one.text is not None]
    if texts and len(texts) < len(items):
        raise ConfigError(f"all rows must have a text or none may, {len(items) - len(texts)} steps have none")
    return tuple(texts) or None


def vectors_of(items: Sequence[Row | Pair]) -> Vectors | None:
    """All vectors; None if there are none.

    Raises:
        ConfigError: Some are missing, or they differ in length.
    """
    vectors = [one.vector for one in items if one.vector is not None]
    if not vectors:
        return None
    lengths = {len(vector) for vector in vectors}
    if len(vectors) < len(items) or len(lengths) > 1:
        missing = len(items) - len(vectors)
        raise ConfigError(
            f"all rows must have a vector of one length or none may, {missing} have none and the lengths are "
            f"{', '.join(map(str, sorted(lengths)[:5]))}; leave the column out to have texts embedded"
        )
    return np.stack(vectors).astype(np.float32)


def known(rows: Sequence[Row], of: Callable[[Row], float | None]) -> Floats:
    """A column of numbers, NaN where there is none."""
    return np.array([np.nan if (value := of(row)) is None else value for row in rows], dtype=np.float64)


def totals(places: Numbers, values: Floats, size: tuple[int, ...]) -> Floats:
    """Sums of values by place, in the shape of `size`."""
    found = np.bincount(places, weights=values, minlength=math.prod(size)).astype(np.float64)
    return found.reshape(size)
