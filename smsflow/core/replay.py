"""A conversation rebuilt from its events alone: what the journal is for, and how it is known to be enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smsflow.core.conversation import Conversation
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Step
from smsflow.core.events import Event
from smsflow.core.step import step

__all__ = ["replay"]


def replay(dialog: Dialog, opening: Conversation, events: Iterable[Event]) -> Iterator[Step]:
    """What each of `events` did to `opening`, in order; the last step holds the conversation as it stands."""
    now = opening
    for event in events:
        done = step(dialog, now, event)
        now = done.conversation
        yield done
