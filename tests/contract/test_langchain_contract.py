"""LangChain's own test suites, over every kind of candidate and with the first one failing.

Where the first candidate dies amid its answer, it does so on every call: what was not shown is asked for again from
the next one. In the tests that consume text while it comes, text that was shown could not be taken back, so there it
dies before its first token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.testing import Cut, Reply, Request, ScriptedChatModel, SimulatedProvider, fail, obliging

CHEAP, DEAR = Price(input=0.1, output=0.4), Price(input=2, output=10)


def scripted(name: str, tier: Tier, price: Price, script: Any = obliging) -> ModelCard:
    return ModelCard(name=name, model=ScriptedChatModel(script, model_name=name), tier=tier, price=price)


def last(reply: Reply) -> Reply:
    """The suites never close a model, so no connection may be kept past its answer."""
    return replace(reply, headers={"Connection": "close"})


def willing(request: Request) -> Reply:
    return last(obliging(request))


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    dead = repeat(last(fail(503)))
    scripts: Any = {"small": willing, "large": willing, "dead": dead, "reset": RESET, "ended well": ENDED_WELL}
    with SimulatedProvider(scripts) as server:
        yield server


def served(provider: SimulatedProvider, name: str, tier: Tier, price: Price) -> ModelCard:
    return ModelCard(name=name, model=name, base_url=provider.url, tier=tier, price=price)


class TestUnit(ChatModelUnitTests):
    """Construction, binding, structured output, tracing parameters."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return StepRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        models = [scripted("small", Tier.LOW, CHEAP), scripted("large", Tier.HIGH, DEAR)]
        return {"models": models, "store": "memory"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # Timeouts and retries belong to the models a router holds; it refuses what it would have to ignore.
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "large"


class Dying:
    """A willing model that dies in every answer: amid it, or before its first token where text is shown at once.

    Attributes:
        cut: How it dies amid an answer.
        is_watched: Whether text is shown while it comes.
    """

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.is_watched = False

    def __call__(self, request: Request) -> Reply:
        reply = last(obliging(request))
        return reply.failing(replace(self.cut, after_chunks=0) if self.is_watched else self.cut)


RESET, ENDED_WELL = Dying(Cut(after_chunks=1, how="reset")), Dying(Cut(after_chunks=1, how="close"))


@pytest.fixture(autouse=True)
def watch(request: pytest.FixtureRequest) -> None:
    """Tell the dying models whether this test consumes text while it comes."""
    for dying in (RESET, ENDED_WELL):
        dying.is_watched = "stream" in request.node.originalname


class RouterIntegration(ChatModelIntegrationTests):
    """What every arrangement must do."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return StepRouter

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # Timeouts and retries belong to the models a router holds; it refuses what it would have to ignore.
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "large"


class TestOverScriptedModels(RouterIntegration):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        models = [scripted("small", Tier.LOW, CHEAP), scripted("large", Tier.HIGH, DEAR)]
        return {"models": models, "store": "memory"}


class TestWithTheFirstScriptedModelDyingBeforeItsFirstToken(RouterIntegration):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        dead = scripted("dead", Tier.LOW, Price(input=0, output=0), repeat(fail(503)))
        return {"models": [dead, scripted("large", Tier.HIGH, DEAR)], "store": "memory"}


class OverHttp(RouterIntegration):
    names: tuple[str, ...] = ("small", "large")

    @pytest.fixture(autouse=True)
    def serve(self, provider: SimulatedProvider) -> None:
        self.provider = provider

    @property
    def chat_model_params(self) -> dict[str, Any]:
        free, dying = Price(input=0, output=0), {"dead", "reset", "ended well"}
        prices = {"small": CHEAP, "large": DEAR} | dict.fromkeys(dying, free)
        tier = {"large": Tier.HIGH}
        models = [served(self.provider, name, tier.get(name, Tier.LOW), prices[name]) for name in self.names]
        return {"models": models, "store": "memory"}


class TestOverHttpProvider(OverHttp):
    names = ("small", "large")


class TestWithTheFirstHttpProviderDyingBeforeItsFirstToken(OverHttp):
    names = ("dead", "large")


class TestWithTheFirstHttpProviderResetAmidItsAnswer(OverHttp):
    names = ("reset", "large")


class TestWithTheFirstHttpProviderEndingAmidItsAnswer(OverHttp):
    names = ("ended well", "large")


class TestWithTheFirstScriptedModelDyingAmidItsAnswer(RouterIntegration):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        dying = scripted("dying", Tier.LOW, Price(input=0, output=0), RESET)
        return {"models": [dying, scripted("large", Tier.HIGH, DEAR)], "store": "memory"}


class OverAnIntegration(RouterIntegration):
    """Behind LangChain's own integrations, the first candidate dying amid its answer."""

    @pytest.fixture(autouse=True)
    def serve(self, provider: SimulatedProvider) -> None:
        self.provider = provider

    def reach(self, name: str) -> BaseChatModel:
        raise NotImplementedError

    @property
    def chat_model_params(self) -> dict[str, Any]:
        dying = ModelCard(name="reset", model=self.reach("reset"), tier=Tier.LOW, price=Price(input=0, output=0))
        large = ModelCard(name="large", model=self.reach("large"), tier=Tier.HIGH, price=DEAR)
        return {"models": [dying, large], "store": "memory"}


class TestWithTheFirstResponsesModelResetAmidItsAnswer(OverAnIntegration):
    def reach(self, name: str) -> BaseChatModel:
        return ChatOpenAI(base_url=self.provider.url, api_key="x", model=name, max_retries=0, use_responses_api=True)


class TestWithTheFirstMessagesModelResetAmidItsAnswer(OverAnIntegration):
    def reach(self, name: str) -> BaseChatModel:
        return ChatAnthropic(base_url=self.provider.root_url, api_key="x", model=name, max_retries=0)  # type: ignore[call-arg]
