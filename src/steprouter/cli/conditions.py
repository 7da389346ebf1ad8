"""How a router's models and budgets stand now, as all processes that share its store know it. Calls no model."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ..answering.breaker import State, is_due
from ..answering.budgets import Budget, span
from ..answering.health import Conditions, Health
from ..chat import StepRouter
from ..config import RouterConfig
from ..errors import ConfigError
from ..memory.policy import MemoryPolicy
from ..memory.recall import Missing
from ..routing.availability import availability
from ..step.step import Place, Step, StepKind
from ..store.memory.patient import ask
from ..store.memory.schema import Places
from ..store.memory.sections import BudgetSection, Query
from ..tracing.wording import money, percent
from .doctor import Finding

SUMMED_UP = ("tenant", "all")
"""Whom a budget is for where one number says how it stands; of the others there is one for each of many."""


def examine_conditions(settings: RouterConfig, store: str | None, readmit: str | None) -> Iterator[Finding]:
    """Who may be asked now and what is spent, after letting a model in again if that is wanted.

    Args:
        settings: What the configuration says.
        store: Where to look instead.
        readmit: The model to let in again.

    Raises:
        ConfigError: `readmit` names no model, or the processes share nothing that it could be told to.
        StoreError: The store is away, so that not all processes learn of it.
    """
    router = StepRouter(
        settings.models,
        policy=settings.policy,
        budget=settings.budgets,
        store=store or settings.store,
        tenant=settings.tenant,
        tracing=False,
        memory_policy=MemoryPolicy(on=False),
    )
    try:
        router.engine.connection.open()
        if readmit is not None:
            yield let_in(router, readmit)
        yield from examine_health(router)
        yield from examine_budgets(router)
    finally:
        router.close()


def let_in(router: StepRouter, model: str) -> Finding:
    """Let a model in again in all processes, and say whether that changes anything."""
    names, health, now = list(router.engine.settings), router.engine.gate.health, router.engine.clock.now()
    if model not in names:
        raise ConfigError(f"--readmit must name one of the models {names!r}, got {model!r}")
    if health.is_local:
        raise ConfigError(
            "--readmit needs a store that the processes share, got memory: what stands in a model's way is known only "
            f"to the process that met it; call router.readmit({model!r}) there, or restart it"
        )
    health.refresh(health.board, now)
    before = health.health(now)[model]
    router.readmit(model)
    return Finding(level="ok", subject=f"readmit {model}", text=let_in_from(before, now))


def let_in_from(before: Health, now: float) -> str:
    """What a model's being let in has changed."""
    if before.out is not None:
        return f"in again, in all processes with their next step; it was out: {before.out}"
    if before.limited_until > now:
        return "in again, in all processes with their next step; it had asked to be left alone"
    if before.breaker.state is not State.CLOSED:
        return "it was not out; its circuit is open, which closes by itself as soon as a probe succeeds"
    return "it was not out, nothing has changed"


def examine_health(router: StepRouter) -> Iterator[Finding]:
    """The circuits, and who is out or to be left alone."""
    health, now = router.engine.gate.health, router.engine.clock.now()
    if health.is_local:
        text = "known only to each process, as they share no store"
        yield Finding(level="note", subject="circuits", text=text)
        return
    missing = health.refresh(health.board, now)
    if missing is not None:
        yield Finding(level="error", subject="circuits", text=f"not known: {missing.reason}")
        return
    seen = health.health(now)
    # All efforts of a model are one deployment.
    cards = {card.deployment: replace(card, name=card.deployment, effort=None) for card in router.cards}.values()
    known = availability(list(cards), Conditions(deployments=seen), now)
    found = []
    for card in cards:
        trouble = known.trouble(card.name)
        if card.name in known.out:
            found.append(out_of(card.name, seen[card.name]))
        elif trouble is not None or seen[card.name].breaker.state is not State.CLOSED:
            text = trouble or due_of(seen[card.name], now)
            found.append(Finding(level="note", subject=f"circuit {card.name}", text=text))
    yield from found or [Finding(level="ok", subject="circuits", text="all closed; no model is out or limited")]


