"""What memory costs a step, beside the same commands by redis-py, and beside redisvl.

    python benchmarks/memory.py [--rounds N] [--json FILE]

Starts the embedded Redis server in a folder of its own and fills it: cached answers, outcomes, a session, tallies,
health, a budget, a journal. Nothing else is opened and nothing is sent out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import redis
import redis.asyncio
from measure import Spread, atimed, in_turns, timed

from steprouter.answering.answer import Answer
from steprouter.answering.breaker import Breaker, Observation, observed
from steprouter.answering.breaker_state import Sign
from steprouter.answering.budgets import Budget
from steprouter.caching.entry import Entry
from steprouter.caching.orders import Kept, Lookup
from steprouter.memory.journal import Began, JournalPlace, Stood, place_of
from steprouter.memory.labels import Source, label
from steprouter.memory.neighbours import nearest
from steprouter.memory.outcomes import Remembered
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate, Warm
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.cache.records import fields_of
from steprouter.store.cache.sections import CacheSection, NearSection
from steprouter.store.embedded import acquire
from steprouter.store.live.health_record import MARKS, Record, text_of
from steprouter.store.live.journal import Journal
from steprouter.store.live.ledger_orders import counters
from steprouter.store.memory.index import Ready, cache_index, outcomes_index
from steprouter.store.memory.pipeline import Command, Replies, acarry_out, carry_out
from steprouter.store.memory.query import knn
from steprouter.store.memory.remote import RedisMemory, Unseen
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.sections import (
    REMEMBERED,
    BudgetSection,
    HealthSection,
    JournalSection,
    Query,
    plan,
)

Floats = npt.NDArray[np.float32]

KEYS = Keys(secret=b"benchmark of memory, no secret!!")
SPACE = Space(identity="benchmark/256", dimension=256)
MODELS = ("nano", "small", "medium", "large", "local")
ENTRIES = OUTCOMES = 10_000
SCOPES = 20
DEADLINE = 0.5
"""Seconds; ten times the default, so that a pause of this machine is measured and not cut off."""
NOW = 1_800_000_000.0
ANSWER = "An answer of some length, as an agent gives it. " * 8
STEP = Step(
    id="now",
    kind=StepKind.READ_RESULT,
    place=Place(tenant="acme", thread="t", node="agent", graph_step=3, task="task"),
    started_at=NOW,
)
SETTINGS = dict.fromkeys(MODELS, "ab" * 8)
BUDGET = Budget(usd=10.0)
EPOCH = 7
PLACES = Places(keys=KEYS, tenant="acme")


def journal_of(prompt: str) -> JournalPlace:
    """Where the step's journal is, if this is what it asks."""
    place = place_of(STEP.place, prompt)
    assert place is not None
    return place


JOURNAL = journal_of("ef" * 16)
EMPTY = journal_of("01" * 16)
"""Where nothing was left, as nearly always."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A filled server and the ways to it."""

    url: str
    connection: Connection
    memory: RedisMemory
    vectors: Floats

    @property
    def query(self) -> Query:
        """What is recalled, about one of the vectors."""
        asked = self.vectors[17]
        lookup = Lookup(exact="new", semantic="scope7", vector=asked, holder="now", fill=False)
        return Query(places=PLACES, step=STEP, vector=asked.tobytes(), models=MODELS, lookup=lookup, journal=JOURNAL)


def directions(count: int) -> Floats:
    """Unit vectors around 200 centres, as texts lie."""
    drawn = np.random.default_rng(3)
    centres = drawn.standard_normal((200, SPACE.dimension))
    vectors = centres[drawn.integers(200, size=count)] + 0.5 * drawn.standard_normal((count, SPACE.dimension))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    return unit


