"""What must be the same for an answer to be given again, as digests that only the deployment can make.

The exact scope is all that a model is asked, by whom and under which policy. The semantic scope is the same without the
last human text, which may then be put in other words. What is compared to the letter is never compared by likeness:
instructions, tools, settings, earlier messages, results of tools. So the same words after another result of a tool are
another question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..models.card import ModelCard
from ..step.ask import Ask
from ..step.read import after_last_human
from ..step.step import Step, StepKind
from .asked import conditions, said, written
from .facets import Facets, facets_of
from .passing import is_time_dependent
from .plain import LONGEST_CHARS
from .policy import AnswerCache
from .worth import worth_keeping

__all__ = ["Scope", "Uncached", "heat_of", "name_of_result", "scope_of", "worth_keeping"]

VERSION = "1"
"""Of what the digests are made of; answers of another version are not found."""

ALIKE_KINDS = frozenset({StepKind.ANSWER, StepKind.CHAT, StepKind.CLASSIFY, StepKind.EXTRACT, StepKind.SUMMARIZE})
"""Kinds of step whose answer depends on what is meant. Plans and code are made for the very words."""

COUNTS = ("n", "best_of", "candidate_count", "num_return_sequences")
"""How callers ask for several answers."""

SEARCHING = frozenset(
    {"web_search_options", "search_parameters", "enable_search", "plugins", "data_sources", "mcp_servers"}
)
"""Settings with which a provider looks something up before it answers: OpenAI's, xAI's, DashScope's, OpenRouter's,
Azure's and Anthropic's."""

NESTED = ("extra_body", "model_kwargs")
"""Settings that hold others, for a provider's own."""

LAST_TURNS = 3
"""Human messages that are searched for words of time: "and in Oslo?" may follow on "is it raining today?"."""

END_CHARS = 500
"""Of a longer text, how much of its beginning and its end: that is where a task stands that comes with a document, in
which every "today" would count otherwise."""

PROSE = frozenset(
    {"text", "thinking", "reasoning", "summary", "input", "args", "arguments", "annotations", "citations"}
)
"""Where blocks have words and arguments of calls, in which an address is but named."""

TOLD_TOOLS = 3
"""Tools that a reason names."""

