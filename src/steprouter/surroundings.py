"""Where a call happens: its graph, its run, and how to tell and show those who follow it that something happens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from langchain_core.runnables.config import RunnableConfig, ensure_config

from .drive import Tell
from .flow import Note
from .step.graph import read_place
from .step.graph_deadline import deadline_seconds
from .step.step import Place


def surroundings(config: Mapping[str, Any] | None, tenant: str | None, now: float) -> tuple[Place, Tell]:
    """Where this call happens, and how to tell the graph's consumers about it.

    Read on the caller's thread, before the step begins: contexts are lost on the way into other threads.
    """
    whole = ensure_config(cast("RunnableConfig | None", config))
    callbacks = whole.get("callbacks")
    inherited = getattr(callbacks, "inheritable_metadata", None) or {}
    # An explicit config replaces the tags that the graph's own had, but not those of the callbacks in force.
    whole["tags"] = [*(whole.get("tags") or ()), *(getattr(callbacks, "inheritable_tags", None) or ())]
    try:
        runtime, writer = graph_runtime()
    except (RuntimeError, KeyError):  # outside a graph, or in a chain that is not one
        place = read_place(whole, inherited=inherited, tenant=tenant)
        left = deadline_seconds(place.metadata, None, None, now)
        return replace(place, deadline_seconds=left), hear_nothing
    place = read_place(whole, execution=runtime.execution_info, inherited=inherited, tenant=tenant)
    left = deadline_seconds(place.metadata, whole.get("configurable") or {}, runtime.execution_info, now)
    place = replace(place, deadline_seconds=left)

    def tell(note: Note) -> None:
        writer({"type": "steprouter", "event": note.event, **note.facts})

    return place, tell


def graph_runtime() -> tuple[Any, Any]:
    """LangGraph's runtime and stream writer.

    A graph that runs has imported LangGraph; outside one its import would double the time ours takes.

    Raises:
        RuntimeError: This is no graph.
        KeyError: This is a chain that is not a graph.
    """
    if "langgraph.runtime" not in sys.modules:
        raise RuntimeError("LangGraph is not in use")
    from langgraph.config import get_stream_writer
    from langgraph.runtime import get_runtime

    return get_runtime(), get_stream_writer()


def heartbeat() -> Callable[[], None]:
    """Tells the graph that its node is not idle; a node that has an `idle_timeout` is ended otherwise.

    Held tool calls, waits and `invoke` show nothing that LangGraph could take for a sign of life.
    """
    try:
        return cast("Callable[[], None]", graph_runtime()[0].heartbeat)
    except (RuntimeError, KeyError):
        return live_on


def live_on() -> None:
    """Outside a graph nobody ends a step for being silent."""


def hear_nothing(note: Note) -> None:
    """Nobody listens outside a graph."""
