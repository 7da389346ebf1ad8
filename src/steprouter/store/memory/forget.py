"""Erases a tenant, or a user and a thread of it, and looks a second time over all keys whether it did.

Which records are meant is read from their names and from their fields `thread` and `user`, never from a version, so
that what a newer steprouter wrote is erased too. Who is meant stands in Redis as a digest only.

A user's traces are found by way of the outcomes and sessions that name the user: a trace says its thread and no user.
In a thread that the user has been in, what an outcome names as another user's stays, and all else goes: a session two
users share, and steps nobody is named for. Outcomes go last, since they lead to the rest: an erasure that was
interrupted finds its way when it is asked for again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from steprouter.memory.face import Forgotten
from steprouter.memory.remember import Remembrance

from ..cache.scripts import floor_command
from ..connect import Connection
from ..keys import Keys
from .pipeline import Command
from .remote import RedisMemory
from .schema import Places
from .survey import CHUNK, Named, asked, tenant_keys

ROUNDS = 3
"""How often what others wrote meanwhile is erased again."""

OF_OTHERS = ("step", "outcome", "labels", "lesson", "cache", "cached", "filling", "journal", "counters")
"""Labels of keys whose digest is not a thread's or user's. A node may be called as a user is, and its tallies stay."""

LISTS = ("outcomes", "lessons", "effect", "steps", "episode")
"""Labels of keys that list records by digest."""

MENTIONS = r"""
local function thread_of(text)
  local _, from = string.find(text, '"thread": "', 1, true)
  local at = from
  while at do
    at = string.find(text, '["\\]', at + 1)
    if at and string.byte(text, at) == 34 then return string.sub(text, from, at) end
    at = at and at + 1
  end
end
local wanted, found = {}, {}
for _, thread in ipairs(ARGV) do wanted[thread] = true end
for i, key in ipairs(KEYS) do
  local text = redis.pcall('GET', key)
  local thread = type(text) == 'string' and thread_of(text)
  found[i] = thread and wanted[thread] and 1 or 0
