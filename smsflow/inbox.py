"""From a link to the engine: texts, parts of long texts, receipts. Committed first, acknowledged then.

The daemon may die at any of these points. SMPP delivers again what was not answered, by this link or another, with
another sequence number; `Store.transaction` is all or nothing.

    point             on the disk               the centre believes      after the restart
    received          nothing                   not taken                comes again, counts for the first time
    committed         the reply, the step, its  not taken                comes again, `repeated`, no second step
                      texts
    responded         the same                  taken, if it heard us    nothing, or as `committed`
    part_received     the parts before it       not taken                comes again, the text is complete
    part_committed    the part; or the whole    not taken                comes again, no second text
                      text and its step
    receipt_received  nothing                   not taken                comes again, is written down
    receipt_committed what became of the text   not taken                comes again, changes nothing

What cannot be committed now is refused for the moment (`ESME_RSYSERR`), so that the message centre delivers it
again. What cannot be handled, which is our bug, is kept as it came, and acknowledged: it must not come for days.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from itertools import chain
from operator import attrgetter
from time import perf_counter
from typing import Any, TypeAlias

import structlog
from prometheus_client import Counter

from smsflow import metrics
from smsflow.core.encoding import Alphabet, decode_received, is_gsm_coding
from smsflow.core.errors import StoreError
from smsflow.core.identity import msisdn_of_source
from smsflow.logs import REPLY_FAILED, REPLY_HANDLED, TEXT_RECEIPT_UNMATCHED, info_each, short_revision
from smsflow.replies import Handled, Replies
from smsflow.smpp.codec import DeliverSm, Undecodable
from smsflow.smpp.receipts import Ids, Receipt, State, read_receipt
from smsflow.smpp.segments import Part as FoundPart
from smsflow.smpp.segments import read_part, read_text
from smsflow.smpp.session import Session
from smsflow.smpp.statuses import Status
from smsflow.store.arrivals import Part, PartKey
from smsflow.store.inbound import Inbound
from smsflow.store.receipts import Report
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Inbox"]

_PARKED_FOR = timedelta(hours=1)  # a receipt whose text is not known; it is at most a few seconds early
_MOST_OWED = 10_000  # receipts that the store did not take, and that were answered all the same
_AT_ONCE = 500
_OVER_AT_ONCE = 100  # texts: twice a second that is seventeen million a day
_SLOW_S = 0.5  # an answer that took so long may have crossed a second delivery
_LINGER_S = 5.0
_KEPT = 512  # texts that a link knows as they were read: thousands write the same few digits
_Fingerprint: TypeAlias = tuple[str, str, str, int, bytes]
_Reports: TypeAlias = list[tuple[Report, Callable[[], None]]]
"""Receipts, and what is to be done when they are written down."""

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)  # not frozen: one is made for each reply
class _Arrival:
    """Where to answer, and when it came; one of those that are `open` until then."""

    session: Session
    sequence: int
    epoch: int
    began: float
    open: dict[_Arrival, None]

    def respond(self, status: Status) -> None:
        del self.open[self]
        self.session.respond(self.sequence, status, epoch=self.epoch)


@dataclass(slots=True)
class _Door:
    """What all that comes by one link has in common, looked up once."""

    link: str
    alphabet: Alphabet
    guess_header: bool
    ids: Ids
    read: Callable[[int, bytes], str]
    """The text of a whole one, by its data_coding and octets."""
    epoch: int = -1
    session: str = ""
    """The name of the connection that `epoch` counts."""


class Inbox:
    """Takes what the links deliver. `run` tells one start of the daemon from the next.

    A long text is taken without the parts that are missing when `parts_timeout` has passed since the last came.
    It is of no link: the parts of one text may come by several.
    """

    def __init__(
        self,
        replies: Replies,
        store: Store,
        writer: Writer,
        now: Callable[[], datetime],
        *,
        run: str,
        parts_timeout: timedelta = timedelta(minutes=10),
        monotonic: Callable[[], float] = perf_counter,
    ) -> None:
        self._replies = replies
        self._store = store
        self._writer = writer
        self._now = now
        self._run = run
        self._parts_timeout = parts_timeout
        self._monotonic = monotonic
        self._doors: dict[str, _Door] = {}  # by the name of the link
        self._unanswered: dict[_Fingerprint, float] = {}
        self._open: dict[_Arrival, None] = {}  # what came and is not answered, oldest first
        self._owed: deque[Report] = deque(maxlen=_MOST_OWED)
        self._reports: _Reports | None = None  # what is written down together, as long as more may join
        self._handled: list[tuple[Handled, float]] = []  # and what each took in seconds: to be told

    def add(self, session: Session) -> None:
        """Read what comes by a session as the settings of its link say."""
        link = session.settings
        alphabet = Alphabet(link.alphabet)
        read = lru_cache(_KEPT)(partial(_read_whole, alphabet=alphabet))
        self._doors[link.name] = _Door(link.name, alphabet, link.udh == "guess", Ids(link.message_ids), read)

    @property
    def oldest_unanswered_s(self) -> float:
        """Age of the oldest reply or receipt that is not answered yet; 0 when there is none."""
        oldest = next(iter(self._open), None)
        return self._monotonic() - oldest.began if oldest else 0.0

    def take(self, session: Session, pdu: DeliverSm, epoch: int, at: datetime) -> None:
        """Take a deliver_sm that came `at`; it is answered when it is on the disk."""
        arrival = _Arrival(session, pdu.sequence, epoch, self._monotonic(), self._open)
        self._open[arrival] = None
        door = self._doors[session.settings.name]
        if door.epoch != epoch:
            door.epoch, door.session = epoch, f"{self._run}.{door.link}.{epoch}"
        receipt = read_receipt(pdu, door.alphabet)
        if receipt is not None:
            self._take_receipt(arrival, door, pdu, receipt, at)
            return
        part, octets = read_part(pdu, door.alphabet, guess_header=door.guess_header)
        inbound = Inbound(
            at,
            door.link,
            door.session,
            pdu.sequence,
            msisdn_of_source(pdu.source_addr) or "",
            pdu.destination_addr,
            pdu.data_coding,
            pdu.short_message,
            door.read(pdu.data_coding, octets) if part is None else "",
        )
        if part is None:
            self._take_text(arrival, inbound, pdu.source_addr)
        else:
            self._take_part(arrival, inbound, _make_part(inbound, part, octets, pdu.source_addr))

    def tick(self) -> None:
        """Do what time brings: called twice a second."""
        over = [key for key, until in self._unanswered.items() if until <= self._monotonic()]
        for key in over:
            del self._unanswered[key]
        now, owed = self._now(), tuple(self._owed)
        self._owed.clear()
        for report in owed:
            self._mark(report, lambda: None)

        def job() -> tuple[PartKey, ...]:
            self._store.outbox.receipts.forget_parked(now - _PARKED_FOR, _AT_ONCE)
            self._store.outbox.receipts.stop_waiting(now, _OVER_AT_ONCE)
            self._store.arrivals.forget_parts(now - self._parts_timeout - _PARKED_FOR)
            return self._store.arrivals.find_stale_parts(now - self._parts_timeout, _AT_ONCE)

        def done(stale: tuple[PartKey, ...] | None, _: Exception | None) -> None:
            for key in stale or ():
                self._release(key, now)

        self._writer.submit(job, done)

    def tell(self) -> None:
        """Say in the log and to Prometheus what was handled; called soon after it, and at the end of all.

        What one transaction has brought is told together: that costs a third.
        """
        handled, self._handled = self._handled, []
        _count([each for each, _ in handled], [took_s for _, took_s in handled])
        info_each(REPLY_HANDLED, [_facts(each, took_s) for each, took_s in handled])

    def _note(self, handled: Handled, took_s: float) -> None:
        """Have `handled` told, in the loop's turn after the one that sends what follows from it."""
        if not self._handled:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.tell)
        self._handled.append((handled, took_s))

    def refuse(self, session: Session, pdu: Undecodable, epoch: int) -> None:
        """Keep a frame that could not be read, for a person to look at; then it is answered, once."""
        keep = partial(self._store.arrivals.keep_frame, session.settings.name, pdu.raw, pdu.reason, self._now())

        def done(_: object, error: Exception | None) -> None:
            session.refuse(pdu, Status.RSYSERR if error else pdu.answer, epoch=epoch)

        self._writer.submit(keep, done)

    def _take_text(self, arrival: _Arrival, inbound: Inbound, source: str) -> None:
        """Take a whole text; the same one that comes while the first is not answered is a second delivery.

        It may have been on its way while a slow store kept us: so the first counts as unanswered as long again
        as its answer took, when that was long.
        """
        key = (inbound.session, source, inbound.destination, inbound.data_coding, inbound.raw)
        if arrival.began < self._unanswered.get(key, 0.0):
            self._writer.submit(
                partial(self._replies.keep_repeated, inbound), partial(self._done, arrival, inbound)
            )
            return
        self._unanswered[key] = float("inf")
        self._store.expect(inbound.msisdn)
        self._writer.submit(
            partial(self._replies.take_reply, inbound), partial(self._done_first, arrival, inbound, key)
        )

    def _done_first(
        self,
        arrival: _Arrival,
        inbound: Inbound,
        key: _Fingerprint,
        result: Handled | None,
        error: Exception | None,
    ) -> None:
        """As `_done`, for the first delivery of a text."""
        now = self._monotonic()
        took_s = now - arrival.began
        if error is None and took_s >= _SLOW_S:
            self._unanswered[key] = now + min(took_s, _LINGER_S)
        else:
            del self._unanswered[key]
        self._done(arrival, inbound, result, error)

    def _take_part(self, arrival: _Arrival, inbound: Inbound, part: Part) -> None:
        """Take a part of a long text; when it was the last, the whole text."""
        alphabet = self._doors[part.link].alphabet

        def job() -> Handled | None:
            parts = self._store.arrivals.add_part(part)
            return self._replies.take_reply(_join(parts, part, alphabet)) if parts else None

        self._writer.submit(job, partial(self._done, arrival, inbound))

    def _release(self, key: PartKey, now: datetime) -> None:
        """Take a long text without the parts that have not come in time."""
        whole: Inbound | None = None

        def job() -> Handled | None:
            nonlocal whole
            parts = self._store.arrivals.release_parts(key)
            if not parts:
                return None
            door = self._doors.get(parts[-1].link)  # the link may be gone since
            alphabet = door.alphabet if door else Alphabet.GSM
            whole = _join(parts, parts[-1], alphabet)._replace(at=now, parts_missing=True)
            return self._replies.take_reply(whole)

        def keep() -> None:
            self._store.arrivals.release_parts(key)
            if whole:
                self._replies.keep_raw(whole)

        def done(result: Handled | None, error: Exception | None) -> None:
            if error is not None and not isinstance(error, StoreError):
                _log.error(REPLY_FAILED, exc_info=error)
                self._writer.submit(keep, lambda *_: None)
            elif result is not None:
                self._note(result, 0.0)

        self._writer.submit(job, done)

    def _done(self, arrival: _Arrival, inbound: Inbound, result: Any, error: Exception | None) -> None:  # noqa: ANN401 - whatever the job gave
        if isinstance(error, StoreError):
            arrival.respond(Status.RSYSERR)
        elif error is not None:
            _log.error(REPLY_FAILED, exc_info=error, link=inbound.link)
            self._writer.submit(
                lambda: self._replies.keep_raw(inbound),
                lambda _, failure: arrival.respond(Status.RSYSERR if failure else Status.ROK),
            )
        else:
            arrival.respond(Status.ROK)
            if result is not None:
                self._note(result, self._monotonic() - arrival.began)

    def _take_receipt(self, arrival: _Arrival, door: _Door, pdu: DeliverSm, receipt: Receipt, at: datetime) -> None:
        """Write down what became of a text. Always answered with ROK: an error makes message centres loop."""
        link, ids = door.link, door.ids
        _receipts(receipt.state).inc()
        if not receipt.message_id:
            # it says that it is a receipt, and tells nothing: a person may see more in it
            keep = partial(self._store.arrivals.keep_frame, link, pdu.raw, "a receipt without an id", at)
            self._writer.submit(keep, lambda *_: arrival.respond(Status.ROK))
            return
        if receipt.state is State.UNDER_WAY:
            arrival.respond(Status.ROK)
            return
        # some message centres keep the addresses of the text, others turn them round
        phone = msisdn_of_source(pdu.source_addr) or msisdn_of_source(pdu.destination_addr) or ""
        report = Report(at, link, phone, receipt.find_keys(ids), receipt.find_own_keys(ids), receipt.state.value)
        self._mark(report, lambda: arrival.respond(Status.ROK))

    def _mark(self, report: Report, then: Callable[[], None]) -> None:
        """Write down a receipt, with others that come; when the store does not take it, `tick` tries again."""
        if self._reports is None:
            self._reports = []
            self._submit_reports(self._reports)
        self._reports.append((report, then))

    def _submit_reports(self, reports: _Reports) -> None:
        """Write `reports` down after all else: the same transaction may say that their texts were taken."""

        def close() -> None:
            if self._reports is reports:
                self._reports = None  # who comes now is too late for this transaction

        def job() -> list[bool]:
            close()
            return self._store.outbox.receipts.mark([report for report, _ in reports])

        def done(known: list[bool] | None, error: Exception | None) -> None:
            close()
            if error is not None and not isinstance(error, StoreError) and len(reports) > 1:
                for each in reports:  # one that cannot be handled costs the others nothing
                    self._submit_reports([each])
                return
            for (report, then), is_known in zip(reports, known or [False] * len(reports), strict=True):
                then()
                if isinstance(error, StoreError):
                    self._owed.append(report)
                elif not is_known:
                    _log.debug(TEXT_RECEIPT_UNMATCHED, link=report.link)

        self._writer.submit(job, done, after_others=True)


