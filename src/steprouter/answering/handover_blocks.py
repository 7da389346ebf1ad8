"""What of a message another model than its writer can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from .speaker import Speaker, is_own

THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
TEXTS = frozenset({"text", "output_text", "input_text"})
MEDIA = frozenset(
    {"image", "image_url", "audio", "input_audio", "video", "file", "document", "text-plain", "input_image"}
)
"""Content other than text that each integration converts for itself; whatever is in no set is its provider's own."""

CALL_COPIES = frozenset({"tool_calls", "function_call"})
"""Additional arguments that repeat calls; some wires bring calls back to life from them."""

NATIVE_EXTRAS = frozenset(
    {
        "audio", "reasoning", "reasoning_content", "reasoning_details", "signature", "thinking", "thinking_blocks",
        "tool_outputs", "__openai_function_call_ids__", "__gemini_function_call_thought_signatures__",
    }
)  # fmt: skip
"""Additional arguments that only mean something to the model that sent them."""

NO_MARKS = frozenset({"cache_control", "cachePoint", "prompt_cache_breakpoint"})
"""Marks of what to keep in a prompt cache: Anthropic's, Bedrock's and OpenAI's."""

FOREIGN_MARKS = {
    "anthropic": NO_MARKS - {"cache_control"},
    "openrouter": NO_MARKS - {"cache_control"},
    "bedrock": NO_MARKS - {"cache_control", "cachePoint"},
    "openai": NO_MARKS - {"prompt_cache_breakpoint"},
}
"""The marks that a provider does not take; whoever is not listed takes none."""

TAKES_LATE_SYSTEM = frozenset({"openai"})
"""Anthropic's integration raises for a second system message, Google's moves it, many chat templates refuse it."""

TAKES_OWN_MEDIA = frozenset({"google_genai"})
"""Others refuse images and sounds in what a model is said to have said."""

LOSES_NAMES = frozenset({"anthropic", "google_genai"})
"""Their integrations leave `name` out, so there it can do no harm."""

NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")
"""OpenAI refuses a `name` with any of these."""

Words = tuple[str, ...]


def readable(message: BaseMessage, to: Speaker) -> tuple[BaseMessage, Words]:
    """The message as `to` can read it, and what was changed; the very same one if nothing was."""
    update: dict[str, Any] = {}
    words: list[str] = []
    if isinstance(message, AIMessage):
        update, words = own_words(message) if is_own(message, to) else foreign_words(message, to)
    content = update.get("content", message.content)
    if (unmarked := without_marks(content, FOREIGN_MARKS.get(to.family, NO_MARKS))) is not content:
        update["content"] = unmarked
        words.append("cache marks dropped")
    name = NOT_IN_NAMES.sub("_", message.name or "")[:64] or None
    if message.name and name != message.name and to.family not in LOSES_NAMES and not isinstance(message, ToolMessage):
        update["name"] = name
        words.append("name made acceptable")
    return (message.model_copy(update=update), tuple(words)) if update else (message, ())


def own_words(message: AIMessage) -> tuple[dict[str, Any], list[str]]:
    """What changes in a model's own message: only what LangChain added to it for a call that was broken."""
    if isinstance(message.content, list) and message.invalid_tool_calls:
        kept = [block for block in message.content if kind_of(block) != "invalid_tool_call"]
        if kept != message.content:
            return {"content": kept}, []  # told where the call itself is repaired
    return {}, []


def foreign_words(message: AIMessage, to: Speaker) -> tuple[dict[str, Any], list[str]]:
    """What changes in another model's message: it keeps its text and its calls, and its media where they are taken."""
    update: dict[str, Any] = {}
    content, words = portable(message.content, with_media=to.family in TAKES_OWN_MEDIA)
    extras = {key: value for key, value in message.additional_kwargs.items() if key not in NATIVE_EXTRAS}
    if not content and (spoken := said_elsewhere(message)):
        content = spoken
        extras.pop("refusal", None)
        words.append("refusal or transcript said as text")
    if content != message.content:
        update["content"] = content
    if extras != message.additional_kwargs:
        update["additional_kwargs"] = extras
    if lifted := lifted_calls(message):
        update["tool_calls"] = [*message.tool_calls, *lifted]
        words.append("calls taken out of the content")
    metadata = message.response_metadata
    drop = {key for key, is_native in native_metadata(metadata, is_rewritten="content" in update) if is_native}
    if drop:
        update["response_metadata"] = {key: value for key, value in metadata.items() if key not in drop}
    return update, words if words or not update else ["native fields dropped"]


def native_metadata(metadata: Mapping[str, Any], *, is_rewritten: bool) -> Iterator[tuple[str, bool]]:
    """Metadata keys that wires act on, and whether they would mislead one."""
    # OpenAI's wire sends only what follows such an id, and another model cannot go on from it.
    yield "id", str(metadata.get("id") or "").startswith("resp_")
    # The content has no longer the shape this stands for; Google's wire would go through a text's letters.
    yield "output_version", is_rewritten and "output_version" in metadata


