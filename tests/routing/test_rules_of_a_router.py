"""Rules where they matter: in a router, in a graph, with a caller who wants something else."""

from itertools import repeat

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from steprouter import ModelCard, NoAbleModel, Policy, Rule, StepRouter, Tier
from steprouter.testing import ScriptedChatModel, call, say

STAYS = Rule(name="stays", pii=True, regions="eu")
ATTACHED = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}


def router_with(*rules, abroad=None, inside=None):
    abroad = ScriptedChatModel(abroad or repeat(say("from abroad")), model_name="abroad")
    inside = ScriptedChatModel(inside or repeat(say("from inside")), model_name="inside")
    cards = (
        ModelCard(name="abroad", model=abroad, tier=Tier.MID, region="us"),
        ModelCard(name="inside", model=inside, tier=Tier.MID, region="eu"),
    )
    return StepRouter(cards, policy=Policy(rules=rules, reference="abroad", mode="observe"), store="memory")


@tool
def account(name: str) -> str:
    """The account of a customer."""
    return f'{{"customer": "{name}",\n"account": "DE89 3704 0044 0532 0130 00"}}'


def test_from_the_moment_a_tool_gave_personal_data_the_conversation_stays_inside():
    router = router_with(STAYS, abroad=[call("account", name="Ann"), say("never")], inside=[say("It is there.")])
    said = create_agent(router, tools=[account]).invoke({"messages": [HumanMessage("Which account has Ann?")]})
    answers = [m for m in said["messages"] if isinstance(m, AIMessage)]
    assert [m.response_metadata["steprouter"]["model"] for m in answers] == ["abroad", "inside"]
    traces = sorted(router.traces.list(), key=lambda trace: trace.step_id)
    assert [trace.rule for trace in traces] == [None, "stays"]


@pytest.mark.parametrize(
    ("messages", "model"),
    [
        ([HumanMessage("Hello")], "abroad"),
        ([HumanMessage("I am ann@example.org"), AIMessage("Hello Ann"), HumanMessage("Hello")], "inside"),
        ([HumanMessage([{"type": "text", "text": "What is this?"}, ATTACHED])], "inside"),
        ([HumanMessage("x" * 10_000_000)], "inside"),
    ],
    ids=["nothing", "long ago", "an image", "ten megabytes"],
)
def test_a_rule_on_personal_data_is_about_the_whole_prompt(messages, model):
    assert router_with(STAYS).invoke(messages).response_metadata["steprouter"]["model"] == model


def test_a_caller_who_asks_for_a_model_that_a_rule_forbids_is_refused_with_both_names():
    router = router_with(STAYS)
    pinned = {"metadata": {"steprouter_model": "abroad"}}
    assert router.invoke("Hello", pinned).text == "from abroad"
    with pytest.raises(NoAbleModel) as error:
        router.invoke("Write to ann@example.org", pinned)
    assert str(error.value) == (
        "no model can take this chat step (abroad: not allowed by rule 'stays': region us is not one of its regions; "
        "inside: the caller asked for 'abroad'); add a model, or widen the rule"
    )


def test_a_header_that_langgraphs_server_passes_on_is_seen_by_a_rule():
    router = router_with(Rule(name="plan", header={"X-Plan": ["gold", "trial"]}, models="inside"))
    assert router.invoke("Hello", {"configurable": {"x-plan": "gold"}}).text == "from inside"
    assert router.invoke("Hello", {"configurable": {"x-plan": "free"}}).text == "from abroad"


def test_a_keyword_behind_much_padding_is_seen_by_a_rule():
    router = router_with(Rule(name="law", keyword="contract", models="inside"))
    assert router.invoke(f"{'Hello. ' * 20_000} A con\u200btract.").text == "from inside"


def test_what_a_rule_reads_is_in_no_trace():
    router = router_with(STAYS, Rule(name="law", keyword="contract", models="inside"))
    router.invoke("A contract with ann@example.org")
    told = repr([trace.model_dump() for trace in router.traces.list()])
    assert "contract" not in told
    assert "example.org" not in told
