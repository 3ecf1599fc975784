"""The read side: cases as other programs see them (design.md §6), and counts. Only SELECTs, on its own connection.

The command line, HTTP and a console show what comes from here. Unless asked for in full, numbers are masked,
texts are left out, and so are answers that name a person or an account.

>>> open_queries(Path("var/smsflow.db"), zone).cases(CaseFilter(status=Status.OPEN), full=False)
{'cases': [{'case': '1', 'birth_id': 'b-1', 'msisdn': '7701***4567', …}], 'next': None}
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Protocol

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Dialog
from smsflow.core.identity import mask_iban, mask_msisdn
from smsflow.core.questions import print_reply, question_of
from smsflow.core.reader import read_dialog
from smsflow.core.render import open_address, shown_options
from smsflow.core.reply import Kind
from smsflow.store.files import connect_reader, reading
from smsflow.store.rows import CONVERSATION_COLUMNS, read_conversation, read_time

__all__ = ["PAGE_MAX", "CaseFilter", "Counts", "Dialogs", "Queries", "count_store", "open_queries"]

PAGE_MAX = 500  # cases in one page at most
_SCANNED = 10_000  # cases looked at for one page, where no index helps: readers must not hold up replies
_HIDDEN = "***"
_NEXT_IN_LINE = (
    "SELECT route, urgency, max(queued_at, not_before) FROM outbox"
    " WHERE status = 'queued' AND (route, urgency) > (?, ?) ORDER BY route, urgency, id LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases, oldest first: `limit` of them (1 to PAGE_MAX) with numbers above `after`.

    With `flagged` only those that a person must look at.
    """

    msisdn: str | None = None
    birth_id: str | None = None
    state: str | None = None
    status: Status | None = None
    flagged: bool = False
    limit: int = 50
    after: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """The store in figures: `cases` by status and result ("" while open), `texts` that wait by status."""

    cases: Mapping[tuple[str, str], int]
    texts: Mapping[str, int]
    applications_queued: int
    open_flags: int


class Dialogs(Protocol):
    """Where dialogs come from: the daemon's library, or the store itself."""

    def pinned(self, revision: str) -> Dialog:
        """The dialog as it was when a conversation began."""


def open_queries(path: Path, zone: tzinfo) -> Queries:
    """The read side of a store whose daemon may be down. Raises: StoreError when there is none."""
    return Queries(path, zone, None)


