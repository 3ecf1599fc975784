"""Values of the core as rows and back. Nothing here runs SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, get_args

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
    "load",
    "opening_json",
    "place_row",
    "read_conversation",
    "read_event",
    "read_opening",
    "read_time",
    "reads_as_written",
    "utc",
]

CONVERSATION_COLUMNS = (
    "id, dialog, revision, birth_id, msisdn, child, language, state, status, result, wait, misread, reminded,"
    " asked_at, due_kind, due_at, body, version"
)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def utc(at: datetime) -> str:
    """An aware time as it is stored: UTC, milliseconds, sortable as text."""
    return _utc(at, at.fold)


@lru_cache(maxsize=64)  # one moment stands in many rows; those of an hour that comes twice are equal but for `fold`
def _utc(at: datetime, _fold: int) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


@lru_cache(maxsize=64)
def read_time(text: str, zone: tzinfo) -> datetime:
    """A stored time, in `zone`."""
    return datetime.fromisoformat(text).astimezone(zone)


def reads_as_written(at: datetime, zone: tzinfo) -> bool:
    """Whether a time that is stored is read again in `zone` as it is, to the last digit.

    It is not where it has more of them than are stored, nor where no clock of the zone ever shows it: a day later
    by the clock may fall into an hour that is left out in spring.
    """
    read = read_time(utc(at), zone)
    return read == at and at.tzinfo is zone and read.fold == at.fold


def dump(value: Any) -> str:  # noqa: ANN401 - JSON is anything
    """Compact JSON, letters as they are."""
    return orjson.dumps(value).decode() if orjson else _ENCODER.encode(value)


def load(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    """What `dump` wrote; tuples come back as lists."""
    return orjson.loads(text) if orjson else json.loads(text)


def conversation_row(conversation: Conversation) -> tuple[Any, ...]:
    """The values of `CONVERSATION_COLUMNS` without id and version."""
    return (
        conversation.dialog,
        conversation.revision,
        conversation.birth_id,
        conversation.msisdn,
        conversation.child,
        *place_row(conversation),
    )


def place_row(conversation: Conversation) -> tuple[Any, ...]:
    """The values of `CONVERSATION_COLUMNS` from language on, without version: where it stands.

    A step changes nothing that comes before, but for the phone.
    """
    due, asked_at = conversation.due, conversation.asked_at
    body = {
        "facts": conversation.facts,
        "answers": conversation.answers,
        "trail": [
            (state, address, value) for state, address, value in conversation.trail
        ],  # orjson takes no `Asked`
        "held": conversation.held,
        "back": conversation.back and tuple(conversation.back),
        "printed": conversation.printed,
        "page": conversation.page,
        "sealed": conversation.sealed,
    }
    return (
        conversation.language,
        conversation.state,
        conversation.status._value_,  # as `value` says, which is a function in Python
        conversation.result,
        conversation.wait,
        conversation.misread,
        conversation.reminded,
        utc(asked_at) if asked_at else None,
        due.kind._value_ if due else None,
        utc(due.at) if due else None,
        dump(body),
    )


def read_conversation(row: tuple[Any, ...], zone: tzinfo) -> Conversation:
    """The conversation in a row of `CONVERSATION_COLUMNS`, its times in `zone`.

    Words that stand in thousands of them stand in memory once.
    """
    (
        case, dialog, revision, birth_id, msisdn, child, language, state, status, result,
        wait, misread, reminded, asked_at, due_kind, due_at, body_json, version,
    ) = row  # fmt: skip
    body = load(body_json)
    return made(
        case,
        intern(dialog),
        intern(revision),
        birth_id,
        msisdn,
        child,
        language,
        intern(state),
        _STATUSES[status],
        result,
        body["facts"],
        body["answers"],
        tuple([Asked(intern(asked), address, value) for asked, address, value in body["trail"]]),
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
    form = _FORMS[type(event)]
    values = form.empty.copy()
    for name in form.plain:
        values[name] = getattr(event, name)
    for name in form.times:
        at = getattr(event, name)
        values[name] = _isoformat(at, at.fold, at.tzinfo)
    return dump(values)


@lru_cache(maxsize=64)  # as `_utc`; times in two zones may be equal, and are not written alike
def _isoformat(at: datetime, _fold: int, _zone: tzinfo | None) -> str:
    return at.isoformat()


class _Form(NamedTuple):
    """How events of one class are journalled: `empty` holds its name, and its fields in their order."""

    empty: dict[str, Any]
    plain: tuple[str, ...]
    times: tuple[str, ...]


def _form_of(kind: type[Event]) -> _Form:
    names = tuple(field.name for field in fields(kind))
    return _Form(
        empty={"event": kind.__name__, **dict.fromkeys(names)},
        plain=tuple(name for name in names if name not in _TIMES),
        times=tuple(name for name in names if name in _TIMES),
    )


_TIMES = frozenset({"at", "opens_at"})
_FORMS = {kind: _form_of(kind) for kind in get_args(Event)}


def read_event(text: str, zone: tzinfo) -> Event:
    """The event that `event_json` wrote; times are cut to milliseconds, like the store's."""
    values: Mapping[str, Any] = load(text)
    kind = getattr(events, values["event"])
    read: dict[str, Any] = {
        name: _milliseconds(datetime.fromisoformat(value)).astimezone(zone) if name in _TIMES else value
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
