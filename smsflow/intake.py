"""What other systems hand in over HTTP, as JSON → checked values, or reasons by name (design.md §6). Pure.

A rejection names every field that is wrong, and never repeats a value: it may be somebody's number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from smsflow.core.identity import IdentityError, msisdn_of_source, parse_iban, parse_iin, parse_msisdn
from smsflow.store.people import Birth

__all__ = [
    "EVENTS",
    "BirthIn",
    "BodyEventIn",
    "CitizenIn",
    "FieldError",
    "LinkActionIn",
    "OperateIn",
    "Rejection",
    "in_words",
    "parse_birth",
    "parse_citizen",
    "parse_event",
    "parse_link_action",
    "parse_operation",
]

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `error` is a name, `field` the path to it ("" for the whole)."""

    field: str
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why something is not taken: the first field that is wrong, and in `errors` all of them."""

    error: str
    field: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()


def _rejection(errors: tuple[FieldError, ...]) -> Rejection:
    first = errors[0]
    return Rejection(first.error, first.field, first.detail, errors)


# --- the shapes -------------------------------------------------------------------------------------------

_BLANK = re.compile(r"\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_KATO = r"^[0-9]{9}$"
_EVENT = r"^[a-z][a-z0-9_]*$"
_LANGUAGE = r"^[a-z]{2}$"


def _words(text: str) -> str:
    if _BLANK.fullmatch(text):
        raise PydanticCustomError("empty", "must not be empty")
    if _CONTROL.search(text):
        raise PydanticCustomError("characters", "control characters are not allowed")
    return text


def _msisdn(text: str) -> str:
    return msisdn_of_source(text) or parse_msisdn(text)  # the first is quick for what is canonical already


def _moment(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("time", "expected ISO 8601 with an offset: 2026-11-20T09:00:00+05:00") from None
    if at.tzinfo is None:
        raise PydanticCustomError("no_offset", "expected an offset: 2026-11-20T09:00:00+05:00")
    return at.isoformat()


def _birth_moment(text: str) -> str:
    """No limits but what can be kept: how old a record may be is for those who hand it in to know."""
    if not _FIRST_YEAR <= datetime.fromisoformat(text).year <= _LAST_YEAR:
        raise PydanticCustomError("born_at_out_of_range", f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return text


def _binding_moment(text: str) -> str:
    if not _FIRST_YEAR <= datetime.fromisoformat(text).year <= _LAST_YEAR:
        raise PydanticCustomError("bound_at_out_of_range", f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return text


def _day(text: str) -> str:
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        raise PydanticCustomError("date", "expected an ISO date: 2026-11-20") from None


Iin = Annotated[str, AfterValidator(parse_iin), Field(examples=["950101200109"])]
Msisdn = Annotated[str, AfterValidator(_msisdn), Field(examples=["77011234567"])]
Iban = Annotated[str, AfterValidator(parse_iban), Field(examples=["KZ86125KZT5004100100"])]
Moment = Annotated[str, AfterValidator(_moment), Field(examples=["2026-11-20T09:00:00+05:00"])]
Day = Annotated[str, AfterValidator(_day), Field(examples=["2026-11-20"])]
Id = Annotated[str, StringConstraints(max_length=100), AfterValidator(_words)]
Words = Annotated[str, StringConstraints(max_length=200), AfterValidator(_words)]
Language = Annotated[str, StringConstraints(pattern=_LANGUAGE)]


def _one_or_many(value: object) -> str:
    return "#many" if isinstance(value, dict) else "#one"


def _number_or_words(value: object) -> str:
    return "#number" if isinstance(value, int) else "#words"


# tags begin with #, so that the path to an error can leave them out
WordsByLanguage = Annotated[
    Annotated[Words, Tag("#one")] | Annotated[dict[Language, Words], Field(min_length=1), Tag("#many")],
    Discriminator(_one_or_many),
]
WordsOrNumber = Annotated[
    Annotated[Words, Tag("#words")] | Annotated[int, Tag("#number")], Discriminator(_number_or_words)
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BirthIn(_Model):
    """A birth as the ward recorded it."""

    birth_id: Id
    mother_iin: Iin
    msisdn: Msisdn | None = None
    born_at: Annotated[Moment, AfterValidator(_birth_moment)]
    sex: Literal["female", "male"]
    alive: bool
    birth_order: Annotated[int, Field(ge=1, le=30)]
    account: Iban | None = None
    address_kato: Annotated[str, StringConstraints(pattern=_KATO)] | None = None


class CitizenIn(_Model):
    """A citizen's number in the base of mobile citizens."""

    iin: Iin
    msisdn: Msisdn
    bound_at: Annotated[Moment, AfterValidator(_binding_moment)]


class _Accepted(_Model):
    number: Words


class _Registered(_Model):
    place: Words
    child_iin: Iin


