"""Keeps keys out of texts that others will read."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

KEY_SHAPES = re.compile(
    r"""
      (?i:\b(?:bearer|basic))\s+[^\s"',;}]+                       # Authorization headers
    | \b(?:sk|pk|rk|gsk|xai|hf|r8|fw|nvapi|pplx|tgp|csk|key)[-_][A-Za-z0-9_*.-]{6,}   # issuers' prefixes
    | \bAIza[0-9A-Za-z_-]{20,}                                     # Google
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                # AWS
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{8,}                   # JSON web tokens
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)                              # user:password in a URL
    | (?i:\b(?:api[-_ ]?key|x-api-key|access[-_]?token|token|password|secret)\b["']?\s*[:=]\s*["']?)
      [^\s"',;&}]{6,}                                              # key=value, "api_key": "value"
    """,
    re.VERBOSE,
)
"""What keys of the common issuers look like; an error may quote a key that is not the configured one."""

SHORTEST_SECRET = 4
"""A shorter configured "key" is a placeholder such as `x`; masking it would eat ordinary letters."""


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets` and without anything that has the shape of a key."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return KEY_SHAPES.sub(MASK, text)


def shown(text: str, secrets: Iterable[str] = (), *, limit: int = 500) -> str:
    """`text` masked, then cut to at most `limit` characters: cutting first could leave half a key."""
    # A huge body is cut once before, far beyond the limit, so that masking stays cheap.
    text = mask(text[: limit * 20], secrets)
    return text if len(text) <= limit else text[: limit - 1] + "…"
