"""Whether a text has come before: what the phones that wrote last have sent is remembered.

A mother answers question after question, and each time it would be asked what she has sent in the last minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from smsflow.store.rows import utc
from smsflow.store.statements import Statements

__all__ = ["Repeats", "Said"]

_MOST_PHONES = 2048
_MOST_TEXTS = 50  # of one phone; of one that writes more the table is asked
_NEVER = "9"  # is later than all times
_SAME = "msisdn = ? AND at >= ? AND (raw = ? OR text = ?)"
_SAID = "SELECT at, raw, text, session, sequence FROM inbound WHERE msisdn = ? AND at >= ? LIMIT ?"
_IS_DELIVERED_AGAIN = f"SELECT 1 FROM inbound WHERE {_SAME} AND (session <> ? OR sequence = ?) LIMIT 1"  # noqa: S608 - _SAME is ours
_DELIVERIES = f"SELECT session, sequence FROM inbound WHERE {_SAME} ORDER BY id"  # noqa: S608 - as above


class Said(NamedTuple):
    """A text of a phone, and which delivery it was."""

    at: str  # as it is stored
    raw: bytes
    text: str
    session: str
    sequence: int


@dataclass(slots=True)
class _Phone:
    """All texts of a phone since then."""

    since: str
    texts: list[Said]


class Repeats:
    """What came from which phone. Called inside the store's transactions."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._phones: OrderedDict[str, _Phone] = OrderedDict()

    def note(self, msisdn: str, said: Said) -> None:
        """A text of a phone is written down."""
        phone = self._phones.get(msisdn)
        if phone is not None and phone.since != _NEVER:
            phone.texts.append(said)

    def is_delivered_again(self, msisdn: str, said: Said, since: datetime) -> bool:
        """Whether the same text of the same phone has come since then, and a message centre delivers it again.

        A centre that saw no response does so with the same sequence number, on a new connection, or on
        another link, which may pad it or code it otherwise. A mother who writes the same again comes in the same
        session with a number of its own.
        """
        _, raw, text, session, sequence = said
        begin = utc(since)
        phone = self._find(msisdn, begin)
        if begin < phone.since:
            found = self._statements.execute(_IS_DELIVERED_AGAIN, (msisdn, begin, raw, text, session, sequence))
            return found.fetchone() is not None
        for other in phone.texts:
            is_same = other.raw == raw or other.text == text
            if is_same and other.at >= begin and (other.session != session or other.sequence == sequence):
                return True
        return False

    def is_written_again(self, msisdn: str, said: Said, since: datetime) -> bool:
        """Whether the same text came in this very session when it last came, with a number of its own.

        Then she has written it again, though it may have been delivered again in between.
        """
        came = self._statements.execute(_DELIVERIES, (msisdn, utc(since), said.raw, said.text)).fetchall()
        return bool(came) and came[-1][0] == said.session and (said.session, said.sequence) not in came

    def forget(self) -> None:
        """What was written did not stay: read all anew."""
        self._phones.clear()

    def _find(self, msisdn: str, since: str) -> _Phone:
        phone = self._phones.get(msisdn)
        if phone is None:
            rows = self._statements.look(_SAID, (msisdn, since, _MOST_TEXTS), msisdn).fetchall()
            phone = self._phones[msisdn] = _Phone(since, [Said(*row) for row in rows])
            if len(self._phones) > _MOST_PHONES:
                self._phones.popitem(last=False)
        if len(phone.texts) >= _MOST_TEXTS:
            _prune(phone, since)
        self._phones.move_to_end(msisdn)
        return phone


def _prune(phone: _Phone, since: str) -> None:
    """Let go of what came before then; of all, when it is still too much."""
    phone.since = max(phone.since, since)
    phone.texts = [said for said in phone.texts if said.at >= since]
    if len(phone.texts) >= _MOST_TEXTS:
        phone.since, phone.texts = _NEVER, []
