"""What systemd is told (`Type=notify`): ready, what the daemon does, that it lives, that it ends.

The protocol of sd_notify(3): lines in a datagram to the socket that `NOTIFY_SOCKET` names. Without it, nothing is
told to anybody. Nothing waits for systemd, and nothing fails because of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

__all__ = ["Notifier"]


class Notifier:
    """Tells systemd. `watchdog_s` is how often it wants to hear that we live, None when it does not."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name  # "@": the abstract name space
        self.watchdog_s = _find_watchdog_s(environment) if name else None
        self._status = ""

    def ready(self) -> None:
        """Everything is up."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The watchdog may wait again for `watchdog_s`."""
        self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """What `systemctl status` shows; the same line is sent once."""
        if line != self._status:
            self._status = line
            self._send(f"STATUS={' '.join(line.split())}")  # a line end would begin another message

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)


def _find_watchdog_s(environment: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3): `WATCHDOG_USEC`, unless it is meant for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
