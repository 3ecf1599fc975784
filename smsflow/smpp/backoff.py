"""How long to wait before the next attempt to connect and bind. Pure: randomness is given.

>>> waits = Backoff(lambda: 0.5)
>>> [waits.next_s(None) for _ in range(3)], waits.next_s(Status.RINVPASWD)
([1.0, 2.0, 4.0], 60.0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from smsflow.smpp.statuses import Status

__all__ = ["NEEDS_A_PERSON", "ORDINARY", "Backoff", "Pauses"]


@dataclass(frozen=True, slots=True)
class Pauses:
    """The first pause, twice as long each time, up to the longest; a quarter more or less."""

    first_s: float
    longest_s: float


NEEDS_A_PERSON: Final = frozenset({Status.RINVPASWD, Status.RINVSYSID, Status.RBINDFAIL})
"""Bind errors that will not pass by themselves; some centres lock an account that tries on."""

ORDINARY: Final = Pauses(1.0, 60.0)
_LOCKOUT: Final = Pauses(60.0, 900.0)
_GHOST: Final = Pauses(5.0, 30.0)
"""For ESME_RALYBND: our own former bind is still held, for some two minutes at most centres."""

_PAUSES: Final[Mapping[int, Pauses]] = {**dict.fromkeys(NEEDS_A_PERSON, _LOCKOUT), Status.RALYBND: _GHOST}


class Backoff:
    """The pauses of one session; `random` gives numbers from 0 to 1."""

    def __init__(
        self,
        random: Callable[[], float],
        *,
        ordinary: Pauses = ORDINARY,
        refused: Mapping[int, Pauses] = _PAUSES,
    ) -> None:
        """Begin with the first pause; `refused` holds the pauses after statuses of a refused bind."""
        self._random = random
        self._ordinary = ordinary
        self._refused = refused
        self._pauses = ordinary
        self._pause_s = ordinary.first_s

    def next_s(self, status: int | None) -> float:
        """Return how long to wait now; `status` is that of a refused bind, None after anything else."""
        pauses = self._ordinary if status is None else self._refused.get(status, self._ordinary)
        if pauses is not self._pauses:
            self._pauses, self._pause_s = pauses, pauses.first_s
        pause_s = self._pause_s * (0.75 + self._random() / 2)
        self._pause_s = min(pauses.longest_s, self._pause_s * 2)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again: the session was of use."""
        self._pauses, self._pause_s = self._ordinary, self._ordinary.first_s
