"""Keywords and patterns: what disguises they see through, and that no text makes them slow."""

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.errors import ConfigError
from steprouter.routing.rule_words import finds, folded, keyword_of, says, searchable
from steprouter.routing.rules import Rule


def spoken(text, keyword):
    return says(folded(text), {keyword_of(keyword)})


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("a contract", "contract"),
        ("a CONTRACT.", "contract"),
        ("a con\u200btract", "contract"),
        ("a con\u00adtr\ufeffact", "contract"),
        ("a c\U000e0041ontract", "contract"),
        ("a ｃｏｎｔｒａｃｔ", "contract"),
        ("a 𝐜𝐨𝐧𝐭𝐫𝐚𝐜𝐭", "contract"),
        ("a сontrаct", "contract"),
        ("A CОNТRАСТ", "contract"),
        ("a cοntract", "contract"),
        ("a c\u0336o\u0336ntract", "contract"),
        ("my résumé", "resume"),
        ("my resume", "résumé"),
        ("die STRASSE", "Straße"),
        ("the ﬁle", "file"),
        ("draft  the\n contract", "draft the contract"),
        ("draft\u00a0the contract", "draft  the contract"),
        ("привет, мир", "МИР"),
        ("das Vorhaben İstanbul", "istanbul"),
        ("C++ or C#", "c++"),
        ("договор", "договор"),
        ("\ud800 contract", "contract"),
    ],
)
def test_a_keyword_is_found_through_case_accents_and_disguise(text, keyword):
    assert spoken(text, keyword)


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("contracts", "contract"),
        ("subcontract", "contract"),
        ("contract_id", "contract"),
        ("c.ntract", "contract"),
        ("c o n t r a c t", "contract"),
        ("c0ntract", "contract"),
        ("draft contract the", "draft the contract"),
    ],
)
def test_a_keyword_is_whole_words_and_no_guess(text, keyword):
    assert not spoken(text, keyword)


@given(st.text())
def test_a_keyword_that_was_folded_is_folded_for_good(text):
    assert keyword_of(keyword_of(text)) == keyword_of(text)


@given(st.text(), st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_a_word_is_found_wherever_it_stands_apart(text, word):
    if keyword_of(word):
        assert spoken(f"{text} {word} {text}", word)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"INV-\d{4}", "see INV-2024"),
        (r"INV-\d{4}", "see ＩＮＶ－２０２４"),
        (r"INV-\d{4}", "see INV\u2011٢٠٢٤"),
        (r"INV-\d{4}", "see I\u200bNV-20\u206024"),
        (r"(?i)inv", "Invoice"),
        (r"\p{Cyrillic}+", "привет"),
        (r"x$", "\ud800x"),
        (r"^é$", "é"),
    ],
)
def test_a_pattern_is_searched_in_text_whose_disguises_are_undone(pattern, text):
    assert finds([pattern], searchable(text))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "rule 'r' must have regexes that RE2 can read, got '(': missing ): (; RE2 has no look-around"),
        (r"(\w)\1", r"got '(\\w)\\1': invalid escape sequence: \1; RE2 has no look-around and no backreferences"),
        ("a(?=b)", "got 'a(?=b)': invalid perl operator: (?=; RE2 has no look-around and no backreferences"),
        ("(?<!a)b", "invalid perl operator: (?<!"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("\ud800", "surrogates not allowed"),
        (r"\pL{1,40}", "must have regexes of 10000 instructions or less"),
        ("x*", "must have regexes that not every text has, got 'x*'; it is found in an empty one"),
        ("", "must have regexes that not every text has, got ''"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_when_the_rule_is_made(pattern, said):
    with pytest.raises(ConfigError) as error:
        Rule(name="r", regex=["fine", pattern], models="m")
    assert said in str(error.value)


def test_a_pattern_for_an_empty_text_is_no_pattern_for_every_text():
    assert Rule(name="r", regex="^$", models="m").regex == {"^$"}


def test_without_the_engine_a_rule_with_a_pattern_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without_engine(name, *args, **kwargs):
        if name == "re2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_engine)
    said = r"rule 'r' has a regex, which needs google-re2, got none installed; pip install 'steprouter\[regex\]'"
    with pytest.raises(ConfigError, match=said):
        Rule(name="r", regex="a", models="m")
    Rule(name="r", keyword="a", models="m")


HUGE = 10_000_000


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("a" * HUGE, ["(a+)+$", "a" * 1_000]),
        ("a " * (HUGE // 2), ["a a a a b", "a  a b"]),
        ("draft" + " " * HUGE, ["draft the contract"]),
        ("draft the " * (HUGE // 10) + "end", ["draft the contract end"]),
    ],
)
def test_ten_megabytes_are_searched_for_keywords_in_linear_time(text, keywords):
    assert not any(spoken(text, keyword) for keyword in keywords)


@pytest.mark.parametrize("unit", ["é", "\u0301\u0316", "\u05b0\u05b7", "а\u200b", "\u200b"])
def test_a_million_signs_that_fold_are_folded_in_linear_time(unit):
    assert not spoken(unit * (1_000_000 // len(unit)), "contract")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)(.*)(.*)(.*)z", "(x+x+)+y"])
def test_ten_megabytes_are_searched_for_patterns_in_linear_time(pattern):
    assert not finds([pattern], searchable("a" * HUGE + "!"))
