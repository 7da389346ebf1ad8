"""Files of exported memory, as JSON lines or Parquet: written whole or not at all, read line by line."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from steprouter.errors import ConfigError
from steprouter.memory.face import Format

from .lines import AnyLine, EndLine, Header, LessonLine, OutcomeLine, TallyLine, read_line

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LINE = 2**20
"""Bytes; the longest vector there is takes a third of it."""

ROWS = 1024
"""In one piece of a Parquet file: some megabytes."""

HEADER = b"steprouter"
"""Where a Parquet file has its header, among its own metadata."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is whole; only its owner may read it.

    Raises:
        ConfigError: It cannot be written.
    """
    fresh = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"path must be a file that can be written, got {str(path)!r}: {reason}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{str(path)!r} could not be written: {error}; what was there before is untouched") from error
    finally:
        fresh.unlink(missing_ok=True)


def write_file(path: Path, form: Format, header: Header, lines: Iterable[TallyLine | OutcomeLine | LessonLine]) -> None:
    """Write a whole file, a piece at a time.

    Raises:
        ConfigError: It cannot be written, or Parquet is asked for and pyarrow is not there.
    """
    write = write_jsonl if form == "jsonl" else write_parquet
    with written_whole(path) as file:
        write(file, header, lines)


def write_jsonl(file: IO[bytes], header: Header, lines: Iterable[TallyLine | OutcomeLine | LessonLine]) -> None:
    """Write JSON lines."""

    def put(line: AnyLine) -> None:
        file.write(json.dumps(line.model_dump(exclude_none=True), ensure_ascii=True).encode() + b"\n")

    counts = {"tally": 0, "outcome": 0, "lesson": 0}
    put(header)
    for line in lines:
        counts[line.sort] += 1
        put(line)
    put(EndLine(tallies=counts["tally"], outcomes=counts["outcome"], lessons=counts["lesson"]))


def read_file(path: Path, form: Format) -> Iterator[AnyLine]:
    """The lines of a file, each checked; the header first, and last the end if the file is whole.

    Raises:
        ConfigError: The file cannot be read, or a line is wrong.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            said = read_jsonl(name, file) if form == "jsonl" else read_parquet(name, file)
            for number, one in said:
                line = read_line(f"{name!r} line {number}", one)
                if (number == 1) != isinstance(line, Header):
                    raise ConfigError(f"{name!r} line {number}: the header must be the first line, and no other")
                yield line
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # a name with a NUL
        raise ConfigError(f"{name!r} cannot be read: {error}") from error


def read_jsonl(name: str, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Line numbers and what the lines say.

    Raises:
        ConfigError: A line is no JSON, or too long.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ConfigError(f"{name!r} line {number} must be shorter than {LONGEST_LINE} bytes")
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name!r} line {number} must be JSON: {error}; export the memory anew") from None


def pyarrow() -> Any:
    """Pyarrow with its Parquet part.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed; pip install 'steprouter[parquet]', or use format jsonl"
        ) from error
    return pyarrow


def schema(header: Header | None = None) -> pa.Schema:
    """The columns: those of all sorts of lines together."""
    pa = pyarrow()
    texts = ("sort", "kind", "node", "model", "record", "thread", "user", "source", "tier", "rule", "task",
             "approach", "result", "verified")  # fmt: skip
    counts = ("labels", "seen", "number", "number_node", "input_tokens")
    numbers = ("successes", "failures", "at", "changed", "score", "weight", "labelled_at", "seconds", "usd",
               "first_token_seconds", "output_tokens")  # fmt: skip # the last an average in a tally, else a count
    columns = [
        *((name, pa.string()) for name in texts),
        *((name, pa.int64()) for name in counts),
        *((name, pa.float64()) for name in numbers),
        ("lesson", pa.bool_()),
        ("wants_json", pa.bool_()),
        ("tools", pa.list_(pa.string())),
        ("vector", pa.list_(pa.float32())),
    ]
    metadata = {} if header is None else {HEADER: header.model_dump_json().encode()}
    return pa.schema(columns, metadata=metadata)


def write_parquet(file: IO[bytes], header: Header, lines: Iterable[TallyLine | OutcomeLine | LessonLine]) -> None:
    """Write Parquet, a group of rows at a time.

    Raises:
        ConfigError: pyarrow is not there.
    """
    pa, columns = pyarrow(), schema(header)
    rows: list[dict[str, Any]] = []
    with pa.parquet.ParquetWriter(file, columns) as writer:
        for line in lines:
            rows.append(row_of(line))
            if len(rows) >= ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=columns))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=columns))


def row_of(line: TallyLine | OutcomeLine | LessonLine) -> dict[str, Any]:
    """A line as a row; its vector as numbers, which is what readers of tables want."""
    import numpy as np

    row = line.model_dump(exclude_none=True)
    if "vector" in row:
        row["vector"] = np.frombuffer(base64.b64decode(row["vector"]), dtype="<f4")
    return row


def read_parquet(name: str, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Row numbers, the header being the first, and what the rows say; then the end, since Parquet knows its own.

    Raises:
        ConfigError: It is no Parquet file of ours, or pyarrow is not there.
    """
    pa = pyarrow()
    counts = {"tally": 0, "outcome": 0, "lesson": 0}
    try:
        table = pa.parquet.ParquetFile(file)
        header = (table.schema_arrow.metadata or {}).get(HEADER)
        if header is None:
            raise ConfigError(f"{name!r} must be an exported memory, and it has no header of one")
        yield 1, json.loads(header)
        number = 1
        for batch in table.iter_batches(batch_size=ROWS):
            for row in batch.to_pylist():
                number += 1
                said = told(row)
                counts[str(said.get("sort"))] = counts.get(str(said.get("sort")), 0) + 1
                yield number, said
    except ConfigError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise ConfigError(f"{name!r} must be a whole Parquet file: {error}; export the memory anew") from error
    told_of = {"tallies": counts["tally"], "outcomes": counts["outcome"], "lessons": counts["lesson"]}
    yield number + 1, {"sort": "end", **told_of}


def told(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a line has it."""
    import numpy as np

    said = {name: value for name, value in row.items() if value is not None}
    tokens = said.get("output_tokens")
    if said.get("sort") == "outcome" and isinstance(tokens, float) and tokens.is_integer():
        said["output_tokens"] = int(tokens)
    if isinstance(said.get("vector"), list):
        said["vector"] = base64.b64encode(np.array(said["vector"], dtype="<f4").tobytes()).decode()
    return said