def out_of(model: str, health: Health) -> Finding:
    """A model that is not asked until somebody mends something."""
    text = (
        f"out until its configuration changes: {health.out}; give it another key or name, or mend it at its provider "
        f"and run steprouter doctor --readmit {shlex.quote(model)}"
    )
    return Finding(level="error", subject=f"circuit {model}", text=text)


def due_of(health: Health, now: float) -> str:
    """An open circuit that lets the next call through."""
    assert is_due(health.breaker, now)
    return f"circuit open ({health.breaker.why}); the next step that chooses it is its probe"


def examine_budgets(router: StepRouter) -> Iterator[Finding]:
    """How much of each budget is used up, what is set aside for calls under way included."""
    engine = router.engine
    ledger, now, tenant = engine.gate.ledger, engine.clock.now(), engine.kept.tenant or "default"
    if ledger is None or not ledger.budgets:
        return
    spent = None if ledger.is_local else shares(router, tenant, now)
    for budget in ledger.budgets:
        subject, limit = f"budget {budget.name}", limit_of(budget)
        if spent is None:
            text = f"{limit}; what is spent is known only to each process, as they share no store"
            yield Finding(level="note", subject=subject, text=text)
        elif isinstance(spent, Missing):
            yield Finding(level="error", subject=subject, text=f"{limit}; what is spent is not known: {spent.reason}")
        elif budget.per not in SUMMED_UP:
            text = f"{limit}; each {budget.per} has its own, which is not looked at here"
            yield Finding(level="ok", subject=subject, text=text)
        else:
            yield standing_of(budget, spent.get(budget.name, 0.0), tenant, now)


def shares(router: StepRouter, tenant: str, now: float) -> dict[str, float] | Missing:
    """How much of the budgets for a tenant and for all is used up, by name; 1 is all of it."""
    engine = router.engine
    ledger = engine.gate.ledger
    assert ledger is not None
    section = BudgetSection([budget for budget in ledger.budgets if budget.per in SUMMED_UP])
    step = Step(id="doctor", kind=StepKind.CHAT, place=Place(tenant=tenant), started_at=now)
    query = Query(places=Places(keys=ledger.local_keys, tenant=tenant), step=step)
    commands = section.commands(query)
    replies = ask(engine.connection, commands) if commands else []
    if isinstance(replies, Missing):
        return replies
    refused = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if refused is not None:
        return Missing(reason=f"the store refused: {refused}")
    found: dict[str, float] | Missing = section.parse(query, replies)
    return found


def standing_of(budget: Budget, share: float, tenant: str, now: float) -> Finding:
    """How a budget stands, and what follows from it."""
    ends_at = span(budget.period, now).ends_at
    again = f"; anew on {datetime.fromtimestamp(ends_at, UTC):%Y-%m-%d %H:%M} UTC" if ends_at is not None else ""
    whose = f" by tenant {tenant!r}" if budget.per == "tenant" else ""
    text = f"{percent(share, 1.0)} of {limit_of(budget)} used up{whose}{again}"
    subject = f"budget {budget.name}"
    if share < budget.cheaper_at:
        return Finding(level="ok", subject=subject, text=text)
    if share < 1:
        follows = f"past {percent(budget.cheaper_at, 1.0)}: only models cheaper than the reference are asked"
        return Finding(level="note", subject=subject, text=f"{text}; {follows}")
    if budget.fallback is not None:
        return Finding(level="note", subject=subject, text=f"{text}; its fallback {budget.fallback} answers")
    return Finding(level="error", subject=subject, text=f"{text}; steps end with BudgetExceeded")


def limit_of(budget: Budget) -> str:
    """What a budget allows, in words."""
    usd = [money(budget.usd)] if budget.usd is not None else []
    tokens = [f"{budget.tokens:,} tokens"] if budget.tokens is not None else []
    period = f" and {budget.period}" if budget.period else ""
    whom = "for all tenants" if budget.per == "all" else f"per {budget.per}"
    return f"{' and '.join(usd + tokens)} {whom}{period}"
