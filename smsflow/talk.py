"""`smsflow talk DIALOG`: be the mother, with the real engine on a temporary store. No message centre, no waiting.

→ Сәбиіңіз құтты болсын! … (2 segments)
← р112
  answered, understood through joined, r_lookalike
  birth-registration: greeting → child_name
→ Напишите фамилию, имя, отчество … (2 segments)
:wait 25h
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from smsflow.births import Births
from smsflow.checking import Chosen, choose_dialog
from smsflow.clock import Clock
from smsflow.core.conversation import Conversation, DueKind, Status
from smsflow.core.dialog import Dialog, Wait
from smsflow.core.durations import parse_duration
from smsflow.core.effects import Apply, Flag, Outcome, Step
from smsflow.core.encoding import segments
from smsflow.core.events import Began, Event, TimerFired
from smsflow.core.render import example_of
from smsflow.core.reply import REASONS
from smsflow.engine import Engine
from smsflow.intake import EVENTS, Rejection, parse_event
from smsflow.library import Library
from smsflow.replies import Handled, Replies
from smsflow.store.inbound import Inbound
from smsflow.store.outbox import Taken
from smsflow.store.people import Birth
from smsflow.store.store import Store, open_store
from smsflow.terminal import printable, say, say_wrapped, segments_in_words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_talk"]

_ZONE = ZoneInfo("Asia/Almaty")
_MSISDN = "77010000001"
_IIN = "950101200109"  # of nobody: born in 1895 (domain.md §3)
_ACCOUNT = "KZ86125KZT5004100100"
_ADDRESS = "751110000"  # Almaty
_AT_ONCE = 100

_DUE = {
    DueKind.REMIND: "a reminder",
    DueKind.GIVE_UP: "no reply, the service ends",
    DueKind.LATE: "the body is late",
}

_HELP = (
    "R 1 1 2            anything that does not begin with a colon is a text to the short number",
    ":wait 25h          let time pass; timers fire at their due times (90m, 25h, 3 days)",
    ":body              what the state body can say now",
    ":body registered   let it say that; facts as key=value or key='a few words', samples for the rest",
    ":state             every conversation: where it stands and what comes next",
    ":answers           what she has answered, and what is known of the birth",
    ":quit              end (so does Ctrl-D)",
)


def run_talk(console: Console, wanted: str) -> int:
    """Talk with dialog `wanted` (a shipped one, or a YAML file) until the lines end; the exit code.

    1 when a scripted command could not be carried out. Raises: NoSuchDialog, DialogError.
    """
    chosen = choose_dialog(wanted)
    dialog = chosen.meant[0]
    with TemporaryDirectory(prefix="smsflow-talk-") as folder:
        store = open_store(Path(folder) / "talk.db", _ZONE)
        try:
            talk = _Talk(console, store, _library(chosen, dialog, store))
            say(console, f"{dialog.name} of {chosen.folder}. You are {_MSISDN}; :help says what you can do.", "dim")
            talk.begin()
            for line in _lines(console):
                if line.strip() in (":quit", ":q"):
                    break
                talk.take(line)
        finally:
            store.close()
    return 1 if talk.failed and not sys.stdin.isatty() else 0


def _library(chosen: Chosen, first: Dialog, store: Store) -> Library:
    """The dialogs of the folder, with `first` as the one that a birth begins."""
    dialogs = tuple(replace(dialog, starts_at_birth=dialog is first) for dialog in chosen.dialogs)
    return Library(dialogs, store.used_dialog)


def _lines(console: Console) -> Iterator[str]:
    """Lines as they are typed, with history; lines of a pipe are shown, so that the whole can be read."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            words = line.rstrip("\n")
            if words:
                say(console, words if words.startswith(":") else f"← {printable(words)}", "green")
                yield words
        return
    import readline  # noqa: F401 - input() edits lines and keeps a history with it

    while True:
        try:
            words = input("← ")
        except (EOFError, KeyboardInterrupt):
            say(console, "")
            return
        if words:
            yield words


