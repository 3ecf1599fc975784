"""Links in a terminal: a table of their figures; a trace on its way into a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smsflow.calling import CallFailed, open_daemon, refused, unanswered
from smsflow.config import Right, Settings
from smsflow.terminal import printable
from smsflow.views import print_whole

__all__ = ["fetch_trace", "print_links"]

_COLUMNS = ("link", "state", "since", "window", "in/s", "out/s", "throttled", "receipt", "enquire")
_STYLES = {"bound": "green"}


def print_links(console: Console, links: Sequence[Mapping[str, Any]]) -> None:
    """A table, one session a line; under it what went wrong, and why those that are not bound are not."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True)
    for line in links:
        state = _state(line)
        took_ms = line["enquire_link_ms"]
        cells = (
            _title(line), state, _moment(line["since"]), f"{line['in_flight']}/{line['window']}",
            f"{line['tps_in']:g}", f"{line['tps_out']:g}", str(line["throttles"]),
            _moment(line["last_receipt_at"]), "" if took_ms is None else f"{took_ms:g} ms",
        )  # fmt: skip
        texts = [Text(printable(cell)) for cell in cells]
        texts[1].stylize(_STYLES.get(state, "yellow" if line["state"] == "bound" else "red"))
        table.add_row(*texts)
    print_whole(console, table)
    for line in links:
        for words in (line["trouble"], _errors(line["errors"])):
            if words:
                console.print(f"{_title(line)}: {printable(words)}", style="red")


def _state(line: Mapping[str, Any]) -> str:
    """Bound, and who keeps it from sending: an operator, or the message centre until then."""
    if line["paused"]:
        return f"{line['state']}, paused"
    until = _moment(line["paused_until"])
    return f"{line['state']}, throttled until {until[-8:]}" if until else str(line["state"])


def _title(line: Mapping[str, Any]) -> str:
    return str(line["name"]) if line["bind"] == "transceiver" else f"{line['name']} ({line['bind']})"


def _errors(errors: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} {count} times" for name, count in errors.items())
    return f"answered with {shown}" if shown else ""


def _moment(at: str | None) -> str:
    """An ISO time as month, day and time."""
    return "" if at is None else at[5:19].replace("T", " ")


def fetch_trace(settings: Settings, path: str, query: Mapping[str, Any], file: Path, right: Right) -> int:
    """Write the trace into the new `file` as it comes, until its end or Ctrl-C; how many octets it has.

    Raises: CallFailed, FileExistsError, OSError.
    """
    octets = 0
    descriptor = -1
    with open_daemon(settings, right, timeout_s=None) as http:
        try:
            with http.stream("GET", path, params=dict(query)) as response:
                if response.is_error:
                    response.read()
                    raise refused(http, response.status_code, response.json())
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                for piece in response.iter_raw():
                    os.write(descriptor, piece)
                    octets += len(piece)
        except httpx2.HTTPError as error:
            raise unanswered(http, error) from error
        except ValueError as error:
            raise CallFailed(f"the daemon at {http.base_url} answered something else") from error
        except KeyboardInterrupt:
            pass  # that is how a trace without an end is ended
        finally:
            if descriptor >= 0:
                os.close(descriptor)
    return octets
