"""Virtual time, and an event loop that runs one callback at a time when it is told to.

Nothing ever waits: whoever drives the loop moves the clock on. So a run is a function of its seed, and the
daemon can be killed between any two callbacks.
"""

from __future__ import annotations

import asyncio
import heapq
import warnings
from asyncio import events
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from typing import Any

from smsflow.clock import Clock

POLL_S = (0.500000001, 1.000000001)
"""The periods at which the daemon looks whether something is due, marked so that the loop knows them."""


class VirtualClock(Clock):
    """The daemon's clock, on a machine whose time only moves when told, and can be stepped."""

    def __init__(self, base: datetime, zone: tzinfo) -> None:
        super().__init__(zone)
        self.passed_s = 0.0
        self.step_s = 0.0  # how far the machine's clock is off
        self._base = base

    def _read(self) -> datetime:
        return (self._base + timedelta(seconds=self.passed_s + self.step_s)).astimezone(self.zone)

    def monotonic(self) -> float:
        return self.passed_s


class Loop(asyncio.BaseEventLoop):
    """An event loop for one life of the daemon. `turn` runs one callback.

    The daemon looks twice a second whether something is due. `idle_s` says how long such a look would find
    nothing: the loop puts it off for so long, or until `hasten` says that something was written.
    """

    def __init__(self, clock: VirtualClock, idle_s: Callable[[], float], on_error: Callable[[str], None]) -> None:
        super().__init__()
        self._virtual = clock
        self._idle_s = idle_s
        self._on_error = on_error
        self.network: Any = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._polls: list[asyncio.TimerHandle] = []
        self.dead = False

    # --- what the daemon calls ----------------------------------------------------------------------

    def time(self) -> float:
        return self._virtual.passed_s

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        delay = when - self.time()
        is_poll = any(abs(delay - period) < 2e-10 for period in POLL_S)
        if is_poll:
            when = self.time() + self._idle_s()
        handle = super().call_at(when, callback, *args, context=context)
        if is_poll:
            self._polls = [each for each in self._polls if not each._cancelled and each._scheduled] + [handle]
        return handle

    def create_task(self, coro: Coroutine[Any, Any, Any], **how: Any) -> Any:
        task = super().create_task(coro, **how)
        self.tasks.append(task)
        return task

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, **_: Any) -> Any:
        return await self.network.connect(self, factory, port)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            error = context.get("exception")
            self._on_error(f"{context.get('message')}: {error!r}")

    def _write_to_self(self) -> None:
        """There is no other thread to be woken from."""

    # --- what drives it -----------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def next_timer(self) -> float:
        """When the next timer is due; infinity when there is none."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        return scheduled[0]._when if scheduled else float("inf")

    def hasten(self) -> None:
        """Something was written: what was put off happens as soon as it would have."""
        soon = self.time() + POLL_S[0]
        for handle in self._polls:
            handle._when = min(handle._when, soon)
        heapq.heapify(self._scheduled)

    def fire_timers(self) -> None:
        """Make the timers ready that are due now."""
        while self.next_timer() <= self.time():
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)

    def turn(self) -> None:
        """Run the next callback."""
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)

    def check_tasks(self) -> None:
        """Report tasks that have ended with an error."""
        if not any(task.done() for task in self.tasks):
            return
        done = [task for task in self.tasks if task.done()]
        self.tasks = [task for task in self.tasks if not task.done()]
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                self._on_error(f"task {task.get_coro().__qualname__} failed: {task.exception()!r}")

    def bury(self) -> None:
        """The process is dead: nothing runs any more, and no `finally` has any effect."""
        self.dead = True
        with warnings.catch_warnings(action="ignore"):  # of coroutines that will never be awaited
            for task in self.tasks:
                task._log_destroy_pending = False
                with suppress(BaseException):  # whatever it still wanted: the process is dead
                    task.get_coro().close()
        self.tasks.clear()
        self._ready.clear()
        self._scheduled.clear()
        self.close()
