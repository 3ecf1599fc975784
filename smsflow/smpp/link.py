"""The brain of one SMPP session as an ESME: octets and `now` in, events and octets out.

There is no socket, clock, thread, log or randomness here. Whoever carries the octets (`smpp.session`) makes
a `Link` for each connection, and then:

- gives it what arrives (`receive`), the time when `next_timer` says so (`tick`), and the end (`lost`);
- acts on the events that these return, in order;
- sends `data_to_send` after every call;
- stops using it after `Closed`, which is always the last event, and closes the connection.

Times are seconds of one monotonic clock. Numbers that we give to our requests and numbers that the message
centre gives to its own are separate, though they look alike (SMPP v3.4 §5.1.4).

    >>> link = Link(LinkSettings("main", "127.0.0.1", 2775, "smsflow", ""), now=0)
    >>> link.data_to_send().hex()[:32]
    '0000001f000000090000000000000001'
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache, partial
from typing import Final, Literal, NamedTuple, TypeAlias

from smsflow.core.errors import LocalViolation, RemoteViolation
from smsflow.smpp import codec, hot
from smsflow.smpp.codec import (
    Bind,
    BindMode,
    BindReceiver,
    BindReceiverResp,
    BindResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    CancelSm,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    Outbind,
    Pdu,
    ReplaceSm,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    Undecodable,
)
from smsflow.smpp.statuses import Rule, Status, Verdict, status_name, submit_rule

__all__ = [
    "UNBOUND",
    "Bound",
    "Closed",
    "Delivered",
    "Event",
    "InDoubt",
    "Link",
    "LinkSettings",
    "LinkState",
    "Refused",
    "Room",
    "SubmitAnswered",
    "Throttled",
    "Undecoded",
]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What an operator says about one SMPP session.

    `window` is how many submit_sm may be unanswered; `tps` how many may go out in a second, 0 for any number.
    `source` and `destination` are (TON, NPI) of the addresses in submit_sm. `rules` say what follows from a
    status, where that is not what `statuses.submit_rule` says. `outbind` is where we listen for the message
    centre, which then asks us to bind. `server_name` is what its certificate must say, "" for `host`.
    """

    name: str
    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    bind: Literal["transceiver", "receiver", "transmitter"] = "transceiver"
    window: int = 64
    tps: int = 0
    enquire_link_s: float = 30.0
    response_timeout_s: float = 30.0
    bind_timeout_s: float = 15.0
    pdu_timeout_s: float = 10.0
    """How long the rest of a PDU may let us wait for its next octet."""
    address_range: str = ""
    source: tuple[int, int] = (0, 0)
    destination: tuple[int, int] = (1, 1)
    alphabet: str = "gsm"
    long_texts: str = "udh8"
    message_ids: str = "auto"
    udh: str = "flag"
    rules: Mapping[int, Rule] = field(default_factory=dict, hash=False)
    prefixes: tuple[str, ...] = ()
    outbind: tuple[str, int] | None = None
    server_name: str = ""


class LinkState(Enum):
    """Where the session is; only BOUND may submit."""

    OPEN = "open"
    """Connected by the message centre, which has yet to say outbind."""
    BINDING = "binding"
    BOUND = "bound"
    DRAINING = "draining"
    """We want to leave: nothing new goes out, what is unanswered is waited for."""
    UNBINDING = "unbinding"
    """An unbind of either side is on the wire; what is unanswered may still be answered."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Bound:
    """The message centre, which calls itself `system_id`, has accepted the bind."""

    system_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The bind was answered with `status`; `Closed` follows."""

    status: int


class Delivered(NamedTuple):
    """A text or a receipt: commit it, then `respond` to its sequence."""

    pdu: DeliverSm


class SubmitAnswered(NamedTuple):
    """The submit_sm given with `token` was answered; `message_id` may be empty even when `status` is 0.

    It may have been told to be `InDoubt` before: the answer came after its time.
    """

    token: Hashable
    status: int
    message_id: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Nobody knows whether the submit_sm given with these tokens were taken; oldest first."""

    tokens: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Throttled:
    """The message centre wants less: nothing goes out until `until`."""

    status: int
    until: float


@dataclass(frozen=True, slots=True)
class Room:
    """There may be room again for whom `room` has told that there was none."""


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A frame that could not be read: commit its `raw`, then `refuse` it."""

    pdu: Undecodable


