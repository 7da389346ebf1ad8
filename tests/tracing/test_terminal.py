"""What a person sees of traces in a terminal."""

from __future__ import annotations

import io
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from steprouter.memory.traces import ThreadLine
from steprouter.tracing.record import (
    AttemptRecord,
    CandidateRecord,
    FailureRecord,
    FeedbackRecord,
    PassedRecord,
    Trace,
)
from steprouter.tracing.story import candidates_table, step_story
from steprouter.tracing.terminal import findings_table, steps_table, threads_table
from steprouter.tracing.wording import count, duration, listed, money, percent, visible

CHEAPEST = "cheapest of tier low or above, which tool_call needs (~$0.000123)"
OUTAGE = FailureRecord(kind="unavailable", phase="before_first_token", status=503, text="upstream is down")


def attempt(model: str = "small", why: str = CHEAPEST, **other: Any) -> AttemptRecord:
    figures: dict[str, Any] = {"began_seconds": 0.0, "seconds": 0.8, "input_tokens": 1234, "output_tokens": 56}
    return AttemptRecord(model=model, why=why, **{**figures, "cost_usd": 0.0001, **other})


def trace(*attempts: AttemptRecord, **other: Any) -> Trace:
    tried = attempts or (attempt(),)
    figures: dict[str, Any] = {"cost_usd": 0.0001, "reference_cost_usd": 0.002, "saved_usd": 0.0019}
    place: dict[str, Any] = {"thread": "t-1", "node": "model", "kind": "tool_call", "seconds": 0.8}
    ending: dict[str, Any] = {"model": tried[-1].model, "outcome": "sufficient", "reference": "large"}
    return Trace(
        step_id="s-1",
        started_at=1.79e9,
        attempts=tried,
        **{**figures, **place, **ending, **other},
    )


def printed(what: RenderableType, width: int = 80, *, as_terminal: bool = False) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=as_terminal, highlight=False).print(what)
    return file.getvalue()


def words(what: RenderableType, width: int = 80) -> str:
    return " ".join(printed(what, width).split())


FAILED_OVER = trace(
    attempt(failure=OUTAGE, cost_usd=0.0),
    attempt("large", "small failed: unavailable"),
    candidates=(CandidateRecord(model="large", tier="high", kept=True, reason="14.2× the cost of small"),),
)
ESCALATED = trace(
    attempt(problems=("arguments of 'freeze_card' break required card_id",)),
    attempt("large", "small was not sufficient: arguments of 'freeze_card' break required card_id"),
)
UNANSWERED = trace(attempt(failure=OUTAGE), model=None, outcome="exhausted", reference_cost_usd=None, saved_usd=None)


def test_a_thread_closes_with_one_sentence_on_cost_and_saving() -> None:
    dear = trace(attempt("large"), cost_usd=0.002, saved_usd=0.0)
    shown = words(steps_table([trace(), trace(), dear]))
    assert shown.endswith("3 steps, 2 on small, 1 on large: $0.0022 instead of $0.0060 on large alone, saved 63 %.")


def test_a_step_dearer_than_its_reference_is_said_to_cost_more() -> None:
    dear = trace(attempt("large"), cost_usd=0.0022, saved_usd=-0.0002)
    shown = words(steps_table([dear]))
    assert "-10 %" in shown
    assert shown.endswith("1 on large: $0.0022 instead of $0.0020 on large alone, 10 % more.")


def test_an_unknown_price_makes_the_total_unknown_and_never_zero() -> None:
    free = trace(attempt("local", cost_usd=None), cost_usd=None, saved_usd=None)
    shown = words(steps_table([trace(), free]))
    assert shown.endswith("cost unknown, at least $0.00010; the price of local is not known.")
    assert "$0 " not in shown


def test_an_unknown_price_of_the_reference_leaves_the_saving_unknown() -> None:
    shown = words(steps_table([trace(reference_cost_usd=None, saved_usd=None)]))
    assert shown.endswith("1 on small: $0.00010; what large alone would have cost is unknown.")


