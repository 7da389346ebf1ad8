"""Rules together: the first that matches counts, so one may stand in another's way."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard, Tier
from steprouter.routing.rule_order import check_rules, first_match, looked_at, shadows
from steprouter.routing.rules import Reading, Rule
from steprouter.step.step import Needs, Place, Step, StepKind

CARDS = (ModelCard(name="m", model="openai:m", tier=Tier.LOW),)


def rule(name="r", **conditions):
    return Rule(name=name, models="m", **conditions)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({}, {}),
        ({}, {"kind": "plan"}),
        ({"kind": "plan"}, {"kind": "plan", "tag": "gold"}),
        ({"kind": ["plan", "code"]}, {"kind": "plan"}),
        ({"kind": list(StepKind)}, {"node": "agent"}),
        ({"tools": "any"}, {"tools": ["search", "weather"]}),
        ({"tools": ["any", "none"]}, {}),
        ({"min_tokens": 10}, {"min_tokens": 20, "max_tokens": 30}),
        ({"min_tokens": 0}, {}),
        ({"max_tokens": 30}, {"max_tokens": 30}),
        ({"keyword": "contract"}, {"keyword": ["draft the CONTRACT", "contract law"]}),
        ({"regex": ["a", "b"]}, {"regex": "b"}),
        ({"pii": True}, {"pii": ["email", "attachment"]}),
        ({"pii": ["email", "iban"]}, {"pii": "iban", "tenant": "acme"}),
        ({"pii": False}, {"pii": False}),
        ({"metadata": {"n": ">= 3"}}, {"metadata": {"n": 5, "m": 1}}),
        ({"metadata": {"n": "exists"}}, {"metadata": {"n": "< 3"}}),
        ({"metadata": {"n": "!= beta"}}, {"metadata": {"n": ["alpha", "gamma"]}}),
        ({"metadata": {"n": "in [a, b]"}}, {"metadata": {"n": "a"}}),
        ({"metadata": {"n": "> 3"}}, {"metadata": {"n": ">= 4"}}),
        ({"header": {"X-Plan": "free"}}, {"header": {"x-plan": "free"}}),
    ],
)
def test_a_rule_that_another_always_takes_the_steps_of_is_refused(earlier, later):
    with pytest.raises(ConfigError) as error:
        check_rules([rule("wide", **earlier), rule("narrow", **later)], CARDS, ())
    assert str(error.value) == (
        "rule 'narrow' can never match: 'wide' stands before it and matches every step that it matches; "
        "put 'narrow' first"
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"kind": "plan"}, {}),
        ({"kind": "plan", "tag": "gold"}, {"kind": "plan"}),
        ({"kind": "plan"}, {"kind": ["plan", "code"]}),
        ({"tag": "gold"}, {"user": "gold"}),
        ({"tools": "any"}, {"tools": ["search", "none"]}),
        ({"tools": "search"}, {"tools": "any"}),
        ({"min_tokens": 20}, {"min_tokens": 10}),
        ({"max_tokens": 20}, {"min_tokens": 10}),
        ({"keyword": "contract"}, {"keyword": ["contract", "invoice"]}),
        ({"keyword": "tract"}, {"keyword": "contract"}),
        ({"regex": "a"}, {"regex": "ab"}),
        ({"regex": "a"}, {"keyword": "a"}),
        ({"pii": "email"}, {"pii": True}),
        ({"pii": True}, {"pii": "api_key"}),
        ({"pii": False}, {"pii": "email"}),
        ({"metadata": {"n": 1}}, {"metadata": {"n": True}}),
        ({"metadata": {"n": "3"}}, {"metadata": {"n": 3}}),
        ({"metadata": {"n": ">= 3"}}, {"metadata": {"n": ["> 3", "absent"]}}),
        ({"metadata": {"n": "> 3"}}, {"metadata": {"n": ">= 3"}}),
        ({"metadata": {"n": "!= 3"}}, {"metadata": {"n": "03"}}),
        ({"metadata": {"x-plan": "free"}}, {"header": {"x-plan": "free"}}),
    ],
)
def test_a_rule_that_has_steps_of_its_own_is_kept(earlier, later):
    check_rules([rule("first", **earlier), rule("second", **later)], CARDS, ())


def test_the_rule_in_the_way_need_not_be_the_one_before():
    rules = [rule("a", kind="plan"), rule("b", tag="gold"), rule("c", kind="plan", tenant="acme")]
    with pytest.raises(ConfigError, match="'c' can never match: 'a' stands before it"):
        check_rules(rules, CARDS, ())


def some(values):
    return st.one_of(st.none(), st.lists(st.sampled_from(values), min_size=1, max_size=2).map(tuple))


EXPECTED = st.sampled_from(
    [1, "1", True, "a", "exists", "absent", "!= a", "> 0", ">= 1", "< 2", ["a", "> 1"], "in [a, 1]"]
)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "kind": some(["plan", "code"]),
        "node": some(["agent", "tools"]),
        "tag": some(["gold", "free"]),
        "keyword": some(["a", "a b", "b a b", "ab"]),
        "regex": some(["a", "b a"]),
        "pii": st.one_of(st.booleans(), some(["email", "iban", "api_key", "attachment"])),
        "min_tokens": st.integers(0, 2),
        "max_tokens": st.integers(2, 4),
        "tools": some(["any", "none", "search"]),
        "metadata": st.dictionaries(st.sampled_from(["n", "X-N"]), EXPECTED, max_size=2),
        "header": st.dictionaries(st.sampled_from(["n", "X-N"]), EXPECTED, max_size=1),
    },
)
STEPS = st.builds(
    lambda kind, text, size, tools, personal, place: Step(
        id="s", kind=kind, text=text, needs=Needs(input_tokens=size), tool_names=tools, personal=personal, place=place
    ),
    kind=st.sampled_from([StepKind.PLAN, StepKind.CODE, StepKind.CHAT]),
    text=st.sampled_from(["", "a", "A\nb", "b a b", "ab", "á  b"]),
    size=st.integers(0, 5),
    tools=st.sampled_from([(), ("search",), ("none",), ("email", "search")]),
    personal=st.one_of(st.none(), st.frozensets(st.sampled_from(["email", "iban", "api_key", "attachment"]))),
    place=st.builds(
        Place,
        node=st.sampled_from([None, "agent", "tools"]),
        tags=st.frozensets(st.sampled_from(["gold", "free"])),
        metadata=st.dictionaries(
            st.sampled_from(["n", "x-n", "X-N"]), st.sampled_from([None, True, 1, 2, 1.0, "1", "1.0", "a", "A", "true"])
        ),
    ),
)


@settings(max_examples=400)
@given(earlier=CONDITIONS, later=CONDITIONS, more=st.booleans(), steps=st.lists(STEPS, min_size=1, max_size=12))
def test_no_step_is_only_matched_by_a_rule_that_is_said_to_be_in_the_shadow(earlier, later, more, steps):
    """`more` makes the later rule a narrower copy, or a shadow would be rare."""
    first, second = rule(**earlier), rule(**({**earlier, **later} if more else later))
    if shadows(first, second):
        assert [step for step in steps if second.matches(step) and not first.matches(step)] == []


@given(CONDITIONS)
def test_a_rule_stands_in_the_shadow_of_its_own_copy(conditions):
    assert shadows(rule(**conditions), replace(rule(**conditions), name="copy"))


def test_the_first_rule_that_matches_counts():
    rules = (rule("a", kind="code"), rule("b", keyword="x"), rule("c", keyword="y"))
    step = Step(id="s", kind=StepKind.PLAN, text="y x")
    assert first_match(rules, step) == rules[1]
    assert first_match(rules[:1], step) is None


def test_what_several_rules_look_at_is_folded_once():
    reading = Reading(Step(id="s", kind=StepKind.PLAN, text="ÀB"))
    assert reading.words is reading.words
    assert reading.pattern_text is reading.pattern_text


def test_only_what_a_rule_asks_for_is_looked_for():
    assert (looked_at(()).text, looked_at(()).personal) == (False, None)
    assert looked_at([rule(kind="plan")]).personal is None
    assert looked_at([rule(keyword="x")]).text
    assert looked_at([rule(regex="x")]).text
    wanted = looked_at([rule(pii="email"), rule(pii=["iban", "attachment"])]).personal
    assert wanted is not None
    assert wanted.kinds == {"email", "iban"}
    everything = looked_at([rule(pii=False)]).personal
    assert everything is not None
    assert {"email", "iban", "phone"} < everything.kinds
    assert "api_key" not in everything.kinds
