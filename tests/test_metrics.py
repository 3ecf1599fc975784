"""What Prometheus is told."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from smsflow.metrics import Times

BOUNDS = (0.001, 0.01, 0.5)


@pytest.mark.parametrize("times_s", [[], [0.0], [0.001], [0.0011, 0.01, 0.5, 7.0], [*BOUNDS, *BOUNDS]])
def test_times_are_told_as_by_the_histogram_of_the_library(times_s: list[float]) -> None:
    """Letter by letter, but for when it was made; a time on a bound is within it."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("turn_seconds", "How long.", buckets=BOUNDS, registry=theirs)
    times = Times("turn_seconds", "How long.", bounds=BOUNDS, registry=ours)
    for time_s in times_s:
        histogram.observe(time_s)
    times.observe(times_s)
    told = [re.sub(rb"(?m)^(\w+_created) \S+$", rb"\1", generate_latest(each)) for each in (theirs, ours)]

    assert told[0] == told[1]
    assert b"turn_seconds_created\n" in told[0]
