"""Candidates that send exactly one request for each call.

SDKs retry by themselves, twice by default, and sleep as long as a Retry-After header says: OpenAI's up to two
minutes each time, Anthropic's without a limit. The router fails over within that time instead.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel

Model = TypeVar("Model", bound=BaseChatModel)

ONE_ATTEMPT = {"ChatGoogleGenerativeAI": 1}
"""`max_retries` counts attempts here, and 0 means Google's own default of five; elsewhere 0 means none."""


def without_retries(model: Model) -> Model:
    """A copy of `model` whose SDK does not retry; `model` itself where there is nothing to change.

    The user's object is never changed. Connections are shared with it. What is covered: SDK clients made by
    Stainless (OpenAI, Anthropic, Groq, Together, Cerebras …) that the model holds, or makes when first needed,
    and any integration that reads a field `max_retries` at each call (Google, Mistral …).
    """
    changes: dict[str, Any] = {
        name: quiet for name, value in vars(model).items() if (quiet := without_client_retries(value)) is not value
    }
    fields = type(model).model_fields
    if "max_retries" in fields:
        attempts = next((ONE_ATTEMPT[c.__name__] for c in type(model).__mro__ if c.__name__ in ONE_ATTEMPT), 0)
        if getattr(model, "max_retries", None) != attempts:
            changes["max_retries"] = attempts
    return changed(model, changes) if changes else model


def changed(model: Model, changes: dict[str, Any]) -> Model:
    """A copy of `model` with other values; what it had derived from the old ones is derived anew."""
    copy = model.model_copy(update=changes)
    for name in [name for name in vars(copy) if is_cached(type(copy), name) and name not in changes]:
        del vars(copy)[name]
    # `update` counts as set by the user, which decides how some classes read their fields.
    copy.model_fields_set.intersection_update(model.model_fields_set)
    return copy


def is_cached(kind: type, name: str) -> bool:
    """Whether an attribute is the remembered value of a `cached_property`."""
    return any(isinstance(vars(ancestor).get(name), cached_property) for ancestor in kind.__mro__)


def without_client_retries(value: Any) -> Any:
    """An SDK client, or one of its resources, that does not retry; any other value as it is."""
    if is_client(value):
        return value.with_options(max_retries=0) if value.max_retries else value
    # A resource such as `client.chat.completions` holds its client and is made from it.
    client: Any = getattr(value, "_client", None)
    if is_client(client) and client.max_retries:
        return type(value)(client.with_options(max_retries=0))
    return value


def is_client(value: Any) -> bool:
    """Whether `value` is a client of an SDK by Stainless."""
    return callable(getattr(value, "with_options", None)) and isinstance(getattr(value, "max_retries", None), int)
