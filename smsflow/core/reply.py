"""What a mother wrote -> a `Reading`; a reading against a `Question` -> an `Answer`, or a `Misread` and why.

The grammar is design.md §3 and domain.md §1a: "the answer begins with the Latin letter R, then digits
separated by blanks"; a valid reply = a printed address + the missing part. Every departure that is forgiven
has a name in COERCIONS, every refusal one in REASONS. Coercion applies before and inside the digit zone, never
inside a name. False accepts are worse than rejects. Nothing here raises for any text; all of it is linear.

>>> question = Question(Kind.CHOICE, addresses=("112",), codes=("1", "2"))
>>> answer(read("р112 1"), question, bare=False)
Answer(value='1', also=None, coercions=('missing_blank', 'r_lookalike'))
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from smsflow.core.identity import IdentityError, parse_iban
from smsflow.core.names import (
    fold_words,
    has_patronymic,
    is_plain_name,
    is_surname,
    looks_like_name,
    parse_name,
    sounds_lost,
)

__all__ = [
    "COERCIONS",
    "REASONS",
    "TEXT_MAX",
    "Answer",
    "Keyword",
    "Kind",
    "Misread",
    "Question",
    "Reading",
    "answer",
    "is_before_name",
    "may_answer",
    "read",
    "spell",
]

TEXT_MAX = 500
"""Most characters of a free text; also how far the end of a text is searched for thanks and signatures."""

COERCIONS = {
    "leading": "something before the R: a blank, quote, bracket, mark, byte order mark",
    "lower_r": "r for R",
    "r_lookalike": "a letter that looks like R, sounds like it or shares its key: Р К Я Г Ｒ ®",
    "no_r": "the whole address and the answer, without R",
    "bare": "the answer alone, without R and address",
    "word": "a word for a code: ИӘ ЖОҚ ДА НЕТ YES NO",
    "missing_blank": "no blank between R and digits, or between digits: R112",
    "extra_blank": "doubled or trailing blanks",
    "line_break": "a line break for a blank",
    "tab": "a tab for a blank",
    "unicode_blank": "a non-breaking or other Unicode blank",
    "zero_width": "an invisible sign",
    "control": "a control character",
    "dot": "dots among or after the digits",
    "comma": "commas among or after the digits",
    "dash": "dashes among or after the digits",
    "slash": "slashes or strokes among or after the digits",
    "colon": "colons or semicolons among or after the digits",
    "underscore": "underscores among or after the digits",
    "star": "stars or hashes among or after the digits",
    "at_sign": "an @ among or after the digits: the NUL that some message centres end a text with reads so",
    "quote": "quotation marks among or after the digits",
    "bracket": "brackets among or after the digits",
    "digit_letter": "a letter that looks like a digit: О З І l б Ч",
    "digit_shape": "a digit of another script or shape: full-width, circled, raised",
    "keycap": "a keycap emoji",
    "courtesy": "thanks or another courtesy at the end",
    "signature": "a handset's signature at the end",
    "trailing_mark": "an exclamation mark or an ellipsis at the end",
    "name_spelling": "blanks, quotes or marks around or between the words of a name or a text",
    "iban_label": "IBAN, ИИК, счет, шот before the account",
    "iban_spelling": "blanks, lower case or Cyrillic look-alikes in an IBAN",
}

REASONS = {
    "keyword": "the text is STOP or HELP, not an answer; the caller looks at `Reading.keyword` first",
    "empty": "nothing but blanks and marks",
    "no_r": "no R, and not an answer that can do without",
    "no_digits": "R without digits",
    "wrong_address": "the digits are not those of this question",
    "incomplete": "the right beginning, but the answer is missing",
    "not_offered": "the right address, a code that was not offered",
    "too_many_digits": "an answer, and more digits after it",
    "two_replies": "more than one reply in one text",
    "ambiguous": "two readings with different answers are possible",
    "extra_text": "an answer, and words after it that are no courtesy",
    "bad_name": "not two or three words in Cyrillic that can be a name",
    "bad_iban": "not an IBAN of Kazakhstan with right check digits",
    "bad_digits": "too few digits",
    "bad_text": "no letter in it, or nothing but thanks",
    "too_long": "a text longer than can be an answer",
    "strict": "understood, but this question takes only the exact spelling",
}


class Kind(Enum):
    """What a question asks for."""

    CHOICE = "choice"
    NAME = "name"
    IBAN = "iban"
    TEXT = "text"
    DIGITS = "digits"


class Keyword(Enum):
    """A whole text that is a command."""

    STOP = "stop"
    HELP = "help"


class Reading(NamedTuple):
    """A raw text, read once, independent of any question.

    `digits` are those of the digit zone (after R, or at the beginning), joined; `coercions` sorted names.
    `ends[i]` is the position after digit i; `rest` where other than separators begins (or the length).
    """

    text: str
    keyword: Keyword | None
    has_r: bool
    digits: str
    coercions: tuple[str, ...]
    ends: tuple[int, ...]
    rest: int
    found: tuple[tuple[str, int], ...] = ()  # coercions with the position where each was first seen
    spaced: bool = True  # only blanks, or nothing, between the digits
    genuine: bool = True  # at least one digit that is not a look-alike letter

    def after(self, n: int) -> str:
        """Return the raw text that follows the first n digits, separators on its left dropped."""
        return self.text[self.start_after(n) :]

    def start_after(self, n: int) -> int:
        """Return the position of `after(n)` in the text."""
        if n == 0:
            return self.ends[0] - 1 if self.ends else self.rest
        position = self.ends[n - 1]
        while position < len(self.text) and _separator(self.text[position]) not in _KEPT_BEFORE_TEXT:
            position += 1
        return position


@dataclass(frozen=True, slots=True)
class Question:
    """What is needed to recognise an answer: `addresses` joined digits, newest last; see `Kind`.

    `codes` (CHOICE) are prefix-free. `yes_no`: codes 1 and 2, and their words. `with_iban`: codes after which
    an IBAN may follow. `length` (DIGITS): least and most digits. `strict`: only what `spell` makes.
    `other_words` (NAME): what a bare name may not hold, see `looks_like_name`.
    """

    kind: Kind
    addresses: tuple[str, ...]
    codes: tuple[str, ...] = ()
    yes_no: bool = False
    with_iban: tuple[str, ...] = ()
    length: tuple[int, int] = (1, 10)
    strict: bool = False
    other_words: frozenset[str] = frozenset()


class Answer(NamedTuple):
    """The code, digits or cleaned text that was answered; `also` the IBAN that followed a code."""

    value: str
    also: str | None
    coercions: tuple[str, ...]


class Misread(NamedTuple):
    """Why a reading is no answer to a question: a name from REASONS, and where in the text (0-based)."""

    reason: str
    position: int


def spell(digits: str, text: str = "") -> str:
    """Return the canonical spelling of a reply: `spell("112", "Ким Анна")` is `R 1 1 2 Ким Анна`."""
    return " ".join(("R", *digits, text)) if text else " ".join(("R", *digits))


# --- characters -----------------------------------------------------------------------------------------

_SEPARATORS: dict[str, str] = {
    **dict.fromkeys("\n\r\x0b\x0c\x85\u2028\u2029", "line_break"),
    **dict.fromkeys(".…·•∙。", "dot"),
    **dict.fromkeys(",،、", "comma"),
    **dict.fromkeys("-−~", "dash"),
    **dict.fromkeys("/\\", "slash"),
    **dict.fromkeys(":;", "colon"),
    **dict.fromkeys("*#", "star"),
    **dict.fromkeys("\"'`´ʼ«»‘’‚‛“”„‟‹›", "quote"),
    **dict.fromkeys("()[]{}<>", "bracket"),
    "_": "underscore",
    "@": "at_sign",
    "\t": "tab",
    " ": "blank",
}
_SEPARATOR_CATEGORIES = {"Zs": "unicode_blank", "Cf": "zero_width", "Cc": "control", "Pd": "dash"}
_BLANKS = frozenset({"blank", "line_break", "tab", "unicode_blank", "zero_width", "control"})
_KEPT_BEFORE_TEXT = (None, "quote", "bracket", "at_sign")
_KEYCAP = "\ufe0f\u20e3"  # what turns a digit into a keycap emoji
_DIGIT_LETTERS = dict(zip("ОоOoЗзІіIil|ӀӏбЧч", "00003311111111644", strict=True))
_R_LIKE = frozenset("РрКкЯяГг®")


def _separator(sign: str) -> str | None:
    """Return the coercion that a separating character stands for (`blank` for U+0020), or None."""
    name = _SEPARATORS.get(sign)
    if name or sign.isalnum():
        return name
    if "\ufe00" <= sign <= "\ufe0f" or sign == "\u20e3":
        return "zero_width"
    name = _SEPARATOR_CATEGORIES.get(unicodedata.category(sign))
    return name or _SEPARATORS.get(unicodedata.normalize("NFKC", sign))


def _digit(sign: str) -> tuple[str, str | None] | None:
    """Return the digit that a character is or looks like, and the coercion; None when it is neither."""
    if "0" <= sign <= "9":
        return sign, None
    letter = _DIGIT_LETTERS.get(sign)
    if letter:
        return letter, "digit_letter"
    value = unicodedata.digit(sign, None)
    return None if value is None else (str(value), "digit_shape")


def _r_coercion(sign: str) -> str | None:
    """Return how a character reads as R: `` for itself, else a coercion; None when it does not."""
    if sign in "Rr":
        return "" if sign == "R" else "lower_r"
    if sign in _R_LIKE or unicodedata.normalize("NFKC", sign) in {"R", "r"}:
        return "r_lookalike"
    return None


# --- the digit zone -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Zone:
    """The digit zone while it is being read; `found` keeps the first position of each coercion."""

    text: str
    position: int
    digits: list[str]
    ends: list[int]
    found: dict[str, int]
    spaced: bool = True
    genuine: bool = False

    def note(self, name: str | None, position: int) -> None:
        if name:
            self.found.setdefault(name, position)


def _skip_separators(text: str, position: int) -> tuple[int, list[tuple[str, int]]]:
    """Return the position after a run of separators, and each kind of them with its first position."""
    start = position
    seen: dict[str, int] = {}
    while position < len(text) and (name := _separator(text[position])):
        if name != "blank":
            seen.setdefault(name, position)
        elif position > start:
            seen.setdefault("extra_blank", position)
        position += 1
    return position, list(seen.items())


def _scan_token(text: str, position: int) -> tuple[list[tuple[str, int, str | None]], bool]:
    """Return the (digit, end, coercion) of a run of digit-like signs, and whether it is a whole token."""
    found: list[tuple[str, int, str | None]] = []
    while position < len(text):
        sign = text[position]
        read_as = _digit(sign)
        if read_as is None:
            return found, _separator(sign) is not None
        position += 1
        end = position
        while end < len(text) and text[end] in _KEYCAP:
            end += 1
        found.append((read_as[0], end, "keycap" if end > position else read_as[1]))
        position = end
    return found, True


def _digits_of_token(text: str, position: int) -> tuple[list[tuple[str, int, str | None]], bool]:
    """Return the digits that a token begins with, and whether the digit zone can go on after it.

    Letters count only when the whole token is digit-like: `R112Оспанов` is 112 and a name. A token of letters
    alone counts when they all read as the same digit (`l`, `ІІ`), so that "об" or "lol" is no number.
    """
    found, whole = _scan_token(text, position)
    real = [item for item in found if item[2] != "digit_letter"]
    if whole and (real or len({digit for digit, _, _ in found}) == 1):
        return found, True
    for count, (_, _, coercion) in enumerate(found):
        if coercion == "digit_letter":
            return found[:count], False
    return found, whole


def _read_r(text: str, position: int) -> tuple[int, str | None]:
    """Return the position after an R (unchanged when there is none) and its coercion; None: no R.

    A true R must stand alone or before digits; a look-alike must also have a digit after it, so that
    "Рахимов", "Я не понимаю" and "К сожалению" hold no R.
    """
    coercion = _r_coercion(text[position]) if position < len(text) else None
    if coercion is None:
        return position, None
    after = position + 1
    start, _ = _skip_separators(text, after)
    if start == len(text):
        return after, coercion
    digits, _ = _digits_of_token(text, start)
    if coercion == "r_lookalike":
        known = start > after or any(item[2] != "digit_letter" for item in digits)
        return (after, coercion) if digits and known else (position, None)
    return (after, coercion) if digits or start > after else (position, None)


def _read_zone(zone: _Zone, *, after_r: bool) -> None:
    """Read digits and the separators between and after them into `zone`; its position ends at the rest."""
    go_on = True
    first = not after_r
    while go_on:
        start, marks = _skip_separators(zone.text, zone.position)
        items, go_on = _digits_of_token(zone.text, start)
        if items and start == zone.position and not first:
            zone.note("missing_blank", start)
        if items and zone.digits and any(name not in _BLANKS and name != "extra_blank" for name, _ in marks):
            zone.spaced = False
        if not items and start == len(zone.text) and start > zone.position:
            zone.note("extra_blank" if zone.text[zone.position] == " " else None, zone.position)
        for name, position in marks:
            zone.note(name, position)
        zone.position = start
        for digit, end, coercion in items:
            if zone.position > start:
                zone.note("missing_blank", zone.position)
            zone.digits.append(digit)
            zone.ends.append(end)
            zone.genuine |= coercion != "digit_letter"
            zone.note(coercion, end - 1)
            zone.position = end
        first = False
        go_on = go_on and bool(items)


def _read_slowly(text: str) -> Reading:
    """Return the reading of any text, sign by sign; `read` returns the same."""
    start, _ = _skip_separators(text, 0)
    position, r_coercion = _read_r(text, start)
    zone = _Zone(text=text, position=position, digits=[], ends=[], found={})
    if start and (r_coercion is not None or start < len(text)):
        zone.note("leading", 0)
    zone.note(r_coercion, start)
    _read_zone(zone, after_r=r_coercion is not None)
    return Reading(
        text=text,
        keyword=_keyword(text),
        has_r=r_coercion is not None,
        digits="".join(zone.digits),
        coercions=tuple(sorted(zone.found)),
        ends=tuple(zone.ends),
        rest=zone.position,
        found=tuple(zone.found.items()),
        spaced=zone.spaced,
        genuine=zone.genuine,
    )


_LETTERS = "".join(sign for sign in map(chr, range(0x0530)) if sign.isalpha() and not _digit(sign))
_CANONICAL = re.compile(  # as `spell` makes it: digits alone, or before a word that is no digit
    rf"R((?: [0-9]){{1,20}})(?:\Z| (?=[{''.join(_DIGIT_LETTERS)}]*[{_LETTERS}]))"
)
_CANONICAL_ENDS = tuple(range(3, 44, 2))


def read(text: str) -> Reading:
    """Return the reading of any text at all; never raises, linear in the length of the text."""
    if form := _CANONICAL.match(text):
        digits = form[1][1::2]
        return Reading(text, None, True, digits, (), _CANONICAL_ENDS[: len(digits)], form.end())  # noqa: FBT003 - by place, for speed
    return _read_slowly(text)


# --- keywords and courtesies ----------------------------------------------------------------------------

_LATIN_TO_CYRILLIC = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")


def _fold_keyword(word: str) -> str:
    return word.upper().translate(_LATIN_TO_CYRILLIC)


_KEYWORDS = {
    _fold_keyword(word): keyword
    for keyword, words in {
        Keyword.STOP: "STOP СТОП ТОҚТАТУ ТОКТАТУ",
        Keyword.HELP: "HELP КӨМЕК КОМЕК ПОМОЩЬ",
    }.items()
    for word in words.split()
}
_WORD_CODES = {
    **{_fold_keyword(word): "1" for word in ["ИӘ", "ИА", "ИЯ", "ДА", "YES"]},
    **{_fold_keyword(word): "2" for word in ["ЖОҚ", "ЖОК", "НЕТ", "NO"]},
}
_LONGEST_COMMAND = 60  # characters, with every blank and mark around it


def _command(text: str) -> str:
    """Return a short text without blanks, quotes and marks around it, folded; empty when it is long."""
    if len(text) > _LONGEST_COMMAND:
        return ""
    plain = unicodedata.normalize("NFKC", text)
    start, end = 0, len(plain)
    while start < end and _separator(plain[start]):
        start += 1
    while end > start and (plain[end - 1] == "!" or _separator(plain[end - 1])):
        end -= 1
    return _fold_keyword(plain[start:end])


def _keyword(text: str) -> Keyword | None:
    """Return the command that the whole text is: `R ?` and `?` are HELP."""
    command = _command(text)
    asked = command.rstrip("?")
    if asked != command:
        alone = asked.rstrip(" \u00a0\t\n")
        is_r = len(alone) == 1 and _r_coercion(alone) is not None
        return Keyword.HELP if not alone or is_r or _KEYWORDS.get(alone) is Keyword.HELP else None
    return _KEYWORDS.get(command)


_GAP = r"[\s.,!:;@()\-–—…~*\"'«»“”\u200b-\u200d\u2060\ufeff\ufe0f\U0001F3FB-\U0001F3FF]"
_THANKS = (
    "рахмет|рақмет|ракмет|рахметт|алғыс|алгыс|спасибо|спасибки|спс|благодарю|благодарна|пожалуйста|пожалуста"
    "|пж|пжл|пжлст|өтінемін|отинемин|thanks|thank|thankyou|thx|tnx|please|pls|🙏|👍|👌|❤|♥|♡|😊|🙂|😀|😃|😄|😁|☺|🌹|💐|🌷"
)
_WITH_THANKS = (
    "көп-көп|коп-коп|көп|коп|үлкен|улкен|мың|мын|зор|сізге|сізге|сізден|сіздерге|сизге|сиздерге|большое|большущее"
    "|огромное|заранее|вам|вас|вам|всем|за|помощь|you|u|very|much|so|a|lot|many"
)
_COURTESY_WORD = rf"(?:(?:{_THANKS}|{_WITH_THANKS})(?!\w))"
_COURTESY = re.compile(rf"{_GAP}*+(?:{_COURTESY_WORD}{_GAP}*+)++", re.IGNORECASE)
_COURTESY_START = re.compile(rf"(?:^|{_GAP})(?={_COURTESY_WORD})", re.IGNORECASE)
_CORE_COURTESY = re.compile(rf"(?<!\w)(?:{_THANKS})(?!\w)", re.IGNORECASE)
_MARKS = re.compile(r"[\s.!…]*+")
_SIGNATURE = re.compile(
    r"[\s.,;:!\-–—*_]*(?:отправлено\s+(?:с|со|из|от|через)\s|sent\s+(?:from|via|by|with)\s"
    r"|(?:менің\s+)?(?:iphone|android|samsung|телефон)[\w-]{0,12}(?:\s+[\w-]{1,15}){0,2}\s+жіберіл(?:ді|ген))"
    r"(?P<handset>[\w .+()\"«»\-]{0,40})[.!]*\s*",
    re.IGNORECASE,
)
_SIGNATURE_WORD = re.compile(r"отправлено\s|sent\s|жіберіл", re.IGNORECASE)
_SECOND_FULL_REPLY = re.compile(r"(?<!\w)[RrＲｒ]\W{0,3}\d\W{0,3}\d")
_SECOND_REPLY = re.compile(r"(?<!\w)[RrРрКкЯяГгＲｒ][\s.,\-_/:;]*\d")


_COURTEOUS = frozenset(fold_words(f"{_THANKS}|{_WITH_THANKS}"))


def _without_signature(text: str) -> str:
    """Return a text without a handset's signature: "Отправлено с iPhone", "Sent from my Galaxy"."""
    if len(text) > TEXT_MAX or not _SIGNATURE_WORD.search(text):
        return text
    for hit in _SIGNATURE.finditer(text):
        if hit.end() == len(text) and not _SECOND_REPLY.search(hit["handset"]):
            return _without_signature(text[: hit.start()])  # a forwarded text has two
    return text


