"""`smsflow demo`: the real command, all of it, in a pipe, in a wide terminal, with a file, and left running.

The runs take their time (people think), so they all start together, once.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from commands import PATIENCE_S, environment, smsflow, start

from smsflow.core.identity import parse_iban, parse_iin, parse_msisdn
from smsflow.core.reply import Keyword, read
from smsflow.demo.cast import child_iin, read_births, six_mothers
from smsflow.demo.mothers import Habit, Mother, Persona
from smsflow.demo.outcome import judge

BORN_AT = datetime.now(UTC).isoformat(timespec="seconds")
COLUMNS = "birth_id,mother_iin,msisdn,born_at,sex,alive,birth_order,account,address_kato"
BIRTHS = f"""\
{COLUMNS}
b-1,950101200109,77011110001,{BORN_AT},female,true,1,,
b-2,950101200119,,{BORN_AT},male,true,1,,751110000
b-3,950101200129,77011110003,{BORN_AT},male,false,2,,751110000
b-4,123,77011110004,{BORN_AT},male,true,1,,751110000
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str
    took_s: float


@contextmanager
def no_longer_than(limit_s: float, process: subprocess.Popen):
    """Kill `process` when it takes longer: whoever reads from it goes on, and fails."""
    limit = threading.Timer(limit_s, process.kill)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def run_piped(*arguments: object) -> Done:
    began = time.monotonic()
    done = smsflow("demo", *arguments)
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def run_in_terminal(columns: int) -> Done:
    """The demo in a terminal of so many columns; what it wrote, escape sequences and all."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "smsflow", "demo"],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment(),
    ) as process, no_longer_than(PATIENCE_S, process):  # fmt: skip
        os.close(theirs)
        octets = bytearray()
        try:
            while more := os.read(ours, 65_536):
                octets += more
        except OSError:  # that is how a terminal ends
            pass
        os.close(ours)
        err = process.stderr.read().decode()
        code = process.wait(PATIENCE_S)
    return Done(code, octets.decode().replace("\r\n", "\n"), err, time.monotonic() - began)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Done]:
    """Every run, side by side."""
    births = tmp_path_factory.mktemp("demo") / "births.csv"
    births.write_text(BIRTHS)
    work = {
        "piped": lambda: run_piped(),
        "births": lambda: run_piped("--births", births),
        "wide": lambda: run_in_terminal(160),
        "narrow": lambda: run_in_terminal(80),
    }
    done: dict[str, Done] = {}
    threads = [threading.Thread(target=lambda name=name: done.update({name: work[name]()})) for name in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def plain(out: str) -> list[str]:
    """Lines without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out).splitlines()


# --- the whole command ------------------------------------------------------------------------------------


def test_demo_ends_well_in_under_20_seconds(runs) -> None:
    """Six mothers, seven births, twenty-one conversations: all done, exit code 0, nothing on standard error."""
    done = runs["piped"]

    assert done.code == 0, done.out[-2000:] + done.err
    assert done.err == ""
    assert done.took_s < 20
    assert "21 conversations about 7 births ended as they should" in done.out
    for dialog in ("birth-registration", "birth-kindergarten", "birth-allowance"):
        assert re.search(rf"^{dialog} +7$", done.out, re.MULTILINE)
    assert re.search(r"reply → next question  p50 [\d.]+ ms, p99 [\d.]+ ms", done.out)


def test_demo_speaks_of_one_and_of_many(tmp_path) -> None:
    """One birth, one mother; no word about replies where there were none; what was measured is said."""
    births = tmp_path / "births.csv"
    births.write_text("\n".join(BIRTHS.splitlines()[i] for i in (0, 3)) + "\n")
    out = smsflow("demo", "--births", births).stdout

    assert out.startswith("1 birth, 1 mother, six hours a second")
    assert "quiet hours are off" in out
    assert re.search(r"^replies  0$", out, re.MULTILINE)
    assert "1 conversation about 1 birth ended as it should" in out


def test_places_are_told_in_the_language_of_the_mother(runs) -> None:
    """The stand-in bodies know their own offices and towns by all their names."""
    out = runs["piped"].out

    assert re.search(r"Айгүл +→ .*Куәлік: ХҚО ", out)
    assert re.search(r"Ольга +→ .*Свидетельство: ЦОН Байконур\.", out)
    assert re.search(r"Anna +→ .*certificate at: Service centre Kaskelen\.", out)
    assert re.search(r"Раушан +→ .*Ребенок поставлен .*, Темиртау, ", out)


def test_demo_suggests_three_commands_that_exist(runs) -> None:
    """The newcomer knows what to do next."""
    commands = re.findall(r"^  smsflow (\w+)", runs["piped"].out, re.MULTILINE)

    assert commands == ["talk", "demo", "smsc"]


