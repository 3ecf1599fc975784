"""Whose answer a text is: at a glance as by the grammar."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from small import small_dialog

from smsflow.core import questions
from smsflow.core.conversation import Conversation
from smsflow.core.dialog import Dialog
from smsflow.core.events import Answered, Began, BodyAnswered, Suspended
from smsflow.core.questions import Found, Missed, find_answer, group_of, options_of, question_of
from smsflow.core.reader import read_dialogs
from smsflow.core.render import open_address, shown_options
from smsflow.core.reply import Kind, Reading, read, spell
from smsflow.core.step import step
from smsflow.library import load_files, shipped_dialogs

MORE_STATES = """\
  pin:
    ask: digits
    length: 2-4
    text: {kk: "Код {reply}", ru: "Код {reply}"}
    then: size
  size:
    ask: choice
    choices: {1: {kk: а, ru: а}, 2: {kk: б, ru: б}}
    text: {kk: "{options}", ru: "{options}"}
    then: {1: note, 2: nick}
  note:
    ask: text
    text: {kk: "Жазыңыз {reply}", ru: "Напишите {reply}"}
    then: nick
  nick:
    ask: name
    text: {kk: "Тағы {reply}", ru: "Еще {reply}"}
    then: check
  check:
"""
ACCOUNT = """\
  account:
    ask: iban
    text: {kk: "Шот {reply}", ru: "Счет {reply}"}
    then: sure
  sure:
    ask: confirm
    text: {kk: "{account} {reply 1} {reply 2}", ru: "{account} {reply 1} {reply 2}"}
    then: {yes: colour, no: account}
