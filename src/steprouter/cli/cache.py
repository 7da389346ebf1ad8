"""The commands about answers that are given again: `steprouter cache …`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
    hint,
    plain_errors,
    print_json,
    print_rich,
    reading,
)
from .memory import StoreOption, TenantOption, recollecting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..caching.estimate import Estimate
    from ..caching.orders import CacheStats
    from ..store.cache.shelf import Shelf
    from ..tracing.record import Trace

cache_app = typer.Typer(
    name="cache",
    help="Shows, explains and removes answers that are given again, and says what a cache would save.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cache_app.command("stats")
def show_stats(
    json: JsonOption = False, store: StoreOption = None, tenant: TenantOption = None, config: ConfigOption = None
) -> None:
    """Show how many answers are kept, what they saved, and how often they were found right."""
    with plain_errors(), shelf_of(config, store, tenant) as (shelf, whose):
        told = shelf.stats(whose)
    if json:
        print_json(stats_json(told))
    else:
        print_stats(told, whose)


@cache_app.command("explain")
def explain(
    step: Annotated[str, typer.Argument(help="The step's id, as `steprouter show --json` has it.")],
    json: JsonOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Say why a step was answered from the cache or was not, and whether its own answer is kept."""
    with plain_errors(), reading(config, store, tenant) as traces:
        trace = traces.get(step)
        if trace is None:
            fail(f"no step {step!r} is kept; `steprouter show --json` lists the ids", NOT_FOUND)
        elif json:
            print_json({"step_id": trace.step_id, "cache": trace.cache, **(cached_json(trace))})
        else:
            for line in explained(trace):
                typer.echo(line)


