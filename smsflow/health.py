"""How the daemon is: whether its loop is alive, what waits and for how long, whether the store writes.

Everything here is cheap enough to be asked every second, and is told when the store fails as well.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smsflow.switchboard import LinkHealth

__all__ = ["Health", "HealthFigures", "Pulse"]

_STILL_S = 10.0  # without a beat for so long, the loop is not alive
_TICKS = 20  # over which the lag is told


@dataclass(frozen=True, slots=True)
class Health:
    """How the daemon is. `store` says why it does not write, "" when it does.

    `oldest_queued_s`: for how long the text that is next may have gone out already; None when the store cannot
    be read. `oldest_unanswered_s`: since the oldest reply came that is not answered. 0 when there is none.
    `last_write_s`: since the store last took something. `loop_lag_s`: the latest tick of the last seconds.
    """

    store: str
    links: Sequence[LinkHealth]
    alive: bool = True
    oldest_queued_s: float | None = 0.0
    oldest_unanswered_s: float = 0.0
    last_write_s: float = 0.0
    loop_lag_s: float = 0.0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the daemon cannot do its work; empty when it can."""
        reasons = [] if self.alive else ["loop: its transactions come to no end"]
        reasons += [f"store: {self.store}"] if self.store else []
        if not any(link.bound_since for link in self.links):
            reasons += [f"link {link.name} ({link.bind}): {link.trouble}" for link in self.links]
        return tuple(reasons)


class Pulse:
    """Whether the engine's loop is alive: it beats when the transaction of a tick has ended, well or badly.

    `clock` gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten_at = clock()
        self._lags: deque[float] = deque(maxlen=_TICKS)

    def beat(self) -> None:
        """The transaction of a tick has ended."""
        self._beaten_at = self._clock()

    def note_lag(self, lag_s: float) -> None:
        """A tick came so much later than it should have."""
        self._lags.append(max(0.0, lag_s))

    @property
    def alive(self) -> bool:
        """Whether it has beaten of late."""
        return self._clock() - self._beaten_at < _STILL_S

    @property
    def lag_s(self) -> float:
        """The longest of the last ticks' lags."""
        return max(self._lags, default=0.0)


class HealthFigures(Collector):
    """What `find_health` says, for Prometheus."""

    def __init__(self, find_health: Callable[[], Health]) -> None:
        self._find_health = find_health

    def collect(self) -> Iterator[Metric]:
        """One gauge for each figure; what cannot be read is left out."""
        health = self._find_health()
        yield GaugeMetricFamily("smsflow_store_writes", "1 while the store writes.", value=0 if health.store else 1)
        if health.oldest_queued_s is not None:
            yield GaugeMetricFamily(
                "smsflow_oldest_queued_seconds",
                "How long the next text could have gone out.",
                health.oldest_queued_s,
            )
        yield GaugeMetricFamily(
            "smsflow_oldest_unanswered_seconds",
            "Age of the oldest reply without an answer.",
            health.oldest_unanswered_s,
        )
        yield GaugeMetricFamily(
            "smsflow_last_write_seconds", "Since the store took something.", health.last_write_s
        )
        yield GaugeMetricFamily("smsflow_loop_lag_seconds", "How late the loop came, at worst.", health.loop_lag_s)