def test_money_burnt_on_a_step_without_an_answer_counts_against_the_saving() -> None:
    shown = words(steps_table([trace(), UNANSWERED]))
    assert "none exhausted: small failed: unavailable 503" in words(steps_table([trace(), UNANSWERED]), 200)
    assert shown.endswith(
        "2 steps, 1 on small, 1 without an answer: $0.00020 instead of $0.0020 on large alone, saved 90 %."
    )


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (trace(), "cheapest of tier low+"),
        (trace(rule="pii stays here"), "rule 'pii stays here': cheapest of tier low+"),
        (FAILED_OVER, "after small failed: unavailable 503"),
        (ESCALATED, "escalated: arguments of 'freeze_card' break required card_id"),
        (trace(attempt(problems=("cut off",)), outcome="insufficient"), "best there was: cut off"),
        (trace(cache="hit"), "from the cache"),
    ],
)
def test_the_reason_in_the_table_is_short_and_says_what_happened(step: Trace, why: str) -> None:
    assert f" {why} " in words(steps_table([step]), 200)


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (140, []),
        (101, ["reference"]),
        (90, ["reference", "tries"]),
        (80, ["reference", "tries", "in/out"]),
        (70, ["reference", "tries", "in/out", "time"]),
    ],
)
def test_columns_are_left_out_in_a_fixed_order_as_the_terminal_narrows(width: int, left_out: list[str]) -> None:
    header = printed(steps_table([FAILED_OVER]), width).splitlines()[0].split()
    assert [column for column in ("reference", "tries", "in/out", "time") if column not in header] == left_out
    assert {"#", "model", "why", "cost", "saved"} <= set(header)


@pytest.mark.parametrize("width", [50, 80, 120])
def test_no_line_is_wider_than_the_terminal_that_was_asked_for(width: int) -> None:
    long = trace(node="a_node_with_a_rather_long_name", kind="housekeeping")
    lines = printed(steps_table([trace(), long, ESCALATED]), width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_thread_without_steps_says_so_instead_of_an_empty_table() -> None:
    assert printed(steps_table([])) == "no steps\n"
    assert printed(threads_table([])) == "no threads\n"


def test_a_story_begins_with_the_failure_that_led_to_the_answer() -> None:
    shown = words(step_story(FAILED_OVER, 3))
    assert shown.startswith(
        "Step 3 (tool_call at node model): small failed with 503 (unavailable), so large answered "
        "(14.2× the cost of small)."
    )
    assert "It failed before its first token with 503 (unavailable), saying: upstream is down." in shown


def test_a_story_says_which_check_found_fault_with_an_answer() -> None:
    shown = words(step_story(ESCALATED))
    assert shown.startswith(
        "Step s-1 (tool_call at node model): small was not sufficient (arguments of 'freeze_card' break "
        "required card_id), so large answered"
    )
    assert "Its answer was not sufficient: arguments of 'freeze_card' break required card_id." in shown


def test_a_story_without_an_answer_says_why_there_is_none() -> None:
    shown = words(step_story(UNANSWERED, 2))
    assert shown.startswith(
        "Step 2 (tool_call at node model): no model answered: every model that might be tried failed; "
        "small failed with 503 (unavailable)."
    )


def test_a_story_tells_estimates_cache_and_shown_text_of_each_attempt() -> None:
    broken = FailureRecord(kind="broken_stream", phase="in_text")
    first = attempt(failure=broken, shown_characters=812, estimated=True, cache_read_tokens=617)
    shown = words(step_story(trace(first, attempt("large", "small failed"))))
    assert "It failed in the middle of its text (broken_stream). 812 characters of it had been shown." in shown
    assert "~1.2k/56 50 %" in shown


def test_a_story_ends_with_what_else_is_known() -> None:
    verdict = FeedbackRecord(score=1, reason="right card", at=1.79e9)
    known = trace(degraded=("store degraded: slow",), feedback=(verdict,), kind_from="tool status", rule="r")
    shown = words(step_story(known))
    for fact in ("tool_call, because tool status", "store degraded: slow", "score 1 (right card)", "rule r"):
        assert fact in shown


def test_refused_candidates_keep_their_reason_and_an_unknown_cost() -> None:
    refused = CandidateRecord(model="local", tier="low", kept=False, reason="window 8192 < 9000 tokens")
    assert "local refused low unknown window 8192 < 9000 tokens" in words(candidates_table([refused]))


def test_threads_are_listed_with_the_time_of_their_newest_step() -> None:
    lines = [ThreadLine(thread="t-1", steps=6, last_at=1.79e9), ThreadLine(thread="t-2", steps=1, last_at=1e300)]
    shown = words(threads_table(lines))
    assert "t-1 6 2026-09-21 14:13:20 UTC" in shown
    assert shown.endswith("t-2 1 –")


def test_colours_appear_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    findings = findings_table([("error", "store", "away")])
    assert "\x1b[1;31merror" in printed(findings, as_terminal=True)
    assert "\x1b" not in printed(findings)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(findings, as_terminal=True)


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "unknown"),
        (float("nan"), "unknown"),
        (0.0, "$0"),
        (-0.0, "$0"),
        (-1e-19, "$0"),
        (0.000123, "$0.00012"),
        (-0.0142, "-$0.014"),
        (0.5, "$0.50"),
        (1234.5, "$1,234.50"),
        (1e300, "$1.00e+300"),
    ],
)
def test_sums_are_short_signed_and_never_minus_zero(usd: float | None, shown: str) -> None:
    assert money(usd) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (1, 4, "25 %"),
        (0.0001, 1, "<1 %"),
        (0.9999, 1, ">99 %"),
        (-0.001, 1, ">-1 %"),
        (-0.0, 1, "0 %"),
        (3, 1, "300 %"),
    ],
)
def test_a_percentage_is_never_rounded_to_nothing_or_to_all(part: float, whole: float, shown: str) -> None:
    assert percent(part, whole) == shown


