"""Which answers are worth giving again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..answering.answer import Answer
from ..answering.attempt import Attempt
from ..answering.check import CUT_FINISHES, is_content, is_refused
from ..answering.shape import is_tool_block

LARGEST_BYTES = 65_536
"""Of an answer that is kept, calls included; what is longer is no answer that many ask for."""

REFUSING_CHARS = 300
"""At the beginning of an answer, where models refuse."""

REFUSING = re.compile(
    r"\b(?:i|we)(?:['’]m| am|['’]re| are)? (?:very |truly |really |so )?(?:sorry|afraid|unable|not able|not allowed)\b"
    r"|^\W*(?:sorry|apologies|my apologies|unfortunately|regrettably)\b"
    r"|\b(?:i|we) (?:can ?not|can['’]?t|won['’]?t|will not|must decline|have to decline|decline|apologi[sz]e)\b"
    r"|\b(?:i|we) (?:do not|don['’]?t) (?:know|have)\b"
    r"|\bas an? (?:ai|large language model|language model|assistant)\b"
    r"|\bes tut mir leid\b|^\W*leider\b|\bich kann\b.{0,40}\bnicht\b|\bje suis désolé|\bje ne peux pas\b"
    r"|\blo siento\b|\bno puedo\b|\bmi dispiace\b|\bnon posso\b|\bdesculpe\b|\bnão posso\b|\bhet spijt me\b",
    re.IGNORECASE,
)
"""Refusals that no finish reason tells, and excuses for knowing nothing. Too many taken for one cost calls."""

THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})


def worth_keeping(given: Attempt) -> tuple[str, ...]:
    """Why the answer of a step is not kept, in words; empty where it is."""
    answer = given.answer
    if answer is None:
        return ("there is no answer",)
    return (*objections_to_attempt(given), *objections_to_answer(answer, thought=given.usage.reasoning_tokens > 0))


def objections_to_attempt(given: Attempt) -> Iterator[str]:
    """What speaks against an answer in how it came about."""
    if given.is_given_without_a_call:
        yield "no model gave it"
    if given.problems:
        yield f"it failed a check: {given.problems[0]}"
    if given.resumed is not None and given.resumed.left != given.resumed.model:
        yield "two models wrote it"
    if given.kept is not None:
        yield "its stream broke off at the end"
    if given.redacted:
        yield "what was asked had been redacted"


def objections_to_answer(answer: Answer, *, thought: bool) -> Iterator[str]:
    """What speaks against an answer in what it says.

    Args:
        answer: It.
        thought: Whether its model thought before it spoke.
    """
    if is_refused(answer) or REFUSING.search(answer.text[:REFUSING_CHARS]):
        yield "it is a refusal"
    elif answer.finish is None or answer.finish in CUT_FINISHES:
        yield "it is not whole"
    if not answer.text.strip() and not answer.tool_calls:
        yield "it is empty"
    blocks = [block for piece in answer.unshown for block in piece.blocks]
    if any(is_more(block) for block in blocks):
        yield "it is more than text and calls"
    if answer.tool_calls and (thought or any(block.get("type") in THOUGHTS for block in blocks)):
        # Thoughts are not kept, and a provider refuses the results of calls whose thoughts are missing.
        yield "its calls rest on thoughts"
    said = [answer.text, *(part for call in answer.tool_calls for part in (call.name, call.raw))]
    if sum(len(part.encode("utf-8", "surrogatepass")) for part in said) > LARGEST_BYTES:
        yield f"it is larger than {LARGEST_BYTES // 1024} kB"


def is_more(block: Mapping[str, Any]) -> bool:
    """Whether a block holds what would be lost: neither text without sources, nor a thought, nor a call."""
    if is_tool_block(block):
        return False
    return is_content(block) or bool(block.get("annotations") or block.get("citations"))
