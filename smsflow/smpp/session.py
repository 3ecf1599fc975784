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
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from itertools import groupby
from typing import Any, Final, Protocol, TypeAlias, cast

from smsflow.core.errors import LocalViolation
from smsflow.smpp.backoff import Backoff
from smsflow.smpp.codec import DeliverSm, SubmitSm, Undecodable
from smsflow.smpp.hot import encode
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
from smsflow.smpp.statuses import Status

__all__ = ["Address", "Listener", "Session", "SessionState", "Tap"]

Address: TypeAlias = tuple[str, int]
"""Host and port."""

_Rare: TypeAlias = Bound | Closed | InDoubt | Refused | Room | Throttled | Undecoded
_OF_USE_S: Final = 5.0
"""A session that was bound so long, or carried anything, makes the next pause short again."""
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

    def answered(self, session: Session, answers: Sequence[SubmitAnswered], /) -> None:
        """These submit_sm were answered, one after the other, with nothing else in between."""

    def in_doubt(self, session: Session, tokens: tuple[Hashable, ...], /) -> None:
        """The submit_sm of `tokens` were sent, and will not be answered."""

    def throttled(self, session: Session, status: int, /) -> None:
        """The message centre wants less; the session pauses by itself."""

    def room(self, session: Session, /) -> None:
        """There may be room to submit again, or for the first time."""

    def undecodable(self, session: Session, pdu: Undecodable, epoch: int, /) -> None:
        """A frame could not be read: after its `raw` is kept for a person, `refuse` it with `epoch`."""


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
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare; `run` begins. `backoff` says how long to wait between attempts."""
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
        self._backoff = backoff or Backoff(_random.random)
        self._refused: int | None = None
        self._server: asyncio.Server | None = None
        self._callers: frozenset[str] = frozenset()
        self._connection: _Connection | None = None
        self._attempt: asyncio.Timeout | None = None
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()

    # -------------------------------------------------------------------------------------- for the daemon

    async def run(self) -> None:
        """Keep the session up until `stop`; returns when it has ended."""
        try:
            while not self._stopping.is_set():
                if not await self._run_once() and not self._stopping.is_set():
                    await self._wait()
        finally:
            if self._server is not None:
                self._server.close()
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
    def may_submit(self) -> bool:
        """Whether it is bound so that it can submit, and not held; there may be no `room` all the same."""
        return self._connection is not None and self._connection.link.may_submit

    @property
    def round_trip_s(self) -> float | None:
        """How long the last enquire_link of this connection took; None before the first."""
        return self._connection.link.round_trip_s if self._connection is not None else None

    @property
    def pause_left_s(self) -> float:
        """How long nothing goes out yet because the message centre wants less; 0 when something may."""
        return self._connection.link.pause_left_s(self._clock()) if self._connection is not None else 0.0

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
        self.submit_all([(token, encode(pdu))])

    def submit_all(self, submits: Sequence[tuple[Hashable, bytes]]) -> None:
        """Send these, each the token and the octets of a submit_sm, as `submit` does; their sequence is given here.

        Raises:
            LocalViolation: there is no `room` for all of them. Nothing was sent.
        """
        if self._connection is None:
            raise LocalViolation(self.settings.name, "submit_sm was given without a connection")
        self._connection.submit_all(submits)

    def respond(self, sequence: int, status: int, *, epoch: int) -> None:
        """Answer a delivered PDU; does nothing if its connection is gone: it will be delivered again."""
        connection = self._connection
        if connection is not None and epoch == self.epoch:
            connection.link.respond(sequence, status)
            connection.schedule()

    def refuse(self, pdu: Undecodable, status: int, *, epoch: int) -> None:
        """Answer a frame that could not be read, as `respond` does."""
        connection = self._connection
        if connection is not None and epoch == self.epoch:
            connection.link.refuse(pdu, status)
            connection.schedule()

    # ------------------------------------------------------------------------------------------ inside

    async def _run_once(self) -> bool:
        """Live through one connection, from the attempt to the end; whether the next may follow at once."""
        self.state = SessionState.CONNECTING
        self.epoch += 1
        self._connection = connection = _Connection(self.settings, self._clock, self._tell)
        connection.taps = self.taps
        connection.hold(self.held)
        self._refused = None
        verb = "connect" if self.settings.outbind is None else "listen"
        try:
            await (self._connect if self.settings.outbind is None else self._await_outbind)(connection)
        except (OSError, TimeoutError) as error:
            self._listener.lost(self, f"cannot {verb}: {str(error) or 'no answer in time'}")
            self._connection = None
            return False
        finally:
            self._attempt = None
        await connection.ended.wait()
        self._connection = None
        return self.settings.outbind is not None and self._refused is None

    async def _connect(self, connection: _Connection) -> None:
        """Connect; `stop` ends the attempt.

        Raises:
            OSError: refused, unreachable, unknown name, or a certificate that does not hold.
            TimeoutError: no connection in time.
        """
        settings = self.settings
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(settings.bind_timeout_s) as self._attempt:
            await loop.create_connection(
                lambda: connection,
                settings.host,
                settings.port,
                ssl=self._tls,
                server_hostname=(settings.server_name or settings.host) if self._tls else None,
            )
        self._attempt = None
        if self.state is SessionState.CONNECTING:
            self.state = SessionState.BINDING

    async def _await_outbind(self, connection: _Connection) -> None:
        """Wait until the message centre has connected, which then says outbind (§2.2.1); `stop` ends the wait.

        Only `host` may connect: whoever says outbind is told our password.

        Raises:
            OSError: the address is in use or not ours, or `host` is not known.
        """
        settings = self.settings
        assert settings.outbind is not None  # noqa: S101 - whoever calls has looked
        loop = asyncio.get_running_loop()
        known = await loop.getaddrinfo(settings.host, None, type=socket.SOCK_STREAM)
        self._callers = frozenset(str(address[4][0]) for address in known)
        if self._server is None:
            self._server = await loop.create_server(lambda: _Caller(self._accept), *settings.outbind)
        made = asyncio.ensure_future(connection.made.wait())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((made, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            made.cancel()
            stopped.cancel()
        if not connection.made.is_set():
            connection.ended.set()

    def _accept(self, peer: str) -> _Connection | None:
        """Return the connection that waits for a caller from `peer`; None when it is not wanted."""
        connection = self._connection
        if connection is None or connection.made.is_set() or self._stopping.is_set():
            return None
        if peer.removeprefix("::ffff:") not in self._callers:
            return None
        self.state = SessionState.BINDING
        return connection

    async def _wait(self) -> None:
        """Pause before the next attempt."""
        self.state = SessionState.WAITING
        pause_s = self._backoff.next_s(self._refused)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    def _tell(self, events: tuple[Event, ...]) -> None:
        """Tell the listener `events`, in order, then that they are all; keep `state` true."""
        listener, epoch, of_use = self._listener, self.epoch, False
        runs: Iterable[tuple[type[Event], Iterator[Any]]] = groupby(events, type)
        for kind, run in runs:
            if kind is SubmitAnswered:
                answers: list[SubmitAnswered] = list(run)
                # or a link that binds again and again would do so every second
                of_use = of_use or any(answer.status != Status.RINVBNDSTS for answer in answers)
                listener.answered(self, answers)
            elif kind is Delivered:
                of_use = True
                for (pdu,) in run:
                    listener.delivered(self, pdu, epoch)
            else:
                for event in run:
                    self._tell_rare(event)
        if of_use:
            self._backoff.reset()
        if events:
            listener.flush(self)

    def _tell_rare(self, event: _Rare) -> None:
        listener = self._listener
        match event:
            case Room():
                listener.room(self)
            case InDoubt(tokens):
                listener.in_doubt(self, tokens)
            case Throttled(status, _):
                listener.throttled(self, status)
            case Undecoded(pdu):
                listener.undecodable(self, pdu, self.epoch)
            case Refused(status):
                self._refused = status
                listener.refused(self, status)
            case _:
                self._tell_state(event)

    def _tell_state(self, event: Bound | Closed) -> None:
        match event:
            case Bound():
                self.state = SessionState.BOUND
                self.bound_since = self._clock()
                self._listener.bound(self)
            case Closed(reason):
                if self.bound_since is not None and self._clock() - self.bound_since >= _OF_USE_S:
                    self._backoff.reset()
                self.bound_since = None
                self._listener.lost(self, reason)


class _Caller(asyncio.Protocol):
    """Somebody who has connected to us: handed to the connection that waits for it, or turned away."""

    def __init__(self, accept: Callable[[str], _Connection | None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is."""
        caller = cast("asyncio.Transport", transport)
        connection = self._accept(str(caller.get_extra_info("peername")[0]))
        if connection is None:
            caller.abort()
        else:
            caller.set_protocol(connection)
            connection.connection_made(caller)


