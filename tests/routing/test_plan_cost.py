"""Plans of a session, counted against a provider that remembers token by token what it has seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.models.card import Price
from steprouter.routing.plan_cost import MOST_STEPS, Ahead, Speaker, plan, run_usd, step_usd

OPUS = Price(input=4, output=20, cache_read=0.2, cache_write=5)
HAIKU = Price(input=0.1, output=0.5, cache_read=0.01, cache_write=0.125)
SONNET = Price(input=2, output=10, cache_read=0.1, cache_write=2.5)


class Provider:
    """Bills a prompt token by token: cached ones are read, the others written and cached from then on."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker, self.cached = speaker, set(range(speaker.warm_tokens))

    def bill(self, prompt_tokens: int) -> float:
        price, usd = self.speaker.price, 0.0
        for token in range(prompt_tokens):
            cached = price.cache_read if token in self.cached else price.cache_write
            usd += price.input if cached is None else cached
        self.cached = set(range(prompt_tokens))
        return (usd + self.speaker.output_tokens * price.output) / 1e6


def counted(speaker: Speaker, incumbent: Speaker, ahead: Ahead) -> dict[str, float]:
    """What both plans come to when every token is counted."""

    def prompt(number: int) -> int:
        return ahead.prompt_tokens + number * ahead.growth_tokens

    alone = Provider(speaker)
    switch = sum(alone.bill(prompt(number)) for number in range(ahead.steps))
    there, back = Provider(speaker), Provider(incumbent)
    excursion = there.bill(prompt(0))
    if ahead.cools:
        back.cached = set()
    excursion += sum(back.bill(prompt(number)) for number in range(1, ahead.steps))
    staying = Provider(incumbent)
    stay = sum(staying.bill(prompt(number)) for number in range(ahead.steps))
    return {"switch": switch, "excursion": excursion, "stay": stay}


CACHED = st.none() | st.floats(0, 20)
PRICES = st.builds(Price, input=st.floats(0, 20), output=st.floats(0, 60), cache_read=CACHED, cache_write=CACHED)
SPEAKERS = st.builds(Speaker, price=PRICES, warm_tokens=st.integers(0, 120), output_tokens=st.integers(0, 50))
AHEAD = st.builds(
    Ahead,
    prompt_tokens=st.integers(120, 200),
    growth_tokens=st.integers(0, 40),
    steps=st.integers(1, 6),
    cools=st.booleans(),
)


@given(SPEAKERS, SPEAKERS, AHEAD)
def test_a_plan_costs_what_counting_every_token_gives(speaker, incumbent, ahead):
    told, exact = plan(speaker, incumbent, ahead), counted(speaker, incumbent, ahead)
    assert told.total_usd == pytest.approx(exact[told.kind])
    share = {"excursion": exact["excursion"] - exact["stay"], "switch": 0.0}
    usual = {"excursion": exact["stay"] / ahead.steps, "switch": exact["switch"] / ahead.steps}
    costs = {kind: usual[kind] + share[kind] for kind in usual}
    assert told.usd == pytest.approx(min(costs.values()), abs=1e-12)


@given(SPEAKERS, AHEAD)
def test_the_sessions_own_model_stays(speaker, ahead):
    for incumbent in (None, speaker):
        told = plan(speaker, incumbent, ahead)
        assert (told.kind, told.total_usd) == ("stay", pytest.approx(counted(speaker, speaker, ahead)["stay"]))


@given(SPEAKERS, SPEAKERS, AHEAD)
def test_a_model_that_gets_cheaper_never_costs_more(speaker, incumbent, ahead):
    cheap = Price(input=speaker.price.input / 2, output=speaker.price.output / 2,
                  cache_read=speaker.price.cache_read, cache_write=speaker.price.cache_write)  # fmt: skip
    less = Speaker(price=cheap, warm_tokens=speaker.warm_tokens, output_tokens=speaker.output_tokens)
    assert plan(less, incumbent, ahead).usd <= plan(speaker, incumbent, ahead).usd + 1e-12


@pytest.mark.parametrize(
    ("prefix", "other", "pays"),
    [
        (20_000, HAIKU, True),  # far tiers: an excursion pays at any length while the session's model stays warm
        (100_000, HAIKU, True),
        (2_000, SONNET, False),  # adjacent tiers: not beyond some hundred tokens
        (100, SONNET, True),
    ],
)
def test_one_step_on_another_model_pays_where_its_input_is_cheaper_than_the_others_cache(prefix, other, pays):
    """The break-even of an excursion with 1 500 new tokens and an answer of 400; prices of Claude 5.5, 2026."""
    incumbent = Speaker(price=OPUS, warm_tokens=prefix, output_tokens=400)
    ahead = Ahead(prompt_tokens=prefix + 1_500, growth_tokens=1_900, steps=2)
    stay = run_usd(incumbent, ahead)
    excursion = step_usd(Speaker(price=other, output_tokens=400), ahead.prompt_tokens, 0)
    excursion += run_usd(incumbent, ahead, first=1)
    assert (excursion < stay) is pays


def test_a_switch_that_lasts_bears_the_cold_cache_that_one_step_would_not():
    incumbent = Speaker(price=OPUS, warm_tokens=20_000, output_tokens=400)
    other = Speaker(price=SONNET, output_tokens=400)

    def usd(steps: int) -> tuple[str, bool]:
        ahead = Ahead(prompt_tokens=21_500, growth_tokens=1_900, steps=steps)
        told = plan(other, incumbent, ahead)
        return told.kind, told.usd < plan(incumbent, None, ahead).usd

    assert [usd(steps)[1] for steps in (1, 3, 30)] == [False, False, True]
    assert usd(30)[0] == "switch"


def test_the_look_ahead_has_a_limit():
    assert Ahead(prompt_tokens=1, steps=10_000).steps == MOST_STEPS
    assert Ahead(prompt_tokens=1, steps=0).steps == 1
