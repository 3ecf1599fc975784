"""One move of a conversation through its machine, and what follows on the way: texts, timers, applications."""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from smsflow.core.conversation import Asked, Conversation, Draft, Due, DueKind, Status, changed
from smsflow.core.dialog import Ask, Dialog, End, Wait
from smsflow.core.effects import Apply, Begin, Effect, Outcome, Send, Step, Urgency
from smsflow.core.machine import LEFT_LIST, destination
from smsflow.core.questions import address_of, chosen, options_of
from smsflow.core.render import find_text, render, render_question

__all__ = ["Move", "answering", "next_due"]


class Move:
    """One move through the machine: gathers what follows on the way. Lives for one step only.

    `now` is the conversation as it came, and from the first change on a draft of the next one: a conversation has
    many fields, and is copied once.
    """

    __slots__ = ("at", "dialog", "effects", "now", "opens_at", "urgency")

    def __init__(
        self, dialog: Dialog, conversation: Conversation, at: datetime, opens_at: datetime, urgency: Urgency
    ) -> None:
        self.dialog = dialog
        self.now = conversation
        self.at = at
        self.opens_at = opens_at
        self.urgency = urgency
        self.effects: list[Effect] = []

    @property
    def draft(self) -> Any:  # noqa: ANN401 - a Draft, whose fields mypy takes for frozen
        """The conversation as it will be, to write to."""
        if not isinstance(self.now, Draft):
            self.now = Draft.of(self.now)
        return self.now

    def go(self, trigger: str, code: str = "", outcome: Outcome = Outcome.MOVED) -> Step:
        """Follow `trigger` from where the conversation stands, and enter what it leads to."""
        to = destination(self.dialog, self.now, trigger, code)
        if to is None:
            return self.done(Outcome.STALE)
        return self.enter(to, outcome)

    def enter(self, name: str, outcome: Outcome) -> Step:
        """Enter state `name`: ask, apply, or end."""
        match self.dialog.states[name]:
            case Ask() as ask:
                if ask.other and not self._has_options(ask):
                    self._stand_at(name)
                    return self.go(LEFT_LIST, outcome=outcome)  # no list for her: the way out is the way on
                self.ask(ask)
            case Wait() as wait:
                draft = self._stand_at(name)
                self.say(wait.say)
                if wait.send:
                    self.effects.append(Apply(wait.send, _content(self.dialog, draft, wait)))
                    draft.sealed = len(draft.trail)
                draft.due = Due(DueKind.LATE, wait.late.after(self.at)) if wait.late else None
            case End() as end:
                draft = self._stand_at(name)
                self.say(end.say)
                self.begin(end.begin)
                draft.status, draft.result, draft.due = Status.CLOSED, end.result, None
        return self.done(outcome)

    def ask(self, ask: Ask, *, page: int = 0) -> None:
        """Stand at the question, send it, and start its clock; `page` of a long list, 0 first."""
        draft = self._stand_at(ask.name, page=page)
        address = address_of(self.dialog, draft, ask)
        before = draft.printed.get(ask.name)
        again = () if before is None else [known for known in before if known != address]
        draft.printed = {**draft.printed, ask.name: (*again, address)}
        draft.asked_at, draft.due = (
            self.opens_at,
            _first_due(self.dialog, ask.name, self.opens_at, self.opens_at.tzinfo),
        )
        self.send(render_question(self.dialog, draft, ask, address, self.at), only_in_wait=True)

    def _stand_at(self, name: str, *, page: int = 0) -> Any:  # noqa: ANN401 - as `draft`
        """Stand at state `name`; return the draft."""
        draft = self.draft
        draft.state, draft.page, draft.trail = name, page, self._trail_to(name)
        if draft.sealed > len(draft.trail):
            draft.sealed = len(draft.trail)
        draft.wait += 1
        draft.misread = draft.reminded = 0
        return draft

    def _trail_to(self, name: str) -> tuple[Asked, ...]:
        """What was answered on the way to `name`. A question that is asked again takes back what came since."""
        trail = self.now.trail
        if name not in self.now.printed:  # so it was never answered
            return trail
        for place, (state, _, _) in enumerate(trail):
            if state == name:
                return trail[:place]
        return trail

    def _has_options(self, ask: Ask) -> bool:
        """Whether the list of `ask` holds anything for her when she comes to it."""
        trail = self._trail_to(ask.name)
        there = self.now if trail is self.now.trail else changed(self.now, trail=trail)
        return bool(options_of(self.dialog, there, ask))

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
        """The step that this move was; what it does after that is another one's."""
        if isinstance(self.now, Draft):
            self.now = self.now.freeze()
        return Step(self.now, tuple(self.effects), outcome)


def answering(dialog: Dialog, conversation: Conversation, at: datetime) -> Move:
    """A move that answers a reply: what it sends goes out at once, also in quiet hours."""
    return Move(dialog, conversation, at, at, Urgency.ANSWER)


def next_due(ask: Ask, asked_at: datetime, *, reminded: int, reminded_at: datetime | None = None) -> Due:
    """The next reminder, or giving up; she always has the last interval between the last reminder and that.

    Quiet hours, or our own outage, may have held the reminder back.
    """
    remind, give_up = ask.silence.remind, ask.silence.give_up
    if reminded < len(remind):
        return Due(DueKind.REMIND, remind[reminded].after(asked_at))
    end = give_up.after(asked_at)
    if reminded_at and remind:
        end = max(end, reminded_at + (give_up.after(asked_at) - remind[-1].after(asked_at)))
    return Due(DueKind.GIVE_UP, end)


@lru_cache(maxsize=256)  # many who answer in the same moment are asked the same
def _first_due(dialog: Dialog, state: str, asked_at: datetime, _zone: tzinfo | None) -> Due:
    """When silence is first noticed after question `state`.

    `_zone` tells equal times apart: three working days later they need not be equal.
    """
    ask = dialog.states[state]
    assert isinstance(ask, Ask)  # noqa: S101 - whoever calls has it
    return next_due(ask, asked_at, reminded=0)


def _content(dialog: Dialog, conversation: Conversation, wait: Wait) -> dict[str, str]:
    """What the application carries: the answers named, each choice also in words, and facts of the birth.

    What is not known is left out: a body reads "" as an answer.
    """
    content: dict[str, str] = {}
    for name in wait.content:
        if conversation.known(name):
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
