"""What must be the same for an answer to be given again, as digests that only the deployment can make.

The exact scope is all that a model is asked, by whom and under which policy. The semantic scope is the same without the
last human text, which may then be put in other words. What is compared to the letter is never compared by likeness:
instructions, tools, settings, earlier messages, results of tools. So the same words after another result of a tool are
another question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..answering.attempt import Attempt
from ..answering.check import CUT_FINISHES, is_refused
from ..step.ask import Ask
from ..step.digests import written
from ..step.step import Step, StepKind
from .facets import Facets, facets_of
from .passing import is_time_dependent
from .policy import AnswerCache

VERSION = "1"
"""Of what the digests are made of; answers of another version are not found."""

ALIKE_KINDS = frozenset({StepKind.ANSWER, StepKind.CHAT, StepKind.CLASSIFY, StepKind.EXTRACT, StepKind.SUMMARIZE})
"""Kinds of step whose answer depends on what is meant. Plans and code are made for the very words."""

LARGEST_CHARS = 65_536
"""Of an answer that is kept; what is longer is no answer that many ask for."""

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


def scope_of(step: Step, ask: Ask, cache: AnswerCache, *, digest: Digest, floor: str) -> Scope | Uncached:
    """What the answer to a step is looked for by, or why it is not.

    Args:
        step: The step.
        ask: What is asked.
        cache: What the user allows.
        digest: A keyed digest of texts; different texts have different ones.
        floor: What is asked of who answers, as a text.
    """
    if reasons := tuple(objections(step, ask, cache)):
        return Uncached(reasons=reasons)
    place = step.place
    user = "" if cache.personal == "never" or place.user is None else f"u{place.user}"
    frame = ["answers", VERSION, place.tenant, user, place.node or "", str(step.kind), floor, frame_of(ask)]
    exact = digest(*frame, "exact", written(told(ask.messages)))
    why_not = unlike(step, ask, cache)
    text = human_text(ask.messages)
    facets = None if why_not or text is None else facets_of(text)
    if text is None or facets is None:
        return Scope(exact=exact, why_not=why_not or "the question is too long to be compared by meaning")
    rest = written([*told(ask.messages[:-1]), ["human", ask.messages[-1].name]])
    semantic = digest(*frame, "semantic", rest)
    alike = digest(semantic, "alike", facets.language, *facets.items)
    return Scope(exact=exact, semantic=semantic, text=text, facets=facets, alike=alike)


def objections(step: Step, ask: Ask, cache: AnswerCache) -> list[str]:
    """Why an answer is neither looked for nor kept, in words."""
    found = []
    if (heat := objection_to_heat(ask.settings, cache)) is not None:
        found.append(heat)
    if any(ask.settings.get(name) not in (None, False, 0, 1) for name in ("n", "logprobs", "top_logprobs")):
        found.append("several answers, or their odds, are asked for")
    if ask.tools.builtin:
        found.append("tools of the provider are bound")
    if ask.tools.may_be_called and (unread := not_read_only(ask.tools.names, cache.read_only)):
        found.append(f"tools may be called that are not declared read-only ({unread})")
    called = [name_of_result(ask.messages, message) for message in ask.messages if isinstance(message, ToolMessage)]
    if unread := not_read_only(called, cache.read_only):
        found.append(f"tools were called that are not declared read-only ({unread})")
    if any(has_address(message.content) for message in ask.messages):
        found.append("an attachment lies behind an address, where it may change")
    last = human_text(ask.messages)
    if last is not None and is_time_dependent(last):
        found.append("the answer may be another tomorrow")
    if cache.personal == "always" and step.place.user is None:
        found.append("no user is named")
    return found


def objection_to_heat(settings: Mapping[str, Any], cache: AnswerCache) -> str | None:
    """Why the temperature forbids it; None where it does not."""
    if cache.max_temperature is None:
        return None
    heat = settings.get("temperature")
    if heat is None:
        return "no temperature is set, so that answers differ by chance"
    if isinstance(heat, int | float) and heat <= cache.max_temperature:
        return None
    return f"the temperature is above {cache.max_temperature:g}"


TOLD_TOOLS = 3


def not_read_only(names: Sequence[str], read_only: Collection[str]) -> str:
    """The tools that are not declared read-only, the first few by name."""
    others = list(dict.fromkeys(name for name in names if name not in read_only))
    return ", ".join([*others[:TOLD_TOOLS], *(["…"] if len(others) > TOLD_TOOLS else [])])


def name_of_result(messages: Sequence[BaseMessage], result: ToolMessage) -> str:
    """The tool a result is of: by the call that asked for it, else as the result says; `?` where nobody says."""
    for message in messages:
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                if call["id"] == result.tool_call_id:
                    return call["name"]
    return result.name or "?"


def has_address(content: Any) -> bool:
    """Whether something in it is to be fetched by whoever answers."""
    blocks = content if isinstance(content, list) else []
    return any(is_address(block) for block in blocks)


def is_address(value: Any) -> bool:
    """Whether a block names what is to be fetched."""
    if not isinstance(value, Mapping) or value.get("type") in ("text", "thinking", "tool_use"):
        return False
    inner = [*value.values(), *(one for part in value.values() if isinstance(part, Mapping) for one in part.values())]
    return any(isinstance(one, str) and one[:8].lower().startswith(("http:", "https:")) for one in inner)


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


def frame_of(ask: Ask) -> str:
    """All that is asked besides messages, as a text that is the same in every process."""
    tools, wanted = ask.tools, ask.tools.response_format
    form = f"{wanted.__module__}.{wanted.__qualname__}" if isinstance(wanted, type) else wanted
    schema = wanted.model_json_schema() if isinstance(wanted, type) and hasattr(wanted, "model_json_schema") else None
    return written(
        [
            sorted(tools.schemas, key=written),
            None if tools.choice is None else [tools.choice.mode, tools.choice.name],
            [form, schema],
            sorted(tools.options.items()),
            list(ask.stop),
            sorted(ask.settings.items()),
        ]
    )


def told(messages: Sequence[BaseMessage]) -> list[Any]:
    """What messages say to a model: not their ids, and those of tool calls only by their order."""
    numbers: dict[str | None, int] = {}
    found: list[Any] = []
    for message in messages:
        one: list[Any] = [message.type, message.name, plain_content(message)]
        if isinstance(message, AIMessage):
            calls = [[numbers.setdefault(c["id"], len(numbers)), c["name"], c["args"]] for c in message.tool_calls]
            one += [calls, [[c["name"], c["args"]] for c in message.invalid_tool_calls]]
        elif isinstance(message, ToolMessage):
            one += [numbers.setdefault(message.tool_call_id, len(numbers)), message.status]
        found.append(one)
    return found


def plain_content(message: BaseMessage) -> Any:
    """The content of a message; of a model's own blocks without the ids its provider gave them."""
    if not isinstance(message, AIMessage) or isinstance(message.content, str):
        return message.content
    return [
        {name: value for name, value in block.items() if name not in ("id", "index")}
        if isinstance(block, dict)
        else block
        for block in message.content
    ]


def worth_keeping(given: Attempt) -> tuple[str, ...]:
    """Why the answer of a step is not kept, in words; empty where it is."""
    answer = given.answer
    if answer is None:
        return ("there is no answer",)
    found = []
    if given.is_given_without_a_call:
        found.append("no model gave it")
    if given.problems:
        found.append(f"it failed a check: {given.problems[0]}")
    if given.resumed is not None and given.resumed.left != given.resumed.model:
        found.append("two models wrote it")
    if given.redacted:
        found.append("what was asked had been redacted")
    if is_refused(answer):
        found.append("it is a refusal")
    elif answer.finish is None or answer.finish in CUT_FINISHES:
        found.append("it is not whole")
    if not answer.text.strip() and not answer.tool_calls:
        found.append("it is empty")
    if len(answer.text) > LARGEST_CHARS:
        found.append(f"it is longer than {LARGEST_CHARS} characters")
    return tuple(found)
