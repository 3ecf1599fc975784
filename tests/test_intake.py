"""What comes in over HTTP is checked field by field, and a rejection names the field, never the value."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from smsflow.intake import Rejection, parse_birth, parse_citizen, parse_event, parse_operation
from smsflow.store.people import Birth

NOW = datetime.fromisoformat("2026-11-18T12:00:00+05:00")
BIRTH = {
    "birth_id": "b-1", "mother_iin": "950101200109", "msisdn": "+7 701 123-45-67",
    "born_at": "2026-11-18T03:00:00Z", "sex": "female", "alive": True, "birth_order": 1,
    "account": "kz86 125k zt50 0410 0100", "address_kato": "751110000",
}  # fmt: skip


def test_birth_is_taken_in_canonical_form():
    """Numbers lose their blanks, times are ISO with an offset."""
    expected = Birth(
        "b-1", "950101200109", "77011234567", "2026-11-18T03:00:00+00:00", "female", True, 1,
        "KZ86125KZT5004100100", "751110000",
    )  # fmt: skip

    assert parse_birth(BIRTH) == expected


def test_birth_needs_no_phone_account_and_address():
    """What is optional may be missing or null."""
    least = {name: value for name, value in BIRTH.items() if name not in ("msisdn", "account", "address_kato")}

    assert parse_birth(least) == parse_birth({**least, "msisdn": None, "account": None, "address_kato": None})


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"mother_iin": "950101200108"}, "check_digit", "mother_iin"),
        ({"mother_iin": 950101200109}, "wrong_type", "mother_iin"),
        ({"msisdn": "12345"}, "length", "msisdn"),
        ({"msisdn": "+442071838750"}, "country", "msisdn"),
        ({"born_at": "yesterday"}, "time", "born_at"),
        ({"born_at": "2026-11-18T03:00:00"}, "no_offset", "born_at"),
        ({"born_at": 1763438400}, "wrong_type", "born_at"),
        ({"sex": "f"}, "not_allowed", "sex"),
        ({"alive": "true"}, "wrong_type", "alive"),
        ({"alive": 1}, "wrong_type", "alive"),
        ({"birth_order": 0}, "out_of_range", "birth_order"),
        ({"birth_order": True}, "wrong_type", "birth_order"),
        ({"birth_order": 1.0}, "wrong_type", "birth_order"),
        ({"account": "KZ86125KZT5004100101"}, "check_digits", "account"),
        ({"address_kato": "75111000"}, "form", "address_kato"),
        ({"birth_id": " "}, "empty", "birth_id"),
        ({"birth_id": "b\n1"}, "characters", "birth_id"),
        ({"birth_id": "b" * 101}, "too_long", "birth_id"),
        ({"name": "x"}, "unknown_field", "name"),
    ],
)
def test_bad_birth_is_rejected_by_name(change, error, field):
    """The error, the field, and nothing of the value."""
    rejection = parse_birth(BIRTH | change)

    assert isinstance(rejection, Rejection)
    assert (rejection.error, rejection.field) == (error, field)
    assert not any(len(str(value)) > 5 and str(value) in rejection.detail for value in change.values())


@pytest.mark.parametrize(
    ("born_at", "taken"),
    [
        (NOW, True),
        (NOW + timedelta(days=400), True),  # clocks differ; how old a record may be is not ours to know
        (datetime.fromisoformat("0001-01-01T00:00:00+05:00"), False),
        (datetime.fromisoformat("9999-12-31T23:59:59-05:00"), False),
    ],
)
def test_birth_of_an_impossible_year_is_rejected(born_at, taken):
    """Such a year cannot be kept in UTC."""
    read = parse_birth(BIRTH | {"born_at": born_at.isoformat()})

    assert isinstance(read, Birth) is taken
    if not taken:
        assert (read.error, read.field) == ("born_at_out_of_range", "born_at")


@pytest.mark.parametrize(
    "bound_at", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "1899-01-01T00:00Z"]
)
def test_binding_of_an_impossible_year_is_rejected(bound_at):
    """Such a year cannot be kept in UTC."""
    read = parse_citizen({"iin": "950101200109", "msisdn": "87011234567", "bound_at": bound_at})

    assert (read.error, read.field) == ("bound_at_out_of_range", "bound_at")


def test_every_wrong_field_is_named_in_our_words():
    """The first is told as ever, all of them in `errors`; nothing of the library's sentences."""
    wrong = {
        "birth_id": "", "mother_iin": 7, "born_at": "x", "sex": "f", "alive": 1, "birth_order": 99,
        "address_kato": "7", "more": 1,
    }  # fmt: skip
    read = parse_birth(wrong)

    assert [(error.field, error.error) for error in read.errors] == [
        ("birth_id", "empty"), ("mother_iin", "wrong_type"), ("born_at", "time"), ("sex", "not_allowed"),
        ("alive", "wrong_type"), ("birth_order", "out_of_range"), ("address_kato", "form"),
        ("more", "unknown_field"),
    ]  # fmt: skip
    assert (read.error, read.field, read.detail) == ("empty", "birth_id", "must not be empty")
    read = [*read.errors, *parse_birth({}).errors, *parse_event({"id": "1", "event": "X", "data": 7}).errors]
    assert not [error for error in read if "should" in error.detail or "required" in error.detail]


