"""What came in, raw: texts, parts of long texts, frames that could not be read. Inside the store's transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from smsflow.store.rows import read_time, utc

__all__ = ["Arrivals", "Inbound", "Part"]


@dataclass(frozen=True, slots=True)
class Inbound:
    """One text as it came in. `session` tells one connection of `link` from the next."""

    at: datetime
    link: str
    session: str
    sequence: int
    msisdn: str
    destination: str
    data_coding: int
    raw: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a long text; `reference` names the text among those of the same sender and number."""

    at: datetime
    msisdn: str
    destination: str
    reference: str
    number: int
    total: int
    data_coding: int
    payload: bytes


class Arrivals:
    """Everything that links have delivered."""

    def __init__(self, connection: sqlite3.Connection, zone: tzinfo) -> None:
        self._execute = connection.execute
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
        self._execute(
            "INSERT INTO inbound (at, link, session, sequence, msisdn, destination, data_coding, raw, text,"
            " conversation, outcome, reason, coercions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                utc(inbound.at), inbound.link, inbound.session, inbound.sequence, inbound.msisdn,
                inbound.destination, inbound.data_coding, inbound.raw,
                inbound.text, case, outcome, reason, " ".join(coercions),
            ),
        )  # fmt: skip

    def is_delivered_again(self, inbound: Inbound, since: datetime) -> bool:
        """Whether the same text from the same phone has come since then, and a message centre delivers it again.

        A centre that saw no response does so with the same sequence number, on a new connection, or on
        another link. A mother who writes the same again comes in the same session with a number of its own.
        """
        row = self._execute(
            "SELECT 1 FROM inbound WHERE msisdn = ? AND at >= ? AND raw = ? AND (session <> ? OR sequence = ?)"
            " LIMIT 1",
            (inbound.msisdn, utc(since), inbound.raw, inbound.session, inbound.sequence),
        ).fetchone()
        return row is not None

    def add_part(self, part: Part) -> tuple[Part, ...]:
        """Store a part of a long text; all of its parts in order when it is complete, else none."""
        self._execute(
            "INSERT OR REPLACE INTO part (msisdn, destination, reference, number, total, data_coding, payload,"
            " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                part.msisdn, part.destination, part.reference, part.number, part.total, part.data_coding,
                part.payload, utc(part.at),
            ),
        )  # fmt: skip
        key = (part.msisdn, part.destination, part.reference)
        rows = self._execute(
            "SELECT at, msisdn, destination, reference, number, total, data_coding, payload FROM part"
            " WHERE msisdn = ? AND destination = ? AND reference = ? ORDER BY number",
            key,
        ).fetchall()
        if len(rows) < part.total:
            return ()
        self._execute("DELETE FROM part WHERE msisdn = ? AND destination = ? AND reference = ?", key)
        return tuple(Part(read_time(row[0], self._zone), *row[1:]) for row in rows)

    def keep_frame(self, link: str, raw: bytes, reason: str, at: datetime) -> None:
        """Store a PDU that could not be read."""
        self._execute(
            "INSERT INTO undecodable (at, link, raw, reason) VALUES (?, ?, ?, ?)", (utc(at), link, raw, reason)
        )
