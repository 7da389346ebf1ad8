"""The real clients of the three formats, and the four ways of asking them."""

from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from functools import cache
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI

from steprouter.testing import SimulatedProvider

# LangChain keeps connections beyond the event loop of a test; an idle one would outlive it.
COMMON: dict[str, Any] = {"api_key": "x", "max_retries": 0, "default_headers": {"Connection": "close"}}

FORMATS = ("chat", "responses", "messages")


def client(wire: str, provider: SimulatedProvider, **fields: Any) -> BaseChatModel:
    """The real client of a format, as users point it at the provider; made once for each address."""
    return made(wire, provider.url if wire != "messages" else provider.root_url, **fields)


@cache
def made(wire: str, url: str, **fields: Any) -> BaseChatModel:
    match wire:
        case "chat":
            return ChatOpenAI(model="small", base_url=url, stream_usage=True, **COMMON, **fields)
        case "responses":
            return ChatOpenAI(model="small", base_url=url, use_responses_api=True, **COMMON, **fields)
        case _:
            return ChatAnthropic(model="small", base_url=url, **COMMON, **fields)  # type: ignore[call-arg]


WHOLE = ("invoke", "ainvoke")
STREAMED = ("stream", "astream")


async def ask(model: Any, way: str, asked: Any = "Hello") -> AIMessage:
    """The answer, whichever way it comes; chunks are merged."""
    match way:
        case "invoke":
            return model.invoke(asked)  # type: ignore[no-any-return]
        case "ainvoke":
            return await model.ainvoke(asked)  # type: ignore[no-any-return]
        case _:
            heard = [chunk async for chunk in chunks(model, way, asked)]
            return sum(heard[1:], heard[0])


async def chunks(model: Any, way: str, asked: Any = "Hello") -> AsyncIterator[AIMessageChunk]:
    if way == "stream":
        with closing(model.stream(asked)) as stream:
            for chunk in stream:
                yield chunk
    else:
        async with aclosing(model.astream(asked)) as astream:
            async for chunk in astream:
                yield chunk


async def heard_until(model: Any, way: str, words: str) -> str:
    """The text as far as those words; then the client goes away."""
    heard = ""
    async with aclosing(chunks(model, way)) as stream:  # type: ignore[type-var]
        async for chunk in stream:
            heard += chunk.text
            if words in heard:
                break
    return heard


async def heard_until_error(model: Any, way: str) -> tuple[str, Exception | None]:
    """The text that came, and the error that ended it."""
    heard = ""
    try:
        async for chunk in chunks(model, way):
            heard += chunk.text
    except Exception as error:
        return heard, error
    return heard, None
