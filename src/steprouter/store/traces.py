"""Keeps finished traces: the newest steps of the newest threads of each tenant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from steprouter.errors import StoreError
from steprouter.memory.traces import STEPS_PER_THREAD, StoredTrace, ThreadLine, TraceKeeper

from ..memory.recall import Missing
from .embedded.places import default_data_dir
from .keys import DEFAULT_TENANT, Keys, load_secret

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline

    from .connect import Connection

R = TypeVar("R")

TTL_SECONDS = 7 * 24 * 3600
"""A week: long enough to look into what went wrong before the weekend."""

THREADS_PER_TENANT = 1000
"""With 500 steps of some 4 kB each the bound of a tenant that fills everything; `maxmemory` evicts before."""

BATCH = 64
"""Traces per round trip: some 0.3 MB, which a local server takes in a few milliseconds."""

PATIENT_SECONDS = 1.0
"""Traces are written and read off the step's path, so they may wait where a recall may not."""


class MemoryTraces:
    """Traces in this process, gone with it.

    Args:
        steps_per_thread: How many steps of a thread are kept.
        threads_per_tenant: How many threads of a tenant are kept.
        tenants: How many tenants are kept, those written to last.
    """

    def __init__(self, *, steps_per_thread: int = 200, threads_per_tenant: int = 100, tenants: int = 100) -> None:
        self.steps_per_thread = steps_per_thread
        self.threads_per_tenant = threads_per_tenant
        self.tenants = tenants
        self.kept: dict[str, dict[str, dict[str, StoredTrace]]] = {}
        self.lock = threading.Lock()

    def write(self, traces: Sequence[StoredTrace]) -> int:
        """Keeps the traces; the number that was kept."""
        with self.lock:
            for trace in traces:
                tenant = trace.tenant or DEFAULT_TENANT
                threads = self.kept.pop(tenant, {})
                self.kept[tenant] = threads  # moved to the end: written to last
                steps = threads.setdefault(trace.thread, {})
                steps[trace.step_id] = trace
                while len(steps) > self.steps_per_thread:
                    del steps[min(steps, key=lambda name: steps[name].started_at)]
                while len(threads) > self.threads_per_tenant:
                    del threads[min(threads, key=lambda name: newest(threads[name].values()))]
                while len(self.kept) > self.tenants:
                    del self.kept[next(iter(self.kept))]
        return len(traces)

    def threads(self, tenant: str, limit: int = 50) -> list[ThreadLine]:
        """The tenant's threads, the one with the newest step first."""
        with self.lock:
            lines = [
                ThreadLine(thread=name, steps=len(steps), last_at=newest(steps.values()))
                for name, steps in self.kept.get(tenant or DEFAULT_TENANT, {}).items()
            ]
        return sorted(lines, key=lambda line: line.last_at, reverse=True)[: max(limit, 0)]

    def steps(self, tenant: str, thread: str, limit: int = STEPS_PER_THREAD) -> list[bytes]:
        """The payloads of a thread's newest `limit` steps, oldest first."""
        with self.lock:
            found = list(self.kept.get(tenant or DEFAULT_TENANT, {}).get(thread, {}).values())
        ordered = sorted(found, key=lambda trace: trace.started_at)
        return [trace.payload for trace in ordered[max(len(ordered) - max(limit, 0), 0) :]]

    def step(self, tenant: str, step_id: str) -> bytes | None:
        """The payload of a step, or `None` if it is not kept."""
        with self.lock:
            for steps in self.kept.get(tenant or DEFAULT_TENANT, {}).values():
                if step_id in steps:
                    return steps[step_id].payload
        return None

    def latest_thread(self, tenant: str) -> str | None:
        """The thread with the newest step, or `None` if there is none."""
        return next((line.thread for line in self.threads(tenant, 1)), None)


def newest(traces: Iterable[StoredTrace]) -> float:
    """When the newest of the traces started."""
    return max(trace.started_at for trace in traces)