end
return found
"""
"""KEYS traces, ARGV threads as JSON: which traces are of one of them. So that a trace is found whose thread's list
was evicted, without bringing all traces over: 4 kB each, and the thread stands in the first hundred bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whose records are meant; digests but for `names`.

    Attributes:
        thread: The thread, if one is.
        user: The user, if one is.
        threads: The threads that the user has been in.
        names: Ids in clear of the thread and of those threads, as far as they are known.
    """

    thread: str | None
    user: str | None
    threads: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def means(self, thread: str | None, user: str | None) -> bool:
        """Whether a record of this thread and user goes."""
        if thread is not None and thread == self.thread:
            return True
        return self.user is not None and (user == self.user or (user is None and thread in self.threads))

    def means_key(self, one: Named) -> bool:
        """Whether a key goes by its name alone."""
        if one.label in ("session", "recent"):
            return one.id == self.thread or one.id in self.threads
        if one.label in ("episode", "steps", "thread"):  # of a user's thread only what is not another's
            return one.id == self.thread
        return one.label not in OF_OTHERS and bool({self.thread, self.user} & set(one.ids))


@dataclass(slots=True)
class Found:
    """What is to go.

    Attributes:
        keys: Keys with their sorts.
        last: Keys of outcomes, which go last.
        members: What is to be taken out of keys that stay.
        mine: Digests of the steps that go.
        theirs: Digests of the steps in the user's threads that are another's.
        lists: What lists records: sorted sets, and the hashes of what lessons did.
    """

    keys: dict[bytes, str] = field(default_factory=dict)
    last: dict[bytes, str] = field(default_factory=dict)
    members: list[Command] = field(default_factory=list)
    mine: set[str] = field(default_factory=set)
    theirs: set[str] = field(default_factory=set)
    lists: list[Named] = field(default_factory=list)

    @property
    def sorts(self) -> Counter[str]:
        """How many keys of each sort."""
        return Counter((self.keys | self.last).values())


def erase_tenant(connection: Connection, keys: Keys, tenant: str) -> Forgotten:
    """Erase all that is kept of a tenant.

    Raises:
        StoreError: The store is away.
    """
    erased: Counter[str] = Counter()
    for _ in range(ROUNDS):
        for found in tenant_keys(connection, keys, tenant):
            erased += unlink(connection, {one.key: one.sort for one in found})
        left = {one.key: one.sort for found in tenant_keys(connection, keys, tenant) for one in found}
        if not left:
            break
    return Forgotten(erased=dict(sorted(erased.items())), remains=dict(Counter(left.values())))


def whom(keys: Keys, tenant: str, *, thread: str | None, user: str | None) -> Whom:
    """Who is meant by a thread and a user in clear."""
    return Whom(
        thread=None if thread is None else keys.id_tag(tenant, thread),
        user=None if user is None else keys.id_tag(tenant, user),
        names=frozenset() if thread is None else frozenset([thread]),
    )


def erase_part(connection: Connection, keys: Keys, tenant: str, whom: Whom) -> tuple[Forgotten, Whom]:
    """Erase what is kept of a thread and a user; also gives whom it was found to be about.

    Raises:
        StoreError: The store is away.
    """
    erased: Counter[str] = Counter()
    whom = widened(connection, keys, tenant, whom)
    found = find(connection, keys, tenant, whom)
    for _ in range(ROUNDS):
        erased += unlink(connection, found.keys)
        asked(connection, found.members, besides="WRONGTYPE")
        erased += unlink(connection, found.last)
        whom = widened(connection, keys, tenant, whom)
        found = find(connection, keys, tenant, whom)
        if not found.sorts:
            break
    if erased["cache_entries"]:  # other processes may have them at hand
        asked(connection, [floor_command(Places(keys=keys, tenant=tenant), {})])
    return Forgotten(erased=dict(sorted(erased.items())), remains=dict(found.sorts)), whom


def unlink(connection: Connection, keys: dict[bytes, str]) -> Counter[str]:
    """Delete keys; how many of each sort were there."""
    gone = asked(connection, [("UNLINK", key) for key in keys])
    return Counter(sort for sort, count in zip(keys.values(), gone, strict=True) if count)


def widened(connection: Connection, keys: Keys, tenant: str, whom: Whom) -> Whom:
    """With the threads that the user has been in, as outcomes, lessons and sessions tell."""
    if whom.user is None:
        return whom
    threads = set(whom.threads)
    for chunk in tenant_keys(connection, keys, tenant):
        sessions = [one for one in chunk if one.label == "session"]
        known = asked(connection, [("HEXISTS", one.key, f"user:{whom.user}") for one in sessions], besides="WRONGTYPE")
        threads |= {one.id for one, is_there in zip(sessions, known, strict=True) if is_there == 1}
        threads |= {thread for _, thread, user in owners(connection, chunk) if user == whom.user and thread is not None}
    places = [("GET", f"{keys.tenant(tenant, 'thread')}:{thread}") for thread in sorted(threads)]
    names = {name.decode("utf-8", "surrogatepass") for name in asked(connection, places, besides="WRONGTYPE") if name}
    return replace(whom, threads=frozenset(threads), names=whom.names | names)


def owners(connection: Connection, chunk: Sequence[Named]) -> Iterable[tuple[Named, str | None, str | None]]:
    """Records that may say whose they are, with thread and user."""
    records = [one for one in chunk if one.label in ("outcome", "lesson", "cache", "journal") or is_unknown(one)]
    replies = asked(connection, [("HMGET", one.key, "thread", "user") for one in records], besides="WRONGTYPE")
    for one, reply in zip(records, replies, strict=True):
        if not isinstance(reply, Exception):
            thread, user = (None if value is None else value.decode("ascii", "replace") for value in reply)
            yield one, thread, user


def is_unknown(one: Named) -> bool:
    """Whether a newer version added this label."""
    return one.sort == one.label


def find(connection: Connection, keys: Keys, tenant: str, whom: Whom) -> Found:
    """What there is of a thread and a user, by a scan of all keys of the tenant.

    Raises:
        StoreError: The store is away.
    """
    found, mentioned = Found(), list[Named]()
    for chunk in tenant_keys(connection, keys, tenant):
        found.keys.update({one.key: one.sort for one in chunk if whom.means_key(one)})
        for one, thread, user in owners(connection, chunk):
            take(found, whom, one, thread, user)
        found.lists += [one for one in chunk if one.label in LISTS]
        mentioned += mentioning(connection, [one for one in chunk if one.label == "step"], whom.names)
    going = [one for one in mentioned if one.id not in found.theirs]
    found.keys.update({one.key: one.sort for one in going})
    found.mine.update(one.id for one in going)
    for digest in sorted({whom.thread, *whom.threads} - {None}, key=str):
        add_thread(connection, keys, tenant, found, str(digest), whole=digest == whom.thread)
    add_by_step(connection, keys, tenant, found)
    found.members += [command for one in found.lists for command in removals(keys, tenant, one, found, whom)]
    return found


def take(found: Found, whom: Whom, one: Named, thread: str | None, user: str | None) -> None:
    """Take a record that goes, and note one that is another user's. A journal that names nobody may be anybody's."""
    is_nobodys = one.label == "journal" and thread is None and user is None
    if whom.means(thread, user) or is_nobodys:
        (found.last if one.label == "outcome" else found.keys)[one.key] = one.sort
        found.mine.add(one.id)
    elif one.label == "outcome" and thread in whom.threads:
        found.theirs.add(one.id)


def mentioning(connection: Connection, traces: Sequence[Named], names: Iterable[str]) -> list[Named]:
    """Those of the traces that say they are of a thread with one of these names."""
    texts, found = [json.dumps(name) for name in names], list[Named]()
    for first in range(0, len(traces) if texts else 0, CHUNK):
        some = traces[first : first + CHUNK]
        told = asked(connection, [("EVAL", MENTIONS, len(some), *(one.key for one in some), *texts)])[0]
        found += [one for one, is_of_it in zip(some, told, strict=True) if is_of_it]
    return found


def add_thread(connection: Connection, keys: Keys, tenant: str, found: Found, digest: str, *, whole: bool) -> None:
    """Add a thread's traces, all of them or those that are not another user's."""
    steps, name = (f"{keys.tenant(tenant, label)}:{digest}".encode() for label in ("steps", "thread"))
    members, is_named = asked(connection, [("ZRANGE", steps, 0, -1), ("EXISTS", name)])
    steps_by_digest = {bytes(one).rpartition(b":")[2].decode("ascii", "replace"): bytes(one) for one in members}
    going = {one: key for one, key in steps_by_digest.items() if whole or one not in found.theirs}
    found.mine.update(going)
    found.keys.update(dict.fromkeys(going.values(), "traces"))
    if len(going) == len(steps_by_digest):
        found.keys.update(dict.fromkeys([steps] * bool(members) + [name] * bool(is_named), "lists"))
        found.members.append(("ZREM", keys.tenant(tenant, "threads"), digest))


def add_by_step(connection: Connection, keys: Keys, tenant: str, found: Found) -> None:
    """Add what is kept under the digests of the steps that go: traces outside threads, and labels that wait."""
    for label, sort in (("step", "traces"), ("labels", "pending_labels")):
        places = [f"{keys.tenant(tenant, label)}:{digest}".encode() for digest in sorted(found.mine)]
        there = asked(connection, [("EXISTS", place) for place in places])
        found.keys.update({place: sort for place, is_there in zip(places, there, strict=True) if is_there})


def removals(keys: Keys, tenant: str, one: Named, found: Found, whom: Whom) -> Iterable[Command]:
    """What takes the records that go out of a list that stays."""
    if one.key in found.keys or (one.label == "episode" and one.id not in whom.threads):
        return
    step, mine = keys.tenant(tenant, "step"), sorted(found.mine)
    members = [f"{step}:{digest}" for digest in mine] if one.label == "steps" else mine
    for first in range(0, len(members), CHUNK):
        yield ("HDEL" if one.label == "effect" else "ZREM", one.key, *members[first : first + CHUNK])


def drop_here(remote: RedisMemory, tenant: str, whom: Whom | None) -> None:
    """Drop what this process holds of a tenant, or of a part of it, also what it has not yet written.

    The caller holds `remote.writing`, so that nothing is being written meanwhile.
    """

    def is_meant(place: tuple[str, str]) -> bool:
        if place[0] != tenant:
            return False
        return whom is None or is_thread(remote.keys.id_tag(tenant, place[1]), whom)

    def is_awaited(one: Remembrance) -> bool:
        if one.tenant != tenant or whom is None:
            return one.tenant != tenant
        thread, user = (None if name is None else remote.keys.id_tag(tenant, name) for name in (one.thread, one.user))
        return not whom.means(thread, user)

    dropped = [one for one in remote.waiting if not is_awaited(one)]
    remote.waiting = [one for one in remote.waiting if is_awaited(one)]
    with remote.lock:
        for one in dropped:
            remote.uncharge(one)
        if whom is None:
            remote.taught.pop(tenant, None)
            remote.charges.pop(tenant, None)
        for place in [place for place in remote.known if is_meant(place)]:
            del remote.known[place]
        for place in [place for place in remote.unseen if is_meant(place)]:
            del remote.unseen[place]
        for kept in [kept for kept in remote.counted if whom is None and kept[0] == tenant]:
            del remote.counted[kept]


def is_thread(digest: str, whom: Whom) -> bool:
    """Whether a session of this thread goes."""
    return digest == whom.thread or digest in whom.threads
