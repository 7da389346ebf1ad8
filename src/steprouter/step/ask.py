"""What a caller asks of a chat model, before any provider's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..errors import ConfigError
from ..models.tokens import compact_json, estimate_tokens

ARGUMENT_KEYS = frozenset({"function", "parameters", "input_schema", "properties", "toolSpec", "description", "title"})
"""What tells a function tool in one of the providers' shapes, or a JSON schema, from a built-in tool."""

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
            case None | False:  # LangChain's integrations take False as nothing said
                return None
            case "none":
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
        names: Names of the function tools, in the order they were bound.
        builtin: Tools that only their own provider knows, such as a hosted web search.
        tokens: About how many prompt tokens the schemas take.
    """

    given: tuple[Any, ...] = ()
    schemas: tuple[dict[str, Any], ...] = ()
    choice: ToolChoice | None = None
    response_format: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False)
    builtin: tuple[dict[str, Any], ...] = field(init=False)
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        named = [(schema, tool_name(schema)) for schema in self.schemas]
        object.__setattr__(self, "names", tuple(name for _, name in named if name))
        object.__setattr__(self, "builtin", tuple(schema for schema, name in named if name is None))
        object.__setattr__(self, "tokens", sum(schema_tokens(compact_json(schema)) for schema in self.schemas))

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
        schemas = tuple(dict(tool) if is_builtin(tool) else convert_to_openai_tool(tool) for tool in tools)
        names = [name for schema in schemas if (name := tool_name(schema))]
        return cls(
            given=tuple(tools),
            schemas=schemas,
            choice=ToolChoice.read(tool_choice, names),
            # OpenAI's way to ask for no format at all.
            response_format=None if response_format == {"type": "text"} else response_format,
            options=dict(options or {}),
        )

    @property
    def may_be_called(self) -> bool:
        """Whether an answer may call a tool."""
        return bool(self.schemas) and (self.choice is None or self.choice.mode != "none")


def is_builtin(tool: object) -> bool:
    """Whether a tool runs at its provider: a dictionary that brings no schema of its arguments.

    LangChain's converter knows OpenAI's ones only; it makes an empty function of Anthropic's
    `{"type": "web_search_20250305", "name": …}` and refuses Google's `{"google_search": {}}`.
    """
    if not isinstance(tool, Mapping) or not tool.keys().isdisjoint(ARGUMENT_KEYS):
        return False
    kind = tool.get("type")
    return (
        kind not in ("function", "custom", "object") if isinstance(kind, str) else len(tool) == 1 and "name" not in tool
    )


def tool_name(schema: Mapping[str, Any]) -> str | None:
    """The name of an OpenAI function tool; None for a provider's built-in tool."""
    function = schema.get("function")
    return str(function["name"]) if isinstance(function, Mapping) and "name" in function else None


@lru_cache(maxsize=1024)
def schema_tokens(schema_json: str) -> int:
    """About how many tokens a schema takes; remembered, because agents bind the same tools again for every step."""
    return estimate_tokens(schema_json)


LIMIT_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How callers write the longest answer they want: most, OpenAI of late, Google and OpenAI's Responses."""


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

    @property
    def output_limit(self) -> int | None:
        """The most tokens the answer may be; None where the caller set no limit, or one that means none (-1)."""
        limit = next((self.settings[key] for key in LIMIT_KEYS if self.settings.get(key) is not None), None)
        return limit if isinstance(limit, int) and limit > 0 else None
