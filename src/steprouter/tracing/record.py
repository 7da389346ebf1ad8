"""The trace of a step: what it was, what was decided and why, what was tried, what it cost and saved.

A trace holds no prompt, no answer and no key. It is JSON with a schema version; readers ignore fields they do
not know, and refuse a version newer than theirs by name.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1


class Part(BaseModel):
    """A part of a trace: frozen, and open to fields a newer writer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class CandidateRecord(Part):
    """One model as the decision saw it.

    Attributes:
        model: Its name.
        tier: Its strength.
        kept: Whether it might be tried.
        reason: Why it stood where it stood, or why it was refused.
        expected_usd: Expected cost of the step on it; None where its price is unknown.
        lesson_tokens: Prompt tokens that a shown lesson adds.
        success: Chance that it does the step well, an escalation after failed checks included; None where it was not
            weighed, because it could not be chosen.
        sd: Standard deviation of that.
        total_usd: Expected cost, that escalation included.
        expected_seconds: Expected time, that escalation included; None where nothing is known of its speed.
        outcomes: Outcomes at this kind of step that this rests on, decayed.
        fate: Why it was chosen or not, in a word (`chosen`, `dearer`, `weak`, `unproven`, …).
    """

    model: str
    tier: str
    kept: bool
    reason: str
    expected_usd: float | None = None
    lesson_tokens: int = 0
    success: float | None = None
    sd: float | None = None
    total_usd: float | None = None
    expected_seconds: float | None = None
    outcomes: float | None = None
    fate: str | None = None


class LessonRecord(Part):
    """A lesson that was at hand for an attempt; its text is not in the trace.

    Attributes:
        id: Its name, by which it can be read and deleted.
        tokens: Estimated length of the example.
        shown: Whether the model was shown it; withheld otherwise, to have something to compare with.
        propensity: Probability with which it was shown or withheld, as it was.
    """

    id: str
    tokens: int
    shown: bool
    propensity: float = 1.0


class RouteRecord(Part):
    """How like a semantic route's examples the step was.

    Attributes:
        name: The route.
        score: Similarity, as the route aggregates it.
        threshold: What it takes.
    """

    name: str
    score: float
    threshold: float


class TieBreakRecord(Part):
    """What came of asking a model for the route that a step's words left open; neither question nor answer is kept.

    Attributes:
        between: The routes it was to choose between, the nearest first.
        route: The one it chose; None if it chose none of them, or nothing came of asking.
        model: Whom was asked; None if nobody was.
        why: Why the words alone decided; empty where the model's answer counts.
        known: The same had been asked before, so nobody was asked again.
        began_seconds: When it was asked, counted from the beginning of the step.
        seconds: How long it took.
        input_tokens: The question.
        output_tokens: The answer, reasoning included.
        estimated: The provider did not report the tokens; they are estimated.
        cost_usd: What they cost; None where the price is unknown.
    """

    between: tuple[str, ...]
    route: str | None = None
    model: str | None = None
    why: str = ""
    known: bool = False
    began_seconds: float = 0.0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cost_usd: float | None = 0.0


class CacheRecord(Part):
    """What came of looking for a cached answer; neither question nor answer is kept.

    Attributes:
        question: Digest of all that was asked, and in which situation; None where its answer may not be given again.
        alike: Digest that all questions share which say the same once read; None where meaning is not compared.
        layer: `exact` or `semantic` where an answer was given again.
        entry: The answer that was given, or the one that was kept.
        of_step: The step that had paid for the answer that was given.
        similarity: How like the two questions are, as the cosine of their vectors.
        bound: What share of such answers may be wrong at most, at the confidence that the user asks.
        pool: What other answers it was judged with.
        age_seconds: How old the answer was.
        saved_input_tokens: The prompt that was not paid for.
        saved_output_tokens: The answer that was not paid for.
        saved_seconds: How long it had taken.
        audited: Whether the reference was asked too, in the background, to see whether it was right.
        missed: Why no answer was given again.
        kept: Whether the step's own answer may be given again.
        not_kept: Why it may not.
    """

    question: str | None = None
    alike: str | None = None
    layer: Literal["exact", "semantic"] | None = None
    entry: str | None = None
    of_step: str | None = None
    similarity: float | None = None
    bound: float | None = None
    pool: str | None = None
    age_seconds: float | None = None
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    saved_seconds: float = 0.0
    audited: bool = False
    missed: tuple[str, ...] = ()
    kept: bool = False
    not_kept: tuple[str, ...] = ()


