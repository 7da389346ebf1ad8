"""The commands that show, copy and erase what is remembered: `steprouter memory …`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    place_of,
    plain_errors,
    print_json,
    print_rich,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..caching import LangCacheService
    from ..memory.face import Forgotten, Memory, Overview, Remembering
    from ..store import Keys
    from ..store.memory.recollection import Recollection

memory_app = typer.Typer(
    name="memory",
    help="Shows, copies and erases what is remembered between steps.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Where memory is: embedded, or redis://…; default is what the configuration says.", show_default=False
    ),
]
TenantOption = Annotated[
    str | None,
    typer.Option(help="Whose memory; default is what the configuration says.", show_default=False),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="jsonl or parquet; default is what the file's name ends with.", show_default=False),
]

BESIDE = ("lists", "leases")
"""Sorts of records that only serve others."""


@memory_app.command("show")
def show_memory(
    json: JsonOption = False, store: StoreOption = None, tenant: TenantOption = None, config: ConfigOption = None
) -> None:
    """Show how much is remembered, and how the models did at each kind of step."""
    with plain_errors(), remembering(config, store, tenant) as memory:
        told = memory.overview()
        if json:
            print_json(asdict(told))
        else:
            show_overview(told)


@memory_app.command("search")
def search_memory(
    text: Annotated[str, typer.Argument(help="What a step may be about.")],
    kind: Annotated[str | None, typer.Option(help="Only steps of this kind.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many at most.")] = 5,
    json: JsonOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Find the remembered steps that resemble a text most, and what became of them."""
    with plain_errors(), remembering(config, store, tenant) as memory:
        found = memory.search(text, kind=kind, k=k)
        if json:
            for one in found:
                print_json(asdict(one))
        elif found:
            print_rich(found_table(found))
        else:
            fail(f"nothing that could be compared is remembered for tenant {memory.tenant!r}", NOT_FOUND)


