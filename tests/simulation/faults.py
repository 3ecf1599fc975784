"""The schedule: which faults strike when, drawn before anything runs, so that each can be left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import World

_HOUR_S = 3600.0
_LONGEST_S = 36 * _HOUR_S  # no fault begins later


@dataclass(frozen=True)
class Fault:
    """One fault: what, when (virtual seconds), and how much: each kind reads `much` and `how` in its own way."""

    at_s: float
    kind: str
    how: str = ""
    much: float = 0.0

    def __str__(self) -> str:
        return f"{self.at_s:10.1f}s {self.kind} {self.how} {self.much:g}".rstrip()


def _next(fault: Fault, target: list[tuple[str, float]], times: int) -> None:
    target.extend([(fault.how, fault.much)] * times)


def _submit(world: World, fault: Fault) -> None:
    _next(fault, world.centre.next.setdefault("submit", []), 6 if fault.how == "throttled" else 3)


def _of(kind: str, times: int) -> Callable[[World, Fault], None]:
    return lambda world, fault: _next(fault, world.centre.next.setdefault(kind, []), times)


def _hang_connect(world: World, fault: Fault) -> None:
    world.network.hang(world.now_s + fault.much)
    world.centre.cut_all()


def _hold_ghost(world: World, fault: Fault) -> None:
    world.centre.hold_ghost(world.now_s + fault.much)
    world.centre.cut_all()


def _crash(world: World, fault: Fault) -> None:
    world.crash_after(int(fault.much), machine=fault.how == "machine")


def _crash_at_statement(world: World, fault: Fault) -> None:
    world.disk.crash_at = world.disk.statements + 1 + int(fault.much)
    world.disk.crash_after = fault.how == "after"


def _fill_disk(world: World, fault: Fault) -> None:
    world.disk.full = fault.how
    world.at(world.now_s + fault.much, world.free_disk)


def _step_clock(world: World, fault: Fault) -> None:
    world.clock.step_s += fault.much
    world.hasten()


_DO: dict[str, Callable[[World, Fault], None]] = {
    "cut": lambda world, _: world.centre.cut_all(),
    "half_open": lambda world, _: world.centre.silence_all(),
    "unbind": lambda world, _: world.centre.unbind_all(),
    "enquire": lambda world, _: world.centre.enquire_all(),
    "centre_restart": lambda world, fault: world.centre.go_down(world.now_s + fault.much),
    "hang_connect": _hang_connect,
    "ghost_bind": _hold_ghost,
    "submit": _submit,
    "written": _of("written", 2),
    "part": _of("part", 2),
    "response": _of("response", 2),
    "receipt": _of("receipt", 3),
    "post": lambda world, fault: _next(fault, world.bodies.next, 2),
    "crash": _crash,
    "crash_at_statement": _crash_at_statement,
    "restart": lambda world, _: world.restart(),
    "disk_full": _fill_disk,
    "commit_fails": lambda world, fault: setattr(world.disk, "refusals", int(fault.much)),
    "stall": lambda world, fault: setattr(world.disk, "stall_s", fault.much),
    "clock_step": _step_clock,
    "edit_dialogs": lambda world, _: world.edit_dialogs(),
}  # fmt: skip


def strike(world: World, fault: Fault) -> None:
    """Let a fault happen now."""
    _DO[fault.kind](world, fault)


def plan(seed: str) -> tuple[Fault, ...]:
    """The faults of a seed, in order."""
    random = Random(f"{seed}.faults")
    longest_s = random.choice((6 * _HOUR_S, 6 * _HOUR_S, 6 * _HOUR_S, _LONGEST_S))
    return tuple(
        sorted((_draw(random, longest_s) for _ in range(random.choice((2, 5, 10, 25)))), key=lambda each: each.at_s)
    )


def _draw(random: Random, longest_s: float) -> Fault:
    # most of what mothers do, they do in the first hours
    at_s = random.uniform(0, random.choice((600.0, 2 * _HOUR_S, 2 * _HOUR_S, 2 * _HOUR_S, longest_s)))
    kind, how, much = random.choice(_KINDS)(random)
    return Fault(round(at_s, 3), kind, how, round(much, 3))


_Drawn = tuple[str, str, float]
_KINDS: tuple[Callable[[Random], _Drawn], ...] = (
    lambda _: ("cut", "", 0.0),
    lambda _: ("half_open", "", 0.0),
    lambda random: (random.choice(("unbind", "enquire")), "", 0.0),
    lambda random: ("centre_restart", "", random.choice((1.0, 60.0, 1800.0))),
    lambda random: (random.choice(("hang_connect", "ghost_bind")), "", random.choice((5.0, 120.0))),
    lambda random: ("submit", random.choice(("syserr", "throttled", "queue_full", "invalid")), 0.0),
    lambda random: ("submit", random.choice(("lose", "mute", "cut", "early_receipt", "twice")), 0.0),
    lambda random: ("submit", "delay", random.choice((2.0, 29.0, 33.0, 45.0))),
    lambda random: ("submit", "delay", random.choice((0.9, 6.0, 25.0))),
    lambda random: ("written", random.choice(("delay", "twice")), random.choice((0.0005, 0.3, 5.0, 240.0))),
    lambda random: ("part", random.choice(("delay", "twice", "lose")), random.choice((0.0005, 0.5, 60.0, 400.0))),
    lambda _: ("response", "lose", 0.0),
    lambda random: ("receipt", random.choice(("lose", "twice")), 0.0),
    lambda random: ("post", random.choice(("hang", "cut", "500", "503", "429")), 0.0),
    lambda random: ("post", random.choice(("400", "taken_hang", "taken_cut", "slow")), 10.0),
    lambda random: ("crash", random.choice(("process", "process", "machine")), random.randrange(60)),
    lambda random: ("crash", "process", random.randrange(400)),
    lambda random: ("crash_at_statement", random.choice(("before", "after")), random.randrange(60)),
    lambda random: ("crash_at_statement", random.choice(("before", "after")), random.randrange(600)),
    lambda _: ("restart", "", 0.0),
    lambda random: (
        "disk_full", random.choice(("commit", "write", "rollback")), random.choice((0.7, 20.0, 900.0))
    ),
    lambda random: ("commit_fails", "", random.choice((1, 2, 5))),
    lambda random: ("disk_full", "flaky", random.choice((20.0, 300.0, 1800.0))),
    lambda random: ("stall", "", random.choice((0.6, 4.0, 40.0))),
    lambda random: ("clock_step", "", random.choice((-3600.0, -30.0, -1.0, 1.0, 45.0, 1200.0, 86400.0))),
    lambda _: ("edit_dialogs", "", 0.0),
)  # fmt: skip
