"""From the outbox to the links: claims what may go out, submits it part by part, and writes down what became of it.

A text is `sending` on the disk before its first octet leaves. When its response never comes it is in doubt, and
is sent again, marked: at most the window's worth for each connection that is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog

from smsflow.logs import TEXT_FAILED, TEXT_QUEUED_AGAIN, TEXT_SENT
from smsflow.smpp.codec import SubmitSm
from smsflow.smpp.receipts import id_key
from smsflow.smpp.segments import submits
from smsflow.smpp.session import Session
from smsflow.smpp.statuses import Verdict, status_name, submit_verdict
from smsflow.store.outbox import DueText, Taken
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Sender"]

_TRIES = 5  # for a status that may pass; the link's own pauses do not count
_PAUSE = timedelta(seconds=30)  # before the second try; twice as long before each further one

_log = structlog.get_logger()


class _Token(NamedTuple):
    """One part of one text on its way."""

    text: int
    part: int
    total: int
    attempts: int


@dataclass(slots=True)
class _Lane:
    """What was claimed for a session and has not been submitted yet."""

    session: Session
    waiting: deque[tuple[_Token, SubmitSm]]


class Sender:
    """Sends what the outbox holds through whichever sessions can submit."""

    def __init__(self, store: Store, number: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._number = number
        self._now = now
        self._lanes: dict[Session, _Lane] = {}
        self.writer: Writer | None = None

    def add(self, session: Session) -> None:
        """Use a session that may submit."""
        self._lanes[session] = _Lane(session, deque())

    # --- inside the writer's transaction ------------------------------------------------------------

    def claim(self) -> list[tuple[_Lane, tuple[DueText, ...]]]:
        """Claim texts for every session that has room."""
        claimed = []
        for lane in self._lanes.values():
            room = 0 if lane.waiting else lane.session.room()
            if room:
                texts = self._store.outbox.claim(lane.session.settings.name, room, self._now())
                if texts:
                    claimed.append((lane, texts))
        return claimed

    # --- after it -----------------------------------------------------------------------------------

    def send(self, claimed: list[tuple[_Lane, tuple[DueText, ...]]]) -> None:
        """Submit what was claimed, as far as there is room."""
        for lane, texts in claimed:
            for text in texts:
                parts = submits(
                    text.text, source_addr=self._number, destination_addr=text.msisdn, reference=text.id
                )
                lane.waiting.extend(
                    (_Token(text.id, part, len(parts), text.attempts), pdu) for part, pdu in enumerate(parts)
                )
            self._drain(lane)

    def room(self, session: Session) -> None:
        """The session has room: first for what was claimed already, then for more."""
        lane = self._lanes.get(session)
        if lane is None or self.writer is None:
            return
        self._drain(lane)
        if not lane.waiting:
            self.writer.wake()

    def _drain(self, lane: _Lane) -> None:
        for _ in range(min(len(lane.waiting), lane.session.room())):
            token, pdu = lane.waiting.popleft()
            lane.session.submit(token, pdu)

    # --- what became of it --------------------------------------------------------------------------

    def answered(self, session: Session, token: Hashable, status: int, message_id: str) -> None:
        """A message centre has answered for one part."""
        assert isinstance(token, _Token)  # noqa: S101 - ours, as it was given
        verdict = submit_verdict(status)
        if verdict is Verdict.SENT:
            taken = Taken(session.settings.name, message_id, id_key(message_id))
            self._write(
                lambda: self._store.outbox.mark_segment(token.text, token.part, token.total, taken, self._now())
            )
            if token.part == token.total - 1:
                _log.debug(TEXT_SENT, text_id=token.text, segments=token.total, link=session.settings.name)
            return
        self._forget(session, token.text)
        error = status_name(status)
        if verdict is Verdict.FINAL or (verdict is Verdict.RETRY and token.attempts + 1 >= _TRIES):
            _log.warning(TEXT_FAILED, text_id=token.text, status=error, link=session.settings.name)
            self._write(lambda: self._store.outbox.fail(token.text, error, self._now()))
            return
        pause = _PAUSE * 2**token.attempts if verdict is Verdict.RETRY else timedelta()
        _log.info(TEXT_QUEUED_AGAIN, text_id=token.text, status=error, link=session.settings.name)
        self._write(lambda: self._store.outbox.retry(token.text, error, self._now() + pause, self._now()))

    def in_doubt(self, tokens: tuple[Hashable, ...]) -> None:
        """These were sent, and will not be answered."""
        for text in {token.text for token in tokens if isinstance(token, _Token)}:
            self._write(partial(self._store.outbox.doubt, text, self._now()))

    def lost(self, session: Session) -> None:
        """The connection has ended: what was claimed for it and not begun goes back to the queue."""
        lane = self._lanes.get(session)
        if lane is None:
            return
        for text in {token.text for token, _ in lane.waiting}:
            self._write(partial(self._store.outbox.retry, text, "", self._now(), self._now()))
        lane.waiting.clear()

    def give_back(self, session: Session) -> None:
        """Put back into the queue what was claimed for `session` and not begun; the rest of a text stays."""
        lane = self._lanes.get(session)
        if lane is None:
            return
        texts = {token.text for token, _ in lane.waiting if token.part == 0}
        for text in texts:
            self._write(partial(self._store.outbox.retry, text, "", self._now(), self._now()))
        lane.waiting = deque(pair for pair in lane.waiting if pair[0].text not in texts)

    def _forget(self, session: Session, text: int) -> None:
        """Do not submit the parts that are left of a text of which one was refused."""
        lane = self._lanes[session]
        lane.waiting = deque(pair for pair in lane.waiting if pair[0].text != text)

    def _write(self, job: Callable[[], object]) -> None:
        if self.writer is not None:
            self.writer.submit(job, _ignore)


def _ignore(_result: object, _error: Exception | None) -> None:
    """A status that could not be written is put right at the next start: the text is then in doubt."""
