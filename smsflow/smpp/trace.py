"""The octets of a session as a capture that Wireshark opens: pcap, with Ethernet, IP and TCP made up around them.

What stands in the file is what was said inside of TLS too. The message centre's port is always 2775, so that it
is dissected as SMPP without asking; addresses and times are true. Passwords and texts are overwritten with `*`,
octet for octet, unless they are asked for; so is whatever cannot be read, because a text may be in it.
The walk through a PDU is written after the specification, and knows nothing of `codec`.

    >>> octets = bytearray()
    >>> capture = Capture(octets.extend, lambda: 0.0)
    >>> octets.hex()
    'd4c3b2a1020004000000000000000000ffff000001000000'
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

__all__ = ["Capture", "blank"]

PORT: Final = 2775
_PCAP_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)  # 1: Ethernet
_MAC: Final = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))  # ours, theirs: locally administered
_SEGMENT_OCTETS: Final = 1_440
_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_HEADER_OCTETS: Final = 16
_MAX_FRAME_OCTETS: Final = 64 * 1024

_BLANK: Final = b"*"


# ------------------------------------------------------------------------------------------------- blanking

_BINDS: Final = frozenset((0x01, 0x02, 0x09))
_OUTBIND: Final = 0x0B
_SUBMIT_SM, _DELIVER_SM, _DATA_SM = 0x04, 0x05, 0x103
_WITHOUT_TEXT: Final = frozenset((
    0x80000000, 0x80000001, 0x80000002, 0x80000009,  # generic_nack, bind_*_resp
    0x80000004, 0x80000005, 0x80000103,  # submit_sm_resp, deliver_sm_resp, data_sm_resp
    0x00000006, 0x80000006, 0x00000015, 0x80000015, 0x00000102,  # unbind, enquire_link, alert_notification
    0x00000003, 0x80000003, 0x00000008, 0x80000008, 0x80000007,  # query_sm, cancel_sm, replace_sm_resp
))  # fmt: skip
# §5.3.2: what says something about a text, and holds nothing of it.
_SAFE_TAGS: Final = frozenset((
    0x0005, 0x0006, 0x0007, 0x0008, 0x000D, 0x000E, 0x000F, 0x0010, 0x0017, 0x0019, 0x001E, 0x0030,
    0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x020A, 0x020B, 0x020C, 0x020D, 0x020E, 0x020F, 0x0210,
    0x0302, 0x0304, 0x0420, 0x0421, 0x0422, 0x0423, 0x0425, 0x0426, 0x0427, 0x0501, 0x1201, 0x1203, 0x1204, 0x130C,
))  # fmt: skip
_UDHI: Final = 0x40
_MESSAGE_TYPE: Final = 0x3C
"""§5.2.12: bits 5-2 of esm_class say that it is a receipt or a notification, no text of a person."""
_RECEIPT: Final = re.compile(rb"\x00?i\x00?d\x00?:", re.IGNORECASE)
_RECEIPT_TEXT: Final = re.compile(rb"t\x00?e\x00?x\x00?t\x00?:", re.IGNORECASE)


class _Short(Exception):
    """The PDU ends before the field; `pos` is where the walk stood."""

    def __init__(self, pos: int) -> None:
        super().__init__(pos)
        self.pos = pos


class _Walk:
    """Goes through a PDU field by field."""

    def __init__(self, frame: bytearray) -> None:
        self.frame = frame
        self.pos = _HEADER_OCTETS

    def string(self) -> tuple[int, int]:
        """Pass a C-string; where it begins and ends, without its NUL."""
        start, end = self.pos, self.frame.find(b"\0", self.pos)
        if end < 0:
            raise _Short(start)
        self.pos = end + 1
        return start, end

    def octet(self) -> int:
        if self.pos >= len(self.frame):
            raise _Short(self.pos)
        self.pos += 1
        return self.frame[self.pos - 1]

    def address(self) -> None:
        self.octet()
        self.octet()
        self.string()


def blank(frame: bytes, *, texts: bool = False, passwords: bool = False) -> bytes:
    """Return one whole PDU with its password and text overwritten, unless they are asked for."""
    command_id = int.from_bytes(frame[4:8], "big")
    walk = _Walk(bytearray(frame))
    try:
        if command_id in _BINDS or command_id == _OUTBIND:
            if not passwords:
                walk.string()
                _overwrite(walk.frame, *walk.string())
        elif texts or command_id in _WITHOUT_TEXT:
            pass
        elif command_id in (_SUBMIT_SM, _DELIVER_SM, _DATA_SM):
            _blank_text(walk, command_id)
        else:
            _overwrite(walk.frame, _HEADER_OCTETS, len(frame))
    except _Short as short:
        _overwrite(walk.frame, short.pos, len(frame))
    return bytes(walk.frame)


def _blank_text(walk: _Walk, command_id: int) -> None:
    """Overwrite the text of a submit_sm, deliver_sm (§4.4.1, §4.6.1) or data_sm (§4.7.1)."""
    walk.string()  # service_type
    walk.address()
    walk.address()
    esm_class = walk.octet()
    if command_id == _DATA_SM:
        walk.octet()  # registered_delivery
        walk.octet()  # data_coding
    else:
        walk.octet()  # protocol_id
        walk.octet()  # priority_flag
        walk.string()  # schedule_delivery_time
        walk.string()  # validity_period
        for _ in range(4):  # registered_delivery … sm_default_msg_id
            walk.octet()
        end = min(walk.octet() + walk.pos, len(walk.frame))
        _blank_payload(walk.frame, walk.pos, end, esm_class if command_id == _DELIVER_SM else esm_class & _UDHI)
        walk.pos = end
    _blank_tlvs(walk, esm_class)


def _blank_tlvs(walk: _Walk, esm_class: int) -> None:
    while walk.pos < len(walk.frame):
        if walk.pos + 4 > len(walk.frame):
            raise _Short(walk.pos)
        tag, length = struct.unpack_from(">HH", walk.frame, walk.pos)
        start = walk.pos + 4
        if start + length > len(walk.frame):
            raise _Short(walk.pos)
        if tag == 0x0424:  # message_payload
            _blank_payload(walk.frame, start, start + length, esm_class)
        elif tag not in _SAFE_TAGS:
            _overwrite(walk.frame, start, start + length)
        walk.pos = start + length


def _blank_payload(frame: bytearray, start: int, end: int, esm_class: int) -> None:
    """Overwrite a text; its user data header stays, and of a receipt all but the text that it quotes."""
    if esm_class & _UDHI and start < end:
        start = min(start + 1 + frame[start], end)
    payload = bytes(frame[start:end])
    if esm_class & _MESSAGE_TYPE and _RECEIPT.match(payload):
        quoted = _RECEIPT_TEXT.search(payload)
        start = end if quoted is None else start + quoted.end()
    _overwrite(frame, start, end)


def _overwrite(frame: bytearray, start: int, end: int) -> None:
    frame[start:end] = _BLANK * (end - start)


# -------------------------------------------------------------------------------------------------- packets


@dataclass(slots=True)
class _Side:
    """One direction of a connection: from where, the next TCP sequence number, and what waits for its rest."""

    address: IPv4Address | IPv6Address
    port: int
    mac: bytes
    sequence: int
    begun: bytes = b""
    broken: bool = field(default=False)
    """The boundaries between PDUs are lost."""
    astray: bool = field(default=False)
    """So they are, and the last header has been written."""


class Capture:
    """A `session.Tap` that gives a capture to `write`, packet by packet; `now` is seconds since 1970."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        now: Callable[[], float],
        *,
        texts: bool = False,
        passwords: bool = False,
    ) -> None:
        self._write = write
        self._now = now
        self._texts = texts
        self._passwords = passwords
        self._flows: dict[Hashable, tuple[_Side, _Side]] = {}
        write(_PCAP_HEADER)

    def opened(self, connection: Hashable, ours: tuple[str, int], theirs: tuple[str, int]) -> None:
        """Begin a flow. Its beginning (SYN) is made up too: Wireshark then counts from 0."""
        mine = _Side(ip_address(ours[0]), ours[1], _MAC[0], 0)
        other = _Side(ip_address(theirs[0]), PORT, _MAC[1], 0)
        self._flows[connection] = mine, other
        self._packet(mine, other, b"", _SYN)
        self._packet(other, mine, b"", _SYN | _ACK)
        self._packet(mine, other, b"", _ACK)

    def sent(self, connection: Hashable, octets: bytes) -> None:
        """Write what went out."""
        if connection in self._flows:
            mine, other = self._flows[connection]
            self._say(mine, other, octets)

    def received(self, connection: Hashable, octets: bytes) -> None:
        """Write what came in, when it is whole."""
        if connection in self._flows:
            mine, other = self._flows[connection]
            self._say(other, mine, octets)

    def ended(self, connection: Hashable) -> None:
        """Write what is left, and the end."""
        if connection not in self._flows:
            return
        mine, other = self._flows.pop(connection)
        for side, peer in ((mine, other), (other, mine)):
            self._rest(side, peer)
        self._packet(mine, other, b"", _FIN | _ACK)
        self._packet(other, mine, b"", _FIN | _ACK)
        self._packet(mine, other, b"", _ACK)

    def finish(self) -> None:
        """Write what has come of PDUs that will not be seen whole."""
        for mine, other in self._flows.values():
            self._rest(mine, other)
            self._rest(other, mine)

    def _say(self, side: _Side, peer: _Side, octets: bytes) -> None:
        side.begun += octets
        for frame in _frames(side):
            self._segments(side, peer, blank(frame, texts=self._texts, passwords=self._passwords))
        if side.broken:
            self._rest(side, peer)

    def _rest(self, side: _Side, peer: _Side) -> None:
        """Write what is no whole PDU: nobody knows where a text is in it, so only its header stays."""
        octets, side.begun = side.begun, b""
        if not octets:
            return
        head = b"" if side.astray else octets[:_HEADER_OCTETS]
        side.astray = True
        shown = octets if self._texts and self._passwords else head + _BLANK * (len(octets) - len(head))
        self._segments(side, peer, shown)

    def _segments(self, side: _Side, peer: _Side, octets: bytes) -> None:
        for start in range(0, len(octets), _SEGMENT_OCTETS):
            self._packet(side, peer, octets[start : start + _SEGMENT_OCTETS], _PSH | _ACK)

    def _packet(self, side: _Side, peer: _Side, octets: bytes, flags: int) -> None:
        packet = _ethernet(side, peer, octets, flags)
        side.sequence = (side.sequence + len(octets) + bool(flags & (_SYN | _FIN))) % 2**32
        seconds, micros = divmod(round(self._now() * 1_000_000), 1_000_000)
        self._write(struct.pack("<IIII", seconds, micros, len(packet), len(packet)) + packet)


