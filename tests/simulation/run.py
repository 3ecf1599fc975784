"""One run by its seed, where nothing but the seed counts; and the smallest schedule that fails."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx2
import structlog

import smsflow.library
from smsflow.store.store import open_store

from .faults import Fault, plan
from .loop import POLL_S
from .world import ZONE, Result, World

_MEMORY = Path("/dev/shm")


@contextmanager
def _environment(world: World) -> Iterator[None]:
    """The seams: the disk, the periods of looking, the log; and what costs time and changes nothing."""

    def take_line(_logger: object, level: str, line: dict[str, Any]) -> Any:
        world.checks.on_log(level, line)
        raise structlog.DropEvent

    before = structlog.get_config()
    # making a TLS context takes longer than a day of the simulation
    quick_http = SimpleNamespace(**vars(httpx2) | {"AsyncClient": partial(httpx2.AsyncClient, verify=False)})
    with (
        patch("smsflow.store.store._connect", world.disk.connect),
        patch("smsflow.daemon._TICK_S", POLL_S[0]),
        patch("smsflow.gateways._LOOK_S", POLL_S[1]),
        patch("smsflow.gateways.httpx2", quick_http),
        patch("smsflow.library.read_dialogs", _read_dialogs),
        patch("smsflow.library.read_dialog", _read_dialog),
        patch("smsflow.library.check_dialogs", _check_dialogs),
    ):
        structlog.configure(
            processors=[take_line],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)


_real_read_dialogs = smsflow.library.read_dialogs
_real_read_dialog = smsflow.library.read_dialog
_real_check = smsflow.library.check_dialogs


@cache
def _read_all(files: tuple[tuple[str, str], ...]) -> Any:
    return _real_read_dialogs(dict(files))


def _read_dialogs(files: dict[str, str]) -> Any:
    return _read_all(tuple(files.items()))


@cache
def _read_one(sources: tuple[tuple[str, str], ...], name: str) -> Any:
    return _real_read_dialog(dict(sources), name)


def _read_dialog(sources: dict[str, str], name: str) -> Any:
    return _read_one(tuple(sources.items()), name)


_checked: dict[tuple[str, ...], Any] = {}


def _check_dialogs(dialogs: Any) -> Any:
    key = tuple(dialog.revision for dialog in dialogs)
    if key not in _checked:
        _checked[key] = _real_check(dialogs)
    return _checked[key]


@cache
def _empty_store() -> bytes:
    """A store with its tables, for the seeds that do not begin with migrations."""
    with _folder() as folder:
        open_store(folder / "store.db", ZONE).close()
        return (folder / "store.db").read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="smsflow-simulation-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(seed: int | str, faults: tuple[Fault, ...] | None = None) -> Result:
    """Live through one seed."""
    with _folder() as folder:
        world = World(str(seed), folder, faults)
        if not str(seed).endswith("0"):
            world.path.write_bytes(_empty_store())
        with _environment(world):
            return world.run()


def shrink(seed: int | str) -> tuple[tuple[Fault, ...], Result]:
    """The faults without which the seed does not fail in the same way, and the run with these alone."""
    faults, result = plan(str(seed)), run(seed)
    invariant = result.failure.partition(":")[0]
    size = max(1, len(faults) // 2)
    while faults:
        for place in range(0, len(faults), size):
            fewer = faults[:place] + faults[place + size :]
            tried = run(seed, fewer)
            if tried.failure.partition(":")[0] == invariant:
                faults, result = fewer, tried
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
    gc.collect()
    return faults, result
