"""A message centre on raw octets: nothing of smsflow, nothing of smpplib, so that no misreading is shared.

Layouts are written from SMPP v3.4 (§3.2 header, §4.4.1 submit_sm, §4.6.1 deliver_sm, §5.3 optional parameters).
What the link sends is read strictly: a frame that a strict reader would refuse fails the test.

    async with a_centre() as centre:
        wire = await centre.bound()              # the link has connected, and its bind was accepted
        answer = await wire.deliver(sm(text=b"R 1 1 2"))
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PHONE = b"77011234567"
NUMBER = b"1414"

GENERIC_NACK = 0x80000000
BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x01, 0x02, 0x09
SUBMIT_SM, DELIVER_SM, DATA_SM = 0x04, 0x05, 0x103
UNBIND, ENQUIRE_LINK, OUTBIND, ALERT_NOTIFICATION = 0x06, 0x15, 0x0B, 0x102
BINDS = (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER)
RESP = 0x80000000

_HEADER = struct.Struct(">IIII")

SENT_BY_THE_LINK: list[list[bytes]] = []
"""What every link has sent in this run of the tests: for each connection, its octets as they came."""


@dataclass(frozen=True)
class Frame:
    """One PDU that the link sent."""

    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def key(self) -> tuple[int, int]:
        return self.command, self.status


@dataclass(frozen=True)
class Sm:
    """A submit_sm, read to its last octet."""

    sequence: int
    service_type: str
    source: tuple[int, int, str]
    destination: tuple[int, int, str]
    esm_class: int
    registered_delivery: int
    data_coding: int
    text: bytes
    tlvs: dict[int, bytes]


def frame(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """A PDU with a true header."""
    return _HEADER.pack(16 + len(body), command, status, sequence) + body


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def sm(
    text: bytes = b"",
    *,
    source: bytes = PHONE,
    destination: bytes = NUMBER,
    esm: int = 0,
    coding: int = 0,
    length: int | None = None,
    tlvs: bytes = b"",
    ton: int = 1,
    npi: int = 1,
) -> bytes:
    """The body of a deliver_sm; `length` lies about sm_length."""
    said = len(text) if length is None else length
    addresses = bytes((ton, npi)) + source + b"\0" + b"\0\1" + destination + b"\0"
    return b"\0" + addresses + bytes((esm, 0, 0)) + b"\0\0" + bytes((0, 0, coding, 0, said)) + text + tlvs


def data_sm(tlvs: bytes, *, source: bytes = PHONE, esm: int = 0, coding: int = 0) -> bytes:
    """The body of a data_sm (§4.7.1)."""
    return b"\0" + b"\1\1" + source + b"\0" + b"\0\1" + NUMBER + b"\0" + bytes((esm, 0, coding)) + tlvs


def receipt(message_id: str, state: str = "DELIVRD", **changes: object) -> bytes:
    """A receipt as in Appendix B, without parameters."""
    words = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2611200800 done date:2611200801 stat:{state} err:000 text:"
    )
    return sm(words.encode(), esm=0x04, **changes)  # type: ignore[arg-type]


def read_sm(pdu: Frame) -> Sm:
    """Read a submit_sm strictly (§4.4.1)."""
    rest = pdu.body

    def c_string(most: int) -> str:
        nonlocal rest
        value, nul, rest = rest.partition(b"\0")
        assert nul, "a C-octet string without its NUL"
        assert len(value) < most, f"{len(value)} octets where {most - 1} are the most"
        return value.decode("ascii")

    def octet() -> int:
        nonlocal rest
        value, rest = rest[0], rest[1:]
        return value

    service_type = c_string(6)
    source = (octet(), octet(), c_string(21))
    destination = (octet(), octet(), c_string(21))
    esm_class, _protocol, _priority = octet(), octet(), octet()
    c_string(17), c_string(17)
    registered_delivery, _replace, data_coding, _default = octet(), octet(), octet(), octet()
    length = octet()
    assert length <= 254
    text, rest = rest[:length], rest[length:]
    assert len(text) == length
    tlvs = {}
    while rest:
        tag, size = struct.unpack_from(">HH", rest)
        assert len(rest) >= 4 + size
        tlvs[tag], rest = rest[4 : 4 + size], rest[4 + size :]
    return Sm(
        pdu.sequence, service_type, source, destination, esm_class, registered_delivery, data_coding, text, tlvs
    )


class Wire:
    """One connection of the link, seen from the message centre."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.frames: list[Frame] = []
        self.answering = {ENQUIRE_LINK, SUBMIT_SM, UNBIND}
        """Requests that are answered at once, with ESME_ROK; without its `message_id`, `m` and the sequence."""
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self._writer = writer
        self._reader = reader
        self._sequences = itertools.count(1)
        self._moved = asyncio.Condition()
        self._taken: set[int] = set()
        self._chunks: list[bytes] = []
        SENT_BY_THE_LINK.append(self._chunks)
        self._task = asyncio.create_task(self._read())

    def write(self, *octets: bytes) -> None:
        self._writer.write(b"".join(octets))

    async def trickle(self, octets: bytes, size: int = 1) -> None:
        """Write in pieces, each in a TCP segment of its own as far as the kernel lets us."""
        for start in range(0, len(octets), size):
            self._writer.write(octets[start : start + size])
            await self._writer.drain()
            await asyncio.sleep(0)

    def answer(self, request: Frame, body: bytes = b"", status: int = 0) -> None:
        self.write(frame(request.command | RESP, request.sequence, body, status))

    def accept(self, request: Frame, message_id: str = "") -> None:
        """Answer a submit_sm well."""
        self.answer(request, (message_id or f"m{request.sequence}").encode() + b"\0")

    def cut(self) -> None:
        """End the connection with an RST, and no word."""
        self._writer.transport.abort()

    async def next(self, *commands: int, holds: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """The first frame that was not given before, with one of `commands`; waits for it."""
        async with self._moved:
            while True:
                for index, each in enumerate(self.frames):
                    if index not in self._taken and each.command in commands and holds(each):
                        self._taken.add(index)
                        return each
                assert not self.closed.is_set(), f"the link has closed before {[hex(c) for c in commands]}"
                await self._moved.wait()

    async def deliver(self, body: bytes, *, sequence: int | None = None, command: int = DELIVER_SM) -> Frame:
        """Deliver, and wait for the answer."""
        number = next(self._sequences) if sequence is None else sequence
        self.write(frame(command, number, body))
        return await self.next(command | RESP, GENERIC_NACK, holds=lambda answer: answer.sequence == number)

    async def alive(self) -> None:
        """Prove that the link is still bound: it answers enquire_link on this connection."""
        number = next(self._sequences) + 5_000_000
        self.write(frame(ENQUIRE_LINK, number))
        await self.next(ENQUIRE_LINK | RESP, holds=lambda answer: answer.sequence == number)

    def submits(self) -> list[Sm]:
        return [read_sm(each) for each in self.frames if each.command == SUBMIT_SM]

    async def _read(self) -> None:
        buffer = b""
        try:
            while True:
                await self.reading.wait()
                chunk = await self._reader.read(65536)
                if not chunk:
                    break
                self._chunks.append(chunk)
                buffer = await self._cut(buffer + chunk)
        except ConnectionError:
            pass
        async with self._moved:
            self.closed.set()
            self._moved.notify_all()

    async def _cut(self, buffer: bytes) -> bytes:
        while len(buffer) >= 16:
            length, command, status, sequence = _HEADER.unpack_from(buffer)
            assert 16 <= length <= 65536, f"the link sent command_length {length}"
            if len(buffer) < length:
                break
            pdu = Frame(command, status, sequence, buffer[16:length])
            buffer = buffer[length:]
            if command in self.answering:
                self.answer(pdu, f"m{sequence}\0".encode() if command == SUBMIT_SM else b"")
            async with self._moved:
                self.frames.append(pdu)
                self._moved.notify_all()
        return buffer

    async def end(self) -> None:
        self._task.cancel()
        self._writer.transport.abort()
        await asyncio.gather(self._task, return_exceptions=True)


@dataclass
class RawCentre:
    """Listens; each connection of the link is a `Wire`."""

    port: int = 0
    wires: list[Wire] = field(default_factory=list)
    arrived: asyncio.Queue[Wire] = field(default_factory=asyncio.Queue)

    async def connected(self) -> Wire:
        """The next connection."""
        return await self.arrived.get()

    async def bound(self, status: int = 0) -> Wire:
        """The next connection, its bind answered with `status`."""
        wire = await self.connected()
        request = await wire.next(*BINDS)
        wire.answer(request, b"raw\0" if not status else b"", status)
        return wire

    def submits(self) -> list[Sm]:
        """What came on all connections, oldest first."""
        return [each for wire in self.wires for each in wire.submits()]


@asynccontextmanager
async def a_centre(receive_octets: int | None = None) -> AsyncIterator[RawCentre]:
    """A centre that listens; `receive_octets` makes the kernel's buffer for what it does not read small."""
    centre = RawCentre()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        centre.wires.append(wire)
        centre.arrived.put_nowait(wire)

    listening = socket.create_server(("127.0.0.1", 0))
    if receive_octets is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_octets)
    server = await asyncio.start_server(accept, sock=listening)
    centre.port = listening.getsockname()[1]
    try:
        yield centre
    finally:
        server.close()
        for wire in centre.wires:
            await wire.end()
        await server.wait_closed()
