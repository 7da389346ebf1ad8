"""What is measured against: a model that does nothing, a server that answers at once, and the barest client.

Run as a program it is the server, in a process of its own:

    python benchmarks/stand_ins.py
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

WORD = "token "
FINISH = {"finish_reason": "stop", "model_name": "instant", "model_provider": "nobody"}


class InstantModel(BaseChatModel):
    """A chat model that answers at once: what remains is LangChain's own cost, and that of whoever wraps it.

    Attributes:
        pieces: How many pieces a streamed answer has.
    """

    pieces: int = 20

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, which change nothing."""
        return self.bind(tools=list(tools), **kwargs)

    def usage(self) -> UsageMetadata:
        """What the answer is said to have used."""
        return UsageMetadata(input_tokens=100, output_tokens=self.pieces, total_tokens=100 + self.pieces)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = WORD * self.pieces
        message = AIMessage(content=text, response_metadata=dict(FINISH), usage_metadata=self.usage())
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.pieces):
            yield ChatGenerationChunk(message=AIMessageChunk(content=WORD))
        last = AIMessageChunk(
            content="", response_metadata=dict(FINISH), usage_metadata=self.usage(), chunk_position="last"
        )
        yield ChatGenerationChunk(message=last)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


# The server: OpenAI's Chat Completions, every answer encoded beforehand and sent in one write

MODEL = re.compile(rb'"model": ?"pieces-(\d+)"')
STREAM = re.compile(rb'"stream": ?true')
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def completion(kind: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
    """A chat completion object as OpenAI sends it."""
    named = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "instant", "system_fingerprint": None}
    return json.dumps({**named, "choices": choices, **more}).encode()


@cache
def streamed_answer(pieces: int) -> bytes:
    """An answer in events, each in an HTTP chunk of its own, as providers flush them."""

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return completion("chat.completion.chunk", [choice], usage=None)

    usage = {"prompt_tokens": 100, "completion_tokens": pieces, "total_tokens": 100 + pieces}
    events = [event({"role": "assistant", "content": ""}), *[event({"content": WORD})] * pieces, event({}, "stop")]
    events += [completion("chat.completion.chunk", [], usage=usage), b"[DONE]"]
    body = b"".join(b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data) for data in events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + body + b"0\r\n\r\n"


@cache
def whole_answer(pieces: int) -> bytes:
    """An answer in one JSON body."""
    message = {"role": "assistant", "content": WORD * pieces, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": pieces, "total_tokens": 100 + pieces}
    body = completion("chat.completion", [choice], usage=usage)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


class InstantServer(asyncio.Protocol):
    """One connection of the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is whole."""
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self.heard = b""
        named = MODEL.search(body)
        pieces = int(named[1]) if named else 1
        self.transport.write(streamed_answer(pieces) if STREAM.search(body) else whole_answer(pieces))


async def serve() -> None:
    """Listen on a free port of the loopback interface, and say which."""
    server = await asyncio.get_running_loop().create_server(InstantServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def instant_server() -> Iterator[str]:
    """The server in a process of its own; gives its base URL."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


# The barest client: httpx, one `json.loads` for each event, and nothing else


def words(data: bytes, rest: list[bytes]) -> Iterator[str]:
    """The words in the events that `data` completes; what is left waits in `rest`."""
    *events, last = (rest.pop() + data if rest else data).split(b"\n\n")
    rest.append(last)
    for event in events:
        if event != b"data: [DONE]":
            for choice in json.loads(event[6:])["choices"]:
                if word := choice["delta"].get("content"):
                    yield word


def bare_stream(client: httpx.Client, url: str, body: dict[str, Any]) -> Iterator[str]:
    """The words of a streamed answer."""
    rest: list[bytes] = []
    with client.stream("POST", f"{url}/chat/completions", json=body) as response:
        for data in response.iter_raw():
            yield from words(data, rest)


async def bare_astream(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> AsyncIterator[str]:
    """The words of a streamed answer."""
    rest: list[bytes] = []
    async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
        async for data in response.aiter_raw():
            for word in words(data, rest):
                yield word


if __name__ == "__main__":
    asyncio.run(serve())
