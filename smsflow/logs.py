"""Logs: events are constants, facts are keys. JSON where nobody watches, colours in a terminal.

ERROR: a person must act, or it is our bug. WARNING: a peer or an operator erred, and we coped. INFO: life.
DEBUG: single texts. No phone number, name or text of anybody stands in a line.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, TextIO, cast

import structlog

try:
    import orjson
except ImportError:  # not CPython: json writes the same, and takes ten times as long
    orjson = None  # type: ignore[assignment]

# And the constants below, one for each event.
__all__ = ["EVENTS", "configure", "info_each", "short_revision", "tells_debug"]

EVENTS = {
    "daemon.started": ("info", "everything is up"),
    "daemon.stopping": ("info", "a signal or an operator ends the daemon"),
    "daemon.stopped": ("info", "everything is down, nothing is lost"),
    "daemon.store_failed": (
        "error",
        "the disk or the file does not take a transaction; replies are refused for now; said once a minute",
    ),
    "daemon.migrated": ("info", "the tables of the store were brought up to date; `copy` is the store before that"),
    "store.forgotten": (
        "info",
        "cases, and texts of no case, whose time was over are gone; an error when that broke off: our bug",
    ),
    "dialog.loaded": ("info", "a dialog is ready for new conversations"),
    "smpp.connected": ("info", "a bind was accepted"),
    "smpp.refused": ("error", "the message centre refused the bind"),
    "smpp.unbound": ("info", "we have left a message centre in peace"),
    "smpp.lost": ("warning", "a connection ended or could not be made; it is tried again"),
    "smpp.paused": ("warning", "the daemon starts, and an operator's pause of a link still holds"),
    "smpp.throttled": ("warning", "the message centre wants less"),
    "smpp.undecodable": ("warning", "a frame could not be read; it was answered with an error"),
    "birth.recorded": ("info", "a birth is new; `result` when nobody is to hear of it"),
    "reply.handled": ("info", "one line for each text that came in"),
    "reply.failed": ("error", "a text could not be handled: our bug; it is kept"),
    "text.sent": ("debug", "a message centre took a text"),
    "text.queued_again": ("info", "a message centre did not take a text; it is tried again"),
    "text.in_doubt": ("warning", "nobody knows whether a message centre took a text; a person decides"),
    "text.failed": ("warning", "a message centre will never take a text"),
    "text.receipt_unmatched": ("debug", "a receipt for a text that is not known (any more)"),
    "timer.failed": ("error", "a timer could not be carried out: our bug; it is tried later"),
    "flag.raised": ("warning", "a person must look at a case"),
    "case.closed": ("info", "a conversation has ended, with its result"),
    "operator.acted": (
        "info",
        "a person has acted on a case or a link",
    ),
    "application.taken": ("info", "a body took an application"),
    "application.refused": ("error", "a body refused an application, or has no gateway"),
    "application.retried": ("warning", "a body could not be reached; it is tried again"),
    "body.handled": ("info", "a body's event was taken; a warning when it was `stale`: nothing waited for it"),
    "api.listening": ("info", "HTTP is up"),
    "api.failed": ("error", "HTTP cannot be served and is tried again, or an item of a batch failed: our bug"),
}
"""Every event: its level, and when it is logged."""

DAEMON_STARTED = "daemon.started"
DAEMON_STOPPING = "daemon.stopping"
DAEMON_STOPPED = "daemon.stopped"
DAEMON_STORE_FAILED = "daemon.store_failed"
DAEMON_MIGRATED = "daemon.migrated"
STORE_FORGOTTEN = "store.forgotten"
DIALOG_LOADED = "dialog.loaded"
SMPP_CONNECTED = "smpp.connected"
SMPP_REFUSED = "smpp.refused"
SMPP_UNBOUND = "smpp.unbound"
SMPP_LOST = "smpp.lost"
SMPP_PAUSED = "smpp.paused"
SMPP_THROTTLED = "smpp.throttled"
SMPP_UNDECODABLE = "smpp.undecodable"
BIRTH_RECORDED = "birth.recorded"
REPLY_HANDLED = "reply.handled"
REPLY_FAILED = "reply.failed"
TEXT_SENT = "text.sent"
TEXT_QUEUED_AGAIN = "text.queued_again"
TEXT_IN_DOUBT = "text.in_doubt"
TEXT_FAILED = "text.failed"
TEXT_RECEIPT_UNMATCHED = "text.receipt_unmatched"
TIMER_FAILED = "timer.failed"
FLAG_RAISED = "flag.raised"
CASE_CLOSED = "case.closed"
OPERATOR_ACTED = "operator.acted"
APPLICATION_TAKEN = "application.taken"
APPLICATION_REFUSED = "application.refused"
APPLICATION_RETRIED = "application.retried"
BODY_HANDLED = "body.handled"
API_LISTENING = "api.listening"
API_FAILED = "api.failed"

_REVISION = 15  # characters, enough to tell revisions apart
# What json writes in its own way is left to it.
_PLAIN = (
    orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    if orjson
    else 0
)
_least = logging.INFO  # what is below is not shown; by `configure`


class _Lasting:
    """A stream that may be full or gone: the line is lost, and what was going on goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, words: str) -> None:
        with suppress(OSError):
            self._stream.write(words)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(stream: TextIO = sys.stderr, *, level: str = "info") -> None:
    """Set up logging for the process: our events, and what libraries say from WARNING on, as lines of one form.

    Tracebacks never show local variables: they hold IINs and accounts.
    """
    global _least
    _least = getattr(logging, level.upper())
    watched = stream.isatty()
    lasting = cast("TextIO", _Lasting(stream))
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False))
        if watched
        else structlog.processors.JSONRenderer(serializer=_dump)
    )
    marked: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
    ]
    shown = [renderer] if watched else [structlog.processors.ExceptionRenderer(_safe_traceback()), renderer]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *marked, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(_least),
        logger_factory=structlog.WriteLoggerFactory(lasting),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lasting)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_strip, structlog.stdlib.add_logger_name, *marked],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("smpp").setLevel(logging.WARNING)  # smpplib's DEBUG holds passwords and texts
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # its own handlers would write beside ours
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def tells_debug() -> bool:
    """Whether what is DEBUG is shown; to be asked where its facts would be gathered thousands of times a second."""
    return _least <= logging.DEBUG


