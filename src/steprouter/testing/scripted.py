"""A chat model without a provider: LangChain's interface, scripted answers, in process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    InvalidToolCall,
    ToolCall,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import (
    InputTokenDetails,
    OutputTokenDetails,
    UsageMetadata,
    add_ai_message_chunks,
)
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from .clock import Clock, SystemClock
from .faults import (
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Fault,
    Garbage,
    HangUp,
    InvalidUtf8,
    Raise,
    Rejection,
    SplitUtf8,
    Stall,
)
from .obliging import obliging
from .plan import FaultPlan
from .raised import SimulatedError, SimulatedStreamError
from .reply import Reply, Usage
from .request import Request
from .rewriting import afflicted, rewritten
from .script import Reel, Script
from .speech import Piece, Speech, speak

ON_A_WIRE_ONLY = (CutAtByte, Stall, Garbage, InvalidUtf8, SplitUtf8)
"""Faults of bytes and sockets, which a model in process has none of."""


class ScriptedChatModel(BaseChatModel):
    """A LangChain chat model that answers by script and records what it was asked.

        model = ScriptedChatModel([call("search", query="x"), say("Found it.")], model_name="small")

    Faults act as they would on a provider's client: a `Rejection` raises `SimulatedError`, an `ErrorEvent`
    `SimulatedStreamError`, a `HangUp` or a `Cut` by `reset` raises `ConnectionResetError`, any other `Cut` ends
    the stream without finish reason and usage, and `Raise` raises what it holds. `ContentFilter`, `WrongTool`,
    `BrokenArguments`, `Duplicate`, `HugeChunk` and `Slow` change the chunks. `Stall`, `CutAtByte`, `Garbage`,
    `InvalidUtf8` and `SplitUtf8` need a wire. The last chunk carries usage and
    `response_metadata={"model_name", "model_provider": "scripted", "finish_reason"}`.

    Args:
        script: See `Script`; `obliging` answers anything.
        clock: Waits for replies that take their time; None waits for real.
        faults: Which calls meet which fault, whatever the script says.

    Raises:
        ValueError: A fault needs a wire. A script that is lazy is told when its turn comes.

    Attributes:
        model_name: What it calls itself.
        temperature: Passed on in requests.
        max_tokens: Limit on answers, in tokens.
        stop: Texts before which answers end.
        seed: Passed on in requests.
    """

    model_name: str = "scripted"
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    _reel: Reel = PrivateAttr()
    _clock: Clock = PrivateAttr()
    _plan: FaultPlan | None = PrivateAttr()
    _calls: list[Request] = PrivateAttr(default_factory=list)

    def __init__(
        self,
        script: Script = obliging,
        *,
        clock: Clock | None = None,
        faults: FaultPlan | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(**fields)
        known = [script] if isinstance(script, Reply) else script if isinstance(script, list | tuple) else []
        for fault in [*(faults.faults if faults else ()), *(line.fault for line in known if isinstance(line, Reply))]:
            check_in_process(fault)
        self._reel = Reel(script)
        self._clock = clock or SystemClock()
        self._plan = faults

    @property
    def calls(self) -> tuple[Request, ...]:
        """Every request so far, in order."""
        return tuple(sorted(self._calls, key=lambda request: request.call))

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "scripted"
        params["ls_model_name"] = kwargs.get("model") or self.model_name
        return params

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools in OpenAI's format.

        Args:
            tools: Anything LangChain can turn into a tool.
            tool_choice: `auto`, `none`, `any`, `required`, True, a tool's name, or OpenAI's object.
            **kwargs: Bound as they are.
        """
        bound = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None and tool_choice is not False:
            kwargs["tool_choice"] = openai_choice(tool_choice)
        return self.bind(tools=bound, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return whole(list(self._chunks(messages, stop, stream=False, **kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return whole([chunk async for chunk in self._achunks(messages, stop, stream=False, **kwargs)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from self._chunks(messages, stop, stream=True, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in self._achunks(messages, stop, stream=True, **kwargs):
            yield chunk

    def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for beat in self._beats(messages, stop, **kwargs):
            if isinstance(beat, int | float):
                self._clock.sleep(beat)
            else:
                yield beat

    async def _achunks(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for beat in self._beats(messages, stop, **kwargs):
            if isinstance(beat, int | float):
                await self._clock.asleep(beat)
            else:
                yield beat

    def _beats(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk | float]:
        request = self._reel.number(self._request(messages, stop, **kwargs))
        self._calls.append(request)
        reply = self._reel.reply(request)
        planned = self._plan.decide(request.call, request) if self._plan else None
        reply = reply if planned is None else replace(reply, fault=planned)
        check_in_process(reply.fault)
        return beats(request, rewritten(reply, request))

    def _request(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        *,
        stream: bool,
        tools: Sequence[dict[str, Any]] = (),
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Request:
        return Request(
            model=kwargs.pop("model", None) or self.model_name,
            messages=tuple(convert_to_openai_messages(messages, include_id=False)),
            tools=tuple(tools),
            tool_choice=tool_choice,
            response_format=kwargs.pop("response_format", None),
            stream=stream,
            include_usage=stream,
            max_tokens=kwargs.pop("max_tokens", self.max_tokens),
            temperature=kwargs.pop("temperature", self.temperature),
            stop=tuple(stop if stop is not None else self.stop or ()),
            seed=kwargs.pop("seed", self.seed),
            extra=kwargs,
        )


def openai_choice(choice: str | bool | dict[str, Any]) -> str | dict[str, Any]:
    """A tool choice as OpenAI writes it."""
    if isinstance(choice, dict) or choice in ("auto", "none", "required"):
        return choice
    if choice is True or choice == "any":
        return "required"
    return {"type": "function", "function": {"name": choice}}


def check_in_process(fault: Fault | None) -> None:
    """Refuse a fault that needs a wire.

    Raises:
        ValueError: It does.
    """
    if isinstance(fault, ON_A_WIRE_ONLY):
        raise ValueError(
            f"a ScriptedChatModel plays faults that need no wire, got {fault!r}; give it to a SimulatedProvider, or "
            "use Cut, ErrorEvent, HangUp, Raise or Slow here"
        )


def beats(request: Request, reply: Reply) -> Iterator[ChatGenerationChunk | float]:
    """An answer as it happens: chunks, and waits in seconds between them.

    Raises:
        SimulatedError: The reply is a rejection.
        SimulatedStreamError: It holds an error event.
        ConnectionResetError: The connection is scripted to break.
        Exception: Whatever a `Raise` holds.
    """
    speech = afflicted(speak(reply, request), reply)
    kept = speech.pieces
    if reply.first_token_seconds:
        yield float(reply.first_token_seconds)
    match reply.fault:
        case Rejection() as rejection:
            raise SimulatedError(rejection, reply.headers)
        case HangUp():
            raise ConnectionResetError("Connection reset by peer")
        case Raise(error=error, after_chunks=0):
            raise error
        case Cut(after_chunks=count) | Raise(after_chunks=count) | ErrorEvent(after_chunks=count):
            kept = kept[:count]
        case Duplicate(chunk=number) if kept:
            again = min(number, len(kept) - 1)
            kept = (*kept[: again + 1], *kept[again:])
    # Providers open a stream with a chunk that holds the role and no content; so does this.
    yield ChatGenerationChunk(message=AIMessageChunk(content=""))
    for index, piece in enumerate(kept):
        if index and reply.seconds_per_chunk:
            yield float(reply.seconds_per_chunk)
        yield ChatGenerationChunk(message=spoken(piece))
    match reply.fault:
        case Cut(how="reset"):
            raise ConnectionResetError("Connection reset by peer")
        case Cut():
            return
        case ErrorEvent() as fault:
            raise SimulatedStreamError(fault)
        case Raise(error=error):
            raise error
    yield ChatGenerationChunk(message=last_chunk(request, speech))


def whole(chunks: Sequence[ChatGenerationChunk]) -> ChatResult:
    """All chunks as one answer.

    Arguments that are not valid JSON make an invalid call, as with every provider's whole answers. Merged
    chunks would not do: they complete half an object by guessing.
    """
    parts = [chunk.message for chunk in chunks if isinstance(chunk.message, AIMessageChunk)]
    merged = add_ai_message_chunks(AIMessageChunk(content=""), *parts)
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for part in merged.tool_call_chunks:
        args = parsed(part)
        if args is None:
            invalid.append(
                invalid_tool_call(name=part["name"], args=part["args"], id=part["id"], error="not a JSON object")
            )
        else:
            calls.append(tool_call(name=part["name"] or "", args=args, id=part["id"]))
    message = AIMessage(
        content=merged.content,
        additional_kwargs=merged.additional_kwargs,
        response_metadata=merged.response_metadata,
        usage_metadata=merged.usage_metadata,
        tool_calls=calls,
        invalid_tool_calls=invalid,
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def parsed(part: ToolCallChunk) -> dict[str, Any] | None:
    """The arguments of a call, or None if they are not a JSON object."""
    try:
        args = json.loads(part["args"] or "{}")
    except ValueError:
        return None
    return args if isinstance(args, dict) else None


def spoken(piece: Piece) -> AIMessageChunk:
    """One piece as LangChain's chunk."""
    match piece.kind:
        case "text":
            return AIMessageChunk(content=piece.text)
        case "reasoning":
            return AIMessageChunk(content="", additional_kwargs={"reasoning_content": piece.text})
        case "call":
            opened = tool_call_chunk(name=piece.text, args="", id=piece.id, index=piece.index)
            return AIMessageChunk(content="", tool_call_chunks=[opened])
        case "arguments":
            part = tool_call_chunk(args=piece.text, index=piece.index)
            return AIMessageChunk(content="", tool_call_chunks=[part])


def last_chunk(request: Request, speech: Speech) -> AIMessageChunk:
    """The empty chunk that says why the answer ended and what it used."""
    return AIMessageChunk(
        content="",
        response_metadata={
            "model_name": request.model,
            "model_provider": "scripted",
            "finish_reason": speech.finish_reason,
        },
        usage_metadata=usage_metadata(speech.usage),
        chunk_position="last",
    )


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Usage in LangChain's names."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )
