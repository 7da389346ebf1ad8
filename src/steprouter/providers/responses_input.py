"""Messages as input items of OpenAI's Responses. What it has no word for is left out of this copy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from ..answering.speaker import is_same_model
from ..errors import ConfigError
from .openai_messages import part_of

Item = dict[str, Any]

INPUT_PARTS = frozenset({"input_text", "input_image", "input_file"})
"""Parts that are in this API's own shape already."""

OUTPUT_ITEMS = frozenset(
    {
        "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "computer_call",
        "custom_tool_call", "file_search_call", "image_generation_call", "mcp_approval_request", "mcp_call",
        "mcp_list_tools", "tool_search_call", "tool_search_output", "web_search_call",
    }
)  # fmt: skip
"""Items besides messages, calls and thoughts that a model says and can be sent back."""

CALL_BLOCKS = frozenset({"function_call", "tool_call"})


def input_items(messages: Iterable[BaseMessage], model: str, *, stored: bool) -> list[Item]:
    """The messages as input items.

    Reasoning, ids and hosted tools' items go back only to the model they came from, and without `stored` only as far
    as they are complete in themselves: encrypted thoughts, and no ids. Names of speakers have no place here.

    Args:
        messages: The conversation.
        model: Who will read it, by its provider's name.
        stored: Whether the provider keeps what is said, and knows its own earlier items by their ids.

    Raises:
        ConfigError: A message or block has no form in this API.
    """
    items: list[Item] = []
    customs: set[str] = set()
    for message in messages:
        match message:
            case AIMessage():
                said = AnswerItems(message, is_own=is_own(message, model), stored=stored).items()
                customs.update(item["call_id"] for item in said if item["type"] == "custom_tool_call")
                items += said
            case ToolMessage():
                items.append(result_item(message.tool_call_id, message.content, customs))
            case HumanMessage():
                items += user_items(message, customs)
            case SystemMessage():
                role = message.additional_kwargs.get("__openai_role__", "system")
                items.append(message_item(role, input_content(message.content)))
            case ChatMessage():
                items.append(message_item(message.role, input_content(message.content)))
            case _:
                kind = type(message).__name__
                raise ConfigError(f"messages for Responses must be system, human, ai or tool messages, got {kind}")
    return items


def is_own(message: AIMessage, model: str) -> bool:
    """Whether `model` said this, in the shape of one of OpenAI's APIs."""
    metadata = message.response_metadata
    name = metadata.get("model_name")
    return metadata.get("model_provider") == "openai" and isinstance(name, str) and is_same_model(name, model)


def message_item(role: str, content: Any) -> Item:
    """A message that is no model's own."""
    return {"type": "message", "role": role, "content": content}


def user_items(message: HumanMessage, customs: set[str]) -> list[Item]:
    """A human message, after the tool results that Anthropic's shape puts inside it."""
    blocks = [] if isinstance(message.content, str) else message.content
    results = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    items = [result_item(str(block.get("tool_use_id")), block.get("content") or "", customs) for block in results]
    content = input_content(message.content)
    return [*items, message_item("user", content)] if content or not results else items


def result_item(call_id: str, content: Any, customs: set[str]) -> Item:
    """What came of a call; an error is told in its words, as this API has no mark for it."""
    kind = "custom_tool_call_output" if call_id in customs else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": input_content(content)}