def _frames(side: _Side) -> Iterator[bytes]:
    """Take each whole PDU off what has come; by command_length only (§3.2)."""
    while len(side.begun) >= 4 and not side.broken:
        length = int.from_bytes(side.begun[:4], "big")
        if not _HEADER_OCTETS <= length <= _MAX_FRAME_OCTETS:
            side.broken = True
        elif len(side.begun) < length:
            return
        else:
            frame, side.begun = side.begun[:length], side.begun[length:]
            yield frame


def _ethernet(side: _Side, peer: _Side, octets: bytes, flags: int) -> bytes:
    """Return one packet: Ethernet, IPv4 or IPv6, TCP, with their checksums."""
    acknowledged = peer.sequence if flags & _ACK else 0
    tcp = struct.pack(">HHIIBBHHH", side.port, peer.port, side.sequence, acknowledged, 0x50, flags, 65_535, 0, 0)
    segment = tcp + octets
    addresses = side.address.packed + peer.address.packed
    if isinstance(side.address, IPv4Address):
        pseudo = addresses + struct.pack(">BBH", 0, 6, len(segment))
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0) + addresses
        head = head[:10] + _checksum(head) + head[12:]
        kind = b"\x08\x00"
    else:
        pseudo = addresses + struct.pack(">II", len(segment), 6)
        head = struct.pack(">IHBB", 0x60000000, len(segment), 6, 64) + addresses
        kind = b"\x86\xdd"
    segment = segment[:16] + _checksum(pseudo + segment) + segment[18:]
    return b"".join((peer.mac, side.mac, kind, head, segment))


def _checksum(octets: bytes) -> bytes:
    """Return the Internet checksum of `octets` (RFC 1071)."""
    padded = octets + b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
