"""The wire to LangChain chat models: real SDKs on real sockets, and LangChain's own doubles."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from dialects import (
    anthropic_call,
    anthropic_start,
    anthropic_stop,
    anthropic_text,
    anthropic_thought,
    named,
    responses_end,
    responses_text,
)
from hearing import ASK, both_ways, calls, finishes, hear_into, heard, text
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import Field, SecretStr
from raw_server import DONE, RawServer, event, finish_event, head, rejection, text_event

from steprouter.answering.answer import Delta
from steprouter.errors import ConfigError
from steprouter.models.card import Abilities, ModelCard
from steprouter.models.cost import Usage
from steprouter.providers.langchain_model import LangChainWire
from steprouter.providers.refusals import NoFirstToken, Stalled
from steprouter.providers.wire import Timeouts
from steprouter.step.ask import Ask, Toolset
from steprouter.testing import ScriptedChatModel, SimulatedProvider, call, fail, say


@tool
def search(query: str) -> str:
    """Search the web."""
    return query


# Both SDKs share async clients beyond the event loop of a test; an idle connection would outlive it.
CLOSE = {"Connection": "close"}


def openai(url: str, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(model="m", base_url=url, api_key=SecretStr("sk-test-secret"), default_headers=CLOSE, **fields)


def anthropic(origin: str, **fields: Any) -> ChatAnthropic:
    return ChatAnthropic(
        model_name="claude-x",
        base_url=origin,
        api_key=SecretStr("sk-ant-secret"),
        default_headers=CLOSE,
        **fields,
    )


def wire_to(model: object) -> LangChainWire:
    return LangChainWire(model, ModelCard(name="m", model="stands:for-it"))


def asking(choice: object = None, **options: Any) -> Ask:
    return Ask(messages=ASK.messages, tools=Toolset.of([search], tool_choice=choice, options=options))


@both_ways
async def test_an_answer_comes_piece_by_piece_with_finish_and_usage_once(way: str) -> None:
    with SimulatedProvider({"m": say("Good day, all.")}) as provider:
        pieces = await heard(wire_to(openai(provider.url)), way)
    assert [piece.text for piece in pieces if piece.text] == ["Good", " day,", " all."]
    assert finishes(pieces) == ["stop"]
    assert [piece.usage.output_tokens for piece in pieces if piece.usage] == [4]


@both_ways
async def test_tool_calls_of_openai_keep_ids_and_raw_arguments(way: str) -> None:
    with SimulatedProvider({"m": call("search", '{"query": "x', id="c1")}) as provider:
        pieces = await heard(wire_to(openai(provider.url)), way, asking())
    assert [(name, args) for _, name, args in calls(pieces).values()] == [("search", '{"query": "x')]
    assert finishes(pieces) == ["tool_calls"]


@both_ways
async def test_a_truncated_stream_ends_without_a_finish(way: str) -> None:
    with SimulatedProvider({"m": say("one two three").cut(after_chunks=2)}) as provider:
        chat = await heard(wire_to(openai(provider.url)), way)
    with RawServer([responses_text("one", " two")]) as server:
        responses = await heard(wire_to(openai(server.url, use_responses_api=True)), way)
    with RawServer([anthropic_start() + anthropic_text(0, "one", " two")]) as server:
        claude = await heard(wire_to(anthropic(server.origin)), way)
    assert [(text(pieces), finishes(pieces)) for pieces in (chat, responses, claude)] == [("one two", [])] * 3


@both_ways
async def test_anthropics_usage_counts_the_cached_part_of_the_prompt(way: str) -> None:
    with RawServer([anthropic_start() + anthropic_text(0, "Hi") + anthropic_stop()]) as server:
        pieces = await heard(wire_to(anthropic(server.origin)), way)
    (usage,) = [piece.usage for piece in pieces if piece.usage]
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (14, 7, 4)
    assert (text(pieces), finishes(pieces)) == ("Hi", ["end_turn"])


@both_ways
async def test_anthropics_blocks_pass_through_beside_their_text_and_calls(way: str) -> None:
    said = anthropic_thought(0, "Hm") + anthropic_text(1, "Yes") + anthropic_call(2, "search", '{"query"', ': "x"}')
    with RawServer([anthropic_start() + said + anthropic_stop("tool_use")]) as server:
        pieces = await heard(wire_to(anthropic(server.origin)), way, asking())
    kinds = [block["type"] for piece in pieces for block in piece.blocks]
    assert (text(pieces), calls(pieces)) == ("Yes", {0: ("toolu_2", "search", '{"query": "x"}')})
    assert (kinds[0], "text" in kinds, "tool_use" in kinds) == ("thinking", True, True)


@both_ways
async def test_the_responses_api_finishes_with_its_status(way: str) -> None:
    cut = {"incomplete_details": {"reason": "max_output_tokens"}}
    with RawServer(
        [responses_text("Hi") + responses_end()], [responses_text("Hi") + responses_end("incomplete", **cut)]
    ) as server:
        model = openai(server.url, use_responses_api=True)
        answers = [await heard(wire_to(model), way) for _ in range(2)]
    assert [finishes(pieces) for pieces in answers] == [["completed"], ["max_output_tokens"]]
    usage = Usage(input_tokens=5, output_tokens=2, reasoning_tokens=1)
    assert [piece.usage for piece in answers[0] if piece.usage] == [usage]


@both_ways
async def test_details_name_the_model_and_hold_neither_ids_nor_finish(way: str) -> None:
    with SimulatedProvider({"m": say("one two")}) as provider:
        pieces = await heard(wire_to(openai(provider.url)), way)
    details: dict[str, Any] = {}
    for piece in pieces:
        details.update(piece.details or {})
    assert details == {"model_provider": "openai", "model_name": "m"}


@both_ways
async def test_a_response_format_is_sent_and_its_usage_counted_once(way: str) -> None:
    schema = {"title": "Number", "type": "object", "properties": {"n": {"type": "integer"}}}
    ask = Ask(messages=ASK.messages, tools=Toolset.of([], response_format=schema))
    with SimulatedProvider({"m": say('{"n": 7}')}) as provider:
        pieces = await heard(wire_to(openai(provider.url)), way, ask)
        sent = provider.requests[0].response_format or {}
    assert (text(pieces), sent["json_schema"]["name"]) == ('{"n": 7}', "Number")
    assert [piece.usage.output_tokens for piece in pieces if piece.usage] == [2]


@both_ways
async def test_an_answer_cut_at_its_limit_is_a_finish_and_no_sdk_error(way: str) -> None:
    ask = Ask(messages=ASK.messages, tools=Toolset.of([], response_format={"title": "N", "type": "object"}))
    with RawServer([head() + text_event('{"n') + finish_event("length") + DONE]) as server:
        pieces = await heard(wire_to(openai(server.url)), way, ask)
    assert (text(pieces), finishes(pieces)) == ('{"n', ["length"])


@both_ways
async def test_tools_are_bound_in_the_words_of_each_provider(way: str) -> None:
    claude = [anthropic_start() + anthropic_stop()]
    said = []
    for choice in ("any", "none", "auto", "search"):
        with RawServer(claude) as one, SimulatedProvider({"m": say("x")}) as other:
            await heard(wire_to(anthropic(one.origin)), way, asking(choice, parallel_tool_calls=False))
            await heard(wire_to(openai(other.url)), way, asking(choice))
            said.append((one.bodies[0]["tool_choice"]["type"], other.requests[0].tool_choice))
    named_tool = {"type": "function", "function": {"name": "search"}}
    assert said == [("any", "required"), ("none", "none"), ("auto", "auto"), ("tool", named_tool)]


@both_ways
async def test_a_model_that_cannot_say_none_is_given_no_tools(way: str) -> None:
    model = ScriptedChatModel(say("x"))
    await heard(wire_to(model), way, asking("none"))
    await heard(wire_to(model), way, asking("any"))
    assert [(len(request.tools), request.tool_choice) for request in model.calls] == [(0, None), (1, "required")]


def test_a_binding_is_made_once_for_a_toolset() -> None:
    made = []

    class Binding(ScriptedChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            made.append(len(tools))
            return super().bind_tools(tools, **kwargs)

    wire, ask = wire_to(Binding(say("x"))), asking()  # type: ignore[call-arg, arg-type]  # pydantic's plugin sees fields
    for _ in range(3):
        list(wire.stream(ask, Timeouts()))
    list(wire.stream(asking(), Timeouts()))
    assert made == [1, 1]


def test_a_model_without_bind_tools_is_refused_with_a_way_out() -> None:
    wire = wire_to(GenericFakeChatModel(messages=iter(["x"])))
    with pytest.raises(ConfigError, match="abilities=Abilities"):
        list(wire.stream(asking(), Timeouts()))


@both_ways
async def test_stop_sequences_settings_and_prebound_arguments_reach_the_model(way: str) -> None:
    model = ScriptedChatModel(say("one two STOP three"))
    ask = Ask(messages=ASK.messages, stop=("STOP",), settings={"temperature": 0.3, "model": "other"})
    pieces = await heard(wire_to(model.bind(seed=7, temperature=0.1).with_config(tags=["x"])), way, ask)
    (request,) = model.calls
    assert (text(pieces), request.seed, request.temperature, request.model) == ("one two ", 7, 0.3, "other")


@pytest.mark.parametrize(
    ("wrapped", "way_out"),
    [
        (lambda model: model.with_retry(), "the router retries"),
        (lambda model: model.with_fallbacks([model]), "candidate of its own"),
        (lambda model: model | RunnableLambda(str), "without parsers"),
        (lambda model: "gpt", "pass a chat model object"),
    ],
)
def test_wrappings_that_would_route_by_themselves_are_refused(wrapped: Any, way_out: str) -> None:
    with pytest.raises(ConfigError, match=way_out):
        wire_to(wrapped(ScriptedChatModel(say("x"))))


@both_ways
async def test_a_model_that_does_not_stream_answers_in_one_piece(way: str) -> None:
    model = ScriptedChatModel(say("one two").calling("search", query="é"), disable_streaming=True)
    pieces = await heard(wire_to(model), way, asking())
    ((_, name, args),) = calls(pieces).values()
    assert (pieces[0].text, name, args) == ("one two", "search", '{"query": "é"}')
    assert (finishes(pieces), len([piece for piece in pieces if piece.usage])) == (["tool_calls"], 1)


@both_ways
async def test_streaming_is_given_up_only_with_tools_where_the_model_says_so(way: str) -> None:
    model = ScriptedChatModel(say("one two"), disable_streaming="tool_calling")
    await heard(wire_to(model), way, asking())
    await heard(wire_to(model), way)
    assert [request.stream for request in model.calls] == [False, True]


class Plain(BaseChatModel):
    """A model with nothing but the one method LangChain asks for; it names no finish reason."""

    @property
    def _llm_type(self) -> str:
        return "plain"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("whole"))])


@both_ways
async def test_an_answer_given_whole_counts_as_finished(way: str) -> None:
    pieces = await heard(wire_to(Plain()), way)
    assert (text(pieces), finishes(pieces)) == ("whole", ["stop"])


@both_ways
async def test_a_models_own_mark_of_its_last_chunk_counts_as_finished(way: str) -> None:
    pieces = await heard(wire_to(GenericFakeChatModel(messages=iter(["one two"]))), way)
    assert (text(pieces), finishes(pieces)) == ("one two", ["stop"])


class Chunked(Plain):
    """Streams whatever chunks it is given."""

    chunks: list[Any]

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for message in self.chunks:
            yield ChatGenerationChunk(message=message)


def chunk_call(index: int | None, call_id: str | None, name: str | None, args: str) -> AIMessageChunk:
    fragment = {"index": index, "id": call_id, "name": name, "args": args, "type": "tool_call_chunk"}
    return AIMessageChunk(content="", tool_call_chunks=[fragment])  # type: ignore[list-item]  # its shape is right


@both_ways
async def test_calls_without_or_with_repeated_indices_are_told_apart(way: str) -> None:
    fragments = [
        chunk_call(None, "a", "search", "{}"),
        chunk_call(0, "b", "search", "{"),
        chunk_call(0, None, None, "}"),
        chunk_call(0, "c", "clock", "{}"),
    ]
    pieces = await heard(wire_to(Chunked(chunks=fragments)), way)
    assert calls(pieces) == {0: ("a", "search", "{}"), 1: ("b", "search", "{}"), 2: ("c", "clock", "{}")}


@both_ways
async def test_several_records_of_usage_add_up_to_one(way: str) -> None:
    asked = AIMessageChunk(content="x", usage_metadata={"input_tokens": 9, "output_tokens": 0, "total_tokens": 9})
    said = AIMessageChunk(content="y", usage_metadata={"input_tokens": 0, "output_tokens": 2, "total_tokens": 2})
    asked.usage_metadata["input_token_details"] = {"cache_read": 8}  # type: ignore[index]  # set above
    pieces = await heard(wire_to(Chunked(chunks=[asked, said])), way)
    expected = Usage(input_tokens=9, output_tokens=2, cache_read_tokens=8)
    assert [piece.usage for piece in pieces if piece.usage] == [expected]


@both_ways
async def test_odd_usage_and_metadata_never_cost_an_answer(way: str) -> None:
    message = AIMessageChunk(content=["Hi", {"type": "text", "text": "!"}], id="run-1")
    usage: Any = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4, "total_cost": 0.1}
    message.usage_metadata = usage
    message.response_metadata = {"done_reason": "stop", "id": "x", "nothing": None, "avg_logprobs": -0.1}
    (first, last) = await heard(wire_to(Chunked(chunks=[message])), way)
    assert (first.text, first.finish, first.details) == ("Hi!", "stop", {"avg_logprobs": -0.1})
    assert first.blocks == ({"type": "text", "text": "Hi"}, {"type": "text", "text": "!"})
    assert last.usage == Usage(input_tokens=3, output_tokens=1)


@both_ways
async def test_usage_is_asked_for_unless_the_user_said_no(way: str) -> None:
    with SimulatedProvider({"m": say("x")}) as provider:
        await heard(wire_to(openai(provider.url)), way)
        await heard(wire_to(openai(provider.url, stream_usage=False)), way)
        assert [request.include_usage for request in provider.requests] == [True, False]


@both_ways
async def test_anthropics_stop_reason_survives_a_user_who_wants_no_usage(way: str) -> None:
    with RawServer([anthropic_start() + anthropic_text(0, "Hi") + anthropic_stop()]) as server:
        pieces = await heard(wire_to(anthropic(server.origin, stream_usage=False)), way)
    assert finishes(pieces) == ["end_turn"]


class Counting(BaseRateLimiter):
    def __init__(self) -> None:
        self.acquired: list[str] = []

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired.append("sync")
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.acquired.append("async")
        return True


@both_ways
async def test_the_models_own_rate_limiter_is_asked_first(way: str) -> None:
    limiter = Counting()
    await heard(wire_to(ScriptedChatModel(say("x"), rate_limiter=limiter)), way)
    assert limiter.acquired == [way]


@both_ways
async def test_older_block_formats_are_normalised_as_the_public_methods_do(way: str) -> None:
    model = ScriptedChatModel(say("x"))
    block = {"type": "file", "source_type": "base64", "data": "AA==", "mime_type": "application/pdf", "filename": "a"}
    await heard(wire_to(model), way, Ask(messages=(HumanMessage([block]),)))
    (part,) = model.calls[0].messages[0]["content"]
    assert part == {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a"}}


async def test_a_task_does_not_wait_longer_than_it_was_told() -> None:
    short = Timeouts(first_token=0.1, idle=0.1)
    with pytest.raises(NoFirstToken):
        await heard(wire_to(ScriptedChatModel(say("x").slowly(first_token_seconds=30.0))), "async", timeouts=short)
    slow = ScriptedChatModel(say("x y").slowly(seconds_per_chunk=30.0))
    pieces: list[Delta] = []
    with pytest.raises(Stalled):
        await hear_into(pieces, wire_to(slow), "async", timeouts=short)
    assert text(pieces) == "x"


async def test_a_thread_waits_no_longer_than_the_sdks_read_limit_it_was_given() -> None:
    with RawServer([head() + text_event("x"), "hold"]) as server:
        wire, pieces = wire_to(openai(server.url)), list[Delta]()
        with pytest.raises(Exception, match="timed out") as caught:
            await hear_into(pieces, wire, "sync", timeouts=Timeouts(first_token=0.5, idle=0.1))
    assert (text(pieces), "ReadTimeout" in wire.saw(caught.value).classes) == ("x", True)


async def test_closing_early_closes_the_connection_of_the_model() -> None:
    with RawServer([head() + text_event("x"), "hold"]) as server:
        pieces = wire_to(openai(server.url)).stream(ASK, Timeouts())
        assert next(pieces).text == "x"
        pieces.close()  # type: ignore[attr-defined]  # a generator, as promised
        assert await asyncio.to_thread(server.gone.wait, 5)


class Naming(Plain):
    """Raises after its finish reason, as a connection that breaks amid the bookkeeping does."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="x"), generation_info={"finish_reason": "stop"})
        raise ConnectionResetError


