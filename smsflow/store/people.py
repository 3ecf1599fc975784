"""Births, the base of mobile citizens, and what is known of a phone. Called inside the store's transactions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from smsflow.store.expected import Expected
from smsflow.store.rows import dump, read_time, utc
from smsflow.store.statements import Statements

__all__ = ["Birth", "People"]


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth as the ward recorded it. `msisdn` is None when the mother has no phone that is known."""

    birth_id: str
    mother_iin: str
    msisdn: str | None
    born_at: str
    sex: str
    alive: bool
    birth_order: int
    account: str
    address_kato: str


_MOST_LINKS = 10_000  # that are remembered
_ADD_BIRTH = (
    "INSERT INTO birth (birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account, address_kato,"
    " received_at, conversation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# of many by one statement: it takes longer to have SQLite run one than to find a row
_BIRTHS = (
    "SELECT birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account, address_kato, conversation"
    " FROM birth WHERE birth_id IN (SELECT value FROM json_each(?))"
)
_MSISDNS = "SELECT iin, msisdn FROM citizen WHERE iin IN (SELECT value FROM json_each(?))"
_IINS = "SELECT msisdn, iin FROM citizen WHERE msisdn IN (SELECT value FROM json_each(?))"
_STOPPED = (
    "SELECT msisdn FROM phone WHERE msisdn IN (SELECT value FROM json_each(?1)) AND stopped_at IS NOT NULL"
    " UNION ALL SELECT iin FROM stopped WHERE iin IN (SELECT value FROM json_each(?2))"
)
_LINKS = "SELECT msisdn, link FROM phone WHERE msisdn IN (SELECT value FROM json_each(?))"
_NOTE_LINK = (
    "INSERT INTO phone (msisdn, link) VALUES (?, ?) ON CONFLICT (msisdn) DO UPDATE SET link = excluded.link"
)


class People:
    """Who has which phone, which births were recorded, and who has said STOP."""

    def __init__(self, statements: Statements, zone: tzinfo, expected: Expected) -> None:
        self._statements = statements
        self._execute = statements.execute
        self._zone = zone
        self._expected = expected
        self._links: dict[str, str | None] = {}  # of some phones

    def find_births(self, birth_ids: Iterable[str]) -> dict[str, tuple[Birth, int]]:
        """Those of these births that were recorded, by their ids, each with its first case."""
        rows = self._execute(_BIRTHS, (dump(list(birth_ids)),)).fetchall()
        return {row[0]: (_birth(row), row[9]) for row in rows}

    def add_birth(self, birth: Birth, case: int, at: datetime) -> None:
        """Store a birth and the case that it began."""
        self._statements.put(
            _ADD_BIRTH,
            (
                birth.birth_id, birth.mother_iin, birth.msisdn, birth.born_at, birth.sex, birth.alive,
                birth.birth_order, birth.account, birth.address_kato, utc(at), case,
            ),
        )  # fmt: skip

    def mark_not_alive(self, birth_id: str) -> None:
        """Correct a birth: the child does not live."""
        self._execute("UPDATE birth SET alive = 0 WHERE birth_id = ?", (birth_id,))

    def find_msisdn(self, iin: str) -> str | None:
        """The number of a citizen, None when the base of mobile citizens does not know one."""
        row = self._execute("SELECT msisdn FROM citizen WHERE iin = ?", (iin,)).fetchone()
        return row[0] if row else None

    def find_msisdns(self, iins: Iterable[str]) -> dict[str, str]:
        """The numbers of citizens, by IIN: of those whom the base of mobile citizens knows."""
        return dict(self._execute(_MSISDNS, (dump(list(iins)),)).fetchall())

    def find_iins(self, msisdns: Iterable[str]) -> dict[str, str]:
        """Whose numbers they are: IINs by number, of those that are somebody's."""
        return dict(self._execute(_IINS, (dump(list(msisdns)),)).fetchall())

    def find_iin(self, msisdn: str) -> str | None:
        """Whose number it is, None when nobody's."""
        row = self._execute("SELECT iin FROM citizen WHERE msisdn = ?", (msisdn,)).fetchone()
        return row[0] if row else None

    def bind_citizen(self, iin: str, msisdn: str, bound_at: datetime) -> None:
        """Tie a number to a citizen, in place of her former number and of the number's former owner.

        The number's new owner has not said STOP.
        """
        if self.find_iin(msisdn) not in (None, iin):
            self._execute("DELETE FROM phone WHERE msisdn = ?", (msisdn,))
            self.forget(msisdn)
        self._execute("DELETE FROM citizen WHERE msisdn = ? AND iin <> ?", (msisdn, iin))
        self._execute(
            "INSERT INTO citizen (iin, msisdn, bound_at) VALUES (?, ?, ?)"
            " ON CONFLICT (iin) DO UPDATE SET msisdn = excluded.msisdn, bound_at = excluded.bound_at",
            (iin, msisdn, utc(bound_at)),
        )

    def binding_time(self, iin: str) -> datetime | None:
        """Since when the citizen has had her number."""
        row = self._execute("SELECT bound_at FROM citizen WHERE iin = ?", (iin,)).fetchone()
        return read_time(row[0], self._zone) if row else None

    def is_stopped(self, msisdn: str, iin: str = "") -> bool:
        """Whether the owner of the number, or the citizen by whatever number, has said STOP."""
        row = self._execute(
            "SELECT 1 FROM phone WHERE msisdn = ? AND stopped_at IS NOT NULL"
            " UNION ALL SELECT 1 FROM stopped WHERE iin = ?",
            (msisdn, iin),
        ).fetchone()
        return row is not None

    def find_stopped(self, msisdns: Iterable[str], iins: Iterable[str]) -> frozenset[str]:
        """Those of the numbers whose owners have said STOP, and those of the IINs whose citizens have."""
        rows = self._execute(_STOPPED, (dump(list(msisdns)), dump(list(iins)))).fetchall()
        return frozenset(row[0] for row in rows)

    def mark_stopped(self, msisdn: str, iins: frozenset[str], at: datetime) -> None:
        """Remember that the owner of the number, known as `iins`, has said STOP."""
        self._execute(
            "INSERT INTO phone (msisdn, stopped_at) VALUES (?, ?)"
            " ON CONFLICT (msisdn) DO UPDATE SET stopped_at = coalesce(stopped_at, excluded.stopped_at)",
            (msisdn, utc(at)),
        )
        for iin in sorted(iins):
            self._execute("INSERT OR IGNORE INTO stopped (iin, at) VALUES (?, ?)", (iin, utc(at)))

    def note_link(self, msisdn: str, link: str) -> None:
        """Remember by which link the number last wrote: texts for it go out there."""
        if self.find_link(msisdn) != link:
            self._statements.put(_NOTE_LINK, (msisdn, link))
            self._links[msisdn] = link

    def find_link(self, msisdn: str) -> str | None:
        """By which link the number last wrote; None when it has not."""
        if msisdn not in self._links:
            unknown = self._expected.unknown(msisdn, self._links)
            links: dict[str, str | None] = dict(self._execute(_LINKS, (dump(unknown),)).fetchall())
            if len(self._links) >= _MOST_LINKS:
                self._links.clear()
            self._links |= {each: links.get(each) for each in unknown}
        return self._links[msisdn]

    def forget(self, msisdn: str) -> None:
        """What is known of a phone was deleted."""
        self._links.pop(msisdn, None)

    def forget_all(self) -> None:
        """What was written did not stay."""
        self._links.clear()

    def may_explain(self, msisdn: str, at: datetime) -> bool:
        """Whether the number has had no explanation for a day; marks that it gets one now."""
        cursor = self._execute(
            "INSERT INTO phone (msisdn, explained_at) VALUES (?, ?) ON CONFLICT (msisdn) DO UPDATE"
            " SET explained_at = excluded.explained_at WHERE stopped_at IS NULL"
            " AND (explained_at IS NULL OR explained_at <= ?)",
            (msisdn, utc(at), utc(at - timedelta(days=1))),
        )
        return cursor.rowcount == 1


def _birth(row: tuple[Any, ...]) -> Birth:
    birth_id, mother_iin, msisdn, born_at, sex, alive, birth_order, account, address_kato = row[:9]
    return Birth(
        birth_id,
        mother_iin,
        msisdn,
        born_at,
        sex,
        bool(alive),
        birth_order,
        account or "",
        address_kato or "",
    )
