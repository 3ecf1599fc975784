"""`smsflow smsc`: a message centre in the terminal. Texts come as lines, and lines go as replies.

→ 77011234567  Сәбиіңіз құтты болсын! … (2 segments)
← 77011234567  R 1 1 2
→ 77011234567  Баланың тегін, атын, әкесінің атын жазыңыз … (2 segments)

A line that is typed is on the screen already; from a pipe it is shown when it is sent, before what answers it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from smsflow.smpp.faults import Faults, Rule
from smsflow.smpp.smsc import MessageCentre, Text
from smsflow.smpp.statuses import Status, status_name
from smsflow.terminal import ending_on_signals, printable, read_lines, say, say_wrapped, segments_in_words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Handsets", "run_centre"]

_LINE = re.compile(r"\s*(?:\+?7|8)(\d{10})(?:\s+(.*))?", re.DOTALL)
_NO_NUMBER = re.compile(r"\s*(\+\S*|[78]\d\d+|[78] ?\(?7\d\d\)?|\d{6,})")  # begins as a number would, and is none
_WORDS = ("help", "quit", "who", "drop")
_LINGER_S = 1.0  # after the last line, for the answers to it
_HELP = (
    "77011234567 R 1 1 2   send a text as this mother; then text alone goes from the same number",
    ":who                  the numbers that have had texts, and the last of each",
    ":drop                 cut every connection, as a failing network does",
    ":quit                 unbind and end (so does Ctrl-D)",
)


class Handsets:
    """Phones as lines: shows what they get, and sends what is typed. `number` is the one that they write to."""

    def __init__(self, show: Callable[[str, str], None], number: str) -> None:
        """Prepare; `show(words, style)` prints a line. `centre` must be set before anything is typed."""
        self._show = show
        self._number = number
        self._last: dict[str, str] = {}
        self._current = ""
        self._typed: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.centre: MessageCentre

    def take(self, text: Text) -> None:
        """Show a text that a phone gets."""
        self._last[text.destination] = text.text
        words = f"→ {text.destination}  {printable(text.text)} {segments_in_words(text.segments)}"
        self._show(words, "cyan")

    async def read(self) -> None:
        """Take lines until they end or `:quit`, and see every reply answered."""
        sending = asyncio.create_task(self._send_forever())
        try:
            async for line in read_lines():
                if line.strip() in (":quit", ":q", "/quit", "/q"):
                    return
                self._type(line)
            await self._typed.join()
            await asyncio.sleep(_LINGER_S)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending

    def _type(self, line: str) -> None:
        if not line.strip():
            return
        if line.startswith((":", "/")):
            self._obey(line.strip())
            return
        found = _LINE.fullmatch(line)
        if found:
            self._current = f"7{found[1]}"
        elif problem := self._why_not(line):
            self._show(problem, "yellow")
            return
        text = (found[2] or "") if found else line
        if found and not text:
            self._show(f"· {self._current} writes from now on", "dim")
            return
        self._typed.put_nowait((self._current, text))

    def _why_not(self, line: str) -> str:
        """Why a line without a number is not sent, "" when it goes from the last one."""
        word = line.strip()
        if word.lower() in _WORDS:
            return (
                f":{word.lower()} is the command. To send that word, write a number before it: 77011234567 {word}"
            )
        if begun := _NO_NUMBER.match(line):
            return f"{begun[1]} is not a whole number. Write 77011234567 and a blank before the text."
        return "" if self._current else "From which number? Write 77011234567 and a blank before the text."

    def _obey(self, line: str) -> None:
        command = line[1:]
        if command == "drop":
            self.centre.drop_connections()
            self._show("· every connection was cut", "dim")
        elif command == "who":
            for msisdn, text in self._last.items():
                self._show(f"· {msisdn}  {printable(text)}", "dim")
            if not self._last:
                self._show("· nobody has had a text yet", "dim")
        else:
            if command != "help":
                self._show(f"{line} is no command. These are:", "yellow")
            for words in _HELP:
                self._show(words, "dim")

    async def _send_forever(self) -> None:
        while True:
            msisdn, text = await self._typed.get()
            if not sys.stdin.isatty():
                self._show(f"← {msisdn}  {printable(text)}", "green")
            try:
                status = await self.centre.send(msisdn, text, number=self._number)
                trouble = "" if status == Status.ROK else f"answered with {status_name(status)}"
            except ValueError as error:
                trouble = f"not sent: {error}"
            if trouble:
                self._show(f"{msisdn}  {printable(text)}  {trouble}", "red")
            self._typed.task_done()


async def run_centre(
    console: Console,
    *,
    host: str,
    port: int,
    number: str,
    credentials: Mapping[str, str] | None,
    listen_only: bool,
    rules: Sequence[Rule] = (),
) -> None:
    """Be a message centre until the lines end, `:quit`, Ctrl-C or SIGTERM.

    Raises: OSError when it cannot listen.
    """
    handsets = Handsets(lambda words, style: say_wrapped(console, words, style), number)
    faults = Faults(rules, lambda words: say(console, f"! {words}", "magenta"))
    centre = handsets.centre = MessageCentre(handsets.take, credentials=credentials, faults=faults)
    port = await centre.start(host, port)
    _introduce(console, host, port, credentials, listen_only=listen_only)
    with ending_on_signals() as ending:
        telling = asyncio.create_task(_tell_bound(console, centre))
        reading = asyncio.create_task(_wait(ending) if listen_only else handsets.read())
        signalled = asyncio.create_task(_wait(ending))
        await asyncio.wait((reading, signalled), return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, reading, signalled):
            task.cancel()
        await asyncio.wait((telling, reading, signalled))
    await centre.stop()


async def _wait(ending: asyncio.Event) -> None:
    await ending.wait()


async def _tell_bound(console: Console, centre: MessageCentre) -> None:
    say(console, "· nothing is bound yet; replies wait for a bind", "dim")
    await centre.wait_bound()
    say(console, "· bound", "dim")


def _introduce(
    console: Console, host: str, port: int, credentials: Mapping[str, str] | None, *, listen_only: bool
) -> None:
    system_id = next(iter(credentials)) if credentials else "smsflow"
    who = f"as {system_id}, with the password" if credentials else "with any system_id and password"
    password = "…" if credentials else "any"
    link = f"{{name: main, host: {host}, port: {port}, system_id: {system_id}, password: {password}}}"
    say(console, f"Message centre on {host}:{port}; bind {who}. In the configuration of smsflow:", "bold")
    say(console, f"  links: [{link}]")
    if not listen_only:
        say(console, "Be a mother: 77011234567 R 1 1 2 (her number, then her text). :help says more.", "dim")
