"""What a `store` setting means: read and checked before anything is connected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from steprouter.errors import ConfigError

SCHEMES = ("redis", "rediss", "unix")
LATER_SCHEMES = ("redis+cluster", "redis+sentinel")

RULE = (
    "store must be 'embedded', 'memory', or a URL redis://[user:password@]host[:port][/db], "
    "rediss://… (TLS) or unix:///path"
)

QUERY = frozenset({"db", "client_name", "username", "password"})
"""The settings a URL's query may hold. redis-py takes any and fails at the first call; its time-outs would be
ignored here, so they are refused too."""

TLS_QUERY = frozenset(
    f"ssl_{name}"
    for name in (
        "ca_certs",
        "ca_data",
        "ca_path",
        "cert_reqs",
        "certfile",
        "check_hostname",
        "keyfile",
        "password",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the store is.

    Attributes:
        kind: What it is.
        url: Of a server; empty for the others. Holds the password, so it is in no repr.
        shown: The same for people, with the password masked.
    """

    kind: Literal["embedded", "server", "memory"]
    url: str = field(default="", repr=False)
    shown: str


def read_target(store: str, environment: Mapping[str, str]) -> Target:
    """Reads a `store` setting. `"embedded"` means the server of `$REDIS_URL` where that is set.

    Raises:
        ConfigError: It is none; the message masks the password.
    """
    if store == "memory":
        return Target(kind="memory", shown="memory")
    if store != "embedded":
        return read_url(store, "")
    url = environment.get("REDIS_URL", "")
    return read_url(url, " (from $REDIS_URL)") if url else Target(kind="embedded", shown="embedded")


def read_url(url: str, whence: str) -> Target:
    """Reads the URL of a server.

    Raises:
        ConfigError: It is malformed or of a kind that is not supported.
    """
    shown = masked(url) + whence
    try:
        parts = urlsplit(url)
        is_sound = has_sound_parts(parts)
    except ValueError:
        parts, is_sound = SplitResult("", "", "", "", ""), False
    if parts.scheme in LATER_SCHEMES:
        raise ConfigError(
            f"store does not support {parts.scheme}:// yet, got {shown!r}; "
            "give the redis:// URL of the master, or of a proxy in front of the nodes"
        )
    if not is_sound:
        raise ConfigError(f"{RULE}, got {shown!r}")
    allowed = QUERY | TLS_QUERY if parts.scheme == "rediss" else QUERY
    unknown = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in allowed]
    if unknown:
        raise ConfigError(f"the query of store {shown!r} may hold {', '.join(sorted(allowed))}, got {unknown!r}")
    return Target(kind="server", url=url, shown=shown)


def has_sound_parts(parts: SplitResult) -> bool:
    """Whether scheme, host, port and database are there and well-formed.

    Raises:
        ValueError: The port is not a number from 0 to 65535, or the host is no name.
    """
    if parts.scheme == "unix":
        return parts.path.startswith("/") and len(parts.path) > 1
    databases = [parts.path.strip("/"), *dict(parse_qsl(parts.query)).get("db", "").split()]
    (parts.hostname or "").encode("idna")  # a label too long would fail in every call
    return (
        parts.scheme in SCHEMES
        and bool(parts.hostname)
        and parts.port != 0
        and all(re.fullmatch(r"[0-9]{0,9}", database) for database in databases)
    )


def masked(url: str) -> str:
    """The URL with everything that could be a password replaced, also where it is malformed."""
    hidden = re.sub(r"([?&;](?:[^=&]*pass[^=&]*|[^=&]*token[^=&]*)=)[^&]*", r"\1***", url, flags=re.IGNORECASE)
    scheme, found, rest = hidden.partition("://")
    if not found:
        scheme, rest = "", hidden
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if not at:  # a password may be there all the same: "redis://:secret"
        rest = re.sub(r"^([^:/?\[]*:)(?![0-9]{1,5}(?:[/?]|$)).*", r"\1***", rest)
    else:
        rest = f"{user if colon else '***'}{':***' if colon else ''}@{place}"
    return f"{scheme}{found}{rest}"
