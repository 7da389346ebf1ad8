"""The commands, their options and what they print.

Everything heavy is imported inside the commands, so that `--help` and mistakes in the arguments answer at once.
"""

from __future__ import annotations

import json as json_text
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..config import StorePlace
    from ..routing.decision import Decision
    from ..tracing.archive import Traces
    from ..tracing.record import Trace
    from .doctor import Finding

NOT_FOUND = 1
BAD_INPUT = 2

app = typer.Typer(
    name="steprouter",
    help="Shows what your router did and why, and what it would do.",
    no_args_is_help=True,
    add_completion=False,
    # Boxes around the help would double the time it takes to appear.
    rich_markup_mode=None,
    # A rich traceback shows local variables, and keys are among them.
    pretty_exceptions_show_locals=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="STEPROUTER_CONFIG",
        help="Configuration file; default is steprouter.yaml in this directory, if it is there.",
        show_default=False,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Where traces are kept: embedded, or redis://…; default is what the configuration says.",
        show_default=False,
    ),
]
TenantOption = Annotated[
    str | None,
    typer.Option(help="Whose traces; default is what the configuration says.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs, one object a line.")]


def show_version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"steprouter {version('steprouter')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Shows what your router did and why, and what it would do."""
    import logging

    # What the store logs, the commands say themselves.
    logging.getLogger("steprouter").addHandler(logging.NullHandler())


