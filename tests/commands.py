"""The real command in a process of its own: started, fed, and waited for."""

from __future__ import annotations

import os
import subprocess
import sys

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