async def test_a_finished_answer_is_kept_when_the_model_raises_after_it() -> None:
    pieces = await heard(wire_to(Naming()), "async")
    assert (text(pieces), finishes(pieces)) == ("x", ["stop"])


@both_ways
async def test_a_rejection_before_the_stream_is_seen_with_status_code_and_delay(way: str) -> None:
    with SimulatedProvider({"m": fail(429, "Slow down", retry_after_seconds=3)}) as provider:
        wire = wire_to(openai(provider.url))
        with pytest.raises(Exception, match="Slow down") as caught:
            await heard(wire, way)
    seen = wire.saw(caught.value)
    assert (seen.status, seen.code, seen.retry_after_seconds) == (429, "rate_limit_exceeded", 3.0)
    assert {"RateLimitError", "ModelRateLimitError"} <= set(seen.classes)


@both_ways
async def test_anthropics_overload_is_seen_before_the_stream_and_inside_it(way: str) -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    before = rejection("529 Overloaded", b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    with RawServer(before, [anthropic_start() + anthropic_text(0, "x") + named("error", error=error)]) as server:
        wire = wire_to(anthropic(server.origin))
        found = []
        for _ in range(2):
            with pytest.raises(Exception, match="verloaded") as caught:
                await heard(wire, way)
            found.append(wire.saw(caught.value))
    assert [(seen.status, seen.code) for seen in found] == [(529, "overloaded_error"), (200, "overloaded_error")]


@both_ways
async def test_errors_inside_openais_streams_are_seen_although_unclassified(way: str) -> None:
    inside = event({"error": {"message": "Try later", "type": "server_error", "code": "server_error"}})
    with RawServer([head() + text_event("x") + inside]) as server:
        chat = wire_to(openai(server.url))
        with pytest.raises(Exception, match="Try later") as caught:
            await heard(chat, way)
        assert (chat.saw(caught.value).status, chat.saw(caught.value).code) == (None, "server_error")
    failing = named("error", sequence_number=9, code="rate_limit_exceeded", message="Slow down", param=None)
    with RawServer([responses_text("x") + failing]) as server:
        responses = wire_to(openai(server.url, use_responses_api=True))
        with pytest.raises(ValueError, match="Slow down") as caught_too:
            await heard(responses, way)
    assert responses.saw(caught_too.value).code == "rate_limit_exceeded"


@both_ways
async def test_a_connection_dropped_amid_anthropics_stream_is_seen_by_its_class(way: str) -> None:
    said = anthropic_start().replace(b"connection: close", b"content-length: 99999") + anthropic_text(0, "x")
    with RawServer([said, "reset"]) as server:
        wire = wire_to(anthropic(server.origin))
        with pytest.raises(Exception) as caught:  # raw, from whichever HTTP library the SDK has
            await heard(wire, way)
    assert {"ReadError", "RemoteProtocolError"} & set(wire.saw(caught.value).classes)


def test_keys_of_the_model_are_masked_in_what_is_seen() -> None:
    wire = wire_to(openai("http://127.0.0.1:1/v1"))
    assert wire.saw(ValueError("got sk-test-secret")).text == "got ***"
    assert "sk-test" not in repr(wire)


class Recording(GenericFakeChatModel):
    """Keeps what it was asked."""

    asked: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)
    extra_body: dict[str, Any] | None = None

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.asked.append((messages, kwargs))
        yield from super()._stream(messages, *args, **kwargs)


