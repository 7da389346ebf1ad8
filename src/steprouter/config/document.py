"""A YAML document that knows the line of each value, and shows none of the secrets in it.

Values of environment variables and keys are in no message: where one would be, the file's own `${NAME}` or
`***` stands instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import ConfigError

R = TypeVar("R")
Place = tuple[str | int, ...]
"""The way to a value: `("models", 1, "price")`."""

VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
"""`${NAME}`; `$$` for a single `$`; anything else that begins so is refused rather than sent as a key."""

SECRET_FIELDS = re.compile(r"(api|journal)_?key$|secret|passw|^headers$|_token$|authorization", re.IGNORECASE)

SHORTEST_SECRET = 4
"""What is shorter is a placeholder; hiding it would eat ordinary letters."""


class Loader(yaml.SafeLoader):
    """Composes plain YAML. Aliases are refused: they can make a small file endless, and settings need none."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]  # PyYAML's stub leaves it open
            raise yaml.MarkedYAMLError(
                problem="aliases are not supported; write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


@dataclass(slots=True)
class Document:
    """What a file says.

    Attributes:
        name: The file, as the user named it.
        value: Its content as plain Python values, variables filled in.
        lines: The line of each value, from 1.
        hidden: What no message may hold, with what is shown instead.
    """

    name: str
    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict, repr=False)

    def error(self, place: Place, message: str) -> ConfigError:
        """An error that says where; a place that is not in the file has the line of what would hold it."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        path = f", {spelled(place)}" if place else ""
        return ConfigError(f"{self.name} line {self.lines.get(known, 1)}{path}: {self.masked(message)}")

    def build(self, place: Place, make: Callable[[], R]) -> R:
        """What `make` gives; its `ConfigError` gets file and line.

        Raises:
            ConfigError: `make` raised one.
        """
        try:
            return make()
        except ConfigError as error:
            # Not chained: the original quotes values that are masked here.
            raise self.error(place, str(error)) from None

    def masked(self, message: str) -> str:
        """The message without what is hidden."""
        for secret, shown in sorted(self.hidden.items(), key=lambda pair: -len(pair[0])):
            if len(secret) >= SHORTEST_SECRET:
                message = message.replace(secret, shown).replace(repr(secret)[1:-1], shown)
        return re.sub(r"//[^/@\s'\"]+@", "//***@", message)


def spelled(place: Place) -> str:
    """`models[1].price`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def read_document(
    path: Path, environment: Mapping[str, str], *, only: Collection[str] | None = None, name: str = ""
) -> Document:
    """The document in a file.

    Args:
        path: The file.
        environment: Where `${NAME}` is looked up.
        only: Fields at the top that are wanted; the others are not looked into.
        name: What messages call the file; default its path.

    Raises:
        ConfigError: The file cannot be read, is no YAML, says a field twice, or names a variable that is not set.
    """
    document = Document(name or str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the configuration must be a file that can be read, got {str(path)!r}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{document.name} must be UTF-8 text: {error.reason} at byte {error.start}") from None
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = Reader(document, loader, environment, only).read(node, ())
    except yaml.MarkedYAMLError as error:
        raise syntax_error(document.name, text, error) from None
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{document.name} must be YAML text without control characters: {str(error).splitlines()[0]}"
        ) from None
    return document


def syntax_error(name: str, text: str, error: yaml.MarkedYAMLError) -> ConfigError:
    """A YAML error with its line, without the piece of the file that PyYAML would quote."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    source = text.splitlines()[line] if line < len(text.splitlines()) else ""
    # `{key: ${KEY}}` is the mistake everybody makes once.
    hint = '; inside braces or brackets write "${NAME}" in quotes' if "${" in source else ""
    said = error.problem or error.context or "not valid YAML"
    return ConfigError(f"{name} line {line + 1}, column {column + 1}: {said}{hint}")


@dataclass(slots=True)
class Reader:
    """Turns YAML nodes into values and notes their lines."""

    document: Document
    loader: Loader
    environment: Mapping[str, str]
    only: Collection[str] | None = None

    def read(self, node: yaml.Node, place: Place) -> Any:
        """The value of a node."""
        self.document.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.read_mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*place, index)) for index, child in enumerate(node.value)]
        return self.read_scalar(node, place)

    def read_mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        """A mapping; its keys are text even where YAML 1.1 would read `no` or `1`."""
        value: dict[str, Any] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self.document.name} line {line}: the name of a field must be plain text")
            below = (*place, key.value)
            if below in self.document.lines:
                first = self.document.lines[below]
                raise ConfigError(
                    f"{self.document.name} line {line}, {spelled(below)}: stands twice, first in line {first}; keep one"
                )
            self.document.lines[below] = line
            if place or self.only is None or key.value in self.only:
                value[key.value] = self.read(child, below)
        return value

    def read_scalar(self, node: yaml.Node, place: Place) -> Any:
        """A text, number, date, truth value or nothing."""
        try:
            value = self.loader.construct_object(node)
        except ValueError as error:
            raise self.document.error(place, f"{error}") from None
        if not isinstance(value, str):
            return value
        if any(isinstance(part, str) and SECRET_FIELDS.search(part) for part in place):
            self.document.hidden[value] = "***"
        return VARIABLE.sub(lambda found: self.fill(found, place), value)

    def fill(self, found: re.Match[str], place: Place) -> str:
        """The value of a variable."""
        if found[0] == "$$":
            return "$"
        if found[1] is None:
            raise self.document.error(place, "a variable must be written ${NAME}; write $$ for a plain $")
        value = self.environment.get(found[1], "")
        if not value:
            raise self.document.error(
                place, f"the environment variable {found[1]} is not set; set it, or write the value"
            )
        self.document.hidden[value] = found[0]
        return value
