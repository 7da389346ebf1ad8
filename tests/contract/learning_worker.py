"""Takes part of a stream of steps and prints each decision; told URL, tenant, first step, and the one past the end."""

from __future__ import annotations

import json
import sys
from typing import Any

from steprouter import ModelCard, Price, StepRouter, Tier
from steprouter.testing import FrozenClock, ScriptedChatModel, say

TEXTS = ("Where is my parcel?", "Cancel my order, please", "What does the express cost?", "Translate this to Latin")
HARD = TEXTS[3]
BEGINS = 1_900_000_000.0


def card(name: str, tier: Tier, usd: float) -> ModelCard:
    return ModelCard(name=name, model=ScriptedChatModel(say("Yes.")), tier=tier, price=Price(input=usd, output=usd))


def main(url: str, tenant: str, first: int, last: int) -> None:
    clock = FrozenClock(BEGINS + 60.0 * first)
    cards = [card("small", Tier.LOW, 1), card("mid", Tier.MID, 4), card("large", Tier.HIGH, 20)]
    router = StepRouter(cards, store=url, tenant=tenant, clock=clock)
    memory: Any = router.engine.memory
    for number in range(first, last):
        text = f"{TEXTS[number % len(TEXTS)]} Number {number}."
        memory.redis().snapshots.refresh_now(tenant, "chat")  # as a process does by itself within seconds
        config: Any = {"configurable": {"thread_id": f"t{number // 5}"}}
        decision = router.recommend(text, config=config)
        model = decision.models[0]
        right = model == "large" or (not text.startswith(HARD) and not (model == "small" and number >= 30))
        router.report(decision, "Yes.", seconds=0.5, score=float(right))
        router.engine.sink.flush()
        told = {c.model: [round(c.weighed.odds.success, 9), str(c.fate)] for c in decision.candidates if c.weighed}
        print(json.dumps([number, model, told]))
        clock.advance(60.0)
    router.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