def _make_part(inbound: Inbound, found: FoundPart, octets: bytes, source: str) -> Part:
    """The part of a long text that `inbound` is."""
    return Part(
        at=inbound.at,
        msisdn=inbound.msisdn or source,
        destination=inbound.destination,
        reference=f"{found.kind.value}.{found.reference}.{found.total}",
        number=found.number,
        total=found.total,
        data_coding=inbound.data_coding,
        payload=octets,
        link=inbound.link,
        session=inbound.session,
        sequence=inbound.sequence,
    )


def _join(parts: Sequence[Part], last: Part, alphabet: Alphabet) -> Inbound:
    """The text of `parts`, which are in order; it came with the `last` that came."""
    *rest, end = parts
    pieces = [(part.data_coding, part.payload) for part in rest]
    pieces.append((end.data_coding, _without_padding(end.data_coding, end.payload)))
    return Inbound(
        at=last.at,
        link=last.link,
        session=last.session,
        sequence=last.sequence,
        msisdn=msisdn_of_source(last.msisdn) or "",
        destination=last.destination,
        data_coding=parts[0].data_coding,
        raw=b"".join(part.payload for part in parts),
        text=read_text(pieces, alphabet).rstrip("\0"),
    )


def _read_whole(data_coding: int, octets: bytes, alphabet: Alphabet) -> str:
    """The text of `octets` without the NULs that some message centres end it with."""
    return decode_received(data_coding, _without_padding(data_coding, octets), alphabet).rstrip("\0")


