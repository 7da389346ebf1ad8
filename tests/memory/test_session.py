from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from steprouter.memory.session import RECENT, Decided, Session, SessionUpdate, Warm, advance, caught_up, without_expired

NOW = 1_800_000_000.0


def ended(number: int, *, model: str | None = "small", **given) -> SessionUpdate:
    """The update of a step that started `number` seconds in."""
    about_step = {name: given.pop(name) for name in ("usd", "calls") if name in given}
    decided = Decided(step_id=f"s{number}", at=NOW + number, kind="chat", model=model, **about_step)
    return SessionUpdate(decided=decided, **given)


def warm(until: float) -> Warm:
    return Warm(digest="d", messages=3, tokens=100, until=until)


def test_the_first_step_of_a_session_is_its_own_average():
    session = advance(Session(), ended(1, input_tokens=100, output_tokens=10, seconds=2.0))
    assert (session.shape.input_tokens, session.shape.output_tokens, session.shape.seconds) == (100, 10, 2.0)


def test_an_update_counts_once_however_often_it_comes():
    update = ended(1, usd=0.5)
    assert caught_up(Session(), (update, update, update)) == advance(Session(), update)


@given(st.permutations(range(6)))
def test_updates_in_any_order_lose_nothing_and_the_newest_step_names_the_incumbent(order):
    updates = tuple(ended(n, model=f"m{n}", usd=0.25, errors=n) for n in order)
    session = caught_up(Session(), updates)
    assert (session.steps, session.spent_usd, session.incumbent, session.errors) == (6, 1.5, "m5", 5)
    assert [decided.step_id for decided in session.recent] == ["s5", "s4", "s3", "s2", "s1", "s0"]


def test_a_step_that_nobody_answered_leaves_the_incumbent_and_costs_are_counted_apart_where_unknown():
    session = caught_up(Session(), (ended(1, usd=0.5), ended(2, model=None)))
    assert (session.incumbent, session.spent_usd, session.unpriced) == ("small", 0.5, 1)


def test_escalation_rises_with_each_insufficient_answer_and_falls_back_to_nothing():
    rises = (ended(1, escalated=True), ended(2, escalated=True))
    falls = tuple(ended(n) for n in range(3, 9))
    assert caught_up(Session(), rises).escalation == 2
    assert caught_up(Session(), rises + falls).escalation == 0


def test_a_model_keeps_the_prefix_that_stays_warm_longest():
    session = caught_up(Session(), (ended(1, warm=warm(NOW + 300)), ended(2, warm=warm(NOW + 200))))
    assert session.warm == {"small": warm(NOW + 300)}
    assert without_expired(session, NOW + 299).warm == session.warm
    assert without_expired(session, NOW + 300) == replace(session, warm={})


def test_only_the_last_steps_are_remembered_one_by_one():
    session = caught_up(Session(), tuple(ended(n, calls=("same",)) for n in range(RECENT + 5)))
    assert (len(session.recent), session.steps) == (RECENT, RECENT + 5)
    assert (session.called("same"), session.called("other"), session.knows("s0")) == (RECENT, 0, False)
