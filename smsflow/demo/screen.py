"""Conversations on the screen, as they happen: side by side where there is room, else line by line.

On a wide terminal each mother has a lane, and what happens within a quarter of a second stands in one row.
A narrow terminal gets `time name → text`, wrapped; a pipe the same, unwrapped, one text a line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

from smsflow.terminal import printable, wrap

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Screen", "choose_screen"]

_STYLES = ("cyan", "magenta", "yellow", "blue", "bright_red", "bright_cyan")
_REPLY = "bold green"
_TIME = "%d.%m %H:%M"
_GUTTER = 13  # the time, and two blanks
_LEAST_LANE = 20
_ROW_S = 0.25
_PAGE = 40  # lines, then the names again


class Screen(Protocol):
    """Shows who writes what."""

    def show(self, at: datetime, name: str, text: str, *, reply: bool) -> None:
        """A text to mother `name`, or her `reply`."""

    async def run(self) -> None:
        """Keep the screen up to date, until it is cancelled."""

    def finish(self) -> None:
        """Show what is left."""


def choose_screen(console: Console, names: Sequence[str]) -> Screen:
    """Lanes where each of `names` has room for one on a terminal, else lines."""
    lane = (console.width - _GUTTER) // max(len(names), 1)
    if console.is_terminal and lane >= _LEAST_LANE + 1:
        return _Lanes(console, names, lane)
    return _Lines(console, names)


class _Lines:
    """One text after the other."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._width = max((len(name) for name in names), default=0)
        self._styles = {name: _STYLES[index % len(_STYLES)] for index, name in enumerate(names)}

    def show(self, at: datetime, name: str, text: str, *, reply: bool) -> None:
        from rich.text import Text

        words = printable(text)
        head = f"{at:{_TIME}}  {name:{self._width}}  "
        indent = len(head) + 2
        if self._console.is_terminal and self._console.width > 2 * indent:
            words = f"\n{' ' * indent}".join(wrap(words, self._console.width - indent)) or words
        style = self._styles.get(name, "")
        line = Text.assemble((head, style), ("← " if reply else "→ ", style), (words, _REPLY if reply else ""))
        self._console.print(line)
        self._console.file.flush()

    async def run(self) -> None:
        await asyncio.Event().wait()

    def finish(self) -> None:
        """Everything is shown already."""


@dataclass(slots=True)
class _Said:
    """What a lane shows of one text: its lines, and whether it is a reply."""

    lines: list[str]
    reply: bool


class _Lanes:
    """One column for each mother."""

    def __init__(self, console: Console, names: Sequence[str], lane: int) -> None:
        self._console = console
        self._lane = lane
        self._names = tuple(names)
        self._row: dict[str, list[_Said]] = {name: [] for name in names}
        self._began: datetime | None = None
        self._lines = _PAGE

    def show(self, at: datetime, name: str, text: str, *, reply: bool) -> None:
        self._began = self._began or at
        lines = wrap(printable(text), self._lane - 3)
        arrow = "← " if reply else "→ "
        self._row[name].append(_Said([arrow + lines[0], *(f"  {line}" for line in lines[1:])], reply))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_ROW_S)
            self.finish()

    def finish(self) -> None:
        if self._began is None:
            return
        columns = [
            [(line, _REPLY if said.reply else "") for said in self._row[name] for line in said.lines]
            for name in self._names
        ]
        if self._lines >= _PAGE:
            self._lines = 0
            names = [(name, f"bold {_STYLES[place % len(_STYLES)]}") for place, name in enumerate(self._names)]
            self._print("", names)
        head = f"{self._began:{_TIME}}"
        for cells in zip_longest(*columns, fillvalue=("", "")):
            self._print(head, cells)
            head = ""
        self._row = {name: [] for name in self._names}
        self._began = None

    def _print(self, head: str, cells: Sequence[tuple[str, str]]) -> None:
        from rich.text import Text

        self._lines += 1
        line = Text(f"{head:{_GUTTER}}", style="dim")
        for words, style in cells:
            line.append(f"{words:{self._lane}}", style)
        line.rstrip()
        self._console.print(line)
        self._console.file.flush()
