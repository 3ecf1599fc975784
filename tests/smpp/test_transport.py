"""TLS and outbind over real TCP: against octets written by hand, and certificates made here by openssl."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smsflow.smpp.backoff import Backoff, Pauses
from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.session import Session
from smsflow.tls import TlsFiles, make_context

PATIENCE_S = 10
TRANSCEIVER, RECEIVER = 0x09, 0x01


class Diary:
    """A listener that notes what it is told, and answers every text."""

    def __init__(self) -> None:
        self.notes: list[tuple] = []
        self.changed = asyncio.Event()

    def _note(self, *what) -> None:
        self.notes.append(what)
        self.changed.set()

    async def wait(self, name: str, count: int = 1) -> list[tuple]:
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [note for note in self.notes if note[0] == name]) < count:
                self.changed.clear()
                await self.changed.wait()
        return found

    def delivered(self, session, pdu: DeliverSm, epoch) -> None:
        self._note("delivered", pdu.short_message)
        session.respond(pdu.sequence, 0, epoch=epoch)

    def bound(self, session) -> None:
        self._note("bound")

    def refused(self, session, status) -> None:
        self._note("refused", status)

    def lost(self, session, reason) -> None:
        self._note("lost", reason)

    def flush(self, session) -> None: ...
    def answered(self, session, answers) -> None: ...
    def in_doubt(self, session, tokens) -> None: ...
    def throttled(self, session, status) -> None: ...
    def room(self, session) -> None: ...
    def undecodable(self, session, pdu, epoch) -> None: ...


def play(scene: Callable[[], Coroutine]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            await scene()

    asyncio.run(limited())


@asynccontextmanager
async def running(
    settings: LinkSettings, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Session, Diary]]:
    diary = Diary()
    backoff = Backoff(lambda: 0.5, ordinary=Pauses(0.05, 0.1), refused={})
    session = Session(settings, diary, tls=tls, backoff=backoff)
    task = asyncio.create_task(session.run())
    try:
        yield session, diary
    finally:
        await session.stop(0.5)
        await task


def make_settings(port: int, **changes) -> LinkSettings:
    return LinkSettings(
        **({"name": "m", "host": "127.0.0.1", "port": port, "system_id": "id", "password": "pw"} | changes)
    )


async def answer_bind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int = 0) -> int:
    """Read a bind, answer it; its command_id."""
    frame = await read_frame(reader)
    command = int.from_bytes(frame[4:8], "big")
    body = b"sc\0" if not status else b""
    writer.write(header(16 + len(body), command | 0x80000000, status, 1) + body)
    return command


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big") - 4)


def header(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in words)


OUTBIND = header(20, 0x0B, 0, 1) + b"sc\0\0"


# --- TLS ---------------------------------------------------------------------------------------------------

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, a centre's certificate for smsc.test, and a client's."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2",
                "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    for name, names in (("smsc", "DNS:smsc.test"), ("client", "DNS:smsflow")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")  # fmt: skip
        (folder / "ext").write_text(
            f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")  # fmt: skip
    return folder


@asynccontextmanager
async def a_centre(pki: Path, *, asks_certificate: bool = False) -> AsyncIterator[tuple[int, list]]:
    """A message centre over TLS; its port, and the subjects of its callers' certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "smsc.pem", pki / "smsc.key")
    if asks_certificate:
        context.load_verify_locations(pki / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    callers: list = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer_bind(reader, writer)
            callers.append(writer.get_extra_info("peercert"))
            unbind = await read_frame(reader)
            writer.write(header(16, 0x80000006, 0, int.from_bytes(unbind[12:16], "big")))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], callers
    finally:
        server.close()


@needs_openssl
def test_tls_with_verification_name_and_client_certificate(pki: Path) -> None:
    """Both sides know who the other is."""

    async def scene() -> None:
        files = TlsFiles(ca=pki / "ca.pem", cert=pki / "client.pem", key=pki / "client.key")
        async with a_centre(pki, asks_certificate=True) as (port, callers):
            settings = make_settings(port, server_name="smsc.test")
            async with running(settings, make_context(files)) as (_, diary):
                await diary.wait("bound")
            assert callers[0]["subject"] == ((("commonName", "client"),),)

    play(scene)


