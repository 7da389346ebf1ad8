"""Tokens without a label or a known prefix, told from words by how random they look."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

from .kinds import Kind
from .shape import Shape, Span

LEAST_ENTROPY = 4.0
"""Bits per character (Shannon). Of random tokens of 32 letters and digits 99.9% have more (20,000 drawn, as in the
tests); a hexadecimal digest has at most 4."""

LEAST_CHANGES = 0.4
"""Share of neighbours that change between capital, small and digit. Random tokens of 32: 0.62 on average, 99% above
0.42; `AbstractSingletonProxyFactoryBean12Impl`: 0.32. Names of very short words (`getUserByIdOrThrowV2…`) pass it.
With both bounds and two digits, 97% of random tokens of 32 characters are found, 99% of 40, all but 0.02% of 64."""

URL_SAFE = re.compile(r"(?<![\w+=-])[A-Za-z0-9][A-Za-z0-9_-]{31,511}+(?:={0,2}+)(?![\w+=-])")
STANDARD = re.compile(r"(?<![\w+/=.:-])[A-Za-z0-9+/]{32,512}+(?:={0,2}+)(?![\w+/=-])")
"""Longer runs are data (images, encrypted reasoning), not secrets."""

PUBLIC_PREFIXES = (
    *("chatcmpl", "cmpl", "call", "toolu", "srvtoolu", "msg", "resp", "run", "thread", "asst", "file", "req", "batch"),
    *("fc", "rs", "ws", "gen", "step", "vs", "evt", "sha1", "sha256", "sha384", "sha512", "md5"),
)
"""What public ids begin with, before a `-` or `_`: those of model APIs, and digests."""

PUBLIC_BEFORE = re.compile(r"(?:;base64,|\b(?i:sha)(?:1|256|384|512)[=:-]|\bh1:|\bssh-[a-z0-9-]{2,20} |\bETag: ?\W?)\Z")
"""What introduces data, digests and public keys, in the 24 characters before them."""

PUBLIC_BLOCK = re.compile(r"-----BEGIN (?!.{0,24}PRIVATE)[A-Z0-9 ]{3,40}-----[^-]{0,8192}\Z")
"""The beginning of a certificate or public key that has not ended yet."""


def entropy(text: str) -> float:
    """Shannon's entropy of the characters, in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def class_changes(text: str) -> float:
    """The share of neighbouring letters and digits that differ in class (capital, small, digit), 0 to 1."""
    classes = [(sign.isupper(), sign.isdigit()) for sign in text if sign.isalnum()]
    return sum(one != other for one, other in pairwise(classes)) / max(1, len(classes) - 1)


def is_random(text: str) -> bool:
    """Mixed letters and digits without words in them; hexadecimal text and ids made of it (UUIDs) are not."""
    bare = text.removeprefix("0x").replace("-", "").replace("_", "").rstrip("=")
    if re.fullmatch("[0-9a-fA-F]+", bare) or not re.search("[a-z]", bare) or not re.search("[0-9].*[0-9]", bare):
        return False
    return entropy(bare) >= LEAST_ENTROPY and class_changes(bare) >= LEAST_CHANGES


def token_span(match: re.Match[str]) -> Span | None:
    """The token, unless it is public by its prefix or by what stands before it."""
    head = re.match("[a-z0-9]{1,10}(?=[_-])", match[0])
    if not is_random(match[0]) or match[0].startswith("AAAA") or (head and head[0] in PUBLIC_PREFIXES):
        return None
    before = match.string[max(0, match.start() - 24) : match.start()]
    if PUBLIC_BEFORE.search(before):
        return None
    block = match.string.rfind("-----BEGIN ", max(0, match.start() - 8192), match.start())
    if block >= 0 and PUBLIC_BLOCK.match(match.string[block : match.start()]):
        return None
    return match.span()


RANDOM_SHAPES = (
    Shape(kind=Kind.HIGH_ENTROPY, pattern=URL_SAFE, extent=token_span),
    Shape(kind=Kind.HIGH_ENTROPY, pattern=STANDARD, extent=token_span),
)
"""How tokens of unknown origin are written."""
