"""The command `smsflow`. Heavy imports stand inside the commands, so that `--help` answers at once.

Exit codes: 0 done, 1 findings or failures, 2 usage or configuration. A user's error is one clear sentence on
standard error, never a traceback.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smsflow.cli_bench import bench
from smsflow.cli_data import births, cases, citizens
from smsflow.cli_link import link
from smsflow.cli_options import fail
from smsflow.cli_store import backup, restore, verify

if TYPE_CHECKING:
    from smsflow.smpp.faults import Rule

__all__ = ["main"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_LEVELS = click.Choice(["debug", "info", "warning", "error"])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="smsflow", prog_name="smsflow")
def main() -> None:
    """Conversations by SMS: SMPP in and out, dialogs in YAML, every step kept in SQLite.

    \b
    Begin with:
      smsflow demo                     six mothers go through the whole service
      smsflow talk birth-registration  be a mother yourself
    """


for _command in (births, citizens, cases, link, backup, restore, verify, bench):
    main.add_command(_command)


@main.command()
@click.option("--config", required=True, type=_FILE, help="The configuration, as config/smsflow.yaml.")
@click.option("--log-level", default="info", type=_LEVELS, show_default=True, help="What goes to standard error.")
def run(config: Path, log_level: str) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    from smsflow import daemon, logs
    from smsflow.clock import Clock
    from smsflow.config import load_config
    from smsflow.core.errors import ConfigError, DialogError, StoreError
    from smsflow.terminal import findings_in, run_loop

    folder: Path | None = None
    try:
        settings = load_config(config, os.environ)
        folder = settings.dialogs
        logs.configure(sys.stderr, level=log_level)
        run_loop(daemon.run(settings, Clock(settings.zone)))
    except ConfigError as error:
        fail(*findings_in(error), code=2)
    except DialogError as error:
        fail(*findings_in(error, folder), code=2)
    except StoreError as error:  # a full disk, another daemon: it may be over at the next start
        fail(_sentence(error))


@main.command()
@click.option(
    "--births",
    type=_FILE,
    help="Births of a file instead (.csv, .json, .jsonl), with the fields of POST /v1/births.",
)
@click.option("--keep", is_flag=True, help="Leave everything running, and say how to use it.")
def demo(births: Path | None, keep: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Watch six mothers go through the whole service.

    Real SMPP, HTTP and SQLite on free ports and in a temporary folder; time runs six hours a second,
    and quiet hours are off. Exit code
    1 when any conversation did not end as it should.
    """
    from smsflow.core.errors import DialogError, StoreError
    from smsflow.demo.play import run_demo
    from smsflow.importing import UnreadableFile
    from smsflow.library import shipped_dialogs
    from smsflow.terminal import findings_in, make_console, run_loop

    try:
        code = run_loop(run_demo(make_console(), births=births, keep=keep))
    except UnreadableFile as error:
        fail(*error.problems, code=2)
    except DialogError as error:
        fail(*findings_in(error, shipped_dialogs()), code=2)
    except (StoreError, OSError) as error:
        fail(f"The demo broke off: {error}")
    sys.exit(code)


