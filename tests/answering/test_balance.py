"""Choosing among deployments of one model: the load spreads, the slow one is left soon, the warm one is kept to."""

import math
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.balance import (
    IDLE_SECONDS,
    NEWEST_WEIGHT,
    SPIKE_SECONDS,
    UNKNOWN_SECONDS,
    WARM_FACTOR,
    Latency,
    latency_after,
    pick,
    score,
)

NOW = 1_800_000_000.0
NAMES = ("a", "b", "c", "d")
SECONDS = st.floats(0.001, 300.0)


def draw_of(step):
    """A draw as a step has it: a hash of its number."""
    return int.from_bytes(sha256(str(step).encode()).digest()[:8], "big") / 2**64


# What is known of a deployment


def test_the_first_time_to_first_token_is_what_is_usual():
    assert latency_after(None, 2.0, NOW) == Latency(usual_seconds=2.0, at=NOW)
    assert latency_after(None, math.nan, NOW) is None


def test_a_spike_counts_at_once_and_in_full():
    assert Latency(usual_seconds=1.0, at=NOW).seen(20.0, NOW + 1).seconds_at(NOW + 1) == pytest.approx(20.0)


def test_after_ten_seconds_a_third_of_a_spike_is_left():
    spiked = Latency(usual_seconds=1.0, spike_seconds=19.0, at=NOW)
    left = 1.0 + 19.0 / math.e
    assert spiked.seconds_at(NOW + SPIKE_SECONDS) == pytest.approx(left * math.exp(-SPIKE_SECONDS / IDLE_SECONDS))


def test_a_quick_answer_right_after_a_spike_does_not_end_it():
    spiked = Latency(usual_seconds=1.0, at=NOW).seen(20.0, NOW)
    assert spiked.seen(1.0, NOW).seconds_at(NOW) == pytest.approx(20.0)


def test_what_is_usual_follows_the_answers_one_twentieth_at_a_time():
    assert Latency(usual_seconds=1.0, at=NOW).seen(2.0, NOW).usual_seconds == pytest.approx(1.0 + NEWEST_WEIGHT)


def test_after_a_long_silence_one_answer_says_what_is_usual():
    assert Latency(usual_seconds=10.0, at=NOW).seen(1.0, NOW + 1200).usual_seconds < 1.2


def test_a_deployment_that_was_slow_looks_quick_again_when_it_has_not_been_asked_for_long():
    slow, quick = Latency(usual_seconds=10.0, at=NOW), Latency(usual_seconds=1.0, at=NOW + 1200)
    assert slow.seconds_at(NOW + 60) > quick.seconds_at(NOW + 60)
    assert slow.seconds_at(NOW + 1200) < quick.seconds_at(NOW + 1200)


def test_with_a_call_in_half_a_minute_the_slow_of_two_is_still_the_worse_one():
    slow, quick = Latency(usual_seconds=5.0, at=NOW), Latency(usual_seconds=0.5, at=NOW + 270)
    assert slow.seconds_at(NOW + 300) > quick.seconds_at(NOW + 300)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 0.0])
def test_what_is_no_time_changes_no_latency(seconds):
    known = Latency(usual_seconds=1.0, spike_seconds=1.0, at=NOW)
    assert known.seen(seconds, NOW + 5) == known


@given(st.lists(st.tuples(SECONDS, st.floats(-100, 1000)), min_size=1))
def test_a_latency_is_never_below_zero_nor_above_the_slowest_call(calls):
    latency, now = None, NOW
    for seconds, later in calls:
        now += later
        latency = latency_after(latency, seconds, now)
        assert seconds * (1 - 1e-9) <= latency.seconds_at(now) <= max(one for one, _ in calls) * (1 + 1e-9)
        assert latency.spike_seconds >= 0
    assert 0 <= latency.seconds_at(now + 1e6) <= latency.seconds_at(now + 1) <= latency.seconds_at(now - 1e6)


# What a call would cost in time


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, 2.0),
        ({"in_flight": 3}, 8.0),
        ({"in_flight": 3, "weight": 4.0}, 2.0),
        ({"is_warm": True}, 2.0 * WARM_FACTOR),
        ({"penalty": 1.5}, 3.0),
    ],
)
def test_a_score_is_the_latency_times_what_waits_and_what_speaks_for_and_against(facts, expected):
    assert score(2.0, **facts) == pytest.approx(expected)


def test_an_unknown_deployment_counts_as_a_second_for_each_call_it_has():
    assert (score(None), score(None, in_flight=4)) == (UNKNOWN_SECONDS, 5 * UNKNOWN_SECONDS)


@given(SECONDS, st.integers(0, 50), st.floats(1, 4))
def test_a_warm_deployment_is_preferred_until_it_is_three_times_as_slow(seconds, in_flight, penalty):
    cold = score(seconds, in_flight=in_flight, penalty=penalty)
    assert score(3.3 * seconds, in_flight=in_flight, penalty=penalty, is_warm=True) < cold
    assert score(3.4 * seconds, in_flight=in_flight, penalty=penalty, is_warm=True) > cold


