"""What users state outright about who may answer which steps."""

from dataclasses import replace

import pytest

from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard, Tier
from steprouter.routing.policy import Policy
from steprouter.routing.rule_order import check_rules
from steprouter.routing.rules import Rule
from steprouter.step.step import Needs, Place, Step, StepKind

PLACE = Place(
    node="agent",
    tenant="acme",
    user="u-1",
    tags=frozenset({"gold"}),
    metadata={"x-plan": "free", "depth": 2, "X-Region": "us", "x-region": "eu"},
)
STEP = Step(
    id="s",
    kind=StepKind.TOOL_CALL,
    place=PLACE,
    needs=Needs(input_tokens=100),
    tool_names=("search", "weather"),
    text="Draft the CONTRACT for C++ work",
    personal=frozenset({"email"}),
)
SMALL = ModelCard(name="small", model="openai:s", tier=Tier.LOW, tags=frozenset({"eu", "cheap"}), region="eu-west")
LARGE = ModelCard(name="large", model="openai:l", tier=Tier.HIGH, tags=frozenset({"eu"}), region="us")
UNKNOWN = ModelCard(name="unknown", model="openai:u")
HERE = ModelCard(name="here", model="qwen", base_url="http://127.0.0.1:8080/v1", tier=Tier.MID)
CARDS = (SMALL, LARGE, UNKNOWN, HERE)


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
        ({"metadata": {"depth": ">= 2"}}, True),
        ({"metadata": {"depth": "> 2"}}, False),
        ({"metadata": {"x-plan": "exists", "other": "absent"}}, True),
        ({"metadata": {"x-plan": ["paid", "free"]}}, True),
        ({"metadata": {"X-Plan": "free"}}, False),
        ({"header": {"X-Plan": "free"}}, True),
        ({"header": {"X-PLAN": "!= free"}}, False),
        ({"header": {"x-region": "eu"}}, True),
        ({"header": {"X-Region": "us"}}, False),
        ({"header": {"X-Other": "exists"}}, False),
        ({"regex": r"C\+\+ w\w+$"}, True),
        ({"regex": "contract"}, False),
        ({"regex": "(?i)contract"}, True),
        ({"regex": ["invoice", "^Draft"]}, True),
        ({"pii": True}, True),
        ({"pii": False}, False),
        ({"pii": "email"}, True),
        ({"pii": ["iban", "email"]}, True),
        ({"pii": ["iban", "attachment"]}, False),
        ({"pii": True, "keyword": "invoice"}, False),
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
        ({"tier": "high"}, {"large"}),
        ({"models": "eu", "tier": Tier.MID}, {"large"}),
        ({"tier": "mid"}, {"large", "unknown", "here"}),
        ({"max_tier": "mid"}, {"small", "unknown", "here"}),
        ({"tier": "mid", "max_tier": Tier.MID_HIGH}, {"unknown", "here"}),
        ({"regions": "eu-west"}, {"small"}),
        ({"regions": ["eu-west", "us"]}, {"small", "large"}),
        ({"local_only": True}, {"here"}),
        ({"quality_loss": 0}, {"small", "large", "unknown", "here"}),
    ],
)
def test_a_rule_allows_models_by_name_tag_and_tier(effect, allowed):
    rule = Rule(name="r", **effect)
    assert {card.name for card in CARDS if rule.allows(card)} == allowed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": "small", "kind": "plann"}, "rule 'r' names the unknown kind 'plann'; did you mean 'plan'?"),
        ({"tier": "huge"}, "rule 'r' names the unknown tier 'huge'; known are ['high', 'low', 'mid', 'mid_high']"),
        ({"max_tier": "hihg"}, "rule 'r' names the unknown tier 'hihg'; did you mean 'high'?"),
        ({"tier": "high", "max_tier": "mid"}, "rule 'r' allows nobody: tier high is above max_tier mid"),
        (
            {"kind": "plan"},
            "rule 'r' must have an effect (models, tier, max_tier, regions, local_only or quality_loss)",
        ),
        ({"models": "small", "min_tokens": 9, "max_tokens": 8}, "never match: min_tokens 9 > max_tokens 8"),
        ({"models": "small", "min_tokens": -1}, "min_tokens of rule 'r' must be a whole number, 0 or more, got -1"),
        ({"models": "small", "max_tokens": True}, "max_tokens of rule 'r' must be a whole number, 0 or more, got True"),
        ({"models": "small", "pii": "emial"}, "names the unknown kind of personal data 'emial'; did you mean 'email'?"),
        ({"models": "small", "keyword": "\u200b"}, "must have keywords with a letter, digit or sign, got ['\\u200b']"),
        ({"models": "small", "metadata": {"n": "> x"}}, "metadata 'n' of rule 'r' must have a number after '>'"),
        ({"models": "small", "header": {"X-N": []}}, "header 'X-N' of rule 'r' must not be an empty list"),
        ({"quality_loss": 1.5}, "quality_loss of rule 'r' must be between 0 and 1, got 1.5"),
        ({"quality_loss": float("nan")}, "quality_loss of rule 'r' must be between 0 and 1, got nan"),
        ({"local_only": "yes"}, "local_only of rule 'r' must be True or False, got 'yes'"),
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
        ([Rule(name="r", models="zzz")], (), "known are ['cheap', 'eu', 'here', 'large', 'small', 'unknown']"),
        ([Rule(name="r", regions="eu-wst")], (), "rule 'r' names the unknown region 'eu-wst'; did you mean 'eu-west'?"),
        ([Rule(name="r", regions=["us"], local_only=True)], (), "large: not a local model"),
        (
            [Rule(name="r", models="eu", local_only=True)],
            (),
            (
                "rule 'r' allows none of the models ['here', 'large', 'small', 'unknown'] (small: not a local model; "
                "large: not a local model; unknown: not one of its models; here: not one of its models)"
            ),
        ),
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


@pytest.mark.parametrize(("pii", "matches"), [(True, True), ("iban", True), (False, False), (None, True)])
def test_personal_data_that_nobody_looked_for_may_be_there(pii, matches):
    assert Rule(name="r", models="small", pii=pii).matches(replace(STEP, personal=None)) is matches


@pytest.mark.parametrize(("pii", "matches"), [(True, False), ("api_key", True), (False, True)])
def test_a_secret_is_no_personal_data_but_may_be_named(pii, matches):
    assert Rule(name="r", models="small", pii=pii).matches(replace(STEP, personal=frozenset({"api_key"}))) is matches


def test_a_rule_that_only_sets_the_quality_says_how_much_may_be_lost():
    assert (Rule(name="r", quality_loss=0.1).quality_loss, Rule(name="r", models="small").quality_loss) == (0.1, None)


@pytest.mark.parametrize(
    ("effect", "card", "objection"),
    [
        ({"models": "small"}, LARGE, "not one of its models"),
        ({"tier": "mid"}, SMALL, "tier low is below mid"),
        ({"max_tier": "mid"}, LARGE, "tier high is above mid"),
        ({"regions": "eu-west"}, LARGE, "region us is not one of its regions"),
        ({"regions": "eu-west"}, HERE, "its card states no region"),
        ({"local_only": True}, LARGE, "not a local model"),
        ({"local_only": True}, HERE, None),
    ],
)
def test_a_rule_says_why_a_model_may_not_answer(effect, card, objection):
    assert Rule(name="r", **effect).objection(card) == objection