class RedisTraces:
    """Traces in Redis.

    Per tenant, with ids as digests:

    - `step:<step>` the payload;
    - `steps:<thread>` a sorted set of the thread's step keys by start;
    - `thread:<thread>` the thread's id in clear;
    - `threads` a sorted set of the threads' digests by newest start.

    Every key has a TTL that writing renews.

    Args:
        connection: The store.
        keys: Names the keys.
        ttl_seconds: How long a silent thread is kept.
        steps_per_thread: How many steps of a thread are kept.
        threads_per_tenant: How many threads of a tenant are kept.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        *,
        ttl_seconds: int = TTL_SECONDS,
        steps_per_thread: int = STEPS_PER_THREAD,
        threads_per_tenant: int = THREADS_PER_TENANT,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.ttl_seconds = ttl_seconds
        self.steps_per_thread = steps_per_thread
        self.threads_per_tenant = threads_per_tenant

    def write(self, traces: Sequence[StoredTrace]) -> int:
        """Keeps the traces; the number that was kept."""
        written = 0
        for first in range(0, len(traces), BATCH):
            batch = traces[first : first + BATCH]
            done = self.connection.call(partial(self.put, batch=batch), deadline_seconds=PATIENT_SECONDS)
            if isinstance(done, Missing):
                break
            written += len(batch)
        return written

    def put(self, client: Redis, batch: Sequence[StoredTrace]) -> None:
        """Writes a batch in one round trip, and trims in a second one what has grown too long."""
        with client.pipeline(transaction=False) as pipe:
            for trace in batch:
                self.queue(pipe, trace)
            touched = sorted({(trace.tenant, trace.thread) for trace in batch})
            for tenant, thread in touched:
                pipe.zcard(self.keys.tenant(tenant, "steps", thread))
            tenants = sorted({trace.tenant for trace in batch})
            for tenant in tenants:
                pipe.zcard(self.keys.tenant(tenant, "threads"))
            sizes = pipe.execute()[-len(touched) - len(tenants) :]
        for (tenant, thread), size in zip(touched, sizes, strict=False):
            if size > self.steps_per_thread:
                self.drop_steps(client, self.keys.tenant(tenant, "steps", thread), size - self.steps_per_thread)
        for tenant, size in zip(tenants, sizes[len(touched) :], strict=True):
            if size > self.threads_per_tenant:
                self.drop_threads(client, tenant, size - self.threads_per_tenant)

    def queue(self, pipe: Pipeline, trace: StoredTrace) -> None:
        """Queues the commands that keep one trace."""
        step = self.keys.tenant(trace.tenant, "step", trace.step_id)
        steps = self.keys.tenant(trace.tenant, "steps", trace.thread)
        name = self.keys.tenant(trace.tenant, "thread", trace.thread)
        threads = self.keys.tenant(trace.tenant, "threads")
        digest = name.rpartition(":")[2]
        pipe.set(step, trace.payload, ex=self.ttl_seconds)
        pipe.set(name, trace.thread.encode("utf-8", "surrogatepass"), ex=self.ttl_seconds)
        for group, member in ((steps, step), (threads, digest)):
            # A thread's newest start never falls: GT. A step written again may have another start.
            pipe.zadd(group, {member: trace.started_at}, gt=group is threads)
            pipe.expire(group, self.ttl_seconds)
        # Their payloads have expired; the set lives on with its newest step.
        pipe.zremrangebyscore(steps, "-inf", f"({trace.started_at - self.ttl_seconds}")

    def drop_steps(self, client: Redis, steps: str, count: int) -> None:
        """Deletes a thread's oldest steps. Popping is atomic, so two writers never delete one step twice."""
        popped: Any = client.zpopmin(steps, count)
        client.unlink(*(member for member, _ in popped))

    def drop_threads(self, client: Redis, tenant: str, count: int) -> None:
        """Deletes the tenant's longest silent threads with their steps."""
        popped: Any = client.zpopmin(self.keys.tenant(tenant, "threads"), count)
        for digest, _ in popped:
            steps = self.of_digest(tenant, "steps", digest)
            members: Any = client.zrange(steps, 0, -1)
            client.unlink(*members, steps, self.of_digest(tenant, "thread", digest))

    def of_digest(self, tenant: str, label: str, digest: bytes) -> str:
        """The key of a thread of which only the digest is known."""
        return f"{self.keys.tenant(tenant, label)}:{digest.decode()}"

    def threads(self, tenant: str, limit: int = 50) -> list[ThreadLine]:
        """The tenant's threads, the one with the newest step first."""
        return self.read(partial(self.lines, tenant=tenant, limit=limit))

    def lines(self, client: Redis, tenant: str, limit: int) -> list[ThreadLine]:
        """The lines of the threads that have not expired."""
        if limit <= 0:
            return []
        group = self.keys.tenant(tenant, "threads")
        ranked: Any = client.zrange(group, 0, limit - 1, desc=True, withscores=True)
        with client.pipeline(transaction=False) as pipe:
            for digest, _ in ranked:
                pipe.get(self.of_digest(tenant, "thread", digest))
                pipe.zcard(self.of_digest(tenant, "steps", digest))
            said = pipe.execute() if ranked else []
        return [
            ThreadLine(thread=name.decode("utf-8", "surrogatepass"), steps=size, last_at=last_at)
            for (_, last_at), name, size in zip(ranked, said[::2], said[1::2], strict=True)
            if name is not None
        ]

    def steps(self, tenant: str, thread: str, limit: int = STEPS_PER_THREAD) -> list[bytes]:
        """The payloads of a thread's newest `limit` steps, oldest first."""

        def of_thread(client: Redis) -> list[bytes]:
            members: Any = client.zrange(self.keys.tenant(tenant, "steps", thread), -limit, -1)
            found: Any = client.mget(members) if members else []
            return [payload for payload in found if payload is not None]

        return self.read(of_thread) if limit > 0 else []

    def step(self, tenant: str, step_id: str) -> bytes | None:
        """The payload of a step, or `None` if it is not kept."""
        found: Any = self.read(lambda client: client.get(self.keys.tenant(tenant, "step", step_id)))
        return None if found is None else bytes(found)

    def latest_thread(self, tenant: str) -> str | None:
        """The thread with the newest step, or `None` if there is none."""
        # A few at once: the newest may have been evicted.
        return next((line.thread for line in self.threads(tenant, 5)), None)

    def read(self, use: Callable[[Redis], R]) -> R:
        """What the store answers.

        Raises:
            StoreError: It does not.
        """
        found = self.connection.call(use, deadline_seconds=PATIENT_SECONDS)
        if isinstance(found, Missing):
            raise StoreError(f"traces cannot be read: {found.reason}")
        return found


def open_traces(connection: Connection, keys: Keys | None = None) -> TraceKeeper:
    """The keeper for a connection, which is opened: Redis, or memory where no server is to be had.

    Args:
        connection: The store.
        keys: How keys are named; by default with the deployment's secret, which memory does not need.

    Raises:
        ConfigError: The deployment's secret can be neither read nor made.
    """
    facts = connection.open()
    if not isinstance(facts, Missing) and facts.place == "memory":
        return MemoryTraces()
    return RedisTraces(
        connection, keys or Keys(secret=load_secret(connection.settings().data_dir or default_data_dir()))
    )
