"""What a step said as LangChain messages: live chunks, the last chunk, the whole message, the error."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models._compat_bridge import finalize_tool_call_chunk
from langchain_core.messages import AIMessageChunk
from langchain_core.utils.json import parse_partial_json

from steprouter.answering.answer import Answer, Delta, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.moves import GiveUp
from steprouter.answering.progress import Progress
from steprouter.errors import AllModelsFailed, AnswerBroken, ContextTooLong
from steprouter.flow import Outcome
from steprouter.messages import closing_chunks, error_of, live_chunk, merged, spoken_call, summary, whole_message
from steprouter.models.card import Tier
from steprouter.models.cost import Usage
from steprouter.routing.decision import Candidate, Decision
from steprouter.step.step import Step, StepKind
from steprouter.tracing.make import make_trace
from steprouter.tracing.record import Trace

STEP = Step(id="step-1", kind=StepKind.CHAT)
PROVIDER = {"model_provider": "openai", "model_name": "gpt-x"}
USAGE = Usage(input_tokens=5, output_tokens=3)
DECISION = Decision(
    candidates=tuple(Candidate(model=m, tier=Tier.LOW, kept=True, reason=f"{m} is able") for m in ("small", "large")),
    reason="small: small is able",
)


def ended(*attempts: Attempt, gave_up: Any = None) -> tuple[Outcome, Trace]:
    """An ended step; answered by its last attempt that has an answer, unless it was given up."""
    answered = [a for a in attempts if a.answer is not None]
    given = answered[-1] if answered and gave_up is None else None
    outcome = Outcome(
        step=STEP,
        decision=DECISION,
        progress=Progress(events=tuple(attempts)),
        answered_by=given,
        gave_up=GiveUp(why=gave_up) if gave_up else None,
    )
    word = "sufficient" if given else str(gave_up)
    trace = make_trace(
        STEP, DECISION, Progress(events=tuple(attempts)), answered_by=given, outcome=word, prices={}, seconds=0.5
    )
    return outcome, trace


def said(**fields: Any) -> Attempt:
    return Attempt(model="small", answer=Answer(finish="stop", usage=USAGE, **fields), usage=USAGE)


def tool(raw: str, *, call_id: str | None = "c1", name: str = "weather") -> ToolCall:
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    return ToolCall(id=call_id, name=name, args=value if isinstance(value, dict) else None, raw=raw)


def streamed(attempt: Attempt, *, shape: str | None = None) -> AIMessageChunk:
    chunks = [c.message for c in closing_chunks(*ended(attempt), PROVIDER, shape=shape)]
    message = reduce(add, chunks)
    assert isinstance(message, AIMessageChunk)
    return message


def failed(kind: FailureKind = FailureKind.UNAVAILABLE, *, model: str = "small", shown: str = "") -> Attempt:
    error = OSError(f"{model} {kind}")
    phase = Phase.IN_TEXT if shown else Phase.BEFORE_FIRST_TOKEN
    return Attempt(model=model, shown=shown, failure=Failure(kind=kind, phase=phase, model=model, error=error))


# Content


def test_a_live_chunk_of_text_has_no_metadata_of_its_own():
    message = live_chunk(Delta("hello")).message
    assert (message.content, message.response_metadata, message.id) == ("hello", {}, None)


def test_a_live_chunk_of_blocks_says_whose_blocks_they_are():
    block = {"type": "text", "text": "hello", "index": 0}
    message = live_chunk(Delta("hello", blocks=(block,)), "anthropic").message
    assert (message.content, message.response_metadata) == ([block], {"model_provider": "anthropic"})


def test_blocks_of_one_index_that_waited_together_are_one_block():
    pieces = ({"type": "thinking", "thinking": "hm", "index": 0}, {"type": "thinking", "signature": "S", "index": 0})
    message = live_chunk(Delta(blocks=pieces), "anthropic").message
    assert message.content == [{"type": "thinking", "thinking": "hm", "signature": "S", "index": 0}]


def test_plain_text_among_blocks_becomes_a_block_and_is_not_lost():
    content, _ = merged([Delta("Hello "), Delta("you", blocks=({"type": "text", "text": "you", "index": 0},))])
    assert [block["text"] for block in content] == ["Hello ", "you"]


def test_additional_arguments_of_pieces_go_on_where_they_stopped():
    _, extra = merged([Delta(extra={"reasoning_content": "a"}), Delta(extra={"reasoning_content": "b"})])
    assert extra == {"reasoning_content": "ab"}


@given(st.lists(st.text(max_size=5), max_size=8))
def test_text_is_neither_lost_nor_doubled_in_the_whole_message(parts):
    message = whole_message(*ended(said(text="".join(parts), unshown=tuple(map(Delta, parts)))), PROVIDER)
    assert message.content == "".join(parts)


# The last chunk and the whole message


def test_the_last_chunk_carries_the_only_usage_and_metadata():
    *_, last = closing_chunks(*ended(said(text="hi", unshown=(Delta("hi"),))), PROVIDER)
    assert isinstance(last.message, AIMessageChunk)
    assert last.message.chunk_position == "last"
    assert last.message.usage_metadata == {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    assert last.generation_info == {"lc_gateway_metadata": {"model": "gpt-x", "provider": "openai"}}


def test_an_answer_that_was_shown_in_full_closes_with_one_empty_chunk():
    (last,) = closing_chunks(*ended(said(text="hi")), PROVIDER)
    assert last.message.content == ""


def test_the_last_chunk_of_an_answer_in_blocks_is_an_empty_list():
    (last,) = closing_chunks(*ended(said(text="hi")), PROVIDER, shape="anthropic")
    assert (last.message.content, last.message.response_metadata["model_provider"]) == ([], "anthropic")


def test_streamed_and_whole_answers_say_the_same():
    attempt = said(
        unshown=(Delta("hi", extra={"refusal": ""}),), tool_calls=(tool('{"city": "Oslo"}'), tool("{", call_id="c2"))
    )
    whole, chunks = whole_message(*ended(attempt), PROVIDER), streamed(attempt)
    assert whole.tool_calls == chunks.tool_calls
    assert (whole.content, whole.additional_kwargs) == (chunks.content, chunks.additional_kwargs)
    assert whole.usage_metadata == chunks.usage_metadata
    assert whole.response_metadata == chunks.response_metadata
    assert [c["id"] for c in whole.invalid_tool_calls] == [c["id"] for c in chunks.invalid_tool_calls] == ["c2"]


def test_no_usage_known_is_no_usage_said():
    attempt = Attempt(model="small", answer=Answer(text="hi", finish="stop"))
    assert whole_message(*ended(attempt), PROVIDER).usage_metadata is None


@pytest.mark.parametrize(("theirs", "ours"), [("end_turn", "stop"), ("tool_use", "tool_calls"), ("odd", "odd")])
def test_finish_reasons_are_told_in_the_words_consumers_compare_with(theirs, ours):
    attempt = Attempt(model="small", answer=Answer(text="hi", finish=theirs))
    assert whole_message(*ended(attempt), PROVIDER).response_metadata["finish_reason"] == ours


def test_what_the_answer_says_of_itself_wins_over_the_card():
    metadata = whole_message(*ended(said(details={"model_name": "gpt-x-0613", "n": None})), PROVIDER).response_metadata
    assert (metadata["model_name"], metadata["model_provider"], "n" in metadata) == ("gpt-x-0613", "openai", False)


def test_the_summary_is_plain_json():
    told = summary(ended(said(text="hi"))[1])
    assert json.loads(json.dumps(told)) == told


# Tool calls


OPEN_BRACKETS = '{"path": "/home/bob'
NOT_OBJECTS = [
    OPEN_BRACKETS,
    "{",
    "[]",
    '"text"',
    "3",
    "null",
    '{"a": 1',
    '{"a": 1}}',
    "}{",
    "nonsense",
    '"{\\"a\\": 1}"',
]


@pytest.mark.parametrize("raw", NOT_OBJECTS)
def test_broken_arguments_are_arguments_to_neither_of_langchains_parsers(raw):
    args = spoken_call(0, tool(raw), ended(said())[1])["args"]
    assert not isinstance(parse_partial_json(args), dict)
    block = finalize_tool_call_chunk(raw_args=args, id_="c1", name="x", extras={}, finalized_type="tool_call")
    assert block["type"] == "invalid_tool_call"


@given(st.text(max_size=30).filter(lambda raw: tool(raw).args is None))
def test_no_text_that_is_not_an_object_ever_becomes_a_call(raw):
    message = streamed(said(tool_calls=(tool(raw),)))
    assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1)


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.none())))
def test_whole_arguments_arrive_exactly_as_they_were_said(args):
    assert streamed(said(tool_calls=(tool(json.dumps(args)),))).tool_calls[0]["args"] == args


def test_calls_without_ids_get_ids_that_differ_and_are_the_same_in_both_ways():
    attempt = said(tool_calls=(tool("{}", call_id=None), tool("{}", call_id=None)))
    ids = [call["id"] for call in streamed(attempt).tool_calls]
    assert ids == ["call_step-1_0", "call_step-1_1"]
    assert [call["id"] for call in whole_message(*ended(attempt), PROVIDER).tool_calls] == ids


def native(call_id: str, kind: str = "tool_use") -> dict[str, Any]:
    key = "call_id" if kind == "function_call" else "id"
    return {"type": kind, key: call_id, "name": "weather", "index": 1}


@pytest.mark.parametrize("kind", ["tool_use", "function_call", "tool_call"])
def test_the_content_block_of_a_broken_call_is_left_out_and_others_stay(kind):
    text = {"type": "text", "text": "hi", "index": 0}
    held = Delta("hi", blocks=(text, native("c1", kind), {**native("c2", kind), "index": 2}))
    attempt = said(unshown=(held,), tool_calls=(tool("{}"), tool("{", call_id="c2")))
    assert whole_message(*ended(attempt), PROVIDER).content == [text, native("c1", kind)]


def test_a_call_in_blocks_has_the_number_of_its_block():
    attempt = said(unshown=(Delta(blocks=(native("c1"),)),), tool_calls=(tool("{}"), tool("{}", call_id="c2")))
    assert [c["index"] for c in streamed(attempt, shape="anthropic").tool_call_chunks] == [1, None]


# Errors


def test_a_refused_request_raises_the_error_it_met():
    error = error_of(*ended(failed(FailureKind.BAD_REQUEST), gave_up="bad_request"))
    assert isinstance(error, OSError)
    assert error.__notes__ == ["step step-1: no other model was tried, the request itself was refused"]


def test_a_broken_answer_carries_what_was_shown_and_its_cause():
    outcome, trace = ended(failed(FailureKind.BROKEN_STREAM, shown="Once upon"), gave_up="broken")
    error = error_of(outcome, trace)
    assert isinstance(error, AnswerBroken)
    assert (error.partial, error.trace, type(error.__cause__)) == ("Once upon", trace, OSError)


def test_every_failure_is_in_the_group_and_in_its_message():
    error = error_of(*ended(failed(), failed(FailureKind.AUTH, model="large"), gave_up="exhausted"))
    assert isinstance(error, AllModelsFailed)
    assert [str(e) for e in error.exceptions] == ["small unavailable", "large auth"]
    assert "small unavailable (before_first_token); large auth" in str(error)


@pytest.mark.parametrize(
    ("kinds", "group"),
    [
        ((FailureKind.CONTEXT_OVERFLOW, FailureKind.CONTEXT_OVERFLOW), ContextTooLong),
        ((FailureKind.CONTEXT_OVERFLOW, FailureKind.UNAVAILABLE), AllModelsFailed),
    ],
)
def test_only_when_all_found_the_prompt_too_long_is_it_an_overflow(kinds, group):
    assert type(error_of(*ended(*map(failed, kinds), gave_up="exhausted"))) is group


def test_a_group_that_is_taken_apart_keeps_the_trace():
    error = error_of(*ended(failed(), failed(model="large"), gave_up="exhausted"))
    assert isinstance(error, AllModelsFailed)
    kept, _ = error.split(lambda e: isinstance(e, OSError) and "large" in str(e))
    assert isinstance(kept, AllModelsFailed)
    assert (kept.trace, len(kept.exceptions)) == (error.trace, 1)
