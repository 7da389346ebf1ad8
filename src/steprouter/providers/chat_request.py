"""What is asked, as the JSON body of a Chat Completions request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_function

from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask, ToolChoice, Toolset, tool_name
from .openai_messages import WireMessage, wire_messages
from .partial_turns import FIELDS, MARKS, partial_turn_style

NOT_FOR_SERVERS = frozenset(
    {
        *("stream", "stream_options", "stream_usage", "n"),  # this wire's own business
        *("tools", "tool_choice", "response_format", "messages", "stop"),  # said by the Ask
        *("timeout", "max_retries", "extra_headers", "extra_body"),  # what SDKs understand, not servers
        *("ls_structured_output_format", "structured_output_format"),  # LangChain's notes to its tracer
    }
)
"""Call settings that LangChain code passes around and that no server must see."""


def request_body(card: ModelCard, ask: Ask) -> dict[str, Any]:
    """The JSON body that says `ask` to the model of `card`, always as a stream.

    The card's settings are defaults, options of `bind_tools` come over them, settings of the call over both;
    a `model` in them wins over the card's. `extra_body` is merged in last, as the OpenAI SDK does. A setting
    that is None is left out.

    Raises:
        ConfigError: A message, tool or format cannot be said in this API.
    """
    options = {key: value for key, value in ask.tools.options.items() if key not in ("strict", "parallel_tool_calls")}
    given = {**card.settings, **options, **ask.settings}
    messages, beside = sent_messages(card, ask)
    body: dict[str, Any] = {
        "model": card.model,
        **{key: value for key, value in given.items() if value is not None and key not in NOT_FOR_SERVERS},
        **beside,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        **tool_fields(ask.tools),
    }
    stop = list(ask.stop) or given.get("stop")
    if stop:
        body["stop"] = stop
    response_format = given.get("response_format") if ask.tools.response_format is None else ask.tools.response_format
    if response_format is not None:
        body["response_format"] = wire_format(response_format, strict=ask.tools.options.get("strict"))
    for extra in (card.settings.get("extra_body"), ask.settings.get("extra_body")):
        body.update(extra or {})
    return body


def sent_messages(card: ModelCard, ask: Ask) -> tuple[list[WireMessage], Mapping[str, Any]]:
    """The messages, and what is said beside them of the last one where it is a partial turn."""
    messages, style = wire_messages(ask.messages), partial_turn_style(card, ask.messages)
    if style is None:
        return messages, {}
    *before, last = messages
    return [*before, {**last, **MARKS.get(style, {})}], FIELDS.get(style, {})


def encoded(body: Mapping[str, Any], where: str) -> bytes:
    """The body as bytes.

    Raises:
        ConfigError: Something in it has no form in JSON.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"what is sent to {where} must be JSON; pass numbers, texts, lists and objects: {error}"
        ) from error
    # Half of a surrogate pair, which a cut emoji leaves behind, has no UTF-8 form.
    return text.encode("utf-8", "replace")


def tool_fields(tools: Toolset) -> dict[str, Any]:
    """The fields `tools`, `tool_choice` and `parallel_tool_calls`; none of them where nothing is bound."""
    if not tools.schemas:
        return {}
    strict = tools.options.get("strict")
    fields: dict[str, Any] = {"tools": [wire_tool(schema, strict) for schema in tools.schemas]}
    if tools.choice is not None:
        fields["tool_choice"] = wire_choice(tools.choice)
    parallel = tools.options.get("parallel_tool_calls")
    if parallel is not None:
        fields["parallel_tool_calls"] = parallel
    return fields


def wire_tool(schema: dict[str, Any], strict: bool | None) -> dict[str, Any]:
    """A tool with `strict` said where it was asked for; built-in tools stay as they are."""
    if strict is None or tool_name(schema) is None:
        return schema
    return {**schema, "function": {**schema["function"], "strict": strict}}


def wire_choice(choice: ToolChoice) -> str | dict[str, Any]:
    """The choice in OpenAI's words."""
    match choice.mode:
        case "any":
            return "required"
        case "tool":
            return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def wire_format(response_format: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """A response format in OpenAI's shape, whatever `with_structured_output` or an agent was given.

    Raises:
        ConfigError: It is no format, schema or class.
    """
    match response_format:
        case {"type": "json_schema", "json_schema": _} | {"type": "json_object" | "text" | "grammar"}:
            return dict(response_format)
        case {"name": _, "schema": _}:
            return {"type": "json_schema", "json_schema": dict(response_format)}
    try:
        function = convert_to_openai_function(response_format, strict=strict)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "response_format must be a JSON schema, an OpenAI response format, a pydantic class or "
            f"a TypedDict, got {response_format!r}"
        ) from error
    schema = function.pop("parameters", {})
    return {"type": "json_schema", "json_schema": {**function, "schema": schema}}


def schema_in(response_format: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema inside a format in OpenAI's shape; None where it names none."""
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def names_of(schemas: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the function tools among `schemas`."""
    return [name for schema in schemas if (name := tool_name(schema))]
