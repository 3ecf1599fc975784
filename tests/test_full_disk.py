"""A disk that fills up under a running daemon: nothing is lost, everybody is told, and it goes on by itself."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from disks import small_disk
from test_service import a_birth, a_stage, until, until_healthy
from world import ZONE

from smsflow.smpp.statuses import Status
from smsflow.store.queries import open_queries
from smsflow.store.verify import find_flaws

MOTHERS = 10
TIMEOUT_S = 60


def test_full_disk_refuses_for_now_and_recovers_by_itself(tmp_path: Path) -> None:
    """Replies come again; health says why; when there is room again all goes on, without a restart."""
    with small_disk(tmp_path / "disk", 24) as disk:
        asyncio.run(play(disk))


async def play(disk) -> None:
    phones = [f"7701000{number:04}" for number in range(MOTHERS)]
    async with a_stage(disk.folder) as stage, asyncio.timeout(TIMEOUT_S):
        async with stage.http("ward") as http:
            await http.post("/v1/births", json=[a_birth(number) for number in range(MOTHERS)])
        await until(stage, MOTHERS)
        disk.fill(stage.process.pid)
        answers = await asyncio.gather(*(stage.smsc.send(phone, "R 1 1 2") for phone in phones))
        assert set(answers) == {Status.RSYSERR}
        async with stage.http("ward") as http:
            assert (await http.post("/v1/births", json=a_birth(77))).status_code == 503
        async with stage.http("") as http:
            for _ in range(8):  # nothing that happens to write nothing makes it well
                health = await http.get("/v1/health")
                assert (health.status_code, "the disk is full: free space there" in health.text) == (503, True)
                await asyncio.sleep(0.2)
        assert len(stage.texts) == MOTHERS

        disk.free(stage.process.pid)
        await until_healthy(stage)
        answers = await asyncio.gather(*(stage.smsc.send(phone, "R 1 1 2") for phone in phones))
        assert set(answers) == {Status.ROK}
        await until(stage, 2 * MOTHERS)
        stage.process.send_signal(signal.SIGTERM)
        assert await stage.process.wait() == 0

    store = disk.folder / "store.db"
    assert [str(flaw) for flaw in find_flaws(store, ZONE, lambda *_: None)] == []
    queries = open_queries(store, ZONE)
    (answered,) = queries._rows("SELECT count(*) FROM journal WHERE outcome = 'answered'")
    queries.close()
    assert answered == (MOTHERS,)
