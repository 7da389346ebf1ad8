"""What is said about fields that are wrong: where, the rule, what was there, and the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import ConfigError
from .document import SECRET_FIELDS, Document, Place


class Fields(BaseModel):
    """Fields of one part of the file; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())


F = TypeVar("F", bound=Fields)

Parts = Mapping[tuple[str, ...], type[Fields]]
"""The fields at each place of a file, positions in lists left out."""


def check(document: Document, fields: type[F], parts: Parts) -> F:
    """The document's fields.

    Args:
        document: What the file says.
        fields: The fields it may have at the top.
        parts: The fields at each place below, to name those that exist when one does not.

    Raises:
        ConfigError: One of them is wrong; the first in the file is named, and how many more there are.
    """
    if not isinstance(document.value, dict):
        got = "nothing" if document.value is None else kind_of(document.value)
        raise document.error((), f"the file must hold fields such as `models:`, got {got}")
    try:
        return fields.model_validate(document.value)
    except ValidationError as error:
        # A list whose items are wrong is also called too short by pydantic: it counts the right ones.
        told = [one for one in error.errors(include_url=False) if one["type"] != "too_short" or not one["input"]]
        found = sorted((complaint(document, dict(one), parts) for one in told), key=lambda pair: pair[0])
    more = f" ({len(found) - 1} more after this one)" if len(found) > 1 else ""
    raise ConfigError(f"{found[0][1]}{more}")


def complaint(document: Document, error: Mapping[str, Any], parts: Parts) -> tuple[int, str]:
    """One of pydantic's errors in our words, with its line to sort by."""
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    message = str(document.error(place, wording(document, place, error, parts)))
    line = re.search(r" line (\d+)", message.removeprefix(document.name))
    return int(line[1]) if line else 0, message


def wording(document: Document, place: Place, error: Mapping[str, Any], parts: Parts) -> str:
    """What is wrong at a place: rule, got, way out."""
    if error["type"] == "missing":
        return "is missing; it must be given"
    if error["type"] == "extra_forbidden":
        holder = parts[tuple(part for part in place[:-1] if isinstance(part, str))]
        return f"unknown field; {nearest(str(place[-1]), list(holder.model_fields))}"
    rule = str(error["msg"]).partition(", unable")[0].replace("Input should", "must")
    for theirs, ours in (
        (r"a valid dictionary.*", "a mapping of fields"),
        (r"a valid (tuple|list)", "a list"),
        (r"a valid string", "text, in quotes where YAML would read it otherwise"),
        (r"a valid integer", "a whole number"),
        (r"a valid boolean", "true or false"),
        (r"a valid (\w+)", r"a \1"),
    ):
        rule = re.sub(f"must be {theirs}", f"must be {ours}", rule)
    if error["type"] in ("too_short", "string_too_short"):
        return "must not be empty"
    # Masked before it is cut: half a key is a leak too.
    got = document.masked(error["input"]) if isinstance(error["input"], str) else error["input"]
    members = re.findall(r"'(\w+)'", rule)
    hint = f"; {nearest(got, members)}" if isinstance(got, str) and get_close_matches(got, members, n=1) else ""
    hidden = any(isinstance(part, str) and SECRET_FIELDS.search(part) for part in place)
    return rule if hidden else f"{rule}, got {shown(got)}{hint}"


def nearest(word: str, known: list[str]) -> str:
    """The known word that was probably meant, or all of them."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {known!r}"


def shown(got: object) -> str:
    """A wrong value as a message shows it."""
    if isinstance(got, str | int | float):
        text = repr(got)
        return text if len(text) <= 60 else f"{text[:59]}…"
    return "nothing" if got is None else kind_of(got)


def kind_of(got: object) -> str:
    """What a value is, for people who write YAML."""
    match got:
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"the {type(got).__name__} {got}"
