"""The short reasons of a thread's table, made by real routers over providers that go wrong."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest

from steprouter import ModelCard, Policy, Price, StepKind, StepRouter, Tier
from steprouter.answering.budgets import Budget
from steprouter.errors import StepRouterError
from steprouter.models.limits import Limits
from steprouter.routing.content_filter import ContentFilter as Reaction
from steprouter.testing import ContentFilter, FrozenClock, ScriptedChatModel, fail, say
from steprouter.tracing.reasons import barrier, in_short
from steprouter.tracing.record import AttemptRecord, CandidateRecord, FailureRecord, PassedRecord, Trace
from steprouter.tracing.story import headline

OK = say("Fine, thank you.")
CHEAP, DEAR = Price(input=0.1, output=0.4), Price(input=2, output=10)
STRONG = Policy(kinds={StepKind.CHAT: Tier.HIGH})


def steps(
    small: Any,
    large: Any = OK,
    *,
    count: int = 1,
    text: str = "How are you?",
    limits: Limits | None = None,
    **more: Any,
) -> list[Trace]:
    """The traces of so many steps over a small and a large model."""
    cards = [
        ModelCard(name="small", model=ScriptedChatModel(small), tier=Tier.LOW, price=CHEAP, limits=limits),
        ModelCard(name="large", model=ScriptedChatModel(large), tier=Tier.HIGH, price=DEAR),
    ]
    router = StepRouter(cards, store="memory", clock=FrozenClock(), **more)
    try:
        for _ in range(count):
            try:
                router.invoke(text)
            except StepRouterError:
                continue
        return list(router.traces.list())
    finally:
        router.close()


def filtered(**reaction: Any) -> dict[str, Any]:
    return {"policy": Policy(content_filter=Reaction(**reaction))}


REFUSED = OK.failing(ContentFilter())
DAILY: dict[str, Any] = {"per": "all", "period": "day", "name": "daily"}


@pytest.mark.parametrize(
    ("made", "short", "sentence"),
    [
        (
            lambda: steps([fail(503)]),
            "after small failed: unavailable 503",
            "small failed with 503 (unavailable), so large answered (25.0× the cost of small).",
        ),
        (
            lambda: steps([fail(429, retry_after_seconds=100), OK], count=2),
            "instead of small: rate limited for 100 s",
            "large answered instead of small (rate limited for 100 s).",
        ),
        (
            lambda: steps(repeat(fail(401)), count=2),
            "instead of small: out: auth 401 invalid_api_key",
            "large answered instead of small (out: auth 401 invalid_api_key).",
        ),
        (
            lambda: steps(OK, count=2, policy=STRONG, budget=Budget(usd=0.0025, cheaper_at=0.001, **DAILY)),
            "instead of large: budget 'daily' nearly used up",
            "small answered instead of large (budget 'daily' nearly used up).",
        ),
        (
            lambda: steps(OK, policy=STRONG, budget=Budget(usd=0.0001, fallback="small", **DAILY)),
            "fallback: budget 'daily' used up",
            "large could not be asked (budget 'daily' used up), so its fallback small answered.",
        ),
        (
            lambda: steps(OK, count=3, limits=Limits(requests_per_minute=2)),
            "instead of small: its 2 requests a minute used up",
            "small could not be asked (its 2 requests a minute used up), so large answered (25.0× the cost of small).",
        ),
        (
            lambda: steps([REFUSED, OK], text="jo@example.org", **filtered(reaction="redact_and_retry")),
            "asked redacted: small refused on content",
            (
                "small failed with 400 (content_filtered), so small was asked again, with personal data and secrets "
                "replaced, and answered."
            ),
        ),
        (
            lambda: steps([REFUSED], **filtered(reaction="reroute", models="large")),
            "rerouted: small refused on content",
            "small failed with 400 (content_filtered), so large answered, to which the policy reroutes.",
        ),
        (
            lambda: steps([REFUSED], **filtered(reaction="fallback_message", message="No.")),
            "the policy's own message, after small failed: content_filtered 400",
            "small failed with 400 (content_filtered), so the policy's own message was given.",
        ),
        (
            lambda: steps(repeat(fail(503)), repeat(fail(503)), policy=Policy(patience_seconds=0)),
            "exhausted: small and large failed: unavailable 503",
            (
                "no model answered: every model that might be tried failed; small failed with 503 (unavailable) and "
                "large failed with 503 (unavailable)."
            ),
        ),
    ],
    ids=["failed over", "limited", "out", "near", "fallback", "quota", "redacted", "rerouted", "message", "exhausted"],
)
def test_why_a_model_answered_is_said_in_few_words_and_in_a_sentence(made: Any, short: str, sentence: str) -> None:
    step = made()[-1]
    assert in_short(step) == short
    assert headline(step, 7).plain == f"Step 7 (chat): {sentence}"


def test_an_open_circuit_is_named_with_the_time_that_it_stays_open() -> None:
    first, *_, last = steps(repeat(fail(503)), count=6)
    assert in_short(first) == "after small failed: unavailable 503"
    assert in_short(last).startswith("instead of small: circuit open for 1")
    assert "failures" in next(c.reason for c in last.candidates if not c.kept)


def test_a_model_that_was_waited_for_says_how_long_and_for_what() -> None:
    (step,) = steps(chain([fail(429, retry_after_seconds=2)], repeat(OK)))
    assert in_short(step).startswith("asked again after rate_limited 429; 2.")
    assert in_short(step).endswith(" s waited")
    assert headline(step, 1).plain.startswith("Step 1 (chat): small failed with 429 (rate_limited), so small was asked")


def test_a_used_up_budget_without_a_fallback_is_the_reason_for_no_answer() -> None:
    (step,) = steps(OK, budget=Budget(usd=0.00001, **DAILY))
    assert step.outcome == "budget"
    assert in_short(step).startswith("small could not be asked: budget 'daily' used up")


def told(*attempts: AttemptRecord, **more: Any) -> Trace:
    """A step that the model of the last attempt answered."""
    known: dict[str, Any] = {"step_id": "s", "started_at": 1.0, "kind": "chat", "outcome": "sufficient", **more}
    return Trace(model=attempts[-1].model, attempts=attempts, **known)


def attempt(model: str, why: str, **more: Any) -> AttemptRecord:
    return AttemptRecord(model=model, why=why, began_seconds=0, seconds=1, **more)


def test_a_race_names_who_was_slow_and_who_answered_first() -> None:
    race = told(attempt("small", "cheapest", lost_race=True), attempt("large", "small was slow to begin"))
    assert in_short(race) == "answered first, small was slow to begin"
    assert "small was slower, so large answered (small was slow to begin)." in headline(race, 1).plain


def test_who_wins_a_race_against_the_second_call_keeps_its_reason() -> None:
    second = attempt("large", "small was slow to begin", lost_race=True)
    race = told(second, attempt("small", "cheapest of tier low or above, which chat needs"))
    assert in_short(race) == "cheapest of tier low+"


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("circuit open for 14 s more (failures)", "circuit open for 14 s"),
        ("circuit open (gray) and just being probed", "circuit just being probed"),
        ("small is open (timeouts)", "circuit open"),
        ("small is being probed", "circuit just being probed"),
        ("asked to be left alone for 100 s more", "rate limited for 100 s"),
        ("small asked to be left alone for 2.5 s", "rate limited for 2.5 s"),
        ("3 calls are under way, as many as it took before it refused", "busy with 3 calls"),
        ("3 calls of 'small' are under way, as many as may be", "busy with 3 calls"),
        ("counted as 2.1× dearer, because it slows down or stalls", "slow, counted as 2.1× dearer"),
        ("out until its configuration changes, or router.readmit('small'): auth 401 x", "out: auth 401 x"),
        ("out until its configuration changes: not_found 404", "out: not_found 404"),
        ("budget 'b' is past its threshold: only models cheaper than large", "budget 'b' nearly used up"),
        ("budget 'b': 1 USD of 1 USD are spent or set aside, and the call may take 1 USD", "budget 'b' used up"),
        ("the price of 'x' is unknown, and budget 'b' counts USD; give a price", "price unknown to budget 'b'"),
        ("'small' was given its 60 requests a minute", "its 60 requests a minute used up"),
        (
            "the call may take 9 tokens, more than the 5 a minute that 'x' is given",
            "longer than its 5 tokens a minute",
        ),
        ("window 8192 < 9000 tokens", "window 8192 < 9000 tokens"),
    ],
)
def test_what_stands_in_a_models_way_is_shortened(why: str, short: str) -> None:
    assert barrier(why) == short


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("observe mode: the reference answers; routed would be small: x", "observe mode: the reference answers"),
        (
            "observe mode, but the reference large cannot be asked: circuit open for 9 s more (rate); last resort",
            "observe mode: large cannot be asked: circuit open for 9 s",
        ),
        (
            (
                "cheapest of tier low or above that is at hand, which chat needs (~$1); no circuit is due sooner: "
                "circuit open for 2 s more (failures)"
            ),
            "every circuit is open, this one is due first",
        ),
        ("last resort: tier low is below high for plan", "last resort: tier low is below high for plan"),
    ],
)
def test_what_a_decision_says_of_its_first_model_is_shortened(why: str, short: str) -> None:
    assert in_short(told(attempt("small", why))) == short


def test_only_what_would_have_come_first_is_named_as_missing() -> None:
    out = "out until its configuration changes, or router.readmit('x'): auth 401"
    others = (
        CandidateRecord(model="dear", tier="high", kept=False, reason=out, expected_usd=1.0),
        CandidateRecord(model="weak", tier="low", kept=False, reason=out, expected_usd=0.001),
        CandidateRecord(model="blind", tier="mid", kept=False, reason="cannot read images", expected_usd=0.001),
    )
    why = "cheapest of tier mid or above that is at hand, which answer needs (~$0.1)"
    first = CandidateRecord(model="mid", tier="mid", kept=True, reason=why, expected_usd=0.1)
    step = told(attempt("mid", why), candidates=(first, *others), kind="answer")
    assert in_short(step) == "cheapest of tier mid+"


def test_a_trace_without_the_newer_fields_is_still_told() -> None:
    old = Trace.model_validate(
        {
            "step_id": "s", "started_at": 1.0, "kind": "chat", "model": "large", "outcome": "sufficient",
            "attempts": [
                {"model": "small", "why": "first", "began_seconds": 0, "seconds": 1,
                 "failure": FailureRecord(kind="unavailable", phase="in_text").model_dump()},
                {"model": "large", "why": "small failed: unavailable", "began_seconds": 1, "seconds": 1},
            ],
        }
    )  # fmt: skip
    assert in_short(old) == "after small failed: unavailable"
    assert headline(old, None).plain == "Step s (chat): small failed (unavailable), so large answered."


def test_a_model_that_was_waited_for_because_it_could_not_be_asked_says_so() -> None:
    passed = PassedRecord(model="small", by="breaker", why="small is open (failures)")
    late = attempt("small", "…; nothing else is left, waited 9.0 s", waited_seconds=9.0)
    step = told(late, passed=(passed,))
    assert in_short(step) == "after small could not be asked: circuit open; 9.0 s waited"
    assert headline(step, 2).plain == (
        "Step 2 (chat): small could not be asked (circuit open), so small was waited for and answered 9.0 s later."
    )
