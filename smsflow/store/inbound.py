"""Texts that came in, raw; and whether one has come before. Called inside the store's transactions.

A mother answers question after question, and each time the table would be asked what she has sent in the last
minutes. So what the phones that wrote last have sent is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from smsflow.store.expected import Expected
from smsflow.store.rows import dump, utc
from smsflow.store.statements import Statements

__all__ = ["Inbound", "InboundTexts"]


class Inbound(NamedTuple):
    """One text as it came in. `session` tells one connection of `link` from the next.

    `parts_missing`: a long text of which not all parts came in time.
    """

    at: datetime
    link: str
    session: str
    sequence: int
    msisdn: str
    destination: str
    data_coding: int
    raw: bytes
    text: str
    parts_missing: bool = False


_MOST_PHONES = 4096
_MANY_TEXTS = 12  # of one phone: those whose time is over are let go of
_MOST_TEXTS = 50  # of one phone; of one that writes more the table is asked
_MOST_AT_ONCE = 5000  # texts that are read together; not fewer, or what was cut off in reading would pass for all
_NEVER = "9"  # is later than all times as they are stored
_SAME = "msisdn = ? AND at >= ? AND (raw = ? OR text = ?)"
_COLUMNS = "at, link, session, sequence, msisdn, destination, data_coding, raw, text"
_ADD = (
    f"INSERT INTO inbound ({_COLUMNS}, conversation, outcome, reason, coercions)"  # noqa: S608 - columns are ours
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CAME_SINCE = (
    "SELECT msisdn, at, raw, text, session, sequence FROM inbound"
    " WHERE msisdn IN (SELECT value FROM json_each(?)) AND at >= ? LIMIT ?"
)
_IS_DELIVERED_AGAIN = f"SELECT 1 FROM inbound WHERE {_SAME} AND (session <> ? OR sequence = ?) LIMIT 1"  # noqa: S608 - _SAME is ours
_DELIVERIES = f"SELECT session, sequence FROM inbound WHERE {_SAME} ORDER BY id"  # noqa: S608 - as above


_Came: TypeAlias = tuple[str, str, bytes, str, str, int]
"""A text that is remembered: phone, time as it is stored, octets, text, session, and its number there."""


@dataclass(slots=True)
class _Phone:
    """All texts of a phone since then."""

    since: str
    texts: list[_Came]


class InboundTexts:
    """The texts."""

    def __init__(self, statements: Statements, expected: Expected) -> None:
        self._statements = statements
        self._expected = expected
        self._phones: OrderedDict[str, _Phone] = OrderedDict()  # those that wrote last

    def add(
        self,
        inbound: Inbound,
        *,
        case: int | None,
        outcome: str,
        reason: str = "",
        coercions: Sequence[str] = (),
    ) -> None:
        """Store a text as it came in, and what it turned out to be."""
        came_at, link, session, sequence, msisdn, destination, data_coding, raw, text, _ = inbound
        at = utc(came_at)
        self._statements.put(
            _ADD,
            (
                at, link, session, sequence, msisdn, destination, data_coding, raw, text,
                case, outcome, reason, " ".join(coercions),
            ),
        )  # fmt: skip
        phone = self._phones.get(msisdn)
        if phone is not None and phone.since != _NEVER:
            phone.texts.append((msisdn, at, raw, text, session, sequence))

    def is_delivered_again(self, inbound: Inbound, since: datetime) -> bool:
        """Whether the same text from the same phone has come since then, and a message centre delivers it again.

        A centre that saw no response does so with the same sequence number, on a new connection, or on
        another link, which may pad it or code it otherwise. A mother who writes the same again comes in the same
        session with a number of its own.
        """
        _, _, session, sequence, msisdn, _, _, raw, text, _ = inbound
        begin = utc(since)
        phone = self._find(msisdn, begin)
        if begin < phone.since:
            found = self._statements.execute(_IS_DELIVERED_AGAIN, (msisdn, begin, raw, text, session, sequence))
            return found.fetchone() is not None
        for _, at, other_raw, other_text, other_session, number in phone.texts:
            is_same = other_raw == raw or other_text == text
            if is_same and at >= begin and (other_session != session or number == sequence):
                return True
        return False

    def is_written_again(self, inbound: Inbound, since: datetime) -> bool:
        """Whether the same text came in this very session when it last came, with a number of its own.

        Then she has written it again, though it may have been delivered again in between.
        """
        values = (inbound.msisdn, utc(since), inbound.raw, inbound.text)
        came = self._statements.execute(_DELIVERIES, values).fetchall()
        delivery = inbound.session, inbound.sequence
        return bool(came) and came[-1][0] == inbound.session and delivery not in came

    def forget(self) -> None:
        """What was written did not stay: read all anew."""
        self._phones.clear()

    def _find(self, msisdn: str, since: str) -> _Phone:
        if msisdn not in self._phones:
            self._load(self._expected.unknown(msisdn, self._phones), since)
        phone = self._phones[msisdn]
        if len(phone.texts) >= _MANY_TEXTS:
            _prune(phone, since)
        self._phones.move_to_end(msisdn)
        return phone

    def _load(self, msisdns: Sequence[str], since: str) -> None:
        """Read what phones have sent since then, the first at least; of as many as it is not too much of."""
        rows = self._statements.execute(_CAME_SINCE, (dump(msisdns), since, _MOST_AT_ONCE)).fetchall()
        if len(rows) == _MOST_AT_ONCE and len(msisdns) > 1:
            self._load(msisdns[: len(msisdns) // 2], since)
            return
        for msisdn in msisdns:
            self._phones[msisdn] = _Phone(since, [])
        for came in rows:
            self._phones[came[0]].texts.append(came)
        while len(self._phones) > _MOST_PHONES:
            self._phones.popitem(last=False)


def _prune(phone: _Phone, since: str) -> None:
    """Let go of what came before then; of all, when it is still too much."""
    phone.since = max(phone.since, since)
    phone.texts = [came for came in phone.texts if came[1] >= since]
    if len(phone.texts) >= _MOST_TEXTS:
        phone.since, phone.texts = _NEVER, []
