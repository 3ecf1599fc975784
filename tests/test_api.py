"""The HTTP API as other systems see it: what is taken, what is refused and why, who may."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from dataclasses import replace

import httpx2
import pytest
import structlog
from api_world import BOUND, an_api
from world import MOTHER, PHONE

from smsflow import answers
from smsflow.api import BATCH_MAX, Server
from smsflow.core.errors import StoreError
from smsflow.health import Health

NAME = "Ахметов Нурлан"


def birth(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "birth_id": f"b{number}", "mother_iin": MOTHER, "msisdn": f"7701{number:07d}",
        "born_at": "2026-11-18T08:00:00+05:00", "sex": "female", "alive": True, "birth_order": 1,
        "account": "KZ86125KZT5004100100", "address_kato": "751110000", **changes,
    }  # fmt: skip


def play(folder, scenario):
    """Run `scenario(api)` against a running API."""

    async def main():
        async with an_api(folder) as api:
            await scenario(api)

    asyncio.run(main())


# --- births and citizens ----------------------------------------------------------------------------------


def test_one_birth_begins_a_case(tmp_path):
    """202, and the case by name; the second time the same case."""

    async def scenario(api):
        for _ in range(2):
            answer = await api.post("/v1/births", birth(), "moh")
            assert answer.status_code == 202
            assert answer.json() == {"accepted": [{"birth_id": "b1", "case": "1"}], "rejected": []}
        assert len(api.world.sent()) == 1

    play(tmp_path, scenario)


def test_birth_that_may_have_been_forgotten_is_told_from_a_new_one(tmp_path):
    """An old file, imported once more, congratulates nobody a second time."""

    async def scenario(api):
        assert (await api.post("/v1/births", birth(), "moh")).status_code == 202
        with api.world.store.transaction():
            api.world.store.retention.begin(api.world.now)
        answer = await api.post(
            "/v1/births", [birth(), birth(2), birth(3, born_at=api.world.now.isoformat())], "moh"
        )
        told = answer.json()
        assert [each["birth_id"] for each in told["accepted"]] == ["b1", "b3"]
        assert [(each["birth_id"], each["error"]) for each in told["rejected"]] == [("b2", "too_old")]
        assert "retention" in told["rejected"][0]["detail"]

    play(tmp_path, scenario)


def test_good_births_of_a_batch_are_taken_and_bad_ones_named(tmp_path):
    """Each bad item has its reason, its field and its place; nothing else is lost."""

    async def scenario(api):
        batch = [birth(1), birth(2, mother_iin="950101200108"), birth(3), 7, birth(1, sex="male"), birth(5, x=1)]
        answer = await api.post("/v1/births", batch, "moh")
        assert answer.status_code == 202
        assert [item["birth_id"] for item in answer.json()["accepted"]] == ["b1", "b3"]
        assert [
            (item["birth_id"], item["index"], item["error"], item["field"]) for item in answer.json()["rejected"]
        ] == [
            ("b2", 1, "check_digit", "mother_iin"),
            (None, 3, "wrong_type", ""),
            ("b1", 4, "differs", ""),
            ("b5", 5, "unknown_field", "x"),
        ]

    play(tmp_path, scenario)


def test_large_batch_is_answered_in_its_order(tmp_path):
    """Each birth with its own case, each that is refused with its own reason and place."""
    bad = {7: {"sex": "x"}, 60: {"mother_iin": "1"}, 119: {"birth_id": "b0", "birth_order": 2}}
    births = [birth(number, **bad.get(number, {})) for number in range(130)]
    errors = {7: "not_allowed", 60: "length", 119: "differs"}

    async def scenario(api):
        told = (await api.post("/v1/births", births, "moh")).json()
        good = [each["birth_id"] for number, each in enumerate(births) if number not in bad]
        assert told["accepted"] == [{"birth_id": name, "case": str(case)} for case, name in enumerate(good, 1)]
        assert [(each["index"], each["error"]) for each in told["rejected"]] == list(errors.items())

    play(tmp_path, scenario)


def test_batch_of_which_nothing_can_be_taken_is_422(tmp_path):
    """One bad birth, or only bad ones, is the client's error, told like any other."""

    async def scenario(api):
        for body in (birth(alive="yes"), [birth(alive="yes")]):
            answer = await api.post("/v1/births", body, "moh")
            assert answer.status_code == 422
            assert answer.json()["error"] == "wrong_type"
            assert answer.json()["rejected"][0]["field"] == "alive"

    play(tmp_path, scenario)


