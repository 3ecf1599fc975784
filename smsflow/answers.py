"""What HTTP answers, as shapes: OpenAPI is made from them, and the tests hold the answers to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from smsflow.core.conversation import Status
from smsflow.core.reply import Kind

__all__ = [
    "BatchRefusedOut",
    "BirthsOut",
    "CaseOut",
    "CasesOut",
    "CitizensOut",
    "ErrorOut",
    "EventOut",
    "HealthOut",
    "LifeOut",
    "LinksOut",
    "OperationOut",
]


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FieldError(_Out):
    """What is wrong with one field; "" is the whole."""

    field: str
    error: str
    detail: str


class ErrorOut(_Out):
    """Why it was not done: `error` is a name, `detail` says it in words. `errors`: every field that is wrong."""

    error: str
    detail: str
    errors: list[FieldError] | None = None


class _Rejected(_Out):
    """An item that was not taken; `error`, `field` and `detail` are those of its first field that is wrong."""

    index: Annotated[int, Field(description="Its place in the batch, 0 first.")]
    error: str
    field: str
    detail: str
    errors: list[FieldError]


class _BirthTaken(_Out):
    birth_id: str
    case: str


class _BirthRejected(_Rejected):
    birth_id: str | None


class _CitizenTaken(_Out):
    iin: str


class _CitizenRejected(_Rejected):
    iin: str | None


class BirthsOut(_Out):
    """The births that were taken, each with its case, and the others with their reasons."""

    accepted: list[_BirthTaken]
    rejected: list[_BirthRejected]


class CitizensOut(_Out):
    """The bindings that were taken, and the others with their reasons."""

    accepted: list[_CitizenTaken]
    rejected: list[_CitizenRejected]


class BatchRefusedOut(_Out):
    """Nothing of the batch could be taken; `error` and `detail` are those of its first item."""

    error: str
    detail: str
    accepted: Annotated[list[str], Field(max_length=0)]
    rejected: list[_BirthRejected | _CitizenRejected]


class EventOut(_Out):
    """What the event turned out to be; `stale`: nothing waited for it, and nothing has happened."""

    case: str
    id: str
    outcome: Literal["moved", "stale"]


class OperationOut(_Out):
    """What came of it; `stale`: there was nothing to do."""

    case: str
    outcome: Literal["moved", "stale"]


class _Option(_Out):
    code: str
    text: str


class _Awaiting(_Out):
    address: str
    kind: Kind
    options: list[_Option]
    asked_at: str
    due_at: str


class _TextOut(_Out):
    at: str
    direction: Literal["out"]
    text: str | None
    status: str
    segments: int


class _ReplyIn(_Out):
    at: str
    direction: Literal["in"]
    text: str | None
    outcome: str


class CaseOut(_Out):
    """A case and its conversation. `result` is there when it is closed; `flags` say why a person must look."""

    case: str
    birth_id: str
    msisdn: str
    dialog: str
    revision: str
    state: str
    status: Status
    language: str
    awaiting: _Awaiting | None
    answers: dict[str, str]
    flags: list[str]
    messages: list[_TextOut | _ReplyIn]
    result: str | None = None


class CasesOut(_Out):
    """A page of cases; `next` is `after` of the page that follows, null at the end."""

    cases: list[CaseOut]
    next: str | None


class _Link(_Out):
    name: str
    bind: str
    bound_since: str | None
    trouble: str


class HealthOut(_Out):
    """How the daemon is; `reasons` say why it cannot do its work."""

    status: Literal["ok", "failing"]
    reasons: list[str]
    store: str
    links: list[_Link]
    oldest_queued_s: float | None
    oldest_unanswered_s: float
    last_write_s: float
    loop_lag_s: float


class LifeOut(_Out):
    """Whether the engine's loop is alive."""

    status: Literal["alive", "stuck"]


class LinksOut(_Out):
    """What every session of every link does; counts are since the daemon's start."""

    links: list[dict[str, Any]]
