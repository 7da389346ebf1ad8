"""Questions as steps ask them, for tests of what may be answered again."""

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.answering.answer import Answer
from steprouter.caching.entry import Entry, Near, Tally
from steprouter.caching.facets import facets_of
from steprouter.caching.policy import AnswerCache
from steprouter.caching.scope import Scope, Uncached, scope_of
from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, StepKind
from steprouter.store.keys import Keys

KEYS = Keys(secret=b"tests of answers, no secret at all")
CACHE = AnswerCache(read_only=["look_up"])
LOOK_UP = {"name": "look_up", "description": "Looks up.", "parameters": {"type": "object", "properties": {}}}
DELETE = {"name": "delete", "description": "Deletes.", "parameters": {"type": "object", "properties": {}}}
SYSTEM = SystemMessage("You answer questions on bikes.")
QUESTION = HumanMessage("How do I oil a chain?")
NOW = 1_800_000_000.0


def asking(
    *messages: BaseMessage,
    cache: AnswerCache = CACHE,
    place: Place | None = None,
    kind: StepKind | None = StepKind.ANSWER,
    tools: Any = (),
    tool_choice: Any = None,
    response_format: Any = None,
    stop: tuple[str, ...] = (),
    floor: str = "",
    heat: float | None = None,
    **settings: Any,
) -> Scope | Uncached:
    """What a step at temperature 0 is answered by; of the usual question where no messages are given."""
    toolset = Toolset.of(tools, tool_choice=tool_choice, response_format=response_format)
    ask = Ask(
        messages=messages or (SYSTEM, QUESTION), tools=toolset, stop=stop, settings={"temperature": 0, **settings}
    )
    place = place or Place(tenant="acme", node="faq")
    nodes = {} if kind is None or place.node is None else {place.node: kind}
    step = read_step(ask, place, step_id="s1", started_at=NOW, nodes=nodes)
    return scope_of(step, ask, cache, digest=KEYS.digest, floor=floor, heat=heat)


def scoped(*messages: BaseMessage, **asked: Any) -> Scope:
    """The scope of a step that has one."""
    scope = asking(*messages, **asked)
    assert isinstance(scope, Scope), scope.reasons
    return scope


def refused(*messages: BaseMessage, **asked: Any) -> str:
    """Why a step has none, in one text."""
    uncached = asking(*messages, **asked)
    assert isinstance(uncached, Uncached)
    return "; ".join(uncached.reasons)


def round_of(name: str, result: str, *, one: str = "c1", args: dict[str, Any] | None = None) -> list[BaseMessage]:
    """A call of a tool and its result."""
    call = {"name": name, "args": args or {}, "id": one, "type": "tool_call"}
    return [AIMessage("", tool_calls=[call]), ToolMessage(result, tool_call_id=one, name=name)]


def entry(text: str = "How do I oil a chain?", *, scope: str = "s", **fields: Any) -> Entry:
    """A kept answer to a text."""
    known: dict[str, Any] = {
        "id": f"of {text}",
        "scope": scope,
        "text": text,
        "facets": facets_of(text),
        "answer": Answer(text="Sparingly."),
        "model": "small",
        "kind": "answer",
        "step_id": "s0",
        "created_at": NOW - 60,
        "expires_at": NOW + 60,
    }
    return Entry(**{**known, **fields})


def near(text: str, similarity: float = 0.95, *, right: float = 0.0, wrong: float = 0.0, **fields: Any) -> Near:
    """A kept answer to a text like the one that is asked."""
    return Near(entry=entry(text, **fields), similarity=similarity, tally=Tally(right=right, wrong=wrong))
