"""The router as a chat model, outside graphs: every public way in, what comes out, and what is refused."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import threading
from itertools import repeat
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError, ModelError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from steprouter import (
    Abilities,
    AllModelsFailed,
    AnswerBroken,
    ConfigError,
    ModelCard,
    NoAbleModel,
    Policy,
    Price,
    Resumption,
    StepRouter,
    Tier,
)
from steprouter.errors import ContextTooLong
from steprouter.testing import (
    HangUp,
    Reply,
    ScriptedChatModel,
    SimulatedError,
    SimulatedProvider,
    Usage,
    call,
    fail,
    say,
)

TIERS = (Tier.LOW, Tier.MID, Tier.HIGH)
V3_IS_BETA = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
ANSWER = say("three small words", usage=Usage(input_tokens=1_000_000, output_tokens=1_000_000))


@tool
def weather(city: str) -> str:
    """Weather in a city."""
    return f"rain in {city}"


class City(BaseModel):
    """A city."""

    name: str


def without_estimate(trace):
    """A trace as its step told it: what an answer cache would have looked for is added off the path."""
    return trace.model_copy(update={"cached": None})


def card(place: int, script: Any, **fields: Any) -> ModelCard:
    model = ScriptedChatModel(script, model_name=f"m{place}")
    price = Price(input=place + 1, output=place + 1)
    return ModelCard(name=f"m{place}", model=model, tier=TIERS[place], price=price, **fields)


def router_over(*scripts: Any, **fields: Any) -> StepRouter:
    """A router over models `m0`, `m1` …, each dearer and stronger than the one before."""
    return StepRouter([card(i, script) for i, script in enumerate(scripts)], store="memory", **fields)


def requests_to(router: StepRouter) -> int:
    models: list[Any] = [card.model for card in router.cards]
    return sum(len(model.calls) for model in models)


def added(chunks: Any) -> Any:
    first, *rest = chunks
    for chunk in rest:
        first = first + chunk
    return first


async def collected(chunks: Any) -> list[Any]:
    return [chunk async for chunk in chunks]


WAYS = ("invoke", "ainvoke", "stream", "astream")


async def answer(model: Any, way: str, *args: Any, **kwargs: Any) -> Any:
    """The whole message that one of the public ways gives."""
    match way:
        case "invoke":
            return model.invoke("hi", *args, **kwargs)
        case "ainvoke":
            return await model.ainvoke("hi", *args, **kwargs)
        case "stream":
            return added(model.stream("hi", *args, **kwargs))
        case _:
            return added(await collected(model.astream("hi", *args, **kwargs)))


# Every way in


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_in_gives_the_same_answer(way):
    message = await answer(router_over([ANSWER]), way)
    assert (message.text, message.usage_metadata["total_tokens"]) == ("three small words", 2_000_000)


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_in_fails_over_before_the_first_token(way):
    message = await answer(router_over([fail(503)], [ANSWER]), way)
    assert (message.text, message.response_metadata["steprouter"]["attempts"]) == ("three small words", 2)


async def test_batches_answer_every_input_as_a_step_of_its_own():
    router = router_over(repeat(ANSWER))
    assert [m.text for m in router.batch(["a", "b"])] == ["three small words"] * 2
    assert [m.text for m in await router.abatch(["a", "b"])] == ["three small words"] * 2
    assert len(router.traces.list()) == 4


def test_a_batch_gives_back_the_error_of_one_input_among_answers():
    router = StepRouter([card(0, lambda r: fail(503) if r.prompt == "b" else say("ok"))], store="memory")
    first, second = router.batch(["a", "b"], return_exceptions=True)
    assert first.text == "ok"
    assert isinstance(second, AllModelsFailed)


async def test_astream_events_v2_of_the_router_itself_tell_each_token_once():
    events = await collected(router_over([ANSWER]).astream_events("hi", version="v2"))
    text = "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream")
    assert text == "three small words"


@V3_IS_BETA
async def test_v3_streams_of_the_router_itself_give_text_and_the_whole_message():
    router = router_over(repeat(ANSWER))
    stream = router.stream_events("hi", version="v3")
    assert "".join(stream.text) == "three small words"
    assert stream.output.response_metadata["steprouter"]["model"] == "m0"
    astream = await router.astream_events("hi", version="v3")
    assert (await astream.output).text == "three small words"


@pytest.mark.parametrize("fields", [{"disable_streaming": True}, {"streaming": False}], ids=str)
def test_streaming_switched_off_gives_the_whole_answer_at_once(fields):
    pieces = list(router_over([ANSWER], **fields).stream("hi"))
    assert [piece.text for piece in pieces] == ["three small words"]


def test_streaming_switched_off_for_tool_calls_only_concerns_calls_with_tools():
    router = router_over(repeat(ANSWER), disable_streaming="tool_calling")
    assert len(list(router.stream("hi"))) > 1
    assert len(list(router.bind_tools([weather]).stream("hi"))) == 1


def test_streaming_switched_on_makes_invoke_stream_and_the_answer_is_the_same():
    message = router_over([ANSWER], streaming=True).invoke("hi")
    assert (message.text, message.response_metadata["steprouter"]["model"]) == ("three small words", "m0")


def test_stream_false_for_one_call_is_not_sent_to_a_model():
    router = router_over([ANSWER])
    assert router.invoke("hi", stream=False).text == "three small words"
    model: Any = router.cards[0].model
    assert "stream" not in model.calls[0].extra


@pytest.mark.parametrize("way", WAYS)
async def test_output_version_v1_gives_content_blocks(way):
    message = await answer(router_over([ANSWER], output_version="v1"), way)
    assert [(b["type"], b["text"]) for b in message.content] == [("text", "three small words")]


# What an answer carries


KEYS = {
    "step_id", "kind", "model", "reason", "attempts", "outcome", "problems", "cache", "cost_usd",
    "reference_cost_usd", "saved_usd", "seconds", "resumed", "degraded",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_tells_model_kind_cost_and_saving(way):
    message = await answer(router_over([ANSWER], []), way)
    told = message.response_metadata["steprouter"]
    assert set(told) == KEYS
    assert (told["model"], told["kind"], told["attempts"], told["outcome"]) == ("m0", "chat", 1, "sufficient")
    assert (told["cost_usd"], told["reference_cost_usd"], told["saved_usd"]) == (2.0, 4.0, 2.0)


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_names_the_model_that_gave_it_after_a_failover(way):
    metadata = (await answer(router_over([fail(503)], [ANSWER]), way)).response_metadata
    assert (metadata["model_name"], metadata["model_provider"]) == ("m1", "scripted")
    assert metadata["finish_reason"] == "stop"
    assert "lc_gateway_metadata" not in metadata


def test_only_the_last_chunk_carries_usage_and_metadata():
    *before, last = router_over([ANSWER]).stream("hi")
    assert all(not c.response_metadata and c.usage_metadata is None for c in before)
    assert last.usage_metadata is not None
    assert (last.chunk_position, last.content, last.usage_metadata["output_tokens"]) == ("last", "", 1_000_000)


def test_a_failed_attempt_is_paid_for_in_the_trace_and_not_in_the_messages_usage():
    router = router_over([call("weather", city="Oslo").cut(after_chunks=2)], [ANSWER])
    message = router.bind_tools([weather]).invoke("hi")
    first, second = router.traces.list()[0].attempts
    assert message.usage_metadata == {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "total_tokens": 2_000_000}
    assert (first.estimated, first.cost_usd is not None and first.cost_usd > 0) == (True, True)
    assert message.response_metadata["steprouter"]["cost_usd"] == (first.cost_usd or 0) + (second.cost_usd or 0)


def test_the_reason_told_belongs_to_the_attempt_whose_answer_was_given():
    router = router_over([call("weather", town="Oslo")], [fail(503)])
    told = router.bind_tools([weather]).invoke("hi").response_metadata["steprouter"]
    assert (told["model"], told["outcome"]) == ("m0", "insufficient")
    assert told["reason"].startswith("m0: cheapest")


# Commit rules: what may still be taken back


@pytest.mark.parametrize("reply", [HangUp(), HangUp(how="reset")], ids=str)
@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_hangs_up_is_followed_by_the_next_model(reply, way):
    with SimulatedProvider({"a": [Reply(fault=reply)], "b": [ANSWER]}) as provider:
        models = [
            ModelCard(name=n, model=n, base_url=provider.url, tier=t, price=Price(input=1, output=1))
            for n, t in (("a", Tier.LOW), ("b", Tier.HIGH))
        ]
        router = StepRouter(models, store="memory")
        assert (await answer(router, way)).text == "three small words"
        await router.aclose()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_cut_in_text_nobody_has_seen_is_followed_by_the_next_model(how):
    for way in ("invoke", "ainvoke"):
        router = router_over([say("one two three").cut(after_chunks=2, how=how)], [ANSWER])
        assert (await answer(router, way)).text == "three small words"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_cut_in_text_that_was_shown_is_an_error_with_what_was_said(how, way):
    policy = Policy(resume=Resumption(resumes=0))
    router = router_over([say("one two three").cut(after_chunks=2, how=how)], [ANSWER], policy=policy)
    with pytest.raises(AnswerBroken) as broken:
        await answer(router, way)
    assert broken.value.partial == "one"
    assert broken.value.trace == without_estimate(router.traces.list()[0])
    assert isinstance(broken.value, ModelError)
    assert broken.value.is_retryable


def test_a_cut_before_anything_but_white_space_is_followed_by_the_next_model():
    router = router_over([say(" \n hello").cut(after_chunks=0)], [ANSWER])
    assert added(router.stream("hi")).text == "three small words"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (call("weather", town="Oslo"), "arguments of 'weather'"),
        (call("weather", '{"city": "Os'), "not a JSON object"),
        (call("wether", city="Oslo"), "unknown tool"),
        (say(""), "empty answer"),
        (say("  \n"), "empty answer"),
    ],
    ids=["wrong arguments", "broken JSON", "unknown tool", "empty", "white space"],
)
async def test_an_answer_that_fails_a_check_unseen_is_asked_of_a_stronger_model(way, wrong, problem):
    router = router_over([wrong], [call("weather", city="Oslo")])
    message = await answer(router.bind_tools([weather]), way)
    assert message.tool_calls[0]["args"] == {"city": "Oslo"}
    assert problem in router.traces.list()[0].attempts[0].problems[0]


@pytest.mark.parametrize("way", WAYS)
async def test_broken_arguments_from_every_model_become_an_invalid_tool_call(way):
    router = router_over([call("weather", '{"city": "Os')], [call("weather", '{"city": "Os')])
    message = await answer(router.bind_tools([weather]), way)
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"].endswith('{"city": "Os')


def test_tool_calls_appear_in_a_stream_only_when_they_are_whole():
    chunks: list[Any] = list(router_over([call("weather", city="Oslo")]).bind_tools([weather]).stream("hi"))
    spoken = [c for c in chunks if c.tool_call_chunks]
    assert [c.tool_call_chunks[0]["args"] for c in spoken] == ['{"city": "Oslo"}']


@pytest.mark.parametrize("way", WAYS)
async def test_parallel_tool_calls_come_in_order_with_their_own_ids(way):
    both = call("weather", city="Oslo").calling("weather", city="Rome")
    message = await answer(router_over([both]).bind_tools([weather]), way)
    assert [c["args"]["city"] for c in message.tool_calls] == ["Oslo", "Rome"]
    assert len({c["id"] for c in message.tool_calls}) == 2


def test_structured_output_streams_only_once_it_is_whole_and_right():
    router = router_over([say('{"name": 1}')], [say('{"name": "Oslo"}')])
    bound = router.bind_tools([], response_format=City)
    assert [c.text for c in bound.stream("hi") if c.text] == ['{"name": "Oslo"}']


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_reasoning_in_additional_arguments_arrives_whole(way):
    message = await answer(router_over([say("Yes.", reasoning="let me think about it")]), way)
    assert message.additional_kwargs == {"reasoning_content": "let me think about it"}


# Choosing for one call


def test_a_call_may_insist_on_a_model_by_name():
    router = router_over([], repeat(say("large")))
    assert router.invoke("hi", model="m1").text == "large"
    assert router.bind(model="m1").invoke("hi").text == "large"
    assert router.invoke("hi", {"metadata": {"steprouter_model": "m1"}}).text == "large"


def test_settings_of_a_call_win_over_the_routers_and_reach_the_model():
    router = router_over(repeat(ANSWER), temperature=0.1, max_tokens=50, stop=["END"])
    router.invoke("hi")
    router.invoke("hi", temperature=0.9, stop=["x"], seed=3)
    model: Any = router.cards[0].model
    first, second = model.calls
    assert (first.temperature, first.max_tokens, first.stop) == (0.1, 50, ("END",))
    assert (second.temperature, second.stop, second.seed) == (0.9, ("x",), 3)


def test_recommend_decides_without_a_request_and_without_a_trace():
    router = router_over([], [])
    decision = router.recommend("hi", tools=[weather], tool_choice="any")
    assert decision.models == ("m0", "m1")
    assert (requests_to(router), router.traces.list()) == (0, [])


async def test_arecommend_decides_like_recommend():
    router = router_over([], [])
    assert (await router.arecommend("hi")).models == router.recommend("hi").models


def test_a_reported_answer_is_checked_traced_and_remembered_as_one_of_the_routers_own():
    router = router_over([], [])
    decision = router.recommend("What is the weather in Bern?", tools=[weather])
    wrong = AIMessage("", tool_calls=[{"name": "weather", "args": {"town": "Bern"}, "id": "c1"}])
    trace = router.report(decision, wrong, seconds=0.2)
    assert (trace.model, trace.outcome, trace.seconds) == ("m0", "insufficient", 0.2)
    router.engine.sink.flush()
    assert [t.step_id for t in router.traces.list()] == [decision.step_id]
    again = router.recommend("What is the weather in Bern?", tools=[weather])
    seen = {c.model: c.weighed.odds.mass for c in again.candidates}
    assert (seen["m0"] > 0, seen["m1"]) == (True, 0)


def test_a_report_may_say_how_good_the_answer_was():
    router = router_over([], [])
    decision = router.recommend("hi")
    trace = router.report(decision, "Hello!", model="m1", score=0.25)
    assert (trace.model, router.traces.get(trace.step_id).feedback[0].score) == ("m1", 0.25)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "m9"}, "model must be a candidate of the decision, one of ['m0', 'm1'], got 'm9'"),
        ({"score": 7}, "score must be between 0 (useless) and 1 (right), got 7"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused_and_can_be_made_again(settings, says):
    router = router_over([], [])
    decision = router.recommend("hi")
    with pytest.raises(ConfigError, match=re.escape(says)):
        router.report(decision, "Hello!", **settings)
    assert router.report(decision, "Hello!").model == "m0"
    with pytest.raises(ConfigError, match="that was not reported on yet"):
        router.report(decision, "Hello!")


def test_feedback_is_kept_once_with_the_step():
    router = router_over([ANSWER])
    step = router.invoke("hi").response_metadata["steprouter"]["step_id"]
    router.feedback(step, 1.0, reason="right")
    router.feedback(step, 1.0, reason="right")
    trace = router.traces.get(step)
    assert trace is not None
    assert [(f.score, f.reason) for f in trace.feedback] == [(1.0, "right")]


# Errors


@pytest.mark.parametrize("way", WAYS)
async def test_all_models_failing_tells_every_failure_and_the_trace(way):
    router = router_over([fail(503)], [fail(429)], policy=Policy(patience_seconds=0))
    with pytest.raises(AllModelsFailed) as failed:
        await answer(router, way)
    assert [type(e) for e in failed.value.exceptions] == [SimulatedError, SimulatedError]
    assert failed.value.trace == without_estimate(router.traces.list()[0])
    assert isinstance(failed.value, ModelError)


@pytest.mark.parametrize(("statuses", "retryable"), [((401, 404), False), ((401, 503), True), ((429, 429), True)])
def test_all_models_failing_says_truthfully_whether_a_retry_may_help(statuses, retryable):
    with pytest.raises(AllModelsFailed) as failed:
        router_over(*[[fail(status)] for status in statuses]).invoke("hi")
    assert failed.value.is_retryable is retryable


def test_a_prompt_too_long_for_every_model_is_langchains_overflow_error():
    long = fail(400, code="context_length_exceeded")
    with pytest.raises(ContextTooLong) as failed:
        router_over([long], [long]).invoke("hi")
    assert isinstance(failed.value, ContextOverflowError)
    assert not failed.value.is_retryable


@pytest.mark.parametrize("way", WAYS)
async def test_a_refused_request_keeps_its_own_error_and_is_tried_once(way):
    router = router_over([fail(400, "temperature must be lower")], [ANSWER])
    with pytest.raises(SimulatedError) as refused:
        await answer(router, way)
    assert "no other model was tried" in refused.value.__notes__[0]
    assert requests_to(router) == 1


def test_an_error_in_the_first_models_own_code_is_a_failed_attempt():
    router = router_over([say("x").raising(ZeroDivisionError("oops"))], [ANSWER])
    assert router.invoke("hi").text == "three small words"


# What is refused before anything is sent


def image() -> list[HumanMessage]:
    block = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return [HumanMessage([{"type": "text", "text": "what is it"}, block])]


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown model": (lambda r: r.invoke("hi", model="m9"), "model must name one of"),
    "unknown tool choice": (lambda r: r.bind_tools([weather], tool_choice="wether"), "must name a bound tool"),
    "odd tool choice": (lambda r: r.bind_tools([weather], tool_choice=7), "tool_choice must be"),
    "images": (lambda r: r.invoke(image()), "cannot read images"),
    "tools": (lambda r: r.bind_tools([weather]).invoke("hi"), "cannot call tools"),
    "window": (lambda r: r.invoke("word " * 4000), "window"),
    "score": (lambda r: r.feedback("x", 2), "score must be between 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(case):
    use, says = REFUSED[case]
    with SimulatedProvider({"m": ANSWER}) as provider:
        able = Abilities(images=False, tools=False)
        models = [ModelCard(name="m", model="m", base_url=provider.url, abilities=able, window_tokens=2000)]
        with pytest.raises(ConfigError, match=says):
            use(StepRouter(models, store="memory"))
        assert provider.requests == ()


@pytest.mark.parametrize("way", WAYS)
async def test_no_able_model_is_told_the_same_in_every_way(way):
    router = StepRouter([card(0, [], abilities=Abilities(tools=False))], store="memory")
    with pytest.raises(NoAbleModel, match="m0: cannot call tools"):
        await answer(router.bind_tools([weather]), way)


WRONG: dict[str, tuple[Any, str]] = {
    "no models": (lambda: StepRouter([], store="memory"), "models must not be empty"),
    "two of one name": (lambda: StepRouter([card(0, []), card(0, [])], store="memory"), "unique, got 'm0' twice"),
    "no model": (lambda: StepRouter([3], store="memory"), "models must be ModelCards"),  # type: ignore[list-item]
    "one model, no list": (lambda: StepRouter("openai:gpt-x", store="memory"), "models must be a list"),
    "a mapping as policy": (lambda: router_over([], policy={"mode": "observe"}), "policy must be a Policy, got dict"),
    "a word as temperature": (lambda: router_over([], temperature="hot"), "temperature: .* valid number"),
    "store": (lambda: StepRouter([card(0, [])], store="nope"), "store must be"),
    "bare name": (lambda: StepRouter(["gpt-x"], store="memory"), "give base_url"),
    "api_key": (lambda: router_over([], api_key="k"), "takes no 'api_key'"),
    "max_retries": (lambda: router_over([], max_retries=2), "takes no 'max_retries'"),
    "journal_key": (lambda: router_over([], journal_key="k"), r"write memory_policy=MemoryPolicy\(journal_key=…\)"),
    "max_attempts": (lambda: router_over([], max_attempts=2), r"write policy=Policy\(max_attempts=…\)"),
    "model": (lambda: router_over([], model="gpt-x"), "takes no 'model'"),
    "budget": (lambda: router_over([], budget=1.0), "budget must be a Budget"),
    "answer_cache": (lambda: router_over([], answer_cache="yes"), "answer_cache must be an AnswerCache"),
    "unknown reference": (lambda: router_over([], policy=Policy(reference="m7")), "unknown model 'm7'"),
    "wrapped by retry": (
        lambda: StepRouter([ModelCard(name="a", model=ScriptedChatModel().with_retry())], store="memory"),  # type: ignore[arg-type]
        "with_retry",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_refused_when_the_router_is_made(case):
    make, says = WRONG[case]
    with pytest.raises(ConfigError, match=says):
        make()


# Copies


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: r.model_copy(), lambda r: r.model_copy(deep=True)]
)
def test_a_copy_answers_and_shares_engine_and_connections(copied):
    router = router_over([ANSWER])
    twin = copied(router)
    assert twin.invoke("hi").text == "three small words"
    assert twin.engine is router.engine


def test_pickling_is_refused_with_a_way_out():
    with pytest.raises(TypeError, match=r"cannot be pickled; make one in each process.*from_file"):
        pickle.dumps(router_over([]))


def test_a_router_prints_no_key_and_no_store_url():
    key = SecretStr("sk-12345678")
    router = StepRouter([ModelCard(name="m", model="m", base_url="http://h/v1", api_key=key)], store="memory")
    printed = repr(router) + str(router)
    assert "sk-12345678" not in printed
    assert "store=" not in printed


def test_binding_gives_a_binding_that_others_can_look_into():
    bound: Any = router_over([]).bind_tools([weather], tool_choice="any")
    assert isinstance(bound, RunnableBinding)
    assert bound.kwargs["tools"][0]["function"]["name"] == "weather"
    assert bound.kwargs["tool_choice"] == "any"


@pytest.mark.parametrize(
    "choice", ["any", "required", True, {"type": "any"}, "weather", {"type": "tool", "name": "weather"}]
)
def test_every_spelling_of_a_forced_tool_forces_it(choice):
    router = router_over([call("weather", city="Oslo")])
    assert router.bind_tools([weather], tool_choice=choice).invoke("hi").tool_calls
    model: Any = router.cards[0].model
    assert model.calls[0].tool_choice in ("required", {"type": "function", "function": {"name": "weather"}})


# The consumer goes away


def slow() -> Reply:
    # Chinese is shown as it comes; of other scripts the last word is held, as it may go on.
    return say("一 two three four").slowly(seconds_per_chunk=30)


def cancelled(router: StepRouter) -> tuple[str, bool, bool]:
    """Outcome of the only step, whether its one attempt was cancelled, and whether it is paid for."""
    (trace,) = router.traces.list()
    (attempt,) = trace.attempts
    failure = attempt.failure.kind if attempt.failure else None
    return trace.outcome, failure == "cancelled", bool(attempt.cost_usd)


CANCELLED = ("cancelled", True, True)


def test_closing_a_stream_early_settles_the_step_once():
    router = router_over([ANSWER])
    stream = router.stream("hi")
    assert next(stream).text == "three"
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert cancelled(router) == CANCELLED


async def test_closing_an_async_stream_early_settles_the_step_before_it_returns():
    router = router_over([ANSWER])
    stream = router.astream("hi")
    assert (await anext(stream)).text == "three"
    await stream.aclose()  # type: ignore[attr-defined]  # a generator
    assert cancelled(router) == CANCELLED


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_a_timeout_around_a_step_settles_it_once(way):
    router = router_over([slow()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await answer(router, way)
    assert cancelled(router) == CANCELLED


async def test_a_cancelled_task_settles_its_step_once():
    router = router_over([slow()])
    started = asyncio.Event()

    async def listen() -> None:
        async for _ in router.astream("hi"):
            started.set()

    task = asyncio.create_task(listen())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled(router) == CANCELLED


def test_a_keyboard_interrupt_passes_through_and_settles_the_step():
    def interrupted(request: Any) -> Reply:
        raise KeyboardInterrupt

    router = StepRouter([card(0, interrupted), card(1, [])], store="memory")
    with pytest.raises(KeyboardInterrupt):
        router.invoke("hi")
    assert [t.outcome for t in router.traces.list()] == ["cancelled"]


def test_a_stream_that_is_never_read_leaves_nothing_behind():
    router = router_over([])
    router.stream("hi")
    assert (requests_to(router), router.traces.list()) == (0, [])


async def test_closing_an_async_stream_early_closes_the_connection():
    with SimulatedProvider({"m": slow()}) as provider:
        router = StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")
        stream = router.astream("hi")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # a generator
        wire: Any = router.engine.driver.wires["m"]
        connections = wire._connections.async_client()._transport._pool.connections
        assert all(connection.is_closed() for connection in connections)
        await router.aclose()


def test_closing_a_stream_early_closes_the_connection():
    with SimulatedProvider({"m": slow()}) as provider:
        router = StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")
        stream = router.stream("hi")
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # a generator
        wire: Any = router.engine.driver.wires["m"]
        assert wire._connections.client()._transport._pool.connections == []
        router.close()


# Threads and reuse


def test_eight_threads_at_once_make_eight_whole_answers():
    with SimulatedProvider({"m": lambda r: say(f"you said {r.prompt}")}) as provider:
        router = StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")
        said: dict[int, str] = {}

        def work(number: int) -> None:
            said[number] = added(router.stream(f"number {number}")).text

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        router.close()
    assert said == {n: f"you said number {n}" for n in range(8)}


def test_a_closed_router_answers_again():
    with SimulatedProvider({"m": ANSWER}) as provider:
        router = StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")
        for _ in range(2):
            assert router.invoke("hi").text == "three small words"
            router.close()


def test_two_event_loops_after_each_other_and_threads_between_share_a_router():
    with SimulatedProvider({"m": ANSWER}) as provider:
        router = StepRouter([ModelCard(name="m", model="m", base_url=provider.url)], store="memory")

        async def once() -> str:
            try:
                return (await router.ainvoke("hi")).text
            finally:
                await router.aclose()

        assert {asyncio.run(once()), router.invoke("hi").text, asyncio.run(once())} == {"three small words"}
        router.close()


def test_a_message_of_the_router_can_be_sent_back_to_it():
    router = router_over(repeat(ANSWER))
    first = router.invoke("hi")
    assert router.invoke([HumanMessage("hi"), first, HumanMessage("again")]).text == "three small words"
    assert isinstance(first, AIMessage)
    assert not isinstance(first, AIMessageChunk)
