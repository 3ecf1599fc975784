"""The whole service by its contracts alone: `smsflow run` as a process, a message centre, bodies, forty mothers.

Nothing here looks inside: mothers know what the texts and `GET /v1/cases` say, bodies what is posted to them.
"""

import asyncio
import json
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI, Request, Response

from smsflow.core.encoding import segments
from smsflow.smpp.smsc import MessageCentre, Text

TIMEOUT_S = 30
MOTHERS = 40
NAMES = {"kk": "Ахметов Нұрлан Ерболұлы", "ru": "Иванов Иван Петрович", "en": "Ким Анна"}
IBAN = "KZ86125KZT5004100100"
EVENTS = {  # what each body says, one event after the other
    "registration": [
        ("accepted", {"number": "104512"}),
        ("registered", {"place": "ЦОН, Толе би 155", "child_iin": "991231500006"}),
    ],
    "kindergarten": [("queued", {"number": "1843", "locality": "Алматы", "date": "2026-11-20"})],
    "allowance": [("granted", {"amount": 164350})],
}


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stage:
    """Everything around the daemon, and what was seen of it."""

    folder: Path
    api: str
    smsc: MessageCentre
    texts: list[Text] = field(default_factory=list)
    posted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # idempotency key, application
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None

    def http(self, token: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.api, headers=headers, trust_env=False, timeout=30)

    @property
    def log(self) -> Path:
        return self.folder / "log"


def config(folder: Path, smsc_port: int, api_port: int, body_port: int, bind: str) -> Path:
    file = folder / "smsflow.yaml"
    dialogs = Path(__file__).parent.parent / "dialogs"
    gateways = "\n".join(
        f'  {kind}: {{url: "http://127.0.0.1:{body_port}/{kind}", token: body, timeout: 5s}}' for kind in EVENTS
    )
    file.write_text(f"""
store: sqlite:///store.db
dialogs: {dialogs}
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {{name: main, host: 127.0.0.1, port: {smsc_port}, system_id: smsflow, password: secret, bind: {bind}, tps: 0}}
api:
  listen: 127.0.0.1:{api_port}
  clients:
    - {{name: ward, token: ward, may: [births, citizens]}}
    - {{name: bodies, token: bodies, may: [events]}}
    - {{name: desk, token: desk, may: [read, operate]}}
gateways:
{gateways}
""")
    return file


@asynccontextmanager
async def a_stage(folder: Path, bind: str = "transceiver") -> AsyncIterator[Stage]:
    smsc_port, api_port, body_port = a_free_port(), a_free_port(), a_free_port()
    centre = MessageCentre(lambda text: take(text))
    stage = Stage(folder, f"http://127.0.0.1:{api_port}", centre)

    def take(text: Text) -> None:
        stage.texts.append(text)
        stage.moved.set()

    bodies = await serve_bodies(stage, body_port)
    await centre.start("127.0.0.1", smsc_port)
    with stage.log.open("wb") as log:
        stage.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsflow", "run", "--config",
            str(config(folder, smsc_port, api_port, body_port, bind)), stderr=log,
        )  # fmt: skip
        try:
            await until_healthy(stage)
            yield stage
        finally:
            if stage.process.returncode is None:
                stage.process.kill()
            await stage.process.wait()
            await centre.stop()
            bodies[0].should_exit = True
            await bodies[1]


