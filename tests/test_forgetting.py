"""Retention in the running daemon: little by little, behind replies, across restarts, and told in the log."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from test_daemon import PHONE, Stage, play
from world import NOON, ZONE, World, a_world

from smsflow import forgetting, metrics
from smsflow.core.errors import StoreError
from smsflow.forgetting import Forgetting
from smsflow.logs import STORE_FORGOTTEN
from smsflow.store.retention import Retention
from smsflow.store.verify import find_flaws
from smsflow.writer import Writer

KEEP = timedelta(days=400)


def close_cases(world: World, count: int) -> None:
    """So many mothers without a phone, two years ago; and a text of nobody's."""
    world.now = NOON - 2 * KEEP
    for number in range(count):
        world.birth(f"b{number}", msisdn=None, born_at=world.now.isoformat())
    with world.store.transaction():
        world.store.arrivals.keep_frame("main", b"\1", "odd", world.now)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_FIRST_S", 0)
    monkeypatch.setattr(forgetting, "_PAUSE_S", 0)


def forget(world: World, writer: Writer | None = None) -> None:
    writer = writer or Writer(world.store, last=list, after=lambda _: None)
    world.now = NOON
    asyncio.run(Forgetting(world.store, writer, lambda: world.now, KEEP).forget_all())


def test_pass_forgets_all_that_is_due_in_short_jobs(tmp_path: Path, no_pauses: None) -> None:
    """Never more than some cases in one job of the bulk line, and one job at a time."""
    with a_world(tmp_path) as world:
        close_cases(world, 35)
        jobs: list[int] = []
        real = Retention.forget_cases

        def forget_cases(self: Retention, *values: Any) -> Any:
            place, gone = real(self, *values)
            jobs.append(gone)
            return place, gone

        class OneAtATime(Writer):
            def submit_bulk(self, job: Any, done: Any) -> None:
                assert not self._bulk
                super().submit_bulk(job, done)

            def submit(self, *_: Any, **__: Any) -> None:
                raise AssertionError("only in the bulk line")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Retention, "forget_cases", forget_cases)
            forget(world, OneAtATime(world.store, last=list, after=lambda _: None))

        assert jobs == [10, 10, 10, 5]
        assert world.flaws() == []


def test_pass_is_told_once_and_counted(tmp_path: Path, no_pauses: None) -> None:
    """How many, and nothing else; a pass that finds nothing says nothing."""
    before = metrics.FORGOTTEN.labels(what="cases")._value.get()
    with a_world(tmp_path) as world, structlog.testing.capture_logs() as lines:
        close_cases(world, 12)
        forget(world)
        forget(world)

    told = [line for line in lines if line["event"] == STORE_FORGOTTEN]
    assert told == [{"event": STORE_FORGOTTEN, "log_level": "info", "cases": 12, "texts": 1}]
    assert metrics.FORGOTTEN.labels(what="cases")._value.get() == before + 12


def test_replies_are_answered_while_much_is_forgotten_and_a_restart_goes_on(
    tmp_path: Path, no_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SMPP, on one daemon that is stopped in the middle and one that ends it."""
    monkeypatch.setattr(forgetting, "_CASES", 1)
    monkeypatch.setattr(forgetting, "_PAUSE_S", 0.003)
    stage = Stage(tmp_path)
    with stage.config.open("a") as config:
        config.write("retention: 400 days\n")
    with a_world(tmp_path) as world:
        close_cases(world, 400)

    def left() -> int:
        return int(stage.rows("SELECT count(*) FROM conversation")[0][0])

    async def scene() -> None:
        answered: list[int] = []
        await stage.centre.start(port=stage.port)
        async with stage.daemon():
            await stage.centre.wait_bound()
            await stage.until(lambda: left() < 400)
            while len(answered) < 10:
                assert await stage.centre.send(PHONE, f"hello {len(answered)}") == 0
                answered.append(left())
        assert answered[0] > answered[-1] > 0
        assert 0 < left() < 400
        async with stage.daemon():
            await stage.until(lambda: not left())
            await stage.until(lambda: not stage.rows("SELECT 1 FROM undecodable"))
        await stage.centre.stop()

    with structlog.testing.capture_logs() as lines:
        play(scene)

    assert len(stage.rows("SELECT 1 FROM inbound")) == 10
    assert [line["cases"] for line in lines if line["event"] == STORE_FORGOTTEN][-1] < 400
    assert list(find_flaws(tmp_path / "store.db", ZONE, lambda *_: None)) == []


def test_nothing_is_forgotten_where_nobody_said_so(tmp_path: Path, no_pauses: None) -> None:
    """The law decides, and not we."""
    stage = Stage(tmp_path)
    with a_world(tmp_path) as world:
        close_cases(world, 1)

    async def scene() -> None:
        async with stage.daemon() as daemon:
            for _ in range(5):
                await daemon.writer.run(lambda: None)

    play(scene)
    assert stage.rows("SELECT count(*) FROM conversation") == [(1,)]
    assert stage.rows("SELECT * FROM forgotten") == []


@pytest.mark.parametrize(
    ("error", "told"), [(StoreError("the disk is full"), []), (KeyError("ours"), ["error"])], ids=["store", "bug"]
)
def test_pass_that_breaks_off_is_made_again(
    tmp_path: Path, no_pauses: None, monkeypatch: pytest.MonkeyPatch, error: Exception, told: list[str]
) -> None:
    """A full disk is told by the daemon; what is our bug is told here."""
    monkeypatch.setattr(forgetting, "_EVERY_S", 0)
    real, failures = Retention.forget_texts, [error, error]  # a job that fails is tried once more, by itself

    def forget_texts(self: Retention, *values: Any) -> int:
        if failures:
            raise failures.pop()
        return real(self, *values)

    monkeypatch.setattr(Retention, "forget_texts", forget_texts)
    with a_world(tmp_path) as world, structlog.testing.capture_logs() as lines:
        close_cases(world, 3)
        writer = Writer(world.store, last=list, after=lambda _: None)

        async def scene() -> None:
            run = asyncio.ensure_future(Forgetting(world.store, writer, lambda: NOON, KEEP).run())
            while world.store._connection.execute("SELECT 1 FROM undecodable").fetchone():  # noqa: ASYNC110 - a store has no event to wait for
                await asyncio.sleep(0)
            run.cancel()

        asyncio.run(scene())

    assert [line["log_level"] for line in lines if "exc_info" in line] == told


def test_first_pass_waits_until_the_clock_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may start with any date; what is forgotten because of it would not come back."""
    slept: list[float] = []

    async def sleep(for_s: float) -> None:
        slept.append(for_s)
        raise asyncio.CancelledError

    monkeypatch.setattr(forgetting.asyncio, "sleep", sleep)
    with a_world(tmp_path) as world:
        run = Forgetting(
            world.store, Writer(world.store, last=list, after=lambda _: None), lambda: NOON, KEEP
        ).run()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run)

    assert slept == [300.0]
    assert sqlite3.connect(tmp_path / "store.db").execute("SELECT * FROM forgotten").fetchall() == []
