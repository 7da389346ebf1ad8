"""JSON schemas cut down to what constrained decoders understand, without references.

llama.cpp's converter and LLGuidance refuse a whole request for one keyword they do not know, and small
servers do not resolve `$ref`. Answers are checked against the full schema afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIMPLE = frozenset({"type", "enum", "const", "required"})
"""Keywords that every converter takes as they are."""

BOUNDS = frozenset({"minItems", "maxItems", "minLength", "maxLength"})

LARGEST_BOUND = 500
"""llama.cpp unrolls repetitions into rules and refuses grammars beyond its limit (2000 in llama-grammar.cpp,
nested bounds multiply); a bound above this hardly ever ends an answer anyway."""

DEEPEST = 24
"""Levels of nesting; below, anything goes. Recursive schemas would otherwise never end."""


def grammar_schema(schema: Any) -> dict[str, Any]:
    """`schema` for a constrained decoder: references resolved, unknown keywords left out, objects closed."""
    root = schema if isinstance(schema, Mapping) else {}
    return simplified(root, root, (), 0)


def simplified(schema: Any, root: Mapping[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
    """One schema simplified; `path` holds the references it was reached through."""
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in path:
            return {}  # a schema inside itself has no finite form; the full check comes later
        return simplified(resolved(reference, root), root, (*path, reference), depth + 1)
    schema = merged(schema, root)
    simple: dict[str, Any] = {key: schema[key] for key in SIMPLE if key in schema}
    for key in BOUNDS & schema.keys():
        if isinstance(schema[key], int) and schema[key] <= LARGEST_BOUND:
            simple[key] = schema[key]
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list):
        simple["anyOf"] = [simplified(option, root, path, depth + 1) for option in options]
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        simple["properties"] = {
            name: simplified(inner, root, path, depth + 1) for name, inner in properties.items() if inner is not False
        }
        simple.setdefault("type", "object")
    further = schema.get("additionalProperties", False if isinstance(properties, Mapping) else None)
    if further is not None:
        simple["additionalProperties"] = (
            simplified(further, root, path, depth + 1) if isinstance(further, Mapping) else bool(further)
        )
    if isinstance(items := schema.get("items"), Mapping):
        simple["items"] = simplified(items, root, path, depth + 1)
    if isinstance(prefix := schema.get("prefixItems"), list):
        simple["prefixItems"] = [simplified(item, root, path, depth + 1) for item in prefix]
    return simple


def merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with its `allOf` folded in; older pydantic writes one for a field with a description."""
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        met: set[str] = set()
        while isinstance(part, Mapping) and isinstance(reference := part.get("$ref"), str) and reference not in met:
            met.add(reference)
            part = resolved(reference, root)
        if not isinstance(part, Mapping):
            continue
        properties = {**(whole.get("properties") or {}), **(part.get("properties") or {})}
        required = [*(whole.get("required") or ()), *(part.get("required") or ())]
        whole = {**part, **whole}
        if properties:
            whole["properties"] = properties
        if required:
            whole["required"] = list(dict.fromkeys(required))
    return whole


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """What a local reference such as `#/$defs/Point` names; None for anything else."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
