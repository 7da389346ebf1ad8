"""The circuit breaker: signs of health in, admissions out, and whatever the order or the clock, no harm."""

from dataclasses import replace
from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import (
    AHEAD_SECONDS,
    BUCKETS,
    COUNTS,
    EJECTED,
    HARD_FAILURES,
    MIN_CALLS,
    MOST_OPEN_SECONDS,
    OPEN_JITTER,
    OPEN_SECONDS,
    PLAIN,
    PROBE_SECONDS,
    PROBES,
    SIGNS,
    TIMEOUTS,
    USUAL_CALLS,
    Breaker,
    Bucket,
    Choice,
    Observation,
    Sign,
    State,
    admitted,
    choose,
    decoded,
    due_at,
    encoded,
    grayness,
    observed,
    penalty,
    sign_of,
)
from steprouter.answering.failures import Failure, FailureKind, Phase

NOW = 1_800_000_000.0
S = Sign


def after(breaker, *signs, now=NOW, ttft=None, holder="", draw=0.5):
    """The breaker after attempts that ended at one moment."""
    for sign in signs:
        seen = Observation(sign=sign, first_token_seconds=ttft, holder=holder)
        breaker = observed(breaker, seen, now, draw)
    return breaker


def probe(breaker, now, *, sign=S.SUCCESS, holder="p"):
    """The breaker after one probe from admission to its end."""
    return after(admitted(breaker, holder, now).breaker, sign, now=now, holder=holder)


OPEN = after(Breaker(), *[S.HARD] * HARD_FAILURES)
USUAL = after(Breaker(), *[S.SUCCESS] * USUAL_CALLS, ttft=1.0)
LASTING = after(Breaker(), *[S.SUCCESS] * 500, ttft=1.0)

# What an attempt says


