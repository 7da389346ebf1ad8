"""What a scripted model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

WireFormat = Literal["chat", "responses", "messages"]
"""OpenAI's Chat Completions, OpenAI's Responses, Anthropic's Messages."""

SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie"})


class Headers(Mapping[str, str]):
    """Request headers, looked up in any case; secrets are readable but never printed."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = {name.lower(): value for name, value in (values or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: "***" if name in SECRET_HEADERS else value for name, value in self._values.items()}
        return f"Headers({shown!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An answer somebody asked for, in the shapes of OpenAI's Chat Completions whatever the format was.

    Attributes:
        model: The model's name as asked for.
        messages: Messages as JSON objects with `role` and `content`.
        tools: Tools as JSON objects, `{"type": "function", "function": {...}}`.
        tool_choice: `none`, `auto`, `required`, an object naming a function, or None.
        response_format: JSON object with a `type`, or None.
        stream: Whether chunks are wanted.
        include_usage: Whether a streamed answer ends with a usage chunk.
        max_tokens: Limit on the answer, whichever of the two fields carried it; None is no limit.
        temperature: As asked for.
        stop: Texts before which the answer ends.
        seed: As asked for.
        n: How many choices are wanted.
        headers: Request headers; empty for in-process models.
        call: Number of this call to this model, from 1.
        extra: All other fields of the body.
        format: The wire format it came in; in-process models have `chat`.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    headers: Headers = field(default_factory=Headers)
    call: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    format: WireFormat = "chat"

    @property
    def last(self) -> Mapping[str, Any]:
        """The last message."""
        return self.messages[-1]

    @property
    def prompt(self) -> str:
        """Text of the last user message; empty if there is none."""
        said = (text_of(message) for message in reversed(self.messages) if message.get("role") == "user")
        return next(said, "")

    @property
    def image_count(self) -> int:
        """Image parts in all messages together."""
        contents = (message.get("content") for message in self.messages)
        parts = [part for content in contents if isinstance(content, list) for part in content]
        return sum(isinstance(part, Mapping) and part.get("type") == "image_url" for part in parts)


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message in OpenAI's shape; parts that are not text are left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    words = (part if isinstance(part, str) else part.get("text") for part in parts)
    return "\n".join(word for word in words if isinstance(word, str))
