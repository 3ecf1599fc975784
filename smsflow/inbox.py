"""From a link to the engine: texts, parts of long texts, receipts. Committed first, acknowledged then.

What cannot be committed now is refused for the moment (`ESME_RSYSERR`), so that the message centre delivers it
again. What cannot be handled, which is our bug, is kept as it came, and acknowledged: it must not come for days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from smsflow import metrics
from smsflow.core.encoding import decode
from smsflow.core.errors import StoreError
from smsflow.core.identity import msisdn_of_source
from smsflow.logs import REPLY_FAILED, REPLY_HANDLED, TEXT_RECEIPT_UNMATCHED
from smsflow.replies import Handled, Replies
from smsflow.smpp.codec import DeliverSm, Undecodable
from smsflow.smpp.receipts import Receipt, State, read_receipt
from smsflow.smpp.segments import join, read_part
from smsflow.smpp.session import Session
from smsflow.smpp.statuses import Status
from smsflow.store.arrivals import Inbound, Part
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Inbox"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Where to answer, and when it came."""

    session: Session
    sequence: int
    epoch: int
    began: float

    def respond(self, status: Status) -> None:
        self.session.respond(self.sequence, status, epoch=self.epoch)


class Inbox:
    """Takes what the links deliver. `run` tells one start of the daemon from the next."""

    def __init__(
        self, replies: Replies, store: Store, writer: Writer, now: Callable[[], datetime], *, run: str
    ) -> None:
        self._replies = replies
        self._store = store
        self._writer = writer
        self._now = now
        self._run = run

    def take(self, session: Session, pdu: DeliverSm, epoch: int) -> None:
        """Take a deliver_sm; it is answered when it is on the disk."""
        arrival = _Arrival(session, pdu.sequence, epoch, perf_counter())
        receipt = read_receipt(pdu)
        if receipt is not None:
            self._take_receipt(arrival, receipt, pdu.source_addr)
            return
        inbound, part = self._read(arrival, pdu)
        if part is None:
            self._writer.submit(lambda: self._replies.take_reply(inbound), partial(self._done, arrival, inbound))
        else:
            self._writer.submit(lambda: self._take_part(inbound, part), partial(self._done, arrival, inbound))

    def refuse(self, session: Session, pdu: Undecodable, epoch: int) -> None:
        """Keep a frame that could not be read, for a person to look at; then it is answered, once."""
        keep = partial(self._store.arrivals.keep_frame, session.settings.name, pdu.raw, pdu.reason, self._now())

        def done(_: object, error: Exception | None) -> None:
            session.refuse(pdu, Status.RSYSERR if error else pdu.answer, epoch=epoch)

        self._writer.submit(keep, done)

    def _read(self, arrival: _Arrival, pdu: DeliverSm) -> tuple[Inbound, Part | None]:
        found, octets = read_part(pdu)
        inbound = Inbound(
            at=self._now(),
            link=arrival.session.settings.name,
            session=f"{self._run}.{arrival.session.settings.name}.{arrival.epoch}",
            sequence=pdu.sequence,
            msisdn=msisdn_of_source(pdu.source_addr) or "",
            destination=pdu.destination_addr,
            data_coding=pdu.data_coding,
            raw=pdu.short_message,
            text=decode(pdu.data_coding, octets) if found is None else "",
        )
        if found is None:
            return inbound, None
        reference = f"{found.kind.value}.{found.reference}.{found.total}"
        sender = inbound.msisdn or pdu.source_addr
        part = Part(
            at=inbound.at,
            msisdn=sender,
            destination=inbound.destination,
            reference=reference,
            number=found.number,
            total=found.total,
            data_coding=pdu.data_coding,
            payload=octets,
        )
        return inbound, part

    def _take_part(self, inbound: Inbound, part: Part) -> Handled | None:
        """Keep a part; when it was the last, take the whole text."""
        parts = self._store.arrivals.add_part(part)
        if not parts:
            return None
        payloads = [each.payload for each in parts]
        whole = Inbound(
            at=inbound.at,
            link=inbound.link,
            session=inbound.session,
            sequence=inbound.sequence,
            msisdn=inbound.msisdn,
            destination=inbound.destination,
            data_coding=parts[0].data_coding,
            raw=b"".join(payloads),
            text=join(parts[0].data_coding, payloads),
        )
        return self._replies.take_reply(whole)

    def _done(self, arrival: _Arrival, inbound: Inbound, result: Any, error: Exception | None) -> None:  # noqa: ANN401
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
                _tell(result, arrival.began)

    def _take_receipt(self, arrival: _Arrival, receipt: Receipt, msisdn: str) -> None:
        if receipt.state is State.UNDER_WAY or not receipt.keys:
            arrival.respond(Status.ROK)
            return

        def job() -> bool:
            phone = msisdn_of_source(msisdn) or ""
            return self._store.outbox.mark_receipt(receipt.keys, phone, receipt.state.value, self._now())

        def done(known: object, error: Exception | None) -> None:
            # an error status makes message centres deliver for days: only what may still be written asks for it
            arrival.respond(Status.RSYSERR if isinstance(error, StoreError) else Status.ROK)
            metrics.RECEIPTS.labels(state=receipt.state.value).inc()
            if not known:
                _log.debug(TEXT_RECEIPT_UNMATCHED, link=arrival.session.settings.name)

        self._writer.submit(job, done)


def _tell(handled: Handled, began: float) -> None:
    took_s = perf_counter() - began
    metrics.REPLIES.labels(outcome=handled.outcome).inc()
    metrics.TURN_S.observe(took_s)
    for coercion in handled.coercions:
        metrics.COERCIONS.labels(name=coercion).inc()
    _log.info(
        REPLY_HANDLED,
        case=handled.case,
        dialog=handled.dialog,
        from_state=handled.from_state,
        to_state=handled.to_state,
        outcome=handled.outcome,
        reason=handled.reason,
        effects=handled.effects,
        took_ms=round(took_s * 1000, 2),
    )