def input_content(content: Any) -> str | list[Item]:
    """A content as plain text where text is all there is, else as parts."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    parts = [part for block in blocks if (part := input_part(block)) is not None]
    if all(part["type"] == "input_text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def input_part(block: Any) -> Item | None:
    """One block as an input part; None for a block that only its own provider understands."""
    match block:
        case str():
            return {"type": "input_text", "text": block}
        case {"type": str(kind)} if kind in INPUT_PARTS:
            return dict(block)
        case {"type": "file", "url": str(url)} | {"type": "document", "source": {"type": "url", "url": str(url)}}:
            return {"type": "input_file", "file_url": url}
        case {"type": "image", "file_id": str(file_id)}:
            return {"type": "input_image", "file_id": file_id, "detail": "auto"}
        case Mapping():
            return reshaped(part_of(block))
    return None


def reshaped(part: Mapping[str, Any] | None) -> Item | None:
    """A part of Chat Completions in the shape of Responses."""
    match part:
        case {"type": "text", "text": text}:
            return {"type": "input_text", "text": text}
        case {"type": "image_url", "image_url": {"url": url, **rest}}:
            return {"type": "input_image", "image_url": url, "detail": rest.get("detail") or "auto"}
        case {"type": "file", "file": {} as file}:
            return {"type": "input_file", **file}
        case {"type": "input_audio", "input_audio": sound}:
            return {"type": "input_audio", "input_audio": sound}
    return None


class AnswerItems:
    """Makes items of one of a model's own messages: thoughts, text and calls in the order they were said.

    Args:
        message: The message.
        is_own: Whether its reader wrote it.
        stored: Whether the provider knows its items by their ids.
    """

    def __init__(self, message: AIMessage, *, is_own: bool, stored: bool) -> None:
        self._message = message
        self._is_own = is_own
        self._stored = stored and is_own
        self._items: list[Item] = []
        self._calls = calls_of(message)

    def items(self) -> list[Item]:
        """The items; a thought that led to nothing is left out, as the API refuses one without what follows it."""
        content, extra = self._message.content, self._message.additional_kwargs
        if isinstance(extra.get("reasoning"), Mapping):
            self.add_thought(extra["reasoning"])
        for block in [content] if isinstance(content, str) else content:
            self.add(block)
        if not self._items and isinstance(extra.get("refusal"), str):
            self.add_text({"type": "refusal", "refusal": extra["refusal"]}, {})
        for call_id in tuple(self._calls):
            self.add_call(call_id, {})
        while self._items and self._items[-1]["type"] == "reasoning":
            self._items.pop()
        return [named_item(item, stored=self._stored) for item in self._items]

    def add(self, block: Any) -> None:
        """Add what one block of the content says."""
        match block:
            case str():
                if block:
                    self.add_text(output_text(block), {})
            case {"type": "reasoning"}:
                self.add_thought(block)
            case {"type": str(kind)} if kind in CALL_BLOCKS:
                self.add_call(block.get("call_id") or block.get("id"), block)
            case {"type": "refusal", "refusal": str(text)}:
                self.add_text({"type": "refusal", "refusal": text}, block)
            case {"type": str(kind)} if kind in OUTPUT_ITEMS:
                self._calls.pop(block.get("call_id") or "", None)
                if self._is_own:
                    self._items.append(without_places(block))
            case Mapping():
                part = part_of(block)
                if part is not None and part["type"] == "text":
                    annotations = block.get("annotations") if self._is_own else None
                    self.add_text(output_text(part["text"], annotations), block)

    def add_text(self, part: Item, block: Mapping[str, Any]) -> None:
        """Add a part to the message it belongs to; parts of one message share its id."""
        named = {key: block[key] for key in ("id", "phase") if self._is_own and isinstance(block.get(key), str)}
        last = self._items[-1] if self._items else None
        if last is not None and last["type"] == "message" and last["id"] == named.get("id"):
            last["content"].append(part)
            return
        phase = {"phase": named["phase"]} if "phase" in named else {}
        item = {"type": "message", "role": "assistant", "content": [part], "id": named.get("id"), **phase}
        self._items.append(item)

    def add_thought(self, block: Mapping[str, Any]) -> None:
        """Add a thought, if its reader can do anything with it."""
        sealed = block.get("encrypted_content") or (block.get("extras") or {}).get("encrypted_content")
        if not self._is_own or not (sealed or (self._stored and block.get("id"))):
            return
        # LangChain's standard blocks have one summary each, under the id they share.
        summary = block.get("summary") if "reasoning" not in block else [summary_text(block["reasoning"])]
        last = self._items[-1] if self._items else None
        if last is not None and last["type"] == "reasoning" and last["id"] == block.get("id"):
            last["summary"] += without_places(summary or [])
            return
        item = {"type": "reasoning", "id": block.get("id"), "summary": without_places(summary or [])}
        if isinstance(block.get("content"), list) and block["content"]:
            item["content"] = without_places(block["content"])
        self._items.append({**item, "encrypted_content": sealed} if sealed else item)

    def add_call(self, call_id: str | None, block: Mapping[str, Any]) -> None:
        """Add a call as the message has it now, which may have been changed after it was said."""
        call = self._calls.pop(call_id or "", None)
        if call is None:
            return
        name, arguments = call
        said = block.get("arguments")
        if isinstance(said, str) and same_json(said, arguments):
            arguments = said  # as the provider has it in its cache
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        if self._stored and str(block.get("id") or "").startswith("fc_"):
            item["id"] = block["id"]
        self._items.append(item)


def named_item(item: Item, *, stored: bool) -> Item:
    """The item with its id only if that names something: a message the provider knows, or a thought."""
    is_kept = item.get("id") and (stored or item["type"] != "message")
    return item if is_kept or "id" not in item else {key: value for key, value in item.items() if key != "id"}


def calls_of(message: AIMessage) -> dict[str, tuple[str, str]]:
    """Name and arguments of a message's calls by id; those of messages built by old code stand elsewhere."""
    calls = {
        call["id"] or "": (call["name"], json.dumps(call["args"], ensure_ascii=False, default=str))
        for call in message.tool_calls
    }
    calls.update({call["id"] or "": (call["name"] or "", call["args"] or "") for call in message.invalid_tool_calls})
    if calls:
        return calls
    raw = message.additional_kwargs.get("tool_calls") or ()
    functions = [(call.get("id") or "", call.get("function") or {}) for call in raw if isinstance(call, Mapping)]
    return {call_id: (one.get("name") or "", one.get("arguments") or "") for call_id, one in functions}


def same_json(one: str, other: str) -> bool:
    """Whether two texts are the same JSON."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return one == other


def output_text(text: str, annotations: Any = None) -> Item:
    """A model's text as a part; `index` of a citation is called otherwise in LangChain, which merges by that name."""
    given = [annotation for annotation in annotations or () if isinstance(annotation, Mapping)]
    kept = [{("index" if key == "file_index" else key): value for key, value in one.items()} for one in given]
    return {"type": "output_text", "text": text, "annotations": kept}


def summary_text(text: Any) -> Item:
    """A summary of a thought."""
    return {"type": "summary_text", "text": str(text)}


def without_places(value: Any) -> Any:
    """A copy without the places that merge blocks of a stream."""
    match value:
        case list():
            return [without_places(one) for one in value]
        case Mapping():
            return {key: one for key, one in value.items() if key not in ("index", "sub_index")} | (
                {"summary": without_places(value["summary"])} if "summary" in value else {}
            )
    return value
