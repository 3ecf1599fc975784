"""The simulated world: drives the daemon's event loop and everything around it on one virtual clock."""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from smsflow.config import GatewayConfig, LinkConfig, Settings
from smsflow.core.errors import StoreError
from smsflow.core.hours import QuietHours
from smsflow.daemon import Daemon
from smsflow.engine import Refused
from smsflow.store.people import Birth

from . import dialogs
from .bodies import FIRST_PORT, KINDS, Bodies, Decision
from .centre import NUMBER, Centre
from .checks import Checks, Violation
from .disk import Crash, Disk
from .faults import Fault, plan, strike
from .loop import Loop, VirtualClock
from .mothers import Resident
from .network import Network

ZONE = ZoneInfo("Asia/Almaty")
_MONDAY = datetime(2026, 11, 16, 10, tzinfo=ZONE)
_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_END_S = 45 * _DAY_S  # by then everything must have come to its end
_SMPP_PORT = 2775
_MOST_TURNS = 400_000
_HISTORY = 4000


@dataclass(frozen=True)
class Result:
    """What became of a run. `failure` is "" or the invariant that was broken and how; `trace` a hash of it all."""

    seed: str
    failure: str
    trace: str
    virtual_s: float
    history: tuple[str, ...]
    texts: int
    replies: int
    crashes: int


