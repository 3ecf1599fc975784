"""Dialogs read from text: what each key makes, and everything that can be wrong, in its place, all at once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from small import COLOURS, SMALL, TEXTS, small_dialog, small_files

from smsflow.core.dialog import REQUIRED_TEXTS, Ask, Branch, End, Reaction, Rule, Rung, Scheme, Wait
from smsflow.core.durations import Duration
from smsflow.core.errors import DialogError
from smsflow.core.reader import read_dialog, read_dialogs, revision_of
from smsflow.core.reply import Kind
from smsflow.core.text import Placeholder

COLOUR = '    list: colours\n    text: {kk: "{options} {example}", ru: "{options} {example}"}\n    then: check\n'
BEGIN = "begin: name\n"
DONE = "  done: {end: done}\n"


def _errors(files, name="small.yaml"):
    with pytest.raises(DialogError) as caught:
        read_dialog(files, name)
    return [str(finding) for finding in caught.value.findings]


def _colour(instead):
    return (COLOUR, instead)


def _ask(kind, then="done", more=""):
    """A state `extra` in front of `done`."""
    return (DONE, f'  extra:\n    ask: {kind}\n    text: "{{reply}}"\n{more}    then: {then}\n{DONE}')


WRONG = {
    # the dialog
    "key unknown": ([("service: 1", "servise: 1")], "small.yaml:3:1: servise: unknown key"),
    "key missing": ([("service: 1\n", "")], "small.yaml:1:1: service: missing"),
    "service": ([("service: 1", "service: 12")], "small.yaml:3:1: service: "),
    "budget": (
        [(BEGIN, "budget: two\n" + BEGIN)],
        "small.yaml:6:1: budget: expected such as `2 segments`, got 'two'",
    ),
    "replies": (
        [(BEGIN, "replies: free\n" + BEGIN)],
        "small.yaml:6:1: replies: expected 'path' or 'fixed', got 'free'",
    ),
    "rung": ([(BEGIN, "not understood: [shout]\n" + BEGIN)], "small.yaml:6:18: not understood → 1: expected "),
    "title": ([(", ru: Малый", "")], "small.yaml:2:1: title: ru is missing"),
    "begin": ([(BEGIN, "begin: nowhere\n")], "small.yaml:6:1: begin: no state is called nowhere"),
    "begin rule": (
        [(BEGIN, "begin: {it rains: name, otherwise: name}\n")],
        "small.yaml:6:9: begin → it rains: expected a code (none), a rule (account known …) or otherwise",
    ),
    "begin otherwise": (
        [(BEGIN, "begin: {address known: name}\n")],
        "small.yaml:6:1: begin: no way on when no rule holds; add it, or `otherwise`",
    ),
    # silence
    "duration": ([("give up: 72h", "give up: soon")], "small.yaml:5:26: silence → give up: "),
    "reminders": (
        [("remind: [24h]", "remind: [48h, 24h]")],
        "small.yaml:5:31: silence → give up: reminders must rise",
    ),
    "silence then": (
        [("then: expired}", "then: gone}")],
        "small.yaml:5:40: silence → then: no state is called gone",
    ),
    # states
    "state kind": (
        [(DONE, "  done: {say: painted}\n")],
        "small.yaml:27:3: states → done: a state asks, waits or ends",
    ),
    "state key": (
        [(DONE, "  done: {end: done, then: name}\n")],
        "small.yaml:27:21: states → done → then: unknown key",
    ),
    "ask kind": ([("ask: name", "ask: colour")], "small.yaml:9:5: states → name → ask: expected "),
    "then unknown": (
        [("then: colour\n", "then: color\n")],
        "small.yaml:11:5: states → name → then: no state is called color",
    ),
    "no text": (
        [('    text: {kk: "Аты {reply}", ru: "Имя {reply}"}\n', "")],
        "small.yaml:8:3: states → name: a question has its own `text`, or `say` names one of the texts",
    ),
    "text and say": (
        [("    ask: name\n", "    ask: name\n    say: painted\n")],
        "small.yaml:8:3: states → name: a question has its own `text`, or `say` names one of the texts",
    ),
    "question say": (
        [('    text: {kk: "Аты {reply}", ru: "Имя {reply}"}\n', "    say: nothing\n")],
        "small.yaml:10:5: states → name → say: no text is called nothing",
    ),
    "language missing": ([(', ru: "Имя {reply}"', "")], "small.yaml:10:5: states → name → text: ru is missing"),
    "language unknown": (
        [('ru: "Имя {reply}"', 'ru: "Имя {reply}", en: "Name"')],
        "small.yaml:10:50: states → name → text → en: en is not among the languages of this dialog",
    ),
    "placeholder": (
        [("Имя {reply}", "Имя {Reply!}")],
        "small.yaml:10:31: states → name → text → ru: {Reply!} is not a placeholder",
    ),
    "brace": (
        [("Имя {reply}", "Имя {reply")],
        "small.yaml:10:31: states → name → text → ru: a brace without its partner",
    ),
    "not its key": (
        [("ask: name", "ask: name\n    list: colours")],
        "small.yaml:10:5: states → name → list: `ask: name` has no `list`",
    ),
    "length missing": ([_ask("digits")], "small.yaml:27:3: states → extra → length: expected how many digits"),
    "length": (
        [_ask("digits", more="    length: 6-4\n")],
        "small.yaml:30:5: states → extra → length: expected how many digits, such as 4 or 4-6",
    ),
    # choices
    "no choices": (
        [_colour('    text: "{example}"\n    then: check\n')],
        "small.yaml:12:3: states → colour: `ask: choice` needs `choices` or `list`",
    ),
    "no languages": ([_ask("language")], "small.yaml:27:3: states → extra: `ask: language` needs `choices`"),
    "choice language": (
        [_ask("language", more="    choices: {1: kk, 2: fr}\n")],
        "small.yaml:30:22: states → extra → choices → 2: expected a language of this dialog: kk, ru",
    ),
    "choice words": (
        [_ask("choice", more="    choices: {1: {kk: а}}\n")],
        "small.yaml:30:15: states → extra → choices → 1: ru is missing",
    ),
    "choice code": (
        [_ask("choice", more="    choices: {a: б}\n")],
        "small.yaml:30:15: states → extra → choices → a: ",
    ),
    "unclear codes": (
        [_ask("choice", more="    choices: {1: а, 12: б}\n")],
        "small.yaml:30:15: states → extra → choices → 1: 1 is the beginning of 12: nobody could tell",
    ),
    "many choices": (
        [_ask("choice", more="    choices: {" + ", ".join(f"{n}: а" for n in range(10)) + "}\n")],
        "small.yaml:30:5: states → extra → choices: 10 choices; more than 9 need a `list`",
    ),
    "other is taken": (
        [_ask("choice", more="    choices: {1: а, 9: б}\n    other: done\n")],
        "small.yaml:31:5: states → extra → other: 9 is taken by a choice; `other` needs it",
    ),
    "of without other": (
        [("    list: colours\n", "    list: colours\n    of: region\n")],
        "small.yaml:15:5: states → colour → of: needs `other`",
    ),
    "other unknown": (
        [("    list: colours\n", "    list: colours\n    other: region\n")],
        "small.yaml:15:5: states → colour → other: no state is called region",
    ),
    "no such list": (
        [("list: colours", "list: shades")],
        "small.yaml:14:5: states → colour → list: there is no file lists/shades.yaml",
    ),
    "code without a way": (
        [(COLOUR, COLOUR.replace("then: check", "then: {1: check}"))],
        "small.yaml:16:5: states → colour → then: no way on for 2; add it, or `otherwise`",
    ),
    "way without a code": (
        [(COLOUR, COLOUR.replace("then: check", "then: {1: check, 2: check, 3: check}"))],
        "small.yaml:16:32: states → colour → then → 3: expected a code (1, 2), a rule (account known …)",
    ),
    # waits and ends
    "with without send": (
        [("    send: paint\n", "")],
        "small.yaml:22:5: states → apply → with: `with` says what is sent; `send` is missing",
    ),
    "nothing awaited": (
        [("      painted: {say: painted, then: done}\n", ""), ("    wait:\n", "    wait: {}\n")],
        "small.yaml:24:5: states → apply → wait: must name at least one event",
    ),
    "no event leads on": (
        [("{say: painted, then: done}", "{say: painted}")],
        "small.yaml:24:5: states → apply → wait: no event leads on: at least one needs `then`",
    ),
    "event then": (
        [("then: done}", "then: ready}")],
        "small.yaml:25:31: states → apply → wait → painted → then: no state is called ready",
    ),
    "event say": (
        [("{say: painted,", "{say: wet,")],
        "small.yaml:25:17: states → apply → wait → painted → say: no text is called wet",
    ),
    "late": ([("late: 3 working days", "late: never")], "small.yaml:26:5: states → apply → late: "),
    "end say": (
        [("done: {end: done}", "done: {end: done, say: bye}")],
        "small.yaml:27:21: states → done → say: no text is called bye",
    ),
    # texts
    "text language": ([(', ru: "Готово: {colour}"', "")], "small.yaml:30:3: texts → painted: ru is missing"),
}


@pytest.mark.parametrize(("changes", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_in_its_place(changes, expected):
    """With file, line, column, the trail to it, and what to do."""
    errors = _errors(small_files(*changes))

    assert any(error.startswith(expected) for error in errors), errors


def test_everything_that_is_wrong_comes_at_once():
    """An editor mends a file in one go, from the top."""
    changes = [change for name in ("late", "event then", "language missing") for change in WRONG[name][0]]
    shared = TEXTS.replace("  remind: {kk: а, ru: а}\n", "  remind: {kk: а}\n")
    errors = _errors(small_files(*changes, texts=shared, lists__colours=COLOURS.replace(", ru: красный", "")))

    assert [error.split(": ")[0] for error in errors] == [
        "lists/colours.yaml:3:3",
        "small.yaml:10:5",
        "small.yaml:25:31",
        "small.yaml:26:5",
        f"texts.yaml:{list(REQUIRED_TEXTS).index('remind') + 2}:3",
    ]


def test_a_wrong_key_at_the_top_does_not_hide_a_wrong_key_below():
    """The states are read even when the dialog as a whole cannot be."""
    errors = _errors(small_files(("service: 1", "servise: 1"), ("    send: paint\n", "    sent: paint\n")))

    assert [error.split(" ", 1)[1] for error in errors] == [
        "service: missing",
        "servise: unknown key",
        "states → apply → sent: unknown key",
    ]


def test_a_missing_text_is_named_with_its_purpose():
    """Each text that every dialog needs, one by one."""
    for name, purpose in REQUIRED_TEXTS.items():
        if name in ("hint_iban", "hint_digits"):
            continue  # for questions that the small dialog does not ask
        lines = [line for line in TEXTS.splitlines() if not line.startswith(f"  {name}:")]
        assert _errors(small_files(texts="\n".join(lines))) == [
            f"small.yaml:29:1: texts: no text is called {name} ({purpose})"
        ]


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (COLOURS.replace(", ru: красный", ""), "lists/colours.yaml:3:3: options → 1: ru is missing"),
        (COLOURS + "  11: {kk: а, ru: а}\n", "lists/colours.yaml:3:3: options → 1: 1 is the beginning of 11"),
        ("list: colours\n", "lists/colours.yaml:1:1: a list has either `options` or `groups`"),
        ("list: colours\ngroups: {a: []}\n", "lists/colours.yaml:2:10: groups → a: must not be empty"),
        ("list: colours\noptions:\n  - {kk: а}\n", "lists/colours.yaml:3:5: options → 1: ru is missing"),
        ("list: colours\nshades: 1\n", "lists/colours.yaml:2:1: shades: unknown key"),
        (COLOURS + "list: again\n", "lists/colours.yaml:5:1: list: repeated: it stands on line 1 already"),
        ("options: [", "lists/colours.yaml:2:1: expected a value here"),
        (
            COLOURS.replace("list: colours", "list: colors"),
            "lists/colours.yaml:1:1: list: expected colours, as the file",
        ),
    ],
)
def test_what_is_wrong_in_a_list_is_named_in_its_file(colours, expected):
    """The list's own file and line, not the dialog's."""
    errors = _errors(small_files(lists__colours=colours))

    assert any(error.startswith(expected) for error in errors), errors


def test_errors_between_dialogs_are_found():
    """Two of one name, two that start at a birth, one that begins what is not there."""
    starts = ("service: 1\n", "service: 1\nstarts: birth\n")
    files = small_files(starts)
    twin = small_files(starts, (DONE, "  done: {end: done, begin: missing}\n"))["small.yaml"]
    with pytest.raises(DialogError) as caught:
        read_dialogs(files | {"twin.yaml": twin})

    assert [str(finding) for finding in caught.value.findings] == [
        "small.yaml:1:1: dialog: small is the name of twin.yaml too",
        "small.yaml:3:1: service: the replies to small begin with 1 too; each dialog has a digit of its own",
        "small.yaml:4:1: starts: only one dialog may start at a birth; small does too",
        "twin.yaml:1:1: dialog: small is the name of small.yaml too",
        "twin.yaml:3:1: service: the replies to small begin with 1 too; each dialog has a digit of its own",
        "twin.yaml:4:1: starts: only one dialog may start at a birth; small does too",
        "twin.yaml:28:21: states → done → begin: no dialog is called missing; known: small",
    ]


def test_a_folder_without_a_dialog_is_an_error():
    """Nothing could ever be asked."""
    with pytest.raises(DialogError, match="no dialog here"):
        read_dialogs({"texts.yaml": TEXTS})


# --- what is read -----------------------------------------------------------------------------------


def test_a_dialog_is_what_its_file_says():
    """Key by key."""
    dialog = small_dialog()

    assert (dialog.name, dialog.service, dialog.languages, dialog.budget) == ("small", "1", ("kk", "ru"), 2)
    assert dialog.scheme is Scheme.PATH
    assert dialog.ladder == tuple(Rung)
    assert dialog.begin == (Branch("name"),)
    assert not dialog.starts_at_birth
    assert list(dialog.states) == ["name", "colour", "check", "apply", "done", "expired"]
    assert dialog.states["done"] == End("done", "done")
    assert dialog.states["apply"] == Wait(
        "apply", {"painted": Reaction("painted", (), "done")}, "paint", ("name", "colour"), Duration(working_days=3)
    )


def test_a_question_is_what_its_state_says():
    """Kind, list, text, ways on; what is not written has one meaning."""
    ask = small_dialog().states["check"]

    assert isinstance(ask, Ask)
    assert (ask.kind, ask.yes_no, ask.save) == (Kind.CHOICE, True, "check")
    assert ask.then == (Branch("apply", code="1"), Branch("name", code="2"))
    assert ask.text["kk"] == (
        Placeholder("name"), " ", Placeholder("reply", "1"), " ", Placeholder("reply", "2"),
    )  # fmt: skip
    assert (ask.silence.remind, ask.silence.give_up) == ((Duration(86400),), Duration(3 * 86400))


def test_a_code_decides_before_a_rule_whatever_their_order():
    """`otherwise` is last; so nobody strands a mother by moving a line."""
    ways = "then: {otherwise: done, account known: name, birth_order at least 4: colour, no: name}"
    ask = small_dialog(("then: {yes: apply, no: name}", ways)).states["check"]

    assert isinstance(ask, Ask)
    assert ask.then == (
        Branch("name", code="2"),
        Branch("name", rule=Rule("account known")),
        Branch("colour", rule=Rule("birth_order at least", 4)),
        Branch("done"),
    )


def test_a_question_may_say_a_text_that_is_written_once():
    """`say` means the same as everywhere: one of the texts."""
    own = '    text: {kk: "Аты {reply}", ru: "Имя {reply}"}\n'
    dialog = small_dialog((own, "    say: ask_name\n"), texts=TEXTS + '  ask_name: "{reply}"\n')

    ask = dialog.states["name"]
    assert isinstance(ask, Ask)
    assert ask.text == {"kk": (Placeholder("reply"),), "ru": (Placeholder("reply"),)}


def test_a_text_of_the_dialog_counts_before_a_shared_one():
    """A dialog may say `remind` in its own words."""
    dialog = small_dialog(("texts:\n  painted:", 'texts:\n  remind: {kk: "Күтеміз", ru: "Ждем"}\n  painted:'))

    assert dialog.texts["remind"]["ru"] == ("Ждем",)
    assert dialog.texts["desk"]["ru"] == ("а",)


def test_texts_are_one_line_however_they_are_written():
    """A folded text of several lines has single blanks."""
    folded = ('"Готово: {colour}"}', '"Готово:\n      {colour}"}')

    assert small_dialog(folded).texts["painted"]["ru"] == ("Готово: ", Placeholder("colour"))


def test_a_list_without_codes_is_numbered_page_by_page():
    """1 to 8, then 91 to 98, 991 …: no code is the beginning of another."""
    rows = "".join(f"  - {{id: i{n}, kk: к, ru: к}}\n" for n in range(18))
    ask = small_dialog(lists__colours=f"list: colours\noptions:\n{rows}").states["colour"]

    assert isinstance(ask, Ask)
    assert ask.options is not None
    codes = [option.code for option in ask.options.group("")]
    assert codes == [*"12345678", *(f"9{n}" for n in range(1, 9)), "991", "992"]
    assert ask.options.group("")[17].id == "i17"


def test_a_group_is_found_by_the_longest_beginning():
    """An address in Almaty has Almaty's list, and one nowhere has none."""
    groups = 'list: colours\ngroups:\n  "7": [{kk: а, ru: а}]\n  "75": [{kk: б, ru: б}]\n'
    other = ("    list: colours\n", "    list: colours\n    of: region\n    other: check\n")
    ask = small_dialog(other, lists__colours=groups).states["colour"]

    assert isinstance(ask, Ask)
    assert ask.options is not None
    assert [option.label["kk"] for option in ask.options.group("751710000")] == ["б"]
    assert [option.label["kk"] for option in ask.options.group("71")] == ["а"]
    assert ask.options.group("10") == ()


