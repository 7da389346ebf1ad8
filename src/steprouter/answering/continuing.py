"""What is sent to a model that goes on with an answer that broke off: the same ask, with what was said so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ..step.ask import LIMIT_KEYS, Ask
from .continuing_language import language_of
from .continuing_phrases import ANY_LANGUAGE, PHRASES
from .resume import Rung, Salvage, tokens_left
from .seam import Promise, Seam, sendable

QUOTED_CHARS = 2_000
"""So much of the end is quoted at most. The whole partial answer stands before it as the assistant's own turn."""

FEWEST_TOKENS = 16
"""OpenAI's Responses refuse a smaller limit."""

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s")

PROMISES = {
    Rung.CURSOR: Promise.EXACT,
    Rung.PREFILL: Promise.PARTIAL_TURN,
    Rung.INSTRUCTION: Promise.ASKED,
}
"""What may come back from each way on."""


def continued(ask: Ask, salvage: Salvage, rung: Rung) -> Ask:
    """What to send so that an answer goes on; the very same ask for a restart, and for a cursor.

    A turn that is partial has no white space at its end. The limit of the answer is what is left of it; what may
    stop it stays as it is, and `seam_for` watches for what lies across the seam.
    """
    if rung not in (Rung.PREFILL, Rung.INSTRUCTION) or not salvage.shown:
        return ask
    messages = (*earlier(ask.messages), AIMessage(content=said_so_far(ask.messages) + sendable(salvage.shown)))
    if rung is Rung.INSTRUCTION:
        messages = (*messages, HumanMessage(content=instruction(ask.messages, salvage)))
    tools = ask.tools
    if salvage.is_structured:
        # Who is held to a format begins it anew; the whole is checked against it instead.
        tools = replace(tools, response_format=None)
    return replace(ask, messages=messages, tools=tools, settings=within_limit(ask, salvage))


def seam_for(ask: Ask, salvage: Salvage, rung: Rung) -> Seam:
    """What joins the continuation to what was shown."""
    return Seam(salvage.shown, salvage.fragment, PROMISES[rung], fence=open_fence(salvage.shown), stop=ask.stop)


def within_limit(ask: Ask, salvage: Salvage) -> dict[str, Any]:
    """The settings of a call, with what is left of the longest answer the caller wants."""
    settings, left = dict(ask.settings), tokens_left(ask, salvage)
    if left is None:
        return settings
    return {key: max(left, FEWEST_TOKENS) if key in LIMIT_KEYS and value else value for key, value in settings.items()}


def earlier(messages: Sequence[BaseMessage]) -> tuple[BaseMessage, ...]:
    """The conversation without a partial turn of the caller's own, which the answer goes on from."""
    return tuple(messages[:-1]) if said_so_far(messages) else tuple(messages)


def said_so_far(messages: Sequence[BaseMessage]) -> str:
    """What the caller has put into the model's mouth already; empty where that is nothing."""
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and isinstance(last.content, str) and not last.tool_calls:
        return last.content
    return ""


def instruction(messages: Sequence[BaseMessage], salvage: Salvage) -> str:
    """The user turn that asks for the rest, in the language of the answer, or else of the conversation.

    The quoted end is the model's own words, marked as a quotation: it may repeat what a page or a tool said, and
    must not read as the user's wish.
    """
    spoken = (salvage.shown, *(m.text for m in reversed(messages) if isinstance(m, HumanMessage)))
    language = next((found for text in spoken if (found := language_of(text)) is not None), "")
    phrases = PHRASES.get(language, ANY_LANGUAGE)
    wanted = [phrases.cut_off]
    if (fence := open_fence(salvage.shown)) is not None:
        wanted.append(phrases.in_code.format(fence=fence))
    elif is_in_list(salvage.shown):
        wanted.append(phrases.in_list)
    if salvage.open_call:
        wanted.append(phrases.call.format(tool=salvage.open_call))
    return f"{' '.join(wanted)}\n\n{phrases.ended_with}\n<quote>{quoted_end(salvage.shown)}</quote>"


def quoted_end(shown: str) -> str:
    """The end of a text, from the beginning of a word on, that cannot close its quotation."""
    end = sendable(shown)
    if len(end) > QUOTED_CHARS:
        end = end[-QUOTED_CHARS:]
        first = next((at for at, char in enumerate(end[:80]) if char.isspace()), -1)
        end = end[first + 1 :]
    return end.replace("</quote>", "</ quote>")


def open_fence(text: str) -> str | None:
    """The line that opened the block of code in which a text ends, as CommonMark has it; None if it ends in none."""
    opened: tuple[str, str] | None = None
    for line in text.splitlines():
        found = FENCE.match(line)
        if found is None:
            continue
        marks, after = found[1], found[2].strip()
        if opened is None:
            opened = (marks, line.strip()) if "`" not in after or marks[0] == "~" else None
        elif not after and marks[0] == opened[0][0] and len(marks) >= len(opened[0]):
            opened = None
    return None if opened is None else opened[1]


def is_in_list(text: str) -> bool:
    """Whether the last line of a text is an item of a list."""
    lines = text.rstrip().splitlines()
    return bool(lines) and LIST_ITEM.match(lines[-1] + " ") is not None
