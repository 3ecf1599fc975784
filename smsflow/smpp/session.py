"""One SMPP session kept alive over TCP or TLS: the transport around `smpp.link`.

`Session.run` connects, binds, and after every end connects again, with pauses that grow and are jittered.
What happens is told to a `Listener`, from within the event loop; nothing here logs, and nothing here knows
what a text means. What is submitted or answered within one turn of the event loop goes out in one write.

    session = Session(settings, listener)
    task = asyncio.create_task(session.run())
    …
    await session.stop(grace_s=5)
    await task
"""

from __future__ import annotations

import asyncio
import random as _random
import socket
import ssl
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from enum import Enum
from typing import Final, Protocol, TypeAlias, cast

from smsflow.core.errors import LocalViolation
from smsflow.smpp.codec import DeliverSm, SubmitSm
from smsflow.smpp.link import (
    Bound,
    Closed,
    Delivered,
    Event,
    InDoubt,
    Link,
    LinkSettings,
    LinkState,
    Refused,
    Room,
    SubmitAnswered,
    Throttled,
    Undecoded,
)

__all__ = ["Address", "Listener", "Session", "SessionState", "Tap"]

Address: TypeAlias = tuple[str, int]
"""Host and port."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LINGER_S: Final = 1.0
"""How long the last octets may take to leave before the connection is cut."""
_MOST_UNANSWERED: Final = 4096
"""Reading stops when so many deliver_sm wait for `respond`, and goes on when half of them are answered."""


class SessionState(Enum):
    """What `Session.run` is doing."""

    IDLE = "idle"
    CONNECTING = "connecting"
    BINDING = "binding"
    BOUND = "bound"
    WAITING = "waiting"
    """Between two attempts."""
    STOPPED = "stopped"


class Listener(Protocol):
    """Who is told what happens. Called from the event loop: must return soon, and must not raise."""

    def bound(self, session: Session, /) -> None:
        """The bind was accepted; `room` follows."""

    def refused(self, session: Session, status: int, /) -> None:
        """The bind was refused with `status`; it will be tried again after a pause."""

    def lost(self, session: Session, reason: str, /) -> None:
        """The connection ended, or could not be made; what was in flight has been told to `in_doubt`."""

    def delivered(self, session: Session, pdu: DeliverSm, epoch: int, /) -> None:
        """A text or a receipt has come: after it is kept, `respond` with its sequence and `epoch`."""

    def flush(self, session: Session, /) -> None:
        """Everything that came together has been `delivered` and `answered`: the time to commit."""

    def answered(self, session: Session, token: Hashable, status: int, message_id: str, /) -> None:
        """The submit_sm of `token` was answered."""

    def in_doubt(self, session: Session, tokens: tuple[Hashable, ...], /) -> None:
        """The submit_sm of `tokens` were sent, and will not be answered."""

    def throttled(self, session: Session, status: int, /) -> None:
        """The message centre wants less; the session pauses by itself."""

    def room(self, session: Session, /) -> None:
        """There may be room to submit again, or for the first time."""

    def undecodable(self, session: Session, raw: bytes, reason: str, /) -> None:
        """A frame could not be read, and was answered with an error: keep `raw` for a person."""


class Tap(Protocol):
    """Who is shown the octets of a session, as `Session.taps`. Must return soon, and must not raise."""

    def opened(self, connection: Hashable, ours: Address, theirs: Address, /) -> None:
        """A connection was made, or one that exists is tapped from here on."""

    def sent(self, connection: Hashable, octets: bytes, /) -> None:
        """These went out: whole PDUs."""

    def received(self, connection: Hashable, octets: bytes, /) -> None:
        """These came in; they may end anywhere."""

    def ended(self, connection: Hashable, /) -> None:
        """The connection ended."""


class Session:
    """One SMPP session, through all its connections."""

    def __init__(
        self,
        settings: LinkSettings,
        listener: Listener,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """Prepare; `run` begins. `random` gives numbers from 0 to 1, for jitter."""
        self.settings = settings
        self.state = SessionState.IDLE
        self.epoch = 0
        """Counts the connections; a PDU can be answered only on the one that it came by."""
        self.bound_since: float | None = None
        """By `clock`; None when not bound."""
        self.held = False
        """Whether an operator wants nothing to be sent; see `hold`."""
        self.taps: list[Tap] = []
        self._listener = listener
        self._tls = tls
        self._clock = clock
        self._random = random
        self._pause_s = _FIRST_PAUSE_S
        self._connection: _Connection | None = None
        self._attempt: asyncio.Timeout | None = None
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()

    # -------------------------------------------------------------------------------------- for the daemon

    async def run(self) -> None:
        """Keep the session up until `stop`; returns when it has ended."""
        try:
            while not self._stopping.is_set():
                await self._run_once()
                if not self._stopping.is_set():
                    await self._wait()
        finally:
            if self._connection is not None:
                self._connection.abort()
            self.state = SessionState.STOPPED
            self._done.set()

    async def stop(self, grace_s: float) -> None:
        """Settle the window, unbind, and end `run`; at the latest after `grace_s`."""
        self._stopping.set()
        if self.state is SessionState.IDLE:
            return
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(0.0)
        if self._connection is not None:
            self._connection.unbind(grace_s)
        await self._done.wait()

    @property
    def in_flight(self) -> int:
        """How many submit_sm are not answered yet."""
        return self._connection.link.in_flight if self._connection is not None else 0

    def room(self) -> int:
        """Return how many submit_sm may be given now; when that is 0, `Listener.room` is called later."""
        return self._connection.link.room(self._clock()) if self._connection is not None else 0

    @property
    def round_trip_s(self) -> float | None:
        """How long the last enquire_link of this connection took; None before the first."""
        return self._connection.link.round_trip_s if self._connection is not None else None

    def hold(self, held: bool) -> None:  # noqa: FBT001 - on or off is all there is
        """Stay bound, take replies, and give no `room` while `held`, on this connection and all that follow."""
        self.held = held
        if self._connection is not None:
            self._connection.hold(held)

    def tap(self, tap: Tap) -> None:
        """Show `tap` the octets from now on; remove it from `taps` when it has seen enough."""
        self.taps.append(tap)
        if self._connection is not None:
            self._connection.introduce(tap)

    def submit(self, token: Hashable, pdu: SubmitSm) -> None:
        """Send `pdu`; `Listener.answered` or `.in_doubt` follows with `token`.

        Raises:
            LocalViolation: there is no `room`, or a field of `pdu` cannot be encoded. Nothing was sent.
        """
        if self._connection is None:
            raise LocalViolation(self.settings.name, "submit_sm was given without a connection")
        self._connection.submit(token, pdu)

    def respond(self, sequence: int, status: int, *, epoch: int) -> None:
        """Answer a delivered PDU; does nothing if its connection is gone: it will be delivered again."""
        if self._connection is not None and epoch == self.epoch:
            self._connection.respond(sequence, status)

    # ------------------------------------------------------------------------------------------ inside

    async def _run_once(self) -> None:
        """Live through one connection, from the attempt to the end."""
        self.state = SessionState.CONNECTING
        self.epoch += 1
        self._connection = connection = _Connection(self.settings, self._clock, self._tell, self._flush)
        connection.taps = self.taps
        connection.hold(self.held)
        try:
            await self._connect(connection)
        except (OSError, TimeoutError) as error:
            self._listener.lost(self, f"cannot connect: {str(error) or 'no answer in time'}")
        else:
            await connection.ended.wait()
        finally:
            self._attempt = None
        self._connection = None

    async def _connect(self, connection: _Connection) -> None:
        """Connect; `stop` ends the attempt.

        Raises:
            OSError: refused, unreachable, unknown name, or a certificate that does not hold.
            TimeoutError: no connection in time.
        """
        settings = self.settings
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(settings.bind_timeout_s) as self._attempt:
            await loop.create_connection(lambda: connection, settings.host, settings.port, ssl=self._tls)
        self._attempt = None
        if self.state is SessionState.CONNECTING:
            self.state = SessionState.BINDING

    async def _wait(self) -> None:
        """Pause before the next attempt: twice as long each time, a quarter more or less."""
        self.state = SessionState.WAITING
        pause_s = self._pause_s * (0.75 + self._random() / 2)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    def _tell(self, event: Event) -> None:
        """Tell the listener, and keep `state` true."""
        listener = self._listener
        match event:
            case Delivered(pdu):
                listener.delivered(self, pdu, self.epoch)
            case SubmitAnswered(token, status, message_id):
                listener.answered(self, token, status, message_id)
            case Room():
                listener.room(self)
            case InDoubt(tokens):
                listener.in_doubt(self, tokens)
            case Throttled(status, _):
                listener.throttled(self, status)
            case Undecoded(raw, reason):
                listener.undecodable(self, raw, reason)
            case Refused(status):
                listener.refused(self, status)
            case _:
                self._tell_state(event)

    def _tell_state(self, event: Bound | Closed) -> None:
        match event:
            case Bound():
                self.state = SessionState.BOUND
                self.bound_since = self._clock()
                self._pause_s = _FIRST_PAUSE_S
                self._listener.bound(self)
            case Closed(reason):
                self.bound_since = None
                self._listener.lost(self, reason)

    def _flush(self) -> None:
        self._listener.flush(self)


class _Connection(asyncio.Protocol):
    """One connection: carries octets between the socket and a `Link`, and its events to the session."""

    def __init__(
        self,
        settings: LinkSettings,
        clock: Callable[[], float],
        tell: Callable[[Event], None],
        flush: Callable[[], None],
    ) -> None:
        self.link = Link(settings, clock())
        self.ended = asyncio.Event()
        self._clock = clock
        self._tell = tell
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._scheduled = False
        self._congested = False
        self._reading_paused = False
        self.taps: list[Tap] = []

    # ------------------------------------------------------------------------------- from the session

    def submit(self, token: Hashable, pdu: SubmitSm) -> None:
        """Send `pdu` at the end of this turn of the event loop."""
        self.link.submit(token, pdu, self._clock())
        self._schedule()

    def respond(self, sequence: int, status: int) -> None:
        """Answer a delivered PDU at the end of this turn of the event loop."""
        self.link.respond(sequence, status)
        self._schedule()

    def hold(self, held: bool) -> None:  # noqa: FBT001 - on or off is all there is
        """Give no room while `held`."""
        self._act(self.link.hold(held, self._clock()))
        if self._transport is not None:
            self._schedule()

    def introduce(self, tap: Tap) -> None:
        """Tell `tap` between whom the octets go, and what has come of a PDU that is not whole yet."""
        if self._transport is None:
            return
        ours, theirs = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        tap.opened(self, tuple(ours[:2]), tuple(theirs[:2]))
        if self.link.begun:
            tap.received(self, self.link.begun)

    def unbind(self, grace_s: float) -> None:
        """Leave in peace, within `grace_s`."""
        self._act(self.link.unbind(self._clock(), grace_s))
        self._schedule()

    def abort(self) -> None:
        """Leave at once."""
        self._act(self.link.lost("the session was cancelled"))
        if self._transport is not None:
            self._transport.abort()

    # -------------------------------------------------------------------------------- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the bind goes out."""
        self._transport = cast("asyncio.Transport", transport)
        raw_socket = transport.get_extra_info("socket")
        raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for tap in self.taps:
            self.introduce(tap)
        self._end_turn()

    def data_received(self, data: bytes) -> None:
        """Act on what has come, let the listener commit, and send what follows in one write."""
        self._scheduled = True
        for tap in self.taps:
            tap.received(self, data)
        self._act(self.link.receive(data, self._clock()))
        self._end_turn()

    def pause_writing(self) -> None:
        """Stop reading while the other side does not: our answers would pile up."""
        self._congested = True
        self._regulate()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._congested = False
        self._regulate()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what was in flight is in doubt."""
        if self._timer is not None:
            self._timer.cancel()
        for tap in self.taps:
            tap.ended(self)
        self._act(self.link.lost(str(exc) if exc else "the message centre closed the connection"))
        self.ended.set()

    # ------------------------------------------------------------------------------------- machinery

    def _act(self, events: tuple[Event, ...]) -> None:
        """Tell each event, then that the batch is complete."""
        for event in events:
            self._tell(event)
        if events:
            self._flush()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Write what has gathered, and arm the timer or close."""
        self._scheduled = False
        octets = self.link.data_to_send()
        if self._transport is None:
            return
        if octets:
            self._transport.write(octets)
            for tap in self.taps:
                tap.sent(self, octets)
        if self.link.state is LinkState.CLOSED:
            self._close(self._transport)
            return
        self._regulate()
        self._arm()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close when the last octets have left; cut if they do not."""
        if not transport.is_closing():
            if self._timer is not None:
                self._timer.cancel()
            transport.close()
            self._timer = self._loop.call_later(_LINGER_S, transport.abort)

    def _regulate(self) -> None:
        """Read only while what was read is also answered, and the answers leave."""
        most = _MOST_UNANSWERED // 2 if self._reading_paused else _MOST_UNANSWERED
        pause = self._congested or self.link.unanswered >= most
        if self._transport is None or pause == self._reading_paused or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self.link.resume(self._clock())
            self._transport.resume_reading()

    def _arm(self) -> None:
        """See to it that `_on_timer` is called in time; too early does no harm."""
        due = self.link.next_timer()
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(0.0, due - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._scheduled = True
        now = self._clock()
        if self._reading_paused:
            self.link.resume(now)
        self._act(self.link.tick(now))
        self._end_turn()