class _Talk:
    """One mother, her conversations, and a clock that only moves when told."""

    def __init__(self, console: Console, store: Store, library: Library) -> None:
        self._console = console
        self._store = store
        self._library = library
        self._engine = Engine(store, library, None, on_step=self._note)
        self._births = Births(self._engine, store)
        self._replies = Replies(self._engine, store)
        self._now = Clock(_ZONE).now().replace(microsecond=0)
        self._notes: list[tuple[str, str]] = []
        self._sequence = 0
        self.failed = False

    # --- what is typed ------------------------------------------------------------------------------

    def begin(self) -> None:
        """A ward records the birth."""
        birth = Birth(
            birth_id="talk-1",
            mother_iin=_IIN,
            msisdn=_MSISDN,
            born_at=self._now.isoformat(),
            sex="female",
            alive=True,
            birth_order=2,
            account=_ACCOUNT,
            address_kato=_ADDRESS,
        )
        self._show_time()
        self._do(lambda: self._births.record_birth(birth, self._now))

    def take(self, line: str) -> None:
        """A text to the short number, or a command."""
        if not line.startswith(":"):
            self._do(lambda: self._reply(line))
            return
        try:
            name, *words = shlex.split(line[1:]) or [""]
        except ValueError:
            self._complain("A quotation mark has no second one.")
            return
        command = self._commands().get(name)
        if command is None:
            self._complain(f":{name} is no command; :help lists them.")
        else:
            command(words)

    def _commands(self) -> Mapping[str, Callable[[list[str]], None]]:
        return {
            "wait": self._wait,
            "body": self._body,
            "state": self._show_state,
            "answers": self._show_answers,
            "help": self._show_help,
        }

    def _reply(self, text: str) -> None:
        self._sequence += 1
        inbound = Inbound(
            at=self._now,
            link="talk",
            session="talk",
            sequence=self._sequence,
            msisdn=_MSISDN,
            destination="1414",
            data_coding=8,
            raw=text.encode("utf-16-be", "replace"),
            text=text,
        )
        self._notes.insert(0, (_in_words(self._replies.take_reply(inbound)), "dim"))

    def _wait(self, words: list[str]) -> None:
        try:
            end = parse_duration(" ".join(words)).after(self._now)
        except ValueError as error:
            self._complain(f"{error}.")
            return
        while True:
            due = self._next_due()
            if due is None or due > end:
                break
            self._now = max(self._now, due)
            self._show_time()
            self._do(self._fire)
            if self._next_due() == due:
                break  # nothing came of it
        self._now = end
        self._show_time()

    def _next_due(self) -> datetime | None:
        with self._store.transaction():
            return self._store.find_next_due()

    def _fire(self) -> None:
        self._store.outbox.release_held(self._now, _AT_ONCE)
        for case in self._engine.find_due(self._now, _AT_ONCE):
            self._engine.fire_timer(case, self._now)

    def _body(self, words: list[str]) -> None:
        waiting = list(self._waits())
        if not waiting:
            self._complain("No body is at work: no conversation waits for one.")
            return
        name, *given = words or [""]
        chosen = next((case for case, wait in waiting if name in wait.on), None)
        if chosen is None:
            can = "; ".join(f"{case.dialog}: {', '.join(wait.on)}" for case, wait in waiting)
            if name:
                self._complain(f"Nobody waits for {name}. A body can say now: {can}.")
            else:
                self._say(f"  a body can say now: {can}", "dim")
            return
        self._sequence += 1
        data = self._sample(name, chosen) | _facts_in(name, given)
        parsed = parse_event({"id": f"talk-{self._sequence}", "event": name, "data": data})
        if isinstance(parsed, Rejection):
            for error in parsed.errors:
                self._complain(f"{error.field.removeprefix('data.')}: {error.detail}.")
            return
        event, facts = parsed
        self._do(lambda: self._engine.take_body_event(chosen.case, event.id, name, facts, self._now))

    def _sample(self, name: str, conversation: Conversation) -> dict[str, Any]:
        """What a body would say with `name`, as JSON."""
        amount = 272475 if int(conversation.known("birth_order") or 1) > 3 else 164350
        samples: dict[str, dict[str, Any]] = {
            "accepted": {"number": "104512"},
            "registered": {"place": "ХҚО/ЦОН, Төле би 155", "child_iin": "991231600002"},
            "queued": {"number": "1843", "locality": "Алматы", "date": self._now.date().isoformat()},
            "granted": {"amount": amount},
            "refused": {
                "reason": {
                    "kk": "әке туралы дерек жоқ",
                    "ru": "нет данных об отце",
                    "en": "no data on the father",
                }
            },
        }
        return samples.get(name, {})

    # --- what comes of it ---------------------------------------------------------------------------

    def _do(self, job: Callable[[], object]) -> None:
        """Run `job` in a transaction, then show what came of it, and every text that goes out."""
        self._notes = []
        with self._store.transaction():
            job()
            texts = self._store.outbox.claim("talk", _AT_ONCE, self._now)
            for text in texts:
                taken = Taken("talk", str(text.id), str(text.id))
                self._store.outbox.mark_segment(text.id, 0, 1, taken, self._now)
            for application in self._store.bodies.load_due(self._now, _AT_ONCE):
                self._store.bodies.mark(application.id, "taken", self._now)
        for words, style in self._notes:
            self._say(f"  {words}", style)
        for text in texts:
            self._say(f"→ {printable(text.text)} {segments_in_words(segments(text.text))}", "cyan")

    def _note(self, before: Conversation, event: Event, done: Step) -> None:
        """Remember what an editor wants to see of a step."""
        after = done.conversation
        if isinstance(event, TimerFired) and before.due and done.outcome is Outcome.MOVED:
            self._notes.append((f"{after.dialog}: {_DUE[before.due.kind]}", "dim"))
        if isinstance(event, Began):
            self._notes.append((f"{after.dialog} begins: {after.state}", "dim"))
        elif after.state != before.state:
            self._notes.append((f"{after.dialog}: {before.state} → {after.state}", "dim"))
        for effect in done.effects:
            if isinstance(effect, Apply):
                data = ", ".join(f"{name}={value}" for name, value in effect.data.items())
                self._notes.append((f"application {effect.kind}: {data}", "magenta"))
            elif isinstance(effect, Flag):
                self._notes.append((f"a person must look: {_words(effect.reason)}", "yellow"))
        wait = self._library.pinned(after.revision).states.get(after.state)
        if isinstance(wait, Wait) and after.wait != before.wait and after.status is Status.OPEN:
            self._notes.append((f"a body can say: {', '.join(wait.on)} (:body {next(iter(wait.on))})", "dim"))
        if after.status is not before.status and after.status is Status.CLOSED:
            self._notes.append((f"{after.dialog} has ended: {after.result}", "bold"))

    # --- what is asked ------------------------------------------------------------------------------

    def _show_state(self, _words: list[str]) -> None:
        for conversation in self._conversations():
            self._say(f"  case {conversation.case}  {self._standing(conversation)}")

    def _standing(self, conversation: Conversation) -> str:
        dialog = self._library.pinned(conversation.revision)
        parts = [conversation.dialog, conversation.state, conversation.language, conversation.status.value]
        if conversation.status is Status.CLOSED:
            return " · ".join((*parts, conversation.result or ""))
        example = example_of(dialog, conversation)
        if example:
            parts.append(f"for example {example}")
        if conversation.due:
            what = _DUE[conversation.due.kind]
            parts.append(f"{what} {_clock(conversation.due.at)} (in {_span(conversation.due.at - self._now)})")
        return " · ".join(parts)

    def _show_answers(self, _words: list[str]) -> None:
        for conversation in self._conversations():
            self._say(f"  case {conversation.case}  {conversation.dialog}")
            for kind, known in (("answer", conversation.answers), ("fact", conversation.facts)):
                for name, value in known.items():
                    self._say(f"    {kind:7} {name} = {printable(value)}")

    def _show_help(self, _words: list[str]) -> None:
        for words in _HELP:
            self._say(f"  {words}", "dim")

    def _show_time(self) -> None:
        self._say(f"· {_clock(self._now)}", "dim")

    def _conversations(self) -> tuple[Conversation, ...]:
        with self._store.transaction():
            return self._store.conversations.load_phone(_MSISDN)

    def _waits(self) -> Iterator[tuple[Conversation, Wait]]:
        """Her conversations for which a body is at work, the latest first, with the wait that each stands in."""
        for conversation in reversed(self._conversations()):
            state = self._library.pinned(conversation.revision).states.get(conversation.state)
            if isinstance(state, Wait) and conversation.status is Status.OPEN:
                yield conversation, state

    def _complain(self, words: str) -> None:
        self.failed = True
        self._say(words, "yellow")

    def _say(self, words: str, style: str = "") -> None:
        say_wrapped(self._console, words, style)


