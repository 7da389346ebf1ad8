"""The router without LangChain's face: models, policy, wires, store and traces, put together.

Nothing here opens a connection or a file until a step or a reader needs it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.utils.uuid import uuid7

from .advice import Advice, reported
from .answered import would_ask
from .answering.budgets import Budget, check_budgets
from .answers import Answers, told_by_feedback
from .background import Background
from .clock import Clock, SystemClock
from .drive import Driver, Run, Tell
from .embedding.default import DefaultEmbedder
from .embedding.embedder import Embedder
from .embedding.timed import TimedEmbedder
from .embedding.words import Words
from .errors import ConfigError
from .flow import Considered, Outcome, Setting, consider, run_step
from .journaling import Journals
from .keeping import RENEWAL_SECONDS, Keeping, Settled, Shelf
from .memory.face import Memory
from .memory.journal import prompt_digest
from .memory.labels import Source, label
from .memory.lessons import Lessons
from .memory.policy import MemoryPolicy
from .memory.remember import Remembrance, remember
from .models.card import ModelCard
from .models.identify import complete_cards, identity
from .providers import open_wire
from .providers.digest import deployment_digest, settings_digest
from .routing.efforts import candidate_named, candidates_named, for_candidates
from .routing.policy import Policy
from .routing.predict import Predictor
from .routing.rule_order import looked_at
from .routing.rules import names
from .shelving import NOTHING, shelved
from .step.ask import Ask
from .step.read import read_step
from .step.step import Place, Step
from .store import Connection, Keys, connect, load_secret
from .store.embedded.places import default_data_dir
from .store.live.gate import Gate
from .store.live.shared_health import SharedHealth
from .store.memory.recollection import Recollection, bytes_of
from .store.routes.follow import Routes
from .surroundings import heartbeat, surroundings
from .tracing.archive import Traces
from .tracing.make import make_trace
from .tracing.make_cached import asked_record, cache_record
from .tracing.record import CacheRecord, Trace
from .tracing.sink import Sink

if TYPE_CHECKING:
    from .providers.open import CheckableWire
    from .store.live.journal import Journal
    from .store.live.journal_cipher import Cipher
    from .store.memory.custody import Custody

log = logging.getLogger("steprouter")

CANCELLING_SECONDS = 2.0
"""What closing waits for each provider to stop an answer that nobody listens to any more."""


class Engine:
    """A router: reads steps, decides, drives, and keeps traces.

    Args:
        cards: The models; what a card leaves open is looked up.
        policy: What the user asks.
        kept: What is kept, and where.
        clock: Time.

    Raises:
        ConfigError: No model, two of one name, or a policy that names what is not there.
    """

    def __init__(
        self,
        cards: Sequence[ModelCard],
        policy: Policy,
        kept: Keeping | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.given = tuple(cards)
        self.cards = complete_cards(cards)
        in_force = for_candidates(policy, self.cards)
        in_force.check(self.cards)
        say_unchecked_nodes(policy)
        self.policy = policy
        self.looking = looked_at(policy.rules)
        self.kept = kept or Keeping()
        self.clock = clock or SystemClock()
        self.prices = {card.name: card.price for card in self.cards}
        self.connection: Connection = connect(self.kept.store)
        self.embedder = TimedEmbedder(embedder_for(self.kept.memory))
        self.memory = self.open_recollection() if self.kept.memory.on else None
        check_answers(self.kept)
        self.routes = self.follow_routes()
        lessons = self.lessons if self.memory is not None else None
        predictor = predictor_for(policy, self.embedder.embedder if self.memory is not None else None)
        self.setting = Setting(
            cards=self.cards, policy=in_force, lessons=lessons, environ=os.environ, predictor=predictor
        )
        if self.memory is not None and self.kept.answers is not None:
            self.setting = replace(self.setting, answers=self.kept.answers, digest=self.memory.digest)
        check_budgets(self.budgets, self.prices)
        self.gate = self.open_gate()
        self.journal: Journal | None = None
        self.advice = Advice()
        self.shelf = Shelf(self.connection, self.memory, self.gate, self.clock)
        tick = RENEWAL_SECONDS if self.gate.ledger is not None else None
        self.sink: Sink[Settled] = Sink(self.shelf.write, tick_seconds=tick)
        self.traces = Traces(self.shelf.keeper, tenant=self.kept.tenant or "default", flush=self.sink.flush)
        self.driver = Driver(
            self.open_wires(),
            clock=self.clock,
            settle=self.settle,
            embedder=self.words,
            memory=self.memory,
            live=self.gate,
            providers={card.name: identity(card)[0] for card in self.cards},
            hurry=self.hurry,
            journal=self.open_journal(),
            answers=None if self.memory is None else self.memory.shelf,
        )
        self.background = Background(self.driver)
        self.driver.spawn = self.background.spawn

    @cached_property
    def settings(self) -> dict[str, str]:
        """A digest of the settings of each deployment, its key included, by name; it reveals none of them."""
        return {card.deployment: deployment_digest(replace(card, effort=None), os.environ) for card in self.cards}

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """What may be spent; a fallback with several efforts is the one nearest to what the model does untold."""
        given = self.kept.budgets
        return tuple(b if b.fallback is None else named_fallback(b, b.fallback, self.cards) for b in given)

    @cached_property
    def lessons(self) -> Lessons | None:
        """What the user asks of lessons; a model that is named means all its efforts."""
        asked = self.kept.memory.lessons
        return asked and replace(asked, models=candidates_named(asked.models, self.cards))

    def open_wires(self) -> dict[str, CheckableWire]:
        """The wire to each candidate by name; efforts of one model share theirs, with its connections."""
        wires: dict[str, CheckableWire] = {}
        for card in self.cards:
            if card.deployment not in wires:
                wires[card.deployment] = open_wire(replace(card, name=card.deployment, effort=None))
        return {card.name: wires[card.deployment] for card in self.cards}

    def find_keys(self) -> Callable[[], Keys]:
        """How keys are named, with the deployment's secret; holds no engine, because the sink's thread holds it."""
        connection = self.connection

        @cache
        def keys() -> Keys:
            return Keys(secret=load_secret(connection.settings().data_dir or default_data_dir()))

        return keys

    def follow_routes(self) -> Routes | None:
        """The semantic routes; None where the policy has none."""
        routes, named = self.policy.routes, self.policy.routes_in
        has_routes = bool(routes) or named is not None
        return Routes(routes, named, self.connection, self.find_keys(), self.embedder) if has_routes else None

    @property
    def words(self) -> Words | None:
        """What a step's words bring; None where nothing asks for it."""
        if self.routes is not None:
            return Words(self.embedder, self.routes.table)
        return None if self.memory is None else Words(self.embedder)

    def open_recollection(self) -> Recollection:
        """What remembers."""
        return Recollection(
            self.connection,
            self.find_keys(),
            self.embedder.embedder,
            models=list(self.settings),
            lessons=self.lessons,
            settings=self.settings,
            budgets=self.budgets,
            cipher=self.cipher,
            answers=self.kept.answers is not None,
            langcache=None if self.kept.answers is None else self.kept.answers.langcache,
        )

    @cached_property
    def cipher(self) -> Cipher | None:
        """Encrypts journals; None where no key is set.

        Raises:
            ConfigError: The key will not do, or what encrypts is not installed.
        """
        key = self.kept.memory.journal_key
        if key is None:
            return None
        from .store.live.journal_cipher import Cipher

        return Cipher(key.get_secret_value())

    def open_journal(self) -> Callable[[], Journals]:
        """How what unfinished answers say is kept; opened by the first step of a graph.

        Without memory nothing looks for it in the store, so it stays in this process.
        """
        connection = self.connection if self.kept.memory.on else connect("memory")
        keys, cipher, opening = self.find_keys(), self.cipher, threading.Lock()

        def journal() -> Journals:
            with opening:
                if self.journal is None:
                    from .store.live.journal import Journal  # brings the client library

                    self.journal = Journal(connection, keys, cipher=cipher)
                return self.journal

        return journal

    def open_gate(self) -> Gate:
        """What grants calls; apart from the engine, because the sink's thread holds it."""
        budgets, limits = self.budgets, {card.name: card.limits for card in self.cards if card.limits is not None}
        health = SharedHealth(self.connection, self.find_keys(), self.settings)
        deployments = {card.name: card.deployment for card in self.cards if card.effort is not None}
        if not budgets and not limits:
            return Gate(health, None, self.prices, deployments)
        from .store.live.ledger import Ledger  # brings the client library

        return Gate(
            health, Ledger(self.connection, self.find_keys(), budgets=budgets, limits=limits), self.prices, deployments
        )

    def keep_leases(self) -> None:
        """What a long stream holds is renewed while it lasts, where anything is limited."""
        if self.gate.ledger is not None:
            self.sink.wake()

    def hurry(self) -> None:
        """Let others know of a failure now, not when the step ends."""
        self.sink.put(Settled())

    def read(self, ask: Ask, config: Mapping[str, Any] | None, model: str | None = None) -> tuple[Step, Tell]:
        """The step that `ask` is here and now, and whom to tell about it."""
        now = self.clock.now()
        place, tell = surroundings(config, self.kept.tenant, now)
        if model is not None:
            self.refuse_unknown(model)
            place = replace(place, metadata={**place.metadata, "steprouter_model": model})
        step = read_step(
            ask,
            place,
            step_id=str(uuid7()),
            started_at=now,
            nodes=self.policy.node_kinds,
            key=None if self.memory is None else self.memory.prompt_key,
            looking=self.looking,
        )
        if self.policy.resume.journal and place.thread is not None and place.task is not None:
            key = self.cache_secret
            step = replace(step, prompt=prompt_digest(ask, key, step.trail.asked))
        if self.policy.prompt_caching and place.thread is not None:
            step = replace(step, cache_key=self.cache_key(place))
        return step, tell

    def cache_key(self, place: Place) -> str:
        """What a thread is called in providers' prompt caches."""
        name = f"{place.tenant}\0{place.thread}".encode("utf-8", "surrogatepass")
        return blake2b(name, key=self.cache_secret, digest_size=16).hexdigest()

    @cached_property
    def cache_secret(self) -> bytes:
        """Keys the names of threads; of this process only where nothing is shared."""
        return token_bytes(32) if self.memory is None else self.memory.prompt_key

    def refuse_unknown(self, model: str) -> None:
        """Raise where `model` is none of ours."""
        if model not in self.prices and model not in self.settings:
            raise ConfigError(f"model must name one of {sorted(self.prices)!r}, got {model!r}")

    def begin(self, ask: Ask, config: Mapping[str, Any] | None = None, model: str | None = None) -> Run:
        """Start a step and bring it to its decision; spends nothing but for a tie-break between routes.

        Raises:
            NoAbleModel: No model can take the step.
            ConfigError: `model` is none of the router's.
        """
        step, tell = self.read(ask, config, model)
        self.keep_leases()
        return self.driver.begin(step, run_step(step, ask, self.setting), tell, heartbeat())

    async def abegin(self, ask: Ask, config: Mapping[str, Any] | None = None, model: str | None = None) -> Run:
        """As `begin`, without blocking the event loop."""
        step, tell = self.read(ask, config, model)
        self.keep_leases()
        return await self.driver.abegin(step, run_step(step, ask, self.setting), tell, heartbeat())

    def recommend(self, ask: Ask, config: Mapping[str, Any] | None = None) -> Considered:
        """The decision for `ask`, without a trace and without calling anybody, but for a tie-break between routes."""
        step, _ = self.read(ask, config)
        return self.advice.give(self.driver.consider(step, consider(step, ask, self.setting)))

    async def arecommend(self, ask: Ask, config: Mapping[str, Any] | None = None) -> Considered:
        """As `recommend`, without blocking the event loop."""
        step, _ = self.read(ask, config)
        return self.advice.give(await self.driver.aconsider(step, consider(step, ask, self.setting)))

    def report(
        self, step_id: str, model: str, message: AIMessage | str, seconds: float, score: float | None = None
    ) -> Trace:
        """Remember what a caller's own call came to after a recommendation, and how good it was.

        Raises:
            ConfigError: The recommendation or the model is not known, or the score is out of range.
        """
        if score is not None:
            check_score(score)
        trace = self.keep(reported(self.advice.take(step_id, model), model, message, seconds), seconds)
        if score is not None:
            self.sink.flush()
            self.feedback(step_id, score, reason=None, tenant=trace.tenant)
        return trace

    @cached_property
    def identities(self) -> list[tuple[str, str | None, str | None, str]]:
        """Name, provider, model, and a digest of the settings of each model; the digest reveals none of them."""
        return [(c.name, *identity(c), settings_digest(c)) for c in self.cards]

    @cached_property
    def named(self) -> dict[str, tuple[str | None, str | None]]:
        """Provider and model of each candidate as tracing knows them, by the candidate's name."""
        return {name: (provider, model) for name, provider, model, _ in self.identities}

    @cached_property
    def policy_text(self) -> str:
        """The policy in words, for LangChain's cache, which asks at every call."""
        return repr(self.policy)

    @cached_property
    def remembered(self) -> Memory:
        """Memory for people; also where it is off, so that what was remembered before can be erased."""
        memory = self.memory or self.open_recollection()

        @cache
        def custody() -> Custody:
            from .store.memory.custody import Custody  # brings the client library

            return Custody(memory, self.shelf.keeper, self.clock.now)

        return Memory(custody, tenant=self.kept.tenant or "default", flush=self.sink.flush)

    def settle(self, run: Run, outcome: Outcome) -> None:
        """Make the trace of an ended step, and hand it to the sink with what is to be remembered."""
        self.gate.settle(outcome.attempts, outcome.progress.unused, self.clock.now())
        run.trace = self.keep(outcome, run.seconds, self.degraded(run, outcome))

    def keep(self, outcome: Outcome, seconds: float, degraded: Sequence[str] = ()) -> Trace:
        """The trace of an ended step, which the sink gets with what is to be remembered."""
        answers, now = self.kept.answers, self.clock.now()
        left = NOTHING if answers is None else shelved(outcome, answers, self.prices, now)
        trace = make_trace(
            outcome.step,
            outcome.decision,
            outcome.progress,
            answered_by=outcome.answered_by,
            outcome=ending(outcome),
            prices=self.prices,
            seconds=seconds,
            degraded=degraded,
            probe=outcome.probe,
            cached=None if answers is None else cache_record(outcome, left),
        )
        memory, given = self.memory, outcome.answered_by
        if given is not None and given.is_cached:
            memory = None  # an answer given again says nothing of its model or its session
        remembrance = None if memory is None else self.remembrance(outcome, seconds, memory)
        self.sink.put(
            Settled(
                trace=trace if self.kept.tracing else None,
                remembrance=remembrance,
                shelved=left,
                look=self.look_at(outcome),
            )
        )
        return trace

    def look_at(self, outcome: Outcome) -> Callable[[], CacheRecord] | None:
        """What gives, off the path, what an answer cache would have looked for; None where there is one, or no step."""
        if self.kept.answers is not None or outcome.ask is None or self.memory is None:
            return None
        step, ask, digest, setting = outcome.step, outcome.ask, self.memory.digest, self.setting
        return lambda: asked_record(would_ask(step, ask, digest, setting))

    def degraded(self, run: Run, outcome: Outcome) -> tuple[str, ...]:
        """What was broken on the way: what could not be recalled, a journal without the store, routes that lack."""
        journal = None if self.journal is None or run.pen is None else self.journal.degraded
        told = {"journal": journal, "routes": None if self.routes is None else self.routes.degraded}
        said = outcome.degraded
        unsaid = {part: why for part, why in told.items() if why and not any(one.endswith(why) for one in said)}
        return (*said, *(f"{part}: {why}" for part, why in unsaid.items()))

    def remembrance(self, outcome: Outcome, seconds: float, memory: Recollection) -> Remembrance:
        """What memory keeps of an ended step; this process knows it from now on."""
        left = remember(outcome.ended(bytes_of(outcome.vector), seconds), self.prices, memory.prompt_key)
        memory.remember(left, self.clock.now())
        return left

    def feedback(self, step_id: str, score: float, *, reason: str | None, tenant: str | None) -> None:
        """A verdict on a step, for its trace and for memory.

        Raises:
            ConfigError: The score is out of range, or the step is not known.
            StoreError: The store is away.
        """
        check_score(score)
        whose, now = tenant or self.kept.tenant or "default", self.clock.now()
        traces = self.traces if tenant is None else self.traces.of(tenant)
        if (trace := traces.get(step_id)) is not None:
            self.observe_feedback(trace, score)
            traces.add_feedback(step_id, score, reason=reason, at=now)
        elif self.memory is None or not self.memory.knows(whose, step_id):
            raise ConfigError(f"step_id must name a step that is kept, got {step_id!r}; `steprouter show` lists them")
        if self.memory is not None:
            self.memory.label(whose, label(step_id, Source.FEEDBACK, score, now), now)

    def observe_feedback(self, trace: Trace, score: float) -> None:
        """Move what is thought of an answer that the step was given from the cache, or left there."""
        seen = told_by_feedback(trace, score)
        if seen is not None and self.memory is not None and self.memory.shelf is not None:
            self.memory.shelf.observe([seen])

    @cached_property
    def answers(self) -> Answers:
        """The answer cache for people."""
        shelf = None if self.memory is None else self.memory.shelf
        return Answers(shelf, self.kept.tenant or "default", self.sink.flush)

    def judge(self, thread: str, score: float, *, tenant: str | None) -> None:
        """A verdict on a whole thread, spread over its steps.

        Raises:
            ConfigError: The score is out of range, nothing is remembered of the thread, or nothing at all.
            StoreError: The store is away.
        """
        check_score(score)
        if self.memory is None:
            raise ConfigError("feedback on a thread needs memory, and it is off; set MemoryPolicy(on=True)")
        self.sink.flush()
        self.memory.judge(tenant or self.kept.tenant or "default", thread, score, self.clock.now())

    def close(self) -> None:
        """Write what waits and give connections back; an engine that is used again opens them anew."""
        self.background.close()
        if self.journal is not None:
            self.journal.close()
        self.driver.leavings.wait(CANCELLING_SECONDS)
        if self.routes is not None:
            self.routes.close()
        self.sink.close()
        self.shelf.close()
        self.gate.close(self.clock.now())
        if self.memory is not None:
            self.memory.close()
        for wire in self.driver.wires.values():
            wire.close()
        self.connection.close()
        if self.kept.store != "memory":  # where closing would mean forgetting
            self.shelf.opened = None

    async def aclose(self) -> None:
        """As `close`, for the running event loop's connections too."""
        await asyncio.to_thread(self.background.close)
        await asyncio.to_thread(self.driver.leavings.wait, CANCELLING_SECONDS)
        for wire in self.driver.wires.values():
            await wire.aclose()
        await self.connection.aclose()
        self.close()


