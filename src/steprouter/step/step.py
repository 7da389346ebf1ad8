"""The step: one call of a chat model inside an agent, as the router sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class StepKind(StrEnum):
    """What an agent is doing when it calls its model."""

    PLAN = "plan"
    TOOL_CALL = "tool_call"
    READ_RESULT = "read_result"
    RECOVER = "recover"
    EXTRACT = "extract"
    CLASSIFY = "classify"
    SUMMARIZE = "summarize"
    CODE = "code"
    REFLECT = "reflect"
    ANSWER = "answer"
    CHAT = "chat"
    HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a graph a step happens; everything is None or empty outside a graph.

    Attributes:
        thread: The conversation (LangGraph's `thread_id`).
        node: Name of the node that called the model.
        graph_step: LangGraph's counter of super-steps.
        task: Identifies the node's execution; the same when a checkpoint is resumed.
        checkpoint: The checkpoint the execution started from.
        namespace: Path of sub-graphs.
        node_attempt: 1 for the first execution of the node, more under a retry policy.
        tenant: Whose data this is; never None, `default` where nobody said.
        user: On whose behalf the agent works.
        source: What LangChain's own middleware calls the model for (`summarization`, `tool_selection`, …).
        tags: Tags of the run.
        metadata: Metadata and configurable values of the run, for rules; never stored.
        deadline_seconds: How long the graph has use for an answer, from the step's beginning; None is for ever.
    """

    thread: str | None = None
    node: str | None = None
    graph_step: int | None = None
    task: str | None = None
    checkpoint: str | None = None
    namespace: str | None = None
    node_attempt: int = 1
    tenant: str = "default"
    user: str | None = None
    source: str | None = None
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the tools fared that an earlier step called.

    Attributes:
        step_id: The step that called them; None if the message does not say.
        good: Share of the calls that succeeded, 0 to 1.
    """

    step_id: str | None
    good: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Keyed digests of a prompt, by which steps of one thread are compared.

    Attributes:
        prefixes: Of the first message, the first two, …, all.
        before: Of the messages before the user's question, where the prompt ends with one and an answer of
            ours stands before it; else None.
    """

    prefixes: tuple[str, ...] = ()
    before: str | None = None

    @property
    def asked(self) -> str | None:
        """The digest of the whole prompt; None where it was not taken."""
        return self.prefixes[-1] if self.prefixes else None

    def begins_with(self, digest: str, messages: int) -> bool:
        """Whether the first `messages` messages are those of the digest."""
        return 0 < messages <= len(self.prefixes) and self.prefixes[messages - 1] == digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What earlier steps left in the conversation.

    Attributes:
        turns: Human messages so far.
        last_role: Role of the last message (`human`, `ai`, `tool`, `system`, …).
        tool_results: Tool results since the last human message.
        consecutive_errors: Failed tool results at the end of the conversation, without a good one between.
        repeated_call: The last tool call was made before with the same arguments since the last human message.
        last_model: The model that wrote the last AI message, as this router named it.
        verdict: How the tools fared that were called last, if the prompt ends with their results.
        holds_thoughts: The turn whose tool results end the prompt holds thoughts that only its model's provider can
            go on from.
    """

    turns: int = 0
    last_role: str | None = None
    tool_results: int = 0
    consecutive_errors: int = 0
    repeated_call: bool = False
    last_model: str | None = None
    verdict: Verdict | None = None
    holds_thoughts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a model must be able to do to answer a step.

    Attributes:
        tools: Tools are bound and may be called.
        parallel_tools: Several tools may be called at once and the caller said so.
        forced_tool: A tool must be called.
        json_schema: The answer must keep to a response format.
        images: The conversation holds images.
        audio: The conversation holds audio.
        files: The conversation holds documents.
        builtin_tools: Types of provider tools that only some candidates know.
        input_tokens: Estimated size of the prompt, tools included.
        output_tokens: The most the answer may be; None where the caller set no limit.
    """

    tools: bool = False
    parallel_tools: bool = False
    forced_tool: bool = False
    json_schema: bool = False
    images: bool = False
    audio: bool = False
    files: bool = False
    builtin_tools: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a chat model inside an agent.

    Attributes:
        id: Identifies the step in traces and feedback; sorts by time.
        kind: What the agent is doing.
        kind_from: How the kind was found, in words.
        kind_open: Structure left the kind open; semantic routes may settle it.
        place: Where in a graph the step happens.
        evidence: What earlier steps left behind.
        needs: What an answer needs.
        tool_names: Names of the tools that are bound.
        text: The part of the conversation that says what the step is about; never stored unless asked for.
        started_at: Unix time in seconds.
        trail: Digests of the prompt; empty outside a thread, where nothing is compared with them.
        cache_key: Names the thread to a provider's prompt cache without saying what it is; None outside a thread.
        prompt: Keyed digest of all that a model is asked; None where no journal is kept of the answer.
    """

    id: str
    kind: StepKind
    kind_from: str = ""
    kind_open: bool = False
    place: Place = field(default_factory=Place)
    evidence: Evidence = field(default_factory=Evidence)
    needs: Needs = field(default_factory=Needs)
    tool_names: tuple[str, ...] = ()
    text: str = ""
    started_at: float = 0.0
    trail: Trail = field(default_factory=Trail, repr=False)
    cache_key: str | None = None
    prompt: str | None = field(default=None, repr=False)
