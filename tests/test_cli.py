"""The command line: quick, clear about errors, right about exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE_S, environment, smsflow

from smsflow.library import shipped_dialogs
from smsflow.smpp.smsc import MessageCentre
from smsflow.store.store import open_store

CONFIG = """\
store: sqlite:///smsflow.db
dialogs: {dialogs}
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {{name: main, host: 127.0.0.1, port: {port}, system_id: smsflow, password: secret}}
"""

TOO_LONG = ("Шот өз атыңызда болсын.", "Шот өз атыңызда болсын. " * 9)
UNREACHABLE = ("order_disputed, account known: account", "done, account known: account")


@pytest.fixture
def dialogs(tmp_path: Path) -> Path:
    """A copy of the shipped dialogs, to edit."""
    folder = tmp_path / "dialogs"
    shutil.copytree(shipped_dialogs(), folder)
    return folder


def configure(folder: Path, *, port: int = 2775, dialogs: str = "dialogs", extra: str = "") -> Path:
    file = folder / "smsflow.yaml"
    file.write_text(CONFIG.format(port=port, dialogs=dialogs) + extra)
    return file


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers in well under 200 ms: it loads click and little else."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "smsflow", "--help"],
        capture_output=True, text=True, check=True, env=environment(), timeout=PATIENCE_S,
    )  # fmt: skip

    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "click" in loaded
    assert not loaded & {"pydantic", "rich", "yaml", "fastapi", "uvicorn", "uvloop", "sqlite_utils", "structlog"}
    for command in ("run", "demo", "check", "talk", "smsc", "births", "citizens", "cases", "backup"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


def test_version_is_the_packages() -> None:
    """`smsflow --version` says which one is installed."""
    assert re.fullmatch(r"smsflow, version \d+\.\d+\.\d+\S*\n", smsflow("--version").stdout)


# --- run --------------------------------------------------------------------------------------------------


def test_run_says_everything_that_is_wrong_with_the_configuration(tmp_path) -> None:
    """All findings at once, each with file:line:col; exit code 2, and nothing was started."""
    file = configure(tmp_path, dialogs="nowhere", extra="colour: blue\n")

    done = smsflow("run", "--config", file)

    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(re.match(rf"{re.escape(str(file))}:\d+:\d+: ", line) for line in lines)
    assert not (tmp_path / "smsflow.db").exists()


def test_run_without_its_configuration_is_one_sentence(tmp_path) -> None:
    """A file that is not there is no traceback."""
    done = smsflow("run", "--config", tmp_path / "none.yaml")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_run_refuses_broken_dialogs(tmp_path, dialogs) -> None:
    """The daemon does not start half; places are paths from where one stands."""
    edit(dialogs / "birth-registration.yaml", ("then: education", "then: nowhere"), ("ask: name", "ask: nmae"))

    done = smsflow("run", "--config", configure(tmp_path))

    assert done.returncode == 2
    broken = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(broken) == 2
    assert all(re.search(r"dialogs/birth-registration\.yaml:\d+:\d+: ", line) for line in broken)
    assert "Traceback" not in done.stderr


def test_run_refuses_dialogs_with_errors_and_takes_warnings(tmp_path, dialogs) -> None:
    """What `check` calls an error stops the daemon before it starts, with the place and what to do."""
    edit(dialogs / "birth-allowance.yaml", TOO_LONG, UNREACHABLE)

    done = smsflow("run", "--config", configure(tmp_path))

    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert lines
    assert all(
        re.search(r"dialogs/birth-allowance\.yaml:\d+:\d+: .*too_long: .*shorten it", line) for line in lines
    )


def test_run_leaves_a_store_in_use_alone(tmp_path, dialogs) -> None:
    """A second daemon on one store is refused with a sentence; exit code 1: it may be over soon."""
    store = open_store(tmp_path / "smsflow.db", None)
    try:
        done = smsflow("run", "--config", configure(tmp_path))
    finally:
        store.close()

    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/smsflow.db is in use by another smsflow; stop that one first\n"


def test_run_says_in_one_line_why_a_store_cannot_be_used(tmp_path, dialogs) -> None:
    """Exit code 1, as for a disk that is full: the configuration is right."""
    (tmp_path / "smsflow.db").write_text("a diary, not a database" * 400)
    done = smsflow("run", "--config", configure(tmp_path))

    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot use {tmp_path}/smsflow.db: it is not a store: name another file, or restore a backup with"
        " `smsflow restore` (file is not a database)\n"
    )


def test_run_binds_and_sigterm_ends_it_with_0(tmp_path, dialogs) -> None:
    """The daemon binds, unbinds, and ends; its log is JSON on standard error."""

    async def scene() -> tuple[int, bytes, bytes]:
        centre = MessageCentre(lambda _: None)
        port = await centre.start()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "run", "--config", str(configure(tmp_path, port=port)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            await centre.wait_bound()
            process.send_signal(signal.SIGTERM)
            out, log = await process.communicate()
        await centre.stop()
        return process.returncode, out, log

    code, out, log = asyncio.run(scene())
    assert code == 0, log
    assert out == b""
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "daemon.started" in events
    assert events[-1] == "daemon.stopped"


# --- check ------------------------------------------------------------------------------------------------


def test_shipped_dialogs_have_nothing_wrong() -> None:
    """What we ship passes our own check."""
    done = smsflow("check")

    assert done.returncode == 0, done.stdout
    assert "birth-registration" in done.stdout


def test_check_says_what_an_editor_must_look_at(dialogs) -> None:
    """A dialog that can be read but that `run` would refuse: exit code 2, with the place and what to do."""
    edit(dialogs / "birth-allowance.yaml", TOO_LONG)

    done = smsflow("check", dialogs / "birth-allowance.yaml")

    assert done.returncode == 2
    assert re.search(r"birth-allowance\.yaml:\d+:\d+: error too_long", done.stdout)


def test_a_warning_is_no_failure(dialogs) -> None:
    """It is said, and the exit code stays 0."""
    edit(dialogs / "birth-allowance.yaml", UNREACHABLE)

    done = smsflow("check", dialogs / "birth-allowance.yaml")

    assert "0 errors, 1 warning in birth-allowance." in done.stdout
    assert done.returncode == 0


def test_check_looks_only_at_the_dialogs_that_are_named(dialogs) -> None:
    """The flaw of one is not the flaw of another."""
    edit(dialogs / "birth-allowance.yaml", TOO_LONG)

    done = smsflow("check", dialogs / "birth-kindergarten.yaml")

    assert done.returncode == 0, done.stdout


def test_check_reads_configuration_and_dialogs_in_one_go(tmp_path, dialogs) -> None:
    """What `run` would refuse is exit code 2; one mistake does not hide another."""
    edit(dialogs / "birth-registration.yaml", ("then: education", "then: nowhere"))

    done = smsflow("check", "--config", configure(tmp_path, extra="colour: blue\n"))

    assert done.returncode == 2
    assert "smsflow.yaml:8:" in done.stdout
    assert "birth-registration.yaml:" in done.stdout


def test_check_compares_what_is_sent_with_the_gateways(tmp_path, dialogs) -> None:
    """An application that has nowhere to go, in its dialog; a gateway that gets nothing, in the configuration."""
    url = "http://127.0.0.1:9/"
    gateways = (
        f"gateways:\n  registration: {{url: {url}}}\n  allowance: {{url: {url}}}\n  kindergarden: {{url: {url}}}\n"
    )

    done = smsflow("check", "--config", configure(tmp_path, extra=gateways))

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert re.search(r"birth-kindergarten\.yaml:\d+:5: warning no_gateway: states → apply → send: ", lines[0])
    assert re.search(r"smsflow\.yaml:11:3: warning unused_gateway: gateways → kindergarden: ", lines[1])


def test_check_warns_when_no_dialog_is_begun_by_a_birth(dialogs) -> None:
    """For a whole folder, not for one dialog of it."""
    edit(dialogs / "birth-registration.yaml", ("starts: birth", "# none"))

    done = smsflow("check", dialogs)

    assert done.returncode == 0
    assert "warning no_start" in done.stdout
    assert "no_start" not in smsflow("check", dialogs / "birth-allowance.yaml").stdout


def test_check_of_several_folders_tells_everything(tmp_path, dialogs) -> None:
    """What cannot be read in one hides nothing of the others, nor does a name that is not there."""
    edit(dialogs / "birth-allowance.yaml", UNREACHABLE)
    broken, old = tmp_path / "broken", tmp_path / "old"
    for folder in (broken, old):
        folder.mkdir()
    (broken / "a.yaml").write_text("dialog: [")
    (old / "a.yaml").write_bytes("dialog: a\ntitle: имя {ru: Имя}\n".encode("cp1251"))

    done = smsflow("check", broken, old, "birth-registraton", "birth-kindergarten", dialogs)

    assert done.returncode == 2
    assert "broken/a.yaml:" in done.stdout
    assert re.search(
        r"old/a\.yaml:2:8: not UTF-8 \(the octet 0xE8\); save the file as UTF-8$", done.stdout, re.MULTILINE
    )
    assert "birth-allowance.yaml:" in done.stdout
    assert "No dialog birth-registraton" in done.stderr
    assert smsflow("check", "birth-registraton", "birth-kindergarten").stdout.endswith("birth-kindergarten.\n")


def test_check_as_json(dialogs) -> None:
    """Every finding as an object with its place."""
    edit(dialogs / "birth-allowance.yaml", UNREACHABLE)

    done = smsflow("check", dialogs, "--json")

    report = json.loads(done.stdout)
    assert report["refused"] == []
    finding = next(each for each in report["findings"] if each["code"] == "unreachable")
    assert finding["file"].endswith("birth-allowance.yaml")
    assert finding["line"] > 1


def test_check_of_an_unknown_dialog_is_a_usage_error() -> None:
    """The names that are there are in the sentence."""
    done = smsflow("check", "birth-registraton")

    assert done.returncode == 2
    assert "birth-registration" in done.stderr


def test_no_colours_where_nobody_watches() -> None:
    """In a pipe there is no escape sequence, and nothing is wrapped."""
    done = smsflow("talk", "birth-registration", typed="R 1 1 2\n", COLUMNS="40")

    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) > 100
