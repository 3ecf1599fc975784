"""The simulated message centre: binds, texts both ways, receipts, and every fault that the schedule asks for.

It has a memory of its own, which outlives the daemon's crashes: what a mother wrote is delivered until it is
acknowledged, again after a lost response, on whichever bind there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from . import pdus

if TYPE_CHECKING:
    from .network import Wire
    from .world import World

NUMBER = "1414"
_ANSWER_WITHIN_S = 60.0
_AGAIN_S = (1.0, 5.0, 20.0, 60.0)
_OK, _SYSERR, _INVALID_DESTINATION, _THROTTLED, _QUEUE_FULL, _ALREADY_BOUND = 0, 8, 0x0B, 0x58, 0x14, 5
REFUSALS = {"syserr": _SYSERR, "throttled": _THROTTLED, "queue_full": _QUEUE_FULL, "invalid": _INVALID_DESTINATION}


@dataclass(eq=False)
class Written:
    """A text that a mother wrote, in the parts that her phone made of it; `acked` are those of them."""

    phone: str
    text: str
    data_coding: int
    parts: tuple[bytes, ...]
    reference: int
    acked: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # parts that the radio lost
    times: int = 1  # as how many texts the daemon may take it: more when it comes again after long
    arrived_at: list[float] = field(default_factory=list)  # by the machine's clock, each delivery

    def joined(self, numbers: set[int]) -> bytes:
        return b"".join(part for number, part in enumerate(self.parts, 1) if number in numbers)


@dataclass(eq=False)
class _Delivery:
    """One part of a written text, or a receipt, on its way to the daemon."""

    written: Written | None
    number: int
    esm_class: int
    octets: bytes
    data_coding: int
    phone: str
    tries: int = 0
    done: bool = False
    on_wire: bool = False


@dataclass(eq=False)
class Submission:
    """A submit_sm that has left the daemon: of which text and which try, and what became of it."""

    submitted: pdus.Submitted
    text_id: int
    attempt: int


class Session:
    """One connection: the centre's end of it."""

    def __init__(self, centre: Centre, port: int) -> None:
        self.centre = centre
        self.port = port
        self.wire: Wire | None = None
        self.bound = 0  # the command of the bind
        self.open = True
        self.sequence = 0
        self.waiting: dict[int, _Delivery] = {}
        self.delivered: dict[int, _Delivery] = {}
        self.submissions: dict[int, Submission] = {}
        self._seen = bytearray()
        self._come = bytearray()

    @property
    def delivers(self) -> bool:
        return self.open and self.bound in (pdus.BIND_RECEIVER, pdus.BIND_TRANSCEIVER)

    def observe(self, wire: Wire, octets: bytes) -> None:
        """What leaves the daemon: is it true by what is on its disk at this moment?"""
        self.wire = wire
        self._seen += octets
        checks = self.centre.world.checks
        for header, body in pdus.frames(self._seen):
            if header.command == pdus.SUBMIT_SM:
                submitted = pdus.read_submit(body)
                text_id, attempt = checks.on_submit(submitted)
                self.submissions[header.sequence] = Submission(submitted, text_id, attempt)
            elif header.command == pdus.DELIVER_SM | pdus.RESPONSE and header.status == _OK:
                delivery = self.delivered.get(header.sequence)
                if delivery is not None and delivery.written is not None:
                    checks.on_acknowledge(delivery.written, delivery.number)

    def receive(self, wire: Wire, octets: bytes) -> None:
        self.wire = wire
        self._come += octets
        for header, _ in pdus.frames(self._come):
            if self.open:
                self.centre.handle(self, header)

    def closed(self, wire: Wire) -> None:
        self.wire = wire
        self.open = False
        self.centre.lost(self)

    def send(self, octets: bytes) -> None:
        if self.open and self.wire is not None:
            self.wire.send(octets)


