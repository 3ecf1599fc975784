"""The real command in a process of its own: started, fed, and waited for."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PATIENCE_S = 60


def environment(**extra: str) -> dict[str, str]:
    """A plain terminal's environment: nothing about colours or width is inherited."""
    plain = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    return {**plain, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color", **extra}


def smsflow(*arguments: object, typed: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `smsflow` with `typed` on its standard input, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "smsflow", *map(str, arguments)],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(**extra),
        check=False,
    )


def start(*arguments: object, **extra: str) -> subprocess.Popen[str]:
    """Start `smsflow`, all three streams as pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "smsflow", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**extra),
    )


class Centre:
    """`smsflow smsc` in its own process, its lines as they come."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def line(self, holds: Callable[[str], bool]) -> str:
        """The next line for which `holds`."""
        async with asyncio.timeout(PATIENCE_S):
            while words := (await self.process.stdout.readline()).decode():
                if holds(words):
                    return words.rstrip("\n")
        raise AssertionError("the command ended before")

    async def type(self, *lines: str) -> None:
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        await self.process.stdin.drain()

    async def end(self) -> int:
        """No more lines; the exit code."""
        self.process.stdin.close()
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@asynccontextmanager
async def a_centre(*options: str) -> AsyncIterator[Centre]:
    """`smsflow smsc` on a free port, fed on a pipe."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smsflow", "smsc", "--port", "0", *options,
        stdin=pipe, stdout=pipe, stderr=pipe, env=environment(),
    )  # fmt: skip
    try:
        first = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        yield Centre(process, int(re.search(r":(\d+);", first)[1]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
