"""Everything that can happen to a conversation. Each event carries its own time: the core has no clock.

`at` is aware, in the zone of the people (deadlines are printed in it). `opens_at` is the first moment at
which a text that nobody has just asked for may go out: `at` itself, or the end of the quiet hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = [
    "Answered",
    "Began",
    "BodyAnswered",
    "Ended",
    "Event",
    "HelpAsked",
    "NotUnderstood",
    "Resumed",
    "Stopped",
    "Suspended",
    "TimerFired",
]


@dataclass(frozen=True, slots=True)
class Began:
    """A birth was recorded, or another dialog began this one."""

    at: datetime
    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply that answers question `state`; `also` is the account that followed in the same reply."""

    at: datetime
    state: str
    value: str
    also: str = ""
    text: str = ""
    coercions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A reply that answers nothing; `reason` is a name from `core.reply` or `ambiguous`."""

    at: datetime
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class HelpAsked:
    """She wants the current question again."""

    at: datetime
    text: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """She has ended the service; `told` when another of her conversations confirms it."""

    at: datetime
    told: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer of wait `wait` is due."""

    at: datetime
    opens_at: datetime
    wait: int


@dataclass(frozen=True, slots=True)
class BodyAnswered:
    """A state body says what became of an application; `id` is the body's own, `data` by event name."""

    at: datetime
    opens_at: datetime
    id: str
    name: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suspended:
    """Nothing may go out or come in until a person has looked: `reason`."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person has looked; the conversation goes on, with `msisdn` where that is her number now."""

    at: datetime
    opens_at: datetime
    msisdn: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Something outside the dialog ends the case: no phone, a child that does not live, an operator."""

    at: datetime
    result: str


Event = (
    Began | Answered | NotUnderstood | HelpAsked | Stopped | TimerFired | BodyAnswered | Suspended | Resumed | Ended
)
