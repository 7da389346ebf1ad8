"""The token estimate: close on kinds of text whose count is known, safe on any text."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.models import tokens
from steprouter.models.tokens import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    TOOL_CALL_TOKENS,
    estimate_message_tokens,
    estimate_tokens,
)

# True counts are those of OpenAI's o200k_base.
SAMPLES = (
    ("I would like to change my flight to Boston, and need a refund for the second bag.", 19),
    ('{"order_id":"W5744371","items":[{"sku":"1234-56","price":129.95,"color":"red"}]}', 30),
    ("def area(radius: float) -> float:\n    return 3.14159 * radius**2\n", 21),
    ("SELECT name, COUNT(*) FROM orders GROUP BY name ORDER BY 2 DESC LIMIT 10;", 19),
    ("Ich möchte meinen Flug umbuchen und brauche eine Rückerstattung für das Gepäck.", 17),
    ("我想把航班改到明天早上，并且需要退还第二件托运行李的费用。", 24),
    ("明日の朝の便に変更したいのですが、二つ目の手荷物の料金を返金してください。", 26),
    ("내일 아침 비행기로 변경하고 싶고, 두 번째 수하물 요금을 환불받고 싶습니다.", 26),
    ("Я хочу перенести рейс на завтрашнее утро и вернуть деньги за второе место багажа.", 23),
    ("| model | input | output |\n|---|---|---|\n| small | 0.10 | 0.50 |\n", 27),
)


@pytest.mark.parametrize(("text", "true"), SAMPLES)
def test_an_estimate_is_within_30_per_cent_of_the_true_count(text: str, true: int) -> None:
    assert estimate_tokens(text) == pytest.approx(true, rel=0.3)


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_even_with_lone_surrogates_has_an_estimate(text: str) -> None:
    assert (estimate_tokens(text) == 0) == (text == "")
    assert estimate_tokens(text) <= 4 * len(text)


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_never_counts_fewer_tokens(one: str, two: str) -> None:
    assert estimate_tokens(one + two) >= estimate_tokens(one)


def test_a_text_of_many_slices_counts_like_the_sum_of_its_parts() -> None:
    sentence = "The order #1234 was shipped. "
    once, often = estimate_tokens(sentence * 1_000), estimate_tokens(sentence * 100_000)
    assert often > len(sentence * 100_000) / tokens.SLICE
    assert often == pytest.approx(100 * once, rel=1e-3)


def test_a_hundred_kilobytes_take_far_less_than_a_step() -> None:
    """0.3 ms where it was measured; the limit leaves room for a slow, shared machine."""
    text = "The order #1234 was shipped.\n" * 3_500
    estimate_tokens(text)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        estimate_tokens(text)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01


def test_messages_count_their_text_and_a_little_for_each() -> None:
    messages = [SystemMessage("Be brief."), HumanMessage("What is the capital of France?")]
    texts = estimate_tokens("Be brief.") + estimate_tokens("What is the capital of France?")
    assert estimate_message_tokens(messages) == texts + 2 * MESSAGE_TOKENS
    assert estimate_message_tokens([]) == 0


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}},
        {"type": "image", "base64": "A" * 100_000, "mime_type": "image/png"},
        {"type": "file", "base64": "A" * 100_000, "mime_type": "application/pdf"},
    ],
)
def test_media_count_a_stated_figure_and_not_their_bytes(block: dict[str, object]) -> None:
    message = HumanMessage([{"type": "text", "text": "What is this?"}, block])
    assert estimate_message_tokens([message]) == (MESSAGE_TOKENS + estimate_tokens("What is this?") + IMAGE_TOKENS)


def test_a_tool_call_is_counted_once_though_its_block_repeats_it() -> None:
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "1"}
    block = {"type": "tool_use", "name": "weather", "input": {"city": "Paris"}, "id": "1"}
    plain, repeated = AIMessage("", tool_calls=[call]), AIMessage([block], tool_calls=[call])
    expected = MESSAGE_TOKENS + TOOL_CALL_TOKENS + estimate_tokens('weather{"city":"Paris"}')
    assert estimate_message_tokens([plain]) == estimate_message_tokens([repeated]) == expected


@pytest.mark.parametrize(
    "content",
    [
        "sunny, 21 degrees",
        ["sunny, 21 degrees"],
        [{"type": "text", "text": "sunny, 21 degrees"}],
        [{"type": "thinking", "thinking": "sunny, 21 degrees", "signature": "Eq" * 500}],
        [{"type": "reasoning", "reasoning": "sunny, 21 degrees"}],
        [{"type": "tool_result", "content": [{"type": "text", "text": "sunny, 21 degrees"}]}],
    ],
)
def test_text_counts_alike_in_whichever_block_it_comes(content: str | list[str | dict[str, object]]) -> None:
    expected = MESSAGE_TOKENS + estimate_tokens("sunny, 21 degrees")
    assert estimate_message_tokens([ToolMessage(content, tool_call_id="1")]) == expected


def test_a_block_of_unknown_kind_without_text_counts_nothing() -> None:
    message = HumanMessage([{"type": "new_kind", "payload": "A" * 1000, "content": 7}])
    assert estimate_message_tokens([message]) == MESSAGE_TOKENS


def test_tools_count_as_compact_json() -> None:
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    expected = estimate_tokens(json.dumps(tool, separators=(",", ":")))
    assert estimate_message_tokens([], [tool, tool]) == 2 * expected


def test_a_tool_that_is_no_json_is_counted_all_the_same() -> None:
    assert estimate_message_tokens([], [{"name": "weather", "returns": object}]) > 5
