"""The daemon as a process, killed and stopped under load: nothing lost, nothing counts twice, nobody stranded.

Mothers hear texts on the wire and answer what is printed there. What came of it is read over HTTP, and from the
closed store at the end. `pytest tests/test_kills.py --kills 1000 --kill-seed 7 -s` for a night.
"""

import asyncio
import re
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from random import Random
from typing import Any

import httpx2
from by_hand import Bodies, Centre, Reply, insist
from process import KINDS, Daemon, a_free_port, write_config

MOTHERS = 100  # at a time
WINDOW = 16
THINK_S = 0.03
CALM_S = 30  # everything must have come to its end so long after the last kill
NEVER = 99
BRIEF = 0.5  # of the mothers answer without the address where they may
STOPPING = 0.2  # of the mothers say STOP to one of their questions
HASTY = 0.5  # of these, after they have answered it
IBAN = "KZ86125KZT5004100100"
NAMES = ("Ахметов Нұрлан Ерболұлы", "Иванов Иван Петрович", "Ким Анна")
FROZEN_S = 3.0  # the centre gives up a link before a third of it is over
EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "registration": [
        ("accepted", {"number": "104512"}),
        ("registered", {"place": "Tole bi 155", "child_iin": "991231500006"}),
    ],
    "kindergarten": [("queued", {"number": "1843", "locality": "Almaty", "date": "2026-11-20"})],
    "allowance": [("granted", {"amount": 164350})],
}
_GRANTED = "164350"
_STOPPED = re.compile("тоқтатылды|остановлена|stopped")
_ADDRESS = re.compile(r"R(?: \d)+")


@dataclass
class Mother:
    """She answers each question with the first reply that it prints, two of them as she likes.

    One who is `brief` writes the bare digit where she may, and the whole form when she is asked for it again.
    At the question number `stop_at` she says STOP; one who is `hasty` answers it, and says STOP in the same breath.
    """

    phone: str
    language: int
    education: int
    income: int
    stop_at: int = NEVER
    brief: bool = False
    hasty: bool = False
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    @property
    def has_stopped(self) -> bool:
        return len(self.asked) == self.stop_at

    @property
    def ended(self) -> bool:
        if self.has_stopped:
            return bool(_STOPPED.search(self.heard[-1]))
        return bool(self.heard) and _GRANTED in self.heard[-1] and not _ADDRESS.search(self.heard[-1])

    def hear(self, text: str) -> str | None:
        """What she writes; nothing when she was not asked, or has answered."""
        self.heard.append(text)
        printed = _ADDRESS.findall(text)
        if not printed:
            return None
        question, whole, bare = self._find_reply(text, printed)
        if question in self.asked or self.has_stopped:
            return whole if bare and self.brief and not self.has_stopped else None
        self.asked.append(question)
        if self.has_stopped and not self.hasty:
            return "STOP"
        return bare if bare and self.brief else whole

    def _find_reply(self, text: str, printed: list[str]) -> tuple[str, str, str]:
        """The question by the address that it prints, the whole reply, and the bare one where the digit is hers."""
        first = printed[0]
        match first.split():
            case [_, "1", "1", _] if len(printed) > 1:
                return first, f"R 1 1 {self.language + 1}", ""
            case [_, "1", "1", _]:
                return "name", f"{first} {NAMES[self.language]}", ""
            case [_, "1", "1", *_, _] as digits if len(digits) in (5, 6):
                mine = str(self.education if len(digits) == 5 else self.income)
                return f"{first[:-2]} _", f"{first[:-2]} {mine}", mine
            case _ if "IBAN" in text and len(printed) == 1:
                return f"{first} IBAN", f"{first} {IBAN}", ""
            case _:
                return first, first, ""


@dataclass
class Stage:
    """The daemon and everything around it."""

    rng: Random
    daemon: Daemon
    centre: Centre
    bodies: Bodies
    desk: httpx2.AsyncClient
    mothers: dict[str, Mother] = field(default_factory=dict)
    open: bool = True
    """Whether wards still record births."""

    def hear(self, phone: str, text: str) -> None:
        written = self.mothers[phone].hear(text)
        if written is not None:
            # without its address, an answer to a question that nobody has acknowledged is none
            pause_s = 10 * THINK_S if written.isdigit() else self.rng.uniform(0, THINK_S)
            asyncio.get_running_loop().call_later(pause_s, self._write, phone, written)

    def _write(self, phone: str, text: str) -> None:
        mother = self.mothers[phone]
        mother.replies.append(self.centre.reply(phone, text))
        if mother.has_stopped and mother.hasty:
            mother.replies.append(self.centre.reply(phone, "STOP"))

    @property
    def ended(self) -> bool:
        return not self.open and all(mother.ended for mother in self.mothers.values())

    async def record_births(self) -> None:
        """Keep so many mothers in the middle of it, while `open`."""
        async with self.daemon.http("ward") as http, asyncio.TaskGroup() as wards:
            for number in count():
                await self.centre.until(self._has_room)
                if not self.open:
                    return
                mother = a_mother(f"7701{number:07}", self.rng)
                self.mothers[mother.phone] = mother
                wards.create_task(record_birth(http, a_birth(number, mother.phone)))

    def _has_room(self) -> bool:
        return not self.open or sum(not mother.ended for mother in self.mothers.values()) < MOTHERS

    def close(self) -> None:
        self.open = False
        self.centre.moved()


