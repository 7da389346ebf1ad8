"""Where requests go and which headers they carry, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from ..errors import ConfigError
from ..models.card import ModelCard

PATHS: Mapping[str, str] = {"chat_completions": "/chat/completions", "responses": "/responses"}
"""Where each API is under a base URL."""

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, 5.6.2."""

HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
"""Visible ASCII. A line break would begin another header, and HTTP libraries quote bad values in errors."""

SECRET_HEADER = re.compile(r"(?i)auth|key|token|secret|cookie|password")


def endpoint(card: ModelCard) -> httpx.URL:
    """The address of the card's API under `card.base_url`; its query, such as an api-version, is kept.

    Raises:
        ConfigError: It is no address, or it holds a user name or a password.
    """
    try:
        url = httpx.URL(card.base_url or "")
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigError(
            f"base_url of {card.name!r} must be an address such as http://127.0.0.1:8080/v1: {error}"
        ) from None
    if not url.host:
        raise ConfigError(f"base_url of {card.name!r} must name a host, as in http://127.0.0.1:8080/v1")
    if url.userinfo:
        raise ConfigError(f"base_url of {card.name!r} must not hold a user name or password; give api_key or headers")
    path = url.path.rstrip("/").removesuffix(PATHS[card.api])
    return url.copy_with(path=path + PATHS[card.api], fragment=None)


def request_headers(card: ModelCard) -> dict[str, str]:
    """Headers of every request of `card`, the key among them.

    Raises:
        ConfigError: A name or value cannot be a header; the value is not in the message.
    """
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",  # compression would hold small events back until a block is full
        "user-agent": "steprouter",
    }
    for name, secret in card.headers.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in (
            "content-length",
            "transfer-encoding",
            "connection",
        ):
            raise ConfigError(f"headers of {card.name!r} must have names that HTTP allows, got {name!r}")
        headers[name.lower()] = checked(secret.get_secret_value(), f"header {name!r} of {card.name!r}")
    key = card.api_key.get_secret_value() if card.api_key is not None else ""
    if key:
        if "authorization" in headers:
            raise ConfigError(f"model {card.name!r} must have api_key or an Authorization header, got both")
        headers["authorization"] = "Bearer " + checked(key, f"api_key of {card.name!r}")
    return headers


def checked(value: str, what: str) -> str:
    """`value` if it can stand in a header.

    Raises:
        ConfigError: It cannot; the message says so without showing it.
    """
    if not HEADER_VALUE.fullmatch(value):
        raise ConfigError(
            f"{what} must be visible ASCII without line breaks or spaces around it, "
            f"got {len(value)} characters that are not (hidden here); often a line break at its end"
        )
    return value


def secrets_of(card: ModelCard) -> tuple[str, ...]:
    """Values that must never be shown: the key, and headers whose names say that they are secret."""
    headers = [secret.get_secret_value() for name, secret in card.headers.items() if SECRET_HEADER.search(name)]
    # Behind "Bearer " in a header given by hand the token itself is the secret.
    tokens = [value.partition(" ")[2] for value in headers]
    key = [card.api_key.get_secret_value()] if card.api_key is not None else []
    return tuple(secret for secret in (*key, *headers, *tokens) if secret)
