"""What the documents promise exists: settings, commands, events."""

import re
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from click import Group
from click.testing import CliRunner

from smsflow import logs
from smsflow.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def table_after(heading: str, column: int = 2) -> dict[str, str]:
    """First column → another column of the first table after `heading`."""
    table = re.search(r"(?:^\|.*\n)+", README.split(heading, 1)[1], re.MULTILINE)
    assert table
    rows = (re.split(r"(?<!\\)\|", line) for line in table[0].splitlines() if line.startswith("| `"))
    return {cells[1].strip(): cells[column].strip() for cells in rows}


def test_readme_lists_every_log_event() -> None:
    """The table in the README is the table in the code."""
    heading = "<!-- log events -->"
    assert table_after(heading, 2) == {f"`{name}`": level for name, (level, _) in logs.EVENTS.items()}
    assert table_after(heading, 3) == {f"`{name}`": when for name, (_, when) in logs.EVENTS.items()}


def test_every_event_has_one_constant_that_is_used() -> None:
    """No event is logged by another name, and none is listed that is never logged."""
    constants = {name: value for name, value in vars(logs).items() if name.isupper() and isinstance(value, str)}
    assert sorted(constants.values()) == sorted(logs.EVENTS)
    code = "\n".join(path.read_text() for path in (ROOT / "smsflow").rglob("*.py") if path.name != "logs.py")
    for name, event in constants.items():
        levels = ["".join(found) for found in re.findall(rf"(?:_log\.(\w+)|\b(info)_each)\(\s*{name}\b", code)]
        assert levels, f"{name} is never logged"
        assert logs.EVENTS[event][0] in levels, f"{name} is logged at another level"
    assert not re.search(r"(_log\.\w+|\binfo_each)\(\s*[\"'f]", code), (
        "an event is logged by a text instead of a constant"
    )


def commands(group: Group, prefix: str = "smsflow") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in group.commands.items():
        if isinstance(command, Group):
            found |= commands(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


def test_readme_lists_every_command() -> None:
    """Every command stands in the README, and the README names no other."""
    written = {
        " ".join(re.findall(r"^smsflow(?: [a-z]+){1,2}", call)[:1])
        for call in re.findall(r"`(smsflow [^`]*)`", README)
    }
    known = set(commands(main))

    assert {call for call in written if call} <= known | {"smsflow check"}
    assert known <= written


@pytest.mark.parametrize(
    "command", ["smsflow demo --keep", "smsflow demo --births", "smsflow check --config", "smsflow run --config"]
)
def test_options_of_the_readme_exist(command: str) -> None:
    """An option that the README shows is taken."""
    *words, option = command.split()
    assert option in README
    assert option in CliRunner().invoke(main, [*words[1:], "--help"]).output


def test_readme_names_every_setting() -> None:
    """Every key of the configuration stands in the README's table."""
    from smsflow import config

    settings = table_after("smsflow run --config config/my.yaml")
    assert {f"`{name}`" for name in config._Config.model_fields} == set(settings)
    for model in (config._Link, config._Api, config._Client, config._Gateway):
        for name in model.model_fields:
            assert f"`{name}`" in README, f"{model.__name__}.{name} is not in the README"


def test_configuration_that_the_readme_copies_is_checked_without_a_flaw(tmp_path: Path) -> None:
    """What an operator types first, line by line, but for the edits: with the variables that it sets."""
    block = README.split("## Connect your message centre", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]
    *lines, run = block.splitlines()
    for folder in ("config", "dialogs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    smsflow = f'smsflow() {{ "{sys.executable}" -m smsflow "$@"; }}'

    secrets = count()
    script = re.sub("=…", lambda _: f"=secret{next(secrets)}", "\n".join([smsflow, *lines]))
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "smsflow run --config" in run
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing wrong with config/my.yaml")


def test_test_command_of_the_gate_is_the_readmes() -> None:
    """.ci/run takes its command from the README."""
    shown = README.split("<!-- test command -->", 1)[1].split("```")[1]

    assert shown.strip().splitlines()[-1] == "pip install -e '.[dev]' && pytest"
    assert "test command" in (ROOT / ".ci" / "run").read_text()