class _Connection(asyncio.Protocol):
    """One connection: carries octets between the socket and a `Link`, and its events to the session."""

    def __init__(
        self,
        settings: LinkSettings,
        clock: Callable[[], float],
        tell: Callable[[tuple[Event, ...]], None],
    ) -> None:
        self.link = Link(settings, clock())
        self.made = asyncio.Event()
        self.ended = asyncio.Event()
        self._clock = clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._scheduled = False
        self._congested = False
        self._patience: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self.taps: list[Tap] = []

    # ------------------------------------------------------------------------------- from the session

    def submit_all(self, submits: Sequence[tuple[Hashable, bytes]]) -> None:
        """Send these at the end of this turn of the event loop."""
        self.link.submit_all(submits, self._clock())
        self.schedule()

    def hold(self, held: bool) -> None:  # noqa: FBT001 - on or off is all there is
        """Give no room while `held`."""
        self._tell(self.link.hold(held, self._clock()))
        if self._transport is not None:
            self.schedule()

    def introduce(self, tap: Tap) -> None:
        """Tell `tap` between whom the octets go, and what has come of a PDU that is not whole yet."""
        if self._transport is None:
            return
        ours, theirs = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        tap.opened(self, tuple(ours[:2]), tuple(theirs[:2]))
        if self.link.begun:
            tap.received(self, self.link.begun)

    def schedule(self) -> None:
        """Send what `link` has for the message centre at the end of this turn of the event loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def unbind(self, grace_s: float) -> None:
        """Leave in peace, within `grace_s`."""
        self._tell(self.link.unbind(self._clock(), grace_s))
        self.schedule()

    def abort(self) -> None:
        """Leave at once."""
        self._end("the session was cancelled")

    # -------------------------------------------------------------------------------- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the bind goes out, or the outbind is waited for."""
        self._transport = cast("asyncio.Transport", transport)
        self.made.set()
        if self.link.state is LinkState.OPEN:
            self.link.connected(self._clock())
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
        self._tell(self.link.receive(data, self._clock()))
        self._end_turn()

    def pause_writing(self) -> None:
        """Stop reading while the other side does not: our answers would pile up. Not for ever: it may be dead."""
        self._congested = True
        settings = self.link.settings
        self._patience = self._loop.call_later(
            settings.enquire_link_s + settings.response_timeout_s, self._end, "the message centre reads nothing"
        )
        self._regulate()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._congested = False
        if self._patience is not None:
            self._patience.cancel()
        self._regulate()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what was in flight is in doubt."""
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        for tap in self.taps:
            tap.ended(self)
        self._tell(self.link.lost(str(exc) if exc else "the message centre closed the connection"))
        self.ended.set()

    # ------------------------------------------------------------------------------------- machinery

    def _end(self, reason: str) -> None:
        """Cut the connection; what has not left will not."""
        self._tell(self.link.lost(reason))
        if self._transport is not None:
            self._transport.abort()

    def _end_turn(self) -> None:
        """Write what has gathered, and arm the timer or close."""
        self._scheduled = False
        octets = self.link.data_to_send()
        if self._transport is None or self._transport.is_closing():  # uvloop raises when it is closed
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
        self._tell(self.link.tick(now))
        self._end_turn()