async def until_healthy(stage: Stage) -> None:
    async with asyncio.timeout(TIMEOUT_S), stage.http("") as http:
        while True:
            try:
                if (await http.get("/v1/health")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            assert stage.process is not None
            assert stage.process.returncode is None, stage.log.read_text()
            await asyncio.sleep(0.05)


async def until(stage: Stage, texts: int) -> None:
    """Wait for so many texts."""
    while len(stage.texts) < texts:
        stage.moved.clear()
        await stage.moved.wait()


async def serve_bodies(stage: Stage, port: int) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    """Bodies that take each application at the second try, and answer by themselves."""
    app = FastAPI()
    tried: Counter[str] = Counter()
    answers: set[asyncio.Task[None]] = set()

    @app.post("/{kind}")
    async def post(kind: str, request: Request) -> Response:
        key = request.headers["idempotency-key"]
        tried[key] += 1
        if tried[key] == 1 and len(tried) % 7 == 0:
            return Response(status_code=503)
        application = await request.json()
        assert request.headers["authorization"] == "Bearer body"
        assert application["kind"] == kind
        stage.posted.append((key, application))
        answer = asyncio.create_task(say(stage, application["case"], kind))
        answers.add(answer)
        answer.add_done_callback(answers.discard)
        return Response(status_code=202)

    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    return server, asyncio.create_task(server.serve())


async def say(stage: Stage, case: str, kind: str) -> None:
    async with stage.http("bodies") as http:
        for name, data in EVENTS[kind]:
            event = {"id": f"{kind}-{name}-{case}", "event": name, "data": data}
            for _ in range(2):  # bodies, too, say things twice
                answer = await http.post(f"/v1/cases/{case}/events", json=event)
                assert answer.status_code == 202, answer.text


def an_answer(awaiting: dict[str, Any], language: str) -> str:
    """What a mother replies who reads the question by the contract."""
    address = awaiting["address"]
    codes = [option["code"] for option in awaiting["options"]]
    match awaiting["kind"]:
        case "choice" if address.count(" ") == 2 and address.startswith("R 1"):
            return f"{address} {'123'[['kk', 'ru', 'en'].index(language)]}"
        case "choice":
            return f"{address} {' '.join(codes[0])}"
        case "name":
            return f"{address} {NAMES[language]}"
        case "iban":
            return f"{address} {IBAN}"
        case kind:
            raise AssertionError(f"no such question in this service: {kind}")


async def be_a_mother(stage: Stage, msisdn: str, language: str) -> None:
    """Answer whatever is open, until three cases are closed."""
    answered: set[str] = set()
    async with stage.http("desk") as http:
        while True:
            cases = (await http.get("/v1/cases", params={"msisdn": msisdn})).json()["cases"]
            if len(cases) == 3 and all(case["status"] == "closed" for case in cases):
                return
            reply = next((an_answer(case["awaiting"], language) for case in cases if case["awaiting"]), None)
            if reply and reply not in answered:
                answered.add(reply)
                assert await stage.smsc.send(msisdn, reply) == 0
            else:
                stage.moved.clear()
                try:
                    async with asyncio.timeout(0.2):
                        await stage.moved.wait()
                except TimeoutError:
                    pass


def a_birth(number: int) -> dict[str, Any]:
    birth = {
        "birth_id": f"b{number}", "mother_iin": "950101200109", "msisdn": f"+7 701 000 {number:04}",
        "born_at": "2026-11-20T08:00:00+05:00", "sex": "female", "alive": True, "birth_order": 1 + number % 5,
        "address_kato": ["751110000", "111010000", "351010000"][number % 3],
    }  # fmt: skip
    return birth | ({"account": IBAN} if number % 2 else {})


def test_forty_mothers_are_served_by_the_contracts_alone(tmp_path: Path) -> None:
    """All done, in their languages, one application a kind and case, nothing to the stillbirth's mother."""
    asyncio.run(serve_forty(tmp_path))


async def serve_forty(folder: Path) -> None:
    async with a_stage(folder) as stage, asyncio.timeout(TIMEOUT_S):
        languages = {f"7701000{number:04}": ["kk", "ru", "en"][number % 3] for number in range(MOTHERS)}
        births = [a_birth(number) for number in range(MOTHERS)]
        sad = a_birth(9999) | {"alive": False}
        async with stage.http("ward") as http:
            answer = await http.post("/v1/births", json=[*births, sad])
            assert answer.status_code == 202
            assert len(answer.json()["accepted"]) == MOTHERS + 1
        await asyncio.gather(*(be_a_mother(stage, msisdn, language) for msisdn, language in languages.items()))
        await check_cases(stage, languages)
        check_texts(stage, languages)
        check_applications(stage)
        await check_the_end(stage)


async def check_cases(stage: Stage, languages: dict[str, str]) -> None:
    async with stage.http("desk") as http:
        for msisdn, language in languages.items():
            cases = (await http.get("/v1/cases", params={"msisdn": msisdn})).json()["cases"]
            assert [case["result"] for case in cases] == ["done"] * 3
            assert {case["language"] for case in cases} == {language}
            full = (await http.get(f"/v1/cases/{cases[0]['case']}")).json()
            assert full["answers"]["child_name"] == NAMES[language]
            assert {message["status"] for message in full["messages"] if message["direction"] == "out"} <= {
                "delivered",
                "accepted",
            }


def check_texts(stage: Stage, languages: dict[str, str]) -> None:
    for text in stage.texts:
        assert text.destination in languages
        assert text.source == "1414"
        assert text.segments == segments(text.text) <= 2
        assert "{" not in text.text
    by_phone = Counter(text.destination for text in stage.texts)
    assert set(by_phone) == set(languages)
    repeated = [pair for pair, count in Counter((t.destination, t.text) for t in stage.texts).items() if count > 1]
    assert repeated == []
    for msisdn, language in languages.items():
        after_greeting = [text.text for text in stage.texts if text.destination == msisdn][1:]
        cyrillic = [bool(re.search("[а-яё]", text)) for text in after_greeting]
        kazakh = [bool(re.search("[әғқңөұүһі]", text)) for text in after_greeting]
        assert (language == "en") == (sum(cyrillic) < len(cyrillic) / 2)
        assert (language == "kk") == (sum(kazakh) > len(kazakh) / 2)


def check_applications(stage: Stage) -> None:
    sent = Counter((application["case"], application["kind"]) for _, application in stage.posted)
    assert set(sent.values()) == {1}
    assert Counter(kind for _, kind in sent) == dict.fromkeys(EVENTS, MOTHERS)
    assert len({key for key, _ in stage.posted}) == len(stage.posted)
    for _, application in stage.posted:
        assert application["data"]["birth_id"]
        if application["kind"] == "allowance":
            assert application["data"]["account"] == IBAN


async def check_the_end(stage: Stage) -> None:
    """SIGTERM: unbind, exit 0 within 10 s; nothing personal in the log."""
    assert stage.process is not None
    stage.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(stage.process.wait(), 10) == 0
    lines = stage.log.read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[-3:] == ["daemon.stopping", "smpp.unbound", "daemon.stopped"]
    assert not re.search(r"7701000\d{4}|950101200109|KZ86|Ахметов|Иванов|Ким Анна", stage.log.read_text())


def test_receiver_and_transmitter_are_one_link(tmp_path: Path) -> None:
    """Two binds: replies come in by one, texts go out by the other."""

    async def play() -> None:
        async with a_stage(tmp_path, "receiver+transmitter") as stage, asyncio.timeout(TIMEOUT_S):
            async with stage.http("ward") as http:
                await http.post("/v1/births", json=a_birth(1))
            await be_a_mother(stage, "77010000001", "kk")

    asyncio.run(play())


def test_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9 in the middle: the question stands, the reply counts, nothing is sent twice but what was in doubt."""

    async def play() -> None:
        async with a_stage(tmp_path) as stage, asyncio.timeout(TIMEOUT_S):
            async with stage.http("ward") as http:
                await http.post("/v1/births", json=a_birth(1))
            await until(stage, 1)
            await stage.smsc.send("77010000001", "R 1 1 2")
            await until(stage, 2)
            assert stage.process is not None
            stage.process.kill()
        async with a_stage(tmp_path) as stage, asyncio.timeout(TIMEOUT_S):
            await be_a_mother(stage, "77010000001", "ru")
            assert Counter(text.text for text in stage.texts).most_common(1)[0][1] == 1

    asyncio.run(play())
