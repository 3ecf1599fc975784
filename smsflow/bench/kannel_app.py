"""The small HTTP application behind Kannel: takes a text, moves a row, commits, and answers with the next text.

As small and as quick as it can be made with the standard library, so that Kannel is what is compared; durable like
smsflow (`synchronous=FULL`, a commit before each answer), though Kannel itself acknowledges a text before that.

    python -m smsflow.bench.kannel_app PLAN.json
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

from smsflow.bench.centre import phone_of

__all__ = ["main"]

_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nX-Kannel-Coding: {coding}\r\n"
    "X-Kannel-Charset: UTF-8\r\nContent-Length: {length}\r\n\r\n"
)

_BACKLOG = 4096  # smsbox opens a connection for each text that is under way: none may have to knock twice


class _App:
    """Where each phone stands, in memory and on the disk."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._parts = plan["parts"]
        self._stands: dict[str, tuple[int, int]] = {}  # language, question
        self._answers = [[_as_answer(text) for text in part["texts"]] for part in self._parts]
        self._db = sqlite3.connect(plan["store"], isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE conversation (phone TEXT PRIMARY KEY, language INTEGER, question INTEGER)")
        self._db.execute("CREATE TABLE journal (phone TEXT, text TEXT, question INTEGER)")

    def answer(self, phone: str, text: str) -> bytes:
        """The next question as an HTTP answer, when it is on the disk that it is the next."""
        language, question = self._stands.get(phone, (0, 0))
        if question == 0:
            language = int(text.rsplit(maxsplit=1)[-1]) - 1
        self._stands[phone] = language, question = language, question + 1
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT OR REPLACE INTO conversation VALUES (?, ?, ?)", (phone, language, question))
        self._db.execute("INSERT INTO journal VALUES (?, ?, ?)", (phone, text, question))
        self._db.execute("COMMIT")
        return self._answers[language][question]


class _Connection(asyncio.Protocol):
    """One connection of smsbox: GET requests without bodies, one after another."""

    def __init__(self, app: _App) -> None:
        self._app = app
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for request in requests:
            asked = parse_qs(urlsplit(request.split(b" ", 2)[1].decode()).query)
            self._transport.write(self._app.answer(asked["from"][0].lstrip(" +"), asked["text"][0]))


def _as_answer(text: str) -> bytes:
    octets = text.encode()
    head = _HEAD.format(coding=0 if text.isascii() else 2, length=len(octets))
    return head.encode() + octets


async def _greet(plan: dict[str, Any]) -> None:
    """Send every mother her first question through smsbox, one after another."""
    text = plan["parts"][0]["texts"][0]
    asked = f"/cgi-bin/sendsms?username=bench&password=bench&from={plan['number']}&coding=2&charset=UTF-8"
    for mother in range(plan["mothers"]):
        reader, writer = await asyncio.open_connection("127.0.0.1", plan["sendsms"])
        query = f"{asked}&to={phone_of(mother)}&text={quote(text)}"
        writer.write(f"GET {query} HTTP/1.1\r\nHost: smsbox\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()


async def _serve(plan: dict[str, Any]) -> None:
    app = _App(plan)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(app), "127.0.0.1", plan["app"], backlog=_BACKLOG)
    async with server:
        await _greet(plan)
        await server.serve_forever()


def main() -> None:
    """Serve until the end."""
    from smsflow.terminal import run_loop

    run_loop(_serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
