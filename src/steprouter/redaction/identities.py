"""Numbers given to a person: cards, accounts, national ids, documents, the date of birth.

National ids are found only where a published check tells them from other numbers, and bare digits (German tax id,
Dutch BSN, ungrouped CPF and Aadhaar) only after a label: one in ten or eleven order numbers passes their check.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import checksums
from .kinds import Kind
from .shape import LABELLED, Shape, Span, value_if, value_span

BEFORE = r"(?<![\w.+-])"
AFTER = r"(?!\w|[.,:-][0-9])"

CARD = re.compile(
    BEFORE + r"(?:[0-9]{4}(?P<sep>[ -])[0-9]{4}(?P=sep)[0-9]{4}(?P=sep)[0-9]{4}"
    r"|[0-9]{4}(?P<six>[ -])[0-9]{6}(?P=six)[0-9]{4,5}+"
    r"|[0-9]{4}(?P<three>[ -])[0-9]{3}(?P=three)[0-9]{3}(?P=three)[0-9]{3}"
    r"|[0-9]{14,19}+)" + AFTER
)
LONG_CARD = re.compile(
    BEFORE + r"(?:[0-9]{4}(?P<sep>[ -])(?:[0-9]{4}(?P=sep)){3}[0-9]{1,3}+|[0-9]{6}[ -][0-9]{13})" + AFTER
)
LABELLED_CARD = re.compile(
    r"(?i:card|visa|karte|tarjeta|carte)(?i:[ _-]?(?:number|num|no|nr)\b)?\.?"
    + LABELLED
    + r"(?P<value>[0-9]{13})"
    + AFTER
)
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}+")
SSN = re.compile(r"(?<![\w.+-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-]|\.[0-9])")
LABELLED_SSN = re.compile(
    r"(?<![A-Za-z])(?i:ssn|social[ _-]security)(?i:[ _-]?(?:number|num|no)\b)?\.?"
    + LABELLED
    + r"(?P<value>[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4})"
    + AFTER
)
DNI = re.compile(r"(?<![\w.+-])(?:[0-9]{8}|[XYZxyz]-?[0-9]{7})-?[A-HJ-NP-TV-Za-hj-np-tv-z](?![\w-])")
CPF = re.compile(r"(?<![\w.+-])[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![\w-])")
AADHAAR = re.compile(r"(?<![\w.+-])(?<![0-9][ -])[2-9][0-9]{3}(?P<sep>[ -])[0-9]{4}(?P=sep)[0-9]{4}(?!\w|[ .,:-][0-9])")
FISCAL_CODE = re.compile(r"(?<![\w-])(?i:[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z])(?![\w-])")
NIR = re.compile(
    r"(?<![\w.+-])[12](?P<sep>[ ]?)[0-9]{2}(?P=sep)(?:0[1-9]|1[0-2])(?P=sep)(?:[0-9]{2}|2[AB])"
    r"(?P=sep)[0-9]{3}(?P=sep)[0-9]{3}(?P=sep)[0-9]{2}" + AFTER
)
LABELLED_ID = re.compile(
    r"(?<![A-Za-z])(?i:(?P<tax>steuer(?:liche )?-?[ _]?(?:id(?:entifikationsnummer|nr)?|identnummer)|idnr|tax[ _-]?id)"
    r"|(?P<bsn>bsn|burgerservicenummer|sofinummer)|(?P<cpf>cpf)|(?P<aadhaar>aadhaar|uidai))"
    r"(?i:[ _-]?(?:number|num|no|nr|nummer)\b)?\.?" + LABELLED + r"(?P<value>[0-9](?:[ ./-]?[0-9]){7,11}+)" + AFTER
)
DOCUMENT = re.compile(
    r"(?<![A-Za-z])(?i:passport|pasaporte|reisepass|passeport|driv(?:er'?s?|ing)[ _-]licen[cs]e|führerschein"
    r"|personalausweis|identity[ _-]card|id[ _-]card)(?:nummer|(?i:[ _-]?(?:number|num|no|nr|id)\b))?\.?"
    + LABELLED
    + r"(?P<value>[A-Za-z0-9](?:-?[A-Za-z0-9]){5,18}+)(?!\w|[.,:-][0-9])"
)
MONTHS = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}+"
DATE = (
    r"(?:[0-9]{4}[-/.][0-9]{1,2}+[-/.][0-9]{1,2}+|[0-9]{1,2}+[-/.][ ]?[0-9]{1,2}+[-/.][ ]?(?:[0-9]{4}|[0-9]{2})"
    rf"|[0-9]{{1,2}}+(?:[snrt][tdh]|\.)?[ ]{MONTHS}\.?,?[ ][0-9]{{4}}"
    rf"|{MONTHS}\.?[ ][0-9]{{1,2}}+(?:[snrt][tdh])?,?[ ][0-9]{{4}}|[0-9]{{8}})"
)
BIRTH = re.compile(
    r"(?<![A-Za-z])(?i:date[ _-]of[ _-]birth|d\.?o\.?b\.?|birth[ _-]?(?:date|day)|born(?: on)?|fecha de nacimiento"
    r"|geburtsdatum|geboren am|date de naissance|née? le|data di nascita|data de nascimento|geboortedatum)"
    + LABELLED
    + rf"(?P<value>{DATE})(?![0-9]|[.-][0-9])"
)


def compact(text: str) -> str:
    """Only the letters and digits, as capitals."""
    return re.sub("[^0-9A-Z]", "", text.upper())


def iban_span(match: re.Match[str]) -> Span | None:
    """As many characters as the country's accounts have, in groups of four or none, if the check holds."""
    text = match[0]
    length = checksums.IBAN_LENGTHS.get(text[:2].upper(), 0)
    places = [place for place, sign in enumerate(text) if sign.isalnum()][:length]
    if not length or len(places) < length:
        return None
    value = text[: places[-1] + 1]
    rest = match.string[match.start() + len(value) :][:1] if len(value) < 64 else ""
    groups = re.split("[ -]", value)
    grouped = len(groups) == 1 or (value.isupper() and all(len(group) == 4 for group in groups[:-1]))
    has_digits = sum(sign.isdigit() for sign in value) >= 8
    if rest.isalnum() or not grouped or not has_digits or not checksums.is_iban(compact(value)):
        return None
    return match.start(), match.start() + len(value)