def test_every_kind_of_failure_has_a_sign():
    assert set(SIGNS) == set(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failed_attempt_says_what_the_table_says(kind):
    failure = Failure(kind=kind, phase=Phase.IN_TEXT, model="m")
    attempt = Attempt(model="m", failure=failure, first_token_seconds=0.3)
    assert sign_of(attempt, "p") == Observation(sign=SIGNS[kind], first_token_seconds=0.3, holder="p")


@pytest.mark.parametrize(
    "kind",
    [
        "bad_request",
        "auth",
        "not_found",
        "context_overflow",
        "content_filtered",
        "refused",
        "cancelled",
        "rate_limited",
    ],
)
def test_what_the_deployment_is_not_to_blame_for_is_never_counted(kind):
    assert after(USUAL, *[SIGNS[FailureKind(kind)]] * 50) == USUAL


@pytest.mark.parametrize(
    ("answer", "problems", "sign"),
    [
        (Answer(text="Hi", finish="stop"), (), S.SUCCESS),
        (Answer(text="{", finish="stop"), ("not JSON",), S.INVALID),
        (Answer(text="", finish="refusal"), ("refused",), S.SUCCESS),
        (None, (), S.NOTHING),
    ],
)
def test_a_finished_attempt_says_whether_its_answer_was_valid(answer, problems, sign):
    assert sign_of(Attempt(model="m", answer=answer, problems=problems)).sign is sign


# Closed


@pytest.mark.parametrize(
    ("signs", "why"),
    [
        ([S.HARD] * (HARD_FAILURES - 1), ""),
        ([S.HARD] * HARD_FAILURES, "failures"),
        ([S.HARD] * (HARD_FAILURES - 1) + [S.SUCCESS, S.HARD], ""),
        ([S.TIMEOUT] * (TIMEOUTS - 1), ""),
        ([S.TIMEOUT] * TIMEOUTS, "timeouts"),
        ([S.TIMEOUT, S.TIMEOUT, S.SUCCESS, S.TIMEOUT, S.TIMEOUT], ""),
        ([S.TIMEOUT, S.TIMEOUT, S.INVALID, S.TIMEOUT, S.TIMEOUT], ""),
        ([S.HARD, S.HARD, S.HARD, S.TIMEOUT, S.TIMEOUT], "failures"),
        ([S.SUCCESS, S.HARD] * 4, "rate"),
        ([S.SUCCESS, S.SUCCESS, S.HARD] * 6, ""),
        ([S.STALLED] * (MIN_CALLS - 1), ""),
        ([S.STALLED] * MIN_CALLS, "rate"),
    ],
)
def test_a_breaker_opens_on_failures_in_a_row_or_on_their_rate(signs, why):
    found = after(Breaker(), *signs)
    assert (found.state, found.why) == ((State.OPEN, why) if why else (State.CLOSED, ""))


def test_a_rate_that_is_too_high_does_not_open_a_breaker_on_a_success():
    recovered = after(Breaker(), S.HARD, S.HARD, S.HARD, S.HARD, S.SUCCESS, S.SUCCESS, S.SUCCESS, S.SUCCESS)
    assert recovered.state is State.CLOSED
    assert after(recovered, S.HARD).why == "rate"


def test_failures_that_have_left_the_window_do_not_count():
    early = after(Breaker(), S.HARD, S.HARD, S.HARD, S.HARD, S.SUCCESS)
    late = after(early, S.SUCCESS, S.SUCCESS, S.HARD, now=NOW + 300)
    assert late.state is State.CLOSED
    assert late.buckets == (Bucket(index=int(NOW // 30) + 10, calls=3, errors=1),)


def test_a_closed_breaker_admits_everybody_and_does_not_change():
    found = admitted(Breaker(), "p", NOW)
    assert (found.allowed, found.is_probe, found.breaker) == (True, False, Breaker())


# Open and half-open


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 12.0), (0.5, 15.0), (1.0, 18.0)])
def test_a_breaker_opens_for_fifteen_seconds_give_or_take(draw, seconds):
    assert due_at(after(Breaker(), *[S.HARD] * 5, draw=draw)) - NOW == pytest.approx(seconds)


def test_an_open_breaker_admits_nobody_before_its_time_and_then_one_probe():
    assert not admitted(OPEN, "p", NOW + 14.9).allowed
    first = admitted(OPEN, "p", NOW + 15)
    assert (first.allowed, first.is_probe, first.breaker.state) == (True, True, State.HALF_OPEN)
    assert not admitted(first.breaker, "q", NOW + 15).allowed
    assert due_at(first.breaker) == NOW + 15 + PROBE_SECONDS


def test_a_probe_without_a_name_is_not_admitted():
    assert not admitted(OPEN, "", NOW + 15).allowed


def test_the_lease_of_a_probe_that_never_ends_runs_out():
    leased = admitted(OPEN, "p", NOW + 15).breaker
    assert admitted(leased, "q", NOW + 15 + PROBE_SECONDS).is_probe


def test_two_successful_probes_close_a_breaker_and_leave_what_is_usual():
    broken = after(USUAL, *[S.HARD] * HARD_FAILURES)
    once = probe(broken, NOW + 20)
    assert (once.state, once.probed, once.holder) == (State.HALF_OPEN, 1, "")
    assert probe(once, NOW + 21) == Breaker(
        why="failures", opened=1, closed_at=NOW + 21, answers=USUAL.answers, usual_seconds=1.0
    )


@pytest.mark.parametrize("sign", [S.HARD, S.TIMEOUT, S.STALLED])
def test_a_probe_without_an_answer_opens_the_breaker_for_twice_as_long(sign):
    again = probe(OPEN, NOW + 20, sign=sign)
    assert (again.state, again.why, again.holder, again.probed) == (State.OPEN, "probe", "", 0)
    assert due_at(again) == NOW + 20 + 30


def test_a_probe_that_says_nothing_frees_its_lease_and_changes_nothing_else():
    freed = probe(OPEN, NOW + 20, sign=S.NOTHING)
    assert freed == replace(OPEN, state=State.HALF_OPEN)
    assert admitted(freed, "q", NOW + 20).is_probe


@pytest.mark.parametrize("sign", Sign)
def test_attempts_from_before_it_opened_change_no_breaker(sign):
    leased = admitted(OPEN, "p", NOW + 15).breaker
    assert after(OPEN, sign, holder="old") == OPEN
    assert after(leased, sign, now=NOW + 16, holder="old") == leased
    assert after(leased, sign, now=NOW + 16) == leased


def test_open_time_doubles_up_to_five_minutes():
    breaker, now, seconds = OPEN, NOW, []
    for _ in range(8):
        seconds.append(due_at(breaker) - now)
        now = due_at(breaker)
        breaker = probe(breaker, now, sign=S.HARD)
    assert seconds == [15, 30, 60, 120, 240, 300, 300, 300]


def test_a_breaker_that_opens_soon_after_it_closed_goes_on_doubling():
    closed = probe(probe(OPEN, NOW + 20), NOW + 20)
    soon = after(closed, *[S.HARD] * HARD_FAILURES, now=NOW + 100)
    late = after(closed, *[S.HARD] * HARD_FAILURES, now=NOW + 20 + MOST_OPEN_SECONDS)
    assert (due_at(soon) - NOW - 100, due_at(late) - NOW - 320) == (30, 15)


def test_a_clock_that_stepped_far_back_keeps_nobody_out_for_long():
    assert admitted(OPEN, "p", NOW - 1e6).is_probe
    leased = admitted(OPEN, "p", NOW + 15).breaker
    assert admitted(leased, "q", NOW - 1e6).is_probe


def test_a_breaker_closed_by_a_clock_that_was_far_ahead_opens_for_as_short_as_any():
    ahead = Breaker(opened=5, closed_at=NOW + 1e6)
    assert due_at(after(ahead, *[S.HARD] * HARD_FAILURES)) - NOW == OPEN_SECONDS


def test_counts_survive_a_clock_that_steps_back_a_little():
    back = after(after(Breaker(), S.SUCCESS, S.HARD), S.SUCCESS, now=NOW - 40)
    assert back.buckets == (Bucket(index=int(NOW // 30), calls=3, errors=1),)


def test_counts_from_a_clock_that_was_far_ahead_are_forgotten():
    ahead = after(Breaker(), *[S.SUCCESS] * 50, now=NOW + 1e6)
    assert sum(bucket.calls for bucket in after(ahead, S.HARD).buckets) == 1


# Gray failure


def test_a_breaker_that_has_seen_little_costs_nothing_more():
    assert penalty(Breaker(), NOW) == penalty(after(Breaker(), *[S.STALLED] * 7), NOW) == 1.0


def test_one_slow_answer_is_an_outlier_and_four_in_a_row_are_a_cost():
    four = after(LASTING, *[S.SUCCESS] * 4, ttft=60.0)
    assert penalty(after(LASTING, *[S.SUCCESS] * 3, ttft=60.0), NOW) == 1.0
    assert 1.0 < penalty(four, NOW) < 2.0
    assert four.state is State.CLOSED


def test_a_slow_spell_does_not_soon_become_what_is_usual():
    assert after(LASTING, *[S.SUCCESS] * 20, ttft=60.0).usual_seconds < 1.1


def test_three_times_a_very_short_wait_is_still_not_slow():
    quick = after(Breaker(), *[S.SUCCESS] * USUAL_CALLS, ttft=0.05)
    assert penalty(after(quick, *[S.SUCCESS] * 20, ttft=0.6), NOW) == 1.0


def test_slowness_is_forgotten_after_five_minutes_without_an_answer():
    slow = after(USUAL, *[S.SUCCESS] * 10, ttft=60.0)
    assert penalty(slow, NOW + 299) > 1.0
    assert penalty(slow, NOW + 300) == 1.0


def test_stalls_cost_more_from_five_percent_of_the_calls_on_and_not_for_a_single_one():
    assert penalty(after(Breaker(), *[S.SUCCESS] * 9, S.STALLED), NOW) == 1.0
    assert penalty(after(Breaker(), *[S.SUCCESS] * 38, *[S.STALLED] * 2), NOW) == 1.0
    assert penalty(after(Breaker(), *[S.SUCCESS] * 37, *[S.STALLED] * 3), NOW) == pytest.approx(1.5)


def test_a_model_that_always_was_often_invalid_pays_nothing_more_for_it():
    weak = after(Breaker(), *[S.SUCCESS, S.SUCCESS, S.SUCCESS, S.INVALID] * 50)
    assert penalty(weak, NOW) == 1.0
    good = after(Breaker(), *[S.SUCCESS] * 190)
    assert penalty(after(good, *[S.INVALID] * 10, now=NOW + 600), NOW + 600) > 1.0


def test_two_gray_signals_at_once_open_a_breaker():
    slow = after(USUAL, *[S.SUCCESS] * 6, ttft=60.0)
    found = after(slow, S.STALLED, S.STALLED)
    assert sum(signal > 1 for signal in grayness(found, NOW)) == EJECTED
    assert (found.state, found.why) == (State.OPEN, "gray")


def test_nonsense_times_to_first_token_are_not_averaged():
    nonsense = [float("nan"), float("inf"), -1.0, 0.0, None]
    for ttft in nonsense:
        found = after(USUAL, S.SUCCESS, ttft=ttft)
        assert (found.recent_seconds, found.usual_seconds) == (USUAL.recent_seconds, USUAL.usual_seconds)


# Choosing among deployments


def test_an_open_deployment_is_shut_while_another_one_is_closed():
    assert choose({"a": OPEN}, ["a", "b"], NOW) == Choice(able=("b",), shut=(("a", NOW + 15),))


def test_one_whose_time_is_up_keeps_its_place_until_its_probe_is_out():
    assert choose({"a": OPEN}, ["a", "b"], NOW + 15) == Choice(able=("a", "b"), shut=())
    leased = admitted(OPEN, "p", NOW + 15).breaker
    assert choose({"a": leased}, ["a", "b"], NOW + 15) == Choice(able=("b",), shut=(("a", NOW + 15 + PROBE_SECONDS),))


def test_if_all_are_open_nobody_is_able_and_the_one_due_soonest_comes_first():
    known = {name: replace(OPEN, open_until=NOW + due) for name, due in [("a", 30.0), ("b", 10.0), ("c", 20.0)]}
    shut = (("b", NOW + 10), ("c", NOW + 20), ("a", NOW + 30))
    assert choose(known, ["a", "b", "c"], NOW) == Choice(able=(), shut=shut)


def test_of_no_deployments_none_is_able_and_none_is_shut():
    assert choose({}, [], NOW) == Choice(able=(), shut=())


BREAKERS = st.sampled_from(
    [Breaker(), OPEN, USUAL, replace(OPEN, open_until=NOW + 99), admitted(OPEN, "p", NOW + 15).breaker]
)


@given(st.dictionaries(st.sampled_from("abcdef"), BREAKERS), st.permutations("abcdef"), st.floats(0, 200))
def test_each_deployment_is_either_able_in_its_place_or_shut_until_it_is_due(known, order, later):
    now = NOW + later
    choice = choose(known, order, now)
    assert list(choice.able) == [n for n in order if admitted(known.get(n, Breaker()), "new", now).allowed]
    assert sorted([*choice.able, *(name for name, _ in choice.shut)]) == sorted(order)
    assert [due for _, due in choice.shut] == sorted(due for _, due in choice.shut)
    for name, due in choice.shut:
        assert now < due
        assert admitted(known[name], "new", due).is_probe


# Retry storms

STORM_SECONDS, STEPS, PATIENCE_SECONDS = 60.0, 1000, 20.0
HARDLY_OPEN = OPEN_SECONDS * (1 - OPEN_JITTER)
PROBES_DUE = sum(HARDLY_OPEN * (2**count - 1) <= STORM_SECONDS for count in range(1, 10))
"""Failed probes until a minute is over: an open time and its doubles, each as short as it may be."""


def storm(names, draw, in_a_row=1):
    """Calls that 1 000 steps make in a minute when every call fails hard. Who finds all shut waits for the first.

    Args:
        names: The models.
        draw: Decides over the jitter.
        in_a_row: Calls under way at once: so many are admitted before the first of them ends.
    """
    known, calls, flying = dict.fromkeys(names, Breaker()), 0, []
    due = [
        (NOW + STORM_SECONDS * step / STEPS, f"s{step}", NOW + STORM_SECONDS * step / STEPS) for step in range(STEPS)
    ]
    heapify(due)
    while due and due[0][0] <= NOW + STORM_SECONDS:
        now, step, began = heappop(due)
        choice = choose(known, names, now)
        for name in choice.able:
            found = admitted(known[name], f"{step} {now}", now)
            assert found.allowed
            calls, known[name] = calls + 1, found.breaker
            flying.append((name, Observation(sign=S.HARD, holder=f"{step} {now}")))
            while len(flying) >= in_a_row or (flying and found.is_probe):
                ended, seen = flying.pop(0)
                known[ended] = observed(known[ended], seen, now, draw)
        if not choice.able and choice.shut[0][1] <= began + PATIENCE_SECONDS:
            heappush(due, (choice.shut[0][1], step, began))
    return calls


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("models", [1, 2, 3])
def test_a_storm_makes_no_more_calls_than_trip_and_probe_the_breakers(models, draw):
    assert PROBES_DUE == 2
    calls = storm("abc"[:models], draw)
    assert models * HARD_FAILURES < calls <= models * (HARD_FAILURES + PROBES_DUE)


@pytest.mark.parametrize("in_flight", [2, 8, 40])
def test_calls_that_were_under_way_when_a_breaker_opened_are_all_that_a_storm_adds(in_flight):
    assert storm("abc", 0.5, in_flight) <= 3 * (HARD_FAILURES + PROBES_DUE) + in_flight - 1


# As text

FLOATS = st.floats(0, 2.0**52)
INTS = st.integers(0, 2**52)


@given(
    st.builds(
        Breaker,
        state=st.sampled_from(State),
        why=st.sampled_from(["", "failures", "rate"]),
        holder=st.text(alphabet=st.characters(), max_size=20),
        failures=INTS,
        open_until=FLOATS,
        usual_seconds=FLOATS,
        buckets=st.lists(st.builds(Bucket, index=INTS, calls=INTS, invalid=INTS), max_size=BUCKETS).map(tuple),
    )
)
def test_a_breaker_survives_being_written_as_text(breaker):
    assert decoded(encoded(breaker)) == breaker


def test_the_text_of_a_breaker_has_the_form_that_scripts_rely_on():
    assert encoded(replace(OPEN, holder="p 1")) == (
        "1 =open =failures 5 0 1 1800000015.0 0.0 0 =p%201 0.0 0 0.0 0.0 0.0 0.0 60000000:5:5:0:0"
    )
    assert PLAIN[:3] == ("state", "why", "failures")
    assert COUNTS == ("index", "calls", "errors", "stalls", "invalid")


GOOD = encoded(OPEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        GOOD.replace("1 ", "2 ", 1),
        GOOD.replace("=open", "=ajar"),
        GOOD.replace("=open", "open"),
        GOOD.replace("1800000015.0", "nan"),
        GOOD.replace("1800000015.0", "inf"),
        GOOD.replace("1800000015.0", "-1.0"),
        GOOD.replace("1800000015.0", "1e300"),
        GOOD.replace("=failures 5", "=failures -5"),
        GOOD.replace("=failures 5", "=failures 5.5"),
        GOOD.replace("=failures", "=%ff"),
        GOOD.replace(":5:5", ":5"),
        GOOD.replace(":5:5", ":5:five"),
        GOOD + " 1:1:1:1:1" * BUCKETS,
        GOOD.rsplit(" ", 2)[0],
    ],
)
def test_a_text_that_is_broken_or_newer_is_no_breaker(text):
    assert decoded(text) is None


WORDS = st.sampled_from([*GOOD.split(" "), "9007199254740991", "1e15", "1e-300", "=", "=closed", "=half_open"])


@given(st.lists(st.tuples(st.integers(1, len(PLAIN) + 1), WORDS | st.text(max_size=8)), max_size=6))
def test_no_text_breaks_what_reads_it_or_goes_on_with_it(changes):
    words = GOOD.split(" ")
    for place, word in changes:
        words[place] = word
    if (breaker := decoded(" ".join(words))) is not None:
        ended = after(admitted(breaker, "p", NOW).breaker, *Sign, ttft=1.0, holder="p")
        assert 1 <= penalty(ended, NOW) <= 4


# Whatever the order


class AnyOrder(RuleBasedStateMachine):
    """Attempts that begin and end in any order, with a clock that also steps back a little."""

    def __init__(self):
        super().__init__()
        self.breaker, self.now, self.count = Breaker(), NOW, 0
        self.flying: dict[str, float] = {}
        """Attempts that were admitted and have not ended; for the probe, when its lease ends; 0 for others."""
        self.opening = 0.0

    @initialize(usual=st.booleans())
    def begins(self, usual):
        self.breaker = USUAL if usual else Breaker()

    @rule(seconds=st.sampled_from([0.1, 3.0, 14.0, 31.0, 200.0, 400.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(seconds=st.floats(0.0, AHEAD_SECONDS - MOST_OPEN_SECONDS * (1 + OPEN_JITTER)))
    def clock_steps_back(self, seconds):
        self.now -= seconds

    @precondition(lambda self: self.now >= due_at(self.breaker))
    @rule()
    def time_is_exact(self):
        assert admitted(self.breaker, "exact", self.now).allowed

    @rule()
    def someone_asks(self):
        self.count += 1
        holder = f"h{self.count}"
        before = self.breaker
        found = admitted(before, holder, self.now)
        if before.state is State.CLOSED:
            assert found.allowed
            assert not found.is_probe
        if before.state is State.OPEN and due_at(before) - AHEAD_SECONDS <= self.now < due_at(before):
            assert not found.allowed
        if found.is_probe:
            assert not [end for end in self.flying.values() if self.now < end <= self.now + AHEAD_SECONDS]
            # Who let a lease run out has none any more, also when the clock steps back to before its end.
            self.flying = dict.fromkeys(self.flying, 0.0)
        if found.allowed:
            self.flying[holder] = found.breaker.probe_until if found.is_probe else 0.0
        self.breaker = found.breaker

    @precondition(lambda self: self.flying)
    @rule(
        data=st.data(), sign=st.sampled_from(Sign), draw=st.floats(0, 1), ttft=st.sampled_from([None, 0.4, 1.0, 50.0])
    )
    def one_ends(self, data, sign, draw, ttft):
        holder = data.draw(st.sampled_from(sorted(self.flying)))
        del self.flying[holder]
        self.ends(Observation(sign=sign, first_token_seconds=ttft, holder=holder), draw)

    @rule(sign=st.sampled_from([S.HARD, S.TIMEOUT]), times=st.integers(1, 6))
    def trouble_comes(self, sign, times):
        for _ in range(times):
            self.ends(Observation(sign=sign), 0.5)

    def ends(self, observation, draw):
        before, self.breaker = self.breaker, observed(self.breaker, observation, self.now, draw)
        now, found = self.now, self.breaker
        if before.state is State.HALF_OPEN and found.state is State.CLOSED:
            assert before.probed == PROBES - 1
            assert before.holder == observation.holder
        if before.state is not State.OPEN and found.state is State.OPEN:
            seconds = due_at(found) - now
            assert seconds >= OPEN_SECONDS * (1 - OPEN_JITTER) - 1e-6
            assert seconds <= MOST_OPEN_SECONDS * (1 + OPEN_JITTER) + 1e-6
            if found.opened > 1 and found.opened == before.opened + 1:
                # The jitter of two times doubled never overlaps, except at the bound.
                assert seconds >= min(self.opening, MOST_OPEN_SECONDS * (1 - OPEN_JITTER)) - 1e-6
            self.opening = seconds
        if before.state is State.CLOSED and found.state is State.OPEN and found.why in ("rate", "gray"):
            assert sum(bucket.calls for bucket in found.buckets) >= MIN_CALLS

    @invariant()
    def what_is_kept_is_small_and_sound(self):
        found = self.breaker
        assert decoded(encoded(found)) == found
        assert len(encoded(found)) < 600
        assert len(found.buckets) <= BUCKETS
        assert [b.index for b in found.buckets] == sorted({b.index for b in found.buckets})
        assert 1 <= penalty(found, self.now) <= 4
        assert found.state is State.HALF_OPEN or not found.holder

    @invariant()
    def nobody_is_kept_out_for_long(self):
        """Also after a clock has stepped back again and again: then the wait may begin late, but is as short."""
        due = due_at(self.breaker)
        if not admitted(self.breaker, "now", self.now).allowed:
            assert self.now < due <= self.now + AHEAD_SECONDS
        assert admitted(self.breaker, "due", max(due, self.now)).allowed
        assert admitted(self.breaker, "stepped", self.now - 1e6).allowed


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestABreakerInAnyOrder = AnyOrder.TestCase


@given(st.lists(st.tuples(st.sampled_from(Sign), st.floats(0, 1)), max_size=MIN_CALLS - 1))
def test_a_breaker_with_few_calls_never_opens_on_a_rate(ended):
    breaker = Breaker()
    for sign, draw in ended:
        breaker = after(breaker, sign, draw=draw)
    assert breaker.why not in ("rate", "gray")