def _is_courtesy(text: str) -> bool:
    """Return whether a text is nothing but thanks and the like."""
    hit = _COURTESY.fullmatch(text)
    return hit is not None and _CORE_COURTESY.search(text) is not None


def _without_courtesy(text: str) -> str:
    """Return a text (at most TEXT_MAX) without the thanks at its end; the words before them stay."""
    if len(text) > TEXT_MAX:
        return text
    for hit in _COURTESY_START.finditer(text):
        if _is_courtesy(text[hit.start() :]):
            return text[: hit.start()]
    return text


def _tail_coercions(text: str) -> tuple[str, ...] | None:
    """Return the coercions that make the end of a reply harmless: marks, thanks, a signature; else None."""
    if not text:
        return ()
    if len(text) > TEXT_MAX:
        return None
    rest = _without_signature(text)
    names = () if rest == text else ("signature",)
    if not rest or _MARKS.fullmatch(rest):
        return (*names, "trailing_mark") if rest else names
    return (*names, "courtesy") if _is_courtesy(rest) else None


# --- answers --------------------------------------------------------------------------------------------


def _coercions(reading: Reading, before: int, *more: str) -> tuple[str, ...]:
    """Return the sorted names of the coercions used before a position of the text, and of `more`."""
    return tuple(sorted({name for name, position in reading.found if position < before}.union(more)))


