"""Checks a finished answer: is it sufficient, and if not, what is wrong with it.

Every check is structural and nearly free; each is a reason to ask a stronger model now and a label for later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

from ..step.ask import Ask, tool_name
from ..step.kinds import not_tools
from .answer import Answer, ToolCall
from .check_calls import doubts

CUT_FINISHES = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "incomplete"})
"""Finish reasons that say the answer was cut at a limit, in the providers' own words."""

REFUSED_FINISHES = frozenset(
    {"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"}
)
"""Finish reasons that say the provider's filter or the model itself would not answer."""


NOT_CONTENT = frozenset({"text", "thinking", "redacted_thinking", "reasoning", "reasoning_content"})
"""Blocks that make no answer by themselves: an agent that gets nothing but thoughts has got nothing."""


def problems(answer: Answer, ask: Ask) -> tuple[str, ...]:
    """What is wrong with `answer`, in words; empty when it is sufficient as far as structure can tell."""
    found = [problem for call in answer.tool_calls if (problem := call_problem(call, ask))]
    if answer.finish in CUT_FINISHES and ask.output_limit is None:
        # At the caller's own limit every model would be cut; what the cut broke, the other checks see.
        found.append(f"cut off (finish reason {answer.finish})")
    if is_refused(answer):
        found.append(f"refused (finish reason {answer.finish})")
    elif not answer.tool_calls:
        if ask.tools.choice is not None and ask.tools.choice.mode in ("any", "tool") and not ask.tools.builtin:
            found.append("a tool call was required, none was made")
        elif not answer.text.strip() and not any(is_content(b) for d in answer.unshown for b in d.blocks):
            found.append("empty answer")
        elif ask.tools.response_format is not None and not found:
            found.extend(format_problems(answer.text, not_tools(ask.tools.response_format)))
    return tuple(found or doubts(answer, ask))


def is_refused(answer: Answer) -> bool:
    """Whether the provider or the model would not answer; asking another one is a matter of policy, not of strength."""
    said_so = any(piece.extra and piece.extra.get("refusal") for piece in answer.unshown)
    return said_so or answer.finish in REFUSED_FINISHES


def is_content(block: Mapping[str, Any]) -> bool:
    """Whether a content block is something to give: neither thought nor text, which is looked at by itself."""
    return block.get("type") not in NOT_CONTENT


def call_problem(call: ToolCall, ask: Ask) -> str | None:
    """What is wrong with a tool call; None if it names a bound tool with arguments that fit its schema."""
    schemas = {name: schema for schema in ask.tools.schemas if (name := tool_name(schema))}
    if call.name not in schemas:
        # A provider's built-in tools run at the provider; their names are not ours to judge.
        return None if ask.tools.builtin else f"unknown tool {shorten(call.name)!r}"
    if not ask.tools.may_be_called:
        return f"tools were forbidden, {call.name!r} was called"
    if ask.tools.choice is not None and ask.tools.choice.mode == "tool" and call.name != ask.tools.choice.name:
        return f"tool {ask.tools.choice.name!r} was required, {call.name!r} was called"
    if call.args is None:
        return f"arguments of {call.name!r} are not a JSON object"
    broken = schema_problem(call.args, schemas[call.name]["function"].get("parameters") or {})
    return f"arguments of {call.name!r}: {broken}" if broken else None


def format_problems(text: str, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with a text that must be JSON of `schema`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        return [f"answer is not JSON ({reason})"]
    broken = schema_problem(value, schema)
    return [f"answer does not fit its schema: {broken}"] if broken else []


def schema_problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The most telling way in which `value` breaks `schema`; None if it does not, or the schema is itself broken."""
    # Imported by the first answer that has a schema to keep to: they take as long as all of this package.
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        schema_json = json.dumps(schema, default=str)
        validator = validator_for(schema_json)
        error = best_match(validator.iter_errors(value)) if validator is not None else None
    except (ArithmeticError, RecursionError, TypeError, ValueError, Unresolvable):
        return None  # references that lead nowhere or in a circle, infinity by a multiple
    if error is None:
        return None
    # What was said may be personal, keys too; the trace names where and which rule, in the schema's words.
    path = (
        str(part) if isinstance(part, int) or json.dumps(part) in schema_json else "*" for part in error.absolute_path
    )
    where = "/".join(path) or "the object"
    missing = error.validator == "required"
    rule = shorten(error.message) if missing else f"{error.validator} {shorten(str(error.validator_value))}"
    return f"{where} breaks {rule}"


@lru_cache(maxsize=512)
def validator_for(schema_json: str) -> Draft202012Validator | None:
    """A validator for a schema; None for a schema that is itself broken, which is not the model's fault."""
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry

    schema = json.loads(schema_json)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    # A registry of our own fetches nothing: by default a `$ref` to a URL is downloaded while a step waits.
    return Draft202012Validator(schema, registry=Registry())


def shorten(text: str, limit: int = 120) -> str:
    """`text`, cut to at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
