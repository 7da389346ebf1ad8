"""What becomes of a candidate's effort in a call: who may have the call at which effort, and what is sent with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..models.card import ModelCard
from ..models.effort import LEVELS, budget_tokens
from ..step.ask import LIMIT_KEYS, Ask
from .attempt import Attempt
from .failures import FailureKind
from .handover_blocks import THOUGHTS, kind_of
from .speaker import Speaker, given_for, is_own

WORDS = frozenset({"effort", "reasoning", "reasoning_effort", "thinking", "thinking_budget", "thinking_level"})
"""How callers say how hard a model is to think."""

NESTED = frozenset({"chat_template_kwargs", "extra_body", "model_kwargs", "output_config"})
"""Settings that hold others, which a call's and an effort's may both be among."""

REFUSED = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|not (support|permit|allow|recogni[sz]|valid)|n't support|invalid|"
    r"extra (inputs|fields)|supported (values|levels)|must be one of|input should be"
)
"""How providers say that they do not know a setting, or one of its values."""

OF_EFFORT = re.compile(
    r"effort|thinking[ _.]?(level|budget|type|config|mode)|adaptive thinking|"
    r"\b(parameter|argument|field|inputs?)\b.{0,40}\b(reasoning|thinking)\b|"
    r"\b(reasoning|thinking)\b\W{0,3}(extra inputs|(is )?not (supported|permitted|allowed))"
)
"""How they name it: OpenAI, Anthropic, Google, xAI ("does not support parameter reasoningEffort"), Groq."""

OF_THE_CALL = re.compile(
    r"messages?[.\[]|\binput\[|tool_choice|temperature|top_[pk]|max_(output_|completion_)?tokens|signature|encrypted"
)
"""What they name where an effort is refused only together with something else in the call."""


def said_of_effort(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says itself of how hard to think; empty where it leaves that open."""
    found = {key: value for key, value in settings.items() if key in WORDS and value is not None}
    for key in NESTED & settings.keys():
        if isinstance(inner := settings[key], Mapping):
            found |= said_of_effort(inner)
            found |= {one: inner[one] for one in ("enable_thinking", "thinking") if inner.get(one) is not None}
    reasoning, thinking = found.get("reasoning"), found.get("thinking")
    if isinstance(reasoning, Mapping) and not {"effort", "max_tokens", "enabled"} & reasoning.keys():
        del found["reasoning"]  # only how thoughts are summed up
    if isinstance(thinking, Mapping) and thinking.get("type") == "adaptive":
        del found["thinking"]  # which leaves to the level how hard
    return found


def level_said(said: Mapping[str, Any]) -> str | None:
    """The level among what is said of an effort; None where it is said otherwise."""
    reasoning = said.get("reasoning")
    given = [said.get("reasoning_effort"), said.get("effort"), said.get("thinking_level")]
    given += [reasoning.get("effort")] if isinstance(reasoning, Mapping) else []
    return next((level for level in given if isinstance(level, str)), None)


