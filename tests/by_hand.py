"""A message centre and state bodies on raw octets, for tests of the daemon as a process: nothing of smsflow.

The centre is one that stores and forwards: a reply is delivered again, with another sequence number on the next
bind, until it was acknowledged with ESME_ROK. Layouts as in `peers.raw`, from SMPP v3.4.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
from peers.raw import (
    BINDS,
    DELIVER_SM,
    ENQUIRE_LINK,
    RESP,
    SUBMIT_SM,
    UNBIND,
    Frame,
    Sm,
    frame,
    read_sm,
    sm,
)  # fmt: skip

ESME_RSYSERR = 0x08
AGAIN_S = 0.2
"""After an answer that is not ESME_ROK, and for a body that could not say its word."""


@dataclass(eq=False)
class Reply:
    """What a mother wrote, and what became of it: each try by its connection and status, None while unanswered."""

    phone: str
    text: str
    tries: list[tuple[int, int | None]] = field(default_factory=list)
    submitted_before: int = 0
    """How many PDUs the daemon had submitted when it acknowledged this."""

    @property
    def acknowledged(self) -> bool:
        return any(status == 0 for _, status in self.tries)


@dataclass(frozen=True)
class Submitted:
    """One PDU that the daemon submitted; `text` once its last part has come, `reference` 0 where there is one."""

    connection: int
    phone: str
    reference: int
    text: str | None


class Wire(asyncio.Protocol):
    """One connection of the daemon."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._buffer = b""
        self._sequences = itertools.count(1)
        self.unanswered: dict[int, Reply] = {}
        self.frames = 0
        self.unbound = False
        self.number = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.number = self._centre.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._centre.lost(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        while len(buffer) >= 16 and len(buffer) >= (length := int.from_bytes(buffer[:4])):
            words = [int.from_bytes(buffer[at : at + 4]) for at in (4, 8, 12)]
            self._take(Frame(*words, buffer[16:length]))
            buffer = buffer[length:]
        self._buffer = buffer

    def deliver(self, reply: Reply) -> None:
        sequence = next(self._sequences)
        self.unanswered[sequence] = reply
        reply.tries.append((self.number, None))
        self.transport.write(frame(DELIVER_SM, sequence, body_of(reply)))

    def _take(self, pdu: Frame) -> None:
        self.frames += 1
        if pdu.command in BINDS and self._centre.refuses:
            self.transport.write(frame(pdu.command | RESP, pdu.sequence, status=ESME_RSYSERR))
        elif pdu.command in BINDS:
            self._answer(pdu, b"by hand\0")
            self._centre.bound(self)
        elif pdu.command == SUBMIT_SM:
            self._centre.submitted(self, read_sm(pdu))
        elif pdu.command == DELIVER_SM | RESP:
            reply = self.unanswered.pop(pdu.sequence)
            reply.tries[-1] = (self.number, pdu.status)
            self._centre.answered(reply, pdu.status)
        elif pdu.command in (ENQUIRE_LINK, UNBIND):
            self.unbound = self.unbound or pdu.command == UNBIND
            self._answer(pdu)
        self._centre.moved()

    def _answer(self, request: Frame, body: bytes = b"") -> None:
        self.transport.write(frame(request.command | RESP, request.sequence, body))

    def accept(self, sequence: int, message_id: int) -> None:
        """Answer a submit_sm, unless nobody is there any more."""
        if not self.transport.is_closing():
            self.transport.write(frame(SUBMIT_SM | RESP, sequence, b"%x\0" % message_id))


def body_of(reply: Reply) -> bytes:
    return sm(reply.text.encode("utf-16-be"), source=reply.phone.encode(), coding=8)


class Centre:
    """Stores replies until they are acknowledged, and gives whole texts to `hear(phone, text)`.

    A submit_sm is taken at once and answered after up to `think_s`, so that some are always under way.
    """

    def __init__(self, rng: Random, hear: Callable[[str, str], None], *, think_s: float = 0.0) -> None:
        self._rng = rng
        self._hear = hear
        self._think_s = think_s
        self._ids = itertools.count(1)
        self._parts: dict[tuple[str, int], dict[int, str]] = {}
        self._waiting: list[Reply] = []
        self._something = asyncio.Event()
        self._server: asyncio.Server
        self.refuses = False
        """Whether no bind is accepted."""
        self.wire: Wire | None = None
        """The one that is bound."""
        self.wires: list[Wire] = []
        self.replies: list[Reply] = []
        self.texts: list[Submitted] = []

    async def start(self) -> int:
        """Listen; the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self), "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        self._server.close()
        for wire in self.wires:
            wire.transport.abort()

    def reply(self, phone: str, text: str) -> Reply:
        """Deliver what a mother wrote, now or when there is a bind."""
        reply = Reply(phone, text)
        self.replies.append(reply)
        self._deliver(reply)
        return reply

    def _deliver(self, reply: Reply) -> None:
        if self.wire is None:
            self._waiting.append(reply)
        else:
            self.wire.deliver(reply)

    def drop(self, *, rudely: bool) -> None:
        """End the connection as after a timeout; what is unanswered goes out on the next bind. Rudely: an RST."""
        if self.wire is not None and rudely:
            self.wire.transport.abort()
        elif self.wire is not None:
            self.wire.transport.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a frame or a connection after which `holds`."""
        while not holds():
            self._something.clear()
            await self._something.wait()

    # --- what the wires tell ------------------------------------------------------------------------

    def moved(self) -> None:
        self._something.set()

    def connected(self, wire: Wire) -> int:
        self.wires.append(wire)
        return len(self.wires) - 1

    def bound(self, wire: Wire) -> None:
        self.wire = wire
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            wire.deliver(reply)

    def lost(self, wire: Wire) -> None:
        if self.wire is wire:
            self.wire = None
        self._waiting = [*wire.unanswered.values(), *self._waiting]
        wire.unanswered.clear()
        self.moved()

    def answered(self, reply: Reply, status: int) -> None:
        reply.submitted_before = len(self.texts)
        if status:
            asyncio.get_running_loop().call_later(AGAIN_S, self._deliver, reply)

    def submitted(self, wire: Wire, pdu: Sm) -> None:
        phone, (reference, text) = pdu.destination[2], self._join(pdu)
        self.texts.append(Submitted(wire.number, phone, reference, text))
        accept = (wire.accept, pdu.sequence, next(self._ids))
        if self._think_s:
            asyncio.get_running_loop().call_later(self._rng.uniform(0, self._think_s), *accept)
        else:
            wire.accept(*accept[1:])
        if text is not None:
            self._hear(phone, text)

    def _join(self, pdu: Sm) -> tuple[int, str | None]:
        """The reference of a long text, and the whole text when this was its last part."""
        header, octets = b"", pdu.text
        if pdu.esm_class & 0x40:
            size = octets[0] + 1
            header, octets = octets[:size], octets[size:]
            assert header[:3] == b"\5\0\3", "an 8-bit reference"
        text = octets.decode("utf-16-be") if pdu.data_coding == 8 else octets.decode("ascii")
        if not header:
            return 0, text
        reference, total, number = header[3:6]
        parts = self._parts.setdefault((pdu.destination[2], reference), {})
        parts[number] = text
        if len(parts) < total:
            return reference, None
        del self._parts[pdu.destination[2], reference]
        return reference, "".join(parts[each] for each in sorted(parts))


class Bodies:
    """Whatever an application is for, it is granted: each key once, by `events[kind]`, told to the API at `url`."""

    def __init__(self, url: str, token: str, events: dict[str, list[tuple[str, dict[str, Any]]]]) -> None:
        self._http = httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=10
        )
        self._events = events
        self._work: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.posted: list[tuple[str, dict[str, Any]]] = []
        """Idempotency-Key and application, of every request."""
        self.outcomes: dict[tuple[str, str], str] = {}
        """What came of each event, by the application's key and the event's name."""

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._server.close()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._http.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP/1.1 as far as a POST with a Content-Length needs it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")[1:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                application = json.loads(await reader.readexactly(int(headers["content-length"])))
                self._take(headers["idempotency-key"], application)
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _take(self, key: str, application: dict[str, Any]) -> None:
        known = {posted for posted, _ in self.posted}
        self.posted.append((key, application))
        if key not in known:
            task = asyncio.create_task(self._decide(key, application))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _decide(self, key: str, application: dict[str, Any]) -> None:
        for name, data in self._events[application["kind"]]:
            event = {"id": f"{key}-{name}", "event": name, "data": data}
            path = f"/v1/cases/{application['case']}/events"
            self.outcomes[key, name] = (await insist(self._http, path, event))["outcome"]


async def insist(http: httpx2.AsyncClient, path: str, body: object) -> dict[str, Any]:
    """The answer to a POST that is tried until it is taken, whatever happens to the daemon meanwhile."""
    while True:
        try:
            answer = await http.post(path, json=body)
        except httpx2.TransportError:
            pass
        else:
            if answer.status_code == 202:
                return dict(answer.json())
            assert answer.status_code == 503, answer.text
        await asyncio.sleep(AGAIN_S)
