"""Logs: events are constants, facts are keys. JSON where nobody watches, colours in a terminal.

ERROR: a person must act, or it is our bug. WARNING: a peer or an operator erred, and we coped. INFO: life.
DEBUG: single texts. No phone number, name or text of anybody stands in a line.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

__all__ = ["EVENTS", "configure"]  # and the constants below, one for each event

EVENTS = {
    "daemon.started": "everything is up",
    "daemon.stopping": "a signal or an operator ends the daemon",
    "daemon.stopped": "everything is down, nothing is lost",
    "daemon.store_failed": "the disk or the file does not take a transaction; replies are refused for now",
    "dialog.loaded": "a dialog is ready for new conversations",
    "smpp.connected": "a bind was accepted",
    "smpp.refused": "the message centre refused the bind",
    "smpp.unbound": "we have left a message centre in peace",
    "smpp.lost": "a connection ended or could not be made; it is tried again",
    "smpp.throttled": "the message centre wants less",
    "smpp.undecodable": "a frame could not be read; it was answered with an error",
    "operator.acted": "somebody has paused, resumed or traced a link",
    "reply.handled": "one line for each text that came in",
    "reply.failed": "a text could not be handled: our bug; it is kept",
    "text.sent": "a message centre took a text",
    "text.queued_again": "a message centre did not take a text; it is tried again",
    "text.failed": "a message centre will never take a text",
    "text.receipt_unmatched": "a receipt for a text that is not known",
    "timer.failed": "a timer could not be carried out: our bug; it is tried later",
    "flag.raised": "a person must look at a case",
    "application.taken": "a body took an application",
    "application.refused": "a body refused an application, or has no gateway",
    "application.retried": "a body could not be reached; it is tried again",
    "api.listening": "HTTP is up",
    "api.failed": "HTTP cannot be served; it is tried again",
}
"""Every event and when it is logged."""

DAEMON_STARTED = "daemon.started"
DAEMON_STOPPING = "daemon.stopping"
DAEMON_STOPPED = "daemon.stopped"
DAEMON_STORE_FAILED = "daemon.store_failed"
DIALOG_LOADED = "dialog.loaded"
SMPP_CONNECTED = "smpp.connected"
SMPP_REFUSED = "smpp.refused"
SMPP_UNBOUND = "smpp.unbound"
SMPP_LOST = "smpp.lost"
SMPP_THROTTLED = "smpp.throttled"
SMPP_UNDECODABLE = "smpp.undecodable"
OPERATOR_ACTED = "operator.acted"
REPLY_HANDLED = "reply.handled"
REPLY_FAILED = "reply.failed"
TEXT_SENT = "text.sent"
TEXT_QUEUED_AGAIN = "text.queued_again"
TEXT_FAILED = "text.failed"
TEXT_RECEIPT_UNMATCHED = "text.receipt_unmatched"
TIMER_FAILED = "timer.failed"
FLAG_RAISED = "flag.raised"
APPLICATION_TAKEN = "application.taken"
APPLICATION_REFUSED = "application.refused"
APPLICATION_RETRIED = "application.retried"
API_LISTENING = "api.listening"
API_FAILED = "api.failed"


def configure(stream: TextIO = sys.stderr, *, level: str = "info") -> None:
    """Set up logging for the process: structlog's own chain, and nothing from libraries below WARNING.

    Tracebacks never show local variables: they hold IINs and accounts.
    """
    watched = stream.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False))
        if watched
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structured = [] if watched else [structlog.processors.ExceptionRenderer(_safe_traceback())]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *structured,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING, force=True)
    logging.getLogger("smpp").setLevel(logging.WARNING)  # smpplib's DEBUG holds passwords and texts
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _safe_traceback() -> structlog.tracebacks.ExceptionDictTransformer:
    return structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
