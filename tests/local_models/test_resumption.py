"""A real model's answer is reset in the middle, and the router's consumer reads it to the end without a seam.

Runs only where it is asked for (`make test-local-models`): it needs some 100 MB of weights.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from steprouter import Abilities, ModelCard, StepRouter

pytestmark = pytest.mark.skipif(
    not os.environ.get("STEPROUTER_LOCAL_MODELS"), reason="real models run under `make test-local-models`"
)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MOST_TOKENS = 40
PROMPTS = ("sea", "cities", "sort", "json")
CUTS_EACH = 5


@pytest.fixture(scope="module")
def proxy() -> Iterator[Any]:
    """A way to the small model that can break off an answer."""
    sys.path.insert(0, str(BENCHMARKS))
    from resumption_models import exactly_served
    from resumption_proxy import CuttingProxy

    with exactly_served(["small"]) as urls, CuttingProxy(urls["small"]) as proxy:
        yield proxy


def read(proxy: Any, prompt: str, *, tokens: int = MOST_TOKENS, cut_after: int | None = None) -> tuple[str, Any]:
    """What a consumer reads of an answer, and how it came about."""
    card = ModelCard(
        name="smollm-135m",
        model="small",
        base_url=proxy.url,
        abilities=Abilities(prefill=True),
        settings={"temperature": 0, "cache_prompt": True},
    )
    with closing(StepRouter([card], store="memory")) as router:
        proxy.cut_after = cut_after
        config: Any = {"configurable": {"thread_id": "t"}}
        chunks = list(router.stream([HumanMessage(prompt)], config, max_tokens=tokens))
        [trace] = router.traces.list("t")
        return "".join(chunk.text for chunk in chunks), trace


def test_an_answer_that_is_reset_anywhere_is_read_to_its_end_as_if_it_had_not_been(proxy: Any) -> None:
    from resumption_clean import fault
    from resumption_prompts import PROMPTS as TEXTS

    lots, exact, unclean, resumed = Random(1), 0, [], 0
    for name in PROMPTS:
        prompt = TEXTS[name]
        longer, _ = read(proxy, prompt, tokens=2 * MOST_TOKENS)
        uncut, trace = read(proxy, prompt)
        assert longer.startswith(uncut)
        assert len(trace.attempts) == 1
        body_bytes = proxy.body_bytes
        for _ in range(CUTS_EACH):
            text, trace = read(proxy, prompt, cut_after=lots.randint(1, body_bytes))
            ways = [attempt.resumed for attempt in trace.attempts if attempt.resumed is not None]
            resumed += bool(ways)
            exact += longer.startswith(text) and trace.attempts[-1].failure is None
            at = ways[0].at_char if ways else 0
            why = (
                fault(prompt, longer[:at], text[at:], longer) if text.startswith(longer[:at]) else "shown text differs"
            )
            unclean += [(name, at, why, text)] if why else []
    total = CUTS_EACH * len(PROMPTS)
    print(f"{exact} of {total} as if nothing had been cut, {resumed} gone on with, unclean: {unclean}")
    assert not unclean
    assert exact >= 0.9 * total
    assert resumed >= 0.6 * total
