"""What to do after an attempt: error × what was shown × what is left → what next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Failure, FailureKind, Phase
from steprouter.answering.progress import Accept, GiveUp, Try, next_move
from steprouter.models.card import Tier
from steprouter.routing.decision import Candidate, Decision
from steprouter.routing.policy import Policy

TIERS = {"low": Tier.LOW, "low-2": Tier.LOW, "mid": Tier.MID, "high": Tier.HIGH}
K = FailureKind


def decision(*models):
    kept = [Candidate(model=m, tier=TIERS[m], kept=True, reason=f"{m} is next") for m in models]
    refused = Candidate(model="refused", tier=Tier.HIGH, kept=False, reason="cannot call tools")
    return Decision(candidates=(*kept, refused), reason="…")


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
        (ALL, [failed("low", K.RATE_LIMITED)], {}, failover("mid", "low", "rate_limited")),
        (ALL, [failed("low", K.CONTEXT_OVERFLOW)], {}, failover("mid", "low", "context_overflow")),
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
    assert next_move(decision(*models), attempts, Policy(**policy)) == move


KINDS = st.sampled_from(["good", "bad", *FailureKind])


@given(st.permutations(list(TIERS)), st.lists(KINDS, min_size=1, max_size=6), st.integers(1, 6))
def test_no_sequence_of_attempts_asks_a_model_twice_or_one_that_was_refused(models, kinds, limit):
    chosen, attempts, policy = decision(*models), [], Policy(max_attempts=limit)
    for kind in kinds:
        move = next_move(chosen, attempts, policy)
        if not isinstance(move, Try):
            break
        make = {"good": good, "bad": bad}.get(kind, lambda m, kind=kind: failed(m, FailureKind(kind)))
        attempts.append(make(move.model))
    tried = [attempt.model for attempt in attempts]
    assert len(tried) == len(set(tried)) <= limit
    assert "refused" not in tried


@given(st.permutations(list(TIERS)), st.lists(KINDS, min_size=1, max_size=4))
def test_after_an_answer_no_weaker_model_is_asked(models, kinds):
    chosen, attempts = decision(*models), []
    for kind in kinds:
        move = next_move(chosen, attempts, Policy())
        if not isinstance(move, Try):
            break
        answered = [TIERS[a.model].rank for a in attempts if a.answer is not None]
        assert TIERS[move.model].rank >= max(answered, default=0)
        make = {"good": good, "bad": bad}.get(kind, lambda m, kind=kind: failed(m, FailureKind(kind)))
        attempts.append(make(move.model))
