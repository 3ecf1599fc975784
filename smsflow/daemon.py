"""The daemon: everything wired together, started in order, stopped in reverse.

Start: store, dialogs, engine, links, gateways, HTTP. Stop: no more replies are taken, what was sent is waited
for, links unbind, the rest ends, the store is folded together.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from math import inf

import structlog

from smsflow.api import Server, create_app
from smsflow.births import Births
from smsflow.clock import Clock
from smsflow.config import LinkConfig, Settings
from smsflow.core.conversation import Conversation, Status
from smsflow.core.effects import Apply, Step
from smsflow.core.errors import StoreError
from smsflow.core.events import Event
from smsflow.engine import Engine
from smsflow.forgetting import Forgetting
from smsflow.gateways import Gateways
from smsflow.health import Health, Pulse
from smsflow.inbox import Inbox
from smsflow.library import Library
from smsflow.logs import (
    BIRTH_RECORDED,
    CASE_CLOSED,
    DAEMON_MIGRATED,
    DAEMON_STARTED,
    DAEMON_STOPPED,
    DAEMON_STOPPING,
    DAEMON_STORE_FAILED,
    DIALOG_LOADED,
    FLAG_RAISED,
    SMPP_PAUSED,
    TIMER_FAILED,
    info_each,
    short_revision,
)
from smsflow.notify import Notifier
from smsflow.replies import Replies
from smsflow.sender import Sender
from smsflow.smpp.backoff import Backoff
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.session import Session
from smsflow.store.outbox import Routes
from smsflow.store.queries import Queries
from smsflow.store.store import Store, open_store
from smsflow.switchboard import Switchboard
from smsflow.tls import make_context
from smsflow.writer import Writer

__all__ = ["Daemon", "find_sessions", "run"]

_GRACE_S = 3.0  # for message centres to answer what was sent, before we unbind; 10 s are all we have to stop
_TICK_S = 0.5  # how often timers are looked at
_TELL_S = 60.0  # how often the log says that the store fails, as long as it does
_PROBE_S = 10.0  # without a write for so long, the store is tried
_ALLOCATIONS = 20_000  # between two collections: those of some hundred replies
_AT_ONCE = 500  # timers, and held texts, in one look

_log = structlog.get_logger()


class Daemon:
    """One running smsflow. `start` and `stop` once each. `jitter` gives numbers from 0 to 1, for pauses."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        jitter: Callable[[], float] = random.random,
        notifier: Notifier | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._pulse = Pulse(clock.monotonic)
        self._notifier = notifier or Notifier({})
        self._fed_at = clock.monotonic()
        self._told: dict[str, float] = {}  # why the store failed, and when the log last said so
        self._stack = AsyncExitStack()
        self._talkers: list[Callable[[], Awaitable[None]]] = []  # each ends within its own grace
        self.store: Store
        self.engine: Engine
        self.writer: Writer
        self.queries: Queries
        self._inbox: Inbox
        self._switchboard: Switchboard
        self._gateways: Gateways
        self._server: Server | None = None

    async def start(self) -> None:
        """Bring everything up. Raises: StoreError or DialogError; nothing is left half up."""
        async with AsyncExitStack() as stack:
            self._open(stack)
            self._start_links(stack)
            await self._start_bodies(stack)
            await self._start_api()
            self._spawn(stack, self._tick_forever())
            if self._settings.retention is not None:
                forgetting = Forgetting(self.store, self.writer, self._clock.now, self._settings.retention)
                self._spawn(stack, forgetting.run())
            self._stack = stack.pop_all()
        self._notifier.ready()
        _log.info(DAEMON_STARTED, links=len(self._settings.links), store=self._settings.store_path.name)

    async def stop(self) -> None:
        """Bring everything down: what talks to others ends together, then the rest in reverse order."""
        self._notifier.stopping()
        _log.info(DAEMON_STOPPING)
        self._switchboard.desk.end_traces()  # or HTTP would wait for them
        await asyncio.gather(*(end() for end in self._talkers))
        await self._stack.aclose()
        _log.info(DAEMON_STOPPED)

    @property
    def api_port(self) -> int | None:
        """Where HTTP listens: the port that was given out when the settings ask for port 0; None without HTTP."""
        return self._server.port if self._server else None

    # --- start --------------------------------------------------------------------------------------

    def _open(self, stack: AsyncExitStack) -> None:
        settings, now = self._settings, self._clock.now
        self.store = open_store(settings.store_path, settings.zone)
        stack.callback(self.store.close)
        if self.store.copy:
            _log.info(DAEMON_MIGRATED, copy=self.store.copy.name)
        self.store.flags.on_flag = _tell_flag
        library = Library.load(settings.dialogs, self.store.used_dialog)
        for name in library.names:
            dialog = library.current(name)
            _log.info(DIALOG_LOADED, dialog=name, revision=short_revision(dialog.revision) if dialog else "")
        self.engine = Engine(self.store, library, settings.quiet, on_step=self._on_step)
        self.births = Births(self.engine, self.store, on_births=_tell_births)
        on_doubt = {link.name: link.on_doubt for link in settings.links}
        sender = Sender(self.store, settings.number, now, on_doubt)
        self._sender = sender
        self.writer = Writer(self.store, last=sender.claim, after=sender.send, clock=self._clock.monotonic)
        sender.writer = self.writer
        with self.store.transaction():
            self.store.outbox.doubt_all(now(), on_doubt)
            self.store.outbox.use_routes(_find_routes(settings.links))
        self.queries = Queries(settings.store_path, settings.zone, library)
        stack.callback(self.queries.close)
        self._inbox = Inbox(
            Replies(self.engine, self.store),
            self.store,
            self.writer,
            now,
            run=now().strftime("%Y%m%d%H%M%S%f"),
            parts_timeout=settings.parts_timeout,
            monotonic=self._clock.monotonic,
        )
        stack.callback(self._inbox.tell)
        stack.callback(self.writer.commit)
        self._switchboard = Switchboard(self._inbox, sender, now)
        self._switchboard.desk.keep_pause = self._keep_pause

    async def _keep_pause(self, link: str, paused: bool) -> None:  # noqa: FBT001 - on or off is all there is
        store, now = self.store, self._clock.now()
        await self.writer.run(partial(store.pause_link, link, now) if paused else partial(store.resume_link, link))

    def _start_links(self, stack: AsyncExitStack) -> None:
        paused = self.store.paused_links()
        for link in self._settings.links:
            for settings in find_sessions(link):
                session = Session(
                    settings,
                    self._switchboard,
                    tls=make_context(link.tls) if link.tls else None,
                    clock=self._clock.monotonic,
                    backoff=Backoff(self._jitter),
                )
                self._switchboard.add(session)
                session.hold(link.name in paused)
                self._spawn(stack, session.run())
                self._talkers.append(partial(session.stop, _GRACE_S))
            if link.name in paused:
                since = paused[link.name].isoformat(timespec="seconds")
                _log.warning(SMPP_PAUSED, link=link.name, since=since)

    async def _start_bodies(self, stack: AsyncExitStack) -> None:
        self._gateways = Gateways(
            self._settings.gateways, self.store, self.writer, self._clock.now, jitter=self._jitter
        )
        self._spawn(stack, self._gateways.run())
        self._talkers.append(self._gateways.stop)

    async def _start_api(self) -> None:
        api = self._settings.api
        if api is None:
            return
        app = create_app(
            self.engine,
            self.births,
            self.writer,
            self.queries,
            self._settings,
            self._clock.now,
            self.find_health,
            self._switchboard.desk,
        )
        self._server = Server(app, api.host, api.port)
        await self._server.start()
        self._talkers.append(self._server.stop)

    def _spawn(self, stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        stack.push_async_callback(_end, task)

    # --- while it runs ------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        tick_s = min(_TICK_S, (self._notifier.watchdog_s or inf) / 4)  # a feed may be a tick late
        while True:
            self._tick()
            self._switchboard.desk.tick(clock())
            due = clock() + tick_s
            await asyncio.sleep(tick_s)
            self._pulse.note_lag(clock() - due)

    def _tick(self) -> None:
        """Queue held texts whose time has come, and fire the timers that are due, each by itself."""
        now = self._clock.now()
        self._inbox.tick()

        def job() -> tuple[int, ...]:
            if self._clock.monotonic() - self.writer.written_at > _PROBE_S:
                self.store.touch()
            self.store.outbox.release_held(now, _AT_ONCE)
            return self.engine.find_due(now, _AT_ONCE)

        def done(cases: tuple[int, ...] | None, error: Exception | None) -> None:
            self._beat()
            if isinstance(error, StoreError):
                self._tell_failing(str(error))
            for case in cases or ():
                self.writer.submit_bulk(partial(self.engine.fire_timer, case, now), partial(self._timer_done, case))

        self.writer.submit(job, done)

    def _tell_failing(self, why: str) -> None:
        """Say in the log that the store fails; not twice a second, because the log may fill the same disk."""
        now = self._clock.monotonic()
        if now - self._told.get(why, -inf) >= _TELL_S:
            self._told = {why: now}
            _log.error(DAEMON_STORE_FAILED, error=why)

    def _timer_done(self, case: int, _result: object, error: Exception | None) -> None:
        if error is not None and not isinstance(error, StoreError):
            _log.error(TIMER_FAILED, case=case, exc_info=error)
            self.writer.submit(partial(self.engine.set_aside, case, self._clock.now()), lambda *_: None)

    def _on_step(self, conversation: Conversation, _event: Event, done: Step) -> None:
        after = done.conversation
        if after.status is Status.CLOSED and conversation.status is not Status.CLOSED:
            self.store.after_commit(
                lambda: _log.info(CASE_CLOSED, case=after.case, dialog=after.dialog, result=after.result)
            )
        for effect in done.effects:
            if isinstance(effect, Apply):
                self._gateways.wake()

    def _beat(self) -> None:
        """A tick's transaction has ended: systemd is told, as often as it wants to be."""
        self._pulse.beat()
        if self._notifier.watchdog_s and self._clock.monotonic() - self._fed_at >= self._notifier.watchdog_s / 2:
            self._fed_at = self._clock.monotonic()
            self._notifier.alive()
        self._notifier.status(_status_line(self.find_health()))

    def find_health(self) -> Health:
        """How things are: the store writes, at least one session can, and what waits."""
        failing = self.writer.failing
        oldest_queued_s: float | None = 0.0
        try:
            since = self.queries.find_oldest_queued()
        except StoreError as error:
            failing, oldest_queued_s = failing or error, None
        else:
            oldest_queued_s = max(0.0, (self._clock.now() - since).total_seconds()) if since else 0.0
        return Health(
            store="" if failing is None else str(failing),
            links=self._switchboard.health,
            alive=self._pulse.alive,
            oldest_queued_s=oldest_queued_s,
            oldest_unanswered_s=self._inbox.oldest_unanswered_s,
            last_write_s=self._clock.monotonic() - self.writer.written_at,
            loop_lag_s=self._pulse.lag_s,
        )


def _status_line(health: Health) -> str:
    """In a few words for `systemctl status`; it changes only when something does."""
    bound = sum(link.bound_since is not None for link in health.links)
    waits = health.oldest_queued_s or 0.0
    queue = f"texts wait since {waits // 10 * 10:.0f} s" if waits >= 10 else "no text waits long"
    return "; ".join((f"{bound} of {len(health.links)} binds up", queue, f"store: {health.store or 'ok'}"))


def _tell_flag(case: int | None, reason: str) -> None:
    _log.warning(FLAG_RAISED, case=case, reason=reason)


def _tell_births(births: Sequence[tuple[int, str]]) -> None:
    info_each(BIRTH_RECORDED, ({"case": case, **({"result": result} if result else {})} for case, result in births))


async def run(settings: Settings, clock: Clock) -> None:
    """Run a daemon until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    daemon = Daemon(settings, clock, notifier=Notifier(os.environ))
    await daemon.start()
    _rest_collector()
    await stopping.wait()
    await daemon.stop()


def _rest_collector() -> None:
    """Look for garbage less often, and never among what was loaded: dialogs and code stay until the end.

    Next to nothing here is a circle, so that a collection finds nothing; it took 6 % of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)


