"""Candidates that are one model at different efforts, over HTTP: what is sent, and what they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from steprouter import Budget, ConfigError, ContentFilter, Limits, ModelCard, Policy, Price, Rule, StepRouter
from steprouter.errors import AllModelsFailed
from steprouter.testing import FrozenClock, Reply, Request, SimulatedProvider, fail, say

PRICE = Price(input=1, output=8)
NAMES = ("it", "other", "there", "gpt-5.6-sol", "claude-haiku-4-5", "claude-opus-4-5", "claude-opus-5-5")
CLAUDE = {"model_name": "claude-opus-4-5", "api_key": "k", "max_tokens": 9_000, "max_retries": 0}


@tool
def charges(last4: str) -> str:
    """Newest charges of a card."""
    return "23.50 EUR twice"


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(dict.fromkeys(NAMES, say("Well."))) as provider:
        yield provider


def card(provider: SimulatedProvider, name: str = "it", **given: Any) -> ModelCard:
    return ModelCard(**{"name": name, "base_url": provider.url, "model": name, "price": PRICE, **given})


def routed(*cards: ModelCard, **given: Any) -> StepRouter:
    return StepRouter(list(cards), store="memory", **given)


def asked(router: StepRouter, effort: str | None = None, **settings: Any) -> AIMessage:
    config = RunnableConfig(metadata={"steprouter_model": effort} if effort else {})
    return router.invoke("How are you?", config, **settings)


def sent(provider: SimulatedProvider, *names: str) -> dict[str, Any]:
    extra = provider.requests[-1].extra
    return {name: extra[name] for name in names if name in extra}


def answered_by(message: AIMessage) -> str:
    return str(message.response_metadata["steprouter"]["model"])


# What is sent


def test_chat_completions_are_told_the_effort_of_the_candidate(provider: SimulatedProvider) -> None:
    router = routed(card(provider, efforts=("low", "high")))
    assert [answered_by(asked(router, name)) for name in ("it@low", "it@high")] == ["it@low", "it@high"]
    assert [request.extra["reasoning_effort"] for request in provider.requests] == ["low", "high"]


def test_responses_are_told_it_in_their_own_words_beside_what_the_card_says_of_thoughts(
    provider: SimulatedProvider,
) -> None:
    settings = {"reasoning": {"summary": "auto"}}
    router = routed(card(provider, api="responses", efforts=("low", "high"), settings=settings))
    asked(router, "it@high")
    assert sent(provider, "reasoning") == {"reasoning": {"effort": "high", "summary": "auto"}}


def test_an_effort_wins_over_what_the_card_says_of_every_call(provider: SimulatedProvider) -> None:
    router = routed(card(provider, efforts=("low",), settings={"reasoning_effort": "high", "seed": 3}))
    asked(router)
    assert (sent(provider, "reasoning_effort"), provider.requests[-1].seed) == ({"reasoning_effort": "low"}, 3)


def test_the_default_effort_says_nothing(provider: SimulatedProvider) -> None:
    asked(routed(card(provider, efforts=("default", "low"))), "it@default")
    assert sent(provider, "reasoning_effort") == {}


def test_settings_that_are_given_outright_are_sent_as_they_are(provider: SimulatedProvider) -> None:
    thinking = {name: {"chat_template_kwargs": {"enable_thinking": name == "on"}} for name in ("off", "on")}
    router = routed(card(provider, efforts=thinking))
    asked(router, "it@off")
    assert sent(provider, "chat_template_kwargs") == {"chat_template_kwargs": {"enable_thinking": False}}


def test_a_chat_model_object_is_told_by_its_call_and_stays_as_it_is(provider: SimulatedProvider) -> None:
    model = ChatOpenAI(model="gpt-5.6-sol", base_url=provider.url, api_key="k", max_retries=0)  # type: ignore[arg-type]
    router, before = routed(ModelCard(name="it", model=model, efforts=("low", "high"))), model.model_dump()
    for name in ("it@high", "it@low"):
        asked(router, name)
    assert [request.extra["reasoning"] for request in provider.requests] == [{"effort": "high"}, {"effort": "low"}]
    assert model.model_dump() == before


@pytest.mark.parametrize("use_responses_api", [False, True])
def test_chatopenai_is_told_in_either_api(use_responses_api: bool, provider: SimulatedProvider) -> None:
    model = ChatOpenAI(
        model="gpt-5.6-sol",
        base_url=provider.url,
        api_key="k",  # type: ignore[arg-type]
        max_retries=0,
        use_responses_api=use_responses_api,
    )
    asked(routed(ModelCard(name="it", model=model, efforts=("low", "high"))), "it@low")
    found = sent(provider, "reasoning_effort", "reasoning")
    assert found == ({"reasoning": {"effort": "low"}} if use_responses_api else {"reasoning_effort": "low"})


def test_chatopenai_with_reasoning_of_its_own_keeps_what_else_that_says(provider: SimulatedProvider) -> None:
    own = {"summary": "auto", "effort": "medium"}
    model = ChatOpenAI(
        model="gpt-5.6-sol",
        base_url=provider.url,
        api_key="k",  # type: ignore[arg-type]
        max_retries=0,
        reasoning=own,
    )
    asked(routed(ModelCard(name="it", model=model, efforts=("low", "high"))), "it@high")
    assert sent(provider, "reasoning") == {"reasoning": {"summary": "auto", "effort": "high"}}


def claude(provider: SimulatedProvider, **given: Any) -> ChatAnthropic:
    return ChatAnthropic(**{**CLAUDE, "anthropic_api_url": provider.root_url, **given})


def test_claude_is_told_its_effort_in_the_words_of_messages(provider: SimulatedProvider) -> None:
    model = claude(provider)
    router = routed(ModelCard(name="it", model=model, efforts=("low", "high")))
    asked(router, "it@low")
    assert sent(provider, "output_config", "thinking") == {"output_config": {"effort": "low"}}
    assert model.reasoning_effort is None


def test_claude_that_thinks_adaptively_is_told_effort_and_thinking(provider: SimulatedProvider) -> None:
    model = claude(provider, model_name="claude-opus-5-5")
    asked(routed(ModelCard(name="it", model=model, efforts=("medium", "max"))), "it@max")
    found = sent(provider, "output_config", "thinking")
    assert (found["output_config"], found["thinking"]["type"]) == ({"effort": "max"}, "adaptive")


BUDGETS = {"off": {}, "on": {"thinking": {"type": "enabled", "budget_tokens": 2_000}}}


def test_claude_that_thinks_by_a_budget_is_told_the_budget(provider: SimulatedProvider) -> None:
    model = claude(provider, model_name="claude-haiku-4-5")
    router = routed(ModelCard(name="it", model=model, efforts=BUDGETS))
    asked(router, "it@on")
    assert sent(provider, "thinking") == {"thinking": {"type": "enabled", "budget_tokens": 2_000}}
    asked(router, "it@off")
    assert sent(provider, "thinking") == {}


# What does not go together


def reasons(router: StepRouter) -> dict[str, str]:
    return {c.model: c.reason for c in router.traces.list()[-1].candidates if not c.kept}


def test_what_the_call_says_itself_wins_and_the_trace_tells(provider: SimulatedProvider) -> None:
    router = routed(card(provider, efforts=("low", "high")))
    assert answered_by(router.bind(reasoning_effort="high").invoke("Hello")) == "it@high"  # type: ignore[arg-type]
    assert sent(provider, "reasoning_effort") == {"reasoning_effort": "high"}
    assert reasons(router) == {"it@low": "the call asks for reasoning_effort='high' itself, which goes with it@high"}


def test_an_effort_of_the_calls_own_is_sent_as_it_is_by_the_nearest_candidate(provider: SimulatedProvider) -> None:
    router = routed(card(provider, efforts=("none", "high")))
    assert answered_by(asked(router, reasoning_effort="xhigh")) == "it@high"
    assert sent(provider, "reasoning_effort") == {"reasoning_effort": "xhigh"}


def test_a_budget_that_leaves_nothing_of_the_answer_is_not_sent(provider: SimulatedProvider) -> None:
    router = routed(ModelCard(name="it", model=claude(provider), efforts=BUDGETS))
    assert answered_by(asked(router, max_tokens=1_500)) == "it@off"
    assert reasons(router) == {"it@on": "thinks with up to 2000 tokens, and the whole answer may have 1500"}


def test_a_budget_goes_neither_with_a_forced_tool_nor_with_a_temperature(provider: SimulatedProvider) -> None:
    router = routed(ModelCard(name="it", model=claude(provider), efforts=BUDGETS))
    assert answered_by(asked(router, temperature=0.2)) == "it@off"
    assert "temperature 0.2" in reasons(router)["it@on"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        router.bind_tools([charges], tool_choice="any").invoke("Which charges?")
    assert "forced tool" in reasons(router)["it@on"]


def loop(*, thinking: bool, by: str = "it@on") -> list[Any]:
    call = {"type": "tool_use", "id": "t1", "name": "charges", "input": {"last4": "4242"}}
    thoughts = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}] if thinking else []
    metadata = {"model_provider": "anthropic", "model_name": "claude-opus-4-5", "steprouter": {"model": by}}
    calls = [{"name": "charges", "args": {"last4": "4242"}, "id": "t1"}]
    asking = AIMessage([*thoughts, call], tool_calls=calls, response_metadata=metadata)
    return [HumanMessage("Which charges?"), asking, ToolMessage("23.50 EUR", tool_call_id="t1")]


def test_thinking_is_neither_begun_nor_ended_amid_a_loop_of_tools(provider: SimulatedProvider) -> None:
    router = routed(ModelCard(name="it", model=claude(provider), efforts=BUDGETS)).bind_tools([charges])
    begun = router.invoke(loop(thinking=True))
    assert (answered_by(begun), sent(provider, "thinking")["thinking"]["type"]) == ("it@on", "enabled")
    silent = router.invoke(loop(thinking=False, by="it@off"))
    assert (answered_by(silent), sent(provider, "thinking")) == ("it@off", {})


def test_thoughts_of_one_effort_are_sent_back_by_another(provider: SimulatedProvider) -> None:
    router = routed(ModelCard(name="it", model=claude(provider), efforts=("low", "high"))).bind_tools([charges])
    router.invoke(loop(thinking=True, by="it@high"), {"metadata": {"steprouter_model": "it@low"}})
    trace = router.bound.traces.list()[-1]  # type: ignore[attr-defined]
    assert (trace.model, trace.attempts[0].repairs) == ("it@low", ())


# What is refused


def unknown(*refused: str) -> Any:
    def script(request: Request) -> Reply:
        effort = request.extra.get("reasoning_effort")
        if effort in refused:
            text = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model."
            return fail(400, text, code="unsupported_value")
        return say(f"Well, {effort}.")

    return script


def test_an_effort_that_its_model_does_not_know_is_out_and_the_others_go_on() -> None:
    with SimulatedProvider({"it": unknown("minimal")}) as provider:
        router = routed(card(provider, efforts=("minimal", "high")))
        assert [asked(router).text for _ in range(2)] == ["Well, high.", "Well, high."]
        first, second = router.traces.list()
        kinds = [(a.model, a.failure and a.failure.kind) for a in first.attempts]
        assert kinds == [("it@minimal", "unsupported"), ("it@high", None)]
        assert len(second.attempts) == 1
        assert "router.readmit('it@minimal'): its effort is refused" in reasons(router)["it@minimal"]
        router.readmit("it@minimal")
        asked(router)
        assert [r.extra["reasoning_effort"] for r in provider.requests] == [
            "minimal",
            "high",
            "high",
            "minimal",
            "high",
        ]


def test_a_model_that_knows_none_of_its_efforts_says_so() -> None:
    with SimulatedProvider({"it": unknown("low", "high")}) as provider:
        router = routed(card(provider, efforts=("low", "high")))
        with pytest.raises(AllModelsFailed, match="does not support 'high'"):
            asked(router)


def test_an_effort_of_the_callers_own_that_is_refused_is_the_callers_mistake() -> None:
    with SimulatedProvider({"it": unknown("max")}) as provider:
        router = routed(card(provider, efforts=("low", "high")), card(provider, "other"))
        with pytest.raises(Exception, match="does not support 'max'"):
            asked(router, "it", reasoning_effort="max")
        assert {c.model for c in router.recommend("Hello").kept} == {"it@low", "it@high", "other"}


# What efforts of one model share


def test_a_provider_that_fails_is_left_for_another_and_not_asked_at_another_effort() -> None:
    with SimulatedProvider({"it": fail(503), "other": say("Well.")}) as provider:
        router = routed(
            card(provider, efforts=("low", "high")), card(provider, "other", price=Price(input=9, output=9))
        )
        assert answered_by(asked(router)) == "other"
        assert [request.model for request in provider.requests] == ["it", "other"]


def test_one_circuit_stands_for_all_efforts() -> None:
    with SimulatedProvider({"it": fail(503), "other": say("Well.")}) as provider:
        dear = card(provider, "other", price=Price(input=9, output=9))
        router = routed(card(provider, efforts=("low", "high")), dear, clock=FrozenClock())
        for _ in range(5):
            asked(router)
        calls = len(provider.requests_to("it"))
        asked(router)
        assert len(provider.requests_to("it")) == calls
        assert {name for name, why in reasons(router).items() if "circuit open" in why} == {"it@low", "it@high"}


def test_efforts_share_their_deployments_limits() -> None:
    with SimulatedProvider(dict.fromkeys(NAMES, say("Well."))) as provider:
        limits, other = Limits(requests_per_minute=2), card(provider, "other", price=Price(input=9, output=9))
        router = routed(card(provider, efforts=("low", "high"), limits=limits), other, clock=FrozenClock())
        assert [answered_by(asked(router, name)) for name in ("it@low", "it@high")] == ["it@low", "it@high"]
        assert answered_by(asked(router)) == "other"


def test_an_answer_that_is_not_good_enough_is_asked_for_again_with_more_thought() -> None:
    def lazy(request: Request) -> Reply:
        return say("Well.") if request.extra["reasoning_effort"] == "high" else say("")

    with SimulatedProvider({"it": lazy}) as provider:
        router = routed(card(provider, efforts=("high", "low", "medium"), tier="mid"))
        assert answered_by(asked(router)) == "it@high"
        assert [a.model for a in router.traces.list()[-1].attempts][:1] == ["it@low"]


# What people name


def test_a_rule_may_name_a_model_at_all_its_efforts_or_at_one(provider: SimulatedProvider) -> None:
    cards = [card(provider, efforts=("low", "high")), card(provider, "other", price=Price(input=0, output=0))]
    rules = (Rule(name="one", keyword="one", models="it@high"), Rule(name="all", keyword="all", models="it"))
    router = routed(*cards, policy=Policy(rules=rules))
    kept = [[c.model for c in router.recommend(text).kept] for text in ("all of it", "one of them", "neither")]
    assert kept[0] == ["it@low", "it@high"]
    assert kept[1] == ["it@high"]
    assert kept[2][0] == "other"


def test_what_can_be_one_model_only_is_the_effort_nearest_to_its_own(provider: SimulatedProvider) -> None:
    router = routed(
        card(provider, efforts=("low", "high", "medium")),
        policy=Policy(reference="it", content_filter=ContentFilter(reaction="reroute", models=("it",))),
        budget=Budget(usd=1, fallback="it"),
    )
    assert router.recommend("Hello").reference == "it@medium"
    assert router.engine.budgets[0].fallback == "it@medium"
    assert router.engine.setting.policy.content_filter.models == ("it@medium",)


def test_a_name_that_is_none_is_refused_as_before(provider: SimulatedProvider) -> None:
    with pytest.raises(ConfigError, match="did you mean 'it@low'"):
        routed(card(provider, efforts=("low", "high")), policy=Policy(reference="it@lo"))
    with pytest.raises(ConfigError, match="model must name one of"):
        routed(card(provider, efforts=("low", "high"))).readmit("its")


def test_a_call_may_ask_for_a_model_whatever_its_effort(provider: SimulatedProvider) -> None:
    cards = [card(provider, efforts=("low", "high")), card(provider, "other", price=Price(input=0, output=0))]
    assert answered_by(asked(routed(*cards), "it")) == "it@low"


def test_places_of_one_model_balance_each_effort_by_itself(provider: SimulatedProvider) -> None:
    here = card(provider, efforts=("low", "high"))
    router = routed(here, card(provider, "there", deployment_of="it"))
    assert [c.model for c in router.recommend("Hello").candidates[:2]] != ["it@low", "it@high"]
    assert {c.deployment_of for c in router.cards} == {None, "it@low", "it@high"}
