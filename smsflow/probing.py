"""`smsflow link check`: the steps of `smpp.probe` as lines, or as JSON."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import click

from smsflow.daemon import find_sessions
from smsflow.smpp.probe import STEPS, Step, probe
from smsflow.terminal import say, say_wrapped
from smsflow.tls import make_context

if TYPE_CHECKING:
    from rich.console import Console

    from smsflow.config import LinkConfig
    from smsflow.smpp.link import LinkSettings

__all__ = ["run_probe"]

_MARKS = {True: ("ok", "green"), False: ("failed", "bold red"), None: ("not tried", "dim")}
_WIDTH = max(map(len, STEPS))


async def run_probe(console: Console, link: LinkConfig, *, timeout_s: float, as_json: bool) -> int:
    """Try every session of `link`, show each step as it is done, and return the exit code."""
    try:
        tls = make_context(link.tls) if link.tls else None
    except OSError as error:
        click.echo(f"link {link.name}: the files of `tls` cannot be used: {error}", err=True)
        return 2
    seen: list[dict[str, Any]] = []
    for settings in find_sessions(link):
        seen += await _try(console, settings, tls, timeout_s=timeout_s, as_json=as_json)
    good = all(step["ok"] for step in seen)
    if as_json:
        report = {"link": link.name, "host": link.host, "port": link.port, "ok": good, "steps": seen}
        click.echo(json.dumps(report, ensure_ascii=False))
    return 0 if good else 1


async def _try(
    console: Console, settings: LinkSettings, tls: ssl.SSLContext | None, *, timeout_s: float, as_json: bool
) -> list[dict[str, Any]]:
    where = f"{settings.name}: {settings.bind} to {settings.host}:{settings.port}" + (" with TLS" if tls else "")
    if settings.outbind:
        where = f"{settings.name}: {settings.bind}, when {settings.host} comes and says outbind"
    if not as_json:
        say(console, where, "bold")
    seen = []
    async for step in probe(settings, tls, timeout_s=timeout_s):
        if not as_json:
            _show(console, step)
        seen.append({"bind": settings.bind, **_facts(step)})
    return seen


def _facts(step: Step) -> dict[str, Any]:
    likely, advice = step.cause or ("", "")
    return {
        "step": step.name,
        "ok": step.ok,
        "took_ms": round(step.took_s * 1000, 1),
        "detail": step.detail,
        "cause": likely,
        "next": advice,
    }


def _show(console: Console, step: Step) -> None:
    mark, style = _MARKS[step.ok]
    took = "" if step.ok is None else f"{step.took_s * 1000:.1f} ms"
    say(console, f"  {step.name:{_WIDTH}}  {mark:9}  {took:>10}  {step.detail}".rstrip(), style)
    if step.cause is not None:
        say_wrapped(console, f"    → likely: {step.cause.likely}", "yellow")
        say_wrapped(console, f"    → next: {step.cause.advice}", "yellow")
