"""What a model said: the pieces of a stream, and the answer they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..models.cost import Usage


class ToolPiece(NamedTuple):
    """A fragment of a tool call as a stream brings it; fragments of one call share `index`."""

    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody needs here
    id: str | None
    name: str | None
    args: str


class Delta(NamedTuple):
    """One piece of a streamed answer. A tuple, because there is one for each token.

    Attributes:
        text: Plain text to add.
        tools: Fragments of tool calls.
        blocks: Content other than plain text (thinking, citations, audio …), in the provider's own shape;
            a wire that speaks in blocks sends its text as blocks too, and repeats it in `text`.
        finish: Why the model stopped; set once, on the piece that says so. Never set by a broken stream.
        usage: Tokens used; set once.
        details: Metadata of the answer (`model_name`, `model_provider`, `logprobs`, …), merged by update.
        extra: The provider's additional keyword arguments (LangChain's `additional_kwargs`).
    """

    text: str = ""
    tools: tuple[ToolPiece, ...] = ()
    blocks: tuple[dict[str, Any], ...] = ()
    finish: str | None = None
    usage: Usage | None = None
    details: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A complete tool call.

    Attributes:
        id: The call's id; None where the provider gave none.
        name: The tool that is called.
        args: The arguments; None when `raw` is not a JSON object.
        raw: The arguments as they were said.
    """

    id: str | None
    name: str
    args: Mapping[str, Any] | None
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A finished answer.

    Attributes:
        text: All plain text.
        tool_calls: Complete calls, in order.
        finish: Why the model stopped (`stop`, `tool_calls`, `length`, …); the provider's own word.
        usage: Tokens used; None where the provider did not say.
        unshown: Pieces the consumer has not seen yet; shown once the answer is accepted.
        details: Metadata of the answer (`model_name`, `model_provider`, …).
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    usage: Usage | None = None
    unshown: tuple[Delta, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