def test_too_many_births_are_413_and_none_is_taken(tmp_path):
    """10,001 is one too many."""

    async def scenario(api):
        answer = await api.post("/v1/births", [birth(1)] * (BATCH_MAX + 1), "moh")
        assert (answer.status_code, answer.json()["error"]) == (413, "too_many")
        assert api.world.store.people.find_births(["b1"]) == {}
        answer = await api.post("/v1/births", b" " * (16 * 1024 * 1024 + 1), "moh")
        assert (answer.status_code, answer.json()["error"]) == (413, "too_large")

    play(tmp_path, scenario)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_400(tmp_path, body):
    """Whatever the octets are, the answer is JSON."""

    async def scenario(api):
        answer = await api.post("/v1/births", body, "moh")
        assert (answer.status_code, answer.json()["error"]) == (400, "not_json")

    play(tmp_path, scenario)


def test_large_batch_does_not_hold_up_others(tmp_path):
    """A batch is written slice by slice: other work comes in between."""

    async def scenario(api):
        handing_in = asyncio.create_task(api.post("/v1/births", [birth(number) for number in range(3000)], "moh"))
        jobs = 0
        while not handing_in.done():
            await api.writer.run(lambda: None)
            jobs += 1
            await asyncio.sleep(0.001)
        assert (await handing_in).status_code == 202
        assert jobs >= 5

    play(tmp_path, scenario)


def test_one_birth_that_fails_by_our_mistake_costs_the_others_nothing(tmp_path, monkeypatch):
    """The slice is carried out one by one, and the one is rejected as `failed`."""

    async def scenario(api):
        record = api.world.births.record_births

        def fail_for_two(births, at):
            cases = record(births, at)
            if "b2" in [born.birth_id for born in births]:
                raise ZeroDivisionError
            return cases

        monkeypatch.setattr(api.world.births, "record_births", fail_for_two)
        answer = await api.post("/v1/births", [birth(1), birth(2), birth(3)], "moh")
        assert [item["birth_id"] for item in answer.json()["accepted"]] == ["b1", "b3"]
        assert [(item["birth_id"], item["error"]) for item in answer.json()["rejected"]] == [("b2", "failed")]
        assert api.world.store.people.find_births(["b2"]) == {}

    play(tmp_path, scenario)


def test_citizens_decide_the_phone(tmp_path):
    """A birth without a number goes to the number that the mother's IIN is bound to."""

    async def scenario(api):
        binding = {"iin": MOTHER, "msisdn": PHONE, "bound_at": "2026-01-01T00:00:00+05:00"}
        answer = await api.post("/v1/citizens", [binding, {**binding, "iin": "1"}], "moh")
        assert answer.status_code == 202
        assert answer.json()["accepted"] == [{"iin": MOTHER}]
        assert answer.json()["rejected"][0]["error"] == "length"
        await api.post("/v1/births", birth(msisdn=None), "moh")
        assert (await api.get("/v1/cases/1", "desk")).json()["msisdn"] == PHONE

    play(tmp_path, scenario)


# --- events, operators ------------------------------------------------------------------------------------


async def applied(api):
    """A case that waits for the registry."""
    await api.post("/v1/births", birth(msisdn=PHONE), "moh")
    for text in ("R 1 1 2", f"R 1 1 2 {NAME}", "R 1 1 2 1", "R 1 1 2 1 1", "R 1 1 2 1 1 1"):
        api.world.reply(text)


def test_event_moves_a_case_once(tmp_path):
    """The second time, by the body's own id, nothing happens."""

    async def scenario(api):
        await applied(api)
        event = {
            "id": "e1",
            "event": "registered",
            "data": {"place": "ЦОН, Толе би 155", "child_iin": "991231500006"},
        }
        for _ in range(2):
            answer = await api.post("/v1/cases/1/events", event, "bodies")
            assert answer.status_code == 202
            assert answer.json() == {"case": "1", "id": "e1", "outcome": "moved"}
        case = (await api.get("/v1/cases/1", "desk")).json()
        assert (case["status"], case["result"]) == ("closed", "done")

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("case", "event", "status", "error"),
    [
        ("9", {"id": "e", "event": "accepted", "data": {"number": "1"}}, 404, "unknown_case"),
        ("x", {"id": "e", "event": "accepted", "data": {"number": "1"}}, 404, "unknown_case"),
        ("999", {"id": "e", "event": "accepted", "data": {"number": 1}}, 404, "unknown_case"),
        ("9" * 19, {"id": "e", "event": "accepted", "data": {"number": "1"}}, 404, "unknown_case"),
        ("1", {"id": "e", "event": "granted", "data": {"amount": 1}}, 422, "unknown_event"),
        ("1", {"id": "e", "event": "danced", "data": {}}, 422, "unknown_event"),
        ("1", {"id": "e", "event": "danced", "data": {"steps": 10**20}}, 422, "unknown_event"),
        ("1", {"id": "e", "event": "granted", "data": {"amount": 10**20}}, 422, "out_of_range"),
        ("1", {"id": "e", "event": "accepted", "data": {}}, 422, "missing"),
        (
            "1",
            {"id": "e", "event": "registered", "data": {"place": "x", "child_iin": "991231500007"}},
            422,
            "check_digit",
        ),
        ("1", {"event": "accepted", "data": {"number": "1"}}, 422, "missing"),
        ("1", [], 422, "wrong_type"),
    ],
)
def test_bad_event_is_refused_by_name(tmp_path, case, event, status, error):
    """404 for a case that is not there, 422 for what it never waits for or cannot use."""

    async def scenario(api):
        await applied(api)
        answer = await api.post(f"/v1/cases/{case}/events", event, "bodies")
        assert (answer.status_code, answer.json()["error"]) == (status, error)

    play(tmp_path, scenario)


