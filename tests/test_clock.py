"""The clock."""

from __future__ import annotations

from world import ZONE

from smsflow.clock import Clock
from smsflow.store.rows import read_time, utc


def test_times_are_as_exact_as_the_store_keeps_them() -> None:
    """A timer that fell due within a millisecond was stale by its journal, and had moved its case."""
    clock = Clock(ZONE)
    times = [clock.now() for _ in range(100)]

    assert [read_time(utc(at), ZONE) for at in times] == times
