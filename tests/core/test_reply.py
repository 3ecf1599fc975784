"""Replies: the corpus, the coercions by name, and what holds for any text."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smsflow.core import reply
from smsflow.core.conversation import Conversation
from smsflow.core.events import Answered, Began
from smsflow.core.questions import Found, Missed, find_answer
from smsflow.core.reply import (
    COERCIONS,
    REASONS,
    Answer,
    Keyword,
    Kind,
    Misread,
    Question,
    answer,
    is_before_name,
    may_answer,
    read,
    spell,
)
from smsflow.core.step import step

CORPUS = yaml.safe_load(Path(__file__).with_name("replies.yaml").read_text("utf-8"))


def _question(facts):
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return Question(**{**lists, "kind": Kind(facts["kind"])})


QUESTIONS = {name: _question(facts) for name, facts in CORPUS["questions"].items()}
SPELLED = [
    pytest.param(text, group["to"], group["bare"], verdict, expected, id=f"{group['to']}-{text[:40]!a}")
    for group in CORPUS["replies"]
    for verdict in ("accept", "refuse")
    for expected, texts in group.get(verdict, {}).items()
    for text in texts
]
CHOICE = QUESTIONS["education"]


@pytest.mark.parametrize(("text", "to", "bare", "verdict", "expected"), SPELLED)
def test_spelled_reply_is_read_as_the_corpus_says(text, to, bare, verdict, expected):
    """Every spelling in the corpus gives its value, or its reason."""
    result = answer(read(text), QUESTIONS[to], bare=bare)

    if verdict == "accept":
        assert isinstance(result, Answer), result
        assert expected == " ".join(filter(None, (result.value, result.also)))
        assert set(result.coercions) <= COERCIONS.keys()
        assert list(result.coercions) == sorted(set(result.coercions))
    else:
        assert isinstance(result, Misread), result
        assert expected == result.reason
        assert 0 <= result.position <= len(text)


def test_corpus_is_large_and_shows_every_reason():
    """The corpus has at least 400 spellings, and each reason but two has a text that earns it."""
    reasons = {case.values[4] for case in SPELLED if case.values[3] == "refuse"}

    assert len(SPELLED) >= 400
    assert reasons == REASONS.keys() - {"too_long", "ambiguous"}


@pytest.mark.parametrize(
    ("text", "coercions"),
    [
        ("R 1 1 2 1", ()),
        ("r 1 1 2 1", ("lower_r",)),
        ("Р 1 1 2 1", ("r_lookalike",)),
        (" R 1 1 2 1", ("leading",)),
        ("R1121", ("missing_blank",)),
        ("R 1 1 2  1", ("extra_blank",)),
        ("R 1 1 2 1 ", ("extra_blank",)),
        ("R.1.1.2.1", ("dot",)),
        ("R,1,1,2,1", ("comma",)),
        ("R-1-1-2-1", ("dash",)),
        ("R/1/1/2/1", ("slash",)),
        ("R:1;1:2;1", ("colon",)),
        ("R_1_1_2_1", ("underscore",)),
        ("R*1*1*2*1#", ("star",)),
        ("R 1 1 2 1@", ("at_sign",)),
        ("R '1 1 2 1'", ("quote",)),
        ("R(1)1(2)1", ("bracket",)),
        ("R\n1\n1\n2\n1", ("line_break",)),
        ("R\t1\t1\t2\t1", ("tab",)),
        ("R\u00a01 1 2 1", ("unicode_blank",)),
        ("R\u200b1 1 2 1", ("zero_width",)),
        ("R\x011 1 2 1", ("control",)),
        ("R І 1 2 1", ("digit_letter",)),
        ("R １ 1 2 1", ("digit_shape",)),
        ("R 1\ufe0f\u20e3 1 2 1", ("keycap",)),
        ("1 1 2 1", ("no_r",)),
        ("1", ("bare",)),
        ("R 1 1 2 1 рахмет", ("courtesy",)),
        ("R 1 1 2 1 Sent from my iPhone", ("signature",)),
        ("R 1 1 2 1!", ("trailing_mark",)),
    ],
)
def test_each_coercion_is_counted_by_its_name(text, coercions):
    """One departure from the canonical spelling gives one name."""
    assert Answer("1", None, coercions) == answer(read(text), CHOICE, bare=True)


@pytest.mark.parametrize(
    ("to", "text", "coercions"),
    [
        ("order", "да", ("bare", "word")),
        ("name", "R 1 1 2 Ким  Анна", ("name_spelling",)),
        ("name", "R112Ким Анна", ("missing_blank",)),
        ("name", "R 1 1 2 Ким Анна", ()),
        ("iban", "R 3 1 1 2 KZ86 125KZT5004100100", ("iban_spelling",)),
        ("iban", "R 3 1 1 2 IBAN KZ86125KZT5004100100", ("iban_label",)),
        ("account", "R 3 1 1 2 KZ86125KZT5004100100", ()),
        ("iban", "R 3 1 1 2 KZ86125KZT5004100100@", ("iban_spelling",)),
        ("street", "R 5 1 10/2 мкр", ()),
    ],
)
def test_coercions_of_texts_are_counted_too(to, text, coercions):
    """Words, names and accounts have their own names; what belongs to the text is no coercion."""
    assert coercions == answer(read(text), QUESTIONS[to], bare=True).coercions


def test_an_at_sign_is_left_where_it_may_be_meant():
    """Around a text of her own it stays; a command is known with the NUL that reads so."""
    assert answer(read("R 5 1 @dom.kz, mail@"), QUESTIONS["street"], bare=False).value == "@dom.kz, mail@"
    assert read("STOP@").keyword is Keyword.STOP
    assert read("a@STOP").keyword is None


def test_every_reading_of_a_coercion_has_a_sentence():
    """Names are machine-readable, sentences are not empty."""
    for name, sentence in {**COERCIONS, **REASONS}.items():
        assert name.isidentifier()
        assert sentence


@pytest.mark.parametrize("text", ["STOP", "стоп", "Тоқтату!", "«токтату»", " stop ", "SТОP"])
def test_stop_is_the_whole_text(text):
    """Any case, marks and quotes around it, Latin or Cyrillic look-alikes."""
    assert read(text).keyword is Keyword.STOP


@pytest.mark.parametrize("text", ["?", "R ?", "r?", "Р ?", "help", "Көмек", "комек", "ПОМОЩЬ", "помощь?"])
def test_help_is_the_whole_text(text):
    """`R ?` with any R, a lone question mark, and the words."""
    assert read(text).keyword is Keyword.HELP


@pytest.mark.parametrize(
    "text", ["STOP 1", "не стоп", "стоп?", "R STOP", "нестоп", "R 1 ?", "stop stop", "RR?", ""]
)
def test_what_is_not_the_whole_text_is_no_keyword(text):
    """A word inside a text commands nothing."""
    assert read(text).keyword is None


@pytest.mark.parametrize("text", ["Рахимов Нурлан", "Я не понимаю", "К сожалению", "Розы", "РОЗА", "Roza", "Г", ""])
def test_a_lookalike_is_an_r_only_alone_or_before_digits(text):
    """Names and sentences that begin with Р, К, Я or Г hold no R; a lone letter does."""
    assert read(text).has_r is (text == "Г")


def test_reading_gives_what_follows_its_digits():
    """`after` leaves the raw text, separators on its left dropped."""
    reading = read("R1.1.2, 6-мкр  5")

    assert reading.digits == "1126"
    assert reading.after(3) == "6-мкр  5"
    assert reading.after(4) == "мкр  5"
    assert reading.after(0) == "1.1.2, 6-мкр  5"


@pytest.mark.parametrize(
    "phrase",
    ["Высшее Образование", "Жоғары Білім", "Бәрі Дұрыс", "Общее Среднее", "Арнаулы Орта", "Орта Арнаулы",
     "Свое Дело", "Отдел РАГС", "Источник Дохода", "Всё Верно", "Вост. Казахстан"],
)  # fmt: skip
def test_words_of_another_question_are_no_bare_name(shipped, phrase):
    """She answers what she has read elsewhere, or says that all is right; with the address it is her word."""
    dialog, conversation = asked_for_a_name(shipped)

    assert isinstance(find_answer(read(phrase), [(dialog, conversation)]), Missed)


@pytest.mark.parametrize("name", ["Ахметов Нурлан", "Абаев Абай", "Жамбыл Алатау", "Орта Ұлы Дінмұхамедұлы"])
def test_places_and_what_else_a_person_may_be_called_are_bare_names(shipped, name):
    """A label of one word that is written large is a place, and a place may be a name; a patronymic settles it."""
    dialog, conversation = asked_for_a_name(shipped)

    assert find_answer(read(name), [(dialog, conversation)]) == Found(0, "child_name", name, "", ("bare",))


def asked_for_a_name(shipped):
    """A mother who has chosen her language in the registration."""
    dialog, at = shipped["birth-registration"], datetime(2026, 11, 18, tzinfo=UTC)
    conversation = Conversation(1, dialog.name, dialog.revision, "b1", "77011234567", "1", "kk")
    asked = step(dialog, conversation, Began(at, at)).conversation
    named = step(dialog, asked, Answered(at, "greeting", "2", "", "R 1 1 2", ())).conversation
    assert named.state == "child_name"
    return dialog, named


def test_two_readings_with_different_answers_are_never_guessed():
    """An address that begins another one, and digits that may be an address, are refused as ambiguous."""
    nested = Question(Kind.CHOICE, ("11", "112"), codes=("21", "1"))
    digits = Question(Kind.DIGITS, ("11",), length=(1, 6))

    assert answer(read("R 1 1 2 1"), nested, bare=False).reason == "ambiguous"
    assert answer(read("1 1 2 1"), digits, bare=True).reason == "ambiguous"
    assert answer(read("1 1 2 1"), digits, bare=False).value == "21"


@pytest.mark.parametrize("kind", list(Kind))
def test_very_long_texts_take_no_time(kind):
    """10,000 characters of anything are refused in far less than a second."""
    question = Question(kind, ("112",), codes=("1", "2"), with_iban=("2",), yes_no=True)
    pieces = ("R 1 1 2 ", "1", "О", "1О", "рахмет ", "спасибо", " ", ".", "R", "Р ", "Отправлено с ", "Ким ",
              "\u200b", "1\ufe0f\u20e3", "\ud83d", "-", "?", "KZ86", "sent from sent from ", "!", "а-")  # fmt: skip
    for head in ("", "R 1 1 2 ", "R 1 1 2 1 "):
        for piece in pieces:
            text = (head + piece * 10_000)[:10_000]
            began = time.perf_counter()
            result = answer(read(text), question, bare=True)
            assert time.perf_counter() - began < 0.5, (head, piece)
            assert isinstance(result, Misread) or not any(sign.isalnum() for sign in piece)


# --- properties -----------------------------------------------------------------------------------------------

SIGNS = 'RrРКЯГ® 0123456789ОоЗІlбЧ.,-/:;_*#"«»()!?\n\t\u00a0\u200b\ufeff\ufe0f\u20e3１①٣\ud800\x00АхметовKZ+рахмет'
TEXTS = st.one_of(
    st.text(st.characters(), max_size=60),
    st.text(SIGNS, max_size=40),
    st.lists(
        st.sampled_from(
            ["R", "r", "Р", "1", "2", "112", "31", "Ахметов", "Нурлан", "рахмет", "KZ86125KZT5004100100", "да",
             "не", "?", ".", " ", " ", " ", "О", "Sent from my iPhone", "51", "улица", "3112", "050000", "52"]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip


@settings(max_examples=600, deadline=None, derandomize=True)
@given(TEXTS, st.sampled_from(sorted(QUESTIONS)), st.booleans())
@example("\ud83d", "name", True)
def test_any_text_is_read_and_answered(text, to, bare):
    """No text raises; every result is closed: a valid value, or a documented reason and a position inside."""
    reading = read(text)
    result = answer(reading, QUESTIONS[to], bare=bare)

    assert set(reading.coercions) <= COERCIONS.keys()
    assert len(reading.ends) == len(reading.digits)
    assert reading.digits.isdigit() or not reading.digits
    if isinstance(result, Misread):
        assert result.reason in REASONS
        assert 0 <= result.position <= len(text)
    else:
        assert set(result.coercions) <= COERCIONS.keys()
        result.value.encode()
    for n in range(len(reading.digits) + 1):
        assert text.endswith(reading.after(n))


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.one_of(TEXTS, st.text("123", max_size=6).map(spell)), st.sampled_from(sorted(QUESTIONS)))
@example("R 3 1 1 2 3", "iban")
def test_what_may_be_passed_over_is_no_answer(text, to):
    """The quick look passes over no answer, and over no account in vain, which earns its own hint."""
    reading = read(text)
    result = answer(reading, QUESTIONS[to], bare=False)

    if isinstance(result, Answer) or result.reason == "bad_iban":
        assert may_answer(reading, QUESTIONS[to])


def test_digits_of_another_question_are_passed_over():
    """The quick look is of use: most replies are digits alone."""
    assert not may_answer(read("R 1 1 2 1 1"), CHOICE)
    assert not may_answer(read("R 1 1 2 1"), QUESTIONS["name"])
    assert may_answer(read(f"R {' '.join(CHOICE.addresses[0])} {CHOICE.codes[0]}"), CHOICE)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(TEXTS, st.sampled_from(sorted(QUESTIONS)), st.booleans())
def test_the_canonical_spelling_of_an_accepted_answer_means_the_same(text, to, bare):
    """What was accepted can be written canonically, is then accepted without coercion, with the same value."""
    question = QUESTIONS[to]
    result = answer(read(text), question, bare=bare)
    if isinstance(result, Misread):
        return
    digits = question.addresses[0]
    wordy = question.kind in {Kind.NAME, Kind.IBAN, Kind.TEXT}
    text = spell(digits, result.value) if wordy else spell(digits + result.value, result.also or "")

    assert Answer(result.value, result.also, ()) == answer(read(text), question, bare=False)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text("0123456789 ", min_size=1, max_size=14), st.booleans())
def test_junk_digits_are_never_a_choice(digits, has_r):
    """Digits are an answer only when they are exactly an address and a code, or one code alone and bare."""
    joined = digits.replace(" ", "")
    result = answer(read(("R " if has_r else "") + digits), CHOICE, bare=True)

    full = joined[:3] == "112" and joined[3:] in CHOICE.codes
    assert isinstance(result, Answer) is (full or (not has_r and joined in CHOICE.codes))


NAMES = st.lists(
    st.sampled_from(
        ["Ахметов", "Нурлан", "Ерболұлы", "Әлия", "Оспанов", "Зоя", "О", "Ли", "Ким", "Кім", "Цой", "Не", "Понимаю",
         "Скажите", "Білмеймін", "Рахмет", "Рақмет", "Спасибо", "Көп", "Тегі", "Отправлено", "Через", "Телефоннан",
         "Жіберілді", "Да", "Нет", "әлі", "Есім", "нурлан", "АХМЕТОВ", "Ким-Цой", "Ответьте", "Хакім", "!", "7"]
    ),
    max_size=4,
).map(" ".join)  # fmt: skip


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.one_of(TEXTS, st.builds(spell, st.text("1234567890", max_size=25), st.one_of(TEXTS, NAMES))))
@example("R 1 1 2 Оспанов Олжас")
@example("R 1 1 2 О Сергей")
@example("R 1 1 2 Зоо-Парк")
@example("R 1 1 2\n")
def test_what_is_spelled_as_asked_for_is_read_as_sign_by_sign(text):
    """The quick way is the grammar's: the same reading in every part."""
    assert read(text) == reply._read_slowly(text)


