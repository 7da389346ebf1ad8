"""The published examples of each check, and that one wrong digit is noticed."""

import pytest

from steprouter.redaction import checksums

EXAMPLES = [
    (checksums.is_luhn, "79927398713"),
    (checksums.is_card, "4111111111111111"),
    (checksums.is_card, "2223003122003222"),
    (checksums.is_iban, "DE89370400440532013000"),
    (checksums.is_iban, "MT84MALT011000012345MTLCAST001S"),
    (checksums.is_dni, "12345678Z"),
    (checksums.is_dni, "Y1234567X"),
    (checksums.is_german_tax_id, "47036892816"),
    (checksums.is_german_tax_id, "65929970489"),
    (checksums.is_bsn, "123456782"),
    (checksums.is_cpf, "11144477735"),
    (checksums.is_verhoeff, "2363"),
    (checksums.is_aadhaar, "234123412346"),
    (checksums.is_fiscal_code, "RSSMRA85T10A562S"),
    (checksums.is_nir, "255081416802538"),
]


@pytest.mark.parametrize(("check", "number"), EXAMPLES)
def test_a_published_example_passes_its_check(check, number):
    assert check(number)


@pytest.mark.parametrize(("check", "number"), EXAMPLES)
def test_one_wrong_digit_fails_the_check(check, number):
    for place, sign in enumerate(number):
        if sign.isdigit():
            wrong = number[:place] + str((int(sign) + 1) % 10) + number[place + 1 :]
            assert not check(wrong)


@pytest.mark.parametrize("number", ["000123456", "666123456", "900123456", "123001234", "123450000", "078051120"])
def test_a_social_security_number_never_given_out_is_none(number):
    assert not checksums.is_ssn(number)


@pytest.mark.parametrize("number", ["00000000000", "11111111111"])
def test_a_taxpayer_number_of_one_digit_is_none(number):
    assert not checksums.is_cpf(number)
