"""A partial turn of the model, told apart from a finished one in each server's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ..models.card import ModelCard, PrefillStyle
from ..models.prefill import prefill_style

MARKS: Mapping[PrefillStyle, Mapping[str, Any]] = {"prefix": {"prefix": True}, "partial": {"partial": True}}
"""What stands on the partial turn itself."""

FIELDS: Mapping[PrefillStyle, Mapping[str, Any]] = {
    "continue_final_message": {"continue_final_message": True, "add_generation_prompt": False}
}
"""What stands beside the messages. vLLM refuses the first field while the second has its default."""


def partial_turn_style(card: ModelCard, messages: Sequence[BaseMessage]) -> PrefillStyle | None:
    """How the last of `messages` is sent as a partial turn; None where it is none.

    A model that is not known to go on from a partial turn is told of none.
    """
    if not card.abilities.prefill or not messages:
        return None
    last = messages[-1]
    return prefill_style(card) if isinstance(last, AIMessage) and last.text and not is_finished(last) else None


def is_finished(message: AIMessage) -> bool:
    """Whether a turn is over: it has calls, its model's record of the whole answer, or another agent's name."""
    calls = message.tool_calls or message.invalid_tool_calls or message.additional_kwargs.get("tool_calls")
    return bool(calls or message.response_metadata or message.name)
