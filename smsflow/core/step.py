"""`step(dialog, conversation, event) -> Step`: the whole of what smsflow does, as a pure function.

It reads no clock and does nothing: it says where the conversation stands afterwards and what follows. The
same arguments give the same result, so a conversation can be rebuilt from its events alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from smsflow.core.answers import not_understood, take_answer
from smsflow.core.conversation import Conversation, Due, DueKind, Status
from smsflow.core.dialog import Ask, Dialog, Reaction, Wait
from smsflow.core.effects import DropTexts, Flag, Outcome, Step, Urgency
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
from smsflow.core.machine import BEGAN, GAVE_UP, body_event
from smsflow.core.move import Move, answering, next_due
from smsflow.core.questions import question_of
from smsflow.core.render import find_text, render

__all__ = ["step"]


def step(dialog: Dialog, conversation: Conversation, event: Event) -> Step:
    """Where `conversation` stands after `event`, what follows, and what the event turned out to be.

    The very same conversation when nothing has changed; another has the next `version`.
    """
    match event:
        case Answered():
            done = take_answer(dialog, conversation, event)
        case NotUnderstood():
            done = not_understood(dialog, conversation, event)
        case HelpAsked():
            done = _help(dialog, conversation, event.at)
        case Stopped():
            done = _stopped(dialog, conversation, event)
        case Began():
            done = Move(dialog, conversation, event.at, event.opens_at, Urgency.BULK).go(BEGAN)
        case TimerFired():
            done = _timer(dialog, conversation, event)
        case BodyAnswered():
            done = _body_answered(dialog, conversation, event)
        case Suspended():
            done = _suspended(conversation, event)
        case Resumed():
            done = _resumed(dialog, conversation, event)
        case Ended():
            done = _ended(conversation, event)
        case _:
            assert_never(event)
    after = done.conversation
    if after is not conversation:  # it was made just now, and nobody else has it yet
        object.__setattr__(after, "version", conversation.version + 1)
    return done


# --- replies ---------------------------------------------------------------------------------------


def _help(dialog: Dialog, conversation: Conversation, at: datetime) -> Step:
    move = answering(dialog, conversation, at)
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
    move = answering(dialog, conversation, event.at)
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
    move = Move(dialog, conversation, event.at, event.opens_at, Urgency.REMINDER)
    if due.kind is DueKind.LATE:
        move.draft.due = None
        move.effects.append(Flag("body_is_late"))
        return move.done(Outcome.MOVED)
    if due.kind is DueKind.GIVE_UP:
        move.urgency = Urgency.NOTICE
        return move.go(GAVE_UP)
    ask = question_of(dialog, conversation)
    asked_at = conversation.asked_at
    assert ask is not None  # noqa: S101 - only an open question has reminders
    assert asked_at is not None  # noqa: S101 - as above
    passed = sum(remind.after(asked_at) <= event.at for remind in ask.silence.remind)
    due = next_due(ask, asked_at, reminded=passed, reminded_at=event.at)
    draft = move.draft
    draft.reminded, draft.due = passed, due
    words = render(dialog, move.now, find_text(dialog, move.now, "remind"), event.at)
    move.send(words, only_in_wait=True)
    return move.done(Outcome.MOVED)


def _body_answered(dialog: Dialog, conversation: Conversation, event: BodyAnswered) -> Step:
    state = dialog.states.get(conversation.state)
    reaction = state.on.get(event.name) if isinstance(state, Wait) else None
    if reaction is None or conversation.status is Status.CLOSED:
        return Step(conversation, (), Outcome.STALE)
    if conversation.status is Status.SUSPENDED:  # nothing may go out now, and nothing may be lost
        said = (event.id, event.name, event.data)
        return Step(replace(conversation, held=(*conversation.held, said)), (), Outcome.HELD)
    move = Move(dialog, conversation, event.at, event.opens_at, Urgency.NOTICE)
    draft = move.draft
    draft.facts, draft.misread = {**draft.facts, **event.data}, 0
    return _react(move, reaction, event.name)


def _react(move: Move, reaction: Reaction, name: str) -> Step:
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


def _resumed(dialog: Dialog, conversation: Conversation, event: Resumed) -> Step:
    """Go on: the open question is asked again, a wait for a body goes on, and what it said meanwhile counts."""
    if conversation.status is not Status.SUSPENDED:
        return Step(conversation, (), Outcome.STALE)
    msisdn = event.msisdn or conversation.msisdn
    resumed = replace(conversation, status=Status.OPEN, msisdn=msisdn, held=())
    move = answering(dialog, resumed, event.at)
    state = dialog.states[conversation.state]
    if isinstance(state, Ask):
        move.ask(state)
    elif isinstance(state, Wait) and state.late:
        move.draft.due = Due(DueKind.LATE, state.late.after(event.at))
    done = move.done(Outcome.MOVED)
    for event_id, name, data in conversation.held:
        said = _body_answered(
            dialog, done.conversation, BodyAnswered(event.at, event.opens_at, event_id, name, data)
        )
        done = done._replace(conversation=said.conversation, effects=(*done.effects, *said.effects))
    return done


def _ended(conversation: Conversation, event: Ended) -> Step:
    if conversation.status is Status.CLOSED:
        return Step(conversation, (), Outcome.STALE)
    return Step(_closed(conversation, event.result), (DropTexts(),), Outcome.MOVED)


def _closed(conversation: Conversation, result: str) -> Conversation:
    return replace(
        conversation, status=Status.CLOSED, result=result, due=None, wait=conversation.wait + 1, misread=0
    )
