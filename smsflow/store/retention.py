"""What the store forgets when its time is over: a closed case with all that hangs on it, texts that belong to none.

In slices of some cases, found by their indexes and called inside the store's transactions: whoever calls may stop
after any of them. What is kept for ever: who said STOP, the base of mobile citizens, and up to when births were
forgotten. A birth from before that is never new again, so that nobody is congratulated twice on one child.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from smsflow.store.rows import utc
from smsflow.store.statements import Statements

__all__ = ["Place", "Retention"]

_REST = timedelta(days=1)  # in which nothing has happened: a reply, or an answer of a centre, may come twice
_UNDER_WAY = "('held', 'queued', 'sending')"
_PHONES = (  # a case may have had several: it was opened for one, and a person may have resumed it for another
    "SELECT DISTINCT iif(json_valid(event), json_extract(event, '$.msisdn'), '') AS phone FROM journal"
    " WHERE conversation = ?1 AND phone <> ''"
)
_NEXT = (
    "SELECT closed_at, id, birth_id FROM conversation WHERE status = 'closed' AND closed_at < ?"
    " AND (closed_at, id) > (?, ?) ORDER BY closed_at, id LIMIT ?"
)
_IS_NEEDED = (
    "SELECT EXISTS (SELECT 1 FROM journal WHERE conversation = ?1 AND at >= ?2)"  # noqa: S608 - ours
    f" OR EXISTS (SELECT 1 FROM outbox WHERE conversation = ?1 AND (status IN {_UNDER_WAY} OR changed_at >= ?2))"
    " OR EXISTS (SELECT 1 FROM application WHERE conversation = ?1 AND status = 'queued')"
    " OR EXISTS (SELECT 1 FROM birth WHERE birth_id = ?3 AND julianday(born_at) >= julianday(?4))"
)
_OF_CASE = (  # what hangs on a case, before the case itself
    f"DELETE FROM inbound WHERE msisdn IN ({_PHONES}) AND conversation = ?1",  # noqa: S608 - ours
    "DELETE FROM segment WHERE outbox IN (SELECT id FROM outbox WHERE conversation = ?1)",
    "DELETE FROM outbox WHERE conversation = ?1",
    "DELETE FROM application WHERE conversation = ?1",
    "DELETE FROM body_event WHERE conversation = ?1",
    "DELETE FROM flag WHERE conversation = ?1",
    "DELETE FROM journal WHERE conversation = ?1",
    "DELETE FROM conversation WHERE id = ?1",
)
_LAST_OF_BIRTH = (
    "DELETE FROM birth WHERE birth_id = ?1 AND NOT EXISTS (SELECT 1 FROM conversation WHERE birth_id = ?1)"
)
_FIRST_OF_BIRTH = (  # a birth names the first of its cases that is left
    "UPDATE birth SET conversation = (SELECT min(id) FROM conversation WHERE birth_id = ?1)"
    " WHERE birth_id = ?1 AND conversation = ?2"
)
_NOTHING_ELSE = (
    "NOT EXISTS (SELECT 1 FROM conversation WHERE msisdn = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM inbound WHERE msisdn = ?1)"
)
_PHONE = (
    "DELETE FROM phone WHERE msisdn = ?1 AND stopped_at IS NULL AND coalesce(explained_at, '') < ?2"  # noqa: S608 - ours
    f" AND {_NOTHING_ELSE}"
)
_LONG_TEXT = f"DELETE FROM long_text WHERE msisdn = ?1 AND {_NOTHING_ELSE}"  # noqa: S608 - ours
_OLD_OUTBOX = (
    "SELECT id FROM outbox INDEXED BY outbox_of_none WHERE conversation IS NULL AND queued_at < ?"  # noqa: S608 - ours
    f" AND status NOT IN {_UNDER_WAY} ORDER BY queued_at LIMIT ?"
)
_OLD_INBOUND = (
    "DELETE FROM inbound WHERE id IN"
    " (SELECT id FROM inbound WHERE conversation IS NULL AND at < ? ORDER BY at LIMIT ?) RETURNING msisdn"
)
_OLD_FRAMES = "DELETE FROM undecodable WHERE id IN (SELECT id FROM undecodable WHERE at < ? ORDER BY at LIMIT ?)"


@dataclass(frozen=True, slots=True)
class Place:
    """How far the closed cases were looked at: the last one's end and number."""

    closed_at: str = ""
    case: int = 0


class Retention:
    """Forgets. `on_phone` is told of each phone of which something was forgotten.

    `flush` writes the texts that the transaction has made and kept back: a case that just got one stays.
    """

    def __init__(
        self, statements: Statements, on_phone: Callable[[str], object], flush: Callable[[], object]
    ) -> None:
        self._execute = statements.execute
        self._on_phone = on_phone
        self._flush = flush

    def begin(self, before: datetime) -> None:
        """From now on a birth that lies before then is not new: it may have been forgotten. It never goes back."""
        self._execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten, not only let go
        self._execute(
            "INSERT INTO forgotten (id, before) VALUES (1, ?) ON CONFLICT (id) DO UPDATE"
            " SET before = excluded.before WHERE before < excluded.before",
            (utc(before),),
        )

    def forgotten_before(self) -> datetime | None:
        """A birth from before then that is not known may have been known; None when nothing was ever forgotten."""
        row = self._execute("SELECT before FROM forgotten WHERE id = 1").fetchone()
        return datetime.fromisoformat(row[0]) if row else None

    def forget_cases(self, place: Place, before: datetime, now: datetime, most: int) -> tuple[Place | None, int]:
        """Forget what was closed before then, of `most` cases after `place`; up to where, and how many went.

        None when there are no more. A case stays while something is under way in it or has just happened, and as
        long as its child was not born before then either.
        """
        self._flush()
        rows = self._execute(_NEXT, (utc(before), place.closed_at, place.case, most)).fetchall()
        gone = 0
        for _, case, birth_id in rows:
            needed = self._execute(_IS_NEEDED, (case, utc(now - _REST), birth_id, utc(before)))
            if not needed.fetchone()[0]:
                self._forget_case(case, birth_id, now)
                gone += 1
        return (Place(*rows[-1][:2]) if len(rows) == most else None), gone

    def _forget_case(self, case: int, birth_id: str, now: datetime) -> None:
        phones = [row[0] for row in self._execute(_PHONES, (case,)).fetchall()]
        for statement in _OF_CASE:
            self._execute(statement, (case,))
        self._execute(_LAST_OF_BIRTH, (birth_id,))
        self._execute(_FIRST_OF_BIRTH, (birth_id, case))
        self._forget_phones(phones, now)

    def _forget_phones(self, phones: Iterable[str], now: datetime) -> None:
        for phone in phones:
            self._execute(_PHONE, (phone, utc(now - _REST)))
            self._execute(_LONG_TEXT, (phone,))
            self._on_phone(phone)

    def forget_texts(self, before: datetime, now: datetime, most: int) -> int:
        """Forget what belongs to no case and came before then: `most` texts each way, and frames; how many."""
        old = [row[0] for row in self._execute(_OLD_OUTBOX, (utc(before), most)).fetchall()]
        for text in old:
            self._execute("DELETE FROM segment WHERE outbox = ?", (text,))
            self._execute("DELETE FROM outbox WHERE id = ?", (text,))
        phones = [row[0] for row in self._execute(_OLD_INBOUND, (utc(before), most)).fetchall()]
        self._forget_phones(sorted(set(phones)), now)
        frames = self._execute(_OLD_FRAMES, (utc(before), most)).rowcount
        return len(old) + len(phones) + frames
