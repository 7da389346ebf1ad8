"""The tables of words: nothing in them may make two different words one by accident."""

import pytest

from steprouter.caching.alike import WORDS
from steprouter.caching.amounts import amount, joined
from steprouter.caching.counting import counted
from steprouter.caching.forms import FORMS, IRREGULAR, VERBS, inflected, singular
from steprouter.caching.languages import language_of
from steprouter.caching.pieces import pieces
from steprouter.caching.vocabulary import pairs


def test_no_form_belongs_to_two_verbs():
    of_verb = {}
    for verb in VERBS.split():
        for form in inflected(verb):
            of_verb.setdefault(form, set()).add(verb)
    assert {form: verbs for form, verbs in of_verb.items() if len(verbs) > 1} == {}


def test_each_irregular_verb_is_a_verb_of_the_table():
    assert {entry.split()[0] for entry in IRREGULAR.split(";")} <= set(VERBS.split())


def test_what_stands_for_a_word_stands_for_itself():
    """Otherwise two words of one meaning would be read as two, depending on which is written."""
    stands = dict(pairs(WORDS))
    assert {word: other for word, other in stands.items() if stands.get(other, other) != other} == {}


@pytest.mark.parametrize(
    ("form", "verb"),
    [
        ("tried", "try"),
        ("lying", "lie"),
        ("agreed", "agree"),
        ("shipping", "ship"),
        ("cancelled", "cancel"),
        ("went", "go"),
    ],
)
def test_a_form_is_known_by_its_verb(form, verb):
    assert FORMS[form][0] == verb


@pytest.mark.parametrize("word", ["news", "customs", "glass", "bus", "basis", "ios", "aws", "windows", "savings"])
def test_a_word_that_only_looks_like_a_plural_stays(word):
    assert singular(word) == word


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("1,000", "n:1000"),
        ("1.000", "n:1.000"),
        ("3.10", "n:3.10"),
        ("007", "n:007"),
        ("$5,000.00", "n:5000 dollar"),
        ("5€", "n:5 euro"),
        ("20%", "n:20 %"),
        ("5kg", "n:5000 g"),
        ("5pm", "d:17:00"),
        ("12am", "d:00:00"),
        ("17:05", "d:17:05"),
        ("3rd", "n:#3"),
        ("2024-03-05", "d:2024-03-05"),
        ("123456789012345678901234567890kg", None),
        ("5g", None),
        ("1/2", None),
        ("²", None),
    ],
)
def test_a_number_has_one_form_as_far_as_one_is_certain(text, item):
    assert amount(text) == item


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("5 March 2024", ["d:2024-03-05"]),
        ("March 5th, 2024", ["d:2024-03-05"]),
        ("5th of March", ["d:03-05"]),
        ("March 2024", ["d:2024-03"]),
        ("twenty-five kg", ["n:25000 g"]),
        ("two hundred", ["n:200"]),
        ("90 minutes", ["n:5400 second"]),
        ("50 per cent", ["n:50 %"]),
        ("40 March", ["n:40", "march"]),
    ],
)
def test_numbers_and_what_stands_beside_them_are_one(text, items):
    assert joined(counted(pieces(text), "en")) == items


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't!", ["do", "not", "."]),
        ("What's up?", ["what", "is", "up", "?"]),
        ("Bob's car", ["bob", "car"]),
        ("the users' data", ["the", "users", "data"]),
        ("sign-in", ["sign", "in"]),
        ("and/or", ["and", "w:/", "or"]),
        ("AB-123, C++", ["w:ab-123", ",", "w:C++"]),
        ("at 5 p.m. sharp", ["at", "n:5", "pm", "sharp"]),
        ("the US and us", ["the", "w:US", "and", "us"]),
        ("vitamin A is a vitamin", ["vitamin", "w:A", "is", "a", "vitamin"]),
        ('say "Hello there"', ["say", "x:Hello there"]),
        ("run `rm -rf /`", ["run", "x:rm -rf /"]),
        ("see https://a.example/B?c=1.", ["see", "w:https://a.example/B?c=1", "."]),
        ("2 * (3 + 4)", ["n:2", "w:*", "w:(3", "w:+", "w:4)"]),
        ("10 - 3", ["n:10", "w:-", "n:3"]),
        ("5! or 5?", ["w:5!", "or", "n:5", "?"]),
        ("great 👍", ["great", "w:👍"]),
    ],
)
def test_a_text_is_cut_into_words_items_and_marks(text, tokens):
    assert pieces(text) == tokens


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("how do i cancel", "en"),
        ("is breakfast included?", "en"),
        ("wie kann ich kündigen", "de"),
        ("comment puis-je annuler la commande", "fr"),
        ("¿cómo puedo pagar?", "es"),
        ("come posso pagare?", "it"),
        ("como posso pagar em dinheiro?", "pt"),
        ("hoe kan ik betalen?", "nl"),
        ("jak se máte", ""),
        ("passwort", ""),
    ],
)
def test_the_language_is_told_where_it_is_certain(text, language):
    assert language_of(text) == language
