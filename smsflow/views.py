"""Cases in a terminal: a table of many, the conversation of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from smsflow.store.queries import PAGE_MAX, CaseFilter, Queries
from smsflow.terminal import printable

__all__ = ["collect_cases", "print_case", "print_cases", "print_whole"]

_WIDEST = 10_000
_HIDDEN = "(hidden; --full shows it)"
_COLUMNS = ("case", "birth", "number", "dialog", "state", "status", "language", "awaiting", "due", "flags")


def collect_cases(queries: Queries, wanted: CaseFilter, limit: int, *, full: bool) -> dict[str, Any]:
    """The first `limit` cases as one page, however many pages that takes."""
    cases: list[dict[str, Any]] = []
    following: str | None = str(wanted.after)
    while following is not None and len(cases) < limit:
        most = min(limit - len(cases), PAGE_MAX)
        page = queries.cases(replace(wanted, after=int(following), limit=most), full=full)
        cases += page["cases"]
        following = page["next"]
    return {"cases": cases, "next": following}


def print_cases(console: Console, page: Mapping[str, Any]) -> None:
    """A table, one case a line."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for case in page["cases"]:
        awaiting = case["awaiting"] or {"address": "", "due_at": ""}
        cells = (
            case["case"], case["birth_id"], case["msisdn"], case["dialog"], case["state"], _status(case),
            case["language"], awaiting["address"], _minute(awaiting["due_at"]),
            ", ".join(case["flags"]),
        )  # fmt: skip
        table.add_row(*(Text(printable(cell)) for cell in cells))
    print_whole(console, table)
    if page["next"]:
        console.print(f"more: --after {page['next']}")


def print_case(console: Console, case: Mapping[str, Any]) -> None:
    """What is known of a case, then its conversation, oldest text first."""
    facts = Table.grid(padding=(0, 2))
    for name in ("case", "birth_id", "msisdn", "dialog", "revision", "state", "language"):
        facts.add_row(name, Text(printable(case[name])))
    facts.add_row("status", _status(case))
    if case["awaiting"]:
        waiting = case["awaiting"]
        facts.add_row("awaiting", f"{waiting['address']} … ({waiting['kind']}) until {_minute(waiting['due_at'])}")
    if case["flags"]:
        facts.add_row("flags", Text(", ".join(case["flags"]), "yellow"))
    for name, value in case["answers"].items():
        facts.add_row(f"  {name}", Text(printable(value)))
    print_whole(console, facts)
    console.print()
    talk = Table.grid(padding=(0, 2))
    for message in case["messages"]:
        is_out = message["direction"] == "out"
        text = Text(_HIDDEN, "dim") if message["text"] is None else Text(printable(message["text"]))
        arrow = Text("→", "green") if is_out else Text("←", "cyan")
        note = f"{message['status']}, {message['segments']} seg" if is_out else message["outcome"]
        talk.add_row(_minute(message["at"]), arrow, text, Text(note, "dim"))
    print_whole(console, talk)


def print_whole(console: Console, table: Table) -> None:
    """Print a table; in a pipe as wide as it is, because nobody sees where it would be cut."""
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    console.print(table, soft_wrap=False)


def _status(case: Mapping[str, Any]) -> str:
    return f"{case['status']} ({case['result']})" if case.get("result") else str(case["status"])


def _minute(at: str) -> str:
    """An ISO time as people read it: date, hour and minute."""
    return at[:16].replace("T", " ")
