"""Reads tables of outcomes, preferences and labels from CSV, JSON lines, YAML or Parquet; a wrong cell is named."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ..errors import ConfigError
from ..step.step import StepKind
from ..step.text import STEP_TEXT_CHARACTERS
from .route_calibration import Label
from .table import MOST_ROWS, Pair, Row, Vectors

R = TypeVar("R")

COLUMNS = ("text", "kind", "model", "success", "weight", "group", "cost_usd", "output_tokens", "seconds", "vector")
"""Of outcomes. Needed are `model`, `success`, and `text` or `vector`; others are skipped."""

PAIR_COLUMNS = ("text", "kind", "model_a", "model_b", "winner", "vector")

DEFAULT_KIND = StepKind.ANSWER.value
"""Of rows whose table has no column for it: tables of questions and answers are the usual ones."""

LONGEST_LINE = 2**24
LONGEST_NAME = 256
LONGEST_VECTOR = 65_536

WINNERS: Mapping[str, float] = {"a": 1.0, "model_a": 1.0, "b": 0.0, "model_b": 0.0, "tie": 0.5}
YES, NO = ("true", "yes"), ("false", "no")

Cells = Mapping[str, Any]


def read_outcomes(path: Path, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a table of outcomes.

    Args:
        path: .csv, .jsonl, .ndjson or .parquet.
        columns: What a column is called in the file, by its name in `COLUMNS`, where that differs.

    Raises:
        ConfigError: The file cannot be read, lacks a column, or has a wrong cell; names row and column.
    """
    return read(path, {name: name for name in COLUMNS} | dict(columns or {}), ("model", "success"), outcome)


def read_pairs(path: Path, columns: Mapping[str, str] | None = None) -> list[Pair]:
    """The rows of a table of preferences: `winner` is `a`, `b` or `tie`.

    Args:
        path: .csv, .jsonl, .ndjson or .parquet.
        columns: What a column is called in the file, by its name in `PAIR_COLUMNS`, where that differs.

    Raises:
        ConfigError: The file cannot be read, lacks a column, or has a wrong cell; names row and column.
    """
    return read(
        path, {name: name for name in PAIR_COLUMNS} | dict(columns or {}), ("model_a", "model_b", "winner"), preference
    )


def read_labels(path: Path, columns: Mapping[str, str] | None = None) -> list[Label]:
    """The rows of a table of texts and the route each should take; where there is none, `route` is empty.

    Args:
        path: .csv, .jsonl, .ndjson, .yaml or .parquet.
        columns: What `text` and `route` are called in the file, where that differs.

    Raises:
        ConfigError: The file cannot be read, lacks a column, or has a wrong cell; names row and column.
    """
    return read(path, {"text": "text", "route": "route"} | dict(columns or {}), ("text", "route"), label)