class FailureRecord(Part):
    """Why an attempt gave no answer; `text` is what the provider said, shortened and without keys."""

    kind: str
    phase: str
    status: int | None = None
    code: str | None = None
    text: str = ""


class SkippedRecord(Part):
    """A way to go on with a broken answer that was not gone, and why."""

    rung: str
    model: str
    why: str


class ResumedRecord(Part):
    """How an attempt went on with an answer that broke off; none of the text is in the trace.

    Attributes:
        left: The model that broke off.
        model: The model that went on.
        rung: How it was asked: `cursor`, `prefill` or `instruction`.
        at_char: How many characters there were to go on from.
        failed: Why nothing came of it; None if something did.
        how: How the two were joined: `continued`, `overlap` or `started_over`; None where it never came to that.
        is_certain: Whether there was only one way to join them.
        dropped_characters: What was said again and not shown twice.
        preamble_characters: What was said before going on, and not shown.
        skipped: The ways before it, and why not.
    """

    left: str
    model: str
    rung: str
    at_char: int
    failed: str | None = None
    how: str | None = None
    is_certain: bool = True
    dropped_characters: int = 0
    preamble_characters: int = 0
    skipped: tuple[SkippedRecord, ...] = ()


class AttemptRecord(Part):
    """One call of one model.

    Attributes:
        model: Which one.
        why: Why it was tried then.
        began_seconds: When, counted from the beginning of the step.
        seconds: How long it took.
        first_token_seconds: Time to the first piece (TTFT).
        input_tokens: Prompt, cached tokens included.
        output_tokens: Answer, reasoning included.
        cache_read_tokens: Part of the prompt that the provider's prompt cache served.
        cache_write_tokens: Part of the prompt written into it.
        estimated: The provider did not report the tokens; they are estimated.
        cost_usd: What they cost; None where the price is unknown.
        finish: Why the model stopped, in the provider's word.
        failure: What went wrong, if it failed.
        problems: What the checks found wrong with a finished answer.
        shown_characters: How much of its text the consumer saw.
        lesson: The lesson that was at hand; None if there was none.
        waited_seconds: What was waited before it, because the provider asked for it or nobody could be asked.
        repairs: What was changed in the history that other models wrote, in words.
        redacted: Whether personal data and secrets were replaced in what was asked.
        is_probe: Whether it decided over an open circuit breaker.
        lost_race: Whether another call answered first, and this one was ended.
        resumed: Which answer it went on with, and how; None where it began one.
        kept_after: What broke the stream when all had come that makes an answer; None where nothing did.
        is_earlier: Whether a process made it that has ended since.
    """

    model: str
    why: str
    began_seconds: float
    seconds: float
    first_token_seconds: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    cost_usd: float | None = None
    finish: str | None = None
    failure: FailureRecord | None = None
    problems: tuple[str, ...] = ()
    shown_characters: int = 0
    lesson: LessonRecord | None = None
    waited_seconds: float = 0.0
    repairs: tuple[str, ...] = ()
    redacted: bool = False
    is_probe: bool = False
    lost_race: bool = False
    resumed: ResumedRecord | None = None
    kept_after: FailureRecord | None = None
    is_earlier: bool = False


class PassedRecord(Part):
    """A model that was to be tried and could not be asked.

    Attributes:
        model: Which one.
        by: What stood in the way: `budget`, `limit` or `breaker`.
        why: The same in words.
        at_seconds: When, counted from the beginning of the step.
    """

    model: str
    by: str
    why: str
    at_seconds: float = 0.0


class FeedbackRecord(Part):
    """A person's or program's verdict on the step: 0 is useless, 1 is right."""

    score: float
    reason: str | None = None
    at: float


