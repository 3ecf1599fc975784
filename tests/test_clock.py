"""The clock."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from world import ZONE

from smsflow.clock import Clock
from smsflow.store.rows import read_time, utc


def test_times_are_as_exact_as_the_store_keeps_them() -> None:
    """A timer that fell due within a millisecond was stale by its journal, and had moved its case."""
    clock = Clock(ZONE)
    times = [clock.now() for _ in range(100)]

    assert [read_time(utc(at), ZONE) for at in times] == times


@pytest.mark.parametrize("moved", [timedelta(), timedelta(hours=1, microseconds=7)])
def test_every_millisecond_is_told_as_it_is_and_cut_not_rounded(monkeypatch, moved) -> None:
    """The last nanosecond before the next is still of this one; also on a clock that was moved."""
    clock, began = Clock(ZONE), datetime(2026, 11, 18, 12, tzinfo=ZONE)
    clock.move(moved)
    for ms in range(1000):
        now_ns = int(began.timestamp()) * 1_000_000_000 + ms * 1_000_000 + 999_999
        monkeypatch.setattr(time, "time_ns", lambda now_ns=now_ns: now_ns)
        assert clock.now() == began + timedelta(seconds=moved.seconds, milliseconds=ms)
