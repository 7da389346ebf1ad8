"""LangChain's own contract tests, run with its clients for Responses and Messages against the simulated provider."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from steprouter.testing import SimulatedProvider, obliging

# Both come from the client: it warns of a pydantic 1 schema, and serialises its own parsed answers badly.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

PROVIDER = SimulatedProvider({"small": obliging, "other": obliging}, api_key="right")


@pytest.fixture(scope="module", autouse=True)
def provider() -> Iterator[None]:
    with PROVIDER:
        yield


class TestChatOpenAIByResponses(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "small",
            "base_url": PROVIDER.url,
            "api_key": "right",
            "max_retries": 0,
            "use_responses_api": True,
            # The client is cached beyond the event loop of a test; an idle connection would outlive it.
            "default_headers": {"Connection": "close"},
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "other"


class TestChatAnthropic(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "small",
            "base_url": PROVIDER.root_url,
            "api_key": "right",
            "max_retries": 0,
            "default_headers": {"Connection": "close"},
        }

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "other"
