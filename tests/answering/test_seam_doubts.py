"""What is no continuation is refused, and what may be one is not; most of the refused ones real models have said."""

import pytest

from steprouter.answering.seam import Joined, Promise, Seam, Unjoinable
from steprouter.answering.seam_doubts import (
    ABOUT_ITSELF,
    AGAIN,
    AMID_LINE,
    AMID_PARAGRAPH,
    AMID_SENTENCE,
    AMID_TABLE,
    NO_MORE,
)

BREAD = "Bread is made by combining flour, sugar, and water. The process involves several"
CODE = "```python\ndef sort_numbers(numbers):\n    return sorted(numbers)\n\n# Example usage:\nnumbers = [1,"


def joined(shown, fragment, heard, *, fence=None, promise=Promise.ASKED, seconds_each=0.01):
    seam = Seam(shown, fragment, promise, fence=fence)
    for number, at in enumerate(range(0, len(heard), 4)):
        seam.feed(heard[at : at + 4], number * seconds_each)
    seam.rest()
    return seam


@pytest.mark.parametrize(
    ("shown", "fragment", "heard", "why"),
    [
        ("I hope that you", " are", "I'm sorry for the inconvenience, but as a text-based AI, I", ABOUT_ITSELF),
        (BREAD, " ste", "I apologize for the cut-off. Here is the complete message:\n\nBread", ABOUT_ITSELF),
        ("| 2 |", " ", "You've already completed the table.", ABOUT_ITSELF),
        ("北京是一个", "", "对不起，我不能继续这个话题，因为我没有这些信息。", ABOUT_ITSELF),
        (BREAD, " ste", "The dough is then left alone.", AMID_SENTENCE),
        (BREAD, " ste", "Certainly, and then some more of it.", AMID_SENTENCE),
        (BREAD, " ste", BREAD + "\n\nThis is all that there is to say.", AMID_PARAGRAPH),
        ("| 1 | 2 |", "\n|--", "In Python it can be done with a list of lists.", AMID_TABLE),
        ("Run `pip` so:\n\n```\npip install", " pack", "```\n\nThis will install it.", AMID_LINE),
        ('[\n  {\n    "colour":', ' "red', '```json\n{\n  "fruit": "apple"\n}\n```', AGAIN),
        ('{\n  "name":', ' "An', '{\n  "name": "Alice"\n}', AGAIN),
        (BREAD, " ste", BREAD[:60], AGAIN),
        (BREAD, " ste", BREAD, NO_MORE),
        (BREAD, "", BREAD, NO_MORE),
        ("They could coexist. The", " town", "The<quote>In the sleepy town", NO_MORE),
        ("Hello", " wor", "", NO_MORE),
        (BREAD, " ste", f"It ended with:\n<quote>{BREAD}</quote>", NO_MORE),
    ],
)
def test_what_is_no_continuation_is_refused_and_nothing_of_it_is_shown(shown, fragment, heard, why):
    seam = joined(shown, fragment, heard, fence="```" if shown.count("```") == 1 else None)
    assert isinstance(seam.join, Unjoinable)
    assert (seam.join.why, seam.shown) == (why, shown)


@pytest.mark.parametrize(
    ("shown", "fragment", "heard", "whole"),
    [
        ("They went to", " the", "The Hague and on to Delft.", "They went to The Hague and on to Delft."),
        ("They went to", " the", "Los Angeles by night.", "They went to Los Angeles by night."),
        ("Then she said that", " he", "I was right.", "Then she said that I was right."),
        ('She said, "', "We", "I'm sorry for it.", "She said, \"I'm sorry for it."),
        (BREAD, " ste", "steps. I'm sorry, but it takes time.", BREAD + " steps. I'm sorry, but it takes time."),
        ("| 1 | 2 |", "\n|", "| 2 | 4 |\n", "| 1 | 2 |\n| 2 | 4 |\n"),
        ("| 1 | 2 |", "\n\n", "\n\nThese are all of them, I think.", "| 1 | 2 |\n\nThese are all of them, I think."),
    ],
)
def test_what_may_be_a_continuation_is_joined(shown, fragment, heard, whole):
    seam = joined(shown, fragment, heard)
    assert isinstance(seam.join, Joined)
    assert seam.shown == whole


def test_an_end_that_is_handed_back_between_marks_is_said_again_without_them():
    heard = f"It ended with:\n<quote>{BREAD} steps.</quote> Is there more that I can do?"
    seam = joined(BREAD, " ste", heard)
    assert (seam.shown, seam.stopped) == (BREAD + " steps.", True)


def test_an_answer_about_such_marks_may_have_them():
    seam = joined("Use <quote>, then", " close", "close it with </quote> again.")
    assert (seam.shown, seam.stopped) == ("Use <quote>, then close it with </quote> again.", False)


def test_less_than_is_no_mark():
    assert joined("It holds that a", " <", "< b and b <q for all.").shown == "It holds that a < b and b <q for all."


def test_a_model_that_starts_over_from_the_opening_of_its_block_of_code_is_heard_out():
    assert joined(CODE, " 2", CODE + " 2, 3]\n```", fence="```python").shown == CODE + " 2, 3]\n```"
    again = joined(CODE, " 2", CODE[:63] + "\n```\n\nThis sorts them.", fence="```python")
    assert (isinstance(again.join, Unjoinable), again.shown) == (True, CODE)


def test_a_slow_model_that_starts_over_is_heard_out():
    shown = "1, 2, 3, 4, 5, 6, 7, 8, 9,"
    assert joined(shown, " 10", shown + " 10, 11", seconds_each=1.0).shown == shown + " 10, 11"
    assert joined(shown, " 10", shown, seconds_each=1.0).shown == shown
    shown = "日本の四季は、春、夏、"
    assert joined(shown, "", shown + "秋、冬です。", seconds_each=1.0).shown == shown + "秋、冬です。"


def test_a_word_that_is_all_that_was_shown_is_not_said_twice():
    assert joined("The", " two", "The war ended with the end of the year.").shown == (
        "The war ended with the end of the year."
    )


def test_a_partial_turn_is_not_doubted():
    assert joined(BREAD, " ste", " The End", promise=Promise.PARTIAL_TURN).shown == BREAD + " The End"
    heard = " <quote>x</quote>"
    assert joined("He wrote", "", heard, promise=Promise.PARTIAL_TURN).shown == "He wrote" + heard
