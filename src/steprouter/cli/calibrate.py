"""The command that finds thresholds of semantic routes on labelled texts: `steprouter calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import (
    BAD_INPUT,
    NOT_FOUND,
    ConfigOption,
    JsonOption,
    fail,
    found_config,
    hint,
    plain_errors,
    print_json,
    print_rich,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..embedding.embedder import Embedder
    from ..learning.route_calibration import Calibration, Figures, Label, Share
    from ..routing.routes import Route

WRITTEN = "# Thresholds that `steprouter calibrate` found"
"""How a file begins that the command wrote, and may write anew."""


def calibrate_routes(
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts: .csv, .jsonl, .yaml or .parquet with text and route, which is empty for none. "
            "Default are the routes' own examples, each compared with the others.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="How many of the texts that take a route should be right, such as 0.95; default is best F1."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the thresholds to this YAML file, to be pasted.", show_default=False)
    ] = None,
    text_column: Annotated[str, typer.Option(help="What this column is called in the table.")] = "text",
    route_column: Annotated[str, typer.Option(help="What this column is called in the table.")] = "route",
    seed: Annotated[int, typer.Option(help="Of the lot by which texts are held out.", min=0)] = 0,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find thresholds for the semantic routes, and say how good they are on texts they were not found on.

    Your configuration is not changed: the thresholds are shown as YAML, or written to a file of their own.
    """
    path = config or found_config()
    if path is None:
        fail("there is no steprouter.yaml in this directory; name a configuration with --config", BAD_INPUT)
    if write is not None:
        refuse_to_write(write, path)
    with plain_errors():
        from ..config import load
        from ..embedding.choose import embedder_of

        settings = load(path)
        columns = {"text": text_column, "route": route_column}
        told = calibration(
            settings.policy.routes,
            embedder_of(settings.memory.embedder),
            labels,
            columns,
            precision=precision,
            seed=seed,
        )
    fragment = yaml_of(told, labels.name if labels is not None else "the routes' own examples")
    if json:
        print_json({"thresholds": {route.name: route.found for route in told.routes}} | asdict(told))
    else:
        show(told)
    if write is not None:
        try:
            write.write_text(fragment, encoding="utf-8")
        except OSError as error:
            fail(f"{str(write)!r} cannot be written: {error.strerror}", NOT_FOUND)
    if json:
        return
    if write is not None:
        typer.echo(f"written to {write}")
    elif told.changed:
        typer.echo("")
        typer.echo(fragment, nl=False)


def refuse_to_write(write: Path, config: Path) -> None:
    """Ends the command where it would write over what is not its own."""
    if not write.exists():
        return
    own = not write.samefile(config) and write.is_file()
    try:
        own = own and write.read_text(encoding="utf-8").startswith(WRITTEN)
    except (OSError, UnicodeDecodeError):
        own = False
    if not own:
        fail(f"--write must name a new file, {str(write)!r} is there and was not written by this command", BAD_INPUT)


def calibration(
    routes: Sequence[Route],
    embedder: Embedder,
    table: Path | None,
    columns: dict[str, str],
    *,
    precision: float | None,
    seed: int,
) -> Calibration:
    """Thresholds for routes.

    Raises:
        ConfigError: There are no routes, a route has no examples, or the labels cannot be read or do not suffice.
    """
    from ..errors import ConfigError
    from ..learning.reading import read_labels
    from ..learning.route_calibration import calibrated, distinct

    if not routes:
        raise ConfigError("the configuration must have routes to find thresholds for, it has none")
    for route in routes:
        if not route.examples:
            raise ConfigError(f"route {route.name!r} has no examples in the configuration; write some beside it")
    labels = distinct(examples_of(routes) if table is None else read_labels(table, columns))
    examples = {route.name: embedder.embed_many(route.examples) for route in routes}
    vectors = embedder.embed_many([label.text for label in labels])
    return calibrated(routes, examples, labels, vectors, precision=precision, seed=seed)


def examples_of(routes: Sequence[Route]) -> list[Label]:
    """The routes' own examples as labelled texts."""
    from ..learning.route_calibration import Label

    return [
        Label(text=example, route=route.name, where=f"route {route.name!r}")
        for route in routes
        for example in route.examples
    ]


def yaml_of(told: Calibration, labels: str) -> str:
    """The thresholds as a fragment of a configuration."""
    import yaml

    from ..tracing.wording import visible

    precision, recall = (figure(share) for share in (told.after.precision, told.after.recall))
    routes = [{"name": route.name, "threshold": round(route.found, 6)} for route in told.routes]
    return (
        f"{WRITTEN}; held out: precision {precision}, recall {recall}.\n"
        f"# {told.texts} labelled texts: {visible(labels)}\n"
        + yaml.safe_dump({"policy": {"routes": routes}}, sort_keys=False, allow_unicode=True)
    )


def show(told: Calibration) -> None:
    """What came of it, for people."""
    from ..tracing.wording import number_of, visible

    print_rich(routes_table(told))
    typer.echo("")
    typer.echo(f"now    {line(told.before)}")
    typer.echo(f"found  {line(told.after)}   ({told.way})")
    hint(
        f"{number_of(told.texts, 'text')}, {told.without_route} of them without a route; figures of what was found are "
        "of texts that were held out, intervals hold with 95 %"
    )
    if told.confusions:
        typer.echo("")
        print_rich(confusions_table(told))
    for warning in told.warnings:
        typer.echo(f"note: {visible(warning, 1000)}")


def line(figures: Figures) -> str:
    """Figures in a line."""
    return (
        f"precision {figure(figures.precision)} {interval(figures.precision)}   "
        f"recall {figure(figures.recall)} {interval(figures.recall)}   F1 {figures.f1:.3f}"
    )


def figure(share: Share) -> str:
    """A share in digits; a dash for a share of nothing."""
    return "–" if share.value is None else f"{share.value:.3f}"


def interval(share: Share) -> str:
    """What it is within."""
    low, high = share.interval
    return "" if share.value is None else f"[{low:.2f}–{high:.2f}]"


def routes_table(told: Calibration) -> RenderableType:
    """The routes with their thresholds and figures."""
    from ..tracing.columns import Column, FittingTable, cells

    def column(header: str, values: list[str], rank: int = 0) -> Column:
        return Column(header=header, cells=cells(values), rank=rank, right=True)

    routes = told.routes
    return FittingTable(
        (
            Column(header="route", cells=cells(route.name for route in routes)),
            column("labels", [str(route.labels) for route in routes], 1),
            column("now", [f"{route.now:g}" for route in routes]),
            column("found", [f"{route.found:g}" for route in routes]),
            column("precision", [figure(route.figures.precision) for route in routes]),
            column("within", [interval(route.figures.precision) for route in routes], 2),
            column("recall", [figure(route.figures.recall) for route in routes]),
            column("within", [interval(route.figures.recall) for route in routes], 3),
        )
    )


def confusions_table(told: Calibration) -> RenderableType:
    """What is taken for what."""
    from ..tracing.columns import Column, FittingTable, cells
    from ..tracing.wording import visible

    found = told.confusions
    return FittingTable(
        (
            Column(header="should take", cells=cells(one.meant or "no route" for one in found)),
            Column(header="takes", cells=cells(one.took or "no route" for one in found)),
            Column(header="times", cells=cells(str(one.times) for one in found), right=True),
            Column(header="such as", cells=cells(visible(one.text, 200) for one in found), rank=1, least=20),
        )
    )
