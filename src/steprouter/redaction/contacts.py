"""Where somebody or something is reached: e-mail, telephone, network addresses."""

from __future__ import annotations

import ipaddress
import re

from .kinds import Kind
from .shape import LABELLED, Shape, Span, value_if

FILE_ENDINGS = frozenset(
    (  # noqa: SIM905 - a list has a line for each word
        "png jpg jpeg gif svg webp ico css js json html txt yml yaml toml tsx jsx exe dll "
        "service timer socket mount slice target scope"
    ).split()
)
"""What follows the last dot of `icon@2x.png` and `getty@tty1.service`: files and systemd units, not hosts."""

MACHINE_NAMES = frozenset({"git", "hg"})
"""Users of code hosts: everybody is `git@github.com`."""

EMAIL = re.compile(
    r"(?<![\w.%+'-])[\w.%+'-]{1,64}+@(?P<domain>(?:[^\W_][\w-]{0,62}+\.(?=[^\W_])){1,8}+(?:xn--[\w-]{2,59}+|[^\W\d_]{2,24}+))"
)
MAC = re.compile(
    r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}(?P<sep>[:-])(?:[0-9A-Fa-f]{2}(?P=sep)){4}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![\w:-]|\.\w)"
)
IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}+\.){3}[0-9]{1,3}+(?![\w]|\.[0-9]|-[A-Za-z0-9])")
IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}+:)(?:[0-9A-Fa-f]{0,4}+:){2,8}+(?:[0-9A-Fa-f]{1,4}+(?![\w:]|\.[0-9])|(?:[0-9]{1,3}+\.){3}[0-9]{1,3}+(?![\w:])|(?![\w:]))"
)
VERSION_BEFORE = re.compile(
    r"(?i:\bv|\bver|version|release|section|chapter|§|build|revision|[=~<>^]=|@)[\s\"':=]{0,4}\Z"
)
"""What tells version 4.18.0.1 or section 3.1.2.4 from an address, in the 16 characters before it."""

INTERNATIONAL = re.compile(r"(?<![\w+=/.-])\+[1-9](?:[ .\-/]?\(?[0-9]\)?){7,14}+(?![\w+%]|[.,\-/][0-9])")
NATIONAL = re.compile(
    r"(?<![\w+=/.-])(?:"
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}(?P<sep>[.-]))[2-9][0-9]{2}(?(sep)(?P=sep)|[.-])[0-9]{4}"
    r"|0[1-9](?:(?P<pair>[ .])[0-9]{2})(?:(?P=pair)[0-9]{2}){3}"
    r"|07[0-9]{3}[ ][0-9]{3}[ ]?[0-9]{3}"
    r")(?![\w+]|[.\-/ ]?[0-9])"
)
LABELLED_PHONE = re.compile(
    r"(?<![A-Za-z])(?i:tele?(?:phone|fax|fono|fon)|téléphone|teléfono|phone|tel|mobile|cell(?:phone)?|móvil|handy|fax|whatsapp)"
    r"(?i:[ _-]?(?:number|num|no|nr|nummer)\b)?\.?"
    + LABELLED
    + r"(?P<value>\+?\(?[0-9](?:[ .\-/]?\(?[0-9]\)?){5,14}+)(?![\w%]|[.,\-/:][0-9])"
)


def email_span(match: re.Match[str]) -> Span | None:
    """The address, unless it is a file, a code host's common user, part of an expression or of a URL's credentials."""
    local, _, domain = match[0].partition("@")
    ending = domain.rpartition(".")[2].lower()
    before = match.string[max(0, match.start() - 160) : match.start()]
    in_url = "://" in before and not re.search(r"[\s/?#]", before.rpartition("://")[2])
    is_call = match.string[match.end() : match.end() + 1] in {"(", "["}
    if in_url or is_call or ending in FILE_ENDINGS or local in MACHINE_NAMES or not local.strip(".%+'-_"):
        return None
    return match.start() + len(local) - len(local.lstrip("'")), match.end()


def ipv4_span(match: re.Match[str]) -> Span | None:
    """The address, unless it is everybody's (loopback, link-local, masks), a network, or a version number."""
    if VERSION_BEFORE.search(match.string[max(0, match.start() - 16) : match.start()]):
        return None
    if re.match(r"/[0-9]", match.string[match.end() : match.end() + 2]) and match.string[match.start() - 1] != "/":
        return None
    return match.span() if is_telling_address(match[0]) else None


def is_ipv6(text: str) -> bool:
    """An address and not a time or a name such as `abc::def`: it has a digit and three colons, or is link-local."""
    looks_so = re.search("[0-9]", text) and (text.count(":") >= 3 or text.lower().startswith(("fe80:", "fd", "200")))
    return bool(looks_so) and is_telling_address(text)


def is_telling_address(text: str) -> bool:
    """An IP address that tells one machine from others."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    common = address.is_loopback or address.is_unspecified or address.is_multicast
    if address.version == 4:
        common = common or address.is_reserved or address.is_link_local or text.startswith("0.")
    return not common


def is_mac(text: str) -> bool:
    """A MAC address, neither empty nor broadcast; with dashes it needs a letter, or dates would be hit."""
    digits = re.sub("[^0-9A-Fa-f]", "", text).lower()
    has_letter = re.search("[a-f]", digits) is not None
    return len(set(digits)) > 1 and (has_letter or ":" in text)


def is_phone(text: str) -> bool:
    """8 to 15 digits (ITU-T E.164), in North America 10 after the 1, and no round quantity such as +10000000."""
    digits = re.sub("[^0-9]", "", text)
    if digits.endswith("00000") or text.count("(") != text.count(")") or not 8 <= len(digits) <= 15:
        return False
    return digits[0] != "1" or bool(re.fullmatch("1[2-9][0-9]{2}[2-9][0-9]{6}", digits))


def is_labelled_phone(text: str) -> bool:
    """6 to 15 digits that are neither a date, years, nor a round quantity."""
    digits = re.sub("[^0-9]", "", text)
    is_time = re.match(r"(?:19|20)[0-9]{2}-(?:[01][0-9]\b|(?:19|20)[0-9]{2})", text)
    return 6 <= len(digits) <= 15 and not digits.endswith("00000") and not is_time


CONTACT_SHAPES = (
    Shape(kind=Kind.EMAIL, pattern=EMAIL, extent=email_span, hints=("@",)),
    Shape(kind=Kind.MAC_ADDRESS, pattern=MAC, extent=value_if(is_mac)),
    Shape(kind=Kind.IP_ADDRESS, pattern=IPV4, extent=ipv4_span, hints=(".",)),
    Shape(kind=Kind.IP_ADDRESS, pattern=IPV6, extent=value_if(is_ipv6), hints=(":",)),
    Shape(kind=Kind.PHONE, pattern=INTERNATIONAL, extent=value_if(is_phone), hints=("+",)),
    Shape(kind=Kind.PHONE, pattern=NATIONAL),
    Shape(
        kind=Kind.PHONE,
        pattern=LABELLED_PHONE,
        extent=value_if(is_labelled_phone),
        hints=("tel", "tél", "phone", "mobile", "cell", "móvil", "handy", "fax", "whatsapp"),
    ),
)
"""How contacts are written."""
