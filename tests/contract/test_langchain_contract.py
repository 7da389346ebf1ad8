"""LangChain's own test suites, over every kind of candidate and with the first one failing.

Where the first candidate dies amid its answer, it does so on every call, after words were shown where somebody
watches: the answer goes on from there, with the same model or with the next one. A call that was cut, and what nobody
saw, is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from steprouter import ModelCard, Policy, Price, Resumption, StepRouter, Tier
from steprouter.models.card import Abilities
from steprouter.testing import Cut, Reply, Request, ScriptedChatModel, SimulatedProvider, fail, obliging
from steprouter.testing.continuing import QUOTE, Continuing
from steprouter.testing.faults import End

CHEAP, DEAR, FREE = Price(input=0.1, output=0.4), Price(input=2, output=10), Price(input=0, output=0)
PREFILL = Abilities(prefill=True, prefill_with_tools=True)


def scripted(
    name: str, tier: Tier, price: Price, script: Any = obliging, abilities: Abilities | None = None
) -> ModelCard:
    model = ScriptedChatModel(script, model_name=name)
    return ModelCard(name=name, model=model, tier=tier, price=price, abilities=abilities or Abilities())


def last(reply: Reply) -> Reply:
    """The suites never close a model, so no connection may be kept past its answer."""
    return replace(reply, headers={"Connection": "close"})


def beginning(request: Request) -> Request:
    """The request whose answer broke off, of one that asks to go on with it; any other as it is."""
    if request.last.get("role") == "assistant":
        return replace(request, messages=request.messages[:-1])
    if request.last.get("role") == "user" and QUOTE in request.prompt:
        return replace(request, messages=request.messages[:-2])
    return request


def willing(request: Request) -> Reply:
    """Answers anybody, and goes on with what it or another willing model has begun."""
    return last(Continuing(obliging(beginning(request)))(request))


@dataclass(frozen=True)
class Dying:
    """A willing model that dies amid every answer, after two words or in the arguments of its call.

    Attributes:
        how: How it dies.
        goes_on: Whether it then goes on with what it has said; else it is away for whoever asks it to.
    """

    how: End
    goes_on: bool = True

    def __call__(self, request: Request) -> Reply:
        reply = willing(request)
        if beginning(request) is not request:
            return reply if self.goes_on else last(fail(503))
        return reply.failing(Cut(after_chunks=3 if reply.text else 2, how=self.how))


GOES_ON, IS_LEFT = Dying("reset"), Dying("close", goes_on=False)


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    dead = repeat(last(fail(503)))
    scripts: Any = {"small": willing, "large": willing, "dead": dead, "goes on": GOES_ON, "is left": IS_LEFT}
    with SimulatedProvider(scripts) as server:
        yield server


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
        dead = scripted("dead", Tier.LOW, FREE, repeat(fail(503)))
        return {"models": [dead, scripted("large", Tier.HIGH, DEAR)], "store": "memory"}


class TestWithTheFirstScriptedModelDyingAmidItsAnswerAndGoingOn(RouterIntegration):
    script = GOES_ON

    @property
    def chat_model_params(self) -> dict[str, Any]:
        dying = scripted("dying", Tier.LOW, FREE, self.script, PREFILL)
        return {"models": [dying, scripted("large", Tier.HIGH, DEAR, willing, PREFILL)], "store": "memory"}


class TestWithTheFirstScriptedModelDyingAmidItsAnswerAndAnotherGoingOn(
    TestWithTheFirstScriptedModelDyingAmidItsAnswerAndGoingOn
):
    script = IS_LEFT


class OverHttp(RouterIntegration):
    """Two models of a provider, asked over the own wire."""

    first = "small"
    settings: Mapping[str, Any] = {}

    @pytest.fixture(autouse=True)
    def serve(self, provider: SimulatedProvider) -> None:
        self.provider = provider

    def reached(self, name: str) -> dict[str, Any]:
        return {"model": name, "base_url": self.provider.url, "abilities": PREFILL}

    @property
    def chat_model_params(self) -> dict[str, Any]:
        price = CHEAP if self.first == "small" else FREE
        first = ModelCard(name=self.first, tier=Tier.LOW, price=price, **self.reached(self.first))
        large = ModelCard(name="large", tier=Tier.HIGH, price=DEAR, **self.reached("large"))
        return {"models": [first, large], "store": "memory", **self.settings}


class TestOverHttpProvider(OverHttp):
    pass


class TestWithTheFirstHttpProviderDyingBeforeItsFirstToken(OverHttp):
    first = "dead"


class TestWithTheFirstHttpProviderDyingAmidItsAnswerAndGoingOn(OverHttp):
    first = "goes on"


class TestWithTheFirstHttpProviderDyingAmidItsAnswerAndAnotherGoingOn(OverHttp):
    first = "is left"


class TestWithTheFirstResponsesModelDyingAmidItsAnswerAndBeingReplayed(OverHttp):
    first = "goes on"

    def reached(self, name: str) -> dict[str, Any]:
        settings = {"background": True}
        return {"model": name, "base_url": self.provider.url, "api": "responses", "settings": settings}


class AskedInWords(OverHttp):
    """Models that take no partial turn are asked in words to go on."""

    settings: Mapping[str, Any] = {"policy": Policy(resume=Resumption(instruction=True))}

    def reached(self, name: str) -> dict[str, Any]:
        model = ChatOpenAI(base_url=self.provider.url, api_key="x", model=name, max_retries=0, use_responses_api=True)
        return {"model": model}


class TestWithTheFirstResponsesModelDyingAmidItsAnswerAndAskedInWords(AskedInWords):
    first = "goes on"


class TestWithTheFirstResponsesModelDyingAmidItsAnswerAndAnotherAskedInWords(AskedInWords):
    first = "is left"


class OverMessages(OverHttp):
    def reached(self, name: str) -> dict[str, Any]:
        model = ChatAnthropic(base_url=self.provider.root_url, api_key="x", model=name, max_retries=0)  # type: ignore[call-arg]
        return {"model": model, "abilities": PREFILL}


class TestWithTheFirstMessagesModelDyingAmidItsAnswerAndGoingOn(OverMessages):
    first = "goes on"


class TestWithTheFirstMessagesModelDyingAmidItsAnswerAndAnotherGoingOn(OverMessages):
    first = "is left"
