"""A LangGraph-compatible chat model that answers each agent step with the cheapest sufficient model.

from steprouter import ModelCard, StepRouter

router = StepRouter([ModelCard(name="small", model="openai:gpt-5.6-luna"), ...])
agent = create_agent(router, tools=[...])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answering.budgets import Budget
    from .chat import StepRouter
    from .errors import (
        AllModelsFailed,
        AnswerBroken,
        BudgetExceeded,
        ConfigError,
        NoAbleModel,
        StepRouterError,
        StoreError,
    )
    from .memory.lessons import Lessons
    from .memory.policy import MemoryPolicy
    from .models.card import Abilities, ModelCard, Price, Tier
    from .models.limits import Limits
    from .routing.content_filter import ContentFilter
    from .routing.decision import Decision
    from .routing.policy import Policy
    from .routing.resumption import Resumption
    from .routing.routes import Route
    from .routing.rules import Rule
    from .step.step import StepKind
    from .tracing.record import Trace

__all__ = [
    "Abilities",
    "AllModelsFailed",
    "AnswerBroken",
    "Budget",
    "BudgetExceeded",
    "ConfigError",
    "ContentFilter",
    "Decision",
    "Lessons",
    "Limits",
    "MemoryPolicy",
    "ModelCard",
    "NoAbleModel",
    "Policy",
    "Price",
    "Resumption",
    "Route",
    "Rule",
    "StepKind",
    "StepRouter",
    "StepRouterError",
    "StoreError",
    "Tier",
    "Trace",
]

__version__ = "0.1.0"

PLACES = {
    "answering.budgets": ("Budget",),
    "chat": ("StepRouter",),
    "errors": (
        "AllModelsFailed",
        "AnswerBroken",
        "BudgetExceeded",
        "ConfigError",
        "NoAbleModel",
        "StepRouterError",
        "StoreError",
    ),
    "memory.lessons": ("Lessons",),
    "memory.policy": ("MemoryPolicy",),
    "models.card": ("Abilities", "ModelCard", "Price", "Tier"),
    "models.limits": ("Limits",),
    "routing.content_filter": ("ContentFilter",),
    "routing.decision": ("Decision",),
    "routing.policy": ("Policy",),
    "routing.resumption": ("Resumption",),
    "routing.routes": ("Route",),
    "routing.rules": ("Rule",),
    "step.step": ("StepKind",),
    "tracing.record": ("Trace",),
}
"""Where each public name lives. They are imported when first used, so that the embedded server's supervisor and
the command line can start without LangChain."""


def __getattr__(name: str) -> Any:
    for module, names in PLACES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
