"""Everything that can follow from an event. Effects are values; the store commits them as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import NamedTuple

from smsflow.core.conversation import Conversation

__all__ = ["Apply", "Begin", "DropTexts", "Effect", "Flag", "Outcome", "Send", "Step", "Urgency"]


class Outcome(Enum):
    """What an event turned out to be; logged and stored by name."""

    ANSWERED = "answered"
    AMENDED = "amended"
    REPEATED = "repeated"
    LATE = "late"
    NOT_UNDERSTOOD = "not_understood"
    STOPPED = "stopped"
    HELP = "help"
    HELD = "held"  # an event of a body while the case is suspended; it counts when the case is resumed
    MOVED = "moved"  # anything but a reply that was carried out
    STALE = "stale"  # anything but a reply that came too late to matter


class Urgency(IntEnum):
    """The lane in which a text waits for the link; the lowest goes first."""

    ANSWER = 0  # to a reply that has just come in: also in quiet hours
    NOTICE = 1
    REMINDER = 2
    BULK = 3


class Send(NamedTuple):
    """A text to the mother, not before `not_before`; with `only_in_wait`, only while that wait lasts."""

    text: str
    urgency: Urgency
    not_before: datetime
    only_in_wait: bool = False


@dataclass(frozen=True, slots=True)
class DropTexts:
    """Whatever is queued for this conversation must not go out: texts, and applications when the case is closed."""


@dataclass(frozen=True, slots=True)
class Apply:
    """An application of `kind` to a body."""

    kind: str
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Begin:
    """Another dialog begins for the same mother and child, knowing `facts`."""

    dialog: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Flag:
    """A person must look at this case; `reason` is a name."""

    reason: str


Effect = Send | DropTexts | Apply | Begin | Flag


class Step(NamedTuple):
    """What `core.step` returns: the conversation after the event, what follows, and what the event was."""

    conversation: Conversation
    effects: tuple[Effect, ...]
    outcome: Outcome
