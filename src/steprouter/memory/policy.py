"""What a user asks of memory, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from .lessons import Lessons


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """What is remembered, and how.

    Attributes:
        on: Whether anything is; without memory each step is routed as if it were the first.
        embedder: Turns a step's text into a vector: None for the table in this package, or an embedder of
            `steprouter.embedding`, a LangChain `Embeddings`, or a redisvl vectorizer.
        lessons: Whether solved steps are kept, redacted, and shown to weaker models as examples; None keeps none.
        journal_key: Encrypts what journals hold of unfinished answers, 16 characters or more; needs the extra
            `encryption`. None keeps them as they are, for ten minutes at most.
    """

    on: bool = True
    embedder: Any = None
    lessons: Lessons | None = None
    journal_key: SecretStr | None = field(default=None, repr=False)
