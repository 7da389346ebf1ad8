"""Journals whose texts only a holder of the key can read."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from journal_pages import NOW, PATIENT_SECONDS, brought, journal, key_of, place

from steprouter.errors import ConfigError
from steprouter.store import Connection, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.journal_cipher import Cipher

KEY = "correct horse battery staple"


@pytest.fixture(scope="module")
def shared(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=PATIENT_SECONDS)
    yield connection
    connection.close()


@pytest.fixture
def cipher() -> Cipher:
    pytest.importorskip("cryptography")
    return Cipher(KEY)


def test_nothing_that_was_said_lies_in_the_store_in_clear(shared: Connection, cipher: Cipher) -> None:
    mine, where = journal(shared, cipher), place()
    pen = mine.open(where, NOW)
    for word in ("Once ", "upon ", "a time"):
        pen.note(word)
        assert mine.flush()
    dump = shared.call(lambda client: client.hgetall(key_of(where)))
    assert isinstance(dump, dict)
    assert not any(word in part for pair in dump.items() for part in pair for word in (b"Once", b"upon", b"a time"))
    assert [entry.text for entry in brought(shared, where, cipher)] == ["Once upon a time"]
    mine.close()


@pytest.mark.parametrize("is_sealed", [True, False])
def test_with_another_key_or_none_there_is_no_journal_and_it_is_said(
    shared: Connection, cipher: Cipher, *, is_sealed: bool
) -> None:
    mine, where = journal(shared, cipher if is_sealed else None), place()
    mine.open(where, NOW).note("Once")
    assert mine.flush()
    wrong = [Cipher("another key of that length"), None] if is_sealed else [cipher]
    for other in wrong:
        found = brought(shared, where, other)
        assert isinstance(found, Missing)
        assert found.degraded
        assert "encrypted" in found.reason
    mine.close()


def test_lines_cannot_be_moved_to_another_place(shared: Connection, cipher: Cipher) -> None:
    mine, one, other = journal(shared, cipher), place(), place(tenant="globex")
    pens = [mine.open(where, NOW) for where in (one, other)]
    for pen in pens:
        pen.note("Once")
    assert mine.flush()
    stolen = shared.call(lambda client: client.hget(key_of(one), f"{pens[0].entry.run}:0"))
    shared.call(lambda client: client.hset(key_of(other), f"{pens[1].entry.run}:0", stolen))
    assert isinstance(brought(shared, other, cipher), Missing)
    mine.close()


def test_a_key_shows_in_no_repr(cipher: Cipher) -> None:
    assert repr(cipher) == "Cipher()"


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 characters, got 5"):
        Cipher("short")


def test_a_key_without_cryptography_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"steprouter\[encryption\]"):
        Cipher(KEY)
