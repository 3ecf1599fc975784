"""One transaction for everything that has arrived: group commit.

Jobs that come while the event loop is busy, or while the last commit ran, are committed together. A job that
fails is rolled back alone, and costs the others nothing: the group is run again, each job in a savepoint. So a
job may run twice, and beside the store must do nothing that cannot be done twice. When the commit itself fails,
every job of the group fails with `StoreError`, and nothing of it has happened.

What comes in bulk (births, timers) stands in a line of its own: a transaction takes so much of it as is done in
some milliseconds, after everything else. What has come meanwhile is then committed by itself, and only the next
transaction takes bulk again. So a reply waits for the rest of one such transaction, however long the line is.
And `last` is not run with the bulk, but in the transaction after it: where a link may send only so much a second,
texts of the bulk would take all of it just before those that answer replies.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

from smsflow import metrics
from smsflow.core.errors import StoreError
from smsflow.store.store import Store

__all__ = ["Writer"]

_WAIT_S = 0.01
_BULK_S = 0.010  # of bulk in one transaction; the job that is under way then is finished

Result = TypeVar("Result")
Job = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]
_Ran: TypeAlias = tuple[list[tuple[Done, Any, Exception | None]], Any]
"""What became of each job, and what `last` has returned; None when it was not run."""


class _JobFailed(Exception):
    """A job of a group has failed, and with it, for now, the group."""


class Writer:
    """Runs jobs inside the store's transactions, from the event loop's own thread.

    `last` runs inside every transaction without bulk, after the jobs, `after` when it is on the disk: the outbox
    uses them to claim texts in the transaction that made them.
    """

    def __init__(
        self,
        store: Store,
        *,
        last: Job,
        after: Callable[[Any], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._last = last
        self._after = after
        self._jobs: list[tuple[Job, Done]] = []
        self._late: list[tuple[Job, Done]] = []  # run after `_jobs`
        self._bulk: deque[tuple[Job, Done]] = deque()
        self._took_bulk = False  # the last transaction did
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self.failing: Exception | None = None  # why the last transaction failed, None when it did not
        self.written_at = clock()  # when it last took something, by `clock`
        self._clock = clock

    def submit(self, job: Job, done: Done, *, may_wait: bool = False, after_others: bool = False) -> None:
        """Run `job` in the next transaction; `done(result, error)` is called when it is on the disk.

        That is soon, unless it `may_wait`, because nobody is answered when it is written: then a transaction is
        begun for it only when none has come by after some milliseconds. Jobs are run in the order in which they
        came, but one `after_others` after all that are not.
        """
        (self._late if after_others else self._jobs).append((job, done))
        if not may_wait:
            self._schedule()
        elif self._timer is None and not self._scheduled:
            self._timer = asyncio.get_running_loop().call_later(_WAIT_S, self.commit)

    def submit_bulk(self, job: Job, done: Done) -> None:
        """Run `job`, which is short, in a transaction that has time for it; otherwise as `submit`."""
        self._bulk.append((job, done))
        self._schedule()

    def wake(self) -> None:
        """Have a transaction soon, even when there is no job: `last` may have something to do."""
        self._schedule()

    async def run(self, job: Callable[[], Result], *, bulk: bool = False) -> Result:
        """The result of `job`, once it is on the disk. Raises what the job raised, or StoreError."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result, error: Exception | None) -> None:
            if future.done():
                return
            if error:
                future.set_exception(error)
            else:
                future.set_result(result)

        (self.submit_bulk if bulk else self.submit)(job, done)
        return await future

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self) -> None:
        """Run and commit what is waiting, then tell everybody."""
        self._scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs = self._jobs + self._late
        self._jobs, self._late = [], []
        if self.failing is not None:  # what happens to write nothing proves nothing
            jobs.insert(0, (self._store.touch, lambda *_: None))
        outcomes: list[tuple[Done, Any, Exception | None]]
        claimed: Any
        before = self._store.writes
        try:
            try:
                outcomes, claimed = self._run_together(jobs)
            except _JobFailed:
                outcomes, claimed = self._run_apart(jobs)
            self.failing = None
            if self._store.writes > before:
                self.written_at = self._clock()
            metrics.COMMITS.inc()
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, whatever went wrong
            self.failing = error
            outcomes = [(done, None, error) for _, done in (*jobs, *self._bulk)]
            self._bulk.clear()  # while the disk refuses, a line would only grow
            self._took_bulk = False
            claimed = None
        for done, result, failure in outcomes:
            try:
                done(result, failure)
            except Exception as error:  # noqa: BLE001 - one that stumbles must not silence the others
                context = {"message": "a job's `done` failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
        if claimed:
            self._after(claimed)
        if self._bulk or self._took_bulk:
            self._schedule()

    def _run_together(self, jobs: list[tuple[Job, Done]]) -> _Ran:
        """Run and commit `jobs` as if none could fail, and add to them what there is time for of the bulk.

        Raises: _JobFailed, and nothing has happened.
        """
        outcomes: list[tuple[Done, Any, Exception | None]] = []
        try:
            with self._store.transaction():
                for job, done in self._with_bulk(jobs):
                    outcomes.append((done, job(), None))
                return outcomes, None if self._took_bulk else self._last()
        except StoreError:
            raise
        except Exception as error:  # perhaps not before a row was written that a job had put down
            raise _JobFailed from error

    def _with_bulk(self, jobs: list[tuple[Job, Done]]) -> Iterator[tuple[Job, Done]]:
        """All of `jobs`; then, if it is its turn, the bulk that there is time for, one at least, added to them."""
        is_its_turn, self._took_bulk = not self._took_bulk, False
        yield from jobs
        if not (self._bulk and is_its_turn):
            return
        self._took_bulk = True
        until = self._clock() + _BULK_S
        while self._bulk:
            jobs.append(self._bulk.popleft())
            yield jobs[-1]
            if self._clock() >= until:
                return

    def _run_apart(self, jobs: list[tuple[Job, Done]]) -> _Ran:
        """Run and commit `jobs`, each in a savepoint: what one writes before it fails is rolled back."""
        outcomes: list[tuple[Done, Any, Exception | None]] = []
        with self._store.transaction():
            for job, done in jobs:
                try:
                    with self._store.savepoint():
                        result = job()
                    outcomes.append((done, result, None))
                except StoreError:
                    raise
                except Exception as error:  # noqa: BLE001 - whoever submitted the job is told
                    outcomes.append((done, None, error))
            return outcomes, None if self._took_bulk else self._last()