@contextmanager
def filled() -> Iterator[Bench]:
    """A server with everything in it."""
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as folder:
        server = acquire(Path(folder), grace_seconds=0.0)
        connection = connect(server.url, deadline_seconds=DEADLINE, environment={})
        memory = RedisMemory(connection, KEYS, SPACE, models=MODELS)
        live = (JournalSection(), HealthSection(SETTINGS), BudgetSection((BUDGET,)))
        near = NearSection(cache_index(SPACE), memory.indexes, lambda tenant: EPOCH, None)
        memory.sections = (*REMEMBERED, *live, CacheSection(30.0, None), near)
        vectors = directions(max(ENTRIES, OUTCOMES))
        try:
            fill_outcomes(memory, vectors)
            fill_live(connection)
            fill_cache(connection, vectors)
            for spec in (cache_index(SPACE), outcomes_index(SPACE)):
                while not isinstance(memory.indexes.ensure(spec), Ready):
                    pass
            yield Bench(url=server.url, connection=connection, memory=memory, vectors=vectors)
        finally:
            memory.close()
            connection.close()
            server.release()


def fill_outcomes(memory: RedisMemory, vectors: Floats) -> None:
    """Outcomes of five models and a hundred threads, 8 000 of the step's kind, and a session with sixteen steps."""
    batch = []
    for number in range(OUTCOMES):
        kind = STEP.kind if number // 5 % 5 else StepKind.TOOL_CALL
        at, name = NOW - OUTCOMES + number, f"step-{number}"
        outcome = Remembered(
            id=name,
            kind=str(kind),
            node="agent",
            model=MODELS[number % len(MODELS)],
            at=at,
            vector=vectors[number].tobytes(),
            label=label(name, Source.TOOL, float(number % 7 > 0), at),
            thread=f"thread-{number % 100}",
            usage=Usage(input_tokens=900, output_tokens=80),
            usd=0.001,
            seconds=0.8,
            first_token_seconds=0.3,
        )
        batch.append(Remembrance(tenant="acme", outcomes=(outcome,)))
    for number in range(16):
        decided = Decided(step_id=f"s{number}", at=NOW - 100 + number, kind="chat", model="small", calls=("ab" * 12,))
        warm = Warm(digest="cd" * 12, messages=9, tokens=4000, until=NOW + 200)
        batch.append(Remembrance(tenant="acme", thread="t", session=SessionUpdate(decided=decided, warm=warm)))
    for first in range(0, len(batch), 500):
        assert memory.write(batch[first : first + 500], NOW) is None


def fill_live(connection: Connection) -> None:
    """Health of each model, a budget, and half an answer that a process left."""
    breaker = Breaker()
    for number in range(200):
        breaker = observed(breaker, Observation(sign=Sign.SUCCESS, first_token_seconds=0.3), NOW - 200 + number, 0.5)
    record = Record(breaker=breaker)
    for number in range(MARKS):
        record = record.written(f"{number:08x}")
    (counter,) = counters(KEYS, (BUDGET,), STEP, NOW)
    commands: list[Command] = [("SET", PLACES.health(model, SETTINGS[model]), text_of(record)) for model in MODELS]
    commands.append(("HSET", counter.key, "v", 1, "usd", 2_000_000_000, "tokens", 90_000))
    connection.call(partial(carry_out, commands=commands, replies=[]))
    journal = Journal(connection, lambda: KEYS)
    pen = journal.open(JOURNAL, NOW)
    pen.note(Began("small", "attempt"))
    pen.note(Stood({"seen": True}))
    for word in ANSWER.split(" "):
        pen.note(f"{word} ")
    pen.leave(NOW, keep=True)
    assert journal.flush()
    journal.close()


def fill_cache(connection: Connection, vectors: Floats) -> None:
    """Cached answers of twenty scopes."""
    connection.call(partial(carry_out, commands=[("HSET", PLACES.cached("state"), "epoch", EPOCH)], replies=[]))
    for first in range(0, ENTRIES, 500):
        commands: list[Command] = [
            ("HSET", PLACES.answer(f"entry{number}"),
             *fields_of(PLACES, SPACE, answer_of(number, vectors[number].tobytes()), None))
            for number in range(first, first + 500)
        ]  # fmt: skip
        connection.call(partial(carry_out, commands=commands, replies=[]), deadline_seconds=5.0)


def answer_of(number: int, vector: bytes) -> Kept:
    """A cached answer."""
    entry = Entry(
        id=f"entry{number}",
        scope=f"scope{number % SCOPES}",
        text="a question",
        answer=Answer(text=ANSWER, finish="stop"),
        usage=Usage(input_tokens=900, output_tokens=80),
        model="small",
        kind="answer",
        step_id="step",
        created_at=NOW,
        expires_at=NOW + 3600,
        epoch=EPOCH,
    )
    return Kept(tenant="acme", entry=entry, vector=vector, holder="now")