def _find_routes(links: tuple[LinkConfig, ...]) -> Routes:
    prefixes = tuple((prefix, link.name) for link in links for prefix in link.prefixes)
    return Routes(frozenset(link.name for link in links), prefixes)


def find_sessions(link: LinkConfig) -> tuple[LinkSettings, ...]:
    """The sessions of a link: one transceiver, or a receiver and a transmitter."""
    binds = ("receiver", "transmitter") if link.bind == "receiver+transmitter" else ("transceiver",)
    return tuple(
        LinkSettings(
            name=link.name,
            host=link.host,
            port=link.port,
            system_id=link.system_id,
            password=link.password,
            bind=bind,  # type: ignore[arg-type]
            window=link.window,
            tps=link.tps,
            system_type=link.system_type,
            address_range=link.address_range,
            source=link.source,
            destination=link.destination,
            alphabet=link.alphabet,
            long_texts=link.long_texts,
            message_ids=link.message_ids,
            udh=link.udh,
            enquire_link_s=link.enquire_link_s,
            response_timeout_s=link.response_timeout_s,
            rules=link.statuses,
            prefixes=link.prefixes,
            outbind=link.outbind if bind != "transmitter" else None,
            server_name=link.tls.name if link.tls else "",
        )
        for bind in binds
    )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
