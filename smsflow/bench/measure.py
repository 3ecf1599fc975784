"""One measurement: a player and the load of a message centre, each in processes of its own, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from smsflow.bench.players import BenchFailed, Player, Scene
from smsflow.bench.rehearsal import Part

__all__ = ["Centre", "Figures", "Plan", "cpu_s", "fsync_s", "measure", "open_centre", "rss_mib", "scene_of"]

_TICKS = os.sysconf("SC_CLK_TCK")
_NUMBER = "1414"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played; see the options of the command."""

    mothers: int
    window: int
    offered: float
    cases: int
    parts: tuple[Part, ...]
    born_at: datetime
    in_turn: bool = False
    receipts: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What one player did. Times in milliseconds, from a reply to its whole next question; sizes in MiB.

    `cpu_us` is the time of its processes for one turn, `cores` how many cores they have used; `centre_core` the
    share of a core that the load used. `commits` is None where nobody counts them, `receipts_per_turn` where the
    load has no receipts; it is 0 for a player that asks for none.
    """

    player: str
    turns: int
    seconds: float
    turns_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    parts_per_turn: float
    receipts_per_turn: float | None
    commits: int | None
    turns_per_commit: float | None
    cpu_us: float
    cores: float
    rss_mib: float
    centre_core: float


def measure(
    folder: Path, plan: Plan, start: Callable[[Scene], AbstractContextManager[Player]], tell: Callable[[str], None]
) -> Figures:
    """Let the player that `start` makes play `plan`, its files in `folder`. Raises: BenchFailed, Missing."""
    folder.mkdir(exist_ok=True)
    with open_centre(plan) as centre, start(scene_of(plan, folder, centre, tell)) as player:
        tell("greeting every mother")
        centre.read("greeted")
        player.check()
        counted, used_s = player.count(), cpu_s(player)
        tell("measuring")
        centre.write()
        centre.read("begun")
        result = centre.read("turns")
        used_s = cpu_s(player) - used_s
        counts = {name: value - counted.get(name, 0) for name, value in player.count().items()}
        return _figures(player, result, used_s, counts)


def scene_of(plan: Plan, folder: Path, centre: Centre, tell: Callable[[str], None], *, tps: int = 0) -> Scene:
    """What a player of `plan` is to know, its files in `folder`; the link may send `tps` parts a second, 0: any."""
    return Scene(
        folder=folder,
        port=centre.read("port")["port"],
        mothers=plan.mothers,
        window=plan.window,
        parts=plan.parts,
        born_at=plan.born_at,
        cases=plan.cases,
        tell=tell,
        tps=tps,
    )


def _figures(player: Player, result: dict[str, Any], used_s: float, counts: dict[str, float]) -> Figures:
    turns, seconds = result["turns"], result["seconds"]
    receipts = result["receipts"]
    answered, commits = counts.get("answered", turns), counts.get("commits")
    if answered != turns or result["refused"]:
        raise BenchFailed(
            f"{player.name}: {turns} replies led to a text, but {answered:.0f} were answers and"
            f" {result['refused']} deliver_sm were refused; it says in {player.log}"
        )
    return Figures(
        player=player.name,
        turns=turns,
        seconds=round(seconds, 3),
        turns_per_s=round(turns / seconds, 1),
        p50_ms=round(result["latency_p50"] * 1000, 3),
        p99_ms=round(result["latency_p99"] * 1000, 3),
        max_ms=round(result["latency_max"] * 1000, 3),
        parts_per_turn=round(result["parts"] / turns, 2),
        receipts_per_turn=None if receipts is None else round(receipts / turns, 2),
        commits=None if commits is None else int(commits),
        turns_per_commit=round(turns / commits, 1) if commits else None,
        cpu_us=round(used_s / turns * 1e6, 1),
        cores=round(used_s / seconds, 2),
        rss_mib=round(sum(rss_mib(process.pid) for process in player.processes), 1),
        centre_core=round(result["core"], 2),
    )


# --- the message centre -----------------------------------------------------------------------------------


class Centre:
    """The process of `smsflow.bench.centre`: lines of JSON from it, an empty line to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, key: str) -> dict[str, Any]:
        """The next line, which must have `key`. Raises: BenchFailed with what it says instead."""
        assert self._process.stdout  # noqa: S101 - it was started so
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"failed": "it has ended"}
        if key not in said:
            raise BenchFailed(f"the load could not be played: {said.get('failed', said)}")
        return said

    def write(self, words: str = "") -> None:
        """Let it go on; `words` is what it waits for at its beginning."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()


@contextmanager
def open_centre(plan: Plan, *, until_told: bool = False) -> Iterator[Centre]:
    """The process of a message centre that plays `plan`, for the time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "smsflow.bench.centre"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            centre = Centre(process)
            load = {
                "number": _NUMBER,
                "mothers": plan.mothers,
                "scripts": [part.replies for part in plan.parts],
                "window": plan.window,
                "offered": plan.offered,
                "in_turn": plan.in_turn,
                "receipts": plan.receipts,
                "until_told": until_told,
            }
            centre.write(json.dumps(load))
            yield centre
        finally:
            process.kill()


# --- what the system says ---------------------------------------------------------------------------------


def cpu_s(player: Player) -> float:
    """The time that its processes have used so far, their own and the system's for them: proc(5)."""
    used = 0
    for process in player.processes:
        facts = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used += int(facts[11]) + int(facts[12])
    return used / _TICKS


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def fsync_s(folder: Path) -> float:
    """The median time in seconds that the disk under `folder` takes to keep 16 KiB."""
    took: list[float] = []
    file = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(101):
            os.write(file, b"\0" * 16384)
            began = perf_counter()
            os.fdatasync(file)
            took.append(perf_counter() - began)
    finally:
        os.close(file)
        (folder / "fsync").unlink()
    return sorted(took)[50]
