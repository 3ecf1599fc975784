"""What Prometheus can ask. Labels are from closed sets: never a phone number."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from math import inf

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = [
    "COERCIONS",
    "COMMITS",
    "FORGOTTEN",
    "LINK_BOUND",
    "RECEIPTS",
    "REGISTRY",
    "REPLIES",
    "TURN_S",
    "Times",
]

REGISTRY = CollectorRegistry()


class Times(Collector):
    """A histogram of seconds that takes many at once, from one thread; else as prometheus_client's `Histogram`.

    That one looks for the bucket of each in turn, behind two locks: a fifth of what is said of a reply.
    """

    def __init__(self, name: str, words: str, *, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._words = words
        self._bounds = (*bounds, inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._created = time.time()
        registry.register(self)

    def observe(self, times_s: Collection[float]) -> None:
        """Count each of `times_s` in its bucket."""
        bounds, counts = self._bounds, self._counts
        for time_s in times_s:
            counts[bisect_left(bounds, time_s)] += 1
        self._sum += sum(times_s)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        names = map(floatToGoString, self._bounds)
        family = HistogramMetricFamily(self._name, self._words)
        family.add_metric([], list(zip(names, accumulate(self._counts), strict=True)), self._sum)
        family.add_sample(f"{self._name}_created", {}, self._created)
        yield family


REPLIES = Counter(
    "smsflow_replies", "Texts that came in, by what they turned out to be.", ["outcome"], registry=REGISTRY
)
COERCIONS = Counter("smsflow_coercions", "Tolerance that replies needed, by name.", ["name"], registry=REGISTRY)
RECEIPTS = Counter("smsflow_receipts", "Delivery receipts, by state.", ["state"], registry=REGISTRY)
TURN_S = Times(
    "smsflow_turn_seconds",
    "From a reply's arrival to its commit.",
    bounds=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
COMMITS = Counter("smsflow_commits", "Transactions that are on the disk.", registry=REGISTRY)
FORGOTTEN = Counter(
    "smsflow_forgotten", "Cases, and texts of no case, whose time was over.", ["what"], registry=REGISTRY
)
LINK_BOUND = Gauge("smsflow_link_bound", "1 while the session is bound.", ["link", "bind"], registry=REGISTRY)
