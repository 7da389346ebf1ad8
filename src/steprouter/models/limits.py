"""How much a deployment takes: requests, tokens and calls at once, all processes together."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one deployment may be asked, by all processes together; None sets no limit.

    The rates are token buckets that hold one minute and fill evenly, as Anthropic's are (its rate limit reference,
    2026): after a quiet minute a whole minute's worth may go out at once.

    Attributes:
        requests_per_minute: Calls begun in a minute (RPM).
        tokens_per_minute: Tokens of prompts and answers (TPM). The most that is expected counts when a call begins
            and is put right when it has ended.
        concurrency: Calls under way at once.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            limit = getattr(self, name)
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0):
                raise ConfigError(f"{name} must be a whole number above 0, or None for no limit, got {limit!r}")

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return any((self.requests_per_minute, self.tokens_per_minute, self.concurrency))