def embedder_for(memory: MemoryPolicy) -> Embedder:
    """The embedder that a user gave, or ours.

    Raises:
        ConfigError: What was given is none.
    """
    if memory.embedder is None:
        return DefaultEmbedder()
    from .embedding.choose import embedder_of  # brings NumPy, which whoever gave an embedder has anyway

    return embedder_of(memory.embedder)


def predictor_for(policy: Policy, embedder: Embedder | None) -> Predictor | None:
    """The predictor that a user names or hands over.

    Raises:
        ConfigError: The file cannot be read or is none, or the predictor was made for another embedder.
    """
    own, given = None if embedder is None else embedder.identity, policy.predictor
    if isinstance(given, str):
        from .learning.file import load  # brings NumPy

        return load(given, embedder=own)
    if given is not None and given.embedder not in (None, own):
        raise ConfigError(
            f"the predictor must be for the embedder in use, {own!r}, got one for {given.embedder!r}; "
            "hand over one that was made for it, or `MemoryPolicy(embedder=…)`"
        )
    return given


def check_answers(kept: Keeping) -> None:
    """Raise where answers are to be kept and nothing is."""
    if kept.answers is not None and not kept.memory.on:
        raise ConfigError("answer_cache needs memory, and it is off; set MemoryPolicy(on=True), or leave the cache out")


def check_score(score: float) -> None:
    """Raise where a score is none."""
    if not 0 <= score <= 1:
        raise ConfigError(f"score must be between 0 (useless) and 1 (right), got {score!r}")


def named_fallback(budget: Budget, name: str, cards: Sequence[ModelCard]) -> Budget:
    """A budget with the name of a candidate as its fallback."""
    return replace(budget, fallback=candidate_named(name, cards))


def ending(outcome: Outcome) -> str:
    """How a step ended, in a word; of a probe, how it compares with what was given."""
    if outcome.probe is not None:
        return outcome.probe.said
    if outcome.answered_by is not None:
        return "sufficient" if outcome.answered_by.is_sufficient else "insufficient"
    return outcome.gave_up.why if outcome.gave_up is not None else "unknown"


def say_unchecked_nodes(policy: Policy) -> None:
    """Say once which rules name nodes that nothing can check: a misspelt one would never match and never tell."""
    unchecked = [rule.name for rule in policy.rules if names(rule.node)] if not policy.nodes else []
    if unchecked:
        log.warning(
            "rules %s name graph nodes, and nothing says which nodes there are; list them in Policy(nodes=…), "
            "so that a misspelt name is an error",
            unchecked,
        )
