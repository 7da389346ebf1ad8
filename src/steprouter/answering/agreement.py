"""How far an answer that nobody saw agrees with the one that was given, and what that is worth.

Scores are relative: the answer that was given counts as right, and what differs counts as much less as it was right
less often. What an agreement is worth is measured on tool calls of five models beside those of gpt-4o
(benchmarks/agreement.py); of words no such data have both answers.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..step.step import Step, StepKind
from .answer import Answer, ToolCall

CLOSED = frozenset({StepKind.CLASSIFY, StepKind.EXTRACT})
"""Kinds whose short answers are names, labels and values: two of them are the same, or say different things."""

SHORT_CHARACTERS = 80
"""Of such an answer at most; what is longer is prose, in which the same is said in many ways."""

NOT_WORDS = re.compile(r"[\W_]+")


class Agreement(StrEnum):
    """How an answer compares with the one that was given."""

    SAME = "the same"
    """The same calls with the same arguments, the same JSON, or the same words."""
    OTHER_ARGUMENTS = "other arguments"
    """The same tools, called with other arguments."""
    OTHER_CALLS = "other calls"
    """Other tools, or none."""
    OTHER_WORDS = "other words"
    """Other JSON, or another short answer."""


WORTH: Mapping[Agreement, float] = {
    Agreement.SAME: 1.0,
    Agreement.OTHER_ARGUMENTS: 0.85,
    Agreement.OTHER_CALLS: 0.5,
    Agreement.OTHER_WORDS: 0.55,
}
"""What is left of a right answer, on average.

Calls: where arguments differ gpt-4o is right in 74 % and the other model in 58 %, so that little is known against it;
where the tools differ gpt-4o is right more often by 0.36, or by 0.63 with a fifth model that makes but one call at a
time (0.5 lies between). Words: of eight pairs of models on closed questions (MMLU, MMLU-Pro, ARC, WinoGrande, CRUX)
only scores are known. If half of what both got wrong they said differently, the stronger one is right more often by 0.2
to 0.6 where they differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A probe of a step, and what came of it.

    Attributes:
        of: The step, by its id.
        said: How the answer compares with the one that was given, in words; why there is none, otherwise.
        score: What memory is told of it, from 0, wrong, to 1, as good; None where nothing can be said.
    """

    of: str
    said: str
    score: float | None = None


def is_comparable(given: Answer, step: Step) -> bool:
    """Whether another answer can be compared with the one that was given without a judge.

    Whatever can be told of an answer must be told whether it speaks for it or against it: to count only those that are
    the same, or only those that fail a check, would be no estimate of anything.
    """
    is_short = step.kind in CLOSED and len(given.text) <= SHORT_CHARACTERS
    return bool(given.tool_calls) or step.needs.json_schema or is_short


def agreement(given: Answer, other: Answer, step: Step) -> Agreement:
    """How an answer compares with the one that was given; both passed their checks."""
    if given.tool_calls or other.tool_calls:
        ours, theirs = called(given), called(other)
        if ours == theirs:
            return Agreement.SAME
        same_tools = Counter(name for name, _ in ours.elements()) == Counter(name for name, _ in theirs.elements())
        return Agreement.OTHER_ARGUMENTS if same_tools else Agreement.OTHER_CALLS
    same = value_of(given.text) == value_of(other.text) if step.needs.json_schema else False
    return Agreement.SAME if same or words_of(given.text) == words_of(other.text) else Agreement.OTHER_WORDS


def called(answer: Answer) -> Counter[tuple[str, str]]:
    """The calls of an answer, in no order; texts among the arguments as their words."""
    return Counter((call.name, arguments_of(call)) for call in answer.tool_calls)


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call, the same text for those that say the same."""
    return call.raw if call.args is None else json.dumps(alike(call.args), sort_keys=True, default=str)


def value_of(text: str) -> str:
    """JSON as a text that is the same for those that say the same; other text as it is."""
    try:
        return json.dumps(alike(json.loads(text)), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def alike(value: Any) -> Any:
    """A value that is equal for those that say the same: 1 and 1.0, `Oslo ` and `oslo`."""
    if isinstance(value, Mapping):
        return {str(name): alike(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [alike(one) for one in value]
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value


def words_of(text: str) -> str:
    """The words of a text, without case and marks; the text itself where it is all marks."""
    said = unicodedata.normalize("NFKC", text).casefold()
    return NOT_WORDS.sub(" ", said).strip() or said.strip()
