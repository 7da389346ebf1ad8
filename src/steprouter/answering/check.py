"""Checks a finished answer: is it sufficient, and if not, what is wrong with it.

Every check is structural and nearly free; each is a reason to ask a stronger model now and a label for later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match

from ..step.ask import Ask, tool_name
from ..step.kinds import not_tools
from .answer import Answer, ToolCall

CUT_FINISHES = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "incomplete"})
"""Finish reasons that say the answer was cut at a limit, in the providers' own words."""

FILTER_FINISHES = frozenset({"content_filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"})
REFUSAL_FINISHES = frozenset({"refusal"})


def problems(answer: Answer, ask: Ask) -> tuple[str, ...]:
    """What is wrong with `answer`, in words; empty when it is sufficient as far as structure can tell."""
    found = [problem for call in answer.tool_calls if (problem := call_problem(call, ask))]
    if answer.finish in CUT_FINISHES:
        found.append(f"cut off (finish reason {answer.finish})")
    if not answer.tool_calls:
        if ask.tools.choice is not None and ask.tools.choice.mode in ("any", "tool"):
            found.append("a tool call was required, none was made")
        elif not answer.text.strip() and not any(d.blocks for d in answer.unshown):
            found.append("empty answer")
        elif ask.tools.response_format is not None and answer.finish not in CUT_FINISHES:
            found.extend(format_problems(answer.text, not_tools(ask.tools.response_format)))
    return tuple(found)


def call_problem(call: ToolCall, ask: Ask) -> str | None:
    """What is wrong with a tool call; None if it names a bound tool with arguments that fit its schema."""
    schemas = {name: schema for schema in ask.tools.schemas if (name := tool_name(schema))}
    if call.name not in schemas:
        # A provider's built-in tools run at the provider; their names are not ours to judge.
        return None if ask.tools.builtin else f"unknown tool {shorten(call.name)!r}"
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
    validator = validator_for(json.dumps(schema, sort_keys=True, default=str))
    if validator is None:
        return None
    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    # The value itself may be personal; the trace names where and which rule, not what was said.
    where = "/".join(str(part) for part in error.absolute_path) or "the object"
    missing = error.validator == "required"
    rule = shorten(error.message) if missing else f"{error.validator} {shorten(str(error.validator_value))}"
    return f"{where} breaks {rule}"


@lru_cache(maxsize=512)
def validator_for(schema_json: str) -> Draft202012Validator | None:
    """A validator for a schema; None for a schema that is itself broken, which is not the model's fault."""
    schema = json.loads(schema_json)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    return Draft202012Validator(schema)


def shorten(text: str, limit: int = 120) -> str:
    """`text`, cut to at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
