"""What to do next: failure × what was shown × what is left × how much time → what next."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Refused
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.health import Conditions
from steprouter.answering.moves import Accept, GiveUp, Try, next_move
from steprouter.answering.progress import Progress, Situation
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
