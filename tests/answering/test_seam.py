"""The seam joins a continuation to what was shown: nothing lost, nothing doubled, and a word where it cannot know."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.seam import Joined, Promise, Seam, Unjoinable, sendable
from steprouter.answering.seam_words import Words

TEXTS = {
    "prose": (
        "The harbour was quiet before dawn. A single lamp burned above the fish market, and gulls walked along the "
        "wet stones as if they owned them. Nobody spoke; the first boat was still an hour away, and the second, they "
        "said, would not come at all. On and on and on went the rain."
    ),
    "markdown": (
        "# Plan\n\n1. **Measure** the baseline first.\n2. Change one thing:\n   - the cache\n   - the batch size\n"
        "3. Measure again.\n\n> A change without a figure is an opinion.\n\nSee [the notes](https://example.org/notes/"
        "2026/11/23?view=full&lang=en#results) for more.\n"
    ),
    "code": (
        "Here is the function:\n\n```python\ndef total(prices: list[float], *, tax: float = 0.2) -> float:\n"
        '    """Sum of prices with tax."""\n    result = 0.0\n    for price in prices:\n        if price < 0:\n'
        "            raise ValueError(price)\n        result += price\n    return result * (1 + tax)\n```\n\n"
        "It raises for a price below zero.\n"
    ),
    "table": (
        "| model | TTFT (ms) | ok |\n|-------|-----------|----|\n| small | 317 | yes |\n| medium | 754 | yes |\n"
        "| medium | 754 | yes |\n| large | 1561 | no |\n\nThe medium one was run twice.\n"
    ),
    "chinese": (
        "路由器把每一步交给最便宜而且足够好的模型。如果服务商中断了回答,路由器会从已经显示的文字继续,"
        "既不丢失也不重复。使用 Python 3.11 编写,共有 42 个模块。"
    ),
    "japanese": "港は夜明け前で静かだった。市場の上に明かりが一つだけ灯り、鳥が石の上を歩いていた。誰も話さない。",
    "thai": "ท่าเรือเงียบสงบก่อนรุ่งสาง มีโคมไฟดวงเดียวเหนือตลาดปลา และนกนางนวลเดินไปตามก้อนหินที่เปียก",
    "emoji": "Team 👩\u200d💻👨\u200d🔧 met 🏳️\u200d🌈 at 09:00 ☕️. Mood: 👍🏽👍🏽👍🏽 and 🇳🇴🇸🇪. Next: ship it 🚀🚀.",
    "arabic": "كان الميناء هادئًا قبل الفجر. أضاء مصباح واحد فوق سوق السمك، ومشت النوارس على الحجارة المبللة.",
    "hebrew": "הנמל היה שקט לפני עלות השחר. מנורה אחת דלקה מעל שוק הדגים, והשחפים הלכו על האבנים הרטובות.",
    "korean": "새벽이 오기 전 항구는 조용했다. 어시장 위에 등불 하나가 켜져 있었고 갈매기들이 젖은 돌 위를 걸었다.",
    "json": '{"city": "Oslo", "days": [{"high": 4, "low": -1}, {"high": 4, "low": -1}, {"high": 5, "low": 0}]}',
}

PREAMBLES = (
    "Sure! Here's the continuation:\n\n",
    "Continuing from where I left off:\n\n",
    "Natürlich, hier geht es weiter:\n\n",
    "Claro, continúo donde me quedé:\n\n",
    "好的,我继续:\n\n",
    "もちろんです。続きです:\n",
)

SIZES = (1, 7)
ASKED, PARTIAL = Promise.ASKED, Promise.PARTIAL_TURN


def pieces(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


def broken(text, at, size):
    """What was shown of a text that broke off, and what was said after that."""
    words = Words()
    return "".join(words.feed(piece) for piece in pieces(text[:at], size)), words.held


def breaks():
    """Every place of every text, in chunks of several sizes, at which anything had been shown."""
    for text in TEXTS.values():
        for size in SIZES:
            for at in range(1, len(text)):
                shown, fragment = broken(text, at, size)
                if shown:
                    yield text, shown, fragment, size


def joined(shown, fragment, heard, *, promise=ASKED, size=5, seconds_each=0.01, **more):
    """The seam after a continuation."""
    seam = Seam(shown, fragment, promise, **more)
    for number, piece in enumerate(pieces(heard, size)):
        seam.feed(piece, number * seconds_each)
    seam.rest()
    return seam


def swept(promise, heard, *, least):
    """Tries all breaks: a join that is certain gives the text, one that is refused shows nothing of it."""
    certain = tried = 0
    for number, (text, shown, fragment, size) in enumerate(breaks()):
        said = heard(sendable(shown), text[len(sendable(shown)) :], number)
        if said is None:
            continue
        seam = joined(shown, fragment, said, promise=promise, size=size)
        tried += 1
        assert seam.shown.startswith(shown)
        if isinstance(seam.join, Unjoinable):
            assert seam.shown == shown
        elif seam.join.is_certain:
            certain += 1
            assert seam.shown == text, (shown[-40:], fragment, said[:40])
    assert certain >= least * tried


def test_a_partial_turn_that_is_gone_on_with_exactly_gives_the_whole_text():
    swept(PARTIAL, lambda base, rest, _: rest, least=1.0)


def test_a_server_that_sends_the_whole_turn_again_gives_the_whole_text():
    swept(PARTIAL, lambda base, rest, _: base + rest, least=0.95)


def test_a_model_that_goes_on_exactly_when_asked_gives_the_whole_text():
    swept(ASKED, lambda base, rest, _: rest, least=0.9)


def test_a_model_that_leaves_out_the_white_space_gives_the_whole_text_where_it_is_known():
    swept(ASKED, lambda base, rest, _: rest.lstrip(), least=0.7)


@pytest.mark.parametrize(("chars", "least"), [(3, 0.3), (12, 0.6), (30, 0.6), (90, 0.9)])
def test_a_model_that_says_the_end_again_gives_the_whole_text(chars, least):
    swept(ASKED, lambda base, rest, _: base[-chars:] + rest if len(base) >= chars else None, least=least)


def test_a_model_that_starts_over_gives_the_whole_text():
    swept(ASKED, lambda base, rest, _: base + rest, least=0.8)


def test_a_model_that_begins_with_a_preamble_gives_the_whole_text():
    swept(ASKED, lambda base, rest, number: PREAMBLES[number % len(PREAMBLES)] + rest.lstrip(), least=0.7)


def test_a_preamble_before_an_end_said_again_is_left_out_too():
    def heard(base, rest, number):
        return PREAMBLES[number % len(PREAMBLES)] + base[-30:] + rest if len(base) >= 30 else None

    swept(ASKED, heard, least=0.6)


def test_a_replay_goes_on_after_all_that_was_received():
    for text, shown, fragment, size in breaks():
        rest = text[len(shown) + len(fragment) :]
        assert joined(shown, fragment, rest, promise=Promise.EXACT, size=size).shown == text


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_a_text_that_breaks_twice_is_still_whole(name, data):
    text = TEXTS[name]
    at = data.draw(st.integers(1, len(text) - 1))
    shown, fragment = broken(text, at, data.draw(st.integers(1, 9)))
    rest = text[len(sendable(shown)) :]
    seam = Seam(shown, fragment, PARTIAL)
    for number, piece in enumerate(pieces(rest[: data.draw(st.integers(0, len(rest)))], data.draw(st.integers(1, 9)))):
        seam.feed(piece, number * 0.01)
    assert text.startswith(seam.shown)
    again = joined(seam.shown, seam.fragment, text[len(sendable(seam.shown)) :], promise=PARTIAL)
    assert again.shown == text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=20), st.text(max_size=120), st.sampled_from(Promise), st.integers(1, 9))
def test_what_was_shown_always_begins_the_whole_whatever_is_heard(shown, fragment, heard, promise, size):
    seam = Seam(shown, fragment, promise)
    seen = shown
    for number, piece in enumerate(pieces(heard, size)):
        seen += seam.feed(piece, number * 0.1)
        assert seam.shown == seen
    assert seam.shown + seam.rest() == seam.shown


def test_an_end_said_again_is_dropped_and_told():
    seam = joined("The quick brown fox", " jum", "quick brown fox jumps.")
    assert seam.shown == "The quick brown fox jumps."
    assert (seam.join.how, seam.join.dropped_chars, seam.join.is_certain) == ("overlap", 15, True)


def test_a_common_short_ending_is_not_taken_for_an_end_said_again():
    seam = joined("They came to", "", "together", promise=PARTIAL)
    assert seam.shown == "They came together"[:12] + "together"


def test_rows_that_repeat_are_not_guessed_at():
    row = "| medium | 754 | yes |\n"
    for seam in (
        joined(row * 3 + "| medium |", " 754", " 754 | yes |\n" + row),
        joined(row * 3, "", row + "| large |"),
    ):
        assert isinstance(seam.join, Unjoinable)
        assert "repeats itself" in seam.join.why


LONG = "Paris is the capital of France. It lies on the Seine, and its oldest bridge is called the new one."


def test_a_model_that_starts_over_in_other_words_is_refused_with_the_place():
    heard = LONG[:50] + " Loire, which is wrong and goes on for some time after that."
    seam = joined(LONG, " It", heard)
    assert seam.join == Unjoinable(why="it starts over and goes another way", at_char=50)
    assert seam.shown == LONG


def test_a_beginning_that_is_the_same_but_for_a_word_is_refused():
    heard = "Paris is the capital of France! It lies on the Seine; and its oldest bridge is called the new one. And"
    assert isinstance(joined(LONG, "", heard).join, Unjoinable)


def test_while_a_model_starts_over_nothing_is_shown_and_then_only_what_is_new():
    seam = Seam(LONG, " It", ASKED)
    given = [seam.feed(piece, 0.1 * number) for number, piece in enumerate(pieces(LONG + " It has islands.", 4))]
    assert "".join(given) + seam.rest() == " It has islands."
    assert seam.join.how == "started_over"


def test_a_sentence_that_looks_like_a_preamble_and_was_expected_stays():
    seam = joined("He said:", " Sure, I", " Sure, I will continue where we left off: at home.")
    assert seam.shown == "He said: Sure, I will continue where we left off: at home."


def test_a_preamble_from_a_partial_turn_is_what_the_model_wanted_to_say():
    seam = joined("She began.", "", " Continuing from where I left off: no.", promise=PARTIAL)
    assert seam.shown == "She began. Continuing from where I left off: no."


def test_a_block_of_code_that_is_opened_again_is_not():
    seam = joined("```python\nx = 1", "\ny", "```python\ny = 2\n```\n", fence="```python")
    assert seam.shown == "```python\nx = 1\ny = 2\n```\n"


def test_a_fence_that_closes_the_block_stays():
    seam = joined("```python\nx = 1", "\n", "\n```\nDone.", fence="```python")
    assert seam.shown == "```python\nx = 1\n```\nDone."


def test_white_space_that_is_known_and_left_out_is_put_back():
    seam = joined("def f():", "\n    ret", "return 1")
    assert (seam.shown, seam.join.added) == ("def f():\n    return 1", "\n    ")


def test_a_character_that_was_cut_in_two_is_not_expected_again():
    assert joined("The lamp", " of Zo\ufffd", "of Zoë").shown == "The lamp of Zoë"


def test_a_comma_follows_a_word_without_a_space():
    assert joined("The boat", " was", ", which was late").shown == "The boat, which was late"


def test_white_space_the_model_was_not_told_of_is_not_shown_twice():
    shown = "a" + " " * 50
    assert joined(shown, "", " " * 50 + "b", promise=PARTIAL).shown == shown + "b"


def test_a_stop_sequence_across_the_seam_ends_the_answer():
    seam = joined("It is done. ###", "", " END and more", promise=PARTIAL, stop=("### END",))
    assert (seam.stopped, seam.shown) == (True, "It is done. ###")
    seam = joined("It is done. ###", "", " ENOUGH", promise=PARTIAL, stop=("### END",))
    assert (seam.stopped, seam.shown) == (False, "It is done. ### ENOUGH")


def test_a_beginning_said_before_is_held_for_four_tenths_of_a_second_at_most():
    seam = Seam("a boat and the lamp", "", ASKED)
    assert seam.feed("the", 10.0) == ""
    assert seam.feed(" ", 10.3) == ""
    seam.feed("", 10.4)
    assert isinstance(seam.join, Joined)
    assert not seam.join.is_certain


def test_a_ruled_line_goes_on_from_a_partial_turn_as_it_is():
    rule = "─" * 60
    assert joined("Costs\n" + rule, "", rule + "\nTotal", promise=PARTIAL).shown == f"Costs\n{rule}{rule}\nTotal"
    assert joined(rule, "", rule + "\nTotal", promise=PARTIAL).shown == f"{rule}{rule}\nTotal"


def test_a_turn_that_comes_again_is_not_taken_for_the_word_that_was_expected():
    shown = "import this and then say once more what you are to"
    seam = joined(shown, " import", shown + " import that", promise=PARTIAL)
    assert (seam.shown, seam.join.is_certain) == (shown + " import that", True)


def test_a_turn_that_slowly_comes_again_is_not_called_certain():
    seam = Seam("The boat and the lamp were there", "", PARTIAL)
    assert seam.feed("The", 0.0) == ""
    seam.feed(" boat", 0.5)
    assert not seam.join.is_certain


def test_a_partial_turn_that_is_found_to_be_whole_adds_nothing():
    seam = joined("Hello", " wor", "", promise=PARTIAL)
    assert (seam.shown, seam.join.how) == ("Hello", "continued")
