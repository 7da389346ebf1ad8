"""Which answers are not given again."""

import pytest

from steprouter.answering.answer import Answer, Delta, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.resume import Resumed, Rung
from steprouter.caching.worth import LARGEST_BYTES, worth_keeping
from steprouter.models.cost import Usage

CALL = ToolCall(id="c", name="look_up", args={}, raw="{}")
FINE = Answer(text="Sparingly, once a month.", finish="stop")


def given(answer=FINE, **fields):
    return Attempt(model="small", answer=answer, **fields)


def test_a_whole_answer_and_whole_calls_are_worth_keeping():
    assert worth_keeping(given()) == ()
    assert worth_keeping(given(Answer(tool_calls=(CALL,), finish="tool_calls"))) == ()


NOT_KEPT = {
    "there is no answer": given(None),
    "no model gave it": given(is_message=True),
    "it failed a check: x": given(problems=("x",)),
    "two models wrote it": given(resumed=Resumed(left="large", model="small", rung=next(iter(Rung)), at_char=3)),
    "its stream broke off at the end": given(
        kept=Failure(kind=next(iter(FailureKind)), phase=next(iter(Phase)), model="small")
    ),
    "what was asked had been redacted": given(redacted=True),
    "it is not whole": given(Answer(text="Spar", finish="length")),
    "it is a refusal": given(Answer(text="No.", finish="content_filter")),
    "it is empty": given(Answer(text=" \n", finish="stop")),
    "it is larger than 64 kB": given(Answer(text="é" * (LARGEST_BYTES // 2 + 1), finish="stop")),
    "it is more than text and calls": given(
        Answer(text="See", finish="stop", unshown=(Delta(blocks=({"type": "image", "base64": "AA"},)),))
    ),
    "its calls rest on thoughts": given(
        Answer(tool_calls=(CALL,), finish="tool_calls"), usage=Usage(output_tokens=9, reasoning_tokens=5)
    ),
}


@pytest.mark.parametrize(("why", "attempt"), NOT_KEPT.items(), ids=NOT_KEPT)
def test_some_answers_are_not_kept(why, attempt):
    assert why in worth_keeping(attempt)


def test_an_answer_without_a_finish_is_not_whole():
    assert worth_keeping(given(Answer(text="Sparingly."))) == ("it is not whole",)


def test_an_answer_that_cites_its_sources_is_more_than_text():
    block = {"type": "text", "text": "So.", "annotations": [{"url": "https://example.com"}]}
    answer = Answer(text="So.", finish="stop", unshown=(Delta(text="So.", blocks=(block,)),))
    assert worth_keeping(given(answer)) == ("it is more than text and calls",)


def test_thoughts_before_words_are_left_out_and_the_words_are_kept():
    thought = Delta(blocks=({"type": "thinking", "thinking": "Hm"},))
    answer = Answer(text="Sparingly.", finish="end_turn", unshown=(thought,))
    assert worth_keeping(given(answer, usage=Usage(output_tokens=9, reasoning_tokens=5))) == ()


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m really sorry, I cannot assist with this request.",
        "Sorry, that is outside of what I may do.",
        "I am unable to provide that information.",
        "As an AI language model, I have no opinions.",
        "Unfortunately, I don't have access to your account.",
        "I don't know the answer to that.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, no puedo ayudarte con eso.",
    ],
)
def test_refusals_in_words_are_not_kept_whatever_their_finish(text):
    assert worth_keeping(given(Answer(text=text, finish="stop"))) == ("it is a refusal",)


@pytest.mark.parametrize("text", ["You can't return it after 30 days.", "Your limit is 5.", '{"label": "complaint"}'])
def test_what_only_sounds_like_a_refusal_is_kept(text):
    assert worth_keeping(given(Answer(text=text, finish="stop"))) == ()
