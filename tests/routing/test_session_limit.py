"""A session does not cost much more than its reference alone, whoever is tried and whatever is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter import ConfigError
from steprouter.memory.recall import Recalled
from steprouter.memory.session import Decided, Session, SessionUpdate, Warm, advance
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.decide import decide
from steprouter.routing.plan_cost import Speaker, step_usd
from steprouter.routing.policy import Policy
from steprouter.routing.session_limit import too_dear_at_worst
from steprouter.step.step import Needs, Place, Step, StepKind, Trail

OVERRUN = 0.1
NOW = 1_800_000_000.0


def card(name, tier, usd):
    price = Price(input=usd, output=5 * usd, cache_read=usd / 10, cache_write=1.25 * usd)
    return ModelCard(name=name, model=f"openai:{name}", tier=tier, price=price)


CARDS = (card("small", Tier.LOW, 0.1), card("mid", Tier.MID, 1), card("large", Tier.HIGH, 2))
EXPECTED = 100


def at(number, prompt, session):
    """The step, and what asking each model depends on."""
    trail = Trail(prefixes=tuple(f"p{n}" for n in range(number + 1)))
    step = Step(
        id=f"s{number}",
        kind=StepKind.CHAT,
        place=Place(thread="t"),
        needs=Needs(input_tokens=prompt),
        trail=trail,
        started_at=NOW + number,
    )
    warm = {name: one.tokens for name, one in session.warm.items()}
    speakers = {c.name: Speaker(price=c.price, warm_tokens=warm.get(c.name, 0), output_tokens=EXPECTED) for c in CARDS}
    return step, speakers


def after(session, step, model, usd, due):
    number = len(step.trail.prefixes)
    warm = Warm(digest=step.trail.asked, messages=number, tokens=step.needs.input_tokens, until=NOW + 1e6)
    decided = Decided(step_id=step.id, at=step.started_at, kind="chat", model=model, usd=usd)
    later = advance(session, SessionUpdate(decided=decided, warm=warm, reference_usd=due))
    return replace(later, warm={model: warm})  # whoever did not answer has lost its cache


steps = st.tuples(
    st.integers(0, 3_000),  # what came into the conversation
    st.integers(0, 4 * EXPECTED),  # how long answers are
    st.integers(0, 2),  # which of the allowed models is tried
    st.integers(0, 2),  # how many answers are refused
)


@settings(max_examples=300, deadline=None)
@given(st.integers(10, 20_000), st.lists(steps, min_size=1, max_size=25))
def test_no_session_costs_more_than_allowed_whoever_is_tried_and_whatever_is_refused(prompt, session_steps):
    session, paid, due = Session(), 0.0, 0.0
    for number, (came, length, tried, refused) in enumerate(session_steps):
        prompt += came
        step, speakers = at(number, prompt, session)
        risky = too_dear_at_worst(CARDS, speakers, "large", step, session, OVERRUN, escalates=True)
        allowed = [c.name for c in CARDS if c.name not in risky]
        chain = allowed[min(tried, len(allowed) - 1) :]
        answering = min(refused, len(chain) - 1)

        def bill(name, length=length, prompt=prompt, speakers=speakers):
            one = speakers[name]
            return step_usd(Speaker(price=one.price, output_tokens=length), prompt, one.warm_tokens)

        usd = sum(bill(name) for name in chain[: answering + 1])
        large = Speaker(price=CARDS[2].price, output_tokens=length)
        alone = step_usd(large, prompt, session.shared_tokens(step))
        paid, due = paid + usd, due + alone
        assert paid <= (1 + OVERRUN) * due * (1 + 1e-9)
        session = after(session, step, chain[answering], usd, alone)
    assert session.reference_usd == pytest.approx(due)


def test_a_model_ten_times_cheaper_may_begin_and_one_at_half_the_price_may_not():
    step, speakers = at(0, 5_000, Session())
    assert too_dear_at_worst(CARDS, speakers, "large", step, Session(), OVERRUN, escalates=True) == {"mid"}


def test_what_a_session_has_saved_may_be_risked():
    session = Session(spent_usd=0.1, reference_usd=1.0)
    step, speakers = at(5, 5_000, session)
    assert not too_dear_at_worst(CARDS, speakers, "large", step, session, OVERRUN, escalates=True)


def test_where_nothing_is_escalated_only_the_way_back_is_kept():
    step, speakers = at(0, 5_000, Session())
    assert not too_dear_at_worst(CARDS, speakers, "large", step, Session(), 1.0, escalates=False)


@pytest.mark.parametrize("place", [Place(), Place(thread="t")])
def test_the_limit_is_of_a_thread_and_names_itself(place):
    step = Step(id="s", kind=StepKind.CHAT, place=place, needs=Needs(input_tokens=5_000), started_at=NOW)
    cards = CARDS[1:]
    free, limited = (decide(step, cards, Policy(session_overrun=one), Recalled()) for one in (None, OVERRUN))
    assert free.models[0] == "mid"
    if place.thread is None:
        assert limited.models == free.models
    else:
        assert limited.models == ("large", "mid")
        assert limited.candidate("mid").fate == "overrun"
        assert "might cost more than allowed" in limited.candidate("mid").reason


@pytest.mark.parametrize("overrun", [-0.1, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused(overrun):
    with pytest.raises(ConfigError, match="session_overrun must be 0 or more"):
        Policy(session_overrun=overrun)
