"""The lines of an exported memory: what each may hold, checked where it comes in.

The first line is the header, then come tallies, outcomes and lessons, then the end, by which a file that was cut
off is known. Digests are those of the exporting deployment; a model stands as its code (`query.coded`), which for usual
names is the name.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from steprouter.errors import ConfigError
from steprouter.memory.labels import Source
from steprouter.models.card import Tier
from steprouter.step.step import StepKind

from .query import LONG, coded, decoded

FORMAT_VERSION = 1
"""Of the lines; a newer one is refused."""

MOST_COUNTED = 2**53
"""Above it a float no longer counts."""

MOST_CHARACTERS = 20_000
"""Of a text; several times the longest lesson."""


def a_kind(value: str) -> str:
    """The kind of a step.

    Raises:
        ValueError: It is none.
    """
    return StepKind(value).value


def a_source(value: str) -> str:
    """The source of a label.

    Raises:
        ValueError: It is none.
    """
    return Source(value).value


def a_tier(value: str) -> str:
    """How strong a model is.

    Raises:
        ValueError: It is no tier.
    """
    return Tier(value).value


def a_code(value: str) -> str:
    """A model as tallies and indexes have it.

    Raises:
        ValueError: It is the code of no name.
    """
    name = decoded(value)
    is_digest = value.startswith(LONG) and len(value) == len(LONG) + 64 and value[len(LONG) :].isalnum()
    if not is_digest and (name is None or coded(name) != value):
        raise ValueError("must be a model's name, percent-encoded")
    return value


def a_vector(value: str) -> str:
    """A vector: base64 of float32 numbers, little endian, of unit length.

    Raises:
        ValueError: It is none.
    """
    numbers = array("f", base64.b64decode(value, validate=True))
    if not abs(math.fsum(number * number for number in numbers) - 1) < 0.01:
        raise ValueError("must be of unit length")
    return value


Digest = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{24}$")]
Kind = Annotated[str, AfterValidator(a_kind)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(a_code)]
Text = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]
Time = Annotated[float, Field(ge=0, lt=2**40, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, lt=2**53, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=MOST_COUNTED)]


class Line(BaseModel):
    """One line; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Header(Line):
    """What the file is.

    Attributes:
        format: `steprouter-memory`.
        version: Of the lines.
        schema_version: Of the records they were made of.
        embedder: Identity of the embedder that made the vectors.
        dimension: Numbers in a vector.
        exported_at: Unix time in seconds.
        key: Tells files of the same deployment and tenant, whose digests mean the same; reveals neither.
    """

    sort: Literal["header"] = "header"
    format: Literal["steprouter-memory"] = "steprouter-memory"
    version: int = FORMAT_VERSION
    schema_version: int
    embedder: str
    dimension: Annotated[int, Field(ge=1, le=65536)]
    exported_at: Time
    key: Digest


class TallyLine(Line):
    """The running counts of a model at a kind of step, and at one node if it is named; see `outcomes.Tally`."""

    sort: Literal["tally"] = "tally"
    kind: Kind
    node: Digest | None = None
    model: Code
    successes: Amount
    failures: Amount
    labels: Count
    at: Time
    seen: Count
    output_tokens: Amount
    seconds: Amount
    first_token_seconds: Amount
    usd: Amount
    faded: Amount = 0.0


class OutcomeLine(Line):
    """What became of an attempt; see `outcomes.Remembered`.

    Attributes:
        record: The record's digest.
        changed: When it was made or labelled last.
        number: How many labels the kind's tally had counted with it.
        number_node: The same for the node's.
        vector: Base64 of float32, little endian.
    """

    sort: Literal["outcome"] = "outcome"
    record: Digest
    kind: Kind
    node: Digest | None = None
    model: Code
    thread: Digest | None = None
    user: Digest | None = None
    at: Time
    changed: Time
    score: Share
    weight: Share
    source: Annotated[str, AfterValidator(a_source)]
    labelled_at: Time
    number: Count
    number_node: Count | None = None
    seconds: Amount
    first_token_seconds: Amount | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    usd: Amount | None = None
    lesson: bool | None = None
    vector: Annotated[str, AfterValidator(a_vector)] | None = Field(default=None, repr=False)


class LessonLine(Line):
    """A verified lesson, redacted; see `lessons.Lesson`. Its texts are shown to models.

    Attributes:
        record: The record's digest.
        changed: When it was verified last.
        wants_json: Whether the answer had to keep to a schema.
        vector: Base64 of float32, little endian.
    """

    sort: Literal["lesson"] = "lesson"
    record: Digest
    kind: Kind
    node: Digest | None = None
    model: Code
    tier: Annotated[str, AfterValidator(a_tier)]
    rule: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)] | None = None
    thread: Digest | None = None
    user: Digest | None = None
    at: Time
    changed: Time
    task: Text
    approach: Text = ""
    result: Text = ""
    tools: Annotated[list[Text], Field(max_length=1000)] = Field(default_factory=list)
    wants_json: bool
    verified: Annotated[str, AfterValidator(a_source)]
    vector: Annotated[str, AfterValidator(a_vector)] = Field(repr=False)


class EndLine(Line):
    """The end, with what came before it."""

    sort: Literal["end"] = "end"
    tallies: Count
    outcomes: Count
    lessons: Count


AnyLine = Header | TallyLine | OutcomeLine | LessonLine | EndLine

LINES: Mapping[str, type[Header | TallyLine | OutcomeLine | LessonLine | EndLine]] = {
    "header": Header,
    "tally": TallyLine,
    "outcome": OutcomeLine,
    "lesson": LessonLine,
    "end": EndLine,
}


def read_line(where: str, said: Any) -> AnyLine:
    """A line from what the file says.

    Args:
        where: File and line, for the complaint.
        said: What the line holds.

    Raises:
        ConfigError: It is no line of an exported memory, or of a newer version; names the field.
    """
    if not isinstance(said, dict):
        raise ConfigError(f"{where} must be a JSON object, got {type(said).__name__}; export the memory anew")
    sort = said.get("sort")
    if sort == "header" and isinstance(said.get("version"), int) and said["version"] > FORMAT_VERSION:
        raise ConfigError(
            f"{where}: version must be {FORMAT_VERSION} or less, got {said['version']}; the file was written by a "
            "newer steprouter: upgrade this one"
        )
    line = LINES.get(sort) if isinstance(sort, str) else None
    if line is None:
        raise ConfigError(f"{where}: sort must be one of {', '.join(LINES)}, got {shown(sort)}; export the memory anew")
    try:
        return line.model_validate(said)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        field = ".".join(map(str, wrong["loc"])) or "the line"
        got = "" if wrong["type"] == "missing" else f", got {shown(said.get(field))}"
        raise ConfigError(f"{where}: {field}: {wrong['msg']}{got}; correct it, or export the memory anew") from None


def shown(value: Any) -> str:
    """A value for a complaint, not longer than that."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
