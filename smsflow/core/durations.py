"""Durations in words: `90m`, `24h`, `3 days`, `3 working days`.

>>> parse_duration("24h").after(datetime(2026, 11, 20, 9, tzinfo=UTC)).isoformat()
'2026-11-21T09:00:00+00:00'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["UTC", "Duration", "parse_duration"]

_UNITS_S = {
    "s": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_FORM = re.compile(r"(\d{1,6})\s*(working\s+days?|[a-z]+)")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span: `seconds`, or whole `working_days` (Monday to Friday in the zone of the start)."""

    seconds: int = 0
    working_days: int = 0

    def after(self, start: datetime) -> datetime:
        """The moment this long after `start` (aware); working days end at the same time of day."""
        end, left = start + _span(self.seconds), self.working_days
        while left:
            end += timedelta(days=1)
            left -= end.weekday() < _SATURDAY
        return end


@lru_cache(maxsize=256)
def _span(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def parse_duration(words: str) -> Duration:
    """The duration in `words`. Raises: ValueError with the forms that are known."""
    form = _FORM.fullmatch(words.strip().lower())
    if form:
        number, unit = int(form[1]), form[2]
        if unit.startswith("working"):
            return Duration(working_days=number)
        if unit in _UNITS_S:
            return Duration(seconds=number * _UNITS_S[unit])
    raise ValueError(f"expected a duration such as 90m, 24h, 3 days or 3 working days, got {words!r}")
