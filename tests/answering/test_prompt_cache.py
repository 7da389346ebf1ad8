"""What a provider is told of the beginning it should keep, and what of it goes out."""

import copy
import json
import re

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from steprouter import ModelCard
from steprouter.answering.prompt_cache import cached, least_tokens
from steprouter.answering.speaker import Speaker, speaker_of
from steprouter.providers import Timeouts
from steprouter.providers.chat_request import request_body
from steprouter.providers.langchain_binding import Binder, unwrapped
from steprouter.step.ask import Ask, Toolset

CLAUDE = Speaker(provider="anthropic", model="claude-opus-5-5", caching="marks")
GPT = Speaker(provider="openai", model="gpt-5.6", caching="key")
MARK = {"cache_control": {"type": "ephemeral"}}


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


@tool
def news(topic: str) -> str:
    """Tell the news."""
    return topic


def forecast(days: int) -> str:
    """Tell what is to come."""
    return str(days)


TOOLS = Toolset.of([weather, news])
SYSTEM, ASKED = SystemMessage("Be brief."), HumanMessage("Weather in Oslo?")


def call(number):
    calls = [{"type": "tool_call", "name": "weather", "args": {"city": "Oslo"}, "id": f"call{number}"}]
    return AIMessage("Let me look.", tool_calls=calls)


def result(number, content="4 °C"):
    return ToolMessage(content, tool_call_id=f"call{number}")


LOOP = (SYSTEM, ASKED, call(1), result(1), call(2), result(2))


def marked(ask):
    """The places of marked messages."""
    return [place for place, message in enumerate(ask.messages) if "cache_control" in str(message.content)]


def payload(model, ask):
    """What the model's own request builder makes of a call that goes through our wire."""
    kwargs = Binder(unwrapped(model, "it")).kwargs(ask, Timeouts())
    kwargs.pop("timeout", None)
    return model._get_request_payload(list(ask.messages), stop=None, **kwargs)


def claude():
    return ChatAnthropic(model="claude-opus-5-5", api_key="k")  # type: ignore[call-arg]


def test_claude_is_told_to_keep_tools_system_prompt_history_and_what_the_call_before_ended_with():
    ask = cached(Ask(messages=LOOP, tools=TOOLS), CLAUDE, key="t")
    assert marked(ask) == [0, 3, 5]
    sent = payload(claude(), ask)
    assert [MARK["cache_control"] == one.get("cache_control") for one in sent["tools"]] == [False, True]
    assert sent["system"] == [{"type": "text", "text": "Be brief.", **MARK}]
    results = [
        block for m in sent["messages"] if m["role"] == "user" for block in m["content"] if len(m["content"]) < 9
    ]
    assert [block["cache_control"] for block in results if "cache_control" in block] == [MARK["cache_control"]] * 2
    assert json.dumps(sent).count("cache_control") == 4


def test_the_end_of_one_call_is_marked_again_in_the_next():
    first = cached(Ask(messages=LOOP[:4], tools=TOOLS), CLAUDE, key="t")
    second = cached(Ask(messages=LOOP, tools=TOOLS), CLAUDE, key="t")
    assert max(marked(first)) in marked(second)
    assert first.messages[3] == second.messages[3]


def test_a_tool_result_bears_its_mark_as_a_whole():
    ask = cached(Ask(messages=LOOP[:4], tools=TOOLS), CLAUDE)
    block = payload(claude(), ask)["messages"][-1]["content"][0]
    assert block == {
        "type": "tool_result",
        "content": [{"type": "text", "text": "4 °C"}],
        "tool_use_id": "call1",
        "is_error": False,
        **MARK,
    }


def test_a_single_question_is_not_paid_for_as_if_it_were_read_again():
    once = Ask(messages=(SYSTEM, ASKED))
    assert marked(cached(once, CLAUDE)) == [0]
    assert marked(cached(once, CLAUDE, key="t")) == [0, 1]
    assert marked(cached(Ask(messages=(SYSTEM, ASKED), tools=TOOLS), CLAUDE)) == [0, 1]


