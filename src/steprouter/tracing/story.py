"""One step explained in a terminal: a sentence, the candidates, what was tried, and what else is known.

Everything that came from outside goes through `wording.visible` and into `Text`, never into markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from .columns import Column, FittingTable, cells
from .reasons import (
    FALLBACK,
    MESSAGE,
    REROUTED,
    ahead,
    barrier,
    because,
    before,
    distinct,
    not_asked,
    result,
    waited_seconds,
)
from .record import AttemptRecord, CandidateRecord, FeedbackRecord, PassedRecord, ResumedRecord, TieBreakRecord, Trace
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
    "content_filtered": "it was refused on content, and the policy wants no other model to be asked",
    "budget": "a budget is used up",
    "deadline": "the time it may take was over",
    "exhausted": "every model that might be tried failed",
}

COMPARISONS = {
    "the same": "it said the same as was given",
    "other arguments": "it called the same tools with other arguments",
    "other calls": "it called other tools, or none",
    "other words": "it said something else",
    "insufficient": "it failed a check",
    "judged": "a judge compared it with what was given",
    "not judged": "nothing could be said of it",
    "failed": "the call failed",
    "cancelled": "it was ended when the router was closed",
}
"""What came of a probe, by the outcome of its trace."""

HELD_BY = {"budget": "a budget", "limit": "a limit", "breaker": "its circuit breaker"}

MOST_PASSED = 20
"""Lines on models that could not be asked; a step waits for each of them, so there are rarely more than a few."""


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
    if trace.attempts and trace.cache != "hit":
        parts += [Text("Attempts", style="bold"), attempts_table(trace.attempts), Text()]
        parts += [attempt_line(n, trace) for n in range(1, len(trace.attempts) + 1)]
        parts += [Text()]
    if trace.passed:
        parts += [Text("Could not be asked", style="bold")]
        parts += [*(passed_line(one) for one in trace.passed[:MOST_PASSED]), Text()]
    return Group(*parts, Text("What else is known", style="bold"), facts_table(trace))


# The sentence


def headline(trace: Trace, number: int | None) -> Text:
    """Who answered and why, in a sentence."""
    step = f"Step {number}" if number is not None else f"Step {name(trace.step_id)}"
    node = "" if trace.node is None else f" at node {name(trace.node)}"
    return Text(f"{step} ({name(trace.kind)}{node}): {told(trace)}.", style="bold")


def told(trace: Trace) -> str:
    """What a step came to."""
    if trace.probe_of is not None:
        asked = f"a probe of step {visible(trace.probe_of, 80)} asked {name(probed_model(trace))} too, unseen"
        return f"{asked}; {COMPARISONS.get(trace.outcome, visible(trace.outcome))}"
    if trace.cache == "hit":
        return f"answered from the cache, {visible(trace.reason)}"
    clauses = [fate(one) for one in trace.attempts if one is not trace.answer]
    happened = listed([*distinct(clauses), *distinct(not_asked(one) for one in trace.passed)])
    if trace.model is None:
        ending = ENDINGS.get(trace.outcome, visible(trace.outcome))
        return f"no model answered: {'; '.join(filter(None, [ending, happened]))}"
    if happened:
        return f"{happened}, so {manner(trace)}"
    return first_choice(trace)


def probed_model(trace: Trace) -> str | None:
    """The model that a probe asked."""
    return trace.model or next((attempt.model for attempt in trace.attempts), None)


def fate(attempt: AttemptRecord) -> str:
    """What became of an attempt whose answer was not given."""
    failure, model = attempt.failure, name(attempt.model)
    if attempt.lost_race:
        return f"{model} was slower"
    if failure is None:
        return f"{model} was not sufficient ({visible('; '.join(attempt.problems), 160) or 'unknown why'})"
    return f"{model} failed{status_of(attempt)}"


def status_of(attempt: AttemptRecord) -> str:
    """How a call failed: its HTTP status, and what kind of failure that is."""
    failure = attempt.failure
    if failure is None:
        return ""
    status = f" with {failure.status}" if failure.status and failure.status >= 400 else ""
    return f"{status} ({visible(failure.kind, 40)})"


def manner(trace: Trace) -> str:
    """Who answered after all, and how that came about."""
    answer, model = trace.answer, name(trace.model)
    best = "" if trace.outcome == "sufficient" else ", as the best there was,"
    if answer is None:
        return f"{model} answered{best}{grounds(trace)}"
    if answer.why == MESSAGE:
        return "the policy's own message was given"
    later = f" {duration(answer.waited_seconds)} later" if answer.waited_seconds else ""
    redacted = ", with personal data and secrets replaced," if answer.redacted else ""
    if answer.model in {one.model for one in before(trace)}:
        return f"{model} was asked again{later}{redacted} and answered{best}"
    if answer.model in {one.model for one in trace.passed}:
        return f"{model} was waited for and answered{later}{best}"
    if any(one.lost_race for one in trace.attempts) and not before(trace):
        return f"{model} answered{best} ({visible(answer.why)})"
    if answer.why.endswith(FALLBACK):
        return f"its fallback {model} answered{best}"
    if answer.why.endswith(REROUTED):
        return f"{model} answered{best}, to which the policy reroutes"
    return f"{model} answered{best}{redacted}{grounds(trace)}"


def grounds(trace: Trace) -> str:
    """Why the model that answered stood where it stood, in brackets."""
    reason = because(trace)
    return f" ({reason})" if reason else ""


def first_choice(trace: Trace) -> str:
    """Why the first answered, and who would have before it."""
    model, reason = name(trace.model), because(trace)
    best = "" if trace.outcome == "sufficient" else ", as the best there was,"
    blocked = ahead(reason) if not reason.startswith("observe mode") else {}
    if not blocked:
        return f"{model} answered{best}: {reason}"
    others = listed([f"{name(one)} ({visible(barrier(why), 160)})" for one, why in blocked.items()])
    return f"{model} answered{best} instead of {others}"


# Tables and sentences


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
            Column(header="odds", cells=styled(odds(c) for c in candidates), rank=3, right=True),
            Column(
                header="expected cost",
                cells=styled(money(c.expected_usd if c.total_usd is None else c.total_usd) for c in candidates),
                rank=1,
                right=True,
            ),
            Column(header="reason", cells=styled(visible(c.reason) for c in candidates), least=24),
        )
    )


def odds(candidate: CandidateRecord) -> str:
    """How likely a candidate was to do the step well, and how sure that was."""
    if candidate.success is None or candidate.sd is None:
        return "–"
    return f"{candidate.success:.0%} ±{candidate.sd:.0%}"


def attempts_table(attempts: Sequence[AttemptRecord]) -> RenderableType:
    """What was tried, with figures; the reasons are sentences below it."""
    tokens = (in_and_out(a.input_tokens, a.output_tokens, estimated=a.estimated) for a in attempts)
    first = (duration(a.first_token_seconds) for a in attempts)
    waited = (duration(a.waited_seconds) if a.waited_seconds else "–" for a in attempts)
    return FittingTable(
        (
            Column(header="#", cells=cells((str(n) for n in range(1, len(attempts) + 1)), "dim"), right=True),
            Column(header="model", cells=cells(name(a.model) for a in attempts), least=8),
            Column(header="result", cells=tuple(result_cell(a) for a in attempts), least=10),
            Column(header="waited", cells=cells(waited), rank=2, right=True),
            Column(header="began", cells=cells(f"+{duration(a.began_seconds)}" for a in attempts), rank=4, right=True),
            Column(header="1st token", cells=cells(first), rank=3, right=True),
            Column(header="took", cells=cells(duration(a.seconds) for a in attempts), rank=1, right=True),
            Column(header="in/out", cells=cells(tokens), rank=5, right=True),
            Column(header="cached", cells=cells(cached(a) for a in attempts), rank=6, right=True),
            Column(header="cost", cells=cells(money(a.cost_usd) for a in attempts), right=True),
        )
    )


def result_cell(attempt: AttemptRecord) -> Text:
    """How an attempt ended, in a word or two."""
    is_weak = attempt.problems or attempt.lost_race
    return Text(result(attempt), style="yellow" if is_weak else "red" if attempt.failure else "green")


def cached(attempt: AttemptRecord) -> str:
    """Share of the prompt that the provider's prompt cache served."""
    if not attempt.cache_read_tokens or not attempt.input_tokens:
        return "–"
    return percent(attempt.cache_read_tokens, attempt.input_tokens)


