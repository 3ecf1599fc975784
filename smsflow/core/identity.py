"""Personal numbers (IIN), bank accounts (IBAN), phone numbers (MSISDN): parse, and mask for logs and texts.

Only pure functions live here. The two number libraries are imported when first needed: both load tables,
and `smsflow --help` must not wait for them.

>>> parse_msisdn("8 (701) 123-45-67")
'77011234567'
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import product
from math import prod
from string import ascii_uppercase, digits

from smsflow.core.errors import SmsflowError

__all__ = [
    "IDENTITY_REASONS",
    "IdentityError",
    "mask_iban",
    "mask_msisdn",
    "msisdn_of_source",
    "parse_iban",
    "parse_iin",
    "parse_msisdn",
]

IDENTITY_REASONS = {
    "length": "the number of characters is wrong",
    "digits": "something else than the digits 0-9",
    "date": "the first six digits are no date",
    "century": "the seventh digit of an IIN is 0 to 6",
    "check_digit": "the check digit of the IIN does not fit; a digit is mistyped",
    "country": "not an account or a number of Kazakhstan",
    "characters": "a character that cannot stand there",
    "check_digits": "the check digits of the IBAN do not fit; a character is mistyped",
}


class IdentityError(SmsflowError, ValueError):
    """A text that is not an IIN, IBAN or MSISDN: `what` it should be, `reason` from IDENTITY_REASONS.

    The text itself is personal and never part of the error.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"not a valid {self.what}: {IDENTITY_REASONS[self.reason]}"


# --- IIN: YYMMDD C NNNN K (domain.md §3, [I1] [I2]) -----------------------------------------------------

_IIN_WEIGHTS = (
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2),  # "if 10, weights 3,4,5,6,7,8,9,10,11,1,2"
)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _iin_check_digit(stem: str) -> int | None:
    """Return the check digit of eleven digits; None when such a number is never issued."""
    for weights in _IIN_WEIGHTS:
        rest = sum(int(digit) * weight for digit, weight in zip(stem, weights, strict=True)) % 11
        if rest < 10:  # the rule of the check digit
            return rest
    return None


def parse_iin(text: str) -> str:
    """Return the twelve digits of an IIN; blanks around it are dropped, nothing else is forgiven.

    No age is checked; 29 February passes in any year. The eleventh digit weighs 11, so a slip there passes.
    Raises: IdentityError with reason `digits`, `length`, `date`, `century` or `check_digit`.
    """
    iin = text.strip()
    if not iin.isascii() or (iin and not iin.isdigit()):
        raise IdentityError("IIN", "digits")
    if len(iin) != 12:  # "12 digits YYMMDD C NNNN K"
        raise IdentityError("IIN", "length")
    month, day = int(iin[2:4]), int(iin[4:6])
    if not (1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1]):
        raise IdentityError("IIN", "date")
    if iin[6] > "6":
        raise IdentityError("IIN", "century")
    if _iin_check_digit(iin[:11]) != int(iin[11]):
        raise IdentityError("IIN", "check_digit")
    return iin


# --- IBAN: KZ, 2 check digits, 3-digit bank, 13 characters; ISO 7064 mod 97-10 (domain.md §3, [B1] [B2]) ---

_IBAN_LENGTH = 20
_IBAN_DIGITS = slice(2, 7)  # check digits and bank code
_PLAIN_IBAN = re.compile(r"KZ[0-9]{5}[0-9A-Z]{13}")
_IBAN_VALUES = str.maketrans({sign: str(int(sign, 36)) for sign in digits + ascii_uppercase})
_IBAN_JUNK = re.compile(r"[\s.\-‐-―−_,]+")
_COUNTRY_LETTERS = str.maketrans("КҚЗ", "KKZ")
_SAME_LETTERS = str.maketrans("АВЕҚКМНҺРСТХУҮЅЈ", "ABEKKMHHPCTXYYSJ")
_TWO_WAY = {"О": "0O", "З": "3Z", "І": "1I"}  # Cyrillic, for a digit or for a Latin letter
_MOST_VARIANTS = 16  # beyond, a chance hit (1 in 97 each) becomes likely


def _iban_variants(iban: str) -> Iterator[str]:
    """Yield the readings of a cleaned IBAN in which letters that look like digits are decided."""
    choices = [_TWO_WAY.get(sign, sign) for sign in iban]
    if prod(len(choice) for choice in choices) <= _MOST_VARIANTS:
        for signs in product(*choices):
            yield "".join(signs)
        return
    kinds = [sign for sign in _TWO_WAY if sign in iban]  # many of them: each letter means the same everywhere
    for signs in product(*(_TWO_WAY[kind] for kind in kinds)):
        yield iban.translate(str.maketrans("".join(kinds), "".join(signs)))


def _holds(iban: str) -> bool:
    """Return whether schwifty finds structure and check digits right; an unknown bank is no fault."""
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException

    try:
        IBAN(iban)
    except SchwiftyException:
        return False
    return True


