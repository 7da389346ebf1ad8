"""Caches that are asked the same questions: ours as it comes, and redisvl's `SemanticCache` with its defaults."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from steprouter.answering.answer import Answer
from steprouter.caching.entry import Cached, Entry, Near, Tally
from steprouter.caching.lookup import Doubt, Hit, Miss, look_up
from steprouter.caching.orders import Kept, Lookup, Observed
from steprouter.caching.policy import AnswerCache
from steprouter.caching.scope import Scope, Uncached, scope_of
from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, StepKind
from steprouter.store import Keys
from steprouter.store.cache.local import LocalAnswers

Floats = npt.NDArray[np.float32]

KEYS = Keys(secret=b"benchmark of answers, no secret!")
TENANT = "acme"
NODE = "faq"
NOW = 1_800_000_000.0
SYSTEM = "You answer questions in two sentences."


class Embedder(Protocol):
    """Makes vectors of texts."""

    dimension: int

    def embed(self, text: str) -> Floats:
        """The vector of a text."""
        ...


@dataclass(slots=True)
class Vectors:
    """An embedder that remembers: contenders are asked the same texts."""

    embedder: Embedder
    known: dict[str, Floats] = field(default_factory=dict)

    def of(self, text: str) -> Floats:
        """The vector of a text."""
        found = self.known.get(text)
        if found is None:
            found = self.known[text] = np.asarray(self.embedder.embed(text), dtype=np.float32)
        return found


@dataclass(frozen=True, slots=True)
class Given:
    """What a cache gives: the layer, and what its answer is right for."""

    layer: str
    right_for: str


class Contender(Protocol):
    """A cache in front of a model that is always right."""

    def ask(self, text: str, right: str) -> Given | None:
        """Ask a question.

        Args:
            text: As it is put.
            right: What a model would answer.

        Returns:
            What the cache gave; None where the model was asked, whose answer is kept.
        """
        ...


def asked(
    *messages: BaseMessage,
    cache: AnswerCache,
    tools: tuple[str, ...] = (),
    tenant: str = TENANT,
    kind: StepKind = StepKind.ANSWER,
) -> Scope | Uncached:
    """What the product looks for, of a step at temperature 0."""
    schemas = [{"name": name, "description": name, "parameters": {"type": "object"}} for name in tools]
    ask = Ask(messages=messages, tools=Toolset.of(schemas), settings={"temperature": 0})
    step = read_step(ask, Place(tenant=tenant, node=NODE), step_id="s", started_at=NOW, nodes={NODE: kind})
    return scope_of(step, ask, cache, digest=KEYS.digest, floor="")


def question(text: str, system: str = SYSTEM) -> tuple[BaseMessage, ...]:
    """A question as an agent asks it."""
    return SystemMessage(system), HumanMessage(text)


def entry_of(scope: Scope, answer: str, *, seconds: float = 86_400.0, epoch: int = 1) -> Entry:
    """An answer as it is kept."""
    return Entry(
        id=scope.exact,
        scope=scope.semantic or "",
        text=scope.text,
        facets=scope.facets,
        answer=Answer(text=answer, finish="stop"),
        model="reference",
        kind="answer",
        step_id="s",
        created_at=NOW,
        expires_at=NOW + seconds,
        epoch=epoch,
    )


class Ours:
    """The product's own functions over its own store in process.

    Whatever is doubtful is compared with the model's answer, as a step compares labels and JSON, or a judge the rest.
    """

    def __init__(self, vectors: Vectors, *, cache: AnswerCache | None = None, seed: int = 0) -> None:
        self.vectors = vectors
        self.cache = cache or AnswerCache()
        self.lots = Random(seed)
        self.store = LocalAnswers(30.0)
        self.said: Counter[str] = Counter()

    def ask(self, text: str, right: str) -> Given | None:
        """As `Contender`."""
        scope = asked(*question(text), cache=self.cache)
        if isinstance(scope, Uncached):
            self.said["not cached"] += 1
            return None
        vector = self.vectors.of(scope.text) if scope.semantic is not None else None
        lookup = Lookup(exact=scope.exact, semantic=scope.semantic, holder="s", fill=False)
        cached = self.store.look(TENANT, lookup, vector, NOW)
        found = look_up(scope, cached, self.cache, now=NOW, draw=self.lots.random())
        self.said[type(found).__name__.lower()] += 1
        if isinstance(found, Hit):
            if found.audited:
                self.observe(found, right)
            return Given(found.layer, found.entry.answer.text)
        if isinstance(found, Doubt):
            self.observe(found, right)
        kept = Kept(
            tenant=TENANT,
            entry=entry_of(scope, right, epoch=cached.epoch),
            vector=None if vector is None else vector.tobytes(),
            holder="s",
        )
        self.store.keep([kept], NOW)
        return None

    def observe(self, found: Hit | Doubt, right: str) -> None:
        """Tell the store whether an answer is right."""
        good = float(found.entry.answer.text == right)
        told = Observed(tenant=TENANT, entry_id=found.entry.id, pool=found.pool, right=good, wrong=1 - good)
        self.store.observe([told])

    @property
    def pools(self) -> dict[str, Tally]:
        """What it has learnt."""
        return dict(self.store.stats(TENANT).pools)


class Redisvl:
    """redisvl's `SemanticCache` with its defaults: the likest question within a distance of 0.1 is answered again."""

    def __init__(self, vectors: Vectors, url: str, name: str) -> None:
        caches = importlib.import_module("redisvl.extensions.cache.llm")
        vectorize = importlib.import_module("redisvl.utils.vectorize")
        vectorizer = vectorize.CustomTextVectorizer(embed=lambda text, **_: vectors.of(text).tolist())
        self.cache: Any = caches.SemanticCache(name=name, redis_url=url, vectorizer=vectorizer, overwrite=True)

    def ask(self, text: str, right: str) -> Given | None:
        """As `Contender`."""
        found = self.cache.check(prompt=text)
        if found:
            layer = "exact" if found[0]["prompt"] == text else "semantic"
            return Given(layer, str(found[0]["response"]))
        self.cache.store(prompt=text, response=right)
        return None

    def clear(self) -> None:
        """Forget all."""
        self.cache.clear()

    def close(self) -> None:
        """Forget all, and the index."""
        self.cache.delete()


def met(
    stored: Scope, answer: str, scope: Scope, pools: dict[str, Tally], likeness: float, cache: AnswerCache
) -> Hit | Doubt | Miss:
    """What becomes of a question where one answer lies in the cache, with a record of its own as good as its pool's."""
    kept = entry_of(stored, answer)
    near = Near(entry=kept, similarity=likeness, tally=Tally(right=1e6 if pools else 0.0))
    exact = kept if kept.id == scope.exact else None
    cached = Cached(exact=exact, near=() if exact else (near,), pools=pools, epoch=1)
    return look_up(scope, cached, cache, now=NOW, draw=0.5)
