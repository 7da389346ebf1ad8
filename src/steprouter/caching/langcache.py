"""Redis LangCache, a managed service that finds questions by meaning, as the user names it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from urllib.parse import urlsplit

from pydantic import SecretStr

from ..errors import ConfigError

SEARCH_SECONDS = 0.5
"""What a step waits for the service: a call on its network takes some 0.05 s, the embedding of the question included,
and no answer that may not be found is worth a second."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LangCacheService:
    """A LangCache service that finds cached answers by meaning; needs `pip install 'steprouter[langcache]'`.

    The service is told questions, with what secrets and personal data in them are found replaced, and gives back which
    of our answers belong to questions like them. Whether one is given is decided as ever, and from our own store.
    The service must have the attributes `tenant`, `scope`, `user`, `thread` and `tag`.

    Attributes:
        server_url: Where it is, as its console says, such as `https://aws-us-east-1.langcache.redis.io`.
        cache_id: Which cache there.
        api_key: Its key; in no repr, log or trace.
        timeout_seconds: How long a step waits for it, above 0 to 10. A service that is late, down or refuses is left
            alone for a while, and then nothing is found by meaning.

    Raises:
        ConfigError: A value will not do.
    """

    server_url: str
    cache_id: str
    api_key: str | SecretStr = field(repr=False)
    timeout_seconds: float = SEARCH_SECONDS

    def __post_init__(self) -> None:
        parts = urlsplit(self.server_url)
        is_sealed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_sealed or not parts.hostname or parts.username or parts.password:
            raise ConfigError(
                "server_url of a LangCacheService must be an https address without a password, such as "
                f"'https://aws-us-east-1.langcache.redis.io', got one of scheme {parts.scheme!r}; "
                "the service's console names it (http goes to this machine only, since it would show the key)"
            )
        if not PLAIN_ID.fullmatch(self.cache_id):
            raise ConfigError(
                "cache_id of a LangCacheService must be letters, digits, - and _, as its console says, "
                f"got {self.cache_id!r}"
            )
        key = self.api_key if isinstance(self.api_key, SecretStr) else SecretStr(self.api_key)
        secret = key.get_secret_value()
        if not (secret.isascii() and secret.isprintable() and secret.strip() == secret != ""):
            raise ConfigError("api_key of a LangCacheService must be printable ASCII without spaces around, it is not")
        seconds = self.timeout_seconds
        if not (isfinite(seconds) and 0 < seconds <= 10):
            raise ConfigError(f"timeout_seconds of a LangCacheService must be above 0 to 10, got {seconds!r}")
        object.__setattr__(self, "api_key", key)

    @property
    def secret(self) -> str:
        """The key in clear."""
        return self.api_key.get_secret_value() if isinstance(self.api_key, SecretStr) else self.api_key

    @property
    def scale(self) -> str:
        """Whose figure a likeness is: that of two caches need not mean the same, as each has an embedder of its own."""
        return f"LangCache {sha256(f'{self.server_url} {self.cache_id}'.encode()).hexdigest()[:8]}"
