"""Repairs, on the outgoing copy, a history that other models wrote; the caller's messages stay as they are.

Integrations convert blocks by their type and do not ask whose they are, so that one provider's reasoning, cache
marks or tool ids reach another, which answers 400. What a wire repairs by itself is left to it: the order of roles
and hoisted system text (Anthropic, Google), a signature for unsigned calls (Google), media, the shape of calls.
Names and tool ids are repaired here although some wires do too, since the others send them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from .handover_blocks import (
    CALL_COPIES,
    TAKES_LATE_SYSTEM,
    THOUGHTS,
    is_empty,
    kind_of,
    plain_text,
    readable,
    unfolded,
)
from .handover_fit import is_fit
from .handover_ids import free_id
from .speaker import Speaker, is_own

__all__ = ["Repaired", "Speaker", "repaired", "unable"]

NO_RESULT = "This call was interrupted and has no result."
NOT_RUN = "This call was not run: its arguments were not a JSON object."


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A history that its reader can take.

    Attributes:
        messages: The messages; those that needed no change are the very same objects.
        changes: What was changed, in words, with how often.
    """

    messages: tuple[BaseMessage, ...]
    changes: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Slot:
    """A call and the place for its result; filled while a history is walked through.

    Attributes:
        call: The call as LangChain has it, under the id its reader is given; None for a provider's own kind of
            call, which is only in the content and gets no made-up result.
        key: The id it had.
        is_broken: Its arguments were no JSON object.
        result: What came of it.
        result_place: Where that stood in the history.
    """

    call: dict[str, Any] | None
    key: str
    is_broken: bool = False
    result: ToolMessage | None = None
    result_place: int = 0


