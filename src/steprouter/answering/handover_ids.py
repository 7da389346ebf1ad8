"""Ids of tool calls that a model takes."""

from __future__ import annotations

import hashlib
import re

from .speaker import Speaker

NINE = re.compile(r"[A-Za-z0-9]{9}")
CLAUDE_IDS = re.compile(r"[A-Za-z0-9_-]{1,64}")
ANY_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""OpenAI's Chat Completions take 40 characters (vercel/ai#5171, litellm#17343), its Responses 64; most others any."""

MISTRAL = re.compile("mistral|mixtral|magistral|ministral|devstral|codestral|pixtral")
"""Models whose own tokeniser refuses other ids than nine letters and digits, whichever server runs them."""

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def legal_ids(to: Speaker) -> re.Pattern[str]:
    """What an id that `to` takes looks like."""
    if to.family == "mistralai" or MISTRAL.search((to.model or "").lower()):
        return NINE
    return CLAUDE_IDS if to.family in ("anthropic", "bedrock") else ANY_ID


def free_id(given: str, to: Speaker, taken: set[str]) -> str:
    """An id `to` takes and that no other call has: Anthropic refuses ids that come twice, in any two turns."""
    legal = legal_ids(to)
    id_, again = given, 0
    while id_ in taken or not legal.fullmatch(id_):
        digest = hashlib.sha256(f"{given}#{again}".encode("utf-8", "surrogatepass"))
        id_ = nine(digest.digest()) if legal is NINE else f"call_{digest.hexdigest()[:24]}"
        again += 1
    return id_


def nine(digest: bytes) -> str:
    """Nine letters and digits of a digest."""
    number = int.from_bytes(digest, "big")
    return "".join(ALPHABET[number // 36**place % 36] for place in range(9))