def test_questions_are_numbered_under_fixed_replies():
    """As wide as the last number, so that none is the beginning of another."""
    dialog = small_dialog(("service: 1\n", "service: 1\nreplies: fixed\n"))

    assert [ask.number for ask in dialog.questions()] == ["1", "2", "3"]


def test_the_revision_is_that_of_every_file_used():
    """A change in a list is another revision; one in a file that is not used is none."""
    revision = small_dialog().revision

    assert revision.startswith("sha256:")
    assert revision == revision_of(small_files())
    assert small_dialog(lists__colours=COLOURS + "# changed\n").revision != revision
    assert small_dialog(lists__shades="list: shades\n").revision == revision


def test_a_dialog_is_read_again_from_its_own_sources():
    """What a conversation is pinned to is enough."""
    dialog = small_dialog()
    again = read_dialog(dialog.sources, next(iter(dialog.sources)))

    assert again.revision == dialog.revision
    assert again.states == dialog.states


@pytest.mark.parametrize("length", range(0, len(SMALL), 17))
def test_half_a_file_is_an_error_and_never_a_crash(length):
    """Whatever an editor saves in the middle of typing."""
    with suppress(DialogError):
        read_dialog(small_files() | {"small.yaml": SMALL[:length]}, "small.yaml")


# --- one mistake hides no other, and makes no other --------------------------------------------------