@dataclass(frozen=True, slots=True)
class Closed:
    """The session has ended; send what is left and close the connection."""

    reason: str


Event: TypeAlias = Bound | Refused | Delivered | SubmitAnswered | InDoubt | Throttled | Room | Undecoded | Closed

_BINDS: Final[dict[str, tuple[BindMode, type[BindResp]]]] = {
    "transceiver": (BindTransceiver, BindTransceiverResp),
    "receiver": (BindReceiver, BindReceiverResp),
    "transmitter": (BindTransmitter, BindTransmitterResp),
}
UNBOUND: Final = "unbound"
"""The reason of `Closed` when we have left in peace."""

_MAX_SEQUENCE: Final = 0x7FFFFFFF
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_REBIND_GRACE_S: Final = 4.0
"""How long a message centre that does not know our bind may take to answer the rest, and to unbind."""
_UNBOUND_GRACE_S: Final = 2.0
"""How long the message centre may still answer after it has said unbind."""
_MOST_LATE: Final = 4096
"""How many submit_sm that were given up are remembered, in case they are answered after all."""
_new: Final = tuple.__new__
"""Makes the events of which there are thousands: that of a NamedTuple calls this, and takes three times as long."""
_STATUSES: Final = 64
"""How many statuses are known by their rules: a message centre may invent any number."""
_SUBMIT_SM_RESP: Final = 0x80000004
_SEQUENCE: Final = struct.Struct(">L")
_SEQUENCE_AT: Final = 12  # in the octets of a PDU (§3.2)
_BURST_S: Final = 0.02
"""tps is kept over this time, so that a timer need not fire for every single PDU."""


class _Pace:
    """How many submit_sm may go out now, by tps: a bucket of tokens that fills evenly."""

    def __init__(self, tps: int, now: float) -> None:
        self._tps = tps
        self._depth = max(1.0, tps * _BURST_S)
        self._tokens = self._depth
        self._filled_at = now

    def room(self, now: float, most: int) -> int:
        """Return how many may go out now, `most` at most."""
        if not self._tps:
            return most
        self._tokens = min(self._depth, self._tokens + (now - self._filled_at) * self._tps)
        self._filled_at = now
        # What rounding takes from 0.1 + 0.1 + … must not cost a PDU.
        return min(most, int(self._tokens + 1e-6))

    def take(self, count: int) -> None:
        """Note that so many go out."""
        if self._tps:
            self._tokens -= count

    def next_at(self) -> float:
        """Return when there is room for one more."""
        if not self._tps:
            return self._filled_at
        return self._filled_at + max(0.0, 1.0 - self._tokens) / self._tps


