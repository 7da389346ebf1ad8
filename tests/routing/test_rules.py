"""What users state outright about who may answer which steps."""

from dataclasses import replace

import pytest

from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard, Tier
from steprouter.routing.policy import Policy
from steprouter.routing.rules import Rule, check_rules, says
from steprouter.step.step import Needs, Place, Step, StepKind

PLACE = Place(
    node="agent", tenant="acme", user="u-1", tags=frozenset({"gold"}), metadata={"x-plan": "free", "depth": 2}
)
STEP = Step(
    id="s",
    kind=StepKind.TOOL_CALL,
    place=PLACE,
    needs=Needs(input_tokens=100),
    tool_names=("search", "weather"),
    text="Draft the CONTRACT for C++ work",
)
SMALL = ModelCard(name="small", model="openai:s", tier=Tier.LOW, tags=frozenset({"eu", "cheap"}))
LARGE = ModelCard(name="large", model="openai:l", tier=Tier.HIGH, tags=frozenset({"eu"}))
UNKNOWN = ModelCard(name="unknown", model="openai:u")
CARDS = (SMALL, LARGE, UNKNOWN)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ({}, True),
        ({"kind": "tool_call"}, True),
        ({"kind": StepKind.PLAN}, False),
        ({"kind": ["plan", "tool_call"]}, True),
        ({"node": "agent"}, True),
        ({"node": ("tools", "planner")}, False),
        ({"tag": "gold"}, True),
        ({"tag": ["silver", "gold"]}, True),
        ({"tag": "silver"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "other"}, False),
        ({"user": "u-1"}, True),
        ({"user": "u"}, False),
        ({"keyword": "contract"}, True),
        ({"keyword": "tract"}, False),
        ({"keyword": "draft the contract"}, True),
        ({"keyword": "c++"}, True),
        ({"keyword": ["invoice", "contract"]}, True),
        ({"keyword": "c.ntract"}, False),
        ({"min_tokens": 100}, True),
        ({"min_tokens": 101}, False),
        ({"max_tokens": 100}, True),
        ({"max_tokens": 99}, False),
        ({"min_tokens": 100, "max_tokens": 100}, True),
        ({"tools": "search"}, True),
        ({"tools": ["email", "weather"]}, True),
        ({"tools": "email"}, False),
        ({"tools": "any"}, True),
        ({"tools": "none"}, False),
        ({"metadata": {"x-plan": "free"}}, True),
        ({"metadata": {"x-plan": "free", "depth": 2}}, True),
        ({"metadata": {"x-plan": "paid"}}, False),
        ({"metadata": {"absent": None}}, True),
        ({"kind": "tool_call", "tag": "gold", "tenant": "acme"}, True),
        ({"kind": "tool_call", "tag": "gold", "tenant": "other"}, False),
    ],
)
def test_a_rule_matches_when_all_its_conditions_hold(condition, matches):
    assert Rule(name="r", models="small", **condition).matches(STEP) is matches


@pytest.mark.parametrize(
    ("tools", "names", "builtin", "matches"),
    [
        ("none", (), (), True),
        ("any", (), (), False),
        ("any", (), ("web_search",), True),
        ("none", (), ("web_search",), False),
        ("web_search", ("search",), ("web_search",), True),
    ],
)
def test_a_rule_on_tools_sees_those_that_run_at_the_provider_too(tools, names, builtin, matches):
    step = replace(STEP, tool_names=names, needs=Needs(builtin_tools=builtin))
    assert Rule(name="r", models="small", tools=tools).matches(step) is matches


@pytest.mark.parametrize(
    ("effect", "allowed"),
    [
        ({"models": "small"}, {"small"}),
        ({"models": ["small", "unknown"]}, {"small", "unknown"}),
        ({"models": "eu"}, {"small", "large"}),
        ({"models": ["cheap", "unknown"]}, {"small", "unknown"}),
        ({"tier": "mid"}, {"large", "unknown"}),
        ({"tier": "high"}, {"large"}),
        ({"models": "eu", "tier": Tier.MID}, {"large"}),
    ],
)
def test_a_rule_allows_models_by_name_tag_and_tier(effect, allowed):
    rule = Rule(name="r", **effect)
    assert {card.name for card in CARDS if rule.allows(card)} == allowed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": "small", "kind": "plann"}, "rule 'r' names the kind 'plann'; kinds are ['plan', "),
        ({"tier": "huge"}, "rule 'r' names the tier 'huge'; tiers are ['low', 'mid', 'mid_high', 'high']"),
        ({"kind": "plan"}, "rule 'r' must say `models` or `tier`; it would change nothing"),
        ({"models": "small", "min_tokens": 9, "max_tokens": 8}, "min_tokens 9 > max_tokens 8"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_when_it_is_made(fields, message):
    with pytest.raises(ConfigError) as error:
        Rule(name="r", **fields)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("rules", "nodes", "message"),
    [
        ([Rule(name="r", models="smalll")], (), "rule 'r' names the unknown model 'smalll'; did you mean 'small'?"),
        ([Rule(name="r", models="zzz")], (), "known are ['cheap', 'eu', 'large', 'small', 'unknown']"),
        ([Rule(name="r", models="eu", node="agnet")], ("agent",), "unknown node 'agnet'; did you mean 'agent'?"),
        ([Rule(name="r", models="small", tier="high")], (), "rule 'r' allows none of the models"),
        ([Rule(name="r", models="eu"), Rule(name="r", models="eu")], (), "rule names must be unique, got 'r' twice"),
    ],
)
def test_a_rule_that_can_never_do_what_it_says_is_refused(rules, nodes, message):
    with pytest.raises(ConfigError) as error:
        check_rules(rules, CARDS, nodes)
    assert message in str(error.value)


def test_nodes_are_checked_only_where_the_graphs_nodes_are_known():
    check_rules([Rule(name="r", models="eu", node="anything")], CARDS, ())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reference": "largge"}, "reference names the unknown model 'largge'; did you mean 'large'?"),
        ({"rules": [Rule(name="r", models="eu", node="x")], "nodes": {"agent": None}}, "names the unknown node 'x'"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_refused(fields, message):
    with pytest.raises(ConfigError) as error:
        Policy(**fields).check(CARDS)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "guess"}, "mode must be 'route' or 'observe', got 'guess'"),
        ({"max_attempts": 0}, "max_attempts must be 1 or more, got 0"),
        ({"kinds": {"plann": "low"}}, "unknown kind 'plann'; kinds are ['plan', "),
        ({"kinds": {"plan": "lowest"}}, "unknown tier 'lowest'; tiers are ['low', "),
        ({"nodes": {"agent": "plann"}}, "unknown kind 'plann'"),
    ],
)
def test_a_policy_with_an_unknown_word_is_refused_when_it_is_made(fields, message):
    with pytest.raises(ConfigError) as error:
        Policy(**fields)
    assert message in str(error.value)


def test_a_policy_takes_words_for_kinds_and_tiers_and_keeps_members():
    policy = Policy(kinds={"plan": "mid"}, nodes={"agent": "plan", "tools": None})
    assert (policy.tier_for(StepKind.PLAN), policy.tier_for(StepKind.CODE)) == (Tier.MID, Tier.HIGH)
    assert policy.node_kinds == {"agent": StepKind.PLAN}


def test_a_keyword_is_looked_for_in_linear_time():
    assert not says("a" * 1_000_000, ["(a+)+$", "a" * 1_000])
