"""From a card to a wire: which one, and what is wrong with cards that lead nowhere."""

import subprocess
import sys
from typing import Any

import pytest
from hearing import both_ways, heard, text
from langchain.chat_models import init_chat_model
from pydantic import SecretStr

from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard
from steprouter.providers import Timeouts, Wire, open_wire
from steprouter.providers.chat_completions import ChatCompletionsWire
from steprouter.providers.langchain_model import LangChainWire
from steprouter.step.ask import Ask
from steprouter.testing import ScriptedChatModel, SimulatedProvider, fail, say


def card(model: Any, **fields: Any) -> ModelCard:
    return ModelCard(name="m", model=model, **fields)


def test_a_card_leads_to_the_wire_that_reaches_its_model() -> None:
    assert isinstance(open_wire(card("m", base_url="http://127.0.0.1:1/v1")), ChatCompletionsWire)
    assert isinstance(open_wire(card(ScriptedChatModel(say("x")))), LangChainWire)
    assert "openai:m" in repr(open_wire(card("openai:m")))


def settings(provider: SimulatedProvider) -> dict[str, Any]:
    return {"base_url": provider.url, "api_key": SecretStr("sk-x"), "default_headers": {"Connection": "close"}}


@both_ways
async def test_a_named_model_is_made_with_the_cards_settings_and_answers(way: str) -> None:
    with SimulatedProvider({"m": say("Good day.")}) as provider:
        wire = open_wire(card("openai:m", settings={**settings(provider), "temperature": 0.25}))
        assert text(await heard(wire, way)) == "Good day."
        assert provider.requests[0].temperature == 0.25


@both_ways
async def test_a_named_model_sends_one_request_only(way: str) -> None:
    with SimulatedProvider({"m": fail(503)}) as provider:
        wire = open_wire(card("openai:m", settings=settings(provider)))
        with pytest.raises(Exception) as caught:
            await heard(wire, way)
        assert (wire.saw(caught.value).status, len(provider.requests)) == (503, 1)


def test_a_name_without_provider_or_address_is_refused_with_three_ways_out() -> None:
    with pytest.raises(ConfigError, match=r"base_url.*'openai:gpt-x'.*object"):
        open_wire(card("gpt-x"))


@pytest.mark.parametrize(
    ("model", "complaint"),
    [("ollama:qwen", "langchain-ollama"), ("nowhere:qwen", "nowhere"), ("openai:m", "temperature")],
)
def test_a_named_model_that_cannot_be_made_is_a_mistake_found_by_check(model: str, complaint: str) -> None:
    given = {"temperature": "hot", "api_key": "sk-very-secret"}
    with pytest.raises(ConfigError, match=complaint) as caught:
        open_wire(card(model, settings=given)).check()
    assert "sk-very-secret" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


def test_a_missing_key_is_a_mistake_found_by_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    wire = open_wire(card("openai:m"))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        wire.check()


def test_a_configurable_model_is_refused_with_a_way_out() -> None:
    configurable = init_chat_model("openai:m", configurable_fields="any", api_key="sk-x")
    with pytest.raises(ConfigError, match="without configurable_fields"):
        open_wire(card(configurable))


def test_check_passes_for_wires_that_can_be_used() -> None:
    for good in (card("m", base_url="http://127.0.0.1:1/v1"), card(ScriptedChatModel(say("x")))):
        open_wire(good).check()
    open_wire(card("openai:m", settings={"api_key": "sk-x"})).check()


def test_every_wire_keeps_the_promise_in_its_types() -> None:
    wires: list[Wire] = [open_wire(card("m", base_url="http://127.0.0.1:1/v1")), open_wire(card("openai:m"))]
    for wire in wires:
        wire.close()
        assert wire.saw(ValueError("x")).text == "x"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_package_loads_no_http_library_and_no_integration() -> None:
    heavy = "('httpx', 'httpcore', 'openai', 'anthropic', 'langchain', 'langchain_openai')"
    assert run(f"import sys, steprouter.providers; print([m for m in {heavy} if m in sys.modules])") == "[]\n"


def test_without_langchain_a_model_string_names_the_package_to_install() -> None:
    code = (
        "import sys; sys.modules['langchain'] = None\n"
        "from steprouter.providers import open_wire\n"
        "from steprouter.models.card import ModelCard\n"
        "try:\n    open_wire(ModelCard(name='m', model='openai:m')).check()\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    assert run(code).startswith("ConfigError model 'openai:m' must have LangChain installed; pip install 'steprouter[")


async def test_an_unusable_call_is_refused_before_anything_is_sent() -> None:
    with SimulatedProvider({"m": say("x")}) as provider:
        wire = open_wire(card("m", base_url=provider.url))
        with pytest.raises(ConfigError):
            list(wire.stream(Ask(messages=(), settings={"temperature": object()}), Timeouts()))
        assert provider.requests == ()