@cache_app.command("invalidate")
def invalidate(
    tag: Annotated[str | None, typer.Option(help="Answers of runs with this tag.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model.", show_default=False)] = None,
    node: Annotated[str | None, typer.Option(help="Answers at this node of the graph.", show_default=False)] = None,
    tenant: TenantOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All answers of the tenant.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove answers, so that they are given to nobody any more; processes at work follow within 2 s."""
    named = [part for part in (tag, model, node) if part is not None]
    if everything == bool(named):
        fail(
            "name --tag, --model or --node, or say --all for all answers of a tenant; not both, not nothing", BAD_INPUT
        )
    with plain_errors(), shelf_of(config, store, tenant, removing=True) as (shelf, whose):
        if everything and not yes:
            if not sys.stdin.isatty():
                fail("removing all answers cannot be undone, and nobody can be asked here; say --yes", BAD_INPUT)
            typer.confirm(f"Remove all answers of tenant {whose!r}?", abort=True)
        gone = shelf.invalidate(whose, tag=tag, model=model, node=node)
    if json:
        print_json({"removed": gone})
    else:
        from ..tracing.wording import number_of

        typer.echo(f"{number_of(gone, 'answer')} removed")


@cache_app.command("estimate")
def estimate(
    json: JsonOption = False, store: StoreOption = None, tenant: TenantOption = None, config: ConfigOption = None
) -> None:
    """Say from recorded traces what an answer cache would have served, before you turn it on."""
    from ..caching.estimate import estimated
    from ..tracing.asked import asked_of

    with plain_errors(), reading(config, store, tenant) as traces:
        found = estimated(asked_of(trace) for thread in traces.threads() for trace in traces.list(thread.thread))
    if json:
        print_json(asdict(found))
    elif not found.steps:
        fail("no steps are recorded in this store; run your agent first", NOT_FOUND)
    else:
        print_estimate(found)


@contextmanager
def shelf_of(
    config: Path | None, store: str | None, tenant: str | None, *, removing: bool = False
) -> Iterator[tuple[Shelf, str]]:
    """The answers of the place that options, environment and configuration name, and whose they are."""
    with recollecting(config, store, tenant, answers=True, removing=removing) as (recollection, whose):
        assert recollection.shelf is not None
        yield recollection.shelf, whose


def stats_json(told: CacheStats) -> dict[str, object]:
    """The figures for programs."""
    return asdict(told) | {"hit_rate": told.hit_rate, "wrong_at_most": told.wrong_at_most}


def print_stats(told: CacheStats, whose: str) -> None:
    """The figures for people."""
    from ..tracing.wording import duration, money, name, number_of

    if not told.entries and not told.lookups:
        fail(
            f"no answers are kept for tenant {whose!r} in this store: answer_cache is off, or no step may be answered "
            "again; `steprouter cache explain STEP` says why",
            NOT_FOUND,
        )
    typer.echo(f"tenant {name(whose)}: {number_of(told.entries, 'answer')}, {told.size_bytes / 1024:,.0f} kB")
    hits = told.exact + told.semantic
    typer.echo(
        f"{number_of(told.lookups, 'lookup')}: {told.exact} exact and {told.semantic} semantic hits"
        f"{'' if told.hit_rate is None else f' ({told.hit_rate:.0%})'}"
    )
    if hits:
        typer.echo(f"saved: {money(told.saved_usd)}, {duration(told.saved_seconds)} of models' time")
    if told.pools:
        typer.echo("")
        print_rich(pools_table(told))


def pools_table(told: CacheStats) -> RenderableType:
    """What is known of how often answers are right, by how like the questions are."""
    from ..caching.bound import error_bound
    from ..tracing.columns import Column, FittingTable, cells
    from ..tracing.wording import name

    rows = sorted(told.pools.items())
    return FittingTable(
        (
            Column(header="questions", cells=cells(name(pool) for pool, _ in rows), least=12),
            Column(header="right", cells=cells(f"{tally.right:.1f}" for _, tally in rows), right=True),
            Column(header="wrong", cells=cells(f"{tally.wrong:.1f}" for _, tally in rows), right=True),
            Column(
                header="wrong at most (95 %)",
                cells=cells(f"{error_bound(pool, tally, confidence=0.95):.1%}" for pool, tally in rows),
                right=True,
            ),
        )
    )


def cached_json(trace: Trace) -> dict[str, object]:
    """What a trace says of the cache, for programs."""
    return {} if trace.cached is None else trace.cached.model_dump()


def explained(trace: Trace) -> Iterator[str]:
    """What a trace says of the cache, in sentences."""
    from ..tracing.wording import duration, money, visible

    cached = trace.cached
    if cached is None or trace.cache == "off":
        yield "no answer cache was on when this step was taken"
        return
    if cached.layer is not None:
        yield f"answered from the cache ({cached.layer}): {visible(trace.reason)}"
        age = duration(cached.age_seconds or 0.0)
        yield f"the answer was paid for by step {visible(cached.of_step or '?', 80)}, {age} before"
        yield f"saved: {money(trace.saved_usd)} and {duration(cached.saved_seconds)}"
        if cached.audited:
            yield "audited: the reference was asked too, in the background"
        return
    yield f"not answered from the cache: {visible('; '.join(cached.missed)) or 'nothing like it was kept'}"
    if cached.kept:
        yield "its own answer is kept, and may be given again"
    else:
        yield f"its own answer is not kept: {visible('; '.join(cached.not_kept)) or 'unknown why'}"


def print_estimate(found: Estimate) -> None:
    """What a cache would have served, for people."""
    from ..tracing.wording import duration, money, number_of

    typer.echo(
        f"{number_of(found.steps, 'step')} recorded, {found.askable} of them of the kind that may be given again"
    )
    exact_usd, exact_seconds = money(found.exact_usd), duration(found.exact_seconds)
    typer.echo(f"exact repeats: {found.exact} ({found.exact_share:.0%}), {exact_usd}, {exact_seconds}")
    typer.echo(
        f"the same in other words, as far as words tell: {found.alike} ({found.alike_share:.0%}), "
        f"{money(found.alike_usd)}, {duration(found.alike_seconds)}; these must prove right before they are given"
    )
    if found.why_not:
        typer.echo("why the others may not:")
        for why, count in found.why_not:
            typer.echo(f"  {count:>6}  {why}")
    hint("Turn it on with StepRouter(…, answer_cache=True).")
