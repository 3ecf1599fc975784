"""The engine: load, step, commit. It carries events to conversations and writes down what follows.

Every method is called inside a transaction of the store and touches nothing but the store, so state, effects
and journal are one: all on the disk, or none. Only then does anybody acknowledge or send.

The daemon may die at any of these points of what does not come by SMS:

    point            on the disk                  the body believes   after the restart
    event_received   nothing                      not taken           sent again, counts for the first time
    event_committed  the event by its id, a step  not taken           sent again, same outcome, no second step
    timer_due        the timer                                        it fires, late
    timer_fired      the step, the next timer                         nothing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Begin, Outcome, Step
from smsflow.core.errors import SmsflowError
from smsflow.core.events import (
    Began,
    BodyAnswered,
    Ended,
    Event,
    Resumed,
    TimerFired,
)
from smsflow.core.hours import QuietHours
from smsflow.core.step import step
from smsflow.library import Library
from smsflow.store.store import Store

__all__ = ["Engine", "Refused"]

_SET_ASIDE = timedelta(hours=1)
_CHILDREN = "123456789"


class Refused(SmsflowError):
    """The engine does not take it; `reason` is a name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Engine:
    """Moves conversations. `quiet` is None when nothing is ever quiet."""

    def __init__(
        self,
        store: Store,
        library: Library,
        quiet: QuietHours | None,
        *,
        on_step: Callable[[Conversation, Event, Step], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._library = library
        self._quiet = quiet
        self._on_step = on_step

    # --- the one place where anything moves ---------------------------------------------------------

    def move(self, conversation: Conversation, event: Event) -> Step:
        """Step `conversation` and write down what follows; dialogs that begin have begun."""
        done = step(self.dialog_of(conversation), conversation, event)
        self._store.conversations.record(conversation, event, done)
        self._follow(conversation, event, done)
        return done

    def _follow(self, conversation: Conversation, event: Event, done: Step) -> None:
        self._on_step(conversation, event, done)
        for effect in done.effects:
            if isinstance(effect, Begin):
                self._begin_next(done.conversation, effect, event.at)

    def open(
        self, dialog: Dialog, birth_id: str, msisdn: str, facts: Mapping[str, str], at: datetime, *, child: str = ""
    ) -> Conversation:
        """A new conversation, which is not written before it begins; `child` is kept where no open case has it.

        Raises: Refused `too_many_open_cases` when her replies could no longer be told apart.
        """
        taken = {
            other.child
            for other in (self._store.conversations.load_phone(msisdn) if msisdn else ())
            if other.status is not Status.CLOSED and self.dialog_of(other).service == dialog.service
        }
        free = [digit for digit in (child + _CHILDREN) if digit not in taken]
        if not free:
            raise Refused("too_many_open_cases")
        language = facts.get("language", "")
        self._store.keep_dialog(dialog, at)
        return Conversation(
            case=self._store.conversations.next_case(),
            dialog=dialog.name,
            revision=dialog.revision,
            birth_id=birth_id,
            msisdn=msisdn,
            child=free[0],
            language=language if language in dialog.languages else dialog.languages[0],
            facts=facts,
        )

    def begin(self, conversation: Conversation, at: datetime, *, result: str = "") -> None:
        """Write a new conversation that says its first words, now or when the quiet hours end.

        With `result` it is closed before it says any.
        """
        event = Ended(at, result) if result else Began(at, self.opens_at(at))
        done = step(self.dialog_of(conversation), conversation, event)
        self._store.conversations.add(conversation, event, done)
        self._follow(conversation, event, done)

    def _begin_next(self, parent: Conversation, effect: Begin, at: datetime) -> None:
        dialog = self._library.current(effect.dialog)
        if dialog is None:  # the folder has changed since the parent began
            self._store.flags.add(parent.case, f"no_dialog_{effect.dialog}", at)
            return
        child = self.open(dialog, parent.birth_id, parent.msisdn, effect.facts, at, child=parent.child)
        self.begin(child, at)

    def dialog_of(self, conversation: Conversation) -> Dialog:
        """The revision that a conversation is pinned to."""
        return self._library.pinned(conversation.revision)

    @property
    def birth_dialog(self) -> Dialog | None:
        """The dialog that a birth begins; None when none says so."""
        return self._library.at_birth

    @property
    def any_dialog(self) -> Dialog:
        """A dialog whose words serve for somebody without a case."""
        return self._library.any_dialog

    def opens_at(self, at: datetime) -> datetime:
        """The first moment from `at` on at which a text that nobody has asked for may go out."""
        return self._quiet.opens_at(at) if self._quiet else at

    # --- bodies, timers, operators ------------------------------------------------------------------

    def take_body_event(
        self, case: int, event_id: str, name: str, data: Mapping[str, str], at: datetime
    ) -> Outcome:
        """Take what a body says of a case; the second time (by the body's own id) nothing happens.

        Raises: Refused `unknown_case`, or `unknown_event` when no state of the dialog ever waits for it.
        """
        conversation = self._store.conversations.load_case(case)
        if conversation is None:
            raise Refused("unknown_case")
        before = self._store.bodies.find_event(case, event_id)
        if before is not None:
            return Outcome(before)
        if name not in self.dialog_of(conversation).events:
            raise Refused("unknown_event")
        event = BodyAnswered(at, self.opens_at(at), event_id, name, data)
        outcome = self.move(conversation, event).outcome
        self._store.bodies.add_event(case, event_id, name, outcome.value, at)
        return outcome

    def find_due(self, now: datetime, most: int) -> tuple[int, ...]:
        """Cases whose timer is due, the longest overdue first. In quiet hours timers rest."""
        return () if self.opens_at(now) > now else self._store.conversations.load_due(now, most)

    def fire_timer(self, case: int, now: datetime) -> None:
        """Fire the timer of a case, if it is due."""
        conversation = self._store.conversations.load_case(case)
        if conversation is not None and conversation.due is not None and conversation.due.at <= now:
            self.move(conversation, TimerFired(now, now, conversation.wait))

    def set_aside(self, case: int, now: datetime) -> None:
        """The timer of a case cannot be carried out, which is our bug: a person looks, and it is tried later."""
        self._store.conversations.put_off(case, now + _SET_ASIDE)
        self._store.flags.add(case, "timer_failed", now)

    def operate(self, case: int, action: str, at: datetime) -> Outcome:
        """What a person does about a case: `resume` a suspended one, `end` one, `clear` its flags, or `resend`
        its texts that are in doubt.

        Raises: Refused `unknown_case` or `unknown_action`.
        """
        conversation = self._store.conversations.load_case(case)
        if conversation is None:
            raise Refused("unknown_case")
        if action == "clear":
            self._store.flags.clear(case, at)
            return Outcome.MOVED
        if action == "resend":
            return Outcome.MOVED if self._store.outbox.resend(case, at) else Outcome.STALE
        if action == "end":
            return self.move(conversation, Ended(at, "ended")).outcome
        if action != "resume":
            raise Refused("unknown_action")
        msisdn = self._store.people.find_msisdn(conversation.facts.get("mother_iin", "")) or ""
        return self.move(conversation, Resumed(at, self.opens_at(at), msisdn)).outcome
