"""Commands about the store as a file: `backup`, `restore`, `verify`.

They work with the daemon up or down. Heavy imports stand inside the functions: `smsflow --help` must not wait for
them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from smsflow.cli_options import config_option, fail, json_option, load_settings

if TYPE_CHECKING:
    from smsflow.store.backup import Tell

__all__ = ["backup", "restore", "verify"]

_SHOWN = 1000  # flaws: who has more needs another backup, not a longer list


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Put it in the place of FILE, if that is there.")
@config_option
@json_option
def backup(file: Path, force: bool, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Copy the store into FILE while the daemon goes on.

    FILE is one moment of the store, checked, and on the disk when the command ends. When anything goes wrong
    there is no new FILE, and an old one is as it was. It holds personal data, and is readable for you alone.
    """
    from smsflow.clock import Clock
    from smsflow.core.errors import StoreError
    from smsflow.store.backup import backup_store

    settings = load_settings(config)
    try:
        with _progress("pages") as tell:
            now = Clock(settings.zone).now()
            made = backup_store(settings.store_path, file, tell, at=now, overwrite=force)
    except FileExistsError:
        fail(f"{file} exists already; choose another name, or say --force")
    except StoreError as error:
        fail(str(error))
    if as_json:
        facts = {
            "file": str(made.file), "bytes": made.octets, "seconds": round(made.seconds, 3), "cases": made.cases,
            "journal": made.journal, "taken_at": made.taken_at.isoformat(timespec="milliseconds"),
        }  # fmt: skip
        click.echo(json.dumps(facts))
        return
    click.echo(
        f"{made.file}: {made.octets:,} bytes, {made.cases:,} cases, {made.journal:,} lines of the journal,"
        f" in {made.seconds:.1f} s"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@json_option
def restore(file: Path, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Put the backup FILE in the place of the store. The daemon must be stopped.

    FILE is checked first. The former store is kept beside the new one, under another name.
    """
    from smsflow.clock import Clock
    from smsflow.core.errors import StoreError
    from smsflow.store.restore import restore_store

    settings = load_settings(config)
    try:
        with _progress("pages") as tell:
            done = restore_store(settings.store_path, file, tell, at=Clock(settings.zone).now())
    except StoreError as error:
        fail(str(error))
    if as_json:
        facts = {
            "store": str(settings.store_path), "kept": str(done.kept) if done.kept else None, "bytes": done.octets,
            "seconds": round(done.seconds, 3), "cases": done.cases, "journal": done.journal,
            "last_event_at": done.last_at or None, "texts_waiting": done.waiting, "texts_in_doubt": done.doubtful,
        }  # fmt: skip
        click.echo(json.dumps(facts))
        return
    click.echo(f"{settings.store_path}: {done.cases:,} cases, {done.journal:,} lines of the journal")
    if done.kept:
        click.echo(f"The former store is kept as {done.kept}")
    click.echo(
        f"The last event that it knows of came at {done.last_at or 'no time'}: replies and births after that are"
        f" not there; import the births again. When the daemon starts, {done.waiting:,} texts go out that were"
        f" waiting then, and {done.doubtful:,} that were on their way are in doubt."
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
@json_option
def verify(file: Path | None, config: Path, as_json: bool) -> None:  # noqa: FBT001 - click gives flags by name
    """Say everything that is wrong in the store, or in the backup FILE; the daemon may go on.

    The file itself, every conversation against its journal, and whatever must never be: a case from which nothing
    can come, a reply that counted twice, a text that has lost its case. Exit code 1 when anything is wrong.
    """
    from itertools import islice

    from smsflow.core.errors import StoreError
    from smsflow.store.verify import find_flaws

    settings = load_settings(config)
    path, cases = file or settings.store_path, 0
    try:
        with _progress("cases") as show:

            def tell(done: int, of: int) -> None:
                nonlocal cases
                cases = done
                show(done, of)

            found = find_flaws(path, settings.zone, tell)
            flaws = list(islice(found, _SHOWN))
            more = next(found, None) is not None
    except StoreError as error:
        fail(str(error))
    if as_json:
        listed = [asdict(flaw) for flaw in flaws]
        click.echo(json.dumps({"file": str(path), "cases": cases, "flaws": listed, "more": more}))
    else:
        for flaw in flaws:
            click.echo(str(flaw))
        click.echo(f"{path}: {'more than ' if more else ''}{len(flaws):,} flaws in {cases:,} cases")
    sys.exit(1 if flaws else 0)


@contextmanager
def _progress(what: str) -> Iterator[Tell]:
    """A function to tell how far it is: moves a bar, with its speed, where somebody watches."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from smsflow.terminal import make_console

    console = make_console(stderr=True)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]:,.0f} {task.description}/s"))
    began = monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None, rate=0)

        def tell(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of, rate=done / max(monotonic() - began, 0.001))

        yield tell
