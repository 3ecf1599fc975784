"""How a text becomes octets on the air, and octets a text.

Here live the GSM 7-bit alphabet with its extension table (3GPP TS 23.038 §6.2.1), UCS-2, the arithmetic of
segments, and the reading of SMPP's `data_coding`. User data headers are not here (`smpp.segments`), nor is
anything that knows a PDU.

    >>> encode("R 1 1 2")
    (<Coding.GSM: 0>, b'R 1 1 2')
    >>> segments("Құттықтаймыз!"), segments("€" * 81)
    (1, 2)

Septets travel unpacked, one in each octet, as SMPP carries them; `pack` and `unpack` are for the message
centres that do not. Reading never raises: what a phone or a message centre sent is shown as well as it can be,
and the caller keeps the octets. `decode` takes `data_coding` at its word; `decode_received` knows better.
"""

from __future__ import annotations

import codecs
from contextlib import suppress
from enum import Enum
from typing import Final

__all__ = [
    "Alphabet",
    "Coding",
    "decode",
    "decode_gsm",
    "decode_received",
    "decode_ucs2",
    "encode",
    "encode_gsm",
    "find_coding",
    "is_gsm",
    "is_gsm_coding",
    "pack",
    "segments",
    "split",
    "unpack",
]


class Coding(Enum):
    """How a text is written on the air; the value is SMPP's `data_coding` (SMPP v3.4 §5.2.19)."""

    GSM = 0
    UCS2 = 8


class Alphabet(Enum):
    """What a message centre means by `data_coding` 0, its "default alphabet"; the value is the configuration's."""

    GSM = "gsm"
    GSM_PACKED = "gsm-packed"
    """Eight septets in seven octets, as on the air (3GPP TS 23.038 §6.1.2.1)."""
    LATIN1 = "latin1"
    ASCII = "ascii"
    UTF8 = "utf8"


ESCAPE: Final = 0x1B

# 3GPP TS 23.038 §6.2.1, the default alphabet, in the order of its codes. Code 0x1B is the escape.
_DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
# 3GPP TS 23.038 §6.2.1.1, the extension table: what stands after the escape.
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
_UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
# "A receiving entity which does not understand the meaning of this escape mechanism shall display it as a
# space character" (3GPP TS 23.038 §6.2.1, note 1).
_READ: Final = _DEFAULT.replace("\x1b", " ") + _UNKNOWN * 128
_WRITE: Final = {ord(character): code for code, character in enumerate(_DEFAULT) if code != ESCAPE} | {
    ord(character): f"\x1b{chr(code)}" for code, character in _EXTENSION.items()
}
_EXTENDED: Final = frozenset(_EXTENSION.values())
_AS_IN_ASCII: Final = bytes(code for character, code in _WRITE.items() if code == character)
_CHARACTERS: Final = frozenset(map(chr, _WRITE))

# One text alone in octets as SMPP carries them: 160 septets unpacked, 70 UCS-2 characters.
_ALONE: Final = {Coding.GSM: 160, Coding.UCS2: 140}
_AIR: Final = 140  # octets of one SMS; the header of a part takes 6 or 7 of them (3GPP TS 23.040 §9.2.3.24)


def is_gsm(text: str) -> bool:
    """Whether every character of `text` is in the GSM 7-bit alphabet or its extension table."""
    return _is_as_in_ascii(text) or _CHARACTERS.issuperset(text)


def _is_as_in_ascii(text: str) -> bool:
    """Whether every character of `text` has the code that it has in ASCII: most English texts, told at a glance."""
    return text.isascii() and not text.encode("ascii").translate(None, _AS_IN_ASCII)


def encode_gsm(text: str) -> bytes:
    """Return `text` in the GSM 7-bit alphabet, unpacked, two octets for a character of the extension table.

    Raises:
        ValueError: a character is in neither table; ask `is_gsm` first.
    """
    if _is_as_in_ascii(text):
        return text.encode("ascii")
    if not _CHARACTERS.issuperset(text):
        raise ValueError("a character is not in the GSM 7-bit alphabet")
    return text.translate(_WRITE).encode("latin-1")


def decode_gsm(octets: bytes) -> str:
    """Return the text of unpacked GSM 7-bit `octets`; an octet above 0x7F becomes U+FFFD."""
    if ESCAPE not in octets:
        return codecs.charmap_decode(octets, "replace", _READ)[0]
    first, *rest = octets.split(b"\x1b")
    return codecs.charmap_decode(first, "replace", _READ)[0] + _decode_escaped(rest)


def _decode_escaped(pieces: list[bytes]) -> str:
    """Return the text of the `pieces` that each stood after an escape."""
    text: list[str] = []
    for piece in pieces:
        extended = _EXTENSION.get(piece[0]) if piece else " "
        # "In the event that an MS receives a code where a symbol is not represented in the above table then
        # the MS shall display either the character shown in the main default 7 bit table …"
        plain = piece if extended is None else piece[1:]
        text.append((extended or "") + codecs.charmap_decode(plain, "replace", _READ)[0])
    return "".join(text)


