"""Nothing that the daemon asks of its store reads a table that grows: ten million cases cost what a few do."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from world import MOTHER, NOON, PHONE, ZONE, World, a_world

from simulation.disk import Disk
from simulation.run import run
from smsflow.core.conversation import Status
from smsflow.store.queries import PAGE_MAX, CaseFilter, count_store, open_queries
from smsflow.store.retention import Place

SEEDS = range(1, 10)  # one that ends with 0 begins with the migrations, which do read everything
WAITING = "|".join((  # indexes of what waits: as long as the work that is left
    "application_due", "flag_open", "outbox_held", "outbox_in_doubt", "outbox_open", "outbox_queued",
    "outbox_sending", "parked_receipt_at",
))  # fmt: skip
FINE = re.compile(
    r"SEARCH \w+ USING .+ \(.+\)( .*)?"  # the rows that are wanted
    r"|SEARCH \w+ USING (COVERING )?INDEX \w+"  # the first of an index: min()
    r"|SEARCH \w+"  # the last of a table: max()
    r"|SCAN json_each VIRTUAL TABLE .+"  # what is asked for
    rf"|SCAN \w+ USING (COVERING )?INDEX ({WAITING})"
    r"|SCAN (case_count|dialog|paused_link|sqlite_sequence|waiting)"  # little, however many cases there are
    r"|SCAN (\d+ )?CONSTANT ROWS?"
    r"|(COMPOUND|CORRELATED|LEFT-MOST|LIST|SCALAR|UNION) .+"
    r"|(CO-ROUTINE|MATERIALIZE) waiting|MERGE \(UNION ALL\)|LEFT|RIGHT|SETUP|RECURSIVE STEP"
    r"|USE TEMP B-TREE FOR .+"
)
ASKED: set[str] = set()


class Noting(sqlite3.Connection):
    """Remembers what it is asked."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        ASKED.add(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        ASKED.add(sql)
        return super().executemany(sql, parameters)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose connections all remember what they were asked after the start."""
    with patch("sqlite3.connect", partial(sqlite3.connect, factory=Noting)), a_world(tmp_path) as world:
        world.birth()
        ASKED.clear()
        yield world


def far_looks(store: Path, statements: Iterable[str]) -> dict[str, list[str]]:
    """The steps of each statement that read more than they want."""
    found: dict[str, list[str]] = {}
    with closing(sqlite3.connect(store)) as connection:
        for statement in sorted(statements):
            if statement.split()[0] not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
                continue
            values = (None,) * (len(set(re.findall(r"\?\d+", statement))) or statement.count("?"))
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            if far := [step for step in steps if not FINE.fullmatch(step)]:
                found[statement] = far
    return found


def test_running_daemon_reads_no_table_that_grows(tmp_path: Path) -> None:
    """Births, replies, timers, receipts, long texts, bodies, crashes, starts: what the simulation has."""
    asked: set[str] = set()
    before = Disk.before

    def note(disk: Disk, connection: sqlite3.Connection, sql: str) -> bool:
        asked.add(sql)
        return before(disk, connection, sql)

    with patch.object(Disk, "before", note):
        for seed in SEEDS:
            run(seed)
    with a_world(tmp_path):
        pass

    assert len(asked) > 75
    assert far_looks(tmp_path / "store.db", asked) == {}


def test_people_make_it_read_no_table_that_grows(world: World, tmp_path: Path) -> None:
    """Operators, the base of numbers, STOP; and what is written when our own code is wrong."""
    with world.store.transaction():
        for action in ("clear", "resend", "resume", "end"):
            world.engine.operate(1, action, NOON)
        world.births.bind_citizen(MOTHER, "77029999999", NOON, NOON)
        world.engine.set_aside(1, NOON)
        world.store.outbox.doubt_all(NOON, {})
        world.store.pause_link("main", NOON)
        world.store.resume_link("main")
    world.reply("STOP", PHONE)

    assert len(ASKED) > 20
    assert far_looks(tmp_path / "store.db", ASKED) == {}


def test_forgetting_reads_no_table_that_grows(world: World, tmp_path: Path) -> None:
    """What is due is found by its age, and what hangs on it by its case."""
    with world.store.transaction():
        world.engine.operate(1, "end", NOON)
        for text in world.store.outbox.claim("main", 10, NOON):
            world.store.outbox.fail(text.id, "x", NOON)
    world.reply("who is this?", "77010000009")
    later, ended = NOON + timedelta(days=3), NOON + timedelta(days=1)
    ASKED.clear()
    with world.store.transaction():
        world.store.retention.begin(ended)
        world.store.outbox.claim("main", 10, NOON)
        assert world.store.retention.forget_cases(Place(), ended, later, 10) == (None, 1)
        assert world.store.retention.forget_texts(ended, later, 10)
        assert (world.store.retention.forgotten_before() or NOON) > NOON

    assert len(ASKED) > 20
    assert far_looks(tmp_path / "store.db", ASKED) == {}


def test_readers_read_no_table_that_grows(world: World, tmp_path: Path) -> None:
    """What HTTP and the command line show, and what health and Prometheus ask every few seconds."""
    store = tmp_path / "store.db"
    with closing(open_queries(store, ZONE)) as queries:
        for some in (
            {}, {"msisdn": PHONE}, {"birth_id": "b1"}, {"state": "x"}, {"status": Status.OPEN}, {"flagged": True},
            {"msisdn": PHONE, "status": Status.CLOSED}, {"flagged": True, "state": "x"},
        ):  # fmt: skip
            queries.cases(CaseFilter(**some, limit=PAGE_MAX), full=True)
        queries.find_oldest_queued()
        queries.holds(1)
    count_store(store)

    assert len(ASKED) > 15
    assert far_looks(store, ASKED) == {}
