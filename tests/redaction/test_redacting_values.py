"""How findings are replaced in texts and in larger values."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redaction_samples import NEGATIVES, POSITIVES

from steprouter.redaction import Kind, Redacted, find, redact, redact_value

FRAMED = [frame.format(value) for _, value, frame in POSITIVES]
GLUE = st.sampled_from(
    [
        "",
        " ",
        "\n",
        ", ",
        '"',
        "'",
        "=",
        ":",
        "@",
        "<",
        ">",
        "-",
        "+",
        ".",
        "/",
        "\0",
        "\0\n",
        "\0=\0\n",
        "{",
        "}",
        "\\",
    ]
)
PIECES = st.one_of(
    st.sampled_from(FRAMED),
    st.sampled_from([value for _, value, _ in POSITIVES]),
    st.sampled_from(NEGATIVES),
    st.sampled_from(["password: ", '"api_key": "', "Cookie: ", "DOB ", "://u:", "<email-1>", "<jwt-2>", "phone "]),
    st.text(max_size=12),
)
TEXTS = st.lists(st.tuples(PIECES, GLUE), max_size=8).map(lambda parts: "".join(a + b for a, b in parts))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | PIECES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECES, inner, max_size=4),
    max_leaves=10,
)


def shape(value):
    match value:
        case dict():
            return [shape(item) for item in value.values()]
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value)


def test_equal_values_have_equal_numbers_and_others_other_ones():
    text = "ann@example.org and bob@example.org and ann@example.org"
    assert redact(text).text == "<email-1> and <email-2> and <email-1>"


def test_each_kind_counts_for_itself():
    assert redact("ann@example.org from 203.0.113.42").text == "<email-1> from <ip_address-1>"


def test_clean_text_comes_back_as_it_is():
    assert redact("Nothing to see.") == Redacted(text="Nothing to see.", findings=())


def test_findings_of_a_redaction_are_those_of_the_original_text():
    text = "password: hunter22, mail ann@example.org"
    assert redact(text).findings == find(text)


def test_numbers_of_placeholders_in_the_text_are_not_given_again():
    assert redact("<email-1> wrote to ann@example.org").text == "<email-1> wrote to <email-2>"


def test_a_placeholder_inside_a_secret_stays_and_the_rest_goes():
    assert redact('password: "x1y2<email-1>z3"').text == (
        'password: "<secret_assignment-1><email-1><secret_assignment-2>"'
    )


def test_only_the_wanted_kinds_are_replaced():
    assert redact("ann@example.org 203.0.113.42", {Kind.EMAIL}).text == "<email-1> 203.0.113.42"


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="shoe_size"):
        find("text", ["shoe_size"])  # type: ignore[list-item]


def test_a_key_is_the_label_of_its_string():
    value = {"password": "hunter", "note": "hunter", "passport_number": "X1234567", "dob": "1990-05-04"}
    assert redact_value(value) == {
        "password": "<secret_assignment-1>",
        "note": "hunter",
        "passport_number": "<identity_document-1>",
        "dob": "<date_of_birth-1>",
    }


def test_numbers_run_through_the_whole_value_and_keys_are_redacted():
    value = {"ann@example.org": ["bob@example.org", ("ann@example.org", 7)], "ok": None}
    assert redact_value(value) == {"<email-1>": ["<email-2>", ("<email-1>", 7)], "ok": None}


def test_what_a_key_gives_away_is_replaced_in_other_strings():
    value = [{"log": "login with hunter22"}, {"password": "hunter22"}]
    assert redact_value(value) == [{"log": "login with <secret_assignment-1>"}, {"password": "<secret_assignment-1>"}]


def test_neighbouring_strings_are_not_read_as_label_and_value():
    assert redact_value(["password", "hunter22", "DOB", "1990-05-04"]) == ["password", "hunter22", "DOB", "1990-05-04"]


def test_headers_of_a_request_lose_their_credentials():
    headers = {"Authorization": "Bearer abc123def456", "Cookie": "sid=abc123; a=b", "Accept": "text/html"}
    assert redact_value(headers) == {
        "Authorization": "Bearer <secret_assignment-1>",
        "Cookie": "<secret_assignment-2>",
        "Accept": "text/html",
    }


def test_a_value_that_json_cannot_express_is_refused():
    with pytest.raises(TypeError, match="'bytes'"):
        redact_value({"a": b"ann@example.org"})


def test_strings_with_seams_of_our_own_are_put_back_in_their_places():
    value = ["a\0\nb", "password\0=\0\nhunter22", "ann@example.org"]
    assert redact_value(value)[0] == "a\0\nb"
    assert redact_value(value)[2] == "<email-1>"


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_redacting_again_changes_nothing(text):
    once = redact(text).text
    assert redact(once) == Redacted(text=once, findings=())


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_findings_never_overlap_and_the_rest_is_unchanged(text):
    result = redact(text)
    place, kept = 0, ""
    for finding in result.findings:
        assert place <= finding.start < finding.end <= len(text)
        kept += text[place : finding.start] + "\1"
        place = finding.end
    kept += text[place:]
    parts = kept.split("\1") if result.findings else [text]
    position = 0
    for part in parts:
        position = result.text.index(part, position) + len(part)
    assert result.text.startswith(parts[0])
    assert result.text.endswith(parts[-1])


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_found_value_of_some_length_survives(text):
    result = redact(text)
    values = {text[finding.start : finding.end] for finding in result.findings}
    telling = {value for value in values if len(value) >= 8 and any(map(str.isdigit, value))}
    assert not [value for value in telling if value in result.text]


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_redacted_value_has_the_same_shape_and_the_original_is_untouched(value):
    before = repr(value)
    result = redact_value(value)
    assert shape(result) == shape(value)
    assert repr(value) == before


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_redacting_a_value_again_changes_nothing(value):
    once = redact_value(value)
    assert redact_value(once) == once


def test_a_tool_result_as_json_text_stays_json():
    text = json.dumps({"user": "ann@example.org", "password": "hunter22", "ip": "203.0.113.42", "n": 3})
    assert json.loads(redact(text).text) == {
        "user": "<email-1>",
        "password": "<secret_assignment-1>",
        "ip": "<ip_address-1>",
        "n": 3,
    }
