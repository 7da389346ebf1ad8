"""What an answer cost: tokens as reported, priced per million."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from ..errors import ConfigError
from .card import Price

PER_MILLION = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one or more calls, counted as LangChain's `UsageMetadata` counts them.

    A usage that contradicts itself is refused here, so that no sum of usages can give a negative cost;
    `from_langchain`, where figures come from outside, repairs instead.

    Attributes:
        input_tokens: The whole prompt, tokens read from or written into a prompt cache included.
        output_tokens: The whole answer, reasoning included.
        cache_read_tokens: Part of `input_tokens` that a prompt cache served.
        cache_write_tokens: Part of `input_tokens` that was written into a prompt cache.
        reasoning_tokens: Part of `output_tokens` that was not shown.
        estimated: True when any figure was estimated or repaired rather than reported.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __post_init__(self) -> None:
        counts = (
            *(self.input_tokens, self.output_tokens, self.reasoning_tokens),
            *(self.cache_read_tokens, self.cache_write_tokens),
        )
        if min(counts) < 0:
            raise ConfigError(f"token counts must be 0 or more, got {self!r}")
        if self.cached_tokens > self.input_tokens:
            raise ConfigError(f"input_tokens must include cached tokens, got {self!r}")
        if self.reasoning_tokens > self.output_tokens:
            raise ConfigError(f"output_tokens must include reasoning tokens, got {self!r}")

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that a cache served or took in."""
        return self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and answer together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        """Both usages together; estimated if either is."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
        )

    def less(self, billed: Usage) -> Usage:
        """What is left of this usage when part of it was billed before; nothing is below 0."""
        if billed == Usage():
            return self
        read = max(0, self.cache_read_tokens - billed.cache_read_tokens)
        written = max(0, self.cache_write_tokens - billed.cache_write_tokens)
        reasoning = max(0, self.reasoning_tokens - billed.reasoning_tokens)
        return Usage(
            input_tokens=max(read + written, self.input_tokens - billed.input_tokens),
            output_tokens=max(reasoning, self.output_tokens - billed.output_tokens),
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
            estimated=self.estimated or billed.estimated,
        )

    @classmethod
    def from_langchain(cls, usage_metadata: Mapping[str, Any]) -> Usage:
        """The usage a LangChain message reports, repaired where it contradicts itself.

        What is missing, negative or not a number counts as 0. Some servers report a prompt without its cached
        part, or an answer without its reasoning; it shows when the part exceeds the whole. Then the part is
        added, which may overstate a cost but never understates it, and the usage is marked as estimated.
        """
        taken = details(usage_metadata, "input_token_details")
        given = details(usage_metadata, "output_token_details")
        # langchain-anthropic splits what was written by lifetime and then sets cache_creation to 0; other
        # integrations may keep both, and the larger figure counts no token twice.
        lifetimes = count(taken, "ephemeral_5m_input_tokens") + count(taken, "ephemeral_1h_input_tokens")
        written = max(count(taken, "cache_creation", in_tiers=True), lifetimes)
        read, reasoning = count(taken, "cache_read", in_tiers=True), count(given, "reasoning", in_tiers=True)
        prompt, answer = count(usage_metadata, "input_tokens"), count(usage_metadata, "output_tokens")
        short_prompt, short_answer = read + written > prompt, reasoning > answer
        return cls(
            input_tokens=prompt + (read + written if short_prompt else 0),
            output_tokens=answer + (reasoning if short_answer else 0),
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
            estimated=short_prompt or short_answer,
        )

    def to_langchain(self) -> UsageMetadata:
        """The same figures as LangChain writes them on a message; details that are 0 are left out."""
        usage = UsageMetadata(
            input_tokens=self.input_tokens, output_tokens=self.output_tokens, total_tokens=self.total_tokens
        )
        taken = InputTokenDetails()
        if self.cache_read_tokens:
            taken["cache_read"] = self.cache_read_tokens
        if self.cache_write_tokens:
            taken["cache_creation"] = self.cache_write_tokens
        if taken:
            usage["input_token_details"] = taken
        if self.reasoning_tokens:
            usage["output_token_details"] = OutputTokenDetails(reasoning=self.reasoning_tokens)
        return usage


def details(usage_metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A breakdown of a reported usage; empty where there is none."""
    found = usage_metadata.get(name)
    return found if isinstance(found, Mapping) else {}


def count(counts: Mapping[str, Any], name: str, *, in_tiers: bool = False) -> int:
    """Tokens reported under `name`; 0 where that is missing, negative or no whole number.

    With `in_tiers` also under langchain-openai's names for service tiers, such as `priority_cache_read`.
    """
    found = [value for key, value in counts.items() if key == name or (in_tiers and key.endswith(f"_{name}"))]
    return sum(max(0, value) for value in found if isinstance(value, int))


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """USD for `usage` at `price`; None when the price is unknown.

    Tokens read from or written into a prompt cache cost the input price where their own is unknown.
    """
    if price is None:
        return None
    return priced_usd(
        price,
        fresh=usage.input_tokens - usage.cached_tokens,
        read=usage.cache_read_tokens,
        written=usage.cache_write_tokens,
        output=usage.output_tokens,
    )


def priced_usd(price: Price, *, fresh: int = 0, read: int = 0, written: int = 0, output: int = 0) -> float:
    """USD for tokens of a prompt that no prompt cache saw, that one served, that one took in, and of an answer."""
    read_usd = price.input if price.cache_read is None else price.cache_read
    write_usd = price.input if price.cache_write is None else price.cache_write
    return PER_MILLION * (fresh * price.input + read * read_usd + written * write_usd + output * price.output)


def savings_usd(usage: Usage, *, price: Price | None, reference: Price | None) -> float | None:
    """USD that `usage` would have cost more at the `reference` price; None when either price is unknown.

    Negative when the reference would have been cheaper. The reference is charged for the same tokens, though
    its own tokenizer, reasoning and cache would have given others: a comparison, not a bill.
    """
    own, other = cost_usd(usage, price), cost_usd(usage, reference)
    return None if own is None or other is None else other - own
