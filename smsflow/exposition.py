"""What `/metrics` says: the counters of this process, and the store in figures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smsflow.core.errors import StoreError
from smsflow.metrics import REGISTRY
from smsflow.store.queries import Counts, count_store

__all__ = ["Exposition"]

_PATIENCE_S = 1.0  # for the store's figures; later than that, the last ones are told
_SHARE = 20  # counting takes at most this part of the time
_FRESH_S = 2.0


class Exposition:
    """Reads the store at `path` now and then, in a thread, and tells everything as Prometheus wants it.

    `collectors` are asked each time.
    """

    def __init__(self, path: Path, *collectors: Collector) -> None:
        self._path = path
        self._collectors = collectors
        self._counting: asyncio.Task[Counts] | None = None
        self._counts: Counts | None = None
        self._next_s = 0.0

    async def read(self) -> tuple[bytes, str]:
        """The text and its content type."""
        await self._count()
        registry = CollectorRegistry()
        for collector in self._collectors:
            registry.register(collector)
        if self._counts is not None:
            registry.register(_StoreFigures(self._counts))
        return generate_latest(REGISTRY) + generate_latest(registry), CONTENT_TYPE_LATEST

    async def _count(self) -> None:
        clock = asyncio.get_running_loop().time
        if self._counting is None and clock() >= self._next_s:
            began_s = clock()
            self._counting = asyncio.create_task(asyncio.to_thread(count_store, self._path))
            self._counting.add_done_callback(lambda task: self._take(task, clock() - began_s, clock()))
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=_PATIENCE_S)

    def _take(self, task: asyncio.Task[Counts], took_s: float, now_s: float) -> None:
        self._counting = None
        self._next_s = now_s + max(_FRESH_S, took_s * _SHARE)
        if not task.cancelled() and not isinstance(task.exception(), StoreError):
            self._counts = task.result()


class _StoreFigures(Collector):
    """The store in figures, once."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        cases = GaugeMetricFamily("smsflow_cases", "Cases, by status and result.", labels=["status", "result"])
        for (status, result), count in counts.cases.items():
            cases.add_metric([status, result], count)
        yield cases
        texts = GaugeMetricFamily("smsflow_texts_waiting", "Texts that have not gone out.", labels=["status"])
        for status, count in counts.texts.items():
            texts.add_metric([status], count)
        yield texts
        yield GaugeMetricFamily(
            "smsflow_applications_waiting",
            "Applications that no body has taken.",
            value=counts.applications_queued,
        )
        yield GaugeMetricFamily("smsflow_flags_open", "What a person must look at.", value=counts.open_flags)
