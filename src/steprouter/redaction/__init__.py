r"""Secrets and personal data in text: found, and replaced by placeholders that keep the sense.

    redact("Mail ann@example.org, then bob@example.org, then ann@example.org.").text
    # "Mail <email-1>, then <email-2>, then <email-1>."

All is done by patterns and published checks, without a model, a list of names or any I/O. What that can mean:

- **Names of people and postal addresses are not found**, nor what somebody tells about health, faith or money: no
  pattern tells them from other words. Nor are bank accounts other than IBANs, national telephone numbers without `+`
  or a label (but for the North American, French and British mobile forms), and secrets that are a plain word in prose.
- What is found is what is written in one of the known forms. An order number can pass a card's check (one in ten of
  those with an issuer's prefix and length does); an unlabelled weak password passes none.
- A hexadecimal digest (git commit, SHA-256, MD5) and a UUID are found only after a secret's label, since agents handle
  far more commits and digests than hexadecimal keys. Random base64 of 32 to 512 characters is found anywhere.
- Loopback and link-local IPv4 addresses, network masks and networks (`10.0.0.0/8`) are left; private addresses are not.
- Digits of any script count as digits, and characters without width are looked through and replaced with the rest.
- A value found by its label is replaced wherever it stands in the same text if it has eight characters and a digit.
- In `redact_value` numbers that are no strings stay: `{"ssn": 123456789}` is not found.
"""

from __future__ import annotations

from .kinds import PERSONAL_KINDS, SECRET_KINDS, Finding, Kind, Redacted
from .replace import redact, redact_value
from .search import find

__all__ = ["PERSONAL_KINDS", "SECRET_KINDS", "Finding", "Kind", "Redacted", "find", "redact", "redact_value"]
