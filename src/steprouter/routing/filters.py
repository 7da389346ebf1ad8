"""Hard filters: what a model must be able to do, whatever it costs."""

from __future__ import annotations

import re

from ..models.card import ModelCard
from ..models.identify import identity
from ..step.step import Needs

WINDOW_MARGIN = 1.15
"""Token counts are estimates; a prompt is sent to a window only with this much to spare."""

ANSWER_RESERVE_TOKENS = 256
"""Room for an answer whose length the caller did not limit."""

PROVIDERS = frozenset({"openai", "anthropic", "google_genai"})

BUILTIN_TOOLS = (
    ("anthropic", r"\w+_20\d{6}"),
    ("openai", r"web_search|web_search_preview|file_search|code_interpreter|computer_use_preview|image_generation|mcp"),
    ("google_genai", r"google_\w+|url_context|code_execution"),
)
"""Types of tools that a provider runs itself, from the providers' tool references; dated names are Anthropic's."""


def lacks(card: ModelCard, needs: Needs) -> str | None:
    """What `card` lacks for a step with these needs, in words; None when nothing is known to be missing.

    An unknown ability is not a missing one: the catalogue cannot know every model, and a refusal costs the
    user a model, while a failed attempt costs one failover.
    """
    if (unable := lacks_ability(card, needs)) is not None:
        return unable
    for tool in needs.builtin_tools:
        if not runs_builtin(card, tool):
            return f"does not know the provider's own tool {tool!r}"
    if needs.output_tokens and card.max_output_tokens and needs.output_tokens > card.max_output_tokens:
        return f"answers with at most {card.max_output_tokens} tokens, {needs.output_tokens} were asked for"
    return lacks_window(card, needs)


def lacks_ability(card: ModelCard, needs: Needs) -> str | None:
    """What `card` is known not to be able to do that the step needs, in words."""
    can, is_native = card.abilities, card.tools == "native"
    if is_native and needs.tools and can.tools is False:
        return "cannot call tools"
    if needs.parallel_tools and can.parallel_tools is False:
        return "cannot call tools in parallel"
    if is_native and needs.forced_tool and can.tool_choice is False:
        return "cannot be forced to call a tool"
    if needs.json_schema and can.json_schema is False:
        return "cannot keep to a JSON schema"
    if needs.images and can.images is False:
        return "cannot read images"
    if needs.audio and can.audio is False:
        return "cannot read audio"
    return "cannot read documents" if needs.files and can.files is False else None


def runs_builtin(card: ModelCard, tool: str) -> bool:
    """Whether the provider of `card` may run a built-in tool of this type.

    A server at `base_url` runs none, unless it speaks the Responses API, which has OpenAI's.
    """
    owner = next((owner for owner, pattern in BUILTIN_TOOLS if re.fullmatch(pattern, tool)), None)
    provider = identity(card)[0]
    if card.base_url is not None:
        return card.api == "responses" and owner in (None, "openai")
    return owner is None or provider not in PROVIDERS or provider == owner


def lacks_window(card: ModelCard, needs: Needs) -> str | None:
    """How far the prompt and its answer go past the window of `card`; None when they fit or it is unknown."""
    if card.window_tokens is None:
        return None
    answer = needs.output_tokens or ANSWER_RESERVE_TOKENS
    wanted = round(needs.input_tokens * WINDOW_MARGIN) + answer
    if wanted <= card.window_tokens:
        return None
    return f"window {card.window_tokens} < {wanted} tokens (prompt ~{needs.input_tokens}, answer {answer})"