def test_operator_ends_a_case(tmp_path):
    """`end` closes it; an action that is not known is 422."""

    async def scenario(api):
        await api.post("/v1/births", birth(), "moh")
        assert (await api.post("/v1/cases/1/operate", {"action": "dance"}, "desk")).status_code == 422
        answer = await api.post("/v1/cases/1/operate", {"action": "end"}, "desk")
        assert (answer.status_code, answer.json()) == (202, {"case": "1", "outcome": "moved"})
        assert (await api.get("/v1/cases/1", "desk")).json()["status"] == "closed"

    play(tmp_path, scenario)


def test_event_that_nothing_waits_for_is_stale_and_a_warning(tmp_path):
    """202 with the outcome; the log says it once, at WARNING, without what was said."""

    async def scenario(api):
        await api.post("/v1/births", birth(msisdn=PHONE), "moh")
        event = {"id": "e1", "event": "accepted", "data": {"number": "104512"}}
        with structlog.testing.capture_logs() as lines:
            assert (await api.post("/v1/cases/1/events", event, "bodies")).json()["outcome"] == "stale"
        assert lines == [
            {
                "event": "body.handled", "log_level": "warning", "case": 1, "body_event": "accepted",
                "outcome": "stale",
            }
        ]  # fmt: skip

    play(tmp_path, scenario)


def test_operator_finds_flagged_cases_and_clears_them(tmp_path):
    """Who has looked says so; the log says who it was."""

    async def scenario(api):
        await api.post("/v1/births", [birth(1), birth(2, msisdn=None)], "moh")
        flagged = (await api.get("/v1/cases?flagged=true", "watch")).json()["cases"]
        assert [(case["case"], case["flags"]) for case in flagged] == [("2", ["no_phone"])]
        with structlog.testing.capture_logs() as lines:
            answer = await api.post("/v1/cases/2/operate", {"action": "clear"}, "desk")
        assert (answer.status_code, answer.json()) == (202, {"case": "2", "outcome": "moved"})
        assert (lines[0]["event"], lines[0]["client"], lines[0]["action"]) == ("operator.acted", "desk", "clear")
        assert (await api.get("/v1/cases?flagged=true", "desk")).json()["cases"] == []
        assert (await api.post("/v1/cases/77/operate", {"action": "clear"}, "desk")).status_code == 404

    play(tmp_path, scenario)


# --- cases ------------------------------------------------------------------------------------------------


def test_who_may_operate_sees_all_and_who_may_read_does_not(tmp_path):
    """The same case, in full and masked."""

    async def scenario(api):
        await applied(api)
        full = (await api.get(f"/v1/cases?msisdn=%2B{PHONE}", "desk")).json()["cases"][0]
        masked = (await api.get("/v1/cases?birth_id=b1", "watch")).json()["cases"][0]
        assert (full["msisdn"], full["answers"]["child_name"]) == (PHONE, NAME)
        assert NAME not in json.dumps(masked, ensure_ascii=False)
        assert PHONE not in json.dumps(masked)

    play(tmp_path, scenario)


