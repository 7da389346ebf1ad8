"""Who may have a call at which effort, what is sent with it, and what a refusal of it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from steprouter import ModelCard
from steprouter.answering.attempt import Attempt
from steprouter.answering.effort import barred_efforts, said_of_effort, unsupported, with_effort
from steprouter.answering.failures import Failure, FailureKind, Phase, Seen, classify
from steprouter.answering.handover import unable
from steprouter.answering.speaker import is_own, speaker_of, thinks
from steprouter.models.identify import complete_cards
from steprouter.step.ask import Ask, Toolset

ON = {"thinking": {"type": "enabled", "budget_tokens": 4_000}}
BUDGETS = {"off": {}, "on": ON}
SEARCH = {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {}}}


def cards(efforts: Any = ("low", "high"), model: str = "openai:gpt-6-sol", **given: Any) -> tuple[ModelCard, ...]:
    return complete_cards([ModelCard(name="it", model=model, efforts=efforts, **given)])


def claude(efforts: Any = BUDGETS, **given: Any) -> tuple[ModelCard, ...]:
    return cards(efforts, "anthropic:claude-haiku-4-5", **given)


def asking(*messages: BaseMessage, **settings: Any) -> Ask:
    return Ask(messages=messages or (HumanMessage("Hello"),), settings=settings)


def barred(candidates: Sequence[ModelCard], ask: Ask) -> dict[str, str]:
    names = {card.name for card in candidates} | {"it"}
    return barred_efforts(candidates, {card.name: speaker_of(card, also=names) for card in candidates}, ask)


# What is sent


def test_the_calls_own_settings_stay_and_the_efforts_come_beside_them() -> None:
    low, _ = cards()
    assert with_effort(asking(temperature=1), low).settings == {"reasoning_effort": "low", "temperature": 1}


def test_nothing_is_sent_where_the_call_says_it_itself() -> None:
    low, _ = cards()
    ask = asking(reasoning={"effort": "high"})
    assert with_effort(ask, low) is ask


def test_what_both_put_into_one_setting_is_put_together() -> None:
    efforts = {"off": {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}}
    (off,) = cards(efforts, "qwen", base_url="http://127.0.0.1:1/v1")
    given = with_effort(asking(extra_body={"top_k": 3}), off).settings
    assert given == {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 3}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reasoning_effort": "low", "temperature": 1}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": None}, {}),
        ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"summary": "auto"}}, {}),
        ({"output_config": {"effort": "low", "format": {}}}, {"effort": "low"}),
        ({"output_config": {"format": {}}}, {}),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, {}),
        (ON, ON),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, {"enable_thinking": True}),
    ],
)
def test_what_a_call_says_of_effort_is_found_wherever_it_says_it(settings: Any, said: Any) -> None:
    assert said_of_effort(settings) == said


# Who may have it


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, {"it@none", "it@low", "it@high"}),
        ({"temperature": 1}, {"it@none", "it@low", "it@high"}),
        ({"reasoning_effort": "high"}, {"it@high"}),
        ({"reasoning": {"effort": "low"}}, {"it@low"}),
        ({"reasoning_effort": "minimal"}, {"it@none"}),
        ({"reasoning_effort": "max"}, {"it@high"}),
        ({"reasoning_effort": "turbo"}, {"it@low"}),
    ],
)
def test_one_candidate_of_a_model_has_the_call_that_names_its_effort(settings: Any, left: set[str]) -> None:
    candidates = cards(("none", "low", "high"))
    assert {card.name for card in candidates} - barred(candidates, asking(**settings)).keys() == left


def test_models_without_efforts_have_the_call_whatever_it_says() -> None:
    assert barred(cards(()), asking(reasoning_effort="high")) == {}


@pytest.mark.parametrize("most", [{"max_tokens": 4_000}, {"max_completion_tokens": 100}])
def test_a_budget_must_leave_something_for_the_answer(most: dict[str, int]) -> None:
    assert barred(claude(), asking(**most)).keys() == {"it@on"}
    assert barred(claude(), asking(max_tokens=4_001)) == {}


def test_a_budget_is_held_against_the_cards_own_limit_too() -> None:
    assert barred(claude(settings={"max_tokens": 2_000}), asking()).keys() == {"it@on"}
    assert barred(claude((), settings={**ON, "max_tokens": 2_000}), asking()).keys() == {"it"}


@pytest.mark.parametrize("choice", ["any", "search"])
def test_a_budget_rules_out_a_forced_tool(choice: str) -> None:
    ask = Ask(messages=(HumanMessage("Hello"),), tools=Toolset.of([SEARCH], tool_choice=choice))
    assert barred(claude(), ask).keys() == {"it@on"}


def test_a_budget_rules_out_a_temperature() -> None:
    assert barred(claude(), asking(temperature=0)).keys() == {"it@on"}
    assert barred(claude(), asking(temperature=1)) == {}


def turn(*blocks: Any, by: str = "it@on", model: str = "claude-haiku-4-5") -> AIMessage:
    call = {"name": "search", "args": {}, "id": "t1"}
    metadata = {"model_provider": "anthropic", "model_name": model, "steprouter": {"model": by}}
    use = {"type": "tool_use", "id": "t1", "name": "search", "input": {}}
    return AIMessage([*blocks, use], tool_calls=[call], response_metadata=metadata)


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
RESULT = ToolMessage("found", tool_call_id="t1")


def test_thinking_is_not_ended_amid_a_loop_that_was_thought_in() -> None:
    ask = asking(HumanMessage("Hello"), turn(THOUGHT), RESULT)
    assert barred(claude(), ask).keys() == {"it@off"}
    assert barred(claude({"off": {"thinking": {"type": "disabled"}}, "on": {}}), ask).keys() == {"it@off"}


@pytest.mark.parametrize(
    "messages",
    [
        (HumanMessage("Hello"), turn(), RESULT),
        (HumanMessage("Hello"), turn(THOUGHT, by="other", model="claude-opus-5-5"), RESULT),
        (HumanMessage("Hello"), turn(THOUGHT), RESULT, AIMessage("Found."), HumanMessage("And?")),
        (HumanMessage("Hello"), turn(THOUGHT), RESULT, HumanMessage("And?")),
    ],
    ids=["no thoughts", "another model's", "a loop that has ended", "a new question"],
)
def test_elsewhere_thinking_may_be_left_off(messages: tuple[BaseMessage, ...]) -> None:
    assert barred(claude(), asking(*messages)) == {}


def test_a_level_may_change_amid_a_loop() -> None:
    candidates = cards(("low", "high"), "anthropic:claude-opus-5-5")
    assert barred(candidates, asking(HumanMessage("Hello"), turn(THOUGHT, model="claude-opus-5-5"), RESULT)) == {}


def test_an_effort_that_thinks_by_a_budget_thinks_for_whoever_asks() -> None:
    off, on = claude()
    assert (thinks(off), thinks(on), thinks(on, {"thinking": {"type": "disabled"}})) == (False, True, False)
    history = (HumanMessage("Hello"), turn(), RESULT)
    assert "without thoughts" in str(unable(history, speaker_of(on, also={"it@off", "it@on"}), thinking=thinks(on)))


def test_what_the_same_model_wrote_at_another_effort_is_its_own() -> None:
    low, high = cards()
    written = AIMessage("Well.", response_metadata={"model_provider": "openai", "steprouter": {"model": "it@high"}})
    assert is_own(written, speaker_of(low, also={"it", "it@high"}))
    assert is_own(written, speaker_of(high))
    assert not is_own(written, speaker_of(low))


# What is refused

REFUSALS = [
    ("unsupported_value", "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model."),
    ("unsupported_value", "Unsupported value: 'reasoning.effort' does not support 'none' with this model."),
    (None, "Unrecognized request argument supplied: reasoning_effort"),
    ("unknown_parameter", "Unknown parameter: 'reasoning'."),
    ("invalid_request_error", "This model does not support the effort parameter."),
    ("invalid_request_error", "This model does not support effort level 'xhigh'. Supported levels: high, low, max."),
    ("invalid_request_error", "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"),
    ("invalid_request_error", '"thinking.type.enabled" is not supported for this model.'),
    ("invalid_request_error", "adaptive thinking is not supported on this model"),
    ("INVALID_ARGUMENT", "Thinking level is not supported for this model."),
    (None, "Model grok-4-latest does not support parameter reasoningEffort."),
    (None, "`reasoning_effort` is not supported with this model"),
]


def refused(code: str | None, text: str, sent: Any = None) -> FailureKind:
    failure = classify(Seen(status=400, code=code, text=text), Phase.BEFORE_FIRST_TOKEN, model="it@low")
    sent = {"reasoning_effort": "low"} if sent is None else sent
    found = unsupported(Attempt(model="it@low", failure=failure), sent).failure
    assert found is not None
    return found.kind


@pytest.mark.parametrize(("code", "text"), REFUSALS)
def test_a_refusal_of_the_effort_is_told_from_one_of_the_request(code: str | None, text: str) -> None:
    assert refused(code, text) is FailureKind.UNSUPPORTED
    assert refused(code, text, sent={}) is FailureKind.BAD_REQUEST


@pytest.mark.parametrize(
    "text",
    [
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        "messages.3.content.0: Invalid `signature` in `thinking` block",
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "`temperature` may only be set to 1 when thinking is enabled.",
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        "The encrypted content for item rs_1 could not be verified: invalid reasoning.",
        "Invalid schema for function 'search': 'thinking' is not of type 'object'.",
        "tools[0].name is too long",
    ],
)
def test_what_the_call_brought_about_is_no_refusal_of_the_effort(text: str) -> None:
    assert refused(None, text) is FailureKind.BAD_REQUEST


def test_a_setting_of_the_users_own_that_is_named_in_a_refusal_is_the_effort() -> None:
    sent = {"chat_template_kwargs": {"deep_mode": True}}
    assert refused(None, "deep_mode: Extra inputs are not permitted", sent) is FailureKind.UNSUPPORTED
    assert refused(None, "tools: Extra inputs are not permitted", sent) is FailureKind.BAD_REQUEST


def test_only_a_wrong_request_can_be_such_a_refusal() -> None:
    failure = Failure(kind=FailureKind.UNAVAILABLE, phase=Phase.IN_TEXT, model="it", text="unsupported effort")
    attempt = Attempt(model="it", failure=failure)
    assert unsupported(attempt, {"reasoning_effort": "low"}) is attempt
