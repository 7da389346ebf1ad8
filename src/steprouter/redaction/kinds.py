"""What can be found: the kinds, the values that say where, and the placeholders that take their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a found stretch of text is; of two kinds on the same stretch the one listed first is meant."""

    PRIVATE_KEY = "private_key"
    JWT = "jwt"
    API_KEY = "api_key"
    URL_CREDENTIALS = "url_credentials"
    IBAN = "iban"
    CREDIT_CARD = "credit_card"
    US_SSN = "us_ssn"
    NATIONAL_ID = "national_id"
    EMAIL = "email"
    MAC_ADDRESS = "mac_address"
    IP_ADDRESS = "ip_address"
    PHONE = "phone"
    IDENTITY_DOCUMENT = "identity_document"
    DATE_OF_BIRTH = "date_of_birth"
    SECRET_ASSIGNMENT = "secret_assignment"  # noqa: S105 - the name of a kind
    HIGH_ENTROPY = "high_entropy"


SECRET_KINDS = frozenset(
    {
        Kind.PRIVATE_KEY,
        Kind.JWT,
        Kind.API_KEY,
        Kind.URL_CREDENTIALS,
        Kind.SECRET_ASSIGNMENT,
        Kind.HIGH_ENTROPY,
    }
)
"""The kinds that open a door to whoever reads them."""

PERSONAL_KINDS = frozenset(Kind) - SECRET_KINDS
"""The kinds that point at a person, the question of a rule such as "personal data stays on local models"."""

RANK = {kind: rank for rank, kind in enumerate(Kind)}
"""Where each kind stands in the list."""

PLACEHOLDER = re.compile(rf"<(?P<kind>{'|'.join(Kind)})-(?P<number>[0-9]{{1,9}}+)>")
"""A value that was taken out, by this or an earlier call; it is never found and never replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Where something was found; it holds no part of the text, so it may be logged.

    Attributes:
        kind: What it is.
        start: Index of its first character.
        end: Index after its last character.
    """

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text with placeholders instead of what was found in it.

    Attributes:
        text: The text with placeholders.
        findings: What was replaced, in order, by its place in the original text.
    """

    text: str
    findings: tuple[Finding, ...]


def placeholder(kind: Kind, number: int) -> str:
    """What stands for the `number`-th value of a kind, such as `<email-1>`."""
    return f"<{kind}-{number}>"
