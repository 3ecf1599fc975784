"""The outbox: texts on their way out, from `queued` to a final status. Called inside the store's transactions.

held → queued → sending → accepted → delivered | failed | expired; `dropped` what must not go out any more. A text
that was `sending` when its link or the process ended, or when its response did not come, is in doubt. It is queued
again, and marked; or, where its link says `hold` for its kind, or when it was in doubt too often, it is `in_doubt`
until a person says that it be sent again, or its response comes after all.

The column `in_doubt` counts how often. A text that was on its way at `SUSPECT` cuts goes alone from then on (see
`batch.py`): the next cut is its own doing, and it costs no other text anything more.

Texts for one phone go in the order in which they were queued, whatever their urgency and however often one of them
is refused for now: an urgent text takes those before it along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from heapq import merge
from typing import Any, NamedTuple, TypeAlias

from smsflow.core.effects import Send
from smsflow.store.batch import Batch, DueText
from smsflow.store.fresh import OPEN, FreshTexts
from smsflow.store.receipts import Receipts
from smsflow.store.references import References
from smsflow.store.rows import utc
from smsflow.store.statements import Statements

__all__ = ["OnDoubt", "Outbox", "Routes", "Sent", "Taken", "Whole"]


class Taken(NamedTuple):
    """A part that a message centre took: its own id, raw, and the form in which receipts are matched."""

    link: str
    message_id: str
    key: str


Whole: TypeAlias = tuple[int, str, Sequence[tuple[int, Taken]]]
"""A text that was taken: its number, its phone, and all of its parts."""


class Sent(Enum):
    """Whether she can have read the texts of a wait."""

    NONE = "none"
    PERHAPS = "perhaps"
    """One of them: it was on its way, and may be in doubt, or another was taken."""
    ALL = "all"


_NEVER = -1  # a wait that no conversation is in


@dataclass(frozen=True, slots=True)
class OnDoubt:
    """What becomes of a link's texts that are in doubt: whether questions and notices wait for a person.

    A question does no harm twice; an amount may. `replace`: one that is sent again asks the message centre to
    put it in the place of the first (SMPP v3.4 §5.2.18).
    """

    hold_questions: bool = False
    hold_notices: bool = False
    replace: bool = False

    def holds(self, *, is_question: bool) -> bool:
        """Whether such a text is not sent again by itself."""
        return self.hold_questions if is_question else self.hold_notices


@dataclass(frozen=True, slots=True)
class Routes:
    """By which link a text should go: the names of all links, and (prefix of a phone, link) as configured.

    With one link there is nothing to decide.
    """

    links: frozenset[str] = frozenset()
    prefixes: tuple[tuple[str, str], ...] = ()

    def by_prefix(self, msisdn: str) -> str:
        """The link of the longest prefix that fits; "" when none does."""
        fitting = [(len(prefix), link) for prefix, link in self.prefixes if msisdn.startswith(prefix)]
        return max(fitting)[1] if fitting else ""


_ADD_SEGMENT = (
    "INSERT OR REPLACE INTO segment (outbox, part, link, message_id, key, state, msisdn)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_TEXT = "o.id, o.text, o.in_doubt, o.attempts, o.reference, o.refusals, o.status, o.segments, o.wait, c.wait"
_FROM = "FROM outbox o LEFT JOIN conversation c ON c.id = o.conversation"
_NEXT_OPEN = f"SELECT {_TEXT} {_FROM} WHERE o.msisdn = ? AND o.id > ? AND {OPEN.format('o')} ORDER BY o.id LIMIT 1"
_QUEUED = (  # and whether another text for the phone goes before it
    f"SELECT o.urgency, o.id, o.msisdn, EXISTS (SELECT 1 FROM outbox e WHERE e.msisdn = o.msisdn AND e.id < o.id"  # noqa: S608 - columns and conditions are ours
    f" AND {OPEN.format('e')}), {_TEXT} {_FROM}"
    " WHERE o.status = 'queued' AND o.route = ? ORDER BY o.urgency, o.id"
)


class Outbox:
    """The texts. `flag` asks a person to look at a case, `find_link` says by which link a phone last wrote."""

    def __init__(
        self,
        statements: Statements,
        flag: Callable[[int | None, str, datetime], None],
        find_link: Callable[[str], str | None],
    ) -> None:
        self._execute = statements.execute
        self._execute_many = statements.executemany
        self._flag = flag
        self._find_link = find_link
        self.receipts = Receipts(statements)
        self._references = References(statements)
        self._routes = Routes()
        self._fresh = FreshTexts(statements)

    def use_routes(self, routes: Routes) -> None:
        """Decide by `routes` from now on; what is waiting for a link that is no more may go by any."""
        self.flush()
        self._routes = routes
        known = sorted(routes.links) if len(routes.links) > 1 else []
        marks = ",".join("?" * len(known))
        self._execute(
            "UPDATE outbox SET route = '' WHERE status IN ('queued', 'held') AND route <> ''"  # noqa: S608 - question marks only
            f" AND route NOT IN ({marks})",
            known,
        )

    def _find_route(self, msisdn: str) -> str:
        """By the link by which the phone last wrote, else by prefix, else by any."""
        if len(self._routes.links) < 2:
            return ""
        link = self._find_link(msisdn)
        return link if link in self._routes.links else self._routes.by_prefix(msisdn)

    def add(self, case: int | None, msisdn: str, send: Send, wait: int | None, at: datetime) -> None:
        """Queue a text, or hold it until it may go out."""
        self._fresh.add(case, msisdn, send, wait, at, route=self._find_route(msisdn))

    def flush(self) -> None:
        """Write down what was added and not claimed: a transaction or a savepoint begins or ends."""
        self._fresh.flush()

    def forget(self) -> None:
        """What was added and claimed in this transaction, or since its savepoint, was rolled back."""
        self._fresh.forget()
        self._references.forget()

    def release_held(self, now: datetime, most: int) -> int:
        """Queue held texts whose time has come; how many."""
        self.flush()
        return self._execute(
            "UPDATE outbox SET status='queued' WHERE id IN"
            " (SELECT id FROM outbox WHERE status='held' AND not_before <= ? ORDER BY not_before LIMIT ?)",
            (utc(now), most),
        ).rowcount

    def claim(
        self,
        link: str,
        room: int,
        now: datetime,
        *,
        routes: Sequence[str] = ("",),
        busy: set[str] | None = None,
        idle: bool = True,
    ) -> tuple[DueText, ...]:
        """Texts of `room` segments in all (at least one text) that `link` is to send now, most urgent first.

        They are `sending` from here. Only texts for one of `routes` begin, and, with `busy`, only one for each
        phone that is not in it; their phones are added. A text that was meant for a wait which is over is
        dropped: it would be untrue. `idle` says that nothing is on its way by `link`: a suspect may go.
        """
        queued: Iterable[Iterable[Any]] = ()
        if self._execute("SELECT 1 FROM outbox WHERE status IN ('queued', 'held') LIMIT 1").fetchone():
            self._fresh.flush_behind()
            queued = (self._execute(_QUEUED, (route,)) for route in routes)
        batch = Batch(room, busy, self._references, idle=idle)
        for _, text_id, msisdn, is_behind, *row in merge(self._fresh.offer(routes), *queued):
            if not is_behind and batch.wants(msisdn, text_id):
                batch.take(row, msisdn)
            while batch.wants(msisdn, text_id):
                batch.take(self._find_next(msisdn, batch.passed.get(msisdn, 0)), msisdn)
            if batch.full:
                break
        due = self._begin(batch.due, link, utc(now))
        if batch.dropped:
            self.flush()
            for dropped in batch.dropped:
                self._mark(dropped, "dropped", now)
        return due

    def _find_next(self, msisdn: str, passed: int) -> Sequence[Any]:
        """The next text of a phone after `passed`. What is open for it is all fresh, or all in the table."""
        fresh = self._fresh.find_next(msisdn, passed)
        return fresh or self._execute(_NEXT_OPEN, (msisdn, passed)).fetchone()

    def _begin(self, due: Sequence[DueText], link: str, at: str) -> tuple[DueText, ...]:
        """Write down that these are on their way."""
        due = tuple(text if text.id in self._fresh else self._prepared(text, link) for text in due)
        self._execute_many(
            "UPDATE outbox SET status='sending', link=?, attempts=attempts+1, reference=?, changed_at=?,"
            " began_at=coalesce(began_at, ?) WHERE id=?",
            [(link, text.reference, at, at, text.id) for text in due if text.id not in self._fresh],
        )
        self._fresh.begin(((text.id, text.reference) for text in due), link, at)
        return due

    def _prepared(self, text: DueText, link: str) -> DueText:
        """A text that was on its way before, as it goes out this time."""
        if text.attempts:
            text = text._replace(taken=self._find_taken(text.id, link))
        return text._replace(may_replace=not self._has_undelivered(text.msisdn)) if text.doubts else text

    def _find_taken(self, outbox: int, link: str) -> frozenset[int]:
        """Which parts need not go out again; by another link a text goes whole."""
        self._execute("DELETE FROM segment WHERE outbox = ? AND link <> ?", (outbox, link))
        return frozenset(part for (part,) in self._execute("SELECT part FROM segment WHERE outbox = ?", (outbox,)))

    def _has_undelivered(self, msisdn: str) -> bool:
        """Whether a message centre may still hold another text for a phone."""
        row = self._execute(
            "SELECT 1 FROM conversation c JOIN outbox o ON o.conversation = c.id"
            " WHERE c.msisdn = ? AND o.status = 'accepted' LIMIT 1",
            (msisdn,),
        ).fetchone()
        return row is not None

    def mark_segment(self, outbox: int, part: int, total: int, taken: Taken, now: datetime) -> None:
        """A message centre took one part of a text; the text is accepted when it has taken all."""
        row = self._execute("SELECT msisdn FROM outbox WHERE id = ?", (outbox,)).fetchone()
        self.mark_taken(outbox, row[0] if row else "", total, [(part, taken)], now)

    def mark_taken(
        self, outbox: int, msisdn: str, total: int, parts: Sequence[tuple[int, Taken]], now: datetime
    ) -> None:
        """A message centre took `parts` of a text to a phone; it is accepted when all of its `total` are taken."""
        states = [self._take_parked(taken, msisdn) for _, taken in parts]
        self._execute_many(
            _ADD_SEGMENT,
            [
                (outbox, part, taken.link, taken.message_id, taken.key, state, msisdn)
                for (part, taken), state in zip(parts, states, strict=True)
            ],
        )
        whole = len(parts) == total
        accepted = self._execute(
            "UPDATE outbox SET status='accepted', changed_at=?1 WHERE id=?2 AND status='sending'"
            " AND (?3 OR ?4 <= (SELECT count(*) FROM segment WHERE outbox = ?2))",
            (utc(now), outbox, whole, total),
        )
        if any(states) or (accepted.rowcount and not whole):
            self.receipts.settle(outbox, now)

    def mark_whole(self, texts: Sequence[Whole], now: datetime) -> None:
        """Message centres took these texts: as `mark_taken` for each, when it is all of its parts."""
        parked = self.receipts.find_parked(taken.key for _, _, parts in texts for _, taken in parts)
        if parked:
            texts, told = _split(texts, lambda text: any(taken.key in parked for _, taken in text[2]))
            for outbox, msisdn, parts in told:
                self.mark_taken(outbox, msisdn, len(parts), parts, now)
        self._execute_many(
            _ADD_SEGMENT,
            [
                (outbox, part, taken.link, taken.message_id, taken.key, None, msisdn)
                for outbox, msisdn, parts in texts
                for part, taken in parts
            ],
        )
        at = utc(now)
        self._execute_many(
            "UPDATE outbox SET status='accepted', changed_at=? WHERE id=? AND status='sending'",
            [(at, outbox) for outbox, _, _ in texts],
        )

    def _take_parked(self, taken: Taken, msisdn: str) -> str | None:
        """The state that a receipt has told which came before the answer."""
        if not taken.key or not self.receipts.may_be_parked:
            return None
        return self.receipts.take_parked(taken.key, msisdn)

    def adopt(self, outbox: int, part: int, total: int, attempts: int, taken: Taken, now: datetime) -> bool:
        """An answer came after its time: a text that was not sent again since need not be; whether it was so.

        `attempts` are those before the one that was answered.
        """
        row = self._execute(
            "SELECT status FROM outbox WHERE id=? AND attempts=? AND in_doubt"
            " AND status IN ('queued', 'held', 'in_doubt')",
            (outbox, attempts + 1),
        ).fetchone()
        if row is None:
            return False
        self._execute("UPDATE outbox SET status='sending' WHERE id=?", (outbox,))
        self.mark_segment(outbox, part, total, taken, now)
        self._execute("UPDATE outbox SET status=? WHERE id=? AND status='sending'", (row[0], outbox))
        return True

    def fail(self, outbox: int, error: str, now: datetime) -> None:
        """The message centre will not take it, whatever we do: it has failed, and a person looks."""
        row = self._execute(
            "UPDATE outbox SET status='failed', error=?, changed_at=? WHERE id=? AND status='sending'"
            " RETURNING conversation",
            (error, utc(now), outbox),
        ).fetchone()
        if row:
            self._flag(row[0], "text_failed", now)

    def retry(
        self,
        outbox: int,
        error: str,
        not_before: datetime,
        now: datetime,
        *,
        counts: bool = False,
        doubted: bool = False,
    ) -> None:
        """The message centre did not take it this time: once more, not before then.

        `counts`: as a refusal. `doubted`: of a part of it nobody knows.
        """
        status = "queued" if not_before <= now else "held"
        self._execute(
            "UPDATE outbox SET status=?, error=?, not_before=?, changed_at=?, refusals=refusals+?,"
            " in_doubt=in_doubt+? WHERE id=? AND status='sending'",
            (status, error, utc(not_before), utc(now), counts, doubted, outbox),
        )

    def give_up(self, outbox: int, error: str, begun_before: datetime, now: datetime) -> bool:
        """Fail a text that was first on its way before then: whether it is so."""
        row = self._execute(
            "SELECT 1 FROM outbox WHERE id=? AND began_at < ?", (outbox, utc(begun_before))
        ).fetchone()
        if row:
            self.fail(outbox, error, now)
        return row is not None

    def doubt(self, outbox: int, now: datetime, *, not_before: datetime | None = None) -> None:
        """The response never came: it is sent again, marked as in doubt, not before then."""
        later = not_before is not None and not_before > now
        self._execute(
            "UPDATE outbox SET status=?, in_doubt=in_doubt+1, not_before=?, changed_at=?"
            " WHERE id=? AND status='sending'",
            ("held" if later else "queued", utc(not_before or now), utc(now), outbox),
        )

    def hold_in_doubt(self, outbox: int, now: datetime) -> None:
        """Nobody knows whether it was taken, and it is not sent again by itself: a person looks."""
        row = self._execute(
            "UPDATE outbox SET status='in_doubt', in_doubt=in_doubt+1, changed_at=?"
            " WHERE id=? AND status='sending' RETURNING conversation",
            (utc(now), outbox),
        ).fetchone()
        if row:
            self._flag(row[0], "text_in_doubt", now)

    def doubt_all(self, now: datetime, on_doubt: Mapping[str, OnDoubt]) -> None:
        """After a crash: every text that was being sent is in doubt. `on_doubt` is by the name of the link.

        The crash was ours: it is not counted against a text.
        """
        rows = self._execute("SELECT id, link, wait IS NOT NULL FROM outbox WHERE status='sending'").fetchall()
        for text, link, is_question in rows:
            if on_doubt.get(link, OnDoubt()).holds(is_question=bool(is_question)):
                self.hold_in_doubt(text, now)
        self._execute(
            "UPDATE outbox SET status='queued', in_doubt=max(in_doubt, 1), changed_at=? WHERE status='sending'",
            (utc(now),),
        )

    def resend(self, case: int, now: datetime) -> int:
        """A person says that what is in doubt for a case be sent again, and whole: how many texts."""
        self._execute(
            "DELETE FROM segment WHERE outbox IN"
            " (SELECT id FROM outbox WHERE conversation=? AND status='in_doubt')",
            (case,),
        )
        return self._execute(
            "UPDATE outbox SET status='queued', in_doubt=1, not_before=?, changed_at=?"
            " WHERE conversation=? AND status='in_doubt'",
            (utc(now), utc(now), case),
        ).rowcount

    def _mark(self, text: int, status: str, now: datetime) -> None:
        self._execute("UPDATE outbox SET status=?, changed_at=? WHERE id=?", (status, utc(now), text))

    def find_sent(self, case: int, wait: int) -> Sent:
        """Whether the texts of this wait have gone out."""
        self._fresh.flush_case(case)
        rows = self._execute(
            "SELECT status, attempts FROM outbox WHERE conversation=? AND wait=?", (case, wait)
        ).fetchall()
        if not any(status in ("held", "queued", "sending") for status, _ in rows):
            return Sent.ALL
        return Sent.PERHAPS if any(attempts for _, attempts in rows) else Sent.NONE

    def drop(self, case: int, at: datetime) -> None:
        """What has not gone out for a case must not go out; what is on its way or in doubt, not again."""
        self._fresh.flush_case(case)
        self._drop("conversation", case, at)

    def drop_phone(self, msisdn: str, at: datetime) -> None:
        """As `drop`, for everything that a phone has not been sent: of open cases, of closed ones, of none."""
        self.flush()
        self._drop("msisdn", msisdn, at)

    def _drop(self, column: str, value: int | str, at: datetime) -> None:
        for status in ("sending", "in_doubt"):  # each has its index
            self._execute(
                f"UPDATE outbox SET wait=? WHERE {column}=? AND status='{status}'",  # noqa: S608 - ours
                (_NEVER, value),
            )
        self._execute(
            f"UPDATE outbox SET status='dropped', changed_at=? WHERE {column}=? AND status IN ('queued', 'held')",  # noqa: S608 - ours
            (utc(at), value),
        )


def _split(texts: Sequence[Whole], holds: Callable[[Whole], bool]) -> tuple[list[Whole], list[Whole]]:
    """`texts` for which it does not hold, and those for which it does."""
    split: tuple[list[Whole], list[Whole]] = ([], [])
    for text in texts:
        split[holds(text)].append(text)
    return split
