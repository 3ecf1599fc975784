"""Each flaw that a dialog can have, made by breaking one that has none."""

from __future__ import annotations

import pytest
from small import TEXTS, small_dialog

from smsflow.core.check import CODES, Severity, check_dialog
from smsflow.core.dialog import REQUIRED_TEXTS
from smsflow.core.longest import address_lengths, longest_texts

IBAN = """
  account:
    ask: iban
    text: {kk: "Шот {reply}", ru: "Счет {reply}"}
    then: check
"""
SLEEPING = """\
  expired: {wait: {woken: {then: sleeping}}, late: 1 day}
  sleeping: {wait: {turned: {then: expired}}, late: 1 day}
"""
SHADE = """\
  shade:
    ask: choice
    list: colours
    of: region
    other: colour
    text: {kk: "{example}", ru: "{example}"}
    then: check
  check:
"""
WISH = """\
  wish:
    ask: text
    text: {kk: "{reply}", ru: "{reply}"}
    then: colour
  colour:
"""
BROKEN = {
    "unreachable": [("  done: {end: done}", "  lost: {end: lost}\n  done: {end: done}")],
    "dead_end": [("  expired: {end: expired}\n", SLEEPING)],
    "endless": [
        ("    list: colours\n", "    list: colours\n    of: region\n    other: shade\n"),
        ("  check:\n", SHADE),
    ],
    "ambiguous": [("    then: colour\n", "    then: wish\n"), ("  colour:\n", WISH)],
    "no_address": [('"Имя {reply}"', '"Имя"'), ('"Аты {reply}"', '"Аты"')],
    "no_such_reply": [("{name} {reply 1} {reply 2}", "{name} {reply 1} {reply 7}")],
    "unknown_placeholder": [("Дайын: {colour}", "Дайын: {size}"), ("Готово: {colour}", "Готово: {size}")],
    "differs": [("Готово: {colour}", "Готово")],
    "too_long": [("Аты {reply}", "Аты " * 33 + "{reply}")],
    "unconfirmed": [("    then: check\n", "    then: apply\n"), ("then: {yes: apply", "then: {yes: done")],
    "unknown_name": [("with: [name, colour]", "with: [name, color]")],
    "never_late": [("    late: 3 working days\n", "")],
}


def _found(dialog):
    return [(flaw.severity, flaw.code) for flaw in check_dialog(dialog)]


def test_a_right_dialog_has_no_flaws():
    """What the other tests break is whole."""
    assert check_dialog(small_dialog()) == ()


def test_every_code_is_broken_once():
    """No code without a test."""
    assert set(BROKEN) == set(CODES)


@pytest.mark.parametrize("code", BROKEN)
def test_flaw_is_found_in_its_place(code):
    """It names its code, a line of the dialog's own file, and what to do."""
    flaws = [flaw for flaw in check_dialog(small_dialog(*BROKEN[code])) if flaw.code == code]

    assert flaws
    for flaw in flaws:
        assert flaw.finding.file == "small.yaml"
        assert flaw.finding.line > 1
        assert flaw.fix
        assert str(flaw).startswith(
            f"small.yaml:{flaw.finding.line}:{flaw.finding.column}: {flaw.severity.value} {code}: "
        )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("unreachable", "lost:"),
        ("dead_end", "sleeping:"),
        ("endless", "other: colour"),
        ("ambiguous", "wish:"),
        ("no_address", "Имя"),
        ("no_such_reply", "{reply 7}"),
        ("differs", "Дайын"),
        ("too_long", "Аты"),
        ("unconfirmed", "then: apply"),
        ("unknown_name", "with: [name, color]"),
        ("never_late", "apply:"),
    ],
)
def test_flaw_points_at_the_line(code, words):
    """Where an editor has to look."""
    dialog = small_dialog(*BROKEN[code])
    source = dialog.sources["small.yaml"].splitlines()

    lines = [source[flaw.finding.line - 1] for flaw in check_dialog(dialog) if flaw.code == code]
    assert any(words in line for line in lines)


