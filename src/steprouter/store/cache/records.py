"""Answers as Redis keeps them, and back. What is newer than this version, or broken, is not there.

The fields `entry_id, prompt, response, inserted_at, updated_at, metadata` and the vector are those of redisvl's
`SemanticCache`, which can read the index therefore. Where a cipher is set, question, answer and metadata are sealed
together instead, and nobody else can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

from steprouter.answering.answer import Answer, ToolCall
from steprouter.caching.entry import Entry, Tally
from steprouter.caching.facets import decoded, encoded
from steprouter.caching.orders import Kept
from steprouter.errors import ConfigError
from steprouter.models.cost import Usage

from ..live.journal_cipher import Cipher, binding, opened, sealed
from ..memory.query import coded
from ..memory.records import raw
from ..memory.schema import VERSION, Places, Space

Parts = Mapping[str, bytes | None]
"""Fields of an answer: `scripts.TEXTS`, `tally`."""

LARGEST_BYTES = 256 * 1024
"""Of a record without its vector: what a recall may have to bring several of."""

READ = 1024
"""Answers remembered by the texts they were read from: the same ones come again with every question like theirs, and
reading one anew takes 25 µs, a tenth of a recall."""

READ_BYTES = 16 * 1024
"""Of those that are remembered."""


def fields_of(places: Places, space: Space, kept: Kept, cipher: Cipher | None) -> list[str | bytes]:
    """The fields of an answer's hash, flat.

    Raises:
        TypeError: Details or arguments of the answer are not JSON.
        ValueError: The same, or it is too large.
    """
    entry, tag = kept.entry, places.keys.id_tag
    texts = {
        "prompt": raw(entry.text),
        "response": raw(entry.answer.text),
        "metadata": json.dumps(metadata(entry), separators=(",", ":")).encode(),
    }
    if (size := sum(map(len, texts.values()))) > LARGEST_BYTES:
        raise ValueError(f"an answer with its question must be at most {LARGEST_BYTES} bytes, got {size}")
    if cipher is not None:
        texts = {"sealed": seal(texts, cipher, places, entry.id)}
    is_compared = kept.vector is not None and entry.scope
    at = repr(entry.created_at)
    fields: dict[str, str | bytes | None] = {
        "v": str(VERSION),
        "tenant": places.keys.tenant_tag(places.tenant),
        "scope": entry.scope or None,
        "drawer": drawer(places, entry.scope, entry.epoch) if entry.scope else None,
        "kind": coded(entry.kind),
        "model": coded(entry.model),
        "node": None if entry.node is None else tag(places.tenant, entry.node),
        "tags": ",".join(sorted(tag(places.tenant, one) for one in entry.tags)) or None,
        "thread": None if kept.thread is None else tag(places.tenant, kept.thread),
        "user": None if kept.user is None else tag(places.tenant, kept.user),
        "epoch": str(entry.epoch),
        "expires_at": repr(entry.expires_at),
        "entry_id": entry.id,
        "inserted_at": at,
        "updated_at": at,
        "size": str(size + len(kept.vector or b"")),
        **texts,
        space.field: kept.vector if is_compared else None,
    }
    return [part for name, value in fields.items() if value is not None for part in (name, value)]


def drawer(places: Places, scope: str, epoch: int) -> str:
    """Tenant, scope and epoch as one tag: a search that must match three takes longer by half."""
    return f"{places.keys.tenant_tag(places.tenant)}.{scope}.{epoch}"


def metadata(entry: Entry) -> dict[str, Any]:
    """What else there is to an answer, as JSON."""
    answer = entry.answer
    return {
        "v": VERSION,
        "scope": entry.scope,
        "epoch": entry.epoch,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "model": entry.model,
        "kind": entry.kind,
        "node": entry.node,
        "step": entry.step_id,
        "tags": sorted(entry.tags),
        "usage": usage_numbers(entry.usage),
        "usd": entry.usd,
        "seconds": entry.seconds,
        "facets": None if entry.facets is None else encoded(entry.facets),
        "finish": answer.finish,
        "calls": [[one.id, one.name, one.args, one.raw] for one in answer.tool_calls],
        "answer_usage": None if answer.usage is None else usage_numbers(answer.usage),
        "details": dict(answer.details),
    }


def usage_numbers(usage: Usage) -> list[int]:
    """Tokens as numbers, in the order in which they are read."""
    return [
        *(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
        *(usage.reasoning_tokens, int(usage.estimated)),
    ]


def seal(texts: Mapping[str, bytes], cipher: Cipher, places: Places, entry_id: str) -> bytes:
    """What an answer says, for its place only."""
    told = json.dumps({name: text.decode("utf-8", "surrogatepass") for name, text in texts.items()})
    return sealed(cipher, told.encode(), binding(places.tenant, places.answer(entry_id), "answer", 0))


def read_entry(parts: Parts, entry_id: str, places: Places, cipher: Cipher | None) -> Entry | None:
    """An answer from its texts; None if it is broken, newer, or cannot be opened.

    Args:
        parts: Those of `scripts.TEXTS` that it has.
        entry_id: The digest of its question, as its key has it.
        places: Of the tenant.
        cipher: Opens it; None where no key is set.
    """
    kept = parts.get("sealed")
    if kept is not None or cipher is not None:
        return read_sealed(kept or b"", entry_id, places, cipher)
    prompt, response, told = parts.get("prompt"), parts.get("response"), parts.get("metadata")
    if prompt is None or response is None or told is None:
        return None
    read = remembered if len(prompt) + len(response) + len(told) <= READ_BYTES else entry_of
    return read(entry_id, prompt, response, told)


def read_sealed(kept: bytes, entry_id: str, places: Places, cipher: Cipher | None) -> Entry | None:
    """An answer that is sealed; None if it cannot be opened here, or is not sealed."""
    bound = binding(places.tenant, places.answer(entry_id), "answer", 0)
    try:
        texts = json.loads(opened(cipher, kept, bound))
        return entry_of(entry_id, *(raw(text_of(texts[name])) for name in ("prompt", "response", "metadata")))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def entry_of(entry_id: str, prompt: bytes, response: bytes, told: bytes) -> Entry | None:
    """The answer of question, answer and metadata; None if it is broken or newer."""
    try:
        said = json.loads(told)
        if said["v"] > VERSION:
            return None
        return made_of(
            entry_id, prompt.decode("utf-8", "surrogatepass"), response.decode("utf-8", "surrogatepass"), said
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, ConfigError):
        return None


remembered = lru_cache(maxsize=READ)(entry_of)
"""The same, from memory if it was read before."""


def made_of(entry_id: str, prompt: str, response: str, told: Any) -> Entry:
    """The answer of texts and metadata.

    Raises:
        TypeError: Something is not what it should be.
        ValueError: The same.
        KeyError: Something is missing.
        ConfigError: The tokens contradict each other.
    """
    facets, usage = told["facets"], told["answer_usage"]
    return Entry(
        id=entry_id,
        scope=text_of(told["scope"]),
        text=prompt,
        facets=None if facets is None else decoded(text_of(facets)),
        answer=Answer(
            text=response,
            tool_calls=tuple(call_of(*one) for one in told["calls"]),
            finish=None if told["finish"] is None else text_of(told["finish"]),
            usage=None if usage is None else usage_of(*usage),
            details=dict(told["details"]),
        ),
        usage=usage_of(*told["usage"]),
        usd=None if told["usd"] is None else number_of(told["usd"]),
        seconds=number_of(told["seconds"]),
        model=text_of(told["model"]),
        kind=text_of(told["kind"]),
        node=None if told["node"] is None else text_of(told["node"]),
        step_id=text_of(told["step"]),
        tags=frozenset(map(text_of, told["tags"])),
        created_at=number_of(told["created_at"]),
        expires_at=number_of(told["expires_at"]),
        epoch=int(number_of(told["epoch"])),
    )


def call_of(call_id: Any, name: Any, args: Any, said: Any) -> ToolCall:
    """A tool call.

    Raises:
        TypeError: It is none.
    """
    if args is not None and not isinstance(args, dict):
        raise TypeError("the arguments of a call are a JSON object or nothing")
    return ToolCall(id=None if call_id is None else text_of(call_id), name=text_of(name), args=args, raw=text_of(said))


def usage_of(*numbers: Any) -> Usage:
    """Tokens.

    Raises:
        TypeError: They are no whole numbers.
        ValueError: There are not as many as there should be.
        ConfigError: They contradict each other.
    """
    inputs, outputs, read, written, reasoning, estimated = numbers
    if not all(type(one) is int for one in numbers):
        raise TypeError("tokens are whole numbers")
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        estimated=bool(estimated),
    )


def text_of(value: Any) -> str:
    """The text.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, got {type(value).__name__}")
    return value


