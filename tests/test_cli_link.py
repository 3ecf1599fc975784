"""`smsflow link …` as an operator uses it at night: real commands, a real daemon, real TCP and HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from commands import PATIENCE_S, environment, smsflow

from smsflow.smpp.faults import Faults, Rule, make_rule
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.probe import probe
from smsflow.smpp.smsc import MessageCentre, Text

DIALOGS = Path(__file__).parent.parent / "dialogs"
CONFIG = """\
store: sqlite:///store.db
dialogs: {dialogs}
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {{name: main, host: 127.0.0.1, port: {port}, system_id: smsflow, password: secret, {extra}}}
api:
  listen: 127.0.0.1:{api}
  clients:
    - {{name: ward, token: ward, may: [births]}}
    - {{name: desk, token: desk, may: [read, operate]}}
    - {{name: watcher, token: watch, may: [read]}}
"""
PHONE = "77011234567"


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(folder: Path, port: int, extra: str = "tps: 0") -> Path:
    file = folder / "smsflow.yaml"
    file.write_text(CONFIG.format(dialogs=DIALOGS, port=port, api=a_free_port(), extra=extra))
    return file


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


# --- check ------------------------------------------------------------------------------------------------


async def link_check(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(smsflow, "link", "check", "main", "--config", file, *options)


def steps(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    return {step["step"]: step for step in json.loads(done.stdout)["steps"]}


def test_check_of_a_link_that_works(tmp_path: Path) -> None:
    """Every step with its time; exit code 0; a reply that comes meanwhile comes again later."""

    async def scene() -> None:
        centre = MessageCentre(lambda _: None, credentials={"smsflow": "secret"})
        file = configure(tmp_path, await centre.start())
        status = asyncio.create_task(centre.send(PHONE, "R 1 1 2"))
        done = await link_check(file, "--json")
        assert done.returncode == 0, done.stderr
        report = steps(done)
        assert list(report) == ["resolve", "connect", "bind", "enquire_link", "unbind"]
        assert all(step["ok"] and step["took_ms"] >= 0 and not step["cause"] for step in report.values())
        assert "SMPP 3.4" in report["bind"]["detail"]
        assert await status == 0x08  # ESME_RSYSERR: later, please

        done = await link_check(file)
        assert done.returncode == 0
        assert re.search(r"^  bind +ok +[\d.]+ ms  as transceiver", done.stdout, re.MULTILINE)
        assert "\x1b" not in done.stdout
        await centre.stop()

    run(scene())


def test_check_tries_both_binds_of_a_pair(tmp_path: Path) -> None:
    """Receiver and transmitter, one after the other."""

    async def scene() -> None:
        centre = MessageCentre(lambda _: None)
        file = configure(tmp_path, await centre.start(), "bind: receiver+transmitter")
        done = await link_check(file, "--json")
        assert done.returncode == 0
        binds = [step["bind"] for step in json.loads(done.stdout)["steps"] if step["step"] == "bind"]
        assert binds == ["receiver", "transmitter"]
        await centre.stop()

    run(scene())


def test_check_of_a_wrong_password(tmp_path: Path) -> None:
    """The status by name, the likely cause, and the next thing to try; exit code 1; no password anywhere."""

    async def scene() -> None:
        centre = MessageCentre(lambda _: None, credentials={"smsflow": "other"})
        file = configure(tmp_path, await centre.start())
        done = await link_check(file)
        await centre.stop()
        assert done.returncode == 1
        assert "ESME_RINVPASWD" in done.stdout
        assert "likely: the password is wrong" in done.stdout
        assert "next: compare `password`" in done.stdout
        assert re.search(r"unbind +not tried", done.stdout)
        assert "secret" not in done.stdout + done.stderr

    run(scene())


def test_check_of_a_closed_port_and_of_an_unknown_name(tmp_path: Path) -> None:
    """What the system says, and what it likely means."""
    file = configure(tmp_path, a_free_port())
    refused = smsflow("link", "check", "main", "--config", file, "--json")
    assert refused.returncode == 1
    assert steps(refused)["connect"]["detail"].endswith("Connection refused")
    assert "nothing listens" in steps(refused)["connect"]["cause"]
    assert steps(refused)["bind"]["ok"] is None

    file.write_text(file.read_text().replace("host: 127.0.0.1", "host: no-such-centre.invalid"))
    unknown = smsflow("link", "check", "main", "--config", file, "--json")
    assert unknown.returncode == 1
    assert steps(unknown)["resolve"]["cause"]
    assert steps(unknown)["resolve"]["next"]


# What a centre answers to the bind, by hand after SMPP v3.4 (or not SMPP at all), and what is seen of it.
ANSWERS = {
    "silent": (b"", False, "bind", "no answer in 0.5 s"),
    "closed": (b"", True, "bind", "closed the connection"),
    "locked": (bytes.fromhex("00000010 80000009 0000000d 00000001"), False, "bind", "ESME_RBINDFAIL"),
    "bound": (bytes.fromhex("00000010 80000009 00000005 00000001"), False, "bind", "ESME_RALYBND"),
    "nack": (bytes.fromhex("00000010 80000000 00000003 00000001"), False, "bind", "generic_nack ESME_RINVCMDID"),
    "vendor": (bytes.fromhex("00000010 80000009 00000442 00000001"), False, "bind", "0x00000442"),
    "web": (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "bind", "HTTP/1.1"),
    "tls": (bytes.fromhex("15030100020246"), True, "bind", "\\x15\\x03"),
    "deaf": (bytes.fromhex("00000015 80000009 00000000 00000001 6d63000000"), False, "enquire_link", "no answer"),
    "gone": (bytes.fromhex("00000011 80000009 00000000 00000001 00"), True, "enquire_link", "closed"),
}


@asynccontextmanager
async def a_server(answer: bytes, close: bool, **options: object) -> AsyncIterator[int]:
    """Something that listens, answers the first octets with `answer`, and then is silent or closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1000)
            writer.write(answer)
            if not close:
                await reader.read()
                await reader.read()
            writer.close()
        except (ConnectionError, ssl.SSLError):
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("case", ANSWERS)
def test_check_knows_a_likely_cause(case: str) -> None:
    """By what is seen, from a table: never the same words for everything."""
    answer, close, step, seen = ANSWERS[case]

    async def scene() -> None:
        async with a_server(answer, close) as port:
            settings = LinkSettings("main", "127.0.0.1", port, "smsflow", "secret")
            done = {each.name: each async for each in probe(settings, None, timeout_s=0.5)}
        failed = done[step]
        assert failed.ok is False
        assert seen in failed.detail
        assert failed.cause.likely not in ("", "not known")
        assert failed.cause.advice
        assert done["unbind"].ok is None

    run(scene())