class Queries:
    """Reads the store at `path`; `dialogs` None: they come from the store too. Raises: StoreError."""

    def __init__(self, path: Path, zone: tzinfo, dialogs: Dialogs | None) -> None:
        self._connection = connect_reader(path)
        self._zone = zone
        self._dialogs = dialogs or _StoredDialogs(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def case(self, number: int, *, full: bool) -> dict[str, Any] | None:
        """One case as design.md §6 shows it, None when there is no such case."""
        rows = self._rows(f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE id = ?", number)  # noqa: S608 - the columns are ours
        if not rows:
            return None
        conversation = read_conversation(rows[0], self._zone)
        dialog = self._dialogs.pinned(conversation.revision)
        case = {
            "case": str(conversation.case),
            "birth_id": conversation.birth_id,
            "msisdn": conversation.msisdn if full else mask_msisdn(conversation.msisdn),
            "dialog": conversation.dialog,
            "revision": conversation.revision,
            "state": conversation.state,
            "status": conversation.status.value,
            "language": conversation.language,
            "awaiting": _awaiting(dialog, conversation),
            "answers": dict(conversation.answers) if full else _masked_answers(dialog, conversation),
            "flags": self._flags(conversation.case),
            "messages": self._messages(conversation.case, full=full),
        }
        if conversation.status is Status.CLOSED:
            case["result"] = conversation.result
        return case

    def holds(self, number: int) -> bool:
        """Whether there is such a case."""
        return bool(self._rows("SELECT 1 FROM conversation WHERE id = ?", number))

    def cases(self, wanted: CaseFilter, *, full: bool) -> dict[str, Any]:
        """A page of cases: `{"cases": […], "next": …}`; `next` is what `after` has to be for the page after it."""
        numbers, following = self.find(wanted)
        found = (self.case(number, full=full) for number in numbers)
        return {"cases": [case for case in found if case], "next": following}

    def find(self, wanted: CaseFilter) -> tuple[tuple[int, ...], str | None]:
        """The numbers of a page of cases, and `after` of the next page; None when there is no more.

        Without a number, a birth or `flagged` at most 10,000 cases are looked at: a page may then hold fewer
        cases than `limit`, even none, and still have a next one.
        """
        terms, values = _where(wanted)
        last: int | None = None
        if wanted.msisdn is None and wanted.birth_id is None and not wanted.flagged:
            last = wanted.after + _SCANNED
            terms.append("id <= ?")
            values.append(last)
        where = " AND ".join(terms)
        rows = self._rows(
            f"SELECT id FROM conversation WHERE {where} ORDER BY id LIMIT ?",  # noqa: S608 - terms are ours
            *values,
            wanted.limit + 1,
        )
        numbers = tuple(row[0] for row in rows[: wanted.limit])
        if len(rows) > wanted.limit:
            return numbers, str(numbers[-1])
        if last is not None and self._rows("SELECT 1 FROM conversation WHERE id > ? LIMIT 1", last):
            return numbers, str(last)
        return numbers, None

    def find_oldest_queued(self) -> datetime | None:
        """Since when the text that is next may go out, of the one that waits longest; None when none is queued.

        Texts go by route and urgency: only the first of each is looked at, however many wait. Raises: StoreError.
        """
        since: list[str] = []
        at: tuple[str, int] = ("", -1)
        while rows := self._rows(_NEXT_IN_LINE, *at):
            route, urgency, may_go_at = rows[0]
            since.append(may_go_at)
            at = (route, urgency)
        return read_time(min(since), self._zone) if since else None

    def _flags(self, case: int) -> list[str]:
        """Why a person must look at a case, oldest first; by name."""
        rows = self._rows("SELECT reason FROM flag WHERE conversation = ? AND cleared_at IS NULL ORDER BY id", case)
        return [reason for (reason,) in rows]

    def _messages(self, case: int, *, full: bool) -> list[dict[str, Any]]:
        """The texts of a case, oldest first; a reply stands before what was sent because of it."""
        rows = self._rows(
            "SELECT at, 0, id, text, outcome, 0 FROM inbound WHERE conversation = ?1 AND msisdn ="
            " (SELECT msisdn FROM conversation WHERE id = ?1)"
            " UNION ALL SELECT queued_at, 1, id, text, status, segments FROM outbox WHERE conversation = ?1"
            " ORDER BY 1, 2, 3",
            case,
        )
        return [self._message(row, full=full) for row in rows]

    def _message(self, row: tuple[Any, ...], *, full: bool) -> dict[str, Any]:
        at, is_out, _, text, word, segments = row
        message = {"at": self._iso(at), "direction": "out" if is_out else "in", "text": text if full else None}
        if not is_out:
            return {**message, "outcome": word}
        return {**message, "status": "queued" if word == "held" else word, "segments": segments}

    def _iso(self, at: str) -> str:
        return read_time(at, self._zone).isoformat(timespec="milliseconds")

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with reading():
            return self._connection.execute(statement, values).fetchall()


def count_store(path: Path) -> Counts:
    """The store in figures, read on a connection of its own; meant for a thread. Raises: StoreError."""
    with closing(connect_reader(path)) as connection, reading():

        def number(statement: str) -> int:
            return int(connection.execute(statement).fetchone()[0])

        return Counts(
            cases={
                (status, result): cases
                for status, result, cases in connection.execute("SELECT * FROM case_count WHERE cases > 0")
            },
            texts={
                status: number(f"SELECT count(*) FROM outbox WHERE status = '{status}'")  # noqa: S608 - ours
                for status in ("queued", "held", "sending", "in_doubt")
            },
            applications_queued=number("SELECT count(*) FROM application WHERE status = 'queued'"),
            open_flags=number("SELECT count(*) FROM flag WHERE cleared_at IS NULL"),
        )


class _StoredDialogs:
    """The revisions that the store holds; every one that a conversation is pinned to is there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: dict[str, Dialog] = {}

    def pinned(self, revision: str) -> Dialog:
        if revision not in self._read:
            row = self._connection.execute("SELECT sources FROM dialog WHERE revision = ?", (revision,)).fetchone()
            sources = json.loads(row[0])
            self._read[revision] = read_dialog(sources, next(iter(sources)))
        return self._read[revision]


# --- parts of a case --------------------------------------------------------------------------------------


def _awaiting(dialog: Dialog, conversation: Conversation) -> dict[str, Any] | None:
    """The open question: the address that was printed, without the answer, and what can be answered."""
    ask, asked_at = question_of(dialog, conversation), conversation.asked_at
    if ask is None or asked_at is None:
        return None
    return {
        "address": print_reply(open_address(dialog, conversation)),
        "kind": ask.kind.value,
        "options": [{"code": code, "text": text} for code, text in shown_options(dialog, conversation)],
        "asked_at": asked_at.isoformat(timespec="milliseconds"),
        "due_at": ask.silence.give_up.after(asked_at).isoformat(timespec="milliseconds"),
    }


def _masked_answers(dialog: Dialog, conversation: Conversation) -> dict[str, str]:
    """The answers for somebody who may not know who she is: codes as they are, her own words hidden."""
    choices = {ask.save for ask in dialog.questions() if ask.kind is Kind.CHOICE}
    accounts = {ask.save for ask in dialog.questions() if ask.kind is Kind.IBAN}
    return {
        name: value if name in choices else mask_iban(value) if name in accounts else _HIDDEN
        for name, value in conversation.answers.items()
    }


def _where(wanted: CaseFilter) -> tuple[list[str], list[object]]:
    """The conditions of a filter and their values."""
    terms: list[str] = ["id > ?"]
    values: list[object] = [wanted.after]
    for column, value in (("msisdn", wanted.msisdn), ("birth_id", wanted.birth_id), ("state", wanted.state)):
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if wanted.status is not None:
        terms.append(f"status = '{wanted.status.value}'")  # a literal, so that a partial index can serve it
    if wanted.flagged:
        terms.append("id IN (SELECT conversation FROM flag WHERE cleared_at IS NULL)")
    return terms, values