def info_each(event: str, lines: Iterable[dict[str, Any]]) -> None:
    """Log `event` at INFO once for each of `lines`, its facts, which this may change.

    So many calls of `structlog.get_logger().info` would log the same, each with a moment and a write of its own.
    Here all have the moment of the first, and go out in one write: for what comes a thousand times a second.
    """
    if _least > logging.INFO:
        return
    config = structlog.get_config()
    *markers, render = config["processors"]
    logger = config["logger_factory"]()
    marks: dict[str, Any] | None = None  # moment, level and context, which all lines share
    words: list[str] = []
    for line in lines:
        line["event"] = event
        try:
            if marks is None:
                facts = frozenset(line)
                shown: Any = line
                for marker in markers:
                    shown = marker(logger, "info", shown)
                marks = {name: value for name, value in shown.items() if name not in facts}
            line.update(marks)
            words.append(render(logger, "info", line))
        except structlog.DropEvent:
            continue
    if words:
        logger.info("\n".join(words))


def _dump(line: structlog.typing.EventDict, *, default: Callable[[Any], Any]) -> str:
    """`line` as JSON, letters as they are; `default` makes something of what JSON does not know."""
    if orjson:
        try:
            return orjson.dumps(line, option=_PLAIN).decode()
        except TypeError:
            pass
    return _encoder(default).encode(line)


@cache
def _encoder(default: Callable[[Any], Any]) -> json.JSONEncoder:
    """One for all lines: `json.dumps` would make one for each."""
    return json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=default)


def short_revision(revision: str) -> str:
    """The beginning of a dialog's revision, for people to compare."""
    return revision[:_REVISION]


def _strip(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What a library says, without the line ends around it."""
    line["event"] = str(line["event"]).strip()
    return line


def _safe_traceback() -> structlog.tracebacks.ExceptionDictTransformer:
    return structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
