"""The HTTP server inside the daemon's event loop: started and stopped by the daemon, deaf to signals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI

from smsflow.logs import API_FAILED, API_LISTENING

__all__ = ["Server"]

_GRACE_S = 3
_PAUSES_S = (1, 2, 5, 10, 30)

_log = structlog.get_logger()


class _Uvicorn(uvicorn.Server):
    """uvicorn inside the daemon's loop: signals are the daemon's. `up` is called when it serves."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._up()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """Serves an application at host and port. A port that cannot be had is logged, and tried again."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._address = (host, port)
        self._work: asyncio.Task[None] | None = None
        self._uvicorn: _Uvicorn | None = None
        self._begun = asyncio.Event()

    async def start(self) -> None:
        """Begin to serve; returns when HTTP is up, or the first try has failed and others will follow."""
        self._work = asyncio.create_task(self._serve())
        await self._begun.wait()

    async def stop(self) -> None:
        """End; requests that are being answered have three seconds."""
        if self._work is None:
            return
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
        else:
            self._work.cancel()
        await asyncio.wait([self._work])

    @property
    def port(self) -> int:
        """The port; the one that was given out when 0 was asked for."""
        return self._address[1]

    async def _serve(self) -> None:
        with await self._listen() as listening:
            config = uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
            self._uvicorn = _Uvicorn(config, self._begun.set)
            self._address = listening.getsockname()[:2]
            _log.info(API_LISTENING, host=self._address[0], port=self._address[1])
            await self._uvicorn.serve(sockets=[listening])

    async def _listen(self) -> socket.socket:
        """The listening socket, as soon as it can be had."""
        tries = 0
        while True:
            try:
                return socket.create_server(self._address, family=_family(self._address[0]), backlog=256)
            except OSError as error:
                reason = error.strerror or str(error)
                _log.error(API_FAILED, host=self._address[0], port=self._address[1], reason=reason)
            self._begun.set()
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1


def _family(host: str) -> socket.AddressFamily:
    """IPv4 where the host has such an address, else what it has. Raises: OSError for an unknown name."""
    return min(found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