def portable(content: Any, *, with_media: bool) -> tuple[Any, list[str]]:
    """A content every integration can read, and what was changed; plain text where nothing else is left."""
    if not isinstance(content, list):
        return content, []
    parts = [
        (block, block if isinstance(block, str) else portable_block(block, with_media=with_media)) for block in content
    ]
    words = list(dict.fromkeys(loss(block) for block, part in parts if part != block))
    if not words:
        return content, []
    kept = [part for _, part in parts if part is not None]
    if all(isinstance(part, str) or part["type"] == "text" for part in kept):
        # A space between would tear sentences: Anthropic cuts a text wherever a citation begins or ends.
        return "".join(part if isinstance(part, str) else part["text"] for part in kept), words
    return kept, words


def portable_block(block: Mapping[str, Any], *, with_media: bool) -> dict[str, Any] | None:
    """A block without what is native in it; None if all of it is."""
    match block:
        case {"type": str(kind), "text": str(text)} if kind in TEXTS:
            # Citations, item ids and positions in a stream go: OpenAI's ids (`msg_…`) ask for the reasoning item
            # that came before ("provided without its required 'reasoning' item").
            marks = {"cache_control": block["cache_control"]} if "cache_control" in block else {}
            return {"type": "text", "text": text, **marks}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "text", "text": text}
        case {"type": str(kind)} if kind in MEDIA and with_media:
            return dict(block)
        case {"type": "text-plain", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": str(kind)} if kind in MEDIA:
            return {"type": "text", "text": f"\n[{kind.removeprefix('input_').removesuffix('_url')} left out]\n"}
    return None


def loss(block: Mapping[str, Any]) -> str:
    """What it means that a block was changed or dropped, in words."""
    kind = kind_of(block)
    if kind in THOUGHTS:
        return "reasoning dropped"
    if kind in MEDIA:
        return "media of another model left out"
    return "citations and item ids dropped" if kind in TEXTS else "native blocks dropped"


def said_elsewhere(message: AIMessage) -> str:
    """Text that OpenAI keeps outside the content: a refusal, the transcript of spoken words."""
    audio = message.additional_kwargs.get("audio")
    transcript = audio.get("transcript") if isinstance(audio, Mapping) else None
    return str(message.additional_kwargs.get("refusal") or transcript or "")


def lifted_calls(message: AIMessage) -> list[dict[str, Any]]:
    """Calls that are only in the content, as messages built by hand have them."""
    if not isinstance(message.content, list):
        return []
    known = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
    calls = []
    for block in message.content:
        match block:
            case {"type": "tool_use", "id": str(id_), "name": str(name), "input": {} as args} if id_ not in known:
                calls.append({"type": "tool_call", "id": id_, "name": name, "args": args})
            case {"type": "tool_call", "id": str(id_), "name": str(name), "args": {} as args} if id_ not in known:
                calls.append({"type": "tool_call", "id": id_, "name": name, "args": args})
    return calls


def without_marks(content: Any, marks: frozenset[str]) -> Any:
    """A content without some prompt-cache marks: keys in a block, and Bedrock's blocks of their own."""
    if not isinstance(content, list) or not any(isinstance(b, Mapping) and not marks.isdisjoint(b) for b in content):
        return content
    blocks = [block for block in content if not (isinstance(block, Mapping) and "cachePoint" in marks & block.keys())]
    return [
        {key: value for key, value in block.items() if key not in marks} if isinstance(block, Mapping) else block
        for block in blocks
    ]


def unfolded(message: BaseMessage) -> list[BaseMessage]:
    """Anthropic's tool results, which it puts inside a human message, as messages of their own."""
    if not isinstance(message, HumanMessage) or not isinstance(message.content, list):
        return [message]
    results: list[BaseMessage] = [
        ToolMessage(
            content=block.get("content") or "",
            tool_call_id=str(block.get("tool_use_id") or ""),
            status="error" if block.get("is_error") else "success",
        )
        for block in message.content
        if isinstance(block, dict) and kind_of(block) == "tool_result"
    ]
    if not results:
        return [message]
    rest = [block for block in message.content if kind_of(block) != "tool_result"]
    return [*results, message.model_copy(update={"content": rest})] if rest else results


def is_empty(message: BaseMessage) -> bool:
    """Whether a model's message says nothing: no calls, and no more than white space and thoughts."""
    if not isinstance(message, AIMessage) or message.tool_calls or message.invalid_tool_calls:
        return False
    if said_elsewhere(message) or not CALL_COPIES.isdisjoint(message.additional_kwargs):
        return False
    blocks = message.content if isinstance(message.content, list) else [message.content]
    return not any(is_said(block) for block in blocks)


def is_said(block: Any) -> bool:
    """Whether a block is something to say."""
    if isinstance(block, str):
        return bool(block.strip())
    kind = kind_of(block)
    return bool(str(block.get("text") or "").strip()) if kind in TEXTS else kind not in THOUGHTS


def plain_text(content: Any) -> str | None:
    """A content's text if it is nothing else; None if blocks say more than their text."""
    if isinstance(content, str):
        return content
    if all(isinstance(block, Mapping) and block.keys() == {"type", "text"} for block in content):
        return "".join(str(block["text"]) for block in content)
    return None


def kind_of(block: Any) -> str:
    """The type of a block; empty for plain text."""
    return str(block.get("type") or "") if isinstance(block, Mapping) else ""