def test_in_a_pipe_each_text_is_one_line(runs) -> None:
    """`time  name  → text`, not wrapped, no escape sequences."""
    lines = runs["piped"].out.splitlines()
    texts = [line for line in lines if re.match(r"\d\d\.\d\d \d\d:\d\d  \S+ +[→←] ", line)]

    assert "\x1b" not in runs["piped"].out
    assert len(texts) > 150
    assert {line.split()[2] for line in texts} == {"Айгүл", "Ольга", "Anna", "Раушан", "Дана", "Гүлнар"}


def test_the_slow_speller_gets_hints_and_a_reminder_and_still_finishes(runs) -> None:
    """She is the reason for tolerance; what she cannot be understood in, she is told."""
    hers = [line for line in runs["piped"].out.splitlines() if "  Раушан  " in line]

    assert sum("Такого варианта нет" in line or "Ответ не распознан" in line for line in hers) == 3
    assert sum("Ждем Ваш ответ до" in line for line in hers) >= 1
    assert "назначено" in hers[-1]


def test_twins_and_another_account_are_played(runs) -> None:
    """Two children told apart by their digit; the new account is confirmed before it is used."""
    out = runs["piped"].out

    assert "← R 1 1 1 Серікұлы Әлихан" in out
    assert "← R 1 2 1 Серікқызы Әмина" in out
    assert re.search(r"Гүлнар +→ .*\*0002 шотына", out)


def test_a_wide_terminal_shows_conversations_side_by_side(runs) -> None:
    """Each mother has a lane; no line is longer than the terminal."""
    done = runs["wide"]
    lines = plain(done.out)

    assert done.code == 0
    assert any(re.search(r"Айгүл +Ольга +Anna +Раушан +Дана +Гүлнар", line) for line in lines)
    assert max(map(len, lines)) <= 160
    assert any(line.count("→ ") >= 3 for line in lines)


def test_a_narrow_terminal_shows_one_text_after_the_other(runs) -> None:
    """Wrapped under itself, so that names stand out; a reply to be copied is never torn apart."""
    done = runs["narrow"]
    lines = plain(done.out)

    assert done.code == 0
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" " * 23) for line in lines)
    assert not any(re.search(r"R(?: \d)*$", line) and not re.search(r"R \d \d \d", line) for line in lines)


def test_births_of_a_file_are_played_and_judged(runs) -> None:
    """One is done; two are closed in silence, as they should; the one that is rejected fails the demo."""
    done = runs["births"]

    assert done.code == 1
    assert re.search(r"births\.csv:5: mother_iin: length \(not a valid IIN", done.out)
    assert "1 went wrong" in done.out
    assert done.out.startswith("4 births, 3 mothers, ")
    for result in ("done", "no_phone", "stillbirth"):
        assert result in done.out
    talked = {line.split()[2] for line in done.out.splitlines() if " → " in line and line[:1].isdigit()}
    assert talked == {"77011110001"}


def test_a_file_that_holds_no_births_is_refused(tmp_path) -> None:
    """Every finding with its place; exit code 2."""
    file = tmp_path / "births.csv"
    file.write_text(f"{COLUMNS}\nb,950101200109,,{BORN_AT},male,maybe,first,,\n")

    done = smsflow("demo", "--births", file)

    assert done.returncode == 2
    assert "expected true or false, got 'maybe'" in done.stderr
    assert "expected a number, got 'first'" in done.stderr
    assert all(line.startswith(f"{file}:2:") for line in done.stderr.splitlines())


def test_a_column_that_is_not_known_is_refused(tmp_path) -> None:
    """A slip in the head of a file must not lose a column silently."""
    file = tmp_path / "births.csv"
    file.write_text("birth_id,mother_inn\n")

    done = smsflow("demo", "--births", file)

    assert done.returncode == 2
    assert f"{file}:1: unknown column 'mother_inn'" in done.stderr


