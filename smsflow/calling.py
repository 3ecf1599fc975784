"""The running daemon's HTTP API, called from the command line with a token of the configuration's own clients."""

from __future__ import annotations

from typing import Any

import httpx2

from smsflow.config import Right, Settings
from smsflow.core.errors import SmsflowError

__all__ = ["CallFailed", "NotConfigured", "call", "open_daemon", "refused", "unanswered"]

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a daemon that listens everywhere is reached


class NotConfigured(SmsflowError):
    """The configuration names no way into the daemon for this."""


class CallFailed(SmsflowError):
    """The daemon does not answer, or does not let us; the sentence says what to do."""


def _find_way_in(settings: Settings, *rights: Right) -> tuple[str, str]:
    """The daemon's address, and the token of the first client that has one of `rights`. Raises: NotConfigured."""
    api = settings.api
    if api is None:
        raise NotConfigured(f"{settings.file}: there is no `api`; this goes through it")
    clients = [client for client in api.clients if not client.rights.isdisjoint(rights)]
    if not clients:
        raise NotConfigured(
            f"{settings.file}: no client of the api may: {' or '.join(right.value for right in rights)}"
        )
    known = [client for client in clients if client.token]
    if not known:
        raise NotConfigured(f"{settings.file}: the token of client {clients[0].name} is not set")
    host = _ANYWHERE.get(api.host, api.host)
    return (f"http://[{host}]:{api.port}" if ":" in host else f"http://{host}:{api.port}"), known[0].token


def open_daemon(settings: Settings, *rights: Right, timeout_s: float | None) -> httpx2.Client:
    """A client for the daemon's API; close it. Raises: NotConfigured."""
    address, token = _find_way_in(settings, *rights)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=address, headers=headers, timeout=timeout_s, trust_env=False)


def call(http: httpx2.Client, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON is anything
    """The answer's JSON, whatever its status. Raises: CallFailed when nobody answers."""
    try:
        response = http.request(method, path, json=body)
    except httpx2.HTTPError as error:
        raise unanswered(http, error) from error
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    if response.is_error and not (isinstance(answer, dict) and "accepted" in answer):
        raise refused(http, response.status_code, answer)
    return answer


def unanswered(http: httpx2.Client, error: httpx2.HTTPError) -> CallFailed:
    """That nobody answers, in words."""
    return CallFailed(f"the daemon does not answer at {http.base_url}: {error}; is it running?")


def refused(http: httpx2.Client, status: int, answer: object) -> CallFailed:
    """That the daemon refuses, in words."""
    facts = answer if isinstance(answer, dict) else {}
    why = ": ".join(word for word in (facts.get("error", ""), facts.get("detail", "")) if word)
    return CallFailed(f"the daemon at {http.base_url} refused: HTTP {status} {why}".rstrip())
