"""The data card of a predictor: what it was made of, how it was judged, and the layout of its arrays."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..routing.marks import VERSION as MARKS_VERSION
from ..routing.predict import STRONGEST
from .table import MOST_KINDS, MOST_MODELS

FILE_VERSION = 1
"""Of the layout; a newer one is refused."""

MOST_ARRAYS = 32

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Words = Annotated[str, StringConstraints(max_length=2000)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Time = Annotated[float, Field(allow_inf_nan=False, ge=0, lt=2**40)]


class Strict(BaseModel):
    """A field that is not known is an error, and so is a number as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ContenderLine(Strict):
    """How a contender did on held-out rows; see `train.Standing`."""

    name: Name
    setting: Number
    log_loss: Number
    brier: Number
    ece: Number
    apgr: Number | None = None
    cpt50: Number | None = None
    cpt80: Number | None = None
    equal_quality_cost: Number | None = None
    preference_loss: Number | None = None
    leads: Annotated[list[Number], Field(min_length=4, max_length=4)] | None = None


class Bin(Strict):
    """One point of the calibration curve on held-out rows.

    Attributes:
        guessed: Mean probability.
        happened: Share of success.
        rows: How many rows, weighted.
    """

    guessed: Share
    happened: Share
    rows: Annotated[float, Field(allow_inf_nan=False, ge=0)]


class Card(Strict):
    """What a predictor was made of and how good it was.

    Attributes:
        made_at: When, Unix time in seconds.
        source: Name of the table's file, without its folder, or `memory`.
        licence: What may be done with the data, in the words of whoever trained; empty if nothing was said.
        seed: Of folds and draws.
        rows: Outcomes.
        pairs: Preferences.
        steps: Different texts.
        kinds: Outcomes of each kind of step.
        models: Outcomes of each model.
        first_at: When the first outcome was, Unix time in seconds; None if unknown.
        last_at: When the last was.
        winner: Which contender won.
        why: In words.
        pair: The weak and the strong model of APGR, CPT and cost; None if no two answered enough of the same.
        contenders: Held-out figures of all of them.
        calibration: The winner's curve.
    """

    made_at: Time
    source: Words
    licence: Words = ""
    seed: int
    rows: Count
    pairs: Count
    steps: Count
    kinds: Annotated[dict[Name, Count], Field(max_length=MOST_KINDS)]
    models: Annotated[dict[Name, Count], Field(max_length=MOST_MODELS)]
    first_at: Time | None = None
    last_at: Time | None = None
    winner: Name
    why: Words
    pair: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    contenders: Annotated[list[ContenderLine], Field(max_length=16)]
    calibration: Annotated[list[Bin], Field(max_length=64)]


class ArrayPlace(Strict):
    """An array of float32, little endian, row after row; they follow one another without gaps.

    Attributes:
        name: What it is; see `file.shapes_of`.
        shape: Its lengths.
    """

    name: Name
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**28)]], Field(min_length=1, max_length=2)]


class Header(Strict):
    """What stands before the arrays.

    Attributes:
        version: Of the layout.
        marks: Version of how texts are read (`routing.marks`).
        enabled: Whether the predictor gives priors.
        kinds: Kinds of step, in the order of the arrays.
        models: Models, in the order of the arrays.
        embedder: Identity of the embedder; None if no vectors are taken.
        dimension: Numbers of its vectors; None if none are taken.
        form: `linear` or `nearest`; None if the predictor is not enabled.
        strength: Of a prior, in observations.
        slope: Of the calibration.
        intercept: Of the calibration.
        table_strength: Of `nearest`: observations that the table's mean weighs.
        neighbours: Of `nearest`: how many are asked.
        furthest: Of `nearest`: how near to 0 and 1 a mean may come.
        starts: Of `nearest`: where each kind's steps begin.
        arrays: What follows.
        card: What it was made of.
    """

    version: Annotated[int, Field(ge=1, le=FILE_VERSION)] = FILE_VERSION
    marks: Annotated[int, Field(ge=1)] = MARKS_VERSION
    enabled: bool
    kinds: Annotated[list[Name], Field(min_length=1, max_length=MOST_KINDS)]
    models: Annotated[list[Name], Field(min_length=1, max_length=MOST_MODELS)]
    embedder: Name | None = None
    dimension: Annotated[int, Field(ge=1, le=65_536)] | None = None
    form: Literal["linear", "nearest"] | None = None
    strength: Annotated[float, Field(gt=0, le=STRONGEST)]
    slope: Number
    intercept: Number
    table_strength: Annotated[float, Field(gt=0, le=1e6)] | None = None
    neighbours: Annotated[int, Field(ge=1, le=10_000)] | None = None
    furthest: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    starts: Annotated[list[Count], Field(max_length=MOST_KINDS + 1)] | None = None
    arrays: Annotated[list[ArrayPlace], Field(max_length=MOST_ARRAYS)]
    card: Card

    @model_validator(mode="after")
    def agrees(self) -> Header:
        """Fields that need one another.

        Raises:
            ValueError: They contradict.
        """
        if self.enabled != (self.form is not None):
            raise ValueError("an enabled predictor has a form, and no other")
        if (self.embedder is None) != (self.dimension is None):
            raise ValueError("embedder and dimension are both there or both not")
        if len(set(self.kinds)) < len(self.kinds) or len(set(self.models)) < len(self.models):
            raise ValueError("a kind or model is named twice")
        if self.form == "nearest":
            needed = (self.table_strength, self.neighbours, self.furthest, self.starts, self.dimension)
            if any(one is None for one in needed):
                raise ValueError("nearest steps need strength, neighbours, furthest, starts and dimension")
        return self
