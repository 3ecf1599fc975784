"""A message centre over real TCP, for `smsflow smsc`, the demo, and tests: SMPP 3.4 from the other side.

Any ESME may bind to it as transceiver, receiver or transmitter. Texts that it submits are joined from their
parts and given to `on_text`; `send` delivers what a phone writes. Nothing is kept on disk.

    centre = MessageCentre(print)
    port = await centre.start("127.0.0.1", 2775)
    status = await centre.send("77011234567", "R 1 1 2")
    await centre.stop()
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from smsflow.core.encoding import Coding
from smsflow.core.errors import RemoteViolation
from smsflow.smpp import codec, hot
from smsflow.smpp.codec import (
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    Pdu,
    SmPdu,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    Undecodable,
)
from smsflow.smpp.faults import Faults, Wire
from smsflow.smpp.segments import Kind, join, read_part, segment
from smsflow.smpp.statuses import Status

__all__ = ["MessageCentre", "Text"]

_RECEIPT: Final = 0x04
_DELIVERED: Final = b"\x02"
_GRACE_S: Final = 2.0
_BIND_RESPONSES: Final[dict[type[Bind], type[BindResp]]] = {
    BindTransceiver: BindTransceiverResp,
    BindReceiver: BindReceiverResp,
    BindTransmitter: BindTransmitterResp,
}


@dataclass(frozen=True, slots=True)
class Text:
    """A complete text that an ESME submitted: from `source` (a short number) to `destination` (a phone)."""

    source: str
    destination: str
    text: str
    segments: int
    at: datetime


class MessageCentre:
    """Accepts binds, takes texts for phones, and delivers what phones write."""

    def __init__(
        self,
        on_text: Callable[[Text], None],
        *,
        credentials: Mapping[str, str] | None = None,
        receipts: bool = True,
        receipt_delay_s: float = 0.0,
        enquire_link_s: float = 30.0,
        response_timeout_s: float = 10.0,
        faults: Faults | None = None,
    ) -> None:
        """Prepare; `start` begins.

        `credentials` maps each system_id to its password; without it anybody may bind. A deliver_sm that is
        not answered within `response_timeout_s` is delivered again. `faults` are made on every connection.
        """
        self._on_text = on_text
        self._credentials = credentials
        self._receipts = receipts
        self._receipt_delay_s = receipt_delay_s
        self.enquire_link_s = enquire_link_s
        self._response_timeout_s = response_timeout_s
        self.faults = faults or Faults()
        self._server: asyncio.Server | None = None
        self._clients: list[_Client] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: dict[tuple[str, str, Kind, int, int], dict[int, bytes]] = {}
        self._changed = asyncio.Event()
        self._stopped = False
        # Numbers that do not come again after a restart, as those of a real centre.
        self._message_ids = itertools.count(int(time.time() * 1000))
        self._references = itertools.count(1)

    # ------------------------------------------------------------------------------------ for the owner

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen, and return the port; 0 asks for any free one.

        Raises:
            OSError: the port is in use, or the host is not ours.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Unbind every ESME, then close everything."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(client.leave() for client in tuple(self._clients)))
        if self._server is not None:
            await self._server.wait_closed()
        self._changed.set()

    def drop_connections(self) -> None:
        """Cut every connection without an unbind, as a failing network does."""
        for client in tuple(self._clients):
            client.abort()

    async def wait_bound(self) -> None:
        """Wait until an ESME is bound that can receive."""
        await self._find_receiver()

    async def send(self, msisdn: str, text: str, *, number: str = "1414", data_coding: int | None = None) -> int:
        """Deliver what the phone `msisdn` writes to `number`, and return the status of the answer.

        A long text goes in parts, and the first error ends it. `data_coding` 0 or 8 forces the coding.

        Raises:
            ConnectionError: the message centre was stopped.
            ValueError: `text` cannot be written in `data_coding`.
        """
        coding = None if data_coding is None else Coding(data_coding)
        for each in segment(text, next(self._references), coding=coding):
            status = await self.deliver(
                DeliverSm(
                    source_addr_ton=1,
                    source_addr_npi=1,
                    source_addr=msisdn,
                    destination_addr=number,
                    esm_class=each.esm_class,
                    data_coding=each.data_coding,
                    short_message=each.short_message,
                )
            )
            if status:
                break
        return status

    async def deliver(self, pdu: DeliverSm) -> int:
        """Deliver `pdu` to an ESME, again until one answers, and return the status of the answer.

        Raises:
            ConnectionError: the message centre was stopped.
        """
        while True:
            client = await self._find_receiver()
            try:
                async with asyncio.timeout(self._response_timeout_s):
                    return await client.request(pdu)
            except (TimeoutError, ConnectionError):
                continue

    async def _find_receiver(self) -> _Client:
        """Return a bound ESME that can receive, each in turn; wait for one."""
        while not self._stopped:
            for client in self._clients:
                if client.can_receive:
                    self._clients.remove(client)
                    self._clients.append(client)
                    return client
            self._changed.clear()
            await self._changed.wait()
        raise ConnectionError("the message centre was stopped")

    # ------------------------------------------------------------------------------------ for a client

    def joined(self, client: _Client) -> None:
        """Note a connection."""
        self._clients.append(client)

    def left(self, client: _Client) -> None:
        """Note the end of a connection."""
        self._clients.remove(client)

    def admit(self, bind: Bind) -> int:
        """Return the status to answer `bind` with."""
        if self._credentials is None:
            return Status.ROK
        if bind.system_id not in self._credentials:
            return Status.RINVSYSID
        return Status.ROK if self._credentials[bind.system_id] == bind.password else Status.RINVPASWD

    def bound(self) -> None:
        """Wake whoever waits for a receiver."""
        self._changed.set()

    def take(self, pdu: SmPdu) -> str:
        """Take a submitted text or a part of one; return its message id."""
        message_id = f"{next(self._message_ids):X}"
        if self._receipts and pdu.registered_delivery & 0x03 == 0x01:  # §5.2.17
            task = asyncio.get_running_loop().create_task(self._send_receipt(pdu, message_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        part, payload = read_part(pdu)
        if part is None:
            self._hand_over(pdu, [payload])
        else:
            key = (pdu.source_addr, pdu.destination_addr, *part.key)
            parts = self._parts.setdefault(key, {})
            parts[part.number] = payload
            if len(parts) == part.total:
                del self._parts[key]
                self._hand_over(pdu, [parts[number] for number in sorted(parts)])
        return message_id

    def _hand_over(self, pdu: SmPdu, payloads: list[bytes]) -> None:
        text = join(pdu.data_coding, payloads)
        self._on_text(Text(pdu.source_addr, pdu.destination_addr, text, len(payloads), datetime.now(UTC)))

    async def _send_receipt(self, pdu: SmPdu, message_id: str) -> None:
        """Deliver the receipt of a text that has reached its phone."""
        submitted_at = datetime.now(UTC)
        await asyncio.sleep(self._receipt_delay_s)
        await self.deliver(_make_receipt(pdu, message_id, submitted_at, datetime.now(UTC)))


def _make_receipt(pdu: SmPdu, message_id: str, submitted_at: datetime, done_at: datetime) -> DeliverSm:
    """Return the receipt of `pdu`, in the form of Appendix B and with the parameters of §5.3.2."""
    text = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:{submitted_at:%y%m%d%H%M} "
        f"done date:{done_at:%y%m%d%H%M} stat:DELIVRD err:000 text:"
    )
    return DeliverSm(
        source_addr_ton=pdu.dest_addr_ton,
        source_addr_npi=pdu.dest_addr_npi,
        source_addr=pdu.destination_addr,
        dest_addr_ton=pdu.source_addr_ton,
        dest_addr_npi=pdu.source_addr_npi,
        destination_addr=pdu.source_addr,
        esm_class=_RECEIPT,
        short_message=text.encode("ascii"),
        tlvs=(
            (Tag.RECEIPTED_MESSAGE_ID, message_id.encode("ascii") + b"\0"),
            (Tag.MESSAGE_STATE, _DELIVERED),
        ),
    )


class _Client(asyncio.Protocol):
    """One connection of an ESME."""

    def __init__(self, centre: MessageCentre) -> None:
        self._centre = centre
        self._framer = Framer("smsc")
        self._out = bytearray()
        self._scheduled = False
        self._sequence = 0
        self._mode: type[Bind] | None = None
        self._requests: dict[int, asyncio.Future[int]] = {}
        self._ended = asyncio.Event()
        self._silent_turns = 0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._wire: Wire
        self._timer: asyncio.TimerHandle

    @property
    def can_receive(self) -> bool:
        """Whether deliver_sm may go this way."""
        return self._mode in (BindTransceiver, BindReceiver) and not self._transport.is_closing()

    async def request(self, pdu: Pdu) -> int:
        """Send `pdu` under a sequence of its own, and return the status of the answer.

        Raises:
            ConnectionError: the connection ended before the answer.
        """
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        sequence = self._sequence
        answer: asyncio.Future[int] = self._loop.create_future()
        self._requests[sequence] = answer
        self._write(hot.encode(pdu, sequence))
        try:
            return await answer
        finally:
            self._requests.pop(sequence, None)

    async def leave(self) -> None:
        """Unbind if bound, and close."""
        if self._mode is not None and not self._transport.is_closing():
            try:
                async with asyncio.timeout(_GRACE_S):
                    await self.request(Unbind())
            except (TimeoutError, ConnectionError):
                pass  # it leaves anyway
        self._transport.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._ended.wait()
        except TimeoutError:
            self._transport.abort()
            await self._ended.wait()

    def abort(self) -> None:
        """Cut the connection."""
        self._mode = None
        self._transport.abort()

    # ------------------------------------------------------------------------------------ from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; nothing is said before the ESME binds."""
        self._transport = cast("asyncio.Transport", transport)
        self._wire = self._centre.faults.join(self._put, self._close)
        self._timer = self._loop.call_later(self._centre.enquire_link_s, self._enquire)
        self._centre.joined(self)

    def data_received(self, data: bytes) -> None:
        """Act on what has come, and answer all of it in one write."""
        self._scheduled = True
        try:
            for frame in self._framer.receive(data):
                self._silent_turns = 0
                if self._wire.takes(frame):
                    self._handle(hot.decode(frame))
        except RemoteViolation:
            self._send(GenericNack(status=Status.RINVCMDLEN))
            self._end_turn()
            self._transport.close()
        self._end_turn()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End: what was not answered will be delivered again."""
        self._mode = None
        self._timer.cancel()
        for answer in self._requests.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the connection ended before the answer"))
        self._centre.left(self)
        self._ended.set()

    # ------------------------------------------------------------------------------------------- inside

    def _handle(self, pdu: Pdu) -> None:
        match pdu:
            case SubmitSm() | DataSm():
                self._handle_text(pdu)
            case DeliverSmResp() | DataSmResp() | GenericNack() | UnbindResp():
                answer = self._requests.get(pdu.sequence)
                if answer is not None and not answer.done():
                    answer.set_result(pdu.status)
            case EnquireLink():
                self._send(EnquireLinkResp(sequence=pdu.sequence))
            case Bind():
                self._handle_bind(pdu)
            case Unbind():
                self._mode = None
                self._send(UnbindResp(sequence=pdu.sequence))
                self._end_turn()
                self._transport.close()
            case Undecodable() if pdu.is_request:
                self._send(codec.make_error(pdu, pdu.answer))
            case DeliverSm():  # a request that only a message centre makes
                self._send(codec.make_error(pdu, Status.RINVCMDID))
            case _:
                pass  # answers that tell nothing more

    def _handle_bind(self, pdu: Bind) -> None:
        status = Status.RALYBND if self._mode is not None else self._centre.admit(pdu)
        response = _BIND_RESPONSES[type(pdu)]
        version = ((Tag.SC_INTERFACE_VERSION, b"\x34"),)
        self._send(response(sequence=pdu.sequence, status=status, system_id="smsflow", tlvs=version))
        if status == Status.ROK:
            self._mode = type(pdu)
            self._centre.bound()

    def _handle_text(self, pdu: SubmitSm | DataSm) -> None:
        if self._mode not in (BindTransceiver, BindTransmitter):
            self._send(codec.make_error(pdu, Status.RINVBNDSTS))
            return
        response = DataSmResp if isinstance(pdu, DataSm) else SubmitSmResp
        self._send(response(sequence=pdu.sequence, message_id=self._centre.take(pdu)))

    def _enquire(self) -> None:
        """Ask a silent ESME whether it lives; cut the connection when it has not answered twice."""
        if self._silent_turns > 1:
            self.abort()
            return
        self._silent_turns += 1
        if self._mode is not None:
            self._sequence = self._sequence % 0x7FFFFFFF + 1
            self._write(codec.encode(EnquireLink(sequence=self._sequence)))
        self._timer = self._loop.call_later(self._centre.enquire_link_s, self._enquire)

    def _send(self, pdu: Pdu) -> None:
        self._write(hot.encode(pdu))

    def _write(self, frame: bytes) -> None:
        self._wire.send(frame)

    def _close(self) -> None:
        self._end_turn()
        self._transport.close()

    def _put(self, octets: bytes) -> None:
        """Send `octets` at the end of this turn of the event loop."""
        self._out += octets
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = False
        if self._out and not self._transport.is_closing():
            self._transport.write(bytes(self._out))
        self._out.clear()
