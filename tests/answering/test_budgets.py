"""Budgets refuse what contradicts itself, know their periods, and claims are upper bounds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.budgets import Budget, Span, check_budgets, nano_usd, span, worst_case
from steprouter.errors import ConfigError
from steprouter.models.card import Price
from steprouter.models.cost import Usage, cost_usd
from steprouter.models.limits import Limits
from steprouter.step.step import Needs

PRICE = Price(input=2.0, output=10.0, cache_read=0.2, cache_write=2.5)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "must limit usd, tokens or both, got neither"),
        ({"usd": 0.0}, "usd must be above 0 and at most 8,000,000, got 0.0"),
        ({"usd": -5.0}, "usd must be above 0 and at most 8,000,000, got -5.0"),
        ({"usd": 1e-12}, "usd must be above 0"),
        ({"usd": float("nan")}, "usd must be above 0 and at most 8,000,000, got nan"),
        ({"usd": float("inf")}, "usd must be above 0 and at most 8,000,000, got inf"),
        ({"usd": 1.0, "tokens": 0}, "tokens must be a whole number above 0, got 0"),
        ({"tokens": -1}, "tokens must be a whole number above 0, got -1"),
        ({"tokens": 1.5}, "tokens must be a whole number above 0, got 1.5"),
        ({"tokens": True}, "tokens must be a whole number above 0, got True"),
        ({"tokens": 2**53}, "leave it out for no limit"),
        ({"usd": 1.0, "per": "team"}, "per must be one of ['step', 'thread', 'user', 'tenant', 'all'], got 'team'"),
        ({"usd": 1.0, "period": "year"}, "period must be one of ['hour', 'day', 'week', 'month', None], got 'year'"),
        ({"usd": 1.0, "per": "step", "period": "day"}, "a budget per step has no period, got 'day'; leave it out"),
        ({"usd": 1.0, "cheaper_at": 0.0}, "cheaper_at must be above 0 and at most 1 (a share), got 0.0"),
        ({"usd": 1.0, "cheaper_at": 1.1}, "cheaper_at must be above 0 and at most 1 (a share), got 1.1"),
        ({"usd": 1.0, "on_store_loss": "go"}, "on_store_loss must be one of ['stop', 'continue'], got 'go'"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_with_the_rule(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        Budget(**settings)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "concurrency"])
@pytest.mark.parametrize("limit", [0, -1, 1.5, True])
def test_a_limit_that_makes_no_sense_is_refused_with_the_rule(name: str, limit: Any) -> None:
    with pytest.raises(
        ConfigError, match=f"{name} must be a whole number above 0, or None for no limit, got {limit!r}"
    ):
        Limits(**{name: limit})


def test_two_budgets_that_limit_the_same_are_refused_by_name() -> None:
    both = [Budget(usd=1.0, period="day", name="low"), Budget(usd=2.0, tokens=5, period="day", name="high")]
    with pytest.raises(ConfigError, match="budgets 'low' and 'high' both limit usd per tenant and day; keep the lower"):
        check_budgets(both, ["small"])


def test_budgets_of_other_units_periods_or_scopes_do_not_overlap() -> None:
    budgets = [
        Budget(usd=1.0, period="day"),
        Budget(tokens=9, period="day"),
        Budget(usd=9.0),
        Budget(usd=1.0, per="user"),
    ]
    check_budgets(budgets, [])
    assert [budget.name for budget in budgets] == [
        "usd per tenant and day", "tokens per tenant and day", "usd per tenant", "usd per user",
    ]  # fmt: skip


def test_two_budgets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="names of their own, got 'mine' twice"):
        check_budgets([Budget(usd=1.0, name="mine"), Budget(tokens=1, name="mine")], [])


def test_a_fallback_that_is_no_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"fallback of budget 'usd per tenant' must be one of .*\['a', 'b'\], got 'c'"
    ):
        check_budgets([Budget(usd=1.0, fallback="c")], ["b", "a"])


@pytest.mark.parametrize(
    ("period", "label", "ends"),
    [
        ("hour", "hour-2026123123", datetime(2027, 1, 1, tzinfo=UTC)),
        ("day", "day-20261231", datetime(2027, 1, 1, tzinfo=UTC)),
        ("week", "week-20261228", datetime(2027, 1, 4, tzinfo=UTC)),
        ("month", "month-202612", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_periods_are_those_of_the_utc_calendar(period: Any, label: str, ends: datetime) -> None:
    now = datetime(2026, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC).timestamp()
    assert span(period, now) == Span(label=label, ends_at=ends.timestamp())
    assert span(None, now) == Span(label="ever", ends_at=None)


@given(st.sampled_from(["hour", "day", "week", "month"]), st.floats(0, 4e9))
def test_a_period_follows_the_other_without_a_gap(period: Any, now: float) -> None:
    here = span(period, now)
    assert here.ends_at is not None
    assert here.ends_at > now
    assert span(period, here.ends_at - 0.001).label == here.label
    assert span(period, here.ends_at).label > here.label


def test_the_share_of_a_budget_is_that_of_its_fuller_unit() -> None:
    assert Budget(usd=2.0, tokens=1000).share(nano_usd(0.5), 600) == pytest.approx(0.6)
    assert Budget(usd=2.0).share(nano_usd(0.5), 10**9) == pytest.approx(0.25)


@given(st.integers(0, 10**15))
def test_money_in_whole_billionths_stays_what_it_is(nano: int) -> None:
    assert abs(nano_usd(nano / 1e9) - nano) <= 1
    assert nano_usd(1.5e-9) == 2


counts = st.integers(0, 10**6)


@given(read=counts, write=counts, plain=counts, said=counts)
def test_with_a_limited_answer_no_call_costs_more_than_its_worst_case(
    read: int, write: int, plain: int, said: int
) -> None:
    asked = read + write + plain
    usage = Usage(input_tokens=asked, output_tokens=said, cache_read_tokens=read, cache_write_tokens=write)
    tokens, usd = worst_case(Needs(input_tokens=asked, output_tokens=said), PRICE, expected_output_tokens=1)
    assert usd is not None
    assert usage.total_tokens <= tokens
    assert (cost_usd(usage, PRICE) or 0.0) <= usd * (1 + 1e-12)


def test_the_worst_case_takes_the_margin_the_example_and_the_expected_answer() -> None:
    needs = Needs(input_tokens=80)
    assert worst_case(needs, PRICE, expected_output_tokens=50, added_tokens=20) == (165, pytest.approx(787.5e-6))
    assert worst_case(needs, None, expected_output_tokens=50) == (142, None)
