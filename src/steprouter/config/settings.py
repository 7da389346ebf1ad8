"""The settings of a router: cards, policy and places, from a file that the environment overrides."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from ..answering.budgets import Budget, check_budgets
from ..caching import AnswerCache, LangCacheService
from ..embedding.onnx import OnnxEmbedder
from ..errors import ConfigError
from ..memory.lessons import Lessons
from ..memory.policy import MemoryPolicy
from ..models.card import Abilities, ModelCard, Price
from ..models.limits import Limits
from ..routing.content_filter import ContentFilter
from ..routing.policy import Policy
from ..routing.probes import Probes
from ..routing.resumption import Resumption
from ..routing.routes import Route, TieBreak, check_router_name, check_routes
from ..routing.rule_order import name_checks, refuse_shadowed
from ..routing.rules import Rule, refuse_unknown
from ..store.live.journal_cipher import Cipher
from .complaints import check
from .document import Document, Place, read_document
from .fields import (
    FIELDS_AT,
    AnswerCacheFields,
    AnswersFields,
    BudgetFields,
    FileFields,
    MemoryFields,
    ModelFields,
    PolicyFields,
    RuleFields,
)
from .place import overridden


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    """What a configuration file says of a router.

    Attributes:
        models: The models that may answer, as written; nothing is looked up.
        policy: Rules, tiers, mode.
        store: Where traces and memory are kept; may hold a password.
        tenant: Whose data the steps are; None lets each run say.
        budgets: What may be spent.
        answers: What may be answered again; None keeps no answers.
        tracing: Whether traces are kept.
        memory: What is remembered, and how.
    """

    models: tuple[ModelCard, ...]
    policy: Policy = field(default_factory=Policy)
    store: str = field(default="embedded", repr=False)
    tenant: str | None = None
    budgets: tuple[Budget, ...] = ()
    answers: AnswerCache | None = None
    tracing: bool = True
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)


def load(path: str | PathLike[str], *, environment: Mapping[str, str] | None = None) -> RouterConfig:
    """The settings in a YAML file; `STEPROUTER_STORE`, `STEPROUTER_TENANT` and `STEPROUTER_MODE` win over it.

    Args:
        path: The file.
        environment: Where those and `${NAME}` are looked up; default the process's.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; names file, line and field.
    """
    environment = os.environ if environment is None else environment
    document = read_document(Path(path), environment)
    fields = check(document, FileFields, FIELDS_AT)
    cards = make_cards(document, fields.models)
    policy = beside(Path(path), make_policy(document, fields.policy, cards))
    place = overridden(fields, environment)
    return RouterConfig(
        models=cards,
        policy=with_mode(policy, environment),
        store=place.store,
        tenant=place.tenant,
        tracing=fields.tracing,
        budgets=make_budgets(document, fields.budget, cards),
        answers=make_answers(document, fields.answer_cache),
        memory=make_memory(document, fields.memory, cards),
    )


def beside(path: Path, policy: Policy) -> Policy:
    """The policy with its predictor's file found from the configuration's folder, wherever the process runs."""
    named = policy.predictor
    return replace(policy, predictor=str(path.parent / named)) if isinstance(named, str) else policy


def load_answers(
    path: str | PathLike[str] | None, *, environment: Mapping[str, str] | None = None
) -> AnswerCache | None:
    """The answer cache of a file alone, so that the keys of models need not be there to remove answers.

    Args:
        path: The file; None is none.
        environment: As for `load`.

    Raises:
        ConfigError: As for `load`.
    """
    if path is None:
        return None
    given = os.environ if environment is None else environment
    document = read_document(Path(path), given, only=AnswersFields.model_fields)
    return make_answers(document, check(document, AnswersFields, FIELDS_AT).answer_cache)


def make_answers(document: Document, fields: AnswerCacheFields | bool | None) -> AnswerCache | None:
    """The answer cache."""
    if isinstance(fields, bool) or fields is None:
        return AnswerCache() if fields else None
    given = {name: getattr(fields, name) for name in fields.model_fields_set}
    if fields.langcache is not None:
        service = partial(LangCacheService, **fields.langcache.model_dump(exclude_unset=True))
        given["langcache"] = document.build(("answer_cache", "langcache"), service)
    return document.build(("answer_cache",), lambda: AnswerCache(**given))


def make_budgets(document: Document, budgets: Sequence[BudgetFields], cards: Sequence[ModelCard]) -> tuple[Budget, ...]:
    """The budgets, no two of which may limit the same."""
    made = tuple(
        document.build(("budget", index), partial(Budget, **fields.model_dump(exclude_unset=True)))
        for index, fields in enumerate(budgets)
    )
    document.build(("budget",), partial(check_budgets, made, names_of(cards)))
    return made


def make_memory(document: Document, fields: MemoryFields, cards: Sequence[ModelCard]) -> MemoryPolicy:
    """What is remembered. An embedder or a key whose packages are missing is an error here, not at the first step."""
    lessons: Lessons | None = None
    if fields.lessons is not None:
        given = fields.lessons.model_dump(exclude_unset=True)
        lessons = document.build(("memory", "lessons"), partial(Lessons, **given))
        known = names_of(cards)
        check_models = partial(refuse_unknown, "lessons", "model", set(lessons.models), known)
        document.build(("memory", "lessons", "models"), check_models)
    embedder = document.build(("memory", "embedder"), OnnxEmbedder) if fields.embedder == "onnx" else None
    if fields.journal_key is not None:
        document.build(("memory", "journal_key"), partial(Cipher, fields.journal_key.get_secret_value()))
    return MemoryPolicy(on=fields.on, embedder=embedder, lessons=lessons, journal_key=fields.journal_key)


def with_mode(policy: Policy, environment: Mapping[str, str]) -> Policy:
    """The policy in the mode that the environment says, if it says one."""
    mode: Any = environment.get("STEPROUTER_MODE")
    try:
        return replace(policy, mode=mode) if mode else policy
    except ConfigError as error:
        raise ConfigError(f"environment variable STEPROUTER_MODE: {error}") from None


def make_cards(document: Document, models: Sequence[ModelFields]) -> tuple[ModelCard, ...]:
    """The cards, whose names must differ."""
    cards: list[ModelCard] = []
    for index, fields in enumerate(models):
        given = fields.model_dump(exclude_unset=True, exclude={"price", "abilities", "tags", "limits"})
        if fields.limits is not None:
            limits = fields.limits.model_dump()
            given["limits"] = document.build(("models", index, "limits"), partial(Limits, **limits))
        if fields.price is not None:
            prices = fields.price.model_dump()
            given["price"] = document.build(("models", index, "price"), partial(Price, **prices))
        abilities = Abilities(**fields.abilities.model_dump())
        make = partial(ModelCard, **given, abilities=abilities, tags=frozenset(fields.tags))
        card = document.build(("models", index), make)
        if card.name in {other.name for other in cards}:
            raise document.error(("models", index, "name"), f"model names must be unique, got {card.name!r} twice")
        cards.append(card)
    return tuple(cards)


def names_of(cards: Sequence[ModelCard]) -> set[str]:
    """What the file may call its models: each by its name, and by those of its efforts."""
    return {name for card in cards for name in card.names}


def make_policy(document: Document, fields: PolicyFields, cards: Sequence[ModelCard]) -> Policy:
    """The policy. Names are checked here, where their lines are known; what depends on tiers, by the router."""
    rules: list[Rule] = []
    for index, rule_fields in enumerate(fields.rules):
        rule = make_rule(document, index, rule_fields, cards, fields.nodes)
        if rule.name in {other.name for other in rules}:
            place = ("policy", "rules", index, "name")
            raise document.error(place, f"rule names must be unique, got {rule.name!r} twice")
        document.build(("policy", "rules", index), partial(refuse_shadowed, rule, rules))
        rules.append(rule)
    if fields.reference is not None:
        known = names_of(cards)
        check_reference = partial(refuse_unknown, "reference", "model", {fields.reference}, known)
        document.build(("policy", "reference"), check_reference)
    made_elsewhere = {"rules", "content_filter", "resume", "routes", "tie_break", "probes"}
    given = fields.model_dump(exclude_unset=True, exclude=made_elsewhere)
    given["routes"] = make_routes(document, fields, cards)
    if fields.tie_break is not None:
        asked = partial(TieBreak, **fields.tie_break.model_dump(exclude_unset=True))
        given["tie_break"] = document.build(("policy", "tie_break"), asked)
        refuse_strangers(document, ("policy", "tie_break", "models"), "tie_break", fields.tie_break.models, cards)
    at = ("policy", "content_filter")
    reaction = document.build(at, partial(ContentFilter, **fields.content_filter.model_dump(exclude_unset=True)))
    document.build(at, partial(reaction.check, names_of(cards)))
    given["content_filter"] = reaction
    resume = partial(Resumption, **fields.resume.model_dump(exclude_unset=True))
    given["resume"] = document.build(("policy", "resume"), resume)
    if fields.probes is not None:
        probes = document.build(("policy", "probes"), partial(Probes, **fields.probes.model_dump(exclude_unset=True)))
        document.build(("policy", "probes", "models"), partial(probes.check, cards))
        given["probes"] = probes
    return document.build(("policy",), partial(Policy, **given, rules=tuple(rules)))


def make_routes(document: Document, fields: PolicyFields, cards: Sequence[ModelCard]) -> list[Route]:
    """The routes, each checked against those before it, so that a mistake has the line of the later one."""
    if fields.routes_in is not None:
        document.build(("policy", "routes_in"), partial(check_router_name, fields.routes_in))
    routes: list[Route] = []
    for index, route_fields in enumerate(fields.routes):
        place = ("policy", "routes", index)
        routes.append(document.build(place, partial(Route, **route_fields.model_dump(exclude_unset=True))))
        document.build(place, partial(check_routes, tuple(routes), has_store=fields.routes_in is not None))
        refuse_strangers(document, (*place, "models"), f"route {routes[-1].name!r}", route_fields.models, cards)
    return routes


def refuse_strangers(
    document: Document, place: Place, who: str, named: Sequence[str], cards: Sequence[ModelCard]
) -> None:
    """Refuse names of models that are neither a model's nor a tag."""
    known = names_of(cards) | {tag for card in cards for tag in card.tags}
    document.build(place, partial(refuse_unknown, who, "model", set(named), known))


def make_rule(
    document: Document, index: int, fields: RuleFields, cards: Sequence[ModelCard], nodes: Mapping[str, object]
) -> Rule:
    """A rule that names only what is there."""
    place = ("policy", "rules", index)
    rule = document.build(place, partial(Rule, **fields.model_dump(exclude_unset=True)))
    for named, check_names in name_checks(rule, cards, nodes.keys()).items():
        document.build((*place, named), check_names)
    return rule
