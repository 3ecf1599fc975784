"""The time: the only place that asks for it. A demo's clock runs faster than the world's."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo

__all__ = ["Clock"]


class Clock:
    """Gives the time in `zone`; from its making on, it runs `speed` times as fast, and can be moved on."""

    def __init__(self, zone: tzinfo, *, speed: float = 1.0) -> None:
        self.zone = zone
        self._speed = speed
        self._began = datetime.now(UTC)
        self._began_monotonic = time.monotonic()
        self._moved = timedelta()

    def now(self) -> datetime:
        """The aware time now, to the millisecond: as the store keeps times.

        With more digits than that a conversation would stand a little otherwise than its journal says.
        """
        now = self._read()
        if not now.microsecond % 1000:
            return now
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _read(self) -> datetime:
        if self._speed == 1.0:
            # made of whole milliseconds, because to cut a time takes longer than to make it
            now = datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, self.zone)
            return now + self._moved if self._moved else now
        passed = (time.monotonic() - self._began_monotonic) * self._speed
        return (self._began + timedelta(seconds=passed) + self._moved).astimezone(self.zone)

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals: neither `speed` nor a step of the machine's clock moves them."""
        return time.monotonic()

    def run_at(self, speed: float) -> None:
        """Run `speed` times as fast from now on; no time is lost or gained."""
        now = self.now()
        self._speed, self._began, self._began_monotonic = speed, datetime.now(UTC), time.monotonic()
        self._moved = now - self._began

    def move(self, by: timedelta) -> None:
        """Let `by` pass at once."""
        self._moved += by