def _clean_iban(text: str) -> str:
    """Return the text in upper case without blanks, dots and dashes, Cyrillic look-alikes mapped; Raises."""
    shown = "".join(sign for sign in text if unicodedata.category(sign) not in {"Cf", "Cc", "Mn"})
    joined = _IBAN_JUNK.sub("", unicodedata.normalize("NFKC", shown)).upper()
    if len(joined) < 2:  # no country yet
        raise IdentityError("IBAN", "length")
    if joined[:2].translate(_COUNTRY_LETTERS) != "KZ":
        raise IdentityError("IBAN", "country")
    iban = "KZ" + joined[2:].translate(_SAME_LETTERS)
    if not all((sign.isascii() and sign.isalnum()) or sign in _TWO_WAY for sign in iban):
        raise IdentityError("IBAN", "characters")
    if len(iban) != _IBAN_LENGTH:
        raise IdentityError("IBAN", "length")
    return iban


def _is_plain_iban(text: str) -> bool:
    """Return whether the text is an IBAN as it stands, by the same rules as `_holds` in a tenth of the time."""
    if not _PLAIN_IBAN.fullmatch(text):
        return False
    number = int((text[4:] + "KZ00").translate(_IBAN_VALUES))
    return int(text[2:4]) == 98 - number % 97  # ISO 7064 mod 97-10


def parse_iban(text: str) -> str:
    """Return the twenty characters of a Kazakh IBAN, in upper case, without blanks, dots and dashes.

    Cyrillic look-alikes become Latin. `О`, `З` and `І` may be a digit or a letter (so may a Latin `O` that
    does not hold as it stands): the only variant whose check digits hold is taken.
    Raises: IdentityError with reason `length`, `country`, `characters` or `check_digits`.
    """
    if _is_plain_iban(text):
        return text
    iban = _clean_iban(text)
    if iban.isascii() and iban[_IBAN_DIGITS].isdigit() and _holds(iban):
        return iban
    iban = iban.replace("O", "О")
    numeric = iban[_IBAN_DIGITS].translate(str.maketrans("ОЗІ", "031"))
    if not (numeric.isascii() and numeric.isdigit()):
        raise IdentityError("IBAN", "characters")
    good = {variant for variant in _iban_variants(iban[:2] + numeric + iban[7:]) if _holds(variant)}
    if len(good) != 1:
        raise IdentityError("IBAN", "check_digits")
    return good.pop()


def mask_iban(iban: str) -> str:
    """Return `*` and the last four characters: all of an account that a text or a log may show."""
    return "*" + iban[-4:]


# --- MSISDN: 7 and ten digits (domain.md §3, [T1] [T2]) -------------------------------------------------

_MSISDN = re.compile(r"7[067][0-9]{9}")  # the plan gives KZ the ranges +7 0, +7 6, +7 7; finer lists go stale
_PHONE_SIGNS = re.compile(r"[0-9+() .\-/\s]*")
_LONGEST_PHONE = 40  # characters, with every blank and bracket


def _parse_phone(text: str) -> str:
    """Return what phonenumbers makes of a text of digits and signs, as country code and number; Raises."""
    import phonenumbers

    national = re.sub(r"[^0-9+]", "", text)
    if national.startswith("00"):
        national = "+" + national[2:]  # the usual international prefix; Kazakhstan's own is 8~10
    try:
        number = phonenumbers.parse(national, "KZ")
    except phonenumbers.NumberParseException:
        raise IdentityError("MSISDN", "length") from None
    if number.country_code != 7:  # Kazakhstan and Russia
        raise IdentityError("MSISDN", "country")
    if not phonenumbers.is_possible_number(number):
        raise IdentityError("MSISDN", "length")
    return f"{number.country_code}{number.national_number:010d}"


def parse_msisdn(text: str) -> str:
    """Return a phone number of Kazakhstan in canonical form, `77011234567`.

    Accepts +7…, 7…, 8…, 007…, 8 10 7… and ten digits, with blanks, dots, dashes, slashes and brackets.
    Raises: IdentityError with reason `characters`, `length` or `country`.
    """
    shown = "".join(sign for sign in text[: 2 * _LONGEST_PHONE] if unicodedata.category(sign) != "Cf")
    plain = re.sub(r"[‐-―−]", "-", unicodedata.normalize("NFKC", shown)).strip()
    if not plain or len(plain) > _LONGEST_PHONE:
        raise IdentityError("MSISDN", "length")
    if not _PHONE_SIGNS.fullmatch(plain) or "+" in plain.lstrip("( ")[1:]:
        raise IdentityError("MSISDN", "characters")
    msisdn = _parse_phone(plain)
    if not _MSISDN.fullmatch(msisdn):
        raise IdentityError("MSISDN", "country")
    return msisdn


def msisdn_of_source(addr: str) -> str | None:
    """Return the canonical number behind an SMPP source_addr of any type of number; None if it is no phone.

    SMPP v3.4 §5.2.5 leaves the form to the carrier: `77011234567`, `+77011234567` and `87011234567` are seen.
    """
    if _MSISDN.fullmatch(addr):
        return addr
    try:
        return parse_msisdn(addr)
    except IdentityError:
        return None


def mask_msisdn(msisdn: str) -> str:
    """Return a number without its middle, `7701***4567`; anything that is not canonical is hidden."""
    return f"{msisdn[:4]}***{msisdn[-4:]}" if _MSISDN.fullmatch(msisdn) else "***"
