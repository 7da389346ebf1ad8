"""What a user asks of memory, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretBytes, SecretStr

from ..errors import ConfigError
from .lessons import Lessons


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """What is remembered, and how.

    Attributes:
        on: Whether anything is; without memory each step is routed as if it were the first.
        embedder: Turns a step's text into a vector: None for the table in this package, or an embedder of
            `steprouter.embedding`, a LangChain `Embeddings`, or a redisvl vectorizer.
        lessons: Whether solved steps are kept, redacted, and shown to weaker models as examples; None keeps none.
        journal_key: Encrypts what journals hold of unfinished answers: text, bytes or a secret, of 16 characters or
            more; never shown. Needs the extra `encryption`. None keeps them as they are, for ten minutes at most.

    Raises:
        ConfigError: The key is of another kind.
    """

    on: bool = True
    embedder: Any = None
    lessons: Lessons | None = None
    journal_key: SecretStr | SecretBytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "journal_key", secret(self.journal_key))


def secret(key: object) -> SecretStr | SecretBytes | None:
    """A key as no repr shows it.

    Raises:
        ConfigError: It is none.
    """
    match key:
        case None | SecretStr() | SecretBytes():
            return key
        case str():
            return SecretStr(key)
        case bytes():
            return SecretBytes(key)
    raise ConfigError(f"journal_key must be text, bytes or a SecretStr, got {type(key).__name__}")
