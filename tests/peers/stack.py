"""The whole daemon over real TCP, with timers that a test can wait for, and what its store says."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smsflow import daemon as daemon_module
from smsflow import sender as sender_module
from smsflow.clock import Clock
from smsflow.config import load_config
from smsflow.core.effects import Send, Urgency
from smsflow.daemon import Daemon
from smsflow.smpp.backoff import Backoff, Pauses
from smsflow.smpp.link import LinkSettings
from smsflow.store.people import Birth

TIMEOUT_S = 20
LOCKOUT_S, GHOST_S = 0.6, 0.1  # the pauses of the real thing, a hundred times as short
DIALOGS = Path(__file__).parents[2] / "dialogs"


def run(play: Coroutine[Any, Any, None]) -> None:
    """Play to the end, within bounds."""
    asyncio.run(asyncio.wait_for(play, TIMEOUT_S))


def write_config(folder: Path, port: int, *, api: str = "", second_port: int | None = None, **link: object) -> Path:
    """A configuration with one link; `link` adds to it or replaces. With `second_port` there are two alike."""
    facts: dict[str, object] = {
        "name": "main", "host": "127.0.0.1", "port": port, "system_id": "smsflow", "password": "secret", "tps": 0,
    } | link  # fmt: skip
    links = [facts] if second_port is None else [facts, facts | {"name": "second", "port": second_port}]
    lines = ("  - {" + ", ".join(f"{name}: {value}" for name, value in each.items()) + "}\n" for each in links)
    file = folder / "smsflow.yaml"
    file.write_text(
        f'store: sqlite:///store.db\ndialogs: {DIALOGS}\nnumber: "1414"\nzone: Asia/Almaty\nquiet: none\n'
        f"links:\n{''.join(lines)}{api}"
    )
    return file


def _hurried(longest_s: float, random: Callable[[], float]) -> Backoff:
    lockout, ghost = Pauses(LOCKOUT_S, 9.0), Pauses(GHOST_S, 0.3)
    refused = {0x05: ghost, 0x0D: lockout, 0x0E: lockout, 0x0F: lockout}
    return Backoff(random, ordinary=Pauses(min(0.02, longest_s), longest_s), refused=refused)


class Stack:
    """A running daemon, and what a test asks of it."""

    def __init__(self, daemon: Daemon, clock: Clock, store: Path) -> None:
        self.daemon = daemon
        self._clock = clock
        self._store = store

    def say(self, *texts: str, to: str = "77011234567") -> None:
        """Put texts for one phone into the outbox."""
        now = self._clock.now()

        def add() -> None:
            for text in texts:
                self.daemon.store.outbox.add(None, to, Send(text, Urgency.ANSWER, now), None, now)

        self.daemon.writer.submit(add, lambda *_: None)

    def say_to_many(self, count: int) -> list[str]:
        """Put a text into the outbox for each of so many phones; return these."""
        phones = [f"7701{number:07}" for number in range(count)]
        for phone in phones:
            self.say("hello", to=phone)
        return phones

    def birth(self, to: str = "77011234567") -> None:
        """Let the engine congratulate a mother."""
        facts = Birth(
            birth_id=f"b{to}", mother_iin="950101200109", msisdn=to, born_at="2026-11-18T08:00:00+05:00",
            sex="female", alive=True, birth_order=1, account="", address_kato="751110000",
        )  # fmt: skip
        now = self._clock.now()
        self.daemon.writer.submit(lambda: self.daemon.births.record_birth(facts, now), lambda *_: None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the store says to a reader from outside."""
        with closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)) as store:
            return [tuple(row) for row in store.execute(sql)]

    def texts_in(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT text FROM inbound ORDER BY id")]

    def statuses(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT status FROM outbox ORDER BY id")]

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - a store has no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def a_daemon(
    folder: Path,
    port: int,
    *,
    enquire_s: float = 30,
    response_s: float = 5,
    bind_s: float = 5,
    pdu_s: float = 10,
    pause_s: float = 1.0,
    **link: object,
) -> AsyncIterator[Stack]:
    """A daemon with a link to `port`; it ends in peace. `pause_s` is the longest before it connects again."""
    settings = load_config(write_config(folder, port, **link), os.environ)
    links = tuple(replace(each, enquire_link_s=enquire_s, response_timeout_s=response_s) for each in settings.links)
    settings = replace(settings, links=links)
    clock = Clock(settings.zone)
    daemon = Daemon(settings, clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            daemon_module, "LinkSettings", partial(LinkSettings, bind_timeout_s=bind_s, pdu_timeout_s=pdu_s)
        )
        patch.setattr(daemon_module, "Backoff", partial(_hurried, pause_s))
        patch.setattr(daemon_module, "_GRACE_S", 0.2)
        patch.setattr(sender_module, "_LATE", timedelta(seconds=0.2), raising=False)
        await daemon.start()
        try:
            yield Stack(daemon, clock, folder / "store.db")
        finally:
            await daemon.stop()
