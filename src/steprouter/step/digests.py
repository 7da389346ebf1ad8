"""Keyed digests of messages: they tell whether two prompts begin alike, and nothing of what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..models.tokens import compact_json
from .step import Trail

DIGEST_BYTES = 12
"""96 bits: no two prompts of a deployment meet by chance, and nobody without the key can make them."""

KEY_BYTES = 64
"""What BLAKE2b takes at most (RFC 7693)."""


def read_trail(messages: Sequence[BaseMessage], key: bytes) -> Trail:
    """What later steps compare themselves with."""
    prefixes = prefix_digests(messages, key)
    return Trail(prefixes=prefixes, before=before_question(messages, prefixes))


def before_question(messages: Sequence[BaseMessage], prefixes: Sequence[str]) -> str | None:
    """The digest of what stood before the user's question, where a step of ours had spoken in it.

    Examples that are put before every question hold answers too, but none that we gave: two questions after
    the same examples are two questions, not one put in other words.
    """
    if len(messages) < 2 or messages[-1].type != "human":
        return None
    return prefixes[-2] if any(step_of(message) for message in messages[:-1]) else None


def step_of(message: BaseMessage) -> str | None:
    """The id of the step that wrote a message, if a router of ours wrote it."""
    ours = message.response_metadata.get("steprouter") if isinstance(message, AIMessage) else None
    return str(ours["step_id"]) if isinstance(ours, Mapping) and ours.get("step_id") else None


def prefix_digests(messages: Sequence[BaseMessage], key: bytes) -> tuple[str, ...]:
    """The digest of each beginning of a conversation: the first message, the first two, …, all of them."""
    found: list[str] = []
    last = b""
    for message in messages:
        digest = blake2b(last, digest_size=DIGEST_BYTES, key=key[:KEY_BYTES])
        digest.update(said(message))
        last = digest.digest()
        found.append(last.hex())
    return tuple(found)


def call_digest(signature: str, key: bytes) -> str:
    """The digest of a tool call with its arguments."""
    return blake2b(
        signature.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=key[:KEY_BYTES], person=b"call"
    ).hexdigest()


def said(message: BaseMessage) -> bytes:
    """What a message says to a model; ids and metadata of the framework do not count."""
    content: Any = message.content
    parts = [message.type, content if isinstance(content, str) else written(content)]
    if isinstance(message, AIMessage):
        parts += [written([call["name"], call["args"]]) for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        parts.append(message.status)
    return "\0".join(parts).encode("utf-8", "surrogatepass")


def written(value: object) -> str:
    """A value as text."""
    try:
        return compact_json(value)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, or a circle; nothing JSON ever brought
        return repr(value)
