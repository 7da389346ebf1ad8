"""Values for a JSON schema, taken from a prompt where types and names agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w|\.\d)")
QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|`([^`\n]+)`")
PROPER = re.compile(r"(?<=\s)[A-Z][\w-]*(?:,?\s[A-Z][\w-]*)*")
"""Capitalised words inside a sentence: what a prompt without quotation marks is probably about."""

WHOLE_PROMPT = frozenset({"input", "message", "prompt", "query", "question", "q", "text", "content"})
"""Names of arguments that usually take all that was said."""

SAMPLES = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "someone@example.org",
    "time": "00:00:00Z",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEEPEST = 8
"""Schemas may refer to themselves; from this depth on null and empty are preferred."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a prompt offers, handed out in order; the last value of a kind is handed out again.

    Attributes:
        prompt: All of it.
        numbers: Numbers in it.
        quoted: Texts in quotation marks, else capitalised words.
    """

    prompt: str
    numbers: list[float] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, prompt: str) -> Findings:
        """Search a prompt."""
        quoted = ["".join(groups) for groups in QUOTED.findall(prompt)]
        return cls(
            prompt=prompt,
            numbers=[float(found) for found in NUMBER.findall(prompt)],
            quoted=quoted or PROPER.findall(prompt),
        )

    def number(self, default: float) -> float:
        """The next number, or `default` where there is none at all."""
        if not self.numbers:
            return default
        return self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]

    def words(self, name: str) -> str:
        """The next text for an argument of that name."""
        if name.lower() in WHOLE_PROMPT and self.prompt:
            return self.quoted.pop(0) if self.quoted else self.prompt
        if self.quoted:
            return self.quoted.pop(0)
        return f"some {name}" if name else "something"


def filled(schema: Mapping[str, Any], prompt: str) -> Any:
    """A value that is valid for a schema, as far as its keywords are known here.

    Known are types, `enum`, `const`, `default`, `$ref`, `anyOf`, `oneOf`, `allOf`, `properties`, `required`,
    `items`, `prefixItems`, formats, lengths and bounds; not `pattern`, `multipleOf`, `not`, `if`.
    """
    return Filling(root=schema, findings=Findings.of(prompt)).value(schema, "", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A schema being filled in.

    Attributes:
        root: Where `$ref` looks.
        findings: Where values come from.
    """

    root: Mapping[str, Any]
    findings: Findings

    def value(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        """A value for one part of the schema; `name` is the property it stands under."""
        schema = self.resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chosen(list(schema["enum"]))
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self.value(self.option(schema[key], depth), name, depth)
        match kind_of(schema):
            case "object":
                return self.members(schema, depth)
            case "array":
                return self.elements(schema, name, depth)
            case "integer":
                return int(bounded(schema, int(self.findings.number(1)), step=1))
            case "number":
                return bounded(schema, self.findings.number(1), step=0.5)
            case "boolean":
                return schema.get("default", True)
            case "null":
                return None
            case _:
                return self.text(schema, name)

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with `$ref` followed and `allOf` merged."""
        while isinstance(schema.get("$ref"), str):
            target: Any = self.root
            for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target[step] if step else target
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self.resolved, schema.get("allOf", ())):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**merged, **part}
            if properties:
                merged |= {"properties": properties, "required": required}
        return merged

    def option(self, options: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
        """The first option that is not null; too deep down the first that is."""
        wants_null = depth >= DEEPEST
        fits = (option for option in options if (option.get("type") == "null") is wants_null)
        return next(fits, options[0])

    def chosen(self, options: list[Any]) -> Any:
        """The option the prompt mentions, else the first."""
        prompt = self.findings.prompt.lower()
        return next((option for option in options if str(option).lower() in prompt), options[0])

    def members(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """An object with all it must have; what it may have stays out, as its default says it best."""
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in required}

    def elements(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        """An array: as short as allowed, but not empty where it may hold something."""
        prefix = [self.value(part, name, depth + 1) for part in schema.get("prefixItems", ())]
        if depth >= DEEPEST or schema.get("items") is False or schema.get("maxItems") == 0:
            return prefix
        count = max(schema.get("minItems", 0), 0 if prefix else 1) - len(prefix)
        return prefix + [self.value(schema.get("items") or {}, name, depth + 1) for _ in range(count)]

    def text(self, schema: Mapping[str, Any], name: str) -> str:
        """A text of the right format and length."""
        if schema.get("format") in SAMPLES:
            return SAMPLES[schema["format"]]
        said = self.findings.words(name)
        return said.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type a schema asks for; of several the first that is not null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def bounded(schema: Mapping[str, Any], value: float, *, step: float) -> float:
    """The number, moved inside its bounds; an exclusive bound is kept by `step`."""
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    lowest = schema.get("minimum") if above is None else above + step
    highest = schema.get("maximum") if below is None else below - step
    value = value if lowest is None else max(value, lowest)
    return value if highest is None else min(value, highest)