def test_check_of_tls(tmp_path: Path) -> None:
    """A certificate that nobody signed is told; with `ca` it is bound, and says until when it holds."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", "key.pem", "-out",
         "cert.pem", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    answer = ANSWERS["deaf"][0]

    async def scene() -> None:
        async with a_server(answer, False, ssl=context) as port:
            unknown = await link_check(configure(tmp_path, port, "tls: true"), "--json", "--timeout", "2")
            assert unknown.returncode == 1
            assert "signed by nobody" in steps(unknown)["tls"]["cause"]

            known = await link_check(configure(tmp_path, port, "tls: {ca: cert.pem}"), "--json", "--timeout", "2")
            assert steps(known)["tls"]["ok"], known.stdout
            assert "certificate until" in steps(known)["tls"]["detail"]
            assert steps(known)["bind"]["ok"]
        async with a_server(ANSWERS["locked"][0], False) as port:
            plain = await link_check(configure(tmp_path, port, "tls: true"), "--json", "--timeout", "2")
            assert "does not speak TLS" in steps(plain)["tls"]["cause"]

    run(scene())


def test_check_of_an_outbind_link_listens_for_the_centre(tmp_path: Path) -> None:
    """It binds on the connection that the centre makes; when none comes, or the daemon listens, it says so."""

    async def scene() -> None:
        ours = a_free_port()
        file = configure(tmp_path, 2775, f'outbind: "127.0.0.1:{ours}"')

        async def come() -> None:
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", ours)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
            writer.write(bytes.fromhex("00000014 0000000b 00000000 00000001 73630000"))
            for command in (0x80000009, 0x80000015, 0x80000006):
                length, asked, _, sequence = struct.unpack(">IIII", await reader.readexactly(16))
                assert asked | 0x80000000 == command
                await reader.readexactly(length - 16)
                body = b"sc\0" if command == 0x80000009 else b""
                writer.write(struct.pack(">IIII", 16 + len(body), command, 0, sequence) + body)
            await reader.read()
            writer.close()

        centre = asyncio.create_task(come())
        done = await link_check(file, "--json")
        await centre
        assert done.returncode == 0, done.stdout
        assert list(steps(done)) == ["resolve", "listen", "outbind", "bind", "enquire_link", "unbind"]

        done = await link_check(file, "--json", "--timeout", "0.2")
        assert done.returncode == 1
        assert steps(done)["outbind"]["ok"] is False
        assert "the centre did not come" in steps(done)["outbind"]["cause"]
        assert steps(done)["bind"]["ok"] is None

        with socket.create_server(("127.0.0.1", ours)):
            done = await link_check(file, "--json")
        assert "the daemon is up" in steps(done)["listen"]["cause"]

    run(scene())


def test_check_of_a_link_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """The links that are there are named; a secret that is not set is told."""
    file = configure(tmp_path, 2775)
    done = smsflow("link", "check", "mian", "--config", file)
    assert done.returncode == 2
    assert "there is no link mian; there is: main" in done.stderr

    file.write_text(file.read_text().replace("password: secret", "password: {env: NOT_SET_ANYWHERE}"))
    done = smsflow("link", "check", "main", "--config", file)
    assert done.returncode == 2
    assert "password of link main is not set" in done.stderr


# --- the running daemon -----------------------------------------------------------------------------------


class Stage:
    """A daemon, bound to a message centre, and births."""

    def __init__(self, file: Path, centre: MessageCentre, process: asyncio.subprocess.Process) -> None:
        self.file = file
        self.centre = centre
        self.process = process
        self.texts: list[Text] = []
        self.api = "http://" + re.search(r"listen: (\S+)", file.read_text())[1]

    async def link(self, *words: object, options: tuple[object, ...] = ()) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(smsflow, "link", *words, "--config", self.file, *options)

    async def figures(self) -> dict:
        done = await self.link("list", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["links"][0]

    async def birth(self, number: int) -> None:
        body = {
            "birth_id": f"b{number}", "mother_iin": "950101200109", "msisdn": f"+7 701 000 {number:04}",
            "born_at": "2026-11-20T08:00:00+05:00", "sex": "female", "alive": True, "birth_order": 1,
        }  # fmt: skip
        async with self.http("ward") as http:
            assert (await http.post("/v1/births", json=body)).status_code == 202

    def http(self, token: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.api, headers={"Authorization": f"Bearer {token or '-'}"}, trust_env=False, timeout=30
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - other processes have no event to wait for
            await asyncio.sleep(0.02)


@asynccontextmanager
async def a_stage(folder: Path, extra: str = "tps: 0", *faults: Rule) -> AsyncIterator[Stage]:
    centre = MessageCentre(lambda text: stage.texts.append(text), faults=Faults(faults))
    file = configure(folder, await centre.start(), extra)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "run", "--config", str(file), stderr=log, env=environment()
        )
    stage = Stage(file, centre, process)
    try:
        await centre.wait_bound()
        await stage.until(lambda: b"daemon.started" in (folder / "log").read_bytes())
        yield stage
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await centre.stop()


def test_list_says_how_a_link_is(tmp_path: Path) -> None:
    """State, window, rates, receipts, counts: in words, as JSON, and for Prometheus."""

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            for number in range(3):
                await stage.birth(number)
            await stage.until(lambda: len(stage.texts) == 3)
            assert await stage.centre.send("77010000001", "R 1 1 2") == 0
            await stage.until(lambda: len(stage.texts) == 4)
            await asyncio.sleep(1)

            figures = await stage.figures()
            parts = sum(text.segments for text in stage.texts)
            assert figures["state"] == "bound"
            assert figures["paused"] is False
            assert (figures["in_flight"], figures["window"]) == (0, 64)
            assert figures["submitted"] == parts
            assert figures["taken"] == parts + 1  # a receipt for each part, and the reply
            assert figures["last_receipt_at"]
            assert figures["tps_out"] > 0
            assert figures["errors"] == {}

            shown = (await stage.link("list")).stdout
            assert re.search(r"^main +bound +\d\d-\d\d \d\d:\d\d:\d\d +0/64", shown, re.MULTILINE)
            async with stage.http("") as http:
                metrics = (await http.get("/metrics")).text
            assert f'smsflow_link_submitted_total{{bind="transceiver",link="main"}} {parts}.0' in metrics

    run(scene())


def test_a_paused_link_takes_replies_and_sends_nothing(tmp_path: Path) -> None:
    """It stays bound; what was queued goes out after resume; who may only read may not pause."""

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            await stage.birth(1)
            await stage.until(lambda: len(stage.texts) == 1)

            done = await stage.link("pause", "main")
            assert done.returncode == 0, done.stderr
            assert "bound, paused" in done.stdout
            assert await stage.centre.send("77010000001", "R 1 1 2") == 0
            await stage.birth(2)
            await asyncio.sleep(0.5)
            assert len(stage.texts) == 1
            assert (await stage.figures())["paused"] is True

            done = await stage.link("resume", "main", options=("--json",))
            assert json.loads(done.stdout)["links"][0]["paused"] is False
            await stage.until(lambda: len(stage.texts) == 3)

            assert (await stage.link("pause", "mian")).returncode == 1
            async with stage.http("watch") as http:
                assert (await http.get("/v1/links")).status_code == 200
                assert (await http.post("/v1/links/main", json={"action": "pause"})).status_code == 403
                assert (await http.get("/v1/links/main/trace")).status_code == 403
            async with stage.http("desk") as http:
                assert (await http.post("/v1/links/main", json={"action": "jump"})).status_code == 422

    run(scene())


def test_list_says_until_when_a_throttled_link_waits(tmp_path: Path) -> None:
    """In words, as JSON, and for Prometheus; a minute by the link's own rule."""
    extra = "tps: 0, statuses: {ESME_RTHROTTLED: {then: pause, pause: 60s}}"

    async def scene() -> None:
        async with a_stage(tmp_path, extra, make_rule("throttle", {"times": 1})) as stage:
            figures = await stage.figures()
            assert figures["paused_until"] is None
            before = datetime.now(UTC)
            await stage.birth(1)
            while not (figures := await stage.figures())["throttles"]:
                pass
            until = datetime.fromisoformat(figures["paused_until"])
            assert 55 < (until - before).total_seconds() < 70
            assert "bound, throttled until " in (await stage.link("list")).stdout
            async with stage.http("") as http:
                metrics = (await http.get("/metrics")).text
            found = re.search(r"^smsflow_link_paused_until_timestamp_seconds{.*} (\S+)$", metrics, re.MULTILINE)
            assert found
            assert abs(float(found[1]) - until.timestamp()) <= 1

    run(scene())