def sent_for(card: ModelCard, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is sent for a candidate's effort with a call of these settings; nothing where the call says it itself."""
    effort = card.effort
    return {} if effort is None or said_of_effort(settings) else effort.settings


def with_effort(ask: Ask, card: ModelCard) -> Ask:
    """The call as a candidate is asked it; the caller's own settings win."""
    sent = sent_for(card, ask.settings)
    if not sent:
        return ask
    settings = {**sent, **ask.settings}
    for key in NESTED & sent.keys() & ask.settings.keys():
        if isinstance(sent[key], Mapping) and isinstance(ask.settings[key], Mapping):
            settings[key] = {**sent[key], **ask.settings[key]}
    return replace(ask, settings=settings)


def barred_efforts(cards: Sequence[ModelCard], speakers: Mapping[str, Speaker], ask: Ask) -> dict[str, str]:
    """Which candidates cannot have this call at their effort, and why.

    Args:
        cards: All candidates.
        speakers: Each as the reader of a history, by name.
        ask: The call.
    """
    barred = dict(contradicted(cards, ask.settings))
    for card in cards:
        if card.name not in barred and (why := clash(card, speakers[card.name], cards, ask)) is not None:
            barred[card.name] = why
    return barred


def contradicted(cards: Sequence[ModelCard], settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Candidates that are not what the call asks for itself.

    One of each deployment takes the call: the one whose effort it names, or else the nearest, which is then asked
    with the call's own words.
    """
    said = said_of_effort(settings)
    if not said or not any(card.effort for card in cards):
        return
    asked = ", ".join(f"{key}={value!r}" for key, value in sorted(said.items()))
    for base in dict.fromkeys(card.deployment for card in cards if card.effort):
        siblings = [card for card in cards if card.deployment == base]
        taken = min(siblings, key=lambda card: distance(card, said))
        for card in siblings:
            if card is not taken:
                yield card.name, f"the call asks for {asked} itself, which goes with {taken.name}"


def distance(card: ModelCard, said: Mapping[str, Any]) -> tuple[int, int]:
    """How far a candidate is from what a call says of its effort."""
    assert card.effort is not None
    own, level = said_of_effort(card.effort.settings), level_said(said)
    if own == said or (level is not None and level_said(own) == level):
        return 0, 0
    mine = level_said(own) or card.effort.name
    if level in LEVELS and mine in LEVELS:
        return 1, abs(LEVELS.index(mine) - LEVELS.index(level))
    return 2, abs(card.effort.above)


def clash(card: ModelCard, speaker: Speaker, cards: Sequence[ModelCard], ask: Ask) -> str | None:
    """What in a call rules out how a Claude is told to think; None if nothing does.

    Sources: Anthropic's pages on thinking (2026): a budget is less than the longest answer; a budget goes with neither
    a forced tool nor a temperature; a loop of tools is one turn, which is thought through in one mode.
    """
    if not speaker.is_claude:
        return None
    budget, most = budget_tokens(given_for(card, ask.settings)), longest_answer(card, ask)
    if budget is not None and most is not None and budget >= most:
        return f"thinks with up to {budget} tokens, and the whole answer may have {most}"
    if card.effort is None:
        return None
    if budget_tokens(sent_for(card, ask.settings)) is not None:
        choice, temperature = ask.tools.choice, ask.settings.get("temperature")
        if choice is not None and choice.mode in ("any", "tool"):
            return "thinks with a budget, which rules out a forced tool"
        if temperature not in (None, 1):
            return f"thinks with a budget, which rules out the call's temperature {temperature!r}"
    if is_silent(card, cards, ask.settings) and is_amid_thoughts(ask.messages, speaker):
        return "would drop the thoughts of the tool loop that was begun; thinking is not ended amid one"
    return None


def longest_answer(card: ModelCard, ask: Ask) -> int | None:
    """Tokens a call allows for thoughts and answer together; None where nothing is said."""
    if ask.output_limit is not None:
        return ask.output_limit
    given = given_for(card, ask.settings)
    stated = [given.get(key) for key in LIMIT_KEYS] + [getattr(card.model, "max_tokens", None), card.max_output_tokens]
    return next((most for most in stated if isinstance(most, int) and most > 0), None)


def is_silent(card: ModelCard, cards: Sequence[ModelCard], settings: Mapping[str, Any]) -> bool:
    """Whether a Claude does not think at this effort: it is told so, or not told though others of it are."""
    thinking = mode_of(card, settings)
    if thinking is not None:
        return thinking == "disabled"
    siblings = [one for one in cards if one.deployment == card.deployment]
    return any(mode_of(one, settings) == "enabled" for one in siblings)


def mode_of(card: ModelCard, settings: Mapping[str, Any]) -> str | None:
    """`enabled`, `adaptive` or `disabled` as a Claude is told to think; None where it is told nothing."""
    thinking = given_for(card, settings).get("thinking")
    mode = thinking.get("type") if isinstance(thinking, Mapping) else None
    return mode if isinstance(mode, str) else None


def is_amid_thoughts(messages: Sequence[BaseMessage], to: Speaker) -> bool:
    """Whether a history ends within a tool loop that `to` has thought in."""
    if not messages or not isinstance(messages[-1], ToolMessage):
        return False
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            blocks = message.content if is_own(message, to) and isinstance(message.content, list) else []
            if any(kind_of(block) in THOUGHTS for block in blocks):
                return True
        elif not isinstance(message, ToolMessage):
            return False
    return False


def unsupported(attempt: Attempt, sent: Mapping[str, Any]) -> Attempt:
    """An attempt that was refused because of what the router sent for an effort, as such; any other as it is.

    Args:
        attempt: The attempt.
        sent: What was sent for the effort.
    """
    failure = attempt.failure
    if failure is None or failure.kind is not FailureKind.BAD_REQUEST or not sent:
        return attempt
    said = f"{failure.code or ''} {failure.text}".lower()
    is_named = OF_EFFORT.search(said) is not None or any(key in said for key in names_in(sent) - WORDS)
    if not is_named or REFUSED.search(said) is None or OF_THE_CALL.search(said) is not None:
        return attempt
    return replace(attempt, failure=replace(failure, kind=FailureKind.UNSUPPORTED))


def names_in(settings: Mapping[str, Any]) -> set[str]:
    """The names of settings, and of those that they hold."""
    inner = [one for key in NESTED & settings.keys() if isinstance(one := settings[key], Mapping)]
    return {key.lower() for key in settings}.union(*(names_in(one) for one in inner))
