"""Commands about links: `link check`, `link list`, `link pause`, `link resume`, `link trace`.

`check` connects by itself, with the daemon up or down; the others go through the running daemon. Heavy imports
stand inside the functions: `smsflow --help` must not wait for them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smsflow.cli_options import config_option, fail, json_option, load_settings

if TYPE_CHECKING:
    from smsflow.config import Right

__all__ = ["link"]

_TIMEOUT_S = 10.0

_name = click.argument("name")


@click.group()
def link() -> None:
    """The links to message centres: try one, watch them, pause one, look inside."""


@link.command()
@_name
@config_option
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(0.1, 300), help="Seconds for each step."
)
@json_option
def check(name: str, config: Path, timeout: float, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Try the link NAME step by step, and say what is wrong.

    Resolve, connect, TLS, bind, enquire_link, unbind: each with its time and, when it fails, the likely cause and
    the next thing to try. Works with the daemon up or down; while it is up, a centre that allows but one bind
    refuses with ESME_RALYBND. A link with outbind listens for the centre, which takes its time to come, instead of
    connecting; stop the daemon first, which listens there too. A reply that comes meanwhile is refused for now, so
    that it comes again. Exit code 1 when a step fails.
    """
    from smsflow.probing import run_probe
    from smsflow.terminal import make_console, run_loop

    settings = load_settings(config)
    found = next((each for each in settings.links if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in settings.links)
        fail(f"{settings.file}: there is no link {name}; there is: {names}", code=2)
    if not found.password:
        fail(f"the password of link {name} is not set; see {settings.file}", code=2)
    sys.exit(run_loop(run_probe(make_console(), found, timeout_s=timeout, as_json=as_json)))


@link.command("list")
@config_option
@json_option
def list_links(config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """What every link does now, from the running daemon. Exit code 1 when none is bound."""
    from smsflow.config import Right
    from smsflow.link_views import print_links
    from smsflow.terminal import make_console

    answer = _call(config, "GET", "/v1/links", None, Right.READ, Right.OPERATE)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        print_links(make_console(), answer["links"])
    sys.exit(0 if any(line["state"] == "bound" for line in answer["links"]) else 1)


@link.command()
@_name
@config_option
@json_option
def pause(name: str, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Let the link NAME send nothing; it stays bound and takes replies. Until `resume`, also across restarts."""
    _act(name, config, "pause", as_json=as_json)


@link.command()
@_name
@config_option
@json_option
def resume(name: str, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Let the link NAME send again."""
    _act(name, config, "resume", as_json=as_json)


def _act(name: str, config: Path, action: str, *, as_json: bool) -> None:
    from smsflow.config import Right
    from smsflow.link_views import print_links
    from smsflow.terminal import make_console

    answer = _call(config, "POST", _path(name), {"action": action}, Right.OPERATE)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        print_links(make_console(), answer["links"])


@link.command()
@_name
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), help="End by itself; without it, Ctrl-C ends it.")
@click.option("--texts", is_flag=True, help="Leave texts as they are: FILE then holds personal data.")
@click.option(
    "--passwords",
    is_flag=True,
    help="Leave bind passwords as they are: FILE then opens our account to whoever has it.",
)
@config_option
@json_option
def trace(
    name: str,
    file: Path,
    seconds: float | None,
    texts: bool,  # noqa: FBT001 - click gives flags by name
    passwords: bool,  # noqa: FBT001 - click gives flags by name
    config: Path,
    as_json: bool,  # noqa: FBT001 - click gives flags by name
) -> None:
    """Write the PDUs of the link NAME into the new FILE, for Wireshark, while the daemon goes on.

    Texts and passwords are overwritten with * unless asked for; phone numbers are not. Also on a TLS link FILE
    holds the SMPP inside. Readable for you alone.
    """
    from smsflow.calling import CallFailed, NotConfigured
    from smsflow.config import Right
    from smsflow.link_views import fetch_trace

    settings = load_settings(config)
    wanted = {"seconds": seconds, "texts": texts or None, "passwords": passwords or None}
    query = {key: value for key, value in wanted.items() if value is not None}
    try:
        octets = fetch_trace(settings, f"{_path(name)}/trace", query, file, Right.OPERATE)
    except FileExistsError:
        fail(f"{file} exists already; it is not overwritten")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    except NotConfigured as error:
        fail(str(error), code=2)
    except CallFailed as error:
        fail(str(error))
    click.echo(json.dumps({"file": str(file), "octets": octets}) if as_json else f"{file}: {octets} octets")


# --- shared -----------------------------------------------------------------------------------------------


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/v1/links/{quote(name, safe='')}"


def _call(config: Path, method: str, path: str, body: object, *rights: Right) -> Any:  # noqa: ANN401 - JSON
    from smsflow.calling import CallFailed, NotConfigured, call, open_daemon

    try:
        with open_daemon(load_settings(config), *rights, timeout_s=_TIMEOUT_S) as http:
            return call(http, method, path, body)
    except NotConfigured as error:
        fail(str(error), code=2)
    except CallFailed as error:
        fail(str(error))
