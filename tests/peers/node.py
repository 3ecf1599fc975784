"""The npm package `smpp` as a message centre, in a process of its own (`centre.js`)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("centre.js")


class NodeCentre:
    """What it tells, in order, and what it is told to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: list[dict[str, Any]] = []
        self.port = 0
        self._process = process
        self._moved = asyncio.Condition()
        self._taken: set[int] = set()
        self.reading = asyncio.create_task(self._read())

    async def next(self, event: str) -> dict[str, Any]:
        """The first `event` that was not given before; waits for it."""
        async with self._moved:
            while True:
                for index, each in enumerate(self.told):
                    assert each["event"] != "error", each
                    if index not in self._taken and each["event"] == event:
                        self._taken.add(index)
                        return each
                assert not self.reading.done(), "node has ended"
                await self._moved.wait()

    def order(self, order: str, **fields: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")

    async def deliver(self, text: str, source: str = "77011234567", **fields: object) -> dict[str, Any]:
        """Deliver what a phone writes, and wait for the answer."""
        facts = {"source_addr": source, "destination_addr": "1414", "text": text} | fields
        self.order("deliver", **facts)
        return await self.next("answered")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            async with self._moved:
                self.told.append(json.loads(line))
                self._moved.notify_all()


@asynccontextmanager
async def a_node_centre(modules: Path, *tls: Path) -> AsyncIterator[NodeCentre]:
    """A message centre on a free port; with a key and a certificate over TLS."""
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), *map(str, tls),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"NODE_PATH": str(modules)},
    )  # fmt: skip
    centre = NodeCentre(process)
    try:
        centre.port = (await centre.next("listening"))["port"]
        yield centre
    finally:
        process.kill()
        await process.wait()
        await centre.reading
