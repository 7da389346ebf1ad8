"""What the answer cache costs a step, beside redisvl's `SemanticCache.check` over the same answers.

    python benchmarks/cache_speed.py [--rounds N] [--entries N] [--json FILE]

Starts the embedded Redis server in a folder of its own and fills it: cached answers, a session, health, a budget.
Both read the same records, ours by its index and redisvl by one of its own over the same keys' twins, and both are
given the vector. Nothing else is opened and nothing is sent out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measure import Spread, atimed, in_turns, timed

from steprouter.answering.answer import Answer
from steprouter.answering.breaker import Breaker
from steprouter.answering.budgets import Budget
from steprouter.caching.entry import Cached, Entry
from steprouter.caching.facets import facets_of
from steprouter.caching.orders import Kept, Lookup, Observed
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.cache.shelf import Shelf
from steprouter.store.embedded import acquire
from steprouter.store.live.health_record import Record, text_of
from steprouter.store.live.ledger_orders import counters
from steprouter.store.memory.index import Ready, cache_index
from steprouter.store.memory.pipeline import Command, carry_out
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places

Later = Coroutine[Any, Any, Any]
Floats = npt.NDArray[np.float32]

KEYS = Keys(secret=b"benchmark of the cache, no secret")
MODELS = ("nano", "small", "medium", "large", "local")
SETTINGS = dict.fromkeys(MODELS, "ab" * 8)
BUDGET = Budget(usd=10.0)
DIMENSION = 256
SCOPES = 20
DEADLINE = 0.5
"""Seconds; ten times the default, so that a pause of this machine is measured and not cut off."""
NOW = 1_800_000_000.0
QUESTION = "How do I send back shoes that I bought less than 30 days ago?"
ANSWER = "An answer of some length, as an agent gives it. " * 8
STEP = Step(
    id="now", kind=StepKind.ANSWER, place=Place(tenant="acme", thread="t", node="agent"), text=QUESTION, started_at=NOW
)
PLACES = Places(keys=KEYS, tenant="acme")
ASKED = 17
"""The answer whose question is asked."""

SCOPE = f"scope{ASKED % SCOPES}"
ABOVE = {
    "semantic hit, sync": ("redisvl check, sync", "redisvl check, TTL, sync"),
    "semantic hit, async": ("redisvl check, async", "redisvl check, TTL, async"),
    "exact hit at hand": ("redisvl check, sync",),
    "exact hit in Redis, sync": ("redisvl check, sync",),
    "miss, sync": ("no cache, sync",),
    "miss, async": ("no cache, async",),
}
"""With what each is compared."""


class Given:
    """An embedder that is never asked: the vector is given."""

    identity = "benchmark/256"
    dimension = DIMENSION
    blocks = False

    def embed(self, text: str) -> Any:
        """Nothing here embeds.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(text)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A filled server and the ways to it."""

    url: str
    memory: Recollection
    shelf: Shelf
    bare: Recollection
    vectors: Floats

    @property
    def alike(self) -> Lookup:
        """What a step asks whose question is like one that has an answer."""
        return Lookup(exact="other", semantic=SCOPE, vector=self.vectors[ASKED], holder="now", fill=False)


def directions(number: int) -> Floats:
    """Unit vectors around 50 centres, as questions lie."""
    drawn = np.random.default_rng(3)
    centres = drawn.standard_normal((50, DIMENSION))
    vectors = centres[drawn.integers(50, size=number)] + 0.5 * drawn.standard_normal((number, DIMENSION))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    return unit


def remembering(connection: Connection, *, answers: bool) -> Recollection:
    """A router's memory, with the cache or without."""
    return Recollection(
        connection, lambda: KEYS, Given(), models=MODELS, settings=SETTINGS, budgets=(BUDGET,), answers=answers
    )


@contextmanager
def filled(entries: int) -> Iterator[Bench]:
    """A server with everything in it."""
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = acquire(Path(folder) / "data", grace_seconds=0.0)
        connection = connect(server.url, deadline_seconds=DEADLINE)
        memory, bare = remembering(connection, answers=True), remembering(connection, answers=False)
        shelf, vectors = memory.shelf, directions(entries)
        assert shelf is not None
        try:
            fill_session(memory)
            fill_live(connection)
            fill_cache(memory, shelf, vectors)
            yield Bench(url=server.url, memory=memory, shelf=shelf, bare=bare, vectors=vectors)
        finally:
            memory.close()
            bare.close()
            connection.close()
            server.release()


