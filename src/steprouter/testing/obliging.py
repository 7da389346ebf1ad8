"""A script that behaves like a small, willing model: calls the tool that fits, keeps to schemas, chats."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .filling import QUOTED, filled
from .reply import Reply, call, say
from .request import Request, text_of

EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by do does for from get give has have how in input into is it make my of on "
        "or run set that the this to tool use used using what when where which who will with you your",
    )
)
"""Words that say nothing about what a tool is for."""


def obliging(request: Request) -> Reply:
    """A plausible answer to any request, always the same for the same request.

    * Right after tool results it answers from them.
    * With `tool_choice` it calls what it must; otherwise the tool whose name, or whose description with two
      words, meets the words of the last user message. Arguments are valid for the tool's schema and come
      from numbers, quoted texts and names in that message.
    * A `response_format` gets JSON that fits.
    * Otherwise it answers in a sentence.
    """
    if request.last.get("role") == "tool" and not must_call(request):
        return formatted(request) or say(after_tools(request))
    tool = fitting_tool(request)
    if tool is not None:
        function = tool["function"]
        schema = {"type": "object", **(function.get("parameters") or {})}
        return call(function["name"], **filled(schema, request.prompt))
    return formatted(request) or say(sentence(request))


def must_call(request: Request) -> bool:
    """Whether the request leaves no choice but to call a tool."""
    return request.tool_choice == "required" or isinstance(request.tool_choice, Mapping)


def fitting_tool(request: Request) -> Mapping[str, Any] | None:
    """The tool to call, if any."""
    if not request.tools or request.tool_choice == "none":
        return None
    if isinstance(request.tool_choice, Mapping):
        wanted = request.tool_choice["function"]["name"]
        return next((tool for tool in request.tools if tool["function"]["name"] == wanted), None)
    best = max(request.tools, key=lambda tool: fit(tool, request.prompt))
    return best if must_call(request) or fit(best, request.prompt) >= 2 else None


def fit(tool: Mapping[str, Any], prompt: str) -> int:
    """How well a tool fits a prompt: 2 for each word of its name, 1 for each of its description."""
    function, said = tool["function"], words(prompt)
    return 2 * len(said & words(function["name"])) + len(said & words(function.get("description") or ""))


def words(text: str) -> set[str]:
    """The words of a text that say something, in lower case and without a plural s."""
    split = re.sub(r"([a-z])([A-Z])|_", r"\1 \2", text).lower()
    return {word.removesuffix("s") for word in re.findall(r"[^\W\d]\w+", split)} - EMPTY_WORDS


def formatted(request: Request) -> Reply | None:
    """The answer in the response format, if one was asked for."""
    match request.response_format:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return say(json.dumps(filled(schema, request.prompt), ensure_ascii=False))
        case {"type": "json_object"}:
            keys = ["".join(groups) for groups in QUOTED.findall(request.prompt)] or ["answer"]
            return say(json.dumps({key: f"some {key}" for key in keys}, ensure_ascii=False))
        case _:
            return None


def after_tools(request: Request) -> str:
    """An answer from the tool results at the end of the conversation."""
    results: list[str] = []
    for message in reversed(request.messages):
        if message.get("role") != "tool":
            break
        results.insert(0, text_of(message))
    return f"According to the tool: {'; '.join(results)}"


def sentence(request: Request) -> str:
    """An answer to whatever was said."""
    seen = f" I see {request.image_count} image(s)." if request.image_count else ""
    return f"You said: {request.prompt or 'nothing'}.{seen} I am glad to help."
