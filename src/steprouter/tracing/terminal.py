"""Traces as people read them in a terminal: the steps of a thread, and the story of one step.

Everything that came from outside goes through `wording.visible` and into `Text`, never into markup. Columns
that do not fit are left out in a fixed order, so that the same width always shows the same table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from .columns import Column, FittingTable, cells
from .record import AttemptRecord, CandidateRecord, FeedbackRecord, PassedRecord, Trace
from .totals import Totals, comparison
from .wording import duration, in_and_out, listed, money, name, number_of, percent, visible

PHASES = {
    "before_first_token": "before its first token",
    "in_text": "in the middle of its text",
    "in_tool_call": "in the middle of a tool call",
}

ENDINGS = {
    "cancelled": "the caller cancelled it",
    "bad_request": "the request itself is at fault, so no other model was asked",
    "broken": "the answer broke off after part of it was shown, which cannot be taken back",
    "exhausted": "every model that might be tried failed",
}


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


# The steps of a thread


def steps_table(traces: Sequence[Trace]) -> RenderableType:
    """The steps of a thread, oldest first, with totals and one sentence that sums them up."""
    if not traces:
        return Text("no steps")
    return Group(FittingTable(step_columns(traces)), Text(), summary(traces))


def step_columns(traces: Sequence[Trace]) -> tuple[Column, ...]:
    """The columns of the table of steps, in reading order."""
    sums = Totals.of(traces)
    tokens = in_and_out(sum(t.input_tokens_billed for t in traces), sum(t.output_tokens_billed for t in traces))
    return (
        Column(header="#", cells=cells((str(n) for n in range(1, len(traces) + 1)), "dim"), right=True),
        Column(header="node", cells=cells(name(t.node) for t in traces), rank=4, least=8),
        Column(header="kind", cells=cells(name(t.kind) for t in traces), rank=3),
        Column(header="model", cells=tuple(model_cell(t) for t in traces), least=8, foot="total"),
        Column(header="why", cells=tuple(why_cell(t) for t in traces), least=22, rank=1),
        Column(header="tries", cells=cells(tries(t) for t in traces), rank=7, right=True),
        Column(header="in/out", cells=cells(billed(t) for t in traces), foot=tokens, rank=6, right=True),
        Column(header="cost", cells=cells(money(t.cost_usd) for t in traces), foot=money(sums.cost_usd), right=True),
        Column(
            header="reference",
            cells=cells(money(t.reference_cost_usd) for t in traces),
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
        return Text("none", style="red")
    return Text(name(trace.model), style="green" if trace.outcome == "sufficient" else "yellow")


def saved_cell(trace: Trace) -> Text:
    """What a step saved, in per cent where that means something."""
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
    if trace.model is None:
        last = f": {result(trace.attempts[-1])}" if trace.attempts else ""
        return Text(visible(f"{trace.outcome}{last}", 80), style="red")
    if trace.outcome == "insufficient":
        problems = trace.answer.problems if trace.answer else ()
        return Text(visible(f"best there was: {'; '.join(problems)}", 80), style="yellow")
    return Text(visible(short_reason(trace), 80))


def short_reason(trace: Trace) -> str:
    """The reason of the attempt that answered, without the figures that the story has."""
    answer = trace.answer
    if trace.cache == "hit":
        return "from the cache"
    why = answer.why if answer else trace.reason
    if answer is None or answer is trace.attempts[0]:
        rule = f"rule {trace.rule!r}: " if trace.rule else ""
        reason = re.split(r", which | \(", why, maxsplit=1)[0]
        return rule + re.sub(r"\b(tier \w+) or above$", r"\1+", reason)
    if " was not sufficient: " in why:
        return "escalated: " + why.split(" was not sufficient: ", 1)[1]
    return f"after {why}"


def summary(traces: Sequence[Trace]) -> Text:
    """The steps in one sentence: who answered how many, what it cost, what it saved."""
    answered = Counter(trace.model for trace in traces)
    parts = [f"{n} on {name(model)}" for model, n in answered.most_common() if model is not None]
    parts += [f"{answered[None]} without an answer"] if answered[None] else []
    references = sorted({name(trace.reference) for trace in traces if trace.reference is not None})
    return Text(
        f"{number_of(len(traces), 'step')}, {', '.join(parts)}: {comparison(Totals.of(traces), references)}.",
        style="bold",
    )


# The story of one step


def step_story(trace: Trace, number: int | None = None) -> RenderableType:
    """One step explained: a sentence, the candidates, the attempts, and what else is known.

    Args:
        trace: The step.
        number: Its place in the table of its thread, from 1.
    """
    parts: list[RenderableType] = [headline(trace, number), Text()]
    if trace.candidates:
        parts += [Text("Candidates, in the order of the decision", style="bold")]
        parts += [candidates_table(trace.candidates), Text()]
    if trace.attempts:
        parts += [Text("Attempts", style="bold"), attempts_table(trace.attempts), Text()]
        parts += [attempt_line(n, attempt) for n, attempt in enumerate(trace.attempts, 1)]
        parts += [Text()]
    if trace.passed:
        parts += [Text("Could not be asked", style="bold"), *(passed_line(one) for one in trace.passed[:20]), Text()]
    return Group(*parts, Text("What else is known", style="bold"), facts_table(trace))


def headline(trace: Trace, number: int | None) -> Text:
    """Who answered and why, in a sentence."""
    step = f"Step {number}" if number is not None else f"Step {name(trace.step_id)}"
    node = "" if trace.node is None else f" at node {name(trace.node)}"
    start = f"{step} ({name(trace.kind)}{node}): "
    failed = listed([fate(attempt) for attempt in trace.attempts if attempt is not trace.answer])
    if trace.model is None:
        ending = ENDINGS.get(trace.outcome, visible(trace.outcome))
        return Text(f"{start}no model answered: {'; '.join(filter(None, [ending, failed]))}.", style="bold")
    if trace.cache == "hit":
        return Text(f"{start}answered from the cache, with an answer of {name(trace.model)}.", style="bold")
    because = visible(next((c.reason for c in trace.candidates if c.model == trace.model), trace.reason))
    best = "" if trace.outcome == "sufficient" else ", as the best there was,"
    if failed:
        return Text(f"{start}{failed}, so {name(trace.model)} answered{best} ({because}).", style="bold")
    return Text(f"{start}{name(trace.model)} answered{best}: {because}.", style="bold")


def fate(attempt: AttemptRecord) -> str:
    """What became of an attempt whose answer was not given."""
    failure, model = attempt.failure, name(attempt.model)
    if attempt.lost_race:
        return f"{model} was slower"
    if failure is None:
        return f"{model} was not sufficient ({visible('; '.join(attempt.problems), 160) or 'unknown why'})"
    status = f" with {failure.status}" if failure.status and failure.status >= 400 else ""
    return f"{model} failed{status} ({visible(failure.kind, 40)})"


def candidates_table(candidates: Sequence[CandidateRecord]) -> RenderableType:
    """Every model as the decision saw it."""
    styles = ["" if candidate.kept else "dim" for candidate in candidates]

    def styled(texts: Iterable[str]) -> tuple[Text, ...]:
        return tuple(Text(text, style=style) for text, style in zip(texts, styles, strict=True))

    return FittingTable(
        (
            Column(header="model", cells=styled(name(c.model) for c in candidates), least=8),
            Column(header="", cells=styled("kept" if c.kept else "refused" for c in candidates)),
            Column(header="tier", cells=styled(name(c.tier) for c in candidates), rank=2),
            Column(
                header="expected cost",
                cells=styled(money(c.expected_usd) for c in candidates),
                rank=1,
                right=True,
            ),
            Column(header="reason", cells=styled(visible(c.reason) for c in candidates), least=24),
        )
    )


def attempts_table(attempts: Sequence[AttemptRecord]) -> RenderableType:
    """What was tried, with figures; the reasons are sentences below it."""
    tokens = (in_and_out(a.input_tokens, a.output_tokens, estimated=a.estimated) for a in attempts)
    first = (duration(a.first_token_seconds) for a in attempts)
    return FittingTable(
        (
            Column(header="#", cells=cells((str(n) for n in range(1, len(attempts) + 1)), "dim"), right=True),
            Column(header="model", cells=cells(name(a.model) for a in attempts), least=8),
            Column(header="result", cells=tuple(result_cell(a) for a in attempts), least=10),
            Column(header="began", cells=cells(f"+{duration(a.began_seconds)}" for a in attempts), rank=3, right=True),
            Column(header="1st token", cells=cells(first), rank=2, right=True),
            Column(header="took", cells=cells(duration(a.seconds) for a in attempts), rank=1, right=True),
            Column(header="in/out", cells=cells(tokens), rank=4, right=True),
            Column(header="cached", cells=cells(cached(a) for a in attempts), rank=5, right=True),
            Column(header="cost", cells=cells(money(a.cost_usd) for a in attempts), right=True),
        )
    )


def result_cell(attempt: AttemptRecord) -> Text:
    """How an attempt ended, in a word or two."""
    style = "red" if attempt.failure else "yellow" if attempt.problems else "green"
    return Text(result(attempt), style=style)


def result(attempt: AttemptRecord) -> str:
    """`ok`, `not sufficient`, or the kind of failure with its HTTP status."""
    failure = attempt.failure
    if attempt.lost_race:
        return "lost the race"
    if failure is None:
        return "not sufficient" if attempt.problems else "ok"
    return visible(f"{failure.kind} {failure.status}" if failure.status else failure.kind, 40)


def cached(attempt: AttemptRecord) -> str:
    """Share of the prompt that the provider's prompt cache served."""
    if not attempt.cache_read_tokens or not attempt.input_tokens:
        return "–"
    return percent(attempt.cache_read_tokens, attempt.input_tokens)


