"""Files of births and citizens into the running daemon, slice by slice over its HTTP API.

What is wrong is told as `file:line: field: error (in words)`, every field of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from smsflow.calling import CallFailed, call, open_daemon
from smsflow.config import Right, Settings
from smsflow.core.errors import SmsflowError

__all__ = ["Report", "Row", "UnreadableFile", "hand_in", "problems_of", "read_rows"]

_SLICE = 1_000  # in one request
_TIMEOUT_S = 120.0
_FIELDS = {
    "births": frozenset((
        "birth_id", "mother_iin", "msisdn", "born_at", "sex", "alive", "birth_order", "account", "address_kato",
    )),
    "citizens": frozenset(("iin", "msisdn", "bound_at")),
}  # fmt: skip
_TRUTH = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


class UnreadableFile(SmsflowError):
    """The file is not what it should be; each of `problems` says where."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to hand in, and the line of the file on which it stands (for JSON, its number; 1-based)."""

    line: int
    value: object


@dataclass(slots=True)
class Report:
    """What the daemon said: how many it took, and why it did not take the others, each with its line."""

    accepted: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


# --- reading ----------------------------------------------------------------------------------------------


def read_rows(file: Path, what: str) -> list[Row]:
    """What the file holds; the daemon judges the values. Raises: UnreadableFile."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UnreadableFile(f"{file}: cannot be read: {reason}") from error
    match file.suffix.lower():
        case ".json":
            value = _read_json(file, text, 1)
            return [
                Row(number, item) for number, item in enumerate(value if isinstance(value, list) else [value], 1)
            ]
        case ".jsonl" | ".ndjson":
            lines = enumerate(text.split("\n"), 1)
            return [Row(line, _read_json(file, item, line)) for line, item in lines if item.strip()]
        case _:
            return _read_csv(file, text, what)


def _read_json(file: Path, text: str, line: int) -> Any:  # noqa: ANN401 - JSON is anything
    """The JSON in `text`, which begins on `line`. Raises: UnreadableFile."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{file}:{line + error.lineno - 1}:{error.colno}"
        raise UnreadableFile(f"{place}: not JSON: {error.msg}") from error


def _read_csv(file: Path, text: str, what: str) -> list[Row]:
    """The rows of a CSV whose first line names the columns. Raises: UnreadableFile with all that is wrong."""
    header_line = text.partition("\n")[0]
    delimiter = ";" if header_line.count(";") > header_line.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[str] = []
    rows: list[Row] = []
    try:
        header = [name.strip() for _, cells in islice(_lines(file, reader), 1) for name in cells]
        problems += _wrong_columns(file, header, what)
        for line, cells in _lines(file, reader):
            if len(cells) > len(header):
                problems.append(f"{file}:{line}: {len(cells)} cells where the first line has {len(header)}")
            named = zip(header, cells, strict=False)
            value = {name: _typed(name, cell.strip()) for name, cell in named if cell.strip()}
            if value:
                rows.append(Row(line, value))
    except UnreadableFile as error:
        problems += error.problems
    if problems:
        raise UnreadableFile(*problems)
    return rows


def _wrong_columns(file: Path, header: Sequence[str], what: str) -> Iterator[str]:
    known = ", ".join(sorted(_FIELDS[what]))
    for name in dict.fromkeys(header):
        if name not in _FIELDS[what]:
            yield f"{file}:1: unknown column {name!r}; the first line names the columns: {known}"
        elif header.count(name) > 1:
            yield f"{file}:1: the column {name} stands there twice"


def _lines(file: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv names no type for it
    """Each record of a CSV, and the line on which it begins. Raises: UnreadableFile."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UnreadableFile(f"{file}:{line}: not CSV: {error}") from error
        if cells is None:
            return
        yield line, cells


def _typed(name: str, cell: str) -> object:
    """A cell as JSON has it; what is no such value stays a text, and the daemon says what is wrong with it."""
    if name == "alive":
        return _TRUTH.get(cell.lower(), cell)
    if name == "birth_order" and cell.isascii() and cell.isdigit():
        return int(cell)
    return cell


# --- handing in -------------------------------------------------------------------------------------------


def hand_in(settings: Settings, what: str, rows: Sequence[Row], tell: Callable[[int, int], None]) -> Report:
    """Hand everything in; `tell(done, of)` follows it.

    Raises: NotConfigured; CallFailed. What was handed in before stays; the whole file can be imported again.
    """
    report = Report()
    with open_daemon(settings, Right(what), timeout_s=_TIMEOUT_S) as http:
        for start in range(0, len(rows), _SLICE):
            part = rows[start : start + _SLICE]
            answer = call(http, "POST", f"/v1/{what}", [row.value for row in part])
            if not isinstance(answer, dict) or "accepted" not in answer:
                raise CallFailed(f"the daemon at {http.base_url} answered something else")
            _take_answer(report, part, answer)
            tell(start + len(part), len(rows))
    return report


def problems_of(place: str, rejected: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the item at `place` (file:line) that was rejected, a line for each field."""
    for error in rejected["errors"]:
        field = f"{error['field']}: " if error["field"] else ""
        why = f" ({error['detail']})" if error["detail"] else ""
        yield f"{place}: {field}{error['error']}{why}"


def _take_answer(report: Report, part: Sequence[Row], answer: dict[str, Any]) -> None:
    report.accepted += len(answer["accepted"])
    report.rejected += [{"line": part[rejected["index"]].line, **rejected} for rejected in answer["rejected"]]
