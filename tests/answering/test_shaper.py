"""What of a stream is shown while it is written, and what is held until it is whole."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.answer import Answer, Delta, ToolCall, ToolPiece
from steprouter.answering.failures import Phase
from steprouter.answering.shape import Hold, Shaping, strict_object
from steprouter.models.cost import Usage

THOUGHT = {"type": "thinking", "thinking": "hm", "index": 0}
TOOL_USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {}, "index": 1}


def text(words):
    return Delta(text=words)


def blocks(*given, words=""):
    return Delta(text=words, blocks=given)


def said(words):
    return blocks({"type": "text", "text": words}, words=words)


def call(args, *, index=0, name=None, call_id=None, words=""):
    return Delta(text=words, tools=(ToolPiece(index, call_id, name, args),))


def shaped(*deltas, hold=Hold.TOOL_CALLS):
    """What was shown piece by piece, and the shaper after that."""
    shaper = Shaping(hold=hold).start(watched=True, now=lambda: 0.0)
    return [shown for delta in deltas if (shown := shaper.feed(delta)) is not None], shaper


def test_plain_text_is_shown_as_it_comes_but_for_the_last_word_which_may_go_on():
    pieces = [text("Once"), text(" upon"), text(" a")]
    shown, shaper = shaped(*pieces)
    assert shown == [text("Once"), text(" upon")]
    assert (shaper.shown, shaper.fragment) == ("Once upon", " a")
    assert shaper.answer() == Answer(text="Once upon a", unshown=(text(" a"),))
    shown, shaper = shaped(*pieces, Delta(finish="stop", usage=Usage(output_tokens=2)))
    assert shown == pieces
    assert shaper.answer() == Answer(text="Once upon a", finish="stop", usage=Usage(output_tokens=2))


@pytest.mark.parametrize("hold", Hold)
def test_an_answer_of_white_space_alone_stays_unshown(hold):
    shown, shaper = shaped(text("\n"), text("  "), hold=hold)
    assert (shown, shaper.shown) == ([], "")
    assert "".join(piece.text for piece in shaper.answer().unshown) == "\n  "


def test_leading_white_space_is_shown_with_the_first_word():
    shown, _ = shaped(text("\n"), text(" "), text("Hi"), text("\n"), text("you"))
    assert shown == [text("\n Hi")]


def test_a_tool_call_is_held_until_it_is_whole():
    shown, shaper = shaped(call('{"city": "Os', name="weather", call_id="c1"), call('lo"}'))
    assert shown == []
    whole = ToolCall(id="c1", name="weather", args={"city": "Oslo"}, raw='{"city": "Oslo"}')
    assert shaper.answer().tool_calls == (whole,)


def test_text_before_a_tool_call_is_shown_and_all_that_follows_the_call_waits():
    shown, shaper = shaped(text("Let me look."), call("{}", name="f"), text(" Done."))
    assert [piece.text for piece in shown] == ["Let me", " look."]
    assert shaper.answer().text == "Let me look. Done."
    assert shaper.answer().unshown == (call("{}", name="f"), text(" Done."))


def test_a_piece_that_brings_text_and_a_call_is_held_with_the_call():
    shown, _ = shaped(call("{}", name="f", words="Looking"))
    assert shown == []


def test_fragments_of_several_calls_are_sorted_by_their_index():
    pieces = [call('{"a"', index=1, name="g", call_id="c2"), call("{}", index=0, name="f", call_id="c1")]
    _, shaper = shaped(*pieces, call(": 1}", index=1))
    assert shaper.answer().tool_calls == (
        ToolCall(id="c2", name="g", args={"a": 1}, raw='{"a": 1}'),
        ToolCall(id="c1", name="f", args={}, raw="{}"),
    )


def test_a_call_that_was_cut_has_no_arguments_but_keeps_what_was_said():
    _, shaper = shaped(call('{"path": "/home/bob', name="delete"))
    assert shaper.answer().tool_calls == (ToolCall(id=None, name="delete", args=None, raw='{"path": "/home/bob'),)


def test_thinking_is_held_until_there_is_text_to_show_with_it():
    thought, word = blocks(THOUGHT), said("Hi")
    assert shaped(thought)[0] == []
    assert shaped(thought, word, said(" you"))[0] == [blocks(THOUGHT, {"type": "text", "text": "Hi"}, words="Hi")]
    assert shaped(word, thought)[0] == [blocks({"type": "text", "text": "Hi"}, THOUGHT, words="Hi")]


def test_text_without_a_block_joins_the_thinking_that_waited_as_a_block():
    shown, _ = shaped(blocks(THOUGHT), text("Hi"), text(" you"), text(" there"))
    assert shown == [blocks(THOUGHT, {"type": "text", "text": "Hi"}, words="Hi"), text(" you")]


def test_held_text_becomes_one_block_where_the_answer_has_blocks():
    _, shaper = shaped(blocks(THOUGHT), text("Hi"), text(" you"), hold=Hold.EVERYTHING)
    assert shaper.answer().unshown == (
        blocks(THOUGHT),
        blocks({"type": "text", "text": "Hi you"}, words="Hi you"),
    )


@pytest.mark.parametrize("kind", ["tool_use", "input_json_delta", "function_call", "tool_call_chunk"])
def test_a_tool_call_in_a_providers_own_block_is_held_like_the_call(kind):
    block = blocks({**TOOL_USE, "type": kind})
    shown, shaper = shaped(said("Looking"), block, said(" more"))
    assert shown == [said("Looking")]
    assert shaper.answer().unshown == (block, said(" more"))


def test_additional_arguments_are_held_until_text_and_grow_piece_by_piece():
    """DeepSeek sends its reasoning so, a few words with each piece."""
    pieces = [
        Delta(extra={"reasoning_content": "The user", "n": 1}),
        Delta(extra={"reasoning_content": " asks", "n": 2}),
    ]
    shown, _ = shaped(*pieces, text("Hi "))
    assert shown == [Delta("Hi", extra={"reasoning_content": "The user asks", "n": 2})]


def test_nothing_is_shown_where_everything_is_held():
    shown, shaper = shaped(text("Hi"), blocks(THOUGHT), call("{}", name="f"), hold=Hold.EVERYTHING)
    assert (shown, shaper.shown) == ([], "")
    assert (shaper.answer().text, len(shaper.answer().tool_calls)) == ("Hi", 1)


def test_everything_is_held_where_nobody_watches():
    assert Shaping().start(watched=False, now=lambda: 0.0).hold is Hold.EVERYTHING
    assert Shaping().start(watched=True, now=lambda: 0.0).hold is Hold.TOOL_CALLS


@pytest.mark.parametrize(
    ("deltas", "phase"),
    [
        ((), Phase.BEFORE_FIRST_TOKEN),
        ((blocks(THOUGHT),), Phase.BEFORE_FIRST_TOKEN),
        ((Delta(finish="stop"),), Phase.BEFORE_FIRST_TOKEN),
        ((text("Hi"),), Phase.IN_TEXT),
        ((text("Hi"), call("{")), Phase.IN_TOOL_CALL),
        ((call("{"),), Phase.IN_TOOL_CALL),
    ],
)
@pytest.mark.parametrize("hold", Hold)
def test_the_phase_says_how_far_an_answer_has_come(deltas, phase, hold):
    assert shaped(*deltas, hold=hold)[1].phase is phase


def test_details_are_merged_and_the_last_finish_and_usage_count():
    deltas = (Delta(details={"a": 1}), Delta(finish="stop", details={"b": 2}), Delta(usage=Usage(input_tokens=3)))
    assert shaped(*deltas)[1].answer() == Answer(finish="stop", usage=Usage(input_tokens=3), details={"a": 1, "b": 2})


PIECES = st.lists(
    st.one_of(
        st.text(alphabet="ab \n", min_size=1, max_size=4).map(text),
        st.text(alphabet="ab \n", min_size=1, max_size=4).map(said),
        st.sampled_from([blocks(THOUGHT), blocks(TOOL_USE), Delta(extra={"r": "x"}), Delta(finish="stop")]),
        st.builds(call, st.text(alphabet='{}"a', max_size=3), index=st.integers(0, 2)),
    ),
    max_size=12,
)


def content(deltas):
    """All that some pieces say, however it was cut."""
    other = [block for d in deltas for block in d.blocks if block["type"] != "text"]
    extra = "".join((d.extra or {}).get("r", "") for d in deltas)
    return "".join(d.text for d in deltas), other, [piece for d in deltas for piece in d.tools], extra


@settings(max_examples=200)
@given(PIECES, st.sampled_from(Hold))
def test_what_was_shown_and_what_is_held_together_are_all_that_was_said(deltas, hold):
    shown, shaper = shaped(*deltas, hold=hold)
    answer = shaper.answer()
    assert content([*shown, *answer.unshown]) == content(deltas)
    assert answer.text == content(deltas)[0]
    assert shaper.shown == content(shown)[0]


@settings(max_examples=200)
@given(PIECES)
def test_whatever_is_shown_holds_no_part_of_a_call_and_begins_with_a_word(deltas):
    shown, _ = shaped(*deltas)
    assert not any(d.tools or TOOL_USE in d.blocks for d in shown)
    assert not shown or shown[0].text.strip()


@settings(max_examples=200)
@given(PIECES, st.sampled_from(Hold))
def test_whoever_reads_blocks_where_there_are_blocks_misses_no_text(deltas, hold):
    shown, shaper = shaped(*deltas, hold=hold)
    unshown = shaper.answer().unshown
    for delta in [*shown, *(unshown if any(d.blocks for d in unshown) else ())]:
        read = "".join(b["text"] for b in delta.blocks if b["type"] == "text")
        assert read == delta.text or not delta.blocks


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=8), max_size=4), st.data())
def test_a_call_is_the_same_however_its_arguments_were_cut(args, data):
    raw = json.dumps(args)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    _, shaper = shaped(*(call(part, name="f") for part in parts))
    assert shaper.answer().tool_calls == (ToolCall(id=None, name="f", args=args, raw=raw),)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("", {}),
        ("{}", {}),
        (' {"a": [1, null]} ', {"a": [1, None]}),
        ('{"a": "\\ud800"}', {"a": "\ud800"}),
        ("null", None),
        ("[]", None),
        ('"{}"', None),
        ("{", None),
        ("{} {}", None),
        ("{'a': 1}", None),
        ('{"a": 1,}', None),
        ('{"a": NaN}', None),
        ('{"a": -Infinity}', None),
        ('{"a": ' + "9" * 5_000 + "}", None),
        ('{"a": ' + "[" * 100_000, None),
    ],
)
def test_arguments_are_strictly_a_json_object_or_nothing(raw, value):
    assert strict_object(raw) == value
