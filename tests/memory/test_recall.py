"""What is known when a step begins."""

from steprouter.memory.recall import NOT_KEPT, Missing, Recalled


def test_a_section_that_was_brought_is_given_as_it_is():
    assert Recalled(sections={"session": 7}).section("session") == 7


def test_a_section_nobody_keeps_is_missing_but_nothing_is_broken():
    recalled = Recalled(sections={"session": NOT_KEPT})
    assert (recalled.section("session"), recalled.section("cache")) == (NOT_KEPT, NOT_KEPT)
    assert recalled.degraded == ()


def test_a_broken_section_says_its_name_and_why():
    late = Missing(reason="no answer within 50 ms")
    assert Recalled(sections={"a": late, "b": 1, "c": NOT_KEPT}).degraded == ("a: no answer within 50 ms",)
