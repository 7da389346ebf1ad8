"""Tools, choices and settings in each LangChain integration's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableBinding

from ..errors import ConfigError
from ..models.card import PrefillStyle
from ..step.ask import Ask, ToolChoice, Toolset
from .chat_request import wire_format
from .partial_turns import FIELDS, MARKS
from .wire import Timeouts

FAMILIES = {
    "BaseChatOpenAI": "openai",
    "ChatAnthropic": "anthropic",
    "ChatGoogleGenerativeAI": "google",
}
"""Classes whose `bind_tools` has words of its own; subclasses such as AzureChatOpenAI speak them too."""

NOT_FOR_MODELS = frozenset({"stream", "ls_structured_output_format", "structured_output_format"})
"""What LangChain's public methods take out before they call a model."""

NOT_FOR_GOOGLE = frozenset({"strict", "parallel_tool_calls"})
"""Options of other providers' `bind_tools`, which Google's hands on to its API as they are."""

REMEMBERED_TOOLSETS = 8
"""Bindings kept per model. A toolset belongs to an agent, and few agents share a router; a kept toolset costs
kilobytes, a new binding about a millisecond of schema conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chat model without its wrappings.

    Attributes:
        model: The model itself.
        kwargs: What `bind` had bound to it, as defaults for each call.
    """

    model: BaseChatModel
    kwargs: Mapping[str, Any]

    @property
    def family(self) -> str:
        """Whose words its `bind_tools` takes: `openai`, `anthropic`, `google` or `generic`."""
        names = (kind.__name__ for kind in type(self.model).__mro__)
        return next((FAMILIES[name] for name in names if name in FAMILIES), "generic")


def unwrapped(given: object, name: str) -> Candidate:
    """The chat model inside `given`, which may be wrapped by `bind`, `with_config` or `bind_tools`.

    Raises:
        ConfigError: It is no chat model, or one whose wrapping would retry or choose models by itself.
    """
    kwargs: dict[str, Any] = {}
    inner = given
    while isinstance(inner, RunnableBinding):
        kwargs = {**inner.kwargs, **kwargs}
        inner = inner.bound
    if isinstance(inner, BaseChatModel):
        return Candidate(model=inner, kwargs=kwargs)
    ways_out = {
        "RunnableRetry": "give the model without with_retry(); the router retries",
        "RunnableWithFallbacks": "give each model of with_fallbacks() as a candidate of its own",
        "_ConfigurableModel": "call init_chat_model without configurable_fields, once for each model",
        "RunnableSequence": "give the model alone, without parsers or with_structured_output()",
    }
    kind = type(inner).__name__
    raise ConfigError(
        f"model of {name!r} must be a LangChain chat model, got {kind}; "
        + ways_out.get(kind, "pass a chat model object, or a string such as 'openai:gpt-5.6-luna'")
    )


class Binder:
    """Binds the tools of each `Ask` to one candidate, and remembers the last few bindings."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        # Replaced as a whole and never changed in place, which needs no lock.
        self._bound: tuple[tuple[Toolset, Mapping[str, Any]], ...] = ()

    def kwargs(self, ask: Ask, timeouts: Timeouts) -> dict[str, Any]:
        """Keyword arguments for the model's own methods, messages and stop sequences apart.

        Raises:
            ConfigError: The model cannot bind these tools.
        """
        settings = {key: value for key, value in ask.settings.items() if key not in NOT_FOR_MODELS}
        kwargs = {**self._candidate.kwargs, **self.tools(ask.tools), **settings}
        if "timeout" not in kwargs and (timeout := sdk_timeout(self._candidate, timeouts)) is not None:
            kwargs["timeout"] = timeout
        return kwargs

    def tools(self, tools: Toolset) -> Mapping[str, Any]:
        """What binding `tools` comes to, in the model's own words."""
        for known, kwargs in self._bound:
            if known is tools:
                return kwargs
        kwargs = bound_kwargs(self._candidate, tools)
        self._bound = (*self._bound[-REMEMBERED_TOOLSETS + 1 :], (tools, kwargs))
        return kwargs