class Trace(Part):
    """The whole story of one step.

    Attributes:
        version: Version of this schema.
        step_id: Identifies the step; sorts by time.
        started_at: Unix time in seconds.
        tenant: Whose data it was.
        thread: The conversation; None outside a graph.
        node: The graph node that called the model.
        graph_step: LangGraph's counter of super-steps.
        task: The node's execution.
        kind: What the agent was doing.
        kind_from: How the kind was found.
        input_tokens: Estimated size of the prompt when the decision was made.
        model: The model that answered; None if none did.
        outcome: `sufficient`, `insufficient` (the best there was, with the problems found), or why there is none.
        reason: Why the first model was first.
        rule: The rule that matched, if any.
        route: The semantic route that the step took, if any.
        route_scores: The semantic routes it was most like, the best first.
        tie_break: What came of asking a model for the route; None where nothing was left open, or nobody is asked.
        candidates: Every model, in the order of the decision.
        attempts: What was tried, in order.
        passed: Models that could not be asked, in order.
        cache: Whether an earlier answer was given again.
        cached: What came of looking for one; None where there is no answer cache.
        reference: The model that sets the standard and that savings are counted against.
        target: The chance of success that was sufficient; None where nothing was weighed.
        ventured: What the decision was expected to lose against the reference, where an unproven model was tried.
        propensity: Probability with which the decision was made; 1 where nothing was drawn.
        cost_usd: All attempts and the tie-break together; None if the price of any is unknown.
        reference_cost_usd: What the answering attempt's tokens would have cost on the reference.
        saved_usd: The difference, with its honest sign; None if either is unknown.
        probe_of: The step that it is a probe of: what a cheaper model, `model`, would have answered, which nobody saw.
            `outcome` says how that compares with what was given. It is no step of its thread, but costs what it costs.
        score: What memory was told of a probe's answer, from 0, wrong, to 1, as good; None where nothing was.
        seconds: The whole step.
        router_seconds: The router's own part of it.
        degraded: What was broken on the way.
        feedback: Verdicts that came later.
    """

    version: Literal[1] = SCHEMA_VERSION
    step_id: str
    started_at: float
    tenant: str = "default"
    thread: str | None = None
    node: str | None = None
    graph_step: int | None = None
    task: str | None = None
    kind: str
    kind_from: str = ""
    input_tokens: int = 0
    model: str | None = None
    outcome: str
    reason: str = ""
    rule: str | None = None
    route: str | None = None
    route_scores: tuple[RouteRecord, ...] = ()
    tie_break: TieBreakRecord | None = None
    candidates: tuple[CandidateRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    passed: tuple[PassedRecord, ...] = ()
    cache: Literal["off", "miss", "hit"] = "off"
    cached: CacheRecord | None = None
    reference: str | None = None
    target: float | None = None
    ventured: float = 0.0
    propensity: float = 1.0
    cost_usd: float | None = None
    reference_cost_usd: float | None = None
    saved_usd: float | None = None
    probe_of: str | None = None
    score: float | None = None
    seconds: float = 0.0
    router_seconds: float = 0.0
    degraded: tuple[str, ...] = ()
    feedback: tuple[FeedbackRecord, ...] = Field(default=())

    @property
    def answer(self) -> AttemptRecord | None:
        """The attempt whose answer was given."""
        given = [a for a in self.attempts if a.model == self.model and a.failure is None]
        return given[-1] if given else None

    @property
    def resumed(self) -> tuple[ResumedRecord, ...]:
        """Where a broken stream was gone on with, in order."""
        return tuple(a.resumed for a in self.attempts if a.resumed is not None and a.resumed.failed is None)

    @property
    def input_tokens_billed(self) -> int:
        """Prompt tokens of all attempts and of the tie-break."""
        asked = 0 if self.tie_break is None else self.tie_break.input_tokens
        return asked + sum(a.input_tokens for a in self.attempts)

    @property
    def output_tokens_billed(self) -> int:
        """Answer tokens of all attempts and of the tie-break."""
        said = 0 if self.tie_break is None else self.tie_break.output_tokens
        return said + sum(a.output_tokens for a in self.attempts)
