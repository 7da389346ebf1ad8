"""Until when a graph has use for a step's answer.

LangGraph ends a node that runs longer than its `timeout`, and tells nobody inside when that will be: the limit stands
in its private task only. It is read from there with care, and left out where it is not found. A graph's
`step_timeout` cannot be seen at all; who sets one names it: `{"configurable": {"steprouter_deadline_seconds": 30}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

NAMED = "steprouter_deadline_seconds"
"""How a run names its own limit for each step, in `configurable` or metadata."""

LONGEST_SECONDS = 366 * 86_400.0
"""A longer limit, infinity included, is none."""

DEEPEST = 16
"""Graphs in graphs that are looked through."""


class Execution(Protocol):
    """The part of LangGraph's `ExecutionInfo` that is read."""

    @property
    def node_attempt(self) -> int:
        """1 for the first execution, more under a retry policy."""
        ...

    @property
    def node_first_attempt_time(self) -> float | None:
        """When that began, Unix time in seconds."""
        ...


def deadline_seconds(
    metadata: Mapping[str, Any], configurable: Mapping[str, Any] | None, execution: Execution | None, now: float
) -> float | None:
    """How long an answer is of use, from `now` on; None if for ever, 0 if no more.

    Args:
        metadata: Metadata and configurable values of the run.
        configurable: The graph's own configurable values, private ones included; None outside a graph.
        execution: What LangGraph says of the running node.
        now: Unix time in seconds.
    """
    left = [seconds for seconds in (named(metadata.get(NAMED)),) if seconds is not None]
    if configurable is not None and execution is not None:
        began = execution.node_first_attempt_time if execution.node_attempt == 1 else None
        # Of a node's later attempts, and of the nodes around it, the beginning is not known; now is never too early.
        limits = list(node_limits(configurable))
        left += [max(0.0, (began or now) + limit - now) for limit in limits[:1]]
        left += limits[1:]
    return min(left, default=None)


def named(given: object) -> float | None:
    """The limit that a run names; what is no time is none."""
    if not isinstance(given, int | float) or isinstance(given, bool):
        return None
    return float(given) if 0 < given <= LONGEST_SECONDS else None


def node_limits(configurable: Mapping[str, Any]) -> Iterator[float]:
    """The `run_timeout` of the running node and of those around it, in seconds; only those that have one.

    Private to LangGraph (seen in 1.2): `__pregel_call` is a partial over a weak reference to the task, under a time
    limit inside a closure. Whatever is not as expected ends the search.
    """
    met: list[object] = []
    while len(met) < DEEPEST:
        call = configurable.get("__pregel_call")
        if call is None or any(call is one for one in met):
            return
        met.append(call)
        try:
            bound = call if isinstance(call, partial) else closed_over(call)["call"]
            task, outer = bound.args[0](), bound.keywords["schedule_task"].__self__.config["configurable"]
            limit = getattr(task.timeout, "run_timeout", None)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return
        seconds = named(limit.total_seconds() if isinstance(limit, timedelta) else limit)
        if seconds is not None:
            yield seconds
        configurable = outer


def closed_over(function: Any) -> dict[str, Any]:
    """The variables that a function brought from where it was made."""
    return {
        name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True)
    }