def test_cases_come_in_pages(tmp_path):
    """`next` leads on until it is null."""

    async def scenario(api):
        await api.post("/v1/births", [birth(number) for number in range(5)], "moh")
        page = (await api.get("/v1/cases?limit=3&status=open&state=greeting", "watch")).json()
        rest = (await api.get(f"/v1/cases?limit=3&after={page['next']}", "watch")).json()
        assert [case["case"] for case in page["cases"] + rest["cases"]] == ["1", "2", "3", "4", "5"]
        assert rest["next"] is None

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/cases?limit=0", 422, "bad_parameter"),
        ("/v1/cases?limit=501", 422, "bad_parameter"),
        ("/v1/cases?after=x", 422, "bad_parameter"),
        ("/v1/cases?status=lost", 422, "bad_parameter"),
        ("/v1/cases?phone=1", 422, "unknown_parameter"),
        ("/v1/cases?flagged=perhaps", 422, "bad_parameter"),
        ("/v1/cases?msisdn=12", 422, "length"),
        ("/v1/cases/77", 404, "unknown_case"),
        ("/v1/cases/one", 404, "unknown_case"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/births", 405, "method_not_allowed"),
    ],
)
def test_bad_question_is_told_by_name(tmp_path, path, status, error):
    """Errors are JSON with a name, whatever was asked."""

    async def scenario(api):
        answer = await api.get(path, "desk")
        assert (answer.status_code, answer.json()["error"]) == (status, error)

    play(tmp_path, scenario)


# --- who may ----------------------------------------------------------------------------------------------

RIGHTS = [
    ("POST", "/v1/citizens", "moh"),
    ("POST", "/v1/births", "moh"),
    ("POST", "/v1/cases/1/events", "bodies"),
    ("POST", "/v1/cases/1/operate", "desk"),
    ("GET", "/v1/cases", "desk"),
    ("GET", "/v1/cases/1", "desk"),
]


def test_every_way_in_is_guarded(tmp_path):
    """No token and a wrong one are 401, a client without the right is 403; then comes the question itself."""

    async def scenario(api):
        for method, path, owner in RIGHTS:
            for token in ("moh", "bodies", "desk", "nobody", "", "ünknown", "mo", "mohx"):
                headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
                answer = await api.http.request(method, path, headers=headers, content=b"{}")
                expected = 403 if token in ("moh", "bodies", "desk") else 401
                if token == owner:
                    assert answer.status_code not in (401, 403), (path, token)
                else:
                    assert answer.status_code == expected, (path, token)
                    assert set(answer.json()) == {"error", "detail"}
        assert (await api.http.get("/v1/cases", headers={"Authorization": "Basic eDp4"})).status_code == 401

    play(tmp_path, scenario)


# --- the daemon -------------------------------------------------------------------------------------------


def test_health_says_why_not(tmp_path):
    """200 while the store writes and a link is bound, else 503 with each reason; no token is needed."""

    async def scenario(api):
        assert (await api.get("/v1/health")).json()["status"] == "ok"
        api.health = Health("", (replace(BOUND, bound_since=None, trouble="connection refused"),))
        answer = await api.get("/v1/health")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["link main (transceiver): connection refused"]
        api.health = Health("disk full", (BOUND,))
        answer = await api.get("/v1/health")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["store: disk full"])

    play(tmp_path, scenario)


def test_one_bound_link_is_enough(tmp_path):
    """The others are told, and are no reason: texts go by the one."""

    async def scenario(api):
        down = replace(BOUND, name="other", bound_since=None, trouble="connection refused")
        api.health = Health("", (down, BOUND))
        answer = await api.get("/v1/health")
        assert (answer.status_code, answer.json()["reasons"]) == (200, [])
        assert [link["trouble"] for link in answer.json()["links"]] == ["connection refused", ""]

    play(tmp_path, scenario)


def test_metrics_hold_figures_and_no_numbers_of_people(tmp_path):
    """Prometheus' text, with the store in figures."""

    async def scenario(api):
        await api.post("/v1/births", birth(msisdn=PHONE), "moh")
        answer = await api.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'smsflow_cases{result="",status="open"} 1.0' in answer.text
        assert 'smsflow_texts_waiting{status="queued"} 1.0' in answer.text
        assert PHONE not in answer.text

    play(tmp_path, scenario)


def test_integrators_find_a_description(tmp_path):
    """OpenAPI names every path, the fields of a birth, and the bearer token."""

    async def scenario(api):
        described = (await api.get("/openapi.json")).json()
        assert {path for _, path, _ in RIGHTS} <= {path.replace("{case}", "1") for path in described["paths"]}
        assert "mother_iin" in json.dumps(described["paths"]["/v1/births"]["post"]["requestBody"])
        assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"

    play(tmp_path, scenario)


