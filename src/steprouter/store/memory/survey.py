"""All keys of one tenant, found by what their names say, in pieces and without holding up the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from .patient import answers
from .pipeline import Command

SCAN_COUNT = 1000
"""Keys that the server looks at in one go: less than a millisecond of its time."""

CHUNK = 256
"""Commands in one round trip; nobody waits for these as a step does."""

SORTS = {
    "session": "sessions",
    "outcome": "outcomes",
    "counters": "tallies",
    "effect": "lesson_tallies",
    "labels": "pending_labels",
    "learned": "learned",
    "step": "traces",
    "lesson": "lessons",
    "cache": "cache_entries",
    "cached": "cache_tallies",
    "journal": "journals",
    "budget": "budgets",
    **dict.fromkeys(("compacting", "filling"), "leases"),
    **dict.fromkeys(("recent", "episode", "outcomes", "steps", "thread", "threads", "lessons"), "lists"),
}
"""What people call the records, by the label of their keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A key of a tenant, and what its name says.

    Attributes:
        key: The key.
        label: What is kept there, without the kind of step.
        kind: The kind of step, where the label has one.
        ids: The digests after it.
    """

    key: bytes
    label: str
    kind: str = ""
    ids: tuple[str, ...] = ()

    @property
    def sort(self) -> str:
        """What people call it; a label that a newer version added stands for itself."""
        return SORTS.get(self.label, self.label)

    @property
    def id(self) -> str:
        """The last digest; empty if there is none."""
        return self.ids[-1] if self.ids else ""


def read_name(key: bytes, tag: str) -> Named:
    """What a key of the tenant with this digest is."""
    before, _, after = key.decode("ascii", "replace").removeprefix("sr:").partition(f"{{t:{tag}}}")
    parts = [part for part in (before + after.removeprefix(":")).split(":") if part]
    label, _, kind = (parts[0] if parts else "").partition("-")
    return Named(key=key, label=label, kind=kind, ids=tuple(parts[1:]))


def tenant_keys(connection: Connection, keys: Keys, tenant: str) -> Iterator[list[Named]]:
    """All keys of a tenant, piece by piece; a key may come twice, and one made meanwhile may not come.

    Raises:
        StoreError: The store is away.
    """
    tag = keys.tenant_tag(tenant)
    # Made of our own digest only, so that no id can be a pattern. `sr:{t:…}:…` and `sr:<record>:{t:…}:…` both match.
    pattern, cursor = f"sr:*{{t:{tag}}}:*", 0
    while True:
        position, found = asked(connection, [("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)])[0]
        yield [read_name(bytes(key), tag) for key in found]
        cursor = int(position)
        if cursor == 0:
            return


def asked(connection: Connection, commands: Sequence[Command], *, besides: str = "\0") -> list[Any]:
    """The replies, in several round trips where there are many commands.

    Args:
        connection: The store.
        commands: What to ask.
        besides: How refusals begin that are given as replies.

    Raises:
        StoreError: The store is away, or refuses.
    """
    replies: list[Any] = []
    for first in range(0, len(commands), CHUNK):
        some = answers(connection, *commands[first : first + CHUNK], besides=besides)
        if isinstance(some, Missing):
            raise StoreError(f"memory cannot be reached: {some.reason}")
        replies += some
    return replies
