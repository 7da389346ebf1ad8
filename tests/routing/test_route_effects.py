"""What a route changes: the kind of a step that structure left open, who may answer, and what may be lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from route_tables import BILLING, EMBEDDER, POETRY, route, table

from steprouter.memory.recall import NOT_KEPT, Missing, Recalled
from steprouter.memory.session import Decided, Session
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.routing.decide import decide
from steprouter.routing.decision import Decision
from steprouter.routing.policy import Policy
from steprouter.routing.route_effects import last_route, narrowed_by_route, routed, settled
from steprouter.routing.routes import Route, RouteMatch, RouteScore
from steprouter.routing.rules import Rule
from steprouter.step.step import Evidence, Needs, Place, Step, StepKind

OPEN = Step(id="s", kind=StepKind.TOOL_CALL, kind_open=True, text="poem", needs=Needs(input_tokens=100))
POLICY = Policy()


def card(name: str, tier: Tier, usd: float, **fields: Any) -> ModelCard:
    return ModelCard(name=name, model=f"openai:{name}", tier=tier, price=Price(input=usd, output=usd), **fields)


CARDS = (card("small", Tier.LOW, 1), card("mid", Tier.MID, 4, tags=frozenset({"eu"})), card("large", Tier.HIGH, 20))


def on(*routes: str | None) -> Recalled:
    """What is known of a thread whose steps took these routes, the newest first."""
    recent = tuple(Decided(step_id=str(n), at=-n, kind="chat", route=one) for n, one in enumerate(routes))
    return Recalled(sections={"session": Session(recent=recent)})


def take(one: Route, score: float = 0.9) -> RouteMatch:
    told = RouteScore(name=one.name, score=score, threshold=one.threshold)
    return RouteMatch(route=one, score=score, scores=(told,), how="nearest")


def test_a_route_settles_a_kind_that_structure_left_open_and_says_so() -> None:
    step = settled(OPEN, routed(OPEN, EMBEDDER.embed("poem"), table(), POLICY))
    assert (step.kind, step.kind_from, step.kind_open) == (StepKind.CHAT, "route 'poetry' (1.00)", False)


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (replace(OPEN, kind_open=False), take(POETRY)),  # structure knows better
        (OPEN, take(BILLING)),  # says nothing of kinds
        (OPEN, RouteMatch()),
        (OPEN, None),
    ],
)
def test_a_kind_is_left_as_structure_read_it_where_no_route_may_settle_it(step: Step, match: RouteMatch | None) -> None:
    assert settled(step, match) is step


def test_without_routes_or_without_a_vector_no_step_takes_one() -> None:
    assert routed(OPEN, EMBEDDER.embed("poem"), None, POLICY) is None
    assert routed(OPEN, Missing(reason="the embedder is down"), table(), POLICY) is None
    assert routed(OPEN, NOT_KEPT, table(), POLICY) is None


def test_the_route_that_a_thread_took_last_is_the_newest_that_any_of_its_steps_took() -> None:
    assert last_route(on(None, "billing", "poetry")) == "billing"
    assert last_route(on(None)) is last_route(Recalled()) is None


def test_a_paraphrase_stays_on_the_route_of_its_thread() -> None:
    """`refund` alone is as near to both."""
    both = table(route("a", "refund card"), route("b", "refund invoice"))
    vector = EMBEDDER.embed("refund")
    found = routed(OPEN, vector, both, POLICY, on(None, "b"))
    assert found is not None
    assert (found.name, found.how) == ("b", "held")


def test_what_tools_gave_never_chooses_a_route_and_stays_on_that_of_its_question() -> None:
    reading = replace(OPEN, kind=StepKind.READ_RESULT, evidence=Evidence(last_role="tool", tool_results=1))
    vector = EMBEDDER.embed("poem")
    kept, none = routed(reading, vector, table(), POLICY, on("billing")), routed(reading, vector, table(), POLICY)
    assert kept == RouteMatch(route=BILLING, how="carried")
    assert none == RouteMatch()


def decided(match: RouteMatch | None, step: Step = OPEN, **policy: Any) -> Decision:
    return decide(step, CARDS, Policy(**policy), Recalled(), route=match)


def test_a_route_leaves_only_the_models_it_allows_and_the_decision_says_so() -> None:
    found = decided(take(route("r", "x", models="eu")))
    assert found.models == ("mid",)
    assert (found.route, found.reason[:24]) == ("r", "route 'r' (0.90); mid: c")
    assert {c.model: c.reason for c in found.candidates if not c.kept} == {
        "small": "not allowed by route 'r'",
        "large": "not allowed by route 'r'",
    }


def test_a_route_with_a_tier_leaves_what_is_as_strong() -> None:
    assert set(decided(take(route("r", "x", models=None, tier="mid"))).models) == {"mid", "large"}


def test_a_rule_and_a_route_must_both_allow_a_model() -> None:
    rule = Rule(name="strong", tier=Tier.MID)
    found = decided(take(route("r", "x", models=("small", "mid"))), rules=[rule])
    assert (found.models, found.rule, found.route) == (("mid",), "strong", "r")


def test_a_route_that_contradicts_a_rule_is_ignored_and_the_trace_says_so() -> None:
    found = decided(take(route("r", "x", models="small")), rules=[Rule(name="strong", models="large")])
    assert found.models == ("large",)
    assert found.reason.startswith(
        "route 'r' (0.90) ignored: it allows none of the able models; rule 'strong'; large: "
    )


def test_a_route_whose_models_cannot_do_the_step_is_ignored_rather_than_an_error() -> None:
    blind = (card("small", Tier.LOW, 1, abilities=Abilities(tools=False)), CARDS[2])
    step = replace(OPEN, needs=Needs(tools=True, input_tokens=100))
    found = decide(step, blind, POLICY, Recalled(), route=take(BILLING))
    assert found.models == ("large",)


def test_a_model_that_the_caller_asked_for_is_not_taken_away_by_a_route() -> None:
    step = replace(OPEN, place=Place(metadata={"steprouter_model": "large"}))
    assert decided(take(BILLING), step).models == ("large",)


def test_a_route_says_what_may_be_lost_instead_of_the_policy() -> None:
    strict, loose = route("r", "x", models=None, quality_loss=0.0), route("r", "x", models=None, quality_loss=0.9)
    step = replace(OPEN, kind=StepKind.PLAN)
    targets = [decided(take(one), step).target for one in (strict, loose)]
    assert targets[0] is not None
    assert targets[1] is not None
    assert targets[0] > targets[1]
    assert decided(take(strict), step).models[0] == "large"


def test_a_decision_tells_the_scores_also_where_no_route_was_taken() -> None:
    told = (RouteScore(name="billing", score=0.4, threshold=0.7),)
    found = decided(RouteMatch(scores=told))
    assert (found.route, found.route_scores) == (None, told)
    assert "route" not in found.reason


def test_without_a_match_nothing_is_narrowed() -> None:
    assert narrowed_by_route(CARDS, None) == narrowed_by_route(CARDS, RouteMatch())
    assert decided(None) == decide(OPEN, CARDS, POLICY, Recalled())
