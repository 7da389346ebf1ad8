"""Drafts: what a step leaves that may become a lesson, and how it is redacted and cut before anything is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from ..answering.answer import ToolCall
from ..answering.attempt import Attempt
from ..answering.example import example_text
from ..models.card import ModelCard, Tier
from ..models.tokens import compact_json, estimate_tokens
from ..routing.decision import Decision
from ..step.ask import Ask
from ..step.kinds import not_tools
from ..step.step import Step
from ..step.text import STEP_TEXT_CHARACTERS
from .lessons import Lesson, Lessons

READ_CHARACTERS = 2_000
"""Of a result or answer: several times what an example shows of it, so that what redaction must see whole is seen."""

TASK_SHARE = 0.6
"""Of the tokens that approach and frame leave, what the task may take; the result takes the rest."""

LEAST_TASK_TOKENS = 20
"""An approach that leaves less for its task is too long for an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a solved step said, as it said it; stays in the process.

    Attributes:
        lesson: What is known of it but the texts.
        task: What was to be done.
        calls: The tool calls of the answer.
        fields: Names of the fields of the JSON that was wanted.
        answer: The text of the answer; empty where tools were called.
    """

    lesson: Lesson
    task: str = field(repr=False)
    calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    fields: tuple[str, ...] = ()
    answer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What an ended step gives to learn from.

    Attributes:
        draft: Its own solution; None if it is not one that could be shown to anybody.
        results: What the tools gave that an earlier step called, if its prompt ends with that.
    """

    draft: Draft | None = None
    results: str = field(default="", repr=False)


def glean(
    step: Step, ask: Ask, decision: Decision, given: Attempt | None, cards: Sequence[ModelCard], policy: Lessons
) -> Material:
    """What to learn from an ended step; nothing is redacted yet, which takes time that the step does not have."""
    return Material(draft=draft_of(step, ask, decision, given, cards, policy), results=tool_results(ask.messages))


def draft_of(
    step: Step, ask: Ask, decision: Decision, given: Attempt | None, cards: Sequence[ModelCard], policy: Lessons
) -> Draft | None:
    """The step's solution, where a weaker model could be shown it and words tell the whole task.

    What was solved with an example is not passed on: it would be a copy of a copy.
    """
    if given is None or given.answer is None or given.problems or step.kind not in policy.kinds or not step.text:
        return None
    solver, needs = decision.candidate(given.model), step.needs
    if needs.images or needs.audio or needs.files or (solver.example is not None and solver.example.shown):
        return None
    if not any((card.tier or Tier.MID).rank < solver.tier.rank for card in cards):
        return None
    answer, wanted = given.answer, ask.tools.response_format
    properties = {} if wanted is None else not_tools(wanted).get("properties")
    return Draft(
        lesson=Lesson(
            id=step.id,
            kind=str(step.kind),
            node=step.place.node,
            task="",
            tools=tuple(dict.fromkeys(call.name for call in answer.tool_calls)),
            json=needs.json_schema,
            model=given.model,
            tier=solver.tier,
            rule=decision.rule,
            at=step.started_at,
            thread=step.place.thread,
            user=step.place.user,
        ),
        task=clipped(step.text, STEP_TEXT_CHARACTERS),
        calls=answer.tool_calls,
        fields=tuple(properties) if isinstance(properties, Mapping) and not answer.tool_calls else (),
        answer="" if answer.tool_calls else clipped(answer.text, READ_CHARACTERS),
    )


def tool_results(messages: Sequence[BaseMessage]) -> str:
    """The tool results that end a conversation, one a line; empty if it ends otherwise."""
    results: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.append(clipped(message.text, READ_CHARACTERS))
    return clipped("\n".join(reversed(results)), READ_CHARACTERS)


def clipped(text: str, limit: int) -> str:
    """The beginning of a text, without the word that was cut at the end: half a key is not found to be one."""
    if len(text) < limit:
        return text
    words = text[:limit].rsplit(None, 1)
    return words[0] if len(words) > 1 else ""