@pytest.mark.parametrize("value", [None, 7, "x", [], [BIRTH]])
def test_what_is_no_object_is_rejected(value):
    """Anything but an object is of the wrong type."""
    assert parse_birth(value).error == "wrong_type"


def test_missing_field_is_named():
    """A birth without its mother says so."""
    rejection = parse_birth({name: value for name, value in BIRTH.items() if name != "mother_iin"})

    assert (rejection.error, rejection.field) == ("missing", "mother_iin")


def test_lone_surrogate_is_rejected():
    """What JSON can escape and UTF-8 cannot hold is no text."""
    assert isinstance(parse_birth(BIRTH | {"birth_id": "\ud800"}), Rejection)


def test_citizen_and_operation_are_read():
    """The two small bodies."""
    citizen = parse_citizen(
        {"iin": "950101200109", "msisdn": "87011234567", "bound_at": "2026-01-01T00:00:00+05:00"}
    )

    assert citizen.msisdn == "77011234567"
    assert parse_operation({"action": "resume"}).action == "resume"
    assert parse_operation({"action": "delete"}).error == "not_allowed"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("accepted", {"number": "A-1"}, {"number": "A-1"}),
        (
            "registered",
            {"place": "ЦОН", "child_iin": "991231500006"},
            {"place": "ЦОН", "child_iin": "991231500006"},
        ),
        ("refused", {"reason": "no"}, {"reason": "no"}),
        (
            "refused",
            {"reason": {"kk": "жоқ", "ru": "нет"}},
            {"reason": "жоқ", "reason.kk": "жоқ", "reason.ru": "нет"},
        ),
        (
            "queued",
            {"number": "1843", "locality": "Алматы", "date": "2026-11-20"},
            {"number": "1843", "locality": "Алматы", "date": "2026-11-20"},
        ),
        ("granted", {"amount": 164350}, {"amount": "164350"}),
        ("inspected", {"verdict": "good", "count": 3}, {"verdict": "good", "count": "3"}),
    ],
)
def test_event_data_become_texts(name, data, expected):
    """Dialogs know texts only; a reason per language is found under its language."""
    event, flat = parse_event({"id": "e1", "event": name, "data": data})

    assert (event.event, flat) == (name, expected)


@pytest.mark.parametrize(
    ("name", "data", "error", "field"),
    [
        ("registered", {"place": "x", "child_iin": "991231500007"}, "check_digit", "data.child_iin"),
        ("registered", {"place": "x"}, "missing", "data.child_iin"),
        ("granted", {"amount": "164350"}, "wrong_type", "data.amount"),
        ("granted", {"amount": 0}, "out_of_range", "data.amount"),
        ("queued", {"number": 1843, "locality": "x", "date": "2026-11-20"}, "wrong_type", "data.number"),
        ("queued", {"number": "1", "locality": "x", "date": "20.11.2026"}, "date", "data.date"),
        ("accepted", {"number": "1", "more": "x"}, "unknown_field", "data.more"),
        ("refused", {"reason": 7}, "wrong_type", "data.reason"),
        ("refused", {"reason": {"ru": ""}}, "empty", "data.reason.ru"),
        ("refused", {"reason": {"Russian": "x"}}, "form", "data.reason.Russian"),
        ("inspected", {"verdict": [1]}, "wrong_type", "data.verdict"),
    ],
)
def test_bad_event_data_are_rejected(name, data, error, field):
    """Wrong data of a body never reach a mother."""
    rejection = parse_event({"id": "e1", "event": name, "data": data})

    assert (rejection.error, rejection.field) == (error, field)
