"""`smsflow bench`: a real daemon, a real load, and figures that hold together."""

from __future__ import annotations

import json
import re
import select
import socket
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from commands import PATIENCE_S, smsflow
from world import NOON, ZONE, World

from smsflow.bench import players, run
from smsflow.bench.centre import phone_of
from smsflow.bench.fill import fill_store
from smsflow.bench.measure import Plan, measure
from smsflow.bench.rehearsal import rehearse
from smsflow.library import Library, shipped_dialogs
from smsflow.smpp.codec import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    Pdu,
    SubmitSmResp,
    decode,
    encode,
)
from smsflow.smpp.receipts import Receipt, State, read_receipt
from smsflow.smpp.segments import submits
from smsflow.store.store import open_store
from smsflow.store.verify import find_flaws

MOTHERS = 50
QUESTIONS = 5


@pytest.fixture(scope="module")
def parts():
    dialog = Library.load(shipped_dialogs(), lambda _: None).any_dialog
    return rehearse(dialog, NOON)


def test_figures_of_a_small_run_hold_together(tmp_path: Path) -> None:
    """Fifty mothers, every reply answered, smsflow and the plain script; nothing is left behind."""
    ended = smsflow(
        "bench", "--mothers", MOTHERS, "--window", 16, "--versus", "naive", "--json", "--folder", tmp_path
    )

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert set(said) == {"machine", "load", "smsflow", "versus", "missing"}
    load = {"mothers": MOTHERS, "window": 16, "offered": 0.0, "in_turn": False, "receipts": False, "cases": 0}
    assert said["load"] == load
    ours, naive = said["smsflow"], said["versus"]["naive"]
    for figures in (ours, naive):
        assert figures["turns"] == MOTHERS * QUESTIONS
        assert figures["turns_per_s"] == pytest.approx(figures["turns"] / figures["seconds"], rel=0.02)
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"] < figures["seconds"] * 1000
        assert 1 < figures["parts_per_turn"] < 2  # the question in English is one part
        assert figures["receipts_per_turn"] is None
        assert figures["rss_mib"] > 10
    assert ours["parts_per_turn"] == naive["parts_per_turn"]
    assert ours["turns_per_commit"] == pytest.approx(ours["turns"] / ours["commits"], abs=0.1)
    assert naive["ratio"] == pytest.approx(ours["turns_per_s"] / naive["turns_per_s"], rel=0.02)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ratio", "code"), [("0.01", 0), ("1000", 1)])
def test_ratio_that_is_not_reached_is_a_failure(tmp_path: Path, ratio: str, code: int) -> None:
    """What a gate asks: the figures are told all the same, and the exit code says whether they are enough."""
    few = ("--mothers", 10, "--window", 5, "--folder", tmp_path)
    ended = smsflow("bench", *few, "--versus", "naive", "--at-least", ratio, "--json")

    assert ended.returncode == code, ended.stderr
    assert json.loads(ended.stdout)["versus"]["naive"]["ratio"] > 0
    assert ("naive" in ended.stderr) == (code == 1)


def test_ratio_to_nobody_is_refused() -> None:
    """A gate that compares with nothing would never fail."""
    ended = smsflow("bench", "--at-least", "2")

    assert ended.returncode == 2
    assert "--versus" in ended.stderr