def test_warnings_are_what_still_works():
    """A state nobody reaches, an application unconfirmed or forgotten: the mother can go on."""
    warned = {code for code in BROKEN if (Severity.WARNING, code) in _found(small_dialog(*BROKEN[code]))}

    assert warned == {"unreachable", "unconfirmed", "never_late"}


def test_an_account_must_be_confirmed_by_what_was_understood():
    """An IBAN is followed by a confirmation that shows it; any other text does not do."""
    changes = [("    then: check\n", "    then: account\n"), ("  check:\n", IBAN[1:] + "  check:\n")]
    shown = ("{name} {reply 1} {reply 2}", "{account} {reply 1} {reply 2}")

    assert (Severity.WARNING, "unconfirmed") in _found(small_dialog(*changes))
    assert _found(small_dialog(*changes, shown)) == []


def test_an_account_is_printed_by_its_last_four_only():
    """Only {account} is masked, so no other answer that is an account may be printed."""
    changes = [
        ("    then: check\n", "    then: money\n"),
        ("  check:\n", IBAN[1:].replace("account:", "money:") + "  check:\n"),
        ("{name} {reply 1} {reply 2}", "{money} {reply 1} {reply 2}"),
    ]

    assert (Severity.ERROR, "unknown_placeholder") in _found(small_dialog(*changes))


def test_a_name_and_an_account_may_share_an_address():
    """No name is an account, and no account a name."""
    changes = [
        ("    then: colour\n", "    then: account\n"),
        ("  colour:\n", IBAN[1:].replace("then: check", "then: colour") + "  colour:\n"),
    ]

    assert "ambiguous" not in {code for _, code in _found(small_dialog(*changes))}


def test_questions_for_words_may_follow_each_other_when_questions_are_numbered():
    """With `replies: fixed` each has an address of its own."""
    numbered = ("service: 1\n", "service: 1\nreplies: fixed\n")

    assert "ambiguous" not in {code for _, code in _found(small_dialog(numbered, *BROKEN["ambiguous"]))}


def test_a_list_that_some_are_passed_over_keeps_no_questions_for_words_apart():
    """Whose list is empty goes on by `other` with no digit in between; without `other` everybody answers."""
    wish = ("  check:\n", WISH.replace("then: colour\n  colour:", "then: check\n  check:"))
    skipped = ("    list: colours\n", "    list: colours\n    of: region\n    other: wish\n")
    answered = ("    then: check\n", "    then: wish\n")

    assert (Severity.ERROR, "ambiguous") in _found(small_dialog(skipped, wish))
    assert "ambiguous" not in {code for _, code in _found(small_dialog(answered, wish))}


def test_placeholders_of_a_question_have_no_value_where_none_is_open():
    """{example} in the text that says it is done shows nothing."""
    changes = [("Дайын: {colour}", "{example}"), ("Готово: {colour}", "{example}")]

    assert (Severity.ERROR, "unknown_placeholder") in _found(small_dialog(*changes))


def test_flaws_of_a_shared_text_point_into_its_file():
    """A text from texts.yaml is mended there."""
    texts = TEXTS.replace("  remind: {kk: а, ru: а}", '  remind: {kk: "{nothing}", ru: "{nothing}"}')
    flaws = check_dialog(small_dialog(texts=texts))

    line = list(REQUIRED_TEXTS).index("remind") + 2
    assert {(flaw.finding.file, flaw.finding.line) for flaw in flaws} == {("texts.yaml", line)}


def test_a_text_that_no_state_of_this_dialog_says_is_not_judged():
    """Shared texts may belong to another dialog."""
    assert check_dialog(small_dialog(texts=TEXTS + '  theirs: {kk: "{nothing}", ru: а}\n')) == ()


