"""Verified lessons on their way to a file and from one. What they did is not taken along: it is measured anew."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from steprouter.errors import StoreError
from steprouter.memory.lessons import Lesson
from steprouter.memory.recall import Missing

from ..connect import Connection
from .lesson_records import read_lessons
from .lines import LessonLine
from .query import coded
from .schema import VERSION, Places, Space
from .survey import asked


def leaving_lessons(connection: Connection, places: Places, space: Space, names: Sequence[str]) -> Iterator[LessonLine]:
    """The verified lessons among these names, if the embedder in use embedded them.

    Raises:
        StoreError: The store is away.
    """
    found = read_lessons(connection, places, names, space, None)
    if isinstance(found, Missing):
        raise StoreError(f"memory cannot be reached: {found.reason}")
    verified = {name: one for name, one in found.items() if one.verified is not None and one.vector}
    commands = [("ZSCORE", places.lessons(one.kind), name) for name, one in verified.items()]
    for (name, lesson), changed in zip(verified.items(), asked(connection, commands), strict=True):
        line = lesson_line(name, lesson, changed)
        if line is not None:
            yield line


def lesson_line(name: str, lesson: Lesson, changed: float | None) -> LessonLine | None:
    """A lesson as a line; None if it is broken."""
    lesson = replace(lesson, task=whole(lesson.task), approach=whole(lesson.approach), result=whole(lesson.result))
    try:
        return LessonLine(
            record=name,
            kind=lesson.kind,
            node=lesson.node,
            model=coded(lesson.model),
            tier=str(lesson.tier),
            rule=None if lesson.rule is None else whole(lesson.rule),
            thread=lesson.thread,
            user=lesson.user,
            at=lesson.at,
            changed=float(changed or lesson.at),
            task=lesson.task,
            approach=lesson.approach,
            result=lesson.result,
            tools=[whole(tool) for tool in lesson.tools],
            wants_json=lesson.json,
            verified=str(lesson.verified),
            vector=base64.b64encode(lesson.vector).decode(),
        )
    except ValueError:
        return None


def whole(text: str) -> str:
    """The text without lone surrogates, which no file of text can hold."""
    return text.encode("utf-8", "replace").decode()


def lesson_fields(places: Places, space: Space, line: LessonLine) -> Mapping[str, str | bytes]:
    """The fields of a lesson's hash."""
    fields: dict[str, str | bytes | None] = {
        "v": str(VERSION),
        "tenant": places.keys.tenant_tag(places.tenant),
        "kind": line.kind,
        "node": line.node,
        "model": line.model,
        "tier": line.tier,
        "rule": line.rule,
        "thread": line.thread,
        "user": line.user,
        "at": repr(line.at),
        "task": line.task,
        "approach": line.approach,
        "result": line.result,
        "tools": json.dumps(line.tools),
        "json": str(int(line.wants_json)),
        "verified": line.verified,
        "order": places.lessons(line.kind),
        "effect": places.effect(line.kind),
        "space": space.tag,
        space.field: base64.b64decode(line.vector),
    }
    return {name: value for name, value in fields.items() if value is not None}
