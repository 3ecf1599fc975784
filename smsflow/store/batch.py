"""What one claim takes of the outbox: which texts may go out now, in their order, as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from smsflow.store.references import References

__all__ = ["SUSPECT", "Batch", "DueText"]

SUSPECT = 3  # cuts at which a text was on its way: from then on it goes alone


class DueText(NamedTuple):
    """A text that may go out now. `reference` tells it from the long text before it to the same phone.

    `taken` are the numbers of the parts, from 0, that the message centre of this link has taken already.
    """

    id: int
    msisdn: str
    text: str
    doubts: int  # how often nobody knew whether it was taken
    attempts: int  # before this one
    reference: int = 0
    refusals: int = 0  # how many of them were refused for now, throttling not counted
    is_question: bool = False
    may_replace: bool = False  # nothing else that its phone has not received yet could be replaced by it
    taken: frozenset[int] = frozenset()


class Batch:
    """What one claim takes: for each phone in the order of its texts, until there is no room."""

    def __init__(self, room: int, busy: set[str] | None, references: References, *, idle: bool) -> None:
        self.due: list[DueText] = []
        self.dropped: list[int] = []
        self.full = False
        self.passed: dict[str, int] = {}  # the text up to which each phone's were looked at
        self._room = room
        self._busy = busy
        self._references = references
        self._idle = idle
        self._blocked: set[str] = set()

    def wants(self, msisdn: str, text: int) -> bool:
        """Whether the next text of a phone is to be looked at, on the way to `text`."""
        if self.full or msisdn in self._blocked or (self._busy is not None and msisdn in self._busy):
            return False
        return self.passed.get(msisdn, 0) < text

    def take(self, row: Sequence[Any], msisdn: str) -> None:
        """Take the next text of a phone, drop it, or see that it must wait, and those after it."""
        text_id, text, doubts, attempts, reference, refusals, status, size, wait, current = row
        if wait is not None and wait != current:
            self.dropped.append(text_id)
        elif status == "held":
            self._blocked.add(msisdn)
        elif self.due and size > self._room:
            self.full = True
        elif doubts >= SUSPECT and (self.due or not self._idle):
            self.full = True  # it goes alone, when those before it are answered
        else:
            if reference is None:  # it keeps the one that it gets now
                reference = self._references.give(msisdn) if size > 1 else 0
            self.due.append(DueText(text_id, msisdn, text, doubts, attempts, reference, refusals, wait is not None))
            self._room -= size
            self.full = self._room <= 0 or doubts >= SUSPECT
            if self._busy is not None:
                self._busy.add(msisdn)
        self.passed[msisdn] = text_id
