"""Births by the hundred thousand over HTTP, while other mothers write: how fast they are taken, and who waits.

First mothers write for some seconds with nothing else going on; then they go on at the same rate while all births
are posted, in arrays of the greatest length, over two connections: while the answer to one array is made and read,
the other is taken. The link's `tps` has room for every question and for some greetings; the others queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from smsflow.bench.centre import phone_of
from smsflow.bench.measure import Centre, Plan, cpu_s, open_centre, rss_mib, scene_of
from smsflow.bench.players import BenchFailed, Player, birth_of, start_daemon

__all__ = ["BirthFigures", "Waits", "measure_births"]

_AT_ONCE = 10_000  # births in one request
_CONNECTIONS = 2
_CALM_S = 5.0
_PARTS = 6  # submit_sm a reply for which the link has room: a question is 1 or 2
_ACCOUNT = "KZ86125KZT5004100100"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long mothers waited for their next question, in milliseconds; `turns` replies in all."""

    turns: int
    turns_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class BirthFigures:
    """How births were taken: `seconds` from the first octet to the last answer.

    `cpu_us` is the daemon's time for one birth: all that it used meanwhile, so the replies and greetings are in it.
    `before` and `meanwhile` are the waits of those who wrote; `greetings` the submit_sm of
    greetings that went out meanwhile.
    """

    births: int
    seconds: float
    births_per_s: float
    cpu_us: float
    cores: float
    births_per_commit: float
    greetings: int
    rss_mib: float
    before: Waits
    meanwhile: Waits


def measure_births(folder: Path, plan: Plan, births: int, tell: Callable[[str], None]) -> BirthFigures:
    """Have a daemon take so many births while `plan` is played, its files in `folder`. Raises: BenchFailed."""
    folder.mkdir(exist_ok=True)
    tell("writing births down")
    arrays = [json.dumps(each).encode() for each in _arrays(births, plan.born_at)]
    with (
        open_centre(plan, until_told=True) as centre,
        start_daemon(scene_of(plan, folder, centre, tell, tps=int(plan.offered * _PARTS))) as player,
    ):
        tell("greeting every mother")
        centre.read("greeted")
        return _measure(centre, player, arrays, births, tell)


def _measure(
    centre: Centre, player: Player, arrays: list[bytes], births: int, tell: Callable[[str], None]
) -> BirthFigures:
    tell("measuring replies by themselves")
    _, before = _play(centre, lambda: sleep(_CALM_S))
    tell("measuring births")
    commits, used_s = player.count()["commits"], cpu_s(player)
    seconds, meanwhile = _play(centre, lambda: _post(player, arrays))
    used_s, commits = cpu_s(player) - used_s, player.count()["commits"] - commits
    player.check()
    return BirthFigures(
        births=births,
        seconds=round(seconds, 3),
        births_per_s=round(births / seconds, 1),
        cpu_us=round(used_s / births * 1e6, 1),
        cores=round(used_s / seconds, 2),
        births_per_commit=round(births / commits, 1),
        greetings=meanwhile["others"],
        rss_mib=round(sum(rss_mib(process.pid) for process in player.processes), 1),
        before=_waits(before),
        meanwhile=_waits(meanwhile),
    )


def _play(centre: Centre, work: Callable[[], object]) -> tuple[float, dict[str, Any]]:
    """Let mothers write until `work` is done: how many seconds that took, and what the centre has seen."""
    centre.write()
    centre.read("begun")
    began = perf_counter()
    work()
    seconds = perf_counter() - began
    centre.write()
    return seconds, centre.read("turns")


def _arrays(births: int, born_at: datetime) -> Iterator[list[dict[str, Any]]]:
    """All births, as they are posted; every second one with an account."""
    for first in range(0, births, _AT_ONCE):
        yield [
            birth_of(f"ward-{number}", number, phone_of(number, plays=False), born_at)
            | ({"account": _ACCOUNT} if number % 2 else {})
            for number in range(first, min(first + _AT_ONCE, births))
        ]


def _post(player: Player, arrays: list[bytes]) -> None:
    """Post all of `arrays`. Raises: BenchFailed when one of the births is not taken."""

    def post(mine: list[bytes]) -> None:
        assert player.open_api  # noqa: S101 - it is a daemon
        with player.open_api() as http:
            for array in mine:
                answer = http.post("/v1/births", content=array, headers={"Content-Type": "application/json"})
                if answer.status_code != 202 or not answer.text.endswith('"rejected":[]}'):
                    raise BenchFailed(f"the daemon did not take the births: {answer.text[-300:]}")

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for _ in pool.map(post, (arrays[first::_CONNECTIONS] for first in range(_CONNECTIONS))):
            pass


def _waits(result: dict[str, Any]) -> Waits:
    if result["refused"]:
        raise BenchFailed(f"{result['refused']} replies were refused")
    return Waits(
        turns=result["turns"],
        turns_per_s=round(result["turns"] / result["seconds"], 1),
        p50_ms=round(result["latency_p50"] * 1000, 3),
        p99_ms=round(result["latency_p99"] * 1000, 3),
        max_ms=round(result["latency_max"] * 1000, 3),
    )