@app.command()
def show(
    thread: Annotated[str | None, typer.Argument(help="Thread id; default is the thread with the newest step.")] = None,
    step: Annotated[str | None, typer.Option(help="Explain one step: its number in the table, or its id.")] = None,
    threads: Annotated[bool, typer.Option("--threads", help="List the threads that are kept.")] = False,
    json: JsonOption = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the steps of a thread: who answered, why, at what cost.

    Without arguments it shows the thread with the newest step. `--step 3` explains the third one.
    """
    with plain_errors(), reading(config, store, tenant) as traces:
        if threads:
            show_threads(traces, json=json)
        elif step is not None:
            show_step(traces, thread, step, json=json)
        else:
            show_steps(traces, thread, json=json)


@app.command()
def recommend(
    text: Annotated[str, typer.Argument(help="What a user might say.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say which models would be asked for a text, and why. Nobody is called."""
    path = config or found_config()
    if path is None:
        fail("there is no steprouter.yaml in this directory; name a configuration with --config", BAD_INPUT)
    with plain_errors():
        from ..chat import StepRouter

        router = StepRouter.from_file(path)
        try:
            decision = router.recommend(text)
        finally:
            router.close()
        show_decision(decision, json=json)


@app.command()
def doctor(
    config: ConfigOption = None,
    store: StoreOption = None,
    call: Annotated[
        bool, typer.Option("--call", help="Also send one short prompt to each model, which costs money.")
    ] = False,
    readmit: Annotated[
        str | None,
        typer.Option(help="Let this model in again that is out, in all processes; mend it first.", show_default=False),
    ] = None,
) -> None:
    """Examine installation, store, configuration, circuits and budgets. Exit code 1 if something will fail."""
    with plain_errors():
        findings = list(examine(config or found_config(), store, call=call, readmit=readmit))
    print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(NOT_FOUND)


# Showing traces


def show_threads(traces: Traces, *, json: bool) -> None:
    """The list of threads."""
    lines = traces.threads()
    if json:
        for line in lines:
            print_json({"thread": line.thread, "steps": line.steps, "last_at": line.last_at})
        return
    if not lines:
        fail(nothing_kept(traces), NOT_FOUND)
    from datetime import UTC, datetime

    from ..tracing.terminal import threads_table

    print_rich(threads_table(lines, zone=datetime.now().astimezone().tzinfo or UTC))
    hint(f"steprouter show {quoted(lines[0].thread)}   shows the steps of a thread")


def show_steps(traces: Traces, thread: str | None, *, json: bool) -> None:
    """The steps of a thread, or of the one with the newest step."""
    steps = found_steps(traces, thread)
    if json:
        for trace in steps:
            print_json(trace.model_dump(mode="json"))
        return
    from ..tracing.archive import NO_THREAD
    from ..tracing.terminal import steps_table
    from ..tracing.wording import name

    shown = steps[0].thread or NO_THREAD
    hint(f"thread {name(shown)}")
    print_rich(steps_table(steps))
    hint("")
    hint(f"steprouter show {quoted(shown)} --step 1   explains a step")
    others = len(traces.threads()) - 1
    if thread is None and others > 0:
        hint(f"steprouter show --threads   lists the other threads ({others} of them)")


def show_step(traces: Traces, thread: str | None, wanted: str, *, json: bool) -> None:
    """One step, by its number in the thread's table, its id or the beginning of its id."""
    from ..tracing.archive import NO_THREAD
    from ..tracing.story import step_story
    from ..tracing.totals import numbered

    trace = traces.get(wanted)
    steps = found_steps(traces, thread if trace is None else trace.thread or NO_THREAD)
    known = {n: one for n, one in numbered(steps) if n is not None}
    numbers = [n for n, one in known.items() if wanted in (str(n), one.step_id)] or [
        n for n, one in known.items() if one.step_id.startswith(wanted)
    ]
    if trace is None and len(numbers) != 1:
        problem = "fits several steps" if numbers else "is no step"
        fail(
            f"--step {wanted!r} {problem} of thread {steps[0].thread or NO_THREAD!r}, which has steps 1 to "
            f"{len(known)}; give a number or a whole id",
            NOT_FOUND,
        )
    trace = trace or known[numbers[0]]
    if json:
        print_json(trace.model_dump(mode="json"))
    else:
        print_rich(step_story(trace, numbers[0] if numbers else None))


def found_steps(traces: Traces, thread: str | None) -> list[Trace]:
    """The steps of a thread; ends the command where there are none."""
    steps = traces.list(thread)
    if not steps:
        fail(nothing_kept(traces) if thread is None else unknown_thread(traces, thread), NOT_FOUND)
    return steps


def unknown_thread(traces: Traces, thread: str) -> str:
    """That a thread is not kept, and which may have been meant."""
    from difflib import get_close_matches

    near = get_close_matches(thread, [line.thread for line in traces.threads()], n=1)
    meant = f"did you mean {near[0]!r}?" if near else "`steprouter show --threads` lists those that are"
    return f"no steps of thread {thread!r} are kept for tenant {traces.tenant!r}; {meant}"


def nothing_kept(traces: Traces) -> str:
    """That there is nothing to show, and what to do."""
    return (
        f"no steps are kept yet for tenant {traces.tenant!r} in this store; run your agent first, or name "
        "another place with --store, --tenant or --config"
    )


@contextmanager
def reading(config: Path | None, store: str | None, tenant: str | None) -> Iterator[Traces]:
    """The traces of the place that options, environment and configuration name, in this order."""
    from ..store import MemoryTraces, connect, open_traces
    from ..tracing.archive import Traces

    place = place_of(config or found_config())
    connection = connect(store or place.store)
    try:
        keeper = open_traces(connection)
        if isinstance(keeper, MemoryTraces):
            reason = connection.facts.reason if connection.facts else None
            why = f" (memory because {reason})" if reason else ""
            fail(
                f"traces in memory are seen only by the process that made them{why}; read `router.traces` "
                "there, or give the router a store that lasts",
                NOT_FOUND,
            )
        yield Traces(lambda: keeper, tenant=tenant or place.tenant or "default")
    finally:
        connection.close()


def place_of(config: Path | None) -> StorePlace:
    """Where traces are kept."""
    from ..config import load_place

    return load_place(config)


def found_config() -> Path | None:
    """The configuration in this directory, if it is there."""
    # Written out here as in `config.FILE_NAME`, whose import would cost `--help` half a second.
    path = Path("steprouter.yaml")
    return path if path.is_file() else None


# Deciding and examining


def show_decision(decision: Decision, *, json: bool) -> None:
    """A decision as a table, or as JSON."""
    from dataclasses import asdict

    if json:
        print_json(asdict(decision))
        return
    from ..tracing.make import candidate_record
    from ..tracing.story import candidates_table
    from ..tracing.wording import name, visible

    first = decision.candidate(decision.models[0])
    typer.echo(f"{name(first.model)} would be asked first: {visible(first.reason)}")
    if decision.rule:
        typer.echo(f"rule that matched: {visible(decision.rule)}")
    hint("")
    print_rich(candidates_table([candidate_record(candidate) for candidate in decision.candidates]))
    hint("")
    hint("Nobody was called. In an agent its tools, its node and what was said before count too.")


def examine(config: Path | None, store: str | None, *, call: bool, readmit: str | None) -> Iterator[Finding]:
    """Everything that `doctor` looks at, after letting a model in again if that is wanted."""
    from ..config import load
    from ..errors import ConfigError
    from . import doctor as doctors

    if readmit is not None and config is None:
        fail("--readmit needs a configuration: there is no steprouter.yaml in this directory; see --config", BAD_INPUT)
    yield from doctors.examine_installation()
    found = doctors.examine_place(store or place_of(config).store)
    yield from found
    if config is None:
        text = "there is no steprouter.yaml in this directory, so no models were looked at; see --config"
        yield doctors.Finding(level="note", subject="configuration", text=text)
        return
    try:
        settings = load(config)
    except ConfigError as error:
        yield doctors.Finding(level="error", subject="configuration", text=str(error))
        return
    yield doctors.Finding(level="ok", subject="configuration", text=str(config))
    models = [*doctors.examine_models(settings.models), *doctors.examine_policy(settings.policy, settings.models)]
    yield from models
    if readmit is not None or not doctors.has_error([*found, *models]):
        from .conditions import examine_conditions

        yield from examine_conditions(settings, store, readmit)
    if call:
        yield from doctors.call_models(settings.models)


def print_findings(findings: Sequence[Finding]) -> None:
    """The findings, one below the other, and what they come to."""
    from ..tracing.terminal import findings_table
    from ..tracing.wording import number_of

    print_rich(findings_table([(f.level, f.subject, f.text) for f in findings]))
    errors = sum(finding.level == "error" for finding in findings)
    typer.echo(f"\n{number_of(errors, 'error')}" if errors else "\nno errors")


# Printing


def print_rich(what: RenderableType) -> None:
    """Prints for the width of the terminal; colours only where one is and NO_COLOR is not set."""
    from rich.console import Console

    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A terminal that is not UTF-8 gets escapes instead of a traceback.
        reconfigure(errors="backslashreplace")
    Console(highlight=False, markup=False, emoji=False).print(what)


def print_json(value: Mapping[str, Any]) -> None:
    """One line of ASCII, so that nothing in it moves the cursor or turns the direction of writing."""
    typer.echo(json_text.dumps(value, ensure_ascii=True, default=str).replace("\x7f", "\\u007f"))


def hint(text: str) -> None:
    """A line that helps but is not the answer: dim, and harmless already."""
    typer.secho(text, dim=True)


def quoted(thread: str) -> str:
    """A thread id as a shell takes it, shown harmlessly."""
    from ..tracing.wording import visible

    return visible(shlex.quote(thread), 80)


def fail(message: str, code: int) -> NoReturn:
    """Says in one line what is wrong, and ends."""
    from ..tracing.wording import visible

    typer.secho(f"steprouter: {visible(message, 2000)}", err=True)
    raise typer.Exit(code)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Our own errors as one line without a traceback."""
    from ..errors import ConfigError, StepRouterError

    try:
        yield
    except ConfigError as error:
        fail(str(error), BAD_INPUT)
    except StepRouterError as error:
        fail(str(error), NOT_FOUND)
