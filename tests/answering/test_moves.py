"""What to do next: failure × what was shown × what is left × how much time → what next."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.health import Conditions
from steprouter.answering.moves import Accept, GiveUp, Try, next_move
from steprouter.answering.progress import Progress, Situation
from steprouter.answering.remaining import LEFT_ALONE_SECONDS, is_objection, is_weak
from steprouter.memory.session import Warm
from steprouter.models.card import Tier
from steprouter.routing.content_filter import ContentFilter
from steprouter.routing.decision import Candidate, Decision
from steprouter.routing.policy import Policy
from steprouter.step.step import Place, Step, StepKind

TIERS = {"low": Tier.LOW, "low-2": Tier.LOW, "mid": Tier.MID, "high": Tier.HIGH}
K = FailureKind
STEP = Step(id="step-1", kind=StepKind.CHAT, started_at=1000.0)
IMPATIENT = {"patience_seconds": 0}


def decision(*models):
    kept = [Candidate(model=m, tier=TIERS[m], kept=True, reason=f"{m} is next") for m in models]
    refused = Candidate(model="refused", tier=Tier.HIGH, kept=False, reason="cannot call tools")
    return Decision(candidates=(*kept, refused), reason="…")


def situation(models, policy=None, **fields):
    conditions = Conditions(retries=fields.pop("retries", 5.0))
    step = replace(STEP, place=Place(deadline_seconds=fields.pop("deadline", None)))
    given = {"step": step, "decision": decision(*models), "policy": policy or Policy(), "conditions": conditions}
    return Situation(**{**given, **fields})


def after(*events, elapsed=0.0, waited=0.0):
    """The progress in which all this has happened; a refusal is a pair of a model and what stood in its way."""
    progress = Progress(waited_seconds=waited)
    for event in events:
        progress = progress.after_refusal(*event) if isinstance(event, tuple) else progress.after_calls(event)
    return replace(progress, elapsed_seconds=elapsed)


def good(model):
    return Attempt(model=model, answer=Answer(text="Hi", finish="stop"))


def bad(model, shown="", finish="length"):
    return Attempt(model=model, answer=Answer(text="Hi", finish=finish), problems=("cut off",), shown=shown)


def failed(model, kind=K.UNAVAILABLE, shown=""):
    return Attempt(model=model, failure=Failure(kind=kind, phase=Phase.IN_TEXT, model=model), shown=shown)


def failover(model, last, kind="unavailable"):
    return Try(model=model, why=f"{last} failed: {kind}", change="failover")


def escalated(model, last):
    return Try(model=model, why=f"{last} was not sufficient: cut off", change="escalated")


ALL = ("low", "mid", "high")


@pytest.mark.parametrize(
    ("models", "attempts", "policy", "move"),
    [
        # The first attempt is the decision's.
        (ALL, [], {}, Try(model="low", why="low is next")),
        # A sufficient answer ends the step.
        (ALL, [good("low")], {}, Accept(attempt=good("low"))),
        (ALL, [failed("low"), good("mid")], {}, Accept(attempt=good("mid"))),
        # A failure before anything was shown goes on to the next model.
        (ALL, [failed("low")], {}, failover("mid", "low")),
        (
            ALL,
            [failed("low", K.RATE_LIMITED)],
            {},
            failover("mid", "low", "rate_limited, not waited for: not said how long to wait"),
        ),
        (
            ALL,
            [failed("low", K.CONTEXT_OVERFLOW)],
            {},
            failover("mid", "low", "context_overflow; a larger window is needed"),
        ),
        (ALL, [failed("low", K.AUTH)], {}, failover("mid", "low", "auth")),
        (ALL, [failed("low", K.TRUNCATED)], {}, failover("mid", "low", "truncated")),
        (("high", "mid", "low"), [failed("high")], {}, failover("mid", "high")),
        # ... until none is left.
        (("low",), [failed("low")], {}, GiveUp(why="exhausted")),
        (ALL, [failed("low"), failed("mid"), failed("high")], {}, GiveUp(why="exhausted")),
        (ALL, [failed("low"), failed("mid")], {"max_attempts": 2}, GiveUp(why="exhausted")),
        # The caller's own mistake is taken to nobody else.
        (ALL, [failed("low", K.BAD_REQUEST)], {}, GiveUp(why="bad_request")),
        (ALL, [failed("low"), failed("mid", K.BAD_REQUEST)], {}, GiveUp(why="bad_request")),
        # ... but an answer that is there is better than the mistake.
        (ALL, [bad("low"), failed("mid", K.BAD_REQUEST)], {}, Accept(attempt=bad("low"))),
        # A consumer that went away wants nothing more.
        (ALL, [failed("low", K.CANCELLED)], {}, GiveUp(why="cancelled")),
        (ALL, [failed("low", K.CANCELLED, shown="Hi")], {}, GiveUp(why="cancelled")),
        (ALL, [bad("low"), failed("mid", K.CANCELLED)], {}, GiveUp(why="cancelled")),
        # What was shown cannot be taken back.
        (ALL, [failed("low", K.BROKEN_STREAM, shown="Hi")], {}, GiveUp(why="broken")),
        (ALL, [failed("low", K.BAD_REQUEST, shown="Hi")], {}, GiveUp(why="broken")),
        (ALL, [bad("low", shown="Hi")], {}, Accept(attempt=bad("low", shown="Hi"))),
        # An answer that fails a check is asked for again from a stronger model.
        (ALL, [bad("low")], {}, escalated("mid", "low")),
        (("low", "low-2", "high"), [bad("low")], {}, escalated("high", "low")),
        (("low", "low-2"), [bad("low")], {}, escalated("low-2", "low")),
        (ALL, [bad("low"), bad("mid")], {}, escalated("high", "mid")),
        # ... unless that is not wanted, not left, or only weaker ones are.
        (ALL, [bad("low")], {"escalate": False}, Accept(attempt=bad("low"))),
        (ALL, [bad("low")], {"max_attempts": 1}, Accept(attempt=bad("low"))),
        (("high", "mid", "low"), [bad("high")], {}, Accept(attempt=bad("high"))),
        # ... or it was refused, which no stronger model changes.
        (ALL, [bad("low", finish="refusal")], {}, Accept(attempt=bad("low", finish="refusal"))),
        (ALL, [bad("low", finish="content_filter")], {}, Accept(attempt=bad("low", finish="content_filter"))),
        # ... also when the stronger one failed: a weaker one could not do better.
        (ALL, [bad("low"), failed("mid")], {}, failover("high", "mid")),
        (("mid", "high", "low"), [bad("mid"), failed("high")], {}, Accept(attempt=bad("mid"))),
        # An answer that fails a check is better than none, the last of them the best.
        (ALL, [bad("low"), failed("mid"), failed("high")], {}, Accept(attempt=bad("low"))),
        (ALL, [bad("low"), bad("mid"), failed("high")], {}, Accept(attempt=bad("mid"))),
        # With escalation off a failure still goes on.
        (ALL, [failed("low")], {"escalate": False}, failover("mid", "low")),
    ],
)
def test_what_happened_so_far_says_what_comes_next(models, attempts, policy, move):
    assert next_move(situation(models, Policy(**IMPATIENT | policy)), after(*attempts)) == move


KINDS = st.sampled_from(["good", "bad", *FailureKind])


@given(st.permutations(list(TIERS)), st.lists(KINDS, min_size=1, max_size=6), st.integers(1, 6))
def test_no_sequence_of_attempts_asks_a_model_twice_or_one_that_was_refused(models, kinds, limit):
    attempts, policy = [], Policy(max_attempts=limit, patience_seconds=0)
    for kind in kinds:
        move = next_move(situation(models, policy), after(*attempts))
        if not isinstance(move, Try):
            break
        make = {"good": good, "bad": bad}.get(kind, lambda m, kind=kind: failed(m, FailureKind(kind)))
        attempts.append(make(move.model))
    tried = [attempt.model for attempt in attempts]
    assert len(tried) == len(set(tried)) <= limit
    assert "refused" not in tried


@given(st.permutations(list(TIERS)), st.lists(KINDS, min_size=1, max_size=4))
def test_after_an_answer_no_weaker_model_is_asked(models, kinds):
    attempts = []
    for kind in kinds:
        move = next_move(situation(models), after(*attempts))
        if not isinstance(move, Try):
            break
        answered = [TIERS[a.model].rank for a in attempts if a.answer is not None]
        assert TIERS[move.model].rank >= max(answered, default=0)
        make = {"good": good, "bad": bad}.get(kind, lambda m, kind=kind: failed(m, FailureKind(kind)))
        attempts.append(make(move.model))


def limited(model, retry_after=None):
    failure = Failure(kind=K.RATE_LIMITED, phase=Phase.BEFORE_FIRST_TOKEN, model=model, retry_after_seconds=retry_after)
    return Attempt(model=model, failure=failure)


def test_a_short_retry_after_is_waited_for_on_the_same_model():
    move = next_move(situation(ALL), after(limited("low", 1.0)))
    assert (move.model, move.change) == ("low", "retry")
    assert 1.0 <= move.after_seconds <= 1.3


def test_a_long_one_is_not_while_another_model_is_left():
    assert next_move(situation(ALL), after(limited("low", 30.0))).model == "mid"


def test_a_long_one_is_waited_for_while_a_large_prompt_stays_cached():
    warm = {"low": Warm(digest="d", messages=9, tokens=50_000, until=1300.0)}
    patient = Policy(patience_seconds=60)
    assert next_move(situation(ALL, patient, warm=warm), after(limited("low", 15.0))).model == "low"
    cold = {"low": Warm(digest="d", messages=9, tokens=50_000, until=1010.0)}
    assert next_move(situation(ALL, patient, warm=cold), after(limited("low", 15.0))).model == "mid"


def test_no_wait_goes_past_the_deadline_of_the_step():
    assert next_move(situation(ALL, deadline=0.5), after(limited("low", 1.0))).model == "mid"
    assert next_move(situation(("low",), deadline=0.5), after(limited("low", 1.0))) == GiveUp(why="exhausted")


def test_when_the_deadline_has_passed_nobody_else_is_asked():
    assert next_move(situation(ALL, deadline=5), after(failed("low"), elapsed=5.0)) == GiveUp(why="deadline")
    of_policy = situation(ALL, Policy(deadline_seconds=5))
    assert next_move(of_policy, after(failed("low"), elapsed=5.0)) == GiveUp(why="deadline")


def test_a_prompt_that_is_too_long_goes_to_a_larger_window_only():
    windows = {"low": 8_000, "low-2": 8_000, "mid": 32_000, "high": None}
    chosen = situation(("low", "low-2", "mid", "high"), windows=windows)
    assert next_move(chosen, after(failed("low", K.CONTEXT_OVERFLOW))).model == "mid"
    both = after(failed("low", K.CONTEXT_OVERFLOW), failed("mid", K.CONTEXT_OVERFLOW))
    assert next_move(chosen, both).model == "high"
    small = situation(("low", "low-2"), windows=windows)
    assert next_move(small, after(failed("low", K.CONTEXT_OVERFLOW))) == GiveUp(why="exhausted")


def test_with_no_other_model_left_a_failure_that_may_pass_is_tried_again_after_a_backoff():
    first = next_move(situation(("low",)), after(failed("low")))
    assert (first.model, first.change) == ("low", "retry")
    assert 0 <= first.after_seconds <= 0.5
    twice = next_move(situation(("low",)), after(failed("low"), failed("low")))
    assert 0 <= twice.after_seconds <= 1.0
    assert next_move(situation(("low",)), after(*[failed("low")] * 3)) == GiveUp(why="exhausted")


def test_a_process_that_retries_too_much_already_retries_no_more():
    assert next_move(situation(("low",), retries=0.5), after(failed("low"))) == GiveUp(why="exhausted")


@pytest.mark.parametrize("kind", [K.AUTH, K.NOT_FOUND, K.CONTEXT_OVERFLOW])
def test_what_would_fail_again_is_not_tried_again(kind):
    assert next_move(situation(("low",)), after(failed("low", kind))) == GiveUp(why="exhausted")


OPEN = Refused(by="breaker", name="low", why="circuit open", until=1012.0)


def test_a_model_that_cannot_be_asked_is_passed_over():
    move = next_move(situation(ALL), after(("low", OPEN)))
    assert move == Try(model="mid", why="low cannot be asked: circuit open", change="failover")


def test_when_nobody_can_be_asked_the_one_due_soonest_is_waited_for():
    later = Refused(by="breaker", name="mid", why="circuit open", until=1060.0)
    move = next_move(situation(("low", "mid")), after(("mid", later), ("low", OPEN), elapsed=2.0))
    assert (move.model, move.change) == ("low", "retry")
    assert 10.0 <= move.after_seconds <= 10.6


def test_it_is_not_waited_for_longer_than_the_user_is_patient():
    impatient = situation(("low",), Policy(patience_seconds=5))
    assert next_move(impatient, after(("low", OPEN))) == GiveUp(why="exhausted")
    waited = situation(("low",), Policy(patience_seconds=15))
    assert next_move(waited, after(("low", OPEN), waited=14.0, elapsed=11.0)) == GiveUp(why="exhausted")


SPENT = Refused(by="budget", name="daily", why="budget 'daily' is used up")


def priced(*models):
    chosen = decision(*models)
    usd = {"low": 0.001, "low-2": 0.001, "mid": 0.01, "high": 0.1}
    return replace(chosen, candidates=tuple(replace(c, expected_usd=usd.get(c.model)) for c in chosen.candidates))


def test_a_budget_that_refuses_a_model_leaves_the_cheaper_ones():
    chosen = situation((), decision=priced("high", "mid", "low"))
    assert next_move(chosen, after(("high", SPENT))).model == "mid"
    assert next_move(chosen, after(("high", SPENT), ("mid", SPENT))).model == "low"
    none = situation((), decision=priced("low", "high"))
    assert next_move(none, after(("low", SPENT))) == GiveUp(why="budget")


def test_a_budget_s_fallback_answers_in_spite_of_it():
    spent = replace(SPENT, fallback="low")
    move = next_move(situation((), decision=priced("high", "low")), after(("high", spent)))
    assert (move.model, move.ignores_budget) == ("low", True)


FILTERED = [
    failed("low", K.CONTENT_FILTERED),
    Attempt(model="low", answer=Answer(text="", finish="content_filter"), problems=("refused",)),
]


@pytest.mark.parametrize("attempt", FILTERED, ids=["error", "finish reason"])
def test_a_content_filter_is_answered_as_the_policy_says_and_never_blindly(attempt):
    def move(**wanted):
        return next_move(situation(ALL, Policy(content_filter=ContentFilter(**wanted))), after(attempt))

    assert move() == GiveUp(why="content_filtered")
    assert move(reaction="reroute", models="high").model == "high"
    assert move(reaction="redact_and_retry") == GiveUp(why="content_filtered")
    given = move(reaction="fallback_message", message="I cannot help with that.")
    assert given.attempt.answer.text == "I cannot help with that."


def test_half_a_call_is_not_given_where_a_filter_stopped_it():
    half = ToolCall(id="1", name="delete", args=None, raw='{"place": "/ho')
    cut = Attempt(model="low", answer=Answer(tool_calls=(half,), finish="content_filter"), problems=("refused",))
    assert next_move(situation(ALL), after(cut)) == GiveUp(why="content_filtered")


@pytest.mark.parametrize("attempt", FILTERED, ids=["error", "finish reason"])
def test_it_is_asked_again_redacted_once_if_there_was_something_to_redact(attempt):
    policy = Policy(content_filter=ContentFilter(reaction="redact_and_retry"))
    move = next_move(situation(ALL, policy), after(replace(attempt, redactable=True)))
    assert (move.model, move.redacted) == ("low", True)
    again = after(replace(attempt, redactable=True), replace(attempt, redacted=True))
    assert next_move(situation(ALL, policy), again) == GiveUp(why="content_filtered")


def test_a_refused_history_that_others_wrote_is_not_the_callers_mistake():
    repaired = replace(failed("low", K.BAD_REQUEST), repairs=("reasoning dropped",))
    assert next_move(situation(ALL), after(repaired)).model == "mid"


def test_who_lost_a_race_may_be_asked_later():
    lost = replace(failed("mid", K.CANCELLED), lost_race=True)
    assert next_move(situation(("low", "mid")), after(lost, failed("low"))).model == "mid"


def test_a_step_whose_time_is_over_before_it_begins_asks_nobody():
    assert next_move(situation(ALL, deadline=0.0), after()) == GiveUp(why="deadline")


@pytest.mark.parametrize("kind", [K.AUTH, K.NOT_FOUND, K.CONTEXT_OVERFLOW, K.CONTENT_FILTERED, K.BAD_REQUEST])
def test_what_would_fail_again_is_not_tried_again_whatever_the_provider_says_of_retries(kind):
    told = Failure(kind=kind, phase=Phase.BEFORE_FIRST_TOKEN, model="low", should_retry=True)
    attempt = Attempt(model="low", failure=told, repairs=("reasoning dropped",))
    assert isinstance(next_move(situation(("low",)), after(attempt)), GiveUp)


def test_a_limit_that_the_provider_says_not_to_retry_is_not_waited_for():
    told = Failure(
        kind=K.RATE_LIMITED,
        phase=Phase.BEFORE_FIRST_TOKEN,
        model="low",
        retry_after_seconds=1,
        should_retry=False,
    )
    assert next_move(situation(ALL), after(Attempt(model="low", failure=told))).model == "mid"
    assert next_move(situation(("low",)), after(Attempt(model="low", failure=told))) == GiveUp(why="exhausted")


def test_nobody_waits_for_a_limit_while_an_answer_is_there():
    assert next_move(situation(("low", "mid")), after(bad("low"), limited("mid", 1.0))) == Accept(attempt=bad("low"))


def test_a_limit_is_not_waited_for_where_the_process_retries_too_much_already():
    assert next_move(situation(ALL, retries=0.5), after(limited("low", 1.0))).model == "mid"


def test_a_limited_model_is_left_alone_as_long_as_it_would_be_refused_anyway():
    assert next_move(situation(("low",)), after(limited("low"))).after_seconds >= LEFT_ALONE_SECONDS
    assert next_move(situation(("low",)), after(limited("low", 0.1))).after_seconds >= LEFT_ALONE_SECONDS


def test_time_that_has_passed_since_a_limit_was_named_is_not_waited_again():
    asked = Attempt(model="low", failure=limited("low", 10.0).failure, seconds=1.0)
    other = Attempt(model="mid", failure=failed("mid", K.AUTH).failure, began_seconds=1.0, seconds=6.0)
    move = next_move(situation(("low", "mid")), after(asked, other, elapsed=7.0))
    assert move.model == "low"
    assert 4.0 <= move.after_seconds <= 5.0


def test_an_overloaded_model_that_says_when_to_come_back_is_not_asked_before():
    busy = Failure(kind=K.OVERLOADED, phase=Phase.BEFORE_FIRST_TOKEN, model="low", retry_after_seconds=5.0)
    assert 5.0 <= next_move(situation(("low",)), after(Attempt(model="low", failure=busy))).after_seconds <= 6.0


def test_a_model_that_was_passed_over_and_then_failed_is_backed_off_from_as_any_other():
    patient = situation(("low",), Policy(patience_seconds=60))
    move = next_move(patient, after(("low", OPEN), replace(limited("low", 8.0), began_seconds=13.0), elapsed=13.0))
    assert 8.0 <= move.after_seconds <= 9.6


def test_a_model_that_is_due_again_is_not_waited_for_where_its_window_is_too_small():
    windows = {"low": 8_000, "mid": 8_000}
    later = replace(OPEN, name="mid")
    chosen = situation(("mid", "low"), windows=windows)
    assert next_move(chosen, after(("mid", later), failed("low", K.CONTEXT_OVERFLOW))) == GiveUp(why="exhausted")


def test_a_larger_model_whose_circuit_is_open_is_waited_for_when_the_others_are_too_small():
    windows = {"low": 8_000, "mid": 32_000}
    chosen = situation(("mid", "low"), windows=windows)
    move = next_move(chosen, after(("mid", replace(OPEN, name="mid")), failed("low", K.CONTEXT_OVERFLOW)))
    assert (move.model, move.change) == ("mid", "retry")


def test_a_history_that_every_model_refuses_is_the_callers_mistake_after_all():
    repaired = [replace(failed(m, K.BAD_REQUEST), repairs=("ids rewritten",)) for m in ("low", "mid")]
    assert next_move(situation(("low", "mid")), after(*repaired)) == GiveUp(why="bad_request")


def test_a_refusal_by_the_model_itself_is_a_refusal_on_content():
    assert next_move(situation(ALL), after(failed("low", K.REFUSED))) == GiveUp(why="content_filtered")


def rerouting(*models):
    return Policy(content_filter=ContentFilter(reaction="reroute", models=models))


def test_after_a_reroute_only_the_named_models_hear_what_was_refused():
    filtered = failed("low", K.CONTENT_FILTERED)
    named = situation(("low", "low-2", "mid", "high"), rerouting("mid", "high"))
    assert next_move(named, after(filtered, failed("mid"))).model == "high"
    assert next_move(named, after(filtered, ("mid", OPEN))).model == "high"
    assert next_move(named, after(filtered, failed("mid", K.AUTH), failed("high", K.AUTH))) == GiveUp(why="exhausted")


def test_a_refusal_in_words_is_given_where_the_reroute_leads_nowhere():
    said = Attempt(model="low", answer=Answer(text="I will not.", finish="refusal"), problems=("refused",))
    rerouted = situation(("low", "mid"), rerouting("mid"))
    assert next_move(rerouted, after(said, failed("mid", K.AUTH))) == Accept(attempt=said)


def test_what_was_asked_redacted_is_asked_redacted_from_then_on():
    policy = Policy(content_filter=ContentFilter(reaction="redact_and_retry"))
    filtered = replace(failed("low", K.CONTENT_FILTERED), redactable=True)
    for last in (limited("low", 1.0), failed("low")):
        move = next_move(situation(ALL, policy), after(filtered, replace(last, redacted=True)))
        assert move.redacted


def test_a_budgets_fallback_ignores_the_budget_when_it_is_asked_again_too():
    spent = replace(SPENT, fallback="low")
    chosen = situation((), decision=priced("high", "low"))
    move = next_move(chosen, after(("high", spent), failed("low")))
    assert (move.model, move.change, move.ignores_budget) == ("low", "retry", True)
    move = next_move(chosen, after(("high", spent), ("low", OPEN)))
    assert (move.model, move.change, move.ignores_budget) == ("low", "retry", True)


def test_a_fallback_that_failed_for_good_is_told_as_the_failure_it_is():
    spent = replace(SPENT, fallback="low")
    chosen = situation((), decision=priced("high", "low"))
    assert next_move(chosen, after(("high", spent), failed("low", K.AUTH))) == GiveUp(why="exhausted")


def test_a_model_that_is_its_budgets_own_fallback_is_asked_in_spite_of_it_once():
    spent = replace(SPENT, fallback="low")
    chosen = situation((), decision=priced("low"))
    move = next_move(chosen, after(("low", spent)))
    assert (move.model, move.ignores_budget) == ("low", True)
    assert next_move(chosen, after(("low", spent), ("low", spent))) == GiveUp(why="budget")


def test_two_budgets_that_name_each_others_models_are_asked_in_turn_and_no_more():
    chosen = situation((), decision=priced("high", "mid", "low"))
    one, other = replace(SPENT, fallback="mid"), replace(SPENT, name="monthly", fallback="low")
    assert next_move(chosen, after(("high", one))).model == "mid"
    assert next_move(chosen, after(("high", one), ("mid", other))).model == "low"
    assert next_move(chosen, after(("high", one), ("mid", other), ("low", one))) == GiveUp(why="budget")


def test_a_fallback_that_is_not_able_to_take_the_step_is_not_asked():
    spent = replace(SPENT, fallback="refused")
    assert next_move(situation((), decision=priced("high")), after(("high", spent))) == GiveUp(why="budget")
    chosen = priced("high")
    spared = replace(chosen, candidates=tuple(replace(c, is_spare=not c.kept) for c in chosen.candidates))
    assert next_move(situation((), decision=spared), after(("high", spent))).model == "refused"


def test_after_a_budgets_refusal_no_dearer_model_is_tried_again():
    chosen = situation((), decision=priced("high", "low"))
    assert next_move(chosen, after(failed("high"), ("low", SPENT))) == GiveUp(why="budget")


def test_the_answer_of_a_race_counts_though_the_second_call_failed_meanwhile():
    progress = Progress().after_calls(good("low"), failed("mid"))
    assert next_move(situation(ALL), progress) == Accept(attempt=good("low"))
    shown = failed("low", K.BROKEN_STREAM, shown="Hi")
    assert next_move(situation(ALL), Progress().after_calls(shown, failed("mid"))) == GiveUp(why="broken")


EVENTS = st.sampled_from([*FailureKind, "good", "bad", "refusal", "broken", "breaker", "limit", "budget", "unsaid"])
WORLD = {
    "models": st.permutations(list(TIERS)),
    "limit": st.integers(1, 6),
    "patience": st.sampled_from([0.0, 3.0, 20.0]),
    "deadline": st.sampled_from([None, 0.0, 2.0, 30.0]),
    "fallback": st.sampled_from([None, *TIERS, "refused"]),
    "filter": st.sampled_from(
        [
            ContentFilter(),
            ContentFilter(reaction="redact_and_retry"),
            ContentFilter(reaction="reroute", models=("mid", "low-2")),
            ContentFilter(reaction="fallback_message", message="No."),
        ]
    ),
    "retry_after": st.sampled_from([None, 0.0, 2.0, 300.0]),
    "should_retry": st.sampled_from([None, None, True, False]),
    "windows": st.sampled_from([{}, {"low": 8, "low-2": 8, "mid": 32, "high": 200}]),
    "seconds": st.sampled_from([0.0, 0.5, 4.0]),
}


def happening(world, event, move, at):
    """What came of asking a model: a call that went some way, or a refusal of ours."""
    match event:
        case "breaker" | "limit":
            return move.model, Refused(by=event, name=move.model, why=event, until=STEP.started_at + at + 1.0)
        case "unsaid":
            return move.model, Refused(by="limit", name=move.model, why="too many retries")
        case "budget" if not move.ignores_budget:
            return move.model, replace(SPENT, fallback=world["fallback"], until=STEP.started_at + 3600)
        case "budget" | "good":
            made = good(move.model)
        case "bad":
            made = bad(move.model)
        case "refusal":
            made = Attempt(
                model=move.model, answer=Answer(text="", finish="refusal"), problems=("refused",), redactable=True
            )
        case "broken":
            made = failed(move.model, K.BROKEN_STREAM, shown="Some text")
        case _:
            said = {"retry_after_seconds": world["retry_after"], "should_retry": world["should_retry"]}
            failure = Failure(kind=event, phase=Phase.BEFORE_FIRST_TOKEN, model=move.model, **said)
            made = Attempt(model=move.model, failure=failure, redactable=True)
    return replace(made, redacted=move.redacted, began_seconds=at, seconds=world["seconds"])


def walk(world, events):
    """All moves of a step in which these things happen, each with what was known before it, and the last progress."""
    policy = Policy(max_attempts=world["limit"], patience_seconds=world["patience"], content_filter=world["filter"])
    chosen = situation(
        (), policy, decision=priced(*world["models"]), windows=world["windows"], deadline=world["deadline"]
    )
    progress, moves = Progress(), []
    while True:
        move = next_move(chosen, progress)
        moves.append((move, progress))
        if not isinstance(move, Try):
            return moves, progress
        if move.after_seconds:
            progress = progress.after_wait(move.after_seconds)
        event = events[(len(moves) - 1) % len(events)]
        came = happening(world, event, move, progress.elapsed_seconds)
        if isinstance(came, tuple):
            progress = progress.after_refusal(*came)
        else:
            progress = progress.after_calls(came, is_retry=move.change == "retry")


@settings(max_examples=400)
@given(st.fixed_dictionaries(WORLD), st.lists(EVENTS, min_size=1, max_size=8))
def test_every_step_comes_to_an_end_within_its_calls_its_patience_and_its_time(world, events):
    moves, progress = walk(world, events)
    assert len(moves) <= 20 + world["patience"] / 0.1
    assert len(progress.attempts) <= world["limit"]
    assert progress.waited_seconds <= world["patience"]
    for move, before in moves:
        if isinstance(move, Try) and world["deadline"] is not None:
            assert before.elapsed_seconds + move.after_seconds < world["deadline"]


@settings(max_examples=400)
@given(st.fixed_dictionaries(WORLD), st.lists(EVENTS, min_size=1, max_size=8))
def test_no_filter_hears_the_same_words_twice_and_no_hopeless_request_is_made_again(world, events):
    hopeless = {K.AUTH, K.NOT_FOUND, K.CONTEXT_OVERFLOW, K.BAD_REQUEST}
    for move, before in walk(world, events)[0]:
        if not isinstance(move, Try):
            continue
        tried = before.tried(move.model)
        assert len(tried) < 3 + any(a.redactable and not a.redacted for a in tried)
        assert not any(a.failure and a.failure.kind in hopeless for a in tried)
        objected = [a for a in before.attempts if is_objection(a)]
        assert all(move.redacted and not a.redacted for a in objected if a.model == move.model)
        if objected and world["filter"].reaction == "reroute":
            assert move.model in world["filter"].models
        if objected:
            assert world["filter"].reaction in ("reroute", "redact_and_retry")


@settings(max_examples=400)
@given(st.fixed_dictionaries(WORLD), st.lists(EVENTS, min_size=1, max_size=8))
def test_no_weaker_no_dearer_and_no_smaller_model_is_asked_than_what_happened_allows(world, events):
    usd = {c.model: c.expected_usd for c in priced(*TIERS).candidates}
    for move, before in walk(world, events)[0]:
        if not isinstance(move, Try):
            assert not any(a.shown for a in before.attempts[:-1])
            continue
        assert move.model != "refused"
        answered = [TIERS[a.model].rank for a in before.attempts if is_weak(a) and a.model != move.model]
        if world["filter"].reaction != "reroute":
            assert TIERS[move.model].rank >= max(answered, default=0)
        spent = [p.model for p in before.passed if p.refused.by == "budget" and p.model != move.model]
        if spent and move.model != world["fallback"] and world["filter"].reaction != "reroute":
            assert usd[move.model] < min(usd[model] for model in spent)
        assert not any(a.shown for a in before.attempts)