def fill_session(memory: Recollection) -> None:
    """A session with sixteen steps."""
    batch = []
    for number in range(16):
        decided = Decided(step_id=f"s{number}", at=NOW - 100 + number, kind="chat", model="small", calls=("ab" * 12,))
        batch.append(Remembrance(tenant="acme", thread="t", session=SessionUpdate(decided=decided)))
    memory.write(batch, NOW)


def fill_live(connection: Connection) -> None:
    """Health of each model and a budget."""
    record = text_of(Record(breaker=Breaker()))
    (counter,) = counters(KEYS, (BUDGET,), STEP, NOW)
    commands: list[Command] = [("SET", PLACES.health(model, SETTINGS[model]), record) for model in MODELS]
    commands.append(("HSET", counter.key, "v", 1, "usd", 2_000_000_000, "tokens", 90_000))
    connection.call(partial(carry_out, commands=commands, replies=[]))


def fill_cache(memory: Recollection, shelf: Shelf, vectors: Floats) -> None:
    """Cached answers of some scopes, some observations, and an index that sees them all."""
    cached = memory.recall(STEP, vectors[0], Lookup(exact="other", holder="now", fill=False)).section("cache")
    epoch, facets = cached.epoch, facets_of(QUESTION)
    batch = [
        Kept(
            tenant="acme",
            entry=Entry(
                id=f"entry{number}",
                scope=f"scope{number % SCOPES}",
                text=QUESTION,
                facets=facets,
                answer=Answer(text=ANSWER, finish="stop", details={"model_name": "small-1"}),
                usage=Usage(input_tokens=900, output_tokens=80),
                usd=0.001,
                seconds=1.5,
                model="small",
                kind="answer",
                node="agent",
                step_id=f"step{number}",
                created_at=NOW,
                expires_at=NOW + 3600,
                epoch=epoch,
            ),
            vector=vectors[number].tobytes(),
            holder="now",
        )
        for number in range(len(vectors))
    ]
    shelf.keep(batch, NOW)
    shelf.observe([Observed(tenant="acme", entry_id=f"entry{n}", pool=f"pool {n % 12}", right=1.0) for n in range(60)])
    while not isinstance(shelf.indexes.ensure(cache_index(memory.space)), Ready):
        pass


def redisvl_cache(
    bench: Bench, ttl_seconds: int | None
) -> tuple[Callable[[], Any], Callable[[], Coroutine[Any, Any, Any]]]:
    """`check` and `acheck` of a `SemanticCache`, asked what ours is asked.

    Args:
        bench: Where.
        ttl_seconds: How long its answers live; it then sets the time of each hit anew, with another round trip.
    """
    # redisvl ships no types.
    from redisvl.extensions.cache.llm import SemanticCache  # type: ignore[import-untyped]
    from redisvl.query.filter import Tag  # type: ignore[import-untyped]
    from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]

    some = [float(number) for number in bench.vectors[0]]
    cache = SemanticCache(
        name="vlcache",
        vectorizer=CustomVectorizer(embed=lambda text, **_: some),
        redis_url=bench.url,
        # As anybody has it who does not want a step to hang: ours has one too.
        connection_kwargs={"socket_timeout": DEADLINE},
        ttl=ttl_seconds,
        distance_threshold=0.3,
        filterable_fields=[{"name": "tenant", "type": "tag"}, {"name": "scope", "type": "tag"}],
    )
    for number, vector in enumerate(bench.vectors):
        key = cache.store(
            prompt=f"{QUESTION} {number}",  # it names entries by the question
            response=ANSWER,
            vector=[float(one) for one in vector],
            metadata={"model": "small", "usd": 0.001, "seconds": 1.5, "step": f"step{number}"},
            filters={"tenant": "acme", "scope": f"scope{number % SCOPES}"},
        )
    assert key
    asked = [float(number) for number in bench.vectors[ASKED]]
    where = (Tag("tenant") == "acme") & (Tag("scope") == SCOPE)

    def check() -> Any:
        return cache.check(vector=asked, filter_expression=where)

    async def acheck() -> Any:
        return await cache.acheck(vector=asked, filter_expression=where)

    assert cache.index.info()["num_docs"] == len(bench.vectors)
    return check, acheck