def test_a_pause_outlives_the_connection(tmp_path: Path) -> None:
    """A link that was cut and bound again is still paused."""

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            await stage.link("pause", "main")
            stage.centre.drop_connections()
            await asyncio.sleep(0.1)
            await stage.centre.wait_bound()
            await stage.birth(1)
            await asyncio.sleep(0.5)
            assert stage.texts == []
            figures = await stage.figures()
            assert (figures["state"], figures["paused"], figures["lost"]) == ("bound", True, 1)
            await stage.link("resume", "main")
            await stage.until(lambda: len(stage.texts) == 1)

    run(scene())


def test_a_pause_outlives_the_daemon(tmp_path: Path) -> None:
    """It is told at the start, and shown; nothing goes out until `resume`, which is as lasting."""

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            await stage.link("pause", "main")
        async with a_stage(tmp_path) as stage:
            assert re.search(r'"main".*"smpp\.paused"', (tmp_path / "log").read_text())
            assert (await stage.figures())["paused"] is True
            await stage.birth(1)
            await asyncio.sleep(0.5)
            assert stage.texts == []
            await stage.link("resume", "main")
            await stage.until(lambda: len(stage.texts) == 1)
        async with a_stage(tmp_path) as stage:
            assert "smpp.paused" not in (tmp_path / "log").read_text()
            assert (await stage.figures())["paused"] is False

    run(scene())


