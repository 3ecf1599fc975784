"""HTTP out: applications go to the state bodies, until they are taken or refused (design.md §6).

Every try stands in the store: a restart goes on where the last process ended. The `Idempotency-Key` is the
application's id and the same at each try, so a body that has it already changes nothing.

The daemon may die at any of these points:

    point     on the disk   the body believes            after the restart
    applied   queued        nothing                      it is sent
    posted    queued        taken, unless it was lost    sent again with the same key
    replied   queued        taken, and so it told us     sent again with the same key
    settled   taken         taken                        nothing
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

import httpx2
import structlog

from smsflow.config import GatewayConfig
from smsflow.core.errors import StoreError
from smsflow.logs import APPLICATION_REFUSED, APPLICATION_RETRIED, APPLICATION_TAKEN
from smsflow.store.bodies import Application
from smsflow.store.store import Store
from smsflow.writer import Writer

__all__ = ["Gateways", "Verdict", "pause_after", "verdict_of"]

_AT_ONCE = 16  # applications of one kind under way: a body that hangs holds up no other
_LOOK_S = 1.0  # how often due applications are looked for, when nobody wakes us
_FETCHED = 2 * _AT_ONCE  # of each kind in one look: those under way are among them
_GRACE_S = 2.0  # for what is under way at the end
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 900.0
_RETRIED = frozenset({408, 425, 429})  # the 4xx that are about the moment, not about the application

_log = structlog.get_logger()


class Verdict(Enum):
    """What an answer of a body means."""

    TAKEN = "taken"
    REFUSED = "refused"
    AGAIN = "queued"


@dataclass(frozen=True, slots=True)
class _Try:
    """What became of one try; `error` says why it was not taken: a status or the name of a failure."""

    verdict: Verdict
    error: str = ""


def verdict_of(status: int) -> Verdict:
    """What HTTP `status` means for an application: "2xx = taken, 4xx = refused and flagged, else tried again"."""
    if 200 <= status < 300:
        return Verdict.TAKEN
    if 400 <= status < 500 and status not in _RETRIED:
        return Verdict.REFUSED
    return Verdict.AGAIN


def pause_after(attempts: int, jitter: float) -> timedelta:
    """The pause after the try number `attempts` (0 first): 2 s, 4 s … 15 min; `jitter` 0 to 1 cuts up to half."""
    longest_s = min(_FIRST_PAUSE_S * 2 ** min(attempts, 16), _LONGEST_PAUSE_S)
    return timedelta(seconds=longest_s * (1 - jitter / 2))


class Gateways:
    """Sends applications while `run` runs; `wake` says that there may be new ones."""

    def __init__(
        self,
        gateways: Mapping[str, GatewayConfig],
        store: Store,
        writer: Writer,
        now: Callable[[], datetime],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._gateways = gateways
        self._store = store
        self._writer = writer
        self._now = now
        self._jitter = jitter
        self._woken = asyncio.Event()
        self._stopping = False
        self._under_way: dict[int, Application] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()
        self._done.set()

    def wake(self) -> None:
        """There may be new applications; they are looked for after this turn of the loop."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, until `stop`."""
        self._done.clear()
        try:
            # what is configured is in one file: no proxies or certificates from the environment
            async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as client:
                while not self._stopping:
                    self._woken.clear()
                    for application in await self._find_due():
                        self._begin(client, application)
                    await self._rest()
                await self._finish()
        finally:
            self._done.set()

    async def stop(self) -> None:
        """End: what is under way has two seconds, and is sent again after the next start."""
        self._stopping = True
        self._woken.set()
        await self._done.wait()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._woken.wait()

    async def _finish(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- what is due --------------------------------------------------------------------------------

    async def _find_due(self) -> list[Application]:
        """Due applications for which there is room. Those of a kind without a gateway are flagged and put off."""
        room = Counter(dict.fromkeys(self._gateways, _AT_ONCE))
        room.subtract(application.kind for application in self._under_way.values())
        full = tuple(kind for kind, left in room.items() if left <= 0)  # however many wait, they hide no other

        def job() -> tuple[Application, ...]:
            now = self._now()
            due = self._store.bodies.load_due(now, _FETCHED, but_of=full)
            for application in due:
                if application.kind not in self._gateways:
                    self._put_off(application, now)
            return tuple(application for application in due if application.kind in self._gateways)

        try:
            due = await self._writer.run(job)
        except StoreError:
            return []  # the daemon tells; the next look is soon
        found: list[Application] = []
        for application in due:
            if application.id not in self._under_way and room[application.kind] > 0:
                room[application.kind] -= 1
                found.append(application)
        return found

    def _put_off(self, application: Application, now: datetime) -> None:
        until = now + timedelta(seconds=_LONGEST_PAUSE_S)
        self._store.bodies.mark(application.id, Verdict.AGAIN.value, now, next_at=until, error="no_gateway")
        self._store.flags.add(application.case, "no_gateway", now)
        _log.error(APPLICATION_REFUSED, **_facts(application), reason="no_gateway")

    # --- one application ----------------------------------------------------------------------------

    def _begin(self, client: httpx2.AsyncClient, application: Application) -> None:
        self._under_way[application.id] = application
        task = asyncio.create_task(self._send(client, application))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, client: httpx2.AsyncClient, application: Application) -> None:
        """Try once and write down what became of it; when that fails too, it is tried again as it is."""
        try:
            tried = await _post(client, self._gateways[application.kind], application)
            await self._writer.run(lambda: self._record(application, tried))
            _tell(application, tried)
        except StoreError:
            await asyncio.sleep(_LOOK_S)
        finally:
            del self._under_way[application.id]
            self._woken.set()

    def _record(self, application: Application, tried: _Try) -> None:
        now = self._now()
        next_at = None
        if tried.verdict is Verdict.AGAIN:
            next_at = now + pause_after(application.attempts, self._jitter())
        self._store.bodies.mark(application.id, tried.verdict.value, now, next_at=next_at, error=tried.error)
        if tried.verdict is Verdict.REFUSED:
            self._store.flags.add(application.case, "application_refused", now)


async def _post(client: httpx2.AsyncClient, gateway: GatewayConfig, application: Application) -> _Try:
    headers = {"Idempotency-Key": str(application.id)}
    if gateway.token:
        headers["Authorization"] = f"Bearer {gateway.token}"
    body = {
        "application": str(application.id),
        "case": str(application.case),
        "kind": application.kind,
        "data": dict(application.data),
    }
    try:
        async with asyncio.timeout(gateway.timeout_s):  # for the whole of it, however slowly it dribbles
            response = await client.post(gateway.url, json=body, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        return _Try(Verdict.AGAIN, type(error).__name__)  # its text may hold the address with a secret
    verdict = verdict_of(response.status_code)
    return _Try(verdict, "" if verdict is Verdict.TAKEN else f"http_{response.status_code}")


def _tell(application: Application, tried: _Try) -> None:
    match tried.verdict:
        case Verdict.TAKEN:
            _log.info(APPLICATION_TAKEN, **_facts(application))
        case Verdict.REFUSED:
            _log.error(APPLICATION_REFUSED, **_facts(application), reason=tried.error)
        case Verdict.AGAIN:
            _log.warning(APPLICATION_RETRIED, **_facts(application), reason=tried.error)


def _facts(application: Application) -> dict[str, object]:
    return {
        "application": application.id,
        "case": application.case,
        "kind": application.kind,
        "attempts": application.attempts + 1,
    }
