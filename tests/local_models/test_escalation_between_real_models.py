"""Two real models on this machine: the small one is refused by a check and the large one asked instead.

Runs only where it is asked for (`make test-local-models`): it needs some 600 MB of weights.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel

from steprouter import StepRouter, Trace

pytestmark = pytest.mark.skipif(
    not os.environ.get("STEPROUTER_LOCAL_MODELS"), reason="real models run under `make test-local-models`"
)
AGENTS = Path(__file__).parents[2] / "examples" / "agents"
SEEDS = (1, 2, 3, 4, 5)
MESSAGES = ("I lost my wallet and all my cards were in it.", "My card got charged twice for the same thing!")
NOTE = [
    SystemMessage("Note the case in one short line."),
    HumanMessage("My top-up is not working"),
    AIMessage("Top-up fails."),
]


class Triage(BaseModel):
    """What a customer's message is about."""

    topic: Literal["card", "payment", "question"]
    urgent: bool


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """Two messages sorted and noted under each seed."""
    sys.path.insert(0, str(AGENTS))
    from desk_models import local_models

    told: list[Trace] = []
    for seed in SEEDS:
        with local_models(seed) as models:
            router = StepRouter(models.cards, store="memory")
            for text in MESSAGES:
                config: RunnableConfig = {"configurable": {"thread_id": "t"}}
                ask = [SystemMessage("Sort the customer's message."), HumanMessage(text)]
                router.with_structured_output(Triage).invoke(ask, config)
                router.invoke([*NOTE, HumanMessage(text)], config, stop=["\n"])
            told += router.traces.list("t")
            router.close()
    return told


def test_each_model_answers_at_least_one_step(traces: list[Trace]) -> None:
    assert {trace.model for trace in traces} == {"smollm-135m", "qwen-0.5b"}


def test_an_answer_of_the_small_model_is_refused_by_a_check_and_escalated(traces: list[Trace]) -> None:
    """Not a length cut: the answer ended by itself, and a check of its structure refused it."""
    refused = [
        trace
        for trace in traces
        if len(trace.attempts) > 1
        and trace.attempts[0].model == "smollm-135m"
        and trace.attempts[0].failure is None
        and trace.attempts[0].problems
        and not any("cut off" in problem for problem in trace.attempts[0].problems)
        and trace.model == "qwen-0.5b"
    ]
    print(f"{len(refused)} of {len(traces)} steps:", {trace.attempts[0].problems for trace in refused})
    assert refused
