"""Chance that can be replayed."""

from __future__ import annotations

from hashlib import sha256


def draw(step_id: str, what: str) -> float:
    """A number from 0 to 1 that is the same for the same step and purpose: a replay waits as long as the run did."""
    digest = sha256(f"{what}\0{step_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
