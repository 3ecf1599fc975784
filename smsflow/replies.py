"""A text that came in: whose answer it is, and what the phone hears when it is nobody's.

Called inside a transaction of the store, like the engine that it moves conversations with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Ask, Dialog
from smsflow.core.effects import Outcome, Send, Urgency
from smsflow.core.events import Answered, Event, HelpAsked, NotUnderstood, Stopped
from smsflow.core.questions import Found, Missed, find_answer, question_of
from smsflow.core.render import find_text, render
from smsflow.core.reply import Keyword, Reading, read
from smsflow.engine import Engine
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Sent
from smsflow.store.store import Store

__all__ = ["REDELIVERY", "Handled", "Replies"]

PARTS_MISSING = "parts_missing"
REDELIVERY = timedelta(minutes=10)  # within it, the same text in another session is the same reply
BARE = "bare"  # the coercion by which an answer may come without its address
_Held = Sequence[tuple[Dialog, Conversation]]  # the conversations of one phone, oldest first


class Handled(NamedTuple):
    """What became of a text that came in: facts for the log and the metrics, nothing personal."""

    outcome: str
    reason: str = ""
    case: int | None = None
    dialog: str = ""
    revision: str = ""
    from_state: str = ""
    to_state: str = ""
    effects: int = 0
    coercions: tuple[str, ...] = ()


class Replies:
    """Takes texts that came in."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def take_reply(self, inbound: Inbound) -> Handled:
        """Take a text that came in: store it, find whose answer it is, move that conversation."""
        if inbound.msisdn:
            self._store.people.note_link(inbound.msisdn, inbound.link)
        if self._store.inbound.is_delivered_again(inbound, _redelivered_since(inbound.at)):
            handled = self._handle_again(inbound)
        else:
            handled = self._handle(inbound)
            if inbound.parts_missing:
                self._store.flags.add(handled.case, PARTS_MISSING, inbound.at)
        self._store.inbound.add(
            inbound,
            case=handled.case,
            outcome=handled.outcome,
            reason=handled.reason,
            coercions=handled.coercions,
        )
        return handled

    def keep_repeated(self, inbound: Inbound) -> Handled:
        """A text was delivered again before its first delivery was answered: it is written down, no more."""
        handled = Handled(Outcome.REPEATED.value, "delivered_again")
        self._store.inbound.add(inbound, case=None, outcome=handled.outcome, reason=handled.reason)
        return handled

    def keep_raw(self, inbound: Inbound) -> None:
        """A text cannot be handled, which is our bug: it is kept as it came, and a person looks."""
        self._store.inbound.add(inbound, case=None, outcome=Outcome.NOT_UNDERSTOOD.value, reason="failed")
        self._store.flags.add(None, "reply_failed", inbound.at)

    def _handle_again(self, inbound: Inbound) -> Handled:
        """A text that was delivered before moves nothing.

        Unless it is an answer to a question that has gone out since, because the answer has no address, or the
        question was asked once more: it may be that delivery, or an answer to this question. Nobody can tell, so
        she is asked for it; and what she then writes with its address in the same session is her answer.
        """
        held = self._held(inbound.msisdn)
        found = find_answer(read(inbound.text), held)
        if not isinstance(found, Found):
            return Handled(Outcome.REPEATED.value, "delivered_again")
        conversation = held[found.index][1]
        is_bare = BARE in found.coercions
        if not is_bare and self._store.inbound.is_written_again(inbound, _redelivered_since(inbound.at)):
            return self._handle(inbound)
        asked = question_of(*held[found.index])
        if asked is not None and (is_bare or found.state == conversation.state):
            sent = self._store.outbox.find_sent(conversation.case, conversation.wait)
            if sent is Sent.ALL:
                return self._ask_in_full(inbound, conversation, "delivered_again")
        return Handled(Outcome.REPEATED.value, "delivered_again")

    def _held(self, msisdn: str) -> _Held:
        return [
            (self._engine.dialog_of(conversation), conversation)
            for conversation in self._store.conversations.load_phone(msisdn)
        ]

    def _ask_in_full(self, inbound: Inbound, conversation: Conversation, reason: str) -> Handled:
        """An answer without its address may be for this question or not: she is told the whole form."""
        return self._reply(conversation, NotUnderstood(inbound.at, reason, inbound.text), reason=reason)

    def _handle(self, inbound: Inbound) -> Handled:
        if not inbound.msisdn:
            return Handled(Outcome.NOT_UNDERSTOOD.value, "not_a_phone")
        held = self._held(inbound.msisdn)
        reading = read(inbound.text)
        if reading.keyword is Keyword.STOP:
            return self._stop(inbound, held)
        if not _going(held):
            return self._no_open_case(inbound, reading, held)
        if reading.keyword is Keyword.HELP:
            return self._help(inbound, held)
        found = find_answer(reading, held)
        if isinstance(found, Found) and inbound.parts_missing and not _is_choice(held, found):
            found = Missed(found.index, PARTS_MISSING)  # a name may be cut short: she is asked again
        if isinstance(found, Found):
            return self._answer(inbound, held, found)
        event = NotUnderstood(inbound.at, found.reason, inbound.text)
        if found.index is None:
            return Handled(Outcome.NOT_UNDERSTOOD.value, found.reason)
        return self._reply(held[found.index][1], event, reason=found.reason)

    def _answer(self, inbound: Inbound, held: _Held, found: Found) -> Handled:
        conversation = held[found.index][1]
        if BARE in found.coercions:
            sent = self._store.outbox.find_sent(conversation.case, conversation.wait)
            if sent is Sent.NONE:
                # she cannot have read the question yet: it is the answer to the one before, delivered again
                return Handled(Outcome.REPEATED.value, "question_not_sent", conversation.case, conversation.dialog)
            if sent is Sent.PERHAPS:
                return self._ask_in_full(inbound, conversation, "question_on_its_way")
        event = Answered(inbound.at, found.state, found.value, found.also, inbound.text, found.coercions)
        if conversation.status is Status.CLOSED:
            self._explain_once(inbound, [held[found.index]])
        return self._reply(conversation, event, coercions=found.coercions)

    def _reply(
        self, conversation: Conversation, event: Event, *, reason: str = "", coercions: tuple[str, ...] = ()
    ) -> Handled:
        done = self._engine.move(conversation, event)
        return Handled(
            done.outcome._value_,
            reason,
            conversation.case,
            conversation.dialog,
            conversation.revision,
            conversation.state,
            done.conversation.state,
            len(done.effects),
            coercions,
        )

    def _stop(self, inbound: Inbound, held: _Held) -> Handled:
        """Every conversation of the phone ends, and stays ended; one text confirms it."""
        handled = Handled(Outcome.STOPPED.value)
        going = _going(held)
        stopped = self._store.people.is_stopped(inbound.msisdn)
        if going or not stopped:  # a second STOP must not drop the answer to the first
            self._store.outbox.drop_phone(inbound.msisdn, inbound.at)
        for conversation in going:
            told = handled.case is not None
            moved = self._reply(conversation, Stopped(inbound.at, told, inbound.text))
            handled = handled if told else moved
        if not going and not stopped:
            self._explain(inbound, held, "stopped")
        owner = self._store.people.find_iin(inbound.msisdn)
        mothers = {conversation.facts.get("mother_iin") for conversation in going} | {owner}
        self._store.people.mark_stopped(inbound.msisdn, frozenset(filter(None, mothers)), inbound.at)
        return handled

    def _help(self, inbound: Inbound, held: _Held) -> Handled:
        """Every open question again; where none is open, one word of comfort."""
        going = [pair for pair in held if pair[1].status is Status.OPEN]
        asking = [pair for pair in going if question_of(*pair)] or going[:1]
        handled = Handled(Outcome.HELP.value)
        for _, conversation in asking:
            handled = self._reply(conversation, HelpAsked(inbound.at, inbound.text))
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
        """Somebody without a case: the first dialog's words, in its first language."""
        dialog = self._engine.any_dialog
        return dialog, Conversation(0, dialog.name, dialog.revision, "", msisdn, "", dialog.languages[0])


@lru_cache(maxsize=16)  # the replies of one read share a moment
def _redelivered_since(at: datetime) -> datetime:
    return at - REDELIVERY


def _going(held: _Held) -> list[Conversation]:
    """Those that are open or suspended."""
    return [conversation for _, conversation in held if conversation.status is not Status.CLOSED]


def _is_choice(held: _Held, found: Found) -> bool:
    """Whether the question that was answered has options, so that what came is the whole answer."""
    state = held[found.index][0].states.get(found.state)
    return isinstance(state, Ask) and state.options is not None
