"""LangChain's own test suites, over every kind of candidate and with the first one failing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.testing import Reply, Request, ScriptedChatModel, SimulatedProvider, fail, obliging

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
    with SimulatedProvider({"small": willing, "large": willing, "dead": dead}) as server:
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
        prices = {"dead": Price(input=0, output=0), "small": CHEAP, "large": DEAR}
        tiers = {"dead": Tier.LOW, "small": Tier.LOW, "large": Tier.HIGH}
        models = [served(self.provider, name, tiers[name], prices[name]) for name in self.names]
        return {"models": models, "store": "memory"}


class TestOverHttpProvider(OverHttp):
    names = ("small", "large")


class TestWithTheFirstHttpProviderDyingBeforeItsFirstToken(OverHttp):
    names = ("dead", "large")
