"""Tells a provider, on the outgoing copy, which beginning of a prompt to keep in its cache.

LangChain's middleware does this for the one model of an agent, which behind a router is no model of its own. Here it
is done for the model that was chosen, after the history was repaired for it. Google's models and most servers cache
by themselves; nothing is said to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool

from ..step.ask import Ask, Toolset
from .handover_blocks import NO_MARKS, kind_of
from .speaker import Speaker

__all__ = ["CacheTtl", "cached", "least_tokens"]

CacheTtl = Literal["5m", "1h"]
"""How long Claude keeps a beginning that nobody reads; writing costs 1.25 and 2 times the price of input."""

LEAST_TOKENS = (
    (re.compile(r"opus-5|fable-5|mythos-5"), 512),
    (re.compile(r"opus-4[-.]7|haiku-3|3[-.]5-haiku|3-haiku"), 2048),
    (re.compile(r"opus-4[-.][56]|haiku-4[-.]5"), 4096),
    (re.compile(r"opus-4|sonnet|3-opus"), 1024),
)
"""Tokens below which Anthropic's API caches nothing, without an error; the first pattern counts. From its guide to
prompt caching, and LiteLLM's copy of 2026-10-07. Where sources differ (Sonnet 4.6) the smaller figure stands, since a
mark in vain costs nothing."""

OPENAI_LEAST_TOKENS = 1024
"""From OpenAI's guide to prompt caching, for all its models."""

MARKABLE = frozenset({"image", "document", "file", "text-plain", "search_result", "tool_result"})
"""Blocks besides text whose mark ChatAnthropic hands on."""

MARKABLE_IN_RESULTS = MARKABLE | {"image_url"}
"""It lifts the mark of any block of a tool result to the result, and drops that of an `image_url` elsewhere."""

KEY_LENGTH = 32
"""OpenAI takes 64 characters. Half a SHA-256 tells threads apart as well."""

REMEMBERED_TOOLSETS = 8
"""As many as a wire keeps bindings for, which are found by the toolset's identity."""


def cached(ask: Ask, to: Speaker, *, key: str | None = None, tokens: int | None = None, ttl: CacheTtl = "5m") -> Ask:
    """The call with what `to` must be told so that the next one can read its beginning from the cache.

    For Claude there are at most four marks, which is what its API takes: after the tools, after the system prompt,
    after the last message, and where the call before ended. The last holds even if a step added more than the 20
    blocks that the API looks back. A call in which the user has set any mark or key is left as it is.

    Args:
        ask: The call, its history repaired for `to`.
        to: Who will read it.
        key: What calls that grow from one beginning have in common, such as a keyed digest of tenant and thread;
            None if there is no telling. Providers see a digest of it only.
        tokens: About how many tokens the prompt has; None if unknown.
        ttl: How long Claude is to keep it.
    """
    if to.caching is None or is_said_already(ask) or (tokens is not None and tokens < (least_tokens(to) or 0)):
        return ask
    if to.caching == "key":
        return ask if key is None else with_setting(ask, "prompt_cache_key", digest_of(key))
    if to.caching == "setting":
        return with_setting(ask, "cache_control", {"type": "ephemeral", "ttl": ttl})
    places = list(marked_places(ask, is_read_again=key is not None))
    messages = list(ask.messages)
    for place in places:
        messages[place] = marked(messages[place], ttl) or messages[place]
    return replace(ask, messages=tuple(messages), tools=marked_tools(ask.tools, ttl))


def least_tokens(to: Speaker) -> int | None:
    """Tokens a beginning must have for `to` to keep it; None if unknown."""
    if to.family == "openai":
        return OPENAI_LEAST_TOKENS
    name = (to.model or "").lower()
    return next((least for pattern, least in LEAST_TOKENS if pattern.search(name)), None) if to.is_claude else None


def with_setting(ask: Ask, name: str, value: object) -> Ask:
    """The call with one more setting."""
    return replace(ask, settings={**ask.settings, name: value})