@dataclass(slots=True)
class Log:
    """What was changed, counted."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, words: Iterable[str]) -> None:
        """Count some changes."""
        for word in words:
            self.counts[word] = self.counts.get(word, 0) + 1

    def told(self) -> tuple[str, ...]:
        """All changes in words, in the order they first came up."""
        return tuple(word if count == 1 else f"{word} ({count})" for word, count in self.counts.items())


def repaired(messages: tuple[BaseMessage, ...], to: Speaker) -> Repaired:
    """The history as `to` can take it; the same tuple if nothing had to change.

    Repairing twice changes nothing more, and a history that only grew is repaired to one that only grew, so that
    providers' prompt caches stay warm.
    """
    return Repaired(messages=messages) if is_fit(messages, to) else rebuilt(messages, to)


def rebuilt(messages: tuple[BaseMessage, ...], to: Speaker) -> Repaired:
    """As `repaired`, for a history of which is not known whether it needs a repair."""
    log = Log()
    read: list[BaseMessage] = []
    for message in messages:
        parts = unfolded(message)
        if len(parts) != 1 or parts[0] is not message:
            log.add(["tool results taken out of a human message"])
        for part in parts:
            seen, words = readable(part, to)
            read.append(seen)
            log.add(words)
    done = merged(in_place(paired(read, to, log), to, log), log)
    if len(done) == len(messages) and all(one is other for one, other in zip(done, messages, strict=True)):
        return Repaired(messages=messages)
    return Repaired(messages=tuple(done), changes=log.told())


def unable(messages: Sequence[BaseMessage], to: Speaker, *, thinking: bool) -> str | None:
    """Why a candidate cannot take this history, however it is repaired; None if it can.

    Claude refuses to think in the middle of a tool loop unless the loop begins with its own thoughts
    (pydantic-ai#3757), and to think when it has to go on from words that are put into its mouth.

    Args:
        messages: The history as the caller has it.
        to: The candidate.
        thinking: Whether the candidate is set to think, by a budget (`speaker.thinks`).
    """
    if not thinking or not to.is_claude:
        return None
    last = next((place for place in reversed(range(len(messages))) if isinstance(messages[place], AIMessage)), None)
    if last is None:
        return None
    message = messages[last]
    if not isinstance(message, AIMessage) or not (message.tool_calls or message.invalid_tool_calls):
        is_partial = last == len(messages) - 1 and not is_empty(message)
        return "a model that thinks cannot go on from a partial answer" if is_partial else None
    first = beginning(messages, message, last)
    if is_own(first, to) and isinstance(first.content, list) and first.content:
        return None if kind_of(first.content[0]) in THOUGHTS else f"{NOT_BEGUN} without thoughts"
    return f"{NOT_BEGUN} by {writer(first)}"


NOT_BEGUN = "a model that thinks cannot enter a tool loop that was begun"


def beginning(messages: Sequence[BaseMessage], last: AIMessage, place: int) -> AIMessage:
    """The answer that began the loop of the answer at a place; only there Claude thinks, unless it is told to."""
    first = last
    for message in reversed(messages[:place]):
        if isinstance(message, AIMessage):
            first = message
        elif isinstance(message, HumanMessage):
            break
    return first


def writer(message: AIMessage) -> str:
    """Who wrote a message, for people to read."""
    return str(message.response_metadata.get("model_name") or "an unknown model")


def paired(messages: Sequence[BaseMessage], to: Speaker, log: Log) -> list[BaseMessage]:
    """The messages with each call followed by its results, and under ids that `to` takes."""
    slots = matched(messages, to)
    placed = {slot.result_place for of_one in slots.values() for slot in of_one if slot.result is not None}
    done: list[BaseMessage] = []
    for place, message in enumerate(messages):
        if place in slots:
            done += [called(message, slots[place], log), *answers(slots[place], log)]
            last = max((slot.result_place for slot in slots[place]), default=place)
            if not all(isinstance(between, ToolMessage) for between in messages[place + 1 : last]):
                log.add(["tool results put next to their calls"])
        elif not isinstance(message, ToolMessage):
            done.append(message)
        elif place not in placed:
            log.add(["results without a call dropped"])
    return done


def matched(messages: Sequence[BaseMessage], to: Speaker) -> dict[int, list[Slot]]:
    """The calls of each message by the message's place, with their results.

    Some servers use an id again (`call_0`), so a result belongs to the last message before it that has its id.
    """
    slots: dict[int, list[Slot]] = {}
    waiting: dict[str, list[Slot]] = {}
    taken: set[str] = set()
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage):
            made = slots_of(message, to, taken)
            if made or message.invalid_tool_calls:
                slots[place] = made
            waiting.update({slot.key: [one for one in made if one.key == slot.key] for slot in made})
        elif isinstance(message, ToolMessage):
            slot = next((slot for slot in waiting.get(message.tool_call_id, ()) if slot.result is None), None)
            if slot is not None:
                slot.result, slot.result_place = message, place
    return slots


def slots_of(message: AIMessage, to: Speaker, taken: set[str]) -> list[Slot]:
    """The calls of a message. A broken one is a call without arguments: what has a result must stay a call."""
    own = is_own(message, to)
    given: list[tuple[dict[str, Any], bool]] = [(dict(call), False) for call in message.tool_calls]
    given += [
        ({"type": "tool_call", "id": call["id"], "name": call["name"], "args": {}}, True)
        for call in message.invalid_tool_calls
        if call["name"]
    ]
    slots = []
    for call, is_broken in given:
        key = call["id"] or ""
        id_ = key if own else free_id(key or unnamed(call), to, taken)
        taken.add(id_)
        slots.append(Slot(call={**call, "id": id_}, key=key, is_broken=is_broken))
    if own and isinstance(message.content, list):
        known = {slot.key for slot in slots}
        ids = [block.get("call_id") for block in message.content if isinstance(block, dict)]
        slots += [Slot(call=None, key=id_) for id_ in ids if isinstance(id_, str) and id_ not in known]
    return slots


def unnamed(call: dict[str, Any]) -> str:
    """What stands for the id of a call that was given none; the same in every step."""
    return f"{call['name']}{json.dumps(call['args'], sort_keys=True, default=str)}"


def called(message: BaseMessage, slots: Sequence[Slot], log: Log) -> BaseMessage:
    """A message with its calls as its reader is to see them."""
    calls = [slot.call for slot in slots if slot.call is not None]
    broken = [slot for slot in slots if slot.is_broken]
    if not isinstance(message, AIMessage) or (calls == message.tool_calls and not message.invalid_tool_calls):
        return message
    log.add("tool id mapped" for slot in slots if slot.call is not None and slot.call["id"] != slot.key)
    log.add("broken call made whole" for _ in broken)
    extras = {key: value for key, value in message.additional_kwargs.items() if key not in CALL_COPIES}
    return message.model_copy(update={"tool_calls": calls, "invalid_tool_calls": [], "additional_kwargs": extras})


def answers(slots: Sequence[Slot], log: Log) -> list[BaseMessage]:
    """The results of a message's calls, in the order they came; a made-up error for each call that has none."""
    done: list[BaseMessage] = []
    for slot in sorted(slots, key=lambda slot: slot.result_place):
        if slot.result is not None:
            id_ = slot.key if slot.call is None else slot.call["id"]
            is_same = slot.result.tool_call_id == id_
            done.append(slot.result if is_same else slot.result.model_copy(update={"tool_call_id": id_}))
    for slot in slots:
        if slot.call is not None and slot.result is None:
            log.add(["results made up for calls without one"])
            text = NOT_RUN if slot.is_broken else NO_RESULT
            call = slot.call
            done.append(ToolMessage(content=text, tool_call_id=call["id"], name=call["name"], status="error"))
    return done


def in_place(messages: Sequence[BaseMessage], to: Speaker, log: Log) -> list[BaseMessage]:
    """The messages with system messages only at the beginning, or where `to` takes them.

    A late one becomes a human message where it stands: moved to the front it would change the whole prompt, which
    the provider has cached.
    """
    if to.late_system is not False and to.family in TAKES_LATE_SYSTEM:
        return list(messages)
    done: list[BaseMessage] = []
    is_begun = False
    for place, message in enumerate(messages):
        is_begun = is_begun or not isinstance(message, SystemMessage)
        if is_begun and isinstance(message, SystemMessage) and not (to.late_system and may_stay(messages, place)):
            log.add(["late system message said by the user"])
            done.append(as_human(message))
        else:
            done.append(message)
    return done


def may_stay(messages: Sequence[BaseMessage], place: int) -> bool:
    """Whether a late system message is between the user's words and an answer, where Claude of late takes it.

    Anywhere else ChatAnthropic hoists it, or raises where there is a system message at the beginning already.
    """
    after = next((m for m in messages[place + 1 :] if not isinstance(m, SystemMessage)), None)
    before = next((m for m in reversed(messages[:place]) if not isinstance(m, SystemMessage)), None)
    return isinstance(before, HumanMessage | ToolMessage) and (after is None or isinstance(after, AIMessage))


def as_human(message: SystemMessage) -> HumanMessage:
    """A system message as the user's words, which say what they stand for."""
    opening, closing = "<system_message>\n", "\n</system_message>"
    if isinstance(message.content, str):
        return HumanMessage(content=f"{opening}{message.content}{closing}", id=message.id)
    blocks = [{"type": "text", "text": opening}, *message.content, {"type": "text", "text": closing}]
    return HumanMessage(content=blocks, id=message.id)


def merged(messages: Sequence[BaseMessage], log: Log) -> list[BaseMessage]:
    """The messages without empty ones of models, and with a model's texts in a row made one."""
    done: list[BaseMessage] = []
    for message in messages:
        if is_empty(message):
            log.add(["empty message dropped"])
        elif done and (joined := joint(done[-1], message)) is not None:
            log.add(["messages in a row merged"])
            done[-1] = joined
        else:
            done.append(message)
    return done


def joint(first: BaseMessage, second: BaseMessage) -> BaseMessage | None:
    """Two messages of models as one; None if they must stay two, such as those of two named agents."""
    if not (isinstance(first, AIMessage) and isinstance(second, AIMessage)):
        return None
    one, other = plain_text(first.content), plain_text(second.content)
    if first.tool_calls or first.name != second.name or not one or other is None:
        return None
    text = "\n\n".join(part for part in (one, other) if part)
    return second.model_copy(update={"content": text})