@memory_app.command("export")
def export_memory(
    file: Annotated[Path, typer.Argument(help="The file; .jsonl or .parquet.")],
    form: FormatOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Write outcomes, tallies and lessons to a file that only you may read. Of texts it holds the lessons only."""
    with plain_errors(), remembering(config, store, tenant) as memory:
        done = memory.export(file, format=form)
    from ..tracing.wording import number_of, visible

    outcomes, tallies = number_of(done.outcomes, "outcome"), number_of(done.tallies, "counter")
    lessons = f" and {number_of(done.lessons, 'lesson')}" if done.lessons else ""
    typer.echo(f"{outcomes} and {tallies}{lessons} written to {visible(str(done.path))}")
    if done.without_vector:
        hint(f"{number_of(done.without_vector, 'outcome')} without vector: not embedded, or by another embedder")
    if done.left_out:
        hint(f"{number_of(done.left_out, 'record')} left out: expired, broken, or written by a newer steprouter")


@memory_app.command("import")
def import_memory(
    file: Annotated[Path, typer.Argument(help="What export wrote.")],
    form: FormatOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Take over what a file holds. Only take what you trust: its lessons are shown to models.

    A second time nothing changes; a file with a wrong line changes nothing at all.
    """
    with plain_errors(), remembering(config, store, tenant) as memory:
        done = memory.load(file, format=form)
    from ..tracing.wording import number_of

    outcomes, tallies = number_of(done.outcomes, "outcome"), number_of(done.tallies, "counter")
    lessons = f" and {number_of(done.lessons, 'lesson')}" if done.lessons else ""
    typer.echo(f"{outcomes} and {tallies}{lessons} taken over; {done.known} were known, {done.expired} too old")
    if done.without_vector:
        hint(f"{number_of(done.without_vector, 'vector')} dropped: another embedder made them")
    if done.lessons_left_out:
        hint(f"{number_of(done.lessons_left_out, 'lesson')} left out: too old, or of what is not known here")
    if done.is_anonymous:
        hint("of another deployment or tenant, so nodes, threads and users were dropped")


@memory_app.command("forget")
def forget_memory(
    tenant: TenantOption = None,
    user: Annotated[str | None, typer.Option(help="All of this user.", show_default=False)] = None,
    thread: Annotated[str | None, typer.Option(help="All of this thread.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Erase a tenant, or a user and a thread of it. Exit code 1 if something is left afterwards."""
    if user is None and thread is None and not tenant:
        fail("name what to forget: --user, --thread, or --tenant for all of a tenant; nothing was named", BAD_INPUT)
    with plain_errors(), remembering(config, store, tenant, removing=True) as memory:
        meant = in_words(memory.tenant, user, thread)
        if not yes:
            if not sys.stdin.isatty():
                fail(f"erasing {meant} cannot be undone, and nobody can be asked here; say --yes", BAD_INPUT)
            typer.confirm(f"Erase {meant}? This cannot be undone.", abort=True)
        told = memory.forget(tenant=tenant, user=user, thread=thread)
    if json:
        print_json({"erased": dict(told.erased), "left": told.left, "remains": dict(told.remains)})
    else:
        show_forgotten(told, meant, whole=user is None and thread is None)
    if told.left:
        fail(f"{told.left} records are still there: {counted(told.remains)}; stop what writes them, again", NOT_FOUND)


def in_words(tenant: str, user: str | None, thread: str | None) -> str:
    """What is to be erased."""
    from ..tracing.wording import visible

    parts = [
        f"{what} {visible(repr(one), 80)}" for what, one in (("user", user), ("thread", thread)) if one is not None
    ]
    return f"{' and '.join(parts) or 'all that is kept'} of tenant {visible(repr(tenant), 80)}"


@contextmanager
def remembering(
    config: Path | None, store: str | None, tenant: str | None, *, removing: bool = False
) -> Iterator[Memory]:
    """The memory of the place that options, environment and configuration name, in this order."""
    import time

    from ..memory.face import Memory
    from ..store import open_traces
    from ..store.memory.custody import Custody

    with recollecting(config, store, tenant, removing=removing) as (recollection, whose):
        custody = Custody(recollection, lambda: open_traces(recollection.connection), time.time)
        yield Memory(lambda: custody, tenant=whose)


@contextmanager
def recollecting(
    config: Path | None, store: str | None, tenant: str | None, *, answers: bool = False, removing: bool = False
) -> Iterator[tuple[Recollection, str]]:
    """What remembers at that place, and whose it is.

    Args:
        config: The file.
        store: In place of its store.
        tenant: In place of its tenant.
        answers: Whether the answers that are given again are wanted.
        removing: Whether something is removed, of which the service that finds answers is to be told too.
    """
    from ..embedding.choose import embedder_of
    from ..memory.recall import Missing
    from ..store import connect
    from ..store.memory.recollection import Recollection

    place = place_of(config or found_config())
    connection = connect(store or place.store)

    def keys() -> Keys:
        from ..store import Keys, load_secret
        from ..store.embedded.places import default_data_dir

        return Keys(secret=load_secret(connection.settings().data_dir or default_data_dir()))

    service = service_of(config or found_config()) if removing else None
    recollection = Recollection(
        connection, keys, embedder_of(None), answers=answers or service is not None, langcache=service
    )
    try:
        facts = connection.open()
        if not isinstance(facts, Missing) and facts.place == "memory":
            why = f" (memory because {facts.reason})" if facts.reason else ""
            fail(
                f"what is in memory is seen only by the process that remembers it{why}; use `router.memory` "
                "there, or give the router a store that lasts",
                NOT_FOUND,
            )
        yield recollection, tenant or place.tenant or "default"
    finally:
        recollection.close()
        connection.close()


def service_of(config: Path | None) -> LangCacheService | None:
    """The service that finds cached answers by meaning, where the configuration names one."""
    from ..config import load_answers

    cache = load_answers(config)
    return None if cache is None else cache.langcache


def show_overview(told: Overview) -> None:
    """An overview as lines and a table."""
    from ..tracing.wording import name, number_of

    if not told.records:
        fail(f"nothing is remembered for tenant {told.tenant!r} in this store; run your agent first", NOT_FOUND)
    shown = {sort: count for sort, count in told.records.items() if sort not in BESIDE}
    typer.echo(f"tenant {name(told.tenant)}: {counted(shown)}")
    if told.outcomes:
        typer.echo(f"outcomes by kind: {counted(told.outcomes)}")
    if told.standings:
        typer.echo("")
        print_rich(standings_table(told))
    typer.echo("")
    if told.oldest is not None and told.newest is not None:
        typer.echo(f"from {moment(told.oldest)} to {moment(told.newest)}")
    for tag, count in told.foreign.items():
        typer.echo(
            f"{number_of(count, 'outcome')} of another embedder ({name(tag)}): they count, but are compared no more"
        )
    if told.newer:
        typer.echo(f"{number_of(told.newer, 'record')} of a newer steprouter, which this one does not read")


def standings_table(told: Overview) -> RenderableType:
    """How the models did, by kind of step."""
    from ..tracing.columns import Column, FittingTable, cells
    from ..tracing.wording import duration, money, name

    rows = told.standings
    return FittingTable(
        (
            Column(header="kind", cells=cells(name(one.kind) for one in rows)),
            Column(header="model", cells=cells(name(one.model) for one in rows), least=12),
            Column(header="labels", cells=cells(str(one.labels) for one in rows), right=True),
            Column(header="success", cells=cells(share(one.success) for one in rows), right=True),
            Column(header="cost", cells=cells(money(one.usd or None) for one in rows), rank=2, right=True),
            Column(header="time", cells=cells(duration(one.seconds) for one in rows), rank=1, right=True),
        )
    )


def found_table(found: Sequence[Remembering]) -> RenderableType:
    """Remembered steps, the most similar first."""
    from ..tracing.columns import Column, FittingTable, cells
    from ..tracing.wording import duration, money, name

    return FittingTable(
        (
            Column(header="similar", cells=cells(f"{one.similarity:.2f}" for one in found), right=True),
            Column(header="model", cells=cells(name(one.model) for one in found), least=12),
            Column(header="kind", cells=cells(name(one.kind) for one in found)),
            Column(header="score", cells=cells(f"{one.score:.2f}" for one in found), right=True),
            Column(header="from", cells=cells(name(one.source) for one in found), rank=1),
            Column(header="cost", cells=cells(money(one.usd) for one in found), rank=4, right=True),
            Column(header="time", cells=cells(duration(one.seconds) for one in found), rank=5, right=True),
            Column(header="when", cells=cells(moment(one.at) for one in found), rank=2),
            Column(header="record", cells=cells(name(one.record) for one in found), rank=3),
        )
    )


def show_forgotten(told: Forgotten, meant: str, *, whole: bool) -> None:
    """What was erased."""
    if not told.erased:
        typer.echo(f"there was nothing to erase: {meant}")
        return
    typer.echo(f"erased, {meant}: {counted(told.erased)}")
    if not told.left:
        hint("A second look over all keys found none of it.")
    if not whole:
        hint("Tallies stay: they are sums over many steps and name nobody.")


def counted(records: Mapping[str, int]) -> str:
    """Counts in one line."""
    from ..tracing.wording import name

    return ", ".join(f"{name(sort.replace('_', ' '))} {count:,}" for sort, count in records.items())


def share(success: float | None) -> str:
    """A share of success; a dash where all has decayed."""
    return "–" if success is None else f"{100 * success:.0f} %"


def moment(at: float) -> str:
    """A time on the clock of this place."""
    from datetime import UTC, datetime

    from ..tracing import terminal

    return terminal.moment(at, datetime.now().astimezone().tzinfo or UTC)
