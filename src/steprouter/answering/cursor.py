"""Where an answer that goes on without its listener can be taken up again."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in a response that its provider keeps.

    Attributes:
        response_id: The provider's name for the response.
        after: Number of the last event whose pieces were taken, from 0.

    Raises:
        ConfigError: One of them cannot come from a provider.
    """

    response_id: str
    after: int

    def __post_init__(self) -> None:
        if not self.response_id:
            raise ConfigError("response_id must not be empty, got ''")
        if self.after < 0:
            raise ConfigError(f"after must be the number of an event, 0 or more, got {self.after!r}")