def a_mother(phone: str, rng: Random) -> Mother:
    education, income = rng.sample(range(1, 7), 2)  # that one is not taken for the other
    stop_at = rng.randint(1, 10) if rng.random() < STOPPING else NEVER
    brief = rng.random() < BRIEF
    return Mother(phone, rng.randrange(3), education, income, stop_at, brief, not brief and rng.random() < HASTY)


async def record_birth(http: httpx2.AsyncClient, birth: dict[str, Any]) -> None:
    answer = await insist(http, "/v1/births", birth)
    assert not answer["rejected"], answer


def an_iin(number: int) -> str:
    """The IIN of nobody alive (born in the 1890s) with its check digit, one for each `number`."""
    first, second = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)
    digits = [int(digit) for digit in f"95{number // 9999 % 12 + 1:02}012{number % 9999 + 1:04}"]
    for weights in (first, second):
        check = sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 11
        if check < 10:
            return "".join(map(str, [*digits, check]))
    return an_iin(number + 5_000_000)  # this one is never issued


def a_birth(number: int, phone: str) -> dict[str, Any]:
    birth = {
        "birth_id": f"b{number}", "mother_iin": an_iin(number), "msisdn": phone, "sex": "female", "alive": True,
        "born_at": "2026-11-20T08:00:00+05:00", "birth_order": 1, "address_kato": "751110000",
    }  # fmt: skip
    return birth | ({"account": IBAN} if number % 2 else {})


@asynccontextmanager
async def a_stage(folder: Path, seed: int) -> AsyncIterator[Stage]:
    rng = Random(seed)
    stage: Stage
    centre = Centre(rng, lambda phone, text: stage.hear(phone, text), think_s=THINK_S)
    api_port = a_free_port()
    bodies = Bodies(f"http://127.0.0.1:{api_port}", "bodies", EVENTS)
    config = write_config(folder, await centre.start(), api_port, await bodies.start(), window=WINDOW)
    daemon = Daemon(config, api_port)
    stage = Stage(rng, daemon, centre, bodies, daemon.http("desk"))
    await daemon.start()
    try:
        yield stage
    finally:
        await daemon.end()
        await stage.desk.aclose()
        await bodies.stop()
        centre.stop()


async def play(folder: Path, seed: int, trouble: Callable[[Stage], Awaitable[object]], *, trouble_s: float) -> None:
    """Let `trouble` happen while mothers answer; then let everything come to its end, and look."""
    async with a_stage(folder, seed) as stage, asyncio.TaskGroup() as tasks:
        wards = tasks.create_task(stage.record_births())
        async with asyncio.timeout(trouble_s):
            await trouble(stage)
            stage.close()
            await wards
        try:
            async with asyncio.timeout(CALM_S):
                await stage.centre.until(lambda: stage.ended)
        except TimeoutError:
            stranded = [mother for mother in stage.mothers.values() if not mother.ended]
            raise AssertionError(f"{len(stranded)} mothers are stranded, such as {stranded[0]}") from None
        await check_http(stage)
        assert await stage.daemon.end(signal.SIGTERM) == 0
        check_replies(stage)
        check_bodies(stage)
        doubled = check_store(stage, check_texts(stage))
        tell(stage, seed, doubled)


# --- what is seen from the outside --------------------------------------------------------------------------


async def check_http(stage: Stage) -> None:
    """Each acknowledged reply stands in its case once, as an answer; every case has ended as it should."""
    for phone, mother in stage.mothers.items():
        listed = (await stage.desk.get("/v1/cases", params={"msisdn": phone})).json()["cases"]
        cases = [(await stage.desk.get(f"/v1/cases/{each['case']}")).json() for each in listed]
        results = [case["result"] for case in cases]
        assert {case["status"] for case in cases} == {"closed"}, mother
        assert results == (["done"] * (len(results) - 1) + ["stopped"] if mother.has_stopped else ["done"] * 3), (
            mother
        )
        taken = Counter(
            (message["text"], message["outcome"])
            for case in cases
            for message in case["messages"]
            if message["direction"] == "in" and message["outcome"] in ("answered", "amended", "stopped", "late")
        )
        whole = [reply.text for reply in mother.replies if not mother.brief or len(reply.text) > 1]
        expected = {(text, "stopped" if text == "STOP" else "answered"): 1 for text in whole}
        if mother.brief:  # which of the two forms was the answer is one thing; that it is hers is the other
            assert set(taken.values()) == {1}, mother
            assert {outcome for _, outcome in taken} <= {"answered", "stopped"}, mother
        else:
            assert taken == expected, mother
        check_answers(mother, cases[0]["answers"])