@settings(max_examples=3000, deadline=None, derandomize=True)
@given(NAMES)
@example("Ахметов Ұзақ Бейсенұлы")
@example("Отправлено Через Нурлан")
@example("Телефоннан Жіберілді")
@example("Ахметов Кім")
@example("Ахметов Нурлан Рахмет")
@example("Ахметовахметовахметов Нурланнурланнурлан Ерболұлыерболұлыерболұлы")
def test_a_name_that_needs_no_cleaning_is_what_cleaning_leaves(text):
    """The quick look takes no words for a name that are none, and none that are followed by thanks."""
    assert reply._clean_name(text) == reply._clean_name_slowly(text)


def test_most_names_need_no_cleaning():
    """The quick look is of use, in Kazakh and in Russian letters; it passes over what has to be looked at."""
    for name in ("Ахметов Нурлан Ерболулы", "Әбілқасымова Айгүл", "Оспанов Чингиз"):
        assert is_before_name(read(f"R 1 1 2 {name}"))
    for words in ("Рахмет Айгүл", "Не Понимаю", "ким анна", "Да", ""):
        assert not is_before_name(read(f"R 1 1 2 {words}"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TEXTS, st.booleans())
def test_a_strict_question_takes_only_the_canonical_spelling(text, bare):
    """With `strict`, an accepted text is one of the canonical ones."""
    question = QUESTIONS["strict"]
    result = answer(read(text), question, bare=bare)

    assert isinstance(result, Answer) is (text in {spell("1121"), spell("1122")})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.characters(blacklist_characters=" "), min_size=1, max_size=20))
def test_no_text_after_an_answer_passes_unless_it_is_harmless(tail):
    """Words behind a complete answer refuse it, unless every coercion that forgave them is named."""
    result = answer(read(f"R 1 1 2 1 {tail}"), CHOICE, bare=True)

    assert isinstance(result, Misread) or (result.value == "1" and result.coercions)
