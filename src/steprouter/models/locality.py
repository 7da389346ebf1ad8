"""Whether a model runs on this machine, as far as its card says."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from .card import ModelCard

LOCAL = "local"
"""The region of a model that runs here, for cards whose address does not tell."""


def is_local(card: ModelCard) -> bool:
    """Whether a model runs on this machine.

    A stated region decides. Without one a `base_url` on the loopback interface does; a LangChain model never counts
    then, because what it connects to cannot be seen. A private address is another machine.
    """
    if card.region is not None:
        return card.region == LOCAL
    return card.base_url is not None and is_loopback(urlsplit(card.base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost` and names below it (RFC 6761), 127.0.0.0/8, ::1."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
