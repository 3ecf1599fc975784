"""Who can be measured: smsflow itself, a plain script, and Kannel with a small HTTP application.

Each is one or more processes that bind to the load's message centre and greet every mother; its files lie in a
folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2

from smsflow.bench.centre import phone_of
from smsflow.bench.fill import fill_store
from smsflow.bench.rehearsal import KATO, Part
from smsflow.core.identity import IdentityError, parse_iin
from smsflow.library import shipped_dialogs

__all__ = ["BenchFailed", "Missing", "Player", "Scene", "birth_of", "start_daemon", "start_kannel", "start_naive"]

_NUMBER = "1414"
_TOKEN = "bench"  # noqa: S105 - the daemon listens on the loopback only, for some seconds
_PATIENCE_S = 30.0
_STOP_S = 15.0
_BIRTHS_AT_ONCE = 500
_SBIN = ":/usr/sbin:/usr/local/sbin"  # where Debian has Kannel


class BenchFailed(Exception):
    """It did not run to its end; the sentence says why, and where to look."""


class Missing(Exception):
    """What is to be compared with is not installed here; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What every player is given: a folder, the port of the message centre, the mothers and their parts."""

    folder: Path
    port: int
    mothers: int
    window: int
    parts: tuple[Part, ...]
    born_at: datetime
    cases: int
    tell: Callable[[str], None]
    tps: int = 0


@dataclass(slots=True)
class Player:
    """What runs: the process (or processes) whose time and memory count, and what it says of itself."""

    name: str
    processes: list[subprocess.Popen[bytes]]
    log: Path
    count: Callable[[], dict[str, float]] = field(default=dict)
    """Counters of its own: `commits` and `answered` where it has them."""
    open_api: Callable[[], httpx2.Client] | None = None
    """A connection of its own to the daemon's HTTP; None where there is no daemon."""

    def check(self) -> None:
        """Raises: BenchFailed when a process has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise BenchFailed(
                    f"{self.name} has ended with exit code {process.returncode}; it says in {self.log}"
                )


# --- smsflow ----------------------------------------------------------------------------------------------


@contextmanager
def start_daemon(scene: Scene) -> Iterator[Player]:
    """`smsflow run` with a configuration of its own; all births are brought in over HTTP.

    `scene.cases` are in its store before.
    """
    api = _free_port()
    config = scene.folder / "smsflow.yaml"
    config.write_text(_config(scene, api), encoding="utf-8")
    if scene.cases:
        fill_store(scene.folder / "smsflow.db", scene.cases, scene.parts[0], scene.born_at, scene.tell)
    log = scene.folder / "smsflow.log"
    with (
        ExitStack() as stack,
        _open_api(api) as http,
    ):
        process = stack.enter_context(_process([sys.executable, "-m", "smsflow", "run", "--config", config], log))
        count, open_api = partial(_read_counters, http), partial(_open_api, api)
        player = Player("smsflow", [process], log, count, open_api)
        _wait(lambda: _is_healthy(http), player)
        _bring_births(scene, http)
        yield player


def _open_api(port: int) -> httpx2.Client:
    return httpx2.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {_TOKEN}"},
        timeout=60,
        trust_env=False,
    )


def _config(scene: Scene, api: int) -> str:
    """A configuration that holds nothing back but what `tps` does: no quiet hours, room for every part."""
    link = {
        "name": "main", "host": "127.0.0.1", "port": scene.port, "system_id": "bench", "password": "bench",
        "tps": scene.tps, "window": max(64, 2 * scene.window),
    }  # fmt: skip
    return json.dumps(
        {
            "store": "sqlite:///smsflow.db",
            "dialogs": str(shipped_dialogs()),
            "number": _NUMBER,
            "zone": "Asia/Almaty",
            "quiet": "none",
            "links": [link],
            "api": {
                "listen": f"127.0.0.1:{api}",
                "clients": [{"name": "bench", "token": _TOKEN, "may": ["births", "read"]}],
            },
        }
    )


def _is_healthy(http: httpx2.Client) -> bool:
    try:
        return http.get("/v1/health").status_code == 200
    except httpx2.TransportError:
        return False


def _bring_births(scene: Scene, http: httpx2.Client) -> None:
    for first in range(0, scene.mothers, _BIRTHS_AT_ONCE):
        some = range(first, min(first + _BIRTHS_AT_ONCE, scene.mothers))
        births = [birth_of(f"bench-{mother}", mother, phone_of(mother), scene.born_at) for mother in some]
        answer = http.post("/v1/births", json=births)
        if answer.status_code != 202 or answer.json()["rejected"]:
            raise BenchFailed(f"the daemon did not take the births: {answer.text[:300]}")
        scene.tell(f"births {some.stop}/{scene.mothers}")


def birth_of(birth_id: str, mother: int, msisdn: str, born_at: datetime) -> dict[str, Any]:
    """A birth as wards hand it in, of the mother with that number."""
    return {
        "birth_id": birth_id,
        "mother_iin": _iin(mother),
        "msisdn": msisdn,
        "born_at": born_at.isoformat(),
        "sex": "female",
        "alive": True,
        "birth_order": 1,
        "address_kato": KATO,
    }


def _iin(mother: int) -> str:
    """An IIN of nobody (born in 2099), with its check digit; eight digits of `mother` are in it."""
    day, serial = divmod(mother, 10_000)
    stem = f"99{day // 28 % 12 + 1:02}{day % 28 + 1:02}6{serial:04}"
    for digit in "0123456789":
        try:
            return parse_iin(stem + digit)
        except IdentityError:
            continue
    return _iin(mother + 5_000_000)  # such a number is never issued


def _read_counters(http: httpx2.Client) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in http.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == "smsflow_commits_total":
            found["commits"] = float(value)
        elif name == 'smsflow_replies_total{outcome="answered"}':
            found["answered"] = float(value)
    return found


# --- those to compare with --------------------------------------------------------------------------------


@contextmanager
def start_naive(scene: Scene) -> Iterator[Player]:
    """The plain script `naive`, beside this file."""
    plan = _write_plan(scene)
    log = scene.folder / "naive.log"
    with _process([sys.executable, Path(__file__).with_name("naive"), plan], log) as process:
        yield Player("naive", [process], log)


@contextmanager
def start_kannel(scene: Scene) -> Iterator[Player]:
    """Kannel's bearerbox and smsbox, and the application behind them. Raises: Missing."""
    found = {name: shutil.which(name, path=os.environ.get("PATH", "") + _SBIN) for name in ("bearerbox", "smsbox")}
    if None in found.values():
        raise Missing("Kannel is not installed here (on Debian: apt-get install kannel)")
    ports = {"app": _free_port(), "sendsms": _free_port(), "admin": _free_port(), "box": _free_port()}
    config = scene.folder / "kannel.conf"
    window = max(10, scene.window)
    config.write_text(_KANNEL.format(port=scene.port, window=window, number=_NUMBER, **ports), encoding="utf-8")
    plan = _write_plan(scene, **ports)
    log = scene.folder / "kannel.log"
    player = Player("kannel", [], log)
    with ExitStack() as stack:
        for name, port in (("bearerbox", "box"), ("smsbox", "sendsms")):
            command = [found[name], "-v", "4", config]
            player.processes.append(stack.enter_context(_process(command, scene.folder / f"{name}.log")))
            _wait(lambda port=ports[port]: _listens(port), player)  # type: ignore[misc]
        app = [sys.executable, "-m", "smsflow.bench.kannel_app", plan]
        player.processes.append(stack.enter_context(_process(app, log)))
        yield player


