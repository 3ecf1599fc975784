"""`smsflow bench` from its options to its figures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console

from smsflow.bench.births import BirthFigures, Waits, measure_births
from smsflow.bench.measure import Figures, Plan, fsync_s, measure
from smsflow.bench.players import Missing, Player, Scene, start_daemon, start_kannel, start_naive
from smsflow.bench.rehearsal import rehearse
from smsflow.clock import Clock
from smsflow.library import Library, shipped_dialogs

__all__ = ["Options", "run_bench", "run_births"]

_RIVALS: dict[str, Callable[[Scene], AbstractContextManager[Player]]] = {
    "naive": start_naive,
    "kannel": start_kannel,
}
_ZONE = ZoneInfo("Asia/Almaty")
_BESIDE_BIRTHS = 400.0  # replies a second, when nobody says how many


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    mothers: int
    window: int
    offered: float
    cases: int
    versus: tuple[str, ...]
    as_json: bool
    folder: Path | None = None
    in_turn: bool = False
    receipts: bool = False
    at_least: float = 0.0  # times the turns of each rival
    births: int = 0


def run_bench(console: Console, options: Options) -> int:
    """Measure, and say what was seen; the exit code. Raises: BenchFailed, DialogError, StoreError, OSError."""
    plan = _plan(options)
    tell = _progress(as_json=options.as_json)
    with TemporaryDirectory(prefix="smsflow-bench-", dir=options.folder) as temporary:
        folder = Path(temporary)
        machine = _machine(folder)
        ours = measure(folder / "smsflow", plan, start_daemon, tell)
        rivals, missing = _measure_rivals(folder, plan, options.versus, tell)
    if options.as_json:
        click.echo(json.dumps(_as_json(options, machine, ours, rivals, missing)))
    else:
        _print(console, options, machine, ours, rivals, missing)
    slow = [rival.player for rival in rivals if ours.turns_per_s < options.at_least * rival.turns_per_s]
    for name in (*slow, *(missing if options.at_least else ())):
        click.echo(f"It is not known to be {options.at_least:g} × as fast as {name}.", err=True)
    return 1 if slow or (options.at_least and missing) else 0


def run_births(console: Console, options: Options) -> int:
    """Measure how births are taken, and say what was seen; the exit code. Raises: as `run_bench`."""
    options = replace(options, offered=options.offered or _BESIDE_BIRTHS)
    plan, tell = _plan(options), _progress(as_json=options.as_json)
    with TemporaryDirectory(prefix="smsflow-bench-", dir=options.folder) as temporary:
        machine = _machine(Path(temporary))
        figures = measure_births(Path(temporary) / "smsflow", plan, options.births, tell)
    if options.as_json:
        click.echo(json.dumps({"machine": machine, "load": _load(options), "births": asdict(figures)}))
    else:
        console.print(
            f"{options.births} births, {options.offered:g} turns/s offered,"
            f" {options.cases} cases in the store before; {_in_words(machine)}"
        )
        console.print()
        for line in _birth_lines(figures):
            console.print(line)
    return 0


def _plan(options: Options) -> Plan:
    born_at = Clock(_ZONE).now() - timedelta(hours=1)
    dialog = Library.load(shipped_dialogs(), lambda _: None).any_dialog
    return Plan(
        mothers=options.mothers,
        window=options.window,
        offered=options.offered,
        in_turn=options.in_turn,
        receipts=options.receipts,
        cases=options.cases,
        parts=rehearse(dialog, born_at),
        born_at=born_at,
    )


def _machine(folder: Path) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "fsync_ms": round(fsync_s(folder) * 1000, 2),
        "at": Clock(_ZONE).now().isoformat(timespec="seconds"),
    }


def _measure_rivals(
    folder: Path, plan: Plan, names: Sequence[str], tell: Callable[[str], None]
) -> tuple[list[Figures], dict[str, str]]:
    """The figures of those that are here, and why of those that are not."""
    rivals: list[Figures] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            rivals.append(measure(folder / name, plan, _RIVALS[name], tell))
        except Missing as reason:
            missing[name] = str(reason)
    return rivals, missing


def _progress(*, as_json: bool) -> Callable[[str], None]:
    """Says on a terminal what is under way, on a line that the next replaces."""
    console = Console(stderr=True, highlight=False)
    if as_json or not console.is_terminal:
        return lambda _: None
    return lambda words: console.print(f"{words:<60}", end="\r")


# --- the figures in words ---------------------------------------------------------------------------------


def _as_json(
    options: Options, machine: dict[str, Any], ours: Figures, rivals: list[Figures], missing: dict[str, str]
) -> dict[str, Any]:
    return {
        "machine": machine,
        "load": _load(options),
        "smsflow": asdict(ours),
        "versus": {
            rival.player: asdict(rival) | {"ratio": round(ours.turns_per_s / rival.turns_per_s, 2)}
            for rival in rivals
        },
        "missing": missing,
    }


def _load(options: Options) -> dict[str, Any]:
    return {
        "mothers": options.mothers,
        "window": options.window,
        "offered": options.offered,
        "in_turn": options.in_turn,
        "receipts": options.receipts,
        "cases": options.cases,
    }


def _in_words(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores, Python {machine['python']}, fsync {machine['fsync_ms']} ms"


def _print(
    console: Console,
    options: Options,
    machine: dict[str, Any],
    ours: Figures,
    rivals: list[Figures],
    missing: dict[str, str],
) -> None:
    load = f"{options.offered:g} turns/s offered" if options.offered else f"window {options.window}"
    load += ", in turn" if options.in_turn else ""
    load += ", with receipts" if options.receipts else ""
    console.print(
        f"{options.mothers} mothers, {load}, {options.cases} cases in the store before; {_in_words(machine)}"
    )
    for figures in (ours, *rivals):
        console.print()
        for line in _lines(figures):
            console.print(line)
        if figures.centre_core > 0.9:
            console.print("  The load itself was the limit: its process was busy all the time.")
    for rival in rivals:
        console.print()
        console.print(f"smsflow does {ours.turns_per_s / rival.turns_per_s:.2f} × the turns of {rival.player}")
    for name, reason in missing.items():
        console.print(f"{name} was left out: {reason}")


def _lines(figures: Figures) -> Iterator[str]:
    receipts = "" if figures.receipts_per_turn is None else f", {figures.receipts_per_turn} receipts a turn"
    yield (
        f"{figures.player}: {figures.turns_per_s:,.0f} turns/s ({figures.turns} turns in {figures.seconds:.2f} s,"
        f" {figures.parts_per_turn} submit_sm a turn{receipts})"
    )
    yield (
        f"  reply to next question: p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms,"
        f" max {figures.max_ms:.1f} ms"
    )
    yield (
        f"  {figures.cpu_us:.0f} µs of CPU a turn, {figures.cores:.2f} cores, {figures.rss_mib:.0f} MiB;"
        f" the load used {figures.centre_core:.0%} of its core"
    )
    if figures.commits is not None:
        yield f"  {figures.commits} commits, {figures.turns_per_commit} turns a commit"


def _birth_lines(figures: BirthFigures) -> Iterator[str]:
    yield (
        f"smsflow: {figures.births_per_s:,.0f} births/s ({figures.births} births in {figures.seconds:.2f} s,"
        f" {figures.births_per_commit} births a commit)"
    )
    yield f"  reply to next question, before: {_wait_words(figures.before)}"
    yield f"  reply to next question, meanwhile: {_wait_words(figures.meanwhile)}"
    yield (
        f"  {figures.cpu_us:.0f} µs of CPU a birth, {figures.cores:.2f} cores, {figures.rss_mib:.0f} MiB;"
        f" {figures.greetings} submit_sm of greetings went out meanwhile"
    )


def _wait_words(waits: Waits) -> str:
    return (
        f"p50 {waits.p50_ms:.1f} ms, p99 {waits.p99_ms:.1f} ms, max {waits.max_ms:.1f} ms"
        f" ({waits.turns} turns, {waits.turns_per_s:.0f} a second)"
    )
