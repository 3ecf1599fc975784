"""The commands about data: imports through the running daemon, cases from the store, backups."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from api_world import an_api
from click.testing import CliRunner
from world import MOTHER, PHONE, a_world

from smsflow.cli import main
from smsflow.importing import UnreadableFile, read_rows

CONFIG = """\
store: sqlite:///store.db
dialogs: .
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {{name: main, host: localhost, port: 2775, system_id: smsflow, password: {{env: NOT_SET_HERE}}}}
api:
  listen: 127.0.0.1:{port}
  clients:
    - {{name: desk, token: desk, may: [read, operate]}}
    - {{name: ministry, token: moh, may: [births, citizens]}}
"""
BIRTHS = f"""\
birth_id,mother_iin,msisdn,born_at,sex,alive,birth_order,account,address_kato
b1,{MOTHER},{PHONE},2026-11-18T08:00:00+05:00,female,true,1,,751110000
b2,950101200108,,2026-11-18T08:00:00+05:00,male,true,2,,

b3,{MOTHER},77010000003,2026-11-18T08:00:00+05:00,male,false,2,KZ86125KZT5004100100,
"""


def configure(folder, port=1) -> str:
    file = folder / "smsflow.yaml"
    file.write_text(CONFIG.format(port=port))
    return str(file)


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def import_over_http(folder, what, file):
    """Import `file` through a running API; what the command printed, and the world afterwards."""

    async def go():
        async with an_api(folder) as api:
            config = configure(folder, api.http.base_url.port)
            result = await asyncio.to_thread(call, what, "import", file, "--config", config, "--json")
            again = await asyncio.to_thread(call, what, "import", file, "--config", config)
            return result, again

    return asyncio.run(go())


# --- import -----------------------------------------------------------------------------------------------


def test_births_are_imported_and_bad_lines_named(tmp_path):
    """Exit 1 when any was rejected; the good ones are there, and may be imported again."""
    file = tmp_path / "births.csv"
    file.write_text(BIRTHS)
    result, again = import_over_http(tmp_path, "births", file)
    report = json.loads(result.stdout)

    assert (result.exit_code, report["accepted"]) == (1, 2)
    assert [(item["line"], item["birth_id"], item["error"]) for item in report["rejected"]] == [
        (3, "b2", "check_digit")
    ]
    assert f"{file}:3: mother_iin: check_digit (not a valid IIN" in again.stdout
    assert again.stdout.endswith("2 accepted, 1 rejected\n")


def test_citizens_are_imported(tmp_path):
    """Semicolons, a byte order mark and JSON lines are all read; exit 0 when all were taken."""
    table, lines = tmp_path / "citizens.csv", tmp_path / "citizens.jsonl"
    table.write_text(f"\ufeffiin;msisdn;bound_at\n{MOTHER};{PHONE};2026-01-01T00:00:00+05:00\n", encoding="utf-8")
    lines.write_text(json.dumps({"iin": MOTHER, "msisdn": PHONE, "bound_at": "2026-01-01T00:00:00+05:00"}) + "\n\n")

    for file in (table, lines):
        result, _ = import_over_http(tmp_path, "citizens", file)
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"accepted": 1, "rejected": []})


def test_import_says_that_the_daemon_is_not_there(tmp_path):
    """One clear sentence, exit 1."""
    file = tmp_path / "births.csv"
    file.write_text(BIRTHS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = call("births", "import", file, "--config", configure(tmp_path, port))

    assert result.exit_code == 1
    assert f"the daemon does not answer at http://127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "birth_id,mother\n", "a.csv:1: unknown column 'mother'"),
        ("a.csv", "birth_id,birth_id\n", "a.csv:1: the column birth_id stands there twice"),
        ("a.csv", "birth_id,mother,x\nb1,m,x,1\n", "a.csv:1: unknown column 'x'"),
        ("a.csv", "birth_id,mother,x\nb1,m,x,1\n", "a.csv:2: 4 cells where the first line has 3"),
        ("a.csv", "birth_id,sex\nb1,male,1\n", "a.csv:2: 3 cells where the first line has 2"),
        ("a.csv", 'birth_id\n"b1\n', "a.csv:2: not CSV"),
        ("a.json", "[{]", "a.json:1:3: not JSON"),
        ("a.jsonl", "{}\n{", "a.jsonl:2:2: not JSON"),
    ],
)
def test_file_that_cannot_be_read_is_told_with_its_place(tmp_path, name, text, problem):
    """Nothing of such a file is handed in; exit 2."""
    file = tmp_path / name
    file.write_text(text)
    result = call("births", "import", file, "--config", configure(tmp_path))

    assert result.exit_code == 2
    assert problem in result.stderr


def test_every_wrong_field_of_a_line_is_told(tmp_path):
    """An editor of the file mends it in one go."""
    file = tmp_path / "births.csv"
    file.write_text(BIRTHS.splitlines()[0] + f"\nb1,{MOTHER},,2026-11-18T08:00:00+05:00,f,maybe,one,,\n")
    _, again = import_over_http(tmp_path, "births", file)

    assert [line.split(" (")[0] for line in again.stdout.splitlines()] == [
        f"{file}:2: sex: not_allowed",
        f"{file}:2: alive: wrong_type",
        f"{file}:2: birth_order: wrong_type",
        "0 accepted, 1 rejected",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("token: moh", "token: {env: NOT_SET_HERE}", "the token of client ministry is not set"),
        ("may: [births, citizens]", "may: [citizens]", "no client of the api may: births"),
    ],
)
def test_configuration_that_does_not_let_us_in_is_exit_2(tmp_path, old, new, problem):
    """It is the configuration that must be mended, not the file."""
    config, file = tmp_path / "smsflow.yaml", tmp_path / "births.csv"
    config.write_text(CONFIG.format(port=1).replace(old, new))
    file.write_text(BIRTHS)
    result = call("births", "import", file, "--config", config)

    assert (result.exit_code, result.stderr) == (2, f"{config}: {problem}\n")


def test_cells_are_typed_by_their_columns(tmp_path):
    """Truth and numbers become JSON's; empty cells are left out; what is neither stays for the daemon to judge."""
    file = tmp_path / "a.csv"
    file.write_text("birth_id,alive,birth_order,account\n007,TRUE,2,\nb2,maybe,two,x\n")

    assert [(row.line, row.value) for row in read_rows(file, "births")] == [
        (2, {"birth_id": "007", "alive": True, "birth_order": 2}),
        (3, {"birth_id": "b2", "alive": "maybe", "birth_order": "two", "account": "x"}),
    ]


