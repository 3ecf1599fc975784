"""From the outbox to the links: claims what may go out, submits it part by part, and writes down what became of it.

A text is `sending` on the disk before its first octet leaves. When its response never comes it is in doubt, and
is sent again, marked: at most the window's worth for each connection that is lost. While its connection lives it
waits a little before that, because a response may be late; a late one is believed. What is in doubt
a second time on a living connection, what cuts the connection when it goes alone, and what its link says to hold,
waits for a person. Parts that were taken are not sent again, unless the text goes by another link.

The daemon may die at any of these points:

    point      on the disk   the centre believes              after the restart
    queued     queued        nothing                          it is sent
    claimed    sending       nothing                          in doubt: sent again, marked; she reads it once
    submitted  sending       taken, unless it was lost        in doubt: sent again, marked; she may read it twice
    answered   sending       taken, and so it told us         the same
    accepted   accepted      taken                            its receipt is waited for

A text that can go out at once is `claimed` by the transaction that makes it, and never `queued` on the disk: before
that transaction has ended there is no text, and what made it (a reply, a timer, an event) happens again.

Texts for one phone are on their way one at a time, and in order: what is refused for now goes before what was
queued after it. A text goes by the link that its route names, by another while that one is down; if none is
bound it waits. A link that is bound and throttled keeps its own texts waiting, and nobody else's; when it is to
be silent for more than some seconds, they go by another that has room.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TypeAlias

import structlog

from smsflow.core.encoding import Alphabet
from smsflow.core.errors import LocalViolation, StoreError
from smsflow.logs import TEXT_FAILED, TEXT_IN_DOUBT, TEXT_QUEUED_AGAIN, TEXT_SENT, tells_debug
from smsflow.smpp.link import SubmitAnswered
from smsflow.smpp.receipts import id_key
from smsflow.smpp.segments import LongTexts, SubmitWriter
from smsflow.smpp.session import Session, SessionState
from smsflow.smpp.statuses import Rule, Verdict, status_name, submit_rule, submit_verdict
from smsflow.store.batch import SUSPECT, DueText
from smsflow.store.outbox import OnDoubt, Taken, Whole
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Sender"]

_LONGEST_PAUSE = timedelta(hours=1)  # between two tries of a text
_OLDEST = timedelta(hours=24)  # a text that is throttled for so long is given up
_LONG_PAUSE_S = 3.0  # a throttled link that is silent for longer is not waited for
_LATE = timedelta(seconds=10)  # for a response that did not come in time, while the connection lives
_WRITE_AGAIN_S = 1.0  # after a transaction failed
_new = tuple.__new__  # that of a NamedTuple calls this, and takes three times as long
_STATUSES = 64  # of which a link remembers what they mean: a centre may invent any number
_BEGINNING = frozenset({SessionState.IDLE, SessionState.CONNECTING, SessionState.BINDING})

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)  # not frozen: it changes with each answer
class _Flight:
    """A text on its way: it is settled when all its parts are answered, or will not be."""

    text: DueText
    total: int  # parts
    due: int  # those that were not taken before
    open: int  # of these, those of which nothing is known yet
    taken: list[tuple[int, Taken]] = field(default_factory=list)  # parts that were taken, not written down yet
    doubted: frozenset[int] = frozenset()
    refused: int = 0  # the gravest status of a part, 0 for none
    landed: bool = False  # what became of it is, or will be, written down


_Token: TypeAlias = tuple[_Flight, int]
"""One part of one text on its way: the text, and the number of the part, from 0."""


@dataclass(slots=True)
class _Lane:
    """What was claimed for a session and has not been submitted yet: each part as octets."""

    session: Session
    writer: SubmitWriter
    verdict: Callable[[int], Verdict]
    """What a status of a submit_sm_resp means for a text."""
    waiting: deque[tuple[_Token, bytes]] = field(default_factory=deque)
    alone: _Flight | None = None  # a suspect, which is the only text on its way


class Sender:
    """Sends what the outbox holds through whichever sessions can submit. `on_doubt` is by the name of the link."""

    def __init__(
        self,
        store: Store,
        number: str,
        now: Callable[[], datetime],
        on_doubt: Mapping[str, OnDoubt] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._on_doubt = on_doubt
        self._number = number
        self._now = now
        self._lanes: dict[Session, _Lane] = {}
        self._busy: set[str] = set()  # phones with a text on its way
        self._taken: list[Whole] | None = None  # what is written down together, as long as more may join
        self._freed: list[str] = []  # the phones of `_taken`
        self.writer: Writer | None = None

    def add(self, session: Session) -> None:
        """Use a session that may submit."""
        settings = session.settings
        writer = SubmitWriter(
            source_addr=self._number,
            source=settings.source,
            destination=settings.destination,
            long_texts=LongTexts(settings.long_texts),
            alphabet=Alphabet(settings.alphabet),
        )
        verdict = lru_cache(_STATUSES)(partial(submit_verdict, rules=settings.rules))
        self._lanes[session] = _Lane(session, writer, verdict)

    def _policy(self, session: Session) -> OnDoubt:
        return self._on_doubt.get(session.settings.name, OnDoubt())

    # --- inside the writer's transaction ------------------------------------------------------------

    def claim(self) -> list[tuple[_Lane, tuple[DueText, ...]]]:
        """Claim texts for every session that has room."""
        claimed: list[tuple[_Lane, tuple[DueText, ...]]] = []
        busy = self._busy.copy()  # the transaction may fail yet
        for lane in self._lanes.values():
            room = 0 if lane.waiting or lane.alone is not None else lane.session.room()
            if room:
                name = lane.session.settings.name
                texts = self._store.outbox.claim(
                    name,
                    room,
                    self._now(),
                    routes=self._routes(name),
                    busy=busy,
                    idle=not lane.session.in_flight,
                )
                if texts:
                    claimed.append((lane, texts))
        return claimed

    def _routes(self, name: str) -> Sequence[str]:
        """Whose texts the link `name` sends: its own, those for any, and those of links not to be waited for."""
        names = {session.settings.name for session in self._lanes}
        if len(names) == 1:
            return ("",)
        up = {session.settings.name for session in self._lanes if _is_expected(session)}
        return ("", name, *sorted(names - up - {name}))

    # --- after it -----------------------------------------------------------------------------------

    def send(self, claimed: list[tuple[_Lane, tuple[DueText, ...]]]) -> None:
        """Submit what was claimed, as far as there is room."""
        for lane, texts in claimed:
            for text in texts:
                self._begin(lane, text)
            self._drain(lane)

    def _begin(self, lane: _Lane, text: DueText) -> None:
        self._busy.add(text.msisdn)
        try:
            parts = lane.writer.write(text.text, destination_addr=text.msisdn, reference=text.reference)
            if text.may_replace and len(parts) == 1 and self._policy(lane.session).replace:
                parts = lane.writer.write(
                    text.text, destination_addr=text.msisdn, reference=text.reference, replaces=True
                )
        except (ValueError, LocalViolation) as error:  # it will never fit into a PDU: one text, not the link, fails
            self._fail(lane.session, _Flight(text, 0, 0, 0), str(error))
            return
        # As many taken as there are: it was cut otherwise then, by a configuration that has changed since.
        taken = text.taken if len(text.taken) < len(parts) else frozenset()
        due = len(parts) - len(taken)
        flight = _Flight(text, len(parts), due, due)
        if text.doubts >= SUSPECT:
            lane.alone = flight
        for part, octets in enumerate(parts):
            if part not in taken:
                lane.waiting.append(((flight, part), octets))

    def room(self, session: Session) -> None:
        """The session has room: first for what was claimed already, then for more."""
        lane = self._lanes.get(session)
        if lane is None or self.writer is None:
            return
        self._drain(lane)
        if not lane.waiting:
            self.writer.wake()

    def _drain(self, lane: _Lane) -> None:
        waiting = lane.waiting
        while waiting and (
            room := lane.session.room()
        ):  # until it has said that there is none: then it calls `room`
            lane.session.submit_all([waiting.popleft() for _ in range(min(room, len(waiting)))])

    # --- what became of it --------------------------------------------------------------------------

    def answered(self, session: Session, answers: Iterable[SubmitAnswered]) -> None:
        """A message centre has answered for these parts, in this order, perhaps after their time."""
        link, verdict = session.settings.name, self._lanes[session].verdict
        flight: _Flight
        part: int
        for (flight, part), status, message_id in answers:  # type: ignore[misc]  # a token is ours, as it was given
            is_taken = verdict(status) is Verdict.SENT
            if flight.landed:
                if is_taken:
                    self._adopt(flight, part, Taken(link, message_id, id_key(message_id)))
                continue
            if part in flight.doubted:
                flight.doubted -= {part}
            else:
                flight.open -= 1
            if is_taken:
                flight.taken.append((part, _new(Taken, (link, message_id, id_key(message_id)))))
            else:
                flight.refused = _graver(flight.refused, status, session)
                flight.open -= self._forget(session, flight)
            if not flight.open:
                self._settle(session, flight)

    def _adopt(self, flight: _Flight, part: int, taken: Taken) -> None:
        """A part was taken, as a message centre says after its time: the text may wait to be sent again."""
        text, total = flight.text, flight.total
        self._write(lambda: self._store.outbox.adopt(text.id, part, total, text.attempts, taken, self._now()))

    def in_doubt(self, session: Session, tokens: tuple[Hashable, ...]) -> None:
        """These were sent, and will hardly be answered."""
        flight: _Flight
        part: int
        for flight, part in tokens:  # type: ignore[misc]  # a token is ours, as it was given
            flight.open -= 1
            flight.doubted |= {part}
            flight.open -= self._forget(session, flight)
            self._settle(session, flight)

    def lost(self, session: Session) -> None:
        """The connection has ended: what was claimed for it and not begun goes back to the queue."""
        lane = self._lanes.get(session)
        if lane is None:
            return
        for flight in dict.fromkeys(flight for (flight, _), _ in lane.waiting):
            flight.open -= self._forget(session, flight)
            self._settle(session, flight)
        if self.writer is not None:
            self.writer.wake()  # other links may send what was meant for this one

    def throttled(self, session: Session) -> None:
        """The message centre of a session wants less: what waits for it may go by another, if it is for long."""
        if not _is_expected(session):
            self.give_back(session)

    def give_back(self, session: Session) -> None:
        """Put back into the queue what was claimed for `session` and not begun; the rest of a text stays."""
        lane = self._lanes.get(session)
        if lane is None:
            return
        for flight, waiting in Counter(flight for (flight, _), _ in lane.waiting).items():
            if waiting == flight.open and not flight.taken:
                flight.open -= self._forget(session, flight)
                self._settle(session, flight)

    def _settle(self, session: Session, flight: _Flight) -> None:
        """When nothing more can come for a text: it was taken, or becomes what its gravest part asks for."""
        if flight.open:
            return
        if flight.refused:
            self._refuse(session, flight)
        elif flight.doubted:
            self._doubt(session, flight)
        elif len(flight.taken) < flight.due:  # the others were never begun
            now = self._now()
            self._end(flight, partial(self._store.outbox.retry, flight.text.id, "", now, now))
        else:
            if tells_debug():
                _log.debug(TEXT_SENT, text_id=flight.text.id, segments=flight.total, link=session.settings.name)
            self._take_whole(flight)

    def _doubt(self, session: Session, flight: _Flight) -> None:
        """Send a text again of which nobody knows whether it was taken; or let it wait for a person."""
        text = flight.text
        if self._is_for_a_person(session, text):
            self._hold(session, flight)
            return
        not_before = self._now() + (_LATE if session.may_submit else timedelta())
        self._end(flight, partial(self._store.outbox.doubt, text.id, self._now(), not_before=not_before))

    def _is_for_a_person(self, session: Session, text: DueText) -> bool:
        """Whether a text that is in doubt, perhaps once more, is not sent again by itself."""
        most = 1 if session.may_submit else SUSPECT
        return text.doubts >= most or self._policy(session).holds(is_question=text.is_question)

    def _hold(self, session: Session, flight: _Flight) -> None:
        text = flight.text
        _log.warning(TEXT_IN_DOUBT, text_id=text.id, link=session.settings.name, doubts=text.doubts + 1)
        self._end(flight, partial(self._store.outbox.hold_in_doubt, text.id, self._now()))

    def _refuse(self, session: Session, flight: _Flight) -> None:
        """Fail a text of which a part was refused, or queue it again; another part may be in doubt all the same."""
        text, now, doubted = flight.text, self._now(), bool(flight.doubted)
        rule, error = submit_rule(flight.refused, session.settings.rules), status_name(flight.refused)
        if rule.then is Verdict.FINAL or (rule.times and text.refusals + 1 >= rule.times):
            self._fail(session, flight, error)
            return
        if doubted and self._is_for_a_person(session, text):
            self._hold(session, flight)
            return
        _log.info(TEXT_QUEUED_AGAIN, text_id=text.id, status=error, link=session.settings.name)
        waits = rule.then is Verdict.RETRY
        not_before = now + _pause(rule, text) if waits else now
        counts = waits or bool(rule.times)

        def job() -> None:
            if not self._store.outbox.give_up(text.id, error, now - _OLDEST, now):
                self._store.outbox.retry(text.id, error, not_before, now, counts=counts, doubted=doubted)

        self._end(flight, job)

    def _fail(self, session: Session, flight: _Flight, error: str) -> None:
        text = flight.text.id
        _log.warning(TEXT_FAILED, text_id=text, status=error, link=session.settings.name)
        self._end(flight, partial(self._store.outbox.fail, text, error, self._now()))

    def _end(self, flight: _Flight, write: Callable[[], object]) -> None:
        """A text is no longer on its way: the parts that were taken and `write` say so, and its phone is free."""
        text, now = flight.text, self._now()
        self._land(flight)

        def job() -> None:
            if flight.taken:
                self._store.outbox.mark_taken(text.id, text.msisdn, flight.total, flight.taken, now)
            write()

        self._write(job, (text.msisdn,))

    def _take_whole(self, flight: _Flight) -> None:
        """A text was taken: it is written down with others that are, when a transaction comes by."""
        text = flight.text
        if flight.due < flight.total:  # the rest was taken before
            self._end(flight, lambda: None)
            return
        self._land(flight)
        if self._taken is None:
            self._taken, self._freed = [], []
            self._write(partial(self._mark_whole, self._taken), self._freed, may_wait=True)
        self._taken.append((text.id, text.msisdn, flight.taken))
        self._freed.append(text.msisdn)

    def _mark_whole(self, texts: list[Whole]) -> None:
        if self._taken is texts:
            self._taken = None  # who comes now is too late for this transaction
        self._store.outbox.mark_whole(texts, self._now())

    def _land(self, flight: _Flight) -> None:
        """A text is no longer on its way."""
        flight.landed = True
        if flight.text.doubts >= SUSPECT:
            for lane in self._lanes.values():
                if lane.alone is flight:
                    lane.alone = None

    def _forget(self, session: Session, flight: _Flight) -> int:
        """Do not submit the parts that are left of a text; how many they were."""
        lane = self._lanes[session]
        before = len(lane.waiting)
        if before:
            lane.waiting = deque(pair for pair in lane.waiting if pair[0][0] is not flight)
        return before - len(lane.waiting)

    def _write(self, write: Callable[[], object], frees: Collection[str] = (), *, may_wait: bool = False) -> None:
        """Write down what became of a text; the same transaction may claim the next ones for the phones `frees`."""

        def job() -> None:
            write()
            self._busy.difference_update(frees)

        if self.writer is not None:
            self.writer.submit(job, partial(self._written, write, frees), may_wait=may_wait)

    def _written(
        self, write: Callable[[], object], frees: Collection[str], _: object, error: Exception | None
    ) -> None:
        """What could not be written now is written later, and the phone waits; after a crash it is in doubt."""
        if isinstance(error, StoreError):
            self._busy.update(frees)
            asyncio.get_running_loop().call_later(_WRITE_AGAIN_S, self._write, write, frees)


def _is_expected(session: Session) -> bool:
    """Whether texts may wait for a session: it is up and not silent for long, or begins its first attempt."""
    beginning = session.epoch <= 1 and session.state in _BEGINNING and session.settings.outbind is None
    if session.may_submit:
        return session.pause_left_s <= _LONG_PAUSE_S
    return beginning and not session.held


def _pause(rule: Rule, text: DueText) -> timedelta:
    """Before a try after a refusal: twice as long each time."""
    return min(_LONGEST_PAUSE, timedelta(seconds=rule.pause_s) * (1 << min(text.refusals, 16)))


def _graver(one: int, other: int, session: Session) -> int:
    """The status of two that decides about a text: final before temporary before throttled."""
    order = (Verdict.SENT, Verdict.PAUSE, Verdict.REBIND, Verdict.RETRY, Verdict.FINAL)
    return max(one, other, key=lambda status: order.index(submit_rule(status, session.settings.rules).then))
