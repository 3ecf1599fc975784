"""Who plays in the demo: six mothers, or those of a CSV file. Every number and account belongs to nobody.

IINs are those of people born in 1895 or 2099, with right check digits (domain.md §3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smsflow.core.identity import IdentityError, parse_iin, parse_msisdn
from smsflow.demo.mothers import Habit, Persona
from smsflow.importing import UnreadableFile, read_rows

__all__ = ["Cast", "child_iin", "read_births", "six_mothers"]

Json = dict[str, Any]

_LANGUAGES = ("kk", "ru", "en")
_ACCOUNTS = ("KZ86125KZT5004100100", "KZ14722C000000000002")
_NAMES = ("Ахметов Нұрлан Ерболұлы", "Ким Анна", "Сейітқызы Айару", "Иванов Тимур Олегович", "Оспан Әлия")


@dataclass(frozen=True, slots=True)
class Cast:
    """The mothers, the births that are handed in, and (for the base of mobile citizens) whose number is whose.

    Births of a file have the file's name and the line of each.
    """

    personas: tuple[Persona, ...]
    births: tuple[Json, ...]
    citizens: tuple[Json, ...] = field(default=())
    file: Path | None = None
    lines: tuple[int, ...] = ()

    @property
    def languages(self) -> dict[str, str]:
        """birth_id → the language in which the mother reads."""
        of_phone = {persona.msisdn: _LANGUAGES[persona.language] for persona in self.personas}
        of_citizen = {citizen["iin"]: of_phone.get(citizen["msisdn"], "") for citizen in self.citizens}
        found = (
            (birth, of_phone.get(_msisdn(birth)) or of_citizen.get(birth["mother_iin"])) for birth in self.births
        )
        return {birth["birth_id"]: language for birth, language in found if language}


def six_mothers(born_at: str) -> Cast:
    """The six mothers of the demo, whose children were born at `born_at` (ISO 8601 with offset)."""
    births: list[Json] = []
    citizens: list[Json] = []
    for number, (persona, orders, account, kato) in enumerate(_SIX, start=1):
        iin = _mother_iin(number)
        citizens.append({"iin": iin, "msisdn": persona.msisdn, "bound_at": "2024-03-01T09:00:00+05:00"})
        for order in orders:
            birth = {
                "birth_id": f"ward-7-{len(births) + 1:03}",
                "mother_iin": iin,
                "born_at": born_at,
                "sex": "female" if len(births) % 2 else "male",
                "alive": True,
                "birth_order": order,
                "address_kato": kato,
            }
            births.append(birth | ({"account": account} if account else {}))
    return Cast(tuple(persona for persona, *_ in _SIX), tuple(births), tuple(citizens))


def _slow_speller() -> dict[int, Habit]:
    """What she writes, question by question. Much of it is understood, some earns a hint."""
    return {
        1: Habit(lambda right: right.replace("R", "р")),  # Cyrillic, lower case
        2: Habit(lambda right: right.replace("R 1 1 2", "R112")),
        3: Habit(lambda right: right.replace(" ", "."), wrong=lambda right: f"{right[:-1]}8"),  # not offered
        4: Habit(str.lower, dawdles=True),
        5: Habit(lambda right: f"«{right}»", wrong=lambda _: "А можно в нашем ЦОНе?"),
        6: Habit(lambda right: f" {right}.", wrong=lambda right: f"{right} 3"),  # one digit too many
        7: Habit(lambda right: right.replace("0", "О")),  # the letter
        8: Habit(lambda right: right.replace(" ", "-")),
        9: Habit(lambda right: right.replace("R ", "R\u00a0").replace(" ", "  ")),
        10: Habit(lambda right: f"{right} спасибо"),
        11: Habit(lambda right: right.replace("R", "Я")),
    }


_Birth = tuple[int, ...]  # the birth orders of her children
_SIX: tuple[tuple[Persona, _Birth, str, str], ...] = (
    (Persona("Айгүл", "77010000001", 0, ("Ахметов Нұрлан Ерболұлы",), (0, 3, 1)), (1,), _ACCOUNTS[0], "751110000"),
    (Persona("Ольга", "77050000002", 1, ("Иванов Тимур Олегович",), (2, 0, 1)), (2,), _ACCOUNTS[0], "711110000"),
    (Persona("Anna", "77070000003", 2, ("Ким Анна",), (0, 1)), (1,), _ACCOUNTS[0], "191010000"),
    (
        Persona("Раушан", "77770000004", 1, ("Оспанова Айару",), (3, 0, 1), habits=_slow_speller()),
        (3,), _ACCOUNTS[0], "351010000",
    ),
    (
        Persona("Дана", "77470000005", 0, ("Серікұлы Әлихан", "Серікқызы Әмина"), (1, 2)),
        (2, 3), _ACCOUNTS[0], "791110000",
    ),
    (
        Persona("Гүлнар", "77080000006", 0, ("Тұран Жібек",), (5, 4, 0), _ACCOUNTS[1], other_account=True),
        (4,), _ACCOUNTS[0], "471010000",
    ),
)  # fmt: skip


def child_iin(number: int) -> str:
    """The `number`th IIN of a newborn who will never be."""
    return _with_check_digit(f"9912315{number % 10_000:04}", f"9912316{number % 10_000:04}")


def _mother_iin(number: int) -> str:
    return _with_check_digit(f"9501012{10 + number:04}", f"9501022{10 + number:04}")


def _with_check_digit(*stems: str) -> str:
    """The first of the stems for which an IIN is ever issued, completed; two in a row are never without one."""
    for stem in stems:
        for digit in "0123456789":
            try:
                return parse_iin(stem + digit)
            except IdentityError:
                continue
    raise AssertionError(stems)


# --- a file of births -------------------------------------------------------------------------------------


def read_births(path: Path) -> Cast:
    """The births of a file, and for each number in it a mother who answers sensibly, language by turn.

    Raises: UnreadableFile with every line that cannot be a birth; the rest is the API's to judge.
    """
    rows = read_rows(path, "births")
    births = [row.value for row in rows if isinstance(row.value, dict)]
    if not births:
        raise UnreadableFile(f"{path}:1: holds no birth")
    problems = [f"{path}:{row.line}: {problem}" for row in rows for problem in _wrong_in(row.value)]
    if problems:
        raise UnreadableFile(*problems)
    return Cast(tuple(_personas(births)), tuple(births), file=path, lines=tuple(row.line for row in rows))


def _wrong_in(birth: object) -> Iterator[str]:
    """What keeps a row from being played at all."""
    if not isinstance(birth, dict):
        yield "expected an object"
        return
    for name, form, words in _NEEDED:
        if not isinstance(birth.get(name), form):
            yield f"{name}: expected {words}, got {birth.get(name, '')!r}"


_NEEDED = (
    ("birth_id", str, "a text"),
    ("mother_iin", str, "twelve digits"),
    ("alive", bool, "true or false"),
    ("birth_order", int, "a number"),
)


def _msisdn(birth: Json) -> str:
    """Her number as a message centre writes it, "" for none, or one that the API will reject."""
    try:
        return parse_msisdn(str(birth.get("msisdn") or ""))
    except IdentityError:
        return ""


def _personas(births: Sequence[Json]) -> Iterator[Persona]:
    """One mother for each number, in the order of the file."""
    children: dict[str, int] = {}
    for birth in births:
        if msisdn := _msisdn(birth):
            children[msisdn] = children.get(msisdn, 0) + 1
    for index, (msisdn, count) in enumerate(children.items()):
        names = tuple(_NAMES[(index + child) % len(_NAMES)] for child in range(count))
        yield Persona(msisdn, msisdn, index % 3, names, (index % 3, index % 2), _ACCOUNTS[1])
