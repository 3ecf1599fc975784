"""A mother's whole registration: `smsflow run` as a process, and node's message centre as her operator."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import test_service as service
from peers.node import NodeCentre, a_node_centre

TIMEOUT_S = 60
MOTHER = "77010000001"


class Operator:
    """Node's message centre, with the one method by which mothers write."""

    def __init__(self, centre: NodeCentre) -> None:
        self._centre = centre

    async def send(self, msisdn: str, text: str) -> int:
        answer = await self._centre.deliver(text, msisdn, data_coding=0 if text.isascii() else 8)
        return int(answer["status"])


def test_whole_registration_through_node(tmp_path: Path, node_modules: Path) -> None:
    """From the ward's record to three cases that are done; every text was read and receipted by node."""

    async def play() -> None:
        async with asyncio.timeout(TIMEOUT_S), a_node_centre(node_modules) as centre:
            api, body = service.a_free_port(), service.a_free_port()
            stage = service.Stage(tmp_path, f"http://127.0.0.1:{api}", Operator(centre))  # type: ignore[arg-type]
            server, bodies = await service.serve_bodies(stage, body)
            config = service.config(tmp_path, centre.port, api, body, "transceiver")
            with stage.log.open("wb") as log:
                stage.process = process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "smsflow", "run", "--config", str(config), stderr=log
                )
            try:
                await service.until_healthy(stage)
                async with stage.http("ward") as http:
                    assert (await http.post("/v1/births", json=service.a_birth(1))).status_code == 202
                await service.be_a_mother(stage, MOTHER, "kk")
                await check(stage, centre)
                process.terminate()
                assert await process.wait() == 0
                await centre.next("unbind")
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                server.should_exit = True
                await bodies

    asyncio.run(play())


async def check(stage: service.Stage, centre: NodeCentre) -> None:
    async with stage.http("desk") as http:
        found = (await http.get("/v1/cases", params={"msisdn": MOTHER})).json()["cases"]
        assert [case["result"] for case in found] == ["done"] * 3
        for case in found:
            while True:  # the last receipts are on their way; a question answered before it went out is dropped
                messages = (await http.get(f"/v1/cases/{case['case']}")).json()["messages"]
                if {each["status"] for each in messages if each["direction"] == "out"} <= {"delivered", "dropped"}:
                    break
                await asyncio.sleep(0.05)
    assert all(each["status"] == 0 for each in centre.told if each["event"] in ("answered", "receipted"))
