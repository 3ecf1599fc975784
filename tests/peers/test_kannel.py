"""Against Kannel: its load generator as a hostile message centre, and its bearerbox as a client of ours."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from urllib.parse import quote_plus, urlencode

import httpx2
import pytest
from commands import a_centre, environment
from peers.stack import write_config

from smsflow.smpp.smsc import MessageCentre, Text

TIMEOUT_S = 30
FLOOD = 500  # as far as it runs ahead of our submits, and from `456`, who is no phone, none follow


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def a_process(log: Path, *command: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process whose words go to `log`; killed if it does not end by itself."""
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=words, stderr=words, env=environment(), cwd=log.parent
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def a_smsbox() -> AsyncIterator[None]:
    """Somebody on port 13001, whom drive_smpp insists on; who holds it already does as well, if only he stays."""
    writers: list[asyncio.StreamWriter] = []
    for attempt in itertools.count():
        try:
            server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 13001)
            break
        except OSError:  # another run of this test, or a Kannel that runs as a service
            if attempt == 100:
                yield
                return
            await asyncio.sleep(0.1)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def until_listening(port: int) -> AsyncIterator[None]:
    """Somebody listens on `port`."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        await asyncio.sleep(0.05)
    yield


def count(store: Path) -> int:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as base:
        return int(base.execute("SELECT count(DISTINCT text) FROM inbound").fetchone()[0])
    return 0


def test_flood_of_drive_smpp(tmp_path: Path, drive_smpp: str) -> None:
    """Hundreds of texts at once, sequences from 0, an enquire_link after each: all kept and answered."""

    async def play() -> None:
        port, log = a_free_port(), tmp_path / "drive.log"
        config = write_config(tmp_path, port, bind="receiver+transmitter")
        async with (
            asyncio.timeout(TIMEOUT_S),
            a_smsbox(),
            a_process(log, drive_smpp, "-p", port, "-m", FLOOD, "-v", 0),
            a_process(tmp_path / "log", sys.executable, "-m", "smsflow", "run", "--config", config) as daemon,
        ):
            while count(tmp_path / "store.db") < FLOOD:
                assert daemon.returncode is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.05)
            while log.read_text().count("type deliver_sm_resp") < FLOOD:  # noqa: ASYNC110 - it only writes a log
                await asyncio.sleep(0.05)
            daemon.send_signal(signal.SIGTERM)
            assert await daemon.wait() == 0
            assert log.read_text().count("type enquire_link_resp") >= FLOOD
            assert "PANIC" not in log.read_text()
            words = (tmp_path / "log").read_text()
            assert "smpp.undecodable" not in words
            assert words.count("smpp.connected") == 2

    asyncio.run(play())


LINK = """
group = smsc
smsc = smpp
smsc-id = ours
host = 127.0.0.1
{mode}
smsc-username = kannel
smsc-password = secret
system-type = VMA
address-range = ""
enquire-link-interval = 1
reconnect-delay = 1
"""
KANNEL = """
group = core
admin-port = {admin}
admin-password = bar
smsbox-port = {box}
log-level = 0
box-allow-ip = 127.0.0.1
dlr-storage = internal

{links}
group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
log-level = 0

group = sendsms-user
username = desk
password = secret
user-allow-ip = 127.0.0.1
max-messages = 5
concatenation = true

