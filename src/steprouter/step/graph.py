"""Where a step happens, read from LangChain's and LangGraph's ambient context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .step import Place

TENANT_KEYS = ("tenant", "tenant_id")
USER_KEYS = ("langgraph_auth_user_id", "user_id", "user")
"""The authenticated user first: a client that names another one in its own configuration must not become it."""


class Execution(Protocol):
    """The part of LangGraph's `ExecutionInfo` that is read."""

    @property
    def thread_id(self) -> str | None:
        """The conversation."""
        ...

    @property
    def task_id(self) -> str | None:
        """The execution of the node."""
        ...

    @property
    def checkpoint_id(self) -> str | None:
        """The checkpoint it started from."""
        ...

    @property
    def checkpoint_ns(self) -> str | None:
        """Path of sub-graphs."""
        ...

    @property
    def node_attempt(self) -> int:
        """1 for the first execution, more under a retry policy."""
        ...


def read_place(
    config: Mapping[str, Any] | None,
    *,
    execution: Execution | None = None,
    inherited: Mapping[str, Any] | None = None,
    tenant: str | None = None,
) -> Place:
    """The place that a run's configuration describes.

    Args:
        config: The `RunnableConfig` in force, the caller's own over the graph's.
        execution: LangGraph's identity of the running task. It wins over the configuration, because an
            explicit config replaces the metadata a node's own config had.
        inherited: Metadata of the callbacks in force, which survives such a replacement.
        tenant: The router's tenant; a run may only name one where the router has none of its own.
    """
    config = config or {}
    configurable: Mapping[str, Any] = config.get("configurable") or {}
    metadata = {**(inherited or {}), **(config.get("metadata") or {})}
    known = {**metadata, **{k: v for k, v in configurable.items() if not str(k).startswith("__")}}
    return Place(
        thread=first_text(execution and execution.thread_id, known.get("thread_id")),
        node=first_text(metadata.get("langgraph_node")),
        graph_step=whole(metadata.get("langgraph_step")),
        task=first_text(execution and execution.task_id),
        checkpoint=first_text(execution and execution.checkpoint_id, known.get("checkpoint_id")),
        namespace=first_text(execution and execution.checkpoint_ns, known.get("checkpoint_ns")),
        node_attempt=execution.node_attempt if execution else 1,
        tenant=tenant or first_text(*(known.get(key) for key in TENANT_KEYS)) or "default",
        user=first_text(*(known.get(key) for key in USER_KEYS)),
        source=first_text(metadata.get("lc_source")),
        tags=frozenset(tag for tag in config.get("tags") or () if isinstance(tag, str)),
        metadata=known,
    )


def first_text(*values: object) -> str | None:
    """The first value that is there, as text."""
    return next((str(value) for value in values if value not in (None, "")), None)


def whole(value: object) -> int | None:
    """The value if it is a whole number."""
    return value if isinstance(value, int) else None
