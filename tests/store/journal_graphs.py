"""Graphs whose nodes speak through the journal as a router would, and a process that dies in one.

As a program: `folder url durability` runs the graph of `agent` on a file of checkpoints and dies in its last node.
"""

from __future__ import annotations

import operator
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from journal_pages import NOW, PATIENT_SECONDS, brought, journal
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

from steprouter.engine import surroundings
from steprouter.memory.journal import place_of, prompt_digest
from steprouter.step.ask import Ask
from steprouter.store import Connection, connect

WORDS = ("Once ", "upon ", "a ", "time")
THREAD = {"configurable": {"thread_id": "t-1"}}


class Broken(Exception):
    """The stream broke, and no model could go on."""


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]


class Speaker:
    """A process with a model that says `WORDS`, and breaks where it is told to.

    Attributes:
        found: What each call found of itself, in order; None where it began anew.
        tasks: The tasks that made them.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.journal = journal(connection)
        self.found: list[str | None] = []
        self.tasks: list[str] = []
        self.breaks: Callable[[str], bool] = lambda prompt: False
        self.end: Callable[[], None] = self.fail

    def fail(self) -> None:
        raise Broken

    def __call__(self, prompt: str) -> str:
        """The whole answer."""
        where = place_of(surroundings(None, "acme", NOW)[0], prompt_digest(Ask(messages=(HumanMessage(prompt),)), b"k"))
        assert where is not None
        in_store = None if self.journal.is_local else brought(self.connection, where)
        entry = self.journal.match(where, in_store, NOW)
        pen = None if entry is None else self.journal.claim(where, entry, NOW)
        pen, said = (pen, entry.text) if pen and entry else (self.journal.open(where, NOW), "")
        self.found.append(said or None)
        self.tasks.append(where.task)
        breaks = self.breaks(prompt)
        for word in WORDS:
            if "".join(WORDS).startswith(said + word):
                pen.note(word)
                said += word
            if breaks and word == WORDS[1]:
                assert self.journal.flush(PATIENT_SECONDS)
                try:
                    self.end()
                except Broken:
                    pen.leave(NOW, keep=True)
                    raise
        pen.finish()
        assert self.journal.flush(PATIENT_SECONDS)
        return said


def agent(speaker: Speaker) -> Any:
    """A node that does what tools do, and one that calls the model with what they gave."""
    graph = StateGraph(State)
    graph.add_node("tools", lambda state: {"said": ["result"]})
    graph.add_node("model", lambda state: {"said": [speaker(" ".join(state["said"]))]})
    graph.add_edge(START, "tools")
    graph.add_edge("tools", "model")
    return graph


def die(folder: str, url: str, durability: Any) -> None:
    speaker = Speaker(connect(url, deadline_seconds=PATIENT_SECONDS))
    speaker.breaks = lambda prompt: True
    speaker.end = lambda: os.kill(os.getpid(), signal.SIGKILL)
    with SqliteSaver.from_conn_string(str(Path(folder) / "checkpoints")) as saver:
        agent(speaker).compile(checkpointer=saver).invoke({"said": ["hi"]}, THREAD, durability=durability)


if __name__ == "__main__":
    die(*sys.argv[1:])