def digest_of(key: str) -> str:
    """What a provider sees of a key."""
    return sha256(b"prompt cache\0" + key.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def is_said_already(ask: Ask) -> bool:
    """Whether the user tells the provider what to cache: in settings, in a message or on a tool."""
    given: list[Any] = [ask.settings, ask.settings.get("extra_body"), ask.tools.options]
    given += [tool.extras if isinstance(tool, BaseTool) else tool for tool in ask.tools.given]
    if any(isinstance(one, Mapping) and not CACHE_WORDS.isdisjoint(one) for one in given):
        return True
    return any(
        isinstance(block, dict) and not NO_MARKS.isdisjoint(block)
        for message in ask.messages
        if isinstance(message.content, list)
        for block in message.content
    )


CACHE_WORDS = NO_MARKS | {"prompt_cache_key", "prompt_cache_options"}


def marked_places(ask: Ask, *, is_read_again: bool) -> Iterator[int]:
    """Where in the messages marks belong, at most three.

    The end is only worth its price if a later call goes on from it, which a single question without tools leaves
    open.
    """
    messages = ask.messages
    begin = next((place for place, m in enumerate(messages) if not isinstance(m, SystemMessage)), len(messages))
    system = next((place for place in reversed(range(begin)) if is_markable(messages, place)), None)
    if system is not None:
        yield system
    end = last_place(messages, begin, len(messages))
    if end is None:
        return
    answer = next((place for place in reversed(range(begin, end)) if isinstance(messages[place], AIMessage)), None)
    if is_read_again or ask.tools.schemas or answer is not None:
        yield end
    before = None if answer is None else last_place(messages, begin, answer)
    if before is not None:
        yield before


def last_place(messages: Sequence[BaseMessage], begin: int, end: int) -> int | None:
    """The last message of a stretch that can be marked; models' own are not, they may end in thoughts."""
    return next((place for place in reversed(range(begin, end)) if is_markable(messages, place)), None)


def is_markable(messages: Sequence[BaseMessage], place: int) -> bool:
    """Whether a message can be marked: it has something in it, and is no answer to code that a model runs."""
    message = messages[place]
    if isinstance(message, AIMessage) or marked_block(message) is None:
        return False
    return not isinstance(message, ToolMessage) or not is_for_code(message, messages[:place])


def is_for_code(result: ToolMessage, before: Sequence[BaseMessage]) -> bool:
    """Whether code in Anthropic's sandbox made the call, whose results must not be marked."""
    asked = next((message for message in reversed(before) if isinstance(message, AIMessage)), None)
    if asked is None or not isinstance(asked.content, list):
        return False
    callers = (b.get("caller") for b in asked.content if isinstance(b, dict) and b.get("id") == result.tool_call_id)
    return any(isinstance(by, Mapping) and str(by.get("type")).startswith("code_execution") for by in callers)


def marked_block(message: BaseMessage) -> int | None:
    """Which block of a message to mark, counted from 0; None if none can be. Empty text must not be marked."""
    if isinstance(message.content, str):
        return 0 if message.content.strip() else None
    markable = MARKABLE_IN_RESULTS if isinstance(message, ToolMessage) else MARKABLE
    for place in reversed(range(len(message.content))):
        block = message.content[place]
        text = block if isinstance(block, str) else block.get("text") if kind_of(block) == "text" else None
        if kind_of(block) in markable or (isinstance(text, str) and text.strip()):
            return place
    return None


def marked(message: BaseMessage, ttl: CacheTtl) -> BaseMessage | None:
    """The message with a mark on its last block that can have one; None if none can."""
    place = marked_block(message)
    if place is None:
        return None
    blocks: list[Any] = list(message.content) if isinstance(message.content, list) else [message.content]
    block = blocks[place]
    blocks[place] = {**({"type": "text", "text": block} if isinstance(block, str) else block), **mark(ttl)}
    return message.model_copy(update={"content": blocks})


def mark(ttl: CacheTtl) -> dict[str, Any]:
    """A mark after which Claude keeps what came before."""
    return {"cache_control": {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}}


@lru_cache(maxsize=REMEMBERED_TOOLSETS)
def marked_tools(tools: Toolset, ttl: CacheTtl) -> Toolset:
    """The toolset with a mark on the last tool that can have one; the same if none can."""
    for place in reversed(range(len(tools.given))):
        if (tool := marked_tool(tools.given[place], ttl)) is not None:
            return replace(tools, given=(*tools.given[:place], tool, *tools.given[place + 1 :]))
    return tools


def marked_tool(tool: Any, ttl: CacheTtl) -> Any:
    """A tool with a mark; None where it has no place for one, or is only loaded when it is searched for."""
    if isinstance(tool, BaseTool):
        extras = tool.extras or {}
        if isinstance(definition := extras.get("provider_tool_definition"), Mapping):
            return marked_tool(definition, ttl)
        return None if extras.get("defer_loading") else tool.model_copy(update={"extras": {**extras, **mark(ttl)}})
    is_anthropics = isinstance(tool, Mapping) and ("input_schema" in tool or tool.get("type") not in (None, "function"))
    return {**tool, **mark(ttl)} if is_anthropics and not tool.get("defer_loading") else None
