"""Questions that people ask again: what is asked of caches to see how often they are wrong.

Nothing here knows of a cache. Sets of texts are read from a folder (needs `pyarrow`); what is drawn is drawn by a seed.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.caching.bound import SAME_WORDS, pool_of
from steprouter.caching.entry import Entry
from steprouter.caching.facets import disagreements, facets_of
from steprouter.caching.wording import is_slight

HALVES = ("looked at", "held out")
INTENTS = ("banking77", "clinc150", "hwu64", "snips")

BEFORE = (
    "", "", "", "hi, ", "Hello! ", "please tell me ", "could you tell me ", "quick question: ", "hey bot ", "ok so ",
    "Dear team, ", "I was wondering ", "one more thing - ",
)  # fmt: skip
AFTER = ("", "", "", " please", " thanks", " thx", "??", "...", " asap", " Thank you!", " :)")
"""What people put around a question. The cache knows some of it for courtesies, not all."""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a parquet file."""
    if not path.exists():
        sys.exit(f"{path} is missing; --data must hold it")
    try:
        rows: list[dict[str, Any]] = importlib.import_module("pyarrow.parquet").read_table(path).to_pylist()
    except ImportError:
        sys.exit("reading the sets needs pyarrow; pip install pyarrow")
    return rows


def half_of(one: str, other: str) -> str:
    """Of which half a pair is, whatever else is in the set; words were chosen by the half that was looked at."""
    first, second = sorted((one, other))
    return HALVES[hashlib.sha256(f"{first}\n{second}".encode()).digest()[0] % 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts that read the same, where they are from, and whether people gave them the same label."""

    a: str
    b: str
    same: bool
    of: str
    pool: str


def pairs_that_agree(folder: Path) -> Iterator[Pair]:
    """Pairs of labelled sets that read the same, with the pool they would be in."""
    for row in rows_of(folder / "semantic_pairs" / "qqp_gptcache.parquet"):
        a, b = row["text_a"], row["text_b"]
        if a != b and not disagreements(facets_of(a), facets_of(b)) and not is_slight(a, b):
            yield Pair(a=a, b=b, same=row["label"] == 1, of=f"QQP, {half_of(a, b)}", pool=pool_named(a, b))
    for name in INTENTS:
        alike: dict[object, dict[str, str]] = defaultdict(dict)
        for row in rows_of(folder / "intents" / f"{name}.parquet"):
            facets = facets_of(row["text"])
            if facets is not None and facets.items:
                alike[facets.language, facets.items].setdefault(row["text"], row["intent"])
        for texts in alike.values():
            for (a, first), (b, second) in itertools.combinations(texts.items(), 2):
                if not is_slight(a, b):
                    yield Pair(a=a, b=b, same=first == second, of=name, pool=pool_named(a, b))


def pool_named(a: str, b: str) -> str:
    """The pool of two texts that read the same, whatever their likeness."""
    bare: Any = Entry.__new__(Entry)
    object.__setattr__(bare, "text", b)
    return SAME_WORDS if pool_of(a, bare, 0.0) == SAME_WORDS else "the same once read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Questions that people marked as the same, directly or by others.

    Attributes:
        texts: How it is put.
        rivals: Clusters of which people compared a question with one of these and marked it as another, by number.
    """

    texts: tuple[str, ...]
    rivals: tuple[int, ...]


def clusters(folder: Path, half: str) -> list[Cluster]:
    """The clusters of a set in which all marks of sameness are of one half; a question without such marks is one."""
    rows = rows_of(folder / "semantic_pairs" / "qqp_gptcache.parquet")
    parents: dict[str, str] = {}

    def root(text: str) -> str:
        while (above := parents.setdefault(text, text)) != text:
            parents[text] = parents[above]
            text = parents[text]
        return text

    pairs = [(row["text_a"], row["text_b"], row["label"] == 1) for row in rows]
    for a, b, same in pairs:
        if same:
            parents[root(a)] = root(b)
    others = {root(a) for a, b, same in pairs if same and half_of(a, b) != half}
    texts: dict[str, set[str]] = defaultdict(set)
    rivals: dict[str, set[str]] = defaultdict(set)
    for a, b, same in pairs:
        for text in (a, b):
            texts[root(text)].add(text)
        if not same and half_of(a, b) == half and root(a) != root(b):
            rivals[root(a)].add(root(b))
            rivals[root(b)].add(root(a))
    kept = {name: number for number, name in enumerate(sorted(texts.keys() - others))}
    return [
        Cluster(
            texts=tuple(sorted(texts[name])), rivals=tuple(sorted(kept[one] for one in rivals[name] if one in kept))
        )
        for name in kept
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question of a stream.

    Attributes:
        text: As it is put.
        cluster: What is asked, by number; what is right for one cluster is wrong for another.
        before: How often the same was asked before, in whatever words.
    """

    text: str
    cluster: int
    before: int


def stream(groups: Sequence[Cluster], seed: int, *, clusters: int, length: int, as_typed: bool) -> list[Asked]:
    """Questions in the order they are asked: what is asked is drawn by a popularity like Zipf's, how it is put evenly.

    Asked about are clusters that have several ways to be put, and rivals of each: what is most like them in the set
    and has another answer.

    Args:
        groups: The clusters.
        seed: Of what is drawn.
        clusters: How many of them are asked about.
        length: How many questions.
        as_typed: Whether each is put as somebody types it: with courtesies, without capitals, without marks.
    """
    lots = Random(seed)
    chosen: dict[int, None] = {}
    for number in lots.sample(range(len(groups)), len(groups)):
        group = groups[number]
        if len(group.texts) > 1 and group.rivals and len(chosen) < clusters:
            chosen |= dict.fromkeys((number, *lots.sample(group.rivals, min(2, len(group.rivals)))))
    about = list(chosen)[:clusters]
    lots.shuffle(about)
    weights = [1 / (rank + 1) for rank in range(len(about))]
    counts: Counter[int] = Counter()
    found = []
    for number in lots.choices(about, weights, k=length):
        text = lots.choice(groups[number].texts)
        found.append(Asked(text=typed(text, lots) if as_typed else text, cluster=number, before=counts[number]))
        counts[number] += 1
    return found


def typed(text: str, lots: Random) -> str:
    """A question as somebody types it."""
    before, after = lots.choice(BEFORE), lots.choice(AFTER)
    if before and lots.random() < 0.7:
        text = text[:1].lower() + text[1:]
    if lots.random() < 0.4:
        text = text.lower()
    if lots.random() < 0.4:
        text = text.rstrip("?. ")
    return f"{before}{text}{after}"


# Steps of agents


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStep:
    """A recorded step of an agent.

    Attributes:
        messages: What it was asked.
        state: A digest of all before the last human text, or of all where no human spoke last; taken without any code
            of the cache.
        text: The last human text; empty where no human spoke last.
        domain: Which agent.
        tools: The tools that its domain has.
    """

    messages: tuple[BaseMessage, ...]
    state: str
    text: str
    domain: str
    tools: tuple[str, ...]


def agent_steps(folder: Path) -> Iterator[AgentStep]:
    """Every step of the recorded episodes."""
    policies = json.loads((folder / "tau" / "policies.json").read_text(encoding="utf-8"))
    policy = {one["domain"]: one["policy"] for one in policies}
    episodes = [(row["domain"], json.loads(row["messages"])) for row in rows_of(folder / "tau" / "messages.parquet")]
    tools: dict[str, set[str]] = defaultdict(set)
    for domain, told in episodes:
        tools[domain] |= {call["function"]["name"] for one in told for call in one.get("tool_calls") or ()}
    for domain, told in episodes:
        history: list[BaseMessage] = [SystemMessage(policy.get(domain, ""))]
        raw: list[Any] = [policy.get(domain, "")]
        for one in told:
            if one["role"] == "assistant" and len(history) > 1:
                human = told_by_human(history)
                state = digest_of(raw[:-1] if human else raw)
                yield AgentStep(
                    messages=tuple(history), state=state, text=human, domain=domain, tools=tuple(sorted(tools[domain]))
                )
            history.append(message_of(one))
            raw.append(without_ids(one))


def told_by_human(history: Sequence[BaseMessage]) -> str:
    """The last message's text, where a human said it."""
    return history[-1].text if history[-1].type == "human" else ""


def digest_of(raw: object) -> str:
    """A digest of anything JSON."""
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()


def without_ids(told: Mapping[str, Any]) -> list[Any]:
    """What a recorded message says, without the ids of its calls."""
    calls = [[call["function"]["name"], call["function"]["arguments"]] for call in told.get("tool_calls") or ()]
    return [told["role"], told.get("content"), calls]


def message_of(told: Mapping[str, Any]) -> BaseMessage:
    """A recorded message as LangChain has it."""
    content = told.get("content") or ""
    if told["role"] == "user":
        return HumanMessage(content)
    if told["role"] == "tool":
        return ToolMessage(content, tool_call_id=str(told.get("tool_call_id")))
    calls = [
        {"name": call["function"]["name"], "args": arguments(call["function"]["arguments"]), "id": str(call["id"])}
        for call in told.get("tool_calls") or ()
    ]
    return AIMessage(content, tool_calls=calls)


def arguments(said: Any) -> dict[str, Any]:
    """The arguments of a recorded call."""
    try:
        read = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"said": said}