def lines(bench: Bench, runner: asyncio.Runner, rounds: int) -> dict[str, Spread]:
    """All in turns, in one run."""
    memory, shelf, bare, vector = bench.memory, bench.shelf, bench.bare, bench.vectors[ASKED]
    check, acheck = redisvl_cache(bench, None)
    refreshing, arefreshing = redisvl_cache(bench, 3600)
    assert check()
    assert runner.run(arefreshing())
    alike, exact, fresh = bench.alike, Lookup(exact=f"entry{ASKED}", holder="now"), count()

    def semantic() -> Any:
        return memory.recall(STEP, vector, alike)

    async def asemantic() -> Any:
        return await memory.arecall(STEP, vector, alike)

    def other() -> Lookup:
        # A new question in a scope that has no answers yet, as a miss mostly is: the lease is taken too.
        return Lookup(exact=f"new{next(fresh)}", semantic="none", vector=vector, holder="now")

    def miss() -> Any:
        return memory.recall(STEP, vector, other())

    async def amiss() -> Any:
        return await memory.arecall(STEP, vector, other())

    async def abare() -> Any:
        return await bare.arecall(STEP, vector)

    check_found(semantic().section("cache"), near=4)
    check_found(runner.run(asemantic()).section("cache"), near=4)
    check_found(miss().section("cache"), near=0)
    assert memory.recall(STEP, vector, exact).section("cache").exact is not None
    assert shelf.at_hand("acme", exact.exact, NOW) is not None
    contenders = {
        "redisvl check, sync": timed(check),
        "redisvl check, TTL, sync": timed(refreshing),
        "semantic hit, sync": timed(semantic),
        "exact hit at hand": timed(lambda: shelf.at_hand("acme", exact.exact, NOW)),
        "exact hit in Redis, sync": timed(lambda: memory.recall(STEP, vector, exact)),
        "miss, sync": timed(miss),
        "no cache, sync": timed(lambda: bare.recall(STEP, vector)),
        "redisvl check, async": atimed(runner, acheck),
        "redisvl check, TTL, async": atimed(runner, arefreshing),
        "semantic hit, async": atimed(runner, asemantic),
        "miss, async": atimed(runner, amiss),
        "no cache, async": atimed(runner, abare),
    }
    return {name: Spread.of(seconds) for name, seconds in in_turns(contenders, rounds).items()}


def check_found(cached: Cached, *, near: int) -> None:
    """The recall brought what it should: a benchmark of nothing would be quick."""
    assert cached.exact is None
    assert len(cached.near) == near
    assert len(cached.pools) == 12


def round_trips(bench: Bench, lookup: Lookup | None) -> int:
    """How often a recall writes to its connection."""
    client = bench.memory.connection.link().clients
    assert client is not None
    pool = client.sync.connection_pool
    connection, sent = pool.get_connection(), list[Any]()
    send = connection.send_packed_command

    def counted(*words: Any, **named: Any) -> Any:
        sent.append(words)
        return send(*words, **named)  # type: ignore[no-untyped-call] # redis-py leaves it open

    connection.send_packed_command = counted  # type: ignore[method-assign] # it counts
    pool.release(connection)
    try:
        bench.memory.recall(STEP, bench.vectors[ASKED], lookup)
    finally:
        connection.send_packed_command = send  # type: ignore[method-assign] # as it was
    return len(sent)


def table(found: dict[str, Spread]) -> Iterator[str]:
    """Lines of text, in microseconds, with what each takes of what it is compared with."""
    yield f"  {'':26} {'p10':>7} {'p50':>7} {'p99':>7}  ratios of p50 and p99"
    for name, one in found.items():
        told = f"  {name:26} {1e6 * one.p10:7.1f} {1e6 * one.p50:7.1f} {1e6 * one.p99:7.1f}"
        for other in ABOVE.get(name, ()):
            than = found[other]
            told += f"  {one.p50 / than.p50:.3f} {one.p99 / than.p99:.3f} × {other}"
            told += f" ({1e6 * (one.p50 - than.p50):+.0f} µs)" if name.startswith("miss") else ""
        yield told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="measurements of each (default %(default)s)")
    parser.add_argument("--entries", type=int, default=1000, help="cached answers (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with filled(given.entries) as bench, asyncio.Runner() as runner:
        found = lines(bench, runner, given.rounds)
        trips = {"without": round_trips(bench, None), "with": round_trips(bench, bench.alike)}
        runner.run(bench.memory.connection.aclose())
    print(f"The answer cache, in microseconds; {given.entries} answers, {DIMENSION} dimensions; load {load:.1f}")
    print("A recall brings session, tallies, health of 5 models and budget too.\n")
    print("\n".join(table(found)))
    print(f"\nRound trips of a recall: {trips['without']} without the cache, {trips['with']} with it")
    if given.json:
        figures = {name: asdict(spread) for name, spread in found.items()}
        given.json.write_text(json.dumps({"load": load, "round_trips": trips, **figures}, indent=1))


if __name__ == "__main__":
    main()