def bound_kwargs(candidate: Candidate, tools: Toolset) -> dict[str, Any]:
    """The keyword arguments that the model's own `bind_tools` would bind.

    Raises:
        ConfigError: The model has no `bind_tools`, or refuses these tools.
    """
    options = dict(tools.options)
    if candidate.family == "google":
        options = {key: value for key, value in options.items() if key not in NOT_FOR_GOOGLE}
    if tools.response_format is not None:
        # A class would be parsed by OpenAI's SDK, which raises in the middle of a stream; a schema is only sent.
        options["response_format"] = wire_format(tools.response_format, strict=tools.options.get("strict"))
    given = list(tools.given)
    if tools.choice is not None and given:
        if tools.choice.mode == "none" and candidate.family == "generic":
            given = []  # not every integration can say "none"; a model without tools calls none
        elif (choice := own_choice(tools.choice, candidate.family)) is not None:
            options["tool_choice"] = choice
    if not given:
        # `strict` and the like only make sense on tools.
        return {key: value for key, value in options.items() if key == "response_format"}
    try:
        binding = candidate.model.bind_tools(given, **options)
    except NotImplementedError as error:
        raise ConfigError(
            f"{type(candidate.model).__name__} must be able to call tools for this step, and has no bind_tools; "
            "state abilities=Abilities(tools=False) on its card"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{type(candidate.model).__name__} must take the bound tools, and refused: {error}"
        ) from error
    kwargs: dict[str, Any] = {}
    inner: object = binding
    while isinstance(inner, RunnableBinding):
        kwargs = {**inner.kwargs, **kwargs}
        inner = inner.bound
    return kwargs


def marked(messages: Sequence[BaseMessage], style: PrefillStyle) -> list[BaseMessage]:
    """The messages with what an integration hands on from its last one as the mark of a partial turn, on a copy."""
    *before, last = messages
    marks = MARKS.get(style)
    if marks is None:
        return list(messages)
    return [*before, last.model_copy(update={"additional_kwargs": {**last.additional_kwargs, **marks}})]


def beside(kwargs: Mapping[str, Any], model: BaseChatModel, style: PrefillStyle) -> dict[str, Any]:
    """The keyword arguments with what is said of a partial turn beside the messages; the user's own fields win."""
    fields = FIELDS.get(style)
    if fields is None:
        return dict(kwargs)
    own = kwargs.get("extra_body") or getattr(model, "extra_body", None) or {}  # as ChatOpenAI chooses between them
    return {**kwargs, "extra_body": {**fields, **own}}


def own_choice(choice: ToolChoice, family: str) -> str | dict[str, Any] | None:
    """The choice as the family's `bind_tools` wants it; None where leaving it out says the same.

    Measured with the integrations' own `bind_tools`: Anthropic's takes `"none"` and `"required"` for names of
    tools and refuses True, so its API's own objects are given.
    """
    match family, choice.mode:
        case "anthropic", "tool":
            return {"type": "tool", "name": choice.name}
        case "anthropic", mode:
            return {"type": mode}
        case _, "tool":
            return choice.name
        case "generic", "auto":
            return None
    return choice.mode


def sdk_timeout(candidate: Candidate, timeouts: Timeouts) -> float | None:
    """Seconds for the SDK's own limit on each read; None where the user set one, or the SDK takes none.

    In a thread this is the only limit there is: nothing can interrupt a blocked SDK from outside. It counts
    bytes, not pieces, and one figure has to serve both for the first piece and for the pauses after it.
    """
    own = {"openai": "request_timeout", "anthropic": "default_request_timeout"}.get(candidate.family)
    if own is None or getattr(candidate.model, own, None) is not None:
        return None
    return max(timeouts.first_token, timeouts.idle)
