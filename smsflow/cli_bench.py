"""The command `bench`. Heavy imports stand inside the function: `smsflow --help` must not wait for them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["bench"]


@click.command()
@click.option(
    "--mothers", default=4000, show_default=True, type=click.IntRange(1, 5_000_000), help="How many play."
)
@click.option(
    "--window",
    default=256,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="So many wait for their next question at a time.",
)
@click.option(
    "--offered",
    default=0.0,
    metavar="RATE",
    type=click.FloatRange(0),
    help="Replies a second, however slow the answers are; without it as fast as it goes.",
)
@click.option(
    "--in-turn",
    is_flag=True,
    help="Who has a question waits for all who had theirs before, as in life; without it each goes on at once.",
)
@click.option(
    "--receipts",
    is_flag=True,
    help="The centre sends the delivery receipts that are asked for, as real ones do; without it none.",
)
@click.option(
    "--cases", default=0, show_default=True, type=click.IntRange(0), help="Cases in the store before it begins."
)
@click.option(
    "--births",
    default=0,
    type=click.IntRange(0, 5_000_000),
    help="Measure how so many births are taken over HTTP, while 400 replies a second come, or as --offered says.",
)
@click.option(
    "--versus",
    multiple=True,
    type=click.Choice(["naive", "kannel"]),
    help="The same load for a plain script, or for Kannel and a small HTTP application; more than once for both.",
)
@click.option(
    "--at-least",
    default=0.0,
    metavar="RATIO",
    type=click.FloatRange(0),
    help="With --versus: fail when smsflow does not so many times the turns of each of them.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the stores are made for the time; the disk decides. The system's temporary folder by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(
    mothers: int,
    window: int,
    offered: float,
    in_turn: bool,  # noqa: FBT001 - click gives flags by name
    receipts: bool,  # noqa: FBT001 - click gives flags by name
    cases: int,
    births: int,
    versus: tuple[str, ...],
    at_least: float,
    folder: Path | None,
    as_json: bool,  # noqa: FBT001 - click gives flags by name
) -> None:
    """Measure a daemon on this machine: turns a second, and the time from a reply to the next question.

    A turn: a reply comes over SMPP, is understood, moves its conversation and is committed to the disk; then it is
    acknowledged and the next question goes out. The daemon is `smsflow run` on a new store, the message centre a
    process of its own. Mothers of the shipped birth registration answer, in all its languages, every question but
    the last. With --receipts the parts of a question have their receipts just before the reply to it, those of the
    last one at once, and all are answered before it is over. With --births the figures are how fast births are
    taken, and how long those who write wait meanwhile. Exit code 1 when it did not run to its end, or with
    --at-least was too slow.
    """
    from smsflow.bench.players import BenchFailed
    from smsflow.bench.run import Options, run_bench, run_births
    from smsflow.core.errors import SmsflowError
    from smsflow.terminal import make_console

    if at_least and not versus:
        raise click.UsageError("--at-least compares with others: say --versus naive, or kannel")
    if births and versus:
        raise click.UsageError("--births is about smsflow alone: leave --versus out")
    if births and receipts:
        raise click.UsageError(
            "--births greets phones that never reply, and receipts come before a reply: leave --receipts out"
        )
    options = Options(
        mothers=mothers,
        window=window,
        offered=offered,
        in_turn=in_turn,
        receipts=receipts,
        cases=cases,
        versus=tuple(dict.fromkeys(versus)),
        as_json=as_json,
        folder=folder,
        at_least=at_least,
        births=births,
    )
    try:
        code = (run_births if births else run_bench)(make_console(), options)
    except (BenchFailed, SmsflowError, OSError) as error:
        click.echo(f"The measurement broke off: {error}", err=True)
        sys.exit(1)
    sys.exit(code)