def test_trace_writes_what_is_said(tmp_path: Path) -> None:
    """While the daemon runs, also across a new connection; texts and passwords only when asked for."""

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            blanked, whole = tmp_path / "blanked.pcap", tmp_path / "whole.pcap"
            asked = ("--texts", "--passwords", "--seconds", 4)
            traces = asyncio.gather(
                stage.link("trace", "main", blanked, options=("--seconds", 4)),
                stage.link("trace", "main", whole, options=asked),
            )
            await stage.until(lambda: blanked.exists() and whole.exists())
            await stage.birth(1)
            await stage.until(lambda: len(stage.texts) == 1)
            assert await stage.centre.send("77010000001", "R 1 1 2 Aigerim") == 0
            stage.centre.drop_connections()
            await asyncio.sleep(0.1)
            await stage.centre.wait_bound()
            for done in await traces:
                assert done.returncode == 0, done.stderr
                assert "octets" in done.stdout
            text = stage.texts[0].text.encode("utf-16-be")[:40]
            assert b"Aigerim" in whole.read_bytes()
            assert b"secret" in whole.read_bytes()
            assert text in whole.read_bytes()
            for hidden in (b"Aigerim", b"secret", text):
                assert hidden not in blanked.read_bytes()
            assert len(blanked.read_bytes()) == len(whole.read_bytes())
            assert blanked.stat().st_mode & 0o777 == 0o600
            again = await stage.link("trace", "main", blanked, options=("--seconds", 1))
            assert again.returncode == 1
            assert "not overwritten" in again.stderr
        log = (tmp_path / "log").read_text()
        assert "Aigerim" not in log
        assert re.findall(r'"passwords":(true|false).*"operator\.acted"', log).count("true") == 1

    run(scene())


def test_a_trace_ends_with_the_daemon_and_with_ctrl_c(tmp_path: Path) -> None:
    """Neither costs the file, and the daemon stops in time."""

    async def trace(stage: Stage, name: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "link", "trace", "main", str(tmp_path / name),
            "--config", str(stage.file), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        await stage.until((tmp_path / name).exists)
        return process

    async def scene() -> None:
        async with a_stage(tmp_path) as stage:
            first = await trace(stage, "first.pcap")
            first.send_signal(signal.SIGINT)
            out, err = await first.communicate()
            assert (first.returncode, err) == (0, b""), err
            assert b"octets" in out
            second = await trace(stage, "second.pcap")
        _, err = await second.communicate()
        assert (second.returncode, err) == (0, b""), err
        assert (tmp_path / "second.pcap").read_bytes()[:4] == bytes.fromhex("d4c3b2a1")
        assert b"error" not in (tmp_path / "log").read_bytes()

    run(scene())


def test_without_a_daemon_the_sentence_says_so(tmp_path: Path) -> None:
    """Exit code 1, one line, no traceback."""
    done = smsflow("link", "list", "--config", configure(tmp_path, 2775))

    assert done.returncode == 1
    assert "is it running?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
