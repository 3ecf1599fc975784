"""`step` as a function: total, deterministic, and careful with its arguments."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from small import small_dialog

from smsflow.core import durations, machine, names, questions, render
from smsflow.core import reply as reply_grammar
from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import Ask, Dialog, Wait
from smsflow.core.effects import Outcome, Send, Step, Urgency
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
from smsflow.core.questions import Found, address_of, find_answer, question_of
from smsflow.core.reader import read_dialogs
from smsflow.core.render import open_address, shown_options
from smsflow.core.reply import Kind, read
from smsflow.core.step import step
from smsflow.library import load_files, shipped_dialogs

DIALOGS = read_dialogs(load_files(shipped_dialogs()))
BEGIN = datetime(2026, 11, 18, 12, tzinfo=ZoneInfo("Asia/Almaty"))
FACTS = {
    "birth_id": "b1", "mother_iin": "950101200109", "born_at": "2026-11-18T08:00:00+05:00", "sex": "female",
    "birth_order": "2", "account": "KZ86125KZT5004100100", "address_kato": "751110000",
}  # fmt: skip


def new(dialog: Dialog, **changes: object) -> Conversation:
    conversation = Conversation(
        1, dialog.name, dialog.revision, "b1", "77011234567", "1", dialog.languages[0], facts=FACTS
    )
    return replace(conversation, **changes)  # type: ignore[arg-type]


def a_right_reply(random: Random, dialog: Dialog, conversation: Conversation) -> str:
    """Something that the open question takes."""
    ask = question_of(dialog, conversation)
    assert ask is not None
    address = " ".join(("R", *open_address(dialog, conversation)))
    if ask.kind is Kind.NAME:
        return f"{address} Ахметов Нурлан Ерболулы"
    if ask.kind is Kind.IBAN:
        return f"{address} KZ86125KZT5004100100"
    if ask.kind is Kind.TEXT:
        return f"{address} село Узынагаш"
    code = random.choice(shown_options(dialog, conversation))[0]
    return f"{address} {' '.join(code)}"


def history(seed: int) -> tuple[Dialog, list[tuple[Conversation, Event]]]:
    """A dialog, and events with the conversations that they met: right replies, and anything else."""
    random = Random(seed)
    dialog = random.choice(DIALOGS)
    conversation, at = new(dialog), BEGIN
    steps: list[tuple[Conversation, Event]] = [(conversation, Began(at, at))]
    conversation = step(dialog, conversation, steps[0][1]).conversation
    for _ in range(random.randrange(20)):
        at += timedelta(hours=random.choice((0, 0, 1, 30, 80)))
        event = an_event(random, dialog, conversation, at)
        steps.append((conversation, event))
        conversation = step(dialog, conversation, event).conversation
    return dialog, steps


def an_event(random: Random, dialog: Dialog, conversation: Conversation, at: datetime) -> Event:
    kind = random.choice(["right"] * 6 + ["text", "timer", "body", "body", "other"])
    if kind == "right" and question_of(dialog, conversation) and conversation.status is Status.OPEN:
        return as_event(dialog, conversation, a_right_reply(random, dialog, conversation), at)
    if kind == "timer":
        return TimerFired(at, at, conversation.wait - random.randrange(2))
    if kind in ("body", "right"):
        name = random.choice(sorted(dialog.events))
        return BodyAnswered(at, at, "e", name, {"place": "x" * 90, "number": "7", "date": "2026-11-20"})
    if kind == "other":
        others = [HelpAsked(at), Suspended(at, "x"), Resumed(at, at), Began(at, at), Stopped(at), Ended(at, "x")]
        return random.choice(others)
    text = "".join(random.choice("R 12349РйА\n") for _ in range(random.randrange(12)))
    return as_event(dialog, conversation, text, at)


def as_event(dialog: Dialog, conversation: Conversation, text: str, at: datetime) -> Event:
    found = find_answer(read(text), [(dialog, conversation)])
    if isinstance(found, Found):
        return Answered(at, found.state, found.value, found.also, text, found.coercions)
    return NotUnderstood(at, found.reason, text)


@pytest.mark.parametrize("block", range(10))
def test_step_is_total_deterministic_and_never_strands_anybody(block: int) -> None:
    """Any event in any state: a result, the same each time; and something can always still come."""
    for seed in range(block * 100, block * 100 + 100):
        dialog, steps = history(seed)
        for conversation, event in steps:
            before = repr(conversation)
            done = step(dialog, conversation, event)

            assert step(dialog, conversation, event) == done, seed
            assert repr(conversation) == before, seed
            has_changed = done.conversation is not conversation
            assert done.conversation.version == conversation.version + has_changed, seed
            assert identity_of(done.conversation) == identity_of(conversation), seed
            assert_not_stranded(dialog, done)


def identity_of(conversation: Conversation) -> tuple[object, ...]:
    """What no step changes; the store does not write it again."""
    names = ("case", "dialog", "revision", "birth_id", "child")
    return tuple(getattr(conversation, name) for name in names)


def assert_not_stranded(dialog: Dialog, done: Step) -> None:
    """Design §4.4: a question with a timer, a body at work, a person asked, or the end."""
    after = done.conversation
    if after.status is Status.OPEN:
        state = dialog.states[after.state]
        assert isinstance(state, Wait) or (isinstance(state, Ask) and after.due is not None)
    for effect in done.effects:
        if isinstance(effect, Send):
            assert effect.text.strip()
            assert "{" not in effect.text


def test_a_question_reads_as_if_its_text_were_filled_part_by_part() -> None:
    """In every language: what follows from the question alone is filled in once for all mothers."""
    asked = 0
    for seed in range(1000):
        dialog, steps = history(seed)
        for conversation, event in steps:
            ask = question_of(dialog, conversation)
            for language in dialog.languages if ask else ():
                assert ask is not None
                hers = replace(conversation, language=language)
                part_by_part = render._fill_slowly(dialog, hers, ask.text[language], event.at)

                assert render.render(dialog, hers, ask.text, event.at) == part_by_part, seed
                asked += 1
    assert asked > 5000


def test_an_address_holds_the_answers_that_led_there() -> None:
    """All that are digits, in order, however often she went back."""
    for seed in range(1000):
        dialog, steps = history(seed)
        adding = {ask.name for ask in dialog.questions() if ask.adds_digits}
        for conversation, _ in steps:
            ask = question_of(dialog, conversation)
            if ask is not None:
                digits = "".join(asked.value for asked in conversation.trail if asked.state in adding)

                assert address_of(dialog, conversation, ask) == f"{dialog.service}1{digits}", seed
                assert conversation.printed[ask.name][-1] == f"{dialog.service}1{digits}", seed


def test_nothing_is_sent_after_the_end() -> None:
    """A closed case says nothing more by itself."""
    closed = 0
    for seed in range(1000):
        dialog, steps = history(seed)
        for conversation, event in steps:
            if conversation.status is Status.CLOSED:
                closed += 1
                assert step(dialog, conversation, event).effects == (), seed
    assert closed > 500


def test_timer_of_an_earlier_wait_is_stale() -> None:
    """It was meant for a question that is answered."""
    dialog = DIALOGS[-1]
    asked = step(dialog, new(dialog), Began(BEGIN, BEGIN)).conversation
    later = BEGIN + timedelta(days=4)

    assert step(dialog, asked, TimerFired(later, later, asked.wait - 1)).outcome is Outcome.STALE
    assert step(dialog, asked, TimerFired(BEGIN, BEGIN, asked.wait)).outcome is Outcome.STALE


def test_a_reminder_is_in_the_zone_in_which_she_was_asked() -> None:
    """What is remembered for those who were asked in a moment is not another zone's, though the times are equal."""
    dialog = next(dialog for dialog in DIALOGS if dialog.starts_at_birth)
    for at in (BEGIN, BEGIN.astimezone(UTC), BEGIN):
        due = step(dialog, new(dialog), Began(at, at)).conversation.due

        assert due is not None
        assert due.at.tzinfo is at.tzinfo
        assert due.at == at + timedelta(hours=24)


