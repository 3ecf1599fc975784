"""What only the daemon as a whole does, over real TCP and on its own store: what it begins with and hands on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import structlog
from process import a_free_port, write_config
from wired import TIMEOUT_S

from smsflow.clock import Clock
from smsflow.config import load_config
from smsflow.daemon import Daemon
from smsflow.logs import DAEMON_STORE_FAILED
from smsflow.smpp.smsc import MessageCentre, Text

PHONE = "77011234567"


class Stage:
    """A folder with a configuration and a store, and a message centre that may not be up yet."""

    def __init__(self, folder: Path) -> None:
        self.texts: list[Text] = []
        self.centre = MessageCentre(self.texts.append)
        self.port = a_free_port()
        self.config = write_config(folder, self.port, a_free_port())
        self.store = folder / "store.db"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.store)) as store, store:
            return store.execute(sql).fetchall()

    @asynccontextmanager
    async def daemon(self, jitter: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Daemon]:
        settings = load_config(self.config, {})
        daemon = Daemon(settings, Clock(settings.zone), jitter=jitter)
        await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.stop()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - a store has no event to wait for
            await asyncio.sleep(0.005)


def play(scene: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(scene(), TIMEOUT_S))


def test_text_that_was_on_its_way_when_the_daemon_died_goes_out_again(tmp_path: Path) -> None:
    """Marked in the store: nobody knows whether it was taken."""
    stage = Stage(tmp_path)

    async def scene() -> None:
        async with stage.daemon():
            pass
        stage.rows(
            "INSERT INTO outbox (msisdn, text, segments, urgency, status, not_before, queued_at, changed_at, route,"
            f" link, attempts) VALUES ('{PHONE}', 'hello', 1, 0, 'sending', '', '', '', '', 'main', 1)"
        )
        await stage.centre.start(port=stage.port)
        async with stage.daemon():
            await stage.until(lambda: bool(stage.texts))
        await stage.centre.stop()

    play(scene)
    assert [text.text for text in stage.texts] == ["hello"]
    assert stage.rows("SELECT in_doubt, attempts FROM outbox") == [(1, 2)]


def test_reply_that_comes_again_after_a_restart_is_the_same_reply(tmp_path: Path) -> None:
    """The daemon died before it answered: the first connection of the next start is another session."""
    stage = Stage(tmp_path)

    async def scene() -> None:
        await stage.centre.start(port=stage.port)
        for texts in (("anything", "чепуха"), ("чепуха",)):  # so that its sequence number is another
            async with stage.daemon():
                for text in texts:
                    assert await stage.centre.send(PHONE, text) == 0
        await stage.centre.stop()

    play(scene)
    reasons = stage.rows("SELECT text, reason FROM inbound ORDER BY id")
    assert reasons[1:] == [("чепуха", "no_case"), ("чепуха", "delivered_again")]
    assert len(set(stage.rows("SELECT sequence FROM inbound WHERE text = 'чепуха'"))) == 2


def test_jitter_reaches_the_pauses_of_links_and_bodies(tmp_path: Path) -> None:
    """A message centre that is down, a body that is down: each pause asks for a number of its own."""
    stage = Stage(tmp_path)
    drawn = {"link": 0, "body": 0}

    async def scene() -> None:
        def jitter(who: str) -> Callable[[], float]:
            def draw() -> float:
                drawn[who] += 1
                return 0.0

            return draw

        async with stage.daemon(jitter("link")):
            await stage.until(lambda: drawn["link"] > 0)
        stage.rows(
            "INSERT INTO application (conversation, kind, data, status, next_at, created_at)"
            " VALUES (1, 'registration', '{}', 'queued', '', '')"
        )
        await stage.centre.start(port=stage.port)
        async with stage.daemon(jitter("body")):
            await stage.until(lambda: stage.rows("SELECT attempts FROM application") == [(1,)])
            assert drawn["body"] == 1
        await stage.centre.stop()

    play(scene)


def test_store_that_fails_is_told_once_a_minute_and_not_at_every_look(tmp_path: Path) -> None:
    """The log may lie on the disk that is full, and a night has 60,000 looks."""
    stage = Stage(tmp_path)

    async def scene() -> None:
        async with stage.daemon() as daemon:
            daemon.store._connection.execute("PRAGMA query_only = 1")
            now = daemon._clock.monotonic()
            told = []
            with structlog.testing.capture_logs() as lines:
                for after_s in (20, 21, 79, 81, 82):
                    daemon._clock.monotonic = lambda after_s=after_s: now + after_s  # type: ignore[method-assign]
                    daemon._tick()
                    daemon.writer.commit()
                    told.append(sum(line["event"] == DAEMON_STORE_FAILED for line in lines))
            assert told == [1, 1, 1, 2, 2]
            assert "readonly" in next(line["error"] for line in lines if line["event"] == DAEMON_STORE_FAILED)
            daemon.store._connection.execute("PRAGMA query_only = 0")

    play(scene)
