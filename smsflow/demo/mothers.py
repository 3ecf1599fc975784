"""The mothers of the demo: they read a text as people do, and answer it. Pure: no I/O, no clock.

A mother knows nothing of dialogs. She sees `R 1 1 2` in a text, digits with words behind them, and the word
IBAN; she remembers what she was asked last, so a hint or a reminder makes her answer that again.

>>> anna = Mother(Persona("Anna", "77010000003", language=1, children=("Ким Анна",)))
>>> anna.hear("Где нужен детсад? 1 Алматы 2 Талгар. Пример: R 2 1 0 1")
'R 2 1 0 1'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Habit", "Mother", "Persona", "address_in"]

_ADDRESS = re.compile(r"\bR((?: \d)+)")
_EXAMPLE = re.compile(r"(?:Мысалы|Пример|Example): R")
_CODE = re.compile(r"(?<!\S)(\d(?: \d)*) (?=[^\d\s])")
_TURN_THE_PAGE = "9"
_NO_PRIVILEGE = "0"


@dataclass(frozen=True, slots=True)
class Habit:
    """How she deals with one question: what she sends first in vain, and how she spells the right reply.

    With `dawdles` she does not answer before she is reminded.
    """

    spell: Callable[[str], str] = str
    wrong: Callable[[str], str] | None = None
    dawdles: bool = False


@dataclass(frozen=True, slots=True)
class Persona:
    """Who she is: `language` 0 Kazakh, 1 Russian, 2 English; `children` named in the order of their digit.

    `taste` counts how far down a list she chooses, question by question; `account` is an IBAN of her own,
    given where one is asked for, and with `other_account` also where another one could be confirmed.
    """

    name: str
    msisdn: str
    language: int
    children: tuple[str, ...]
    taste: tuple[int, ...] = (0,)
    account: str = ""
    other_account: bool = False
    habits: Mapping[int, Habit] = field(default_factory=dict)  # by the number of the question, 1 first


@dataclass(frozen=True, slots=True)
class _Question:
    """What she was asked last about one service of one child: the reply shown as an example, and hers."""

    example: str
    reply: str
    habit: Habit


class Mother:
    """One mother through all her conversations."""

    def __init__(self, persona: Persona) -> None:
        self.persona = persona
        self._last: dict[str, _Question] = {}
        self._asked = 0

    def hear(self, text: str) -> str | None:
        """What she answers to `text`; None when there is nothing to answer, or not yet."""
        shown: list[str] = [found.replace(" ", "") for found in _ADDRESS.findall(text)]
        if not shown:
            return None
        about = shown[0][:2]
        last = self._last.get(about)
        has_example = bool(_EXAMPLE.search(text))
        if has_example and last and shown[0] == last.example:
            return last.habit.spell(last.reply)
        self._asked += 1
        habit = self.persona.habits.get(self._asked, Habit())
        question = _Question(shown[0], self._answer(text, shown, has_example=has_example), habit)
        self._last[about] = question
        if habit.wrong:
            return habit.wrong(question.reply)
        return None if habit.dawdles else habit.spell(question.reply)

    def _answer(self, text: str, shown: list[str], *, has_example: bool) -> str:
        """The right reply, as one should write it."""
        wants_account = "IBAN" in text
        if len(set(shown)) > 1:  # one of the printed replies
            if wants_account and self.persona.other_account:
                return f"{_spaced(shown[1])} {self.persona.account}"
            return _spaced(shown[0 if wants_account or len(shown) == 2 else self.persona.language])
        if has_example:
            return _spaced(self._choose(text, shown[0]))
        child = int(shown[0][1]) - 1
        names = self.persona.children
        return f"{_spaced(shown[0])} {self.persona.account if wants_account else names[child % len(names)]}"

    def _choose(self, text: str, example: str) -> str:
        """The example, with her own choice in place of the one that it shows."""
        codes: list[str] = [code.replace(" ", "") for code in _CODE.findall(text[: text.index(" R")])]
        offered = [code for code in codes if code != _TURN_THE_PAGE] or codes
        if not offered:
            return example
        address = example.removesuffix(codes[0])
        if _NO_PRIVILEGE in offered:
            code = _NO_PRIVILEGE
        elif len(offered) == 2:  # right or wrong: it is right
            code = offered[0]
        else:
            code = offered[self.persona.taste[self._asked % len(self.persona.taste)] % len(offered)]
        return f"{address}{code}"


def address_in(text: str) -> str | None:
    """The joined digits of the first `R …` in a text or a reply as it should be written; None without one."""
    found = _ADDRESS.search(text)
    return found[1].replace(" ", "") if found else None


def _spaced(digits: str) -> str:
    return " ".join(("R", *digits))