def test_other_languages_may_take_three_sms():
    """The budget is for Kazakh and Russian; a third language has three."""
    english = ("languages: [kk, ru]", "languages: [kk, ru, en]")
    long = "x" * 450
    changes = [
        english,
        ("{kk: Шағын, ru: Малый}", "{kk: Шағын, ru: Малый, en: Small}"),
        ('ru: "Имя {reply}"}', f'ru: "Имя {{reply}}", en: "{long} {{reply}}"}}'),
        ('ru: "{options} {example}"}', 'ru: "{options} {example}", en: "{options} {example}"}'),
        (
            'ru: "{name} {reply 1} {reply 2}"}',
            'ru: "{name} {reply 1} {reply 2}", en: "{name} {reply 1} {reply 2}"}',
        ),
        ('ru: "Готово: {colour}"}', 'ru: "Готово: {colour}", en: "Done: {colour}"}'),
    ]
    others = {
        "texts": TEXTS.replace("ru: а}", "ru: а, en: a}"),
        "lists__colours": "list: colours\noptions:\n  1: {kk: қ, ru: к, en: red}\n",
    }
    longer = [(old, new.replace(long, long + "x" * 10)) for old, new in changes]

    assert _found(small_dialog(*changes, **others)) == []
    assert _found(small_dialog(*longer, **others)) == [(Severity.ERROR, "too_long")]


def test_the_longest_text_has_the_longest_of_everything():
    """The name at 60 characters, the address with every digit."""
    longest = {(long.state or long.name, long.language): long.text for long in longest_texts(small_dialog())}

    assert longest["check", "ru"] == "Ж" * 60 + " R 0 0 0 1 R 0 0 0 2"
    assert longest["colour", "kk"] == "1 қызыл 2 жасыл R 0 0 1"
    assert longest["painted", "ru"] == "Готово: красный"


def test_the_longest_address_counts_no_question_twice():
    """Going back takes back the answers since."""
    assert address_lengths(small_dialog()) == {"name": 2, "colour": 2, "check": 3}


def test_the_longest_address_counts_pages_and_both_ways_round():
    """A code of a later page has more digits, and the longer of two ways counts."""
    rows = "".join(f"  - {{kk: к{n}, ru: к{n}}}\n" for n in range(20))
    dialog = small_dialog(lists__colours=f"list: colours\noptions:\n{rows}")
    shown = {(long.state, long.language): long.text for long in longest_texts(dialog)}

    assert address_lengths(dialog)["check"] == 5
    assert shown["colour", "kk"] == "1 к8 2 к9 3 к10 4 к11 5 к12 6 к13 7 к14 8 к15 9 а R 0 0 0 1"


def test_the_way_out_of_a_list_counts_its_pages():
    """9 on the last page leads to `other`, and every page before it was turned by a 9."""
    rows = "".join(f"  - {{kk: к{n}, ru: к{n}}}\n" for n in range(20))
    other = ("    list: colours\n", "    list: colours\n    other: wish\n")
    dialog = small_dialog(
        other, ("  check:\n", WISH.replace("colour", "check")), lists__colours=f"list: colours\noptions:\n{rows}"
    )

    assert address_lengths(dialog)["wish"] == 2 + len("999")


def test_a_dialog_with_too_many_ways_is_measured_on_the_safe_side():
    """Rather too long than too short: every answer is taken to be on the way."""
    ways = [
        (number, [f"q{(number + leap) % 24}" for leap in (1, 5, 7, 11)]) for number in range(24)
    ]  # far more ways than anybody can try
    states = "".join(
        f'  q{number}:\n    ask: choice\n    choices: {{1: а, 2: б, 3: в, 4: г}}\n    text: "{{example}}"\n'
        f"    then: {{1: {to[0]}, 2: {to[1]}, 3: {to[2]}, 4: {to[3]}}}\n"
        for number, to in ways
    )
    dialog = small_dialog(("  done: {end: done}\n", states + "  done: {end: done}\n"), ("begin: name", "begin: q0"))

    assert set(address_lengths(dialog).values()) == {2 + 24 + 2}


PIN = ("    then: colour\n", "    then: pin\n")


