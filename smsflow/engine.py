"""The engine: load, step, commit. It carries events to conversations and writes down what follows.

Every method is called inside a transaction of the store and touches nothing but the store, so state, effects
and journal are one: all on the disk, or none. Only then does anybody acknowledge or send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Dialog
from smsflow.core.effects import Begin, Outcome, Send, Step, Urgency
from smsflow.core.errors import SmsflowError
from smsflow.core.events import (
    Answered,
    Began,
    BodyAnswered,
    Ended,
    Event,
    HelpAsked,
    NotUnderstood,
    Resumed,
    Stopped,
    Suspended,
    TimerFired,
)
from smsflow.core.hours import QuietHours
from smsflow.core.questions import Found, find_answer, question_of
from smsflow.core.render import find_text, render
from smsflow.core.reply import Keyword, Reading, read
from smsflow.core.step import step
from smsflow.library import Library
from smsflow.store.arrivals import Inbound
from smsflow.store.people import Birth
from smsflow.store.store import Store

__all__ = ["REDELIVERY", "Engine", "Handled", "Refused"]

REDELIVERY = timedelta(minutes=10)  # within it, the same text in another session is the same reply
SET_ASIDE = timedelta(hours=1)
_CHILDREN = "123456789"
_Held = Sequence[tuple[Dialog, Conversation]]  # the conversations of one phone, oldest first


class Refused(SmsflowError):
    """The engine does not take it; `reason` is a name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a text that came in: facts for the log and the metrics, nothing personal."""

    outcome: str
    reason: str = ""
    case: int | None = None
    dialog: str = ""
    from_state: str = ""
    to_state: str = ""
    effects: int = 0
    coercions: tuple[str, ...] = ()


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

    # --- replies ------------------------------------------------------------------------------------

    def take_reply(self, inbound: Inbound) -> Handled:
        """Take a text that came in: store it, find whose answer it is, move that conversation."""
        if self._store.arrivals.find_earlier_delivery(inbound, inbound.at - REDELIVERY):
            handled = Handled(Outcome.REPEATED.value, "delivered_again")
        else:
            handled = self._handle(inbound)
        self._store.arrivals.add_inbound(
            inbound,
            case=handled.case,
            outcome=handled.outcome,
            reason=handled.reason,
            coercions=handled.coercions,
        )
        return handled

    def _handle(self, inbound: Inbound) -> Handled:
        if not inbound.msisdn:
            return Handled(Outcome.NOT_UNDERSTOOD.value, "not_a_phone")
        held = [
            (self._library.pinned(conversation.revision), conversation)
            for conversation in self._store.load_phone(inbound.msisdn)
        ]
        reading = read(inbound.text)
        if reading.keyword is Keyword.STOP:
            return self._stop(inbound, held)
        if not any(conversation.status is not Status.CLOSED for _, conversation in held):
            return self._no_open_case(inbound, reading, held)
        if reading.keyword is Keyword.HELP:
            return self._help(inbound, held)
        found = find_answer(reading, held)
        if isinstance(found, Found):
            event: Event = Answered(inbound.at, found.state, found.value, found.also, inbound.text, found.coercions)
            return self._reply(*held[found.index], event, coercions=found.coercions)
        event = NotUnderstood(inbound.at, found.reason, inbound.text)
        if found.index is None:
            return Handled(Outcome.NOT_UNDERSTOOD.value, found.reason)
        return self._reply(*held[found.index], event, reason=found.reason)

    def _answer(self, inbound: Inbound, held: _Held, found: Found) -> Handled:
        dialog, conversation = held[found.index]
        event = Answered(inbound.at, found.state, found.value, found.also, inbound.text, found.coercions)
        if conversation.status is Status.CLOSED:
            self._explain_once(inbound, [(dialog, conversation)])
        return self._reply(dialog, conversation, event, coercions=found.coercions)

    def _reply(
        self,
        dialog: Dialog,
        conversation: Conversation,
        event: Event,
        *,
        reason: str = "",
        coercions: tuple[str, ...] = (),
    ) -> Handled:
        done = self._step(dialog, conversation, event)
        return Handled(
            outcome=done.outcome.value,
            reason=reason,
            case=conversation.case,
            dialog=conversation.dialog,
            from_state=conversation.state,
            to_state=done.conversation.state,
            effects=len(done.effects),
            coercions=coercions,
        )

    def _stop(self, inbound: Inbound, held: _Held) -> Handled:
        """Every conversation of the phone ends, and stays ended; one text confirms it."""
        handled = Handled(Outcome.STOPPED.value)
        going = [pair for pair in held if pair[1].status is not Status.CLOSED]
        for dialog, conversation in going:
            told = handled.case is not None
            moved = self._reply(dialog, conversation, Stopped(inbound.at, told, inbound.text))
            handled = handled if told else moved
        if not going and not self._store.people.is_stopped(inbound.msisdn):
            self._explain(inbound, held, "stopped")
        self._store.people.mark_stopped(inbound.msisdn, inbound.at)
        return handled

    def _help(self, inbound: Inbound, held: _Held) -> Handled:
        """Every open question again; where none is open, one word of comfort."""
        going = [pair for pair in held if pair[1].status is Status.OPEN]
        asking = [pair for pair in going if question_of(*pair)] or going[:1]
        handled = Handled(Outcome.HELP.value)
        for dialog, conversation in asking:
            handled = self._reply(dialog, conversation, HelpAsked(inbound.at, inbound.text))
        return handled

    def _no_open_case(self, inbound: Inbound, reading: Reading, held: _Held) -> Handled:
        """A text where nothing is open: late, or to nothing."""
        found = find_answer(reading, held)
        if isinstance(found, Found):
            return self._answer(inbound, held, found)
        self._explain_once(inbound, held)
        return Handled(Outcome.NOT_UNDERSTOOD.value, "no_case" if not held else "no_open_case")

    def _explain_once(self, inbound: Inbound, held: _Held) -> None:
        """At most one explanation a day, and none to those who have said STOP."""
        if self._store.people.may_explain(inbound.msisdn, inbound.at):
            self._explain(inbound, held, "closed" if held else "unknown")

    def _explain(self, inbound: Inbound, held: _Held, text: str) -> None:
        dialog, conversation = held[-1] if held else self._stranger(inbound.msisdn)
        words = render(dialog, conversation, find_text(dialog, conversation, text), inbound.at)
        send = Send(words, Urgency.ANSWER, inbound.at)
        self._store.outbox.add(conversation.case or None, inbound.msisdn, send, None, inbound.at)

    def _stranger(self, msisdn: str) -> tuple[Dialog, Conversation]:
        dialog = self._library.at_birth
        return dialog, Conversation(0, dialog.name, dialog.revision, "", msisdn, _CHILDREN[0], dialog.languages[0])

    # --- births and citizens ------------------------------------------------------------------------

    def record_birth(self, birth: Birth, at: datetime) -> int:
        """Record a birth and begin its conversation; the case. The second time, the case of the first.

        Raises: Refused `differs` when this birth was recorded with other facts; a child that does not live
        after all is the one correction that is taken, and ends everything. Refused `too_many_open_cases`
        when the mother's replies could no longer be told apart.
        """
        known = self._store.people.find_birth(birth.birth_id)
        if known:
            return self._recorded_before(birth, *known, at)
        msisdn = birth.msisdn or self._store.people.find_msisdn(birth.mother_iin)
        dialog = self._library.at_birth
        result = self._why_not(birth, msisdn)
        conversation = self._new_conversation(dialog, birth.birth_id, msisdn or "", _birth_facts(birth))
        case = self._store.add_conversation(conversation, dialog, at)
        self._store.people.add_birth(birth, case, at)
        conversation = replace(conversation, case=case)
        if result:
            self._step(dialog, conversation, Ended(at, result))
            if result == "no_phone":
                self._store.add_flag(case, result, at)
        else:
            self._step(dialog, conversation, Began(at, self.opens_at(at)))
        return case

    def _recorded_before(self, birth: Birth, before: Birth, case: int, at: datetime) -> int:
        if before == birth:
            return case
        if not before.alive or replace(before, alive=False) != birth:
            raise Refused("differs")
        self._store.people.mark_not_alive(birth.birth_id)
        for conversation in self._store.load_birth(birth.birth_id):
            self._step(self._library.pinned(conversation.revision), conversation, Ended(at, "stillbirth"))
        return case

    def _why_not(self, birth: Birth, msisdn: str | None) -> str:
        """The result with which a case is closed before anything is sent, "" when it may begin."""
        if not birth.alive:
            return "stillbirth"
        if msisdn is None or self._store.people.find_iin(msisdn) not in (None, birth.mother_iin):
            return "no_phone"  # none is known, or it is somebody else's
        return "stopped" if self._store.people.is_stopped(msisdn) else ""

    def _new_conversation(
        self, dialog: Dialog, birth_id: str, msisdn: str, facts: Mapping[str, str], child: str = ""
    ) -> Conversation:
        """A conversation that has not begun; `child` is kept where no open case of that service has it."""
        taken = set()
        for other in self._store.load_phone(msisdn) if msisdn else ():
            if other.status is not Status.CLOSED and self._library.pinned(other.revision).service == dialog.service:
                taken.add(other.child)
        free = [digit for digit in (child + _CHILDREN) if digit not in taken]
        if not free:
            raise Refused("too_many_open_cases")
        language = facts.get("language", "")
        return Conversation(
            case=0,
            dialog=dialog.name,
            revision=dialog.revision,
            birth_id=birth_id,
            msisdn=msisdn,
            child=free[0],
            language=language if language in dialog.languages else dialog.languages[0],
            facts=facts,
        )

    def bind_citizen(self, iin: str, msisdn: str, bound_at: datetime, at: datetime) -> None:
        """Tie a number to a citizen. What was going on with the number's, or her, old binding waits for a person.

        A binding that is older than the one that is known changes nothing.
        """
        since = self._store.people.binding_time(iin)
        if since and since > bound_at:
            return
        owner, former = self._store.people.find_iin(msisdn), self._store.people.find_msisdn(iin)
        self._store.people.bind_citizen(iin, msisdn, bound_at)
        if owner not in (None, iin):
            self._suspend(msisdn, at, keep_iin=iin)
        if former not in (None, msisdn):
            self._suspend(former or "", at, keep_iin="")
        if owner is None:
            self._suspend(msisdn, at, keep_iin=iin)

    def _suspend(self, msisdn: str, at: datetime, *, keep_iin: str) -> None:
        for conversation in self._store.load_phone(msisdn):
            if conversation.status is Status.OPEN and conversation.facts.get("mother_iin") != keep_iin:
                dialog = self._library.pinned(conversation.revision)
                self._step(dialog, conversation, Suspended(at, "number_changed_hands"))

    # --- bodies, timers, operators ------------------------------------------------------------------

    def take_body_event(
        self, case: int, event_id: str, name: str, data: Mapping[str, str], at: datetime
    ) -> Outcome:
        """Take what a body says of a case; the second time (by the body's own id) nothing happens.

        Raises: Refused `unknown_case`, or `unknown_event` when no state of the dialog ever waits for it.
        """
        conversation = self._store.load_case(case)
        if conversation is None:
            raise Refused("unknown_case")
        before = self._store.find_body_event(case, event_id)
        if before is not None:
            return Outcome(before)
        dialog = self._library.pinned(conversation.revision)
        if name not in dialog.events:
            raise Refused("unknown_event")
        event = BodyAnswered(at, self.opens_at(at), event_id, name, data)
        outcome = self._step(dialog, conversation, event).outcome
        self._store.add_body_event(case, event_id, name, outcome.value, at)
        return outcome

    def find_due(self, now: datetime, most: int) -> tuple[int, ...]:
        """Cases whose timer is due, the longest overdue first. In quiet hours timers rest."""
        return () if self.opens_at(now) > now else self._store.load_due(now, most)

    def fire_timer(self, case: int, now: datetime) -> None:
        """Fire the timer of a case, if it is due."""
        conversation = self._store.load_case(case)
        if conversation is not None:
            event = TimerFired(now, now, conversation.wait)
            self._step(self._library.pinned(conversation.revision), conversation, event)

    def set_aside(self, case: int, now: datetime) -> None:
        """The timer of a case cannot be carried out, which is our bug: a person looks, and it is tried later."""
        self._store.put_off(case, now + SET_ASIDE)
        self._store.add_flag(case, "timer_failed", now)

    def keep_raw(self, inbound: Inbound) -> None:
        """A text cannot be handled, which is our bug: it is kept as it came, and a person looks."""
        self._store.arrivals.add_inbound(inbound, case=None, outcome=Outcome.NOT_UNDERSTOOD.value, reason="failed")
        self._store.add_flag(None, "reply_failed", inbound.at)

    def operate(self, case: int, action: str, at: datetime) -> Outcome:
        """What a person does about a case: `resume` a suspended one, `end` one.

        Raises: Refused `unknown_case` or `unknown_action`.
        """
        events: dict[str, Event] = {"resume": Resumed(at), "end": Ended(at, "ended")}
        conversation = self._store.load_case(case)
        if conversation is None:
            raise Refused("unknown_case")
        if action not in events:
            raise Refused("unknown_action")
        return self._step(self._library.pinned(conversation.revision), conversation, events[action]).outcome

    def opens_at(self, at: datetime) -> datetime:
        """The first moment from `at` on at which a text that nobody has asked for may go out."""
        return self._quiet.opens_at(at) if self._quiet else at

    # --- the one place where anything moves ---------------------------------------------------------

    def _step(self, dialog: Dialog, conversation: Conversation, event: Event) -> Step:
        done = step(dialog, conversation, event)
        self._store.record(conversation, event, done)
        self._on_step(conversation, event, done)
        for effect in done.effects:
            if isinstance(effect, Begin):
                self._begin(done.conversation, effect, event.at)
        return done

    def _begin(self, parent: Conversation, effect: Begin, at: datetime) -> None:
        dialog = self._library.current(effect.dialog)
        if dialog is None:  # the folder has changed since the parent began
            self._store.add_flag(parent.case, f"no_dialog_{effect.dialog}", at)
            return
        conversation = self._new_conversation(dialog, parent.birth_id, parent.msisdn, effect.facts, parent.child)
        case = self._store.add_conversation(conversation, dialog, at)
        self._step(dialog, replace(conversation, case=case), Began(at, self.opens_at(at)))


def _birth_facts(birth: Birth) -> dict[str, str]:
    facts = {
        "birth_id": birth.birth_id,
        "mother_iin": birth.mother_iin,
        "born_at": birth.born_at,
        "sex": birth.sex,
        "birth_order": str(birth.birth_order),
        "account": birth.account,
        "address_kato": birth.address_kato,
    }
    return {name: value for name, value in facts.items() if value}