class Link:
    """One SMPP session over one connection, from its bind to its end."""

    def __init__(self, settings: LinkSettings, now: float) -> None:
        """Begin with a bind request, which waits in `data_to_send`; after an outbind, if there is to be one."""
        self.settings = settings
        self.state = LinkState.BINDING if settings.outbind is None else LinkState.OPEN
        self._framer = Framer(settings.name)
        self._out = bytearray()
        self._events: list[Event] = []
        self._sequence = 0
        self._heard_at = now
        self._enquired = False
        self._enquiry = (0, now)
        self.round_trip_s: float | None = None
        """How long the last enquire_link took to be answered; None before the first."""
        self._held = False
        self._pending: dict[int, tuple[Hashable, float]] = {}
        self._late: dict[int, Hashable] = {}
        self._allowed = settings.window
        self._begun_at = float("inf")
        self._unanswered = 0
        self._data_sms: set[int] = set()
        self._rule = lru_cache(_STATUSES)(partial(submit_rule, rules=settings.rules))
        self._pace = _Pace(settings.tps, now)
        self._pause_s = 0.0
        self._paused_at = self._paused_until = float("-inf")
        self._starved = False
        self._leave_at = self._close_at = float("inf")
        self._deadline = now + settings.bind_timeout_s
        self._peer_left = False
        self._reason = UNBOUND
        if settings.outbind is None:
            self._begin_bind()

    # ---------------------------------------------------------------------------------- what goes out

    def data_to_send(self) -> bytes:
        """Return the octets to send now, once."""
        octets = bytes(self._out)
        self._out.clear()
        return octets

    @property
    def begun(self) -> bytes:
        """What has come of a PDU whose rest has not."""
        return self._framer.begun

    @property
    def may_submit(self) -> bool:
        """Whether submits are taken, now or when there is room again."""
        return self.state is LinkState.BOUND and not self._held and self.settings.bind != "receiver"

    @property
    def unanswered(self) -> int:
        """How many delivered PDUs still wait for `respond`."""
        return self._unanswered

    @property
    def in_flight(self) -> int:
        """How many submit_sm are not answered yet."""
        return len(self._pending)

    def room(self, now: float) -> int:
        """Return how many submit_sm may be given now; when that is 0, a `Room` comes later if bound."""
        if not self.may_submit:
            return 0
        most = self._allowed - len(self._pending)
        room = 0 if now < self._paused_until else max(0, self._pace.room(now, most))
        self._starved = room == 0
        return room

    def pause_left_s(self, now: float) -> float:
        """Return how long the message centre's wish for less keeps us yet; 0 when it does not."""
        return max(0.0, self._paused_until - now)

    def hold(self, held: bool, now: float) -> tuple[Event, ...]:  # noqa: FBT001 - on or off is all there is
        """Give no more `room` while `held`; everything else goes on. A `Room` follows when it ends."""
        self._held = held
        self._starved = True
        self._offer(now)
        return self._take_events()

    def submit(self, token: Hashable, pdu: SubmitSm, now: float) -> None:
        """Send `pdu`; `SubmitAnswered` or `InDoubt` with `token` follows.

        Raises:
            LocalViolation: there is no `room`, or a field cannot be encoded. Nothing was sent.
        """
        self.submit_all([(token, hot.encode(pdu))], now)

    def submit_all(self, submits: Sequence[tuple[Hashable, bytes]], now: float) -> None:
        """Send these: of each the token, and a submit_sm as octets; their sequence is given here.

        Raises:
            LocalViolation: there is no `room` for all of them. Nothing was sent.
        """
        room = self.room(now)
        if len(submits) > room:
            raise LocalViolation(self.settings.name, "submit_sm was given though there was no room for it")
        out, pending = self._out, self._pending
        for token, octets in submits:
            sequence = self._next_sequence()
            begin = len(out)
            out += octets
            _SEQUENCE.pack_into(out, begin + _SEQUENCE_AT, sequence)
            pending[sequence] = (token, now)
        self._pace.take(len(submits))
        self._starved = len(submits) == room

    def respond(self, sequence: int, status: int) -> None:
        """Answer the delivered PDU with `sequence`; 0 says that it is kept for good."""
        self._unanswered -= 1
        if self._data_sms and sequence in self._data_sms:
            self._data_sms.discard(sequence)
            self._send(DataSmResp(sequence=sequence, status=status))
        else:
            self._out += hot.encode_deliver_sm_resp(sequence, status)

    def refuse(self, pdu: Undecodable, status: int) -> None:
        """Answer a frame that could not be read, once; a response has no answer."""
        if pdu.is_request:
            self._unanswered -= 1
            self._send(codec.make_error(pdu, status))

    def unbind(self, now: float, grace_s: float) -> tuple[Event, ...]:
        """Leave: wait for answers, unbind, and close within `grace_s` whatever the message centre does."""
        self._close_at = min(self._close_at, now + grace_s)
        if self.state in (LinkState.OPEN, LinkState.BINDING):
            self._close("closed before the bind was answered")
        elif self.state is LinkState.BOUND:
            self._drain(now, grace_s)
            self._settle(now)
        return self._take_events()

    def _drain(self, now: float, grace_s: float) -> None:
        """Submit nothing more; the unbind goes out when all is answered, or half of `grace_s` has passed."""
        self.state = LinkState.DRAINING
        self._leave_at = now + grace_s / 2
        self._close_at = min(self._close_at, now + grace_s)

    # ----------------------------------------------------------------------------------- what comes in

    def receive(self, octets: bytes, now: float) -> tuple[Event, ...]:
        """Return what `octets` from the message centre mean; they may end anywhere."""
        if self.state is LinkState.CLOSED:
            return ()
        try:
            self._read(octets, now)
        except RemoteViolation as violation:
            self._send(GenericNack(status=Status.RINVCMDLEN))
            self._close(violation.reason)
        self._begun_at = now if self._framer.begun else float("inf")
        self._offer(now)
        self._settle(now)
        return self._take_events()

    def _read(self, octets: bytes, now: float) -> None:
        """Act on each PDU that is whole, until one ends the session."""
        for command_id, status, sequence, frame in self._framer.cut(octets):
            self._heard_at = now
            self._enquired = False
            # These two first: they are what comes a thousand times a second, and they never end the session.
            if command_id == _SUBMIT_SM_RESP and (message_id := hot.read_message_id(frame)) is not None:
                self._answer_submit(sequence, status, message_id, now)
            elif type(pdu := hot.decode_cut(command_id, status, sequence, frame)) is DeliverSm:
                self._deliver(pdu)
            else:
                self._handle(pdu, now)
                if self.state is LinkState.CLOSED:
                    return

    def _handle(self, pdu: Pdu, now: float) -> None:
        match pdu:
            case DataSm():
                self._data_sms.add(pdu.sequence)
                self._deliver(pdu)
            case DataSmResp() | DeliverSmResp():  # which are SubmitSmResp too; we never ask for those
                self._doubt(pdu.sequence)
            case SubmitSmResp():
                self._answer_submit(pdu.sequence, pdu.status, pdu.message_id, now)
            case GenericNack():
                self._handle_nack(pdu, now)
            case Undecodable():
                self._handle_undecodable(pdu, now)
            case SubmitSm() | Bind() | CancelSm() | ReplaceSm():  # requests that only an ESME makes
                self._send(codec.make_error(pdu, Status.RINVCMDID))
            case _:
                self._handle_session(pdu, now)

    def _handle_session(self, pdu: Pdu, now: float) -> None:
        match pdu:
            case EnquireLink():
                self._send(EnquireLinkResp(sequence=pdu.sequence))
            case Outbind():
                self._handle_outbind(now)
            case EnquireLinkResp():
                self._doubt(pdu.sequence)
                if pdu.status == Status.RINVBNDSTS:
                    self._leave_forgotten(pdu.status, now)
                if pdu.sequence == self._enquiry[0]:
                    self.round_trip_s = now - self._enquiry[1]
            case BindResp():
                self._handle_bind_resp(pdu)
            case Unbind():
                self._handle_unbind(pdu, now)
            case UnbindResp():
                self._doubt(pdu.sequence)
                self._handle_unbind_resp()
            case _:
                pass  # alert_notification

    def _handle_undecodable(self, pdu: Undecodable, now: float) -> None:
        """Hand it over, to be refused when it is kept; an answer that is beyond reading still says yes or no."""
        self._events.append(Undecoded(pdu))
        if pdu.is_request:
            self._unanswered += 1
        elif pdu.command_id == _SUBMIT_SM_RESP:
            self._answer_submit(pdu.sequence, pdu.status, "", now)
        else:
            self._doubt(pdu.sequence)

    def _handle_outbind(self, now: float) -> None:
        """Bind on the connection that the message centre has made (§2.2.1)."""
        if self.state is LinkState.OPEN:
            self.state = LinkState.BINDING
            self._deadline = now + self.settings.bind_timeout_s
            self._begin_bind()

    def _deliver(self, pdu: DeliverSm) -> None:
        """Hand `pdu` over, before the bind is answered too: refused for good it might be lost."""
        self._unanswered += 1
        self._events.append(_new(Delivered, (pdu,)))

    def _handle_bind_resp(self, pdu: BindResp) -> None:
        """Believe the answer to our own bind only: other PDUs, and other answers, may come before it."""
        self._doubt(pdu.sequence)
        if self.state is not LinkState.BINDING or pdu.sequence != 1:
            return
        if pdu.status:  # a no is a no, under the name of another bind too
            self._refuse(pdu.status)
            return
        if type(pdu) is not _BINDS[self.settings.bind][1]:
            return
        self.state = LinkState.BOUND
        self._deadline = float("inf")
        self._starved = True
        self._events.append(Bound(pdu.system_id))

    def _handle_nack(self, pdu: GenericNack, now: float) -> None:
        """Take a generic_nack as the answer to the request whose sequence it bears (§4.3).

        The number is null "if the original sequence number cannot be decoded": before the bind is answered there
        is no other request.
        """
        status = pdu.status or Status.RUNKNOWNERR
        if self.state is LinkState.BINDING and pdu.sequence in (0, 1):
            self._refuse(status)
        else:
            self._answer_submit(pdu.sequence, status, "", now)

    def _refuse(self, status: int) -> None:
        self._events.append(Refused(status))
        self._close("the bind was refused")

    def _handle_unbind(self, pdu: Unbind, now: float) -> None:
        """Agree, then let what is unanswered be answered for a moment (§4.2)."""
        self._send(UnbindResp(sequence=pdu.sequence))
        self.state = LinkState.UNBINDING
        self._leave_at = float("inf")
        self._close_at = min(self._close_at, now + _UNBOUND_GRACE_S)
        self._peer_left = True

    def _handle_unbind_resp(self) -> None:
        if self.state is LinkState.UNBINDING:
            self._close(self._reason)

    def _answer_submit(self, sequence: int, status: int, message_id: str, now: float) -> None:
        """Settle the submit_sm with `sequence`; an answer to none, or after its time, is left alone."""
        submitted = self._pending.pop(sequence, None)
        if submitted is None:
            if sequence in self._late:
                self._events.append(SubmitAnswered(self._late.pop(sequence), status, message_id))
            return
        token, sent_at = submitted
        rule = self._rule(status)
        if rule.then is Verdict.SENT:
            if sent_at > self._paused_at:
                self._pause_s = 0.0
                if self._allowed < self.settings.window:
                    self._allowed += 1
        elif rule.then is Verdict.PAUSE:
            self._throttle(status, rule.pause_s or _FIRST_PAUSE_S, sent_at, now)
        elif rule.then is Verdict.REBIND:
            self._leave_forgotten(status, now)
        self._events.append(_new(SubmitAnswered, (token, status, message_id)))

    def _leave_forgotten(self, status: int, now: float) -> None:
        """Leave, to bind again: the message centre has forgotten the bind, though the connection lives."""
        if self.state is LinkState.BOUND:
            self._reason = f"the message centre does not know our bind: {status_name(status)}"
            self._drain(now, _REBIND_GRACE_S)

    def _doubt(self, sequence: int) -> None:
        """Give up on the submit_sm with `sequence`, if there is one: its answer is of another kind."""
        if sequence in self._pending:
            token, _ = self._pending.pop(sequence)
            self._remember(sequence, token)
            self._events.append(InDoubt((token,)))

    def _remember(self, sequence: int, token: Hashable) -> None:
        """Know a submit_sm again whose answer comes after its time."""
        if len(self._late) >= _MOST_LATE:
            del self._late[next(iter(self._late))]
        self._late[sequence] = token

    def _throttle(self, status: int, first_s: float, sent_at: float, now: float) -> None:
        """Pause, twice as long as before if what went out after the last pause was refused again.

        After the pause half as many as were on the wire may be unanswered, and one more with each that is taken:
        so the link finds what the message centre can take, and few texts are refused on the way.
        """
        if sent_at <= self._paused_at:
            return  # sent before the pause that is, or was, its answer
        self._pause_s = min(max(_LONGEST_PAUSE_S, first_s), self._pause_s * 2 or first_s)
        self._allowed = max(1, min(self._allowed, len(self._pending) + 1) // 2)
        self._paused_at = now
        self._paused_until = now + self._pause_s
        self._starved = True
        self._events.append(Throttled(status, self._paused_until))

    # -------------------------------------------------------------------------------------------- time

    def next_timer(self) -> float:
        """Return when `tick` must be called, if nothing else happens before; ask after every call."""
        if self._is_settled():
            return self._heard_at
        due = min(self._deadline, self._leave_at, self._close_at, self._next_enquiry(), self._cut_at())
        if self._pending:
            due = min(due, self._oldest_sent_at() + self.settings.response_timeout_s)
        if self._starved and self._has_window():
            due = min(due, max(self._paused_until, self._pace.next_at()))
        return due

    def tick(self, now: float) -> tuple[Event, ...]:
        """Return what the time `now` brings about; harmless when called too early."""
        self._expire(now)
        if now >= self._deadline:
            asked = self.state is LinkState.BINDING
            self._close("the bind was not answered" if asked else "the outbind did not come")
        elif now >= self._close_at:
            self._close(self._leaving_reason())
        elif now >= self._cut_at():
            self._send(GenericNack(status=Status.RINVCMDLEN))
            self._close("the rest of a PDU did not come")
        elif now >= self._next_enquiry():
            self._enquire(now)
        self._offer(now)
        self._settle(now)
        return self._take_events()

    def resume(self, now: float) -> None:
        """Note that we were not reading until `now`: the silence before was not the message centre's."""
        self._heard_at = now
        self._begun_at = now if self._framer.begun else float("inf")
        self._pending = {sequence: (token, now) for sequence, (token, _) in self._pending.items()}

    def connected(self, now: float) -> None:
        """Note when the connection was made: an outbind is not waited for before."""
        self._heard_at = now
        self._deadline = now + self.settings.bind_timeout_s

    def lost(self, reason: str) -> tuple[Event, ...]:
        """Return what the end of the connection brings about: once unbind is on the wire, that is an answer too."""
        if self.state is LinkState.UNBINDING:
            reason = self._leaving_reason() if self._peer_left else self._reason
        self._close(reason)
        return self._take_events()

    def _expire(self, now: float) -> None:
        """Give up on the submit_sm that were not answered in time; they keep no place in the window."""
        expired: list[Hashable] = []
        while self._pending and now >= self._oldest_sent_at() + self.settings.response_timeout_s:
            sequence = next(iter(self._pending))
            token, _ = self._pending.pop(sequence)
            self._remember(sequence, token)
            expired.append(token)
        if expired:
            self._events.append(InDoubt(tuple(expired)))

    def _oldest_sent_at(self) -> float:
        return next(iter(self._pending.values()))[1]

    def _next_enquiry(self) -> float:
        """Return when silence must be broken, or, once it has been in vain, when it is death (§7.2)."""
        if self.state is not LinkState.BOUND:
            return float("inf")
        patience = self.settings.response_timeout_s if self._enquired else 0.0
        return self._heard_at + self.settings.enquire_link_s + patience

    def _cut_at(self) -> float:
        """Return when a PDU that was begun and not ended costs the connection."""
        return self._begun_at + self.settings.pdu_timeout_s

    def _enquire(self, now: float) -> None:
        if self._enquired:
            # Perhaps it can still hear: then it need not hold a bind that is no more.
            self._send(Unbind(sequence=self._next_sequence()))
            self._close("nothing was heard, not even an answer to enquire_link")
            return
        self._enquired = True
        self._enquiry = (self._next_sequence(), now)
        self._send(EnquireLink(sequence=self._enquiry[0]))

    # --------------------------------------------------------------------------------------- machinery

    def _begin_bind(self) -> None:
        settings = self.settings
        request = _BINDS[settings.bind][0](
            sequence=self._next_sequence(),
            system_id=settings.system_id,
            password=settings.password,
            system_type=settings.system_type,
            address_range=settings.address_range,
        )
        self._send(request)

    def _has_window(self) -> bool:
        return self.may_submit and len(self._pending) < self._allowed

    def _offer(self, now: float) -> None:
        """Tell whoever found no room that there is some."""
        if self._starved and self._has_window() and self.room(now):
            self._events.append(Room())

    def _is_settled(self) -> bool:
        """Whether nothing keeps a session that is about to end."""
        leaving = self.state is LinkState.DRAINING or (self.state is LinkState.UNBINDING and self._peer_left)
        return leaving and not self._pending and not self._unanswered

    def _settle(self, now: float) -> None:
        """Take the next step out, if we are leaving and it is time."""
        if self.state is LinkState.DRAINING and (self._is_settled() or now >= self._leave_at):
            self.state = LinkState.UNBINDING
            self._leave_at = float("inf")
            self._send(Unbind(sequence=self._next_sequence()))
        elif self.state is LinkState.UNBINDING and self._is_settled():
            self._close(self._leaving_reason())

    def _leaving_reason(self) -> str:
        if self._peer_left:
            return "the message centre unbound"
        return "unbind was not answered" if self._reason == UNBOUND else self._reason

    def _close(self, reason: str) -> None:
        """End the session, once: what was not answered is in doubt."""
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.CLOSED
        self._deadline = self._leave_at = self._close_at = self._begun_at = float("inf")
        self._late.clear()
        if self._pending:
            self._events.append(InDoubt(tuple(token for token, _ in self._pending.values())))
            self._pending.clear()
        self._events.append(Closed(reason))

    def _next_sequence(self) -> int:
        """Return the next free number from 1 to 0x7FFFFFFF (§5.1.4)."""
        sequence = self._sequence % _MAX_SEQUENCE + 1
        while sequence in self._pending or sequence in self._late:
            sequence = sequence % _MAX_SEQUENCE + 1
        self._sequence = sequence
        return sequence

    def _send(self, pdu: Pdu) -> None:
        self._out += hot.encode(pdu)

    def _take_events(self) -> tuple[Event, ...]:
        events = tuple(self._events)
        self._events.clear()
        return events
