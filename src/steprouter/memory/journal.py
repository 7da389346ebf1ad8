"""The journal of an unfinished stream: what it has said, and to which call of a resumed graph it belongs.

It lies under what does not change when a graph is resumed: the thread, the nodes and positions that lead to the call
without the ids that LangGraph draws anew, the super-step, and a keyed digest of the whole prompt. The id of the task
is kept beside it. A task of the same id is the same execution; without that, the same place and the same prompt will
do only for what a process left that died, because whoever lives to see an error has its checkpoint written, and
LangGraph gives the same id again. Several calls of one prompt in one task need no number: each claims another journal.

An answer that was given has no journal, so a node that fails after its model asks anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..answering.answer import ToolCall
from ..answering.shape import strict_object
from ..step.ask import Ask
from ..step.digests import prefix_digests, written
from ..step.step import Place

PROMPT_BYTES = 16
"""128 bits: no two prompts of a thread meet by chance, and nobody without the key can make them meet."""

KEY_BYTES = 64
"""What BLAKE2b takes at most (RFC 7693)."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """Where the journal of a call is looked for and kept.

    Attributes:
        tenant: Whose it is.
        thread: The conversation.
        user: On whose behalf the agent works, if anybody said.
        task: LangGraph's id of the node's execution.
        name: Thread, path without ids, super-step and prompt, as one text.
        may_be_another_task: Whether a journal will do that another task began. Not where the super-step is unknown,
            nor in a run that begins at a checkpoint its caller named: that is time travel.
    """

    tenant: str
    thread: str
    user: str | None = None
    task: str
    name: str
    may_be_another_task: bool = True


@dataclass(frozen=True, slots=True)
class Began:
    """A model is asked, for the first time or for the rest.

    Attributes:
        model: Which one.
        attempt: The attempt's id.
        goes_on: Whether it goes on with what was said before; else it begins the answer anew.
    """

    model: str
    attempt: str = ""
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Stood:
    """How things stand, in place of what stood before: of the seam, of tokens. Opaque to the journal; JSON only."""

    facts: Mapping[str, Any]


Line = str | Began | ToolCall | Stood
"""What a journal is made of, in order: text that was shown, beginnings of attempts, whole tool calls, facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one attempt said of an answer.

    Attributes:
        model: Who.
        attempt: The attempt's id.
        text: What of it was shown.
        calls: Its whole tool calls, which nobody has seen.
    """

    model: str = ""
    attempt: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """What an unfinished answer has said so far.

    Attributes:
        run: Names the answer, through all processes that go on with it.
        owner: Who writes it now; a claim names the owner it takes it from.
        task: A digest of the task that writes it.
        began_at: Unix time in seconds.
        is_left: Whether its owner lived to leave it.
        lines: All of it, in order; texts that followed one another may have become one.
        length: How many lines there were when they were written.
    """

    run: str
    owner: str
    task: str
    began_at: float
    is_left: bool = False
    lines: tuple[Line, ...] = field(default=(), repr=False)
    length: int = 0

    @property
    def standing(self) -> tuple[Line, ...]:
        """The lines that count: an attempt that did not go on with what was there has begun anew."""
        begun = [at for at, line in enumerate(self.lines) if isinstance(line, Began) and not line.goes_on]
        return self.lines[begun[-1] :] if begun else self.lines

    @property
    def text(self) -> str:
        """All text that was said, up to the last whole word."""
        return "".join(line for line in self.standing if isinstance(line, str))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The same by attempts, in order."""
        found: list[Segment] = []
        for begun, run in groupby(numbered(self.standing), key=lambda one: one[0]):
            lines = [line for _, line in run]
            first = lines[0] if isinstance(lines[0], Began) else Began("")
            text = "".join(line for line in lines if isinstance(line, str))
            calls = tuple(line for line in lines if isinstance(line, ToolCall))
            if begun or text or calls:
                found.append(Segment(model=first.model, attempt=first.attempt, text=text, calls=calls))
        return tuple(found)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Whole tool calls of the attempt that spoke last."""
        return self.segments[-1].calls if self.segments else ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """How things stood last."""
        return next((line.facts for line in reversed(self.standing) if isinstance(line, Stood)), {})

    @property
    def says_something(self) -> bool:
        """Whether there is anything to go on from."""
        return any(isinstance(line, str | ToolCall) for line in self.standing)


def numbered(lines: Iterable[Line]) -> Iterable[tuple[int, Line]]:
    """Each line with the number of its attempt; 0 before the first."""
    number = 0
    for line in lines:
        number += isinstance(line, Began)
        yield number, line


def pick(entries: Iterable[JournalEntry], task: str, *, may_be_another_task: bool) -> JournalEntry | None:
    """The journal that belongs to a call, of those that lie in its place; of several the oldest.

    Args:
        entries: Those that nobody in this process is writing.
        task: The digest of the call's own task.
        may_be_another_task: As of the place.
    """
    able = [entry for entry in entries if entry.says_something]
    same = [entry for entry in able if entry.task == task]
    others = [entry for entry in able if may_be_another_task and not entry.is_left]
    return min(same or others, key=lambda entry: (entry.began_at, entry.run), default=None)


def place_of(place: Place, prompt: str) -> JournalPlace | None:
    """Where the journal of a call is kept; None outside a graph's thread, where nothing is resumed.

    Args:
        place: Where the call is made.
        prompt: The digest of what it asks.
    """
    if place.thread is None or place.task is None:
        return None
    position = written(place.metadata.get("langgraph_path"))
    path = UUID.sub("", f"{place.namespace} {place.node} {position}")
    return JournalPlace(
        tenant=place.tenant,
        thread=place.thread,
        user=place.user,
        task=place.task,
        name=json.dumps([place.thread, path, place.graph_step, prompt]),
        may_be_another_task=place.graph_step is not None and not place.metadata.get("checkpoint_id"),
    )


def prompt_digest(ask: Ask, key: bytes, asked: str | None = None) -> str:
    """A keyed digest of all that a model is asked.

    Ids of messages do not count, and those of tool calls only by their order: tools that run again after a crash get
    new ones. What Python cannot write alike in two processes (an object among the settings) is another prompt: the
    answer is then asked for anew.

    Args:
        ask: What is asked.
        key: Keys the digest.
        asked: The digest of its messages under the same key (`Trail.asked`), if that was taken already.
    """
    digest = blake2b(digest_size=PROMPT_BYTES, key=key[:KEY_BYTES], person=b"journal")
    tools, wanted = ask.tools, ask.tools.response_format
    parts = [
        asked or next(reversed(prefix_digests(ask.messages, key)), None),
        besides(ask.messages),
        tools.schemas,
        None if tools.choice is None else [tools.choice.mode, tools.choice.name],
        f"{wanted.__module__}.{wanted.__qualname__}" if isinstance(wanted, type) else wanted,
        sorted(tools.options.items()),
        ask.stop,
        sorted(ask.settings.items()),
    ]
    for part in parts:
        text = written(part).encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def besides(messages: Sequence[BaseMessage]) -> list[Any]:
    """What messages say to a model besides what `prefix_digests` reads: names, and which result is of which call.

    Ids of calls become numbers in the order they come.
    """
    numbers: dict[str | None, int] = {}
    found: list[Any] = []
    for at, message in enumerate(messages):
        if message.name is not None:
            found.append([at, message.name])
        if isinstance(message, AIMessage):
            ids = [call["id"] for call in message.tool_calls]
            found += [[at, numbers.setdefault(one, len(numbers))] for one in ids]
            found += [[at, call["name"], call["args"]] for call in message.invalid_tool_calls]
        elif isinstance(message, ToolMessage):
            found.append([at, numbers.setdefault(message.tool_call_id, len(numbers))])
    return found


def encode(lines: Sequence[Line]) -> bytes:
    """Some lines of a journal as bytes, texts that follow one another as one.

    Raises:
        TypeError: Facts are not JSON.
        ValueError: The same.
    """
    kept: list[Any] = [len(lines)]
    texts: list[str] = []
    for line in lines:
        if isinstance(line, str):
            texts.append(line)
            continue
        kept += ["".join(texts), shortened(line)] if texts else [shortened(line)]
        texts = []
    kept += ["".join(texts)] if texts else []
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def shortened(line: Line) -> dict[str, Any]:
    """A line that is no text, as JSON."""
    match line:
        case Began():
            return {"b": [line.model, line.attempt, *([True] if line.goes_on else [])]}
        case ToolCall():
            return {"c": [line.id, line.name, line.raw]}
        case Stood():
            return {"s": dict(line.facts)}
    raise TypeError(f"a journal keeps no {type(line).__name__}")


def decode(text: bytes) -> tuple[int, list[Line]]:
    """How many lines were encoded, and those lines with texts joined.

    Raises:
        ValueError: These are no lines of a journal.
    """
    try:
        number, *lines = json.loads(text.decode("utf-8", "surrogatepass"))
        if not isinstance(number, int) or number < len(lines):
            raise ValueError(f"{number!r} lines")
        return number, [line if isinstance(line, str) else lengthened(line) for line in lines]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"these are no lines of a journal: {error}") from error


def lengthened(kept: Mapping[str, Any]) -> Line:
    """A line from its JSON.

    Raises:
        ValueError: It is none.
    """
    match kept:
        case {"b": [str(model), str(attempt), *goes_on]}:
            return Began(model, attempt, bool(goes_on))
        case {"c": [str() | None as one, str(name), str(raw)]}:
            return ToolCall(id=one, name=name, args=strict_object(raw), raw=raw)
        case {"s": dict(facts)}:
            return Stood(facts)
    raise ValueError("an unknown line")
