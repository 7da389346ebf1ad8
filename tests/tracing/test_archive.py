"""Traces as people ask for them."""

import json

import pytest

from steprouter.errors import ConfigError, StoreError
from steprouter.store import MemoryTraces
from steprouter.tracing.archive import NO_THREAD, Traces, read_trace, store_trace
from steprouter.tracing.record import AttemptRecord, CandidateRecord, FailureRecord, FeedbackRecord, Trace
from steprouter.tracing.sink import Sink

NOW = 2_000.0


def trace(step_id="s-1", *, started_at=1.0, thread="t-1", tenant="acme", **fields):
    return Trace(
        step_id=step_id,
        started_at=started_at,
        thread=thread,
        tenant=tenant,
        kind="chat",
        outcome="sufficient",
        **fields,
    )


def archive(*traces, tenant="acme", keeper=None):
    keeper = keeper or MemoryTraces()
    keeper.write([store_trace(t) for t in traces])
    return Traces(lambda: keeper, tenant=tenant)


FULL = trace(
    node="Übersicht",
    candidates=(CandidateRecord(model="m", tier="low", kept=True, reason="cheapest", expected_usd=1e-6),),
    attempts=(AttemptRecord(model="m", why="…", began_seconds=0.0, seconds=1.5, problems=("empty answer",)),),
    cost_usd=0.0,
    saved_usd=-0.5,
    feedback=(FeedbackRecord(score=1, at=NOW),),
)


def test_a_trace_is_read_back_as_it_was_kept():
    assert read_trace(store_trace(FULL).payload) == FULL


def test_a_lone_surrogate_in_a_name_or_a_text_costs_no_trace():
    failure = FailureRecord(kind="unknown", phase="in_text", text="cut \ud83d")
    odd = trace(
        thread="\ud800", attempts=(AttemptRecord(model="m", why="", began_seconds=0, seconds=0, failure=failure),)
    )
    assert read_trace(store_trace(odd).payload) == odd
    assert archive(odd).list("\ud800") == [odd]


def test_every_kept_trace_says_its_version_though_defaults_are_left_out():
    assert json.loads(store_trace(trace()).payload) == {
        "version": 1,
        "step_id": "s-1",
        "started_at": 1.0,
        "thread": "t-1",
        "tenant": "acme",
        "kind": "chat",
        "outcome": "sufficient",
    }


def changed(**fields):
    return json.dumps({**json.loads(store_trace(FULL).payload), **fields}).encode()


def test_fields_that_a_newer_writer_added_are_ignored():
    attempt = {**FULL.attempts[0].model_dump(), "mood": "fine"}
    assert read_trace(changed(mood="fine", attempts=[attempt])) == FULL


@pytest.mark.parametrize("version", [2, "1.5", None])
def test_another_version_of_the_schema_is_refused_by_name(version):
    with pytest.raises(StoreError, match=f"has schema version {version!r}, this steprouter reads 1; upgrade"):
        read_trace(changed(version=version))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"7", b"null", b"\xff", b'{"version": 1}', b'{"a": ' + b"[" * 100_000]
)
def test_what_is_no_trace_is_an_error_of_the_store(payload):
    with pytest.raises(StoreError):
        read_trace(payload)


def test_the_steps_of_a_thread_come_oldest_first():
    traces = [trace("b", started_at=2.0), trace("a"), trace("c", started_at=3.0, thread="t-2")]
    assert [t.step_id for t in archive(*traces).list("t-1")] == ["a", "b"]
    assert [t.step_id for t in archive(*traces).list("t-1", limit=1)] == ["b"]


def test_without_a_name_the_thread_with_the_newest_step_is_listed():
    traces = archive(trace("a"), trace("b", started_at=2.0, thread="t-2"))
    assert [t.step_id for t in traces.list()] == ["b"]
    assert [line.thread for line in traces.threads()] == ["t-2", "t-1"]
    assert archive().list() == []


def test_steps_without_a_thread_are_listed_under_a_name_of_their_own():
    loose = trace(thread=None)
    assert archive(loose).list(NO_THREAD) == [loose]


def test_a_tenant_sees_no_other_tenants_traces():
    keeper = MemoryTraces()
    archive(trace(), keeper=keeper)
    other = archive(tenant="other", keeper=keeper)
    assert (other.list("t-1"), other.get("s-1"), other.list()) == ([], None, [])


def test_a_step_that_just_ended_is_seen_at_once():
    keeper = MemoryTraces()
    sink = Sink(lambda traces: keeper.write([store_trace(t) for t in traces]))
    traces = Traces(lambda: keeper, tenant="acme", flush=sink.flush)
    sink.put(trace())
    assert traces.get("s-1") == trace()
    sink.close()


def test_the_keeper_is_opened_when_something_is_asked_and_not_before():
    opened = []

    def open_memory():
        opened.append(1)
        return MemoryTraces()

    traces = Traces(open_memory, tenant="acme")
    assert opened == []
    assert (traces.get("s-1"), opened) == (None, [1])


def test_feedback_is_added_to_the_trace_of_its_step():
    traces = archive(trace())
    traces.add_feedback("s-1", 0.5, reason="too long", at=NOW)
    traces.add_feedback("s-1", 1, reason=None, at=NOW + 1)
    assert traces.get("s-1").feedback == (
        FeedbackRecord(score=0.5, reason="too long", at=NOW),
        FeedbackRecord(score=1.0, at=NOW + 1),
    )


def test_the_same_verdict_given_twice_is_kept_once():
    traces = archive(trace())
    for at in (NOW, NOW + 1):
        traces.add_feedback("s-1", 1, reason=None, at=at)
    assert traces.get("s-1").feedback == (FeedbackRecord(score=1.0, at=NOW),)


@pytest.mark.parametrize("score", [-0.01, 1.01, 5, float("nan"), float("inf")])
def test_a_score_out_of_range_is_the_callers_mistake(score):
    with pytest.raises(ConfigError, match="score must be between 0 "):
        archive(trace()).add_feedback("s-1", score, reason=None, at=NOW)


def test_feedback_on_a_step_nobody_keeps_is_the_callers_mistake():
    with pytest.raises(ConfigError, match="step_id must name a step that is kept, got 's-2'"):
        archive(trace()).add_feedback("s-2", 1, reason=None, at=NOW)


class Away(MemoryTraces):
    """A store that went away after it was filled."""

    def write(self, traces):
        return 0


def test_feedback_that_the_store_does_not_take_is_an_error():
    keeper = Away()
    MemoryTraces.write(keeper, [store_trace(trace())])
    with pytest.raises(StoreError, match="feedback on 's-1' could not be kept"):
        Traces(lambda: keeper, tenant="acme").add_feedback("s-1", 1, reason=None, at=NOW)
