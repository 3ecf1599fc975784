"""HTTP in: births, citizens and events come from other systems, cases are shown (design.md §6).

Everything is checked here (`intake`), carried out by the engine inside the writer's transactions, and answered
when it is on the disk. Errors are JSON: `{"error": name, "detail": sentence}`. Nothing personal is logged.
`/docs` needs no internet: its scripts are served from here.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from typing import Annotated, Any, TypeAlias, TypeVar

import structlog
from fastapi import Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from smsflow.answers import (
    BatchRefusedOut,
    BirthsOut,
    CaseOut,
    CasesOut,
    CitizensOut,
    ErrorOut,
    EventOut,
    HealthOut,
    LifeOut,
    LinksOut,
    OperationOut,
)
from smsflow.births import Births
from smsflow.config import Client, Right, Settings
from smsflow.core.conversation import Status
from smsflow.core.effects import Outcome
from smsflow.core.errors import StoreError
from smsflow.core.identity import IdentityError, parse_msisdn
from smsflow.engine import Engine, Refused
from smsflow.exposition import Exposition
from smsflow.health import Health, HealthFigures
from smsflow.intake import (
    EVENTS,
    BirthIn,
    BodyEventIn,
    CitizenIn,
    FieldError,
    LinkActionIn,
    OperateIn,
    Rejection,
    in_words,
    parse_birth,
    parse_citizen,
    parse_event,
    parse_link_action,
    parse_operation,
)
from smsflow.links import LinkDesk
from smsflow.logs import API_FAILED, BODY_HANDLED, OPERATOR_ACTED
from smsflow.server import Server
from smsflow.store.people import Birth
from smsflow.store.queries import PAGE_MAX, CaseFilter, Queries
from smsflow.store.rows import dump
from smsflow.writer import Writer

__all__ = ["BATCH_MAX", "Server", "create_app"]

BATCH_MAX = 10_000  # births or citizens in one request
_BODY_MAX = 16 * 1024 * 1024  # octets
_SLICE = 50  # of a batch are read at a time, and carried out in one job: two milliseconds or three
_AHEAD = 6  # slices of a batch that are read and not on the disk yet
_CASE = re.compile(r"[0-9]{1,18}")

Value = TypeVar("Value")
_CarryOut: TypeAlias = Callable[[Sequence[Value], datetime], list[dict[str, Any] | Refused]]
"""Carries out a slice; of each what is answered, or why it is refused."""

_log = structlog.get_logger()


# --- errors -----------------------------------------------------------------------------------------------


class _Problem(Exception):
    """An error answer: HTTP `status`, `error` by name, `detail` in words; `errors` where fields are wrong."""

    def __init__(self, status: int, error: str, detail: str = "", errors: Sequence[FieldError] = ()) -> None:
        super().__init__(status, error)
        self.status = status
        self.error = error
        self.detail = detail
        self.errors = errors

    def answer(self) -> JSONResponse:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else None
        content: dict[str, Any] = {"error": self.error, "detail": self.detail}
        if self.errors:
            content["errors"] = [asdict(error) for error in self.errors]
        return JSONResponse(content, self.status, headers)


_REFUSALS = {
    "unknown_case": (404, "there is no such case"),
    "unknown_link": (404, "the configuration has no such link"),
    "unknown_event": (422, "the case's dialog never waits for this event"),
    "differs": (409, "this birth was recorded before with other facts"),
    "too_old": (422, "it lies before what is kept here (`retention`), and may have been recorded then"),
}


def _refusal(refused: Refused) -> _Problem:
    status, detail = _REFUSALS.get(refused.reason, (422, ""))
    return _Problem(status, refused.reason, detail)


def _whole(error: str, detail: str) -> Rejection:
    """A rejection that is about no single field."""
    return Rejection(error, "", detail, (FieldError("", error, detail),))


def _refused(refused: Refused) -> Rejection:
    """What the engine does not take, as an item of a batch."""
    problem = _refusal(refused)
    return _whole(problem.error, problem.detail)


def _rejected(rejection: Rejection) -> _Problem:
    where = f"{rejection.field}: " if rejection.field else ""
    return _Problem(422, rejection.error, where + rejection.detail, rejection.errors)


def _answer_errors(app: FastAPI) -> None:
    """Every error as JSON; none of them repeats what the client has sent."""

    @app.exception_handler(_Problem)
    async def _problem(_request: Request, problem: _Problem) -> JSONResponse:
        return problem.answer()

    @app.exception_handler(Refused)
    async def _refused(_request: Request, refused: Refused) -> JSONResponse:
        return _refusal(refused).answer()

    @app.exception_handler(StoreError)
    async def _store(_request: Request, _error: StoreError) -> JSONResponse:
        return _Problem(503, "store_failed", "nothing was taken; try again").answer()

    @app.exception_handler(RequestValidationError)
    async def _parameters(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = "unknown_parameter" if first["type"] == "extra_forbidden" else "bad_parameter"
        return _Problem(422, name, f"{'.'.join(map(str, first['loc'][1:]))}: {in_words(first)}").answer()

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        return _Problem(error.status_code, str(error.detail).lower().replace(" ", "_")).answer()

    @app.exception_handler(Exception)
    async def _failed(_request: Request, _error: Exception) -> JSONResponse:
        return _Problem(500, "failed", "our mistake; it is in the log").answer()


# --- who may ----------------------------------------------------------------------------------------------

_BEARER = HTTPBearer(auto_error=False)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


class _Guard:
    """Lets in clients that have one of `rights`; `request.state.client` is who it is."""

    def __init__(self, clients: Sequence[Client], *rights: Right) -> None:
        self._clients = clients
        self._rights = rights

    async def __call__(self, request: Request, credentials: _Credentials) -> None:
        token = credentials.credentials.encode() if credentials else b""
        found = [client for client in self._clients if hmac.compare_digest(client.token.encode(), token)]
        if not found:
            raise _Problem(401, "unauthorized", "a bearer token that is known is needed")
        if found[0].rights.isdisjoint(self._rights):
            raise _Problem(403, "forbidden", f"this client may not: {self._rights[0].value}")
        request.state.client = found[0]


# --- the application --------------------------------------------------------------------------------------


class CaseQuery(BaseModel):
    """Which cases; all conditions hold. `after` is the `next` of the page before.

    With `flagged` only those that a person must look at.
    """

    model_config = ConfigDict(extra="forbid")
    msisdn: str | None = None
    birth_id: str | None = None
    state: str | None = None
    status: Status | None = None
    flagged: bool = False
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50
    after: Annotated[str, Query(pattern=r"^[0-9]{1,18}$")] = "0"


def create_app(
    engine: Engine,
    births: Births,
    writer: Writer,
    queries: Queries,
    settings: Settings,
    now: Callable[[], datetime],
    health: Callable[[], Health],
    desk: LinkDesk | None = None,
) -> FastAPI:
    """The HTTP API as an ASGI application; it has to run in the event loop of `writer`."""
    app = FastAPIOffline(
        title="smsflow",
        summary="Conversations by SMS: births, citizens and events in, cases out.",
        version="1",
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        swagger_ui_parameters={"validatorUrl": None},  # nothing is sent to anybody else
    )
    _answer_errors(app)
    clients = settings.api.clients if settings.api else ()
    links = _Links(desk or LinkDesk(now))
    exposition = Exposition(settings.store_path, links.desk.collector(), HealthFigures(health))
    _Api(engine, births, writer, queries, now, health, exposition).route(app, clients)
    links.route(app, clients)
    _describe(app)
    return app


class _Api:
    """The endpoints."""

    def __init__(
        self,
        engine: Engine,
        births: Births,
        writer: Writer,
        queries: Queries,
        now: Callable[[], datetime],
        health: Callable[[], Health],
        exposition: Exposition,
    ) -> None:
        self._engine = engine
        self._births = births
        self._writer = writer
        self._queries = queries
        self._now = now
        self._health = health
        self._exposition = exposition

    def route(self, app: FastAPI, clients: Sequence[Client]) -> None:
        """Put every endpoint into `app`."""

        def add(way: str, endpoint: Callable[..., Any], summary: str, right: Right | None, **more: Any) -> None:  # noqa: ANN401 - keywords of FastAPI
            method, path = way.split()
            app.add_api_route(
                path,
                endpoint,
                methods=[method],
                summary=summary,
                status_code=202 if method == "POST" else 200,
                dependencies=[] if right is None else [Depends(_Guard(clients, right))],
                **more,
            )

        batch = _errors(400, 401, 403, 413, 503) | {422: _shape(BatchRefusedOut, "nothing could be taken")}
        single = _errors(400, 401, 403, 404, 413, 422, 503)
        add(
            "POST /v1/citizens", self.post_citizens, "Whose number is whose", Right.CITIZENS,
            response_model=CitizensOut, responses=batch, **_batch_of(CitizenIn),
        )  # fmt: skip
        add(
            "POST /v1/births", self.post_births, "Births that the wards recorded", Right.BIRTHS,
            response_model=BirthsOut, responses=batch, **_batch_of(BirthIn),
        )  # fmt: skip
        add(
            "POST /v1/cases/{case}/events", self.post_event, "What became of an application", Right.EVENTS,
            response_model=EventOut, responses=single, **_body(_event_schema()),
        )  # fmt: skip
        add(
            "POST /v1/cases/{case}/operate", self.post_operation, "What a person does about a case", Right.OPERATE,
            response_model=OperationOut, responses=single, **_body(OperateIn.model_json_schema()),
        )  # fmt: skip
        add(
            "GET /v1/cases", self.get_cases, "Cases, page by page", Right.READ,
            response_model=CasesOut, responses=_errors(401, 403, 422, 503),
        )  # fmt: skip
        add(
            "GET /v1/cases/{case}", self.get_case, "One case", Right.READ,
            response_model=CaseOut, responses=_errors(401, 403, 404, 503),
        )  # fmt: skip
        add(
            "GET /v1/health", self.get_health, "Whether the daemon can do its work", None,
            response_model=HealthOut, responses={503: _shape(HealthOut, "it cannot; `reasons` say why")},
        )  # fmt: skip
        add(
            "GET /v1/health/live", self.get_life, "Whether the process is worth keeping", None,
            response_model=LifeOut, responses={503: _shape(LifeOut, "it is stuck: start it again")},
        )  # fmt: skip
        add("GET /metrics", self.get_metrics, "Figures for Prometheus", None, response_class=PlainTextResponse)

    # --- births and citizens ------------------------------------------------------------------------

    async def post_births(self, request: Request) -> Response:
        """Record births: one, or up to 10,000. The good ones are taken, the others come back with a reason.

        Recording the same birth again changes nothing and names the same case.
        """

        def record(births: Sequence[Birth], at: datetime) -> list[dict[str, Any] | Refused]:
            recorded = zip(births, self._births.record_births(births, at), strict=True)
            return [
                case if isinstance(case, Refused) else {"birth_id": birth.birth_id, "case": str(case)}
                for birth, case in recorded
            ]

        return await self._take(await _read_batch(request), parse_birth, record, key="birth_id")

    async def post_citizens(self, request: Request) -> Response:
        """Tell whose number is whose: one binding, or up to 10,000. A new binding replaces the old."""

        def bind(citizens: Sequence[CitizenIn], at: datetime) -> list[dict[str, Any] | Refused]:
            for citizen in citizens:
                bound_at = datetime.fromisoformat(citizen.bound_at)
                self._births.bind_citizen(citizen.iin, citizen.msisdn, bound_at, at)
            return [{"iin": citizen.iin} for citizen in citizens]

        return await self._take(await _read_batch(request), parse_citizen, bind, key="iin")

    async def _take(
        self,
        items: Sequence[object],
        parse: Callable[[object], Value | Rejection],
        carry_out: _CarryOut[Value],
        *,
        key: str,
    ) -> Response:
        """Take a batch slice by slice, so that nobody's reply waits for the whole of it.

        A slice is read while those before it wait for their transaction.
        """
        ahead = asyncio.Semaphore(_AHEAD)

        async def take(start: int) -> list[dict[str, Any] | Rejection]:
            async with ahead:
                read = [parse(item) for item in items[start : start + _SLICE]]
                values = [value for value in read if not isinstance(value, Rejection)]
                written = iter(await self._write(values, carry_out) if values else ())
            return [value if isinstance(value, Rejection) else next(written) for value in read]

        try:
            async with asyncio.TaskGroup() as slices:
                taken = [slices.create_task(take(start)) for start in range(0, len(items), _SLICE)]
        except ExceptionGroup as failed:  # the slices after the first that failed are not tried
            raise failed.exceptions[0] from None
        accepted: list[dict[str, Any]] = []
        rejected: list[dict[str, Any]] = []
        for index, result in enumerate(chain.from_iterable(task.result() for task in taken)):
            if isinstance(result, Rejection):
                rejected.append(_show_rejection(items[index], key, index, result))
            else:
                accepted.append(result)
        report: dict[str, Any] = {"accepted": accepted, "rejected": rejected}
        if accepted or not rejected:
            return Response(dump(report), 202, media_type="application/json")
        first = rejected[0]
        return JSONResponse({"error": first["error"], "detail": first["detail"], **report}, 422)

    async def _write(
        self, values: Sequence[Value], carry_out: _CarryOut[Value]
    ) -> list[dict[str, Any] | Rejection]:
        """Carry out `values` in one transaction, behind replies. If one fails by our mistake, each in its own."""

        def job() -> list[dict[str, Any] | Refused]:
            return carry_out(values, self._now())

        try:
            done = await self._writer.run(job, bulk=True)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others of the batch are taken
            if len(values) == 1:
                _log.error(API_FAILED, exc_info=error)
                return [_whole("failed", "our mistake; it is in the log")]
            return [(await self._write([value], carry_out))[0] for value in values]
        return [_refused(each) if isinstance(each, Refused) else each for each in done]

    # --- cases --------------------------------------------------------------------------------------

    async def post_event(self, case: str, request: Request) -> JSONResponse:
        """Say what became of an application. The second time (by `id`) nothing happens."""
        number = self._find_case(case)
        parsed = parse_event(await _read_json(request))
        if isinstance(parsed, Rejection):
            raise _rejected(parsed)
        event, data = parsed

        def job() -> Outcome:
            return self._engine.take_body_event(number, event.id, event.event, data, self._now())

        outcome = await self._writer.run(job)
        facts = {"case": number, "body_event": event.event, "outcome": outcome.value}
        if outcome is Outcome.STALE:
            _log.warning(BODY_HANDLED, **facts)
        else:
            _log.info(BODY_HANDLED, **facts)
        return JSONResponse({"case": case, "id": event.id, "outcome": outcome.value}, 202)

    async def post_operation(self, case: str, request: Request) -> JSONResponse:
        """Resume a suspended case, end one, clear its flags or send again what is in doubt."""
        number = self._find_case(case)
        operation = parse_operation(await _read_json(request))
        if isinstance(operation, Rejection):
            raise _rejected(operation)
        action = operation.action
        outcome = await self._writer.run(lambda: self._engine.operate(number, action, self._now()).value)
        _log.info(OPERATOR_ACTED, case=number, action=action, outcome=outcome, client=request.state.client.name)
        return JSONResponse({"case": case, "outcome": outcome}, 202)

    def _find_case(self, case: str) -> int:
        """The number of a case that there is. Raises: _Problem 404."""
        number = _case_number(case)
        if not self._queries.holds(number):
            raise _refusal(Refused("unknown_case"))
        return number

    async def get_cases(self, request: Request, query: Annotated[CaseQuery, Query()]) -> JSONResponse:
        """Cases, oldest first. Numbers and texts are in full for a client that may `operate`.

        Without `msisdn`, `birth_id` or `flagged` a page may hold fewer cases than `limit`, even none, and still
        have a `next`: the end is where `next` is null.
        """
        numbers, following = self._queries.find(_filter_of(query))
        cases = []
        for number in numbers:
            cases.append(self._queries.case(number, full=_sees_all(request)))
            await asyncio.sleep(0)  # replies first
        return JSONResponse({"cases": cases, "next": following})

    async def get_case(self, case: str, request: Request) -> JSONResponse:
        """One case with its conversation. The number and texts are in full for a client that may `operate`."""
        found = self._queries.case(_case_number(case), full=_sees_all(request))
        if found is None:
            raise _refusal(Refused("unknown_case"))
        return JSONResponse(found)

    # --- the daemon itself --------------------------------------------------------------------------

    async def get_health(self) -> JSONResponse:
        """200 when the store writes and at least one link is bound, else 503 and why. Ages are in seconds."""
        health = self._health()
        report = {
            "status": "failing" if health.reasons else "ok",
            "reasons": health.reasons,
            "store": health.store or "ok",
            "links": [
                {**asdict(link), "bound_since": link.bound_since and link.bound_since.isoformat()}
                for link in health.links
            ],
            "oldest_queued_s": None if health.oldest_queued_s is None else round(health.oldest_queued_s, 3),
            "oldest_unanswered_s": round(health.oldest_unanswered_s, 3),
            "last_write_s": round(health.last_write_s, 3),
            "loop_lag_s": round(health.loop_lag_s, 3),
        }
        return JSONResponse(report, 503 if health.reasons else 200)

    async def get_life(self) -> JSONResponse:
        """200 while transactions end, well or badly: what is wrong elsewhere, a restart does not mend."""
        alive = self._health().alive
        return JSONResponse({"status": "alive" if alive else "stuck"}, 200 if alive else 503)

    async def get_metrics(self) -> Response:
        """For Prometheus."""
        text, content_type = await self._exposition.read()
        return Response(text, headers={"Content-Type": content_type})


# --- links ------------------------------------------------------------------------------------------------


class TraceQuery(BaseModel):
    """How long a trace lasts, and what of it is not overwritten."""

    model_config = ConfigDict(extra="forbid")
    seconds: Annotated[float | None, Query(gt=0, le=86_400)] = None
    texts: bool = False
    passwords: bool = False


class _Links:
    """The operator's endpoints: what the links do, pause and resume, traces."""

    def __init__(self, desk: LinkDesk) -> None:
        self.desk = desk

    def route(self, app: FastAPI, clients: Sequence[Client]) -> None:
        """Put every endpoint into `app`."""
        may_read = [Depends(_Guard(clients, Right.READ, Right.OPERATE))]
        may_operate = [Depends(_Guard(clients, Right.OPERATE))]
        app.add_api_route(
            "/v1/links", self.get_links, summary="What the links do", dependencies=may_read,
            response_model=LinksOut, responses=_errors(401, 403),
        )  # fmt: skip
        app.add_api_route(
            "/v1/links/{name}", self.post_link, methods=["POST"], summary="Pause or resume a link",
            dependencies=may_operate, response_model=LinksOut, responses=_errors(400, 401, 403, 404, 413, 422, 503),
            **_body(LinkActionIn.model_json_schema()),
        )  # fmt: skip
        app.add_api_route(
            "/v1/links/{name}/trace", self.get_trace, summary="A capture of a link", dependencies=may_operate,
            response_class=StreamingResponse, responses=_errors(401, 403, 404, 422),
        )  # fmt: skip

    async def get_links(self) -> JSONResponse:
        """Every session of every link: state, window, rates, errors. Counts are since the daemon's start."""
        return JSONResponse(self._show())

    async def post_link(self, name: str, request: Request) -> JSONResponse:
        """Pause a link, which stays bound, takes replies, and sends nothing; or resume it."""
        action = parse_link_action(await _read_json(request))
        if isinstance(action, Rejection):
            raise _rejected(action)
        self._find(name)
        await self.desk.hold(name, held=action.action == "pause")
        return JSONResponse(self._show(name))

    async def get_trace(self, name: str, query: Annotated[TraceQuery, Query()]) -> StreamingResponse:
        """A capture of the link for Wireshark, while it runs; without `seconds` until you hang up."""
        self._find(name)
        pieces = self.desk.trace(name, query.seconds, texts=query.texts, passwords=query.passwords)
        return StreamingResponse(pieces, media_type="application/vnd.tcpdump.pcap")

    def _find(self, name: str) -> None:
        if not self.desk.find(name):
            raise _refusal(Refused("unknown_link"))

    def _show(self, name: str | None = None) -> dict[str, Any]:
        figures = self.desk.figures()
        return {"links": [asdict(line) for line in figures if name is None or line.name == name]}