def test_keep_leaves_everything_running(tmp_path) -> None:
    """The printed lines work: a birth over HTTP, her text on the screen, her reply from the keyboard."""
    births = tmp_path / "births.csv"
    births.write_text("\n".join(BIRTHS.splitlines()[:2]) + "\n")
    with start("demo", "--keep", "--births", births) as process, no_longer_than(PATIENCE_S, process):
        said = []

        def wait_for(pattern: str) -> re.Match[str]:
            for line in process.stdout:
                said.append(line)
                if found := re.search(pattern, line):
                    return found
            raise AssertionError("".join(said) + process.stderr.read())

        ministry = wait_for(r"curl -H 'Authorization: Bearer (\S+)' (http://\S+)/v1/births -d '(.*)'")
        desk = wait_for(r"curl -H 'Authorization: Bearer (\S+)' '(\S+)'")
        wait_for("77011234567 R 1 1 2")
        with urllib.request.urlopen(f"{ministry[2]}/v1/health") as answer:
            assert answer.status == 200
        request = urllib.request.Request(
            f"{ministry[2]}/v1/births", ministry[3].encode(), {"Authorization": f"Bearer {ministry[1]}"}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202
        wait_for("→ 77011234567 .*R 1 1 1")
        process.stdin.write("77011234567 R 1 1 2\n")
        process.stdin.flush()
        wait_for("← 77011234567  R 1 1 2$")
        request = urllib.request.Request(desk[2], headers={"Authorization": f"Bearer {desk[1]}"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["cases"][0]["state"] == "child_name"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert err == ""


def test_ctrl_c_stops_the_demo_cleanly() -> None:
    """Everything is taken down; exit code 1, no traceback."""
    with start("demo") as process, no_longer_than(PATIENCE_S, process):
        for line in process.stdout:
            if "←" in line and line[:1].isdigit():
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "Stopped before the end." in out
    assert err == ""


# --- mothers ----------------------------------------------------------------------------------------------


def anna(**more: object) -> Mother:
    return Mother(Persona("Anna", "77010000003", 1, ("Ким Анна", "Ким Пётр"), **more))


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Қазақша: R 1 1 1 / По-русски: R 1 1 2 / English: R 1 1 3", "R 1 1 2"),
        ("Напишите имя ребенка: R 1 2 2 Ахметов Нурлан.", "R 1 2 2 Ким Пётр"),
        ("Льгота: 0 нет 1 военные 2 педагог. Пример: R 2 1 0", "R 2 1 0"),
        ("Верно? Ким Анна; Алмалы. 1 да 2 нет. Пример: R 1 1 2 1 1", "R 1 1 2 1 1"),
        ("Верно: R 3 1 1. Неверно: R 3 1 2", "R 3 1 1"),
        ("Где? 1 Шымкент 9 другое. Пример: R 2 1 0 1", "R 2 1 0 1"),
        ("Пособие назначено: 164350 тг. Вопросы: 1414", None),
    ],
)
def test_a_mother_answers_what_she_reads(text: str, reply: str | None) -> None:
    """She knows no dialog: the text alone says what to write."""
    assert anna().hear(text) == reply


def test_a_mother_answers_a_hint_with_her_right_reply() -> None:
    """A hint repeats the example of the question that she was asked last."""
    mother = anna(habits={1: Habit(wrong=lambda _: "R 8")})

    assert mother.hear("Образование: 1 высшее 2 среднее 3 иное. Пример: R 1 1 2 1") == "R 8"
    assert mother.hear("Такого варианта нет. Пример: R 1 1 2 1. Повторить: R ?") == "R 1 1 2 1"


def test_a_mother_who_dawdles_answers_the_reminder() -> None:
    """Silence first; then the question that she remembers."""
    mother = anna(habits={1: Habit(dawdles=True)})

    assert mother.hear("Доход: 1 зарплата 2 дело 3 иное. Пример: R 1 1 2 1 1") is None
    assert mother.hear("Ждем до 22.11.2026 10:00. Пример: R 1 1 2 1 1.") == "R 1 1 2 1 1"


def test_everybody_on_the_stage_is_nobody() -> None:
    """IINs, numbers and accounts hold their check digits and belong to nobody alive."""
    cast = six_mothers("2026-11-20T09:00:00+05:00")

    assert len(cast.personas) == 6
    assert len({birth["birth_id"] for birth in cast.births}) == 7
    for citizen in cast.citizens:
        assert parse_iin(citizen["iin"]).startswith("95")
        assert citizen["iin"][6] == "2"
        assert parse_msisdn(citizen["msisdn"]) == citizen["msisdn"]
    for number in range(200):
        assert parse_iin(child_iin(number)).startswith("991231")
    for persona in cast.personas:
        assert not persona.account or parse_iban(persona.account) == persona.account
    assert read("стоп").keyword is Keyword.STOP  # nobody in the cast ever says it


def test_mothers_of_a_file_speak_in_turn(tmp_path) -> None:
    """Language by turn; two births of one number are one mother."""
    file = tmp_path / "births.csv"
    rows = [f"b{n},950101200109,7701111000{n // 2},2026-11-20T09:00:00+05:00,male,true,1" for n in range(6)]
    file.write_text("\n".join([",".join(COLUMNS.split(",")[:7]), *rows]))

    personas = read_births(file).personas

    assert [persona.language for persona in personas] == [0, 1, 2]
    assert [len(persona.children) for persona in personas] == [2, 2, 2]


def test_a_conversation_that_did_not_end_is_a_failure() -> None:
    """The judge says which, and why."""
    birth = {"birth_id": "b", "alive": True}
    case = {
        "msisdn": "77011234567", "dialog": "birth-registration", "state": "income", "status": "open",
        "result": None, "messages": [],
    }  # fmt: skip

    assert judge([birth], {"b": [case]}, [], [], []).failures == (
        "birth b: birth-registration is still open at income",
    )
    ended = {**case, "status": "closed", "result": "expired"}
    failures = judge([birth], {"b": [ended]}, [], [], []).failures
    assert failures[0] == "birth b: birth-registration ended with expired at income, not with done"
    assert "birth b: 0 applications for registration instead of 1" in failures
