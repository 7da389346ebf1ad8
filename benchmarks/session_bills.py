"""What sessions cost, counted token by token, apart from the router's own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from steprouter.models.card import Price
from steprouter.models.cost import Usage
from steprouter.routing.plan_cost import Ahead, Speaker, plan

KEPT_SECONDS = 300.0
"""How long a provider keeps a prompt, from the start of the last call that read it: the shortest of those in use."""


@dataclass(slots=True, kw_only=True)
class Provider:
    """One model's provider in one session: remembers each token of the prompts it has seen lately.

    Prompts of a session begin with those before, so a token is named by its place. Nothing is cached at first: sessions
    are taken to be farther apart than a cache lasts.
    """

    price: Price
    cached: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    until: float = 0.0

    def bill(self, prompt_tokens: int, output_tokens: int, now: float) -> tuple[float, Usage]:
        """USD and tokens of one call: cached tokens are read, the others written, the answer paid."""
        cached = np.zeros(prompt_tokens, dtype=bool)
        if now < self.until:
            known = self.cached[:prompt_tokens]
            cached[: len(known)] = known
        price = self.price
        read = price.input if price.cache_read is None else price.cache_read
        write = price.input if price.cache_write is None else price.cache_write
        usd = float(np.where(cached, read, write).sum()) + output_tokens * price.output
        self.cached, self.until = np.ones(prompt_tokens, dtype=bool), now + KEPT_SECONDS
        hits = int(cached.sum())
        usage = Usage(
            input_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=hits,
            cache_write_tokens=0 if price.cache_write is None else prompt_tokens - hits,
        )
        return usd / 1e6, usage


def plan_difference(speaker: Speaker, incumbent: Speaker, ahead: Ahead) -> float:
    """By how much of it the router's cost of a plan differs from the same plan counted token by token."""
    prompts = [ahead.prompt_tokens + number * ahead.growth_tokens for number in range(ahead.steps)]
    here, there = warmed(speaker), warmed(incumbent)
    told = plan(speaker, incumbent, ahead)
    if told.kind == "excursion":
        counted = here.bill(prompts[0], speaker.output_tokens, 0)[0]
        if ahead.cools:
            there.cached = np.zeros(0, dtype=bool)
        counted += sum(there.bill(prompt, incumbent.output_tokens, 0)[0] for prompt in prompts[1:])
    else:
        counted = sum(here.bill(prompt, speaker.output_tokens, 0)[0] for prompt in prompts)
    return abs(told.total_usd - counted) / counted


def warmed(speaker: Speaker) -> Provider:
    """A provider that has seen what a plan takes it to have seen."""
    return Provider(price=speaker.price, cached=np.ones(speaker.warm_tokens, dtype=bool), until=1.0)


def cheapest(
    prices: Sequence[Price],
    prompts: Sequence[int],
    outputs: Sequence[int],
    times: Sequence[float],
    sufficient: Sequence[Sequence[bool]],
) -> tuple[float, list[int]]:
    """The least a session can cost if every step is answered well, and by whom: nobody can know it beforehand.

    All ways through the session that differ in what is cached where; `sufficient` says of each step which models
    answer it well.
    """
    ways: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {(-1,) * len(prices): (0.0, ())}
    for step, prompt in enumerate(prompts):
        following: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
        for last, (usd, path) in ways.items():
            for model, price in enumerate(prices):
                if not sufficient[step][model]:
                    continue
                before = last[model]
                is_warm = before >= 0 and times[step] < times[before] + KEPT_SECONDS
                warm = prompts[before] if is_warm else 0
                read = price.input if price.cache_read is None else price.cache_read
                write = price.input if price.cache_write is None else price.cache_write
                cost = usd + (warm * read + (prompt - warm) * write + outputs[step] * price.output) / 1e6
                state = (*last[:model], step, *last[model + 1 :])
                if state not in following or cost < following[state][0]:
                    following[state] = (cost, (*path, model))
        ways = following
    usd, path = min(ways.values())
    return usd, list(path)