def test_a_hint_is_needed_only_where_its_question_is_asked():
    """Who asks for no account needs no words about one."""
    lines = [line for line in TEXTS.splitlines() if "hint_iban" not in line and "hint_digits" not in line]
    shared = "\n".join(lines)

    assert read_dialog(small_files(texts=shared), "small.yaml")
    assert _errors(small_files(_ask("digits", more="    length: 4\n"), texts=shared)) == [
        "small.yaml:34:1: texts: no text is called hint_digits (digits that are not what was asked for)"
    ]


def test_broken_keys_hide_nothing_and_blame_nothing_else():
    """Every part is broken once, and each error is named once."""
    errors = _errors(
        small_files(
            ("service: 1", "service: x"),
            ("give up: 72h", "give up: [72h]"),
            ("begin: name", "begin: [name]"),
            ("then: colour\n", "then: nope\n"),
            ('{kk: "{options} {example}", ru: "{options} {example}"}', '{kk: [a], ru: "{b!}"}'),
            ("    then: {yes: apply, no: name}\n", "    then: {yes: apply, no: [name]}\n"),
            ("painted: {say: painted, then: done}", "painted: {say: painted, then: [done]}"),
            ("with: [name, colour]", "with: [Name, colour]"),
        )
    )

    assert [error.split(": ", 1)[1] for error in errors] == [
        "service: expected one digit, got 'x'",
        "silence → give up: expected a text, got a list",
        "begin: expected a text or keys with values, got a list",
        "states → name → then: no state is called nope",
        "states → colour → text → kk: expected a text, got a list",
        "states → colour → text → ru: {b!} is not a placeholder; write {name} or {reply 1}",
        "states → check → then → no: expected a text, got a list",
        "states → apply → with → 1: expected a name of small letters a to z, digits and _, 40 at most, got 'Name'",
        "states → apply → wait → painted → then: expected a text, got a list",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("    ask: choice\n", "    ask: chioce\n"), "states → colour → ask: expected "),
        (("    list: colours\n", "    lists: colours\n"), "states → colour → lists: unknown key"),
        (("    send: paint\n", "    sent: paint\n"), "states → apply → sent: unknown key"),
        (("languages: [kk, ru]", "languages: [kk, RU]"), "languages → 2: expected a language"),
        (("languages: [kk, ru]", "languages: [kk, rr]"), "languages → 2: nothing here is written in rr; what is"),
        (("languages: [kk, ru]", "languages: [kk]"), "languages: ru is missing: the title is written in it"),
        (('ru: "Имя {reply}"', 'uk: "Имя {reply}"'), "states → name → text → uk: uk is not among the languages"),
        (('ru: "Имя {reply}"', 'rus: "Имя {reply}"'), "states → name → text → rus: expected a language"),
        (("  painted: {kk:", "  Painted: {kk:"), "texts → Painted: expected a name"),
    ],
)
def test_one_typo_is_one_error(change, expected):
    """Nothing that follows from it is blamed."""
    errors = _errors(small_files(change))
    if "Painted" in expected:
        assert errors.pop(0).endswith("say: no text is called painted")

    assert len(errors) == 1, errors
    assert errors[0].split(": ", 1)[1].startswith(expected)