class Centre:
    """All sessions, and what waits for them."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self._random = Random(f"{seed}.centre")
        self._sessions: list[Session] = []
        self._waiting: list[_Delivery] = []
        self._ids = 0x1000
        self._down_until = 0.0
        self._ghost_until = 0.0
        self._handsets: dict[tuple[str, int, int], dict[int, str]] = {}
        self._handset_done: dict[tuple[str, int, int], float] = {}
        self._references: dict[str, int] = {}
        self.next: dict[str, list[tuple[str, float]]] = {}  # what is done to the next of a kind, by the schedule
        self.written: list[Written] = []
        self._expected: dict[str, dict[str, int]] = {}
        self.accepted: set[tuple[int, int, int]] = set()  # text, attempt, part
        self.refused_for_good: set[int] = set()
        self.on_text: Callable[[str, str], None] = lambda *_: None

    # --- connections --------------------------------------------------------------------------------

    def accept(self, port: int) -> Session | None:
        if self.world.now_s < self._down_until:
            return None
        session = Session(self, port)
        self._sessions.append(session)
        return session

    def go_down(self, until: float) -> None:
        """Restart: every connection is cut, and none is taken until then. What it has promised it keeps."""
        self._down_until = until
        self.cut_all()

    def cut_all(self) -> None:
        for session in list(self._sessions):
            if session.wire is not None:
                session.wire.cut()

    def silence_all(self) -> None:
        for session in self._sessions:
            if session.wire is not None:
                session.wire.silent = True

    def hold_ghost(self, until: float) -> None:
        """Believe in a former bind until then: binds are refused."""
        self._ghost_until = until

    def unbind_all(self) -> None:
        for session in list(self._sessions):
            session.sequence += 1
            session.send(pdus.pdu(pdus.UNBIND, 0, session.sequence))

    def enquire_all(self) -> None:
        for session in list(self._sessions):
            session.sequence += 1
            session.send(pdus.pdu(pdus.ENQUIRE_LINK, 0, session.sequence))

    def forget_texts(self, last: int) -> None:
        """The store has forgotten all texts after `last`: their numbers are given out again."""
        self.accepted = {each for each in self.accepted if each[0] <= last}
        self.refused_for_good = {each for each in self.refused_for_good if each <= last}

    def forgive(self) -> None:
        """No fault is left: half-open connections end."""
        self.next.clear()
        self._down_until = self._ghost_until = 0.0
        for session in list(self._sessions):
            if session.wire is not None and session.wire.silent:
                session.wire.cut()

    def lost(self, session: Session) -> None:
        if session in self._sessions:
            self._sessions.remove(session)
        for delivery in session.waiting.values():
            self._again(delivery)
        session.waiting.clear()

    # --- PDUs from the daemon -----------------------------------------------------------------------

    def handle(self, session: Session, header: pdus.Header) -> None:
        command, sequence = header.command, header.sequence
        if command in (pdus.BIND_RECEIVER, pdus.BIND_TRANSMITTER, pdus.BIND_TRANSCEIVER):
            self._bind(session, command, sequence)
        elif command == pdus.ENQUIRE_LINK:
            session.send(pdus.pdu(pdus.ENQUIRE_LINK | pdus.RESPONSE, 0, sequence))
        elif command == pdus.UNBIND:
            session.send(pdus.pdu(pdus.UNBIND | pdus.RESPONSE, 0, sequence))
            if session.wire is not None:
                session.wire.hang_up()
        elif command == pdus.UNBIND | pdus.RESPONSE:
            if session.wire is not None:
                session.wire.hang_up()
        elif command == pdus.SUBMIT_SM:
            self._submit(session, sequence)
        elif command == pdus.DELIVER_SM | pdus.RESPONSE:
            self._answered(session, header)

    def _bind(self, session: Session, command: int, sequence: int) -> None:
        if self.world.now_s < self._ghost_until:
            session.send(pdus.pdu(command | pdus.RESPONSE, _ALREADY_BOUND, sequence))
            return
        session.bound = command
        session.send(pdus.pdu(command | pdus.RESPONSE, 0, sequence, b"simulated\0"))
        waiting, self._waiting = self._waiting, []
        for delivery in waiting:
            self._after(self._random.choice((0.0, 0.01, 2.0)), lambda each=delivery: self._deliver(each))

    def _take(self, kind: str) -> tuple[str, float] | None:
        planned = self.next.get(kind)
        return planned.pop(0) if planned else None

    def _submit(self, session: Session, sequence: int) -> None:
        submission = session.submissions[sequence]
        what, much = self._take("submit") or ("", 0.0)
        delay_s = self._random.choice((0.0, 0.005, 0.05, 0.4))
        answer = pdus.SUBMIT_SM | pdus.RESPONSE
        if what in REFUSALS:
            if what == "invalid":
                self.refused_for_good.add(submission.text_id)
            self._after(delay_s, lambda: session.send(pdus.pdu(answer, REFUSALS[what], sequence)))
            return
        if what == "lose":  # it never came into the centre's own store
            return
        self._ids += 1
        message_id = f"{self._ids:x}"
        self.accepted.add((submission.text_id, submission.attempt, submission.submitted.number))
        self.world.trace(
            f"centre took text {submission.text_id} part {submission.submitted.number} as {message_id}"
        )
        self._give(submission.submitted)
        if what == "cut":
            if session.wire is not None:
                session.wire.cut()
        elif what != "mute":
            response = pdus.pdu(answer, 0, sequence, message_id.encode() + b"\0")
            if what == "early_receipt":
                self._receipt(submission.submitted.phone, message_id, 0.0)
            self._after(delay_s + (much if what == "delay" else 0.0), lambda: session.send(response))
            if what == "twice":
                self._after(delay_s + 0.5, lambda: session.send(response))
        if what != "early_receipt":
            self._receipt(submission.submitted.phone, message_id, self._random.choice((0.5, 3.0, 40.0, 4000.0)))

    def _give(self, submitted: pdus.Submitted) -> None:
        """A part has come to her phone, which shows a text when it has all of it."""
        if submitted.total == 1:
            self.on_text(submitted.phone, submitted.text)
            return
        key = (submitted.phone, submitted.reference, submitted.total)
        if self.world.now_s < self._handset_done.get(key, -1.0):
            return  # a part that comes again completes nothing anew
        parts = self._handsets.setdefault(key, {})
        parts[submitted.number] = submitted.text
        if len(parts) == submitted.total:
            del self._handsets[key]
            self._handset_done[key] = self.world.now_s + 600.0
            self.on_text(submitted.phone, "".join(parts[number] for number in sorted(parts)))

    def _receipt(self, phone: str, message_id: str, delay_s: float) -> None:
        what, _ = self._take("receipt") or ("", 0.0)
        if what == "lose":
            return
        state = self._random.choice(("DELIVRD",) * 8 + ("EXPIRED", "UNDELIV"))
        dates = "submit date:2611181200 done date:2611181200"
        words = f"id:{message_id} sub:001 dlvrd:001 {dates} stat:{state} err:000 text:"
        for _ in range(2 if what == "twice" else 1):
            delivery = _Delivery(None, 0, 0x04, words.encode(), 0, phone)
            self._after(delay_s, lambda each=delivery: self._deliver(each))

    # --- texts of mothers ---------------------------------------------------------------------------

    def write(self, phone: str, text: str) -> Written:
        """A mother sends a text; her phone cuts it into parts when it is long."""
        data_coding, octets = pdus.write_text(text)
        alone, size = (140, 134) if data_coding == 8 else (160, 153)
        if self._random.random() < 0.25 and len(octets) > 12:  # some centres cut texts shorter
            alone, size = 10, max(4, len(octets) // 3 // 2 * 2 + 2)
        parts = (
            (octets,)
            if len(octets) <= alone
            else tuple(octets[place : place + size] for place in range(0, len(octets), size))
        )
        reference = self._references[phone] = self._references.get(phone, self._random.randrange(200)) + 1
        written = Written(phone, text, data_coding, parts, reference & 0xFF)
        self.written.append(written)
        self._expected.pop(phone, None)
        for number, part in enumerate(parts, 1):
            head = b"" if len(parts) == 1 else bytes((5, 0, 3, written.reference, len(parts), number))
            esm_class = 0x40 if head else 0
            delivery = _Delivery(written, number, esm_class, head + part, data_coding, phone)
            what, much = self._take("part" if head else "written") or ("", 0.0)
            if what == "lose" and head and number > 1:
                written.lost.add(number)
                continue
            delay_s = much if what == "delay" else 0.01 * number
            self._after(delay_s, lambda each=delivery: self._deliver(each))
            if what == "twice":
                self._after(delay_s + much, lambda each=delivery: self._deliver(each, again=True))
        return written

    def _deliver(self, delivery: _Delivery, *, again: bool = False) -> None:
        """Deliver on any bind; the response may be lost, then it comes again.

        A centre that delivers again on the same connection does so with the same sequence number.
        """
        if (delivery.done or delivery.on_wire) and not again:
            return
        sessions = [session for session in self._sessions if session.delivers]
        if not sessions:
            if not again and delivery not in self._waiting:
                self._waiting.append(delivery)
            return
        session = self._random.choice(sessions)
        sequence = next((known for known, each in session.delivered.items() if each is delivery), 0)
        if not sequence:
            session.sequence += 1
            sequence = session.sequence
        session.delivered[sequence] = delivery
        session.waiting[sequence] = delivery
        delivery.tries += 1
        delivery.on_wire = True
        if delivery.written is not None:
            self.world.trace(
                f"centre delivers {delivery.written.text!r} part {delivery.number} try {delivery.tries}"
            )
            self._note_time(delivery.written)
        session.send(
            pdus.deliver(
                sequence, delivery.phone, NUMBER, esm_class=delivery.esm_class,
                data_coding=delivery.data_coding, octets=delivery.octets,
            )
        )  # fmt: skip
        tries = delivery.tries
        self._after(_ANSWER_WITHIN_S, lambda: self._expire(session, sequence, delivery, tries))

    def _note_time(self, written: Written) -> None:
        """A text that comes again so late may be another of the same words: it then counts as one more."""
        at_s = self.world.clock.passed_s + self.world.clock.step_s
        if written.arrived_at and any(abs(at_s - before) > 500.0 for before in written.arrived_at):
            written.times += 1
            self._expected.pop(written.phone, None)
        written.arrived_at.append(at_s)

    def _expire(self, session: Session, sequence: int, delivery: _Delivery, tries: int) -> None:
        if delivery.tries == tries and session.waiting.pop(sequence, None) is not None:
            self._again(delivery)

    def _answered(self, session: Session, header: pdus.Header) -> None:
        delivery = session.waiting.get(header.sequence)
        if delivery is None:
            return
        what, _ = self._take("response") or ("", 0.0)
        if what == "lose" and delivery.written is not None:
            return  # as if it had never come: delivered again when the time is over
        del session.waiting[header.sequence]
        if header.status == _OK:
            delivery.done = True
            if delivery.written is not None:
                delivery.written.acked.add(delivery.number)
        else:
            self._again(delivery)

    def _again(self, delivery: _Delivery) -> None:
        delivery.on_wire = False
        if not delivery.done:
            self._after(self._random.choice(_AGAIN_S), lambda: self._deliver(delivery))

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        self.world.at(self.world.now_s + delay_s, act)

    def expected(self, phone: str) -> dict[str, int]:
        """Every text that the daemon may have had from a phone, whole or with parts lost, and how often."""
        known = self._expected.get(phone)
        if known is not None:
            return known
        found: dict[str, int] = {}
        for written in self.written:
            if written.phone != phone:
                continue
            every = len(written.parts)
            subsets = range(1, 2**every) if every > 1 else range(1, 2)
            for bits in subsets:
                octets = written.joined({number for number in range(1, every + 1) if bits >> (number - 1) & 1})
                text = pdus.read_text(written.data_coding, octets)
                found[text] = found.get(text, 0) + written.times
        self._expected[phone] = found
        return found
