"""Whose receipt it is, and the receipts that nobody waits for yet. Called inside the store's transactions.

Ids are kept as they came and compared by forms of them (keys); no id is unique: centres use them again, and some
give every text the same one. So the phone decides between texts with the same id, and what is not known yet is
parked: a receipt may come before the response that brings the id, or on another link.

Ids as many centres draw them lie anywhere in an index: each new one touches a page of its own, and an index of all
ids that there ever were does not fit into memory. So a part is found by its id for a day after its text's end, for
a receipt may be delivered again, and for a week where none has come (`stop_waiting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from smsflow.store.rows import dump, utc
from smsflow.store.statements import Statements

__all__ = ["Receipts", "Report"]

Place: TypeAlias = tuple[int, int]
"""A part of a text: the text's number in the outbox, and which part."""

_LOOK_AT = 64  # texts with the same id that are looked at when a receipt does not name a phone
_UNDER_WAY = ("held", "queued", "sending")
_ENDED = ("delivered", "failed", "expired", "dropped")
_COMES_AGAIN = timedelta(days=1)
_COMES_LATE = timedelta(days=7)  # longer than centres try to deliver a text
_OF_PAIRS = (  # (key, phone): all parts with that id to that phone
    "SELECT s.key, s.msisdn, s.state IS NOT NULL, s.link, s.outbox, s.part FROM json_each(?) CROSS JOIN segment s"
    " ON s.key = json_extract(json_each.value, '$[0]') AND s.msisdn = json_extract(json_each.value, '$[1]')"
    " AND s.key <> ''"
)
_TELL = "UPDATE segment SET state=? WHERE outbox=? AND part=? AND state IS NULL"
_DELIVERED = (  # of these texts, those of which all parts are
    "SELECT outbox FROM segment WHERE outbox IN (SELECT value FROM json_each(?)) GROUP BY outbox"
    " HAVING count(*) = sum(state = 'delivered')"
)
_FINISH = "UPDATE outbox SET status=?, changed_at=? WHERE id=? AND status='accepted'"
_PARKED_KEYS = "SELECT key FROM parked_key WHERE key IN (SELECT value FROM json_each(?))"
_IS_KEY = "key = ? AND key <> ''"  # the second says to SQLite that an index without empty keys will do


class Report(NamedTuple):
    """A receipt for one part. `state` is final: `delivered`, `failed` or `expired`.

    `keys` are all forms of its id, the likelier first; `own_keys` those of which the link is sure, without a guess
    at the base of the number. `msisdn` is empty when the receipt does not name a phone.
    """

    at: datetime
    link: str
    msisdn: str
    keys: tuple[str, ...]
    own_keys: tuple[str, ...]
    state: str


class _Places:
    """Parts that some receipts are for, read at once; it is kept up to date with what is told of them."""

    def __init__(self, parts: Iterable[tuple[str, str, bool, str, int, int]]) -> None:
        self._parts: dict[tuple[str, str], list[tuple[str, Place]]] = {}  # link and place, by key and phone
        self._told: set[Place] = set()
        for key, msisdn, is_told, link, outbox, part in parts:
            self._parts.setdefault((key, msisdn), []).append((link, (outbox, part)))
            if is_told:
                self._told.add((outbox, part))

    def find(self, report: Report) -> Place | None:
        """The part that `report` is for; only by the likeliest form of its id, and to its phone."""
        best = min(
            self._parts.get((report.keys[0], report.msisdn), ()),
            key=lambda part: (part[1] in self._told, part[0] != report.link, -part[1][0]),
            default=None,
        )
        return best and best[1]

    def is_first(self, place: Place) -> bool:
        """Whether nothing was told yet of a part that was found."""
        return place not in self._told

    def tell(self, place: Place) -> None:
        """What became of a part is told."""
        self._told.add(place)


