"""Candidates that send exactly one request, counted by a real server that always answers 503."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from dialects import anthropic_start, anthropic_stop, anthropic_text
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import SecretStr
from raw_server import RawServer, rejection

from steprouter.providers.retries import without_retries
from steprouter.testing import ScriptedChatModel, say

BUSY = rejection("503 Unavailable", b'{"error":{"type":"overloaded_error","message":"busy"}}', retry_after="0.01")
CLOSE = {"Connection": "close"}
KEY = SecretStr("sk-test")


def openai(server: RawServer) -> BaseChatModel:
    return ChatOpenAI(model="m", base_url=server.url, api_key=KEY, default_headers=CLOSE)


def responses(server: RawServer) -> BaseChatModel:
    return ChatOpenAI(model="m", base_url=server.url, api_key=KEY, default_headers=CLOSE, use_responses_api=True)


def azure(server: RawServer) -> BaseChatModel:
    return AzureChatOpenAI(
        azure_endpoint=server.origin, azure_deployment="m", api_version="1", api_key=KEY, default_headers=CLOSE
    )


def anthropic(server: RawServer) -> BaseChatModel:
    return claude(base_url=server.origin, default_headers=CLOSE)


def claude(**fields: Any) -> ChatAnthropic:
    return ChatAnthropic(model_name="claude-x", api_key=KEY, **fields)


def invoke(model: BaseChatModel) -> None:
    model.invoke("Hi")


def stream(model: BaseChatModel) -> None:
    list(model.stream("Hi"))


def ainvoke(model: BaseChatModel) -> None:
    asyncio.run(model.ainvoke("Hi"))


def astream(model: BaseChatModel) -> None:
    async def hear() -> None:
        async for _ in model.astream("Hi"):
            pass

    asyncio.run(hear())


@pytest.mark.parametrize("call", [invoke, stream, ainvoke, astream])
@pytest.mark.parametrize("make", [openai, responses, azure, anthropic])
def test_exactly_one_request_arrives_whatever_the_model_and_the_call(
    make: Callable[[RawServer], BaseChatModel], call: Callable[[BaseChatModel], None]
) -> None:
    with RawServer(BUSY) as server:
        with pytest.raises(Exception, match="busy"):
            call(without_retries(make(server)))
        assert len(server.requests) == 1


@pytest.mark.parametrize("make", [openai, anthropic])
def test_the_users_own_object_goes_on_to_retry(make: Callable[[RawServer], BaseChatModel]) -> None:
    with RawServer(BUSY) as server:
        model = make(server)
        before = dict(vars(model))
        without_retries(model)
        assert vars(model) == before
        with pytest.raises(Exception, match="busy"):
            model.invoke("Hi")
        assert len(server.requests) == 3


def test_a_model_that_was_used_before_is_quietened_too() -> None:
    with RawServer(BUSY) as server:
        model = anthropic(server)
        with pytest.raises(Exception, match="busy"):
            model.invoke("Hi")
        server.requests.clear()
        with pytest.raises(Exception, match="busy"):
            without_retries(model).invoke("Hi")
        assert len(server.requests) == 1


def test_what_the_user_left_unset_stays_unset_in_the_copy() -> None:
    model = ChatOpenAI(model="m", base_url="http://127.0.0.1:1/v1", api_key=KEY, temperature=0.5)
    assert without_retries(model).model_fields_set == model.model_fields_set


def test_a_model_without_retries_is_given_back_as_it_is() -> None:
    model = ScriptedChatModel(say("x"))
    assert without_retries(model) is model
    quiet = claude(max_retries=0)
    assert without_retries(quiet) is quiet


class ChatGoogleGenerativeAI(ScriptedChatModel):
    """Stands in for Google's class, whose `max_retries` counts attempts."""

    max_retries: int = 6


class Elsewhere(ScriptedChatModel):
    """Stands in for an integration that reads its field at each call."""

    max_retries: int | None = None


@pytest.mark.parametrize(("kind", "quiet"), [(ChatGoogleGenerativeAI, 1), (Elsewhere, 0)])
def test_a_field_is_set_to_what_means_one_attempt_there(kind: Any, quiet: int) -> None:
    assert without_retries(kind(say("x"))).max_retries == quiet


def test_an_answer_still_comes_from_the_quiet_copy() -> None:
    with RawServer([anthropic_start() + anthropic_text(0, "Hi") + anthropic_stop()]) as server:
        assert "".join(str(chunk.content) for chunk in without_retries(anthropic(server)).stream("Hi")) == "Hi"