# --- recall ----------------------------------------------------------------------------------------------------


def recall_lines(bench: Bench, runner: asyncio.Runner, rounds: int) -> dict[str, Spread]:
    """One recall of everything, and the same commands by a redis-py pipeline; redisvl's two reads."""
    memory, trip = bench.memory, plan(bench.query, bench.memory.sections)
    # With a time-out, as anybody has it who does not want a step to hang: ours has one too.
    client = redis.Redis.from_url(bench.url, protocol=3, socket_timeout=DEADLINE)
    aclient = redis.asyncio.Redis.from_url(bench.url, protocol=3, socket_timeout=DEADLINE)

    def ours(query: Query = bench.query) -> Any:
        planned, replies = plan(query, memory.sections), Replies()
        done = bench.connection.call(partial(carry_out, commands=planned.commands, replies=replies))
        assert done is replies
        return memory.made(planned, Unseen(), replies, None)

    async def aours(query: Query = bench.query) -> Any:
        planned, replies = plan(query, memory.sections), Replies()
        done = await bench.connection.acall(partial(acarry_out, commands=planned.commands, replies=replies))
        assert done is replies
        return memory.made(planned, Unseen(), replies, None)

    def raw() -> Any:
        pipe = client.pipeline(transaction=False)
        for command in trip.commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py leaves it open
        return pipe.execute(raise_on_error=False)

    async def araw() -> Any:
        pipe = aclient.pipeline(transaction=False)
        for command in trip.commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)

    check(ours(), raw())
    empty, none = replace(bench.query, journal=EMPTY), replace(bench.query, journal=None)
    contenders = {
        "recall, sync": timed(ours),
        "no journal there, sync": timed(lambda: ours(empty)),
        "no journal asked for, sync": timed(lambda: ours(none)),
        "recall, async": atimed(runner, aours),
        "no journal there, async": atimed(runner, lambda: aours(empty)),
        "no journal asked for, async": atimed(runner, lambda: aours(none)),
        "the same pipeline, sync": timed(raw),
        "the same pipeline, async": atimed(runner, araw),
        **redisvl_reads(bench, runner),
    }
    taken = in_turns(contenders, rounds)
    runner.run(aclient.aclose())
    client.close()
    return {name: Spread.of(seconds) for name, seconds in taken.items()}


def check(found: dict[str, Any], raw: Sequence[Any]) -> None:
    """The recall brought what it should: a benchmark of nothing would be quick."""
    assert found["session"].steps == 16
    assert found["cache"].epoch == EPOCH
    assert len(found["near"]) == 4
    assert set(found["health"]) == set(MODELS)
    assert set(found["counters"].kind) == set(MODELS)
    assert found["budget"] == {BUDGET.name: 0.2}
    assert [entry.text.strip() for entry in found["journal"]] == [ANSWER.strip()]
    assert not [reply for reply in raw if isinstance(reply, Exception)]


