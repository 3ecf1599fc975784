"""JSON in the store: the same text and the same values, whichever library writes and reads it."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from world import NOON, ZONE

from smsflow.core.events import (
    Answered,
    Began,
    BodyAnswered,
    Ended,
    Event,
    HelpAsked,
    NotUnderstood,
    Resumed,
    Stopped,
    Suspended,
    TimerFired,
)
from smsflow.core.hours import QuietHours
from smsflow.store import rows

VALUES: tuple[Mapping[str, Any], ...] = (
    {},
    {"facts": {"child_name": 'Ким "Анна" \\ Қ\n\u2028\x7f'}, "trail": [("greeting", "11", "1")], "back": None},
    {"page": 0, "wait": 2**53, "alive": True, "printed": {"check": ("1121", "1122")}},
)


@pytest.mark.parametrize("value", VALUES)
def test_json_is_the_same_with_and_without_orjson(
    value: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that one process wrote is read by another that lacks the library, and is compared as text."""
    pytest.importorskip("orjson", reason="orjson is not installed")
    quick = rows.dump(value)
    event = rows.event_json(Answered(NOON, "check", "1", text="R 1"))
    read = rows.load(quick)
    monkeypatch.setattr(rows, "orjson", None)

    assert rows.dump(value) == quick
    assert rows.load(quick) == read
    assert rows.event_json(Answered(NOON, "check", "1", text="R 1")) == event


SOON = NOON + timedelta(milliseconds=1500)
EVENTS = (
    Began(NOON, SOON),
    Answered(NOON, "check", "1", also="KZ", text="R 1", coercions=("lower_r", "no_r")),
    NotUnderstood(NOON, "empty", "?"),
    HelpAsked(NOON, "R ?"),
    Stopped(NOON, told=True, text="STOP"),
    TimerFired(NOON, SOON, 7),
    BodyAnswered(NOON, SOON, "e1", "accepted", {"number": "12"}),
    Suspended(NOON, "order_disputed"),
    Resumed(NOON, SOON, "77010000001"),
    Ended(NOON, "ended"),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_journalled_with_every_field(event: Event) -> None:
    """By its name, in the order of its fields, times with their offset; and it is read as it was."""
    written = rows.event_json(event)
    values = rows.load(written)

    assert list(values) == ["event", *(field.name for field in fields(event))]
    assert values["event"] == type(event).__name__
    assert values["at"] == event.at.isoformat()
    assert rows.read_event(written, ZONE) == event


def test_there_is_an_event_of_each_kind_above() -> None:
    """Also of those that are added later."""
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_equal_times_of_two_zones_are_journalled_each_in_its_own() -> None:
    """What is remembered of one must not be written for the other."""
    there = NOON.astimezone(UTC)

    assert rows.load(rows.event_json(HelpAsked(NOON)))["at"] == NOON.isoformat()
    assert rows.load(rows.event_json(HelpAsked(there)))["at"] == there.isoformat() != NOON.isoformat()


BERLIN = ZoneInfo("Europe/Berlin")
LEFT_OUT = datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)  # no clock there ever shows it
TWICE = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)
OPENS = QuietHours(time(21), time(9), weekends=False).opens_at(TWICE)  # nine, said to be the second of two
TIMES = (
    (NOON, ZONE, True),
    (NOON + timedelta(milliseconds=7), ZONE, True),
    (NOON + timedelta(microseconds=7), ZONE, False),
    (NOON.astimezone(UTC), ZONE, False),
    (LEFT_OUT, BERLIN, False),
    (LEFT_OUT - timedelta(hours=1), BERLIN, True),
    (TWICE, BERLIN, True),
    (OPENS, BERLIN, False),
)


@pytest.mark.parametrize(("at", "zone", "same"), TIMES)
def test_a_time_reads_as_written_where_it_is_the_very_same(at: datetime, zone: ZoneInfo, *, same: bool) -> None:
    """To the last digit, in the same zone, on the same side of a clock that is set back."""
    read = rows.read_time(rows.utc(at), zone)

    assert rows.reads_as_written(at, zone) is same is (repr(read) == repr(at))


@pytest.mark.parametrize("first", [0, 1])
def test_hour_that_comes_twice_is_stored_twice(first: int) -> None:
    """Where a clock is set back, two times an hour apart look alike; also one soon after the other."""
    moments = [TWICE.replace(fold=fold, minute=40 + first) for fold in (first, 1 - first)]
    stored = [rows.utc(at) for at in moments]
    journalled = [rows.load(rows.event_json(HelpAsked(at)))["at"] for at in moments]

    assert stored == [at.astimezone(UTC).isoformat(timespec="milliseconds") for at in moments]
    assert journalled == [at.isoformat() for at in moments]
    assert len({*stored}) == len({*journalled}) == 2
