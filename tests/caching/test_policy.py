"""What a user may ask of an answer cache."""

import pytest

from steprouter import ConfigError
from steprouter.caching.policy import AnswerCache
from steprouter.step.step import StepKind


def test_as_it_comes_one_answer_in_a_hundred_may_be_wrong():
    cache = AnswerCache()
    assert (cache.max_error, cache.confidence, cache.max_temperature) == (0.01, 0.95, 0.3)
    assert (cache.exact, cache.semantic, cache.audit_share) == (True, True, 0.02)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_error": 0}, "semantic=False"),
        ({"max_error": 0.5}, "below 0.5"),
        ({"max_error": "1%"}, "got '1%'"),
        ({"max_error": float("nan")}, "got nan"),
        ({"confidence": 1}, "below 1"),
        ({"confidence": True}, "got True"),
        ({"audit_share": 1.5}, "from 0 to 1"),
        ({"max_temperature": -1}, "None for any"),
        ({"nodes": "faq"}, r"write \['faq'\]"),
        ({"read_only": [1]}, "lists of names"),
        ({"read_only": 7}, "lists of names"),
        ({"ttl_seconds": 0}, "above 0"),
        ({"ttl_seconds": {StepKind.CHAT: -1}}, "above 0"),
        ({"ttl_seconds": {"chatting": 5}}, "known are"),
        ({"ttl_seconds": {"": 5}}, "known are"),
        ({"check": ""}, "name of a model"),
        ({"personal": "yes"}, "'auto', 'always' or 'never'"),
        ({"exact": False, "semantic": False}, "got neither"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_got_and_the_way_out(given, told):
    with pytest.raises(ConfigError, match=told):
        AnswerCache(**given)


def test_answers_that_rest_on_results_of_tools_are_kept_for_an_hour_and_extracts_for_a_week():
    cache = AnswerCache()
    assert cache.ttl_for(StepKind.READ_RESULT) == 3_600
    assert cache.ttl_for(StepKind.EXTRACT) == 7 * 86_400
    assert cache.ttl_for(StepKind.CHAT) == 86_400


def test_a_time_by_kind_leaves_the_other_kinds_theirs():
    cache = AnswerCache(ttl_seconds={"extract": 60})
    assert cache.ttl_for(StepKind.EXTRACT) == 60
    assert cache.ttl_for(StepKind.CHAT) == 86_400


def test_one_time_is_of_all_kinds():
    assert {AnswerCache(ttl_seconds=5).ttl_for(kind) for kind in StepKind} == {5}


def test_caches_that_ask_the_same_are_equal_however_their_names_are_given():
    assert AnswerCache(read_only=["a", "b"], nodes=["x"]) == AnswerCache(read_only={"b", "a"}, nodes=("x",))


def test_meaning_is_compared_at_all_nodes_unless_some_are_named():
    assert AnswerCache().compares_at("any")
    assert AnswerCache(nodes=["faq"]).compares_at("faq")
    assert not AnswerCache(nodes=["faq"]).compares_at(None)
    assert not AnswerCache(nodes=["faq"], semantic=False).compares_at("faq")