def test_times_and_tokens_are_as_short_as_people_say_them() -> None:
    times = [duration(s) for s in (None, 0.0031, 0.82, 12.3, 59.9, 3725)]
    assert times == ["–", "3 ms", "0.8 s", "12 s", "1 min 0 s", "1 h 2 min"]
    assert [count(n) for n in (999, 1234, 123_456, 1_234_567, 10**13)] == ["999", "1.2k", "123k", "1.2M", "1.0e+13"]
    assert [listed(w) for w in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert visible("\x1b[31mred\n\u202eevil\ud800\x9b") == r"\x1b[31mred\n\u202eevil\ud800\x9b"
    assert visible("[bold]as it is[/bold]") == "[bold]as it is[/bold]"
    assert visible("x" * 1_000_000) == "x" * 300 + "…"


HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x07\x00\x9b\u202e\u2066\u200b\u2028\ud800[]\\/{}:\n\r\t")),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(text=HOSTILE, width=st.integers(20, 130))
def test_hostile_text_never_brings_a_control_character_into_the_output(text: str, width: int) -> None:
    failure = FailureRecord(kind=text, phase=text, code=text, text=text)
    tried = (
        attempt(text, text, failure=failure, repairs=(text,), waited_seconds=1.0, redacted=True, is_probe=True),
        attempt(text, text, lost_race=True),
        attempt(text, text, problems=(text,), finish=text),
    )
    passed = PassedRecord(model=text, by=text, why=text)
    candidate = CandidateRecord(model=text, tier=text, kept=True, reason=text)
    names: dict[str, Any] = {"thread": text, "node": text, "rule": text, "task": text, "reference": text}
    lists: dict[str, Any] = {"degraded": (text,), "resumed": (text,), "kind_from": text, "outcome": text}
    step = trace(*tried, candidates=(candidate,), passed=(passed,), **names, **lists).model_copy(
        update={"step_id": text, "kind": text}
    )
    line = ThreadLine(thread=text, steps=1, last_at=0.0)
    views = (steps_table([step]), step_story(step), threads_table([line]), findings_table([("ok", text, text)]))
    shown = "".join(printed(view, width) for view in views).replace("\n", "")
    assert {unicodedata.category(c) for c in shown}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.sampled_from("[]/\\boldred #:"), min_size=1, max_size=12))
