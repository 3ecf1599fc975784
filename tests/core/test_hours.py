"""Quiet hours and durations, by the calendar."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from smsflow.core.durations import Duration, parse_duration
from smsflow.core.hours import QuietHours

ALMATY = ZoneInfo("Asia/Almaty")
NIGHTS = QuietHours(time(21), time(9), weekends=True)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}:00").replace(tzinfo=ALMATY)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("18T12:00", "18T12:00"),  # a Wednesday at noon
        ("18T09:00", "18T09:00"),
        ("18T20:59", "18T20:59"),
        ("18T21:00", "19T09:00"),
        ("18T23:30", "19T09:00"),
        ("19T00:00", "19T09:00"),
        ("19T08:59", "19T09:00"),
        ("20T22:00", "23T09:00"),  # Friday night: Monday
        ("21T12:00", "23T09:00"),
        ("22T23:59", "23T09:00"),
    ],
)
def test_texts_wait_for_the_morning(now: str, opens: str) -> None:
    """From 21:00 to 09:00 and on weekends nothing goes out that nobody has asked for."""
    assert NIGHTS.opens_at(at(now)) == at(opens)


def test_quiet_within_one_day() -> None:
    """A pause at noon does not reach over midnight; weekends may be loud."""
    noon = QuietHours(time(12), time(14), weekends=False)

    assert noon.opens_at(at("21T13:00")) == at("21T14:00")
    assert noon.opens_at(at("21T23:00")) == at("21T23:00")


@pytest.mark.parametrize(
    ("words", "seconds", "working_days"),
    [("90m", 5400, 0), ("24h", 86400, 0), ("3 days", 259200, 0), ("2 s", 2, 0), ("3 working days", 0, 3)],
)
def test_durations_are_words(words: str, seconds: int, working_days: int) -> None:
    """What an admin would write."""
    assert parse_duration(words) == Duration(seconds, working_days)


@pytest.mark.parametrize("words", ["", "24", "h", "1.5h", "-3h", "3 weeks", "1:30"])
def test_other_durations_are_refused(words: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match="such as 90m, 24h, 3 days or 3 working days"):
        parse_duration(words)


def test_working_days_leave_out_the_weekend() -> None:
    """Friday noon and three working days: Wednesday noon."""
    assert Duration(working_days=3).after(at("20T12:00")) == at("25T12:00")
    assert Duration(seconds=3600).after(at("20T12:00")) == at("20T12:00") + timedelta(hours=1)