class World:
    """One run. Everything in it comes from `seed`, and from the faults if these are given."""

    def __init__(self, seed: str, folder: Path, faults: tuple[Fault, ...] | None = None) -> None:
        self.seed = seed
        self.faults = plan(seed) if faults is None else faults
        self._random = random = Random(f"{seed}.world")
        self._hash = hashlib.sha256()
        self._history: deque[str] = deque(maxlen=_HISTORY)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        # a day longer than a ward tells a birth again; the least that the configuration takes is a year
        self.retention = Random(f"{seed}.retention").choice((None, None, timedelta(days=2)))
        self.clock = VirtualClock(_MONDAY + timedelta(days=random.randrange(7), hours=random.randrange(12)), ZONE)
        self.disk = Disk(self._stall)
        self.path = folder / "store.db"
        self.centre = Centre(self, seed)
        self.centre.on_text = self._reach_phone
        self.bodies = Bodies(self, seed)
        self.network = Network(seed, lambda: self.now_s, self.at, self.trace, self._accept)
        self.residents = {each.phone: each for each in self._make_residents(seed)}
        self.births: dict[str, Birth] = {}  # by birth_id: those that the daemon has taken, as they came first
        self._corrected: dict[str, Birth] = {}
        self.planned = 0  # how many births there will be
        self.checks = Checks(self)
        self._quiet = QuietHours(time(21), time(9), weekends=True) if random.random() < 0.5 else None
        self.links = random.choice((1, 1, 2))
        self._bind = random.choice(("transceiver", "transceiver", "receiver+transmitter"))
        self._window = random.choice((1, 3, 64))
        self._tps = random.choice((0, 1, 100))
        self._enquire_s = random.choice((120.0, 600.0, 1800.0))
        self._edited = 0
        self._calls: dict[int, Callable[[Any, Exception | None], None]] = {}  # not answered yet
        self._crash_countdown = 0
        self._machine_dies = False
        self._stopping = False
        self._calm = False
        self.crashes = 0
        self.loop: Loop | None = None
        self.daemon: Daemon | None = None
        self._life: Any = None

    def _make_residents(self, seed: str) -> list[Resident]:
        return [Resident(self, number, seed) for number in range(1, self._random.choice((2, 3, 5)) + 1)]

    # --- time ---------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.clock.passed_s

    def at(self, at_s: float, act: Callable[[], None]) -> None:
        """Let `act` happen at `at_s`."""
        self._count += 1
        heapq.heappush(self._queue, (max(at_s, self.now_s), self._count, act))

    def trace(self, line: str) -> None:
        line = f"{self.now_s:.4f} {line}"
        self._hash.update(line.encode())
        self._history.append(line)

    def _stall(self, for_s: float) -> None:
        self.trace(f"the disk takes {for_s} s")
        self.clock.passed_s += for_s

    def _accept(self, port: int) -> Any:
        if port >= FIRST_PORT:
            return self.bodies.accept(port)
        return self.centre.accept(port)

    # --- the daemon's lives -------------------------------------------------------------------------

    def _settings(self) -> Settings:
        quick = not self._calm
        links = tuple(
            LinkConfig(
                name=f"link{number}", host="10.0.0.2", port=_SMPP_PORT + number, system_id="smsflow",
                password="secret", bind=self._bind, window=self._window, tps=self._tps,
                enquire_link_s=self._enquire_s if quick else _DAY_S,
            )
            for number in range(self.links)
        )  # fmt: skip
        gateways = {
            kind: GatewayConfig(f"http://10.0.0.3:{FIRST_PORT + number}/{kind}", "token", 10.0)
            for number, kind in enumerate(KINDS)
        }
        folder = dialogs.folder(self._edited)
        return Settings(
            file=Path("simulated"), store_path=self.path, dialogs=folder, number=NUMBER, zone=ZONE,
            quiet=self._quiet, links=links, gateways=gateways, retention=self.retention,
        )  # fmt: skip

    def _start(self) -> None:
        self.trace("the daemon starts")
        self._stopping = False
        self.disk.dead = False
        self.loop = loop = Loop(self.clock, self._idle_s, self.checks.on_error)
        loop.network = self.network
        self.daemon = Daemon(self._settings(), self.clock, jitter=self._random.random)
        self._life = loop.create_task(self._live(self.daemon))

    async def _live(self, daemon: Daemon) -> None:
        try:
            await daemon.start()
        except StoreError as error:
            self.trace(f"the daemon cannot start: {error}")
            self._die_soon()

    @property
    def is_up(self) -> bool:
        """Whether the daemon takes calls."""
        return self._life is not None and self._life.done() and not self._stopping and self.loop is not None

    def crash_after(self, turns: int, *, machine: bool) -> None:
        """Kill the process `turns` callbacks from now; `machine`: so that nobody is told of its end."""
        self._crash_countdown = turns + 1
        self._machine_dies = machine

    def _die_soon(self) -> None:
        self.crash_after(0, machine=False)

    def _crash(self) -> None:
        """The process is gone, with all that it has not committed."""
        self.trace("the daemon dies")
        self.crashes += 1
        self._bury()
        self.at(self.now_s + self._random.choice((0.1, 5.0, 90.0, 1500.0)), self._start)

    def _bury(self) -> None:
        self._crash_countdown = 0
        self.disk.crash_at = 0
        daemon, loop = self.daemon, self.loop
        self.daemon = self.loop = self._life = None
        if daemon is None or loop is None:
            return
        loop.dead = True
        self.disk.dead = True
        self.network.abandon(silently=self._machine_dies)
        self._machine_dies = False
        loop.bury()
        for part in (getattr(daemon, "store", None), getattr(daemon, "queries", None)):
            if part is not None:
                part._connection.close()
                if hasattr(part, "_lock"):
                    part._lock.close()
        calls, self._calls = self._calls, {}
        for done in calls.values():
            done(None, ConnectionResetError())

    def restart(self) -> None:
        """SIGTERM, and a new start."""
        if self.is_up and self.loop is not None and self.daemon is not None:
            self._stopping = True
            self.loop.call_soon(lambda: self.loop and self.loop.create_task(self._stop()))

    async def _stop(self) -> None:
        assert self.daemon is not None
        await self.daemon.stop()
        self.trace("the daemon has stopped")
        self._die_soon()

    def edit_dialogs(self) -> None:
        """An admin edits the folder; the daemon is started again."""
        self._edited += 1
        self.restart()

    def hasten(self) -> None:
        """What is due may have changed: the daemon looks as soon as it would."""
        if self.loop is not None:
            self.loop.hasten()

    def free_disk(self) -> None:
        self.disk.full = ""

    # --- calls of the daemon's API ------------------------------------------------------------------

    def _call(self, job: Callable[[Daemon], Any], done: Callable[[Any, Exception | None], None]) -> None:
        """What the HTTP API does with a call: the same job to the same writer. `done` is the response.

        When the process dies before it has answered, nobody knows whether it was done.
        """
        daemon, loop = self.daemon, self.loop
        if not self.is_up or daemon is None or loop is None:
            done(None, ConnectionRefusedError())
            return

        self._count += 1
        number = self._count
        self._calls[number] = done

        def answered(result: Any, error: Exception | None) -> None:
            del self._calls[number]
            done(result, error)

        loop.call_soon(daemon.writer.submit, lambda: job(daemon), answered)

    def _tell_birth(self, birth: Birth) -> None:
        birth = self._corrected.get(birth.birth_id, birth)

        def done(case: int | None, error: Exception | None) -> None:
            if error is None:
                self.trace(f"birth {birth.birth_id} is case {case}")
                self.births.setdefault(birth.birth_id, birth)
                self.checks.on_birth(birth.birth_id)
            elif isinstance(error, Refused) and error.reason == "too_old" and self.retention is not None:
                self.trace(f"birth {birth.birth_id} is too old")
                if birth.birth_id not in self.births:
                    self.planned -= 1  # the clock has stepped
                elif not self.checks.was_forgotten(birth.birth_id):
                    self.checks.on_refusal(error)
            else:
                self.checks.on_refusal(error)
                self.at(self.now_s + 20.0, lambda: self._tell_birth(birth))

        self._call(lambda daemon: daemon.births.record_birth(birth, self.clock.now()), done)

    def tell_event(self, decision: Decision) -> None:
        """A body says what became of an application."""

        def done(outcome: Any, error: Exception | None) -> None:
            if isinstance(error, Refused) and self.checks.was_case_forgotten(decision.case):
                decision.taken = True
            elif error is not None:
                self.checks.on_refusal(error)
            else:
                self.trace(f"body said {decision.id}: {outcome.value}")
                decision.taken = True

        self._call(
            lambda daemon: daemon.engine.take_body_event(
                decision.case, decision.id, decision.name, decision.data, self.clock.now()
            ),
            done,
        )

    def _people_act(self) -> None:
        """A number changes hands, a person looks at what is suspended, a ward corrects a record."""
        random = Random(f"{self.seed}.people")
        for resident in self.residents.values():
            at_s = random.choice((600.0, 6 * _HOUR_S, 30 * _HOUR_S)) * random.random()
            what = random.random()
            if what < 0.12:
                for ask_s in (0.0, 0.02, 0.04):  # so that something is on its way
                    self.at(at_s - ask_s, lambda phone=resident.phone: self.centre.write(phone, "R ?"))
                self.at(at_s + 0.05, lambda each=resident: self._give_number_away(each))
                action, again_s = random.choice(("resume", "resume", "end")), random.choice((5.0, 3000.0, _DAY_S))
                self.at(at_s + again_s, lambda phone=resident.phone, act=action: self._operate(phone, act))
            elif what < 0.18:
                self.at(at_s, lambda each=resident: self._correct(each))
            elif what < 0.22:
                self.at(at_s, lambda phone=resident.phone: self._operate(phone, "end"))

    def _give_number_away(self, resident: Resident) -> None:
        """The base of mobile citizens says that the number is another's, who has not said STOP."""

        def done(_: Any, error: Exception | None) -> None:
            if error is None:
                self.trace(f"{resident.phone} is another's")
                self.checks.on_new_owner(resident.phone)
            else:
                self.checks.on_refusal(error)
                self.at(self.now_s + 20.0, lambda: self._give_number_away(resident))

        now = self.clock.now()
        owner = f"96010120{resident.number:04}"
        self._call(lambda daemon: daemon.births.bind_citizen(owner, resident.phone, now, now), done)

    def _operate(self, phone: str, action: str) -> None:
        """A person resumes, or ends, every case of a phone; and looks again the next day."""

        def job(daemon: Daemon) -> None:
            for conversation in daemon.store.conversations.load_phone(phone):
                daemon.engine.operate(conversation.case, action, self.clock.now())

        def done(_: Any, error: Exception | None) -> None:
            self.trace(f"a person says {action} for {phone}: {error!r}")
            if error is not None:
                self.checks.on_refusal(error)
            self.at(self.now_s + 20 * _HOUR_S, lambda: self._operate(phone, action))

        self._call(job, done)

    def _correct(self, resident: Resident) -> None:
        """The ward was wrong: the child does not live."""
        for birth in [each for each in self.births.values() if each.msisdn == resident.phone and each.alive]:
            self._corrected[birth.birth_id] = replace(birth, alive=False)
            self._tell_birth(birth)

    def _reach_phone(self, phone: str, text: str) -> None:
        resident = self.residents[phone]
        self.trace(f"{phone} reads {text!r}")
        resident.hear(text)

    # --- the run ------------------------------------------------------------------------------------

    def _idle_s(self) -> float:
        """How long looking whether something is due will find nothing: the loop need not look."""
        soonest_s = 0.5
        if self.disk.full or self.daemon is None or self.loop is None or self.daemon.writer.failing is not None:
            return soonest_s
        now = self.clock.now()
        timer, is_under_way, soonest = self.checks.find_due(now)
        opens_at = self.daemon.engine.opens_at(now)
        self.checks.note_overdue(timer if opens_at <= now else None)
        times = [_DAY_S]
        if soonest is not None:
            times.append((soonest - now).total_seconds())
        if timer is not None:
            times.append((opens_at - now).total_seconds())
        if is_under_way:
            times.append(2.0)
        return max(soonest_s, min(times))

    def _plan_births(self) -> None:
        random = Random(f"{self.seed}.births")
        for resident in self.residents.values():
            if random.random() < 0.25:
                at_s = random.choice((600.0, 6 * _HOUR_S, 48 * _HOUR_S)) * random.random()
                for text in random.choice((("STOP",), ("кто это?", "не надо", "STOP"), ("R ?", "СТОП", "STOP"))):
                    self.at(at_s, lambda phone=resident.phone, text=text: self.centre.write(phone, text))
                    at_s += random.choice((0.02, 0.3, 5.0))
            for child in range(random.choice((1, 1, 1, 2))):
                birth = Birth(
                    birth_id=f"b-{resident.number}-{child}", mother_iin=resident.iin, msisdn=resident.phone,
                    born_at=self.clock.now().isoformat(), sex="female", alive=random.random() > 0.06,
                    birth_order=child + 1, account=random.choice(("", resident.account)),
                    address_kato=random.choice(("", "751110000", "751110000")),
                )  # fmt: skip
                self.planned += 1
                at_s = random.choice((1.0, 60.0, 1800.0, 5 * _HOUR_S)) * random.random()
                self.at(at_s, lambda birth=birth: self._tell_birth(birth))
                if random.random() < 0.2:  # the ward tells it again
                    self.at(at_s + random.choice((0.0, 30.0, _DAY_S)), lambda birth=birth: self._tell_birth(birth))

    def run(self) -> Result:
        """Live through it all; the first invariant that is broken ends the run."""
        self._start()
        self._plan_births()
        self._people_act()
        for fault in self.faults:
            self.at(fault.at_s, lambda fault=fault: self._strike(fault))
        failure = ""
        try:
            self._run_until(max(_HOUR_S, *(each.at_s for each in self.faults), 0.0) + _HOUR_S, lambda: False)
            self._calm_down()
            self._run_until(_END_S, self.checks.is_all_over)
            self._run_until(self.now_s + 2 * _HOUR_S, lambda: False)
            self.checks.at_end()
            if self.retention is not None:
                self._run_until(self.now_s + self.retention.total_seconds() + 2 * _DAY_S, lambda: False)
                self.checks.at_end_of_retention()
        except Violation as violation:
            failure = str(violation)
            self.trace(f"VIOLATION {failure}")
        finally:
            self._bury()
            self.checks.close()
        return Result(
            self.seed, failure, self._hash.hexdigest(), self.now_s, tuple(self._history),
            texts=len(self.centre.accepted), replies=len(self.centre.written), crashes=self.crashes,
        )  # fmt: skip

    def _strike(self, fault: Fault) -> None:
        self.trace(f"FAULT {fault}")
        strike(self, fault)

    def _calm_down(self) -> None:
        """No fault from here on: the daemon is started once more, and some mothers fall silent."""
        self.trace("the faults are over")
        self._calm = True
        self.disk.full, self.disk.crash_at, self.disk.stall_s, self.disk.refusals = "", 0, 0.0, 0
        self._crash_countdown = 0
        self.bodies.next.clear()
        self.centre.forgive()
        for resident in self.residents.values():
            resident.silent = self._random.random() < 0.5
        self.restart()

    def _run_until(self, end_s: float, is_over: Callable[[], bool]) -> None:
        turns = 0
        while True:
            loop = self.loop
            if loop is not None and loop.ready:
                self._turn(loop)
                turns += 1
                if turns > _MOST_TURNS:
                    self.checks.fail("alive", f"{_MOST_TURNS} callbacks, and no end")
                continue
            timer_s = loop.next_timer() if loop is not None else float("inf")
            event_s = self._queue[0][0] if self._queue else float("inf")
            at_s = min(timer_s, event_s)
            if at_s > end_s or is_over():
                self.clock.passed_s = max(self.now_s, min(at_s, end_s))
                return
            self.clock.passed_s = max(self.now_s, at_s)
            if loop is not None and timer_s <= self.now_s:
                loop.fire_timers()
            if event_s <= self.now_s:
                heapq.heappop(self._queue)[2]()
                self.checks.after_step()

    def _turn(self, loop: Loop) -> None:
        try:
            loop.turn()
        except Crash:
            self._crash()
            return
        loop.check_tasks()
        self.checks.after_step()
        if self._crash_countdown:
            self._crash_countdown -= 1
            if not self._crash_countdown:
                self._crash()
