"""What an ended step leaves in memory: its session's next state, what became of it, and labels of earlier steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ..answering.agreement import Probed
from ..answering.answer import Answer, ToolCall
from ..answering.attempt import Attempt
from ..models.card import Price
from ..models.cost import cost_usd, priced_usd
from ..models.tokens import estimate_tokens
from ..step.digests import call_digest
from ..step.read import signature
from ..step.step import Step
from .drafts import Draft, Material
from .labels import Label, Source, label
from .learned import INFORMATIVE, Gain, Learned
from .lessons import Example
from .outcomes import Remembered
from .recall import Recalled
from .session import Decided, Session, SessionUpdate, Warm
from .shift import bucket_of
from .verifier import Verifier

USUAL_SUCCESS = 0.8
"""Of a model of which no more is known; only weighs what its refused answers say."""

WARM_SECONDS = 300.0
"""How long providers keep a prompt prefix at least, counted from the request's start (Anthropic; OpenAI: 5–10 min)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembrance:
    """What one ended step leaves in memory.

    Attributes:
        tenant: Whose it is.
        thread: The conversation, if any.
        user: On whose behalf, if known.
        session: What it adds to its session; None outside a thread.
        outcomes: What became of its finished attempts, the given answer's first.
        labels: Verdicts on earlier steps that it brought to light.
        draft: What may become a lesson, as it was said; None if there is nothing to learn.
        results: What the tools gave that an earlier step called, as they gave it; for its lesson.
    """

    tenant: str
    thread: str | None = None
    user: str | None = None
    session: SessionUpdate | None = None
    outcomes: tuple[Remembered, ...] = ()
    labels: tuple[Label, ...] = ()
    draft: Draft | None = field(default=None, repr=False)
    results: str = field(default="", repr=False)

    @property
    def gain(self) -> Gain | None:
        """What the step teaches besides; None if nobody answered it."""
        return next((outcome.gain for outcome in self.outcomes if outcome.gain is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An ended step, as far as memory looks at it.

    Attributes:
        step: The step.
        attempts: What was tried, in order.
        answered_by: The attempt whose answer was given; None if there is none.
        vector: The step's text as float32 bytes; None if it was not embedded.
        recalled: What was known when it began.
        seconds: How long it took.
        examples: What was at hand for each model that had one.
        material: What there is to learn; None where lessons are not kept.
        expected: With which probability each model was expected to answer well, when the step was decided.
        charge: What the choice was charged to the ledger; 0 for a proven one.
        reference: The model that set the standard, if the step was decided.
        route: The semantic route that it took, if any.
        asked_usd: What asking a model for that route cost; None where that is not known.
        probe: What came of it as a probe of a step; None for a step.
    """

    step: Step
    attempts: tuple[Attempt, ...]
    answered_by: Attempt | None
    vector: bytes | None = field(default=None, repr=False)
    recalled: Recalled = field(default_factory=Recalled)
    seconds: float = 0.0
    examples: Mapping[str, Example] = field(default_factory=dict)
    material: Material | None = field(default=None, repr=False)
    expected: Mapping[str, float] = field(default_factory=dict)
    charge: float = 0.0
    reference: str | None = None
    route: str | None = None
    asked_usd: float | None = 0.0
    probe: Probed | None = None


def remember(ended: Ended, prices: Mapping[str, Price | None], key: bytes) -> Remembrance:
    """What to keep of an ended step.

    Args:
        ended: The step.
        prices: By model.
        key: Keys the digests of its tool calls.
    """
    if ended.probe is not None:
        return remember_probe(ended, ended.probe, prices)
    place = ended.step.place
    costs = [cost_usd(attempt.usage, prices.get(attempt.model)) for attempt in ended.attempts]
    return Remembrance(
        tenant=place.tenant,
        thread=place.thread,
        user=place.user,
        session=None if place.thread is None else session_update(ended, costs, key, prices.get(ended.reference or "")),
        outcomes=outcomes(ended, costs, key),
        labels=earlier_labels(ended.step, ended.recalled, key),
        draft=None if ended.material is None else draft_with_vector(ended.material.draft, ended.vector),
        results="" if ended.material is None else ended.material.results,
    )


def remember_probe(ended: Ended, probe: Probed, prices: Mapping[str, Price | None]) -> Remembrance:
    """What to keep of a probe: what became of the probed model's answer, if anything can be said of it.

    Nobody saw it, so that neither its session nor the ledger nor a lesson has anything to do with it, and that nobody
    complained says nothing: an answer of which nothing else is known leaves nothing.
    """
    step, place = ended.step, ended.step.place
    outcomes = []
    for attempt in ended.attempts:
        if attempt.answer is None or probe.score is None:
            continue
        if attempt.problems:
            verdict = first_label(ended, attempt)
        else:
            verdict = label(step.id, Source.JUDGE, probe.score, step.started_at)
        outcomes.append(
            Remembered(
                id=step.id,
                kind=str(step.kind),
                node=place.node,
                model=attempt.model,
                at=step.started_at,
                vector=ended.vector,
                label=verdict,
                thread=place.thread,
                user=place.user,
                usage=attempt.usage,
                usd=cost_usd(attempt.usage, prices.get(attempt.model)),
                seconds=attempt.seconds,
                first_token_seconds=attempt.first_token_seconds,
                given=False,
                expected=ended.expected.get(attempt.model),
                version=version_of(attempt.answer),
            )
        )
    return Remembrance(tenant=place.tenant, thread=place.thread, user=place.user, outcomes=tuple(outcomes))


def draft_with_vector(draft: Draft | None, vector: bytes | None) -> Draft | None:
    """The draft as it can be found again; None where the step was not embedded."""
    if draft is None or vector is None:
        return None
    return replace(draft, lesson=replace(draft.lesson, vector=vector))


def session_update(ended: Ended, costs: Sequence[float | None], key: bytes, standard: Price | None) -> SessionUpdate:
    """What the step adds to its session.

    Args:
        ended: The step.
        costs: What each attempt cost.
        key: Keys the digests of its tool calls.
        standard: The reference's price.
    """
    step, given = ended.step, ended.answered_by
    spent = [ended.asked_usd, *costs]
    known = [usd for usd in spent if usd is not None]
    is_known = len(known) == len(spent)
    calls = given.answer.tool_calls if given is not None and given.answer is not None else ()
    return SessionUpdate(
        decided=Decided(
            step_id=step.id,
            at=step.started_at,
            until=step.started_at + ended.seconds,
            kind=str(step.kind),
            model=given.model if given else None,
            node=node_digest(step, key),
            task=step.place.task,
            sufficient=given is not None and given.is_sufficient,
            calls=tuple(call_digest(signature(call.name, call.args), key) for call in calls),
            asked=step.trail.asked,
            before=step.trail.before,
            usd=sum(known) if is_known else None,
            route=ended.route,
        ),
        errors=step.evidence.consecutive_errors,
        reference_usd=reference_usd(ended, standard) if is_known else None,
        escalated=any(attempt.answer is not None and attempt.problems for attempt in ended.attempts),
        warm=warm_prefix(step, given, ended.examples),
        input_tokens=given.usage.input_tokens if given else step.needs.input_tokens,
        output_tokens=given.usage.output_tokens if given else 0,
        seconds=ended.seconds,
    )


def reference_usd(ended: Ended, standard: Price | None) -> float | None:
    """What the reference would have cost, had it answered all steps of the session; None where nobody answered.

    Its provider would have cached what any model's has of the session.
    """
    given, step, session = ended.answered_by, ended.step, ended.recalled.section("session")
    if given is None or standard is None:
        return None
    usage = given.usage
    read = min(session.shared_tokens(step), usage.input_tokens) if isinstance(session, Session) else 0
    return priced_usd(standard, read=read, written=usage.input_tokens - read, output=usage.output_tokens)


def warm_prefix(step: Step, given: Attempt | None, examples: Mapping[str, Example]) -> Warm | None:
    """The prefix that the answering model's provider has now seen.

    An example stands before the last human message's words in one prompt only, so what later prompts can share ends
    before that message; where it is not the last one, nobody knows how long that is.
    """
    if given is None or step.trail.asked is None:
        return None
    prefixes, tokens = step.trail.prefixes, given.usage.input_tokens
    example = examples.get(given.model)
    if example is not None and example.shown:
        prefixes = prefixes[:-1] if step.evidence.last_role == "human" else ()
        tokens = max(0, tokens - example.lesson.tokens - estimate_tokens(step.text))
        if not prefixes:
            return None
    began = step.started_at + given.began_seconds
    return Warm(digest=prefixes[-1], messages=len(prefixes), tokens=tokens, until=began + WARM_SECONDS)


def outcomes(ended: Ended, costs: Sequence[float | None], key: bytes) -> tuple[Remembered, ...]:
    """What became of the finished attempts; a failed provider says nothing of its model's judgement."""
    found = [
        outcome(ended, attempt, usd, number, key)
        for number, (attempt, usd) in enumerate(zip(ended.attempts, costs, strict=True))
        if attempt.answer is not None
    ]
    return tuple(sorted(found, key=lambda one: one.id != ended.step.id))


def outcome(ended: Ended, attempt: Attempt, usd: float | None, number: int, key: bytes) -> Remembered:
    """What became of one attempt; the given answer bears the step's own id, by which it is labelled later."""
    step, given = ended.step, attempt is ended.answered_by
    example = ended.examples.get(attempt.model)
    return Remembered(
        id=step.id if given else f"{step.id}#{number}",
        kind=str(step.kind),
        node=step.place.node,
        model=attempt.model,
        at=step.started_at,
        vector=ended.vector,
        label=first_label(ended, attempt),
        thread=step.place.thread,
        user=step.place.user,
        usage=attempt.usage,
        usd=usd,
        seconds=attempt.seconds,
        first_token_seconds=attempt.first_token_seconds,
        lesson=None if example is None else example.shown,
        example=None if example is None else example.lesson.id,
        given=given,
        expected=expected_of(ended, attempt),
        again=not given and bool(attempt.problems) and says_the_same(attempt.answer, answer_of(ended.answered_by)),
        version=version_of(attempt.answer),
        gain=gain(ended, key) if given else None,
    )


def answer_of(attempt: Attempt | None) -> Answer | None:
    """What an attempt said in full."""
    return None if attempt is None else attempt.answer


def says_the_same(one: Answer | None, other: Answer | None) -> bool:
    """Whether two answers of a step make the same tool calls, or where there are none say the same text."""
    if one is None or other is None:
        return False
    if one.tool_calls or other.tool_calls:
        return [called(call) for call in one.tool_calls] == [called(call) for call in other.tool_calls]
    return one.text.strip() == other.text.strip()


def called(call: ToolCall) -> str:
    """A tool call, the same however its arguments were ordered; what is no JSON object as it was said."""
    return f"{call.name} {call.raw}" if call.args is None else signature(call.name, call.args)


def version_of(answer: Answer | None) -> int | None:
    """Digest of the version of the model that answered, as its provider names it (`gpt-5.6-2026-05-01`).

    Not of `system_fingerprint`, which tells backends of one version apart and changes back and forth.
    """
    name = None if answer is None else answer.details.get("model_name")
    return int(sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) if isinstance(name, str) else None


def gain(ended: Ended, key: bytes) -> Gain:
    """What a step teaches that was answered."""
    step, session = ended.step, ended.recalled.section("session")
    recent = session.recent if isinstance(session, Session) else ()
    is_known = step.place.thread is not None and isinstance(session, Session)
    resembles = any(decided.kind == step.kind for decided in recent)
    return Gain(
        kind=str(step.kind),
        charge=ended.charge,
        node=step.place.node,
        begins=all(decided.node != node_digest(step, key) for decided in recent) if is_known else None,
        bucket=None if ended.vector is None or resembles else bucket_of(ended.vector),
        at=step.started_at,
    )


def first_label(ended: Ended, attempt: Attempt) -> Label:
    """What the checks alone say of an answer; where there was nothing to check but words, next to nothing."""
    step = ended.step
    if attempt.problems:
        doubt = refusal_doubt(ended, attempt.model)
        return label(step.id, Source.FAILED_CHECK, 0.0, step.started_at, confidence=doubt)
    called = attempt.answer is not None and attempt.answer.tool_calls
    source = Source.PASSED_CHECK if called or step.needs.json_schema else Source.NO_COMPLAINT
    usual = label(step.id, source, 1.0, step.started_at)
    # What checks refuse counts as far as they are right. If what they let pass counted less than in proportion, a
    # model would be given up for the refusals alone wherever nobody says anything else.
    return replace(usual, confidence=max(usual.confidence, checks_at(ended).detection))


def refusal_doubt(ended: Ended, model: str) -> float:
    """How likely an answer of a model is wrong that the checks refused."""
    return checks_at(ended).wrong_if_refused(ended.expected.get(model, USUAL_SUCCESS))


def checks_at(ended: Ended) -> Verifier:
    """How good the checks are known to be at the step's kind."""
    known = ended.recalled.section("learned")
    learned = known if isinstance(known, Learned) else Learned()
    return learned.verifier(str(ended.step.kind))


def expected_of(ended: Ended, attempt: Attempt) -> float | None:
    """What was expected of a model's answer, for its drift; None where that would only hear of what went wrong.

    Refusals tell of drift where answers that pass tell of it as well, because the checks find enough; else a model
    would seem to get worse by each refusal, and never better.
    """
    if attempt.problems and checks_at(ended).detection < INFORMATIVE:
        return None
    return ended.expected.get(attempt.model)


def earlier_labels(step: Step, recalled: Recalled, key: bytes) -> tuple[Label, ...]:
    """Verdicts on earlier steps that this one brings: its tools' results, and a question asked again."""
    session = recalled.section("session")
    known = session if isinstance(session, Session) else Session()
    found = [tool_label(step, known), *retry_labels(step, known, key)]
    return tuple(one for one in found if one is not None)


def tool_label(step: Step, session: Session) -> Label | None:
    """How the calls fared that the last step made.

    The message names the step that wrote it; where a graph rebuilds its messages, the session's last step that
    called a tool is taken.
    """
    verdict = step.evidence.verdict
    if verdict is None:
        return None
    asked = verdict.step_id or next((d.step_id for d in session.recent if d.calls), None)
    return None if asked is None else label(asked, Source.TOOL, verdict.good, step.started_at)


def retry_labels(step: Step, session: Session, key: bytes) -> list[Label]:
    """Verdicts on steps whose answer the user did not take: the same prompt again, or the question put otherwise.

    Not every repetition is one: a task that LangGraph runs again is the same task, branches that run side by
    side overlap in time, and what a step could not answer needs no verdict.
    """
    trail, node = step.trail, node_digest(step, key)
    return [
        label(decided.step_id, Source.RETRY, 0.0, step.started_at)
        for decided in session.recent
        if decided.model is not None
        and decided.until <= step.started_at
        and (decided.task is None or decided.task != step.place.task)
        and decided.node == node
        and is_asked_again(decided, trail.asked, trail.before)
    ]


def node_digest(step: Step, key: bytes) -> str | None:
    """The node as a session knows it again: a name may hold a customer's."""
    return None if step.place.node is None else call_digest(step.place.node, key)


def is_asked_again(decided: Decided, asked: str | None, before: str | None) -> bool:
    """Whether a prompt repeats an earlier one, or replaces its last question."""
    if asked is not None and decided.asked == asked:
        return True
    return before is not None and decided.before == before
