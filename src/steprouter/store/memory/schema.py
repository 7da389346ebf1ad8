"""How memory lies in Redis: keys, fields and versions. Nothing else knows them.

Per tenant, ids as digests (`Keys`):

    sr:{t:…}:session:<thread>          hash   the session, without its recent steps
    sr:{t:…}:recent:<thread>           zset   its recent steps as JSON, by start
    sr:{t:…}:episode:<thread>          zset   ids of its outcomes, by start; a day
    sr:outcome:{t:…}:<step>            hash   what became of an attempt, with its vector
    sr:{t:…}:outcomes-<kind>           zset   ids of a kind's outcomes, by last change
    sr:{t:…}:counters-<kind>[:<node>]  hash   a tally for each model
    sr:{t:…}:labels:<step>             hash   a label that came before its outcome; a day
    sr:{t:…}:learned                   hash   what else its steps taught: a field for the ledger, each model, kind, node
    sr:lesson:{t:…}:<step>             hash   a solved step, redacted; a day until it is verified, then 90
    sr:{t:…}:lessons-<kind>            zset   ids of a kind's verified lessons, by last change
    sr:{t:…}:effect-<kind>             hash   what lessons did there: a tally for each side and lesson
    sr:{t:…}:budget-<span>[:<whose>]   hash   what was spent of budgets (`live/ledger_orders.py`)
    sr:{t:…}:journal:<place>           hash   what unfinished streams have said (`live/journal_scripts.py`); minutes
    sr:cache:{t:…}:<exact>             hash   an answer that may be given again, with its question's vector; its time
    sr:{t:…}:cached-state              hash   epoch and revision of the tenant's answers; 90 days
    sr:{t:…}:cached-ids                zset   which answers there are, by when they expire
    sr:{t:…}:cached-pools              hash   how often answers of a pool were right and wrong; 90 days
    sr:{t:…}:cached-counts             hash   what the answers have saved; 90 days
    sr:{t:…}:cached-floor:<part>       string when answers with a tag, of a model or node were last removed; an hour
    sr:{t:…}:filling:<exact>           string who is getting an answer; half a minute
    sr:{t:…}:compacting-<kind>         string lease of a compaction; a minute
    sr:{d}:health:<model>:<settings>   string a deployment's health, for all tenants; a day
    sr:{d}:index-growth:<alias>        string lease of a growing index; a minute

The search indexes cover all tenants' outcomes, and answers, that were embedded alike; they are called
`sr:outcomes:<version>:<space>` and `sr:cache:…`, and so is the alias under which each is asked, whichever algorithm it
uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ..keys import Keys

VERSION = 1
"""Of every record and index. A reader skips what is newer than it knows, and says so; a writer never changes it."""

DAY_SECONDS = 24 * 3600

OUTCOME_PREFIX = "sr:outcome:"
"""How the keys of all outcomes begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The space that vectors live in; those of two spaces are never compared.

    Attributes:
        identity: The embedder's, with model, version and dimension.
        dimension: Numbers in a vector.
    """

    identity: str
    dimension: int

    @property
    def tag(self) -> str:
        """A short name of letters and digits for keys and fields."""
        return sha256(self.identity.encode("utf-8", "surrogatepass")).hexdigest()[:10]

    @property
    def field(self) -> str:
        """The hash field that holds a vector of this space: another space's is invisible to its index."""
        return f"vector_{self.tag}"

    @property
    def index(self) -> str:
        """The alias under which the outcomes of this space are searched."""
        return f"sr:outcomes:{VERSION}:{self.tag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The keys of one tenant's memory.

    Attributes:
        keys: Names them.
        tenant: The tenant's id, in clear.
    """

    keys: Keys
    tenant: str

    def session(self, thread: str) -> tuple[str, str]:
        """The session and its recent steps."""
        return self.keys.tenant(self.tenant, "session", thread), self.keys.tenant(self.tenant, "recent", thread)

    def episode(self, thread: str) -> str:
        """Which outcomes a thread has."""
        return self.keys.tenant(self.tenant, "episode", thread)

    def outcome(self, record: str) -> str:
        """What became of an attempt."""
        return self.keys.record(self.tenant, "outcome", record)

    def outcome_of(self, digest: str) -> str:
        """The same for a record of which only the digest is known."""
        return f"{self.keys.record(self.tenant, 'outcome')}:{digest}"

    def outcomes(self, kind: str) -> str:
        """Which outcomes a kind has."""
        return self.keys.tenant(self.tenant, f"outcomes-{kind}")

    def counters(self, kind: str, node: str | None = None) -> str:
        """The tallies of a kind, or of a kind at a node."""
        return self.keys.tenant(self.tenant, f"counters-{kind}", *([] if node is None else [node]))

    def learned(self) -> str:
        """What else the tenant's steps have taught."""
        return self.keys.tenant(self.tenant, "learned")

    def pace(self, node: str | None) -> str:
        """The field of it that says how long sessions go on at a node."""
        # By way of a key, whose digest is the same and is remembered: a recall asks three times.
        return "pace:" if node is None else f"pace:{self.keys.tenant(self.tenant, 'pace', node).rpartition(':')[2]}"

    def lesson(self, record: str) -> str:
        """What a step solved."""
        return self.keys.record(self.tenant, "lesson", record)

    def lesson_of(self, digest: str) -> str:
        """The same for a record of which only the digest is known."""
        return f"{self.keys.record(self.tenant, 'lesson')}:{digest}"

    def lessons(self, kind: str) -> str:
        """Which verified lessons a kind has."""
        return self.keys.tenant(self.tenant, f"lessons-{kind}")

    def effect(self, kind: str) -> str:
        """What lessons did at a kind of step."""
        return self.keys.tenant(self.tenant, f"effect-{kind}")

    def health(self, model: str, settings: str = "") -> str:
        """The health of a deployment, which all tenants share; with other settings it is another deployment."""
        return self.keys.deployment("health", model, settings)

    def budget(self, span: str = "tenant-ever", *ids: str) -> str:
        """What the tenant, or one of its users or threads, has spent in a span of time."""
        return self.keys.tenant(self.tenant, f"budget-{span}", *ids)

    def journal(self, place: str) -> str:
        """What unfinished streams have said that were called from a place in a graph (`JournalPlace.name`)."""
        return self.keys.tenant(self.tenant, "journal", place)

    def answer(self, exact: str) -> str:
        """An answer that may be given again.

        Args:
            exact: The digest of the whole question, as it is.

        Raises:
            ValueError: That is no digest.
        """
        return f"{self.keys.record(self.tenant, 'cache')}:{digested(exact)}"

    def filling(self, exact: str) -> str:
        """Who is getting the answer to a question; argument and errors as of `answer`."""
        return f"{self.keys.tenant(self.tenant, 'filling')}:{digested(exact)}"

    def cached(self, what: str) -> str:
        """What is kept about all answers of the tenant: their `state`, `ids`, `pools` or `counts`."""
        return self.keys.tenant(self.tenant, f"cached-{what}")

    def cached_floor(self, what: str, name: str) -> str:
        """When answers with a `tag`, of a `model` or a `node` were last removed."""
        return self.keys.tenant(self.tenant, "cached-floor", what, name)

    def pending(self, record: str) -> str:
        """A label that came before its outcome."""
        return self.keys.tenant(self.tenant, "labels", record)


def digested(one: str) -> str:
    """The digest, if it is one: letters and digits.

    Raises:
        ValueError: It is not.
    """
    if not (one.isascii() and one.isalnum()):
        raise ValueError(f"a digest must be ASCII letters and digits, got {one!r}")
    return one
