"""The rules of the daemon, broken one at a time on purpose: each must be noticed. In tests only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from smsflow import gateways
from smsflow.inbox import Inbox
from smsflow.sender import Sender
from smsflow.smpp.statuses import Status
from smsflow.store import retention
from smsflow.store.arrivals import Arrivals, Part
from smsflow.store.batch import Batch
from smsflow.store.bodies import Bodies
from smsflow.store.conversations import Conversations
from smsflow.store.inbound import InboundTexts
from smsflow.store.outbox import Outbox
from smsflow.store.retention import Place, Retention
from smsflow.store.rows import utc

from .run import run


def _respond_before_commit() -> AbstractContextManager[Any]:
    def take_text(self: Inbox, arrival: Any, inbound: Any, _source: str) -> None:
        arrival.respond(Status.ROK)
        self._writer.submit(partial(self._replies.take_reply, inbound), lambda *_: None)

    return patch.object(Inbox, "_take_text", take_text)


def _step_twice() -> AbstractContextManager[Any]:
    return patch.object(InboundTexts, "is_delivered_again", lambda *_: False)


def _forget_outbox() -> AbstractContextManager[Any]:
    return patch.object(Outbox, "doubt_all", lambda *_: None)


def _lose_timer() -> AbstractContextManager[Any]:
    def load_due(self: Conversations, now: datetime, most: int) -> tuple[int, ...]:
        rows = self._execute(
            "SELECT id FROM conversation WHERE due_at <= ? AND due_at > ? ORDER BY due_at LIMIT ?",
            (utc(now), utc(now - timedelta(minutes=10)), most),
        )
        return tuple(row[0] for row in rows.fetchall())

    return patch.object(Conversations, "load_due", load_due)


def _forget_waits() -> AbstractContextManager[Any]:
    real = Batch.take

    def take(self: Any, row: tuple[Any, ...], msisdn: str) -> None:
        real(self, (*row[:8], None, None), msisdn)

    return patch.object(Batch, "take", take)


def _send_before_commit() -> AbstractContextManager[Any]:
    real = Sender.claim

    def claim(self: Sender) -> list[Any]:
        self.send(real(self))
        return []

    return patch.object(Sender, "claim", claim)


@contextmanager
def _leave_doubt_unmarked() -> Iterator[None]:
    def unmarked(real: Callable[..., Any]) -> Callable[..., Any]:
        def doubt(self: Outbox, *values: Any, **how: Any) -> Any:
            done = real(self, *values, **how)
            self._execute("UPDATE outbox SET in_doubt = 0 WHERE in_doubt > 0 AND status IN ('queued', 'held')")
            return done

        return doubt

    with (
        patch.object(Outbox, "doubt", unmarked(Outbox.doubt)),
        patch.object(Outbox, "doubt_all", unmarked(Outbox.doubt_all)),
    ):
        yield


def _new_key_each_time() -> AbstractContextManager[Any]:
    real = gateways._post

    async def post(client: Any, gateway: Any, application: Any) -> Any:
        return await real(client, gateway, replace(application, id=application.id + 1000 * application.attempts))

    return patch("smsflow.gateways._post", post)


def _leave_application_unmarked() -> AbstractContextManager[Any]:
    real = Bodies.mark

    def mark(self: Bodies, application: int, status: str, now: datetime, **how: Any) -> None:
        if status != "taken":
            real(self, application, status, now, **how)

    return patch.object(Bodies, "mark", mark)


@contextmanager
def _keep_parts_in_memory() -> Iterator[None]:
    memory: dict[int, dict[Any, dict[int, Part]]] = {}

    def add_part(self: Arrivals, part: Part) -> tuple[Part, ...]:
        parts = memory.setdefault(id(self), {}).setdefault(part.key, {})
        parts[part.number] = part
        return tuple(parts[number] for number in sorted(parts)) if len(parts) == part.total else ()

    with patch.object(Arrivals, "add_part", add_part):
        yield


def _forget_stop() -> AbstractContextManager[Any]:
    return patch.object(Outbox, "_drop", lambda *_: None)


def _forget_to_drop() -> AbstractContextManager[Any]:
    return patch.object(Outbox, "drop", lambda *_: None)


def _free_too_soon() -> AbstractContextManager[Any]:
    """A phone counts as free though the disk did not take the end of its text: a mistake that was made."""

    def written(
        self: Sender, write: Callable[[], object], frees: Collection[str], _: object, error: Exception | None
    ) -> None:
        if error is not None:
            asyncio.get_running_loop().call_later(1.0, self._write, write, frees)

    return patch.object(Sender, "_written", written)


def _overtake() -> AbstractContextManager[Any]:
    real = Outbox.claim

    def claim(self: Outbox, *values: Any, busy: set[str] | None = None, **how: Any) -> Any:
        return real(self, *values, busy=set(), **how)

    return patch.object(Outbox, "claim", claim)


def _send_all_parts_again() -> AbstractContextManager[Any]:
    return patch.object(Outbox, "_find_taken", lambda *_: frozenset())


def _take_event_twice() -> AbstractContextManager[Any]:
    return patch.object(Bodies, "find_event", lambda *_: None)


def _forget_too_soon() -> AbstractContextManager[Any]:
    real = Retention.forget_cases

    def forget(self: Retention, place: Place, before: datetime, now: datetime, most: int) -> Any:
        return real(self, place, before + timedelta(hours=1), now, most)

    return patch.object(Retention, "forget_cases", forget)


def _forget_half() -> AbstractContextManager[Any]:
    fewer = tuple(each for each in retention._OF_CASE if "segment" not in each)
    return patch.object(retention, "_OF_CASE", fewer)


def _forget_who_stopped() -> AbstractContextManager[Any]:
    return patch.object(retention, "_PHONE", retention._PHONE.replace("stopped_at IS NULL", "1"))


def _remember_for_ever() -> AbstractContextManager[Any]:
    return patch.object(retention, "_IS_NEEDED", "SELECT max(?1, ?2, ?3, ?4) IS NOT NULL")


MUTATIONS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "respond before commit": _respond_before_commit,
    "step twice on redelivery": _step_twice,
    "forget the outbox after a crash": _forget_outbox,
    "lose a timer that was due while down": _lose_timer,
    "send a text whose wait is over": _forget_waits,
    "send before commit": _send_before_commit,
    "leave a text in doubt unmarked": _leave_doubt_unmarked,
    "a new Idempotency-Key at each try": _new_key_each_time,
    "leave a taken application unmarked": _leave_application_unmarked,
    "keep parts in memory": _keep_parts_in_memory,
    "STOP drops nothing": _forget_stop,
    "a suspended case drops nothing": _forget_to_drop,
    "two texts to one phone at once": _overtake,
    "send all parts again": _send_all_parts_again,
    "free a phone before that is written": _free_too_soon,
    "take a body's event twice": _take_event_twice,
    "forget a case too soon": _forget_too_soon,
    "forget half of a case": _forget_half,
    "forget who has said STOP": _forget_who_stopped,
    "forget no case": _remember_for_ever,
}
"""By what is broken."""


def find(mutation: str, most: int) -> tuple[int, str]:
    """How many seeds it takes to notice `mutation`, and which invariant does; (0, "") if `most` do not."""
    for seed in range(1, most + 1):
        with MUTATIONS[mutation]():
            failure = run(seed).failure
        if failure:
            return seed, failure
    return 0, ""
