"""What rules have looked at in a conversation, beyond its structure: what was asked, and whose data it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .read import AUDIO_TYPES, FILE_TYPES, IMAGE_TYPES
from .text import asked_text

MEDIA_TYPES = IMAGE_TYPES | AUDIO_TYPES | FILE_TYPES | {"media", "input_video", "video_url", "container_upload"}
"""Types of content blocks in which nothing can be looked for; LangChain's, and those that only providers have."""

ASKED_CHARACTERS = 200_000
"""Of what a human said, for keywords and patterns. An unfortunate pattern takes RE2 20 µs for a character."""

SEARCHED_CHARACTERS = 1_000_000
"""A longer prompt (some 250 000 tokens) is not searched and counts as holding every kind. One this long takes half a
second, once: `benchmarks/rules.py`."""

REMEMBERED = 16_384
"""Messages whose kinds are remembered; with 16 bytes of digest for each that is 2 MB."""

ATTACHMENT = "attachment"
"""What images, recordings and documents count as, in which nothing can be looked for."""

PAYLOAD_BEGINNING = 128
"""So far a payload is looked at to tell base64 from text: prose has a space or a full stop by then."""


class PersonalData:
    """Finds the kinds of personal data in a conversation, each message once.

    All of a message counts: text, content blocks, arguments of tool calls, a model's thoughts, the speaker's name. Each
    text is looked at for itself: a label in one message and its value in the next are not put together.

    Args:
        kinds: Names of the kinds that are looked for, as `redaction.Kind` has them.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        from ..redaction.kinds import Kind  # compiles all its patterns

        self.kinds = frozenset(map(Kind, kinds))
        self.known: dict[bytes, frozenset[str]] = {}

    def in_messages(self, messages: Sequence[BaseMessage]) -> frozenset[str]:
        """The names of the kinds that are in the messages; all of them where the prompt is too long to be searched.

        `attachment` is among them where a message holds what is no text.
        """
        from ..redaction.presence import joined

        attached = frozenset({ATTACHMENT} if any(map(has_media, messages)) else ())
        texts = [joined(said) for message in messages if (said := all_said(message))]
        if sum(map(len, texts)) > SEARCHED_CHARACTERS:
            return attached | frozenset(map(str, self.kinds))
        return attached.union(*map(self.in_text, texts))

    def in_text(self, text: str) -> frozenset[str]:
        """The names of the kinds in a text; remembered by its digest, since agents send a conversation at each step."""
        from ..redaction.presence import kinds_in

        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = self.known.get(digest)
        if found is None:
            found = frozenset(map(str, kinds_in(text, self.kinds)))
            if len(self.known) >= REMEMBERED:
                self.known.clear()  # in one go, because other threads read it
            self.known[digest] = found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What is looked at in each conversation.

    Attributes:
        text: Whether what a human asked last is, up to `ASKED_CHARACTERS`.
        personal: Finds personal data; None where nobody wants to know.
    """

    text: bool = False
    personal: PersonalData | None = None

    def asked(self, messages: Sequence[BaseMessage]) -> str:
        """What a human asked last, if that is looked at."""
        return asked_text(messages, ASKED_CHARACTERS) if self.text else ""

    def personal_in(self, messages: Sequence[BaseMessage]) -> frozenset[str] | None:
        """The kinds of personal data in the messages; None where they are not looked for."""
        return None if self.personal is None else self.personal.in_messages(messages)


def all_said(message: BaseMessage) -> list[Any]:
    """All that a message says to a model."""
    content: Any = message.content
    said: list[Any] = [content] if isinstance(content, str) else [*map(readable, content)]
    if isinstance(message, AIMessage):
        said += [[call["name"], call["args"]] for call in message.tool_calls]
        said += [[call["name"], call["args"]] for call in message.invalid_tool_calls]
    said += [message.additional_kwargs, message.name]
    return [one for one in said if one]


def has_media(message: BaseMessage) -> bool:
    """Whether a message holds an image, a recording or a document."""
    return isinstance(message.content, list) and any(map(is_media, message.content))


def is_media(block: object) -> bool:
    """Whether a content block is no text."""
    if not isinstance(block, Mapping):
        return False
    kind = str(block.get("type"))
    return kind in MEDIA_TYPES or ("mime_type" in block and not kind.startswith("text"))


def readable(block: object) -> object:
    """A content block without the payload of an image, a recording or a document."""
    return dict(without_payload(block)) if isinstance(block, Mapping) and is_media(block) else block


def without_payload(block: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """The fields of a block that people can read."""
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield key, dict(without_payload(value))
        elif not (isinstance(value, str) and is_payload(value)):
            yield key, value


def is_payload(text: str) -> bool:
    """Whether a text is base64 or a `data:` URL."""
    beginning = text[:PAYLOAD_BEGINNING]
    return beginning.startswith("data:") or (
        len(beginning) == PAYLOAD_BEGINNING and not any(sign in beginning for sign in " .,\n@:")
    )
