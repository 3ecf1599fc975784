"""What she reads: her language, or two until she has chosen one."""

from datetime import datetime
from zoneinfo import ZoneInfo

from small import TEXTS, small_dialog

from smsflow.core.conversation import Conversation
from smsflow.core.effects import Apply, Send
from smsflow.core.encoding import segments
from smsflow.core.events import Answered, Began, NotUnderstood
from smsflow.core.reader import read_dialogs
from smsflow.core.render import find_text
from smsflow.core.step import step
from smsflow.core.text import cut, fill_within, parse_template
from smsflow.library import load_files, shipped_dialogs

DIALOG = next(d for d in read_dialogs(load_files(shipped_dialogs())) if d.starts_at_birth)
AT = datetime(2026, 11, 18, 12, tzinfo=ZoneInfo("Asia/Almaty"))


def new(**facts: str) -> Conversation:
    return Conversation(1, DIALOG.name, DIALOG.revision, "b1", "77011234567", "1", "kk", facts=facts)


def texts(conversation: Conversation) -> list[str]:
    asked = step(DIALOG, conversation, Began(AT, AT)).conversation
    done = step(DIALOG, asked, NotUnderstood(AT, "no_r"))
    return [effect.text for effect in done.effects if isinstance(effect, Send)]


def test_hint_before_the_choice_of_language_is_in_every_language() -> None:
    """Nobody knows yet whether she reads Kazakh or Russian."""
    (hint,) = texts(new())

    assert "Ответ не распознан" in hint
    assert "Жауап танылмады" in hint
    assert segments(hint) <= DIALOG.budget


def test_text_after_the_choice_is_in_her_language_alone() -> None:
    """The language that she chose, and no other."""
    known = new(language="ru")
    assert find_text(DIALOG, known, "stopped") is DIALOG.texts["stopped"]
    assert find_text(DIALOG, new(), "stopped") is DIALOG.texts["stopped_unheard"]


def test_values_are_cut_only_when_the_text_would_not_fit() -> None:
    """A long address stays whole where there is room."""
    template = parse_template("Куәлік: {place}.")
    place = "а" * 60

    assert fill_within(template, lambda *_: place, lambda text: True) == f"Куәлік: {place}."
    assert fill_within(template, lambda *_: place, lambda text: len(text) < 60) == f"Куәлік: {'а' * 43}..."
    assert cut("абвгд", 4) == "аб.."


def test_hint_of_a_dialog_without_a_question_for_the_language_is_an_ordinary_one() -> None:
    """At a yes/no question "Kazakh: R 5 1 1" would mean yes."""
    texts = TEXTS + '  hint_form_unheard: "Kazakh: {reply 1}"\n'
    small = small_dialog(texts=texts)
    conversation = Conversation(1, small.name, small.revision, "b1", "77011234567", "1", "kk", state="check")

    assert find_text(small, conversation, "hint_form") is small.texts["hint_form"]


def test_application_leaves_out_what_is_not_known() -> None:
    """A body would read an empty text as an answer."""
    small = small_dialog(("with: [name, colour]", "with: [name, colour, child_iin]"))
    conversation = Conversation(
        1, small.name, small.revision, "b1", "77011234567", "1", "kk", state="check",
        answers={"name": "Ахметов Нурлан"}, printed={"check": ("11",)},
    )  # fmt: skip
    done = step(small, conversation, Answered(AT, "check", "1"))

    assert [effect.data for effect in done.effects if isinstance(effect, Apply)] == [{"name": "Ахметов Нурлан"}]
