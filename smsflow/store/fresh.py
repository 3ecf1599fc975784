"""Fresh texts: those of the transaction that is under way, as long as no table has them.

A text that is claimed by the transaction that made it is written once, as `sending`; it was never `queued` on the
disk. The others are written as `queued` or `held` (`flush`), at the latest before the transaction ends. Whoever
looks at the table for texts flushes first; when the transaction is rolled back, they are forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from smsflow.core.effects import Send
from smsflow.core.encoding import segments
from smsflow.store.rows import utc
from smsflow.store.statements import Statements

__all__ = ["OPEN", "FreshTexts"]

OPEN = "{0}.status IN ('queued', 'held') AND ({0}.status = 'queued' OR {0}.attempts > 0)"
"""What is true of a row of the outbox, by the name {0}, that later texts for its phone do not overtake."""

_COLUMNS = "id, conversation, msisdn, text, segments, urgency, wait, not_before, queued_at, route"
_ADD = (
    f"INSERT INTO outbox ({_COLUMNS}, status, changed_at)"  # noqa: S608 - columns are ours
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?9)"
)
_ADD_SENDING = (
    f"INSERT INTO outbox ({_COLUMNS}, status, attempts, changed_at, began_at, link, reference)"  # noqa: S608 - as above
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'sending', 1, ?11, ?11, ?12, ?13)"
)
_OPEN_PHONES = (
    "SELECT DISTINCT o.msisdn FROM outbox o WHERE o.msisdn IN (SELECT value FROM json_each(?)) AND"  # noqa: S608 - as above
    f" {OPEN.format('o')}"
)
_WAITS = "SELECT id, wait FROM conversation WHERE id IN (SELECT value FROM json_each(?))"

_count_segments = lru_cache(maxsize=512)(segments)  # thousands get the same text


class _Fresh(NamedTuple):
    """The values of _COLUMNS, and the status, `queued` or `held`."""

    id: int
    conversation: int | None
    msisdn: str
    text: str
    segments: int
    urgency: int
    wait: int | None
    not_before: str
    queued_at: str
    route: str
    status: str


class FreshTexts:
    """The fresh texts, in the order in which they were added."""

    def __init__(self, statements: Statements) -> None:
        self._execute = statements.execute
        self._look = statements.look
        self._execute_many = statements.executemany
        self._texts: dict[int, _Fresh] = {}  # by number
        self._cases: set[int | None] = set()
        self._next_id = 0  # of the next text, as long as there are some: nobody else adds one

    def __contains__(self, text: int) -> bool:
        """Whether the text with this number is fresh."""
        return text in self._texts

    def add(self, case: int | None, msisdn: str, send: Send, wait: int | None, at: datetime, *, route: str) -> None:
        """Add a text that is queued at once, or held until it may go out."""
        if not self._texts:
            self._next_id = self._look("SELECT coalesce(max(id), 0) + 1 FROM outbox").fetchone()[0]
        added, not_before = utc(at), send.not_before
        self._texts[self._next_id] = _Fresh(
            self._next_id, case, msisdn, send.text, _count_segments(send.text), send.urgency._value_, wait,
            added if not_before is at else utc(not_before), added, route,
            "queued" if not_before <= at else "held",
        )  # fmt: skip
        self._cases.add(case)
        self._next_id += 1

    def flush(self) -> None:
        """Write all of them down, as `queued` or `held`."""
        if self._texts:
            self._execute_many(_ADD, self._texts.values())
            self.forget()

    def flush_case(self, case: int) -> None:
        """Flush, if a text of the case may be among them."""
        if case in self._cases:
            self.flush()

    def flush_behind(self) -> None:
        """Write those down whose phones have open texts in the table, which go before them."""
        phones = json.dumps([each.msisdn for each in self._texts.values()])
        behind = {msisdn for (msisdn,) in self._execute(_OPEN_PHONES, (phones,))}
        later = [each for each in self._texts.values() if each.msisdn in behind]
        self._execute_many(_ADD, later)
        for each in later:
            del self._texts[each.id]

    def forget(self) -> None:
        """They are written, or were rolled back."""
        self._texts.clear()
        self._cases.clear()

    def begin(self, sent: Iterable[tuple[int, int]], link: str, at: str) -> None:
        """Write some down as `sending`: of each the number, and the reference. What is not fresh is left alone."""
        self._execute_many(
            _ADD_SENDING,
            [(*self._texts.pop(text)[:-1], at, link, reference) for text, reference in sent if text in self._texts],
        )

    def offer(self, routes: Sequence[str]) -> list[tuple[Any, ...]]:
        """Those that are queued for one of `routes`, the most urgent first: urgency, number, phone, ….

        Then whether another goes before it to the same phone, and what `find_next` returns.
        """
        queued = [each for each in self._texts.values() if each.status == "queued"]
        waits = self._find_waits(queued)
        rows, phones = [], set()
        for each in queued:
            is_behind = each.msisdn in phones
            phones.add(each.msisdn)
            if each.route in routes:
                rows.append((each.urgency, each.id, each.msisdn, is_behind, *_as_sent(each, waits)))
        return sorted(rows)

    def find_next(self, msisdn: str, passed: int) -> tuple[Any, ...] | None:
        """The next that is queued for a phone after the text `passed`, as a claim sees it; None: there is none.

        Number, text, doubts, attempts, reference, refusals, status, segments, wait, and the wait of its case.
        """
        for each in self._texts.values():
            if each.msisdn == msisdn and each.id > passed and each.status == "queued":
                return _as_sent(each, self._find_waits((each,)))
        return None

    def _find_waits(self, texts: Iterable[_Fresh]) -> dict[int | None, int]:
        """In which wait the cases of texts are: they may have moved on in the same transaction."""
        cases = json.dumps([each.conversation for each in texts if each.wait is not None])
        return dict(self._execute(_WAITS, (cases,)).fetchall())


def _as_sent(fresh: _Fresh, waits: Mapping[int | None, int]) -> tuple[Any, ...]:
    wait = waits.get(fresh.conversation)
    return fresh.id, fresh.text, 0, 0, None, 0, fresh.status, fresh.segments, fresh.wait, wait
