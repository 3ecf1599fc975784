"""The world of the demo: a message centre, bodies, and the daemon between them. Real TCP, HTTP and SQLite.

Everything listens on free ports of 127.0.0.1; the store and the log lie in one folder.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

from smsflow import logs
from smsflow.clock import Clock
from smsflow.config import ApiConfig, Client, GatewayConfig, LinkConfig, Right, Settings
from smsflow.daemon import Daemon
from smsflow.demo.bodies import KINDS, Bodies
from smsflow.library import shipped_dialogs
from smsflow.smpp.smsc import MessageCentre, Text

__all__ = ["NUMBER", "World", "open_world"]

NUMBER = "1414"
_HOST = "127.0.0.1"
_BIND_S = 10
_STOP_S = 15
_ANSWERS = (200, 202, 422)  # 422: births that were all rejected, with the reasons
_BODY_THINKS_S = 0.5  # real seconds


@dataclass(frozen=True, slots=True)
class World:
    """What is running, and how to reach it. `tokens` by client; `api` calls as the ministry and the desk."""

    centre: MessageCentre
    centre_port: int
    bodies: Bodies
    api_url: str
    tokens: dict[str, str]
    store: Path
    log: Path
    api: httpx2.AsyncClient

    async def call(self, method: str, path: str, client: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """The JSON that the API answers to `client`. Raises: ConnectionError when it does not."""
        headers = {"Authorization": f"Bearer {self.tokens[client]}"}
        try:
            response = await self.api.request(method, path, headers=headers, **arguments)
        except httpx2.HTTPError as error:
            raise ConnectionError(f"{method} {path} was not answered: {error}") from error
        if response.status_code not in _ANSWERS:
            raise ConnectionError(f"{method} {path} was answered with {response.status_code}: {response.text}")
        return response.json()


@asynccontextmanager
async def open_world(
    folder: Path, clock: Clock, zone: ZoneInfo, take: Callable[[Text], None], languages: Mapping[str, str]
) -> AsyncIterator[World]:
    """Start everything, and stop it in reverse. `take` gets every text that reaches a phone.

    `languages`: in which the mother of each birth reads, for the bodies.

    Raises: StoreError, DialogError, OSError.
    """
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "smsflow.log").open("w", encoding="utf-8"))
        logs.configure(log)
        tokens = {name: secrets.token_urlsafe(12) for name in ("ministry", "bodies", "desk", "gateway", "smsc")}
        centre = MessageCentre(take, credentials={"smsflow": tokens["smsc"][:8]})
        centre_port = await centre.start(_HOST)
        stack.push_async_callback(centre.stop)
        bodies = Bodies(clock.now, _BODY_THINKS_S, tokens["gateway"], languages)
        await bodies.start()
        daemon = Daemon(_settings(folder, zone, centre_port, bodies, tokens), clock)
        await daemon.start()
        stack.push_async_callback(_stop, daemon)
        api_url = f"http://{_HOST}:{daemon.api_port}"
        bodies.connect(api_url, tokens["bodies"])
        stack.push_async_callback(bodies.stop)
        api = await stack.enter_async_context(httpx2.AsyncClient(base_url=api_url, timeout=10.0, trust_env=False))
        await _wait_bound(centre)
        store = folder / "smsflow.db"
        yield World(centre, centre_port, bodies, api_url, tokens, store, folder / "smsflow.log", api)


async def _stop(daemon: Daemon) -> None:
    try:
        async with asyncio.timeout(_STOP_S):
            await daemon.stop()
    except TimeoutError as error:
        raise ConnectionError(f"the daemon did not stop within {_STOP_S} s") from error


async def _wait_bound(centre: MessageCentre) -> None:
    try:
        async with asyncio.timeout(_BIND_S):
            await centre.wait_bound()
    except TimeoutError as error:
        raise ConnectionError(f"the daemon did not bind to the message centre within {_BIND_S} s") from error


def _settings(folder: Path, zone: ZoneInfo, centre_port: int, bodies: Bodies, tokens: dict[str, str]) -> Settings:
    rights = {
        "ministry": frozenset({Right.BIRTHS, Right.CITIZENS}),
        "bodies": frozenset({Right.EVENTS}),
        "desk": frozenset({Right.READ, Right.OPERATE}),
    }
    return Settings(
        file=folder / "smsflow.yaml",
        store_path=folder / "smsflow.db",
        dialogs=shipped_dialogs(),
        number=NUMBER,
        zone=zone,
        quiet=None,
        links=(
            LinkConfig(
                name="main", host=_HOST, port=centre_port, system_id="smsflow", password=tokens["smsc"][:8], tps=0
            ),
        ),
        api=ApiConfig(_HOST, 0, tuple(Client(name, tokens[name], may) for name, may in rights.items())),
        gateways={kind: GatewayConfig(bodies.url(kind), tokens["gateway"]) for kind in KINDS},
    )
