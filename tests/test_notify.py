"""systemd is told the truth: over a real socket, by the real process."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from by_hand import Centre
from process import Daemon, a_free_port, seams, write_config

from smsflow.notify import Notifier

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TIMEOUT_S = 30
WATCHDOG_S = 0.8


@dataclass
class Systemd:
    """What was told, and when."""

    told: list[tuple[float, str]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, message: str) -> None:
        """Wait until a message begins so."""
        while not any(each.startswith(message) for _, each in self.told):
            self.moved.clear()
            await self.moved.wait()

    async def until_fed(self, since: float) -> None:
        while not self.fed(since):
            self.moved.clear()
            await self.moved.wait()

    def fed(self, since: float) -> list[float]:
        """When the watchdog was fed since then."""
        return [at for at, message in self.told if message == "WATCHDOG=1" and at >= since]


@asynccontextmanager
async def a_service(folder: Path, *, commit_s: float = 0.0) -> AsyncIterator[tuple[Daemon, Centre, Systemd]]:
    """A daemon as systemd starts it, with a watchdog."""
    systemd = Systemd()

    def take() -> None:
        systemd.told.append((time.monotonic(), datagrams.recv(4096).decode()))
        systemd.moved.set()

    centre = Centre(Random(1), lambda *_: None)
    api_port = a_free_port()
    config = write_config(folder, await centre.start(), api_port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)
        datagrams.bind(str(folder / "notify"))
        asyncio.get_running_loop().add_reader(datagrams, take)
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
        daemon = Daemon(config, api_port, seams(commit_s=commit_s), environment)
        await daemon.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await systemd.until("READY=1")
                yield daemon, centre, systemd
        finally:
            await daemon.end()
            asyncio.get_running_loop().remove_reader(datagrams)
            centre.stop()


def test_systemd_hears_when_it_is_ready_what_it_does_and_that_it_ends(tmp_path: Path) -> None:
    """READY=1 when HTTP answers, a line of status, STOPPING=1 at once at SIGTERM."""

    async def play() -> None:
        async with a_service(tmp_path) as (daemon, _, systemd):
            assert (await daemon.health())[0] in (200, 503)
            await systemd.until("STATUS=1 of 1 binds up; no text waits long; store: ok")
            assert await daemon.end(signal.SIGTERM) == 0
            await systemd.until("STOPPING=1")
            assert [message for _, message in systemd.told].count("READY=1") == 1

    asyncio.run(play())


def test_watchdog_is_fed_in_time_and_not_by_a_process_that_is_stopped(tmp_path: Path) -> None:
    """Every half of its time, a little more at most; not while the process stands still; then again."""

    async def play() -> None:
        async with a_service(tmp_path) as (daemon, _, systemd):
            began = time.monotonic()
            await asyncio.sleep(4 * WATCHDOG_S)
            fed = systemd.fed(began)
            gaps = [later - sooner for sooner, later in pairwise(fed)]
            assert WATCHDOG_S * 0.45 < min(gaps) <= max(gaps) < WATCHDOG_S
            daemon.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)  # what was on its way has come
            stopped = time.monotonic()
            await asyncio.sleep(2 * WATCHDOG_S)
            assert systemd.fed(stopped) == []
            daemon.send_signal(signal.SIGCONT)
            await systemd.until_fed(time.monotonic())

    asyncio.run(play())


def test_watchdog_is_not_fed_by_a_loop_that_is_stuck(tmp_path: Path) -> None:
    """A commit that does not come back."""

    async def play() -> None:
        async with a_service(tmp_path, commit_s=600) as (_, centre, systemd):
            await systemd.until_fed(time.monotonic())
            await centre.until(lambda: centre.wire is not None)
            centre.reply("77011234567", "R 1 1 2")
            await asyncio.sleep(0.3)
            stuck = time.monotonic()
            await asyncio.sleep(2 * WATCHDOG_S)
            assert systemd.fed(stuck) == []

    asyncio.run(play())


def test_watchdog_is_fed_while_the_store_says_why_it_fails(tmp_path: Path) -> None:
    """A restart makes no room on a disk; the status tells a person what to do."""

    async def play() -> None:
        async with a_service(tmp_path) as (daemon, centre, systemd):
            await centre.until(lambda: centre.wire is not None)
            daemon.limit_files(1)
            reply = centre.reply("77011234567", "R 1 1 2")
            await centre.until(lambda: bool(reply.tries[-1][1]))
            await systemd.until("STATUS=1 of 1 binds up; no text waits long; store: the store did not take it")
            await systemd.until_fed(time.monotonic())

    asyncio.run(play())


# --- the module alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_both_kinds_of_sockets_are_known(tmp_path: Path, abstract) -> None:
    """A path, or a name that begins with `@`."""
    name = f"@smsflow-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(name.replace("@", "\0") if abstract else name)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready()
        for _ in range(2):
            notifier.status("so\nREADY=1")

        assert [datagrams.recv(99) for _ in range(2)] == [b"READY=1", b"STATUS=so READY=1"]
        datagrams.setblocking(False)
        with pytest.raises(BlockingIOError):
            datagrams.recv(99)


def test_systemd_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    """A socket that is full or gone, or none at all."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "full"))
        for name in ("", str(tmp_path / "gone"), str(tmp_path / "full")):
            notifier = Notifier({"NOTIFY_SOCKET": name})
            for _ in range(10_000):
                notifier.alive()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_ours_or_nobodys(environment, expected) -> None:
    """sd_watchdog_enabled(3)."""
    assert Notifier({"NOTIFY_SOCKET": "/nowhere"} | environment).watchdog_s == expected


def test_unit_starts_the_command_and_lets_it_write_where_the_readme_says() -> None:
    """config/smsflow.service: what it says is what there is."""
    unit = (ROOT / "config" / "smsflow.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    words = settings["ExecStart"].split()

    assert (words[0].rsplit("/", 1)[-1], words[1:3]) == ("smsflow", ["run", "--config"])
    assert (settings["Type"], settings["Restart"], settings["StateDirectory"]) == ("notify", "always", "smsflow")
    assert f"/var/lib/{settings['StateDirectory']}" in README
