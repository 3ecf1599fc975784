"""`smsflow talk`, scripted through a pipe: the real engine, one mother, a clock that jumps."""

from __future__ import annotations

import shutil

import pytest
from commands import smsflow

from smsflow.library import shipped_dialogs

REGISTERED = (
    "R 1 1 2", "R 1 1 2 Ким Анна", "R 1 1 2 3", "R 1 1 2 3 1", "R 1 1 2 3 1 2", "R 1 1 2 3 1 2 1",
    ":body accepted", ":body registered place=ЦОН",
)  # fmt: skip


def talk(*lines: str, dialog: object = "birth-registration"):
    return smsflow("talk", dialog, typed="".join(f"{line}\n" for line in lines))


def test_talk_goes_from_the_greeting_to_the_allowance() -> None:
    """One phone, three dialogs: each begins the next, and the last one ends."""
    done = talk(
        *REGISTERED,
        "R 2 1 0", "R 2 1 0 1", "R 2 1 0 1 1", ":body queued number=77",
        "R 3 1 1", "R 3 1 1 1", ":body granted", ":state",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    ended = [line.strip() for line in done.stdout.splitlines() if "has ended" in line]
    assert ended == [f"birth-{name} has ended: done" for name in ("registration", "kindergarten", "allowance")]
    assert "ЦОН" in done.stdout
    assert "№ 77" in done.stdout


def test_talk_shows_each_text_with_its_segments_and_each_reply() -> None:
    """A text is one line, as it would be sent, however long."""
    lines = talk("R 1 1 2").stdout.splitlines()

    texts = [line for line in lines if line.startswith("→ ")]
    assert len(texts) == 2
    assert all(line.endswith("(2 segments)") for line in texts)
    assert "← R 1 1 2" in lines
    assert "  birth-registration: greeting → child_name" in lines


def test_talk_names_the_coercions_that_a_reply_took() -> None:
    """An editor sees what tolerance costs, and why a reply is not understood."""
    done = talk("р112", "R 1 1 2 Ким Анна", "R 1 1 2 8")

    assert "answered, understood through missing_blank, r_lookalike" in done.stdout
    assert "not understood: the right address, a code that was not offered" in done.stdout


def test_timers_fire_in_order_at_their_due_times() -> None:
    """After three days of silence: two reminders, then the end."""
    done = talk("R 1 1 2", ":wait 73h", ":state")

    notes = [line.strip() for line in done.stdout.splitlines()]
    assert notes.count("birth-registration: a reminder") == 2
    expired = notes.index("birth-registration has ended: expired")
    assert notes.index("birth-registration: a reminder") < expired
    assert any("closed · expired" in line for line in notes[expired:])
    assert done.returncode == 0


def test_a_late_body_is_a_flag_and_no_text() -> None:
    """The mother is never told that a body is late."""
    done = talk(*REGISTERED[:-2], ":wait 5 days")

    after = done.stdout.split(":wait 5 days", 1)[1]
    assert "a person must look: body is late" in after
    assert "→ " not in after


def test_answers_and_facts_can_be_seen() -> None:
    """`:answers` shows what she said and what is known."""
    done = talk("R 1 1 2", "R 1 1 2 Ким Анна", ":answers")

    assert "answer  child_name = Ким Анна" in done.stdout
    assert "fact    account = KZ86125KZT5004100100" in done.stdout


def test_each_dialog_can_be_tried_alone() -> None:
    """Kindergarten and allowance ask for the language first when they begin alone."""
    done = talk("R 2 1 2", ":state", dialog="birth-kindergarten")

    assert "birth-kindergarten begins: greeting" in done.stdout
    assert "birth-kindergarten · privilege · ru · open" in done.stdout


def test_an_edited_file_is_tried_where_it_lies(tmp_path) -> None:
    """An admin tries a dialog before anybody gets it."""
    folder = tmp_path / "dialogs"
    shutil.copytree(shipped_dialogs(), folder)
    file = folder / "birth-registration.yaml"
    file.write_text(file.read_text().replace("Сәбиіңіз құтты болсын!", "Құтты болсын!"))

    done = talk(":quit", dialog=file)

    assert "→ Құтты болсын!" in done.stdout
    assert done.returncode == 0


def test_a_broken_file_is_shown_with_its_places(tmp_path) -> None:
    """Everything that is wrong, each with file:line:col; exit code 2."""
    folder = tmp_path / "dialogs"
    shutil.copytree(shipped_dialogs(), folder)
    file = folder / "birth-registration.yaml"
    file.write_text(file.read_text().replace("then: education", "then: nowhere").replace("ask: name", "ask: nmae"))

    done = talk(dialog=file)

    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}:") for line in lines)


def test_an_unknown_dialog_is_one_sentence() -> None:
    """The names that are there are in it."""
    done = talk(dialog="birth-registraton")

    assert done.returncode == 2
    assert "birth-registration" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (":foo", ":foo is no command"),
        (":wait soon", "expected a duration"),
        (":wait", "expected a duration"),
        (":body registered", "No body is at work"),
    ],
)
def test_a_script_with_a_wrong_command_fails(line: str, words: str) -> None:
    """It is said what is wrong, the rest is carried out, and the exit code is 1."""
    done = talk(line, ":state")

    assert words in done.stdout
    assert "case 1" in done.stdout
    assert done.returncode == 1


def test_a_body_can_only_say_what_is_waited_for() -> None:
    """`:body` alone lists it."""
    done = talk(*REGISTERED[:-2], ":body", ":body queued")

    assert "a body can say now: birth-registration: accepted, registered, refused" in done.stdout
    assert "Nobody waits for queued." in done.stdout
    assert done.returncode == 1


def test_a_body_is_held_to_the_same_rules_as_over_http() -> None:
    """What `POST …/events` would refuse is refused, field by field; what it takes is taken."""
    bad = talk(*REGISTERED[:-2], ":body registered child_iin=12 more=x")

    assert "child_iin: not a valid IIN" in bad.stdout
    assert "more: there is no such field." in bad.stdout
    assert bad.returncode == 1
    good = talk(*REGISTERED[:-2], ':body registered place="ЦОН, Абая 1"')
    assert "ЦОН, Абая 1" in good.stdout
    assert good.returncode == 0


def test_an_amount_is_a_whole_number() -> None:
    """`amount=abc` is no text that a mother may get."""
    lines = (*REGISTERED, "R 2 1 0", "R 2 1 0 1", "R 2 1 0 1 1", ":body queued", "R 3 1 1", "R 3 1 1 1")
    bad = talk(*lines, ":body granted amount=abc")

    assert "amount: expected a whole number." in bad.stdout
    assert bad.returncode == 1
    assert "77777" in talk(*lines, ":body granted amount=77777").stdout
