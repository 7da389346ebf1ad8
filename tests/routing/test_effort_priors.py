"""What a candidate's effort changes in what is expected of it, and what names stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter import ContentFilter, ModelCard, Policy
from steprouter.models.card import Tier
from steprouter.models.effort import Effort
from steprouter.models.identify import complete_cards
from steprouter.routing.efforts import (
    at_length,
    candidate_named,
    candidates_named,
    expected_tokens,
    for_candidates,
    prior_at,
)
from steprouter.routing.policy import OUTPUT_TOKENS
from steprouter.routing.priors import prior_of
from steprouter.step.step import StepKind

TIERS = st.sampled_from(list(Tier))


def effort(above: int) -> Effort:
    return Effort(name="some", base="it", above=above, is_weaker=above <= -2)


CARDS = complete_cards(
    [
        ModelCard(name="it", model="openai:gpt-6-sol", efforts=("none", "low", "medium", "high")),
        ModelCard(name="other", model="openai:gpt-4.1"),
    ]
)


def test_without_an_effort_the_prior_is_the_tiers() -> None:
    assert prior_at(None, Tier.MID, Tier.LOW, Tier.HIGH) == prior_of(Tier.MID, Tier.LOW, Tier.HIGH)
    assert prior_at(effort(0), Tier.MID, Tier.LOW, Tier.HIGH) == prior_of(Tier.MID, Tier.LOW, Tier.HIGH)


@given(tier=TIERS, floor=TIERS, reference=TIERS, one=st.integers(-6, 6), other=st.integers(-6, 6))
def test_more_thought_is_never_thought_worse(tier: Tier, floor: Tier, reference: Tier, one: int, other: int) -> None:
    less, more = sorted((one, other))
    # Far below the usual a candidate's tier is the next weaker one.
    tiers = [Tier(list(Tier)[max(0, tier.rank - 1)]) if above <= -2 else tier for above in (less, more)]
    worse, better = (
        prior_at(effort(above), own, floor, reference) for above, own in zip((less, more), tiers, strict=True)
    )
    assert worse.success <= better.success
    assert worse.is_vouched <= better.is_vouched


def test_the_table_does_not_vouch_for_less_thought_where_it_wants_this_very_tier() -> None:
    assert prior_at(effort(0), Tier.HIGH, Tier.HIGH, Tier.HIGH).is_vouched
    assert not prior_at(effort(-1), Tier.HIGH, Tier.HIGH, Tier.HIGH).is_vouched
    assert prior_at(effort(-1), Tier.HIGH, Tier.MID, Tier.HIGH).is_vouched


def test_answers_are_expected_to_be_longer_with_more_thought() -> None:
    usual = OUTPUT_TOKENS[StepKind.PLAN]
    assert [expected_tokens(card, StepKind.PLAN) / usual for card in CARDS] == pytest.approx([0.4, 0.7, 1, 1.6, 1])
    assert at_length(CARDS[0], 1) == 1


def test_a_cards_name_stands_for_all_its_efforts_or_for_the_one_nearest_to_its_own() -> None:
    assert candidates_named(("it", "other", "it@low"), CARDS) == ("it@none", "it@low", "it@medium", "it@high", "other")
    assert [candidate_named(name, CARDS) for name in ("it", "it@low", "other")] == ["it@medium", "it@low", "other"]
    assert (candidates_named(("its",), CARDS), candidate_named("its", CARDS)) == (("its",), "its")


def test_a_policy_names_candidates_where_there_are_efforts_and_stays_as_it_is_elsewhere() -> None:
    policy = Policy(reference="it", content_filter=ContentFilter(reaction="reroute", models=("other", "it")))
    found = for_candidates(policy, CARDS)
    assert (found.reference, found.content_filter.models) == ("it@medium", ("other", "it@medium"))
    assert for_candidates(policy, CARDS[-1:]) is policy
