"""Which dialogs a command means, and `smsflow check`: everything that is wrong, in one go.

Exit codes of `check`: 2 when `smsflow run` would refuse (the configuration or a dialog cannot be read, or has an
error of `core.check`), 0 when there is nothing worse than a warning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsflow.core.check import Flaw, Severity, check_dialogs
from smsflow.core.dialog import Dialog, Wait
from smsflow.core.document import read_document
from smsflow.core.errors import ConfigError, DialogError, Finding, SmsflowError
from smsflow.core.reader import read_dialogs
from smsflow.library import load_files, shipped_dialogs
from smsflow.terminal import make_console, say, shown_path

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SURROUNDING_CODES", "Chosen", "NoSuchDialog", "choose_dialog", "run_check"]


SURROUNDING_CODES = {
    "no_start": "no dialog of the folder says `starts: birth`",
    "no_gateway": "an application for which the configuration has no gateway (with `--config`)",
    "unused_gateway": "a gateway to which no dialog sends anything (with `--config`)",
}
"""What `check` finds beyond a dialog by itself, beside `core.check.CODES`."""


class NoSuchDialog(SmsflowError):
    """`wanted` is neither the name of a dialog in `folder` nor a file; `names` are there."""

    def __init__(self, wanted: str, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(wanted, folder, names)
        self.wanted = wanted
        self.folder = folder
        self.names = names

    def __str__(self) -> str:
        there = f"there are {', '.join(self.names)}" if self.names else "there is none"
        return f"No dialog {self.wanted} in {shown_path(self.folder)}: {there}. Or give the path of a YAML file."


@dataclass(frozen=True, slots=True)
class Chosen:
    """The dialogs of `folder`; `names` of those that are meant, all of them when nothing was said.

    `unknown` are the complaints about what was said and is not there.
    """

    folder: Path
    dialogs: tuple[Dialog, ...]
    names: tuple[str, ...]
    unknown: tuple[NoSuchDialog, ...]

    @property
    def meant(self) -> tuple[Dialog, ...]:
        """The dialogs that are meant, in the order of the folder."""
        return tuple(dialog for dialog in self.dialogs if dialog.name in self.names)


def choose_dialog(wanted: str) -> Chosen:
    """The one dialog, or folder of dialogs, that `wanted` means: a shipped dialog's name, a file, or a folder.

    Raises: DialogError with every finding of the folder, its files named from here; NoSuchDialog.
    """
    ((place, names),) = _find_folders((wanted,), None).items()
    chosen = _choose(place, names)
    if chosen.unknown:
        raise chosen.unknown[0]
    return chosen


def _find_folders(wanted: tuple[str, ...], folder: Path | None) -> dict[Path, list[str]]:
    """The folders of what is `wanted`, and what is wanted of each by name or file; empty for all of it.

    A name is looked for in `folder`, or in the shipped one when that is None.
    """
    named: dict[Path, list[str]] = {}
    for each in wanted:
        path = Path(each)
        if path.is_dir():
            named.setdefault(path, [])
        elif path.is_file():
            named.setdefault(path.parent, []).append(path.name)
        else:
            named.setdefault(folder or shipped_dialogs(), []).append(each)
    return named or {folder or shipped_dialogs(): []}


def _choose(folder: Path, wanted: list[str]) -> Chosen:
    dialogs = _read_folder(folder)
    names = {dialog.name: dialog.name for dialog in dialogs}
    names |= {next(iter(dialog.sources)): dialog.name for dialog in dialogs}  # also by the file
    meant = tuple(names[each] for each in wanted if each in names) if wanted else tuple(names.values())
    unknown = (each for each in wanted if each not in names)
    there = tuple(dialog.name for dialog in dialogs)
    return Chosen(folder, dialogs, meant, tuple(NoSuchDialog(each, folder, there) for each in unknown))


def _read_folder(folder: Path) -> tuple[Dialog, ...]:
    try:
        return read_dialogs(load_files(folder))
    except DialogError as error:
        raise DialogError(tuple(_from_here(folder, finding) for finding in error.findings)) from error


def _from_here(folder: Path, finding: Finding) -> Finding:
    return replace(finding, file=shown_path(folder / finding.file))


# --- check ------------------------------------------------------------------------------------------------


def run_check(console: Console, wanted: tuple[str, ...], config: Path | None, *, as_json: bool) -> int:
    """Check the configuration (when given) and the dialogs, print everything, and return the exit code.

    What one folder lacks hides nothing of another. Who named a dialog that is not there is told on standard error.
    """
    folder, refused, gateways = _read_config(config) if config else (None, [], None)
    read = [shown_path(config)] if config else []
    flaws: list[Flaw] = []
    unknown: list[NoSuchDialog] = []
    places = _find_folders(wanted, folder) if wanted or folder or not config else {}
    for place, names in places.items():
        try:
            chosen = _choose(place, names)
        except DialogError as error:
            refused += error.findings
        else:
            unknown += chosen.unknown
            read += [dialog.name for dialog in chosen.meant]
            flaws += _check(chosen)
            if config and gateways is not None and chosen.folder == folder:
                flaws += _check_gateways(chosen, config, gateways)
    if as_json:
        say(console, json.dumps(_as_json(refused, flaws), ensure_ascii=False, indent=2))
    elif refused or read:
        _report(console, refused, flaws, read)
    for missing in unknown:
        say(make_console(stderr=True), str(missing))
    return 2 if refused or unknown or any(flaw.severity is Severity.ERROR for flaw in flaws) else 0


def _read_config(config: Path) -> tuple[Path | None, list[Finding], tuple[str, ...] | None]:
    """The folder of the dialogs that the configuration names, why it cannot be used, and the gateways if it can.

    The folder of a configuration that cannot be used is known where that part of it is right.
    """
    from smsflow.config import load_config

    try:
        settings = load_config(config, os.environ)
    except ConfigError as error:
        return _find_dialogs(config), list(error.findings), None
    return settings.dialogs, [], tuple(settings.gateways)


def _find_dialogs(config: Path) -> Path | None:
    try:
        data = read_document(config.read_text(encoding="utf-8"), str(config)).data
    except (OSError, UnicodeDecodeError):
        return None
    named = data.get("dialogs") if isinstance(data, dict) else None
    folder = config.parent / named if isinstance(named, str) and named else None
    return folder if folder and folder.is_dir() else None


def _check(chosen: Chosen) -> list[Flaw]:
    found = list(check_dialogs(chosen.dialogs, chosen.meant))
    is_whole = len(chosen.meant) == len(chosen.dialogs)
    if is_whole and not any(dialog.starts_at_birth for dialog in chosen.dialogs):
        first = min(next(iter(dialog.sources)) for dialog in chosen.dialogs)
        finding = Finding(first, 1, 1, "", "no dialog of this folder is begun by a recorded birth")
        fix = "write `starts: birth` in the one that is, unless people or other programs begin them all"
        found.append(Flaw(Severity.WARNING, "no_start", finding, fix))
    return [replace(flaw, finding=_from_here(chosen.folder, flaw.finding)) for flaw in found]


def _check_gateways(chosen: Chosen, config: Path, gateways: tuple[str, ...]) -> Iterator[Flaw]:
    """Applications that have nowhere to go, and gateways to which none goes."""
    sent: set[str] = set()
    for dialog in chosen.dialogs:
        file = next(iter(dialog.sources))
        document = read_document(dialog.sources[file], shown_path(chosen.folder / file))
        for state in dialog.states.values():
            if not isinstance(state, Wait) or not state.send:
                continue
            sent.add(state.send)
            if state.send not in gateways and dialog.name in chosen.names:
                problem = f"the configuration has no gateway {state.send}: the application goes nowhere"
                fix = f"add {state.send} to `gateways` in {shown_path(config)}"
                finding = document.finding(("states", state.name, "send"), problem)
                yield Flaw(Severity.WARNING, "no_gateway", finding, fix)
    document = read_document(config.read_text(encoding="utf-8"), shown_path(config))
    for kind in gateways:
        if kind not in sent:
            finding = document.finding(("gateways", kind), f"no dialog sends {kind}")
            fix = f"delete it, or correct it: {', '.join(sorted(sent)) or 'nothing'} is sent"
            yield Flaw(Severity.WARNING, "unused_gateway", finding, fix)


def _as_json(refused: list[Finding], flaws: list[Flaw]) -> dict[str, list[dict[str, Any]]]:
    return {
        "refused": [_finding_json(finding) for finding in refused],
        "findings": [
            {"severity": flaw.severity.value, "code": flaw.code, **_finding_json(flaw.finding), "fix": flaw.fix}
            for flaw in flaws
        ],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "trail": finding.trail,
        "problem": finding.problem,
    }


def _report(console: Console, refused: list[Finding], flaws: list[Flaw], read: list[str]) -> None:
    for finding in refused:
        say(console, str(finding), "red")
    for flaw in flaws:
        say(console, str(flaw), "red" if flaw.severity is Severity.ERROR else "yellow")
    if refused:
        say(console, f"{_count(len(refused), 'reason')} why smsflow would not start. Put them right first.", "bold")
    elif flaws:
        errors = sum(flaw.severity is Severity.ERROR for flaw in flaws)
        counts = f"{_count(errors, 'error')}, {_count(len(flaws) - errors, 'warning')}"
        say(console, f"{counts} in {', '.join(read)}.", "bold")
    else:
        say(console, f"Nothing wrong with {', '.join(read)}.", "green")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