def read(path: Path, called: Mapping[str, str], needed: Iterable[str], make: Callable[[Reader], R]) -> list[R]:
    """The rows of a file, each made of its cells.

    Raises:
        ConfigError: As `read_outcomes`.
    """
    lines = LINES.get(path.suffix.lower())
    if lines is None:
        raise ConfigError(f"a table must end with {', '.join(LINES)}, got {path.name!r}")
    found: list[R] = []
    try:
        for number, cells in lines(path):
            if not found:
                refuse_missing(path, cells, called, needed)
            if len(found) >= MOST_ROWS:
                raise ConfigError(f"{path.name!r} must have at most {MOST_ROWS} rows; take a sample")
            found.append(make(Reader(f"{path.name!r} row {number}", cells, called)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name!r} cannot be read: {error}") from error
    if not found:
        raise ConfigError(f"{path.name!r} must have at least one row, it has none")
    return found


def refuse_missing(path: Path, cells: Cells, called: Mapping[str, str], needed: Iterable[str]) -> None:
    """Refuses a table without the columns it takes.

    Raises:
        ConfigError: One is missing.
    """
    missing = [called[name] for name in needed if called[name] not in cells]
    if "vector" in called and called["text"] not in cells and called["vector"] not in cells:
        missing.append(f"{called['text']} (or {called['vector']})")
    if missing:
        there = ", ".join(map(repr, list(cells)[:20]))
        raise ConfigError(f"{path.name!r} must have the columns {', '.join(missing)}; it has {there}")


class Reader:
    """The cells of one row, each checked when it is asked for.

    Args:
        where: File and row, for complaints.
        cells: By the name in the file.
        called: The name in the file, by ours.
    """

    def __init__(self, where: str, cells: Cells, called: Mapping[str, str]) -> None:
        self.where = where
        self.cells = cells
        self.called = called

    def wrong(self, column: str, rule: str) -> ConfigError:
        """The complaint about a cell."""
        got = repr(self.cells.get(self.called[column]))
        return ConfigError(f"{self.where}, column {self.called[column]!r}: must be {rule}, got {got[:60]}")

    def cell(self, column: str) -> Any:
        """What is there; None for nothing."""
        value = self.cells.get(self.called[column])
        return None if value is None or (isinstance(value, str) and not value.strip()) else value

    def name(self, column: str) -> str:
        """A short text that must be there.

        Raises:
            ConfigError: It is not.
        """
        value = self.cell(column)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= LONGEST_NAME:
            raise self.wrong(column, f"a name of 1 to {LONGEST_NAME} characters")
        return value.strip()

    def text(self) -> str | None:
        """The text; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        value = self.cell("text")
        if value is not None and not isinstance(value, str):
            raise self.wrong("text", "a text")
        return value

    def kind(self) -> str:
        """The kind of step.

        Raises:
            ConfigError: There is no such kind.
        """
        value = self.cell("kind")
        if value is None:
            return DEFAULT_KIND
        try:
            return StepKind(value).value
        except ValueError:
            raise self.wrong("kind", f"one of {', '.join(StepKind)}") from None

    def number(self, column: str, most: float) -> float | None:
        """A number from 0 to `most`; None where there is none.

        Raises:
            ConfigError: It is no number or another.
        """
        value = self.cell(column)
        if value is None:
            return None
        if isinstance(value, str) and value.strip().lower() in (*YES, *NO):
            value = value.strip().lower() in YES
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number <= most:
            raise self.wrong(column, f"a number from 0 to {most:g}")
        return number

    def vector(self) -> Vectors | None:
        """The vector; None where there is none.

        Raises:
            ConfigError: It is no list of numbers, or not of unit length.
        """
        value = self.cell("vector")
        if value is None:
            return None
        try:
            numbers = np.array(json.loads(value) if isinstance(value, str) else value, dtype=np.float32)
        except (TypeError, ValueError):
            numbers = np.empty(0, dtype=np.float32)
        is_short = numbers.ndim == 1 and 0 < len(numbers) <= LONGEST_VECTOR
        if not is_short or not abs(float(numbers @ numbers) - 1) < 0.01:
            raise self.wrong("vector", "a list of numbers whose squares add up to 1")
        return numbers


def outcome(row: Reader) -> Row:
    """An outcome.

    Raises:
        ConfigError: A cell is wrong.
    """
    success, text, vector, weight = row.number("success", 1), row.text(), row.vector(), row.number("weight", 1)
    if success is None:
        raise row.wrong("success", "true, false or a number from 0 to 1")
    if text is None and vector is None:
        raise row.wrong("text", "there, as the row has no vector")
    group = row.cell("group")
    return Row(
        kind=row.kind(),
        model=row.name("model"),
        success=success,
        text=text,
        vector=vector,
        weight=1.0 if weight is None else weight,
        group=None if group is None else str(group),
        usd=row.number("cost_usd", 1e9),
        output_tokens=row.number("output_tokens", 1e9),
        seconds=row.number("seconds", 1e9),
    )


def preference(row: Reader) -> Pair:
    """A preference.

    Raises:
        ConfigError: A cell is wrong.
    """
    text, vector, winner = row.text(), row.vector(), row.cell("winner")
    first, second = row.name("model_a"), row.name("model_b")
    if text is None and vector is None:
        raise row.wrong("text", "there, as the row has no vector")
    if first == second:
        raise row.wrong("model_b", "another model than model_a")
    won = WINNERS.get(str(winner).strip().lower())
    if won is None:
        raise row.wrong("winner", "a, b or tie")
    return Pair(kind=row.kind(), first=first, second=second, first_won=won, text=text, vector=vector)


def label(row: Reader) -> Label:
    """A text and its route.

    Raises:
        ConfigError: A cell is wrong.
    """
    text = row.text()
    if text is None:
        raise row.wrong("text", "a text with words")
    route = None if row.cell("route") is None else row.name("route")
    # No more of a step is looked at either.
    return Label(text=text[:STEP_TEXT_CHARACTERS], route=route, where=row.where)


def csv_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """Row numbers, the first after the heading being 1, and cells.

    Raises:
        ConfigError: It is no CSV.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for number, cells in enumerate(csv.DictReader(bounded(path, file), strict=True), 1):
                if None in cells:
                    raise ConfigError(f"{path.name!r} row {number} must have as many cells as the heading, it has more")
                yield number, cells
        except csv.Error as error:
            raise ConfigError(f"{path.name!r} must be CSV: {error}; long texts fit into .jsonl") from error


def bounded(path: Path, file: IO[str]) -> Iterator[str]:
    """The lines of a file.

    Raises:
        ConfigError: One is too long.
    """
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ConfigError(f"{path.name!r} must have lines of at most {LONGEST_LINE} characters")
        yield line


def json_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """Line numbers and cells; empty lines are skipped.

    Raises:
        ConfigError: A line is no JSON object.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(bounded(path, file), 1):
            if not line.strip():
                continue
            try:
                cells = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path.name!r} row {number} must be JSON: {error}") from None
            if not isinstance(cells, dict):
                raise ConfigError(f"{path.name!r} row {number} must be a JSON object, got {type(cells).__name__}")
            yield number, cells


def yaml_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    """Row numbers from 1 and cells of a list of mappings.

    Raises:
        ConfigError: It is no such list.
    """
    import yaml

    with path.open(encoding="utf-8") as file:
        text = file.read(LONGEST_LINE + 1)
    if len(text) > LONGEST_LINE:
        raise ConfigError(f"{path.name!r} must have at most {LONGEST_LINE} characters as YAML; take .jsonl")
    try:
        rows = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path.name!r} must be YAML: {' '.join(str(error).split())}") from None
    if not isinstance(rows, list):
        raise ConfigError(f"{path.name!r} must be a list of rows, each with its columns, got {type(rows).__name__}")
    for number, cells in enumerate(rows, 1):
        if not isinstance(cells, dict):
            raise ConfigError(f"{path.name!r} row {number} must have columns, got {type(cells).__name__}")
        yield number, cells


def parquet_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """Row numbers from 1 and cells.

    Raises:
        ConfigError: It is no Parquet, or pyarrow is not there.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed; pip install 'steprouter[parquet]', or use .csv or .jsonl"
        ) from error
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for cells in batch.to_pylist():
                number += 1
                yield number, cells
    except pyarrow.ArrowException as error:
        raise ConfigError(f"{path.name!r} must be a whole Parquet file: {error}") from error


LINES: Mapping[str, Callable[[Path], Iterator[tuple[int, Cells]]]] = {
    ".csv": csv_lines,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".parquet": parquet_lines,
    ".yaml": yaml_rows,
    ".yml": yaml_rows,
}
"""By what a file's name ends with."""
