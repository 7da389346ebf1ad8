"""The command that trains a predictor from recorded outcomes: `steprouter train`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import BAD_INPUT, ConfigOption, JsonOption, fail, hint, plain_errors, print_json, print_rich
from .memory import StoreOption, TenantOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..learning.card import Card
    from ..learning.table import Row
    from ..learning.train import Embeds, Standing, Training
    from ..store.memory.lines import OutcomeLine

ColumnOption = typer.Option(show_default=False, help="What this column is called in the table.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where outcomes come from.

    Attributes:
        name: For the data card.
        rows: The outcomes.
        embedder: Makes vectors, or names whose vectors the rows have.
        first_at: When the first was, Unix time in seconds; None if unknown.
        last_at: When the last was.
    """

    name: str
    rows: Sequence[Row]
    embedder: Embeds | str | None
    first_at: float | None = None
    last_at: float | None = None


def train_predictor(
    table: Annotated[
        Path | None,
        typer.Argument(help="Outcomes: .csv, .jsonl or .parquet with text, kind, model, success.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the predictor is written; ends with .srp.")] = Path("predictor.srp"),
    pairs: Annotated[
        Path | None,
        typer.Option(help="Preferences too: text, kind, model_a, model_b, winner (a, b, tie).", show_default=False),
    ] = None,
    from_traces: Annotated[
        bool, typer.Option("--from-traces", help="Learn from what the router remembers instead of a table.")
    ] = False,
    text_column: Annotated[str | None, ColumnOption] = None,
    kind_column: Annotated[str | None, ColumnOption] = None,
    model_column: Annotated[str | None, ColumnOption] = None,
    success_column: Annotated[str | None, ColumnOption] = None,
    cost_column: Annotated[str | None, ColumnOption] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="Whose vectors the table has, if it has a column of them.", show_default=False),
    ] = None,
    licence: Annotated[str, typer.Option(help="A note on the data's licence, kept in the file.")] = "",
    seed: Annotated[int, typer.Option(help="Of what is drawn by lot.", min=0)] = 0,
    json: JsonOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Train a predictor of which model is sufficient, and say whether it is better than a table of averages.

    What is said of it was measured on texts that it had not learnt from. Where no predictor is clearly better than the
    average of each kind and model, the file gives no odds, only lengths and times.
    """
    if (table is None) == (not from_traces):
        fail("name a table to learn from, or say --from-traces; one of them", BAD_INPUT)
    columns = {
        "text": text_column,
        "kind": kind_column,
        "model": model_column,
        "success": success_column,
        "cost_usd": cost_column,
    }
    with plain_errors():
        if table is None:
            source = from_memory(config, store, tenant)
        else:
            source = from_table(table, {name: one for name, one in columns.items() if one is not None}, embedder)
        training, card, size = trained(source, pairs, out, licence=licence, seed=seed, quiet=json)
    if json:
        shown = {"file": str(out), "bytes": size, "enabled": training.enabled, "strength": training.predictor.strength}
        print_json(shown | card.model_dump())
    else:
        show(training, out, size)


def from_table(path: Path, columns: dict[str, str], embedder: str | None) -> Source:
    """The outcomes of a table.

    Raises:
        ConfigError: It cannot be read, or a cell is wrong.
    """
    from ..embedding.choose import embedder_of
    from ..learning.reading import read_outcomes

    rows = read_outcomes(path, columns)
    return Source(
        name=path.name, rows=rows, embedder=embedder if embedder is not None else own(rows, embedder_of(None))
    )


def own(rows: Sequence[Row], embedder: Embeds) -> Embeds | None:
    """The embedder in use, unless the rows have vectors of an unnamed one."""
    return None if any(row.vector is not None for row in rows) else embedder


def from_memory(config: Path | None, store: str | None, tenant: str | None) -> Source:
    """The outcomes that the router remembers, with their vectors; texts are not kept.

    Raises:
        ConfigError: Nothing that can be learnt from is remembered.
        StoreError: Memory cannot be reached.
    """
    from ..errors import ConfigError
    from ..step.text import TEXT_VERSION
    from ..store.memory.files import read_file
    from ..store.memory.lines import Header, OutcomeLine
    from .memory import remembering

    rows, times, identity = [], [], ""
    with tempfile.TemporaryDirectory(prefix="steprouter-") as folder:
        path = Path(folder) / "memory.jsonl"
        with remembering(config, store, tenant) as memory:
            memory.export(path)
        for line in read_file(path, "jsonl"):
            if isinstance(line, Header):
                # Memory's space also names how steps become texts; a router that reads them otherwise must refuse.
                identity = line.embedder.removesuffix(f"/text-{TEXT_VERSION}")
            elif isinstance(line, OutcomeLine) and (row := row_of(line)) is not None:
                rows.append(row)
                times.append(line.at)
    if not rows:
        raise ConfigError("memory must hold outcomes that were embedded, it has none; run your agent first")
    return Source(name="memory", rows=rows, embedder=identity, first_at=min(times), last_at=max(times))


def row_of(line: OutcomeLine) -> Row | None:
    """A remembered outcome as a row; None where there is nothing to learn from it."""
    import base64

    import numpy as np

    from ..learning.table import Row
    from ..store.memory.query import decoded

    model = decoded(line.model)
    if line.vector is None or not model or not line.weight:
        return None
    return Row(
        kind=line.kind,
        model=model,
        success=line.score,
        vector=np.frombuffer(base64.b64decode(line.vector), dtype="<f4").astype(np.float32),
        weight=line.weight,
        # Steps of a conversation resemble each other: on both sides of a test they would flatter it.
        group=line.thread or line.record,
        usd=line.usd,
        output_tokens=line.output_tokens or None,
        seconds=line.seconds or None,
    )


def trained(
    source: Source, pairs: Path | None, out: Path, *, licence: str, seed: int, quiet: bool
) -> tuple[Training, Card, int]:
    """Trains and writes the file.

    Returns:
        What came of it, its data card, and the bytes written.

    Raises:
        ConfigError: There is too little to learn from, or a file is wrong.
    """
    import time

    from ..learning.file import refuse_name, save
    from ..learning.reading import read_pairs
    from ..learning.table import table_of
    from ..learning.train import carded, train

    refuse_name(out)
    rows = table_of(source.rows, read_pairs(pairs) if pairs is not None else ())
    training = train(rows, embedder=source.embedder, seed=seed, tell=(lambda _: None) if quiet else hint)
    card = carded(
        training,
        rows,
        source=source.name,
        licence=licence,
        seed=seed,
        made_at=time.time(),
        first_at=source.first_at,
        last_at=source.last_at,
    )
    return training, card, save(training.predictor, card, out)


def show(training: Training, out: Path, size: int) -> None:
    """What came of training, for people."""
    from ..tracing.wording import listed, name, number_of, visible

    typer.echo("")
    print_rich(contest_table(training.standings, training.winner))
    typer.echo("")
    typer.echo(f"{training.winner} won: {visible(training.why, 1000)}")
    if training.pair is not None:
        weak, strong = map(name, training.pair)
        hint(f"APGR and CPT: of sending questions to {strong} instead of {weak}; by lot they would be .500 and 50 %")
    else:
        hint("No two models answered enough of the same texts, so there is no APGR")
    models = listed([name(model) for model in training.predictor.models])
    if training.enabled:
        weight = f"{training.predictor.strength:.0f} outcomes"
        typer.echo(f"enabled: true – odds of {models}, which weigh as much as {weight} of your own at first")
    else:
        typer.echo(f"enabled: false – lengths and times of {models}, no odds")
    typer.echo(f"written to {visible(str(out))} ({number_of(size, 'byte')})")


def contest_table(standings: Sequence[Standing], winner: str) -> RenderableType:
    """The contenders and their held-out figures."""
    from ..tracing.columns import Column, FittingTable, cells

    def figure(value: float | None, form: str = ".3f", scale: float = 1) -> str:
        return "–" if value is None else format(scale * value, form)

    def column(header: str, values: list[str], rank: int = 0) -> Column:
        return Column(header=header, cells=cells(values), rank=rank, right=True)

    return FittingTable(
        (
            Column(
                header="contender", cells=cells(one.name + (" *" if one.name == winner else "") for one in standings)
            ),
            column("log loss", [figure(one.log_loss, ".4f") for one in standings]),
            column("Brier", [figure(one.brier, ".4f") for one in standings]),
            column("lead", [figure(one.leads and one.leads[0], "+.4f") for one in standings], 1),
            column("at least", [figure(one.leads and one.leads[1], "+.4f") for one in standings], 2),
            column("ECE", [figure(one.ece) for one in standings]),
            column("APGR", [figure(one.apgr) for one in standings]),
            column("CPT 50", [figure(one.cpt50, ".0f", 100) for one in standings], 3),
            column("CPT 80", [figure(one.cpt80, ".0f", 100) for one in standings], 4),
            column("cost", [figure(one.equal_quality_cost, ".0%") for one in standings], 5),
            column("pairs", [figure(one.preference_loss, ".4f") for one in standings], 6),
        )
    )