def redisvl_reads(bench: Bench, runner: asyncio.Runner) -> dict[str, Any]:
    """`SemanticCache.check` over as many entries, then `MessageHistory.get_recent`, as redisvl's users do."""
    # redisvl ships no types.
    from redisvl.extensions.cache.llm import SemanticCache  # type: ignore[import-untyped]
    from redisvl.extensions.message_history import MessageHistory  # type: ignore[import-untyped]
    from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]

    client = redis.Redis.from_url(bench.url)
    some = [float(number) for number in bench.vectors[0]]
    vectorizer = CustomVectorizer(embed=lambda text, **_: some)
    cache = SemanticCache(name="vlcache", vectorizer=vectorizer, redis_client=client, distance_threshold=0.3)
    pipe = client.pipeline(transaction=False)
    for number in range(ENTRIES):
        fields: dict[Any, Any] = {
            "prompt": "a question", "response": ANSWER, "prompt_vector": bench.vectors[number].tobytes(),
            "entry_id": f"e{number}", "inserted_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        pipe.hset(f"vlcache:e{number}", mapping=fields)
    pipe.execute()
    history = MessageHistory(name="vlhistory", redis_client=client)
    for number in range(20):
        history.add_message({"role": "user", "content": f"message {number}"})
    asked = [float(number) for number in bench.vectors[17]]
    assert cache.check(vector=asked)

    def both() -> None:
        cache.check(vector=asked)
        history.get_recent(top_k=5)

    return {"redisvl: check + get_recent, sync": timed(both)}


# --- neighbours ------------------------------------------------------------------------------------------------


def neighbour_lines(bench: Bench, rounds: int) -> dict[str, Spread]:
    """The 48 nearest outcomes of each model, from the snapshot and by searches."""
    kind = str(STEP.kind)
    here: Any = bench.memory.snapshots.refresh_now("acme", kind)
    asked = bench.vectors[17]
    spec, tenant = outcomes_index(SPACE), KEYS.tenant_tag("acme")
    fields = ("model", "at", "score", "weight", "thread")
    client = redis.Redis.from_url(bench.url, protocol=3)

    def command(*models: str) -> Any:
        where: dict[str, str | Sequence[str]] = {"tenant": tenant, "kind": kind}
        return knn(spec, asked.tobytes(), k=48, where={**where, **({"model": models} if models else {})}, fields=fields)

    each = [command(model) for model in MODELS]

    def searches() -> Any:
        pipe = client.pipeline(transaction=False)
        for one in each:
            pipe.execute_command(*one)  # type: ignore[no-untyped-call] # redis-py leaves it open
        return pipe.execute()

    def one_search() -> Any:
        return client.execute_command(*command())  # type: ignore[no-untyped-call] # redis-py leaves it open

    assert len(here) == 4096
    assert sum(map(len, nearest(here, asked).values())) == 48 * len(MODELS)
    taken = in_turns(
        {
            "snapshot: 48 of each model": timed(lambda: nearest(here, asked)),
            "searches: 48 of each model": timed(searches),
            "one search: 48 of any model": timed(one_search),
        },
        rounds,
    )
    client.close()
    return {name: Spread.of(seconds) for name, seconds in taken.items()}


# --- all together ----------------------------------------------------------------------------------------------


def table(lines: dict[str, Spread], against: dict[str, str]) -> Iterator[str]:
    """Lines of text, in microseconds; `against` names with what each is compared."""
    yield f"  {'':34} {'p10':>7} {'p50':>7} {'p99':>7}  ratio of medians"
    for name, spread in lines.items():
        other = against.get(name)
        ratio = f"  {spread.p50 / lines[other].p50:.2f} × {other}" if other else ""
        yield f"  {name:34} {1e6 * spread.p10:7.0f} {1e6 * spread.p50:7.0f} {1e6 * spread.p99:7.0f}{ratio}"


AGAINST = {
    "recall, sync": "the same pipeline, sync",
    "recall, async": "the same pipeline, async",
    "no journal there, sync": "no journal asked for, sync",
    "no journal there, async": "no journal asked for, async",
    "redisvl: check + get_recent, sync": "recall, sync",
    "snapshot: 48 of each model": "searches: 48 of each model",
    "one search: 48 of any model": "snapshot: 48 of each model",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="measurements of each (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with filled() as bench, asyncio.Runner() as runner:
        recall = recall_lines(bench, runner, given.rounds)
        neighbours = neighbour_lines(bench, given.rounds)
    print(f"Memory, in microseconds; {ENTRIES} cached answers, {OUTCOMES} outcomes, 256 dimensions; load {load:.1f}\n")
    print("Recall: cache candidates, session, tallies, health of 5 models, budget, journal")
    print("\n".join(table(recall, AGAINST)))
    print("\nThe nearest outcomes, of 4 096 in the snapshot, of 8 000 of the kind and 10 000 in all in the index")
    print("\n".join(table(neighbours, AGAINST)))
    if given.json:
        figures = {name: asdict(spread) for name, spread in {**recall, **neighbours}.items()}
        given.json.write_text(json.dumps({"load": load, **figures}, indent=1))


if __name__ == "__main__":
    main()