def test_a_question_that_a_body_sends_her_back_to_can_be_corrected_again() -> None:
    """What she answers anew was sent to nobody yet. What came before that question was, and stays as it is."""
    applied = "painted: {say: painted, then: done}"
    dialog = small_dialog((applied, f"{applied}\n      sold_out: {{then: colour}}"))
    conversation = step(dialog, new(dialog), Began(BEGIN, BEGIN)).conversation
    for reply in ("R 1 1 Ким Анна", "R 1 1 1", "R 1 1 1 1"):
        conversation = step(dialog, conversation, as_event(dialog, conversation, reply, BEGIN)).conversation
    assert conversation.state == "apply"
    sent_back = step(dialog, conversation, BodyAnswered(BEGIN, BEGIN, "e", "sold_out", {})).conversation
    asked = step(dialog, sent_back, as_event(dialog, sent_back, "R 1 1 2", BEGIN)).conversation

    for reply, outcome in (("R 1 1 1", Outcome.AMENDED), ("R 1 1 Ким Зоя", Outcome.LATE)):
        assert step(dialog, asked, as_event(dialog, asked, reply, BEGIN)).outcome is outcome


def test_texts_go_in_the_lane_of_what_brought_them() -> None:
    """A greeting is in no hurry; a reminder goes before it, the end of a wait before that, an answer first."""
    dialog = DIALOGS[-1]
    begun = step(dialog, new(dialog), Began(BEGIN, BEGIN))
    reminded = fire(dialog, begun)
    ended = fire(dialog, fire(dialog, reminded))
    asked = step(dialog, begun.conversation, HelpAsked(BEGIN))
    sends = [done.effects[0] for done in (begun, reminded, ended, asked)]

    assert [send.urgency for send in sends if isinstance(send, Send)] == [
        Urgency.BULK,
        Urgency.REMINDER,
        Urgency.NOTICE,
        Urgency.ANSWER,
    ]


