"""Long texts: one text as several PDUs, and the parts of one text from several PDUs.

Out, each link says how (`LongTexts`): a user data header with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1) or
a 16-bit one (§9.2.3.24.8), the `sar_…` parameters (SMPP v3.4 §5.3.2.22 to 24), or one PDU with all of it in
`message_payload` (§5.3.2.32). In, parts are recognised by any of these, a header's elements among others. Who
collects parts keys them by sender, number and `Part.key`, and joins their octets before decoding: a character may
be cut by the sender's phone.

    >>> [segment.short_message[:6].hex() for segment in segment("ә" * 71, reference=9)]
    ['050003090201', '050003090202']
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from operator import itemgetter
from typing import Final, NamedTuple

from smsflow.core import encoding
from smsflow.core.encoding import Alphabet, Coding
from smsflow.smpp.codec import SmPdu, SubmitSm, Tag, Tlvs, find_tlv
from smsflow.smpp.hot import encode, quick

__all__ = [
    "Kind",
    "LongTexts",
    "Part",
    "Segment",
    "SubmitWriter",
    "join",
    "read_part",
    "read_text",
    "segment",
    "submits",
]

UDHI: Final = 0x40
"""The bit of esm_class that says: a user data header comes first (SMPP v3.4 §5.2.12)."""


class LongTexts(Enum):
    """How a link wants a text that does not fit into one SMS; the value is the configuration's."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"
    """Whole: the message centre cuts it."""


_CONCATENATED_8: Final = 0x00
_CONCATENATED_16: Final = 0x08
_INTERNATIONAL_ISDN: Final = (1, 1)
_KEPT: Final = 512
"""How many texts a writer knows as octets: the questions of the dialogs, as thousands get them."""
_make_submit_sm: Final = quick(SubmitSm)


@dataclass(frozen=True, slots=True)
class Segment:
    """What one PDU of a text carries, in SMPP's fields."""

    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: Tlvs = ()


def segment(
    text: str,
    reference: int,
    *,
    coding: Coding | None = None,
    long_texts: LongTexts = LongTexts.UDH8,
    alphabet: Alphabet = Alphabet.GSM,
) -> tuple[Segment, ...]:
    """Return `text` as the segments that carry it, at least one.

    `reference` tells one long text from another of the same sender and receiver; its low octet is used, or the
    low two. `alphabet` is what the message centre means by data_coding 0; what it lacks goes as UCS-2.

    Raises:
        ValueError: the text takes more than 255 segments, or `coding` cannot carry it.
    """
    chosen = coding or _find_coding(text, alphabet)
    parts = encoding.split(text, chosen, header_octets=7 if long_texts is LongTexts.UDH16 else 6)
    if len(parts) == 1:
        return (Segment(0, chosen.value, _write(parts[0], chosen, alphabet, 0)),)
    if long_texts is LongTexts.PAYLOAD:
        octets = _write(b"".join(parts), chosen, alphabet, 0)
        return (Segment(0, chosen.value, octets, ((Tag.MESSAGE_PAYLOAD, octets),)),)
    if len(parts) > 255:
        raise ValueError(f"a text of {len(parts)} segments cannot be sent; 255 is the most")
    return tuple(
        _make_segment(long_texts, reference, len(parts), number, part, chosen, alphabet)
        for number, part in enumerate(parts, start=1)
    )