def labelled_id_span(match: re.Match[str]) -> Span | None:
    """The number, if it passes the check that its label asks for."""
    digits = compact(match["value"])
    if match["tax"]:
        valid = len(digits) == 11 and checksums.is_german_tax_id(digits)
    elif match["bsn"]:
        valid = len(digits) in {8, 9} and checksums.is_bsn(digits.zfill(9))
    elif match["cpf"]:
        valid = len(digits) == 11 and checksums.is_cpf(digits)
    else:
        valid = len(digits) == 12 and checksums.is_aadhaar(digits)
    return value_span(match) if valid else None


def checked(kind: Kind, pattern: re.Pattern[str], check: Callable[[str], bool], *hints: str) -> Shape:
    """A shape whose letters and digits must pass a check."""
    return Shape(kind=kind, pattern=pattern, extent=value_if(lambda text: check(compact(text))), hints=hints)


def is_document_number(text: str) -> bool:
    """At least five digits and at most twenty characters, so that a word after the label is not taken."""
    return sum(sign.isdigit() for sign in text) >= 5


IDENTITY_SHAPES = (
    checked(Kind.CREDIT_CARD, CARD, checksums.is_card),
    checked(Kind.CREDIT_CARD, LONG_CARD, checksums.is_card),
    checked(Kind.CREDIT_CARD, LABELLED_CARD, checksums.is_card, "card", "visa", "karte", "tarjeta", "carte"),
    Shape(kind=Kind.IBAN, pattern=IBAN, extent=iban_span),
    checked(Kind.US_SSN, SSN, checksums.is_ssn, "-"),
    checked(Kind.US_SSN, LABELLED_SSN, checksums.is_ssn, "ssn", "social"),
    checked(Kind.NATIONAL_ID, DNI, checksums.is_dni),
    checked(Kind.NATIONAL_ID, CPF, checksums.is_cpf, "-"),
    checked(Kind.NATIONAL_ID, AADHAAR, checksums.is_aadhaar),
    checked(Kind.NATIONAL_ID, FISCAL_CODE, checksums.is_fiscal_code),
    checked(Kind.NATIONAL_ID, NIR, checksums.is_nir),
    Shape(
        kind=Kind.NATIONAL_ID,
        pattern=LABELLED_ID,
        extent=labelled_id_span,
        hints=("steuer", "idnr", "tax", "bsn", "burger", "sofi", "cpf", "aadhaar", "uidai"),
    ),
    Shape(
        kind=Kind.IDENTITY_DOCUMENT,
        pattern=DOCUMENT,
        extent=value_if(is_document_number),
        hints=("pass", "pasap", "licen", "führer", "ausweis", "card"),
    ),
    Shape(
        kind=Kind.DATE_OF_BIRTH,
        pattern=BIRTH,
        hints=("birth", "dob", "d.o", "do.b", "born", "nacimiento", "geb", "naissance", "né", "nasc"),
    ),
)
"""How numbers given to a person are written."""
