"""The read side: a case as design §6 shows it, pages by keyset, and what is hidden from whom."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from world import MOTHER, PHONE, ZONE, a_world

from smsflow.core.conversation import Status
from smsflow.core.errors import StoreError
from smsflow.store.queries import CaseFilter, count_store, open_queries

NAME = "Ахметов Нурлан"


@pytest.fixture
def world(tmp_path):
    with a_world(tmp_path) as world:
        yield world


@pytest.fixture
def queries(world, tmp_path):
    with closing(open_queries(tmp_path / "store.db", ZONE)) as queries:
        yield queries


def test_open_question_is_shown_with_its_printed_address_and_options(world, queries):
    """The address is the one that was printed, without the answer."""
    world.birth()
    world.reply("R 1 1 2")
    world.reply(f"R 1 1 2 {NAME}")
    case = queries.case(1, full=True)

    assert list(case) == [
        "case", "birth_id", "msisdn", "dialog", "revision", "state", "status", "language", "awaiting", "answers",
        "flags", "messages",
    ]  # fmt: skip
    assert case["case"] == "1"
    assert case["msisdn"] == PHONE
    assert case["answers"]["child_name"] == NAME
    assert case["awaiting"] == {
        "address": "R 1 1 2",
        "kind": "choice",
        "options": [{"code": "1", "text": "a"}, {"code": "2", "text": "b"}, {"code": "3", "text": "c"}],
        "asked_at": "2026-11-18T12:00:00.000+05:00",
        "due_at": "2026-11-21T12:00:00.000+05:00",
    }


def test_conversation_is_told_oldest_first(world, queries):
    """A reply stands before the question that it brought; held texts count as queued."""
    world.birth()
    world.now += timedelta(minutes=1)
    world.reply("R 1 1 2")
    messages = queries.case(1, full=True)["messages"]

    assert [(message["direction"], message.get("status") or message["outcome"]) for message in messages] == [
        ("out", "queued"),
        ("in", "answered"),
        ("out", "queued"),
    ]
    assert messages[1] == {
        "at": "2026-11-18T12:01:00.000+05:00",
        "direction": "in",
        "text": "R 1 1 2",
        "outcome": "answered",
    }
    assert messages[2]["segments"] == 1


def test_masked_case_holds_nothing_personal(world, queries):
    """Who may only read sees codes, but no number, no text, no name."""
    world.birth()
    world.reply("R 1 1 2")
    world.reply(f"R 1 1 2 {NAME}")
    world.reply("R 1 1 2 1")
    case = queries.case(1, full=False)

    assert case["msisdn"] == "7701***4567"
    assert case["answers"]["child_name"] == "***"
    assert case["answers"]["education"] == "1"
    assert {message["text"] for message in case["messages"]} == {None}
    assert NAME not in str(case)


def test_closed_case_has_its_result_and_awaits_nothing(world, queries):
    """The end is told."""
    world.birth(alive=False)
    case = queries.case(1, full=True)

    assert (case["status"], case["result"], case["awaiting"]) == ("closed", "stillbirth", None)


def test_nothing_is_awaited_while_a_body_is_at_work(world, queries):
    """A wait for a body is not a question."""
    world.birth()
    for text in ("R 1 1 2", f"R 1 1 2 {NAME}", "R 1 1 2 1", "R 1 1 2 1 1", "R 1 1 2 1 1 1"):
        world.reply(text)
    case = queries.case(1, full=True)

    assert (case["state"], case["awaiting"]) == ("apply", None)


def test_pages_follow_each_other_without_gaps(world, queries):
    """`next` of one page is `after` of the next; the last has none."""
    for number in range(5):
        world.birth(f"b{number}", msisdn=f"7701000000{number}")
    first = queries.cases(CaseFilter(limit=3), full=True)
    second = queries.cases(CaseFilter(limit=3, after=int(first["next"])), full=True)

    assert [case["birth_id"] for case in first["cases"] + second["cases"]] == ["b0", "b1", "b2", "b3", "b4"]
    assert (first["next"], second["next"]) == ("3", None)


def test_page_that_is_just_full_is_the_last(world, queries):
    """Nobody is sent after an empty page."""
    for number in range(3):
        world.birth(f"b{number}", msisdn=f"7701000000{number}")

    assert queries.find(CaseFilter(limit=3)) == ((1, 2, 3), None)
    assert queries.find(CaseFilter(limit=2)) == ((1, 2), "2")


def test_page_is_looked_for_in_bounds_and_the_next_goes_on_behind_them(world, queries, monkeypatch):
    """However rare a state: so many cases are looked at, and the page may be empty though more follow."""
    monkeypatch.setattr("smsflow.store.queries._SCANNED", 2)
    for number in range(5):
        world.birth(f"b{number}", msisdn=f"7701000000{number}", alive=number != 4)
    rare = CaseFilter(status=Status.CLOSED)

    assert queries.find(rare) == ((), "2")
    assert queries.find(replace(rare, after=2)) == ((), "4")
    assert queries.find(replace(rare, after=4)) == ((5,), None)


def test_former_numbers_replies_are_not_shown(world, queries):
    """A case that went on with another number shows what came from that one, and all that was sent."""
    case = world.birth()
    world.reply("чепуха")
    with world.store.transaction():
        world.births.bind_citizen("950101200002", PHONE, world.now, world.now)
        world.births.bind_citizen(MOTHER, "77017654321", world.now, world.now)
        world.engine.operate(case, "resume", world.now)
    world.reply("R 1 1 2", phone="77017654321")
    messages = queries.case(case, full=True)["messages"]

    assert [message["text"] for message in messages if message["direction"] == "in"] == ["R 1 1 2"]
    assert len([message for message in messages if message["direction"] == "out"]) == 4


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (CaseFilter(msisdn="77010000002"), ["b2"]),
        (CaseFilter(birth_id="b1"), ["b1"]),
        (CaseFilter(status=Status.CLOSED), ["b0"]),
        (CaseFilter(state="greeting", status=Status.OPEN), ["b1", "b2"]),
        (CaseFilter(state="nowhere"), []),
    ],
)
def test_filters_hold_together(world, queries, wanted, found):
    """Only cases for which every condition holds."""
    for number in range(3):
        world.birth(f"b{number}", msisdn=f"7701000000{number}", alive=number > 0)

    assert [case["birth_id"] for case in queries.cases(wanted, full=True)["cases"]] == found


@pytest.mark.parametrize("wanted", [CaseFilter(msisdn=PHONE), CaseFilter(birth_id="b1"), CaseFilter(state="x")])
def test_pages_are_found_by_index(world, queries, wanted):
    """No page scans the table."""
    plans: list[str] = []
    queries._connection.set_trace_callback(plans.append)
    queries.find(wanted)
    queries._connection.set_trace_callback(None)
    explained = [row[3] for plan in plans for row in queries._connection.execute(f"EXPLAIN QUERY PLAN {plan}")]

    assert explained
    assert not [step for step in explained if step.startswith("SCAN")]


def test_flags_are_told_until_they_are_cleared(world, queries):
    """By name, oldest first; and only flagged cases can be asked for, by index."""
    for number in range(3):
        world.birth(f"b{number}", msisdn=f"7701000000{number}")
    with world.store.transaction():
        world.store.flags.add(2, "text_failed", world.now)
        world.store.flags.add(2, "application_refused", world.now)
        world.store.flags.add(None, "reply_failed", world.now)

    [case] = queries.cases(CaseFilter(flagged=True), full=False)["cases"]
    assert (case["case"], case["flags"]) == ("2", ["text_failed", "application_refused"])
    with world.store.transaction():
        world.store.flags.clear(2, world.now)
    assert queries.cases(CaseFilter(flagged=True), full=False) == {"cases": [], "next": None}
    assert queries.case(2, full=False)["flags"] == []


def test_figures_count_what_there_is(world, tmp_path):
    """Cases by status and result, texts that wait, what a person must look at."""
    world.birth()
    world.birth("b2", alive=False, msisdn="77010000002")
    world.birth("b3", msisdn=None)
    counts = count_store(tmp_path / "store.db")

    assert counts.cases == {("open", ""): 1, ("closed", "stillbirth"): 1, ("closed", "no_phone"): 1}
    assert counts.texts == {"queued": 1, "held": 0, "sending": 0, "in_doubt": 0}
    assert counts.open_flags == 1


def test_figures_follow_every_case(world, tmp_path):
    """A case is counted where it stands, whoever has written it, and only there."""
    one, other = world.birth(), world.birth("b2", msisdn="77010000002")
    with world.store.transaction():
        world.engine.operate(one, "end", world.now)
    assert count_store(tmp_path / "store.db").cases == {("open", ""): 1, ("closed", "ended"): 1}

    world.store._connection.execute("UPDATE conversation SET status='suspended' WHERE id=?", (other,))
    world.store._connection.execute("DELETE FROM conversation WHERE id=?", (one,))

    assert count_store(tmp_path / "store.db").cases == {("suspended", ""): 1}


def test_reader_cannot_write(queries):
    """The read side has no way to change anything."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        queries._connection.execute("DELETE FROM conversation")


def test_store_can_be_read_while_no_daemon_runs(tmp_path):
    """After a clean stop the file alone is enough."""
    with a_world(tmp_path) as world:
        world.birth()
    with closing(open_queries(tmp_path / "store.db", ZONE)) as queries:
        assert queries.case(1, full=True)["birth_id"] == "b1"


def test_missing_store_is_a_clear_error(tmp_path):
    """Nothing is made by looking."""
    with pytest.raises(StoreError, match="has the daemon run"):
        open_queries(tmp_path / "none.db", ZONE)

    assert list(tmp_path.iterdir()) == []
