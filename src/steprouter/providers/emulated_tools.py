"""Tool calls for servers that do not parse them, such as llama.cpp.

The tools become one form of reply, kept by the server's grammar or only asked for in the prompt:
`{"tool": name, "arguments": {…}}` or `{"answer": "text"}`. Calls and results in the history become plain turns
in the same form, and the streamed JSON is turned back into text and tool calls as it comes. One reply holds
one call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from ..answering.answer import Delta, ToolPiece
from ..step.ask import Ask, Toolset, tool_name
from .chat_request import schema_in, wire_format
from .grammar_schemas import grammar_schema
from .openai_messages import plain

ANSWER_OPENS = re.compile(r'\s*\{\s*"answer"\s*:\s*"')
CALL_OPENS = re.compile(r'\s*\{\s*"tool"\s*:\s*"([^"\\]*)"\s*,\s*"arguments"\s*:\s*(?=\{)')
REPLY_CLOSES = re.compile(r"\s*\}\s*")

STRING_PART = re.compile(r'(?:[^"\\]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
"""The longest beginning of a JSON string's inside that ends in no half escape."""

HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
"""The first half of an escaped emoji; on its own it is no character."""

HALF_ESCAPE = re.compile(r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?")

FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", re.DOTALL)
"""A reply in a Markdown fence, as models that are only asked for JSON like to give it."""

OBJECT_MARKS = re.compile(r'["{}\[\]\\]')


def emulated(ask: Ask, *, constrained: bool) -> tuple[Ask, Unfolding | None]:
    """`ask` without native tools, and what turns the reply back; None where no reply needs it.

    Args:
        ask: What the caller asks.
        constrained: The server keeps to a JSON schema; where it does not, the form is only asked for, and a reply
            that is not in it is a broken call, for the checks to refuse.
    """
    tools = offered(ask.tools)
    if not tools:
        return without_tools(ask, constrained=constrained), None
    forced = ask.tools.choice is not None and ask.tools.choice.mode in ("any", "tool")
    answer = None if forced else answer_schema(ask.tools.response_format)
    form = {"name": "reply", "strict": True, "schema": reply_schema(tools, answer)}
    wanted = Toolset(response_format={"type": "json_schema", "json_schema": form} if constrained else None)
    messages = instructed(retold(ask.messages), instruction(tools, may_answer=not forced))
    names = frozenset(str(tool_name(tool)) for tool in tools)
    unfolding = Unfolding(
        names,
        call_id=fresh_id(ask.messages),
        streams=answer == {"type": "string"},
        constrained=constrained,
        forced=forced,
    )
    return replace(ask, messages=tuple(messages), tools=wanted), unfolding


def without_tools(ask: Ask, *, constrained: bool) -> Ask:
    """`ask` where no tool is offered: the history in plain turns, a response format as the server takes it."""
    messages, wanted = retold(ask.messages), ask.tools.response_format
    schema = schema_in(wire_format(wanted)) if wanted is not None else None
    if constrained or schema is None:
        return replace(ask, messages=tuple(messages), tools=Toolset(response_format=wanted))
    line = tool_line({"name": "object", "parameters": schema})
    messages = instructed(messages, f"Reply with one JSON object and nothing else. Its fields:\n{line}")
    return replace(ask, messages=tuple(messages), tools=Toolset())


def offered(tools: Toolset) -> list[dict[str, Any]]:
    """The function tools the choice leaves; built-in tools of a provider cannot be emulated."""
    functions = [schema for schema in tools.schemas if tool_name(schema)]
    match tools.choice:
        case None:
            return functions
        case choice if choice.mode == "none":
            return []
        case choice if choice.mode == "tool":
            return [schema for schema in functions if tool_name(schema) == choice.name]
    return functions


def answer_schema(response_format: Any) -> dict[str, Any]:
    """What an answer looks like: text, or an object where a response format asks for one."""
    schema = schema_in(wire_format(response_format)) if response_format is not None else None
    return {"type": "string"} if schema is None else grammar_schema(schema)


def reply_schema(tools: Sequence[Mapping[str, Any]], answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The form of a reply: a call of one of `tools`, or an answer where that is allowed."""
    branches = []
    for tool in tools:
        arguments = {"type": "object", **grammar_schema(tool["function"].get("parameters"))}
        branches.append(closed({"tool": {"const": tool_name(tool)}, "arguments": arguments}))
    if answer is not None:
        branches.append(closed({"answer": dict(answer)}))
    return {"anyOf": branches} if len(branches) > 1 else branches[0]


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def instruction(tools: Sequence[Mapping[str, Any]], *, may_answer: bool) -> str:
    """What the model is told: each reply it may give, and what for.

    The wording matters to small models. Of 20 questions to Qwen2.5-Coder-0.5B over llama.cpp this one had 9 of 12
    tools called and 6 of 8 answers given in words. With the form first and the tools listed after it, none of 6
    tools was called: the model always answers.
    """
    lines = ["Decide whether one of the tools fits the last message. Reply with one JSON object and nothing else:"]
    for tool in tools:
        form = f'{{"tool": {json.dumps(tool_name(tool))}, "arguments": {{...}}}}'
        lines.append(f"{form} - {tool_line(tool['function']).removeprefix('- ')}")
    if may_answer:
        lines.append('{"answer": "..."} - if no tool fits: answer in words')
    return "\n".join(lines)


def tool_line(function: Mapping[str, Any]) -> str:
    """A tool on one line: name, parameters, description."""
    parameters = function.get("parameters") or {}
    properties = parameters.get("properties") or {}
    required = parameters.get("required") or ()
    fields = ", ".join(field_line(name, inner, name in required) for name, inner in properties.items())
    description = " ".join(str(function.get("description") or "").split())
    return f"- {function['name']}({fields})" + (f": {description}" if description else "")


def field_line(name: str, schema: Any, required: bool) -> str:
    """A parameter: name, `?` if it may be left out, type or choices, description."""
    schema = schema if isinstance(schema, Mapping) else {}
    choices = schema.get("enum")
    kind = "|".join(json.dumps(choice) for choice in choices) if choices else schema.get("type", "any")
    kind = "|".join(kind) if isinstance(kind, list) else kind
    description = " ".join(str(schema.get("description") or "").split())
    return f"{name}{'' if required else '?'}: {kind}" + (f" ({description})" if description else "")


def instructed(messages: list[BaseMessage], text: str) -> list[BaseMessage]:
    """The messages with `text` at the end of their first system message, or before all."""
    if messages and isinstance(messages[0], SystemMessage):
        system = SystemMessage(f"{plain(messages[0].content)}\n\n{text}")
        return [system, *messages[1:]]
    return [SystemMessage(text), *messages]


def retold(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages with calls and results as plain turns.

    Results that follow each other become one user turn, because many chat templates want roles to alternate.
    """
    names: dict[str, str] = {}
    told: list[BaseMessage] = []
    results: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            results.append(told_result(message, names))
            continue
        if results:
            told.append(HumanMessage("\n\n".join(results)))
            results = []
        if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
            names |= {call["id"]: call["name"] for call in message.tool_calls if call["id"]}
            told.append(told_calls(message))
        else:
            told.append(message)
    return [*told, HumanMessage("\n\n".join(results))] if results else told


def told_calls(message: AIMessage) -> AIMessage:
    """A message with calls, as the text a model would have written here."""
    replies = [{"tool": call["name"], "arguments": call["args"]} for call in message.tool_calls]
    lines = [json.dumps(reply, ensure_ascii=False, default=str) for reply in replies]
    lines += [str(call["args"] or "") for call in message.invalid_tool_calls]
    text = plain(message.content).strip()
    return AIMessage("\n".join([text, *lines] if text else lines))


def told_result(message: ToolMessage, names: Mapping[str, str]) -> str:
    """A tool's result as text."""
    name = message.name or names.get(message.tool_call_id) or "tool"
    verb = "failed" if message.status == "error" else "returned"
    return f"{name} {verb}:\n{plain(message.content)}"


def fresh_id(messages: Sequence[BaseMessage]) -> str:
    """An id that no call in `messages` has; derived, so that the same step gives the same id again."""
    used = {call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    number = len(used)
    while f"call_{number}" in used:
        number += 1
    return f"call_{number}"


class Unfolding:
    """Turns the streamed JSON of one reply back into text or a tool call.

    The text of an answer is given as it comes; so are a call's arguments, once the tool's name is known. A
    reply that is not in the form agreed on is given as text when it has ended, for the checks to refuse.

    Args:
        names: Tools that were offered.
        call_id: Id for the call.
        streams: Whether an answer is plain text, which can be given before it is complete.
        constrained: The server keeps to the form.
        forced: Only a call will do.
    """

    def __init__(
        self, names: frozenset[str], *, call_id: str, streams: bool, constrained: bool = True, forced: bool = False
    ) -> None:
        self._constrained = constrained
        self._forced = forced
        self._names = names
        self._call_id = call_id
        self._streams = streams
        self._buffer = ""
        self._state = "opening"
        self._depth = 0
        self._in_string = False
        self._called = False
        self._finish: str | None = None
        self._details: dict[str, Any] = {}

    def feed(self, pieces: Sequence[Delta]) -> list[Delta]:
        """What `pieces` come to; the finish reason waits for `close`."""
        given: list[Delta] = []
        for piece in pieces:
            self._finish = piece.finish or self._finish
            self._details.update(piece.details or {})
            self._buffer += piece.text
            unfolded = self.unfold() if piece.text else Delta()
            unfolded = unfolded._replace(extra=piece.extra, usage=piece.usage)
            if unfolded != Delta():
                given.append(self.detailed(unfolded))
        return given

    @property
    def is_over(self) -> bool:
        """Whether to stop listening to a model that was only asked for the form.

        Once the reply is complete it can only be spoilt, and one that does not begin like a call where only a call
        will do cannot become one: a small model may go on for thousands of tokens.
        """
        if self._constrained:
            return False
        opening = self._buffer.lstrip()[:1]
        return self._state == "ending" or (self._forced and self._state == "opening" and opening not in ("", "{", "`"))

    def close(self) -> list[Delta]:
        """What is left once the reply has ended."""
        rest = Delta()
        if self.is_over:
            self._finish = self._finish or "stop"
            self._buffer = "" if self._state == "ending" else self._buffer
        if self._state == "opening":
            rest = self.whole_reply()
        elif self._buffer.strip() and not REPLY_CLOSES.fullmatch(self._buffer):
            rest = self.misfit()
        finish = self._finish
        if finish == "stop" and (self._called or rest.tools):
            finish = "tool_calls"
        rest = self.detailed(rest._replace(finish=finish))
        return [rest] if rest != Delta() else []

    def detailed(self, piece: Delta) -> Delta:
        """The piece with the details that have come so far, once."""
        details, self._details = self._details, {}
        return piece._replace(details=details) if details else piece

    def unfold(self) -> Delta:
        """What can be said of the buffer by now."""
        if self._state == "opening":
            self.open()
        if self._state == "answer":
            return self.answer_text()
        return self.call_arguments() if self._state == "call" else Delta()

    def open(self) -> None:
        """Recognise the beginning of a reply."""
        if self._streams and (found := ANSWER_OPENS.match(self._buffer)):
            self._state = "answer"
        elif (found := CALL_OPENS.match(self._buffer)) and found[1] in self._names:
            self._state, self._name = "call", found[1]
        if found and self._state != "opening":
            self._buffer = self._buffer[found.end() :]

    def answer_text(self) -> Delta:
        """The part of an answer that is complete."""
        found = STRING_PART.match(self._buffer)
        raw = found[0] if found else ""
        closes = self._buffer[len(raw) : len(raw) + 1] == '"'
        if not closes and (half := HALF_PAIR.search(raw)):
            raw = raw[: half.start()]
        self._buffer = self._buffer[len(raw) + closes :]
        if closes:
            self._state = "ending"
        text = json.loads(f'"{raw}"', strict=False)
        if "\\u" in raw:  # an escape can spell half a surrogate pair, which no text may hold
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Delta(text)

    def call_arguments(self) -> Delta:
        """The part of a call's arguments that has come, up to the brace that ends them."""
        end, position = None, 0
        text = self._buffer
        while found := OBJECT_MARKS.search(text, position):
            mark, position = found[0], found.end()
            if mark == "\\":
                if position == len(text):  # what is escaped comes with the next piece
                    text, position = text[:-1], position - 1
                    break
                position += 1
            elif mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if mark in "{[" else -1
                if self._depth == 0:
                    end = position
                    break
        said = text[:end]
        self._buffer = self._buffer[len(said) :]
        opening, self._called = not self._called, True
        piece = ToolPiece(0, self._call_id if opening else None, self._name if opening else None, said)
        if end is not None:
            self._state = "ending"
        return Delta(tools=(piece,)) if said or opening else Delta()

    def whole_reply(self) -> Delta:
        """A reply not recognised as it came: fields in another order, an answer that is an object."""
        text = self._buffer
        fenced = FENCED.fullmatch(text)
        try:
            reply = json.loads(fenced[1] if fenced else text)
        except (ValueError, RecursionError):
            return self.broken_call("", text) if text.lstrip().startswith("{") else Delta(text)
        match reply:
            case {"tool": str(name), "arguments": dict(arguments)} | {
                "name": str(name),
                "arguments": dict(arguments),
            } if len(reply) == 2 and name in self._names:
                said = json.dumps(arguments, ensure_ascii=False)
                return Delta(tools=(ToolPiece(0, self._call_id, name, said),))
            case {"answer": str(answer)} if len(reply) == 1:
                return Delta(answer)
            case {"answer": answer} if len(reply) == 1:
                return Delta(json.dumps(answer, ensure_ascii=False))
            case {"tool": str(name)} | {"name": str(name)}:
                return self.broken_call(name, text)
            case dict():
                return self.broken_call("", text)
        return Delta(text)

    def broken_call(self, name: str, text: str) -> Delta:
        """A reply that is JSON, or tries to be, but not in the form: a call that no check lets pass.

        As text it would be shown to a user as the answer.
        """
        return Delta(tools=(ToolPiece(0, self._call_id, name, text if name not in self._names else f"!{text}"),))

    def misfit(self) -> Delta:
        """What is left of a reply that broke its form.

        Added to a call it spoils the JSON of the arguments, so that the call is refused. Half an escape is
        what a cut leaves; it says nothing.
        """
        if self._called:
            return Delta(tools=(ToolPiece(0, None, None, self._buffer),))
        cut = self._state == "answer" and HALF_ESCAPE.fullmatch(self._buffer)
        return Delta() if cut else Delta(self._buffer)