def test_an_hour_is_asked_for_by_name():
    ask = cached(Ask(messages=LOOP, tools=TOOLS), CLAUDE, ttl="1h")
    assert str(payload(claude(), ask)).count("'ttl': '1h'") == 4


USERS_OWN = {
    "a message": Ask(messages=(SystemMessage([{"type": "text", "text": "Long.", **MARK}]), ASKED)),
    "a setting": Ask(messages=LOOP, settings=MARK),
    "a tool": Ask(messages=LOOP, tools=Toolset.of([{"name": "a", "description": "b", "input_schema": {}, **MARK}])),
    "a tool's extras": Ask(messages=LOOP, tools=Toolset.of([weather.model_copy(update={"extras": MARK})])),
    "a key": Ask(messages=LOOP, settings={"prompt_cache_key": "mine"}),
    "a key in the extra body": Ask(messages=LOOP, settings={"extra_body": {"prompt_cache_key": "mine"}}),
}


@pytest.mark.parametrize("to", [CLAUDE, GPT], ids=["claude", "gpt"])
@pytest.mark.parametrize("where", USERS_OWN)
def test_what_the_user_has_said_of_caching_is_left_alone(where, to):
    assert cached(USERS_OWN[where], to, key="t") is USERS_OWN[where]


def test_telling_it_twice_tells_nothing_more():
    for to in (CLAUDE, GPT):
        once = cached(Ask(messages=LOOP, tools=TOOLS), to, key="t")
        assert cached(once, to, key="t") is once


def test_the_callers_messages_and_tools_stay_as_they_are():
    ask = Ask(messages=LOOP, tools=TOOLS)
    before = copy.deepcopy(ask.messages)
    cached(ask, CLAUDE, key="t")
    assert ask.messages == before
    assert all(not one.extras for one in TOOLS.given)


def test_a_toolset_marked_twice_is_one_toolset_for_which_wires_remember_the_binding():
    asks = [cached(Ask(messages=LOOP, tools=TOOLS), CLAUDE) for _ in range(2)]
    assert asks[0].tools is asks[1].tools
    assert asks[0].tools.schemas == TOOLS.schemas


