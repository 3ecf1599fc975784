"""`step(dialog, conversation, event) -> Step`: the whole of what smsflow does, as a pure function.

It reads no clock and does nothing: it says where the conversation stands afterwards and what follows. The
same arguments give the same result, so a conversation can be rebuilt from its events alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from smsflow.core.conversation import Asked, Conversation, Due, DueKind, Status
from smsflow.core.dialog import MORE, Ask, Dialog, End, Reaction, Rung, Wait
from smsflow.core.effects import Apply, Begin, DropTexts, Effect, Flag, Outcome, Send, Step, Urgency
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
from smsflow.core.machine import ANSWERED, BEGAN, GAVE_UP, LEFT_LIST, body_event, destination
from smsflow.core.questions import address_of, chosen, has_more, options_of, question_of
from smsflow.core.render import find_text, render

__all__ = ["step"]

_SOON = timedelta(minutes=1)  # message centres deliver again within it


def step(dialog: Dialog, conversation: Conversation, event: Event) -> Step:
    """Where `conversation` stands after `event`, what follows, and what the event turned out to be."""
    match event:
        case Answered():
            return _answered(dialog, conversation, event)
        case NotUnderstood():
            return _not_understood(dialog, conversation, event)
        case HelpAsked():
            return _help(dialog, conversation, event.at)
        case Stopped():
            return _stopped(dialog, conversation, event)
        case Began():
            return _Move(dialog, conversation, event.at, event.opens_at, Urgency.BULK).go(BEGAN)
        case TimerFired():
            return _timer(dialog, conversation, event)
        case BodyAnswered():
            return _body_answered(dialog, conversation, event)
        case Suspended():
            return _suspended(conversation, event)
        case Resumed():
            return _resumed(dialog, conversation, event.at)
        case Ended():
            return _ended(conversation, event)
        case _:
            assert_never(event)


class _Move:
    """One move through the machine: gathers what follows on the way. Lives for one step only."""

    def __init__(
        self, dialog: Dialog, conversation: Conversation, at: datetime, opens_at: datetime, urgency: Urgency
    ) -> None:
        self.dialog = dialog
        self.now = conversation
        self.at = at
        self.opens_at = opens_at
        self.urgency = urgency
        self.effects: list[Effect] = []

    def go(self, trigger: str, code: str = "", outcome: Outcome = Outcome.MOVED) -> Step:
        """Follow `trigger` from where the conversation stands, and enter what it leads to."""
        to = destination(self.dialog, self.now, trigger, code)
        if to is None:
            return self.done(Outcome.STALE)
        return self.enter(to, outcome)

    def enter(self, name: str, outcome: Outcome) -> Step:
        """Enter state `name`: ask, apply, or end."""
        self.stand_at(name)
        match self.dialog.states[name]:
            case Ask() as ask:
                if ask.other and not options_of(self.dialog, self.now, ask):
                    return self.go(LEFT_LIST, outcome=outcome)  # no list for her: the way out is the way on
                self.ask(ask)
            case Wait() as wait:
                self.say(wait.say)
                if wait.send:
                    self.effects.append(Apply(wait.send, _content(self.dialog, self.now, wait)))
                    self.now = replace(self.now, sealed=len(self.now.trail))
                due = Due(DueKind.LATE, wait.late.after(self.at)) if wait.late else None
                self.now = replace(self.now, due=due)
            case End() as end:
                self.say(end.say)
                self.begin(end.begin)
                self.now = replace(self.now, status=Status.CLOSED, result=end.result, due=None)
        return self.done(outcome)

    def stand_at(self, name: str) -> None:
        """Stand at state `name`. A question that is asked again takes back what was answered since."""
        states = [asked.state for asked in self.now.trail]
        trail = self.now.trail[: states.index(name)] if name in states else self.now.trail
        self.now = replace(self.now, state=name, trail=trail, page=0, wait=self.now.wait + 1, misread=0, reminded=0)

    def ask(self, ask: Ask) -> None:
        """Send the question and start its clock."""
        address = address_of(self.dialog, self.now, ask)
        before = tuple(known for known in self.now.printed.get(ask.name, ()) if known != address)
        self.now = replace(
            self.now, printed={**self.now.printed, ask.name: (*before, address)}, asked_at=self.opens_at
        )
        self.now = replace(self.now, due=_next_due(ask, self.now))
        self.send(render(self.dialog, self.now, ask.text, self.at), only_in_wait=True)

    def send(self, text: str, *, only_in_wait: bool = False) -> None:
        self.effects.append(Send(text, self.urgency, self.opens_at, only_in_wait))

    def say(self, name: str) -> None:
        """Send the text called `name`; "" is none."""
        if name:
            self.send(render(self.dialog, self.now, find_text(self.dialog, self.now, name), self.at))

    def begin(self, dialogs: tuple[str, ...]) -> None:
        if dialogs:
            facts = _facts(self.dialog, self.now)
            self.effects += (Begin(dialog, facts) for dialog in dialogs)

    def done(self, outcome: Outcome) -> Step:
        return Step(self.now, tuple(self.effects), outcome)


# --- replies ---------------------------------------------------------------------------------------


def _answering(dialog: Dialog, conversation: Conversation, at: datetime) -> _Move:
    return _Move(dialog, conversation, at, at, Urgency.ANSWER)


def _answered(dialog: Dialog, conversation: Conversation, event: Answered) -> Step:
    if conversation.status is not Status.OPEN:
        return Step(conversation, (), Outcome.LATE)
    if event.state != conversation.state:
        return _answered_before(dialog, conversation, event)
    move = _answering(dialog, conversation, event.at)
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
        return _not_understood(dialog, conversation, NotUnderstood(event.at, "wrong_address", event.text))
    if place < conversation.sealed:
        return _sealed(dialog, conversation, event.at)
    move = _answering(dialog, conversation, event.at)
    move.now = replace(conversation, state=event.state, trail=conversation.trail[:place], page=0)
    return _keep(move, _take(move, event, Outcome.AMENDED), conversation.trail[place + 1 :])


def _keep(move: _Move, amended: Step, later: tuple[Asked, ...]) -> Step:
    """Answers given after the amended one stand where their address still stands, or where she typed them.

    So a corrected name costs her nothing else, and a corrected choice asks again just what follows from it.
    """
    if not later or later[0].state != amended.conversation.state:
        return amended
    first, ask = later[0], move.dialog.states[later[0].state]
    assert isinstance(ask, Ask)  # noqa: S101 - only questions are in the trail
    if ask.adds_digits and address_of(move.dialog, amended.conversation, ask) != first.address:
        return amended
    again = _answering(move.dialog, amended.conversation, move.at)
    kept = _take(again, Answered(move.at, first.state, first.value), Outcome.AMENDED)
    return _keep(move, kept, later[1:])


def _take(move: _Move, event: Answered, outcome: Outcome) -> Step:
    """Take the answer to the question at which `move` stands, and go where it leads."""
    ask = move.dialog.states[event.state]
    assert isinstance(ask, Ask)  # noqa: S101 - `find_answer` names questions only
    options = options_of(move.dialog, move.now, ask)
    if ask.options is not None and event.value not in {option.code for option in options}:
        return _turn_page(move, ask, event.value, outcome)
    answered = Asked(ask.name, address_of(move.dialog, move.now, ask), event.value)
    move.now = replace(
        move.now,
        answers={**move.now.answers, ask.save: event.value},
        trail=(*move.now.trail, answered),
    )
    if ask.sets_language:
        language = next(option.id for option in options if option.code == event.value)
        move.now = replace(move.now, language=language, facts={**move.now.facts, "language": language})
    taken = move.go(ANSWERED, event.value, outcome)
    led_back = answered not in taken.conversation.trail
    taken = replace(taken, conversation=replace(taken.conversation, back=answered if led_back else None))
    if not event.also:
        return taken
    # the account that followed in the same reply answers the question just entered, which need not go out
    again = _answering(move.dialog, taken.conversation, move.at)
    return _take(again, Answered(move.at, taken.conversation.state, event.also), outcome)


def _turn_page(move: _Move, ask: Ask, value: str, outcome: Outcome) -> Step:
    """`MORE`: the next page of the list, or the way out of it behind the last page.

    The digit becomes part of the addresses that follow: the same reply again must not turn another page.
    """
    page = len(value)
    if page <= move.now.page:
        return _repeated(move.dialog, move.now, move.at)
    if has_more(ask, options_of(move.dialog, move.now, ask), page - 1):
        move.stand_at(ask.name)
        move.now = replace(move.now, page=page)
        move.ask(ask)
        return move.done(outcome)
    left = Asked(ask.name, address_of(move.dialog, move.now, ask), value)
    move.now = replace(move.now, trail=(*move.now.trail, left))
    return move.go(LEFT_LIST, outcome=outcome)


def _repeated(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    """The same answer again moves nothing.

    Soon after the question it is a second delivery, and she hears nothing. Later she waits for something, or
    has left out what she was asked to write: she gets the question once more, as often as the ladder has rungs.
    """
    move = _answering(dialog, conversation, at)
    ask, asked_at = question_of(dialog, conversation), conversation.asked_at
    if ask and asked_at and at - asked_at > _SOON and conversation.misread < len(dialog.ladder):
        move.now = replace(conversation, misread=conversation.misread + 1)
        move.send(render(dialog, conversation, ask.text, at), only_in_wait=True)
    return move.done(Outcome.REPEATED)


def _sealed(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    """A correction of what was sent already: she is told, as often as the ladder has rungs."""
    move = _answering(dialog, conversation, at)
    if conversation.misread < len(dialog.ladder):
        move.now = replace(conversation, misread=conversation.misread + 1)
        move.say("sealed")
    return move.done(Outcome.LATE)


def _not_understood(dialog: Dialog, conversation: Conversation, event: NotUnderstood) -> Step:
    move = _answering(dialog, conversation, event.at)
    ask = question_of(dialog, conversation)
    if conversation.status is not Status.OPEN or conversation.misread >= len(dialog.ladder):
        return move.done(Outcome.NOT_UNDERSTOOD)
    rung = dialog.ladder[conversation.misread]
    move.now = replace(conversation, misread=conversation.misread + 1)
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


_HINTS = {
    "not_offered": "hint_option",
    "too_many_digits": "hint_option",
    "bad_name": "hint_name",
    "bad_iban": "hint_iban",
    "bad_digits": "hint_digits",
}


def _help(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    move = _answering(dialog, conversation, at)
    ask = question_of(dialog, conversation)
    if conversation.status is Status.OPEN:
        if ask:
            move.send(render(dialog, conversation, ask.text, at), only_in_wait=True)
        else:
            move.say("no_reply_needed")
    return move.done(Outcome.HELP)


def _stopped(dialog: Dialog, conversation: Conversation, event: Stopped) -> Step:
    if conversation.status is Status.CLOSED:
        return Step(conversation, (), Outcome.STOPPED)
    move = _answering(dialog, conversation, event.at)
    move.effects.append(DropTexts())
    if not event.told:
        move.say("stopped")
    move.now = _closed(conversation, "stopped")
    return move.done(Outcome.STOPPED)


# --- everything else -------------------------------------------------------------------------------


def _timer(dialog: Dialog, conversation: Conversation, event: TimerFired) -> Step:
    due = conversation.due
    if due is None or conversation.status is not Status.OPEN or event.wait != conversation.wait:
        return Step(conversation, (), Outcome.STALE)
    if due.at > event.at:
        return Step(conversation, (), Outcome.STALE)
    move = _Move(dialog, conversation, event.at, event.opens_at, Urgency.REMINDER)
    if due.kind is DueKind.LATE:
        move.now = replace(conversation, due=None)
        move.effects.append(Flag("body_is_late"))
        return move.done(Outcome.MOVED)
    if due.kind is DueKind.GIVE_UP:
        move.urgency = Urgency.NOTICE
        return move.go(GAVE_UP)
    ask = question_of(dialog, conversation)
    asked_at = conversation.asked_at
    assert ask is not None  # noqa: S101 - only an open question has reminders
    assert asked_at is not None  # noqa: S101
    passed = sum(remind.after(asked_at) <= event.at for remind in ask.silence.remind)
    move.now = replace(conversation, reminded=passed)
    move.now = replace(move.now, due=_next_due(ask, move.now, reminded_at=event.at))
    words = render(dialog, move.now, find_text(dialog, move.now, "remind"), event.at)
    move.send(words, only_in_wait=True)
    return move.done(Outcome.MOVED)


def _next_due(ask: Ask, conversation: Conversation, reminded_at: datetime | None = None) -> Due:
    """The next reminder, or giving up; she always has the last interval between the last reminder and that.

    Quiet hours, or our own outage, may have held the reminder back.
    """
    asked_at, remind, give_up = conversation.asked_at, ask.silence.remind, ask.silence.give_up
    assert asked_at  # noqa: S101 - the clock of a question starts when it is asked
    if conversation.reminded < len(remind):
        return Due(DueKind.REMIND, remind[conversation.reminded].after(asked_at))
    end = give_up.after(asked_at)
    if reminded_at and remind:
        end = max(end, reminded_at + (give_up.after(asked_at) - remind[-1].after(asked_at)))
    return Due(DueKind.GIVE_UP, end)


def _body_answered(dialog: Dialog, conversation: Conversation, event: BodyAnswered) -> Step:
    state = dialog.states.get(conversation.state)
    reaction = state.on.get(event.name) if isinstance(state, Wait) else None
    if reaction is None or conversation.status is not Status.OPEN:
        return Step(conversation, (), Outcome.STALE)
    move = _Move(dialog, conversation, event.at, event.opens_at, Urgency.NOTICE)
    move.now = replace(conversation, facts={**conversation.facts, **event.data}, misread=0)
    return _react(move, reaction, event.name)


def _react(move: _Move, reaction: Reaction, name: str) -> Step:
    move.say(reaction.say)
    move.begin(reaction.begin)
    if reaction.then is None:
        return move.done(Outcome.MOVED)
    return move.go(body_event(name))


def _suspended(conversation: Conversation, event: Suspended) -> Step:
    if conversation.status is not Status.OPEN:
        return Step(conversation, (), Outcome.STALE)
    paused = replace(conversation, status=Status.SUSPENDED, due=None)
    return Step(paused, (DropTexts(), Flag(event.reason)), Outcome.MOVED)


def _resumed(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    if conversation.status is not Status.SUSPENDED:
        return Step(conversation, (), Outcome.STALE)
    move = _answering(dialog, replace(conversation, status=Status.OPEN), at)
    ask = question_of(dialog, move.now)
    if ask:
        move.stand_at(ask.name)
        move.ask(ask)
    return move.done(Outcome.MOVED)


def _ended(conversation: Conversation, event: Ended) -> Step:
    if conversation.status is Status.CLOSED:
        return Step(conversation, (), Outcome.STALE)
    return Step(_closed(conversation, event.result), (DropTexts(),), Outcome.MOVED)


def _closed(conversation: Conversation, result: str) -> Conversation:
    return replace(
        conversation, status=Status.CLOSED, result=result, due=None, wait=conversation.wait + 1, misread=0
    )


def _content(dialog: Dialog, conversation: Conversation, wait: Wait) -> dict[str, str]:
    """What the application carries: the answers named, each choice also in words, and facts of the birth."""
    content: dict[str, str] = {}
    for name in wait.content:
        content[name] = conversation.known(name)
        option = chosen(dialog, conversation, name)
        if option:
            content[f"{name}_text"] = option.label[dialog.languages[0]]
            if option.id:
                content[f"{name}_id"] = option.id
    return content


def _facts(dialog: Dialog, conversation: Conversation) -> dict[str, str]:
    """What a dialog that begins now may know: all that is known here."""
    facts = {**conversation.facts, **conversation.answers}
    for name in conversation.answers:
        option = chosen(dialog, conversation, name)
        if option:
            facts[f"{name}_text"] = option.label[dialog.languages[0]]
    return facts
