"""Check digits: the published arithmetic that tells a card or identity number from an order number.

All take ASCII digits and capital letters without separators; the caller has matched the form.
"""

from __future__ import annotations

IBAN_LENGTHS = {
    code[:2]: int(code[2:])
    for code in (  # noqa: SIM905 - a list has a line for each country
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
        "EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 "
        "KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 "
        "PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 "
        "UA29 VA22 VG24 XK20 YE30"
    ).split()
}
"""Characters of an IBAN by country (ISO 13616 registry, kept by SWIFT)."""

CARD_LENGTHS: tuple[tuple[int, int, int, range], ...] = (
    (1, 4, 4, range(13, 20, 3)),  # Visa: 13, 16, 19
    (2, 34, 34, range(15, 16)),  # American Express
    (2, 37, 37, range(15, 16)),
    (2, 36, 36, range(14, 20)),  # Diners Club
    (2, 38, 39, range(14, 20)),
    (3, 300, 305, range(14, 20)),
    (2, 51, 55, range(16, 17)),  # Mastercard
    (4, 2221, 2720, range(16, 17)),
    (4, 2200, 2204, range(16, 20)),  # Mir
    (4, 3528, 3589, range(16, 20)),  # JCB
    (4, 6011, 6011, range(16, 20)),  # Discover
    (3, 644, 649, range(16, 20)),
    (2, 65, 65, range(16, 20)),
    (2, 62, 62, range(16, 20)),  # UnionPay
    (4, 6759, 6759, range(13, 20)),  # Maestro, its common prefixes
    (4, 6761, 6763, range(13, 20)),
    (4, 5018, 5018, range(13, 20)),
    (4, 5020, 5020, range(13, 20)),
    (4, 5038, 5038, range(13, 20)),
    (4, 6304, 6304, range(13, 20)),
)
"""Prefix length, first and last prefix, numbers of digits (ISO/IEC 7812 issuer ranges as the schemes publish them)."""

VERHOEFF_PRODUCTS = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
VERHOEFF_PERMUTATIONS = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
FISCAL_TENS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
FISCAL_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (*FISCAL_TENS, *FISCAL_TENS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)


def is_luhn(digits: str) -> bool:
    """The check of payment cards (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(two - 9 * (two > 9) for two in doubled)) % 10 == 0


def is_card(digits: str) -> bool:
    """A payment card: an issuer's prefix, a length that issuer uses, and the Luhn check."""
    known = any(
        first <= int(digits[:size]) <= last and len(digits) in sizes for size, first, last, sizes in CARD_LENGTHS
    )
    return known and is_luhn(digits)


def is_iban(text: str) -> bool:
    """An account number of ISO 13616: the country's length and the remainder 1 of ISO 7064 mod 97-10."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """A US social security number that can have been given out (SSA, "Randomization", ranges never used)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    # Two that were printed in advertisements and void since.
    if digits in {"078051120", "219099999"}:
        return False
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def is_dni(text: str) -> bool:
    """A Spanish DNI or NIE: its letter is the remainder by 23 (Real Decreto 1553/2005; Orden INT/2058/2008)."""
    number = text[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return DNI_LETTERS[int(number) % 23] == text[-1]


def is_german_tax_id(digits: str) -> bool:
    """A German tax id: ISO 7064 mod 11,10 and one digit repeated (BZSt, "Aufbau der Identifikationsnummer")."""
    head = digits[:10]
    repeats = sorted(head.count(digit) for digit in set(head))
    if head[0] == "0" or repeats[-1] not in {2, 3} or repeats[:-1] != [1] * (len(repeats) - 1):
        return False
    product = 10
    for digit in head:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_bsn(digits: str) -> bool:
    """A Dutch citizen number, by the eleven test (RvIG, "Burgerservicenummer")."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return digits != "000000000" and sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % 11 == 0


def is_cpf(digits: str) -> bool:
    """A Brazilian CPF: two digits by remainder 11 (Receita Federal, Instrução Normativa 1548/2015)."""
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        total = sum((size + 1 - place) * int(digit) for place, digit in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return True


def is_verhoeff(digits: str) -> bool:
    """Verhoeff's check by the dihedral group of order ten ("Error detecting decimal codes", 1969)."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(VERHOEFF_PRODUCTS[check][int(VERHOEFF_PERMUTATIONS[place % 8][int(digit)])])
    return check == 0


def is_aadhaar(digits: str) -> bool:
    """An Indian Aadhaar number: Verhoeff's check, never 0 or 1 in front (UIDAI, "Aadhaar numbering scheme")."""
    return digits[0] not in "01" and len(set(digits)) > 2 and is_verhoeff(digits)


def is_fiscal_code(text: str) -> bool:
    """An Italian codice fiscale, by its check letter (Decreto ministeriale 12 March 1974)."""
    total = sum(
        FISCAL_ODD[sign] if place % 2 == 0 else int(sign) if sign.isdigit() else ord(sign) - ord("A")
        for place, sign in enumerate(text[:15])
    )
    return chr(ord("A") + total % 26) == text[15]


def is_nir(text: str) -> bool:
    """A French social security number, by its key of 97 less the remainder (INSEE, "Numéro d'inscription")."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])