PARTIAL = AIMessage("Once upon a", additional_kwargs={"own": 1})


async def asked(last: BaseMessage, **fields: Any) -> tuple[BaseMessage, dict[str, Any]]:
    """The last message and the keyword arguments that a model gets which goes on from partial turns."""
    model = Recording(messages=iter([AIMessage("time")]), extra_body={"top_k": 1})
    given = {"name": "m", "model": "stands:for-it", "abilities": Abilities(prefill=True), **fields}
    await heard(LangChainWire(model, ModelCard(**given)), "sync", Ask(messages=(*ASK.messages, last)))
    ((messages, kwargs),) = model.asked
    return messages[-1], kwargs


async def test_mistrals_models_are_given_the_mark_of_a_partial_turn_on_a_copy() -> None:
    message, kwargs = await asked(PARTIAL, model="mistralai:mistral-large-2512")
    assert message.additional_kwargs == {"own": 1, "prefix": True}
    assert (PARTIAL.additional_kwargs, "extra_body" in kwargs) == ({"own": 1}, False)


async def test_models_at_a_vllm_are_told_of_a_partial_turn_beside_their_own_fields() -> None:
    message, kwargs = await asked(PARTIAL, prefill_style="continue_final_message")
    assert message == PARTIAL
    assert kwargs["extra_body"] == {"top_k": 1, "continue_final_message": True, "add_generation_prompt": False}


@pytest.mark.parametrize(
    ("last", "fields"),
    [
        (PARTIAL, {}),
        (PARTIAL, {"model": "mistralai:m", "abilities": Abilities()}),
        (HumanMessage("Go on."), {"model": "mistralai:m"}),
        (HumanMessage("Go on."), {"prefill_style": "continue_final_message"}),
    ],
)
async def test_messages_go_out_as_they_are_where_nothing_marks_a_partial_turn(
    last: BaseMessage, fields: dict[str, Any]
) -> None:
    message, kwargs = await asked(last, **fields)
    assert (message, "extra_body" in kwargs) == (last, False)


async def test_openais_sdk_sends_a_partial_turn_to_a_vllm_as_it_wants_it() -> None:
    with SimulatedProvider({"m": say("time.")}) as provider:
        model = openai(provider.url)
        card = ModelCard(
            name="m", model=model, abilities=Abilities(prefill=True), prefill_style="continue_final_message"
        )
        await heard(LangChainWire(model, card), "sync", Ask(messages=(*ASK.messages, PARTIAL)))
        (request,) = provider.requests
    assert request.messages[-1] == {"role": "assistant", "content": "Once upon a"}
    assert request.extra == {"continue_final_message": True, "add_generation_prompt": False}