def _pin(length, then="colour"):
    """A question for digits, in front of `colour`."""
    pin = f'  pin:\n    ask: digits\n    length: {length}\n    text: "{{reply}}"\n    then: {then}\n  colour:\n'
    return ("  colour:\n", pin)


def test_digits_of_no_fixed_number_are_ambiguous_with_what_follows():
    """R 1 1 1234 5: five digits, or four and an answer? Nobody could tell."""
    flaws = [flaw for flaw in check_dialog(small_dialog(PIN, _pin("4-6"))) if flaw.code == "ambiguous"]

    assert [flaw.finding.trail for flaw in flaws] == ["states → pin → length"]
    assert flaws[0].severity is Severity.ERROR


def test_digits_of_a_fixed_number_are_not_ambiguous():
    """Neither are those that nothing follows, nor those under an address of their own."""
    numbered = ("service: 1\n", "service: 1\nreplies: fixed\n")

    for changes in ([_pin("4")], [_pin("4-6", "done")], [_pin("4-6"), numbered]):
        assert "ambiguous" not in {code for _, code in _found(small_dialog(PIN, *changes))}


def test_with_may_name_facts_and_answers_of_the_dialog_that_begins_this_one():
    """All that was known there is known here, choices also in words."""
    named = ("with: [name, colour]", "with: [birth_id, name, tint, tint_text]")
    dialog = small_dialog(named)
    parent = small_dialog(
        ("dialog: small", "dialog: parent"),
        ("    list: colours\n", "    list: colours\n    save: tint\n"),
        ("with: [name, colour]", "with: [name]"),
        ("done: {end: done}", "done: {end: done, begin: small}"),
        ("Дайын: {colour}", "Дайын"), ("Готово: {colour}", "Готово"),
    )  # fmt: skip

    assert [flaw.code for flaw in check_dialog(dialog)] == ["unknown_name", "unknown_name"]
    assert "birth_id" in check_dialog(dialog)[0].fix
    assert check_dialog(dialog, (dialog, parent)) == ()
    assert check_dialog(parent, (dialog, parent)) == ()


LANGUAGE = """\
  tongue:
    ask: language
    choices: {1: kk, 2: ru}
    text: "{reply 1} {reply 2}"
    then: name
  name:
"""
TONGUE = [("begin: name", "begin: tongue"), ("  name:\n", LANGUAGE)]


@pytest.mark.parametrize(
    ("hint", "code"),
    [
        ("{reply 1} {reply 2}", None),
        ("{reply 3}", "no_such_reply"),
        ("{nothing}", "unknown_placeholder"),
        ("а" * 140, "too_long"),
    ],
)
def test_a_text_for_her_who_has_not_chosen_is_judged_where_it_can_occur(hint, code):
    """Against the question for the language; in a dialog that has none it is nobody's text."""
    texts = TEXTS + f'  hint_form_unheard: "{hint}"\n'

    assert {flaw.code for flaw in check_dialog(small_dialog(*TONGUE, texts=texts))} == ({code} if code else set())
    assert check_dialog(small_dialog(texts=texts)) == ()


def test_a_text_for_her_who_has_not_chosen_may_not_answer_another_question():
    """Who is asked yes or no first would read that yes is Kazakh."""
    first = ("  tongue:\n", '  sure:\n    ask: confirm\n    text: "{reply 1}"\n    then: tongue\n  tongue:\n')
    dialog = small_dialog(
        *TONGUE, first, ("begin: tongue", "begin: sure"), texts=TEXTS + '  remind_unheard: "{reply 1}"\n'
    )

    assert (Severity.ERROR, "no_such_reply") in _found(dialog)


def test_no_text_for_her_who_has_not_chosen_when_the_language_is_known_from_the_start():
    """`language known` leads past the question; what follows is in her language."""
    known = ("begin: tongue", "begin: {language known: name, otherwise: tongue}")

    assert small_dialog(*TONGUE, known).unheard_states() == {"tongue", "expired"}
    assert small_dialog().unheard_states() == frozenset()