def test_markup_in_names_is_shown_as_it_was_written(text: str) -> None:
    cell = printed(findings_table([("ok", "subject", f"<{text}>")]), 120)
    assert "".join(f"<{text}>".split()) in "".join(cell.split())


def test_a_megabyte_of_provider_text_is_cut_before_it_is_laid_out() -> None:
    huge = FailureRecord(kind="unavailable", phase="in_text", text="\x1b" * 1_000_000)
    shown = printed(step_story(trace(attempt(failure=huge), node="n" * 1_000_000)))
    assert len(shown) < 5000


def test_a_story_tells_what_was_waited_for_repaired_probed_and_passed_over() -> None:
    spare = attempt("spare", lost_race=True)
    probe = attempt(
        "small", "spare was slow to begin", waited_seconds=2.0, is_probe=True, repairs=("thoughts dropped",)
    )
    passed = PassedRecord(model="large", by="budget", why="budget 'daily' is used up", at_seconds=0.5)
    story = words(step_story(trace(spare, probe, passed=(passed,))))
    assert "lost the race" in story
    assert "Another call answered first" in story
    assert "2.0 s were waited before. It was the probe of an open circuit." in story
    assert "In the history that others wrote: thoughts dropped." in story
    assert "Could not be asked large at +0.5 s, held back by a budget: budget 'daily' is used up." in story


def test_a_wait_has_a_column_of_its_own_where_anything_was_waited_for() -> None:
    again = attempt(why="small failed: rate_limited; asked again after 2.0 s", waited_seconds=2.0, began_seconds=2.8)
    shown = words(step_story(trace(attempt(failure=OUTAGE), again)))
    assert "# model result waited began" in shown
    assert "2 small ok 2.0 s +2.8 s" in shown
    assert "were waited before" not in shown
    assert "waited" not in words(step_story(trace()))


def probe_of(step: Trace, **other: Any) -> Trace:
    facts: dict[str, Any] = {"step_id": f"{step.step_id}-probe", "probe_of": step.step_id, "outcome": "the same"}
    facts |= {"score": 1.0, "cost_usd": 0.0004, "reference_cost_usd": None, "saved_usd": None, **other}
    return trace().model_copy(update=facts)


def test_probes_stand_behind_their_steps_without_a_number_and_cost_without_being_steps() -> None:
    first = trace(attempt("large"), cost_usd=0.002, saved_usd=0.0)
    second = first.model_copy(update={"step_id": "s-2"})
    lines = printed(steps_table([first, second, probe_of(first)]), 160).splitlines()
    assert [line.split()[0] for line in lines if "tool_call" in line] == ["1", "model", "2"]
    assert "probe: the same" in lines[4 if "probe" in lines[4] else 3]
    said = "2 steps, 2 on large, beside them 1 probe: $0.0044 instead of $0.0040 on large alone, 10 % more."
    assert words(steps_table([first, second, probe_of(first)]), 160).endswith(said)


def test_the_story_of_a_probe_says_whose_it_is_how_it_compares_and_what_memory_was_told() -> None:
    shown = words(step_story(probe_of(trace(), outcome="other arguments", score=0.85)), 160)
    assert "a probe of step s-1 asked small too, unseen; it called the same tools with other arguments." in shown
    assert "cost $0.00040" in shown
    assert "worth 0.85, as memory was told" in shown


def test_a_probe_whose_call_failed_names_who_was_asked() -> None:
    failed = probe_of(trace(), outcome="failed", score=None, model=None)
    assert "asked small too, unseen; the call failed" in words(step_story(failed), 160)
    assert "none" in words(steps_table([failed]), 160)


def test_a_probe_whose_step_is_kept_no_longer_is_shown_all_the_same() -> None:
    lone = probe_of(trace())
    assert "0 steps, beside them 1 probe" in words(steps_table([lone]), 160)
