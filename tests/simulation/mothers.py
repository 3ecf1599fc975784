"""The mothers: they answer what they were asked by the text that reached them, as well as people do.

What is right they know by reading the text (`smsflow.demo.mothers`); here are their moods.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from smsflow.demo.mothers import Mother, Persona

if TYPE_CHECKING:
    from .world import World

_NAMES = ("Ахметов Нұрлан Ерболұлы", "Ким Анна", "Сейітқызы Айару", "Иванов Тимур Олегович", "Оспан Әлия")
_ACCOUNTS = ("KZ86125KZT5004100100", "KZ14722C000000000002")
_SECOND_LETTERS = "абвгдежзиклмнопрст"
_HOUR_S = 3600.0
_SLOWNESS_S = (5.0, 20.0, 60.0, 300.0)
_LATENESS_S = (2 * _HOUR_S, 26 * _HOUR_S, 50 * _HOUR_S, 80 * _HOUR_S)


class Resident:
    """One mother: her phone, her child's name (like nobody else's), and what she does with a text."""

    def __init__(self, world: World, number: int, seed: str) -> None:
        self._world = world
        self._random = Random(f"{seed}.mother.{number}")
        self.number = number
        self.phone = f"7701000{number:04}"
        self.iin = f"95010120{number:04}"
        unlike = _SECOND_LETTERS[number % 18] * 2
        self.name = f"{_NAMES[number % 5]}{unlike}"
        self.account = _ACCOUNTS[number % 2]
        taste = tuple(self._random.randrange(9) for _ in range(3))
        self._mother = Mother(
            Persona("m", self.phone, number % 3, (self.name,), taste, self.account, self._random.random() < 0.3)
        )
        self._moods = self._random.choice((0.0, 0.3, 1.0))
        self._stops = self._random.random() < 0.15
        self._last = ""
        self.heard: list[str] = []
        self.stopped = False
        self.silent = False

    def hear(self, text: str) -> None:
        """A text has come to her phone."""
        self.heard.append(text)
        if self.silent or self.stopped:
            return
        reply = self._mother.hear(text)
        if reply is None or len(self.heard) > 60:
            return
        before, self._last = self._last, reply
        delay_s = self._random.choice(_SLOWNESS_S)
        if self._random.random() < self._moods:
            self._do_oddly(reply, before, delay_s)
        else:
            self._write(reply, delay_s)

    def _do_oddly(self, reply: str, before: str, delay_s: float) -> None:
        mood = self._random.random()
        if mood < 0.08:
            return  # she does not answer before she is reminded
        if mood < 0.18:
            self._write(reply, self._random.choice(_LATENESS_S))
        elif mood < 0.32:  # twice
            self._write(reply, delay_s)
            self._write(reply, delay_s + self._random.choice((0.001, 3.0, 90.0, 2000.0)))
        elif mood < 0.40:  # something else first
            self._write(self._random.choice(("Рахмет!", "R 9 9 9", "кто это", "R", reply + " 9 9 9")), delay_s)
            self._write(reply, delay_s + 30.0)
        elif mood < 0.48:
            self._write(self._random.choice(("R ?", "HELP", "ПОМОЩЬ")), delay_s)
            self._write(reply, delay_s + self._random.choice((0.002, 0.4, 30.0)))
        elif mood < 0.56 and before:  # she corrects, or repeats, what she said before
            self._write(before if mood < 0.52 else before[:-1] + "2", delay_s)
            self._write(reply, delay_s + 20.0)
        elif mood < 0.66:  # without the address
            self._write(reply.rsplit(maxsplit=1)[-1], delay_s)
            self._write(reply, delay_s + 40.0)
        elif mood < 0.72 and self._stops:
            self.stopped = True
            self._write(self._random.choice(("STOP", "СТОП", "ТОҚТАТУ")), delay_s)
            if self._random.random() < 0.5:
                self._write(reply, delay_s + 10.0)
        else:
            self._write(self._random.choice((reply.lower(), reply.replace(" ", "", 2), f" {reply}")), delay_s)

    def _write(self, text: str, delay_s: float) -> None:
        self._world.at(self._world.now_s + delay_s, lambda: self._world.centre.write(self.phone, text))