# --- requests ---------------------------------------------------------------------------------------------


async def _read_json(request: Request) -> Any:  # noqa: ANN401 - JSON is anything
    """The body's JSON. Raises: _Problem 413 when it is too long, 400 when it is none."""
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > _BODY_MAX:
            raise _Problem(413, "too_large", f"at most {_BODY_MAX} octets")
    with suppress(ValueError):
        return from_json(octets)  # in less time; what it does not take, json takes, or says where it is wrong
    try:
        return json.loads(octets)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _Problem(400, "not_json", where) from error


async def _read_batch(request: Request) -> Sequence[object]:
    """One object, or an array of them, as an array. Raises: _Problem."""
    value = await _read_json(request)
    items = value if isinstance(value, list) else [value]
    if len(items) > BATCH_MAX:
        raise _Problem(413, "too_many", f"at most {BATCH_MAX} in one request")
    return items


def _case_number(case: str) -> int:
    if not _CASE.fullmatch(case):
        raise _refusal(Refused("unknown_case"))
    return int(case)


def _filter_of(query: CaseQuery) -> CaseFilter:
    try:
        msisdn = None if query.msisdn is None else parse_msisdn(query.msisdn)
    except IdentityError as error:
        raise _Problem(422, error.reason, f"msisdn: {error}") from error
    return CaseFilter(
        msisdn, query.birth_id, query.state, query.status, query.flagged, query.limit, int(query.after)
    )