def decode_ucs2(octets: bytes) -> str:
    """Return the text of UCS-2 `octets`: big-endian unless a byte order mark says otherwise.

    Surrogate pairs are read as phones write them, a lone surrogate becomes U+FFFD, and an odd last octet is
    left out.
    """
    whole = octets[: len(octets) & ~1]
    if whole[:2] == codecs.BOM_UTF16_LE:
        return whole[2:].decode("utf-16-le", "replace")
    if whole[:2] == codecs.BOM_UTF16_BE:
        whole = whole[2:]
    return whole.decode("utf-16-be", "replace")


def pack(septets: bytes, fill_bits: int = 0) -> bytes:
    """Return `septets`, one in each octet, eight in seven octets (3GPP TS 23.038 §6.1.2.1).

    `fill_bits` is how many bits come first, so that the septets after a user data header begin at a septet's
    boundary (3GPP TS 23.040 §9.2.3.24).
    """
    bits = 0
    for place, septet in enumerate(septets):
        bits |= (septet & 0x7F) << 7 * place
    size = fill_bits + 7 * len(septets)
    # "If the total number of characters to be sent equals (8n-1) … the 7 spare bits carry a carriage return".
    if size % 8 == 1 and septets:
        bits |= 0x0D << 7 * len(septets)
    return (bits << fill_bits).to_bytes((size + 7) // 8, "little")


def unpack(octets: bytes, fill_bits: int = 0) -> bytes:
    """Return the septets of packed `octets`, one in each octet; `fill_bits` as in `pack`.

    Where a whole septet is to spare at the end, a carriage return, or the zeros that many send for it, is left
    out.
    """
    bits = int.from_bytes(octets, "little") >> fill_bits
    size = max(0, len(octets) * 8 - fill_bits)
    septets = bytes(bits >> 7 * place & 0x7F for place in range(size // 7))
    return septets[:-1] if size % 7 == 0 and septets[-1:] in (b"\r", b"\0") else septets


def find_coding(text: str) -> Coding:
    """Return the cheaper coding that can carry `text`."""
    return Coding.GSM if is_gsm(text) else Coding.UCS2


def encode(text: str, coding: Coding | None = None) -> tuple[Coding, bytes]:
    """Return `text` in `coding`, or in the cheaper one that can carry it, as one run of octets.

    A lone surrogate, which no phone can show, is written as a question mark.

    Raises:
        ValueError: `coding` is GSM, and a character is not in its alphabet.
    """
    chosen = coding or find_coding(text)
    if chosen is Coding.GSM:
        return chosen, encode_gsm(text)
    return chosen, text.encode("utf-16-be", "replace")


def split(text: str, coding: Coding | None = None, *, header_octets: int = 6) -> tuple[bytes, ...]:
    """Return the octets of each part of `text`, without user data headers; one part if it fits alone.

    A part holds 153 septets or 67 UCS-2 characters, or fewer where the header takes more than 6 octets.

    No part ends inside an escape pair or a surrogate pair. Shape: at least one part; an empty text is one
    empty part. `coding` as in `encode`.
    """
    chosen, octets = encode(text, coding)
    if len(octets) <= _ALONE[chosen]:
        return (octets,)
    room = _AIR - header_octets
    most = room * 8 // 7 if chosen is Coding.GSM else room & ~1
    parts: list[bytes] = []
    start = 0
    while start < len(octets):
        end = _find_cut(chosen, octets, start + most)
        parts.append(octets[start:end])
        start = end
    return tuple(parts)


def _find_cut(coding: Coding, octets: bytes, end: int) -> int:
    """Return the last place at or before `end` where `octets` may be cut."""
    if end >= len(octets):
        return len(octets)
    if coding is Coding.GSM:
        return end - 1 if octets[end - 1] == ESCAPE else end
    return end - 2 if 0xD8 <= octets[end - 2] <= 0xDB else end


def segments(text: str) -> int:
    """Return how many SMS `text` takes: `len(split(text))`, without building the parts where it can."""
    if _is_as_in_ascii(text):
        alone, part = 160, 153
    elif _CHARACTERS.issuperset(text):
        if not _EXTENDED.isdisjoint(text):
            return len(split(text))
        alone, part = 160, 153
    else:
        if len(text.encode("utf-16-be", "surrogatepass")) > 2 * len(text):  # a character beyond U+FFFF
            return len(split(text))
        alone, part = 70, 67
    return 1 if len(text) <= alone else -(-len(text) // part)


def decode(data_coding: int, octets: bytes) -> str:
    """Return the text of `octets` by `data_coding`; lossy where it must be, and never an exception.

    0 is the GSM alphabet; the other values below 0x10 are SMPP v3.4 §5.2.19; those above are read by
    3GPP TS 23.038 §4 (message classes, message waiting).
    """
    name = _NAMED.get(data_coding)
    if name is not None:
        return octets.decode(name, "replace")
    alphabet = _find_alphabet(data_coding)
    if alphabet == _UCS2_BITS:
        return decode_ucs2(octets)
    # An octet above 0x7F cannot be an unpacked septet: this message centre means something else by its
    # default alphabet, most often UTF-8 or Latin 1.
    if alphabet == _GSM_BITS and octets.isascii():
        return decode_gsm(octets)
    return _decode_eight_bit(octets)


def decode_received(data_coding: int, octets: bytes, alphabet: Alphabet = Alphabet.GSM) -> str:
    """Return the text that a phone or a message centre most likely meant; lossy, and never an exception.

    As `decode`, but `data_coding` 0 is read by `alphabet` (packed septets are to be `unpack`ed before), and
    UCS-2 that makes no sense in its order of octets is read in the other one, or as the octets that it is.
    """
    name = _ALPHABETS.get(alphabet) if data_coding == 0 else None
    if name is not None:
        return octets.decode(name, "replace")
    if data_coding not in _NAMED and _find_alphabet(data_coding) == _UCS2_BITS:
        return _guess_ucs2(octets)
    return decode(data_coding, octets)


def is_gsm_coding(data_coding: int) -> bool:
    """Whether `data_coding` says that the octets are of the GSM alphabet: 0, and 0xF0 and its like."""
    return data_coding not in _NAMED and _find_alphabet(data_coding) == _GSM_BITS


def _guess_ucs2(octets: bytes) -> str:
    """Return the text of UCS-2 `octets` without a byte order mark, in the order that makes more sense."""
    if octets[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or len(octets) < 2:
        return decode_ucs2(octets)
    units = len(octets) // 2
    big = _count_likely(octets[::2], octets[1::2])
    little = _count_likely(octets[1::2], octets[::2]) if big < units else 0
    if little > big and little * 4 >= units * 3:
        return octets[: len(octets) & ~1].decode("utf-16-le", "replace")
    # "They lie about their unicode encoding" (a comment in Vumi): plain octets, Latin or UTF-8, under 8.
    if not big and units > 1:
        with suppress(UnicodeDecodeError):
            text = octets.decode("utf-8")
            if all(_is_likely(*divmod(ord(each), 256)) for each in text):
                return text
    return decode_ucs2(octets)


def _count_likely(highs: bytes, lows: bytes) -> int:
    """Return how many units are likely; an ordinary text, without a dash or a symbol, is told at a glance."""
    if highs.translate(None, _LIKELY_BLOCKS):
        return sum(map(_is_likely, highs, lows))
    return min(len(highs), len(lows))


def _is_likely(high: int, low: int) -> bool:
    """Whether a UCS-2 unit is one that people here write: Latin, Cyrillic, punctuation, emoji, full width."""
    if high == 0x20:  # and not a blank before a digit or a letter, seen from the wrong end
        return 0x0B <= low <= 0x2F or 0xA0 <= low <= 0xBF
    if high in _LIKELY_SYMBOLS:
        return low not in (0x00, 0x04)  # Latin and Cyrillic letters, seen from the wrong end
    return high in _LIKELY_BLOCKS


_LIKELY_BLOCKS: Final = bytes((*range(0x05), *range(0xD8, 0xE0), 0xFE, 0xFF))
_LIKELY_SYMBOLS: Final = frozenset({0x21, 0x22, 0x23, 0x25, 0x26, 0x27, 0x2B})
_ALPHABETS: Final = {Alphabet.LATIN1: "latin-1", Alphabet.ASCII: "ascii", Alphabet.UTF8: "utf-8"}
_GSM_BITS, _EIGHT_BITS, _UCS2_BITS = range(3)
_NAMED: Final = {
    0x03: "latin-1",
    0x05: "shift_jis",
    0x06: "iso8859-5",
    0x07: "iso8859-8",
    0x0A: "iso2022_jp",
} | {
    0x0D: "euc_jp",
    0x0E: "euc_kr",
}
# SMPP v3.4 §5.2.19: 0 is the message centre's default, 8 is UCS-2; 1, 2, 4 and 9 are IA5 and octets.
_SMPP_ALPHABETS: Final = {0x00: _GSM_BITS, 0x08: _UCS2_BITS}


def _find_alphabet(data_coding: int) -> int:
    """Return which alphabet `data_coding` names, by SMPP below 0x10 and by 3GPP TS 23.038 §4 above."""
    group = data_coding >> 4
    if group == 0:
        return _SMPP_ALPHABETS.get(data_coding, _EIGHT_BITS)
    if group <= 0x7:  # §4, general data coding: bits 3 and 2 name the alphabet, 3 is reserved
        return (_GSM_BITS, _EIGHT_BITS, _UCS2_BITS, _EIGHT_BITS)[data_coding >> 2 & 3]
    if group in (0xC, 0xD):  # §4, message waiting, GSM alphabet
        return _GSM_BITS
    if group == 0xE:  # §4, message waiting, UCS-2
        return _UCS2_BITS
    if group == 0xF:  # §4, data coding and message class: bit 2 set is 8-bit data
        return _EIGHT_BITS if data_coding & 0x04 else _GSM_BITS
    return _EIGHT_BITS


def _decode_eight_bit(octets: bytes) -> str:
    """Return the text of 8-bit `octets`: UTF-8 if they are, else Latin 1, which reads anything."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