def _in_words(handled: Handled) -> str:
    """What a text turned out to be: the outcome, why, and the tolerance that it took."""
    words = _words(handled.outcome)
    if handled.reason:
        words += f": {REASONS.get(handled.reason, _words(handled.reason))}"
    if handled.coercions:
        words += f", understood through {', '.join(handled.coercions)}"
    return words


def _facts_in(name: str, given: list[str]) -> dict[str, Any]:
    """`key=value` as the JSON that a body would post with event `name`; `reason.ru=…` is one of several."""
    shape = EVENTS[name].model_json_schema()["properties"] if name in EVENTS else {}
    facts: dict[str, Any] = {}
    for pair in given:
        key, _, value = pair.partition("=")
        key, _, language = key.partition(".")
        whole = shape.get(key, {}).get("type") == "integer" and value.isascii() and value.isdigit()
        if language:
            facts[key] = {**facts.get(key, {}), language: value}
        else:
            facts[key] = int(value) if whole else value
    return facts


def _words(name: str) -> str:
    return name.replace("_", " ")


def _clock(at: datetime) -> str:
    return at.strftime("%a %d.%m.%Y %H:%M")


def _span(left: timedelta) -> str:
    hours, minutes = divmod(int(left.total_seconds()) // 60, 60)
    return f"{hours} h {minutes:02} min"
