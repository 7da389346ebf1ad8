"""Checks what a user hands to a router, before anything is made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from .answering.budgets import Budget
from .caching.policy import AnswerCache
from .errors import ConfigError
from .memory.policy import MemoryPolicy
from .models.card import ModelCard
from .models.identify import identity
from .routing.policy import Policy
from .step.ask import Ask, Toolset

TOOL_KEYS = ("tools", "tool_choice", "response_format", "strict", "parallel_tool_calls")
BASE_KEYS = ("stream", "ls_structured_output_format", "structured_output_format")
"""Call arguments that LangChain's base class handles itself."""


def card_of(model: ModelCard | BaseChatModel | str) -> ModelCard:
    """A card for whatever names a model.

    Raises:
        ConfigError: It is none of the three.
    """
    if isinstance(model, ModelCard):
        return model
    if isinstance(model, str):
        return ModelCard(name=model.rpartition(":")[2], model=model)
    if isinstance(model, BaseChatModel):
        name = identity(ModelCard(name="?", model=model))[1]
        return ModelCard(name=name or type(model).__name__, model=model)
    raise ConfigError(f"models must be ModelCards, LangChain chat models or model strings, got {type(model).__name__}")


def budgets_of(budget: Budget | Sequence[Budget] | None) -> tuple[Budget, ...]:
    """Any number of budgets as a tuple.

    Raises:
        ConfigError: It is none.
    """
    given: tuple[object, ...] = tuple(budget) if isinstance(budget, list | tuple) else (budget,)
    given = tuple(one for one in given if one is not None)
    wrong = [one for one in given if not isinstance(one, Budget)]
    if wrong:
        raise ConfigError(
            f"budget must be a Budget or a list of them, got {type(wrong[0]).__name__}; write Budget(usd=…)"
        )
    return tuple(one for one in given if isinstance(one, Budget))


def refuse_unknown_fields(given: Mapping[str, Any], model: type[BaseChatModel]) -> None:
    """Raise for arguments that no field takes: a setting that is silently ignored is worse than an error."""
    unknown = sorted(set(given) - set(model.model_fields) - {"clock"})
    if unknown:
        for argument, value in (("policy", Policy), ("memory_policy", MemoryPolicy)):
            if unknown[0] in {field.name for field in fields(value)}:
                raise ConfigError(
                    f"StepRouter takes no {unknown[0]!r}; write {argument}={value.__name__}({unknown[0]}=…)"
                )
        raise ConfigError(
            f"StepRouter takes no {unknown[0]!r}; set it on the models it holds, or for a call with "
            f".bind({unknown[0]}=…)"
        )


def refuse_wrong_kinds(models: object, policy: object, memory_policy: object) -> None:
    """Raise for one model where a list belongs, and for policies that are none."""
    if isinstance(models, str | ModelCard | BaseChatModel):
        raise ConfigError(f"models must be a list, got one {type(models).__name__}; put it in [ ]")
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigError(f"policy must be a Policy, got {type(policy).__name__}")
    if memory_policy is not None and not isinstance(memory_policy, MemoryPolicy):
        raise ConfigError(f"memory_policy must be a MemoryPolicy, got {type(memory_policy).__name__}")


def answer_cache_of(given: AnswerCache | bool | None) -> AnswerCache | None:
    """The answer cache that a user asks for; None where there is none.

    Raises:
        ConfigError: It is neither an `AnswerCache` nor True, False or None.
    """
    if given is None or given is False:
        return None
    if given is True:
        return AnswerCache()
    if not isinstance(given, AnswerCache):
        raise ConfigError(f"answer_cache must be an AnswerCache, True, False or None, got {type(given).__name__}")
    return given


def ask_of(
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | None,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    ignored: Collection[str],
    bound: object,
) -> tuple[Ask, str | None]:
    """What a call asks, and the model it insists on, if any.

    Args:
        messages: The conversation.
        stop: Stop sequences.
        given: The call's keyword arguments.
        defaults: Settings of every call; None says nothing.
        ignored: Keyword arguments that are no settings.
        bound: What `bind_tools` made, if it was used.
    """
    settings = {key: value for key, value in defaults.items() if value is not None}
    settings |= {k: v for k, v in given.items() if k not in (*TOOL_KEYS, *BASE_KEYS, *ignored)}
    if not isinstance(bound, Toolset):
        bound = Toolset.of(
            given.get("tools") or (),
            tool_choice=given.get("tool_choice"),
            response_format=given.get("response_format"),
            options={k: given[k] for k in ("strict", "parallel_tool_calls") if k in given},
        )
    settings = {k: v for k, v in settings.items() if k not in bound.options}
    model = settings.pop("model", None)
    return Ask(messages=tuple(messages), tools=bound, stop=tuple(stop or ()), settings=settings), model
