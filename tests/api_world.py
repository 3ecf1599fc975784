"""The HTTP API over loopback TCP, on the real engine, writer and store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from fastapi import FastAPI
from world import NOON, QUIET, ZONE, World, a_world

from smsflow.api import Server, create_app
from smsflow.config import ApiConfig, Client, Right, Settings
from smsflow.health import Health
from smsflow.store.queries import Queries
from smsflow.switchboard import LinkHealth
from smsflow.writer import Writer

BOUND = LinkHealth("main", "transceiver", NOON, "")
CLIENTS = (
    Client("ministry", "moh", frozenset({Right.BIRTHS, Right.CITIZENS})),
    Client("bodies", "bodies", frozenset({Right.EVENTS})),
    Client("desk", "desk", frozenset({Right.READ, Right.OPERATE})),
    Client("watcher", "watch", frozenset({Right.READ})),
)


@dataclass
class Api:
    """A running API: the world behind it, and a client for each token."""

    world: World
    writer: Writer
    settings: Settings
    http: httpx2.AsyncClient
    health: Health
    app: FastAPI | None = None

    async def post(self, path: str, body: object, token: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, headers=_bearer(token), timeout=60)

    async def get(self, path: str, token: str = "") -> httpx2.Response:
        return await self.http.get(path, headers=_bearer(token) if token else {})


@asynccontextmanager
async def an_api(folder: Path, links: Sequence[LinkHealth] = (BOUND,)) -> AsyncIterator[Api]:
    """An API whose store is in `folder`, on a free port."""
    with a_world(folder) as world:
        writer = Writer(world.store, last=lambda: None, after=lambda _: None)
        settings = Settings(
            file=folder / "smsflow.yaml", store_path=folder / "store.db", dialogs=folder, number="1414", zone=ZONE,
            quiet=QUIET, links=(), api=ApiConfig("127.0.0.1", 0, CLIENTS),
        )  # fmt: skip
        queries = Queries(settings.store_path, ZONE, world.engine._library)
        api = Api(world, writer, settings, httpx2.AsyncClient(trust_env=False), Health("", tuple(links)))
        api.app = create_app(
            world.engine, world.births, writer, queries, settings, lambda: world.now, lambda: api.health
        )
        server = Server(api.app, "127.0.0.1", 0)
        await server.start()
        api.http.base_url = f"http://127.0.0.1:{server.port}"
        try:
            yield api
        finally:
            await api.http.aclose()
            await server.stop()
            queries.close()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