def test_docs_work_without_the_internet(tmp_path):
    """Everything that the page loads comes from here."""

    async def scenario(api):
        page = await api.get("/docs")
        assert page.status_code == 200
        loaded = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page.text)
        assert len(loaded) >= 3
        for address in loaded:
            assert re.match(r"/[^/]", address), address
            assert (await api.get(address)).status_code == 200

    play(tmp_path, scenario)


def test_description_promises_only_what_comes(tmp_path):
    """Summaries are words, every answer has a shape, and none is FastAPI's own."""

    async def scenario(api):
        described = (await api.get("/openapi.json")).json()
        assert "HTTPValidationError" not in json.dumps(described)
        for path, ways in described["paths"].items():
            for operation in ways.values():
                assert " " in operation["summary"]
                for status, answer in operation["responses"].items():
                    if path.endswith("/trace") and status == "200":
                        continue  # a stream of packets has no schema
                    content = answer["content"]
                    schema = content["text/plain" if path == "/metrics" else "application/json"]["schema"]
                    assert schema.get("$ref") or path == "/metrics", (path, status)
        single = described["paths"]["/v1/cases/{case}/events"]["post"]["responses"]
        assert sorted(single) == ["202", "400", "401", "403", "404", "413", "422", "503"]
        assert sorted(described["paths"]["/v1/cases/{case}"]["get"]["responses"]) == [
            "200", "401", "403", "404", "503",
        ]  # fmt: skip

    play(tmp_path, scenario)


def test_answers_have_the_described_shapes(tmp_path):
    """Each answer is read by the model that OpenAPI is made from; there is no field more or less."""

    def check(model, answer, status):
        assert answer.status_code == status
        model.model_validate_json(answer.text)

    async def scenario(api):
        poor = birth(2, sex="f", alive=1)
        check(answers.BirthsOut, await api.post("/v1/births", [birth(msisdn=PHONE), poor], "moh"), 202)
        check(answers.BatchRefusedOut, await api.post("/v1/births", poor, "moh"), 422)
        citizen = {"iin": MOTHER, "msisdn": PHONE, "bound_at": "2026-01-01T00:00:00+05:00"}
        check(answers.CitizensOut, await api.post("/v1/citizens", [citizen, 7], "moh"), 202)
        check(answers.BatchRefusedOut, await api.post("/v1/citizens", [7], "moh"), 422)
        event = {"id": "e1", "event": "accepted", "data": {"number": "1"}}
        check(answers.EventOut, await api.post("/v1/cases/1/events", event, "bodies"), 202)
        check(answers.ErrorOut, await api.post("/v1/cases/1/events", {"id": 7}, "bodies"), 422)
        for text in ("R 1 1 2", f"R 1 1 2 {NAME}"):
            api.world.reply(text)
        for token in ("desk", "watch"):
            check(answers.CaseOut, await api.get("/v1/cases/1", token), 200)
        check(answers.OperationOut, await api.post("/v1/cases/1/operate", {"action": "end"}, "desk"), 202)
        check(answers.CasesOut, await api.get("/v1/cases", "desk"), 200)
        check(answers.ErrorOut, await api.get("/v1/cases?limit=0", "desk"), 422)
        check(answers.HealthOut, await api.get("/v1/health"), 200)
        api.health = Health("disk full", ())
        check(answers.HealthOut, await api.get("/v1/health"), 503)

    play(tmp_path, scenario)


def test_store_that_does_not_write_is_503(tmp_path, monkeypatch):
    """The client is told to try again; nothing was taken."""

    async def scenario(api):
        def fail(_job, **_):
            raise StoreError("disk full")

        monkeypatch.setattr(api.writer, "run", fail)
        answer = await api.post("/v1/births", birth(), "moh")
        assert (answer.status_code, answer.json()["error"]) == (503, "store_failed")

    play(tmp_path, scenario)


def test_port_in_use_is_tried_again(tmp_path):
    """The daemon starts without HTTP, and HTTP comes up when the port is free."""

    async def scenario(api):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = Server(api.app, "127.0.0.1", port)
            await server.start()
        async with httpx2.AsyncClient(trust_env=False) as http:
            for _ in range(300):
                try:
                    answer = await http.get(f"http://127.0.0.1:{port}/v1/health")
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.01)
            assert answer.status_code == 200
        await server.stop()

    play(tmp_path, scenario)


def test_server_that_never_got_its_port_stops(tmp_path):
    """Stopping does not wait for a port."""

    async def scenario(api):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = Server(api.app, "127.0.0.1", taken.getsockname()[1])
            await server.start()
            async with asyncio.timeout(1):
                await server.stop()

    play(tmp_path, scenario)
