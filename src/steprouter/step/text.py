"""The texts of a step: what a human asked, and what memory compares steps by.

`docs/step-text.md` has the measurements behind what is taken, `benchmarks/step_text.py` repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

TEXT_VERSION = 1
"""Rises with each change of what `step_text` takes, as vectors of two compositions must never be compared."""

STEP_TEXT_CHARACTERS = 2_000
"""Of what a human said. 1 000 foretell a little less; beyond 2 048 the embedder of the package reads nothing."""

RESULT_CHARACTERS = 200
"""Of the tools' results. 500 foretell less where results are records, 50 where they are tracebacks."""

NAMES_CHARACTERS = 200
"""Of the called tools' names, so that a hundred parallel calls do not crowd out their results."""


def step_text(messages: Sequence[BaseMessage]) -> str:
    """What is embedded of a step: what was called and what came back, or else what a human asked.

    Only the end of the conversation counts: system prompts, the goal and the answers before are the same for
    many steps, which makes them resemble each other without telling them apart.
    """
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            return called_and_given(message, results[::-1]) if results else asked_text(messages)
        results.append(message)
    return called_and_given(None, results[::-1])


def called_and_given(caller: BaseMessage | None, results: Sequence[ToolMessage]) -> str:
    """The names of called tools and the beginning of what they gave.

    Args:
        caller: The message before the results, whose calls have the names; where it has none, results may.
        results: In their order.
    """
    called = caller.tool_calls if isinstance(caller, AIMessage) else []
    names = [call["name"] for call in called] or [message.name for message in results if message.name]
    given, room = [], RESULT_CHARACTERS
    for message in results:
        if room <= 0:
            break
        given.append(beginning(message, room))
        room -= len(given[-1]) + 1
    return "\n".join([*([" ".join(names)[:NAMES_CHARACTERS]] if names else []), *given])


def asked_text(messages: Sequence[BaseMessage], characters: int = STEP_TEXT_CHARACTERS) -> str:
    """The last human message, or the last message where no human spoke; its beginning if it is long."""
    for message in reversed(messages):
        if message.type == "human":
            return beginning(message, characters)
    return beginning(messages[-1], characters) if messages else ""


def beginning(message: BaseMessage, characters: int) -> str:
    """The first characters of a message's text; pictures, sounds and files have none."""
    content = message.content
    # `message.text` would copy a megabyte first.
    return content[:characters] if isinstance(content, str) else message.text[:characters]
