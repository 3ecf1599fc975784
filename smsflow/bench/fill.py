"""A store that holds cases before the measurement begins: nine in ten closed, the youngest waiting for an answer.

The closed ones are spread over three years: a mother has answered every question, the child is registered, each
text is delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from smsflow.bench.rehearsal import KATO, Part
from smsflow.births import Births
from smsflow.core.conversation import Status
from smsflow.core.encoding import segments
from smsflow.core.render import example_of
from smsflow.engine import Engine
from smsflow.library import Library, shipped_dialogs
from smsflow.replies import Replies
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Taken
from smsflow.store.people import Birth
from smsflow.store.receipts import Report
from smsflow.store.stock import copy_cases
from smsflow.store.store import Store, open_store

__all__ = ["fill_store"]

_WAITING = 10  # one in so many
_SPAN = timedelta(days=3 * 365)
_MOMENTS = 150  # at which the closed cases began: a week apart
_LASTS = timedelta(days=3)
_PAUSE = timedelta(minutes=20)
_AT_ONCE = 1000


def fill_store(path: Path, count: int, part: Part, at: datetime, tell: Callable[[str], None]) -> None:
    """Make the store in file `path` with `count` cases besides those that they are copies of.

    Raises: StoreError, DialogError.
    """
    assert at.tzinfo  # noqa: S101 - a moment of the caller's clock is aware
    store = open_store(path, at.tzinfo)
    waiting = count // _WAITING
    moments = min(_MOMENTS, count)
    began_at = [at - _LASTS - _SPAN * (moments - number) / moments for number in range(moments)]
    try:
        models = _Models(store, part)
        with store.transaction():
            cases = [models.close(number, moment) for number, moment in enumerate(began_at, 1)]
            while store.outbox.receipts.stop_waiting(at, _AT_ONCE):
                pass
            cases.append(models.wait(0, at))
    finally:
        store.close()
    copies = [*_share(count - waiting, moments), waiting]
    copy_cases(path, tuple(zip(cases, copies, strict=True)), lambda done: tell(f"cases {done}/{count}"))


def _share(count: int, shares: int) -> list[int]:
    """`count` in so many shares, as equal as they can be."""
    return [count * (share + 1) // shares - count * share // shares for share in range(shares)]


class _Models:
    """Plays the cases of which there are to be copies, inside a transaction of `store`."""

    def __init__(self, store: Store, part: Part) -> None:
        self._store = store
        self._part = part
        self._engine = Engine(store, Library.load(shipped_dialogs(), store.used_dialog), None)
        self._births = Births(self._engine, store)
        self._replies = Replies(self._engine, store)
        self._sequence = 0

    def wait(self, number: int, at: datetime) -> int:
        """The case of a mother who has answered every question but the last."""
        case = self._births.record_birth(_birth(number, at), at)
        for text in self._part.replies:
            self._deliver(at)
            self._reply(number, text, at)
        self._deliver(at)
        return case

    def close(self, number: int, at: datetime) -> int:
        """The case of a mother whose child is registered, begun at `at`."""
        case = self._births.record_birth(_birth(number, at), at)
        for text in self._part.replies:
            self._deliver(at)
            at += _PAUSE
            self._reply(number, text, at)
        self._deliver(at)
        at += _PAUSE
        self._reply(number, self._yes(case), at)
        for application in self._store.bodies.load_due(at, 1):
            self._store.bodies.mark(application.id, "taken", at)
        events = {"accepted": {"number": "104512"}, "registered": {"place": "ЦОН", "child_iin": "991231500006"}}
        for name, data in events.items():
            at += 10 * _PAUSE
            self._engine.take_body_event(case, f"{name}-{number}", name, data, at)
            self._deliver(at)
        for conversation in self._store.conversations.load_phone(_phone(number)):
            if conversation.status is not Status.CLOSED:  # what has begun since; it is not copied
                self._engine.operate(conversation.case, "end", at)
        self._deliver(at)
        return case

    def _yes(self, case: int) -> str:
        conversation = self._store.conversations.load_case(case)
        assert conversation  # noqa: S101 - it was begun just now
        return example_of(self._engine.dialog_of(conversation), conversation)

    def _reply(self, number: int, text: str, at: datetime) -> None:
        self._sequence += 1
        raw = text.encode("utf-16-be")
        self._replies.take_reply(Inbound(at, "main", "model", self._sequence, _phone(number), "1414", 8, raw, text))

    def _deliver(self, at: datetime) -> None:
        """Every text that waits is taken by a message centre, and reaches its phone."""
        outbox = self._store.outbox
        for text in outbox.claim("main", 1_000, at):
            ids = [f"{text.id}-{number}" for number in range(segments(text.text))]
            parts = [(number, Taken("main", name, name)) for number, name in enumerate(ids)]
            outbox.mark_taken(text.id, text.msisdn, len(ids), parts, at)
            outbox.receipts.mark([Report(at, "main", text.msisdn, (name,), (name,), "delivered") for name in ids])


def _phone(number: int) -> str:
    return f"77{number:07}04"  # copies end with 02, those who play with 03


def _birth(number: int, at: datetime) -> Birth:
    return Birth(
        birth_id=f"model-{number:04}",
        mother_iin="990101600008",
        msisdn=_phone(number),
        born_at=at.isoformat(),
        sex="female",
        alive=True,
        birth_order=1,
        account="",
        address_kato=KATO,
    )
