"""`smsflow run` as a process of its own, for tests that end it, stop it, or look at it from the outside."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

DIALOGS = Path(__file__).parent.parent / "dialogs"
KINDS = ("registration", "kindergarten", "allowance")


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, smsc_port: int, api_port: int, body_port: int = 1, *, window: int = 64) -> Path:
    """A configuration whose tokens are the clients' names, and whose store is `store.db` in `folder`."""
    gateways = "\n".join(
        f'  {kind}: {{url: "http://127.0.0.1:{body_port}/{kind}", token: body, timeout: 5s}}' for kind in KINDS
    )
    file = folder / "smsflow.yaml"
    file.write_text(f"""
store: sqlite:///store.db
dialogs: {DIALOGS}
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {{name: main, host: 127.0.0.1, port: {smsc_port}, system_id: smsflow, password: secret, tps: 0,
     window: {window}}}
api:
  listen: 127.0.0.1:{api_port}
  clients:
    - {{name: ward, token: ward, may: [births, citizens]}}
    - {{name: bodies, token: bodies, may: [events]}}
    - {{name: desk, token: desk, may: [read, operate]}}
gateways:
{gateways}
""")
    return file


def seams(*, commit_s: float = 0.0, probe_s: float = 10.0) -> tuple[str, ...]:
    """The command of a daemon whose commits take longer, or whose store is tried more often."""
    script = Path(__file__).with_name("seams.py")
    return (sys.executable, str(script), str(commit_s), str(probe_s), "run", "--config")


@dataclass
class Daemon:
    """A daemon that can be started again and again on the same files. What it logs is in `log`."""

    config: Path
    api_port: int
    command: tuple[str, ...] = (sys.executable, "-m", "smsflow", "run", "--config")
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        return self.config.with_name("log")

    @property
    def store(self) -> Path:
        return self.config.with_name("store.db")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def http(self, token: str = "") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, str(self.config), stderr=log, env=os.environ | self.environment
            )

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it with a signal, and wait for the end; its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.send_signal(number)
        return await self.process.wait()

    async def health(self) -> tuple[int, dict[str, Any]]:
        """The status and the body of `GET /v1/health`; status 0 while nobody listens."""
        async with self.http() as http:
            try:
                answer = await http.get("/v1/health")
            except httpx2.TransportError:
                return 0, {}
            return answer.status_code, dict(answer.json())

    async def until_healthy(self) -> None:
        while (await self.health())[0] != 200:
            assert self.process is not None
            assert self.process.returncode is None, self.log.read_text()
            await asyncio.sleep(0.05)

    def limit_files(self, octets: int) -> None:
        """Let it write no file beyond so many octets (-1: as it likes), as a full disk does. Linux only."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (octets, hard))

    def rss_kib(self) -> int:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])