class _Refused(_Model):
    reason: WordsByLanguage


class _Queued(_Model):
    number: Words
    locality: Words
    date: Day


class _Granted(_Model):
    amount: Annotated[int, Field(ge=1, le=10**12)]


EVENTS: Mapping[str, type[BaseModel]] = {
    "accepted": _Accepted,
    "registered": _Registered,
    "refused": _Refused,
    "queued": _Queued,
    "granted": _Granted,
}
"""The events of the birth service and what each must hold; an event of another dialog may hold any words."""


class _OtherData(_Model):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, WordsOrNumber]


class BodyEventIn(_Model):
    """What a body says of a case; `id` is its own, the second time nothing happens."""

    id: Id
    event: Annotated[str, StringConstraints(pattern=_EVENT, max_length=40)]
    data: dict[str, Any] = {}


class OperateIn(_Model):
    """What a person does about a case."""

    action: Literal["resume", "end", "clear", "resend"]


class LinkActionIn(_Model):
    """What a person does to a link."""

    action: Literal["pause", "resume"]


# --- reading them -----------------------------------------------------------------------------------------


def parse_birth(value: object) -> Birth | Rejection:
    """A birth, its identifiers in canonical form."""
    read = _read(BirthIn, value)
    if isinstance(read, Rejection):
        return read
    return Birth(
        birth_id=read.birth_id,
        mother_iin=read.mother_iin,
        msisdn=read.msisdn,
        born_at=read.born_at,
        sex=read.sex,
        alive=read.alive,
        birth_order=read.birth_order,
        account=read.account or "",
        address_kato=read.address_kato or "",
    )


def parse_citizen(value: object) -> CitizenIn | Rejection:
    """A binding, its identifiers in canonical form."""
    return _read(CitizenIn, value)


def parse_operation(value: object) -> OperateIn | Rejection:
    """An operator's command."""
    return _read(OperateIn, value)


def parse_link_action(value: object) -> LinkActionIn | Rejection:
    """An operator's command to a link."""
    return _read(LinkActionIn, value)


def parse_event(value: object) -> tuple[BodyEventIn, dict[str, str]] | Rejection:
    """An event of a body, and its data as the dialogs know them: all texts, `reason.ru` for one of several."""
    event = _read(BodyEventIn, value)
    if isinstance(event, Rejection):
        return event
    data = _read(EVENTS.get(event.event, _OtherData), event.data, under="data")
    return data if isinstance(data, Rejection) else (event, _flatten(data.model_dump()))


def _flatten(data: Mapping[str, Any]) -> dict[str, str]:
    """Texts by name. Of one per language the first also stands for languages that it lacks."""
    flat: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat |= {name: next(iter(value.values()))} | {f"{name}.{key}": text for key, text in value.items()}
        else:
            flat[name] = str(value)
    return flat


_NAMES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_unicode": "characters",
    "model_type": "wrong_type",
    "dict_type": "wrong_type",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "bool_type": "wrong_type",
    "literal_error": "not_allowed",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_pattern_mismatch": "form",
    "string_too_long": "too_long",
    "too_short": "empty",
}


_WORDS = {
    "missing": "it must be there",
    "extra_forbidden": "there is no such field",
    "model_type": "expected an object",
    "dict_type": "expected an object",
    "string_type": "expected a text",
    "string_unicode": "expected a text in Unicode",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "string_too_long": "expected at most {max_length} characters",
    "too_short": "must not be empty",
    # of the query of a URL, which is text
    "int_parsing": "expected a whole number",
    "bool_parsing": "expected true or false",
    "enum": "expected {expected}",
}
_FORMS = {
    _KATO: "expected nine digits",
    _EVENT: "expected small letters, digits and _",
    _LANGUAGE: "expected a language as two small letters: kk",
}


def in_words(wrong: ErrorDetails) -> str:
    """What pydantic found wrong, in our words, without the value."""
    facts = wrong.get("ctx", {})
    if isinstance(facts.get("error"), IdentityError):
        return str(facts["error"])
    if wrong["type"] == "string_pattern_mismatch":
        return _FORMS.get(facts["pattern"], "not in the form that is expected")
    words = _WORDS.get(wrong["type"])
    return wrong["msg"] if words is None else words.format_map(facts)  # what is not in the table is ours already


def _read(model: type[Model], value: object, *, under: str = "") -> Model | Rejection:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    return _rejection(tuple(_field_error(wrong, under) for wrong in found))


def _field_error(wrong: ErrorDetails, under: str) -> FieldError:
    cause = wrong.get("ctx", {}).get("error")
    name = cause.reason if isinstance(cause, IdentityError) else _NAMES.get(wrong["type"], wrong["type"])
    path = [str(part) for part in wrong["loc"] if str(part)[:1] not in ("#", "[")]
    return FieldError(".".join([under, *path] if under else path), name, in_words(wrong))
