"""What a reply does: it leads on, corrects an earlier one, turns a page, comes again or too late, or is none."""

from __future__ import annotations

from datetime import datetime, timedelta

from smsflow.core.conversation import Asked, Conversation, Status, changed
from smsflow.core.dialog import MORE, Ask, Dialog, Rung
from smsflow.core.effects import Flag, Outcome, Step
from smsflow.core.events import Answered, NotUnderstood
from smsflow.core.machine import ANSWERED, LEFT_LIST
from smsflow.core.move import Move, answering
from smsflow.core.questions import address_of, has_more, option_of, options_of, question_of
from smsflow.core.render import render

__all__ = ["not_understood", "take_answer"]

_HINTS = {
    "not_offered": "hint_option",
    "too_many_digits": "hint_option",
    "bad_name": "hint_name",
    "bad_iban": "hint_iban",
    "bad_digits": "hint_digits",
}
"""The hint for each reason that has one of its own; `hint_form` for the others."""

_SOON = timedelta(minutes=1)  # message centres deliver again within it


def take_answer(dialog: Dialog, conversation: Conversation, event: Answered) -> Step:
    """Take an answer to the open question, or to one that was answered before."""
    if conversation.status is not Status.OPEN:
        return Step(conversation, (), Outcome.LATE)
    if event.state != conversation.state:
        return _answered_before(dialog, conversation, event)
    move = answering(dialog, conversation, event.at)
    return _take(move, event, Outcome.ANSWERED)


def _answered_before(dialog: Dialog, conversation: Conversation, event: Answered) -> Step:
    """An answer to an earlier question: the same again, a correction, or too late for one."""
    states = [asked.state for asked in conversation.trail]
    place = states.index(event.state) if event.state in states else -1
    earlier = conversation.trail[place] if place >= 0 else conversation.back
    assert earlier is not None  # noqa: S101 - `find_answer` names no other questions
    turned_before = event.value == MORE * len(event.value) and earlier.value.startswith(event.value)
    if (earlier.value == event.value or turned_before) and not event.also:
        return _repeated(dialog, conversation, event.at)
    if place < 0:
        return not_understood(dialog, conversation, NotUnderstood(event.at, "wrong_address", event.text))
    if place < conversation.sealed:
        return _sealed(dialog, conversation, event.at)
    move = answering(dialog, conversation, event.at)
    draft = move.draft
    draft.state, draft.trail, draft.page = event.state, conversation.trail[:place], 0
    return _keep(move, _take(move, event, Outcome.AMENDED), conversation.trail[place + 1 :])


def _keep(move: Move, amended: Step, later: tuple[Asked, ...]) -> Step:
    """Answers given after the amended one stand where their address still stands, or where she typed them.

    So a corrected name costs her nothing else, and a corrected choice asks again just what follows from it.
    """
    if not later or later[0].state != amended.conversation.state:
        return amended
    first, ask = later[0], move.dialog.states[later[0].state]
    assert isinstance(ask, Ask)  # noqa: S101 - only questions are in the trail
    if ask.adds_digits and address_of(move.dialog, amended.conversation, ask) != first.address:
        return amended
    again = answering(move.dialog, amended.conversation, move.at)
    kept = _take(again, Answered(move.at, first.state, first.value), Outcome.AMENDED)
    return _keep(move, kept, later[1:])


def _take(move: Move, event: Answered, outcome: Outcome) -> Step:
    """Take the answer to the question at which `move` stands, and go where it leads."""
    ask = move.dialog.states[event.state]
    assert isinstance(ask, Ask)  # noqa: S101 - `find_answer` names questions only
    option = option_of(move.dialog, move.now, ask, event.value)
    if ask.options is not None and option is None:
        return _turn_page(move, ask, event.value, outcome)
    answered = Asked(ask.name, address_of(move.dialog, move.now, ask), event.value)
    draft = move.draft
    draft.answers = {**draft.answers, ask.save: event.value}
    draft.trail += (answered,)
    draft.back = None
    if ask.sets_language and option is not None:
        draft.language, draft.facts = option.id, {**draft.facts, "language": option.id}
    taken = move.go(ANSWERED, event.value, outcome)
    if answered not in taken.conversation.trail:  # it led back
        taken = taken._replace(conversation=changed(taken.conversation, back=answered))
    if not event.also:
        return taken
    # the account that followed in the same reply answers the question just entered, which need not go out
    again = answering(move.dialog, taken.conversation, move.at)
    return _take(again, Answered(move.at, taken.conversation.state, event.also), outcome)


def _turn_page(move: Move, ask: Ask, value: str, outcome: Outcome) -> Step:
    """`MORE`: the next page of the list, or the way out of it behind the last page.

    The digit becomes part of the addresses that follow: the same reply again must not turn another page.
    """
    page = len(value)
    if page <= move.now.page:
        return _repeated(move.dialog, move.now, move.at)
    if has_more(ask, options_of(move.dialog, move.now, ask), page - 1):
        move.ask(ask, page=page)
        return move.done(outcome)
    left = Asked(ask.name, address_of(move.dialog, move.now, ask), value)
    move.draft.trail += (left,)
    return move.go(LEFT_LIST, outcome=outcome)


def _repeated(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    """The same answer again moves nothing.

    Soon after the question it is a second delivery, and she hears nothing. Later she waits for something, or
    has left out what she was asked to write: she gets the question once more, as often as the ladder has rungs.
    """
    move = answering(dialog, conversation, at)
    ask, asked_at = question_of(dialog, conversation), conversation.asked_at
    if ask and asked_at and at - asked_at > _SOON and conversation.misread < len(dialog.ladder):
        move.draft.misread += 1
        move.send(render(dialog, conversation, ask.text, at), only_in_wait=True)
    return move.done(Outcome.REPEATED)


def _sealed(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    """A correction of what was sent already: she is told, as often as the ladder has rungs."""
    move = answering(dialog, conversation, at)
    if conversation.misread < len(dialog.ladder):
        move.draft.misread += 1
        move.say("sealed")
    return move.done(Outcome.LATE)


def not_understood(dialog: Dialog, conversation: Conversation, event: NotUnderstood) -> Step:
    """A reply that answers nothing: one rung of the dialog's ladder, and silence after the last."""
    move = answering(dialog, conversation, event.at)
    ask = question_of(dialog, conversation)
    if conversation.status is not Status.OPEN or conversation.misread >= len(dialog.ladder):
        return move.done(Outcome.NOT_UNDERSTOOD)
    rung = dialog.ladder[conversation.misread]
    move.draft.misread += 1
    if rung is Rung.DESK:
        move.say("desk")
        move.effects.append(Flag("not_understood"))
    elif ask is None:
        move.say("no_reply_needed")
    elif rung is Rung.HINT:
        move.say(_HINTS.get(event.reason, "hint_form"))
    else:
        move.send(render(dialog, conversation, ask.text, event.at), only_in_wait=True)
    return move.done(Outcome.NOT_UNDERSTOOD)
