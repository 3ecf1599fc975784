"""Values of the core as rows and back. Nothing here runs SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, get_args

from smsflow.core import events
from smsflow.core.conversation import Asked, Conversation, Due, DueKind, Status, made
from smsflow.core.events import Event

try:
    import orjson
except ImportError:  # not CPython: json writes the same, and takes five times as long
    orjson = None  # type: ignore[assignment]

__all__ = [
    "CONVERSATION_COLUMNS",
    "conversation_row",
    "dump",
    "event_json",
    "identity_row",
    "load",
    "opening_json",
    "place_row",
    "read_conversation",
    "read_event",
    "read_opening",
    "read_time",
    "utc",
]

CONVERSATION_COLUMNS = (
    "id, dialog, revision, birth_id, msisdn, child, language, state, status, result, wait, misread, reminded,"
    " asked_at, due_kind, due_at, body, version"
)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


@lru_cache(maxsize=64)  # one moment stands in many rows
def utc(at: datetime) -> str:
    """An aware time as it is stored: UTC, milliseconds, sortable as text."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


@lru_cache(maxsize=64)
def read_time(text: str, zone: tzinfo) -> datetime:
    """A stored time, in `zone`."""
    return datetime.fromisoformat(text).astimezone(zone)


def dump(value: Any) -> str:  # noqa: ANN401 - JSON is anything
    """Compact JSON, letters as they are."""
    return orjson.dumps(value).decode() if orjson else _ENCODER.encode(value)


def load(text: str | bytearray) -> Any:  # noqa: ANN401 - JSON is anything
    """What `dump` wrote; tuples come back as lists."""
    return orjson.loads(text) if orjson else json.loads(text)


def conversation_row(conversation: Conversation) -> tuple[Any, ...]:
    """The values of `CONVERSATION_COLUMNS` without id and version."""
    return *identity_row(conversation), *place_row(conversation)


def identity_row(conversation: Conversation) -> tuple[str, ...]:
    """The values of the first `CONVERSATION_COLUMNS` after id, up to language: whose conversation it is."""
    return (
        conversation.dialog,
        conversation.revision,
        conversation.birth_id,
        conversation.msisdn,
        conversation.child,
    )


def place_row(conversation: Conversation) -> tuple[Any, ...]:
    """The values of `CONVERSATION_COLUMNS` from language on, without version: where it stands."""
    due, asked_at = conversation.due, conversation.asked_at
    body = {
        "facts": conversation.facts,
        "answers": conversation.answers,
        "trail": [_asked(asked) for asked in conversation.trail],
        "held": conversation.held,
        "back": conversation.back and _asked(conversation.back),
        "printed": conversation.printed,
        "page": conversation.page,
        "sealed": conversation.sealed,
    }
    return (
        conversation.language,
        conversation.state,
        conversation.status.value,
        conversation.result,
        conversation.wait,
        conversation.misread,
        conversation.reminded,
        utc(asked_at) if asked_at else None,
        due.kind.value if due else None,
        utc(due.at) if due else None,
        dump(body),
    )


def _asked(asked: Asked) -> tuple[str, str, str]:
    return asked.state, asked.address, asked.value


def read_conversation(row: tuple[Any, ...], zone: tzinfo) -> Conversation:
    """The conversation in a row of `CONVERSATION_COLUMNS`, its times in `zone`."""
    case, dialog, revision, birth_id, msisdn, child, language, state, status, result = row[:10]
    wait, misread, reminded, asked_at, due_kind, due_at, body_json, version = row[10:18]
    body = load(body_json)
    return made(
        case,
        dialog,
        revision,
        birth_id,
        msisdn,
        child,
        language,
        state,
        _STATUSES[status],
        result,
        body["facts"],
        body["answers"],
        tuple([Asked(*asked) for asked in body["trail"]]),
        body["sealed"],
        Asked(*body["back"]) if body["back"] else None,
        {state: tuple(addresses) for state, addresses in body["printed"].items()},
        tuple([(event_id, name, data) for event_id, name, data in body["held"]]),
        body["page"],
        wait,
        misread,
        reminded,
        read_time(asked_at, zone) if asked_at else None,
        Due(_DUE_KINDS[due_kind], read_time(due_at, zone)) if due_at else None,
        version,
    )


_STATUSES = {status.value: status for status in Status}
_DUE_KINDS = {kind.value: kind for kind in DueKind}


def event_json(event: Event) -> str:
    """An event as it is journalled: its name and every field."""
    values: dict[str, Any] = {"event": type(event).__name__}
    for name in _NAMES[type(event)]:
        value = getattr(event, name)
        values[name] = value.isoformat() if isinstance(value, datetime) else value
    return dump(values)


_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in get_args(Event)}


def read_event(text: str, zone: tzinfo) -> Event:
    """The event that `event_json` wrote; times are cut to milliseconds, like the store's."""
    values: Mapping[str, Any] = load(text)
    kind = getattr(events, values["event"])
    times = {"at", "opens_at"}
    read: dict[str, Any] = {
        name: _milliseconds(datetime.fromisoformat(value)).astimezone(zone) if name in times else value
        for name, value in values.items()
        if name != "event"
    }
    if "coercions" in read:
        read["coercions"] = tuple(read["coercions"])
    event: Event = kind(**read)
    return event


def _milliseconds(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


_OPENING = ("dialog", "revision", "birth_id", "msisdn", "child", "language", "facts")


def opening_json(conversation: Conversation) -> str:
    """A conversation before its first event, as it is journalled: all that `read_opening` needs."""
    return dump({"event": "Opened"} | {name: getattr(conversation, name) for name in _OPENING})


def read_opening(text: str, case: int) -> Conversation:
    """The conversation of `case` before its first event."""
    values = load(text)
    return Conversation(case=case, **{name: values[name] for name in _OPENING})