def test_file_of_another_encoding_is_refused(tmp_path):
    """Names in a wrong encoding must not become wrong names."""
    file = tmp_path / "a.csv"
    file.write_bytes("birth_id\nӘ".encode("utf-16"))

    with pytest.raises(UnreadableFile, match="not UTF-8"):
        read_rows(file, "births")


# --- cases ------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    """A store with two cases and no daemon."""
    with a_world(tmp_path) as world:
        world.birth()
        world.reply("R 1 1 2")
        world.birth("b2", msisdn="77010000002", alive=False)
    return configure(tmp_path)


def test_cases_are_listed_masked_unless_asked_for_in_full(config):
    """`cases` alone lists; numbers are hidden."""
    result = call("cases", "--config", config)

    assert result.exit_code == 0
    assert "7701***4567" in result.stdout
    assert "closed (stillbirth)" in result.stdout
    assert "R 1 1 2" in result.stdout
    assert PHONE in call("cases", "list", "--full", "--config", config).stdout


def test_cases_are_listed_as_json_by_filter(config):
    """The same page that HTTP gives."""
    page = json.loads(call("cases", "list", "--json", "--status", "closed", "--config", config).stdout)
    first = json.loads(call("cases", "list", "--json", "--limit", 1, "--config", config).stdout)

    assert [case["birth_id"] for case in page["cases"]] == ["b2"]
    assert page["next"] is None
    assert ([case["birth_id"] for case in first["cases"]], first["next"]) == (["b1"], "1")


def test_flagged_cases_are_listed_with_their_flags(config, tmp_path):
    """Only those; the table says why, and so does the case."""
    with a_world(tmp_path) as world, world.store.transaction():
        world.store.flags.add(1, "text_failed", world.now)
    page = json.loads(call("cases", "list", "--flagged", "--json", "--config", config).stdout)

    assert [(case["case"], case["flags"]) for case in page["cases"]] == [("1", ["text_failed"])]
    table = call("cases", "--flagged", "--config", config).stdout
    assert "flags" in table
    assert "text_failed" in table
    assert "text_failed" in call("cases", "show", 1, "--config", config).stdout


def test_case_is_shown_as_a_conversation(config):
    """Who wrote what, and what became of it."""
    full, masked = (call("cases", "show", 1, *more, "--config", config).stdout for more in (["--full"], []))

    assert "greeting R 1 1 1 R 1 1 2" in full
    assert "←  R 1 1 2" in full
    assert "answered" in full
    assert "hidden" in masked
    assert "greeting R 1 1 1" not in masked


def test_case_that_is_not_there_is_told(config):
    """Exit 1, one sentence."""
    result = call("cases", "show", 77, "--config", config)

    assert (result.exit_code, result.stderr) == (1, "there is no case 77\n")


def test_missing_store_and_bad_configuration_are_told(tmp_path):
    """No store: exit 1. No usable configuration: exit 2."""
    missing = call("cases", "--config", configure(tmp_path))
    unreadable = call("cases", "--config", tmp_path / "none.yaml")

    assert (missing.exit_code, "has the daemon run?" in missing.stderr) == (1, True)
    assert (unreadable.exit_code, "none.yaml:1:1: cannot be read" in unreadable.stderr) == (2, True)
