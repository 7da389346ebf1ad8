"""Traces as people read them in a terminal: the steps of a thread, the threads, and what an examination found.

Everything that came from outside goes through `wording.visible` and into `Text`, never into markup. Columns
that do not fit are left out in a fixed order, so that the same width always shows the same table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from rich.console import Group, RenderableType
from rich.text import Text

from .columns import Column, FittingTable, cells
from .reasons import in_short
from .record import Trace
from .totals import Totals, comparison, numbered
from .wording import duration, in_and_out, money, name, number_of, percent, visible


class Line(Protocol):
    """A thread as a list shows it."""

    @property
    def thread(self) -> str:
        """Its id."""
        ...

    @property
    def steps(self) -> int:
        """How many steps of it are kept."""
        ...

    @property
    def last_at(self) -> float:
        """When its newest step started, Unix time in seconds."""
        ...


WHY_CHARACTERS = 120
"""Of a short reason: five lines of its column in a terminal of 80 columns; the story has the rest."""

# The steps of a thread


def steps_table(traces: Sequence[Trace]) -> RenderableType:
    """The steps of a thread, oldest first, with totals and one sentence that sums them up."""
    if not traces:
        return Text("no steps")
    return Group(FittingTable(step_columns(traces)), Text(), summary(traces))


def step_columns(traces: Sequence[Trace]) -> tuple[Column, ...]:
    """The columns of the table of steps, in reading order."""
    lines = numbered(traces)
    traces, sums = [trace for _, trace in lines], Totals.of(traces)
    tokens = in_and_out(sum(t.input_tokens_billed for t in traces), sum(t.output_tokens_billed for t in traces))
    return (
        Column(header="#", cells=cells(("" if n is None else str(n) for n, _ in lines), "dim"), right=True),
        Column(header="node", cells=cells(name(t.node) for t in traces), rank=4, least=8),
        Column(header="kind", cells=cells(name(t.kind) for t in traces), rank=3),
        Column(header="model", cells=tuple(model_cell(t) for t in traces), least=8, foot="total"),
        Column(header="why", cells=tuple(why_cell(t) for t in traces), least=22, rank=1),
        Column(header="tries", cells=cells(tries(t) for t in traces), rank=7, right=True),
        Column(header="in/out", cells=cells(billed(t) for t in traces), foot=tokens, rank=6, right=True),
        Column(header="cost", cells=cells(money(t.cost_usd) for t in traces), foot=money(sums.cost_usd), right=True),
        Column(
            header="reference",
            cells=cells("–" if t.probe_of is not None else money(t.reference_cost_usd) for t in traces),
            foot=money(sums.reference_usd),
            rank=8,
            right=True,
        ),
        Column(
            header="saved",
            cells=tuple(saved_cell(t) for t in traces),
            foot=saving(sums.saved_usd, sums.reference_usd),
            rank=2,
            right=True,
        ),
        Column(
            header="time",
            cells=cells(duration(t.seconds) for t in traces),
            foot=duration(sum(t.seconds for t in traces)),
            rank=5,
            right=True,
        ),
    )


def model_cell(trace: Trace) -> Text:
    """Who answered."""
    if trace.model is None:
        return Text("none", style="red" if trace.probe_of is None else "dim")
    if trace.probe_of is not None:
        return Text(name(trace.model), style="dim")
    return Text(name(trace.model), style="green" if trace.outcome == "sufficient" else "yellow")


def saved_cell(trace: Trace) -> Text:
    """What a step saved, in per cent where that means something."""
    if trace.probe_of is not None:
        return Text("–", style="dim")
    lost = trace.saved_usd is not None and trace.saved_usd < 0
    return Text(saving(trace.saved_usd, trace.reference_cost_usd), style="red" if lost else "")


def saving(saved: float | None, reference: float | None) -> str:
    """A saving for a column: per cent of the reference, a sum where the reference costs nothing."""
    return money(saved) if saved is None or not reference else percent(saved, reference)


def billed(trace: Trace) -> str:
    """Tokens that a step is billed for, failed attempts included."""
    estimated = any(attempt.estimated for attempt in trace.attempts)
    return in_and_out(trace.input_tokens_billed, trace.output_tokens_billed, estimated=estimated)


def tries(trace: Trace) -> str:
    """How many models were called; those after the first failed or were not sufficient."""
    return str(len(trace.attempts))


def why_cell(trace: Trace) -> Text:
    """Why this model answered, or why none did, in a few words."""
    if trace.probe_of is not None:
        return Text(visible(in_short(trace), WHY_CHARACTERS), style="dim")
    style = "red" if trace.model is None else "" if trace.outcome == "sufficient" else "yellow"
    return Text(visible(in_short(trace), WHY_CHARACTERS), style=style)


def summary(traces: Sequence[Trace]) -> Text:
    """The steps in one sentence: who answered how many, what it cost, what it saved."""
    steps = [trace for trace in traces if trace.probe_of is None]
    answered, probes = Counter(trace.model for trace in steps), len(traces) - len(steps)
    parts = [f"{n} on {name(model)}" for model, n in answered.most_common() if model is not None]
    parts += [f"{answered[None]} without an answer"] if answered[None] else []
    parts += [f"beside them {number_of(probes, 'probe')}"] if probes else []
    references = sorted({name(trace.reference) for trace in traces if trace.reference is not None})
    return Text(
        f"{number_of(len(steps), 'step')}, {', '.join(parts)}: {comparison(Totals.of(traces), references)}.",
        style="bold",
    )


# Threads


def threads_table(lines: Sequence[Line], *, zone: tzinfo = UTC) -> RenderableType:
    """The threads that are kept, the one with the newest step first; times are those of `zone`."""
    if not lines:
        return Text("no threads")
    return FittingTable(
        (
            Column(header="thread", cells=cells(name(line.thread) for line in lines), least=16),
            Column(header="steps", cells=cells(str(line.steps) for line in lines), right=True),
            Column(header="last step", cells=cells(moment(line.last_at, zone) for line in lines), rank=1),
        )
    )


def moment(at: float, zone: tzinfo) -> str:
    """A Unix time on the clock of `zone`; a dash where it is none."""
    try:
        return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except (ValueError, OverflowError, OSError):
        return "–"


# What an examination found


def findings_table(findings: Sequence[tuple[str, str, str]]) -> RenderableType:
    """Findings as level (`ok`, `note`, `error`), subject and text."""
    styles = {"ok": "green", "note": "yellow", "error": "bold red"}
    return FittingTable(
        (
            Column(header="", cells=tuple(Text(level, style=styles.get(level, "")) for level, _, _ in findings)),
            Column(header="", cells=cells(name(subject) for _, subject, _ in findings), least=12),
            Column(header="", cells=cells(visible(text, 2000) for _, _, text in findings), least=24),
        )
    )
