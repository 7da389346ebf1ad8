"""Encrypts what a journal says, where the user has set a key for it: AES-256-GCM (NIST SP 800-38D).

Each batch of lines is sealed for its place: tenant, key name, answer and position are authenticated with it, so that
none can be moved or put in another's stead by whoever can write to the store.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Protocol

from steprouter.errors import ConfigError

SEALED = b"\x01"
"""How sealed lines begin; open ones begin with a bracket."""

NONCE_BYTES = 12
"""What GCM wants; drawn at random, good for 2^32 batches under one key (SP 800-38D section 8.3)."""

SHORTEST_KEY = 16
"""Characters or bytes; a shorter one could be guessed."""


class Aead(Protocol):
    """Encryption that also authenticates, and with it data that stays in clear."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The data encrypted."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The data, if nobody has altered either."""
        ...


class Cipher:
    """Seals and opens lines.

    Args:
        key: What the user has set.

    Raises:
        ConfigError: The key is too short, or `cryptography` is not installed.
    """

    def __init__(self, key: str | bytes) -> None:
        if len(key) < SHORTEST_KEY:
            raise ConfigError(
                f"the key for journals needs at least {SHORTEST_KEY} characters, got {len(key)}; "
                'make one with python -c "import secrets; print(secrets.token_hex())"'
            )
        encoded = key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
        self.aead: Aead = aead(sha256(b"steprouter journal\0" + encoded).digest())

    def __repr__(self) -> str:
        return "Cipher()"

    def seal(self, lines: bytes, place: bytes) -> bytes:
        """The lines as only a holder of the key can read them, and only in this place."""
        nonce = os.urandom(NONCE_BYTES)
        return SEALED + nonce + self.aead.encrypt(nonce, lines, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The lines.

        Raises:
            ValueError: They are not sealed, or with another key, or for another place.
        """
        from cryptography.exceptions import InvalidTag

        if not sealed.startswith(SEALED):
            raise ValueError("it is not encrypted, and a key is set")
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self.aead.decrypt(nonce, rest, place)
        except (InvalidTag, ValueError) as error:
            raise ValueError("it was encrypted with another key, or altered") from error


def aead(key: bytes) -> Aead:
    """The algorithm with a key of 32 bytes.

    Raises:
        ConfigError: `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigError(
            "a key for journals is set and cryptography is not installed; pip install 'steprouter[encryption]'"
        ) from error
    made: Aead = AESGCM(key)
    return made


def opened(cipher: Cipher | None, kept: bytes, place: bytes) -> bytes:
    """Lines as they were written, sealed or not.

    Raises:
        ValueError: They cannot be read with this key, or without one.
    """
    if cipher is not None:
        return cipher.open(kept, place)
    if kept.startswith(SEALED):
        raise ValueError("it is encrypted, and no key is set")
    return kept


def sealed(cipher: Cipher | None, lines: bytes, place: bytes) -> bytes:
    """Lines as they are kept."""
    return lines if cipher is None else cipher.seal(lines, place)


def binding(tenant: str, key: str, run: str, number: int) -> bytes:
    """What lines are bound to; different places give different bytes."""
    name = tenant.encode("utf-8", "surrogatepass")
    return b"\0".join([str(len(name)).encode(), name, key.encode(), run.encode(), str(number).encode()])
