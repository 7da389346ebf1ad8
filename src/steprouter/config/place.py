"""Where traces are kept and whose they are: the part of the settings that reading them needs.

Apart from the rest because it loads in a fraction of the time: `steprouter show` needs no model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from pydantic import Field

from .complaints import Fields, check
from .document import read_document

FILE_NAME = "steprouter.yaml"
"""Where the command line looks for settings when it is not told."""


class StoreFields(Fields):
    """What a reader of traces needs."""

    store: str = Field(default="embedded", min_length=1)
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Where traces are kept, and whose.

    Attributes:
        store: As `StepRouter` takes it; may hold a password.
        tenant: None means `default`.
    """

    store: str = field(default="embedded", repr=False)
    tenant: str | None = None


def load_place(path: str | PathLike[str] | None, *, environment: Mapping[str, str] | None = None) -> StorePlace:
    """Where traces are kept: the file's `store` and `tenant` alone, so that keys need not be there to read them.

    Args:
        path: The file; None asks the environment only.
        environment: As for `load`.

    Raises:
        ConfigError: As for `load`.
    """
    environment = os.environ if environment is None else environment
    if path is None:
        return overridden(StoreFields(), environment)
    document = read_document(Path(path), environment, only=StoreFields.model_fields)
    return overridden(check(document, StoreFields, {(): StoreFields}), environment)


def overridden(fields: StoreFields, environment: Mapping[str, str]) -> StorePlace:
    """The place, with the environment's word over the file's; an empty variable is none."""
    return StorePlace(
        store=environment.get("STEPROUTER_STORE") or fields.store,
        tenant=environment.get("STEPROUTER_TENANT") or fields.tenant,
    )
