"""The vocabulary of scripts: replies, faults, and the order in which they come."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.testing import (
    Cut,
    Headers,
    Raise,
    Rejection,
    Reply,
    Request,
    ScriptExhausted,
    Usage,
    call,
    say,
)
from steprouter.testing.script import Reel
from steprouter.testing.speech import in_words, speak

ASKED = Request(model="small", messages=({"role": "user", "content": "Hello"},))


def test_calls_gather_in_one_reply_beside_its_text() -> None:
    reply = say("Let me look.").calling("search", query="cats").calling("clock", name="utc", self=1)
    assert [(made.name, made.args) for made in reply.tool_calls] == [
        ("search", {"query": "cats"}),
        ("clock", {"name": "utc", "self": 1}),
    ]
    assert reply.text == "Let me look."


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Reply(chunk_words=0), "chunk_words must be 1 or more, got 0"),
        (lambda: say("x").slowly(seconds_per_chunk=-1), "seconds_per_chunk must be 0 or more"),
        (lambda: Cut(after_chunks=-1), "after_chunks must be 0 or more, got -1"),
        (lambda: Raise(error=ValueError(), after_chunks=-1), "after_chunks must be 0 or more, got -1"),
        (lambda: Rejection(status=200), "status must be an HTTP error, 400 to 599, got 200"),
        (lambda: Usage(input_tokens=5, output_tokens=1, cached_tokens=6), "cached_tokens must be part of"),
    ],
)
def test_a_reply_that_makes_no_sense_is_refused_when_written(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_a_rejection_fills_in_what_the_api_would_say() -> None:
    assert Rejection(status=404).code == "model_not_found"
    assert Rejection(status=503).type == "server_error"
    assert "maximum context length" in Rejection(status=400, code="context_length_exceeded").message


def test_plain_words_are_no_script_and_the_error_helps() -> None:
    with pytest.raises(TypeError, match=r"write say\('Hello'\)"):
        Reel("Hello")  # type: ignore[arg-type]  # the mistake under test


def test_a_script_that_gives_something_else_is_told_what_is_wanted() -> None:
    reel = Reel(lambda request: "Hello")  # type: ignore[arg-type, return-value]  # the mistake under test
    with pytest.raises(TypeError, match="must give Reply values, got 'Hello'"):
        reel.reply(reel.number(ASKED))


def test_a_used_up_list_says_which_call_was_too_many() -> None:
    reel = Reel([say("one")])
    assert reel.reply(reel.number(ASKED)) == say("one")
    with pytest.raises(ScriptExhausted, match="got call 2 with 1 replies"):
        reel.reply(reel.number(ASKED))


def test_threads_share_a_list_without_losing_or_doubling_a_reply() -> None:
    reel = Reel(say(str(number)) for number in range(200))
    with ThreadPoolExecutor(8) as threads:
        said = threads.map(lambda _: reel.reply(reel.number(ASKED)).text, range(200))
    assert sorted(said, key=int) == [str(number) for number in range(200)]


@given(text=st.text(), words=st.integers(1, 5))
def test_chunks_joined_are_the_text_again(text: str, words: int) -> None:
    assert "".join(in_words(text, words)) == text


@given(text=st.text(max_size=80), tokens=st.integers(1, 30))
def test_a_limited_answer_is_a_beginning_of_the_whole(text: str, tokens: int) -> None:
    limited = Request(model="m", messages=ASKED.messages, max_tokens=tokens)
    speech = speak(say(text), limited)
    assert text.startswith(speech.text)
    assert speech.usage.output_tokens <= tokens
    assert speech.finish_reason == ("stop" if speech.text == text else "length")


def test_ids_of_calls_repeat_with_the_run_but_not_within_it() -> None:
    later = Request(model="small", messages=ASKED.messages * 3)
    first, again, other = (speak(call("f"), request).tool_calls[0].id for request in (ASKED, ASKED, later))
    assert first == again
    assert first != other


def test_secrets_in_headers_are_masked_when_printed() -> None:
    headers = Headers({"Authorization": "Bearer s3cret", "X-Trace": "t-1"})
    assert repr(headers) == "Headers({'authorization': '***', 'x-trace': 't-1'})"
    assert headers["authorization"] == "Bearer s3cret"
    assert dict(headers) == {"authorization": "Bearer s3cret", "x-trace": "t-1"}
