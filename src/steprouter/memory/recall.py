"""What is known when a step begins: one value for each named section, or why it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Vector: TypeAlias = "npt.NDArray[np.float32]"
"""A text as numbers, (dimension,) float32, of unit length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What could not be had from the store; never an exception.

    Attributes:
        reason: Why, in words for the trace; holds no password.
        degraded: Whether something is broken. What is not kept by choice is missing, but not degraded.
    """

    reason: str
    degraded: bool = True


NOT_KEPT = Missing(reason="not kept", degraded=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What one round trip to the store brought.

    Attributes:
        sections: Values by section name (`session`, `cache`, `health`, `budget`, `journal`, …), each with the
            type its section promises, or `Missing`.
    """

    sections: Mapping[str, Any] = field(default_factory=dict)

    def section(self, name: str) -> Any:
        """The value of a section, or `Missing`."""
        return self.sections.get(name, NOT_KEPT)

    @property
    def degraded(self) -> tuple[str, ...]:
        """Sections that are broken, with the reason."""
        return tuple(
            f"{name}: {value.reason}"
            for name, value in self.sections.items()
            if isinstance(value, Missing) and value.degraded
        )
