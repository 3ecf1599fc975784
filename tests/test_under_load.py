"""Under load over SMPP: what was acknowledged is in the backup that is taken, and in the store after SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from test_service import Stage, a_birth, a_stage, until
from world import NOON, ZONE

from smsflow.smpp.statuses import Status
from smsflow.store.restore import restore_store
from smsflow.store.verify import find_flaws

WRITERS = 32
LOAD_S = 5.0
TIMEOUT_S = 90


@dataclass
class Load:
    """Mothers who write without end: what was acknowledged, and when."""

    stage: Stage
    acknowledged: dict[str, datetime] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def begin(self) -> None:
        async with self.stage.http("ward") as http:
            await http.post("/v1/births", json=[a_birth(number) for number in range(WRITERS)])
        await until(self.stage, WRITERS)
        self.tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]

    async def _write(self, number: int) -> None:
        phone, count = f"7701000{number:04}", 0
        await self.stage.smsc.send(phone, "R 1 1 2")
        while True:
            count += 1
            text = f"письмо {number} {count}"
            if await self.stage.smsc.send(phone, text) == Status.ROK:
                self.acknowledged[text] = datetime.now(UTC)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def texts_in(store: Path) -> set[str]:
    with closing(sqlite3.connect(store)) as connection:
        return {text for (text,) in connection.execute("SELECT text FROM inbound")}


def test_backup_under_load_restores_everything_that_was_acknowledged(tmp_path: Path) -> None:
    """Taken by the command, while replies come as fast as they are answered."""
    asyncio.run(back_up_under_load(tmp_path))


async def back_up_under_load(folder: Path) -> None:
    copy = folder / "copy.db"
    async with a_stage(folder) as stage, asyncio.timeout(TIMEOUT_S):
        load = Load(stage)
        await load.begin()
        await asyncio.sleep(LOAD_S / 2)
        backup = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "backup", str(copy), "--json",
            "--config", str(folder / "smsflow.yaml"), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told, _ = await backup.communicate()
        await asyncio.sleep(LOAD_S / 2)
        await load.end()
    assert backup.returncode == 0
    taken_at = datetime.fromisoformat(json.loads(told)["taken_at"])

    (folder / "new").mkdir()
    restored = folder / "new" / "store.db"
    restore_store(restored, copy, lambda *_: None, at=NOON)
    before = {text for text, at in load.acknowledged.items() if at < taken_at}
    assert len(before) > WRITERS
    assert len(load.acknowledged) > len(before)
    assert before <= texts_in(restored)
    assert [str(flaw) for flaw in find_flaws(restored, ZONE, lambda *_: None)] == []


def test_sigterm_under_load_leaves_one_whole_file(tmp_path: Path) -> None:
    """What was acknowledged is in it, nothing is half sent, and no log lies beside it."""
    asyncio.run(stop_under_load(tmp_path))


def beside_the_store(folder: Path) -> dict[str, int]:
    """The files of the store, and how long they are."""
    return {file.name: file.stat().st_size for file in folder.glob("store.db*")}


async def stop_under_load(folder: Path) -> None:
    async with a_stage(folder) as stage, asyncio.timeout(TIMEOUT_S):
        load = Load(stage)
        await load.begin()
        await asyncio.sleep(LOAD_S / 2)
        assert beside_the_store(folder)["store.db-wal"] > 0
        assert stage.process is not None
        stage.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(stage.process.wait(), 10) == 0
        await load.end()
    events = [json.loads(line)["event"] for line in stage.log.read_text().splitlines()]

    assert events[-1] == "daemon.stopped"
    assert events.index("daemon.stopping") < events.index("smpp.unbound")
    assert set(beside_the_store(folder)) == {"store.db", "store.db.lock"}
    assert len(load.acknowledged) > WRITERS
    assert set(load.acknowledged) <= texts_in(folder / "store.db")
    assert [str(flaw) for flaw in find_flaws(folder / "store.db", ZONE, lambda *_: None)] == []
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM outbox WHERE status = 'sending'").fetchone() == (0,)