"""
OF_ALL_KINDS = small_dialog(("then: check", "then: pin"), ("  check:\n", MORE_STATES))
DIALOGS = (*read_dialogs(load_files(shipped_dialogs())), small_dialog(), OF_ALL_KINDS)
NOON = datetime(2026, 11, 18, 12, tzinfo=ZoneInfo("Asia/Almaty"))
HOMES = ("751110000", "711210000", "19", "")
WORDS = (
    "Ахметов Нурлан Ерболулы", "Ахметова Әлия", "Ким Анна", "ким анна", "Цой Ю", "Зоя Ли", "Оспанов Чингиз",
    "О Сергей", "Кім Не", "Да Нет", "Нет", "Не Понимаю", "Ахметов Рахмет", "Рахмет Айгүл", "Ахметов Нурлан Рахмет",
    "Отправлено Со Ким", "Иванова-Петрова Анна", "Ахметов  Нурлан", "Ахметов Нурлан, спасибо", "село Узынагаш",
    "Узынагаш Село", "KZ86125KZT5004100100", "3",
)  # fmt: skip
Held = list[tuple[Dialog, Conversation]]


def begun(random: Random, case: int) -> tuple[Dialog, Conversation]:
    """A mother in any dialog, who lives anywhere; two of her conversations may have the same first digits."""
    dialog = random.choice(DIALOGS)
    facts = {"account": "KZ86125KZT5004100100", "address_kato": random.choice(HOMES), "birth_order": "2"}
    new = Conversation(
        case, dialog.name, dialog.revision, "b", "77011234567", random.choice("12"), "kk", facts=facts
    )
    return dialog, step(dialog, new, Began(NOON, NOON)).conversation


def a_text(random: Random, held: Held) -> str:
    """A right answer, or something near one: to a question that was answered, of another page, with other words."""
    dialog, conversation = random.choice(held)
    printed = [address for addresses in conversation.printed.values() for address in addresses]
    kind = random.choice(("right", "right", "right", "digits", "words", "bare"))
    ask = question_of(dialog, conversation)
    if kind == "right" and ask:
        address, shown = open_address(dialog, conversation), shown_options(dialog, conversation)
        if ask.kind is Kind.DIGITS:
            return spell(address + "1" * random.randrange(1, 6))
        typed = "KZ86125KZT5004100100" if ask.kind is Kind.IBAN else random.choice((WORDS[0], *WORDS))
        return spell(address + random.choice(shown)[0]) if shown else spell(address, typed)
    if kind == "digits":
        return spell(random.choice(printed) + random.choice(("", "1", "2", "3", "9", "91", "99", "12")))
    if kind == "bare":
        return random.choice((*WORDS, "1", "r112", "СТОП", "R ?", ""))
    return spell(random.choice(printed), random.choice(WORDS))


def texts(seed: int) -> Iterator[tuple[Reading, Held]]:
    """What one phone sends, with the conversations that it finds."""
    random, at = Random(seed), NOON
    held = [begun(random, case) for case in range(1, random.choice((2, 3, 4)))]
    for _ in range(random.randrange(1, 40)):
        at += timedelta(hours=1)
        text = a_text(random, held)
        yield read(text), list(held)
        found = find_answer(read(text), held)
        if isinstance(found, Found):
            dialog, conversation = held[found.index]
            event = Answered(at, found.state, found.value, found.also, text, found.coercions)
            held[found.index] = dialog, step(dialog, conversation, event).conversation
        place = random.randrange(len(held))
        dialog, conversation = held[place]
        if random.random() < 0.2 and dialog.events:  # a body answers, or the number changes hands
            body = BodyAnswered(at, at, "e", random.choice(sorted(dialog.events)), {"place": "x", "number": "7"})
            other = random.choice((body, body, body, Suspended(at, "x")))
            held[place] = dialog, step(dialog, conversation, other).conversation


@pytest.mark.parametrize("block", range(10))
def test_what_is_found_at_a_glance_is_what_the_grammar_finds(block: int) -> None:
    """The same conversation, question and value; and most right answers are seen so."""
    seen = open_ones = 0
    for seed in range(block * 100, block * 100 + 100):
        for reading, held in texts(seed):
            by_grammar = questions._find_slowly(reading, held)
            at_a_glance = questions._find_at_a_glance(reading, held)

            assert at_a_glance in (None, by_grammar), (seed, reading.text)
            if isinstance(by_grammar, Found) and not by_grammar.coercions:
                conversation = held[by_grammar.index][1]
                open_ones += by_grammar.state == conversation.state
                seen += at_a_glance is not None
    assert seen > open_ones * 0.6 > 100


def led(dialog: Dialog, *replies: tuple[str, str]) -> Conversation:
    """Where a conversation stands that has begun and was answered so: digits, and what follows them."""
    conversation = Conversation(1, dialog.name, dialog.revision, "b", "77011234567", "1", "kk")
    conversation = step(dialog, conversation, Began(NOON, NOON)).conversation
    for digits, words in replies:
        text = spell(digits, words)
        found = find_answer(read(text), [(dialog, conversation)])
        assert isinstance(found, Found), text
        event = Answered(NOON, found.state, found.value, found.also, text, found.coercions)
        conversation = step(dialog, conversation, event).conversation
    return conversation


def test_a_name_for_a_question_that_is_not_on_her_way_any_more_is_none() -> None:
    """It was printed once; then she went back to the beginning."""
    dialog = OF_ALL_KINDS
    conversation = led(
        dialog,
        ("11", "Ким Анна"),
        ("112", ""),
        ("1121111", ""),
        ("11211112", ""),
        ("11211112", "Ким Зоя"),
        ("112111122", ""),
    )
    assert conversation.state == "name"

    late = read(spell("11211112", "Ахметов Нурлан"))
    assert isinstance(find_answer(late, [(dialog, conversation)]), Missed)


def test_digits_that_two_addresses_of_a_question_make_up_are_ambiguous() -> None:
    """`R 1 1 1 2` is 2 where she was asked for her account before, and 12 where it was known."""
    dialog = small_dialog(
        ("    then: colour\n", "    then: {account known: colour, otherwise: account}\n"),
        ("  colour:\n", f"{ACCOUNT}  colour:\n"),
        lists__colours="list: colours\noptions: {2: {kk: а, ru: а}, 12: {kk: б, ru: б}}\n",
    )
    conversation = led(
        dialog,
        ("11", "Ким Анна"),
        ("11", "KZ86125KZT5004100100"),
        ("111", ""),
        ("1112", ""),
        ("11122", ""),  # no: back to the name
        ("11", "Ким Зоя"),
    )
    assert conversation.printed["colour"] == ("111", "11")

    assert find_answer(read("R 1 1 1 2"), [(dialog, conversation)]) == Missed(0, "ambiguous")
    assert find_answer(read("R 1 1 2"), [(dialog, conversation)]) == Found(0, "colour", "2", "", ())


@pytest.mark.parametrize("place", ["751110000", "111010000", "75", "7", "", "000000000", "x"])
def test_a_group_is_known_by_its_name_and_not_by_every_place_in_it(place: str) -> None:
    """Of thousands of places there are a few groups; what is kept is kept once a group."""
    for dialog in DIALOGS:
        mother = Conversation(
            1, dialog.name, dialog.revision, "b", "77011234567", "1", "kk", facts={"address_kato": place}
        )
        for ask in dialog.questions():
            if ask.options and ask.of == "address_kato":
                group = group_of(dialog, mother, ask)

                assert group in ("", *ask.options.groups)
                assert options_of(dialog, mother, ask) == ask.options.group(place) == ask.options.group(group)