def _sees_all(request: Request) -> bool:
    return Right.OPERATE in request.state.client.rights


def _show_rejection(item: object, key: str, index: int, rejection: Rejection) -> dict[str, Any]:
    name = item.get(key) if isinstance(item, dict) else None
    shown = name.encode(errors="replace").decode()[:100] if isinstance(name, str) else None
    return {key: shown, "index": index, **asdict(rejection)}


# --- OpenAPI ----------------------------------------------------------------------------------------------


_WHY = {
    400: "the body is not JSON",
    401: "no token, or an unknown one",
    403: "the client of this token may not",
    404: "there is no such case",
    413: "too much at once",
    422: "what was sent cannot be used; `error` names why",
    503: "the store does not take it now; try again",
}


def _shape(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"model": model, "description": description}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _shape(ErrorOut, _WHY[status]) for status in statuses}


def _describe(app: FastAPI) -> None:
    """Make the description once, without the answers that FastAPI would give and we never do."""
    described = app.openapi()
    for way in described["paths"].values():
        for operation in way.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422", {})):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        described["components"]["schemas"].pop(name, None)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    }


def _batch_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return _body({"oneOf": [schema, {"type": "array", "items": schema, "maxItems": BATCH_MAX}]})


def _event_schema() -> dict[str, Any]:
    schema = BodyEventIn.model_json_schema()
    shapes = [{**model.model_json_schema(), "title": name} for name, model in EVENTS.items()]
    schema["properties"]["data"] = {"anyOf": shapes}
    return schema
