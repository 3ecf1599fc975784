"""When texts that nobody has just asked for may go out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

__all__ = ["QuietHours"]

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Quiet from `start` to `end` (local time, over midnight where `end` is earlier), and on `weekends`."""

    start: time
    end: time
    weekends: bool

    def opens_at(self, at: datetime) -> datetime:
        """`at` (aware, local) itself when it is not quiet, else the first moment at which it is not any more."""
        while True:
            if self.weekends and at.weekday() >= _SATURDAY:
                at = _at_time(at + timedelta(days=7 - at.weekday()), time())
            elif not self._is_quiet(at.time()):
                return at
            else:
                day = at + timedelta(days=1) if at.time() >= self.end else at
                at = _at_time(day, self.end)

    def _is_quiet(self, now: time) -> bool:
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


def _at_time(day: datetime, clock: time) -> datetime:
    return day.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
