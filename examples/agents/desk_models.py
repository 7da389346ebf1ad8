"""Who answers at the support desk: simulated providers, the user's own keys, or two local models."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steprouter import ConfigError, ModelCard, Price, StepKind, Tier
from steprouter.testing import Reply, Request, SimulatedProvider, call, fail, say

KEYED = (
    ("OPENAI_API_KEY", "openai:gpt-5.6-luna", "openai:gpt-5.6-sol"),
    ("ANTHROPIC_API_KEY", "anthropic:claude-haiku-4-5", "anthropic:claude-opus-5-5"),
    ("GOOGLE_API_KEY", "google_genai:gemini-3.1-flash-lite", "google_genai:gemini-3.1-pro-preview"),
)
"""A small and a large model for each key that may be set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskModels:
    """The models of a run, and the sentence that says what they are."""

    cards: list[ModelCard]
    says: str
    kinds: dict[StepKind, Tier] = field(default_factory=dict)


@contextmanager
def desk_models(kind: str, *, seed: int = 1) -> Iterator[DeskModels]:
    """The models of one kind: `simulated`, `keys` or `local`; what was started for them is stopped at the end."""
    if kind == "keys":
        yield keyed_models()
    elif kind == "local":
        with local_models(seed) as models:
            yield models
    else:
        with simulated_models() as models:
            yield models


# Simulated: scripted answers over real HTTP, with the list prices of two real models for the arithmetic


@contextmanager
def simulated_models() -> Iterator[DeskModels]:
    """Three providers on loopback: two small ones, of which one is down for a moment, and a large one."""
    luna = Price(input=0.2, output=1.2, cache_read=0.02, source="list price of gpt-5.6-luna")
    opus = Price(input=4, output=20, cache_read=0.2, source="list price of claude-opus-5-5")
    with SimulatedProvider({"small": hasty, "spare": hasty, "large": careful}) as provider:

        def card(name: str, tier: Tier, price: Price) -> ModelCard:
            return ModelCard(
                name=name, model=name, base_url=provider.url, tier=tier, price=price, window_tokens=128_000
            )

        yield DeskModels(
            cards=[
                card("small", Tier.LOW, luna),
                card("spare", Tier.LOW, Price(input=0.25, output=1.5)),
                card("large", Tier.HIGH, opus),
            ],
            says="SIMULATED providers: scripted answers over HTTP on this machine. No model runs, no key is read, "
            "nothing is paid;\ncosts are counted at list prices (small: gpt-5.6-luna, large: claude-opus-5-5).\n",
        )


def hasty(request: Request) -> Reply:
    """A small model: mostly right, once away, once careless with a schema, once with a digit."""
    if request.model == "small" and request.call == 5:
        return fail(503, message="the model is restarting")
    reply = careful(request)
    if reply.tool_calls and reply.tool_calls[0].name == "freeze_card":
        return call("freeze_card", last4="4821", reason="lost wallet")
    if reply.tool_calls and reply.tool_calls[0].name == "list_transactions" and "no card" not in request.prompt:
        return call("list_transactions", last4="4812")
    return reply


def careful(request: Request) -> Reply:
    """A model that does what a good clerk would do next."""
    tools = {tool["function"]["name"] for tool in request.tools}
    text = " ".join(str(message.get("content") or "") for message in request.messages)
    asked = [str(message["content"]) for message in request.messages if message["role"] == "user"]
    ticket = asked[-1]
    if "Triage" in tools:
        return call("Triage", topic=topic_of(ticket), urgent="lost" in ticket)
    if tools:
        return next_act(ticket, [str(m["content"]) for m in request.messages if m["role"] == "tool"])
    if "one short line" in text:
        return say(f"{topic_of(ticket).capitalize()} case closed: {ticket.partition(' ->')[0]}")
    done = ticket.partition("Done: ")[2]
    return say(
        f"Dear Ana, {done[0].lower()}{done[1:]} Please write again if anything else looks wrong."
        if done and done != "nothing yet"
        else "Dear Ana, we exchange at the interbank rate of the moment you pay. The app shows it before you confirm."
    )


def topic_of(ticket: str) -> str:
    """What a message is about, by its words."""
    if re.search(r"lost|stolen|can't find|card is|not working", ticket):
        return "card"
    return "payment" if re.search(r"charge|transaction|payment|refund", ticket) else "question"


def next_act(ticket: str, results: list[str]) -> Reply:
    """The next tool call, or what was found."""
    good = [result for result in results if "no card ends" not in result]
    if topic_of(ticket) == "card":
        steps = [call("card_status", last4="4821"), call("freeze_card", last4="4821", reason="lost")]
        told = "Your card ending in 4821 is frozen and nobody can pay with it."
    else:
        steps = [
            call("list_transactions", last4="4821"),
            call("open_ticket", last4="4821", topic="refund", summary="Harbour Books charged 23.50 EUR twice"),
        ]
        told = "Harbour Books charged 23.50 EUR twice on 19 November; a colleague is getting one charge back for you."
    return steps[len(good)] if len(good) < len(steps) else say(told)


# The user's own keys, and local models


def keyed_models() -> DeskModels:
    """A small and a large model for each provider whose key is set."""
    cards = [
        ModelCard(name=model.partition(":")[2], model=model)
        for key, small, large in KEYED
        if os.environ.get(key)
        for model in (small, large)
    ]
    if not cards:
        raise ConfigError(f"one of {', '.join(key for key, *_ in KEYED)} must be set to run with --keys")
    return DeskModels(cards=cards, says=f"REAL providers, REAL money: {', '.join(card.name for card in cards)}.\n")


@contextmanager
def local_models(seed: int) -> Iterator[DeskModels]:
    """Two real models behind llama.cpp servers on this machine; they cost nothing, so prices stand for effort."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    from local_models import serving

    # Small models sometimes do not stop; no good answer of this desk needs a quarter of this.
    sampled: dict[str, Any] = {"temperature": 0.3, "seed": seed, "max_tokens": 400}
    # SmolLM2-135M chose the right one of four tools in 1 of 6 tries, Qwen2.5-0.5B in 4 to 5: tools go to the latter.
    tool_kinds = (StepKind.TOOL_CALL, StepKind.READ_RESULT, StepKind.RECOVER)
    with serving(["small", "large"]) as urls:
        yield DeskModels(
            cards=[
                ModelCard(
                    name="smollm-135m",
                    model="small",
                    base_url=urls["small"],
                    tier=Tier.LOW,
                    price=Price(input=0.01, output=0.02, source="made up, in proportion to size"),
                    window_tokens=4096,
                    tools="prompt",
                    settings=sampled,
                ),
                ModelCard(
                    name="qwen-0.5b",
                    model="large",
                    base_url=urls["large"],
                    tier=Tier.HIGH,
                    price=Price(input=0.04, output=0.08, source="made up, in proportion to size"),
                    window_tokens=4096,
                    tools="json_schema",
                    settings=sampled,
                ),
            ],
            says="LOCAL models: SmolLM2-135M and Qwen2.5-0.5B on this machine, small enough to be wrong often. "
            f"Seed {seed}.\n",
            kinds=dict.fromkeys(tool_kinds, Tier.HIGH),
        )