Digest = Callable[..., str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an answer is looked for by.

    Attributes:
        exact: The digest of the whole question.
        semantic: The digest of all but its last human text; None where meaning is not compared.
        text: That text; empty where meaning is not compared.
        facets: What the text says; None where meaning is not compared.
        alike: The digest that all questions share which say the same once read; None where meaning is not compared.
        why_not: Why meaning is not compared; empty where it is.
    """

    exact: str
    semantic: str | None = None
    text: str = field(default="", repr=False)
    facets: Facets | None = field(default=None, repr=False)
    alike: str | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncached:
    """Why a step's answer is neither looked for nor kept.

    Attributes:
        reasons: In words, without what was asked.
    """

    reasons: tuple[str, ...]


def scope_of(
    step: Step, ask: Ask, cache: AnswerCache, *, digest: Digest, floor: str, heat: float | None = None
) -> Scope | Uncached:
    """What the answer to a step is looked for by, or why it is not.

    Args:
        step: The step.
        ask: What is asked.
        cache: What the user allows.
        digest: A keyed digest of texts; different texts have different ones.
        floor: What is asked of who answers, as a text.
        heat: The temperature that models take where the step sets none (`heat_of`); None where that is not known.
    """
    if reasons := tuple(objections(step, ask, cache, heat)):
        return Uncached(reasons=reasons)
    try:
        frame, told = conditions(ask), list(map(written, said(ask.messages)))
    except (TypeError, ValueError, RecursionError):
        return Uncached(reasons=("something is asked that has no text of its own",))
    place = step.place
    user = "" if cache.personal == "never" or place.user is None else f"u{place.user}"
    known = ["answers", VERSION, place.tenant, user, place.node or "", str(step.kind), floor, repr(heat), frame]
    exact = digest(*known, "exact", *told)
    why_not, text = unlike(step, ask, cache), human_text(ask.messages)
    facets = None if why_not or text is None else facets_of(text)
    if text is None or facets is None or not facets.items:
        return Scope(exact=exact, why_not=why_not or "there is too much or too little to be compared by meaning")
    last = ask.messages[-1]
    semantic = digest(*known, "semantic", *told[:-1], written([last.name, last.additional_kwargs]))
    alike = digest(semantic, "alike", facets.language, *facets.items)
    return Scope(exact=exact, semantic=semantic, text=text, facets=facets, alike=alike)


def heat_of(cards: Iterable[ModelCard]) -> float | None:
    """The temperature that models take where a step sets none: the highest; None where one of them states none."""
    stated: list[float] = []
    for card in cards:
        heat = card.settings.get("temperature", getattr(card.model, "temperature", None))
        if isinstance(heat, bool) or not isinstance(heat, int | float):
            return None
        stated.append(heat)
    return max(stated, default=None)


def objections(step: Step, ask: Ask, cache: AnswerCache, heat: float | None) -> list[str]:
    """Why an answer is neither looked for nor kept, in words."""
    found = objections_to_settings(ask.settings, cache, heat)
    if ask.tools.builtin:
        found.append("tools of the provider are bound")
    if ask.tools.may_be_called and (unread := not_read_only(ask.tools.names, cache.read_only)):
        found.append(f"tools may be called that are not declared read-only ({unread})")
    recent = after_last_human(ask.messages)
    called = [name_of_result(recent, message) for message in recent if isinstance(message, ToolMessage)]
    if unread := not_read_only(called, cache.read_only):
        found.append(f"tools were called that are not declared read-only ({unread})")
    if any(has_address(message.content) for message in ask.messages):
        found.append("an attachment lies behind an address, where it may change")
    if passes_with_time(ask.messages):
        found.append("the answer may be another tomorrow")
    if cache.personal == "always" and step.place.user is None:
        found.append("no user is named")
    return found


def objections_to_settings(settings: Mapping[str, Any], cache: AnswerCache, heat: float | None) -> list[str]:
    """What settings forbid, in words."""
    found = []
    stated = settings.get("temperature")
    if (hot := objection_to_heat(heat if stated is None else stated, cache)) is not None:
        found.append(hot)
    several = any(settings.get(name) not in (None, 1) for name in COUNTS)
    if several or settings.get("logprobs") not in (None, False) or settings.get("top_logprobs"):
        found.append("several answers, or their odds, are asked for")
    nested = [inner for name in NESTED if isinstance(inner := settings.get(name), Mapping)]
    if any(one.get(name) for one in (settings, *nested) for name in SEARCHING & one.keys()):
        found.append("the provider may look something up")
    return found


def objection_to_heat(heat: object, cache: AnswerCache) -> str | None:
    """Why the temperature forbids it; None where it does not."""
    if cache.max_temperature is None:
        return None
    if heat is None:
        return "no temperature is set, so that answers differ by chance"
    if isinstance(heat, int | float) and heat <= cache.max_temperature:
        return None
    return f"the temperature is above {cache.max_temperature:g}"


def not_read_only(names: Sequence[str], read_only: Collection[str]) -> str:
    """The tools that are not declared read-only, the first few by name."""
    others = list(dict.fromkeys(name for name in names if name not in read_only))
    return ", ".join([*others[:TOLD_TOOLS], *(["…"] if len(others) > TOLD_TOOLS else [])])


def name_of_result(messages: Sequence[BaseMessage], result: ToolMessage) -> str:
    """The tool a result is of: by the call that asked for it, else as the result says; `?` where nobody says.

    Args:
        messages: Where the result stands. Of several calls of one id the last before it is meant, since some providers
            number the calls of each turn anew.
        result: One of them.
    """
    name = None
    for message in messages:
        if message is result:
            break
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            name = call["name"] if call["id"] == result.tool_call_id else name
    return name or result.name or "?"


def has_address(value: Any) -> bool:
    """Whether something in a content is to be fetched by whoever answers."""
    if isinstance(value, list | tuple):
        return any(has_address(one) for one in value)
    if not isinstance(value, Mapping):
        return False
    return any(
        is_address(one) if isinstance(one, str) else has_address(one)
        for name, one in value.items()
        if name not in PROSE
    )


def is_address(text: str) -> bool:
    """Whether a text is the address of something, and not the thing itself."""
    scheme, slashes, _ = text[:20].partition("://")
    return bool(slashes) and scheme.isascii() and scheme.replace("+", "").isalnum()


def passes_with_time(messages: Sequence[BaseMessage]) -> bool:
    """Whether what was asked last may have another answer tomorrow; results of tools say for themselves what is."""
    if messages and isinstance(messages[-1], ToolMessage):
        return False
    asked = [message for message in messages if message.type == "human"][-LAST_TURNS:]
    return any(is_time_dependent(end) for message in asked for end in ends(message.text))


def ends(text: str) -> tuple[str, ...]:
    """A text, or the beginning and the end of a long one."""
    return (text,) if len(text) <= LONGEST_CHARS else (text[:END_CHARS], text[-END_CHARS:])


def unlike(step: Step, ask: Ask, cache: AnswerCache) -> str:
    """Why meaning is not compared; empty where it is."""
    needs = step.needs
    if not cache.semantic:
        return "answers are compared to the letter only"
    if not cache.compares_at(step.place.node):
        return "the node is not among those whose questions are compared by meaning"
    if step.kind not in ALIKE_KINDS:
        return f"what a {step.kind} step asks is compared to the letter only"
    if ask.tools.may_be_called:
        return "tools may be called"
    if needs.images or needs.audio or needs.files:
        return "there is more than text"
    if human_text(ask.messages) is None:
        return "the last message is no human's text"
    return ""


def human_text(messages: Sequence[BaseMessage]) -> str | None:
    """The last message, where it is a human's and nothing but text."""
    last = messages[-1] if messages else None
    if last is None or last.type != "human":
        return None
    if isinstance(last.content, str):
        return last.content
    blocks = last.content
    if len(blocks) == 1 and isinstance(blocks[0], Mapping) and blocks[0].keys() <= {"type", "text"}:
        return str(blocks[0].get("text", ""))
    return None
