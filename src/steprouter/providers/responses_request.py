"""What is asked, as the JSON body of a request to OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask, ToolChoice, Toolset, tool_name
from .chat_request import NOT_FOR_SERVERS, wire_format
from .responses_input import input_items

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How callers write the longest answer; the last of them that is set counts, being the API's own."""

LEAST_OUTPUT_TOKENS = 16
"""The API refuses a lower limit, which Chat Completions takes: an answer may then be that much longer than asked."""

REWORDED = frozenset({*LIMITS, "reasoning_effort", "verbosity", "logprobs", "text", "include", "background", "store"})
"""Settings that are not passed on as they are."""

CHAT_ONLY = frozenset({"frequency_penalty", "logit_bias", "presence_penalty", "seed"})
"""What only tunes the choice of tokens in Chat Completions, and is an unknown field here (a 400). Those of a call are
left out, since it may have been written for any model; on a card they are a mistake."""

ENCRYPTED_THOUGHTS = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

CHOICES: Mapping[str, str] = MappingProxyType({"any": "required", "auto": "auto", "none": "none"})


def request_body(card: ModelCard, ask: Ask) -> dict[str, Any]:
    """The JSON body that says `ask` to the model of `card`, always as a stream.

    Settings come together as in Chat Completions: the card's are defaults, options of `bind_tools` come over them,
    settings of the call over both, and `extra_body` is merged in last. Nothing is stored at the provider unless
    `store` or `background` asks for it; a model that thinks is asked for its thoughts in encrypted form instead, to
    be sent back with its next step. Stop sequences are no part of this API: who listens cuts the answer, and so a
    call that has some is never made in the background, where the model would go on after the cut.

    Raises:
        ConfigError: A message, tool or format cannot be said in this API.
    """
    given = settings_of(card, ask)
    is_background = runs_in_background(given, ask)
    stored = bool(given.get("store", is_background))
    if is_background and not stored:
        raise ConfigError(f"model {card.name!r} must have store=True for background=True, got store=False")
    body: dict[str, Any] = {
        "model": card.model,
        **{key: value for key, value in given.items() if key not in NOT_FOR_SERVERS | REWORDED | CHAT_ONLY},
        "stream": True,
        "store": stored,
        **({"background": True} if is_background else {}),
        **tool_fields(ask.tools),
        **reworded(given),
    }
    body["input"] = input_items(ask.messages, str(body["model"]), stored=stored)
    if text := text_fields(given, ask.tools):
        body["text"] = text
    if include := included(card, body, given):
        body["include"] = include
    for extra in (card.settings.get("extra_body"), ask.settings.get("extra_body")):
        body.update(extra or {})
    return body


def settings_of(card: ModelCard, ask: Ask) -> dict[str, Any]:
    """All settings of a call; one that is None is left out."""
    options = {key: value for key, value in ask.tools.options.items() if key not in ("strict", "parallel_tool_calls")}
    return {k: v for k, v in {**card.settings, **options, **ask.settings}.items() if v is not None}


def stops_of(card: ModelCard, ask: Ask) -> tuple[str, ...]:
    """Where the answer is to be cut; the card's own stops count where the call has none."""
    stops = ask.stop or settings_of(card, ask).get("stop") or ()
    return tuple(stop for stop in ((stops,) if isinstance(stops, str) else stops) if stop)


def runs_in_background(given: Mapping[str, Any], ask: Ask) -> bool:
    """Whether the provider is to go on while nobody listens."""
    return bool(given.get("background")) and not (ask.stop or given.get("stop"))


def reworded(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that have another name here than in Chat Completions."""
    fields: dict[str, Any] = {}
    limit = next((given[name] for name in reversed(LIMITS) if name in given), None)
    if isinstance(limit, int) and limit > 0:  # -1 is how some callers say that there is none
        fields["max_output_tokens"] = max(LEAST_OUTPUT_TOKENS, limit)
    if "reasoning_effort" in given:
        fields["reasoning"] = {"effort": given["reasoning_effort"], **(given.get("reasoning") or {})}
    return fields


def included(card: ModelCard, body: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What an answer is to hold beyond the usual.

    Models that do not think refuse to be asked for encrypted thoughts, hence only where it is known that they do.
    """
    include = list(given.get("include") or ())
    thinks = card.abilities.reasoning or "reasoning" in body
    if thinks and not body["store"] and ENCRYPTED_THOUGHTS not in include:
        include.append(ENCRYPTED_THOUGHTS)
    if given.get("logprobs") and LOGPROBS not in include:
        include.append(LOGPROBS)
    return include


def text_fields(given: Mapping[str, Any], tools: Toolset) -> dict[str, Any]:
    """What the text of an answer is to be like."""
    fields = dict(given.get("text") or {})
    if "verbosity" in given:
        fields["verbosity"] = given["verbosity"]
    wanted = given.get("response_format") if tools.response_format is None else tools.response_format
    if wanted is not None:
        form = wire_format(wanted, strict=tools.options.get("strict"))
        fields["format"] = {"type": form["type"], **(form.get("json_schema") or {})}
    return fields


def tool_fields(tools: Toolset) -> dict[str, Any]:
    """What the body says about tools; nothing where there are none."""
    if not tools.schemas:
        return {}
    strict = tools.options.get("strict")
    fields: dict[str, Any] = {"tools": [flat_tool(schema, strict) for schema in tools.schemas]}
    if tools.choice is not None:
        fields["tool_choice"] = wire_choice(tools.choice)
    parallel = tools.options.get("parallel_tool_calls")
    if parallel is not None:
        fields["parallel_tool_calls"] = parallel
    return fields


def flat_tool(schema: Mapping[str, Any], strict: bool | None) -> dict[str, Any]:
    """A function tool without the object around it; built-in tools stay as they are.

    A function that does not say so would be strict here, though not in Chat Completions: its optional arguments would
    become required ones.
    """
    if tool_name(schema) is None:
        return dict(schema)
    rest = {key: value for key, value in schema.items() if key not in ("type", "function")}
    tool = {"type": "function", "strict": False, **schema["function"], **rest}
    return tool if strict is None else {**tool, "strict": strict}


def wire_choice(choice: ToolChoice) -> str | dict[str, Any]:
    """The choice in the words of this API."""
    return {"type": "function", "name": choice.name} if choice.mode == "tool" else CHOICES[choice.mode]
