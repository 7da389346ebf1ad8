"""Names of keys: what the library chose stays readable, what came from outside is a keyed digest.

Tenant keys are `sr:{t:<digest>}:…` and deployment keys `sr:{d}:…`; what stands in braces is the hash tag, so
on a cluster each tenant is one slot (Redis cluster specification, "Hash tags"). Records that a search index
covers say first what they are, `sr:outcome:{t:<digest>}:…`, because an index takes in keys by their beginning.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from steprouter.errors import ConfigError

DEFAULT_TENANT = "default"

DIGEST_BYTES = 15
"""120 bits: 24 base32 characters without padding, and no collision among 10¹⁵ ids in practice."""

SECRET_BYTES = 32
"""As long as the digest of SHA-256; RFC 2104 section 3 gains nothing from a longer key."""

SHORTEST_SECRET = 16
"""Characters; a shorter one could be guessed from the key names alone."""

NAMES = 1024
"""Names remembered of each sort: a recall builds a dozen, and their digests would be a tenth of its time."""

LABEL = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Builds the names of keys.

    Attributes:
        secret: Turns ids into digests. Who reads the store cannot turn them back or test a guess without it;
            processes that share a store must share it. In no repr, no log and not in Redis.
    """

    secret: bytes = field(repr=False)

    @lru_cache(maxsize=NAMES)  # noqa: B019 # a secret lives as long as its process, and so may its names
    def tenant(self, tenant: str | None, label: str, *ids: str) -> str:
        """A key of a tenant; `None` and the empty string are the tenant `default`.

        Args:
            tenant: The tenant's id, any text.
            label: What is kept there, chosen by us: lower-case letters, digits, `-`, `_`.
            ids: Whose it is, any text; each becomes a digest, the same under every label,
                another one for another tenant.

        Raises:
            ValueError: The label could be mistaken for something else.
        """
        name = tenant or DEFAULT_TENANT
        digests = [self.id_tag(name, one) for one in ids]
        return ":".join([f"sr:{{t:{self.tenant_tag(name)}}}", checked(label), *digests])

    @lru_cache(maxsize=NAMES)  # noqa: B019 # as above
    def record(self, tenant: str | None, label: str, *ids: str) -> str:
        """A key of a tenant that a search index covers; else as `tenant`, with the same digests.

        Raises:
            ValueError: The label could be mistaken for something else.
        """
        home, _, rest = self.tenant(tenant, label, *ids).removeprefix("sr:").partition(f":{label}")
        return f"sr:{label}:{home}{rest}"

    @lru_cache(maxsize=NAMES)  # noqa: B019 # as above
    def tenant_tag(self, tenant: str | None) -> str:
        """The tenant's digest, as keys and indexes hold it: letters and digits only."""
        return self.digest("tenant", tenant or DEFAULT_TENANT)

    def id_tag(self, tenant: str | None, one: str) -> str:
        """The digest that `one` has in this tenant's keys."""
        return self.digest("id", tenant or DEFAULT_TENANT, one)

    @lru_cache(maxsize=NAMES)  # noqa: B019 # as above
    def deployment(self, label: str, *ids: str) -> str:
        """A key that all tenants of a deployment share.

        Raises:
            ValueError: The label could be mistaken for something else.
        """
        return ":".join(["sr:{d}", checked(label), *(self.digest("deployment id", one) for one in ids)])

    def digest(self, *parts: str) -> str:
        """A name for the parts, letters and digits only; different parts get different ones."""
        digest = hmac.new(self.secret, digestmod=hashlib.sha256)
        for part in parts:
            # Lone surrogates are valid in a Python string and in JSON, hence in ids.
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)  # the length keeps ("a", "bc") from ("ab", "c")
        return base64.b32encode(digest.digest()[:DIGEST_BYTES]).decode().lower()


def checked(label: str) -> str:
    """The label, if it is one.

    Raises:
        ValueError: It is not.
    """
    if not LABEL.fullmatch(label):
        raise ValueError(f"a key's label must be lower-case letters, digits, - or _, got {label!r}")
    return label


def load_secret(
    data_dir: Path, *, given: str | bytes | None = None, environment: Mapping[str, str] | None = None
) -> bytes:
    """The deployment's secret: `given`, else `$STEPROUTER_KEY`, else a file made at the first use.

    Several hosts on one Redis need the same one, so there it must be given.

    Args:
        data_dir: Where the file `key` (mode 0600) is.
        given: A secret of at least 16 characters or bytes.
        environment: Where `$STEPROUTER_KEY` is looked up; default the process's.

    Raises:
        ConfigError: The secret is too short, or the file cannot be made or holds something else.
    """
    chosen = given or (os.environ if environment is None else environment).get("STEPROUTER_KEY") or ""
    if chosen:
        if len(chosen) < SHORTEST_SECRET:
            raise ConfigError(
                f"the key for ids needs at least {SHORTEST_SECRET} characters, got {len(chosen)}; "
                'make one with python -c "import secrets; print(secrets.token_hex())"'
            )
        encoded = chosen if isinstance(chosen, bytes) else chosen.encode("utf-8", "surrogatepass")
        return hashlib.sha256(encoded).digest()
    try:
        return read_or_make(data_dir / "key")
    except OSError as error:
        raise ConfigError(f"a key for ids is needed and none can be kept: {error}; set STEPROUTER_KEY") from error


def read_or_make(path: Path) -> bytes:
    """The secret in the file, which is made if it is not there; of many processes one makes it.

    Raises:
        ConfigError: The file holds something else.
        OSError: It can be neither read nor made.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"key.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            link_first(fresh, path)
        finally:
            fresh.unlink()
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}", text):
        raise ConfigError(
            f"the key file must hold {2 * SECRET_BYTES} hexadecimal digits, {str(path)!r} does not; "
            "restore it, or delete it and lose what is stored"
        )
    return bytes.fromhex(text)


def link_first(fresh: Path, path: Path) -> None:
    """Gives the complete file its name, unless another was first, whose secret a rename would replace."""
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return
