"""What people ask of memory: to see it, copy it and erase it. `router.memory` is a `Memory`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, Protocol

from ..errors import ConfigError
from ..step.step import StepKind
from .session import Session

Format = Literal["jsonl", "parquet"]

SUFFIXES: Mapping[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""By what a file's name tells its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembering:
    """A remembered step that resembles a text. Texts of steps are not kept, so it names the record only.

    Attributes:
        record: The step's digest in the store; in this process's memory its id.
        kind: What the step was.
        model: Which model answered.
        score: The verdict so far, 0 wrong to 1 right.
        weight: How much the verdict weighs, 0 to 1, in observations.
        source: Where the verdict comes from.
        at: When the step started, Unix time in seconds.
        similarity: Cosine of the two texts' vectors, -1 to 1.
        usd: What the attempt cost; None if unknown.
        seconds: How long it took.
    """

    record: str
    kind: str
    model: str
    score: float
    weight: float
    source: str
    at: float
    similarity: float
    usd: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a model has done at a kind of step.

    Attributes:
        kind: The kind of step.
        model: The model.
        labels: How many verdicts were counted, undecayed.
        success: Share of success, decayed as the router sees it, 0 to 1; None where all has decayed.
        usd: Average cost of an attempt; 0 if none is known.
        seconds: Average time of an attempt.
    """

    kind: str
    model: str
    labels: int
    success: float | None
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is remembered of a tenant.

    Attributes:
        tenant: Whose.
        records: How many of each sort: `sessions`, `outcomes`, `tallies`, `pending_labels`, `traces`, `lessons`,
            `cache_entries`, `journals` and others that there are; `lists` are what holds the others in order.
        outcomes: Of each kind of step.
        standings: Of each kind and model, by kind, then the most used first.
        spaces: Outcomes by the tag of the embedder's space. Those of another space than `space` count in the
            tallies but are no neighbours of anything; those under the empty tag were not embedded.
        space: The tag of the embedder in use.
        embedder: Its identity.
        newer: Records that a newer version wrote and this one does not read.
        oldest: When the oldest outcome's step started, Unix time in seconds; None if there is none.
        newest: When the newest one's did.
    """

    tenant: str
    records: Mapping[str, int]
    outcomes: Mapping[str, int]
    standings: tuple[Standing, ...]
    spaces: Mapping[str, int]
    space: str
    embedder: str
    newer: int = 0
    oldest: float | None = None
    newest: float | None = None

    @property
    def foreign(self) -> Mapping[str, int]:
        """Outcomes of other embedders, by the tag of their space."""
        return {tag: count for tag, count in self.spaces.items() if tag not in ("", self.space)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was erased, and what a second look over all keys still found.

    Attributes:
        erased: Records by sort, as in `Overview.records`; empty if there were none.
        remains: Records by sort that are still there; empty unless somebody wrote them meanwhile.
    """

    erased: Mapping[str, int] = field(default_factory=dict)
    remains: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """How many records are still there; 0 proves the erasure."""
        return sum(self.remains.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a file holds that was written.

    Attributes:
        path: The file.
        format: Of the file.
        outcomes: Outcomes in it.
        tallies: Tallies in it.
        lessons: Verified lessons in it, with their redacted texts.
        without_vector: Outcomes in it without vector, not embedded or by another embedder.
        left_out: Records that a newer version wrote, or that are broken.
    """

    path: Path
    format: Format
    outcomes: int
    tallies: int
    lessons: int = 0
    without_vector: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was taken over from a file.

    Attributes:
        outcomes: Outcomes that are new.
        known: Outcomes that were there already.
        expired: Outcomes older than any that are kept.
        tallies: Tallies that were taken over whole.
        lessons: Lessons that are new.
        lessons_left_out: Lessons that are too old, of another embedder, or of a node or user that is not known here.
        without_vector: Outcomes of the file whose vector was dropped, as another embedder made it.
        is_anonymous: Whether nodes, threads and users were dropped, because the file is another deployment's or
            another tenant's: their digests would name nobody here, and could not be erased by name.
    """

    outcomes: int = 0
    known: int = 0
    expired: int = 0
    tallies: int = 0
    lessons: int = 0
    lessons_left_out: int = 0
    without_vector: int = 0
    is_anonymous: bool = False


class MemoryKeeper(Protocol):
    """Keeps memory for people to see, copy and erase.

    Promises:
        - nothing of one tenant is shown to, counted for or erased with another;
        - `forget` erases from the store and from this process, and looks a second time whether it did;
        - `export` writes the whole file or none; `load` takes over the whole file, or nothing where a line is wrong;
        - a file loaded twice changes nothing the second time;
        - all raise `StoreError` if the store is away.
    """

    def search(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        """The `k` most similar remembered steps, the most similar first."""
        ...

    async def asearch(self, tenant: str, text: str, kind: StepKind | None, k: int) -> list[Remembering]:
        """As `search`, without blocking the event loop."""
        ...

    def session(self, tenant: str, thread: str) -> Session:
        """What is remembered of a thread; a new session where nothing is."""
        ...

    def overview(self, tenant: str) -> Overview:
        """How much is remembered, and of what."""
        ...

    def forget(self, tenant: str, *, thread: str | None = None, user: str | None = None) -> Forgotten:
        """Erase a tenant, or a thread and a user of it."""
        ...

    def export(self, tenant: str, path: Path, form: Format) -> Exported:
        """Write outcomes, tallies and lessons to a file."""
        ...

    def load(self, tenant: str, path: Path, form: Format) -> Loaded:
        """Take over what a file holds."""
        ...


class Memory:
    """Memory as people ask for it: `router.memory`.

    Args:
        keeper: Opens or gives what keeps it; called when first needed.
        tenant: Whose memory where none is named.
        flush: Called before anything is read or erased, so that a step that just ended is seen.
    """

    def __init__(
        self, keeper: Callable[[], MemoryKeeper], *, tenant: str, flush: Callable[[], object] = lambda: None
    ) -> None:
        self.keeper = keeper
        self.tenant = tenant
        self.flush = flush

    def search(self, text: str, *, kind: str | None = None, k: int = 5, tenant: str | None = None) -> list[Remembering]:
        """The remembered steps that resemble `text` most, the most similar first.

        Args:
            text: What a step may be about.
            kind: Only steps of this kind.
            k: How many at most.
            tenant: Whose; default is the router's.

        Raises:
            ConfigError: There is no such kind, or `k` is below 1.
            StoreError: The store is away.
        """
        wanted = checked(kind, k)
        return self.written().search(tenant or self.tenant, text, wanted, k)

    async def asearch(
        self, text: str, *, kind: str | None = None, k: int = 5, tenant: str | None = None
    ) -> list[Remembering]:
        """As `search`, without blocking the event loop."""
        wanted = checked(kind, k)
        return await self.keeper().asearch(tenant or self.tenant, text, wanted, k)

    def session(self, thread: str, *, tenant: str | None = None) -> Session:
        """What is remembered of a thread; a new session where nothing is.

        Raises:
            StoreError: The store is away, or a newer version wrote the session.
        """
        return self.written().session(tenant or self.tenant, thread)

    def overview(self, tenant: str | None = None) -> Overview:
        """How much is remembered, and of what.

        Raises:
            StoreError: The store is away.
        """
        return self.written().overview(tenant or self.tenant)

    def forget(self, *, tenant: str | None = None, user: str | None = None, thread: str | None = None) -> Forgotten:
        """Erase all of a tenant, or all of one user and of one thread of it; what is not there is no error.

        Sessions, outcomes, labels, traces, lessons, cache entries and journals go, whichever version wrote them, from
        the store and from this process. Other processes drop what they hold of it within seconds, and write what they
        had not yet written. The tallies of a user or thread stay: they are sums over many steps and name nobody.

        What is in a user's thread and not known to be another's goes too. Traces hold no user: a step's trace stays
        only if its outcome names another user. A step outside any thread that was not answered left no outcome,
        and nothing tells whose its trace is; it expires within a week.

        Args:
            tenant: Whose; default is the router's, but to erase a whole tenant it must be named.
            user: All of this user's.
            thread: All of this thread; with `user` too, both go.

        Raises:
            ConfigError: Nothing is named.
            StoreError: The store is away; what it had erased until then is gone, so ask again.
        """
        if user is None and thread is None and not tenant:
            raise ConfigError("forget needs a user, a thread, or the name of the tenant to erase; none was given")
        return self.written().forget(tenant or self.tenant, thread=thread, user=user)

    def export(
        self,
        path: str | PathLike[str],
        *,
        tenant: str | None = None,
        format: str | None = None,  # noqa: A002 # what everybody calls it
    ) -> Exported:
        """Write a tenant's outcomes, tallies and lessons to a file.

        It appears when it is whole, and only its owner may read it. Lessons are the only texts in it, and redacted.

        Args:
            path: The file; it is replaced if it is there.
            tenant: Whose; default is the router's.
            format: `jsonl` or `parquet`; default is what the file's name ends with.

        Raises:
            ConfigError: The format is unknown, or the file cannot be written.
            StoreError: The store is away.
        """
        place = Path(fspath(path))
        form = format_of(place, format)
        return self.written().export(tenant or self.tenant, place, form)

    def load(
        self,
        path: str | PathLike[str],
        *,
        tenant: str | None = None,
        format: str | None = None,  # noqa: A002 # as above
    ) -> Loaded:
        """Take over what `export` wrote, into this tenant, whoever's it was; a second time nothing changes.

        Only take what you trust: lessons in it will be shown to models.

        Args:
            path: The file.
            tenant: Into whose memory; default is the router's.
            format: As for `export`.

        Raises:
            ConfigError: The file cannot be read, is of a newer version, or a line is wrong; nothing was taken over.
            StoreError: The store is away.
        """
        place = Path(fspath(path))
        form = format_of(place, format)
        return self.written().load(tenant or self.tenant, place, form)

    def written(self) -> MemoryKeeper:
        """The keeper, with all that waits written out."""
        self.flush()
        return self.keeper()


def checked(kind: str | None, k: int) -> StepKind | None:
    """The kind that is meant.

    Raises:
        ConfigError: There is no such kind, or `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k!r}")
    try:
        return None if kind is None else StepKind(kind)
    except ValueError:
        raise ConfigError(f"kind must be one of {', '.join(StepKind)}, got {kind!r}") from None


def format_of(path: Path, form: str | None) -> Format:
    """The format that is meant.

    Raises:
        ConfigError: It is unknown, or the file's name does not tell it.
    """
    if form is None:
        found = SUFFIXES.get(path.suffix.lower())
        if found is None:
            raise ConfigError(f"a file's name must end with {', '.join(SUFFIXES)}, got {str(path)!r}; or name a format")
        return found
    for known in SUFFIXES.values():
        if form == known:
            return known
    raise ConfigError(f"format must be jsonl or parquet, got {form!r}")