UNMARKABLE = {
    "an empty result": result(1, ""),
    "white space": result(1, [{"type": "text", "text": " "}]),
    "an image by OpenAI's name": HumanMessage([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
}


@pytest.mark.parametrize("what", UNMARKABLE)
def test_where_no_mark_may_stand_the_message_before_bears_it(what):
    ask = Ask(messages=(SYSTEM, ASKED, result(0), UNMARKABLE[what]), tools=TOOLS)
    assert marked(cached(ask, CLAUDE)) == [0, 2]


def test_the_last_block_that_can_be_marked_is():
    blocks = [{"type": "text", "text": "See:"}, {"type": "image", "base64": "AA==", "mime_type": "image/png"}]
    ask = cached(Ask(messages=(SYSTEM, HumanMessage(blocks)), tools=TOOLS), CLAUDE)
    text, image = payload(claude(), ask)["messages"][0]["content"]
    assert "cache_control" not in text
    assert image["cache_control"] == MARK["cache_control"]


def test_a_picture_that_a_tool_took_bears_the_mark_of_its_result():
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    ask = cached(Ask(messages=(SYSTEM, ASKED, call(1), result(1, picture)), tools=TOOLS), CLAUDE)
    block = payload(claude(), ask)["messages"][-1]["content"][0]
    assert (block["type"], block["cache_control"]) == ("tool_result", MARK["cache_control"])


def test_results_for_code_that_claude_runs_bear_no_mark():
    by_code = {
        "type": "tool_use",
        "id": "call2",
        "name": "weather",
        "input": {},
        "caller": {"type": "code_execution_1"},
    }
    ask = Ask(messages=(*LOOP[:4], AIMessage([by_code], tool_calls=call(2).tool_calls), result(2)), tools=TOOLS)
    assert marked(cached(ask, CLAUDE)) == [0, 1, 3]


def test_a_half_said_answer_bears_no_mark():
    assert marked(cached(Ask(messages=(*LOOP, AIMessage("It is")), tools=TOOLS), CLAUDE)) == [0, 3, 5]


def test_tools_that_are_only_searched_for_bear_no_mark():
    deferred = news.model_copy(update={"extras": {"defer_loading": True}})
    hosted = {"type": "web_search_20250305", "name": "web_search"}
    ask = cached(Ask(messages=LOOP, tools=Toolset.of([weather, hosted, deferred])), CLAUDE)
    assert [one.get("cache_control") for one in payload(claude(), ask)["tools"]] == [None, MARK["cache_control"], None]
    plain = Ask(messages=LOOP, tools=Toolset.of([forecast]))
    assert cached(plain, CLAUDE).tools is plain.tools


def test_claude_on_bedrock_is_told_by_one_setting():
    to = Speaker(provider="amazon_bedrock", model="eu.anthropic.claude-opus-5", caching="setting")
    ask = cached(Ask(messages=LOOP, tools=TOOLS), to)
    assert ask.messages is LOOP
    assert ask.settings == {"cache_control": {"type": "ephemeral", "ttl": "5m"}}


def gpts():
    azure = AzureChatOpenAI(
        azure_deployment="gpt-5.6", api_version="2025-04-01-preview", azure_endpoint="https://x.example", api_key="k"
    )
    yield from (ChatOpenAI(model="gpt-5.6", api_key="k", use_responses_api=api) for api in (True, False))
    yield azure


@pytest.mark.parametrize("model", [*gpts()], ids=["responses", "chat", "azure"])
def test_openai_is_told_which_calls_have_one_beginning(model):
    to = speaker_of(ModelCard(name="it", model=model))
    keys = [payload(model, cached(Ask(messages=LOOP, tools=TOOLS), to, key=key))["prompt_cache_key"] for key in "aab"]
    assert keys[0] == keys[1] != keys[2]
    assert re.fullmatch("[0-9a-f]{32}", keys[0])
    assert "prompt_cache_key" not in payload(model, cached(Ask(messages=LOOP), to, key=None))


def test_our_own_wire_names_the_key_to_openai_and_to_nobody_else():
    for base_url, is_told in (("https://api.openai.com/v1", True), ("https://api.groq.com/openai/v1", False)):
        card = ModelCard(name="it", model="gpt-5.6", base_url=base_url)
        body = request_body(card, cached(Ask(messages=LOOP, tools=TOOLS), speaker_of(card), key="t"))
        assert ("prompt_cache_key" in body) is is_told
        assert "cache_control" not in str(body)


@pytest.mark.parametrize("provider", ["google_genai", "mistralai", None])
def test_who_caches_by_itself_is_told_nothing(provider):
    ask = Ask(messages=LOOP, tools=TOOLS)
    assert cached(ask, Speaker(provider=provider, model="m"), key="t") is ask


LEAST = [
    ("claude-opus-5-5", 512),
    ("claude-opus-4-7", 2048),
    ("anthropic.claude-opus-4-5-20251101-v1:0", 4096),
    ("claude-haiku-4-5", 4096),
    ("claude-opus-4-8", 1024),
    ("claude-opus-4-1", 1024),
    ("claude-sonnet-5-5", 1024),
    ("claude-3-5-haiku-20241022", 2048),
    ("claude-of-tomorrow", None),
]


@pytest.mark.parametrize(("model", "tokens"), LEAST)
def test_how_short_a_beginning_may_be_depends_on_the_model(model, tokens):
    assert least_tokens(Speaker(provider="anthropic", model=model)) == tokens


def test_nothing_is_said_of_a_prompt_too_short_to_be_kept():
    ask = Ask(messages=LOOP, tools=TOOLS)
    for to, least in ((CLAUDE, 512), (GPT, 1024)):
        assert cached(ask, to, key="t", tokens=least - 1) is ask
        assert cached(ask, to, key="t", tokens=least) is not ask
    assert cached(ask, Speaker(provider="anthropic", model="new", caching="marks"), tokens=1) is not ask
