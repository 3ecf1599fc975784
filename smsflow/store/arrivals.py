"""What came in, raw: texts, parts of long texts, frames that could not be read. Inside the store's transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple, TypeAlias

from smsflow.store.repeats import Repeats, Said
from smsflow.store.rows import read_time, utc
from smsflow.store.statements import Statements

__all__ = ["Arrivals", "Inbound", "Part", "PartKey"]


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


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a long text; `reference` names the text among those of the same sender and number.

    `link`, `session` and `sequence` as in `Inbound`.
    """

    at: datetime
    msisdn: str
    destination: str
    reference: str
    number: int
    total: int
    data_coding: int
    payload: bytes
    link: str = ""
    session: str = ""
    sequence: int = 0

    @property
    def key(self) -> PartKey:
        """What the parts of one text share."""
        return self.msisdn, self.destination, self.reference


PartKey: TypeAlias = tuple[str, str, str]
_COLUMNS = "at, msisdn, destination, reference, number, total, data_coding, payload, link, session, sequence"
_OF = "msisdn = ? AND destination = ? AND reference = ?"
_ADD_INBOUND = (
    "INSERT INTO inbound (at, link, session, sequence, msisdn, destination, data_coding, raw, text,"
    " conversation, outcome, reason, coercions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ONCE_MORE = timedelta(minutes=10)  # within it, a part that comes again was delivered again
_SAME_MOMENT = timedelta(minutes=1)  # the parts of one text come within it, as a rule


class Arrivals:
    """Everything that links have delivered."""

    def __init__(self, statements: Statements, zone: tzinfo) -> None:
        self._execute = statements.execute
        self._put = statements.put
        self._repeats = Repeats(statements)
        self._zone = zone

    def add_inbound(
        self,
        inbound: Inbound,
        *,
        case: int | None,
        outcome: str,
        reason: str = "",
        coercions: Sequence[str] = (),
    ) -> None:
        """Store a text as it came in, and what it turned out to be."""
        said = _said(inbound)
        self._put(
            _ADD_INBOUND,
            (
                said.at, inbound.link, inbound.session, inbound.sequence, inbound.msisdn, inbound.destination,
                inbound.data_coding, inbound.raw, inbound.text, case, outcome, reason, " ".join(coercions),
            ),
            inbound.msisdn,
        )  # fmt: skip
        self._repeats.note(inbound.msisdn, said)

    def is_delivered_again(self, inbound: Inbound, since: datetime) -> bool:
        """Whether a text has come since then, and a message centre delivers it again."""
        return self._repeats.is_delivered_again(inbound.msisdn, _said(inbound), since)

    def is_written_again(self, inbound: Inbound, since: datetime) -> bool:
        """Whether a text has come since then, and its sender has written it once more."""
        return self._repeats.is_written_again(inbound.msisdn, _said(inbound), since)

    def forget(self) -> None:
        """What was written did not stay."""
        self._repeats.forget()

    def add_part(self, part: Part) -> tuple[Part, ...]:
        """Store a part of a long text; all of its parts in order when it completes the text, else none.

        The parts of a text that was complete are remembered for a while: delivered again they are no new text.
        """
        row = self._execute(
            f"SELECT payload, state, at FROM part WHERE {_OF} AND number = ?",  # noqa: S608 - _OF is ours
            (*part.key, part.number),
        ).fetchone()
        if row is not None:
            payload, state, at = row
            is_incomplete = state in ("waiting", "released")
            if payload == part.payload and (is_incomplete or at >= utc(part.at - _ONCE_MORE)):
                self._note_again(part)
                return ()
            self._set_aside(part, state)
        self._execute(
            f"INSERT INTO part ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - _COLUMNS is ours
            (
                utc(part.at), *part.key, part.number, part.total, part.data_coding, part.payload,
                part.link, part.session, part.sequence,
            ),
        )  # fmt: skip
        parts = self._load_parts(part.key)
        if len(parts) < part.total:
            return ()
        self._execute(f"UPDATE part SET state = 'joined' WHERE {_OF}", part.key)  # noqa: S608 - _OF is ours
        return parts

    def _load_parts(self, key: PartKey) -> tuple[Part, ...]:
        rows = self._execute(f"SELECT {_COLUMNS} FROM part WHERE {_OF} ORDER BY number", key).fetchall()  # noqa: S608 - both are ours
        return tuple(Part(read_time(row[0], self._zone), *row[1:]) for row in rows)

    def _note_again(self, part: Part) -> None:
        """A part has come again: delivered again, or the like part of a new text with the same reference."""
        self._execute(
            f"UPDATE part SET state = 'again', at = ? WHERE {_OF} AND number = ? AND state IN ('joined', 'again')",  # noqa: S608 - _OF is ours
            (utc(part.at), *part.key, part.number),
        )

    def _set_aside(self, part: Part, state: str) -> None:
        """The reference of `part` is used for a new text; what is left of the old one no longer has it."""
        if state == "waiting":
            self._execute(
                f"UPDATE part SET reference = reference || ' before ' || ? WHERE {_OF}",  # noqa: S608 - _OF is ours
                (utc(part.at), *part.key),
            )
            return
        self._execute(
            f"DELETE FROM part WHERE {_OF} AND (number = ? OR state IN ('joined', 'released')"  # noqa: S608 - _OF is ours
            " OR (state = 'again' AND at < ?))",
            (*part.key, part.number, utc(part.at - _SAME_MOMENT)),
        )
        self._execute(f"UPDATE part SET state = 'waiting' WHERE {_OF}", part.key)  # noqa: S608 - _OF is ours

    def find_stale_parts(self, before: datetime, most: int) -> tuple[PartKey, ...]:
        """Texts that are not complete, and whose last part came before then."""
        rows = self._execute(
            "SELECT msisdn, destination, reference FROM part WHERE state = 'waiting' AND at <= ?1"
            " GROUP BY msisdn, destination, reference HAVING NOT EXISTS (SELECT 1 FROM part later"
            " WHERE later.msisdn = part.msisdn AND later.destination = part.destination"
            " AND later.reference = part.reference AND later.state = 'waiting' AND later.at > ?1) LIMIT ?2",
            (utc(before), most),
        ).fetchall()
        return tuple((row[0], row[1], row[2]) for row in rows)

    def release_parts(self, key: PartKey) -> tuple[Part, ...]:
        """The parts that have come of a text, in order; they are waited for no more. None if nothing waits.

        A part that comes later still completes the text.
        """
        released = self._execute(
            f"UPDATE part SET state = 'released' WHERE {_OF} AND state = 'waiting'",  # noqa: S608 - _OF is ours
            key,
        )
        return self._load_parts(key) if released.rowcount else ()

    def forget_parts(self, before: datetime) -> int:
        """Forget the parts of texts that were taken before then; how many."""
        return self._execute(
            "DELETE FROM part WHERE state IN ('joined', 'again', 'released') AND at < ?", (utc(before),)
        ).rowcount

    def keep_frame(self, link: str, raw: bytes, reason: str, at: datetime) -> None:
        """Store a PDU that could not be read."""
        self._execute(
            "INSERT INTO undecodable (at, link, raw, reason) VALUES (?, ?, ?, ?)", (utc(at), link, raw, reason)
        )


def _said(inbound: Inbound) -> Said:
    return Said(utc(inbound.at), inbound.raw, inbound.text, inbound.session, inbound.sequence)