def _make_segment(
    long_texts: LongTexts, reference: int, total: int, number: int, part: bytes, coding: Coding, alphabet: Alphabet
) -> Segment:
    """Return part `number` of `total`, told by a header or by parameters."""
    if long_texts is LongTexts.SAR:
        tlvs = (
            (Tag.SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
            (Tag.SAR_TOTAL_SEGMENTS, bytes((total,))),
            (Tag.SAR_SEGMENT_SEQNUM, bytes((number,))),
        )
        return Segment(0, coding.value, _write(part, coding, alphabet, 0), tlvs)
    if long_texts is LongTexts.UDH16:
        head = bytes((6, _CONCATENATED_16, 4, *(reference & 0xFFFF).to_bytes(2, "big"), total, number))
    else:
        head = bytes((5, _CONCATENATED_8, 3, reference & 0xFF, total, number))
    return Segment(UDHI, coding.value, head + _write(part, coding, alphabet, len(head)))


def _find_coding(text: str, alphabet: Alphabet) -> Coding:
    """Return the cheaper coding that can carry `text` where data_coding 0 means `alphabet`."""
    coding = encoding.find_coding(text)
    if coding is Coding.UCS2 or alphabet in (Alphabet.GSM, Alphabet.GSM_PACKED):
        return coding
    highest = "\xff" if alphabet is Alphabet.LATIN1 else "\x7f"
    return coding if max(text, default="") <= highest else Coding.UCS2


def _write(octets: bytes, coding: Coding, alphabet: Alphabet, header_octets: int) -> bytes:
    """Return `octets`, of UCS-2 or of the unpacked GSM alphabet, as a link with `alphabet` writes them.

    The parts are cut by septets whatever the link's alphabet is: the message centre turns it into septets.
    """
    if coding is Coding.UCS2 or alphabet is Alphabet.GSM:
        return octets
    if alphabet is Alphabet.GSM_PACKED:
        return encoding.pack(octets, _fill_bits(header_octets))
    return encoding.decode_gsm(octets).encode("latin-1")


def _fill_bits(header_octets: int) -> int:
    """Return how many bits come between a header and packed septets (3GPP TS 23.040 §9.2.3.24)."""
    return -8 * header_octets % 7


def submits(
    text: str,
    *,
    source_addr: str,
    destination_addr: str,
    reference: int,
    source: tuple[int, int] = (0, 0),
    destination: tuple[int, int] = _INTERNATIONAL_ISDN,
    long_texts: LongTexts = LongTexts.UDH8,
    alphabet: Alphabet = Alphabet.GSM,
    replaces: bool = False,
) -> tuple[SubmitSm, ...]:
    """Return the submit_sm that carry `text` from a short number to a phone, receipts asked for.

    `source` and `destination` are types of number and numbering plans (SMPP v3.4 §5.2.5, §5.2.6). `replaces` asks
    the message centre to put each in the place of one that it still has from us for the phone (§5.2.18).

    Raises:
        ValueError: as `segment`.
    """
    return tuple(
        _make_submit_sm(
            source_addr_ton=source[0],
            source_addr_npi=source[1],
            source_addr=source_addr,
            dest_addr_ton=destination[0],
            dest_addr_npi=destination[1],
            destination_addr=destination_addr,
            esm_class=each.esm_class,
            registered_delivery=1,
            replace_if_present_flag=int(replaces),
            data_coding=each.data_coding,
            short_message=each.short_message,
            tlvs=each.tlvs,
        )
        for each in segment(text, reference, long_texts=long_texts, alphabet=alphabet)
    )


class _Draft(NamedTuple):
    """A submit_sm without its phone and its reference."""

    to_phone: bytes  # from its beginning to the phone
    to_reference: bytes  # from there to the reference, or to the end
    rest: bytes
    skips: int  # octets of a reference of two that it leaves out: both where there is no reference


class SubmitWriter:
    """Writes texts as octets in the way of one link: those of what `submits` returns for the same keywords.

    Thousands get the same text, and what differs is the phone and the reference: the octets around them are
    kept for the texts that were written last, for each length of a phone.
    """

    def __init__(
        self,
        *,
        source_addr: str,
        source: tuple[int, int] = (0, 0),
        destination: tuple[int, int] = _INTERNATIONAL_ISDN,
        long_texts: LongTexts = LongTexts.UDH8,
        alphabet: Alphabet = Alphabet.GSM,
    ) -> None:
        self._submits = partial(
            submits,
            source_addr=source_addr,
            source=source,
            destination=destination,
            long_texts=long_texts,
            alphabet=alphabet,
        )
        self._drafts = lru_cache(maxsize=_KEPT)(self._make_drafts)

    def write(
        self, text: str, *, destination_addr: str, reference: int, replaces: bool = False
    ) -> tuple[bytes, ...]:
        """Return the octets of the submit_sm that carry `text`; their sequence is 0.

        Raises:
            ValueError: as `segment`.
            LocalViolation: an address cannot be written.
        """
        if (
            replaces
            or not destination_addr.isalnum()
            or not destination_addr.isascii()
            or len(destination_addr) > 20
        ):
            pdus = self._submits(text, destination_addr=destination_addr, reference=reference, replaces=replaces)
            return tuple(encode(pdu) for pdu in pdus)
        phone, number = destination_addr.encode(), (reference & 0xFFFF).to_bytes(2, "big")
        octets = []
        for to_phone, to_reference, rest, skips in self._drafts(text, len(phone)):
            octets.append(b"".join((to_phone, phone, to_reference, number[skips:], rest)))
        return tuple(octets)

    def _make_drafts(self, text: str, digits: int) -> tuple[_Draft, ...]:
        """Return the parts of `text` to any phone of so many digits, 1 or more."""
        one = self._submits(text, destination_addr="0" * digits, reference=0)
        other = self._submits(text, destination_addr="1" * digits, reference=0xFFFF)
        return tuple(_make_draft(*pair, digits) for pair in zip(map(encode, one), map(encode, other), strict=True))


def _make_draft(one: bytes, other: bytes, digits: int) -> _Draft:
    """Return what two submit_sm of one text share, whose phones, and references, have no octet in common.

    Where they differ is the place of the phone, and after its digits that of the reference, whatever form it has.
    """
    places = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    phone, reference = places[0], places[digits:]
    first = reference[0] if reference else len(one)
    return _Draft(
        to_phone=one[:phone],
        to_reference=one[phone + digits : first],
        rest=one[first + len(reference) :],
        skips=2 - len(reference),
    )


class Kind(Enum):
    """By what a part was recognised; references of different kinds never meet."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of which long text: `number` of `total` (2 or more), both counted from 1."""

    reference: int
    total: int
    number: int
    kind: Kind

    @property
    def key(self) -> tuple[Kind, int, int]:
        """What the parts of one text share, besides sender and number."""
        return self.kind, self.reference, self.total


def read_part(
    pdu: SmPdu, alphabet: Alphabet = Alphabet.GSM, *, guess_header: bool = False
) -> tuple[Part | None, bytes]:
    """Return which part `pdu` is, None if it is whole, and its octets without a user data header.

    Septets that come packed by the link's `alphabet` are unpacked: how depends on the header. `guess_header`:
    octets that begin as a part's header does are read as one, though the flag is not set.

    What is no sound part (part 3 of 2, part 0, a total of 1) is taken as a whole text.
    """
    payload, end = pdu.short_message, 0
    if not (pdu.esm_class & UDHI or pdu.tlvs or guess_header or alphabet is Alphabet.GSM_PACKED):
        return None, payload  # as nearly all are
    if pdu.esm_class & UDHI and payload and payload[0] < len(payload):
        # "The UDHI flag set": trust the flag (3GPP TS 23.040 §9.2.3.24), if the header's length can be true.
        end = payload[0] + 1
    elif guess_header and _looks_like_header(payload):
        end = payload[0] + 1
    octets = payload[end:]
    if alphabet is Alphabet.GSM_PACKED and encoding.is_gsm_coding(pdu.data_coding):
        octets = encoding.unpack(octets, _fill_bits(end))
    return (_read_header(payload[1:end]) if end else None) or _read_sar(pdu), octets


def _looks_like_header(payload: bytes) -> bool:
    """Whether `payload` begins with a header that names a sound part and nothing else."""
    plain = payload[:3] in (bytes((5, _CONCATENATED_8, 3)), bytes((6, _CONCATENATED_16, 4)))
    return plain and _read_header(payload[1 : payload[0] + 1]) is not None


def _read_header(header: bytes) -> Part | None:
    """Return the part that the information elements of a user data header name, if one does."""
    pos = 0
    while pos + 2 <= len(header):
        element, length = header[pos], header[pos + 1]
        value = header[pos + 2 : pos + 2 + length]
        if element == _CONCATENATED_8 and len(value) == 3:
            return _make_part(Kind.UDH8, value[0], value[1], value[2])
        if element == _CONCATENATED_16 and len(value) == 4:
            return _make_part(Kind.UDH16, int.from_bytes(value[:2], "big"), value[2], value[3])
        pos += 2 + length
    return None


def _read_sar(pdu: SmPdu) -> Part | None:
    """Return the part that the `sar_…` parameters name, if all three are there."""
    if not pdu.tlvs:
        return None
    reference = find_tlv(pdu.tlvs, Tag.SAR_MSG_REF_NUM)
    total = find_tlv(pdu.tlvs, Tag.SAR_TOTAL_SEGMENTS)
    number = find_tlv(pdu.tlvs, Tag.SAR_SEGMENT_SEQNUM)
    if not (reference and total and number):
        return None
    return _make_part(Kind.SAR, *(int.from_bytes(value, "big") for value in (reference, total, number)))


def _make_part(kind: Kind, reference: int, total: int, number: int) -> Part | None:
    """Return the part if it is sound: more than one in all, and this one among them."""
    return Part(reference, total, number, kind) if total > 1 and 1 <= number <= total else None


def join(data_coding: int, payloads: Iterable[bytes]) -> str:
    """Return the text of `payloads`, which are in order and were sent with `data_coding`."""
    return encoding.decode(data_coding, b"".join(payloads))


def read_text(pieces: Iterable[tuple[int, bytes]], alphabet: Alphabet = Alphabet.GSM) -> str:
    """Return the text of `pieces` from a phone, in order: each the data_coding and the octets of one part.

    The octets of parts that go by the same data_coding are joined before they are decoded.
    """
    runs = itertools.groupby(pieces, key=itemgetter(0))
    return "".join(
        encoding.decode_received(data_coding, b"".join(octets for _, octets in run), alphabet)
        for data_coding, run in runs
    )