class Receipts:
    """Writes down what receipts tell of the parts that they are for, and keeps those that came too early."""

    def __init__(self, statements: Statements) -> None:
        self._execute = statements.execute
        self._execute_many = statements.executemany
        self.may_be_parked = True
        """False when surely no receipt is parked: what comes need not be looked for."""

    def mark(self, reports: Sequence[Report]) -> list[bool]:
        """Write down what became of parts; False for each that is not known (yet), and the receipt was parked.

        The first final state of a part stays. A text is `delivered` when all its parts are.
        """
        places = self._read_places(reports)
        told: list[tuple[Report, Place]] = []
        known: list[bool] = []
        for report in reports:
            place = places.find(report)
            if place is None:
                self._tell(told)
                told = []
                place = self._tell_of_another(report)
            elif places.is_first(place):
                told.append((report, place))
            if place is not None:
                places.tell(place)
            known.append(place is not None)
        self._tell(told)
        return known

    def _tell_of_another(self, report: Report) -> Place | None:
        """As `_tell`, for a receipt whose part is not found at a glance; it is parked when there is none."""
        place = self._find_place(report)
        if place is None:
            self._park(report)
        elif self._execute(_TELL, (report.state, *place)).rowcount:
            self.settle(place[0], report.at)
        return place

    def _tell(self, told: Sequence[tuple[Report, Place]]) -> None:
        """Write down what became of these parts, and of their texts when all is known."""
        if told:
            self._execute_many(_TELL, [(report.state, *place) for report, place in told])
            self._settle_all([(place[0], report.state, report.at) for report, place in told])

    def _settle_all(self, told: Sequence[tuple[int, str, datetime]]) -> None:
        """As `settle` after each of these: a text, what became of a part of it, and when that was told."""
        ends: dict[int, tuple[str, datetime]] = {}
        for outbox, state, at in told:
            if ends.get(outbox, ("delivered", at))[0] == "delivered":  # the first bad one stays
                ends[outbox] = state, at
        delivered = [outbox for outbox, (state, _) in ends.items() if state == "delivered"]
        whole = {outbox for (outbox,) in self._execute(_DELIVERED, (dump(delivered),))}
        self._execute_many(
            _FINISH,
            [
                (state, utc(at), outbox)
                for outbox, (state, at) in ends.items()
                if state != "delivered" or outbox in whole
            ],
        )

    def settle(self, outbox: int, now: datetime) -> None:
        """A text whose parts a message centre has all taken is what they are, as soon as that is known."""
        rows = self._execute("SELECT state FROM segment WHERE outbox=? ORDER BY part", (outbox,)).fetchall()
        states = [row[0] for row in rows]
        worst = next((state for state in states if state not in (None, "delivered")), None)
        if worst or None not in states:
            self._execute(_FINISH, (worst or "delivered", utc(now), outbox))

    def _read_places(self, reports: Sequence[Report]) -> _Places:
        """The parts that `reports` may be for, as far as they name a phone and have their likeliest id: most do."""
        pairs = {(report.keys[0], report.msisdn): None for report in reports if report.msisdn}
        return _Places(self._execute(_OF_PAIRS, (dump(list(pairs)),)).fetchall())

    def _find_place(self, report: Report) -> Place | None:
        """The part that `report` is for, None when no part is known by its id.

        A text to its phone first, of its link rather than of another, not final rather than final, the latest. A
        text to another phone only by the very id, and only when no other text has that id.
        """
        if report.msisdn:
            for key in report.keys:
                row = self._execute(
                    f"SELECT outbox, part FROM segment WHERE {_IS_KEY} AND msisdn = ?"  # noqa: S608 - ours
                    " ORDER BY state IS NOT NULL, link <> ?, outbox DESC LIMIT 1",
                    (key, report.msisdn, report.link),
                ).fetchone()
                if row:
                    return row[0], row[1]
            return self._find_only(report.own_keys)
        return self._find_latest(report) or self._find_only(report.keys)

    def _find_only(self, keys: tuple[str, ...]) -> Place | None:
        for key in keys:
            rows = self._execute(f"SELECT outbox, part FROM segment WHERE {_IS_KEY} LIMIT 2", (key,)).fetchall()  # noqa: S608 - ours
            if len(rows) == 1:
                return rows[0][0], rows[0][1]
        return None

    def _find_latest(self, report: Report) -> Place | None:
        for key in report.own_keys:
            rows = self._execute(
                f"SELECT outbox, part, state IS NOT NULL, link <> ? FROM segment WHERE {_IS_KEY}"  # noqa: S608 - ours
                " ORDER BY outbox DESC LIMIT ?",
                (report.link, key, _LOOK_AT),
            ).fetchall()
            if rows:
                best = min(rows, key=lambda row: (row[2], row[3]))
                return best[0], best[1]
        return None

    def _park(self, report: Report) -> None:
        """Keep a receipt for a part that is not known yet."""
        self.may_be_parked = True
        receipt = self._execute(
            "INSERT INTO parked_receipt (at, link, state) VALUES (?, ?, ?)",
            (utc(report.at), report.link, report.state),
        ).lastrowid
        for key in report.keys:
            self._execute(
                "INSERT INTO parked_key (key, msisdn, receipt) VALUES (?, ?, ?)", (key, report.msisdn, receipt)
            )

    def find_parked(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of `keys` under which a receipt is parked."""
        if not self.may_be_parked:
            return frozenset()
        return frozenset(key for (key,) in self._execute(_PARKED_KEYS, (dump(list(keys)),)))

    def take_parked(self, key: str, msisdn: str) -> str | None:
        """The state that a parked receipt told for the part with id `key` to a phone; it is parked no more."""
        row = self._execute(
            "SELECT r.id, r.state FROM parked_key k JOIN parked_receipt r ON r.id = k.receipt"
            " WHERE k.key = ? AND k.msisdn IN (?, '') ORDER BY k.msisdn = '', r.id LIMIT 1",
            (key, msisdn),
        ).fetchone()
        if row is None:
            return None
        self._forget(row[0])
        return str(row[1])

    def forget_parked(self, before: datetime, most: int) -> int:
        """Give up on receipts that were parked before then; how many."""
        rows = self._execute(
            "SELECT id FROM parked_receipt WHERE at < ? ORDER BY at LIMIT ?", (utc(before), most)
        ).fetchall()
        for (receipt,) in rows:
            self._forget(receipt)
        self.may_be_parked = self._execute("SELECT 1 FROM parked_receipt LIMIT 1").fetchone() is not None
        return len(rows)

    def stop_waiting(self, now: datetime, most: int) -> int:
        """Wait for receipts of `most` texts no more, the oldest whose time is over; how many there were.

        In the order of their numbers: one that is under way, or may still be told of, keeps those after it.
        """
        (over,) = self._execute("SELECT coalesce(max(outbox), 0) FROM receipts_over").fetchone()
        again, late = utc(now - _COMES_AGAIN), utc(now - _COMES_LATE)

        def is_over(text: tuple[int, str, str]) -> bool:
            _, status, changed_at = text
            return status not in _UNDER_WAY and changed_at < (again if status in _ENDED else late)

        rows = self._execute(
            "SELECT id, status, changed_at FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (over, most)
        )
        texts = list(takewhile(is_over, rows.fetchall()))
        if texts:
            last = texts[-1][0]
            self._execute(
                "UPDATE segment SET key = '' WHERE outbox > ? AND outbox <= ? AND key <> ''", (over, last)
            )
            self._execute("REPLACE INTO receipts_over (id, outbox) VALUES (1, ?)", (last,))
        return len(texts)

    def _forget(self, receipt: int) -> None:
        self._execute("DELETE FROM parked_key WHERE receipt = ?", (receipt,))
        self._execute("DELETE FROM parked_receipt WHERE id = ?", (receipt,))
