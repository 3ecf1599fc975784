"""`smsflow smsc` on a pipe, with a real session bound to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import asynccontextmanager

from commands import PATIENCE_S, a_centre, smsflow

from smsflow.core.encoding import decode
from smsflow.smpp.backoff import Backoff
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.segments import submits
from smsflow.smpp.session import Session


class Listener:
    """Takes every reply, and lets a test wait for what happens."""

    def __init__(self) -> None:
        self.bound_once = asyncio.Event()
        self.refusals: asyncio.Queue[int] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.replies: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def bound(self, _session) -> None:
        self.bound_once.set()

    def refused(self, _session, status) -> None:
        self.refusals.put_nowait(status)

    def lost(self, _session, reason) -> None:
        self.losses.put_nowait(reason)

    def delivered(self, session, pdu, epoch) -> None:
        if not pdu.esm_class & 0x04:  # receipts are none of ours here
            self.replies.put_nowait((pdu.source_addr, decode(pdu.data_coding, pdu.short_message)))
        session.respond(pdu.sequence, 0, epoch=epoch)

    def flush(self, *_) -> None: ...
    def answered(self, *_) -> None: ...
    def in_doubt(self, *_) -> None: ...
    def throttled(self, *_) -> None: ...
    def room(self, *_) -> None: ...
    def undecodable(self, *_) -> None: ...


@asynccontextmanager
async def session(port: int, *, password: str = "secret"):
    listener = Listener()
    settings = LinkSettings("main", "127.0.0.1", port, "smsflow", password)
    own = Session(settings, listener, backoff=Backoff(lambda: 0.0, refused={}))
    task = asyncio.create_task(own.run())
    try:
        yield own, listener
    finally:
        await own.stop(1)
        await task


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def test_texts_come_as_lines_and_lines_go_as_replies() -> None:
    """Both ways in one go; a line without a number goes from the last one."""

    async def scene() -> None:
        async with a_centre() as desk, session(desk.port) as (own, listener):
            await listener.bound_once.wait()
            for part in submits(
                "Сәбиіңіз құтты болсын! " * 4, source_addr="1414", destination_addr="77011234567", reference=1
            ):
                own.submit("text", part)
            shown = await desk.line(lambda line: line.startswith("→"))
            assert shown.startswith("→ 77011234567  Сәбиіңіз құтты болсын!")
            assert shown.endswith("(2 segments)")

            await desk.type("87011234567 R 1 1 2", "R 1 1 2 Ким Анна", "+77050000001 стоп")
            assert await listener.replies.get() == ("77011234567", "R 1 1 2")
            assert await listener.replies.get() == ("77011234567", "R 1 1 2 Ким Анна")
            assert await listener.replies.get() == ("77050000001", "стоп")
            assert await desk.line(lambda line: line.startswith("←")) == "← 77011234567  R 1 1 2"

            await desk.type("/who")
            assert "77011234567" in await desk.line(lambda line: line.startswith("· 7701"))
            assert await desk.end() == 0
            assert "unb" in (await listener.losses.get())

    run(scene())


def test_lines_wait_for_a_bind() -> None:
    """A script may begin before the daemon does, and ends when its lines are answered."""

    async def scene() -> None:
        async with a_centre() as desk:
            await desk.type("77011234567 R 1 1 2")
            ending = asyncio.create_task(desk.end())
            async with session(desk.port) as (_, listener):
                assert await listener.replies.get() == ("77011234567", "R 1 1 2")
                assert await ending == 0

    run(scene())


def test_a_wrong_password_is_refused() -> None:
    """With --system-id and --password only that one may bind."""

    async def scene() -> None:
        async with a_centre("--system-id", "smsflow", "--password", "right") as desk:
            async with session(desk.port, password="wrong") as (_, listener):
                assert await listener.refusals.get() == 0x0E
            async with session(desk.port, password="right") as (_, listener):
                await listener.bound_once.wait()

    run(scene())


def test_drop_cuts_the_connection() -> None:
    """What a failing network does can be tried."""

    async def scene() -> None:
        async with a_centre() as desk, session(desk.port) as (_, listener):
            await listener.bound_once.wait()
            await desk.type("/drop")
            await listener.losses.get()
            assert await desk.end() == 0

    run(scene())


def test_sigterm_unbinds_and_ends_with_0() -> None:
    """Also with --listen-only, when standard input has ended long ago."""

    async def scene() -> None:
        async with a_centre("--listen-only") as desk, session(desk.port) as (_, listener):
            desk.process.stdin.close()
            await listener.bound_once.wait()
            desk.process.send_signal(signal.SIGTERM)
            assert await desk.process.wait() == 0

    run(scene())


def test_a_port_in_use_is_one_sentence() -> None:
    """It says what to do next; exit code 1."""

    async def scene() -> None:
        async with a_centre() as desk:
            done = await asyncio.to_thread(smsflow, "smsc", "--port", desk.port)
            assert done.returncode == 1
            assert "Address already in use" in done.stderr
            assert "--port" in done.stderr
            assert len(done.stderr.splitlines()) == 1

    run(scene())


def test_what_cannot_be_obeyed_is_explained() -> None:
    """A text without a number, and a command that there is not."""
    done = smsflow("smsc", "--port", "0", typed="R 1 1 2\n/foo\n:foo\n")

    assert done.returncode == 0
    assert "From which number?" in done.stdout
    assert "/foo is no command" in done.stdout
    assert ":foo is no command" in done.stdout
    assert ":drop" in done.stdout


def test_a_line_is_shown_once_before_what_answers_it() -> None:
    """Whoever reads a pipe sees cause and effect in their order."""

    async def scene() -> None:
        async with a_centre() as desk, session(desk.port) as (own, listener):
            await listener.bound_once.wait()
            answer = listener.delivered

            def answer_at_once(session, pdu, epoch) -> None:
                if not pdu.esm_class & 0x04:  # an answer to its receipt would have a receipt too, and so for ever
                    for part in submits("next", source_addr="1414", destination_addr="77011234567", reference=1):
                        own.submit("text", part)
                answer(session, pdu, epoch)

            listener.delivered = answer_at_once
            await desk.type("77011234567 R 1 1 2")
            assert await desk.line(lambda line: line[:1] in "←→") == "← 77011234567  R 1 1 2"
            assert await desk.line(lambda line: line[:1] in "←→") == "→ 77011234567  next (1 segment)"
            assert await desk.end() == 0
            assert "R 1 1 2" not in (await desk.process.stdout.read()).decode()

    run(scene())


def test_what_is_no_text_of_hers_is_refused() -> None:
    """A command, a bare word that looks like one, half a number: nothing goes out as the last mother's text."""

    async def scene() -> None:
        async with a_centre() as desk, session(desk.port) as (_, listener):
            await listener.bound_once.wait()
            await desk.type("77011234567 R 1 1 2", ":help", "help", "701 hi", "+7 701 123 45 67 hi", "112 Ким Анна")
            assert await listener.replies.get() == ("77011234567", "R 1 1 2")
            assert await listener.replies.get() == ("77011234567", "112 Ким Анна")
            assert "cut every connection" in await desk.line(lambda line: line.startswith(":drop"))
            assert await desk.line(lambda line: "is the command" in line)
            for begun in ("701", "+7"):
                assert (await desk.line(lambda line: "not a whole number" in line)).startswith(f"{begun} is")
            await desk.type("77011234567 help")
            assert await listener.replies.get() == ("77011234567", "help")
            await desk.type(":quit")
            assert await desk.process.wait() == 0

    run(scene())


def test_half_a_password_is_a_usage_error() -> None:
    """--system-id without --password would admit nobody or everybody: neither is guessed."""
    done = smsflow("smsc", "--system-id", "smsflow")

    assert done.returncode == 2
    assert "go together" in done.stderr