@pytest.mark.parametrize("file", ["small.yaml", "texts.yaml", "lists/colours.yaml"])
@pytest.mark.parametrize("text", ["", "a:\n\tb: c\n", 'a: "b\n'])
def test_a_file_that_is_not_yaml_is_one_error(file, text):
    """Nobody is told that everything is missing from it."""
    errors = _errors(small_files() | {file: text})

    assert len(errors) == 1, errors
    assert errors[0].startswith(f"{file}:")


def test_a_folder_without_its_texts_is_one_error():
    """Not one for each text that every dialog needs."""
    files = {name: text for name, text in small_files().items() if name != "texts.yaml"}

    (error,) = _errors(files)
    assert error.startswith("small.yaml:1:1: there is no file texts.yaml: the texts that every dialog needs")


@pytest.mark.parametrize(
    "broken", [("service: 2", "service: x"), ("dialog: twin", "dialog twin"), ("dialog: twin\n", "")]
)
def test_a_dialog_that_cannot_be_read_is_known_all_the_same(broken):
    """Its mistake is not that of the dialog that begins it."""
    twin = small_files(("dialog: small", "dialog: twin"), ("service: 1", "service: 2"))["small.yaml"]
    files = small_files((DONE, "  done: {end: done, begin: twin}\n")) | {"twin.yaml": twin.replace(*broken)}
    with pytest.raises(DialogError) as caught:
        read_dialogs(files)

    assert {finding.file for finding in caught.value.findings} == {"twin.yaml"}


def test_shared_files_may_be_written_in_more_languages_than_a_dialog():
    """The language of one dialog is no mistake of another."""
    shared = TEXTS.replace("ru: а}", "ru: а, en: a}")
    colours = COLOURS.replace("ru: красный}", "ru: красный, en: red}")
    dialog = small_dialog(texts=shared, lists__colours=colours)

    assert set(dialog.texts["remind"]) == {"kk", "ru"}
