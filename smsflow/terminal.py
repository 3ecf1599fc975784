"""What the commands share at the terminal: a console that knows where it writes, lines as they are typed, Ctrl-C.

Colours only where somebody watches and NO_COLOR is not set. In a pipe nothing is wrapped: one text, one line.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from smsflow.core.errors import ConfigError, DialogError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

__all__ = [
    "ending_on_signals",
    "findings_in",
    "make_console",
    "printable",
    "read_lines",
    "run_loop",
    "say",
    "say_wrapped",
    "segments_in_words",
    "shown_path",
    "wrap",
]

Result = TypeVar("Result")

_TOGETHER = re.compile(r"(?<!\S)(?:R(?: \d)+|\d (?=[^\d\s]))")


def make_console(*, stderr: bool = False) -> Console:
    """A console for standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True)


def say(console: Console, words: str, style: str = "") -> None:
    """Print one line at once: whoever reads a pipe sees it when it happens."""
    console.print(words, style=style or None)
    console.file.flush()


def say_wrapped(console: Console, words: str, style: str = "") -> None:
    """Print one line; on a terminal that is too narrow for it, wrapped under its own beginning."""
    if console.is_terminal and len(words) > console.width:
        text = words.lstrip(" →←·")
        head = words[: len(words) - len(text)]
        words = f"\n{' ' * len(head)}".join(wrap(text, console.width - len(head)))
        words = f"{head}{words}"
    say(console, words, style)


def wrap(words: str, width: int) -> list[str]:
    """Lines of `words`; what belongs together (`R 1 1 2`, `3 label`) stays on one line."""
    bound = _TOGETHER.sub(lambda found: found[0].replace(" ", "\u00a0"), words)
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(bound, width, break_on_hyphens=False)] or [""]


def printable(text: str) -> str:
    """`text` as it may be shown: line ends as ⏎, every blank as a blank, nothing that could move the cursor."""
    return "".join(map(_shown, text))


def _shown(sign: str) -> str:
    if sign == "\n":
        return "⏎"
    if sign.isspace():
        return " "
    return sign if sign.isprintable() else "·"


def segments_in_words(count: int) -> str:
    """`(1 segment)`, `(2 segments)`."""
    return f"({count} segment{'' if count == 1 else 's'})"


def findings_in(error: ConfigError | DialogError, folder: Path | None = None) -> Iterator[str]:
    """Each finding as a line; file names are relative to `folder` when it is given."""
    for finding in error.findings:
        yield str(finding) if folder is None else f"{shown_path(folder)}/{finding}"


def shown_path(path: Path) -> str:
    """`path` from the working folder where it lies inside, else whole."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith(os.pardir) else shown


def run_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, on uvloop where it is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        new_event_loop = asyncio.new_event_loop  # type: ignore[assignment]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def ending_on_signals() -> Iterator[asyncio.Event]:
    """An event that is set by Ctrl-C and SIGTERM, which do nothing else meanwhile."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    try:
        yield ending
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def read_lines() -> AsyncIterator[str]:
    """The lines of standard input as they come, from a terminal, a pipe or a file; ends where it ends."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def put(line: str | None) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(queue.put_nowait, line)

    # a thread, because a file cannot be polled; a daemon without Python's buffers, so it never holds up the end
    threading.Thread(target=_pump, args=(sys.stdin.fileno(), put), daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _pump(descriptor: int, put: Any) -> None:  # noqa: ANN401 - takes a line, or None at the end
    rest = b""
    with suppress(OSError):  # the terminal is gone
        while octets := os.read(descriptor, 65_536):
            *lines, rest = (rest + octets).split(b"\n")
            for line in lines:
                put(line.decode("utf-8", "replace").rstrip("\r"))
    if rest:
        put(rest.decode("utf-8", "replace"))
    put(None)