@main.command()
@click.argument("dialogs", nargs=-1, metavar="[DIALOG]...")
@click.option("--config", type=_FILE, help="Check this configuration too, and take the dialogs from its folder.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
def check(dialogs: tuple[str, ...], config: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Say everything that is wrong with dialogs and configuration.

    DIALOG is a name, a YAML file or a folder; without one, all the dialogs of the configuration's folder, or
    those that come with smsflow. Exit code 2: something is an error, and `smsflow run` would refuse to
    start. 0: it would start; warnings are for an editor to look at.
    """
    from smsflow.checking import run_check
    from smsflow.terminal import make_console

    sys.exit(run_check(make_console(), dialogs, config, as_json=as_json))


@main.command()
@click.argument("dialog")
def talk(dialog: str) -> None:
    """Be the mother: talk with DIALOG, and let time jump.

    DIALOG is the name of a dialog that comes with smsflow, or a YAML file in any folder of dialogs. Texts that
    you type go to the short number; :help lists the commands. Works on pipes:

    \b
      printf 'R 1 1 2\\n:wait 25h\\n' | smsflow talk birth-registration
    """
    from smsflow.checking import NoSuchDialog
    from smsflow.core.errors import DialogError
    from smsflow.talk import run_talk
    from smsflow.terminal import findings_in, make_console

    try:
        code = run_talk(make_console(), dialog)
    except NoSuchDialog as error:
        fail(str(error), code=2)
    except DialogError as error:
        fail(*findings_in(error), code=2)
    sys.exit(code)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=2775, show_default=True, type=click.IntRange(0, 65_535), help="0 = any free one.")
@click.option("--number", default="1414", show_default=True, help="The short number that mothers write to.")
@click.option("--system-id", help="Only this system_id may bind, with --password.")
@click.option("--password", help="The password of --system-id.")
@click.option("--listen-only", is_flag=True, help="Read no lines; run until Ctrl-C or SIGTERM.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT[,OPTION=VALUE]...", help="Misbehave; see above.")
@click.option("--scenario", type=_FILE, help="Faults from a YAML file; see above.")
def smsc(
    host: str,
    port: int,
    number: str,
    system_id: str | None,
    password: str | None,
    listen_only: bool,  # noqa: FBT001 - click gives flags by name
    faults: tuple[str, ...],
    scenario: Path | None,
) -> None:
    """A message centre to bind to, in the terminal.

    Texts to mothers come as lines; what you type goes as theirs: 77011234567 R 1 1 2. Works on pipes.

    \b
    To rehearse, let it misbehave:
      throttle   refuse submit_sm with ESME_RTHROTTLED
      refuse     refuse with status=ESME_… or a number; on=bind_transceiver refuses binds
      delay      answer seconds=N late
      drop       lose answers; on=submit_sm loses texts, on=deliver_sm_resp what we answer
      duplicate  deliver every reply and receipt twice
      reorder    send an answer after the next PDU
      receipt    as=decimal lower padded unknown failed text tlv ucs2 data_sm unmarked
      cut        send half of an answer, and close the connection
      silence    hear nothing and say nothing
      frame      after the bind send octets=unbind outbind alert unknown junk huge nack stray, or hexadecimal
    Every fault takes on=PDU (+ between several), every=N (each Nth), times=N (at most), after=S and for=S
    (seconds, from the first connection):
      smsflow smsc --fault throttle,every=3,times=10 --fault silence,after=60,for=40
    A --scenario is the same as YAML:
      faults:
        - throttle: {every: 3, times: 10}
        - silence: {after: 60, for: 40}      # longer than response_timeout: the link must notice
    """
    from smsflow.centre import run_centre
    from smsflow.terminal import make_console, run_loop

    if (system_id is None) != (password is None):
        raise click.UsageError("--system-id and --password go together; give both, or neither to admit anybody.")
    rules = _read_rules(faults, scenario)
    credentials = {system_id: password} if system_id is not None and password is not None else None
    work = run_centre(
        make_console(),
        host=host,
        port=port,
        number=number,
        credentials=credentials,
        listen_only=listen_only,
        rules=rules,
    )
    try:
        run_loop(work)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        fail(f"Cannot listen on {host}:{port}: {reason}. Choose another --host or --port.")


def _read_rules(faults: tuple[str, ...], scenario: Path | None) -> tuple[Rule, ...]:
    from smsflow.core.errors import ConfigError
    from smsflow.scenario import read_fault, read_scenario
    from smsflow.terminal import findings_in

    try:
        written = read_scenario(scenario) if scenario else ()
        return (*written, *(read_fault(words) for words in faults))
    except ConfigError as error:
        fail(*findings_in(error), code=2)
    except ValueError as error:
        raise click.UsageError(f"--fault: {error}") from error


def _sentence(error: Exception) -> str:
    words = str(error)
    return words[:1].upper() + words[1:]