def check_answers(mother: Mother, answers: dict[str, str]) -> None:
    """What she has said is what is known of her, in all that she was asked."""
    said = {"child_name": NAMES[mother.language], "education": str(mother.education), "income": str(mother.income)}
    answered = max(
        0, len(mother.asked) - (mother.has_stopped and not mother.hasty) - 1
    )  # the language is none of them
    for name in list(said)[:answered]:
        assert answers.get(name) == said[name], mother


def check_replies(stage: Stage) -> None:
    """Each reply was acknowledged at last, and nothing was asked of the centre after that."""
    for reply in stage.centre.replies:
        assert [status for _, status in reply.tries if status is not None][-1:] == [0], reply
        assert sum(status == 0 for _, status in reply.tries) == 1, reply


def check_bodies(stage: Stage) -> None:
    """One key for each application, however often it was posted; each that a mother has completed was posted."""
    by_key = {key: (each["case"], each["kind"], str(each["data"])) for key, each in stage.bodies.posted}
    for key, each in stage.bodies.posted:
        assert by_key[key] == (each["case"], each["kind"], str(each["data"])), "a key stands for two applications"
    assert len({(case, kind) for case, kind, _ in by_key.values()}) == len(by_key), "two keys for one application"
    stopped = {f"b{int(phone[4:])}" for phone, mother in stage.mothers.items() if mother.has_stopped}
    born = Counter((each["data"]["birth_id"], each["kind"]) for each in dict(stage.bodies.posted).values())
    for number in range(len(stage.mothers)):
        if f"b{number}" not in stopped:
            assert [born[f"b{number}", kind] for kind in KINDS] == [1, 1, 1]
    birth_of = {key: each["data"]["birth_id"] for key, each in stage.bodies.posted}
    for (key, _), outcome in stage.bodies.outcomes.items():
        assert outcome == "moved" or birth_of[key] in stopped


def check_texts(stage: Stage) -> dict[tuple[str, str], list[int]]:
    """On which connections each text came; after STOP was acknowledged, none that was not under way."""
    connections: dict[tuple[str, str], list[int]] = defaultdict(list)
    for sent in stage.centre.texts:
        if sent.text is not None:
            connections[sent.phone, sent.text].append(sent.connection)
    for mother in stage.mothers.values():
        if mother.has_stopped:
            check_stopped(stage, mother)
    return connections


def check_stopped(stage: Stage, mother: Mother) -> None:
    """After STOP she hears that it is so, and at most the other parts of what she had begun to hear."""
    stop = mother.replies[-1]
    sent = [sent for sent in stage.centre.texts if sent.phone == mother.phone]
    before = sum(sent.phone == mother.phone for sent in stage.centre.texts[: stop.submitted_before])
    begun = {each.reference for each in sent[:before]} - {0}
    late = {each.text for each in sent[before:] if each.text and each.reference not in begun}
    assert stop.text == "STOP"
    assert all(_STOPPED.search(text) for text in late), f"{mother} heard more after STOP"


