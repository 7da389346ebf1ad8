"""The errors a caller may meet."""

import copy
import pickle

import pytest
from langchain_core.exceptions import ContextOverflowError, ModelError

from steprouter.errors import (
    AllModelsFailed,
    AnswerBroken,
    BudgetExceeded,
    ConfigError,
    ContextTooLong,
    NoAbleModel,
    StepRouterError,
    StoreError,
)
from steprouter.tracing.record import Trace

TRACE = Trace(step_id="s-1", started_at=0.0, kind="chat", outcome="exhausted")
BUSY, KEY = ConnectionError("busy"), PermissionError("key")


def group(kind=AllModelsFailed, **fields):
    return kind("all models failed", [BUSY, KEY], trace=TRACE, **fields)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (ConfigError, (StepRouterError, ValueError)),
        (NoAbleModel, (ConfigError,)),
        (AllModelsFailed, (StepRouterError, ExceptionGroup, ModelError)),
        (ContextTooLong, (AllModelsFailed, ContextOverflowError)),
        (AnswerBroken, (StepRouterError, ModelError)),
        (BudgetExceeded, (StepRouterError,)),
        (StoreError, (StepRouterError,)),
    ],
)
def test_the_tree_of_errors_is_as_its_module_draws_it(error, bases):
    assert all(issubclass(error, base) for base in bases)


@pytest.mark.parametrize("error", [BudgetExceeded, ConfigError, NoAbleModel, StoreError])
def test_what_is_no_models_failure_is_not_taken_for_one(error):
    assert not issubclass(error, ModelError)


@pytest.mark.parametrize("kind", [AllModelsFailed, ContextTooLong])
def test_a_group_holds_each_failure_and_the_trace(kind):
    error = group(kind)
    assert (error.exceptions, error.trace, str(error)) == ((BUSY, KEY), TRACE, "all models failed (2 sub-exceptions)")


@pytest.mark.parametrize("kind", [AllModelsFailed, ContextTooLong])
@pytest.mark.parametrize("is_retryable", [True, False])
def test_a_group_says_truthfully_whether_trying_again_may_help(kind, is_retryable):
    assert group(kind, is_retryable=is_retryable).is_retryable is is_retryable


@pytest.mark.parametrize("kind", [AllModelsFailed, ContextTooLong])
def test_a_group_taken_apart_keeps_its_class_its_trace_and_its_word(kind):
    match, rest = group(kind, is_retryable=False).split(ConnectionError)
    assert [type(part) for part in (match, rest)] == [kind, kind]
    assert [part.exceptions for part in (match, rest)] == [(BUSY,), (KEY,)]
    assert [(part.trace, part.is_retryable) for part in (match, rest)] == [(TRACE, False)] * 2


def test_except_star_gives_the_trace_with_the_part_it_catches():
    caught = []
    try:
        raise group()
    except* ConnectionError as part:
        caught.append((part.exceptions, part.trace))
    except* PermissionError as part:
        caught.append((part.exceptions, part.trace))
    assert caught == [((BUSY,), TRACE), ((KEY,), TRACE)]


def test_a_group_of_nothing_cannot_be_made():
    with pytest.raises(ValueError, match="second argument"):
        AllModelsFailed("all models failed", [])


def test_summarising_middleware_meets_a_context_overflow_it_can_answer():
    with pytest.raises(ContextOverflowError) as caught:
        raise group(ContextTooLong, is_retryable=False)
    assert caught.value.is_retryable is False


def test_a_broken_answer_carries_what_was_shown_and_may_be_tried_again():
    error = AnswerBroken("the answer broke off", partial="Once upon", trace=TRACE)
    assert (str(error), error.partial, error.trace) == ("the answer broke off", "Once upon", TRACE)
    assert error.is_retryable


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_survive_copying_and_the_way_to_another_process(again):
    broken = again(AnswerBroken("broke", partial="Once upon", trace=TRACE))
    assert (str(broken), broken.partial, broken.trace) == ("broke", "Once upon", TRACE)
    whole = again(group(ContextTooLong, is_retryable=False))
    assert (type(whole), len(whole.exceptions), whole.trace) == (ContextTooLong, 2, TRACE)
    assert whole.is_retryable is False
