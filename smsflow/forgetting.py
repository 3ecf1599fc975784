"""Retention: what is older than it may be is forgotten, all the time and a little at a time.

Once an hour all that is due goes, slice by slice in the bulk line of the writer, with a pause after each: replies
and texts go first, and wait at most for the slice that is under way. A stop or a crash loses nothing but that
slice, and the next pass begins anew: there is nothing to remember.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from smsflow import metrics
from smsflow.core.errors import StoreError
from smsflow.logs import STORE_FORGOTTEN
from smsflow.store.retention import Place
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Forgetting"]

_FIRST_S = 300.0  # after the start: a clock that is wrong when the machine starts has been set by then
_EVERY_S = 3600.0
_PAUSE_S = 0.1
_CASES, _TEXTS = 10, 50  # in one slice: some milliseconds

_log = structlog.get_logger()


class Forgetting:
    """Forgets what was closed, or came, longer than `keep` ago."""

    def __init__(self, store: Store, writer: Writer, now: Callable[[], datetime], keep: timedelta) -> None:
        self._retention = store.retention
        self._writer = writer
        self._now = now
        self._keep = keep

    async def run(self) -> None:
        """Make a pass once an hour, for ever. What fails is tried again in the next."""
        await asyncio.sleep(_FIRST_S)
        while True:
            try:
                await self.forget_all()
            except StoreError:
                pass  # the daemon says so, and nothing of the slice has happened
            except Exception as error:  # noqa: BLE001 - whatever it is, the next pass may get further
                _log.error(STORE_FORGOTTEN, exc_info=error)
            await asyncio.sleep(_EVERY_S)

    async def forget_all(self) -> None:
        """One pass: everything that is due now. Raises: StoreError."""
        before = self._now() - self._keep
        await self._writer.run(partial(self._retention.begin, before), bulk=True)
        cases = await self._forget_cases(before)
        texts = await self._forget_texts(before)
        if cases or texts:
            _log.info(STORE_FORGOTTEN, cases=cases, texts=texts)

    async def _forget_cases(self, before: datetime) -> int:
        total = 0
        place: Place | None = Place()
        while place is not None:
            forget = partial(self._retention.forget_cases, place, before, self._now(), _CASES)
            place, gone = await self._writer.run(forget, bulk=True)
            metrics.FORGOTTEN.labels(what="cases").inc(gone)
            total += gone
            await asyncio.sleep(_PAUSE_S)
        return total

    async def _forget_texts(self, before: datetime) -> int:
        total, gone = 0, 1
        while gone:
            forget = partial(self._retention.forget_texts, before, self._now(), _TEXTS)
            gone = await self._writer.run(forget, bulk=True)
            metrics.FORGOTTEN.labels(what="texts").inc(gone)
            total += gone
            await asyncio.sleep(_PAUSE_S)
        return total