def number_of(value: Any) -> float:
    """The number.

    Raises:
        TypeError: It is none, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError("a finite number was expected")
    return float(value)


UNKNOWN = Tally()


def tally_of(parts: Parts) -> Tally:
    """What is known of an answer.

    Raises:
        TypeError: The numbers are not finite.
        ValueError: They are none.
    """
    kept = parts.get("tally")
    if kept is None:
        return UNKNOWN
    right, wrong = (number_of(float(word)) for word in kept.split(b" "))
    return Tally(right=right, wrong=wrong)


def read_pools(flat: Sequence[bytes]) -> dict[str, Tally]:
    """The tallies of the pools by name, from names and numbers in turns."""
    return dict(pools_of(tuple(flat)))


@lru_cache(maxsize=256)
def pools_of(flat: tuple[bytes, ...]) -> dict[str, Tally]:
    """As `read_pools`; numbers that cannot be read count as nothing right and one wrong."""
    sides: dict[str, dict[str, float]] = {"r": {}, "w": {}}
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        side, _, pool = name.decode("utf-8", "surrogatepass").partition(":")
        try:
            much = number_of(float(value))
        except (TypeError, ValueError):
            side, much = "w", 1.0
        if side in sides:
            sides[side][pool] = max(0.0, much)
    right, wrong = sides["r"], sides["w"]
    return {pool: Tally(right=right.get(pool, 0.0), wrong=wrong.get(pool, 0.0)) for pool in {**right, **wrong}}
