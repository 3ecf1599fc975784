"""Rehearsals: `smsflow smsc` with faults, a real daemon bound to it, and every text arrives all the same."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import httpx2
import pytest
from commands import PATIENCE_S, environment, smsflow
from test_cli_link import configure

from smsflow.core.errors import ConfigError
from smsflow.scenario import read_fault, read_scenario

README = (Path(__file__).parent.parent / "README.md").read_text()
BIRTHS = 12


def test_the_scenario_of_the_readme_can_be_played(tmp_path: Path) -> None:
    """As it stands there."""
    file = tmp_path / "bad-night.yaml"
    file.write_text(README.split("<!-- scenario -->\n```yaml\n", 1)[1].split("```")[0])

    faults = [rule.fault for rule in read_scenario(file)]

    assert faults == ["refuse", "throttle", "delay", "receipt", "duplicate", "drop", "cut", "silence"]


def test_a_fault_on_the_command_line_is_the_one_in_yaml(tmp_path: Path) -> None:
    """One grammar."""
    file = tmp_path / "s.yaml"
    file.write_text("faults:\n  - drop: {on: [submit_sm_resp, deliver_sm], every: 3, for: 4s}\n  - silence\n")

    written = tuple(read_fault(words) for words in ("drop,on=submit_sm_resp+deliver_sm,every=3,for=4s", "silence"))
    assert read_scenario(file) == written


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("faults:\n  - throtle\n  - delay: {}\n", [2, 3]),
        ("faults: throttle\n", [1]),
        ("throttle: {}\n", [1]),
        ("faults:\n  - {throttle: {}, drop: {}}\n", [2]),
        ("", [1]),
        ("faults: [", [1, 2]),
    ],
)
def test_everything_that_is_wrong_in_a_scenario_is_told_with_its_place(
    tmp_path: Path, text: str, lines: list[int]
) -> None:
    """And `smsflow smsc` ends with exit code 2."""
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_scenario(file)
    assert all(finding.line in lines for finding in caught.value.findings)


def test_a_wrong_scenario_is_a_usage_error(tmp_path: Path) -> None:
    """With file:line:col, and so is a wrong --fault."""
    file = tmp_path / "s.yaml"
    file.write_text("faults:\n  - throttle: {evry: 3}\n")
    done = smsflow("smsc", "--scenario", file)
    assert done.returncode == 2
    assert re.search(r"s\.yaml:2:\d+: .*no option evry", done.stderr)

    done = smsflow("smsc", "--fault", "throtle")
    assert done.returncode == 2
    assert "there is no fault throtle" in done.stderr


def test_a_rehearsal(tmp_path: Path) -> None:
    """Refused binds, throttling, swapped and late answers, odd receipts, a cut: every text arrives."""
    file = tmp_path / "s.yaml"
    file.write_text(
        "faults:\n"
        "  - refuse: {on: bind_transceiver, status: ESME_RSYSERR, times: 1}\n"
        "  - throttle: {every: 4, times: 2}\n"
        "  - reorder: {every: 3, times: 2}\n"
        "  - receipt: {as: decimal}\n"
        "  - cut: {on: submit_sm_resp, every: 9, times: 1}\n"
    )
    pipe = asyncio.subprocess.PIPE

    async def scene() -> None:
        centre = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "smsc", "--port", "0", "--scenario", str(file),
            stdin=pipe, stdout=pipe, env=environment(),
        )  # fmt: skip
        first = (await centre.stdout.readline()).decode()
        config = configure(tmp_path, int(re.search(r":(\d+);", first)[1]))
        with (tmp_path / "log").open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smsflow", "run", "--config", str(config), stderr=log, env=environment()
            )
        try:
            await hand_in(re.search(r"listen: (\S+)", config.read_text())[1])
            told, phones = [], set()
            while len(phones) < BIRTHS or "! cut: submit_sm_resp" not in told:
                line = (await centre.stdout.readline()).decode().rstrip()
                assert line or not centre.stdout.at_eof()
                told.append(line)
                if line.startswith("→ "):
                    phones.add(line.split()[1])
            for fault in ("refuse: bind_transceiver", "throttle: submit_sm", "receipt: deliver_sm"):
                assert f"! {fault}" in told
        finally:
            for process in (daemon, centre):
                if process.returncode is None:
                    process.terminate()
                await process.wait()

    asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))


async def hand_in(listen: str) -> None:
    births = [
        {
            "birth_id": f"b{number}", "mother_iin": "950101200109", "msisdn": f"+7 701 000 {number:04}",
            "born_at": "2026-11-20T08:00:00+05:00", "sex": "female", "alive": True, "birth_order": 1,
        }
        for number in range(BIRTHS)
    ]  # fmt: skip
    async with httpx2.AsyncClient(base_url=f"http://{listen}", trust_env=False) as http:
        while True:
            try:
                answer = await http.post("/v1/births", json=births, headers={"Authorization": "Bearer ward"})
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
            else:
                assert answer.status_code == 202
                return
