"""Commands about data: `births import`, `citizens import`, `cases list`, `cases show`.

What changes something goes through the running daemon's HTTP API; what only looks reads the store itself, with
the daemon up or down. Heavy imports stand inside the functions: `smsflow --help` must not wait for them.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smsflow.cli_options import config_option, fail, json_option, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from smsflow.importing import Report

__all__ = ["births", "cases", "citizens"]

_full = click.option("--full", is_flag=True, help="Show numbers, names and texts.")
_file = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


# --- import -----------------------------------------------------------------------------------------------


@click.group()
def births() -> None:
    """Births as the wards recorded them."""


@births.command("import")
@_file
@config_option
@json_option
def import_births(file: Path, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Hand in the births in FILE (.csv, .json, .jsonl) through the running daemon.

    A CSV has the names of the JSON fields in its first line: birth_id, mother_iin, msisdn, born_at, sex, alive,
    birth_order, account, address_kato. The same file may be imported again: what is known stays as it is.
    """
    _import(file, config, "births", as_json=as_json)


@click.group()
def citizens() -> None:
    """The base of mobile citizens: whose number it is."""


@citizens.command("import")
@_file
@config_option
@json_option
def import_citizens(file: Path, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Hand in the bindings in FILE (.csv, .json, .jsonl) through the running daemon.

    A CSV has the names of the JSON fields in its first line: iin, msisdn, bound_at.
    """
    _import(file, config, "citizens", as_json=as_json)


def _import(file: Path, config: Path, what: str, *, as_json: bool) -> None:
    from smsflow.calling import CallFailed, NotConfigured
    from smsflow.importing import UnreadableFile, hand_in, read_rows
    from smsflow.terminal import make_console

    settings = load_settings(config)
    try:
        rows = read_rows(file, what)
        report = _with_progress(
            f"{what} of {file.name}", len(rows), lambda tell: hand_in(settings, what, rows, tell)
        )
    except UnreadableFile as error:
        fail(*error.problems, code=2)
    except NotConfigured as error:
        fail(str(error), code=2)
    except CallFailed as error:
        fail(str(error))
    _print_report(make_console(), file, report, as_json=as_json)
    sys.exit(1 if report.rejected else 0)


def _print_report(console: Console, file: Path, report: Report, *, as_json: bool) -> None:
    from smsflow.importing import problems_of

    if as_json:
        click.echo(json.dumps({"accepted": report.accepted, "rejected": report.rejected}, ensure_ascii=False))
        return
    for rejected in report.rejected:
        for problem in problems_of(f"{file}:{rejected['line']}", rejected):
            console.print(problem)
    console.print(f"{report.accepted} accepted, {len(report.rejected)} rejected")


# --- cases ------------------------------------------------------------------------------------------------


class _ListByDefault(click.Group):
    """A group whose command is `list` when none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group(cls=_ListByDefault)
def cases() -> None:
    """Cases and their conversations; `list` when nothing else is said."""


@cases.command("list")
@click.option("--msisdn", help="Of this number.")
@click.option("--birth-id", help="About this birth.")
@click.option("--state", help="In this state of their dialog.")
@click.option("--status", type=click.Choice(["open", "closed", "suspended"]), help="With this status.")
@click.option("--flagged", is_flag=True, help="That a person must look at.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--after", default=0, type=click.IntRange(0), help="Only case numbers above this one.")
@config_option
@_full
@json_option
def list_cases(
    msisdn: str | None,
    birth_id: str | None,
    state: str | None,
    status: str | None,
    flagged: bool,  # noqa: FBT001 - click gives flags by name
    limit: int,
    after: int,
    config: Path,
    full: bool,  # noqa: FBT001 - click gives flags by name
    as_json: bool,  # noqa: FBT001 - click gives flags by name
) -> None:
    """List cases, oldest first."""
    from smsflow.core.conversation import Status
    from smsflow.core.errors import StoreError
    from smsflow.core.identity import IdentityError, parse_msisdn
    from smsflow.store.queries import CaseFilter, open_queries
    from smsflow.terminal import make_console
    from smsflow.views import collect_cases, print_cases

    settings = load_settings(config)
    try:
        wanted = CaseFilter(
            msisdn=parse_msisdn(msisdn) if msisdn else None,
            birth_id=birth_id,
            state=state,
            status=Status(status) if status else None,
            flagged=flagged,
            after=after,
        )
        with closing(open_queries(settings.store_path, settings.zone)) as queries:
            page = collect_cases(queries, wanted, limit, full=full)
    except IdentityError as error:
        fail(str(error), code=2)
    except StoreError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps(page, ensure_ascii=False))
    else:
        print_cases(make_console(), page)


@cases.command("show")
@click.argument("case", type=click.IntRange(1))
@config_option
@_full
@json_option
def show_case(case: int, config: Path, full: bool, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Show one case and its conversation."""
    from smsflow.core.errors import StoreError
    from smsflow.store.queries import open_queries
    from smsflow.terminal import make_console
    from smsflow.views import print_case

    settings = load_settings(config)
    try:
        with closing(open_queries(settings.store_path, settings.zone)) as queries:
            found = queries.case(case, full=full)
    except StoreError as error:
        fail(str(error))
    if found is None:
        fail(f"there is no case {case}")
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        print_case(make_console(), found)


# --- shared -----------------------------------------------------------------------------------------------


def _with_progress(what: str, total: int | None, work: Any) -> Any:  # noqa: ANN401 - what `work` returns
    """The result of `work(tell)`; `tell(done, of)` moves a bar where somebody watches."""
    from rich.progress import Progress

    from smsflow.terminal import make_console

    console = make_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        return work(lambda done, of: progress.update(task, completed=done, total=of))
