"""SMPP as the simulated message centre writes and reads it: raw octets, nothing of smsflow's codec.

SMPP v3.4 §3.2 (header), §4.4.1 submit_sm, §4.6.1 deliver_sm; the GSM alphabet from 3GPP TS 23.038 §6.2.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

GENERIC_NACK = 0x80000000
BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 1, 2, 9
SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 4, 5, 6, 0x15
RESPONSE = 0x80000000

_GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = {0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€"}


@dataclass(frozen=True)
class Header:
    """What every PDU begins with."""

    command: int
    status: int
    sequence: int


@dataclass(frozen=True)
class Submitted:
    """What a submit_sm says: a whole text, or part `number` of `total`."""

    phone: str
    text: str
    reference: int
    total: int
    number: int


def pdu(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    return struct.pack("!IIII", 16 + len(body), command, status, sequence) + body


def frames(buffer: bytearray) -> list[tuple[Header, bytes]]:
    """The whole PDUs at the beginning of `buffer`, which are taken out of it."""
    found = []
    while len(buffer) >= 16:
        length, command, status, sequence = struct.unpack_from("!IIII", buffer)
        assert 16 <= length < 70_000, f"the daemon wrote a PDU of length {length}"
        if len(buffer) < length:
            break
        found.append((Header(command, status, sequence), bytes(buffer[16:length])))
        del buffer[:length]
    return found


def deliver(sequence: int, phone: str, number: str, *, esm_class: int, data_coding: int, octets: bytes) -> bytes:
    body = b"\0" + b"\1\1" + phone.encode() + b"\0" + b"\0\0" + number.encode() + b"\0"
    body += bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, data_coding, 0, len(octets))) + octets
    return pdu(DELIVER_SM, 0, sequence, body)


def read_submit(body: bytes) -> Submitted:
    place = 0

    def word() -> bytes:
        nonlocal place
        end = body.index(b"\0", place)
        found, place = body[place:end], end + 1
        return found

    word()  # service_type
    place += 2
    word()  # source_addr
    place += 2
    phone = word().decode()
    esm_class = body[place]
    place += 3
    word()
    word()
    _registered, _replace, data_coding, _default, length = body[place : place + 5]
    octets = body[place + 5 : place + 5 + length]
    assert len(octets) == length, "sm_length is wrong"
    reference, total, number = 0, 1, 1
    if esm_class & 0x40:
        assert octets[:3] == b"\x05\x00\x03", "an UDH that is not that of an 8-bit reference"
        reference, total, number = octets[3:6]
        octets = octets[6:]
    return Submitted(phone, read_text(data_coding, octets), reference, total, number)


def read_text(data_coding: int, octets: bytes) -> str:
    if data_coding == 8:
        return octets.decode("utf-16-be")
    text, escaped = "", False
    for octet in octets:
        if escaped:
            text, escaped = text + _EXTENDED[octet], False
        elif octet == 0x1B:
            escaped = True
        else:
            text += _GSM[octet]
    return text


def write_text(text: str) -> tuple[int, bytes]:
    """data_coding and octets of a mother's text, as a phone would choose them."""
    if all(letter in _GSM and letter not in "\x1b@" for letter in text):
        return 0, bytes(_GSM.index(letter) for letter in text)
    return 8, text.encode("utf-16-be")