def check_store(stage: Stage, connections: dict[tuple[str, str], list[int]]) -> set[tuple[str, str]]:
    """The file is whole, all is done, texts went out in its order, no question was answered twice.

    What came twice, which only texts that were under way at a kill may, is marked; it is returned.
    """
    assert not Path(f"{stage.daemon.store}-wal").exists()
    with closing(sqlite3.connect(f"{stage.daemon.store.as_uri()}?mode=ro", uri=True)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = store.execute("SELECT msisdn, text, in_doubt, status FROM outbox ORDER BY id").fetchall()
        kept = Counter(store.execute("SELECT msisdn, text FROM inbound").fetchall())
        twice = store.execute(
            "SELECT conversation, from_state FROM journal WHERE outcome IN ('answered', 'stopped')"
            " GROUP BY conversation, from_state HAVING count(*) > 1"
        ).fetchall()
        assert twice == []
        assert store.execute(
            "SELECT count(*) FROM application WHERE status NOT IN ('taken', 'dropped')"
        ).fetchone() == (0,)
        assert store.execute("SELECT reason FROM flag").fetchall() == []
    assert {status for *_, status in rows} <= {"accepted", "dropped"}, "all receipts aside, nothing is left over"
    assert all(kept[reply.phone, reply.text] for reply in stage.centre.replies)
    texts = by_phone(rows)
    for phone, mother in stage.mothers.items():
        queued = [text for _, text, _, status in texts[phone] if status != "dropped" or text in mother.heard]
        assert [text for text, _ in groupby(mother.heard)] == [text for text, _ in groupby(queued)]
    return check_doubled(connections, rows)


def by_phone(rows: list[tuple[str, str, int, str]]) -> dict[str, list[tuple[str, str, int, str]]]:
    found = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


def check_doubled(
    connections: dict[tuple[str, str], list[int]], rows: list[tuple[str, str, int, str]]
) -> set[tuple[str, str]]:
    """Texts that came twice: on two connections, marked in the store, at most a window's worth of each."""
    times = Counter((phone, text) for phone, text, *_ in rows)  # the same hint twice is two texts
    doubled = {text: on for text, on in connections.items() if len(on) > times[text]}
    for text, on in doubled.items():
        assert times[text] > 1 or len(set(on)) == len(on), f"{text} came twice on one connection"
    for connection, lost in Counter(each for on in doubled.values() for each in on[:-1]).items():
        assert lost <= WINDOW, f"{lost} texts were in doubt after connection {connection}"
    assert set(doubled) <= {(phone, text) for phone, text, in_doubt, _ in rows if in_doubt}
    return set(doubled)


def tell(stage: Stage, seed: int, doubled: set[tuple[str, str]]) -> None:
    """The figures, with `-s`."""
    replies = stage.centre.replies
    again = sum(len(reply.tries) - 1 for reply in replies)
    refused = sum(bool(status) for reply in replies for _, status in reply.tries)
    print(
        f"\nseed {seed}: {len(stage.centre.wires)} connections, {len(stage.mothers)} mothers,"
        f" {len(replies)} replies acknowledged ({again} delivered again, {refused} of them refused before),"
        f" {len(stage.centre.texts)} PDUs out, {len(doubled)} texts twice (in doubt),"
        f" {len(stage.bodies.posted)} posts of {len({key for key, _ in stage.bodies.posted})} applications"
    )


# --- what happens to it -------------------------------------------------------------------------------------


async def kill_under_load(stage: Stage, kills: int) -> None:
    """Kill so often: at a frame of the daemon's, at a moment after it has bound, or while it starts."""
    rng, centre, began = stage.rng, stage.centre, time.monotonic()
    for _ in range(kills):
        if rng.random() < 0.1:
            await asyncio.sleep(rng.uniform(0, 0.8))
        else:
            await centre.until(lambda: centre.wire is not None)
            await die_at(centre, rng)
        await stage.daemon.end()
        await stage.daemon.start()
    print(f"\n{kills} kills in {time.monotonic() - began:.0f} s")


async def die_at(centre: Centre, rng: Random) -> None:
    """Wait for a frame of the daemon's, or for a moment."""
    wire = centre.wire
    if wire is None:
        return
    frames, patience_s = wire.frames + rng.randint(1, 400), rng.uniform(0, 1.5)
    try:
        async with asyncio.timeout(patience_s):
            await centre.until(lambda: wire.frames >= frames)
    except TimeoutError:
        pass


def test_kill_9_loses_nothing_and_moves_nobody_twice(tmp_path: Path, request) -> None:
    """Killed again and again under load, restarted at once on the same file."""
    kills, seed = request.config.getoption("--kills"), request.config.getoption("--kill-seed")

    asyncio.run(play(tmp_path, seed, lambda stage: kill_under_load(stage, kills), trouble_s=10 * kills + 10))


async def freeze_under_load(stage: Stage, times: int) -> None:
    """Stop it (SIGSTOP) for longer than the centre waits, which drops the link and delivers again; let it go on."""
    rng, centre = stage.rng, stage.centre
    for _ in range(times):
        await centre.until(lambda: centre.wire is not None)
        await die_at(centre, rng)
        stage.daemon.send_signal(signal.SIGSTOP)
        await asyncio.sleep(rng.choice((0, FROZEN_S / 3)))
        centre.drop(rudely=rng.random() < 0.5)
        await asyncio.sleep(FROZEN_S * 2 / 3)
        stage.daemon.send_signal(signal.SIGCONT)
    assert stage.daemon.process is not None
    assert stage.daemon.process.returncode is None


def test_stopped_for_longer_than_the_centre_waits_and_continued(tmp_path: Path, request) -> None:
    """SIGSTOP, a link that is dropped meanwhile, SIGCONT: as after a kill."""
    seed = request.config.getoption("--kill-seed")

    asyncio.run(play(tmp_path, seed, lambda stage: freeze_under_load(stage, 3), trouble_s=60))