def attempt_line(number: int, attempt: AttemptRecord) -> RenderableType:
    """Why an attempt was made and how it ended, in words."""
    line = Text(f"{number}. {name(attempt.model)}")
    line.append(f" was tried first: {visible(attempt.why)}." if number == 1 else f", because {visible(attempt.why)}.")
    line.append(circumstances(attempt))
    failure = attempt.failure
    if attempt.lost_race:
        line.append(" Another call answered first, and this one was ended.")
    elif failure is not None:
        phase = PHASES.get(failure.phase, visible(failure.phase, 40))
        said = ": ".join(visible(part) for part in (failure.code, failure.text) if part)
        line.append(f" It failed {phase}{f', saying: {said}' if said else ''}.")
    if attempt.problems:
        line.append(f" Its answer was not sufficient: {visible('; '.join(attempt.problems))}.")
    if attempt.shown_characters and failure is not None:
        line.append(f" {number_of(attempt.shown_characters, 'character')} of it had been shown.")
    if attempt.finish is not None and failure is None:
        line.append(f" It ended with {visible(attempt.finish, 40)}.")
    return Padding(line, (0, 0, 0, 2))


def circumstances(attempt: AttemptRecord) -> str:
    """What was particular about an attempt, in sentences."""
    told = []
    if attempt.waited_seconds:
        told.append(f"{duration(attempt.waited_seconds)} were waited before.")
    if attempt.is_probe:
        told.append("It was the probe of an open circuit.")
    if attempt.redacted:
        told.append("Personal data and secrets were replaced in what it was asked.")
    if attempt.repairs:
        told.append(f"In the history that others wrote: {visible('; '.join(attempt.repairs), 200)}.")
    return "".join(f" {sentence}" for sentence in told)


