"""The stand-in bodies of the demo, over real HTTP: a registry, an akimat, the labour ministry.

Each takes an application with 202, thinks, and says what became of it with `POST /v1/cases/{case}/events`.
A body knows its own offices and towns, and from its registers in which language a mother reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx2
import yaml
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from smsflow.demo.cast import child_iin
from smsflow.library import shipped_dialogs
from smsflow.server import Server

__all__ = ["KINDS", "Bodies"]

KINDS = ("registration", "kindergarten", "allowance")
"""The kinds of applications that a birth leads to; each body takes one."""

_CENTRE = {"kk": "ХҚО", "ru": "ЦОН", "en": "Service centre"}
_FIRST_NUMBER = 104_512
_AMOUNT, _AMOUNT_OF_FOURTH = 164_350, 272_475  # tenge, 2026 (domain.md §2)


class Bodies:
    """Three bodies behind one port; `now` is the demo's time, `pause_s` how long each thinks before it speaks.

    `languages` is the language of the mother by birth_id; whom it does not hold reads Kazakh.
    """

    def __init__(
        self, now: Callable[[], datetime], pause_s: float, token: str, languages: Mapping[str, str]
    ) -> None:
        self._now = now
        self._pause_s = pause_s
        self._token = token
        self._languages = languages
        self._names = _read_names("offices") | _read_names("localities")
        self._api: httpx2.AsyncClient
        self._seen: set[str] = set()
        self._work: set[asyncio.Task[None]] = set()
        self.taken: list[tuple[str, str]] = []
        """(birth_id, kind) of every application that was taken."""
        self.troubles: list[str] = []
        """What the API did not accept from a body, in words."""
        app = FastAPI(title="stand-in bodies", openapi_url=None)
        app.add_api_route("/{kind}", self._take, methods=["POST"])
        self._server = Server(app, "127.0.0.1", 0)

    async def start(self) -> None:
        """Listen on a free port."""
        await self._server.start()

    def connect(self, api: str, token: str) -> None:
        """Say from now on what becomes of applications to `api`, as the client with `token`."""
        headers = {"Authorization": f"Bearer {token}"}
        self._api = httpx2.AsyncClient(base_url=api, headers=headers, timeout=10.0, trust_env=False)

    def url(self, kind: str) -> str:
        """Where applications of `kind` go."""
        return f"http://127.0.0.1:{self._server.port}/{kind}"

    async def stop(self) -> None:
        """End; what was not said yet is not said any more."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._api.aclose()
        await self._server.stop()

    async def _take(self, kind: str, request: Request) -> JSONResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return JSONResponse({"error": "unauthorized"}, 401)
        if kind not in KINDS:
            return JSONResponse({"error": "unknown_kind"}, 404)
        key = request.headers.get("Idempotency-Key", "")
        application = await request.json()
        if key not in self._seen:
            self._seen.add(key)
            data = application["data"]
            self.taken.append((data["birth_id"], kind))
            task = asyncio.create_task(self._decide(kind, application["case"], data, len(self.taken)))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        return JSONResponse({"application": application["application"]}, 202)

    async def _decide(self, kind: str, case: str, data: Mapping[str, str], number: int) -> None:
        """Think, then tell the case what became of it."""
        for event, facts in self._events(kind, data, number):
            await asyncio.sleep(self._pause_s)
            body = {"id": f"{kind}-{number}-{event}", "event": event, "data": facts}
            response = await self._api.post(f"/v1/cases/{case}/events", json=body)
            if response.status_code != 202:
                self.troubles.append(f"case {case}: the event {event} was answered with {response.text}")

    def _events(self, kind: str, data: Mapping[str, str], number: int) -> tuple[tuple[str, dict[str, Any]], ...]:
        if kind == "registration":
            place = f"{_CENTRE[self._language(data)]} {self._name(data, 'office')}"
            return (
                ("accepted", {"number": str(_FIRST_NUMBER + number)}),
                ("registered", {"place": place, "child_iin": child_iin(number)}),
            )
        if kind == "kindergarten":
            locality = self._name(data, "settlement")
            today = self._now().date().isoformat()
            return (("queued", {"number": str(1800 + number), "locality": locality, "date": today}),)
        fourth = int(data["birth_order"]) > 3
        return (("granted", {"amount": _AMOUNT_OF_FOURTH if fourth else _AMOUNT}),)

    def _language(self, data: Mapping[str, str]) -> str:
        return self._languages.get(data["birth_id"], "kk")

    def _name(self, data: Mapping[str, str], answer: str) -> str:
        """The place that she chose, as it is called in her language; what she typed stays as it is."""
        names = self._names.get(data.get(f"{answer}_id", ""), {})
        return names.get(self._language(data)) or data.get(f"{answer}_text") or data[answer]


def _read_names(name: str) -> dict[str, dict[str, str]]:
    """KATO code → language → name, of a list that comes with smsflow."""
    shown = yaml.safe_load((shipped_dialogs() / "lists" / f"{name}.yaml").read_text(encoding="utf-8"))
    return {option["id"]: option for group in shown["groups"].values() for option in group}
