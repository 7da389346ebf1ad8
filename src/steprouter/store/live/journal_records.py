"""Journals as Redis keeps them, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from steprouter.memory.journal import JournalEntry, JournalPlace, Line, decode, encode
from steprouter.memory.recall import Missing

from ..keys import Keys
from ..memory.records import Pairs, newer
from .journal_cipher import Cipher, binding, opened, sealed
from .journal_scripts import OVER

HEADER = ("owner", "task", "began", "left")


def journal_key(keys: Keys, place: JournalPlace) -> str:
    """Where the journals of a place lie."""
    return keys.tenant(place.tenant, "journal", place.name)


def head_of(keys: Keys, place: JournalPlace, began_at: float) -> tuple[str, str, str, str]:
    """Task, beginning, thread and user, as a journal keeps them."""
    user = "" if place.user is None else keys.id_tag(place.tenant, place.user)
    return task_tag(keys, place), repr(began_at), keys.id_tag(place.tenant, place.thread), user


def task_tag(keys: Keys, place: JournalPlace) -> str:
    """The digest of the place's task."""
    return keys.id_tag(place.tenant, place.task)


def kept_lines(lines: list[Line], cipher: Cipher | None, bound: bytes) -> bytes:
    """Lines as they are kept.

    Args:
        lines: Some lines.
        cipher: Seals them; None leaves them open.
        bound: What they are bound to.

    Raises:
        TypeError: Facts are not JSON.
        ValueError: The same.
    """
    return sealed(cipher, encode(lines), bound)


def read_entries(kept: Pairs, key: str, tenant: str, cipher: Cipher | None) -> tuple[JournalEntry, ...] | Missing:
    """The journals that lie in a place; or why they cannot be read.

    Args:
        kept: The hash.
        key: Its name.
        tenant: Whose it is.
        cipher: Opens the lines; None where no key is set.
    """
    if (missing := newer(kept.get(b"v"))) is not None:
        return missing
    runs = defaultdict[str, dict[str, bytes]](dict)
    for name, value in kept.items():
        run, colon, part = name.decode("ascii", "replace").partition(":")
        if colon:
            runs[run][part] = value
    try:
        entries = [read_entry(run, parts, key, tenant, cipher) for run, parts in runs.items()]
    except ValueError as error:
        return Missing(reason=f"a journal cannot be read: {error}")
    return tuple(entry for entry in entries if entry is not None)


def read_entry(
    run: str, parts: Mapping[str, bytes], key: str, tenant: str, cipher: Cipher | None
) -> JournalEntry | None:
    """One journal; None where its answer was given.

    Raises:
        ValueError: It is broken, or cannot be opened.
    """
    owner, task = (parts.get(name, b"").decode("ascii", "replace") for name in ("owner", "task"))
    if owner in ("", OVER):
        return None
    lines: list[Line] = []
    expected = 0
    for number, kept in sorted((int(name), value) for name, value in parts.items() if name not in HEADER):
        if number != expected:
            raise ValueError(f"line {expected} is missing")
        some, found = decode(opened(cipher, kept, binding(tenant, key, run, number)))
        lines += found
        expected += some
    return JournalEntry(
        run=run,
        owner=owner,
        task=task,
        began_at=float(parts.get("began", b"0")),
        is_left="left" in parts,
        lines=tuple(lines),
        length=expected,
    )
