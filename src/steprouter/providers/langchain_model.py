"""A wire to any LangChain chat model, through its own methods below the public ones.

The public methods (`invoke`, `stream` and their kin) would report a second model run for every routed call:
tokens streamed twice, usage counted twice, a trace inside the trace. What they do besides reporting is done
here: message formats are normalised, rate limiters are asked, streaming opt-outs are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import SecretStr

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..models.card import ModelCard
from ..step.ask import Ask
from .langchain_binding import Binder, Candidate, beside, marked, unwrapped
from .langchain_pieces import ChunkReader
from .partial_turns import partial_turn_style
from .refusals import NoFirstToken, Stalled
from .retries import changed, without_retries
from .sightings import seen
from .wire import Timeouts

try:
    # Not public, and the only place that knows LangChain's older block formats.
    from langchain_core.language_models._utils import _normalize_messages as normalised
except ImportError:  # pragma: no cover  # a later langchain-core; models then see messages as they are

    def normalised(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The messages as they are."""
        return list(messages)


class LangChainWire:
    """A wire to a LangChain chat model, which is copied where its SDK would retry and never changed.

    A task is interrupted when a piece does not come in time. A thread cannot be: there the SDK's own timeout is
    set, which models of OpenAI and Anthropic allow for each call; other models wait as long as they were told to
    when they were made.

    Args:
        model: A chat model, also one wrapped by `bind` or `with_config`; the wrapping's configuration (callbacks,
            tags) is not used, because the router's own run stands for the call.
        card: The candidate's card.

    Raises:
        ConfigError: `model` is no chat model, or retries or falls back by itself.
    """

    def __init__(self, model: object, card: ModelCard) -> None:
        candidate = unwrapped(model, card.name)
        self.card = card
        self._model = counting(without_retries(candidate.model), candidate.family)
        self._binder = Binder(Candidate(model=self._model, kwargs=candidate.kwargs))
        self._where = f"model {card.name!r}"
        self._secrets = secrets_in(self._model)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {type(self._model).__name__})"

    def stream(self, ask: Ask, timeouts: Timeouts) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece."""
        messages, stop, kwargs = self.arguments(ask, timeouts)
        if self._model.rate_limiter:
            self._model.rate_limiter.acquire(blocking=True)
        reader = ChunkReader()
        if not streams(self._model, kwargs, in_loop=False):
            yield from all_at_once(reader, self._model._generate(messages, stop=stop, **kwargs))
            return
        chunks = self._model._stream(messages, stop=stop, **kwargs)
        try:
            for chunk in chunks:
                if (piece := reader.chunk(chunk)) is not None:
                    yield piece
        except Exception:
            # Every integration has errors of its own. After the finish the answer is whole, whatever
            # happens to its last bytes; OpenAI's SDK raises there for answers that were cut at a limit.
            if not reader.finished:
                raise
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        yield from reader.close()

    async def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        messages, stop, kwargs = self.arguments(ask, timeouts)
        if self._model.rate_limiter:
            await self._model.rate_limiter.aacquire(blocking=True)
        reader = ChunkReader()
        patience = Waiting(self._where, reader, timeouts)
        if not streams(self._model, kwargs, in_loop=True):
            result = await patience.wait(self._model._agenerate(messages, stop=stop, **kwargs))
            for one in all_at_once(reader, result):
                yield one
            return
        chunks = self._model._astream(messages, stop=stop, **kwargs)
        try:
            while True:
                try:
                    chunk = await patience.wait(anext(chunks))
                except StopAsyncIteration:
                    break
                if (piece := reader.chunk(chunk)) is not None:
                    yield piece
                    patience.renew()
        except Exception:
            if not reader.finished:
                raise
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        for last in reader.close():
            yield last

    def arguments(self, ask: Ask, timeouts: Timeouts) -> tuple[list[BaseMessage], list[str] | None, dict[str, Any]]:
        """Messages, stop sequences and keyword arguments for the model's own methods.

        Raises:
            ConfigError: The model cannot bind the tools.
        """
        kwargs, messages = self._binder.kwargs(ask, timeouts), normalised(ask.messages)
        if (style := partial_turn_style(self.card, messages)) is not None:
            messages, kwargs = marked(messages, style), beside(kwargs, self._model, style)
        return messages, stops(ask), kwargs

    def saw(self, error: Exception) -> Seen:
        """The facts in an error this model raised: status, code, text, retry-after."""
        return seen(error, self._secrets)

    def check(self) -> None:
        """Nothing more to check without a request: the model was made by the caller."""

    def close(self) -> None:
        """Nothing to give back: connections belong to the caller's model, or are shared with it."""

    async def aclose(self) -> None:
        """As `close`."""


class Waiting:
    """How long a task waits for the next piece."""

    def __init__(self, where: str, reader: ChunkReader, timeouts: Timeouts) -> None:
        self._where = where
        self._reader = reader
        self._timeouts = timeouts
        self._until = asyncio.get_running_loop().time() + timeouts.first_token

    def renew(self) -> None:
        """A piece has been taken: the pause to the next one begins now."""
        self._until = asyncio.get_running_loop().time() + self._timeouts.idle

    async def wait(self, coming: Any) -> Any:
        """What `coming` brings.

        Raises:
            NoFirstToken: Nothing was said in time.
            Stalled: Nothing more was said in time.
        """
        watch = asyncio.timeout_at(self._until)
        try:
            async with watch:
                return await coming
        except TimeoutError as error:
            if not watch.expired():
                raise  # the model's own
            if self._reader.said:
                text = f"{self._where} paused for more than {self._timeouts.idle:g} s amid its answer"
                raise Stalled(text) from error
            raise NoFirstToken(f"{self._where} said nothing within {self._timeouts.first_token:g} s") from error


def all_at_once(reader: ChunkReader, result: ChatResult) -> Iterator[Delta]:
    """The pieces of an answer that was given at once."""
    piece = reader.whole(result.generations[0], result.llm_output) if result.generations else None
    if piece is not None:
        yield piece
    yield from reader.close()


def stops(ask: Ask) -> list[str] | None:
    """Stop sequences as LangChain wants them; None leaves the model's own."""
    return list(ask.stop) or None


def streams(model: BaseChatModel, kwargs: dict[str, Any], *, in_loop: bool) -> bool:
    """Whether to stream, by the same opt-outs that LangChain's public methods honour."""
    kind = type(model)
    own = kind._stream is not BaseChatModel._stream
    own_async = kind._astream is not BaseChatModel._astream
    if not (own or (in_loop and own_async)):
        return False
    if model.disable_streaming is True or (model.disable_streaming == "tool_calling" and kwargs.get("tools")):
        return False
    return not ("streaming" in model.model_fields_set and getattr(model, "streaming", None) is False)


def counting(model: BaseChatModel, family: str) -> BaseChatModel:
    """A model that reports its usage when it streams, unless the user said that it must not.

    ChatAnthropic leaves out the stop reason together with the usage, so there the user's word does not count:
    without a stop reason every answer would look cut off.
    """
    if "stream_usage" not in type(model).model_fields or getattr(model, "stream_usage", None) is True:
        return model
    unwanted = "stream_usage" in model.model_fields_set and getattr(model, "stream_usage", None) is False
    return model if unwanted and family != "anthropic" else changed(model, {"stream_usage": True})


def secrets_in(model: BaseChatModel) -> tuple[str, ...]:
    """Keys the model holds, which its provider's errors may quote."""
    values = vars(model).values()
    return tuple(key for value in values if isinstance(value, SecretStr) and (key := value.get_secret_value()))
