"""IIN, IBAN and MSISDN: the values of domain.md §3, and what must be refused."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsflow.core.identity import (
    IDENTITY_REASONS,
    IdentityError,
    mask_iban,
    mask_msisdn,
    msisdn_of_source,
    parse_iban,
    parse_iin,
    parse_msisdn,
)

IBAN = "KZ86125KZT5004100100"


@pytest.mark.parametrize("iin", ["950101200109", "950101200002", "991231500006", "991231600002"])
def test_published_iin_is_taken(iin):
    """Both passes of the check digit, and newborns of 2099."""
    assert iin == parse_iin(f" {iin}\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("95010120010", "length"),
        ("9501012001090", "length"),
        ("95010120010x", "digits"),
        ("950101 200109", "digits"),
        ("９50101200109", "digits"),
        ("951301200109", "date"),
        ("950100200109", "date"),
        ("950230200109", "date"),
        ("950101700109", "century"),
        ("950101200108", "check_digit"),
        ("950110200109", "check_digit"),
        *((f"95010120004{digit}", "check_digit") for digit in range(10)),  # a stem that is never issued
    ],
)
def test_wrong_iin_is_refused_with_its_reason(text, reason):
    """Every reason has a text that earns it; the error does not show the number."""
    with pytest.raises(IdentityError) as caught:
        parse_iin(text)

    assert reason == caught.value.reason
    assert text.strip() not in str(caught.value) or not text


@settings(deadline=None, derandomize=True)
@given(st.sampled_from([*range(10), 11]), st.integers(0, 9))
def test_one_wrong_digit_is_noticed(place, digit):
    """No single slip turns a valid IIN into another, but in the eleventh digit, whose weight is 11."""
    iin = "950101200109"
    other = iin[:place] + str(digit) + iin[place + 1 :]

    if other != iin:
        with pytest.raises(IdentityError):
            parse_iin(other)


@pytest.mark.parametrize(
    "text",
    [
        IBAN,
        IBAN.lower(),
        "KZ86 125K ZT50 0410 0100",
        "KZ86-125K-ZT50-0410-0100",
        "KZ86.125.KZT.5004100100",
        "\u200bKZ86\u00a0125KZT5004100100",
        "КЗ86125КЗТ5004100100",
        "Кz86125кzт5004100100",
        "ҚЗ86125KZT5004100100",
        "KZ86125KZT5ОО41ОО1ОО",
        "KZ86125KZT5OO41OO1OO",
        "KZ86125KZT5о04100100",
        "KZ86І25KZT5004І00І00",
        "ＫＺ86125KZT5004100100",
    ],
)
def test_iban_is_taken_in_every_spelling(text):
    """Blanks, case, dots, dashes and Cyrillic look-alikes do not matter."""
    assert parse_iban(text) == IBAN


def _with_check_digits(bban):
    """The IBAN of Kazakhstan around `bban`, by ISO 7064 mod 97-10, written here anew."""
    number = int("".join(str(int(sign, 36)) for sign in bban + "KZ00"))
    return f"KZ{98 - number % 97:02d}{bban}"


@settings(deadline=None, derandomize=True)
@given(st.text("0123456789ABCXYZ", min_size=13, max_size=13), st.sampled_from(["125", "000", "999", "1A5"]))
def test_plain_iban_is_judged_as_any_other(rest, bank):
    """What is canonical already is judged without the library, and alike for each of the hundred check digits."""
    held = []
    for check in range(100):
        iban = f"KZ{check:02}{bank}{rest}"
        outcomes = {_outcome(iban), _outcome(iban.lower()), _outcome(f"{iban[:4]} {iban[4:]}")}
        assert len(outcomes) == 1, iban
        held += [iban for outcome in outcomes if outcome == iban]

    assert held == ([_with_check_digits(bank + rest)] if bank.isdigit() else [])


def _outcome(text):
    try:
        return parse_iban(text)
    except IdentityError as error:
        return error.reason


def test_unknown_bank_is_taken():
    """The list of banks changes; the check digits decide."""
    iban = _with_check_digits("9990000000000001")

    assert iban == parse_iban(iban)


@pytest.mark.parametrize("bban", ["125OOOO00000OOOO", "125O0O0O0O0O0O0O", "1250000000000O00"])
def test_latin_letter_o_is_kept_where_it_holds(bban):
    """A true O of an account never becomes a zero."""
    iban = _with_check_digits(bban)

    assert iban == parse_iban(iban)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("K", "length"),
        ("KZ", "length"),
        (IBAN[:-1], "length"),
        (IBAN + "0", "length"),
        ("86125KZT5004100100", "country"),
        ("DE89370400440532013000", "country"),
        ("KZ86125KЩT5004100100", "characters"),
        ("KZ86125K+T5004100100", "characters"),
        ("KZ8612AKZT5004100100", "characters"),
        ("KZ87125KZT5004100100", "check_digits"),
        ("KZ86125KZT5004100010", "check_digits"),
        ("KZ86125KZT5ОО41ОО1О1", "check_digits"),
        ("KZ83125О91417О76О17О", "check_digits"),  # …О91417076017О and …091417076О170 both hold: nobody guesses
        ("\ud800" * 20, "country"),
    ],
)
def test_wrong_iban_is_refused_with_its_reason(text, reason):
    """Every reason has a text that earns it."""
    with pytest.raises(IdentityError) as caught:
        parse_iban(text)

    assert reason == caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "77011234567",
        "+77011234567",
        "87011234567",
        "7011234567",
        "0077011234567",
        "007 701 123 45 67",
        "8 10 7 701 123 45 67",
        "+7 (701) 123-45-67",
        "8-701-123-45-67",
        "8(701)1234567",
        " 8 701 123‑45‑67\u200b",
        "+7.701.123.45.67",
        "７7011234567",
    ],
)
def test_phone_number_has_one_canonical_form(text):
    """However it is written, it is stored as 7 and ten digits."""
    assert parse_msisdn(text) == "77011234567"
    assert msisdn_of_source(text) == "77011234567"


@pytest.mark.parametrize("text", ["77711234567", "77471234567", "76001234567", "70001234567"])
def test_ranges_of_kazakhstan_may_grow(text):
    """+7 0, +7 6 and +7 7 are taken whole; no list of operators."""
    assert text == parse_msisdn("+" + text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("1414", "length"),
        ("770112345678", "length"),
        ("7" * 200, "length"),
        ("()", "length"),
        ("KAZINFO", "characters"),
        ("8701CALLNOW", "characters"),
        ("+7701+1234567", "characters"),
        ("+79161234567", "country"),
        ("89161234567", "country"),
        ("+14155550100", "country"),
    ],
)
def test_wrong_phone_number_is_refused_with_its_reason(text, reason):
    """A short number, a name and a foreign number are no mother's phone."""
    with pytest.raises(IdentityError) as caught:
        parse_msisdn(text)

    assert reason == caught.value.reason
    assert msisdn_of_source(text) is None


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    """Only IdentityError, with a documented reason; what is accepted is accepted again as it stands."""
    for parse in (parse_iin, parse_iban, parse_msisdn):
        value, reason = _value_or_reason(parse, text)

        assert reason in {None, *IDENTITY_REASONS}
        assert value is None or value == parse(value)


def _value_or_reason(parse, text):
    try:
        return parse(text), None
    except IdentityError as error:
        return None, error.reason


def test_masks_show_the_ends_only():
    """Enough to recognise one's own, not enough to use."""
    assert mask_iban(IBAN) == "*0100"
    assert mask_msisdn("77011234567") == "7701***4567"
    assert mask_msisdn("KAZINFO") == "***"


def test_number_libraries_load_late():
    """Importing the module loads neither schwifty nor phonenumbers."""
    code = "import sys, smsflow.core.reply; print({'schwifty', 'phonenumbers'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "set()\n"
