"""Where a step happens, read from what LangChain and LangGraph say of the run."""

from types import SimpleNamespace

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import get_runtime

from steprouter.step.graph import read_place
from steprouter.step.step import Place

EXECUTION = SimpleNamespace(thread_id="t-9", task_id="task", checkpoint_id="cp", checkpoint_ns="ns", node_attempt=2)


def test_outside_a_graph_everything_is_empty_and_the_tenant_is_default():
    assert read_place(None) == Place() == read_place({"configurable": None, "metadata": None, "tags": None})


def test_a_configuration_says_thread_node_tags_user_and_tenant():
    place = read_place(
        {
            "configurable": {"thread_id": "t-1", "user_id": 7, "tenant": "acme", "__pregel_read": print},
            "metadata": {"langgraph_node": "agent", "langgraph_step": 3, "lc_source": "summarization"},
            "tags": ["gold", "seq:step:1"],
        }
    )
    known = {"thread_id": "t-1", "user_id": 7, "tenant": "acme", "langgraph_node": "agent", "langgraph_step": 3}
    assert place == Place(
        thread="t-1",
        node="agent",
        graph_step=3,
        tenant="acme",
        user="7",
        source="summarization",
        tags=frozenset({"gold", "seq:step:1"}),
        metadata={**known, "lc_source": "summarization"},
    )


def test_identity_comes_from_the_running_task_and_not_from_the_configuration():
    place = read_place({"configurable": {"thread_id": "t-1", "checkpoint_id": "old"}}, execution=EXECUTION)
    assert (place.thread, place.task, place.checkpoint) == ("t-9", "task", "cp")
    assert (place.namespace, place.node_attempt) == ("ns", 2)


def test_a_task_without_a_thread_takes_the_configurations():
    bare = SimpleNamespace(**{**vars(EXECUTION), "thread_id": None, "checkpoint_id": None})
    assert read_place({"configurable": {"thread_id": "t-1"}}, execution=bare).thread == "t-1"


def test_metadata_that_an_explicit_configuration_replaced_is_still_found():
    inherited = {"langgraph_node": "agent", "langgraph_step": 3, "plan": "free"}
    place = read_place({"metadata": {"plan": "paid"}}, inherited=inherited)
    assert (place.node, place.graph_step, place.metadata["plan"]) == ("agent", 3, "paid")


@pytest.mark.parametrize(
    ("router", "run", "tenant"),
    [
        (None, {}, "default"),
        (None, {"tenant": "acme"}, "acme"),
        (None, {"tenant_id": "acme"}, "acme"),
        (None, {"tenant": "", "tenant_id": "acme"}, "acme"),
        (None, {"tenant": None}, "default"),
        (None, {"tenant": 0}, "0"),
        ("ours", {}, "ours"),
        ("ours", {"tenant": "acme"}, "ours"),
        ("ours", {"tenant_id": "acme"}, "ours"),
    ],
)
@pytest.mark.parametrize("where", ["configurable", "metadata"])
def test_a_run_names_its_tenant_only_where_the_router_has_none(router, run, tenant, where):
    assert read_place({where: run}, tenant=router).tenant == tenant


@pytest.mark.parametrize("key", ["user", "user_id", "langgraph_auth_user_id"])
def test_a_user_may_be_named_in_any_of_the_usual_ways(key):
    assert read_place({"configurable": {key: "u-1"}}).user == "u-1"


def test_configurable_values_win_over_metadata_of_the_same_name():
    place = read_place({"configurable": {"user_id": "real"}, "metadata": {"user_id": "stale"}})
    assert place.user == "real"


@pytest.mark.parametrize("value", [7, "\ud800", "x" * 1_000_000, {"a": 1}, ["t"], b"t", True])
def test_a_thread_id_of_any_kind_is_taken_as_text(value):
    assert read_place({"configurable": {"thread_id": value}}).thread == str(value)


@pytest.mark.parametrize(
    "config",
    [
        {"configurable": {1: "x", None: "y", ("a",): "z"}},
        {"metadata": {1: "x"}, "tags": [1, None, "gold"]},
        {"metadata": {"langgraph_step": "3", "langgraph_node": None}},
    ],
)
def test_odd_keys_and_values_in_a_configuration_do_no_harm(config):
    place = read_place(config)
    assert (place.thread, place.node, place.graph_step) == (None, None, None)
    assert place.tags <= {"gold"}


def test_langgraphs_own_context_is_read_inside_a_node():
    seen = []

    def planner(state: MessagesState) -> dict[str, list[str]]:
        seen.append(read_place({"tags": ["own"]}, execution=get_runtime().execution_info))
        return {"messages": []}

    graph = StateGraph(MessagesState).add_node(planner).add_edge(START, "planner").compile()
    graph.invoke({"messages": []}, {"configurable": {"thread_id": "t-1"}})
    assert (seen[0].thread, seen[0].node_attempt, seen[0].tags) == ("t-1", 1, {"own"})
    assert seen[0].namespace.startswith("planner:")
