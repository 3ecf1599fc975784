"""What must never happen (the numbers are those of the design's list): checked against the disk and the wire.

Everything is read on a connection of its own, so that only what is committed counts. `after_step` looks after
every callback in which something was committed; `on_submit`, `on_acknowledge` and `on_post` look at the moment
at which octets leave the daemon; `at_end` when no fault is left and all deadlines have passed.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from smsflow.core.conversation import Conversation
from smsflow.core.errors import StoreError
from smsflow.core.step import step
from smsflow.library import Library
from smsflow.store.rows import CONVERSATION_COLUMNS, read_conversation, read_event, read_opening, read_time, utc

from .bodies import Posted
from .centre import Written
from .forgotten import Forgotten
from .pdus import Submitted

if TYPE_CHECKING:
    from .world import World

INVARIANTS = {
    "lost": "1 a reply that was acknowledged is in the store, and was when it was acknowledged",
    "twice": "2 a reply is one step at most; an event of a body too",
    "unsent": "3 a committed text goes out, in order, once or marked as in doubt, and none that is not committed",
    "stranded": "4 every open case waits for something that will come",
    "replay": "5 the journal replays to the state that is stored, by the revision that the case began with",
    "stale": "5 a timer or a text that is over moves nothing and goes to nobody",
    "data": "6 what an application carries is what the mother wrote",
    "private": "7 no personal data in the log, nobody's data in another's text",
    "stopped": "8 nothing goes to a phone after STOP, or about a child that does not live",
    "bodies": "an application reaches a body under one key, which its row has, until it is taken",
    "kept": "what is over is forgotten with all that hangs on it, and nothing else is",
    "alive": "no callback or task of the daemon fails",
}

_PERSONAL = re.compile(r"7701\d{7}|9501012\d{5}|KZ\d{2}[0-9A-Z]{16}|[А-ЯҒ][а-яңұәқ]+ [А-ЯҒ][а-яңұәқ]+")
_OUR_BUGS = frozenset({"reply.failed", "timer.failed", "api.failed"})
_REPLIES = frozenset({"Answered", "NotUnderstood", "HelpAsked", "Stopped"})
_ENDED_FROM_OUTSIDE = frozenset({"stopped", "stillbirth", "ended"})
_PATIENCE_S = 7200.0
_MOST_POSTS = 30
_DUES = (
    "SELECT min(due_at) FROM conversation WHERE due_at > ?1"
    " UNION ALL SELECT min(not_before) FROM outbox WHERE status = 'held' AND not_before > ?1"
    " UNION ALL SELECT min(next_at) FROM application WHERE status = 'queued' AND next_at > ?1"
    " UNION ALL SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', min(at), '+601 seconds') FROM part"
    " WHERE state = 'waiting'"
)
_ON_ITS_WAY = ("held", "queued", "sending")


class Violation(Exception):
    """An invariant is broken."""


class Checks:
    """The invariants of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._journal = self._inbound = 0  # the last rows that were looked at
        self._replayed: dict[int, Conversation] = {}
        self._replies: Counter[tuple[int, str]] = Counter()
        self._events: Counter[tuple[int, str]] = Counter()
        self._tries: dict[int, dict[int, set[int]]] = {}  # text -> attempt -> parts that left
        self._allowed: dict[str, dict[int, int]] = {}  # phone that said STOP -> text -> attempts
        self._keys: dict[tuple[str, int], str] = {}
        self._bodies: dict[str, dict[str, Any]] = {}
        self._touched: set[int] = set()  # cases with new events
        self._begun: set[tuple[int, int]] = set()  # text and attempt
        self._overdue: datetime | None = None
        self._overdue_at_s = 0.0
        self._posts: Counter[str] = Counter()  # by key, since the body has it
        self._said: str = ""
        self._forgotten = Forgotten(world.retention, self._rows) if world.retention else None
        self._kept: set[tuple[str, bytes]] = set()  # replies that were on the disk: phone, raw
        self._last_text = 0

    def fail(self, invariant: str, words: str) -> None:
        """The run ends here. Raises: Violation, unless one was raised before."""
        assert invariant in INVARIANTS
        if not self._said:
            self._said = f"{invariant}: {words}"
        raise Violation(self._said)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- the disk -----------------------------------------------------------------------------------

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None:
            path = self._world.path
            self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        named = values[0] if values and isinstance(values[0], dict) else values
        return self._connection.execute(sql, named).fetchall()

    def _is_ready(self) -> bool:
        daemon = self._world.daemon
        return daemon is not None and hasattr(daemon, "queries")

    def find_due(self, now: datetime) -> tuple[datetime | None, bool, datetime | None]:
        """The longest overdue timer, whether anything else is overdue, and when the next of all falls due."""
        at = utc(now)
        (timer,) = self._rows("SELECT min(due_at) FROM conversation WHERE due_at <= ?", at)[0]
        dues = [row[0] for row in self._rows(_DUES, at) if row[0]]
        (overdue,) = self._rows(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE status = 'held' AND not_before <= ?1)"
            " OR EXISTS (SELECT 1 FROM application WHERE status = 'queued' AND next_at <= ?1)", at
        )[0]  # fmt: skip
        zone = self._world.clock.zone
        return (
            read_time(timer, zone) if timer else None,
            bool(overdue),
            read_time(min(dues), zone) if dues else None,
        )

    # --- after every callback -----------------------------------------------------------------------

    def after_step(self) -> None:
        """Look at what was committed since the last time."""
        if self._said:
            raise Violation(self._said)  # the daemon has caught it
        if self._connection is None and not self._is_ready():
            return
        version = self._rows("PRAGMA data_version")[0][0]
        if version != self._version and self._is_ready():
            self._version = version
            self._world.hasten()
            self._look()

    def _look(self) -> None:
        if self._forgotten is not None:
            self._look_at_forgotten(self._forgotten)
        for row in self._rows(
            "SELECT id, conversation, event, outcome, from_state FROM journal WHERE id > ?", self._journal
        ):
            self._journal = row[0]
            self._look_at_event(*row[1:])
        changed = set(self._touched)
        self._touched.clear()
        for case in sorted(changed):
            self._compare(case)
        for row in self._rows("SELECT id, msisdn, text, outcome, at, raw FROM inbound WHERE id > ?", self._inbound):
            self._inbound = row[0]
            self._kept.add((row[1], row[5]))
            self._look_at_inbound(*row[1:5])
        self._look_at_texts()

    def _look_at_forgotten(self, forgotten: Forgotten) -> None:
        """Only what is over has gone; the numbers of the last rows, if they have, are given out again."""
        for words in forgotten.look(self._world.clock.now()):
            self.fail("kept", words)
        self._journal = min(self._journal, self._last("journal"))
        self._inbound = min(self._inbound, self._last("inbound"))
        before, self._last_text = self._last_text, self._last("outbox")
        if self._last_text < before:
            self._begun = {each for each in self._begun if each[0] <= self._last_text}
            self._tries = {text: tries for text, tries in self._tries.items() if text <= self._last_text}
            self._world.centre.forget_texts(self._last_text)

    def _last(self, table: str) -> int:
        return int(self._rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0])

    def _look_at_event(self, case: int, event_text: str, outcome: str, from_state: str) -> None:
        library = self._library
        self._touched.add(case)
        values = json.loads(event_text)
        if values["event"] == "Opened":
            self._replayed[case] = read_opening(event_text, case)
            return
        before = self._replayed[case]
        event = read_event(event_text, self._world.clock.zone)
        done = step(library.pinned(before.revision), before, event)
        if done.outcome.value != outcome or before.state != from_state:
            self.fail(
                "replay", f"case {case}: {values['event']} was {outcome}, and replays as {done.outcome.value}"
            )
        self._look_at_timing(case, before, values, outcome)
        if values["event"] in _REPLIES and values.get("reason") != "delivered_again":
            self._count_reply(case, before.msisdn, values["text"])
        self._replayed[case] = done.conversation

    def _look_at_timing(self, case: int, before: Conversation, values: dict[str, Any], outcome: str) -> None:
        """Independent of `step`: what may move a case at all."""
        at = datetime.fromisoformat(values["at"])
        was_due = before.due is not None and before.due.at <= at
        if values["event"] == "TimerFired" and outcome != "stale" and not was_due:
            self.fail("stale", f"case {case}: a timer moved it that was not due: {before.due}")
        if values["event"] == "BodyAnswered":
            self._events[case, values["id"]] += 1
            if self._events[case, values["id"]] > 1:
                self.fail("twice", f"case {case}: the event {values['id']} of a body was taken twice")
        if before.status.value == "closed" and outcome in ("answered", "amended", "moved"):
            self.fail("stale", f"case {case} is closed, and was moved by {values['event']}")

    def _count_reply(self, case: int, phone: str, text: str) -> None:
        self._replies[case, text] += 1
        expected = self._world.centre.expected(phone).get(text, 0)
        if self._replies[case, text] > expected:
            self.fail(
                "twice",
                f"case {case}: {text!r} was written {expected} times, and taken {self._replies[case, text]} times",
            )

    def _compare(self, case: int) -> None:
        row = self._rows(f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE id = ?", case)
        if not row:
            self.fail("replay", f"case {case} is in the journal only")
        stored = read_conversation(row[0], self._world.clock.zone)
        replayed = self._replayed[case]
        if _normal(stored) != _normal(replayed):
            self.fail("replay", f"case {case} is {_normal(stored)}, its journal says {_normal(replayed)}")

    def _look_at_inbound(self, phone: str, text: str, outcome: str, at: str) -> None:
        if text not in self._world.centre.expected(phone):
            self.fail("twice", f"{phone} never wrote {text!r}")
        if outcome == "stopped" and phone not in self._allowed:
            rows = self._rows("SELECT id, attempts, status, queued_at, wait FROM outbox WHERE msisdn = ?", phone)
            sending = {row[0]: row[1] for row in rows if row[2] == "sending"}
            words = {
                row[0]: 99 for row in rows if row[3] == at and row[2] != "dropped" and row[4] is None
            }  # the confirmation
            if len(words) > 1:
                self.fail("stopped", f"{len(words)} texts confirm STOP to {phone}")
            self._allowed[phone] = sending | words

    def _look_at_texts(self) -> None:
        """Texts that are about to leave: each is for the wait that its case is in, and alone to its phone."""
        rows = self._rows(
            "SELECT o.id, o.wait, c.wait, o.attempts, c.status, c.result, o.queued_at < c.closed_at FROM outbox o"
            " LEFT JOIN conversation c ON c.id = o.conversation WHERE o.status = 'sending'"
        )
        for text, wait, current, attempts, status, result, is_older in rows:
            if (text, attempts) not in self._begun:
                self._begun.add((text, attempts))
                if wait is not None and wait != current:
                    self.fail("stale", f"text {text} is for wait {wait} and goes out in wait {current}")
                goes_on = is_older and result in _ENDED_FROM_OUTSIDE and not self._has_stepped_back()
                if status == "suspended" or goes_on:
                    self.fail("stopped", f"text {text} goes out, and its case is {status} {result}")

    def _has_stepped_back(self) -> bool:
        """Whether the clock ever did: then times do not tell what came first."""
        return any(fault.kind == "clock_step" and fault.much < 0 for fault in self._world.faults)

    # --- when octets leave --------------------------------------------------------------------------

    def on_submit(self, submitted: Submitted) -> tuple[int, int]:
        """A part of a text leaves: which text, and which try."""
        phone = submitted.phone
        rows = self._rows(
            "SELECT id, text, in_doubt, attempts FROM outbox WHERE msisdn = ? AND status = 'sending'", phone
        )
        whole = submitted.total == 1
        fitting = [row for row in rows if (row[1] == submitted.text if whole else submitted.text in row[1])]
        if not fitting:
            self.fail("unsent", f"{submitted} leaves, and the store does not say that it is being sent")
        text_id, text, in_doubt, attempt = fitting[0]
        older = self._rows(
            "SELECT id, status FROM outbox WHERE msisdn = ? AND id < ? AND (status IN ('queued', 'sending')"
            " OR (status = 'held' AND attempts > 0))",
            phone, text_id,
        )  # fmt: skip
        if older:
            self.fail("unsent", f"text {text_id} to {phone} overtakes {older}")
        tries = self._tries.setdefault(text_id, {})
        tries.setdefault(attempt, set()).add(submitted.number)
        accepted = self._world.centre.accepted
        for former, parts in tries.items():
            if (
                former < attempt
                and len(parts) == submitted.total
                and not in_doubt
                and all((text_id, former, part) in accepted for part in parts)
            ):
                self.fail("unsent", f"text {text_id} was accepted, is sent again, and is not marked as in doubt")
            part = (text_id, former, submitted.number)
            if former < attempt and part in accepted and not in_doubt and self._world.links == 1:
                self.fail("unsent", f"part {submitted.number} of text {text_id} was accepted, and is sent again")
        self._may_go(phone, text_id, attempt, text)
        return text_id, attempt

    def _may_go(self, phone: str, text_id: int, attempt: int, text: str) -> None:
        allowed = self._allowed.get(phone)
        if allowed is not None and attempt > allowed.get(text_id, 0):
            self.fail("stopped", f"{phone} has said STOP, and text {text_id} goes out: {text!r}")
        for other in self._world.residents.values():
            if other.phone != phone and other.name in text:
                self.fail("private", f"text {text_id} to {phone} names the child of {other.phone}")
        births = [birth for birth in self._world.births.values() if birth.msisdn == phone]
        asks = "R 1" in text or not self._world.centre.expected(phone)  # what she has written is answered
        if births and asks and not any(birth.alive for birth in births):
            self.fail("stopped", f"{phone} is written to after a stillbirth: {text!r}")

    def on_acknowledge(self, written: Written, number: int) -> None:
        """A response leaves that says: kept for good."""
        raw = written.parts[number - 1]
        if len(written.parts) == 1:
            found = self._rows("SELECT 1 FROM inbound WHERE msisdn = ? AND raw = ?", written.phone, raw)
        else:
            found = self._rows(
                "SELECT 1 FROM part WHERE msisdn = ?1 AND payload = ?2"
                " UNION ALL SELECT 1 FROM inbound WHERE msisdn = ?1 AND instr(raw, ?2)", written.phone, raw,
            )  # fmt: skip
        if not found:
            self.fail("lost", f"{written.text!r} part {number} is acknowledged, and is not on the disk")

    def on_post(self, posted: Posted) -> None:
        """An application leaves for a body."""
        rows = self._rows(
            "SELECT kind, conversation, data, status FROM application WHERE id = ?",
            int(posted.key) if posted.key.isdigit() else -1,
        )
        body = posted.body
        if not rows:
            self.fail("bodies", f"an application under the key {posted.key} is in no row")
        kind, case, data, status = rows[0]
        if (kind, str(case), json.loads(data)) != (posted.kind, body["case"], body["data"]):
            self.fail("bodies", f"application {posted.key} is posted as another: {body}")
        if status != "queued":
            self.fail("bodies", f"application {posted.key} is {status}, and is posted again")
        if self._bodies.setdefault(posted.key, body) != body:
            self.fail("bodies", f"application {posted.key} is not what it was at the first try")
        if self._keys.setdefault((posted.kind, case), posted.key) != posted.key:
            self.fail("bodies", f"case {case} applies to {posted.kind} under two keys")
        if (posted.kind, posted.key) in self._world.bodies.taken:
            self._posts[posted.key] += 1
        if self._posts[posted.key] > _MOST_POSTS:
            self.fail("bodies", f"application {posted.key} was taken, and is posted again and again")
        self._look_at_data(case, body["data"])

    def _look_at_data(self, case: int, data: dict[str, str]) -> None:
        phone = self._rows("SELECT msisdn FROM conversation WHERE id = ?", case)[0][0]
        resident = self._world.residents[phone]
        texts = " ".join(self._world.centre.expected(phone))
        if data["mother_iin"] != resident.iin:
            self.fail("data", f"case {case} applies with another's number")
        if "child_name" in data and not all(word in texts for word in data["child_name"].split()):
            self.fail("data", f"case {case} applies for {data['child_name']}, which she never wrote")
        if "account" in data and (not _is_iban(data["account"]) or data["account"] != resident.account):
            self.fail("data", f"case {case} applies with the account {data['account']}")

    # --- what the daemon says -----------------------------------------------------------------------

    def on_error(self, words: str) -> None:
        """A callback or a task of the daemon has failed."""
        if not self._said:
            self._said = f"alive: {words}"

    def on_log(self, level: str, line: dict[str, Any]) -> None:
        event = str(line.pop("event"))
        error = line.pop("exc_info", None)
        words = " ".join(f"{name}={value}" for name, value in sorted(line.items()) if name != "revision")
        self._world.trace(f"log {level} {event} {words} {error!r}" if error else f"log {level} {event} {words}")
        is_our_bug = event in _OUR_BUGS or (event == "store.forgotten" and level == "error")
        if is_our_bug and not self._said:
            self._said = f"alive: {event} {words} {error!r}"
        if level != "debug" and _PERSONAL.search(words) and not self._said:
            self._said = f"private: {event} {words}"

    def on_new_owner(self, phone: str) -> None:
        """A number is another's: who had it before may have said STOP, the new owner has not."""
        self._allowed.pop(phone, None)

    def on_refusal(self, error: Exception) -> None:
        """A call of the API fails: the store is full, or the daemon is not there; nothing else is a reason."""
        if not isinstance(error, (StoreError, ConnectionError)) and not self._said:
            self._said = f"alive: a birth or an event is refused: {error!r}"

    def note_overdue(self, due: datetime | None) -> None:
        """What is due and not quiet is done, soon. Raises: Violation when it is not for two hours."""
        if due != self._overdue:
            self._overdue, self._overdue_at_s = due, self._world.now_s
        elif due is not None and self._world.now_s - self._overdue_at_s > _PATIENCE_S and not self._said:
            self._said = f"stranded: what was due at {due} does not happen"

    def was_forgotten(self, birth_id: str) -> bool:
        """Whether a birth was known, and its time is over."""
        return self._forgotten is not None and birth_id in self._forgotten.births

    def was_case_forgotten(self, case: int) -> bool:
        """Whether a case was known, and its time is over."""
        return self._forgotten is not None and case in self._forgotten.cases

    def on_birth(self, birth_id: str) -> None:
        """A birth is acknowledged."""
        if not self._rows("SELECT 1 FROM birth WHERE birth_id = ?", birth_id):
            self.fail("lost", f"birth {birth_id} is acknowledged, and is not on the disk")

    # --- the end ------------------------------------------------------------------------------------

    def is_all_over(self) -> bool:
        """Whether every case has come to its end, and nothing is left to do."""
        if not self._is_ready() or len(self._world.births) < self._world.planned:
            return False
        open_cases = self._rows("SELECT id FROM conversation WHERE status <> 'closed'")
        if any(case not in self._excused for (case,) in open_cases):
            return False
        return not self._rows("SELECT 1 FROM outbox WHERE status IN ('held', 'queued', 'sending') LIMIT 1")

    @property
    def _excused(self) -> set[int]:
        """Cases that wait for a person: a body has refused the application as such, or will never speak."""
        refused = self._rows("SELECT conversation FROM application WHERE status = 'refused'")
        return self._world.bodies.silent | {row[0] for row in refused}

    def at_end(self) -> None:
        """No fault is left, and every deadline has passed."""
        self._check_replies()
        self._check_texts()
        self._check_cases()
        for birth_id in self._world.births:
            if not self.was_forgotten(birth_id):
                self.on_birth(birth_id)

    def at_end_of_retention(self) -> None:
        """Nothing has happened for days: all that is closed is forgotten."""
        if self._forgotten is not None:
            for words in self._forgotten.at_end(self._world.clock.now(), set(self._allowed)):
                self.fail("kept", words)

    def _check_replies(self) -> None:
        for written in self._world.centre.written:
            acked = written.acked - written.lost
            whole = set(range(1, len(written.parts) + 1)) - written.lost
            if acked != whole:
                self.fail("lost", f"{written.text!r} was never acknowledged, though there is a bind")
            raw = written.joined(whole)
            if self._forgotten is not None and (written.phone, raw) in self._kept:
                continue
            if not self._rows("SELECT 1 FROM inbound WHERE msisdn = ? AND raw = ?", written.phone, raw):
                self.fail("lost", f"{written.text!r} was acknowledged, and is not in the store")

    def _check_texts(self) -> None:
        centre = self._world.centre
        taken: dict[int, set[int]] = {}
        for text, _, part in centre.accepted:
            taken.setdefault(text, set()).add(part)
        for text, status, size, error, in_doubt in self._rows(
            "SELECT id, status, segments, error, in_doubt FROM outbox"
        ):
            if status in _ON_ITS_WAY:
                self.fail("unsent", f"text {text} is still {status} at the end")
            whole = len(taken.get(text, ())) == size
            if status in ("accepted", "delivered", "expired") and not whole:
                self.fail("unsent", f"text {text} is {status}, and the message centre never took it")
            if status == "failed" and not (error or in_doubt or whole or text in centre.refused_for_good):
                self.fail("unsent", f"text {text} failed for nothing")

    def _check_cases(self) -> None:
        excused = self._excused
        for case, state, status, due in self._rows(
            "SELECT id, state, status, due_at FROM conversation WHERE status <> 'closed'"
        ):
            if case not in excused:
                self.fail("stranded", f"case {case} is {status} in {state!r} for ever, due {due}")
        if self._rows("SELECT 1 FROM application WHERE status = 'queued'"):
            self.fail("bodies", "an application is still queued at the end")

    @property
    def _library(self) -> Library:
        daemon = self._world.daemon
        assert daemon is not None
        return daemon.engine._library


def _normal(conversation: Conversation) -> Conversation:
    """With times as they are stored: UTC, milliseconds."""
    due, asked_at = conversation.due, conversation.asked_at
    return replace(
        conversation,
        facts=dict(conversation.facts),
        answers=dict(conversation.answers),
        asked_at=datetime.fromisoformat(utc(asked_at)) if asked_at else None,
        due=due._replace(at=datetime.fromisoformat(utc(due.at))) if due else None,
    )


def _is_iban(text: str) -> bool:
    """ISO 13616: the remainder by 97 is 1."""
    turned = text[4:] + text[:4]
    return len(text) == 20 and int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1