_KANNEL = """
group = core
admin-port = {admin}
admin-password = bench
smsbox-port = {box}
log-level = 4
box-allow-ip = 127.0.0.1
dlr-storage = internal
sms-incoming-queue-limit = 100000
sms-outgoing-queue-limit = 100000

group = smsc
smsc = smpp
smsc-id = bench
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = bench
smsc-password = bench
system-type = ""
max-pending-submits = {window}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
max-pending-requests = 4096
log-level = 4
global-sender = {number}

group = sendsms-user
username = bench
password = bench
max-messages = 3
concatenation = true

group = sms-service
keyword = default
get-url = "http://127.0.0.1:{app}/?from=%p&text=%a"
accept-x-kannel-headers = true
max-messages = 3
concatenation = true
"""


def _write_plan(scene: Scene, **more: int) -> Path:
    plan = scene.folder / "plan.json"
    facts = {
        "port": scene.port,
        "store": str(scene.folder / "store.db"),
        "number": _NUMBER,
        "mothers": scene.mothers,
        "parts": [asdict(part) for part in scene.parts],
    }
    plan.write_text(json.dumps(facts | more), encoding="utf-8")
    return plan


# --- processes --------------------------------------------------------------------------------------------


@contextmanager
def _process(command: list[Any], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose words go to `log`; asked to end afterwards, and killed when it does not."""
    with log.open("wb") as words:
        process = subprocess.Popen([str(word) for word in command], stdout=words, stderr=words)  # noqa: S603 - ours
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(holds: Callable[[], bool], player: Player) -> None:
    until = monotonic() + _PATIENCE_S
    while not holds():
        player.check()
        if monotonic() > until:
            raise BenchFailed(f"{player.name} was not ready within {_PATIENCE_S:.0f} s; it says in {player.log}")
        sleep(0.05)
