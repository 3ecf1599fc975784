"""The simulated state bodies: HTTP in octets, a decision later, and every way of answering badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .network import Wire
    from .world import World

KINDS = ("registration", "kindergarten", "allowance")
FIRST_PORT = 8001
_AGAIN_S = 30.0
_HOUR_S = 3600.0
_PATIENCE = 500  # times, more than four hours: longer than the daemon is ever down


@dataclass(frozen=True)
class Posted:
    """One POST of the daemon."""

    kind: str
    key: str
    body: dict[str, Any]


@dataclass
class Decision:
    """What a body says of a case, until the daemon has taken it."""

    case: int
    id: str
    name: str
    data: dict[str, str]
    taken: bool = False
    told: int = 0
    times: int = 1  # how often it is said at once


@dataclass
class Bodies:
    """All bodies; `taken` is by kind and key: what they have taken, once each."""

    world: World
    seed: str
    taken: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)  # cases of which a body will never say anything
    next: list[tuple[str, float]] = field(default_factory=list)  # what is done to the next POSTs, by the schedule
    decisions: list[Decision] = field(default_factory=list)

    def accept(self, port: int) -> _Exchange:
        return _Exchange(self, KINDS[port - FIRST_PORT])

    def answer(self, posted: Posted, respond: Callable[[int], None], cut: Callable[[], None]) -> None:
        """Take an application, or do not."""
        what, much = self.next.pop(0) if self.next else ("", 0.0)
        self.world.trace(f"body {posted.kind} is posted {posted.key} {what}")
        if what == "hang":
            return
        if what == "cut":
            cut()
            return
        if what in ("500", "503", "429"):
            self._after(0.05, lambda: respond(int(what)))
            return
        if what == "400" and (posted.kind, posted.key) not in self.taken:
            self.refused.add(posted.key)
            self._after(0.05, lambda: respond(400))
            return
        self._take(posted)
        if what == "taken_hang":
            return
        if what == "taken_cut":
            cut()
            return
        self._after(much if what == "slow" else 0.05, lambda: respond(202))

    def _take(self, posted: Posted) -> None:
        key = (posted.kind, posted.key)
        if key in self.taken:
            return
        self.taken[key] = posted.body
        random = Random(f"{self.seed}.body.{posted.kind}.{posted.body['case']}")
        case = int(posted.body["case"])
        if random.random() < 0.04:
            self.silent.add(case)
            return
        delay_s = random.choice((0.0, 1.0, 60.0, 2 * _HOUR_S, 30 * _HOUR_S))
        for name, data in _say(posted, random):
            decision = Decision(case, f"{posted.kind}-{posted.key}-{name}", name, data)
            decision.times = 2 if random.random() < 0.2 else 1
            self.decisions.append(decision)
            self._after(delay_s, lambda each=decision: self._tell(each))
            delay_s += random.choice((1.0, 600.0, 20 * _HOUR_S))

    def _tell(self, decision: Decision) -> None:
        """Say it until the daemon has taken it, at times twice at once."""
        if decision.taken:
            return
        decision.told += 1
        if decision.told > _PATIENCE:
            self.world.checks.fail("bodies", f"{decision.id} is told again and again, and never taken")
        for _ in range(decision.times):
            self.world.tell_event(decision)
        self._after(_AGAIN_S, lambda: self._tell(decision))

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        self.world.at(self.world.now_s + delay_s, act)


def _say(posted: Posted, random: Random) -> list[tuple[str, dict[str, str]]]:
    refused = ("refused", {"reason": "нет записи"})
    if posted.kind == "registration":
        accepted = ("accepted", {"number": f"A{posted.key}"})
        done = ("registered", {"place": "ЦОН 7", "child_iin": "991231500006"})
        return [accepted, refused if random.random() < 0.1 else done]
    if posted.kind == "kindergarten":
        done = ("queued", {"number": "1800", "locality": "Алматы", "date": "2026-11-20"})
    else:
        done = ("granted", {"amount": "164350"})
    return [refused if random.random() < 0.1 else done]


class _Exchange:
    """One connection: a request and its answer."""

    def __init__(self, bodies: Bodies, kind: str) -> None:
        self._bodies = bodies
        self._kind = kind
        self._seen = bytearray()
        self._come = bytearray()
        self._open = True

    def observe(self, _wire: Wire, octets: bytes) -> None:
        self._seen += octets
        posted = self._read(self._seen)
        if posted is not None:
            self._bodies.world.checks.on_post(posted)

    def receive(self, wire: Wire, octets: bytes) -> None:
        self._come += octets
        posted = self._read(self._come)
        if posted is None or not self._open:
            return

        def respond(status: int) -> None:
            if self._open:
                head = f"HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
                wire.send(head.encode())
                wire.hang_up()

        self._bodies.answer(posted, respond, wire.cut)

    def closed(self, _wire: Wire) -> None:
        self._open = False

    def _read(self, buffer: bytearray) -> Posted | None:
        head, found, rest = bytes(buffer).partition(b"\r\n\r\n")
        if not found:
            return None
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if len(rest) < int(headers["content-length"]):
            return None
        buffer.clear()
        return Posted(self._kind, headers["idempotency-key"], json.loads(rest))