def _missing_r(reading: Reading) -> Misread:
    """Return the misread of a text that cannot do without R."""
    if reading.rest == len(reading.text) and not reading.digits:
        return Misread("empty", 0)
    return Misread("no_r", reading.ends[0] - 1 if reading.ends else reading.rest)


def _position_of(reading: Reading, index: int) -> int:
    """Return the position of digit `index`, or of what stands in its place."""
    return reading.ends[index] - 1 if index < len(reading.ends) else reading.rest


def _why_not_addressed(reading: Reading, question: Question) -> Misread:
    """Return the misread of a reading whose digits begin with none of the addresses."""
    digits = reading.digits
    if not reading.has_r:
        return _missing_r(reading)
    if not digits:
        return Misread("no_digits", reading.rest)
    if any(address.startswith(digits) for address in question.addresses):
        return Misread("incomplete", reading.rest)
    same = max((_shared(digits, address) for address in question.addresses), default=0)
    return Misread("wrong_address", _position_of(reading, same))


def _shared(left: str, right: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _addressed(reading: Reading, question: Question) -> tuple[str, ...]:
    """Return the addresses that the digits begin with.

    Without R a date, a time or a price must not pass: "11.21", "11:21" are refused, "1.1.2" and "112 1" not.
    """
    if not reading.has_r and not (reading.genuine and (reading.spaced or _only_singles(reading))):
        return ()
    return tuple([address for address in question.addresses if address and reading.digits.startswith(address)])


def _only_singles(reading: Reading) -> bool:
    """Return whether no two digits are joined."""
    return all(start < end - 1 for start, end in zip(reading.ends, reading.ends[1:], strict=False))


def _fits(part: str, question: Question) -> str:
    """Return `` when the digits after an address are an answer, else the reason why not."""
    if question.kind is Kind.DIGITS:
        least, most = question.length
        if len(part) > most:
            return "too_many_digits"
        if len(part) < least:
            return "bad_digits" if part else "incomplete"
        return ""
    if part in question.codes:
        return ""
    if any(code.startswith(part) for code in question.codes):
        return "incomplete"
    return "too_many_digits" if any(part.startswith(code) for code in question.codes) else "not_offered"


@dataclass(frozen=True, slots=True)
class _Match:
    """One way to read the digits as an answer: the address, the answer, how it was addressed."""

    address: str
    value: str
    how: tuple[str, ...]


def _digit_matches(reading: Reading, question: Question, *, bare: bool) -> tuple[list[_Match], Misread | None]:
    """Return every way to read the digits as an answer; the best reason where there is none."""
    how = () if reading.has_r else ("no_r",)
    matches = []
    misread: Misread | None = None
    for address in _addressed(reading, question):
        part = reading.digits[len(address) :]
        reason = _fits(part, question)
        if not reason:
            matches.append(_Match(address, part, how))
        elif misread is None or reason != "incomplete":
            misread = Misread(reason, _position_of(reading, len(address)))
    alone = bare and not reading.has_r and reading.genuine and reading.spaced and bool(reading.digits)
    if alone and not _fits(reading.digits, question):
        matches.append(_Match("", reading.digits, ("bare",)))
    return matches, None if matches else misread or _why_not_addressed(reading, question)


def _answer_digits(reading: Reading, question: Question, *, bare: bool) -> Answer | Misread:
    """Return the answer to a CHOICE or DIGITS question."""
    rest = reading.text[reading.rest :]
    if rest and question.yes_no and (word := _answer_word(reading, question, rest, bare=bare)):
        return word
    if rest and question.with_iban and bare and (account := _answer_account_alone(reading, question)):
        return account
    matches, misread = _digit_matches(reading, question, bare=bare)
    if rest and reading.digits and _SECOND_REPLY.search(rest[:TEXT_MAX]):
        return Misread("two_replies", reading.rest)
    if not matches:
        return misread or Misread("no_r", 0)
    if len({match.value for match in matches}) > 1:
        return Misread("ambiguous", reading.rest)
    match = matches[0]
    if not rest:
        return Answer(match.value, None, tuple(sorted({*reading.coercions, *match.how})))
    if (tail := _tail_coercions(rest)) is not None:
        return Answer(match.value, None, _coercions(reading, reading.rest, *match.how, *tail))
    if match.value in question.with_iban:
        return _with_account(reading, match.value, match.how, reading.rest)
    return Misread("extra_text", reading.rest)


def _answer_word(reading: Reading, question: Question, rest: str, *, bare: bool) -> Answer | None:
    """Return the answer of ИӘ, ЖОҚ, ДА, НЕТ, YES, NO: alone, or after a whole address."""
    if len(rest) > TEXT_MAX:
        return None
    word = _without_courtesy(_without_signature(rest))
    code = _WORD_CODES.get(_command(word))
    if code is None or code not in question.codes:
        return None
    tail = _tail_coercions(rest[len(word) :]) or ()
    if reading.digits and reading.digits in _addressed(reading, question):
        how = () if reading.has_r else ("no_r",)
        return Answer(code, None, _coercions(reading, reading.rest, "word", *how, *tail))
    if bare and not reading.has_r and not reading.digits:
        return Answer(code, None, _coercions(reading, reading.rest, "word", "bare", *tail))
    return None


# --- answers that are texts -----------------------------------------------------------------------------

_LABEL = re.compile(r"\W*(?:iban|ибан|иик|жск|счет|счёт|шот)[\s:№.,\-–=]*", re.IGNORECASE)
_AROUND = "\"'`«»‘’‚“”„‹›()[]<>.,:;!…-–—_*\u200b\u2060\ufeff" + "".join(map(chr, range(1, 33))) + "\u00a0"
_THANKS_NAMES = re.compile(r"\s+(?:Рахмет|Рақмет|РАХМЕТ|РАҚМЕТ)[\s.!\"'»”)\]]*")
_LINE_ENDS = frozenset("\r\n")
_INITIAL = re.compile(r"(?<!\w)\w\.\W*\Z")

_NO_TEXT = {"Cc", "Cs", "Cn", "Co"}  # controls, lone surrogates, unassigned, private

_Clean = Callable[[str], "tuple[str, tuple[str, ...]] | str"]
"""From a raw text to (value, coercions), or to the reason why it is no answer."""


def _clean_name(raw: str) -> tuple[str, tuple[str, ...]] | str:
    """Return the name in a raw text and its coercions, or a reason."""
    if len(raw) > TEXT_MAX:
        return "too_long"
    return (raw, ()) if _is_plain(raw) else _clean_name_slowly(raw)


def _is_plain(raw: str) -> bool:
    """Return whether a raw text is surely a name as it stands, without thanks and a signature."""
    return is_plain_name(raw, _COURTEOUS) and not _SIGNATURE_WORD.search(raw)


def _clean_name_slowly(raw: str) -> tuple[str, tuple[str, ...]] | str:
    signed = _without_signature(raw)
    text = _without_courtesy(signed)
    thanks = signed[len(text) :]
    before, words = text.rstrip(), text.split()
    if words and _THANKS_NAMES.fullmatch(thanks) and not before.endswith((".", ",", "!")):
        own_line = not _LINE_ENDS.isdisjoint(signed[len(before) :].rstrip())
        if len(words) < 2:  # Рахмет is also a first name: surname and first name
            text = signed if not own_line or is_surname(words[0].strip(_AROUND)) else text
        elif not has_patronymic(words[-1]) and not own_line:
            return "bad_name"
    name = parse_name(text.strip(_AROUND))
    if name is None or (name[-2] == " " and _INITIAL.search(text)):
        return "bad_name"
    names = [label for label, used in (("signature", signed != raw), ("courtesy", text != signed)) if used]
    return name, (*names, *(("name_spelling",) if name != text else ()))


def _clean_iban(raw: str) -> tuple[str, tuple[str, ...]] | str:
    """Return the IBAN in a raw text and its coercions, or a reason."""
    if len(raw) > TEXT_MAX:
        return "too_long"
    signed = _without_signature(raw)
    text = _without_courtesy(signed)
    label = _LABEL.match(text)
    plain = (text[label.end() :] if label else text).strip(_AROUND + "@")
    try:
        iban = parse_iban(plain)
    except IdentityError:
        return "bad_iban"
    used = {
        "signature": signed != raw,
        "courtesy": text != signed,
        "iban_label": label is not None,
        "iban_spelling": iban != (text[label.end() :] if label else text),
    }
    return iban, tuple(name for name, is_used in used.items() if is_used)


def _clean_text(raw: str) -> tuple[str, tuple[str, ...]] | str:
    """Return a free text without invisible signs, blanks made single, and its coercions, or a reason."""
    if len(raw) > TEXT_MAX:
        return "too_long"
    shown = (sign for sign in raw if sign.isspace() or unicodedata.category(sign) not in _NO_TEXT)
    spaced = " ".join("".join(shown).split())
    text = _without_signature(spaced)
    while text and _separator(text[0]) not in _KEPT_BEFORE_TEXT:
        text = text[1:]
    if not any(sign.isalpha() for sign in text) or _is_courtesy(text):
        return "bad_text"
    if _SECOND_FULL_REPLY.search(text):
        return "two_replies"
    used = {"signature": not spaced.endswith(text), "name_spelling": not raw.startswith(text)}
    return text, tuple(name for name, is_used in used.items() if is_used)


_CLEAN: dict[Kind, _Clean] = {Kind.NAME: _clean_name, Kind.IBAN: _clean_iban, Kind.TEXT: _clean_text}


def _clears_bare(question: Question, value: str) -> bool:
    """Return whether a cleaned text is clear enough to be taken without R and address."""
    if question.kind is Kind.NAME:
        return looks_like_name(value, question.other_words)
    if question.kind is Kind.TEXT:
        return "?" not in value and not sounds_lost(value)
    return True


def _bare_start(reading: Reading) -> int:
    """Return where the words of a text without R and address begin."""
    start, _ = _skip_separators(reading.text, 0)
    return start


def _answer_text(reading: Reading, question: Question, *, bare: bool) -> Answer | Misread:
    """Return the answer to a NAME, IBAN or TEXT question."""
    clean = _CLEAN[question.kind]
    how = () if reading.has_r else ("no_r",)
    answers: dict[str, Answer] = {}
    misread: Misread | None = None
    for address in _addressed(reading, question):
        start = reading.start_after(len(address))
        if start == len(reading.text):
            misread = misread or Misread("incomplete", start)
            continue
        cleaned = clean(reading.text[start:])
        if isinstance(cleaned, str):
            misread = Misread(cleaned, start)
        else:
            answers[cleaned[0]] = Answer(cleaned[0], None, _coercions(reading, start, *how, *cleaned[1]))
    if not answers and misread is None and bare:
        return _answer_text_alone(reading, question)
    if len(answers) == 1:
        return next(iter(answers.values()))
    if answers:
        return Misread("ambiguous", reading.rest)
    return misread or _why_not_addressed(reading, question)


def _answer_text_alone(reading: Reading, question: Question) -> Answer | Misread:
    """Return the answer to a NAME, IBAN or TEXT question that came without R and address.

    An IBAN may begin with a letter that reads as R (`КЗ86…`); its check digits tell.
    """
    if reading.has_r and (question.kind is not Kind.IBAN or reading.text[_bare_start(reading)] in "Rr"):
        return _why_not_addressed(reading, question)
    start = _bare_start(reading)
    cleaned = _CLEAN[question.kind](reading.text[start:]) if start < len(reading.text) else "empty"
    if isinstance(cleaned, str):
        return Misread(cleaned, start)
    value, names = cleaned
    if not _clears_bare(question, value):
        return Misread("no_r", start)
    return Answer(value, None, tuple(sorted({"bare", *names, *(("leading",) if start else ())})))


def _with_account(reading: Reading, value: str, how: tuple[str, ...], start: int) -> Answer | Misread:
    """Return a code and the IBAN that follows it (`R 3 1 1 2 KZ86…`)."""
    cleaned = _clean_iban(reading.text[start:])
    if isinstance(cleaned, str):
        return Misread(cleaned, start)
    iban, names = cleaned
    return Answer(value, iban, _coercions(reading, start, *how, *names))


def _answer_account_alone(reading: Reading, question: Question) -> Answer | None:
    """Return the one code that takes an IBAN, when the whole text is a valid IBAN."""
    if len(question.with_iban) != 1:
        return None
    alone = _answer_text_alone(reading, replace(question, kind=Kind.IBAN))
    if isinstance(alone, Misread):
        return None
    return alone._replace(value=question.with_iban[0], also=alone.value)


def _is_canonical(reading: Reading, question: Question, found: Answer) -> bool:
    """Return whether the text is exactly what `spell` makes of one of the addresses and the answer."""
    if question.kind in _CLEAN:
        return any(reading.text == spell(address, found.value) for address in question.addresses)
    also = found.also or ""
    return any(reading.text == spell(address + found.value, also) for address in question.addresses)


def is_before_name(reading: Reading) -> bool:
    """Return whether a name as it is to be written, and nothing else, follows the digits of a reading.

    Then the reading answers no question but those for a name or a text: "Да" and "Рахмет" are no such names.
    """
    return _is_plain(reading.text[reading.rest :])


def may_answer(reading: Reading, question: Question) -> bool:
    """Return whether `answer` without `bare` has to be asked; False: surely no answer, nor an account in vain.

    A quick look at the replies of which there are most: digits that make up a code, and nothing else.
    """
    if reading.rest < len(reading.text):
        return True
    if question.kind is Kind.CHOICE:
        return reading.digits in _complete(question.addresses, question.codes)
    return question.kind not in (Kind.NAME, Kind.TEXT)


@lru_cache(maxsize=1024)
def _complete(addresses: tuple[str, ...], codes: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of every answer to a choice."""
    return frozenset(address + code for address in addresses for code in codes)


def answer(reading: Reading, question: Question, *, bare: bool) -> Answer | Misread:
    """Return the answer to a question that a reading is, or why it is none; never raises.

    `bare`: this is the only open question, so an answer without R and without address may be taken.
    """
    if reading.keyword:
        return Misread("keyword", 0)
    find = _answer_text if question.kind in _CLEAN else _answer_digits
    found = find(reading, question, bare=bare)
    if question.strict and isinstance(found, Answer) and not _is_canonical(reading, question, found):
        return Misread("strict", 0)
    return found