def attempt_line(number: int, trace: Trace) -> RenderableType:
    """Why an attempt was made and how it ended, in words."""
    attempt = trace.attempts[number - 1]
    if attempt.why == MESSAGE:
        return Padding(Text(f"{number}. The policy's own message was given instead of an answer."), (0, 0, 0, 2))
    is_first = number == 1 and all(one.at_seconds > attempt.began_seconds for one in trace.passed)
    why = "was tried first:" if is_first else "was asked because"
    sentences = [f"{number}. {name(attempt.model)} {why} {visible(attempt.why)}", *circumstances(attempt)]
    sentences += ending_of(attempt)
    return Padding(Text(" ".join(map(sentence, sentences))), (0, 0, 0, 2))


def sentence(text: str) -> str:
    """Text that ends as a sentence does, whatever a provider ended it with."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def circumstances(attempt: AttemptRecord) -> Iterable[str]:
    """What was particular about an attempt, in sentences."""
    if attempt.waited_seconds and f"{duration(attempt.waited_seconds)}" not in attempt.why:
        yield f"{duration(attempt.waited_seconds)} were waited before"
    if attempt.is_probe:
        yield "It was the probe of an open circuit"
    if attempt.redacted:
        yield "Personal data and secrets were replaced in what it was asked"
    if attempt.is_earlier:
        yield "That was in a process that has ended since"
    if attempt.resumed is not None:
        if attempt.resumed.skipped:
            skipped = "; ".join(f"{one.rung} with {one.model}: {one.why}" for one in attempt.resumed.skipped)
            yield f"Other ways to go on were not open: {visible(skipped, 300)}"
        if attempt.resumed.failed:
            yield f"Nothing came of it: {visible(attempt.resumed.failed)}"
    if attempt.kept_after is not None:
        yield f"The stream broke ({visible(attempt.kept_after.kind, 40)}) when all that was needed had come"
    if attempt.repairs:
        yield f"In the history that others wrote: {visible('; '.join(attempt.repairs), 200)}"


def ending_of(attempt: AttemptRecord) -> Iterable[str]:
    """How an attempt ended, in sentences."""
    failure = attempt.failure
    if attempt.lost_race:
        yield "Another call answered first, and this one was ended"
        return
    if failure is not None:
        phase = PHASES.get(failure.phase, visible(failure.phase, 40))
        said = ": ".join(visible(part) for part in (failure.code, failure.text) if part)
        yield f"It failed {phase}{status_of(attempt)}{f', saying: {said}' if said else ''}"
    if attempt.problems:
        yield f"Its answer was not sufficient: {visible('; '.join(attempt.problems))}"
    if attempt.shown_characters and failure is not None:
        yield f"{number_of(attempt.shown_characters, 'character')} of it had been shown"
    if attempt.finish is not None and failure is None:
        yield f"It ended with {visible(attempt.finish, 40)}"


def resumption(resumed: ResumedRecord) -> str:
    """Where an answer went on, and how, in words."""
    who = "it" if resumed.model == resumed.left else name(resumed.model)
    doubt = "" if resumed.is_certain else ", the likelier of two ways to join them"
    dropped = f", {number_of(resumed.dropped_characters, 'character')} said again" if resumed.dropped_characters else ""
    place = f"after {number_of(resumed.at_char, 'character')}"
    return f"{name(resumed.left)} broke off {place} and {who} went on by {name(resumed.rung)}{dropped}{doubt}"


def passed_line(passed: PassedRecord) -> RenderableType:
    """Who could not be asked, when, and why."""
    at = f"+{duration(passed.at_seconds)}"
    by = HELD_BY.get(passed.by, name(passed.by))
    line = f"{name(passed.model)} at {at}, held back by {by}: {visible(passed.why)}"
    return Padding(Text(sentence(line)), (0, 0, 0, 2))


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
    waited = waited_seconds(trace)
    yield "kind", f"{name(trace.kind)}, because {visible(trace.kind_from)}" if trace.kind_from else ""
    yield "rule", visible(trace.rule) if trace.rule else ""
    yield "route", routes_told(trace)
    yield "tie-break", "" if trace.tie_break is None else tie_break_told(trace.tie_break)
    yield "prompt", f"~{trace.input_tokens} tokens when the decision was made" if trace.input_tokens else ""
    yield "cost", comparison(Totals.of([trace]), references) if trace.probe_of is None else money(trace.cost_usd)
    yield "worth", "" if trace.score is None else f"{trace.score:.2f}, as memory was told"
    part = f" and {duration(waited)} of waiting" if waited else ""
    yield "time", f"{duration(trace.seconds)}, of which the router's own {duration(trace.router_seconds)}{part}"
    yield "cache", cache_told(trace)
    yield "resumed", visible("; ".join(resumption(one) for one in trace.resumed))
    yield "degraded", visible("; ".join(trace.degraded))
    yield "feedback", "; ".join(verdict(feedback) for feedback in trace.feedback[:20])
    yield "thread", name(trace.thread) if trace.thread is not None else ""
    yield "graph step", "" if trace.graph_step is None else str(trace.graph_step)
    yield "task", visible(trace.task, 80) if trace.task else ""
    yield "step id", visible(trace.step_id, 80)


def cache_told(trace: Trace) -> str:
    """What came of looking for an earlier answer, and of the step's own."""
    cached = trace.cached
    if trace.cache == "off" or cached is None:
        return ""
    if cached.layer is not None:
        audited = "; the reference is asked too, to see whether it is right" if cached.audited else ""
        return f"{cached.layer} hit, paid for by step {visible(cached.of_step or '?', 80)}{audited}"
    missed = visible("; ".join(cached.missed), 160) or "nothing like it is kept"
    own = (
        "its answer is kept" if cached.kept else f"its answer is not kept ({visible('; '.join(cached.not_kept), 160)})"
    )
    return f"miss: {missed}; {own}"


def routes_told(trace: Trace) -> str:
    """The semantic route that was taken, and how near the best ones were."""
    if trace.route is None and not trace.route_scores:
        return ""
    near = ", ".join(f"{name(one.name)} {one.score:.2f} of {one.threshold:.2f}" for one in trace.route_scores)
    return f"{name(trace.route) if trace.route else 'none'}{f' ({near})' if near else ''}"


def tie_break_told(asked: TieBreakRecord) -> str:
    """Who was asked for the route that the words left open, and what came of it."""
    between = listed([name(route) for route in asked.between])
    if asked.model is None:
        return f"the words alone decided about {between}: {visible(asked.why)}"
    took = f"in {duration(asked.seconds)} for {money(asked.cost_usd)}"
    when = "had been asked the same before" if asked.known else f"was asked {took}"
    came = visible(asked.why) if asked.why else f"it chose {name(asked.route) if asked.route else 'none of them'}"
    return f"{name(asked.model)} {when}, about {between}: {came}"


def verdict(feedback: FeedbackRecord) -> str:
    """A verdict in words."""
    reason = f" ({visible(feedback.reason)})" if feedback.reason else ""
    return f"score {feedback.score:g}{reason}"
