"""Between the SMPP sessions and the rest: who is told what, and what an operator must know in the log."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from smsflow import metrics
from smsflow.inbox import Inbox
from smsflow.links import LinkDesk
from smsflow.logs import (
    SMPP_CONNECTED,
    SMPP_LOST,
    SMPP_REFUSED,
    SMPP_THROTTLED,
    SMPP_UNBOUND,
    SMPP_UNDECODABLE,
)
from smsflow.sender import Sender
from smsflow.smpp.backoff import NEEDS_A_PERSON
from smsflow.smpp.codec import DeliverSm, Undecodable
from smsflow.smpp.link import UNBOUND, SubmitAnswered
from smsflow.smpp.session import Session
from smsflow.smpp.statuses import status_name

__all__ = ["LinkHealth", "Switchboard"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """How one session of a link is: bound since when, or why not."""

    name: str
    bind: str
    bound_since: datetime | None
    trouble: str


class Switchboard:
    """The `Listener` of every session."""

    def __init__(self, inbox: Inbox, sender: Sender, now: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._sender = sender
        self._now = now
        self._came_at: datetime | None = None  # when that came which is told now, until `flush`
        self._health: dict[Session, LinkHealth] = {}
        self.desk = LinkDesk(now)
        self.desk.on_pause = sender.give_back

    def add(self, session: Session) -> None:
        """Watch a session; one that may submit is given texts."""
        self.desk.add(session)
        self._inbox.add(session)
        self._note(session, None, "not connected yet")
        if session.settings.bind != "receiver":
            self._sender.add(session)

    @property
    def health(self) -> tuple[LinkHealth, ...]:
        """Every session, in the order of the configuration."""
        return tuple(self._health.values())

    def _note(self, session: Session, bound_since: datetime | None, trouble: str) -> None:
        name, bind = session.settings.name, session.settings.bind
        self._health[session] = LinkHealth(name, bind, bound_since, trouble)
        metrics.LINK_BOUND.labels(link=name, bind=bind).set(1 if bound_since else 0)
        if bound_since:
            self.desk.bound(session)
        else:
            self.desk.troubled(session, trouble)

    # --- what sessions tell -------------------------------------------------------------------------

    def bound(self, session: Session) -> None:
        self._note(session, self._now(), "")
        _log.info(SMPP_CONNECTED, link=session.settings.name, bind=session.settings.bind)

    def refused(self, session: Session, status: int) -> None:
        self._note(session, None, f"bind refused with {status_name(status)}")
        if status in NEEDS_A_PERSON:
            _log.error(SMPP_REFUSED, link=session.settings.name, status=status_name(status))
        else:  # it may pass by itself
            _log.warning(SMPP_REFUSED, link=session.settings.name, status=status_name(status))

    def lost(self, session: Session, reason: str) -> None:
        if not self._health[session].trouble.startswith("bind refused"):
            self._note(session, None, reason)
        self._sender.lost(session)
        if reason == UNBOUND:
            _log.info(SMPP_UNBOUND, link=session.settings.name)
        else:
            _log.warning(SMPP_LOST, link=session.settings.name, reason=reason)

    def delivered(self, session: Session, pdu: DeliverSm, epoch: int) -> None:
        self.desk.taken(session, pdu.esm_class)
        if self._came_at is None:  # what comes together has come at one moment
            self._came_at = self._now()
        self._inbox.take(session, pdu, epoch, self._came_at)

    def flush(self, _session: Session) -> None:
        """What came together is all told. The writer commits for all sessions, at the end of the loop's turn."""
        self._came_at = None

    def answered(self, session: Session, answers: Sequence[SubmitAnswered]) -> None:
        self.desk.answered(session, answers)
        self._sender.answered(session, answers)

    def in_doubt(self, session: Session, tokens: tuple[Hashable, ...]) -> None:
        self.desk.in_doubt(session, len(tokens))
        self._sender.in_doubt(session, tokens)

    def throttled(self, session: Session, status: int) -> None:
        self.desk.throttled(session)
        self._sender.throttled(session)
        _log.warning(SMPP_THROTTLED, link=session.settings.name, status=status_name(status))

    def room(self, session: Session) -> None:
        self._sender.room(session)

    def undecodable(self, session: Session, pdu: Undecodable, epoch: int) -> None:
        self._inbox.refuse(session, pdu, epoch)
        _log.warning(SMPP_UNDECODABLE, link=session.settings.name, reason=pdu.reason, octets=len(pdu.raw))