def _without_padding(data_coding: int, octets: bytes) -> bytes:
    """`octets` without the NULs at their end, where these are signs of the alphabet.

    In the GSM alphabet a NUL is an `@`, so a single one stays: she may have written it, and the reply parser
    forgives it. Two and more are padding.
    """
    if octets.endswith(b"\0\0") and is_gsm_coding(data_coding):
        return octets.rstrip(b"\0") or octets  # nothing else: then `@` they are
    return octets


@cache
def _replies(outcome: str) -> Counter:
    """The counter of an outcome: looking it up takes longer than counting."""
    return metrics.REPLIES.labels(outcome=outcome)


@cache
def _coercions(name: str) -> Counter:
    """The counter of a coercion, as `_replies`."""
    return metrics.COERCIONS.labels(name=name)


@cache
def _receipts(state: State) -> Counter:
    """The counter of receipts that say so, as `_replies`."""
    return metrics.RECEIPTS.labels(state=state.value)


def _count(handled: Sequence[Handled], took_s: Sequence[float]) -> None:
    """Count what was handled, and how long each took, for Prometheus."""
    for outcome, count in Tally(map(attrgetter("outcome"), handled)).items():
        _replies(outcome).inc(count)
    for coercion, count in Tally(chain.from_iterable(map(attrgetter("coercions"), handled))).items():
        _coercions(coercion).inc(count)
    metrics.TURN_S.observe(took_s)


def _facts(handled: Handled, took_s: float) -> dict[str, Any]:
    """The facts of a line in the log, without those that are empty; zero is a fact."""
    outcome, reason, case, dialog, revision, from_state, to_state, effects, _ = handled
    facts = {
        "case": case,
        "dialog": dialog,
        "revision": short_revision(revision),
        "from_state": from_state,
        "to_state": to_state,
        "outcome": outcome,
        "effects": effects,
        "took_ms": round(took_s * 100_000) / 100,  # `round` to a digit takes as long as all else here
    }
    if reason:
        facts["reason"] = reason
    if all(facts.values()):
        return facts
    return {name: value for name, value in facts.items() if value or value == 0}
