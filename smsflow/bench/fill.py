"""A store that holds cases before the measurement begins: nine in ten closed, one waiting for its answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from smsflow.bench.rehearsal import KATO, Part
from smsflow.births import Births
from smsflow.engine import Engine
from smsflow.library import Library, shipped_dialogs
from smsflow.replies import Replies
from smsflow.store.arrivals import Inbound
from smsflow.store.people import Birth
from smsflow.store.stock import copy_cases
from smsflow.store.store import Store, open_store

__all__ = ["fill_store"]

_CLOSED = 9  # of ten


def fill_store(path: Path, count: int, part: Part, at: datetime, tell: Callable[[str], None]) -> None:
    """Make the store in file `path` with `count` cases besides the two that they are copies of.

    Raises: StoreError, DialogError.
    """
    assert at.tzinfo  # noqa: S101 - a moment of the caller's clock is aware
    store = open_store(path, at.tzinfo)
    try:
        closed, waiting = (_play(store, number, part, at) for number in range(2))
        engine = Engine(store, Library.load(shipped_dialogs(), store.used_dialog), None)
        with store.transaction():
            engine.operate(closed, "end", at)
            for text in store.outbox.claim("main", 1_000, at):
                store.outbox.fail(text.id, "", at)
            store.clear_flags(closed, at)
            store.clear_flags(waiting, at)
    finally:
        store.close()
    copy_cases(path, (waiting, *(closed,) * _CLOSED), count, lambda done: tell(f"cases {done}/{count}"))


def _play(store: Store, number: int, part: Part, at: datetime) -> int:
    """The case of a mother who has answered every question but the last."""
    engine = Engine(store, Library.load(shipped_dialogs(), store.used_dialog), None)
    phone = f"770300000{number:02}"
    birth = Birth(
        birth_id=f"model-{number}",
        mother_iin="990101600008",
        msisdn=phone,
        born_at=at.isoformat(),
        sex="female",
        alive=True,
        birth_order=1,
        account="",
        address_kato=KATO,
    )
    with store.transaction():
        case = Births(engine, store).record_birth(birth, at)
    for sequence, text in enumerate(part.replies, start=1):
        raw = text.encode("utf-16-be")
        with store.transaction():
            inbound = Inbound(at, "main", "model", sequence, phone, "1414", 8, raw, text)
            Replies(engine, store).take_reply(inbound)
    return case