def passed_line(passed: PassedRecord) -> RenderableType:
    """Who could not be asked, and why."""
    line = Text(f"{name(passed.model)} could not be asked at +{duration(passed.at_seconds)}: {visible(passed.why)}")
    return Padding(line, (0, 0, 0, 2))


def facts_table(trace: Trace) -> RenderableType:
    """What else the trace knows, one fact a line."""
    facts = [(label, text) for label, text in facts_of(trace) if text]
    return FittingTable(
        (
            Column(header="", cells=cells((label for label, _ in facts), "dim")),
            Column(header="", cells=cells(text for _, text in facts), least=20),
        )
    )


def facts_of(trace: Trace) -> Iterable[tuple[str, str]]:
    """Facts with their labels; what is not known has no text."""
    references = [name(trace.reference)] if trace.reference is not None else []
    yield "kind", f"{name(trace.kind)}, because {visible(trace.kind_from)}" if trace.kind_from else ""
    yield "rule", visible(trace.rule) if trace.rule else ""
    yield "prompt", f"~{trace.input_tokens} tokens when the decision was made" if trace.input_tokens else ""
    yield "cost", comparison(Totals.of([trace]), references)
    yield "time", f"{duration(trace.seconds)}, of which the router's own {duration(trace.router_seconds)}"
    yield "cache", "" if trace.cache == "off" else trace.cache
    yield "resumed", visible("; ".join(trace.resumed))
    yield "degraded", visible("; ".join(trace.degraded))
    yield "feedback", "; ".join(verdict(feedback) for feedback in trace.feedback[:20])
    yield "thread", name(trace.thread) if trace.thread is not None else ""
    yield "graph step", "" if trace.graph_step is None else str(trace.graph_step)
    yield "task", visible(trace.task, 80) if trace.task else ""
    yield "step id", visible(trace.step_id, 80)


def verdict(feedback: FeedbackRecord) -> str:
    """A verdict in words."""
    reason = f" ({visible(feedback.reason)})" if feedback.reason else ""
    return f"score {feedback.score:g}{reason}"


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