def sealed(draft: Draft, tokens: int) -> Lesson | None:
    """The lesson that may be kept: redacted, and no longer than `tokens` when it is shown.

    None where nothing sensible is left: the call itself holds a secret, the task a private key, the approach alone
    is too long, or JSON would have to be cut, which would teach to break off.
    """
    texts = redacted(draft)
    if texts is None:
        return None
    task, approach, result = texts
    frame = as_example(draft.lesson, task="", approach=approach, result="")
    left = tokens - frame.tokens
    if left < LEAST_TASK_TOKENS:
        return None
    # What a call gave is known by the next step only, and needs its place too.
    task = cut(task, int(TASK_SHARE * left) if result or draft.calls else left)
    lesson = with_result(as_example(frame, task=task, approach=approach, result=""), result, tokens)
    is_broken = lesson.json and lesson.result != result.strip()
    return None if is_broken or not lesson.task or lesson.tokens > tokens else lesson


def as_example(lesson: Lesson, *, task: str, approach: str, result: str) -> Lesson:
    """The lesson with these texts, and as long as they make it."""
    told = replace(lesson, task=task, approach=approach, result=result)
    return replace(told, tokens=estimate_tokens(example_text(told)))


def with_result(lesson: Lesson, result: str, tokens: int) -> Lesson:
    """The lesson with a result, already redacted, as far as there is room."""
    told = as_example(lesson, task=lesson.task, approach=lesson.approach, result=result.strip())
    while told.tokens > tokens and told.result:
        kept = cut(told.result, estimate_tokens(told.result) - (told.tokens - tokens))
        told = as_example(told, task=told.task, approach=told.approach, result=kept)
    return told


def redacted(draft: Draft) -> tuple[str, str, str] | None:
    """Task, approach and result without secrets and personal data; the same value has the same name in all three."""
    # Imported by the first lesson: its patterns take longer to compile than all of memory takes to import.
    from ..redaction import SECRET_KINDS, Kind, redact, redact_value

    called = [[call.name, plain(call.args)] for call in draft.calls]
    try:
        if called and any(one.kind in SECRET_KINDS for one in redact(compact_json(called)).findings):
            return None
        task, calls, answer = redact_value((draft.task, called, draft.answer))
    except (TypeError, RecursionError):  # arguments that no JSON brought
        return None
    approach = "; ".join(f"{name}({compact_json(args)})" for name, args in calls)
    if not calls and draft.fields:
        approach = f"JSON with the fields {', '.join(draft.fields)}"
    # As text too: a number beside its label, such as a card's, is no string in the arguments.
    approach = redact(approach).text
    holds_key = f"<{Kind.PRIVATE_KEY}-" in task or HALF_KEY.search(task)
    return None if holds_key else (task, approach, "" if HALF_KEY.search(answer) else answer)


def plain(args: Mapping[str, Any] | None) -> Any:
    """Arguments as plain JSON."""
    return None if args is None else dict(args)


HALF_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY")
"""The beginning of a private key whose end is missing, because the text was cut."""

NUMBERED = re.compile(r"<([a-z_]+)-[0-9]+>")
"""A placeholder of redaction."""


def sealed_result(text: str) -> str:
    """The result of tools as it may be kept; numbers of placeholders go, as they are not those of the task."""
    from ..redaction import redact

    kept = NUMBERED.sub(r"<\1>", redact(text).text)
    return "" if HALF_KEY.search(kept) else kept


def cut(text: str, tokens: int) -> str:
    """The beginning of a text that takes at most so many tokens (estimated), with a mark where it was cut."""
    text = text.strip()
    if tokens < 1:
        return ""
    while (size := estimate_tokens(text)) > tokens:
        kept = int(len(text) * tokens / size * 0.95) - 1
        if kept < 1:
            return ""
        text = text[:kept].rstrip(" …") + "…"
    return text
