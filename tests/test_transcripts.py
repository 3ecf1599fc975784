"""Whole conversations with the shipped dialogs, event by event: what she writes, what she reads.

A transcript is `tests/transcripts/<dialog>.<case>.yaml`: what is known at the beginning, then events with what
followed. After a change that is meant: `pytest tests/test_transcripts.py --update`, and read the difference.
Between every two events the conversation goes through its row in the store, as in life.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

import smsflow.core.move as moving
from smsflow.core.conversation import Conversation
from smsflow.core.dialog import Ask, Dialog, Wait
from smsflow.core.durations import parse_duration
from smsflow.core.effects import Apply, Begin, Effect, Flag, Send, Step
from smsflow.core.encoding import segments
from smsflow.core.events import (
    Answered,
    Began,
    BodyAnswered,
    Event,
    HelpAsked,
    NotUnderstood,
    Stopped,
    TimerFired,
)
from smsflow.core.hours import QuietHours
from smsflow.core.machine import ANSWERED, BEGAN, GAVE_UP, LEFT_LIST, body_event
from smsflow.core.questions import Found, find_answer
from smsflow.core.reply import Keyword, read
from smsflow.core.step import step
from smsflow.store.rows import conversation_row, read_conversation

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.yaml"))
ZONE = ZoneInfo("Asia/Almaty")
BEGINNING = datetime(2026, 11, 17, 12, tzinfo=ZONE)  # a Tuesday
QUIET = QuietHours(time(21), time(9), weekends=True)
MOTHER = {
    "birth_id": "b-1",
    "mother_iin": "950101200109",
    "born_at": "2026-11-17T04:10:00+05:00",
    "sex": "female",
    "birth_order": "2",
}

Edge = tuple[str, str, str, str]  # dialog, state, trigger, to ("" is: stay)


class Talk:
    """One conversation, its clock, and the edges that it has walked."""

    def __init__(self, dialog: Dialog, facts: dict[str, str], walked: set[Edge]) -> None:
        self.dialog = dialog
        self.now = BEGINNING
        self.walked = walked
        known = MOTHER | facts
        self.conversation = Conversation(
            case=1, dialog=dialog.name, revision=dialog.revision, birth_id="b-1", msisdn="77011234567",
            child="1", language=known.get("language", dialog.languages[0]), facts=known,
        )  # fmt: skip

    def play(self, event: dict[str, object]) -> dict[str, object]:
        """Carry one event of a transcript out; what followed, as a transcript shows it."""
        self.now += timedelta(minutes=1)
        steps = [self._step(each) for each in self._events(event)]
        outcome = steps[-1].outcome.value if steps else "nothing"
        shown: dict[str, object] = {"outcome": outcome, "state": self.conversation.state}
        if self.conversation.result:
            shown["result"] = self.conversation.result
        followed = [self._show(effect) for each in steps for effect in each.effects]
        return shown | ({"then": followed} if followed else {})

    def _step(self, event: Event) -> Step:
        state = self.conversation.state
        with _recorded(self.walked):
            taken = step(self.dialog, self.conversation, event)
        if isinstance(event, BodyAnswered) and taken.conversation.state == state:
            self.walked.add((self.dialog.name, state, body_event(event.name), ""))
        row = conversation_row(taken.conversation)
        self.conversation = read_conversation((1, *row, taken.conversation.version), ZONE)
        assert self.conversation == taken.conversation
        return taken

    def _events(self, event: dict[str, object]) -> Iterator[Event]:
        opens_at = QUIET.opens_at(self.now)
        match event:
            case {"reply": str(text)}:
                yield self._reply(text)
            case {"body": str(name), **rest}:
                yield BodyAnswered(self.now, opens_at, name, name, dict(rest.get("data") or {}))
            case {"wait": str(words)}:
                yield from self._timers(parse_duration(words).after(self.now))
            case {"begin": _}:
                yield Began(self.now, opens_at)
            case _:
                raise ValueError(event)

    def _timers(self, until: datetime) -> Iterator[Event]:
        while (due := self.conversation.due) and due.at <= until:
            self.now = max(self.now, due.at)
            yield TimerFired(self.now, QUIET.opens_at(self.now), self.conversation.wait)
        self.now = until

    def _reply(self, text: str) -> Event:
        reading = read(text)
        if reading.keyword is Keyword.STOP:
            return Stopped(self.now, text=text)
        if reading.keyword is Keyword.HELP:
            return HelpAsked(self.now, text)
        found = find_answer(reading, [(self.dialog, self.conversation)])
        if isinstance(found, Found):
            return Answered(self.now, found.state, found.value, found.also, text, found.coercions)
        return NotUnderstood(self.now, found.reason, text)

    def _show(self, effect: Effect) -> object:
        match effect:
            case Send(text, _, not_before, _):
                assert segments(text) <= self.dialog.budget, text
                held = not_before > self.now
                return {f"{not_before:%a %d.%m %H:%M}": text} if held else text
            case Apply(kind, data):
                return {f"application {kind}": dict(data)}
            case Begin(dialog, _):
                return {"begins": dialog}
            case Flag(reason):
                return {"flag": reason}
            case _:
                return {"effect": type(effect).__name__}


@contextmanager
def _recorded(walked: set[Edge]) -> Iterator[None]:
    """Note every edge that the machine walks inside; one reply may walk several."""
    destination = moving.destination

    def noting(dialog, conversation, trigger, code=""):
        to = destination(dialog, conversation, trigger, code)
        if to is not None:
            walked.add((dialog.name, conversation.state, trigger, to))
        return to

    moving.destination = noting
    try:
        yield
    finally:
        moving.destination = destination


def edges_of(dialog: Dialog) -> Iterator[Edge]:
    """Every edge of a dialog: each way that an answer, a silence, a list or an event of a body can go."""
    yield from ((dialog.name, "", BEGAN, branch.to) for branch in dialog.begin)
    for name, state in dialog.states.items():
        if isinstance(state, Ask):
            yield from ((dialog.name, name, ANSWERED, branch.to) for branch in state.then)
            yield (dialog.name, name, GAVE_UP, state.silence.then)
            if state.other:
                yield (dialog.name, name, LEFT_LIST, state.other)
        elif isinstance(state, Wait):
            for event, reaction in state.on.items():
                yield (dialog.name, name, body_event(event), reaction.then or "")


def play_file(file: Path, shipped: dict[str, Dialog], walked: set[Edge]) -> list[dict[str, object]]:
    """Play every conversation of a file again; the documents as they should stand in it."""
    dialog = shipped[file.name.split(".")[0]]
    documents = []
    for document in yaml.load_all(file.read_text(encoding="utf-8"), yaml.BaseLoader):
        talk = Talk(dialog, document.get("facts") or {}, walked)
        keys = ("begin", "reply", "body", "data", "wait")
        events = [{key: line[key] for key in keys if key in line} for line in document["events"]]
        documents.append({**document, "events": [event | talk.play(event) for event in events]})
    return documents


def _dump(documents: list[dict[str, object]]) -> str:
    return yaml.safe_dump_all(documents, allow_unicode=True, sort_keys=False, width=1000)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_transcript_is_what_happens(file, shipped, request):
    """The conversation goes as it is written down, text by text."""
    documents = play_file(file, shipped, set())
    if request.config.getoption("--update"):
        file.write_text(_dump(documents), encoding="utf-8")

    assert list(yaml.load_all(file.read_text(encoding="utf-8"), yaml.BaseLoader)) == list(
        yaml.load_all(_dump(documents), yaml.BaseLoader)
    )


def test_transcripts_walk_every_edge_and_visit_every_state(shipped):
    """No way through a shipped dialog is untried."""
    walked: set[Edge] = set()
    for file in FILES:
        play_file(file, shipped, walked)

    expected = {edge for dialog in shipped.values() for edge in edges_of(dialog)}
    visited = {(dialog, to or state) for dialog, state, _, to in walked}
    assert sorted(expected - walked) == []
    assert {(dialog.name, state) for dialog in shipped.values() for state in dialog.states} <= visited
