"""What stands in the log: every line of one form, each event at its level, flags and births once on the disk."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import structlog
from wired import wired
from world import DIALOGS, PHONE, a_world

from smsflow import logs
from smsflow.births import Births
from smsflow.clock import Clock
from smsflow.config import Settings
from smsflow.core.hours import QuietHours
from smsflow.daemon import Daemon
from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.link import LinkSettings
from smsflow.store.people import Birth

ZONE = ZoneInfo("Asia/Almaty")


@contextmanager
def logging_to(stream: io.StringIO, level: str = "info") -> Iterator[None]:
    """The process logs to `stream`, as `smsflow run` does in a pipe."""
    handlers = logging.root.handlers[:]
    logs.configure(stream, level=level)
    try:
        yield
    finally:
        logs.configure(io.StringIO())
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers


@pytest.fixture
def stream():
    stream = io.StringIO()
    with logging_to(stream):
        yield stream


def test_what_libraries_say_comes_in_the_same_form(stream):
    """uvicorn's tracebacks are JSON like our own lines, without local variables."""
    secret = PHONE
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    logging.getLogger("uvicorn.access").info("%s", secret)
    [line] = stream.getvalue().splitlines()
    told = json.loads(line)

    assert (told["event"], told["level"], told["logger"]) == (
        "Exception in ASGI application", "error", "uvicorn.error",
    )  # fmt: skip
    assert told["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "timestamp" in told
    assert PHONE not in line


FACTS = (
    {"case": 7, "dialog": "тіркеу", "took_ms": 2.5},
    {
        "reason": None,
        "effects": 0,
        "at": datetime(2026, 11, 18, tzinfo=UTC),
        "odd": 1 << 70,
        "error": ValueError("no"),
    },
)


class Sink(io.StringIO):
    """A stream that knows what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, words: str) -> int:
        self.writes.append(words)
        return super().write(words)


@pytest.mark.parametrize("has_orjson", [True, False])
def test_lines_that_are_logged_together_are_those_of_single_calls(monkeypatch, has_orjson):
    """The same keys and values in the same order; all of one moment, in one write; by json or orjson."""
    one_by_one, together = Sink(), Sink()
    if not has_orjson:
        monkeypatch.setattr(logs, "orjson", None)
    with logging_to(one_by_one):
        for facts in FACTS:
            structlog.get_logger().info(logs.REPLY_HANDLED, **facts)
    with logging_to(together):
        logs.info_each(logs.REPLY_HANDLED, [dict(facts) for facts in FACTS])

    single, whole = ([json.loads(line) for line in sink.getvalue().splitlines()] for sink in (one_by_one, together))
    assert len({line["timestamp"] for line in whole}) == 1
    for line in (*single, *whole):
        line["timestamp"] = "then"
    assert [list(line.items()) for line in whole] == [list(line.items()) for line in single]
    assert whole[0] == FACTS[0] | {"event": "reply.handled", "level": "info", "timestamp": "then"}
    assert len(together.writes) == 1
    assert "тіркеу" in together.getvalue()


def test_lines_that_are_logged_together_are_below_a_warning():
    """Who asks for warnings alone gets none of them; who captures lines gets each."""
    sink = Sink()
    with logging_to(sink, "warning"):
        logs.info_each(logs.REPLY_HANDLED, [{"case": 1}])
    with structlog.testing.capture_logs() as lines:
        logs.info_each(logs.REPLY_HANDLED, [{"case": 1}, {"case": 2}])

    assert sink.writes == []
    assert [(line["event"], line["log_level"], line["case"]) for line in lines] == [
        ("reply.handled", "info", 1), ("reply.handled", "info", 2),
    ]  # fmt: skip


def test_facts_of_debug_are_gathered_where_it_is_shown():
    """As `configure` was told."""
    told = []
    for level in ("debug", "info", "warning"):
        with logging_to(Sink(), level):
            told.append(logs.tells_debug())

    assert told == [True, False, False]


def test_lines_are_the_same_by_json_and_by_orjson(monkeypatch):
    """Numbers, dates and errors too: what json writes in its own way is left to it."""
    written = []
    for module in (logs.orjson, None):
        monkeypatch.setattr(logs, "orjson", module)
        written.append([logs._dump(facts, default=repr) for facts in FACTS])

    assert written[0] == written[1]


def test_log_on_a_full_disk_stops_nothing():
    """A line is lost; the reply that it is about is not."""
    handlers = logging.root.handlers[:]
    full = open("/dev/full", "w", buffering=1, encoding="utf-8")  # noqa: PTH123, SIM115 - closed below, and it fails
    try:
        logs.configure(full, level="info")
        structlog.get_logger().info(logs.DAEMON_STARTED)
        logging.getLogger("uvicorn.error").error("no room")
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers
        with pytest.raises(OSError, match="No space left"):
            full.close()


def test_flag_is_told_once_wherever_it_is_raised(tmp_path):
    """Outside a step too; not when it was there, and not when it was rolled back."""
    told: list[tuple[int | None, str]] = []
    with a_world(tmp_path) as world:
        world.store.flags.on_flag = lambda case, reason: told.append((case, reason))

        def raise_flag_and_fail(within):
            with within():
                world.store.flags.add(1, "text_failed", world.now)
                raise ZeroDivisionError

        for _ in range(2):
            with world.store.transaction():
                world.store.flags.add(1, "application_refused", world.now)
        with world.store.transaction():
            with pytest.raises(ZeroDivisionError):
                raise_flag_and_fail(world.store.savepoint)
            world.store.flags.add(None, "reply_failed", world.now)
            assert len(told) == 1
        with pytest.raises(ZeroDivisionError):
            raise_flag_and_fail(world.store.transaction)

    assert told == [(1, "application_refused"), (None, "reply_failed")]


def test_birth_is_told_with_its_result_once(tmp_path):
    """Recording it again tells nothing."""
    told: list[tuple[int, str]] = []
    with a_world(tmp_path) as world:
        world.births = Births(world.engine, world.store, on_births=told.extend)
        for _ in range(2):
            world.birth()
            world.birth("b2", msisdn=None)

    assert told == [(1, ""), (2, "no_phone")]


def test_daemon_logs_births_flags_and_ends(tmp_path):
    """From the wards' record to the end of a case, without anything personal."""
    settings = Settings(
        file=tmp_path / "smsflow.yaml", store_path=tmp_path / "store.db", dialogs=DIALOGS, number="1414", zone=ZONE,
        quiet=QuietHours(time(21), time(9), weekends=True), links=(), api=None,
    )  # fmt: skip

    async def go():
        daemon = Daemon(settings, Clock(ZONE))
        await daemon.start()
        born = Birth("b1", "950101200109", None, "2026-11-18T08:00:00+05:00", "female", True, 1, "", "")
        await daemon.writer.run(lambda: daemon.births.record_birth(born, Clock(ZONE).now()))
        await daemon.stop()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(go())

    told = [line for line in lines if line["event"] in ("birth.recorded", "flag.raised", "case.closed")]
    assert sorted(told, key=lambda line: line["event"]) == [
        {"event": "birth.recorded", "log_level": "info", "case": 1, "result": "no_phone"},
        {"event": "case.closed", "log_level": "info", "case": 1, "dialog": "registration", "result": "no_phone"},
        {"event": "flag.raised", "log_level": "warning", "case": 1, "reason": "no_phone"},
    ]


def test_what_the_last_transaction_has_brought_is_told_before_the_end(tmp_path):
    """A reply that waits when the daemon stops has its line before `daemon.stopped`."""
    settings = Settings(
        file=tmp_path / "smsflow.yaml", store_path=tmp_path / "store.db", dialogs=DIALOGS, number="1414", zone=ZONE,
        quiet=QuietHours(time(21), time(9), weekends=True), links=(), api=None,
    )  # fmt: skip
    session = SimpleNamespace(settings=LinkSettings("main", "h", 1, "id", ""), respond=lambda *_, **__: None)

    async def go():
        daemon = Daemon(settings, Clock(ZONE))

        def come_late():
            daemon.writer._schedule = lambda: None  # the loop has no turn for it any more
            daemon._inbox.take(session, DeliverSm(source_addr=PHONE, short_message=b"hello"), 1, Clock(ZONE).now())

        await daemon.start()
        daemon._inbox.add(session)
        daemon._stack.callback(come_late)
        await daemon.stop()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(go())

    assert [line["event"] for line in lines][-2:] == ["reply.handled", "daemon.stopped"]


def test_line_of_a_reply_has_the_revision_and_nothing_empty(tmp_path):
    """The revision is short; what is not known is left out."""
    with structlog.testing.capture_logs() as lines, a_world(tmp_path) as world:

        async def go():
            async with wired(world) as wire:
                await wire.birth()
                await wire.text()
                for reply in ("R 1 1 2", "чепуха"):
                    await wire.centre.send(PHONE, reply)
                    await wire.text()

        asyncio.run(go())
        revision = world.case(1).revision

    answered, odd = [line for line in lines if line["event"] == "reply.handled"]
    assert answered["revision"] == odd["revision"] == revision[:15]
    assert "reason" not in answered
    assert odd["reason"]
