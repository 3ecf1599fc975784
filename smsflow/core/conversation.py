"""A conversation: where one mother stands in one dialog. One conversation is one case.

Immutable; `core.step` makes the next one. The store keeps it as it is, so every field is a plain value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple

__all__ = ["Asked", "Conversation", "Draft", "Due", "DueKind", "Status", "changed", "made"]


class Status(Enum):
    """Whether anything can still move the case."""

    OPEN = "open"
    CLOSED = "closed"
    SUSPENDED = "suspended"


class DueKind(Enum):
    """What the conversation's timer is for."""

    REMIND = "remind"
    GIVE_UP = "give_up"
    LATE = "late"


class Due(NamedTuple):
    """The conversation's one timer: what for, and when (aware)."""

    kind: DueKind
    at: datetime


class Asked(NamedTuple):
    """A question that was answered: the address under which she answered, and her answer."""

    state: str
    address: str  # joined digits
    value: str  # the code, the digits, or the cleaned text


@dataclass(frozen=True, slots=True)
class Conversation:
    """One mother in one dialog.

    `trail` holds the answered questions on the way to `state`, in order. `printed` holds every address
    ever printed for a question, newest last. `wait` counts the states entered: what was meant for an
    earlier wait is stale. `version` counts the steps that changed it. `facts` come from the birth's record,
    from bodies, and from the dialog that began this one.
    """

    case: int
    dialog: str
    revision: str
    birth_id: str
    msisdn: str
    child: str  # the second digit of every reply
    language: str
    state: str = ""
    status: Status = Status.OPEN
    result: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    trail: tuple[Asked, ...] = ()
    sealed: int = 0  # so many answers of the trail were sent to a body and cannot change any more
    back: Asked | None = None  # the last answer, where it led back and so fell out of the trail
    printed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held: tuple[tuple[str, str, Mapping[str, str]], ...] = ()  # (id, event, data) of a body while suspended
    page: int = 0  # of a long list, 0 first
    wait: int = 0
    misread: int = 0  # replies in a row that were not understood
    reminded: int = 0
    asked_at: datetime | None = None
    due: Due | None = None
    version: int = 0

    def known(self, name: str) -> str:
        """The answer or fact called `name`, "" when there is none."""
        return self.answers.get(name) or self.facts.get(name, "")


class Draft(Conversation):
    """A conversation that can still be written to, by whoever made it and nobody else.

    Both methods, though nothing is deleted: only where neither is Python's does Python write to slots directly,
    which takes a tenth of the time.
    """

    __slots__ = ()
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__

    @staticmethod
    def of(conversation: Conversation) -> Draft:
        """Return a draft that begins as `conversation` stands."""
        return Draft(*_values_of(conversation))

    def freeze(self) -> Conversation:
        """Return the conversation that this was the draft of: itself, written to no more."""
        self.__class__ = Conversation  # type: ignore[assignment]  # the same slots
        return self


_NAMES = tuple(each.name for each in fields(Conversation))
_values_of = attrgetter(*_NAMES)
Draft.__init__ = make_dataclass("_Thawed", _NAMES).__init__  # type: ignore[misc, method-assign]  # a frozen one is slow


def made(*values: Any) -> Conversation:  # noqa: ANN401 - fields of a conversation
    """Return the conversation whose fields have `values`, all of them and in their order.

    For the store, which makes one for each reply; everybody else names the fields.
    """
    return Draft(*values).freeze()


def changed(conversation: Conversation, **changes: Any) -> Conversation:  # noqa: ANN401 - fields of a conversation
    """Return `conversation` with `changes`: `dataclasses.replace` for the fields of which every reply changes many.

    Raises: AttributeError for what is no field.
    """
    draft = Draft.of(conversation)
    for name, value in changes.items():
        setattr(draft, name, value)
    return draft.freeze()