# Picking


def test_of_one_deployment_that_one_is_picked_and_of_none_none():
    assert pick(["a"], {"a": 9.0}, 0.7) == ("a",)
    assert pick([], {}, 0.7) == ()


def test_the_better_of_the_two_drawn_comes_first_and_the_rest_by_score():
    scores = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    assert pick(NAMES, scores, 0.0) == ("b", "a", "d", "c")
    assert pick(NAMES, scores, 1.0) == ("d", "c", "b", "a")


def test_of_two_deployments_the_better_one_is_always_first():
    assert {pick("ab", {"a": 2.0, "b": 1.0}, draw / 10) for draw in range(11)} == {("b", "a")}


def test_one_whose_pace_has_no_room_comes_last_however_good_it_is():
    scores = {"a": 0.1, "b": 5.0, "c": 0.2, "d": 6.0}
    assert pick(NAMES, scores, 0.5, full={"a", "c"}) == ("b", "d", "a", "c")
    assert pick(["a", "c"], scores, 0.5, full={"a", "c"}) == ("a", "c")


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.floats(0, 1), st.data())
def test_every_deployment_is_in_the_order_once_and_the_worst_is_never_first(names, draw, data):
    scores = {name: data.draw(st.floats(0, 1e6)) for name in names}
    full = data.draw(st.sets(st.sampled_from("abcdefgh")))
    order = pick(names, scores, draw, full)
    assert sorted(order) == sorted(names)
    roomy = [name for name in names if name not in full]
    if len(roomy) > 1:
        assert scores[order[0]] <= scores[order[1]]
        assert scores[order[0]] < max(scores[name] for name in roomy) or len({scores[n] for n in roomy}) < len(roomy)


def test_equal_deployments_get_equal_shares():
    """Pearson's chi-squared over 8 000 steps: below 16.3, what chance passes once in a thousand (3 degrees)."""
    firsts = Counter(pick(NAMES, dict.fromkeys(NAMES, 1.0), draw_of(step))[0] for step in range(8000))
    assert sum((firsts[name] - 2000) ** 2 / 2000 for name in NAMES) < 16.3


def test_a_pair_is_as_likely_as_any_other():
    """As above, over the 12 ordered pairs of four: 31.3 at 11 degrees."""
    pairs = Counter(pick(NAMES, dict.fromkeys(NAMES, 1.0), draw_of(step))[:2] for step in range(12_000))
    assert len(pairs) == 12
    assert sum((count - 1000) ** 2 / 1000 for count in pairs.values()) < 31.3


# Under load


def served(seconds_of, names=NAMES, steps=2000, gap_seconds=0.05, warm=""):
    """Who got each step, where each call is in flight for as long as `seconds_of(name, now)` says."""
    known, flying, asked = dict.fromkeys(names), [], []
    for step in range(steps):
        now = NOW + step * gap_seconds
        for end, name, seconds in [one for one in flying if one[0] <= now]:
            known[name] = latency_after(known[name], seconds, end)
        flying = [one for one in flying if one[0] > now]
        busy = Counter(name for _, name, _ in flying)
        scores = {
            name: score(latency.seconds_at(now) if latency else None, in_flight=busy[name], is_warm=name == warm)
            for name, latency in known.items()
        }
        first = pick(names, scores, draw_of(step))[0]
        flying.append((now + seconds_of(first, now), first, seconds_of(first, now)))
        asked.append(first)
    return asked


def test_load_spreads_over_equal_deployments():
    shares = Counter(served(lambda _name, _now: 0.5))
    assert all(400 < shares[name] < 600 for name in NAMES)


def slow_for_half_a_minute(name, now):
    """Twenty times as slow as usual from the thirtieth second to the sixtieth."""
    return 10.0 if name == "a" and NOW + 30 <= now < NOW + 60 else 0.5


def test_a_deployment_that_turns_slow_loses_its_traffic_within_seconds_and_gets_it_back():
    asked = served(slow_for_half_a_minute, steps=4000)
    before, soon, later, after = asked[400:600], asked[600:800], asked[800:1200], asked[-1000:]
    assert 30 < before.count("a") < 70
    assert soon.count("a") < 20
    assert later.count("a") < 20
    assert 150 < after.count("a") < 350


def test_one_that_stays_slow_is_tried_again_now_and_then():
    asked = served(lambda name, now: 10.0 if name == "a" and now >= NOW + 30 else 0.5, steps=4000)
    assert 0 < asked[-2400:].count("a") < 100


def test_a_warm_deployment_gets_more_but_not_all():
    shares = Counter(served(lambda _name, _now: 0.5, warm="a", gap_seconds=0.02))
    assert max(shares[name] for name in "bcd") < shares["a"] < 1500


def test_seldom_calls_stay_with_the_quicker_of_two():
    asked = served(lambda name, _now: 5.0 if name == "a" else 0.5, names="ab", steps=400, gap_seconds=30.0)
    assert asked.count("a") < 30