def fire(dialog: Dialog, done: Step) -> Step:
    """The timer of a conversation, when it is due."""
    waiting = done.conversation
    assert waiting.due is not None
    return step(dialog, waiting, TimerFired(waiting.due.at, waiting.due.at, waiting.wait))


@pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)
def test_every_dialog_can_begin_alone(dialog: Dialog) -> None:
    """The order of the services is data: each may be the first."""
    begun = step(dialog, new(dialog), Began(BEGIN, BEGIN))

    assert question_of(dialog, begun.conversation)
    assert len(begun.effects) == 1


def test_no_answer_that_names_somebody_is_kept_in_memory() -> None:
    """Where a name leads is remembered for all names at once."""
    dialog = next(dialog for dialog in DIALOGS if dialog.starts_at_birth)
    before = machine._led.cache_info().currsize
    for name in ("Ким Анна", "Иванов Тимур"):
        asked = new(dialog, state="child_name")
        assert machine.destination(dialog, asked, machine.ANSWERED, name) == "education"

    assert machine._led.cache_info().currsize <= before + 1


def test_what_is_kept_in_memory_does_not_grow_with_mothers() -> None:
    """Another name, and another place of the same region, leave nothing behind."""
    dialog = next(dialog for dialog in DIALOGS if dialog.starts_at_birth)
    told = [
        to_the_check(dialog, name, kato)
        for name, kato in (("Ким Анна", "751110000"), ("Иванов Тимур", "751210000"))
    ]
    (first, kept), (second, kept_after) = told

    assert first.replace("Ким Анна", "Иванов Тимур") == second
    assert kept_after == kept


def to_the_check(dialog: Dialog, name: str, kato: str) -> tuple[str, dict[str, int]]:
    """The text of the last question, and how much each cache of the core holds then."""
    conversation = new(dialog, facts={**FACTS, "address_kato": kato})
    conversation = step(dialog, conversation, Began(BEGIN, BEGIN)).conversation
    text = ""
    for reply in ("R 1 1 2", f"R 1 1 2 {name}", "R 1 1 2 1", "R 1 1 2 1 1", "R 1 1 2 1 1 1"):
        done = step(dialog, conversation, as_event(dialog, conversation, reply, BEGIN))
        conversation = done.conversation
        text = next(effect.text for effect in done.effects if isinstance(effect, Send))
    modules = (durations, machine, names, questions, render, reply_grammar)
    caches = {f"{module.__name__}.{key}": value for module in modules for key, value in vars(module).items()}
    return text, {key: value.cache_info().currsize for key, value in caches.items() if hasattr(value, "cache_info")}
