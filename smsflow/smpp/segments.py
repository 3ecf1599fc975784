"""Long texts: one text as several PDUs, and the parts of one text from several PDUs.

Out, each part carries a user data header with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1). In, parts are
recognised by that header, by its 16-bit form (§9.2.3.24.8) among other elements, or by the `sar_…` parameters
(SMPP v3.4 §5.3.2.22 to 24). Who collects parts keys them by sender, number and `Part.key`, and joins their
octets before decoding: a character may be cut by the sender's phone.

    >>> [segment.short_message[:6].hex() for segment in segment("ә" * 71, reference=9)]
    ['050003090201', '050003090202']
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from smsflow.core import encoding
from smsflow.core.encoding import Coding
from smsflow.smpp.codec import SmPdu, SubmitSm, Tag, find_tlv

__all__ = ["Kind", "Part", "Segment", "join", "read_part", "segment", "submits"]

UDHI: Final = 0x40
"""The bit of esm_class that says: a user data header comes first (SMPP v3.4 §5.2.12)."""

_CONCATENATED_8: Final = 0x00
_CONCATENATED_16: Final = 0x08
_INTERNATIONAL_ISDN: Final = (1, 1)


@dataclass(frozen=True, slots=True)
class Segment:
    """What one PDU of a text carries, in SMPP's fields."""

    esm_class: int
    data_coding: int
    short_message: bytes


def segment(text: str, reference: int, *, coding: Coding | None = None) -> tuple[Segment, ...]:
    """Return `text` as the segments that carry it, at least one.

    `reference` tells one long text from another of the same sender and receiver; its low octet is used.

    Raises:
        ValueError: the text takes more than 255 segments, or `coding` cannot carry it.
    """
    chosen = coding or encoding.find_coding(text)
    parts = encoding.split(text, chosen)
    if len(parts) == 1:
        return (Segment(0, chosen.value, parts[0]),)
    if len(parts) > 255:
        raise ValueError(f"a text of {len(parts)} segments cannot be sent; 255 is the most")
    head = bytes((5, _CONCATENATED_8, 3, reference & 0xFF, len(parts)))
    return tuple(
        Segment(UDHI, chosen.value, head + bytes((number,)) + part) for number, part in enumerate(parts, start=1)
    )


def submits(text: str, *, source_addr: str, destination_addr: str, reference: int) -> tuple[SubmitSm, ...]:
    """Return the submit_sm that carry `text` from a short number to a phone, receipts asked for.

    Raises:
        ValueError: as `segment`.
    """
    ton, npi = _INTERNATIONAL_ISDN
    return tuple(
        SubmitSm(
            source_addr=source_addr,
            dest_addr_ton=ton,
            dest_addr_npi=npi,
            destination_addr=destination_addr,
            esm_class=each.esm_class,
            registered_delivery=1,
            data_coding=each.data_coding,
            short_message=each.short_message,
        )
        for each in segment(text, reference)
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


def read_part(pdu: SmPdu) -> tuple[Part | None, bytes]:
    """Return which part `pdu` is, None if it is whole, and its octets without a user data header.

    What is no sound part (part 3 of 2, part 0, a total of 1) is taken as a whole text.
    """
    payload = pdu.short_message
    if pdu.esm_class & UDHI and payload and payload[0] < len(payload):
        # "The UDHI flag set": trust the flag (3GPP TS 23.040 §9.2.3.24), if the header's length can be true.
        end = payload[0] + 1
        return _read_header(payload[1:end]) or _read_sar(pdu), payload[end:]
    return _read_sar(pdu), payload


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
