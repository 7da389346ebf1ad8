"""What a caller asks of a chat model, before any provider's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..errors import ConfigError

ToolChoiceMode = Literal["auto", "none", "any", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Whether and which tool must be called, in no provider's dialect.

    Attributes:
        mode: `auto` leaves it to the model, `none` forbids tools, `any` forces some tool, `tool` forces `name`.
        name: The forced tool; set exactly when mode is `tool`.
    """

    mode: ToolChoiceMode
    name: str | None = None

    @classmethod
    def read(cls, given: object, tool_names: Sequence[str]) -> ToolChoice | None:
        """The choice that any of the providers' spellings means; None when nothing was asked for.

        Raises:
            ConfigError: The value is no known spelling, or names a tool that is not bound.
        """
        match given:
            case None:
                return None
            case False | "none":
                return cls(mode="none")
            case True | "any" | "required":
                return cls(mode="any")
            case "auto":
                return cls(mode="auto")
            case {"type": "auto" | "none" | "any" as mode}:
                return cls(mode=mode)
            case {"type": "function", "function": {"name": str(name)}} | {"name": str(name)} | str(name):
                if name in tool_names:
                    return cls(mode="tool", name=name)
                raise ConfigError(f"tool_choice must name a bound tool, got {name!r}; bound are {list(tool_names)!r}")
        raise ConfigError(
            f"tool_choice must be 'auto', 'none', 'any', True, False or the name of a bound tool, got {given!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Toolset:
    """Bound tools as the caller gave them and as JSON schemas.

    Attributes:
        given: The caller's own objects, which each candidate binds in its own way.
        schemas: The same as OpenAI function tools, for checking answers and for wires of our own.
        choice: What must be called, if anything.
        response_format: A format the answer must keep to, as the caller gave it.
        options: Further keyword arguments of `bind_tools` (`strict`, `parallel_tool_calls`, …).
    """

    given: tuple[Any, ...] = ()
    schemas: tuple[dict[str, Any], ...] = ()
    choice: ToolChoice | None = None
    response_format: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tools: Sequence[Any],
        *,
        tool_choice: object = None,
        response_format: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> Toolset:
        """Bind `tools`; built-in provider tools stay the dictionaries they are.

        Raises:
            ConfigError: `tool_choice` is no known spelling or names a tool that is not bound.
        """
        schemas = tuple(convert_to_openai_tool(tool) for tool in tools)
        names = [name for schema in schemas if (name := tool_name(schema))]
        return cls(
            given=tuple(tools),
            schemas=schemas,
            choice=ToolChoice.read(tool_choice, names),
            response_format=response_format,
            options=dict(options or {}),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the function tools, in the order they were bound."""
        return tuple(name for schema in self.schemas if (name := tool_name(schema)))

    @property
    def builtin(self) -> tuple[dict[str, Any], ...]:
        """Tools that only their own provider knows, such as a hosted web search."""
        return tuple(schema for schema in self.schemas if tool_name(schema) is None)


def tool_name(schema: Mapping[str, Any]) -> str | None:
    """The name of an OpenAI function tool; None for a provider's built-in tool."""
    function = schema.get("function")
    return str(function["name"]) if isinstance(function, Mapping) and "name" in function else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call of a chat model, in no provider's dialect.

    Attributes:
        messages: The conversation.
        tools: What was bound; an empty `Toolset` where nothing was.
        stop: Stop sequences.
        settings: Further call settings (`temperature`, `max_tokens`, `model`, …), passed on as they are.
    """

    messages: tuple[BaseMessage, ...]
    tools: Toolset = field(default_factory=Toolset)
    stop: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