@needs_openssl
@pytest.mark.parametrize(
    ("ca", "name", "reason"),
    [("other.pem", "smsc.test", "certificate verify failed"), ("ca.pem", "evil.test", "Hostname mismatch"),
     ("ca.pem", "", "IP address mismatch")],
)  # fmt: skip
def test_tls_tells_nobody_the_password_who_cannot_prove_his_name(
    pki: Path, ca: str, name: str, reason: str
) -> None:
    """Another authority, or another name: no bind is sent, and the reason is told."""

    async def scene() -> None:
        async with a_centre(pki) as (port, callers):
            context = make_context(TlsFiles(ca=pki / ca))
            async with running(make_settings(port, server_name=name), context) as (_, diary):
                ((_, told),) = (await diary.wait("lost"))[:1]
                assert reason in told
            assert callers == []

    play(scene)


@needs_openssl
def test_tls_without_verification_is_possible_when_asked_for(pki: Path) -> None:
    """For a rehearsal with a self-signed centre."""

    async def scene() -> None:
        async with a_centre(pki) as (port, callers):
            async with running(make_settings(port), make_context(TlsFiles(verify=False))) as (_, diary):
                await diary.wait("bound")
            assert len(callers) == 1

    play(scene)


# --- outbind -----------------------------------------------------------------------------------------------


def a_free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def call(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(("bind", "command"), [("receiver", RECEIVER), ("transceiver", TRANSCEIVER)])
def test_outbind_is_answered_with_a_bind_on_the_same_connection(bind: str, command: int) -> None:
    """The centre connects, says outbind, is bound to, delivers; and again after a cut."""

    async def scene() -> None:
        port = a_free_port()
        async with running(make_settings(1, bind=bind, outbind=("127.0.0.1", port))) as (_, diary):
            for round_ in (1, 2):
                reader, writer = await call(port)
                writer.write(OUTBIND)
                assert await answer_bind(reader, writer) == command
                await diary.wait("bound", round_)
                body = b"\0\1\0017701\0\0\0001414\0" + bytes(8) + b"\0\3R 1"
                writer.write(header(16 + len(body), 5, 0, 7) + body)
                frame = await read_frame(reader)
                assert (frame[4:8], frame[8:16]) == (bytes.fromhex("80000005"), header(0, 7))
                writer.transport.abort()
                await diary.wait("lost", round_)
            assert len(await diary.wait("delivered", 2)) == 2

    play(scene)


def test_outbind_comes_from_the_centre_alone() -> None:
    """A stranger is not told the password; a second caller is turned away while the first is bound."""

    async def scene() -> None:
        port = a_free_port()
        async with running(make_settings(1, host="127.0.0.9", outbind=("127.0.0.1", port))) as (session, diary):
            reader, writer = await call(port)
            writer.write(OUTBIND)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        async with running(make_settings(1, outbind=("127.0.0.1", port))) as (session, diary):
            reader, writer = await call(port)
            writer.write(OUTBIND)
            await answer_bind(reader, writer)
            await diary.wait("bound")
            second, other = await call(port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await second.readexactly(1)
            assert session.may_submit
            other.close()
            writer.close()

    play(scene)


def test_stop_while_nobody_has_called() -> None:
    """At once."""

    async def scene() -> None:
        async with running(make_settings(1, outbind=("127.0.0.1", a_free_port()))):
            await asyncio.sleep(0.05)

    play(scene)


# --- refusals ----------------------------------------------------------------------------------------------


def test_17_a_wrong_password_is_tried_again_only_after_minutes() -> None:
    """The first pause is of the long kind, and `stop` does not wait for it."""

    async def scene() -> None:
        binds = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal binds
            binds += 1
            await answer_bind(reader, writer, 0x0E)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        diary = Diary()
        session = Session(make_settings(server.sockets[0].getsockname()[1]), diary, backoff=Backoff(lambda: 0.0))
        task = asyncio.create_task(session.run())
        assert await diary.wait("refused") == [("refused", 0x0E)]
        await diary.wait("lost")
        await asyncio.sleep(0.3)
        assert binds == 1
        assert session._backoff.next_s(0x0E) == 90
        await session.stop(1)
        await task
        server.close()

    play(scene)
