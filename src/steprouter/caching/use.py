"""What came of looking for a cached answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..memory.recall import NOT_KEPT, Missing, Vector
from .lookup import Doubt, Hit, Miss
from .scope import Scope, Uncached


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What came of looking for a cached answer.

    Attributes:
        asked: What was looked for, or why nothing was.
        found: What was found; None where nothing was looked for, or the store could not be asked.
        epoch: Of the tenant's cache, which an answer of this step carries; None where the store could not be asked,
            and then nothing is kept.
        is_filler: Whether others wait for this step's answer.
        vector: The question as a vector, or why there is none.
    """

    asked: Scope | Uncached
    found: Hit | Doubt | Miss | None = None
    epoch: int | None = None
    is_filler: bool = False
    vector: Vector | Missing = field(default=NOT_KEPT, repr=False)