def test_offered_load_keeps_its_rate(tmp_path: Path) -> None:
    """Replies go out at the rate that is asked for, and the figures come in words."""
    ended = smsflow("bench", "--mothers", MOTHERS, "--offered", 200, "--cases", 20, "--folder", tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{MOTHERS} mothers, 200 turns/s offered, 20 cases in the store before;")
    seconds = float(ended.stdout.split(" turns in ")[1].split(" s,")[0])
    assert seconds >= MOTHERS * QUESTIONS / 200 * 0.95
    assert "turns a commit" in ended.stdout
    assert "receipts" not in ended.stdout


@pytest.mark.parametrize("in_turn", [False, True])
def test_mothers_go_on_at_once_or_in_turn(tmp_path: Path, parts, *, in_turn: bool) -> None:
    """In turn nobody has her second question before everybody has answered the first."""
    plan = Plan(mothers=12, window=2, offered=0, cases=0, parts=parts, born_at=NOON, in_turn=in_turn)
    measure(tmp_path / "smsflow", plan, players.start_daemon, lambda _: None)
    with closing(sqlite3.connect(tmp_path / "smsflow" / "smsflow.db")) as store:
        answers = store.execute("SELECT conversation FROM journal WHERE outcome = 'answered' ORDER BY id LIMIT 12")
        cases = {case for (case,) in answers}
    assert (len(cases) == 12) == in_turn


def test_receipts_come_for_every_part_that_asks_for_one(tmp_path: Path) -> None:
    """Their number is told beside that of the parts; they are no turns, and the plain script is sent them too."""
    few = ("--mothers", MOTHERS, "--window", 16, "--receipts", "--folder", tmp_path)
    ended = smsflow("bench", *few, "--versus", "naive", "--json")

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["load"]["receipts"] is True
    for figures in (said["smsflow"], said["versus"]["naive"]):
        assert figures["turns"] == MOTHERS * QUESTIONS
        assert figures["receipts_per_turn"] == figures["parts_per_turn"] > 1
    assert not list(tmp_path.iterdir())


def test_receipts_are_told_in_words(tmp_path: Path) -> None:
    """Also where replies come at a rate: as many receipts a turn as parts."""
    few = ("--mothers", 9, "--offered", 200, "--receipts", "--folder", tmp_path)
    ended = smsflow("bench", *few)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("9 mothers, 200 turns/s offered, with receipts, 0 cases in the store before;")
    assert "1.73 submit_sm a turn, 1.73 receipts a turn)" in ended.stdout


@pytest.mark.parametrize(("in_turn", "offered"), [(False, 0), (True, 0), (False, 300)])
def test_texts_are_delivered_when_a_run_with_receipts_is_over(
    tmp_path: Path, parts, *, in_turn: bool, offered: float
) -> None:
    """Each receipt finds its part and is written down, also those of the greetings and of the last questions."""
    plan = Plan(12, 4, offered, cases=0, parts=parts, born_at=NOON, in_turn=in_turn, receipts=True)
    figures = measure(tmp_path / "smsflow", plan, players.start_daemon, lambda _: None)

    assert figures.turns == 12 * QUESTIONS
    assert figures.receipts_per_turn == figures.parts_per_turn == 1.73
    store = tmp_path / "smsflow" / "smsflow.db"
    assert rows(store, "SELECT status, count(*) FROM outbox GROUP BY 1") == [("delivered", 12 * (QUESTIONS + 1))]
    assert rows(store, "SELECT count(*) FROM segment WHERE state IS NOT 'delivered'") == [(0,)]
    assert rows(store, "SELECT count(*) FROM parked_receipt") == [(0,)]
    assert rows(store, "SELECT count(*) FROM inbound") == [(12 * QUESTIONS,)]
    verified = smsflow("verify", "--config", tmp_path / "smsflow" / "smsflow.yaml")
    assert (verified.returncode, verified.stdout) == (0, f"{store}: 0 flaws in 12 cases\n")


def test_births_are_measured_without_receipts() -> None:
    """Those who are greeted meanwhile never reply, and receipts come before replies."""
    ended = smsflow("bench", "--births", 10, "--receipts")

    assert ended.returncode == 2
    assert "leave --receipts out" in ended.stderr


def test_births_are_measured_while_mothers_write(tmp_path: Path) -> None:
    """All births are taken; who writes meanwhile is answered, and is told from those who only read."""
    few = ("--births", 700, "--mothers", 400, "--offered", 100, "--folder", tmp_path)
    ended = smsflow("bench", *few, "--json")

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    figures = said["births"]
    assert figures["births"] == 700
    assert figures["births_per_s"] == pytest.approx(700 / figures["seconds"], rel=0.02)
    assert figures["cpu_us"] > 0
    before, meanwhile = figures["before"], figures["meanwhile"]
    assert 400 <= before["turns"] <= 700  # in five seconds
    for waits in (before, meanwhile):
        assert waits["turns"] > 0
        assert 0 < waits["p50_ms"] <= waits["p99_ms"] <= waits["max_ms"]
    assert meanwhile["turns"] < figures["seconds"] * 100 + 50
    assert not list(tmp_path.iterdir())


def test_births_are_compared_with_nobody() -> None:
    """The rivals take none."""
    ended = smsflow("bench", "--births", 10, "--versus", "naive")

    assert ended.returncode == 2
    assert "--versus" in ended.stderr


def test_each_part_of_the_rehearsal_ends_before_the_application(parts) -> None:
    """Every reply leads to a next question, in her language, and the last question stays open."""
    assert [part.language for part in parts] == ["kk", "ru", "en"]
    for number, part in enumerate(parts, start=1):
        assert part.states == ("greeting", "child_name", "education", "income", "office", "check")
        assert len(part.replies) == QUESTIONS == len(part.texts) - 1
        assert part.replies[0] == f"R 1 1 {number}"
        assert part.replies[1].startswith(f"R 1 1 {number} Ахметов")
    assert len({part.texts[0] for part in parts}) == 1
    assert len({part.texts[1] for part in parts}) == 3


def rows(file: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(file)) as base:
        return base.execute(query).fetchall()


def test_filled_store_holds_whole_histories(tmp_path: Path, parts) -> None:
    """Nine in ten are closed, over three years, each with ten lines of journal and what belongs to them."""
    file = tmp_path / "filled.db"
    told: list[str] = []

    fill_store(file, 300, parts[1], NOON, told.append)

    assert told[-1] == "cases 300/300"
    stock = "conversation IN (SELECT id FROM conversation WHERE birth_id LIKE 'stock-%')"
    count = (
        "SELECT status, count(*), count(DISTINCT msisdn) FROM conversation WHERE birth_id LIKE 'stock-%' GROUP BY 1"
    )
    assert rows(file, count) == [("closed", 270, 270), ("open", 30, 30)]
    for table, closed, waiting in (("journal", 10, 7), ("inbound", 6, 5), ("outbox", 8, 6), ("application", 1, 0)):
        assert rows(file, f"SELECT count(*) FROM {table} WHERE {stock}") == [(closed * 270 + waiting * 30,)], table
    [(first, last, moments)] = rows(
        file, "SELECT min(closed_at), max(closed_at), count(DISTINCT closed_at) FROM conversation"
    )
    assert (first[:7], last[:7], moments > 100) == ("2023-11", "2026-11", True)
    assert rows(file, f"SELECT count(*) FROM outbox WHERE status <> 'delivered' AND {stock}") == [(0,)]
    assert rows(file, "SELECT count(*) - count(DISTINCT message_id) FROM segment") == [(0,)]
    waited_for = "SELECT DISTINCT c.status FROM segment s JOIN outbox o ON o.id = s.outbox JOIN conversation c"
    assert rows(file, f"{waited_for} ON c.id = o.conversation WHERE s.key <> ''") == [("open",)]
    assert rows(file, "SELECT count(*) FROM segment WHERE key NOT IN ('', message_id)") == [(0,)]
    assert [str(flaw) for flaw in find_flaws(file, ZONE, lambda *_: None)] == []


def test_filled_store_has_every_index_of_a_new_one(tmp_path: Path, parts) -> None:
    """They are left out while it is filled."""
    fill_store(tmp_path / "filled.db", 3, parts[0], NOON, lambda _: None)
    open_store(tmp_path / "new.db", ZONE).close()
    names = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"

    assert rows(tmp_path / "filled.db", names) == rows(tmp_path / "new.db", names)


def test_filled_store_holds_cases_that_can_go_on(tmp_path: Path, parts) -> None:
    """One that waits takes its answer; one that is closed is closed."""
    file = tmp_path / "filled.db"
    fill_store(file, 30, parts[0], NOON, lambda _: None)
    store = open_store(file, ZONE)
    with closing(store):
        world = World(store, None, shipped_dialogs())
        assert world.reply("R 1 1 1 1 1 1 1", "77000000202").outcome == "late"
        handled = world.reply("R 1 1 1 1 1 1 1", "77000002902")
        assert (handled.outcome, handled.to_state) == ("answered", "apply")
        assert world.flaws() == []


def test_what_is_not_installed_is_named(tmp_path: Path, parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Kannel the rest is measured, and a line says what to install."""
    monkeypatch.setattr(players.shutil, "which", lambda *_, **__: None)
    plan = Plan(mothers=1, window=1, offered=0, cases=0, parts=parts, born_at=NOON)

    rivals, missing = run._measure_rivals(tmp_path, plan, ["kannel"], lambda _: None)

    assert not rivals
    assert "apt-get install kannel" in missing["kannel"]


def test_load_says_when_the_other_side_leaves(parts) -> None:
    """A daemon that ends in between is a sentence, not a measurement."""
    load = {"number": "1414", "mothers": 1, "scripts": [part.replies for part in parts], "window": 1, "offered": 0}
    with a_load(load) as (centre, port):
        socket.create_connection(("127.0.0.1", port)).close()

        assert said_by(centre) == {"failed": "the other side has closed the connection"}
        assert centre.wait() == 1


@contextmanager
def a_load(load: dict[str, object]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process of the bench's message centre, which has been told `load`, and its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "smsflow.bench.centre"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as centre:
        try:
            tell(centre, json.dumps(load))
            yield centre, said_by(centre)["port"]
        finally:
            centre.kill()


def tell(centre: subprocess.Popen[str], words: str = "") -> None:
    centre.stdin.write(words + "\n")
    centre.stdin.flush()


def said_by(centre: subprocess.Popen[str]) -> dict[str, object]:
    return json.loads(centre.stdout.readline())


class Esme:
    """A bound connection to the load, PDU by PDU."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self._socket = connection
        self._framer = Framer("test")
        self._come: deque[Pdu] = deque()
        self.send(BindTransceiver(sequence=1, system_id="test", password="test"))
        assert isinstance(self.receive(), BindTransceiverResp)

    def send(self, *pdus: Pdu) -> None:
        self._socket.sendall(b"".join(encode(pdu) for pdu in pdus))

    def receive(self) -> Pdu:
        while not self._come:
            octets = self._socket.recv(65536)
            assert octets, "the load has closed the connection"
            self._come.extend(decode(frame) for frame in self._framer.receive(octets))
        return self._come.popleft()

    def answer(self, *pdus: Pdu) -> None:
        self.send(*(DeliverSmResp(sequence=pdu.sequence) for pdu in pdus))


def texts_to(phone: str, text: str, registered: int) -> list[Pdu]:
    parts = submits(text, source_addr="1414", destination_addr=phone, reference=7)
    return [replace(part, sequence=number, registered_delivery=registered) for number, part in enumerate(parts, 2)]


def test_load_sends_the_receipts_that_are_asked_for_and_no_other() -> None:
    """By registered_delivery; for each part with its id and its addresses turned round; before her reply; and the
    run is over when the last of them is answered."""
    load = {"number": "1414", "mothers": 2, "scripts": [["R 1 1 1"]], "window": 2, "receipts": True}
    first, second = phone_of(0), phone_of(1)
    long = "A question that does not fit. " * 6
    with a_load(load) as (centre, port), socket.create_connection(("127.0.0.1", port)) as connection:
        esme = Esme(connection)

        # greetings: one in UCS-2 that asks, one that asks for failures only (2) and so has none
        esme.send(*texts_to(first, "Сәлем", 1), *texts_to(second, "Hello", 2))
        taken, receipt, other = (esme.receive() for _ in range(3))
        assert isinstance(other, SubmitSmResp)
        assert read_receipt(receipt) == Receipt(taken.message_id, State.DELIVERED, "000")
        assert receipt.short_message.endswith(b" text:")
        esme.answer(receipt)
        assert said_by(centre) == {"greeted": 2}

        tell(centre)
        assert said_by(centre) == {"begun": True}
        replies = esme.receive(), esme.receive()
        assert {reply.source_addr for reply in replies} == {first, second}
        assert {reply.short_message for reply in replies} == {b"R 1 1 1"}
        esme.answer(*replies)

        esme.send(*texts_to(first, "Bye", 0), *texts_to(second, long, 1))
        answers, receipts = [esme.receive() for _ in range(3)], [esme.receive() for _ in range(2)]
        assert [type(answer) for answer in answers] == [SubmitSmResp] * 3
        assert [read_receipt(each).message_id for each in receipts] == [each.message_id for each in answers[1:]]
        for each, text in zip(receipts, (long[:20], long[153:173]), strict=True):
            assert (each.source_addr_ton, each.source_addr_npi, each.source_addr) == (1, 1, second)
            assert (each.dest_addr_ton, each.dest_addr_npi, each.destination_addr) == (0, 0, "1414")
            assert (each.esm_class, each.data_coding, each.registered_delivery) == (4, 0, 0)
            assert re.fullmatch(
                rf"id:\w+ sub:001 dlvrd:001 submit date:(\d{{10}}) done date:\1 stat:DELIVRD err:000 text:{text}",
                each.short_message.decode("ascii"),
            )
        esme.answer(receipts[0])
        for number in (20, 21):  # by the second the load would have said that it is over
            esme.send(EnquireLink(sequence=number))
            assert isinstance(esme.receive(), EnquireLinkResp)
        assert not select.select([centre.stdout], [], [], 0)[0]
        esme.answer(receipts[1])
        result = said_by(centre)
        assert (result["turns"], result["parts"], result["receipts"], result["refused"]) == (2, 3, 2, 0)
