"""A store, an engine and a clock that only moves when told: everything but the wire and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from smsflow.births import Births
from smsflow.core.conversation import Conversation
from smsflow.core.hours import QuietHours
from smsflow.core.replay import replay
from smsflow.engine import Engine
from smsflow.library import Library
from smsflow.replies import Handled, Replies
from smsflow.store.batch import DueText
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Taken
from smsflow.store.people import Birth
from smsflow.store.rows import read_event, read_opening
from smsflow.store.store import Store, open_store
from smsflow.store.verify import find_flaws

ZONE = ZoneInfo("Asia/Almaty")
NOON = datetime(2026, 11, 18, 12, tzinfo=ZONE)  # a Wednesday
QUIET = QuietHours(time(21), time(9), weekends=True)
MOTHER = "950101200109"
PHONE = "77011234567"
DIALOGS = Path(__file__).parent / "dialogs"


class World:
    """Acts on the engine as the daemon does: one transaction for each thing that happens."""

    def __init__(self, store: Store, quiet: QuietHours | None, dialogs: Path) -> None:
        self.store = store
        self.engine = Engine(store, Library.load(dialogs, store.used_dialog), quiet)
        self.births = Births(self.engine, store)
        self.replies = Replies(self.engine, store)
        self.now = NOON
        self.session = "one"
        self._sequence = 0

    def birth(self, birth_id: str = "b1", **changes: object) -> int:
        facts: dict[str, object] = {
            "birth_id": birth_id, "mother_iin": MOTHER, "msisdn": PHONE,
            "born_at": "2026-11-18T08:00:00+05:00", "sex": "female", "alive": True, "birth_order": 1,
            "account": "", "address_kato": "751110000",
        }  # fmt: skip
        with self.store.transaction():
            return self.births.record_birth(Birth(**(facts | changes)), self.now)  # type: ignore[arg-type]

    def reply(self, text: str, phone: str = PHONE, *, sequence: int = 0) -> Handled:
        with self.store.transaction():
            return self.take(text, phone, sequence=sequence)

    def take(self, text: str, phone: str = PHONE, *, sequence: int = 0) -> Handled:
        """As `reply`, inside of a transaction that is under way."""
        self._sequence += 1
        inbound = Inbound(
            self.now, "main", self.session, sequence or self._sequence, phone, "1414", 8,
            text.encode("utf-16-be"), text,
        )  # fmt: skip
        return self.replies.take_reply(inbound)

    def body(self, case: int, name: str, event_id: str = "", **data: str) -> str:
        with self.store.transaction():
            return self.engine.take_body_event(case, event_id or name, name, data, self.now).value

    def wait(self, by: timedelta) -> None:
        """Let time pass: timers fire at the moment they are due, texts are released."""
        end = self.now + by
        with self.store.transaction():
            while (due := self.store.find_next_due()) and self.engine.opens_at(max(due, self.now)) <= end:
                self.now = self.engine.opens_at(max(due, self.now))
                if not self._tick():
                    break
            self.now = end
            self._tick()

    def _tick(self) -> bool:
        released = self.store.outbox.release_held(self.now, 1000)
        cases = self.engine.find_due(self.now, 1000)
        for case in cases:
            self.engine.fire_timer(case, self.now)
        return bool(released or cases)

    def sending(self) -> list[DueText]:
        """The texts that may go out now, most urgent first; nobody has taken them yet."""
        with self.store.transaction():
            return list(self.store.outbox.claim("main", 1000, self.now))

    def sent(self) -> list[str]:
        """The texts that go out now, most urgent first; a message centre takes them all."""
        texts = self.sending()
        with self.store.transaction():
            for text in texts:
                self.store.outbox.mark_segment(text.id, 0, 1, Taken("main", "", ""), self.now)
        return [text.text for text in texts]

    def case(self, case: int) -> Conversation:
        conversation = self.store.conversations.load_case(case)
        assert conversation is not None
        return conversation

    def replay(self, case: int) -> Conversation:
        """The conversation as its journal alone tells it."""
        rows = self.store._connection.execute(
            "SELECT event FROM journal WHERE conversation=? ORDER BY id", (case,)
        ).fetchall()
        opening = read_opening(rows[0][0], case)
        events = [read_event(event, ZONE) for (event,) in rows[1:]]
        *_, last = replay(self.engine.dialog_of(opening), opening, events)
        return last.conversation

    def flaws(self) -> list[str]:
        """What `smsflow verify` finds."""
        file = Path(self.store._connection.execute("PRAGMA database_list").fetchone()[2])
        return [str(flaw) for flaw in find_flaws(file, ZONE, lambda *_: None)]

    def flags(self) -> list[str]:
        rows = self.store._connection.execute("SELECT reason FROM flag WHERE cleared_at IS NULL ORDER BY id")
        return [row[0] for row in rows]

    def applications(self) -> list[tuple[str, dict[str, str]]]:
        due = self.store.bodies.load_due(self.now, 1000)
        return [(application.kind, dict(application.data)) for application in due]


@contextmanager
def a_world(folder: Path, quiet: QuietHours | None = None, dialogs: Path = DIALOGS) -> Iterator[World]:
    """A world whose store is a real file in `folder`."""
    store = open_store(folder / "store.db", ZONE)
    try:
        yield World(store, quiet, dialogs)
    finally:
        store.close()
