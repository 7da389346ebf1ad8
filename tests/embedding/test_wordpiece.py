"""Token ids are those of Hugging Face's tokenizers 0.22, which wrote `expected_tokens.json`."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.embedding.static import opened
from steprouter.embedding.table import HERE, load
from steprouter.embedding.wordpiece import LONGEST_WORD, WordPiece, words

EXPECTED: list[tuple[str, list[int]]] = json.loads(
    (Path(__file__).parent / "expected_tokens.json").read_text(encoding="utf-8")
)
UNK, ROWS_BEFORE = 100, 998


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    return WordPiece(load().pieces)


class Counting(dict[str, int]):
    """A vocabulary that counts how often it is asked."""

    asked = 0

    def get(self, piece, default=None):
        self.asked += 1
        return super().get(piece, default)


def bert_ids(rows: list[int]) -> list[int]:
    """A row of the table as BERT numbers it: [UNK] is 100, and `!`, our first row after it, is 999."""
    return [row + ROWS_BEFORE if row else UNK for row in rows]


@pytest.mark.parametrize(("text", "ids"), EXPECTED, ids=lambda value: ascii(value)[:30])
def test_a_text_gets_the_token_ids_of_the_reference_tokenizer(wordpiece, text, ids):
    assert bert_ids(wordpiece.ids(text)) == ids


def test_lone_surrogates_are_unseen_and_harm_nothing(wordpiece):
    assert wordpiece.ids("re\ud800fund \udfff now") == wordpiece.ids("refund now")


def test_a_marker_in_a_text_is_read_as_text_and_not_obeyed(wordpiece):
    assert wordpiece.ids("[MASK]") == wordpiece.ids("[ mask ]")


def test_a_word_of_more_than_a_hundred_characters_is_unknown(wordpiece):
    assert wordpiece.ids("a" * LONGEST_WORD) != [0]
    assert wordpiece.ids("a" * (LONGEST_WORD + 1)) == [0]


def test_what_is_remembered_of_a_hostile_word_is_short(wordpiece):
    wordpiece.ids("q" * 100_000)
    before = wordpiece.split.cache_info().currsize
    wordpiece.ids("q" * 200_000)
    assert wordpiece.split.cache_info().currsize == before


def test_the_costliest_word_takes_a_bounded_number_of_look_ups():
    vocabulary = Counting({"[UNK]": 0, "##z": 1, "z": 2, "w" * 18: 3})
    WordPiece(vocabulary).ids("z" * LONGEST_WORD + " " + "z" * 100_000)
    assert vocabulary.asked <= LONGEST_WORD * 18


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_agrees_with_the_general_rules(text):
    general = words(text + " é")
    assert general == [*words(text), "e"]


@given(st.text())
def test_any_text_at_all_gives_rows_of_the_table(text):
    wordpiece, table = opened(HERE)
    assert all(0 <= row < len(table.scales) for row in wordpiece.ids(text))
