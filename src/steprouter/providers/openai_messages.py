"""Messages as OpenAI's Chat Completions wants them. What it has no word for is left out of this copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from mimetypes import guess_extension
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    is_data_content_block,
)
from langchain_core.messages.block_translators.openai import convert_to_openai_data_block

from ..errors import ConfigError

NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")
"""OpenAI refuses a `name` with any of these."""

WireMessage = dict[str, Any]


def wire_messages(messages: Iterable[BaseMessage]) -> list[WireMessage]:
    """The messages in OpenAI's shape.

    Reasoning, thinking and other blocks that only their own provider understands are left out; so are
    `cache_control`, citations and message ids. Images, audio and files are passed on in any of the shapes
    LangChain knows: its own (v0 and v1), OpenAI's and Anthropic's.

    Raises:
        ConfigError: A message or block has no form in this API, such as a file given by URL.
    """
    return [wired for message in messages for wired in wire_message(message)]


def wire_message(message: BaseMessage) -> list[WireMessage]:
    """One message as one or, where it holds Anthropic's tool results, several messages."""
    match message:
        case SystemMessage():
            role = message.additional_kwargs.get("__openai_role__", "system")
            return [{"role": role, "content": plain(message.content), **named(message)}]
        case HumanMessage():
            return user_messages(message)
        case AIMessage():
            return [assistant_message(message)]
        case ToolMessage():
            content = one_or_many(parts_of(message.content))
            return [{"role": "tool", "tool_call_id": message.tool_call_id, "content": content}]
        case ChatMessage():
            return [{"role": message.role, "content": one_or_many(parts_of(message.content)), **named(message)}]
        case FunctionMessage():
            return [{"role": "function", "name": message.name, "content": plain(message.content)}]
    raise ConfigError(f"messages must be system, human, ai or tool messages, got {type(message).__name__}")


def user_messages(message: HumanMessage) -> list[WireMessage]:
    """A human message, after the tool results that Anthropic's shape puts inside it."""
    blocks = [] if isinstance(message.content, str) else message.content
    results = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    wired: list[WireMessage] = [
        {
            "role": "tool",
            "tool_call_id": block.get("tool_use_id"),
            "content": plain(block.get("content") or ""),
        }
        for block in results
    ]
    parts = parts_of(message.content)
    if parts or not results:
        wired.append({"role": "user", "content": one_or_many(parts), **named(message)})
    return wired


def assistant_message(message: AIMessage) -> WireMessage:
    """A model's own message: its text and its calls, broken ones as they were said."""
    text = "".join(part["text"] for part in parts_of(message.content) if part["type"] == "text")
    wired: WireMessage = {
        "role": "assistant",
        "content": text or message.additional_kwargs.get("refusal") or "",
    }
    wired.update(named(message))
    calls = [
        wire_call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False, default=str))
        for call in message.tool_calls
    ]
    calls += [wire_call(call["id"], call["name"], call["args"] or "") for call in message.invalid_tool_calls]
    if not calls:
        # Messages built by hand or by old code carry their calls only here.
        raw = message.additional_kwargs.get("tool_calls") or ()
        calls = [
            {key: call[key] for key in ("id", "type", "function") if key in call}
            for call in raw
            if isinstance(call, Mapping)
        ]
    if calls:
        wired["tool_calls"] = calls
        wired["content"] = wired["content"] or None
    return wired


def wire_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    """A tool call in OpenAI's shape."""
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments}}


def named(message: BaseMessage) -> dict[str, str]:
    """The `name` field, made acceptable; nothing where there is no name."""
    name = NOT_IN_NAMES.sub("_", message.name or "")[:64]
    return {"name": name} if name else {}


def plain(content: Any) -> str:
    """The text of a content; parts that are no text are left out."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in parts_of(content) if part["type"] == "text")


def one_or_many(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Plain text where text is all there is: every server takes it, and not every server takes parts."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def parts_of(content: Any) -> list[dict[str, Any]]:
    """The parts of a content in OpenAI's shape, without what it has no word for."""
    if isinstance(content, str):
        return [text_part(content)]
    parts = []
    for block in content if isinstance(content, list) else []:
        part = text_part(block) if isinstance(block, str) else part_of(block)
        if part is not None:
            parts.append(part)
    return parts


def part_of(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """One block in OpenAI's shape; None for a block that only its own provider understands."""
    match block:
        case {"type": "text" | "input_text" | "output_text" | "text-plain", "text": str(text)}:
            return text_part(text)
        case {"type": "refusal", "refusal": str(text)}:
            return text_part(text)
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "image_url", "image_url": {} as image}:
            return {"type": "image_url", "image_url": dict(image)}
        case {"type": "input_audio" | "file" as kind} if isinstance(block.get(kind), Mapping):
            return {"type": kind, kind: dict(block[kind])}
        case {"type": "image" | "document", "source": {} as source}:
            return anthropic_part(source)
        case {"type": "image" | "audio" | "file"} if is_data_content_block(dict(block)):
            return standard_part(block)
        case {"type": "file", "source_type": "text", "text": str(text)}:
            return text_part(text)
    return None


def text_part(text: str) -> dict[str, Any]:
    """Text as a part."""
    return {"type": "text", "text": text}


def standard_part(block: Mapping[str, Any]) -> dict[str, Any]:
    """One of LangChain's standard data blocks, of either version."""
    given = dict(block)
    if given.get("source_type") == "text":
        return text_part(str(given.get("text") or ""))
    if given["type"] == "file" and not has_filename(given):
        # OpenAI wants a name; LangChain would invent one too, and warn.
        mime_type = str(given.get("mime_type") or "")
        given["filename"] = "file" + (guess_extension(mime_type) or "")
    try:
        return convert_to_openai_data_block(given)
    except (ValueError, KeyError) as error:
        # Only the kind of block is named: its data may be personal, and long.
        raise ConfigError(
            f"a {given['type']} must be base64 data, an image URL or a file id for Chat Completions, "
            f"got keys {sorted(given)!r}: {error}"
        ) from error


def has_filename(block: Mapping[str, Any]) -> bool:
    """Whether a file block names its file in any of the places LangChain looks at."""
    places = (block, block.get("extras"), block.get("metadata"))
    return any(isinstance(place, Mapping) and place.get("filename") for place in places)


def anthropic_part(source: Mapping[str, Any]) -> dict[str, Any] | None:
    """An image or document in Anthropic's shape; None where its source has no form here."""
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            url = f"data:{media_type};base64,{data}"
            if media_type.startswith("image/"):
                return {"type": "image_url", "image_url": {"url": url}}
            name = "file" + (guess_extension(media_type) or "")
            return {"type": "file", "file": {"file_data": url, "filename": name}}
        case {"type": "url", "url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "text", "data": str(text)}:
            return text_part(text)
    return None
