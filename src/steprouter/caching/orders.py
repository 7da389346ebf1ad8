"""What the cache is asked and told: the values between a step and where its answers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..memory.recall import NOT_KEPT, Missing, Vector
from .bound import SILENCED, error_bound
from .entry import Entry, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What a step asks the cache for.

    Attributes:
        exact: The digest of the whole question: letters and digits.
        semantic: The digest of all but the last human text; None where meaning is not compared.
        vector: The last human text as a vector; else the store is not asked for answers to questions like it.
        text: That text, where a service is asked for such answers.
        holder: Who asks; the step's id.
        fill: Whether the step would get the answer itself. Then it is told to wait where another is getting it
            already, and is itself the one that others wait for where nobody is.
    """

    exact: str
    semantic: str | None = None
    vector: Vector | Missing = field(default=NOT_KEPT, repr=False)
    text: str = field(default="", repr=False)
    holder: str
    fill: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that is to be kept.

    Attributes:
        tenant: Whose it is.
        entry: It; `entry.epoch` is the one that the step's recall brought.
        vector: Of `entry.text` as float32 bytes, unit length; None where meaning is not compared.
        holder: The step's id, as it was in its `Lookup`.
        thread: The conversation it was given in, so that it goes with that when that is to be forgotten.
        user: On whose behalf, for the same reason.
    """

    tenant: str
    entry: Entry
    vector: bytes | None = field(default=None, repr=False)
    holder: str
    thread: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was found out about an answer that was given again, or might have been.

    Attributes:
        tenant: Whose it is.
        entry_id: The entry.
        pool: The pool it was in when its question was taken for another; None where its very question was asked.
        right: Weight of the evidence that it was right.
        wrong: Weight of the evidence that it was wrong.
    """

    tenant: str
    entry_id: str
    pool: str | None = None
    right: float = 0.0
    wrong: float = 0.0

    @property
    def refutes(self) -> bool:
        """Whether the answer was wrong for its very question, so that nobody is given it who asks that."""
        return self.pool is None and self.wrong >= SILENCED


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What steps got from the cache, to be added to what is known of it.

    Attributes:
        tenant: Whose steps.
        exact: How many were given the answer to the very question.
        semantic: How many were given the answer to one like it.
        misses: How many looked and were given none.
        saved_usd: What the answers had cost that were given.
        saved_seconds: How long they had taken.
    """

    tenant: str
    exact: int = 0
    semantic: int = 0
    misses: int = 0
    saved_usd: float = 0.0
    saved_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What is in a tenant's cache, and what it has done in the last 90 days of use.

    Attributes:
        entries: Answers.
        size_bytes: What they take, about, without what the store needs for itself.
        pools: What is known of all answers, by the name of a pool.
        exact: Steps that were given the answer to the very question.
        semantic: Steps that were given the answer to one like it.
        misses: Steps that looked and were given none.
        saved_usd: What the answers had cost that were given.
        saved_seconds: How long they had taken.
    """

    entries: int = 0
    size_bytes: int = 0
    pools: Mapping[str, Tally] = field(default_factory=dict)
    exact: int = 0
    semantic: int = 0
    misses: int = 0
    saved_usd: float = 0.0
    saved_seconds: float = 0.0

    @property
    def lookups(self) -> int:
        """Steps that looked."""
        return self.exact + self.semantic + self.misses

    @property
    def hit_rate(self) -> float | None:
        """Share of these that were given an answer; None where none looked."""
        return (self.exact + self.semantic) / self.lookups if self.lookups else None

    @property
    def wrong_at_most(self) -> float | None:
        """Share of the answers found by meaning that may be wrong, with 95 % confidence; None where none was judged."""
        return error_bound("all", self.observed, confidence=0.95) if self.pools else None

    @property
    def observed(self) -> Tally:
        """How much was found right and wrong by checks, audits and feedback, over all pools."""
        pools = self.pools.values()
        return Tally(right=sum(one.right for one in pools), wrong=sum(one.wrong for one in pools))
