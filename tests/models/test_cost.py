"""What an answer costs, by hand-calculated examples and by properties."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from steprouter.errors import ConfigError
from steprouter.models.card import Price
from steprouter.models.cost import Usage, cost_usd, savings_usd

OPUS = Price(input=4, output=20, cache_read=0.2, cache_write=5, dated=date(2026, 11, 22))
SONNET = Price(input=2, output=10, cache_read=0.1, cache_write=2.5)
HAIKU = Price(input=0.1, output=0.5, cache_read=0.01, cache_write=0.125)
MINI = Price(input=0.75, output=4.5, cache_read=0.075)
BARE = Price(input=2, output=8)

counts = st.integers(0, 10_000_000)
dollars = st.floats(0, 1000, allow_nan=False)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, write, fresh, reasoning, shown = (draw(counts) for _ in range(5))
    return Usage(
        input_tokens=read + write + fresh,
        output_tokens=reasoning + shown,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
    )


@st.composite
def prices(draw: st.DrawFn) -> Price:
    read, write = draw(st.none() | dollars), draw(st.none() | dollars)
    return Price(input=draw(dollars), output=draw(dollars), cache_read=read, cache_write=write)


def used(prompt: int, answer: int, *, read: int = 0, written: int = 0, reasoning: int = 0) -> Usage:
    return Usage(
        input_tokens=prompt,
        output_tokens=answer,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        # 20,000 warm tokens at 0.20, 1,500 written at 5 and 400 answered at 20, in millionths.
        (OPUS, used(21_500, 400, read=20_000, written=1_500), 0.004 + 0.0075 + 0.008),
        # The same step cold on the middle model: all 21,500 written at 2.50, 400 answered at 10.
        (SONNET, used(21_500, 400, written=21_500), 0.05375 + 0.004),
        # And cold on the small one: 21,500 at 0.125, 400 at 0.50.
        (HAIKU, used(21_500, 400, written=21_500), 0.0026875 + 0.0002),
        # No write fee is known, so what is written costs the input price: 1,000 at 0.075, 2,000 at 0.75.
        (MINI, used(3_000, 0, read=1_000, written=500), 0.000075 + 0.0015),
        # No cache price is known at all: 3,000 at 2, and 1,000 at 8 of which 900 were reasoning.
        (BARE, used(3_000, 1_000, read=2_000, reasoning=900), 0.006 + 0.008),
        (BARE, used(0, 0), 0.0),
    ],
)
def test_a_step_costs_what_hand_calculation_says(price: Price, usage: Usage, usd: float) -> None:
    assert cost_usd(usage, price) == pytest.approx(usd, rel=1e-12)


def test_an_unknown_price_gives_an_unknown_cost() -> None:
    usage = Usage(input_tokens=10)
    assert cost_usd(usage, None) is None
    assert savings_usd(usage, price=None, reference=BARE) is None
    assert savings_usd(usage, price=BARE, reference=None) is None


def test_savings_are_what_the_reference_would_have_cost_more() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert savings_usd(usage, price=SONNET, reference=OPUS) == pytest.approx(12)
    assert savings_usd(usage, price=OPUS, reference=SONNET) == pytest.approx(-12)


@given(usages(), prices())
def test_a_cost_is_never_negative_for_any_usage(usage: Usage, price: Price) -> None:
    usd = cost_usd(usage, price)
    assert usd is not None
    assert usd >= 0


@given(usages(), usages(), prices())
def test_the_cost_of_two_usages_together_is_the_sum_of_their_costs(one: Usage, two: Usage, price: Price) -> None:
    parts = [cost_usd(one, price), cost_usd(two, price)]
    assert cost_usd(one + two, price) == pytest.approx(sum(part or 0 for part in parts), rel=1e-9, abs=1e-12)


@given(usages(), prices(), counts, counts, counts, counts)
def test_more_tokens_of_any_kind_never_cost_less(
    usage: Usage, price: Price, fresh: int, read: int, written: int, answered: int
) -> None:
    more = Usage(
        input_tokens=fresh + read + written,
        output_tokens=answered,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    assert (cost_usd(usage + more, price) or 0) >= (cost_usd(usage, price) or 0) * (1 - 1e-12)


@given(usages(), prices(), dollars, dollars)
def test_a_dearer_price_never_makes_a_step_cheaper(usage: Usage, price: Price, prompt: float, answer: float) -> None:
    dearer = Price(
        input=min(price.input + prompt, 999_999),
        output=price.output + answer,
        cache_read=price.cache_read,
        cache_write=price.cache_write,
    )
    assert (cost_usd(usage, dearer) or 0) >= (cost_usd(usage, price) or 0) * (1 - 1e-12)


@given(usages())
def test_a_usage_survives_the_way_to_langchain_and_back(usage: Usage) -> None:
    message = AIMessage("hello", usage_metadata=usage.to_langchain())
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == usage.total_tokens
    assert Usage.from_langchain(message.usage_metadata) == usage


def test_details_that_are_zero_are_left_out_for_langchain() -> None:
    told = Usage(input_tokens=3, output_tokens=2).to_langchain()
    assert told == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("details", "read", "written"),
    [
        ({"cache_read": 40, "cache_creation": 10}, 40, 10),
        ({"cache_read": None, "cache_creation": None}, 0, 0),
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 5}, 0, 12),
        ({"cache_creation": 12, "ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 5}, 0, 12),
        ({"priority": 60, "priority_cache_read": 30}, 30, 0),
        ({"cache_read": -5, "audio": 3}, 0, 0),
    ],
)
def test_cached_tokens_are_read_under_every_name_integrations_use(
    details: dict[str, int | None], read: int, written: int
) -> None:
    usage = Usage.from_langchain(
        {"input_tokens": 100, "output_tokens": 1, "total_tokens": 101, "input_token_details": details}
    )
    assert usage == Usage(input_tokens=100, output_tokens=1, cache_read_tokens=read, cache_write_tokens=written)


def test_a_prompt_reported_without_its_cached_part_is_completed_and_marked() -> None:
    usage = Usage.from_langchain({"input_tokens": 20, "output_tokens": 5, "input_token_details": {"cache_read": 900}})
    assert usage == Usage(input_tokens=920, output_tokens=5, cache_read_tokens=900, estimated=True)


def test_an_answer_reported_without_its_reasoning_is_completed_and_marked() -> None:
    usage = Usage.from_langchain({"input_tokens": 20, "output_tokens": 5, "output_token_details": {"reasoning": 64}})
    assert usage == Usage(input_tokens=20, output_tokens=69, reasoning_tokens=64, estimated=True)


def test_an_empty_or_negative_report_counts_as_nothing() -> None:
    assert Usage.from_langchain({}) == Usage()
    assert Usage.from_langchain({"input_tokens": -3, "output_tokens": None}) == Usage()


@given(
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "input_token_details", "output_token_details"]),
        st.integers() | st.none() | st.floats() | st.dictionaries(st.text(), st.integers()),
    )
)
def test_no_report_however_odd_breaks_the_accounts(report: dict[str, object]) -> None:
    """Details that are no mapping count as missing."""
    usage = Usage.from_langchain(report)
    assert (cost_usd(usage, OPUS) or 0) >= 0


@pytest.mark.parametrize(
    ("prompt", "answer", "read", "written", "reasoning"),
    [(-1, 0, 0, 0, 0), (0, -1, 0, 0, 0), (5, 0, -1, 0, 0), (5, 0, 3, 3, 0), (0, 5, 0, 0, 6)],
)
def test_a_usage_that_contradicts_itself_is_refused(
    prompt: int, answer: int, read: int, written: int, reasoning: int
) -> None:
    with pytest.raises(ConfigError):
        used(prompt, answer, read=read, written=written, reasoning=reasoning)


def test_a_sum_is_estimated_when_either_part_is() -> None:
    told, guessed = Usage(input_tokens=5, output_tokens=1), Usage(input_tokens=4, estimated=True)
    assert told + guessed == Usage(input_tokens=9, output_tokens=1, estimated=True)
