"""A centre that delivers as fast as it can, never waiting: memory is bounded, and what is acknowledged is kept.

`pytest tests/test_flood.py --flood 60 -s` measures it for a minute, with commits of a second.
"""

import asyncio
import itertools
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from peers.raw import BINDS, DELIVER_SM, ENQUIRE_LINK, RESP, SUBMIT_SM, UNBIND, frame, sm
from process import Daemon, a_free_port, seams, write_config

TIMEOUT_S = 30
PHONES = 500
MIB = 1024  # in KiB
GROWTH_MIB = 12  # of the daemon, whatever comes


@dataclass
class Flood:
    """A centre by hand with any window. `statuses` are what each deliver_sm was answered with."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    statuses: dict[int, int] = field(default_factory=dict)
    sent: int = 0
    unbound: bool = False
    bound: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Answer requests, note responses, until the end."""
        try:
            while True:
                header = await self.reader.readexactly(16)
                length, command, status, sequence = (int.from_bytes(header[at : at + 4]) for at in (0, 4, 8, 12))
                await self.reader.readexactly(length - 16)
                if command == DELIVER_SM | RESP:
                    assert sequence not in self.statuses, "answered twice"
                    self.statuses[sequence] = status
                    self.answered.set()
                elif command in (*BINDS, SUBMIT_SM, ENQUIRE_LINK, UNBIND):
                    self.unbound = self.unbound or command == UNBIND
                    body = b"" if command in (ENQUIRE_LINK, UNBIND) else b"m%d\0" % sequence
                    self.writer.write(frame(command | RESP, sequence, body))
                    self.bound.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def frames(self, count: int) -> bytes:
        """So many deliver_sm, each with a text of its own."""
        first, self.sent = self.sent + 1, self.sent + count
        return b"".join(
            frame(DELIVER_SM, number, sm(f"R 9 {number}".encode(), source=b"7701%07d" % (number % PHONES)))
            for number in range(first, first + count)
        )

    async def pour(self) -> None:
        """Deliver without end, as fast as TCP takes it."""
        try:
            while True:
                self.writer.write(self.frames(200))
                await self.writer.drain()
        except ConnectionError:
            pass

    @property
    def kept(self) -> set[int]:
        """What the daemon said to have kept."""
        return {number for number, status in self.statuses.items() if status == 0}


@asynccontextmanager
async def a_flood(folder: Path, *, commit_s: float) -> AsyncIterator[tuple[Daemon, Flood]]:
    """A daemon whose commits take so long, bound to a centre that can pour."""
    arrived: asyncio.Queue[Flood] = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: arrived.put_nowait(Flood(*streams)), "127.0.0.1", 0)
    api_port = a_free_port()
    config = write_config(folder, server.sockets[0].getsockname()[1], api_port)
    daemon = Daemon(config, api_port, seams(commit_s=commit_s))
    await daemon.start()
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            flood = await arrived.get()
            reading = asyncio.create_task(flood.read())
            await flood.bound.wait()
        yield daemon, flood
    finally:
        await daemon.end()
        if reading:
            await reading
        server.close()


def check_kept(daemon: Daemon, flood: Flood) -> int:
    """Everything that was acknowledged is in the store, once; how much."""
    with closing(sqlite3.connect(daemon.store)) as store:
        stored = [int(text.split()[2]) for (text,) in store.execute("SELECT text FROM inbound")]
    assert len(set(stored)) == len(stored)
    assert flood.kept
    assert flood.kept <= set(stored)
    return len(stored)


def test_memory_is_bounded_while_the_store_is_slow(tmp_path: Path, request) -> None:
    """As much after a long flood as after its first half; killed in its middle, what was acknowledged is kept."""
    flood_s = request.config.getoption("--flood")
    commit_s = 1.0 if flood_s >= 60 else 0.2

    async def play() -> None:
        async with a_flood(tmp_path, commit_s=commit_s) as (daemon, flood):
            idle = daemon.rss_kib()
            pouring = asyncio.create_task(flood.pour())
            await asyncio.sleep(flood_s / 2)  # until what is remembered on purpose has filled up
            early = daemon.rss_kib()
            await asyncio.sleep(flood_s / 2)
            late = daemon.rss_kib()
            answered = len(flood.statuses)
            await daemon.end()
            await pouring
            stored = check_kept(daemon, flood)
            print(
                f"\n{flood_s} s, commits of {commit_s} s: {idle // MIB} MiB idle, {early // MIB} after a half,"
                f" {late // MIB} at the end; {flood.sent} written, {answered} answered, {stored} stored"
            )
            assert late - early < GROWTH_MIB * MIB

    asyncio.run(play())


def test_burst_of_two_thousand_is_taken_in_little_memory(tmp_path: Path) -> None:
    """In one write; all are kept and answered."""

    async def play() -> None:
        async with a_flood(tmp_path, commit_s=0.2) as (daemon, flood), asyncio.timeout(TIMEOUT_S):
            before = daemon.rss_kib()
            flood.writer.write(flood.frames(2_000))
            most = before
            for pause_s in itertools.repeat(0.02):
                most = max(most, daemon.rss_kib())
                if len(flood.kept) == flood.sent:
                    break
                await asyncio.sleep(pause_s)
            print(f"\n{before // MIB} MiB before, {most // MIB} MiB at most")
            assert most - before < GROWTH_MIB * MIB
            assert check_kept(daemon, flood) == 2_000

    asyncio.run(play())


def test_sigterm_in_the_middle_of_a_flood_ends_in_peace(tmp_path: Path) -> None:
    """Unbound, exit code 0 within 10 s, the log folded in; what was acknowledged is kept, and nothing else."""

    async def play() -> None:
        async with a_flood(tmp_path, commit_s=0.1) as (daemon, flood), asyncio.timeout(TIMEOUT_S):
            pouring = asyncio.create_task(flood.pour())
            while len(flood.statuses) < 3_000:
                flood.answered.clear()
                await flood.answered.wait()
            began = time.monotonic()
            assert await daemon.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 10
            await pouring
            assert flood.unbound
            assert not daemon.store.with_name("store.db-wal").exists()
            stored = check_kept(daemon, flood)
            print(f"\n{flood.sent} written, {len(flood.kept)} acknowledged, {stored} stored")
            assert "Traceback" not in daemon.log.read_text()

    asyncio.run(play())