group = sms-service
keyword = default
text = "you wrote %a"
max-messages = 5
concatenation = true
accepted-smsc = ours
"""


TRANSCEIVER = ("port = {port}\ntransceiver-mode = true",)
PAIR = ("port = {port}", "receive-port = {port}")


def write_kannel(folder: Path, port: int, box: int, modes: tuple[str, ...], http: int = 0) -> Path:
    """Its configuration: bound to `port`, with the smsbox on `box`, which takes texts by HTTP on `http`."""
    config = folder / "kannel.conf"
    links = "".join(LINK.format(mode=mode.format(port=port)) for mode in modes)
    config.write_text(KANNEL.format(admin=a_free_port(), box=box, links=links, http=http or a_free_port()))
    return config


def find_smsbox() -> str:
    """It comes with bearerbox."""
    smsbox = shutil.which("smsbox", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert smsbox
    return smsbox


@pytest.mark.parametrize("modes", [TRANSCEIVER, PAIR], ids=["transceiver", "receiver_and_transmitter"])
def test_bearerbox_binds_to_our_message_centre(tmp_path: Path, bearerbox: str, modes: tuple[str, ...]) -> None:
    """It gets what a phone writes, and what it answers comes, long texts joined; so do its enquire_links."""
    smsbox = find_smsbox()

    async def play() -> None:
        texts: asyncio.Queue[Text] = asyncio.Queue()
        centre = MessageCentre(texts.put_nowait, credentials={"kannel": "secret"}, enquire_link_s=0.5)
        port = await centre.start("127.0.0.1", 0)
        box = a_free_port()
        config = write_kannel(tmp_path, port, box, modes)
        async with (
            asyncio.timeout(TIMEOUT_S),
            a_process(tmp_path / "bearerbox.log", bearerbox, config),
            until_listening(box),
            a_process(tmp_path / "smsbox.log", smsbox, config),
        ):
            while await centre.send("77010000001", "anybody"):  # noqa: ASYNC110 - refused until smsbox is there
                await asyncio.sleep(0.05)
            assert (await texts.get()).text == "you wrote anybody"
            long = "Congratulations on the birth of your child " * 6
            for text in ("R 1 1 2", long):
                assert await centre.send("77011234567", text.strip()) == 0
                answer = await texts.get()
                assert (answer.source, answer.destination) == ("1414", "77011234567")
                assert answer.text == f"you wrote {quote_plus(text.strip())}"  # Kannel writes a blank as +
            await asyncio.sleep(1.2)  # enquire_link goes both ways meanwhile
            assert await centre.send("77011234567", "still there") == 0
            assert (await texts.get()).text == "you wrote still+there"
            await centre.stop()

    asyncio.run(play())


@asynccontextmanager
async def reports() -> AsyncIterator[tuple[int, asyncio.Queue[str]]]:
    """An HTTP server for delivery reports: its port, and what is asked of it."""
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.put_nowait(head.split(b" ")[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("modes", [TRANSCEIVER, PAIR], ids=["transceiver", "receiver_and_transmitter"])
def test_bearerbox_lives_with_the_command_smsc(tmp_path: Path, bearerbox: str, modes: tuple[str, ...]) -> None:
    """`smsflow smsc` as an operator's colleague starts it: bind, a text each way, its receipt, unbind."""
    smsbox, log = find_smsbox(), tmp_path / "bearerbox.log"

    async def send(http: int, text: str, report: str) -> None:
        query = urlencode(
            {"username": "desk", "password": "secret", "from": "1414", "to": "77011234567", "text": text,
             "dlr-mask": 1 | 2, "dlr-url": report}
        )  # fmt: skip
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{http}/cgi-bin/sendsms?{query}")
        assert answer.status_code == 202, answer.text

    async def play() -> None:
        box, http = a_free_port(), a_free_port()
        async with (
            asyncio.timeout(TIMEOUT_S),
            a_centre("--system-id", "kannel", "--password", "secret") as desk,
            reports() as (port, asked),
        ):
            config = write_kannel(tmp_path, desk.port, box, modes, http)
            async with (
                a_process(log, bearerbox, config) as kannel,
                until_listening(box),
                a_process(tmp_path / "smsbox.log", smsbox, config),
                until_listening(http),
            ):
                await desk.line(lambda line: line == "· bound\n")
                shown = "refused"
                while "→" not in shown:  # until smsbox is there, too
                    await desk.type("77011234567 R 1 1 2")
                    shown = await desk.line(lambda line: "→" in line or "answered with" in line)
                assert shown == "→ 77011234567  you wrote R+1+1+2 (1 segment)"
                await send(http, "hello", f"http://127.0.0.1:{port}/report?what=%d&whom=%p")
                assert await desk.line(lambda line: line.startswith("→")) == "→ 77011234567  hello (1 segment)"
                assert await asked.get() == "/report?what=1&whom=77011234567"  # 1: delivered to the phone
                kannel.send_signal(signal.SIGTERM)
                await kannel.wait()
            assert log.read_text(errors="replace").count("type_name: unbind_resp") == len(modes)
            assert await desk.end() == 0

    asyncio.run(play())
