"""An in-memory network between the daemon and its world: streams of octets with latency, cuts and silence.

What the daemon writes is shown to the other side at once (`observe`: what leaves the process is a fact), and
reaches it later (`receive`), or never.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from .loop import Loop


class Peer(Protocol):
    """The side of a connection that is not the daemon's."""

    def observe(self, wire: Wire, octets: bytes) -> None: ...

    def receive(self, wire: Wire, octets: bytes) -> None: ...

    def closed(self, wire: Wire) -> None: ...


class _Socket:
    """What the daemon, and its HTTP client, ask of a socket."""

    family = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return ("10.0.0.1", 40000)

    def getpeername(self) -> tuple[str, int]:
        return ("10.0.0.2", 1)

    def setsockopt(self, *_: object) -> None:
        """There is no delay to turn off."""


class Wire(asyncio.Transport):
    """One connection: the daemon's transport, and the peer's end."""

    def __init__(self, network: Network, loop: Loop, protocol: Any, port: int, number: int) -> None:
        super().__init__()
        self.number = number
        self.port = port
        self.peer: Peer
        self.silent = False  # half-open: nothing arrives on either side any more
        self._network = network
        self._loop = loop
        self._protocol = protocol
        self._random = Random(f"{network.seed}.wire.{number}")
        self._closing = False
        self._ended = False
        self._peer_gone = False
        self._paused = False
        self._held: list[bytes] = []
        self._to_daemon_at = 0.0
        self._to_peer_at = 0.0

    # --- the daemon's end ---------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._closing or self._loop.dead:
            return
        octets = bytes(data)
        self._network.trace(f"wire {self.number} > {octets.hex()}")
        self.peer.observe(self, octets)
        self._to_peer_at = at = max(self._to_peer_at, self._network.now() + self._latency())
        self._network.at(at, lambda: self._arrive(octets))

    def _arrive(self, octets: bytes) -> None:
        if not self.silent and not self._peer_gone:
            self.peer.receive(self, octets)

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self._tell_lost, error)
        self.leave()

    def _tell_lost(self, error: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        held, self._held = self._held, []
        for octets in held:
            self._loop.call_soon(self._deliver, octets)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Everything that is written leaves at once."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"socket": _Socket(), "sockname": ("10.0.0.1", 40000), "peername": ("10.0.0.2", self.port)}
        return known.get(name, default)

    # --- the peer's end -----------------------------------------------------------------------------

    def send(self, octets: bytes) -> None:
        """Send to the daemon, in pieces as the network likes."""
        while octets:
            cut = len(octets) if self._random.random() < 0.8 else self._random.randint(1, len(octets))
            piece, octets = octets[:cut], octets[cut:]
            self._to_daemon_at = at = max(self._to_daemon_at, self._network.now() + self._latency())
            self._network.at(at, lambda piece=piece: self._reach(piece))

    def _reach(self, octets: bytes) -> None:
        if self.silent or self._closing or self._loop.dead:
            return
        self._network.trace(f"wire {self.number} < {octets.hex()}")
        self._loop.call_soon(self._deliver, octets)

    def _deliver(self, octets: bytes) -> None:
        if self._closing:
            return
        if self._paused:
            self._held.append(octets)
        else:
            self._protocol.data_received(octets)

    def cut(self) -> None:
        """The connection is reset on both sides; what is under way is lost."""
        if not self._closing and not self._loop.dead:
            self._closing = True
            self._loop.call_soon(self._tell_lost, ConnectionResetError("reset"))
        self._forsake()

    def hang_up(self) -> None:
        """The peer closes in order: what it sent before arrives."""
        at = max(self._to_daemon_at, self._network.now() + self._latency())
        self._forsake()
        self._network.at(at, self._hear_end)

    def _hear_end(self) -> None:
        if self._closing or self._loop.dead or self.silent:
            return
        if self._protocol.eof_received():
            return
        self._end(None)

    def leave(self) -> None:
        """The daemon's end is gone: the peer learns it, unless the connection is half-open."""
        if not self.silent:
            at = max(self._to_peer_at, self._network.now() + self._latency())
            self._network.at(at, self._forsake)

    def _forsake(self) -> None:
        if not self._peer_gone:
            self._peer_gone = True
            self.peer.closed(self)

    def _latency(self) -> float:
        return self._random.choice((0.0002, 0.001, 0.01, 0.05))


class Network:
    """Connects the daemon to whoever listens on a port. `accept(port)` is a peer, or None when nobody listens."""

    def __init__(
        self,
        seed: str,
        now: Callable[[], float],
        at: Callable[[float, Callable[[], None]], None],
        trace: Callable[[str], None],
        accept: Callable[[int], Peer | None],
    ) -> None:
        self.seed = seed
        self.now = now
        self.at = at
        self.trace = trace
        self._accept = accept
        self._count = 0
        self._hang_until = 0.0
        self.wires: list[Wire] = []

    def hang(self, until: float) -> None:
        """Nobody answers to a connection until then: it is neither made nor refused."""
        self._hang_until = until

    async def connect(self, loop: Loop, factory: Callable[[], Any], port: int) -> tuple[Wire, Any]:
        """A connection of the daemon to `port`. Raises: ConnectionRefusedError."""
        await asyncio.sleep(0.001)
        if self.now() < self._hang_until:
            await loop.create_future()
        peer = self._accept(port)
        if peer is None:
            raise ConnectionRefusedError("refused")
        self._count += 1
        protocol = factory()
        wire = Wire(self, loop, protocol, port, self._count)
        wire.peer = peer
        self.wires = [each for each in self.wires if not each.is_closing()] + [wire]
        loop.call_soon(protocol.connection_made, wire)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return wire, protocol

    def abandon(self, *, silently: bool) -> None:
        """The daemon's process is gone; `silently`: its machine, so that nobody is told."""
        for wire in self.wires:
            if silently:
                wire.silent = True
            else:
                wire.leave()
            wire._closing = True
        self.wires = []
